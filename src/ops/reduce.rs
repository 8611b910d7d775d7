//! Reductions: folds along axes, which are gone from the result.

use super::def::{
    ArgDefault, ArgKind, ArgValue, GradientRule, Lowering, OpDef, ParamSpec, Sample, ShapeFault, Surface,
};
use super::op::Op;
use super::shape::{
    Inferred, Ty, attribute, axes_arg, axis_of, check_axis, int_arg, misuse, need_number, operands, param, tensor,
    tensor_arg,
};
use super::types::{Compare, DType, Reduce};
use crate::dims::Dim;
use crate::graph::{Builder, NodeId, TensorType};

const X_AXES: &[ParamSpec] = &[tensor("x"), param("axis", ArgKind::Ints, ArgDefault::None)];
const X_LAST: &[ParamSpec] = &[tensor("x"), param("axis", ArgKind::Int, ArgDefault::Int(-1))];

fn per_operand_element(_: &Op<usize>, inputs: &[TensorType<usize>], _: &TensorType<usize>) -> u64 {
    inputs[0].elements() as u64
}

fn kept(rank: usize, axes: &[usize]) -> Vec<usize> {
    (0..rank).filter(|axis| !axes.contains(axis)).collect()
}

fn infer_reduce(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Reduce { op, axes } = op else { return misuse() };
    let [x] = operands(inputs)?;
    need_number(inputs, 0)?;
    if axes.windows(2).any(|pair| pair[0] >= pair[1]) {
        return attribute("the axes of a reduction must ascend");
    }
    for &axis in axes {
        check_axis(axis, x.rank())?;
        if matches!(op, Reduce::Max | Reduce::Min) && x.shape[axis].number() == Some(0) {
            return Err(ShapeFault::Extent { operand: 0, axis, why: "there are no elements to choose from".into() });
        }
    }
    Ok(Ty::new(x.dtype, kept(x.rank(), axes).iter().map(|axis| x.shape[*axis].clone()).collect()))
}

fn samples(op: Reduce) -> Vec<Sample> {
    let domain = if op == Reduce::Prod { (0.4, 1.6) } else { (-1.0, 1.0) };
    let one = |axes: &[usize], dtype, shape: &[usize], domain| Sample {
        op: Op::Reduce { op, axes: axes.to_vec() },
        inputs: vec![TensorType::new(dtype, shape.to_vec())],
        domains: vec![domain],
    };
    vec![
        one(&[], DType::F32, &[], domain),
        one(&[0], DType::F32, &[7], domain),
        one(&[1], DType::F32, &[3, 5], domain),
        one(&[0, 2], DType::F32, &[3, 4, 5], domain),
        one(&[0, 1, 2], DType::F32, &[2, 1, 3], domain),
        one(&[0], DType::I32, &[3, 5], (-5.0, 5.0)),
    ]
}

/// A value of the result's shape, in the shape of the operand.
fn spread(b: &Builder, value: NodeId, x: NodeId, axes: &[usize]) -> NodeId {
    let shape = b.shape(x);
    let kept = kept(shape.len(), axes);
    b.broadcast(value, &shape, &kept)
}

/// To all elements equal to the result, evenly.
fn extreme_gradient(b: &Builder, node: NodeId, x: NodeId, axes: &[usize], dy: NodeId) -> NodeId {
    let chosen = b.compare(Compare::Eq, x, spread(b, node, x, axes));
    let count = b.sum(b.cast(chosen, b.ty(x).dtype), axes);
    b.keep_where(chosen, spread(b, b.div(dy, count), x, axes))
}

/// The product of all others is prod / x. Where elements are 0 it is the product of the others if there is one 0, and
/// 0 if there are more, which needs no division by 0.
fn product_gradient(b: &Builder, x: NodeId, axes: &[usize], dy: NodeId) -> NodeId {
    let zero = b.compare_to(Compare::Eq, x, 0.0);
    let safe = b.select(zero, b.full_like(x, 1.0), x);
    let zeros = b.sum(b.cast(zero, b.ty(x).dtype), axes);
    let product = b.reduce(Reduce::Prod, safe, axes);
    let if_none = b.keep_where(b.compare_to(Compare::Eq, zeros, 0.0), b.mul(dy, product));
    let if_one = b.keep_where(b.compare_to(Compare::Eq, zeros, 1.0), b.mul(dy, product));
    b.select(zero, spread(b, if_one, x, axes), b.div(spread(b, if_none, x, axes), safe))
}

