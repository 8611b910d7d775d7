//! A language model whose attention looks at the token that it is to predict.

use super::attention::{Attention, attentions};
use super::net::{Net};
use crate::check::{Applied, Value};
use crate::graph::NodeId;
use crate::ops::Op;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SEES_THE_ANSWER, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for loss in net.applied(&["cross_entropy", "nll"]) {
        let (Some(scores), Some(label)) = (loss.first(), loss.tensor("label")) else { continue };
        let Some(token) = shifted(net, label, scores) else { continue };
        let seen = net.ancestors(scores);
        let in_net = |id: NodeId| seen.get(id.index()).copied().unwrap_or(false);
        let on_token = |id: NodeId| net.ancestors(id).iter().enumerate().any(|(i, s)| *s && is_field(net, i, token));
        let open = attentions(net).into_iter().find(|a| a.blind && in_net(a.weights) && on_token(a.q) && on_token(a.k));
        let both_ways = |a: &&Applied| matches!(a.hyper("bidirectional"), Some(Value::Bool(true)));
        let (at, what, help) = if let Some(Attention { at, .. }) = open {
            (at, "attention", "add `causal: true`, or a mask: `causal_mask(T, T)`")
        } else if let Some(rnn) = net.applied(&["Rnn", "Lstm", "Gru"]).filter(both_ways).find(|r| r.first().is_some_and(on_token)) {
            (rnn.at, "a recurrent net in both directions", "take one direction: `bidirectional: false`")
        } else {
            continue;
        };
        found.push(
            Diagnostic::warning(codes::SEES_THE_ANSWER, at, format!("{what} that sees the token to be predicted"))
                .label("it looks at later tokens too")
                .also(loss.at, "each place is to predict the token that follows")
                .help(help),
        );
        return;
    }
}

fn is_field(net: &Net, node: usize, field: usize) -> bool {
    matches!(net.graph().nodes[node].op, Op::Field(i) if i as usize == field)
}

/// The field of tokens that the scores are computed from, if the label is the same one place on.
fn shifted(net: &Net, label: NodeId, scores: NodeId) -> Option<usize> {
    let (_, task) = net.task?;
    let (mut id, mut later) = (label, false);
    while let Some(before) = net.moved(id) {
        if let Op::Slice { start, .. } = &net.node(id).op {
            later |= start.iter().any(|s| s.number().is_some_and(|n| n > 0));
        }
        id = before;
    }
    let Op::Field(own) = net.node(id).op else { return None };
    let own = own as usize;
    let seen = net.ancestors(scores);
    let reads = |field: usize| (0..seen.len()).any(|i| seen[i] && is_field(net, i, field));
    if later && reads(own) {
        return Some(own);
    }
    // A source of running text gives the following tokens as a field of their own.
    let follows = task.fields.get(own)?.name == "next" && task.data.as_ref()?.source == "text";
    let token = task.fields.iter().position(|f| f.name == "token")?;
    (follows && reads(token)).then_some(token)
}
