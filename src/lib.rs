//! nnc: a compiled language for defining, training and shipping neural networks.

pub mod diag;
pub mod runtime;
pub mod source;
pub mod syntax;
