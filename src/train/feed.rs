//! Batches for the step: in go a task's fields and some rows of its data, out come the fields' buffers, filled. The order
//! depends on the seed and the epoch alone, a draw of the pipeline on the seed, the epoch and the sample. After the first
//! batch of each length nothing is allocated.

use super::Result;
use crate::check::{FieldFrom, FieldUse, Task, TextValue};
use crate::data::vocabulary::{END, PAD, START};
use crate::data::{self, Dataset, HoldOut, Loader, OpenedData, Ragged, Tokenizer, View, Vocabulary};
use crate::data_facts::{fit, no_text, source_args, tokenizer_of, vocabulary_key};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::ops::threefry;
use crate::source::Span;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The source of a step's fields.
#[derive(Debug)]
pub struct Feed {
    source: Option<Source>,
    buffers: Vec<Vec<u8>>,
    /// Whether fields have the batch axis.
    batched: bool,
    /// The sizes of the batch last loaded that differ from batch to batch.
    lengths: Vec<usize>,
    /// What each field's length may be at most, if the steps say so.
    most: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Source {
    view: View,
    loader: Loader,
    columns: Vec<Column>,
    /// The epoch whose order the loader holds, with its seed.
    order: Option<(u64, u64)>,
}

/// How a buffer is filled.
#[derive(Debug)]
enum Column {
    /// From a field of the data set, so many bytes a sample.
    Field { field: usize, bytes: usize },
    /// From lists of numbers, by their place in the data set.
    Ragged { list: usize, max: Option<usize> },
    /// The lengths of such lists.
    Length { list: usize, max: Option<usize> },
    /// Draws, so many a sample.
    Draw { site: u64, count: usize },
    /// By whoever generates.
    Elsewhere,
}

/// Opens the data of a task; none if it has none. Texts become numbers here.
pub fn open(task: &Task, root: &Path) -> Result<Option<OpenedData>> {
    open_with(task, root, &BTreeMap::new())
}

/// [`open`] with the vocabularies that a checkpoint's metadata hold, as far as they are of the same texts.
pub fn open_with(task: &Task, root: &Path, saved: &BTreeMap<String, String>) -> Result<Option<OpenedData>> {
    let Some(value) = &task.data else { return Ok(None) };
    let opened = data::open(&value.source, &source_args(value)?, root)?;
    tokenized(task, value.span, opened, saved, |opened, text, cut| fit(opened, text, cut, value.span)).map(Some)
}

/// A data set with the numbers of the texts that a task's fields are made of. Vocabularies that are not `saved` come
/// from `fitted`.
pub fn tokenized(
    task: &Task,
    place: Span,
    opened: OpenedData,
    saved: &BTreeMap<String, String>,
    fitted: impl Fn(&OpenedData, &TextValue, &Tokenizer) -> Result<Vocabulary>,
) -> Result<OpenedData> {
    let mut opened = opened;
    let (mut ragged, mut of_test) = (Vec::new(), Vec::new());
    for field in &task.fields {
        let FieldFrom::Tokens { text, tokenizer, start, end, .. } = &field.from else { continue };
        let key = key(field);
        if ragged.iter().any(|r: &Ragged| r.key == key) {
            continue;
        }
        let tokenizer = tokenizer_of(tokenizer);
        if !tokenizer.is_there() {
            let what = format!("`{}` cannot run yet", tokenizer.text());
            let d = Diagnostic::error(codes::NOT_SUPPORTED, place, what);
            return Err(Box::new(d.help("`characters()` and `words(n)` work today")));
        }
        let of = vocabulary_key(&text.to_string(), Some(&tokenizer));
        let vocabulary = match saved.get(&of).and_then(|json| Vocabulary::from_json(&tokenizer, json)) {
            Some(vocabulary) => vocabulary,
            None => fitted(&opened, text, &tokenizer)?,
        };
        let (vocabulary, marks) = (Arc::new(vocabulary), (start.then_some(START), end.then_some(END)));
        let list = |set: &Dataset| {
            let mut list = Ragged::new(key.clone(), vocabulary.clone());
            for row in 0..set.count {
                list.push(text_of(set, text, row, place)?, marks.0, marks.1);
            }
            Ok::<Ragged, Box<Diagnostic>>(list)
        };
        if let HoldOut::Official(test) = &opened.hold_out {
            of_test.push(list(test)?);
        }
        ragged.push(list(&opened.dataset)?);
    }
    let in_use = || Box::new(Diagnostic::error(codes::INTERNAL, place, "the data is in use"));
    if !ragged.is_empty() {
        Arc::get_mut(&mut opened.dataset).ok_or_else(in_use)?.ragged = ragged;
        if let HoldOut::Official(test) = &mut opened.hold_out {
            Arc::get_mut(test).ok_or_else(in_use)?.ragged = of_test;
        }
    }
    Ok(opened)
}

/// What a list of numbers is made for.
fn key(field: &FieldUse) -> String {
    match &field.from {
        FieldFrom::Tokens { text, tokenizer, start, end, .. } => format!("{text} |> {tokenizer} {start} {end}"),
        _ => String::new(),
    }
}

/// The text of a sample.
fn text_of<'a>(set: &'a Dataset, text: &'a TextValue, row: usize, span: Span) -> Result<&'a str> {
    match text {
        TextValue::Field(name) => set.text(name).map(|t| t.get(row)).ok_or_else(|| no_text(set, name, span)),
        TextValue::Choice(list, name) => {
            let field = set.field(name).filter(|i| set.fields[*i].bytes() == 4);
            let Some(field) = field else { return Err(no_text(set, name, span)) };
            let mut bytes = [0; 4];
            set.gather(field, &[row as u32], &mut bytes);
            let label = i32::from_ne_bytes(bytes);
            usize::try_from(label).ok().and_then(|i| list.get(i)).map(String::as_str).ok_or_else(|| {
                let what = format!("`{name}` is {label}, the list of texts has {}", list.len());
                Box::new(Diagnostic::error(codes::DATA_VALUE, span, what).help("give a text for every class"))
            })
        }
    }
}

/// The numbers of a field that chooses one of so many are all there.
fn in_range(view: &View, field: usize, wanted: &FieldUse) -> Result<()> {
    let Some((size, span)) = wanted.below else { return Ok(()) };
    let bytes = view.dataset.fields[field].bytes();
    let mut buffer = vec![0; bytes];
    for row in &view.rows {
        view.dataset.gather(field, &[*row], &mut buffer);
        let numbers = crate::engine::bytes::to_f64(wanted.dtype, &buffer);
        if let Some(outside) = numbers.iter().find(|n| **n < 0.0 || **n >= size as f64) {
            let what = format!("`{}` of sample {row} is {outside}, not below {size}", wanted.name);
            let what = if *outside < 0.0 { format!("`{}` of sample {row} is {outside}", wanted.name) } else { what };
            let d = Diagnostic::error(codes::DATA_VALUE, span, what)
                .label(format!("one of {size} is chosen here"))
                .note("samples are counted from 0, in the order of the file");
            return Err(Box::new(d.help("correct the data; `cross_entropy(…, ignore: -1)` leaves samples out")));
        }
    }
    Ok(())
}

fn vocabularies_of(set: &Dataset) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for list in &set.ragged {
        let text = list.key.split(" |> ").next().unwrap_or_default();
        all.insert(vocabulary_key(text, Some(list.vocabulary.tokenizer())), list.vocabulary.to_json());
    }
    for (field, vocabulary) in &set.vocabularies {
        all.insert(vocabulary_key(field, None), vocabulary.to_json());
    }
    all
}

