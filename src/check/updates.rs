//! From gradients to new parameters: accumulation over batches, clipping, the optimizer's rule for each parameter, and
//! running averages of the parameters.
//!
//! The order is PyTorch's: gradients of `accumulate` batches are averaged, each number is clipped (`clip_value`), then all
//! together (`clip_norm`), then the rule sees them. Between updates everything that the optimizer owns stays as it is.
//! A new parameter is a constant to later gradients of the same step: nothing is differentiated through an update.

use super::context::{Call, Checker, Res, Scope};
use super::program::VarKind;
use super::tensors::Kind;
use super::values::{Given, OptimizerValue, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{Binary, Clock, Compare, DType, Op, Reduce, Unary, VarId};
use crate::source::Span;
use crate::syntax::ast::{Expr, MemberKind, OptimizerDecl};
use std::collections::BTreeSet;
use std::rc::Rc;

/// What stands between a gradient and the optimizer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Between {
    pub clip_norm: Option<f64>,
    pub clip_value: Option<f64>,
    /// Batches of one update, if more than one.
    pub accumulate: Option<u64>,
}

impl Checker<'_> {
    /// Writes the optimizer's rule for each parameter.
    pub fn update(
        &mut self,
        optimizer: &OptimizerValue,
        span: Span,
        params: &[(VarId, NodeId)],
        gradients: &[NodeId],
        between: Between,
        scope: &mut Scope,
    ) -> Res<()> {
        let decl = &optimizer.decl;
        let name = decl.name.name.clone();
        if self.broken.contains(&decl.name.span) {
            return None;
        }
        let Some(rule) = &decl.update else {
            return self.fail(
                Diagnostic::error(codes::MISSING_PART, decl.name.span, format!("`{name}` has no `update`"))
                    .help("add `update(p, g) { … }`, whose value is the new parameter"),
            );
        };
        let [p_name, g_name] = rule.params.as_slice() else {
            return self.fail(
                Diagnostic::error(codes::MISSING_ARGUMENT, rule.span, "`update` takes the parameter and its gradient")
                    .help("write `update(p, g)`"),
            );
        };
        let due = match between.accumulate {
            Some(n) => Some(self.is_due(n, span)?),
            None => None,
        };
        self.forms.every = between.accumulate;
        let hypers = self.hypers_of(optimizer, span, params, scope);
        self.forms.every = None;
        let (hypers, whose) = hypers?;
        let slots: Vec<String> = params.iter().map(|(var, _)| self.slot(*var, &name, optimizer.span)).collect();
        self.calls.push(Call { span, text: format!("`{name}`") });
        let gradients = self.ready_gradients(gradients, &slots, between, due, span);
        let mut result = gradients.as_ref().map(|_| ());
        for (i, (&(var, read), gradient)) in params.iter().zip(gradients.unwrap_or_default()).enumerate() {
            if result.is_none() {
                break;
            }
            let mut scope = Scope::new(decl.name.span.file);
            scope.locals = hypers[whose[i]].locals.clone();
            let ty = self.ty(read).clone();
            self.forms.every = between.accumulate;
            for member in &decl.members {
                let value = match &member.kind {
                    MemberKind::State { init, .. } => {
                        let path = format!("{}.{}", slots[i], member.name.name);
                        let declared = self.vars[var.0 as usize].span;
                        let place = if self.is_builtin(member.span) { declared } else { member.span };
                        self.optimizer_state(&path, init.as_ref(), &ty, place, &mut scope)
                    }
                    MemberKind::Bind(expr) => {
                        let value = self.eval(expr, &mut scope).unwrap_or(Value::Poison);
                        scope.bind(&member.name.name, value, member.name.span);
                        continue;
                    }
                    _ => None,
                };
                if let Some(var) = value {
                    scope.states.insert(member.name.name.clone(), var);
                }
            }
            let states: Vec<VarId> = scope.states.values().copied().collect();
            let before: Vec<Option<NodeId>> = states.iter().map(|s| self.sheet.current.get(s).copied()).collect();
            scope.bind(&p_name.name.name, Value::Tensor(read), p_name.span);
            scope.bind(&g_name.name.name, Value::Tensor(gradient), g_name.span);
            let path = self.vars[var.0 as usize].path.clone();
            let outer = self.enter_path(&path);
            let value = self.eval_block(&rule.body, &mut scope, false);
            self.scope_path = outer;
            self.forms.every = None;
            let end = rule.body.stmts.last().map_or(rule.body.span, |s| s.span);
            result = match value {
                Some(value) if !value.is_silent() => self.move_parameter(var, read, value, due, end),
                _ => None,
            };
            for (state, before) in states.into_iter().zip(before) {
                self.keep_until(due, state, before, end)?;
            }
        }
        self.calls.pop();
        result
    }

    fn move_parameter(&mut self, var: VarId, read: NodeId, value: Value, due: Option<NodeId>, span: Span) -> Res<()> {
        self.assign(var, value, span)?;
        self.keep_until(due, var, Some(read), span)?;
        let Some(&new) = self.sheet.current.get(&var) else { return Some(()) };
        // What comes later in the step sees a number, not how it was found.
        let constant = self.node(Op::StopGradient, vec![new], self.ty(new).clone(), span);
        self.sheet.current.insert(var, constant);
        self.sheet.past.entry(var).or_default().push(read);
        Some(())
    }

    /// A variable keeps its value while no update is due.
    fn keep_until(&mut self, due: Option<NodeId>, var: VarId, before: Option<NodeId>, span: Span) -> Res<()> {
        let (Some(due), Some(&now)) = (due, self.sheet.current.get(&var)) else { return Some(()) };
        if !self.sheet.assigned.contains(&var) || before == Some(now) {
            return Some(());
        }
        let before = match before {
            Some(before) => before,
            None => {
                let (axes, dtype) = (self.var_axes[var.0 as usize].clone(), self.vars[var.0 as usize].ty.dtype);
                self.node(Op::Read(var), Vec::new(), Ty { dtype, axes, tag: None, weak: false }, span)
            }
        };
        let kept = self.select(due, now, before, span)?;
        self.sheet.current.insert(var, kept);
        Some(())
    }

    fn select(&mut self, condition: NodeId, a: NodeId, b: NodeId, span: Span) -> Res<NodeId> {
        let operands = vec![Value::Tensor(condition), Value::Tensor(a), Value::Tensor(b)];
        match self.elementwise(Kind::Select, operands, span, "where")? {
            Value::Tensor(node) => Some(node),
            _ => None,
        }
    }

    /// `op` of a tensor and something.
    fn arithmetic(&mut self, op: Binary, a: NodeId, b: Value, span: Span) -> Res<NodeId> {
        match self.elementwise(Kind::Binary(op), vec![Value::Tensor(a), b], span, op.name())? {
            Value::Tensor(node) => Some(node),
            _ => None,
        }
    }

    /// Whether this batch is the last of its update: a `bool[]`.
    fn is_due(&mut self, every: u64, span: Span) -> Res<NodeId> {
        let ty = Ty { dtype: DType::F32, axes: Vec::new(), tag: None, weak: false };
        let step = self.node(Op::Clock(Clock::Step), Vec::new(), ty.clone(), span);
        // In double precision, where whole numbers stay exact.
        let step = self.node(Op::Cast, vec![step], Ty { dtype: DType::F64, ..ty }, span);
        let rest = self.arithmetic(Binary::Rem, step, Value::Float(every as f64), span)?;
        let last = Value::Float(every as f64 - 1.0);
        match self.elementwise(Kind::Compare(Compare::Eq), vec![Value::Tensor(rest), last], span, "==")? {
            Value::Tensor(node) => Some(node),
            _ => None,
        }
    }

    /// A part of the clock as an optimizer sees it: where several batches make an update, it counts updates.
    pub fn in_updates(&mut self, value: NodeId, part: Clock, span: Span) -> Res<Value> {
        let Some(every) = self.forms.every.filter(|_| part != Clock::Epoch) else { return Some(Value::Tensor(value)) };
        let by = self.elementwise(
            Kind::Binary(Binary::Div),
            vec![Value::Tensor(value), Value::Float(every as f64)],
            span,
            "/",
        )?;
        let Value::Tensor(node) = by else { return None };
        if part == Clock::EpochSteps {
            return Some(by);
        }
        let ty = self.ty(node).clone();
        Some(Value::Tensor(self.node(Op::Unary(Unary::Floor), vec![node], ty, span)))
    }

    /// Accumulated and clipped.
    fn ready_gradients(
        &mut self,
        gradients: &[NodeId],
        slots: &[String],
        between: Between,
        due: Option<NodeId>,
        span: Span,
    ) -> Res<Vec<NodeId>> {
        let mut ready = gradients.to_vec();
        if let (Some(every), Some(due)) = (between.accumulate, due) {
            for (gradient, slot) in ready.iter_mut().zip(slots) {
                let ty = Ty { tag: None, weak: false, ..self.ty(*gradient).clone() };
                let mut scope = Scope::new(span.file);
                let sum = self.optimizer_state(&format!("{slot}.accumulated"), None, &ty, span, &mut scope)?;
                let so_far = self.read(sum, span);
                let total = self.arithmetic(Binary::Add, so_far, Value::Tensor(*gradient), span)?;
                let zero = self.scalar(0.0, ty.dtype, span);
                let zero = self.stretch(zero, &ty, span)?;
                let next = self.select(due, zero, total, span)?;
                self.assign(sum, Value::Tensor(next), span)?;
                *gradient = self.arithmetic(Binary::Div, total, Value::Float(every as f64), span)?;
            }
        }
        if let Some(limit) = between.clip_value {
            for gradient in &mut ready {
                let low = self.arithmetic(Binary::Max, *gradient, Value::Float(-limit), span)?;
                *gradient = self.arithmetic(Binary::Min, low, Value::Float(limit), span)?;
            }
        }
        match between.clip_norm {
            Some(limit) => self.clipped(ready, limit, span),
            None => Some(ready),
        }
    }

    /// Scales all gradients so that their common norm is at most `limit` (Pascanu et al., 2013).
    fn clipped(&mut self, gradients: Vec<NodeId>, limit: f64, span: Span) -> Res<Vec<NodeId>> {
        let Some(total) = self.sum_of_squares(&gradients, span)? else { return Some(gradients) };
        let norm = self.add_op(Op::Unary(Unary::Sqrt), vec![total], span, "sqrt", &["x"])?;
        let padded = self.elementwise(Kind::Binary(Binary::Add), vec![norm, Value::Float(1e-6)], span, "+")?;
        let ratio = self.elementwise(Kind::Binary(Binary::Div), vec![Value::Float(limit), padded], span, "/")?;
        let scale = self.elementwise(Kind::Binary(Binary::Min), vec![ratio, Value::Float(1.0)], span, "min")?;
        gradients.into_iter().map(|g| self.arithmetic(Binary::Mul, g, scale.clone(), span)).collect()
    }

    /// The sum of the squares of all numbers; none if there are no tensors.
    pub fn sum_of_squares(&mut self, tensors: &[NodeId], span: Span) -> Res<Option<NodeId>> {
        let mut squares = Vec::new();
        for &x in tensors {
            squares.push(self.arithmetic(Binary::Mul, x, Value::Tensor(x), span)?);
        }
        self.sum_of(&squares, span)
    }

    /// The sum of all numbers, tensor by tensor in order; none if there are no tensors.
    pub fn sum_of(&mut self, tensors: &[NodeId], span: Span) -> Res<Option<NodeId>> {
        let mut total: Option<NodeId> = None;
        for &x in tensors {
            let axes = (0..self.ty(x).rank()).collect();
            let sum = self.add_op(Op::Reduce { op: Reduce::Sum, axes }, vec![x], span, "sum", &["x"])?;
            let Value::Tensor(sum) = sum else { return None };
            total = Some(match total {
                None => sum,
                Some(t) => self.arithmetic(Binary::Add, t, Value::Tensor(sum), span)?,
            });
        }
        Some(total)
    }

    /// The place of an optimizer's state of one parameter: `net.weight.Adam`. Another optimizer of the same name has
    /// another one; the same optimizer, used twice, the same.
    fn slot(&mut self, var: VarId, name: &str, optimizer: Span) -> String {
        let path = self.vars[var.0 as usize].path.clone();
        let mut slot = format!("{path}.{name}");
        let mut number = 2;
        while self.forms.slots.get(&slot).is_some_and(|s| *s != optimizer) {
            slot = format!("{path}.{name}_{number}");
            number += 1;
        }
        self.forms.slots.insert(slot.clone(), optimizer);
        slot
    }

    fn optimizer_state(
        &mut self,
        path: &str,
        init: Option<&Expr>,
        ty: &Ty,
        span: Span,
        scope: &mut Scope,
    ) -> Res<VarId> {
        if let Some(&var) = self.optimizer_states.get(path) {
            return Some(var);
        }
        std::mem::swap(&mut self.sheet, &mut self.init);
        let before = self.enter_path(path);
        let value = init.map_or(Some(Value::Float(0.0)), |e| self.eval(e, scope));
        let node = value.and_then(|v| {
            let scalar = self.number_node(&v, ty.dtype, span)?;
            let plain = Ty { tag: None, weak: false, ..ty.clone() };
            self.stretch(scalar, &plain, span)
        });
        self.scope_path = before;
        std::mem::swap(&mut self.sheet, &mut self.init);
        let var = self.add_var(VarKind::OptimizerState, path, ty.dtype, &ty.axes, node?, span);
        self.optimizer_states.insert(path.to_string(), var);
        Some(var)
    }

    /// A running average of each parameter that moved: `average = decay * average + (1 - decay) * parameter` after each
    /// update (Polyak & Juditsky, 1992), starting at the parameter's first value.
    pub fn average_parameters(
        &mut self,
        moved: &BTreeSet<VarId>,
        decay: f64,
        accumulate: Option<u64>,
        span: Span,
    ) -> Res<()> {
        let due = match accumulate {
            Some(n) => Some(self.is_due(n, span)?),
            None => None,
        };
        for &var in moved {
            let Some(&now) = self.sheet.current.get(&var) else { continue };
            let (path, init) = (format!("{}.average", self.vars[var.0 as usize].path), self.vars[var.0 as usize].init);
            let (dtype, axes) = (self.vars[var.0 as usize].ty.dtype, self.var_axes[var.0 as usize].clone());
            let average = self.add_var(VarKind::OptimizerState, &path, dtype, &axes, init, span);
            let old = self.read(average, span);
            let kept = self.arithmetic(Binary::Mul, old, Value::Float(decay), span)?;
            let part = self.arithmetic(Binary::Mul, now, Value::Float(1.0 - decay), span)?;
            let new = self.arithmetic(Binary::Add, kept, Value::Tensor(part), span)?;
            self.assign(average, Value::Tensor(new), span)?;
            self.keep_until(due, average, Some(old), span)?;
            self.forms.averages.insert(var, average);
        }
        Some(())
    }

    /// Checks what an optimizer is given, also where no loss gets as far as using it.
    pub fn optimizer_arguments(&mut self, optimizer: &OptimizerValue, span: Span) {
        let decl = &optimizer.decl;
        self.calls.push(Call { span, text: format!("`{}`", decl.name.name) });
        let mut hypers = Scope::new(decl.name.span.file);
        self.bind_params(&decl.name.name, &decl.params, optimizer.given.clone(), span, &mut hypers);
        self.ask_schedules(&mut hypers, span);
        self.calls.pop();
    }

    /// An optimizer checked on its own, with a parameter that stands for any.
    pub fn optimizer_declaration(&mut self, decl: &Rc<OptimizerDecl>, given: Vec<Given>) {
        let span = decl.name.span;
        let size = Dim::from(self.fresh("..p"));
        let axes = vec![self.written(span, size)];
        let ty = Ty { dtype: DType::F32, axes, tag: None, weak: false };
        let first = self.init.graph.nodes.len() as u32;
        let var = self.add_var(VarKind::Param, "p", DType::F32, &ty.axes, NodeId(first), span);
        let read = self.read(var, span);
        let gradient = self.node(Op::Field(0), Vec::new(), ty, span);
        let optimizer = OptimizerValue { decl: decl.clone(), given, groups: Vec::new(), span };
        let mut scope = Scope::new(span.file);
        self.update(&optimizer, span, &[(var, read)], &[gradient], Between::default(), &mut scope);
    }
}
