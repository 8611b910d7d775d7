//! Matrix products with any strides: views of A and B come in, C (rows contiguous) goes out, and an optional epilogue
//! reads and rewrites each finished tile of C while it is in the cache. Invariant: the same bits for any number of
//! threads; each element of C is passed to the epilogue exactly once.

use super::drive::{Output, PackB, Plan, Shared};
use super::gemv::Gemv;
use super::isa::{Isa, Kernel};
use super::pack::Operand;
pub use super::pack::View;
use super::tile::GROUP;
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// Compiled code that is called for each finished tile of a result: it reads and rewrites rows `row0..row1` and columns
/// `col0..col1` of matrix `batch` in place, finding all tensors through `args`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// `(args, batch, row0, row1, col0, col1)`; called from several threads at once, for distinct tiles.
    pub function: unsafe extern "C" fn(*const *mut u8, usize, usize, usize, usize, usize),
    /// Passed through.
    pub args: *const *mut u8,
    /// What it reads beside C, to be fetched while the tile is computed.
    pub reads: [Option<Read>; READS],
    /// The row that it is called for where the product's is 0.
    pub first_row: usize,
}

/// The most tensors that are fetched for an epilogue.
pub const READS: usize = 3;

/// A tensor of which an epilogue reads a tile as large as C's: an element of 4 bytes at `offset + batch * batch_stride +
/// row * row_stride + 4 * column` bytes from an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub argument: usize,
    pub offset: usize,
    pub batch_stride: usize,
    pub row_stride: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;

// SAFETY: the caller of a kernel promises that the function may run on several threads at once.
unsafe impl Send for Epilogue {}
// SAFETY: as above.
unsafe impl Sync for Epilogue {}

impl Epilogue {
    /// # Safety
    /// The tile is finished and no other thread touches it.
    #[inline(always)]
    pub(super) unsafe fn call(&self, batch: usize, rows: Range<usize>, columns: Range<usize>) {
        // SAFETY: promised by the caller.
        unsafe {
            let (begin, end) = (self.first_row + rows.start, self.first_row + rows.end);
            (self.function)(self.args, batch, begin, end, columns.start, columns.end)
        }
    }

