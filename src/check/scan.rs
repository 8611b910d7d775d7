//! `scan`: a block evaluated once, as the body of a recurrence. In goes the syntax, out come the values after the last
//! step, or what the steps yield, stacked.
//!
//! The block is evaluated in the graph at hand, as any other; parameters stand for carries and slices. What was added is
//! then cut out again and becomes the body: whatever it mentions from before becomes an operand. So nothing that a block
//! can say needs a rule of its own here. A layer's state that the block assigns is a carry too; as that is known only
//! afterwards, the block is then evaluated once more. So it is for a carry that starts as a bare number and takes its
//! shape from what it becomes.

use super::context::{Checker, Local, Res, Scope};
use super::program::LayerRow;
use super::values::{Axis, Ty, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{Binary, DType, Op, VarId};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Ident, Pattern, Scan, StmtKind};
use std::collections::{BTreeMap, BTreeSet};

/// A scan whose block is being evaluated.
pub struct ScanState {
    /// What it has yielded.
    yields: Vec<(Value, Span)>,
    /// Calls around it: a `yield` in a function that it calls is not its own.
    depth: usize,
}

/// What a pattern's name runs over.
pub(super) enum Source {
    Range(Dim, Dim),
    /// With the scanned axis in front.
    Tensor {
        node: NodeId,
        axis: usize,
        along: Axis,
    },
}

impl Source {
    pub(super) fn count(&self) -> &Dim {
        match self {
            Source::Range(_, count) => count,
            Source::Tensor { along, .. } => &along.size,
        }
    }
}

/// A carry before the first step.
struct Carry<'e> {
    name: &'e Ident,
    span: Span,
    /// Its first value; a bare number takes the shape that it is found to become.
    node: Option<NodeId>,
    number: Value,
    ty: Ty,
}

/// What must be as before when a block is evaluated again.
pub(super) struct Before {
    pub(super) nodes: usize,
    pub(super) current: BTreeMap<VarId, NodeId>,
    pub(super) assigned: BTreeSet<VarId>,
    pub(super) draws: BTreeMap<String, u64>,
    pub(super) key: Option<NodeId>,
    pub(super) rows: Vec<LayerRow>,
    pub(super) found: usize,
    pub(super) locals: usize,
}

/// What the evaluation of a block gave.
pub(super) struct Steps {
    /// The carries' next values, then those of the states, then what is yielded.
    pub(super) outputs: Vec<NodeId>,
    pub(super) yields: usize,
    pub(super) key: NodeId,
}

enum Attempt {
    Done(Steps),
    /// With these states as carries, or these types of carries.
    Again(Vec<VarId>, Vec<(usize, Ty)>),
}

/// More evaluations of a block than any program needs.
const ATTEMPTS: usize = 8;

