//! `nnc run`: trains, evaluates, predicts or generates, by the kind of the task.

mod evaluate;
pub mod flags;
pub mod generate;
mod predict;
mod train;

use super::input::{self, Input};
use super::launching::Launching;
use super::{Exit, Fault, machine, usage};
use nnc::check::Program;
use nnc::driver;
use nnc::engine::Target;
use nnc::syntax::ast::TaskKind;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const AFTER: &str = "\
TASK is the name of a task of the file; the only one that trains may be left out. `evaluate` measures
the net of the task that trains over the samples that it holds out, with the best checkpoint of its
newest run; `evaluate.NAME` does so if several tasks train.

Examples:
  nnc run net.nn                            train
  nnc run net.nn --set epochs=5 --seed 1    with another setting and another seed
  nnc run net.nn --resume                   go on with the newest run of this file
  nnc run net.nn --resume runs/net-train-003
  nnc run net.nn evaluate
  nnc run net.nn draw --count 64            a parameter of the task `draw`
  nnc run gpt.nn write --prompt \"ROMEO:\"    let a net write
  nnc run gpt.nn write --help               what the task `write` takes
  nnc run net.nn evaluate --weights runs/net-train-003/last.safetensors";

/// Train, evaluate, predict or generate
#[derive(Clone, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The program
    pub file: PathBuf,
    /// A task of the file, or `evaluate`
    pub task: Option<String>,
    /// What runs it: cpu, cuda or interpreter (slow, double precision, for comparison)
    #[arg(long, value_parser = input::target)]
    pub target: Option<Target>,
    /// Threads; the result does not depend on them. One a core if none
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// The seed of all that is drawn; else that of the program, else 0
    #[arg(long)]
    pub seed: Option<u64>,
    /// The folder for the run (or of the run, with `--resume` or `evaluate`); else a new one in `runs`
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Go on with a run that was interrupted: the one in DIR, else the newest of this file and task
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub resume: Option<Option<PathBuf>>,
    /// For `evaluate`, `predict` and `generate`: a checkpoint (.safetensors) to take instead of the newest run's
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// No progress, only the result
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more, such as the time to the first step
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub launching: Launching,
    #[command(flatten)]
    pub input: Input,
    /// Flags that are parameters of the task, with their values.
    #[arg(skip)]
    pub flags: Vec<(String, String)>,
    /// Those that are inputs of a task that generates.
    #[arg(skip)]
    pub inputs: BTreeMap<String, String>,
}

impl Args {
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(machine::default_threads, usize::from)
    }
}

/// What a task's name on the command line means.
enum Meaning {
    Task(String, TaskKind),
    /// The evaluation of the task of this name that trains.
    Derived(String),
}

pub fn run(args: &Args, started: Instant) -> Result<Exit, Fault> {
    // Read once without the name of the task, which may be one that the file does not have.
    let first = input::checked_to_run(&args.file, &args.input.options(None), args.input.message_format.into());
    let meaning = match &first {
        Ok(checked) => meaning(&checked.program, args.task.as_deref())?,
        // Settings of one task only (`--set`) may be wrong for the others.
        Err(_) if args.task.is_some() => Meaning::Task(args.task.clone().unwrap_or_default(), TaskKind::Train),
        Err(_) => return first.map(|_| Exit::Ok),
    };
    let with_flags;
    let (args, first) = match (&first, &meaning) {
        _ if args.flags.is_empty() => (args, first),
        (Ok(checked), Meaning::Task(name, TaskKind::Generate)) => {
            let (inputs, mut sets) = generate::sorted(&args.flags, &super::run_flags(), &checked.program, name)?;
            sets.splice(0..0, args.input.sets.iter().cloned());
            with_flags = Args { input: Input { sets, ..args.input.clone() }, inputs, ..args.clone() };
            (&with_flags, first)
        }
        (Ok(checked), Meaning::Task(name, _) | Meaning::Derived(name)) => {
            let params = flags::params(&checked.program, name);
            let mut sets = flags::as_sets(&args.flags, &super::run_flags(), name, &params)?;
            sets.splice(0..0, args.input.sets.iter().cloned());
            with_flags = Args { input: Input { sets, ..args.input.clone() }, ..args.clone() };
            (&with_flags, Err(usage("", "")))
        }
        (Err(_), _) => return first.map(|_| Exit::Ok),
    };
    if args.resume.is_some() && !matches!(meaning, Meaning::Task(_, TaskKind::Train)) {
        return Err(usage("only a task that trains can be resumed", "leave `--resume` out"));
    }
    match meaning {
        Meaning::Task(name, TaskKind::Train) => {
            if args.weights.is_some() {
                let help = "it is for `evaluate`, `predict` and `generate`; to go on with a run: `--resume`";
                return Err(usage("`--weights` is not for training", help));
            }
            train::run(args, &name, first.ok(), started)
        }
        Meaning::Derived(name) => evaluate::run(args, &name, true),
        Meaning::Task(name, TaskKind::Evaluate) => evaluate::run(args, &name, false),
        Meaning::Task(name, TaskKind::Predict) => predict::run(args, &name),
        Meaning::Task(name, TaskKind::Generate) => generate::run(args, &name),
    }
}

fn meaning(program: &Program, name: Option<&str>) -> Result<Meaning, Fault> {
    let task = match name {
        None => input::task(program, None, "run")?,
        Some(name) => {
            if let Some(task) = program.task(name) {
                return Ok(Meaning::Task(name.to_string(), task.kind));
            }
            let (word, of) = name.split_once('.').map_or((name, None), |(w, of)| (w, Some(of)));
            match word {
                "evaluate" => {
                    let task = input::task(program, of, "run")?;
                    if task.train.is_none() {
                        return Err(usage(format!("`{}` does not train", task.name), "name a task that trains"));
                    }
                    return Ok(Meaning::Derived(task.name.clone()));
                }
                "predict" => return Err(no_predict(program)),
                _ => return Err(driver::no_task(program, name).into()),
            }
        }
    };
    Ok(Meaning::Task(task.name.clone(), task.kind))
}

/// A file that is asked for predictions but does not say of what.
fn no_predict(program: &Program) -> Fault {
    let train = program.tasks.iter().find(|t| t.train.is_some());
    let name = train.map_or("train", |t| t.name.as_str());
    let field = train.and_then(|t| t.fields.first()).map_or("image", |f| f.name.as_str());
    let data = train.and_then(|t| t.data.as_ref()).map_or("digits", |d| d.source.as_str());
    let example = format!(
        "add one:\n  predict {{\n    data  = {data}()\n    batch = 64\n    step({field}) {{ {name}.net({field}) }}\n  }}"
    );
    usage("the file has no `predict` task", example)
}

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// The flag that Ctrl-C sets; a second Ctrl-C ends the process at once.
fn stop_flag() -> &'static AtomicBool {
    let installed = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    });
    if let Err(e) = installed {
        eprintln!("warning: Ctrl-C will end the run at once: {e}");
    }
    &STOP
}
