//! Arithmetic, comparison, casts, indexing: operators on tensors, on numbers, and on both.

use super::context::{Checker, ReasonKind, Res, Scope};
use super::values::{Axis, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{Binary, Compare, DType, Op, Unary};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, Expr};

impl Checker<'_> {
    /// A scalar node of a number or bool.
    pub fn number_node(&mut self, value: &Value, dtype: DType, span: Span) -> Res<NodeId> {
        match value {
            Value::Tensor(node) => Some(*node),
            Value::Var(var) => Some(self.read(*var, span)),
            Value::Bool(b) => Some(self.scalar(f64::from(u8::from(*b)), DType::Bool, span)),
            // Checked on its own, a declaration's numbers do not matter.
            Value::UnknownNumber => Some(self.scalar(1.0, dtype, span)),
            Value::Float(v) => Some(self.scalar(*v, dtype, span)),
            Value::Int(d, _) => match d.number() {
                Some(n) => Some(self.scalar(n as f64, dtype, span)),
                None => {
                    let ty = Ty { dtype, axes: Vec::new(), tag: None, weak: false };
                    Some(self.node(Op::Size { value: d.clone() }, Vec::new(), ty, span))
                }
            },
            v if v.is_silent() => None,
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, format!("{} is not a number or a tensor", v.kind()))
                    .label("a tensor is needed here"),
            ),
        }
    }

    /// Broadcasts (and, if it is weak, converts) a node to a type.
    pub fn stretch(&mut self, node: NodeId, to: &Ty, span: Span) -> Res<NodeId> {
        let mut node = node;
        let is = self.ty(node).clone();
        if is.dtype != to.dtype {
            if !is.weak {
                return self.fail(
                    Diagnostic::error(codes::DTYPE_MISMATCH, span, format!("this is {is}, not {}", to.dtype))
                        .help(format!("convert it: `{}(…)`", to.dtype)),
                );
            }
            let ty = Ty { dtype: to.dtype, weak: false, ..is.clone() };
            node = self.node(Op::Cast, vec![node], ty, span);
        }
        let same = is.rank() == to.rank() && is.axes.iter().zip(&to.axes).all(|(a, b)| a.size == b.size);
        if same {
            return Some(node);
        }
        let skip = to.rank() - is.rank();
        let shape = to.axes.iter().map(|a| a.size.clone()).collect();
        let ty = Ty { tag: None, weak: false, ..to.clone() };
        Some(self.node(Op::Broadcast { shape, axes: (skip..to.rank()).collect() }, vec![node], ty, span))
    }

    /// The type that two operands meet in: trailing axes aligned, missing and literal-1 axes stretched.
    fn meet(&mut self, a: &Ty, b: &Ty, span: Span, symbol: &str) -> Res<Vec<Axis>> {
        let rank = a.rank().max(b.rank());
        let mut axes = Vec::new();
        for i in 0..rank {
            let left = (i + a.rank()).checked_sub(rank).map(|i| &a.axes[i]);
            let right = (i + b.rank()).checked_sub(rank).map(|i| &b.axes[i]);
            let axis = match (left, right) {
                (Some(l), None) => l.clone(),
                (None, Some(r)) => r.clone(),
                (Some(l), Some(r)) if l.size == r.size || r.size.number() == Some(1) => l.clone(),
                (Some(l), Some(r)) if l.size.number() == Some(1) => r.clone(),
                (Some(l), Some(r)) => return self.no_meeting(a, b, l, r, span, symbol),
                (None, None) => continue,
            };
            axes.push(axis);
        }
        Some(axes)
    }

    fn no_meeting<T>(&mut self, a: &Ty, b: &Ty, l: &Axis, r: &Axis, span: Span, symbol: &str) -> Res<T> {
        if self.left_open(&l.size, &r.size) {
            return None;
        }
        let undecided = !l.size.contradicts(&r.size);
        let code = if undecided { codes::UNDECIDED_DIM } else { codes::SHAPE_MISMATCH };
        let (left, right) = (self.size_text(&l.size, l.why), self.size_text(&r.size, r.why));
        let mut fault = Diagnostic::error(code, span, format!("`{symbol}` of {a} and {b}: {left} against {right}"))
            .label(format!("{left} on the left, {right} on the right"));
        let mut seen = vec![self.blame(span)];
        for (side, axis) in [("left", l), ("right", r)] {
            for (at, text) in self.chain(axis.why).into_iter().take(2) {
                let at = self.blame(at);
                if !seen.contains(&at) {
                    seen.push(at);
                    fault = fault.also(at, format!("{side}: {text}"));
                }
            }
        }
        fault = if undecided {
            fault.help("a size known by name never stretches: give both the same name, or `unsqueeze` one side")
        } else {
            fault.help("axes align from the right; only missing axes and axes of size 1 stretch")
        };
        self.fail(fault)
    }

    /// `a op b`
    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value, span: Span, op_span: Span) -> Res<Value> {
        let (a, b) = (self.present(a, span), self.present(b, span));
        if a.is_silent() || b.is_silent() {
            let fault = matches!(a, Value::Poison) || matches!(b, Value::Poison);
            return Some(if fault { Value::Poison } else { Value::Unknown });
        }
        if let Some(result) = self.binary_with_parameters(op, &a, &b, span, op_span) {
            return result;
        }
        if let (BinaryOp::Eq | BinaryOp::Ne, Some(equal)) = (op, plain_equal(&a, &b)) {
            return Some(Value::Bool(equal == (op == BinaryOp::Eq)));
        }
        let tensor = matches!(a, Value::Tensor(_)) || matches!(b, Value::Tensor(_));
        if !tensor {
            return self.numbers(op, a, b, span, op_span);
        }
        if op == BinaryOp::MatMul {
            return self.matmul(a, b, span, op_span);
        }
        // `g ^ 2` is a product.
        if op == BinaryOp::Pow
            && b.number() == Some(2.0)
            && let Value::Tensor(node) = a
        {
            return self.elementwise(
                Kind::Binary(Binary::Mul),
                vec![Value::Tensor(node), Value::Tensor(node)],
                op_span,
                "^",
            );
        }
        let kind = match op {
            BinaryOp::Add => Kind::Binary(Binary::Add),
            BinaryOp::Sub => Kind::Binary(Binary::Sub),
            BinaryOp::Mul => Kind::Binary(Binary::Mul),
            BinaryOp::Div => Kind::Binary(Binary::Div),
            BinaryOp::Pow => Kind::Binary(Binary::Pow),
            BinaryOp::Eq => Kind::Compare(Compare::Eq),
            BinaryOp::Ne => Kind::Compare(Compare::Ne),
            BinaryOp::Lt => Kind::Compare(Compare::Lt),
            BinaryOp::Le => Kind::Compare(Compare::Le),
            BinaryOp::Gt => Kind::Compare(Compare::Gt),
            BinaryOp::Ge => Kind::Compare(Compare::Ge),
            BinaryOp::And => Kind::Binary(Binary::And),
            BinaryOp::Or => Kind::Binary(Binary::Or),
            BinaryOp::MatMul => return None,
        };
        let dtypes: Vec<DType> = [&a, &b]
            .into_iter()
            .filter_map(|v| if let Value::Tensor(n) = v { Some(self.ty(*n).dtype) } else { None })
            .collect();
        if op == BinaryOp::Div
            && dtypes.iter().all(|d| d.is_int())
            && !matches!((&a, &b), (Value::Float(_), _) | (_, Value::Float(_)))
        {
            return self.fail(
                Diagnostic::error(codes::DTYPE_MISMATCH, op_span, "`/` does not take whole numbers")
                    .label(format!("both sides are {}", dtypes[0]))
                    .help("convert one side with `f32(…)`, or use `floor_div(a, b)`"),
            );
        }
        self.elementwise(kind, vec![a, b], op_span, op.symbol())
    }

    /// An elementwise operation of operands brought to one shape and dtype.
    pub fn elementwise(&mut self, kind: Kind, mut operands: Vec<Value>, span: Span, symbol: &str) -> Res<Value> {
        self.unify_floats(&mut operands, span);
        // The dtype: of the first operand that has one of its own, else of a weak one.
        let choose = match kind {
            Kind::Select => 1,
            _ => 0,
        };
        let mut dtype = None;
        let mut weak = true;
        for value in &operands[choose..] {
            if let Value::Tensor(node) = value {
                let ty = self.ty(*node).clone();
                match dtype {
                    None => (dtype, weak) = (Some(ty.dtype), ty.weak),
                    Some(_) if weak => (dtype, weak) = (Some(ty.dtype), ty.weak),
                    Some(d) if !ty.weak && ty.dtype != d => {
                        let operands: Vec<NodeId> = operands[choose..]
                            .iter()
                            .filter_map(|v| if let Value::Tensor(n) = v { Some(*n) } else { None })
                            .collect();
                        let headline = format!("`{symbol}` mixes {d} and {}", ty.dtype);
                        // To the float of the two: what has a fraction keeps it.
                        let to = if ty.dtype.is_float() && !d.is_float() { ty.dtype } else { d };
                        let fault = Diagnostic::error(codes::DTYPE_MISMATCH, span, headline)
                            .label("both sides must have one dtype")
                            .help(format!("convert one side: `{to}(…)`"));
                        let fault = self.with_declared(fault, &operands);
                        return self.fail(fault);
                    }
                    Some(_) => {}
                }
            }
        }
        let condition_rank = match (&kind, &operands[0]) {
            (Kind::Select, Value::Tensor(node)) => self.ty(*node).rank(),
            _ => 0,
        };
        let bools = operands[choose..].iter().all(|v| matches!(v, Value::Bool(_)));
        let dtype = dtype.unwrap_or(match (bools, condition_rank) {
            (true, _) => DType::Bool,
            (false, 0) => DType::F64,
            (false, _) => DType::F32,
        });
        let weak = weak && condition_rank == 0 && dtype == DType::F64;
        if operands[choose..].iter().any(|v| matches!(v, Value::Float(f) if !dtype.is_float() && f.fract() != 0.0)) {
            return self.fail(
                Diagnostic::error(codes::DTYPE_MISMATCH, span, format!("`{symbol}` mixes {dtype} and a fraction"))
                    .label("one side is whole, the other is not")
                    .help("convert the tensor: `f32(…)`"),
            );
        }
        let mut nodes = Vec::new();
        for (i, value) in operands.iter().enumerate() {
            let want = if i < choose { DType::Bool } else { dtype };
            let node = self.number_node(value, want, span)?;
            if i >= choose && self.ty(node).dtype == DType::Bool && dtype != DType::Bool {
                return self.fail(
                    Diagnostic::error(codes::DTYPE_MISMATCH, span, format!("`{symbol}` mixes {dtype} and bool"))
                        .help("convert the bool: `f32(…)`"),
                );
            }
            nodes.push(node);
        }
        let mut axes: Vec<Axis> = Vec::new();
        for &node in &nodes {
            let so_far = Ty { dtype, axes, tag: None, weak: false };
            let ty = self.ty(node).clone();
            axes = self.meet(&so_far, &ty, span, symbol)?;
        }
        let mut inputs = Vec::new();
        for (i, &node) in nodes.iter().enumerate() {
            let want = if i < choose { DType::Bool } else { dtype };
            let to = Ty { dtype: want, axes: axes.clone(), tag: None, weak: false };
            inputs.push(self.stretch(node, &to, span)?);
        }
        let (op, result) = match kind {
            Kind::Binary(b) => {
                let logic = matches!(b, Binary::And | Binary::Or | Binary::Xor);
                let fits = if logic { !dtype.is_float() } else { dtype != DType::Bool };
                let floats_only = matches!(b, Binary::Pow | Binary::Atan2) && !dtype.is_float();
                if !fits || floats_only {
                    return self.fail(
                        Diagnostic::error(codes::DTYPE_MISMATCH, span, format!("`{symbol}` does not take {dtype}"))
                            .help("convert first: `f32(…)`"),
                    );
                }
                (Op::Binary(b), dtype)
            }
            Kind::Compare(c) => (Op::Compare(c), DType::Bool),
            Kind::Select => (Op::Select, dtype),
        };
        let weak = weak && result == DType::F64;
        Some(Value::Tensor(self.node(op, inputs, Ty { dtype: result, axes, tag: None, weak }, span)))
    }

    /// Arithmetic on numbers known while compiling.
    fn numbers(&mut self, op: BinaryOp, a: Value, b: Value, span: Span, op_span: Span) -> Res<Value> {
        if let (Value::Int(x, _), Value::Int(y, _)) = (&a, &b) {
            let exact = match op {
                BinaryOp::Add => Some(x.add(y)),
                BinaryOp::Sub => Some(x.sub(y)),
                BinaryOp::Mul => Some(x.mul(y)),
                BinaryOp::Div => x.exact_div(y),
                BinaryOp::Pow => match (x.number(), y.number()) {
                    (Some(base), Some(n)) if n >= 0 => {
                        u32::try_from(n).ok().and_then(|n| base.checked_pow(n)).map(Dim::from)
                    }
                    _ => None,
                },
                _ => None,
            };
            if exact.as_ref().is_some_and(Dim::is_huge) {
                return self.fail(
                    Diagnostic::error(codes::BAD_SIZE, span, format!("`{}` of {x} and {y} is too large", op.symbol()))
                        .label("whole numbers have 64 bits")
                        .help("use a float: write one side with a point, as in `2.0`"),
                );
            }
            if let Some(size) = exact {
                let why = match op {
                    // A whole product written out keeps its text: `128 * 7 * 7`.
                    BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow => {
                        Some(self.reason(span, &size, ReasonKind::Written, Vec::new()))
                    }
                    _ => None,
                };
                return Some(Value::Int(size, why));
            }
            let difference = x.sub(y).number();
            let known = match (op, difference) {
                (BinaryOp::Eq, Some(d)) => Some(d == 0),
                (BinaryOp::Ne, Some(d)) => Some(d != 0),
                (BinaryOp::Lt, Some(d)) => Some(d < 0),
                (BinaryOp::Le, Some(d)) => Some(d <= 0),
                (BinaryOp::Gt, Some(d)) => Some(d > 0),
                (BinaryOp::Ge, Some(d)) => Some(d >= 0),
                _ => None,
            };
            if let Some(truth) = known {
                return Some(Value::Bool(truth));
            }
            if difference.is_none() && is_comparison(op) {
                return Some(Value::Unknown);
            }
        }
        let (Some(x), Some(y)) = (a.number(), b.number()) else {
            let numeric = |v: &Value| matches!(v, Value::Int(..) | Value::Float(_) | Value::UnknownNumber);
            if numeric(&a) && numeric(&b) {
                return Some(if is_comparison(op) { Value::Unknown } else { self.symbolic(op, &a, &b, span) });
            }
            return self.fail(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    op_span,
                    format!("`{}` does not take {} and {}", op.symbol(), a.kind(), b.kind()),
                )
                .label("numbers or tensors are needed on both sides")
                .help("make both sides numbers"),
            );
        };
        let value = match op {
            BinaryOp::Add => x + y,
            BinaryOp::Sub => x - y,
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Pow => x.powf(y),
            BinaryOp::Eq => return Some(Value::Bool(x == y)),
            BinaryOp::Ne => return Some(Value::Bool(x != y)),
            BinaryOp::Lt => return Some(Value::Bool(x < y)),
            BinaryOp::Le => return Some(Value::Bool(x <= y)),
            BinaryOp::Gt => return Some(Value::Bool(x > y)),
            BinaryOp::Ge => return Some(Value::Bool(x >= y)),
            BinaryOp::MatMul | BinaryOp::And | BinaryOp::Or => {
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, op_span, format!("`{}` needs tensors", op.symbol()))
                        .label("these are plain numbers")
                        .help("`*` multiplies numbers"),
                );
            }
        };
        Some(Value::Float(value))
    }

    /// A number that depends on a size known only by name: a run-time number, or unknown while a declaration is checked
    /// on its own.
    fn symbolic(&mut self, op: BinaryOp, a: &Value, b: &Value, span: Span) -> Value {
        if self.generic {
            return Value::UnknownNumber;
        }
        let nodes = (self.number_node(a, DType::F64, span), self.number_node(b, DType::F64, span));
        let (Some(x), Some(y)) = nodes else { return Value::Poison };
        for node in [x, y] {
            self.sheet.tys[node.index()].weak = true;
        }
        self.binary(op, Value::Tensor(x), Value::Tensor(y), span, span).unwrap_or(Value::Poison)
    }

    pub fn negate(&mut self, value: Value, span: Span) -> Res<Value> {
        match self.present(value, span) {
            Value::Int(d, _) => Some(Value::int(d.scale(-1))),
            Value::Float(v) => Some(Value::Float(-v)),
            Value::UnknownNumber => Some(Value::UnknownNumber),
            Value::Tensor(node) => {
                let ty = Ty { tag: None, ..self.ty(node).clone() };
                Some(Value::Tensor(self.node(Op::Unary(Unary::Neg), vec![node], ty, span)))
            }
            v @ Value::Parameters(_) => self.binary(BinaryOp::Mul, Value::Float(-1.0), v, span, span),
            v if v.is_silent() => Some(v),
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, format!("`-` does not take {}", v.kind()))
                    .label("not a number")
                    .help("only numbers and tensors can be negated"),
            ),
        }
    }

    pub fn logical_not(&mut self, value: Value, span: Span) -> Res<Value> {
        match self.present(value, span) {
            Value::Bool(b) => Some(Value::Bool(!b)),
            Value::Tensor(node) if self.ty(node).dtype == DType::Bool => {
                let ty = self.ty(node).clone();
                Some(Value::Tensor(self.node(Op::Unary(Unary::Not), vec![node], ty, span)))
            }
            v if v.is_silent() => Some(v),
            v => self.fail(
                Diagnostic::error(codes::DTYPE_MISMATCH, span, format!("`not` does not take {}", v.kind()))
                    .label("a bool is needed here")
                    .help("compare it: `x == 0`"),
            ),
        }
    }

    /// `and`, `or`: on bools known while compiling the right side is looked at only if it matters.
    pub fn logic(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span, scope: &mut Scope) -> Res<Value> {
        match self.eval(left, scope)? {
            Value::Bool(b) if b == (op == BinaryOp::Or) => Some(Value::Bool(b)),
            Value::Bool(_) => self.eval(right, scope),
            v if v.is_silent() => Some(v),
            a => {
                let b = self.eval(right, scope)?;
                if b.is_silent() {
                    return Some(b);
                }
                let plain = |v: &Value| !matches!(v, Value::Tensor(_) | Value::Var(_) | Value::Bool(_));
                if let Some(wrong) = [&a, &b].into_iter().find(|v| plain(v)) {
                    return self.fail(
                        Diagnostic::error(
                            codes::WRONG_KIND,
                            span,
                            format!("`{}` does not take {}", op.symbol(), wrong.kind()),
                        )
                        .label("bools are needed on both sides")
                        .help("compare first: `a > 0 and b > 0`"),
                    );
                }
                let kind = Kind::Binary(if op == BinaryOp::And { Binary::And } else { Binary::Or });
                let a = self.present(a, span);
                let b = self.present(b, span);
                self.elementwise(kind, vec![a, b], span, op.symbol())
            }
        }
    }

    /// `f32(x)`
    pub fn cast(&mut self, value: Value, dtype: DType, span: Span) -> Res<Value> {
        match self.present(value, span) {
            Value::Tensor(node) => {
                let ty = Ty { dtype, tag: None, weak: false, ..self.ty(node).clone() };
                Some(Value::Tensor(self.node(Op::Cast, vec![node], ty, span)))
            }
            v if v.is_silent() => Some(v),
            v => Some(Value::Tensor(self.number_node(&v, dtype, span)?)),
        }
    }

    /// `a @ b`: the last axis of the left against the first of the right; leading axes of the left are free.
    fn matmul(&mut self, a: Value, b: Value, span: Span, op_span: Span) -> Res<Value> {
        let mut both = [a, b];
        self.unify_floats(&mut both, op_span);
        let (a, b) = (self.number_node(&both[0], DType::F32, span)?, self.number_node(&both[1], DType::F32, span)?);
        let (x, y) = (self.ty(a).clone(), self.ty(b).clone());
        if x.dtype != y.dtype || !x.dtype.is_float() {
            let headline = match x.dtype == y.dtype {
                true => format!("`@` does not take {}", x.dtype),
                false => format!("`@` mixes {} and {}", x.dtype, y.dtype),
            };
            let fault = Diagnostic::error(codes::DTYPE_MISMATCH, op_span, headline)
                .label("both sides must have one float dtype")
                .help(match x.dtype.is_float() || y.dtype.is_float() {
                    true => "convert one side: `f32(…)`",
                    false => "convert both sides: `f32(a) @ f32(b)`",
                });
            let fault = self.with_declared(fault, &[a, b]);
            return self.fail(fault);
        }
        if x.rank() == 0 || y.rank() == 0 {
            return self.fail(
                Diagnostic::error(codes::RANK_MISMATCH, op_span, "`@` does not take a scalar")
                    .label(format!("of {x} and {y} one has no axis to contract"))
                    .help("`*` multiplies element by element"),
            );
        }
        let inner = if y.rank() == 1 { &y.axes[0] } else { &y.axes[y.rank() - 2] };
        let last = &x.axes[x.rank() - 1];
        if last.size != inner.size {
            return self.no_contraction(&x, &y, &last.clone(), &inner.clone(), op_span);
        }
        // Vectors become matrices with an axis of 1, which goes away again.
        let one = || Axis { size: Dim::from(1i64), why: last.why };
        let left_vector = x.rank() == 1;
        let right_vector = y.rank() == 1;
        let mut left = x.axes.clone();
        let mut right = y.axes.clone();
        if left_vector {
            left.insert(0, one());
        }
        if right_vector {
            right.push(one());
        }
        let (rows, columns) = (left[left.len() - 2].clone(), right[right.len() - 1].clone());
        let inner = right[right.len() - 2].clone();
        let dtype = x.dtype;
        let (batch_l, batch_r) = (left[..left.len() - 2].to_vec(), right[..right.len() - 2].to_vec());
        let result = if batch_r.is_empty() {
            // `[.., m, k] @ [k, n]`: all leading axes are rows.
            let lead: Vec<Axis> = left[..left.len() - 1].to_vec();
            let flat_rows = lead.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
            let flat = Axis { why: lead.last().map_or(last.why, |a| a.why), size: flat_rows };
            let a = self.reshaped(a, vec![flat.clone(), inner.clone()], span);
            let b = self.reshaped(b, right.clone(), span);
            let ty = Ty { dtype, axes: vec![flat, columns.clone()], tag: None, weak: false };
            let product = self.node(Op::Matmul { batch: 0 }, vec![a, b], ty, span);
            let axes = lead.into_iter().chain([columns]).collect();
            (product, axes)
        } else {
            let empty = |axes: &[Axis]| Ty { dtype, axes: axes.to_vec(), tag: None, weak: false };
            let batch = self.meet(&empty(&batch_l), &empty(&batch_r), op_span, "@")?;
            let full = |batch: &[Axis], tail: [&Axis; 2]| -> Vec<Axis> { batch.iter().chain(tail).cloned().collect() };
            let a = self.reshaped(a, left.clone(), span);
            let b = self.reshaped(b, right.clone(), span);
            let a = self.stretch(a, &empty(&full(&batch, [&rows, &inner])), span)?;
            let b = self.stretch(b, &empty(&full(&batch, [&inner, &columns])), span)?;
            let axes = full(&batch, [&rows, &columns]);
            let count = batch.len();
            let product = self.node(Op::Matmul { batch: count }, vec![a, b], empty(&axes), span);
            (product, axes)
        };
        let (product, mut axes) = result;
        if right_vector {
            axes.pop();
        }
        if left_vector {
            let at = axes.len() - usize::from(!right_vector) - 1;
            axes.remove(at);
        }
        Some(Value::Tensor(self.reshaped(product, axes, span)))
    }

    /// The node with other axes of the same product.
    pub fn reshaped(&mut self, node: NodeId, axes: Vec<Axis>, span: Span) -> NodeId {
        let is = self.ty(node).clone();
        let same = is.rank() == axes.len() && is.axes.iter().zip(&axes).all(|(a, b)| a.size == b.size);
        if same {
            return node;
        }
        let shape = axes.iter().map(|a| a.size.clone()).collect();
        self.node(Op::Reshape { shape }, vec![node], Ty { axes, ..is }, span)
    }

    fn no_contraction<T>(&mut self, x: &Ty, y: &Ty, last: &Axis, inner: &Axis, span: Span) -> Res<T> {
        let (l, r) = (self.size_text(&last.size, last.why), self.size_text(&inner.size, inner.why));
        let mut fault = Diagnostic::error(codes::SHAPE_MISMATCH, span, format!("`@` contracts {l} with {r}"))
            .label(format!("{x} @ {y}"))
            .note("the last axis of the left side must equal the first of the right side's last two");
        let mut seen = vec![self.blame(span)];
        for (side, axis) in [("left", last), ("right", inner)] {
            for (at, text) in self.chain(axis.why).into_iter().take(2) {
                let at = self.blame(at);
                if !seen.contains(&at) {
                    seen.push(at);
                    fault = fault.also(at, format!("{side}: {text}"));
                }
            }
        }
        let turned = y.rank() == 2 && y.axes[1].size == last.size;
        self.fail(match turned {
            true => fault.help("the right side fits the other way round: `@ transpose(…)`"),
            false => fault.help("change the width of one side"),
        })
    }
}

/// An elementwise operation.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Binary(Binary),
    Compare(Compare),
    /// Condition, then, else.
    Select,
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
}

/// Whether two compile-time values other than numbers are equal, if that can be said.
fn plain_equal(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Str(x), Value::Str(y)) => Some(x == y),
        (Value::Bool(x), Value::Bool(y)) => Some(x == y),
        (Value::None, Value::None) => Some(true),
        (Value::None, _) | (_, Value::None) => Some(false),
        // A word or a number: `padding: int | same | valid`.
        (Value::Str(_), b) | (b, Value::Str(_)) if matches!(b, Value::Int(..) | Value::Float(_) | Value::List(_)) => {
            Some(false)
        }
        _ => None,
    }
}
