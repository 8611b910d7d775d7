//! Functions of the prelude that put other operations together: sorting with values, indexing along an axis, turning,
//! repeating, padding with what is there, windows in a row. All of them keep their operand's dtype.

use super::context::{Checker, Res};
use super::tensors::Kind;
use super::values::{Axis, Given, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{self, Binary, Compare, DType, Op, Reduce};
use crate::source::Span;
use std::rc::Rc;

/// Name and parameters (name, required) of each, sorted.
pub const MOVES: &[(&str, &[(&str, bool)])] = &[
    ("along", &[("x", true), ("like", true), ("axis", false)]),
    (
        "conv3d",
        &[("x", true), ("weight", true), ("stride", false), ("padding", false), ("dilation", false), ("groups", false)],
    ),
    ("flip", &[("x", true), ("axis", true)]),
    ("other_axes", &[("x", true), ("axis", true)]),
    ("pad", &[("x", true), ("low", true), ("high", true), ("value", false), ("mode", false)]),
    ("random_int", &[("shape", true), ("range", true)]),
    ("repeat_each", &[("x", true), ("count", true), ("axis", false)]),
    ("rescale", &[("x", true), ("from", true), ("to", true)]),
    ("roll", &[("x", true), ("shift", true), ("axis", true)]),
    ("scatter", &[("x", true), ("index", true), ("source", true), ("axis", false)]),
    ("scatter_add", &[("x", true), ("index", true), ("source", true), ("axis", false)]),
    ("sort", &[("x", true), ("axis", false), ("descending", false)]),
    ("rank", &[("x", true)]),
    ("stack", &[("tensors", true), ("axis", false)]),
    ("samples_of", &[("duration", true), ("rate", true)]),
    ("steps_of", &[("duration", true)]),
    ("take_along", &[("x", true), ("index", true), ("axis", false)]),
    ("tensor", &[("list", true)]),
    ("tile", &[("x", true), ("counts", true)]),
    ("top_k", &[("x", true), ("k", true), ("axis", false), ("largest", false)]),
    ("unfold", &[("x", true), ("kernel", true), ("stride", false), ("padding", false), ("dilation", false)]),
];

/// The parameters of one of them.
pub fn params(name: &str) -> Option<&'static [(&'static str, bool)]> {
    MOVES.iter().find(|(n, _)| *n == name).map(|(_, params)| *params)
}

/// Words that a parameter of a function of the checker takes.
pub fn words(name: &str, param: usize) -> &'static [&'static str] {
    match (name, param) {
        ("pad", 4) => &["constant", "reflect", "replicate", "circular"],
        ("conv3d", 3) => &["same", "valid"],
        _ => &[],
    }
}

