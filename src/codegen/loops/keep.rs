//! Expensive values of a row computed once. In: a kernel in which a fold goes over a row and a later loop over the same row
//! computes again what the fold computed, as in a softmax. Out: a loop that computes it and keeps it where the result
//! goes; the fold and the later loop read it there, while the row is still in the nearest cache.

use super::ir::*;
use crate::ops::{Binary, Unary};

/// Rows of more elements leave the cache before they are read again.
const LONGEST: usize = 1 << 15;

/// Does it wherever it can be done; the number of rows that are kept.
pub fn keep(kernel: &mut Kernel) -> usize {
    let mut body = std::mem::take(&mut kernel.body);
    let mut count = 0;
    block(kernel, &mut body, &mut count);
    kernel.body = body;
    count
}

fn block(kernel: &mut Kernel, body: &mut Vec<Stmt>, count: &mut usize) {
    for stmt in body.iter_mut() {
        if let Stmt::For { body, .. } = stmt {
            block(kernel, body, count);
        }
    }
    for last in 0..body.len() {
        for first in 0..last {
            if let Some(found) = again(kernel, &body[first], &body[last])
                && stores_once(body, found.buffer)
            {
                rewrite(kernel, body, first, last, found);
                *count += 1;
                return;
            }
        }
    }
}

/// What the fold and the loop both compute.
struct Again {
    in_fold: Value,
    in_loop: Value,
    /// Where the loop stores its result.
    buffer: BufferArg,
    index: Index,
}

fn again(kernel: &Kernel, fold: &Stmt, later: &Stmt) -> Option<Again> {
    let Stmt::Fold { var: fold_var, extent: fold_extent, vector: true, body: fold, .. } = fold else { return None };
    let Stmt::For { var, extent, kind: LoopKind::Vector, body } = later else { return None };
    let straight = |s: &Stmt| matches!(s, Stmt::Let { .. } | Stmt::Store { .. });
    if extent != fold_extent || *extent > LONGEST || !fold.iter().chain(body).all(straight) {
        return None;
    }
    let mut same: Vec<(Value, Value, bool)> = Vec::new();
    for stmt in body {
        let Stmt::Let { value, expr } = stmt else { continue };
        let mut wanted = expr.clone();
        let mut dear = expensive(expr);
        rename(&mut wanted, *var, *fold_var, &mut |v| {
            if let Some((_, twin, costs)) = same.iter().find(|s| s.0 == v) {
                dear |= costs;
                return *twin;
            }
            v
        });
        let twin = fold.iter().find_map(|s| match s {
            Stmt::Let { value, expr } if *expr == wanted => Some(*value),
            _ => None,
        });
        same.extend(twin.map(|twin| (*value, twin, dear)));
    }
    // What the rest of the loop needs of it.
    let mut needed: Vec<&(Value, Value, bool)> = Vec::new();
    for stmt in body {
        let rest = match stmt {
            Stmt::Let { value, .. } => !same.iter().any(|s| s.0 == *value),
            _ => true,
        };
        let mut stmt = vec![stmt.clone()];
        super::tidy::visit_operands(&mut stmt, &mut |v| {
            needed.extend(same.iter().find(|s| rest && s.0 == *v && s.2));
        });
    }
    let &&(in_loop, in_fold, _) = needed.first()?;
    if needed.iter().any(|n| n.0 != in_loop) {
        return None;
    }
    let dtype = kernel.values[in_loop.0 as usize];
    body.iter().find_map(|s| match s {
        Stmt::Store { buffer, index, value, guard, accumulate: false }
            if guard.is_empty()
                && *value != in_loop
                && index.values.is_empty()
                && index.terms.contains(&(*var, 1))
                && kernel.buffers[buffer.0 as usize].dtype == dtype
                && kernel.buffers[buffer.0 as usize].access == Access::Write =>
        {
            Some(Again { in_fold, in_loop, buffer: *buffer, index: index.clone() })
        }
        _ => None,
    })
}

