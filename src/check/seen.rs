//! What expressions and names turned out to be, for editors: in goes each value as it is evaluated, out comes a table from
//! places of the user's files to what was there. Nothing in checking reads it, and it is only kept where somebody asks.

use super::context::{Checker, Def, Facts, InstanceKind};
use super::program::VarKind;
use super::values::{Callable, Tag, Value};
use crate::dims::Dim;
use crate::graph::TensorType;
use crate::ops::DType;
use crate::source::Span;
use crate::syntax::ast::LayerDecl;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A value, without anything that belongs to the check that made it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Tensor {
        ty: TensorType<Dim>,
        tag: Option<Tag>,
    },
    /// A number, truth value, string or the like that is known while compiling, as it would be written.
    Constant(String),
    /// A whole number or a size.
    Size(Dim),
    Tuple(Vec<Seen>),
    List(Vec<Seen>),
    /// A layer that was made: its path, and the place of its declaration's name.
    Layer {
        name: String,
        path: String,
        decl: Option<Span>,
        links: Vec<(String, Seen)>,
    },
    /// A layer that is still to be made.
    Recipe {
        name: String,
        decl: Span,
    },
    Function {
        name: String,
        decl: Option<Span>,
    },
    Optimizer {
        name: String,
        decl: Span,
    },
    Data {
        source: String,
    },
    Task(String),
    /// Anything else, in words.
    Other(String),
}

/// What was seen at one place, in one of the evaluations that passed there.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// The task by its number; none while the declaration was checked on its own, with sizes known by name.
    pub task: Option<usize>,
    pub seen: Arc<Seen>,
}

/// A field of a task's data, with the sizes of one sample where they are known.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSeen {
    pub name: String,
    /// None for a text.
    pub dtype: Option<DType>,
    pub shape: Vec<Option<usize>>,
    pub classes: Option<usize>,
}

/// Parameters of a declaration checked on its own: path and type of each.
pub type OwnParameters = Vec<(String, TensorType<Dim>)>;

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Sights {
    /// By place; the first is of the declaration on its own, if there is one.
    pub values: BTreeMap<Span, Vec<Sight>>,
    /// What the data of each task holds, by the place of the task's word.
    pub fields: BTreeMap<Span, Vec<FieldSeen>>,
    /// By the place of a layer's name.
    pub parameters: BTreeMap<Span, Arc<OwnParameters>>,
    /// Names of tasks by number.
    pub tasks: Vec<String>,
    /// Items in the order in which they are checked, by the places of their names.
    pub order: Vec<Span>,
    /// Declarations with faults of their own, and those of them whose signature is in doubt.
    pub broken: BTreeSet<Span>,
    pub doubtful: BTreeSet<Span>,
}

/// Different sights kept of one place: more is not shown anyway.
const MOST_SIGHTS: usize = 6;

/// What an editor asks of a check.
#[derive(Default)]
pub struct Watch<'a> {
    pub sights: Sights,
    /// The items to evaluate, by the places of their names; all if none. The others are only declared.
    pub only: Option<BTreeSet<Span>>,
    /// Of those, what is known of their faults.
    pub broken: BTreeSet<Span>,
    pub doubtful: BTreeSet<Span>,
    /// Asked now and then: whether nobody wants the answer any more. The check then unwinds with [`Cancelled`].
    pub cancelled: Option<&'a dyn Fn() -> bool>,
}

/// What a check that nobody wants any more unwinds with.
pub struct Cancelled;

