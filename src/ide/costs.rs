//! What tasks cost: operations of a sample and the memory of a step. Takes longer than a keystroke, so it is asked for apart.

use super::facts::look;
use super::hover::below;
use super::{Input, Syntax};
use crate::build::{self, Sizes};
use crate::check::{Cancelled, Task};
use crate::engine::Entry;
use crate::engine::planned::plan_entry;
use crate::ops;
use std::collections::BTreeMap;

/// The costs of every task that can run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs {
    pub tasks: Vec<TaskCosts>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskCosts {
    pub name: String,
    /// Floating-point operations of the forward pass of one sample, by the path of the instance.
    pub flops: BTreeMap<String, u64>,
    /// Bytes of the variables and the arena of a step, on the target `cpu`.
    pub peak: Option<u64>,
}

impl TaskCosts {
    /// The operations of an instance with what is below it; none if sizes are not known.
    pub fn flops_below(&self, path: &str) -> Option<u64> {
        if self.flops.is_empty() {
            return None;
        }
        Some(self.flops.iter().filter(|(p, _)| below(path, p)).map(|(_, n)| n).sum())
    }
}

/// Works out the costs. `threads` is what a step is cut for.
pub fn costs(input: &Input, syntax: &Syntax, threads: usize) -> Costs {
    let (program, _) = look(input, syntax, None);
    let mut tasks = Vec::new();
    for task in program.tasks.iter().filter(|t| t.whole) {
        if input.cancelled.is_some_and(|c| c()) {
            std::panic::resume_unwind(Box::new(Cancelled));
        }
        let entry = if task.train.is_some() { Entry::Train } else { Entry::Eval };
        let batch = task.settings.batch.unwrap_or(0);
        let plan = plan_entry(&program, task, entry, batch, threads).ok();
        let vars = task.vars.iter().map(|v| &program.var(*v).ty);
        let bytes: Option<u64> =
            vars.map(|ty| Some(super::show::elements(ty).number()? as u64 * ty.dtype.bytes() as u64)).sum();
        let peak = plan.map(|p| (p.arena_bytes + p.kept_bytes) as u64).zip(bytes).map(|(a, b)| a + b);
        tasks.push(TaskCosts { name: task.name.clone(), flops: forward_flops(task).unwrap_or_default(), peak });
    }
    Costs { tasks }
}

/// Floating-point operations of the forward pass of one sample, by the path of the instance; none if a size has no
/// number.
pub fn forward_flops(task: &Task) -> Option<BTreeMap<String, u64>> {
    let graph = build::build(&task.eval.graph, &Sizes::of(task, 1)).ok()?;
    let mut all = BTreeMap::new();
    for node in &graph.nodes {
        let inputs: Vec<_> = node.inputs.iter().map(|i| graph.ty(*i).clone()).collect();
        let work = (ops::def_of(&node.op).flops)(&node.op, &inputs, &node.ty);
        let scope = graph.scopes.get(node.origin.scope as usize).cloned().unwrap_or_default();
        *all.entry(scope).or_insert(0) += work;
    }
    Some(all)
}
