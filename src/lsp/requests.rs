//! One function a request: parameters to offsets, a query of `ide`, its answer to the protocol.

use super::server::{Document, Server};
use super::text::Encoding;
use super::{actions, convert, rename, structure};
use crate::ide::{self, CompletionKind};
use lsp_server::{ErrorCode, Request};
use lsp_types::{
    CodeLensParams, CompletionParams, DefinitionParams, DocumentDiagnosticParams, DocumentFormattingParams,
    DocumentHighlightParams, DocumentLinkParams, DocumentSymbolParams, FoldingRangeParams, HoverParams,
    InlayHintParams, ReferenceParams, SelectionRangeParams, SemanticTokensParams, SemanticTokensRangeParams,
    SignatureHelpParams, TextDocumentPositionParams, Uri,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;

/// What a request gives: a result, or the protocol's code and a line.
pub type Answer = Result<Value, (ErrorCode, String)>;

/// What the server says that it can.
pub fn capabilities(encoding: Encoding) -> Value {
    json!({
        "positionEncoding": encoding.name(),
        "textDocumentSync": { "openClose": true, "change": 2, "save": true },
        "diagnosticProvider": { "identifier": "nnc", "interFileDependencies": true, "workspaceDiagnostics": false },
        "hoverProvider": true,
        "completionProvider": {
            "triggerCharacters": [".", ">", "(", ",", ":", "\"", "/", " "],
            "resolveProvider": true,
        },
        "signatureHelpProvider": { "triggerCharacters": ["(", ","], "retriggerCharacters": [":"] },
        "inlayHintProvider": true,
        "definitionProvider": true,
        "referencesProvider": true,
        "documentHighlightProvider": true,
        "renameProvider": { "prepareProvider": true },
        "documentSymbolProvider": true,
        "workspaceSymbolProvider": true,
        "foldingRangeProvider": true,
        "selectionRangeProvider": true,
        "semanticTokensProvider": {
            "legend": { "tokenTypes": ide::TOKEN_KINDS, "tokenModifiers": ide::TOKEN_MODIFIERS },
            "full": true,
            "range": true,
        },
        "codeActionProvider": {
            "codeActionKinds": ["quickfix", "refactor.rewrite", "refactor.extract", "source.fixAll"],
        },
        "codeLensProvider": { "resolveProvider": false },
        "documentFormattingProvider": true,
        "documentLinkProvider": { "resolveProvider": false },
    })
}

/// Whether a request is about what checking finds, so that it waits until the text at hand is checked. The others answer at
/// once from what was known.
pub fn waits(method: &str) -> bool {
    matches!(
        method,
        "textDocument/diagnostic" | "textDocument/inlayHint" | "textDocument/codeLens" | "textDocument/codeAction"
    )
}

fn params<T: DeserializeOwned>(request: &Request) -> Result<T, (ErrorCode, String)> {
    serde_json::from_value(request.params.clone()).map_err(|e| (ErrorCode::InvalidParams, e.to_string()))
}

pub(super) fn document<'s>(server: &'s Server, uri: &Uri) -> Result<&'s Document, (ErrorCode, String)> {
    let unknown = || (ErrorCode::InvalidParams, format!("{} is not open", uri.0));
    server.documents.get(&uri.0).ok_or_else(unknown)
}

/// The document and offset of a request about a position.
pub(super) fn place<'s>(
    server: &'s Server,
    at: &TextDocumentPositionParams,
) -> Result<(&'s Document, usize), (ErrorCode, String)> {
    let doc = document(server, &at.text_document.uri)?;
    Ok((doc, doc.offset(at.position)))
}

