//! A selection of parameters as a value: `l1(net.*.weight, 1e-6)`. Elementwise functions and operators map over it, `sum`,
//! `mean` and `norm` make one number of it; everything else does not take it.

use super::context::{Checker, Res};
use super::shapes::{Form, form};
use super::values::{Callable, Given, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{DType, Op, Unary};
use crate::source::Span;
use crate::syntax::ast::BinaryOp;

impl Checker<'_> {
    /// What an argument of kind `parameters` stands for.
    pub fn as_parameters(&mut self, value: Value, span: Span) -> Res<Value> {
        match value {
            Value::Layer(_) if self.forms.survey => Some(Value::Unknown),
            Value::Layer(id) => {
                let all = self.whole_of(id, span);
                self.parameters_of(&all, span)
            }
            Value::Tensor(node) => Some(Value::Parameters(vec![node])),
            other => Some(other),
        }
    }

    /// Calls a function with a selection among its arguments; none if it takes one as it is.
    pub fn call_with_parameters(&mut self, callable: &Callable, given: &[Given], span: Span) -> Option<Res<Value>> {
        let at = given.iter().position(|g| matches!(g.value, Value::Parameters(_)))?;
        let Value::Parameters(nodes) = &given[at].value else { return None };
        if let Callable::Fn(decl) = callable {
            let param = match &given[at].name {
                Some(name) => decl.params.iter().find(|p| p.name.name == *name),
                None => decl.params.get(at),
            };
            let takes = |ty| matches!(form(ty), Form::Kind(k) if k.name == "parameters");
            if param.and_then(|p| p.ty.as_ref()).is_some_and(takes) {
                return None;
            }
        }
        let name = callable.name().to_string();
        if matches!(name.as_str(), "sum" | "mean" | "norm") {
            return Some(self.reduced(&name, nodes, given.len(), span));
        }
        let count = nodes.len();
        let calls = (0..count).map(|i| {
            let mut one = given.to_vec();
            for g in &mut one {
                if let Value::Parameters(all) = &g.value {
                    g.value = all.get(i).map_or(Value::Poison, |n| Value::Tensor(*n));
                }
            }
            self.call(callable, one, span)
        });
        let results: Vec<Res<Value>> = calls.collect();
        Some(self.gathered(results, nodes.clone(), &name, span))
    }

    /// `a op b`, where one of them is a selection; none if neither is.
    pub fn binary_with_parameters(
        &mut self,
        op: BinaryOp,
        a: &Value,
        b: &Value,
        span: Span,
        op_span: Span,
    ) -> Option<Res<Value>> {
        let nodes = match (a, b) {
            (Value::Parameters(x), Value::Parameters(y)) if x.len() != y.len() => {
                let what = format!("`{}` of {} and {} parameters", op.symbol(), x.len(), y.len());
                let d = Diagnostic::error(codes::SHAPE_MISMATCH, op_span, what);
                return Some(self.fail(d.label("the two selections differ").help("select the same parts of both")));
            }
            (Value::Parameters(nodes), _) | (_, Value::Parameters(nodes)) => nodes.clone(),
            _ => return None,
        };
        let one = |value: &Value, i: usize| match value {
            Value::Parameters(all) => Value::Tensor(all[i]),
            other => other.clone(),
        };
        let results = (0..nodes.len()).map(|i| self.binary(op, one(a, i), one(b, i), span, op_span)).collect();
        Some(self.gathered(results, nodes, op.symbol(), span))
    }

    /// The results of one function for each parameter.
    fn gathered(&mut self, results: Vec<Res<Value>>, nodes: Vec<NodeId>, name: &str, span: Span) -> Res<Value> {
        let mut out = Vec::new();
        for (result, node) in results.into_iter().zip(nodes) {
            match result? {
                Value::Tensor(made) if self.ty(made).plain().shape == self.ty(node).plain().shape => out.push(made),
                v if v.is_silent() => return Some(v),
                _ => {
                    return self.fail(
                        Diagnostic::error(codes::WRONG_KIND, span, format!("`{name}` does not take a selection"))
                            .label("it is not computed element by element")
                            .help("elementwise functions, `sum`, `mean` and `norm` take one"),
                    );
                }
            }
        }
        Some(Value::Parameters(out))
    }

    fn reduced(&mut self, name: &str, nodes: &[NodeId], given: usize, span: Span) -> Res<Value> {
        if given > 1 {
            return self.fail(
                Diagnostic::error(codes::UNKNOWN_ARGUMENT, span, format!("`{name}` of a selection is one number"))
                    .label("a selection has no axes")
                    .help(format!("write `{name}(…)` alone")),
            );
        }
        let total = match name {
            "norm" => self.sum_of_squares(nodes, span)?,
            _ => self.sum_of(nodes, span)?,
        };
        let Some(total) = total else { return Some(Value::Float(0.0)) };
        match name {
            "norm" => self.add_op(Op::Unary(Unary::Sqrt), vec![total], span, "sqrt", &["x"]),
            "mean" => {
                let count = nodes.iter().fold(Dim::default(), |sum, n| {
                    let size = self.ty(*n).axes.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
                    sum.add(&size)
                });
                let count = self.number_node(&Value::int(count), DType::F32, span)?;
                self.binary(BinaryOp::Div, Value::Tensor(total), Value::Tensor(count), span, span)
            }
            _ => Some(Value::Tensor(total)),
        }
    }
}