impl Checker<'_> {
    /// `args` stand in the order of the parameters; what was left out is `none`.
    pub fn call_move(&mut self, name: &'static str, args: &[Value], span: Span) -> Res<Value> {
        match name {
            "stack" => self.stack(args, span),
            "random_int" => self.random_int(args, span),
            "tensor" => self.literal(&args[0], span),
            "samples_of" => self.samples_of(&args[0], &args[1], span),
            "steps_of" => self.steps_of(&args[0], span),
            "conv3d" => self.conv3d(args, span),
            _ => {
                let x = self.number_node(&args[0], DType::F32, span)?;
                match name {
                    "along" => self.along(x, args, span),
                    "flip" => self.flip(x, args, span),
                    "rank" => Some(Value::int(self.ty(x).rank() as i64)),
                    "other_axes" => {
                        let rank = self.ty(x).rank();
                        let named = self.axis_list(&args[1].clone(), rank, span)?;
                        let others = (0..rank).filter(|a| !named.contains(a));
                        Some(Value::List(others.map(|a| Value::int(a as i64)).collect()))
                    }
                    "pad" => self.pad(x, args, span),
                    "repeat_each" => self.repeat_each(x, args, span),
                    "rescale" => self.rescale(x, args, span),
                    "roll" => self.roll(x, args, span),
                    "scatter" | "scatter_add" => self.scatter(x, name, args, span),
                    "sort" => {
                        let descending = matches!(args[2], Value::Bool(true));
                        let axis = self.one_axis(x, &args[1], span)?;
                        self.sorted(x, axis, descending, None, span)
                    }
                    "take_along" => {
                        let index = self.number_node(&args[1], DType::I32, span)?;
                        let axis = self.one_axis(x, &args[2], span)?;
                        self.take_along(x, index, axis, name, span)
                    }
                    "tile" => self.tile(x, args, span),
                    "top_k" => {
                        let k = self.whole(args[1].clone(), span)?;
                        let axis = self.one_axis(x, &args[2], span)?;
                        let size = self.ty(x).axes[axis].size.clone();
                        if size.sub(&k).number().is_some_and(|n| n < 0) {
                            let headline = format!("the {k} largest of {size}");
                            let ty = self.ty(x).to_string();
                            return self.fail(
                                Diagnostic::error(codes::BAD_SIZE, span, headline).label(format!("this is {ty}")),
                            );
                        }
                        let largest = !matches!(args[3], Value::Bool(false));
                        self.sorted(x, axis, largest, Some(k), span)
                    }
                    "unfold" => self.unfold(x, args, span),
                    _ => None,
                }
            }
        }
    }

    /// An axis as a number from the left; the last if none is given.
    fn one_axis(&mut self, x: NodeId, value: &Value, span: Span) -> Res<usize> {
        let value = if matches!(value, Value::None) { Value::int(-1i64) } else { value.clone() };
        self.axis_list(&value, self.ty(x).rank(), span)?.first().copied()
    }

    fn node_of(&mut self, value: Value, span: Span) -> Res<NodeId> {
        self.number_node(&value, DType::F32, span)
    }

    fn slice(&mut self, x: NodeId, axis: usize, start: Dim, size: Dim, step: i64, span: Span) -> Res<NodeId> {
        let ty = self.ty(x).clone();
        let mut starts = vec![Dim::default(); ty.rank()];
        let mut sizes: Vec<Dim> = ty.axes.iter().map(|a| a.size.clone()).collect();
        let mut steps = vec![1; ty.rank()];
        (starts[axis], sizes[axis], steps[axis]) = (start, size, step);
        let sliced =
            self.add_op(Op::Slice { start: starts, size: sizes, step: steps }, vec![x], span, "slice", &["x"])?;
        self.node_of(sliced, span)
    }

    fn concat(&mut self, parts: Vec<NodeId>, axis: usize, name: &str, span: Span) -> Res<NodeId> {
        let joined = self.add_op(Op::Concat { axis }, parts, span, name, &["tensors"])?;
        self.node_of(joined, span)
    }

    /// The node with an axis of 1 put in.
    fn with_axis(&mut self, x: NodeId, axis: usize, span: Span) -> NodeId {
        let mut axes = self.ty(x).axes.clone();
        let one = self.written(span, Dim::from(1i64));
        axes.insert(axis, one);
        self.reshaped(x, axes, span)
    }

    fn permuted(&mut self, x: NodeId, perm: &[usize], span: Span) -> NodeId {
        let ty = self.ty(x).clone();
        let axes = perm.iter().map(|&p| ty.axes[p].clone()).collect();
        self.node(Op::Transpose { perm: perm.to_vec() }, vec![x], Ty { axes, ..ty }, span)
    }

    /// A tensor of one axis, shaped so that it meets one axis of another tensor: `[C]` for `[B, C, H, W]` is `[C, 1, 1]`.
    fn along(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let like = self.number_node(&args[1], DType::F32, span)?;
        let rank = self.ty(like).rank();
        let axis = match &args[2] {
            Value::None if rank >= 2 => 1,
            given => self.one_axis(like, &given.clone(), span)?,
        };
        let ty = self.ty(x).clone();
        let [own] = ty.axes.as_slice() else {
            let headline = format!("`along` takes a tensor of one axis, this is {ty}");
            return self.fail(Diagnostic::error(codes::RANK_MISMATCH, span, headline));
        };
        let mut axes = vec![own.clone()];
        for _ in axis + 1..rank {
            axes.push(self.written(span, Dim::from(1i64)));
        }
        Some(Value::Tensor(self.reshaped(x, axes, span)))
    }

    /// Numbers written in the program, as a tensor; of a list of lists, with two axes.
    fn literal(&mut self, list: &Value, span: Span) -> Res<Value> {
        let items = self.list(&list.clone(), span)?;
        let rows: Vec<Vec<Value>> = match items.first() {
            Some(Value::List(_)) => {
                let rows: Option<Vec<_>> = items.iter().map(|row| self.list(&row.clone(), span)).collect();
                rows?
            }
            _ => vec![items],
        };
        let width = rows[0].len();
        let all: Vec<&Value> = rows.iter().flatten().collect();
        if all.is_empty() || rows.iter().any(|r| r.len() != width) {
            let headline = "the rows of a tensor need one length, at least 1";
            return self.fail(Diagnostic::error(codes::BAD_SIZE, span, headline));
        }
        let numbers: Option<Vec<f64>> = all.iter().map(|v| v.number()).collect();
        let Some(numbers) = numbers else { return self.not_supported(span, "a tensor of what is not a plain number") };
        let dtype = if all.iter().all(|v| matches!(v, Value::Int(..))) { DType::I32 } else { DType::F32 };
        let line = self.written(span, Dim::from(numbers.len() as i64));
        let ty = Ty { dtype, axes: vec![line], tag: None, weak: false };
        let node = self.node(Op::Literal(numbers), Vec::new(), ty, span);
        if !matches!(list, Value::List(items) if matches!(items.first(), Some(Value::List(_)))) {
            return Some(Value::Tensor(node));
        }
        let axes = vec![self.written(span, Dim::from(rows.len() as i64)), self.written(span, Dim::from(width as i64))];
        Some(Value::Tensor(self.reshaped(node, axes, span)))
    }

    /// `2 epochs` as a number of steps; a plain number is one.
    fn steps_of(&mut self, duration: &Value, span: Span) -> Res<Value> {
        match duration {
            Value::Quantity(n, unit) if unit.starts_with("epoch") => {
                let name = crate::syntax::ast::Ident { name: "epoch_steps".into(), span };
                let steps = self.clock_field(&name, span)?;
                self.elementwise(Kind::Binary(Binary::Mul), vec![steps, Value::Float(*n)], span, "*")
            }
            Value::Quantity(n, unit) if unit.starts_with("step") => Some(Value::Float(*n)),
            v if v.number().is_some() || matches!(v, Value::UnknownNumber | Value::Tensor(_)) => Some(v.clone()),
            v => {
                let headline = format!("{} is not a number of steps or epochs", v.kind());
                self.fail(Diagnostic::error(codes::WRONG_KIND, span, headline).help("write `100` or `2 epochs`"))
            }
        }
    }

    /// `25 ms` as a number of samples, rounded to nearest; a plain number is one.
    fn samples_of(&mut self, duration: &Value, rate: &Value, span: Span) -> Res<Value> {
        let seconds = match duration {
            Value::Int(..) => return Some(duration.clone()),
            Value::Quantity(n, unit) if matches!(unit.as_str(), "ms" | "millisecond" | "milliseconds") => n / 1000.0,
            Value::Quantity(n, unit) if matches!(unit.as_str(), "s" | "second" | "seconds") => *n,
            v => {
                let headline = format!("{} is no length of time", v.kind());
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, headline)
                        .help("write `25 ms`, `0.5 s`, or a number of samples"),
                );
            }
        };
        match rate.number() {
            Some(rate) if (seconds * rate).abs() < 1e9 => Some(Value::int((seconds * rate).round() as i64)),
            _ => Some(Value::Unknown),
        }
    }

    fn stack(&mut self, args: &[Value], span: Span) -> Res<Value> {
        let items = self.list(&args[0].clone(), span)?;
        let mut parts = Vec::new();
        for item in items {
            parts.push(self.number_node(&item, DType::F32, span)?);
        }
        let Some(&first) = parts.first() else {
            return self.fail(Diagnostic::error(codes::MISSING_ARGUMENT, span, "nothing to stack"));
        };
        let rank = self.ty(first).rank();
        let axis = match &args[1] {
            Value::None => 0,
            given => *self.axis_list(&given.clone(), rank + 1, span)?.first()?,
        };
        let wide: Vec<NodeId> = parts
            .into_iter()
            .map(|p| {
                let at = axis.min(self.ty(p).rank());
                self.with_axis(p, at, span)
            })
            .collect();
        Some(Value::Tensor(self.concat(wide, axis, "stack", span)?))
    }

    fn flip(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let mut x = x;
        for axis in self.axis_list(&args[1].clone(), self.ty(x).rank(), span)? {
            let size = self.ty(x).axes[axis].size.clone();
            x = self.slice(x, axis, size.sub(&Dim::from(1i64)), size, -1, span)?;
        }
        Some(Value::Tensor(x))
    }

    fn roll(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let mut x = x;
        let axes = self.axis_list(&args[2].clone(), self.ty(x).rank(), span)?;
        let shifts = match &args[1] {
            Value::Int(..) => vec![args[1].clone()],
            other => self.list(&other.clone(), span)?,
        };
        for (i, axis) in axes.into_iter().enumerate() {
            let shift = shifts.get(i).or(shifts.last()).cloned().unwrap_or(Value::int(0i64));
            let Some(shift) = self.whole(shift, span)?.number() else {
                return self.not_supported(span, "a symbolic shift");
            };
            let size = self.ty(x).axes[axis].size.clone();
            let shift = size.number().filter(|n| *n > 0).map_or(shift, |n| shift.rem_euclid(n));
            if shift == 0 {
                continue;
            }
            // Where the new first element stood.
            let cut = if shift > 0 { size.sub(&Dim::from(shift)) } else { Dim::from(-shift) };
            let tail = self.slice(x, axis, cut.clone(), size.sub(&cut), 1, span)?;
            let head = self.slice(x, axis, Dim::default(), cut, 1, span)?;
            let size = self.ty(x).axes[axis].clone();
            x = self.concat(vec![tail, head], axis, "roll", span)?;
            self.sheet.tys[x.index()].axes[axis] = size;
        }
        Some(Value::Tensor(x))
    }

    /// Whole copies one after the other, along each axis.
    fn tile(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let items = self.list(&args[1].clone(), span)?;
        let mut counts = Vec::new();
        for item in items {
            counts.push(self.whole(item, span)?);
        }
        let mut x = x;
        while self.ty(x).rank() < counts.len() {
            x = self.with_axis(x, 0, span);
        }
        while counts.len() < self.ty(x).rank() {
            counts.insert(0, Dim::from(1i64));
        }
        for (axis, count) in counts.into_iter().enumerate() {
            if count.number() != Some(1) {
                x = self.repeated(x, axis, axis, count, span)?;
            }
        }
        Some(Value::Tensor(x))
    }

    /// Each element so many times in a row.
    fn repeat_each(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let axis = self.one_axis(x, &args[2], span)?;
        let count = self.whole(args[1].clone(), span)?;
        Some(Value::Tensor(self.repeated(x, axis, axis + 1, count, span)?))
    }

    /// A new axis of `count` at `at`, merged with its neighbour into `axis`.
    fn repeated(&mut self, x: NodeId, axis: usize, at: usize, count: Dim, span: Span) -> Res<NodeId> {
        let mut merged = self.ty(x).axes.clone();
        let size = merged[axis].size.mul(&count);
        merged[axis] = self.written(span, size);
        let narrow = self.with_axis(x, at, span);
        let mut wide = Ty { tag: None, ..self.ty(narrow).clone() };
        wide.axes[at] = self.written(span, count);
        let wide = self.stretch(narrow, &wide, span)?;
        Some(self.reshaped(wide, merged, span))
    }

    fn pad(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let mode = match &args[4] {
            Value::Str(mode) if mode != "constant" => mode.clone(),
            _ => {
                let names = ["x", "low", "high", "value"];
                let given = names.iter().zip(args).filter(|(_, v)| !matches!(v, Value::None));
                let given = given.map(|(n, v)| Given { name: Some((*n).into()), value: v.clone(), span }).collect();
                let (_, surface) = ops::surface("pad")?;
                return self.call_surface(surface, given, span);
            }
        };
        let rank = self.ty(x).rank();
        let mut sides = Vec::new();
        for side in [&args[1], &args[2]] {
            let items = match side {
                Value::Int(..) => vec![side.clone(); rank],
                other => self.list(&(*other).clone(), span)?,
            };
            let sizes: Option<Vec<Dim>> = items.into_iter().map(|v| self.whole(v, span)).collect();
            sides.push(sizes?);
        }
        if sides.iter().any(|s| s.len() != rank) {
            let headline = format!("`pad` needs one number for each of the {rank} axes");
            return self.fail(Diagnostic::error(codes::BAD_AXIS, span, headline));
        }
        let mut x = x;
        let pairs: Vec<(Dim, Dim)> = sides[0].iter().cloned().zip(sides[1].iter().cloned()).collect();
        for (axis, (low, high)) in pairs.into_iter().enumerate() {
            if low.number() == Some(0) && high.number() == Some(0) {
                continue;
            }
            let size = self.ty(x).axes[axis].size.clone();
            let room = if mode == "reflect" { size.sub(&Dim::from(1i64)) } else { size.clone() };
            if mode != "replicate" && [&low, &high].iter().any(|p| room.sub(p).number().is_some_and(|n| n < 0)) {
                let headline = format!("`pad` by more than there is to {mode}: {low} and {high} of {size}");
                return self.fail(Diagnostic::error(codes::BAD_SIZE, span, headline));
            }
            let total = size.add(&low).add(&high);
            // The place in the operand that each element of the result comes from.
            let line = Ty { dtype: DType::I32, axes: vec![self.written(span, total.clone())], tag: None, weak: false };
            let line = self.node(Op::Iota { size: total }, Vec::new(), line, span);
            let of = |c: &mut Self, op, a, b| c.elementwise(Kind::Binary(op), vec![a, b], span, "pad");
            let mut place = of(self, Binary::Sub, Value::Tensor(line), Value::int(low))?;
            let last = Value::int(size.sub(&Dim::from(1i64)));
            place = match mode.as_str() {
                "circular" => of(self, Binary::Rem, place, Value::int(size))?,
                "replicate" => {
                    let above = of(self, Binary::Max, place, Value::int(0i64))?;
                    of(self, Binary::Min, above, last)?
                }
                _ => {
                    let from_first = self.absolute(place, span)?;
                    let to_last = of(self, Binary::Sub, last.clone(), from_first)?;
                    let to_last = self.absolute(to_last, span)?;
                    of(self, Binary::Sub, last, to_last)?
                }
            };
            let index = self.node_of(place, span)?;
            let taken = self.take(x, index, axis, span)?;
            x = self.node_of(taken, span)?;
        }
        Some(Value::Tensor(x))
    }

    fn absolute(&mut self, x: Value, span: Span) -> Res<Value> {
        let x = self.node_of(x, span)?;
        let ty = self.ty(x).clone();
        Some(Value::Tensor(self.node(Op::Unary(crate::ops::Unary::Abs), vec![x], ty, span)))
    }

    fn random_int(&mut self, args: &[Value], span: Span) -> Res<Value> {
        let Value::Range(low, high) = &args[1] else {
            let headline = format!("{} is not a range", args[1].kind());
            return self.fail(Diagnostic::error(codes::WRONG_KIND, span, headline).help("write `0..10`"));
        };
        let (low, count) = (low.clone(), high.sub(low));
        if count.number().is_some_and(|n| !(1..=1 << 24).contains(&n)) {
            let headline = format!("a draw from {count} numbers");
            return self.fail(Diagnostic::error(codes::BAD_SIZE, span, headline).help("at least 1 and at most 2^24"));
        }
        let axes = self.shape_axes(&args[0].clone(), span)?;
        let draw = self.draw(axes, span)?;
        let of = |c: &mut Self, op, a, b| c.elementwise(Kind::Binary(op), vec![a, b], span, "random_int");
        let scaled = of(self, Binary::Mul, draw, Value::int(count.clone()))?;
        let whole = self.cast(scaled, DType::I32, span)?;
        // A draw just below 1 may be rounded up.
        let whole = of(self, Binary::Min, whole, Value::int(count.sub(&Dim::from(1i64))))?;
        of(self, Binary::Add, whole, Value::int(low))
    }

    fn rescale(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        let mut ends = Vec::new();
        for range in &args[1..3] {
            match range {
                Value::Range(a, b) => ends.extend([a.number(), b.number()]),
                other => {
                    let headline = format!("{} is not a range", other.kind());
                    return self.fail(Diagnostic::error(codes::WRONG_KIND, span, headline).help("write `0..1`"));
                }
            }
        }
        let &[Some(a), Some(b), Some(c), Some(d)] = ends.as_slice() else {
            return self.not_supported(span, "a range that is known only by name");
        };
        if a == b {
            return self.fail(Diagnostic::error(codes::BAD_SIZE, span, format!("the range {a}..{b} is empty")));
        }
        let scale = (d - c) as f64 / (b - a) as f64;
        let of = |c: &mut Self, op, x, y| c.elementwise(Kind::Binary(op), vec![x, Value::Float(y)], span, "rescale");
        let scaled = of(self, Binary::Mul, Value::Tensor(x), scale)?;
        of(self, Binary::Add, scaled, c as f64 - a as f64 * scale)
    }

    /// A record of the values in order and where they stood; of the first `k` only.
    fn sorted(&mut self, x: NodeId, axis: usize, descending: bool, k: Option<Dim>, span: Span) -> Res<Value> {
        let order = self.add_op(Op::ArgSort { axis, descending }, vec![x], span, "sort", &["x"])?;
        let mut order = self.node_of(order, span)?;
        if let Some(k) = k {
            order = self.slice(order, axis, Dim::default(), k, 1, span)?;
        }
        let values = self.take_along(x, order, axis, "sort", span)?;
        Some(Value::Record(Rc::new(vec![("values", values), ("indices", Value::Tensor(order))])))
    }

    /// For each element of `index`, which names a place along the axis, its place in the flat operand; -1, which no
    /// operand has, if it lies outside.
    fn flat_places(&mut self, x: NodeId, index: NodeId, axis: usize, name: &str, span: Span) -> Res<NodeId> {
        let (own, at) = (self.ty(x).clone(), self.ty(index).clone());
        if !at.dtype.is_int() {
            let headline = format!("the index of `{name}` is {at}");
            return self
                .fail(Diagnostic::error(codes::DTYPE_MISMATCH, span, headline).help("an index is whole: `i32(…)`"));
        }
        if own.rank() != at.rank() {
            let headline = format!("the index of `{name}` has {} axes, the tensor {}", at.rank(), own.rank());
            return self.fail(
                Diagnostic::error(codes::RANK_MISMATCH, span, headline)
                    .label(format!("{at} into {own}"))
                    .help("both have the same axes; `gather` takes one element for each place, `take` whole rows"),
            );
        }
        for other in (0..own.rank()).filter(|o| *o != axis) {
            if own.axes[other].size != at.axes[other].size {
                let (l, r) = (&own.axes[other], &at.axes[other]);
                let (l, r) = (self.size_text(&l.size, l.why), self.size_text(&r.size, r.why));
                let headline = format!("`{name}` of {own} by {at}: {l} against {r}");
                return self.fail(
                    Diagnostic::error(codes::SHAPE_MISMATCH, span, headline)
                        .label(format!("only axis {axis} may differ, axis {other} does"))
                        .help("an axis of the index with size 1 is stretched by `expand`; `x[i, j]` names places together"),
                );
            }
        }
        let of = |c: &mut Self, op, a, b| c.elementwise(Kind::Binary(op), vec![a, b], span, "index");
        let index = self.cast(Value::Tensor(index), DType::I32, span)?;
        let mut stride = Dim::from(1i64);
        let mut total: Option<Value> = None;
        for along in (0..own.rank()).rev() {
            let place = if along == axis {
                index.clone()
            } else {
                let line = Ty { dtype: DType::I32, axes: vec![at.axes[along].clone()], tag: None, weak: false };
                let size = at.axes[along].size.clone();
                let line = self.node(Op::Iota { size }, Vec::new(), line, span);
                let shape = at.axes.iter().map(|a| a.size.clone()).collect();
                let wide = Ty { dtype: DType::I32, tag: None, ..at.clone() };
                Value::Tensor(self.node(Op::Broadcast { shape, axes: vec![along] }, vec![line], wide, span))
            };
            let moved = of(self, Binary::Mul, place, Value::int(stride.clone()))?;
            total = Some(match total {
                None => moved,
                Some(t) => of(self, Binary::Add, t, moved)?,
            });
            stride = stride.mul(&own.axes[along].size);
        }
        let compare = |c: &mut Self, op, b| c.elementwise(Kind::Compare(op), vec![index.clone(), b], span, "index");
        let from = compare(self, Compare::Ge, Value::int(0i64))?;
        let to = compare(self, Compare::Lt, Value::int(own.axes[axis].size.clone()))?;
        let inside = of(self, Binary::And, from, to)?;
        let safe = self.elementwise(Kind::Select, vec![inside, total?, Value::int(-1i64)], span, "index")?;
        self.node_of(safe, span)
    }

    /// The elements of a tensor in one row.
    fn flattened(&mut self, x: NodeId, span: Span) -> NodeId {
        let size = self.ty(x).axes.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
        let line = self.written(span, size);
        self.reshaped(x, vec![line], span)
    }

    /// PyTorch's `gather`: the result has the shape of the index, which names places along one axis.
    pub fn take_along(&mut self, x: NodeId, index: NodeId, axis: usize, name: &str, span: Span) -> Res<Value> {
        let places = self.flat_places(x, index, axis, name, span)?;
        let line = self.flattened(x, span);
        let taken = self.take(line, places, 0, span)?;
        let taken = self.node_of(taken, span)?;
        let axes = self.ty(index).axes.clone();
        self.sheet.tys[taken.index()].axes = axes;
        self.sheet.tys[taken.index()].tag = self.ty(x).tag;
        Some(Value::Tensor(taken))
    }

    fn scatter(&mut self, x: NodeId, name: &str, args: &[Value], span: Span) -> Res<Value> {
        let index = self.number_node(&args[1], DType::I32, span)?;
        let source = self.number_node(&args[2], DType::F32, span)?;
        let axis = self.one_axis(x, &args[3], span)?;
        let at = self.ty(index).clone();
        let to = Ty { dtype: self.ty(x).dtype, tag: None, weak: false, ..at.clone() };
        let source = if self.ty(source).rank() == 0 { self.stretch(source, &to, span)? } else { source };
        if self.ty(source).plain() != to.plain() {
            let (source, index) = (self.ty(source).to_string(), at.to_string());
            let headline = format!("`{name}` of a source {source} by an index {index}");
            return self
                .fail(Diagnostic::error(codes::SHAPE_MISMATCH, span, headline).label("both must have the same shape"));
        }
        let places = self.flat_places(x, index, axis, name, span)?;
        if name == "scatter_add" {
            let size = self.ty(x).axes.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
            let op = Op::ScatterAdd { axis: 0, size };
            let sums = self.add_op(op, vec![source, places], span, name, &["source", "index"])?;
            let sums = self.node_of(sums, span)?;
            let axes = self.ty(x).axes.clone();
            let sums = self.reshaped(sums, axes, span);
            let both = vec![Value::Tensor(x), Value::Tensor(sums)];
            return self.elementwise(Kind::Binary(Binary::Add), both, span, name);
        }
        // Of sources that meet at one place the last one stays: for each place, the largest source that names it.
        let own = self.ty(x).axes[axis].clone();
        let index = self.cast(Value::Tensor(index), DType::I32, span)?;
        let index = self.node_of(index, span)?;
        let wide_index = self.with_axis(index, axis + 1, span);
        let mut wide = Ty { tag: None, ..self.ty(wide_index).clone() };
        wide.axes[axis + 1] = own.clone();
        let line = |c: &mut Self, along: usize| {
            let size = wide.axes[along].clone();
            let ty = Ty { dtype: DType::I32, axes: vec![size.clone()], tag: None, weak: false };
            let line = c.node(Op::Iota { size: size.size }, Vec::new(), ty, span);
            let shape = wide.axes.iter().map(|a| a.size.clone()).collect();
            c.node(Op::Broadcast { shape, axes: vec![along] }, vec![line], wide.clone(), span)
        };
        let (number, place) = (line(self, axis), line(self, axis + 1));
        let shape = wide.axes.iter().map(|a| a.size.clone()).collect();
        let all = (0..wide.rank()).collect();
        let named = self.node(Op::Broadcast { shape, axes: all }, vec![wide_index], wide.clone(), span);
        let pair = vec![Value::Tensor(named), Value::Tensor(place)];
        let here = self.elementwise(Kind::Compare(Compare::Eq), pair, span, name)?;
        let chosen = vec![here, Value::Tensor(number), Value::int(-1i64)];
        let chosen = self.elementwise(Kind::Select, chosen, span, name)?;
        let chosen = self.node_of(chosen, span)?;
        let op = Op::Reduce { op: Reduce::Max, axes: vec![axis] };
        let winner = self.add_op(op, vec![chosen], span, name, &["index"])?;
        let any = self.elementwise(Kind::Compare(Compare::Ge), vec![winner.clone(), Value::int(0i64)], span, name)?;
        let safe = self.elementwise(Kind::Binary(Binary::Max), vec![winner, Value::int(0i64)], span, name)?;
        let safe = self.node_of(safe, span)?;
        let taken = self.take_along(source, safe, axis, name, span)?;
        self.elementwise(Kind::Select, vec![any, taken, Value::Tensor(x)], span, name)
    }

    /// One int for all of `count` axes, or one for each; `or` if none is given.
    fn ints(&mut self, value: &Value, count: usize, or: i64, span: Span) -> Res<Vec<Dim>> {
        let items = match value {
            Value::None => return Some(vec![Dim::from(or); count]),
            Value::Int(d, _) => return Some(vec![d.clone(); count]),
            other => self.list(&other.clone(), span)?,
        };
        let sizes: Option<Vec<Dim>> = items.into_iter().map(|v| self.whole(v, span)).collect();
        let sizes = sizes?;
        if sizes.len() != count {
            let headline = format!("{} numbers given where there are {count} axes", sizes.len());
            return self.fail(Diagnostic::error(codes::BAD_AXIS, span, headline));
        }
        Some(sizes)
    }

    /// The places that windows of `kernel` look at along an axis, one slice for each element of the window, as a new axis
    /// before the places.
    #[allow(clippy::too_many_arguments)]
    fn taps(
        &mut self,
        x: NodeId,
        axis: usize,
        kernel: &Dim,
        stride: &Dim,
        dilation: &Dim,
        pads: (Dim, Dim),
        name: &str,
        span: Span,
    ) -> Res<NodeId> {
        let (Some(count @ 1..=4096), Some(step @ 1..)) = (kernel.number(), stride.number()) else {
            return if self.generic {
                None
            } else {
                self.not_supported(span, "a window whose size is known only by name")
            };
        };
        let rank = self.ty(x).rank();
        let mut low = vec![Dim::default(); rank];
        let mut high = low.clone();
        let before = self.ty(x).axes[axis].clone();
        let mut x = x;
        if pads.0.number() != Some(0) || pads.1.number() != Some(0) {
            (low[axis], high[axis]) = pads;
            let padded = self.add_op(Op::Pad { low, high, value: 0.0 }, vec![x], span, name, &["x"])?;
            x = self.node_of(padded, span)?;
        }
        let size = self.ty(x).axes[axis].size.clone();
        let one = Dim::from(1i64);
        let reach = dilation.mul(&kernel.sub(&one));
        let places = size.sub(&reach).sub(&one).floor_div(stride).add(&one);
        if places.number().is_some_and(|n| n < 1) {
            let text = self.size_text(&before.size, before.why);
            let headline = format!("`{name}`: {text} is smaller than the window {}", reach.add(&one));
            return self.fail(Diagnostic::error(codes::BAD_SIZE, span, headline));
        }
        let mut slices = Vec::new();
        for k in 0..count {
            let slice = self.slice(x, axis, dilation.scale(k), places.clone(), step, span)?;
            slices.push(self.with_axis(slice, axis, span));
        }
        self.concat(slices, axis, name, span)
    }

    /// PyTorch's `unfold`: `[B, C, H, W]` to `[B, C * kh * kw, places]`.
    fn unfold(&mut self, x: NodeId, args: &[Value], span: Span) -> Res<Value> {
        if self.ty(x).rank() != 4 {
            let ty = self.ty(x).to_string();
            let headline = "`unfold` takes [batch, channels, height, width]";
            return self.fail(Diagnostic::error(codes::RANK_MISMATCH, span, headline).label(format!("this is {ty}")));
        }
        let kernel = self.ints(&args[1], 2, 1, span)?;
        let stride = self.ints(&args[2], 2, 1, span)?;
        let padding = self.ints(&args[3], 2, 0, span)?;
        let dilation = self.ints(&args[4], 2, 1, span)?;
        let pads = |i: usize| (padding[i].clone(), padding[i].clone());
        // [B, C, kh, P, W], then [B, C, kh, P, kw, Q].
        let rows = self.taps(x, 2, &kernel[0], &stride[0], &dilation[0], pads(0), "unfold", span)?;
        let both = self.taps(rows, 4, &kernel[1], &stride[1], &dilation[1], pads(1), "unfold", span)?;
        let turned = self.permuted(both, &[0, 1, 2, 4, 3, 5], span);
        let axes = self.ty(turned).axes.clone();
        let merged = |c: &mut Self, from: &[Axis]| {
            let size = from.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
            c.written(span, size)
        };
        let result = vec![axes[0].clone(), merged(self, &axes[1..4]), merged(self, &axes[4..])];
        Some(Value::Tensor(self.reshaped(turned, result, span)))
    }

    /// A convolution over three axes as one over two: the window's depth joins the channels, the places along the depth
    /// join the batch.
    fn conv3d(&mut self, args: &[Value], span: Span) -> Res<Value> {
        let x = self.number_node(&args[0], DType::F32, span)?;
        let weight = self.number_node(&args[1], DType::F32, span)?;
        for (node, what) in
            [(x, "[batch, channels, depth, height, width]"), (weight, "[outputs, channels / groups, …]")]
        {
            if self.ty(node).rank() != 5 {
                let ty = self.ty(node).to_string();
                let headline = format!("`conv3d` takes 5 axes: {what}");
                return self
                    .fail(Diagnostic::error(codes::RANK_MISMATCH, span, headline).label(format!("this is {ty}")));
            }
        }
        let w = self.ty(weight).clone();
        let kernel = w.axes[2].size.clone();
        let stride = self.ints(&args[2], 3, 1, span)?;
        let dilation = self.ints(&args[4], 3, 1, span)?;
        let groups = match &args[5] {
            Value::None => Value::int(1i64),
            given => given.clone(),
        };
        let (pads, flat) = match &args[3] {
            Value::Str(word) if word == "same" => {
                let total = dilation[0].mul(&kernel.sub(&Dim::from(1i64)));
                let low = total.floor_div(&Dim::from(2i64));
                ((low.clone(), total.sub(&low)), Value::Str(word.clone()))
            }
            Value::Str(word) => ((Dim::default(), Dim::default()), Value::Str(word.clone())),
            given => {
                let padding = self.ints(&given.clone(), 3, 0, span)?;
                let flat = padding[1..].iter().map(|d| Value::int(d.clone())).collect();
                ((padding[0].clone(), padding[0].clone()), Value::List(flat))
            }
        };
        // [B, C, kd, D, H, W] to [B * D, C * kd, H, W].
        let deep = self.taps(x, 2, &kernel, &stride[0], &dilation[0], pads, "conv3d", span)?;
        let turned = self.permuted(deep, &[0, 3, 1, 2, 4, 5], span);
        let axes = self.ty(turned).axes.clone();
        let merged = |c: &mut Self, a: &Axis, b: &Axis| c.written(span, a.size.mul(&b.size));
        let planes =
            vec![merged(self, &axes[0], &axes[1]), merged(self, &axes[2], &axes[3]), axes[4].clone(), axes[5].clone()];
        let planes = self.reshaped(turned, planes, span);
        let kernels =
            vec![w.axes[0].clone(), merged(self, &w.axes[1], &w.axes[2]), w.axes[3].clone(), w.axes[4].clone()];
        let kernels = self.reshaped(weight, kernels, span);
        let list = |sizes: &[Dim]| Value::List(sizes.iter().map(|d| Value::int(d.clone())).collect());
        let given = [
            ("x", Value::Tensor(planes)),
            ("weight", Value::Tensor(kernels)),
            ("stride", list(&stride[1..])),
            ("padding", flat),
            ("dilation", list(&dilation[1..])),
            ("groups", groups),
        ];
        let given = given.into_iter().map(|(n, value)| Given { name: Some(n.into()), value, span }).collect();
        let (_, surface) = ops::surface("conv2d")?;
        let made = self.call_surface(surface, given, span)?;
        let made = self.node_of(made, span)?;
        let out = self.ty(made).axes.clone();
        let split = vec![axes[0].clone(), axes[1].clone(), out[1].clone(), out[2].clone(), out[3].clone()];
        let split = self.reshaped(made, split, span);
        Some(Value::Tensor(self.permuted(split, &[0, 2, 1, 3, 4], span)))
    }
}
