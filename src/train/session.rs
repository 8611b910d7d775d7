//! The training loop: in go a task's engine and its feeds, out come trained variables, checkpoints and rows of figures.
//!
//! Everything is compiled and every buffer is taken before the first step. What a run does after `n` steps depends on
//! `n`, the seed, the data and the variables alone, so stopping after any step and going on later changes no bit.

use super::evaluate::{Evaluation, evaluate, figures, running};
use super::not_finite::{Moment, complete};
use super::{Averages, Best, Course, Feed, News, Observer, Result, State, Watched, weights};
use crate::artifact::{Checkpoint, Keep, Metrics, Row, RunFolder, checkpoint};
use crate::check::{Every, Program, Report, ReportKind, StepGraph, Task, schedules};
use crate::diag::{Diagnostic, codes};
use crate::engine::{Engine, Entry, StepInputs, VarTensor, bytes};
use crate::ops::{DType, VarId};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a session is made of.
pub struct Setup<'a> {
    pub program: &'a Program,
    /// Of kind `train`.
    pub task: &'a Task,
    pub engine: &'a mut dyn Engine,
    pub train: Feed,
    pub validate: Option<Feed>,
    pub seed: u64,
    /// What [`source_hash`](super::source_hash) says of the program.
    pub source: String,
    pub folder: RunFolder,
    /// First values that do not come from the program: of other tasks' nets and of files.
    pub start: Vec<(VarId, VarTensor)>,
    /// Set from elsewhere to end the run after the step at hand.
    pub stop: &'a AtomicBool,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finished,
    Interrupted,
}

/// What a run leaves in the hands of its caller.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ending: Ending,
    /// Steps finished.
    pub step: u64,
    pub best: Option<Best>,
    /// It ended before its last step, because what is watched did not improve.
    pub stopped_early: bool,
    /// The figures of the last closed window and of the last validation of this process, with their names.
    pub trained: Vec<(String, f64)>,
    pub validated: Vec<(String, f64)>,
}

/// A run that is ready to start.
pub struct Session<'a> {
    setup: Setup<'a>,
    pub course: Course,
    state: State,
    metrics: Metrics,
    step_graph: &'a StepGraph,
    /// Positions of the averaged reports in the training entry, and in the evaluation entry.
    train_figures: Vec<usize>,
    eval_figures: Vec<usize>,
    /// The step that `last.safetensors` is of, if this process wrote or read it.
    saved: Option<u64>,
    trained: Vec<(String, f64)>,
    validated: Vec<(String, f64)>,
    /// The states of metrics as they are at the start of an epoch.
    anew: Vec<(VarId, VarTensor)>,
}

/// Every variable's first value.
fn initialise(engine: &mut dyn Engine, seed: u64, start: &[(VarId, VarTensor)]) -> Result<()> {
    engine.initialise(seed)?;
    start.iter().for_each(|(v, value)| engine.set_var(*v, value));
    Ok(())
}

