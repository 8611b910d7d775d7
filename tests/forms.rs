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
        self.engine.run(entry, 0, &StepInputs { fields: &[], lengths: &[], clock, seed: 0 }).expect("a step");
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
            Entry::Eval | Entry::Once => &self.task.eval,
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

mod lists {
    use super::*;

    const NET: &str = "model Net(n: int = 3) {
  stem  = Linear(4)
  heads = [repeat i in 0..n { Linear(2 + i) }]
  forward(x: f32[B, D]) {
    h = stem(x)
    concat([repeat head in heads { head(h) }], axis: -1)
  }
}
";

    fn trained(acts: &str, over: &str) -> String {
        format!(
            "{NET}train {{
  net = Net()
  steps = 3
  {acts}
  step() {{ minimize mean(net(normal([8, 5])) ^ 2){over} }}
}}
"
        )
    }

    #[test]
    fn items_are_layers_of_their_own_named_by_their_numbers() {
        let checked = good(&trained("optimizer = Sgd(lr: 0.1)", ""));
        let found = checked.program.vars.iter().filter(|v| v.kind == VarKind::Param);
        let found: Vec<String> = found.map(|v| format!("{} {}", v.path, v.ty)).collect();
        let wanted = [
            "net.stem.weight f32[4, 5]",
            "net.stem.bias f32[4]",
            "net.heads.0.weight f32[2, 4]",
            "net.heads.0.bias f32[2]",
            "net.heads.1.weight f32[3, 4]",
            "net.heads.1.bias f32[3]",
            "net.heads.2.weight f32[4, 4]",
            "net.heads.2.bias f32[4]",
        ];
        assert_eq!(found, wanted);
        let mut run = Run::new(&checked, "train", 3);
        let before = run.get("net.heads.1.weight");
        run.train(1);
        assert!(before.iter().zip(run.get("net.heads.1.weight")).all(|(a, b)| *a != b));
    }

    #[test]
    fn items_are_selected_frozen_and_set_like_links() {
        let moved = |text: &str| -> Vec<bool> {
            let checked = good(text);
            let mut run = Run::new(&checked, "train", 3);
            let paths = ["net.heads.0.weight", "net.heads.1.weight", "net.heads.2.weight"];
            let before = paths.map(|p| run.get(p));
            run.train(2);
            paths.iter().zip(&before).map(|(p, b)| run.get(p) != *b).collect()
        };
        let sgd = "optimizer = Sgd(lr: 0.1)";
        assert_eq!(moved(&trained(&format!("freeze net.heads[0]\n  {sgd}"), "")), [false, true, true]);
        assert_eq!(moved(&trained(&format!("freeze net.heads[-1], net.stem\n  {sgd}"), "")), [true, true, false]);
        let rest = "freeze net.stem, net.heads[1:3]";
        assert_eq!(moved(&trained(&format!("{rest}\n  {sgd}"), " over net.heads[0]")), [true, false, false]);
        let groups = "optimizer = Sgd(lr: 0.1) { net.heads[1:3] { lr = 0 } }";
        assert_eq!(moved(&trained(groups, "")), [true, false, false]);
    }

    #[test]
    fn a_task_may_hold_a_list_of_nets() {
        let text = format!(
            "{NET}train {{
  nets = [Net(1), Net(2)]
  steps = 2
  step() {{
    x = ones([2, 5])
    repeat i in 0..2 {{ y = nets[i](x[:, ::-1]) }}
    minimize mean(nets[0](x) ^ 2) over nets[0] with Sgd(0.1)
    minimize mean(y ^ 2) over nets[1] with Adam(0.1)
  }}
}}
predict {{
  step() {{ train.nets[1](ones([2, 5])) }}
}}
"
        );
        let checked = good(&text);
        let mut run = Run::new(&checked, "train", 2);
        let before = run.get("nets.1.heads.1.weight");
        run.train(1);
        assert_ne!(before, run.get("nets.1.heads.1.weight"));
    }
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
}

/// A folder of one test's own, removed at its end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("nnc-forms-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Trains a task as `nnc run` does; stops after so many steps if told to.
struct Training<'a> {
    checked: &'a Checked,
    name: &'a str,
    threads: usize,
    /// Checkpoints of other tasks, by name.
    trained: Vec<(&'a str, std::path::PathBuf)>,
    root: std::path::PathBuf,
}

