//! How a kernel's iterations become threads. In: a kernel. Out: the outer loops whose iterations are independent of each other,
//! and what runs one of them: a thread, a warp, a block, or, for sums over columns, a few threads of as many warps.

use super::digits::independent;
use crate::codegen::loops::{Expr, FoldOp, Kernel, LoopKind, LoopVar, Stmt};

/// Threads of a block where nothing else decides.
pub const THREADS: usize = 256;

/// Registers are not spilled for the sake of more than so many threads at a time on one part of the device.
const AT_LEAST: usize = 512;

/// The promise of how many threads a block has, before a function's name.
pub fn launch_bounds(threads: usize) -> String {
    format!("__launch_bounds__({threads}, {})", (AT_LEAST / threads.max(1)).clamp(1, 16))
}

/// Who runs one iteration of the outer loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Team {
    Thread,
    Warp,
    /// A block of so many threads.
    Block(usize),
    /// Thread `x` of each of so many warps of a block: neighbouring iterations read neighbouring elements.
    Column(usize),
}

/// The loops that became threads, and what is left inside.
pub struct Mapping<'k> {
    pub chain: Vec<(LoopVar, usize)>,
    /// Iterations of the chain.
    pub total: usize,
    /// Statements before each loop of the chain.
    pub before: Vec<&'k [Stmt]>,
    pub leaf: &'k [Stmt],
    pub team: Team,
}

/// The extent of every loop counter.
pub fn extents(kernel: &Kernel) -> Vec<usize> {
    fn walk(body: &[Stmt], extents: &mut [usize]) {
        for stmt in body {
            if let Stmt::For { var, extent, body, .. } | Stmt::Fold { var, extent, body, .. } = stmt {
                extents[var.0 as usize] = *extent;
                walk(body, extents);
            }
        }
    }
    let mut extents = vec![1; kernel.loops as usize];
    walk(&kernel.body, &mut extents);
    extents
}

/// What stands before a loop, the loop, and its body.
pub type OnlyLoop<'k> = (&'k [Stmt], LoopVar, usize, LoopKind, &'k [Stmt]);

/// The loop that a block is, with what stands before it.
pub fn only_loop(body: &[Stmt]) -> Option<OnlyLoop<'_>> {
    let (Stmt::For { var, extent, kind, body: inner }, before) = body.split_last()? else { return None };
    before.iter().all(|s| matches!(s, Stmt::Let { .. })).then_some((before, *var, *extent, *kind, inner))
}

pub fn map<'k>(kernel: &'k Kernel, extents: &[usize]) -> Mapping<'k> {
    let (mut chain, mut before, mut leaf) = (Vec::new(), Vec::new(), kernel.body.as_slice());
    while let Some((first, var, extent, kind, inner)) = only_loop(leaf) {
        if kind != LoopKind::Parallel && !independent(kernel, inner, var, &[], extents) {
            break;
        }
        chain.push((var, extent));
        before.push(first);
        leaf = inner;
    }
    let total = chain.iter().map(|c| c.1).product();
    let team = team(kernel, &chain, total, leaf, extents);
    Mapping { chain, total, before, leaf, team }
}

/// The extents of a fold and of those directly inside that only continue it.
pub fn flat_extent(stmt: &Stmt) -> usize {
    match stmt {
        Stmt::Fold { extent, .. } => match continued(stmt) {
            Some(inner) => extent * flat_extent(inner),
            None => *extent,
        },
        _ => 1,
    }
}

/// The fold inside a fold that does nothing but go on with it.
pub fn continued(stmt: &Stmt) -> Option<&Stmt> {
    let Stmt::Fold { op: op @ FoldOp::Reduce(_), body, yields, .. } = stmt else { return None };
    let (inner, before) = body.split_last()?;
    let Stmt::Fold { value, op: same, .. } = inner else { return None };
    (value == yields && op == same && before.iter().all(|s| matches!(s, Stmt::Let { .. }))).then_some(inner)
}

/// What a leaf has for several threads to share.
#[derive(Default)]
struct Shares {
    /// The longest fold, and the longest loop with independent iterations.
    fold: usize,
    each: usize,
    /// Loads inside folds that step by one with the last loop of the chain, and with the fold.
    across: usize,
    along: usize,
    /// Whether there are loops, not only folds.
    loops: bool,
}

fn look(kernel: &Kernel, body: &[Stmt], last: Option<LoopVar>, extents: &[usize], fixed: &[LoopVar], s: &mut Shares) {
    for stmt in body {
        match stmt {
            Stmt::Fold { body, .. } => {
                s.fold = s.fold.max(flat_extent(stmt));
                count(body, last, &mut vec![stmt], s);
            }
            Stmt::For { var, extent, body, .. } => {
                s.loops = true;
                if independent(kernel, body, *var, fixed, extents) {
                    let (mut total, mut inner) = (*extent, body.as_slice());
                    while let Some((_, var, extent, _, rest)) = only_loop(inner) {
                        if !independent(kernel, rest, var, fixed, extents) {
                            break;
                        }
                        total *= extent;
                        inner = rest;
                    }
                    s.each = s.each.max(total);
                } else {
                    look(kernel, body, last, extents, &[fixed, &[*var]].concat(), s);
                }
            }
            _ => {}
        }
    }
}

