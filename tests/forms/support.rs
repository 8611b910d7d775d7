//! Checks, runs and trains the programs of these tests.

use nnc::artifact::{Checkpoint, RunFolder, checkpoint};
use nnc::check::{Program, Task};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes};
use nnc::ops::VarId;
use nnc::train::{self, Feed, Outcome, Session, Setup, Silent};
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub fn check(text: &str) -> Checked {
    driver::check_text("test.nn", text.to_string(), Path::new("."), &Options::default())
}

#[track_caller]
pub fn good(text: &str) -> Checked {
    let checked = check(text);
    assert!(!checked.has_errors(), "{:#?}", headlines(&checked));
    checked
}

pub fn headlines(checked: &Checked) -> Vec<(&str, &str)> {
    let at = |d: &nnc::diag::Diagnostic| d.span().map_or("", |s| checked.sources.text(s)).to_string();
    let texts: Vec<String> = checked.diagnostics.iter().map(at).collect();
    checked.diagnostics.iter().zip(texts).map(|(d, t)| (d.headline.as_str(), &*t.leak())).collect()
}

/// The headline and the help of the only fault.
#[track_caller]
pub fn fault(text: &str) -> (String, String) {
    let checked = check(text);
    assert_eq!(checked.diagnostics.len(), 1, "{:#?}", headlines(&checked));
    let d = &checked.diagnostics[0];
    (d.headline.clone(), d.help.join("; "))
}

pub fn task<'a>(checked: &'a Checked, name: &str) -> &'a Task {
    checked.program.task(name).expect("the task")
}

pub fn var(program: &Program, task: &Task, path: &str) -> VarId {
    let found = task.vars.iter().find(|v| program.var(**v).path == path);
    *found.unwrap_or_else(|| {
        let paths: Vec<&str> = task.vars.iter().map(|v| program.var(*v).path.as_str()).collect();
        panic!("no {path} among {paths:?}")
    })
}

/// A task in motion, without data.
pub struct Run<'a> {
    pub checked: &'a Checked,
    pub task: &'a Task,
    pub engine: Box<dyn Engine>,
    pub step: u64,
    pub steps: u64,
}

impl<'a> Run<'a> {
    pub fn new(checked: &'a Checked, name: &str, steps: u64) -> Run<'a> {
        let mut engine = driver::engine(checked, name, Target::Cpu, 2).expect("an engine");
        engine.initialise(0).expect("first values");
        Run { checked, task: task(checked, name), engine, step: 0, steps }
    }

    pub fn entry(&mut self, entry: Entry) {
        let clock = ClockValues { step: self.step, epoch: 0, steps: self.steps, epoch_steps: self.steps };
        self.engine.run(entry, 0, &StepInputs { fields: &[], lengths: &[], clock, seed: 0 }).expect("a step");
    }

    pub fn train(&mut self, times: usize) {
        for _ in 0..times {
            self.entry(Entry::Train);
            self.step += 1;
        }
    }

    pub fn get(&self, path: &str) -> Vec<f64> {
        let tensor = self.engine.var(var(&self.checked.program, self.task, path));
        bytes::to_f64(tensor.dtype, &tensor.bytes)
    }

    pub fn first(&self, path: &str) -> f64 {
        self.get(path)[0]
    }

    pub fn reports(&self, entry: Entry) -> Vec<(&str, f64)> {
        let graph = match entry {
            Entry::Train => self.task.train.as_ref().expect("a task that trains"),
            Entry::Eval | Entry::Once | Entry::Extend(_) => &self.task.eval,
        };
        let names = graph.reports.iter().map(|r| r.name.as_str());
        names.enumerate().map(|(i, n)| (n, self.engine.scalar(i))).collect()
    }
}

pub fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-3), "{a} is not {b}");
}

/// One number, whose square is minimised: its gradient is twice itself.
pub const ONE: &str = "layer One(start: float = 1) {
  param w: f32[1] = full(value: start)
  forward() -> f32[1] { w }
}
";

pub fn with_one(rest: &str) -> String {
    format!("{ONE}{rest}")
}

/// A folder of one test's own, removed at its end.
pub struct Folder(pub std::path::PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("nnc-forms-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Trains a task as `nnc run` does; stops after so many steps if told to.
pub struct Training<'a> {
    pub checked: &'a Checked,
    pub name: &'a str,
    pub threads: usize,
    /// Checkpoints of other tasks, by name.
    pub trained: Vec<(&'a str, std::path::PathBuf)>,
    pub root: std::path::PathBuf,
}

/// Sets a flag once so many steps are done.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl train::Observer for StopAfter<'_> {
    fn tell(&mut self, news: train::News) {
        if let train::News::Step { done, .. } = news
            && done == self.0
        {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl<'a> Training<'a> {
    pub fn new(checked: &'a Checked, name: &'a str) -> Training<'a> {
        Training { checked, name, threads: 2, trained: Vec::new(), root: ".".into() }
    }

    pub fn start(&self, engine: &dyn Engine) -> train::Start {
        let trained = |of: &Task| {
            let found = self.trained.iter().find(|(n, _)| *n == of.name);
            checkpoint::read(&found.expect("a trained task").1, None)
        };
        let start = train::start(&self.checked.program, task(self.checked, self.name), engine, &self.root, trained);
        start.expect("a start")
    }

    pub fn run(&self, folder: &Path, from: Option<&Checkpoint>, stop_after: Option<u64>) -> Outcome {
        let task = task(self.checked, self.name);
        let mut engine = driver::engine(self.checked, self.name, Target::Cpu, self.threads).expect("an engine");
        let start = if from.is_some() { Vec::new() } else { self.start(&*engine).values };
        let opened = train::open(task, &self.root).expect("data");
        let (learn, validate) = match &opened {
            None => (Feed::none(), None),
            Some(opened) => {
                let split = opened.split(0);
                let feed = |view, shuffle| Feed::new(view, &task.fields, task.settings.batch, shuffle).expect("a feed");
                (feed(split.train, true), split.validate.map(|v| feed(v, false)))
            }
        };
        let stop = AtomicBool::new(false);
        let folder = match from {
            None => RunFolder::create_at(folder).expect("a folder"),
            Some(_) => RunFolder::open(folder).expect("a run").0,
        };
        folder.write_record(&Default::default()).expect("a record");
        let setup = Setup {
            program: &self.checked.program,
            task,
            engine: &mut *engine,
            train: learn,
            validate,
            seed: 0,
            source: "same".into(),
            folder,
            start,
            stop: &stop,
        };
        let mut session = Session::new(setup, from, &mut Silent).expect("a session");
        session.run(&mut StopAfter(stop_after.unwrap_or(u64::MAX), &stop)).expect("a run")
    }
}

pub fn tensor(file: &Checkpoint, name: &str) -> Vec<f64> {
    let t = file.get(name).unwrap_or_else(|| panic!("no {name}"));
    bytes::to_f64(t.dtype, t.bytes)
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
