//! The kernel for aarch64: NEON, four floats a register, 24 accumulators. Invariant: the same order of sums as every
//! other kernel.

use super::columns::{Gather, Runs};
use super::isa::{Kernel, Work, copy_padded_plain, gather_plain, microkernels, put_plain, transpose_plain};
use super::tile::Vector;
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(super) struct Four(float32x4_t);

impl Vector for Four {
    const LANES: usize = 4;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Four(unsafe { vdupq_n_f32(0.0) })
    }

    #[inline(always)]
    unsafe fn splat(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Four(unsafe { vld1q_dup_f32(at) })
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Four(unsafe { vld1q_f32(at) })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { vst1q_f32(at, self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Four(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: every aarch64 processor has NEON.
        Four(unsafe { vfmaq_f32(self.0, a.0, b.0) })
    }
}

pub(super) struct Neon;

impl Kernel for Neon {
    const ROWS: usize = 6;
    const GROUPS: usize = 1;
    type V = Four;

    unsafe fn enter<W: Work>(work: W) -> W::Out {
        // SAFETY: promised by the caller; NEON is part of the target.
        unsafe { work.run::<Self>() }
    }

    microkernels!(Four, 4, [1 2 3 4 5 6], [1],);

    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        rows: usize,
        columns: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: promised by the caller.
        unsafe { transpose_plain(from, from_stride, rows, columns, to, to_stride) }
    }

    #[inline(always)]
    unsafe fn copy_padded(from: *const f32, length: usize, to: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { copy_padded_plain(from, length, to) }
    }

    #[inline(always)]
    unsafe fn put(from: *const f32, length: usize, to: *mut f32, accumulate: bool) {
        // SAFETY: promised by the caller.
        unsafe { put_plain(from, length, to, accumulate) }
    }

    #[inline(always)]
    unsafe fn gather(gather: &Gather, base: *const f32, taps: &[u32], _: &Runs, to: *mut f32, step: usize) {
        // SAFETY: promised by the caller.
        unsafe { gather_plain(gather, base, taps, to, step) }
    }
}