/// Sets a flag once so many steps are done.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl train::Observer for StopAfter<'_> {
    fn tell(&mut self, news: train::News) {
        if let train::News::Step { done, .. } = news
            && done == self.0
        {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl<'a> Training<'a> {
    fn new(checked: &'a Checked, name: &'a str) -> Training<'a> {
        Training { checked, name, threads: 2, trained: Vec::new(), root: ".".into() }
    }

    fn start(&self, engine: &dyn Engine) -> train::Start {
        let trained = |of: &Task| {
            let found = self.trained.iter().find(|(n, _)| *n == of.name);
            checkpoint::read(&found.expect("a trained task").1, None)
        };
        let start = train::start(&self.checked.program, task(self.checked, self.name), engine, &self.root, trained);
        start.expect("a start")
    }

    fn run(&self, folder: &Path, from: Option<&Checkpoint>, stop_after: Option<u64>) -> Outcome {
        let task = task(self.checked, self.name);
        let mut engine = driver::engine(self.checked, self.name, Target::Cpu, self.threads).expect("an engine");
        let start = if from.is_some() { Vec::new() } else { self.start(&*engine).values };
        let opened = train::open(task, &self.root).expect("data");
        let (learn, validate) = match &opened {
            None => (Feed::none(), None),
            Some(opened) => {
                let split = opened.split(0);
                let feed = |view, shuffle| Feed::new(view, &task.fields, task.settings.batch, shuffle).expect("a feed");
                (feed(split.train, true), split.validate.map(|v| feed(v, false)))
            }
        };
        let stop = AtomicBool::new(false);
        let folder = match from {
            None => RunFolder::create_at(folder).expect("a folder"),
            Some(_) => RunFolder::open(folder).expect("a run").0,
        };
        folder.write_record(&Default::default()).expect("a record");
        let setup = Setup {
            program: &self.checked.program,
            task,
            engine: &mut *engine,
            train: learn,
            validate,
            seed: 0,
            source: "same".into(),
            folder,
            start,
            stop: &stop,
        };
        let mut session = Session::new(setup, from, &mut Silent).expect("a session");
        session.run(&mut StopAfter(stop_after.unwrap_or(u64::MAX), &stop)).expect("a run")
    }
}

fn tensor(file: &Checkpoint, name: &str) -> Vec<f64> {
    let t = file.get(name).unwrap_or_else(|| panic!("no {name}"));
    bytes::to_f64(t.dtype, t.bytes)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

mod loading {
    use super::*;
    use nnc::artifact::TensorRef;
    use nnc::ops::DType;
    use std::collections::BTreeMap;

    const NET: &str = "model Net {
  body = seq { Linear(2); BatchNorm2d() }
  fc   = Linear(1)
  forward(x: f32[B, D]) { x |> body[0] |> fc }
}
";

    /// Writes tensors whose numbers are 1, 2, 3, …
    fn write(path: &Path, tensors: &[(&str, &[usize])]) {
        let data: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, s)| (0..s.iter().product()).flat_map(|i: usize| (i as f32 + 1.0).to_le_bytes()).collect())
            .collect();
        let refs: Vec<TensorRef> = tensors
            .iter()
            .zip(&data)
            .map(|((name, shape), bytes)| TensorRef { name, dtype: DType::F32, shape, bytes })
            .collect();
        checkpoint::write(path, &refs, &BTreeMap::new()).expect("a file");
    }

    fn program(acts: &str) -> String {
        NET.replace("; BatchNorm2d()", "").replace("body[0]", "body")
            + &format!(
                "train {{
  net = Net()
  {acts}
  steps = 1
  optimizer = Sgd(0.1)
  step() {{ minimize mean(net(ones([1, 3]))) }}
}}"
            )
    }

    /// What is loaded, by path, or the diagnostic; and the warnings.
    fn load(name: &str, acts: &str, tensors: &[(&str, &[usize])]) -> Result<(Vec<String>, String), String> {
        let folder = Folder::new(name);
        write(&folder.0.join("w.safetensors"), tensors);
        let checked = good(&program(acts));
        let t = task(&checked, "train");
        let engine = driver::engine(&checked, "train", Target::Cpu, 1).expect("an engine");
        let never = |_: &Task| panic!("no other task");
        let text = |d: &nnc::diag::Diagnostic| format!("{}\n{}", d.headline, d.notes.join("\n"));
        match train::start(&checked.program, t, &*engine, &folder.0, never) {
            Ok(start) => {
                let paths = start.values.iter().map(|(v, _)| checked.program.var(*v).path.clone()).collect();
                Ok((paths, start.notes.iter().map(text).collect()))
            }
            Err(d) => Err(text(&d)),
        }
    }

    const ALL: [&str; 4] = ["net.body.0.weight", "net.body.0.bias", "net.fc.weight", "net.fc.bias"];

    #[test]
    fn names_are_found_below_any_prefix() {
        for (i, prefix) in ["", "net.", "module.", "model.net."].iter().enumerate() {
            let name = |n: &str| format!("{prefix}{n}");
            let names = [name("body.0.weight"), name("body.0.bias"), name("fc.weight"), name("fc.bias")];
            let shapes: [&[usize]; 4] = [&[2, 3], &[2], &[1, 2], &[1]];
            let tensors: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(shapes).collect();
            let found = load(&format!("prefix{i}"), "load net from \"w.safetensors\"", &tensors);
            assert_eq!(found, Ok((ALL.map(String::from).to_vec(), String::new())), "{prefix}");
        }
    }

    #[test]
    fn a_part_is_loaded_and_the_rest_stays() {
        let tensors: [(&str, &[usize]); 4] =
            [("body.0.weight", &[2, 3]), ("body.0.bias", &[2]), ("fc.weight", &[1000, 2]), ("fc.bias", &[1000])];
        let (paths, notes) = load("part", "load net except net.fc from \"w.safetensors\"", &tensors).expect("it fits");
        assert_eq!((paths, notes), (ALL[..2].iter().map(|s| s.to_string()).collect(), String::new()));
        let (paths, _) = load("body", "load net.body from \"w.safetensors\"", &tensors).expect("it fits");
        assert_eq!(paths, ALL[..2]);
    }

    #[test]
    fn all_that_does_not_fit_is_in_one_message() {
        let tensors: [(&str, &[usize]); 4] =
            [("body.0.weight", &[2, 4]), ("body.0.bias", &[2]), ("fc.weights", &[1, 2]), ("fc.bias", &[1])];
        let message = load("wrong", "load net from \"w.safetensors\"", &tensors).unwrap_err();
        for part in [
            "w.safetensors does not fit `net`",
            "`net.body.0.weight` is f32[2, 4] in the file and f32[2, 3] in the net",
            "`net.fc.weight` (f32[1, 2]), looked for as `fc.weight`; did you mean `fc.weights`, which the file has?",
            "only in the file, and left there:\n  `fc.weights`",
        ] {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    }

    #[test]
    fn aliases_and_what_is_left_over_are_reported() {
        let tensors: [(&str, &[usize]); 5] = [
            ("bert.body.0.gamma", &[2, 3]),
            ("bert.body.0.beta", &[2]),
            ("bert.fc.weight", &[1, 2]),
            ("bert.fc.bias", &[1]),
            ("bert.pooler", &[1]),
        ];
        let (paths, notes) = load("alias", "load net from \"w.safetensors\"", &tensors).expect("it fits");
        assert_eq!(paths, ALL);
        assert!(notes.contains("`net.body.0.weight` is `bert.body.0.gamma` in the file"), "{notes}");
        assert!(notes.contains("only in the file, and left there:\n  `bert.pooler`"), "{notes}");
    }

    #[test]
    fn a_file_that_is_not_there_is_said_at_its_place() {
        let checked = good(&program("load net from \"nowhere.safetensors\""));
        let engine = driver::engine(&checked, "train", Target::Cpu, 1).expect("an engine");
        let t = task(&checked, "train");
        let never = |_: &Task| panic!("no other task");
        let d = train::start(&checked.program, t, &*engine, Path::new("."), never).unwrap_err();
        let at = checked.sources.text(d.span().expect("a place"));
        assert_eq!(at, "load net from \"nowhere.safetensors\"");
        assert_eq!(fault(&program("load nett from \"w.safetensors\"")).1, "did you mean `net`?");
        assert_eq!(fault(&program("load net from 3")).0, "the int 3 is not a file's name");
    }

    #[test]
    fn loaded_weights_are_what_training_starts_from() {
        let folder = Folder::new("start");
        let tensors: [(&str, &[usize]); 4] =
            [("body.0.weight", &[2, 3]), ("body.0.bias", &[2]), ("fc.weight", &[1, 2]), ("fc.bias", &[1])];
        write(&folder.0.join("w.safetensors"), &tensors);
        let checked = good(&program("load net from \"w.safetensors\"\n  freeze net.body\n  ema = 0.5"));
        let mut training = Training::new(&checked, "train");
        training.root = folder.0.clone();
        let run = folder.0.join("run");
        training.run(&run, None, None);
        let file = checkpoint::read(&run.join("last.safetensors"), None).expect("a checkpoint");
        assert_eq!(tensor(&file, "net.body.0.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        // h = [1 + 2 + 3 + 1, 4 + 5 + 6 + 2]; fc = [1, 2] - 0.1 * h.
        let fc = tensor(&file, "net.fc.weight");
        close(fc[0], 1.0 - 0.7);
        close(fc[1], 2.0 - 1.7);
        close(tensor(&file, "net.fc.weight.average")[0], (1.0 + 0.3) / 2.0);
    }
}

mod other_tasks {
    use super::*;

    fn two(second: &str) -> String {
        format!(
            "{ONE}model Net {{
  encoder = One(start: 3)
  head    = One(start: 1)
  forward() {{ encoder() * head() }}
}}
train pretrain {{
  net = Net()
  steps = 2
  optimizer = Sgd(0.1)
  step() {{ minimize sum(net()) }}
}}
train probe {{
  {second}
}}"
        )
    }

    #[test]
    fn a_variables_owner_is_its_task_also_behind_one_with_a_fault() {
        let checked = check(
            "train broken { net = Linear(2) }
train whole {
  net = Linear(2)
  steps = 1
  optimizer = Adam(lr: 1e-2)
  step() { minimize mean(net(ones([1, 2]))) }
}",
        );
        assert!(checked.has_errors() && checked.program.tasks.len() == 1);
        let task = task(&checked, "whole");
        for v in &task.vars {
            assert_eq!(checked.program.owner(*v).map(|t| t.name.as_str()), Some("whole"));
        }
    }

    #[test]
    fn a_net_of_another_task_is_a_copy_that_starts_where_that_ended() {
        let checked = good(&two("encoder = pretrain.net.encoder
  head = One(start: 5)
  freeze encoder
  steps = 1
  optimizer = Sgd(0.1)
  step() { minimize sum(encoder() * head()) }"));
        let folder = Folder::new("probe");
        Training::new(&checked, "pretrain").run(&folder.0.join("a"), None, None);
        let first = checkpoint::read(&folder.0.join("a/last.safetensors"), None).expect("a checkpoint");
        let encoder = tensor(&first, "net.encoder.w")[0];
        assert_ne!(encoder, 3.0);
        let mut probe = Training::new(&checked, "probe");
        probe.trained = vec![("pretrain", folder.0.join("a/last.safetensors"))];
        probe.run(&folder.0.join("b"), None, None);
        let second = checkpoint::read(&folder.0.join("b/last.safetensors"), None).expect("a checkpoint");
        assert_eq!(second.tensors().map(|t| t.name.to_string()).collect::<Vec<_>>(), ["encoder.w", "head.w"]);
        assert_eq!(tensor(&second, "encoder.w"), [encoder]);
        close(tensor(&second, "head.w")[0], 5.0 - 0.1 * encoder);
    }

    #[test]
    fn a_copy_that_is_trained_on_is_the_tasks_own() {
        let checked = good(&two("student = pretrain.net
  net = pretrain.net
  steps = 1
  optimizer = Sgd(0.1)
  step() { minimize sum(student()) + sum(net()) }"));
        let t = task(&checked, "probe");
        let paths: Vec<&str> = t.vars.iter().map(|v| checked.program.var(*v).path.as_str()).collect();
        // Two names, one net, under its first.
        assert_eq!(paths, ["student.encoder.w", "student.head.w"]);
        assert!(t.vars.iter().all(|v| checked.program.var(*v).task == 1));
        assert!(task(&checked, "pretrain").vars.iter().all(|v| !t.vars.contains(v)));
    }

    #[test]
    fn a_step_may_speak_of_it_directly() {
        let checked = good(&two("net = One()
  freeze pretrain.net
  steps = 1
  optimizer = Sgd(0.1)
  step() { minimize sum(pretrain.net() * net()) }"));
        let t = task(&checked, "probe");
        let paths: Vec<&str> = t.vars.iter().map(|v| checked.program.var(*v).path.as_str()).collect();
        assert_eq!(paths, ["pretrain.net.encoder.w", "pretrain.net.head.w", "net.w"]);
    }
}

mod over_data {
    use super::*;

    /// Everything at once: what a checkpoint must hold is what makes a resumed run the same.
    const ALL_FORMS: &str = "
layer Seen {
  state count: f32[] = 0
  state hits:  f32[] = 0
  forward(scores: f32[B, C], label: i32[B]) -> f32 {
    count = count + B
    hits  = hits + sum(f32(argmax(scores, axis: -1) == label))
    hits / count
  }
}
train {
  data      = digits(validate: 0.2)
  batch     = 100
  epochs    = 2
  body      = seq { flatten; Linear(16); relu; Dropout(0.1) }
  head      = Linear(10)
  freeze body[1].bias
  optimizer = AdamW(lr: cosine(1e-2), weight_decay: 0.01) { body, head.bias { weight_decay = 0 } }
  accumulate = 2
  clip_value = 0.5
  clip_norm = 1
  ema       = 0.9
  validate_every = 5 steps
  seen      = Seen()
  step(image, label) {
    scores = image |> body |> head
    minimize cross_entropy(scores, label) + l2(body.*.weight, 1e-4)
    report   accuracy(scores, label)
    report   seen(scores, label)
  }
}";

    fn same_as_whole(text: &str, stop_after: u64, threads: usize) {
        let checked = good(text);
        let folder = Folder::new(&format!("resume{stop_after}-{threads}"));
        let (whole, parts) = (folder.0.join("whole"), folder.0.join("parts"));
        Training::new(&checked, "train").run(&whole, None, None);
        let mut training = Training::new(&checked, "train");
        training.threads = threads;
        training.run(&parts, None, Some(stop_after));
        let from = checkpoint::read(&parts.join("last.safetensors"), None).expect("a checkpoint");
        training.run(&parts, Some(&from), None);
        for file in ["last.safetensors", "best.safetensors", "metrics.csv"] {
            assert!(read(&whole.join(file)) == read(&parts.join(file)), "{file} differs");
        }
    }

    #[test]
    fn a_resumed_run_is_the_same_to_the_bit() {
        same_as_whole(ALL_FORMS, 8, 2);
    }

    #[test]
    fn a_resumed_run_on_other_threads_is_the_same_to_the_bit() {
        same_as_whole(ALL_FORMS, 15, 1);
    }

    /// The rate falls after every validation that is not better by half.
    fn on_plateau() -> String {
        let plateau = "ReduceLROnPlateau(1e-2, factor: 0.5, patience: 0, mode: max, of: \"accuracy\", threshold: 0.5)";
        ALL_FORMS.replace("cosine(1e-2)", plateau)
    }

    #[test]
    fn a_resumed_run_remembers_what_validation_found() {
        same_as_whole(&on_plateau(), 12, 2);
    }

    #[test]
    fn a_rate_falls_when_a_figure_does_not_get_better() {
        let checked = good(&on_plateau());
        let folder = Folder::new("plateau");
        Training::new(&checked, "train").run(&folder.0.join("run"), None, None);
        let last = checkpoint::read(&folder.0.join("run/last.safetensors"), None).expect("a checkpoint");
        let number = |name: &str| {
            let tensor = last.get(name).expect(name);
            nnc::engine::bytes::to_f64(tensor.dtype, tensor.bytes)[0]
        };
        // 30 steps, a validation after every fifth; the last one comes after the last step.
        assert_eq!(number("clock.validated"), 6.0);
        assert_eq!(number("clock.ReduceLROnPlateau.seen"), 5.0);
        assert!(number("clock.ReduceLROnPlateau.rate") < 1e-2);
        assert!(number("clock.figure.accuracy") > 0.1);
    }

    #[test]
    fn a_schedule_asks_for_figures_that_exist() {
        let text = on_plateau().replace("of: \"accuracy\"", "of: \"acuracy\"");
        let found = check(&text).diagnostics;
        assert!(found.iter().any(|d| d.headline == "no figure is called `acuracy`"), "{found:?}");
    }

    #[test]
    fn a_metric_with_state_is_about_its_whole_epoch() {
        let checked = good(ALL_FORMS);
        let folder = Folder::new("metric");
        let outcome = Training::new(&checked, "train").run(&folder.0.join("run"), None, None);
        for figures in [&outcome.trained, &outcome.validated] {
            let of = |name: &str| figures.iter().find(|(n, _)| n == name).expect("a figure").1;
            // The same share, counted in two ways; that it is, shows that every epoch and validation starts anew.
            assert!((of("seen") - of("accuracy")).abs() < 1e-6, "{figures:?}");
        }
        assert!(outcome.validated[0].1 < 10f64.ln());
        let t = task(&checked, "train");
        let metrics: Vec<&str> = t.metrics.iter().map(|v| checked.program.var(*v).path.as_str()).collect();
        assert_eq!(metrics, ["seen.count", "seen.hits"]);
    }

    #[test]
    fn perplexity_is_of_the_whole_set() {
        let checked = good(
            "train {
  data       = digits(validate: 250)
  batch      = 100
  epochs     = 1
  net        = seq { flatten; Linear(10) }
  optimizer  = Sgd(0.1)
  perplexity = Perplexity()
  but_threes = Perplexity(ignore: 3)
  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   perplexity(scores, label)
    report   but_threes(scores, label)
  }
}",
        );
        let folder = Folder::new("perplexity");
        let outcome = Training::new(&checked, "train").run(&folder.0.join("run"), None, None);
        let of = |name: &str| outcome.validated.iter().find(|(n, _)| n == name).expect("a figure").1;
        // The last batch is half as large; the loss is the mean over samples.
        assert!((of("perplexity") - of("loss").exp()).abs() < 1e-5 * of("perplexity"), "{:?}", outcome.validated);
        assert!((of("but_threes") - of("perplexity")).abs() > 1e-4);
    }

    #[test]
    fn the_best_checkpoint_holds_the_averages() {
        let checked = good(ALL_FORMS);
        let folder = Folder::new("best");
        Training::new(&checked, "train").run(&folder.0.join("run"), None, None);
        let best = checkpoint::read(&folder.0.join("run/best.safetensors"), None).expect("a checkpoint");
        let last = checkpoint::read(&folder.0.join("run/last.safetensors"), None).expect("a checkpoint");
        assert_eq!(tensor(&best, "head.weight"), tensor(&best, "head.weight.average"));
        assert_ne!(tensor(&last, "head.weight"), tensor(&last, "head.weight.average"));
        assert!(last.get("body.1.bias.average").is_none(), "what is frozen has none");
    }

    fn stopping(condition: &str) -> String {
        format!(
            "train {{
  data  = digits(validate: 0.2)
  batch = 500
  epochs = 30
  net   = seq {{ flatten; Linear(10) }}
  optimizer = Sgd(lr: 0)
  stop_when = {condition}
  step(image, label) {{
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }}
}}"
        )
    }

    #[test]
    fn training_stops_when_nothing_improves() {
        for (name, condition, lower) in
            [("acc", "no_improvement(of: accuracy, epochs: 3)", false), ("loss", "no_improvement(epochs: 3)", true)]
        {
            let checked = good(&stopping(condition));
            let stop = task(&checked, "train").settings.stop_when.clone().expect("a condition");
            assert_eq!(stop.lower, Some(lower));
            let folder = Folder::new(&format!("stop-{name}"));
            let training = Training::new(&checked, "train");
            let outcome = training.run(&folder.0.join("run"), None, None);
            // Best after the first epoch of three steps; three more epochs are no better.
            assert_eq!((outcome.step, outcome.stopped_early), (12, true));
            let from = checkpoint::read(&folder.0.join("run/last.safetensors"), None).expect("a checkpoint");
            assert_eq!(training.run(&folder.0.join("run"), Some(&from), None).step, 12, "it stays stopped");
        }
    }

    #[test]
    fn a_condition_watches_a_figure() {
        let (what, help) = fault(&stopping("no_improvement(of: acuracy, epochs: 3)"));
        assert_eq!((what.as_str(), help.as_str()), ("no figure is called `acuracy`", "did you mean `accuracy`?"));
        assert_eq!(fault(&stopping("no_improvement(of: accuracy)")).0, "`stop_when` does not say how long to wait");
        assert_eq!(fault(&stopping("no_improvement(patience: 3)")).1, "say of what: `epochs: 3` or `steps: 500`");
        assert_eq!(fault(&stopping("accuracy > 0.9")).0, "`stop_when` takes `no_improvement(…)`");
    }
}

mod gradients {
    use super::*;

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

    const REVERSED: &str =
        "fn reversed(x: f32[..s], strength: float = 1) -> f32[..s] { x } gradient(d) { -strength * d }";

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
}

#[test]
fn a_member_that_only_a_size_mentions_is_used() {
    good(
        "model Net() {
  side  = 28 / 4
  rows  = side * side
  param places: f32[rows + 1, D] = normal
  forward(x: f32[B, 7, D]) -> f32[B, 7, D] { x + places[0:7] }
}",
    );
}
