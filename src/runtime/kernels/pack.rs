//! Packing of views with any strides: an operand in memory comes in, strips and panels in the microkernel's order go out.
//! Invariant: nothing outside the view is read.

use super::drive::{PackA, PackB};
use super::isa::Kernel;
use super::tile::GROUP;

/// A matrix or a batch of matrices in memory; strides are in elements. A stride of 0 repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub col_stride: usize,
    /// Distance between the matrices of a batch.
    pub batch_stride: usize,
}

/// A view at an address.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub at: *const f32,
    pub view: View,
    /// Columns of the matrix (for B: what does not fill a group is zero).
    pub columns: usize,
}

// SAFETY: only a pointer to memory that nobody writes meanwhile.
unsafe impl Sync for Operand {}

impl PackA for Operand {
    #[inline(always)]
    unsafe fn pack<K: Kernel>(&self, batch: usize, row: usize, rows: usize, k0: usize, depth: usize, to: *mut f32) {
        let View { row_stride, col_stride, batch_stride } = self.view;
        // SAFETY: the elements read are those the caller names; `to` has room for 16 floats after the last.
        unsafe {
            let from = self.at.add(batch * batch_stride + row * row_stride + k0 * col_stride);
            if col_stride == 1 {
                K::transpose(from, row_stride, rows, depth, to, rows);
            } else if row_stride == 1 {
                for k in 0..depth {
                    K::copy_padded(from.add(k * col_stride), rows, to.add(k * rows));
                }
            } else {
                for k in 0..depth {
                    for i in 0..rows {
                        *to.add(k * rows + i) = *from.add(i * row_stride + k * col_stride);
                    }
                }
            }
        }
    }
}

impl PackB for Operand {
    #[inline(always)]
    unsafe fn pack<K: Kernel>(&self, batch: usize, group: usize, k0: usize, depth: usize, to: *mut f32, step: usize) {
        let View { row_stride, col_stride, batch_stride } = self.view;
        let column = group * GROUP;
        let columns = (self.columns - column).min(GROUP);
        // SAFETY: the elements read are those the caller names; each k writes the 16 floats of its group.
        unsafe {
            let from = self.at.add(batch * batch_stride + k0 * row_stride + column * col_stride);
            if col_stride == 1 {
                for k in 0..depth {
                    K::copy_padded(from.add(k * row_stride), columns, to.add(k * step));
                }
            } else if row_stride == 1 {
                K::transpose(from, col_stride, columns, depth, to, step);
            } else {
                for k in 0..depth {
                    for j in 0..GROUP {
                        let inside = j < columns;
                        *to.add(k * step + j) = if inside { *from.add(k * row_stride + j * col_stride) } else { 0.0 };
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn in_place(&self, batch: usize, group: usize, groups: usize) -> Option<(*const f32, usize)> {
        let whole = self.view.col_stride == 1 && (group + groups) * GROUP <= self.columns;
        whole.then(|| (self.at.wrapping_add(batch * self.view.batch_stride + group * GROUP), self.view.row_stride))
    }
}

/// An operand cut along the depth into parts as even as possible; the batch index is the part. Parts after the first
/// few are one shorter than the deepest, where the packed panel ends with zeros.
pub(super) struct Parts {
    operand: Operand,
    depth: usize,
    parts: usize,
}

impl Parts {
    pub fn new(operand: Operand, depth: usize, parts: usize) -> Parts {
        Parts { operand, depth, parts }
    }

    /// Where in the operand the wanted depth starts, and how much of it exists.
    fn place(&self, batch: usize, k0: usize, depth: usize) -> (usize, usize) {
        let start = crate::runtime::threads::part(self.depth, self.parts, batch);
        let end = crate::runtime::threads::part(self.depth, self.parts, batch + 1);
        (start + k0, depth.min((end - start).saturating_sub(k0)))
    }
}

impl PackA for Parts {
    #[inline(always)]
    unsafe fn pack<K: Kernel>(&self, batch: usize, row: usize, rows: usize, k0: usize, depth: usize, to: *mut f32) {
        let (start, exists) = self.place(batch, k0, depth);
        // SAFETY: as the caller promises; the rest of the strip is inside its room.
        unsafe {
            PackA::pack::<K>(&self.operand, 0, row, rows, start, exists, to);
            to.add(exists * rows).write_bytes(0, (depth - exists) * rows);
        }
    }
}

impl PackB for Parts {
    #[inline(always)]
    unsafe fn pack<K: Kernel>(&self, batch: usize, group: usize, k0: usize, depth: usize, to: *mut f32, step: usize) {
        let (start, exists) = self.place(batch, k0, depth);
        // SAFETY: as the caller promises.
        unsafe {
            PackB::pack::<K>(&self.operand, 0, group, start, exists, to, step);
            for k in exists..depth {
                to.add(k * step).write_bytes(0, GROUP);
            }
        }
    }

    #[inline(always)]
    fn in_place(&self, batch: usize, group: usize, groups: usize) -> Option<(*const f32, usize)> {
        // Where parts differ, shorter ones end with zeros, which are not in memory.
        let even = self.depth.is_multiple_of(self.parts);
        let (at, step) = self.operand.in_place(0, group, groups).filter(|_| even)?;
        Some((at.wrapping_add(self.place(batch, 0, 0).0 * step), step))
    }
}
