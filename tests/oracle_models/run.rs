//! A model's program, checked, its weights loaded as a run would load them, and run on a target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nnc::check::VarKind;
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes};
use nnc::graph::{Output, OutputKind};
use nnc::ops::Op;
use nnc::train;

use crate::folder::{Folder, Tensor, norm};
use crate::forms::Form;
use crate::literal::written_tuple;

/// The steps of a curve.
pub const STEPS: u64 = 20;

/// A folder for the data of one model; it goes with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn of(folder: &Folder) -> Result<Scratch, String> {
        let path = std::env::temp_dir().join(format!("nnc-oracle-{}-{}", std::process::id(), folder.name));
        std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
        let scratch = Scratch(path);
        for name in folder.fields() {
            let file = folder.tensor(&format!("train.{name}"))?.npy();
            std::fs::write(scratch.0.join(format!("{name}.npy")), file).map_err(|e| e.to_string())?;
        }
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program with a task that trains the model and one that shows what it gives.
pub fn text(folder: &Folder, form: &Form, optimizer: &str) -> Result<String, String> {
    let fields: Vec<&str> = folder.fields().collect();
    let data: Vec<String> = fields.iter().map(|f| format!("{f}: \"{f}.npy\"")).collect();
    let mut used: Vec<&str> = fields.clone();
    let whole = form.lines.join(" ") + form.loss;
    used.retain(|f| whole.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *f));
    let lines: String = form.lines.iter().map(|l| format!("    {l}\n")).collect();
    let common = format!(
        "  data  = npy({})\n  batch = {}\n  net   = {}\n  load net from \"{}\"\n",
        data.join(", "),
        folder.number("batch")?,
        form.net,
        folder.path.canonicalize().map_err(|e| e.to_string())?.join("weights.safetensors").display()
    );
    let results: Vec<&str> = form.outputs.iter().map(|(_, e)| *e).collect();
    let results = if results.len() == 1 { results[0].to_string() } else { format!("({})", results.join(", ")) };
    Ok(format!(
        "use {}\n\ntrain {{\n{common}  steps = {STEPS}\n  optimizer = {optimizer}\n\n  step({}) {{\n{lines}    minimize {}\n  }}\n}}\n\n\
         predict show {{\n{common}\n  step({}) {{\n{lines}    {results}\n  }}\n}}\n",
        form.uses,
        used.join(", "),
        form.loss,
        form.inputs.join(", "),
    ))
}

/// A curve's optimizer as our language writes it.
pub fn optimizer(curve: &str, params: &serde_json::Value) -> Result<String, String> {
    let name = match curve {
        "sgd" | "sgd_momentum" => "Sgd",
        "adam" => "Adam",
        "adamw" => "AdamW",
        other => return Err(format!("no optimizer of ours is `{other}`")),
    };
    let params = params.as_object().ok_or("a curve without settings")?;
    let args: Option<Vec<String>> = params.iter().map(|(k, v)| Some(format!("{k}: {}", written_tuple(v)?))).collect();
    Ok(format!("{name}({})", args.ok_or("a setting of an unknown kind")?.join(", ")))
}

/// A task that has its weights.
pub struct Run {
    checked: Checked,
    task: usize,
    engine: Box<dyn Engine>,
    /// The parameters whose gradients a training step gives, by the position of the result.
    gradients: Vec<(String, usize)>,
    pub times: Times,
}

/// Milliseconds.
#[derive(Clone, Copy, Default)]
pub struct Times {
    pub check: f64,
    pub compile: f64,
}

fn said(fault: &nnc::diag::Diagnostic) -> String {
    format!("{}: {} {:?} {:?}", fault.code.id, fault.headline, fault.notes, fault.help)
}

