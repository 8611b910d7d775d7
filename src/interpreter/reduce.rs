//! Reductions: the reduced axes go last, then each row is folded from its first element on.

use ndarray::IxDyn;

use super::{Tensor, standard, tensor};
use crate::ops::{Binary, DType, Reduce, scalar};

/// The elements with these axes last, as rows: the kept shape, the length of a row, the elements.
fn rows(x: &Tensor, axes: &[usize]) -> (Vec<usize>, usize, Tensor) {
    let kept: Vec<usize> = (0..x.ndim()).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let length = axes.iter().map(|axis| x.shape()[*axis]).product();
    let shape = kept.iter().map(|axis| x.shape()[*axis]).collect();
    (shape, length, standard(&x.clone().permuted_axes(IxDyn(&order))))
}

fn fold(x: &Tensor, axes: &[usize], row: impl Fn(&[f64]) -> f64) -> Result<Tensor, String> {
    let (shape, length, elements) = rows(x, axes);
    let flat = elements.as_slice().ok_or("the elements are not in order")?;
    let count: usize = shape.iter().product();
    let folded = (0..count).map(|i| row(&flat[i * length..(i + 1) * length])).collect();
    tensor(&shape, folded).ok_or_else(|| "the shape does not fit".into())
}

pub fn reduce(op: Reduce, x: &Tensor, axes: &[usize], dtype: DType) -> Result<Tensor, String> {
    let integer = |op, start: f64| {
        fold(x, axes, move |row: &[f64]| row.iter().fold(start, |a, b| scalar::binary(op, a, *b, dtype)))
    };
    match op {
        Reduce::Sum if dtype.is_float() => fold(x, axes, |row| row.iter().sum()),
        Reduce::Prod if dtype.is_float() => fold(x, axes, |row| row.iter().product()),
        Reduce::Sum => integer(Binary::Add, 0.0),
        Reduce::Prod => integer(Binary::Mul, 1.0),
        Reduce::Max => fold(x, axes, |row| row.iter().copied().fold(range(dtype).0, scalar::max)),
        Reduce::Min => fold(x, axes, |row| row.iter().copied().fold(range(dtype).1, scalar::min)),
    }
}

/// The smallest and the largest number of a dtype: what the maximum and the minimum of nothing are.
fn range(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::Bool => (0.0, 1.0),
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::I64 => (i64::MIN as f64, i64::MAX as f64),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// The first largest or smallest; a NaN is more extreme than any number.
pub fn arg(max: bool, x: &Tensor, axis: usize) -> Result<Tensor, String> {
    fold(x, &[axis], |row| {
        let mut best = 0;
        for (i, v) in row.iter().enumerate().skip(1) {
            let beats = if max { *v > row[best] } else { *v < row[best] };
            if !row[best].is_nan() && (v.is_nan() || beats) {
                best = i;
            }
        }
        best as f64
    })
}
