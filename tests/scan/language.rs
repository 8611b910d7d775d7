//! What programs say with `scan`, and what they are told where it is wrong.

use crate::programs::{Field, check, engine, field, field_bytes, predict, sound};
use nnc::engine::{ClockValues, Entry, StepInputs, Target};
use nnc::ops::DType;

fn values(text: &str, fields: &[Field]) -> Vec<Vec<f64>> {
    let step = format!("predict {{\n  data = given()\n{text}\n}}\n");
    predict(&step, fields, Target::Interpreter, 1).into_iter().map(|v| v.0).collect()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len(), "{a:?} {b:?}");
    a.iter().zip(b).for_each(|(x, y)| assert!((x - y).abs() < 1e-6 * (1.0 + y.abs()), "{a:?} {b:?}"));
}

fn of(name: &str, shape: &[usize], values: &[f64]) -> Field {
    Field { name: name.into(), dtype: DType::F32, shape: shape.to_vec(), values: values.to_vec() }
}

#[test]
fn sums_along_any_axis_and_both_ways() {
    let x = of("x", &[2, 3], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
    let found = values(
        "step(x: f32[B, T]) {
  sums = scan x_t in x along T with s = zeros([B]) { s = s + x_t; yield s }
  back = scan x_t in x along T by -1 with s = zeros([B]) { s = s + x_t; yield s }
  rows = scan row in x along B with s = zeros([T]) { s = s + row; yield s }
  last = scan x_t in x along T with s = 0.0 { s = s + x_t }
  (sums, back, rows, last)
}",
        &[x],
    );
    close(&found[0], &[1.0, 3.0, 6.0, 10.0, 30.0, 60.0]);
    close(&found[1], &[6.0, 5.0, 3.0, 60.0, 50.0, 30.0]);
    close(&found[2], &[1.0, 2.0, 3.0, 11.0, 22.0, 33.0]);
    close(&found[3], &[6.0, 60.0]);
}

#[test]
fn an_axis_is_told_by_its_name_where_another_has_its_size() {
    // The square has one size for both axes, and both from the same place.
    let found = values(
        "step() {
  x = f32(reshape(range(4), [2, 2]))
  (first(x @ transpose(x)), second(x @ transpose(x)))
}
}

fn first(x: f32[R, C]) -> f32[C] { scan row in x along R with s = zeros([C]) { s = s + row } }

fn second(x: f32[R, C]) -> f32[R] { scan column in x along C with s = zeros([R]) { s = s + 2 * column }",
        &[],
    );
    close(&found[0], &[4.0, 16.0]);
    close(&found[1], &[8.0, 32.0]);
}

#[test]
fn ranges_abreast_tuples_and_several_results() {
    let x = of("x", &[3], &[5.0, 7.0, 9.0]);
    let found = values(
        "step(x: f32[T]) {
  (a, b) = scan i in 2..6 with a = 0, b = 1.0 { a = a + i; b = b * f32(i) }
  (u, v) = scan (x_t, i) in (x, 0..3) along T with p = 1.0, q = 0.0 {
    (p, q) = (q + x_t, p)
    yield p, q * f32(i)
  }
  w = scan x_t in x along T { yield x_t * x_t }
  (a, b, u, v, w)
}",
        &[x],
    );
    close(&found[0], &[14.0]);
    close(&found[1], &[120.0]);
    close(&found[2], &[5.0, 8.0, 14.0]);
    close(&found[3], &[0.0, 5.0, 16.0]);
    close(&found[4], &[25.0, 49.0, 81.0]);
}

#[test]
fn scans_in_scans_functions_and_gradients() {
    let x = of("x", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let found = values(
        "step(x: f32[B, T]) {
  nested = scan row in x along B with s = 0.0 {
    s = scan x_t in row along T with s = s { s = 2.0 * s + x_t }
    yield s
  }
  whole = sum(nested)
  slopes = scan row in x along B { yield grad(sum(row ^ 3), by: row) }
  (nested, grad(whole, by: x), slopes)
}",
        &[x],
    );
    close(&found[0], &[11.0, 88.0 + 16.0 + 10.0 + 6.0]);
    close(&found[1], &[4.0 + 32.0, 2.0 + 16.0, 1.0 + 8.0, 4.0, 2.0, 1.0]);
    close(&found[2], &[3.0, 12.0, 27.0, 48.0, 75.0, 108.0]);
}

