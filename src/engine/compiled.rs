//! What engines that compile keep of an entry, whatever runs it, and what they share in making it.

use super::{Entry, EntryReport};
use crate::check::Task;
use crate::diag::{Diagnostic, codes};
use crate::graph::{Graph, OutputKind, TensorType};
use crate::ops::VarId;
use crate::plan::Plan;
use crate::stages;

/// More fields than a step can take.
pub(super) const MOST_FIELDS: usize = 32;

/// One entry, compiled.
pub(super) struct Compiled<E> {
    pub entry: Entry,
    pub batch: usize,
    /// None for those that [`Engine::prepare`](super::Engine::prepare) takes.
    pub lengths: Option<Vec<usize>>,
    pub executable: E,
    pub report: EntryReport,
    /// Types of the results.
    pub values: Vec<TensorType<usize>>,
    pub scopes: Vec<String>,
}

impl<E> Compiled<E> {
    /// What runs a graph by a plan; the report has the times of the stages already.
    pub fn new(
        (entry, batch, lengths): (Entry, usize, Option<&[usize]>),
        (graph, plan): (&Graph<usize>, &Plan),
        executable: E,
        mut report: EntryReport,
    ) -> Compiled<E> {
        report.flops = stages::flops(graph);
        report.kernels = plan.schedule.kernels.len();
        report.launches = plan.schedule.launches.len();
        report.arena_bytes = plan.arena_bytes;
        report.lower_bound = plan.lower_bound;
        report.kept_bytes = plan.kept_bytes;
        let mut values: Vec<(u32, TensorType<usize>)> = graph
            .outputs
            .iter()
            .filter_map(|o| match o.kind {
                OutputKind::Value(i) => Some((i, graph.ty(o.node).clone())),
                OutputKind::Update(_) => None,
            })
            .collect();
        values.sort_by_key(|v| v.0);
        let values = values.into_iter().map(|v| v.1).collect();
        let scopes = graph.scopes.clone();
        Compiled { entry, batch, lengths: lengths.map(<[usize]>::to_vec), executable, report, values, scopes }
    }

    pub fn is_of(&self, entry: Entry, batch: usize, lengths: Option<&[usize]>) -> bool {
        self.entry == entry && self.batch == batch && self.lengths.as_deref() == lengths
    }
}

/// # Errors
/// A step that takes more fields than it can.
pub(super) fn within_fields(task: &Task) -> Result<(), Box<Diagnostic>> {
    if task.fields.len() > MOST_FIELDS {
        let headline = format!("a step can take at most {MOST_FIELDS} fields");
        return Err(Box::new(Diagnostic::error(codes::TARGET, task.span, headline)));
    }
    Ok(())
}

/// Takes the variables that start as one number out of the graph of first values: they need no code.
pub(super) fn take_filled(graph: &mut Graph<usize>) -> Vec<(VarId, f64)> {
    let mut filled = Vec::new();
    for output in &graph.outputs {
        if let (OutputKind::Update(var), Some(value)) = (output.kind, graph.uniform_value(output.node)) {
            filled.push((var, value));
        }
    }
    graph.outputs.retain(|o| !filled.iter().any(|(var, _)| o.kind == OutputKind::Update(*var)));
    filled
}
