//! Nets and parts of nets of other tasks.

use crate::support::*;
use nnc::artifact::checkpoint;

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
