//! Random edits and requests against the files of the repository: the server never dies, never answers with a bug, keeps the
//! same text as its client, and every position that it names lies in that text. `NNC_LSP_EDITS=10000` for a long study.

use crate::client::{Client, at};
use serde_json::{Value, json};
use std::path::Path;

/// A generator of numbers: the same ones each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

const PIECES: &[&str] = &[
    "x",
    " |> ",
    "(",
    ")",
    "{",
    "}",
    "[B, ",
    "]",
    "\n",
    " = ",
    ": ",
    "Linear(4)",
    "relu",
    "// \u{1f600}\n",
    "\u{e9}",
    "\"",
    ".",
    "..",
    "f32[",
    "net",
    "forward(",
    "seq {",
    "repeat 3 {",
    "train {",
    "1e",
    "9",
    ",",
    "/",
    "\u{1f600}",
    "\r\n",
    "$0",
    "if ",
    "scan x in y ",
    "use std.",
    "layer A() {\n",
    "\t",
];

fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["models", "examples"] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let files = files.into_iter().filter(|p| p.extension().is_some_and(|e| e == "nn"));
        texts.extend(files.map(|p| std::fs::read_to_string(p).unwrap()));
    }
    texts
}

/// A character boundary of a text.
fn boundary(text: &str, random: &mut Random) -> usize {
    let mut offset = random.below(text.len() + 1);
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A position in the units of the session.
fn place(text: &str, offset: usize, utf8: bool) -> Value {
    if !utf8 {
        return at(text, offset);
    }
    let before = &text[..offset];
    let line = before.rfind('\n').map_or(before, |i| &before[i + 1..]);
    json!({ "line": before.matches('\n').count(), "character": line.len() })
}

/// Every range of an answer lies in the text, in order, on boundaries of characters.
fn check_ranges(value: &Value, text: &str, utf8: bool, what: &str) {
    match value {
        Value::Object(map) => {
            let foreign = map.get("uri").or(map.get("targetUri")).is_some_and(|u| *u != json!(URI));
            if foreign {
                return;
            }
            if let (Some(start), Some(end)) = (map.get("start"), map.get("end"))
                && start.get("line").is_some()
            {
                let ends: Vec<(u64, u64)> = [start, end]
                    .iter()
                    .map(|p| {
                        check_position(p, text, utf8, what);
                        (p["line"].as_u64().unwrap(), p["character"].as_u64().unwrap())
                    })
                    .collect();
                assert!(ends[0] <= ends[1], "{what}: {value}");
            }
            map.values().for_each(|v| check_ranges(v, text, utf8, what));
        }
        Value::Array(items) => items.iter().for_each(|v| check_ranges(v, text, utf8, what)),
        _ => {}
    }
}

fn check_position(p: &Value, text: &str, utf8: bool, what: &str) {
    let line = p["line"].as_u64().unwrap() as usize;
    let column = p["character"].as_u64().unwrap() as usize;
    let content = text.split('\n').nth(line).unwrap_or_else(|| panic!("{what}: no line {line}"));
    let on_boundary = if utf8 {
        content.is_char_boundary(column)
    } else {
        let mut units = 0;
        content.chars().any(|c| {
            let here = units == column;
            units += c.len_utf16();
            here
        }) || units == column
    };
    assert!(on_boundary, "{what}: column {column} of {content:?}");
}

const URI: &str = "file:///nowhere/stress.nn";

fn session(utf8: bool, edits: usize, seed: u64) {
    let capabilities = match utf8 {
        true => json!({ "general": { "positionEncodings": ["utf-8"] } }),
        false => json!({}),
    };
    let (mut client, _) = Client::start(capabilities, Value::Null);
    let corpus = corpus();
    let mut random = Random(seed);
    let mut text = String::new();
    let mut version = 0;
    for number in 0..edits {
        // A new file now and then, so that texts do not all end as rubble.
        if number % 40 == 0 {
            text = corpus[random.below(corpus.len())].clone();
            version += 1;
            if number == 0 {
                client.open(URI, &text);
                version = 1;
            } else {
                let change = json!([{ "text": text }]);
                let doc = json!({ "uri": URI, "version": version });
                client.notify("textDocument/didChange", json!({ "textDocument": doc, "contentChanges": change }));
            }
        }
        let start = boundary(&text, &mut random);
        let mut end = start;
        if random.below(3) == 0 {
            end = (start + random.below(12)).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
        }
        let piece = if random.below(4) == 0 { "" } else { PIECES[random.below(PIECES.len())] };
        // Between the two characters of a line break there is no position.
        let splits = |at: usize| text[..at].ends_with('\r') && text[at..].starts_with('\n');
        if splits(start) || splits(end) {
            continue;
        }
        let range = json!({ "start": place(&text, start, utf8), "end": place(&text, end, utf8) });
        text.replace_range(start..end, piece);
        version += 1;
        let change = json!([{ "range": range, "text": piece }]);
        let doc = json!({ "uri": URI, "version": version });
        client.notify("textDocument/didChange", json!({ "textDocument": doc, "contentChanges": change }));
        let offset = if random.below(2) == 0 { start + piece.len() } else { boundary(&text, &mut random) };
        let position = place(&text, offset, utf8);
        let whole = json!({ "start": { "line": 0, "character": 0 }, "end": place(&text, text.len(), utf8) });
        let point = json!({ "textDocument": { "uri": URI }, "position": position });
        let (method, params) = match random.below(20) {
            0..=2 => ("textDocument/completion", point),
            3 | 4 => ("textDocument/hover", point),
            5 => ("textDocument/signatureHelp", point),
            6 => ("textDocument/definition", point),
            7 => {
                let mut params = point;
                params["context"] = json!({ "includeDeclaration": true });
                ("textDocument/references", params)
            }
            8 => ("textDocument/documentHighlight", point),
            9 => {
                let mut params = point;
                params["newName"] = json!("renamed_1");
                ("textDocument/rename", params)
            }
            10 => ("textDocument/documentSymbol", json!({ "textDocument": { "uri": URI } })),
            11 => ("textDocument/foldingRange", json!({ "textDocument": { "uri": URI } })),
            12 => ("textDocument/selectionRange", json!({ "textDocument": { "uri": URI }, "positions": [position] })),
            13 => ("textDocument/semanticTokens/full", json!({ "textDocument": { "uri": URI } })),
            14 => ("textDocument/inlayHint", json!({ "textDocument": { "uri": URI }, "range": whole })),
            15 => {
                let range = json!({ "start": position, "end": position });
                let params =
                    json!({ "textDocument": { "uri": URI }, "range": range, "context": { "diagnostics": [] } });
                ("textDocument/codeAction", params)
            }
            17 => {
                let options = json!({ "tabSize": 2, "insertSpaces": true });
                ("textDocument/formatting", json!({ "textDocument": { "uri": URI }, "options": options }))
            }
            18 => ("textDocument/documentLink", json!({ "textDocument": { "uri": URI } })),
            16 => ("textDocument/codeLens", json!({ "textDocument": { "uri": URI } })),
            _ => ("textDocument/diagnostic", json!({ "textDocument": { "uri": URI } })),
        };
        let got = client.request(method, params);
        let what = format!("{method} after edit {number} with seed {seed}");
        if let Some(error) = got.get("error") {
            // Only a refusal is allowed.
            assert_eq!(error["code"], json!(-32803), "{what}: {error}");
        }
        check_ranges(&got, &text, utf8, &what);
        client.inbox.clear();
    }
    assert!(client.end());
}

#[test]
fn nothing_that_is_typed_breaks_the_server() {
    let edits = std::env::var("NNC_LSP_EDITS").ok().and_then(|n| n.parse().ok()).unwrap_or(240);
    std::thread::scope(|scope| {
        scope.spawn(|| session(true, edits / 2, 1));
        scope.spawn(|| session(false, edits / 2, 2));
    });
}
