//! Movement: operations that only say where elements are. They compute nothing.

use super::def::{
    ArgDefault, ArgKind, ArgValue, GradientRule, Lowering, OpDef, ParamSpec, Sample, ShapeFault, Surface,
};
use super::op::Op;
use super::shape::{
    Inferred, Ty, attribute, axes_arg, axes_text, axis_of, check_axis, int_arg, ints_arg, misuse, need_same_dtype,
    operands, param, product, sizes_agree, tensor, tensor_arg, wrong_rank,
};
use super::types::DType;
use crate::dims::Dim;
use crate::graph::{Builder, NodeId, TensorType};

fn f32s(shape: &[usize]) -> TensorType<usize> {
    TensorType::new(DType::F32, shape.to_vec())
}

fn sample(op: Op<usize>, shape: &[usize]) -> Sample {
    Sample { op, inputs: vec![f32s(shape)], domains: vec![(-1.0, 1.0)] }
}

fn no_flops(_: &Op<usize>, _: &[TensorType<usize>], _: &TensorType<usize>) -> u64 {
    0
}

fn is_one(d: &Dim) -> bool {
    d.number() == Some(1)
}

fn not_negative(sizes: &[Dim]) -> Result<(), ShapeFault> {
    match sizes.iter().find(|d| d.number().is_some_and(|n| n < 0)) {
        Some(d) => attribute(format!("a size of {d}")),
        None => Ok(()),
    }
}

// ---- broadcast ----

fn infer_broadcast(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Broadcast { shape, axes } = op else { return misuse() };
    let [x] = operands(inputs)?;
    if axes.len() != x.rank() {
        return wrong_rank(0, axes_text(axes.len()));
    }
    not_negative(shape)?;
    if axes.windows(2).any(|pair| pair[0] >= pair[1]) {
        return attribute("the axes of a broadcast must ascend");
    }
    for (i, &axis) in axes.iter().enumerate() {
        check_axis(axis, shape.len())?;
        if x.shape[i] != shape[axis] && !is_one(&x.shape[i]) {
            return Err(ShapeFault::Extent {
                operand: 0,
                axis: i,
                why: format!("the size {} does not stretch to {}", x.shape[i], shape[axis]),
            });
        }
    }
    Ok(Ty::new(x.dtype, shape.clone()))
}

/// `x` in `shape`, trailing axes aligned; -1 keeps a size.
fn expand(args: &[ArgValue]) -> Result<Op<Dim>, ShapeFault> {
    let x = tensor_arg(args, 0)?;
    let mut shape = ints_arg(args, 1)?.unwrap_or_default();
    let Some(first) = shape.len().checked_sub(x.rank()) else {
        return wrong_rank(0, format!("at most {}", shape.len()));
    };
    for (i, size) in x.shape.iter().enumerate() {
        if shape[first + i].number() == Some(-1) {
            shape[first + i] = size.clone();
        }
    }
    Ok(Op::Broadcast { shape, axes: (first..first + x.rank()).collect() })
}

const X_SHAPE: &[ParamSpec] = &[tensor("x"), param("shape", ArgKind::Shape, ArgDefault::Required)];

pub static BROADCAST: OpDef = OpDef {
    name: "broadcast",
    doc: "`expand(x, shape)`: x repeated along new leading axes and along axes of size 1; -1 keeps a size.",
    surfaces: &[
        Surface { name: "expand", params: X_SHAPE, build: expand },
        Surface { name: "broadcast_to", params: X_SHAPE, build: expand },
    ],
    infer: infer_broadcast,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Broadcast { shape, axes } = graph.node(node).op.clone() else { return vec![] };
        let x = graph.node(node).inputs[0];
        let b = Builder::at(graph, node);
        let own = b.shape(x);
        let kept = |axis: &usize| axes.iter().position(|a| a == axis).is_some_and(|i| own[i] == shape[*axis]);
        let gone: Vec<usize> = (0..shape.len()).filter(|axis| !kept(axis)).collect();
        let sum = b.sum(dy, &gone);
        vec![Some(b.reshape(sum, &own))]
    }),
    lowering: Lowering::View,
    flops: no_flops,
    samples: || {
        vec![
            sample(Op::Broadcast { shape: vec![3, 5], axes: vec![] }, &[]),
            sample(Op::Broadcast { shape: vec![2, 3, 5], axes: vec![0, 2] }, &[2, 5]),
            sample(Op::Broadcast { shape: vec![4, 3], axes: vec![0, 1] }, &[1, 3]),
            sample(Op::Broadcast { shape: vec![4, 7, 1], axes: vec![1, 2] }, &[1, 1]),
        ]
    },
};