/// Answers a request.
pub fn answer(server: &mut Server, request: &Request) -> Answer {
    match request.method.as_str() {
        "textDocument/diagnostic" => {
            let p: DocumentDiagnosticParams = params(request)?;
            let doc = document(server, &p.text_document.uri)?;
            Ok(json!({ "kind": "full", "items": server.diagnostics(doc) }))
        }
        "textDocument/hover" => {
            let p: HoverParams = params(request)?;
            hover(server, &p.text_document_position_params)
        }
        "textDocument/completion" => completion(server, &params(request)?),
        "completionItem/resolve" => Ok(resolved(request.params.clone())),
        "textDocument/signatureHelp" => {
            let p: SignatureHelpParams = params(request)?;
            signature(server, &p.text_document_position_params)
        }
        "textDocument/inlayHint" => inlay_hints(server, &params(request)?),
        "textDocument/definition" => {
            let p: DefinitionParams = params(request)?;
            let (doc, offset) = place(server, &p.text_document_position_params)?;
            let found = ide::definition(&doc.analysis(), offset);
            Ok(json!(found.and_then(|place| convert::location(doc, &place))))
        }
        "textDocument/references" => {
            let p: ReferenceParams = params(request)?;
            let (doc, offset) = place(server, &p.text_document_position_params)?;
            let places = ide::references(&doc.analysis(), offset, p.context.include_declaration);
            let places: Vec<_> = places.iter().filter_map(|place| convert::location(doc, place)).collect();
            Ok(json!(places))
        }
        "textDocument/documentHighlight" => {
            let p: DocumentHighlightParams = params(request)?;
            let (doc, offset) = place(server, &p.text_document_position_params)?;
            let all = ide::highlights(&doc.analysis(), offset).into_iter();
            let range = |r| doc.lines.range(&doc.syntax.text, r);
            let all: Vec<_> =
                all.map(|(r, binds)| json!({ "range": range(r), "kind": if binds { 3 } else { 2 } })).collect();
            Ok(json!(all))
        }
        "textDocument/prepareRename" => {
            let p: TextDocumentPositionParams = params(request)?;
            let (doc, offset) = place(server, &p)?;
            let range = ide::prepare_rename(&doc.analysis(), offset).map_err(refused)?;
            let word = doc.syntax.text.get(range.clone()).unwrap_or("");
            Ok(json!({ "range": doc.lines.range(&doc.syntax.text, range.clone()), "placeholder": word }))
        }
        "textDocument/rename" => rename::rename(server, &params(request)?),
        "textDocument/documentSymbol" => {
            let p: DocumentSymbolParams = params(request)?;
            let doc = document(server, &p.text_document.uri)?;
            Ok(Value::Array(ide::outline(&doc.analysis()).iter().map(|o| structure::symbol(doc, o)).collect()))
        }
        "workspace/symbol" => Ok(structure::workspace_symbols(server, request)),
        "textDocument/foldingRange" => {
            let p: FoldingRangeParams = params(request)?;
            Ok(structure::folds(document(server, &p.text_document.uri)?))
        }
        "textDocument/selectionRange" => {
            let p: SelectionRangeParams = params(request)?;
            let doc = document(server, &p.text_document.uri)?;
            Ok(Value::Array(p.positions.iter().map(|at| structure::selection(doc, doc.offset(*at))).collect()))
        }
        "textDocument/semanticTokens/full" => {
            let p: SemanticTokensParams = params(request)?;
            let doc = document(server, &p.text_document.uri)?;
            Ok(structure::tokens(doc, 0..doc.syntax.text.len()))
        }
        "textDocument/semanticTokens/range" => {
            let p: SemanticTokensRangeParams = params(request)?;
            let doc = document(server, &p.text_document.uri)?;
            Ok(structure::tokens(doc, doc.lines.bytes(&doc.syntax.text, p.range)))
        }
        "textDocument/documentLink" => {
            let p: DocumentLinkParams = params(request)?;
            Ok(structure::links(document(server, &p.text_document.uri)?))
        }
        "textDocument/codeAction" => actions::actions(server, &params(request)?),
        "textDocument/formatting" => {
            let p: DocumentFormattingParams = params(request)?;
            formatting(document(server, &p.text_document.uri)?)
        }
        "textDocument/codeLens" => {
            let p: CodeLensParams = params(request)?;
            Ok(structure::lenses(server, document(server, &p.text_document.uri)?))
        }
        other => Err((ErrorCode::MethodNotFound, format!("`{other}` is not served"))),
    }
}

/// What cannot be done, and why.
pub(super) fn refused(why: String) -> (ErrorCode, String) {
    (ErrorCode::RequestFailed, why)
}

fn hover(server: &Server, at: &TextDocumentPositionParams) -> Answer {
    let (doc, offset) = place(server, at)?;
    server.want_costs(doc);
    let found = ide::hover(&doc.analysis(), offset);
    Ok(json!(found.map(|h| json!({
        "contents": convert::markdown(h.text),
        "range": doc.lines.range(&doc.syntax.text, h.range),
    }))))
}

fn inlay_hints(server: &Server, p: &InlayHintParams) -> Answer {
    let doc = document(server, &p.text_document.uri)?;
    let within = doc.lines.bytes(&doc.syntax.text, p.range);
    let hints = ide::hints(&doc.analysis(), within, server.settings.hints).into_iter().map(|hint| {
        let mut out = json!({
            "position": doc.lines.position(&doc.syntax.text, hint.offset),
            "label": hint.label,
            "kind": 1,
        });
        if let Some(text) = hint.insert {
            out["textEdits"] = json!([convert::edit(doc, hint.offset..hint.offset, text)]);
        }
        out
    });
    Ok(Value::Array(hints.collect()))
}

