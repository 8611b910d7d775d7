//! Batches for the step: in go a task's fields and some rows of its data, out come the fields' buffers, filled. The order
//! depends on the seed and the epoch alone. After the first batch nothing is allocated.

use super::Result;
use crate::check::{FieldUse, Task};
use crate::data::{self, Loader, OpenedData, View};
use crate::data_facts::source_args;
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use std::path::Path;

/// The source of a step's fields.
#[derive(Debug)]
pub struct Feed {
    source: Option<Source>,
    buffers: Vec<Vec<u8>>,
    /// Whether fields have the batch axis.
    batched: bool,
}

#[derive(Debug)]
struct Source {
    view: View,
    loader: Loader,
    /// For each buffer, the field of the data set and the bytes of one sample.
    columns: Vec<(usize, usize)>,
    /// The epoch whose order the loader holds, with its seed.
    order: Option<(u64, u64)>,
}

/// Opens the data of a task; none if it has none.
pub fn open(task: &Task, root: &Path) -> Result<Option<OpenedData>> {
    let Some(value) = &task.data else { return Ok(None) };
    if let Some(body) = value.bodies.first() {
        let d = Diagnostic::error(codes::NOT_SUPPORTED, body.name.span, "a `data` pipeline cannot run yet");
        return Err(Box::new(d.help("give the source itself: `data = digits()`")));
    }
    data::open(&value.source, &source_args(value)?, root).map(Some)
}

/// The rows that a task which only measures or predicts takes: those held out, else all, in their order.
pub fn split(opened: &OpenedData, seed: u64) -> View {
    let split = opened.split(seed);
    split.validate.unwrap_or(split.train)
}

impl Feed {
    /// For a task without data: a step has no fields.
    pub fn none() -> Feed {
        Feed { source: None, buffers: Vec::new(), batched: false }
    }

    /// Batches of a view for these fields; without a batch size one sample a step, without the batch axis.
    ///
    /// # Errors
    /// The data has changed since it was checked.
    pub fn new(view: View, fields: &[FieldUse], batch: Option<usize>, shuffle: bool) -> Result<Feed> {
        let set = &view.dataset;
        if view.rows.is_empty() {
            let d = Diagnostic::placeless(codes::DATA_FORMAT, format!("{} has no samples", set.name));
            return Err(Box::new(d.help("look at its file")));
        }
        let mut columns = Vec::new();
        for wanted in fields {
            let found = set.field(&wanted.name).map(|i| (i, &set.fields[i])).filter(|(_, f)| {
                let fits = |(a, b): (&Dim, &usize)| a.number().is_none_or(|n| n as usize == *b);
                f.dtype == wanted.dtype
                    && f.shape.len() == wanted.shape.len()
                    && wanted.shape.iter().zip(&f.shape).all(fits)
            });
            let Some((column, field)) = found else {
                let what = format!("the field `{}` of {} is not what was checked", wanted.name, set.name);
                let d = Diagnostic::placeless(codes::DATA_FORMAT, what);
                return Err(Box::new(d.help("the file has changed meanwhile: run again")));
            };
            columns.push((column, field.bytes()));
        }
        let loader = Loader::new(&view, batch.unwrap_or(1), shuffle);
        let most = loader.batch_size().min(loader.samples());
        let buffers = columns.iter().map(|(_, bytes)| Vec::with_capacity(bytes * most)).collect();
        Ok(Feed { source: Some(Source { view, loader, columns, order: None }), buffers, batched: batch.is_some() })
    }

    /// Batches of an epoch; none without data.
    pub fn batches(&self) -> Option<usize> {
        self.source.as_ref().map(|s| s.loader.batches())
    }

    /// Samples of an epoch; 0 without data.
    pub fn samples(&self) -> usize {
        self.source.as_ref().map_or(0, |s| s.loader.samples())
    }

    /// The sizes that batches have, as the engine is told them: the full one, and that of a smaller last one.
    pub fn sizes(&self) -> Vec<usize> {
        let Some(source) = self.source.as_ref().filter(|_| self.batched) else { return vec![0] };
        let (samples, batch) = (source.loader.samples(), source.loader.batch_size());
        let mut sizes = Vec::new();
        if samples >= batch {
            sizes.push(batch);
        }
        if !samples.is_multiple_of(batch) {
            sizes.push(samples % batch);
        }
        sizes
    }

    /// Fills the buffers with a batch of an epoch, and gives the number of its samples (1 without data).
    pub fn load(&mut self, seed: u64, epoch: u64, position: usize) -> usize {
        let Some(source) = &mut self.source else { return 1 };
        if source.order != Some((seed, epoch)) {
            source.loader.order(seed, epoch);
            source.order = Some((seed, epoch));
        }
        let rows = source.loader.batch(position);
        for ((column, bytes), buffer) in source.columns.iter().zip(&mut self.buffers) {
            buffer.resize(rows.len() * bytes, 0);
            source.view.dataset.gather(*column, rows, buffer);
        }
        rows.len()
    }

    /// The rows of the data set that the batch last loaded has; empty without data.
    pub fn rows(&self, position: usize) -> &[u32] {
        self.source.as_ref().map_or(&[], |s| s.loader.batch(position))
    }

    /// The batch size that the engine is told for so many samples.
    pub fn engine_batch(&self, samples: usize) -> usize {
        if self.batched { samples } else { 0 }
    }

    /// The buffers, in the order of the task's fields.
    pub fn fields(&self) -> &[Vec<u8>] {
        &self.buffers
    }
}
