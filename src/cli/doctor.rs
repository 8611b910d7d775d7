//! `nnc doctor`: what nnc finds on this machine, and whether it works here.

use super::{Exit, Fault, machine, output};
use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target};
use nnc::runtime::cuda::{compile::Compiler, device, products::Products};
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
    let gpu = device::survey();
    row("CUDA driver", driver_row(&gpu));
    row(
        "CUDA compiler",
        match Compiler::open() {
            Ok(c) => format!("NVRTC {}.{} at {}", c.version.0, c.version.1, c.place),
            Err(why) => why,
        },
    );
    if let Some(products) = device::Device::open().ok().and_then(|d| Some(products_row(d.products.as_ref()?))) {
        row("CUDA products", products);
    } else if gpu.is_ok() {
        row(
            "CUDA products",
            "own kernels; with `pip install nvidia-cublas-cu12` large ones go to cuBLASLt".to_string(),
        );
    }
    let data = args.data.as_deref().map_or("the folder of each `.nn` file".to_string(), |d| {
        let state = if d.is_dir() { "" } else { " (there is no such folder)" };
        format!("{}{state}", d.display())
    });
    row("data", data);
    let mut exit = Exit::Ok;
    let reference = step(Target::Interpreter, threads);
    for target in Target::ALL {
        // A machine without a GPU lacks nothing that it needs.
        if *target == Target::Cuda && gpu.as_ref().map_or(true, |g| g.devices.is_empty()) {
            row("target cuda", "not here: no GPU".to_string());
            continue;
        }
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

fn products_row(products: &Products) -> String {
    let version = products.version();
    format!("cuBLASLt {}.{}.{} at {}", version / 10000, version / 100 % 100, version % 100, products.place)
}

fn driver_row(found: &Result<device::Survey, String>) -> String {
    let found = match found {
        Ok(found) => found,
        Err(why) => return why.clone(),
    };
    let version = format!("CUDA {}.{} at {}", found.version / 1000, found.version % 1000 / 10, found.place);
    let one = |(name, arch, memory): &(String, i32, usize)| format!("{name} (sm_{arch}, {})", output::bytes(*memory));
    let devices: Vec<String> = found.devices.iter().map(one).collect();
    if devices.is_empty() { format!("{version}, without a GPU") } else { format!("{version}: {}", devices.join(", ")) }
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
    run().map_err(|d: Box<nnc::diag::Diagnostic>| [std::slice::from_ref(&d.headline), &d.notes[..]].concat().join(": "))
}
