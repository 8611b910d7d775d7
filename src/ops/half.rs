//! Numbers of 16 bits: f16 (IEEE 754 binary16, 11 binary digits) and bf16 (the upper half of an f32, 8 binary digits). In
//! go numbers, out come bits, and back; everything is rounded to nearest, ties to even.
//!
//! Nothing computes in 16 bits: an operation on halves is computed in f32 (or wider) and its result is rounded at once, so
//! that how operations are grouped into kernels never shows. For `+ - * /` and square roots that is the correctly rounded
//! result, since f32 has more than twice the digits.

use super::types::DType;

impl DType {
    /// Stored in 16 bits and computed in 32.
    pub fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }
}

/// The bits of the nearest bf16; a NaN stays one.
pub fn bf16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bits of the nearest f16; from 65520 on, infinity.
pub fn f16_from_f64(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let a = value.abs();
    if value.is_nan() {
        return sign | 0x7e00;
    }
    if a >= 65520.0 {
        return sign | 0x7c00;
    }
    // The unit in the last place: 2^-24 below the normal range, else 2^(exponent - 10).
    let exponent = if a < 6.103515625e-5 { -14 } else { ((a.to_bits() >> 52) as i32) - 1023 };
    let units = (a * 2f64.powi(10 - exponent)).round_ties_even() as u32;
    // A carry out of the mantissa moves into the exponent by itself.
    sign | (units + ((exponent + 14) as u32) * 1024) as u16
}

pub fn f16_to_f64(bits: u16) -> f64 {
    let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + mantissa) * 2f64.powi(e - 25),
    }
}

/// The nearest number of a float dtype. Halves are rounded by way of f32, as PyTorch does.
pub fn round(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::BF16 => f64::from(bf16_to_f32(bf16_from_f32(value as f32))),
        DType::F16 => f16_to_f64(f16_from_f64(f64::from(value as f32))),
        _ => value,
    }
}

/// The bits of the nearest half of this dtype (f16 unless it is bf16).
pub fn bits(value: f64, dtype: DType) -> u16 {
    match dtype {
        DType::BF16 => bf16_from_f32(value as f32),
        _ => f16_from_f64(f64::from(value as f32)),
    }
}

/// The number that these bits are in this dtype (f16 unless it is bf16).
pub fn number(bits: u16, dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => f64::from(bf16_to_f32(bits)),
        _ => f16_to_f64(bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        for (value, bits) in [(1.0, 0x3c00), (-2.0, 0xc000), (65504.0, 0x7bff), (65520.0, 0x7c00), (5.96e-8, 1)] {
            assert_eq!(f16_from_f64(value), bits, "{value}");
        }
        assert_eq!(f16_to_f64(f16_from_f64(2049.0)), 2048.0);
        assert_eq!(f16_to_f64(f16_from_f64(2051.0)), 2052.0);
        assert_eq!(round(1.00390625, DType::BF16), 1.0);
        assert_eq!(round(1.01171875, DType::BF16), 1.015625);
        assert_eq!(round(3.4e38, DType::BF16), f64::INFINITY);
    }

    #[test]
    fn all_bits_are_numbers_that_round_to_themselves() {
        for dtype in [DType::F16, DType::BF16] {
            for pattern in 0..=u16::MAX {
                let value = number(pattern, dtype);
                if value.is_nan() {
                    assert!(number(bits(value, dtype), dtype).is_nan());
                } else {
                    assert_eq!(bits(value, dtype), pattern, "{dtype} {value}");
                    assert_eq!(round(value, dtype), value);
                }
            }
        }
    }

    #[test]
    fn the_nearer_neighbour_wins() {
        for dtype in [DType::F16, DType::BF16] {
            for pattern in 0..0x7bffu16 {
                let (low, high) = (number(pattern, dtype), number(pattern + 1, dtype));
                let middle = (low + high) / 2.0;
                let even = if pattern % 2 == 0 { low } else { high };
                // The middle is no f32 where numbers of bf16 are no normal ones.
                if f64::from(middle as f32) == middle {
                    assert_eq!(round(middle, dtype), even, "{dtype} {middle}");
                }
                assert_eq!(round(low + (high - low) * 0.25, dtype), low);
                assert_eq!(round(low + (high - low) * 0.75, dtype), high);
            }
        }
    }
}
