//! What stands in brackets and behind a dot: elements and slices of tensors, lists and chains, parts of records and layers.

use super::context::{Checker, InstanceKind, ReasonKind, Res, Scope};
use super::tensors::Kind;
use super::values::{Axis, InstanceId, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{Binary, Compare, DType, Op};
use crate::source::Span;
use crate::syntax::ast::{Expr, Ident, Index};

impl Checker<'_> {
    /// `list[1:3]`
    fn list_slice(&mut self, items: Vec<Value>, indices: &[Index], span: Span, scope: &mut Scope) -> Res<Value> {
        let [Index::Slice { from, to, step, .. }] = indices else {
            return self.fail(
                Diagnostic::error(codes::BAD_AXIS, span, "a list has one axis")
                    .label(format!("the list has {} elements", items.len()))
                    .help("for instance `list[1:3]`"),
            );
        };
        let count = items.len() as i64;
        let mut number = |c: &mut Self, e: &Option<Expr>| -> Res<Option<i64>> {
            let Some(e) = e else { return Some(None) };
            let value = c.eval(e, scope)?;
            Some(Some(c.whole(value, e.span)?.number()?))
        };
        let (from, to, step) = (number(self, from)?, number(self, to)?, number(self, step)?.unwrap_or(1));
        let place = |n: i64| if n < 0 { n + count } else { n };
        // Backwards, the first and the last element change places, and the end lies before the first.
        let (from, to) = match step < 0 {
            true => (from.map_or(count - 1, place), to.map_or(-1, place)),
            false => (from.map_or(0, place), to.map_or(count, place)),
        };
        let inside = match step < 0 {
            true => from < count && to >= -1 && from >= to,
            false => from >= 0 && to <= count && from <= to,
        };
        if !inside || step == 0 {
            return self.fail(
                Diagnostic::error(codes::BAD_AXIS, span, format!("there are no elements {from}:{to} by {step}"))
                    .label(format!("the list has {count}"))
                    .help("elements count from 0, the end is excluded, and a step is not 0"),
            );
        }
        let places = std::iter::successors(Some(from), |n| n.checked_add(step));
        let chosen = places.take_while(|n| if step < 0 { *n > to } else { *n < to }).map(|n| items[n as usize].clone());
        Some(Value::List(chosen.collect()))
    }

    /// `x[a, b:c, ..]`
    pub fn index(&mut self, base: Value, indices: &[Index], span: Span, scope: &mut Scope) -> Res<Value> {
        match self.present(base, span) {
            Value::Record(parts) => {
                let items = parts.iter().map(|(_, v)| v.clone()).collect();
                self.index(Value::Tuple(items), indices, span, scope)
            }
            Value::List(items) | Value::Tuple(items) => {
                let [Index::At(at)] = indices else {
                    return self.list_slice(items, indices, span, scope);
                };
                let value = self.eval(at, scope)?;
                if let Value::Tensor(index) = value {
                    return self.choose_text(&items, index, span);
                }
                let n = self.whole(value, at.span)?;
                let Some(n) = n.number() else { return Some(Value::Unknown) };
                let index = if n < 0 { n + items.len() as i64 } else { n };
                match usize::try_from(index).ok().and_then(|i| items.get(i)) {
                    Some(item) => Some(item.clone()),
                    None => self.fail(
                        Diagnostic::error(codes::BAD_AXIS, at.span, format!("there is no element {n}"))
                            .label(format!("the list has {}", items.len()))
                            .help("elements count from 0; -1 is the last"),
                    ),
                }
            }
            Value::Tensor(node) => self.index_tensor(node, indices, span, scope),
            // `net.body[1]`: a link of a chain.
            Value::Layer(id) if let Some(links) = self.links(id) => match indices {
                [Index::At(at)] => {
                    let value = self.eval(at, scope)?;
                    if let Value::Tensor(index) = self.present(value.clone(), at.span) {
                        return self.layer_by_tensor(index, at.span);
                    }
                    // Any of them, while a declaration is checked on its own.
                    self.instances[id.0 as usize].applied |= value.number().is_none() && self.is_layer_list(id);
                    self.index(Value::List(links), indices, span, scope)
                }
                [Index::Slice { .. }] if self.is_layer_list(id) => self.list_slice(links, indices, span, scope),
                _ => self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, "a part of a chain is no value")
                        .label("several links at once are only selected")
                        .help("name one, `net.body[1]`, or bind the part as a chain of its own"),
                ),
            },
            v if v.is_silent() => Some(v),
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, format!("{} has no elements", v.kind()))
                    .label("cannot be indexed")
                    .help("lists, tuples and tensors have elements"),
            ),
        }
    }

    fn is_layer_list(&self, id: InstanceId) -> bool {
        matches!(self.instances[id.0 as usize].kind, InstanceKind::List(_))
    }

    fn layer_by_tensor<T>(&mut self, index: NodeId, span: Span) -> Res<T> {
        let is = self.ty(index).to_string();
        self.fail(
            Diagnostic::error(codes::WRONG_KIND, span, "the number of this layer is known only while running")
                .label(format!("this is {is}, and layers are chosen while compiling"))
                .help("a number or the variable of a `repeat`; or stack what all of them give, and index that"),
        )
    }

    fn index_tensor(&mut self, node: NodeId, indices: &[Index], span: Span, scope: &mut Scope) -> Res<Value> {
        let ty = self.ty(node).clone();
        let fixed = indices.iter().filter(|i| !matches!(i, Index::Rest(_))).count();
        if fixed > ty.rank() {
            return self.fail(
                Diagnostic::error(codes::BAD_AXIS, span, format!("{fixed} indices for {} axes", ty.rank()))
                    .label(format!("this indexes {ty}"))
                    .help("write at most one index for each axis"),
            );
        }
        let rest = indices.iter().position(|i| matches!(i, Index::Rest(_))).unwrap_or(indices.len());
        let mut start = vec![Dim::default(); ty.rank()];
        let mut size: Vec<Dim> = ty.axes.iter().map(|a| a.size.clone()).collect();
        let mut step = vec![1i64; ty.rank()];
        let mut dropped = Vec::new();
        let mut gathers: Vec<(usize, NodeId)> = Vec::new();
        for (i, index) in indices.iter().enumerate() {
            let axis = if i < rest { i } else { ty.rank() + i - indices.len() };
            let whole = ty.axes.get(axis).map(|a| a.size.clone()).unwrap_or_default();
            match index {
                Index::Rest(_) => {}
                Index::At(at) => {
                    let value = self.eval(at, scope)?;
                    match self.present(value, at.span) {
                        Value::Tensor(index) => gathers.push((axis, index)),
                        value => {
                            start[axis] = self.position(value, &whole, at)?;
                            size[axis] = Dim::from(1i64);
                            dropped.push(axis);
                        }
                    }
                }
                Index::Slice { from, to, step: by, .. } => {
                    if let Some(by) = by {
                        let value = self.eval(by, scope)?;
                        step[axis] = self.slice_step(value, by)?;
                    }
                    let end = |c: &mut Self, e: &Option<Expr>, or: Dim, scope: &mut Scope| match e {
                        None => Some(or),
                        Some(e) => {
                            let value = c.eval(e, scope)?;
                            let at = c.whole(value, e.span)?;
                            Some(if at.number().is_some_and(|n| n < 0) { whole.add(&at) } else { at })
                        }
                    };
                    // Backwards, the first and the last element change places, and the end lies before the first.
                    let (first, past_last) = match step[axis] < 0 {
                        true => (whole.sub(&Dim::from(1i64)), Dim::from(-1i64)),
                        false => (Dim::default(), whole.clone()),
                    };
                    let a = end(self, from, first, scope)?;
                    let b = end(self, to, past_last, scope)?;
                    let count = if step[axis] < 0 { a.sub(&b) } else { b.sub(&a) };
                    size[axis] = match step[axis].abs() {
                        1 => count.clone(),
                        n => count.add(&Dim::from(n - 1)).floor_div(&Dim::from(n)),
                    };
                    let negative = |d: &Dim| d.number().is_some_and(|n| n < 0);
                    let outside = match step[axis] < 0 {
                        true => negative(&whole.sub(&a).sub(&Dim::from(1i64))) || negative(&b.add(&Dim::from(1i64))),
                        false => negative(&whole.sub(&b)) || negative(&a),
                    };
                    if negative(&count) || outside {
                        let text = match step[axis] < 0 {
                            true => format!("{a} down to {b} does not lie within 0..{whole}"),
                            false => format!("{a}..{b} does not lie within 0..{whole}"),
                        };
                        return self.fail(
                            Diagnostic::error(codes::BAD_SIZE, span, text)
                                .label(format!("this is sliced from {ty}"))
                                .help("the end is excluded, and negative numbers count from it"),
                        );
                    }
                    start[axis] = a;
                }
            }
        }
        let mut axes = ty.axes.clone();
        for (i, axis) in axes.iter_mut().enumerate() {
            if axis.size != size[i] {
                let why = self.reason(span, &size[i], ReasonKind::Made("the slice".into()), vec![axis.why]);
                *axis = Axis { size: size[i].clone(), why };
            }
        }
        let mut value = node;
        if axes.iter().zip(&ty.axes).any(|(a, b)| a.size != b.size) || step.iter().any(|s| *s != 1) {
            let new = Ty { axes: axes.clone(), ..ty.clone() };
            value = self.node(Op::Slice { start, size, step }, vec![node], new, span);
        }
        if !dropped.is_empty() {
            let kept = axes.iter().enumerate().filter(|(i, _)| !dropped.contains(i)).map(|(_, a)| a.clone()).collect();
            value = self.reshaped(value, kept, span);
        }
        match gathers.as_slice() {
            [] => Some(Value::Tensor(value)),
            [(axis, index)] => {
                let axis = axis - dropped.iter().filter(|d| *d < axis).count();
                self.take(value, *index, axis, span)
            }
            several => {
                let places = several.iter().map(|(axis, index)| {
                    let before = dropped.iter().filter(|d| *d < axis).count();
                    (axis - before, *index)
                });
                self.take_pointwise(value, &places.collect::<Vec<_>>(), span)
            }
        }
    }

    /// The step of a slice: any whole number but 0.
    fn slice_step(&mut self, value: Value, at: &Expr) -> Res<i64> {
        match self.whole(value, at.span)?.number() {
            Some(0) => self.fail(
                Diagnostic::error(codes::BAD_SIZE, at.span, "a slice cannot go by steps of 0")
                    .label("this would never arrive")
                    .help("`x[::2]` takes every second element, `x[::-1]` all of them backwards"),
            ),
            Some(n) if n.unsigned_abs() <= u64::from(u32::MAX) => Some(n),
            Some(_) => self.fail(
                Diagnostic::error(codes::BAD_SIZE, at.span, "this step is larger than any axis")
                    .help("`x[:1]` takes the first element alone"),
            ),
            None => self.fail(
                Diagnostic::error(codes::BAD_SIZE, at.span, "the step of a slice is known only by name")
                    .label("a number is needed here")
                    .help("write a number, a constant or a hyper-parameter"),
            ),
        }
    }

    /// `x[i, j]`: several tensors that name places along neighbouring axes. They are stretched to one shape, which takes
    /// the place of these axes; each place of it takes the element that all of them name together.
    fn take_pointwise(&mut self, x: NodeId, indices: &[(usize, NodeId)], span: Span) -> Res<Value> {
        let axes: Vec<usize> = indices.iter().map(|i| i.0).collect();
        let ty = self.ty(x).clone();
        let first = axes[0];
        if axes.iter().enumerate().any(|(i, axis)| *axis != first + i) {
            let others = (0..ty.rank()).filter(|a| !axes.contains(a));
            let order: Vec<String> = axes.iter().copied().chain(others).map(|a| a.to_string()).collect();
            let list: Vec<String> = axes.iter().map(usize::to_string).collect();
            return self.fail(
                Diagnostic::error(
                    codes::BAD_AXIS,
                    span,
                    format!("tensors index axes {}, which are not neighbours", list.join(" and ")),
                )
                .label(format!("this is {ty}"))
                .help(format!("put them first, `permute(x, [{}])`, and index that", order.join(", "))),
            );
        }
        let mut total: Option<Value> = None;
        let mut inside: Option<Value> = None;
        for &(axis, index) in indices {
            let is = self.ty(index).clone();
            if !is.dtype.is_int() {
                return self.fail(
                    Diagnostic::error(
                        codes::DTYPE_MISMATCH,
                        span,
                        format!("an index of axis {axis} is {is}, not whole numbers"),
                    )
                    .label("whole numbers are needed here")
                    .help("convert it, `i32(…)`; `where` chooses by truth values"),
                );
            }
            let size = ty.axes[axis].clone();
            self.in_range(&size, index, span)?;
            let index = self.cast(Value::Tensor(index), DType::I32, span)?;
            let mut of = |kind, a: &Value, b| self.elementwise(kind, vec![a.clone(), b], span, "index");
            let size = Value::int(size.size);
            // First the place, so that shapes that do not fit are those that the program has.
            total = Some(match total {
                Some(before) => {
                    let row = of(Kind::Binary(Binary::Mul), &before, size.clone())?;
                    of(Kind::Binary(Binary::Add), &row, index.clone())?
                }
                None => index.clone(),
            });
            let from = of(Kind::Compare(Compare::Ge), &index, Value::int(0i64))?;
            let to = of(Kind::Compare(Compare::Lt), &index, size)?;
            let here = of(Kind::Binary(Binary::And), &from, to)?;
            inside = Some(match inside {
                Some(before) => of(Kind::Binary(Binary::And), &before, here)?,
                None => here,
            });
        }
        // -1, which no axis has, where one of them lies outside: a fault of the step, as for one index.
        let safe = self.elementwise(Kind::Select, vec![inside?, total?, Value::int(-1i64)], span, "index")?;
        let Value::Tensor(safe) = safe else { return Some(safe) };
        let past = first + axes.len();
        let together = ty.axes[first..past].iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
        let together = self.written(span, together);
        let merged = ty.axes[..first].iter().cloned().chain([together]).chain(ty.axes[past..].iter().cloned());
        let merged = self.reshaped(x, merged.collect(), span);
        self.take(merged, safe, first, span)
    }

    /// An index from the start; negative ones count from the end.
    fn position(&mut self, value: Value, size: &Dim, at: &Expr) -> Res<Dim> {
        let n = self.whole(value, at.span)?;
        let from_start = if n.number().is_some_and(|n| n < 0) { size.add(&n) } else { n.clone() };
        let room = size.sub(&from_start).number();
        if room.is_some_and(|r| r <= 0) || from_start.number().is_some_and(|n| n < 0) {
            return self.fail(
                Diagnostic::error(codes::BAD_AXIS, at.span, format!("there is no element {n}"))
                    .label(format!("the axis has {size}"))
                    .help("elements count from 0; -1 is the last"),
            );
        }
        Some(from_start)
    }

    /// `base.name`
    pub fn field(&mut self, base: Value, name: &Ident, span: Span) -> Res<Value> {
        if name.name.is_empty() {
            return None;
        }
        match base {
            Value::Layer(id) => self.member_field(id, name, span),
            Value::Clock => self.clock_field(name, span),
            Value::Record(parts) if parts.iter().any(|(n, _)| *n == name.name) => {
                parts.iter().find(|(n, _)| *n == name.name).map(|(_, v)| v.clone())
            }
            Value::Data(data) => self.data_field(&data, name),
            Value::DataField(data, field) => self.field_fact(&data, &field, name),
            Value::Task(task) => self.task_field(&task, name, span),
            Value::Poison | Value::Unknown => Some(base),
            v => {
                let tensor = matches!(v, Value::Tensor(_) | Value::Var(_));
                // `span` is all of `x.name`.
                let text = self.sources.text(span).to_string();
                let x = text.rsplit_once('.').map_or("x", |(x, _)| x);
                let ours = tensor.then(|| super::foreign::of_tensors(&name.name, x, &[])).flatten();
                let help = ours.map_or("use the value itself".into(), |(form, _)| format!("write `{form}`"));
                self.fail(
                    Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("{} has no `{}`", v.kind(), name.name))
                        .label("layers, data sets and the clock have fields")
                        .help(help),
                )
            }
        }
    }
}
