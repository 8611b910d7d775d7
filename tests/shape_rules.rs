//! Shape rules over sizes that have names only, and what they say of operands that do not fit.

use nnc::dims::{Dim, Sym};
use nnc::graph::TensorType;
use nnc::ops::{self, ArgValue, Binary, DType, Op, ShapeFault, Window};

fn n(value: i64) -> Dim {
    Dim::from(value)
}

fn sym(name: &str) -> Dim {
    let id = name.bytes().fold(0, |id, b| id * 256 + u32::from(b));
    Dim::from(Sym { id, name: name.into() })
}

fn f32s(shape: &[Dim]) -> TensorType<Dim> {
    TensorType::new(DType::F32, shape.to_vec())
}

fn i32s(shape: &[Dim]) -> TensorType<Dim> {
    TensorType::new(DType::I32, shape.to_vec())
}

/// The result of a prelude function; its tensor arguments are the operands.
fn call(name: &str, args: &[ArgValue]) -> Result<String, ShapeFault> {
    let (_, surface) = ops::surface(name).expect("a prelude function");
    assert_eq!(surface.params.len(), args.len(), "{name}");
    let op = (surface.build)(args)?;
    let mut operands = Vec::new();
    for arg in args {
        match arg {
            ArgValue::Tensor(ty) => operands.push(ty.clone()),
            ArgValue::Tensors(types) => operands.extend(types.iter().cloned()),
            _ => {}
        }
    }
    ops::infer(&op, &operands).map(|ty| ty.to_string())
}

fn gives(name: &str, args: &[ArgValue], wanted: &str) {
    assert_eq!(call(name, args), Ok(wanted.to_string()), "{name}({args:?})");
}

fn fails(name: &str, args: &[ArgValue], wanted: ShapeFault) {
    assert_eq!(call(name, args), Err(wanted), "{name}({args:?})");
}

fn t(shape: &[Dim]) -> ArgValue {
    ArgValue::Tensor(f32s(shape))
}

fn int(value: i64) -> ArgValue {
    ArgValue::Int(n(value))
}

fn ints(values: &[i64]) -> ArgValue {
    ArgValue::Ints(values.iter().map(|v| n(*v)).collect())
}

fn attribute(text: &str) -> ShapeFault {
    ShapeFault::Attribute(text.to_string())
}

#[test]
fn movement_keeps_names() {
    let (b, h, w) = (sym("B"), sym("H"), sym("W"));
    let x = t(&[b.clone(), n(3), h.clone(), w.clone()]);
    gives("flatten", &[x.clone(), int(1)], "f32[B, 3 * H * W]");
    gives("flatten", &[x.clone(), int(-2)], "f32[B, 3, H * W]");
    gives("flatten", &[t(&[]), int(0)], "f32[1]");
    gives("transpose", std::slice::from_ref(&x), "f32[B, 3, W, H]");
    gives("permute", &[x.clone(), ints(&[0, 2, 3, 1])], "f32[B, H, W, 3]");
    gives("unsqueeze", &[x.clone(), int(-1)], "f32[B, 3, H, W, 1]");
    gives("unsqueeze", &[x.clone(), ints(&[0, 2])], "f32[1, B, 1, 3, H, W]");
    gives("squeeze", &[t(&[b.clone(), n(1), h.clone()]), int(1)], "f32[B, H]");
    gives("expand", &[t(&[n(1), h.clone()]), ArgValue::Ints(vec![n(2), b.clone(), n(-1)])], "f32[2, B, H]");
    let open = ArgValue::Ints(vec![b.clone(), n(-1), n(3)]);
    gives("reshape", &[x.clone(), open], "f32[B, H * W, 3]");
    gives("pad", &[t(&[b.clone(), h.clone()]), ints(&[0, 1]), ints(&[0, 2]), ArgValue::Float(0.0)], "f32[B, H + 3]");
    let parts = ArgValue::Tensors(vec![f32s(&[b.clone(), h.clone()]), f32s(&[b.clone(), n(4)])]);
    gives("concat", &[parts, int(-1)], "f32[B, H + 4]");
    gives("range", &[ArgValue::Int(h.scale(2))], "i32[2 * H]");
}

