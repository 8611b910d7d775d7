//! `nnc profile`: where a task's step spends its time, by kernel, with the lines that each kernel computes and how near it
//! comes to what the machine can do.

use super::bench::{ASSUMED, clock};
use super::input::{self, Input, MessageFormat};
use super::{Exit, Fault, compile, machine, output, trace};
use nnc::check::Task;
use nnc::diag::Diagnostic;
use nnc::driver::{self, Checked};
use nnc::engine::profile::{LaunchProfile, Profile};
use nnc::engine::{CpuEngine, Engine, Entry, StepInputs, random_fields};
use nnc::graph::Origin;
use nnc::source::Sources;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Show where a step's time goes, by kernel and source line, on random data of the declared types
#[derive(clap::Args)]
#[command(after_help = "\
Columns: the time of all launches of a kernel in one step (medians), their share of the step and their number; operations
and bytes a second; `roof` is the time that the machine's measured peaks would need, in percent of the time taken (bytes
count at the speed of the nearest cache that can still hold them); the lines that the kernel computes.

Examples:
  nnc profile net.nn
  nnc profile net.nn --entry eval --threads 1
  nnc profile net.nn train --trace step.json      open it in ui.perfetto.dev or chrome://tracing")]
pub struct Args {
    /// The program
    file: PathBuf,
    /// The task; the only one that trains if none
    task: Option<String>,
    /// The entry: train or eval
    #[arg(long, value_name = "ENTRY")]
    entry: Option<String>,
    /// Run this many steps of either kind, with and without clocks; else for about a second
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Write one step as a trace in the format of Chrome and Perfetto
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// All kernels, not only the slowest
    #[arg(long)]
    all: bool,
    /// The threads that a step is cut for
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    pub input: Input,
}

/// Rows of the table unless all are asked for.
const SHOWN: usize = 30;
/// Places of a kernel that the table names.
const PLACES: usize = 4;

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let mut checked = args.input.checked(&args.file, args.task.as_deref())?;
    for task in &mut checked.program.tasks {
        task.assumed = Some(ASSUMED);
    }
    let task = input::task(&checked.program, args.task.as_deref(), "profile")?;
    let entry = compile::entry(args.entry.as_deref(), task)?;
    let threads = args.threads.map_or_else(machine::default_threads, usize::from);
    let at = |d: Box<Diagnostic>| Fault::at(d, &checked.sources);
    let batch = task.settings.batch.unwrap_or(0);
    let steps = args.steps.map(|n| n as usize);
    // A trace that cannot be written is told before the time is spent.
    let file = args.trace.as_deref().map(trace::create).transpose()?;
    let found = measure(&checked, task, entry, batch, threads, steps).map_err(at)?;
    match args.input.message_format {
        MessageFormat::Json => json_lines(&args.file, task, entry, &found, &checked.sources),
        _ => output::print(&table(&found, &checked.sources, if args.all { usize::MAX } else { SHOWN })),
    }
    if let (Some(path), Some(file)) = (&args.trace, file) {
        let title = format!("nnc {} {}.{}", args.file.display(), task.name, entry_name(task, entry));
        trace::write(file, path, &title, &found, &|launch| places(&launch.parts, &checked.sources))?;
    }
    Ok(Exit::Ok)
}

fn entry_name(task: &Task, entry: Entry) -> &'static str {
    compile::entries_of(task).iter().find(|(e, _)| *e == entry).map_or("", |(_, name)| name)
}

/// Profiles an entry on random fields.
pub fn measure(
    checked: &Checked,
    task: &Task,
    entry: Entry,
    batch: usize,
    threads: usize,
    steps: Option<usize>,
) -> Result<Profile, Box<Diagnostic>> {
    let task = driver::whole_task(checked, &task.name)?;
    let mut engine = CpuEngine::new(&checked.program, task, threads)?;
    engine.initialise(task.settings.seed.unwrap_or(0))?;
    let fields = random_fields(task, batch, 0);
    engine.profile(entry, batch, &StepInputs { fields: &fields, clock: clock(0), seed: 0, lengths: &[] }, steps)
}

/// All launches of a step that run the same kernel for the same lines.
struct Row {
    kernel: String,
    places: Vec<String>,
    launches: usize,
    seconds: f64,
    flops: u64,
    bytes: u64,
    /// Seconds at the machine's peaks.
    least: f64,
}

