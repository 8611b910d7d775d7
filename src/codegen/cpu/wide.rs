//! Which values of a loop differ between its iterations, and whether the loop can run four iterations at a time.
//!
//! In: the body of a loop and its counter. Out: one flag a value. A value without the flag is the same in all lanes, is
//! computed once as a scalar, and is splatted where a wide value needs it.

use crate::codegen::loops::{Bound, Expr, Index, Kernel, LoopVar, Stmt, Value};
use crate::ops::DType;

/// The values that depend on the counter `var`, by value number.
pub fn wide_values(kernel: &Kernel, var: LoopVar, body: &[Stmt]) -> Vec<bool> {
    let mut wide = vec![false; kernel.values.len()];
    mark(body, var, &mut wide);
    wide
}

fn mark(body: &[Stmt], var: LoopVar, wide: &mut [bool]) {
    for stmt in body {
        match stmt {
            Stmt::Let { value, expr } => wide[value.0 as usize] = expr_is_wide(expr, var, wide),
            Stmt::For { body, .. } => mark(body, var, wide),
            Stmt::Fold { value, body, yields, .. } => {
                mark(body, var, wide);
                wide[value.0 as usize] = wide[yields.0 as usize];
            }
            Stmt::Store { .. } => {}
        }
    }
}

fn expr_is_wide(expr: &Expr, var: LoopVar, wide: &[bool]) -> bool {
    let of = |v: &Value| wide[v.0 as usize];
    match expr {
        Expr::Const(_) => false,
        Expr::Load { index, guard, .. } => {
            index_is_wide(index, var, wide) || guard.iter().any(|g| bound_is_wide(g, var, wide))
        }
        Expr::Unary(_, a) | Expr::Cast(a) => of(a),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => of(a) || of(b),
        Expr::Select(c, a, b) => of(c) || of(a) || of(b),
        Expr::Counter(index) => index_is_wide(index, var, wide),
    }
}

/// The stride of the counter in an index.
pub fn stride_of(index: &Index, var: LoopVar) -> i64 {
    index.terms.iter().filter(|t| t.0 == var).map(|t| t.1).sum()
}

pub fn has_wide_term(index: &Index, wide: &[bool]) -> bool {
    index.values.iter().any(|(v, _)| wide[v.0 as usize])
}

pub fn index_is_wide(index: &Index, var: LoopVar, wide: &[bool]) -> bool {
    stride_of(index, var) != 0 || has_wide_term(index, wide)
}

pub fn bound_is_wide(bound: &Bound, var: LoopVar, wide: &[bool]) -> bool {
    index_is_wide(&bound.index, var, wide)
}

/// Whether lanes of 32 bits can hold every wide value, and everything stored, of the body.
pub fn fits_lanes(kernel: &Kernel, body: &[Stmt], wide: &[bool]) -> bool {
    let fits = |v: &Value| !matches!(kernel.values[v.0 as usize], DType::F64 | DType::I64);
    let fits_if_wide = |v: &Value| !wide[v.0 as usize] || fits(v);
    body.iter().all(|stmt| match stmt {
        Stmt::Let { value, expr } => {
            fits_if_wide(value)
                && match expr {
                    Expr::Unary(_, a) | Expr::Cast(a) => fits_if_wide(a),
                    Expr::Binary(_, a, b) | Expr::Compare(_, a, b) | Expr::Select(_, a, b) => {
                        fits_if_wide(a) && fits_if_wide(b)
                    }
                    Expr::Const(_) | Expr::Load { .. } | Expr::Counter(_) => true,
                }
        }
        Stmt::For { body, .. } => fits_lanes(kernel, body, wide),
        Stmt::Fold { value, body, yields, .. } => {
            fits_if_wide(value) && fits_if_wide(yields) && fits_lanes(kernel, body, wide)
        }
        Stmt::Store { value, .. } => fits(value),
    })
}
