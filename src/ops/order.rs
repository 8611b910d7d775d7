//! Operations along one axis in which every element of the result depends on many: running folds, and sorting.

use super::def::{ArgDefault, ArgKind, ArgValue, GradientRule, Lowering, OpDef, ParamSpec, Sample, Surface};
use super::op::Op;
use super::shape::{
    Inferred, Ty, axis_of, check_axis, int_arg, misuse, need_float, need_number, operands, param, tensor, tensor_arg,
};
use super::types::{Binary, Compare, Cumulative, DType, Unary};
use crate::dims::Dim;
use crate::graph::{Builder, NodeId, TensorType};

const X_LAST: &[ParamSpec] = &[tensor("x"), param("axis", ArgKind::Int, ArgDefault::Int(-1))];
const SORT: &[ParamSpec] = &[
    tensor("x"),
    param("axis", ArgKind::Int, ArgDefault::Int(-1)),
    param("descending", ArgKind::Bool, ArgDefault::Bool(false)),
];

/// Stands for the logarithm of 0: finite, so that differences of two are no NaN, and below every logarithm of an f32.
const LOG_ZERO: f64 = -1e30;

fn infer_cumulate(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Cumulate { op, axis, .. } = *op else { return misuse() };
    let [x] = operands(inputs)?;
    match op {
        Cumulative::LogSumExp => need_float(inputs, 0)?,
        _ => need_number(inputs, 0)?,
    }
    check_axis(axis, x.rank())?;
    Ok(x.clone())
}

fn run(b: &Builder, op: Cumulative, x: NodeId, axis: usize, reverse: bool) -> NodeId {
    b.op(Op::Cumulate { op, axis, reverse }, &[x])
}

/// Each operand takes part in its own element of the result and in all after it, so gradients are running sums the other
/// way. `dy y / x` does not hold for the first 0 of a run, whose gradient is that of the product without it; what
/// follows a 0 has none.
fn product_gradient(b: &Builder, x: NodeId, y: NodeId, dy: NodeId, axis: usize, reverse: bool) -> NodeId {
    let zero = b.compare_to(Compare::Eq, x, 0.0);
    let count = run(b, Cumulative::Sum, b.cast(zero, b.ty(x).dtype), axis, reverse);
    let first = b.binary(Binary::And, zero, b.compare_to(Compare::Eq, count, 1.0));
    let without = run(b, Cumulative::Prod, b.select(first, b.full_like(x, 1.0), x), axis, reverse);
    let around = run(b, Cumulative::Sum, b.mul(dy, y), axis, !reverse);
    let at_first = run(b, Cumulative::Sum, b.mul(dy, without), axis, !reverse);
    let safe = b.select(zero, b.full_like(x, 1.0), x);
    b.select(first, at_first, b.keep_where(b.compare_to(Compare::Ne, x, 0.0), b.div(around, safe)))
}

/// sum over i >= k of dy_i exp(x_k - y_i), where the logarithms of the positive and the negative dy are added up.
fn log_sum_gradient(b: &Builder, x: NodeId, y: NodeId, dy: NodeId, axis: usize, reverse: bool) -> NodeId {
    let side = |dy: NodeId| {
        let above = b.compare_to(Compare::Gt, dy, 0.0);
        let log = b.unary(Unary::Log, b.select(above, dy, b.full_like(dy, 1.0)));
        let log = b.select(above, b.sub(log, y), b.full_like(dy, LOG_ZERO));
        b.unary(Unary::Exp, b.add(run(b, Cumulative::LogSumExp, log, axis, !reverse), x))
    };
    b.sub(side(dy), side(b.neg(dy)))
}

/// What a running extreme gets goes to the latest element that is equal to it, as in PyTorch.
fn extreme_gradient(b: &Builder, x: NodeId, y: NodeId, dy: NodeId, axis: usize, reverse: bool) -> NodeId {
    let shape = b.shape(x);
    let n = shape[axis];
    let place = b.broadcast(b.op(Op::Iota { size: n }, &[]), &shape, &[axis]);
    let (missing, latest) = if reverse { (n as f64, Cumulative::Min) } else { (0.0, Cumulative::Max) };
    let own = b.select(b.compare(Compare::Eq, x, y), place, b.full_like(place, missing));
    let from = run(b, latest, own, axis, reverse);
    let wide: Vec<usize> = shape.iter().copied().chain([n]).collect();
    let all: Vec<usize> = (0..shape.len()).collect();
    let place = b.broadcast(b.op(Op::Iota { size: n }, &[]), &wide, &[shape.len()]);
    let here = b.compare(Compare::Eq, b.broadcast(from, &wide, &all), place);
    let sum = b.sum(b.keep_where(here, b.broadcast(dy, &wide, &all)), &[axis]);
    let mut perm: Vec<usize> = (0..shape.len() - 1).collect();
    perm.insert(axis, shape.len() - 1);
    b.transpose(sum, &perm)
}

