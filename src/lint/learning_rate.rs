//! A rate that is far outside of what its optimizer is used with.

use super::Context;
use super::optimizer::{given, highest};
use crate::check::Task;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::LEARNING_RATE, look: Look::Task(look) };

/// The usual rates of an optimizer, widely.
fn usual(name: &str) -> Option<(f64, f64)> {
    Some(match name {
        "Adam" | "AdamW" | "NAdam" | "RAdam" | "Adamax" | "RmsProp" => (1e-7, 0.05),
        "Lion" => (1e-8, 3e-3),
        "Sgd" => (1e-6, 5.0),
        "Adagrad" => (1e-5, 1.0),
        "Adadelta" => (1e-3, 10.0),
        "Rprop" => (1e-5, 0.5),
        _ => return None,
    })
}

fn look(context: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    for update in &task.updates {
        let name = &update.optimizer.decl.name;
        let Some((low, high)) = usual(&name.name).filter(|_| context.is_library(name.span)) else { continue };
        let groups = update.optimizer.groups.iter().flat_map(|g| &g.settings);
        let of_groups = groups.filter(|s| s.name.as_deref() == Some("lr")).map(|s| (&s.value, s.span));
        for (value, span) in given(&update.optimizer, "lr").into_iter().chain(of_groups) {
            let Some(rate) = highest(value).filter(|r| *r != 0.0 && !(low..=high).contains(r)) else { continue };
            let (far, then) = if rate > high { ("high", "training will not settle") } else { ("low", "hardly anything moves") };
            found.push(
                Diagnostic::warning(codes::LEARNING_RATE, span, format!("a rate of {rate} is very {far} for `{}`", name.name))
                    .label(then)
                    .help(format!("usual rates lie between {low} and {high}; most often near {}", most_often(&name.name))),
            );
        }
    }
}

fn most_often(name: &str) -> &'static str {
    match name {
        "Sgd" => "0.1",
        "Lion" => "1e-4",
        "Adadelta" => "1",
        "Adagrad" | "Rprop" => "1e-2",
        _ => "1e-3",
    }
}
