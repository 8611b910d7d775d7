//! Kernels that store elements more than once: scatters, and gradients of pooling with overlapping windows. Each element
//! of the result belongs to one iteration of the outermost loop, inside which it is zeroed and then added to in order, so
//! that the result is the same for any number of threads.

use super::lower_eval::{Axis, Eval, Refine, unflatten};
use super::lower_lanes;
use crate::codegen::loops::{Access, Bound, BufferArg, FoldOp, Index, Kernel, LoopKind, tidy};
use crate::graph::{Graph, NodeId, OutputKind};
use crate::ops::{Compare, DType, Op, Window};

type Result<T> = std::result::Result<T, Refine>;

/// Elements of a row that one thread takes.
const CHUNK: usize = 64;

/// The kernel of a nest, its result first among the arguments, then the buffers of `eval.reads`.
pub fn lower_nest(mut eval: Eval, id: NodeId, name: &str) -> Result<(Kernel, Vec<NodeId>)> {
    eval.may_refine = false;
    let node = eval.graph().node(id);
    let out = eval.builder.buffer(node.ty.dtype, node.ty.elements(), Access::ReadWrite);
    match &node.op {
        Op::ScatterAdd { axis, size } => scatter(&mut eval, id, out, *axis, *size)?,
        Op::UpdateSlice { axis } => update(&mut eval, id, out, *axis)?,
        Op::Cumulate { op, axis, reverse } => lower_lanes::cumulate(&mut eval, id, out, *op, *axis, *reverse)?,
        Op::ArgSort { axis, descending } => lower_lanes::argsort(&mut eval, id, out, *axis, *descending)?,
        Op::MaxPoolGrad { window } => max_pool_grad(&mut eval, id, out, window)?,
        Op::SumPoolGrad { window, .. } => sum_pool_grad(&mut eval, id, out, window)?,
        _ => {}
    }
    let reads = eval.reads.iter().map(|r| r.0).collect();
    Ok((tidy::finish(eval.builder.finish(name)), reads))
}

/// Opens a loop for each size that is not 1.
pub(super) fn open_all(eval: &mut Eval, sizes: &[usize]) -> Result<(Vec<Index>, usize)> {
    let mut at = Vec::new();
    let mut count = 0;
    for &n in sizes {
        at.push(if n == 1 {
            Index::default()
        } else {
            count += 1;
            Index::var(eval.open(n, None)?)
        });
    }
    Ok((at, count))
}

fn close_all(eval: &mut Eval, count: usize, innermost: LoopKind) {
    for i in 0..count {
        eval.builder.close_for(if i == 0 { innermost } else { LoopKind::Serial });
    }
}

/// Closes the loops around everything: the outermost is for threads.
pub(super) fn close_outer(eval: &mut Eval, count: usize) {
    for i in 0..count {
        eval.builder.close_for(if i + 1 == count { LoopKind::Parallel } else { LoopKind::Serial });
    }
}

fn zero(eval: &mut Eval, out: BufferArg, index: &Index, dtype: DType) {
    let zero = eval.builder.constant(0.0, dtype);
    eval.builder.store(out, index, zero, &[], false);
}

fn scatter(eval: &mut Eval, id: NodeId, out: BufferArg, axis: usize, size: usize) -> Result<()> {
    let graph = eval.graph();
    let node = graph.node(id);
    let (updates, index) = (node.inputs[0], node.inputs[1]);
    let rank = graph.ty(index).rank();
    let shape = &graph.ty(updates).shape;
    let (lead, tail) = (&shape[..axis], &shape[axis + rank..]);
    let row: usize = tail.iter().product();
    let (pre, mut outer) = open_all(eval, lead)?;
    let chunked = outer == 0 && row >= 2 * CHUNK && row.is_multiple_of(CHUNK);
    let chunk = if chunked {
        outer += 1;
        Index::var(eval.open(row / CHUNK, None)?).scaled(CHUNK as i64)
    } else {
        Index::default()
    };
    let inner = if chunked { CHUNK } else { row };
    let base = Index::linear(&pre, lead).scaled((size * row) as i64).plus(&chunk);

    let (at, count) = open_all(eval, &[size, inner])?;
    let place = base.plus(&at[0].scaled(row as i64)).plus(&at[1]);
    zero(eval, out, &place, node.ty.dtype);
    close_all(eval, count, LoopKind::Vector);

    let (at, count) = open_all(eval, &shape[axis..axis + rank])?;
    let target = eval.index(index, &at)?;
    let (column, columns) = open_all(eval, &[inner])?;
    let mut tuple = [&pre[..], &at[..]].concat();
    tuple.extend(eval.reshape(&[chunk.plus(&column[0])], &[row], tail)?);
    let value = eval.value(updates, &tuple)?;
    let place = base.plus(&target.scaled(row as i64)).plus(&column[0]);
    eval.builder.store(out, &place, value, &[Bound::new(target, size)], true);
    close_all(eval, columns, LoopKind::Vector);
    close_all(eval, count, LoopKind::Serial);
    close_outer(eval, outer);
    Ok(())
}

