//! The layers of a program with what they give, hold and cost: the rows of `nnc summary`.

use super::costs::forward_flops;
use super::hover::below;
use super::show::elements;
use crate::check::{LayerRow, Program, Task, VarKind};
use crate::ops::VarId;

/// The layers of one task, or of a model that no task uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub name: String,
    /// A task, whose sizes and variables are its own.
    pub task: bool,
    pub rows: Vec<SummaryRow>,
    /// Numbers in variables and their bytes, by kind: parameters, state, the optimizer's state. None where a size has no number.
    pub totals: Vec<(VarKind, Option<u64>, Option<u64>)>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Its path; the model's name for a model itself.
    pub path: String,
    /// How many layers of the table it is in.
    pub depth: usize,
    pub layer: String,
    /// The types that it gives.
    pub output: Vec<String>,
    /// Numbers in its parameters and those below it; none for a model, or where a size has no number.
    pub parameters: Option<u64>,
    /// Operations of a sample, of it and what is below it; none for a model, or where a size has no number.
    pub flops: Option<u64>,
}

/// Every task, then every model that no task uses.
pub fn summaries(program: &Program) -> Vec<Summary> {
    let models = program.models.iter().map(|(name, rows)| Summary {
        name: name.clone(),
        task: false,
        rows: rows.iter().map(|row| line(name, rows, row)).collect(),
        totals: Vec::new(),
    });
    program.tasks.iter().map(|task| of_task(program, task)).chain(models).collect()
}

fn line(whole: &str, rows: &[LayerRow], row: &LayerRow) -> SummaryRow {
    SummaryRow {
        path: if row.path.is_empty() { whole.to_string() } else { row.path.clone() },
        depth: rows.iter().filter(|r| r.path != row.path && below(&r.path, &row.path)).count(),
        layer: row.layer.clone(),
        output: row.output.iter().map(ToString::to_string).collect(),
        parameters: None,
        flops: None,
    }
}

/// Numbers in a variable, if its sizes are numbers.
fn count(program: &Program, var: VarId) -> Option<u64> {
    u64::try_from(elements(&program.var(var).ty).number()?).ok()
}

fn of_task(program: &Program, task: &Task) -> Summary {
    let flops = forward_flops(task);
    let rows = task.layers.iter().map(|row| {
        // A layer counts what is below it.
        let inside = |path: &str| below(&row.path, path);
        let vars = task.vars.iter().filter(|v| program.var(**v).kind == VarKind::Param);
        let own = vars.filter(|v| inside(&program.var(**v).path)).map(|v| count(program, *v)).sum();
        let work = flops.as_ref().map(|all| all.iter().filter(|(scope, _)| inside(scope)).map(|(_, n)| n).sum());
        SummaryRow { parameters: own, flops: work, ..line("", &task.layers, row) }
    });
    let total = |kind| {
        let vars: Vec<_> = task.vars.iter().filter(|v| program.var(**v).kind == kind).collect();
        let values = vars.iter().map(|v| count(program, **v)).sum();
        let bytes = vars.iter().map(|v| Some(count(program, **v)? * program.var(**v).ty.dtype.bytes() as u64)).sum();
        (kind, values, bytes)
    };
    let totals = [VarKind::Param, VarKind::State, VarKind::OptimizerState].map(total).to_vec();
    Summary { name: task.name.clone(), task: true, rows: rows.collect(), totals }
}
