//! Several losses in a step, each over a net of its own, with an optimizer of its own.

use crate::support::*;
use nnc::check::VarKind;
use nnc::driver::Checked;
use nnc::engine::Entry;

#[test]
fn each_loss_moves_its_net_with_its_optimizer_in_order() {
    // Later statements see the parameters that earlier ones moved, as numbers.
    let checked = good(&with_one(
        "train {
  a = One(start: 1)
  b = One(start: 2)
  steps = 1
  step() {
    first = sum(a() ^ 2)
    minimize first over a with Sgd(0.1)
    second = sum(a() * b() ^ 2)
    minimize second over b with Sgd(0.01)
  }
}",
    ));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    close(run.first("a.w"), 0.8);
    close(run.first("b.w"), 2.0 - 0.01 * 2.0 * 0.8 * 2.0);
    assert_eq!(run.reports(Entry::Train).iter().map(|r| r.0).collect::<Vec<_>>(), ["first", "second"]);
}

#[test]
fn a_loss_computed_before_a_move_still_has_its_gradients() {
    let checked = good(&with_one(
        "train {
  a = One(start: 1)
  optimizer = Sgd(0.1)
  steps = 1
  step() {
    first = sum(a() ^ 2)
    second = sum(3 * a())
    minimize first
    minimize second
  }
}",
    ));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    close(run.first("a.w"), 0.8 - 0.3);
}

#[test]
fn nothing_is_differentiated_through_an_update() {
    // Both nets meet in both losses, as in a GAN whose author forgot `stop_gradient`.
    let checked = good(&with_one(
        "train {
  critic = One(start: 1)
  gen = One(start: 2)
  steps = 1
  step() {
    minimize sum(critic() * gen()) over critic with Sgd(0.1)
    minimize sum(critic() * gen()) over gen with Sgd(0.1)
  }
}",
    ));
    let mut run = Run::new(&checked, "train", 1);
    run.train(1);
    close(run.first("critic.w"), 0.8);
    close(run.first("gen.w"), 2.0 - 0.1 * 0.8);
}

#[test]
fn two_optimizers_of_one_kind_have_states_of_their_own() {
    let text = |with: &str| {
        with_one(&format!(
            "train {{
  a = One()
  optimizer = Sgd(0.1, momentum: 0.9)
  steps = 2
  step() {{
    minimize sum(a() ^ 2){with}
    minimize sum(a()){with}
  }}
}}"
        ))
    };
    let states = |checked: &Checked| {
        let t = task(checked, "train");
        let vars = t.vars.iter().map(|v| checked.program.var(*v));
        vars.filter(|v| v.kind == VarKind::OptimizerState).map(|v| v.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(states(&good(&text(" with Sgd(0.1, momentum: 0.9)"))), ["a.w.Sgd.velocity", "a.w.Sgd_2.velocity"]);
    assert_eq!(states(&good(&text(""))), ["a.w.Sgd.velocity"], "one optimizer, used twice, has one state");
}

#[test]
fn two_tasks_do_not_share_an_optimizers_state() {
    let one = "{ net = One(); optimizer = Sgd(0.1, momentum: 0.9); steps = 1; step() { minimize sum(net() ^ 2) } }";
    let checked = good(&with_one(&format!("train a {one}\ntrain b {one}")));
    let (a, b) = (task(&checked, "a"), task(&checked, "b"));
    assert_eq!(a.vars.len(), 2);
    assert!(a.vars.iter().all(|v| !b.vars.contains(v)), "{:?} {:?}", a.vars, b.vars);
}

#[test]
fn over_names_something() {
    let (what, _) =
        fault(&with_one("train { a = One(); steps = 1; step() { minimize sum(a() ^ 2) over a.v with Sgd(0.1) } }"));
    assert_eq!(what, "nothing is called `a.v`");
}