// ---- transpose ----

fn infer_transpose(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Transpose { perm } = op else { return misuse() };
    let [x] = operands(inputs)?;
    if perm.len() != x.rank() {
        return wrong_rank(0, axes_text(perm.len()));
    }
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted.iter().enumerate().any(|(i, axis)| i != *axis) {
        return attribute("each axis must be named once");
    }
    Ok(Ty::new(x.dtype, perm.iter().map(|axis| x.shape[*axis].clone()).collect()))
}

pub static TRANSPOSE: OpDef = OpDef {
    name: "transpose",
    doc: "`transpose(x)`: the last two axes swapped; `permute(x, axes)`: axis i of the result is axis axes[i] of x.",
    surfaces: &[
        Surface {
            name: "transpose",
            params: &[tensor("x")],
            build: |args| {
                let rank = tensor_arg(args, 0)?.rank();
                if rank < 2 {
                    return wrong_rank(0, "at least 2");
                }
                let mut perm: Vec<usize> = (0..rank).collect();
                perm.swap(rank - 2, rank - 1);
                Ok(Op::Transpose { perm })
            },
        },
        Surface {
            name: "permute",
            params: &[tensor("x"), param("axes", ArgKind::Ints, ArgDefault::Required)],
            build: |args| {
                let rank = tensor_arg(args, 0)?.rank();
                let axes = ints_arg(args, 1)?.unwrap_or_default();
                if axes.len() != rank {
                    return attribute(format!("{} named of a tensor with {}", axes_text(axes.len()), axes_text(rank)));
                }
                Ok(Op::Transpose { perm: axes.iter().map(|d| axis_of(d, rank)).collect::<Result<_, _>>()? })
            },
        },
    ],
    infer: infer_transpose,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Transpose { perm } = graph.node(node).op.clone() else { return vec![] };
        let mut inverse = vec![0; perm.len()];
        for (i, axis) in perm.iter().enumerate() {
            inverse[*axis] = i;
        }
        vec![Some(Builder::at(graph, node).transpose(dy, &inverse))]
    }),
    lowering: Lowering::View,
    flops: no_flops,
    samples: || {
        vec![
            sample(Op::Transpose { perm: vec![] }, &[]),
            sample(Op::Transpose { perm: vec![1, 0] }, &[3, 5]),
            sample(Op::Transpose { perm: vec![2, 0, 3, 1] }, &[2, 3, 1, 5]),
        ]
    },
};

// ---- reshape ----

fn infer_reshape(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Reshape { shape } = op else { return misuse() };
    let [x] = operands(inputs)?;
    not_negative(shape)?;
    let (have, want) = (product(&x.shape), product(shape));
    if have != want {
        return attribute(format!("{have} elements do not fill a shape of {want}"));
    }
    Ok(Ty::new(x.dtype, shape.clone()))
}

fn reshape(args: &[ArgValue]) -> Result<Op<Dim>, ShapeFault> {
    let x = tensor_arg(args, 0)?;
    let mut shape = ints_arg(args, 1)?.unwrap_or_default();
    let open: Vec<usize> = (0..shape.len()).filter(|i| shape[*i].number() == Some(-1)).collect();
    match open[..] {
        [] => {}
        [open] => {
            shape[open] = Dim::from(1i64);
            let (have, rest) = (product(&x.shape), product(&shape));
            match have.exact_div(&rest) {
                Some(size) => shape[open] = size,
                None => return attribute(format!("{have} elements do not divide by {rest}")),
            }
        }
        _ => return attribute("only one size may be left open with -1"),
    }
    Ok(Op::Reshape { shape })
}

