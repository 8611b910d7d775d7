//! A function's own gradient: `fn f(x) { … } gradient(d) { … }`. In go the function's value and its arguments, out comes
//! the value marked with what its block says: one gradient for each float tensor among the parameters, in order.

use super::context::{Checker, Res, Scope};
use super::shapes::{Form, form};
use super::values::{Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::graph::NodeId;
use crate::ops::Op;
use crate::source::Span;
use crate::syntax::ast::FnDecl;

impl Checker<'_> {
    /// Gives a function's value the gradient that it declares; `arguments` holds what it was called with alone, `scope`
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
        let y = match value {
            Value::Tuple(_) => return self.not_supported(last, "a gradient of one's own for several results"),
            Value::Tensor(y) if self.ty(y).dtype.is_float() => y,
            v if v.is_silent() => return Some(v),
            // A number, or a tensor of whole numbers: there is nothing to differentiate.
            v => return Some(v),
        };
        let plain = Ty { tag: None, weak: false, ..self.ty(y).clone() };
        let zero = self.scalar(0.0, plain.dtype, span);
        let stand_in = self.stretch(zero, &plain, span)?;
        let mut inner = arguments.clone();
        for local in &mut inner.locals {
            local.checked = false;
        }
        inner.bind(&names[0].name, Value::Tensor(stand_in), names[0].span);
        if let Some(local) = inner.local(&names[0].name) {
            local.checked = !self.is_builtin(names[0].span);
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
        Some(Value::Tensor(self.node(Op::CustomGradient { inputs: count }, operands, ty, span)))
    }
}

fn count(n: usize) -> String {
    if n == 1 { "1 value".to_string() } else { format!("{n} values") }
}
