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

/// exp(r) = 1 + r + r^2 * p(r) for |r| <= ln 2 / 2 (own minimax fit).
pub(super) const EXP: [f32; 5] = [0.0013814599, 0.008368717, 0.04166839, 0.16666521, 0.49999994];
/// 2^r = 1 + r * p(r) for |r| <= 1 / 2 (own minimax fit).
#[allow(clippy::approx_constant, clippy::excessive_precision, reason = "fitted, not the constant that it is near")]
pub(super) const EXP2: [f32; 5] = [0.00132647, 0.009671533, 0.05550734, 0.24022242, 0.693147];
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
/// erf(x) = x + x * p(x^2) up to [`ERF_EDGE`], and 1 - 2^p(x) beyond (own minimax fits).
pub(super) const ERF_SMALL: [f32; 6] = [-0.0005964124, 0.00498798, -0.02676311, 0.1128172, -0.37612486, 0.12837915];
#[allow(clippy::excessive_precision, reason = "fitted in f64, rounded once")]
pub(super) const ERF_LARGE: [f32; 7] =
    [0.00028138523, -0.0043777376, 0.03201597, -0.14983624, -0.91937995, -1.6268204, -0.00029966101];
pub(super) const ERF_EDGE: f32 = 0.927_734_4;
/// From here on erf is 1.
pub(super) const ERF_LIMIT: f32 = 3.92;

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

    /// `value * 2^n`, rounded once, for `n` between -160 and 160 and a value between 1/2 and 2; `shifted` is `n + MAGIC`.
    fn scale(&mut self, value: Self::Value, _n: Self::Value, shifted: Self::Value) -> Self::Value {
        // In two halves, so that neither overflows and the result may be below the normal range.
        let magic = self.int(MAGIC.to_bits() as i32);
        let n = self.int_sub(shifted, magic);
        let half = self.shift_sign(n, 1);
        let rest = self.int_sub(n, half);
        let mut result = value;
        for part in [half, rest] {
            let bias = self.int(127);
            let exponent = self.int_add(part, bias);
            let power = self.shift_left(exponent, 23);
            result = self.mul(result, power);
        }
        result
    }
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

/// Both polynomials at once, for each lane the one of its condition: twice the lanes for one chain of products.
fn either<M: Arithmetic>(m: &mut M, first: M::Value, x: M::Value, if_so: &[f32], if_not: &[f32]) -> M::Value {
    let mut sum = None;
    for (&a, &b) in if_so.iter().zip(if_not) {
        let (a, b) = (m.float(a), m.float(b));
        let c = m.choose(first, a, b);
        sum = Some(match sum {
            Some(sum) => m.mul_add(sum, x, c),
            None => c,
        });
    }
    sum.unwrap_or(x)
}

/// The nearest whole number plus [`MAGIC`], that number, and `x` less so many times `ln 2`.
fn reduce<M: Arithmetic>(m: &mut M, x: M::Value) -> [M::Value; 3] {
    let (log2e, magic) = (m.float(std::f32::consts::LOG2_E), m.float(MAGIC));
    let shifted = m.mul_add(x, log2e, magic);
    let n = m.sub(shifted, magic);
    let (high, low) = (m.float(-LN2_HIGH), m.float(-LN2_LOW));
    let r = m.mul_add(n, high, x);
    [shifted, n, m.mul_add(n, low, r)]
}

pub(super) fn exp<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let (high, low) = (m.float(89.0), m.float(-105.0));
    let x = m.smaller(high, x);
    let x = m.larger(low, x);
    let [shifted, n, r] = reduce(m, x);
    let p = polynomial(m, r, &EXP);
    let one = m.float(1.0);
    let p = m.mul_add(p, r, one);
    let p = m.mul_add(p, r, one);
    m.scale(p, n, shifted)
}

/// A value between 1/2 and 2 times `2^n`, both and the result in the normal range.
fn scale_short<M: Arithmetic>(m: &mut M, value: M::Value, shifted: M::Value) -> M::Value {
    let exponent = m.shift_left(shifted, 23);
    m.int_add(value, exponent)
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
    // From there on it is 1.
    let limit = m.float(9.25);
    let limited = m.smaller(limit, a);
    let edge = m.float(0.625);
    let beyond = m.less_equal(edge, a);
    // a + a^3 * p(a^2), or r + r^2 * p(r) and 1 - 2 / (exp(2 a) + 1).
    let twice = m.add(limited, limited);
    let [shifted, _, r] = reduce(m, twice);
    let square = m.mul(limited, limited);
    let power = m.choose(beyond, r, square);
    let base = m.choose(beyond, r, limited);
    let p = either(m, beyond, power, &EXP, &TANH);
    let product = m.mul(power, base);
    let small = m.mul_add(p, product, base);
    let (one, two) = (m.float(1.0), m.float(2.0));
    let mantissa = m.add(small, one);
    let e = scale_short(m, mantissa, shifted);
    let sum = m.add(e, one);
    let part = m.div(two, sum);
    let large = m.sub(one, part);
    let result = m.choose(beyond, large, small);
    m.signed_like(result, x)
}

pub(super) fn erf<M: Arithmetic>(m: &mut M, x: M::Value) -> M::Value {
    let a = m.abs(x);
    let limit = m.float(ERF_LIMIT);
    let limited = m.smaller(limit, a);
    let edge = m.float(ERF_EDGE);
    let beyond = m.less(edge, a);
    let square = m.mul(limited, limited);
    let power = m.choose(beyond, limited, square);
    let [large @ .., last] = ERF_LARGE;
    let p = either(m, beyond, power, &large, &ERF_SMALL);
    let last = m.float(last);
    let last = m.choose(beyond, last, limited);
    let small = m.mul_add(p, limited, last);
    // 1 - 2^small; the fraction is exact.
    let magic = m.float(MAGIC);
    let shifted = m.add(small, magic);
    let n = m.sub(shifted, magic);
    let r = m.sub(small, n);
    let p = polynomial(m, r, &EXP2);
    let one = m.float(1.0);
    let p = m.mul_add(p, r, one);
    let e = scale_short(m, p, shifted);
    let large = m.sub(one, e);
    let result = m.choose(beyond, large, small);
    m.signed_like(result, x)
}