/// Writes rows into what is there: all of the operand first, unless the result takes its place.
fn update(eval: &mut Eval, id: NodeId, out: BufferArg, axis: usize) -> Result<()> {
    let graph = eval.graph();
    let node = graph.node(id);
    let (x, rows, start) = (node.inputs[0], node.inputs[1], node.inputs[2]);
    let shape = &node.ty.shape;
    let count = graph.ty(rows).shape[axis];
    let in_place = updates_in_place(graph, id);
    // The outermost loop is for threads: an axis that both have in full, if there is one.
    let lead = if axis == 0 { 0 } else { 1 };
    let (first, outer) = open_all(eval, &shape[..lead])?;
    let part = |sizes: &[usize]| sizes[lead..].to_vec();
    if !in_place {
        let (at, loops) = open_all(eval, &part(shape))?;
        let tuple = [&first[..], &at[..]].concat();
        let value = eval.value(x, &tuple)?;
        let place = Index::linear(&tuple, shape);
        eval.builder.store(out, &place, value, &[], false);
        close_all(eval, loops, LoopKind::Vector);
    }
    let begin = eval.index(start, &[])?;
    let (at, loops) = open_all(eval, &part(&graph.ty(rows).shape))?;
    let tuple = [&first[..], &at[..]].concat();
    let value = eval.value(rows, &tuple)?;
    let mut target = tuple;
    target[axis] = target[axis].plus(&begin);
    let bound = Bound::new(target[axis].clone(), shape[axis]);
    let place = Index::linear(&target, shape);
    debug_assert!(count <= shape[axis]);
    eval.builder.store(out, &place, value, &[bound], false);
    close_all(eval, loops, LoopKind::Vector);
    close_outer(eval, outer);
    Ok(())
}

/// Whether the operand is a variable that nobody else reads and whose new value this is.
fn updates_in_place(graph: &Graph<usize>, id: NodeId) -> bool {
    let x = graph.node(id).inputs[0];
    let Op::Read(var) = graph.node(x).op else { return false };
    let alone = graph.nodes.iter().flat_map(|n| &n.inputs).filter(|n| **n == x).count() == 1
        && graph.nodes.iter().filter(|n| n.op == Op::Read(var)).count() == 1;
    alone && graph.outputs.iter().any(|o| o.kind == OutputKind::Update(var) && o.node == id)
}

/// Sizes before the window axes, of the window axes of the result, and of those of `dy`.
struct Planes {
    lead: Vec<usize>,
    size: Vec<usize>,
    out: Vec<usize>,
}

fn planes(eval: &Eval, id: NodeId, dy: NodeId, window: &Window<usize>) -> Planes {
    let shape = &eval.graph().ty(id).shape;
    let lead = shape.len() - window.kernel.len();
    Planes {
        lead: shape[..lead].to_vec(),
        size: shape[lead..].to_vec(),
        out: eval.graph().ty(dy).shape[lead..].to_vec(),
    }
}

/// Opens the loops over planes and zeroes one.
fn begin_plane(eval: &mut Eval, id: NodeId, out: BufferArg, p: &Planes) -> Result<(Vec<Index>, Index, usize)> {
    let (pre, outer) = open_all(eval, &p.lead)?;
    let plane: usize = p.size.iter().product();
    let base = Index::linear(&pre, &p.lead).scaled(plane as i64);
    let (at, count) = open_all(eval, &[plane])?;
    let dtype = eval.graph().ty(id).dtype;
    zero(eval, out, &base.plus(&at[0]), dtype);
    close_all(eval, count, LoopKind::Vector);
    Ok((pre, base, outer))
}