#[test]
fn movement_that_does_not_fit() {
    let (b, h) = (sym("B"), sym("H"));
    let x = t(&[b.clone(), h.clone()]);
    fails(
        "squeeze",
        &[x.clone(), int(1)],
        ShapeFault::Extent { operand: 0, axis: 1, why: "the size H is not 1".into() },
    );
    fails("permute", &[x.clone(), ints(&[0, 0])], attribute("each axis must be named once"));
    fails("permute", &[x.clone(), ints(&[0])], attribute("1 axis named of a tensor with 2 axes"));
    fails("transpose", &[t(&[n(3)])], ShapeFault::Rank { operand: 0, expected: "at least 2".into() });
    fails("sum", &[x.clone(), int(2)], attribute("axis 2 of a tensor with 2 axes"));
    fails("sum", &[x.clone(), ints(&[0, -2])], attribute("axis 0 is named twice"));
    fails("reshape", &[t(&[n(6)]), ints(&[4, -1])], attribute("6 elements do not divide by 4"));
    fails("reshape", &[t(&[n(6)]), ints(&[4, 2])], attribute("6 elements do not fill a shape of 8"));
    fails("reshape", &[t(&[n(6)]), ints(&[-1, -1])], attribute("only one size may be left open with -1"));
    let parts = ArgValue::Tensors(vec![f32s(&[b.clone(), n(2)]), f32s(&[h, n(2)])]);
    fails("concat", &[parts, int(1)], ShapeFault::Sizes { left: (0, 0), right: (1, 0) });
    let why = "the size B does not stretch to 4".to_string();
    fails("expand", &[t(&[b]), ints(&[4])], ShapeFault::Extent { operand: 0, axis: 0, why });
}

#[test]
fn slices_of_named_sizes() {
    let length = sym("T");
    let slice = |start: Dim, size: Dim, step: i64| {
        let op = Op::Slice { start: vec![start], size: vec![size], step: vec![step] };
        ops::infer(&op, &[f32s(std::slice::from_ref(&length))]).map(|ty| ty.to_string())
    };
    assert_eq!(slice(n(1), length.sub(&n(1)), 1), Ok("f32[T - 1]".to_string()));
    assert_eq!(slice(length.sub(&n(1)), length.clone(), -1), Ok("f32[T]".to_string()));
    // Whether 5 <= T is for whoever knows T.
    assert_eq!(slice(n(0), n(5), 1), Ok("f32[5]".to_string()));
    for (start, size, step) in [(n(1), length.clone(), 1), (length.clone(), n(1), 1), (n(2), n(4), -1)] {
        assert!(matches!(slice(start, size, step), Err(ShapeFault::Extent { operand: 0, axis: 0, .. })));
    }
}

#[test]
fn reductions_and_indexing() {
    let (b, c, d) = (sym("B"), sym("C"), sym("D"));
    let x = t(&[b.clone(), c.clone()]);
    gives("sum", &[x.clone(), ArgValue::None], "f32[]");
    gives("max", &[x.clone(), int(-1)], "f32[B]");
    gives("prod", &[x.clone(), ints(&[0, 1])], "f32[]");
    gives("argmax", &[x.clone(), int(-1)], "i32[B]");
    let index = |shape: &[Dim]| ArgValue::Tensor(i32s(shape));
    gives("gather", &[x.clone(), index(std::slice::from_ref(&b)), int(-1)], "f32[B]");
    gives("take", &[t(&[c.clone(), d.clone()]), index(&[b.clone(), n(7)]), int(0)], "f32[B, 7, D]");
    gives("segment_sum", &[x.clone(), index(std::slice::from_ref(&b)), ArgValue::Int(d.clone()), int(0)], "f32[D, C]");
    let wrong = ShapeFault::Sizes { left: (0, 0), right: (1, 0) };
    fails("gather", &[x.clone(), index(std::slice::from_ref(&d)), int(-1)], wrong);
    let wrong = ShapeFault::DType { operand: 1, expected: "whole numbers (i32)".into() };
    fails("take", &[x, t(&[b]), int(0)], wrong);
}

