//! Evaluates graph nodes inside a kernel. In: a node and an index for each of its axes. Out: the scalar value, written
//! into the kernel where it belongs. Nodes with a buffer are loaded, others are computed on the spot: movement changes
//! the indices only, reductions open a fold.
//!
//! A reshape may ask for an index divided by a size. Where the kernel's loops do not allow it, the answer is a
//! [`Refine`]: the kernel is begun again with one of its loops cut in two.

use super::lower_draw;
use crate::codegen::loops::builder::Builder;
use crate::codegen::loops::{Bound, BufferArg, FoldOp, Index, LoopVar, Value, range};
use crate::graph::{Graph, NodeId};
use crate::ops::{Binary, Compare, DType, Op, Reduce, Window};
use crate::opt::fuse::Grouping;
use crate::opt::fuse_prepare::{is_buffer, strip};
use std::collections::BTreeMap;

/// An axis that loops go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    /// Of the kernel's elements.
    Kernel(usize),
    /// Reduced by a node.
    Fold(NodeId, usize),
}

/// One of the loops over an axis, outermost first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    pub extent: usize,
    /// Written out: the body is repeated for each index.
    pub unroll: bool,
}

/// How the kernel must be begun again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refine {
    /// Cut this loop of the axis into an outer one and an inner one of this extent.
    Split(Axis, usize, usize),
    Unroll(Axis, usize),
    /// More loops inside each other than kernels can have.
    TooDeep,
}

/// The loops of all axes; an axis that is not listed has one.
#[derive(Clone, Debug, Default)]
pub struct Factors(BTreeMap<Axis, Vec<Factor>>);

impl Factors {
    pub fn of(&self, axis: Axis, extent: usize) -> Vec<Factor> {
        self.0.get(&axis).cloned().unwrap_or_else(|| vec![Factor { extent, unroll: false }])
    }

    /// Applies a refinement; false if it is none.
    pub fn refine(&mut self, refine: Refine, extent: impl Fn(Axis) -> usize) -> bool {
        let (axis, position) = match refine {
            Refine::Split(axis, position, _) | Refine::Unroll(axis, position) => (axis, position),
            Refine::TooDeep => return false,
        };
        let mut factors = self.of(axis, extent(axis));
        match refine {
            Refine::Split(_, _, inner) => {
                let outer = factors[position].extent / inner;
                factors[position].extent = inner;
                factors.insert(position, Factor { extent: outer, unroll: false });
            }
            _ => factors[position].unroll = true,
        }
        self.0.insert(axis, factors);
        true
    }
}

pub struct Eval<'a> {
    pub grouping: &'a Grouping,
    pub builder: Builder,
    pub factors: &'a Factors,
    /// Buffers read, by node.
    pub reads: Vec<(NodeId, BufferArg)>,
    /// Nodes that this kernel computes although they have buffers.
    pub own: Vec<NodeId>,
    /// Whether the kernel may be begun again with other loops; else indices are divided at run time.
    pub may_refine: bool,
    /// Bounds within which loads may happen.
    guards: Vec<Bound>,
    /// Axis and position of each counter that may be cut.
    origins: BTreeMap<LoopVar, (Axis, usize)>,
}

type Result<T> = std::result::Result<T, Refine>;

/// Deepest nest of loops.
const DEEPEST: usize = 40;
/// Windows up to this many elements are written out.
const SMALL_WINDOW: usize = 16;

impl<'a> Eval<'a> {
    pub fn new(grouping: &'a Grouping, factors: &'a Factors, own: Vec<NodeId>) -> Eval<'a> {
        Eval {
            grouping,
            builder: Builder::new(),
            factors,
            reads: Vec::new(),
            own,
            may_refine: true,
            guards: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    pub fn graph(&self) -> &'a Graph<usize> {
        &self.grouping.graph
    }

