//! From pest's pairs to the syntax tree: what all parts of the lowering share.
//!
//! In: the pairs of a [`Layout`]'s text. Out: tree nodes and diagnostics. The grammar accepts every text, so it is here that
//! absent parts (`MISSING_PART`) and junk (`SYNTAX`) are reported: once each, at the place where the part belongs.

use super::ast::*;
use super::grammar::Rule;
use super::layout::{HOLE, Layout};
use super::tokens::Comment;
use crate::diag::suggest::nearest;
use crate::diag::{Code, Diagnostic, codes};
use crate::source::Span;
use pest::iterators::{Pair, Pairs};
use std::iter::Peekable;

/// What may follow a complete statement.
pub(super) const SEPARATED: &str = "a new line or `;`";

pub(super) type Node<'t> = Pair<'t, Rule>;

/// The children of a pair, taken in order.
pub(super) struct Parts<'t> {
    inner: Peekable<Pairs<'t, Rule>>,
    /// Where what was taken so far ends, in the prepared text.
    pub end: usize,
}

impl<'t> Parts<'t> {
    pub fn of(node: Node<'t>) -> Parts<'t> {
        Parts { end: node.as_span().start(), inner: node.into_inner().peekable() }
    }

    pub fn take(&mut self, rule: Rule) -> Option<Node<'t>> {
        let node = self.inner.next_if(|p| p.as_rule() == rule)?;
        self.end = end_of(&node);
        Some(node)
    }

    pub fn has(&mut self, rule: Rule) -> bool {
        self.take(rule).is_some()
    }

    pub fn next(&mut self) -> Option<Node<'t>> {
        let node = self.inner.next()?;
        self.end = end_of(&node);
        Some(node)
    }

    pub fn peek(&mut self) -> Option<Rule> {
        self.peek_node().map(|p| p.as_rule())
    }

    pub fn peek_node(&mut self) -> Option<&Node<'t>> {
        self.inner.peek()
    }
}

/// A pair's end without the blanks that pest leaves in it.
pub(super) fn end_of(node: &Node) -> usize {
    node.as_span().start() + node.as_str().trim_end().len()
}

pub(super) struct Lower<'t> {
    pub layout: &'t Layout,
    pub diagnostics: Vec<Diagnostic>,
    /// Runs of `///` lines: (where the documented thing starts, lines).
    docs: Vec<(usize, Vec<Comment>)>,
    used_docs: Vec<usize>,
    /// The original text.
    pub source: &'t str,
}

