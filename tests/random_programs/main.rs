//! Random programs: none that checks may fail while it runs, and what is compiled gives what the interpreter gives.
//! `NNC_RANDOM_PROGRAMS=10000 cargo test --release --test random_programs` tries more of them than the usual few hundred.

mod generate;

use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes, random_fields};
use std::path::Path;

/// Loss, then every variable after one step of training and the loss in evaluation.
struct Outcome {
    losses: [f64; 2],
    vars: Vec<(String, Vec<f64>)>,
}

fn run(checked: &Checked, target: Target) -> Result<Outcome, String> {
    let task = &checked.program.tasks[0];
    let said = |d: Box<nnc::diag::Diagnostic>| format!("{target:?}: {} {:?}", d.headline, d.notes);
    let mut engine: Box<dyn Engine> = driver::engine(checked, &task.name, target, 2).map_err(said)?;
    engine.initialise(3).map_err(said)?;
    let batch = task.settings.batch.unwrap_or(0);
    let fields = random_fields(task, batch, 7);
    let clock = ClockValues { step: 0, epoch: 0, steps: 10, epoch_steps: 10 };
    let mut losses = [0.0; 2];
    for (loss, entry) in losses.iter_mut().zip([Entry::Train, Entry::Eval]) {
        engine.run(entry, batch, &StepInputs { fields: &fields, lengths: &[], clock, seed: 5 }).map_err(said)?;
        *loss = engine.scalar(0);
    }
    let vars = task.vars.iter().map(|v| {
        let tensor = engine.var(*v);
        (checked.program.var(*v).path.clone(), bytes::to_f64(tensor.dtype, &tensor.bytes))
    });
    Ok(Outcome { losses, vars: vars.collect() })
}

/// What differs between the two outcomes, if anything does.
fn difference(cpu: &Outcome, exact: &Outcome) -> Option<String> {
    let off = |a: f64, b: f64, scale: f64| !((a - b).abs() <= 2e-3 * scale || a == b || (a.is_nan() && b.is_nan()));
    for (a, b) in cpu.losses.iter().zip(&exact.losses) {
        if off(*a, *b, b.abs().max(1.0)) {
            return Some(format!("losses {:?} and {:?}", cpu.losses, exact.losses));
        }
    }
    for ((path, a), (_, b)) in cpu.vars.iter().zip(&exact.vars) {
        let scale = b.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        if let Some(i) = (0..b.len()).find(|i| off(a[*i], b[*i], scale)) {
            return Some(format!("{path}[{i}] is {} and {}", a[i], b[i]));
        }
    }
    None
}

/// How many of the programs were accepted, and what went wrong.
fn study(seeds: std::ops::Range<u64>, wild: bool) -> (usize, Vec<String>) {
    let mut accepted = 0;
    let mut faults = Vec::new();
    for seed in seeds {
        let text = generate::program(seed, wild);
        let checked = driver::check_text("random.nn", text.clone(), Path::new(""), &Options::default());
        if checked.has_errors() {
            if !wild {
                let said: Vec<String> = checked
                    .diagnostics
                    .iter()
                    .map(|d| format!("{} at `{}`", d.headline, d.span().map_or("", |s| checked.sources.text(s))))
                    .collect();
                faults.push(format!("seed {seed} was refused: {}\n{text}", said.join("\n")));
            }
            continue;
        }
        accepted += 1;
        let outcome = run(&checked, Target::Cpu).and_then(|cpu| Ok((cpu, run(&checked, Target::Interpreter)?)));
        let fault = match outcome {
            Err(said) => Some(said),
            Ok((cpu, exact)) => difference(&cpu, &exact),
        };
        if let Some(fault) = fault {
            faults.push(format!("seed {seed}: {fault}\n{text}"));
        }
    }
    (accepted, faults)
}

/// The programs that a test tries, of so many parts that run side by side.
fn tried(part: u64, parts: u64) -> std::ops::Range<u64> {
    let all = std::env::var("NNC_RANDOM_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(320u64);
    all * part / parts..all * (part + 1) / parts
}

#[track_caller]
fn holds(part: u64, wild: bool) {
    let seeds = tried(part, 4);
    let count = (seeds.end - seeds.start) as usize;
    let (accepted, faults) = study(seeds, wild);
    println!("{accepted} of {count} were accepted, {} faults", faults.len());
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(8)].join("\n\n"));
    // A wild program may be wrong; that all are would show nothing.
    assert!(accepted * 20 > count, "only {accepted} of {count} were accepted");
}

#[test]
fn well_typed_programs_run_and_agree_first_half() {
    holds(0, false);
}

#[test]
fn well_typed_programs_run_and_agree_second_half() {
    holds(1, false);
}

#[test]
fn wild_programs_that_check_run_and_agree_first_half() {
    holds(2, true);
}

#[test]
fn wild_programs_that_check_run_and_agree_second_half() {
    holds(3, true);
}
