//! Builds kernels from the inside out. Each expression goes into the outermost open block in which all that it uses is
//! known, so loop-invariant work is hoisted as it is written; an expression equal to one in sight is not written again.
//! A fold, too, moves out of the loops that it does not depend on.
//!
//! The invariant that makes this sound: pure expressions only. A kernel must not load from a buffer that it stores to.

use super::ir::*;
use super::verify::range;
use crate::ops::{Binary, Compare, DType, Unary};
use std::collections::HashMap;

/// What a caller may remember about values: any words of its own and an index tuple.
pub type MemoKey = (u32, Vec<Index>, Vec<Bound>);

#[derive(Default)]
pub struct Builder {
    buffers: Vec<BufferDecl>,
    values: Vec<DType>,
    /// The scope in which each value was written.
    depths: Vec<usize>,
    constants: Vec<Option<f64>>,
    vars: Vec<Var>,
    scopes: Vec<Scope>,
}

struct Var {
    extent: usize,
    depth: usize,
}

#[derive(Default)]
struct Scope {
    var: Option<LoopVar>,
    stmts: Vec<Stmt>,
    written: HashMap<Key, Value>,
    memo: HashMap<MemoKey, Value>,
    /// A bit for each scope whose values or counter the statements here use.
    uses: u64,
}

/// An expression as something to look up; a constant by its bits.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Const(u64, DType),
    Load(BufferArg, Index, Vec<Bound>, u64),
    Unary(Unary, Value),
    Binary(Binary, Value, Value),
    Compare(Compare, Value, Value),
    Select(Value, Value, Value),
    Cast(Value, DType),
    Counter(Index),
}

impl Builder {
    pub fn new() -> Builder {
        Builder { scopes: vec![Scope::default()], ..Builder::default() }
    }

    pub fn buffer(&mut self, dtype: DType, len: usize, access: Access) -> BufferArg {
        self.buffers.push(BufferDecl { dtype, len, access });
        BufferArg(self.buffers.len() as u32 - 1)
    }

    pub fn dtype(&self, value: Value) -> DType {
        self.values[value.0 as usize]
    }

    pub fn extent(&self, var: LoopVar) -> usize {
        self.vars[var.0 as usize].extent
    }

    /// The constant that a value is.
    pub fn constant_of(&self, value: Value) -> Option<f64> {
        self.constants[value.0 as usize]
    }

    /// Opens a loop; what is written until it is closed may use its counter.
    pub fn open(&mut self, extent: usize) -> LoopVar {
        let var = LoopVar(self.vars.len() as u32);
        self.vars.push(Var { extent, depth: self.scopes.len() });
        self.scopes.push(Scope { var: Some(var), ..Scope::default() });
        var
    }

    /// Number of open loops.
    pub fn open_loops(&self) -> usize {
        self.scopes.len() - 1
    }

    fn pop(&mut self) -> (LoopVar, Scope) {
        let scope = self.scopes.pop().unwrap_or_default();
        (scope.var.unwrap_or(LoopVar(0)), scope)
    }

    /// Closes the innermost loop as statements to repeat.
    pub fn close_for(&mut self, kind: LoopKind) {
        let (var, scope) = self.pop();
        let depth = self.scopes.len();
        let parent = &mut self.scopes[depth - 1];
        parent.uses |= scope.uses & !(1 << depth);
        let extent = self.vars[var.0 as usize].extent;
        parent.stmts.push(Stmt::For { var, extent, kind, body: scope.stmts });
    }

    /// Closes the innermost loop as a fold of `yields`. Nothing may have been stored in it.
    pub fn close_fold(&mut self, op: FoldOp, vector: bool, yields: Value) -> Value {
        let (var, scope) = self.pop();
        let depth = self.scopes.len();
        let yields_depth = self.depths[yields.0 as usize];
        let uses = (scope.uses | 1 << yields_depth) & ((1 << depth) - 1);
        let home = highest(uses);
        let dtype = if matches!(op, FoldOp::Reduce(_)) { self.dtype(yields) } else { DType::I32 };
        let value = self.fresh(dtype, home);
        let extent = self.vars[var.0 as usize].extent;
        self.scopes[home].uses |= uses;
        self.scopes[home].stmts.push(Stmt::Fold { value, op, var, extent, vector, body: scope.stmts, yields });
        value
    }

    fn fresh(&mut self, dtype: DType, depth: usize) -> Value {
        self.values.push(dtype);
        self.depths.push(depth);
        self.constants.push(None);
        Value(self.values.len() as u32 - 1)
    }

    fn uses_index(&self, index: &Index) -> u64 {
        let vars = index.terms.iter().map(|t| 1u64 << self.vars[t.0.0 as usize].depth);
        let values = index.values.iter().map(|t| 1u64 << self.depths[t.0.0 as usize]);
        vars.chain(values).fold(0, |a, b| a | b)
    }

