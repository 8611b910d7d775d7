//! nnc: a compiled language for neural networks. In goes a `.nn` file, out comes a net that trains.
//!
//! `ARCHITECTURE.md` has the whole picture, `docs/language.md` the language.
//!
//! # Stages
//!
//! In processing order; a module uses those before it.
//!
//! - Shared vocabulary: [`source`] (files and spans), [`diag`] (messages as data), [`dims`] (sizes known by name), [`ops`]
//!   (the table of operations), [`graph`] (the tensor graph).
//! - 1, [`syntax`]: text to a tree, for every text.
//!   [`fmt`] lays such a text out anew.
//! - 2, [`check`]: names, types, sizes; every entry point becomes a graph whose sizes may be names.
//!   [`lint`] looks for what can run but is rarely meant.
//! - 3, [`build`]: named sizes become numbers.
//! - 4, [`autodiff`]: gradients become ordinary nodes.
//! - 5, [`opt`]: the same values with less work; nodes are grouped into kernels.
//! - 6, [`plan`]: kernels and launches in order, and a place in the arena for every buffer.
//! - 7, [`codegen`]: the kernel IR, and machine code from it.
//! - 8, [`runtime`]: threads, memory, matrix products and convolutions; runs a plan.
//! - 9, [`engine`]: a task that can run, on the processor or by [`interpreter`], the reference in double precision.
//!   [`stages`] holds the way of a task's graphs through 3 to 5.
//! - Around a run: [`data`] (sources and batches; [`data_facts`] tells the checker about them), [`artifact`] (checkpoints, run
//!   folders), [`train`] (the loop), [`generate`] (texts, token by token).
//! - [`ide`]: what an editor asks, as pure queries; [`lsp`]: the language server around it.
//! - [`driver`] ties the front together; [`fix`] applies what messages offer; [`picture`] draws
//!   a model; [`emit`] shows the state after any stage.
//!
//! For `wasm32` the library holds what the playground needs: everything up to plans, and [`ide`], without what makes machine code,
//! runs it, or serves.

#[cfg(not(target_arch = "wasm32"))]
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
#[cfg(not(target_arch = "wasm32"))]
pub mod emit;
pub mod engine;
pub mod fix;
pub mod fmt;
#[cfg(not(target_arch = "wasm32"))]
pub mod generate;
pub mod graph;
pub mod ide;
#[cfg(not(target_arch = "wasm32"))]
pub mod interpreter;
pub mod lint;
#[cfg(not(target_arch = "wasm32"))]
pub mod lsp;
pub mod ops;
pub mod opt;
pub mod picture;
pub mod plan;
pub mod reference;
pub mod runtime;
pub mod source;
pub mod stages;
pub mod syntax;
#[cfg(not(target_arch = "wasm32"))]
pub mod train;
pub mod uses;
