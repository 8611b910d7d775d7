//! The operations of the graph. `D` is how a size is written: [`Dim`](crate::dims::Dim) while checking, `usize` in a
//! graph that can run.
//!
//! Elements are row-major. "In order" below: operands are listed as `inputs`.

use super::scan::Scan;
use super::types::{Binary, Compare, Cumulative, Reduce, Unary};

/// A persistent value by its number in the program's list: a parameter, a layer's state, an optimizer's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub u32);

/// What a step knows about the training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// Steps finished before this one.
    Step,
    /// Epochs finished before this one.
    Epoch,
    /// Steps of the whole run.
    Steps,
    /// Steps of one epoch.
    EpochSteps,
}

/// Geometry of a convolution or pooling over the last `kernel.len()` axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Window<D> {
    pub kernel: Vec<D>,
    pub stride: Vec<D>,
    pub dilation: Vec<D>,
    pub pad_low: Vec<D>,
    pub pad_high: Vec<D>,
}

/// One operation with its compile-time attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op<D> {
    // ---- leaves: no inputs ----
    /// The value of a persistent variable before the step.
    Read(VarId),
    /// A field of the batch, by its position among the entry's fields.
    Field(u32),
    /// `f32[]`
    Clock(Clock),
    /// The key of all draws: `i32[4]` = seed low, seed high, step low, step high.
    Key,
    /// A scalar; integers and bools exactly.
    Const(f64),
    /// A scalar: a size as a number. Only while sizes are names; building makes a `Const` of it.
    Size {
        value: D,
    },
    /// A rank-1 list of numbers.
    Literal(Vec<f64>),
    /// `i32[size]`: 0, 1, 2, …
    Iota {
        size: D,
    },

    // ---- elementwise: operands and result of one shape ----
    Unary(Unary),
    Binary(Binary),
    Compare(Compare),
    /// `condition, a, b`
    Select,
    Cast,
    /// The operand, through which no gradient flows.
    StopGradient,

    // ---- draws ----
    /// Input: the key. Uniform `f32` in [0, 1) with 24 random bits an element, by Threefry-2x32 with 20 rounds (Salmon
    /// et al., 2011): cipher key = (seed low ^ site low, seed high ^ site high), counter = (element index,
    /// step low + 0x9E3779B9 * step high); the first output word's upper 24 bits times 2^-24.
    Uniform {
        shape: Vec<D>,
        site: u64,
    },

    // ---- movement ----
    /// Operand axis `i` becomes result axis `axes[i]` (ascending); an operand axis of size 1 may stretch; other result
    /// axes are new.
    Broadcast {
        shape: Vec<D>,
        axes: Vec<usize>,
    },
    /// Result axis `i` is operand axis `perm[i]`.
    Transpose {
        perm: Vec<usize>,
    },
    /// The same elements in the same order.
    Reshape {
        shape: Vec<D>,
    },
    /// For each axis: first index, number of elements, step (negative walks backwards).
    Slice {
        start: Vec<D>,
        size: Vec<D>,
        step: Vec<i64>,
    },
    /// Adds `low` and `high` elements of `value` before and after, for each axis.
    Pad {
        low: Vec<D>,
        high: Vec<D>,
        value: f64,
    },
    /// All operands, one after the other along the axis.
    Concat {
        axis: usize,
    },

    // ---- reductions: the reduced axes are gone from the result ----
    Reduce {
        op: Reduce,
        axes: Vec<usize>,
    },
    /// The index (`i32`) of the largest (`max`) or smallest element along the axis, the first of equals.
    ArgReduce {
        max: bool,
        axis: usize,
    },

    // ---- along an axis ----
    /// Element `i` is the fold of the operand's elements up to `i` along the axis; with `reverse`, from `i` on.
    Cumulate {
        op: Cumulative,
        axis: usize,
        reverse: bool,
    },
    /// The indices (`i32`) that put the axis in order, equal elements in theirs; NaN is the largest.
    ArgSort {
        axis: usize,
        descending: bool,
    },

    // ---- indexing ----
    /// `x, index`: rows of `x` along the axis; shape = x[..axis] + index + x[axis+1..].
    Take {
        axis: usize,
    },
    /// `updates, index`: the gradient of `Take`; `size` is the length of the axis; equal indices add up in order.
    ScatterAdd {
        axis: usize,
        size: D,
    },
    /// `x, index`: one element along the axis; `index` has the shape of `x` without the axis, as has the result.
    Pick {
        axis: usize,
    },

    /// `x, rows, start`: x with the elements from `start` (`i32[]`) on along the axis replaced by `rows`, which has the shape
    /// of x but for that axis.
    UpdateSlice {
        axis: usize,
    },

    // ---- contraction ----
    /// `[batch.., m, k], [batch.., k, n]` to `[batch.., m, n]`; the number of batch axes.
    Matmul {
        batch: usize,
    },
    /// `x [b, c, spatial..], weight [o, c / groups, kernel..]` to `[b, o, out..]` (cross-correlation, as in PyTorch).
    Conv {
        window: Window<D>,
        groups: D,
    },
    /// `dy, weight` to the gradient of `x`, whose spatial sizes are `size`.
    ConvInputGrad {
        window: Window<D>,
        groups: D,
        size: Vec<D>,
    },
    /// `x, dy` to the gradient of `weight`.
    ConvWeightGrad {
        window: Window<D>,
        groups: D,
    },
    /// The largest element of each window over the last axes; padding never wins.
    MaxPool {
        window: Window<D>,
    },
    /// `x, dy` to the gradient of `x`: all of it to the first largest element of each window.
    MaxPoolGrad {
        window: Window<D>,
    },
    /// The sum of each window over the last axes.
    SumPool {
        window: Window<D>,
    },
    /// `dy` to the gradient of the operand of `SumPool`, whose window axes have these sizes.
    SumPoolGrad {
        window: Window<D>,
        size: Vec<D>,
    },

    // ---- recurrences ----
    /// A body repeated along an axis; its results are taken by `ScanResult`.
    Scan(Box<Scan<D>>),
    /// Input: the scan. Its result of this number.
    ScanResult {
        index: usize,
    },
    /// In the body of a scan: the operand of this number, as a step sees it.
    Parameter(u32),

    // ---- expanded by differentiation ----
    /// `y, x`: the gradient of the scalar `y` by `x`, shaped like `x`.
    Gradient,
    /// `y, d, x…, g…`: y, whose gradients by each of so many `x` are the `g`, computed from the stand-in `d` for the
    /// gradient of y.
    CustomGradient {
        inputs: usize,
    },
}

