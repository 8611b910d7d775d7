//! Simplification: named rules, each of which recognises one form and gives the id of a node of the same value.
//!
//! A rule sees a node whose operands are already in the new graph. It never changes a value by more than rounding, and
//! never assumes that a float is finite: `x * 0` and `x - x` stay. Each rule leads to fewer, smaller or cheaper nodes,
//! so that rewriting ends.

mod arithmetic;
mod constants;
mod movement;

use crate::graph::{Graph, Node, NodeId};

/// One rewrite.
pub struct Rule {
    pub name: &'static str,
    /// A node of the same value as this one, which is not in the graph (its operands are); or nothing.
    pub apply: fn(&mut Graph<usize>, &Node<usize>) -> Option<NodeId>,
}

/// All rules, in the order in which they are tried.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    constants::RULES.iter().chain(arithmetic::RULES).chain(movement::RULES)
}

/// One walk over the graph: the new graph, and how many nodes were rewritten. What is no longer needed stays until
/// [`dce`](super::dce).
pub fn simplify(graph: Graph<usize>) -> (Graph<usize>, usize) {
    if super::has_gradients(&graph) {
        return (graph, 0);
    }
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: graph.outputs, scopes: graph.scopes };
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    let mut rewritten = 0;
    for mut node in graph.nodes {
        node.inputs.iter_mut().for_each(|input| *input = map[input.index()]);
        let id = match rules().find_map(|rule| (rule.apply)(&mut out, &node)) {
            Some(id) => {
                debug_assert_eq!(*out.ty(id), node.ty, "a rule changed the type of {:?}", node.op);
                rewritten += 1;
                id
            }
            None => out.push(node.op, node.inputs, node.ty, node.origin),
        };
        map.push(id);
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    (out, rewritten)
}
