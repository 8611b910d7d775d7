//! Whole programs through every stage: check, build, differentiate, run.

use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target};
use std::path::Path;

fn example(name: &str) -> driver::Checked {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let checked = driver::check_file(&path, &Options::default()).expect("the example can be read");
    assert!(!checked.has_errors(), "{:#?}", checked.diagnostics);
    checked
}

#[test]
fn the_interpreter_learns_digits() {
    learns_digits(Target::Interpreter);
}

#[test]
fn machine_code_learns_digits() {
    learns_digits(Target::Cpu);
}

fn learns_digits(target: Target) {
    let checked = example("digits.nn");
    let mut engine = driver::engine(&checked, "train", target, 2).expect("an engine");
    engine.initialise(0).expect("first values");
    let image: Vec<u8> = (0..8 * 64).flat_map(|i| (((i * 7919 % 17) as f32) / 16.0).to_le_bytes()).collect();
    let label: Vec<u8> = (0..8i32).flat_map(|i| i.to_le_bytes()).collect();
    let fields = [image, label];
    let mut losses = Vec::new();
    for step in 0..40 {
        let clock = ClockValues { step, epoch: 0, steps: 100, epoch_steps: 100 };
        engine.run(Entry::Train, 8, &StepInputs { fields: &fields, lengths: &[], clock, seed: 0 }).expect("a step");
        losses.push(engine.scalar(0));
    }
    assert!((losses[0] - 10f64.ln()).abs() < 0.5, "{losses:?}");
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[30..]) < mean(&losses[..10]) - 0.05, "{losses:?}");
}

#[test]
fn gradient_descent_shrinks_every_number_by_the_same_factor() {
    let checked = example("optimizers.nn");
    let mut engine = driver::engine(&checked, "descent", Target::Interpreter, 1).expect("an engine");
    engine.initialise(3).expect("first values");
    let theta = checked.program.task("descent").expect("a task").vars[0];
    let before = nnc::engine::bytes::to_f64(nnc::ops::DType::F32, &engine.var(theta).bytes);
    for step in 0..100 {
        let clock = ClockValues { step, epoch: 0, steps: 100, epoch_steps: 100 };
        engine.run(Entry::Train, 0, &StepInputs { fields: &[], lengths: &[], clock, seed: 3 }).expect("a step");
    }
    let after = nnc::engine::bytes::to_f64(nnc::ops::DType::F32, &engine.var(theta).bytes);
    assert_eq!(before.len(), 100);
    for (a, b) in before.iter().zip(&after) {
        assert!((a * 0.98f64.powi(100) - b).abs() < 1e-6 * a.abs(), "{a} {b}");
    }
}

#[test]
fn a_plan_over_the_budget_is_an_error_that_names_the_largest_tensors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits.nn");
    let options = Options { sets: vec!["budget=1 MiB".into()], ..Options::default() };
    let checked = driver::check_file(&path, &options).expect("the example can be read");
    assert!(!checked.has_errors(), "{:#?}", checked.diagnostics);
    let mut engine = driver::engine(&checked, "train", Target::Cpu, 1).expect("an engine");
    let fault = *engine.prepare(Entry::Train, 64).expect_err("too much");
    assert_eq!(fault.code.id, "E0801");
    assert!(!fault.secondary.is_empty(), "{fault:?}");
    assert!(engine.prepare(Entry::Eval, 1).is_ok());
}
