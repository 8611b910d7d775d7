//! What stands in brackets: slices by any step, places named by several tensors. Values against those of NumPy, on both
//! targets; gradients against differences, which are exact for the squares that are summed here.

use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target, bytes};
use std::path::Path;

/// The results of a `predict` step, which both targets agree about.
fn results(declarations: &str, step: &str) -> Vec<Vec<f64>> {
    let text = format!("{declarations}\npredict {{\n  step() {{\n{step}\n  }}\n}}\n");
    let checked = driver::check_text("test.nn", text.clone(), Path::new(""), &Options::default());
    let said: Vec<&str> = checked.diagnostics.iter().map(|d| d.headline.as_str()).collect();
    assert!(said.is_empty(), "{said:?}\n{text}");
    let run = |target| -> Vec<Vec<f64>> {
        let mut engine = driver::engine(&checked, "predict", target, 2).expect("an engine");
        engine.initialise(0).expect("first values");
        let inputs = StepInputs { fields: &[], clock: ClockValues::default(), seed: 7, lengths: &[] };
        engine.run(Entry::Eval, 0, &inputs).expect("a step");
        let values = (0..checked.program.tasks[0].eval.reports.len()).map(|i| engine.value(i));
        values.map(|v| bytes::to_f64(v.dtype, &v.bytes)).collect()
    };
    let (oracle, compiled) = (run(Target::Interpreter), run(Target::Cpu));
    for (a, b) in oracle.iter().flatten().zip(compiled.iter().flatten()) {
        assert!((a - b).abs() <= 1e-6 * (1.0 + a.abs()), "{a} on the interpreter, {b} on the processor\n{step}");
    }
    assert_eq!(oracle.iter().map(Vec::len).collect::<Vec<_>>(), compiled.iter().map(Vec::len).collect::<Vec<_>>());
    oracle
}

/// Steps between neighbouring values: powers of two, so that every sum and square here is exact.
const UNIT: f64 = 0.125;

/// Compares the gradient of the sum of squares of what `taken` makes of `x`, of this shape, with central differences.
#[track_caller]
fn gradient_agrees(shape: &[usize], taken: &str) {
    let count: usize = shape.iter().product();
    let numbers = |bent: Option<(usize, f64)>| {
        let value = |i: usize| UNIT * (i as f64 - 5.0) + bent.filter(|b| b.0 == i).map_or(0.0, |b| b.1);
        let list: Vec<String> = (0..count).map(|i| format!("{:?}", value(i))).collect();
        format!("x = reshape(tensor([{}]), {shape:?})\ny = {taken}\n", list.join(", "))
    };
    let derived = results("", &format!("{}grad(sum(y ^ 2), by: x)", numbers(None))).swap_remove(0);
    assert_eq!(derived.len(), count);
    assert!(derived.iter().any(|d| *d != 0.0), "{taken}: nothing depends on x");
    for (place, derived) in derived.iter().enumerate() {
        let at = |by: f64| results("", &format!("{}sum(y ^ 2)", numbers(Some((place, by)))))[0][0];
        let difference = (at(UNIT) - at(-UNIT)) / (2.0 * UNIT);
        assert_eq!(*derived, difference, "{taken} by element {place}");
    }
}

