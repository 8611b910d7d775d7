//! The file that the editor's study types into.

use nnc::ide::{Kind, Syntax, Target};
use std::path::Path;

/// A file with its items renamed, so that several fit into one.
fn renamed(text: &str, number: usize) -> String {
    let syntax = Syntax::of(text);
    let mut edits = Vec::new();
    for mention in &syntax.names.mentions {
        let Target::Symbol(at) = mention.target else { continue };
        let symbol = &syntax.names.symbols[at];
        if !symbol.kind.is_item() {
            continue;
        }
        let word = &text[mention.span.range()];
        let nameless = symbol.kind == Kind::Task && symbol.span.start == symbol.full.start;
        let new = match nameless && mention.binds {
            true => format!("{word} {word}_{number}"),
            false => format!("{word}_{number}"),
        };
        edits.push((mention.span.range(), new));
    }
    let mut out = text.to_string();
    edits.sort_by_key(|(r, _)| r.start);
    for (range, new) in edits.into_iter().rev() {
        out.replace_range(range, &new);
    }
    out
}

pub fn big(lines: usize) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["models", "examples"] {
        files.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()));
    }
    files.sort();
    files.retain(|p| p.extension().is_some_and(|e| e == "nn") && !p.ends_with("wrong_flatten.nn"));
    let mut out = String::new();
    let mut number = 0;
    while out.lines().count() < lines {
        let text = std::fs::read_to_string(&files[number % files.len()]).unwrap();
        out += &renamed(&text, number);
        out.push('\n');
        number += 1;
    }
    out
}
