//! What an expression means while it is checked: compile-time values, tensors (nodes of the graph being made), layers.

use crate::dims::Dim;
use crate::graph::{NodeId, TensorType};
use crate::ops::{DType, Surface, VarId};
use crate::source::Span;
use crate::syntax::ast::{DataDecl, FnDecl, LayerDecl, OptimizerDecl};
use std::fmt;
use std::rc::Rc;

/// What the numbers of a float tensor mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Logits,
    Probs,
    LogProbs,
}

impl Tag {
    pub fn from_name(name: &str) -> Option<Tag> {
        match name {
            "logits" => Some(Tag::Logits),
            "probs" => Some(Tag::Probs),
            "log_probs" => Some(Tag::LogProbs),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Tag::Logits => "logits",
            Tag::Probs => "probs",
            Tag::LogProbs => "log_probs",
        }
    }
}

/// Index into the checker's list of reasons for sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Why(pub u32);

/// One axis of a tensor: its size, and why it is that.
#[derive(Clone, Debug)]
pub struct Axis {
    pub size: Dim,
    pub why: Why,
}

/// A tensor's type as the checker knows it.
#[derive(Clone, Debug)]
pub struct Ty {
    pub dtype: DType,
    pub axes: Vec<Axis>,
    pub tag: Option<Tag>,
    /// A number known only at run time (the clock, and what is computed from it): takes the dtype of what it meets.
    pub weak: bool,
}

impl Ty {
    pub fn plain(&self) -> TensorType<Dim> {
        TensorType::new(self.dtype, self.axes.iter().map(|a| a.size.clone()).collect())
    }

    pub fn rank(&self) -> usize {
        self.axes.len()
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.tag {
            Some(tag) if self.dtype == DType::F32 => write!(f, "{}", tag.name())?,
            Some(tag) => write!(f, "{} {}", tag.name(), self.dtype)?,
            None => write!(f, "{}", self.dtype)?,
        }
        write_sizes(f, self.axes.iter().map(|a| &a.size))
    }
}

/// `[B, 3, 32]`
fn write_sizes<'a>(f: &mut fmt::Formatter, sizes: impl Iterator<Item = &'a Dim>) -> fmt::Result {
    f.write_str("[")?;
    for (i, size) in sizes.enumerate() {
        write!(f, "{}{size}", if i > 0 { ", " } else { "" })?;
    }
    f.write_str("]")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// An argument as written, evaluated.
#[derive(Clone, Debug)]
pub struct Given {
    pub name: Option<String>,
    pub value: Value,
    pub span: Span,
}

/// What a call can call.
#[derive(Clone)]
pub enum Callable {
    /// A function of a file.
    Fn(Rc<FnDecl>),
    /// One operation of the op table.
    Surface(&'static Surface),
    /// A function that the checker itself evaluates, by name.
    Special(&'static str),
}

impl Callable {
    pub fn name(&self) -> &str {
        match self {
            Callable::Fn(decl) => &decl.name.name,
            Callable::Surface(surface) => surface.name,
            Callable::Special(name) => name,
        }
    }
}

/// A function whose first argument is still to come; the others are given.
#[derive(Clone)]
pub struct Stage {
    pub callable: Callable,
    pub given: Vec<Given>,
    pub span: Span,
}

/// A layer's name with its hyper-parameters: binding it makes an instance.
#[derive(Clone)]
pub struct Recipe {
    pub decl: Rc<LayerDecl>,
    pub given: Vec<Given>,
    pub span: Span,
}

#[derive(Clone)]
pub struct OptimizerValue {
    pub decl: Rc<OptimizerDecl>,
    pub given: Vec<Given>,
    /// Settings for parts of a net, in order.
    pub groups: Vec<super::groups::GroupValue>,
    /// Where it was made: what tells two optimizers apart.
    pub span: Span,
}

/// A data set: a source call with the transformations of the `data` items around it.
#[derive(Clone)]
pub struct DataValue {
    pub source: String,
    pub args: Vec<Given>,
    /// Innermost first.
    pub bodies: Vec<Rc<DataDecl>>,
    pub span: Span,
}

/// A tokenizer as the program writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenizerValue {
    Characters,
    Words(usize),
    WordPiece(String),
    Bpe(String),
}

impl fmt::Display for TokenizerValue {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TokenizerValue::Characters => f.write_str("characters()"),
            TokenizerValue::Words(most) => write!(f, "words({most})"),
            TokenizerValue::WordPiece(path) => write!(f, "wordpiece({path:?})"),
            TokenizerValue::Bpe(path) => write!(f, "bpe({path:?})"),
        }
    }
}

