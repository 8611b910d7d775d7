//! What is not to be said, and what is to be an error: comments in the source (`// nnc: allow(stacked-linear): why`) and
//! the command line (`--allow`, `--deny`).
//!
//! A comment speaks of its own line, or, if it stands alone, of the next line of code.

use crate::diag::{Diagnostic, Severity, codes, suggest};
use crate::source::{FileId, Sources, Span};

const BEGIN: &str = "// nnc: allow(";

/// What the command line says of warnings: codes (`W1008`), names (`stacked-linear`), or `warnings` for all.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

/// One name of one comment.
struct Allowed {
    name: String,
    /// The name.
    span: Span,
    /// The 1-based line that it speaks of.
    line: usize,
    used: bool,
}

/// Drops what is allowed and makes errors of what is denied. `linted` says that all lints had their say, so that a comment
/// that nothing needs can be told.
pub fn settle(diagnostics: &mut Vec<Diagnostic>, sources: &Sources, levels: &Levels, linted: bool) {
    let mut allowed = Vec::new();
    for id in sources.ids().filter(|id| !sources.file(*id).builtin) {
        comments(id, &sources.file(id).text, &mut allowed);
    }
    if !allowed.is_empty() {
        diagnostics.retain(|d| !(d.severity == Severity::Warning && is_allowed(d, sources, &mut allowed)));
        diagnostics.extend(allowed.iter().filter(|a| !a.used).filter_map(|a| useless(a, linted)));
    }
    for list in [&levels.allow, &levels.deny] {
        diagnostics.extend(list.iter().filter_map(|name| unknown(name)));
    }
    let named = |list: &[String], d: &Diagnostic| list.iter().any(|n| n == "warnings" || is_called(d, n));
    diagnostics.retain(|d| d.severity == Severity::Error || !named(&levels.allow, d));
    for d in diagnostics.iter_mut().filter(|d| named(&levels.deny, d)) {
        d.severity = Severity::Error;
    }
}

fn is_called(d: &Diagnostic, name: &str) -> bool {
    d.code.name == name || d.code.id.eq_ignore_ascii_case(name)
}

fn is_allowed(d: &Diagnostic, sources: &Sources, allowed: &mut [Allowed]) -> bool {
    let Some(span) = d.span() else { return false };
    let line = sources.line_of(span);
    let own = |a: &&mut Allowed| a.span.file == span.file && a.line == line && is_called(d, &a.name);
    let mut any = false;
    for allowed in allowed.iter_mut().filter(own) {
        allowed.used = true;
        any = true;
    }
    any
}

/// Finds the comments of a file.
fn comments(file: FileId, text: &str, into: &mut Vec<Allowed>) {
    for (at, _) in text.match_indices(BEGIN) {
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let mut line = before.matches('\n').count() + 1;
        if text[start..at].trim().is_empty() {
            let after = text[at..].lines().skip(1);
            let empty = |l: &&str| l.trim().is_empty() || l.trim_start().starts_with("//");
            line += 1 + after.take_while(empty).count();
        }
        let list = &text[at + BEGIN.len()..];
        let Some(end) = list.find([')', '\n']) else { continue };
        let mut from = at + BEGIN.len();
        for part in list[..end].split(',') {
            let name = part.trim();
            let begin = from + (part.len() - part.trim_start().len());
            let span = Span::new(file, begin, begin + name.len());
            into.push(Allowed { name: name.to_string(), span, line, used: false });
            from += part.len() + 1;
        }
    }
}

/// What is said of a comment that silences nothing.
fn useless(allowed: &Allowed, linted: bool) -> Option<Diagnostic> {
    let name = &allowed.name;
    let Some(code) = codes::find(name).filter(|c| c.id.starts_with('W')) else {
        let fault = Diagnostic::warning(codes::UNUSED_ALLOW, allowed.span, format!("no warning is called `{name}`"));
        let names = codes::ALL.iter().filter(|c| c.id.starts_with('W')).map(|c| c.name);
        return Some(match suggest::nearest(name, names) {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(allowed.span, meant.to_string())],
                false,
            ),
            None => fault.help("`nnc explain --list` lists them: those that begin with W"),
        });
    };
    linted.then(|| {
        let headline = format!("nothing here gives `{}`", code.name);
        Diagnostic::warning(codes::UNUSED_ALLOW, allowed.span, headline)
            .label("this comment allows what does not occur")
            .help("remove it, or put it on the line that the warning names")
    })
}

/// A name on the command line that is no warning's.
fn unknown(name: &str) -> Option<Diagnostic> {
    if name == "warnings" || codes::find(name).is_some_and(|c| c.id.starts_with('W')) {
        return None;
    }
    let fault = Diagnostic::placeless(codes::USAGE, format!("no warning is called `{name}`"));
    let names = codes::ALL.iter().filter(|c| c.id.starts_with('W')).map(|c| c.name).chain(["warnings"]);
    Some(match suggest::nearest(name, names) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help("`nnc explain --list` lists them: those that begin with W"),
    })
}
