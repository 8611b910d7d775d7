//! Training: makes or finds the run's folder, runs the session, says what came out.

use super::super::output::{self, duration, figure};
use super::super::progress::Progress;
use super::super::{Exit, Fault, input, runs};
use super::{Args, stop_flag};
use nnc::artifact::{Checkpoint, Record, RunFolder, checkpoint};
use nnc::check::{Every, Settings, Task};
use nnc::diag::{Diagnostic, Severity, codes};
use nnc::driver::{self, Checked};
use nnc::engine::Target;
use nnc::train::{self, Ending, Feed, Observer, Outcome, Session, Setup};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// A run that is resumed.
struct Earlier {
    folder: RunFolder,
    record: Record,
    checkpoint: Checkpoint,
}

pub fn run(args: &Args, name: &str, first: Option<Checked>, started: Instant) -> Result<Exit, Fault> {
    let format = args.input.message_format.into();
    let earlier = earlier(args, name)?;
    let mut options = args.input.options(args.task.as_deref());
    if let Some(Earlier { record, .. }) = &earlier {
        options.sets = record.sets.iter().chain(&args.input.sets).cloned().collect();
        options.data_root = options.data_root.or(record.data.as_ref().map(Into::into));
    }
    let same = options.task.is_none() && options.sets.len() == args.input.sets.len();
    let checked = match first.filter(|_| same && options.data_root == args.input.data) {
        Some(checked) => checked,
        None => input::checked_to_run(&args.file, &options, format)?,
    };
    let task = input::task(&checked.program, Some(name), "run")?;
    let seed = match &earlier {
        Some(e) => args.seed.unwrap_or(e.record.seed),
        None => args.seed.or(task.settings.seed).unwrap_or(0),
    };
    let recorded = earlier.as_ref().and_then(|e| Target::from_name(&e.record.target));
    let target = args.target.or(recorded).unwrap_or_default();
    if recorded.is_some_and(|t| t != target) {
        let what = format!("the run goes on on another target: {}", target.name());
        let d = Diagnostic::placeless(codes::RESUME, what).note("its bits will differ from those of the first target");
        output::diagnostics(&[Diagnostic { severity: Severity::Warning, ..d }], &checked.sources, format);
    }
    let threads = args.threads();
    let stop = stop_flag();
    let mut progress = Progress::new(&checked.sources, format, args.quiet, args.verbose, started);
    let at = |d| Fault::at(d, &checked.sources);

    let opened = train::open(task, &checked.data_root).map_err(at)?;
    let (learn, validate) = match &opened {
        None => (Feed::none(), None),
        Some(opened) => {
            let split = opened.split(seed);
            let feed = |view, shuffle| {
                Feed::new(view, &task.fields, task.settings.batch, shuffle).map(|feed| feed.within(task))
            };
            let validate = split.validate.map(|view| feed(view, false)).transpose().map_err(at)?;
            (feed(split.train, true).map_err(at)?, validate)
        }
    };
    let samples = (learn.samples(), validate.as_ref().map_or(0, Feed::samples));
    let mut engine = driver::engine(&checked, name, target, threads).map_err(at)?;
    args.launching.apply(&mut *engine)?;
    let start = match &earlier {
        Some(_) => train::Start::default(),
        None => {
            let trained = |of: &Task| runs::weights_of(args.run_dir.as_deref(), &args.file, of);
            train::start(&checked.program, task, &*engine, &checked.data_root, trained).map_err(at)?
        }
    };
    output::diagnostics(&start.notes, &checked.sources, format);
    let (folder, resumed) = match earlier {
        Some(e) => (e.folder, Some((e.record, e.checkpoint))),
        None => match &args.run_dir {
            Some(path) => (RunFolder::create_at(path)?, None),
            None => (RunFolder::create(Path::new(runs::ROOT), &runs::stem(&args.file), name)?, None),
        },
    };
    let mut record = match &resumed {
        Some((record, _)) => record.clone(),
        None => {
            let record = new_record(args, &options.sets, task, seed, target, threads);
            let sources = &checked.sources;
            let files =
                sources.ids().map(|id| sources.file(id)).filter(|f| !f.builtin && !f.name.starts_with("--set "));
            folder.write_sources(files.map(|f| (f.name.as_str(), &*f.text)))?;
            folder.write_record(&record)?;
            record
        }
    };
    let setup = Setup {
        program: &checked.program,
        task,
        engine: &mut *engine,
        train: learn,
        validate,
        seed,
        source: train::source_hash(&checked.text()),
        folder: folder.clone(),
        start: start.values,
        stop,
    };
    let from = resumed.as_ref().map(|(_, checkpoint)| checkpoint);
    let result = Session::new(setup, from, &mut progress).and_then(|mut session| {
        if !args.quiet {
            output::print(&heading(args, &session, samples, target, threads, seed, from.is_some()));
        }
        session.run(&mut progress as &mut dyn Observer)
    });
    progress.finish();
    let outcome = result.map_err(at)?;
    if let Some(first_step) = progress.first_step {
        let key = if from.is_some() { "first step after resuming" } else { "first step" };
        record.milliseconds.insert(key.to_string(), first_step.as_secs_f64() * 1e3);
        let whole = started.elapsed().as_secs_f64() * 1e3;
        *record.milliseconds.entry("all".to_string()).or_default() += whole;
        folder.write_record(&record)?;
    }
    output::print(&ending(args, name, &outcome, &folder, started));
    Ok(if outcome.ending == Ending::Interrupted { Exit::Interrupted } else { Exit::Ok })
}

