//! The gradients of a program by its inputs and parameters, beside finite differences, and on both targets.

use std::collections::BTreeMap;
use std::path::Path;

use nnc::check::VarKind;
use nnc::dims::Dim;
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, VarTensor, bytes};
use nnc::graph::Node;
use nnc::ops::{DType, Op, VarId};

use crate::draw::{Case, Phase, Random};

/// What came of a sample.
pub enum Verdict {
    /// By name, what was compared, and whether it was not 0 anywhere.
    Fine(BTreeMap<String, Seen>),
    /// Nothing to compare, and why.
    Empty(String),
    Wrong(String),
}

#[derive(Clone, Copy, Default)]
pub struct Seen {
    /// Elements whose gradients were compared.
    pub elements: usize,
    pub moved: bool,
}

/// What a gradient is taken by.
struct Variable {
    name: String,
    id: VarId,
    start: VarTensor,
}

/// A sample's program on a target.
struct Runner<'a> {
    checked: &'a Checked,
    engine: Box<dyn Engine>,
    phase: Phase,
    floats: &'a [String],
}

impl Runner<'_> {
    fn var(&self, path: &str) -> Option<VarId> {
        let place = self.checked.program.vars.iter().position(|v| v.path == path)?;
        let id = VarId(place as u32);
        self.checked.program.tasks.iter().any(|t| t.vars.contains(&id)).then_some(id)
    }

    fn step(&mut self) -> Result<f64, String> {
        let clock = ClockValues { step: 0, steps: 1, epoch_steps: 1, ..ClockValues::default() };
        let entry = if self.phase == Phase::Training { Entry::Train } else { Entry::Eval };
        let inputs = StepInputs { fields: &[], lengths: &[], clock, seed: 1 };
        self.engine.prepare(entry, 0).map_err(|f| f.headline.clone())?;
        self.engine.run(entry, 0, &inputs).map_err(|f| format!("{} {:?}", f.headline, f.notes))?;
        let value = self.engine.value(0);
        Ok(match self.phase {
            Phase::Training => self.engine.scalar(0),
            Phase::Evaluation => bytes::to_f64(value.dtype, &value.bytes)[0],
        })
    }

    /// The gradient of the last step by a variable.
    fn slope(&self, name: &str) -> Option<Vec<f64>> {
        let value = match self.phase {
            Phase::Training => self.engine.var(self.var(&format!("net.{name}.Slope.slope"))?),
            Phase::Evaluation => self.engine.value(1 + self.floats.iter().position(|f| f == name)?),
        };
        Some(bytes::to_f64(value.dtype, &value.bytes))
    }
}

/// Every variable with a value of its own: inputs as they were drawn, parameters and running statistics anywhere.
fn starts(runner: &Runner, case: &Case, random: &mut Random) -> Vec<(VarId, VarTensor)> {
    let program = &runner.checked.program;
    let mut starts = Vec::new();
    for (i, var) in program.vars.iter().enumerate() {
        let id = VarId(i as u32);
        if runner.var(&var.path) != Some(id) {
            continue;
        }
        let name = var.path.trim_start_matches("net.");
        let mut value = runner.engine.var(id);
        let last = name.rsplit('.').next().unwrap_or(name);
        let fill = |value: &mut VarTensor, by: &mut dyn FnMut() -> f64| {
            let count: usize = value.shape.iter().product();
            value.bytes = bytes::from_f64(value.dtype, (0..count).map(|_| by()));
        };
        if let Some((_, given)) = case.inputs.iter().find(|(n, _)| n == name) {
            value = given.clone();
        } else if var.kind == VarKind::Param {
            fill(&mut value, &mut || random.signed());
        } else if last == "running_mean" {
            fill(&mut value, &mut || random.signed());
        } else if last == "running_var" {
            fill(&mut value, &mut || random.signed().abs());
        }
        starts.push((id, value));
    }
    starts
}

fn runner<'a>(case: &'a Case, checked: &'a Checked, target: Target) -> Result<Runner<'a>, String> {
    let task = if case.phase == Phase::Training { "train" } else { "predict" };
    let mut engine = driver::engine(checked, task, target, 1).map_err(|f| f.headline.clone())?;
    engine.initialise(0).map_err(|f| f.headline.clone())?;
    Ok(Runner { checked, engine, phase: case.phase, floats: &case.floats })
}

/// A sample's gradients against finite differences on the interpreter; with `both`, on the CPU, too.
pub fn verdict(case: &Case, both: bool, random: &mut Random) -> Verdict {
    let checked = driver::check_text("case.nn", case.text.clone(), Path::new(""), &Options::default());
    if checked.has_errors() {
        let said: Vec<String> = checked.diagnostics.iter().map(|d| format!("{} {}", d.code.id, d.headline)).collect();
        return Verdict::Empty(said.join("; "));
    }
    match compared(case, &checked, both, random) {
        Ok(Some(seen)) => Verdict::Fine(seen),
        Ok(None) => Verdict::Empty("the result is not finite".into()),
        Err(why) => Verdict::Wrong(why),
    }
}

type Found = Result<Option<BTreeMap<String, Seen>>, String>;