fn flatten(args: &[ArgValue]) -> Result<Op<Dim>, ShapeFault> {
    let x = tensor_arg(args, 0)?;
    let Some(from) = int_arg(args, 1)?.number() else {
        return attribute("an axis must be a number that is known when the program is checked");
    };
    let counted = if from < 0 { from + x.rank() as i64 } else { from };
    if !(0..=x.rank() as i64).contains(&counted) {
        return attribute(format!("axis {from} of a tensor with {}", axes_text(x.rank())));
    }
    let mut shape = x.shape[..counted as usize].to_vec();
    shape.push(product(&x.shape[counted as usize..]));
    Ok(Op::Reshape { shape })
}

fn squeeze(args: &[ArgValue]) -> Result<Op<Dim>, ShapeFault> {
    let x = tensor_arg(args, 0)?;
    let axes = axes_arg(args, 1, x.rank())?;
    let mut shape = x.shape.clone();
    for &axis in axes.iter().rev() {
        if !is_one(&shape[axis]) {
            return Err(ShapeFault::Extent { operand: 0, axis, why: format!("the size {} is not 1", shape[axis]) });
        }
        shape.remove(axis);
    }
    Ok(Op::Reshape { shape })
}

fn unsqueeze(args: &[ArgValue]) -> Result<Op<Dim>, ShapeFault> {
    let x = tensor_arg(args, 0)?;
    let written = ints_arg(args, 1)?.unwrap_or_default();
    let rank = x.rank() + written.len();
    let axes = axes_arg(&[ArgValue::Ints(written)], 0, rank)?;
    let mut shape = x.shape.clone();
    for axis in axes {
        shape.insert(axis, Dim::from(1i64));
    }
    Ok(Op::Reshape { shape })
}

const X_AXIS: &[ParamSpec] = &[tensor("x"), param("axis", ArgKind::Ints, ArgDefault::Required)];

pub static RESHAPE: OpDef = OpDef {
    name: "reshape",
    doc: "`reshape(x, shape)`: the same elements in the same order; one size may be -1. `flatten(x, from: 1)` makes \
          one axis of those from `from` on, `squeeze(x, axis)` drops axes of size 1, `unsqueeze(x, axis)` adds them.",
    surfaces: &[
        Surface { name: "reshape", params: X_SHAPE, build: reshape },
        Surface {
            name: "flatten",
            params: &[tensor("x"), param("from", ArgKind::Int, ArgDefault::Int(1))],
            build: flatten,
        },
        Surface { name: "squeeze", params: X_AXIS, build: squeeze },
        Surface { name: "unsqueeze", params: X_AXIS, build: unsqueeze },
    ],
    infer: infer_reshape,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let x = graph.node(node).inputs[0];
        let b = Builder::at(graph, node);
        let shape = b.shape(x);
        vec![Some(b.reshape(dy, &shape))]
    }),
    lowering: Lowering::View,
    flops: no_flops,
    samples: || {
        vec![
            sample(Op::Reshape { shape: vec![1, 1] }, &[]),
            sample(Op::Reshape { shape: vec![5, 3] }, &[3, 5]),
            sample(Op::Reshape { shape: vec![2, 15] }, &[2, 3, 1, 5]),
            sample(Op::Reshape { shape: vec![3, 1, 7] }, &[21]),
        ]
    },
};

// ---- slice ----

fn infer_slice(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Slice { start, size, step } = op else { return misuse() };
    let [x] = operands(inputs)?;
    if [start.len(), size.len(), step.len()].iter().any(|n| *n != x.rank()) {
        return wrong_rank(0, axes_text(start.len()));
    }
    not_negative(size)?;
    for axis in 0..x.rank() {
        if step[axis] == 0 {
            return attribute("a step of 0");
        }
        if size[axis].number() == Some(0) {
            continue;
        }
        // The first and the last element taken must lie inside.
        let last = start[axis].add(&size[axis].sub(&Dim::from(1i64)).scale(step[axis]));
        for index in [&start[axis], &last] {
            let over = index.sub(&x.shape[axis]).number().is_some_and(|n| n >= 0);
            if over || index.number().is_some_and(|n| n < 0) {
                let why = format!("index {index} is outside 0..{}", x.shape[axis]);
                return Err(ShapeFault::Extent { operand: 0, axis, why });
            }
        }
    }
    Ok(Ty::new(x.dtype, size.clone()))
}

