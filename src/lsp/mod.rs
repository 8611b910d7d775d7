//! The language server, `nnc lsp`: the protocol around [`crate::ide`]. One loop reads messages and answers from what is
//! known; a thread checks texts behind it (`worker`). The client's positions are turned into offsets and back at its edge
//! (`text`), and nowhere else.

mod actions;
mod convert;
mod host;
mod pages;
mod rename;
mod requests;
mod server;
mod settings;
mod structure;
mod text;
mod worker;

use lsp_server::Connection;

/// Serves a client on standard input and output until it says that it is done.
///
/// # Errors
/// The client does not keep to the protocol, or its pipe broke.
pub fn serve() -> Result<(), String> {
    let (connection, threads) = Connection::stdio();
    run(&connection)?;
    drop(connection);
    threads.join().map_err(|e| e.to_string())
}

/// Serves a client over any connection.
///
/// # Errors
/// As [`serve`].
pub fn run(connection: &Connection) -> Result<(), String> {
    server::Server::start(connection)?.run()
}
