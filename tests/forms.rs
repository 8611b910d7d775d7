//! The forms of training, from the text of a program to the numbers that it trains: what is frozen, what is moved by
//! which optimizer, what is loaded, what is averaged. Everything runs on the target `cpu`.

use nnc::artifact::{Checkpoint, RunFolder, checkpoint};
use nnc::check::{Program, Task, VarKind};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes};
use nnc::ops::VarId;
use nnc::train::{self, Feed, Outcome, Session, Setup, Silent};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn check(text: &str) -> Checked {
    driver::check_text("test.nn", text.to_string(), Path::new("."), &Options::default())
}

#[track_caller]
fn good(text: &str) -> Checked {
    let checked = check(text);
    assert!(checked.diagnostics.is_empty(), "{:#?}", headlines(&checked));
    checked
}

fn headlines(checked: &Checked) -> Vec<(&str, &str)> {
    let at = |d: &nnc::diag::Diagnostic| d.span().map_or("", |s| checked.sources.text(s)).to_string();
    let texts: Vec<String> = checked.diagnostics.iter().map(at).collect();
    checked.diagnostics.iter().zip(texts).map(|(d, t)| (d.headline.as_str(), &*t.leak())).collect()
}

/// The headline and the help of the only fault.
#[track_caller]
fn fault(text: &str) -> (String, String) {
    let checked = check(text);
    assert_eq!(checked.diagnostics.len(), 1, "{:#?}", headlines(&checked));
    let d = &checked.diagnostics[0];
    (d.headline.clone(), d.help.join("; "))
}

fn task<'a>(checked: &'a Checked, name: &str) -> &'a Task {
    checked.program.task(name).expect("the task")
}

fn var(program: &Program, task: &Task, path: &str) -> VarId {
    let found = task.vars.iter().find(|v| program.var(**v).path == path);
    *found.unwrap_or_else(|| {
        let paths: Vec<&str> = task.vars.iter().map(|v| program.var(*v).path.as_str()).collect();
        panic!("no {path} among {paths:?}")
    })
}

/// A task in motion, without data.
struct Run<'a> {
    checked: &'a Checked,
    task: &'a Task,
    engine: Box<dyn Engine>,
    step: u64,
    steps: u64,
}

impl<'a> Run<'a> {
    fn new(checked: &'a Checked, name: &str, steps: u64) -> Run<'a> {
        let mut engine = driver::engine(checked, name, Target::Cpu, 2).expect("an engine");
        engine.initialise(0).expect("first values");
        Run { checked, task: task(checked, name), engine, step: 0, steps }
    }

    fn entry(&mut self, entry: Entry) {
        let clock = ClockValues { step: self.step, epoch: 0, steps: self.steps, epoch_steps: self.steps };
        self.engine.run(entry, 0, &StepInputs { fields: &[], clock, seed: 0 }).expect("a step");
    }

    fn train(&mut self, times: usize) {
        for _ in 0..times {
            self.entry(Entry::Train);
            self.step += 1;
        }
    }

    fn get(&self, path: &str) -> Vec<f64> {
        let tensor = self.engine.var(var(&self.checked.program, self.task, path));
        bytes::to_f64(tensor.dtype, &tensor.bytes)
    }

    fn first(&self, path: &str) -> f64 {
        self.get(path)[0]
    }

    fn reports(&self, entry: Entry) -> Vec<(&str, f64)> {
        let graph = match entry {
            Entry::Train => self.task.train.as_ref().expect("a task that trains"),
            Entry::Eval => &self.task.eval,
        };
        let names = graph.reports.iter().map(|r| r.name.as_str());
        names.enumerate().map(|(i, n)| (n, self.engine.scalar(i))).collect()
    }
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-3), "{a} is not {b}");
}

/// One number, whose square is minimised: its gradient is twice itself.
const ONE: &str = "layer One(start: float = 1) {
  param w: f32[1] = full(value: start)
  forward() -> f32[1] { w }
}
";

fn with_one(rest: &str) -> String {
    format!("{ONE}{rest}")
}

mod freeze {
    use super::*;

