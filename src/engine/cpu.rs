//! The target `cpu`: graphs as machine code, in two blocks of memory (variables, and one arena for everything else).

use super::compiled::{Compiled, MOST_FIELDS, take_filled, within_fields};
use super::planned::within_budget;
pub use super::planned::{keeps_weights, plan_graph, task_vars};
use super::{Engine, Entry, EntryReport, StepInputs, VarTensor, bytes, outside};
use crate::check::{Program, Task};
use crate::diag::Diagnostic;
use crate::graph::{Graph, TensorType};
use crate::ops::{DType, VarId};
use crate::plan::{self, Plan, VarLayout};
use crate::runtime::arena::{Arena, VarMemory};
use crate::runtime::executable::{Executable, Fault, StepInputs as Given};
use crate::runtime::threads::Pool;
use crate::stages::{self, Times, timed};
use std::sync::Arc;

/// A task on the processor.
pub struct CpuEngine {
    program: Program,
    pub(super) task: Task,
    types: Vec<TensorType<usize>>,
    pub(super) layout: VarLayout,
    pub(super) vars: VarMemory,
    pub(super) arena: Arena,
    pub(super) pool: Arc<Pool>,
    compiled: Vec<Compiled<Executable>>,
    /// The one that ran last.
    last: Option<usize>,
}

impl CpuEngine {
    pub fn new(program: &Program, task: &Task, threads: usize) -> Result<CpuEngine, Box<Diagnostic>> {
        let types = task_vars(program, task)?;
        let layout = plan::var_layout(&types);
        Ok(CpuEngine {
            program: program.clone(),
            task: task.clone(),
            vars: VarMemory::new(&layout),
            arena: Arena::new(0),
            pool: Arc::new(Pool::new(threads.max(1))),
            types,
            layout,
            compiled: Vec::new(),
            last: None,
        })
    }

    pub(super) fn within_budget(&self, plan: &Plan) -> Result<(), Box<Diagnostic>> {
        within_budget(&self.task, self.vars.bytes(), plan)
    }

    /// The place of what is compiled for these sizes; compiles it if it is not there.
    fn ready(&mut self, entry: Entry, batch: usize, lengths: Option<&[usize]>) -> Result<usize, Box<Diagnostic>> {
        // Where no size differs from batch to batch there are no lengths to tell.
        let lengths = lengths.filter(|l| !l.is_empty());
        if let Some(i) = self.compiled.iter().position(|c| c.is_of(entry, batch, lengths)) {
            return Ok(i);
        }
        within_fields(&self.task)?;
        let mut report = EntryReport::default();
        let graph = stages::step_graph_of(&self.task, entry, batch, lengths.unwrap_or(&[]), &mut report.stages)?;
        self.add((entry, batch, lengths), &graph, report)
    }

    /// Compiles a step's graph; gives its place.
    fn add(
        &mut self,
        of: (Entry, usize, Option<&[usize]>),
        graph: &Graph<usize>,
        mut report: EntryReport,
    ) -> Result<usize, Box<Diagnostic>> {
        let (plan, executable) = self.compile(graph, &mut report.stages)?;
        self.within_budget(&plan)?;
        report.constant_bytes = executable.own_memory().constants;
        self.compiled.push(Compiled::new(of, (graph, &plan), executable, report));
        Ok(self.compiled.len() - 1)
    }

    /// Makes room for the variables that an extension keeps, after the program's own.
    fn keep(&mut self, kept: Vec<TensorType<usize>>) {
        let own = self.program.vars.len();
        if self.types[own..] != kept[..] {
            // What was compiled for other sizes would read them in the wrong places.
            self.compiled.retain(|c| !matches!(c.entry, Entry::Extend(_)));
            self.types.truncate(own);
            self.types.extend(kept);
            self.layout = plan::var_layout(&self.types);
            let mut vars = VarMemory::new(&self.layout);
            vars.copy_from(&self.vars);
            self.vars = vars;
        }
    }

    pub(super) fn compile(
        &mut self,
        graph: &Graph<usize>,
        times: &mut Times,
    ) -> Result<(Plan, Executable), Box<Diagnostic>> {
        let plan = plan_graph(graph, &self.layout, self.pool.threads(), keeps_weights(&self.task), times)?;
        let executable = timed(times, "machine code", || Executable::load(&plan, &self.layout, self.pool.clone()))?;
        if plan.arena_bytes > self.arena.bytes() {
            self.arena = Arena::new(plan.arena_bytes);
        }
        self.pool.wait_for_workers();
        Ok((plan, executable))
    }
}

impl CpuEngine {
    /// Computes the indices of a step again, and says which one lies outside its axis.
    fn index_outside(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Option<Diagnostic> {
        let graph = stages::step_graph_of(&self.task, entry, batch, inputs.lengths, &mut Vec::new()).ok()?;
        let (indices, bounds) = outside::indices(&graph)?;
        let (_, mut executable) = self.compile(&indices, &mut Vec::new()).ok()?;
        let (slots, count) = slices(inputs);
        executable.run(&mut self.vars, &mut self.arena, &given(inputs, &slots[..count])).ok()?;
        bounds.iter().find_map(|bound| {
            let node = indices.outputs.get(bound.result as usize)?.node;
            let values = bytes::to_f64(indices.ty(node).dtype, executable.value(&self.arena, bound.result)?);
            let index = outside::first_outside(&values, bound.size)?;
            Some(outside::fault(format!("index {index} is outside 0..{}", bound.size), bound.origin, &graph.scopes))
        })
    }
}

pub(super) fn given<'a>(inputs: &StepInputs<'a>, fields: &'a [&'a [u8]]) -> Given<'a> {
    Given { fields, clock: inputs.clock, seed: inputs.seed }
}