    fn uses_guard(&self, guard: &[Bound]) -> u64 {
        guard.iter().fold(0, |a, b| a | self.uses_index(&b.index))
    }

    fn uses_value(&self, value: Value) -> u64 {
        1 << self.depths[value.0 as usize]
    }

    fn emit(&mut self, expr: Expr, dtype: DType) -> Value {
        let (uses, key) = match &expr {
            Expr::Const(c) => (0, Key::Const(c.to_bits(), dtype)),
            Expr::Load { buffer, index, guard, otherwise } => (
                self.uses_index(index) | self.uses_guard(guard),
                Key::Load(*buffer, index.clone(), guard.clone(), otherwise.to_bits()),
            ),
            Expr::Unary(op, a) => (self.uses_value(*a), Key::Unary(*op, *a)),
            Expr::Binary(op, a, b) => (self.uses_value(*a) | self.uses_value(*b), Key::Binary(*op, *a, *b)),
            Expr::Compare(op, a, b) => (self.uses_value(*a) | self.uses_value(*b), Key::Compare(*op, *a, *b)),
            Expr::Select(c, a, b) => {
                (self.uses_value(*c) | self.uses_value(*a) | self.uses_value(*b), Key::Select(*c, *a, *b))
            }
            Expr::Cast(a) => (self.uses_value(*a), Key::Cast(*a, dtype)),
            Expr::Counter(index) => (self.uses_index(index), Key::Counter(index.clone())),
        };
        let home = highest(uses);
        if let Some(value) = self.scopes[home].written.get(&key) {
            return *value;
        }
        let value = self.fresh(dtype, home);
        if let Expr::Const(c) = expr {
            self.constants[value.0 as usize] = Some(c);
        }
        let scope = &mut self.scopes[home];
        scope.uses |= uses;
        scope.written.insert(key, value);
        scope.stmts.push(Stmt::Let { value, expr });
        value
    }

    pub fn constant(&mut self, value: f64, dtype: DType) -> Value {
        let value = super::scalar::Scalar::Float(value).cast(dtype).float();
        self.emit(Expr::Const(value), dtype)
    }

    pub fn counter(&mut self, index: &Index) -> Value {
        if let Some(c) = index.as_constant() {
            return self.constant(c as f64, DType::I32);
        }
        match index.values.as_slice() {
            &[(v, 1)] if index.terms.is_empty() && index.offset == 0 => v,
            _ => self.emit(Expr::Counter(index.clone()), DType::I32),
        }
    }

    /// Bounds that are not certain; none if one certainly fails.
    pub fn prune(&self, guard: &[Bound]) -> Option<Vec<Bound>> {
        let mut kept: Vec<Bound> = Vec::new();
        for bound in guard {
            match range(&bound.index, |v| self.extent(v)) {
                Some((low, high)) if low >= 0 && high < bound.limit => {}
                Some((low, high)) if high < 0 || low >= bound.limit => return None,
                _ if kept.contains(bound) => {}
                _ => kept.push(bound.clone()),
            }
        }
        Some(kept)
    }

    /// A load where the guard holds, else the number.
    pub fn load(&mut self, buffer: BufferArg, index: &Index, guard: &[Bound], otherwise: f64) -> Value {
        let dtype = self.buffers[buffer.0 as usize].dtype;
        match self.prune(guard) {
            None => self.constant(otherwise, dtype),
            Some(guard) => {
                let otherwise = if guard.is_empty() { 0.0 } else { otherwise };
                self.emit(Expr::Load { buffer, index: index.clone(), guard, otherwise }, dtype)
            }
        }
    }

    pub fn store(&mut self, buffer: BufferArg, index: &Index, value: Value, guard: &[Bound], accumulate: bool) {
        let Some(guard) = self.prune(guard) else { return };
        let uses = self.uses_index(index) | self.uses_guard(&guard) | self.uses_value(value);
        let top = self.scopes.len() - 1;
        self.scopes[top].uses |= uses;
        self.scopes[top].stmts.push(Stmt::Store { buffer, index: index.clone(), value, guard, accumulate });
    }

    pub fn unary(&mut self, op: Unary, a: Value) -> Value {
        self.emit(Expr::Unary(op, a), self.dtype(a))
    }

