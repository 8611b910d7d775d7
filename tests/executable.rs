//! Plans that run: results, variables, clocks, several threads, the search for what is not finite.

mod common;

use common::*;
use nnc::ops::VarId;
use nnc::runtime::arena::{Arena, VarMemory};
use nnc::runtime::executable::{ClockValues, Executable, Fault, StepInputs};
use nnc::runtime::threads::Pool;
use std::sync::Arc;

fn load(threads: usize) -> (Executable, VarMemory, Arena) {
    let (plan, layout) = step();
    let exe = Executable::load(&plan, &layout, Arc::new(Pool::new(threads))).unwrap_or_else(|e| panic!("{e:?}"));
    let mut vars = VarMemory::new(&layout);
    vars.write(VarId(1), IN * OUT * 4).unwrap().copy_from_slice(&bytes(&weights()));
    (exe, vars, Arena::new(plan.arena_bytes))
}

fn clock(step: u64) -> ClockValues {
    ClockValues { step, epoch: 1, steps: 10, epoch_steps: 5 }
}

#[test]
fn a_step_computes_what_it_says() {
    let (mut exe, mut vars, mut arena) = load(2);
    let field = bytes(&batch());
    let inputs = StepInputs { fields: &[&field], clock: clock(3), seed: 0x1_0000_0007 };
    exe.run(&mut vars, &mut arena, &inputs).unwrap();
    let (x, w) = (batch(), weights());
    let mut loss = 3.0f64;
    for i in 0..ROWS {
        for j in 0..OUT {
            let product: f64 = (0..IN).map(|k| x[i * IN + k] as f64 * w[k * OUT + j] as f64).sum();
            loss += (2.0 * (product + j as f64 * 0.01 + 0.5).max(0.0)).ln();
        }
    }
    let got = exe.scalar(&arena, 0).unwrap();
    assert!((got - loss).abs() < 1e-2, "{got} {loss}");
    let key: Vec<i32> =
        exe.value(&arena, 1).unwrap().chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(key, [7, 1, 3, 0]);
    let after = floats(vars.read(VarId(1), IN * OUT * 4).unwrap());
    assert!(after.iter().zip(&w).all(|(a, b)| *a == 0.5 * b));
    assert!(exe.value(&arena, 2).is_none());
    assert_eq!((exe.launches(), exe.values(), exe.running()), (4, 2, 3));
    assert_eq!(exe.own_memory().constants, 320);
}

#[test]
fn threads_do_not_change_a_bit() {
    let mut results = Vec::new();
    for threads in [1, 2, 3] {
        let (mut exe, mut vars, mut arena) = load(threads);
        let field = bytes(&batch());
        for step in 0..3 {
            let inputs = StepInputs { fields: &[&field], clock: clock(step), seed: 1 };
            exe.run(&mut vars, &mut arena, &inputs).unwrap();
        }
        let logs = exe.pieces(1).unwrap();
        assert_eq!(logs > 1, threads > 1, "{logs} pieces");
        let vars = vars.read(VarId(1), IN * OUT * 4).unwrap().to_vec();
        results.push((exe.value(&arena, 0).unwrap().to_vec(), vars));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[test]
fn executables_share_variables_and_an_arena() {
    let (mut first, mut vars, mut arena) = load(1);
    let (mut second, _, _) = load(1);
    let field = bytes(&batch());
    let inputs = StepInputs { fields: &[&field], clock: clock(0), seed: 1 };
    first.run(&mut vars, &mut arena, &inputs).unwrap();
    let before = first.scalar(&arena, 0).unwrap();
    vars.write(VarId(1), IN * OUT * 4).unwrap().copy_from_slice(&bytes(&weights()));
    second.run(&mut vars, &mut arena, &inputs).unwrap();
    assert_eq!(second.scalar(&arena, 0).unwrap(), before);
    // Another arena and other variables: addresses are resolved again.
    let (_, mut other_vars, mut other_arena) = load(1);
    first.run(&mut other_vars, &mut other_arena, &inputs).unwrap();
    assert_eq!(first.scalar(&other_arena, 0).unwrap(), before);
}

#[test]
fn the_first_launch_that_is_not_finite_is_found() {
    let (mut exe, mut vars, mut arena) = load(2);
    let mut x = batch();
    let field = bytes(&x);
    let inputs = StepInputs { fields: &[&field], clock: clock(0), seed: 1 };
    assert_eq!(exe.run_checked(&mut vars, &mut arena, &inputs).unwrap(), None);
    // Large negative activations: relu gives 0, the logarithm minus infinity.
    x[..IN].iter_mut().zip(weights().iter().step_by(OUT)).for_each(|(x, w)| *x = -1000.0 * w.signum());
    let field = bytes(&x);
    let inputs = StepInputs { fields: &[&field], clock: clock(0), seed: 1 };
    let found = exe.run_checked(&mut vars, &mut arena, &inputs).unwrap().unwrap();
    assert_eq!((found.launch, found.element, found.what), (1, 0, Fault::MinusInfinity));
    assert_eq!(found.origin, origin(1));
    x[IN + 1] = f32::NAN;
    let field = bytes(&x);
    let inputs = StepInputs { fields: &[&field], clock: clock(0), seed: 1 };
    let found = exe.run_checked(&mut vars, &mut arena, &inputs).unwrap().unwrap();
    assert_eq!((found.launch, found.element, found.what), (0, OUT, Fault::Nan));
}

#[test]
fn launches_are_timed() {
    let (mut exe, mut vars, mut arena) = load(1);
    let field = bytes(&batch());
    let inputs = StepInputs { fields: &[&field], clock: clock(0), seed: 1 };
    let mut times = Vec::new();
    exe.run_profiled(&mut vars, &mut arena, &inputs, &mut times).unwrap();
    assert_eq!(times.len(), exe.launches());
    assert!(times.as_flattened().is_sorted(), "{times:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut exe, mut vars, mut arena) = load(1);
    let field = bytes(&batch());
    let short = StepInputs { fields: &[&field[4..]], clock: clock(0), seed: 1 };
    assert!(exe.run(&mut vars, &mut arena, &short).unwrap_err().notes[0].contains("field 0"));
    let inputs = StepInputs { fields: &[&field], clock: clock(0), seed: 1 };
    assert!(exe.run(&mut vars, &mut Arena::new(64), &inputs).is_err());
    let (mut plan, layout) = step();
    plan.offsets[1] = plan.arena_bytes;
    assert!(Executable::load(&plan, &layout, Arc::new(Pool::new(1))).is_err());
    let (mut plan, layout) = step();
    plan.schedule.buffers[3].len -= 1;
    assert!(Executable::load(&plan, &layout, Arc::new(Pool::new(1))).is_err());
}
