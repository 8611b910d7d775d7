//! A task's graphs taken through the stages that all targets share.

use crate::autodiff;
use crate::build::{self, Sizes};
use crate::check::{FieldFrom, FieldUse, Program, Task};
use crate::diag::{Diagnostic, codes};
use crate::engine::Entry;
use crate::graph::{Graph, OutputKind};
use crate::opt::incremental::{Incremental, Places};
use crate::{ops, opt};
use std::time::Instant;

/// Milliseconds by stage.
pub type Times = Vec<(&'static str, f64)>;

/// Runs a stage and notes its time, where there is a clock.
pub fn timed<T>(times: &mut Times, name: &'static str, stage: impl FnOnce() -> T) -> T {
    if cfg!(target_arch = "wasm32") {
        return stage();
    }
    let start = Instant::now();
    let result = stage();
    times.push((name, start.elapsed().as_secs_f64() * 1e3));
    result
}

/// An entry's graph with numbers for sizes and in the task's precision, before differentiation.
pub fn built_graph(task: &Task, entry: Entry, batch: usize) -> Result<Graph<usize>, Box<Diagnostic>> {
    built_graph_of(task, entry, batch, &[])
}

fn built_graph_of(task: &Task, entry: Entry, batch: usize, lengths: &[usize]) -> Result<Graph<usize>, Box<Diagnostic>> {
    let step = match (entry, &task.train) {
        (Entry::Train, Some(train)) => train,
        (Entry::Train, None) => {
            return Err(Box::new(
                Diagnostic::error(codes::USAGE, task.span, format!("the task `{}` does not train", task.name))
                    .help("only a `train` task has a training step"),
            ));
        }
        (Entry::Eval, _) => &task.eval,
        (Entry::Extend(_), _) => match task.generation.as_ref().and_then(|g| g.all.as_ref()) {
            Some(all) => all,
            None => {
                let what = format!("`{}` has no scores for each place", task.name);
                return Err(Box::new(Diagnostic::error(codes::USAGE, task.span, what)));
            }
        },
        (Entry::Once, _) => match task.generation.as_ref().and_then(|g| g.once.as_ref()) {
            Some(once) => once,
            None => {
                let what = format!("`{}` computes nothing once a prompt", task.name);
                return Err(Box::new(Diagnostic::error(codes::USAGE, task.span, what)));
            }
        },
    };
    let graph = build::build_step(step, &Sizes::with(task, batch, lengths))?;
    Ok(opt::precision::with_precision(graph, task.settings.precision.unwrap_or(ops::DType::F32)))
}

/// Expands gradients.
pub fn differentiated(graph: Graph<usize>) -> Result<Graph<usize>, Box<Diagnostic>> {
    autodiff::differentiate(graph).map_err(|fault| {
        Box::new(
            Diagnostic::error(codes::NO_GRADIENT, fault.origin.span, format!("`{}` has no gradient", fault.op))
                .label(fault.why)
                .help("`stop_gradient(x)` says that none is wanted"),
        )
    })
}

/// An entry's graph as it runs: differentiated and simplified.
pub fn step_graph(task: &Task, entry: Entry, batch: usize, times: &mut Times) -> Result<Graph<usize>, Box<Diagnostic>> {
    step_graph_of(task, entry, batch, &[], times)
}

/// [`step_graph`] for the sizes that differ from batch to batch, in the order of [`Task::varying`].
pub fn step_graph_of(
    task: &Task,
    entry: Entry,
    batch: usize,
    lengths: &[usize],
    times: &mut Times,
) -> Result<Graph<usize>, Box<Diagnostic>> {
    let graph = timed(times, "build", || built_graph_of(task, entry, batch, lengths))?;
    let graph = timed(times, "hoist", || opt::hoist(graph));
    let graph = timed(times, "differentiate", || differentiated(graph))?;
    Ok(timed(times, "simplify", || opt::optimise(graph)))
}

/// The step of a task that generates, for some new places of the growing field and with what it keeps of earlier ones in
/// variables from this number on; none if places depend on later ones.
pub fn extension(
    task: &Task,
    count: usize,
    batch: usize,
    lengths: &[usize],
    variable: u32,
    times: &mut Times,
) -> Result<Option<Incremental>, Box<Diagnostic>> {
    let Some(generation) = task.generation.as_ref().filter(|g| g.all.is_some()) else { return Ok(None) };
    let is_length = |f: &FieldUse| f.from == FieldFrom::Length(generation.output);
    let told: Vec<u32> = (0..).zip(&task.fields).filter(|(_, f)| is_length(f)).map(|(i, _)| i).collect();
    let entry = Entry::Extend(count as u32);
    let graph = timed(times, "build", || built_graph_of(task, entry, batch, lengths))?;
    let graph = timed(times, "differentiate", || differentiated(opt::hoist(graph)))?;
    let (growing, start) = (generation.output as u32, task.fields.len() as u32);
    let places = Places { growing, lengths: &told, start, count, variable };
    let found = timed(times, "new places", || opt::incremental::incremental(&opt::dce(graph), &places));
    Ok(timed(times, "simplify", || {
        found.map(|found| Incremental { graph: opt::optimise(found.graph), kept: found.kept })
    }))
}

/// The graph that gives the task's variables their first values.
pub fn init_graph(program: &Program, task: &Task) -> Result<Graph<usize>, Box<Diagnostic>> {
    let mut init = program.init.clone();
    init.outputs.retain(|o| matches!(o.kind, OutputKind::Update(v) if task.vars.contains(&v)));
    // Only what the task needs: another task's sizes may have no numbers.
    let mut needed = vec![false; init.nodes.len()];
    for output in &init.outputs {
        needed[output.node.index()] = true;
    }
    for i in (0..init.nodes.len()).rev() {
        if needed[i] {
            init.nodes[i].inputs.clone().iter().for_each(|n| needed[n.index()] = true);
        }
    }
    let mut place = vec![crate::graph::NodeId(0); init.nodes.len()];
    let mut nodes = Vec::new();
    for (i, mut node) in init.nodes.into_iter().enumerate() {
        if needed[i] {
            node.inputs.iter_mut().for_each(|n| *n = place[n.index()]);
            place[i] = crate::graph::NodeId(nodes.len() as u32);
            nodes.push(node);
        }
    }
    init.outputs.iter_mut().for_each(|o| o.node = place[o.node.index()]);
    let init = Graph { nodes, outputs: init.outputs, scopes: init.scopes };
    Ok(opt::optimise(build::build(&init, &Sizes::of(task, 1))?))
}

/// Floating-point operations of one execution.
pub fn flops(graph: &Graph<usize>) -> u64 {
    graph
        .nodes
        .iter()
        .map(|node| {
            let inputs: Vec<_> = node.inputs.iter().map(|i| graph.ty(*i).clone()).collect();
            (ops::def_of(&node.op).flops)(&node.op, &inputs, &node.ty)
        })
        .sum()
}
