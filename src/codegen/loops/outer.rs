//! The loop of a kernel that may be split over threads: in goes a kernel, out comes its outermost loop if it has one that may.

use super::{Kernel, LoopKind, Stmt};

/// The loop that a range entry narrows: its extent and whether it runs by lanes.
pub fn outer_loop(kernel: &Kernel) -> Option<(usize, LoopKind)> {
    match split_outer(kernel)? {
        (_, Stmt::For { extent, kind, .. }) => Some((*extent, *kind)),
        _ => None,
    }
}

/// The one loop of a kernel that may be split, and the pure statements before it, which each part repeats.
pub fn split_outer(kernel: &Kernel) -> Option<(&[Stmt], &Stmt)> {
    let (last, before) = kernel.body.split_last()?;
    let pure = before.iter().all(|s| matches!(s, Stmt::Let { .. }));
    let splits = matches!(last, Stmt::For { kind: LoopKind::Parallel | LoopKind::Vector, .. });
    (pure && splits).then_some((before, last))
}
