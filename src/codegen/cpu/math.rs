//! Elementary functions of `f32` as polynomials, one definition for scalars and lanes.
//!
//! Errors are at most 2 units in the last place (measured over dense sweeps by the tests); special values are exact:
//! infinities, NaN, results below the normal range. Constants are those of Cephes (S. Moshier) unless said otherwise.
//! With fused multiply-add the last bit may differ from a machine without.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Type, types};

use super::emit::{Emit, Refusal};
use super::symbols::Symbol;
use crate::codegen::loops::{Expr, Stmt};
use crate::ops::{DType, Unary};

/// 1.5 * 2^23: added to a number below 2^22, it leaves the nearest whole number in the low bits.
const MAGIC: f32 = 12582912.0;
/// Beyond it, sin and cos call the host's.
const TRIG_LIMIT: f32 = 1.0e8;

/// `ln 2` in two parts, the first short enough for exact products.
const LN2_HIGH: f32 = 0.6933594;
const LN2_LOW: f32 = -2.1219444e-4;

/// exp(r) = 1 + r + r^2 * p(r) for |r| <= ln 2 / 2.
const EXP: [f32; 6] = [1.9875691e-4, 1.3981999e-3, 8.333452e-3, 4.1665796e-2, 1.6666666e-1, 0.5];
/// log(1 + m) = m - m^2 / 2 + m^3 * p(m).
const LOG: [f32; 9] = [
    7.0376836e-2,
    -1.151461e-1,
    1.16769984e-1,
    -1.2420141e-1,
    1.4249323e-1,
    -1.6668057e-1,
    2.0000714e-1,
    -2.4999994e-1,
    3.333333e-1,
];
/// tanh(x) = x + x^3 * p(x^2) for |x| < 0.625.
const TANH: [f32; 5] = [-5.7049887e-3, 2.0639088e-2, -5.3739715e-2, 1.3331442e-1, -3.333328e-1];
const SIN: [f32; 3] = [-1.9515296e-4, 8.332161e-3, -1.6666655e-1];
const COS: [f32; 3] = [2.4433157e-5, -1.3887316e-3, 4.1666646e-2];
/// erf(x) = x + x * p(x^2) near zero, and 1 - exp(t * p(t) - t) beyond (N. Juffa).
const ERF_SMALL: [f32; 6] = [-5.967617e-4, 4.9911942e-3, -2.6768135e-2, 1.12819925e-1, -3.7612534e-1, 1.2837917e-1];
const ERF_LARGE: [f32; 7] =
    [-1.7285347e-5, 3.8319713e-4, -3.8839644e-3, 2.4254622e-2, -1.0677788e-1, -6.348467e-1, -1.2871751e-1];

/// The other constants that occur by lanes.
const OTHERS: [f32; 20] = [
    MAGIC,
    TRIG_LIMIT,
    -LN2_HIGH,
    -LN2_LOW,
    LN2_HIGH,
    LN2_LOW,
    std::f32::consts::LOG2_E,
    89.0,
    -105.0,
    f32::MIN_POSITIVE,
    8388608.0,
    1.0,
    2.0,
    23.0,
    -0.5,
    f32::INFINITY,
    f32::NEG_INFINITY,
    9.25,
    0.625,
    4.0,
];
const INTEGERS: [i32; 5] = [MAGIC.to_bits() as i32, 127, std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32, i32::MIN, 1];

/// Four equal lanes.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Splat(#[allow(dead_code, reason = "read by generated code")] [u32; 4]);

const TABLE_LEN: usize =
    EXP.len() + LOG.len() + TANH.len() + SIN.len() + COS.len() + ERF_SMALL.len() + ERF_LARGE.len() + 25;

/// Bits of all constants.
const WORDS: [u32; TABLE_LEN] = {
    let lists: [&[f32]; 8] = [&EXP, &LOG, &TANH, &SIN, &COS, &ERF_SMALL, &ERF_LARGE, &OTHERS];
    let mut words = [0; TABLE_LEN];
    let (mut at, mut list) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            words[at] = lists[list][i].to_bits();
            (at, i) = (at + 1, i + 1);
        }
        list += 1;
    }
    let mut i = 0;
    while i < INTEGERS.len() {
        words[at] = INTEGERS[i] as u32;
        (at, i) = (at + 1, i + 1);
    }
    words
};