#[test]
fn draws_differ_from_step_to_step_and_not_from_run_to_run() {
    let text = "step() {
  flat   = scan i in 0..4 { yield random([5]) }
  nested = scan i in 0..3 { yield scan j in 0..3 { yield random([2]) } }
  (flat, nested)
}";
    let step = format!("predict {{\n{text}\n}}\n");
    let run = || predict(&step, &[], Target::Interpreter, 1);
    let found = run();
    assert_eq!(found[0].1, run()[0].1);
    let mut all: Vec<u64> = found.iter().flat_map(|v| v.0.iter().map(|x| x.to_bits())).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((count, all.len()), (38, 38));
}

const COUNTER: &str = "
layer Counter() {
  state seen: f32[] = 0
  forward(x: f32[B]) -> f32[B] {
    if training { seen = seen + 1.0 }
    x * seen
  }
}
model Net() {
  count = Counter()
  scale = Linear(1)
  forward(x: f32[B, T]) -> f32[B, T] {
    scan x_t in x along T { yield count(x_t) * scale(unsqueeze(x_t, -1))[:, 0] }
  }
}
optimizer Still() {
  update(p, g) { p - 0.0 * g }
}
train {
  data      = given()
  optimizer = Still()
  net       = Net()
  step(x: f32[B, T]) { minimize mean(net(x)) }
}
";

#[test]
fn a_layers_state_is_carried_along() {
    let x = field("x", &[2, 5]);
    let program = sound(COUNTER, std::slice::from_ref(&x));
    let mut engine = engine(&program, "train", Target::Interpreter, 1);
    let given = field_bytes(&program, "train", &[x]);
    let seen = program.vars.iter().position(|v| v.path == "net.count.seen").expect("the state");
    let seen = nnc::ops::VarId(seen as u32);
    for (entry, wanted) in [(Entry::Train, 5.0f32), (Entry::Train, 10.0), (Entry::Eval, 10.0)] {
        engine
            .run(entry, 1, &StepInputs { fields: &given, clock: ClockValues::default(), seed: 3, lengths: &[] })
            .expect("a step");
        assert_eq!(engine.var(seen).bytes, wanted.to_le_bytes());
    }
}

/// The messages of a program: headline, and the text that it points at.
fn faults(text: &str, fields: &[Field]) -> Vec<(String, String)> {
    let (_, found, sources) = check(text, fields);
    found
        .iter()
        .map(|d| {
            assert!(d.headline.chars().count() <= 80, "{}", d.headline);
            (d.headline.clone(), d.primary.as_ref().map_or("", |p| sources.text(p.span)).to_string())
        })
        .collect()
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let layer = |scan: &str| {
        format!(
            "layer L(n: int = 16) {{\n  forward(x: f32[B, T, D], y: f32[B, S]) -> f32[B, 8] {{\n    {scan}\n  }}\n}}\n"
        )
    };
    for (scan, headline, place) in [
        (
            "scan x_t in x along T with h = zeros([B, 8]), c = zeros([B]) { h = zeros([B, 16]); c = c + 1.0 }",
            "the carry `h` starts as f32[B, 8] and becomes f32[B, 16]",
            "h",
        ),
        (
            "scan x_t in x along T with h = zeros([B, 8]) { h = h > 0.0 }",
            "the carry `h` starts as f32[B, 8] and becomes bool[B, 8]",
            "h",
        ),
        ("scan x_t in x along U with h = zeros([B, 8]) { h = h }", "there is no size `U` to scan along", "U"),
        ("scan x_t in x along S with h = zeros([B, 8]) { h = h }", "no axis is `S`", "S"),
        ("scan x_t in x with h = zeros([B, 8]) { h = h }", "this scan does not name its axis", "x"),
        ("scan x_t in x along T by 2 with h = zeros([B, 8]) { h = h }", "a scan goes by 1 or by -1", "2"),
        ("scan x_t in x along T { x_t }", "this value is not used", "x_t"),
        ("yield y", "`yield` belongs in a `scan`", "yield y"),
        ("scan (a, b) in x along T { yield a }", "2 names for a tensor", "(a, b)"),
        ("scan x_t in 3 along T { yield x_t }", "the int 3 cannot be scanned", "3"),
        (
            "z = zeros([B, 8])\n    scan x_t in x along T { z = z + 1.0; yield z }",
            "`z` is not carried to the next step",
            "z",
        ),
    ] {
        let found = faults(&layer(scan), &[]);
        let first = found.first().unwrap_or_else(|| panic!("no fault in {scan}"));
        assert_eq!((first.0.as_str(), first.1.as_str()), (headline, place), "{scan}\n{found:?}");
    }
    let text =
        "predict {\n  data = given()\n  step(x: f32[T], y: f32[S]) { scan (a, b) in (x, y) along T { yield a } }\n}\n";
    let found = faults(text, &[field("x", &[3]), field("y", &[4])]);
    assert_eq!(found[0].0, "no axis is `T`", "{found:?}");
    let text =
        "predict {\n  data = given()\n  step(x: f32[T]) { scan (a, i) in (x, 0..4) along T { yield a * f32(i) } }\n}\n";
    assert_eq!(faults(text, &[field("x", &[3])])[0].0, "`a` takes 3 steps and `i` 4");
}

