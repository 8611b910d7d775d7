//! Random programs: none that checks may fail while it runs, and what is compiled gives what the interpreter gives.
//! `NNC_RANDOM_PROGRAMS=10000 cargo test --release --test random_programs` tries more of them than the usual few hundred.

mod generate;
#[path = "../common/target.rs"]
mod target;

use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes, random_fields};
use std::path::Path;

/// Loss, then every variable after one step of training and the loss in evaluation.
struct Outcome {
    losses: [f64; 2],
    vars: Vec<(String, Vec<f64>)>,
}

/// One step; `nudge` moves each input by so many parts in a million, up and down in turn.
fn run(checked: &Checked, target: Target, nudge: f32) -> Result<Outcome, String> {
    let task = &checked.program.tasks[0];
    let said = |d: Box<nnc::diag::Diagnostic>| format!("{target:?}: {} {:?}", d.headline, d.notes);
    let mut engine: Box<dyn Engine> = driver::engine(checked, &task.name, target, 2).map_err(said)?;
    engine.initialise(3).map_err(said)?;
    let batch = task.settings.batch.unwrap_or(0);
    let mut fields = random_fields(task, batch, 7);
    for (field, bytes) in task.fields.iter().zip(&mut fields).filter(|(f, _)| f.dtype == nnc::ops::DType::F32) {
        assert_eq!(bytes.len() % 4, 0, "{}", field.name);
        for (i, x) in bytes.chunks_exact_mut(4).enumerate() {
            let value = f32::from_le_bytes([x[0], x[1], x[2], x[3]]);
            let sign = if (i * 7 + i / 5).is_multiple_of(2) { 1.0 } else { -1.0 };
            x.copy_from_slice(&(value * (1.0 + sign * nudge * 1e-6)).to_le_bytes());
        }
    }
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

/// Whether the exact result itself jumps when the inputs move by a few parts in a million: a program may ask for the sign of
/// what is 0 but for rounding (the sum of what was normalised), and then no two ways to compute it must agree.
fn jumps(checked: &Checked, exact: &Outcome) -> bool {
    [-2.0, -1.0, 0.5, 1.0, 2.0]
        .into_iter()
        .any(|nudge| run(checked, Target::Interpreter, nudge).is_ok_and(|o| difference(&o, exact).is_some()))
}

/// How many of the programs were accepted, how many of these jump, and what went wrong.
fn study(seeds: std::ops::Range<u64>, wild: bool) -> (usize, usize, Vec<String>) {
    let (mut accepted, mut jumping) = (0, 0);
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
        let exact = run(&checked, Target::Interpreter, 0.0);
        let fault = match run(&checked, target::tested(), 0.0).and_then(|cpu| Ok((cpu, exact?))) {
            Err(said) => Some(said),
            Ok((cpu, exact)) => match difference(&cpu, &exact) {
                Some(_) if jumps(&checked, &exact) => {
                    jumping += 1;
                    None
                }
                found => found,
            },
        };
        if let Some(fault) = fault {
            faults.push(format!("seed {seed}: {fault}\n{text}"));
        }
    }
    (accepted, jumping, faults)
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
    let (accepted, jumping, faults) = study(seeds, wild);
    println!("{accepted} of {count} were accepted, {jumping} jump, {} faults", faults.len());
    assert!(jumping * 200 <= accepted, "{jumping} of {accepted} jump");
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
