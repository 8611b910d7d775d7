//! Movement that moves nothing, and movement of movement.

use super::Rule;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::Op;

pub static RULES: &[Rule] = &[
    Rule { name: "same-shape", apply: same_shape },
    Rule { name: "transpose-of-transpose", apply: transpose_of_transpose },
    Rule { name: "transpose-of-ones", apply: transpose_of_ones },
    Rule { name: "reshape-of-reshape", apply: reshape_of_reshape },
    Rule { name: "broadcast-of-broadcast", apply: broadcast_of_broadcast },
    Rule { name: "broadcast-of-unsqueeze", apply: broadcast_of_unsqueeze },
    Rule { name: "slice-of-slice", apply: slice_of_slice },
    Rule { name: "slice-of-pad", apply: slice_of_pad },
    Rule { name: "slice-of-concat", apply: slice_of_concat },
    Rule { name: "concat-of-one", apply: concat_of_one },
    Rule { name: "reduce-of-ones", apply: reduce_of_ones },
];

fn add(graph: &mut Graph<usize>, node: &Node<usize>, op: Op<usize>, x: NodeId) -> Option<NodeId> {
    Some(graph.add(op, &[x], node.origin))
}

/// A transpose, reshape, broadcast, slice or pad that leaves everything in place.
fn same_shape(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let x = *node.inputs.first()?;
    (*graph.ty(x) == node.ty).then_some(())?;
    let same = match &node.op {
        Op::Transpose { perm } => perm.iter().enumerate().all(|(i, axis)| i == *axis),
        Op::Reshape { .. } | Op::Broadcast { .. } => true,
        Op::Slice { size, step, .. } => step.iter().zip(size).all(|(s, n)| *s == 1 || *n == 1),
        Op::Pad { .. } => true,
        _ => false,
    };
    same.then_some(x)
}

fn transpose_of_transpose(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Transpose { perm: outer } = &node.op else { return None };
    let first = graph.node(node.inputs[0]);
    let Op::Transpose { perm: inner } = &first.op else { return None };
    let perm = outer.iter().map(|axis| inner[*axis]).collect();
    let x = first.inputs[0];
    add(graph, node, Op::Transpose { perm }, x)
}

/// A transpose that only moves axes of size 1 changes no order.
fn transpose_of_ones(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Transpose { perm } = &node.op else { return None };
    let shape = &graph.ty(node.inputs[0]).shape;
    let long: Vec<usize> = perm.iter().copied().filter(|axis| shape[*axis] != 1).collect();
    long.is_sorted().then_some(())?;
    add(graph, node, Op::Reshape { shape: node.ty.shape.clone() }, node.inputs[0])
}

fn reshape_of_reshape(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let first = graph.node(*node.inputs.first()?);
    let (Op::Reshape { .. }, Op::Reshape { .. }) = (&node.op, &first.op) else { return None };
    let x = first.inputs[0];
    add(graph, node, node.op.clone(), x)
}

fn broadcast_of_broadcast(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Broadcast { shape, axes: outer } = &node.op else { return None };
    let first = graph.node(node.inputs[0]);
    let Op::Broadcast { axes: inner, .. } = &first.op else { return None };
    let axes = inner.iter().map(|axis| outer[*axis]).collect();
    let x = first.inputs[0];
    add(graph, node, Op::Broadcast { shape: shape.clone(), axes }, x)
}

/// Axes of size 1 that a reshape adds are new axes of the broadcast.
fn broadcast_of_unsqueeze(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Broadcast { shape, axes: outer } = &node.op else { return None };
    let first = graph.node(node.inputs[0]);
    let Op::Reshape { shape: wide } = &first.op else { return None };
    let x = first.inputs[0];
    let narrow = &graph.ty(x).shape;
    let mut axes = Vec::new();
    for (i, size) in wide.iter().enumerate() {
        match narrow.get(axes.len()) {
            Some(own) if own == size => axes.push(outer[i]),
            _ if *size == 1 => {}
            _ => return None,
        }
    }
    (axes.len() == narrow.len()).then_some(())?;
    add(graph, node, Op::Broadcast { shape: shape.clone(), axes }, x)
}

fn slice_of_slice(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Slice { start, size, step } = &node.op else { return None };
    let first = graph.node(node.inputs[0]);
    let Op::Slice { start: inner_start, step: inner_step, .. } = &first.op else { return None };
    let x = first.inputs[0];
    let mut from = Vec::new();
    for axis in 0..size.len() {
        let at = inner_start[axis] as i64 + inner_step[axis] * start[axis] as i64;
        from.push(usize::try_from(at).ok()?);
    }
    let step = step.iter().zip(inner_step).map(|(a, b)| a * b).collect();
    add(graph, node, Op::Slice { start: from, size: size.clone(), step }, x)
}

/// Cutting off exactly the padding.
fn slice_of_pad(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Slice { start, size, step } = &node.op else { return None };
    let first = graph.node(node.inputs[0]);
    let Op::Pad { low, .. } = &first.op else { return None };
    let x = first.inputs[0];
    (start == low && *size == graph.ty(x).shape && step.iter().all(|s| *s == 1)).then_some(x)
}

/// A slice that lies in one operand of a concatenation.
fn slice_of_concat(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Slice { start, size, step } = &node.op else { return None };
    let first = graph.node(node.inputs[0]);
    let Op::Concat { axis } = first.op else { return None };
    (size[axis] > 0).then_some(())?;
    let last = start[axis] as i64 + (size[axis] as i64 - 1) * step[axis];
    let (low, high) = (last.min(start[axis] as i64) as usize, last.max(start[axis] as i64) as usize);
    let mut begin = 0;
    for part in &first.inputs {
        let end = begin + graph.ty(*part).shape[axis];
        if (begin..end).contains(&low) && high < end {
            let (mut start, part) = (start.clone(), *part);
            start[axis] -= begin;
            return add(graph, node, Op::Slice { start, size: size.clone(), step: step.clone() }, part);
        }
        begin = end;
    }
    None
}

fn concat_of_one(_: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    match (&node.op, &node.inputs[..]) {
        (Op::Concat { .. }, [x]) => Some(*x),
        _ => None,
    }
}

/// A fold along axes of size 1, or along none.
fn reduce_of_ones(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Reduce { axes, .. } = &node.op else { return None };
    let x = node.inputs[0];
    axes.iter().all(|axis| graph.ty(x).shape[*axis] == 1).then_some(())?;
    if axes.is_empty() {
        return Some(x);
    }
    add(graph, node, Op::Reshape { shape: node.ty.shape.clone() }, x)
}
