//! Folds: a loop that carries its sum.
//!
//! A vector fold has sixteen lanes: iteration `i` belongs to lane `i % 16`, and the lanes are folded as a halving tree. They
//! are four vectors of four, each turn of the loop taking one; small bodies are written out four times, larger ones once
//! with the four vectors rotating. Where the body cannot run by lanes (other dtypes, or a vector loop around it) the
//! sixteen sums are on the stack. The order of additions is the same in all three.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{self, InstBuilder, StackSlotData, StackSlotKind, types};

use super::emit::{Emit, LANES, Lanes, Refusal, Span};
use super::math::needs_table;
use super::memory::{plain, scalar_type, wide_type};
use super::wide;
use crate::codegen::loops::{FoldOp, LoopVar, Stmt, Value};
use crate::ops::{Binary, Compare, DType, Reduce};

/// Lanes of a vector fold.
const FOLD_LANES: usize = 16;
/// Statements of a body that is written out four times, if its functions leave registers free.
const SMALL_BODY: usize = 8;

pub(super) fn join(op: Reduce) -> Binary {
    match op {
        Reduce::Sum => Binary::Add,
        Reduce::Prod => Binary::Mul,
        Reduce::Max => Binary::Max,
        Reduce::Min => Binary::Min,
    }
}

/// What a fold of nothing gives: an integer's smallest and largest value for max and min.
pub(super) fn start(op: Reduce, dtype: DType) -> f64 {
    let (low, high) = match dtype {
        DType::Bool => (0.0, 1.0),
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        DType::I32 => (i32::MIN as f64, i32::MAX as f64),
        DType::I64 => (i64::MIN as f64, i64::MAX as f64),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    };
    match op {
        Reduce::Sum => 0.0,
        Reduce::Prod => 1.0,
        Reduce::Max => low,
        Reduce::Min => high,
    }
}

struct Fold<'a> {
    op: Reduce,
    var: LoopVar,
    extent: usize,
    body: &'a [Stmt],
    yields: Value,
    dtype: DType,
}

