//! `nnc plan`: the memory of a task.

use super::compile::entries_of;
use super::input::{self, Input};
use super::{Exit, Fault, machine, output};
use nnc::driver;
use nnc::engine::Target;
use std::path::PathBuf;

/// Show the memory that a task takes, exactly, before it runs
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc plan net.nn\n  nnc plan net.nn --set batch=256")]
pub struct Args {
    /// The program
    file: PathBuf,
    /// The task; the only one that trains if none
    task: Option<String>,
    #[command(flatten)]
    pub input: Input,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let checked = args.input.checked(&args.file, args.task.as_deref())?;
    let task = input::task(&checked.program, args.task.as_deref(), "plan")?;
    let at = |d| Fault::at(d, &checked.sources);
    let threads = machine::default_threads();
    let mut engine = driver::engine(&checked, &task.name, Target::Cpu, threads).map_err(at)?;
    let batch = task.settings.batch.unwrap_or(0);
    let mut rows = Vec::new();
    for (entry, name) in entries_of(task) {
        let report = engine.prepare(*entry, batch).map_err(at)?;
        let (arena, bound) = (report.arena_bytes, report.lower_bound);
        let bound = format!("(lower bound {})", output::grouped(bound as u64));
        rows.push(vec![format!("arena of {name}"), output::grouped(arena as u64), output::bytes(arena), bound]);
    }
    let mut row = |name: &str, n: usize| {
        rows.push(vec![name.to_string(), output::grouped(n as u64), output::bytes(n)]);
    };
    row("arena, shared", engine.arena_bytes());
    row("variables", engine.var_bytes());
    row("total", engine.arena_bytes() + engine.var_bytes());
    output::print(&output::table(&rows, &[0, 3]));
    Ok(Exit::Ok)
}