fn completion(server: &Server, p: &CompletionParams) -> Answer {
    let (doc, offset) = place(server, &p.text_document_position_params)?;
    let folder = doc.path.parent().map(Path::to_path_buf).unwrap_or_default();
    let list = |inner: &str| names_in(&folder.join(inner));
    let found = ide::complete(&doc.analysis(), offset, &list);
    let text = &doc.syntax.text;
    // Behind a blank only what stands at such a place of its own is worth a list that opens by itself.
    let by_blank = p.context.as_ref().is_some_and(|c| c.trigger_character.as_deref() == Some(" "));
    if by_blank
        && !(text[..offset].ends_with("|> ") || text[..offset].ends_with(": ") || text[..offset].ends_with("= "))
    {
        return Ok(json!({ "isIncomplete": false, "items": [] }));
    }
    // Of more than are sent the next letters ask again.
    let cut = found.len() > MOST_PROPOSALS;
    let items: Vec<Value> = found
        .into_iter()
        .take(MOST_PROPOSALS)
        .enumerate()
        .map(|(number, c)| {
            let snippet = c.snippet && server.client.snippets;
            let insert = if c.snippet && !snippet { plain(&c.insert) } else { c.insert };
            let mut item = json!({
                "label": c.label,
                "kind": kind_number(c.kind),
                "sortText": format!("{number:04}"),
                "textEdit": convert::edit(doc, c.range, insert),
            });
            if snippet {
                item["insertTextFormat"] = json!(2);
            }
            if !c.detail.is_empty() {
                item["detail"] = json!(c.detail);
            }
            if !c.docs.is_empty() {
                item["documentation"] = convert::markdown(c.docs);
            }
            item
        })
        .collect();
    Ok(json!({ "isIncomplete": cut, "items": items }))
}

/// More proposals than this nobody reads.
const MOST_PROPOSALS: usize = 200;

/// Names in a folder, sorted, and whether each is a folder.
fn names_in(folder: &Path) -> Vec<(String, bool)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(2000);
    let mut names: Vec<(String, bool)> = entries
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path().is_dir()))
        .filter(|(n, _)| !n.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// A snippet for a client that has none: its text without the marks.
fn plain(snippet: &str) -> String {
    let mut out = String::new();
    let mut rest = snippet;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        match rest.strip_prefix('{') {
            Some(inner) => {
                let inner = inner.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(':');
                let end = inner.find('}').unwrap_or(inner.len());
                out += &inner[..end];
                rest = inner.get(end + 1..).unwrap_or("");
            }
            None => rest = rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        }
    }
    out + rest
}

fn kind_number(kind: CompletionKind) -> u32 {
    match kind {
        CompletionKind::Function | CompletionKind::Operation => 3,
        CompletionKind::Optimizer => 4,
        CompletionKind::Member => 5,
        CompletionKind::Local => 6,
        CompletionKind::Layer => 7,
        CompletionKind::Data | CompletionKind::Task => 9,
        CompletionKind::Setting | CompletionKind::Argument => 10,
        CompletionKind::Size => 12,
        CompletionKind::Keyword => 14,
        CompletionKind::Snippet => 15,
        CompletionKind::File => 17,
        CompletionKind::Folder => 19,
        CompletionKind::Constant => 21,
        CompletionKind::Type => 25,
    }
}

/// A proposal with its whole documentation.
fn resolved(mut item: Value) -> Value {
    let label = item.get("label").and_then(Value::as_str).unwrap_or("").to_string();
    if let Some(docs) = ide::documentation(&label) {
        item["documentation"] = convert::markdown(docs);
    }
    item
}

fn signature(server: &Server, at: &TextDocumentPositionParams) -> Answer {
    let (doc, offset) = place(server, at)?;
    let Some(help) = ide::signature(&doc.analysis(), offset) else { return Ok(Value::Null) };
    let wide = |offset: usize| help.label[..offset].encode_utf16().count();
    let params: Vec<Value> = help.params.iter().map(|p| json!({ "label": [wide(p.start), wide(p.end)] })).collect();
    let mut signature = json!({
        "label": help.label,
        "documentation": convert::markdown(help.docs.clone()),
        "parameters": params,
    });
    let mut out = json!({ "activeSignature": 0 });
    if let Some(active) = help.active {
        signature["activeParameter"] = json!(active);
        out["activeParameter"] = json!(active);
    }
    out["signatures"] = json!([signature]);
    Ok(out)
}

/// What changes from the first character that differs to the last.
fn formatting(doc: &Document) -> Answer {
    let old = &doc.syntax.text;
    let new = crate::fmt::format(old).map_err(|d| refused(d.headline))?.text;
    let edits = ide::Shift::between(old, &new);
    let edits = edits.edits().iter().map(|e| {
        let mut range = e.range.clone();
        let mut len = e.len;
        // Not within a character.
        while !old.is_char_boundary(range.start) || !new.is_char_boundary(range.start) {
            range.start -= 1;
            len += 1;
        }
        while !old.is_char_boundary(range.end) || !new.is_char_boundary(range.start + len) {
            range.end += 1;
            len += 1;
        }
        let text = new.get(range.start..range.start + len).unwrap_or("").to_string();
        convert::edit(doc, range, text)
    });
    Ok(json!(edits.collect::<Vec<_>>()))
}
