//! Functions of the prelude that the checker evaluates itself: those that make tensors of a given shape, choose by
//! element, or compute with sizes.

use super::context::{Checker, Res};
use super::tensors::Kind;
use super::values::{Axis, Given, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{DType, Op};
use crate::source::Span;

/// Every such function, sorted.
pub const NAMES: &[&str] = &[
    "along",
    "bpe",
    "characters",
    "conv3d",
    "einsum",
    "expect",
    "figure",
    "flip",
    "floor_div",
    "full",
    "grad",
    "keep",
    "len",
    "ones",
    "ones_like",
    "other_axes",
    "pad",
    "pair",
    "product",
    "random",
    "random_int",
    "random_like",
    "rank",
    "rearrange",
    "repeat_each",
    "rescale",
    "roll",
    "samples_of",
    "scatter",
    "scatter_add",
    "single",
    "size",
    "sort",
    "split",
    "stack",
    "steps_of",
    "take_along",
    "tensor",
    "tile",
    "tokens",
    "top_k",
    "triple",
    "unfold",
    "vector",
    "where",
    "wordpiece",
    "words",
    "zeros",
    "zeros_like",
];

/// Parameters (name, required) of each.
pub fn params(name: &str) -> &'static [(&'static str, bool)] {
    match name {
        "where" => &[("condition", true), ("a", true), ("b", true)],
        "zeros" | "ones" => &[("shape", true), ("like", false)],
        "random" => &[("shape", true)],
        "full" => &[("shape", true), ("value", true)],
        "size" => &[("x", true), ("axis", false)],
        "keep" => &[("reduced", true), ("x", true), ("axis", false)],
        "split" => &[("x", true), ("parts", true), ("axis", false)],
        "floor_div" => &[("a", true), ("b", true)],
        "figure" => &[("of", false)],
        "grad" => &[("y", true), ("by", true)],
        "single" | "pair" | "triple" | "product" | "len" | "vector" => &[("list", true)],
        "characters" => &[],
        "words" => &[("most", true)],
        "wordpiece" | "bpe" => &[("path", true)],
        "tokens" => &[("text", true), ("tokenizer", true), ("max", false), ("start", false), ("end", false)],
        _ => super::moves::params(name).unwrap_or(&[("x", true)]),
    }
}

