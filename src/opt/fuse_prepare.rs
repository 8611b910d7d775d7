//! Brings a graph into the form that fusion wants. In: any graph that can run. Out: an equal graph without dead nodes, in
//! which every output is a node of its own that computes something, and every reduction of a large tensor to a few
//! numbers is done in pieces: pieces depend on shapes only, so results do not depend on the number of threads.

use crate::graph::{Graph, Node, NodeId, Output, OutputKind, TensorType};
use crate::ops::Op;
use std::collections::BTreeMap;

/// Reductions to fewer elements than this ...
const FEW: usize = 16;
/// ... of at least as many as this for each are split ...
const MANY: usize = 16384;
/// ... into at most this many pieces.
const PIECES: usize = 64;

/// An equal graph, ready for fusion.
pub fn prepare(graph: &Graph<usize>) -> Graph<usize> {
    let mut live = vec![false; graph.nodes.len()];
    for output in &graph.outputs {
        live[output.node.index()] = true;
    }
    for id in graph.ids().rev() {
        if live[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| live[i.index()] = true);
        }
    }
    let turned = turned_products(graph, &live);
    let mut out = Graph { nodes: Vec::new(), outputs: Vec::new(), scopes: graph.scopes.clone() };
    let mut map = vec![NodeId(0); graph.nodes.len()];
    let mut results: BTreeMap<(NodeId, usize), NodeId> = BTreeMap::new();
    for id in graph.ids().filter(|i| live[i.index()]) {
        let node = graph.node(id);
        if turned.iter().any(|t| t.0 == id) {
            continue;
        }
        if let Some(&(product, _)) = turned.iter().find(|t| t.1 == id) {
            map[id.index()] = turn(&mut out, graph.node(product), node, &map);
            continue;
        }
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| map[i.index()]).collect();
        if let Op::ScanResult { index } = node.op {
            // One buffer for each result.
            let result = *results
                .entry((inputs[0], index))
                .or_insert_with(|| out.push(node.op.clone(), inputs.clone(), node.ty.clone(), node.origin));
            map[id.index()] = result;
            continue;
        }
        map[id.index()] = match reduce_in_pieces(&mut out, node, &inputs) {
            Some(new) => new,
            None => out.push(node.op.clone(), inputs, node.ty.clone(), node.origin),
        };
    }
    let mut taken = vec![false; out.nodes.len()];
    for output in &graph.outputs {
        let mut node = strip(&out, map[output.node.index()]);
        if matches!((&out.node(node).op, output.kind), (Op::Read(v), OutputKind::Update(w)) if *v == w) {
            continue;
        }
        if is_leaf(&out.node(node).op) || taken[node.index()] {
            let original = graph.node(output.node);
            node = out.push(Op::StopGradient, vec![node], out.ty(node).clone(), original.origin);
            taken.push(false);
        }
        taken[node.index()] = true;
        out.outputs.push(Output { kind: output.kind, node });
    }
    out
}

/// Matrix products of which only the transpose is used, each with the transpose.
fn turned_products(graph: &Graph<usize>, live: &[bool]) -> Vec<(NodeId, NodeId)> {
    let mut users: Vec<Vec<NodeId>> = vec![Vec::new(); graph.nodes.len()];
    for id in graph.ids().filter(|i| live[i.index()]) {
        graph.node(id).inputs.iter().for_each(|i| users[i.index()].push(id));
    }
    let mut out = Vec::new();
    for id in graph.ids().filter(|i| live[i.index()]) {
        if let (Op::Matmul { batch }, [user]) = (&graph.node(id).op, users[id.index()].as_slice()) {
            let swaps = |perm: &[usize]| {
                (0..*batch).all(|i| perm[i] == i) && perm[*batch] == *batch + 1 && perm.len() == *batch + 2
            };
            let turns = matches!(&graph.node(*user).op, Op::Transpose { perm } if swaps(perm));
            if turns && graph.outputs.iter().all(|o| o.node != id) {
                out.push((id, *user));
            }
        }
    }
    out
}

