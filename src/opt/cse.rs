//! Common subexpressions: of nodes with the same operation, operands and type only the first stays. Draws too: the same
//! site and key draw the same numbers.

use std::collections::HashMap;

use crate::graph::{Graph, Node, NodeId};
use crate::ops::{Binary, Clock, Compare, Op, def_of};

/// The graph, and how many nodes were found to be another.
pub fn cse(graph: Graph<usize>) -> (Graph<usize>, usize) {
    if super::has_gradients(&graph) {
        return (graph, 0);
    }
    // Only looked up, never walked: the order of its entries reaches nothing.
    let mut known: HashMap<Vec<u64>, NodeId> = HashMap::with_capacity(graph.nodes.len());
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: graph.outputs, scopes: graph.scopes };
    let mut gone = 0;
    for mut node in graph.nodes {
        node.inputs.iter_mut().for_each(|input| *input = map[input.index()]);
        let next = NodeId(out.nodes.len() as u32);
        let mut key = key(&node);
        if matches!(node.op, Op::Scan(_)) {
            // Bodies are not compared.
            key.push(u64::from(next.0));
        }
        let first = *known.entry(key).or_insert(next);
        if first == next {
            out.nodes.push(node);
        } else {
            gone += 1;
        }
        map.push(first);
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    (out, gone)
}

/// Equal for nodes of equal value. Every list is preceded by its length.
fn key(node: &Node<usize>) -> Vec<u64> {
    let mut key = vec![std::ptr::from_ref(def_of(&node.op)) as u64, node.ty.dtype as u64];
    let mut sizes = Vec::new();
    let mapped = node.op.try_map(&mut |n: &usize| {
        sizes.push(*n as u64);
        Ok::<(), ()>(())
    });
    debug_assert!(mapped.is_ok());
    let mut list = |items: &mut dyn Iterator<Item = u64>| {
        let at = key.len();
        key.push(0);
        key.extend(items);
        key[at] = (key.len() - at) as u64;
    };
    list(&mut sizes.into_iter());
    list(&mut node.ty.shape.iter().map(|n| *n as u64));
    let mut inputs: Vec<u64> = node.inputs.iter().map(|input| u64::from(input.0)).collect();
    if commutes(&node.op) {
        inputs.sort_unstable();
    }
    list(&mut inputs.into_iter());
    match &node.op {
        Op::Read(var) => key.push(u64::from(var.0)),
        Op::Field(index) => key.push(u64::from(*index)),
        Op::Clock(clock) => key.push(match clock {
            Clock::Step => 0,
            Clock::Epoch => 1,
            Clock::Steps => 2,
            Clock::EpochSteps => 3,
        }),
        Op::Const(value) => key.push(value.to_bits()),
        // Its value is among the sizes.
        Op::Size { .. } => {}
        Op::Literal(values) => key.extend(values.iter().map(|v| v.to_bits())),
        Op::Uniform { site, .. } => key.push(*site),
        Op::Broadcast { axes, .. } | Op::Transpose { perm: axes } | Op::Reduce { axes, .. } => {
            list(&mut axes.iter().map(|a| *a as u64));
        }
        Op::Slice { step, .. } => list(&mut step.iter().map(|s| *s as u64)),
        // With the sizes, whose number is known, the split of low and high is known too.
        Op::Pad { value, .. } => key.push(value.to_bits()),
        Op::Concat { axis }
        | Op::ArgReduce { axis, .. }
        | Op::Take { axis }
        | Op::ScatterAdd { axis, .. }
        | Op::Pick { axis }
        | Op::UpdateSlice { axis } => key.push(*axis as u64),
        Op::Cumulate { axis, reverse: flag, .. } | Op::ArgSort { axis, descending: flag } => {
            key.extend([*axis as u64, u64::from(*flag)]);
        }
        Op::CustomGradient { inputs } => key.push(*inputs as u64),
        Op::Matmul { batch } => key.push(*batch as u64),
        Op::ScanResult { index } => key.push(*index as u64),
        Op::Parameter(index) => key.push(u64::from(*index)),
        // The record names the scalar operation; sizes are all there is to a window.
        Op::Key
        | Op::Iota { .. }
        | Op::Scan(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast
        | Op::StopGradient
        | Op::Reshape { .. }
        | Op::Conv { .. }
        | Op::ConvInputGrad { .. }
        | Op::ConvWeightGrad { .. }
        | Op::MaxPool { .. }
        | Op::MaxPoolGrad { .. }
        | Op::SumPool { .. }
        | Op::SumPoolGrad { .. }
        | Op::Gradient => {}
    }
    key
}

fn commutes(op: &Op<usize>) -> bool {
    matches!(
        op,
        Op::Binary(Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Xor)
            | Op::Compare(Compare::Eq | Compare::Ne)
    )
}
