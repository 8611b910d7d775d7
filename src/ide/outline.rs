//! The shape of a file: its outline, what can be folded, and the ranges that a selection grows through.

use super::facts::item_name;
use super::hover::each_expr_of_item;
use super::names::Kind;
use super::{Analysis, Syntax, show};
use crate::source::Span;
use crate::syntax::ast::*;
use std::ops::Range;

/// An entry of the outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    pub name: String,
    pub detail: String,
    pub kind: Kind,
    pub full: Range<usize>,
    pub name_range: Range<usize>,
    pub children: Vec<Outline>,
}

/// What a file declares.
pub fn outline(a: &Analysis) -> Vec<Outline> {
    let entry = |name: &Ident, kind: Kind, full: Span, detail: String| Outline {
        name: name.name.clone(),
        detail,
        kind,
        full: around(full, name.span),
        name_range: name.span.range(),
        children: Vec::new(),
    };
    let seen = |name: &Ident| a.seen(name.span).first().map_or(String::new(), |s| show::value(&s.seen));
    let mut out = Vec::new();
    for item in &a.syntax.tree.items {
        let Some((name, at)) = item_name(&item.kind) else { continue };
        let name = Ident { name: name.to_string(), span: at };
        if name.name.is_empty() {
            continue;
        }
        let (kind, detail) = match &item.kind {
            ItemKind::Const { .. } => (Kind::Const, seen(&name)),
            ItemKind::Fn(_) => (Kind::Function, String::new()),
            ItemKind::Layer(d) => (if d.is_model { Kind::Model } else { Kind::Layer }, String::new()),
            ItemKind::Optimizer(_) => (Kind::Optimizer, String::new()),
            ItemKind::Data(_) => (Kind::Data, String::new()),
            ItemKind::Task(d) => (Kind::Task, d.kind.word().to_string()),
            ItemKind::Use(_) | ItemKind::Error => continue,
        };
        let mut made = entry(&name, kind, item.span, detail);
        match &item.kind {
            ItemKind::Layer(d) => {
                made.children.extend(d.members.iter().filter(|m| !m.name.name.is_empty()).map(|m| {
                    let kind = match m.kind {
                        MemberKind::Param { .. } => Kind::Weight,
                        MemberKind::State { .. } => Kind::State,
                        MemberKind::Bind(_) | MemberKind::Error => Kind::Member,
                    };
                    entry(&m.name, kind, m.span, seen(&m.name))
                }));
                if let Some(forward) = &d.forward {
                    let word = Ident { name: "forward".into(), span: forward.span };
                    made.children.push(entry(&word, Kind::Function, forward.span.to(forward.body.span), String::new()));
                }
            }
            ItemKind::Optimizer(d) => {
                made.children.extend(
                    d.members
                        .iter()
                        .filter(|m| !m.name.name.is_empty())
                        .map(|m| entry(&m.name, Kind::State, m.span, String::new())),
                );
            }
            ItemKind::Task(d) => {
                for stmt in &d.body {
                    if let TaskStmtKind::Bind { name, .. } = &stmt.kind
                        && !name.name.is_empty()
                    {
                        made.children.push(entry(name, Kind::Binding, stmt.span, seen(name)));
                    }
                }
                if let Some(step) = &d.step {
                    let word = Ident { name: "step".into(), span: step.span };
                    made.children.push(entry(&word, Kind::Function, step.span.to(step.body.span), String::new()));
                }
            }
            _ => {}
        }
        out.push(made);
    }
    out
}

/// A range that holds both: an outline's entry has to hold its name.
fn around(full: Span, name: Span) -> Range<usize> {
    let (full, name) = (full.range(), name.range());
    full.start.min(name.start)..full.end.max(name.end)
}

/// What can be folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    pub range: Range<usize>,
    /// Of comments.
    pub comment: bool,
}

/// What can be folded: everything in braces over several lines, and runs of comments.
pub fn folds(syntax: &Syntax) -> Vec<Fold> {
    let text = &syntax.text;
    let mut out = Vec::new();
    let mut open = Vec::new();
    let mut run: Option<Range<usize>> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let end = offset + line.trim_end().len();
        if trimmed.starts_with("//") {
            let start = run.take().map_or(offset, |r| r.start);
            run = Some(start..end);
        } else {
            out.extend(
                run.take().filter(|r| text[r.clone()].contains('\n')).map(|range| Fold { range, comment: true }),
            );
            let (mut quoted, mut escaped) = (false, false);
            for (i, c) in line.char_indices() {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if quoted => escaped = true,
                    '"' => quoted = !quoted,
                    _ if quoted => {}
                    '/' if line[i..].starts_with("//") => break,
                    '{' => open.push(offset + i),
                    '}' => {
                        if let Some(start) = open.pop()
                            && text[start..offset + i].contains('\n')
                        {
                            out.push(Fold { range: start..offset + i + 1, comment: false });
                        }
                    }
                    _ => {}
                }
            }
        }
        offset += line.len();
    }
    out.extend(run.filter(|r| text[r.clone()].contains('\n')).map(|range| Fold { range, comment: true }));
    out.sort_by_key(|f| (f.range.start, f.range.end));
    out
}

/// The ranges around an offset, innermost first: word, expressions, statement, block, item, file.
pub fn selections(syntax: &Syntax, offset: usize) -> Vec<Range<usize>> {
    let holds = |r: &Range<usize>| r.start <= offset && offset <= r.end;
    let mut out: Vec<Range<usize>> = Vec::new();
    if let Some(mention) = syntax.names.at(offset) {
        out.push(mention.span.range());
    }
    for item in syntax.tree.items.iter().filter(|i| holds(&i.span.range())) {
        each_expr_of_item(item, &mut |e| out.push(e.span.range()));
        let mut blocks = Vec::new();
        match &item.kind {
            ItemKind::Fn(d) => blocks.push(&d.body),
            ItemKind::Layer(d) => {
                out.extend(d.members.iter().map(|m| m.span.range()));
                blocks.extend(d.forward.iter().map(|f| &f.body));
                out.extend(d.forward.iter().map(|f| f.span.to(f.body.span).range()));
            }
            ItemKind::Optimizer(d) => {
                out.extend(d.members.iter().map(|m| m.span.range()));
                blocks.extend(d.update.iter().map(|u| &u.body));
            }
            ItemKind::Task(d) => {
                out.extend(d.body.iter().map(|s| s.span.range()));
                blocks.extend(d.step.iter().map(|s| &s.body));
                out.extend(d.step.iter().map(|s| s.span.to(s.body.span).range()));
            }
            _ => {}
        }
        for block in blocks {
            out.push(block.span.range());
            out.extend(block.stmts.iter().map(|s| s.span.range()));
        }
        out.push(item.span.range());
    }
    out.push(0..syntax.text.len());
    out.retain(|r| holds(r) && r.start < r.end);
    out.sort_by_key(|r| (r.end - r.start, r.start));
    // Each has to hold the one before it.
    let mut nested: Vec<Range<usize>> = Vec::new();
    for range in out {
        let fits =
            nested.last().is_none_or(|last| range.start <= last.start && last.end <= range.end && range != *last);
        if fits {
            nested.push(range);
        }
    }
    if nested.is_empty() {
        nested.push(offset.min(syntax.text.len())..offset.min(syntax.text.len()));
    }
    nested
}
