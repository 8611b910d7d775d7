//! A schedule whose parts are longer or shorter than the training.

use super::Context;
use super::course;
use super::optimizer::{given, stage_given};
use crate::check::{Stage, Task, Value};
use crate::source::Span;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SCHEDULE_LENGTH, look: Look::Task(look) };

fn look(context: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    if task.settings.accumulate.is_some_and(|n| n > 1) {
        // The clock counts updates then.
        return;
    }
    for update in &task.updates {
        if let Some((Value::Stage(stage), span)) = given(&update.optimizer, "lr")
            && let crate::check::Callable::Fn(decl) = &stage.callable
            && context.is_library(decl.name.span)
            && let Some((at, headline, help)) = fault(task, stage, span)
        {
            let whole = format!("the training has {}", course::shown(task));
            found.push(Diagnostic::warning(codes::SCHEDULE_LENGTH, at, headline).label(whole).help(help));
        }
    }
}

/// What does not fit: where, what is said, and the cure.
fn fault(task: &Task, stage: &Stage, span: Span) -> Option<(Span, String, &'static str)> {
    let name = stage.callable.name();
    let default = Value::Float(4000.0);
    let by_default = matches!(name, "inverse_sqrt" | "noam").then_some((&default, span));
    if let Some((warmup, at)) = stage_given(stage, "warmup").or(by_default)
        && course::share(task, warmup)? >= 1.0
    {
        return Some((at, "the warm-up is as long as the training".into(), "shorten the warm-up, or train longer"));
    }
    if let Some((over, at)) = stage_given(stage, "over") {
        let share = course::share(task, over)?;
        if share > 1.01 {
            return Some((at, format!("`{name}` is cut off before its end"), "give both the same length"));
        }
        if name == "polynomial" && share < 0.9 {
            return Some((at, "the rate is 0 before the training ends".into(), "give both the same length"));
        }
    }
    for part in ["every", "period"] {
        if let Some((every, at)) = stage_given(stage, part)
            && course::share(task, every)? > 1.01
        {
            return Some((at, format!("`{part}` of `{name}` is longer than the training"), "shorten it"));
        }
    }
    if let Some((Value::List(steps), at)) = stage_given(stage, "at") {
        let late = steps.iter().find(|s| course::share(task, s).is_some_and(|s| s >= 1.0))?;
        return Some((at, format!("step {} is never reached", late.number()?), "list steps that the training has"));
    }
    None
}
