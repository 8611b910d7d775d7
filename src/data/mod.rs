//! Data sources: in goes the call of a source as the program writes it, out come fields, facts and samples.
//!
//! [`sources`] is the registry; [`declared`] says what is known without any file, [`facts`] what a glance at the files
//! tells, and [`open`] reads them. A reader either gives consistent samples or a diagnostic; it never panics on a file,
//! and every sample's labels are below their number of classes. Files must not change while a run reads them.

mod args;
mod cells;
mod chars;
mod dataset;
mod digits;
mod files;
mod idx;
mod lines;
mod loader;
mod mnist;
mod npy;
mod npz;
mod planned;
mod resize;
pub mod shuffle;
mod table;
#[cfg(test)]
mod tests;
mod texts;
pub mod vocabulary;

pub use args::{Arg, ArgValue, Call, Kind, Parameter, SourceArgs};
pub use dataset::{Bytes, Column, Dataset, Encoding, Facts, Field, HoldOut, OpenedData, Split, Storage, View};
pub use loader::Loader;
pub use texts::{Ragged, Texts};
pub use vocabulary::{Tokenizer, Vocabulary};

use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::DType;
use std::path::Path;

/// A value, or the diagnostic that says why there is none.
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// A field as far as it is known without the file.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredField {
    pub name: String,
    /// None if only the file tells.
    pub dtype: Option<DType>,
    /// The shape of one sample; None if only the file tells, or for a size that it tells.
    pub shape: Option<Vec<Option<usize>>>,
    /// The number of classes, if it is a label and the number is known.
    pub classes: Option<usize>,
    /// A text: it has neither dtype nor shape until a tokenizer makes numbers of it.
    pub is_text: bool,
    /// Names of its sizes as far as they are unknown: sizes of one name are one, in all fields.
    pub sizes: &'static [&'static str],
    /// The first axis differs from sample to sample.
    pub varying: bool,
}

impl DeclaredField {
    /// A field about which only the name is known.
    pub fn named(name: impl Into<String>) -> DeclaredField {
        DeclaredField {
            name: name.into(),
            dtype: None,
            shape: None,
            classes: None,
            is_text: false,
            sizes: &[],
            varying: false,
        }
    }

    /// A text.
    pub fn text(name: impl Into<String>) -> DeclaredField {
        DeclaredField { is_text: true, ..DeclaredField::named(name) }
    }

    /// A field of which some sizes are known only by the file, or differ from sample to sample.
    pub fn sized(name: impl Into<String>, dtype: DType, shape: &[Option<usize>]) -> DeclaredField {
        DeclaredField { dtype: Some(dtype), shape: Some(shape.to_vec()), ..DeclaredField::named(name) }
    }

    /// A field about which everything is known.
    pub fn known(field: Field) -> DeclaredField {
        let shape = Some(field.shape.into_iter().map(Some).collect());
        DeclaredField { dtype: Some(field.dtype), shape, classes: field.classes, ..DeclaredField::named(field.name) }
    }
}

/// One reader: what it is called, what it takes, what it gives.
pub struct SourceInfo {
    pub name: &'static str,
    pub doc: &'static str,
    /// The fields of a sample, in the notation of the language.
    pub fields: &'static str,
    /// A call.
    pub example: &'static str,
    pub parameters: &'static [Parameter],
    /// True if it takes any number of files besides, by position or by the name of a field.
    pub many_files: bool,
    declared: fn(&Call) -> Option<Vec<DeclaredField>>,
    facts: fn(&Call, &Path) -> Result<Facts>,
    open: fn(&Call, &Path) -> Result<OpenedData>,
}

/// The parameter that every source has.
const VALIDATE: Parameter = Parameter {
    name: "validate",
    kind: Kind::HoldOut,
    default: Some("0.0"),
    doc: "the fraction (0.2) or the number (500) of samples to hold out for validation, drawn by the seed",
};

/// All sources, sorted by name.
pub fn sources() -> &'static [&'static SourceInfo] {
    &[
        &planned::AUDIO_FOLDER,
        &planned::CIFAR10,
        &table::CSV,
        &digits::INFO,
        &planned::GRAPH,
        &idx::INFO,
        &planned::IMAGE_FOLDER,
        &lines::INFO,
        &mnist::INFO,
        &npy::INFO,
        &npz::INFO,
        &chars::INFO,
        &table::TSV,
    ]
}

/// The source with this name.
pub fn source(name: &str) -> Option<&'static SourceInfo> {
    sources().iter().copied().find(|s| s.name == name)
}

fn call<'a>(name: &str, args: &'a SourceArgs) -> Result<Call<'a>> {
    let Some(info) = source(name) else {
        let d = Diagnostic::error(codes::UNKNOWN_NAME, args.span, format!("there is no data source `{name}`"));
        return Err(Box::new(match suggest::nearest(name, sources().iter().map(|s| s.name)) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => d.help(format!(
                "the sources are {}",
                sources().iter().map(|s| format!("`{}`", s.name)).collect::<Vec<_>>().join(", ")
            )),
        }));
    };
    Call::bind(info, args)
}

/// Checks a call without looking at any file.
pub fn check(name: &str, args: &SourceArgs) -> Result<()> {
    call(name, args).map(|_| ())
}

/// The fields that a call gives, as far as they are known without its files. None if not even their names are, or if
/// the call is wrong.
pub fn declared(name: &str, args: &SourceArgs) -> Option<Vec<DeclaredField>> {
    let call = call(name, args).ok()?;
    (call.source.declared)(&call)
}

/// The fields and counts of a call's samples, reading no more of the files than is needed for that.
pub fn facts(name: &str, args: &SourceArgs, root: &Path) -> Result<Facts> {
    let call = call(name, args)?;
    (call.source.facts)(&call, root)
}

/// Reads a source. Paths are relative to `root`.
pub fn open(name: &str, args: &SourceArgs, root: &Path) -> Result<OpenedData> {
    let call = call(name, args)?;
    (call.source.open)(&call, root)
}

/// The last part of a data set's name, for headlines.
pub fn short(name: &str) -> String {
    files::last_part(Path::new(name))
}

/// A reader that contradicts itself: our mistake, not the file's.
fn internal(call: &Call, what: String) -> Box<Diagnostic> {
    let d = Diagnostic::error(codes::INTERNAL, call.span, format!("the reader `{}` failed", call.source.name));
    Box::new(d.note(what).help("this is a mistake in nnc: please report it with the file"))
}