impl Checker<'_> {
    /// Notes a value that an expression or a name of the user's has.
    pub fn sight(&mut self, span: Span, value: &Value) {
        if self.watch.is_none() || value.is_silent() || self.is_builtin(span) {
            return;
        }
        let Some(seen) = self.seen(value, 0) else { return };
        let task = (!self.generic).then_some(self.task);
        let Some(watch) = &mut self.watch else { return };
        let sights = watch.sights.values.entry(span).or_default();
        if sights.len() < MOST_SIGHTS && !sights.iter().any(|s| s.task == task && *s.seen == seen) {
            sights.push(Sight { task, seen: Arc::new(seen) });
        }
    }

    fn seen(&self, value: &Value, depth: usize) -> Option<Seen> {
        if depth > 3 {
            return None;
        }
        let all = |items: &[Value]| {
            let some = items.iter().take(12);
            some.map(|v| self.seen(v, depth + 1).unwrap_or(Seen::Other(v.kind()))).collect::<Vec<_>>()
        };
        Some(match value {
            Value::Tensor(node) => {
                let ty = self.sheet.tys.get(node.index())?;
                Seen::Tensor { ty: ty.plain(), tag: ty.tag }
            }
            Value::Var(var) => Seen::Tensor { ty: self.vars.get(var.0 as usize)?.ty.clone(), tag: None },
            Value::Int(size, _) => Seen::Size(size.clone()),
            Value::Float(v) => Seen::Constant(format!("{v:?}")),
            Value::Bool(b) => Seen::Constant(b.to_string()),
            Value::Str(s) => Seen::Constant(format!("{s:?}")),
            Value::None => Seen::Constant("none".into()),
            Value::Range(a, b) => Seen::Constant(format!("{a}..{b}")),
            Value::DType(d) => Seen::Constant(d.to_string()),
            Value::Quantity(v, unit) => Seen::Constant(format!("{v} {unit}")),
            Value::Tokenizer(t) => Seen::Constant(t.to_string()),
            Value::List(items) => Seen::List(all(items)),
            Value::Tuple(items) => Seen::Tuple(all(items)),
            Value::Record(items) => {
                Seen::Tuple(items.iter().map(|(_, v)| self.seen(v, depth + 1)).collect::<Option<Vec<_>>>()?)
            }
            Value::Layer(id) | Value::Partial(id, _) => {
                let instance = self.instances.get(id.0 as usize)?;
                let (name, decl) = match &instance.kind {
                    InstanceKind::Layer(decl) => (decl.name.name.clone(), Some(decl.name.span)),
                    InstanceKind::Chain(_) => ("a chain".to_string(), None),
                    InstanceKind::List(_) => ("a list of layers".to_string(), None),
                };
                let links = instance.kind.links().unwrap_or_default().iter().take(64);
                let links = links.filter_map(|(n, v, _)| Some((n.clone(), self.seen(v, depth + 1)?))).collect();
                Seen::Layer { name, path: instance.path.replace('\u{1}', ""), decl, links }
            }
            Value::Recipe(recipe) => Seen::Recipe { name: recipe.decl.name.name.clone(), decl: recipe.decl.name.span },
            Value::Stage(stage) => {
                let decl = match &stage.callable {
                    Callable::Fn(decl) => Some(decl.name.span),
                    _ => None,
                };
                Seen::Function { name: stage.callable.name().to_string(), decl }
            }
            Value::Optimizer(o) => Seen::Optimizer { name: o.decl.name.name.clone(), decl: o.decl.name.span },
            Value::Data(data) => Seen::Data { source: data.source.clone() },
            Value::Task(name) => Seen::Task(name.clone()),
            Value::Unknown | Value::Poison => return None,
            other => Seen::Other(other.kind()),
        })
    }

    /// Notes what a task's data holds.
    pub fn sight_data(&mut self, task: Span, facts: &Facts) {
        let Some(watch) = &mut self.watch else { return };
        let texts = facts.texts.iter().map(|name| FieldSeen {
            name: name.clone(),
            dtype: None,
            shape: Vec::new(),
            classes: None,
        });
        let fields = facts.fields.iter().map(|f| FieldSeen {
            name: f.name.clone(),
            dtype: Some(f.dtype),
            shape: f.shape.clone(),
            classes: f.classes,
        });
        watch.sights.fields.insert(task, fields.chain(texts).collect());
    }

    /// Notes the parameters of a layer that was checked on its own.
    pub fn sight_declaration(&mut self, decl: &LayerDecl) {
        let Some(watch) = &mut self.watch else { return };
        let learned = self.vars.iter().filter(|v| v.kind == VarKind::Param);
        let parameters = learned.map(|v| (v.path.clone(), v.ty.clone())).collect();
        watch.sights.parameters.insert(decl.name.span, Arc::new(parameters));
    }

    /// Notes in which order items are checked.
    pub fn order_of_items(&mut self, items: &[(String, String)]) {
        let Some(watch) = &mut self.watch else { return };
        for values in [false, true] {
            let defs = items.iter().filter_map(|(key, _)| self.defs.get(key));
            let of = defs.filter(|(def, _)| matches!(def, Def::Const(_) | Def::Data(_)) == values);
            watch.sights.order.extend(of.map(|(_, span)| *span));
        }
    }

    /// Ends a check that nobody wants any more.
    pub fn give_way(&self) {
        if let Some(cancelled) = self.watch.as_ref().and_then(|w| w.cancelled)
            && cancelled()
        {
            std::panic::resume_unwind(Box::new(Cancelled));
        }
    }

    /// Whether an item is to be evaluated, by the place of its name.
    pub fn is_watched(&self, name: Span) -> bool {
        self.watch.as_ref().and_then(|w| w.only.as_ref()).is_none_or(|only| only.contains(&name))
    }
}
