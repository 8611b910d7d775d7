//! The order of an epoch: in go a view's rows and a batch size, out come the rows of each batch. The order depends on the
//! seed and the epoch alone, so a run that resumes in the middle of an epoch computes it again and goes on.

use super::View;
use super::shuffle::Permutation;

/// Streams of [`Permutation`] from here on are epochs; those below are other purposes (the split).
const EPOCHS: u64 = 1 << 32;

/// Cuts an epoch over a view's rows into batches. The last batch of an epoch may be smaller.
#[derive(Clone, Debug)]
pub struct Loader {
    rows: Vec<u32>,
    order: Vec<u32>,
    batch: usize,
    shuffle: bool,
}

impl Loader {
    /// Batches of `batch` rows (at least 1) of `view`, shuffled anew in every epoch, or always in the view's order.
    pub fn new(view: &View, batch: usize, shuffle: bool) -> Loader {
        Loader { rows: view.rows.clone(), order: view.rows.clone(), batch: batch.max(1), shuffle }
    }

    /// Sets and returns the rows of the whole epoch in their order. Place `i` holds the row at `p(i)`, where `p` is the
    /// [`Permutation`] of seed and epoch. Allocates nothing.
    pub fn order(&mut self, seed: u64, epoch: u64) -> &[u32] {
        if self.shuffle {
            let shuffled = Permutation::new(self.rows.len(), seed, EPOCHS.wrapping_add(epoch));
            for (i, place) in self.order.iter_mut().enumerate() {
                *place = self.rows[shuffled.at(i)];
            }
        }
        &self.order
    }

    /// The number of batches of an epoch.
    pub fn batches(&self) -> usize {
        self.rows.len().div_ceil(self.batch)
    }

    /// The rows of batch `i` of the epoch last set by [`Loader::order`]; empty past the end.
    pub fn batch(&self, i: usize) -> &[u32] {
        let start = i.saturating_mul(self.batch).min(self.order.len());
        let end = start.saturating_add(self.batch).min(self.order.len());
        &self.order[start..end]
    }

    /// The number of rows of an epoch.
    pub fn samples(&self) -> usize {
        self.rows.len()
    }

    /// The size of every batch but perhaps the last.
    pub fn batch_size(&self) -> usize {
        self.batch
    }
}