/// The constants in memory. The functions here use more of them than there are registers; as operands in memory they
/// cost nothing, while constants that Cranelift moves out of a loop are spilled and read back.
static TABLE: [Splat; TABLE_LEN] = {
    let mut table = [Splat([0; 4]); TABLE_LEN];
    let mut i = 0;
    while i < TABLE_LEN {
        table[i] = Splat([WORDS[i]; 4]);
        i += 1;
    }
    table
};

/// The name under which modules import the table.
pub(super) const TABLE_NAME: &str = "nnc_math_constants";

pub(super) fn table_address() -> *const u8 {
    TABLE.as_ptr().cast()
}

/// Whether code here has more constants than registers hold. The exponential alone does not.
pub(super) fn needs_table(body: &[Stmt]) -> bool {
    use Unary::{Cos, Erf, Log, Sin, Tanh};
    body.iter().any(|stmt| match stmt {
        Stmt::Let { expr, .. } => matches!(expr, Expr::Unary(Log | Sin | Cos | Tanh | Erf, _)),
        Stmt::For { body, .. } | Stmt::Fold { body, .. } => needs_table(body),
        Stmt::Store { .. } => false,
    })
}

impl Emit<'_, '_> {
    fn f(&mut self, wide: bool, value: f32) -> ir::Value {
        match self.in_table(wide, value.to_bits(), types::F32X4) {
            Some(constant) => constant,
            None => self.constant(DType::F32, value as f64, wide),
        }
    }

    fn i(&mut self, wide: bool, value: i32) -> ir::Value {
        match self.in_table(wide, value as u32, types::I32X4) {
            Some(constant) => constant,
            None => self.constant(DType::I32, value as f64, wide),
        }
    }

    /// Four lanes of a constant as an operand in memory. Its address depends, in form, on the loop's counter (by bits that
    /// are always zero): otherwise Cranelift would load it before the loop.
    fn in_table(&mut self, wide: bool, bits: u32, ty: Type) -> Option<ir::Value> {
        let table = self.table.filter(|_| wide)?;
        let at = WORDS.iter().position(|w| *w == bits)?;
        let here = match self.innermost {
            Some(counter) => {
                let nothing = self.b.ins().ushr_imm_u(counter, 62);
                self.b.ins().iadd(table, nothing)
            }
            None => table,
        };
        let flags = MemFlagsData::new().with_notrap().with_aligned().with_readonly().with_can_move();
        Some(self.b.ins().load(ty, flags, here, 16 * at as i32))
    }

    fn int_type(wide: bool) -> Type {
        if wide { types::I32X4 } else { types::I32 }
    }

    fn float_type(wide: bool) -> Type {
        if wide { types::F32X4 } else { types::F32 }
    }

    /// `a * b + c`, fused if the machine can.
    fn mul_add(&mut self, a: ir::Value, b: ir::Value, c: ir::Value) -> ir::Value {
        if self.features.fma {
            return self.b.ins().fma(a, b, c);
        }
        let product = self.b.ins().fmul(a, b);
        self.b.ins().fadd(product, c)
    }

    /// Horner's rule, highest power first.
    fn polynomial(&mut self, wide: bool, x: ir::Value, coefficients: &[f32]) -> ir::Value {
        let mut sum = self.f(wide, coefficients[0]);
        for &c in &coefficients[1..] {
            let c = self.f(wide, c);
            sum = self.mul_add(sum, x, c);
        }
        sum
    }

    /// A number that is not negative, or has the sign of `x`, with that sign.
    fn signed_like(&mut self, wide: bool, value: ir::Value, x: ir::Value) -> ir::Value {
        let sign = self.i(wide, i32::MIN);
        let x = self.bits(Self::int_type(wide), x);
        let sign = self.b.ins().band(x, sign);
        let value = self.bits(Self::int_type(wide), value);
        let value = self.b.ins().bor(value, sign);
        self.bits(Self::float_type(wide), value)
    }

