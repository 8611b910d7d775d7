//! The shape of documents, for the protocol: symbols, folds, selections, semantic tokens, lenses.

use super::convert::{path_of, uri_of};
use super::pages;
use super::server::{Document, Server};
use super::text::Lines;
use crate::ide::{self, Kind, Linked, Outline, Syntax};
use lsp_server::Request;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::{Path, PathBuf};

fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Task => 2,
        Kind::Layer | Kind::Model | Kind::Optimizer => 5,
        Kind::Member | Kind::Binding | Kind::Setting => 7,
        Kind::Weight | Kind::State | Kind::Field => 8,
        Kind::Function => 12,
        Kind::Local | Kind::Parameter => 13,
        Kind::Const | Kind::Data => 14,
        Kind::Dim | Kind::Hyper => 26,
    }
}

/// An entry of the outline.
pub fn symbol(doc: &Document, outline: &Outline) -> Value {
    let range = |r: &Range<usize>| doc.lines.range(&doc.syntax.text, r.clone());
    let mut out = json!({
        "name": outline.name,
        "kind": number(outline.kind),
        "range": range(&outline.full),
        "selectionRange": range(&outline.name_range),
        "children": outline.children.iter().map(|c| symbol(doc, c)).collect::<Vec<_>>(),
    });
    if !outline.detail.is_empty() {
        out["detail"] = json!(outline.detail);
    }
    out
}

/// Files below a folder that are looked through for symbols, at most.
const MOST_FILES: usize = 500;

/// The `.nn` files below a folder.
fn files_below(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let hidden =
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.') || n == "target" || n == "runs");
        if out.len() >= MOST_FILES || hidden {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                files_below(&path, depth - 1, out);
            }
        } else if path.extension().is_some_and(|e| e == "nn") {
            out.push(path);
        }
    }
}

/// The files that a document names and that are there.
pub fn links(doc: &Document) -> Value {
    let folder = doc.path.parent().map(Path::to_path_buf).unwrap_or_default();
    let all = ide::links(&doc.analysis()).into_iter().filter_map(|(range, to)| {
        let path = match to {
            Linked::Std(module) => pages::module(module)?,
            Linked::File(path) => Some(folder.join(path)).filter(|p| p.is_file())?,
        };
        Some(json!({ "range": doc.lines.range(&doc.syntax.text, range), "target": uri_of(&path) }))
    });
    Value::Array(all.collect())
}

/// What the workspace's files declare whose name holds the letters that are asked for.
pub fn workspace_symbols(server: &Server, request: &Request) -> Value {
    let query = request.params.get("query").and_then(Value::as_str).unwrap_or("").to_lowercase();
    let mut out = Vec::new();
    let mut add = |uri: &str, syntax: &Syntax, lines: &Lines| {
        for symbol in syntax.names.symbols.iter().filter(|s| s.kind.is_item() || s.kind == Kind::Member) {
            if out.len() >= 1000 || !symbol.name.to_lowercase().contains(&query) {
                continue;
            }
            let container = symbol.container.map(|c| syntax.names.symbols[c].name.clone());
            out.push(json!({
                "name": symbol.name,
                "kind": number(symbol.kind),
                "containerName": container,
                "location": { "uri": uri, "range": lines.range(&syntax.text, symbol.span.range()) },
            }));
        }
    };
    for doc in server.documents.values() {
        add(&doc.uri, &doc.syntax, &doc.lines);
    }
    let mut files = Vec::new();
    server.roots.iter().for_each(|root| files_below(root, 6, &mut files));
    for path in files {
        let uri = uri_of(&path);
        if server.documents.keys().any(|u| path_of(u) == path) {
            continue;
        }
        if let Ok(text) = std::fs::read_to_string(&path) {
            let lines = Lines::new(&text, server.encoding);
            add(&uri, &Syntax::of(text), &lines);
        }
    }
    Value::Array(out)
}

pub fn folds(doc: &Document) -> Value {
    let line = |offset| doc.lines.position(&doc.syntax.text, offset).line;
    let all = ide::folds(&doc.syntax).into_iter().map(|fold| {
        let mut out = json!({ "startLine": line(fold.range.start), "endLine": line(fold.range.end) });
        if fold.comment {
            out["kind"] = json!("comment");
        }
        out
    });
    Value::Array(all.collect())
}

/// The ranges around an offset, each inside the next.
pub fn selection(doc: &Document, offset: usize) -> Value {
    let mut out = Value::Null;
    for range in ide::selections(&doc.syntax, offset).into_iter().rev() {
        let range = json!(doc.lines.range(&doc.syntax.text, range));
        out = match out {
            Value::Null => json!({ "range": range }),
            parent => json!({ "range": range, "parent": parent }),
        };
    }
    out
}

/// Five numbers a token: lines and columns since the one before, length, kind, modifiers.
pub fn tokens(doc: &Document, within: Range<usize>) -> Value {
    let mut data: Vec<u32> = Vec::new();
    let (mut line, mut column) = (0, 0);
    for token in ide::tokens(&doc.analysis(), within) {
        let range = doc.lines.range(&doc.syntax.text, token.range);
        if range.start.line != range.end.line || (range.start.line, range.start.character) < (line, column) {
            continue;
        }
        let down = range.start.line - line;
        let right = if down == 0 { range.start.character - column } else { range.start.character };
        data.extend([down, right, range.end.character - range.start.character, token.kind, token.modifiers]);
        (line, column) = (range.start.line, range.start.character);
    }
    json!({ "data": data })
}

/// Lines above models and tasks. A click asks the client to run `nnc` with these words and the file.
pub fn lenses(server: &Server, doc: &Document) -> Value {
    if !server.settings.lenses {
        return json!([]);
    }
    // What tasks cost is worked out once somebody looks.
    server.want_costs(doc);
    let file = doc.path.display().to_string();
    let all = ide::lenses(&doc.analysis()).into_iter().map(|lens| {
        let command = match lens.command {
            Some(words) => json!({ "title": lens.title, "command": "nnc.run", "arguments": [file, words] }),
            None => json!({ "title": lens.title, "command": "" }),
        };
        json!({ "range": doc.lines.range(&doc.syntax.text, lens.range), "command": command })
    });
    Value::Array(all.collect())
}
