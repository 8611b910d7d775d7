//! What is known when the program is compiled is computed then, in f64.

use super::Rule;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{Binary, DType, Op, Reduce, half, scalar};

pub static RULES: &[Rule] = &[
    Rule { name: "half-constant", apply: half_constant },
    Rule { name: "fold-elementwise", apply: fold_elementwise },
    Rule { name: "fold-view", apply: fold_view },
    Rule { name: "fold-pad", apply: fold_pad },
    Rule { name: "fold-reduce", apply: fold_reduce },
];

fn full(graph: &mut Graph<usize>, node: &Node<usize>, value: f64) -> Option<NodeId> {
    Some(graph.full(value, &node.ty, node.origin))
}

/// A constant of 16 bits is what its dtype holds.
fn half_constant(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (Op::Const(value), true) = (&node.op, node.ty.dtype.is_half()) else { return None };
    let held = half::round(*value, node.ty.dtype);
    (held != *value && !value.is_nan()).then_some(())?;
    full(graph, node, held)
}

/// An elementwise operation of constants is a constant.
fn fold_elementwise(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let value = |i: usize| graph.uniform_value(*node.inputs.get(i)?);
    let dtype = graph.ty(*node.inputs.first()?).dtype;
    let folded = match node.op {
        Op::Unary(op) => scalar::unary(op, value(0)?, dtype),
        Op::Binary(op) => scalar::binary(op, value(0)?, value(1)?, dtype),
        Op::Compare(op) => f64::from(u8::from(scalar::compare(op, value(0)?, value(1)?))),
        Op::Select if value(0)? != 0.0 => value(1)?,
        Op::Select => value(2)?,
        Op::Cast => scalar::cast(value(0)?, dtype, node.ty.dtype),
        _ => return None,
    };
    full(graph, node, folded)
}

/// However a constant's elements are moved, they are that constant.
fn fold_view(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let [x] = node.inputs[..] else { return None };
    let direct = matches!(graph.node(x).op, Op::Const(_));
    match node.op {
        Op::Broadcast { .. } if direct => None,
        Op::Broadcast { .. } | Op::Transpose { .. } | Op::Reshape { .. } | Op::Slice { .. } => {
            let value = graph.uniform_value(x)?;
            full(graph, node, value)
        }
        _ => None,
    }
}

/// A constant padded with itself.
fn fold_pad(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Pad { value, .. } = node.op else { return None };
    (graph.uniform_value(node.inputs[0])? == value).then_some(())?;
    full(graph, node, value)
}

/// A fold of n equal elements.
fn fold_reduce(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Reduce { op, axes } = &node.op else { return None };
    let value = graph.uniform_value(node.inputs[0])?;
    let ty = graph.ty(node.inputs[0]);
    let count: usize = axes.iter().map(|axis| ty.shape[*axis]).product();
    let folded = match (op, ty.dtype.is_float()) {
        (_, _) if count == 0 => return None,
        (Reduce::Max | Reduce::Min, _) => value,
        (Reduce::Sum, true) => scalar::cast(value * count as f64, DType::F64, ty.dtype),
        (Reduce::Sum, false) => scalar::binary(Binary::Mul, value, count as f64, ty.dtype),
        (Reduce::Prod, true) => scalar::cast(value.powf(count as f64), DType::F64, ty.dtype),
        (Reduce::Prod, false) if ty.dtype == DType::Bool => value,
        (Reduce::Prod, false) => return None,
    };
    full(graph, node, folded)
}
