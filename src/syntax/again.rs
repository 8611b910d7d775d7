//! Reading a text again after an edit: in go the tree of the earlier text and both texts, out comes the tree of the later one,
//! as reading all of it would give. Only the items around the edit are read: brackets are balanced and line ends decided item
//! by item, so an item whose neighbours on both sides come out as they were is all that an edit can have changed. Where they
//! do not, everything is read.

use super::ast::{File, Item, ItemKind};
use super::parse_at;
use super::spans::each_span;
use crate::diag::{Diagnostic, codes};
use crate::source::{FileId, Span};
use std::ops::Range;

/// Neighbours that are tried in search of one without a fault.
const MOST_NEIGHBOURS: usize = 3;

/// The tree of a text of which an earlier state was read; none if all of it has to be read. `said` is what was said of the
/// earlier text.
pub fn parse_again(
    old: &File,
    said: &[Diagnostic],
    before: &str,
    text: &str,
    file: FileId,
) -> Option<(File, Vec<Diagnostic>)> {
    // Of a habit of another language there is one message for all of a file.
    let foreign = |all: &[Diagnostic]| all.iter().any(|d| d.code == codes::FOREIGN_SYNTAX);
    if foreign(said) {
        return None;
    }
    let edit = difference(before, text);
    let by = text.len() as i64 - before.len() as i64;
    let lines = Lines { items: &old.items, text: before, said };
    // The items that the edit touches, and one without a fault on either side.
    let past = old.items.len().checked_sub(1)?;
    let mut first = (0..past).find(|i| lines.end(*i).is_some_and(|end| end > edit.start)).unwrap_or(past);
    let last = (first..past).find(|i| lines.end(*i).is_some_and(|end| end >= edit.end)).unwrap_or(past);
    // Items that share a line go together.
    while first > 0 && lines.end(first - 1).is_none() {
        first -= 1;
    }
    let left = match first {
        0 => None,
        _ => Some((0..first).rev().take(MOST_NEIGHBOURS).find(|i| lines.is_clean(*i))?),
    };
    let right = match last == past {
        true => None,
        false => Some((last + 1..old.items.len()).take(MOST_NEIGHBOURS).find(|i| lines.is_clean(*i))?),
    };
    let start = left.map_or(Some(0), |l| lines.start(l))?;
    let end = right.filter(|r| *r < past).map_or(Some(before.len()), |r| lines.end(r))?;
    let moved_end = (end as i64 + by) as usize;
    let (mut window, mut found) = parse_at(text.get(start..moved_end)?, file, start);
    if foreign(&found) {
        return None;
    }
    // The neighbours are as they were.
    let mut read = window.items.iter();
    if let Some(l) = left {
        let (was, is) = (&old.items[l], read.next()?);
        let untouched = is.span == was.span && same_kind(was, is);
        if !untouched || found.iter().any(|d| d.span().is_none_or(|s| (s.start as usize) < lines.end(l).unwrap_or(0))) {
            return None;
        }
    }
    if let Some(r) = right {
        let (was, is) = (&old.items[r], read.next_back()?);
        let from = (lines.start(r)? as i64 + by) as u32;
        let untouched = is.span == moved(was.span, by) && same_kind(was, is);
        if !untouched || found.iter().any(|d| d.span().is_none_or(|s| s.start >= from)) {
            return None;
        }
    }
    // The others are taken over.
    let mut items = old.items[..left.unwrap_or(0)].to_vec();
    items.append(&mut window.items);
    for item in &old.items[right.map_or(old.items.len(), |r| r + 1)..] {
        let mut item = item.clone();
        each_span(&mut item, &mut |s| *s = moved(*s, by));
        items.push(item);
    }
    let mut comments: Vec<Span> = old.comments.iter().copied().filter(|c| (c.start as usize) < start).collect();
    comments.append(&mut window.comments);
    let behind = |s: &Span| right.is_some_and(|r| r < past) && s.start as usize >= end;
    comments.extend(old.comments.iter().filter(|c| behind(c)).map(|c| moved(*c, by)));
    let ahead = said.iter().filter(|d| d.span().is_some_and(|s| (s.start as usize) < start));
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for d in ahead {
        if spans(d).any(|s| s.end as usize > start) {
            return None;
        }
        diagnostics.push(d.clone());
    }
    diagnostics.append(&mut found);
    for d in said.iter().filter(|d| d.span().is_some_and(|s| behind(&s))) {
        if spans(d).any(|s| !behind(&s)) {
            return None;
        }
        diagnostics.push(d.clone().with_spans(&mut |s| Some(moved(s, by)))?);
    }
    diagnostics.sort_by_key(|d| (d.span(), d.severity));
    Some((File { items, comments }, diagnostics))
}

fn spans(d: &Diagnostic) -> impl Iterator<Item = Span> + '_ {
    let labels = d.primary.iter().chain(&d.secondary).map(|l| l.span);
    labels.chain(d.fixes.iter().flat_map(|f| &f.edits).map(|e| e.0)).chain(d.trace.iter().map(|f| f.span))
}

fn moved(span: Span, by: i64) -> Span {
    let at = |n: u32| (i64::from(n) + by) as u32;
    Span { start: at(span.start), end: at(span.end), ..span }
}

fn same_kind(a: &Item, b: &Item) -> bool {
    std::mem::discriminant(&a.kind) == std::mem::discriminant(&b.kind)
}

/// The bytes of the earlier text that went away: what is common at both ends stays.
fn difference(old: &str, new: &str) -> Range<usize> {
    let (a, b) = (old.as_bytes(), new.as_bytes());
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let most = a.len().min(b.len()) - head;
    let tail = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(x, y)| x == y).count();
    head..a.len() - tail
}

/// The lines of items: each has its own, the comments above it among them.
struct Lines<'t> {
    items: &'t [Item],
    text: &'t str,
    said: &'t [Diagnostic],
}

impl Lines<'_> {
    /// Where the lines of an item end; none if another one begins on its last, or if it is the last of the text.
    fn end(&self, item: usize) -> Option<usize> {
        let next = self.items.get(item + 1)?;
        let from = self.items[item].span.end as usize;
        let end = from + self.text.get(from..)?.find('\n')? + 1;
        (next.span.start as usize >= end).then_some(end)
    }

    fn start(&self, item: usize) -> Option<usize> {
        match item {
            0 => Some(0),
            _ => self.end(item - 1),
        }
    }

    /// Whether an item has lines of its own, was read, and nothing was said of it.
    fn is_clean(&self, item: usize) -> bool {
        let Some(start) = self.start(item) else { return false };
        let end = match item + 1 == self.items.len() {
            true => self.text.len() + 1,
            false => match self.end(item) {
                Some(end) => end,
                None => return false,
            },
        };
        let touches = |s: Span| s.start as usize <= end && start <= s.end as usize;
        !matches!(self.items[item].kind, ItemKind::Error) && !self.said.iter().any(|d| spans(d).any(touches))
    }
}