/// The operand's index that element `k` of window `o` looks at.
fn looks_at(window: &Window<usize>, o: &[Index], k: &[Index]) -> Vec<Index> {
    (0..o.len())
        .map(|i| {
            let index = o[i].scaled(window.stride[i] as i64).plus(&k[i].scaled(window.dilation[i] as i64));
            index.shifted(-(window.pad_low[i] as i64))
        })
        .collect()
}

fn bounds(at: &[Index], size: &[usize]) -> Vec<Bound> {
    at.iter().zip(size).map(|(i, &n)| Bound::new(i.clone(), n)).collect()
}

fn max_pool_grad(eval: &mut Eval, id: NodeId, out: BufferArg, window: &Window<usize>) -> Result<()> {
    let (x, dy) = (eval.graph().node(id).inputs[0], eval.graph().node(id).inputs[1]);
    let p = planes(eval, id, dy, window);
    let (pre, base, outer) = begin_plane(eval, id, out, &p)?;
    let (o, count) = open_all(eval, &p.out)?;
    let gradient = eval.value(dy, &[&pre[..], &o[..]].concat())?;
    let elements: usize = window.kernel.iter().product();
    let look = |eval: &mut Eval, k: &[Index]| -> Result<_> {
        let at = looks_at(window, &o, k);
        eval.guarded(x, &[&pre[..], &at[..]].concat(), bounds(&at, &p.size), f64::NEG_INFINITY)
    };
    let place = if elements <= 16 {
        // The running maximum and how far from the window's first element it lies.
        let mut best = None;
        for element in 0..elements {
            let k = unflatten(element, &window.kernel);
            let value = look(eval, &k)?;
            let steps: Vec<Index> = k.iter().zip(&window.dilation).map(|(k, &d)| k.scaled(d as i64)).collect();
            let far = eval.builder.counter(&Index::linear(&steps, &p.size));
            best = Some(match best {
                None => (value, far),
                Some((v, f)) => {
                    let wins = eval.builder.compare(Compare::Gt, value, v);
                    (eval.builder.select(wins, value, v), eval.builder.select(wins, far, f))
                }
            });
        }
        let first = Index::linear(&looks_at(window, &o, &unflatten(0, &window.kernel)), &p.size);
        match best {
            Some((_, far)) => first.plus(&Index::value(far)),
            None => first,
        }
    } else {
        let var = eval.open(elements, None)?;
        let k = eval.reshape(&[Index::var(var)], &[elements], &window.kernel)?;
        let value = look(eval, &k)?;
        let best = Index::value(eval.builder.close_fold(FoldOp::ArgMax, false, value));
        let k = eval.reshape(&[best], &[elements], &window.kernel)?;
        Index::linear(&looks_at(window, &o, &k), &p.size)
    };
    let inside = Bound::new(place.clone(), p.size.iter().product());
    eval.builder.store(out, &base.plus(&place), gradient, &[inside], true);
    close_all(eval, count, LoopKind::Serial);
    close_outer(eval, outer);
    Ok(())
}

fn sum_pool_grad(eval: &mut Eval, id: NodeId, out: BufferArg, window: &Window<usize>) -> Result<()> {
    let dy = eval.graph().node(id).inputs[0];
    let p = planes(eval, id, dy, window);
    let (pre, base, outer) = begin_plane(eval, id, out, &p)?;
    let (k, kernels) = open_all(eval, &window.kernel)?;
    // For one place in the windows, windows touch different elements: the loops over windows are independent.
    let (o, count) = open_all(eval, &p.out)?;
    let gradient = eval.value(dy, &[&pre[..], &o[..]].concat())?;
    let at = looks_at(window, &o, &k);
    let place = base.plus(&Index::linear(&at, &p.size));
    eval.builder.store(out, &place, gradient, &bounds(&at, &p.size), true);
    close_all(eval, count, LoopKind::Vector);
    close_all(eval, kernels, LoopKind::Serial);
    close_outer(eval, outer);
    Ok(())
}

/// An axis's extent, for [`Factors::refine`](super::lower_eval::Factors::refine).
pub fn axis_extent(eval_shape: &[usize], graph: &crate::graph::Graph<usize>, axis: Axis) -> usize {
    match axis {
        Axis::Kernel(i) => eval_shape[i],
        Axis::Fold(id, i) => graph.ty(graph.node(id).inputs[0]).shape[i],
    }
}
