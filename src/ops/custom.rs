//! A value with a gradient of the user's own: `fn f(x) { … } gradient(d) { … }`. Operands are the value `y`, a stand-in
//! `d` for its gradient, the inputs `x…`, and for each of them its gradient `g…`, written in terms of `d`.

use super::def::{GradientRule, Lowering, OpDef};
use super::op::Op;
use super::shape::misuse;
use crate::graph::{Graph, NodeId};
use std::collections::BTreeMap;

/// Not in the table: nothing calls it by a name, and it is gone before anything is lowered.
pub static CUSTOM_GRADIENT: OpDef = OpDef {
    name: "custom_gradient",
    doc: "`fn f(x) { y } gradient(d) { g }`: y, with g as its gradient.",
    surfaces: &[],
    infer: |op, inputs| match (op, inputs) {
        (Op::CustomGradient { inputs: count }, [y, d, rest @ ..]) if rest.len() == 2 * count && y == d => Ok(y.clone()),
        _ => misuse(),
    },
    gradient: GradientRule::Rule(gradient),
    lowering: Lowering::None,
    flops: |_, _, _| 0,
    samples: Vec::new,
};

/// The written gradients, with what arrives in the place of the stand-in.
fn gradient(graph: &mut Graph<usize>, id: NodeId, dy: NodeId) -> Vec<Option<NodeId>> {
    let node = graph.node(id).clone();
    let mut contributions = vec![None; node.inputs.len()];
    let Op::CustomGradient { inputs } = node.op else { return contributions };
    let (stand_in, written) = (node.inputs[1], node.inputs[2 + inputs..].to_vec());
    let mut place: BTreeMap<NodeId, NodeId> = BTreeMap::from([(stand_in, dy)]);
    let last = written.iter().map(|g| g.0).max().unwrap_or(0);
    for old in (stand_in.0 + 1..=last).map(NodeId) {
        let mut copy = graph.node(old).clone();
        let mut depends = false;
        for input in &mut copy.inputs {
            if let Some(new) = place.get(input) {
                (*input, depends) = (*new, true);
            }
        }
        if depends {
            let new = graph.push(copy.op, copy.inputs, copy.ty, node.origin);
            place.insert(old, new);
        }
    }
    for (i, g) in written.iter().enumerate() {
        contributions[2 + i] = Some(place.get(g).copied().unwrap_or(*g));
    }
    contributions
}
