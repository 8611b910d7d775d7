//! Contractions: matrix products by ndarray, convolutions as matrix products over gathered windows, and pooling.
//!
//! A window is a table: for each element of the kernel and each place, the element under it, or none in the padding.

use ndarray::{Array2, Array3, ArrayView2, Axis, Ix2, Ix3};

use super::{Tensor, reshaped, standard, tensor};
use crate::ops::Window;

pub fn matmul(a: &Tensor, b: &Tensor, batch: usize) -> Result<Tensor, String> {
    let wrong = |_| "the operands are no matrices".to_string();
    if batch == 0 {
        let (a, b) = (a.view().into_dimensionality::<Ix2>(), b.view().into_dimensionality::<Ix2>());
        return Ok(a.map_err(wrong)?.dot(&b.map_err(wrong)?).into_dyn().into_shared());
    }
    let stack = |x: &Tensor| {
        let count = x.shape()[..batch].iter().product();
        let stacked = reshaped(x, &[count, x.shape()[batch], x.shape()[batch + 1]])?;
        stacked.into_dimensionality::<Ix3>().map_err(wrong)
    };
    let shape = [&a.shape()[..=batch], &b.shape()[batch + 1..]].concat();
    let (a, b) = (stack(a)?, stack(b)?);
    let mut out = Array3::zeros((a.dim().0, a.dim().1, b.dim().2));
    for (i, mut product) in out.axis_iter_mut(Axis(0)).enumerate() {
        product.assign(&a.index_axis(Axis(0), i).dot(&b.index_axis(Axis(0), i)));
    }
    reshaped(&out.into_dyn().into_shared(), &shape)
}

/// For each element of the kernel (outer) and each place (inner), the flat offset of the element under it.
fn table(window: &Window<usize>, sizes: &[usize], places: &[usize]) -> Vec<Option<usize>> {
    let taps: usize = window.kernel.iter().product();
    let count: usize = places.iter().product();
    let under = |entry: usize| {
        let (mut k, mut p) = (entry / count, entry % count);
        let (mut offset, mut stride) = (0, 1);
        for axis in (0..sizes.len()).rev() {
            let (tap, place) = (k % window.kernel[axis], p % places[axis]);
            k /= window.kernel[axis];
            p /= places[axis];
            let position = place * window.stride[axis] + tap * window.dilation[axis];
            match position.checked_sub(window.pad_low[axis]) {
                Some(at) if at < sizes[axis] => offset += at * stride,
                _ => return None,
            }
            stride *= sizes[axis];
        }
        Some(offset)
    };
    (0..taps * count).map(under).collect()
}

/// The sizes of a convolution, and its table.
struct Geometry {
    batch: usize,
    groups: usize,
    /// Channels of one group.
    inputs: usize,
    outputs: usize,
    taps: usize,
    places: usize,
    /// Spatial elements of one channel of x.
    plane: usize,
    table: Vec<Option<usize>>,
}

impl Geometry {
    fn new(x: &[usize], weight: &[usize], dy: &[usize], window: &Window<usize>, groups: usize) -> Geometry {
        Geometry {
            batch: x[0],
            groups,
            inputs: weight[1],
            outputs: weight[0] / groups,
            taps: window.kernel.iter().product(),
            places: dy[2..].iter().product(),
            plane: x[2..].iter().product(),
            table: table(window, &x[2..], &dy[2..]),
        }
    }

    /// The windows over one group of one sample, one place a column: [channels * taps, places].
    fn columns(&self, x: &[f64], sample: usize, group: usize) -> Array2<f64> {
        let mut columns = Vec::with_capacity(self.inputs * self.table.len());
        for channel in 0..self.inputs {
            let base = ((sample * self.groups + group) * self.inputs + channel) * self.plane;
            columns.extend(self.table.iter().map(|at| at.map_or(0.0, |at| x[base + at])));
        }
        Array2::from_shape_vec((self.inputs * self.taps, self.places), columns).unwrap_or_default()
    }

    /// One group of one sample of dy: [outputs, places].
    fn outputs_of<'a>(&self, dy: &'a [f64], sample: usize, group: usize) -> ArrayView2<'a, f64> {
        let size = self.outputs * self.places;
        let from = (sample * self.groups + group) * size;
        matrix(&dy[from..from + size], self.outputs, self.places)
    }

    /// One group of the weight: [outputs, channels * taps].
    fn weights_of<'a>(&self, weight: &'a [f64], group: usize) -> ArrayView2<'a, f64> {
        let size = self.outputs * self.inputs * self.taps;
        matrix(&weight[group * size..(group + 1) * size], self.outputs, self.inputs * self.taps)
    }
}

fn matrix(elements: &[f64], rows: usize, columns: usize) -> ArrayView2<'_, f64> {
    // The slice is cut to rows * columns by the callers.
    ArrayView2::from_shape((rows, columns), elements).unwrap_or_else(|_| ArrayView2::from(&[[0.0; 0]; 0]))
}

fn flat(x: &Tensor) -> Result<Vec<f64>, String> {
    Ok(standard(x).as_slice().ok_or("the elements are not in order")?.to_vec())
}

