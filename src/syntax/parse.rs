//! Text to tree: the stage's entry points.
//!
//! In: a text. Out: a tree for every text, and the diagnostics of what could not be read.

use super::ast::{Expr, ExprKind, File};
use super::grammar::{Grammar, Rule};
use super::layout::{Layout, layout};
use super::lower::{Lower, Node, Parts};
use crate::diag::{Diagnostic, Label, codes, tidy};
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
    (tree, one_a_line(diagnostics, text, layout))
}

/// A bracket that is wrong makes the rest of its line unreadable: of such a line only one fault is told, with the others
/// beside it.
fn one_a_line(diagnostics: Vec<Diagnostic>, text: &str, layout: &Layout) -> Vec<Diagnostic> {
    if !diagnostics.iter().any(|d| d.code == codes::UNCLOSED) {
        return diagnostics;
    }
    let offset = layout.span(0, 0).start as usize;
    let starts: Vec<usize> = text.bytes().enumerate().filter(|b| b.1 == b'\n').map(|b| b.0 + 1).collect();
    let line = |d: &Diagnostic| d.span().map(|s| starts.partition_point(|&l| l + offset <= s.start as usize));
    let unread = |d: &Diagnostic| [codes::SYNTAX, codes::UNCLOSED, codes::MISSING_PART].contains(&d.code);
    let mut out: Vec<Diagnostic> = Vec::new();
    let mut group: Vec<Diagnostic> = Vec::new();
    for diagnostic in diagnostics {
        if !unread(&diagnostic) {
            out.push(diagnostic);
            continue;
        }
        if group.last().is_some_and(|last| line(last) != line(&diagnostic)) {
            merge(&mut group, &mut out);
        }
        group.push(diagnostic);
    }
    merge(&mut group, &mut out);
    out.sort_by_key(|d| d.span());
    out
}

/// Moves the faults of one line to `out`: as one if a bracket is among them.
fn merge(group: &mut Vec<Diagnostic>, out: &mut Vec<Diagnostic>) {
    if !group.iter().any(|d| d.code == codes::UNCLOSED) {
        out.append(group);
        return;
    }
    // That a brace is absent is said best where it belongs, anything else by the bracket itself.
    let brace = |d: &Diagnostic| d.code != codes::UNCLOSED && d.headline.starts_with("expected `{`");
    let main = group.iter().position(brace).or(group.iter().position(|d| d.code == codes::UNCLOSED)).unwrap_or(0);
    let mut diagnostic = group.remove(main);
    let others = group.drain(..).filter_map(|d| Some(Label { text: d.headline, span: d.primary?.span }));
    let beside: Vec<Label> = others.take(2).collect();
    diagnostic.secondary.extend(beside);
    out.push(diagnostic);
}
