//! The kernels for x86-64: AVX2 with FMA (6 × 16 tiles) and AVX-512 (14 × 32 tiles, 28 accumulators). Invariant: the same
//! order of sums as every other kernel; nothing here runs unless [`super::isa::Isa`] has found the features.

use super::columns::{Gather, Runs, WindowTile};
use super::isa::{Kernel, Work, copy_padded_plain, gather_plain, microkernels, put_plain};
use super::tile::{GROUP, Vector};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(super) struct Eight(__m256);

impl Vector for Eight {
    const LANES: usize = 8;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: only code that was entered through `Avx2` uses this type.
        Eight(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn splat(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Eight(unsafe { _mm256_broadcast_ss(&*at) })
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Eight(unsafe { _mm256_loadu_ps(at) })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { _mm256_storeu_ps(at, self.0) }
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a hint only.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: only code that was entered through `Avx2` uses this type.
        Eight(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: only code that was entered through `Avx2` uses this type.
        Eight(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }
}

pub(super) struct Avx2;

impl Kernel for Avx2 {
    const ROWS: usize = 6;
    const GROUPS: usize = 1;
    type V = Eight;

    unsafe fn enter<W: Work>(work: W) -> W::Out {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn inner<W: Work>(work: W) -> W::Out {
            // SAFETY: promised by the caller.
            unsafe { work.run::<Avx2>() }
        }
        // SAFETY: promised by the caller.
        unsafe { inner(work) }
    }

    microkernels!(Eight, 2, [1 2 3 4 5 6], [1], #[target_feature(enable = "avx2,fma")]);

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
        unsafe { transpose_256(from, from_stride, rows, columns, to, to_stride) }
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

/// [`Kernel::transpose`] by blocks of 8 × 8.
#[target_feature(enable = "avx2,fma")]
unsafe fn transpose_256(
    from: *const f32,
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: promised by the caller; rows after the last are not read.
    unsafe {
        let mut c = 0;
        while c + 8 <= columns {
            let mut out = [[_mm256_setzero_ps(); 8]; 2];
            for half in 0..2 {
                let mut r = [_mm256_setzero_ps(); 8];
                for i in 0..8 {
                    if half * 8 + i < rows {
                        r[i] = _mm256_loadu_ps(from.add((half * 8 + i) * from_stride + c));
                    }
                }
                let mut s = [_mm256_setzero_ps(); 8];
                for i in 0..4 {
                    s[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                    s[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
                }
                for i in 0..2 {
                    r[4 * i] = _mm256_shuffle_ps::<0x44>(s[4 * i], s[4 * i + 2]);
                    r[4 * i + 1] = _mm256_shuffle_ps::<0xee>(s[4 * i], s[4 * i + 2]);
                    r[4 * i + 2] = _mm256_shuffle_ps::<0x44>(s[4 * i + 1], s[4 * i + 3]);
                    r[4 * i + 3] = _mm256_shuffle_ps::<0xee>(s[4 * i + 1], s[4 * i + 3]);
                }
                for i in 0..4 {
                    out[half][i] = _mm256_permute2f128_ps::<0x20>(r[i], r[i + 4]);
                    out[half][i + 4] = _mm256_permute2f128_ps::<0x31>(r[i], r[i + 4]);
                }
            }
            for i in 0..8 {
                let at = to.add((c + i) * to_stride);
                _mm256_storeu_ps(at, out[0][i]);
                _mm256_storeu_ps(at.add(8), out[1][i]);
            }
            c += 8;
        }
        super::isa::transpose_plain(from.add(c), from_stride, rows, columns - c, to.add(c * to_stride), to_stride);
    }
}

#[derive(Clone, Copy)]
pub(super) struct Sixteen(__m512);

impl Vector for Sixteen {
    const LANES: usize = 16;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: only code that was entered through `Avx512` uses this type.
        Sixteen(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn splat(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Sixteen(unsafe { _mm512_set1_ps(*at) })
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: promised by the caller.
        Sixteen(unsafe { _mm512_loadu_ps(at) })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { _mm512_storeu_ps(at, self.0) }
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a hint only.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: only code that was entered through `Avx512` uses this type.
        Sixteen(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: only code that was entered through `Avx512` uses this type.
        Sixteen(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }
}

pub(super) struct Avx512;

impl Kernel for Avx512 {
    const ROWS: usize = 14;
    const GROUPS: usize = 2;
    const FUSED_STRIPS: usize = 1;
    type V = Sixteen;

    unsafe fn enter<W: Work>(work: W) -> W::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn inner<W: Work>(work: W) -> W::Out {
            // SAFETY: promised by the caller.
            unsafe { work.run::<Avx512>() }
        }
        // SAFETY: promised by the caller.
        unsafe { inner(work) }
    }

    microkernels!(
        Sixteen, 1, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2],
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    );

    unsafe fn window_tile(rows: usize, groups: usize, tile: &WindowTile) {
        use window_tile_512 as one;
        microkernels!(@pick 1, rows, groups, tile, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2]);
    }

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
        unsafe { transpose_512(from, from_stride, rows, columns, to, to_stride) }
    }

    #[inline(always)]
    unsafe fn copy_padded(from: *const f32, length: usize, to: *mut f32) {
        // SAFETY: promised by the caller; lanes outside the mask are not touched.
        unsafe { _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(mask(length), from)) }
    }

    #[inline(always)]
    unsafe fn put(from: *const f32, length: usize, to: *mut f32, accumulate: bool) {
        // SAFETY: promised by the caller; lanes outside the mask are not touched.
        unsafe {
            let mut new = _mm512_loadu_ps(from);
            if accumulate {
                new = _mm512_add_ps(_mm512_maskz_loadu_ps(mask(length), to), new);
            }
            if length == GROUP { _mm512_storeu_ps(to, new) } else { _mm512_mask_storeu_ps(to, mask(length), new) }
        }
    }

    #[inline(always)]
    unsafe fn gather(gather: &Gather, base: *const f32, taps: &[u32], run: &Runs, to: *mut f32, step: usize) {
        // SAFETY: promised by the caller.
        unsafe { gather_512(gather, base, taps, run, to, step) }
    }

    #[inline(always)]
    unsafe fn gather_quads(from: *const f32, offsets: &[u32; GROUP], to: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { gather_quads_512(from, offsets, to) }
    }

    #[inline(always)]
    unsafe fn scatter_quads(from: *const f32, columns: usize, to: *mut f32, offsets: &[u32; GROUP]) {
        // SAFETY: promised by the caller.
        unsafe { scatter_quads_512(from, columns, to, offsets) }
    }
}

/// [`Kernel::gather_quads`] by loads of 128 bits and transposes of 4 × 4 inside them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[inline]
unsafe fn gather_quads_512(from: *const f32, offsets: &[u32; GROUP], to: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe {
        let quad = |lane: usize| _mm_loadu_ps(from.add(offsets[lane] as usize));
        let mut r = [_mm512_setzero_ps(); 4];
        for i in 0..4 {
            let x = _mm512_castps128_ps512(quad(i));
            let x = _mm512_insertf32x4::<1>(x, quad(4 + i));
            let x = _mm512_insertf32x4::<2>(x, quad(8 + i));
            r[i] = _mm512_insertf32x4::<3>(x, quad(12 + i));
        }
        let (a, b) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1]));
        let (c, d) = (_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3]));
        _mm512_storeu_ps(to, _mm512_shuffle_ps::<0x44>(a, c));
        _mm512_storeu_ps(to.add(GROUP), _mm512_shuffle_ps::<0xee>(a, c));
        _mm512_storeu_ps(to.add(2 * GROUP), _mm512_shuffle_ps::<0x44>(b, d));
        _mm512_storeu_ps(to.add(3 * GROUP), _mm512_shuffle_ps::<0xee>(b, d));
    }
}

