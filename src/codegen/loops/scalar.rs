//! What one scalar operation computes, for the interpreter: every result is rounded to its dtype at once.

use crate::ops::half::round;
use crate::ops::{Binary, Compare, DType, Reduce, Unary};

/// One element: floats (of any width) as `f64`, integers and bools as `i64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Float(f64),
    Int(i64),
}

impl Scalar {
    pub fn float(self) -> f64 {
        match self {
            Scalar::Float(v) => v,
            Scalar::Int(v) => v as f64,
        }
    }

    pub fn int(self) -> i64 {
        match self {
            Scalar::Float(v) => v as i64,
            Scalar::Int(v) => v,
        }
    }

    pub fn is_true(self) -> bool {
        match self {
            Scalar::Float(v) => v != 0.0,
            Scalar::Int(v) => v != 0,
        }
    }

    /// The number as this dtype: floats rounded, float to integer truncated and saturated, anything to bool `!= 0`.
    pub fn cast(self, dtype: DType) -> Scalar {
        match (dtype, self) {
            (DType::Bool, v) => Scalar::Int(v.is_true() as i64),
            (d, v) if d.is_float() => Scalar::Float(round(v.float(), d)),
            (d, Scalar::Int(v)) => Scalar::Int(wrap(v, d)),
            (d, Scalar::Float(v)) => {
                let (low, high) = int_range(d);
                Scalar::Int((v as i64).clamp(low, high))
            }
        }
    }
}

/// The smallest and the largest value of an integer dtype (or bool).
pub fn int_range(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => (i64::MIN, i64::MAX),
    }
}

/// An integer result brought back into its dtype by dropping upper bits.
pub fn wrap(value: i64, dtype: DType) -> i64 {
    match dtype {
        DType::Bool => value & 1,
        DType::U8 => value as u8 as i64,
        DType::I8 => value as i8 as i64,
        DType::I32 => value as i32 as i64,
        _ => value,
    }
}

