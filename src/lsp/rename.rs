//! Rename, for the protocol: with an annotation that asks where names in checkpoints change, or a message for clients that
//! have none.

use super::convert;
use super::requests::{Answer, place, refused};
use super::server::Server;
use crate::ide;
use lsp_types::RenameParams;
use serde_json::{Value, json};

pub fn rename(server: &Server, p: &RenameParams) -> Answer {
    let (doc, offset) = place(server, &p.text_document_position_params)?;
    let renamed = ide::rename(&doc.analysis(), offset, &p.new_name).map_err(refused)?;
    let edits: Vec<Value> = renamed.edits.into_iter().map(|(r, text)| json!(convert::edit(doc, r, text))).collect();
    match renamed.warning {
        Some(warning) if server.client.annotations => {
            let with = |mut e: Value| {
                e["annotationId"] = json!("checkpoint");
                e
            };
            let edits: Vec<Value> = edits.into_iter().map(with).collect();
            Ok(json!({
                "documentChanges": [{ "textDocument": { "uri": doc.uri, "version": doc.version }, "edits": edits }],
                "changeAnnotations": {
                    "checkpoint": { "label": "changes names in checkpoints", "needsConfirmation": true, "description": warning }
                },
            }))
        }
        warning => {
            if let Some(warning) = warning {
                server.notify("window/showMessage", json!({ "type": 2, "message": warning }));
            }
            Ok(json!({ "changes": { doc.uri.clone(): edits } }))
        }
    }
}