/// [`Kernel::scatter_quads`], the reverse of [`gather_quads_512`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[inline]
unsafe fn scatter_quads_512(from: *const f32, columns: usize, to: *mut f32, offsets: &[u32; GROUP]) {
    // SAFETY: promised by the caller.
    unsafe {
        let at = |lane: usize| to.add(offsets[lane] as usize);
        let (x, y) = (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(GROUP)));
        let (a, b) = (_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
        if columns == 2 {
            for (first, pairs) in [(0, a), (2, b)] {
                let quads = [
                    _mm512_castps512_ps128(pairs),
                    _mm512_extractf32x4_ps::<1>(pairs),
                    _mm512_extractf32x4_ps::<2>(pairs),
                    _mm512_extractf32x4_ps::<3>(pairs),
                ];
                for i in 0..4 {
                    _mm_storel_pd(at(4 * i + first).cast(), _mm_castps_pd(quads[i]));
                    _mm_storeh_pd(at(4 * i + first + 1).cast(), _mm_castps_pd(quads[i]));
                }
            }
            return;
        }
        let (z, w) = (_mm512_loadu_ps(from.add(2 * GROUP)), _mm512_loadu_ps(from.add(3 * GROUP)));
        let (c, d) = (_mm512_unpacklo_ps(z, w), _mm512_unpackhi_ps(z, w));
        let rows = [
            _mm512_shuffle_ps::<0x44>(a, c),
            _mm512_shuffle_ps::<0xee>(a, c),
            _mm512_shuffle_ps::<0x44>(b, d),
            _mm512_shuffle_ps::<0xee>(b, d),
        ];
        for i in 0..4 {
            _mm_storeu_ps(at(i), _mm512_castps512_ps128(rows[i]));
            _mm_storeu_ps(at(4 + i), _mm512_extractf32x4_ps::<1>(rows[i]));
            _mm_storeu_ps(at(8 + i), _mm512_extractf32x4_ps::<2>(rows[i]));
            _mm_storeu_ps(at(12 + i), _mm512_extractf32x4_ps::<3>(rows[i]));
        }
    }
}

