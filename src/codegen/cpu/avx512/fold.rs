//! Folds: loops that carry a sum. A vector fold's sixteen lanes are the lanes of one register.

use super::code::*;
use super::select::{Select, Span};
use crate::codegen::cpu::emit::Refusal;
use crate::codegen::cpu::fold::{join, start};
use crate::codegen::cpu::wide;
use crate::codegen::loops::{FoldOp, LoopVar, Stmt, Value};
use crate::ops::{Binary, Compare, DType, Reduce};

impl<'k> Select<'k> {
    pub fn fold(&mut self, stmt: &'k Stmt) -> Result<(), Refusal> {
        let Stmt::Fold { value, op, var, extent, vector, body, yields } = stmt else {
            return Err("not a fold".into());
        };
        let result = match op {
            FoldOp::ArgMax => self.position(true, *var, *extent, body, *yields)?,
            FoldOp::ArgMin => self.position(false, *var, *extent, body, *yields)?,
            FoldOp::Reduce(op) if !vector => {
                let dtype = self.dtype(*yields);
                let sum = self.begin(*op, dtype);
                self.serial_loop(*var, Span::Whole(*extent), |s| {
                    s.block(body)?;
                    let item = s.get(*yields)?;
                    s.accumulate(join(*op), dtype, sum, item)
                })?;
                sum
            }
            FoldOp::Reduce(op) => self.by_lanes(*op, *var, *extent, body, *yields)?,
        };
        self.set(*value, Source::Value(result));
        Ok(())
    }

    fn begin(&mut self, op: Reduce, dtype: DType) -> V {
        let sum = self.nest.vector();
        self.nest.push(Inst::Splat { to: sum, from: Source::Splat(super::values::bits(dtype, start(op, dtype))) });
        sum
    }

    fn accumulate(&mut self, op: Binary, dtype: DType, sum: V, item: Source) -> Result<(), Refusal> {
        let next = self.binary(op, dtype, Source::Value(sum), item)?;
        self.put(sum, next);
        Ok(())
    }

    /// `to` becomes the value; if the last instruction made it, that writes to `to` instead.
    fn put(&mut self, to: V, value: Source) {
        if let Source::Value(made) = value
            && self.nest.retarget(made, to)
        {
            return;
        }
        self.nest.push(Inst::Splat { to, from: value });
    }

    fn by_lanes(
        &mut self,
        op: Reduce,
        var: LoopVar,
        extent: usize,
        body: &'k [Stmt],
        yields: Value,
    ) -> Result<V, Refusal> {
        if self.lanes.is_some() {
            return Err("a vector fold inside of a vector loop".into());
        }
        let dtype = self.dtype(yields);
        let sum = self.begin(op, dtype);
        let marks = wide::wide_values(self.kernel, var, body);
        self.lane_loop(var, Span::Whole(extent), marks, |s| {
            s.block(body)?;
            let item = s.get(yields)?;
            if s.lanes.as_ref().is_some_and(|l| l.active == Lanes::Tail) {
                let next = s.binary(join(op), dtype, Source::Value(sum), item)?;
                let value = s.in_vector(next);
                s.nest.push(Inst::Merge { to: sum, value });
                return Ok(());
            }
            s.accumulate(join(op), dtype, sum, item)
        })?;
        for distance in [8, 4, 2, 1] {
            let other = self.one(One::Swap(distance), Source::Value(sum));
            self.accumulate(join(op), dtype, sum, other)?;
        }
        // All lanes have the result, but of equal zeros with different signs each may have taken another.
        if matches!(op, Reduce::Max | Reduce::Min) {
            let first = self.one(One::First, Source::Value(sum));
            self.put(sum, first);
        }
        Ok(sum)
    }

    /// The first position of the largest (smallest) value; NaN counts as that.
    fn position(
        &mut self,
        largest: bool,
        var: LoopVar,
        extent: usize,
        body: &'k [Stmt],
        yields: Value,
    ) -> Result<V, Refusal> {
        let dtype = self.dtype(yields);
        let (op, compare) = if largest { (Reduce::Max, Compare::Gt) } else { (Reduce::Min, Compare::Lt) };
        let best = self.begin(op, dtype);
        let position = self.begin(Reduce::Sum, DType::I32);
        self.serial_loop(var, Span::Whole(extent), |s| {
            s.block(body)?;
            let item = s.get(yields)?;
            let mut wins = s.compare(compare, dtype, item, Source::Value(best));
            if dtype == DType::F32 {
                let is_nan = s.is_nan(item);
                let known = s.is_nan(Source::Value(best));
                let ordered = s.two(Two::Xor, known, Source::Splat(u32::MAX));
                let first_nan = s.two(Two::And, is_nan, ordered);
                wins = s.two(Two::Or, wins, first_nan);
            }
            let depth = s.nest.depth();
            let counter = s.nest.multiple(depth, 1)?;
            let here = s.nest.vector();
            s.nest.push(Inst::FromGeneral { to: here, from: counter });
            let next = s.choose_lanes(wins, item, Source::Value(best));
            s.put(best, next);
            let next = s.choose_lanes(wins, Source::Value(here), Source::Value(position));
            s.put(position, next);
            Ok(())
        })?;
        Ok(position)
    }
}
