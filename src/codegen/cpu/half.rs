//! Numbers of 16 bits: loaded into, computed as, and stored from `f32`. A value of a half dtype is an `f32` (or `f32x4`)
//! that the dtype can hold: whatever computes one rounds it here, to nearest, ties to even. In: scalars or lanes. Out: the
//! same, by integer arithmetic on the bits, so that any machine will do. The formulas are those of
//! [`crate::ops::half`], bit for bit but for the payload of a NaN.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, types};

use super::emit::Emit;
use crate::ops::DType;

/// The bits of infinity, of 65536 (past the largest f16), and of 2^-14 (the smallest normal f16), as f32.
const INFINITY: i32 = 0x7f80_0000;
const PAST_F16: i32 = 0x4780_0000;
const NORMAL_F16: i32 = 0x3880_0000;

impl Emit<'_, '_> {
    fn word(&mut self, value: i32, wide: bool) -> ir::Value {
        self.constant(DType::I32, f64::from(value), wide)
    }

    fn as_words(&mut self, value: ir::Value, wide: bool) -> ir::Value {
        self.bits(if wide { types::I32X4 } else { types::I32 }, value)
    }

    fn as_floats(&mut self, words: ir::Value, wide: bool) -> ir::Value {
        self.bits(if wide { types::F32X4 } else { types::F32 }, words)
    }

    fn masked(&mut self, words: ir::Value, mask: i32, wide: bool) -> ir::Value {
        let mask = self.word(mask, wide);
        self.b.ins().band(words, mask)
    }

