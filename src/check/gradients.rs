//! A function's own gradient: `fn f(x) { … } gradient(d) { … }`. In go the function's value and its arguments, out comes
//! the value marked with what its block says: one gradient for each float tensor among the parameters, in order.

use super::context::{Checker, Res, Scope};
use super::shapes::{Form, form};
use super::values::{Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{DType, Op};
use crate::source::Span;
use crate::syntax::ast::FnDecl;

impl Checker<'_> {
    /// Gives a function's value (or values) the gradient that it declares; `arguments` holds what it was called with alone, `scope`
    /// what its body has made of it.
    pub fn with_gradient(
        &mut self,
        decl: &FnDecl,
        value: Value,
        arguments: &Scope,
        scope: &mut Scope,
        span: Span,
    ) -> Res<Value> {
        let Some((names, block)) = &decl.gradient else { return Some(value) };
        let name = &decl.name.name;
        let results = match &value {
            Value::Tuple(items) => items.len(),
            _ => 1,
        };
        let last = names.last().map_or(block.span.head(), |n| n.span);
        if names.len() != results {
            let takes = if results == 1 { "one name: `gradient(d)`".to_string() } else { format!("{results} names") };
            return self.fail(
                Diagnostic::error(codes::MISSING_ARGUMENT, last, format!("`gradient` of `{name}` takes {takes}"))
                    .label(format!("{} {}", names.len(), if names.len() == 1 { "is given" } else { "are given" }))
                    .help("one for the gradient of each result"),
            );
        }
        let values = match &value {
            Value::Tuple(items) => items.clone(),
            one => vec![one.clone()],
        };
        if let Some(silent) = values.iter().find(|v| v.is_silent()) {
            return Some(silent.clone());
        }
        // A number, or a tensor of whole numbers: there is nothing to differentiate.
        let floats: Vec<NodeId> = values
            .iter()
            .filter_map(
                |v| if let Value::Tensor(n) = v { Some(*n).filter(|n| self.ty(*n).dtype.is_float()) } else { None },
            )
            .collect();
        let Some(y) = self.packed(&floats, span)? else { return Some(value) };
        let plain = Ty { tag: None, weak: false, ..self.ty(y).clone() };
        let zero = self.scalar(0.0, plain.dtype, span);
        let stand_in = self.stretch(zero, &plain, span)?;
        let mut inner = arguments.clone();
        for local in &mut inner.locals {
            local.checked = false;
        }
        let mut parts = self.unpacked_parts(stand_in, &floats, span)?.into_iter();
        for (name, value) in names.iter().zip(&values) {
            let is_float = matches!(value, Value::Tensor(n) if floats.contains(n));
            let part = if is_float { parts.next().map_or(Value::None, Value::Tensor) } else { Value::None };
            inner.bind(&name.name, part, name.span);
            if let Some(local) = inner.local(&name.name) {
                local.checked = is_float && !self.is_builtin(name.span);
            }
        }
        let errors = self.errors();
        let gradients = match self.eval_block(block, &mut inner, false)? {
            Value::Tuple(items) => items,
            one => vec![one],
        };
        if self.errors() == errors {
            self.warn_unused(&inner);
        }
        // What the gradient alone uses is used.
        for (outer, used) in scope.locals.iter_mut().zip(&inner.locals).take(arguments.locals.len()) {
            outer.used |= used.used;
        }
        let params: Vec<&str> = decl
            .params
            .iter()
            .filter(|p| p.ty.as_ref().is_some_and(|t| matches!(form(t), Form::Tensor(f) if f.dtype.is_float())))
            .map(|p| p.name.name.as_str())
            .collect();
        let end = block.stmts.last().map_or(block.span, |s| s.span);
        if gradients.len() != params.len() {
            return self.fail(
                Diagnostic::error(
                    codes::MISSING_ARGUMENT,
                    end,
                    format!("`gradient` of `{name}` gives {} for {}", count(gradients.len()), params.len()),
                )
                .label("one gradient for each float tensor among the parameters")
                .help(match params.as_slice() {
                    [] => "this function has none: leave `gradient` out".to_string(),
                    [one] => format!("give the gradient by `{one}` alone"),
                    list => format!("give a tuple of them, in the order {}", list.join(", ")),
                }),
            );
        }
        let (mut inputs, mut written): (Vec<NodeId>, Vec<NodeId>) = (Vec::new(), Vec::new());
        for (param, gradient) in params.iter().zip(gradients) {
            let argument = arguments.locals.iter().rev().find(|l| l.name == *param).map(|l| l.value.clone());
            // A number in the place of a tensor has no gradient.
            let Some(Value::Tensor(x)) = argument else { continue };
            let ty = Ty { tag: None, weak: false, ..self.ty(x).clone() };
            if gradient.is_silent() {
                return Some(Value::Poison);
            }
            let g = self.number_node(&gradient, ty.dtype, end)?;
            let is = self.ty(g).clone();
            if is.dtype != ty.dtype && is.dtype.is_float() && !is.weak {
                return self.fail(
                    Diagnostic::error(
                        codes::DTYPE_MISMATCH,
                        end,
                        format!("the gradient by `{param}` is {is}, not {ty}"),
                    )
                    .label("a gradient is of the float type of what it is by")
                    .help(format!("convert it: `{}(…)`", ty.dtype)),
                );
            }
            if is.rank() != 0 && is.plain() != ty.plain() {
                return self.fail(
                    Diagnostic::error(
                        codes::SHAPE_MISMATCH,
                        end,
                        format!("the gradient by `{param}` is {is}, not {ty}"),
                    )
                    .label("a gradient has the shape of what it is by")
                    .help(format!("make it {ty}")),
                );
            }
            inputs.push(x);
            written.push(self.stretch(g, &ty, end)?);
        }
        let ty = self.ty(y).clone();
        let count = inputs.len();
        let operands = [y, stand_in].into_iter().chain(inputs).chain(written).collect();
        let made = self.node(Op::CustomGradient { inputs: count }, operands, ty, span);
        let Value::Tuple(_) = value else { return Some(Value::Tensor(made)) };
        let mut parts = self.unpacked_parts(made, &floats, span)?.into_iter();
        let results = values.into_iter().map(|v| match v {
            Value::Tensor(n) if floats.contains(&n) => parts.next().map_or(Value::Poison, Value::Tensor),
            other => other,
        });
        Some(Value::Tuple(results.collect()))
    }

    /// Several results one behind the other, so that their gradients arrive together; the only one as it is, and nothing
    /// if there is none. Those of several float types meet in one that holds the numbers of all, so nothing is rounded.
    fn packed(&mut self, results: &[NodeId], span: Span) -> Res<Option<NodeId>> {
        let [first, rest @ ..] = results else { return Some(None) };
        if rest.is_empty() {
            return Some(Some(*first));
        }
        let dtype = self.common_float(results).unwrap_or(self.ty(*first).dtype);
        let mut flat = Vec::new();
        for node in results {
            let size = self.count_of(*node);
            let axis = self.written(span, size);
            let node = self.as_plain(*node, dtype, span);
            flat.push(self.reshaped(node, vec![axis], span));
        }
        match self.add_op(Op::Concat { axis: 0 }, flat, span, "concat", &["list"])? {
            Value::Tensor(node) => Some(Some(node)),
            _ => None,
        }
    }

    /// The parts of what `packed` made, in the shapes of the results.
    fn unpacked_parts(&mut self, whole: NodeId, results: &[NodeId], span: Span) -> Res<Vec<NodeId>> {
        if let [_] = results {
            return Some(vec![whole]);
        }
        let mut start = Dim::default();
        let mut parts = Vec::new();
        for node in results {
            let (ty, size) = (self.ty(*node).clone(), self.count_of(*node));
            let op = Op::Slice { start: vec![start.clone()], size: vec![size.clone()], step: vec![1] };
            start = start.add(&size);
            let Value::Tensor(part) = self.add_op(op, vec![whole], span, "slice", &["x"])? else { return None };
            let part = self.reshaped(part, ty.axes.clone(), span);
            let is = self.ty(part);
            parts.push(match is.dtype != ty.dtype || ty.tag.is_some() && is.tag != ty.tag {
                true => self.node(Op::Cast, vec![part], Ty { weak: false, ..ty }, span),
                false => part,
            });
        }
        Some(parts)
    }

    fn count_of(&self, node: NodeId) -> Dim {
        self.ty(node).axes.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size))
    }

    /// The smallest float that holds every number of all of these.
    fn common_float(&self, results: &[NodeId]) -> Option<DType> {
        let join = |a: DType, b: DType| match (a, b) {
            (a, b) if a == b => a,
            (DType::F64, _) | (_, DType::F64) => DType::F64,
            _ => DType::F32,
        };
        results.iter().map(|n| self.ty(*n).dtype).reduce(join)
    }

    /// The node without a tag, as another float.
    fn as_plain(&mut self, node: NodeId, dtype: DType, span: Span) -> NodeId {
        let ty = self.ty(node).clone();
        match ty.tag.is_some() || ty.weak || ty.dtype != dtype {
            true => self.node(Op::Cast, vec![node], Ty { dtype, tag: None, weak: false, ..ty }, span),
            false => node,
        }
    }
}

fn count(n: usize) -> String {
    if n == 1 { "1 value".to_string() } else { format!("{n} values") }
}
