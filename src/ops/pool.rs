//! Pooling over the last axes. The mean is the sum divided by a count, written in the language.

use super::def::{
    ArgDefault, ArgKind, ArgValue, GradientRule, Lowering, OpDef, ParamSpec, Sample, ShapeFault, Surface,
};
use super::op::{Op, Window};
use super::shape::{
    Inferred, Ty, attribute, ints_for, misuse, need_float, operands, param, tensor, tensor_arg, wrong_rank,
};
use super::types::DType;
use super::window::{all_places, from_args, places};
use crate::dims::Dim;
use crate::graph::{Builder, TensorType};

/// The shape of a pooled operand: its leading axes, and the places of the window.
fn pooled(x: &Ty, window: &Window<Dim>) -> Result<Vec<Dim>, ShapeFault> {
    let Some(leading) = x.rank().checked_sub(window.kernel.len()) else {
        return wrong_rank(0, format!("at least {}", window.kernel.len()));
    };
    let mut shape = x.shape[..leading].to_vec();
    shape.extend(all_places(&x.shape[leading..], window, 0, leading)?);
    Ok(shape)
}

/// A window that lies in the padding has no largest element.
fn check_padding(window: &Window<Dim>) -> Result<(), ShapeFault> {
    for (i, kernel) in window.kernel.iter().enumerate() {
        let half = kernel.number().map(|k| k / 2);
        if let (Some(p), Some(half)) = (window.pad_low[i].number(), half)
            && p > half
        {
            return attribute(format!("a padding of {p} is more than half of the kernel {kernel}"));
        }
        // What `ceil_mode` adds at the end is less than a stride, and the last window begins before it.
        let most = [kernel.number(), window.stride[i].number(), half];
        if let (Some(p), [Some(k), Some(s), Some(half)]) = (window.pad_high[i].number(), most)
            && p > half.max((half + s - 1).min(k - 1))
        {
            return attribute(format!("a padding of {p} is more than half of the kernel {kernel}"));
        }
    }
    Ok(())
}

fn infer(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let window = match op {
        Op::MaxPool { window } => {
            check_padding(window)?;
            window
        }
        Op::SumPool { window } => window,
        _ => return misuse(),
    };
    let [x] = operands(inputs)?;
    need_float(inputs, 0)?;
    Ok(Ty::new(x.dtype, pooled(x, window)?))
}

fn infer_max_grad(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::MaxPoolGrad { window } = op else { return misuse() };
    let [x, dy] = operands(inputs)?;
    need_float(inputs, 0)?;
    if dy.dtype != x.dtype || dy.shape != pooled(x, window)? {
        return attribute("the gradient does not have the type of the pooled operand");
    }
    Ok(x.clone())
}

fn infer_sum_grad(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::SumPoolGrad { window, size } = op else { return misuse() };
    let [dy] = operands(inputs)?;
    need_float(inputs, 0)?;
    super::window::check(window)?;
    let leading = match dy.rank().checked_sub(window.kernel.len()) {
        Some(leading) if size.len() == window.kernel.len() => leading,
        _ => return wrong_rank(0, format!("at least {}", window.kernel.len())),
    };
    for (i, n) in size.iter().enumerate() {
        let want = places(n, window, i);
        if dy.shape[leading + i] != want {
            let why = format!("the size {} is not the {want} places of the window over {n}", dy.shape[leading + i]);
            return Err(ShapeFault::Extent { operand: 0, axis: leading + i, why });
        }
    }
    let mut shape = dy.shape[..leading].to_vec();
    shape.extend_from_slice(size);
    Ok(Ty::new(dy.dtype, shape))
}

fn window_arg(args: &[ArgValue], axes: usize) -> Result<Window<Dim>, ShapeFault> {
    if tensor_arg(args, 0)?.rank() < axes {
        return wrong_rank(0, format!("at least {axes}"));
    }
    let Some(kernel) = ints_for(args, 1, axes)? else {
        return attribute("the size of the window is missing");
    };
    let mut window = from_args(kernel.clone(), kernel, args, [2, 3, 4])?;
    if matches!(args.get(5), Some(ArgValue::Bool(true))) {
        let x = tensor_arg(args, 0)?;
        for i in 0..axes {
            let extra = room_for_last(&x.shape[x.rank() - axes + i], &window, i)?;
            window.pad_high[i] = window.pad_high[i].add(&extra);
        }
    }
    Ok(window)
}

