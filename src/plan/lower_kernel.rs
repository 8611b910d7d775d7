//! Writes the loop kernel of one group. In: a group of the fused graph. Out: the kernel and, for each argument, the node
//! whose buffer it is.

use super::lower_eval::{Axis, Eval, Factors, Refine};
use super::lower_nests::{axis_extent, lower_nest};
use crate::codegen::loops::{Access, Index, Kernel, LoopKind, tidy};
use crate::graph::NodeId;
use crate::ops::Op;
use crate::opt::fuse::{Group, GroupKind, Grouping};

/// Refinements after which indices are divided at run time instead.
const MOST_REFINEMENTS: usize = 24;
/// Copies of the body by unrolled loops.
const MOST_COPIES: usize = 64;

/// The kernel of a loop group, and the nodes of its arguments; or why there is none.
pub fn lower_kernel(grouping: &Grouping, group: &Group) -> Result<(Kernel, Vec<NodeId>), String> {
    let graph = &grouping.graph;
    let name = name(grouping, group);
    let own: Vec<NodeId> = group.roots.iter().filter(|r| r.part.is_none()).map(|r| r.value).collect();
    let mut factors = Factors::default();
    let mut may_refine = true;
    for round in 0.. {
        let mut eval = Eval::new(grouping, &factors, own.clone());
        eval.may_refine = may_refine;
        let result = match group.kind {
            GroupKind::Nest => {
                lower_nest(eval, own[0], &name).map(|(kernel, reads)| (kernel, [&own[..], &reads[..]].concat()))
            }
            _ => lower_loops(eval, group, &name),
        };
        match result {
            Ok(done) => return Ok(done),
            Err(Refine::TooDeep) => break,
            Err(refine) => {
                let shape = &graph.ty(group.roots[0].value).shape;
                factors.refine(refine, |axis| axis_extent(shape, graph, axis));
                let copies: usize = (0..shape.len())
                    .flat_map(|i| factors.of(Axis::Kernel(i), shape[i]))
                    .map(|f| if f.unroll { f.extent } else { 1 })
                    .product();
                if round >= MOST_REFINEMENTS || copies > MOST_COPIES {
                    factors = Factors::default();
                    may_refine = false;
                }
            }
        }
    }
    Err("the loops of this expression are nested too deep".to_string())
}

fn lower_loops(mut eval: Eval, group: &Group, name: &str) -> Result<(Kernel, Vec<NodeId>), Refine> {
    let graph = eval.graph();
    let shape = &graph.ty(group.roots[0].value).shape;
    let mut nodes: Vec<NodeId> = Vec::new();
    let mut outs = Vec::new();
    for root in &group.roots {
        let ty = graph.ty(root.target);
        outs.push(eval.builder.buffer(ty.dtype, ty.elements(), Access::Write));
        nodes.push(root.target);
    }
    // Every axis is a sum over its loops; unrolled ones are numbers, gone through in the innermost block.
    let mut axes = vec![Index::default(); shape.len()];
    let mut unrolled: Vec<(usize, usize, i64)> = Vec::new();
    let mut open = 0;
    for (axis, &size) in shape.iter().enumerate() {
        let mut stride = size as i64;
        for (position, factor) in eval.factors.of(Axis::Kernel(axis), size).iter().enumerate() {
            if factor.extent == 1 && size == 1 {
                continue;
            }
            stride /= factor.extent.max(1) as i64;
            if factor.unroll {
                unrolled.push((axis, factor.extent, stride));
            } else if factor.extent != 1 {
                let var = eval.open(factor.extent, Some((Axis::Kernel(axis), position)))?;
                axes[axis] = axes[axis].plus(&Index::var(var).scaled(stride));
                open += 1;
            }
        }
    }
    let copies: usize = unrolled.iter().map(|u| u.1).product();
    for copy in 0..copies {
        let mut at = axes.clone();
        let mut rest = copy;
        for &(axis, extent, stride) in unrolled.iter().rev() {
            at[axis] = at[axis].shifted((rest % extent) as i64 * stride);
            rest /= extent;
        }
        for (root, &out) in group.roots.iter().zip(&outs) {
            let own = &graph.ty(root.value).shape;
            let mut place = if own == shape { at.clone() } else { eval.reshape(&at, shape, own)? };
            let value = eval.value(root.value, &place)?;
            if let Some((axis, offset)) = root.part {
                place[axis] = place[axis].shifted(offset as i64);
            }
            let index = Index::linear(&place, &graph.ty(root.target).shape);
            eval.builder.store(out, &index, value, &[], false);
        }
    }
    (0..open).for_each(|_| eval.builder.close_for(LoopKind::Serial));
    nodes.extend(eval.reads.iter().map(|r| r.0));
    Ok((tidy::tidy(eval.builder.finish(name)), nodes))
}

