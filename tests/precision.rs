//! Programs in other dtypes than f32: `precision`, and parameters and fields that are declared to be of another one.

use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes};
use nnc::ops::{DType, Op};
use nnc::train::{self, Evaluation, Feed, evaluate, open};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A convolutional net and a perceptron's head over the digits.
const DIGITS: &str = "
train {
  data      = digits(validate: 0.2)
  batch     = 64
  net       = seq { Conv2d(8, kernel: 3, padding: same); relu; MaxPool2d(2); flatten; Linear(32); relu; Linear(10) }
  optimizer = AdamW(lr: 3e-3)
  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }
}
";

fn checked(text: &str, sets: &[&str]) -> Checked {
    let options = Options { sets: sets.iter().map(|s| s.to_string()).collect(), ..Options::default() };
    let checked = driver::check_text("t.nn", text.to_string(), Path::new(""), &options);
    assert!(!checked.has_errors(), "{:#?}", checked.diagnostics);
    checked
}

fn digits(sets: &[&str]) -> Checked {
    let precision = sets.first().map_or(String::new(), |s| format!("  {s}\n"));
    checked(&DIGITS.replace("train {\n", &format!("train {{\n{precision}")), &[])
}

/// Trains for some epochs and gives the loss of each step, the engine, and the accuracy on what was held out.
fn trained(checked: &Checked, target: Target, threads: usize, epochs: u64) -> (Vec<f64>, Box<dyn Engine>, f64) {
    let task = &checked.program.tasks[0];
    let split = open(task, Path::new("")).expect("built in").expect("it has data").split(1);
    let mut train = Feed::new(split.train, &task.fields, Some(64), true).expect("a feed");
    let mut held = Feed::new(split.validate.expect("some"), &task.fields, Some(64), false).expect("a feed");
    let mut engine = driver::engine(checked, "train", target, threads).expect("an engine");
    engine.initialise(1).expect("first values");
    let mut losses = Vec::new();
    let mut clock = ClockValues { step: 0, epoch: 0, steps: 1000, epoch_steps: 23 };
    for epoch in 0..epochs {
        for position in 0..train.batches().expect("some") {
            let samples = train.load(1, epoch, position);
            let batch = train.engine_batch(samples);
            engine
                .run(Entry::Train, batch, &StepInputs { fields: train.fields(), clock, seed: 1, lengths: &[] })
                .expect("a step");
            losses.push(engine.scalar(0));
            clock.step += 1;
        }
        clock.epoch += 1;
    }
    let stop = AtomicBool::new(false);
    let done = evaluate(&mut *engine, &task.eval.reports, &mut held, 1, clock, &stop, || {}).expect("it runs");
    let Evaluation::Done(averages) = done else { panic!("{done:?}") };
    (losses, engine, averages.get(1))
}

#[test]
fn bf16_learns_digits_as_f32_does() {
    let (_, _, plain) = trained(&digits(&[]), Target::Cpu, 2, 6);
    let half = digits(&["precision = bf16"]);
    let (losses, engine, accuracy) = trained(&half, Target::Cpu, 2, 6);
    assert!(plain > 0.9, "{plain}");
    assert!(accuracy > plain - 0.02, "{accuracy} against {plain}");
    assert!(losses.iter().all(|l| l.is_finite()));
    // Master weights: more digits than bf16 has.
    let task = &half.program.tasks[0];
    for var in &task.vars {
        let tensor = engine.var(*var);
        assert_eq!(tensor.dtype, DType::F32);
        if tensor.shape.len() > 1 {
            let numbers = bytes::to_f64(DType::F32, &tensor.bytes);
            let fine = numbers.iter().filter(|x| nnc::ops::half::round(**x, DType::BF16) != **x).count();
            assert!(fine * 2 > numbers.len(), "{} of {} are no bf16", fine, numbers.len());
        }
    }
}

#[test]
fn bf16_gives_the_same_bits_on_any_number_of_threads() {
    let half = digits(&["precision = bf16"]);
    let (one, first, _) = trained(&half, Target::Cpu, 1, 1);
    let (two, second, _) = trained(&half, Target::Cpu, 2, 1);
    assert_eq!(one, two);
    for var in &half.program.tasks[0].vars {
        assert_eq!(first.var(*var).bytes, second.var(*var).bytes);
    }
}

#[test]
fn precisions_differ_and_both_targets_agree_on_each() {
    let first_loss = |sets: &[&str], target| trained(&digits(sets), target, 2, 1).0;
    let plain = first_loss(&[], Target::Cpu);
    let mut seen = vec![plain.clone()];
    for (set, tolerance) in [("precision = bf16", 2e-2), ("precision = f64", 1e-5)] {
        let (cpu, slow) = (first_loss(&[set], Target::Cpu), first_loss(&[set], Target::Interpreter));
        for (step, (a, b)) in cpu.iter().zip(&slow).enumerate().take(8) {
            assert!((a - b).abs() < tolerance, "{set}, step {step}: {a} and {b}");
        }
        assert!((cpu[0] - plain[0]).abs() < 2e-2, "{set}: {} and {}", cpu[0], plain[0]);
        assert!(!seen.contains(&cpu), "{set} changes nothing");
        seen.push(cpu);
    }
}

