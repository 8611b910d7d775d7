//! Every task of every example runs on random fields of its declared types, also where its data is absent.

#[path = "common/target.rs"]
mod target;

use nnc::check::Task;
use nnc::diag::Diagnostic;
use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, random_fields};
use std::path::Path;

/// Nets with more parameters take too long for a test; `nnc bench` runs them.
const MOST_PARAMETERS: i64 = 15_000_000;

fn parameters(checked: &driver::Checked, task: &Task) -> i64 {
    let sizes = nnc::build::Sizes::of(task, 2);
    let count = |v: &nnc::ops::VarId| {
        let shape = &checked.program.var(*v).ty.shape;
        shape.iter().map(|d| sizes.number(d).unwrap_or(1)).product::<i64>()
    };
    task.vars.iter().map(count).sum()
}

/// A step with more than this is compiled, and not run.
const MOST_FLOPS: u64 = 2_000_000_000;

#[track_caller]
fn must<T>(what: &str, result: Result<T, Box<Diagnostic>>) -> T {
    result.unwrap_or_else(|d| panic!("{what}: {} {:?}", d.headline, d.notes))
}

#[test]
fn every_task_runs_on_random_fields() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut paths: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").map(|e| e.expect("an entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "nn") && !p.ends_with("wrong_flatten.nn"));
    paths.sort();
    let (mut ran, mut large, mut unknown) = (0, Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let mut checked = driver::check_file(&path, &Options::default()).expect("it can be read");
        assert!(!checked.has_errors(), "{name}: {:?}", checked.diagnostics);
        for task in &mut checked.program.tasks {
            task.assumed = Some(8);
            task.settings.batch = task.settings.batch.map(|_| 2);
        }
        for task in &checked.program.tasks {
            if parameters(&checked, task) > MOST_PARAMETERS {
                large.push(name.clone());
                continue;
            }
            if !task.whole {
                // Only the absent file knows its columns.
                let Err(said) = driver::engine(&checked, &task.name, target::tested(), 2) else {
                    panic!("{name} runs")
                };
                assert!(said.headline.contains("not known"), "{said:?}");
                unknown.push(name.clone());
                continue;
            }
            let what = format!("{name}, {}", task.name);
            let mut engine = must(&what, driver::engine(&checked, &task.name, target::tested(), 2));
            must(&what, engine.initialise(0));
            let batch = task.settings.batch.unwrap_or(0);
            let entries = if task.train.is_some() { vec![Entry::Train, Entry::Eval] } else { vec![Entry::Eval] };
            for entry in entries {
                if must(&what, engine.prepare(entry, batch)).flops > MOST_FLOPS {
                    large.push(what.clone());
                    continue;
                }
                for step in 0..2 {
                    let fields = random_fields(task, batch, step);
                    let clock = ClockValues { step, epoch: 0, steps: 100, epoch_steps: 10 };
                    let inputs = StepInputs { fields: &fields, lengths: &[], clock, seed: 0 };
                    must(&what, engine.run(entry, batch, &inputs));
                    if task.train.is_some() {
                        assert!(engine.scalar(0).is_finite(), "{what}: the loss is {}", engine.scalar(0));
                    }
                }
            }
            ran += 1;
        }
    }
    println!("{ran} tasks ran; too large for a test: {large:?}; with unknown columns: {unknown:?}");
    assert!(ran >= 15, "only {ran} tasks ran");
}
