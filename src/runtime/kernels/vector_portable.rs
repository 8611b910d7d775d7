//! The kernel for any processor: plain arrays that the compiler turns into whatever vectors the build target has.
//! Invariant: the same sums as the other kernels, with separate multiplication and addition.

use super::columns::{Gather, Runs};
use super::isa::{Kernel, Work, copy_padded_plain, gather_plain, microkernels, put_plain, transpose_plain};
use super::tile::Vector;

#[derive(Clone, Copy)]
pub(super) struct Four([f32; 4]);

impl Vector for Four {
    const LANES: usize = 4;

    #[inline(always)]
    fn zero() -> Self {
        Four([0.0; 4])
    }

    #[inline(always)]
    unsafe fn splat(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Four([unsafe { *at }; 4])
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Four(unsafe { at.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { at.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Four([0, 1, 2, 3].map(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        Four([0, 1, 2, 3].map(|i| self.0[i] + a.0[i] * b.0[i]))
    }
}

pub(super) struct Portable;

impl Kernel for Portable {
    const ROWS: usize = 2;
    const GROUPS: usize = 1;
    type V = Four;

    unsafe fn enter<W: Work>(work: W) -> W::Out {
        // SAFETY: promised by the caller.
        unsafe { work.run::<Self>() }
    }

    microkernels!(Four, 4, [1 2], [1],);

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
