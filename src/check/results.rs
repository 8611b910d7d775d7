//! What a signature promises beyond its parameters: `where` clauses, results, and locals with types.

use super::context::{Bound, Checker, ReasonKind, Res, Scope};
use super::program::Demand;
use super::shapes::{Form, Place, form};
use super::values::Value;
use crate::diag::Label;
use crate::dims::Dim;
use crate::ops::Op;
use crate::source::Span;
use crate::syntax::ast::{DimExpr, Relation, TypeExpr, TypeKind, WhereClause};

impl Checker<'_> {
    /// Binds the dims that `where` defines, and checks its bounds.
    pub fn bind_wheres(&mut self, wheres: &[WhereClause], scope: &mut Scope) -> Res<()> {
        for clause in wheres {
            let mut open = Vec::new();
            let right = self.dim_of(&clause.right, scope, &mut open)?;
            if let Some((name, _)) = open.first() {
                return self.unknown_dim(&name.clone(), clause.right.span);
            }
            let left = self.dim_of(&clause.left, scope, &mut open)?;
            if clause.relation == Relation::Define {
                if let [(name, sym)] = open.as_slice() {
                    let size = left.solve(sym, &right).unwrap_or(right);
                    let why = self.reason(clause.span, &size, ReasonKind::Written, Vec::new());
                    scope.dims.insert(name.clone(), Bound { size, why });
                    continue;
                }
                let text = self.sources.text(clause.span).to_string();
                self.demand(left, clause.relation, right, text, clause.span)?;
                continue;
            }
            self.growing_limit(clause.relation, &left, &right);
            let text = self.sources.text(clause.span).to_string();
            self.demand(left, clause.relation, right, text, clause.span)?;
        }
        Some(())
    }

    /// Something must hold of sizes: decided now, or else when they become numbers.
    pub fn demand(&mut self, left: Dim, relation: Relation, right: Dim, text: String, written: Span) -> Res<()> {
        let span = self.calls.last().map_or(written, |c| c.span);
        let demand = Demand { left, relation, right, text, written, span: self.blame(span) };
        match demand.left.sub(&demand.right).number() {
            Some(difference) if !Demand::holds(relation, difference, 0) => {
                self.fail(demand.broken(&demand.left.to_string(), &demand.right.to_string()))
            }
            Some(_) => Some(()),
            None => {
                if !self.demands.contains(&demand) {
                    self.demands.push(demand);
                }
                Some(())
            }
        }
    }

    /// Compares a body's value with the declared result, and gives it the declared tag.
    pub fn match_result(
        &mut self,
        value: Value,
        declared: Option<&TypeExpr>,
        span: Span,
        what: &str,
        scope: &mut Scope,
    ) -> Res<Value> {
        let value = self.present(value, span);
        let Some(declared) = declared else { return Some(value) };
        let said = self.found.len();
        let result = self.match_declared(value, declared, span, what, scope);
        // The other side of the contradiction.
        if !self.is_builtin(declared.span)
            && let Some(fault) = self.found.get_mut(said)
            && fault.secondary.is_empty()
            && fault.span() != Some(declared.span)
        {
            fault.secondary.push(Label { span: declared.span, text: "declared here".into() });
        }
        result
    }

    fn match_declared(
        &mut self,
        value: Value,
        declared: &TypeExpr,
        span: Span,
        what: &str,
        scope: &mut Scope,
    ) -> Res<Value> {
        let text = format!("the result of `{what}`");
        let place = Place { span, what: &text };
        match (&declared.kind, value) {
            (TypeKind::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                let mut out = Vec::new();
                for (ty, value) in types.iter().zip(values) {
                    out.push(self.match_result(value, Some(ty), span, what, scope)?);
                }
                Some(Value::Tuple(out))
            }
            (_, Value::Tensor(node)) => {
                let Form::Tensor(form) = form(declared) else {
                    return self.fit(Value::Tensor(node), declared, place, scope);
                };
                let mut ty = self.ty(node).clone();
                // An untagged value takes the declared tag, a tagged one must have it (or none is asked for).
                let known: Vec<String> = scope.dims.keys().cloned().collect();
                self.match_tensor(&form, &ty, scope, place)?;
                let fresh = scope.dims.keys().find(|d| !known.contains(d)).cloned();
                if let Some(name) = fresh
                    && !self.is_builtin(declared.span)
                {
                    scope.dims.remove(&name);
                    return self.unknown_dim(&name, declared.span);
                }
                if ty.weak || ty.tag != form.tag {
                    if ty.weak {
                        ty.dtype = form.dtype;
                    }
                    (ty.weak, ty.tag) = (false, form.tag);
                    let at = if self.is_builtin(declared.span) { span } else { declared.span };
                    return Some(Value::Tensor(self.node(Op::Cast, vec![node], ty, at)));
                }
                Some(Value::Tensor(node))
            }
            (_, value) => self.fit(value, declared, place, scope),
        }
    }

    /// `x: f32[B, 12] = expect(value)`: sizes that are neither the same nor different for sure are taken to be the declared
    /// ones; whether they are is looked at when they become numbers.
    pub fn expected(&mut self, value: Value, ty: &TypeExpr, span: Span, scope: &mut Scope) -> Res<Value> {
        let value = self.present(value, span);
        let (Value::Tensor(node), Form::Tensor(form)) = (&value, form(ty)) else {
            return self.ascribe(value, ty, span, scope);
        };
        let is = self.ty(*node).clone();
        let plain = form.dims.iter().all(|d| matches!(d, DimExpr::Size(_)));
        if !plain || form.dims.len() != is.rank() {
            return self.ascribe(value, ty, span, scope);
        }
        let mut axes = is.axes.clone();
        for (dim, axis) in form.dims.iter().zip(&mut axes) {
            let DimExpr::Size(expr) = dim else { continue };
            let mut open = Vec::new();
            let size = self.dim_of(expr, scope, &mut open)?;
            if open.is_empty() && size != axis.size && !size.contradicts(&axis.size) {
                let text = format!("{} == {}", self.sources.text(expr.span), axis.size);
                self.demand(axis.size.clone(), Relation::Eq, size.clone(), text, expr.span)?;
                *axis = self.written(expr.span, size);
            }
        }
        let node = self.reshaped(*node, axes, span);
        self.ascribe(Value::Tensor(node), ty, span, scope)
    }

    /// `x: f32[B, S] = value`
    pub fn ascribe(&mut self, value: Value, ty: &TypeExpr, span: Span, scope: &mut Scope) -> Res<Value> {
        let place = Place { span, what: "the value" };
        let value = self.present(value, span);
        let value = self.fit(value, ty, place, scope)?;
        let (Value::Tensor(node), Form::Tensor(form)) = (&value, form(ty)) else { return Some(value) };
        let mut new = self.ty(*node).clone();
        if new.tag == form.tag {
            return Some(value);
        }
        new.tag = form.tag;
        Some(Value::Tensor(self.node(Op::Cast, vec![*node], new, span)))
    }
}