/// Lengths are rounded up, so that few of them occur: to multiples of 8, from 64 on of an eighth of the power of two
/// below.
fn rounded(length: usize) -> usize {
    let step = (length.next_power_of_two() / 16).max(8);
    length.div_ceil(step).max(1) * step
}

/// The rows that a task which only measures or predicts takes: those held out, else all, in their order.
pub fn split(opened: &OpenedData, seed: u64) -> View {
    let split = opened.split(seed);
    split.validate.unwrap_or(split.train)
}

impl Feed {
    /// For a task without data: a step has no fields.
    pub fn none() -> Feed {
        Feed { source: None, buffers: Vec::new(), batched: false, lengths: Vec::new(), most: Vec::new() }
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
        let changed = |name: &str| {
            let what = format!("the field `{name}` of {} is not what was checked", set.name);
            Box::new(Diagnostic::placeless(codes::DATA_FORMAT, what).help("the file has changed meanwhile: run again"))
        };
        let list_of = |field: &FieldUse| {
            let FieldFrom::Tokens { max, .. } = &field.from else { return Err(changed(&field.name)) };
            let key = key(field);
            let list = set.ragged.iter().position(|r| r.key == key).ok_or_else(|| changed(&field.name))?;
            Ok((list, *max))
        };
        let mut columns = Vec::new();
        for wanted in fields {
            columns.push(match &wanted.from {
                FieldFrom::Source => {
                    let found = set.field(&wanted.name).map(|i| (i, &set.fields[i])).filter(|(_, f)| {
                        let fits = |(a, b): (&Dim, &usize)| a.number().is_none_or(|n| n as usize == *b);
                        f.dtype == wanted.dtype
                            && f.shape.len() == wanted.shape.len()
                            && wanted.shape.iter().zip(&f.shape).all(fits)
                    });
                    let (field, is) = found.ok_or_else(|| changed(&wanted.name))?;
                    in_range(&view, field, wanted)?;
                    Column::Field { field, bytes: is.bytes() }
                }
                FieldFrom::Varying | FieldFrom::Alone => {
                    let what = format!("`{}` has another length in every sample", wanted.name);
                    let d = Diagnostic::placeless(codes::NOT_SUPPORTED, what);
                    return Err(Box::new(d.help("lengths of texts may differ today; cut others to one length")));
                }
                FieldFrom::Tokens { .. } => {
                    let (list, max) = list_of(wanted)?;
                    let tokens = set.ragged[list].vocabulary.size();
                    if let Some((size, span)) = wanted.below.filter(|(size, _)| tokens as i64 > *size) {
                        let what = format!("`{}` has {tokens} tokens, here are {size}", wanted.name);
                        let d = Diagnostic::error(codes::DATA_VALUE, span, what).label("chosen from here");
                        return Err(Box::new(d.help("write `data.FIELD.vocab` for the number")));
                    }
                    Column::Ragged { list, max }
                }
                FieldFrom::Growing | FieldFrom::Once(_) => Column::Elsewhere,
                FieldFrom::Length(of) if fields.get(*of).is_some_and(|f| f.from == FieldFrom::Growing) => {
                    Column::Elsewhere
                }
                FieldFrom::Length(of) => {
                    let (list, max) = list_of(fields.get(*of).unwrap_or(wanted))?;
                    Column::Length { list, max }
                }
                FieldFrom::Draw { site } => {
                    let count = wanted.shape.iter().map(|d| d.number().and_then(|n| usize::try_from(n).ok())).product();
                    let count: Option<usize> = count;
                    Column::Draw { site: *site, count: count.ok_or_else(|| changed(&wanted.name))? }
                }
            });
        }
        let loader = Loader::new(&view, batch.unwrap_or(1), shuffle);
        let most = loader.batch_size().min(loader.samples());
        let buffers = columns.iter().map(|column| match column {
            Column::Field { bytes, .. } => Vec::with_capacity(bytes * most),
            Column::Draw { count, .. } => Vec::with_capacity(4 * count * most),
            _ => Vec::new(),
        });
        let buffers = buffers.collect();
        let source = Some(Source { view, loader, columns, order: None });
        Ok(Feed { source, buffers, batched: batch.is_some(), lengths: Vec::new(), most: Vec::new() })
    }

