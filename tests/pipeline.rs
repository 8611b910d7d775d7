//! Data on its way to a step: texts, tokenizers, bodies of `data` items mapped over batches, padding, draws, files saved.

use nnc::check::FieldFrom;
use nnc::diag::{Diagnostic, Severity};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes};
use nnc::train::{self, Feed};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &[u8])]) -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nnc-pipeline-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        for (name, text) in files {
            std::fs::write(path.join(name), text).expect("a file");
        }
        Folder(path)
    }

    fn check(&self, program: &str) -> Checked {
        driver::check_text("test.nn", program.to_string(), &self.0, &Options::default())
    }

    fn good(&self, program: &str) -> Checked {
        let checked = self.check(program);
        let errors: Vec<&Diagnostic> = checked.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        checked
    }

    /// The first error of a program that is checked, and run if it has none: code, headline, notes, help.
    fn bad(&self, program: &str) -> String {
        let checked = self.check(program);
        let found = checked.diagnostics.iter().find(|d| d.severity == Severity::Error).cloned();
        let found = found.or_else(|| {
            let task = checked.program.tasks.first()?;
            train::open(task, &checked.data_root).err().map(|d| *d)
        });
        let d = found.unwrap_or_else(|| panic!("no fault in {program}"));
        assert!(!d.help.is_empty() && d.headline.chars().count() <= 80, "{d:?}");
        format!("{} {}\n{}\n{}", d.code.id, d.headline, d.notes.join("\n"), d.help.join("\n"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// The first value of a `predict` task for its first `samples` samples, in some epoch.
fn predicted(checked: &Checked, task: &str, target: Target, epoch: u64, samples: usize) -> Vec<f64> {
    let task = checked.program.task(task).expect("a task");
    let mut engine = driver::engine(checked, &task.name, target, 2).expect("an engine");
    engine.initialise(5).expect("first values");
    let opened = train::open(task, &checked.data_root).expect("data").expect("data");
    let view = train::split(&opened, 5);
    let mut feed = Feed::new(view, &task.fields, task.settings.batch, false).expect("a feed");
    let mut all = Vec::new();
    let mut done = 0;
    for position in 0..feed.batches().expect("data") {
        if done >= samples {
            break;
        }
        let count = feed.load(5, epoch, position);
        let clock = ClockValues { step: position as u64, ..ClockValues::default() };
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: 5 };
        engine.run(Entry::Eval, feed.engine_batch(count), &inputs).expect("a step");
        let value = engine.value(0);
        all.extend(bytes::to_f64(value.dtype, &value.bytes));
        done += count;
    }
    all
}

/// A body with every kind of operation that has a rule, and a step that only hands it on.
fn mapped(batch: &str) -> String {
    format!(
        "
fn halves(x: f32[C, H, W]) -> f32[C, H, W] {{ concat([x[:, :4], x[:, 4:] * 0.5], axis: 1) }}
data views = digits(validate: 0.9) {{
  x     = image |> random_crop([6, 7], padding: 1) |> random_flip |> color_jitter(0.3)
  x     = pad(x, [0, 1, 0], [0, 1, 1]) |> halves |> normalize(mean: [0.5], std: [0.25])
  soft  = softmax(reshape(x, [64]))
  best  = argmax(soft, axis: 0)
  table = vector([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0, 23.0, 29.0])
  prime = table[label]
  rows  = permute(x, [0, 2, 1])
  prod  = reshape(rows, [8, 8]) @ reshape(x, [8, 8])
  own   = gather(reshape(x, [8, 8]), i32(floor(8 * random([8]))))
  out   = concat([reshape(x, [64]), reshape(prod, [64]), soft, own, reshape(prime, [1]), reshape(f32(best), [1])], axis: 0)
}}
predict {{
  data = views
  {batch}
  step(out) {{ out }}
}}"
    )
}

#[test]
fn a_body_gives_every_sample_what_it_gives_it_alone() {
    let folder = Folder::with(&[]);
    for target in [Target::Interpreter, Target::Cpu] {
        let alone = predicted(&folder.good(&mapped("")), "predict", target, 3, 21);
        assert_eq!(alone.len(), 21 * 202);
        for batch in ["batch = 1", "batch = 7", "batch = 21"] {
            let together = predicted(&folder.good(&mapped(batch)), "predict", target, 3, 21);
            let far = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(together.len() == alone.len() && far < 1e-4, "{target:?} {batch}: {far}");
        }
        // Draws differ from epoch to epoch, and are the same again in the same one.
        assert_ne!(predicted(&folder.good(&mapped("")), "predict", target, 4, 21), alone);
        assert_eq!(predicted(&folder.good(&mapped("")), "predict", target, 3, 21), alone);
    }
}

#[test]
fn only_what_a_step_takes_is_computed_and_only_training_augments() {
    let folder = Folder::with(&[]);
    let checked = folder.good(
        "
data d = digits(validate: 0.2) {
  if training { image = random_flip(image) }
  other = image * random([1, 8, 8])
}
train {
  data = d
  batch = 8
  epochs = 1
  net = seq { flatten; Linear(10) }
  optimizer = Adam(lr: 1e-2)
  step(image, label) { minimize cross_entropy(net(image), label) }
}",
    );
    let task = &checked.program.tasks[0];
    let draws = task.fields.iter().filter(|f| matches!(f.from, FieldFrom::Draw { .. }));
    assert_eq!(draws.map(|f| f.shape.len()).collect::<Vec<_>>(), [3], "the flip's draw, not that of `other`");
    let reads = |graph: &nnc::graph::Graph<nnc::dims::Dim>| {
        graph.nodes.iter().filter(|n| matches!(n.op, nnc::ops::Op::Field(_))).count()
    };
    let train = task.train.as_ref().expect("a training step");
    assert_eq!((reads(&train.graph), reads(&task.eval.graph)), (3, 2));
}

const PAIRS: &[u8] = b"a b\tx y z\na\tx\nb b b\ty\na b a b a b a b a b\tz z\na\tx x x\nc a\ty y\n";

const TRANSLATE: &str = "
data pairs = tsv(\"pairs.tsv\", columns: [\"left\", \"right\"], validate: 1) {
  source = left  |> tokens(words(100))
  target = right |> tokens(words(6), start: true, end: true)
  short  = left  |> tokens(words(100), max: 3, end: true)
  two    = source + 1
}
predict shown {
  data = pairs
  batch = 2
  step(source, source_length, target, short, two, two_length) { FIRST }
}";

#[test]
fn texts_become_padded_numbers() {
    let folder = Folder::with(&[("pairs.tsv", PAIRS)]);
    let checked = folder.good(&TRANSLATE.replace("FIRST", "(source, source_length, target, short, two, two_length)"));
    let task = checked.program.task("shown").expect("a task");
    let opened = train::open(task, &checked.data_root).expect("data").expect("data");
    // The vocabulary is that of the samples that are learned from, for every seed.
    assert_eq!(opened.split(1).train.rows, opened.split(2).train.rows);
    let mut feed = Feed::new(opened.split(0).train, &task.fields, Some(5), false).expect("a feed");
    feed.load(0, 0, 0);
    let numbers = |i: usize| bytes::to_f64(nnc::ops::DType::I32, &feed.fields()[i]);
    let place = |what: &str| task.fields.iter().position(|f| f.name.starts_with(what)).expect(what);
    let source = numbers(place("left |> words(100)"));
    let longest = feed.lengths()[0];
    assert!(longest.is_multiple_of(8) && source.len() == 5 * longest, "{longest} {source:?}");
    let lengths = numbers(place("left |> words(100)_length"));
    for (row, length) in source.chunks(longest).zip(&lengths) {
        let (text, padding) = row.split_at(*length as usize);
        assert!(text.iter().all(|n| *n >= 3.0) && padding.iter().all(|n| *n == 0.0), "{row:?}");
    }
    for target in [Target::Cpu, Target::Interpreter] {
        let mut engine = driver::engine(&checked, "shown", target, 1).expect("an engine");
        let inputs =
            StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock: ClockValues::default(), seed: 0 };
        engine.run(Entry::Eval, 5, &inputs).expect("a step");
        let value = |i: usize| (engine.value(i).shape, bytes::to_f64(engine.value(i).dtype, &engine.value(i).bytes));
        assert_eq!(value(0), (vec![5, longest], source.clone()));
        assert_eq!(value(1), (vec![5], lengths.clone()));
        // Words beyond the size are unknown, the marks stand around.
        let (shape, marked) = value(2);
        assert_eq!(shape[0], 5);
        assert!(marked.chunks(shape[1]).all(|row| row[0] == 1.0 && row.contains(&2.0) && row.iter().all(|n| *n < 6.0)));
        // Cut to 3 tokens, the last of which stays the end mark.
        let (shape, short) = value(3);
        assert_eq!(shape, [5, 3]);
        assert!(short.chunks(3).all(|row| row.contains(&2.0)), "{short:?}");
        // What is computed from padding is padding again.
        let (_, two) = value(4);
        assert!(source.iter().zip(&two).all(|(s, t)| *t == if *s == 0.0 { 0.0 } else { s + 1.0 }));
        assert_eq!(value(5).1, lengths);
    }
}

#[test]
fn facts_of_texts_are_known_while_compiling() {
    let folder = Folder::with(&[("pairs.tsv", PAIRS), ("long.txt", b"abcabcabcabdabcabcabce")]);
    let program = "
data chars = text(\"long.txt\", window: 4, validate: 0.3)
data pairs = tsv(\"pairs.tsv\", columns: [\"left\", \"right\"]) { source = left |> tokens(words(6)) }
predict sizes {
  data = chars
  batch = 1
  step(token: i32[B, 4], next: i32[B, 4]) {
    f32(token) + f32(next) + data.vocab + 100 * pairs.source.vocab + 1000 * chars.token.pad + 1000 * data.count
  }
}";
    let checked = folder.good(program);
    // 15 of 22 characters are learned from: 11 samples at stride 1, of a, b, c, d and four special numbers.
    let task = &checked.program.tasks[0];
    let opened = train::open(task, &checked.data_root).expect("data").expect("data");
    let split = opened.split(0);
    assert_eq!((split.train.rows.len(), split.validate.expect("held out").rows.len()), (11, 1));
    let first = predicted(&checked, "sizes", Target::Interpreter, 0, 1);
    // Of what is held out ("abcabce"): a is 4, b is 5, c is 6.
    let rest = 8.0 + 600.0 + 11_000.0;
    assert_eq!(first, [4.0 + 5.0 + rest, 5.0 + 6.0 + rest, 6.0 + 4.0 + rest, 4.0 + 5.0 + rest]);
}

#[test]
fn faults_of_texts_are_told_where_they_are() {
    let folder = Folder::with(&[
        ("bad.txt", b"fine\nnot \xff fine"),
        ("empty.txt", b"  \n"),
        ("short.txt", b"abcdef"),
        ("lines.txt", b"1 good film\n0 bad film\nword\n"),
        ("good.txt", b"1 good film\n0 bad film\n"),
        ("t.tsv", b"left\tright\na\tb\nc\td\n"),
    ]);
    let task = |source: &str, step: &str| {
        format!(
            "data d = {source}\ntrain {{\n data = d\n batch = 1\n steps = 1\n net = Embedding(100, 4)\n \
             optimizer = Adam(lr: 1e-2)\n step({step}) {{ minimize mean(net({step})) }}\n}}"
        )
    };
    let bad = |source: &str, step: &str| folder.bad(&task(source, step));
    has(&bad("text(\"bad.txt\")", "token"), &["E0602", "byte 9 is not UTF-8", "line 2", "save the file as UTF-8"]);
    has(&bad("text(\"empty.txt\")", "token"), &["E0602", "the text is empty"]);
    has(&bad("text(\"short.txt\", window: 6)", "token"), &["E0701", "a window of 6 is longer than the text"]);
    has(&bad("text(\"short.txt\", window: 2, validate: 0.3)", "token"), &["that is held out"]);
    has(&bad("text(\"short.txt\", window: 2, tokenizer: bpe(\"m.txt\"))", "token"), &["E0209", "`characters()`"]);
    has(&bad("text(\"short.txt\", tokenizer: 3)", "token"), &["E0205", "takes a tokenizer"]);
    has(&bad("labelled_lines(\"lines.txt\")", "label"), &["E0602", "line 3 has no text"]);
    has(&bad("labelled_lines(\"good.txt\")", "text"), &["E0205", "`text` is a text", "tokens(words(8000))"]);
    has(
        &bad("labelled_lines(\"good.txt\") { token = label |> tokens(words(9)) }", "token"),
        &["E0205", "takes a text"],
    );
    has(&bad("labelled_lines(\"good.txt\") { token = text |> tokens(3) }", "token"), &["E0205", "takes a tokenizer"]);
    has(&bad("labelled_lines(\"good.txt\") { token = text |> tokens(words(3)) }", "token"), &["E0701", "`words`"]);
    let max = "labelled_lines(\"good.txt\") { token = text |> tokens(words(9), max: 1, end: true) }";
    has(&bad(max, "token"), &["E0701", "`max`"]);
    has(&bad("labelled_lines(\"good.txt\") { token = text |> tokens(words(9)) }", "tokne"), &["did you mean `token`?"]);
    has(&bad("labelled_lines(\"good.txt\") { token = sum(text |> tokens(words(9))) }", "token"), &["E0209", "padded"]);
    let piece = "labelled_lines(\"good.txt\") { token = text |> tokens(wordpiece(\"v.txt\"), max: 8) }";
    has(&bad(piece, "token"), &["E0209", "cannot run yet", "words(n)"]);
    has(
        &bad("tsv(\"t.tsv\", columns: [\"left\", \"rihgt\"])", "left"),
        &["no column `rihgt`", "did you mean `right`?"],
    );
    has(&bad("tsv(\"t.tsv\", columns: [\"middle\"])", "middle"), &["no column `middle`"]);
    has(&bad("image_folder(\"pets\", size: 8)", "label"), &["E0209", "is not there yet", "`idx`"]);
    has(
        &bad("digits() { out = i32(grad(sum(image), by: image)) }", "out"),
        &["E0209", "`gradient`", "do this in the step"],
    );
    has(&folder.bad("fn f(x: f32[N]) { save x to \"a.png\"\n x }\npredict { step() { f(ones([3])) } }"), &["E0205"]);
    has(&folder.bad("predict { step() { save ones([2, 3, 4]) to \"a.png\" } }"), &["E0302", "not a picture"]);
    has(&folder.bad("predict { step() { save ones([2, 1, 3, 4]) to \"a.png\" } }"), &["grid(x, columns: 8)"]);
    has(&folder.bad("predict { step() { save ones([2]) to \"a.cvs\" } }"), &["did you mean `.csv`?"]);
}

#[test]
fn a_label_of_text_sources_has_its_classes() {
    let folder = Folder::with(&[("l.txt", b"10 ten\n2 two\n\n10 ten again\n")]);
    let checked = folder.good(
        "
data d = labelled_lines(\"l.txt\") { spelled = [\"two\", \"three\"][label] |> tokens(characters()) }
predict {
  data = d
  step(label, spelled, spelled_length) { f32(label) + 10 * f32(spelled_length) + 100 * data.classes }
}",
    );
    // Without a batch a text has its own length.
    assert_eq!(predicted(&checked, "predict", Target::Interpreter, 0, 3), [251.0, 230.0, 251.0]);
}

#[test]
fn every_source_is_checked_by_its_declared_fields() {
    let folder = Folder::with(&[]);
    for (source, step) in [
        ("cifar10(\"c\")", "image: f32[B, 3, 32, 32], label: i32[B]"),
        ("image_folder(\"c\", size: 8)", "image: f32[B, 3, 8, 8], label: i32[B]"),
        (
            "audio_folder(\"c\", rate: 8, name: \"{label}_{speaker}\")",
            "audio: f32[B, T], label: i32[B], speaker: i32[B]",
        ),
        ("graph(\"c\")", "feature: f32[B, N, F], edge: i32[B, E, 2], label: i32[B, N], chosen: bool[B, N]"),
        ("text(\"c\", window: 5)", "token: i32[B, 5], next: i32[B, 5]"),
        ("labelled_lines(\"c\") { t = text |> tokens(wordpiece(\"v\"), max: 4) }", "t: i32[B, 4], label: i32[B]"),
        ("tsv(\"c\", columns: [\"a\"]) { t = a |> tokens(words(9)) }", "t: i32[B, T], t_length: i32[B]"),
    ] {
        let first = step.split(':').next().expect("a name");
        let checked =
            folder.good(&format!("data d = {source}\npredict {{ data = d\n batch = 2\n step({step}) {{ {first} }} }}"));
        let warned = checked.diagnostics.iter().any(|d| d.code.id == "W1003");
        assert!(warned, "{source}: {:?}", checked.diagnostics);
        assert!(train::open(&checked.program.tasks[0], &checked.data_root).is_err(), "{source}");
    }
}

const LEARN: &str = "
data pairs = tsv(\"pairs.tsv\", columns: [\"left\", \"right\"], validate: 1) {
  source = left |> tokens(words(100))
  if training { source = where(random([1]) < 0.3, 3, source) }
  target = right |> tokens(words(9), max: 2)
}
model Net {
  embed = Embedding(20, 8)
  head  = Linear(9)
  forward(x: i32[B, T]) -> logits[B, 9] {
    known = f32(unsqueeze(x != 0, -1))
    head(sum(embed(x) * known, axis: 1))
  }
}
train {
  data = pairs
  batch = 2
  epochs = 6
  net = Net()
  optimizer = Adam(lr: 1e-2)
  step(source, target) { minimize cross_entropy(net(source), target[:, 0]) }
}";

/// Steps of a run, from the start or with its variables taken from another engine.
fn steps(checked: &Checked, engine: &mut dyn Engine, from: u64, to: u64) -> Vec<f64> {
    let task = checked.program.task("train").expect("a task");
    let opened = train::open(task, &checked.data_root).expect("data").expect("data");
    let mut feed = Feed::new(opened.split(0).train, &task.fields, Some(2), true).expect("a feed");
    let batches = feed.batches().expect("data") as u64;
    let mut losses = Vec::new();
    for step in from..to {
        let count = feed.load(9, step / batches, (step % batches) as usize);
        let clock = ClockValues { step, epoch: step / batches, steps: 18, epoch_steps: batches };
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: 9 };
        engine.run(Entry::Train, count, &inputs).expect("a step");
        losses.push(engine.scalar(0));
    }
    losses
}

#[test]
fn a_run_over_texts_is_the_same_again_and_after_a_resume() {
    let folder = Folder::with(&[("pairs.tsv", PAIRS)]);
    let checked = folder.good(LEARN);
    let engine = |threads| {
        let mut engine = driver::engine(&checked, "train", Target::Cpu, threads).expect("an engine");
        engine.initialise(9).expect("first values");
        engine
    };
    let (mut whole, mut first, mut second) = (engine(1), engine(2), engine(1));
    let all = steps(&checked, &mut *whole, 0, 18);
    assert!(all.iter().all(|l| l.is_finite()));
    let mut parts = steps(&checked, &mut *first, 0, 7);
    for var in &checked.program.tasks[0].vars {
        second.set_var(*var, &first.var(*var));
    }
    parts.extend(steps(&checked, &mut *second, 7, 18));
    assert_eq!(parts, all);
    // A wide batch has no other result than the padding it needs: the interpreter agrees.
    let mut slow = driver::engine(&checked, "train", Target::Interpreter, 1).expect("an engine");
    slow.initialise(9).expect("first values");
    let exact = steps(&checked, &mut *slow, 0, 18);
    assert!(all.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-3), "{all:?}\n{exact:?}");
}

#[test]
fn vocabularies_are_kept_with_a_run() {
    let folder = Folder::with(&[("pairs.tsv", PAIRS)]);
    let checked = folder.good(LEARN);
    let task = &checked.program.tasks[0];
    let ids = |opened: nnc::data::OpenedData| {
        let lists = &opened.dataset.ragged;
        (0..opened.dataset.count).map(|row| lists[0].get(row).to_vec()).collect::<Vec<_>>()
    };
    let opened = train::open(task, &folder.0).expect("data").expect("data");
    let feed = Feed::new(opened.split(0).train, &task.fields, Some(2), true).expect("a feed");
    let kept = feed.vocabularies();
    assert_eq!(kept.len(), 2);
    let before = ids(opened);
    // The same texts in another file, of which other words are frequent.
    let more = [PAIRS, &b"c c c c c c c c\tz\n".repeat(3)].concat();
    std::fs::write(folder.0.join("pairs.tsv"), more).expect("the file");
    let fitted = ids(train::open(task, &folder.0).expect("data").expect("data"));
    let saved = ids(train::open_with(task, &folder.0, &kept).expect("data").expect("data"));
    assert_ne!(fitted[..6], before[..]);
    assert_eq!(saved[..6], before[..]);
}

/// Trains on the plays of Shakespeare if they are there: `NNC_DATA` names the folder of data sets.
#[test]
fn characters_of_shakespeare_are_learned() {
    let Some(root) = std::env::var_os("NNC_DATA").map(PathBuf::from) else { return };
    if !root.join("tinyshakespeare/input.txt").exists() {
        return;
    }
    let options = Options { data_root: Some(root), ..Options::default() };
    let text = "
train {
  data = text(\"data/tinyshakespeare/input.txt\", window: 16, validate: 0.1)
  batch = 32
  steps = 200
  embed = Embedding(data.vocab, 32)
  head = Linear(data.vocab)
  optimizer = Adam(lr: 1e-2)
  step(token, next) { minimize cross_entropy(head(embed(token)), next) }
}";
    let checked = driver::check_text("test.nn", text.to_string(), &PathBuf::new(), &options);
    let task = &checked.program.tasks[0];
    let opened = train::open(task, &checked.data_root).expect("data").expect("data");
    assert_eq!(opened.dataset.vocabularies[0].1.size(), 69);
    let mut feed = Feed::new(opened.split(0).train, &task.fields, Some(32), true).expect("a feed");
    let mut engine = driver::engine(&checked, "train", Target::Cpu, 2).expect("an engine");
    engine.initialise(0).expect("first values");
    let mut last = 0.0;
    for step in 0..200 {
        feed.load(0, 0, step as usize);
        let clock = ClockValues { step, epoch: 0, steps: 200, epoch_steps: 200 };
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: 0 };
        engine.run(Entry::Train, 32, &inputs).expect("a step");
        last = engine.scalar(0);
    }
    assert!(last < 2.8, "{last}");
}

#[test]
fn a_function_with_a_gradient_of_its_own_is_its_value_in_a_body() {
    let folder = Folder::with(&[]);
    let program = "
fn straight(x: f32[..s]) -> f32[..s] { round(x) } gradient(d) { d }
fn ends(x: f32[D]) -> (f32[], f32[]) { (max(x, axis: 0), min(x, axis: 0)) } gradient(a, b) { (a + b) * ones_like(x) }
data d = digits(validate: 0.9) {
  x = straight(3 * flatten(image, 0))
  (most, least) = ends(x)
  out = concat([x, reshape(most, [1]), reshape(least, [1])], axis: 0)
}
predict { data = d
 batch = 4
 step(out, image) { concat([out, 3 * flatten(image)], axis: 1) } }";
    for target in [Target::Interpreter, Target::Cpu] {
        let all = predicted(&folder.good(program), "predict", target, 0, 4);
        for row in all.chunks(66 + 64) {
            let (x, raw) = (&row[..64], &row[66..]);
            let rounded = raw.iter().map(|v| v.round_ties_even());
            assert!(x.iter().zip(rounded).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?}");
            let ends = x.iter().fold((f64::MIN, f64::MAX), |(h, l), v| (h.max(*v), l.min(*v)));
            assert_eq!((row[64], row[65]), ends);
        }
    }
}

#[test]
fn a_fault_in_a_body_stays_where_it_is() {
    let folder = Folder::with(&[]);
    let program = "
fn off(x: f32[C, H, W]) -> f32[C, H, W] { x + nothing }
data d = digits() {
  y = off(image)
  z = 2 * y
}
train {
  data = d
  batch = 4
  net = seq { flatten; Linear(1) }
  optimizer = Adam(lr: 1e-2)
  step(y, z) { minimize mean(net(y) + net(z)) }
}
predict { data = d
 step(y) { y } }";
    let checked = folder.check(program);
    let said: Vec<&str> = checked.diagnostics.iter().map(|d| d.headline.as_str()).collect();
    assert_eq!(said, ["`nothing` is not known here"]);
}
