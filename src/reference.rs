//! Everything that a program can name without declaring it: the standard library, the operations, the functions that the
//! checker evaluates, the data sources. For `nnc doc`, and for `docs/reference.md`, which is made from this.

use crate::check::{LIBRARY_FILES, Library, SPECIALS};
use crate::data;
use crate::ops::{self, ArgDefault, ArgKind, Surface};
use crate::source::Sources;
use std::collections::BTreeMap;

/// One name.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    /// `std.layers`, `operations`, `built in`, `data sources`.
    pub group: String,
    /// As it is declared, without its body.
    pub signature: String,
    /// Markdown.
    pub docs: String,
    /// The whole definition, if it is written in the language.
    pub source: Option<String>,
}

/// All names, by group, then by name.
pub fn entries() -> Vec<Entry> {
    let mut all = library();
    for def in ops::TABLE.iter() {
        for surface in def.surfaces {
            all.push(Entry {
                name: surface.name.to_string(),
                group: "operations".to_string(),
                signature: operation(surface),
                docs: def.doc.trim_end().to_string(),
                source: None,
            });
        }
    }
    for special in SPECIALS {
        all.push(Entry {
            name: special.name.to_string(),
            group: "built in".to_string(),
            signature: special.signature(),
            docs: special.doc.to_string(),
            source: None,
        });
    }
    for source in data::sources() {
        let mut docs = format!("{}\n\nFields: {}", source.doc.trim_end(), source.fields);
        for p in source.parameters {
            let default = p.default.map_or(String::new(), |d| format!(" = {d}"));
            docs += &format!("\n- `{}: {}{default}`: {}", p.name, p.kind.name(), p.doc);
        }
        all.push(Entry {
            name: source.name.to_string(),
            group: "data sources".to_string(),
            signature: source.example.to_string(),
            docs,
            source: None,
        });
    }
    all
}

fn library() -> Vec<Entry> {
    let (mut library, mut sources) = (Library::default(), Sources::default());
    let names: Vec<&str> = library.names().collect();
    let mut modules: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    for name in names {
        let (Some(module), Some(item)) = (library.module_of(name), library.item(name, &mut sources)) else { continue };
        let text = sources.text(item.span);
        modules.entry(module).or_default().push(Entry {
            name: name.to_string(),
            group: format!("std.{module}"),
            signature: signature(text),
            docs: item.docs.trim_end().to_string(),
            source: Some(text.to_string()),
        });
    }
    LIBRARY_FILES.iter().filter_map(|(module, _)| modules.remove(module)).flatten().collect()
}

/// The page `docs/reference.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Reference\n\nEvery name that a program can use without declaring it. Made by `nnc doc --markdown`; a test compares the two.\n",
    );
    let mut group = String::new();
    for entry in entries() {
        if entry.group != group {
            group = entry.group.clone();
            out += &format!("\n## {group}\n");
        }
        let form = entry.signature.trim_end();
        out += &format!("\n### `{}`\n\n```text\n{form}\n```\n\n{}\n", entry.name, entry.docs.trim_end());
    }
    out
}

/// A definition up to its body; of a layer, its `forward` too.
fn signature(text: &str) -> String {
    let head = |text: &str| {
        let mut depth = 0i32;
        let end = text.char_indices().find(|(_, c)| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                _ => {}
            }
            depth == 0 && *c == '{'
        });
        text[..end.map_or(text.len(), |(i, _)| i)].trim_end().to_string()
    };
    let first = head(text);
    let forward = text.lines().position(|l| l.trim_start().starts_with("forward("));
    match forward {
        Some(at) => {
            let rest: Vec<&str> = text.lines().skip(at).collect();
            format!("{first}\n  {}", head(rest.join("\n").trim_start()))
        }
        None => first,
    }
}

/// An operation's name with its parameters.
fn operation(surface: &Surface) -> String {
    let params: Vec<String> = surface
        .params
        .iter()
        .map(|p| {
            let kind = match p.kind {
                ArgKind::Tensor => "tensor".to_string(),
                ArgKind::Tensors => "[tensor]".to_string(),
                ArgKind::Int => "int".to_string(),
                ArgKind::Ints => "int | [int]".to_string(),
                ArgKind::Shape => "[int]".to_string(),
                ArgKind::Float => "float".to_string(),
                ArgKind::Bool => "bool".to_string(),
                ArgKind::DType => "dtype".to_string(),
                ArgKind::Words(words) => words.join(" | ") + " | int | [int]",
            };
            let default = match p.default {
                ArgDefault::Required => String::new(),
                ArgDefault::None => " = none".to_string(),
                ArgDefault::Int(n) => format!(" = {n}"),
                ArgDefault::Float(v) => format!(" = {v:?}"),
                ArgDefault::Bool(b) => format!(" = {b}"),
            };
            format!("{}: {kind}{default}", p.name)
        })
        .collect();
    format!("{}({})", surface.name, params.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_documented() {
        for entry in entries() {
            assert!(entry.docs.len() > 3, "{}", entry.name);
            assert!(entry.signature.contains(&entry.name) || entry.group == "data sources", "{}", entry.name);
        }
    }

    #[test]
    fn a_signature_ends_at_the_body() {
        assert_eq!(
            signature("fn f(x: f32[..], g: fn = h({1})) -> f32[..] { x }"),
            "fn f(x: f32[..], g: fn = h({1})) -> f32[..]"
        );
        assert_eq!(
            signature("layer L(a: int) {\n  forward(x: f32[B]) { x }\n}"),
            "layer L(a: int)\n  forward(x: f32[B])"
        );
    }
}
