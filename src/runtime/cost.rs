//! A rough estimate of a kernel's time, to decide whether threads are worth their start and in how many pieces. In: a
//! kernel. Out: nanoseconds on one thread. Only speed depends on it, never a result.

use crate::codegen::loops::{Expr, Kernel, LoopKind, Stmt};
use crate::ops::{Binary, DType, Unary};

/// What one iteration of a statement costs, in nanoseconds.
const SIMPLE: f64 = 0.4;
const LOAD: f64 = 0.5;
const GATHER: f64 = 2.0;
const ROOT: f64 = 2.0;
const POLYNOMIAL: f64 = 6.0;
const CALL: f64 = 25.0;

/// Nanoseconds of one run on one thread.
pub(super) fn nanoseconds(kernel: &Kernel) -> f64 {
    block(kernel, &kernel.body, 1.0)
}

/// `speed`: how many iterations run at a time.
fn block(kernel: &Kernel, body: &[Stmt], speed: f64) -> f64 {
    body.iter()
        .map(|stmt| match stmt {
            Stmt::Let { value, expr } => {
                let double = matches!(kernel.values[value.0 as usize], DType::F64 | DType::I64);
                expression(expr, if double { 1.0 } else { speed }, double)
            }
            Stmt::For { extent, kind, body, .. } => {
                let speed = if *kind == LoopKind::Vector { 4.0 } else { speed };
                *extent as f64 * (block(kernel, body, speed) + SIMPLE / speed)
            }
            Stmt::Fold { extent, vector, body, .. } => {
                let speed = if *vector { 4.0 } else { speed };
                *extent as f64 * (block(kernel, body, speed) + SIMPLE / speed)
            }
            Stmt::Store { index, .. } => (if index.values.is_empty() { LOAD } else { GATHER }) / speed,
        })
        .sum()
}

fn expression(expr: &Expr, speed: f64, double: bool) -> f64 {
    match expr {
        Expr::Const(_) => 0.0,
        Expr::Load { index, guard, .. } if index.values.is_empty() && guard.is_empty() => LOAD / speed,
        Expr::Load { guard, .. } => GATHER + guard.len() as f64 * SIMPLE,
        Expr::Unary(Unary::Sqrt, _) | Expr::Binary(Binary::Div, ..) => ROOT / speed,
        Expr::Unary(Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf, _) => {
            if double {
                CALL
            } else {
                POLYNOMIAL / speed
            }
        }
        Expr::Binary(Binary::Pow | Binary::Atan2 | Binary::Rem, ..) => CALL,
        _ => SIMPLE / speed,
    }
}
