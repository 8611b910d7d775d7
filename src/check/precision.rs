//! Which floats a program is in. The setting `precision`, what a task computes in: in its expression, out one of
//! [`PRECISIONS`] (what it means is in `opt::precision`). And the standard library's rule: its functions and layers are
//! written for f32 and take every float.

use super::context::{Checker, Scope};
use super::shapes::TensorForm;
use super::values::{InstanceId, Ty, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::graph::NodeId;
use crate::ops::{DType, Op};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, MemberKind};
use std::collections::BTreeSet;

/// What `precision` may be.
pub const PRECISIONS: [DType; 3] = [DType::F32, DType::BF16, DType::F64];

/// Nodes that are looked at to see where a number comes from.
const MOST_LOOKED_AT: usize = 1000;

impl Checker<'_> {
    /// Whether the f32 of this declared type stands for any float: in the standard library, where nothing but arguments and
    /// literals meet. A layer that keeps something is of one float, that of its first use.
    pub fn takes_any_float(&self, form: &TensorForm, ty: &Ty, scope: &Scope) -> bool {
        let floats = form.dtype == DType::F32 && ty.dtype.is_float();
        if !floats || !self.is_builtin(Span::new(scope.file, 0, 0)) {
            return false;
        }
        match scope.instance.filter(|id| self.keeps(*id)) {
            None => true,
            Some(id) => self.instances[id.0 as usize].float.is_none_or(|float| float == ty.dtype),
        }
    }

    fn keeps(&self, id: InstanceId) -> bool {
        let holds = |kind: &MemberKind| matches!(kind, MemberKind::Param { .. } | MemberKind::State { .. });
        self.decl_of(id).is_some_and(|d| d.members.iter().any(|m| holds(&m.kind)))
    }

    /// Remembers the float of a library layer's first argument.
    pub fn settle_float(&mut self, form: &TensorForm, ty: &Ty, scope: &Scope) {
        let Some(id) = scope.instance else { return };
        let first = form.dtype == DType::F32 && ty.dtype.is_float() && !ty.weak;
        if first && self.instances[id.0 as usize].float.is_none() && self.is_builtin(Span::new(scope.file, 0, 0)) {
            self.instances[id.0 as usize].float = Some(ty.dtype);
        }
    }

    /// In the standard library, f32 numbers that no argument has a part in (masks, places, draws) take the float of what they
    /// meet.
    pub fn unify_floats(&mut self, operands: &mut [Value], span: Span) {
        if !self.is_builtin(span) {
            return;
        }
        let of = |c: &Checker, v: &Value| match v {
            Value::Tensor(node) if !c.ty(*node).weak && c.ty(*node).dtype.is_float() => {
                Some((*node, c.ty(*node).dtype))
            }
            _ => None,
        };
        let Some(float) = operands.iter().filter_map(|v| of(self, v)).map(|f| f.1).find(|d| *d != DType::F32) else {
            return;
        };
        for value in operands {
            if let Some((node, DType::F32)) = of(self, value)
                && self.is_made_up(node)
            {
                let ty = Ty { dtype: float, tag: None, ..self.ty(node).clone() };
                *value = Value::Tensor(self.node(Op::Cast, vec![node], ty, span));
            }
        }
    }

    /// [`unify_floats`](Checker::unify_floats) of tensors alone.
    pub fn unify_tensors(&mut self, tensors: &mut [NodeId], span: Span) {
        let mut values: Vec<Value> = tensors.iter().map(|t| Value::Tensor(*t)).collect();
        self.unify_floats(&mut values, span);
        for (tensor, value) in tensors.iter_mut().zip(values) {
            if let Value::Tensor(node) = value {
                *tensor = node;
            }
        }
    }

    /// True if no float from outside has a part in a value.
    fn is_made_up(&self, node: NodeId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![node];
        while let Some(id) = open.pop() {
            let one = self.sheet.graph.node(id);
            if !one.ty.dtype.is_float() || !seen.insert(id) {
                continue;
            }
            if matches!(one.op, Op::Field(_) | Op::Read(_) | Op::Parameter(_)) || seen.len() > MOST_LOOKED_AT {
                return false;
            }
            open.extend(&one.inputs);
        }
        true
    }

    /// The dtype of a parameter or state that is declared to be `declared`.
    pub fn float_of(&self, declared: DType, at: Span, scope: &Scope) -> DType {
        match scope.instance {
            Some(id) if declared == DType::F32 && self.is_builtin(at) => {
                self.instances[id.0 as usize].float.unwrap_or(declared)
            }
            _ => declared,
        }
    }

    /// The dtype, or nothing if a fault was reported.
    pub fn precision(&mut self, value: &Expr, scope: &mut Scope) -> Option<DType> {
        let span = value.span;
        let unknown = match &value.kind {
            ExprKind::Name(name) if self.named(name, scope.file).is_none() && scope.local(name).is_none() => {
                DType::from_name(name).is_none().then(|| name.clone())
            }
            _ => None,
        };
        let names = PRECISIONS.map(DType::name);
        let choices = format!("one of {}", names.join(", "));
        let bad = |what: String| {
            Diagnostic::error(codes::BAD_SETTING, span, format!("`precision` is {what}, not {choices}"))
                .label("the dtype to compute in is needed here")
        };
        let fault = match unknown {
            Some(name) => {
                let fault = bad(format!("`{name}`"));
                match suggest::nearest(&name, names) {
                    Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                    None => fault.help("`bf16` computes matrix products and convolutions in bf16, all else in f32"),
                }
            }
            None => match self.eval(value, scope)? {
                Value::DType(dtype) if PRECISIONS.contains(&dtype) => return Some(dtype),
                v if v.is_silent() => return None,
                Value::DType(DType::F16) => bad("f16".into())
                    .note("gradients are lost in f16 unless the loss is scaled, which bf16 does without")
                    .help("write `precision = bf16`, which has the range of f32"),
                v => bad(v.kind()).help("for instance `precision = bf16`"),
            },
        };
        self.report(fault);
        None
    }
}