fn shaped(shape: &[usize], elements: Vec<f64>) -> Result<Tensor, String> {
    tensor(shape, elements).ok_or_else(|| "the shape does not fit".into())
}

pub fn conv(
    x: &Tensor,
    weight: &Tensor,
    window: &Window<usize>,
    groups: usize,
    shape: &[usize],
) -> Result<Tensor, String> {
    let g = Geometry::new(x.shape(), weight.shape(), shape, window, groups);
    let (x, weight) = (flat(x)?, flat(weight)?);
    let mut out = Vec::with_capacity(shape.iter().product());
    for sample in 0..g.batch {
        for group in 0..groups {
            out.extend(g.weights_of(&weight, group).dot(&g.columns(&x, sample, group)).iter());
        }
    }
    shaped(shape, out)
}

pub fn conv_input_grad(
    dy: &Tensor,
    weight: &Tensor,
    window: &Window<usize>,
    groups: usize,
    shape: &[usize],
) -> Result<Tensor, String> {
    let g = Geometry::new(shape, weight.shape(), dy.shape(), window, groups);
    let (dy, weight) = (flat(dy)?, flat(weight)?);
    let mut dx = vec![0.0; shape.iter().product()];
    for sample in 0..g.batch {
        for group in 0..groups {
            let columns = g.weights_of(&weight, group).t().dot(&g.outputs_of(&dy, sample, group));
            for (row, values) in columns.axis_iter(Axis(0)).enumerate() {
                let (channel, tap) = (row / g.taps, row % g.taps);
                let base = ((sample * groups + group) * g.inputs + channel) * g.plane;
                for (at, value) in g.table[tap * g.places..].iter().zip(values) {
                    if let Some(at) = at {
                        dx[base + at] += value;
                    }
                }
            }
        }
    }
    shaped(shape, dx)
}

pub fn conv_weight_grad(
    x: &Tensor,
    dy: &Tensor,
    window: &Window<usize>,
    groups: usize,
    shape: &[usize],
) -> Result<Tensor, String> {
    let g = Geometry::new(x.shape(), shape, dy.shape(), window, groups);
    let (x, dy) = (flat(x)?, flat(dy)?);
    let mut dw: Vec<Array2<f64>> = vec![Array2::zeros((g.outputs, g.inputs * g.taps)); groups];
    for sample in 0..g.batch {
        for (group, dw) in dw.iter_mut().enumerate() {
            *dw += &g.outputs_of(&dy, sample, group).dot(&g.columns(&x, sample, group).t());
        }
    }
    shaped(shape, dw.iter().flatten().copied().collect())
}

/// Calls `see(place, elements under it)` for each window.
fn windows(
    x: &[usize],
    window: &Window<usize>,
    places: &[usize],
    mut see: impl FnMut(usize, &mut dyn Iterator<Item = usize>),
) {
    let leading = x.len() - window.kernel.len();
    let (sizes, places) = (&x[leading..], &places[leading..]);
    let table = table(window, sizes, places);
    let (plane, count): (usize, usize) = (sizes.iter().product(), places.iter().product());
    for outer in 0..x[..leading].iter().product() {
        for place in 0..count {
            let mut under = table.iter().skip(place).step_by(count).filter_map(|at| Some(outer * plane + (*at)?));
            see(outer * count + place, &mut under);
        }
    }
}

/// The first largest; a NaN is larger than any number.
fn largest(x: &[f64], under: &mut dyn Iterator<Item = usize>) -> Option<usize> {
    let mut best = under.next()?;
    for at in under {
        if !x[best].is_nan() && (x[at] > x[best] || x[at].is_nan()) {
            best = at;
        }
    }
    Some(best)
}

pub fn max_pool(x: &Tensor, window: &Window<usize>, shape: &[usize]) -> Result<Tensor, String> {
    let elements = flat(x)?;
    let mut out = Vec::with_capacity(shape.iter().product());
    windows(x.shape(), window, shape, |_, under| {
        out.push(largest(&elements, under).map_or(f64::NEG_INFINITY, |at| elements[at]));
    });
    shaped(shape, out)
}

pub fn max_pool_grad(x: &Tensor, dy: &Tensor, window: &Window<usize>) -> Result<Tensor, String> {
    let (elements, from) = (flat(x)?, flat(dy)?);
    let mut dx = vec![0.0; elements.len()];
    windows(x.shape(), window, dy.shape(), |place, under| {
        if let Some(at) = largest(&elements, under) {
            dx[at] += from[place];
        }
    });
    shaped(x.shape(), dx)
}

pub fn sum_pool(x: &Tensor, window: &Window<usize>, shape: &[usize]) -> Result<Tensor, String> {
    let elements = flat(x)?;
    let mut out = Vec::with_capacity(shape.iter().product());
    windows(x.shape(), window, shape, |_, under| out.push(under.map(|at| elements[at]).sum()));
    shaped(shape, out)
}

pub fn sum_pool_grad(dy: &Tensor, window: &Window<usize>, shape: &[usize]) -> Result<Tensor, String> {
    let from = flat(dy)?;
    let mut dx = vec![0.0; shape.iter().product()];
    windows(shape, window, dy.shape(), |place, under| under.for_each(|at| dx[at] += from[place]));
    shaped(shape, dx)
}