    /// Opens a loop over one factor of an axis.
    pub fn open(&mut self, extent: usize, origin: Option<(Axis, usize)>) -> Result<LoopVar> {
        if self.builder.open_loops() >= DEEPEST {
            return Err(Refine::TooDeep);
        }
        let var = self.builder.open(extent);
        if let Some(origin) = origin {
            self.origins.insert(var, origin);
        }
        Ok(var)
    }

    fn is_loaded(&self, id: NodeId) -> bool {
        let op = &self.graph().node(id).op;
        let stored = self.grouping.stored[id.index()] && !self.own.contains(&id);
        is_buffer(op) || stored && !matches!(op, Op::Const(_) | Op::Iota { .. })
    }

    fn load(&mut self, id: NodeId, flat: &Index, otherwise: f64) -> Value {
        let same = |other: NodeId| {
            let (a, b) = (&self.graph().node(id).op, &self.graph().node(other).op);
            id == other || is_buffer(a) && a == b
        };
        let arg = match self.reads.iter().find(|r| same(r.0)) {
            Some(r) => r.1,
            None => {
                let ty = self.graph().ty(id);
                let access = crate::codegen::loops::Access::Read;
                let arg = self.builder.buffer(ty.dtype, ty.elements(), access);
                self.reads.push((id, arg));
                arg
            }
        };
        let guards = self.guards.clone();
        self.builder.load(arg, flat, &guards, otherwise)
    }

    /// The value of a node at an index tuple.
    pub fn value(&mut self, id: NodeId, at: &[Index]) -> Result<Value> {
        let key = (id.0, at.to_vec(), self.guards.clone());
        if let Some(value) = self.builder.recall(&key) {
            return Ok(value);
        }
        let value = self.compute(id, at)?;
        self.builder.remember(key, value);
        Ok(value)
    }

    /// The value where the bounds hold, else a number.
    pub fn guarded(&mut self, id: NodeId, at: &[Index], bounds: Vec<Bound>, otherwise: f64) -> Result<Value> {
        let dtype = self.graph().ty(id).dtype;
        let Some(bounds) = self.builder.prune(&bounds) else { return Ok(self.builder.constant(otherwise, dtype)) };
        if bounds.is_empty() {
            return self.value(id, at);
        }
        let outer = self.guards.len();
        self.guards.extend_from_slice(&bounds);
        let value = if self.is_loaded(id) {
            let flat = Index::linear(at, &self.graph().ty(id).shape);
            Ok(self.load(id, &flat, otherwise))
        } else {
            self.value(id, at).map(|value| {
                let inside = self.builder.holds(&bounds);
                let other = self.builder.constant(otherwise, dtype);
                self.builder.select(inside, value, other)
            })
        };
        self.guards.truncate(outer);
        value
    }

