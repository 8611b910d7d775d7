//! Samples in memory: in go the columns that a reader has made, out come any rows' values, laid out as the compiled step
//! wants them. A data set never changes after it was opened, and gathering allocates nothing.

use super::shuffle::Permutation;
use super::texts::{Ragged, Texts};
use super::vocabulary::Vocabulary;
use crate::ops::DType;
use crate::runtime::mapped_file::MappedFile;
use std::ops::Deref;
use std::sync::Arc;

/// One named value of every sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub dtype: DType,
    /// The shape of one sample, without a batch axis.
    pub shape: Vec<usize>,
    /// The number of classes, if the field is a label: its values are below it and not negative.
    pub classes: Option<usize>,
}

impl Field {
    /// A field that is no label.
    pub fn new(name: impl Into<String>, dtype: DType, shape: &[usize]) -> Field {
        Field { name: name.into(), dtype, shape: shape.to_vec(), classes: None }
    }

    /// A label, `i32[]`, of so many classes.
    pub fn label(name: impl Into<String>, classes: usize) -> Field {
        Field { name: name.into(), dtype: DType::I32, shape: Vec::new(), classes: Some(classes) }
    }

    /// Elements of one sample.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of one sample as [`Dataset::gather`] writes it.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.bytes()
    }
}

/// Bytes that are ours, or a file's.
#[derive(Clone, Debug)]
pub enum Bytes {
    Owned(Vec<u8>),
    /// Ours, of several columns.
    Shared(Arc<Vec<u8>>),
    Mapped(Arc<MappedFile>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Owned(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
            Bytes::Mapped(file) => file,
        }
    }
}

/// How stored bytes become a field's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// They are the values, in the machine's byte order.
    Native,
    /// They are the values, in the other byte order.
    Swapped,
    /// One byte a value, of an f32 field: the byte divided by this (255 for pictures), correctly rounded.
    Scaled(f32),
    /// One byte a value, of an i32 field.
    Widened,
    /// As `Native`, but a sample starts so many values after the one before it: samples may overlap.
    Windows(usize),
}

/// Where the values of a field lie: sample after sample, from `start` on.
#[derive(Debug)]
pub struct Storage {
    pub bytes: Bytes,
    pub start: usize,
    pub encoding: Encoding,
}

impl Storage {
    /// Values of our own, in the machine's byte order.
    pub fn owned(bytes: Vec<u8>) -> Storage {
        Storage { bytes: Bytes::Owned(bytes), start: 0, encoding: Encoding::Native }
    }
}

/// The values of one field for all samples.
#[derive(Debug)]
pub struct Column {
    pub bytes: Storage,
    /// The classes' names in the order of their numbers; empty if they have none.
    pub class_names: Vec<String>,
}

impl Column {
    pub fn new(bytes: Storage) -> Column {
        Column { bytes, class_names: Vec::new() }
    }
}

/// All samples of one source.
#[derive(Debug)]
pub struct Dataset {
    /// The source's name and file, for messages.
    pub name: String,
    pub fields: Vec<Field>,
    /// The number of samples.
    pub count: usize,
    columns: Vec<Column>,
    /// The texts of every sample, which no step takes as they are.
    pub texts: Vec<Texts>,
    /// Lists of numbers that texts became.
    pub ragged: Vec<Ragged>,
    /// Fields that were cut from a text by the reader itself.
    pub vocabularies: Vec<(String, Arc<Vocabulary>)>,
}

