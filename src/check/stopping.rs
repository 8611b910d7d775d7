//! `stop_when = no_improvement(of: accuracy, epochs: 3)`: in goes the expression, out comes what is watched and for how
//! long. The name is that of a figure of the step, so it is read, not evaluated.

use super::context::{Checker, Res, Scope};
use super::program::{Every, Report, ReportKind, StopWhen};
use super::values::Value;
use crate::diag::{Diagnostic, codes, suggest};
use crate::syntax::ast::{Expr, ExprKind};

/// Words in the name of a figure that is better when it is lower. Losses always are; everything else is better when it
/// is higher.
const LOWER_IS_BETTER: &[&str] = &[
    "loss",
    "error",
    "mae",
    "mse",
    "rmse",
    "perplexity",
    "nll",
    "kl",
    "entropy",
    "distance",
    "divergence",
    "wer",
    "cer",
];

impl Checker<'_> {
    pub fn stop_when(&mut self, value: &Expr, scope: &mut Scope) -> Res<StopWhen> {
        let form = "`no_improvement(of: accuracy, epochs: 3)`";
        let bad = |span, what: &str| {
            Diagnostic::error(codes::BAD_SETTING, span, format!("`stop_when` {what}"))
                .label("not a condition that training can watch")
                .help(format!("for instance {form}"))
        };
        let args = match &value.kind {
            ExprKind::Call { callee, args } if matches!(&callee.kind, ExprKind::Name(n) if n == "no_improvement") => {
                args
            }
            _ => return self.fail(bad(value.span, "takes `no_improvement(…)`")),
        };
        let mut found = StopWhen { of: None, patience: None, span: value.span, lower: None };
        for arg in args {
            match (arg.name.as_ref().map(|n| n.name.as_str()), &arg.value.kind) {
                (None | Some("of"), ExprKind::Name(name) | ExprKind::Str(name)) if found.of.is_none() => {
                    found.of = Some((name.clone(), arg.value.span));
                }
                (Some("lower_is_better"), ExprKind::Name(word)) if word == "true" || word == "false" => {
                    found.lower = Some(word == "true");
                }
                (Some(unit @ ("epochs" | "steps")), _) => {
                    let n = self.eval(&arg.value, scope)?;
                    let n = match n {
                        v if v.is_silent() => return None,
                        Value::Quantity(n, _) => Some(n),
                        v => v.number(),
                    };
                    found.patience = match n.filter(|n| *n > 0.0) {
                        Some(n) if unit == "epochs" => Some(Every::Epochs(n)),
                        Some(n) => Some(Every::Steps(n.ceil() as u64)),
                        None => return self.fail(bad(arg.value.span, "waits a number of epochs or steps above 0")),
                    };
                }
                (Some(name), _) if !matches!(name, "of" | "lower_is_better") => {
                    let known = ["of", "epochs", "steps", "lower_is_better"];
                    let fault = Diagnostic::error(
                        codes::UNKNOWN_ARGUMENT,
                        arg.span,
                        format!("`no_improvement` has no argument `{name}`"),
                    );
                    return self.fail(match suggest::nearest(name, known) {
                        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                        None if name == "patience" => fault.help("say of what: `epochs: 3` or `steps: 500`"),
                        None => fault.help(format!("its arguments are {}", known.join(", "))),
                    });
                }
                _ => return self.fail(bad(arg.span, "watches a figure by its name")),
            }
        }
        if found.patience.is_none() {
            return self.fail(bad(value.span, "does not say how long to wait"));
        }
        Some(found)
    }

    /// The figure that is watched exists; its direction is decided.
    pub fn watched(&mut self, stop: &mut StopWhen, reports: &[Report]) {
        let kind = match &stop.of {
            None => ReportKind::Loss,
            Some((name, span)) => match reports.iter().find(|r| r.name == *name) {
                Some(report) => report.kind,
                None => {
                    let names: Vec<&str> = reports.iter().map(|r| r.name.as_str()).collect();
                    let fault = Diagnostic::error(codes::UNKNOWN_NAME, *span, format!("no figure is called `{name}`"))
                        .label("the step neither minimises nor reports it");
                    let fault = match suggest::nearest(name, names.iter().copied()) {
                        Some(meant) => fault.help(format!("did you mean `{meant}`?")).fix(
                            format!("write `{meant}`"),
                            vec![(*span, meant.to_string())],
                            false,
                        ),
                        None => fault.help(format!("its figures are {}", names.join(", "))),
                    };
                    self.report(fault);
                    return;
                }
            },
        };
        let name = stop.of.as_ref().map_or("", |(n, _)| n.as_str());
        let by_name = name.to_lowercase().split('_').any(|w| LOWER_IS_BETTER.contains(&w));
        stop.lower = stop.lower.or(Some(kind == ReportKind::Loss || by_name));
    }
}