    /// The smaller of a number and `x`, or `x` if it is NaN.
    fn at_most(&mut self, wide: bool, limit: f32, x: ir::Value) -> ir::Value {
        let limit = self.f(wide, limit);
        let less = self.b.ins().fcmp(FloatCC::LessThan, limit, x);
        self.choose(wide, less, limit, x)
    }

    fn at_least(&mut self, wide: bool, limit: f32, x: ir::Value) -> ir::Value {
        let limit = self.f(wide, limit);
        let less = self.b.ins().fcmp(FloatCC::LessThan, x, limit);
        self.choose(wide, less, limit, x)
    }

    /// `exp(x) = m * 2^n`: m, and the bits of `n + MAGIC`.
    fn exp_parts(&mut self, x: ir::Value, wide: bool) -> (ir::Value, ir::Value) {
        let (log2e, magic) = (self.f(wide, std::f32::consts::LOG2_E), self.f(wide, MAGIC));
        let shifted = self.mul_add(x, log2e, magic);
        let n = self.b.ins().fsub(shifted, magic);
        let (high, low) = (self.f(wide, -LN2_HIGH), self.f(wide, -LN2_LOW));
        let r = self.mul_add(n, high, x);
        let r = self.mul_add(n, low, r);
        let p = self.polynomial(wide, r, &EXP);
        let square = self.b.ins().fmul(r, r);
        let sum = self.mul_add(p, square, r);
        let one = self.f(wide, 1.0);
        let m = self.b.ins().fadd(sum, one);
        let bits = self.bits(Self::int_type(wide), shifted);
        (m, bits)
    }

    pub fn exp(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        let x = self.at_most(wide, 89.0, x);
        let x = self.at_least(wide, -105.0, x);
        let (m, bits) = self.exp_parts(x, wide);
        // In two halves, so that neither overflows and the result may be below the normal range.
        let magic = self.i(wide, MAGIC.to_bits() as i32);
        let n = self.b.ins().isub(bits, magic);
        let half = self.b.ins().sshr_imm_u(n, 1);
        let rest = self.b.ins().isub(n, half);
        let mut result = m;
        for part in [half, rest] {
            let bias = self.i(wide, 127);
            let exponent = self.b.ins().iadd(part, bias);
            let power = self.b.ins().ishl_imm_u(exponent, 23);
            let power = self.bits(Self::float_type(wide), power);
            result = self.b.ins().fmul(result, power);
        }
        result
    }

    /// For arguments of a small range: -80 to 80.
    fn exp_short(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        let (m, bits) = self.exp_parts(x, wide);
        let exponent = self.b.ins().ishl_imm_u(bits, 23);
        let m = self.bits(Self::int_type(wide), m);
        let result = self.b.ins().iadd(m, exponent);
        self.bits(Self::float_type(wide), result)
    }

    pub fn log(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        let (least, up) = (self.f(wide, f32::MIN_POSITIVE), self.f(wide, 8388608.0));
        let tiny = self.b.ins().fcmp(FloatCC::LessThan, x, least);
        let raised = self.b.ins().fmul(x, up);
        let y = self.choose(wide, tiny, raised, x);
        // y = (1 + m) * 2^e with 1 + m between sqrt(1/2) and sqrt(2).
        let bits = self.bits(Self::int_type(wide), y);
        let origin = self.i(wide, std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32);
        let above = self.b.ins().isub(bits, origin);
        let e = self.b.ins().sshr_imm_u(above, 23);
        let exponent = self.b.ins().ishl_imm_u(e, 23);
        let mantissa = self.b.ins().isub(bits, exponent);
        let mantissa = self.bits(Self::float_type(wide), mantissa);
        let one = self.f(wide, 1.0);
        let m = self.b.ins().fsub(mantissa, one);
        let e = self.b.ins().fcvt_from_sint(Self::float_type(wide), e);
        let back = self.f(wide, 23.0);
        let lowered = self.b.ins().fsub(e, back);
        let e = self.choose(wide, tiny, lowered, e);

        let p = self.polynomial(wide, m, &LOG);
        let square = self.b.ins().fmul(m, m);
        let cube = self.b.ins().fmul(square, m);
        let (low, high) = (self.f(wide, LN2_LOW), self.f(wide, LN2_HIGH));
        let tail = self.b.ins().fmul(e, low);
        let tail = self.mul_add(p, cube, tail);
        let half = self.f(wide, -0.5);
        let tail = self.mul_add(square, half, tail);
        let sum = self.b.ins().fadd(m, tail);
        let result = self.mul_add(e, high, sum);

        let (zero, infinity) = (self.f(wide, 0.0), self.f(wide, f32::INFINITY));
        let positive = self.b.ins().fcmp(FloatCC::GreaterThan, x, zero);
        let finite = self.b.ins().fcmp(FloatCC::LessThan, x, infinity);
        let ordinary = self.b.ins().band(positive, finite);
        let (nan, bottom) = (self.f(wide, f32::NAN), self.f(wide, f32::NEG_INFINITY));
        let negative = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
        let special = self.choose(wide, negative, nan, x);
        let is_zero = self.b.ins().fcmp(FloatCC::Equal, x, zero);
        let special = self.choose(wide, is_zero, bottom, special);
        self.choose(wide, ordinary, result, special)
    }

