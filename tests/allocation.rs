//! A step allocates nothing. Alone in its binary, and without the test harness, whose own thread allocates too: the
//! allocator counts for the whole process.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::*;
use nnc::engine::{Entry, Target};
use nnc::runtime::arena::{Arena, VarMemory};
use nnc::runtime::executable::{ClockValues, Executable, StepInputs};
use nnc::runtime::threads::Pool;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    a_planned_step();
    a_program();
    println!("test steps_allocate_nothing ... ok");
}

/// The digits program, through the engine: training and evaluation, whole and partial batches.
fn a_program() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits.nn");
    let checked = nnc::driver::check_file(&path, &Default::default()).unwrap();
    let mut engine = nnc::driver::engine(&checked, "train", Target::Cpu, 2).unwrap();
    engine.initialise(0).unwrap();
    let places = [(Entry::Train, 64), (Entry::Train, 29), (Entry::Eval, 64)];
    for (entry, batch) in places {
        engine.prepare(entry, batch).unwrap();
    }
    let fields = [vec![0u8; 64 * 64 * 4], vec![0u8; 64 * 4]];
    let cut = |batch: usize| [fields[0][..batch * 256].to_vec(), fields[1][..batch * 4].to_vec()];
    let batches: Vec<[Vec<u8>; 2]> = places.iter().map(|(_, batch)| cut(*batch)).collect();
    let mut run = |step| {
        for ((entry, batch), fields) in places.iter().zip(&batches) {
            let clock = nnc::engine::ClockValues { step, epoch: 0, steps: 100, epoch_steps: 23 };
            engine.run(*entry, *batch, &nnc::engine::StepInputs { fields, clock, seed: 0, lengths: &[] }).unwrap();
            assert!(engine.scalar(0).is_finite());
        }
    };
    run(0);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (1..6).for_each(&mut run);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    // What the plan says is what there is.
    let task = checked.program.task("train").unwrap();
    let planned = |entry, batch| nnc::emit::plan(&checked.program, task, entry, batch, 2).unwrap().arena_bytes;
    let most = places.iter().map(|(entry, batch)| planned(*entry, *batch)).max().unwrap();
    assert_eq!(engine.arena_bytes(), most);
}

fn a_planned_step() {
    let (plan, layout) = step();
    let pool = Arc::new(Pool::new(2));
    pool.wait_for_workers();
    let mut exe = Executable::load(&plan, &layout, pool).unwrap();
    let (mut vars, mut arena) = (VarMemory::new(&layout), Arena::new(plan.arena_bytes));
    let field = bytes(&batch());
    let fields = [field.as_slice()];
    let mut inputs = StepInputs { fields: &fields, clock: ClockValues::default(), seed: 1 };
    exe.run(&mut vars, &mut arena, &inputs).unwrap();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for step in 0..20 {
        inputs.clock.step = step;
        exe.run(&mut vars, &mut arena, &inputs).unwrap();
        assert!(exe.scalar(&arena, 0).is_some());
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
