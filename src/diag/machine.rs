//! Renderers for programs: JSON lines, SARIF 2.1.0 (OASIS, 2020) and the commands of GitHub's workflows.

use super::render::{human, word};
use super::{Code, Diagnostic, Label, Severity, codes};
use crate::source::{Sources, Span};
use serde_json::{Value, json};

/// The version of the objects of [`json_line`]: it changes when a field goes away or changes its meaning.
const VERSION: u32 = 1;

const SARIF_SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

fn json_span(span: Span, sources: &Sources) -> Value {
    let file = sources.file(span.file);
    let (line, column) = file.line_col(span.start as usize);
    let (end_line, end_column) = file.line_col(span.end as usize);
    json!({ "file": file.name, "byte_start": span.start, "byte_end": span.end,
            "line": line, "column": column, "end_line": end_line, "end_column": end_column })
}

/// One diagnostic as a JSON object on one line, as `docs/diagnostic.schema.json` describes it.
pub(super) fn json_line(d: &Diagnostic, sources: &Sources) -> String {
    let label = |l: &Label| json!({ "span": json_span(l.span, sources), "text": l.text });
    let fixes: Vec<_> = d
        .fixes
        .iter()
        .map(|f| {
            let edits: Vec<_> =
                f.edits.iter().map(|(s, t)| json!({ "span": json_span(*s, sources), "text": t })).collect();
            json!({ "title": f.title, "certain": f.certain, "edits": edits })
        })
        .collect();
    let trace: Vec<_> = d.trace.iter().map(|f| json!({ "span": json_span(f.span, sources), "text": f.text })).collect();
    let object = json!({
        "version": VERSION,
        "code": d.code.id, "name": d.code.name, "severity": word(d.severity), "headline": d.headline,
        "primary": d.primary.as_ref().map(label),
        "secondary": d.secondary.iter().map(label).collect::<Vec<_>>(),
        "notes": d.notes, "help": d.help, "fixes": fixes, "trace": trace,
        "rendered": human(d, sources, false),
    });
    object.to_string() + "\n"
}

/// A path as SARIF wants it: a relative reference, parts between `/`.
fn uri(name: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'~');
    let name = name.replace('\\', "/");
    name.bytes().map(|b| if keep(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

fn sarif_region(span: Span, sources: &Sources) -> Value {
    let (line, column) = sources.file(span.file).line_col(span.start as usize);
    let (end_line, end_column) = sources.file(span.file).line_col(span.end as usize);
    json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column })
}

fn sarif_location(label: &Label, sources: &Sources, number: Option<usize>) -> Value {
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(&sources.file(label.span.file).name) },
        "region": sarif_region(label.span, sources),
    } });
    if let Some(number) = number {
        location["id"] = json!(number);
        location["message"] = json!({ "text": label.text });
    }
    location
}

/// One diagnostic as a result of a SARIF run.
pub fn sarif_result(d: &Diagnostic, sources: &Sources) -> Value {
    let rule = codes::ALL.iter().position(|c| *c == d.code);
    let text: Vec<String> = std::iter::once(d.headline.clone())
        .chain(d.notes.iter().cloned())
        .chain(d.help.iter().map(|h| format!("help: {h}")))
        .collect();
    let mut result = json!({
        "ruleId": d.code.id,
        "level": word(d.severity),
        "message": { "text": text.join("\n") },
        "locations": d.primary.iter().map(|p| sarif_location(p, sources, None)).collect::<Vec<_>>(),
    });
    if let Some(rule) = rule {
        result["ruleIndex"] = json!(rule);
    }
    if !d.secondary.is_empty() {
        let related = d.secondary.iter().enumerate().map(|(i, l)| sarif_location(l, sources, Some(i)));
        result["relatedLocations"] = related.collect();
    }
    let fixes: Vec<Value> = d.fixes.iter().filter(|f| f.certain).map(|f| sarif_fix(f, sources)).collect();
    if !fixes.is_empty() {
        result["fixes"] = json!(fixes);
    }
    result
}

fn sarif_fix(fix: &super::Fix, sources: &Sources) -> Value {
    // All edits of a fix are of one file.
    let file = fix.edits.first().map_or(String::new(), |(s, _)| uri(&sources.file(s.file).name));
    let replacements: Vec<Value> = fix
        .edits
        .iter()
        .map(|(s, t)| json!({ "deletedRegion": sarif_region(*s, sources), "insertedContent": { "text": t } }))
        .collect();
    json!({ "description": { "text": fix.title },
            "artifactChanges": [{ "artifactLocation": { "uri": file }, "replacements": replacements }] })
}

fn sarif_rule(code: &Code) -> Value {
    let level = if code.id.starts_with('W') { "warning" } else { "error" };
    json!({ "id": code.id, "name": code.name,
            "help": { "text": code.page, "markdown": code.page },
            "defaultConfiguration": { "level": level } })
}

/// The SARIF document of these results.
pub fn sarif(results: Vec<Value>) -> String {
    let rules: Vec<Value> = codes::ALL.iter().map(|c| sarif_rule(c)).collect();
    let document = json!({
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "nnc", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    document.to_string() + "\n"
}

/// `::error file=net.nn,line=8,…::headline`
pub(super) fn github(d: &Diagnostic, sources: &Sources) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let level = match d.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = d.span().map_or(String::new(), |span| {
        let file = sources.file(span.file);
        let (line, column) = file.line_col(span.start as usize);
        let (end_line, end_column) = file.line_col(span.end as usize);
        let name = property(&file.name);
        // Columns mean something on one line only.
        let columns = if line == end_line { format!(",col={column},endColumn={end_column}") } else { String::new() };
        format!("file={name},line={line},endLine={end_line}{columns},")
    });
    let text: Vec<String> =
        std::iter::once(d.headline.clone()).chain(d.help.iter().map(|h| format!("help: {h}"))).collect();
    format!("::{level} {place}title={}::{}\n", property(d.code.id), data(&text.join("\n")))
}
