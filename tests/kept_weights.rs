//! Weights that are packed once and kept: a net that only predicts gives the interpreter's values, before and after its
//! variables are set, for batches that are compiled apart.

use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, VarTensor, bytes};
use nnc::ops::DType;
use std::path::Path;

const NET: &str = r#"
predict {
  data  = npz("none.npz")
  batch = 2
  net   = seq {
    Conv2d(24, kernel: 3, padding: 1); BatchNorm(24); relu; Conv2d(20, kernel: 3, padding: 1); relu
    Conv2d(16, kernel: 3, stride: 2); relu; flatten; Linear(40); relu; Linear(5)
  }
  step(x: f32[B, 3, 12, 12]) { net(x) }
}
"#;

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let draw = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    (0..count).map(draw).collect()
}

fn value(engine: &mut dyn Engine, batch: usize, seed: u64) -> Vec<f64> {
    let field = bytes::from_f64(DType::F32, numbers(batch * 3 * 12 * 12, seed).into_iter());
    let inputs = StepInputs { fields: &[field], lengths: &[], clock: ClockValues::default(), seed: 0 };
    engine.run(Entry::Eval, batch, &inputs).expect("a step");
    let value = engine.value(0);
    bytes::to_f64(value.dtype, &value.bytes)
}

#[test]
fn kept_weights_follow_their_variables() {
    let checked = driver::check_text("test.nn", NET.to_string(), Path::new("."), &Options::default());
    let task = checked.program.tasks.first().expect("a task");
    let engine = |target, threads| {
        let mut engine = driver::engine(&checked, &task.name, target, threads).expect("an engine");
        engine.initialise(3).expect("first values");
        engine
    };
    let (mut one, mut two, mut exact) =
        (engine(Target::Cpu, 1), engine(Target::Cpu, 2), engine(Target::Interpreter, 1));
    let report = one.prepare(Entry::Eval, 2).expect("a plan");
    assert!(report.kept_bytes > 0, "nothing is kept");
    for round in 0..3 {
        for batch in [2, 1, 2] {
            let [a, b, c] = [&mut one, &mut two, &mut exact].map(|engine| value(&mut **engine, batch, round));
            assert_eq!(a, b, "threads change a value");
            let scale = c.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            let worst = a.iter().zip(&c).map(|(a, c)| (a - c).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-5 * scale, "round {round}, batch {batch}: {worst} of {scale}");
        }
        // The next round has other values in every variable.
        for (i, var) in task.vars.iter().enumerate() {
            let before = one.var(*var);
            let count = before.shape.iter().product();
            let values = numbers(count, 100 * round + i as u64).into_iter().map(|x| x + 0.75);
            let set = VarTensor { bytes: bytes::from_f64(before.dtype, values), ..before };
            [&mut one, &mut two, &mut exact].into_iter().for_each(|engine| engine.set_var(*var, &set));
        }
    }
}