#[test]
fn what_is_summed_in_a_step_of_bf16_stays_f32() {
    let half = digits(&["precision = bf16"]);
    let graph = nnc::stages::step_graph(&half.program.tasks[0], Entry::Train, 64, &mut Vec::new()).expect("a graph");
    for node in &graph.nodes {
        let product = matches!(
            node.op,
            Op::Matmul { .. } | Op::Conv { .. } | Op::ConvInputGrad { .. } | Op::ConvWeightGrad { .. }
        );
        if product {
            assert_eq!(node.ty.dtype, DType::BF16);
        } else if !matches!(node.op, Op::Cast | Op::Transpose { .. } | Op::Reshape { .. } | Op::Broadcast { .. }) {
            assert!(!node.ty.dtype.is_half(), "{:?} is {}", node.op, node.ty);
        }
    }
}

#[test]
fn a_setting_from_the_command_line_is_checked_too() {
    let set = |text: &str| {
        let options = Options { sets: vec![text.to_string()], ..Options::default() };
        driver::check_text("t.nn", DIGITS.replace("train {\n", "train {\n  precision = f32\n"), Path::new(""), &options)
    };
    assert_eq!(set("precision=bf16").program.tasks[0].settings.precision, Some(DType::BF16));
    let wrong = set("precision=bf61");
    assert_eq!(wrong.diagnostics[0].code.id, "E0701");
    assert!(wrong.diagnostics[0].help.iter().any(|h| h.contains("bf16")), "{:?}", wrong.diagnostics);
}

/// A linear regression whose parameter is of another dtype.
fn regression(dtype: &str) -> String {
    format!(
        "
model Bowl {{
  param theta: {dtype}[5] = 1
  param scale: {dtype}[5] = normal(std: 0.5)
  forward() -> {dtype} {{ sum((theta - 3) ^ 2) + sum({dtype}(f32(scale) ^ 2)) }}
}}
train {{
  net       = Bowl()
  steps     = 200
  optimizer = Sgd(lr: 0.05)
  step() {{ minimize net() }}
}}
"
    )
}

#[test]
fn parameters_may_be_of_any_float() {
    for (dtype, tolerance) in [("f64", 1e-8), ("f16", 0.02), ("bf16", 0.2)] {
        for target in [Target::Cpu, Target::Interpreter] {
            let checked = checked(&regression(dtype), &[]);
            let mut engine = driver::engine(&checked, "train", target, 1).expect("an engine");
            engine.initialise(2).expect("first values");
            for step in 0..200 {
                let clock = ClockValues { step, epoch: 0, steps: 200, epoch_steps: 200 };
                engine.run(Entry::Train, 0, &StepInputs { fields: &[], clock, seed: 2, lengths: &[] }).expect("a step");
            }
            let theta = engine.var(checked.program.tasks[0].vars[0]);
            assert_eq!(theta.dtype.name(), dtype);
            assert_eq!(theta.bytes.len(), 5 * theta.dtype.bytes());
            for x in bytes::to_f64(theta.dtype, &theta.bytes) {
                assert!((x - 3.0).abs() < tolerance, "{dtype} {x}");
            }
            assert!(engine.scalar(0) < 0.2, "{dtype} {}", engine.scalar(0));
        }
    }
}

#[test]
fn checkpoints_keep_every_float_bit_by_bit() {
    for dtype in ["f64", "f16", "bf16"] {
        let checked = checked(&regression(dtype), &[]);
        let (program, task) = (&checked.program, &checked.program.tasks[0]);
        let mut first = driver::engine(&checked, "train", Target::Cpu, 1).expect("an engine");
        first.initialise(5).expect("first values");
        let path = std::env::temp_dir().join(format!("nnc-precision-{}-{dtype}.safetensors", std::process::id()));
        assert!(train::save(&path, program, task, &*first, &Default::default(), false).expect("written"));
        let file = nnc::artifact::checkpoint::read(&path, None).expect("read");
        std::fs::remove_file(&path).expect("it is there");
        for target in [Target::Cpu, Target::Interpreter] {
            let mut second = driver::engine(&checked, "train", target, 1).expect("an engine");
            second.initialise(6).expect("first values");
            assert_ne!(first.var(task.vars[1]).bytes, second.var(task.vars[1]).bytes);
            train::load_all(&file, program, task, &mut *second).expect("it fits");
            for var in &task.vars {
                assert_eq!(first.var(*var), second.var(*var), "{dtype}");
            }
        }
    }
}