/// The error function to double precision: the series near zero, the continued fraction far away (Abramowitz and
/// Stegun 7.1.5, 7.1.14).
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    let scale = 2.0 / std::f64::consts::PI.sqrt();
    let value = if a < 3.0 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        scale * sum
    } else {
        let mut f = 0.0;
        for k in (1..60).rev() {
            f = k as f64 / 2.0 / (a + f);
        }
        1.0 - (-a * a).exp() / ((a + f) * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

pub fn unary(op: Unary, v: Scalar, dtype: DType) -> Scalar {
    if !dtype.is_float() {
        let v = v.int();
        return Scalar::Int(match op {
            Unary::Neg => wrap(v.wrapping_neg(), dtype),
            Unary::Abs => wrap(v.wrapping_abs(), dtype),
            Unary::Not if dtype == DType::Bool => (v == 0) as i64,
            Unary::Not => wrap(!v, dtype),
            _ => v,
        });
    }
    let x = v.float();
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
        Unary::Not => (x == 0.0) as i64 as f64,
    };
    Scalar::Float(round(y, dtype))
}

pub fn binary(op: Binary, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
    if dtype.is_float() {
        let (x, y) = (a.float(), b.float());
        let z = match op {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Rem => x - y * (x / y).floor(),
            Binary::Max if x.is_nan() || y.is_nan() => f64::NAN,
            Binary::Min if x.is_nan() || y.is_nan() => f64::NAN,
            Binary::Max => x.max(y),
            Binary::Min => x.min(y),
            Binary::Pow => x.powf(y),
            Binary::Atan2 => x.atan2(y),
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => f64::NAN,
        };
        return Scalar::Float(round(z, dtype));
    }
    let (x, y) = (a.int(), b.int());
    let bits = dtype.bytes() as i64 * 8;
    // The operand's own bits without the sign's copies, for the logical shift.
    let unsigned = if bits == 64 { x as u64 } else { x as u64 & ((1u64 << bits) - 1) };
    let z = match op {
        Binary::Add if dtype == DType::Bool => x | y,
        Binary::Add => x.wrapping_add(y),
        Binary::Sub => x.wrapping_sub(y),
        Binary::Mul => x.wrapping_mul(y),
        Binary::Div if y == 0 => 0,
        Binary::Div => floor_div(x, y),
        Binary::Rem if y == 0 => 0,
        Binary::Rem => x.wrapping_sub(y.wrapping_mul(floor_div(x, y))),
        Binary::Max => x.max(y),
        Binary::Min => x.min(y),
        Binary::Pow => x.wrapping_pow(y.clamp(0, u32::MAX as i64) as u32),
        Binary::Atan2 => 0,
        Binary::And => x & y,
        Binary::Or => x | y,
        Binary::Xor => x ^ y,
        Binary::Shl => x.wrapping_shl((y & (bits - 1)) as u32),
        Binary::Shr => (unsigned >> (y & (bits - 1))) as i64,
    };
    Scalar::Int(wrap(z, dtype))
}

fn floor_div(x: i64, y: i64) -> i64 {
    let q = x.wrapping_div(y);
    if x.wrapping_rem(y) != 0 && (x < 0) != (y < 0) { q - 1 } else { q }
}

pub fn compare(op: Compare, a: Scalar, b: Scalar) -> Scalar {
    let order = match (a, b) {
        (Scalar::Int(x), Scalar::Int(y)) => Some(x.cmp(&y)),
        (x, y) => x.float().partial_cmp(&y.float()),
    };
    Scalar::Int(match op {
        Compare::Eq => order.is_some_and(|o| o.is_eq()),
        Compare::Ne => !order.is_some_and(|o| o.is_eq()),
        Compare::Lt => order.is_some_and(|o| o.is_lt()),
        Compare::Le => order.is_some_and(|o| o.is_le()),
        Compare::Gt => order.is_some_and(|o| o.is_gt()),
        Compare::Ge => order.is_some_and(|o| o.is_ge()),
    } as i64)
}

/// The scalar operation that a fold repeats.
pub fn fold_binary(op: Reduce) -> Binary {
    match op {
        Reduce::Sum => Binary::Add,
        Reduce::Prod => Binary::Mul,
        Reduce::Max => Binary::Max,
        Reduce::Min => Binary::Min,
    }
}

/// What a fold of nothing gives.
pub fn fold_start(op: Reduce, dtype: DType) -> Scalar {
    let float = dtype.is_float();
    let (low, high) = int_range(dtype);
    match op {
        Reduce::Sum if float => Scalar::Float(0.0),
        Reduce::Prod if float => Scalar::Float(1.0),
        Reduce::Max if float => Scalar::Float(f64::NEG_INFINITY),
        Reduce::Min if float => Scalar::Float(f64::INFINITY),
        Reduce::Sum => Scalar::Int(0),
        Reduce::Prod => Scalar::Int(1),
        Reduce::Max => Scalar::Int(low),
        Reduce::Min => Scalar::Int(high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_shift_in_zeros() {
        let big = Scalar::Int(i32::MAX as i64);
        assert_eq!(binary(Binary::Add, big, Scalar::Int(1), DType::I32), Scalar::Int(i32::MIN as i64));
        assert_eq!(binary(Binary::Shr, Scalar::Int(-1), Scalar::Int(28), DType::I32), Scalar::Int(15));
        assert_eq!(binary(Binary::Div, Scalar::Int(-7), Scalar::Int(2), DType::I32), Scalar::Int(-4));
        assert_eq!(binary(Binary::Rem, Scalar::Int(-7), Scalar::Int(2), DType::I32), Scalar::Int(1));
    }

    #[test]
    fn erf_has_known_values() {
        for (x, y) in [(0.5, 0.5204998778130465), (-1.0, -0.8427007929497149), (3.5, 0.9999992569016276)] {
            assert!((erf(x) - y).abs() < 1e-14, "{x}: {}", erf(x));
        }
    }
}
