//! Which instruction set computes. [`Isa`] is detected once at start; a [`Kernel`] is one instruction set's microkernels
//! and data movers. Invariant: code that needs a feature is reached only through [`Isa`], whose values exist only where
//! the processor has the feature.

use super::columns::{Gather, Runs, WindowTile};
use super::tile::{GROUP, Taps, Tile};
use std::sync::OnceLock;

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(super) Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// The widest instruction set of this processor.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().last().unwrap_or(Isa(Set::Portable)))
    }

    /// Every instruction set of this processor, narrowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        #[cfg(target_arch = "x86_64")]
        let wide = {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            [(avx2, Set::Avx2), (avx512, Set::Avx512)]
        };
        // Every aarch64 processor has NEON.
        #[cfg(target_arch = "aarch64")]
        let wide = [(true, Set::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let wide: [(bool, Set); 0] = [];
        let wide = wide.into_iter().filter(|(has, _)| *has).map(|(_, set)| Isa(set));
        std::iter::once(Isa(Set::Portable)).chain(wide)
    }
}

/// Code to be compiled once for each instruction set: an implementation marks `run` as `#[inline(always)]`, and so are
/// all functions that it calls in loops.
pub(super) trait Work {
    type Out;
    /// # Safety
    /// What the implementation says; it is called with `K`'s features enabled.
    unsafe fn run<K: Kernel>(self) -> Self::Out;
}

/// The microkernels and data movers of one instruction set.
///
/// # Safety of all functions
/// The processor has the instruction set, and pointers are valid as each function says.
pub(super) trait Kernel {
    /// The most rows of a tile.
    const ROWS: usize;
    /// The most groups of columns of a tile.
    const GROUPS: usize;
    /// Up to so many strips of rows, windows are gathered into registers for each tile instead of being packed.
    const FUSED_STRIPS: usize = 0;
    type V: super::tile::Vector;

    /// Runs `work` with this instruction set's features enabled.
    unsafe fn enter<W: Work>(work: W) -> W::Out;
    /// `rows` and `groups` are at least 1 and at most the constants.
    unsafe fn tile(rows: usize, groups: usize, tile: &Tile);
    /// As [`Kernel::tile`].
    unsafe fn taps(rows: usize, groups: usize, taps: &Taps);
    /// A tile whose right operand is gathered on the way; only called where [`Kernel::FUSED_STRIPS`] allows.
    unsafe fn window_tile(_rows: usize, _groups: usize, _tile: &WindowTile) {
        unreachable!("tiles of windows without packing")
    }
    /// `to[c * to_stride + r] = from[r * from_stride + c]` for `rows <= 16`; each c writes 16 floats (zeros after `rows`),
    /// in ascending order, so the next c may overwrite them.
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        rows: usize,
        columns: usize,
        to: *mut f32,
        to_stride: usize,
    );
    /// Reads `length <= 16` floats and writes 16, zeros at the end.
    unsafe fn copy_padded(from: *const f32, length: usize, to: *mut f32);
    /// `to[..length] = from[..length]`, or `+=`, for `length <= 16`; 16 floats of `from` are readable.
    unsafe fn put(from: *const f32, length: usize, to: *mut f32, accumulate: bool);
    /// For each k: the 16 lanes of `gather` at `base + taps[k]` go to `to + k * step`.
    unsafe fn gather(gather: &Gather, base: *const f32, taps: &[u32], runs: &Runs, to: *mut f32, step: usize);
    /// `to[16 * j + lane] = from[offsets[lane] + j]` for `j < 4`.
    #[inline(always)]
    unsafe fn gather_quads(from: *const f32, offsets: &[u32; GROUP], to: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe {
            for lane in 0..GROUP {
                for j in 0..4 {
                    *to.add(j * GROUP + lane) = *from.add(offsets[lane] as usize + j);
                }
            }
        }
    }
    /// `to[offsets[lane] + j] = from[16 * j + lane]` for `j < columns`, which is 2 or 4.
    #[inline(always)]
    unsafe fn scatter_quads(from: *const f32, columns: usize, to: *mut f32, offsets: &[u32; GROUP]) {
        // SAFETY: promised by the caller.
        unsafe {
            for lane in 0..GROUP {
                for j in 0..columns {
                    *to.add(offsets[lane] as usize + j) = *from.add(j * GROUP + lane);
                }
            }
        }
    }
}

/// What [`Kernel::transpose`] does, for any instruction set.
///
/// # Safety
/// As for [`Kernel::transpose`].
#[inline(always)]
pub(super) unsafe fn transpose_plain(
    from: *const f32,
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: promised by the caller.
    unsafe {
        for c in 0..columns {
            let row = to.add(c * to_stride);
            for r in 0..GROUP {
                *row.add(r) = if r < rows { *from.add(r * from_stride + c) } else { 0.0 };
            }
        }
    }
}

