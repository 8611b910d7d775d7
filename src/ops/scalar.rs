//! Scalar operations on `f64`: what constant folding and the interpreter compute with. Whole numbers and truth values
//! are exact: integers wrap around in their own width, bools are 0 and 1. Halves are rounded after each operation.

use super::half;
use super::types::{Binary, Compare, DType, Unary};

/// Two's complement in the width of the dtype.
fn wrap(value: i128, dtype: DType) -> f64 {
    match dtype {
        DType::Bool => f64::from(u8::from(value != 0)),
        DType::U8 => f64::from(value as u8),
        DType::I8 => f64::from(value as i8),
        DType::I32 => f64::from(value as i32),
        _ => value as i64 as f64,
    }
}

pub fn unary(op: Unary, x: f64, dtype: DType) -> f64 {
    if !dtype.is_float() {
        let n = x as i128;
        return match op {
            Unary::Neg => wrap(-n, dtype),
            Unary::Abs => wrap(n.abs(), dtype),
            Unary::Not if dtype == DType::Bool => f64::from(u8::from(n == 0)),
            Unary::Not => wrap(!n, dtype),
            _ => x,
        };
    }
    let y = match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Erf => erf(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Not => f64::from(u8::from(x == 0.0)),
    };
    if dtype.is_half() { half::round(y, dtype) } else { y }
}

pub fn binary(op: Binary, a: f64, b: f64, dtype: DType) -> f64 {
    if !dtype.is_float() {
        return integer_binary(op, a as i128, b as i128, dtype);
    }
    let result = match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Rem => {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        Binary::Max => max(a, b),
        Binary::Min => min(a, b),
        Binary::Pow => a.powf(b),
        Binary::Atan2 => a.atan2(b),
        Binary::And => f64::from(u8::from(a != 0.0 && b != 0.0)),
        Binary::Or => f64::from(u8::from(a != 0.0 || b != 0.0)),
        Binary::Xor => f64::from(u8::from((a != 0.0) != (b != 0.0))),
        Binary::Shl | Binary::Shr => f64::NAN,
    };
    if dtype.is_half() { half::round(result, dtype) } else { result }
}

fn integer_binary(op: Binary, a: i128, b: i128, dtype: DType) -> f64 {
    let bits = 8 * dtype.bytes() as i128;
    let value = match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div if b == 0 => 0,
        // Towards minus infinity, which is Euclid's quotient but for negative divisors.
        Binary::Div => (a - (a % b + b) % b) / b,
        Binary::Rem if b == 0 => 0,
        Binary::Rem => (a % b + b) % b,
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        // Shifts by the width or more, or by a negative number, leave nothing.
        Binary::Shl if (0..bits).contains(&b) => a << b,
        Binary::Shr if (0..bits).contains(&b) => (a & ((1i128 << bits) - 1)) >> b,
        Binary::Shl | Binary::Shr => 0,
        Binary::Pow | Binary::Atan2 => return f64::NAN,
    };
    wrap(value, dtype)
}

/// NaN if either is.
pub fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b {
        a
    } else {
        b
    }
}

/// NaN if either is.
pub fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a < b {
        a
    } else {
        b
    }
}

pub fn compare(op: Compare, a: f64, b: f64) -> bool {
    match op {
        Compare::Eq => a == b,
        Compare::Ne => a != b,
        Compare::Lt => a < b,
        Compare::Le => a <= b,
        Compare::Gt => a > b,
        Compare::Ge => a >= b,
    }
}

/// The number in another dtype. f32 and f64 keep all digits: they are the precision that is computed in.
pub fn cast(x: f64, from: DType, to: DType) -> f64 {
    match to {
        _ if from == to => x,
        DType::Bool => f64::from(u8::from(x != 0.0)),
        DType::U8 | DType::I8 | DType::I32 | DType::I64 if !from.is_float() => wrap(x as i128, to),
        // Rust's conversion: towards zero, to the nearest end of the range beyond it, NaN to 0.
        DType::U8 => f64::from(x as u8),
        DType::I8 => f64::from(x as i8),
        DType::I32 => f64::from(x as i32),
        DType::I64 => x as i64 as f64,
        DType::F16 | DType::BF16 => half::round(x, to),
        DType::F32 | DType::F64 => x,
    }
}

/// The error function by its series with positive terms,
/// erf x = 2 / sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (1 · 3 · … · (2n+1)), which loses no digits.
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let square = x * x;
    if square > 36.0 {
        return 1f64.copysign(x);
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        term *= 2.0 * square / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_function() {
        // Abramowitz and Stegun, table 7.1.
        for (x, y) in [(0.0, 0.0), (0.5, 0.5204998778130465), (1.0, 0.8427007929497149), (2.0, 0.9953222650189527)] {
            assert!((erf(x) - y).abs() < 1e-15, "{x}: {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert_eq!(erf(f64::INFINITY), 1.0);
        assert_eq!(erf(-7.0), -1.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn whole_numbers_wrap_and_divide_downwards() {
        let of = |op, a, b| binary(op, a, b, DType::I32);
        assert_eq!(of(Binary::Add, 2147483647.0, 1.0), -2147483648.0);
        assert_eq!(of(Binary::Div, -7.0, 2.0), -4.0);
        assert_eq!(of(Binary::Div, 7.0, -2.0), -4.0);
        assert_eq!(of(Binary::Div, -7.0, -2.0), 3.0);
        assert_eq!(of(Binary::Rem, -7.0, 2.0), 1.0);
        assert_eq!(of(Binary::Rem, 7.0, -2.0), -1.0);
        assert_eq!(of(Binary::Shr, -1.0, 28.0), 15.0);
        assert_eq!(of(Binary::Shl, 1.0, 31.0), -2147483648.0);
        assert_eq!(unary(Unary::Not, 0.0, DType::I32), -1.0);
        assert_eq!(binary(Binary::Rem, -1.0, 3.0, DType::F32), 2.0);
    }

    #[test]
    fn casts_round_to_nearest_even() {
        let half = |x| cast(x, DType::F32, DType::F16);
        assert_eq!(half(1.0 + 2f64.powi(-11)), 1.0);
        assert_eq!(half(1.0 + 3.0 * 2f64.powi(-11)), 1.0 + 2f64.powi(-9));
        assert_eq!(half(65519.0), 65504.0);
        assert_eq!(half(65520.0), f64::INFINITY);
        assert_eq!(half(2f64.powi(-25)), 0.0);
        assert_eq!(half(2f64.powi(-24)), 2f64.powi(-24));
        assert_eq!(cast(1.00390625, DType::F32, DType::BF16), 1.0);
        assert_eq!(cast(-2.7, DType::F32, DType::I32), -2.0);
        assert_eq!(cast(300.0, DType::I32, DType::U8), 44.0);
    }
}
