//! What stands in brackets and behind a dot: elements and slices of tensors, lists and chains, parts of records and layers.

use super::context::{Checker, ReasonKind, Res, Scope};
use super::values::{Axis, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::Op;
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
        let mut number = |c: &mut Self, e: &Option<Expr>, default: i64| -> Res<i64> {
            let Some(e) = e else { return Some(default) };
            let value = c.eval(e, scope)?;
            c.whole(value, e.span)?.number()
        };
        let (from, to) = (number(self, from, 0)?, number(self, to, count)?);
        let step = number(self, step, 1)?;
        let place = |n: i64| if n < 0 { n + count } else { n };
        let (from, to) = (place(from), place(to));
        if from < 0 || to > count || from > to || step < 1 {
            return self.fail(
                Diagnostic::error(codes::BAD_AXIS, span, format!("there are no elements {from}:{to} by {step}"))
                    .label(format!("the list has {count}"))
                    .help("elements count from 0, the end is excluded, steps are 1 or more"),
            );
        }
        let chosen = items.into_iter().skip(from as usize).take((to - from) as usize).step_by(step as usize);
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
                [Index::At(_)] => self.index(Value::List(links), indices, span, scope),
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
                        match self.whole(value, by.span)?.number() {
                            Some(n @ 1..) => step[axis] = n,
                            _ => return self.not_supported(by.span, "a step that is not a positive number"),
                        }
                    }
                    let end = |c: &mut Self, e: &Option<Expr>, or: Dim, scope: &mut Scope| match e {
                        None => Some(or),
                        Some(e) => {
                            let value = c.eval(e, scope)?;
                            let at = c.whole(value, e.span)?;
                            Some(if at.number().is_some_and(|n| n < 0) { whole.add(&at) } else { at })
                        }
                    };
                    let a = end(self, from, Dim::default(), scope)?;
                    let b = end(self, to, whole.clone(), scope)?;
                    let count = b.sub(&a);
                    size[axis] = match step[axis] {
                        1 => count,
                        n => count.add(&Dim::from(n - 1)).floor_div(&Dim::from(n)),
                    };
                    let past = whole.sub(&b).number().is_some_and(|n| n < 0);
                    if size[axis].number().is_some_and(|n| n < 0) || past {
                        let text = format!("{a}..{b} does not lie within 0..{whole}");
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
            _ => self.not_supported(span, "indexing with several tensors at once"),
        }
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
            v => self.fail(
                Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("{} has no `{}`", v.kind(), name.name))
                    .label("layers, data sets and the clock have fields")
                    .help("use the value itself"),
            ),
        }
    }
}
