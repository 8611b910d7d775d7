//! An activation behind the last layer, before a loss of scores: half of them can never be said.

use super::net::{LOGIT_LOSSES, Net};
use crate::ops::{Op, Unary};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::ACTIVATION_ON_OUTPUT, look: Look::Net(look) };

const ACTIVATIONS: &[&str] = &[
    "relu", "relu6", "leaky_relu", "gelu", "silu", "elu", "selu", "celu", "mish", "softplus", "hardtanh", "hardswish",
    "hardsigmoid", "softsign",
];

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for loss in net.applied(LOGIT_LOSSES) {
        let Some(x) = loss.first() else { continue };
        let (name, at) = if let Some(made) = net.behind(x, ACTIVATIONS) {
            (made.name(), made.at)
        } else {
            let from = net.origin(x);
            if !matches!(net.node(from).op, Op::Unary(Unary::Tanh)) || net.is_inside(from) {
                continue;
            }
            ("tanh", net.at(from))
        };
        found.push(
            Diagnostic::warning(codes::ACTIVATION_ON_OUTPUT, at, format!("`{name}` behind the last layer"))
                .label("it keeps scores from being what they should")
                .also(loss.at, format!("`{}` takes scores of any size", loss.name()))
                .help(format!("give the loss what goes into `{name}`")),
        );
    }
}
