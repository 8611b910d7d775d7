//! Answers the checker's questions about data sets: from the readers, each file looked at once.

use crate::check::{DataFacts, DataValue, Facts, FieldFacts, TextValue, TokenizerValue, Value, as_tokenizer};
use crate::data::{self, Arg, ArgValue, Dataset, OpenedData, SourceArgs, Tokenizer, Vocabulary};
use crate::diag::{Diagnostic, Severity, codes};
use crate::source::Span;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

type Answer = Result<Facts, Box<Diagnostic>>;

type SizeAnswer = Result<Option<usize>, Box<Diagnostic>>;

/// Opens sources below a folder.
pub struct OpenFacts {
    root: PathBuf,
    /// Answers so far, by the call.
    known: RefCell<Vec<(String, Answer)>>,
    /// Sizes of vocabularies so far, by the call and what is cut how.
    sizes: RefCell<Vec<(String, SizeAnswer)>>,
    /// Vocabularies that a checkpoint holds, by [`vocabulary_key`]: they come before those of the data.
    saved: BTreeMap<String, String>,
}

/// What a checkpoint's metadata call the vocabulary of a text that this tokenizer cuts, or of a field that the source
/// itself cuts.
pub fn vocabulary_key(of: &str, tokenizer: Option<&Tokenizer>) -> String {
    match tokenizer {
        Some(tokenizer) => format!("nnc.vocabulary {of} |> {}", tokenizer.text()),
        None => format!("nnc.vocabulary {of}"),
    }
}

impl OpenFacts {
    pub fn new(root: PathBuf) -> OpenFacts {
        OpenFacts { root, known: RefCell::default(), sizes: RefCell::default(), saved: BTreeMap::new() }
    }

    /// With the metadata of a checkpoint.
    pub fn with_saved(self, saved: BTreeMap<String, String>) -> OpenFacts {
        OpenFacts { saved, ..self }
    }

    /// The size of the vocabulary that a checkpoint holds under this key.
    fn saved_size(&self, key: &str, tokenizer: &Tokenizer) -> Option<usize> {
        let json = self.saved.get(key)?;
        Vocabulary::from_json(tokenizer, json).map(|v| v.size())
    }

    /// The facts of a source with the sizes of vocabularies that a checkpoint holds.
    fn ask(&self, data: &DataValue) -> Answer {
        let mut facts = self.look(data)?;
        let given = data.args.iter().find_map(|g| as_tokenizer(&g.value));
        let tokenizer = tokenizer_of(&given.unwrap_or(TokenizerValue::Characters));
        for (name, size) in &mut facts.vocabularies {
            *size = self.saved_size(&vocabulary_key(name, None), &tokenizer).or(*size);
        }
        Ok(facts)
    }

    fn look(&self, data: &DataValue) -> Answer {
        let args = source_args(data)?;
        data::check(&data.source, &args)?;
        match data::facts(&data.source, &args, &self.root) {
            Ok(facts) => Ok(Facts {
                count: Some(facts.train),
                held: Some(facts.validate),
                warning: None,
                texts: facts.texts,
                vocabularies: facts.vocabularies.into_iter().map(|(name, size)| (name, Some(size))).collect(),
                fields: facts
                    .fields
                    .into_iter()
                    .map(|f| FieldFacts {
                        name: f.name,
                        dtype: f.dtype,
                        shape: f.shape.into_iter().map(Some).collect(),
                        sizes: Vec::new(),
                        varying: false,
                        classes: f.classes,
                    })
                    .collect(),
            }),
            // Without its file or reader a source is checked as far as its call tells; running is what fails.
            Err(fault) if fault.code == codes::DATA_MISSING || fault.code == codes::NOT_SUPPORTED => {
                let declared = data::declared(&data.source, &args).unwrap_or_default();
                let texts = declared.iter().filter(|f| f.is_text).map(|f| f.name.clone()).collect();
                let vocabularies = match data.source.as_str() {
                    "text" => declared.iter().map(|f| (f.name.clone(), None)).collect(),
                    _ => Vec::new(),
                };
                let fields = declared
                    .into_iter()
                    .filter_map(|f| {
                        let sizes = f.sizes.iter().map(|s| s.to_string()).collect();
                        let (dtype, shape) = (f.dtype?, f.shape?);
                        Some(FieldFacts { name: f.name, dtype, shape, sizes, varying: f.varying, classes: f.classes })
                    })
                    .collect();
                let warning = Diagnostic { code: codes::DATA_UNCHECKED, severity: Severity::Warning, ..*fault };
                Ok(Facts { fields, count: None, held: None, texts, vocabularies, warning: Some(Box::new(warning)) })
            }
            Err(fault) => Err(fault),
        }
    }
}

impl DataFacts for OpenFacts {
    fn is_source(&self, name: &str) -> bool {
        data::source(name).is_some()
    }

