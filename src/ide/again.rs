//! Checking again after an edit: only the items that it may concern are evaluated, and what was known of the others is taken
//! over with its places moved. What this leaves out (an unused data set, a name that only another item reads) the next
//! whole check says.

use super::facts::{check, item_name};
use super::{Facts, Input, MAIN, Shift, Syntax};
use crate::check::{Seen, Sight};
use crate::diag::{Diagnostic, Severity};
use crate::source::{FileId, Sources, Span};
use crate::syntax;
use crate::syntax::ast::{File, ItemKind};
use std::collections::{BTreeMap, BTreeSet};

/// One item of a text.
struct Piece<'t> {
    name: &'t str,
    text: &'t str,
    at: Span,
    span: Span,
    task: bool,
}

fn pieces<'t>(tree: &'t File, text: &'t str) -> Option<Vec<Piece<'t>>> {
    let mut out = Vec::new();
    for item in &tree.items {
        if matches!(item.kind, ItemKind::Use(_) | ItemKind::Error) {
            continue;
        }
        let (name, at) = item_name(&item.kind)?;
        let task = matches!(item.kind, ItemKind::Task(_));
        out.push(Piece { name, text: text.get(item.span.range())?, at, span: item.span, task });
    }
    Some(out)
}

/// The text of the `use` lines.
fn uses(tree: &File, text: &str) -> Vec<String> {
    let lines = tree.items.iter().filter(|i| matches!(i.kind, ItemKind::Use(_)));
    lines.map(|i| text.get(i.span.range()).unwrap_or("").to_string()).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect()
}

/// What is taken over: items by their old places, and tasks by number.
struct Kept {
    items: Vec<Span>,
    tasks: BTreeSet<usize>,
    /// Items to be evaluated, by the places of their names in the new text.
    only: BTreeSet<Span>,
}

/// Which items an edit leaves alone; none if all are to be looked at.
fn keep(syntax: &Syntax, before: &Facts, old_tree: &File) -> Option<Kept> {
    let (old, new) = (pieces(old_tree, &before.text)?, pieces(&syntax.tree, &syntax.text)?);
    if uses(old_tree, &before.text) != uses(&syntax.tree, &syntax.text) {
        return None;
    }
    let tasks = |all: &[Piece]| all.iter().filter(|p| p.task).map(|p| p.name.to_string()).collect::<Vec<_>>();
    if tasks(&old) != tasks(&new) {
        return None;
    }
    let by_name: BTreeMap<&str, &Piece> = old.iter().map(|p| (p.name, p)).collect();
    // Two items of one name: who is who is not clear.
    if by_name.len() != old.len() || new.iter().map(|p| p.name).collect::<BTreeSet<_>>().len() != new.len() {
        return None;
    }
    let names: BTreeSet<&str> = new.iter().map(|p| p.name).collect();
    let mut touched: BTreeSet<&str> = old.iter().map(|p| p.name).filter(|n| !names.contains(n)).collect();
    for piece in &new {
        let same = by_name.get(piece.name).is_some_and(|o| o.text == piece.text);
        let faulty = by_name.get(piece.name).is_some_and(|o| has_error(before, o.span));
        if !same || faulty {
            touched.insert(piece.name);
        }
    }
    // Whoever names something that is touched is touched too.
    let mut rest: Vec<(&Piece, BTreeSet<&str>)> =
        new.iter().filter(|p| !touched.contains(p.name)).map(|p| (p, words(p.text))).collect();
    loop {
        let (hit, clear): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(_, words)| words.iter().any(|w| touched.contains(w)));
        rest = clear;
        if hit.is_empty() {
            break;
        }
        touched.extend(hit.iter().map(|(p, _)| p.name));
    }
    let numbers = new.iter().filter(|p| p.task).enumerate();
    Some(Kept {
        items: rest.iter().filter_map(|(p, _)| by_name.get(p.name)).map(|o| o.span).collect(),
        tasks: numbers.filter(|(_, p)| !touched.contains(p.name)).map(|(n, _)| n).collect(),
        only: new.iter().filter(|p| touched.contains(p.name)).map(|p| p.at).collect(),
    })
}

fn has_error(facts: &Facts, item: Span) -> bool {
    let inside = |s: Span| s.file == MAIN && item.start <= s.start && s.end <= item.end;
    facts.diagnostics.iter().any(|d| d.severity == Severity::Error && d.span().is_some_and(inside))
}

/// Checks a text of which an earlier state is known.
pub fn check_again(input: Input, syntax: &Syntax, before: &Facts) -> Facts {
    let (old_tree, _) = syntax::parse(&before.text, MAIN);
    let Some(kept) = keep(syntax, before, &old_tree) else { return check(&input, syntax) };
    let only = Some(kept.only.clone());
    let mut facts = check(&Input { only, ..input }, syntax);
    take_over(&mut facts, before, &kept);
    facts
}