fn count<'k>(body: &'k [Stmt], last: Option<LoopVar>, folds: &mut Vec<&'k Stmt>, s: &mut Shares) {
    for stmt in body {
        match stmt {
            Stmt::Let { expr: Expr::Load { index, .. }, .. } => {
                s.across += usize::from(last.is_some_and(|v| index.stride(v).abs() == 1));
                let one = |f: &&Stmt| matches!(f, Stmt::Fold { var, .. } if index.stride(*var).abs() == 1);
                s.along += usize::from(folds.iter().any(one));
            }
            Stmt::Fold { body, .. } => {
                folds.push(stmt);
                count(body, last, folds, s);
                folds.pop();
            }
            _ => {}
        }
    }
}

/// A kernel with more buffers keeps so many addresses that large blocks have too few registers a thread.
const MANY_BUFFERS: usize = 12;

fn team(kernel: &Kernel, chain: &[(LoopVar, usize)], total: usize, leaf: &[Stmt], extents: &[usize]) -> Team {
    let mut s = Shares::default();
    let fixed: Vec<LoopVar> = chain.iter().map(|c| c.0).collect();
    look(kernel, leaf, fixed.last().copied(), extents, &fixed, &mut s);
    let most = s.fold.max(s.each);
    let enough = total >= 1 << 15;
    if most <= 8 || enough && most <= 32 {
        return Team::Thread;
    }
    let largest = if kernel.buffers.len() > MANY_BUFFERS { 512 } else { 1024 };
    if !s.loops && s.across > s.along {
        if enough && most <= 1024 || most <= 32 {
            return Team::Thread;
        }
        let slices = (most / 4).next_power_of_two().clamp(4, largest / 32);
        return Team::Column(slices);
    }
    match (total, most) {
        (512.., ..=1024) => Team::Warp,
        (_, ..=128) => Team::Warp,
        (_, ..=1024) => Team::Block(128),
        (256.., ..=8192) => Team::Block(THREADS),
        (512.., _) => Team::Block(512),
        _ => Team::Block(largest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::cuda;
    use crate::codegen::loops::text::parse;

    fn team_of(body: &str) -> (usize, Team) {
        let head = "kernel k(b0: f32[65536] read, b1: f32[65536] readwrite, b2: i32[256] read)";
        let kernel = parse(&format!("{head} {{\n{body}\n}}\n")).unwrap();
        crate::codegen::loops::verify(&kernel).unwrap();
        let mapping = map(&kernel, &extents(&kernel));
        (mapping.total, mapping.team)
    }

    #[test]
    fn teams_fit_what_is_left_inside() {
        let each =
            "serial i0 in 0..64 { vector i1 in 0..1024 { %0 = load b0[1024*i0 + i1] store b1[1024*i0 + i1], %0 } }";
        assert_eq!(team_of(each), (65536, Team::Thread));
        let rows = "parallel i0 in 0..64 { %1 = fold sum vector i1 in 0..1024 { %0 = load b0[1024*i0 + i1] yield %0 } store b1[i0], %1 }";
        assert_eq!(team_of(rows), (64, Team::Block(128)));
        let columns =
            "vector i0 in 0..64 { %1 = fold sum i1 in 0..1024 { %0 = load b0[i0 + 64*i1] yield %0 } store b1[i0], %1 }";
        assert_eq!(team_of(columns), (64, Team::Column(32)));
    }

    #[test]
    fn running_sums_keep_their_order() {
        let along = "parallel i0 in 0..64 { serial i1 in 0..1024 {
            %0 = load b1[1024*i0 + i1 - 1] if i1 - 1 in 0..1024 else 0
            %1 = load b0[1024*i0 + i1] %2 = add.f32 %0, %1 store b1[1024*i0 + i1], %2 } }";
        assert_eq!(team_of(along), (64, Team::Thread));
        let across = "serial i0 in 0..64 { serial i1 in 0..1024 {
            %0 = load b1[i0 + 64*i1 - 64] if i1 - 1 in 0..1024 else 0
            %1 = load b0[i0 + 64*i1] %2 = add.f32 %0, %1 store b1[i0 + 64*i1], %2 } }";
        assert_eq!(team_of(across), (64, Team::Thread));
    }

    #[test]
    fn scatters_have_a_warp_a_place() {
        let text = "kernel k(b0: f32[65536] read, b1: f32[4096] readwrite, b2: i32[256] read) {
            %0 = const.f32 0
            serial i0 in 0..16 { vector i1 in 0..256 { store b1[256*i0 + i1], %0 } }
            serial i2 in 0..256 { %1 = load b2[i2] vector i3 in 0..256 {
              %2 = load b0[256*i2 + i3] add b1[256*%1 + i3], %2 if %1 in 0..16 } }
        }";
        let kernel = parse(text).unwrap();
        crate::codegen::loops::verify(&kernel).unwrap();
        let source = cuda::kernel(&kernel, true).unwrap();
        assert!(source.text().contains("__ballot_sync"), "{}", source.text());
        assert_eq!(source.grid.blocks, 2);
    }
}