    /// Has the tile's inputs brought into the cache. The rows of a tile are far apart, so no processor guesses them.
    ///
    /// # Safety
    /// The arguments are those of [`Epilogue::call`].
    #[inline(always)]
    unsafe fn fetch(&self, batch: usize, rows: Range<usize>, columns: Range<usize>) {
        for read in self.reads.iter().flatten() {
            // SAFETY: the argument exists; addresses are only computed and hinted at, not read.
            unsafe {
                let base = (*self.args.add(read.argument)).wrapping_add(read.offset + batch * read.batch_stride);
                for row in rows.clone() {
                    let first = base.wrapping_add((self.first_row + row) * read.row_stride + 4 * columns.start);
                    for line in (0..4 * columns.len()).step_by(LINE) {
                        prefetch(first.wrapping_add(line));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it cannot fault.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// A batch of products C = A × B (or C += A × B): A is `m` × `k`, B is `k` × `n`, C is `m` × `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matmul {
    /// Number of products.
    pub batch: usize,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Where A's elements lie.
    pub a: View,
    /// Where B's elements lie.
    pub b: View,
    /// Elements between rows of C; its columns are contiguous.
    pub c_row_stride: usize,
    /// Elements between the matrices of C.
    pub c_batch_stride: usize,
    /// Add to what C holds.
    pub accumulate: bool,
}

/// How a product is computed.
pub(super) enum Way {
    /// A matrix and a vector.
    Vector(Gemv),
    /// By tiles.
    Tiles(Plan),
    /// By tiles, the depth cut into so many parts whose sums are added in order at the end.
    Split(usize, Plan),
}

/// Depth that is worth a part of its own where there are few tiles.
const SPLIT_DEPTH: usize = 192;
/// With fewer parts, threads share the columns instead.
const SPLIT_LEAST: usize = 4;
/// The most parts of the depth.
const SPLIT_PARTS: usize = 8;
/// Elements of C up to which the depth may be split.
const SPLIT_FLOATS: usize = 128 * 128;

impl Matmul {
    pub(super) fn way(&self, isa: Isa) -> Way {
        if let Some(gemv) = Gemv::new(self) {
            return Way::Vector(gemv);
        }
        let groups = self.n.div_ceil(GROUP);
        let parts = (self.k / SPLIT_DEPTH).min(SPLIT_PARTS);
        if self.batch == 1 && parts >= SPLIT_LEAST && self.m * self.n <= SPLIT_FLOATS {
            let plan = Plan::whole(isa, parts, self.m, groups, self.k.div_ceil(parts));
            return Way::Split(parts, plan);
        }
        Way::Tiles(Plan::new(isa, self.batch, self.m, groups, self.k, self.accumulate))
    }

    /// Bytes of scratch that [`Matmul::run`] needs with a pool of `threads`.
    pub fn workspace(&self, threads: usize) -> usize {
        self.workspace_with(Isa::best(), threads)
    }

    /// [`Matmul::workspace`] for [`Matmul::run_with`].
    pub fn workspace_with(&self, isa: Isa, threads: usize) -> usize {
        self.scratch(&self.way(isa), threads)
    }

    /// Bytes of scratch of a way.
    pub(super) fn scratch(&self, way: &Way, threads: usize) -> usize {
        let floats = match way {
            Way::Vector(gemv) => gemv.workspace(),
            Way::Tiles(plan) => plan.workspace(threads),
            Way::Split(parts, plan) => parts * self.split_floats() + plan.workspace(threads),
        };
        floats * size_of::<f32>()
    }

    /// Floats of one part's sums.
    fn split_floats(&self) -> usize {
        (self.m * self.n).next_multiple_of(16)
    }

    /// Computes the product, then passes every tile of C to the epilogue.
    ///
    /// # Safety
    /// `a` and `b` are readable and `c` is writable as the shape says, `c` overlaps neither, elements of C are distinct;
    /// `workspace` is aligned to 64 bytes and writable for [`Matmul::workspace`] bytes; the epilogue may run on several
    /// threads at once.
    pub unsafe fn run(
        &self,
        pool: &Pool,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        // SAFETY: promised by the caller.
        unsafe { self.run_with(Isa::best(), pool, a, b, c, workspace, epilogue) }
    }

    /// [`Matmul::run`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Matmul::run`], with [`Matmul::workspace_with`] bytes.
    #[expect(clippy::too_many_arguments, reason = "the operands of one call")]
    pub unsafe fn run_with(
        &self,
        isa: Isa,
        pool: &Pool,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            match self.way(isa) {
                Way::Vector(gemv) => gemv.run(isa, pool, a, b, &self.result(c, epilogue), workspace.cast()),
                Way::Tiles(plan) => {
                    let b = Operand { at: b, view: self.b, columns: self.n };
                    self.tiles(pool, &plan, a, &b, &self.result(c, epilogue), workspace.cast());
                }
                Way::Split(parts, plan) => {
                    let b = Operand { at: b, view: self.b, columns: self.n };
                    let b = super::pack::Parts::new(b, self.k, parts);
                    self.split(pool, parts, &plan, a, &b, &self.result(c, epilogue), workspace.cast());
                }
            }
        }
    }

    /// C as it lies in memory.
    pub(super) fn result(&self, c: *mut f32, epilogue: Option<Epilogue>) -> Matrix {
        let (row_stride, batch_stride) = (self.c_row_stride, self.c_batch_stride);
        Matrix { at: Shared(c), columns: self.n, row_stride, batch_stride, epilogue }
    }

    /// The whole depth at once.
    ///
    /// # Safety
    /// As for [`Matmul::run_with`]; `scratch` is cut as [`Matmul::workspace_with`] measures it.
    pub(super) unsafe fn tiles<B: PackB>(
        &self,
        pool: &Pool,
        plan: &Plan,
        a: *const f32,
        b: &B,
        c: &Matrix,
        scratch: *mut f32,
    ) {
        let a = Operand { at: a, view: self.a, columns: self.k };
        // SAFETY: promised by the caller.
        unsafe {
            plan.prepare(pool, &a, scratch);
            plan.compute(pool, &a, b, c, scratch);
        }
    }

    /// The parts of the depth as a batch whose results are added in order.
    ///
    /// # Safety
    /// As for [`Matmul::tiles`].
    #[expect(clippy::too_many_arguments, reason = "the operands of one call")]
    pub(super) unsafe fn split<B: PackB>(
        &self,
        pool: &Pool,
        parts: usize,
        plan: &Plan,
        a: *const f32,
        b: &B,
        c: &Matrix,
        scratch: *mut f32,
    ) {
        // SAFETY: promised by the caller; the parts' sums come first in the scratch.
        unsafe {
            let partial = Matrix {
                at: Shared(scratch),
                columns: self.n,
                row_stride: self.n,
                batch_stride: self.split_floats(),
                epilogue: None,
            };
            let rest = scratch.add(parts * self.split_floats());
            let a = Operand { at: a, view: self.a, columns: self.k };
            let a = super::pack::Parts::new(a, self.k, parts);
            plan.prepare(pool, &a, rest);
            plan.compute(pool, &a, b, &partial, rest);
            let pieces = (self.m * self.n * parts / 32_768).clamp(1, self.m);
            pool.run(pieces, &|piece| {
                let rows = part(self.m, pieces, piece)..part(self.m, pieces, piece + 1);
                for i in rows.clone() {
                    let from = |p: usize| partial.at.get().add(p * partial.batch_stride + i * self.n).cast_const();
                    let to = c.at.get().add(i * self.c_row_stride);
                    let mut j = 0;
                    // As many columns at once as fit in registers of any width.
                    while j + GROUP <= self.n {
                        let read = |at: *const f32| at.add(j).cast::<[f32; GROUP]>().read_unaligned();
                        let mut sums = if self.accumulate { read(to) } else { [0.0; GROUP] };
                        for p in 0..parts {
                            for (sum, more) in sums.iter_mut().zip(read(from(p))) {
                                *sum += more;
                            }
                        }
                        to.add(j).cast::<[f32; GROUP]>().write_unaligned(sums);
                        j += GROUP;
                    }
                    for j in j..self.n {
                        let mut sum = if self.accumulate { *to.add(j) } else { 0.0 };
                        for p in 0..parts {
                            sum += *from(p).add(j);
                        }
                        *to.add(j) = sum;
                    }
                }
                c.finished(0, rows, 0..self.n.div_ceil(GROUP));
            });
        }
    }
}

/// C in memory.
pub(super) struct Matrix {
    pub at: Shared<f32>,
    pub columns: usize,
    pub row_stride: usize,
    pub batch_stride: usize,
    pub epilogue: Option<Epilogue>,
}

impl Output for Matrix {
    #[inline(always)]
    fn stride(&self) -> usize {
        self.row_stride
    }

    #[inline(always)]
    fn whole(&self, batch: usize, row: usize, group: usize, groups: usize) -> Option<*mut f32> {
        let inside = (group + groups) * GROUP <= self.columns;
        inside.then(|| self.at.0.wrapping_add(batch * self.batch_stride + row * self.row_stride + group * GROUP))
    }

    #[inline(always)]
    unsafe fn put<K: Kernel>(&self, batch: usize, row: usize, group: usize, from: *const f32, accumulate: bool) {
        let column = group * GROUP;
        // SAFETY: row and group lie inside C.
        unsafe {
            let at = self.at.0.add(batch * self.batch_stride + row * self.row_stride + column);
            K::put(from, (self.columns - column).min(GROUP), at, accumulate);
        }
    }

    #[inline(always)]
    unsafe fn expected(&self, batch: usize, rows: Range<usize>, groups: Range<usize>) {
        if let Some(epilogue) = &self.epilogue {
            let columns = groups.start * GROUP..(groups.end * GROUP).min(self.columns);
            // SAFETY: promised by the caller.
            unsafe { epilogue.fetch(batch, rows, columns) }
        }
    }

    #[inline(always)]
    unsafe fn finished(&self, batch: usize, rows: Range<usize>, groups: Range<usize>) {
        if let Some(epilogue) = &self.epilogue {
            let columns = groups.start * GROUP..(groups.end * GROUP).min(self.columns);
            // SAFETY: promised by the caller.
            unsafe { epilogue.call(batch, rows, columns) }
        }
    }
}

/// The product in double precision: plain loops, for tensors of f64 and for checks. Each row of C is a piece.
///
/// # Safety
/// As for [`Matmul::run`], with elements of 8 bytes.
pub unsafe fn matmul_f64(shape: &Matmul, pool: &Pool, a: *const f64, b: *const f64, c: *mut f64) {
    let (a, b, c) = (Shared(a.cast_mut()), Shared(b.cast_mut()), Shared(c));
    pool.run(shape.batch * shape.m, &|piece| {
        let (batch, i) = (piece / shape.m, piece % shape.m);
        // SAFETY: promised by the caller; each piece writes its own row of C.
        unsafe {
            let a = a.get().add(batch * shape.a.batch_stride + i * shape.a.row_stride);
            let b = b.get().add(batch * shape.b.batch_stride);
            let c = c.get().add(batch * shape.c_batch_stride + i * shape.c_row_stride);
            const WIDTH: usize = 16;
            for j0 in (0..shape.n).step_by(WIDTH) {
                let width = (shape.n - j0).min(WIDTH);
                let mut sums = [0.0f64; WIDTH];
                for k in 0..shape.k {
                    let x = *a.add(k * shape.a.col_stride);
                    let row = b.add(k * shape.b.row_stride + j0 * shape.b.col_stride);
                    for (j, sum) in sums.iter_mut().enumerate().take(width) {
                        *sum += x * *row.add(j * shape.b.col_stride);
                    }
                }
                for (j, sum) in sums.iter().enumerate().take(width) {
                    let at = c.add(j0 + j);
                    *at = if shape.accumulate { *at + sum } else { *sum };
                }
            }
        }
    });
}
