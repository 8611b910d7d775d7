//! Which instructions a kernel needs.
//!
//! In: a kernel. Out: [`Code`], or why the kernel must be compiled by Cranelift: dtypes that do not fit lanes of 32 bits
//! and operations without an instruction. All values are vectors: what is the same in a whole loop is in all lanes, so one
//! selection serves scalar code and lanes. A vector loop takes sixteen iterations at a time and the rest under a mask.

use super::code::*;
use super::nest::{Begin, Nest};
use crate::codegen::cpu::emit::{Entry, Refusal};
use crate::codegen::cpu::wide;
use crate::codegen::loops::{Expr, Index, Kernel, LoopKind, LoopVar, Stmt, Value, split_outer};
use crate::ops::DType;

/// Lanes of a vector.
pub const LANES: i64 = 16;

/// The range of a loop.
#[derive(Clone, Copy)]
pub enum Span {
    Whole(usize),
    Part(G, G),
}

/// The loop that runs by lanes.
pub struct LaneLoop {
    pub var: LoopVar,
    pub wide: Vec<bool>,
    /// All, or the tail's.
    pub active: Lanes,
}

pub struct Select<'k> {
    pub kernel: &'k Kernel,
    pub nest: Nest,
    /// What each value is, and the level at which it was made.
    slots: Vec<Option<(Source, usize)>>,
    pub lanes: Option<LaneLoop>,
    /// Whether the kernel is all that its buffers are for now: no tile of something larger.
    pub alone: bool,
}

pub fn select(kernel: &Kernel, entry: Entry) -> Result<Code, Refusal> {
    let supported = |d: &DType| matches!(d, DType::F32 | DType::I32 | DType::Bool | DType::U8 | DType::I8);
    if let Some(other) = kernel.values.iter().chain(kernel.buffers.iter().map(|b| &b.dtype)).find(|d| !supported(d)) {
        return Err(format!("{other} is not computed in lanes of 32 bits"));
    }
    let mut select = Select {
        kernel,
        nest: Nest::new(),
        slots: vec![None; kernel.values.len()],
        lanes: None,
        alone: matches!(entry, Entry::Range),
    };
    match entry {
        Entry::Range => select.range()?,
        Entry::Tile => select.tile()?,
    }
    Ok(select.nest.finish())
}

impl<'k> Select<'k> {
    fn range(&mut self) -> Result<(), Refusal> {
        let kernel = self.kernel;
        let Some((before, Stmt::For { var, kind, body, .. })) = split_outer(kernel) else {
            return self.block(&kernel.body);
        };
        self.block(before)?;
        let (begin, end) = (self.nest.argument(1), self.nest.argument(2));
        self.any_loop(*var, Span::Part(begin, end), *kind, body)
    }

    fn tile(&mut self) -> Result<(), Refusal> {
        let shape = "an epilogue must be three nested loops";
        let [Stmt::For { var: batch, body, .. }] = self.kernel.body.as_slice() else { return Err(shape.into()) };
        let number = self.nest.argument(1);
        self.nest.open(Some(*batch), Some(number), 0, Begin::Never);
        let [before @ .., Stmt::For { var: row, body, .. }] = body.as_slice() else { return Err(shape.into()) };
        self.block(before)?;
        let [before_row @ .., Stmt::For { var: column, kind, body, .. }] = body.as_slice() else {
            return Err(shape.into());
        };
        let arguments: Vec<G> = (2..6).map(|n| self.nest.argument(n)).collect();
        self.bring_near(*row, *column, &arguments, body)?;
        self.serial_loop(*row, Span::Part(arguments[0], arguments[1]), |s| {
            s.block(before_row)?;
            s.any_loop(*column, Span::Part(arguments[2], arguments[3]), *kind, body)
        })?;
        self.nest.close_block(None);
        Ok(())
    }

    pub fn dtype(&self, value: Value) -> DType {
        self.kernel.values[value.0 as usize]
    }

    pub fn is_wide(&self, value: Value) -> bool {
        self.lanes.as_ref().is_some_and(|l| l.wide[value.0 as usize])
    }

    pub fn get(&self, value: Value) -> Result<Source, Refusal> {
        Ok(self.slot(value)?.0)
    }

    /// The value and its level.
    pub fn slot(&self, value: Value) -> Result<(Source, usize), Refusal> {
        self.slots[value.0 as usize].ok_or_else(|| format!("the value %{} is used before it is assigned", value.0))
    }

    pub fn set(&mut self, value: Value, source: Source) {
        self.slots[value.0 as usize] = Some((source, self.nest.depth()));
    }

    /// The source in a register. A constant is put there once, before all loops.
    pub fn in_vector(&mut self, source: Source) -> V {
        if let Source::Value(v) = source {
            return v;
        }
        if let Some(&v) = self.nest.constants.get(&source) {
            return v;
        }
        let to = self.nest.vector();
        self.nest.push_at(0, Inst::Splat { to, from: source });
        self.nest.constants.insert(source, to);
        to
    }

    pub fn block(&mut self, body: &'k [Stmt]) -> Result<(), Refusal> {
        for stmt in body {
            match stmt {
                Stmt::Let { value, expr } => {
                    let result = self.expr(expr, self.dtype(*value))?;
                    self.set(*value, result);
                }
                Stmt::For { var, extent, kind, body } => self.any_loop(*var, Span::Whole(*extent), *kind, body)?,
                Stmt::Fold { .. } => self.fold(stmt)?,
                Stmt::Store { buffer, index, value, guard, accumulate } => {
                    self.store(*buffer, index, *value, guard, *accumulate)?
                }
            }
        }
        Ok(())
    }

