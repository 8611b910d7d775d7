//! Semantic tokens: what each name is, for colours. What a grammar sees by itself (words, numbers, comments) is left to it.

use super::Analysis;
use super::goto::{Meaning, declared_of, meaning};
use super::names::Kind;
use crate::check::Seen;
use crate::syntax::ast::ItemKind;
use std::ops::Range;

/// The kinds of tokens, by number.
pub const TOKEN_KINDS: &[&str] =
    &["type", "class", "function", "variable", "parameter", "property", "typeParameter", "enumMember", "namespace"];

/// What modifies them, by bit.
pub const TOKEN_MODIFIERS: &[&str] = &["declaration", "readonly", "defaultLibrary", "trainable", "static"];

const CLASS: u32 = 1;
const FUNCTION: u32 = 2;
const VARIABLE: u32 = 3;
const PARAMETER: u32 = 4;
const PROPERTY: u32 = 5;
const DIM: u32 = 6;
const WORD: u32 = 7;
const TASK: u32 = 8;

const DECLARATION: u32 = 1;
const READONLY: u32 = 2;
const LIBRARY: u32 = 4;
const TRAINABLE: u32 = 8;
const STATE: u32 = 16;

/// One coloured range, within a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub range: Range<usize>,
    /// Of [`TOKEN_KINDS`].
    pub kind: u32,
    /// Bits of [`TOKEN_MODIFIERS`].
    pub modifiers: u32,
}

/// The tokens between two offsets, in order, none over another.
pub fn tokens(a: &Analysis, within: Range<usize>) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    for mention in &a.names().mentions {
        let range = mention.span.range();
        if range.end < within.start || range.start > within.end || out.last().is_some_and(|t| t.range.end > range.start)
        {
            continue;
        }
        let (kind, mut modifiers) = match meaning(a, mention) {
            Some(Meaning::Symbol(number)) => of_kind(a.names().symbols[number].kind),
            Some(Meaning::Item(declared)) => match declared.item.kind {
                ItemKind::Layer(_) | ItemKind::Optimizer(_) => (CLASS, LIBRARY),
                ItemKind::Const { .. } => (VARIABLE, LIBRARY | READONLY),
                _ => (FUNCTION, LIBRARY),
            },
            Some(Meaning::Part(..)) => (PROPERTY, LIBRARY),
            Some(Meaning::Builtin(name)) if super::library::WORDS.iter().any(|(w, _)| *w == name) => (WORD, LIBRARY),
            Some(Meaning::Builtin(_)) => (FUNCTION, LIBRARY),
            Some(Meaning::BuiltinArgument(..)) => (PARAMETER, LIBRARY),
            Some(Meaning::Link(seen)) => match declared_of(a, &seen) {
                Some(_) => (PROPERTY, TRAINABLE),
                None if matches!(seen, Seen::Function { .. }) => (FUNCTION, 0),
                None => (PROPERTY, 0),
            },
            None => continue,
        };
        if mention.binds {
            modifiers |= DECLARATION;
        }
        out.push(Token { range, kind, modifiers });
    }
    out
}

fn of_kind(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::Const => (VARIABLE, READONLY),
        Kind::Function => (FUNCTION, 0),
        Kind::Layer | Kind::Model | Kind::Optimizer => (CLASS, 0),
        Kind::Data => (VARIABLE, READONLY),
        Kind::Task => (TASK, 0),
        Kind::Parameter | Kind::Field => (PARAMETER, 0),
        Kind::Hyper => (PARAMETER, READONLY),
        Kind::Member | Kind::Binding => (PROPERTY, 0),
        Kind::Setting => (PROPERTY, LIBRARY),
        Kind::Weight => (PROPERTY, TRAINABLE),
        Kind::State => (PROPERTY, STATE),
        Kind::Dim => (DIM, 0),
        Kind::Local => (VARIABLE, 0),
    }
}
