//! What a person gives a task that generates, as the step's fields: in go the values of the source's columns as texts, out
//! come the buffers of one sample that has been through the data's own pipeline, and the tokens that the output begins
//! with. Vocabularies are those that the checkpoint holds; only without them is the data read.

use super::Result;
use crate::check::{FieldFrom, Generation, Task, TextValue};
use crate::data::vocabulary::START;
use crate::data::{self, Column, Dataset, Field, HoldOut, OpenedData, Storage, Texts, Tokenizer, View, Vocabulary};
use crate::data_facts::{fit, source_args, tokenizer_of, vocabulary_key};
use crate::diag::{Diagnostic, codes};
use crate::engine::bytes;
use crate::ops::DType;
use crate::train::{self, Feed};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A column of the source that a task needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub name: String,
    pub kind: InputKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum InputKind {
    /// A text, cut by this tokenizer.
    Text(Tokenizer),
    /// So many numbers of this dtype.
    Numbers(DType, Vec<usize>),
    /// Something that cannot be written on a command line: it has no fixed size.
    Unsized,
}

/// A prompt as the step takes it.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// One sample of each field of the task; empty for those that are filled later.
    pub fields: Vec<Vec<u8>>,
    /// The sizes of fields that differ from sample to sample, in their order.
    pub lengths: Vec<usize>,
    /// What the output begins with; it may be empty.
    pub tokens: Vec<i32>,
    /// Of the output.
    pub vocabulary: Arc<Vocabulary>,
    /// Words that the net does not know, with the flag that they were given by.
    pub unknown: Vec<(String, String)>,
}

/// The columns that a task needs, in the order of its fields.
pub fn inputs(task: &Task) -> Vec<Input> {
    let mut all: Vec<Input> = Vec::new();
    let mut add = |name: &str, kind: InputKind| {
        if all.iter().all(|i| i.name != name) {
            all.push(Input { name: name.to_string(), kind });
        }
    };
    for field in &task.fields {
        match &field.from {
            FieldFrom::Tokens { text: TextValue::Field(name), tokenizer, .. } => {
                add(name, InputKind::Text(tokenizer_of(tokenizer)));
            }
            FieldFrom::Tokens { text: TextValue::Choice(_, label), .. } => {
                add(label, InputKind::Numbers(DType::I32, Vec::new()));
            }
            FieldFrom::Source => {
                let shape: Option<Vec<usize>> =
                    field.shape.iter().map(|d| d.number().and_then(|n| usize::try_from(n).ok())).collect();
                add(&field.name, shape.map_or(InputKind::Unsized, |s| InputKind::Numbers(field.dtype, s)));
            }
            FieldFrom::Varying | FieldFrom::Alone => add(&field.name, InputKind::Unsized),
            FieldFrom::Length(_) | FieldFrom::Draw { .. } | FieldFrom::Growing | FieldFrom::Once(_) => {}
        }
    }
    all
}

