//! Attention whose products of queries and keys are not scaled: with wide vectors the `softmax` saturates.

use super::attention::attentions;
use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::ATTENTION_SCALE, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for attention in attentions(net) {
        if attention.scaled || attention.width.as_ref().and_then(|w| w.number()).is_some_and(|w| w < 8) {
            continue;
        }
        found.push(
            Diagnostic::warning(codes::ATTENTION_SCALE, attention.at, "products of queries and keys that are not scaled")
                .label("the wider the vectors, the nearer to one hot")
                .help("multiply by `D ^ -0.5`, or use `attention`, which does"),
        );
    }
}