/// Moves places of earlier facts to later ones.
struct Mover<'s> {
    shift: Shift,
    old: &'s Sources,
    /// Files of the old sources in the new ones.
    files: BTreeMap<FileId, FileId>,
}

impl Mover<'_> {
    fn span(&mut self, sources: &mut Sources, span: Span) -> Option<Span> {
        if span.file == MAIN {
            let range = self.shift.forward(span.range())?;
            return Some(Span::new(MAIN, range.start, range.end));
        }
        let file = match self.files.get(&span.file) {
            Some(id) => *id,
            None => {
                let file = self.old.file(span.file);
                let same = sources.ids().find(|id| sources.file(*id).name == file.name);
                let id = match same {
                    Some(id) => id,
                    None if file.builtin => sources.add_builtin(file.name.clone(), &file.text),
                    None => sources.add(file.name.clone(), file.text.clone()),
                };
                self.files.insert(span.file, id);
                id
            }
        };
        Some(Span { file, ..span })
    }

    fn seen(&mut self, sources: &mut Sources, seen: &Seen) -> Option<Seen> {
        let mut seen = seen.clone();
        match &mut seen {
            Seen::Layer { decl, links, .. } => {
                if let Some(at) = decl {
                    *decl = Some(self.span(sources, *at)?);
                }
                for (_, link) in links {
                    *link = self.seen(sources, link)?;
                }
            }
            Seen::Recipe { decl, .. } | Seen::Optimizer { decl, .. } => *decl = self.span(sources, *decl)?,
            Seen::Function { decl: Some(decl), .. } => *decl = self.span(sources, *decl)?,
            Seen::Tuple(items) | Seen::List(items) => {
                for item in items {
                    *item = self.seen(sources, item)?;
                }
            }
            _ => {}
        }
        Some(seen)
    }

    fn diagnostic(&mut self, sources: &mut Sources, d: &Diagnostic) -> Option<Diagnostic> {
        let mut d = d.clone();
        if let Some(primary) = &mut d.primary {
            primary.span = self.span(sources, primary.span)?;
        }
        for label in &mut d.secondary {
            label.span = self.span(sources, label.span)?;
        }
        for frame in &mut d.trace {
            frame.span = self.span(sources, frame.span)?;
        }
        for (span, _) in d.fixes.iter_mut().flat_map(|f| &mut f.edits) {
            *span = self.span(sources, *span)?;
        }
        Some(d)
    }
}

fn take_over(facts: &mut Facts, before: &Facts, kept: &Kept) {
    let shift = Shift::between(&before.text, &facts.text);
    let mut mover = Mover { shift, old: &before.sources, files: BTreeMap::new() };
    let sources = &mut facts.sources;
    let in_kept = |s: Span| s.file != MAIN || kept.items.iter().any(|i| i.start <= s.start && s.end <= i.end);
    let is_kept = |span: Span, sight: &Sight| match sight.task {
        Some(task) => kept.tasks.contains(&task),
        None => in_kept(span),
    };
    for d in &before.diagnostics {
        let Some(at) = d.span() else { continue };
        // What parsing said is said anew.
        if in_kept(at) && !d.code.id.starts_with("E01") {
            facts.diagnostics.extend(mover.diagnostic(sources, d));
        }
    }
    crate::diag::tidy(&mut facts.diagnostics);
    for (span, sights) in &before.sights.values {
        let Some(at) = mover.span(sources, *span) else { continue };
        for sight in sights.iter().filter(|s| is_kept(*span, s)) {
            let Some(seen) = mover.seen(sources, &sight.seen) else { continue };
            let own = facts.sights.values.entry(at).or_default();
            let sight = Sight { task: sight.task, seen };
            if !own.contains(&sight) {
                own.push(sight);
            }
        }
        if let Some(own) = facts.sights.values.get_mut(&at) {
            own.sort_by_key(|s| s.task);
        }
    }
    for (span, fields) in before.sights.fields.iter().filter(|(s, _)| in_kept(**s)) {
        if let Some(at) = mover.span(sources, *span) {
            facts.sights.fields.entry(at).or_insert_with(|| fields.clone());
        }
    }
    for (span, parameters) in before.sights.parameters.iter().filter(|(s, _)| in_kept(**s)) {
        if let Some(at) = mover.span(sources, *span) {
            facts.sights.parameters.entry(at).or_insert_with(|| parameters.clone());
        }
    }
    for task in before.tasks.iter().filter(|t| kept.tasks.contains(&t.number)) {
        if let Some(span) = mover.span(sources, task.span) {
            facts.tasks.push(super::TaskFacts { span, ..task.clone() });
        }
    }
    facts.tasks.sort_by_key(|t| t.number);
}
