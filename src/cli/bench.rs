//! `nnc bench`: a task's step on random data of its declared types, timed.

use super::compile::entries_of;
use super::input::{self, Input, MessageFormat};
use super::launching::Launching;
use super::{Exit, Fault, machine, output, profile};
use nnc::check::Task;
use nnc::driver;
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, random_fields};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Run steps on random data of the declared types, and say how long they take
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nnc bench net.nn\n  nnc bench net.nn --launches\n  nnc bench net.nn --set batch=1 --threads 1"
)]
pub struct Args {
    /// The program
    file: PathBuf,
    /// A task; all if none
    task: Option<String>,
    /// Stop after this many steps; else after about two seconds, five steps at least
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// What runs it: cpu, cuda or interpreter
    #[arg(long, default_value = "cpu", value_parser = input::target)]
    target: Target,
    /// The threads that a step is cut for
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Show where the time goes: each launch of the training step, slowest first
    #[arg(long)]
    launches: bool,
    #[command(flatten)]
    launching: Launching,
    #[command(flatten)]
    pub input: Input,
}

/// What stands for a size that only the data knows, where the data is absent.
pub const ASSUMED: usize = 32;

/// The most tokens of a text that is timed.
const TEXT: usize = 256;

pub fn run(args: &Args, started: Instant) -> Result<Exit, Fault> {
    let mut checked = args.input.checked(&args.file, args.task.as_deref())?;
    if checked.program.tasks.is_empty() {
        input::task(&checked.program, None, "bench")?;
    }
    for task in &mut checked.program.tasks {
        task.assumed = Some(ASSUMED);
    }
    let tasks: Vec<&Task> = match &args.task {
        Some(name) => vec![input::task(&checked.program, Some(name), "bench")?],
        None => checked.program.tasks.iter().collect(),
    };
    let threads = args.threads.map_or_else(machine::default_threads, usize::from);
    for task in tasks {
        let at = |d| Fault::at(d, &checked.sources);
        let batch = task.settings.batch.unwrap_or(0);
        let fields = random_fields(task, batch, 0);
        let mut engine = driver::engine(&checked, &task.name, args.target, threads).map_err(at)?;
        args.launching.apply(&mut *engine)?;
        engine.initialise(task.settings.seed.unwrap_or(0)).map_err(at)?;
        if task.generation.is_some() && token(args, task, &mut *engine, &fields, started).map_err(at)? {
            continue;
        }
        for (entry, name) in entries_of(task) {
            let flops = engine.prepare(*entry, batch).map_err(at)?.flops;
            let step = |engine: &mut dyn Engine, i: u64| {
                engine.run(*entry, batch, &StepInputs { fields: &fields, clock: clock(i), seed: 0, lengths: &[] })
            };
            let (times, first) = timed(&mut *engine, &step, args.steps, started).map_err(at)?;
            let value = engine.scalar(0);
            tell(args, &format!("{}.{name}", task.name), (&times, first, flops), value);
        }
        if args.launches && args.target == Target::Cpu {
            let found = profile::measure(&checked, task, entries_of(task)[0].0, batch, threads, None).map_err(at)?;
            output::print(&profile::table(&found, &checked.sources, usize::MAX));
        }
    }
    Ok(Exit::Ok)
}

