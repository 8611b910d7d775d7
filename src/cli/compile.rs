//! `nnc compile`: every entry point of a file, compiled, with what it took; or, with `--emit`, the state after a stage.

use super::input::{self, Input};
use super::{Exit, Fault, machine, output, usage};
use nnc::check::{Task, VarKind};
use nnc::driver::{self, Checked};
use nnc::emit;
use nnc::engine::{Engine, Entry, Target};
use std::path::PathBuf;
use std::time::Instant;

/// Compile every entry point and say what it took
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc compile net.nn\n  nnc compile net.nn train --emit=graph\n  \
                        nnc compile net.nn --emit=fused,loops --entry eval")]
pub struct Args {
    /// The program
    file: PathBuf,
    /// A task; all if none
    task: Option<String>,
    /// Print the program after these stages: ast, hir, graph, grad, fused, plan, loops, clif, asm
    #[arg(long, value_delimiter = ',', value_name = "STAGE")]
    emit: Vec<String>,
    /// The entry that `--emit` shows: train or eval
    #[arg(long, value_name = "ENTRY")]
    entry: Option<String>,
    /// What it is compiled for: cpu, cuda or interpreter
    #[arg(long, default_value = "cpu", value_parser = input::target)]
    target: Target,
    /// The threads that a step is cut for
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    pub input: Input,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let started = Instant::now();
    let checked = args.input.checked(&args.file, args.task.as_deref())?;
    let check_ms = started.elapsed().as_secs_f64() * 1e3;
    if !args.emit.is_empty() {
        return emit(args, &checked);
    }
    let tasks: Vec<&Task> = match &args.task {
        Some(name) => vec![input::task(&checked.program, Some(name), "compile")?],
        None => checked.program.tasks.iter().collect(),
    };
    if tasks.is_empty() {
        let help = "add `train { … }`; models alone are shown by `nnc summary`";
        return Err(usage("the file has no task to compile", help));
    }
    let threads = args.threads.map_or_else(machine::default_threads, usize::from);
    let mut out = format!("check  {check_ms:.2} ms\n");
    for task in tasks {
        let at = |d| Fault::at(d, &checked.sources);
        let mut engine = driver::engine(&checked, &task.name, args.target, threads).map_err(at)?;
        out += &entries(&checked, task, &mut *engine).map_err(at)?;
    }
    out += &format!("total  {:.2} ms\n", started.elapsed().as_secs_f64() * 1e3);
    output::print(&out);
    Ok(Exit::Ok)
}

/// The entries that a task has.
pub fn entries_of(task: &Task) -> &'static [(Entry, &'static str)] {
    match task.train {
        Some(_) => &[(Entry::Train, "train"), (Entry::Eval, "eval")],
        None if task.generation.as_ref().is_some_and(|g| g.once.is_some()) => {
            &[(Entry::Once, "once"), (Entry::Eval, "eval")]
        }
        None => &[(Entry::Eval, "eval")],
    }
}

fn entries(checked: &Checked, task: &Task, engine: &mut dyn Engine) -> Result<String, Box<nnc::diag::Diagnostic>> {
    let batch = task.settings.batch.unwrap_or(0);
    let mut out = String::new();
    for (entry, name) in entries_of(task) {
        let started = Instant::now();
        let report = engine.prepare(*entry, batch)?.clone();
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let of = if batch > 0 { format!(", batch {batch}") } else { String::new() };
        out += &format!("\n{}.{name}{of}\n", task.name);
        let mut rows = vec![
            vec!["  kernels".into(), format!("{} ({} launches)", report.kernels, report.launches)],
            vec!["  operations of a step".into(), format!("{} FLOP", output::short_count(report.flops))],
            vec![
                "  arena".into(),
                format!("{} (lower bound {})", output::bytes(report.arena_bytes), output::bytes(report.lower_bound)),
            ],
        ];
        if report.kept_bytes > 0 {
            rows.push(vec!["  kept weights".into(), output::bytes(report.kept_bytes)]);
        }
        rows.extend(report.stages.iter().map(|(stage, ms)| vec![format!("  {stage}"), format!("{ms:.2} ms")]));
        rows.push(vec!["  all stages".into(), format!("{ms:.2} ms")]);
        out += &output::table(&rows, &[0, 1]);
    }
    let of_kind = |kind| {
        let vars = task.vars.iter().filter(|v| checked.program.var(**v).kind == kind);
        vars.map(|v| engine.var(*v).shape.iter().product::<usize>() as u64).sum::<u64>()
    };
    out += &format!(
        "\n{}: {} parameters, {} values of state, {} of the optimizer: {}\n",
        task.name,
        output::grouped(of_kind(VarKind::Param)),
        output::grouped(of_kind(VarKind::State)),
        output::grouped(of_kind(VarKind::OptimizerState)),
        output::bytes(engine.var_bytes()),
    );
    Ok(out)
}

/// The entry with this name on the command line; the training step, or the only one, if none.
pub fn entry(name: Option<&str>, task: &Task) -> Result<Entry, Fault> {
    let known = entries_of(task);
    let Some(name) = name else { return Ok(known[0].0) };
    known.iter().find(|(_, n)| *n == name).map(|(e, _)| *e).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(_, n)| *n).collect();
        usage(format!("`{}` has no entry `{name}`", task.name), format!("it has {}", names.join(" and ")))
    })
}

fn emit(args: &Args, checked: &Checked) -> Result<Exit, Fault> {
    let task = input::task(&checked.program, args.task.as_deref(), "compile")?;
    let entry = entry(args.entry.as_deref(), task)?;
    let threads = args.threads.map_or_else(machine::default_threads, usize::from);
    let batch = task.settings.batch.unwrap_or(0);
    for stage in &args.emit {
        let text = emit::emit(checked, task, entry, batch, threads, stage);
        let text = text.map_err(|d| Fault::at(d, &checked.sources))?;
        if args.emit.len() > 1 {
            output::print(&format!("// {stage}\n"));
        }
        output::print(text.trim_end());
        output::print("\n");
    }
    Ok(Exit::Ok)
}
