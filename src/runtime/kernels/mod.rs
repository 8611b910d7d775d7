//! Matrix product and convolution on the CPU. Raw pointers and shapes come in, finished tensors go out; scratch memory is
//! the caller's, so nothing allocates. Invariant: every element of a result is summed in an order that depends on the
//! shapes and on the instruction set only, never on the number of threads.
//!
//! One driver (`drive`) cuts every product into column blocks that fit the second-level cache, packs both operands
//! through the traits `drive::PackA` and `drive::PackB` and calls a microkernel (`isa`, `tile`) whose
//! accumulators stay in registers. Views with any strides and the windows of a convolution differ only in how they
//! pack.
#![expect(clippy::needless_range_loop, reason = "loops over registers unroll when they count")]

mod columns;
pub mod conv;
mod conv_f64;
mod conv_kept;
mod conv_taps;
mod conv_weight;
mod drive;
mod filter;
pub mod gemm;
mod gemv;
mod isa;
mod pack;
mod packed;
pub mod peak;
mod tile;
#[cfg(target_arch = "aarch64")]
mod vector_arm;
mod vector_portable;
#[cfg(target_arch = "x86_64")]
mod vector_x86;
mod winograd;
mod winograd_tiles;
mod winograd_weight;

pub use isa::Isa;