impl<'a> Session<'a> {
    /// Compiles all that the run needs and gives the variables their first values, or those of `from`.
    ///
    /// # Errors
    /// What does not compile, a checkpoint that does not fit, a folder that cannot be written.
    pub fn new(setup: Setup<'a>, from: Option<&Checkpoint>, observer: &mut dyn Observer) -> Result<Session<'a>> {
        let Some(step_graph) = &setup.task.train else {
            let what = format!("`{}` is not a task that trains", setup.task.name);
            return Err(Box::new(Diagnostic::error(codes::USAGE, setup.task.span, what)));
        };
        let course = Course::new(&setup.task.settings, setup.train.batches(), setup.task.span)?;
        for batch in setup.train.sizes() {
            setup.engine.prepare(Entry::Train, batch)?;
        }
        for batch in setup.validate.iter().flat_map(Feed::sizes) {
            setup.engine.prepare(Entry::Eval, batch)?;
        }
        let reports = &step_graph.reports;
        let train_figures = figures(reports);
        let eval_figures = figures(&setup.task.eval.reports);
        let mut fresh = State::new(&setup.task.name, setup.seed, setup.source.clone(), train_figures.len());
        fresh.averages = fresh.averages.with_running(running(reports));
        let mut columns: Vec<&str> = Vec::new();
        for report in reports.iter().chain(&setup.task.eval.reports) {
            if !columns.contains(&report.name.as_str()) {
                columns.push(&report.name);
            }
        }
        // Every variable has a value first: a checkpoint may not hold what only the engine knows.
        initialise(&mut *setup.engine, setup.seed, &setup.start)?;
        let anew: Vec<_> = setup.task.metrics.iter().map(|v| (*v, setup.engine.var(*v))).collect();
        let (state, metrics) = match from {
            None => (fresh, setup.folder.metrics(&columns)?),
            Some(file) => {
                let (mut state, warnings) = State::read(&file.metadata, &fresh, &course)?;
                state.averages = state.averages.with_running(running(reports));
                warnings.iter().for_each(|w| observer.tell(News::Warning(w)));
                weights::load_all(file, setup.program, setup.task, setup.engine)?;
                let metrics = setup.folder.resume_metrics(&columns, Keep::Rows(state.rows))?;
                (state, metrics)
            }
        };
        let saved = from.map(|_| state.step);
        let (trained, validated) = (Vec::new(), Vec::new());
        Ok(Session {
            setup,
            course,
            state,
            metrics,
            step_graph,
            train_figures,
            eval_figures,
            saved,
            trained,
            validated,
            anew,
        })
    }

    /// Steps finished.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Runs until the end of the course, or until it is told to stop.
    ///
    /// # Errors
    /// A loss that is not finite, a file that cannot be written. The last good checkpoint stays.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let reports = &self.step_graph.reports;
        let names: Vec<&str> = self.train_figures.iter().map(|i| reports[*i].name.as_str()).collect();
        let losses: Vec<usize> = (0..reports.len()).filter(|i| reports[*i].kind == ReportKind::Loss).collect();
        observer.tell(News::Ready { course: &self.course, from: self.state.step });
        if !self.state.closed && !self.close(&names, observer)? {
            return Ok(self.outcome(Ending::Interrupted));
        }
        while self.state.step < self.course.steps && !self.state.watched.is_some_and(|w| w.over) {
            if self.setup.stop.load(Ordering::Relaxed) {
                return self.interrupt();
            }
            let samples = self.one_step(self.state.step)?;
            let engine = &*self.setup.engine;
            self.state.averages.add(samples, |i| engine.scalar(self.train_figures[i]));
            if let Some(&bad) = losses.iter().find(|i| !engine.scalar(**i).is_finite()) {
                let value = engine.scalar(bad);
                return Err(self.not_finite(Some((&reports[bad], value)), observer));
            }
            self.state.step += 1;
            self.state.closed = false;
            let averages = &self.state.averages;
            observer.tell(News::Step { done: self.state.step, samples, names: &names, averages });
            if !self.close(&names, observer)? {
                return self.interrupt();
            }
        }
        Ok(self.outcome(Ending::Finished))
    }

