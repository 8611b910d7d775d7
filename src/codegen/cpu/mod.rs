//! Stage 7c: kernels as machine code of the host, by Cranelift.
//!
//! In: kernels that passed the verifier. Out: functions in memory ([`Code`]) or text ([`clif`], [`assembly`]). A function
//! does what the kernel IR's interpreter does: the same bits for exact operations, a few units in the last place for
//! functions such as `exp`; and the same bits however a loop is split over threads.

mod avx512;
mod emit;
mod fold;
mod functions;
mod half;
mod jit;
mod math;
mod memory;
mod ops;
mod symbols;
mod wide;

pub use crate::codegen::loops::outer_loop;
pub use emit::{Entry, LANES};
pub use jit::{Code, Optimize, RangeFn, Target, TileFn, assembly, clif, compile, why_narrow};