    fn names(&self) -> Vec<String> {
        data::sources().iter().map(|s| s.name.to_string()).collect()
    }

    fn facts(&self, data: &DataValue) -> Answer {
        let key = format!("{}@{:?}", data.source, data.span);
        if let Some((_, answer)) = self.known.borrow().iter().find(|(k, _)| *k == key) {
            return answer.clone();
        }
        let answer = self.ask(data);
        self.known.borrow_mut().push((key, answer.clone()));
        answer
    }

    fn vocabulary(
        &self,
        data: &DataValue,
        text: &TextValue,
        tokenizer: &TokenizerValue,
    ) -> Result<Option<usize>, Box<Diagnostic>> {
        let key = format!("{}@{:?} {text} {tokenizer}", data.source, data.span);
        if let Some((_, answer)) = self.sizes.borrow().iter().find(|(k, _)| *k == key) {
            return answer.clone();
        }
        let tokenizer = tokenizer_of(tokenizer);
        let saved = self.saved_size(&vocabulary_key(&text.to_string(), Some(&tokenizer)), &tokenizer);
        let answer = match self.facts(data) {
            Ok(_) if saved.is_some() => Ok(saved),
            Ok(facts) if facts.warning.is_none() && tokenizer.is_there() => {
                source_args(data).and_then(|args| data::open(&data.source, &args, &self.root)).and_then(|opened| {
                    let fitted = fit(&opened, text, &tokenizer, data.span)?;
                    Ok(Some(fitted.size()))
                })
            }
            Ok(_) => Ok(None),
            Err(fault) => Err(fault),
        };
        self.sizes.borrow_mut().push((key, answer.clone()));
        answer
    }
}

/// A tokenizer in the readers' form.
pub fn tokenizer_of(value: &TokenizerValue) -> Tokenizer {
    match value {
        TokenizerValue::Characters => Tokenizer::Characters,
        TokenizerValue::Words(most) => Tokenizer::Words { most: *most },
        TokenizerValue::WordPiece(path) => Tokenizer::WordPiece { path: path.clone() },
        TokenizerValue::Bpe(path) => Tokenizer::Bpe { path: path.clone() },
    }
}

/// The vocabulary of texts: of the samples that are learned from, or of the list that a label chooses from.
///
/// # Errors
/// The source has no such text.
pub fn fit(
    opened: &OpenedData,
    text: &TextValue,
    tokenizer: &Tokenizer,
    span: Span,
) -> Result<Vocabulary, Box<Diagnostic>> {
    match text {
        TextValue::Choice(list, _) => Ok(Vocabulary::fit(tokenizer, list.iter().map(String::as_str))),
        TextValue::Field(name) => {
            let view = opened.split(0).train;
            let Some(texts) = view.dataset.text(name) else { return Err(no_text(&opened.dataset, name, span)) };
            Ok(Vocabulary::fit(tokenizer, view.rows.iter().map(|r| texts.get(*r as usize))))
        }
    }
}

/// The message for a text that a source does not have.
pub fn no_text(set: &Dataset, name: &str, span: Span) -> Box<Diagnostic> {
    let what = format!("{} has no text `{name}`", data::short(&set.name));
    let names: Vec<&str> = set.texts.iter().map(|t| t.name.as_str()).collect();
    let d = Diagnostic::error(codes::DATA_FORMAT, span, what);
    Box::new(match names.is_empty() {
        true => d.help("it has no texts"),
        false => d.help(format!("its texts are {}", names.join(", "))),
    })
}

/// The arguments of a source call in the readers' form.
pub fn source_args(data: &DataValue) -> Result<SourceArgs, Box<Diagnostic>> {
    let mut args = Vec::new();
    for given in &data.args {
        args.push(Arg { name: given.name.clone(), value: arg_value(&given.value, given.span)?, span: given.span });
    }
    Ok(SourceArgs { span: data.span, args })
}

fn arg_value(value: &Value, span: Span) -> Result<ArgValue, Box<Diagnostic>> {
    Ok(match value {
        Value::Str(s) => ArgValue::Str(s.clone()),
        other if as_tokenizer(other).is_some() => {
            ArgValue::Tokenizer(tokenizer_of(&as_tokenizer(other).unwrap_or(TokenizerValue::Characters)))
        }
        Value::Bool(b) => ArgValue::Bool(*b),
        Value::Float(v) => ArgValue::Float(*v),
        Value::Int(d, _) if d.number().is_some() => ArgValue::Int(d.number().unwrap_or(0)),
        Value::List(items) | Value::Tuple(items) => {
            ArgValue::List(items.iter().map(|v| arg_value(v, span)).collect::<Result<_, _>>()?)
        }
        other => {
            let headline = format!("{} cannot be an argument of a data source", other.kind());
            return Err(Box::new(
                Diagnostic::error(codes::WRONG_KIND, span, headline)
                    .help("sources take strings, numbers, truth values and lists of them"),
            ));
        }
    })
}
