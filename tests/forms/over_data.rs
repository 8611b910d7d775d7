//! Training over data: resuming with every form at once, the best weights, and when it stops.

use crate::support::*;
use nnc::artifact::checkpoint;

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
