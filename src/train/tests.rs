//! The loop with an engine that computes next to nothing but remembers what it was asked, over the built-in data.

use super::*;
use crate::artifact::{RunFolder, checkpoint};
use crate::check::Program;
use crate::diag::codes;
use crate::driver::{self, Checked, Options};
use crate::engine::{ClockValues, Engine, Entry, EntryReport, StepInputs, VarTensor};
use crate::ops::{DType, VarId};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// 1,438 samples to learn from: batches of 500, 500 and 438; 359 to validate: 359.
const PROGRAM: &str = "
train {
  data      = digits(validate: 0.2)
  batch     = 500
  epochs    = 2
  net       = seq { flatten; Linear(10) }
  optimizer = Adam(lr: 0.1)
  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }
}
";

const WITHOUT_DATA: &str = "
model Bowl { param theta: f32[3] = 1.0
  forward() -> f32[] { sum(theta ^ 2) } }
train {
  net       = Bowl()
  steps     = 40
  optimizer = Adam(lr: 0.1)
  step() { minimize net() }
}
";

fn checked(text: &str) -> Checked {
    let checked = driver::check_text("t.nn", text.to_string(), Path::new(""), &Options::default());
    assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
    checked
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nnc-train-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Moves every variable by what it is given, so that any step that is lost, doubled or out of order shows.
#[derive(Default)]
struct Fake {
    prepared: Vec<(Entry, usize)>,
    ran: Vec<(Entry, usize, ClockValues)>,
    vars: Vec<VarTensor>,
    figures: [f64; 2],
    /// The flag that is set during the run of this number.
    stop: Option<(usize, &'static AtomicBool)>,
    /// The step in which the loss is no number, and whether the variables alone show it.
    bad_step: Option<(u64, bool)>,
    explained: Vec<Vec<VarTensor>>,
}

fn first(t: &VarTensor) -> f32 {
    t.bytes.first_chunk().map_or(0.0, |b| f32::from_le_bytes(*b))
}

impl Fake {
    fn new(program: &Program) -> Fake {
        let vars = program.vars.iter().map(|v| {
            let shape: Vec<usize> = v.ty.shape.iter().map(|d| d.number().expect("known") as usize).collect();
            let bytes = vec![0; shape.iter().product::<usize>() * v.ty.dtype.bytes()];
            VarTensor { dtype: v.ty.dtype, shape, bytes }
        });
        Fake { vars: vars.collect(), ..Fake::default() }
    }

    fn steps(&self) -> Vec<ClockValues> {
        self.ran.iter().filter(|r| r.0 == Entry::Train).map(|r| r.2).collect()
    }
}

impl Engine for Fake {
    fn prepare(&mut self, entry: Entry, batch: usize) -> Result<&EntryReport> {
        assert!(self.ran.is_empty(), "nothing is compiled once the run has begun");
        self.prepared.push((entry, batch));
        Ok(Box::leak(Box::default()))
    }

    fn initialise(&mut self, seed: u64) -> Result<()> {
        for (i, var) in self.vars.iter_mut().enumerate() {
            let value = (seed + i as u64) as f32;
            var.bytes[..4].copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }

    fn run(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Result<()> {
        assert!(self.prepared.contains(&(entry, batch)), "{entry:?} of {batch} was not prepared");
        self.ran.push((entry, batch, inputs.clock));
        if let Some((at, flag)) = self.stop
            && self.ran.len() == at
        {
            flag.store(true, Ordering::Relaxed);
        }
        for field in inputs.fields {
            assert!(field.len().is_multiple_of(batch) && !field.is_empty());
        }
        let sum: u64 = inputs.fields.iter().flatten().step_by(7).map(|b| u64::from(*b)).sum();
        self.figures = [f64::from(first(&self.vars[0])) + 10.0, (sum % 1000) as f64 / 1000.0];
        if entry == Entry::Train {
            let step = inputs.clock.step;
            let mut moved = 0.01 * (sum % 97) as f32 + step as f32 * 0.001 + inputs.seed as f32;
            if let Some((_, only_vars)) = self.bad_step.filter(|(s, _)| *s == step) {
                moved = f32::NAN;
                if !only_vars {
                    self.figures[0] = f64::NAN;
                }
            }
            for var in &mut self.vars {
                let value = first(var) * 0.5 + moved;
                var.bytes[..4].copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }

    fn scalar(&self, position: usize) -> f64 {
        self.figures[position]
    }

    fn value(&self, _: usize) -> VarTensor {
        VarTensor { dtype: DType::F32, shape: vec![0], bytes: Vec::new() }
    }

    fn explain_not_finite(&mut self, _: Entry, _: usize, inputs: &StepInputs) -> Option<Diagnostic> {
        self.explained.push(self.vars.clone());
        let (bad, _) = self.bad_step?;
        (bad == inputs.clock.step).then(|| Diagnostic::placeless(codes::NOT_FINITE, "here it is"))
    }

    fn var(&self, id: VarId) -> VarTensor {
        self.vars[id.0 as usize].clone()
    }

    fn set_var(&mut self, id: VarId, value: &VarTensor) {
        self.vars[id.0 as usize] = value.clone();
    }

    fn var_bytes(&self) -> usize {
        0
    }

    fn arena_bytes(&self) -> usize {
        0
    }
}

fn flag() -> &'static AtomicBool {
    Box::leak(Box::new(AtomicBool::new(false)))
}

/// Runs the only task of a program, anew or from the folder's checkpoint.
fn run(checked: &Checked, engine: &mut Fake, folder: &Folder, resume: bool) -> Result<Outcome> {
    let task = &checked.program.tasks[0];
    let (seed, batch) = (3, task.settings.batch);
    let (train, validate) = match open(task, Path::new("")).expect("built in") {
        None => (Feed::none(), None),
        Some(opened) => {
            let split = opened.split(seed);
            let feed = |view, shuffle| Feed::new(view, &task.fields, batch, shuffle).expect("a feed");
            (feed(split.train, true), split.validate.map(|v| feed(v, false)))
        }
    };
    let folder = match resume {
        true => RunFolder::open(&folder.0).map(|(folder, _)| folder),
        false => {
            let made = RunFolder::create_at(&folder.0)?;
            made.write_record(&Default::default())?;
            Ok(made)
        }
    }?;
    let stop = engine.stop.map_or_else(flag, |(_, flag)| flag);
    let source = source_hash("x");
    let from = if resume { Some(checkpoint::read(&folder.last(), None)?) } else { None };
    let program = &checked.program;
    let setup = Setup { program, task, engine, train, validate, seed, source, folder, start: Vec::new(), stop };
    Session::new(setup, from.as_ref(), &mut Silent)?.run(&mut Silent)
}

#[test]
fn epochs_batches_and_averages_are_counted() {
    let (checked, folder) = (checked(PROGRAM), Folder::new());
    let mut engine = Fake::new(&checked.program);
    let outcome = run(&checked, &mut engine, &folder, false).expect("it runs");
    assert_eq!((outcome.ending, outcome.step), (Ending::Finished, 6));
    use Entry::{Eval, Train};
    assert_eq!(engine.prepared, [(Train, 500), (Train, 438), (Eval, 359)]);
    let shape: Vec<(Entry, usize)> = engine.ran.iter().map(|r| (r.0, r.1)).collect();
    let epoch = [(Train, 500), (Train, 500), (Train, 438), (Eval, 359)];
    assert_eq!(shape, [epoch, epoch].concat());
    let clock = |step, epoch| ClockValues { step, epoch, steps: 6, epoch_steps: 3 };
    let clocks = [clock(0, 0), clock(1, 0), clock(2, 0), clock(3, 1), clock(4, 1), clock(5, 1)];
    assert_eq!(engine.steps(), clocks);

    // The same steps by hand.
    let rows = String::from_utf8(folder.bytes("metrics.jsonl")).expect("text");
    let rows: Vec<serde_json::Value> = rows.lines().map(|l| serde_json::from_str(l).expect("a row")).collect();
    let phases: Vec<_> = rows.iter().map(|r| (r["step"].as_u64(), r["epoch"].as_u64(), r["phase"].as_str())).collect();
    let row = |step, epoch, phase| (Some(step), Some(epoch), Some(phase));
    assert_eq!(phases, [row(3, 1, "train"), row(3, 1, "validate"), row(6, 2, "train"), row(6, 2, "validate")]);
    let mut again = Fake::new(&checked.program);
    again.prepared = engine.prepared.clone();
    again.initialise(3).expect("initialised");
    let task = &checked.program.tasks[0];
    let opened = open(task, Path::new("")).expect("built in").expect("data");
    let mut feed = Feed::new(opened.split(3).train, &task.fields, Some(500), true).expect("a feed");
    let mut sum = 0.0;
    for (position, clock) in clocks[..3].iter().enumerate() {
        let samples = feed.load(3, 0, position);
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock: *clock, seed: 3 };
        again.run(Train, samples, &inputs).expect("it runs");
        sum += again.scalar(0) * samples as f64;
    }
    let csv = String::from_utf8(folder.bytes("metrics.csv")).expect("text");
    let cell = csv.lines().nth(1).and_then(|line| line.split(',').nth(3)).expect("the loss of the first epoch");
    assert_eq!(cell.parse(), Ok(sum / 1438.0));
}

#[test]
fn a_run_that_is_stopped_anywhere_and_resumed_leaves_the_same_bytes() {
    let checked = checked(PROGRAM);
    let whole = Folder::new();
    let mut engine = Fake::new(&checked.program);
    run(&checked, &mut engine, &whole, false).expect("it runs");
    let all = engine.ran.len();
    let mut interrupted = 0;
    for at in 1..=all {
        let folder = Folder::new();
        let mut engine = Fake::new(&checked.program);
        engine.stop = Some((at, flag()));
        let outcome = run(&checked, &mut engine, &folder, false).expect("it runs");
        assert_eq!(engine.ran.len(), at, "it stops after the step at hand");
        interrupted += usize::from(outcome.ending == Ending::Interrupted);
        let mut engine = Fake::new(&checked.program);
        run(&checked, &mut engine, &folder, true).expect("it goes on");
        for file in ["last.safetensors", "best.safetensors", "metrics.jsonl", "metrics.csv"] {
            assert!(folder.bytes(file) == whole.bytes(file), "{file} differs after a stop in run {at}");
        }
    }
    assert_eq!(interrupted, all - 1, "only after the last is there nothing left to do");
}

#[test]
fn a_loss_that_is_no_number_is_explained_from_the_state_before() {
    for (bad, replayed) in [(1, 1), (4, 1)] {
        let (checked, folder) = (checked(PROGRAM), Folder::new());
        let mut engine = Fake::new(&checked.program);
        engine.bad_step = Some((bad, false));
        let fault = run(&checked, &mut engine, &folder, false).expect_err("the loss is NaN");
        assert_eq!((fault.code, fault.headline.as_str()), (codes::NOT_FINITE, "here it is"));
        let notes = fault.notes.join("\n");
        let (epoch, batch) = (bad / 3 + 1, bad % 3 + 1);
        let place = format!("in step {} (epoch {epoch}, batch {batch}), where `loss` is NaN", bad + 1);
        assert!(notes.contains(&place), "{notes}");
        assert!(engine.explained.len() == 1 && engine.explained[0].iter().all(|v| first(v).is_finite()));
        let steps = engine.steps();
        assert_eq!(steps.len() as u64, bad + 1 + replayed, "{steps:?}");
        if bad == 4 {
            assert!(notes.contains("the checkpoint after step 3 is kept"), "{notes}");
            let kept = checkpoint::read(&folder.0.join("last.safetensors"), None).expect("kept");
            assert_eq!(kept.metadata["nnc.step"], "3");
        } else {
            assert!(!folder.0.join("last.safetensors").exists());
        }
    }
}

#[test]
fn a_parameter_that_is_no_number_is_never_saved() {
    let (checked, folder) = (checked(PROGRAM), Folder::new());
    let mut engine = Fake::new(&checked.program);
    // The update of the epoch's last step breaks the variables, the loss of that step is fine; validation sees it first
    // in a real net, here the checkpoint does.
    engine.bad_step = Some((5, true));
    engine.figures = [1.0, 1.0];
    let fault = run(&checked, &mut engine, &folder, false).expect_err("a variable is NaN");
    assert_eq!(fault.code, codes::NOT_FINITE);
    let kept = checkpoint::read(&folder.0.join("last.safetensors"), None).expect("kept");
    assert_eq!(kept.metadata["nnc.step"], "3");
}

#[test]
fn without_data_there_are_steps_alone() {
    let (checked, folder) = (checked(WITHOUT_DATA), Folder::new());
    let mut engine = Fake::new(&checked.program);
    let outcome = run(&checked, &mut engine, &folder, false).expect("it runs");
    assert_eq!((outcome.ending, outcome.step, outcome.best), (Ending::Finished, 40, None));
    assert_eq!(engine.prepared, [(Entry::Train, 0)]);
    assert_eq!(engine.steps()[39], ClockValues { step: 39, epoch: 0, steps: 40, epoch_steps: 40 });
    assert_eq!(folder.bytes("metrics.csv").split(|b| *b == b'\n').count(), 1 + 20 + 1);
    assert!(!folder.0.join("best.safetensors").exists());
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused() {
    let (first, folder) = (checked(PROGRAM), Folder::new());
    let mut engine = Fake::new(&first.program);
    engine.stop = Some((2, flag()));
    run(&first, &mut engine, &folder, false).expect("it runs");
    let refused = |text: &str| {
        let other = checked(text);
        let mut engine = Fake::new(&other.program);
        *run(&other, &mut engine, &folder, true).expect_err("it does not fit")
    };
    let fault = refused(&PROGRAM.replace("batch     = 500", "batch     = 100"));
    assert_eq!((fault.code, &fault.headline[..]), (codes::RESUME, "an epoch of the run had 3 steps, now it has 15"));
    let fault = refused(&PROGRAM.replace("Linear(10)", "Linear(20); Linear(10)"));
    assert_eq!(fault.code, codes::CHECKPOINT);
    let fault = refused(&PROGRAM.replace("    report   accuracy(scores, label)\n", ""));
    assert_eq!(fault.code, codes::RESUME);
    let fault = refused(&PROGRAM.replace("train {", "train other {"));
    assert_eq!((fault.code, &fault.headline[..]), (codes::RESUME, "the checkpoint is of the task `train`"));
}
