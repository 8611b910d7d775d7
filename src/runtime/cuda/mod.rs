//! CUDA devices: where the libraries are, what they compile, and steps that run on a device.
//!
//! Nothing here needs CUDA to be built or to start: the libraries are looked for when a target asks for them, and whatever is missing
//! is one sentence ([`find`], [`device`]). Kernels are text ([`crate::codegen::cuda`] for loops, [`gemm`] and [`conv`] for products),
//! compiled for the device at hand and kept on disk ([`compile`]). A step ([`step`]) is captured once as a graph.

pub mod compile;
pub mod conv;
pub mod device;
mod ffi;
pub mod find;
pub mod gemm;
pub mod products;
pub mod step;
pub mod work;