    fn compute(&mut self, id: NodeId, at: &[Index]) -> Result<Value> {
        let graph = self.graph();
        let node = graph.node(id);
        let dtype = node.ty.dtype;
        if self.is_loaded(id) {
            return Ok(self.load(id, &Index::linear(at, &node.ty.shape), 0.0));
        }
        let input = |i: usize| node.inputs[i];
        let shape = |i: usize| &graph.ty(node.inputs[i]).shape;
        match &node.op {
            Op::Const(v) => Ok(self.builder.constant(*v, dtype)),
            Op::Size { value } => Ok(self.builder.constant(*value as f64, dtype)),
            Op::Iota { .. } => {
                let i = self.builder.counter(&at[0]);
                Ok(self.builder.cast(i, dtype))
            }
            Op::Unary(op) => {
                let a = self.value(input(0), at)?;
                Ok(self.builder.unary(*op, a))
            }
            Op::Binary(op) => {
                let (a, b) = (self.value(input(0), at)?, self.value(input(1), at)?);
                let value = self.builder.binary(*op, a, b);
                Ok(if matches!(op, Binary::Shl | Binary::Shr) { self.shifted(value, b, dtype) } else { value })
            }
            Op::Compare(op) => {
                let (a, b) = (self.value(input(0), at)?, self.value(input(1), at)?);
                Ok(self.builder.compare(*op, a, b))
            }
            Op::Select => {
                let c = self.value(input(0), at)?;
                let (a, b) = (self.value(input(1), at)?, self.value(input(2), at)?);
                Ok(self.builder.select(c, a, b))
            }
            Op::Cast => {
                let a = self.value(input(0), at)?;
                Ok(self.builder.cast(a, dtype))
            }
            Op::StopGradient | Op::CustomGradient { .. } => self.value(input(0), at),
            Op::Uniform { site, .. } => {
                let key = [0, 1, 2, 3].map(|i| self.value(input(0), &[Index::constant(i)]));
                let [a, b, c, d] = key;
                let element = self.builder.counter(&Index::linear(at, &node.ty.shape));
                Ok(lower_draw::uniform(&mut self.builder, [a?, b?, c?, d?], *site, element))
            }
            Op::Broadcast { axes, .. } => {
                let from = shape(0);
                let zero = |i: usize| if from[i] == 1 { Index::default() } else { at[axes[i]].clone() };
                let inner: Vec<Index> = (0..from.len()).map(zero).collect();
                self.value(input(0), &inner)
            }
            Op::Transpose { perm } => {
                let mut inner = vec![Index::default(); perm.len()];
                perm.iter().zip(at).for_each(|(&p, i)| inner[p] = i.clone());
                self.value(input(0), &inner)
            }
            Op::Slice { start, step, .. } => {
                let inner: Vec<Index> =
                    at.iter().zip(start).zip(step).map(|((i, &a), &s)| i.scaled(s).shifted(a as i64)).collect();
                self.value(input(0), &inner)
            }
            Op::Pad { low, value, .. } => {
                let inner: Vec<Index> = at.iter().zip(low).map(|(i, &l)| i.shifted(-(l as i64))).collect();
                let bounds = inner.iter().zip(shape(0)).map(|(i, &n)| Bound::new(i.clone(), n)).collect();
                self.guarded(input(0), &inner, bounds, *value)
            }
            Op::Reshape { .. } => self.reshaped(id, at),
            Op::Reduce { op, axes } => self.reduce(id, *op, axes, at),
            Op::ArgReduce { max, axis } => {
                let from = shape(0);
                if from[*axis] == 1 {
                    return Ok(self.builder.constant(0.0, DType::I32));
                }
                let var = self.open(from[*axis], None)?;
                let mut inner = at.to_vec();
                inner.insert(*axis, Index::var(var));
                let value = self.value(input(0), &inner)?;
                let op = if *max { FoldOp::ArgMax } else { FoldOp::ArgMin };
                Ok(self.builder.close_fold(op, false, value))
            }
            Op::Take { axis } => {
                let rank = shape(1).len();
                let index = self.index(input(1), &at[*axis..*axis + rank])?;
                let mut inner = at.to_vec();
                inner.splice(*axis..*axis + rank, [index.clone()]);
                self.guarded(input(0), &inner, vec![Bound::new(index, shape(0)[*axis])], outside(dtype))
            }
            Op::Pick { axis } => {
                let index = self.index(input(1), at)?;
                let mut inner = at.to_vec();
                inner.insert(*axis, index.clone());
                self.guarded(input(0), &inner, vec![Bound::new(index, shape(0)[*axis])], outside(dtype))
            }
            Op::MaxPool { window } => self.pool(input(0), window, Reduce::Max, f64::NEG_INFINITY, at),
            Op::SumPool { window } => self.pool(input(0), window, Reduce::Sum, 0.0, at),
            Op::MaxPoolGrad { window } => self.max_pool_grad(id, window, at),
            Op::SumPoolGrad { window, .. } => {
                let (outer, _) = self.windows(window, at, false)?;
                self.value(input(0), &outer)
            }
            // Kept out by fusion: these always have buffers.
            Op::Read(_)
            | Op::Field(_)
            | Op::Clock(_)
            | Op::Key
            | Op::Literal(_)
            | Op::Concat { .. }
            | Op::ScatterAdd { .. }
            | Op::UpdateSlice { .. }
            | Op::Cumulate { .. }
            | Op::ArgSort { .. }
            | Op::Matmul { .. }
            | Op::Conv { .. }
            | Op::ConvInputGrad { .. }
            | Op::ConvWeightGrad { .. }
            | Op::Scan(_)
            | Op::ScanResult { .. }
            | Op::Parameter(_)
            | Op::Gradient => Ok(self.load(id, &Index::linear(at, &node.ty.shape), 0.0)),
        }
    }