/// The fields as slices, without allocating.
pub(super) fn slices<'a>(inputs: &StepInputs<'a>) -> ([&'a [u8]; MOST_FIELDS], usize) {
    let mut slots: [&[u8]; MOST_FIELDS] = [&[]; MOST_FIELDS];
    let count = inputs.fields.len().min(MOST_FIELDS);
    for (slot, field) in slots.iter_mut().zip(inputs.fields) {
        *slot = field;
    }
    (slots, count)
}

impl Engine for CpuEngine {
    fn prepare(&mut self, entry: Entry, batch: usize) -> Result<&EntryReport, Box<Diagnostic>> {
        let i = self.ready(entry, batch, None)?;
        Ok(&self.compiled[i].report)
    }

    fn extend(&mut self, count: usize, batch: usize, lengths: &[usize]) -> Result<bool, Box<Diagnostic>> {
        let entry = Entry::Extend(count as u32);
        if self.compiled.iter().any(|c| c.is_of(entry, batch, Some(lengths))) {
            return Ok(true);
        }
        if self.task.fields.len() >= MOST_FIELDS {
            return Ok(false);
        }
        let mut report = EntryReport::default();
        let first = self.program.vars.len() as u32;
        let found = stages::extension(&self.task, count, batch, lengths, first, &mut report.stages)?;
        let Some(found) = found else { return Ok(false) };
        self.keep(found.kept);
        self.add((entry, batch, Some(lengths)), &found.graph, report)?;
        Ok(true)
    }

    fn initialise(&mut self, seed: u64) -> Result<(), Box<Diagnostic>> {
        let mut graph = stages::init_graph(&self.program, &self.task)?;
        let filled = take_filled(&mut graph);
        if !graph.outputs.is_empty() {
            let graph = crate::opt::dce(graph);
            let (_, mut executable) = self.compile(&graph, &mut Vec::new())?;
            executable.run(&mut self.vars, &mut self.arena, &Given { seed, ..Given::default() })?;
        }
        for (var, value) in filled {
            let ty = &self.types[var.0 as usize];
            let one = bytes::from_f64(ty.dtype, std::iter::once(value));
            if let Some(room) = self.vars.write(var, ty.bytes()) {
                room.chunks_exact_mut(one.len()).for_each(|c| c.copy_from_slice(&one));
            }
        }
        Ok(())
    }

    fn run(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Result<(), Box<Diagnostic>> {
        let i = self.ready(entry, batch, Some(inputs.lengths))?;
        let (slots, count) = slices(inputs);
        self.last = Some(i);
        let compiled = &mut self.compiled[i];
        compiled.executable.run(&mut self.vars, &mut self.arena, &given(inputs, &slots[..count]))
    }

    fn scalar(&self, position: usize) -> f64 {
        let compiled = self.last.and_then(|i| self.compiled.get(i));
        compiled.and_then(|c| c.executable.scalar(&self.arena, position as u32)).unwrap_or(f64::NAN)
    }

    fn value(&self, position: usize) -> VarTensor {
        let compiled = self.last.and_then(|i| self.compiled.get(i));
        let found = compiled.and_then(|c| {
            let bytes = c.executable.value(&self.arena, position as u32)?.to_vec();
            let ty = c.values.get(position)?;
            Some(VarTensor { dtype: ty.dtype, shape: ty.shape.clone(), bytes })
        });
        found.unwrap_or(VarTensor { dtype: DType::F32, shape: vec![0], bytes: Vec::new() })
    }

    fn explain_not_finite(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Option<Diagnostic> {
        let (slots, count) = slices(inputs);
        let before = self.vars.clone();
        let i = self.ready(entry, batch, Some(inputs.lengths)).ok()?;
        let compiled = &mut self.compiled[i];
        let given = given(inputs, &slots[..count]);
        let found = compiled.executable.run_checked(&mut self.vars, &mut self.arena, &given);
        self.vars.copy_from(&before);
        let found = found.ok()??;
        let value = match found.what {
            Fault::Nan => f64::NAN,
            Fault::Infinity => f64::INFINITY,
            Fault::MinusInfinity => f64::NEG_INFINITY,
        };
        let general = super::not_finite(found.origin, &compiled.scopes, value);
        if !value.is_nan() {
            return Some(general);
        }
        Some(self.index_outside(entry, batch, inputs).unwrap_or(general))
    }

    fn var(&self, id: VarId) -> VarTensor {
        let ty = &self.types[id.0 as usize];
        let bytes = self.vars.read(id, ty.bytes()).map_or_else(Vec::new, <[u8]>::to_vec);
        VarTensor { dtype: ty.dtype, shape: ty.shape.clone(), bytes }
    }

    fn set_var(&mut self, id: VarId, value: &VarTensor) {
        let len = self.types[id.0 as usize].bytes();
        if let Some(room) = self.vars.write(id, len)
            && room.len() == value.bytes.len()
        {
            room.copy_from_slice(&value.bytes);
        }
    }

    fn var_bytes(&self) -> usize {
        self.vars.bytes()
    }

    fn arena_bytes(&self) -> usize {
        self.arena.bytes()
    }
}
