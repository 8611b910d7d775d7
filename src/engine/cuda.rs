//! The target `cuda`: graphs as kernels on an NVIDIA GPU, a step one CUDA graph over two blocks of device memory (variables, and one
//! arena for everything else).
//!
//! A step is begun and not waited for; whoever asks for a result or a variable waits. A failure of the device that shows only then is
//! told by the next step.

use super::compiled::{Compiled, MOST_FIELDS, take_filled, within_fields};
use super::cpu::{given, slices};
use super::planned::{task_vars, within_budget};
use super::{Engine, Entry, EntryReport, StepInputs, VarTensor, bytes, outside};
use crate::check::{Program, Task};
use crate::diag::{Diagnostic, codes};
use crate::graph::{Graph, TensorType};
use crate::ops::{DType, VarId};
use crate::plan::{self, Plan, VarLayout};
use crate::runtime::cuda::compile::Compiler;
use crate::runtime::cuda::device::{Device, Memory};
use crate::runtime::cuda::step::{Fault, Step};
use crate::runtime::cuda::work::Workspaces;
use crate::runtime::executable::StepInputs as Given;
use crate::runtime::mode::Mode;
use crate::stages::{self, Times, timed};
use std::cell::RefCell;
use std::sync::Arc;

/// A task on a GPU.
pub struct CudaEngine {
    program: Program,
    task: Task,
    types: Vec<TensorType<usize>>,
    layout: VarLayout,
    // Steps go before the memory that they run over.
    compiled: Vec<Compiled<Step>>,
    vars: Memory,
    arena: Memory,
    device: Arc<Device>,
    compiler: Compiler,
    mode: Mode,
    /// The one that ran last.
    last: Option<usize>,
    /// A failure that showed when a result was asked for.
    late: RefCell<Option<String>>,
}

/// A failure of the device or of what it needs.
fn failure(message: String) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::placeless(codes::TARGET, "the target cuda does not work here")
            .note(message)
            .help("`nnc doctor` says what was found; `--target cpu` needs no GPU"),
    )
}

/// A failure of a step that was begun before.
fn stopped(message: String) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::placeless(codes::TARGET, "a step on the target cuda failed")
            .note(message)
            .help("run it again with `--checked`, which names the line that fails"),
    )
}

fn fault(fault: Fault) -> Box<Diagnostic> {
    match fault.origin {
        None => failure(fault.message),
        Some(origin) => Box::new(
            Diagnostic::error(codes::TARGET, origin.span, "the target cuda fails here")
                .label(fault.message)
                .help("`--target cpu` can compute this"),
        ),
    }
}

/// A graph's plan for a GPU.
///
/// # Errors
/// What cannot be computed there.
pub fn plan_for_cuda(graph: &Graph<usize>, layout: &VarLayout, times: &mut Times) -> Result<Plan, Box<Diagnostic>> {
    let schedule = timed(times, "fuse and lower", || plan::lower(graph)).map_err(|fault| {
        Box::new(
            Diagnostic::error(codes::TARGET, fault.origin.span, "the target cuda cannot compute this yet")
                .label(fault.message)
                .help("`--target interpreter` can"),
        )
    })?;
    Ok(timed(times, "plan", || plan::plan(schedule, layout, &Workspaces)))
}

impl CudaEngine {
    /// # Errors
    /// One sentence: what of a driver, a compiler, a GPU and its memory is missing.
    pub fn new(program: &Program, task: &Task) -> Result<CudaEngine, Box<Diagnostic>> {
        let types = task_vars(program, task)?;
        let layout = plan::var_layout(&types);
        let device = Device::open().map_err(failure)?;
        let compiler = Compiler::open().map_err(failure)?;
        Ok(CudaEngine {
            program: program.clone(),
            task: task.clone(),
            compiled: Vec::new(),
            vars: Memory::new(&device, layout.bytes, "the state").map_err(failure)?,
            arena: Memory::new(&device, 0, "the arena").map_err(failure)?,
            device,
            compiler,
            types,
            layout,
            mode: Mode::from_environment(),
            last: None,
            late: RefCell::new(None),
        })
    }