fn expensive(expr: &Expr) -> bool {
    match expr {
        Expr::Unary(op, _) => {
            matches!(op, Unary::Exp | Unary::Log | Unary::Tanh | Unary::Erf | Unary::Sin | Unary::Cos | Unary::Sqrt)
        }
        Expr::Binary(op, ..) => matches!(op, Binary::Pow | Binary::Atan2),
        _ => false,
    }
}

/// Whether all of the statements store to the buffer in one place.
fn stores_once(body: &[Stmt], buffer: BufferArg) -> bool {
    fn count(body: &[Stmt], buffer: BufferArg) -> usize {
        let one = |s: &Stmt| match s {
            Stmt::Store { buffer: b, .. } => usize::from(*b == buffer),
            Stmt::For { body, .. } | Stmt::Fold { body, .. } => count(body, buffer),
            Stmt::Let { .. } => 0,
        };
        body.iter().map(one).sum()
    }
    count(body, buffer) == 1
}

/// Another counter and other operands for an expression.
fn rename(expr: &mut Expr, from: LoopVar, to: LoopVar, operand: &mut impl FnMut(Value) -> Value) {
    let mut stmt = [Stmt::Let { value: Value(0), expr: expr.clone() }];
    super::tidy::visit_indices(&mut stmt, &mut |index| move_to(index, from, to));
    super::tidy::visit_operands(&mut stmt, &mut |v| *v = operand(*v));
    if let [Stmt::Let { expr: renamed, .. }] = stmt {
        *expr = renamed;
    }
}

fn move_to(index: &mut Index, from: LoopVar, to: LoopVar) {
    index.terms.iter_mut().filter(|t| t.0 == from).for_each(|t| t.0 = to);
    index.terms.sort_unstable();
}

fn rewrite(kernel: &mut Kernel, body: &mut Vec<Stmt>, first: usize, last: usize, found: Again) {
    let Again { in_fold, in_loop, buffer, index } = found;
    let load = |index: Index| Expr::Load { buffer, index, guard: Vec::new(), otherwise: 0.0 };
    let (Stmt::For { var, .. }, Stmt::Fold { var: fold_var, extent, .. }) = (&body[last], &body[first]) else { return };
    let (var, fold_var, extent) = (*var, *fold_var, *extent);
    let at = |counter: LoopVar| {
        let mut index = index.clone();
        move_to(&mut index, var, counter);
        index
    };
    let own = LoopVar(kernel.loops);
    kernel.loops += 1;
    kernel.buffers[buffer.0 as usize].access = Access::ReadWrite;

    let mut names: Vec<(Value, Value)> = Vec::new();
    let mut computed = Vec::new();
    if let Stmt::Fold { body, .. } = &mut body[first] {
        for stmt in body {
            let Stmt::Let { value, expr } = stmt else { continue };
            let mut copy = expr.clone();
            let name = |v: Value| names.iter().find(|n| n.0 == v).map_or(v, |n| n.1);
            rename(&mut copy, fold_var, own, &mut |v| name(v));
            kernel.values.push(kernel.values[value.0 as usize]);
            let new = Value(kernel.values.len() as u32 - 1);
            names.push((*value, new));
            computed.push(Stmt::Let { value: new, expr: copy });
            if *value == in_fold {
                *expr = load(at(fold_var));
                let value = new;
                computed.push(Stmt::Store { buffer, index: at(own), value, guard: Vec::new(), accumulate: false });
                break;
            }
        }
    }
    if let Stmt::For { body, .. } = &mut body[last] {
        for stmt in body {
            if let Stmt::Let { value, expr } = stmt
                && *value == in_loop
            {
                *expr = load(index.clone());
            }
        }
    }
    body.insert(first, Stmt::For { var: own, extent, kind: LoopKind::Vector, body: computed });
}
