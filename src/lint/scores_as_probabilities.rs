//! What a layer gives, in a loss that takes probabilities or their logarithms.

use super::net::{LINEAR, Net};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SCORES_AS_PROBABILITIES, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for loss in net.applied(&["nll", "binary_nll", "kl_div"]) {
        let Some(x) = loss.first() else { continue };
        let (made, what) = if let Some(made) = net.behind(x, LINEAR) {
            (made, "scores without bounds from here on")
        } else if let Some(made) = net.behind(x, &["softmax", "sigmoid"]).filter(|_| loss.name() != "binary_nll") {
            (made, "probabilities, not their logarithms")
        } else {
            continue;
        };
        let wants = if loss.name() == "binary_nll" { "probabilities" } else { "logarithms of probabilities" };
        let help = match loss.name() {
            "binary_nll" => "use `binary_cross_entropy`, which takes scores, or apply `sigmoid` first",
            "nll" => "use `cross_entropy`, which takes scores, or apply `log_softmax` first",
            _ => "apply `log_softmax` to the scores first",
        };
        found.push(
            Diagnostic::warning(codes::SCORES_AS_PROBABILITIES, loss.at, format!("`{}` takes {wants}", loss.name()))
                .label(format!("not what `{}` gives", made.name()))
                .also(made.at, what)
                .help(help),
        );
    }
}
