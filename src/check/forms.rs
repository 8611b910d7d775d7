//! What the forms of a task say beyond its bindings: what is frozen, which bindings are metrics, which averages stand for
//! which parameters. In goes the task's syntax, out comes what the evaluation of its step asks for.
//!
//! A step with forms that speak of a net's members is evaluated once before (a survey), because members are made when
//! they are first used.

use super::context::{Checker, Res, Scope};
use super::program::VarKind;
use super::selection::Selected;
use super::values::{InstanceId, Value};
use crate::ops::VarId;
use crate::source::Span;
use crate::syntax::ast::{Block, Else, Expr, ExprKind, Selection, Stmt, StmtKind, TaskDecl, TaskKind, TaskStmtKind};
use crate::syntax::walk::{each_expr, each_expr_of};
use std::collections::{BTreeMap, BTreeSet};

/// What the forms of the task at hand say.
#[derive(Default)]
pub struct Forms {
    /// The task trains.
    pub trains: bool,
    /// The step is evaluated to see what there is; nothing of it is kept.
    pub survey: bool,
    /// Nothing moves but metrics: evaluation.
    pub still: bool,
    /// Instances that are frozen as a whole: they are in evaluation mode.
    pub quiet: BTreeSet<InstanceId>,
    /// Bindings of the task that only `report` uses.
    pub reported: BTreeSet<String>,
    /// Batches of one update, while an optimizer is evaluated: its clock counts updates.
    pub every: Option<u64>,
    /// Which optimizer (by its place) owns which state of a parameter.
    pub slots: BTreeMap<String, Span>,
    /// Schedules that are layers, by their places.
    pub schedules: BTreeMap<Span, InstanceId>,
    /// The running averages that evaluation uses.
    pub averages: BTreeMap<VarId, VarId>,
    /// The task generates: what it says of its output.
    pub generating: Option<super::generation::Generating>,
    /// Nets of other tasks: which instance of this task is the copy of which.
    pub copies: BTreeMap<(usize, InstanceId), InstanceId>,
}

impl Forms {
    /// For a new task; copies of nets stay known.
    pub fn of_task(&mut self, decl: &TaskDecl) {
        let copies = std::mem::take(&mut self.copies);
        let trains = decl.kind == TaskKind::Train;
        let generating = (decl.kind == TaskKind::Generate).then(super::generation::Generating::default);
        *self = Forms { trains, copies, generating, reported: reported_only(decl), ..Forms::default() };
    }

    /// The variable that is read where this one is meant.
    pub fn stands_for(&self, var: VarId) -> VarId {
        match self.still {
            true => self.averages.get(&var).copied().unwrap_or(var),
            false => var,
        }
    }
}

/// True if the step must be evaluated once before its forms can be resolved: something is frozen, or parameters of a net
/// are taken as a value.
pub fn needs_survey(decl: &TaskDecl, scope: &Scope) -> bool {
    let is_net = |e: &Expr| {
        let mut root = e;
        while let ExprKind::Field { base, .. } = &root.kind {
            root = base;
        }
        let ExprKind::Name(name) = &root.kind else { return false };
        scope.locals.iter().any(|l| l.name == *name && matches!(l.value, Value::Layer(_)))
    };
    let mut found = decl.body.iter().any(|s| matches!(s.kind, TaskStmtKind::Freeze(_)));
    let mut see = |e: &Expr| {
        found |= match &e.kind {
            ExprKind::Wildcard(_) => true,
            ExprKind::Call { args, .. } => args.iter().any(|a| is_net(&a.value)),
            ExprKind::Pipe { value, .. } => is_net(value),
            _ => false,
        }
    };
    decl.step.iter().for_each(|s| each_expr_of(&s.body, &mut see));
    found
}

/// Bindings of a task that its `report` statements use and nothing else does.
fn reported_only(decl: &TaskDecl) -> BTreeSet<String> {
    let (mut reported, mut other) = (BTreeSet::new(), BTreeSet::new());
    for stmt in &decl.body {
        if let TaskStmtKind::Bind { value, .. } = &stmt.kind {
            names_in(value, &mut other);
        }
    }
    if let Some(step) = &decl.step {
        sort_names(&step.body, &mut reported, &mut other);
    }
    &reported - &other
}

