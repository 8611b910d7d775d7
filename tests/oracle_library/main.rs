//! The standard library against PyTorch: every reference case that a function, layer, loss, optimizer or schedule of ours
//! covers, written as a small program and run on both targets: outputs and gradients. Without the reference vectors (in the
//! directory that NNC_ORACLE names, or in a folder beside this crate) the test says so and passes.

mod case;
mod program;
mod table;
mod training;

use std::collections::BTreeMap;

use nnc::engine::{ClockValues, Entry, Target};

use case::Case;
use program::{Form, Run, error, text};

/// Errors relative to 1 + |reference|, forward and of gradients.
const FORWARD: f64 = 1e-5;
const GRADIENT: f64 = 1e-4;
/// The interpreter computes in f64; inputs and references are f32.
const EXACT: f64 = 2e-6;

const TARGETS: [Target; 2] = [Target::Interpreter, Target::Cpu];

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
        for target in TARGETS {
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

#[test]
fn the_library_agrees_with_pytorch() {
    let Some(directory) = case::directory() else {
        eprintln!("SKIPPED: no reference vectors; set NNC_ORACLE to the directory with index.json");
        return;
    };
    let only = std::env::var("NNC_ORACLE_ONLY").ok();
    let index = std::fs::read_to_string(directory.join("index.json")).expect("index.json can be read");
    let index: serde_json::Value = serde_json::from_str(&index).expect("index.json is JSON");
    let entries = index["cases"].as_array().expect("a list of cases");
    let (mut passed, mut faults) = (0, Vec::new());
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        let case = case::load(&directory, entry).unwrap_or_else(|| panic!("{entry} cannot be read"));
        if only.as_ref().is_some_and(|o| !case.id.starts_with(o.as_str())) {
            continue;
        }
        let result = match training::run(&case) {
            Some(result) => result,
            None => match table::form(&case) {
                Some(form) => check(&case, &form),
                None => {
                    *missing.entry(case.op.clone()).or_default() += 1;
                    continue;
                }
            },
        };
        match result {
            Ok(()) => passed += 1,
            Err(why) => faults.push(format!("{}: {why}", case.id)),
        }
    }
    let list: Vec<String> = missing.iter().map(|(op, n)| format!("{op} ({n})")).collect();
    eprintln!("{passed} of {} cases agree, {} differ, not there: {}", entries.len(), faults.len(), list.join(", "));
    assert!(faults.is_empty(), "{} cases differ:\n{}", faults.len(), faults.join("\n"));
    assert!(only.is_some() || passed > 440, "only {passed} cases are covered");
}
