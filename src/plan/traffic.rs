//! What a launch reads and writes, and from how far. In: a plan, and what fits into each cache. Out: for each launch the
//! bytes that it moves, by the nearest level of memory that can still hold them.
//!
//! A byte is as near as the sum of what launches touched since it was last touched, in pages of 4 KiB, over a step that
//! follows another of its kind. It is a bound for speed, so it errs on the side of too few bytes and too near: an element
//! that a launch reads several times counts once, one that a loop leaves out of a buffer does not count.

use super::{BufferId, BufferKind, EpilogueWork, Operand, Plan, VarLayout, Work};
use crate::codegen::loops::{Access, Expr, Kernel, Stmt};
use std::collections::HashMap;

const PAGE: usize = 4096;

/// Bytes of each launch by level: one more than there are capacities, nearest first.
pub fn traffic(plan: &Plan, layout: &VarLayout, capacities: &[usize]) -> Vec<Vec<u64>> {
    let launches: Vec<Vec<Touch>> = plan.schedule.launches.iter().map(|l| touches(plan, &l.work)).collect();
    let place = |id: BufferId| {
        let buffer = &plan.schedule.buffers[id.0 as usize];
        let offset = plan.offsets.get(id.0 as usize).copied().unwrap_or(0);
        match buffer.kind {
            BufferKind::Var(v) => (0, layout.offsets.get(v.0 as usize).copied().unwrap_or(0)),
            // Each has a region of its own, which stands for a buffer of the schedule around.
            BufferKind::Outer(_) | BufferKind::Constant(_) => (2 + id.0 as usize, 0),
            _ => (1, offset),
        }
    };
    let (mut last, mut clock) = (HashMap::new(), 0u64);
    let mut out = Vec::new();
    // The first pass only says what the step before has left in the caches.
    for _ in 0..2 {
        out.clear();
        for (touches, launch) in launches.iter().zip(&plan.schedule.launches) {
            let mut levels = vec![0u64; capacities.len() + 1];
            let mut touched = Vec::new();
            for touch in touches {
                let (region, offset) = place(touch.buffer);
                let pages = offset / PAGE..(offset + touch.bytes).div_ceil(PAGE).max(offset / PAGE + 1);
                let (count, moved) = (pages.len() as u64, touch.bytes as u64 * touch.times);
                for (i, page) in pages.enumerate() {
                    let far = last.get(&(region, page)).map_or(u64::MAX, |then| clock - then);
                    let level = capacities.iter().position(|c| far < *c as u64).unwrap_or(capacities.len());
                    levels[level] += moved * (i as u64 + 1) / count - moved * i as u64 / count;
                    touched.push((region, page));
                }
                clock += touch.bytes as u64;
            }
            touched.into_iter().for_each(|page| _ = last.insert(page, clock));
            if let Work::Repeat(repeat) = &launch.work {
                let inner = traffic(&repeat.body, layout, capacities);
                inner.iter().flat_map(|l| l.iter().enumerate()).for_each(|(i, b)| levels[i] += b * repeat.count as u64);
            }
            out.push(levels);
        }
    }
    out
}

/// A buffer that a launch uses: so many of its bytes, read or written or both.
struct Touch {
    buffer: BufferId,
    bytes: usize,
    times: u64,
}

fn touches(plan: &Plan, work: &Work) -> Vec<Touch> {
    let bytes = |id: BufferId| plan.schedule.buffers[id.0 as usize].bytes();
    let whole = |id: BufferId| Touch { buffer: id, bytes: bytes(id), times: 1 };
    let mut out = Vec::new();
    let epilogue = match work {
        Work::Loops { kernel, args } => {
            by_kernel(&plan.schedule.kernels[*kernel], args, &mut out);
            return out;
        }
        Work::Matmul { batch, m, n, k, a, b, c, epilogue, dtype, .. } => {
            let operand = |o: &Operand, sizes: [usize; 3]| {
                // An axis without a stride is the same place over and over.
                let count: usize = sizes.iter().zip(&o.strides).map(|(n, s)| if *s == 0 { 1 } else { *n }).product();
                Touch { buffer: o.buffer, bytes: (count * dtype.bytes()).min(bytes(o.buffer)), times: 1 }
            };
            out.extend([operand(a, [*batch, *m, *k]), operand(b, [*batch, *k, *n]), whole(*c)]);
            epilogue
        }
        Work::Conv { inputs, output, epilogue, .. } => {
            out.extend([whole(inputs[0]), whole(inputs[1]), whole(*output)]);
            epilogue
        }
        // Its body's launches count.
        Work::Repeat(_) => return out,
    };
    if let Some(EpilogueWork { kernel, args }) = epilogue {
        let mut more = Vec::new();
        by_kernel(&plan.schedule.kernels[*kernel], args, &mut more);
        // The tile that it finishes is still in registers or the nearest cache.
        more.retain(|t| !out.iter().any(|o| o.buffer == t.buffer));
        out.extend(more);
    }
    out
}

