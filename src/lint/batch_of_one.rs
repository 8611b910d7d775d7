//! Batch norm where a batch has one sample: there is nothing to normalise over.

use super::net::{BATCH_NORMS, Net};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::BATCH_OF_ONE, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let Some(batch) = task.settings.batch else { return };
    let Some(norm) = net.applied(BATCH_NORMS).find(|n| n.training) else { return };
    if batch == 1 {
        found.push(
            Diagnostic::warning(codes::BATCH_OF_ONE, norm.at, format!("`{}` with batches of one sample", norm.name()))
                .label("it normalises over the batch")
                .help("take a larger `batch`, or `GroupNorm` or `LayerNorm`, which look at one sample"),
        );
        return;
    }
    // One number a channel: its variance is 0, and the unbiased one 0 / 0.
    let flat = |n: &&crate::check::Applied| n.first().is_some_and(|x| net.node(x).ty.rank() == 2);
    let Some(norm) = net.applied(BATCH_NORMS).filter(|n| n.training).find(flat) else { return };
    let Some(count) = task.facts.as_ref().and_then(|f| f.count).filter(|c| c % batch == 1) else { return };
    let headline = format!("the last batch of {count} samples by {batch} has one sample");
    found.push(
        Diagnostic::warning(codes::BATCH_OF_ONE, norm.at, headline)
            .label(format!("`{}` has nothing to normalise over then", norm.name()))
            .help("take another `batch`"),
    );
}
