//! Gradients that functions say themselves.

use crate::support::*;
use nnc::engine::Entry;

/// The value of the loss, and the parameter's gradient, of a program whose parameter is 3.
fn of(functions: &str, loss: &str) -> (f64, f64) {
    let checked = good(&with_one(&format!(
        "{functions}
train {{
  net = One(start: 3)
  optimizer = Sgd(1)
  steps = 1
  step() {{ minimize {loss} }}
}}"
    )));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    (run.reports(Entry::Train)[0].1, 3.0 - run.first("net.w"))
}

#[track_caller]
fn is(found: (f64, f64), value: f64, gradient: f64) {
    close(found.0, value);
    close(found.1, gradient);
}

const REVERSED: &str = "fn reversed(x: f32[..s], strength: float = 1) -> f32[..s] { x } gradient(d) { -strength * d }";

#[test]
fn a_function_may_say_its_gradient() {
    is(of(REVERSED, "sum(reversed(net()) ^ 2)"), 9.0, -6.0);
    is(of(REVERSED, "sum(reversed(net(), strength: 0.5) ^ 2)"), 9.0, -3.0);
    // Inputs are in scope; a chain of them is a chain of gradients.
    let half = "fn f(x: f32[..s]) -> f32[..s] { round(x) } gradient(d) { y = x / 2; d * y }";
    is(of(half, "sum(f(net()))"), 3.0, 1.5);
    is(of(half, "sum(f(f(net())))"), 3.0, 1.5 * 1.5);
}

#[test]
fn each_float_tensor_has_its_gradient_in_order() {
    let two = "fn f(a: f32[..s], index: i32[], b: f32[..s]) -> f32[..s] { a * b } gradient(d) { (10 * d, 100 * d * f32(index)) }";
    is(of(two, "sum(f(net(), i32(1), net()))"), 9.0, 110.0);
    is(of(two, "sum(f(net(), i32(1), 2 * net()))"), 18.0, 210.0);
    is(of(two, "sum(f(2, i32(1), net()))"), 6.0, 100.0);
}

#[test]
fn a_gradient_of_a_gradient_goes_through_what_is_written() {
    let cube = "fn f(x: f32[..s]) -> f32[..s] { x ^ 3 } gradient(d) { d * x ^ 2 }";
    is(of(cube, "sum(grad(sum(f(net.w)), by: net.w)) + 0 * sum(net())"), 9.0, 6.0);
}

#[test]
fn written_gradients_fit() {
    let wrong = |function: &str| {
        let text = with_one(&format!(
            "{function}\ntrain {{ net = One(); optimizer = Sgd(1); steps = 1; step() {{ minimize sum(f(net())) }} }}"
        ));
        check(&text).diagnostics.iter().map(|d| d.headline.clone()).collect::<Vec<_>>()
    };
    let heads = wrong("fn f(x: f32[..s]) -> f32[..s] { x } gradient(d) { (d, d) }");
    assert_eq!(heads, ["`gradient` of `f` gives 2 values for 1"]);
    let heads = wrong("fn f(x: f32[..s]) -> f32[..s] { x } gradient(d, e) { d }");
    assert_eq!(heads, ["`gradient` of `f` takes one name: `gradient(d)`"]);
    let heads = wrong("fn f(x: f32[N]) -> f32[N] { x } gradient(d) { unsqueeze(d, 0) }");
    assert_eq!(heads, ["the gradient by `x` is f32[1, N], not f32[N]"]);
}

#[test]
fn gradients_are_values() {
    // The gradient of w^2 is 2w; that of (2w)^2 is 8w.
    is(of("", "sum(grad(sum(net.w ^ 2), by: net.w) ^ 2) + 0 * sum(net())"), 36.0, 24.0);
    is(of("", "sum(net() * stop_gradient(net()))"), 9.0, 3.0);
    let second = "sum(grad(sum(grad(sum(net.w ^ 3), by: net.w)), by: net.w)) + 0 * sum(net())";
    is(of("", second), 18.0, 6.0);
    let through = "fn straight(x: f32[..s]) -> f32[..s] { x + stop_gradient(round(x) - x) }";
    is(of(through, "sum(straight(net() * 0.9))"), 3.0, 0.9);
}

#[test]
fn what_gets_no_gradient_is_named_with_what_blocks_it() {
    let found = check(&with_one(
        "train {
  a = One()
  b = One()
  optimizer = Sgd(1)
  steps = 1
  step() { minimize sum(a() * stop_gradient(b())) }
}",
    ));
    assert_eq!(headlines(&found), [("no loss depends on `b`", "One()")]);
    let net = "layer Net {
  a = One()
  b = One()
  forward() -> f32[1] { a() * b() }
}
";
    let found = check(&with_one(&format!(
        "{net}train {{
  net = Net()
  optimizer = Sgd(1)
  steps = 1
  step() {{ minimize sum(net.a() * round(net.b())) }}
}}"
    )));
    assert_eq!(found.diagnostics.len(), 1, "{:?}", headlines(&found));
    let d = &found.diagnostics[0];
    assert_eq!(d.headline, "the parameter `net.b.w` gets no gradient");
    assert!(d.secondary.iter().any(|l| l.text.contains("`round` stops it")), "{:?}", d.secondary);
    // Frozen, it need not have one.
    good(&with_one(&format!(
        "{net}train {{
  net = Net()
  freeze net.b
  optimizer = Sgd(1)
  steps = 1
  step() {{ minimize sum(net.a() * round(net.b())) }}
}}"
    )));
}

#[test]
fn a_parameter_may_be_used_from_outside_alone() {
    let text = |loss: &str| {
        format!(
            "model Net() {{
  fc = Linear(3)
  param spread: f32[2] = 0
  forward(x: f32[B, D]) -> f32[B, 3] {{ fc(x) }}
}}
train {{
  net       = Net()
  steps     = 1
  optimizer = Sgd(lr: 0.1)
  step() {{
    y = net(normal([4, 5]))
    minimize {loss}
  }}
}}
"
        )
    };
    let checked = good(&text("exp(-net.spread[0]) * mean(y ^ 2) + sum(net.spread)"));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    assert!(run.get("net.spread").iter().all(|v| *v != 0.0));
    assert_eq!(fault(&text("mean(y ^ 2)")).0, "the parameter `spread` gets no gradient");
    let stopped = fault(&text("mean(y ^ 2) + sum(stop_gradient(net.spread))"));
    assert_eq!(stopped.0, "the parameter `net.spread` gets no gradient");
}