    /// A shift as graphs mean it: by the width or more, or by a negative number, it leaves nothing. Kernels take the count
    /// modulo the width.
    fn shifted(&mut self, value: Value, count: Value, dtype: DType) -> Value {
        let width = 8.0 * dtype.bytes() as f64;
        if self.builder.constant_of(count).is_some_and(|n| (0.0..width).contains(&n)) {
            return value;
        }
        let (zero, width) = (self.builder.constant(0.0, dtype), self.builder.constant(width, dtype));
        let (low, high) =
            (self.builder.compare(Compare::Ge, count, zero), self.builder.compare(Compare::Lt, count, width));
        let inside = self.builder.binary(Binary::And, low, high);
        self.builder.select(inside, value, zero)
    }

    /// A run-time index: the `i32` value of a node.
    pub fn index(&mut self, id: NodeId, at: &[Index]) -> Result<Index> {
        let value = self.value(id, at)?;
        let value = self.builder.cast(value, DType::I32);
        Ok(match self.builder.constant_of(value) {
            Some(c) => Index::constant(c as i64),
            None => Index::value(value),
        })
    }

    fn reshaped(&mut self, id: NodeId, at: &[Index]) -> Result<Value> {
        let graph = self.graph();
        let base = strip(graph, id);
        if self.is_loaded(base) {
            return Ok(self.load(base, &Index::linear(at, &graph.ty(id).shape), 0.0));
        }
        let inner = self.reshape(at, &graph.ty(id).shape, &graph.ty(graph.node(id).inputs[0]).shape)?;
        self.value(graph.node(id).inputs[0], &inner)
    }

    /// The index tuple of the same element in another shape.
    pub fn reshape(&mut self, at: &[Index], shape: &[usize], to: &[usize]) -> Result<Vec<Index>> {
        let mut out = vec![Index::default(); to.len()];
        let big = |s: &[usize]| (0..s.len()).filter(|&i| s[i] != 1).collect::<Vec<_>>();
        let (from, into) = (big(shape), big(to));
        let (mut i, mut j) = (0, 0);
        while i < from.len() && j < into.len() {
            let (i0, j0) = (i, j);
            let (mut a, mut b) = (shape[from[i]], to[into[j]]);
            (i, j) = (i + 1, j + 1);
            while a != b {
                if a < b && i < from.len() {
                    a *= shape[from[i]];
                    i += 1;
                } else if j < into.len() {
                    b *= to[into[j]];
                    j += 1;
                } else {
                    break;
                }
            }
            let run: Vec<Index> = from[i0..i].iter().map(|&k| at[k].clone()).collect();
            let sizes: Vec<usize> = from[i0..i].iter().map(|&k| shape[k]).collect();
            let mut rest = Index::linear(&run, &sizes);
            for k in (j0..j).rev() {
                if k == j0 {
                    out[into[k]] = rest;
                    break;
                }
                (rest, out[into[k]]) = self.divide(&rest, to[into[k]])?;
            }
        }
        Ok(out)
    }

