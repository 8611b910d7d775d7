//! Elementwise operations: one scalar operation an element. Operands and result have one shape; nothing stretches
//! here, whoever builds the graph puts the `Broadcast` there.

use super::def::{GradientRule, Lowering, OpDef, Sample, Surface};
use super::op::Op;
use super::shape::{Inferred, Ty, misuse, need_float, need_number, need_same_dtype, operands, same_shapes, tensor};
use super::shape::{wrong_dtype, wrong_rank};
use super::types::{Binary, Compare, DType, Unary};
use crate::dims::Dim;
use crate::graph::{Builder, TensorType};
use crate::ops::ParamSpec;

const X: &[ParamSpec] = &[tensor("x")];
const A_B: &[ParamSpec] = &[tensor("a"), tensor("b")];

fn per_element(_: &Op<usize>, _: &[TensorType<usize>], ty: &TensorType<usize>) -> u64 {
    ty.elements() as u64
}

fn infer_unary(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Unary(unary) = op else { return misuse() };
    let [x] = operands(inputs)?;
    match unary {
        Unary::Not if x.dtype.is_float() => return wrong_dtype(0, "a bool or whole numbers"),
        Unary::Not => {}
        Unary::Neg | Unary::Abs => need_number(inputs, 0)?,
        _ => need_float(inputs, 0)?,
    }
    Ok(x.clone())
}

fn infer_binary(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Binary(binary) = op else { return misuse() };
    let [a, _] = operands(inputs)?;
    match binary {
        Binary::And | Binary::Or | Binary::Xor if a.dtype.is_float() => {
            return wrong_dtype(0, "a bool or whole numbers");
        }
        Binary::And | Binary::Or | Binary::Xor => {}
        Binary::Shl | Binary::Shr if !a.dtype.is_int() => return wrong_dtype(0, "whole numbers"),
        Binary::Pow | Binary::Atan2 => need_float(inputs, 0)?,
        _ => need_number(inputs, 0)?,
    }
    need_same_dtype(inputs, 1, 0)?;
    same_shapes(inputs)?;
    Ok(a.clone())
}

fn infer_compare(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Compare(compare) = op else { return misuse() };
    let [a, _] = operands(inputs)?;
    if !matches!(compare, Compare::Eq | Compare::Ne) {
        need_number(inputs, 0)?;
    }
    need_same_dtype(inputs, 1, 0)?;
    same_shapes(inputs)?;
    Ok(Ty::new(DType::Bool, a.shape.clone()))
}

fn f32s(shape: &[usize]) -> TensorType<usize> {
    TensorType::new(DType::F32, shape.to_vec())
}

const SHAPES: [&[usize]; 4] = [&[], &[1], &[7], &[3, 1, 5]];

fn unary_samples(op: Unary, domain: (f64, f64)) -> Vec<Sample> {
    let dtype = if op == Unary::Not { DType::Bool } else { DType::F32 };
    let one = |dtype, shape: &[usize], domain| Sample {
        op: Op::Unary(op),
        inputs: vec![TensorType::new(dtype, shape.to_vec())],
        domains: vec![domain],
    };
    let mut samples: Vec<Sample> = SHAPES.iter().map(|shape| one(dtype, shape, domain)).collect();
    if matches!(op, Unary::Neg | Unary::Abs | Unary::Not) {
        samples.push(one(DType::I32, &[5], (-100.0, 100.0)));
    }
    samples
}

fn binary_samples(op: Binary, domains: [(f64, f64); 2]) -> Vec<Sample> {
    let one = |dtype, shape: &[usize], domains: [(f64, f64); 2]| Sample {
        op: Op::Binary(op),
        inputs: vec![TensorType::new(dtype, shape.to_vec()); 2],
        domains: domains.to_vec(),
    };
    let mut samples = Vec::new();
    match op {
        Binary::And | Binary::Or | Binary::Xor => {
            samples.extend(SHAPES.iter().map(|s| one(DType::Bool, s, [(0.0, 2.0); 2])));
            samples.push(one(DType::I32, &[9], [(-50.0, 50.0); 2]));
        }
        Binary::Shl | Binary::Shr => {
            samples.extend(SHAPES.iter().map(|s| one(DType::I32, s, [(-500.0, 500.0), (0.0, 31.0)])));
        }
        _ => {
            samples.extend(SHAPES.iter().map(|s| one(DType::F32, s, domains)));
            if !matches!(op, Binary::Pow | Binary::Atan2) {
                samples.push(one(DType::I32, &[9], [(-50.0, 50.0), (1.0, 50.0)]));
            }
        }
    }
    samples
}