    /// With no padding beyond what the steps of its task take.
    pub fn within(self, task: &Task) -> Feed {
        let most = task.fields.iter().map(|f| f.varying().and_then(|size| task.longest(size))).collect();
        Feed { most, ..self }
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
        let set = &source.view.dataset;
        self.lengths.clear();
        for (i, (column, buffer)) in source.columns.iter().zip(&mut self.buffers).enumerate() {
            match *column {
                Column::Field { field, bytes } => {
                    buffer.resize(rows.len() * bytes, 0);
                    set.gather(field, rows, buffer);
                }
                Column::Ragged { list, max } => {
                    let list = &set.ragged[list];
                    let width = max.unwrap_or_else(|| {
                        let longest = rows.iter().map(|r| list.get(*r as usize).len()).max().unwrap_or(0);
                        let most = self.most.get(i).copied().flatten().unwrap_or(usize::MAX);
                        let width = if self.batched { rounded(longest).min(most.max(longest)) } else { longest };
                        self.lengths.push(width);
                        width
                    });
                    buffer.clear();
                    for row in rows {
                        let numbers = list.get(*row as usize);
                        let cut = numbers.len() > width;
                        for i in 0..width {
                            // A text that is cut keeps its end mark.
                            let is_end = cut && i + 1 == width && numbers.last() == Some(&END);
                            let number = if is_end { END } else { numbers.get(i).copied().unwrap_or(PAD) };
                            buffer.extend_from_slice(&number.to_ne_bytes());
                        }
                    }
                }
                Column::Length { list, max } => {
                    buffer.clear();
                    for row in rows {
                        let length = set.ragged[list].get(*row as usize).len().min(max.unwrap_or(usize::MAX));
                        buffer.extend_from_slice(&(length as i32).to_ne_bytes());
                    }
                }
                Column::Elsewhere => buffer.clear(),
                Column::Draw { site, count } => {
                    buffer.clear();
                    for row in rows {
                        // As if each sample were a step of its own: its row and the epoch stand for the step.
                        let key = [seed as u32, (seed >> 32) as u32, *row, epoch as u32];
                        for i in 0..count as u32 {
                            buffer.extend_from_slice(&threefry::uniform(key, site, i).to_ne_bytes());
                        }
                    }
                }
            }
        }
        rows.len()
    }

    /// The sizes of the batch last loaded that differ from batch to batch, as the engine is told them.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
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

    /// The vocabularies of its texts, as the metadata of a checkpoint.
    pub fn vocabularies(&self) -> BTreeMap<String, String> {
        let Some(source) = &self.source else { return BTreeMap::new() };
        vocabularies_of(&source.view.dataset)
    }
}
