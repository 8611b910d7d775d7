//! Gives a freshly built loop nest its final shape. In: a kernel whose loops are all `Serial` and independent. Out: the
//! same stores by fewer loops, with loops for threads and vectors chosen, and values and counters numbered in order.

use super::ir::*;

/// Executed statements from which a kernel is worth spreading over threads.
const WORTH_THREADS: usize = 1 << 15;
/// Folds shorter than this gain nothing from lanes.
const SHORT_FOLD: usize = 16;

/// For nests of independent iterations: merges loops, chooses kinds, moves statements into the outermost loop, numbers.
pub fn tidy(mut kernel: Kernel) -> Kernel {
    drop_unused(&mut kernel);
    merge_block(&mut kernel.body);
    choose_kinds(&mut kernel.body);
    if super::keep::keep(&mut kernel) > 0 {
        drop_unused(&mut kernel);
    }
    sink(&mut kernel.body);
    renumber(kernel)
}

/// For nests whose loop kinds are already right: only moves statements and numbers.
pub fn finish(mut kernel: Kernel) -> Kernel {
    drop_unused(&mut kernel);
    sink(&mut kernel.body);
    renumber(kernel)
}

/// For the nest over the tiles of a product: merges so many loops each into the loops over batch, rows and columns. None if
/// they do not merge, or an element needs a fold or a run-time index, for which tiles are no good.
pub fn finish_epilogue(mut kernel: Kernel, runs: [usize; 3]) -> Option<Kernel> {
    fn collapse(stmt: &mut Stmt, runs: &[usize]) -> bool {
        let Stmt::For { var, extent, body, kind } = stmt else { return false };
        for _ in 1..runs[0] {
            let [Stmt::For { var: inner, extent: n, body: rest, .. }] = body.as_mut_slice() else { return false };
            if !mergeable(rest, *var, *inner, *n) {
                return false;
            }
            drop_var(rest, *var);
            (*var, *extent) = (*inner, *extent * *n);
            *body = std::mem::take(rest);
        }
        *kind = if runs.len() == 1 { LoopKind::Vector } else { LoopKind::Serial };
        runs.len() == 1 || body.last_mut().is_some_and(|s| collapse(s, &runs[1..]))
    }
    fn folds(body: &[Stmt]) -> bool {
        body.iter().any(|s| match s {
            Stmt::Fold { .. } => true,
            Stmt::For { body, .. } => folds(body),
            _ => false,
        })
    }
    drop_unused(&mut kernel);
    let mut plain = !folds(&kernel.body);
    visit_indices(&mut kernel.body, &mut |i| plain &= i.values.is_empty());
    plain &= kernel.body.last_mut().is_some_and(|s| collapse(s, &runs));
    let Some((Stmt::For { body, .. }, before)) = kernel.body.split_last_mut() else { return None };
    let mut moved: Vec<Stmt> = before.to_vec();
    moved.append(body);
    *body = moved;
    let last = kernel.body.len() - 1;
    kernel.body.drain(..last);
    plain.then(|| renumber(kernel))
}

/// Calls `f` for every index in a block.
pub fn visit_indices(body: &mut [Stmt], f: &mut impl FnMut(&mut Index)) {
    for stmt in body {
        match stmt {
            Stmt::Let { expr: Expr::Load { index, guard, .. }, .. } | Stmt::Store { index, guard, .. } => {
                f(index);
                guard.iter_mut().for_each(|b| f(&mut b.index));
            }
            Stmt::Let { expr: Expr::Counter(index), .. } => f(index),
            Stmt::Let { .. } => {}
            Stmt::For { body, .. } | Stmt::Fold { body, .. } => visit_indices(body, f),
        }
    }
}

