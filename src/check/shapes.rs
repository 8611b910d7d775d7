//! Written types against tensors: dims are bound where they first appear and compared from then on.

use super::context::{Bound, Checker, Def, InstanceKind, ReasonKind, Res, Scope};
use super::values::{Axis, Tag, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::{Dim, Sym};
use crate::graph::NodeId;
use crate::ops::{DType, Op};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, DimExpr, Expr, ExprKind, Ident, TypeExpr, TypeKind, UnaryOp};

/// A type of a tensor, taken apart.
pub struct TensorForm<'e> {
    pub dtype: DType,
    pub tag: Option<Tag>,
    pub dims: &'e [DimExpr],
}

/// What a declared parameter takes.
pub enum Form<'e> {
    Tensor(TensorForm<'e>),
    /// A compile-time kind: `int`, `float`, `bool`, `string`, `fn`, `layer`, `clock`, `rate`.
    Kind(&'e Ident),
    Other,
}

pub fn form(ty: &TypeExpr) -> Form<'_> {
    match &ty.kind {
        TypeKind::Named { base, dtype, dims } => {
            let tag = Tag::from_name(&base.name);
            // `bool` is known while compiling, `bool[]` at run time.
            if base.name == "bool" && dims.is_none() {
                return Form::Kind(base);
            }
            let word = match (tag, dtype) {
                (Some(_), Some(d)) => DType::from_name(&d.name),
                (Some(_), None) => Some(DType::F32),
                (None, _) => DType::from_name(&base.name),
            };
            match word {
                Some(dtype) => Form::Tensor(TensorForm { dtype, tag, dims: dims.as_deref().unwrap_or(&[]) }),
                None => Form::Kind(base),
            }
        }
        TypeKind::Choice(options) => match options.first() {
            // `f32[out] | none`: the tensor decides.
            Some(first) => form(first),
            None => Form::Other,
        },
        _ => Form::Other,
    }
}

/// The place of a call, for messages about its arguments.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    pub span: Span,
    /// "argument `x` of `mse`"
    pub what: &'p str,
}