#[test]
fn elementwise_operands_are_of_one_type() {
    let (b, c) = (sym("B"), sym("C"));
    let add = |types: &[TensorType<Dim>]| ops::infer(&Op::Binary(Binary::Add), types).map(|ty| ty.to_string());
    assert_eq!(add(&[f32s(&[b.add(&c)]), f32s(&[c.add(&b)])]), Ok("f32[B + C]".to_string()));
    assert_eq!(
        add(&[f32s(std::slice::from_ref(&b)), f32s(&[c])]),
        Err(ShapeFault::Sizes { left: (0, 0), right: (1, 0) })
    );
    // Size 1 does not stretch here.
    assert!(add(&[f32s(std::slice::from_ref(&b)), f32s(&[n(1)])]).is_err());
    assert!(matches!(add(&[f32s(std::slice::from_ref(&b)), f32s(&[])]), Err(ShapeFault::Rank { operand: 1, .. })));
    let other = add(&[f32s(&[]), i32s(&[])]);
    assert_eq!(other, Err(ShapeFault::DType { operand: 1, expected: "f32".into() }));
    gives("matmul", &[t(&[b.clone(), n(3)]), t(&[n(3), n(5)])], "f32[B, 5]");
    let wrong = ShapeFault::Sizes { left: (0, 1), right: (1, 0) };
    fails("matmul", &[t(&[b, n(3)]), t(&[n(4), n(5)])], wrong);
}

#[test]
fn windows_over_named_sizes() {
    let (b, h, w) = (sym("B"), sym("H"), sym("W"));
    let x = t(&[b.clone(), n(3), h.clone(), w.clone()]);
    let weight = |k: i64| t(&[n(8), n(3), n(k), n(k)]);
    let conv = |k, stride, padding| vec![x.clone(), weight(k), stride, padding, int(1), int(1)];
    gives("conv2d", &conv(3, int(1), int(0)), "f32[B, 8, H - 2, W - 2]");
    gives("conv2d", &conv(3, int(1), int(1)), "f32[B, 8, H, W]");
    gives("conv2d", &conv(4, int(1), ArgValue::Word("same")), "f32[B, 8, H, W]");
    gives("conv2d", &conv(3, int(2), int(1)), "f32[B, 8, floor((H + 1) / 2), floor((W + 1) / 2)]");
    gives("conv2d", &conv(2, ints(&[1, 2]), int(0)), "f32[B, 8, H - 1, floor(W / 2)]");
    let even = t(&[b.clone(), n(3), h.scale(4), n(9)]);
    gives(
        "max_pool2d",
        &[even.clone(), int(2), ArgValue::None, int(0), int(1), ArgValue::Bool(false)],
        "f32[B, 3, 2 * H, 4]",
    );
    gives(
        "sum_pool1d",
        &[even, int(3), int(1), ArgValue::Word("same"), int(1), ArgValue::Bool(false)],
        "f32[B, 3, 4 * H, 9]",
    );
    let up = vec![x.clone(), t(&[n(3), n(8), n(2), n(2)]), int(2), int(0), int(1), int(1), int(0)];
    gives("conv_transpose2d", &up, "f32[B, 8, 2 * H, 2 * W]");
    fails(
        "conv2d",
        &[x.clone(), t(&[n(8), n(4), n(3), n(3)]), int(1), int(0), int(1), int(1)],
        ShapeFault::Sizes { left: (0, 1), right: (1, 1) },
    );
    let small = t(&[b, n(3), n(5), n(28)]);
    let why = "the size 5 is smaller than the window 7".to_string();
    fails(
        "conv2d",
        &[small.clone(), weight(7), int(1), int(0), int(1), int(1)],
        ShapeFault::Extent { operand: 0, axis: 2, why },
    );
    fails(
        "max_pool2d",
        &[small, int(2), ArgValue::None, int(2), int(1), ArgValue::Bool(false)],
        attribute("a padding of 2 is more than half of the kernel 2"),
    );
    fails("conv2d", &conv(3, int(0), int(0)), attribute("a stride of 0"));
}

#[test]
fn a_convolution_and_its_gradients_agree_on_sizes() {
    let (b, h) = (sym("B"), sym("H"));
    let window = Window {
        kernel: vec![n(3)],
        stride: vec![n(2)],
        dilation: vec![n(1)],
        pad_low: vec![n(1)],
        pad_high: vec![n(0)],
    };
    let (x, weight) = (f32s(&[b, n(4), h.clone()]), f32s(&[n(6), n(2), n(3)]));
    let conv = Op::Conv { window: window.clone(), groups: n(2) };
    let y = ops::infer(&conv, &[x.clone(), weight.clone()]).expect("they fit");
    let by_x = Op::ConvInputGrad { window: window.clone(), groups: n(2), size: vec![h] };
    assert_eq!(ops::infer(&by_x, &[y.clone(), weight.clone()]), Ok(x.clone()));
    let by_weight = Op::ConvWeightGrad { window, groups: n(2) };
    assert_eq!(ops::infer(&by_weight, &[x, y]), Ok(weight));
}