impl Dataset {
    /// A data set of these fields, or what is inconsistent about them (a reader's mistake).
    pub fn new(
        name: impl Into<String>,
        count: usize,
        fields: Vec<Field>,
        columns: Vec<Column>,
    ) -> Result<Dataset, String> {
        if fields.len() != columns.len() {
            return Err(format!("{} fields but {} columns", fields.len(), columns.len()));
        }
        for (field, column) in fields.iter().zip(&columns) {
            let stored = match column.bytes.encoding {
                Encoding::Native | Encoding::Swapped | Encoding::Windows(_) => field.dtype.bytes(),
                Encoding::Scaled(_) | Encoding::Widened => 1,
            };
            let wanted_dtype = match column.bytes.encoding {
                Encoding::Scaled(_) => DType::F32,
                Encoding::Widened => DType::I32,
                Encoding::Native | Encoding::Swapped | Encoding::Windows(_) => field.dtype,
            };
            if field.dtype != wanted_dtype {
                return Err(format!("field `{}` is {} but is stored for {wanted_dtype}", field.name, field.dtype));
            }
            let values = match column.bytes.encoding {
                Encoding::Windows(_) if count == 0 => Some(0),
                Encoding::Windows(step) => step.checked_mul(count - 1).and_then(|n| n.checked_add(field.elements())),
                _ => field.elements().checked_mul(count),
            };
            let needed = values.and_then(|n| n.checked_mul(stored));
            let end = needed.and_then(|n| n.checked_add(column.bytes.start));
            if end.is_none_or(|end| end > column.bytes.bytes.len()) {
                return Err(format!("field `{}` has fewer bytes than {count} samples need", field.name));
            }
        }
        let (texts, ragged, vocabularies) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Dataset { name: name.into(), fields, count, columns, texts, ragged, vocabularies })
    }

    /// With texts, each of as many samples as there are (a reader's mistake otherwise).
    pub fn with_texts(self, texts: Vec<Texts>) -> Result<Dataset, String> {
        match texts.iter().find(|t| t.len() != self.count) {
            Some(t) => Err(format!("{} texts `{}` for {} samples", t.len(), t.name, self.count)),
            None => Ok(Dataset { texts, ..self }),
        }
    }

    /// The text field with this name.
    pub fn text(&self, name: &str) -> Option<&Texts> {
        self.texts.iter().find(|t| t.name == name)
    }

    /// The lists of numbers made for this key.
    pub fn ragged(&self, key: &str) -> Option<&Ragged> {
        self.ragged.iter().find(|r| r.key == key)
    }

    /// The index of the field with this name.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// The names of a label's classes, in the order of their numbers; empty if they have none.
    pub fn class_names(&self, field: usize) -> &[String] {
        &self.columns[field].class_names
    }

    /// Writes the values of `rows`, one sample after the other, in the field's dtype and the machine's byte order.
    ///
    /// # Panics
    /// If there is no such field or row, or `out` is not exactly `rows.len()` samples long.
    pub fn gather(&self, field: usize, rows: &[u32], out: &mut [u8]) {
        let storage = &self.columns[field].bytes;
        let field = &self.fields[field];
        let elements = field.elements();
        assert_eq!(out.len(), rows.len() * field.bytes(), "the batch of `{}` has another size", field.name);
        if elements == 0 {
            return;
        }
        let bytes = &storage.bytes[storage.start..];
        let width = field.dtype.bytes();
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(field.bytes())) {
            let row = row as usize;
            match storage.encoding {
                Encoding::Native => out.copy_from_slice(&bytes[row * out.len()..][..out.len()]),
                Encoding::Windows(step) => out.copy_from_slice(&bytes[row * step * width..][..out.len()]),
                Encoding::Swapped => {
                    out.copy_from_slice(&bytes[row * out.len()..][..out.len()]);
                    out.chunks_exact_mut(width).for_each(|value| value.reverse());
                }
                Encoding::Scaled(divisor) => {
                    for (byte, value) in bytes[row * elements..][..elements].iter().zip(out.chunks_exact_mut(4)) {
                        value.copy_from_slice(&(f32::from(*byte) / divisor).to_ne_bytes());
                    }
                }
                Encoding::Widened => {
                    for (byte, value) in bytes[row * elements..][..elements].iter().zip(out.chunks_exact_mut(4)) {
                        value.copy_from_slice(&i32::from(*byte).to_ne_bytes());
                    }
                }
            }
        }
    }
}

