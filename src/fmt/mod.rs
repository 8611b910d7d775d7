//! The formatter: one style for every `.nn` file.
//!
//! In: a text. Out: the same program, comments and all, laid out anew. Items that cannot be read stay as they are. Formatting
//! twice changes no more than formatting once.
//!
//! The printer goes over the grammar's own tree of tokens (`syntax::concrete`), so nothing that was written can get lost: it
//! decides about blanks and line ends only. `tree` says how each form is laid out, `block` what stands below each other in
//! braces, `doc` where lines end.

mod block;
mod doc;
mod tree;

use crate::diag::{Diagnostic, codes};
use crate::source::FileId;
use crate::syntax;
use tree::Printer;

/// A text in the one style.
#[derive(Clone, Debug)]
pub struct Formatted {
    pub text: String,
    /// Why some items were left as they were.
    pub unread: Vec<Diagnostic>,
}

/// Lays a text out.
///
/// # Errors
/// A mistake in nnc: the new text would mean something else. It is never handed out.
pub fn format(text: &str) -> Result<Formatted, Box<Diagnostic>> {
    let formatted = layout(text)?;
    if meaning(text) == meaning(&formatted.text) {
        return Ok(formatted);
    }
    // How a broken item is read may depend on what stands around it: then nothing is touched.
    if !formatted.unread.is_empty() {
        return Ok(Formatted { text: text.to_string(), ..formatted });
    }
    Err(mistake("formatting would change what this file means"))
}

fn mistake(headline: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::placeless(codes::INTERNAL, headline).help("the file was left as it is; please report it"))
}

/// What no layout may change: the tree, and the comments.
fn meaning(text: &str) -> (String, Vec<String>) {
    let (file, _) = syntax::parse(text, FileId(0));
    let comment = |s: &crate::source::Span| text[s.range()].trim_end().to_string();
    let mut comments: Vec<String> = file.comments.iter().map(comment).collect();
    comments.sort();
    (syntax::dump(&file), comments)
}

/// [`format`] without the proof.
fn layout(text: &str) -> Result<Formatted, Box<Diagnostic>> {
    let Some(concrete) = syntax::concrete::concrete(text) else {
        return Err(mistake("the grammar does not read this file"));
    };
    let mut printer = Printer { text, tokens: concrete.tokens };
    let doc = printer.file(&concrete.items);
    Ok(Formatted { text: doc::print(&doc), unread: concrete.diagnostics })
}

#[cfg(test)]
mod tests;
