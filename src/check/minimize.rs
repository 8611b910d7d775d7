//! `minimize` and `report`: the loss's gradients, the optimizer's rule for each parameter, and what is logged.

use super::context::{Checker, Res, Scope, Sheet};
use super::program::{Report, ReportKind, Updated, VarKind};
use super::tensors::Kind;
use super::values::{Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::graph::{Graph, NodeId, Output, OutputKind};
use crate::ops::{self, Binary, DType, GradientRule, Op, VarId};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Selection};
use std::collections::BTreeSet;

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
                        .label("a number that depends on parameters is needed here")
                        .help("for instance `mean(…)` or `sum(…)` of it"),
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
        let chosen = match over {
            Some(selection) => {
                let selected = self.selected(selection, scope)?;
                Some(self.variables_of(&selected)?)
            }
            None => None,
        };
        let params = self.reached_parameters(node, chosen.as_ref());
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
        for (_, values) in &params {
            gradients.push(self.gradient_by_all(node, values, loss.span)?);
        }
        let between = self.step.as_ref().map(|s| s.between).unwrap_or_default();
        let params: Vec<_> = params.iter().map(|(var, _)| (*var, self.read(*var, loss.span))).collect();
        let result = self.update(&optimizer, optimizer_span, &params, &gradients, between, scope);
        if let Some(step) = &mut self.step {
            step.moved.extend(params.iter().map(|p| p.0));
            step.updates.push(Updated {
                clipped: between.clip_norm.is_some() || between.clip_value.is_some(),
                params: params.iter().map(|p| p.0).collect(),
                span: optimizer_span,
                optimizer,
            });
        }
        result
    }

    /// The parameters that a loss depends on and that may move, each with the values that it had in the step so far and
    /// that the loss depends on.
    fn reached_parameters(&self, loss: NodeId, chosen: Option<&BTreeSet<VarId>>) -> Vec<(VarId, Vec<NodeId>)> {
        let reached = self.reached(&[loss]);
        let mut params = Vec::new();
        for (&var, now) in &self.sheet.current {
            let may_move = self.vars[var.0 as usize].kind == VarKind::Param && !self.frozen.contains(&var);
            if !may_move || chosen.is_some_and(|c| !c.contains(&var)) {
                continue;
            }
            let past = self.sheet.past.get(&var).into_iter().flatten();
            let values: Vec<NodeId> = past.chain([now]).copied().filter(|n| reached.contains(n)).collect();
            if !values.is_empty() {
                params.push((var, values));
            }
        }
        params
    }

    /// The sum of the gradients by several values of one parameter.
    fn gradient_by_all(&mut self, y: NodeId, values: &[NodeId], span: Span) -> Res<NodeId> {
        let mut sum = None;
        for &x in values {
            let g = self.gradient(y, x, span)?;
            sum = Some(match sum {
                None => g,
                Some(s) => self.elementwise(Kind::Binary(Binary::Add), vec![s, g], span, "+")?,
            });
        }
        match sum? {
            Value::Tensor(node) => Some(node),
            _ => None,
        }
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

    pub fn report_metric(&mut self, name: Option<String>, value: &Expr, scope: &mut Scope) -> Res<()> {
        let before = self.sheet.graph.nodes.len();
        let result = self.eval(value, scope)?;
        let name = name.unwrap_or_else(|| self.report_name(value));
        // What a metric with state says last is about all that it has seen.
        let updated = self.sheet.assigned.iter().filter(|v| self.is_metric(**v));
        let running = updated.filter_map(|v| self.sheet.current.get(v)).any(|n| n.index() >= before);
        let kind = if running { ReportKind::Running } else { ReportKind::Metric };
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
        self.push_report(name, kind, node, value.span);
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
            let inputs = match node.op {
                // Not through the value: what the gradient is by is said.
                Op::CustomGradient { inputs } => &node.inputs[2..2 + inputs],
                _ => &node.inputs[..],
            };
            for &input in inputs {
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
        let mut lost: Vec<(String, String, Span, VarId)> = Vec::new();
        let mut trained: BTreeSet<String> = BTreeSet::new();
        for (i, var) in self.vars.iter().enumerate() {
            // Of a net of another task only what the step uses is to be trained.
            let unused = var.source.is_some() && !self.sheet.current.contains_key(&VarId(i as u32));
            if var.task != task || var.kind != VarKind::Param || unused {
                continue;
            }
            if self.frozen.contains(&VarId(i as u32)) {
                continue;
            }
            match moved.contains(&VarId(i as u32)) {
                true => drop(trained.insert(root(&var.path))),
                false => lost.push((root(&var.path), var.path.clone(), var.span, VarId(i as u32))),
            }
        }
        let mut said = BTreeSet::new();
        for (net, path, span, var) in lost {
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
                _ => {
                    let blocked = self.sheet.current.get(&var).and_then(|read| self.blocker(*read));
                    self.no_gradient(&path, span, blocked);
                }
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