/// The headlines of what is wrong with a program.
fn faults(text: &str) -> Vec<String> {
    let checked = driver::check_text("t.nn", text.to_string(), Path::new(""), &Options::default());
    checked.diagnostics.iter().map(|d| d.headline.clone()).collect()
}

#[test]
fn functions_of_the_library_take_any_float() {
    for dtype in ["f16", "bf16", "f64"] {
        let text = format!(
            "
fn rows(x: {dtype}[B, D]) -> {dtype}[B, D] {{ x |> gelu |> softmax }}
fn loss(x: logits {dtype}[B, C], y: i32[B]) -> {dtype} {{ cross_entropy(x, y) }}
fn tagged(x: {dtype}[B, C], y: i32[B]) -> {dtype} {{ cross_entropy(x, y) }}
fn middle(x: {dtype}[B, D]) -> {dtype} {{ mean(x) + mse(x, 2 * x) }}
fn parts(x: {dtype}[B, D]) -> {dtype}[B, 2 * D] {{ concat([maximum(x, 0), x], axis: 1) }}
"
        );
        assert_eq!(faults(&text), [""; 0], "{dtype}");
        let mixed = format!("fn mixed(x: {dtype}[B], y: f32[B]) {{ x * y }}");
        assert_eq!(faults(&mixed), [format!("`*` mixes {dtype} and f32")]);
        let twice = format!("fn twice(x: {dtype}[B, C], y: i32[B]) {{ x |> softmax |> cross_entropy(y) }}");
        assert!(faults(&twice)[0].contains("takes logits, not probs"), "{:?}", faults(&twice));
    }
    assert!(faults("fn whole(x: i32[B]) { relu(x) }")[0].contains("is i32, not f32"));
    let layer = "model M { fc = Linear(3) forward(x: bf16[B, 4]) { fc(x) } }".replace(") forward", ")\n forward");
    assert_eq!(faults(&layer), [""; 0], "a layer is of the float of its first use");
    assert_eq!(faults("fn product(a: i32[B, 3], b: i32[3, C]) { a @ b }"), ["`@` does not take i32"]);
}

/// A perceptron that is declared in another float throughout: no master weights, no casts.
#[test]
fn a_net_of_halves_learns() {
    let text = "
model Net {
  param weight: bf16[10, 64] = normal(std: 0.1)
  param bias: bf16[10] = 0
  forward(x: f32[B, 1, 8, 8]) -> logits bf16[B, 10] { bf16(flatten(x)) @ transpose(weight) + bias }
}
train {
  data      = digits(validate: 0.2)
  batch     = 64
  net       = Net()
  optimizer = Sgd(lr: 0.5)
  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }
}
";
    let checked = checked(text, &[]);
    let (fast, engine, accuracy) = trained(&checked, Target::Cpu, 2, 4);
    assert!(accuracy > 0.8, "{accuracy}");
    assert_eq!(engine.var(checked.program.tasks[0].vars[0]).dtype, DType::BF16);
    let (slow, _, _) = trained(&checked, Target::Interpreter, 1, 1);
    for (step, (a, b)) in fast.iter().zip(&slow).enumerate().take(5) {
        assert!((a - b).abs() < 0.05, "step {step}: {a} and {b}");
    }
}

/// A recurrence, whose body is a graph of its own.
const RECURRENT: &str = "
model Net {
  param inward: f32[16, 8] = normal(std: 0.3)
  param across: f32[16, 16] = normal(std: 0.2)
  out = Linear(10)
  forward(image: f32[B, 1, 8, 8]) -> logits[B, 10] {
    rows: f32[B, R, 8] = reshape(image, [B, 8, 8])
    start = zeros([B, 16])
    last = scan row in rows along R with h = start {
      h = tanh(row @ transpose(inward) + h @ transpose(across))
    }
    out(last)
  }
}
train {
  data      = digits(validate: 0.2)
  batch     = 64
  net       = Net()
  optimizer = AdamW(lr: 1e-2)
  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }
}
";

#[test]
fn recurrences_follow_the_precision() {
    let plain = trained(&checked(RECURRENT, &[]), Target::Cpu, 2, 1).0;
    for (precision, tolerance) in [("bf16", 3e-2), ("f64", 1e-5)] {
        let text = RECURRENT.replace("train {\n", &format!("train {{\n  precision = {precision}\n"));
        let other = checked(&text, &[]);
        let fast = trained(&other, Target::Cpu, 2, 1).0;
        let slow = trained(&other, Target::Interpreter, 1, 1).0;
        assert_ne!(plain, fast, "{precision} changes nothing");
        for (step, (a, b)) in fast.iter().zip(&slow).enumerate().take(5) {
            assert!((a - b).abs() < tolerance, "{precision}, step {step}: {a} and {b}");
        }
    }
}
