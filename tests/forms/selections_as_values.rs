//! Selections of parameters as values.

use crate::support::*;
use nnc::engine::Entry;

fn penalty(loss: &str) -> String {
    with_one(&format!(
        "layer Net {{
  a = One(start: 3)
  b = One(start: -2)
  forward() {{ a() + b() }}
}}
train {{
  net = Net()
  optimizer = Sgd(0.1)
  steps = 1
  step() {{ minimize {loss} + 0 * sum(net()) }}
}}"
    ))
}

fn value(loss: &str) -> f64 {
    let checked = good(&penalty(loss));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    run.reports(Entry::Train)[0].1
}

#[test]
fn functions_map_and_sums_reduce() {
    close(value("l1(net.*.w, 0.5)"), 2.5);
    close(value("l1(net, 0.5)"), 2.5);
    close(value("l2(net.a)"), 9.0);
    close(value("sum(net.*.w ^ 2)"), 13.0);
    close(value("sum(0.5 * abs(net.*.w) - 1)"), 0.5);
    close(value("mean(net.*.w * net.*.w)"), 6.5);
    close(value("sum(-net.*.w)"), -1.0);
}

#[test]
fn what_is_frozen_beside_one_is_frozen() {
    let text = penalty("mean(net.*.w * net.*.w)").replace("  steps = 1", "  freeze net.a\n  steps = 1");
    let checked = good(&text);
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    close(run.first("net.a.w"), 3.0);
    assert!(run.first("net.b.w") > -2.0);
}

#[test]
fn they_have_gradients() {
    let checked = good(&penalty("l1(net.*.w, 0.5)"));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    close(run.first("net.a.w"), 2.95);
    close(run.first("net.b.w"), -1.95);
}

#[test]
fn what_is_not_elementwise_does_not_take_one() {
    assert!(!fault(&penalty("sum(softmax(net.*.w) @ 3)")).0.is_empty());
    assert_eq!(fault(&penalty("l1(net.*.v)")).0, "nothing is called `net.*.v`");
}