fn by_kernel(kernel: &Kernel, args: &[BufferId], out: &mut Vec<Touch>) {
    let mut used = vec![0usize; kernel.buffers.len()];
    count(&kernel.body, 1, &mut used);
    for (i, ((decl, buffer), used)) in kernel.buffers.iter().zip(args).zip(used).enumerate() {
        // What is stored before it is read comes from no further than the nearest cache.
        let mut accesses = Vec::new();
        order(&kernel.body, i, &mut accesses);
        let kept = accesses.first() == Some(&true) && accesses.contains(&false);
        let times = if decl.access == Access::ReadWrite && !kept { 2 } else { 1 };
        out.push(Touch { buffer: *buffer, bytes: used.min(decl.len) * decl.dtype.bytes(), times });
    }
}

/// The accesses to a buffer as they are written: true for those that store.
fn order(body: &[Stmt], which: usize, out: &mut Vec<bool>) {
    for stmt in body {
        match stmt {
            Stmt::Let { expr: Expr::Load { buffer, .. }, .. } if buffer.0 as usize == which => out.push(false),
            Stmt::Store { buffer, accumulate, .. } if buffer.0 as usize == which => out.push(!accumulate),
            Stmt::For { body, .. } | Stmt::Fold { body, .. } => order(body, which, out),
            _ => {}
        }
    }
}

/// How often a body that runs so often loads from or stores to each buffer.
fn count(body: &[Stmt], runs: usize, used: &mut [usize]) {
    for stmt in body {
        match stmt {
            Stmt::Let { expr: Expr::Load { buffer, .. }, .. } | Stmt::Store { buffer, .. } => {
                let place = &mut used[buffer.0 as usize];
                *place = place.saturating_add(runs);
            }
            Stmt::For { extent, body, .. } | Stmt::Fold { extent, body, .. } => {
                count(body, runs.saturating_mul(*extent), used);
            }
            Stmt::Let { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::loops::text;
    use crate::graph::Origin;
    use crate::ops::DType;
    use crate::plan::{Buffer, Launch, Schedule};

    /// Two buffers of 16 KiB; the first launch writes one from the other, the second reads half of it back.
    fn plan() -> Plan {
        let kernel = |text: &str| text::parse(text).expect("a kernel");
        let kernels = vec![
            kernel(
                "kernel copy(b0: f32[4096] read, b1: f32[4096] write) {\n  vector i0 in 0..4096 {\n    \
                 %0 = load b0[i0]\n    store b1[i0], %0\n  }\n}",
            ),
            kernel(
                "kernel back(b0: f32[4096] readwrite, b1: f32[4096] read) {\n  vector i0 in 0..2048 {\n    \
                 %0 = load b1[i0]\n    store b0[i0], %0\n  }\n}",
            ),
        ];
        let buffer = || Buffer {
            kind: BufferKind::Temporary,
            dtype: DType::F32,
            len: 4096,
            shape: vec![4096],
            origin: Origin::NOWHERE,
        };
        let launch = |kernel: usize| Launch {
            work: Work::Loops { kernel, args: vec![BufferId(0), BufferId(1)] },
            origin: Origin::NOWHERE,
            parts: Vec::new(),
            flops: 0,
        };
        let launches = vec![launch(0), launch(1)];
        let schedule = Schedule { buffers: vec![buffer(), buffer()], kernels, launches, scopes: Vec::new() };
        let (arena_bytes, lower_bound) = (32768, 32768);
        Plan {
            schedule,
            offsets: vec![0, 16384],
            lifetimes: vec![(0, 1), (0, 1)],
            arena_bytes,
            kept_bytes: 0,
            lower_bound,
        }
    }

    #[test]
    fn bytes_are_counted_at_the_level_that_holds_them() {
        let layout = VarLayout::default();
        // A copy moves both buffers; the way back reads half of one, and reads and writes half of the other.
        assert_eq!(traffic(&plan(), &layout, &[1 << 20]), [[32768, 0], [24576, 0]]);
        assert_eq!(traffic(&plan(), &layout, &[0]), [[0, 32768], [0, 24576]]);
        // What the second launch needs was touched just before; of what the first needs, half is older.
        let levels = traffic(&plan(), &layout, &[20000]);
        assert_eq!(levels[1], [24576, 0]);
        assert_eq!(levels[0].iter().sum::<u64>(), 32768);
        assert!(levels[0][0] > 0 && levels[0][1] > 0, "{levels:?}");
    }
}