/// The lowest `length <= 16` lanes.
#[inline(always)]
fn mask(length: usize) -> __mmask16 {
    ((1u32 << length) - 1) as __mmask16
}

/// [`Kernel::transpose`] by blocks of 16 × 16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn transpose_512(
    from: *const f32,
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: promised by the caller; lanes outside the masks are not touched.
    unsafe {
        let mut c = 0;
        while c < columns {
            let n = (columns - c).min(GROUP);
            let mut r = [_mm512_setzero_ps(); 16];
            for i in 0..16 {
                let lanes = if i < rows { mask(n) } else { 0 };
                r[i] = _mm512_maskz_loadu_ps(lanes, from.wrapping_add(i.min(rows - 1) * from_stride + c));
            }
            let mut s = [_mm512_setzero_ps(); 16];
            for i in 0..8 {
                s[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                s[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..4 {
                r[4 * i] = _mm512_shuffle_ps::<0x44>(s[4 * i], s[4 * i + 2]);
                r[4 * i + 1] = _mm512_shuffle_ps::<0xee>(s[4 * i], s[4 * i + 2]);
                r[4 * i + 2] = _mm512_shuffle_ps::<0x44>(s[4 * i + 1], s[4 * i + 3]);
                r[4 * i + 3] = _mm512_shuffle_ps::<0xee>(s[4 * i + 1], s[4 * i + 3]);
            }
            // r[4g + j], 128-bit part l: column 4l + j of rows 4g .. 4g + 4.
            for j in 0..4 {
                s[j] = _mm512_shuffle_f32x4::<0x88>(r[j], r[4 + j]);
                s[4 + j] = _mm512_shuffle_f32x4::<0xdd>(r[j], r[4 + j]);
                s[8 + j] = _mm512_shuffle_f32x4::<0x88>(r[8 + j], r[12 + j]);
                s[12 + j] = _mm512_shuffle_f32x4::<0xdd>(r[8 + j], r[12 + j]);
            }
            for j in 0..4 {
                r[j] = _mm512_shuffle_f32x4::<0x88>(s[j], s[8 + j]);
                r[8 + j] = _mm512_shuffle_f32x4::<0xdd>(s[j], s[8 + j]);
                r[4 + j] = _mm512_shuffle_f32x4::<0x88>(s[4 + j], s[12 + j]);
                r[12 + j] = _mm512_shuffle_f32x4::<0xdd>(s[4 + j], s[12 + j]);
            }
            for i in 0..16 {
                if i < n {
                    _mm512_storeu_ps(to.add((c + i) * to_stride), r[i]);
                }
            }
            c += GROUP;
        }
    }
}

/// [`Kernel::gather`] by permuting the few windows of 16 floats that hold all lanes. Taps of a run read the same windows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn gather_512(gather: &Gather, base: *const f32, taps: &[u32], run: &Runs, to: *mut f32, step: usize) {
    // SAFETY: promised by the caller; every window is readable with 16 floats.
    unsafe {
        let window = |w: usize| gather.windows[w] as usize;
        if gather.contiguous() {
            let base = base.add(window(0));
            for (k, &tap) in taps.iter().enumerate() {
                _mm512_storeu_ps(to.add(k * step), _mm512_loadu_ps(base.add(tap as usize)));
            }
            return;
        }
        let lanes = _mm512_loadu_si512(gather.lanes.as_ptr().cast());
        if gather.count <= 2 {
            // Lane numbers 16 to 31 mean the second window.
            let second = _mm512_maskz_set1_epi32(gather.masks[1], GROUP as i32);
            let lanes = _mm512_or_si512(lanes, second);
            let (first, second) = (base.add(window(0)), base.add(window(1)));
            if run.length == 3 && run.first == 0 && taps.len().is_multiple_of(3) {
                let (lanes1, lanes2) =
                    (_mm512_add_epi32(lanes, _mm512_set1_epi32(1)), _mm512_add_epi32(lanes, _mm512_set1_epi32(2)));
                let mut to = to;
                for taps in taps.as_chunks::<3>().0 {
                    let tap = taps[0] as usize;
                    let (x, y) = (_mm512_loadu_ps(first.add(tap)), _mm512_loadu_ps(second.add(tap)));
                    _mm512_storeu_ps(to, _mm512_permutex2var_ps(x, lanes, y));
                    _mm512_storeu_ps(to.add(step), _mm512_permutex2var_ps(x, lanes1, y));
                    _mm512_storeu_ps(to.add(2 * step), _mm512_permutex2var_ps(x, lanes2, y));
                    to = to.wrapping_add(3 * step);
                }
                return;
            }
            let mut place = run.first;
            let (mut x, mut y) = (_mm512_setzero_ps(), _mm512_setzero_ps());
            for (k, &tap) in taps.iter().enumerate() {
                if k == 0 || place == 0 {
                    let tap = tap as usize - place;
                    (x, y) = (_mm512_loadu_ps(first.add(tap)), _mm512_loadu_ps(second.add(tap)));
                }
                let lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(place as i32));
                _mm512_storeu_ps(to.add(k * step), _mm512_permutex2var_ps(x, lanes, y));
                place = if place + 1 == run.length { 0 } else { place + 1 };
            }
            return;
        }
        for (k, &tap) in taps.iter().enumerate() {
            let mut sum = _mm512_setzero_ps();
            for w in 0..gather.count {
                let x = _mm512_loadu_ps(base.add(window(w) + tap as usize));
                sum = _mm512_mask_permutexvar_ps(sum, gather.masks[w], lanes, x);
            }
            _mm512_storeu_ps(to.add(k * step), sum);
        }
    }
}