/// The kernel of a group as an epilogue over tiles of a product with these sizes (batch, rows, columns), and the nodes of
/// its arguments; none if it does more than one thing an element.
pub fn lower_epilogue(grouping: &Grouping, group: &Group, sizes: [usize; 3]) -> Option<(Kernel, Vec<NodeId>)> {
    let [root] = group.roots.as_slice() else { return None };
    let graph = &grouping.graph;
    let ty = graph.ty(root.value);
    if group.kind != GroupKind::Loops || root.part.is_some() || ty.elements() != sizes.iter().product::<usize>() {
        return None;
    }
    let factors = Factors::default();
    let mut eval = Eval::new(grouping, &factors, vec![root.value]);
    eval.may_refine = false;
    let out = eval.builder.buffer(ty.dtype, ty.elements(), Access::Write);
    // The axes of the result that make up the batch, the rows and the columns.
    let mut axes = (0..ty.shape.len()).filter(|&i| ty.shape[i] != 1);
    let mut place = vec![Index::default(); ty.shape.len()];
    let mut runs = [0; 3];
    for (run, size) in runs.iter_mut().zip(sizes) {
        let mut rest = size;
        while rest > 1 {
            let axis = axes.next().filter(|&a| rest.is_multiple_of(ty.shape[a]))?;
            place[axis] = Index::var(eval.open(ty.shape[axis], None).ok()?);
            rest /= ty.shape[axis];
            *run += 1;
        }
        if *run == 0 {
            eval.open(1, None).ok()?;
            *run = 1;
        }
    }
    let value = eval.value(root.value, &place).ok()?;
    eval.builder.store(out, &Index::linear(&place, &ty.shape), value, &[], false);
    (0..runs.iter().sum()).for_each(|_| eval.builder.close_for(LoopKind::Serial));
    let mut nodes = vec![root.value];
    nodes.extend(eval.reads.iter().map(|r| r.0));
    let kernel = tidy::finish_epilogue(eval.builder.finish(&name(grouping, group)), runs)?;
    Some((kernel, nodes))
}

/// The last operations of a group, for people: `add_max`, `sum`.
fn name(grouping: &Grouping, group: &Group) -> String {
    let graph = &grouping.graph;
    let mut members: Vec<NodeId> = group.members.clone();
    members.push(group.roots[0].value);
    members.sort_unstable();
    members.dedup();
    let words: Vec<&str> = members.iter().filter_map(|&m| word(&graph.node(m).op)).collect();
    let words = &words[words.len().saturating_sub(3)..];
    let name = if words.is_empty() { "copy".to_string() } else { words.join("_") };
    if group.roots[0].part.is_some() { format!("concat_{name}") } else { name }
}

/// An operation in one word; none for those that leave elements as they are.
fn word(op: &Op<usize>) -> Option<&'static str> {
    Some(match op {
        Op::Unary(u) => u.name(),
        Op::Binary(b) => b.name(),
        Op::Compare(c) => c.name(),
        Op::Reduce { op, .. } => op.name(),
        Op::Select => "select",
        Op::Cast => "cast",
        Op::Uniform { .. } => "uniform",
        Op::Transpose { .. } => "transpose",
        Op::Slice { .. } => "slice",
        Op::Pad { .. } => "pad",
        Op::ArgReduce { max: true, .. } => "argmax",
        Op::ArgReduce { max: false, .. } => "argmin",
        Op::Cumulate { op, .. } => op.name(),
        Op::ArgSort { .. } => "argsort",
        Op::Take { .. } => "take",
        Op::ScatterAdd { .. } => "scatter",
        Op::UpdateSlice { .. } => "update",
        Op::Pick { .. } => "pick",
        Op::MaxPool { .. } => "maxpool",
        Op::MaxPoolGrad { .. } => "maxpoolgrad",
        Op::SumPool { .. } => "sumpool",
        Op::SumPoolGrad { .. } => "sumpoolgrad",
        _ => return None,
    })
}