#[test]
fn slices_go_backwards() {
    let x = "x = range(10)";
    for (slice, wanted) in [
        ("::-1", vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("5:1:-2", vec![5, 3]),
        ("::-2", vec![9, 7, 5, 3, 1]),
        ("-2:2:-3", vec![8, 5]),
        ("4::-1", vec![4, 3, 2, 1, 0]),
        (":4:-1", vec![9, 8, 7, 6, 5]),
        ("0::-7", vec![0]),
        ("3:3:-1", vec![]),
    ] {
        let wanted: Vec<f64> = wanted.into_iter().map(f64::from).collect();
        assert_eq!(results("", &format!("{x}\nx[{slice}]")), [wanted], "x[{slice}]");
    }
    let x = "x = reshape(range(12), [2, 3, 2])";
    assert_eq!(results("", &format!("{x}\nx[::-1, 1, ::-1]")), [[9.0, 8.0, 3.0, 2.0]]);
    assert_eq!(results("", &format!("{x}\nx[.., ::-1] - flip(x, axis: -1)")), [[0.0; 12]]);
    // Sizes that are known only by name, and lists.
    let turned = "fn turned(x: i32[T]) -> i32[T] { x[::-1] }\nfn odd(x: i32[T]) { x[::-2] }";
    assert_eq!(results(turned, "(turned(range(3)), odd(range(4)))"), [vec![2.0, 1.0, 0.0], vec![3.0, 1.0]]);
    assert_eq!(
        results("const widths = [1, 2, 3, 4]", "(vector(widths[::-1]), vector(widths[2:0:-1]))"),
        [vec![4.0, 3.0, 2.0, 1.0], vec![3.0, 2.0]]
    );
}

#[test]
fn several_tensors_name_places_together() {
    let x = "x = reshape(range(24), [2, 3, 4])\ni = tensor([0, 1, 1])\nj = tensor([2, 0, 1])";
    for (index, wanted) in [
        ("i, j", vec![8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
        ("i, j, j", vec![10, 12, 17]),
        (":, j, i", vec![8, 1, 5, 20, 13, 17]),
        ("i, 2, :", vec![8, 9, 10, 11, 20, 21, 22, 23, 20, 21, 22, 23]),
        ("1, j, i", vec![20, 13, 17]),
        ("::-1, j, i", vec![20, 13, 17, 8, 1, 5]),
        ("unsqueeze(i, 1), j, 3", vec![11, 3, 7, 23, 15, 19, 23, 15, 19]),
        ("i64(i), u8(j), -1", vec![11, 15, 19]),
    ] {
        let wanted: Vec<f64> = wanted.into_iter().map(f64::from).collect();
        assert_eq!(results("", &format!("{x}\nx[{index}]")), [wanted], "x[{index}]");
    }
    // One score of each row, and sizes that are known only by name.
    let picked = "fn picked(s: f32[B, C], label: i32[B]) -> f32[B] { s[range(B), label] }";
    assert_eq!(results(picked, "picked(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1, 0]))"), [[2.0, 3.0]]);
}

#[test]
fn a_place_outside_is_never_another_place() {
    let text = |index: &str| format!("predict {{ step() {{\n x = 1 + reshape(range(6), [2, 3])\n x[{index}] }} }}");
    // Flat, the places would be those of other elements.
    for index in
        ["tensor([1, 0]), tensor([0, 3])", "tensor([1, 1]), tensor([0, -1])", "tensor([1, -1]), tensor([0, 5])"]
    {
        let checked = driver::check_text("test.nn", text(index), Path::new(""), &Options::default());
        assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
        let run = |target| {
            let mut engine = driver::engine(&checked, "predict", target, 1).expect("an engine");
            let inputs = StepInputs { fields: &[], clock: ClockValues::default(), seed: 0, lengths: &[] };
            engine.run(Entry::Eval, 0, &inputs).map(|()| bytes::to_f64(engine.value(0).dtype, &engine.value(0).bytes))
        };
        assert!(run(Target::Interpreter).is_err(), "x[{index}]");
        assert_eq!(run(Target::Cpu).expect("a step"), [4.0, 0.0], "x[{index}]");
    }
}

#[test]
fn a_float_from_outside_its_axis_is_no_number() {
    for index in ["tensor([1, 3])", "tensor([1, -1])"] {
        for taken in ["x[i]", "take(x, i)", "gather(stack([x, x]), i, axis: -1)", "x[i, i - i]"] {
            let x = if taken == "x[i, i - i]" { "[3, 1]" } else { "[3]" };
            let text =
                format!("predict {{ step() {{\n i = {index}\n x = reshape(1.5 + f32(range(3)), {x})\n {taken} }} }}");
            let checked = driver::check_text("test.nn", text, Path::new(""), &Options::default());
            assert!(!checked.has_errors(), "{:?}", checked.diagnostics);
            let mut engine = driver::engine(&checked, "predict", Target::Cpu, 1).expect("an engine");
            let inputs = StepInputs { fields: &[], clock: ClockValues::default(), seed: 0, lengths: &[] };
            engine.run(Entry::Eval, 0, &inputs).expect("a step");
            let found = bytes::to_f64(engine.value(0).dtype, &engine.value(0).bytes);
            assert!(found.len() == 2 && found[0] == 2.5 && found[1].is_nan(), "{taken} {index}: {found:?}");
        }
    }
}

#[test]
fn gradients_go_back_to_the_places() {
    gradient_agrees(&[7], "x[::-1] * f32(range(7))");
    gradient_agrees(&[7], "x[5:1:-2]");
    gradient_agrees(&[2, 5], "x[::-1, ::-2]");
    let places = "tensor([0, 1, 1, 0, 1])";
    gradient_agrees(&[2, 3], &format!("x[{places}, tensor([2, 0, 0, 1, 2])]"));
    gradient_agrees(&[2, 2, 3], &format!("x[:, {places}, tensor([2, 0, 0, 1, 2])]"));
    gradient_agrees(&[2, 3, 2], "x[tensor([[0], [1]]), tensor([0, 2])]");
}

#[test]
fn results_of_several_float_types_have_gradients_of_their_own() {
    let f =
        "fn f(x: f32[N], y: f64[N], z: bf16[N]) { (2 * x, y ^ 2, z) } gradient(a, b, c) { (3 * a, 4 * b * y, 5 * c) }";
    let step = "x = tensor([1.0, 2.0])
y = f64(tensor([3.0, 0.5]))
z = bf16(tensor([1.0, 2.0]))
(p, q, r) = f(x, y, z)
l = f64(sum(p)) + sum(q) + f64(sum(r)) / 2
(p, q, r, grad(l, by: x), grad(l, by: y), grad(l, by: z))";
    let found = results(f, step);
    let wanted = [[2.0, 4.0], [9.0, 0.25], [1.0, 2.0], [3.0, 3.0], [12.0, 2.0], [2.5, 2.5]];
    assert_eq!(found, wanted);
    // The values pass through unrounded: 1/3 in double precision, beside a half.
    let g = "fn g(y: f64, z: f16) { (y / 3, z) } gradient(a, b) { (a / 3, b) }";
    let third = results(g, "(a, _b) = g(f64(1.0), f16(2.0))\n(a - f64(1.0) / 3) * 1e12");
    assert_eq!(third, [[0.0]]);
    let h = "fn h(x: f32[N], y: f64[N]) -> f32[N] { x + f32(y) } gradient(d) { (d, f64(2 * d)) }";
    let found = results(h, "x = ones([2])\ny = f64(ones([2]))\nl = sum(h(x, y))\n(grad(l, by: x), grad(l, by: y))");
    assert_eq!(found, [[1.0, 1.0], [2.0, 2.0]]);
}
