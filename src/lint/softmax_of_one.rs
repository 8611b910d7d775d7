//! `softmax` over an axis of one element, which is always 1.

use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SOFTMAX_OF_ONE, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for softmax in net.applied(&["softmax", "log_softmax"]) {
        let (Some(x), Some(axis)) = (softmax.first(), softmax.arg("axis").and_then(|a| a.number())) else { continue };
        let shape = &net.node(x).ty.shape;
        let axis = if axis < 0.0 { axis + shape.len() as f64 } else { axis };
        if shape.get(axis as usize).and_then(|d| d.number()) != Some(1) {
            continue;
        }
        let (is, cure) = match softmax.direct {
            true => ("always the same, and nothing learns from it", "name the axis that is meant: `softmax(x, axis: 1)`"),
            false => ("one class is always right", "use `binary_cross_entropy`, or give each class a score"),
        };
        let headline = format!("`{}` over an axis of size 1", softmax.name());
        found.push(Diagnostic::warning(codes::SOFTMAX_OF_ONE, softmax.at, headline).label(is).help(cure));
    }
}
