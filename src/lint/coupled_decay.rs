//! Strong weight decay in an optimizer that divides it by the size of the gradients.

use super::Context;
use super::optimizer::given;
use crate::check::{Task, Value};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::COUPLED_DECAY, look: Look::Task(look) };

fn look(context: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    for update in &task.updates {
        let name = &update.optimizer.decl.name;
        if !["Adam", "NAdam", "RAdam", "Adamax"].contains(&name.name.as_str()) || !context.is_library(name.span) {
            continue;
        }
        if let Some((Value::Bool(true), _)) = given(&update.optimizer, "decoupled_weight_decay") {
            continue;
        }
        let Some((value, span)) = given(&update.optimizer, "weight_decay") else { continue };
        if value.number().is_some_and(|d| d >= 5e-3) {
            let headline = format!("weight decay in `{}` is divided by the gradients' size", name.name);
            found.push(
                Diagnostic::warning(codes::COUPLED_DECAY, span, headline)
                    .label("weights with large gradients hardly decay")
                    .help("use `AdamW`, which decays all weights alike"),
            );
        }
    }
}