impl Run {
    /// With `gradients`, a training step gives them too.
    pub fn new(text: &str, scratch: &Scratch, task: &str, target: Target, gradients: bool) -> Result<Run, String> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let options = Options { data_root: Some(scratch.0.clone()), ..Options::default() };
        let started = Instant::now();
        let mut checked = driver::check_text("program.nn", text.to_string(), &models, &options);
        let check = started.elapsed().as_secs_f64() * 1e3;
        if checked.has_errors() {
            return Err(checked.diagnostics.iter().map(said).collect::<Vec<_>>().join("\n"));
        }
        let at = checked.program.tasks.iter().position(|t| t.name == task).ok_or("the task is gone")?;
        let gradients = if gradients { show_gradients(&mut checked, at) } else { Vec::new() };
        let started = Instant::now();
        let mut engine = driver::engine(&checked, task, target, 1).map_err(|f| said(&f))?;
        engine.initialise(0).map_err(|f| said(&f))?;
        let entry = if task == "train" { Entry::Train } else { Entry::Eval };
        let batch = checked.program.tasks[at].settings.batch.unwrap_or(0);
        engine.prepare(entry, batch).map_err(|f| said(&f))?;
        let compile = started.elapsed().as_secs_f64() * 1e3;
        let program = &checked.program;
        let none = |_: &nnc::check::Task| -> train::Result<nnc::artifact::Checkpoint> { unreachable!("one task only") };
        let start =
            train::start(program, &program.tasks[at], engine.as_ref(), &scratch.0, none).map_err(|f| said(&f))?;
        if let Some(note) = start.notes.first() {
            return Err(format!("loading says: {}", said(note)));
        }
        for (var, value) in &start.values {
            engine.set_var(*var, value);
        }
        Ok(Run { checked, task: at, engine, gradients, times: Times { check, compile } })
    }

    /// One step of rows from `first` on of the fields named `prefix.*`.
    pub fn step(&mut self, folder: &Folder, entry: Entry, step: u64) -> Result<(), String> {
        let task = &self.checked.program.tasks[self.task];
        let batch = folder.number("batch")? as usize;
        let batches = folder.number("batches")? as u64;
        let from = (step % batches) as usize * batch;
        let mut fields = Vec::new();
        for field in &task.fields {
            fields.push(match entry {
                Entry::Eval | Entry::Once | Entry::Extend(_) => {
                    folder.tensor(&format!("in.{}", field.name))?.rows(0, batch)
                }
                Entry::Train => folder.tensor(&format!("train.{}", field.name))?.rows(from, from + batch),
            });
        }
        let clock = ClockValues { step, epoch: step / batches, steps: STEPS, epoch_steps: batches };
        let inputs = StepInputs { fields: &fields, lengths: &[], clock, seed: 0 };
        self.engine.run(entry, batch, &inputs).map_err(|f| said(&f))
    }

    /// The same with the given bytes of the only field.
    pub fn show(&mut self, batch: usize, field: Vec<u8>) -> Result<(), String> {
        let clock = ClockValues { step: 0, epoch: 0, steps: 1, epoch_steps: 1 };
        let inputs = StepInputs { fields: &[field], lengths: &[], clock, seed: 0 };
        self.engine.run(Entry::Eval, batch, &inputs).map_err(|f| said(&f))
    }

    pub fn scalar(&self, position: usize) -> f64 {
        self.engine.scalar(position)
    }

    pub fn result(&self, position: usize) -> Tensor {
        let value = self.engine.value(position);
        let values = bytes::to_f64(value.dtype, &value.bytes);
        Tensor { dtype: value.dtype, shape: value.shape, values }
    }

    /// Every parameter's gradient in the last step, by its name in the file.
    pub fn gradients(&self) -> BTreeMap<String, Tensor> {
        self.gradients.iter().map(|(name, at)| (name.clone(), self.result(*at))).collect()
    }

    /// The norm of all parameters together.
    pub fn norm(&self) -> f64 {
        let program = &self.checked.program;
        let params = program.tasks[self.task].vars.iter().filter(|v| program.var(**v).kind == VarKind::Param);
        let norms: Vec<f64> = params
            .map(|v| {
                let value = self.engine.var(*v);
                norm(&bytes::to_f64(value.dtype, &value.bytes))
            })
            .collect();
        norm(&norms)
    }
}

/// Makes the gradients that a task's step computes results of it, too.
fn show_gradients(checked: &mut Checked, task: usize) -> Vec<(String, usize)> {
    let names: Vec<String> = checked.program.vars.iter().map(|v| v.path.clone()).collect();
    let Some(step) = &mut checked.program.tasks[task].train else { return Vec::new() };
    let graph = &mut step.graph;
    let mut at = graph.outputs.iter().filter(|o| matches!(o.kind, OutputKind::Value(_))).count();
    let mut gradients = Vec::new();
    for id in graph.ids().collect::<Vec<_>>() {
        let node = graph.node(id);
        if let (Op::Gradient, [_, by]) = (&node.op, node.inputs.as_slice())
            && let Op::Read(var) = graph.node(*by).op
        {
            let name = names[var.0 as usize].trim_start_matches("net.").to_string();
            graph.outputs.push(Output { kind: OutputKind::Value(at as u32), node: id });
            gradients.push((name, at));
            at += 1;
        }
    }
    gradients
}
