//! Products of a matrix and a vector (`m` or `n` is 1): bound by reading the matrix once, so nothing is packed but the
//! vector. Invariant: the order of each sum depends on the strides and the instruction set only.

use super::drive::{Output, Shared};
use super::gemm::{Matmul, Matrix};
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::{GROUP, Vector};
use crate::runtime::threads::Pool;

/// Outputs `y[o] = Σ_k matrix[o * out_stride + k * k_stride] * vector[k]`, for a batch.
#[derive(Clone, Copy)]
pub(super) struct Gemv {
    batch: usize,
    outputs: usize,
    depth: usize,
    out_stride: usize,
    k_stride: usize,
    matrix_batch: usize,
    vector_stride: usize,
    vector_batch: usize,
    /// The matrix is B (C is a row), not A (C is a column).
    row: bool,
    accumulate: bool,
}

/// The most outputs of one pass where they are contiguous in the matrix, and rows of a pass.
const WIDE: usize = 512;
const ROWS: usize = 8;
/// Fewest outputs of a piece, and what their number is a multiple of.
const PIECE: usize = 64;
/// Elements of the matrix that a piece reads, if there are as many.
const READ: usize = 131_072;
/// The least pieces that are wanted, and the fewest elements of one.
const PIECES: usize = 4;
const LEAST: usize = 16_384;
/// Columns summed at once along the depth.
const DOTS: usize = 4;

impl Gemv {
    /// The product as matrix times vector, if it is one with a contiguous direction.
    pub fn new(shape: &Matmul) -> Option<Gemv> {
        let gemv = if shape.m == 1 {
            Gemv {
                batch: shape.batch,
                outputs: shape.n,
                depth: shape.k,
                out_stride: shape.b.col_stride,
                k_stride: shape.b.row_stride,
                matrix_batch: shape.b.batch_stride,
                vector_stride: shape.a.col_stride,
                vector_batch: shape.a.batch_stride,
                row: true,
                accumulate: shape.accumulate,
            }
        } else if shape.n == 1 {
            Gemv {
                batch: shape.batch,
                outputs: shape.m,
                depth: shape.k,
                out_stride: shape.a.row_stride,
                k_stride: shape.a.col_stride,
                matrix_batch: shape.a.batch_stride,
                vector_stride: shape.b.row_stride,
                vector_batch: shape.b.batch_stride,
                row: false,
                accumulate: shape.accumulate,
            }
        } else {
            return None;
        };
        (gemv.out_stride == 1 || gemv.k_stride == 1).then_some(gemv)
    }

    /// Outputs of a piece.
    fn piece_outputs(&self) -> usize {
        let read = (self.outputs * self.depth / PIECES).clamp(LEAST, READ);
        (read / self.depth.max(1)).next_multiple_of(PIECE).max(PIECE)
    }

    /// Floats of scratch: the vectors, contiguous.
    pub fn workspace(&self) -> usize {
        if self.vector_stride == 1 { 0 } else { self.batch * self.depth }
    }

    /// # Safety
    /// As for [`Matmul::run`].
    pub unsafe fn run(&self, isa: Isa, pool: &Pool, a: *const f32, b: *const f32, c: &Matrix, scratch: *mut f32) {
        let (matrix, mut vector) = if self.row { (b, a) } else { (a, b) };
        let mut vector_batch = self.vector_batch;
        if self.vector_stride != 1 {
            for batch in 0..self.batch {
                for k in 0..self.depth {
                    // SAFETY: inside the vector, and inside the scratch that `workspace` measures.
                    unsafe {
                        let from = vector.add(batch * self.vector_batch + k * self.vector_stride);
                        *scratch.add(batch * self.depth + k) = *from;
                    }
                }
            }
            (vector, vector_batch) = (scratch, self.depth);
        }
        let (matrix, vector) = (Shared(matrix.cast_mut()), Shared(vector.cast_mut()));
        let blocks = self.outputs.div_ceil(self.piece_outputs());
        pool.run(self.batch * blocks, &|piece| {
            let (batch, block) = (piece / blocks, piece % blocks);
            let start = block * self.piece_outputs();
            let end = (start + self.piece_outputs()).min(self.outputs);
            // SAFETY: `Isa` exists only where its features do; pieces write distinct outputs.
            unsafe {
                let work = Rows {
                    gemv: self,
                    matrix: matrix.get().add(batch * self.matrix_batch),
                    vector: vector.get().add(batch * vector_batch),
                    to: c.at.get().add(batch * c.batch_stride),
                    to_stride: if self.row { 1 } else { c.row_stride },
                    start,
                    end,
                };
                with_kernel!(isa, K => K::enter(work));
                if self.row {
                    // `start` is a multiple of a group.
                    c.finished(batch, 0..1, start / GROUP..end.div_ceil(GROUP));
                } else {
                    c.finished(batch, start..end, 0..1);
                }
            }
        });
    }
}

