//! nnc: a compiled language for defining, training and shipping neural networks.

pub mod autodiff;
pub mod diag;
pub mod dims;
pub mod graph;
pub mod interpreter;
pub mod ops;
pub mod opt;
pub mod source;
pub mod syntax;