/// What must be added at the end of an axis so that the last window, which begins inside the operand or its padding
/// before, is whole.
fn room_for_last(size: &Dim, window: &Window<Dim>, axis: usize) -> Result<Dim, ShapeFault> {
    let one = Dim::from(1i64);
    let stride = &window.stride[axis];
    let reach = window.dilation[axis].mul(&window.kernel[axis].sub(&one)).add(&one);
    let slack = size.add(&window.pad_low[axis]).add(&window.pad_high[axis]).sub(&reach);
    let mut steps = slack.add(stride).sub(&one).floor_div(stride);
    let beyond = steps.mul(stride).sub(size).sub(&window.pad_low[axis]);
    match beyond.number() {
        Some(n) if n >= 0 => steps = steps.sub(&one),
        Some(_) => {}
        None => {
            // The last window begins less than a stride after the last place it could, so inside if padding leaves room.
            let most = stride.add(&window.pad_high[axis]).sub(&reach);
            if most.number().is_none_or(|n| n > 0) {
                return attribute("`ceil_mode` needs the size to be known, or a stride no larger than the kernel");
            }
        }
    }
    let extra = steps.mul(stride).sub(&slack);
    Ok(if extra.number().is_some_and(|n| n < 0) { Dim::default() } else { extra })
}

const POOL: &[ParamSpec] = &[
    tensor("x"),
    param("kernel", ArgKind::Ints, ArgDefault::Required),
    param("stride", ArgKind::Ints, ArgDefault::None),
    param("padding", ArgKind::Words(&["same", "valid"]), ArgDefault::Int(0)),
    param("dilation", ArgKind::Ints, ArgDefault::Int(1)),
    param("ceil_mode", ArgKind::Bool, ArgDefault::Bool(false)),
];

fn flops(_: &Op<usize>, window: &Window<usize>, dy: &TensorType<usize>) -> u64 {
    dy.elements() as u64 * window.kernel.iter().product::<usize>() as u64
}

/// Windows with the shapes of x and dy; for `max`, paddings are at most half of the kernel.
fn cases(max: bool) -> Vec<(Window<usize>, Vec<usize>, Vec<usize>)> {
    let window = |kernel: &[usize], stride: &[usize], dilation: &[usize], low: &[usize], high: &[usize]| Window {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        dilation: dilation.to_vec(),
        pad_low: low.to_vec(),
        pad_high: high.to_vec(),
    };
    let mut cases = vec![
        (window(&[2], &[2], &[1], &[0], &[0]), vec![7], vec![3]),
        (window(&[3], &[1], &[2], &[1], &[0]), vec![2, 3, 8], vec![2, 3, 5]),
        (window(&[2, 2], &[2, 2], &[1, 1], &[0, 0], &[0, 0]), vec![2, 3, 4, 6], vec![2, 3, 2, 3]),
        (window(&[3, 2], &[2, 1], &[1, 1], &[1, 1], &[1, 0]), vec![1, 2, 7, 5], vec![1, 2, 4, 5]),
    ];
    if !max {
        cases.push((window(&[1, 3], &[3, 1], &[1, 1], &[1, 2], &[0, 2]), vec![5, 3], vec![2, 5]));
    }
    cases
}

fn sample(op: Op<usize>, inputs: &[&[usize]]) -> Sample {
    Sample {
        op,
        inputs: inputs.iter().map(|shape| TensorType::new(DType::F32, shape.to_vec())).collect(),
        domains: vec![(-1.0, 1.0); inputs.len()],
    }
}

