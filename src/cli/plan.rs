//! `nnc plan`: the memory of a task's step, by tensor, with the lines that it comes from.

use super::compile::entry;
use super::input::{self, Input};
use super::{Exit, Fault, machine, output};
use nnc::diag::Diagnostic;
use nnc::driver;
use nnc::emit;
use nnc::engine::{Entry, Target};
use nnc::plan::report::report;
use std::path::PathBuf;

/// Show the memory that a step takes, exactly, before it runs
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nnc plan net.nn\n  nnc plan net.nn --all --entry eval\n  nnc plan net.nn --set batch=256"
)]
pub struct Args {
    /// The program
    file: PathBuf,
    /// The task; the only one that trains if none
    task: Option<String>,
    /// The entry: train or eval
    #[arg(long, value_name = "ENTRY")]
    entry: Option<String>,
    /// All tensors, not only the largest
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// The threads that a step is cut for
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    pub input: Input,
}

/// Rows of the table unless all are asked for.
const SHOWN: usize = 20;

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let checked = args.input.checked(&args.file, args.task.as_deref())?;
    let program = &checked.program;
    let task = input::task(program, args.task.as_deref(), "plan")?;
    let entry = entry(args.entry.as_deref(), task)?;
    let at = |d: Box<Diagnostic>| Fault::at(d, &checked.sources);
    let threads = args.threads.map_or_else(machine::default_threads, usize::from);
    let batch = task.settings.batch.unwrap_or(0);
    let plan = emit::plan(program, task, entry, batch, threads).map_err(at)?;
    let mut found = report(&plan, &checked.sources);
    found.name_variables(program, task);
    if args.json {
        output::print(&format!("{}\n", found.json()));
        return Ok(Exit::Ok);
    }
    let mut out = found.table(if args.all { usize::MAX } else { SHOWN });
    // What a run takes: the variables, the arena that its entries share, and what is kept of weights.
    let mut engine = driver::engine(&checked, &task.name, Target::Cpu, threads).map_err(at)?;
    let entries: &[Entry] = if task.train.is_some() { &[Entry::Train, Entry::Eval] } else { &[Entry::Eval] };
    let mut kept = 0;
    for entry in entries {
        kept += engine.prepare(*entry, batch).map_err(at)?.kept_bytes;
    }
    let (vars, arena) = (engine.var_bytes(), engine.arena_bytes());
    let row =
        |name: &str, n: usize| vec![name.to_string(), output::bytes(n), format!("{} bytes", output::grouped(n as u64))];
    let mut rows = vec![row("variables", vars), row("arena of all entries", arena)];
    rows.extend((kept > 0).then(|| row("weights in the order they are read in", kept)));
    rows.push(row("total", vars + arena + kept));
    out += &output::table(&rows, &[0]);
    output::print(&out);
    Ok(Exit::Ok)
}
