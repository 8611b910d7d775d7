//! The arguments of a source: in go the values of a call with their spans, out comes a checked call whose readers can ask
//! for a parameter by name. Every unknown, missing, doubled or ill-typed argument is an error at its own span.

use super::dataset::{Dataset, HoldOut};
use super::vocabulary::Tokenizer;
use super::{Result, SourceInfo};
use crate::diag::{Diagnostic, codes, suggest};
use crate::source::Span;
use std::sync::Arc;

/// The compile-time value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgValue {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<ArgValue>),
    Tokenizer(Tokenizer),
}

impl ArgValue {
    fn describe(&self) -> String {
        match self {
            ArgValue::Str(text) => format!("the text \"{text}\""),
            ArgValue::Int(n) => format!("the number {n}"),
            ArgValue::Float(x) => format!("the number {x}"),
            ArgValue::Bool(b) => format!("`{b}`"),
            ArgValue::List(_) => "a list".to_string(),
            ArgValue::Tokenizer(t) => format!("the tokenizer `{}`", t.text()),
        }
    }
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// None if it was given by position.
    pub name: Option<String>,
    pub value: ArgValue,
    pub span: Span,
}

/// The arguments of a call, in source order.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceArgs {
    /// The whole call: the primary place of what is wrong with the data.
    pub span: Span,
    pub args: Vec<Arg>,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text: a file or folder, relative to the root.
    Path,
    /// Any text.
    Text,
    /// A list of texts.
    Texts,
    /// A whole number of at least 1.
    Size,
    /// A fraction of the samples (0.0 up to 1.0, excluded) or a number of them.
    HoldOut,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// How a text is cut.
    Tokenizer,
}

impl Kind {
    /// The kind in the words of the language.
    pub fn name(self) -> String {
        match self {
            Kind::Path | Kind::Text => "string".to_string(),
            Kind::Texts => "[string]".to_string(),
            Kind::Size => "int".to_string(),
            Kind::HoldOut => "float | int".to_string(),
            Kind::Tokenizer => "a tokenizer".to_string(),
            Kind::Choice(words) => words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" | "),
        }
    }

    fn admits(self, value: &ArgValue) -> bool {
        match (self, value) {
            (Kind::Path | Kind::Text | Kind::Choice(_), ArgValue::Str(_)) => true,
            (Kind::Texts, ArgValue::List(items)) => items.iter().all(|i| matches!(i, ArgValue::Str(_))),
            (Kind::Size, ArgValue::Int(_)) => true,
            (Kind::HoldOut, ArgValue::Int(_) | ArgValue::Float(_)) => true,
            (Kind::Tokenizer, ArgValue::Tokenizer(_)) => true,
            _ => false,
        }
    }
}

/// One parameter of a source.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    /// What holds if it is not given; None if it must be.
    pub default: Option<&'static str>,
    pub doc: &'static str,
}

/// A checked call of a source.
pub struct Call<'a> {
    pub source: &'static SourceInfo,
    /// The span of the whole call.
    pub span: Span,
    values: Vec<Option<&'a Arg>>,
    /// Arguments beyond the parameters, of a source that takes any number of files.
    pub files: Vec<&'a Arg>,
}

