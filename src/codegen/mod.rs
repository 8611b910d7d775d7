//! Stage 7: kernels as loops, and code from loops.

#[cfg(not(target_arch = "wasm32"))]
pub mod cpu;
pub mod cuda;
pub mod loops;
