//! Answers the checker's questions about data sets: from the readers, each file looked at once.

use crate::check::{DataFacts, DataValue, Facts, FieldFacts, Value};
use crate::data::{self, Arg, ArgValue, SourceArgs};
use crate::diag::{Diagnostic, Severity, codes};
use std::cell::RefCell;
use std::path::PathBuf;

type Answer = Result<Facts, Box<Diagnostic>>;

/// Opens sources below a folder.
pub struct OpenFacts {
    root: PathBuf,
    /// Answers so far, by the call.
    known: RefCell<Vec<(String, Answer)>>,
}

impl OpenFacts {
    pub fn new(root: PathBuf) -> OpenFacts {
        OpenFacts { root, known: RefCell::new(Vec::new()) }
    }

    fn ask(&self, data: &DataValue) -> Answer {
        let args = source_args(data)?;
        data::check(&data.source, &args)?;
        match data::facts(&data.source, &args, &self.root) {
            Ok(facts) => Ok(Facts {
                count: Some(facts.train),
                warning: None,
                fields: facts
                    .fields
                    .into_iter()
                    .map(|f| FieldFacts {
                        name: f.name,
                        dtype: f.dtype,
                        shape: f.shape.into_iter().map(Some).collect(),
                        classes: f.classes,
                    })
                    .collect(),
            }),
            // Without its file a source is checked as far as its call tells; running is what fails.
            Err(fault) if fault.code == codes::DATA_MISSING => {
                let declared = data::declared(&data.source, &args).unwrap_or_default();
                let fields = declared
                    .into_iter()
                    .filter_map(|f| {
                        Some(FieldFacts { name: f.name, dtype: f.dtype?, shape: f.shape?, classes: f.classes })
                    })
                    .collect();
                let warning = Diagnostic { code: codes::DATA_UNCHECKED, severity: Severity::Warning, ..*fault };
                Ok(Facts { fields, count: None, warning: Some(Box::new(warning)) })
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
}

/// The arguments of a source call in the readers' form.
pub fn source_args(data: &DataValue) -> Result<SourceArgs, Box<Diagnostic>> {
    let mut args = Vec::new();
    for given in &data.args {
        args.push(Arg { name: given.name.clone(), value: arg_value(&given.value, given.span)?, span: given.span });
    }
    Ok(SourceArgs { span: data.span, args })
}

fn arg_value(value: &Value, span: crate::source::Span) -> Result<ArgValue, Box<Diagnostic>> {
    Ok(match value {
        Value::Str(s) => ArgValue::Str(s.clone()),
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
