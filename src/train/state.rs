//! Where a run stands: what a checkpoint notes besides the tensors. In goes the state, out comes the metadata, and back.
//! There is no time of day in it, no number of threads and no path: equal runs have equal checkpoints.

use super::{Averages, Course, Result};
use crate::diag::{Diagnostic, codes};
use std::collections::BTreeMap;

/// The validation with the lowest loss so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    pub loss: f64,
    /// Steps finished when it was measured.
    pub step: u64,
}

/// The best value so far of the figure that `stop_when` watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    pub value: f64,
    /// Steps finished when it was measured.
    pub step: u64,
    /// It has not improved for as long as the program waits: the run is over.
    pub over: bool,
}

/// The state of a run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub task: String,
    pub seed: u64,
    /// A hash of the program's text.
    pub source: String,
    /// Steps finished.
    pub step: u64,
    /// Whether what follows that step (figures, validation) was done.
    pub closed: bool,
    /// Figures of the window so far.
    pub averages: Averages,
    /// Rows of figures that were written.
    pub rows: u64,
    pub best: Option<Best>,
    pub watched: Option<Watched>,
}

impl State {
    /// The state before the first step.
    pub fn new(task: &str, seed: u64, source: String, figures: usize) -> State {
        State {
            task: task.to_string(),
            seed,
            source,
            step: 0,
            closed: true,
            averages: Averages::new(figures),
            rows: 0,
            best: None,
            watched: None,
        }
    }

    pub fn metadata(&self, course: &Course) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut put = |key: &str, value: String| all.insert(format!("nnc.{key}"), value);
        put("task", self.task.clone());
        put("seed", self.seed.to_string());
        put("source", self.source.clone());
        put("step", self.step.to_string());
        put("epoch", course.epoch(self.step).to_string());
        put("position", course.position(self.step).to_string());
        put("epoch_steps", course.epoch_steps.to_string());
        put("steps", course.steps.to_string());
        put("closed", self.closed.to_string());
        put("averages", self.averages.to_text());
        put("rows", self.rows.to_string());
        if let Some(best) = self.best {
            put("best", format!("{:?} at {}", best.loss, best.step));
        }
        if let Some(w) = self.watched {
            put("watched", format!("{:?} at {} {}", w.value, w.step, if w.over { "over" } else { "open" }));
        }
        all
    }

    /// Reads what [`State::metadata`] wrote. `figures` is how many figures the program reports.
    ///
    /// # Errors
    /// The checkpoint is not one of a run, is of another task, or the program counts its steps in another way. Warnings:
    /// the program's text has changed, or the run is to have another length.
    pub fn read(metadata: &BTreeMap<String, String>, now: &State, course: &Course) -> Result<(State, Vec<Diagnostic>)> {
        let get = |key: &str| {
            metadata.get(&format!("nnc.{key}")).ok_or_else(|| {
                let d = Diagnostic::placeless(codes::RESUME, "the checkpoint does not say where its run stood");
                let d = d.note(format!("its metadata has no `nnc.{key}`"));
                Box::new(d.help("only a checkpoint that `nnc run` wrote can be resumed"))
            })
        };
        let damaged = |key: &str| {
            let d = Diagnostic::placeless(codes::RESUME, format!("the checkpoint's `nnc.{key}` cannot be read"));
            Box::new(d.help("resume from another copy of it, or start a new run"))
        };
        fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
            text.parse().ok()
        }
        let task = get("task")?.clone();
        if task != now.task {
            let d = Diagnostic::placeless(codes::RESUME, format!("the checkpoint is of the task `{task}`"));
            return Err(Box::new(d.help(format!("resume that task, or name the folder of a run of `{}`", now.task))));
        }
        let number = |key: &str| get(key).and_then(|t| parse::<u64>(t).ok_or_else(|| damaged(key)));
        let seed = number("seed")?;
        if seed != now.seed {
            let d = Diagnostic::placeless(codes::RESUME, format!("the run has the seed {seed}, not {}", now.seed));
            return Err(Box::new(d.help("leave `--seed` out, or start a new run")));
        }
        let epoch_steps = number("epoch_steps")?;
        if epoch_steps != course.epoch_steps && course.has_epochs {
            let what = format!("an epoch of the run had {epoch_steps} steps, now it has {}", course.epoch_steps);
            let d = Diagnostic::placeless(codes::RESUME, what);
            let d = d.note("its batch size or its data has changed");
            return Err(Box::new(d.help("resume with the batch size and the data that it was started with")));
        }
        let averages = Averages::from_text(get("averages")?).ok_or_else(|| damaged("averages"))?;
        if averages.len() != now.averages.len() {
            let what = format!("the run had {} figures, the program has {}", averages.len(), now.averages.len());
            let d = Diagnostic::placeless(codes::RESUME, what);
            return Err(Box::new(d.help("resume with the losses and metrics that it was started with")));
        }
        let best = match metadata.get("nnc.best") {
            None => None,
            Some(text) => {
                let (loss, step) = text.split_once(" at ").ok_or_else(|| damaged("best"))?;
                let (loss, step) = (parse(loss), parse(step));
                Some(Best { loss: loss.ok_or_else(|| damaged("best"))?, step: step.ok_or_else(|| damaged("best"))? })
            }
        };
        let watched = match metadata.get("nnc.watched") {
            None => None,
            Some(text) => {
                let read = || {
                    let (value, rest) = text.split_once(" at ")?;
                    let (step, over) = rest.split_once(' ')?;
                    Some(Watched { value: parse(value)?, step: parse(step)?, over: over == "over" })
                };
                Some(read().ok_or_else(|| damaged("watched"))?)
            }
        };
        let state = State {
            task,
            seed,
            source: now.source.clone(),
            step: number("step")?,
            closed: parse(get("closed")?).ok_or_else(|| damaged("closed"))?,
            averages,
            rows: number("rows")?,
            best,
            watched,
        };
        let mut warnings = Vec::new();
        let mut warn = |what: String, note: &str| {
            let d = Diagnostic::placeless(codes::RESUME, what).note(note);
            warnings.push(Diagnostic { severity: crate::diag::Severity::Warning, ..d });
        };
        if *get("source")? != now.source {
            warn(
                "the program has changed since the run was started".into(),
                "the run goes on with the new text; the old one is `source.nn` in its folder",
            );
        }
        let steps = number("steps")?;
        if steps != course.steps {
            warn(
                format!("the run was to have {steps} steps, now it has {}", course.steps),
                "schedules that depend on the length of the run go on by the new one",
            );
        }
        Ok((state, warnings))
    }
}

/// A hash of a program's text (FNV-1a, 64 bits): not against malice, but against oversight.
pub fn source_hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    format!("{:016x}", text.bytes().fold(0xCBF2_9CE4_8422_2325, step))
}
