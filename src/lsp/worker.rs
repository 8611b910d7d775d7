//! The threads beside the main loop: one checks texts, the other works out what tasks cost. Of several jobs for one file
//! only the last is done.

use super::host::{CachedData, KnownData, Open, Overlay};
use crate::diag::{Diagnostic, codes};
use crate::ide::{self, Costs, Facts, Input, Syntax};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::path::PathBuf;
use std::sync::Arc;

/// A text to be checked.
#[derive(Clone)]
pub struct Job {
    pub uri: String,
    pub path: PathBuf,
    pub version: i32,
    pub syntax: Arc<Syntax>,
    pub open: Open,
    /// What is known of an earlier text, if only what changed is to be looked at.
    pub before: Option<Arc<Facts>>,
}

/// What a thread has done.
pub enum Done {
    Checked { uri: String, version: i32, facts: Arc<Facts>, whole: bool },
    Costs { uri: String, version: i32, costs: Arc<Costs> },
}

/// The checker goes deep; the stack is reserved and not taken.
const STACK: usize = 64 << 20;

/// Starts the threads: where checks go, where costs go, and where both answer.
pub fn start() -> std::io::Result<(Sender<Job>, Sender<Job>, Receiver<Done>)> {
    let (checks, check_jobs) = unbounded();
    let (costs, cost_jobs) = unbounded();
    let (answer, answers) = unbounded();
    let other = answer.clone();
    let spawn = |name: &str| std::thread::Builder::new().name(name.into()).stack_size(STACK);
    spawn("check").spawn(move || check_loop(&check_jobs, &answer))?;
    spawn("costs").spawn(move || costs_loop(&cost_jobs, &other))?;
    Ok((checks, costs, answers))
}

/// The jobs that wait, without those that a later one of the same file replaces.
fn latest(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut waiting = vec![first];
    while let Ok(next) = jobs.try_recv() {
        waiting.retain(|j| j.uri != next.uri);
        waiting.push(next);
    }
    waiting
}

fn check_loop(jobs: &Receiver<Job>, answer: &Sender<Done>) {
    let known = KnownData::default();
    while let Ok(first) = jobs.recv() {
        for job in latest(first, jobs) {
            let whole = job.before.is_none();
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&job, &known)));
            let facts = Arc::new(checked.unwrap_or_else(|_| broken(&job)));
            let done = Done::Checked { uri: job.uri, version: job.version, facts, whole };
            if answer.send(done).is_err() {
                return;
            }
        }
    }
}

fn check(job: &Job, known: &KnownData) -> Facts {
    let folder = job.path.parent().map(PathBuf::from).unwrap_or_default();
    let name = job.path.display().to_string();
    let data = CachedData::new(folder.clone(), known);
    let files = Overlay { open: job.open.clone() };
    let input =
        Input { name: &name, text: job.syntax.text.clone(), folder: &folder, files: &files, data: &data, only: None };
    match &job.before {
        Some(before) => ide::check_again(input, &job.syntax, before),
        None => ide::check(&input, &job.syntax),
    }
}

/// A check that ended in a mistake of nnc's.
fn broken(job: &Job) -> Facts {
    let mut diagnostics = job.syntax.diagnostics.clone();
    let place = crate::source::Span::new(ide::MAIN, 0, 0);
    diagnostics.push(
        Diagnostic::error(codes::INTERNAL, place, "checking this file ended in a bug of nnc")
            .help("please report it with the file"),
    );
    Facts { diagnostics, text: job.syntax.text.clone(), ..Facts::default() }
}

fn costs_loop(jobs: &Receiver<Job>, answer: &Sender<Done>) {
    let known = KnownData::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    while let Ok(first) = jobs.recv() {
        for job in latest(first, jobs) {
            let folder = job.path.parent().map(PathBuf::from).unwrap_or_default();
            let name = job.path.display().to_string();
            let data = CachedData::new(folder.clone(), &known);
            let files = Overlay { open: job.open.clone() };
            let input = Input {
                name: &name,
                text: job.syntax.text.clone(),
                folder: &folder,
                files: &files,
                data: &data,
                only: None,
            };
            let work = || ide::costs(&input, &job.syntax, threads);
            let costs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_default();
            let done = Done::Costs { uri: job.uri, version: job.version, costs: Arc::new(costs) };
            if answer.send(done).is_err() {
                return;
            }
        }
    }
}
