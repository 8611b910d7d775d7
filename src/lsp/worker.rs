//! The thread beside the main loop: it checks texts and works out what tasks cost. Of several jobs for one file only the last
//! is done, what an editor waits for comes first, and what takes longer gives way to the next keystroke.

use super::host::{CachedData, KnownData, Open, Overlay};
use crate::check::Cancelled;
use crate::diag::{Diagnostic, codes};
use crate::ide::{self, Costs, Facts, Input, Reach, Syntax};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is to be done with a text; what comes first is done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// The items that an edit changed are checked.
    Changed,
    /// Also those that name them.
    Users,
    /// Everything is.
    Whole,
    /// What tasks cost.
    Costs,
}

/// A text, and what to do with it.
#[derive(Clone)]
pub struct Job {
    pub work: Work,
    pub uri: String,
    pub path: PathBuf,
    pub version: i32,
    pub syntax: Arc<Syntax>,
    pub open: Open,
    /// What is known of an earlier text.
    pub before: Option<Arc<Facts>>,
    /// The edits of the session when it was asked for; one more, and nobody waits for it any longer. None if it is to be
    /// finished.
    pub edits: Option<u64>,
}

/// What has been done.
pub enum Done {
    Checked {
        uri: String,
        version: i32,
        facts: Arc<Facts>,
        work: Work,
    },
    Costs {
        uri: String,
        version: i32,
        costs: Arc<Costs>,
    },
    /// It gave way to an edit.
    Cancelled {
        uri: String,
    },
}

/// The checker goes deep; the stack is reserved and not taken.
const STACK: usize = 64 << 20;

/// Starts the thread: where jobs go, and where it answers. `edits` counts those of the session.
pub fn start(edits: Arc<AtomicU64>) -> std::io::Result<(Sender<Job>, Receiver<Done>)> {
    let (jobs, waiting) = unbounded();
    let (answer, answers) = unbounded();
    let thread = std::thread::Builder::new().name("check".into()).stack_size(STACK);
    thread.spawn(move || work(&waiting, &answer, &edits))?;
    Ok((jobs, answers))
}

/// Adds the jobs that wait, without those that a later one of the same file replaces.
fn receive(first: Option<Job>, jobs: &Receiver<Job>, waiting: &mut Vec<Job>) {
    for next in first.into_iter().chain(jobs.try_iter()) {
        waiting.retain(|j| j.uri != next.uri);
        waiting.push(next);
    }
    waiting.sort_by_key(|j| j.work);
}

fn work(jobs: &Receiver<Job>, answer: &Sender<Done>, edits: &AtomicU64) {
    let known = KnownData::default();
    let mut waiting = Vec::new();
    loop {
        let first = match waiting.is_empty() {
            true => match jobs.recv() {
                Ok(job) => Some(job),
                Err(_) => return,
            },
            false => None,
        };
        receive(first, jobs, &mut waiting);
        let job = waiting.remove(0);
        if answer.send(done(job, &known, edits)).is_err() {
            return;
        }
    }
}

fn done(job: Job, known: &KnownData, edits: &AtomicU64) -> Done {
    let folder = job.path.parent().map(PathBuf::from).unwrap_or_default();
    let name = job.path.display().to_string();
    let data = CachedData::new(folder.clone(), known);
    let files = Overlay { open: job.open.clone() };
    let cancelled = || job.edits.is_some_and(|e| e != edits.load(Ordering::Relaxed));
    let input = Input {
        name: &name,
        text: job.syntax.text.clone(),
        folder: &folder,
        files: &files,
        data: &data,
        cancelled: Some(&cancelled),
    };
    let check = || match (&job.before, job.work) {
        (Some(before), Work::Changed) => ide::check_again(&input, &job.syntax, before, Reach::Changed),
        (Some(before), Work::Users) => ide::check_again(&input, &job.syntax, before, Reach::Users),
        // Everything is looked at, so nothing is taken over from an earlier reading either.
        _ => ide::check(&input, &Syntax::of(job.syntax.text.clone())),
    };
    let (uri, version) = (job.uri.clone(), job.version);
    if job.work == Work::Costs {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        return match catch_unwind(AssertUnwindSafe(|| ide::costs(&input, &job.syntax, threads))) {
            Err(fault) if fault.is::<Cancelled>() => Done::Cancelled { uri },
            costs => Done::Costs { uri, version, costs: Arc::new(costs.unwrap_or_default()) },
        };
    }
    match catch_unwind(AssertUnwindSafe(check)) {
        Err(fault) if fault.is::<Cancelled>() => Done::Cancelled { uri },
        facts => {
            let facts = Arc::new(facts.unwrap_or_else(|_| broken(&job)));
            Done::Checked { uri, version, facts, work: job.work }
        }
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
    Facts::unchecked(diagnostics, job.syntax.text.clone())
}
