//! A running average of the parameters that has hardly left its start when the training ends.

use super::{Context, course};
use crate::check::Task;
use crate::syntax::ast::TaskStmtKind;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SLOW_AVERAGE, look: Look::Task(look) };

fn look(_: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    let (Some(decay), Some(steps)) = (task.ema, course::steps(task)) else { return };
    let left = decay.powf(steps / task.settings.accumulate.unwrap_or(1) as f64);
    let written = task.decl.body.iter().find_map(|s| match &s.kind {
        TaskStmtKind::Bind { name, value } if name.name == "ema" => Some(value.span),
        _ => None,
    });
    if let Some(span) = written.filter(|_| left > 0.3) {
        let headline = format!("{:.0} % of this average are still the first values", 100.0 * left);
        found.push(
            Diagnostic::warning(codes::SLOW_AVERAGE, span, headline)
                .label(format!("the training has {}", course::shown(task)))
                .help(format!("average over less: `{}`", nearer(steps))),
        );
    }
}

/// A decay that forgets the start of so many steps.
fn nearer(steps: f64) -> f64 {
    [0.9999, 0.999, 0.99, 0.9].into_iter().find(|d: &f64| d.powf(steps) < 0.05).unwrap_or(0.5)
}