impl<'a> Call<'a> {
    /// Fits the arguments to the parameters.
    pub fn bind(source: &'static SourceInfo, args: &'a SourceArgs) -> Result<Call<'a>> {
        let mut call = Call { source, span: args.span, values: vec![None; source.parameters.len()], files: Vec::new() };
        let mut position = 0;
        for arg in &args.args {
            let slot = match &arg.name {
                Some(name) => source.parameters.iter().position(|p| p.name == name),
                None => (position < source.parameters.len() && !source.many_files).then_some(position),
            };
            position += usize::from(arg.name.is_none());
            let Some(slot) = slot else {
                if source.many_files && matches!(arg.value, ArgValue::Str(_)) {
                    call.files.push(arg);
                    continue;
                }
                return Err(Box::new(unknown(source, arg)));
            };
            let parameter = &source.parameters[slot];
            if let Some(first) = call.values[slot] {
                let d = Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    arg.span,
                    format!("`{}` of `{}` is given twice", parameter.name, source.name),
                );
                return Err(Box::new(d.also(first.span, "first here").help("leave one of them out")));
            }
            if !parameter.kind.admits(&arg.value) {
                let kind = parameter.kind.name();
                let d = Diagnostic::error(
                    codes::WRONG_KIND,
                    arg.span,
                    format!("`{}` of `{}` takes {kind}", parameter.name, source.name),
                );
                return Err(Box::new(d.label(format!("this is {}", arg.value.describe())).help(parameter.doc)));
            }
            check_value(source, parameter, arg)?;
            call.values[slot] = Some(arg);
        }
        for (parameter, value) in source.parameters.iter().zip(&call.values) {
            if parameter.default.is_none() && value.is_none() {
                let d = Diagnostic::error(
                    codes::MISSING_ARGUMENT,
                    args.span,
                    format!("`{}` needs `{}`", source.name, parameter.name),
                );
                return Err(Box::new(d.help(format!("`{}` is {}", parameter.name, parameter.doc))));
            }
        }
        if source.many_files && call.files.is_empty() {
            let d = Diagnostic::error(codes::MISSING_ARGUMENT, args.span, format!("`{}` needs a file", source.name));
            return Err(Box::new(d.help(format!("name the field and its file: {}", source.example))));
        }
        Ok(call)
    }

    fn arg(&self, name: &str) -> Option<&'a Arg> {
        let slot = self.source.parameters.iter().position(|p| p.name == name)?;
        self.values[slot]
    }

    /// Whether the argument was given.
    pub fn given(&self, name: &str) -> bool {
        self.arg(name).is_some()
    }

    /// The span of an argument, or of the call.
    pub fn span_of(&self, name: &str) -> Span {
        self.arg(name).map_or(self.span, |a| a.span)
    }

    /// The value of an argument, if given.
    pub fn value(&self, name: &str) -> Option<&'a ArgValue> {
        self.arg(name).map(|a| &a.value)
    }

    /// A text argument, if given.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match &self.arg(name)?.value {
            ArgValue::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A list of texts, if given.
    pub fn texts(&self, name: &str) -> Option<Vec<&'a str>> {
        match &self.arg(name)?.value {
            ArgValue::List(items) => items
                .iter()
                .map(|item| match item {
                    ArgValue::Str(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    /// A tokenizer, if given.
    pub fn tokenizer(&self, name: &str) -> Option<&'a Tokenizer> {
        match &self.arg(name)?.value {
            ArgValue::Tokenizer(tokenizer) => Some(tokenizer),
            _ => None,
        }
    }

    /// A size, if given; at least 1.
    pub fn size(&self, name: &str) -> Option<usize> {
        match self.arg(name)?.value {
            ArgValue::Int(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    /// What `validate` asks to hold out of `count` samples; both parts keep a sample at least.
    pub fn hold_out(&self, count: usize) -> Result<HoldOut> {
        let Some(arg) = self.arg("validate") else { return Ok(HoldOut::Nothing) };
        let held = match arg.value {
            ArgValue::Int(n) => usize::try_from(n).unwrap_or(usize::MAX),
            ArgValue::Float(0.0) => 0,
            ArgValue::Float(f) => ((f * count as f64).round() as usize).max(1),
            _ => 0,
        };
        if held == 0 {
            return Ok(HoldOut::Nothing);
        }
        if held >= count {
            let d = Diagnostic::error(
                codes::BAD_SETTING,
                arg.span,
                format!("holding out {held} of {count} samples leaves none to train on"),
            );
            return Err(Box::new(d.help("hold out fewer: `validate: 0.2` is a fifth")));
        }
        Ok(HoldOut::Rows(held))
    }

    /// As [`Call::hold_out`], but without `validate` it is the source's own test set.
    pub fn hold_out_or(&self, count: usize, test: impl FnOnce() -> Result<Arc<Dataset>>) -> Result<HoldOut> {
        if self.given("validate") { self.hold_out(count) } else { Ok(HoldOut::Official(test()?)) }
    }
}

/// Checks what the kind alone does not say.
fn check_value(source: &SourceInfo, parameter: &Parameter, arg: &Arg) -> Result<()> {
    let bad =
        |what: String, help: String| Err(Box::new(Diagnostic::error(codes::BAD_SETTING, arg.span, what).help(help)));
    let name = format!("`{}` of `{}`", parameter.name, source.name);
    match (parameter.kind, &arg.value) {
        (Kind::Size, &ArgValue::Int(n)) if !(1..=1 << 20).contains(&n) => {
            bad(format!("{name} cannot be {n}"), "give a whole number of at least 1".to_string())
        }
        (Kind::HoldOut, &ArgValue::Int(n)) if n < 0 => {
            bad(format!("{name} cannot be {n}"), "give a fraction such as 0.2, or a number of samples".to_string())
        }
        (Kind::HoldOut, &ArgValue::Float(f)) if !(0.0..1.0).contains(&f) => {
            bad(format!("{name} cannot be {f}"), "give a fraction from 0.0 up to, but not, 1.0".to_string())
        }
        (Kind::Choice(words), ArgValue::Str(text)) if !words.contains(&text.as_str()) => {
            let help = match suggest::nearest(text, words.iter().copied()) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("it takes {}", parameter.kind.name()),
            };
            bad(format!("{name} cannot be \"{text}\""), help)
        }
        _ => Ok(()),
    }
}

fn unknown(source: &SourceInfo, arg: &Arg) -> Diagnostic {
    let names = || source.parameters.iter().map(|p| p.name);
    let Some(name) = &arg.name else {
        let count = source.parameters.len();
        let headline = if source.many_files {
            format!("`{}` takes file names, not {}", source.name, arg.value.describe())
        } else {
            format!("`{}` takes at most {count} arguments", source.name)
        };
        let code = if source.many_files { codes::WRONG_KIND } else { codes::UNKNOWN_ARGUMENT };
        return Diagnostic::error(code, arg.span, headline).help(source.example);
    };
    let d = Diagnostic::error(codes::UNKNOWN_ARGUMENT, arg.span, format!("`{}` has no argument `{name}`", source.name));
    match suggest::nearest(name, names()) {
        Some(near) => d.help(format!("did you mean `{near}`?")),
        None if source.parameters.is_empty() => d.help("it takes none"),
        None => d.help(format!("it takes {}", names().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "))),
    }
}
