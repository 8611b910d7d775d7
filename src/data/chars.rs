//! `text(path)`: one long text, plain or gzip, cut to windows of which each token is to be foretold from those before it.
//! In goes the file, out come `token` (a window) and `next` (the same window one token later).
//!
//! The last part of the text is held out; the vocabulary is that of the part before it. Every position of that part
//! starts a sample (`stride: 1`), as character models are usually trained; what is held out is cut to windows side by
//! side, so that a validation sees each token once.

use super::dataset::{Column, Dataset, Encoding, Facts, Field, HoldOut, OpenedData, Storage};
use super::files;
use super::vocabulary::{Tokenizer, Vocabulary};
use super::{ArgValue, Bytes, Call, DeclaredField, Kind, Parameter, Result, SourceInfo, VALIDATE, internal};
use crate::diag::{Diagnostic, codes};
use crate::ops::DType;
use std::path::Path;
use std::sync::Arc;

const WINDOW: usize = 64;

pub const INFO: SourceInfo = SourceInfo {
    name: "text",
    doc: "one long text as windows of tokens, plain or gzip; its end is what is held out",
    fields: "token: i32[window], next: i32[window] (the same, one token later)",
    example: "text(\"data/input.txt\", tokenizer: characters(), window: 64, validate: 0.1)",
    parameters: &[
        Parameter { name: "path", kind: Kind::Path, default: None, doc: "the file, in UTF-8" },
        Parameter {
            name: "tokenizer",
            kind: Kind::Tokenizer,
            default: Some("characters()"),
            doc: "how the text is cut: `characters()` or `words(n)`, fitted on what is not held out",
        },
        Parameter { name: "window", kind: Kind::Size, default: Some("64"), doc: "the tokens of one sample" },
        Parameter {
            name: "stride",
            kind: Kind::Size,
            default: Some("1"),
            doc: "how many tokens after one sample the next one starts; held-out samples stand side by side",
        },
        Parameter {
            doc: "the fraction (0.1) of the text, or the number of windows, to hold out: the end of the text",
            ..VALIDATE
        },
    ],
    many_files: false,
    declared: |call| Some(fields(call).into_iter().map(DeclaredField::known).collect()),
    facts,
    open: |call, root| read(call, root).map(|(opened, _)| opened),
};

fn window(call: &Call) -> usize {
    call.size("window").unwrap_or(WINDOW)
}

fn fields(call: &Call) -> Vec<Field> {
    let field = |name| Field::new(name, DType::I32, &[window(call)]);
    vec![field("token"), field("next")]
}

fn facts(call: &Call, root: &Path) -> Result<Facts> {
    read(call, root).map(|(opened, _)| opened.facts())
}

/// The text of a file; what is not UTF-8 is a fault at its byte.
pub fn utf8<'b>(file: &files::Found, bytes: &'b [u8]) -> Result<&'b str> {
    let unmarked = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(unmarked).map_err(|e| {
        let at = e.valid_up_to() + (bytes.len() - unmarked.len());
        let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
        let d = file.bad(format!("byte {at} is not UTF-8 text"));
        let d = d.note(format!("it is in line {line}: {:02x?}", &bytes[at..bytes.len().min(at + 4)]));
        Box::new(d.help("save the file as UTF-8"))
    })?;
    if text.trim().is_empty() {
        return Err(Box::new(file.bad("the text is empty").help("copy or download the file again")));
    }
    Ok(text)
}

/// A tokenizer that is declared but cannot run.
pub fn not_there(tokenizer: &Tokenizer, call: &Call) -> Box<Diagnostic> {
    let what = format!("`{}` cannot run yet", tokenizer.text());
    let d = Diagnostic::error(codes::NOT_SUPPORTED, call.span_of("tokenizer"), what);
    Box::new(d.help("`characters()` and `words(n)` work today"))
}

fn read(call: &Call, root: &Path) -> Result<(OpenedData, Arc<Vocabulary>)> {
    let tokenizer = call.tokenizer("tokenizer").cloned().unwrap_or(Tokenizer::Characters);
    if !tokenizer.is_there() {
        return Err(not_there(&tokenizer, call));
    }
    let file = files::find(root, call.text("path").unwrap_or_default(), call.span_of("path"))?;
    let bytes = file.bytes()?;
    let text = utf8(&file, &bytes)?;
    let (window, stride) = (window(call), call.size("stride").unwrap_or(1));
    let characters = text.chars().count();
    let held = match call.value("validate") {
        Some(ArgValue::Int(n)) => usize::try_from(*n).unwrap_or(0).saturating_mul(window).saturating_add(1),
        Some(ArgValue::Float(f)) => (f * characters as f64).round() as usize,
        _ => 0,
    };
    let given = call.given("validate") && held > 0;
    let cut = text.char_indices().nth(characters.saturating_sub(held)).map_or(text.len(), |(at, _)| at);
    let (learn, rest) = text.split_at(if held >= characters { 0 } else { cut });
    let vocabulary = Arc::new(Vocabulary::fit(&tokenizer, std::iter::once(learn)));
    let mut ids = Vec::with_capacity(learn.len());
    vocabulary.encode(learn, &mut ids);
    let mut held_ids = Vec::with_capacity(rest.len());
    vocabulary.encode(rest, &mut held_ids);
    // A sample and the token after it.
    let samples = |tokens: usize, stride: usize| tokens.checked_sub(window + 1).map_or(0, |n| n / stride + 1);
    let count = samples(ids.len(), stride);
    let short = |what: &str, tokens: usize, count: usize| match count {
        0 => {
            let what = format!("a window of {window} is longer than the {what}");
            let d = Diagnostic::error(codes::BAD_SETTING, call.span_of("window"), what);
            let d = d.label(format!("{} tokens are needed, it has {tokens}", window + 1));
            let d = d.note(format!("the file is {}", file.path.display()));
            Err(Box::new(d.help("make `window` smaller, or take a longer text")))
        }
        n if u32::try_from(n).is_err() => {
            let d = file.bad("more samples than can be counted in 32 bits");
            Err(Box::new(d.help("take a larger `stride`")))
        }
        _ => Ok(()),
    };
    short(if given { "part of the text that is not held out" } else { "text" }, ids.len(), count)?;
    let hold_out = match given {
        false => HoldOut::Nothing,
        true => {
            let count = samples(held_ids.len(), window);
            short("part of the text that is held out", held_ids.len(), count)?;
            HoldOut::Official(Arc::new(dataset(call, &file, held_ids, count, window, &vocabulary)?))
        }
    };
    let dataset = Arc::new(dataset(call, &file, ids, count, stride, &vocabulary)?);
    Ok((OpenedData { dataset, hold_out }, vocabulary))
}

fn dataset(
    call: &Call,
    file: &files::Found,
    ids: Vec<i32>,
    count: usize,
    stride: usize,
    vocabulary: &Arc<Vocabulary>,
) -> Result<Dataset> {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_ne_bytes()).collect();
    let shared = Arc::new(bytes);
    let column = |start| {
        Column::new(Storage { bytes: Bytes::Shared(shared.clone()), start, encoding: Encoding::Windows(stride) })
    };
    let columns = vec![column(0), column(DType::I32.bytes())];
    let mut set =
        Dataset::new(file.path.display().to_string(), count, fields(call), columns).map_err(|e| internal(call, e))?;
    set.vocabularies = ["token", "next"].map(|name| (name.to_string(), vocabulary.clone())).into();
    Ok(set)
}
