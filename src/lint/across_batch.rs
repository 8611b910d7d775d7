//! `softmax` over the batch, so that samples compete with each other.

use super::net::Net;
use crate::dims::Dim;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::ACROSS_BATCH, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let Some(batch) = task.batch.clone().map(Dim::from) else { return };
    for softmax in net.applied(&["softmax", "log_softmax"]).filter(|s| s.direct) {
        let (Some(x), Some(axis)) = (softmax.first(), softmax.arg("axis").and_then(|a| a.number())) else { continue };
        let shape = &net.node(x).ty.shape;
        let others = shape.iter().skip(1).any(|d| *d == batch);
        let first = axis == 0.0 || axis == -(shape.len() as f64);
        if first && shape.len() > 1 && shape.first() == Some(&batch) && !others {
            found.push(
                Diagnostic::warning(codes::ACROSS_BATCH, softmax.at, format!("`{}` over the batch", softmax.name()))
                    .label("samples of a batch compete with each other")
                    .help("take the axis of the classes: leave `axis` out for the last"),
            );
        }
    }
}