fn cumulate_samples(op: Cumulative) -> Vec<Sample> {
    let domain = if op == Cumulative::Prod { (0.4, 1.6) } else { (-2.0, 2.0) };
    [
        (0, false, vec![1]),
        (0, false, vec![7]),
        (1, true, vec![2, 5]),
        (1, false, vec![2, 3, 4]),
        (0, true, vec![4, 1, 3]),
    ]
    .into_iter()
    .map(|(axis, reverse, shape)| Sample {
        op: Op::Cumulate { op, axis, reverse },
        inputs: vec![TensorType::new(DType::F32, shape)],
        domains: vec![domain],
    })
    .collect()
}

macro_rules! cumulate {
    ($variant:ident, $name:literal, $doc:literal, |$b:ident, $x:ident, $y:ident, $dy:ident, $axis:ident, $reverse:ident| $gradient:expr) => {
        OpDef {
            name: $name,
            doc: $doc,
            surfaces: &[Surface {
                name: $name,
                params: X_LAST,
                build: |args| {
                    let axis = axis_of(&int_arg(args, 1)?, tensor_arg(args, 0)?.rank())?;
                    Ok(Op::Cumulate { op: Cumulative::$variant, axis, reverse: false })
                },
            }],
            infer: infer_cumulate,
            gradient: GradientRule::Rule(|graph, $y, $dy| {
                let Op::Cumulate { axis: $axis, reverse: $reverse, .. } = graph.node($y).op else { return vec![] };
                let $x = graph.node($y).inputs[0];
                let builder = Builder::at(graph, $y);
                let $b = &builder;
                let _ = $x;
                vec![Some($gradient)]
            }),
            lowering: Lowering::Nest,
            flops: |_, _, ty| ty.elements() as u64,
            samples: || cumulate_samples(Cumulative::$variant),
        }
    };
}

/// In the order of [`Cumulative::ALL`].
pub static CUMULATE: [OpDef; 5] = [
    cumulate!(
        Sum,
        "cumsum",
        "`cumsum(x, axis: -1)`: the running sum along the axis: y_i = x_0 + … + x_i.",
        |b, x, y, dy, axis, reverse| run(b, Cumulative::Sum, dy, axis, !reverse)
    ),
    cumulate!(
        Prod,
        "cumprod",
        "`cumprod(x, axis: -1)`: the running product along the axis: y_i = x_0 x_1 … x_i. Its gradient holds where \
         elements are 0.",
        |b, x, y, dy, axis, reverse| product_gradient(b, x, y, dy, axis, reverse)
    ),
    cumulate!(
        LogSumExp,
        "logcumsumexp",
        "`logcumsumexp(x, axis: -1)`: y_i = log(e^x_0 + … + e^x_i), without overflow.",
        |b, x, y, dy, axis, reverse| log_sum_gradient(b, x, y, dy, axis, reverse)
    ),
    cumulate!(
        Max,
        "cummax",
        "`cummax(x, axis: -1)`: the running maximum along the axis: y_i = max(x_0, …, x_i). Of equal elements the latest gets \
         the gradient.",
        |b, x, y, dy, axis, reverse| extreme_gradient(b, x, y, dy, axis, reverse)
    ),
    cumulate!(
        Min,
        "cummin",
        "`cummin(x, axis: -1)`: the running minimum along the axis: y_i = min(x_0, …, x_i). Of equal elements the latest gets \
         the gradient.",
        |b, x, y, dy, axis, reverse| extreme_gradient(b, x, y, dy, axis, reverse)
    ),
];

pub static ARGSORT: OpDef = OpDef {
    name: "argsort",
    doc: "`argsort(x, axis: -1, descending: false)`: the indices (i32) that put the axis in order; equal elements keep \
          theirs, and NaN counts as the largest.",
    surfaces: &[Surface {
        name: "argsort",
        params: SORT,
        build: |args| {
            let axis = axis_of(&int_arg(args, 1)?, tensor_arg(args, 0)?.rank())?;
            Ok(Op::ArgSort { axis, descending: matches!(args.get(2), Some(ArgValue::Bool(true))) })
        },
    }],
    infer: |op, inputs| {
        let Op::ArgSort { axis, .. } = *op else { return misuse() };
        let [x] = operands(inputs)?;
        need_number(inputs, 0)?;
        check_axis(axis, x.rank())?;
        Ok(Ty::new(DType::I32, x.shape.clone()))
    },
    gradient: GradientRule::None("an index jumps from one whole number to the next"),
    lowering: Lowering::Nest,
    flops: |_, _, ty| ty.elements() as u64,
    samples: || {
        let one = |axis, descending, dtype, shape: &[usize], domain| Sample {
            op: Op::ArgSort { axis, descending },
            inputs: vec![TensorType::new(dtype, shape.to_vec())],
            domains: vec![domain],
        };
        vec![
            one(0, false, DType::F32, &[1], (-1.0, 1.0)),
            one(0, false, DType::F32, &[9], (-1.0, 1.0)),
            one(1, true, DType::F32, &[2, 7], (-1.0, 1.0)),
            one(1, false, DType::F32, &[2, 5, 3], (-1.0, 1.0)),
            one(0, true, DType::I32, &[11], (0.0, 4.0)),
        ]
    },
};
