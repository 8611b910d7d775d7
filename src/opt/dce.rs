//! Dead code: nodes that no output needs are gone, the others keep their order.

use crate::graph::{Graph, NodeId};

/// Keeps what outputs need.
pub fn dce(graph: Graph<usize>) -> Graph<usize> {
    let mut needed = vec![false; graph.nodes.len()];
    graph.outputs.iter().for_each(|output| needed[output.node.index()] = true);
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        if needed[i] {
            node.inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    let mut map = vec![NodeId(0); needed.len()];
    let mut out = Graph { nodes: Vec::new(), outputs: graph.outputs, scopes: graph.scopes };
    for (i, mut node) in graph.nodes.into_iter().enumerate() {
        if needed[i] {
            map[i] = NodeId(out.nodes.len() as u32);
            node.inputs.iter_mut().for_each(|input| *input = map[input.index()]);
            out.nodes.push(node);
        }
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    out
}
