//! Random numbers in place of data: a batch of a task's declared fields, for timing and for tests. Numbers are in 0..1,
//! labels and tokens in their range, lengths within what they are the length of. The same seed gives the same batch.

use super::bytes;
use crate::build::Sizes;
use crate::check::{FieldFrom, FieldUse, Task};
use crate::ops::{DType, threefry};

/// Integers of no known range are below this: small enough to be an index of anything that has two elements.
const FEW: u64 = 2;

/// One buffer a field of the task, in its order, as [`StepInputs`](super::StepInputs) wants them. Sizes that differ from
/// batch to batch are those that [`Sizes::of`] takes.
pub fn random_fields(task: &Task, batch: usize, seed: u64) -> Vec<Vec<u8>> {
    let sizes = Sizes::of(task, batch);
    let samples = if task.batch.is_some() { batch } else { 1 };
    let mut fields = Vec::new();
    for (site, field) in task.fields.iter().enumerate() {
        let one: usize = field.shape.iter().map(|d| sizes.number(d).unwrap_or(1).max(0) as usize).product();
        let key = [seed as u32, (seed >> 32) as u32, 0, 0];
        let draws = (0..one * samples).map(|i| f64::from(threefry::uniform(key, site as u64, i as u32)));
        let below = |draw: f64, limit: u64| (draw * limit as f64).floor();
        let numbers: Vec<f64> = if let FieldFrom::Length(of) = field.from {
            let (least, most) = lengths(&task.fields[of], &sizes);
            draws.map(|draw| least as f64 + below(draw, most - least + 1)).collect()
        } else if field.dtype.is_float() {
            draws.collect()
        } else {
            let limit = match (field.classes, field.below) {
                _ if field.dtype == DType::Bool => FEW,
                (Some(classes), _) => classes.max(1) as u64,
                (None, Some((below, _))) => below.max(1) as u64,
                (None, None) => FEW,
            };
            draws.map(|draw| below(draw, limit)).collect()
        };
        fields.push(bytes::from_f64(field.dtype, numbers.into_iter()));
    }
    fields
}

/// The least and the most elements of a field's first axis that are no padding. Texts are so much shorter than what they
/// are read off that an alignment of the two (CTC) is possible, also if a letter is repeated throughout.
fn lengths(of: &FieldUse, sizes: &Sizes) -> (u64, u64) {
    let axis = of.shape.first().and_then(|d| sizes.number(d).ok()).unwrap_or(1).max(1) as u64;
    let most = if of.dtype.is_float() { axis } else { axis.div_ceil(8) };
    (most.div_ceil(2), most)
}
