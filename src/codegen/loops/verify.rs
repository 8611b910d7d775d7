//! The rules of the kernel IR. In: a kernel. Out: nothing, or the first rule it breaks. What passes means the same on
//! every back end, and every access whose index depends on counters alone stays inside its buffer.

use super::ir::*;
use crate::ops::{Binary, DType, Unary};

/// Checks SSA form, dtypes, loop nesting, access rights and, where extents decide it, ranges of indices.
pub fn verify(kernel: &Kernel) -> Result<(), String> {
    let mut v = Verifier {
        kernel,
        defined: vec![false; kernel.values.len()],
        visible: Vec::new(),
        extents: vec![None; kernel.loops as usize],
        used: vec![false; kernel.loops as usize],
    };
    v.block(&kernel.body, Place { top: true, ..Place::default() }).map_err(|e| format!("kernel {}: {e}", kernel.name))
}

#[derive(Clone, Copy, Default)]
struct Place {
    /// The statement level of the kernel itself.
    top: bool,
    in_vector: bool,
    in_fold: bool,
}

struct Verifier<'a> {
    kernel: &'a Kernel,
    defined: Vec<bool>,
    /// Values in scope, in order of definition.
    visible: Vec<Value>,
    /// Extents of the loops around.
    extents: Vec<Option<usize>>,
    /// Counters that a loop has had: one loop each.
    used: Vec<bool>,
}

