//! A step allocates nothing. Alone in its binary: the allocator counts for the whole process.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::*;
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

#[test]
fn a_step_allocates_nothing() {
    let (plan, layout) = step();
    let mut exe = Executable::load(&plan, &layout, Arc::new(Pool::new(2))).unwrap();
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
