//! Tells Zed how to start the language server: `nnc lsp`, found on the path, or as the settings name it under
//! `lsp.nnc.binary.path`.

use zed_extension_api::{self as zed, Command, LanguageServerId, Result, Worktree, settings::LspSettings};

struct Nnc;

impl zed::Extension for Nnc {
    fn new() -> Nnc {
        Nnc
    }

    fn language_server_command(&mut self, _: &LanguageServerId, worktree: &Worktree) -> Result<Command> {
        let set = LspSettings::for_worktree("nnc", worktree).ok().and_then(|s| s.binary);
        let path = set.as_ref().and_then(|b| b.path.clone()).or_else(|| worktree.which("nnc"));
        let command = path.ok_or("`nnc` is not on the path: install it, or set `lsp.nnc.binary.path`")?;
        let args = set.and_then(|b| b.arguments).unwrap_or_else(|| vec!["lsp".into()]);
        Ok(Command { command, args, env: worktree.shell_env() })
    }

    fn language_server_initialization_options(
        &mut self,
        _: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Option<zed::serde_json::Value>> {
        Ok(LspSettings::for_worktree("nnc", worktree).ok().and_then(|s| s.initialization_options))
    }
}

zed::register_extension!(Nnc);