    /// Quotient and remainder of an index by a size.
    fn divide(&mut self, index: &Index, size: usize) -> Result<(Index, Index)> {
        let d = size as i64;
        let split = |whole: bool, o: i64| Index {
            offset: o,
            terms: index.terms.iter().copied().filter(|t| (t.1 % d == 0) == whole).collect(),
            values: index.values.iter().copied().filter(|t| (t.1 % d == 0) == whole).collect(),
        };
        let mut quotient = split(true, 0);
        quotient.terms.iter_mut().for_each(|t| t.1 /= d);
        quotient.values.iter_mut().for_each(|t| t.1 /= d);
        quotient.offset = index.offset.div_euclid(d);
        let rest = split(false, index.offset.rem_euclid(d));
        if let Some((low, high)) = range(&rest, |v| self.builder.extent(v))
            && low >= 0
            && high < d
        {
            return Ok((quotient, rest));
        }
        for &(var, stride) in &rest.terms {
            let extent = self.builder.extent(var);
            if stride > 0 && d % stride == 0 && stride * (extent as i64 - 1) >= d {
                let inner = (d / stride) as usize;
                if let (Some(&(axis, position)), true) =
                    (self.origins.get(&var), self.may_refine && extent.is_multiple_of(inner))
                {
                    return Err(Refine::Split(axis, position, inner));
                }
            }
        }
        let value = self.builder.counter(&rest);
        let by = self.builder.constant(size as f64, DType::I32);
        let more = self.builder.binary(Binary::Div, value, by);
        let rest = self.builder.binary(Binary::Rem, value, by);
        Ok((quotient.plus(&Index::value(more)), Index::value(rest)))
    }

    fn reduce(&mut self, id: NodeId, op: Reduce, axes: &[usize], at: &[Index]) -> Result<Value> {
        let from = &self.graph().ty(self.graph().node(id).inputs[0]).shape;
        let mut kept = at.iter();
        let mut inner = Vec::new();
        let mut opened = 0;
        for (axis, &extent) in from.iter().enumerate() {
            if !axes.contains(&axis) {
                inner.push(kept.next().cloned().unwrap_or_default());
                continue;
            }
            let key = Axis::Fold(id, axis);
            let mut index = Index::default();
            for (position, factor) in self.factors.of(key, extent).iter().enumerate() {
                index = index.scaled(factor.extent as i64);
                if factor.extent != 1 {
                    let var = self.open(factor.extent, Some((key, position)))?;
                    index = index.plus(&Index::var(var));
                    opened += 1;
                }
            }
            inner.push(index);
        }
        let mut value = self.value(self.graph().node(id).inputs[0], &inner)?;
        for _ in 0..opened {
            value = self.builder.close_fold(FoldOp::Reduce(op), false, value);
        }
        Ok(value)
    }

    fn pool(&mut self, x: NodeId, window: &Window<usize>, op: Reduce, outside: f64, at: &[Index]) -> Result<Value> {
        let shape = &self.graph().ty(x).shape;
        let lead = shape.len() - window.kernel.len();
        let place = |k: &[Index]| -> (Vec<Index>, Vec<Bound>) {
            let mut inner = at.to_vec();
            let mut bounds = Vec::new();
            for (i, k) in k.iter().enumerate() {
                let index = at[lead + i].scaled(window.stride[i] as i64).plus(&k.scaled(window.dilation[i] as i64));
                inner[lead + i] = index.shifted(-(window.pad_low[i] as i64));
                bounds.push(Bound::new(inner[lead + i].clone(), shape[lead + i]));
            }
            (inner, bounds)
        };
        let count: usize = window.kernel.iter().product();
        if count > SMALL_WINDOW {
            let mut vars = Vec::new();
            for &k in &window.kernel {
                vars.push(Index::var(self.open(k, None)?));
            }
            let (inner, bounds) = place(&vars);
            let mut value = self.guarded(x, &inner, bounds, outside)?;
            for _ in vars {
                value = self.builder.close_fold(FoldOp::Reduce(op), false, value);
            }
            return Ok(value);
        }
        let mut total: Option<Value> = None;
        for element in 0..count {
            let (inner, bounds) = place(&unflatten(element, &window.kernel));
            let value = self.guarded(x, &inner, bounds, outside)?;
            let join = if op == Reduce::Max { Binary::Max } else { Binary::Add };
            total = Some(match total {
                None => value,
                Some(t) => self.builder.binary(join, t, value),
            });
        }
        Ok(total.unwrap_or_else(|| self.builder.constant(outside, self.graph().ty(x).dtype)))
    }

