//! Checking again after an edit: the items that it changed are evaluated, or those and all that name them, and what was known
//! of the others is taken over with its places moved. What only a look at everything tells (lints, unused data, what one
//! fault hides of another) the next whole check says.

use super::facts::{self, Look, Only, check, item_name};
use super::{Facts, Input, MAIN, Shift, Syntax, TaskFacts};
use crate::check::{Seen, Sight};
use crate::diag::Diagnostic;
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast::{File, ItemKind, TaskKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How far an edit is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The items that changed.
    Changed,
    /// Those, and all that name them.
    Users,
}

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
fn uses<'t>(tree: &File, text: &'t str) -> Vec<&'t str> {
    let lines = tree.items.iter().filter(|i| matches!(i.kind, ItemKind::Use(_)));
    lines.map(|i| text.get(i.span.range()).unwrap_or("")).collect()
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
    /// Names of the items that the edit changed.
    changed: BTreeSet<String>,
}

impl Kept {
    /// Whether an old place is in an item that is taken over.
    fn holds(&self, s: Span) -> bool {
        let at = self.items.partition_point(|i| i.start <= s.start);
        s.file != MAIN || at.checked_sub(1).is_some_and(|i| s.end <= self.items[i].end)
    }
}

/// Which items an edit leaves alone; none if all are to be looked at.
fn keep(syntax: &Syntax, before: &Facts, shift: &Shift, reach: Reach) -> Option<Kept> {
    let (old, new) = (pieces(&before.tree, &before.text)?, pieces(&syntax.tree, &syntax.text)?);
    if uses(&before.tree, &before.text) != uses(&syntax.tree, &syntax.text) {
        return None;
    }
    let tasks = |all: &[Piece]| all.iter().filter(|p| p.task).map(|p| p.name.to_string()).collect::<Vec<_>>();
    if tasks(&old) != tasks(&new) {
        return None;
    }
    let by_name: BTreeMap<&str, &Piece> = old.iter().map(|p| (p.name, p)).collect();
    let new_by_name: BTreeMap<&str, &Piece> = new.iter().map(|p| (p.name, p)).collect();
    // Two items of one name: who is who is not clear.
    if by_name.len() != old.len() || new_by_name.len() != new.len() {
        return None;
    }
    let mut touched: BTreeSet<&str> = old.iter().map(|p| p.name).filter(|n| !new_by_name.contains_key(n)).collect();
    // What stands elsewhere now has lost its places.
    let stays = |o: &Piece, p: &Piece| shift.forward(o.span.range()) == Some(p.span.range());
    let same = |p: &&Piece| by_name.get(p.name).is_some_and(|o| o.text == p.text && stays(o, p));
    touched.extend(new.iter().filter(|p| !same(p)).map(|p| p.name));
    let changed = touched.iter().map(|n| n.to_string()).collect();
    if reach == Reach::Users {
        touched.extend(before.pending.iter().map(String::as_str));
        // Whoever names something that is touched is touched too.
        let rest = new.iter().filter(|p| !touched.contains(p.name));
        let mut rest: Vec<(&Piece, BTreeSet<&str>)> = rest.map(|p| (p, words(p.text))).collect();
        loop {
            let (hit, clear): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(_, words)| words.iter().any(|w| touched.contains(w)));
            rest = clear;
            if hit.is_empty() {
                break;
            }
            touched.extend(hit.iter().map(|(p, _)| p.name));
        }
    }
    // A task speaks of the nets of others: those come first.
    let mut open: Vec<&Piece> = new.iter().filter(|p| p.task && touched.contains(p.name)).collect();
    while let Some(task) = open.pop() {
        for word in words(task.text) {
            if let Some(other) = new_by_name.get(word).filter(|o| o.task)
                && touched.insert(other.name)
            {
                open.push(other);
            }
        }
    }
    let numbers = numbers_of_tasks(&syntax.tree);
    let clear = |p: &&Piece| !touched.contains(p.name);
    let mut items: Vec<Span> = new.iter().filter(clear).filter_map(|p| by_name.get(p.name)).map(|o| o.span).collect();
    items.sort();
    Some(Kept {
        items,
        tasks: new.iter().filter(|p| p.task).filter(clear).filter_map(|p| numbers.get(&p.at)).copied().collect(),
        only: new.iter().filter(|p| !clear(p)).map(|p| p.at).collect(),
        changed,
    })
}

/// The number of each task, by the place of its name: those that train come first.
fn numbers_of_tasks(tree: &File) -> BTreeMap<Span, usize> {
    let all = tree.items.iter().filter_map(|i| match &i.kind {
        ItemKind::Task(decl) => Some((decl.kind != TaskKind::Train, item_name(&i.kind)?.1)),
        _ => None,
    });
    let mut all: Vec<(bool, Span)> = all.collect();
    all.sort_by_key(|(later, _)| *later);
    all.into_iter().enumerate().map(|(number, (_, at))| (at, number)).collect()
}

/// Checks a text of which an earlier state is known.
pub fn check_again(input: &Input, syntax: &Syntax, before: &Facts, reach: Reach) -> Facts {
    let shift = Shift::between(&before.text, &syntax.text);
    let Some(kept) = keep(syntax, before, &shift, reach) else { return check(input, syntax) };
    let mut mover = Mover { shift, old: &before.sources, files: BTreeMap::new(), sources: Sources::default() };
    // Other files have the numbers that they had: they are read first.
    let mut here = |items: &BTreeSet<Span>| {
        let kept = items.iter().filter(|s| kept.holds(**s));
        kept.filter_map(|s| if s.file == MAIN { mover.span(*s) } else { Some(*s) }).collect()
    };
    let (broken, doubtful) = (here(&before.sights.broken), here(&before.sights.doubtful));
    let only = Only { items: kept.only.clone(), broken, doubtful };
    let (_, Look { mut facts, said }) = facts::look(input, syntax, Some(only));
    mover.sources = std::mem::take(&mut facts.sources);
    take_over(&mut facts, before, &kept, &mut mover);
    facts.sources = mover.sources;
    if reach == Reach::Changed {
        facts.pending = &before.pending | &kept.changed;
    }
    said.settle(facts, false)
}

