//! The innermost loops, written once over a vector type: a tile of C stays in registers while the depth runs. Panels come
//! in packed, finished tile sums go out. Invariant: an element's products are added in the order of the depth, starting
//! from zero, and only then added to what C holds; so the cutting of rows and columns never changes a result.

/// Columns are packed, counted and stored in groups of this many floats, whatever the vector width.
pub(super) const GROUP: usize = 16;
/// The most rows a tile of any instruction set has.
pub(super) const MAX_ROWS: usize = 14;
/// The most groups a tile of any instruction set has.
pub(super) const MAX_GROUPS: usize = 2;

/// A register of floats. Every function is marked `#[inline(always)]` and takes on the features of its caller.
pub(super) trait Vector: Copy {
    const LANES: usize;
    fn zero() -> Self;
    /// # Safety
    /// `at` is readable.
    unsafe fn splat(at: *const f32) -> Self;
    /// # Safety
    /// `LANES` floats at `at` are readable.
    unsafe fn load(at: *const f32) -> Self;
    /// # Safety
    /// `LANES` floats at `at` are writable.
    unsafe fn store(self, at: *mut f32);
    /// A hint that this address will be written soon.
    #[inline(always)]
    fn prefetch(_at: *const f32) {}
    fn add(self, other: Self) -> Self;
    /// `self + a * b`, fused where the instruction set can.
    fn fma(self, a: Self, b: Self) -> Self;
}

/// One tile: C[rows, groups] = A panel × B panel.
pub(super) struct Tile {
    pub depth: usize,
    /// `a[k * rows + i]`.
    pub a: *const f32,
    /// `b[k * b_step + j]`.
    pub b: *const f32,
    pub b_step: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    pub accumulate: bool,
}

/// # Safety
/// The pointers of `t` are valid for `MR` rows, `NV` vectors of columns and the depth; the features of `V` are enabled in
/// the caller.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: promised by the caller.
    unsafe {
        for i in 0..MR {
            for v in (0..NV * V::LANES).step_by(16) {
                V::prefetch(t.c.wrapping_add(i * t.c_stride + v));
            }
        }
        let mut sums = [[V::zero(); NV]; MR];
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.depth / 4 {
            for _ in 0..4 {
                step(&mut sums, a, b);
                (a, b) = (a.add(MR), b.wrapping_add(t.b_step));
            }
        }
        for _ in 0..t.depth % 4 {
            step(&mut sums, a, b);
            (a, b) = (a.add(MR), b.wrapping_add(t.b_step));
        }
        finish(&sums, t.c, t.c_stride, t.accumulate);
    }
}

/// One step of the depth.
///
/// # Safety
/// `MR` floats at `a` and `NV` vectors at `b` are readable.
#[inline(always)]
unsafe fn step<V: Vector, const MR: usize, const NV: usize>(sums: &mut [[V; NV]; MR], a: *const f32, b: *const f32) {
    // SAFETY: promised by the caller.
    unsafe {
        let mut row = [V::zero(); NV];
        for v in 0..NV {
            row[v] = V::load(b.add(v * V::LANES));
        }
        for i in 0..MR {
            let x = V::splat(a.add(i));
            for v in 0..NV {
                sums[i][v] = sums[i][v].fma(x, row[v]);
            }
        }
    }
}

/// # Safety
/// `c` is writable for `MR` rows of `NV` vectors.
#[inline(always)]
pub(super) unsafe fn finish<V: Vector, const MR: usize, const NV: usize>(
    sums: &[[V; NV]; MR],
    c: *mut f32,
    stride: usize,
    accumulate: bool,
) {
    // SAFETY: promised by the caller.
    unsafe {
        for i in 0..MR {
            for v in 0..NV {
                let at = c.add(i * stride + v * V::LANES);
                let sum = if accumulate { V::load(at).add(sums[i][v]) } else { sums[i][v] };
                sum.store(at);
            }
        }
    }
}

/// One tile whose left operand is read where it lies: row `i` of pixel (image, p, q) is
/// `a[offsets[i] + image * image_step + p * row_step + q * column_step]`. The depth is all pixels in this order, and
/// `b` advances by `b_step` with each.
pub(super) struct Taps<'a> {
    pub images: usize,
    pub image_step: usize,
    pub rows: usize,
    pub row_step: usize,
    pub columns: usize,
    pub column_step: usize,
    pub offsets: &'a [u32],
    pub a: *const f32,
    pub b: *const f32,
    pub b_step: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    pub accumulate: bool,
}

/// # Safety
/// As for [`tile`]; `offsets` holds `MR` entries.
#[inline(always)]
pub(super) unsafe fn taps<V: Vector, const MR: usize, const NV: usize>(t: &Taps) {
    // SAFETY: promised by the caller.
    unsafe {
        let mut offsets = [0usize; MR];
        for i in 0..MR {
            offsets[i] = *t.offsets.get_unchecked(i) as usize;
        }
        let mut sums = [[V::zero(); NV]; MR];
        let mut b = t.b;
        for image in 0..t.images {
            for p in 0..t.rows {
                let mut a = t.a.add(image * t.image_step + p * t.row_step);
                for _ in 0..t.columns {
                    let mut row = [V::zero(); NV];
                    for v in 0..NV {
                        row[v] = V::load(b.add(v * V::LANES));
                    }
                    for i in 0..MR {
                        let x = V::splat(a.wrapping_add(offsets[i]));
                        for v in 0..NV {
                            sums[i][v] = sums[i][v].fma(x, row[v]);
                        }
                    }
                    a = a.wrapping_add(t.column_step);
                    b = b.wrapping_add(t.b_step);
                }
            }
        }
        finish(&sums, t.c, t.c_stride, t.accumulate);
    }
}