    fn words_at_least(&mut self, words: ir::Value, limit: i32, wide: bool) -> ir::Value {
        let limit = self.word(limit, wide);
        self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, words, limit)
    }

    /// Bits with the lowest `count` rounded away, to nearest, ties to even.
    fn rounded_bits(&mut self, words: ir::Value, count: u32, wide: bool) -> ir::Value {
        let odd = self.b.ins().ushr_imm_u(words, i64::from(count));
        let odd = self.masked(odd, 1, wide);
        let half = self.word((1 << (count - 1)) - 1, wide);
        let sum = self.b.ins().iadd(words, half);
        let sum = self.b.ins().iadd(sum, odd);
        self.masked(sum, -1 << count, wide)
    }

    /// The nearest number that the half dtype holds, of an `f32`.
    pub(super) fn round_half(&mut self, dtype: DType, value: ir::Value, wide: bool) -> ir::Value {
        let words = self.as_words(value, wide);
        let is_nan = self.b.ins().fcmp(FloatCC::Unordered, value, value);
        let nan = self.word(0x7fc0_0000, wide);
        if dtype == DType::BF16 {
            let rounded = self.rounded_bits(words, 16, wide);
            let rounded = self.choose(wide, is_nan, nan, rounded);
            return self.as_floats(rounded, wide);
        }
        let sign = self.masked(words, i32::MIN, wide);
        let size = self.b.ins().bxor(words, sign);
        let normal = self.rounded_bits(size, 13, wide);
        // Below 2^-14 all numbers are multiples of 2^-24, which is the last place of those in 0.5..1.
        let half = self.constant(DType::F32, 0.5, wide);
        let absolute = self.as_floats(size, wide);
        let sum = self.b.ins().fadd(absolute, half);
        let small = self.b.ins().fsub(sum, half);
        let small = self.as_words(small, wide);
        let is_normal = self.words_at_least(size, NORMAL_F16, wide);
        let rounded = self.choose(wide, is_normal, normal, small);
        let infinity = self.word(INFINITY, wide);
        let is_past = self.words_at_least(rounded, PAST_F16, wide);
        let rounded = self.choose(wide, is_past, infinity, rounded);
        let rounded = self.choose(wide, is_nan, nan, rounded);
        let signed = self.b.ins().bor(rounded, sign);
        self.as_floats(signed, wide)
    }

    /// 32-bit words with the 16 bits of halves, as `f32`.
    fn unpack(&mut self, dtype: DType, words: ir::Value, wide: bool) -> ir::Value {
        if dtype == DType::BF16 {
            let words = self.b.ins().ishl_imm_u(words, 16);
            return self.as_floats(words, wide);
        }
        let sign = self.masked(words, 0x8000, wide);
        let sign = self.b.ins().ishl_imm_u(sign, 16);
        let size = self.masked(words, 0x7fff, wide);
        let moved = self.b.ins().ishl_imm_u(size, 13);
        // The exponents' biases differ by 112; the product also makes numbers below the normal range right.
        let scale = self.constant(DType::F32, 2f64.powi(112), wide);
        let finite = self.as_floats(moved, wide);
        let finite = self.b.ins().fmul(finite, scale);
        let finite = self.as_words(finite, wide);
        let infinity = self.word(INFINITY, wide);
        let infinite = self.b.ins().bor(moved, infinity);
        let is_infinite = self.words_at_least(size, 0x7c00, wide);
        let value = self.choose(wide, is_infinite, infinite, finite);
        let value = self.b.ins().bor(value, sign);
        self.as_floats(value, wide)
    }

    /// The 16 bits, in 32-bit words, of numbers that the dtype holds.
    fn pack(&mut self, dtype: DType, value: ir::Value, wide: bool) -> ir::Value {
        let words = self.as_words(value, wide);
        if dtype == DType::BF16 {
            return self.b.ins().ushr_imm_u(words, 16);
        }
        let sign = self.b.ins().ushr_imm_u(words, 16);
        let sign = self.masked(sign, 0x8000, wide);
        let size = self.masked(words, i32::MAX, wide);
        let scale = self.constant(DType::F32, 2f64.powi(-112), wide);
        let finite = self.as_floats(size, wide);
        let finite = self.b.ins().fmul(finite, scale);
        let finite = self.as_words(finite, wide);
        let finite = self.b.ins().ushr_imm_u(finite, 13);
        let (infinity, nan) = (self.word(0x7c00, wide), self.word(0x7e00, wide));
        let is_nan = self.words_at_least(size, INFINITY + 1, wide);
        let special = self.choose(wide, is_nan, nan, infinity);
        let is_special = self.words_at_least(size, INFINITY, wide);
        let half = self.choose(wide, is_special, special, finite);
        self.b.ins().bor(half, sign)
    }

    pub(super) fn load_half(
        &mut self,
        dtype: DType,
        flags: MemFlagsData,
        pointer: ir::Value,
        offset: i32,
    ) -> ir::Value {
        let bits = self.b.ins().load(types::I16, flags, pointer, offset);
        let word = self.b.ins().uextend(types::I32, bits);
        self.unpack(dtype, word, false)
    }

    pub(super) fn store_half(
        &mut self,
        dtype: DType,
        flags: MemFlagsData,
        value: ir::Value,
        pointer: ir::Value,
        offset: i32,
    ) {
        let word = self.pack(dtype, value, false);
        let bits = self.b.ins().ireduce(types::I16, word);
        self.b.ins().store(flags, bits, pointer, offset);
    }

    /// Four neighbours.
    pub(super) fn load_halves(
        &mut self,
        dtype: DType,
        flags: MemFlagsData,
        pointer: ir::Value,
        offset: i32,
    ) -> ir::Value {
        let four = self.b.ins().load(types::I64, flags, pointer, offset);
        let vector = self.b.ins().scalar_to_vector(types::I64X2, four);
        let bits = self.bits(types::I16X8, vector);
        let words = self.b.ins().uwiden_low(bits);
        self.unpack(dtype, words, true)
    }

    pub(super) fn store_halves(
        &mut self,
        dtype: DType,
        flags: MemFlagsData,
        value: ir::Value,
        pointer: ir::Value,
        offset: i32,
    ) {
        let words = self.pack(dtype, value, true);
        let bits = self.b.ins().unarrow(words, words);
        let longs = self.bits(types::I64X2, bits);
        let four = self.b.ins().extractlane(longs, 0u8);
        self.b.ins().store(flags, four, pointer, offset);
    }
}
