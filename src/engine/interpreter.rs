//! The target `interpreter`: graphs run operation by operation in f64.

use super::{ClockValues, Engine, Entry, EntryReport, StepInputs, VarTensor};
use crate::build::{self, Sizes};
use crate::check::{Program, Task};
use crate::diag::{Diagnostic, codes};
use crate::engine::bytes;
use crate::graph::{Graph, Origin, OutputKind, TensorType};
use crate::interpreter::{Inputs, Interpreter, Tensor, tensor};
use crate::ops::{DType, VarId};
use crate::stages;
use std::collections::BTreeMap;

/// An entry, the batch size, and the sizes that differ from batch to batch.
type Variant = (Entry, usize, Vec<usize>);

/// A task on the interpreter.
pub struct InterpreterEngine {
    program: Program,
    task: Task,
    types: Vec<TensorType<usize>>,
    vars: BTreeMap<VarId, Tensor>,
    prepared: BTreeMap<Variant, (Graph<usize>, EntryReport)>,
    values: Vec<(Tensor, DType)>,
}

impl InterpreterEngine {
    pub fn new(program: &Program, task: &Task) -> Result<InterpreterEngine, Box<Diagnostic>> {
        let types = build::var_types(program, &Sizes::of(task, 1))?;
        Ok(InterpreterEngine {
            program: program.clone(),
            task: task.clone(),
            types,
            vars: BTreeMap::new(),
            prepared: BTreeMap::new(),
            values: Vec::new(),
        })
    }

    fn inputs(&self, batch: usize, inputs: &StepInputs) -> Inputs {
        let mut fields = Vec::new();
        for (field, bytes) in self.task.fields.iter().zip(inputs.fields) {
            let mut shape: Vec<usize> = if self.task.batch.is_some() { vec![batch] } else { Vec::new() };
            let sizes = Sizes::with(&self.task, batch, inputs.lengths);
            shape.extend(field.shape.iter().map(|d| sizes.number(d).unwrap_or(0) as usize));
            let elements = bytes::to_f64(field.dtype, bytes);
            fields.push(tensor(&shape, elements).unwrap_or_default());
        }
        Inputs { vars: self.vars.clone(), fields, clock: clock(inputs.clock), key: key(inputs.seed, inputs.clock.step) }
    }

    fn ready(
        &mut self,
        entry: Entry,
        batch: usize,
        lengths: &[usize],
    ) -> Result<&(Graph<usize>, EntryReport), Box<Diagnostic>> {
        let key = (entry, batch, lengths.to_vec());
        if !self.prepared.contains_key(&key) {
            let mut report = EntryReport::default();
            let graph = stages::step_graph_of(&self.task, entry, batch, lengths, &mut report.stages)?;
            report.launches = graph.nodes.len();
            report.flops = stages::flops(&graph);
            self.prepared.insert(key.clone(), (graph, report));
        }
        Ok(&self.prepared[&key])
    }

    fn fault(message: String, origin: Origin) -> Box<Diagnostic> {
        if message.starts_with("index ") {
            return Box::new(super::outside::fault(message, origin, &[]));
        }
        Box::new(Diagnostic::error(codes::INTERNAL, origin.span, "the interpreter cannot run this").note(message))
    }
}

fn clock(clock: ClockValues) -> [f64; 4] {
    [clock.step as f64, clock.epoch as f64, clock.steps as f64, clock.epoch_steps as f64]
}

/// The key of a step's draws.
fn key(seed: u64, step: u64) -> [u32; 4] {
    [seed as u32, (seed >> 32) as u32, step as u32, (step >> 32) as u32]
}

impl Engine for InterpreterEngine {
    fn prepare(&mut self, entry: Entry, batch: usize) -> Result<&EntryReport, Box<Diagnostic>> {
        Ok(&self.ready(entry, batch, &[])?.1)
    }

    fn initialise(&mut self, seed: u64) -> Result<(), Box<Diagnostic>> {
        let graph = stages::init_graph(&self.program, &self.task)?;
        let inputs = Inputs { key: key(seed, 0), ..Inputs::default() };
        let outputs = Interpreter::run(&graph, &inputs).map_err(|f| Self::fault(f.message, f.origin))?;
        for (kind, value) in outputs {
            if let OutputKind::Update(var) = kind {
                self.vars.insert(var, value);
            }
        }
        Ok(())
    }

    fn run(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Result<(), Box<Diagnostic>> {
        let given = self.inputs(batch, inputs);
        let graph = self.ready(entry, batch, inputs.lengths)?.0.clone();
        let outputs = Interpreter::run(&graph, &given).map_err(|f| Self::fault(f.message, f.origin))?;
        let mut values = Vec::new();
        for (output, (kind, value)) in graph.outputs.iter().zip(outputs) {
            match kind {
                OutputKind::Update(var) => {
                    self.vars.insert(var, value);
                }
                OutputKind::Value(_) => values.push((value, graph.ty(output.node).dtype)),
            }
        }
        self.values = values;
        Ok(())
    }

    fn scalar(&self, position: usize) -> f64 {
        self.values.get(position).and_then(|(v, _)| v.first().copied()).unwrap_or(f64::NAN)
    }

    fn value(&self, position: usize) -> VarTensor {
        self.values.get(position).map(|(v, dtype)| to_var(v, *dtype)).unwrap_or_else(|| VarTensor {
            dtype: DType::F32,
            shape: vec![0],
            bytes: Vec::new(),
        })
    }

    fn explain_not_finite(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Option<Diagnostic> {
        let given = self.inputs(batch, inputs);
        let mut graph = self.ready(entry, batch, inputs.lengths).ok()?.0.clone();
        // Every node becomes a result, in order: the first that is not finite is the culprit.
        graph.outputs =
            graph.ids().map(|node| crate::graph::Output { kind: OutputKind::Value(node.0), node }).collect();
        let outputs = Interpreter::run(&graph, &given).ok()?;
        for (node, (_, value)) in graph.nodes.iter().zip(outputs) {
            if let Some(bad) = value.iter().find(|x| x.is_nan() || **x == f64::INFINITY) {
                return Some(super::not_finite(node.origin, &graph.scopes, *bad));
            }
        }
        None
    }

    fn var(&self, id: VarId) -> VarTensor {
        let ty = &self.types[id.0 as usize];
        match self.vars.get(&id) {
            Some(value) => to_var(value, ty.dtype),
            None => VarTensor { dtype: ty.dtype, shape: ty.shape.clone(), bytes: vec![0; ty.bytes()] },
        }
    }

    fn set_var(&mut self, id: VarId, value: &VarTensor) {
        let elements = bytes::to_f64(value.dtype, &value.bytes);
        if let Some(value) = tensor(&value.shape, elements) {
            self.vars.insert(id, value);
        }
    }

    fn var_bytes(&self) -> usize {
        self.task.vars.iter().map(|v| self.types[v.0 as usize].elements() * 8).sum()
    }

    fn arena_bytes(&self) -> usize {
        0
    }
}

fn to_var(value: &Tensor, dtype: DType) -> VarTensor {
    VarTensor { dtype, shape: value.shape().to_vec(), bytes: bytes::from_f64(dtype, value.iter().copied()) }
}