    fn any_loop(&mut self, var: LoopVar, span: Span, kind: LoopKind, body: &'k [Stmt]) -> Result<(), Refusal> {
        if kind == LoopKind::Vector && self.lanes.is_none() {
            let wide = wide::wide_values(self.kernel, var, body);
            return self.lane_loop(var, span, wide, |s| s.block(body));
        }
        self.serial_loop(var, span, |s| s.block(body))
    }

    pub fn serial_loop(
        &mut self,
        var: LoopVar,
        span: Span,
        body: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if let Span::Whole(0) = span {
            return Ok(());
        }
        let counter = self.start(span);
        self.nest.open(Some(var), Some(counter), 1, begin_of(span));
        body(self)?;
        match span {
            Span::Whole(n) => self.nest.close_loop(Limit::Constant(n as i64), false),
            Span::Part(_, end) => self.nest.close_loop(Limit::Value(end), true),
        }
        Ok(())
    }

    /// A counter at the span's first iteration.
    fn start(&mut self, span: Span) -> G {
        let counter = self.nest.general();
        self.nest.push(match span {
            Span::Whole(_) => Inst::Constant { to: counter, value: 0 },
            Span::Part(begin, _) => Inst::Copy { to: counter, from: begin },
        });
        counter
    }

    /// Runs `body` for whole groups of lanes, then for the rest under a mask.
    pub fn lane_loop(
        &mut self,
        var: LoopVar,
        span: Span,
        wide: Vec<bool>,
        mut body: impl FnMut(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let counter = self.start(span);
        self.lanes = Some(LaneLoop { var, wide, active: Lanes::All });
        // Whole groups: several at once, then one at a time.
        let mut begin = begin_of(span);
        let mut groups = match span {
            Span::Whole(n) => n / LANES as usize,
            Span::Part(..) => usize::MAX,
        };
        let mut done = 0;
        while groups > 0 {
            self.nest.open(Some(var), Some(counter), LANES, begin);
            body(self)?;
            let turns = if done == 0 { self.nest.unroll(groups) } else { 1 };
            let limit = match span {
                Span::Whole(_) => {
                    done += groups / turns * turns;
                    groups %= turns;
                    Limit::Constant(done as i64 * LANES)
                }
                Span::Part(_, end) => {
                    (groups, done) = (if turns > 1 { 1 } else { 0 }, 1);
                    // The last counter from which as many groups are left, and one more.
                    let outside = self.nest.depth() - 1;
                    Limit::Value(self.nest.shifted(outside, end, 1 - LANES * turns as i64))
                }
            };
            self.nest.close_loop(limit, matches!(span, Span::Part(..)));
            begin = Begin::At(counter);
        }
        let rest = match span {
            Span::Whole(n) => n as i64 % LANES,
            Span::Part(..) => LANES,
        };
        if rest > 0 {
            if let Some(lanes) = &mut self.lanes {
                lanes.active = Lanes::Tail;
            }
            self.nest.open(Some(var), Some(counter), 0, Begin::Never);
            let condition = match span {
                Span::Whole(_) => {
                    self.nest.push(Inst::TailCount(rest as u32));
                    None
                }
                Span::Part(_, end) => {
                    self.nest.push(Inst::TailLanes { counter, end });
                    Some((counter, Limit::Value(end)))
                }
            };
            body(self)?;
            self.nest.close_block(condition);
        }
        self.lanes = None;
        Ok(())
    }

    pub fn expr(&mut self, expr: &'k Expr, dtype: DType) -> Result<Source, Refusal> {
        match expr {
            Expr::Const(v) => Ok(Source::Splat(super::values::bits(dtype, *v))),
            Expr::Load { buffer, index, guard, otherwise } => {
                let stored = self.kernel.buffers[buffer.0 as usize].dtype;
                if stored != dtype {
                    return Err(format!("a {dtype} is loaded from a buffer of {stored}"));
                }
                self.load(*buffer, index, guard, *otherwise)
            }
            Expr::Unary(op, a) => {
                let a = self.get(*a)?;
                self.unary(*op, dtype, a)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.get(*a)?, self.get(*b)?);
                self.binary(*op, dtype, a, b)
            }
            Expr::Compare(op, a, b) => {
                let operands = self.dtype(*a);
                let (a, b) = (self.get(*a)?, self.get(*b)?);
                Ok(self.compare(*op, operands, a, b))
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.get(*c)?, self.get(*a)?, self.get(*b)?);
                Ok(self.choose_lanes(c, a, b))
            }
            Expr::Cast(a) => {
                let from = self.dtype(*a);
                let a = self.get(*a)?;
                Ok(self.cast(from, dtype, a))
            }
            Expr::Counter(index) => self.counter(index),
        }
    }

    /// The index as a number in each lane.
    pub fn counter(&mut self, index: &Index) -> Result<Source, Refusal> {
        let mut sum = match self.linear(index)? {
            Some(first) => {
                let to = self.nest.vector();
                self.nest.push(Inst::FromGeneral { to, from: first });
                let first = Source::Value(to);
                if index.offset == 0 { first } else { self.two(Two::IntAdd, first, Source::Splat(index.offset as u32)) }
            }
            None => Source::Splat(index.offset as u32),
        };
        if let Some(steps) = self.lane_steps(index)? {
            sum = self.two(Two::IntAdd, sum, steps);
        }
        Ok(sum)
    }
}

fn begin_of(span: Span) -> Begin {
    match span {
        Span::Whole(_) => Begin::Zero,
        Span::Part(begin, _) => Begin::At(begin),
    }
}