/// `(a b)^T = b^T a^T`: operands are read with any strides, results are written row by row.
fn turn(out: &mut Graph<usize>, product: &Node<usize>, result: &Node<usize>, map: &[NodeId]) -> NodeId {
    let Op::Transpose { perm } = &result.op else { return NodeId(0) };
    let mut turned = |input: NodeId| {
        let ty = out.ty(map[input.index()]).clone();
        let shape = perm.iter().map(|&p| ty.shape[p]).collect();
        let ty = TensorType::new(ty.dtype, shape);
        out.push(Op::Transpose { perm: perm.clone() }, vec![map[input.index()]], ty, product.origin)
    };
    let (a, b) = (turned(product.inputs[0]), turned(product.inputs[1]));
    out.push(product.op.clone(), vec![b, a], result.ty.clone(), product.origin)
}

/// True for nodes that need no kernel: buffers from outside, and plain numbers.
pub fn is_leaf(op: &Op<usize>) -> bool {
    is_buffer(op) || matches!(op, Op::Const(_) | Op::Iota { .. })
}

/// True for nodes that are buffers before the step.
pub fn is_buffer(op: &Op<usize>) -> bool {
    matches!(op, Op::Read(_) | Op::Field(_) | Op::Clock(_) | Op::Key | Op::Literal(_))
}

/// The node whose buffer holds the same elements in the same order.
pub fn strip(graph: &Graph<usize>, mut node: NodeId) -> NodeId {
    while matches!(graph.node(node).op, Op::Reshape { .. } | Op::StopGradient) {
        node = graph.node(node).inputs[0];
    }
    node
}

fn reduce_in_pieces(out: &mut Graph<usize>, node: &Node<usize>, inputs: &[NodeId]) -> Option<NodeId> {
    let Op::Reduce { op, axes } = &node.op else { return None };
    let from = out.ty(inputs[0]).clone();
    let kept = node.ty.elements();
    if kept == 0 || kept >= FEW || from.elements() / kept < MANY {
        return None;
    }
    // The outermost reduced axis that can be cut well: whole, or into equal parts.
    let (axis, pieces) = axes.iter().find_map(|&a| {
        let size = from.shape[a];
        (8..=PIECES).rev().find(|p| size.is_multiple_of(*p)).map(|p| (a, p))
    })?;
    let rest = from.shape[axis] / pieces;
    let mut x = inputs[0];
    let mut shape = from.shape.clone();
    shape[axis] = pieces;
    let mut first: Vec<usize> = axes.iter().copied().filter(|&a| a != axis).collect();
    if rest > 1 {
        shape.insert(axis + 1, rest);
        first.iter_mut().for_each(|a| *a += usize::from(*a > axis));
        first.push(axis + 1);
        first.sort_unstable();
        let ty = TensorType::new(from.dtype, shape.clone());
        x = out.push(Op::Reshape { shape: shape.clone() }, vec![x], ty, node.origin);
    }
    if first.is_empty() {
        return None;
    }
    let left: Vec<usize> = (0..shape.len()).filter(|a| !first.contains(a)).collect();
    let ty = TensorType::new(node.ty.dtype, left.iter().map(|&a| shape[a]).collect());
    let partial = out.push(Op::Reduce { op: *op, axes: first }, vec![x], ty, node.origin);
    let at = left.iter().position(|&a| a == axis)?;
    Some(out.push(Op::Reduce { op: *op, axes: vec![at] }, vec![partial], node.ty.clone(), node.origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Origin;
    use crate::ops::{DType, Reduce, VarId};
    use crate::source::{FileId, Span};

    #[test]
    fn outputs_are_distinct_and_large_sums_are_split() {
        let origin = Origin { span: Span::new(FileId(0), 0, 0), scope: 0 };
        let mut g: Graph<usize> = Graph::default();
        let x = g.push(Op::Read(VarId(0)), vec![], TensorType::new(DType::F32, vec![1000, 96]), origin);
        let all = Op::Reduce { op: Reduce::Sum, axes: vec![0, 1] };
        let sum = g.push(all, vec![x], TensorType::new(DType::F32, vec![]), origin);
        for i in 0..2 {
            g.outputs.push(Output { kind: OutputKind::Value(i), node: sum });
        }
        g.outputs.push(Output { kind: OutputKind::Update(VarId(0)), node: x });
        let p = prepare(&g);
        let shapes: Vec<&[usize]> = p.nodes.iter().map(|n| n.ty.shape.as_slice()).collect();
        assert_eq!(shapes, [&[1000usize, 96][..], &[50, 20, 96], &[50], &[], &[]]);
        assert_eq!(p.outputs.iter().map(|o| o.node.0).collect::<Vec<_>>(), [3, 4]);
    }
}
