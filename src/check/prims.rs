//! Calls of single operations of the op table: arguments to attributes, faults to messages, and where each axis of the
//! result comes from.

use super::context::{Checker, ReasonKind, Res};
use super::tensors::Kind;
use super::values::{Axis, Given, Ty, Value, Why};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::{NodeId, TensorType};
use crate::ops::{self, ArgDefault, ArgKind, ArgValue, Binary, DType, Op, ShapeFault, Surface, Unary};
use crate::source::Span;

impl Checker<'_> {
    pub fn call_surface(&mut self, surface: &'static Surface, given: Vec<Given>, span: Span) -> Res<Value> {
        // `max(a, b)` is elementwise, `max(x, axis: 1)` reduces.
        let binary = match surface.name {
            "max" => Some(Binary::Max),
            "min" => Some(Binary::Min),
            _ => None,
        };
        if let Some(binary) = binary
            && let [a, b] = given.as_slice()
            && a.name.is_none()
            && b.name.is_none()
        {
            return self.extreme(binary, a.value.clone(), b.value.clone(), span);
        }
        let names: Vec<&str> = surface.params.iter().map(|p| p.name).collect();
        let required: Vec<bool> = surface.params.iter().map(|p| p.default == ArgDefault::Required).collect();
        let placed = self.place(surface.name, &names, &required, &names.join(", "), given, span);
        if placed.iter().flatten().any(|g| g.value.is_silent()) {
            return Some(Value::Poison);
        }
        let mut args = Vec::new();
        let mut nodes: Vec<NodeId> = Vec::new();
        let mut operands = Vec::new();
        let mut node_names: Vec<&str> = Vec::new();
        for (spec, given) in surface.params.iter().zip(placed) {
            let Some(given) = given else {
                args.push(match spec.default {
                    ArgDefault::Int(n) => ArgValue::Int(Dim::from(n)),
                    ArgDefault::Float(v) => ArgValue::Float(v),
                    ArgDefault::Bool(b) => ArgValue::Bool(b),
                    ArgDefault::None | ArgDefault::Required => ArgValue::None,
                });
                continue;
            };
            let text = format!("argument `{}` of `{}`", spec.name, surface.name);
            let value = self.present(given.value.clone(), given.span);
            match spec.kind {
                ArgKind::Tensor => {
                    operands.push(value.clone());
                    node_names.push(spec.name);
                }
                ArgKind::Tensors => node_names.clear(),
                _ => {}
            }
            args.push(self.arg_value(value, spec.kind, &mut nodes, given.span, &text)?);
        }
        let op = match (surface.build)(&args) {
            Ok(op) => op,
            Err(fault) => return self.shape_fault(fault, surface.name, &node_names, &nodes, span),
        };
        match op {
            Op::Binary(b) => return self.elementwise(Kind::Binary(b), operands, span, surface.name),
            Op::Compare(c) => return self.elementwise(Kind::Compare(c), operands, span, surface.name),
            Op::Unary(u) => {
                if let Some(n) = operands.first().and_then(Value::number) {
                    return Some(Value::Float(of_number(u, n)));
                }
                if matches!(operands.first(), Some(Value::Int(..) | Value::UnknownNumber)) && self.generic {
                    return Some(Value::UnknownNumber);
                }
            }
            _ => {}
        }
        self.add_op(op, nodes, span, surface.name, &node_names)
    }

    /// `max(a, b)` or `min(a, b)`.
    fn extreme(&mut self, op: Binary, a: Value, b: Value, span: Span) -> Res<Value> {
        let (a, b) = (self.present(a, span), self.present(b, span));
        if a.is_silent() || b.is_silent() {
            return Some(Value::Poison);
        }
        match (a.number(), b.number()) {
            (Some(x), Some(y)) => {
                let first = if op == Binary::Max { x >= y } else { x <= y };
                Some(if first { a } else { b })
            }
            _ if !matches!(a, Value::Tensor(_)) && !matches!(b, Value::Tensor(_)) && self.generic => {
                Some(Value::UnknownNumber)
            }
            _ => self.elementwise(Kind::Binary(op), vec![a, b], span, op.name()),
        }
    }

    fn arg_value(
        &mut self,
        value: Value,
        kind: ArgKind,
        nodes: &mut Vec<NodeId>,
        span: Span,
        what: &str,
    ) -> Res<ArgValue> {
        let place = super::shapes::Place { span, what };
        match (kind, value) {
            (_, Value::None) => Some(ArgValue::None),
            (ArgKind::Tensor, value) => {
                let node = self.number_node(&value, DType::F32, span)?;
                nodes.push(node);
                Some(ArgValue::Tensor(self.ty(node).plain()))
            }
            (ArgKind::Tensors, Value::List(items) | Value::Tuple(items)) => {
                let mut types = Vec::new();
                for item in items {
                    let node = self.number_node(&item, DType::F32, span)?;
                    nodes.push(node);
                    types.push(self.ty(node).plain());
                }
                Some(ArgValue::Tensors(types))
            }
            (ArgKind::Int | ArgKind::Ints | ArgKind::Words(_), Value::Int(d, _)) => Some(ArgValue::Int(d)),
            (ArgKind::Shape, Value::Int(d, _)) => Some(ArgValue::Ints(vec![d])),
            (ArgKind::Ints | ArgKind::Shape | ArgKind::Words(_), Value::List(items) | Value::Tuple(items)) => {
                let dims: Option<Vec<Dim>> = items.into_iter().map(|v| self.whole(v, span)).collect();
                Some(ArgValue::Ints(dims?))
            }
            (ArgKind::Words(words), Value::Str(s)) if words.contains(&s.as_str()) => {
                Some(ArgValue::Word(words.iter().find(|w| **w == s).copied()?))
            }
            (ArgKind::Float, v) if v.number().is_some() => Some(ArgValue::Float(v.number()?)),
            (ArgKind::Bool, Value::Bool(b)) => Some(ArgValue::Bool(b)),
            (ArgKind::DType, Value::DType(d)) => Some(ArgValue::DType(d)),
            (_, Value::UnknownNumber) => None,
            (kind, value) => {
                let wanted = match kind {
                    ArgKind::Tensor => "a tensor".to_string(),
                    ArgKind::Tensors => "a list of tensors".to_string(),
                    ArgKind::Int => "a whole number".to_string(),
                    ArgKind::Ints => "a whole number or a list of them".to_string(),
                    ArgKind::Shape => "a list of sizes".to_string(),
                    ArgKind::Float => "a number".to_string(),
                    ArgKind::Bool => "true or false".to_string(),
                    ArgKind::DType => "a dtype".to_string(),
                    ArgKind::Words(words) => format!("a whole number or {}", words.join(", ")),
                };
                self.wrong_kind(value, &wanted, place)
            }
        }
    }

    /// Appends an operation, its type inferred.
    pub fn add_op(&mut self, op: Op<Dim>, inputs: Vec<NodeId>, span: Span, name: &str, params: &[&str]) -> Res<Value> {
        let types: Vec<Ty> = inputs.iter().map(|i| self.ty(*i).clone()).collect();
        let plain: Vec<TensorType<Dim>> = types.iter().map(Ty::plain).collect();
        let out = match ops::infer(&op, &plain) {
            Ok(out) => out,
            Err(fault) => return self.shape_fault(fault, name, params, &inputs, span),
        };
        if let (Op::Pick { axis } | Op::Take { axis }, [_, index]) = (&op, inputs.as_slice()) {
            self.in_range(&types[0].axes[*axis].clone(), *index, span)?;
        }
        let axes = self.result_axes(&op, &types, &out, span);
        let moves = matches!(
            op,
            Op::Reshape { .. }
                | Op::Transpose { .. }
                | Op::Broadcast { .. }
                | Op::Slice { .. }
                | Op::Pick { .. }
                | Op::StopGradient
        );
        let first = types.first();
        let tag = if moves { first.and_then(|t| t.tag) } else { None };
        let weak = !types.is_empty() && types.iter().all(|t| t.weak) && out.dtype == DType::F64;
        Some(Value::Tensor(self.node(op, inputs, Ty { dtype: out.dtype, axes, tag, weak }, span)))
    }

    /// A field of the data chooses along an axis: its classes must all be there. If they are not known, whoever feeds the
    /// step looks at the numbers.
    pub fn in_range(&mut self, axis: &Axis, index: NodeId, span: Span) -> Res<()> {
        let Some(size) = axis.size.number().filter(|_| self.step.is_some()) else { return Some(()) };
        let mut root = self.sheet.graph.node(index);
        while let (
            Op::Cast | Op::Reshape { .. } | Op::Broadcast { .. } | Op::Transpose { .. } | Op::Slice { .. },
            [x],
        ) = (&root.op, root.inputs.as_slice())
        {
            root = self.sheet.graph.node(*x);
        }
        let (Op::Field(number), named) = (&root.op, root.origin.span) else { return Some(()) };
        let at = self.blame(span);
        let Some(field) = self.feed.fields.get_mut(*number as usize).filter(|f| f.dtype.is_int()) else {
            return Some(());
        };
        let Some(classes) = field.classes else {
            if field.below.is_none_or(|(least, _)| size < least) {
                field.below = Some((size, at));
            }
            return Some(());
        };
        if classes as i64 <= size {
            return Some(());
        }
        let name = field.name.clone();
        let size = self.size_text(&axis.size, axis.why);
        let mut fault =
            Diagnostic::error(codes::BAD_SIZE, at, format!("`{name}` has {classes} classes, here are {size}"))
                .label(format!("{size} to choose from"))
                .also(named, format!("{classes} classes"));
        for (place, text) in self.chain(axis.why).into_iter().take(2) {
            let place = self.blame(place);
            if place != at && place != named && !self.is_builtin(place) {
                fault = fault.also(place, text);
            }
        }
        self.fail(fault.help(format!("make it {classes}, or write `data.classes`")))
    }

    pub fn take(&mut self, x: NodeId, index: NodeId, axis: usize, span: Span) -> Res<Value> {
        self.add_op(Op::Take { axis }, vec![x, index], span, "take", &["x", "index"])
    }

    /// The reasons for the sizes of a result: those of the operands where an axis is carried over, new ones where it is
    /// made.
    fn result_axes(&mut self, op: &Op<Dim>, inputs: &[Ty], out: &TensorType<Dim>, span: Span) -> Vec<Axis> {
        let from = sources(op, inputs, out);
        let at = self.blame(span);
        let made_by = self.maker(span);
        let mut axes = Vec::new();
        for (size, source) in out.shape.iter().zip(from) {
            let parents: Vec<Why> = source.iter().map(|&(operand, axis)| inputs[operand].axes[axis].why).collect();
            let axis = match source.as_slice() {
                [(operand, axis)] if inputs[*operand].axes[*axis].size == *size => inputs[*operand].axes[*axis].clone(),
                [] => self.written(at, size.clone()),
                [_] => {
                    let why = self.reason(at, size, ReasonKind::Made(made_by.clone()), parents);
                    Axis { size: size.clone(), why }
                }
                _ => {
                    let why = self.reason(at, size, ReasonKind::Product, parents);
                    Axis { size: size.clone(), why }
                }
            };
            axes.push(axis);
        }
        axes
    }

    /// What the user called to make an axis: `MaxPool2d`, else the operation's text.
    fn maker(&self, span: Span) -> String {
        let user = self.blame(span);
        let text = self.sources.text(user);
        let short = text.split(['(', ' ', '\n']).next().unwrap_or(text);
        let named = self.calls.iter().rev().find(|c| c.span == user).map(|c| c.text.clone());
        match named {
            Some(text) => format!("`{}`", text.trim_matches('`')),
            None => format!("`{short}`"),
        }
    }

    fn shape_fault<T>(
        &mut self,
        fault: ShapeFault,
        name: &str,
        params: &[&str],
        inputs: &[NodeId],
        span: Span,
    ) -> Res<T> {
        // What the user called, not what the library makes of it.
        let maker = self.maker(span);
        let name = if self.is_builtin(span) { maker.trim_matches('`') } else { name };
        let operand = |i: usize| match params.get(i) {
            Some(p) if !p.is_empty() => format!("`{p}`"),
            _ => format!("operand {}", i + 1),
        };
        let shape = |c: &Self, i: usize| inputs.get(i).map_or(String::new(), |n| c.ty(*n).to_string());
        let all = inputs.iter().enumerate().map(|(i, _)| shape(self, i)).collect::<Vec<_>>().join(", ");
        let at = self.blame(span);
        let diagnostic = match fault {
            ShapeFault::Sizes { left, right } => {
                let axis =
                    |c: &Self, (o, a): (usize, usize)| -> Option<Axis> { c.ty(*inputs.get(o)?).axes.get(a).cloned() };
                let (Some(l), Some(r)) = (axis(self, left), axis(self, right)) else { return None };
                if self.left_open(&l.size, &r.size) {
                    return None;
                }
                let (lt, rt) = (self.size_text(&l.size, l.why), self.size_text(&r.size, r.why));
                let code = if l.size.contradicts(&r.size) { codes::SHAPE_MISMATCH } else { codes::UNDECIDED_DIM };
                let mut d =
                    Diagnostic::error(code, span, format!("`{name}` of {all}: {lt} against {rt}")).label(format!(
                        "axis {} of {} is {lt}, axis {} of {} is {rt}",
                        left.1,
                        operand(left.0),
                        right.1,
                        operand(right.0)
                    ));
                let mut seen = vec![at];
                for axis in [&l, &r] {
                    for (place, text) in self.chain(axis.why).into_iter().take(3) {
                        let place = self.blame(place);
                        if !seen.contains(&place) {
                            seen.push(place);
                            d = d.also(place, text);
                        }
                    }
                }
                d.help("make the two sizes equal")
            }
            ShapeFault::Rank { operand: i, expected } => Diagnostic::error(
                codes::RANK_MISMATCH,
                span,
                format!(
                    "`{name}` takes {}, {} has {}",
                    if expected.contains("ax") { expected } else { format!("{expected} axes") },
                    operand(i),
                    inputs.get(i).map_or(0, |n| self.ty(*n).rank())
                ),
            )
            .label(format!("{} is {}", operand(i), shape(self, i)))
            .help("`unsqueeze`, `squeeze`, `flatten` and `reshape` change the number of axes"),
            ShapeFault::DType { operand: i, expected } => Diagnostic::error(
                codes::DTYPE_MISMATCH,
                span,
                format!(
                    "`{name}` takes {expected}, {} is {}",
                    operand(i),
                    inputs.get(i).map_or("?", |n| self.ty(*n).dtype.name())
                ),
            )
            .label(format!("{} is {}", operand(i), shape(self, i)))
            .help("convert it first: `f32(…)` or `i32(…)`"),
            ShapeFault::Attribute(why) if why.contains("axis") || why.contains("axes") => {
                Diagnostic::error(codes::BAD_AXIS, span, format!("`{name}`: {why}"))
                    .label(format!("the operand is {all}"))
                    .help("axes count from 0; -1 is the last")
            }
            ShapeFault::Attribute(why) => Diagnostic::error(codes::BAD_SIZE, span, format!("`{name}`: {why}"))
                .label(if all.is_empty() { "not possible".to_string() } else { format!("the operand is {all}") })
                .help("change the argument so that it fits the operand"),
            ShapeFault::Extent { operand: i, axis, why } => {
                let mut d = Diagnostic::error(codes::BAD_SIZE, span, format!("`{name}`: {why}")).label(format!(
                    "{} is {}",
                    operand(i),
                    shape(self, i)
                ));
                if let Some(axis) = inputs.get(i).and_then(|n| self.ty(*n).axes.get(axis).cloned()) {
                    for (place, text) in self.chain(axis.why).into_iter().take(3) {
                        let place = self.blame(place);
                        if place != at {
                            d = d.also(place, text);
                        }
                    }
                }
                d.help("a smaller kernel, more padding, or fewer steps before keep the size up")
            }
        };
        self.fail(diagnostic)
    }
}

