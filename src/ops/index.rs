//! Indexing by tensors of whole numbers. An index outside the axis is a fault of the step, never wrapped: the interpreter
//! stops there, and compiled code takes NaN (0 where the dtype is whole), which the training loop finds and explains.

use super::def::{ArgDefault, ArgKind, GradientRule, Lowering, OpDef, Sample, ShapeFault, Surface};
use super::op::Op;
use super::shape::{
    Inferred, Ty, attribute, axes_text, axis_of, check_axis, int_arg, misuse, need_index, need_number, operands, param,
    tensor, tensor_arg, wrong_rank,
};
use super::types::{Compare, DType};
use crate::dims::Dim;
use crate::graph::{Builder, TensorType};

fn f32s(shape: &[usize]) -> TensorType<usize> {
    TensorType::new(DType::F32, shape.to_vec())
}

fn indexed(op: Op<usize>, x: &[usize], index: &[usize], below: usize) -> Sample {
    Sample {
        op,
        inputs: vec![f32s(x), TensorType::new(DType::I32, index.to_vec())],
        domains: vec![(-1.0, 1.0), (0.0, below as f64)],
    }
}

fn infer_take(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Take { axis } = *op else { return misuse() };
    let [x, index] = operands(inputs)?;
    need_index(inputs, 1)?;
    if x.rank() == 0 {
        return wrong_rank(0, "at least 1");
    }
    check_axis(axis, x.rank())?;
    let mut shape = x.shape[..axis].to_vec();
    shape.extend_from_slice(&index.shape);
    shape.extend_from_slice(&x.shape[axis + 1..]);
    Ok(Ty::new(x.dtype, shape))
}

pub static TAKE: OpDef = OpDef {
    name: "take",
    doc: "`take(x, index, axis: 0)`, `x[index]`: the slices of x along the axis that the index names; the axis is \
          replaced by those of the index. An embedding is `take(weight, token)`.",
    surfaces: &[Surface {
        name: "take",
        params: &[tensor("x"), tensor("index"), param("axis", ArgKind::Int, ArgDefault::Int(0))],
        build: |args| Ok(Op::Take { axis: axis_of(&int_arg(args, 2)?, tensor_arg(args, 0)?.rank())? }),
    }],
    infer: infer_take,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Take { axis } = graph.node(node).op else { return vec![] };
        let (x, index) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let b = Builder::at(graph, node);
        let size = b.shape(x)[axis];
        vec![Some(b.op(Op::ScatterAdd { axis, size }, &[dy, index])), None]
    }),
    lowering: Lowering::View,
    flops: |_, _, _| 0,
    samples: || {
        vec![
            indexed(Op::Take { axis: 0 }, &[5], &[], 5),
            indexed(Op::Take { axis: 0 }, &[5, 3], &[2, 7], 5),
            indexed(Op::Take { axis: 1 }, &[2, 3, 4], &[5], 3),
            indexed(Op::Take { axis: 2 }, &[2, 3, 4], &[1, 1], 4),
        ]
    },
};

fn infer_scatter(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::ScatterAdd { axis, size } = op else { return misuse() };
    let [updates, index] = operands(inputs)?;
    need_number(inputs, 0)?;
    need_index(inputs, 1)?;
    if updates.rank() < axis + index.rank() {
        return wrong_rank(0, format!("at least {}", axis + index.rank()));
    }
    for i in 0..index.rank() {
        if updates.shape[axis + i] != index.shape[i] {
            return Err(ShapeFault::Sizes { left: (0, axis + i), right: (1, i) });
        }
    }
    if let Some(n) = size.number().filter(|n| *n < 0) {
        return attribute(format!("a size of {n}"));
    }
    let mut shape = updates.shape[..*axis].to_vec();
    shape.push(size.clone());
    shape.extend_from_slice(&updates.shape[axis + index.rank()..]);
    Ok(Ty::new(updates.dtype, shape))
}

pub static SCATTER_ADD: OpDef = OpDef {
    name: "scatter_add",
    doc: "`segment_sum(x, index, size, axis: 0)`: the sums of the slices of x that have the same index: slice i of \
          the result is the sum of those with index i, in order, or 0. The gradient of `take`.",
    surfaces: &[Surface {
        name: "segment_sum",
        params: &[
            tensor("x"),
            tensor("index"),
            param("size", ArgKind::Int, ArgDefault::Required),
            param("axis", ArgKind::Int, ArgDefault::Int(0)),
        ],
        build: |args| {
            let axis = axis_of(&int_arg(args, 3)?, tensor_arg(args, 0)?.rank())?;
            Ok(Op::ScatterAdd { axis, size: int_arg(args, 2)? })
        },
    }],
    infer: infer_scatter,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::ScatterAdd { axis, .. } = graph.node(node).op else { return vec![] };
        let index = graph.node(node).inputs[1];
        vec![Some(Builder::at(graph, node).op(Op::Take { axis }, &[dy, index])), None]
    }),
    lowering: Lowering::Nest,
    flops: |_, inputs, _| inputs[0].elements() as u64,
    samples: || {
        vec![
            indexed(Op::ScatterAdd { axis: 0, size: 5 }, &[3], &[], 5),
            indexed(Op::ScatterAdd { axis: 0, size: 3 }, &[7, 2], &[7], 3),
            indexed(Op::ScatterAdd { axis: 1, size: 4 }, &[2, 3, 5, 3], &[3, 5], 4),
        ]
    },
};

