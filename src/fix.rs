//! Applying the fixes that diagnostics carry.
//!
//! In: a text and its diagnostics. Out: the text with every fix that is safe and that no earlier one contradicts. [`fix_text`]
//! checks and applies in turn until nothing is left to do.

use crate::diag::{Diagnostic, Fix};
use crate::driver::{self, Checked, Options};
use crate::source::{FileId, Span};
use std::path::Path;

/// Checks and fixes follow each other at most so often; a fix may uncover the next mistake.
const ROUNDS: usize = 20;

/// A text with its fixes applied.
pub struct Fixed {
    pub text: String,
    /// What each applied fix does.
    pub titles: Vec<String>,
    /// The text, checked: what remains.
    pub checked: Checked,
}

/// Checks a text as [`driver::check_text`] does and applies what fixes it, in turn.
pub fn fix_text(name: &str, text: String, folder: &Path, options: &Options) -> Fixed {
    let mut titles = Vec::new();
    let mut text = text;
    let mut checked = driver::check_text(name, text.clone(), folder, options);
    for _ in 0..ROUNDS {
        let fixes = checked.diagnostics.iter().flat_map(|d: &Diagnostic| &d.fixes).filter(|f| f.certain);
        let (fixed, applied) = apply(&text, checked.file, fixes);
        if applied.is_empty() || fixed == text {
            break;
        }
        let next = driver::check_text(name, fixed.clone(), folder, options);
        titles.extend(applied);
        (text, checked) = (fixed, next);
    }
    Fixed { text, titles, checked }
}

/// Applies fixes in order; one that touches what an earlier one changes is left for the next round. Returns the titles of those
/// applied.
pub fn apply<'f>(text: &str, file: FileId, fixes: impl Iterator<Item = &'f Fix>) -> (String, Vec<String>) {
    let mut edits: Vec<&(Span, String)> = Vec::new();
    let mut titles = Vec::new();
    for fix in fixes {
        let new: Vec<_> = fix.edits.iter().filter(|e| !edits.contains(e)).collect();
        let within = |s: &Span| s.file == file && text.get(s.range()).is_some();
        let clashes = |e: &(Span, String)| edits.iter().any(|o| touch(e.0, o.0));
        let own = new.iter().enumerate().any(|(i, e)| new[..i].iter().any(|o| touch(e.0, o.0)));
        if new.is_empty() || own || !new.iter().all(|e| within(&e.0) && !clashes(e)) {
            continue;
        }
        edits.extend(new);
        titles.push(fix.title.clone());
    }
    edits.sort_by_key(|e| e.0);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, with) in edits {
        out += &text[at..span.start as usize];
        out += with;
        at = span.end as usize;
    }
    out += &text[at..];
    (out, titles)
}

/// Whether two edits share a place: what stands side by side may be edited both, two insertions at one place may not.
fn touch(a: Span, b: Span) -> bool {
    a.start < b.end && b.start < a.end || a.start == b.start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(start: usize, end: usize, with: &str) -> Fix {
        let span = Span::new(FileId(0), start, end);
        Fix { title: format!("write {with}"), edits: vec![(span, with.to_string())], certain: true }
    }

    #[test]
    fn the_first_of_two_fixes_for_one_place_wins() {
        let fixes = [fix(0, 3, "xyz"), fix(2, 4, "!"), fix(3, 4, "-")];
        let (text, titles) = apply("abcdef", FileId(0), fixes.iter());
        assert_eq!(text, "xyz-ef");
        assert_eq!(titles, ["write xyz", "write -"]);
    }

    #[test]
    fn what_is_outside_the_text_is_left() {
        assert_eq!(apply("ab", FileId(0), [fix(1, 9, "")].iter()).0, "ab");
        assert_eq!(apply("ab", FileId(1), [fix(0, 1, "")].iter()).0, "ab");
    }
}