/// Where a text of a sample comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextValue {
    /// A text field of the source.
    Field(String),
    /// The text of a list that a field of whole numbers names.
    Choice(Vec<String>, String),
}

impl fmt::Display for TextValue {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TextValue::Field(name) => f.write_str(name),
            TextValue::Choice(list, field) => write!(f, "{list:?}[{field}]"),
        }
    }
}

#[derive(Clone)]
pub enum Value {
    Tensor(NodeId),
    /// A parameter or state: reading it gives its present value.
    Var(VarId),
    /// A whole number known while compiling, perhaps only by name.
    Int(Dim, Option<Why>),
    Float(f64),
    /// A number that only an instance knows (while a declaration is checked on its own).
    UnknownNumber,
    Bool(bool),
    Str(String),
    None,
    List(Vec<Value>),
    Tuple(Vec<Value>),
    /// A tuple whose parts have names: `top_k(x, 2).indices`.
    Record(Rc<Vec<(&'static str, Value)>>),
    Range(Dim, Dim),
    Stage(Rc<Stage>),
    Recipe(Rc<Recipe>),
    Layer(InstanceId),
    /// A layer with further arguments, whose first is still to come.
    Partial(InstanceId, Rc<Vec<Given>>),
    Optimizer(Rc<OptimizerValue>),
    /// The present values of the parameters that a selection names.
    Parameters(Vec<NodeId>),
    Data(Rc<DataValue>),
    /// A field of a data set, of which facts are asked: `data.text.vocab`.
    DataField(Rc<DataValue>, String),
    /// How texts are cut: `characters()`.
    Tokenizer(Rc<TokenizerValue>),
    /// A text of every sample, known only while running.
    Text(Rc<TextValue>),
    Clock,
    DType(DType),
    /// `2 epochs`
    Quantity(f64, String),
    /// Another task of the file, by its name.
    Task(String),
    /// Not known; anything is allowed and nothing is said (while a declaration is checked on its own).
    Unknown,
    /// A fault was reported.
    Poison,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.kind())
    }
}

impl Value {
    /// What it is, for messages: "a tensor", "the int 3".
    pub fn kind(&self) -> String {
        match self {
            Value::Tensor(_) | Value::Var(_) => "a tensor".into(),
            Value::Int(d, _) => format!("the int {d}"),
            Value::Float(v) => format!("the number {v}"),
            Value::UnknownNumber => "a number".into(),
            Value::Bool(b) => format!("the bool {b}"),
            Value::Str(s) => format!("the string {s:?}"),
            Value::None => "none".into(),
            Value::List(_) => "a list".into(),
            Value::Tuple(v) => format!("a tuple of {}", v.len()),
            Value::Record(v) => format!("a tuple of {}", v.len()),
            Value::Range(a, b) => format!("the range {a}..{b}"),
            Value::Stage(s) => format!("the function `{}`", s.callable.name()),
            Value::Recipe(r) => format!("the layer `{}`", r.decl.name.name),
            Value::Layer(_) | Value::Partial(..) => "a layer".into(),
            Value::Optimizer(o) => format!("the optimizer `{}`", o.decl.name.name),
            Value::Parameters(p) => format!("a selection of {} parameters", p.len()),
            Value::Data(_) => "a data set".into(),
            Value::DataField(_, name) => format!("the field `{name}`"),
            Value::Tokenizer(t) => format!("the tokenizer `{t}`"),
            Value::Text(_) => "a text".into(),
            Value::Clock => "the clock".into(),
            Value::DType(d) => format!("the dtype {d}"),
            Value::Quantity(v, unit) => format!("{v} {unit}"),
            Value::Task(name) => format!("the task `{name}`"),
            Value::Unknown | Value::Poison => "unknown".into(),
        }
    }

    pub fn int(value: impl Into<Dim>) -> Value {
        Value::Int(value.into(), None)
    }

    /// True where nothing can be said: a fault was reported, or it is not known here.
    pub fn is_silent(&self) -> bool {
        matches!(self, Value::Poison | Value::Unknown)
    }

    /// The number, if it is one that is known.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(d, _) => d.number().map(|n| n as f64),
            Value::Float(v) => Some(*v),
            _ => None,
        }
    }
}