/// For each axis of the result, the operand axes that it comes from.
fn sources(op: &Op<Dim>, inputs: &[Ty], out: &TensorType<Dim>) -> Vec<Vec<(usize, usize)>> {
    let rank = out.rank();
    let same = || (0..rank).map(|i| vec![(0, i)]).collect::<Vec<_>>();
    match op {
        Op::Transpose { perm } => perm.iter().map(|&p| vec![(0, p)]).collect(),
        Op::Broadcast { axes, .. } => {
            (0..rank).map(|i| axes.iter().position(|&a| a == i).map_or(vec![], |p| vec![(0, p)])).collect()
        }
        Op::Reduce { axes, .. } => (0..inputs[0].rank()).filter(|a| !axes.contains(a)).map(|a| vec![(0, a)]).collect(),
        Op::ArgReduce { axis, .. } | Op::Pick { axis } => {
            (0..inputs[0].rank()).filter(|a| a != axis).map(|a| vec![(0, a)]).collect()
        }
        Op::Take { axis } => {
            let index = inputs[1].rank();
            let before = (0..*axis).map(|a| vec![(0, a)]);
            let middle = (0..index).map(|a| vec![(1, a)]);
            let after = (*axis + 1..inputs[0].rank()).map(|a| vec![(0, a)]);
            before.chain(middle).chain(after).collect()
        }
        Op::Conv { .. } => (0..rank).map(|i| if i == 1 { vec![(1, 0)] } else { vec![(0, i)] }).collect(),
        Op::Matmul { .. } => (0..rank).map(|i| if i + 1 == rank { vec![(1, i)] } else { vec![(0, i)] }).collect(),
        Op::Reshape { .. } => regrouped(&inputs[0], out),
        Op::Concat { axis } => (0..rank)
            .map(|i| if i == *axis { (0..inputs.len()).map(|o| (o, i)).collect() } else { vec![(0, i)] })
            .collect(),
        _ if inputs.first().is_some_and(|t| t.rank() == rank) => same(),
        _ => vec![Vec::new(); rank],
    }
}

/// Pairs the axes of a reshape: runs of operand axes whose product is a result axis, and the other way round.
fn regrouped(x: &Ty, out: &TensorType<Dim>) -> Vec<Vec<(usize, usize)>> {
    let one = Dim::from(1i64);
    let mut from = vec![Vec::new(); out.rank()];
    let mut next = 0;
    for (i, size) in out.shape.iter().enumerate() {
        let mut product = one.clone();
        let mut run = Vec::new();
        let mut at = next;
        while product != *size && at < x.rank() {
            product = product.mul(&x.axes[at].size);
            run.push((0, at));
            at += 1;
        }
        if product == *size && !run.is_empty() {
            from[i] = run;
            next = at;
        } else if next < x.rank() && *size != one {
            // One operand axis split over several result axes.
            from[i] = vec![(0, next)];
        }
    }
    from
}

fn of_number(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        // Of a constant nobody needs them; the node is folded later.
        Unary::Erf | Unary::Not => f64::NAN,
    }
}
