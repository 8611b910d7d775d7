//! The logarithm of a `softmax` or `sigmoid`, which may have rounded to 0.

use super::net::Net;
use crate::ops::{Op, Unary};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::UNSTABLE_LOG, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for id in net.graph().ids() {
        let node = net.node(id);
        if !matches!(node.op, Op::Unary(Unary::Log)) || net.is_inside(id) {
            continue;
        }
        let Some(made) = net.behind_any(node.inputs[0], &["softmax", "sigmoid"], |n| net.rescaled(n)) else { continue };
        let (name, ours) = match made.name() {
            "softmax" => ("softmax", "log_softmax"),
            _ => ("sigmoid", "logsigmoid"),
        };
        found.push(
            Diagnostic::warning(codes::UNSTABLE_LOG, node.origin.span, format!("the logarithm of a `{name}`"))
                .label("a probability that rounds to 0 gives minus infinity")
                .also(made.at, format!("`{name}` is applied here"))
                .help(format!("write `{ours}(x)`, which does not overflow")),
        );
    }
}
