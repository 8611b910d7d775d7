//! Convolution over any number of spatial axes, and its two gradients. All three are linear in both operands, so that
//! the gradient of each is written with the other two.

use super::def::{
    ArgDefault, ArgKind, ArgValue, GradientRule, Lowering, OpDef, ParamSpec, Sample, ShapeFault, Surface,
};
use super::op::{Op, Window};
use super::shape::{
    Inferred, Ty, attribute, int_arg, ints_for, misuse, need_float, need_same_dtype, operands, param, tensor,
    tensor_arg, wrong_rank,
};
use super::types::DType;
use super::window::{all_places, from_args, places};
use crate::dims::Dim;
use crate::graph::{Builder, TensorType};

const AXES_NAMES: [&str; 4] = ["", "length", "height, width", "depth, height, width"];

fn spatial_names(axes: usize) -> &'static str {
    AXES_NAMES.get(axes).unwrap_or(&"spatial axes")
}

/// Both operands are floats of one dtype with two axes more than the window.
fn check_operands(inputs: &[Ty], axes: usize, expected: [&str; 2]) -> Result<(), ShapeFault> {
    for i in 0..2 {
        need_float(inputs, i)?;
        if inputs[i].rank() != axes + 2 {
            return wrong_rank(i, format!("{}: [{}, {}]", axes + 2, expected[i], spatial_names(axes)));
        }
    }
    need_same_dtype(inputs, 1, 0)
}

fn check_kernel(weight: &Ty, window: &Window<Dim>) -> Result<(), ShapeFault> {
    for (i, size) in window.kernel.iter().enumerate() {
        if weight.shape[2 + i] != *size {
            let why = format!("the weight has size {} where the kernel is {size}", weight.shape[2 + i]);
            return Err(ShapeFault::Extent { operand: 1, axis: 2 + i, why });
        }
    }
    Ok(())
}

fn check_groups(outputs: &Dim, groups: &Dim) -> Result<(), ShapeFault> {
    match (outputs.number(), groups.number()) {
        (_, Some(g)) if g < 1 => attribute(format!("{g} groups")),
        (Some(o), Some(g)) if o % g != 0 => attribute(format!("{o} output channels do not divide by {g} groups")),
        _ => Ok(()),
    }
}

fn infer_conv(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Conv { window, groups } = op else { return misuse() };
    let [x, weight] = operands(inputs)?;
    let axes = window.kernel.len();
    check_operands(inputs, axes, ["batch, channels", "outputs, channels / groups"])?;
    check_groups(&weight.shape[0], groups)?;
    if x.shape[1] != weight.shape[1].mul(groups) {
        if groups.number() == Some(1) {
            return Err(ShapeFault::Sizes { left: (0, 1), right: (1, 1) });
        }
        let why = format!("{} channels, where {groups} groups of {} are wanted", x.shape[1], weight.shape[1]);
        return Err(ShapeFault::Extent { operand: 0, axis: 1, why });
    }
    let mut shape = vec![x.shape[0].clone(), weight.shape[0].clone()];
    shape.extend(all_places(&x.shape[2..], window, 0, 2)?);
    check_kernel(weight, window)?;
    Ok(Ty::new(x.dtype, shape))
}

/// The spatial sizes of `dy` are those that the convolution of `sizes` has.
fn check_places(dy: &Ty, operand: usize, sizes: &[Dim], window: &Window<Dim>) -> Result<(), ShapeFault> {
    for (i, size) in sizes.iter().enumerate() {
        if dy.shape[2 + i].number().is_some_and(|n| n < 1) {
            return Err(ShapeFault::Extent { operand, axis: 2 + i, why: "there are no places".into() });
        }
        let want = places(size, window, i);
        if dy.shape[2 + i] != want {
            let why = format!("the size {} is not the {want} places of the window over {size}", dy.shape[2 + i]);
            return Err(ShapeFault::Extent { operand, axis: 2 + i, why });
        }
    }
    Ok(())
}

fn infer_input_grad(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::ConvInputGrad { window, groups, size } = op else { return misuse() };
    let [dy, weight] = operands(inputs)?;
    let axes = window.kernel.len();
    super::window::check(window)?;
    check_operands(inputs, axes, ["batch, channels", "channels, outputs / groups"])?;
    if size.len() != axes {
        return attribute(format!("{} sizes for {axes} axes", size.len()));
    }
    check_groups(&weight.shape[0], groups)?;
    if dy.shape[1] != weight.shape[0] {
        return Err(ShapeFault::Sizes { left: (0, 1), right: (1, 0) });
    }
    check_kernel(weight, window)?;
    check_places(dy, 0, size, window)?;
    let mut shape = vec![dy.shape[0].clone(), weight.shape[1].mul(groups)];
    shape.extend_from_slice(size);
    Ok(Ty::new(dy.dtype, shape))
}

