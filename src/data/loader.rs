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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, View};
    use std::sync::Arc;

    #[test]
    fn every_epoch_has_every_row_once_and_can_be_computed_again() {
        let dataset = Dataset::new("empty", 103, Vec::new(), Vec::new()).expect("no fields, no contradiction");
        let view = View { dataset: Arc::new(dataset), rows: (3..103).collect() };
        let mut loader = Loader::new(&view, 32, true);
        assert_eq!((loader.batches(), loader.samples(), loader.batch_size()), (4, 100, 32));
        let first = loader.order(9, 0).to_vec();
        let second = loader.order(9, 1).to_vec();
        assert_ne!(first, second);
        for order in [&first, &second] {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, view.rows);
        }
        // A run that resumes in the middle of the second epoch sees the same batches.
        let mut resumed = Loader::new(&view, 32, true);
        resumed.order(9, 1);
        assert_eq!(resumed.batch(2), &second[64..96]);
        assert_eq!((resumed.batch(3), resumed.batch(4)), (&second[96..], &[][..]));
        let mut plain = Loader::new(&view, 32, false);
        assert_eq!(plain.order(9, 1), view.rows);
    }
}