/// Calls `f` for every operand (not definition) in a block.
pub fn visit_operands(body: &mut [Stmt], f: &mut impl FnMut(&mut Value)) {
    fn index(index: &mut Index, f: &mut impl FnMut(&mut Value)) {
        index.values.iter_mut().for_each(|v| f(&mut v.0));
    }
    for stmt in body {
        match stmt {
            Stmt::Let { expr, .. } => match expr {
                Expr::Const(_) => {}
                Expr::Load { index: i, guard, .. } => {
                    index(i, f);
                    guard.iter_mut().for_each(|b| index(&mut b.index, f));
                }
                Expr::Unary(_, a) | Expr::Cast(a) => f(a),
                Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
                    f(a);
                    f(b);
                }
                Expr::Select(c, a, b) => {
                    f(c);
                    f(a);
                    f(b);
                }
                Expr::Counter(i) => index(i, f),
            },
            Stmt::For { body, .. } => visit_operands(body, f),
            Stmt::Fold { body, yields, .. } => {
                visit_operands(body, f);
                f(yields);
            }
            Stmt::Store { index: i, value, guard, .. } => {
                index(i, f);
                guard.iter_mut().for_each(|b| index(&mut b.index, f));
                f(value);
            }
        }
    }
}

fn drop_unused(kernel: &mut Kernel) {
    loop {
        let mut used = vec![false; kernel.values.len()];
        visit_operands(&mut kernel.body, &mut |v| used[v.0 as usize] = true);
        if !drop_in(&mut kernel.body, &used) {
            return;
        }
    }
}

fn drop_in(body: &mut Vec<Stmt>, used: &[bool]) -> bool {
    let before = body.len();
    body.retain(|s| match s {
        Stmt::Let { value, .. } | Stmt::Fold { value, .. } => used[value.0 as usize],
        Stmt::For { body, .. } => !body.is_empty(),
        Stmt::Store { .. } => true,
    });
    let mut changed = body.len() != before;
    for stmt in body {
        if let Stmt::For { body, .. } | Stmt::Fold { body, .. } = stmt {
            changed |= drop_in(body, used);
        }
    }
    changed
}

