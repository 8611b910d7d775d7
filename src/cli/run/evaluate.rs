//! Evaluating: the figures of a trained net over the samples that are held out.

use super::super::output::{self, figure};
use super::super::{Exit, Fault, input, runs, usage};
use super::{Args, stop_flag};
use nnc::artifact::{Checkpoint, Record, RunFolder, checkpoint};
use nnc::check::{Task, VarKind};
use nnc::diag::{Diagnostic, codes};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry};
use nnc::train::{self, Evaluation, Feed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A task that is ready to look at samples with trained weights.
pub struct Ready {
    pub checked: Checked,
    pub engine: Box<dyn Engine>,
    pub seed: u64,
    /// The folder of the run whose weights were taken; none with `--weights`, or if nothing was trained.
    pub folder: Option<RunFolder>,
    /// The checkpoint.
    pub weights: Option<PathBuf>,
    /// What the checkpoints note: vocabularies among it.
    pub metadata: BTreeMap<String, String>,
}

/// The weights of one task that trained.
struct Trained {
    owner: Option<String>,
    path: PathBuf,
    file: Checkpoint,
    run: Option<(RunFolder, Record)>,
}

/// Reads the file, finds the trained nets that the task speaks of, and loads them.
pub fn ready(args: &Args, name: &str) -> Result<Ready, Fault> {
    let format = args.input.message_format.into();
    let mut options = args.input.options(None);
    let checked = input::checked_to_run(&args.file, &options, format)?;
    let trained = trained(args, &checked, name)?;
    // The program as it was when the net was trained: with the settings of that run.
    let record = trained.iter().find_map(|t| t.run.as_ref().map(|(_, record)| record));
    let mut checked = checked;
    if let Some(record) = record.filter(|r| !r.sets.is_empty() || (r.data.is_some() && options.data_root.is_none())) {
        options.sets = record.sets.iter().chain(&args.input.sets).cloned().collect();
        options.data_root = options.data_root.or(record.data.as_ref().map(Into::into));
        checked = input::checked_to_run(&args.file, &options, format)?;
    }
    let of_file = trained.first().and_then(|t| train::seed_of(&t.file));
    let recorded = record.map(|r| r.seed).or(of_file);
    let metadata: BTreeMap<String, String> = trained.iter().flat_map(|t| t.file.metadata.clone()).collect();
    let (mut engine, seed) = match loaded(args, name, &checked, &trained, recorded) {
        // Without its data, or with other data, the net's sizes are those of the vocabularies that it was trained with.
        Err(fault) if metadata.keys().any(|k| k.starts_with("nnc.vocabulary ")) => {
            let options = Options { saved: metadata.clone(), ..options };
            let again = input::checked_to_run(&args.file, &options, format)?;
            match loaded(args, name, &again, &trained, recorded) {
                Ok(found) => {
                    checked = again;
                    found
                }
                Err(_) => return Err(fault),
            }
        }
        result => result?,
    };
    let task = input::task(&checked.program, Some(name), "run")?;
    if task.train.is_none() {
        let at = |d| Fault::at(d, &checked.sources);
        let none = |of: &Task| Err(Box::new(Diagnostic::error(codes::USAGE, of.span, "this net is not copied")));
        let start = train::start(&checked.program, task, &*engine, &checked.data_root, none).map_err(at)?;
        output::diagnostics(&start.notes, &checked.sources, format);
        start.values.iter().for_each(|(v, value)| engine.set_var(*v, value));
    }
    let weights = trained.first().map(|t| t.path.clone());
    let folder = trained.into_iter().find_map(|t| t.run.map(|(folder, _)| folder));
    Ok(Ready { checked, engine, seed, folder, weights, metadata })
}

/// The task's engine with the weights that were trained, and the seed of its draws.
fn loaded(
    args: &Args,
    name: &str,
    checked: &Checked,
    trained: &[Trained],
    recorded: Option<u64>,
) -> Result<(Box<dyn Engine>, u64), Fault> {
    let at = |d| Fault::at(d, &checked.sources);
    let task = input::task(&checked.program, Some(name), "run")?;
    let seed = args.seed.or(recorded).or(task.settings.seed).unwrap_or(0);
    let mut engine = driver::engine(checked, name, args.target.unwrap_or_default(), args.threads()).map_err(at)?;
    args.launching.apply(&mut *engine)?;
    engine.initialise(seed).map_err(at)?;
    for t in trained {
        train::load_net(&t.file, &checked.program, task, t.owner.as_deref(), &mut *engine)?;
    }
    Ok((engine, seed))
}

fn trained(args: &Args, checked: &Checked, name: &str) -> Result<Vec<Trained>, Fault> {
    let program = &checked.program;
    let task = input::task(program, Some(name), "run")?;
    if let Some(path) = &args.weights {
        let file = checkpoint::read(path, None)?;
        return Ok(vec![Trained { owner: None, path: path.clone(), file, run: None }]);
    }
    // A metric has no weights, and what the task loads itself is not to be found in a run.
    let loaded: Vec<_> = match task.train {
        Some(_) => Vec::new(),
        None => task.loads.iter().flat_map(|l| &l.parts).flat_map(|(_, vars)| vars).collect(),
    };
    let owners: BTreeSet<usize> = task
        .vars
        .iter()
        .filter(|v| !task.metrics.contains(v) && !loaded.contains(v))
        .map(|v| program.var(*v))
        .filter(|v| v.kind != VarKind::OptimizerState)
        .map(|v| v.task)
        .collect();
    let mut all = Vec::new();
    for owner in owners.iter().filter_map(|i| program.tasks.get(*i)) {
        if owner.train.is_none() {
            let what = format!("the net of `{}` was never trained", owner.name);
            let d = Diagnostic::error(codes::USAGE, owner.span, what);
            let d = d.help("speak of the net of a task that trains (`train.net`), or give `--weights FILE`");
            return Err(Fault::at(Box::new(d), &checked.sources));
        }
        let (folder, record) = runs::find(args.run_dir.as_deref(), &args.file, &owner.name)?;
        let path = if folder.best().exists() { folder.best() } else { folder.last() };
        let file = checkpoint::read(&path, None)?;
        all.push(Trained { owner: Some(owner.name.clone()), path, file, run: Some((folder, record)) });
    }
    Ok(all)
}

/// `derived`: the task trains, and its step is only to be measured.
pub fn run(args: &Args, name: &str, derived: bool) -> Result<Exit, Fault> {
    let mut ready = ready(args, name)?;
    let task = input::task(&ready.checked.program, Some(name), "run")?;
    let at = |d| Fault::at(d, &ready.checked.sources);
    let opened = train::open_with(task, &ready.checked.data_root, &ready.metadata).map_err(at)?;
    let view = opened.as_ref().map(|o| match derived {
        true => o.split(ready.seed).validate,
        false => Some(train::split(o, ready.seed)),
    });
    let mut feed = match view {
        None => Feed::none(),
        Some(None) => {
            let help = "hold some out in the source: `validate: 0.2`";
            return Err(usage(format!("`{name}` holds no samples out to measure with"), help));
        }
        Some(Some(view)) => Feed::new(view, &task.fields, task.settings.batch, false).map_err(at)?.within(task),
    };
    for batch in feed.sizes() {
        ready.engine.prepare(Entry::Eval, batch).map_err(at)?;
    }
    let reports = &task.eval.reports;
    let stop = stop_flag();
    let clock = ClockValues::default();
    let found = train::evaluate(&mut *ready.engine, reports, &mut feed, ready.seed, clock, stop, || {}).map_err(at)?;
    let averages = match found {
        Evaluation::Done(averages) => averages,
        Evaluation::Stopped => return Ok(Exit::Interrupted),
        Evaluation::NotFinite { report, value, why } => {
            let r = &reports[report];
            let what = format!("`{}` is {value} in the evaluation", r.name);
            let d = why.unwrap_or_else(|| Box::new(Diagnostic::error(codes::NOT_FINITE, r.span, what)));
            return Err(at(d));
        }
    };
    let weights = ready.weights.as_ref().map_or(String::new(), |w| format!(" with {}", w.display()));
    let samples = match feed.samples() {
        0 => String::new(),
        n => format!(" over {} samples", output::grouped(n as u64)),
    };
    if !args.quiet {
        output::print(&format!("{}: {name}{samples}{weights}\n", args.file.display()));
    }
    let names = train::figure_names(reports);
    let lines: Vec<Vec<String>> =
        names.iter().enumerate().map(|(i, n)| vec![n.to_string(), figure(averages.get(i))]).collect();
    output::print(&output::table(&lines, &[0]));
    Ok(Exit::Ok)
}