fn compare_samples(op: Compare) -> Vec<Sample> {
    let one = |dtype, shape: &[usize], domain| Sample {
        op: Op::Compare(op),
        inputs: vec![TensorType::new(dtype, shape.to_vec()); 2],
        domains: vec![domain; 2],
    };
    let mut samples: Vec<Sample> = SHAPES.iter().map(|s| one(DType::F32, s, (-1.0, 1.0))).collect();
    samples.push(one(DType::I32, &[11], (0.0, 3.0)));
    samples
}

/// The rule of a function of one operand: the gradient of `x`, given the operand `x`, the result `y` and its gradient.
macro_rules! chain {
    (|$b:ident, $x:ident, $y:ident, $dy:ident| $body:expr) => {
        GradientRule::Rule(|graph, $y, $dy| {
            let $x = graph.node($y).inputs[0];
            let builder = Builder::at(graph, $y);
            let $b = &builder;
            let _ = ($b, $x);
            vec![Some($body)]
        })
    };
}

/// The rule of a function of two operands: both gradients.
macro_rules! chain2 {
    (|$b:ident, $p:ident, $q:ident, $y:ident, $dy:ident| $da:expr, $db:expr) => {
        GradientRule::Rule(|graph, $y, $dy| {
            let ($p, $q) = (graph.node($y).inputs[0], graph.node($y).inputs[1]);
            let builder = Builder::at(graph, $y);
            let $b = &builder;
            let _ = ($b, $p, $q);
            vec![Some($da), Some($db)]
        })
    };
}

macro_rules! unary {
    ($variant:ident, $name:literal, [$($surface:literal),*], $domain:expr, $doc:literal, $gradient:expr) => {
        OpDef {
            name: $name,
            doc: $doc,
            surfaces: &[$(Surface { name: $surface, params: X, build: |_| Ok(Op::Unary(Unary::$variant)) }),*],
            infer: infer_unary,
            gradient: $gradient,
            lowering: Lowering::Map,
            flops: per_element,
            samples: || unary_samples(Unary::$variant, $domain),
        }
    };
}

const FLAT: GradientRule = GradientRule::None("it is constant between its steps");

/// In the order of [`Unary::ALL`].
pub static UNARY: [OpDef; 13] = [
    unary!(Neg, "neg", [], (-3.0, 3.0), "`-x`.", chain!(|b, x, y, dy| b.neg(dy))),
    unary!(
        Abs,
        "abs",
        ["abs"],
        (-3.0, 3.0),
        "`abs(x)`: the distance from 0. Its slope at 0 is taken as 0.",
        chain!(|b, x, y, dy| {
            let above = b.compare_to(Compare::Gt, x, 0.0);
            let below = b.compare_to(Compare::Lt, x, 0.0);
            b.select(above, dy, b.keep_where(below, b.neg(dy)))
        })
    ),
    unary!(Exp, "exp", ["exp"], (-3.0, 3.0), "`exp(x)` = e^x.", chain!(|b, x, y, dy| b.mul(dy, y))),
    unary!(
        Log,
        "log",
        ["log"],
        (0.1, 4.0),
        "`log(x)`: the natural logarithm; NaN below 0.",
        chain!(|b, x, y, dy| b.div(dy, x))
    ),
    unary!(
        Sqrt,
        "sqrt",
        ["sqrt"],
        (0.1, 4.0),
        "`sqrt(x)`: the square root; NaN below 0.",
        chain!(|b, x, y, dy| b.div(b.scale(dy, 0.5), y))
    ),
    unary!(
        Sin,
        "sin",
        ["sin"],
        (-4.0, 4.0),
        "`sin(x)`, x in radians.",
        chain!(|b, x, y, dy| b.mul(dy, b.unary(Unary::Cos, x)))
    ),
    unary!(
        Cos,
        "cos",
        ["cos"],
        (-4.0, 4.0),
        "`cos(x)`, x in radians.",
        chain!(|b, x, y, dy| b.neg(b.mul(dy, b.unary(Unary::Sin, x))))
    ),
    unary!(
        Tanh,
        "tanh",
        ["tanh"],
        (-3.0, 3.0),
        "`tanh(x)` = (e^x - e^-x) / (e^x + e^-x).",
        chain!(|b, x, y, dy| b.mul(dy, b.sub(b.full_like(y, 1.0), b.mul(y, y))))
    ),
    unary!(
        Erf,
        "erf",
        ["erf"],
        (-3.0, 3.0),
        "`erf(x)`: the error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
        chain!(|b, x, y, dy| {
            let slope = b.unary(Unary::Exp, b.neg(b.mul(x, x)));
            b.mul(dy, b.scale(slope, std::f64::consts::FRAC_2_SQRT_PI))
        })
    ),
    unary!(Floor, "floor", ["floor"], (-3.0, 3.0), "`floor(x)`: the largest whole number not above x.", FLAT),
    unary!(Ceil, "ceil", ["ceil"], (-3.0, 3.0), "`ceil(x)`: the smallest whole number not below x.", FLAT),
    unary!(Round, "round", ["round"], (-3.0, 3.0), "`round(x)`: the nearest whole number, ties to even.", FLAT),
    unary!(
        Not,
        "not",
        [],
        (0.0, 2.0),
        "`not x`; of whole numbers, every bit flipped.",
        GradientRule::None("truth values have no gradient")
    ),
];