/// A parameter that a gradient reaches only through a scan is seen, and one that is cut off in its block is missed.
#[test]
fn gradients_are_followed_through_the_block() {
    let layer = |value: &str| {
        format!(
            "layer L() {{
  param a: f32[] = 1
  param b: f32[] = 1
  forward(x: f32[B, T]) -> f32[B] {{
    scan x_t in x along T with h = zeros([B]), k = zeros([B]) {{ h = {value}; k = k * b + x_t }}
    |> first
  }}
}}
fn first(p: f32[B], _q: f32[B]) -> f32[B] {{ p }}
"
        )
    };
    let of = |value: &str| {
        let text = layer(value).replace("    |> first\n", "").replace("    scan", "    (h, _k) = scan");
        let text = text.replace("x_t }\n", "x_t }\n    h\n");
        faults(&text, &[]).into_iter().map(|f| f.0).collect::<Vec<_>>()
    };
    assert_eq!(of("h * a + k"), Vec::<String>::new());
    assert_eq!(of("h * a + x_t"), ["the parameter `L.b` gets no gradient"]);
    assert_eq!(of("h * stop_gradient(a) + k"), ["the parameter `L.a` gets no gradient"]);
}

/// A cell as a layer, layers in `repeat`, trained on both targets.
const CLASSIFIER: &str = "
layer LstmCell(hidden: int) {
  from_input  = Linear(4 * hidden)
  from_hidden = Linear(4 * hidden)

  forward(x: f32[B, D], h: f32[B, hidden], c: f32[B, hidden]) -> (f32[B, hidden], f32[B, hidden]) {
    (i, f, g, o) = split(from_input(x) + from_hidden(h), 4, axis: -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    (sigmoid(o) * tanh(c), c)
  }
}
layer LstmLayer(hidden: int) {
  cell = LstmCell(hidden)

  forward(x: f32[B, T, D]) -> f32[B, T, hidden] {
    scan x_t in x along T with h = zeros([B, hidden]), c = zeros([B, hidden]) {
      (h, c) = cell(x_t, h, c)
      yield h
    }
  }
}
model SequenceClassifier(hidden: int = 8, layers: int = 2, classes: int = 2) {
  rnn = repeat layers { LstmLayer(hidden) }
  fc  = Linear(classes)

  forward(x: f32[B, T, 10]) -> logits[B, classes] {
    (x |> rnn)[:, -1] |> fc
  }
}
optimizer Plain(lr: float) {
  update(p, g) { p - lr * g }
}
train {
  data      = given()
  optimizer = Plain(lr: 0.5)
  net       = SequenceClassifier()
  step(x: f32[B, T, 10], label: i32[B]) { minimize cross_entropy(net(x), label) }
}
";

#[test]
fn a_classifier_of_sequences_learns_on_both_targets() {
    let x = field("x", &[6, 7, 10]);
    let label = Field { name: "label".into(), dtype: DType::I32, shape: vec![6], values: vec![0., 1., 1., 0., 1., 0.] };
    let fields = [x, label];
    let program = sound(CLASSIFIER, &fields);
    let losses = |target: Target, threads: usize| -> Vec<f64> {
        let mut engine = engine(&program, "train", target, threads);
        let given = field_bytes(&program, "train", &fields);
        (0..60)
            .map(|step| {
                let clock = ClockValues { step, ..ClockValues::default() };
                engine
                    .run(Entry::Train, 1, &StepInputs { fields: &given, clock, seed: 3, lengths: &[] })
                    .expect("a step");
                engine.scalar(0)
            })
            .collect()
    };
    let (a, b) = (losses(Target::Interpreter, 1), losses(Target::Cpu, 1));
    assert!(b[59] < b[0] - 0.05, "{b:?}");
    a.iter().zip(&b).for_each(|(x, y)| assert!((x - y).abs() < 1e-3, "{a:?}\n{b:?}"));
    assert_eq!(b, losses(Target::Cpu, 2));
}