/// Puts `dy` back to where the slice took it from, zeros elsewhere.
fn unslice(b: &Builder, dy: NodeId, start: &[usize], step: &[i64], whole: &[usize]) -> NodeId {
    let (mut dy, mut start) = (dy, start.to_vec());
    let size = b.shape(dy);
    if size.contains(&0) {
        return b.full(0.0, &TensorType::new(b.ty(dy).dtype, whole.to_vec()));
    }
    // Walk forwards: a slice that walks backwards ends where the other begins.
    if step.iter().any(|s| *s < 0) {
        let mut turn = Op::Slice { start: vec![0; size.len()], size: size.clone(), step: vec![1; size.len()] };
        if let Op::Slice { start: from, step: by, .. } = &mut turn {
            for axis in (0..size.len()).filter(|axis| step[*axis] < 0) {
                (from[axis], by[axis]) = (size[axis] - 1, -1);
                start[axis] -= (size[axis] - 1) * step[axis].unsigned_abs() as usize;
            }
        }
        dy = b.op(turn, &[dy]);
    }
    // Spread: an extra axis of `step` elements of which only the first is not 0, then merged and cut to length.
    let spread: Vec<usize> = size.iter().zip(step).map(|(n, s)| (n - 1) * s.unsigned_abs() as usize + 1).collect();
    if spread != size {
        let factors: Vec<usize> = step.iter().map(|s| s.unsigned_abs() as usize).collect();
        let pairs: Vec<usize> = size.iter().flat_map(|n| [*n, 1]).collect();
        let high: Vec<usize> = factors.iter().flat_map(|f| [0, f - 1]).collect();
        let merged: Vec<usize> = size.iter().zip(&factors).map(|(n, f)| n * f).collect();
        dy = b.pad(b.reshape(dy, &pairs), &vec![0; high.len()], &high);
        dy = b.window(b.reshape(dy, &merged), &vec![0; size.len()], &spread);
    }
    let high: Vec<usize> = (0..whole.len()).map(|axis| whole[axis] - start[axis] - spread[axis]).collect();
    b.pad(dy, &start, &high)
}

pub static SLICE: OpDef = OpDef {
    name: "slice",
    doc: "`x[a:b]`: elements start, start + step, … of each axis; a negative step walks backwards.",
    surfaces: &[],
    infer: infer_slice,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Slice { start, step, .. } = graph.node(node).op.clone() else { return vec![] };
        let x = graph.node(node).inputs[0];
        let b = Builder::at(graph, node);
        let whole = b.shape(x);
        vec![Some(unslice(&b, dy, &start, &step, &whole))]
    }),
    lowering: Lowering::View,
    flops: no_flops,
    samples: || {
        let slice = |start: &[usize], size: &[usize], step: &[i64], shape: &[usize]| {
            sample(Op::Slice { start: start.to_vec(), size: size.to_vec(), step: step.to_vec() }, shape)
        };
        vec![
            slice(&[], &[], &[], &[]),
            slice(&[2], &[3], &[1], &[7]),
            slice(&[1, 0], &[3, 2], &[2, 1], &[7, 2]),
            slice(&[6, 4], &[3, 5], &[-3, -1], &[7, 5]),
            slice(&[1, 8, 0], &[1, 3, 2], &[1, -2, 4], &[2, 9, 6]),
        ]
    },
};

// ---- pad ----

fn infer_pad(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Pad { low, high, .. } = op else { return misuse() };
    let [x] = operands(inputs)?;
    if low.len() != x.rank() || high.len() != x.rank() {
        return wrong_rank(0, axes_text(low.len()));
    }
    not_negative(low)?;
    not_negative(high)?;
    let shape = (0..x.rank()).map(|axis| x.shape[axis].add(&low[axis]).add(&high[axis])).collect();
    Ok(Ty::new(x.dtype, shape))
}

