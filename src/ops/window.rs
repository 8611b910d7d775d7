//! Geometry of windows that slide over the last axes: what convolution and pooling share.

use super::def::{ArgValue, ShapeFault};
use super::op::Window;
use super::shape::{attribute, ints_for};
use crate::dims::Dim;

/// How many places a window has along one axis:
/// floor((size + low + high - dilation (kernel - 1) - 1) / stride) + 1.
pub fn places(size: &Dim, window: &Window<Dim>, axis: usize) -> Dim {
    let one = Dim::from(1i64);
    let reach = window.dilation[axis].mul(&window.kernel[axis].sub(&one));
    let slack = size.add(&window.pad_low[axis]).add(&window.pad_high[axis]).sub(&reach).sub(&one);
    slack.floor_div(&window.stride[axis]).add(&one)
}

/// The places along all window axes of an operand whose last axes have these sizes, of which there is at least one.
/// `operand` and `first` are where those axes stand.
pub fn all_places(sizes: &[Dim], window: &Window<Dim>, operand: usize, first: usize) -> Result<Vec<Dim>, ShapeFault> {
    check(window)?;
    let mut found = Vec::new();
    for (i, size) in sizes.iter().enumerate() {
        let count = places(size, window, i);
        if count.number().is_some_and(|n| n < 1) {
            let padded = size.add(&window.pad_low[i]).add(&window.pad_high[i]);
            let reach = window.dilation[i].mul(&window.kernel[i].sub(&Dim::from(1i64))).add(&Dim::from(1i64));
            let what = if padded == *size { "the size" } else { "the padded size" };
            let why = format!("{what} {padded} is smaller than the window {reach}");
            return Err(ShapeFault::Extent { operand, axis: first + i, why });
        }
        found.push(count);
    }
    Ok(found)
}

/// Attributes of one length, with sizes that make sense.
pub fn check(window: &Window<Dim>) -> Result<(), ShapeFault> {
    let axes = window.kernel.len();
    let lists = [&window.kernel, &window.stride, &window.dilation, &window.pad_low, &window.pad_high];
    if axes == 0 || lists.iter().any(|list| list.len() != axes) {
        return attribute("the window's kernel, stride, dilation and padding have different numbers of axes");
    }
    for (what, list) in ["kernel", "stride", "dilation"].iter().zip(lists) {
        if let Some(d) = list.iter().find(|d| d.number().is_some_and(|n| n < 1)) {
            return attribute(format!("a {what} of {d}"));
        }
    }
    match lists[3].iter().chain(lists[4]).find(|d| d.number().is_some_and(|n| n < 0)) {
        Some(d) => attribute(format!("a padding of {d}")),
        None => Ok(()),
    }
}

/// The window that arguments describe: stride, padding and dilation at these places of `args`. A stride that is left
/// out is that of `stride` (pooling: the kernel).
pub fn from_args(
    kernel: Vec<Dim>,
    default_stride: Vec<Dim>,
    args: &[ArgValue],
    [stride, padding, dilation]: [usize; 3],
) -> Result<Window<Dim>, ShapeFault> {
    let axes = kernel.len();
    let stride = ints_for(args, stride, axes)?.unwrap_or(default_stride);
    let dilation = ints_for(args, dilation, axes)?.unwrap_or_else(|| vec![Dim::from(1i64); axes]);
    let (pad_low, pad_high) = match args.get(padding) {
        Some(ArgValue::Word("valid")) => (vec![Dim::default(); axes], vec![Dim::default(); axes]),
        Some(ArgValue::Word("same")) => {
            let total: Vec<Dim> = (0..axes).map(|i| dilation[i].mul(&kernel[i].sub(&Dim::from(1i64)))).collect();
            let low: Vec<Dim> = total.iter().map(|d| d.floor_div(&Dim::from(2i64))).collect();
            let high = total.iter().zip(&low).map(|(t, l)| t.sub(l)).collect();
            (low, high)
        }
        Some(ArgValue::Word(word)) => return attribute(format!("padding `{word}`")),
        _ => {
            let both = ints_for(args, padding, axes)?.unwrap_or_else(|| vec![Dim::default(); axes]);
            (both.clone(), both)
        }
    };
    let window = Window { kernel, stride, dilation, pad_low, pad_high };
    check(&window)?;
    Ok(window)
}
