//! What `freeze` keeps where it is.

use crate::support::*;

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
    let paths =
        ["net.body.0.weight", "net.body.2.bias", "net.norm.weight", "net.norm.running_mean", "net.norm.running_var"];
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
