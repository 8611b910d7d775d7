//! A metric that is only ever measured while dropout and batch norm are in training mode.

use super::net::{BATCH_NORMS, DROPOUTS, Net};
use crate::check::ReportKind;
use crate::syntax::ast::TaskKind;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::METRIC_IN_TRAINING, look: Look::Net(look) };

/// Sources that hold samples out only where they are told to.
const PLAIN: &[&str] = &["digits", "csv", "tsv", "npy", "npz", "idx", "labelled_lines", "text", "image_folder"];

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((program, task)) = net.task else { return };
    let held = |d: &crate::check::DataValue| d.args.iter().any(|g| g.name.as_deref() == Some("validate"));
    let Some(data) = task.data.as_ref().filter(|d| PLAIN.contains(&d.source.as_str()) && !held(d)) else { return };
    let measured = program.tasks.iter().any(|t| {
        t.kind == TaskKind::Evaluate && t.vars.iter().any(|v| program.var(*v).task == task.number)
    });
    let names = [DROPOUTS, BATCH_NORMS].concat();
    let noisy = net.applied(&names).find(|a| a.training && a.first() != a.node());
    let metric = net.step.reports.iter().find(|r| matches!(r.kind, ReportKind::Metric | ReportKind::Running));
    let (Some(noisy), Some(metric)) = (noisy.filter(|_| !measured), metric) else { return };
    let headline = format!("`{}` is only measured in training mode", metric.name);
    found.push(
        Diagnostic::warning(codes::METRIC_IN_TRAINING, metric.span, headline)
            .label(format!("`{}` works as in training here", noisy.name()))
            .also(data.span, "no samples are held out")
            .help("hold some out: `validate: 0.2`, or add an `evaluate` task"),
    );
}
