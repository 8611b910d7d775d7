//! What the target `cpu` will take, before any machine code: the layout of variables, plans of entries, and whether they fit
//! into a task's `budget`.

use super::Entry;
use crate::build::Sizes;
use crate::check::{Program, Task};
use crate::diag::{Diagnostic, codes};
use crate::graph::{Graph, TensorType};
use crate::ops::VarId;
use crate::plan::{self, Plan, VarLayout};
use crate::runtime::Workspaces;
use crate::stages::{self, Times, timed};

/// The types of a task's variables, by number; those of other tasks take no room.
pub fn task_vars(program: &Program, task: &Task) -> Result<Vec<TensorType<usize>>, Box<Diagnostic>> {
    let sizes = Sizes::of(task, 1);
    let mut types = Vec::new();
    for (i, var) in program.vars.iter().enumerate() {
        types.push(match task.vars.contains(&VarId(i as u32)) {
            true => sizes.ty(&var.ty, var.span)?,
            false => TensorType::new(var.ty.dtype, vec![0]),
        });
    }
    Ok(types)
}

/// Plans the entries of a task that declares a `budget`, as the engine would, and compares; quick for others.
///
/// # Errors
/// The first plan that needs more, or a step that cannot be planned.
pub fn check_budget(program: &Program, task: &Task, threads: usize) -> Result<(), Box<Diagnostic>> {
    if task.settings.budget.is_none() {
        return Ok(());
    }
    let layout = plan::var_layout(&task_vars(program, task)?);
    let entries: &[Entry] = if task.train.is_some() { &[Entry::Train, Entry::Eval] } else { &[Entry::Eval] };
    for entry in entries {
        let batch = task.settings.batch.unwrap_or(0);
        let graph = stages::step_graph(task, *entry, batch, &mut Vec::new())?;
        let plan = plan_graph(&graph, &layout, threads, keeps_weights(task), &mut Vec::new())?;
        within_budget(task, layout.bytes, &plan)?;
    }
    Ok(())
}

/// A plan that needs more than the task's `budget` is an error that names the largest tensors.
pub(super) fn within_budget(task: &Task, vars_bytes: usize, plan: &Plan) -> Result<(), Box<Diagnostic>> {
    let Some((budget, span)) = task.settings.budget else { return Ok(()) };
    let needed = (vars_bytes + plan.arena_bytes + plan.kept_bytes) as u64;
    if needed <= budget {
        return Ok(());
    }
    let size = |bytes: u64| plan::report::size(bytes as usize);
    let mut fault = Diagnostic::error(
        codes::BUDGET,
        span,
        format!("a step needs {}, more than the budget of {}", size(needed), size(budget)),
    )
    .label("the budget")
    .note(format!("{} of variables and {} of arena", size(vars_bytes as u64), size(plan.arena_bytes as u64)));
    let mut buffers: Vec<&plan::Buffer> = plan.schedule.buffers.iter().collect();
    buffers.sort_by_key(|b| std::cmp::Reverse(b.bytes()));
    let mut places = vec![span];
    for buffer in buffers.iter().take(12) {
        if places.len() < 4 && !places.contains(&buffer.origin.span) {
            places.push(buffer.origin.span);
            let text = format!("{} for {} {:?}", size(buffer.bytes() as u64), buffer.dtype, buffer.shape);
            fault = fault.also(buffer.origin.span, text);
        }
    }
    Err(Box::new(fault.help("a smaller batch or a narrower net needs less; `nnc plan` lists every tensor")))
}

/// Whether weights are packed once and kept: not beside a training that changes them all the time.
pub fn keeps_weights(task: &Task) -> bool {
    task.train.is_none()
}

/// A graph's schedule with a place for every buffer; `keep` as [`keeps_weights`] says.
pub fn plan_graph(
    graph: &Graph<usize>,
    layout: &VarLayout,
    threads: usize,
    keep: bool,
    times: &mut Times,
) -> Result<Plan, Box<Diagnostic>> {
    let schedule = timed(times, "fuse and lower", || plan::lower(graph)).map_err(|fault| {
        Box::new(
            Diagnostic::error(codes::TARGET, fault.origin.span, "the target cpu cannot compute this yet")
                .label(fault.message)
                .help("`--target interpreter` can"),
        )
    })?;
    let plan = timed(times, "plan", || plan::plan(schedule, layout, &Workspaces { threads, keep }));
    if cfg!(debug_assertions)
        && let Err(broken) = plan::verify(&plan)
    {
        panic!("a broken plan: {broken}");
    }
    Ok(plan)
}

/// An entry's plan on the target `cpu`.
pub fn plan_entry(
    program: &Program,
    task: &Task,
    entry: Entry,
    batch: usize,
    threads: usize,
) -> Result<Plan, Box<Diagnostic>> {
    let layout = plan::var_layout(&task_vars(program, task)?);
    let graph = stages::step_graph(task, entry, batch, &mut Vec::new())?;
    plan_graph(&graph, &layout, threads, keeps_weights(task), &mut Vec::new())
}
