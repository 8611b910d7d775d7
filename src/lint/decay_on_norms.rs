//! Weight decay that pulls the scales of norms to 0.

use super::Context;
use super::optimizer::given;
use crate::check::Task;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::DECAY_ON_NORMS, look: Look::Task(look) };

const NORMS: &[&str] = &[
    "LayerNorm", "RmsNorm", "GroupNorm", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d",
    "InstanceNorm2d", "InstanceNorm3d",
];

fn look(context: &Context, task: &Task, found: &mut Vec<Diagnostic>) {
    for update in &task.updates {
        let Some((value, span)) = given(&update.optimizer, "weight_decay") else { continue };
        let groups = update.optimizer.groups.iter().flat_map(|g| &g.settings);
        let grouped = groups.into_iter().any(|s| s.name.as_deref() == Some("weight_decay"));
        if grouped || !value.number().is_some_and(|d| d >= 1e-2) || !context.is_library(update.optimizer.decl.name.span) {
            continue;
        }
        let decays = |row: &&crate::check::LayerRow| {
            NORMS.contains(&row.layer.as_str()) && row.vars.iter().any(|v| update.params.contains(v))
        };
        let Some(norm) = task.layers.iter().find(decays) else { continue };
        let net = norm.path.split('.').next().unwrap_or("net");
        found.push(
            Diagnostic::warning(codes::DECAY_ON_NORMS, span, "weight decay also pulls the scales of norms to 0")
                .label("of all parameters alike")
                .also(norm.span, format!("`{}` is one of them", norm.path))
                .help(format!("add `{{ {net}.*.{}, {net}.*.bias {{ weight_decay = 0 }} }}`", norm.layer)),
        );
    }
}