fn infer_pick(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Pick { axis } = *op else { return misuse() };
    let [x, index] = operands(inputs)?;
    need_index(inputs, 1)?;
    if x.rank() == 0 {
        return wrong_rank(0, "at least 1");
    }
    check_axis(axis, x.rank())?;
    if index.rank() + 1 != x.rank() {
        return wrong_rank(1, format!("{}: those of the first without axis {axis}", axes_text(x.rank() - 1)));
    }
    for other in (0..x.rank()).filter(|other| *other != axis) {
        let own = if other < axis { other } else { other - 1 };
        if x.shape[other] != index.shape[own] {
            return Err(ShapeFault::Sizes { left: (0, other), right: (1, own) });
        }
    }
    Ok(Ty::new(x.dtype, index.shape.clone()))
}

pub static PICK: OpDef = OpDef {
    name: "pick",
    doc: "`gather(x, index, axis: -1)`: along the axis, the one element that the index names; index and result have \
          the shape of x without the axis.",
    surfaces: &[Surface {
        name: "gather",
        params: &[tensor("x"), tensor("index"), param("axis", ArgKind::Int, ArgDefault::Int(-1))],
        build: |args| Ok(Op::Pick { axis: axis_of(&int_arg(args, 2)?, tensor_arg(args, 0)?.rank())? }),
    }],
    infer: infer_pick,
    // Zero but where the position along the axis is the index.
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Pick { axis } = graph.node(node).op else { return vec![] };
        let (x, index) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let b = Builder::at(graph, node);
        let shape = b.shape(x);
        let others: Vec<usize> = (0..shape.len()).filter(|other| *other != axis).collect();
        let place = b.cast(b.op(Op::Iota { size: shape[axis] }, &[]), b.ty(index).dtype);
        let here = b.compare(Compare::Eq, b.broadcast(place, &shape, &[axis]), b.broadcast(index, &shape, &others));
        vec![Some(b.keep_where(here, b.broadcast(dy, &shape, &others))), None]
    }),
    lowering: Lowering::View,
    flops: |_, _, _| 0,
    samples: || {
        vec![
            indexed(Op::Pick { axis: 0 }, &[5], &[], 5),
            indexed(Op::Pick { axis: 1 }, &[3, 7], &[3], 7),
            indexed(Op::Pick { axis: 1 }, &[2, 3, 5], &[2, 5], 3),
        ]
    },
};

fn infer_update(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::UpdateSlice { axis } = *op else { return misuse() };
    let [x, rows, start] = operands(inputs)?;
    need_index(inputs, 2)?;
    check_axis(axis, x.rank())?;
    if start.rank() != 0 {
        return wrong_rank(2, "0");
    }
    if rows.rank() != x.rank() {
        return wrong_rank(1, axes_text(x.rank()));
    }
    for other in (0..x.rank()).filter(|other| *other != axis) {
        if x.shape[other] != rows.shape[other] {
            return Err(ShapeFault::Sizes { left: (0, other), right: (1, other) });
        }
    }
    if x.dtype != rows.dtype {
        return Err(ShapeFault::DType { operand: 1, expected: "the dtype of the first".into() });
    }
    if let (Some(all), Some(some)) = (x.shape[axis].number(), rows.shape[axis].number())
        && some > all
    {
        return attribute(format!("{some} rows in place of {all}"));
    }
    Ok(x.clone())
}

/// Programs have no name for it: what a task that generates keeps from token to token is written by it.
pub static UPDATE_SLICE: OpDef = OpDef {
    name: "update_slice",
    doc: "x with the elements from `start` on along the axis replaced.",
    surfaces: &[],
    infer: infer_update,
    gradient: GradientRule::None("it only keeps what a task that generates has computed"),
    lowering: Lowering::Nest,
    flops: |_, inputs, _| inputs[1].elements() as u64,
    samples: || {
        let one = |axis: usize, x: &[usize], rows: &[usize]| Sample {
            op: Op::UpdateSlice { axis },
            inputs: vec![f32s(x), f32s(rows), TensorType::new(DType::I32, vec![])],
            domains: vec![(-1.0, 1.0), (-1.0, 1.0), (0.0, (x[axis] + 1 - rows[axis]) as f64)],
        };
        vec![
            one(0, &[5], &[1]),
            one(0, &[5, 3], &[5, 3]),
            one(1, &[2, 7, 3], &[2, 4, 3]),
            one(2, &[2, 3, 4], &[2, 3, 1]),
        ]
    },
};
