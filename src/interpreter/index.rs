//! Indexing by tensors. An index outside its axis ends the step.

use ndarray::{Axis, IxDyn};

use super::{Tensor, reshaped, standard, tensor};

fn places(index: &Tensor, size: usize) -> Result<Vec<usize>, String> {
    index
        .iter()
        .map(|i| {
            let inside = *i >= 0.0 && *i < size as f64;
            if inside { Ok(*i as usize) } else { Err(format!("index {i} is outside 0..{size}")) }
        })
        .collect()
}

pub fn take(x: &Tensor, index: &Tensor, axis: usize) -> Result<Tensor, String> {
    let taken = x.select(Axis(axis), &places(index, x.shape()[axis])?).into_shared();
    let shape = [&x.shape()[..axis], index.shape(), &x.shape()[axis + 1..]].concat();
    reshaped(&taken, &shape)
}

pub fn scatter_add(updates: &Tensor, index: &Tensor, axis: usize, size: usize) -> Result<Tensor, String> {
    let (before, after) = (&updates.shape()[..axis], &updates.shape()[axis + index.ndim()..]);
    let (outer, inner): (usize, usize) = (before.iter().product(), after.iter().product());
    let places = places(index, size)?;
    let updates = standard(updates);
    let from = updates.as_slice().ok_or("the elements are not in order")?;
    let mut sums = vec![0.0; outer * size * inner];
    for o in 0..outer {
        for (i, place) in places.iter().enumerate() {
            let (source, target) = ((o * places.len() + i) * inner, (o * size + place) * inner);
            for k in 0..inner {
                sums[target + k] += from[source + k];
            }
        }
    }
    tensor(&[before, &[size], after].concat(), sums).ok_or_else(|| "the shape does not fit".into())
}

pub fn pick(x: &Tensor, index: &Tensor, axis: usize) -> Result<Tensor, String> {
    let size = x.shape()[axis];
    let order: Vec<usize> = (0..x.ndim()).filter(|a| *a != axis).chain([axis]).collect();
    let last = standard(&x.clone().permuted_axes(IxDyn(&order)));
    let flat = last.as_slice().ok_or("the elements are not in order")?;
    let picked = places(index, size)?.iter().enumerate().map(|(row, i)| flat[row * size + i]).collect();
    tensor(index.shape(), picked).ok_or_else(|| "the shape does not fit".into())
}

pub fn update_slice(x: &Tensor, rows: &Tensor, start: &Tensor, axis: usize) -> Result<Tensor, String> {
    let count = rows.shape()[axis];
    let first = start.iter().next().copied().unwrap_or(0.0);
    if first < 0.0 || first as usize + count > x.shape()[axis] {
        return Err(format!("rows {first}..{} are outside 0..{}", first + count as f64, x.shape()[axis]));
    }
    let mut out = x.to_owned();
    out.slice_axis_mut(Axis(axis), ndarray::Slice::from(first as usize..first as usize + count)).assign(rows);
    Ok(out.into_shared())
}
