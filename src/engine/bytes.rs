//! Elements as bytes, and back: row-major, little-endian.

use crate::ops::DType;

/// The numbers in a buffer. Half-precision numbers are widened.
pub fn to_f64(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|c| f(*c)).collect()
    }
    match dtype {
        DType::Bool | DType::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        DType::I8 => bytes.iter().map(|&b| f64::from(b as i8)).collect(),
        DType::I32 => each(bytes, |c| f64::from(i32::from_le_bytes(c))),
        DType::I64 => each(bytes, |c| i64::from_le_bytes(c) as f64),
        DType::F32 => each(bytes, |c| f64::from(f32::from_le_bytes(c))),
        DType::F64 => each(bytes, f64::from_le_bytes),
        DType::BF16 => each(bytes, |c: [u8; 2]| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(c)) << 16))),
        DType::F16 => each(bytes, |c: [u8; 2]| half(u16::from_le_bytes(c))),
    }
}

/// A half-precision number (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1.0 + fraction / 1024.0) * 2f64.powi(e - 15),
    }
}

/// Numbers as a buffer: rounded to nearest, whole numbers saturating.
pub fn from_f64(dtype: DType, numbers: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut out = Vec::new();
    for x in numbers {
        match dtype {
            DType::Bool => out.push(u8::from(x != 0.0)),
            DType::U8 => out.push(x as u8),
            DType::I8 => out.push(x as i8 as u8),
            DType::I32 => out.extend((x as i32).to_le_bytes()),
            DType::I64 => out.extend((x as i64).to_le_bytes()),
            DType::F64 => out.extend(x.to_le_bytes()),
            // Half-precision tensors are kept wide until there is a target that computes with them.
            DType::F32 | DType::F16 | DType::BF16 => out.extend((x as f32).to_le_bytes()),
        }
    }
    out
}