    fn compile(&mut self, graph: &Graph<usize>, times: &mut Times) -> Result<(Plan, Step), Box<Diagnostic>> {
        let plan = plan_for_cuda(graph, &self.layout, times)?;
        let step = timed(times, "machine code", || Step::load(&plan, &self.layout, &self.device, &self.compiler));
        let mut step = step.map_err(fault)?;
        step.mode = self.mode;
        if plan.arena_bytes > self.arena.len() {
            // The old one goes first: there may not be room for both.
            self.arena = Memory::new(&self.device, 0, "the arena").map_err(failure)?;
            self.arena = Memory::new(&self.device, plan.arena_bytes, "the arena").map_err(failure)?;
        }
        Ok((plan, step))
    }

    /// The place of what is compiled for these sizes; compiles it if it is not there.
    fn ready(&mut self, entry: Entry, batch: usize, lengths: Option<&[usize]>) -> Result<usize, Box<Diagnostic>> {
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
        let (plan, step) = self.compile(graph, &mut report.stages)?;
        within_budget(&self.task, self.vars.len(), &plan)?;
        let (launches, kernels, constants) = step.counts();
        let mut compiled = Compiled::new(of, (graph, &plan), step, report);
        let counts =
            EntryReport { launches, kernels, constant_bytes: constants, ..std::mem::take(&mut compiled.report) };
        compiled.report = counts;
        self.compiled.push(compiled);
        Ok(self.compiled.len() - 1)
    }

    /// Makes room for the variables that an extension keeps, after the program's own.
    fn keep(&mut self, kept: Vec<TensorType<usize>>) -> Result<(), Box<Diagnostic>> {
        let own = self.program.vars.len();
        if self.types[own..] == kept[..] {
            return Ok(());
        }
        // What was compiled for other sizes would read them in the wrong places.
        self.compiled.retain(|c| !matches!(c.entry, Entry::Extend(_)));
        self.last = None;
        self.types.truncate(own);
        self.types.extend(kept);
        self.layout = plan::var_layout(&self.types);
        let vars = Memory::new(&self.device, self.layout.bytes, "the state").map_err(failure)?;
        vars.copy_from(&self.vars).map_err(failure)?;
        self.vars = vars;
        Ok(())
    }

    /// Keeps a failure for the next step, whose result can tell it.
    fn later<T>(&self, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| *self.late.borrow_mut() = Some(why)).ok()
    }

    /// Computes the indices of a step again, and says which one lies outside its axis.
    fn index_outside(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Option<Diagnostic> {
        let graph = stages::step_graph_of(&self.task, entry, batch, inputs.lengths, &mut Vec::new()).ok()?;
        let (indices, bounds) = outside::indices(&graph)?;
        let (_, mut step) = self.compile(&indices, &mut Vec::new()).ok()?;
        let (slots, count) = slices(inputs);
        step.run(&self.vars, &self.arena, &given(inputs, &slots[..count])).ok()?;
        bounds.iter().find_map(|bound| {
            let (found, dtype) = step.value(&self.arena, bound.result).ok()??;
            let index = outside::first_outside(&bytes::to_f64(dtype, &found), bound.size)?;
            Some(outside::fault(format!("index {index} is outside 0..{}", bound.size), bound.origin, &graph.scopes))
        })
    }
}

