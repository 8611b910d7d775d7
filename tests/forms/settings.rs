//! Settings of a task that trains: what is accumulated, clipped, averaged.

use crate::support::*;
use nnc::engine::Entry;

/// The gradient of each step is the number of the step, from 1.
fn counting(settings: &str, optimizer: &str) -> String {
    with_one(&format!(
        "train {{
  net = One()
  {settings}
  steps = 100
  optimizer = {optimizer}
  step() {{ minimize sum(net()) * (clock.step + 1) }}
}}"
    ))
}

#[test]
fn accumulated_gradients_are_averaged_and_move_at_every_nth_batch() {
    let checked = good(&counting("accumulate = 4", "Sgd(0.1)"));
    let mut run = Run::new(&checked, "train", 100);
    run.train(3);
    close(run.first("net.w"), 1.0);
    close(run.first("net.w.Sgd.accumulated"), 6.0);
    run.train(1);
    close(run.first("net.w"), 1.0 - 0.1 * 2.5);
    close(run.first("net.w.Sgd.accumulated"), 0.0);
    run.train(4);
    close(run.first("net.w"), 0.75 - 0.1 * 6.5);
}

#[test]
fn states_of_optimizers_move_with_updates_and_their_clock_counts_them() {
    // Adam's first update is by the rate, whatever the gradient: only if it is its first step and its first state.
    let checked = good(&counting("accumulate = 3", "Adam(0.1)"));
    let mut run = Run::new(&checked, "train", 100);
    run.train(2);
    close(run.first("net.w.Adam.m"), 0.0);
    run.train(1);
    close(run.first("net.w.Adam.m"), 0.1 * 2.0);
    assert!((run.first("net.w") - 0.9).abs() < 1e-5);
    let whole = good(&counting("", "Adam(0.1)").replace("clock.step + 1", "clock.step * 3 + 2"));
    let mut same = Run::new(&whole, "train", 33);
    same.train(2);
    run.train(3);
    assert!((run.first("net.w") - same.first("net.w")).abs() < 1e-6);
}

#[test]
fn clipping_by_value_comes_before_clipping_by_norm() {
    let checked = good(&counting("clip_value = 2.5", "Sgd(0.1)"));
    let mut run = Run::new(&checked, "train", 100);
    run.train(4);
    close(run.first("net.w"), 1.0 - 0.1 * (1.0 + 2.0 + 2.5 + 2.5));
    let checked = good(&counting("clip_value = 2.5\n  clip_norm = 1", "Sgd(0.1)"));
    let mut run = Run::new(&checked, "train", 100);
    run.train(3);
    assert!((run.first("net.w") - 0.7).abs() < 1e-5);
}

#[test]
fn averages_follow_parameters_and_serve_evaluation() {
    let checked = good(&counting("ema = 0.5", "Sgd(0.1)"));
    let mut run = Run::new(&checked, "train", 100);
    run.train(1);
    close(run.first("net.w"), 0.9);
    close(run.first("net.w.average"), 0.95);
    run.train(1);
    close(run.first("net.w"), 0.7);
    close(run.first("net.w.average"), 0.5 * 0.95 + 0.5 * 0.7);
    run.step = 0;
    run.entry(Entry::Eval);
    close(run.reports(Entry::Eval)[0].1, 0.825);
}

#[test]
fn wrong_settings_say_so() {
    assert_eq!(
        fault(&counting("accumulate = 1.5", "Sgd(0.1)")).0,
        "`accumulate` is the number 1.5, not a whole number above 0"
    );
    assert_eq!(fault(&counting("ema = 1.5", "Sgd(0.1)")).0, "`ema` is the number 1.5, not a number between 0 and 1");
}
