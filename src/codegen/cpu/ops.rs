//! Scalar operations as instructions, on scalars and by lanes.
//!
//! The exact operations give the bits that the kernel IR's interpreter gives (of a NaN: a NaN; of a maximum of two zeros:
//! a zero); functions such as `exp` are in `math`. Integer division by zero gives 0. Operations on halves are those on
//! `f32`, rounded.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{self, InstBuilder, types};

use super::emit::{Emit, Refusal};
use super::memory::{scalar_type, wide_type};
use super::symbols::Symbol;
use crate::codegen::loops::{Expr, Index};
use crate::ops::{Binary, Compare, DType, Unary, half};

impl<'a> Emit<'a, '_> {
    pub fn expr(&mut self, expr: &'a Expr, dtype: DType, wide: bool) -> Result<ir::Value, Refusal> {
        match expr {
            Expr::Const(v) => Ok(self.constant(dtype, *v, wide)),
            Expr::Load { buffer, index, guard, otherwise } => {
                let stored = self.kernel.buffers[buffer.0 as usize].dtype;
                if stored != dtype {
                    return Err(format!("a {dtype} is loaded from a buffer of {stored}"));
                }
                self.load(*buffer, index, guard, *otherwise, wide)
            }
            Expr::Unary(op, a) => {
                let a = self.get(*a, wide)?;
                self.unary(*op, dtype, a, wide)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.get(*a, wide)?, self.get(*b, wide)?);
                self.binary(*op, dtype, a, b, wide)
            }
            Expr::Compare(op, a, b) => {
                let operands = self.dtype(*a);
                let (a, b) = (self.get(*a, wide)?, self.get(*b, wide)?);
                Ok(self.compare(*op, operands, a, b))
            }
            Expr::Select(c, a, b) => {
                if !wide {
                    let (c, a, b) = (self.get(*c, false)?, self.get(*a, false)?, self.get(*b, false)?);
                    return Ok(self.b.ins().select(c, a, b));
                }
                if !self.is_wide(*c) {
                    let (c, a, b) = (self.get(*c, false)?, self.get(*a, true)?, self.get(*b, true)?);
                    let mask = self.splat(DType::Bool, c);
                    return Ok(self.blend(mask, a, b));
                }
                let (c, a, b) = (self.get(*c, true)?, self.get(*a, true)?, self.get(*b, true)?);
                Ok(self.blend(c, a, b))
            }
            Expr::Cast(a) => {
                let from = self.dtype(*a);
                let a = self.get(*a, wide)?;
                Ok(self.cast(from, dtype, a, wide))
            }
            Expr::Counter(index) => self.counter(index, wide),
        }
    }

    pub fn constant(&mut self, dtype: DType, value: f64, wide: bool) -> ir::Value {
        let scalar = match dtype {
            DType::F32 | DType::F16 | DType::BF16 => {
                let value = half::round(value, dtype) as f32;
                self.b.ins().f32const(Ieee32::with_bits(value.to_bits()))
            }
            DType::F64 => self.b.ins().f64const(Ieee64::with_bits(value.to_bits())),
            DType::Bool if wide => {
                let mask = if value != 0.0 { 0xffff_ffff } else { 0 };
                let word = self.b.ins().iconst(types::I32, mask);
                return self.b.ins().splat(types::I32X4, word);
            }
            _ => {
                let ty = if wide { types::I32 } else { scalar_type(dtype) };
                let n = match dtype {
                    DType::Bool => (value != 0.0) as i64,
                    DType::U8 => value as u8 as i64,
                    DType::I8 => value as i8 as i64,
                    DType::I32 => value as i32 as i64,
                    _ => value as i64,
                };
                // The immediate must be the bits of the type, zero-extended.
                let bits = if ty == types::I64 { n } else { n & ((1i64 << ty.bits()) - 1) };
                self.b.ins().iconst(ty, bits)
            }
        };
        if wide { self.b.ins().splat(wide_type(dtype), scalar) } else { scalar }
    }

    /// By a mask, of wide values of one type.
    pub fn blend(&mut self, mask: ir::Value, a: ir::Value, b: ir::Value) -> ir::Value {
        let ty = self.b.func.dfg.value_type(a);
        let mask = self.bits(ty, mask);
        self.b.ins().bitselect(mask, a, b)
    }

    /// By a condition of either kind.
    pub fn choose(&mut self, wide: bool, condition: ir::Value, a: ir::Value, b: ir::Value) -> ir::Value {
        if wide { self.blend(condition, a, b) } else { self.b.ins().select(condition, a, b) }
    }

    /// A result in 32-bit lanes brought back into its dtype.
    fn wrap(&mut self, dtype: DType, value: ir::Value, wide: bool) -> ir::Value {
        match dtype {
            DType::U8 if wide => self.mask_lanes(value, 255),
            DType::I8 if wide => {
                let up = self.b.ins().ishl_imm_u(value, 24);
                self.b.ins().sshr_imm_u(up, 24)
            }
            _ => value,
        }
    }

    fn mask_lanes(&mut self, value: ir::Value, mask: i32) -> ir::Value {
        let mask = self.constant(DType::I32, mask as f64, true);
        self.b.ins().band(value, mask)
    }

    fn counter(&mut self, index: &Index, wide: bool) -> Result<ir::Value, Refusal> {
        let first = self.index(index)?;
        let first = self.b.ins().ireduce(types::I32, first);
        let Some(lanes) = self.lanes.as_ref().filter(|_| wide) else { return Ok(first) };
        let stride = super::wide::stride_of(index, lanes.var);
        let mut sum = self.b.ins().splat(types::I32X4, first);
        if stride != 0 {
            let steps: Vec<u8> = (0..4i64).flat_map(|l| ((l * stride) as i32).to_le_bytes()).collect();
            let constant = self.b.func.dfg.constants.insert(steps.into());
            let steps = self.b.ins().vconst(types::I32X4, constant);
            sum = self.b.ins().iadd(sum, steps);
        }
        for &(value, stride) in &index.values {
            if self.is_wide(value) {
                let words = self.get(value, true)?;
                let by = self.constant(DType::I32, stride as i32 as f64, true);
                let term = self.b.ins().imul(words, by);
                sum = self.b.ins().iadd(sum, term);
            }
        }
        Ok(sum)
    }

    pub fn unary(&mut self, op: Unary, dtype: DType, a: ir::Value, wide: bool) -> Result<ir::Value, Refusal> {
        if !dtype.is_float() {
            return Ok(match op {
                Unary::Not if dtype == DType::Bool && !wide => self.b.ins().bxor_imm_u(a, 1),
                Unary::Not => {
                    let flipped = self.b.ins().bnot(a);
                    if dtype == DType::Bool { flipped } else { self.wrap(dtype, flipped, wide) }
                }
                Unary::Neg if dtype != DType::Bool => {
                    let negated = self.b.ins().ineg(a);
                    self.wrap(dtype, negated, wide)
                }
                Unary::Abs if !matches!(dtype, DType::Bool | DType::U8) => {
                    let positive = self.b.ins().iabs(a);
                    self.wrap(dtype, positive, wide)
                }
                _ => a,
            });
        }
        if dtype.is_half() {
            let result = self.unary(op, DType::F32, a, wide)?;
            let fits = matches!(op, Unary::Neg | Unary::Abs | Unary::Floor | Unary::Ceil | Unary::Round);
            return Ok(if fits { result } else { self.round_half(dtype, result, wide) });
        }
        if dtype == DType::F64 {
            let symbol = match op {
                Unary::Exp => Symbol::exp_f64,
                Unary::Log => Symbol::log_f64,
                Unary::Sin => Symbol::sin_f64,
                Unary::Cos => Symbol::cos_f64,
                Unary::Tanh => Symbol::tanh_f64,
                Unary::Erf => Symbol::erf_f64,
                _ => return Ok(self.exact(op, dtype, a, wide)),
            };
            return Ok(self.call(symbol, &[a]));
        }
        Ok(match op {
            Unary::Exp => self.exp(a, wide),
            Unary::Log => self.log(a, wide),
            Unary::Sin => self.sin_cos(a, wide, false)?,
            Unary::Cos => self.sin_cos(a, wide, true)?,
            Unary::Tanh => self.tanh(a, wide),
            Unary::Erf => self.erf(a, wide),
            _ => self.exact(op, dtype, a, wide),
        })
    }

    fn exact(&mut self, op: Unary, dtype: DType, a: ir::Value, wide: bool) -> ir::Value {
        match op {
            Unary::Neg => self.b.ins().fneg(a),
            Unary::Abs => self.b.ins().fabs(a),
            Unary::Sqrt => self.b.ins().sqrt(a),
            Unary::Floor => self.b.ins().floor(a),
            Unary::Ceil => self.b.ins().ceil(a),
            Unary::Round => self.b.ins().nearest(a),
            _ => {
                let zero = self.constant(dtype, 0.0, wide);
                let one = self.constant(dtype, 1.0, wide);
                let is_zero = self.b.ins().fcmp(FloatCC::Equal, a, zero);
                self.choose(wide, is_zero, one, zero)
            }
        }
    }

    pub fn binary(
        &mut self,
        op: Binary,
        dtype: DType,
        a: ir::Value,
        b: ir::Value,
        wide: bool,
    ) -> Result<ir::Value, Refusal> {
        if dtype.is_half() {
            let result = self.binary_float(op, DType::F32, a, b, wide)?;
            let fits = matches!(op, Binary::Max | Binary::Min);
            return Ok(if fits { result } else { self.round_half(dtype, result, wide) });
        }
        if dtype.is_float() {
            return self.binary_float(op, dtype, a, b, wide);
        }
        if dtype == DType::Bool {
            return Ok(match op {
                Binary::And | Binary::Mul | Binary::Min => self.b.ins().band(a, b),
                Binary::Or | Binary::Add | Binary::Max => self.b.ins().bor(a, b),
                Binary::Xor | Binary::Sub => self.b.ins().bxor(a, b),
                _ => return Err(format!("{} of bools", op.name())),
            });
        }
        let result = match op {
            Binary::Add => self.b.ins().iadd(a, b),
            Binary::Sub => self.b.ins().isub(a, b),
            Binary::Mul => self.b.ins().imul(a, b),
            Binary::And => self.b.ins().band(a, b),
            Binary::Or => self.b.ins().bor(a, b),
            Binary::Xor => self.b.ins().bxor(a, b),
            Binary::Max | Binary::Min if wide => match op {
                Binary::Max => self.b.ins().smax(a, b),
                _ => self.b.ins().smin(a, b),
            },
            Binary::Max | Binary::Min => {
                let greater = self.compare(Compare::Gt, dtype, a, b);
                let (x, y) = if op == Binary::Max { (a, b) } else { (b, a) };
                self.b.ins().select(greater, x, y)
            }
            Binary::Atan2 => self.constant(dtype, 0.0, wide),
            Binary::Shl | Binary::Shr => self.shift(op, dtype, a, b, wide)?,
            Binary::Div | Binary::Rem | Binary::Pow => {
                if wide {
                    self.by_lane(&[a, b], types::I32X4, |e, x| e.int_slow(op, DType::I32, x[0], x[1]))?
                } else {
                    self.int_slow(op, dtype, a, b)?
                }
            }
        };
        Ok(self.wrap(dtype, result, wide))
    }

    fn binary_float(
        &mut self,
        op: Binary,
        dtype: DType,
        a: ir::Value,
        b: ir::Value,
        wide: bool,
    ) -> Result<ir::Value, Refusal> {
        let double = dtype == DType::F64;
        let symbol = match op {
            Binary::Add => return Ok(self.b.ins().fadd(a, b)),
            Binary::Sub => return Ok(self.b.ins().fsub(a, b)),
            Binary::Mul => return Ok(self.b.ins().fmul(a, b)),
            Binary::Div => return Ok(self.b.ins().fdiv(a, b)),
            Binary::Max | Binary::Min => return Ok(self.extremum(op, a, b, wide)),
            Binary::Pow if double => Symbol::pow_f64,
            Binary::Pow => Symbol::pow_f32,
            Binary::Atan2 if double => Symbol::atan2_f64,
            Binary::Atan2 => Symbol::atan2_f32,
            Binary::Rem if double => Symbol::rem_f64,
            Binary::Rem => Symbol::rem_f32,
            _ => return Err(format!("{} of {dtype}", op.name())),
        };
        if !wide {
            return Ok(self.call(symbol, &[a, b]));
        }
        self.by_lane(&[a, b], types::F32X4, |e, x| Ok(e.call(symbol, x)))
    }

    /// NaN if either is: the larger of both gives the second operand unless the first is larger, so only a NaN in the first
    /// is left to see to, and not even that if the second is a number for certain.
    fn extremum(&mut self, op: Binary, a: ir::Value, b: ir::Value, wide: bool) -> ir::Value {
        let (a, b) = if self.is_number(a) { (a, b) } else { (b, a) };
        let (low, high) = if op == Binary::Max { (b, a) } else { (a, b) };
        let first = self.b.ins().fcmp(FloatCC::LessThan, low, high);
        let best = self.choose(wide, first, a, b);
        if self.is_number(a) {
            return best;
        }
        let is_nan = self.b.ins().fcmp(FloatCC::Unordered, a, a);
        self.choose(wide, is_nan, a, best)
    }

    /// Whether the value is a constant other than NaN.
    fn is_number(&self, value: ir::Value) -> bool {
        let Some(inst) = self.b.func.dfg.value_def(value).inst() else { return false };
        match self.b.func.dfg.insts[inst] {
            ir::InstructionData::UnaryIeee32 { imm, .. } => !f32::from_bits(imm.bits()).is_nan(),
            ir::InstructionData::UnaryIeee64 { imm, .. } => !f64::from_bits(imm.bits()).is_nan(),
            ir::InstructionData::Unary { opcode: ir::Opcode::Splat, arg } => self.is_number(arg),
            _ => false,
        }
    }

    fn shift(
        &mut self,
        op: Binary,
        dtype: DType,
        a: ir::Value,
        b: ir::Value,
        wide: bool,
    ) -> Result<ir::Value, Refusal> {
        if !wide {
            // The count is taken modulo the width, as the instructions do.
            return Ok(if op == Binary::Shl { self.b.ins().ishl(a, b) } else { self.b.ins().ushr(a, b) });
        }
        let bits = dtype.bytes() as i64 * 8;
        let a = if dtype == DType::I8 && op == Binary::Shr { self.mask_lanes(a, 255) } else { a };
        if let Some(count) = self.same_in_all_lanes(b) {
            let count = self.b.ins().band_imm_u(count, bits - 1);
            return Ok(if op == Binary::Shl { self.b.ins().ishl(a, count) } else { self.b.ins().ushr(a, count) });
        }
        self.by_lane(&[a, b], types::I32X4, |e, x| {
            let count = e.b.ins().band_imm_u(x[1], bits - 1);
            Ok(if op == Binary::Shl { e.b.ins().ishl(x[0], count) } else { e.b.ins().ushr(x[0], count) })
        })
    }

    fn same_in_all_lanes(&self, value: ir::Value) -> Option<ir::Value> {
        let inst = self.b.func.dfg.value_def(value).inst()?;
        match self.b.func.dfg.insts[inst] {
            ir::InstructionData::Unary { opcode: ir::Opcode::Splat, arg } => Some(arg),
            _ => None,
        }
    }

    /// Applies a scalar operation to each active lane.
    pub fn by_lane(
        &mut self,
        operands: &[ir::Value],
        ty: ir::Type,
        mut apply: impl FnMut(&mut Self, &[ir::Value]) -> Result<ir::Value, Refusal>,
    ) -> Result<ir::Value, Refusal> {
        let active = self.lanes.as_ref().map_or(1, |l| l.active);
        let mut results = Vec::with_capacity(active);
        for lane in 0..active {
            let elements: Vec<ir::Value> = operands.iter().map(|&v| self.b.ins().extractlane(v, lane as u8)).collect();
            results.push(apply(self, &elements)?);
        }
        Ok(self.join_lanes(ty, &results))
    }

    /// Scalar division, remainder and power of integers.
    fn int_slow(&mut self, op: Binary, dtype: DType, a: ir::Value, b: ir::Value) -> Result<ir::Value, Refusal> {
        let ty = scalar_type(dtype);
        let signed = dtype != DType::U8;
        // Eight bits are widened: one rule for all.
        let small = ty == types::I8;
        let work = if op == Binary::Pow {
            types::I64
        } else if small {
            types::I32
        } else {
            ty
        };
        let extend = |e: &mut Self, v| match (ty == work, signed) {
            (true, _) => v,
            (_, true) => e.b.ins().sextend(work, v),
            (_, false) => e.b.ins().uextend(work, v),
        };
        let (a, b) = (extend(self, a), extend(self, b));
        let result = match op {
            Binary::Pow => self.call(Symbol::pow_i64, &[a, b]),
            _ => self.floor_divide(op, work, a, b),
        };
        Ok(if work == ty { result } else { self.b.ins().ireduce(ty, result) })
    }

    /// Towards minus infinity; 0 if the divisor is 0; the negated operand (wrapped) if it is minus one.
    fn floor_divide(&mut self, op: Binary, ty: ir::Type, a: ir::Value, b: ir::Value) -> ir::Value {
        let zero = self.b.ins().iconst(ty, 0);
        let one = self.b.ins().iconst(ty, 1);
        let by_zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let by_minus_one = self.b.ins().icmp_imm_s(IntCC::Equal, b, -1);
        // With this divisor nothing can trap.
        let unsafe_divisor = self.b.ins().bor(by_zero, by_minus_one);
        let divisor = self.b.ins().select(unsafe_divisor, one, b);
        let quotient = self.b.ins().sdiv(a, divisor);
        let product = self.b.ins().imul(quotient, divisor);
        let rest = self.b.ins().isub(a, product);
        let signs = self.b.ins().bxor(rest, divisor);
        let opposite = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
        let inexact = self.b.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        let adjust = self.b.ins().band(opposite, inexact);
        if op == Binary::Rem {
            let moved = self.b.ins().iadd(rest, divisor);
            let rest = self.b.ins().select(adjust, moved, rest);
            return self.b.ins().select(unsafe_divisor, zero, rest);
        }
        let lower = self.b.ins().iadd_imm_s(quotient, -1);
        let quotient = self.b.ins().select(adjust, lower, quotient);
        let negated = self.b.ins().ineg(a);
        let quotient = self.b.ins().select(by_minus_one, negated, quotient);
        self.b.ins().select(by_zero, zero, quotient)
    }

    /// Of either kind: the operands' types tell.
    pub fn compare(&mut self, op: Compare, dtype: DType, a: ir::Value, b: ir::Value) -> ir::Value {
        if dtype.is_float() {
            let condition = match op {
                Compare::Eq => FloatCC::Equal,
                Compare::Ne => FloatCC::NotEqual,
                Compare::Lt => FloatCC::LessThan,
                Compare::Le => FloatCC::LessThanOrEqual,
                Compare::Gt => FloatCC::GreaterThan,
                Compare::Ge => FloatCC::GreaterThanOrEqual,
            };
            return self.b.ins().fcmp(condition, a, b);
        }
        // A true bool is all ones by lanes: the largest number without a sign. U8 in 32-bit lanes is positive.
        let unsigned = matches!(dtype, DType::Bool | DType::U8);
        let condition = match (op, unsigned) {
            (Compare::Eq, _) => IntCC::Equal,
            (Compare::Ne, _) => IntCC::NotEqual,
            (Compare::Lt, false) => IntCC::SignedLessThan,
            (Compare::Le, false) => IntCC::SignedLessThanOrEqual,
            (Compare::Gt, false) => IntCC::SignedGreaterThan,
            (Compare::Ge, false) => IntCC::SignedGreaterThanOrEqual,
            (Compare::Lt, true) => IntCC::UnsignedLessThan,
            (Compare::Le, true) => IntCC::UnsignedLessThanOrEqual,
            (Compare::Gt, true) => IntCC::UnsignedGreaterThan,
            (Compare::Ge, true) => IntCC::UnsignedGreaterThanOrEqual,
        };
        self.b.ins().icmp(condition, a, b)
    }

    pub fn cast(&mut self, from: DType, to: DType, a: ir::Value, wide: bool) -> ir::Value {
        if from == to {
            return a;
        }
        if to == DType::Bool {
            let zero = self.constant(from, 0.0, wide);
            return self.compare(Compare::Ne, from, a, zero);
        }
        // A half is an f32 that fits.
        let from = if from.is_half() { DType::F32 } else { from };
        if to.is_half() {
            let number = self.cast(from, DType::F32, a, wide);
            return self.round_half(to, number, wide);
        }
        if from == to {
            return a;
        }
        if wide { self.cast_wide(from, to, a) } else { self.cast_scalar(from, to, a) }
    }

    fn cast_wide(&mut self, from: DType, to: DType, a: ir::Value) -> ir::Value {
        match (from, to) {
            (DType::Bool, _) => {
                let one = self.constant(to, 1.0, true);
                let one = self.bits(types::I32X4, one);
                let masked = self.b.ins().band(a, one);
                self.bits(wide_type(to), masked)
            }
            (DType::F32, _) => {
                let whole = self.b.ins().fcvt_to_sint_sat(types::I32X4, a);
                if to == DType::I32 {
                    return whole;
                }
                let (low, high) = if to == DType::U8 { (0.0, 255.0) } else { (-128.0, 127.0) };
                let (low, high) = (self.constant(DType::I32, low, true), self.constant(DType::I32, high, true));
                let above = self.b.ins().smax(whole, low);
                self.b.ins().smin(above, high)
            }
            (_, DType::F32) => self.b.ins().fcvt_from_sint(types::F32X4, a),
            _ => self.wrap(to, a, true),
        }
    }

    fn cast_scalar(&mut self, from: DType, to: DType, a: ir::Value) -> ir::Value {
        match (from, to) {
            (DType::F32, DType::F64) => self.b.ins().fpromote(types::F64, a),
            (DType::F64, DType::F32) => self.b.ins().fdemote(types::F32, a),
            (f, DType::I32 | DType::I64) if f.is_float() => self.b.ins().fcvt_to_sint_sat(scalar_type(to), a),
            (f, _) if f.is_float() => {
                let whole = self.b.ins().fcvt_to_sint_sat(types::I32, a);
                let (low, high) = if to == DType::U8 { (0, 255) } else { (-128, 127) };
                let low = self.constant(DType::I32, low as f64, false);
                let high = self.constant(DType::I32, high as f64, false);
                let above = self.b.ins().smax(whole, low);
                let inside = self.b.ins().smin(above, high);
                self.b.ins().ireduce(types::I8, inside)
            }
            (_, t) if t.is_float() => {
                let word = match from {
                    DType::Bool | DType::U8 => self.b.ins().uextend(types::I32, a),
                    DType::I8 => self.b.ins().sextend(types::I32, a),
                    _ => a,
                };
                self.b.ins().fcvt_from_sint(scalar_type(to), word)
            }
            _ => {
                let (old, new) = (scalar_type(from), scalar_type(to));
                match (new.bits().cmp(&old.bits()), from) {
                    (std::cmp::Ordering::Equal, _) => a,
                    (std::cmp::Ordering::Less, _) => self.b.ins().ireduce(new, a),
                    (_, DType::Bool | DType::U8) => self.b.ins().uextend(new, a),
                    _ => self.b.ins().sextend(new, a),
                }
            }
        }
    }
}