impl Engine for CudaEngine {
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
        self.keep(found.kept)?;
        self.add((entry, batch, Some(lengths)), &found.graph, report)?;
        Ok(true)
    }

    fn launch_as(&mut self, mode: Mode) -> bool {
        self.mode = mode;
        true
    }

    fn initialise(&mut self, seed: u64) -> Result<(), Box<Diagnostic>> {
        let mut graph = stages::init_graph(&self.program, &self.task)?;
        let filled = take_filled(&mut graph);
        if !graph.outputs.is_empty() {
            let graph = crate::opt::dce(graph);
            let (_, mut step) = self.compile(&graph, &mut Vec::new())?;
            step.run(&self.vars, &self.arena, &Given { seed, ..Given::default() }).map_err(fault)?;
            self.device.wait().map_err(failure)?;
        }
        for (var, value) in filled {
            let ty = &self.types[var.0 as usize];
            let all = bytes::from_f64(ty.dtype, std::iter::repeat_n(value, ty.elements()));
            if let Some(&at) = self.layout.offsets.get(var.0 as usize) {
                self.vars.write(at, &all).map_err(failure)?;
            }
        }
        Ok(())
    }

    fn run(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Result<(), Box<Diagnostic>> {
        if let Some(why) = self.late.take() {
            return Err(stopped(why));
        }
        let i = self.ready(entry, batch, Some(inputs.lengths))?;
        let (slots, count) = slices(inputs);
        self.last = Some(i);
        self.compiled[i].executable.run(&self.vars, &self.arena, &given(inputs, &slots[..count])).map_err(fault)
    }

    fn finish(&mut self) -> Result<(), Box<Diagnostic>> {
        match self.late.take() {
            Some(why) => Err(stopped(why)),
            None => self.device.wait().map_err(stopped),
        }
    }

    fn scalar(&self, position: usize) -> f64 {
        let compiled = self.last.and_then(|i| self.compiled.get(i));
        let found = compiled.and_then(|c| self.later(c.executable.value(&self.arena, position as u32)));
        let first =
            |(bytes, dtype): (Vec<u8>, DType)| bytes::to_f64(dtype, bytes.get(..dtype.bytes())?).first().copied();
        found.flatten().and_then(first).unwrap_or(f64::NAN)
    }

    fn value(&self, position: usize) -> VarTensor {
        let compiled = self.last.and_then(|i| self.compiled.get(i));
        let found = compiled.and_then(|c| {
            let (bytes, _) = self.later(c.executable.value(&self.arena, position as u32))??;
            let ty = c.values.get(position)?;
            Some(VarTensor { dtype: ty.dtype, shape: ty.shape.clone(), bytes })
        });
        found.unwrap_or(VarTensor { dtype: DType::F32, shape: vec![0], bytes: Vec::new() })
    }

    fn explain_not_finite(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Option<Diagnostic> {
        let (slots, count) = slices(inputs);
        let mut before = vec![0; self.vars.len()];
        self.vars.read(0, &mut before).ok()?;
        let i = self.ready(entry, batch, Some(inputs.lengths)).ok()?;
        let given = given(inputs, &slots[..count]);
        let compiled = &mut self.compiled[i];
        let found = compiled.executable.run_checked(&self.vars, &self.arena, &given);
        let restored = self.vars.write(0, &before);
        self.later(restored)?;
        let found = found.ok()??;
        let general = super::not_finite(found.origin, &self.compiled[i].scopes, found.value);
        if !found.value.is_nan() {
            return Some(general);
        }
        Some(self.index_outside(entry, batch, inputs).unwrap_or(general))
    }

    fn var(&self, id: VarId) -> VarTensor {
        let ty = &self.types[id.0 as usize];
        let mut bytes = vec![0; ty.bytes()];
        if let Some(&at) = self.layout.offsets.get(id.0 as usize) {
            self.later(self.vars.read(at, &mut bytes));
        }
        VarTensor { dtype: ty.dtype, shape: ty.shape.clone(), bytes }
    }

    fn set_var(&mut self, id: VarId, value: &VarTensor) {
        let len = self.types[id.0 as usize].bytes();
        if let Some(&at) = self.layout.offsets.get(id.0 as usize)
            && len == value.bytes.len()
        {
            self.later(self.vars.write(at, &value.bytes));
        }
    }

    fn var_bytes(&self) -> usize {
        self.vars.len()
    }

    fn arena_bytes(&self) -> usize {
        self.arena.len()
    }
}
