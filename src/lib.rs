//! nnc: a compiled language for defining, training and shipping neural networks.

pub mod artifact;
pub mod autodiff;
pub mod build;
pub mod check;
pub mod codegen;
pub mod data;
pub mod data_facts;
pub mod diag;
pub mod dims;
pub mod driver;
pub mod emit;
pub mod engine;
pub mod graph;
pub mod interpreter;
pub mod ops;
pub mod opt;
pub mod plan;
pub mod runtime;
pub mod source;
pub mod stages;
pub mod syntax;
pub mod train;
