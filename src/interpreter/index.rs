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
