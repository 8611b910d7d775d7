//! Stage 7a: the target-neutral kernel IR, its text form, verifier and interpreter.

mod ir;

pub use ir::*;