    /// Runs the step after `done` steps; gives the number of its samples.
    fn one_step(&mut self, done: u64) -> Result<usize> {
        if done.is_multiple_of(self.course.window) {
            self.restart_metrics();
        }
        let clock = self.course.clock(done);
        let feed = &mut self.setup.train;
        let samples = feed.load(self.setup.seed, clock.epoch, self.course.position(done));
        let batch = feed.engine_batch(samples);
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: self.setup.seed };
        self.setup.engine.run(Entry::Train, batch, &inputs)?;
        Ok(samples)
    }

    /// Metrics with state forget what they have seen.
    fn restart_metrics(&mut self) {
        self.anew.iter().for_each(|(v, value)| self.setup.engine.set_var(*v, value));
    }

    /// Looks at the figure that `stop_when` watches, after a validation or, without one, after a window.
    fn watch(&mut self, names: &[&str], values: &[(&str, f64)], loss: f64) {
        let Some(stop) = &self.setup.task.settings.stop_when else { return };
        let value = match &stop.of {
            None => loss,
            Some((of, _)) => match names.iter().position(|n| n == of) {
                Some(i) => values[i].1,
                None => return,
            },
        };
        let lower = stop.lower.unwrap_or(true);
        let step = self.state.step;
        let better = |w: Watched| if lower { value < w.value } else { value > w.value };
        let patience = match stop.patience {
            Some(Every::Epochs(n)) => (n * self.course.epoch_steps as f64).round() as u64,
            Some(Every::Steps(n)) => n,
            None => return,
        };
        self.state.watched = Some(match self.state.watched {
            Some(w) if !better(w) => Watched { over: step - w.step >= patience.max(1), ..w },
            _ => Watched { value, step, over: false },
        });
    }

    /// Puts what a validation has found, or without one a window, where schedules read it.
    fn tell_schedules(&mut self, names: &[&str], values: &[(&str, f64)], loss: f64) {
        for &var in &self.setup.task.vars {
            let path = self.setup.program.vars[var.0 as usize].path.as_str();
            let value = match path.strip_prefix(schedules::FIGURE) {
                Some("") => loss,
                Some(name) => match names.iter().position(|n| name.strip_prefix('.') == Some(n)) {
                    Some(i) => values[i].1,
                    None => continue,
                },
                None if path == schedules::VALIDATED => {
                    let so_far = self.setup.engine.var(var);
                    bytes::to_f64(so_far.dtype, &so_far.bytes).first().copied().unwrap_or(0.0) + 1.0
                }
                None => continue,
            };
            let bytes = bytes::from_f64(DType::F64, [value].into_iter());
            self.setup.engine.set_var(var, &VarTensor { dtype: DType::F64, shape: Vec::new(), bytes });
        }
    }

    /// What follows a step: figures, validation, checkpoints. False if it was told to stop before it was done; then it
    /// has done nothing.
    fn close(&mut self, names: &[&str], observer: &mut dyn Observer) -> Result<bool> {
        let done = self.state.step;
        let (window, validates) =
            (self.course.ends_window(done), self.course.validates(done) && self.setup.validate.is_some());
        let validation = match validates {
            true => match self.validation(observer)? {
                Some(averages) => Some(averages),
                None => return Ok(false),
            },
            false => None,
        };
        let epoch = self.course.epoch_number(done);
        if window {
            let averages = std::mem::take(&mut self.state.averages);
            let values: Vec<(&str, f64)> = names.iter().enumerate().map(|(i, n)| (*n, averages.get(i))).collect();
            self.metrics.push(Row { step: done, epoch, phase: "train", values: &values })?;
            observer.tell(News::Figures { done, names, averages: &averages });
            self.trained = values.iter().map(|(n, v)| (n.to_string(), *v)).collect();
            if self.setup.validate.is_none() {
                let losses = self.train_figures.iter().zip(&values);
                let is_loss = |i: &usize| self.step_graph.reports[*i].kind == ReportKind::Loss;
                let loss = losses.filter(|(i, _)| is_loss(i)).map(|(_, (_, v))| v).sum();
                self.watch(names, &values, loss);
                self.tell_schedules(names, &values, loss);
            }
            self.state.averages = averages;
            self.state.averages.clear();
        }
        let mut best = false;
        if let Some(averages) = &validation {
            let reports: Vec<&Report> = self.eval_figures.iter().map(|i| &self.setup.task.eval.reports[*i]).collect();
            let names: Vec<&str> = reports.iter().map(|r| r.name.as_str()).collect();
            let values: Vec<(&str, f64)> = names.iter().enumerate().map(|(i, n)| (*n, averages.get(i))).collect();
            self.metrics.push(Row { step: done, epoch, phase: "validate", values: &values })?;
            let losses = reports.iter().zip(&values).filter(|(r, _)| r.kind == ReportKind::Loss);
            let loss: f64 = losses.map(|(_, (_, v))| v).sum();
            best = self.state.best.is_none_or(|b| loss < b.loss);
            if best {
                self.state.best = Some(Best { loss, step: done });
            }
            self.watch(&names, &values, loss);
            self.tell_schedules(&names, &values, loss);
            observer.tell(News::Validated { done, names: &names, averages, best });
            self.validated = values.iter().map(|(n, v)| (n.to_string(), *v)).collect();
        }
        self.state.closed = true;
        if window || validates {
            self.checkpoint(best, observer)?;
        }
        Ok(true)
    }

    /// The figures over the samples held out; none if it was told to stop.
    fn validation(&mut self, observer: &mut dyn Observer) -> Result<Option<Averages>> {
        let Some(feed) = &mut self.setup.validate else { return Ok(None) };
        observer.tell(News::Validating { batches: feed.batches().unwrap_or(1) });
        let reports = &self.setup.task.eval.reports;
        let clock = self.course.clock(self.state.step);
        let after = || observer.tell(News::ValidatedBatch);
        // Metrics of the epoch at hand go on afterwards as if nothing had been.
        let engine = &mut *self.setup.engine;
        let kept: Vec<_> = self.anew.iter().map(|(v, _)| (*v, engine.var(*v))).collect();
        self.anew.iter().for_each(|(v, value)| engine.set_var(*v, value));
        let found = evaluate(engine, reports, feed, self.setup.seed, clock, self.setup.stop, after);
        kept.iter().for_each(|(v, value)| self.setup.engine.set_var(*v, value));
        match found? {
            Evaluation::Done(averages) => Ok(Some(averages)),
            Evaluation::Stopped => Ok(None),
            Evaluation::NotFinite { report, value, why } => {
                let last = self.setup.folder.last();
                let kept = self.saved.map(|step| (last.as_path(), step));
                let moment = Moment { step: self.state.step.saturating_sub(1), course: &self.course, kept };
                let mut d = complete(why.map(|d| *d), Some((&reports[report], value)), &moment);
                d.notes.push("it was found in the validation after that step".to_string());
                Err(d)
            }
        }
    }

    /// Writes `last`, and `best` if this is it.
    fn checkpoint(&mut self, best: bool, observer: &mut dyn Observer) -> Result<()> {
        self.metrics.sync()?;
        self.state.rows = self.metrics.rows();
        let mut metadata = self.state.metadata(&self.course);
        metadata.extend(self.setup.train.vocabularies());
        let setup = &self.setup;
        let paths = [(best.then(|| setup.folder.best()), true), (Some(setup.folder.last()), false)];
        for (path, averaged) in paths.iter().filter_map(|(p, averaged)| Some((p.as_ref()?, *averaged))) {
            if !weights::save(path, setup.program, setup.task, setup.engine, &metadata, averaged)? {
                self.state.step -= 1;
                return Err(self.not_finite(None, observer));
            }
        }
        self.saved = Some(self.state.step);
        observer.tell(News::Saved);
        Ok(())
    }

    /// Saves where the run stands and ends it.
    fn interrupt(&mut self) -> Result<Outcome> {
        if self.saved != Some(self.state.step) {
            self.checkpoint(false, &mut super::Silent)?;
        }
        Ok(self.outcome(Ending::Interrupted))
    }

    fn outcome(&self, ending: Ending) -> Outcome {
        Outcome {
            ending,
            step: self.state.step,
            best: self.state.best,
            stopped_early: self.state.step < self.course.steps && self.state.watched.is_some_and(|w| w.over),
            trained: self.trained.clone(),
            validated: self.validated.clone(),
        }
    }

    /// Why the step after `state.step` steps gives no number. The step has changed the variables already, so the run is
    /// repeated from its last checkpoint (or its start) up to that step, which gives the same bits again.
    fn not_finite(&mut self, found: Option<(&Report, f64)>, observer: &mut dyn Observer) -> Box<Diagnostic> {
        let bad = self.state.step;
        let last = self.setup.folder.last();
        let why = self.find_cause(bad, observer);
        let kept = self.saved.map(|step| (last.as_path(), step));
        complete(why, found, &Moment { step: bad, course: &self.course, kept })
    }

    fn find_cause(&mut self, bad: u64, observer: &mut dyn Observer) -> Option<Diagnostic> {
        let mut from = 0;
        initialise(&mut *self.setup.engine, self.setup.seed, &self.setup.start).ok()?;
        if let Some(saved) = self.saved.filter(|s| *s <= bad) {
            let file = checkpoint::read(&self.setup.folder.last(), None).ok()?;
            weights::load_all(&file, self.setup.program, self.setup.task, self.setup.engine).ok()?;
            from = saved;
        }
        observer.tell(News::Replaying { steps: bad - from });
        for done in from..bad {
            if self.setup.stop.load(Ordering::Relaxed) {
                return None;
            }
            self.one_step(done).ok()?;
        }
        let clock = self.course.clock(bad);
        let feed = &mut self.setup.train;
        let samples = feed.load(self.setup.seed, clock.epoch, self.course.position(bad));
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: self.setup.seed };
        self.setup.engine.explain_not_finite(Entry::Train, feed.engine_batch(samples), &inputs)
    }
}
