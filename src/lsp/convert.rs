//! From what `ide` says to what the protocol says: places, diagnostics, edits.

use super::pages;
use super::server::Document;
use super::settings::Settings;
use super::text::Lines;
use crate::diag::{self, Severity, codes};
use crate::ide::{Analysis, MAIN, Place};
use crate::source::Span;
use lsp_types::{Location, TextEdit, Uri};
use serde_json::{Value, json};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// `file:///a%20b.nn` of a path.
pub fn uri_of(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "/");
    let mut out = String::from(if text.starts_with('/') { "file://" } else { "file:///" });
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => out.push(byte as char),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// The path of a URI; of one that is no file, what stands behind its scheme.
pub fn path_of(uri: &str) -> PathBuf {
    let rest = uri.strip_prefix("file://").or_else(|| uri.split_once(':').map(|(_, r)| r)).unwrap_or(uri);
    let mut bytes = Vec::new();
    let mut left = rest.as_bytes();
    while let Some((&first, behind)) = left.split_first() {
        let hex =
            behind.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                left = &behind[2..];
            }
            _ => {
                bytes.push(first);
                left = behind;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // `/C:/x` of Windows.
    let drive = text.as_bytes().get(2) == Some(&b':') && text.starts_with('/');
    PathBuf::from(if drive { text[1..].to_string() } else { text })
}

/// Where a place is, for the client.
pub fn location(doc: &Document, place: &Place) -> Option<Location> {
    let (uri, text, range) = match place {
        Place::Here(range) => {
            let range = doc.lines.range(&doc.syntax.text, range.clone());
            return Some(Location { uri: Uri(doc.uri.clone()), range });
        }
        Place::Std(module, range) => {
            let text = crate::ide::Library::module(module)?;
            (uri_of(&pages::module(module)?), text.to_string(), range)
        }
        Place::File(path, range) => {
            let sources = &doc.facts.sources;
            let id = sources.ids().find(|id| sources.file(*id).name == *path)?;
            (uri_of(Path::new(path)), sources.file(id).text.to_string(), range)
        }
    };
    let lines = Lines::new(&text, doc.encoding);
    Some(Location { uri: Uri(uri), range: lines.range(&text, range.clone()) })
}

/// A span of the facts, for the client.
fn span_location(doc: &Document, analysis: &Analysis, span: Span) -> Option<Location> {
    if span.file == MAIN {
        return location(doc, &Place::Here(analysis.now(span)?));
    }
    let file = analysis.facts.sources.file(span.file);
    match file.name.strip_prefix("std/").filter(|_| file.builtin) {
        Some(module) => {
            let (module, _) =
                crate::check::LIBRARY_FILES.iter().find(|(n, _)| Some(*n) == module.strip_suffix(".nn"))?;
            location(doc, &Place::Std(module, span.range()))
        }
        None => location(doc, &Place::File(file.name.clone(), span.range())),
    }
}

/// A diagnostic of the document; none if its place was edited away or is in another file.
pub fn diagnostic(doc: &Document, analysis: &Analysis, d: &diag::Diagnostic, settings: &Settings) -> Option<Value> {
    let range: Range<usize> = match d.span() {
        Some(span) if span.file == MAIN => analysis.now(span)?,
        Some(_) => return None,
        None => 0..0,
    };
    let mut message = d.headline.clone();
    let label = d.primary.as_ref().map_or("", |p| p.text.as_str());
    if !label.is_empty() {
        message += &format!("\n{label}");
    }
    for note in &d.notes {
        message += &format!("\n{note}");
    }
    for help in &d.help {
        message += &format!("\nhelp: {help}");
    }
    let labels = d.secondary.iter().map(|l| (l.span, &l.text)).chain(d.trace.iter().map(|f| (f.span, &f.text)));
    let related: Vec<Value> = labels
        .filter_map(|(span, text)| {
            let place = span_location(doc, analysis, span)?;
            Some(json!({ "location": place, "message": if text.is_empty() { "here" } else { text.as_str() } }))
        })
        .collect();
    let page = match settings.error_pages.is_empty() {
        true => pages::code(d.code.id).map(|p| uri_of(&p)),
        false => Some(settings.error_pages.replace("{code}", d.code.id)),
    };
    let mut out = json!({
        "range": doc.lines.range(&doc.syntax.text, range),
        "severity": match d.severity { Severity::Error => 1, Severity::Warning => 2 },
        "code": d.code.id,
        "source": "nnc",
        "message": message,
    });
    if let Some(page) = page {
        out["codeDescription"] = json!({ "href": page });
    }
    if !related.is_empty() {
        out["relatedInformation"] = Value::Array(related);
    }
    // Faded: what nothing uses.
    if d.code == codes::UNUSED_BINDING || d.code == codes::UNUSED {
        out["tags"] = json!([1]);
    }
    Some(out)
}

/// Faults of other files of the program, as one at the top: the client sees them there when it opens the file.
pub fn elsewhere(doc: &Document, analysis: &Analysis) -> Option<Value> {
    let foreign = |d: &&diag::Diagnostic| d.severity == Severity::Error && d.span().is_some_and(|s| s.file != MAIN);
    let first = analysis.facts.diagnostics.iter().find(foreign)?;
    let place = span_location(doc, analysis, first.span()?);
    let file = &analysis.facts.sources.file(first.span()?.file).name;
    let zero = json!({ "line": 0, "character": 0 });
    let mut out = json!({
        "range": { "start": zero, "end": zero },
        "severity": 1,
        "code": first.code.id,
        "source": "nnc",
        "message": format!("in {file}: {}", first.headline),
    });
    if let Some(place) = place {
        out["relatedInformation"] = json!([{ "location": place, "message": first.headline }]);
    }
    Some(out)
}

/// A replacement in the document.
pub fn edit(doc: &Document, range: Range<usize>, new_text: String) -> TextEdit {
    TextEdit { range: doc.lines.range(&doc.syntax.text, range), new_text }
}

/// Markdown.
pub fn markdown(text: impl Into<String>) -> Value {
    json!({ "kind": "markdown", "value": text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_uris_go_there_and_back() {
        for path in ["/a/b c.nn", "/tmp/\u{e9}#?.nn", "/x%20y.nn"] {
            assert_eq!(path_of(&uri_of(Path::new(path))), Path::new(path));
        }
        assert_eq!(uri_of(Path::new("/a b")), "file:///a%20b");
        assert_eq!(path_of("untitled:Untitled-1"), Path::new("Untitled-1"));
        assert_eq!(path_of("file:///C:/x.nn"), Path::new("C:/x.nn"));
        assert_eq!(path_of("file:///a%zz%"), Path::new("/a%zz%"));
    }
}