macro_rules! binary {
    ($variant:ident, $name:literal, [$($surface:literal),*], $domains:expr, $doc:literal, $gradient:expr) => {
        OpDef {
            name: $name,
            doc: $doc,
            surfaces: &[$(Surface { name: $surface, params: A_B, build: |_| Ok(Op::Binary(Binary::$variant)) }),*],
            infer: infer_binary,
            gradient: $gradient,
            lowering: Lowering::Map,
            flops: per_element,
            samples: || binary_samples(Binary::$variant, $domains),
        }
    };
}

const AROUND: [(f64, f64); 2] = [(-2.0, 2.0), (-2.0, 2.0)];
const BITS: GradientRule = GradientRule::None("whole numbers and truth values have no gradient");

/// The gradients of `maximum` (`first_wins` = `Gt`) and `minimum` (`Lt`): equal operands share it evenly.
fn extreme(
    b: &Builder,
    first_wins: Compare,
    p: usize,
    operands: [crate::graph::NodeId; 2],
    dy: crate::graph::NodeId,
) -> crate::graph::NodeId {
    let (own, other) = (operands[p], operands[1 - p]);
    let wins = b.compare(first_wins, own, other);
    let ties = b.compare(Compare::Eq, own, other);
    b.select(wins, dy, b.keep_where(ties, b.scale(dy, 0.5)))
}