    /// For windows side by side: the window of an element and the place in it, as a number where the loops allow it.
    fn windows(&mut self, window: &Window<usize>, at: &[Index], number: bool) -> Result<(Vec<Index>, Vec<Index>)> {
        let lead = at.len() - window.kernel.len();
        let mut outer = at[..lead].to_vec();
        let mut places = Vec::new();
        for (index, &k) in at[lead..].iter().zip(&window.kernel) {
            let (quotient, place) = if k == 1 { (index.clone(), Index::default()) } else { self.divide(index, k)? };
            if let (true, [(var, 1)], true) =
                (number && self.may_refine, place.terms.as_slice(), place.values.is_empty())
                && let Some(&(axis @ Axis::Kernel(_), position)) = self.origins.get(var)
            {
                return Err(Refine::Unroll(axis, position));
            }
            outer.push(quotient);
            places.push(place);
        }
        Ok((outer, places))
    }

    /// The gradient goes to an element that is as large as all of its window and larger than all before it.
    fn max_pool_grad(&mut self, id: NodeId, window: &Window<usize>, at: &[Index]) -> Result<Value> {
        let (x, dy) = (self.graph().node(id).inputs[0], self.graph().node(id).inputs[1]);
        let (outer, places) = self.windows(window, at, true)?;
        let lead = outer.len() - places.len();
        let own = self.value(x, at)?;
        let own_place = Index::linear(&places, &window.kernel);
        let mut wins: Option<Value> = None;
        for element in 0..window.kernel.iter().product() {
            if own_place.as_constant() == Some(element as i64) {
                continue;
            }
            let mut other = outer.clone();
            for (i, k) in unflatten(element, &window.kernel).iter().enumerate() {
                other[lead + i] = outer[lead + i].scaled(window.kernel[i] as i64).plus(k);
            }
            let other = self.value(x, &other)?;
            let after = match own_place.as_constant() {
                Some(place) if (element as i64) < place => self.builder.compare(Compare::Gt, own, other),
                Some(_) => self.builder.compare(Compare::Ge, own, other),
                None => {
                    let here = self.builder.counter(&own_place);
                    let there = self.builder.constant(element as f64, DType::I32);
                    let earlier = self.builder.compare(Compare::Lt, there, here);
                    let (gt, ge) =
                        (self.builder.compare(Compare::Gt, own, other), self.builder.compare(Compare::Ge, own, other));
                    self.builder.select(earlier, gt, ge)
                }
            };
            wins = Some(match wins {
                None => after,
                Some(w) => self.builder.binary(Binary::And, w, after),
            });
        }
        let gradient = self.value(dy, &outer)?;
        let zero = self.builder.constant(0.0, self.graph().ty(id).dtype);
        Ok(match wins {
            None => gradient,
            Some(w) => self.builder.select(w, gradient, zero),
        })
    }
}

/// What stands where an index lies outside its axis: no number, where the dtype has one that says so.
fn outside(dtype: DType) -> f64 {
    if dtype.is_float() { f64::NAN } else { 0.0 }
}

/// The index tuple of an element by its number.
pub fn unflatten(mut element: usize, shape: &[usize]) -> Vec<Index> {
    let mut out = vec![Index::default(); shape.len()];
    for (i, &n) in shape.iter().enumerate().rev() {
        out[i] = Index::constant((element % n) as i64);
        element /= n;
    }
    out
}