    pub fn tanh(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        let a = self.b.ins().fabs(x);
        let square = self.b.ins().fmul(x, x);
        let p = self.polynomial(wide, square, &TANH);
        let cube = self.b.ins().fmul(square, a);
        let small = self.mul_add(p, cube, a);
        // 1 - 2 / (exp(2 a) + 1), which is 1 from 9.1 on.
        let limited = self.at_most(wide, 9.25, a);
        let twice = self.b.ins().fadd(limited, limited);
        let e = self.exp_short(twice, wide);
        let (one, two) = (self.f(wide, 1.0), self.f(wide, 2.0));
        let sum = self.b.ins().fadd(e, one);
        let part = self.b.ins().fdiv(two, sum);
        let large = self.b.ins().fsub(one, part);
        let edge = self.f(wide, 0.625);
        let beyond = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, a, edge);
        let result = self.choose(wide, beyond, large, small);
        self.signed_like(wide, result, x)
    }

    pub fn erf(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        let a = self.b.ins().fabs(x);
        let square = self.b.ins().fmul(x, x);
        let p = self.polynomial(wide, square, &ERF_SMALL);
        let small = self.mul_add(p, a, a);
        let t = self.at_most(wide, 4.0, a);
        let square = self.b.ins().fmul(t, t);
        let [c0, c1, c2, c3, rest @ ..] = ERF_LARGE;
        let r = self.polynomial(wide, t, &[c0, c1]);
        let u = self.polynomial(wide, t, &[c2, c3]);
        let mut r = self.mul_add(r, square, u);
        for c in rest {
            let c = self.f(wide, c);
            r = self.mul_add(r, t, c);
        }
        let minus = self.b.ins().fneg(t);
        let r = self.mul_add(r, t, minus);
        let e = self.exp_short(r, wide);
        let one = self.f(wide, 1.0);
        let large = self.b.ins().fsub(one, e);
        let edge = self.f(wide, 0.927_734_4);
        let beyond = self.b.ins().fcmp(FloatCC::GreaterThan, a, edge);
        let result = self.choose(wide, beyond, large, small);
        self.signed_like(wide, result, x)
    }

    /// The argument is reduced in double precision, where the product with a short first part of pi/2 is exact.
    pub fn sin_cos(&mut self, x: ir::Value, wide: bool, cosine: bool) -> Result<ir::Value, Refusal> {
        let (r, quadrant) = if wide {
            let low = self.b.ins().fvpromote_low(x);
            let as_double = self.bits(types::F64X2, x);
            let swapped = self.shuffle(as_double, as_double, &[8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
            let swapped = self.bits(types::F32X4, swapped);
            let high = self.b.ins().fvpromote_low(swapped);
            let (r_low, n_low) = self.reduce(low, true);
            let (r_high, n_high) = self.reduce(high, true);
            let (r_low, r_high) = (self.b.ins().fvdemote(r_low), self.b.ins().fvdemote(r_high));
            let r = self.shuffle(r_low, r_high, &[0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
            let n = self.shuffle(n_low, n_high, &[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]);
            (self.bits(types::F32X4, r), self.bits(types::I32X4, n))
        } else {
            let double = self.b.ins().fpromote(types::F64, x);
            let (r, n) = self.reduce(double, false);
            let bits = self.bits(types::I64, n);
            (self.b.ins().fdemote(types::F32, r), self.b.ins().ireduce(types::I32, bits))
        };
        let one_bit = self.i(wide, 1);
        let quadrant = if cosine { self.b.ins().iadd(quadrant, one_bit) } else { quadrant };
        let z = self.b.ins().fmul(r, r);
        let p = self.polynomial(wide, z, &SIN);
        let cube = self.b.ins().fmul(z, r);
        let s = self.mul_add(p, cube, r);
        let s = self.signed_like(wide, s, r);
        let p = self.polynomial(wide, z, &COS);
        let fourth = self.b.ins().fmul(z, z);
        let (half, one) = (self.f(wide, -0.5), self.f(wide, 1.0));
        let c = self.mul_add(z, half, one);
        let c = self.mul_add(p, fourth, c);
        let odd = self.b.ins().band(quadrant, one_bit);
        let zero = self.i(wide, 0);
        let odd = self.b.ins().icmp(IntCC::NotEqual, odd, zero);
        let value = self.choose(wide, odd, c, s);
        // Bit 1 of the quadrant is the sign.
        let two = self.i(wide, 2);
        let sign = self.b.ins().band(quadrant, two);
        let sign = self.b.ins().ishl_imm_u(sign, 30);
        let value = self.bits(Self::int_type(wide), value);
        let value = self.b.ins().bxor(value, sign);
        let value = self.bits(Self::float_type(wide), value);

        let a = self.b.ins().fabs(x);
        let limit = self.f(wide, TRIG_LIMIT);
        let far = self.b.ins().fcmp(FloatCC::GreaterThan, a, limit);
        let any = if wide { self.b.ins().vany_true(far) } else { far };
        let symbol = if cosine { Symbol::cos_f32 } else { Symbol::sin_f32 };
        let near = self.b.ins().icmp_imm_s(IntCC::Equal, any, 0);
        self.either(
            near,
            Self::float_type(wide),
            |_| Ok(value),
            |e| {
                if !wide {
                    return Ok(e.call(symbol, &[x]));
                }
                let slow = e.by_lane(&[x], types::F32X4, |e, x| Ok(e.call(symbol, x)))?;
                Ok(e.blend(far, slow, value))
            },
        )
    }

    /// `x = r + n * pi / 2`: r, and a double whose low bits are those of n.
    fn reduce(&mut self, x: ir::Value, wide: bool) -> (ir::Value, ir::Value) {
        let c = |e: &mut Self, value: f64| {
            let scalar = e.constant(DType::F64, value, false);
            if wide { e.b.ins().splat(types::F64X2, scalar) } else { scalar }
        };
        let magic = c(self, 6755399441055744.0);
        let scale = c(self, std::f64::consts::FRAC_2_PI);
        let product = self.b.ins().fmul(x, scale);
        let shifted = self.b.ins().fadd(product, magic);
        let n = self.b.ins().fsub(shifted, magic);
        // pi / 2 in 25 bits, and the rest (as in fdlibm).
        let high = c(self, -1.570_796_310_901_641_8);
        let low = c(self, -1.589_325_477_352_819_7e-8);
        let product = self.b.ins().fmul(n, high);
        let r = self.b.ins().fadd(x, product);
        let product = self.b.ins().fmul(n, low);
        (self.b.ins().fadd(r, product), shifted)
    }

    fn shuffle(&mut self, a: ir::Value, b: ir::Value, bytes: &[u8; 16]) -> ir::Value {
        let (a, b) = (self.bits(types::I8X16, a), self.bits(types::I8X16, b));
        let mask = self.b.func.dfg.immediates.push(bytes.as_slice().into());
        self.b.ins().shuffle(a, b, mask)
    }
}
