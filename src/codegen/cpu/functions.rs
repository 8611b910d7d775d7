//! Elementary functions of `f32` as polynomials: one definition for every way to make code, scalar or by lanes.
//!
//! Errors are at most 2 units in the last place (measured over dense sweeps by the tests); special values are exact:
//! infinities, NaN, results below the normal range. Constants are those of Cephes (S. Moshier) unless said otherwise.
//! With fused multiply-add the last bit may differ from a machine without.

/// 1.5 * 2^23: added to a number below 2^22, it leaves the nearest whole number in the low bits.
pub(super) const MAGIC: f32 = 12582912.0;
/// Beyond it, sin and cos call the host's.
pub(super) const TRIG_LIMIT: f32 = 1.0e8;

/// `ln 2` in two parts, the first short enough for exact products.
pub(super) const LN2_HIGH: f32 = 0.6933594;
pub(super) const LN2_LOW: f32 = -2.1219444e-4;

/// exp(r) = 1 + r + r^2 * p(r) for |r| <= ln 2 / 2.
pub(super) const EXP: [f32; 6] = [1.9875691e-4, 1.3981999e-3, 8.333452e-3, 4.1665796e-2, 1.6666666e-1, 0.5];
/// log(1 + m) = m - m^2 / 2 + m^3 * p(m).
pub(super) const LOG: [f32; 9] = [
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
pub(super) const TANH: [f32; 5] = [-5.7049887e-3, 2.0639088e-2, -5.3739715e-2, 1.3331442e-1, -3.333328e-1];
pub(super) const SIN: [f32; 3] = [-1.9515296e-4, 8.332161e-3, -1.6666655e-1];
pub(super) const COS: [f32; 3] = [2.4433157e-5, -1.3887316e-3, 4.1666646e-2];
/// erf(x) = x + x * p(x^2) near zero, and 1 - exp(t * p(t) - t) beyond (N. Juffa).
pub(super) const ERF_SMALL: [f32; 6] =
    [-5.967617e-4, 4.9911942e-3, -2.6768135e-2, 1.12819925e-1, -3.7612534e-1, 1.2837917e-1];
pub(super) const ERF_LARGE: [f32; 7] =
    [-1.7285347e-5, 3.8319713e-4, -3.8839644e-3, 2.4254622e-2, -1.0677788e-1, -6.348467e-1, -1.2871751e-1];

/// What functions are made of: operations on values of 32 bits, floats or integers by use. A condition is whatever
/// comparisons give and [`Arithmetic::choose`] takes.
pub(super) trait Arithmetic {
    type Value: Copy;

    fn float(&mut self, value: f32) -> Self::Value;
    fn int(&mut self, value: i32) -> Self::Value;
    fn add(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn sub(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn mul(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn div(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a * b + c`, fused if the machine can.
    fn mul_add(&mut self, a: Self::Value, b: Self::Value, c: Self::Value) -> Self::Value;
    fn neg(&mut self, a: Self::Value) -> Self::Value;
    fn abs(&mut self, a: Self::Value) -> Self::Value;
    /// `a < b ? a : b`, so the second if either is NaN.
    fn smaller(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a > b ? a : b`, so the second if either is NaN.
    fn larger(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn less(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn less_equal(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn equal(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// Of conditions.
    fn both(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn choose(&mut self, condition: Self::Value, a: Self::Value, b: Self::Value) -> Self::Value;
    fn int_add(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn int_sub(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    fn shift_left(&mut self, a: Self::Value, count: u8) -> Self::Value;
    /// Filled with the sign.
    fn shift_sign(&mut self, a: Self::Value, count: u8) -> Self::Value;
    /// An integer as a float.
    fn to_float(&mut self, a: Self::Value) -> Self::Value;
    /// A number that is not negative, or has the sign of `x`, with that sign.
    fn signed_like(&mut self, value: Self::Value, x: Self::Value) -> Self::Value;
}

/// Horner's rule, highest power first.
pub(super) fn polynomial<M: Arithmetic>(m: &mut M, x: M::Value, coefficients: &[f32]) -> M::Value {
    let mut sum = m.float(coefficients[0]);
    for &c in &coefficients[1..] {
        let c = m.float(c);
        sum = m.mul_add(sum, x, c);
    }
    sum
}

/// `exp(x) = m * 2^n`: m, and the bits of `n + MAGIC`.
fn exp_parts<M: Arithmetic>(m: &mut M, x: M::Value) -> (M::Value, M::Value) {
    let (log2e, magic) = (m.float(std::f32::consts::LOG2_E), m.float(MAGIC));
    let shifted = m.mul_add(x, log2e, magic);
    let n = m.sub(shifted, magic);
    let (high, low) = (m.float(-LN2_HIGH), m.float(-LN2_LOW));
    let r = m.mul_add(n, high, x);
    let r = m.mul_add(n, low, r);
    let p = polynomial(m, r, &EXP);
    let square = m.mul(r, r);
    let sum = m.mul_add(p, square, r);
    let one = m.float(1.0);
    (m.add(sum, one), shifted)
}

pub(super) fn exp<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let (high, low) = (m.float(89.0), m.float(-105.0));
    let x = m.smaller(high, x);
    let x = m.larger(low, x);
    let (mantissa, bits) = exp_parts(m, x);
    // In two halves, so that neither overflows and the result may be below the normal range.
    let magic = m.int(MAGIC.to_bits() as i32);
    let n = m.int_sub(bits, magic);
    let half = m.shift_sign(n, 1);
    let rest = m.int_sub(n, half);
    let mut result = mantissa;
    for part in [half, rest] {
        let bias = m.int(127);
        let exponent = m.int_add(part, bias);
        let power = m.shift_left(exponent, 23);
        result = m.mul(result, power);
    }
    result
}

/// For arguments of a small range: -80 to 80.
fn exp_short<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let (mantissa, bits) = exp_parts(m, x);
    let exponent = m.shift_left(bits, 23);
    m.int_add(mantissa, exponent)
}

pub(super) fn log<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let (least, up) = (m.float(f32::MIN_POSITIVE), m.float(8388608.0));
    let tiny = m.less(x, least);
    let raised = m.mul(x, up);
    let y = m.choose(tiny, raised, x);
    // y = (1 + m) * 2^e with 1 + m between sqrt(1/2) and sqrt(2).
    let origin = m.int(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32);
    let above = m.int_sub(y, origin);
    let e = m.shift_sign(above, 23);
    let exponent = m.shift_left(e, 23);
    let mantissa = m.int_sub(y, exponent);
    let one = m.float(1.0);
    let fraction = m.sub(mantissa, one);
    let e = m.to_float(e);
    let back = m.float(23.0);
    let lowered = m.sub(e, back);
    let e = m.choose(tiny, lowered, e);

    let p = polynomial(m, fraction, &LOG);
    let square = m.mul(fraction, fraction);
    let cube = m.mul(square, fraction);
    let (low, high) = (m.float(LN2_LOW), m.float(LN2_HIGH));
    let tail = m.mul(e, low);
    let tail = m.mul_add(p, cube, tail);
    let half = m.float(-0.5);
    let tail = m.mul_add(square, half, tail);
    let sum = m.add(fraction, tail);
    let result = m.mul_add(e, high, sum);

    let (zero, infinity) = (m.float(0.0), m.float(f32::INFINITY));
    let positive = m.less(zero, x);
    let finite = m.less(x, infinity);
    let ordinary = m.both(positive, finite);
    let (nan, bottom) = (m.float(f32::NAN), m.float(f32::NEG_INFINITY));
    let negative = m.less(x, zero);
    let special = m.choose(negative, nan, x);
    let is_zero = m.equal(x, zero);
    let special = m.choose(is_zero, bottom, special);
    m.choose(ordinary, result, special)
}

pub(super) fn tanh<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let a = m.abs(x);
    let square = m.mul(x, x);
    let p = polynomial(m, square, &TANH);
    let cube = m.mul(square, a);
    let small = m.mul_add(p, cube, a);
    // 1 - 2 / (exp(2 a) + 1), which is 1 from 9.1 on.
    let limit = m.float(9.25);
    let limited = m.smaller(limit, a);
    let twice = m.add(limited, limited);
    let e = exp_short(m, twice);
    let (one, two) = (m.float(1.0), m.float(2.0));
    let sum = m.add(e, one);
    let part = m.div(two, sum);
    let large = m.sub(one, part);
    let edge = m.float(0.625);
    let beyond = m.less_equal(edge, a);
    let result = m.choose(beyond, large, small);
    m.signed_like(result, x)
}

pub(super) fn erf<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let a = m.abs(x);
    let square = m.mul(x, x);
    let p = polynomial(m, square, &ERF_SMALL);
    let small = m.mul_add(p, a, a);
    let limit = m.float(4.0);
    let t = m.smaller(limit, a);
    let square = m.mul(t, t);
    let [c0, c1, c2, c3, rest @ ..] = ERF_LARGE;
    let r = polynomial(m, t, &[c0, c1]);
    let u = polynomial(m, t, &[c2, c3]);
    let mut r = m.mul_add(r, square, u);
    for c in rest {
        let c = m.float(c);
        r = m.mul_add(r, t, c);
    }
    let minus = m.neg(t);
    let r = m.mul_add(r, t, minus);
    let e = exp_short(m, r);
    let one = m.float(1.0);
    let large = m.sub(one, e);
    let edge = m.float(0.927_734_4);
    let beyond = m.less(edge, a);
    let result = m.choose(beyond, large, small);
    m.signed_like(result, x)
}
