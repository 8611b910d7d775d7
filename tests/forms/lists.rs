//! Lists of layers and of nets.

use crate::support::*;
use nnc::check::VarKind;

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
