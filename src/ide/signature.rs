//! Signature help: what the call around a cursor takes, and which argument is being written.

use super::cursor::{Call, cursor};
use super::goto::{Declared, callee_at};
use super::{Analysis, MAIN, library};
use crate::source::Span;
use std::ops::Range;

/// The call around a cursor.
#[derive(Clone, Debug, PartialEq)]
pub struct SignatureHelp {
    /// `Linear(out: int, in: int = none)`
    pub label: String,
    /// Where each parameter stands in the label, in bytes.
    pub params: Vec<Range<usize>>,
    /// Which of them is being written.
    pub active: Option<usize>,
    /// Markdown.
    pub docs: String,
}

/// What is called: its parameters as text with their names, its result, its documentation.
pub(super) struct Callee {
    pub name: String,
    pub params: Vec<(String, String)>,
    pub result: String,
    pub docs: String,
}

/// What the call around an offset takes.
pub fn signature(a: &Analysis, offset: usize) -> Option<SignatureHelp> {
    let found = cursor(a.text(), offset);
    if found.comment {
        return None;
    }
    let call = found.calls.iter().find(|c| c.declares.is_none())?;
    let callee = callee(a, call)?;
    let mut label = format!("{}(", callee.name);
    let mut params = Vec::new();
    for (i, (_, text)) in callee.params.iter().enumerate() {
        if i > 0 {
            label += ", ";
        }
        params.push(label.len()..label.len() + text.len());
        label += text;
    }
    label.push(')');
    label += &callee.result;
    let active = match &call.name {
        Some(name) => callee.params.iter().position(|(n, _)| n == name),
        None => Some(call.position + usize::from(call.piped)).filter(|i| *i < params.len()),
    };
    Some(SignatureHelp { label, params, active, docs: callee.docs })
}

/// What a call calls.
pub(super) fn callee(a: &Analysis, call: &Call) -> Option<Callee> {
    let span = Span::new(MAIN, call.callee.start, call.callee.end);
    let declared = callee_at(a, span).or_else(|| {
        // Half-typed: no tree has it, but its name says what it is.
        let word = a.text().get(call.callee.clone())?;
        named(a, word, call.callee.start)
    });
    if let Some(declared) = declared {
        return Some(of_declared(a, &declared));
    }
    let word = a.text().get(call.callee.clone())?;
    builtin(word)
}

/// The item that a name leads to, where it can be seen.
fn named<'a>(a: &'a Analysis, word: &str, offset: usize) -> Option<Declared<'a>> {
    let names = a.names();
    let symbol = names.visible(offset).filter(|n| names.symbols[*n].name == word).last();
    match symbol {
        Some(number) => callee_at(a, names.symbols[number].span),
        None => {
            let item = library::get().item(word)?;
            Some(item.declared())
        }
    }
}

pub(super) fn of_declared(a: &Analysis, declared: &Declared) -> Callee {
    let params = declared.params().iter();
    let params = params.map(|p| (p.name.name.clone(), declared.text(a, p.span).to_string())).collect();
    let result = match &declared.item.kind {
        crate::syntax::ast::ItemKind::Fn(d) => d.result.as_ref(),
        crate::syntax::ast::ItemKind::Layer(d) if declared.made => d.forward.as_ref().and_then(|f| f.result.as_ref()),
        _ => None,
    };
    let result = result.map_or(String::new(), |t| format!(" -> {}", declared.text(a, t.span)));
    Callee { name: declared.name().to_string(), params, result, docs: declared.item.docs.trim().to_string() }
}

/// An operation, a function of the checker, or a data source.
pub(super) fn builtin(word: &str) -> Option<Callee> {
    let entry = library::get().entry(word)?;
    let inner = entry.signature.strip_prefix(word)?.strip_prefix('(')?;
    let end = inner.rfind(')')?;
    let mut params = Vec::new();
    let (mut depth, mut from) = (0i32, 0);
    let inner = &inner[..end];
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 || i == inner.len() => {
                let text = inner.get(from..i).unwrap_or("").trim();
                if !text.is_empty() {
                    let name = text.split([':', ' ', '=']).next().unwrap_or(text);
                    params.push((name.to_string(), text.to_string()));
                }
                from = i + 1;
            }
            _ => {}
        }
    }
    Some(Callee { name: word.to_string(), params, result: String::new(), docs: entry.docs.trim_end().to_string() })
}
