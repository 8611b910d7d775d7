//! Arithmetic with neutral elements, signs, powers, choices and casts; and arithmetic before broadcasting.

use super::Rule;
use crate::graph::{Builder, Graph, Node, NodeId};
use crate::ops::{Binary, DType, Op, Reduce, Unary};

pub static RULES: &[Rule] = &[
    Rule { name: "neutral-element", apply: neutral_element },
    Rule { name: "integer-zero", apply: integer_zero },
    Rule { name: "minus-one", apply: minus_one },
    Rule { name: "double-negation", apply: double_negation },
    Rule { name: "add-of-negation", apply: add_of_negation },
    Rule { name: "small-power", apply: small_power },
    Rule { name: "known-choice", apply: known_choice },
    Rule { name: "same-cast", apply: same_cast },
    Rule { name: "widened-cast", apply: widened_cast },
    Rule { name: "stop-gradient", apply: stop_gradient },
    Rule { name: "sum-of-copies", apply: sum_of_copies },
    Rule { name: "compute-before-broadcast", apply: compute_before_broadcast },
];

fn pair(node: &Node<usize>) -> Option<(Binary, NodeId, NodeId)> {
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(op), &[a, b]) => Some((*op, a, b)),
        _ => None,
    }
}

/// The operand, if the node is this function of it.
fn inner(graph: &Graph<usize>, id: NodeId, op: Unary) -> Option<NodeId> {
    let node = graph.node(id);
    (node.op == Op::Unary(op)).then(|| node.inputs[0])
}

/// x + 0, x - 0, x * 1, x / 1, x ^ 1, and, or.
fn neutral_element(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (op, a, b) = pair(node)?;
    let is = |id, value: f64| graph.uniform_value(id) == Some(value);
    let bools = node.ty.dtype == DType::Bool;
    match op {
        Binary::Add if is(b, 0.0) => Some(a),
        Binary::Add if is(a, 0.0) => Some(b),
        Binary::Sub if is(b, 0.0) => Some(a),
        Binary::Mul if is(b, 1.0) => Some(a),
        Binary::Mul if is(a, 1.0) => Some(b),
        Binary::Div | Binary::Pow if is(b, 1.0) => Some(a),
        Binary::Or if is(b, 0.0) => Some(a),
        Binary::Or if is(a, 0.0) => Some(b),
        Binary::And if bools && is(b, 1.0) => Some(a),
        Binary::And if bools && is(a, 1.0) => Some(b),
        Binary::And | Binary::Or if a == b => Some(a),
        // Not for floats other than themselves: NaN stays NaN.
        Binary::Max | Binary::Min if a == b => Some(a),
        _ => None,
    }
}

/// x * 0, x and 0: of whole numbers and truth values only, which are never NaN.
fn integer_zero(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (Binary::Mul | Binary::And, a, b) = pair(node)? else { return None };
    (!node.ty.dtype.is_float()).then_some(())?;
    [a, b].into_iter().find(|id| graph.uniform_value(*id) == Some(0.0))
}

/// x * -1, x / -1 and 0 - x are -x.
fn minus_one(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (op, a, b) = pair(node)?;
    let is = |id, value: f64| graph.uniform_value(id) == Some(value);
    let x = match op {
        Binary::Mul | Binary::Div if is(b, -1.0) => a,
        Binary::Mul if is(a, -1.0) => b,
        Binary::Sub if is(a, 0.0) => b,
        _ => return None,
    };
    Some(graph.add(Op::Unary(Unary::Neg), &[x], node.origin))
}

/// - - x, not not x.
fn double_negation(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    match node.op {
        Op::Unary(op @ (Unary::Neg | Unary::Not)) => inner(graph, node.inputs[0], op),
        _ => None,
    }
}

/// x + -y, -x + y, x - -y; -x * -y and -x / -y.
fn add_of_negation(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (op, a, b) = pair(node)?;
    let (minus_a, minus_b) = (inner(graph, a, Unary::Neg), inner(graph, b, Unary::Neg));
    let (op, operands) = match (op, minus_a, minus_b) {
        (Binary::Add, _, Some(y)) => (Binary::Sub, [a, y]),
        (Binary::Add, Some(x), None) => (Binary::Sub, [b, x]),
        (Binary::Sub, _, Some(y)) => (Binary::Add, [a, y]),
        (Binary::Mul, Some(x), Some(y)) => (op, [x, y]),
        (Binary::Div, Some(x), Some(y)) if node.ty.dtype.is_float() => (op, [x, y]),
        _ => return None,
    };
    Some(graph.add(Op::Binary(op), &operands, node.origin))
}

