//! Early stopping that waits for longer than the training lasts.

use super::{Context, course};
use crate::check::Task;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::PATIENCE_TOO_LONG, look: Look::Task(look) };

fn look(_: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    let Some(stop) = &task.settings.stop_when else { return };
    let Some(patience) = stop.patience else { return };
    if course::share_of(task, patience).is_some_and(|s| s >= 1.0) {
        found.push(
            Diagnostic::warning(codes::PATIENCE_TOO_LONG, stop.span, "this never stops the training")
                .label(format!("the training has {}", course::shown(task)))
                .help("wait for less, or train longer"),
        );
    }
}
