//! What a step applies: one record for each call of a function or layer, with its arguments, its result and the nodes that
//! were made meanwhile. A graph has forgotten that; whoever looks for questionable nets (lints) reads it here.

use super::context::{Checker, InstanceKind, Scope};
use super::values::{InstanceId, Value};
use crate::graph::NodeId;
use crate::source::Span;
use crate::syntax::ast::{FnDecl, LayerDecl};
use std::ops::Range;
use std::rc::Rc;

/// What was applied.
#[derive(Clone, Debug)]
pub enum Callee {
    Fn(Rc<FnDecl>),
    Layer {
        decl: Rc<LayerDecl>,
        /// Hyper-parameters by name; without functions that are left at their default.
        hypers: Vec<(String, Value)>,
        /// Where the instance is made, in the user's own text if it can be said so.
        made: Span,
    },
}

/// One application of a function or layer.
#[derive(Clone, Debug)]
pub struct Applied {
    pub callee: Callee,
    /// True if it is of the standard library.
    pub library: bool,
    /// By parameter, in the order of the declaration.
    pub args: Vec<Value>,
    pub result: Value,
    /// The numbers of the nodes that were made meanwhile.
    pub nodes: Range<usize>,
    /// The call, or the user's own call around it.
    pub at: Span,
    /// True if the call stands in the user's own text.
    pub direct: bool,
    /// Whether it was in training mode.
    pub training: bool,
}

impl Applied {
    /// As declared: `softmax`, `Linear`.
    pub fn name(&self) -> &str {
        match &self.callee {
            Callee::Fn(decl) => &decl.name.name,
            Callee::Layer { decl, .. } => &decl.name.name,
        }
    }

    /// The argument of this name; of a layer, one of `forward`.
    pub fn arg(&self, name: &str) -> Option<&Value> {
        let params = match &self.callee {
            Callee::Fn(decl) => &decl.params,
            Callee::Layer { decl, .. } => &decl.forward.as_ref()?.params,
        };
        self.args.get(params.iter().position(|p| p.name.name == name)?)
    }

    /// The tensor that is the argument of this name.
    pub fn tensor(&self, name: &str) -> Option<NodeId> {
        as_node(self.arg(name)?)
    }

    /// The tensor that is the first argument.
    pub fn first(&self) -> Option<NodeId> {
        as_node(self.args.first()?)
    }

    /// A layer's hyper-parameter.
    pub fn hyper(&self, name: &str) -> Option<&Value> {
        let Callee::Layer { hypers, .. } = &self.callee else { return None };
        hypers.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The one tensor that it gives.
    pub fn node(&self) -> Option<NodeId> {
        as_node(&self.result)
    }

    /// Where its layer is made, or where the function is called.
    pub fn made(&self) -> Span {
        match &self.callee {
            Callee::Fn(_) => self.at,
            Callee::Layer { made, .. } => *made,
        }
    }
}

fn as_node(value: &Value) -> Option<NodeId> {
    if let Value::Tensor(node) = value { Some(*node) } else { None }
}

impl Checker<'_> {
    /// The first arguments in a scope whose parameters have been bound.
    pub fn bound_args(&self, scope: &Scope, count: usize) -> Vec<Value> {
        scope.locals.iter().take(count).map(|l| l.value.clone()).collect()
    }

    /// Notes a call whose nodes begin at `from`.
    pub fn note_call(&mut self, decl: &Rc<FnDecl>, args: Vec<Value>, result: &Value, from: usize, span: Span) {
        self.note(Callee::Fn(decl.clone()), decl.name.span, args, result, from, span);
    }

    /// Notes that a layer was applied.
    pub fn note_layer(&mut self, id: InstanceId, args: Vec<Value>, result: &Value, from: usize, span: Span) {
        let instance = &self.instances[id.0 as usize];
        let InstanceKind::Layer(decl) = &instance.kind else { return };
        let (decl, made) = (decl.clone(), instance.span);
        let hypers = instance.hypers.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
        let made = self.declared_at(id, made);
        let declared = decl.name.span;
        self.note(Callee::Layer { decl, hypers, made }, declared, args, result, from, span);
    }

    fn note(&mut self, callee: Callee, declared: Span, args: Vec<Value>, result: &Value, from: usize, span: Span) {
        let applied = Applied {
            callee,
            library: self.is_builtin(declared),
            args,
            result: result.clone(),
            nodes: from..self.sheet.graph.nodes.len(),
            at: self.blame(span),
            direct: !self.is_builtin(span),
            training: self.training == Some(true),
        };
        self.sheet.applied.push(applied);
    }
}
