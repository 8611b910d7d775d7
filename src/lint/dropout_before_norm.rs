//! Dropout before batch norm, whose running variance is then wrong for evaluation (Li et al., 2019).

use super::net::{BATCH_NORMS, DROPOUTS, Net};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::DROPOUT_BEFORE_NORM, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for norm in net.applied(BATCH_NORMS) {
        let Some(mut id) = norm.first() else { continue };
        while net.made(id, DROPOUTS).is_none() {
            match net.moved(id) {
                Some(before) => id = before,
                None => break,
            }
        }
        let Some(dropout) = net.made(id, DROPOUTS).filter(|d| d.first() != d.node()) else { continue };
        found.push(
            Diagnostic::warning(codes::DROPOUT_BEFORE_NORM, dropout.at, format!("dropout before `{}`", norm.name()))
                .label("variances differ between training and evaluation")
                .also(norm.at, "the norm keeps those of training")
                .help("put dropout behind the norm and its activation"),
        );
    }
}
