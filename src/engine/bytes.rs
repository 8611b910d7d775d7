//! Elements as bytes, and back: row-major, little-endian.

use crate::ops::{DType, half};

/// The numbers in a buffer.
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
        DType::F16 | DType::BF16 => each(bytes, |c: [u8; 2]| half::number(u16::from_le_bytes(c), dtype)),
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
            DType::F32 => out.extend((x as f32).to_le_bytes()),
            DType::F16 | DType::BF16 => out.extend(half::bits(x, dtype).to_le_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_through_bytes_and_back() {
        for dtype in DType::ALL {
            let numbers = if dtype == DType::Bool { vec![0.0, 1.0] } else { vec![0.0, 1.0, 2.0, 100.0] };
            let bytes = from_f64(dtype, numbers.iter().copied());
            assert_eq!(bytes.len(), numbers.len() * dtype.bytes(), "{dtype}");
            assert_eq!(to_f64(dtype, &bytes), numbers, "{dtype}");
        }
        assert_eq!(to_f64(DType::BF16, &from_f64(DType::BF16, [2.7133].into_iter())), [2.71875]);
        assert_eq!(to_f64(DType::F16, &from_f64(DType::F16, [70000.0].into_iter())), [f64::INFINITY]);
    }
}
