//! Which iterations of a loop touch different elements. In: accesses to one buffer and loops around them. Out: whether the
//! element tells the loop's counter, so that no two of its iterations touch the same one.
//!
//! The counter of a loop with stride `s` and extent `e` is a digit of the element's number if whatever else is added is either
//! below `s` in sum, or a multiple of `s * e`. A run-time number counts as each of the constants that it can be, or as anything
//! that its guard lets through.

use crate::codegen::loops::{Access, Bound, Expr, Index, Kernel, LoopVar, Stmt, Value};

/// More constants that a number chooses from are not looked at.
const MOST_CHOICES: usize = 64;

/// One load or store, with the loops around it.
pub struct Touch<'a> {
    pub index: &'a Index,
    guard: &'a [Bound],
}

/// What a block does with a buffer.
#[derive(Default)]
struct Uses<'a> {
    loads: Vec<Touch<'a>>,
    stores: Vec<Touch<'a>>,
    accumulates: bool,
    /// Every load is of an element that its own block stores, once.
    in_place: bool,
}

fn collect<'a>(body: &'a [Stmt], buffer: u32, in_fold: bool, uses: &mut Uses<'a>) {
    let stores: Vec<&Index> = body
        .iter()
        .filter_map(|s| match s {
            Stmt::Store { buffer: b, index, .. } if b.0 == buffer => Some(index),
            _ => None,
        })
        .collect();
    for stmt in body {
        match stmt {
            Stmt::Let { expr: Expr::Load { buffer: b, index, guard, .. }, .. } if b.0 == buffer => {
                uses.in_place &= !in_fold && guard.is_empty() && stores.contains(&index);
                uses.loads.push(Touch { index, guard });
            }
            Stmt::Store { buffer: b, index, guard, accumulate, .. } if b.0 == buffer => {
                uses.accumulates |= accumulate;
                uses.stores.push(Touch { index, guard });
            }
            Stmt::For { body, .. } => collect(body, buffer, in_fold, uses),
            Stmt::Fold { body, .. } => collect(body, buffer, true, uses),
            _ => {}
        }
    }
}

/// Whether iterations of the loop `var` in this block (its own body) may run at the same time. `fixed` are counters that have
/// one value meanwhile.
pub fn independent(kernel: &Kernel, body: &[Stmt], var: LoopVar, fixed: &[LoopVar], extents: &[usize]) -> bool {
    (0..kernel.buffers.len()).filter(|&b| kernel.buffers[b].access != Access::Read).all(|b| {
        let mut uses = Uses { in_place: true, ..Uses::default() };
        collect(body, b as u32, false, &mut uses);
        if uses.stores.is_empty() {
            return true;
        }
        // Lowering writes an element once, unless it adds up.
        if !uses.accumulates && (uses.loads.is_empty() || uses.in_place) {
            return true;
        }
        let all: Vec<&Touch> = uses.loads.iter().chain(&uses.stores).collect();
        is_digit(kernel, &all, var, fixed, extents)
    })
}

/// Lowest and highest value of the counter where the guard holds.
fn span(var: LoopVar, extents: &[usize], guard: &[Bound]) -> (i64, i64) {
    let (mut low, mut high) = (0, extents[var.0 as usize] as i64 - 1);
    for bound in guard {
        if let ([(v, stride @ (1 | -1))], true) = (bound.index.terms.as_slice(), bound.index.values.is_empty())
            && *v == var
        {
            // 0 <= stride * v + offset < limit.
            let ends = [-bound.index.offset * stride, (bound.limit - 1 - bound.index.offset) * stride];
            low = low.max(ends[0].min(ends[1]));
            high = high.min(ends[0].max(ends[1]));
        }
    }
    (low, high.max(low))
}

/// The constants that a value chooses from.
fn choices(body: &[Stmt], value: Value) -> Option<Vec<i64>> {
    fn find(body: &[Stmt], value: Value) -> Option<&Expr> {
        body.iter().find_map(|s| match s {
            Stmt::Let { value: v, expr } if *v == value => Some(expr),
            Stmt::For { body, .. } => find(body, value),
            _ => None,
        })
    }
    let mut list = match find(body, value)? {
        Expr::Const(v) => vec![*v as i64],
        Expr::Counter(index) => vec![index.as_constant()?],
        Expr::Select(_, a, b) => [choices(body, *a)?, choices(body, *b)?].concat(),
        _ => return None,
    };
    list.sort_unstable();
    list.dedup();
    (list.len() <= MOST_CHOICES).then_some(list)
}

/// The index with each choice of its run-time numbers, as far as they are known.
fn variants(body: &[Stmt], index: &Index) -> Vec<Index> {
    if let [(value, stride)] = index.values.as_slice()
        && let Some(list) = choices(body, *value)
    {
        return list.iter().map(|c| Index { values: Vec::new(), ..index.shifted(c * stride) }).collect();
    }
    vec![index.clone()]
}

fn is_digit(kernel: &Kernel, all: &[&Touch], var: LoopVar, fixed: &[LoopVar], extents: &[usize]) -> bool {
    let extent = extents[var.0 as usize] as i64;
    let stride = all[0].index.stride(var);
    let (step, unit) = (stride.abs(), stride.abs() * extent);
    if extent <= 1 {
        return true;
    }
    if step == 0 || all.iter().any(|t| t.index.stride(var) != stride) {
        return false;
    }
    let held =
        |i: &Index| -> Vec<(LoopVar, i64)> { i.terms.iter().copied().filter(|t| fixed.contains(&t.0)).collect() };
    let first = held(all[0].index);
    let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
    for touch in all {
        for mut rest in variants(&kernel.body, touch.index) {
            let (mut low, mut high) = (0, 0);
            if !rest.values.iter().all(|v| v.1 % unit == 0) {
                let Some(bound) = touch.guard.iter().find(|b| b.index.values == rest.values) else { return false };
                rest = rest.plus(&bound.index.scaled(-1));
                high = bound.limit - 1;
            }
            if rest.stride(var) != stride || held(&rest) != first {
                return false;
            }
            for &(v, s) in &rest.terms {
                // Whole multiples of the unit do not matter.
                if v == var || fixed.contains(&v) || s % unit == 0 {
                    continue;
                }
                let (a, b) = span(v, extents, touch.guard);
                low += (s * a).min(s * b);
                high += (s * a).max(s * b);
            }
            let offset = (rest.offset + unit / 2).rem_euclid(unit) - unit / 2;
            lowest = lowest.min(low + offset);
            highest = highest.max(high + offset);
        }
    }
    highest - lowest < step
}