/// The slowest first.
fn rows(profile: &Profile, sources: &Sources) -> Vec<Row> {
    let mut rows: BTreeMap<(String, Vec<String>), Row> = BTreeMap::new();
    for launch in &profile.launches {
        let LaunchProfile { name, parts, flops, bytes, seconds } = launch;
        let places = places(parts, sources);
        let empty = || Row {
            kernel: name.clone(),
            places: places.clone(),
            launches: 0,
            seconds: 0.0,
            flops: 0,
            bytes: 0,
            least: 0.0,
        };
        let row = rows.entry((name.clone(), places.clone())).or_insert_with(empty);
        row.launches += 1;
        row.seconds += seconds;
        row.flops += flops;
        row.bytes += bytes.iter().sum::<u64>();
        row.least += profile.peaks.seconds(*flops, bytes);
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    rows
}

/// `file:line` of each expression, each once, the user's files before the library's.
fn places(parts: &[Origin], sources: &Sources) -> Vec<String> {
    let known: Vec<_> = sources.ids().collect();
    let mut found: Vec<(bool, &str, usize)> = Vec::new();
    for part in parts.iter().filter(|p| known.contains(&p.span.file)) {
        let file = sources.file(part.span.file);
        found.push((file.builtin, &file.name, sources.line_of(part.span)));
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(_, name, line)| format!("{name}:{line}")).collect()
}

/// Places for the table: lines of one file share its name, without its folders.
fn short(places: &[String]) -> String {
    let mut out = String::new();
    let mut last = "";
    for place in places.iter().take(PLACES) {
        let (file, line) = place.rsplit_once(':').unwrap_or((place, ""));
        if file == last {
            out += &format!(",{line}");
        } else {
            let name = Path::new(file).file_name().map_or(file.into(), |n| n.to_string_lossy());
            out += &format!("{}{name}:{line}", if last.is_empty() { "" } else { " " });
        }
        last = file;
    }
    if places.len() > PLACES {
        out += &format!(" and {} more", places.len() - PLACES);
    }
    out
}

/// The table with at most so many kernels, then what they sum up to.
pub fn table(profile: &Profile, sources: &Sources, most: usize) -> String {
    let rows = rows(profile, sources);
    let sum: f64 = profile.launches.iter().map(|l| l.seconds).sum();
    let percent = |part: f64, whole: f64| format!("{:.1} %", 100.0 * part / whole.max(f64::MIN_POSITIVE));
    let rate = |amount: u64, seconds: f64| format!("{:.1}", amount as f64 / seconds.max(1e-9) / 1e9);
    let head = ["time", "share", "launches", "GFLOP/s", "GB/s", "roof", "kernel", "lines"];
    let mut cells = vec![head.map(String::from).to_vec()];
    for row in rows.iter().take(most) {
        cells.push(vec![
            time(row.seconds),
            percent(row.seconds, profile.timed_step),
            row.launches.to_string(),
            rate(row.flops, row.seconds),
            rate(row.bytes, row.seconds),
            format!("{:.0} %", 100.0 * row.least / row.seconds.max(1e-9)),
            row.kernel.clone(),
            short(&row.places),
        ]);
    }
    let mut out = output::table(&cells, &[6, 7]);
    if rows.len() > most {
        let rest: f64 = rows[most..].iter().map(|r| r.seconds).sum();
        out += &format!("and {} faster ones of {} in all\n", rows.len() - most, time(rest));
    }
    let (flops, bytes) = (rows.iter().map(|r| r.flops).sum(), rows.iter().map(|r| r.bytes).sum());
    let least: f64 = rows.iter().map(|r| r.least).sum();
    out += &format!(
        "\nstep      {}, median of {}: {} GFLOP/s, {} GB/s, {} of the roof\n",
        time(profile.step),
        profile.steps,
        rate(flops, profile.step),
        rate(bytes, profile.step),
        percent(least, profile.step),
    );
    out += &format!("launches  {} in {}\n", time(sum), profile.launches.len());
    out += &format!("between   {} of a step with clocks, {}\n", time(profile.between), time(profile.timed_step));
    let peaks = &profile.peaks;
    let levels = peaks.levels.iter().map(|level| {
        let name = match level.bytes {
            usize::MAX => "memory".to_string(),
            bytes => format!("cache of {}", output::bytes(bytes)),
        };
        format!("{name} {:.0} GB/s", level.bandwidth / 1e9)
    });
    let levels: Vec<String> = levels.collect();
    let threads = if peaks.threads == 1 { "1 thread".to_string() } else { format!("{} threads", peaks.threads) };
    out += &format!("peaks     {:.0} GFLOP/s, {}, with {threads}\n", peaks.flops / 1e9, levels.join(", "));
    out
}

/// Four digits at most, in the unit that fits.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 0.1 => format!("{:.1} ms", s * 1e3),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.1} us", s * 1e6),
    }
}

/// A line a kernel, then one for the whole step.
fn json_lines(file: &Path, task: &Task, entry: Entry, profile: &Profile, sources: &Sources) {
    let sum: f64 = profile.launches.iter().map(|l| l.seconds).sum();
    for row in rows(profile, sources) {
        let line = serde_json::json!({
            "kernel": row.kernel,
            "places": row.places,
            "launches": row.launches,
            "us": row.seconds * 1e6,
            "share": row.seconds / profile.timed_step.max(f64::MIN_POSITIVE),
            "flops": row.flops,
            "bytes": row.bytes,
            "roof_us": row.least * 1e6,
        });
        output::print(&format!("{line}\n"));
    }
    let peaks = &profile.peaks;
    let levels: Vec<_> = peaks
        .levels
        .iter()
        .map(|level| {
            let bytes = (level.bytes != usize::MAX).then_some(level.bytes);
            serde_json::json!({ "bytes": bytes, "bytes_per_s": level.bandwidth })
        })
        .collect();
    let line = serde_json::json!({
        "file": file.display().to_string(),
        "entry": format!("{}.{}", task.name, entry_name(task, entry)),
        "steps": profile.steps,
        "step_us": profile.step * 1e6,
        "timed_step_us": profile.timed_step * 1e6,
        "between_us": profile.between * 1e6,
        "launches": profile.launches.len(),
        "launches_us": sum * 1e6,
        "threads": peaks.threads,
        "peak_flops": peaks.flops,
        "levels": levels,
    });
    output::print(&format!("{line}\n"));
}