/// x ^ 0, 2, 3, -1, -2, 0.5 and -0.5 by products, quotients and roots.
fn small_power(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (Binary::Pow, x, exponent) = pair(node)? else { return None };
    let exponent = graph.uniform_value(exponent)?;
    let b = Builder::new(graph, node.origin);
    let one_over = |y| b.div(b.full_like(y, 1.0), y);
    Some(if exponent == 0.0 {
        b.full_like(x, 1.0)
    } else if exponent == 2.0 {
        b.mul(x, x)
    } else if exponent == 3.0 {
        b.mul(b.mul(x, x), x)
    } else if exponent == -1.0 {
        one_over(x)
    } else if exponent == -2.0 {
        one_over(b.mul(x, x))
    } else if exponent == 0.5 {
        b.unary(Unary::Sqrt, x)
    } else if exponent == -0.5 {
        one_over(b.unary(Unary::Sqrt, x))
    } else {
        return None;
    })
}

/// A choice whose condition is known or negated, or whose two sides are one.
fn known_choice(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let (Op::Select, &[condition, a, b]) = (&node.op, &node.inputs[..]) else { return None };
    if a == b {
        return Some(a);
    }
    if let Some(known) = graph.uniform_value(condition) {
        return Some(if known != 0.0 { a } else { b });
    }
    let opposite = inner(graph, condition, Unary::Not)?;
    Some(graph.add(Op::Select, &[opposite, b, a], node.origin))
}

fn same_cast(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    (node.op == Op::Cast && graph.ty(node.inputs[0]).dtype == node.ty.dtype).then(|| node.inputs[0])
}

/// Every number of `from` is one of `to`.
fn is_widening(from: DType, to: DType) -> bool {
    match from {
        DType::Bool => true,
        DType::U8 | DType::I8 => to.is_float() || matches!(to, DType::I32 | DType::I64),
        DType::I32 => matches!(to, DType::I64 | DType::F64),
        DType::F16 | DType::BF16 => matches!(to, DType::F32 | DType::F64),
        DType::F32 => to == DType::F64,
        DType::I64 | DType::F64 => false,
    }
}

/// A cast of a cast that lost nothing. Only back or to floats: out of range, floats and integers become integers in
/// different ways.
fn widened_cast(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let first = graph.node(*node.inputs.first()?);
    (node.op == Op::Cast && first.op == Op::Cast).then_some(())?;
    let x = first.inputs[0];
    let (from, to) = (graph.ty(x).dtype, node.ty.dtype);
    (is_widening(from, first.ty.dtype) && (to == from || to.is_float())).then_some(())?;
    Some(Builder::new(graph, node.origin).cast(x, to))
}

/// Nothing is differentiated any more.
fn stop_gradient(_: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    matches!(node.op, Op::StopGradient | Op::CustomGradient { .. }).then(|| node.inputs[0])
}

/// The sum along axes that a broadcast made is a multiple.
fn sum_of_copies(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    let Op::Reduce { op: Reduce::Sum, axes: summed } = &node.op else { return None };
    let wide = graph.node(node.inputs[0]);
    let Op::Broadcast { shape, axes } = &wide.op else { return None };
    (wide.ty.dtype.is_float() && !wide.ty.dtype.is_half() && summed.iter().all(|axis| !axes.contains(axis)))
        .then_some(())?;
    let count: usize = summed.iter().map(|axis| shape[*axis]).product();
    let moved: Vec<usize> = axes.iter().map(|axis| axis - summed.iter().filter(|gone| *gone < axis).count()).collect();
    let x = wide.inputs[0];
    let b = Builder::new(graph, node.origin);
    let multiple = if count == 1 { x } else { b.scale(x, count as f64) };
    Some(b.broadcast(multiple, &node.ty.shape, &moved))
}

/// An elementwise operation of equally broadcast operands (and constants) is computed before it is broadcast.
fn compute_before_broadcast(graph: &mut Graph<usize>, node: &Node<usize>) -> Option<NodeId> {
    matches!(node.op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast).then_some(())?;
    let mut common: Option<(Vec<usize>, Vec<usize>)> = None;
    for input in node.inputs.iter().filter(|input| graph.uniform_value(**input).is_none()) {
        let Op::Broadcast { axes, .. } = &graph.node(*input).op else { return None };
        let small = graph.ty(graph.node(*input).inputs[0]).shape.clone();
        match &common {
            None => common = Some((axes.clone(), small)),
            Some((a, s)) if a == axes && *s == small => {}
            Some(_) => return None,
        }
    }
    let (axes, small) = common?;
    (small.iter().product::<usize>() < node.ty.elements()).then_some(())?;
    let mut operands = Vec::new();
    for input in &node.inputs {
        operands.push(match graph.uniform_value(*input) {
            Some(value) => {
                let mut ty = graph.ty(*input).clone();
                ty.shape = small.clone();
                graph.full(value, &ty, node.origin)
            }
            None => graph.node(*input).inputs[0],
        });
    }
    let mut ty = node.ty.clone();
    ty.shape = small;
    let value = graph.push(node.op.clone(), operands, ty, node.origin);
    Some(graph.add(Op::Broadcast { shape: node.ty.shape.clone(), axes }, &[value], node.origin))
}
