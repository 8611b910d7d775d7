//! Settings of an optimizer for groups of parameters.

use crate::support::*;

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
    let checked = good(&three("net.head, net.body { lr = 1 }; net.body { lr = 0.5 }; net.*.One { weight_decay = 1 }"));
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