impl<'t> Lower<'t> {
    pub fn new(layout: &'t Layout, source: &'t str) -> Lower<'t> {
        let mut docs: Vec<(usize, Vec<Comment>)> = Vec::new();
        for comment in layout.comments.iter().filter(|c| c.docs) {
            match docs.last_mut().filter(|d| d.0 == comment.before) {
                Some(run) => run.1.push(*comment),
                None => docs.push((comment.before, vec![*comment])),
            }
        }
        Lower { layout, diagnostics: Vec::new(), docs, used_docs: Vec::new(), source }
    }

    /// The text of the `///` lines above what starts here.
    pub fn docs(&mut self, node: &Node) -> String {
        let start = self.layout.original(node.as_span().start());
        let Ok(run) = self.docs.binary_search_by_key(&start, |d| d.0) else { return String::new() };
        self.used_docs.push(run);
        let line = |c: &Comment| {
            let text = self.source[c.start..c.end].trim_start_matches('/');
            text.strip_prefix(' ').unwrap_or(text).trim_end().to_string()
        };
        self.docs[run].1.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The comments that document nothing.
    pub fn comments(&self) -> Vec<Span> {
        let documents = |c: &Comment| c.docs && self.used_docs.iter().any(|&run| self.docs[run].0 == c.before);
        let span = |c: &Comment| {
            let zero = self.layout.span(0, 0);
            Span { start: zero.start + c.start as u32, end: zero.start + c.end as u32, ..zero }
        };
        self.layout.comments.iter().filter(|c| !documents(c)).map(span).collect()
    }

    pub fn span(&self, node: &Node) -> Span {
        self.layout.span(node.as_span().start(), end_of(node))
    }

    /// The empty place at an offset of the prepared text.
    pub fn point(&self, at: usize) -> Span {
        self.layout.span(at, at)
    }

    pub fn ident(&self, node: &Node) -> Ident {
        Ident { name: node.as_str().to_string(), span: self.span(node) }
    }

    /// The name of a declaration; an empty one stands for what is missing.
    pub fn name(&mut self, parts: &mut Parts<'t>, of: &str) -> Ident {
        match parts.take(Rule::ident) {
            Some(node) => self.ident(&node),
            None => {
                let at = parts.end;
                let headline = format!("{of} needs a name");
                match parts.inner.next_if(|p| matches!(p.as_rule(), Rule::junk_head | Rule::junk_stmt)) {
                    // What stands in the name's place is the same fault.
                    Some(junk) if !junk.as_str().contains(HOLE) => {
                        let start = junk.as_span().start();
                        let span = self.layout.span(start, start + first_token(junk.as_str()).len());
                        let report = self.report(codes::MISSING_PART, span, headline);
                        report
                            .help
                            .push("a name begins with a letter a-z and goes on with letters, digits and `_`".into());
                    }
                    Some(_) => {}
                    None => self.missing(at, &headline, ""),
                }
                Ident { name: String::new(), span: self.point(at) }
            }
        }
    }

    pub fn report(&mut self, code: &'static Code, span: Span, headline: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, span, headline));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    /// Reports that something is absent at an offset of the prepared text; silent where a hole stands.
    pub fn missing(&mut self, at: usize, headline: &str, help: &str) {
        let rest = self.layout.text.get(at..).unwrap_or("");
        if rest.trim_start_matches([' ', '\t', '\x0c']).starts_with(HOLE) {
            return;
        }
        let span = self.point(at);
        let report = self.report(codes::MISSING_PART, span, headline);
        if !help.is_empty() {
            report.help.push(help.to_string());
        }
    }

    /// Reports junk: `expected` is what could stand there.
    pub fn junk(&mut self, node: &Node, expected: &str) {
        if node.as_str().contains(HOLE) {
            return;
        }
        let text = node.as_str();
        let found = first_token(text);
        let start = node.as_span().start();
        let span = self.layout.span(start, start + found.len());
        let before = self.layout.text[..start].trim_end_matches([' ', '\t', '\x0c']);
        let number_before = before.ends_with(|c: char| c.is_ascii_digit());
        if found.starts_with('.') && (number_before || text[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let report = self.report(codes::SYNTAX, span, "a number has digits on both sides of its point");
            report.help.push("write `1.0`, `0.5`".into());
            return;
        }
        if found == "," && text.contains('=') {
            let report = self.report(codes::SYNTAX, span, "several names are bound as a tuple");
            report.help.push("put them in parentheses: `(a, b) = …`".into());
            return;
        }
        let what = match found {
            "" => "the end".to_string(),
            "else" => "`else` without `if`".to_string(),
            _ if found.chars().count() > 16 => format!("`{}…`", found.chars().take(14).collect::<String>()),
            _ => format!("`{found}`"),
        };
        let report = self.report(codes::SYNTAX, span, format!("expected {expected}, found {what}"));
        let meant = nearest(found, ["along", "with", "over", "from", "except", "where", "else"]);
        let value_follows = found.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '(' | '[' | '"' | '_'));
        if let Some(meant) = meant.filter(|m| *m != found) {
            report.help.push(format!("did you mean `{meant}`?"));
        } else if found == "%" {
            report.help.push("the remainder is `remainder(a, b)`".into());
        } else if expected == "a statement" && found == "{" {
            report
                .help
                .push("a block stands behind `if`, `repeat` or `scan`; several values are a tuple, `(a, b)`".into());
        } else if expected == SEPARATED && found == "," {
            report.help.push("the parts stand on lines of their own, or between them stands `;`".into());
        } else if expected == SEPARATED && found == "=" {
            report.help.push("one line binds one name".into());
        } else if (expected == SEPARATED || expected.starts_with("`,`")) && value_follows {
            let what = if expected == SEPARATED { "an operator or a new line" } else { "an operator or a comma" };
            report.help.push(format!("{what} is missing before it"));
        }
        if is_reserved(found) && expected.contains("name") {
            report.notes.push(format!("`{found}` is a word of the language"));
        }
        if found.starts_with(|c: char| !c.is_ascii() && !c.is_alphabetic()) {
            report.help.push("replace this character: outside strings and comments only ASCII has a meaning".into());
        }
    }

    /// Reports the junk that ends a form, if there is any.
    pub fn tail(&mut self, parts: &mut Parts<'t>, rule: Rule, expected: &str) -> bool {
        match parts.take(rule) {
            Some(node) => {
                self.junk(&node, expected);
                true
            }
            None => false,
        }
    }

    pub fn error_expr(&self, span: Span) -> Expr {
        Expr { kind: ExprKind::Error, span }
    }
}

pub(super) fn is_reserved(word: &str) -> bool {
    matches!(
        word,
        "and"
            | "or"
            | "not"
            | "if"
            | "else"
            | "scan"
            | "seq"
            | "repeat"
            | "yield"
            | "param"
            | "state"
            | "minimize"
            | "report"
            | "load"
            | "freeze"
            | "save"
    )
}

/// The word, operator or character that a text begins with.
pub(super) fn first_token(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t', '\x0c']);
    let word = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if word > 0 {
        return &text[..word];
    }
    if let Some(inner) = text.strip_prefix('"') {
        return inner.find('"').map_or(text, |n| &text[..n + 2]);
    }
    let double = ["|>", "==", "!=", "<=", ">=", "->", "..", "=>"].iter().find(|o| text.starts_with(**o));
    let length = double.map_or_else(|| text.chars().next().map_or(0, char::len_utf8), |o| o.len());
    &text[..length]
}
