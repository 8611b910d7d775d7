//! Inlay hints: the shape behind every binding that does not say it already.

use super::{Analysis, MAIN};
use crate::source::Span;
use crate::syntax::ast::*;
use std::ops::Range;

/// Which sizes hints show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HintMode {
    Off,
    /// With the names of the declaration: `[B, T, D]`.
    #[default]
    Names,
    /// With the numbers of the first task that comes there.
    Values,
    Both,
}

/// A text to be shown in the code.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    pub offset: usize,
    /// `: f32[B, 64]`
    pub label: String,
    /// What a click writes there, if that is a program: the type.
    pub insert: Option<String>,
}

/// The hints between two offsets.
pub fn hints(a: &Analysis, within: Range<usize>, mode: HintMode) -> Vec<Hint> {
    let mut out = Vec::new();
    if mode == HintMode::Off {
        return out;
    }
    for item in &a.syntax.tree.items {
        let span = item.span.range();
        if span.end < within.start || span.start > within.end {
            continue;
        }
        match &item.kind {
            ItemKind::Fn(d) => block(a, &d.body, mode, &mut out),
            ItemKind::Layer(d) => {
                if let Some(forward) = &d.forward {
                    block(a, &forward.body, mode, &mut out);
                }
            }
            ItemKind::Task(d) => {
                if let Some(step) = &d.step {
                    for param in step.params.iter().filter(|p| p.ty.is_none()) {
                        at(a, param.name.span, mode, false, &mut out);
                    }
                    block(a, &step.body, mode, &mut out);
                }
            }
            _ => {}
        }
    }
    out.retain(|h| within.start <= h.offset && h.offset <= within.end);
    out.sort_by_key(|h| h.offset);
    out
}

fn at(a: &Analysis, name: Span, mode: HintMode, types: bool, out: &mut Vec<Hint>) {
    if name.file != MAIN || name.start == name.end {
        return;
    }
    let Some(shape) = a.shape_at(name.range(), mode) else { return };
    let insert = (types && mode == HintMode::Names && !shape.contains("floor") && !shape.starts_with('('))
        .then(|| format!(": {shape}"));
    out.push(Hint { offset: name.end as usize, label: format!(": {shape}"), insert });
}

fn block(a: &Analysis, block: &Block, mode: HintMode, out: &mut Vec<Hint>) {
    for stmt in &block.stmts {
        self::stmt(a, stmt, mode, out);
    }
}

fn stmt(a: &Analysis, stmt: &Stmt, mode: HintMode, out: &mut Vec<Hint>) {
    match &stmt.kind {
        StmtKind::Bind { pattern, ty, value } => {
            if ty.is_none() && !is_obvious(value) {
                pattern_hints(a, pattern, mode, out);
            }
            inner(a, value, mode, out);
        }
        StmtKind::Expr(e) => inner(a, e, mode, out),
        StmtKind::Minimize { loss, .. } => inner(a, loss, mode, out),
        StmtKind::Report { value, .. } => inner(a, value, mode, out),
        _ => {}
    }
}

fn pattern_hints(a: &Analysis, pattern: &Pattern, mode: HintMode, out: &mut Vec<Hint>) {
    match pattern {
        Pattern::Name(name) => at(a, name.span, mode, true, out),
        Pattern::Tuple(parts, _) => {
            for part in parts {
                match part {
                    Pattern::Name(name) => at(a, name.span, mode, false, out),
                    tuple => pattern_hints(a, tuple, mode, out),
                }
            }
        }
    }
}

/// Where the value says its own shape: another name, a number, `zeros_like(x)`.
fn is_obvious(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Name(_) | ExprKind::Int(..) | ExprKind::Float(..) | ExprKind::Str(_) => true,
        ExprKind::Call { callee, .. } => {
            matches!(&callee.kind, ExprKind::Name(n) if n.ends_with("_like") || n == "expect")
        }
        _ => false,
    }
}

/// Blocks inside of expressions, and the links of a chain that is written line by line.
fn inner(a: &Analysis, expr: &Expr, mode: HintMode, out: &mut Vec<Hint>) {
    match &expr.kind {
        ExprKind::If { then, otherwise, .. } => {
            block(a, then, mode, out);
            match otherwise.as_deref() {
                Some(Else::Block(b)) => block(a, b, mode, out),
                Some(Else::If(e)) => inner(a, e, mode, out),
                None => {}
            }
        }
        ExprKind::Scan(scan) => block(a, &scan.body, mode, out),
        ExprKind::Repeat { body, .. } => {
            for item in body {
                inner(a, &item.value, mode, out);
                if let Some(act) = &item.act {
                    stmt(a, act, mode, out);
                }
            }
        }
        ExprKind::Pipe { value, .. } => {
            // A chain over several lines: the shape at the end of each.
            let breaks = a.of(Span { start: value.span.end, ..expr.span }).split("|>").next();
            if breaks.is_some_and(|gap| gap.contains('\n'))
                && let Some(shape) = a.shape_at(value.span.range(), mode)
                && !matches!(value.kind, ExprKind::Name(_))
            {
                out.push(Hint { offset: value.span.end as usize, label: format!(": {shape}"), insert: None });
            }
            inner(a, value, mode, out);
        }
        _ => {}
    }
}