fn names_in(expr: &Expr, names: &mut BTreeSet<String>) {
    each_expr(expr, &mut |e| {
        if let ExprKind::Name(n) = &e.kind {
            names.insert(n.clone());
        }
    });
}

fn sort_names(block: &Block, reported: &mut BTreeSet<String>, other: &mut BTreeSet<String>) {
    block.stmts.iter().for_each(|stmt| sort_names_of_stmt(stmt, reported, other));
}

fn sort_names_of_stmt(stmt: &Stmt, reported: &mut BTreeSet<String>, other: &mut BTreeSet<String>) {
    match &stmt.kind {
        StmtKind::Report { value, .. } => names_in(value, reported),
        StmtKind::Expr(e) => sort_names_of_parts(e, reported, other),
        StmtKind::Bind { value, .. } => names_in(value, other),
        StmtKind::Minimize { loss, with, .. } => {
            names_in(loss, other);
            with.iter().for_each(|e| names_in(e, other));
        }
        StmtKind::Yield(values) => values.iter().for_each(|e| names_in(e, other)),
        StmtKind::Save { value, to } => [value, to].into_iter().for_each(|e| names_in(e, other)),
        StmtKind::Error => {}
    }
}

/// The statements in an `if` or a `repeat`.
fn sort_names_of_parts(expr: &Expr, reported: &mut BTreeSet<String>, other: &mut BTreeSet<String>) {
    if let ExprKind::Repeat { over, body, .. } = &expr.kind {
        names_in(over, other);
        for item in body {
            match &item.act {
                Some(act) => sort_names_of_stmt(act, reported, other),
                None => sort_names_of_parts(&item.value, reported, other),
            }
        }
        return;
    }
    let ExprKind::If { condition, then, otherwise } = &expr.kind else { return names_in(expr, other) };
    names_in(condition, other);
    sort_names(then, reported, other);
    match otherwise.as_deref() {
        Some(Else::Block(block)) => sort_names(block, reported, other),
        Some(Else::If(e)) => sort_names_of_parts(e, reported, other),
        None => {}
    }
}

impl Checker<'_> {
    /// Resolves what is frozen: variables that do not move, and instances that are in evaluation mode.
    pub fn freeze_all(&mut self, selections: &[&Selection], scope: &mut Scope) {
        let mut all: Vec<Selected> = Vec::new();
        for selection in selections {
            let Some(selected) = self.selected(selection, scope) else { continue };
            let Some(vars) = self.variables_of(&selected) else { continue };
            self.frozen.extend(vars);
            all.push(selected);
        }
        let tree = self.tree();
        let task = self.task;
        let quiet: Vec<InstanceId> = (0..self.instances.len() as u32)
            .map(InstanceId)
            .filter(|id| {
                let instance = &self.instances[id.0 as usize];
                let path = &instance.path;
                let below = format!("{path}.");
                let moves = |(i, v): (usize, &super::program::Var)| {
                    v.task == instance.task
                        && v.kind != VarKind::OptimizerState
                        && v.path.starts_with(&below)
                        && !self.frozen.contains(&VarId(i as u32))
                };
                instance.task == task
                    && all.iter().any(|s| s.covers(&tree, task, path))
                    && !self.vars.iter().enumerate().any(moves)
            })
            .collect();
        self.forms.quiet.extend(quiet);
    }

    /// True if assignment moves this variable now.
    pub fn may_move(&self, var: VarId) -> bool {
        self.is_metric(var) || !self.forms.still && !self.frozen.contains(&var)
    }

    /// True if a variable is the state of a metric: of a binding that only `report` uses, and that learns nothing.
    pub fn is_metric(&self, var: VarId) -> bool {
        let is = &self.vars[var.0 as usize];
        let root = is.path.split('.').next().unwrap_or_default();
        is.kind == VarKind::State && is.task == self.task && self.forms.reported.contains(root)
    }

    /// `net.*.weight` as a value.
    pub fn wildcard(&mut self, selection: &Selection, span: Span, scope: &mut Scope) -> Res<Value> {
        if self.step.is_none() {
            return self.not_supported(span, "a selection outside of a step");
        }
        let selected = self.selected(selection, scope)?;
        if self.forms.survey {
            // Its members may be made later.
            return Some(Value::Unknown);
        }
        self.parameters_of(&selected, span)
    }
}