/// Moves places of earlier facts to later ones.
struct Mover<'s> {
    shift: Shift,
    old: &'s Sources,
    sources: Sources,
    /// Files of the old sources in the new ones.
    files: BTreeMap<FileId, FileId>,
}

impl Mover<'_> {
    fn span(&mut self, span: Span) -> Option<Span> {
        if span.file == MAIN {
            let range = self.shift.forward(span.range())?;
            return Some(Span::new(MAIN, range.start, range.end));
        }
        let file = match self.files.get(&span.file) {
            Some(id) => *id,
            None => {
                let file = self.old.file(span.file);
                let same = self.sources.ids().find(|id| self.sources.file(*id).name == file.name);
                let id = same.unwrap_or_else(|| self.sources.add_again(file));
                self.files.insert(span.file, id);
                id
            }
        };
        Some(Span { file, ..span })
    }

    /// Only declarations have places: what else was seen is shared.
    fn seen(&mut self, seen: &Arc<Seen>) -> Option<Arc<Seen>> {
        let mut moved = Seen::clone(match **seen {
            Seen::Layer { .. } | Seen::Recipe { .. } | Seen::Optimizer { .. } | Seen::Function { .. } => seen,
            Seen::Tuple(_) | Seen::List(_) => seen,
            _ => return Some(seen.clone()),
        });
        self.move_seen(&mut moved)?;
        Some(Arc::new(moved))
    }

    fn move_seen(&mut self, seen: &mut Seen) -> Option<()> {
        match seen {
            Seen::Layer { decl, links, .. } => {
                if let Some(at) = decl {
                    *decl = Some(self.span(*at)?);
                }
                for (_, link) in links {
                    self.move_seen(link)?;
                }
            }
            Seen::Recipe { decl, .. } | Seen::Optimizer { decl, .. } => *decl = self.span(*decl)?,
            Seen::Function { decl: Some(decl), .. } => *decl = self.span(*decl)?,
            Seen::Tuple(items) | Seen::List(items) => {
                for item in items {
                    self.move_seen(item)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn diagnostic(&mut self, d: &Diagnostic) -> Option<Diagnostic> {
        d.clone().with_spans(&mut |s| self.span(s))
    }
}

fn take_over(facts: &mut Facts, before: &Facts, kept: &Kept, mover: &mut Mover) {
    let is_kept = |span: Span, sight: &Sight| match sight.task {
        Some(task) => kept.tasks.contains(&task),
        None => kept.holds(span),
    };
    // What belongs to no item was found anew.
    let found = before.found.iter().filter(|d| d.item.is_some_and(|item| kept.holds(item)));
    let found: Vec<Diagnostic> = found.filter_map(|d| mover.diagnostic(d)).collect();
    facts.found.extend(found);
    let place = |d: &Diagnostic| d.item.and_then(|item| facts.sights.order.iter().position(|s| *s == item));
    facts.found.sort_by_cached_key(place);
    facts.late = before.late.iter().filter_map(|d| mover.diagnostic(d)).collect();
    for (all, old) in
        [(&mut facts.sights.broken, &before.sights.broken), (&mut facts.sights.doubtful, &before.sights.doubtful)]
    {
        all.extend(old.iter().filter(|s| kept.holds(**s)).filter_map(|s| mover.span(*s)));
    }
    let mut values = std::mem::take(&mut facts.sights.values).into_iter().peekable();
    let mut all = Vec::new();
    // Both in the order of their places, which an edit keeps.
    for (span, sights) in &before.sights.values {
        let Some(at) = mover.span(*span) else { continue };
        while let Some(new) = values.next_if(|(place, _)| *place < at) {
            all.push(new);
        }
        let mut own = values.next_if(|(place, _)| *place == at).map_or(Vec::new(), |(_, own)| own);
        for sight in sights.iter().filter(|s| is_kept(*span, s)) {
            let Some(seen) = mover.seen(&sight.seen) else { continue };
            let sight = Sight { task: sight.task, seen };
            if !own.contains(&sight) {
                own.push(sight);
            }
        }
        own.sort_by_key(|s| s.task);
        if !own.is_empty() {
            all.push((at, own));
        }
    }
    all.extend(values);
    facts.sights.values = all.into_iter().collect();
    for (span, fields) in before.sights.fields.iter().filter(|(s, _)| kept.holds(**s)) {
        if let Some(at) = mover.span(*span) {
            facts.sights.fields.entry(at).or_insert_with(|| fields.clone());
        }
    }
    for (span, parameters) in before.sights.parameters.iter().filter(|(s, _)| kept.holds(**s)) {
        if let Some(at) = mover.span(*span) {
            facts.sights.parameters.entry(at).or_insert_with(|| parameters.clone());
        }
    }
    for task in before.tasks.iter().filter(|t| kept.tasks.contains(&t.number)) {
        if let Some(span) = mover.span(task.span) {
            facts.tasks.push(TaskFacts { span, ..task.clone() });
        }
    }
    facts.tasks.sort_by_key(|t| t.number);
}
