//! Elementwise operations. The common ones of floats have loops of their own, for speed only.

use ndarray::Zip;

use super::Tensor;
use crate::ops::{Binary, Compare, DType, Unary, scalar};

pub fn unary(op: Unary, x: &Tensor, dtype: DType) -> Tensor {
    x.map(|v| scalar::unary(op, *v, dtype)).into_shared()
}

fn zip(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    Zip::from(a).and(b).map_collect(|a, b| f(*a, *b)).into_shared()
}

pub fn binary(op: Binary, a: &Tensor, b: &Tensor, dtype: DType) -> Tensor {
    match op {
        Binary::Add if dtype.is_float() => zip(a, b, |a, b| a + b),
        Binary::Sub if dtype.is_float() => zip(a, b, |a, b| a - b),
        Binary::Mul if dtype.is_float() => zip(a, b, |a, b| a * b),
        Binary::Div if dtype.is_float() => zip(a, b, |a, b| a / b),
        _ => zip(a, b, |a, b| scalar::binary(op, a, b, dtype)),
    }
}

pub fn compare(op: Compare, a: &Tensor, b: &Tensor) -> Tensor {
    zip(a, b, |a, b| f64::from(u8::from(scalar::compare(op, a, b))))
}

pub fn select(condition: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
    Zip::from(condition).and(a).and(b).map_collect(|c, a, b| if *c != 0.0 { *a } else { *b }).into_shared()
}

pub fn cast(x: &Tensor, from: DType, to: DType) -> Tensor {
    if from == to { x.clone() } else { x.map(|v| scalar::cast(*v, from, to)).into_shared() }
}
