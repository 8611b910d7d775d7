//! One mistake, one message: of the checker's findings those are dropped that faults of syntax explain, and those that others
//! among them explain.

use crate::diag::{self, Diagnostic, Label, Severity, codes};
use crate::source::{Sources, Span};
use crate::syntax::ast::{File, Item, ItemKind, MemberKind, TaskStmtKind};
use std::collections::BTreeSet;

/// An item of the file as far as the text around it goes: its name and place, and its own names with what they are bound to.
struct Place {
    name: String,
    span: Span,
    binds: Vec<(String, Span)>,
}

/// The items of a program's files.
pub struct Places(Vec<Place>);

impl Places {
    pub fn of<'f>(files: impl Iterator<Item = &'f File>) -> Places {
        let items = files.flat_map(|f| &f.items);
        Places(items.map(|i| Place { name: name_of(i), span: i.span, binds: binds_of(i) }).collect())
    }

    /// Leaves of what was found, beside what was said of the syntax, what is worth saying.
    pub fn worth_saying(&self, found: &mut Vec<Diagnostic>, syntax: &[Diagnostic], sources: &Sources) {
        drop(found, syntax, &self.0, sources);
        diag::tidy(found);
        merge(found, &self.0);
    }
}

fn binds_of(item: &Item) -> Vec<(String, Span)> {
    match &item.kind {
        ItemKind::Layer(d) => {
            let bind = |m: &crate::syntax::ast::Member| match &m.kind {
                MemberKind::Bind(value) => Some((m.name.name.clone(), value.span)),
                _ => None,
            };
            d.members.iter().filter_map(bind).collect()
        }
        ItemKind::Task(d) => {
            let bind = |s: &crate::syntax::ast::TaskStmt| match &s.kind {
                TaskStmtKind::Bind { name, value } => Some((name.name.clone(), value.span)),
                _ => None,
            };
            d.body.iter().filter_map(bind).collect()
        }
        _ => Vec::new(),
    }
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
fn drop(found: &mut Vec<Diagnostic>, syntax: &[Diagnostic], items: &[Place], sources: &Sources) {
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
    // What is made of a broken item is as unknown as the item: `net = Broken()`.
    let made: Vec<(&str, Span)> = items.iter().flat_map(|i| &i.binds).map(|(n, s)| (n.as_str(), *s)).collect();
    let broken: BTreeSet<&str> = items.iter().filter(|i| items_hit.contains(&i.span)).map(|i| &*i.name).collect();
    let of_broken = |s: &Span| words(sources.text(*s)).next().is_some_and(|w| broken.contains(w));
    names.extend(made.iter().filter(|(_, s)| of_broken(s)).map(|(n, _)| *n));
    // The name that is missing may be any that is not known.
    let nameless = syntax.iter().any(|d| d.code == codes::MISSING_PART && d.headline.ends_with(" needs a name"));
    found.retain(|d| {
        if nameless && d.code == codes::UNKNOWN_NAME {
            return false;
        }
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
        // A size of a layer's own, which only its use says.
        let foreign = |q: &str| !words(sources.text(span)).any(|w| w == q);
        if inside && d.code == codes::UNKNOWN_DIM && quoted(&d.headline).all(foreign) {
            return false;
        }
        // A lost bracket may have made one word of two.
        let lost = |w: &str| names.iter().any(|n| n.starts_with(w) || n.ends_with(w));
        !quoted(&d.headline).any(|q| words(q).any(lost))
    });
}

/// Of errors at one place the first stays; a name that one item misses several times is told once, with its other places.
fn merge(found: &mut Vec<Diagnostic>, items: &[Place]) {
    let item_of = |s: Span| items.iter().position(|i| i.span.file == s.file && i.span.contains(s.start as usize));
    let mut kept: Vec<Diagnostic> = Vec::new();
    for d in std::mem::take(found) {
        let (Some(span), Severity::Error) = (d.span(), d.severity) else {
            kept.push(d);
            continue;
        };
        if kept.iter().any(|k| k.severity == Severity::Error && k.span() == Some(span)) {
            continue;
        }
        let name = quoted(&d.headline).next().unwrap_or("");
        let unknown = format!("`{name}` is not known here");
        let size = format!("the size `{name}` is not known");
        let repeats = d.headline == unknown || d.headline == size || d.code == codes::BAD_AXIS;
        let first = kept.iter_mut().filter(|_| repeats).find(|k| {
            let label = |d: &Diagnostic| d.primary.as_ref().map(|l| l.text.clone());
            let same = k.headline == d.headline && label(k) == label(&d);
            // A name that is no value's is no size's either.
            let both = k.headline == unknown && d.headline == size;
            (same || both) && k.span().is_some_and(|s| s.file == span.file && item_of(s) == item_of(span))
        });
        match first {
            Some(first) => also(first, &d, span),
            None => kept.push(d),
        }
    }
    // `Net(classes: 3)`, where `Net` misses its own `classes`: the declaration is what is misspelt.
    let missed: BTreeSet<(&str, &str)> = kept
        .iter()
        .filter(|d| [codes::UNKNOWN_NAME, codes::UNKNOWN_DIM].contains(&d.code))
        .filter_map(|d| Some((&*items[item_of(d.span()?)?].name, quoted(&d.headline).next()?)))
        .collect();
    let of_declaration = |d: &Diagnostic| {
        let mut parts = quoted(&d.headline);
        d.code == codes::UNKNOWN_ARGUMENT
            && matches!((parts.next(), parts.next()), (Some(item), Some(name)) if missed.contains(&(item, name)))
    };
    let drop: Vec<bool> = kept.iter().map(of_declaration).collect();
    let mut drop = drop.into_iter();
    kept.retain(|_| !drop.next().unwrap_or(false));
    *found = kept;
}

/// Shows a further place of a fault beside its first, and mends it with it.
fn also(first: &mut Diagnostic, again: &Diagnostic, span: Span) {
    if first.secondary.len() < 3 {
        first.secondary.push(Label { span, text: "and here".into() });
    }
    if let ([fix], [other]) = (first.fixes.as_mut_slice(), again.fixes.as_slice())
        && fix.title == other.title
        && fix.certain == other.certain
    {
        fix.edits.extend(other.edits.iter().cloned());
        fix.edits.sort_by_key(|(s, _)| s.start);
        fix.edits.dedup();
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| w.starts_with(|c: char| c.is_alphabetic()))
}

/// The parts of a headline between backquotes.
fn quoted(headline: &str) -> impl Iterator<Item = &str> {
    headline.split('`').skip(1).step_by(2)
}