fn compared(case: &Case, checked: &Checked, both: bool, random: &mut Random) -> Found {
    let mut runner = runner(case, checked, Target::Interpreter)?;
    let starts = starts(&runner, case, random);
    let reset = |runner: &mut Runner| starts.iter().for_each(|(id, value)| runner.engine.set_var(*id, value));
    reset(&mut runner);
    let total = runner.step()?;
    if !total.is_finite() {
        return Ok(None);
    }
    let mut names: Vec<String> = case.floats.clone();
    if case.phase == Phase::Training {
        let params = checked.program.vars.iter().filter(|v| v.kind == VarKind::Param);
        names = params.map(|v| v.path.trim_start_matches("net.").to_string()).collect();
    }
    let mut seen = BTreeMap::new();
    let mut derived = Vec::new();
    for name in names {
        let Some(id) = runner.var(&format!("net.{name}")) else { continue };
        let slopes = runner.slope(&name).ok_or(format!("`{name}` has no gradient"))?;
        let (_, start) = starts.iter().find(|(i, _)| *i == id).expect("a variable of the program");
        derived.push((Variable { name, id, start: start.clone() }, slopes));
    }
    for (variable, slopes) in &derived {
        let moved = slopes.iter().any(|s| *s != 0.0);
        seen.insert(variable.name.clone(), Seen { elements: slopes.len(), moved });
        // All elements at once, each in a direction of its own, and one alone.
        let everywhere: Vec<f64> = slopes.iter().map(|_| random.signed()).collect();
        let mut alone = vec![0.0; slopes.len()];
        if !slopes.is_empty() {
            alone[random.below(slopes.len())] = 1.0;
        }
        let mut ways = vec![everywhere];
        if slopes.len() > 1 {
            ways.push(alone);
        }
        for way in ways.iter().filter(|_| !slopes.is_empty()) {
            let size: f64 = way.iter().zip(slopes).map(|(w, s)| (w * s).abs()).sum();
            let single = variable.start.dtype == DType::F32;
            let close = if single { 1e-4 } else { 1e-5 };
            let mut said = None;
            // Where the slope itself changes fast, or jumps nearby, a shorter step tells.
            for by in if single { [1e-3, 1e-4] } else { [1e-6, 1e-8] } {
                reset(&mut runner);
                said = match differences(&mut runner, variable, slopes, way, by, &reset)? {
                    Some((m, e)) if (m - e).abs() <= close * (1.0 + size) => None,
                    Some((m, e)) => Some(format!("by `{}` along {way:?}: derived {e}, measured {m}", variable.name)),
                    None => None,
                };
                if said.is_none() {
                    break;
                }
            }
            if let Some(said) = said {
                return Err(said);
            }
        }
    }
    if both {
        let mut other = self::runner(case, checked, crate::target::tested())?;
        reset(&mut other);
        let value = other.step()?;
        // The CPU rounds what is made of whole numbers to f32, as declared, and reports every loss so.
        let steps = checked.program.tasks.iter().flat_map(|t| t.train.iter().chain([&t.eval]));
        let single = |n: &Node<Dim>| n.ty.dtype == DType::F32 && n.op != Op::Cast;
        let close = if steps.clone().any(|s| s.graph.nodes.iter().any(single)) { 1e-4 } else { 1e-9 };
        let near = |a: f64, b: f64, size: f64| (a - b).abs() <= close * (1.0 + size) || a == b;
        if (value - total).abs() > (close.max(1e-6)) * (1.0 + total.abs()) {
            return Err(format!("{value} on the CPU, {total} on the interpreter"));
        }
        for (variable, slopes) in &derived {
            let found = other.slope(&variable.name).unwrap_or_default();
            let size = slopes.iter().fold(0f64, |m, s| m.max(s.abs()));
            if let Some(at) = (0..slopes.len()).find(|i| !near(found[*i], slopes[*i], size)) {
                let (found, slope) = (found[at], slopes[at]);
                return Err(format!("by `{}` at {at}: {found} on the CPU, {slope} on the interpreter", variable.name));
            }
        }
    }
    Ok(Some(seen))
}

/// The slope along a way, measured and as the gradient says; none if a value is not finite.
fn differences(
    runner: &mut Runner,
    variable: &Variable,
    slopes: &[f64],
    way: &[f64],
    by: f64,
    reset: &impl Fn(&mut Runner),
) -> Result<Option<(f64, f64)>, String> {
    let start = &variable.start;
    let values = bytes::to_f64(start.dtype, &start.bytes);
    let mut at = |by: f64| {
        let moved = bytes::from_f64(start.dtype, values.iter().zip(way).map(|(v, w)| v + by * w));
        // What was kept may be rounded.
        let kept = bytes::to_f64(start.dtype, &moved);
        reset(runner);
        runner.engine.set_var(variable.id, &VarTensor { bytes: moved, ..start.clone() });
        runner.step().map(|total| (total, kept))
    };
    let ((above, high), (below, low)) = (at(by)?, at(-by)?);
    reset(runner);
    if !above.is_finite() || !below.is_finite() {
        return Ok(None);
    }
    let expected: f64 = slopes.iter().zip(high.iter().zip(&low)).map(|(s, (h, l))| s * (h - l)).sum();
    Ok(Some(((above - below) / (2.0 * by), expected / (2.0 * by))))
}
