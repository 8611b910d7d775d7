//! Class labels as the target of a regression: class 7 would be further from 1 than from 6.

use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::CLASS_AS_NUMBER, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    for loss in net.applied(&["mse", "l1_loss", "smooth_l1", "huber", "log_cosh"]) {
        let Some(field) = loss.tensor("target").and_then(|t| net.field(t)).and_then(|i| task.fields.get(i)) else { continue };
        let Some(classes) = field.classes.filter(|c| *c > 2 && field.dtype.is_int()) else { continue };
        let headline = format!("`{}` of a label with {classes} classes", loss.name());
        found.push(
            Diagnostic::warning(codes::CLASS_AS_NUMBER, loss.at, headline)
                .label("numbers of classes have no distance")
                .help("give each class a score and use `cross_entropy`"),
        );
    }
}