struct Rows<'a> {
    gemv: &'a Gemv,
    matrix: *const f32,
    vector: *const f32,
    to: *mut f32,
    to_stride: usize,
    start: usize,
    end: usize,
}

impl Rows<'_> {
    /// # Safety
    /// `output` is one of the piece's.
    #[inline(always)]
    unsafe fn put(&self, output: usize, sum: f32) {
        // SAFETY: promised by the caller.
        unsafe {
            let at = self.to.add(output * self.to_stride);
            *at = if self.gemv.accumulate { *at + sum } else { sum };
        }
    }
}

impl Work for Rows<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let Gemv { depth, out_stride, k_stride, .. } = *self.gemv;
        let mut output = self.start;
        // SAFETY: outputs stay below `end` and the depth below its own, so all reads are inside matrix and vector.
        unsafe {
            if out_stride == 1 {
                let mut sums = [0.0f32; WIDE];
                while output < self.end {
                    let width = (self.end - output).min(WIDE);
                    sums.fill(0.0);
                    columns::<K>(self.matrix.add(output), k_stride, self.vector, depth, &mut sums[..width]);
                    for (j, sum) in sums.iter().enumerate().take(width) {
                        self.put(output + j, *sum);
                    }
                    output += width;
                }
                return;
            }
            while output + DOTS <= self.end {
                let columns = [0, 1, 2, 3].map(|d| self.matrix.add((output + d) * out_stride));
                for (d, sum) in dots::<K, DOTS>(columns, self.vector, depth).into_iter().enumerate() {
                    self.put(output + d, sum);
                }
                output += DOTS;
            }
            while output < self.end {
                let [sum] = dots::<K, 1>([self.matrix.add(output * out_stride)], self.vector, depth);
                self.put(output, sum);
                output += 1;
            }
        }
    }
}

/// Adds to the sums of outputs that lie beside each other, each through the depth in order: some rows at once, so that as
/// many streams of memory run and sums are read and written seldom.
///
/// # Safety
/// As many floats as sums are readable at `from` in every row, and so is the vector.
#[inline(always)]
unsafe fn columns<K: Kernel>(from: *const f32, k_stride: usize, vector: *const f32, depth: usize, sums: &mut [f32]) {
    let lanes = K::V::LANES;
    let whole = sums.len() / lanes * lanes;
    let to = sums.as_mut_ptr();
    // SAFETY: promised by the caller.
    unsafe {
        for k in (0..depth / ROWS * ROWS).step_by(ROWS) {
            let mut x = [K::V::zero(); ROWS];
            for r in 0..ROWS {
                x[r] = K::V::splat(vector.add(k + r));
            }
            let first = from.add(k * k_stride);
            for j in (0..whole).step_by(lanes) {
                let mut sum = K::V::load(to.add(j));
                for r in 0..ROWS {
                    sum = sum.fma(x[r], K::V::load(first.add(r * k_stride + j)));
                }
                sum.store(to.add(j));
            }
        }
        for k in depth / ROWS * ROWS..depth {
            let x = K::V::splat(vector.add(k));
            for j in (0..whole).step_by(lanes) {
                K::V::load(to.add(j)).fma(x, K::V::load(from.add(k * k_stride + j))).store(to.add(j));
            }
        }
        for j in whole..sums.len() {
            for k in 0..depth {
                sums[j] += *vector.add(k) * *from.add(k * k_stride + j);
            }
        }
    }
}

/// The dot products of `N` contiguous columns with the vector: each sums by lanes, then the lanes in order, then what is
/// left of the depth.
///
/// # Safety
/// `depth` floats are readable at each pointer.
#[inline(always)]
unsafe fn dots<K: Kernel, const N: usize>(columns: [*const f32; N], vector: *const f32, depth: usize) -> [f32; N] {
    let lanes = K::V::LANES;
    // SAFETY: promised by the caller.
    unsafe {
        let mut sums = [[K::V::zero(); 2]; N];
        let mut k = 0;
        while k + 2 * lanes <= depth {
            for v in 0..2 {
                let x = K::V::load(vector.add(k + v * lanes));
                for n in 0..N {
                    sums[n][v] = sums[n][v].fma(x, K::V::load(columns[n].add(k + v * lanes)));
                }
            }
            k += 2 * lanes;
        }
        let mut totals = [0.0f32; N];
        for n in 0..N {
            let mut stored = [0.0f32; GROUP];
            sums[n][0].add(sums[n][1]).store(stored.as_mut_ptr());
            totals[n] = stored[..lanes].iter().sum();
            for k in k..depth {
                totals[n] += *vector.add(k) * *columns[n].add(k);
            }
        }
        totals
    }
}
