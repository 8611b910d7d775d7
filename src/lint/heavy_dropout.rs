//! Dropout that leaves nearly nothing: often the share to keep is meant.

use super::net::{DROPOUTS, Net, number};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::HEAVY_DROPOUT, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for dropout in net.applied(DROPOUTS) {
        let Some(p) = number(dropout.hyper("p")).filter(|p| *p > 0.8) else { continue };
        let kept = ((1.0 - p) * 1e4).round() / 1e4;
        found.push(
            Diagnostic::warning(codes::HEAVY_DROPOUT, dropout.made(), format!("dropout of {p} leaves only {kept}"))
                .label("`p` is the share that is dropped")
                .help(format!("if {p} is the share to keep, write `{}({kept})`", dropout.name())),
        );
    }
}
