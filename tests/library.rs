//! The standard library as its users see it: every item checks on its own, with sizes known only by name, and what the
//! reference vectors do not show works.

#[path = "common/target.rs"]
mod target;

use nnc::check::LIBRARY_FILES;
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target, bytes};
use std::path::Path;

fn check(text: &str) -> Checked {
    driver::check_text("test.nn", text.to_string(), Path::new(""), &Options::default())
}

fn faults(checked: &Checked) -> Vec<String> {
    let at = |d: &nnc::diag::Diagnostic| {
        let span = d.primary.as_ref().map(|l| l.span)?;
        Some(checked.sources.text(span).to_string())
    };
    checked.diagnostics.iter().map(|d| format!("{} {} at {:?}", d.code.id, d.headline, at(d))).collect()
}

#[test]
fn every_item_checks_with_sizes_known_by_name() {
    let mut all = Vec::new();
    for (name, text) in LIBRARY_FILES {
        let checked = check(text);
        // How many axes `..` stands for only a call tells: there it is one axis of unknown size.
        let decided = |f: &String| !f.contains("..") && !f.contains("there is no axis");
        all.extend(faults(&checked).into_iter().filter(decided).map(|f| format!("std/{name}.nn: {f}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn every_item_is_documented() {
    for (name, text) in LIBRARY_FILES {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let item = ["fn ", "layer ", "model ", "optimizer ", "const "].iter().any(|word| line.starts_with(word));
            assert!(!item || i > 0 && lines[i - 1].starts_with("/// "), "std/{name}.nn: `{line}` has no documentation");
        }
    }
}

/// The results of a `predict` step on both targets, which must agree.
fn results(step: &str) -> Vec<Vec<f64>> {
    let text = format!("predict {{\n  step() {{\n{step}\n  }}\n}}\n");
    let checked = check(&text);
    assert!(!checked.has_errors(), "{:?}\n{text}", faults(&checked));
    let mut both = Vec::new();
    for target in [Target::Interpreter, target::tested()] {
        let mut engine = driver::engine(&checked, "predict", target, 2).expect("an engine");
        engine.initialise(0).expect("first values");
        let clock = ClockValues { step: 3, epoch: 1, steps: 10, epoch_steps: 3 };
        engine.run(Entry::Eval, 0, &StepInputs { fields: &[], clock, seed: 7, lengths: &[] }).expect("a step");
        let count = checked.program.tasks[0].eval.reports.len();
        let values: Vec<Vec<f64>> = (0..count)
            .map(|i| {
                let value = engine.value(i);
                bytes::to_f64(value.dtype, &value.bytes)
            })
            .collect();
        both.push(values);
    }
    let scale = |x: &f64| 1.0 + x.abs();
    for (a, b) in both[0].iter().flatten().zip(both[1].iter().flatten()) {
        assert!((a - b).abs() <= 2e-6 * scale(a), "{a} on the interpreter, {b} on the processor\n{step}");
    }
    both.swap_remove(0)
}

fn errors(step: &str) -> Vec<String> {
    let checked = check(&format!("predict {{\n  step() {{\n{step}\n  }}\n}}\n"));
    faults(&checked)
}

#[test]
fn patterns_move_axes() {
    let x = "x = reshape(f32(range(24)), [2, 3, 4])";
    let by_pattern = results(&format!("{x}\nrearrange(x, \"a b (c d) -> c (a b) d\", c: 2)"));
    let by_hand = results(&format!("{x}\nreshape(permute(reshape(x, [2, 3, 2, 2]), [2, 0, 1, 3]), [2, 6, 2])"));
    assert_eq!(by_pattern, by_hand);
    assert_eq!(
        results(&format!("{x}\nrearrange(x, \".. d -> d ..\")")),
        results(&format!("{x}\npermute(x, [2, 0, 1])"))
    );
    assert_eq!(results(&format!("{x}\n(a, b) = x\na + 10 * b")), results(&format!("{x}\nx[0] + 10 * x[1]")));
    let y = "y = reshape(f32(range(12)), [4, 3])";
    let product = results(&format!("{x}\n{y}\neinsum(\"a b c, c d -> d a b\", x, y)"));
    assert_eq!(product, results(&format!("{x}\n{y}\npermute(x @ y, [2, 0, 1])")));
    assert_eq!(results(&format!("{y}\neinsum(\"i j, i j ->\", y, y)")), [[506.0]]);
    assert_eq!(results("einsum(\"i i i -> i\", ones([3, 3, 3]))"), [[1.0, 1.0, 1.0]]);
    assert_eq!(
        results(&format!("{x}\neinsum(\".. c, c -> ..\", x, ones([4]))")),
        results(&format!("{x}\nsum(x, axis: -1)"))
    );
}

#[test]
fn a_fault_in_a_pattern_is_shown_in_the_pattern() {
    let x = "x = zeros([2, 3, 8])";
    for (call, code, place) in [
        ("rearrange(x, \"a b -> b a\")", "E0307", "a b "),
        ("rearrange(x, \"a b c -> a b\")", "E0307", "c"),
        ("rearrange(x, \"a b c -> a b c d\")", "E0307", "d"),
        ("rearrange(x, \"a b (c d) -> a b c d\")", "E0307", "d"),
        ("rearrange(x, \"a b (c d) -> a b c d\", c: 3)", "E0307", "d"),
        ("rearrange(x, \"a b c -> a a b c\")", "E0307", "a"),
        ("rearrange(x, \"a b (c -> a b c\")", "E0307", "("),
        ("rearrange(x, \"a b c\")", "E0307", "a b c"),
        ("rearrange(x, \"a 2 c -> a c\")", "E0307", "2"),
        ("rearrange(x, \"a 1 c -> a c\")", "E0301", "1"),
        ("rearrange(x, \"a b c -> a b c\", a: 3)", "E0301", "a"),
        ("rearrange(x, \"a b c -> a b c\", e: 3)", "E0203", "3"),
        ("einsum(\"a b c, c -> a b\", x, zeros([4]))", "E0301", "c"),
        ("einsum(\"a b, b -> a\", x, x)", "E0307", "a b"),
        ("einsum(\"a b c -> a d\", x)", "E0307", "d"),
        ("einsum(\"a b c, a -> b\", x)", "E0307", "a b c, a "),
    ] {
        let found = errors(&format!("{x}\n{call}"));
        assert_eq!(found.len(), 1, "{call}: {found:?}");
        assert!(found[0].starts_with(code) && found[0].ends_with(&format!("Some({place:?})")), "{call}: {found:?}");
    }
}

#[test]
fn order_and_places() {
    let x = "x = tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 5.0]])";
    assert_eq!(results(&format!("{x}\nsort(x).values")), [[1.0, 2.0, 3.0, 1.0, 1.0, 5.0]]);
    assert_eq!(results(&format!("{x}\nsort(x).indices")), [[1.0, 2.0, 0.0, 0.0, 1.0, 2.0]]);
    assert_eq!(results(&format!("{x}\n(v, i) = top_k(x, 2)\n(v, i)")), [[3.0, 2.0, 5.0, 1.0], [0.0, 2.0, 2.0, 0.0]]);
    assert_eq!(results("flip(range(4), axis: 0)"), [[3.0, 2.0, 1.0, 0.0]]);
    assert_eq!(results("roll(range(5), -2, axis: 0)"), [[2.0, 3.0, 4.0, 0.0, 1.0]]);
    assert_eq!(results("pad(range(4), [3], [2], mode: reflect)"), [[3.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]]);
    assert_eq!(results("pad(range(3), [2], [1], mode: replicate)"), [[0.0, 0.0, 0.0, 1.0, 2.0, 2.0]]);
    assert_eq!(results("scatter(zeros([4]), tensor([1, 1, 3]), tensor([5.0, 6.0, 7.0]))"), [[0.0, 6.0, 0.0, 7.0]]);
    assert_eq!(results("repeat_each(range(2), 3)"), [[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]);
    assert_eq!(results("rescale(tensor([0.0, 0.5, 1.0]), 0..1, to: -1..1)"), [[-1.0, 0.0, 1.0]]);
    assert_eq!(results("length_mask(tensor([1, 3]), 3) |> f32"), [[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]]);
    assert_eq!(results("linspace(0, 1, 5)"), [[0.0, 0.25, 0.5, 0.75, 1.0]]);
    assert_eq!(results("embedding(tensor([1, 0]), tensor([[1.0, 2.0], [3.0, 4.0]]))"), [[3.0, 4.0, 1.0, 2.0]]);
}

#[test]
fn draws_have_their_distributions() {
    let drawn = results(
        "(random_int([10000], 3..7), bernoulli(full([10000], 0.3)), truncated_normal([10000]), permutation(100))",
    );
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    assert!(drawn[0].iter().all(|x| (3.0..7.0).contains(x) && x.fract() == 0.0));
    assert!((mean(&drawn[0]) - 4.5).abs() < 0.05, "{}", mean(&drawn[0]));
    assert!((mean(&drawn[1]) - 0.3).abs() < 0.02, "{}", mean(&drawn[1]));
    assert!(drawn[2].iter().all(|x| x.abs() <= 2.0) && mean(&drawn[2]).abs() < 0.03);
    // The variance of a normal distribution that is cut at two standard deviations.
    let variance = mean(&drawn[2].iter().map(|x| x * x).collect::<Vec<_>>());
    assert!((variance - 0.7737).abs() < 0.03, "{variance}");
    let mut numbers = drawn[3].clone();
    assert_ne!(numbers, (0..100).map(f64::from).collect::<Vec<_>>());
    numbers.sort_by(f64::total_cmp);
    assert_eq!(numbers, (0..100).map(f64::from).collect::<Vec<_>>());
    let labels = results("categorical(expand(log(tensor([0.5, 0.2, 0.3])), [10000, 3]))");
    let share = labels[0].iter().filter(|x| **x == 0.0).count() as f64 / 1e4;
    assert!((share - 0.5).abs() < 0.02, "{share}");
}

#[test]
fn durations_are_steps_or_epochs() {
    // The clock stands at step 3 of 10, in epoch 1 of 3 steps each.
    assert_eq!(results("f32(ramp(clock, until: 2 epochs))"), [[0.5]]);
    assert_eq!(results("f32(ramp(clock, until: 6))"), [[0.5]]);
    assert_eq!(results("f32(ramp(clock, until: 12 steps))"), [[0.25]]);
    assert_eq!(results("f32(step_decay(clock, 1, every: 1 epochs, factor: 0.5))"), [[0.5]]);
}

#[test]
fn layers_take_the_sizes_that_arrive() {
    let text = "model Net {
  a = ResNet18(classes: 3)
  b = MobileCnn(classes: 3, width: 8)
  c = seq { Conv3d(2, kernel: 3, padding: same); BatchNorm3d(); relu }
  d = TransformerDecoderLayer(2, hidden: 8)
  e = ConvTranspose2d(4, kernel: 2, stride: 2)
  f = seq { GroupNorm(2); PRelu(4); InstanceNorm2d(); AdaptiveAvgPool2d(2) }
  g = AdditiveAttention(5)
  forward() {
    picture = normal([2, 3, 32, 32])
    words   = normal([2, 5, 6])
    (mixed, weights) = g(normal([2, 3]), words)
    (a(picture) + b(picture), c(normal([1, 2, 4, 4, 4])), d(words, words), picture |> e |> f, mixed, weights)
  }
}
predict {
  net = Net()
  step() { net() }
}";
    let checked = check(text);
    assert!(!checked.has_errors(), "{:?}", faults(&checked));
    let shapes: Vec<String> = {
        let graph = &checked.program.tasks[0].eval.graph;
        graph.outputs.iter().map(|o| graph.ty(o.node).to_string()).collect()
    };
    let wanted = ["f32[2, 3]", "f32[1, 2, 4, 4, 4]", "f32[2, 5, 6]", "f32[2, 4, 2, 2]", "f32[2, 6]", "f32[2, 5]"];
    assert_eq!(shapes, wanted);
}

fn paths(text: &str) -> Vec<String> {
    let checked = check(text);
    assert!(!checked.has_errors(), "{:?}", faults(&checked));
    checked.program.vars.iter().map(|v| format!("{}: {}", v.path, v.ty)).collect()
}

#[test]
fn recurrent_layers_have_pytorchs_names() {
    let text = "model Net() {
  rnn = Lstm(3, layers: 2, bidirectional: true, bias: false)
  forward(x: f32[B, T, 4]) { rnn(x) }
}
predict {
  net = Net()
  step() { net(zeros([2, 5, 4])) }
}";
    let wanted = [
        "net.rnn.weight_ih_l0: f32[12, 4]",
        "net.rnn.weight_hh_l0: f32[12, 3]",
        "net.rnn.weight_ih_l0_reverse: f32[12, 4]",
        "net.rnn.weight_hh_l0_reverse: f32[12, 3]",
        "net.rnn.weight_ih_l1: f32[12, 6]",
        "net.rnn.weight_hh_l1: f32[12, 3]",
        "net.rnn.weight_ih_l1_reverse: f32[12, 6]",
        "net.rnn.weight_hh_l1_reverse: f32[12, 3]",
    ];
    let mut found = paths(text);
    found.sort();
    let mut sorted = wanted;
    sorted.sort_unstable();
    assert_eq!(found, sorted);
}

#[test]
fn two_members_that_stand_behind_one_name_are_an_error() {
    let text = "layer Two() {
  _ = Linear(2)
  param weight: f32[2, 2] = 0
  forward(x: f32[B, 2]) { _(x @ weight) }
}
predict {
  net = Two()
  step() { net(zeros([1, 2])) }
}";
    let found = faults(&check(text));
    assert!(found.iter().any(|f| f.starts_with("E0202 there are two variables `")), "{found:?}");
}

#[test]
fn layers_are_of_the_float_of_their_first_use() {
    let text = |x: &str| {
        format!(
            "model Net() {{
  body = seq {{ Conv1d(4, kernel: 3, padding: 1); BatchNorm1d(); Lstm(3); TransformerEncoderLayer(1, hidden: 2); LayerNorm(); Linear(2) }}
  forward(x: {x}[B, 2, 3]) {{ body(x) }}
}}
predict {{
  net = Net()
  step() {{ net({x}(zeros([2, 2, 3]))) }}
}}"
        )
    };
    for dtype in ["bf16", "f16", "f64", "f32"] {
        let found = paths(&text(dtype));
        assert!(found.len() > 20 && found.iter().all(|p| p.contains(&format!(": {dtype}["))), "{found:?}");
    }
    let mixed = text("bf16").replace("{ body(x) }", "{ f32(body(x)) + body(f32(x)) }");
    assert!(check(&mixed).has_errors());
}