/// Times a token of a text, in the second half of what the net takes; says whether it is computed for its own place alone.
fn token(
    args: &Args,
    task: &Task,
    engine: &mut dyn Engine,
    fields: &[Vec<u8>],
    started: Instant,
) -> Result<bool, Box<nnc::diag::Diagnostic>> {
    let Some(generation) = &task.generation else { return Ok(false) };
    let (rows, most) = (generation.choice.beam, generation.limit.unwrap_or(TEXT).min(TEXT));
    // Other texts of the prompt have the length that stands for all.
    let length = |field: usize| if field == generation.output { most } else { ASSUMED };
    let lengths: Vec<usize> = task.varying().map(|(field, _)| length(field)).collect();
    if most < 2 || !engine.extend(1, rows, &lengths)? {
        return Ok(false);
    }
    let mut fields = fields.to_vec();
    fields[generation.output] = vec![0; 4 * rows];
    fields.push(Vec::new());
    let buffers = std::cell::RefCell::new(fields);
    let step = |engine: &mut dyn Engine, i: u64| {
        let mut fields = buffers.borrow_mut();
        let place = (most / 2) as u64 + i % (most - most / 2) as u64;
        if let Some(start) = fields.last_mut() {
            *start = (place as i32).to_ne_bytes().to_vec();
        }
        let inputs = StepInputs { fields: &fields, clock: clock(i), seed: 0, lengths: &lengths };
        engine.run(Entry::Extend(1), rows, &inputs)
    };
    let (times, first) = timed(engine, &step, args.steps, started)?;
    let value = engine.scalar(0);
    tell(args, &format!("{}.token", task.name), (&times, first, 0), value);
    Ok(true)
}

/// Prints the measurements of an entry: seconds of its steps, sorted, and from the start of the process to the end of the
/// first; the operations of a step, 0 if they are not counted.
fn tell(args: &Args, entry: &str, (times, first, flops): (&[f64], f64, u64), value: f64) {
    if let MessageFormat::Json = args.input.message_format {
        return json_lines(&args.file, entry, times, first, flops);
    }
    let median = times[times.len() / 2];
    let rate = if flops == 0 { String::new() } else { format!(", {:.1} GFLOP/s", flops as f64 / median / 1e9) };
    output::print(&format!(
        "{entry}: {:.3} ms a step (least {:.3} ms, {} steps){rate}, first value {}\n",
        median * 1e3,
        times[0] * 1e3,
        times.len(),
        output::figure(value),
    ));
}

pub fn clock(step: u64) -> ClockValues {
    ClockValues { step, epoch: 0, steps: 1000, epoch_steps: 1000 }
}

/// The measurements as JSON lines, one a metric: milliseconds a step, seconds from the start of the process to the end of
/// the first step, the process's largest memory so far.
fn json_lines(file: &Path, entry: &str, times: &[f64], first: f64, flops: u64) {
    let workload = file.file_stem().unwrap_or_default().to_string_lossy();
    let line = |metric: &str, value: f64, more: serde_json::Value| {
        let mut line = serde_json::json!({
            "workload": workload, "peer": "nnc", "entry": entry, "metric": metric, "value": value,
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(more.clone());
        }
        output::print(&format!("{line}\n"));
    };
    let p10 = times[times.len() / 10] * 1e3;
    let median = times[times.len() / 2] * 1e3;
    line("ms_per_step", median, serde_json::json!({ "p10": p10, "steps": times.len(), "flops": flops }));
    line("first_step_s", first, serde_json::Value::Null);
    if let Some(bytes) = machine::peak_memory() {
        line("peak_rss_mib", bytes as f64 / f64::from(1 << 20), serde_json::Value::Null);
    }
}

/// Runs the step of this number.
type RunStep<'a> = dyn Fn(&mut dyn Engine, u64) -> Result<(), Box<nnc::diag::Diagnostic>> + 'a;

/// Seconds of each step, sorted, and from the start of the process to the end of the first.
fn timed(
    engine: &mut dyn Engine,
    run: &RunStep,
    steps: Option<u32>,
    process: Instant,
) -> Result<(Vec<f64>, f64), Box<nnc::diag::Diagnostic>> {
    let mut first = None;
    let started = Instant::now();
    let mut times = Vec::new();
    loop {
        let step = Instant::now();
        run(engine, times.len() as u64)?;
        engine.finish()?;
        times.push(step.elapsed().as_secs_f64());
        first.get_or_insert_with(|| process.elapsed().as_secs_f64());
        let enough = match steps {
            Some(steps) => times.len() >= steps as usize,
            None => times.len() >= 5 && started.elapsed() > Duration::from_secs(2),
        };
        if enough || times.len() >= 10_000 {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((times, first.unwrap_or_default()))
}