impl Verifier<'_> {
    fn block(&mut self, body: &[Stmt], place: Place) -> Result<(), String> {
        let mark = self.visible.len();
        for stmt in body {
            self.statement(stmt, place, body.len() == 1)?;
        }
        self.visible.truncate(mark);
        Ok(())
    }

    fn statement(&mut self, stmt: &Stmt, place: Place, alone: bool) -> Result<(), String> {
        match stmt {
            Stmt::Let { value, expr } => {
                let dtype = self.expr(expr, *value)?;
                self.define(*value, dtype)
            }
            Stmt::For { var, extent, kind, body } => {
                if place.in_vector {
                    return Err(format!("loop i{} inside a vector loop", var.0));
                }
                if place.in_fold {
                    return Err(format!("loop i{} inside a fold", var.0));
                }
                if *kind == LoopKind::Parallel && !(place.top && alone) {
                    return Err(format!("parallel loop i{} is not the whole kernel", var.0));
                }
                self.open(*var, *extent)?;
                let in_vector = *kind == LoopKind::Vector;
                self.block(body, Place { in_vector, ..Place::default() })?;
                self.extents[var.0 as usize] = None;
                Ok(())
            }
            Stmt::Fold { value, op, var, extent, vector, body, yields } => {
                if *vector && place.in_vector {
                    return Err(format!("vector fold i{} inside a vector loop", var.0));
                }
                if *vector && !matches!(op, FoldOp::Reduce(_)) {
                    return Err(format!("vector fold i{} looks for an index", var.0));
                }
                if *vector && body.iter().any(|s| matches!(s, Stmt::Fold { .. })) {
                    return Err(format!("fold inside the vector fold i{}", var.0));
                }
                self.open(*var, *extent)?;
                let mark = self.visible.len();
                for stmt in body {
                    self.statement(stmt, Place { top: false, in_fold: true, ..place }, false)?;
                }
                let yielded = self.dtype(*yields)?;
                self.visible.truncate(mark);
                self.extents[var.0 as usize] = None;
                self.define(*value, if matches!(op, FoldOp::Reduce(_)) { yielded } else { DType::I32 })
            }
            Stmt::Store { buffer, index, value, guard, accumulate } => {
                if place.in_fold {
                    return Err(format!("store to b{} inside a fold", buffer.0));
                }
                let decl = self.buffer(*buffer)?;
                if decl.access == Access::Read {
                    return Err(format!("store to b{}, which is only read", buffer.0));
                }
                let dtype = self.dtype(*value)?;
                if dtype != decl.dtype {
                    return Err(format!("store of {dtype} to b{} of {}", buffer.0, decl.dtype));
                }
                if *accumulate && dtype == DType::Bool {
                    return Err(format!("bools added to b{}", buffer.0));
                }
                self.guard(guard)?;
                self.place(*buffer, index, guard)
            }
        }
    }

    fn open(&mut self, var: LoopVar, extent: usize) -> Result<(), String> {
        let i = var.0 as usize;
        match self.used.get(i) {
            None => return Err(format!("i{i}, but the kernel has {} counters", self.used.len())),
            Some(true) => return Err(format!("two loops count i{i}")),
            Some(false) => {}
        }
        self.used[i] = true;
        self.extents[i] = Some(extent);
        Ok(())
    }

    fn define(&mut self, value: Value, dtype: DType) -> Result<(), String> {
        let i = value.0 as usize;
        match self.kernel.values.get(i) {
            None => return Err(format!("%{i}, but the kernel has {} values", self.kernel.values.len())),
            Some(d) if *d != dtype => return Err(format!("%{i} is declared {d} and assigned {dtype}")),
            Some(_) => {}
        }
        if std::mem::replace(&mut self.defined[i], true) {
            return Err(format!("%{i} is assigned twice"));
        }
        self.visible.push(value);
        Ok(())
    }

    fn dtype(&self, value: Value) -> Result<DType, String> {
        if !self.visible.contains(&value) {
            return Err(format!("%{} is not visible here", value.0));
        }
        Ok(self.kernel.values[value.0 as usize])
    }

    fn buffer(&self, buffer: BufferArg) -> Result<&BufferDecl, String> {
        self.kernel.buffers.get(buffer.0 as usize).ok_or_else(|| format!("b{} does not exist", buffer.0))
    }

    fn expr(&self, expr: &Expr, value: Value) -> Result<DType, String> {
        let own = self.kernel.values.get(value.0 as usize).copied().unwrap_or(DType::F32);
        let same = |a: &Value, b: &Value| -> Result<DType, String> {
            let (x, y) = (self.dtype(*a)?, self.dtype(*b)?);
            if x == y { Ok(x) } else { Err(format!("%{} is {x} and %{} is {y}", a.0, b.0)) }
        };
        match expr {
            Expr::Const(_) => Ok(own),
            Expr::Load { buffer, index, guard, .. } => {
                let decl = self.buffer(*buffer)?;
                if decl.access == Access::Write {
                    return Err(format!("load from b{}, which is only written", buffer.0));
                }
                self.guard(guard)?;
                self.place(*buffer, index, guard)?;
                Ok(decl.dtype)
            }
            Expr::Unary(op, a) => {
                let d = self.dtype(*a)?;
                let fits = match op {
                    Unary::Not => !d.is_float(),
                    Unary::Neg | Unary::Abs => d != DType::Bool,
                    _ => d.is_float(),
                };
                if fits { Ok(d) } else { Err(format!("{} of {d}", op.name())) }
            }
            Expr::Binary(op, a, b) => {
                let d = same(a, b)?;
                let fits = match op {
                    Binary::And | Binary::Or | Binary::Xor => !d.is_float(),
                    Binary::Shl | Binary::Shr => d.is_int(),
                    Binary::Atan2 => d.is_float(),
                    Binary::Max | Binary::Min => true,
                    _ => d != DType::Bool,
                };
                if fits { Ok(d) } else { Err(format!("{} of {d}", op.name())) }
            }
            Expr::Compare(_, a, b) => same(a, b).map(|_| DType::Bool),
            Expr::Select(c, a, b) => match self.dtype(*c)? {
                DType::Bool => same(a, b),
                d => Err(format!("select by {d}")),
            },
            Expr::Cast(a) => self.dtype(*a).map(|_| own),
            Expr::Counter(index) => self.terms(index).map(|_| DType::I32),
        }
    }

    /// The form of an index: sorted counters of loops around, no zero strides, `i32` values.
    fn terms(&self, index: &Index) -> Result<(), String> {
        if index.terms.windows(2).any(|w| w[0].0 >= w[1].0) {
            return Err(format!("terms of [{index}] are not sorted"));
        }
        for &(var, stride) in &index.terms {
            if self.extents.get(var.0 as usize).copied().flatten().is_none() {
                return Err(format!("i{} in [{index}] outside its loop", var.0));
            }
            if stride == 0 {
                return Err(format!("a zero stride in [{index}]"));
            }
        }
        for &(value, _) in &index.values {
            match self.dtype(value)? {
                DType::I32 => {}
                d => return Err(format!("%{} of {d} in [{index}]", value.0)),
            }
        }
        Ok(())
    }

    fn guard(&self, guard: &[Bound]) -> Result<(), String> {
        guard.iter().try_for_each(|b| self.terms(&b.index))
    }

    /// An unguarded index of counters alone must stay inside; so must one with guards, as far as a single guard on
    /// exactly this index says nothing else.
    fn place(&self, buffer: BufferArg, index: &Index, guard: &[Bound]) -> Result<(), String> {
        self.terms(index)?;
        let len = self.buffer(buffer)?.len as i64;
        if !guard.is_empty() || !index.values.is_empty() {
            return Ok(());
        }
        let Some((low, high)) = range(index, |v| self.extents[v.0 as usize].unwrap_or(1)) else { return Ok(()) };
        if low < 0 || high >= len {
            return Err(format!("b{}[{index}] covers {low}..={high} of {len} elements", buffer.0));
        }
        Ok(())
    }
}

