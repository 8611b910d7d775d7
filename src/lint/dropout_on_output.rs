//! Dropout behind the last layer: a loss of scores some of which are 0 by chance.

use super::net::{DROPOUTS, LOGIT_LOSSES, Net};
use crate::check::Applied;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::DROPOUT_ON_OUTPUT, look: Look::Net(look) };

const OTHERS: &[&str] = &["mse", "l1_loss", "smooth_l1", "huber", "log_cosh", "poisson_nll", "hinge", "multi_margin"];

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let losses = [LOGIT_LOSSES, OTHERS].concat();
    for loss in net.applied(&losses) {
        let Some(mut id) = loss.first() else { continue };
        while net.made(id, DROPOUTS).is_none() {
            match net.moved(id) {
                Some(before) => id = before,
                None => break,
            }
        }
        let dropout = net.made(id, DROPOUTS).filter(|d| d.training && d.first() != d.node());
        let Some(dropout): Option<&Applied> = dropout else { continue };
        found.push(
            Diagnostic::warning(codes::DROPOUT_ON_OUTPUT, dropout.at, "dropout behind the last layer")
                .label("some of the net's answers become 0")
                .also(loss.at, format!("`{}` measures them here", loss.name()))
                .help("put it before the last layer"),
        );
    }
}