#[test]
fn texts_from_scores_and_their_distances() {
    let scores = "s = one_hot(tensor([[1, 1, 0, 1, 2, 2], [0, 2, 2, 0, 0, 1]]), 3)";
    let found = results(&format!("{scores}\nctc_greedy(s, tensor([6, 3]))"));
    assert_eq!(found, [[1.0, 1.0, 2.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0, -1.0, -1.0, -1.0]]);
    // kitten, sitting; and nothing, three letters.
    let found = results(
        "a = tensor([[11, 9, 20, 20, 5, 14, 0], [0, 0, 0, 0, 0, 0, 0]])
b = tensor([[19, 9, 20, 20, 9, 14, 7], [1, 2, 3, 0, 0, 0, 0]])
(edit_distance(a, tensor([6, 0]), b, tensor([7, 3])), edit_distance(b, tensor([7, 3]), a, tensor([6, 0])))",
    );
    assert_eq!(found, [[3.0, 3.0], [3.0, 3.0]]);
}

#[test]
fn orthogonal_rows_turned_pictures_and_the_pitch_of_a_tone() {
    let found = results("q = orthogonal([3, 2, 4])\nflat = reshape(q, [3, 8])\nflat @ transpose(flat)");
    let wanted = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    assert!(found[0].iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    let found = results("rotated(reshape(f32(range(6)), [1, 2, 3]), 180)");
    assert!(found[0].iter().zip([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    // 1000 Hz lie between the middles of the bands 8 and 9 of 20 below 4000 Hz.
    let tone = "sin(6.283185307179586 * 1000 / 8000 * f32(range(800)))";
    let found = results(&format!("m = log_mel({tone}, rate: 8000, bands: 20, fft: 512)\nargmax(m[5])"));
    assert!((8.0..11.0).contains(&found[0][0]), "{found:?}");
    assert_eq!(results(&format!("f32(size(log_mel({tone}, rate: 8000, bands: 20), axis: 0))")), [[11.0]]);
}

#[test]
fn metrics_of_a_whole_set_are_those_of_one_batch() {
    let text = "predict {
  a = Precision()
  b = Recall()
  c = F1()
  d = R2()
  step() {
    s = tensor([[0.1, 0.9, 0.2], [1.0, 0.0, 0.0], [0.3, 0.2, 0.9], [0.0, 1.0, 0.0]])
    l = tensor([1, 0, 1, 1])
    x = tensor([0.3, -1.0, 2.0, 0.5])
    y = tensor([0.2, -1.1, 1.5, 1.0])
    report a = a(s, l)
    report b = b(s, l)
    report c = c(s, l)
    report d = d(x, y)
    report precision(s, l)
    report recall(s, l)
    report f1(s, l)
    report r2(x, y)
    s
  }
}";
    let checked = check(text);
    assert!(!checked.has_errors(), "{:?}", faults(&checked));
    let mut engine = driver::engine(&checked, "predict", Target::Cpu, 1).expect("an engine");
    engine.initialise(0).expect("first values");
    let step = StepInputs { fields: &[], clock: ClockValues::default(), seed: 7, lengths: &[] };
    engine.run(Entry::Eval, 0, &step).expect("a step");
    let reports = &checked.program.tasks[0].eval.reports;
    let figure = |name: &str| engine.scalar(reports.iter().position(|r| r.name == name).expect(name));
    for (whole, batch) in [("a", "precision"), ("b", "recall"), ("c", "f1"), ("d", "r2")] {
        assert!((figure(whole) - figure(batch)).abs() < 1e-5, "{batch}: {} {}", figure(whole), figure(batch));
    }
}
