//! Text to tree: the stage's entry points.
//!
//! In: a text. Out: a tree for every text, and the diagnostics of what could not be read.

use super::ast::{Expr, ExprKind, File};
use super::grammar::{Grammar, Rule};
use super::layout::{Layout, layout};
use super::lower::{Lower, Node, Parts};
use crate::diag::{Diagnostic, codes, tidy};
use crate::source::FileId;
use pest::Parser;

/// The tree of a whole file.
pub fn parse(text: &str, file: FileId) -> (File, Vec<Diagnostic>) {
    parse_at(text, file, 0)
}

/// The tree of a part of a file that begins `offset` bytes into it.
pub fn parse_at(text: &str, file: FileId, offset: usize) -> (File, Vec<Diagnostic>) {
    let layout = layout(text, file, offset);
    read(text, &layout, Rule::file, |lower, node| lower.file(node))
}

/// The tree of one expression, as in `--set name=value`.
pub fn parse_expr(text: &str, file: FileId) -> (Expr, Vec<Diagnostic>) {
    let layout = layout(text, file, 0);
    let nothing = Expr { kind: ExprKind::Error, span: layout.span(0, layout.text.len()) };
    let (value, diagnostics) = read(text, &layout, Rule::only_expr, |lower, node| {
        let mut parts = Parts::of(node);
        let value = match parts.peek() {
            Some(Rule::junk_stmt) => None,
            _ => Some(lower.value(&mut parts, "expected a value")),
        };
        let expected = if value.is_some() { "the end" } else { "a value" };
        let junk = lower.tail(&mut parts, Rule::junk_stmt, expected);
        value.filter(|_| !junk)
    });
    (value.unwrap_or(nothing), diagnostics)
}

/// Runs the grammar and a lowering over a prepared text.
fn read<'t, T: Default>(
    text: &'t str,
    layout: &'t Layout,
    rule: Rule,
    lowering: impl FnOnce(&mut Lower<'t>, Node<'t>) -> T,
) -> (T, Vec<Diagnostic>) {
    let mut lower = Lower::new(layout, text);
    lower.diagnostics.extend(layout.diagnostics.iter().cloned());
    let tree = match Grammar::parse(rule, &layout.text).map(|mut pairs| pairs.next()) {
        Ok(Some(node)) => lowering(&mut lower, node),
        // `file` accepts every text; `only_expr` wants one expression.
        _ => {
            let place = layout.span(0, layout.text.len());
            lower.report(codes::SYNTAX, place, "this is more than one expression");
            T::default()
        }
    };
    let mut diagnostics = lower.diagnostics;
    tidy(&mut diagnostics);
    (tree, diagnostics)
}