fn merge_block(body: &mut [Stmt]) {
    for stmt in body {
        match stmt {
            Stmt::For { var, extent, body, .. } => {
                merge_block(body);
                if let [Stmt::For { var: inner, extent: n, body: rest, .. }] = body.as_mut_slice()
                    && mergeable(rest, *var, *inner, *n)
                {
                    drop_var(rest, *var);
                    (*var, *extent) = (*inner, *extent * *n);
                    *body = std::mem::take(rest);
                }
            }
            Stmt::Fold { op, var, extent, body, yields, .. } => {
                merge_block(body);
                if let [Stmt::Fold { value, op: o, var: inner, extent: n, body: rest, yields: y, .. }] =
                    body.as_mut_slice()
                {
                    let same = value == yields && o == op && matches!(op, FoldOp::Reduce(_));
                    if same && mergeable(rest, *var, *inner, *n) {
                        drop_var(rest, *var);
                        (*var, *extent, *yields) = (*inner, *extent * *n, *y);
                        *body = std::mem::take(rest);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Every index sees the two counters only as `outer * extent + inner`.
fn mergeable(body: &mut [Stmt], outer: LoopVar, inner: LoopVar, extent: usize) -> bool {
    let mut fits = true;
    visit_indices(body, &mut |i| fits &= i.stride(outer) == extent as i64 * i.stride(inner));
    fits
}

fn drop_var(body: &mut [Stmt], var: LoopVar) {
    visit_indices(body, &mut |i| i.terms.retain(|t| t.0 != var));
}

/// Statements executed by one run of a block.
fn work(body: &[Stmt]) -> usize {
    let one = |s: &Stmt| match s {
        Stmt::For { extent, body, .. } | Stmt::Fold { extent, body, .. } => extent.saturating_mul(work(body)),
        _ => 1,
    };
    body.iter().fold(0usize, |sum, s| sum.saturating_add(one(s)))
}

fn choose_kinds(body: &mut [Stmt]) {
    let total = work(body);
    let loops = body.iter().filter(|s| matches!(s, Stmt::For { .. })).count();
    for stmt in body.iter_mut() {
        match stmt {
            Stmt::For { .. } => {
                interchange(stmt);
                innermost(stmt);
                if let Stmt::For { kind, .. } = stmt
                    && *kind == LoopKind::Serial
                    && loops == 1
                    && total >= WORTH_THREADS
                {
                    *kind = LoopKind::Parallel;
                }
            }
            Stmt::Fold { .. } => lanes(std::slice::from_mut(stmt)),
            _ => {}
        }
    }
    // A folded value before the loop cannot move into it, so the loop cannot be the whole kernel.
    let alone = body.iter().all(|s| matches!(s, Stmt::Let { .. } | Stmt::For { .. }));
    for stmt in body {
        match stmt {
            Stmt::For { kind, .. } if *kind == LoopKind::Parallel && !alone => *kind = LoopKind::Serial,
            _ => {}
        }
    }
}

/// The larger of two outer loops gives threads more to choose from.
fn interchange(stmt: &mut Stmt) {
    let Stmt::For { var, extent, body, .. } = stmt else { return };
    let [Stmt::For { var: v, extent: n, body: rest, .. }] = body.as_mut_slice() else { return };
    if *extent < 8 && *n > *extent && rest.iter().any(|s| matches!(s, Stmt::For { .. })) {
        std::mem::swap(var, v);
        std::mem::swap(extent, n);
    }
}

/// Makes the innermost loop a vector loop where that is right.
fn innermost(stmt: &mut Stmt) {
    let Stmt::For { var, kind, body, .. } = stmt else { return };
    let mut inner = false;
    for s in body.iter_mut() {
        if let Stmt::For { .. } = s {
            inner = true;
            innermost(s);
        }
    }
    if inner {
        lanes(body);
        return;
    }
    let (mut along_loop, mut along_fold) = (0, 0);
    count_strides(body, *var, None, &mut along_loop, &mut along_fold);
    if along_fold > along_loop {
        lanes(body);
    } else {
        *kind = LoopKind::Vector;
    }
}

/// Loads inside folds that step by one with the loop, and those that step by one with a fold that is long enough.
fn count_strides(body: &[Stmt], var: LoopVar, fold: Option<LoopVar>, loops: &mut usize, folds: &mut usize) {
    for stmt in body {
        match stmt {
            Stmt::Let { expr: Expr::Load { index, .. }, .. } => {
                if let Some(fold) = fold {
                    *folds += usize::from(index.stride(fold).abs() == 1);
                    *loops += usize::from(index.stride(var) == 1);
                }
            }
            Stmt::Fold { var: f, extent, op, body, .. } => {
                let wide = *extent >= SHORT_FOLD && matches!(op, FoldOp::Reduce(_));
                let wide = wide && !body.iter().any(|s| matches!(s, Stmt::Fold { .. }));
                count_strides(body, var, Some(if wide { *f } else { LoopVar(u32::MAX) }), loops, folds);
            }
            _ => {}
        }
    }
}

/// Folds with lanes, where they are long and read consecutive elements.
fn lanes(body: &mut [Stmt]) {
    for stmt in body {
        if let Stmt::Fold { op, var, extent, vector, body, .. } = stmt {
            if body.iter().any(|s| matches!(s, Stmt::Fold { .. })) {
                lanes(body);
            } else if *extent >= SHORT_FOLD && matches!(op, FoldOp::Reduce(_)) {
                let (mut all, mut consecutive) = (0, 0);
                visit_indices(body, &mut |i| {
                    all += usize::from(i.stride(*var) != 0);
                    consecutive += usize::from(i.stride(*var) == 1);
                });
                *vector = 2 * consecutive >= all;
            }
        }
    }
}

/// Moves plain statements before a parallel or vector loop into it, so that it is the whole kernel.
fn sink(body: &mut Vec<Stmt>) {
    let Some((Stmt::For { kind: LoopKind::Parallel | LoopKind::Vector, body: inner, .. }, before)) =
        body.split_last_mut()
    else {
        return;
    };
    if !before.iter().all(|s| matches!(s, Stmt::Let { .. })) {
        return;
    }
    let mut moved: Vec<Stmt> = before.to_vec();
    moved.append(inner);
    *inner = moved;
    let last = body.len() - 1;
    body.drain(..last);
}

/// Numbers values and counters in order of appearance, so that equal kernels are equal.
fn renumber(mut kernel: Kernel) -> Kernel {
    let mut names = Names {
        values: vec![None; kernel.values.len()],
        dtypes: Vec::new(),
        vars: vec![None; kernel.loops as usize],
        loops: 0,
    };
    names.define(&mut kernel.body, &kernel.values);
    visit_operands(&mut kernel.body, &mut |v| *v = names.values[v.0 as usize].unwrap_or(*v));
    visit_indices(&mut kernel.body, &mut |i| {
        i.terms.iter_mut().for_each(|t| t.0 = names.vars[t.0.0 as usize].unwrap_or(t.0));
        i.terms.sort_unstable();
        i.values.sort_unstable();
    });
    Kernel { values: names.dtypes, loops: names.loops, ..kernel }
}

struct Names {
    values: Vec<Option<Value>>,
    dtypes: Vec<crate::ops::DType>,
    vars: Vec<Option<LoopVar>>,
    loops: u32,
}

impl Names {
    fn value(&mut self, value: &mut Value, dtypes: &[crate::ops::DType]) {
        let old = value.0 as usize;
        *value = Value(self.dtypes.len() as u32);
        self.values[old] = Some(*value);
        self.dtypes.push(dtypes[old]);
    }

    fn var(&mut self, var: &mut LoopVar) {
        let old = var.0 as usize;
        *var = LoopVar(self.loops);
        self.vars[old] = Some(*var);
        self.loops += 1;
    }

    fn define(&mut self, body: &mut [Stmt], dtypes: &[crate::ops::DType]) {
        for stmt in body {
            match stmt {
                Stmt::Let { value, .. } => self.value(value, dtypes),
                Stmt::For { var, body, .. } => {
                    self.var(var);
                    self.define(body, dtypes);
                }
                Stmt::Fold { value, var, body, .. } => {
                    self.var(var);
                    self.define(body, dtypes);
                    self.value(value, dtypes);
                }
                Stmt::Store { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::loops::{text, verify};

    fn tidied(body: &str) -> String {
        let head = "kernel k(b0: f32[60000] read, b1: f32[60000] write)";
        let kernel = tidy(text::parse(&format!("{head} {{\n{body}\n}}\n")).unwrap());
        verify(&kernel).unwrap();
        kernel.to_string().lines().skip(1).map(|l| format!("{}\n", l.trim())).collect()
    }

    #[test]
    fn contiguous_loops_become_one() {
        let text = tidied(
            "%2 = const.f32 2
             serial i0 in 0..100 { serial i1 in 0..20 { serial i2 in 0..30 {
               %0 = load b0[600*i0 + 30*i1 + i2] %1 = mul.f32 %0, %2 store b1[600*i0 + 30*i1 + i2], %1 } } }",
        );
        let expected = "vector i0 in 0..60000 {\n%0 = const.f32 2\n%1 = load b0[i0]\n%2 = mul.f32 %1, %0\n\
                        store b1[i0], %2\n}\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn sums_choose_their_axis() {
        let rows = tidied(
            "serial i0 in 0..100 { %1 = fold sum i1 in 0..600 { %0 = load b0[600*i0 + i1] yield %0 } store b1[i0], %1 }",
        );
        assert!(rows.starts_with("parallel i0 in 0..100 {\n%1 = fold sum vector i1"), "{rows}");
        let columns = tidied(
            "serial i0 in 0..600 { %1 = fold sum i1 in 0..100 { %0 = load b0[600*i1 + i0] yield %0 } store b1[i0], %1 }",
        );
        assert!(columns.starts_with("vector i0 in 0..600 {\n%1 = fold sum i1"), "{columns}");
        let planes = tidied(
            "serial i0 in 0..10 { %2 = fold sum i1 in 0..10 { %1 = fold sum i2 in 0..20 { %0 = load b0[200*i0 + 20*i1 + i2]
             yield %0 } yield %1 } store b1[i0], %2 }",
        );
        assert!(planes.starts_with("serial i0 in 0..10 {\n%1 = fold sum vector i1 in 0..200"), "{planes}");
    }

    #[test]
    fn expensive_values_of_a_row_are_computed_once() {
        let body = |second: &str| {
            tidied(&format!(
                "serial i0 in 0..100 {{
                   %2 = fold sum i1 in 0..600 {{ %0 = load b0[600*i0 + i1] %1 = exp.f32 %0 yield %1 }}
                   serial i2 in 0..600 {{ %3 = load b0[600*i0 + i2] %4 = {second}.f32 %3 %5 = div.f32 %4, %2
                     store b1[600*i0 + i2], %5 }} }}"
            ))
        };
        let text = body("exp");
        assert_eq!(text.matches("exp.f32").count(), 1, "{text}");
        assert_eq!(text.matches("store b1").count(), 2, "{text}");
        assert_eq!(text.matches("load b1").count(), 2, "{text}");
        // Another value is no reason, and the result stays where it is.
        assert_eq!(body("log").matches("store b1").count(), 1);
    }
}