impl Checker<'_> {
    pub fn eval_scan(&mut self, scan: &Scan, span: Span, scope: &mut Scope) -> Res<Value> {
        let errors = self.errors();
        let over = self.eval(&scan.over, scope);
        let reverse = self.scan_direction(scan.by.as_ref(), scope);
        let mut carries = Vec::new();
        for (name, first) in &scan.carries {
            match self.eval(first, scope) {
                Some(value) => carries.push(self.carry(name, value, first.span)),
                None => carries.push(None),
            }
        }
        let over = over?;
        if over.is_silent() || carries.iter().any(Option::is_none) || self.errors() > errors {
            return Some(Value::Poison);
        }
        let mut carries: Vec<Carry> = carries.into_iter().flatten().collect();
        let reverse = reverse?;
        let mut sources = Vec::new();
        self.sources_of(&scan.pattern, over, &scan.over, scan.along.as_ref(), scope, &mut sources)?;
        let (first, rest) = sources.split_first()?;
        let count = first.1.count().clone();
        for (name, source) in rest {
            if *source.count() != count {
                let (a, b) = (&first.0.name, &name.name);
                let text = format!("`{a}` takes {count} steps and `{b}` {}", source.count());
                return self.fail(
                    Diagnostic::error(codes::SHAPE_MISMATCH, name.span, text)
                        .label("values that are scanned abreast take the same steps"),
                );
            }
        }
        if count.number().is_some_and(|n| n < 0) {
            return self.fail(Diagnostic::error(codes::BAD_SIZE, scan.over.span, format!("a range of {count} steps")));
        }

        let operands = self.scan_operands(&sources, span)?;
        let mut states: Vec<VarId> = Vec::new();
        for _ in 0..ATTEMPTS {
            let mut firsts = Vec::new();
            for carry in &mut carries {
                let node = match carry.node {
                    Some(node) => node,
                    None => {
                        let scalar = self.number_node(&carry.number, carry.ty.dtype, carry.span)?;
                        self.stretch(scalar, &carry.ty, carry.span)?
                    }
                };
                firsts.push(node);
            }
            firsts.extend(states.iter().map(|var| self.read(*var, span)).collect::<Vec<_>>());
            let before = self.before_scan(scope);
            let slices: Vec<NodeId> = operands.iter().map(|o| o.0).collect();
            match self.steps(scan, &sources, &slices, &carries, &firsts, &states, scope, &before, span) {
                Some(Attempt::Done(steps)) => {
                    return self
                        .recurrence(scan, span, steps, firsts, &operands, &sources, states, reverse, count, &before);
                }
                Some(Attempt::Again(more, types)) => {
                    self.found.truncate(before.found);
                    self.back_to(before, scope);
                    states.extend(more);
                    for (i, ty) in types {
                        carries[i].ty = ty;
                    }
                }
                None => {
                    self.back_to(before, scope);
                    return Some(Value::Poison);
                }
            }
        }
        self.not_supported(span, "a scan whose carries do not settle")
    }

    // ---- heads ----

    fn scan_direction(&mut self, by: Option<&Expr>, scope: &mut Scope) -> Res<bool> {
        let Some(by) = by else { return Some(false) };
        let value = self.eval(by, scope)?;
        match self.whole(value, by.span)?.number() {
            Some(1) => Some(false),
            Some(-1) => Some(true),
            None if self.generic => Some(false),
            _ => self.fail(
                Diagnostic::error(codes::BAD_SIZE, by.span, "a scan goes by 1 or by -1")
                    .label("the direction")
                    .help("for every second place, scan over `x[:, ::2]`"),
            ),
        }
    }

    fn carry<'e>(&mut self, name: &'e Ident, value: Value, span: Span) -> Option<Carry<'e>> {
        let value = self.present(value, span);
        let scalar = |dtype| Ty { dtype, axes: Vec::new(), tag: None, weak: false };
        let ty = match &value {
            Value::Tensor(node) => {
                let ty = Ty { tag: None, ..self.ty(*node).clone() };
                if ty.weak {
                    let ty = scalar(DType::F32);
                    let node = self.stretch(*node, &ty, span)?;
                    return Some(Carry { name, span, node: Some(node), number: Value::None, ty });
                }
                return Some(Carry { name, span, node: Some(*node), number: Value::None, ty });
            }
            Value::Int(..) => scalar(DType::I32),
            Value::Float(_) | Value::UnknownNumber => scalar(DType::F32),
            Value::Bool(_) => scalar(DType::Bool),
            v if v.is_silent() => return None,
            v => {
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, format!("the carry `{}` is {}", name.name, v.kind()))
                        .label("a tensor or a number is carried from step to step"),
                );
            }
        };
        Some(Carry { name, span, node: None, number: value, ty })
    }

    /// What each name of the pattern runs over.
    fn sources_of<'e>(
        &mut self,
        pattern: &'e Pattern,
        value: Value,
        expr: &Expr,
        along: Option<&Ident>,
        scope: &Scope,
        out: &mut Vec<(&'e Ident, Source)>,
    ) -> Res<()> {
        match (pattern, self.present(value, expr.span)) {
            (_, v) if v.is_silent() => None,
            (Pattern::Tuple(parts, _), Value::Tuple(items)) if parts.len() == items.len() => {
                for (i, (part, item)) in parts.iter().zip(items).enumerate() {
                    let own = match &expr.kind {
                        ExprKind::Tuple(exprs) => exprs.get(i).unwrap_or(expr),
                        _ => expr,
                    };
                    self.sources_of(part, item, own, along, scope, out)?;
                }
                Some(())
            }
            (Pattern::Tuple(parts, span), v) => {
                let text = format!("{} names for {}", parts.len(), v.kind());
                self.fail(
                    Diagnostic::error(codes::WRONG_KIND, *span, text)
                        .label("the numbers differ")
                        .also(expr.span, v.kind())
                        .help("write `(a, b) in (x, y)`"),
                )
            }
            (Pattern::Name(name), Value::Range(from, to)) => {
                let count = to.sub(&from);
                out.push((name, Source::Range(from, count)));
                Some(())
            }
            (Pattern::Name(name), Value::Tensor(node)) => {
                let source = self.scanned(node, expr, along, scope)?;
                out.push((name, source));
                Some(())
            }
            (Pattern::Name(_), v) => self.fail(
                Diagnostic::error(codes::WRONG_KIND, expr.span, format!("{} cannot be scanned", v.kind()))
                    .label("a tensor or a range is needed here")
                    .help("write `scan x_t in x along T`, `scan i in 0..n`"),
            ),
        }
    }

    fn scanned(&mut self, node: NodeId, expr: &Expr, along: Option<&Ident>, scope: &Scope) -> Res<Source> {
        let ty = self.ty(node).clone();
        let Some(name) = along else {
            return self.fail(
                Diagnostic::error(codes::MISSING_PART, expr.span, "this scan does not name its axis")
                    .label(format!("this is {ty}"))
                    .help("name the axis: `scan x_t in x along T`"),
            );
        };
        let Some(bound) = scope.dims.get(&name.name).cloned() else {
            let meant = suggest::nearest(&name.name, scope.dims.keys().map(String::as_str)).map(str::to_string);
            let fault = Diagnostic::error(
                codes::UNKNOWN_DIM,
                name.span,
                format!("there is no size `{}` to scan along", name.name),
            )
            .label("not a name of an axis")
            .also(expr.span, format!("this is {ty}"));
            return self.fail(match meant {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help("name the axis in a type: `x: f32[B, T, D]`"),
            });
        };
        let fits: Vec<usize> = (0..ty.rank()).filter(|i| ty.axes[*i].size == bound.size).collect();
        // Of axes of one size the one that the value's declared type calls so, or else the one that gave the name its size.
        let declared = |names: &[Option<String>]| names.iter().position(|n| n.as_ref() == Some(&name.name));
        let called = scope.axis_names.iter().filter(|(of, _)| *of == node).find_map(|(_, names)| declared(names));
        let own: Vec<usize> = match called.filter(|axis| fits.contains(axis)) {
            Some(axis) => vec![axis],
            None => fits.iter().copied().filter(|i| ty.axes[*i].why == bound.why).collect(),
        };
        let axis = match (fits.as_slice(), own.as_slice()) {
            (&[axis], _) | (_, &[axis]) => axis,
            ([], _) => {
                let text = self.size_text(&bound.size, bound.why);
                return self.fail(
                    Diagnostic::error(codes::BAD_AXIS, name.span, format!("no axis is `{}`", name.name))
                        .label(format!("{text} here"))
                        .also(expr.span, format!("this is {ty}"))
                        .help("name one of its axes"),
                );
            }
            _ => {
                return self.fail(
                    Diagnostic::error(codes::BAD_AXIS, name.span, format!("several axes have the size {}", bound.size))
                        .label("which of them?")
                        .also(expr.span, format!("this is {ty}"))
                        .help("`transpose` or `rearrange` a copy whose axes have different names"),
                );
            }
        };
        Some(Source::Tensor { node, axis, along: ty.axes[axis].clone() })
    }

    /// The operand of each source with the steps in front, and the type of a slice.
    fn scan_operands(&mut self, sources: &[(&Ident, Source)], span: Span) -> Res<Vec<(NodeId, Ty)>> {
        let mut operands = Vec::new();
        for (name, source) in sources {
            operands.push(match source {
                Source::Range(from, count) => {
                    let axis = self.written(span, count.clone());
                    let ty = Ty { dtype: DType::I32, axes: vec![axis], tag: None, weak: false };
                    let mut node = self.node(Op::Iota { size: count.clone() }, Vec::new(), ty.clone(), span);
                    if from.number() != Some(0) {
                        let first = self.number_node(&Value::Int(from.clone(), None), DType::I32, span)?;
                        let first = self.stretch(first, &ty, span)?;
                        node = self.node(Op::Binary(Binary::Add), vec![node, first], ty.clone(), span);
                    }
                    (node, Ty { axes: Vec::new(), ..ty })
                }
                Source::Tensor { node, axis, .. } => {
                    let ty = self.ty(*node).clone();
                    let mut perm: Vec<usize> = (0..ty.rank()).collect();
                    perm.remove(*axis);
                    perm.insert(0, *axis);
                    let axes: Vec<Axis> = perm.iter().map(|i| ty.axes[*i].clone()).collect();
                    let slice = Ty { axes: axes[1..].to_vec(), ..ty.clone() };
                    let node = match axis {
                        0 => *node,
                        _ => self.node(Op::Transpose { perm }, vec![*node], Ty { axes, ..ty }, name.span),
                    };
                    (node, slice)
                }
            });
        }
        Some(operands)
    }

    // ---- the block ----

    fn before_scan(&self, scope: &Scope) -> Before {
        Before {
            nodes: self.sheet.graph.nodes.len(),
            current: self.sheet.current.clone(),
            assigned: self.sheet.assigned.clone(),
            draws: self.draws.clone(),
            key: self.sheet.key,
            rows: self.rows.clone(),
            found: self.found.len(),
            locals: scope.locals.len(),
        }
    }

    pub(super) fn back_to(&mut self, before: Before, scope: &mut Scope) {
        self.cut(before.nodes);
        self.sheet.current = before.current;
        self.sheet.assigned = before.assigned;
        self.sheet.key = before.key;
        self.draws = before.draws;
        self.rows = before.rows;
        scope.locals.truncate(before.locals);
    }

    /// Takes the nodes from here on off the graph.
    pub(super) fn cut(&mut self, nodes: usize) -> Vec<(crate::graph::Node<Dim>, Ty)> {
        let gone = self.sheet.graph.nodes.split_off(nodes);
        let types = self.sheet.tys.split_off(nodes);
        self.sheet.applied.retain(|a| a.nodes.end <= nodes);
        // Members that are tensors are made again where they are needed.
        for instance in &mut self.instances {
            instance.members.retain(|(_, value)| !matches!(value, Value::Tensor(n) if n.index() >= nodes));
        }
        gone.into_iter().zip(types).collect()
    }

    /// Evaluates the block once, with parameters for what a step is given.
    #[allow(clippy::too_many_arguments)]
    fn steps(
        &mut self,
        scan: &Scan,
        sources: &[(&Ident, Source)],
        slices: &[NodeId],
        carries: &[Carry],
        firsts: &[NodeId],
        states: &[VarId],
        scope: &mut Scope,
        before: &Before,
        span: Span,
    ) -> Option<Attempt> {
        let errors = self.errors();
        let mut number = 0;
        let mut parameter = |c: &mut Self, ty: Ty, at: Span| {
            number += 1;
            c.node(Op::Parameter(number - 1), Vec::new(), ty, at)
        };
        let mut given = Vec::new();
        for carry in carries {
            given.push(parameter(self, carry.ty.clone(), carry.name.span));
        }
        for (var, first) in states.iter().zip(&firsts[carries.len()..]) {
            let ty = self.ty(*first).clone();
            let node = parameter(self, ty, span);
            self.sheet.current.insert(*var, node);
        }
        let mut elements = Vec::new();
        for ((name, source), operand) in sources.iter().zip(slices) {
            let mut ty = self.ty(*operand).clone();
            ty.axes.remove(0);
            // A range may only count.
            let checked = matches!(source, Source::Tensor { .. }) && !self.is_builtin(name.span);
            elements.push((*name, checked, parameter(self, ty, name.span)));
        }
        let four = self.written(span, Dim::from(4i64));
        let key = parameter(self, Ty { dtype: DType::I32, axes: vec![four], tag: None, weak: false }, span);
        self.sheet.key = Some(key);

        // Which names of outside the block reads is seen by their marks.
        let marks: Vec<bool> = scope.locals.iter_mut().map(|l| std::mem::replace(&mut l.used, false)).collect();
        let dims = scope.dims.clone();
        for (name, checked, node) in elements {
            scope.bind(&name.name, Value::Tensor(node), name.span);
            if let Some(local) = scope.local(&name.name) {
                local.checked = checked;
            }
        }
        for (carry, node) in carries.iter().zip(&given) {
            scope.bind(&carry.name.name, Value::Tensor(*node), carry.name.span);
        }
        let own = scope.locals.len();
        self.scans.push(ScanState { yields: Vec::new(), depth: self.calls.len() });
        let value = self.eval_block(&scan.body, scope, false);
        let yields = self.scans.pop().map(|s| s.yields).unwrap_or_default();
        scope.dims = dims;
        self.scan_value(scan, value);
        let again = self.not_carried(scope, before.locals, own);
        for (local, mark) in scope.locals.iter_mut().zip(marks) {
            local.used |= mark;
        }
        if self.errors() > errors || again.is_none() {
            return None;
        }

        // Layers with state carry it along.
        let moved = |(var, node): (&VarId, &NodeId)| {
            let inside = node.index() >= before.nodes && !matches!(self.sheet.graph.node(*node).op, Op::Read(_));
            (inside && !states.contains(var)).then_some(*var)
        };
        let more: Vec<VarId> = self.sheet.current.iter().filter_map(moved).collect();
        let mut outputs = Vec::new();
        let mut types = Vec::new();
        for (i, carry) in carries.iter().enumerate() {
            let local = scope.local(&carry.name.name)?;
            let (value, at) = (local.value.clone(), local.span);
            match self.next_value(carry, value, at)? {
                Ok(node) => outputs.push(node),
                Err(ty) => types.push((i, ty)),
            }
        }
        if !more.is_empty() || !types.is_empty() {
            return Some(Attempt::Again(more, types));
        }
        outputs.extend(states.iter().filter_map(|var| self.sheet.current.get(var)));
        let kept = outputs.len();
        for (value, at) in yields {
            self.yielded(value, at, &mut outputs)?;
        }
        let inner = Scope { locals: scope.locals.split_off(before.locals), ..Scope::new(scope.file) };
        self.warn_unused(&inner);
        let yields = outputs.len() - kept;
        Some(Attempt::Done(Steps { outputs, yields, key }))
    }

    /// The last expression of the block has no use.
    fn scan_value(&mut self, scan: &Scan, value: Res<Value>) {
        let Some(last) = scan.body.stmts.last() else { return };
        let used = matches!(&last.kind, StmtKind::Expr(e) if !matches!(e.kind, ExprKind::If { .. }));
        if used && value.is_some_and(|v| !v.is_silent()) {
            let text = self.sources.text(last.span).to_string();
            self.report(
                Diagnostic::error(codes::UNUSED, last.span, "this value is not used")
                    .label("a scan gives what it yields, or else its carries")
                    .help(format!("write `yield {text}`")),
            );
        }
    }

    /// A name of outside that the block reads and then binds anew: the next step would not see it.
    fn not_carried(&mut self, scope: &Scope, outer: usize, own: usize) -> Res<()> {
        let read = |name: &str| scope.locals[..outer].iter().rev().find(|l| l.name == name).is_some_and(|l| l.used);
        let shadows = |l: &&Local| !scope.locals[outer..own].iter().any(|c| c.name == l.name) && read(&l.name);
        let Some(local) = scope.locals[own..].iter().find(shadows).cloned() else { return Some(()) };
        let name = &local.name;
        self.fail(
            Diagnostic::error(codes::WRONG_KIND, local.span, format!("`{name}` is not carried to the next step"))
                .label("every step would begin with the value from before the scan")
                .help(format!("carry it, `with {name} = {name}`, or take another name")),
        )
    }

    /// A carry's value after the step; or the type that it must start with.
    fn next_value(&mut self, carry: &Carry, value: Value, at: Span) -> Res<Result<NodeId, Ty>> {
        let node = match self.present(value, at) {
            Value::Tensor(node) => node,
            v if v.is_silent() => return None,
            v @ (Value::Int(..) | Value::Float(_) | Value::Bool(_) | Value::UnknownNumber) => {
                let scalar = self.number_node(&v, carry.ty.dtype, at)?;
                self.stretch(scalar, &carry.ty, at)?
            }
            v => {
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, at, format!("`{}` becomes {}", carry.name.name, v.kind()))
                        .label("a tensor or a number is carried from step to step"),
                );
            }
        };
        let is = self.ty(node).clone();
        if is.weak && carry.ty.dtype.is_float() {
            return Some(Ok(self.stretch(node, &carry.ty, at)?));
        }
        if is.plain() == carry.ty.plain() {
            return Some(Ok(node));
        }
        if carry.node.is_none() && carry.ty.rank() == 0 && (is.dtype.is_float() || is.dtype == carry.ty.dtype) {
            return Some(Err(Ty { tag: None, weak: false, ..is }));
        }
        let headline = format!("the carry `{}` starts as {} and becomes {}", carry.name.name, carry.ty, plain(&is));
        let code = if is.dtype == carry.ty.dtype { codes::SHAPE_MISMATCH } else { codes::DTYPE_MISMATCH };
        self.fail(
            Diagnostic::error(code, at, headline)
                .label(format!("becomes {} here", plain(&is)))
                .also(carry.span, format!("starts as {}", carry.ty))
                .help("a carry has one type in all steps: start with that, or give the new value another name"),
        )
    }

    /// `yield a, b`
    pub fn yield_values(&mut self, values: &[Expr], span: Span, scope: &mut Scope) -> Res<()> {
        if self.scans.last().is_none_or(|s| s.depth != self.calls.len()) {
            return self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, "`yield` belongs in a `scan`")
                    .label("nothing collects this value")
                    .help("the value of a function or layer is its last expression"),
            );
        }
        for value in values {
            let found = self.eval(value, scope)?;
            if let Some(state) = self.scans.last_mut() {
                state.yields.push((found, value.span));
            }
        }
        Some(())
    }

    fn yielded(&mut self, value: Value, at: Span, out: &mut Vec<NodeId>) -> Res<()> {
        match self.present(value, at) {
            Value::Tuple(items) => items.into_iter().try_for_each(|item| self.yielded(item, at, out)),
            v if v.is_silent() => None,
            v => {
                let mut node = self.number_node(&v, DType::F32, at)?;
                let ty = self.ty(node).clone();
                if ty.weak {
                    node = self.stretch(node, &Ty { dtype: DType::F32, weak: false, ..ty }, at)?;
                }
                out.push(node);
                Some(())
            }
        }
    }
}

/// A type without what does not matter to a carry.
fn plain(ty: &Ty) -> Ty {
    Ty { tag: None, weak: false, ..ty.clone() }
}
