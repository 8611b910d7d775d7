//! `digits()`: the optical digits that ship with nnc (see `digits.md` for their source), packed in the binary.

use super::dataset::{Bytes, Column, Dataset, Encoding, Facts, Field, OpenedData, Storage};
use super::{Call, DeclaredField, Result, SourceInfo, VALIDATE, internal};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// gzip of 1,797 x 64 pixels of 0 to 16, then 1,797 labels.
const PACKED: &[u8] = include_bytes!("digits.bin.gz");
const COUNT: usize = 1797;
const PIXELS: usize = 64;

pub const INFO: SourceInfo = SourceInfo {
    name: "digits",
    doc: "1,797 scans of handwritten digits of 8 x 8 pixels, built in (UCI optical digits)",
    fields: "image: f32[1, 8, 8], label: i32",
    example: "digits(validate: 0.2)",
    parameters: &[VALIDATE],
    many_files: false,
    declared: |_| Some(fields().into_iter().map(DeclaredField::known).collect()),
    facts: |call, _| Ok(Facts::new(fields(), COUNT, &call.hold_out(COUNT)?)),
    open,
};

fn fields() -> Vec<Field> {
    vec![Field::new("image", crate::ops::DType::F32, &[1, 8, 8]), Field::label("label", 10)]
}

fn open(call: &Call, _root: &Path) -> Result<OpenedData> {
    let mut images = Vec::with_capacity(COUNT * (PIXELS + 1));
    flate2::bufread::GzDecoder::new(PACKED).read_to_end(&mut images).map_err(|e| internal(call, e.to_string()))?;
    if images.len() != COUNT * (PIXELS + 1) {
        return Err(internal(call, format!("{} bytes are packed", images.len())));
    }
    let labels = images.split_off(COUNT * PIXELS);
    let column = |bytes, encoding| Column::new(Storage { bytes: Bytes::Owned(bytes), start: 0, encoding });
    let columns = vec![column(images, Encoding::Scaled(16.0)), column(labels, Encoding::Widened)];
    let dataset = Dataset::new("digits", COUNT, fields(), columns).map_err(|e| internal(call, e))?;
    Ok(OpenedData { dataset: Arc::new(dataset), hold_out: call.hold_out(COUNT)? })
}