impl<'a> Emit<'a, '_> {
    pub fn fold(&mut self, stmt: &'a Stmt) -> Result<(), Refusal> {
        let Stmt::Fold { value, op, var, extent, vector, body, yields } = stmt else {
            return Err("not a fold".into());
        };
        let dtype = self.dtype(*yields);
        let wide = self.is_wide(*value);
        let result = match op {
            FoldOp::ArgMax => self.fold_position(true, *var, *extent, body, *yields, wide)?,
            FoldOp::ArgMin => self.fold_position(false, *var, *extent, body, *yields, wide)?,
            FoldOp::Reduce(op) => {
                let fold = Fold { op: *op, var: *var, extent: *extent, body, yields: *yields, dtype };
                if *vector { self.fold_lanes(&fold, wide)? } else { self.fold_in_order(&fold, wide)? }
            }
        };
        self.set(*value, result, wide);
        Ok(())
    }

    fn fold_in_order(&mut self, f: &Fold<'a>, wide: bool) -> Result<ir::Value, Refusal> {
        let first = self.constant(f.dtype, start(f.op, f.dtype), wide);
        let (_, carried) = self.repeat(Span::Whole(f.extent), 1, &[first], |e, i, sums| {
            let item = e.item(f.var, i, f.body, f.yields, wide)?;
            Ok(vec![e.binary(join(f.op), f.dtype, sums[0], item, wide)?])
        })?;
        Ok(carried[0])
    }

    /// The yielded value of iteration `i`.
    fn item(
        &mut self,
        var: LoopVar,
        i: ir::Value,
        body: &'a [Stmt],
        yields: Value,
        wide: bool,
    ) -> Result<ir::Value, Refusal> {
        self.counters[var.0 as usize] = Some(i);
        self.block(body)?;
        self.get(yields, wide)
    }

    fn fold_lanes(&mut self, f: &Fold<'a>, wide: bool) -> Result<ir::Value, Refusal> {
        if self.lanes.is_none() {
            let mut marks = wide::wide_values(self.kernel, f.var, f.body);
            // A yielded value that is the same in all iterations is added up all the same.
            let fits = !matches!(f.dtype, DType::F64 | DType::I64);
            if fits && wide::fits_lanes(self.kernel, f.body, &marks) {
                marks.truncate(self.kernel.values.len());
                self.lanes = Some(Lanes { var: f.var, wide: marks, active: LANES });
                let result = self.fold_vectors(f);
                self.lanes = None;
                return result;
            }
        }
        self.fold_on_stack(f, wide)
    }

    fn fold_vectors(&mut self, f: &Fold<'a>) -> Result<ir::Value, Refusal> {
        let zero = self.constant(f.dtype, start(f.op, f.dtype), true);
        let op = join(f.op);
        let mut sums = vec![zero; 4];
        // The vector that the next turn adds to is `sums[turn]`.
        let (groups, rest) = (f.extent / LANES, f.extent % LANES);
        let turn;
        if groups > 4 && (f.body.len() > SMALL_BODY || needs_table(f.body)) {
            let (_, carried) = self.repeat(Span::Whole(groups * LANES), LANES, &sums, |e, i, sums| {
                let item = e.item(f.var, i, f.body, f.yields, true)?;
                let sum = e.binary(op, f.dtype, sums[0], item, true)?;
                Ok(vec![sums[1], sums[2], sums[3], sum])
            })?;
            sums = carried;
            // After each turn the vectors have moved one place: the one for turn t is first after t turns.
            sums.rotate_right(groups % 4);
            turn = groups % 4;
        } else {
            let whole = f.extent / FOLD_LANES * FOLD_LANES;
            let (_, carried) = self.repeat(Span::Whole(whole), FOLD_LANES, &sums, |e, i, sums| {
                let mut next = Vec::with_capacity(4);
                for (part, &sum) in sums.iter().enumerate() {
                    let i = e.b.ins().iadd_imm_s(i, (part * LANES) as i64);
                    let item = e.item(f.var, i, f.body, f.yields, true)?;
                    next.push(e.binary(op, f.dtype, sum, item, true)?);
                }
                Ok(next)
            })?;
            sums = carried;
            let mut at = whole;
            let mut part = 0;
            while at + LANES <= f.extent {
                let i = self.b.ins().iconst(types::I64, at as i64);
                let item = self.item(f.var, i, f.body, f.yields, true)?;
                sums[part] = self.binary(op, f.dtype, sums[part], item, true)?;
                (at, part) = (at + LANES, part + 1);
            }
            turn = groups % 4;
        }
        if rest != 0 {
            self.set_active(rest);
            let i = self.b.ins().iconst(types::I64, (groups * LANES) as i64);
            let item = self.item(f.var, i, f.body, f.yields, true)?;
            let sum = self.binary(op, f.dtype, sums[turn], item, true)?;
            // The other lanes keep their sums.
            let bytes: Vec<u8> = (0..16).map(|b| if b < rest * 4 { 255 } else { 0 }).collect();
            let mask = self.b.func.dfg.constants.insert(bytes.into());
            let mask = self.b.ins().vconst(types::I32X4, mask);
            sums[turn] = self.blend(mask, sum, sums[turn]);
            self.set_active(LANES);
        }
        let low = self.binary(op, f.dtype, sums[0], sums[2], true)?;
        let high = self.binary(op, f.dtype, sums[1], sums[3], true)?;
        let four = self.binary(op, f.dtype, low, high, true)?;
        let lanes: Vec<ir::Value> = (0..4u8).map(|l| self.lane(f.dtype, four, l)).collect();
        let even = self.binary(op, f.dtype, lanes[0], lanes[2], false)?;
        let odd = self.binary(op, f.dtype, lanes[1], lanes[3], false)?;
        self.binary(op, f.dtype, even, odd, false)
    }

    /// One lane of a wide value as a scalar.
    fn lane(&mut self, dtype: DType, vector: ir::Value, lane: u8) -> ir::Value {
        let element = self.b.ins().extractlane(vector, lane);
        self.narrow(dtype, element)
    }

    fn fold_on_stack(&mut self, f: &Fold<'a>, wide: bool) -> Result<ir::Value, Refusal> {
        let ty = if wide { wide_type(f.dtype) } else { scalar_type(f.dtype) };
        let size = ty.bytes();
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size * FOLD_LANES as u32, 4);
        let slot = self.b.create_sized_stack_slot(data);
        let base = self.b.ins().stack_addr(types::I64, slot, 0);
        let first = self.constant(f.dtype, start(f.op, f.dtype), wide);
        let flags = plain().with_notrap();
        for lane in 0..FOLD_LANES {
            self.b.ins().store(flags, first, base, (lane as u32 * size) as i32);
        }
        let op = join(f.op);
        self.repeat(Span::Whole(f.extent), 1, &[], |e, i, _| {
            let item = e.item(f.var, i, f.body, f.yields, wide)?;
            let lane = e.b.ins().band_imm_u(i, FOLD_LANES as i64 - 1);
            let offset = e.b.ins().imul_imm_s(lane, size as i64);
            let place = e.b.ins().iadd(base, offset);
            let sum = e.b.ins().load(ty, flags, place, 0);
            let sum = e.binary(op, f.dtype, sum, item, wide)?;
            e.b.ins().store(flags, sum, place, 0);
            Ok(Vec::new())
        })?;
        let mut sums: Vec<ir::Value> =
            (0..FOLD_LANES).map(|lane| self.b.ins().load(ty, flags, base, (lane as u32 * size) as i32)).collect();
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] = self.binary(op, f.dtype, sums[i], sums[i + half], wide)?;
            }
        }
        Ok(sums[0])
    }

    /// The first position of the largest (smallest) value; NaN counts as that.
    fn fold_position(
        &mut self,
        largest: bool,
        var: LoopVar,
        extent: usize,
        body: &'a [Stmt],
        yields: Value,
        wide: bool,
    ) -> Result<ir::Value, Refusal> {
        let dtype = self.dtype(yields);
        let (op, compare) = if largest { (Reduce::Max, Compare::Gt) } else { (Reduce::Min, Compare::Lt) };
        let best = self.constant(dtype, start(op, dtype), wide);
        let position = self.constant(DType::I32, 0.0, wide);
        let (_, carried) = self.repeat(Span::Whole(extent), 1, &[best, position], |e, i, carried| {
            let item = e.item(var, i, body, yields, wide)?;
            let mut wins = e.compare(compare, dtype, item, carried[0]);
            if dtype.is_float() {
                let is_nan = e.b.ins().fcmp(FloatCC::Unordered, item, item);
                let ordered = e.b.ins().fcmp(FloatCC::Ordered, carried[0], carried[0]);
                let first_nan = e.b.ins().band(is_nan, ordered);
                wins = e.b.ins().bor(wins, first_nan);
            }
            let best = e.choose(wide, wins, item, carried[0]);
            let here = e.b.ins().ireduce(types::I32, i);
            let here = if wide { e.splat(DType::I32, here) } else { here };
            Ok(vec![best, e.choose(wide, wins, here, carried[1])])
        })?;
        Ok(carried[1])
    }
}
