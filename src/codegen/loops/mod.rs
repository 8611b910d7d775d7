//! Stage 7a: the target-neutral kernel IR, its text form, verifier and interpreter, and the tools that build and tidy
//! kernels.

pub mod builder;
mod index;
mod interp;
mod ir;
mod keep;
mod outer;
mod parse;
pub mod scalar;
pub mod text;
pub mod tidy;
mod verify;

pub use interp::{BufferData, run};
pub use ir::*;
pub use outer::{outer_loop, split_outer};
pub use verify::{range, verify};
