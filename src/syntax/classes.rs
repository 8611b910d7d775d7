//! What each word of a text is to the grammar: what the grammars of editors are held to.
//!
//! In: a text. Out: its tokens and comments in order, each with its class. Of items that cannot be read nothing is said.

use super::concrete::{Node, Part, concrete};
use super::grammar::{Grammar, Rule};
use super::layout::layout;
use crate::source::FileId;
use pest::Parser;
use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A word of the language where it stands; many of them are names elsewhere.
    Keyword,
    /// `f32` and its like.
    Dtype,
    Name,
    Number,
    /// What stands behind a number: `30 epochs`.
    Unit,
    Text,
    Operator,
    /// Brackets, commas, colons, dots.
    Punctuation,
    Comment,
}

/// The tokens of all items that can be read, and all comments.
pub fn classes(text: &str) -> Vec<(Range<usize>, Class)> {
    let Some(read) = concrete(text) else { return Vec::new() };
    let comments = layout(text, FileId(0), 0).comments;
    let mut out: Vec<_> = comments.iter().map(|c| (c.start..c.end, Class::Comment)).collect();
    for tree in read.items.iter().filter_map(|i| i.tree.as_ref()) {
        walk(tree, &mut |rule, token| {
            let range = read.tokens[token].range.clone();
            let class = class(rule, &text[range.clone()]);
            out.push((range, class));
        });
    }
    out.sort_by_key(|(range, _)| range.start);
    out
}

fn walk(node: &Node, visit: &mut impl FnMut(Rule, usize)) {
    for part in &node.parts {
        match part {
            Part::Node(inner) => walk(inner, visit),
            Part::Token(token) => visit(node.rule, *token),
        }
    }
}

/// The class of a token that belongs to a form of the grammar.
fn class(rule: Rule, text: &str) -> Class {
    match (rule, text.as_bytes().first()) {
        (_, Some(b'"')) => Class::Text,
        (_, Some(b'0'..=b'9')) => Class::Number,
        (Rule::unit, _) => Class::Unit,
        (Rule::ident | Rule::dtype, _) if Grammar::parse(Rule::dtype, text).is_ok() => Class::Dtype,
        (Rule::ident, _) => Class::Name,
        // All other words of the grammar are its own.
        (_, Some(b'a'..=b'z' | b'A'..=b'Z' | b'_')) => Class::Keyword,
        (_, Some(b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b':' | b';')) => Class::Punctuation,
        _ if text == "." => Class::Punctuation,
        _ => Class::Operator,
    }
}
