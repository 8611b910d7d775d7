//! Indices that lie outside their axis. Compiled code doesn't stop there: it takes NaN, so that the loss becomes NaN. What is
//! here looks for the index afterwards. In: the graph of a step. Out: a graph of its indices alone, and what they may be.

use crate::diag::{Diagnostic, codes};
use crate::graph::{Graph, NodeId, Origin, Output, OutputKind};
use crate::ops::Op;

/// Indices of a step: result `n` of the graph below has one entry with that number, or several.
pub struct Bound {
    pub result: u32,
    /// Elements of the axis.
    pub size: usize,
    pub origin: Origin,
}

/// The part of a step that computes indices; none if it has none. Those within scans are left out.
pub fn indices(graph: &Graph<usize>) -> Option<(Graph<usize>, Vec<Bound>)> {
    let mut nodes: Vec<NodeId> = Vec::new();
    let mut bounds = Vec::new();
    for node in &graph.nodes {
        let (Op::Take { axis } | Op::Pick { axis }) = node.op else { continue };
        let (x, index) = (node.inputs[0], node.inputs[1]);
        let result = nodes.iter().position(|n| *n == index).unwrap_or_else(|| {
            nodes.push(index);
            nodes.len() - 1
        });
        bounds.push(Bound { result: result as u32, size: graph.ty(x).shape[axis], origin: node.origin });
    }
    if nodes.is_empty() {
        return None;
    }
    let outputs = nodes.iter().enumerate();
    let outputs = outputs.map(|(i, node)| Output { kind: OutputKind::Value(i as u32), node: *node }).collect();
    Some((crate::opt::dce(Graph { outputs, ..graph.clone() }), bounds))
}

/// The first of some indices that lies outside.
pub fn first_outside(indices: &[f64], size: usize) -> Option<f64> {
    indices.iter().copied().find(|i| *i < 0.0 || *i >= size as f64)
}

/// The message for an index outside its axis; `what` says which.
pub fn fault(what: String, origin: Origin, scopes: &[String]) -> Diagnostic {
    let mut fault = Diagnostic::error(codes::DATA_VALUE, origin.span, what).label("an element that is not there");
    if let Some(scope) = scopes.get(origin.scope as usize).filter(|s| !s.is_empty()) {
        fault = fault.note(format!("in `{scope}`"));
    }
    fault.help("indices count from 0, never from the end: correct the data, or choose with `where` what is inside")
}
