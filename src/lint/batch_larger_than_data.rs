//! A batch that is larger than the data.

use super::Context;
use crate::check::Task;
use crate::syntax::ast::{TaskKind, TaskStmtKind};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::BATCH_LARGER_THAN_DATA, look: Look::Task(look) };

fn look(_: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    let count = task.facts.as_ref().and_then(|f| f.count).filter(|_| task.kind == TaskKind::Train);
    let (Some(count), Some(batch)) = (count, task.settings.batch) else { return };
    let written = task.decl.body.iter().find_map(|s| match &s.kind {
        TaskStmtKind::Bind { name, value } if name.name == "batch" => Some(value.span),
        _ => None,
    });
    if let Some(span) = written.filter(|_| batch > count) {
        let headline = format!("a batch of {batch} is larger than the {count} samples to learn from");
        found.push(
            Diagnostic::warning(codes::BATCH_LARGER_THAN_DATA, span, headline)
                .label("every epoch is one step")
                .help("take a smaller batch"),
        );
    }
}
