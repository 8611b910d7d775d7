//! `nnc lsp`: the language server on standard input and output.

use super::{Exit, Fault};
use nnc::diag::{Diagnostic, codes};

/// Serve an editor: the Language Server Protocol on standard input and output
#[derive(clap::Args)]
#[command(after_help = "How to set up an editor: docs/editor.md")]
pub struct Args {
    /// Accepted for editors that say it; there is no other way
    #[arg(long, hide = true)]
    stdio: bool,
}

pub fn run(_: &Args) -> Result<Exit, Fault> {
    nnc::lsp::serve().map(|()| Exit::Ok).map_err(|fault| {
        let d = Diagnostic::placeless(codes::USAGE, "the editor's messages cannot be served").note(fault);
        Box::new(d.help("`nnc lsp` is started by an editor")).into()
    })
}