/// Makes a prompt of what was given for each of [`inputs`], by name, and of what the output begins with. `saved` is the
/// checkpoint's metadata.
///
/// # Errors
/// An input that is missing or is not what the net takes, characters that are not in a vocabulary, data that is needed
/// and absent.
pub fn prompt(
    task: &Task,
    given: &BTreeMap<String, String>,
    begin: &str,
    saved: &BTreeMap<String, String>,
    root: &Path,
    seed: u64,
) -> Result<Prompt> {
    let (Some(generation), Some(data)) = (&task.generation, &task.data) else {
        let what = format!("`{}` is not a task that generates", task.name);
        return Err(Box::new(Diagnostic::error(codes::USAGE, task.span, what)));
    };
    let open = || data::open(&data.source, &source_args(data)?, root);
    let (mut fields, mut columns, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for input in inputs(task) {
        let Some(value) = given.get(&input.name) else {
            let d = Diagnostic::placeless(codes::USAGE, format!("`--{}` is missing", input.name));
            return Err(Box::new(d.help(format!("`{}` needs it: {}", task.name, spelled(&input)))));
        };
        match &input.kind {
            InputKind::Text(_) => {
                let mut text = Texts::new(&input.name);
                text.push(value);
                texts.push(text);
            }
            InputKind::Numbers(dtype, shape) => {
                fields.push(Field::new(&input.name, *dtype, shape));
                columns.push(Column::new(Storage::owned(numbers(&input, value, *dtype, shape)?)));
            }
            InputKind::Unsized => {
                let what = format!("`{}` cannot be given on the command line", input.name);
                let d = Diagnostic::placeless(codes::NOT_SUPPORTED, what);
                return Err(Box::new(d.help("texts and numbers of a fixed size can")));
            }
        }
    }
    let internal = |what: String| Box::new(Diagnostic::error(codes::INTERNAL, data.span, what));
    let set =
        Dataset::new("the command line", 1, fields, columns).and_then(|s| s.with_texts(texts)).map_err(internal)?;
    let one = OpenedData { dataset: Arc::new(set), hold_out: HoldOut::Nothing };
    let fitted = |_: &OpenedData, text: &TextValue, cut: &Tokenizer| fit(&open()?, text, cut, data.span);
    let opened = train::tokenized(task, data.span, one, saved, fitted)?;
    let mut unknown = Vec::new();
    for field in &task.fields {
        let FieldFrom::Tokens { text: TextValue::Field(name), tokenizer, .. } = &field.from else { continue };
        let text = given.get(name).map_or("", String::as_str);
        let tokenizer = tokenizer_of(tokenizer);
        let cut = opened
            .dataset
            .ragged
            .iter()
            .find(|r| r.key.starts_with(&format!("{name} |> ")) && *r.vocabulary.tokenizer() == tokenizer);
        if let Some(cut) = cut {
            known(&cut.vocabulary, text, name, &mut unknown)?;
        }
    }
    let mut feed = Feed::new(View::all(opened.dataset.clone()), &task.fields, None, false)?;
    feed.load(seed, 0, 0);
    let vocabulary = output_vocabulary(generation, saved, data.span, open)?;
    known(&vocabulary, begin, "prompt", &mut unknown)?;
    let mut tokens: Vec<i32> = generation.start.then_some(START).into_iter().collect();
    vocabulary.encode(begin, &mut tokens);
    if tokens.is_empty() {
        let d = Diagnostic::placeless(codes::USAGE, "`--prompt` is missing");
        let help = format!("texts of `{}` have no start mark: say how one begins, `--prompt TEXT`", task.name);
        return Err(Box::new(d.help(help)));
    }
    let (fields, lengths) = (feed.fields().to_vec(), feed.lengths().to_vec());
    Ok(Prompt { fields, lengths, tokens, vocabulary, unknown })
}

fn output_vocabulary(
    generation: &Generation,
    saved: &BTreeMap<String, String>,
    place: crate::source::Span,
    open: impl Fn() -> Result<OpenedData>,
) -> Result<Arc<Vocabulary>> {
    let tokenizer = tokenizer_of(&generation.tokenizer);
    let text = generation.text.as_ref().ok_or(generation.source.as_str());
    let key = match text {
        Ok(text) => vocabulary_key(&text.to_string(), Some(&tokenizer)),
        Err(field) => vocabulary_key(field, None),
    };
    if let Some(found) = saved.get(&key).and_then(|json| Vocabulary::from_json(&tokenizer, json)) {
        return Ok(Arc::new(found));
    }
    let opened = open()?;
    match text {
        Ok(text) => fit(&opened, text, &tokenizer, place).map(Arc::new),
        Err(field) => {
            let found = opened.dataset.vocabularies.iter().find(|(n, _)| n == field).map(|(_, v)| v.clone());
            let what = format!("the data has no vocabulary of `{field}`");
            found.ok_or_else(|| Box::new(Diagnostic::error(codes::DATA_FORMAT, place, what)))
        }
    }
}

/// Notes the words of a text that a vocabulary does not have; a character that it does not have is a fault.
fn known(vocabulary: &Vocabulary, text: &str, flag: &str, unknown: &mut Vec<(String, String)>) -> Result<()> {
    let strange = vocabulary.unknown(text);
    if *vocabulary.tokenizer() != Tokenizer::Characters {
        unknown.extend(strange.into_iter().map(|w| (flag.to_string(), w.to_string())));
        return Ok(());
    }
    let shown = |c: &str| if c.trim().is_empty() { format!("{c:?}") } else { format!("`{c}`") };
    let list = strange.iter().take(8).map(|c| shown(c)).collect::<Vec<_>>().join(", ");
    let what = match strange.as_slice() {
        [] => return Ok(()),
        [_] => format!("the net has never seen the character {list}"),
        _ => format!("the net has never seen the characters {list}"),
    };
    let mut all: Vec<&str> = (0..vocabulary.size() as i32).filter_map(|i| vocabulary.token(i)).collect();
    all.retain(|c| *c != "\u{FFFD}");
    all.sort_unstable();
    let d = Diagnostic::placeless(codes::USAGE, what).note(format!("it was given by `--{flag}`"));
    Err(Box::new(d.help(format!("its texts are made of {:?}", all.concat()))))
}

/// Numbers between commas, as many as the shape has.
fn numbers(input: &Input, text: &str, dtype: DType, shape: &[usize]) -> Result<Vec<u8>> {
    let wanted: usize = shape.iter().product();
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let parsed: Option<Vec<f64>> = parts.iter().map(|p| p.parse().ok()).collect();
    match parsed {
        Some(list) if list.len() == wanted && (dtype.is_float() || list.iter().all(|n| n.fract() == 0.0)) => {
            Ok(bytes::from_f64(dtype, list.into_iter()))
        }
        _ => {
            let d = Diagnostic::placeless(codes::USAGE, format!("`--{} {text}` cannot be read", input.name));
            Err(Box::new(d.help(format!("it is {}", spelled(input)))))
        }
    }
}

/// What an input takes, for people.
pub fn spelled(input: &Input) -> String {
    match &input.kind {
        InputKind::Text(tokenizer) => format!("`--{} TEXT`, a text that `{}` cuts", input.name, tokenizer.text()),
        InputKind::Numbers(dtype, shape) => match shape.iter().product::<usize>() {
            1 => format!("`--{} NUMBER`, {dtype}", input.name),
            n => format!("`--{} NUMBERS`, {n} of them with commas between, {dtype}{shape:?}", input.name),
        },
        InputKind::Unsized => format!("`--{}`, which cannot be given on the command line", input.name),
    }
}
