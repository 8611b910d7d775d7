//! A scalar of a node, for tests of gradients.

use nnc::graph::{Builder, Graph, NodeId, Origin};
use nnc::ops::Op;

/// Adds sum(node * w) for a fixed random w: a scalar whose gradient sees every element of the node differently.
pub fn probe(graph: &mut Graph<usize>, node: NodeId, seed: f64) -> NodeId {
    let b = Builder::new(graph, Origin::NOWHERE);
    let shape = b.shape(node);
    let count: usize = shape.iter().product();
    let weights = (0..count).map(|i| ((i as f64 + 1.0) * 12.9898 + seed).sin()).collect();
    let weights = b.cast(b.reshape(b.op(Op::Literal(weights), &[]), &shape), b.ty(node).dtype);
    let axes: Vec<usize> = (0..shape.len()).collect();
    b.sum(b.mul(node, weights), &axes)
}