/// Some rows of a data set.
#[derive(Clone, Debug)]
pub struct View {
    pub dataset: Arc<Dataset>,
    /// Ascending.
    pub rows: Vec<u32>,
}

impl View {
    /// All rows.
    pub fn all(dataset: Arc<Dataset>) -> View {
        let rows = (0..dataset.count as u32).collect();
        View { dataset, rows }
    }
}

/// What is learned from, and what is only measured.
#[derive(Clone, Debug)]
pub struct Split {
    pub train: View,
    pub validate: Option<View>,
}

/// What a source was told to hold out.
#[derive(Clone, Debug)]
pub enum HoldOut {
    Nothing,
    /// So many of the samples, drawn by the seed.
    Rows(usize),
    /// The source's own test set.
    Official(Arc<Dataset>),
}

/// A source that has been read.
#[derive(Clone, Debug)]
pub struct OpenedData {
    /// The samples to learn from, those to be held out by a fraction among them.
    pub dataset: Arc<Dataset>,
    pub hold_out: HoldOut,
}

impl OpenedData {
    /// Splits into training and validation. Which rows are held out depends on the seed and the number of rows alone:
    /// they are the first that the seed's [`Permutation`] of stream 0 gives. With texts the seed is always 0.
    pub fn split(&self, seed: u64) -> Split {
        match &self.hold_out {
            HoldOut::Nothing => Split { train: View::all(self.dataset.clone()), validate: None },
            HoldOut::Official(test) => {
                Split { train: View::all(self.dataset.clone()), validate: Some(View::all(test.clone())) }
            }
            HoldOut::Rows(held) => {
                let count = self.dataset.count;
                // A vocabulary is fitted to what is learned from and is known while compiling: one split for all seeds.
                let seed = if self.dataset.texts.is_empty() { seed } else { 0 };
                let shuffled = Permutation::new(count, seed, 0);
                let mut order: Vec<u32> = (0..count).map(|i| shuffled.at(i) as u32).collect();
                let mut train = order.split_off((*held).min(count));
                order.sort_unstable();
                train.sort_unstable();
                Split {
                    train: View { dataset: self.dataset.clone(), rows: train },
                    validate: Some(View { dataset: self.dataset.clone(), rows: order }),
                }
            }
        }
    }

    /// What is known about the source without its samples.
    pub fn facts(&self) -> Facts {
        let set = &self.dataset;
        Facts {
            texts: set.texts.iter().map(|t| t.name.clone()).collect(),
            vocabularies: set.vocabularies.iter().map(|(name, v)| (name.clone(), v.size())).collect(),
            ..Facts::new(set.fields.clone(), set.count, &self.hold_out)
        }
    }
}

/// What checking needs to know about a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub fields: Vec<Field>,
    /// The number of samples to learn from.
    pub train: usize,
    /// The number of samples held out.
    pub validate: usize,
    /// Names of text fields.
    pub texts: Vec<String>,
    /// Fields that the reader cuts from a text, with the sizes of their vocabularies.
    pub vocabularies: Vec<(String, usize)>,
}

impl Facts {
    /// The facts of a source of `count` samples, of which some are held out.
    pub fn new(fields: Vec<Field>, count: usize, hold_out: &HoldOut) -> Facts {
        let (train, validate) = match hold_out {
            HoldOut::Nothing => (count, 0),
            HoldOut::Rows(held) => (count - held.min(&count), *held),
            HoldOut::Official(test) => (count, test.count),
        };
        Facts { fields, train, validate, texts: Vec::new(), vocabularies: Vec::new() }
    }

    /// All samples, held out or not: `data.count`.
    pub fn count(&self) -> usize {
        self.train + self.validate
    }

    /// The number of classes of the source's only label: `data.classes`. None if no field is a label, or several are.
    pub fn classes(&self) -> Option<usize> {
        let mut labels = self.fields.iter().filter_map(|f| f.classes);
        labels.next().filter(|_| labels.next().is_none())
    }
}
