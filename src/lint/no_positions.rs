//! Attention over tokens that does not know in which order they stand.

use super::attention::{Attention, attentions};
use super::net::Net;
use crate::graph::NodeId;
use crate::ops::{Binary, Op};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::NO_POSITIONS, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    for Attention { q, k, at, blind, .. } in attentions(net) {
        let (of_q, of_k) = (net.ancestors(q), net.ancestors(k));
        let has = |seen: &[bool], i: usize| seen.get(i).copied().unwrap_or(false);
        let token = net.graph().ids().find(|id| {
            let whole = |i: u32| task.fields.get(i as usize).is_some_and(|f| f.dtype.is_int() && f.shape.len() == 1);
            let both = has(&of_q, id.index()) && has(&of_k, id.index());
            both && matches!(net.node(*id).op, Op::Field(i) if whole(i))
        });
        let ordered = net.graph().ids().any(|id| has(&of_q, id.index()) && tells_order(net, id));
        if token.is_none() || ordered || !blind {
            continue;
        }
        found.push(
            Diagnostic::warning(codes::NO_POSITIONS, at, "attention that does not know the order of the tokens")
                .label("any order of the same tokens gives the same")
                .help("add positions to the embeddings, for instance `LearnedPositions(context)`, or `rotary`"),
        );
        return;
    }
}

/// True of a node that makes places differ.
fn tells_order(net: &Net, id: NodeId) -> bool {
    let node = net.node(id);
    match &node.op {
        Op::Iota { .. } | Op::Scan(_) | Op::Conv { .. } | Op::Cumulate { .. } | Op::Literal(_) => true,
        // A table of parameters, added row by row.
        Op::Binary(Binary::Add) => node.inputs.iter().any(|x| {
            let from = net.node(net.origin(*x));
            matches!(from.op, Op::Read(_)) && from.ty.rank() > 1
        }),
        _ => false,
    }
}
