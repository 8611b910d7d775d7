//! The standard library against PyTorch: every reference case of an operation, layer, loss, optimizer or schedule, written as
//! a small program (`oracle/table.rs`, `oracle/training.rs`) and run on two targets: outputs and gradients. It prints how many
//! ran, passed and were skipped, and why. Without the reference vectors (in the directory that NNC_ORACLE names, or in a folder
//! beside this crate) it says so and passes; NNC_ORACLE_ONLY picks cases by the beginning of their names. Whole models are in
//! `oracle_models`.

#[path = "oracle/case.rs"]
mod case;
#[path = "common/literal.rs"]
mod literal;
#[path = "oracle/program.rs"]
mod program;
#[path = "oracle/table.rs"]
mod table;
#[path = "common/target.rs"]
mod target;
#[path = "oracle/training.rs"]
mod training;

use nnc::engine::{ClockValues, Entry, Target};

use case::Case;
use program::{Form, Run, error, text};

/// Errors relative to 1 + |reference|, forward and of gradients.
const FORWARD: f64 = 1e-5;
const GRADIENT: f64 = 1e-4;
/// The interpreter computes in f64; inputs and references are f32.
const EXACT: f64 = 1e-6;

/// The interpreter, and the target under test.
fn targets() -> [Target; 2] {
    [Target::Interpreter, target::tested()]
}

fn limit(name: &str, target: Target) -> f64 {
    match (target, name.starts_with("grad.")) {
        (Target::Interpreter, _) => EXACT,
        (_, false) => FORWARD,
        (_, true) => GRADIENT,
    }
}

/// Compares results with the case's; the faults found.
fn compare(case: &Case, target: Target, results: Vec<(String, case::Tensor)>) -> Result<(), String> {
    for (name, found) in results {
        let wanted = case.tensors.get(&name).ok_or_else(|| format!("the case has no `{name}`"))?;
        match error(&found, wanted) {
            Ok(worst) if worst <= limit(&name, target) => {}
            Ok(worst) => return Err(format!("{name} on {target:?}: an error of {worst:.1e}")),
            Err(why) => return Err(format!("{name} on {target:?}: {why}")),
        }
    }
    Ok(())
}

fn check(case: &Case, form: &Form) -> Result<(), String> {
    let (text, names) = text(case, form);
    let run = || -> Result<(), String> {
        for target in targets() {
            let mut run = Run::new(&text, "predict", target)?;
            for (name, tensor) in &case.tensors {
                if let Some(name) = name.strip_prefix("in.") {
                    match form.weights.iter().any(|w| w == name) {
                        true => run.set(&format!("net.body.{name}"), tensor)?,
                        false => run.set(&format!("net.{}", name.replace('.', "_")), tensor)?,
                    }
                } else if let Some(name) = name.strip_prefix("ct.")
                    && form.outputs.iter().any(|(n, _)| n == name)
                {
                    run.set(&format!("net.ct_{name}"), tensor)?;
                }
            }
            match run.step(Entry::Eval, ClockValues { step: 0, epoch: 0, steps: 1, epoch_steps: 1 }) {
                Err(why) if target == Target::Cpu && why.contains("not supported on the CPU yet") => {
                    eprintln!("{} on the interpreter only: {why}", case.id);
                    continue;
                }
                other => other?,
            }
            let results = names.iter().enumerate().map(|(i, n)| (n.clone(), run.result(i))).collect();
            compare(case, target, results)?;
        }
        Ok(())
    };
    run().map_err(|why| format!("{why}\n{text}"))
}

/// A case's verdict; none if it cannot be written in our language.
fn verdict(case: &Case) -> Option<Result<(), String>> {
    training::run(case).or_else(|| Some(check(case, &table::form(case)?)))
}

#[test]
fn every_case_agrees_with_pytorch() {
    let Some(directory) = case::directory() else {
        eprintln!("SKIPPED: no reference vectors; set NNC_ORACLE to the directory with index.json");
        return;
    };
    let only = std::env::var("NNC_ORACLE_ONLY").ok();
    let index = std::fs::read_to_string(directory.join("index.json")).expect("index.json can be read");
    let index: serde_json::Value = serde_json::from_str(&index).expect("index.json is JSON");
    let entries = index["cases"].as_array().expect("a list of cases");
    let chosen = |id: &str| only.as_ref().is_none_or(|o| id.starts_with(o.as_str()));
    let (mut ran, mut faults, mut skipped) = (0, Vec::new(), Vec::new());
    for entry in entries.iter().filter(|e| e["id"].as_str().is_none_or(chosen)) {
        let Some(case) = case::load(&directory, entry) else {
            skipped.push(format!("{}: its file cannot be read", entry["id"]));
            continue;
        };
        match verdict(&case) {
            None => skipped.push(format!("{}: there is nothing like `{}` with {}", case.id, case.op, case.params)),
            Some(result) => {
                ran += 1;
                faults.extend(result.err().map(|why| format!("{}: {why}", case.id)));
            }
        }
    }
    eprintln!("{ran} cases ran, {} passed, {} differ", ran - faults.len(), faults.len());
    eprintln!("{} were skipped", skipped.len());
    skipped.iter().for_each(|why| eprintln!("  {why}"));
    assert!(faults.is_empty(), "{} cases differ:\n{}", faults.len(), faults.join("\n"));
    assert!(skipped.is_empty(), "{} cases were skipped:\n{}", skipped.len(), skipped.join("\n"));
}
