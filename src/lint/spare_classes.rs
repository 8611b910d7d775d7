//! A net that scores more classes than its labels have.

use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SPARE_CLASSES, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    for loss in net.applied(&["cross_entropy", "focal_loss", "nll", "multi_margin"]) {
        let (Some(scores), Some(label)) = (loss.first(), loss.tensor("label")) else { continue };
        let Some(field) = net.field(label).and_then(|i| task.fields.get(i)) else { continue };
        let (Some(classes), Some(width)) = (field.classes, net.node(scores).ty.shape.last().and_then(|d| d.number())) else {
            continue;
        };
        // One more is often meant: for nothing, for padding, for the unknown.
        if width > classes as i64 + 1 {
            let headline = format!("{width} scores for a label with {classes} classes");
            found.push(
                Diagnostic::warning(codes::SPARE_CLASSES, loss.at, headline)
                    .label(format!("{} of them are never right", width - classes as i64))
                    .help("make the last layer as wide as there are classes: `data.classes`"),
            );
        }
    }
}