impl Checker<'_> {
    /// A size as a polynomial. Names that are not known yet become new symbols, listed in `open`.
    pub fn dim_of(&mut self, expr: &Expr, scope: &Scope, open: &mut Vec<(String, Sym)>) -> Res<Dim> {
        match &expr.kind {
            ExprKind::Int(n, None) => Some(Dim::from(*n)),
            ExprKind::Name(name) => self.dim_name(name, expr.span, scope, open),
            ExprKind::Unary { op: UnaryOp::Neg, value } => Some(self.dim_of(value, scope, open)?.scale(-1)),
            ExprKind::Binary { op, left, right, .. } => {
                let (a, b) = (self.dim_of(left, scope, open)?, self.dim_of(right, scope, open)?);
                match op {
                    BinaryOp::Add => Some(a.add(&b)),
                    BinaryOp::Sub => Some(a.sub(&b)),
                    BinaryOp::Mul => Some(a.mul(&b)),
                    BinaryOp::Div => match a.exact_div(&b) {
                        Some(q) => Some(q),
                        // Inside `floor(…)` the division is looked at by the caller; elsewhere it must be exact.
                        None => self.inexact(expr.span, &a, &b),
                    },
                    BinaryOp::Pow => match b.number() {
                        Some(n @ 0..=8) => Some((0..n).fold(Dim::from(1i64), |p, _| p.mul(&a))),
                        _ => self.not_a_dim(expr),
                    },
                    _ => self.not_a_dim(expr),
                }
            }
            ExprKind::Call { callee, args } if matches!(&callee.kind, ExprKind::Name(n) if n == "floor") => {
                match args.first().map(|a| &a.value.kind) {
                    Some(ExprKind::Binary { op: BinaryOp::Div, left, right, .. }) => {
                        let (a, b) = (self.dim_of(left, scope, open)?, self.dim_of(right, scope, open)?);
                        Some(a.floor_div(&b))
                    }
                    Some(_) => self.dim_of(&args[0].value, scope, open),
                    None => self.not_a_dim(expr),
                }
            }
            ExprKind::Missing | ExprKind::Error => None,
            // An element of a list of ints, a field of a layer: any compile-time int.
            _ => {
                let mut inner = scope.clone();
                match self.eval(expr, &mut inner)? {
                    Value::Int(d, _) => Some(d),
                    v if v.is_silent() => None,
                    _ => self.not_a_dim(expr),
                }
            }
        }
    }

    fn dim_name(&mut self, name: &str, span: Span, scope: &Scope, open: &mut Vec<(String, Sym)>) -> Res<Dim> {
        if let Some(bound) = scope.dims.get(name) {
            return Some(bound.size.clone());
        }
        if let Some((_, sym)) = open.iter().find(|(n, _)| n == name) {
            return Some(Dim::from(sym.clone()));
        }
        if scope.locals.iter().any(|l| l.name == name) || self.is_const(name, scope) || self.has_member(scope, name) {
            let mut inner = scope.clone();
            return match self.name_value(name, span, &mut inner)? {
                Value::Int(d, _) => Some(d),
                // An int hyper-parameter that was left out is inferred.
                Value::None => {
                    let sym = self.fresh(name);
                    open.push((name.into(), sym.clone()));
                    Some(Dim::from(sym))
                }
                v if v.is_silent() || matches!(v, Value::UnknownNumber) => None,
                v => self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, format!("`{name}` is {}, not a size", v.kind()))
                        .label("a whole number is needed here"),
                ),
            };
        }
        let sym = self.fresh(name);
        open.push((name.into(), sym.clone()));
        Some(Dim::from(sym))
    }

    fn is_const(&self, name: &str, scope: &Scope) -> bool {
        matches!(self.own_def(name, scope.file), Some((Def::Const(_), _)))
    }

    fn inexact<T>(&mut self, span: Span, a: &Dim, b: &Dim) -> Res<T> {
        self.fail(
            Diagnostic::error(codes::BAD_SIZE, span, format!("{a} is not divisible by {b}"))
                .label("sizes are whole")
                .help("write `floor(a / b)` if rounding down is meant"),
        )
    }

    fn not_a_dim<T>(&mut self, expr: &Expr) -> Res<T> {
        self.fail(
            Diagnostic::error(codes::BAD_SIZE, expr.span, "this is not a size")
                .label("a size is a whole number, a name, or `+ - * /` of those")
                .help("give it a name in a `where` clause"),
        )
    }

    /// Matches a tensor against a written type, binding the dims that are still open.
    pub fn match_tensor(&mut self, form: &TensorForm, ty: &Ty, scope: &mut Scope, place: Place) -> Res<()> {
        if ty.dtype != form.dtype && !(ty.weak && form.dtype.is_float()) && !self.takes_any_float(form, ty, scope) {
            let help = format!("convert it: `{}(…)`", form.dtype);
            let fault = Diagnostic::error(
                codes::DTYPE_MISMATCH,
                place.span,
                format!("{} is {}, not {}", place.what, ty.dtype, form.dtype),
            )
            .label(format!("this is {ty}"))
            .help(help);
            let dtype = ty.dtype;
            return self.blame_root(fault, format!("{dtype} is declared here"), |t| t.dtype == dtype);
        }
        self.settle_float(form, ty, scope);
        if let (Some(wanted), Some(has)) = (form.tag, ty.tag)
            && wanted != has
        {
            let mut fault = Diagnostic::error(
                codes::TAG_MISMATCH,
                place.span,
                format!("{} takes {}, not {}", place.what, wanted.name(), has.name()),
            )
            .label(format!("these are {}", has.name()));
            if wanted == Tag::Logits && has == Tag::Probs {
                fault = fault
                    .note(
                        "the softmax or sigmoid would be applied twice, and the loss would look right and learn badly",
                    )
                    .help("pass the scores before the softmax or sigmoid");
            }
            let made = format!("{} come from here", has.name());
            return self.blame_root(fault, made, |t| t.tag == Some(has));
        }
        let rest = form.dims.iter().position(|d| matches!(d, DimExpr::Rest(..)));
        if let Some(again) = form.dims.iter().filter(|d| matches!(d, DimExpr::Rest(..))).nth(1) {
            return self.fail(
                Diagnostic::error(codes::UNDECIDED_DIM, dim_span(again), "a type has one `..` at most")
                    .label("which axes are these?")
                    .help("list the axes of one of them"),
            );
        }
        let fixed = form.dims.len() - usize::from(rest.is_some());
        if ty.rank() < fixed || (rest.is_none() && ty.rank() != fixed) {
            return self.rank_mismatch(form, ty, place, rest.is_some());
        }
        let spread = ty.rank() - fixed;
        let mut axis = 0;
        // Plain names and numbers first: `[H, 4 * H]` and `[4 * H, H]` both bind H.
        let mut later = Vec::new();
        let mut whole = Some(());
        for dim in form.dims {
            match dim {
                DimExpr::Rest(name, _) => {
                    let axes = ty.axes[axis..axis + spread].to_vec();
                    axis += spread;
                    match name {
                        Some(name) if whole.is_some() => whole = self.match_rest(&name.name, axes, scope, place),
                        Some(_) => {}
                        // The result's `..` stands for the same axes.
                        None => drop(scope.rests.insert(String::new(), axes)),
                    }
                }
                DimExpr::Size(expr) => {
                    let simple = matches!(expr.kind, ExprKind::Name(_) | ExprKind::Int(..));
                    if simple {
                        self.match_next(expr, &ty.axes[axis], scope, place, &mut whole);
                    } else {
                        later.push((expr, axis));
                    }
                    axis += 1;
                }
            }
        }
        for (expr, axis) in later {
            self.match_next(expr, &ty.axes[axis], scope, place, &mut whole);
        }
        whole
    }

    /// Matches one more axis. After a fault the others are still bound, but nothing more is said.
    fn match_next(&mut self, expr: &Expr, axis: &Axis, scope: &mut Scope, place: Place, whole: &mut Res<()>) {
        let said = self.found.len();
        let matched = self.match_axis(expr, axis, scope, place);
        match whole {
            Some(()) => *whole = matched,
            None => self.found.truncate(said),
        }
    }

    fn rank_mismatch<T>(&mut self, form: &TensorForm, ty: &Ty, place: Place, at_least: bool) -> Res<T> {
        let names: Vec<String> = form.dims.iter().map(|d| self.dim_text(d)).collect();
        let count = names.len() - usize::from(at_least);
        let wanted = format!("{}[{}]", form.tag.map_or(form.dtype.name(), Tag::name), names.join(", "));
        let headline = format!(
            "{} has {} {}, not {}{count}",
            place.what,
            ty.rank(),
            if ty.rank() == 1 { "axis" } else { "axes" },
            if at_least { "at least " } else { "" },
        );
        let mut fault = Diagnostic::error(codes::RANK_MISMATCH, place.span, headline)
            .label(format!("this is {ty}"))
            .note(format!("the declared type is {wanted}"));
        if let Some(span) = form.dims.first().map(dim_span)
            && !self.is_builtin(span)
        {
            fault = fault.also(span, "declared here");
        }
        let help = if ty.rank() > count && count == 2 && !at_least {
            "`flatten` makes [batch, all the rest] of it"
        } else if ty.rank() < count {
            "`unsqueeze(x, axis)` adds an axis of size 1"
        } else {
            "`reshape`, `squeeze` or a reduction removes axes"
        };
        let rank = ty.rank();
        let declared =
            if rank == 1 { "1 axis is declared here".into() } else { format!("{rank} axes are declared here") };
        self.blame_root(fault.help(help), declared, |t| t.rank() == rank)
    }

    /// Reports a fault of the value at hand with the place that made it so: the first on the way back from it of which
    /// `same` holds. A declared parameter is blamed once.
    fn blame_root<T>(&mut self, mut fault: Diagnostic, text: String, same: impl Fn(&Ty) -> bool) -> Res<T> {
        let Some(mut node) = self.subject else { return self.fail(fault) };
        loop {
            let inputs = &self.sheet.graph.node(node).inputs;
            match inputs.iter().find(|i| same(self.ty(**i))) {
                Some(before) => node = *before,
                None => break,
            }
        }
        let root = self.sheet.graph.node(node);
        let place = root.origin.span;
        let declared = matches!(root.op, Op::Field(_));
        if declared && self.generic && !self.blamed.insert((fault.code.id, place)) {
            return None;
        }
        let shown = fault.span().map(|s| self.blame(s));
        let is_tag = fault.code == codes::TAG_MISMATCH;
        if !self.is_builtin(place) && shown != Some(place) && (is_tag || declared && self.generic) {
            fault = fault.also(place, text);
        }
        self.fail(fault)
    }

    /// Adds where the operands that are declared parameters get their dtypes.
    pub fn with_declared(&self, mut fault: Diagnostic, operands: &[NodeId]) -> Diagnostic {
        for &operand in operands.iter().take(2) {
            let mut node = operand;
            let dtype = self.ty(node).dtype;
            while let Some(before) = self.sheet.graph.node(node).inputs.iter().find(|i| self.ty(**i).dtype == dtype) {
                node = *before;
            }
            let root = self.sheet.graph.node(node);
            let place = root.origin.span;
            if matches!(root.op, Op::Field(_)) && self.generic && !self.is_builtin(place) {
                fault = fault.also(place, format!("{dtype} is declared here"));
            }
        }
        fault
    }

    fn dim_text(&self, dim: &DimExpr) -> String {
        match dim {
            DimExpr::Size(e) => self.sources.text(e.span).to_string(),
            DimExpr::Rest(name, _) => format!("..{}", name.as_ref().map_or("", |n| &n.name)),
        }
    }

    fn match_rest(&mut self, name: &str, axes: Vec<Axis>, scope: &mut Scope, place: Place) -> Res<()> {
        let Some(before) = scope.rests.get(name).cloned() else {
            scope.rests.insert(name.to_string(), axes);
            return Some(());
        };
        if before.len() != axes.len() {
            return self.fail(
                Diagnostic::error(
                    codes::RANK_MISMATCH,
                    place.span,
                    format!(
                        "{} has {} leading {}, not {}",
                        place.what,
                        axes.len(),
                        if axes.len() == 1 { "axis" } else { "axes" },
                        before.len()
                    ),
                )
                .label(format!("these axes are {}", sizes(&axes)))
                .note(format!("the other value's are {}", sizes(&before)))
                .help("both must have the same shape; nothing is broadcast here"),
            );
        }
        for (a, b) in before.iter().zip(&axes) {
            if a.size != b.size {
                return self.size_mismatch(&a.clone(), b, place, None);
            }
        }
        Some(())
    }

    fn match_axis(&mut self, expr: &Expr, axis: &Axis, scope: &mut Scope, place: Place) -> Res<()> {
        let mut open = Vec::new();
        let pattern = self.dim_of(expr, scope, &mut open)?;
        match open.as_slice() {
            [] => {}
            [(name, sym)] => {
                let Some(size) = pattern.solve(sym, &axis.size) else {
                    return self.fail(
                        Diagnostic::error(
                            codes::SHAPE_MISMATCH,
                            place.span,
                            format!("{} has size {} where {pattern} is declared", place.what, axis.size),
                        )
                        .label(format!("{} is not {pattern} for any whole {name}", axis.size))
                        .also(expr.span, "declared here")
                        .help(format!("give a size that is {pattern} for some {name}")),
                    );
                };
                let why = if pattern.as_sym().is_some() {
                    axis.why
                } else {
                    self.reason(expr.span, &size, ReasonKind::Written, vec![axis.why])
                };
                scope.dims.insert(name.clone(), Bound { size, why });
                return Some(());
            }
            _ => {
                return self.fail(
                    Diagnostic::error(codes::UNDECIDED_DIM, expr.span, "two sizes are unknown here")
                        .label("only one unknown name can be solved for")
                        .help("let another axis be one of the names alone"),
                );
            }
        }
        if pattern == axis.size {
            return Some(());
        }
        let why = match &expr.kind {
            ExprKind::Name(name) => scope.dims.get(name).map(|b| b.why),
            _ => None,
        };
        let declared = match why {
            Some(why) => Axis { size: pattern, why },
            None => self.written(expr.span, pattern),
        };
        let name = match &expr.kind {
            ExprKind::Name(n) => Some(n.as_str()),
            _ => None,
        };
        self.size_mismatch(&declared, axis, place, name)
    }

    /// The axes that a written type stands for; its dims must all be known.
    pub fn axes_of(&mut self, dims: &[DimExpr], scope: &Scope) -> Res<Vec<Axis>> {
        let mut axes = Vec::new();
        for dim in dims {
            match dim {
                DimExpr::Rest(Some(name), _) => match scope.rests.get(&name.name) {
                    Some(rest) => axes.extend(rest.clone()),
                    None => return self.unknown_dim(&name.name, name.span),
                },
                DimExpr::Rest(None, span) => {
                    if let Some(rest) = scope.rests.get("") {
                        axes.extend(rest.clone());
                        continue;
                    }
                    return self.fail(
                        Diagnostic::error(codes::UNKNOWN_DIM, *span, "`..` has no axes to stand for here")
                            .label("no argument has such axes")
                            .help("list the sizes"),
                    );
                }
                DimExpr::Size(expr) => {
                    let mut open = Vec::new();
                    let size = self.dim_of(expr, scope, &mut open)?;
                    if let Some((name, _)) = open.first() {
                        return self.unknown_dim(&name.clone(), expr.span);
                    }
                    let why = match &expr.kind {
                        ExprKind::Name(n) => scope.dims.get(n).map(|b| b.why),
                        _ => None,
                    };
                    axes.push(match why {
                        Some(why) => Axis { size, why },
                        None => self.written(expr.span, size),
                    });
                }
            }
        }
        Some(axes)
    }

    pub fn unknown_dim<T>(&mut self, name: &str, span: Span) -> Res<T> {
        let mut fault = Diagnostic::error(codes::UNKNOWN_DIM, span, format!("the size `{name}` is not known"))
            .label("nothing binds this name");
        if let Some(signature) = self.signature_at(span) {
            fault = fault.also(signature, "no argument's type names it");
        }
        self.fail(fault.help("name it in the type of an argument, make it a hyper-parameter, or define it in `where`"))
    }

    /// The word `forward` of the layer around a place.
    fn signature_at(&self, span: Span) -> Option<Span> {
        self.instances.iter().find_map(|i| match &i.kind {
            InstanceKind::Layer(decl) => {
                let forward = decl.forward.as_ref()?;
                let inside =
                    |m: &crate::syntax::ast::Member| m.span.file == span.file && m.span.contains(span.start as usize);
                decl.members.iter().any(inside).then_some(forward.span)
            }
            InstanceKind::Chain(_) | InstanceKind::List(_) => None,
        })
    }

    /// Reports that a size that arrives is not the one that was declared.
    pub fn size_mismatch<T>(&mut self, declared: &Axis, arrives: &Axis, place: Place, name: Option<&str>) -> Res<T> {
        if self.left_open(&declared.size, &arrives.size) {
            return None;
        }
        let fault = self.explain_mismatch(declared, arrives, place, name);
        self.fail(fault)
    }
}

impl Checker<'_> {
    /// True if only files that are absent can tell whether two sizes are the same: nothing is said, what depends on it is
    /// not looked at, and running is what fails.
    pub fn left_open(&mut self, a: &Dim, b: &Dim) -> bool {
        let of_data = |dim: &Dim| {
            let mut found = false;
            dim.visit(&mut |s| found |= self.unknown.values().any(|(u, varies)| u == s && !varies));
            found
        };
        // Two sizes of the data are not the same by accident.
        let open = of_data(a) != of_data(b) && !a.contradicts(b);
        self.sheet.hurt |= open;
        open
    }
}

pub fn sizes(axes: &[Axis]) -> String {
    let list: Vec<String> = axes.iter().map(|a| a.size.to_string()).collect();
    format!("[{}]", list.join(", "))
}

pub fn dim_span(dim: &DimExpr) -> Span {
    match dim {
        DimExpr::Size(e) => e.span,
        DimExpr::Rest(_, span) => *span,
    }
}
