//! Movement operations: ndarray's views, copied where they cannot be shared.

use ndarray::{Array, ArrayViewD, Axis, IxDyn, Slice};

use super::Tensor;

pub fn broadcast(x: &Tensor, shape: &[usize], axes: &[usize]) -> Result<Tensor, String> {
    let mut view = x.view();
    for axis in (0..shape.len()).filter(|axis| !axes.contains(axis)) {
        view.insert_axis_inplace(Axis(axis));
    }
    let wide = view.broadcast(IxDyn(shape)).ok_or("the shape does not stretch")?;
    Ok(wide.to_owned().into_shared())
}

pub fn slice(x: &Tensor, start: &[usize], size: &[usize], step: &[i64]) -> Tensor {
    let mut out = x.clone();
    for axis in 0..start.len() {
        let (first, step) = (start[axis] as isize, step[axis] as isize);
        let last = first + (size[axis] as isize - 1) * step;
        // With a negative step ndarray takes the same range from its end.
        let range = match size[axis] {
            0 => Slice::new(0, Some(0), 1),
            _ => Slice::new(first.min(last), Some(first.max(last) + 1), step),
        };
        out.slice_axis_inplace(Axis(axis), range);
    }
    out
}

pub fn pad(x: &Tensor, low: &[usize], high: &[usize], value: f64) -> Tensor {
    let shape: Vec<usize> = (0..x.ndim()).map(|i| low[i] + x.shape()[i] + high[i]).collect();
    let mut out = Array::from_elem(IxDyn(&shape), value);
    out.slice_each_axis_mut(|axis| {
        let first = low[axis.axis.index()];
        Slice::from(first..first + x.shape()[axis.axis.index()])
    })
    .assign(x);
    out.into_shared()
}

pub fn concat(parts: &[Tensor], axis: usize) -> Result<Tensor, String> {
    let views: Vec<ArrayViewD<f64>> = parts.iter().map(|part| part.view()).collect();
    Ok(ndarray::concatenate(Axis(axis), &views).map_err(|e| e.to_string())?.into_shared())
}
