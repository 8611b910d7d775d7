//! A column that the source is told to read and that no task takes.

use super::Context;
use crate::check::{Task, Value};
use crate::source::Span;
use crate::syntax::ast::{ExprKind, TaskKind};
use crate::syntax::walk::each_expr_of;
use std::collections::BTreeSet;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::UNUSED_COLUMN, look: Look::Task(look) };

fn look(context: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    let Some(data) = task.data.as_ref().filter(|_| task.kind == TaskKind::Train) else { return };
    let mut taken = BTreeSet::new();
    for other in context.program.tasks.iter().filter(|t| t.data.as_ref().is_some_and(|d| d.span == data.span)) {
        taken.extend(other.decl.step.iter().flat_map(|s| &s.params).map(|p| p.name.name.clone()));
    }
    for body in data.bodies.iter().filter_map(|d| d.body.as_ref()) {
        each_expr_of(body, &mut |e| {
            if let ExprKind::Name(name) = &e.kind {
                taken.insert(name.clone());
            }
        });
    }
    let mut named: Vec<(String, String, Span)> = Vec::new();
    for given in &data.args {
        match (data.source.as_str(), given.name.as_deref(), &given.value) {
            ("npy", Some(name), Value::Str(_)) => named.push((name.into(), name.into(), given.span)),
            ("csv" | "tsv", Some("label"), Value::Str(column)) => named.push(("label".into(), column.clone(), given.span)),
            _ => {}
        }
    }
    for (_, column, span) in named.into_iter().filter(|(field, ..)| !taken.contains(field)) {
        found.push(
            Diagnostic::warning(codes::UNUSED_COLUMN, span, format!("no step takes `{column}`"))
                .label("read from the files for nothing")
                .help("take it in a step, or leave it out of the source"),
        );
    }
}
