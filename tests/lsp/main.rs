//! The language server, driven over its pipes.

mod client;
mod incremental;
mod more;
mod queries;
mod real;
mod session;
mod stress;