pub static PAD: OpDef = OpDef {
    name: "pad",
    doc: "`pad(x, low, high, value: 0)`: for each axis, `low` elements before and `high` after it.",
    surfaces: &[Surface {
        name: "pad",
        params: &[
            tensor("x"),
            param("low", ArgKind::Ints, ArgDefault::Required),
            param("high", ArgKind::Ints, ArgDefault::Required),
            param("value", ArgKind::Float, ArgDefault::Float(0.0)),
        ],
        build: |args| {
            let value = match args.get(3) {
                Some(ArgValue::Float(value)) => *value,
                Some(ArgValue::Int(d)) => d.number().unwrap_or(0) as f64,
                _ => 0.0,
            };
            let (low, high) = (ints_arg(args, 1)?.unwrap_or_default(), ints_arg(args, 2)?.unwrap_or_default());
            let rank = tensor_arg(args, 0)?.rank();
            if low.len() != rank || high.len() != rank {
                return attribute(format!("one number for each axis wanted, of {}", axes_text(rank)));
            }
            Ok(Op::Pad { low, high, value })
        },
    }],
    infer: infer_pad,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Pad { low, .. } = graph.node(node).op.clone() else { return vec![] };
        let x = graph.node(node).inputs[0];
        let b = Builder::at(graph, node);
        let size = b.shape(x);
        vec![Some(b.window(dy, &low, &size))]
    }),
    lowering: Lowering::View,
    flops: no_flops,
    samples: || {
        vec![
            sample(Op::Pad { low: vec![2], high: vec![1], value: 0.0 }, &[3]),
            sample(Op::Pad { low: vec![0, 1, 3], high: vec![2, 0, 0], value: -1.5 }, &[2, 3, 1]),
        ]
    },
};

// ---- concat ----

fn infer_concat(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Concat { axis } = *op else { return misuse() };
    let Some(first) = inputs.first() else { return attribute("nothing to concatenate") };
    check_axis(axis, first.rank())?;
    let mut shape = first.shape.clone();
    for (i, ty) in inputs.iter().enumerate().skip(1) {
        need_same_dtype(inputs, i, 0)?;
        if ty.rank() != first.rank() {
            return wrong_rank(i, format!("{}, like the first", axes_text(first.rank())));
        }
        for other in (0..ty.rank()).filter(|other| *other != axis) {
            sizes_agree(inputs, (0, other), (i, other))?;
        }
        shape[axis] = shape[axis].add(&ty.shape[axis]);
    }
    Ok(Ty::new(first.dtype, shape))
}

pub static CONCAT: OpDef = OpDef {
    name: "concat",
    doc: "`concat([a, b, …], axis)`: all of them, one after the other along the axis.",
    surfaces: &[Surface {
        name: "concat",
        params: &[
            param("tensors", ArgKind::Tensors, ArgDefault::Required),
            param("axis", ArgKind::Int, ArgDefault::Required),
        ],
        build: |args| match args.first() {
            Some(ArgValue::Tensors(types)) if !types.is_empty() => {
                Ok(Op::Concat { axis: axis_of(&int_arg(args, 1)?, types[0].rank())? })
            }
            Some(ArgValue::Tensors(_)) => attribute("nothing to concatenate"),
            _ => attribute("argument 1 must be a list of tensors"),
        },
    }],
    infer: infer_concat,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Concat { axis } = graph.node(node).op else { return vec![] };
        let inputs = graph.node(node).inputs.clone();
        let b = Builder::at(graph, node);
        let mut start = vec![0; b.shape(node).len()];
        let mut gradients = Vec::new();
        for x in inputs {
            let size = b.shape(x);
            gradients.push(Some(b.window(dy, &start, &size)));
            start[axis] += size[axis];
        }
        gradients
    }),
    lowering: Lowering::View,
    flops: no_flops,
    samples: || {
        vec![
            sample(Op::Concat { axis: 0 }, &[3]),
            Sample {
                op: Op::Concat { axis: 1 },
                inputs: vec![f32s(&[2, 3, 5]), f32s(&[2, 1, 5]), f32s(&[2, 4, 5])],
                domains: vec![(-1.0, 1.0); 3],
            },
        ]
    },
};
