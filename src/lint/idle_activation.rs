//! An activation of what another has bounded already.

use super::net::Net;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::IDLE_ACTIVATION, look: Look::Net(look) };

/// Activations whose values are never negative.
const POSITIVE: &[&str] = &["relu", "relu6", "sigmoid", "softmax", "softplus", "hardsigmoid"];

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for outer in net.applied(&["relu", "leaky_relu", "sigmoid", "softmax"]).filter(|a| a.direct) {
        let Some(x) = outer.first() else { continue };
        let (names, label): (&[&str], _) = match outer.name() {
            "relu" | "leaky_relu" => (POSITIVE, "changes nothing: its operand is never negative"),
            "sigmoid" => (&["relu", "relu6", "sigmoid", "softmax", "softplus"], "is never below 0.5: its operand is never negative"),
            _ => (&["softmax", "sigmoid"], "nearly even: its operand is between 0 and 1"),
        };
        let Some(inner) = net.behind(x, names) else { continue };
        let headline = format!("`{}` of what `{}` gives", outer.name(), inner.name());
        found.push(
            Diagnostic::warning(codes::IDLE_ACTIVATION, outer.at, headline)
                .label(label)
                .also(inner.at, format!("`{}` is applied here", inner.name()))
                .help("drop one of the two"),
        );
    }
}
