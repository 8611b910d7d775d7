//! The text as the grammar sees it, with every token and comment: what the formatter prints.
//!
//! In: a text. Out: its tokens with the comments beside them, and for each item the grammar's own tree over these tokens. Items
//! that could not be read as they stand have no tree, and the diagnostics say why.

use super::grammar::{Grammar, Rule};
use super::layout::{Layout, layout};
use super::lower::{Lower, Node as Pair, end_of};
use super::tokens::{Fate, Kind};
use crate::diag::Diagnostic;
use crate::source::FileId;
use pest::Parser;
use std::ops::Range;

/// A comment of its own line or lines.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub text: String,
    /// Whether an empty line stands above it.
    pub blank: bool,
}

/// A token that is neither a line end nor a `;`.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub range: Range<usize>,
    /// Comments above it.
    pub lead: Vec<Lead>,
    /// Comments behind it, on its line.
    pub trail: Vec<String>,
    /// Line ends between it and the token or comment before it.
    pub newlines: usize,
    /// Whether a line end stands between it and the token before it.
    pub first: bool,
}

/// A part of an item: a form of the grammar, and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub rule: Rule,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Node(Node),
    Token(usize),
}

/// An item's tokens, and its tree if it could be read.
pub(crate) struct Item {
    pub tokens: Range<usize>,
    pub tree: Option<Node>,
    /// Where it stands in the text.
    pub range: Range<usize>,
}

pub(crate) struct Concrete {
    /// In order; the last one is the end of the text, which is empty.
    pub tokens: Vec<Token>,
    pub items: Vec<Item>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a text. `None` if the grammar failed on it, which it does for none.
pub(crate) fn concrete(text: &str) -> Option<Concrete> {
    let layout = layout(text, FileId(0), 0);
    let tokens = tokens(text, &layout);
    let file = Grammar::parse(Rule::file, &layout.text).ok()?.next()?;
    let mut lower = Lower::new(&layout, text);
    lower.diagnostics.extend(layout.diagnostics.iter().cloned());
    lower.file(file.clone());
    let mut diagnostics = lower.diagnostics;
    crate::diag::tidy(&mut diagnostics);
    let faults: Vec<Range<usize>> = diagnostics.iter().filter_map(|d| d.span()).map(|s| s.range()).collect();
    let mut items = Vec::new();
    for pair in file.into_inner().filter(|p| p.as_rule() != Rule::EOI) {
        let range = layout.original(pair.as_span().start())..layout.original(end_of(&pair));
        let inside = |at: usize| tokens.partition_point(|t| t.range.start < at);
        let own = inside(range.start)..inside(range.end.max(range.start + 1));
        let changed = layout.tokens.iter().any(|t| t.fate != Fate::Keep && range.contains(&t.start))
            || layout.inserted.iter().any(|(t, _)| touches(&range, &(layout.tokens[*t].start..layout.tokens[*t].end)));
        let broken = changed || faults.iter().any(|f| touches(&range, f)) || pair.as_rule() == Rule::junk_item;
        let tree = (!broken).then(|| node(&pair, &layout, &tokens, own.clone()));
        items.push(Item { tokens: own, tree, range });
    }
    Some(Concrete { tokens, items, diagnostics })
}

fn touches(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start <= b.end && b.start <= a.end
}

/// The tokens with their comments.
fn tokens(text: &str, layout: &Layout) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut comments = layout.comments.iter().peekable();
    let mut lead: Vec<Lead> = Vec::new();
    // Line ends since the last token or comment, and whether there was one since the last token.
    let (mut newlines, mut first) = (0, true);
    let end = [(Kind::Junk, text.len(), text.len())];
    let all = layout.tokens.iter().map(|t| (t.kind, t.start, t.end)).chain(end);
    for (kind, start, stop) in all {
        while let Some(comment) = comments.next_if(|c| c.start <= start) {
            let words = text[comment.start..comment.end].trim_end().to_string();
            match out.last_mut().filter(|_| !first) {
                Some(token) => token.trail.push(words),
                None => lead.push(Lead { text: words, blank: newlines > 1 }),
            }
            newlines = 0;
        }
        match kind {
            Kind::Newline => (newlines, first) = (newlines + 1, true),
            Kind::Semicolon => {}
            _ => {
                out.push(Token {
                    range: start..stop,
                    lead: std::mem::take(&mut lead),
                    trail: Vec::new(),
                    newlines,
                    first,
                });
                (newlines, first) = (0, false);
            }
        }
    }
    // A comma belongs to the word before it, so the comments between them go behind it.
    for at in 1..out.len() {
        if &text[out[at].range.clone()] == "," {
            let moved = std::mem::take(&mut out[at - 1].trail);
            let above = std::mem::take(&mut out[at].lead);
            out[at].trail.splice(0..0, moved);
            if let Some(next) = out.get_mut(at + 1) {
                next.lead.splice(0..0, above);
            }
        }
    }
    out
}

/// The tree of a pair over the tokens `own`.
fn node(pair: &Pair, layout: &Layout, tokens: &[Token], own: Range<usize>) -> Node {
    let mut parts = Vec::new();
    let mut at = own.start;
    for inner in pair.clone().into_inner() {
        let (start, end) = (layout.original(inner.as_span().start()), layout.original(end_of(&inner)));
        let find = |place: usize| own.start + tokens[own.clone()].partition_point(|t| t.range.start < place);
        let (from, to) = (find(start).max(at), find(end));
        if from >= to {
            continue;
        }
        parts.extend((at..from).map(Part::Token));
        parts.push(Part::Node(node(&inner, layout, tokens, from..to)));
        at = to;
    }
    parts.extend((at..own.end).map(Part::Token));
    Node { rule: pair.as_rule(), parts }
}

impl Node {
    /// The first token of it.
    pub fn first(&self) -> Option<usize> {
        self.parts.first().and_then(Part::first)
    }

    /// The parts that are forms of the grammar.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.parts.iter().filter_map(|p| match p {
            Part::Node(node) => Some(node),
            Part::Token(_) => None,
        })
    }
}

impl Part {
    pub fn first(&self) -> Option<usize> {
        match self {
            Part::Token(token) => Some(*token),
            Part::Node(node) => node.first(),
        }
    }
}