impl<D> Op<D> {
    /// The same operation with sizes written in another way; the first failure ends it.
    pub fn try_map<E, F>(&self, size: &mut impl FnMut(&D) -> Result<F, E>) -> Result<Op<F>, E> {
        fn all<D, F, E>(sizes: &[D], size: &mut impl FnMut(&D) -> Result<F, E>) -> Result<Vec<F>, E> {
            sizes.iter().map(size).collect()
        }
        fn window<D, F, E>(w: &Window<D>, size: &mut impl FnMut(&D) -> Result<F, E>) -> Result<Window<F>, E> {
            Ok(Window {
                kernel: all(&w.kernel, size)?,
                stride: all(&w.stride, size)?,
                dilation: all(&w.dilation, size)?,
                pad_low: all(&w.pad_low, size)?,
                pad_high: all(&w.pad_high, size)?,
            })
        }
        Ok(match self {
            Op::Read(v) => Op::Read(*v),
            Op::Field(i) => Op::Field(*i),
            Op::Clock(c) => Op::Clock(*c),
            Op::Key => Op::Key,
            Op::Const(v) => Op::Const(*v),
            Op::Size { value } => Op::Size { value: size(value)? },
            Op::Literal(v) => Op::Literal(v.clone()),
            Op::Iota { size: n } => Op::Iota { size: size(n)? },
            Op::Unary(u) => Op::Unary(*u),
            Op::Binary(b) => Op::Binary(*b),
            Op::Compare(c) => Op::Compare(*c),
            Op::Select => Op::Select,
            Op::Cast => Op::Cast,
            Op::StopGradient => Op::StopGradient,
            Op::Uniform { shape, site } => Op::Uniform { shape: all(shape, size)?, site: *site },
            Op::Broadcast { shape, axes } => Op::Broadcast { shape: all(shape, size)?, axes: axes.clone() },
            Op::Transpose { perm } => Op::Transpose { perm: perm.clone() },
            Op::Reshape { shape } => Op::Reshape { shape: all(shape, size)? },
            Op::Slice { start, size: count, step } => {
                Op::Slice { start: all(start, size)?, size: all(count, size)?, step: step.clone() }
            }
            Op::Pad { low, high, value } => Op::Pad { low: all(low, size)?, high: all(high, size)?, value: *value },
            Op::Concat { axis } => Op::Concat { axis: *axis },
            Op::Reduce { op, axes } => Op::Reduce { op: *op, axes: axes.clone() },
            Op::ArgReduce { max, axis } => Op::ArgReduce { max: *max, axis: *axis },
            Op::Cumulate { op, axis, reverse } => Op::Cumulate { op: *op, axis: *axis, reverse: *reverse },
            Op::ArgSort { axis, descending } => Op::ArgSort { axis: *axis, descending: *descending },
            Op::Take { axis } => Op::Take { axis: *axis },
            Op::ScatterAdd { axis, size: n } => Op::ScatterAdd { axis: *axis, size: size(n)? },
            Op::Pick { axis } => Op::Pick { axis: *axis },
            Op::UpdateSlice { axis } => Op::UpdateSlice { axis: *axis },
            Op::Matmul { batch } => Op::Matmul { batch: *batch },
            Op::Conv { window: w, groups } => Op::Conv { window: window(w, size)?, groups: size(groups)? },
            Op::ConvInputGrad { window: w, groups, size: s } => {
                Op::ConvInputGrad { window: window(w, size)?, groups: size(groups)?, size: all(s, size)? }
            }
            Op::ConvWeightGrad { window: w, groups } => {
                Op::ConvWeightGrad { window: window(w, size)?, groups: size(groups)? }
            }
            Op::MaxPool { window: w } => Op::MaxPool { window: window(w, size)? },
            Op::MaxPoolGrad { window: w } => Op::MaxPoolGrad { window: window(w, size)? },
            Op::SumPool { window: w } => Op::SumPool { window: window(w, size)? },
            Op::SumPoolGrad { window: w, size: s } => Op::SumPoolGrad { window: window(w, size)?, size: all(s, size)? },
            Op::Scan(scan) => Op::Scan(Box::new(scan.try_map(size)?)),
            Op::ScanResult { index } => Op::ScanResult { index: *index },
            Op::Parameter(i) => Op::Parameter(*i),
            Op::Gradient => Op::Gradient,
            Op::CustomGradient { inputs } => Op::CustomGradient { inputs: *inputs },
        })
    }
}