/// In the order of [`Binary::ALL`].
pub static BINARY: [OpDef; 14] = [
    binary!(Add, "add", [], AROUND, "`a + b`.", chain2!(|b, p, q, y, dy| dy, dy)),
    binary!(Sub, "sub", [], AROUND, "`a - b`.", chain2!(|b, p, q, y, dy| dy, b.neg(dy))),
    binary!(Mul, "mul", [], AROUND, "`a * b`.", chain2!(|b, p, q, y, dy| b.mul(dy, q), b.mul(dy, p))),
    binary!(
        Div,
        "div",
        [],
        [(-2.0, 2.0), (0.5, 2.0)],
        "`a / b`; of whole numbers, towards minus infinity, and 0 where b is 0.",
        chain2!(|b, p, q, y, dy| b.div(dy, q), b.neg(b.div(b.mul(dy, y), q)))
    ),
    binary!(
        Rem,
        "rem",
        ["remainder"],
        [(-5.0, 5.0), (0.5, 2.0)],
        "`remainder(a, b)` = a - b * floor(a / b): it has the sign of b. Of whole numbers, 0 where b is 0.",
        chain2!(|b, p, q, y, dy| dy, b.neg(b.mul(dy, b.unary(Unary::Floor, b.div(p, q)))))
    ),
    binary!(
        Max,
        "maximum",
        ["maximum"],
        AROUND,
        "`max(a, b)`: the larger of the two, NaN if either is. Equal operands share the gradient evenly.",
        chain2!(|b, p, q, y, dy| extreme(b, Compare::Gt, 0, [p, q], dy), extreme(b, Compare::Gt, 1, [p, q], dy))
    ),
    binary!(
        Min,
        "minimum",
        ["minimum"],
        AROUND,
        "`min(a, b)`: the smaller of the two, NaN if either is. Equal operands share the gradient evenly.",
        chain2!(|b, p, q, y, dy| extreme(b, Compare::Lt, 0, [p, q], dy), extreme(b, Compare::Lt, 1, [p, q], dy))
    ),
    binary!(
        Pow,
        "pow",
        ["pow"],
        [(0.2, 2.0), (-2.0, 3.0)],
        "`a ^ b`. The gradient by a is b a^(b-1), 0 where b is 0; by b it is a^b log(a), 0 where a is 0 and b is not \
        negative.",
        chain2!(
            |b, p, q, y, dy| {
                let slope = b.mul(q, b.binary(Binary::Pow, p, b.shift(q, -1.0)));
                let flat = b.compare_to(Compare::Eq, q, 0.0);
                b.select(flat, b.full_like(q, 0.0), b.mul(dy, slope))
            },
            {
                let slope = b.mul(y, b.unary(Unary::Log, p));
                let zero = b.compare_to(Compare::Eq, p, 0.0);
                let whole = b.compare_to(Compare::Ge, q, 0.0);
                let flat = b.binary(Binary::And, zero, whole);
                b.select(flat, b.full_like(q, 0.0), b.mul(dy, slope))
            }
        )
    ),
    binary!(
        Atan2,
        "atan2",
        ["atan2"],
        [(0.3, 2.0), (-2.0, 2.0)],
        "`atan2(a, b)`: the angle of the point (b, a), in (-pi, pi]. The gradients are dy b / (a^2 + b^2) and \
         -dy a / (a^2 + b^2), 0 at the origin.",
        chain2!(
            |b, p, q, y, dy| {
                let square = b.add(b.mul(p, p), b.mul(q, q));
                let away = b.compare_to(Compare::Ne, square, 0.0);
                b.keep_where(away, b.div(b.mul(dy, q), square))
            },
            {
                let square = b.add(b.mul(p, p), b.mul(q, q));
                let away = b.compare_to(Compare::Ne, square, 0.0);
                b.keep_where(away, b.neg(b.div(b.mul(dy, p), square)))
            }
        )
    ),
    binary!(And, "and", [], AROUND, "`a and b`; of whole numbers, bit by bit.", BITS),
    binary!(Or, "or", [], AROUND, "`a or b`; of whole numbers, bit by bit.", BITS),
    binary!(Xor, "xor", [], AROUND, "True where exactly one is; of whole numbers, bit by bit.", BITS),
    binary!(Shl, "shl", [], AROUND, "The bits of a, moved up by b places, zeros coming in.", BITS),
    binary!(Shr, "shr", [], AROUND, "The bits of a, moved down by b places, zeros coming in.", BITS),
];

macro_rules! compare {
    ($variant:ident, $name:literal, $doc:literal) => {
        OpDef {
            name: $name,
            doc: $doc,
            surfaces: &[],
            infer: infer_compare,
            gradient: GradientRule::None("a comparison jumps between true and false"),
            lowering: Lowering::Map,
            flops: per_element,
            samples: || compare_samples(Compare::$variant),
        }
    };
}

/// In the order of [`Compare::ALL`].
pub static COMPARE: [OpDef; 6] = [
    compare!(Eq, "eq", "`a == b`; false if either is NaN."),
    compare!(Ne, "ne", "`a != b`; true if either is NaN."),
    compare!(Lt, "lt", "`a < b`; false if either is NaN."),
    compare!(Le, "le", "`a <= b`; false if either is NaN."),
    compare!(Gt, "gt", "`a > b`; false if either is NaN."),
    compare!(Ge, "ge", "`a >= b`; false if either is NaN."),
];

