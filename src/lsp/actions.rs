//! Code actions, for the protocol.

use super::convert;
use super::requests::{Answer, document};
use super::server::{Document, Server};
use crate::ide::{self, Action, Analysis};
use lsp_types::CodeActionParams;
use serde_json::{Value, json};

pub fn actions(server: &Server, p: &CodeActionParams) -> Answer {
    let doc = document(server, &p.text_document.uri)?;
    let analysis = doc.analysis();
    let only: Option<Vec<String>> =
        serde_json::to_value(&p.context.only).ok().and_then(|v| serde_json::from_value(v).ok());
    let wanted = |kind: &str| {
        let below = |o: &String| kind == o || kind.strip_prefix(o.as_str()).is_some_and(|r| r.starts_with('.'));
        only.as_ref().is_none_or(|all| all.is_empty() || all.iter().any(below))
    };
    let within = doc.lines.bytes(&doc.syntax.text, p.range);
    let mut out = Vec::new();
    for action in ide::actions(&analysis, within) {
        let kind = match action.cures {
            Some(_) => "quickfix",
            None if action.title.starts_with("extract") => "refactor.extract",
            None => "refactor.rewrite",
        };
        if !wanted(kind) {
            continue;
        }
        let mut made = json!({ "title": action.title, "kind": kind, "edit": edit(doc, &action) });
        if let Some(number) = action.cures {
            let cured = analysis.facts.diagnostics.get(number);
            let cured = cured.and_then(|d| convert::diagnostic(doc, &analysis, d, &server.settings));
            made["diagnostics"] = json!(cured.into_iter().collect::<Vec<_>>());
            made["isPreferred"] = json!(action.certain);
        }
        out.push(made);
    }
    if wanted("source.fixAll") {
        out.extend(fix_all(doc, &analysis));
    }
    Ok(Value::Array(out))
}

fn edit(doc: &Document, action: &Action) -> Value {
    let edits: Vec<_> = action.edits.iter().map(|(r, text)| convert::edit(doc, r.clone(), text.clone())).collect();
    json!({ "changes": { doc.uri.clone(): edits } })
}

/// Every fix that is safe, where no two touch.
fn fix_all(doc: &Document, analysis: &Analysis) -> Option<Value> {
    let whole = 0..doc.syntax.text.len();
    let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
    let mut edits = Vec::new();
    for action in ide::actions(analysis, whole).into_iter().filter(|a| a.certain && a.cures.is_some()) {
        let apart = |r: &std::ops::Range<usize>| taken.iter().all(|t| r.end < t.start || t.end < r.start);
        if action.edits.iter().all(|(r, _)| apart(r)) {
            taken.extend(action.edits.iter().map(|(r, _)| r.clone()));
            edits.extend(action.edits);
        }
    }
    if edits.is_empty() {
        return None;
    }
    let all = Action { title: "apply every safe fix".into(), edits, cures: None, certain: true };
    Some(json!({ "title": all.title, "kind": "source.fixAll", "edit": edit(doc, &all) }))
}