/// The smallest and the largest number that an index of counters can be; none if a loop around never runs or the
/// index has run-time values.
pub fn range(index: &Index, extent: impl Fn(LoopVar) -> usize) -> Option<(i64, i64)> {
    if !index.values.is_empty() {
        return None;
    }
    let (mut low, mut high) = (index.offset, index.offset);
    for &(var, stride) in &index.terms {
        let last = extent(var).checked_sub(1)? as i64 * stride;
        low += last.min(0);
        high += last.max(0);
    }
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use crate::codegen::loops::{text, verify};

    fn fault(body: &str) -> String {
        let source = format!("kernel k(b0: f32[8] read, b1: f32[8] write, b2: i32[8] read) {{\n{body}\n}}\n");
        verify(&text::parse(&source).unwrap()).unwrap_err()
    }

    #[test]
    fn broken_rules_are_found() {
        for (body, part) in [
            ("serial i0 in 0..9 { %0 = load b0[i0] store b1[0], %0 }", "covers 0..=8 of 8"),
            ("%0 = load b1[0] store b1[0], %0", "only written"),
            ("%0 = load b0[0] store b0[0], %0", "only read"),
            ("%0 = const.f32 0 %0 = const.f32 1 store b1[0], %0", "assigned twice"),
            ("serial i0 in 0..2 { %0 = const.f32 0 } store b1[0], %0", "not visible"),
            ("serial i0 in 0..2 { parallel i1 in 0..2 { %0 = const.f32 0 } }", "not the whole kernel"),
            ("vector i0 in 0..2 { serial i1 in 0..2 { %0 = const.f32 0 } }", "inside a vector loop"),
            ("vector i0 in 0..2 { %1 = fold sum vector i1 in 0..2 { %0 = load b0[i1] yield %0 } }", "vector fold"),
            ("%0 = load b2[0] store b1[0], %0", "store of i32"),
            ("%0 = load b0[0] %1 = load b2[0] %2 = add.f32 %0, %1", "%0 is f32 and %1 is i32"),
            ("%0 = load b0[0] %1 = load b0[%0]", "of f32 in"),
            ("serial i0 in 0..2 { %0 = const.f32 0 } serial i0 in 0..2 { %1 = const.f32 0 }", "two loops"),
        ] {
            let message = fault(body);
            assert!(message.contains(part), "{body}: {message}");
        }
    }
}
