//! nnc: a compiled language for defining, training and shipping neural networks.

pub mod codegen;
pub mod diag;
pub mod dims;
pub mod graph;
pub mod ops;
pub mod opt;
pub mod plan;
pub mod runtime;
pub mod source;
pub mod syntax;
