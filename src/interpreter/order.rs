//! Running folds and sorting along one axis.

use std::cmp::Ordering;

use ndarray::Axis;

use super::Tensor;
use crate::ops::{Binary, Cumulative, DType, scalar};

/// Each lane along the axis, replaced by what `f` makes of it.
fn lanes(x: &Tensor, axis: usize, f: impl Fn(Vec<f64>) -> Vec<f64>) -> Tensor {
    let mut out = x.to_owned();
    for mut lane in out.lanes_mut(Axis(axis)) {
        let new = f(lane.to_vec());
        lane.iter_mut().zip(new).for_each(|(to, from)| *to = from);
    }
    out.into_shared()
}

pub fn cumulate(op: Cumulative, x: &Tensor, axis: usize, reverse: bool, dtype: DType) -> Result<Tensor, String> {
    let join = |a: f64, b: f64| match op {
        Cumulative::Sum => scalar::binary(Binary::Add, a, b, dtype),
        Cumulative::Prod => scalar::binary(Binary::Mul, a, b, dtype),
        Cumulative::Max => scalar::max(a, b),
        Cumulative::Min => scalar::binary(Binary::Min, a, b, dtype),
        Cumulative::LogSumExp if a == b => a + std::f64::consts::LN_2,
        Cumulative::LogSumExp => scalar::max(a, b) + (-(a - b).abs()).exp().ln_1p(),
    };
    Ok(lanes(x, axis, |mut lane| {
        if reverse {
            lane.reverse();
        }
        for i in 1..lane.len() {
            lane[i] = join(lane[i - 1], lane[i]);
        }
        if reverse {
            lane.reverse();
        }
        lane
    }))
}

/// NaN after every number.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

pub fn argsort(x: &Tensor, axis: usize, descending: bool) -> Result<Tensor, String> {
    Ok(lanes(x, axis, |lane| {
        let mut order: Vec<usize> = (0..lane.len()).collect();
        order.sort_by(|&i, &j| if descending { compare(lane[j], lane[i]) } else { compare(lane[i], lane[j]) });
        order.into_iter().map(|i| i as f64).collect()
    }))
}
