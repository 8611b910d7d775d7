//! Kernels as AVX-512 code, without Cranelift, whose vectors have 128 bits.
//!
//! In: a kernel. Out: bytes of a function by the System V convention, or why there are none (then Cranelift makes them).
//! The stages: [`select`] chooses instructions on registers without limit, [`registers`] assigns machine registers,
//! [`encode`], [`forms`] and [`assembler`] write bytes. Values and the order of sums are those of the Cranelift path, so both give
//! the same bits on a machine with fused multiply-add.

mod access;
mod ahead;
mod assembler;
mod code;
mod encode;
mod fold;
mod forms;
mod nest;
mod registers;
mod select;
mod unroll;
mod values;

use super::emit::{Entry, Refusal};
use crate::codegen::loops::Kernel;

/// Whether this machine runs what is made here.
pub fn available() -> bool {
    #[cfg(all(target_arch = "x86_64", unix))]
    let has = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma");
    #[cfg(not(all(target_arch = "x86_64", unix)))]
    let has = false;
    has
}

/// The kernel's function.
pub fn compile(kernel: &Kernel, entry: Entry) -> Result<Vec<u8>, Refusal> {
    let code = select::select(kernel, entry)?;
    let allocation = registers::allocate(&code);
    Ok(encode::encode(&code, &allocation))
}

/// The kernel's instructions, one a line, and where their registers are: `zmm`, a general register by its number, or a
/// place on the stack.
pub fn listing(kernel: &Kernel, entry: Entry) -> Result<String, Refusal> {
    let code = select::select(kernel, entry)?;
    let allocation = registers::allocate(&code);
    let bytes = encode::encode(&code, &allocation).len();
    let mut text = format!("; {}, AVX-512, {bytes} bytes\n", kernel.name);
    for inst in &code.insts {
        text += &format!("{inst:?}\n");
    }
    for (register, place) in allocation.places() {
        text += &format!("; {register:?} is {place:?}\n");
    }
    Ok(text)
}