    /// The operation, or its result where it is plain: integers and bools with neutral operands, two constants.
    pub fn binary(&mut self, op: Binary, a: Value, b: Value) -> Value {
        let dtype = self.dtype(a);
        if !dtype.is_float() && dtype != DType::I64 {
            use super::scalar::{Scalar, binary};
            let (x, y) = (self.constant_of(a), self.constant_of(b));
            if let (Some(x), Some(y)) = (x, y) {
                let z = binary(op, Scalar::Int(x as i64), Scalar::Int(y as i64), dtype);
                return self.constant(z.float(), dtype);
            }
            let truth = dtype == DType::Bool;
            match op {
                Binary::Add | Binary::Or | Binary::Xor if x == Some(0.0) => return b,
                Binary::Add | Binary::Sub | Binary::Or | Binary::Xor if y == Some(0.0) => return a,
                Binary::And if truth && x == Some(1.0) => return b,
                Binary::And if truth && y == Some(1.0) => return a,
                Binary::And if x == Some(0.0) => return a,
                Binary::And if y == Some(0.0) => return b,
                _ => {}
            }
        }
        self.emit(Expr::Binary(op, a, b), dtype)
    }

    pub fn compare(&mut self, op: Compare, a: Value, b: Value) -> Value {
        self.emit(Expr::Compare(op, a, b), DType::Bool)
    }

    pub fn select(&mut self, condition: Value, a: Value, b: Value) -> Value {
        match self.constant_of(condition) {
            Some(c) if c != 0.0 => a,
            Some(_) => b,
            None if a == b => a,
            None => self.emit(Expr::Select(condition, a, b), self.dtype(a)),
        }
    }

    pub fn cast(&mut self, a: Value, dtype: DType) -> Value {
        if self.dtype(a) == dtype { a } else { self.emit(Expr::Cast(a), dtype) }
    }

    /// Whether all bounds hold, as a bool.
    pub fn holds(&mut self, guard: &[Bound]) -> Value {
        let Some(guard) = self.prune(guard) else { return self.constant(0.0, DType::Bool) };
        let mut all = self.constant(1.0, DType::Bool);
        for bound in guard {
            let (low, high) = range(&bound.index, |v| self.extent(v)).unwrap_or((-1, i64::MAX));
            let index = self.counter(&bound.index);
            if low < 0 {
                let zero = self.constant(0.0, DType::I32);
                let from = self.compare(Compare::Ge, index, zero);
                all = self.binary(Binary::And, all, from);
            }
            if high >= bound.limit {
                let limit = self.constant(bound.limit as f64, DType::I32);
                let to = self.compare(Compare::Lt, index, limit);
                all = self.binary(Binary::And, all, to);
            }
        }
        all
    }

    /// A value remembered in a scope that is still open.
    pub fn recall(&self, key: &MemoKey) -> Option<Value> {
        self.scopes.iter().rev().find_map(|s| s.memo.get(key).copied())
    }

    /// Remembers a value for as long as it is visible.
    pub fn remember(&mut self, key: MemoKey, value: Value) {
        self.scopes[self.depths[value.0 as usize]].memo.insert(key, value);
    }

    /// The kernel, once all loops are closed.
    pub fn finish(self, name: &str) -> Kernel {
        let loops = self.vars.len() as u32;
        let body = self.scopes.into_iter().next().map_or(Vec::new(), |s| s.stmts);
        Kernel { name: name.to_string(), buffers: self.buffers, values: self.values, loops, body }
    }
}

fn highest(uses: u64) -> usize {
    63 - (uses | 1).leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::loops::verify;
    use crate::ops::Reduce;

    #[test]
    fn invariant_work_moves_out() {
        let mut b = Builder::new();
        let x = b.buffer(DType::F32, 12, Access::Read);
        let y = b.buffer(DType::F32, 12, Access::Write);
        let i = b.open(3);
        let j = b.open(4);
        let k = b.open(4);
        let row = Index::var(i).scaled(4);
        let v = b.load(x, &row.plus(&Index::var(k)), &[], 0.0);
        let sum = b.close_fold(FoldOp::Reduce(Reduce::Sum), false, v);
        let at = row.plus(&Index::var(j));
        let v = b.load(x, &at, &[Bound::new(Index::var(i), 3)], 0.0);
        let again = b.load(x, &at, &[], 0.0);
        assert_eq!(v, again);
        let v = b.binary(Binary::Div, v, sum);
        b.store(y, &at, v, &[], false);
        b.close_for(LoopKind::Vector);
        b.close_for(LoopKind::Parallel);
        let kernel = b.finish("share");
        verify(&kernel).unwrap();
        assert_eq!(
            kernel.to_string(),
            "kernel share(b0: f32[12] read, b1: f32[12] write) {
  parallel i0 in 0..3 {
    %1 = fold sum i2 in 0..4 {
      %0 = load b0[4*i0 + i2]
      yield %0
    }
    vector i1 in 0..4 {
      %2 = load b0[4*i0 + i1]
      %3 = div.f32 %2, %1
      store b1[4*i0 + i1], %3
    }
  }
}
"
        );
    }
}