fn earlier(args: &Args, task: &str) -> Result<Option<Earlier>, Fault> {
    let Some(named) = &args.resume else { return Ok(None) };
    let named = named.as_deref().or(args.run_dir.as_deref());
    let (folder, record) = runs::find(named, &args.file, task)?;
    let checkpoint = checkpoint::read(&folder.last(), None)?;
    Ok(Some(Earlier { folder, record, checkpoint }))
}

fn new_record(args: &Args, sets: &[String], task: &Task, seed: u64, target: Target, threads: usize) -> Record {
    Record {
        version: env!("CARGO_PKG_VERSION").to_string(),
        command: std::env::args().collect(),
        file: args.file.display().to_string(),
        task: task.name.clone(),
        seed,
        target: target.name().to_string(),
        threads,
        settings: settings(&task.settings),
        sets: sets.to_vec(),
        data: args.input.data.as_ref().map(|d| d.display().to_string()),
        milliseconds: BTreeMap::new(),
    }
}

/// The settings in the notation of the language.
fn settings(settings: &Settings) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(name.to_string(), value);
        }
    };
    put("batch", settings.batch.map(|n| n.to_string()));
    put("epochs", settings.epochs.map(|n| n.to_string()));
    put("steps", settings.steps.map(|n| n.to_string()));
    put("seed", settings.seed.map(|n| n.to_string()));
    put("accumulate", settings.accumulate.map(|n| n.to_string()));
    put(
        "validate_every",
        settings.validate_every.map(|e| match e {
            Every::Epochs(n) => format!("{n} epochs"),
            Every::Steps(n) => format!("{n} steps"),
        }),
    );
    all
}

/// The line above a run.
fn heading(
    args: &Args,
    session: &Session,
    samples: (usize, usize),
    target: Target,
    threads: usize,
    seed: u64,
    resumed: bool,
) -> String {
    let course = &session.course;
    let mut parts = Vec::new();
    if course.has_epochs {
        parts.push(format!(
            "{} samples, {} held out",
            output::grouped(samples.0 as u64),
            output::grouped(samples.1 as u64)
        ));
        parts.push(format!("{} steps an epoch", output::grouped(course.epoch_steps)));
    } else {
        parts.push(format!("{} steps", output::grouped(course.steps)));
    }
    let s = if threads == 1 { "" } else { "s" };
    parts.push(match target {
        Target::Cpu => format!("{}, {threads} thread{s}", target.name()),
        Target::Cuda | Target::Interpreter => target.name().to_string(),
    });
    parts.push(format!("seed {seed}"));
    let mut out = format!("{}: {}\n", args.file.display(), parts.join(" · "));
    if course.assumed {
        out += "neither `epochs` nor `steps` is set, so this is one epoch\n";
    }
    if resumed {
        out += &match session.step() >= course.steps {
            true => format!("the run is finished: all {} steps are done\n", course.steps),
            false => format!("going on after step {} of {}\n", session.step(), course.steps),
        };
    }
    out
}

/// The lines below a run.
fn ending(args: &Args, task: &str, outcome: &Outcome, folder: &RunFolder, started: Instant) -> String {
    let time = duration(started.elapsed().as_secs_f64());
    let path = folder.path().display();
    let list = |figures: &[(String, f64)]| {
        figures.iter().map(|(n, v)| format!("{n} {}", figure(*v))).collect::<Vec<_>>().join("  ")
    };
    if outcome.ending == Ending::Interrupted {
        let file = args.file.display();
        return format!(
            "interrupted after step {}, saved in {path}\nto go on: nnc run {file} {task} --resume {path}\n",
            outcome.step
        );
    }
    let early = match outcome.stopped_early {
        true => format!("stopped after step {}: no improvement for as long as `stop_when` says\n", outcome.step),
        false => String::new(),
    };
    let what = match (outcome.validated.is_empty(), outcome.trained.is_empty()) {
        (false, _) => format!("validation {}", list(&outcome.validated)),
        (true, false) => list(&outcome.trained),
        (true, true) => format!("{} steps", outcome.step),
    };
    let best = match outcome.best {
        Some(b) if b.step != outcome.step => {
            format!("lowest validation loss {} after step {} (best.safetensors)\n", figure(b.loss), b.step)
        }
        _ => String::new(),
    };
    format!("{early}done in {time}: {what}\n{best}run folder: {path}\n")
}
