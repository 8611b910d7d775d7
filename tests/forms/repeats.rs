//! `repeat` as a statement: what it may hold.

use crate::support::*;
use nnc::engine::Entry;

const CELL: &str = "layer Cell(width: int) {
  mix = Linear(width)
  forward(x: f32[B, D], h: f32[B, width], c: f32[B, width]) {
    n = tanh(mix(x) + h)
    (n, c + n)
  }
}
";

#[test]
fn several_names_and_types_are_bound_in_it() {
    let text = |body: &str| {
        format!(
            "{CELL}train {{
  cell      = Cell(4)
  steps     = 1
  optimizer = Sgd(lr: 0.1)
  step() {{
    x = normal([2, 3])
    (h, c) = (zeros([2, 4]), zeros([2, 4]))
    {body}
    minimize mean((h + c) ^ 2)
  }}
}}
"
        )
    };
    let unrolled = "(h, c) = cell(x, h, c)\n    (h, c) = cell(x, h, c)";
    let losses =
        [unrolled, "repeat 2 { (h, c) = cell(x, h, c) }", "repeat 2 { (h, d) = cell(x, h, c); c: f32[2, 4] = d }"].map(
            |body| {
                let checked = good(&text(body));
                let mut run = Run::new(&checked, "train", 5);
                run.train(1);
                run.reports(Entry::Train)[0].1
            },
        );
    assert!(losses[0].is_finite() && losses[0] > 0.0);
    assert_eq!(losses[0], losses[1]);
    assert_eq!(losses[0], losses[2]);
    assert!(check(&text("repeat 2 { h: f32[2, 5] = h }")).has_errors());
}

#[test]
fn each_copy_minimises_and_reports() {
    let checked = good(
        "train {
  heads     = [repeat 2 { Linear(3) }]
  steps     = 1
  optimizer = Sgd(lr: 0.1)
  step() {
    x = normal([2, 4])
    repeat i in 0..2 {
      y = heads[i](x)
      loss = mean((y - i) ^ 2)
      minimize loss over heads[i]
      report size = mean(abs(y))
    }
  }
}
",
    );
    let names: Vec<&str> = task(&checked, "train").eval.reports.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["loss", "size", "loss_2", "size_2"]);
    let mut run = Run::new(&checked, "train", 3);
    let paths = ["heads.0.weight", "heads.1.weight"];
    let before = paths.map(|p| run.get(p));
    run.train(1);
    assert!(paths.iter().zip(&before).all(|(p, b)| run.get(p) != *b));
}