    const NET: &str = "layer Net {
  body = seq { Linear(4); Dropout(0.5); Linear(4) }
  norm = BatchNorm2d()
  fc   = Linear(2)
  forward(x: f32[B, D]) { x |> body |> reshape([B, 2, 2, 1]) |> norm |> reshape([B, 4]) |> fc }
}
";

    fn tuned(acts: &str) -> String {
        format!(
            "{NET}train {{
  net = Net()
  {acts}
  steps = 3
  optimizer = Sgd(lr: 0.1)
  step() {{ minimize mean(net(ones([6, 3])) ^ 2) }}
}}"
        )
    }

    #[test]
    fn what_is_frozen_stays_and_is_in_evaluation_mode() {
        let checked = good(&tuned("freeze net except net.fc"));
        let mut run = Run::new(&checked, "train", 3);
        let paths = [
            "net.body.0.weight",
            "net.body.2.bias",
            "net.norm.weight",
            "net.norm.running_mean",
            "net.norm.running_var",
        ];
        let before: Vec<_> = paths.iter().map(|p| run.get(p)).collect();
        let head = run.get("net.fc.weight");
        run.train(3);
        assert_eq!(before, paths.iter().map(|p| run.get(p)).collect::<Vec<_>>());
        assert_ne!(head, run.get("net.fc.weight"));
        // Dropout in a frozen part is off: every row of the same input gives the same.
        let graph = nnc::graph::print(&task(&checked, "train").train.as_ref().unwrap().graph);
        assert!(!graph.contains("uniform"), "{graph}");
    }

    #[test]
    fn a_part_that_is_not_wholly_frozen_trains_on() {
        let checked = good(&tuned("freeze net.body[0], net.norm"));
        let mut run = Run::new(&checked, "train", 3);
        let before = (run.get("net.body.0.weight"), run.get("net.body.2.weight"), run.get("net.norm.running_var"));
        run.train(2);
        assert_eq!(before.0, run.get("net.body.0.weight"));
        assert_ne!(before.1, run.get("net.body.2.weight"));
        assert_eq!(before.2, run.get("net.norm.running_var"));
        let graph = nnc::graph::print(&task(&checked, "train").train.as_ref().unwrap().graph);
        assert!(graph.contains("uniform"), "dropout outside of what is frozen is on");
    }

    #[test]
    fn kinds_and_leaves_are_selected_anywhere() {
        let checked = good(&tuned("freeze net.*.BatchNorm2d, net.*.bias"));
        let mut run = Run::new(&checked, "train", 3);
        let before = (run.get("net.norm.weight"), run.get("net.fc.bias"), run.get("net.fc.weight"));
        run.train(1);
        assert_eq!((before.0, before.1), (run.get("net.norm.weight"), run.get("net.fc.bias")));
        assert_ne!(before.2, run.get("net.fc.weight"));
    }

    #[test]
    fn a_selection_names_something_or_is_an_error() {
        let (what, help) = fault(&tuned("freeze net.boby"));
        assert_eq!((what.as_str(), help.as_str()), ("nothing is called `net.boby`", "did you mean `body`?"));
        let (what, help) = fault(&tuned("freeze net except net.fcc"));
        assert_eq!((what.as_str(), help.as_str()), ("nothing is called `net.fcc`", "did you mean `fc`?"));
        let (what, help) = fault(&tuned("freeze nett.body"));
        assert_eq!((what.as_str(), help.as_str()), ("there is no net `nett` in this task", "did you mean `net`?"));
        let (what, _) = fault(&tuned("freeze net.*.LayerNorm"));
        assert_eq!(what, "nothing is called `net.*.LayerNorm`");
        let (what, _) = fault(&tuned("freeze net.body[7]"));
        assert_eq!(what, "nothing is called `net.body[7]`");
        let (what, _) = fault(&tuned("freeze net.fc except net.fc"));
        assert_eq!(what, "this selection is empty");
    }

    #[test]
    fn a_wholly_frozen_net_has_nothing_to_minimise() {
        let (what, _) = fault(&tuned("freeze net"));
        assert_eq!(what, "no parameter has a gradient of this loss");
    }
}

mod several_losses {
    use super::*;

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
}

mod groups {
    use super::*;

    fn three(groups: &str) -> String {
        with_one(&format!(
            "layer Net {{
  head = One()
  body = One()
  tail = One()
  forward() {{ head() + body() + tail() }}
}}
train {{
  net = Net()
  optimizer = Sgd(0.1) {{ {groups} }}
  steps = 1
  step() {{ minimize sum(net()) }}
}}"
        ))
    }

    #[test]
    fn the_last_group_that_sets_it_wins() {
        let checked =
            good(&three("net.head, net.body { lr = 1 }; net.body { lr = 0.5 }; net.*.One { weight_decay = 1 }"));
        let mut run = Run::new(&checked, "train", 1);
        run.train(1);
        close(run.first("net.head.w"), 1.0 - 1.0 * 2.0);
        close(run.first("net.body.w"), 1.0 - 0.5 * 2.0);
        close(run.first("net.tail.w"), 1.0 - 0.1 * 2.0);
    }

    #[test]
    fn a_rate_in_a_group_may_be_a_schedule() {
        let checked = good(&three("net.head { lr = exponential(1, factor: 0.5) }"));
        let mut run = Run::new(&checked, "train", 1);
        run.train(1);
        close(run.first("net.head.w"), 0.0);
        close(run.first("net.tail.w"), 0.9);
    }

    #[test]
    fn settings_and_selections_of_groups_exist() {
        let (what, help) = fault(&three("net.head { wd = 0 }"));
        assert_eq!(what, "`Sgd` has no setting `wd`");
        assert!(help.contains("weight_decay"), "{help}");
        let (what, help) = fault(&three("net.heda { lr = 0 }"));
        assert_eq!((what.as_str(), help.as_str()), ("nothing is called `net.heda`", "did you mean `head`?"));
    }
}

mod settings {
    use super::*;

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
        assert_eq!(
            fault(&counting("ema = 1.5", "Sgd(0.1)")).0,
            "`ema` is the number 1.5, not a number between 0 and 1"
        );
    }
}

mod selections_as_values {
    use super::*;

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
    fn they_have_gradients() {
        let checked = good(&penalty("l1(net.*.w, 0.5)"));
        let mut run = Run::new(&checked, "train", 1);
        run.train(1);
        close(run.first("net.a.w"), 2.95);
        close(run.first("net.b.w"), -1.95);
    }

    #[test]
    fn what_is_not_elementwise_does_not_take_one() {
        assert_eq!(fault(&penalty("sum(softmax(net.*.w) @ 3)")).0.is_empty(), false);
        assert_eq!(fault(&penalty("l1(net.*.v)")).0, "nothing is called `net.*.v`");
    }
}
