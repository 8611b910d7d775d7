//! Stage 7: kernels as loops, and code from loops.

pub mod cpu;
pub mod cuda;
pub mod loops;