fn infer_weight_grad(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::ConvWeightGrad { window, groups } = op else { return misuse() };
    let [x, dy] = operands(inputs)?;
    let axes = window.kernel.len();
    super::window::check(window)?;
    check_operands(inputs, axes, ["batch, channels", "batch, outputs"])?;
    if x.shape[0] != dy.shape[0] {
        return Err(ShapeFault::Sizes { left: (0, 0), right: (1, 0) });
    }
    check_groups(&dy.shape[1], groups)?;
    check_places(dy, 1, &x.shape[2..], window)?;
    let Some(channels) = x.shape[1].exact_div(groups) else {
        return attribute(format!("{} channels do not divide by {groups} groups", x.shape[1]));
    };
    let mut shape = vec![dy.shape[1].clone(), channels];
    shape.extend_from_slice(&window.kernel);
    Ok(Ty::new(x.dtype, shape))
}

fn conv(args: &[ArgValue], axes: usize) -> Result<Op<Dim>, ShapeFault> {
    let weight = tensor_arg(args, 1)?;
    if weight.rank() != axes + 2 {
        return wrong_rank(1, format!("{}: [outputs, channels / groups, {}]", axes + 2, spatial_names(axes)));
    }
    let window = from_args(weight.shape[2..].to_vec(), vec![Dim::from(1i64); axes], args, [2, 3, 4])?;
    Ok(Op::Conv { window, groups: int_arg(args, 5)? })
}

/// The transposed convolution is the gradient of a convolution by its operand: size
/// (n - 1) stride - low - high + dilation (kernel - 1) + output_padding + 1.
fn conv_transpose(args: &[ArgValue], axes: usize) -> Result<Op<Dim>, ShapeFault> {
    let (x, weight) = (tensor_arg(args, 0)?, tensor_arg(args, 1)?);
    for (i, ty) in [x, weight].into_iter().enumerate() {
        if ty.rank() != axes + 2 {
            let first = ["batch, channels", "channels, outputs / groups"][i];
            return wrong_rank(i, format!("{}: [{first}, {}]", axes + 2, spatial_names(axes)));
        }
    }
    let one = Dim::from(1i64);
    let window = from_args(weight.shape[2..].to_vec(), vec![one.clone(); axes], args, [2, 3, 4])?;
    let extra = ints_for(args, 6, axes)?.unwrap_or_else(|| vec![Dim::default(); axes]);
    let size = (0..axes)
        .map(|i| {
            let reach = window.dilation[i].mul(&window.kernel[i].sub(&one));
            let padding = window.pad_low[i].add(&window.pad_high[i]);
            x.shape[2 + i].sub(&one).mul(&window.stride[i]).add(&reach).sub(&padding).add(&extra[i]).add(&one)
        })
        .collect();
    Ok(Op::ConvInputGrad { window, groups: int_arg(args, 5)?, size })
}

const PADDING: ArgKind = ArgKind::Words(&["same", "valid"]);

const CONV: &[ParamSpec] = &[
    tensor("x"),
    tensor("weight"),
    param("stride", ArgKind::Ints, ArgDefault::Int(1)),
    param("padding", PADDING, ArgDefault::Int(0)),
    param("dilation", ArgKind::Ints, ArgDefault::Int(1)),
    param("groups", ArgKind::Int, ArgDefault::Int(1)),
];

const CONV_TRANSPOSE: &[ParamSpec] = &[
    tensor("x"),
    tensor("weight"),
    param("stride", ArgKind::Ints, ArgDefault::Int(1)),
    param("padding", ArgKind::Ints, ArgDefault::Int(0)),
    param("dilation", ArgKind::Ints, ArgDefault::Int(1)),
    param("groups", ArgKind::Int, ArgDefault::Int(1)),
    param("output_padding", ArgKind::Ints, ArgDefault::Int(0)),
];

/// Multiplications and additions: each element of `dy` meets one kernel of its group.
fn flops(dy: &TensorType<usize>, weight: &[usize]) -> u64 {
    2 * dy.elements() as u64 * weight[1..].iter().product::<usize>() as u64
}

fn window(kernel: &[usize], stride: &[usize], dilation: &[usize], low: &[usize], high: &[usize]) -> Window<usize> {
    Window {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        dilation: dilation.to_vec(),
        pad_low: low.to_vec(),
        pad_high: high.to_vec(),
    }
}

/// Window, groups, and the shapes of x, weight and dy.
type Case = (Window<usize>, usize, [Vec<usize>; 3]);

fn cases() -> Vec<Case> {
    vec![
        (window(&[1], &[1], &[1], &[0], &[0]), 1, [vec![1, 1, 1], vec![1, 1, 1], vec![1, 1, 1]]),
        (window(&[3], &[2], &[1], &[1], &[0]), 1, [vec![2, 3, 8], vec![5, 3, 3], vec![2, 5, 4]]),
        (
            window(&[3, 3], &[1, 1], &[1, 1], &[1, 1], &[1, 1]),
            1,
            [vec![1, 2, 5, 4], vec![3, 2, 3, 3], vec![1, 3, 5, 4]],
        ),
        (
            window(&[2, 3], &[2, 3], &[2, 1], &[0, 2], &[1, 1]),
            2,
            [vec![2, 4, 7, 6], vec![6, 2, 2, 3], vec![2, 6, 3, 3]],
        ),
        (
            window(&[5, 1], &[1, 2], &[1, 1], &[2, 0], &[2, 0]),
            3,
            [vec![1, 3, 4, 3], vec![3, 1, 5, 1], vec![1, 3, 4, 2]],
        ),
    ]
}

