//! Samples that a net has learned from, in the task that measures it.

use super::Context;
use crate::check::{DataValue, Task, Value};
use crate::syntax::ast::TaskKind;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::VALIDATION_OVERLAP, look: Look::Task(look) };

/// Sources with a test set of their own, which they hold out unless told otherwise.
const WITH_TESTS: &[&str] = &["mnist", "cifar10", "graph"];

fn look(context: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    let Some(data) = task.data.as_ref().filter(|_| task.kind == TaskKind::Evaluate) else { return };
    let owners = context.program.tasks.iter().filter(|t| {
        t.kind == TaskKind::Train && task.vars.iter().any(|v| context.program.var(*v).task == t.number)
    });
    for owner in owners {
        let Some(learned) = owner.data.as_ref().filter(|d| same_files(d, data)) else { continue };
        let (own, theirs) = (held(data), held(learned));
        let what = match (own, theirs) {
            (None, _) if WITH_TESTS.contains(&data.source.as_str()) => continue,
            (None, None) => "holds nothing out: all of this was learned from",
            (None, Some(_)) => "learned from most of these samples",
            (Some(a), Some(b)) if a != b => "holds out other samples than these",
            (Some(_), Some(_)) if has_seed(task) != has_seed(owner) => "has another seed, so it holds out other samples",
            (Some(_), None) if !WITH_TESTS.contains(&data.source.as_str()) => "holds nothing out: all of this was learned from",
            _ => continue,
        };
        let headline = format!("`{}` is measured on what it learned from", owner.name);
        found.push(
            Diagnostic::warning(codes::VALIDATION_OVERLAP, data.span, headline)
                .label(format!("`{}` {what}", owner.name))
                .also(learned.span, "learned from here")
                .help("give both one source with one `validate`: `data shared = …`, and one seed"),
        );
    }
}

fn has_seed(task: &Task) -> u64 {
    task.settings.seed.unwrap_or(0)
}

/// What a source is told to hold out.
fn held(data: &DataValue) -> Option<f64> {
    data.args.iter().find(|g| g.name.as_deref() == Some("validate")).and_then(|g| g.value.number())
}

/// True if two sources read the same samples: all that tells them apart is what they hold out.
fn same_files(a: &DataValue, b: &DataValue) -> bool {
    let paths = |data: &DataValue| {
        let text = |v: &Value| if let Value::Str(s) = v { Some(s.clone()) } else { None };
        let paths: Vec<String> = data.args.iter().filter_map(|g| text(&g.value)).collect();
        paths
    };
    a.source == b.source && paths(a) == paths(b)
}
