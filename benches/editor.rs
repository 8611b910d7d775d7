//! How long an editor waits: `nnc lsp` over a pipe with a file of 2,000 lines, made of the repository's own models and
//! examples, into which lines are typed key by key. `cargo bench --bench editor`.

#[path = "../tests/lsp/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "editor/text.rs"]
mod text;

use client::{Client, at};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const URI: &str = "file:///nowhere/big.nn";

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).ceil() as usize].as_secs_f64() * 1e3;
    println!(
        "{what:40} {:5} times   p50 {:7.2} ms   p95 {:7.2} ms   max {:7.2} ms",
        times.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

/// A figure of a process, as Linux tells it.
fn memory(process: u32, what: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap_or("");
    let kilobytes = line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    kilobytes.map_or("unknown".into(), |k| format!("{:.1} MiB", k / 1024.0))
}

fn main() {
    let mut text = text::big(2000);
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
    println!("peak memory after opening {}", memory(client.process(), "VmHWM"));
    let mut version = 1;
    let (mut checks, mut users, mut everything) = (Vec::new(), Vec::new(), Vec::new());
    let (mut hovers, mut idle, mut meanwhile) = (Vec::new(), Vec::new(), Vec::new());
    // In the bodies of layers, functions and steps all over the file a line is typed.
    let places: Vec<usize> = text.match_indices(") {\n    ").map(|(i, m)| i + m.len()).step_by(3).collect();
    let line = "typed_1 = 2 * 3 + relu(4)";
    let mut moved = 0;
    for place in places {
        let mut offset = place + moved;
        let mut sent = Instant::now();
        for (n, key) in line.chars().chain("\n    ".chars()).enumerate() {
            let start = at(&text, offset);
            text.insert(offset, key);
            offset += key.len_utf8();
            moved += key.len_utf8();
            version += 1;
            let change = json!([{ "range": { "start": start, "end": start }, "text": key.to_string() }]);
            let doc = json!({ "uri": URI, "version": version });
            let point = json!({ "textDocument": { "uri": URI }, "position": at(&text, offset) });
            sent = Instant::now();
            client.notify("textDocument/didChange", json!({ "textDocument": doc, "contentChanges": change }));
            if n % 3 == 0 {
                // While the check is under way.
                let asked = Instant::now();
                client.request("textDocument/completion", point.clone());
                meanwhile.push(asked.elapsed());
            }
            client.wait("textDocument/publishDiagnostics", |p| p["version"] == json!(version));
            checks.push(sent.elapsed());
            let asked = Instant::now();
            client.request("textDocument/hover", point.clone());
            hovers.push(asked.elapsed());
        }
        // A pause: first those that name what was typed into are checked, then everything.
        client.wait("textDocument/publishDiagnostics", |p| p["version"] == json!(version));
        users.push(sent.elapsed());
        client.wait("textDocument/publishDiagnostics", |p| p["version"] == json!(version));
        everything.push(sent.elapsed());
        let point = json!({ "textDocument": { "uri": URI }, "position": at(&text, offset) });
        for method in ["textDocument/completion", "textDocument/hover"].repeat(4) {
            let asked = Instant::now();
            client.request(method, point.clone());
            match method {
                "textDocument/hover" => hovers.push(asked.elapsed()),
                _ => idle.push(asked.elapsed()),
            }
        }
        client.inbox.clear();
    }
    show("diagnostics after a keystroke", checks);
    show("with all that name what was changed", users);
    show("with everything, after a pause of 300 ms", everything);
    show("completion", idle);
    show("completion while checking", meanwhile);
    show("hover", hovers);
    println!("peak memory {}", memory(client.process(), "VmHWM"));
    client.end();
}