/// [`Kernel::window_tile`]: as [`gather_512`], but the permuted windows meet the left operand at once.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn window_tile_512<const ROWS: usize, const GROUPS: usize>(t: &WindowTile) {
    // SAFETY: promised by the caller; every window is readable with 16 floats.
    unsafe {
        let (mut lanes, mut windows) = ([_mm512_setzero_si512(); GROUPS], [[t.bases[0]; 2]; GROUPS]);
        for g in 0..GROUPS {
            let gather = t.gathers[g];
            let second = _mm512_maskz_set1_epi32(gather.masks[1], GROUP as i32);
            lanes[g] = _mm512_or_si512(_mm512_loadu_si512(gather.lanes.as_ptr().cast()), second);
            windows[g] = [0, 1].map(|w| t.bases[g].wrapping_add(gather.windows[w] as usize));
        }
        let one = _mm512_set1_epi32(1);
        let mut sums = [[Sixteen::zero(); GROUPS]; ROWS];
        let mut a = t.tile.a;
        let (mut k, mut place) = (0, t.runs.first);
        while k < t.taps.len() {
            let count = (t.runs.length - place).min(t.taps.len() - k);
            let tap = *t.taps.get_unchecked(k) as usize - place;
            let shift = _mm512_set1_epi32(place as i32);
            let (mut x, mut y, mut at) =
                (lanes.map(|_| _mm512_setzero_ps()), lanes.map(|_| _mm512_setzero_ps()), lanes);
            for g in 0..GROUPS {
                x[g] = _mm512_loadu_ps(windows[g][0].wrapping_add(tap));
                y[g] = _mm512_loadu_ps(windows[g][1].wrapping_add(tap));
                at[g] = _mm512_add_epi32(lanes[g], shift);
            }
            for _ in 0..count {
                let mut row = [Sixteen::zero(); GROUPS];
                for g in 0..GROUPS {
                    row[g] = Sixteen(_mm512_permutex2var_ps(x[g], at[g], y[g]));
                    at[g] = _mm512_add_epi32(at[g], one);
                }
                for i in 0..ROWS {
                    let left = Sixteen::splat(a.add(i));
                    for g in 0..GROUPS {
                        sums[i][g] = sums[i][g].fma(left, row[g]);
                    }
                }
                a = a.add(ROWS);
            }
            k += count;
            place = 0;
        }
        super::tile::finish(&sums, t.tile.c, t.tile.c_stride, t.tile.accumulate);
    }
}
