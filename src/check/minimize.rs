//! `minimize` and `report`: the loss's gradients, the optimizer's rule for each parameter, and what is logged.

use super::context::{Checker, Local, Res, Scope, Sheet};
use super::program::{Report, ReportKind, VarKind};
use super::tensors::Kind;
use super::values::{Given, OptimizerValue, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::{Graph, NodeId, Output, OutputKind};
use crate::ops::{self, Binary, DType, GradientRule, Op, Reduce, Unary, VarId};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, MemberKind, OptimizerDecl, Selection, SelectionPart};
use std::collections::BTreeSet;
use std::rc::Rc;

impl Sheet {
    /// The graph, with an output for each variable that was assigned.
    pub fn graph_with_outputs(self) -> Graph<crate::dims::Dim> {
        let mut graph = self.graph;
        for var in self.assigned {
            if let Some(&node) = self.current.get(&var) {
                graph.outputs.push(Output { kind: OutputKind::Update(var), node });
            }
        }
        graph
    }
}

impl Checker<'_> {
    pub fn minimize(
        &mut self,
        loss: &Expr,
        over: Option<&Selection>,
        with: Option<&Expr>,
        span: Span,
        scope: &mut Scope,
    ) -> Res<()> {
        let optimizer = match with {
            Some(expr) => match self.eval(expr, scope)? {
                Value::Optimizer(o) => Some((o, expr.span)),
                v if v.is_silent() => return None,
                v => {
                    return self.fail(
                        Diagnostic::error(codes::WRONG_KIND, expr.span, format!("{} is not an optimizer", v.kind()))
                            .help("for instance `with Adam(1e-3)`"),
                    );
                }
            },
            None => self.step.as_ref().and_then(|s| s.optimizer.clone()),
        };
        if let Some(step) = &mut self.step {
            step.minimized = true;
        }
        let value = self.eval(loss, scope)?;
        let value = self.present(value, loss.span);
        let node = match value {
            Value::Tensor(node) => node,
            v if v.is_silent() => return None,
            v => {
                return self.fail(
                    Diagnostic::error(codes::NOT_A_SCALAR, loss.span, format!("the loss is {}", v.kind()))
                        .label("a number that depends on parameters is needed here"),
                );
            }
        };
        let ty = self.ty(node).clone();
        if ty.rank() != 0 || !ty.dtype.is_float() {
            return self.fail(
                Diagnostic::error(codes::NOT_A_SCALAR, loss.span, format!("the loss is {ty}, not one number"))
                    .label("only a scalar can be minimised")
                    .help("take its `mean(…)`, or `sum(…)`"),
            );
        }
        let name = match (
            &loss.kind,
            self.step.as_ref().is_some_and(|s| s.reports.iter().any(|r| r.0.kind == ReportKind::Loss)),
        ) {
            (ExprKind::Name(name), _) => name.clone(),
            (_, false) => "loss".into(),
            (_, true) => self.report_name(loss),
        };
        self.push_report(name, ReportKind::Loss, node, loss.span);
        if !self.step.as_ref().is_some_and(|s| s.train) {
            return Some(());
        }
        let reached = self.reached(&[node]);
        let mut params = Vec::new();
        for (&var, &read) in &self.sheet.current {
            let is = &self.vars[var.0 as usize];
            let chosen = over.is_none_or(|s| selects(s, &is.path));
            if is.kind == VarKind::Param && reached.contains(&read) && chosen && !self.frozen.contains(&var) {
                params.push((var, read));
            }
        }
        if params.is_empty() && self.sheet.hurt {
            return None;
        }
        if params.is_empty() {
            return self.fail(
                Diagnostic::error(codes::NO_GRADIENT, loss.span, "no parameter has a gradient of this loss")
                    .label("it depends on none")
                    .help("compute the loss from what a net gives"),
            );
        }
        let Some((optimizer, optimizer_span)) = optimizer else {
            if self.step.as_ref().is_some_and(|s| s.optimizer_broken) {
                self.sheet.hurt = true;
                return None;
            }
            return self.fail(
                Diagnostic::error(codes::MISSING_PART, span, "nothing says how to minimise this")
                    .label("no optimizer")
                    .help("add `optimizer = Adam(lr: 1e-3)` to the task, or `with Adam(1e-3)` here"),
            );
        };
        let mut gradients = Vec::new();
        for &(_, read) in &params {
            let Value::Tensor(g) = self.gradient(node, read, loss.span)? else { return None };
            gradients.push(g);
        }
        if let Some(limit) = self.step.as_ref().and_then(|s| s.clip_norm) {
            gradients = self.clipped(gradients, limit, loss.span)?;
        }
        let result = self.update(&optimizer, optimizer_span, &params, &gradients);
        if let Some(step) = &mut self.step {
            step.moved.extend(params.iter().map(|p| p.0));
        }
        result
    }

    /// `y` by `x`: a node that differentiation expands.
    pub fn gradient(&mut self, y: NodeId, x: NodeId, span: Span) -> Res<Value> {
        if self.ty(y).rank() != 0 {
            let ty = self.ty(y).to_string();
            return self.fail(
                Diagnostic::error(codes::NOT_A_SCALAR, span, format!("`grad` of {ty}, which is not one number"))
                    .help("take its `sum(…)` first"),
            );
        }
        let ty = Ty { tag: None, weak: false, ..self.ty(x).clone() };
        Some(Value::Tensor(self.node(Op::Gradient, vec![y, x], ty, span)))
    }

    /// Scales all gradients so that their common norm is at most `limit` (Pascanu et al., 2013).
    fn clipped(&mut self, gradients: Vec<NodeId>, limit: f64, span: Span) -> Res<Vec<NodeId>> {
        let mut total: Option<Value> = None;
        for &g in &gradients {
            let g = Value::Tensor(g);
            let square = self.elementwise(Kind::Binary(Binary::Mul), vec![g.clone(), g.clone()], span, "*")?;
            let Value::Tensor(square) = square else { return None };
            let axes = (0..self.ty(square).rank()).collect();
            let sum = self.add_op(Op::Reduce { op: Reduce::Sum, axes }, vec![square], span, "sum", &["x"])?;
            total = Some(match total {
                None => sum,
                Some(t) => self.elementwise(Kind::Binary(Binary::Add), vec![t, sum], span, "+")?,
            });
        }
        let Some(Value::Tensor(total)) = total else { return Some(gradients) };
        let norm = self.add_op(Op::Unary(Unary::Sqrt), vec![total], span, "sqrt", &["x"])?;
        let padded = self.elementwise(Kind::Binary(Binary::Add), vec![norm, Value::Float(1e-6)], span, "+")?;
        let ratio = self.elementwise(Kind::Binary(Binary::Div), vec![Value::Float(limit), padded], span, "/")?;
        let scale = self.elementwise(Kind::Binary(Binary::Min), vec![ratio, Value::Float(1.0)], span, "min")?;
        let mut out = Vec::new();
        for g in gradients {
            let scaled =
                self.elementwise(Kind::Binary(Binary::Mul), vec![Value::Tensor(g), scale.clone()], span, "*")?;
            let Value::Tensor(node) = scaled else { return None };
            out.push(node);
        }
        Some(out)
    }

    /// Checks what an optimizer is given, also where no loss gets as far as using it.
    pub fn optimizer_arguments(&mut self, optimizer: &OptimizerValue, span: Span) {
        let decl = &optimizer.decl;
        self.calls.push(super::context::Call { span, text: format!("`{}`", decl.name.name) });
        let mut hypers = Scope::new(decl.name.span.file);
        self.bind_params(&decl.name.name, &decl.params, optimizer.given.clone(), span, &mut hypers);
        self.ask_schedules(&mut hypers, span);
        self.calls.pop();
    }

    /// A schedule is asked once a step.
    fn ask_schedules(&mut self, hypers: &mut Scope, span: Span) {
        for local in &mut hypers.locals {
            if let Value::Stage(stage) = local.value.clone() {
                let clock = Given { name: None, value: Value::Clock, span };
                local.value = self.apply(Value::Stage(stage), vec![clock], span).unwrap_or(Value::Poison);
            }
        }
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
        let optimizer = OptimizerValue { decl: decl.clone(), given, span };
        self.update(&optimizer, span, &[(var, read)], &[gradient]);
    }

    /// Writes the optimizer's rule for each parameter.
    fn update(
        &mut self,
        optimizer: &OptimizerValue,
        span: Span,
        params: &[(VarId, NodeId)],
        gradients: &[NodeId],
    ) -> Res<()> {
        let decl = &optimizer.decl;
        let name = decl.name.name.clone();
        if self.broken.contains(&name) {
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
        let mut hypers = Scope::new(decl.name.span.file);
        self.calls.push(super::context::Call { span, text: format!("`{name}`") });
        let bound = self.bind_params(&name, &decl.params, optimizer.given.clone(), span, &mut hypers);
        self.ask_schedules(&mut hypers, span);
        let mut result = bound;
        for (&(var, read), &gradient) in params.iter().zip(gradients) {
            if result.is_none() {
                break;
            }
            let mut scope = Scope::new(decl.name.span.file);
            scope.locals = hypers.locals.iter().map(Local::clone).collect();
            let path = self.vars[var.0 as usize].path.clone();
            let ty = self.ty(read).clone();
            for member in &decl.members {
                let value = match &member.kind {
                    MemberKind::State { init, .. } => {
                        let path = format!("{path}.{}.{}", name, member.name.name);
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
            scope.bind(&p_name.name.name, Value::Tensor(read), p_name.span);
            scope.bind(&g_name.name.name, Value::Tensor(gradient), g_name.span);
            let before = self.enter_path(&path);
            let value = self.eval_block(&rule.body, &mut scope, false);
            self.scope_path = before;
            let end = rule.body.stmts.last().map_or(rule.body.span, |s| s.span);
            result = match value {
                Some(value) if !value.is_silent() => self.assign(var, value, end),
                _ => None,
            };
        }
        self.calls.pop();
        result
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

    pub fn report_metric(&mut self, name: Option<String>, value: &Expr, scope: &mut Scope) -> Res<()> {
        let result = self.eval(value, scope)?;
        let name = name.unwrap_or_else(|| self.report_name(value));
        let node = match self.present(result, value.span) {
            Value::Tensor(node) => node,
            v if v.is_silent() => return None,
            v => self.number_node(&v, DType::F32, value.span)?,
        };
        let ty = self.ty(node).clone();
        if ty.rank() != 0 {
            return self.fail(
                Diagnostic::error(codes::NOT_A_SCALAR, value.span, format!("`{name}` is {ty}, not one number"))
                    .label("a metric is one number")
                    .help("take its `mean(…)`"),
            );
        }
        self.push_report(name, ReportKind::Metric, node, value.span);
        Some(())
    }

    fn push_report(&mut self, name: String, kind: ReportKind, node: NodeId, span: Span) {
        let ty = self.ty(node).clone();
        let node = if ty.dtype == DType::F32 {
            node
        } else {
            self.node(Op::Cast, vec![node], Ty { dtype: DType::F32, axes: Vec::new(), tag: None, weak: false }, span)
        };
        let Some(step) = &mut self.step else { return };
        let mut unique = name.clone();
        let mut n = 2;
        while step.reports.iter().any(|(r, _)| r.name == unique) {
            unique = format!("{name}_{n}");
            n += 1;
        }
        step.reports.push((Report { name: unique, kind, span }, node));
    }

    /// Everything that these nodes depend on with a gradient.
    pub fn reached(&self, from: &[NodeId]) -> BTreeSet<NodeId> {
        let mut seen: BTreeSet<NodeId> = from.iter().copied().collect();
        let mut open: Vec<NodeId> = from.to_vec();
        while let Some(id) = open.pop() {
            let node = self.sheet.graph.node(id);
            if let Op::ScanResult { index } = node.op
                && let Op::Scan(scan) = &self.sheet.graph.node(node.inputs[0]).op
            {
                let operands = &self.sheet.graph.node(node.inputs[0]).inputs;
                for (operand, reached) in operands.iter().zip(scan.reaches(index)) {
                    if reached && self.ty(*operand).dtype.is_float() && seen.insert(*operand) {
                        open.push(*operand);
                    }
                }
                continue;
            }
            let passes = !matches!(ops::def_of(&node.op).gradient, GradientRule::None(_)) || node.op == Op::Gradient;
            if !passes {
                continue;
            }
            for &input in &node.inputs {
                if self.ty(input).dtype.is_float() && seen.insert(input) {
                    open.push(input);
                }
            }
        }
        seen
    }

    /// Parameters of a task that no `minimize` moves; a net that none of them moves is one fault.
    pub fn unmoved_parameters(&mut self, task: usize, moved: &BTreeSet<VarId>, scope: &Scope) {
        let root = |path: &str| path.split('.').next().unwrap_or(path).to_string();
        let mut lost: Vec<(String, String, Span)> = Vec::new();
        let mut trained: BTreeSet<String> = BTreeSet::new();
        for (i, var) in self.vars.iter().enumerate() {
            if var.task != task || var.kind != VarKind::Param {
                continue;
            }
            match moved.contains(&VarId(i as u32)) {
                true => drop(trained.insert(root(&var.path))),
                false => lost.push((root(&var.path), var.path.clone(), var.span)),
            }
        }
        let mut said = BTreeSet::new();
        for (net, path, span) in lost {
            let bound = scope.locals.iter().find(|l| l.name == net).map(|l| &l.value);
            let made = match bound {
                Some(Value::Layer(id)) => Some(self.instances[id.0 as usize].span),
                _ => None,
            };
            match made {
                Some(made) if !trained.contains(&net) => {
                    if said.insert(net.clone()) {
                        self.report(
                            Diagnostic::error(codes::NO_GRADIENT, made, format!("no loss depends on `{net}`"))
                                .label("training would leave it as it starts")
                                .help("minimise something that it computes, or remove it"),
                        );
                    }
                }
                _ => self.no_gradient(&path, span, None),
            }
        }
    }

    pub fn no_gradient(&mut self, path: &str, span: Span, blocked: Option<(Span, String)>) {
        let mut fault = Diagnostic::error(codes::NO_GRADIENT, span, format!("the parameter `{path}` gets no gradient"))
            .label("training would leave it as it starts");
        if let Some((at, why)) = blocked {
            fault = fault.also(at, why);
        }
        self.report(fault.help("use it in `forward` on the way to the loss, make it a `state`, or remove it"));
    }
}

/// True if a selection names this path.
pub fn selects(selection: &Selection, path: &str) -> bool {
    let hit = |parts: &[SelectionPart]| {
        let names: Vec<&str> = parts
            .iter()
            .map(|p| match p {
                SelectionPart::Name(n) => n.name.as_str(),
                SelectionPart::Any(_) => "*",
                SelectionPart::Range(..) => "",
            })
            .collect();
        matches_path(&names, &path.split('.').collect::<Vec<_>>())
    };
    selection.include.iter().any(|p| hit(&p.parts)) && !selection.except.iter().any(|p| hit(&p.parts))
}

/// A pattern matches a path if it matches a prefix of it; `*` stands for any number of names.
fn matches_path(pattern: &[&str], path: &[&str]) -> bool {
    match pattern {
        [] => true,
        ["*", rest @ ..] => (0..=path.len()).any(|skip| matches_path(rest, &path[skip..])),
        [first, rest @ ..] => path.first() == Some(first) && matches_path(rest, &path[1..]),
    }
}
