//! Which of the checker's findings are worth showing beside faults of syntax: those that the lost text cannot explain.

use crate::diag::{Diagnostic, codes};
use crate::source::{Sources, Span};
use crate::syntax::ast::{File, Item, ItemKind};
use std::collections::BTreeSet;

/// An item of the file as far as the text around it goes: its name and place.
pub struct Place {
    name: String,
    span: Span,
}

pub fn places(file: &File) -> Vec<Place> {
    file.items.iter().map(|i| Place { name: name_of(i), span: i.span }).collect()
}

fn name_of(item: &Item) -> String {
    match &item.kind {
        ItemKind::Const { name, .. } => name.name.clone(),
        ItemKind::Fn(d) => d.name.name.clone(),
        ItemKind::Layer(d) => d.name.name.clone(),
        ItemKind::Optimizer(d) => d.name.name.clone(),
        ItemKind::Data(d) => d.name.name.clone(),
        ItemKind::Task(d) => d.name.as_ref().map_or(d.kind.word().to_string(), |n| n.name.clone()),
        ItemKind::Use(_) | ItemKind::Error => String::new(),
    }
}

/// Drops what may follow from a fault of syntax: findings on its line, findings that speak of a name on its line or of the
/// item that it is in, and, in that item, that something is missing or unused.
pub fn drop(found: &mut Vec<Diagnostic>, syntax: &[Diagnostic], items: &[Place], sources: &Sources) {
    if syntax.is_empty() {
        return;
    }
    let mut lines = BTreeSet::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut items_hit: Vec<Span> = Vec::new();
    for fault in syntax {
        let Some(span) = fault.span() else { continue };
        let line = sources.line_of(span);
        lines.insert((span.file, line));
        // What was lost is known to be a closing brace, or was understood in spite of its form.
        if fault.headline == "`}` is missing" || fault.code == codes::FOREIGN_SYNTAX {
            continue;
        }
        names.extend(words(sources.file(span.file).line(line)));
        for item in items {
            if item.span.file == span.file && item.span.start <= span.end && span.start <= item.span.end {
                names.insert(&item.name);
                items_hit.push(item.span);
            }
        }
    }
    found.retain(|d| {
        let Some(span) = d.span() else { return true };
        let on_line = |s: Span| lines.contains(&(s.file, sources.line_of(s)));
        if on_line(span) || d.secondary.iter().any(|l| on_line(l.span)) {
            return false;
        }
        let about =
            [codes::UNUSED, codes::NO_GRADIENT, codes::MISSING_PART, codes::UNKNOWN_SETTING, codes::UNUSED_BINDING];
        let inside = items_hit.iter().any(|i| i.file == span.file && i.start <= span.start && span.start <= i.end);
        if inside && about.contains(&d.code) {
            return false;
        }
        // A lost bracket may have made one word of two.
        let lost = |w: &str| names.iter().any(|n| n.starts_with(w) || n.ends_with(w));
        !quoted(&d.headline).any(|q| words(q).any(lost))
    });
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| w.starts_with(|c: char| c.is_alphabetic()))
}

/// The parts of a headline between backquotes.
fn quoted(headline: &str) -> impl Iterator<Item = &str> {
    headline.split('`').skip(1).step_by(2)
}