pub static SELECT: OpDef = OpDef {
    name: "select",
    doc: "`where(condition, a, b)`: the element of a where the condition holds, else that of b.",
    surfaces: &[Surface {
        name: "where",
        params: &[tensor("condition"), tensor("a"), tensor("b")],
        build: |_| Ok(Op::Select),
    }],
    infer: |_, inputs| {
        let [condition, a, _] = operands(inputs)?;
        if condition.dtype != DType::Bool {
            return wrong_dtype(0, "bool");
        }
        need_same_dtype(inputs, 2, 1)?;
        same_shapes(inputs)?;
        Ok(a.clone())
    },
    gradient: GradientRule::Rule(|graph, node, dy| {
        let condition = graph.node(node).inputs[0];
        let b = Builder::at(graph, node);
        let zero = b.full_like(dy, 0.0);
        vec![None, Some(b.select(condition, dy, zero)), Some(b.select(condition, zero, dy))]
    }),
    lowering: Lowering::Map,
    flops: per_element,
    samples: || {
        SHAPES
            .iter()
            .map(|shape| Sample {
                op: Op::Select,
                inputs: vec![TensorType::new(DType::Bool, shape.to_vec()), f32s(shape), f32s(shape)],
                domains: vec![(0.0, 2.0), (-1.0, 1.0), (-1.0, 1.0)],
            })
            .collect()
    },
};

/// The dtype that is cast to is the node's own; [`infer`](super::infer) gives f32.
pub static CAST: OpDef = OpDef {
    name: "cast",
    doc: "`f32(x)` and the like: the same numbers in another dtype. A float becomes a whole number by dropping the \
          fraction and a bool by being other than 0; what does not fit in fewer bits is rounded to nearest, ties to \
          even.",
    surfaces: &[],
    infer: |_, inputs| {
        let [x] = operands(inputs)?;
        Ok(Ty::new(DType::F32, x.shape.clone()))
    },
    gradient: GradientRule::Rule(|graph, node, dy| {
        let x = graph.node(node).inputs[0];
        let dtype = graph.ty(x).dtype;
        if !dtype.is_float() {
            return vec![None];
        }
        vec![Some(Builder::at(graph, node).cast(dy, dtype))]
    }),
    lowering: Lowering::Map,
    flops: |_, _, _| 0,
    samples: || {
        [(DType::F64, (-3.0, 3.0)), (DType::I32, (-9.0, 9.0)), (DType::Bool, (0.0, 2.0))]
            .into_iter()
            .map(|(dtype, domain)| Sample {
                op: Op::Cast,
                inputs: vec![TensorType::new(dtype, vec![2, 3])],
                domains: vec![domain],
            })
            .collect()
    },
};

pub static STOP_GRADIENT: OpDef = OpDef {
    name: "stop_gradient",
    doc: "`stop_gradient(x)`: x, as a constant to every gradient.",
    surfaces: &[Surface { name: "stop_gradient", params: X, build: |_| Ok(Op::StopGradient) }],
    infer: |_, inputs| {
        let [x] = operands(inputs)?;
        Ok(x.clone())
    },
    gradient: GradientRule::None("that is what it is for"),
    lowering: Lowering::None,
    flops: |_, _, _| 0,
    samples: || vec![Sample { op: Op::StopGradient, inputs: vec![f32s(&[2, 3])], domains: vec![(-1.0, 1.0)] }],
};

pub static GRADIENT: OpDef = OpDef {
    name: "gradient",
    doc: "`grad(y, by: x)`: the gradient of the scalar y by x, shaped like x. It is a value like any other and has \
          gradients itself.",
    surfaces: &[],
    infer: |_, inputs| {
        let [y, x] = operands(inputs)?;
        need_float(inputs, 0)?;
        need_float(inputs, 1)?;
        if y.rank() != 0 {
            return wrong_rank(0, "0: a scalar");
        }
        Ok(x.clone())
    },
    gradient: GradientRule::None("it is expanded before anything is differentiated"),
    lowering: Lowering::None,
    flops: |_, _, _| 0,
    samples: || {
        vec![Sample {
            op: Op::Gradient,
            inputs: vec![f32s(&[]), f32s(&[3, 2])],
            domains: vec![(-1.0, 1.0), (-1.0, 1.0)],
        }]
    },
};