impl Checker<'_> {
    pub fn call_special(&mut self, name: &'static str, given: Vec<Given>, span: Span) -> Res<Value> {
        let errors = self.errors();
        let value = match name {
            "einsum" => self.einsum(given, span),
            "rearrange" => self.rearrange(given, span),
            _ => self.call_placed(name, given, span),
        };
        // What only an instance can decide is looked at there.
        if value.is_none() && self.generic && self.errors() == errors { Some(Value::Unknown) } else { value }
    }

    fn call_placed(&mut self, name: &'static str, given: Vec<Given>, span: Span) -> Res<Value> {
        let specs = params(name);
        let names: Vec<&str> = specs.iter().map(|p| p.0).collect();
        let required: Vec<bool> = specs.iter().map(|p| p.1).collect();
        let placed = self.place(name, &names, &required, &names.join(", "), given, span);
        let mut args = Vec::new();
        for one in placed {
            let value = one.map_or(Value::None, |g| g.value);
            let value = self.present(value, span);
            if value.is_silent() {
                return Some(Value::Poison);
            }
            args.push(value);
        }
        match name {
            "where" => match &args[0] {
                Value::Bool(b) => Some(if *b { args[1].clone() } else { args[2].clone() }),
                Value::Tensor(node) if self.ty(*node).dtype == DType::Bool => {
                    self.elementwise(Kind::Select, args, span, "where")
                }
                other => {
                    let text = self.describe(other);
                    self.fail(
                        Diagnostic::error(
                            codes::DTYPE_MISMATCH,
                            span,
                            format!("the condition of `where` is {text}, not a bool"),
                        )
                        .label("the first argument must be a bool")
                        .help("compare: `where(x > 0, a, b)`"),
                    )
                }
            },
            "figure" => self.figure(&args[0], span),
            "zeros" | "ones" => {
                let value = Value::Float(f64::from(u8::from(name == "ones")));
                let value = match args[1] {
                    Value::Tensor(like) => Value::Tensor(self.number_node(&value, self.ty(like).dtype, span)?),
                    _ => value,
                };
                self.filled(&args[0].clone(), value, span)
            }
            "full" => self.filled(&args[0].clone(), args[1].clone(), span),
            "zeros_like" | "ones_like" => {
                let node = self.number_node(&args[0], DType::F32, span)?;
                let ty = Ty { tag: None, weak: false, ..self.ty(node).clone() };
                let scalar = self.scalar(f64::from(u8::from(name == "ones_like")), ty.dtype, span);
                Some(Value::Tensor(self.stretch(scalar, &ty, span)?))
            }
            "random" => {
                let axes = self.shape_axes(&args[0].clone(), span)?;
                self.draw(axes, span)
            }
            "random_like" => {
                let node = self.number_node(&args[0], DType::F32, span)?;
                let axes = self.ty(node).axes.clone();
                self.draw(axes, span)
            }
            "size" => {
                let node = self.number_node(&args[0], DType::F32, span)?;
                let axes = self.axis_list(&args[1].clone(), self.ty(node).rank(), span)?;
                let count = axes.iter().fold(Dim::from(1i64), |p, &a| p.mul(&self.ty(node).axes[a].size));
                Some(Value::int(count))
            }
            "keep" => {
                let (reduced, x) =
                    (self.number_node(&args[0], DType::F32, span)?, self.number_node(&args[1], DType::F32, span)?);
                let axes = self.axis_list(&args[2].clone(), self.ty(x).rank(), span)?;
                let kept = self.ty(x).axes.clone();
                let kept = kept
                    .into_iter()
                    .enumerate()
                    .map(|(i, a)| if axes.contains(&i) { Axis { size: Dim::from(1i64), ..a } } else { a })
                    .collect();
                Some(Value::Tensor(self.reshaped(reduced, kept, span)))
            }
            "split" => self.split(&args, span),
            "floor_div" => self.floor_div(args, span),
            "expect" => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, "`expect` belongs in a local with a type")
                    .label("what is expected of this?")
                    .help("write `y: f32[B, 12] = expect(x)`"),
            ),
            "grad" => {
                let (y, x) =
                    (self.number_node(&args[0], DType::F32, span)?, self.number_node(&args[1], DType::F32, span)?);
                if !self.sheet.hurt && !self.reached(&[y]).contains(&x) {
                    return self.fail(
                        Diagnostic::error(codes::NO_GRADIENT, span, "this gradient is 0 everywhere")
                            .label("nothing that can be differentiated leads from `by` to the value")
                            .help(
                                "use the value that the scalar was computed from, before `stop_gradient` or `argmax`",
                            ),
                    );
                }
                self.gradient(y, x, span)
            }
            "single" | "pair" | "triple" => match &args[0] {
                Value::Int(..) | Value::UnknownNumber => Some(Value::List(vec![args[0].clone(); many(name)])),
                Value::List(items) | Value::Tuple(items) if items.len() == many(name) => {
                    Some(Value::List(items.clone()))
                }
                other => {
                    let text = other.kind();
                    self.fail(
                        Diagnostic::error(codes::WRONG_KIND, span, format!("{text} is not a size or a {name} of them"))
                            .label("whole numbers are needed here")
                            .help("write one number, or one for each axis"),
                    )
                }
            },
            "product" => {
                let mut total = Dim::from(1i64);
                for item in self.list(&args[0].clone(), span)? {
                    match item {
                        Value::UnknownNumber => return Some(Value::UnknownNumber),
                        item => total = total.mul(&self.whole(item, span)?),
                    }
                }
                Some(Value::int(total))
            }
            "characters" | "words" | "wordpiece" | "bpe" => self.tokenizer(name, &args, span),
            "tokens" => self.tokens(args, span),
            "vector" => self.vector(&args[0].clone(), span),
            "len" => Some(Value::int(self.list(&args[0].clone(), span)?.len() as i64)),
            _ => self.call_move(name, &args, span),
        }
    }

    pub fn describe(&self, value: &Value) -> String {
        match value {
            Value::Tensor(node) => self.ty(*node).to_string(),
            other => other.kind(),
        }
    }

    pub fn list(&mut self, value: &Value, span: Span) -> Res<Vec<Value>> {
        match value {
            Value::List(items) | Value::Tuple(items) => Some(items.clone()),
            Value::Layer(id) if let Some(links) = self.links(*id) => Some(links),
            other => {
                let text = other.kind();
                self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, format!("{text} is not a list"))
                        .label("a list is needed here")
                        .help("write it in brackets, for instance `[2, 3]`"),
                )
            }
        }
    }

    pub fn shape_axes(&mut self, shape: &Value, span: Span) -> Res<Vec<Axis>> {
        let items = match shape {
            Value::Int(..) => vec![shape.clone()],
            other => self.list(other, span)?,
        };
        let mut axes = Vec::new();
        for item in items {
            let why = if let Value::Int(_, why) = &item { *why } else { None };
            let size = self.whole(item, span)?;
            axes.push(match why {
                Some(why) => Axis { size, why },
                None => self.written(span, size),
            });
        }
        Some(axes)
    }

    fn filled(&mut self, shape: &Value, value: Value, span: Span) -> Res<Value> {
        let axes = self.shape_axes(shape, span)?;
        let dtype = match &value {
            Value::Tensor(node) => self.ty(*node).dtype,
            Value::Bool(_) => DType::Bool,
            _ => DType::F32,
        };
        let scalar = self.number_node(&value, dtype, span)?;
        let ty = Ty { dtype, axes, tag: None, weak: false };
        Some(Value::Tensor(self.stretch(scalar, &ty, span)?))
    }

    /// Uniform numbers in 0..1, keyed by the seed, this place, and the step.
    pub fn draw(&mut self, axes: Vec<Axis>, span: Span) -> Res<Value> {
        let path = self.sheet.graph.scopes[self.scope_path as usize].clone();
        let count = self.draws.entry(path.clone()).or_insert(0);
        *count += 1;
        let site = fnv1a(path.as_bytes()).wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let four = self.written(span, Dim::from(4i64));
        let key_type = Ty { dtype: DType::I32, axes: vec![four], tag: None, weak: false };
        let key = match self.sheet.key {
            Some(key) => key,
            None => self.node(Op::Key, Vec::new(), key_type, span),
        };
        let shape = axes.iter().map(|a| a.size.clone()).collect();
        let ty = Ty { dtype: DType::F32, axes, tag: None, weak: false };
        Some(Value::Tensor(self.node(Op::Uniform { shape, site }, vec![key], ty, span)))
    }

    /// Axes as numbers from the left; none means all.
    pub fn axis_list(&mut self, value: &Value, rank: usize, span: Span) -> Res<Vec<usize>> {
        let items = match value {
            Value::None => return Some((0..rank).collect()),
            Value::Int(..) => vec![value.clone()],
            other => self.list(other, span)?,
        };
        let mut axes = Vec::new();
        for item in items {
            let n = self.whole(item, span)?.number()?;
            let axis = if n < 0 { n + rank as i64 } else { n };
            if axis < 0 || axis >= rank as i64 {
                return self.fail(
                    Diagnostic::error(codes::BAD_AXIS, span, format!("there is no axis {n}"))
                        .label(match rank {
                            1 => "the tensor has 1 axis".to_string(),
                            n => format!("the tensor has {n} axes"),
                        })
                        .help("axes count from 0; -1 is the last"),
                );
            }
            axes.push(axis as usize);
        }
        Some(axes)
    }

    /// `split(x, parts, axis)`: a tuple of equal pieces, or of pieces of the sizes in a list.
    fn split(&mut self, args: &[Value], span: Span) -> Res<Value> {
        let x = self.number_node(&args[0], DType::F32, span)?;
        let ty = self.ty(x).clone();
        let axis = match &args[2] {
            Value::None => self.axis_list(&Value::int(-1i64), ty.rank(), span)?,
            given => self.axis_list(&given.clone(), ty.rank(), span)?,
        };
        let &[axis] = axis.as_slice() else { return None };
        if let Value::List(sizes) | Value::Tuple(sizes) = &args[1] {
            return self.split_sizes(x, sizes.clone(), axis, span);
        }
        let parts = self.whole(args[1].clone(), span)?;
        let Some(count @ 1..=4096) = parts.number() else { return Some(Value::Unknown) };
        let Some(piece) = ty.axes[axis].size.exact_div(&parts) else {
            if self.generic && ty.axes[axis].size.number().is_none() {
                return None;
            }
            let size = ty.axes[axis].size.clone();
            return self.fail(
                Diagnostic::error(codes::BAD_SIZE, span, format!("{size} cannot be split into {count} equal parts"))
                    .label(format!("this is {ty}"))
                    .help("take another number of parts, or another axis"),
            );
        };
        let mut pieces = Vec::new();
        for i in 0..count {
            let mut start = vec![Dim::default(); ty.rank()];
            let mut size: Vec<Dim> = ty.axes.iter().map(|a| a.size.clone()).collect();
            start[axis] = piece.scale(i);
            size[axis] = piece.clone();
            let op = Op::Slice { start, size, step: vec![1; ty.rank()] };
            pieces.push(self.add_op(op, vec![x], span, "split", &["x"])?);
        }
        Some(Value::Tuple(pieces))
    }

    fn split_sizes(&mut self, x: NodeId, sizes: Vec<Value>, axis: usize, span: Span) -> Res<Value> {
        let ty = self.ty(x).clone();
        let mut from = Dim::default();
        let mut pieces = Vec::new();
        for value in sizes {
            let piece = self.whole(value, span)?;
            let mut start = vec![Dim::default(); ty.rank()];
            let mut size: Vec<Dim> = ty.axes.iter().map(|a| a.size.clone()).collect();
            (start[axis], size[axis]) = (from.clone(), piece.clone());
            from = from.add(&piece);
            let op = Op::Slice { start, size, step: vec![1; ty.rank()] };
            pieces.push(self.add_op(op, vec![x], span, "split", &["x"])?);
        }
        if from != ty.axes[axis].size {
            let whole = ty.axes[axis].size.clone();
            return self.fail(
                Diagnostic::error(codes::BAD_SIZE, span, format!("the pieces add up to {from}, the axis has {whole}"))
                    .label(format!("this is {ty}")),
            );
        }
        Some(Value::Tuple(pieces))
    }

    fn floor_div(&mut self, args: Vec<Value>, span: Span) -> Res<Value> {
        match (&args[0], &args[1]) {
            (Value::Int(a, _), Value::Int(b, _)) if b.number() != Some(0) => Some(Value::int(a.floor_div(b))),
            (Value::Tensor(_), _) | (_, Value::Tensor(_)) => {
                self.elementwise(Kind::Binary(crate::ops::Binary::Div), args, span, "floor_div")
            }
            _ => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, "`floor_div` takes whole numbers")
                    .label("one of these is not, or the divisor is 0")
                    .help("use `/` and `floor` for other numbers"),
            ),
        }
    }
}

/// How many numbers a `pair` has.
fn many(name: &str) -> usize {
    match name {
        "single" => 1,
        "pair" => 2,
        _ => 3,
    }
}

/// The 64-bit FNV-1a hash (Fowler, Noll & Vo).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}