/// What [`Kernel::copy_padded`] does, for any instruction set.
///
/// # Safety
/// As for [`Kernel::copy_padded`].
#[inline(always)]
pub(super) unsafe fn copy_padded_plain(from: *const f32, length: usize, to: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe {
        if length == GROUP {
            return to.cast::<[f32; GROUP]>().write_unaligned(from.cast::<[f32; GROUP]>().read_unaligned());
        }
        for i in 0..GROUP {
            *to.add(i) = if i < length { *from.add(i) } else { 0.0 };
        }
    }
}

/// What [`Kernel::put`] does, for any instruction set.
///
/// # Safety
/// As for [`Kernel::put`].
#[inline(always)]
pub(super) unsafe fn put_plain(from: *const f32, length: usize, to: *mut f32, accumulate: bool) {
    // SAFETY: promised by the caller.
    unsafe {
        for i in 0..length {
            let old = if accumulate { *to.add(i) } else { 0.0 };
            *to.add(i) = if accumulate { old + *from.add(i) } else { *from.add(i) };
        }
    }
}

/// What [`Kernel::gather`] does, for any instruction set.
///
/// # Safety
/// As for [`Kernel::gather`].
#[inline(always)]
pub(super) unsafe fn gather_plain(gather: &Gather, base: *const f32, taps: &[u32], to: *mut f32, step: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        for (k, &tap) in taps.iter().enumerate() {
            let (from, to) = (base.add(tap as usize), to.add(k * step));
            if gather.contiguous() {
                let from = from.add(gather.offsets[0] as usize).cast::<[f32; GROUP]>();
                to.cast::<[f32; GROUP]>().write_unaligned(from.read_unaligned());
            } else {
                for lane in 0..GROUP {
                    *to.add(lane) = *from.add(gather.offsets[lane] as usize);
                }
            }
        }
    }
}

/// Calls a generic function with the [`Kernel`] of an [`Isa`].
macro_rules! with_kernel {
    ($isa:expr, $K:ident => $body:expr) => {
        match $isa.0 {
            $crate::runtime::kernels::isa::Set::Portable => {
                type $K = $crate::runtime::kernels::vector_portable::Portable;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::runtime::kernels::isa::Set::Avx2 => {
                type $K = $crate::runtime::kernels::vector_x86::Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::runtime::kernels::isa::Set::Avx512 => {
                type $K = $crate::runtime::kernels::vector_x86::Avx512;
                $body
            }
            #[cfg(target_arch = "aarch64")]
            $crate::runtime::kernels::isa::Set::Neon => {
                type $K = $crate::runtime::kernels::vector_arm::Neon;
                $body
            }
        }
    };
}
pub(super) use with_kernel;

/// Defines `tile` and `taps` of a kernel: one function for each number of rows and groups.
macro_rules! microkernels {
    ($vector:ty, $per_group:literal, [$($rows:literal)*], [$($groups:literal)*], $(#[$feature:meta])*) => {
        unsafe fn tile(rows: usize, groups: usize, tile: &$crate::runtime::kernels::tile::Tile) {
            $(#[$feature])*
            unsafe fn one<const ROWS: usize, const VECTORS: usize>(tile: &$crate::runtime::kernels::tile::Tile) {
                // SAFETY: promised by the caller.
                unsafe { $crate::runtime::kernels::tile::tile::<$vector, ROWS, VECTORS>(tile) }
            }
            microkernels!(@pick $per_group, rows, groups, tile, [$($rows)*], [$($groups)*]);
        }

        unsafe fn taps(rows: usize, groups: usize, taps: &$crate::runtime::kernels::tile::Taps) {
            $(#[$feature])*
            unsafe fn one<const ROWS: usize, const VECTORS: usize>(taps: &$crate::runtime::kernels::tile::Taps) {
                // SAFETY: promised by the caller.
                unsafe { $crate::runtime::kernels::tile::taps::<$vector, ROWS, VECTORS>(taps) }
            }
            microkernels!(@pick $per_group, rows, groups, taps, [$($rows)*], [$($groups)*]);
        }
    };
    (@pick $per_group:literal, $r:ident, $g:ident, $arg:ident, $rows:tt, [$($groups:literal)*]) => {
        match $g {
            $($groups => microkernels!(@rows $per_group, $r, $groups, $arg, $rows),)*
            _ => unreachable!("a tile of {} groups", $g),
        }
    };
    (@rows $per_group:literal, $r:ident, $groups:literal, $arg:ident, [$($rows:literal)*]) => {
        match $r {
            // SAFETY: promised by the caller.
            $($rows => unsafe { one::<$rows, { $groups * $per_group }>($arg) },)*
            _ => unreachable!("a tile of {} rows", $r),
        }
    };
}
pub(super) use microkernels;
