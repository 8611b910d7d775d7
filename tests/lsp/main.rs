//! The language server, driven over its pipes.

mod client;
mod session;