pub static MAX_POOL: OpDef = OpDef {
    name: "max_pool",
    doc: "`max_pool2d(x, kernel, stride: kernel, padding: 0, dilation: 1)`: the largest element of each window over \
          the last two axes; padding never wins; `max_pool1d` over the last, `max_pool3d` over three. \
          `ceil_mode: true` counts a last window that only begins inside. Of equal elements the first has all of \
          the gradient. There are floor((n + low + high - dilation (k - 1) - 1) / stride) + 1 windows along an axis.",
    surfaces: &[
        Surface { name: "max_pool1d", params: POOL, build: |args| Ok(Op::MaxPool { window: window_arg(args, 1)? }) },
        Surface { name: "max_pool2d", params: POOL, build: |args| Ok(Op::MaxPool { window: window_arg(args, 2)? }) },
        Surface { name: "max_pool3d", params: POOL, build: |args| Ok(Op::MaxPool { window: window_arg(args, 3)? }) },
    ],
    infer,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::MaxPool { window } = graph.node(node).op.clone() else { return vec![] };
        let x = graph.node(node).inputs[0];
        vec![Some(Builder::at(graph, node).op(Op::MaxPoolGrad { window }, &[x, dy]))]
    }),
    lowering: Lowering::Nest,
    flops: |op, _, ty| if let Op::MaxPool { window } = op { flops(op, window, ty) } else { 0 },
    samples: || cases(true).into_iter().map(|(window, x, _)| sample(Op::MaxPool { window }, &[&x])).collect(),
};

pub static MAX_POOL_GRAD: OpDef = OpDef {
    name: "max_pool_grad",
    doc: "The gradient of max pooling: each element of dy goes to the first largest element of its window.",
    surfaces: &[],
    infer: infer_max_grad,
    gradient: GradientRule::Missing("the second derivative of max pooling is not there yet"),
    lowering: Lowering::Nest,
    flops: |op, inputs, _| if let Op::MaxPoolGrad { window } = op { flops(op, window, &inputs[1]) } else { 0 },
    samples: || cases(true).into_iter().map(|(window, x, dy)| sample(Op::MaxPoolGrad { window }, &[&x, &dy])).collect(),
};

pub static SUM_POOL: OpDef = OpDef {
    name: "sum_pool",
    doc: "`sum_pool2d(x, kernel, stride: kernel, padding: 0, dilation: 1)`: the sum of each window over the last two \
          axes; padding counts as 0; `sum_pool1d` over the last, `sum_pool3d` over three.",
    surfaces: &[
        Surface { name: "sum_pool1d", params: POOL, build: |args| Ok(Op::SumPool { window: window_arg(args, 1)? }) },
        Surface { name: "sum_pool2d", params: POOL, build: |args| Ok(Op::SumPool { window: window_arg(args, 2)? }) },
        Surface { name: "sum_pool3d", params: POOL, build: |args| Ok(Op::SumPool { window: window_arg(args, 3)? }) },
    ],
    infer,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let Op::SumPool { window } = graph.node(node).op.clone() else { return vec![] };
        let x = graph.node(node).inputs[0];
        let b = Builder::at(graph, node);
        let shape = b.shape(x);
        let size = shape[shape.len() - window.kernel.len()..].to_vec();
        vec![Some(b.op(Op::SumPoolGrad { window, size }, &[dy]))]
    }),
    lowering: Lowering::Nest,
    flops: |op, _, ty| if let Op::SumPool { window } = op { flops(op, window, ty) } else { 0 },
    samples: || cases(false).into_iter().map(|(window, x, _)| sample(Op::SumPool { window }, &[&x])).collect(),
};

pub static SUM_POOL_GRAD: OpDef = OpDef {
    name: "sum_pool_grad",
    doc: "The gradient of sum pooling: each element of dy goes to all elements of its window.",
    surfaces: &[],
    infer: infer_sum_grad,
    gradient: GradientRule::Rule(|graph, node, g| {
        let Op::SumPoolGrad { window, .. } = graph.node(node).op.clone() else { return vec![] };
        vec![Some(Builder::at(graph, node).op(Op::SumPool { window }, &[g]))]
    }),
    lowering: Lowering::Nest,
    flops: |op, inputs, _| if let Op::SumPoolGrad { window, .. } = op { flops(op, window, &inputs[0]) } else { 0 },
    samples: || {
        cases(false)
            .into_iter()
            .map(|(window, x, dy)| {
                let size = x[x.len() - window.kernel.len()..].to_vec();
                sample(Op::SumPoolGrad { window, size }, &[&dy])
            })
            .collect()
    },
};