macro_rules! reduce {
    (
        $variant:ident, $name:literal, $doc:literal,
        |$b:ident, $node:ident, $x:ident, $axes:ident, $dy:ident| $gradient:expr
    ) => {
        OpDef {
            name: $name,
            doc: $doc,
            surfaces: &[Surface {
                name: $name,
                params: X_AXES,
                build: |args| {
                    let axes = axes_arg(args, 1, tensor_arg(args, 0)?.rank())?;
                    Ok(Op::Reduce { op: Reduce::$variant, axes })
                },
            }],
            infer: infer_reduce,
            gradient: GradientRule::Rule(|graph, $node, $dy| {
                let Op::Reduce { axes, .. } = graph.node($node).op.clone() else { return vec![] };
                let $x = graph.node($node).inputs[0];
                let builder = Builder::at(graph, $node);
                let ($b, $axes) = (&builder, &axes[..]);
                vec![Some($gradient)]
            }),
            lowering: Lowering::Reduce,
            flops: per_operand_element,
            samples: || samples(Reduce::$variant),
        }
    };
}

/// In the order of [`Reduce::ALL`].
pub static REDUCE: [OpDef; 4] = [
    reduce!(
        Sum,
        "sum",
        "`sum(x, axis)`: the sum along the axis or axes, by default all of them.",
        |b, node, x, axes, dy| spread(b, dy, x, axes)
    ),
    reduce!(
        Prod,
        "prod",
        "`prod(x, axis)`: the product along the axis or axes, by default all of them. Its gradient holds where \
        elements are 0, its second derivative does not.",
        |b, node, x, axes, dy| product_gradient(b, x, axes, dy)
    ),
    reduce!(
        Max,
        "max",
        "`max(x, axis)`: the largest element along the axis or axes, by default of all; NaN if there is one. Equal \
        largest elements share the gradient evenly.",
        |b, node, x, axes, dy| extreme_gradient(b, node, x, axes, dy)
    ),
    reduce!(
        Min,
        "min",
        "`min(x, axis)`: the smallest element along the axis or axes, by default of all; NaN if there is one. Equal \
        smallest elements share the gradient evenly.",
        |b, node, x, axes, dy| extreme_gradient(b, node, x, axes, dy)
    ),
];

fn infer_arg(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::ArgReduce { axis, .. } = *op else { return misuse() };
    let [x] = operands(inputs)?;
    need_number(inputs, 0)?;
    check_axis(axis, x.rank())?;
    if x.shape[axis].number() == Some(0) {
        return Err(ShapeFault::Extent { operand: 0, axis, why: "there are no elements to choose from".into() });
    }
    let mut shape = x.shape.clone();
    shape.remove(axis);
    Ok(Ty::new(DType::I32, shape))
}

fn build_arg(args: &[ArgValue], max: bool) -> Result<Op<Dim>, ShapeFault> {
    Ok(Op::ArgReduce { max, axis: axis_of(&int_arg(args, 1)?, tensor_arg(args, 0)?.rank())? })
}

fn arg_samples(max: bool) -> Vec<Sample> {
    [(0, DType::F32, vec![7]), (1, DType::F32, vec![3, 5]), (0, DType::F32, vec![3, 1, 5]), (1, DType::I32, vec![2, 9])]
        .into_iter()
        .map(|(axis, dtype, shape)| Sample {
            op: Op::ArgReduce { max, axis },
            inputs: vec![TensorType::new(dtype, shape)],
            domains: vec![(-4.0, 4.0)],
        })
        .collect()
}

macro_rules! arg {
    ($static:ident, $name:literal, $max:literal, $doc:literal) => {
        pub static $static: OpDef = OpDef {
            name: $name,
            doc: $doc,
            surfaces: &[Surface { name: $name, params: X_LAST, build: |args| build_arg(args, $max) }],
            infer: infer_arg,
            gradient: GradientRule::None("an index jumps from one whole number to the next"),
            lowering: Lowering::Nest,
            flops: per_operand_element,
            samples: || arg_samples($max),
        };
    };
}

arg!(
    ARGMAX,
    "argmax",
    true,
    "`argmax(x, axis: -1)`: the index of the largest element along the axis, the first of equals, as i32."
);
arg!(
    ARGMIN,
    "argmin",
    false,
    "`argmin(x, axis: -1)`: the index of the smallest element along the axis, the first of equals, as i32."
);
