//! A plain recurrent net whose gradients nothing bounds: they grow with every step back (Pascanu et al., 2013).

use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::UNCLIPPED_RECURRENCE, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let clipped = task.updates.iter().any(|u| u.clipped);
    let Some(rnn) = net.applied(&["Rnn"]).find(|r| r.training && !clipped) else { return };
    found.push(
        Diagnostic::warning(codes::UNCLIPPED_RECURRENCE, rnn.at, "a plain recurrent net without bounds on its gradient")
            .label("gradients may grow with every step back")
            .help("add `clip_norm = 1.0` to the task, or use `Gru` or `Lstm`"),
    );
}
