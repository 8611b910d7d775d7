//! A label that goes into the net that is to find it.

use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};
use crate::ops::Op;

pub const LINT: Lint = Lint { code: codes::LABEL_LEAK, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    for loss in net.applied(&["cross_entropy", "nll", "focal_loss"]) {
        let (Some(scores), Some(label)) = (loss.first(), loss.tensor("label")) else { continue };
        let Some(i) = net.field(label) else { continue };
        // One label a sample: a text may well be its own label, moved by one.
        let Some(field) = task.fields.get(i).filter(|f| f.shape.is_empty()) else { continue };
        let seen = net.ancestors(scores);
        let reads = |n: &crate::graph::NodeId| seen.get(n.index()).copied().unwrap_or(false);
        let leaks = net.graph().ids().filter(reads).any(|n| matches!(net.node(n).op, Op::Field(f) if f as usize == i));
        if leaks {
            let headline = format!("the scores are computed from `{}` itself", field.name);
            found.push(
                Diagnostic::warning(codes::LABEL_LEAK, loss.at, headline)
                    .label("the net is told what it is to find")
                    .help(format!("keep `{}` out of the net", field.name)),
            );
        }
    }
}
