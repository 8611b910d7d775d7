//! `nnc doctor`: what nnc finds on this machine, and whether it works here.

use super::{Exit, Fault, machine, output};
use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target};
use nnc::runtime::cuda_probe::{self, Cuda};
use nnc::train::{self, Feed};
use std::path::{Path, PathBuf};

/// Say what nnc finds on this machine, and test that it works
#[derive(clap::Args)]
#[command(after_help = "Example:\n  nnc doctor")]
pub struct Args {
    /// Where the paths of data begin
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// A small step that has a bit of everything.
const PROGRAM: &str = "\
train {
  data      = digits()
  batch     = 8
  steps     = 3
  net       = seq { Conv2d(4, kernel: 3); relu; MaxPool2d(2); flatten; Linear(10) }
  optimizer = Adam(lr: 1e-2)
  step(image, label) { minimize cross_entropy(net(image), label) }
}
";

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, text: String| rows.push(vec![name.to_string(), text]);
    row("nnc", format!("{} for {}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS));
    row("processor", machine::processor().unwrap_or_else(|| "unknown".to_string()));
    row("vector extensions", machine::features().join(" "));
    let physical = machine::physical().map_or(String::new(), |n| format!(", {n} physical"));
    let threads = machine::default_threads();
    row("cores", format!("{}{physical}; a run uses {threads} threads", machine::available()));
    if let Some((total, free)) = machine::memory() {
        row("memory", format!("{}, {} free", output::bytes(total), output::bytes(free)));
    }
    row("CUDA", cuda(cuda_probe::probe()));
    let data = args.data.as_deref().map_or("the folder of each `.nn` file".to_string(), |d| {
        let state = if d.is_dir() { "" } else { " (there is no such folder)" };
        format!("{}{state}", d.display())
    });
    row("data", data);
    let mut exit = Exit::Ok;
    let reference = step(Target::Interpreter, threads);
    for target in Target::ALL {
        let result = if *target == Target::Interpreter { reference.clone() } else { step(*target, threads) };
        let text = match (&result, &reference) {
            (Ok(a), Ok(b)) if a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(1.0)) => {
                format!("works: losses {}", a.iter().map(|v| output::figure(*v)).collect::<Vec<_>>().join(", "))
            }
            (Ok(a), Ok(b)) => {
                exit = Exit::Errors;
                format!("WRONG: losses {a:?} where the interpreter has {b:?}")
            }
            (Err(why), _) | (_, Err(why)) => {
                exit = Exit::Errors;
                format!("does not work: {why}")
            }
        };
        row(&format!("target {}", target.name()), text);
    }
    output::print(&output::table(&rows, &[0, 1]));
    Ok(exit)
}

fn cuda(found: Cuda) -> String {
    const NOT_YET: &str = "the CUDA target is not there yet";
    match found {
        Cuda::NoDriver => format!("no CUDA driver found; {NOT_YET}"),
        Cuda::Broken(why) => format!("a CUDA driver that does not work ({why}); {NOT_YET}"),
        Cuda::Devices(names) if names.is_empty() => format!("a CUDA driver without a device; {NOT_YET}"),
        Cuda::Devices(names) => format!("{}; {NOT_YET}", names.join(", ")),
    }
}

/// The losses of a few steps of the test program.
fn step(target: Target, threads: usize) -> Result<Vec<f64>, String> {
    let checked = driver::check_text("doctor.nn", PROGRAM.to_string(), Path::new(""), &Options::default());
    if let Some(d) = checked.diagnostics.first() {
        return Err(d.headline.clone());
    }
    let task = checked.program.tasks.first().ok_or("the test program has no task")?;
    let run = || {
        let opened = train::open(task, &checked.data_root)?;
        let view = opened.map(|o| o.split(0).train);
        let mut feed = match view {
            Some(view) => Feed::new(view, &task.fields, task.settings.batch, true)?,
            None => Feed::none(),
        };
        let mut engine = driver::engine(&checked, &task.name, target, threads)?;
        engine.prepare(Entry::Train, 8)?;
        engine.initialise(0)?;
        let mut losses = Vec::new();
        for step in 0..3 {
            feed.load(0, 0, step);
            let clock = ClockValues { step: step as u64, epoch: 0, steps: 3, epoch_steps: 3 };
            engine.run(
                Entry::Train,
                8,
                &StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: 0 },
            )?;
            losses.push(engine.scalar(0));
        }
        Ok(losses)
    };
    run().map_err(|d: Box<nnc::diag::Diagnostic>| d.headline.clone())
}
