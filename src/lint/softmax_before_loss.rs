//! Probabilities, scaled or clipped and so no longer tagged, in a loss that applies `softmax` or `sigmoid` itself.

use super::net::{LOGIT_LOSSES, Net};
use crate::graph::NodeId;
use crate::ops::Op;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SOFTMAX_BEFORE_LOSS, look: Look::Net(look) };

const PROBABILITIES: &[&str] = &["softmax", "softmin", "sigmoid"];

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for loss in net.applied(LOGIT_LOSSES) {
        // `concat([p, 1 - p], axis: 1)` is made of probabilities as its first part is.
        let step = |id: NodeId| match net.node(id).op {
            Op::Concat { .. } => net.node(id).inputs.first().copied(),
            _ => net.rescaled(id),
        };
        let Some(made) = loss.first().and_then(|x| net.behind_any(x, PROBABILITIES, step)) else { continue };
        let headline = format!("`{}` takes scores, and is given what `{}` made", loss.name(), made.name());
        let again = if loss.name() == "binary_cross_entropy" { "sigmoid" } else { "softmax" };
        found.push(
            Diagnostic::warning(codes::SOFTMAX_BEFORE_LOSS, loss.at, headline)
                .label(format!("it applies `{again}` once more"))
                .also(made.at, "probabilities from here on")
                .help(format!("give it what goes into `{}`", made.name())),
        );
    }
}