fn sample(op: Op<usize>, first: &[usize], second: &[usize]) -> Sample {
    let f32s = |shape: &[usize]| TensorType::new(DType::F32, shape.to_vec());
    Sample { op, inputs: vec![f32s(first), f32s(second)], domains: vec![(-1.0, 1.0); 2] }
}

pub static CONV_OP: OpDef = OpDef {
    name: "conv",
    doc: "`conv2d(x, weight, stride: 1, padding: 0, dilation: 1, groups: 1)` of x[b, c, h, w] and weight[o, c / \
          groups, kh, kw]: y[b, o, i, j] = sum over c, p, q of x[b, c, i stride + p dilation - pad, j stride + q \
          dilation - pad] weight[o, c, p, q], 0 outside x; `conv1d` likewise. Along each axis there are floor((n + \
          low + high - dilation (k - 1) - 1) / stride) + 1 places. `padding: same` pads dilation (k - 1) in all, \
          half of it, rounded down, before.",
    surfaces: &[
        Surface { name: "conv1d", params: CONV, build: |args| conv(args, 1) },
        Surface { name: "conv2d", params: CONV, build: |args| conv(args, 2) },
    ],
    infer: infer_conv,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::Conv { window, groups } = graph.node(node).op.clone() else { return vec![] };
        let (x, weight) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let b = Builder::at(graph, node);
        let size = b.shape(x)[2..].to_vec();
        let by_x = b.op(Op::ConvInputGrad { window: window.clone(), groups, size }, &[dy, weight]);
        vec![Some(by_x), Some(b.op(Op::ConvWeightGrad { window, groups }, &[x, dy]))]
    }),
    lowering: Lowering::Kernel,
    flops: |_, inputs, ty| flops(ty, &inputs[1].shape),
    samples: || {
        let to_sample = |(window, groups, [x, weight, _]): Case| sample(Op::Conv { window, groups }, &x, &weight);
        cases().into_iter().map(to_sample).collect()
    },
};

pub static CONV_INPUT_GRAD: OpDef = OpDef {
    name: "conv_input_grad",
    doc: "`conv_transpose2d(x, weight, stride: 1, padding: 0, dilation: 1, groups: 1, output_padding: 0)` of x[b, c, \
          h, w] and weight[c, o / groups, kh, kw]: each element of x adds its multiple of the kernel to the result: \
          the gradient of `conv2d` by its operand. The size is (n - 1) stride - 2 padding + dilation (k - 1) + \
          output_padding + 1.",
    surfaces: &[
        Surface { name: "conv_transpose1d", params: CONV_TRANSPOSE, build: |args| conv_transpose(args, 1) },
        Surface { name: "conv_transpose2d", params: CONV_TRANSPOSE, build: |args| conv_transpose(args, 2) },
    ],
    infer: infer_input_grad,
    gradient: GradientRule::Rule(|graph, node, g| {
        let Op::ConvInputGrad { window, groups, .. } = graph.node(node).op.clone() else { return vec![] };
        let (dy, weight) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let b = Builder::at(graph, node);
        let by_dy = b.op(Op::Conv { window: window.clone(), groups }, &[g, weight]);
        vec![Some(by_dy), Some(b.op(Op::ConvWeightGrad { window, groups }, &[g, dy]))]
    }),
    lowering: Lowering::Kernel,
    flops: |_, inputs, _| flops(&inputs[0], &inputs[1].shape),
    samples: || {
        let to_sample = |(window, groups, [x, weight, dy]): Case| {
            sample(Op::ConvInputGrad { window, groups, size: x[2..].to_vec() }, &dy, &weight)
        };
        cases().into_iter().map(to_sample).collect()
    },
};

pub static CONV_WEIGHT_GRAD: OpDef = OpDef {
    name: "conv_weight_grad",
    doc: "The gradient of a convolution by its weight: dw[o, c, p] = sum over b, i of dy[b, o, i] x[b, c, i stride + \
          p dilation - pad].",
    surfaces: &[],
    infer: infer_weight_grad,
    gradient: GradientRule::Rule(|graph, node, g| {
        let Op::ConvWeightGrad { window, groups } = graph.node(node).op.clone() else { return vec![] };
        let (x, dy) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let b = Builder::at(graph, node);
        let size = b.shape(x)[2..].to_vec();
        let by_x = b.op(Op::ConvInputGrad { window: window.clone(), groups, size }, &[dy, g]);
        vec![Some(by_x), Some(b.op(Op::Conv { window, groups }, &[x, g]))]
    }),
    lowering: Lowering::Kernel,
    flops: |_, inputs, ty| flops(&inputs[1], &ty.shape),
    samples: || {
        let to_sample = |(window, groups, [x, _, dy]): Case| sample(Op::ConvWeightGrad { window, groups }, &x, &dy);
        cases().into_iter().map(to_sample).collect()
    },
};
