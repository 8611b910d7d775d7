//! How long an editor waits: `nnc lsp` over a pipe with a file of 2,000 lines, made of the repository's own models and
//! examples, into which lines are typed key by key. `cargo bench --bench editor`.

#[path = "../tests/lsp/client.rs"]
#[allow(dead_code)]
mod client;

use client::{Client, at};
use nnc::ide::{Kind, Syntax, Target};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const URI: &str = "file:///nowhere/big.nn";

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

fn big(lines: usize) -> String {
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

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what:32} {:4} times   median {:7.2} ms   p95 {:7.2} ms   most {:7.2} ms",
        times.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

fn memory(process: u32, what: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap_or("").to_string();
    line.trim_start_matches(what).trim_start_matches(':').trim().to_string()
}

fn main() {
    let mut text = big(2000);
    let (mut client, _) = Client::start(json!({}), Value::Null);
    let started = Instant::now();
    client.open(URI, &text);
    let said = client.wait("textDocument/publishDiagnostics", |_| true);
    let errors = said["diagnostics"].as_array().unwrap().iter().filter(|d| d["severity"] == json!(1)).count();
    println!(
        "{} lines, {errors} errors; first check {:.0} ms",
        text.lines().count(),
        started.elapsed().as_secs_f64() * 1e3
    );
    let mut version = 1;
    let (mut checks, mut hovers, mut completions) = (Vec::new(), Vec::new(), Vec::new());
    // In the body of every tenth layer or function a line is typed.
    let places: Vec<usize> = text.match_indices(") {\n    ").map(|(i, m)| i + m.len()).step_by(6).collect();
    let line = "typed_1 = 2 * 3 + relu(4)";
    let mut moved = 0;
    for place in places {
        let mut offset = place + moved;
        for (n, key) in line.chars().chain("\n    ".chars()).enumerate() {
            let start = at(&text, offset);
            text.insert(offset, key);
            offset += key.len_utf8();
            moved += key.len_utf8();
            version += 1;
            let change = json!([{ "range": { "start": start, "end": start }, "text": key.to_string() }]);
            let doc = json!({ "uri": URI, "version": version });
            let sent = Instant::now();
            client.notify("textDocument/didChange", json!({ "textDocument": doc, "contentChanges": change }));
            let point = json!({ "textDocument": { "uri": URI }, "position": at(&text, offset) });
            if n % 3 == 0 {
                // While the check is under way.
                let asked = Instant::now();
                client.request("textDocument/completion", point.clone());
                completions.push(asked.elapsed());
            }
            client.wait("textDocument/publishDiagnostics", |p| p["version"] == json!(version));
            checks.push(sent.elapsed());
            let asked = Instant::now();
            client.request("textDocument/hover", point);
            hovers.push(asked.elapsed());
            client.inbox.clear();
        }
    }
    show("diagnostics after a keystroke", checks);
    show("hover", hovers);
    show("completion while checking", completions);
    println!("memory {}, at most {}", memory(client.process(), "VmRSS"), memory(client.process(), "VmHWM"));
    client.end();
}
