//! A case as a small program of our language, run on a target.

use std::path::Path;

use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, VarTensor, bytes};
use nnc::ops::DType;

use crate::case::{Case, Tensor};

/// How a case is written in our language.
#[derive(Default)]
pub struct Form {
    /// The layer under test, member `body` of the model, if it is one.
    pub layer: Option<String>,
    /// Inputs that are parameters of the layer, by the path below it.
    pub weights: Vec<String>,
    /// Statements before the outputs.
    pub lines: Vec<String>,
    /// Output and the expression that gives it.
    pub outputs: Vec<(String, String)>,
}

impl Form {
    pub fn of(expression: impl Into<String>) -> Option<Form> {
        Some(Form { outputs: vec![("y".into(), expression.into())], ..Form::default() })
    }

    pub fn loss(expression: impl Into<String>) -> Option<Form> {
        Some(Form { outputs: vec![("loss".into(), expression.into())], ..Form::default() })
    }

    /// A layer that is applied to arguments; all inputs that are not named in `arguments` are its weights.
    pub fn layer(case: &Case, layer: impl Into<String>, arguments: &str) -> Option<Form> {
        let mentioned =
            |name: &str| arguments.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
        let weights = case.inputs().into_iter().filter(|n| !mentioned(n)).map(str::to_string).collect();
        Some(Form {
            layer: Some(layer.into()),
            weights,
            outputs: vec![("y".into(), format!("body({arguments})"))],
            ..Form::default()
        })
    }

    pub fn and(mut self, output: &str, expression: impl Into<String>) -> Form {
        self.outputs.push((output.into(), expression.into()));
        self
    }

    pub fn line(mut self, line: impl Into<String>) -> Form {
        self.lines.push(line.into());
        self
    }
}

fn declared(name: &str, tensor: &Tensor) -> String {
    let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
    let first = if tensor.dtype == DType::Bool { "false" } else { "0" };
    format!("  state {name}: {}[{}] = {first}\n", tensor.dtype, shape.join(", "))
}

/// The text of a case's program and the names of its results, in order.
pub fn text(case: &Case, form: &Form) -> (String, Vec<String>) {
    let mut text = String::from("model Case {\n");
    for name in case.inputs().into_iter().filter(|n| !form.weights.iter().any(|w| w == n)) {
        if let Some(tensor) = case.input(name) {
            text += &declared(&name.replace('.', "_"), tensor);
        }
    }
    let weighted: Vec<&str> = form
        .outputs
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|n| case.tensors.contains_key(&format!("ct.{n}")))
        .collect();
    for name in &weighted {
        text += &declared(&format!("ct_{name}"), &case.tensors[&format!("ct.{name}")]);
    }
    if let Some(layer) = &form.layer {
        text += &format!("  body = {layer}\n");
    }
    text += "  forward() {\n";
    for line in &form.lines {
        text += &format!("    {line}\n");
    }
    let mut results = Vec::new();
    let mut names = Vec::new();
    for (name, expression) in &form.outputs {
        text += &format!("    out_{name} = {expression}\n");
        results.push(format!("out_{name}"));
        names.push(format!("out.{name}"));
    }
    if !weighted.is_empty() {
        let mut terms: Vec<String> = weighted.iter().map(|n| format!("sum(out_{n} * ct_{n})")).collect();
        // A gradient that is 0 everywhere is refused: there must be a path, though nothing goes along it.
        let zero = |name: &&String| case.tensors[&format!("grad.{name}")].values.iter().all(|v| *v == 0.0);
        for name in case.grads.iter().filter(|n| case.has(n) && !form.weights.contains(n)).filter(zero) {
            terms.push(format!("0 * sum({})", name.replace('.', "_")));
        }
        text += &format!("    total = {}\n", terms.join(" + "));
        for name in &case.grads {
            let path = match form.weights.contains(name) {
                true => format!("body.{name}"),
                false => name.replace('.', "_"),
            };
            results.push(format!("grad(total, by: {path})"));
            names.push(format!("grad.{name}"));
        }
    }
    let last = if results.len() == 1 { results[0].clone() } else { format!("({})", results.join(", ")) };
    text += &format!("    {last}\n  }}\n}}\n\npredict {{\n  net = Case()\n  step() {{ net() }}\n}}\n");
    (text, names)
}

pub fn checked(text: &str) -> Result<Checked, String> {
    let checked = driver::check_text("case.nn", text.to_string(), Path::new(""), &Options::default());
    if checked.has_errors() {
        let said: Vec<String> = checked
            .diagnostics
            .iter()
            .map(|d| format!("{}: {} {:?} {:?}", d.code.id, d.headline, d.notes, d.primary.as_ref().map(|l| &l.text)))
            .collect();
        return Err(said.join("\n"));
    }
    Ok(checked)
}

pub struct Run {
    engine: Box<dyn Engine>,
    checked: Checked,
}

impl Run {
    pub fn new(text: &str, task: &str, target: Target) -> Result<Run, String> {
        let checked = checked(text)?;
        let mut engine = driver::engine(&checked, task, target, 1).map_err(|f| f.headline.clone())?;
        engine.initialise(0).map_err(|f| format!("{} {:?}", f.headline, f.notes))?;
        Ok(Run { engine, checked })
    }

    /// Gives the variable at a path a value; variables that the task does not have are left out.
    pub fn set(&mut self, path: &str, tensor: &Tensor) -> Result<(), String> {
        let Some(at) = self.checked.program.vars.iter().position(|v| v.path == path) else {
            return Err(format!("no variable `{path}`"));
        };
        let id = nnc::ops::VarId(at as u32);
        if !self.checked.program.tasks.iter().any(|t| t.vars.contains(&id)) {
            return Ok(());
        }
        let bytes = bytes::from_f64(tensor.dtype, tensor.values.iter().copied());
        self.engine.set_var(id, &VarTensor { dtype: tensor.dtype, shape: tensor.shape.clone(), bytes });
        Ok(())
    }

    pub fn step(&mut self, entry: Entry, clock: ClockValues) -> Result<(), String> {
        let inputs = StepInputs { fields: &[], lengths: &[], clock, seed: 1 };
        self.engine.run(entry, 0, &inputs).map_err(|f| format!("{} {:?}", f.headline, f.notes))
    }

    pub fn result(&self, position: usize) -> Tensor {
        tensor(self.engine.value(position))
    }

    pub fn var(&self, path: &str) -> Option<Tensor> {
        let at = self.checked.program.vars.iter().position(|v| v.path == path)?;
        Some(tensor(self.engine.var(nnc::ops::VarId(at as u32))))
    }
}

fn tensor(value: VarTensor) -> Tensor {
    let values = bytes::to_f64(value.dtype, &value.bytes);
    Tensor { dtype: value.dtype, shape: value.shape, values }
}

/// The largest error relative to 1 + |wanted|, or why the two cannot be compared.
pub fn error(found: &Tensor, wanted: &Tensor) -> Result<f64, String> {
    if found.shape != wanted.shape {
        return Err(format!("the shape is {:?}, not {:?}", found.shape, wanted.shape));
    }
    let mut worst = 0.0;
    for (a, b) in found.values.iter().zip(&wanted.values) {
        let error = (a - b).abs() / (1.0 + b.abs());
        if error.is_nan() {
            return Err(format!("{a} where PyTorch has {b}"));
        }
        worst = f64::max(worst, error);
    }
    Ok(worst)
}
