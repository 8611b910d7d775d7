//! Tasks that generate, from the text of a program to the text that it writes: trained for a moment on texts that the tests
//! write themselves.

#[path = "common/target.rs"]
mod target;

use nnc::check::Task;
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Engine, Entry, StepInputs, Target, bytes};
use nnc::generate::{self, Writer};
use nnc::train::{self, Feed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// Predicts the next letter of a text that repeats itself, from at most eight letters.
const LETTERS: &str = r#"
model Small(vocab: int, context: int = 8) {
  wte  = Embedding(vocab, 16)
  wpe  = Embedding(context, 16)
  norm = LayerNorm()
  qkv  = Linear(48)
  head = Linear(vocab)
  forward(token: i32[B, T]) -> logits[B, T, vocab] where T <= context {
    x = wte(token) + wpe(range(T))
    (q, k, v) = split(qkv(norm(x)), 3)
    x + attention(q, k, v, causal: true) |> head
  }
}
data letters = text("letters.txt", tokenizer: characters(), window: 8)
train {
  data      = letters
  batch     = 16
  steps     = 150
  net       = Small(data.vocab)
  optimizer = Adam(lr: 1e-2)
  step(token, next) {
    scores = net(token)
    minimize cross_entropy(scores, next)
  }
}
generate write(heat: float = 0) {
  data        = letters
  net         = train.net
  max_tokens  = 20
  temperature = heat
  step(token) { net(token) }
}
"#;

/// An encoder and a decoder, so that half of the step is computed once.
const WORDS: &str = r#"
use std.attention.MultiHeadAttention
const pad = 0
model Pair(source_vocab: int, target_vocab: int) {
  source_embed = Embedding(source_vocab, 24)
  target_embed = Embedding(target_vocab, 24)
  encode       = Linear(24)
  own          = MultiHeadAttention(2)
  cross        = MultiHeadAttention(2)
  head         = Linear(target_vocab)
  forward(source: i32[B, S], target: i32[B, T]) -> logits[B, T, target_vocab] {
    seen   = source != pad
    memory = source_embed(source) + sinusoidal(S, 24) |> encode |> gelu
    x = target_embed(target) + sinusoidal(T, 24)
    x = x + own(x, x, causal: true)
    x + cross(x, memory, mask: rearrange(seen, "b s -> b 1 1 s")) |> head
  }
}
data pairs = tsv("pairs.tsv", columns: ["english", "french"]) {
  source = english |> tokens(words(40))
  target = french  |> tokens(words(40), start: true, end: true)
}
train {
  data      = pairs
  batch     = 8
  steps     = 120
  net       = Pair(pairs.source.vocab, pairs.target.vocab)
  optimizer = Adam(lr: 1e-2)
  step(source, target) {
    scores = net(source, target[:, :-1])
    minimize cross_entropy(scores, target[:, 1:], ignore: pad)
  }
}
predict forced {
  data = pairs
  batch = 1
  net  = train.net
  step(source, target) { net(source, target) }
}
generate translate {
  data       = pairs
  net        = train.net
  output     = target
  max_tokens = 12
  beam       = 3
  step(source, target) { net(source, target) }
}
"#;

/// A recurrent net, which takes texts of any length and gives the scores of the last place alone.
const RECURRENT: &str = r#"
layer Recurrent(width: int) {
  from_input  = Linear(width)
  from_hidden = Linear(width)
  forward(x: f32[B, T, D]) -> f32[B, T, width] {
    scan x_t in x along T with h = zeros([B, width]) {
      h = tanh(from_input(x_t) + from_hidden(h))
      yield h
    }
  }
}
model Net(vocab: int) {
  wte  = Embedding(vocab, 16)
  rnn  = Recurrent(24)
  head = Linear(vocab)
  forward(token: i32[B, T]) -> logits[B, T, vocab] { token |> wte |> rnn |> head }
}
data letters = text("letters.txt", tokenizer: characters(), window: 8)
train {
  data      = letters
  batch     = 16
  steps     = 150
  net       = Net(data.vocab)
  optimizer = Adam(lr: 1e-2)
  step(token, next) { minimize cross_entropy(net(token), next) }
}
generate write {
  data       = letters
  net        = train.net
  max_tokens = 12
  step(token) { net(token)[:, -1] }
}
"#;

/// Texts of a kind that a flag chooses, short enough for the net, but not if their lengths were rounded up.
const KINDS: &str = r#"
model Net(vocab: int, classes: int) {
  wte  = Embedding(vocab, 16)
  kind = Embedding(classes, 16)
  wpe  = Embedding(9, 16)
  fc   = seq { Linear(32); relu; Linear(vocab) }
  forward(token: i32[B, T], label: i32[B]) -> logits[B, T, vocab] where T <= 9 {
    wte(token) + unsqueeze(kind(label), 1) + wpe(range(T)) |> fc
  }
}
data lines = labelled_lines("kinds.txt") { token = text |> tokens(characters(), start: true, end: true) }
train {
  data      = lines
  batch     = 8
  steps     = 200
  net       = Net(lines.token.vocab, lines.classes)
  optimizer = Adam(lr: 1e-2)
  step(token, label) { minimize cross_entropy(net(token[:, :-1], label), token[:, 1:], ignore: 0) }
}
generate write {
  data = lines
  net  = train.net
  step(token, label, token_length) { net(token, label) + 0 * f32(rearrange(token_length, "b -> b 1 1")) }
}
"#;

const PAIRS: &str = "english\tfrench
one cat\tun chat
two cats\tdeux chats
one dog here\tun chien ici
two dogs here\tdeux chiens ici
where is one cat ?\to\u{f9} est un chat ?
where is one dog ?\to\u{f9} est un chien ?
two cats , one dog\tdeux chats , un chien
here is one dog\tvoici un chien
";

/// A folder with both programs, trained once for all tests.
fn trained() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("nnc-generate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in [
            ("letters.nn", LETTERS.to_string()),
            ("words.nn", WORDS.to_string()),
            ("recurrent.nn", RECURRENT.to_string()),
            ("kinds.nn", KINDS.to_string()),
            ("kinds.txt", "0 aaaaaaaa\n1 bbbbbb\n2 abcd\n".repeat(8)),
            ("letters.txt", "abcdefg\n".repeat(60)),
            ("pairs.tsv", PAIRS.to_string()),
        ] {
            std::fs::write(folder.join(name), text).expect("a file");
        }
        for file in ["letters.nn", "words.nn", "recurrent.nn", "kinds.nn"] {
            let (code, out, err) = nnc(&folder, &["run", file, "-q"]);
            assert_eq!(code, 0, "{out}\n{err}");
        }
        folder
    })
}

fn nnc(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nnc"));
    let command = command.args(args).current_dir(folder).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("nnc starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// What a task writes, and what it says beside.
#[track_caller]
fn written(args: &[&str]) -> (String, String) {
    let args: Vec<&str> = ["run"].iter().chain(args).copied().collect();
    let (code, out, err) = nnc(trained(), &args);
    assert_eq!(code, 0, "nnc {args:?}\n{out}\n{err}");
    (out, err)
}

#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let args: Vec<&str> = ["run"].iter().chain(args).copied().collect();
    let (code, out, err) = nnc(trained(), &args);
    assert_ne!(code, 0, "nnc {args:?}\n{out}");
    for word in words {
        assert!(err.contains(word), "{word:?} is not in:\n{err}");
    }
}

#[test]
fn a_net_writes_what_it_has_learned_also_beyond_its_context() {
    let (out, err) = written(&["letters.nn", "write", "--prompt", "cde"]);
    assert_eq!(out, "cdefg\nabcdefg\nabcdefg\na\n");
    assert_eq!(err, "");
    let (out, _) = written(&["letters.nn", "write", "--prompt", "fg", "--set", "max_tokens=3"]);
    assert_eq!(out, "fg\nab\n");
}

#[test]
fn a_recurrent_net_writes_too() {
    let (out, _) = written(&["recurrent.nn", "write", "--prompt", "abcdefg\nab"]);
    assert_eq!(out, "abcdefg\nabcdefg\nabcdef\n");
}

#[test]
fn numbers_of_the_source_are_flags_too() {
    for (label, text) in [("0", "aaaaaaaa\n"), ("1", "bbbbbb\n"), ("2", "abcd\n")] {
        assert_eq!(written(&["kinds.nn", "write", "--label", label]).0, text);
    }
    refused(&["kinds.nn", "write", "--label", "b"], &["`--label b` cannot be read", "`--label NUMBER`, i32"]);
    refused(&["kinds.nn", "write"], &["`--label` is missing"]);
}

#[test]
fn a_net_translates_what_it_has_learned() {
    for beam in ["1", "3"] {
        let beam = format!("beam={beam}");
        let of = |text: &str| written(&["words.nn", "translate", "--english", text, "--set", &beam]).0;
        assert_eq!(of("one cat"), "un chat\n");
        assert_eq!(of("where is one dog ?"), "o\u{f9} est un chien?\n");
        assert_eq!(of("two cats , one dog"), "deux chats, un chien\n");
    }
}

#[test]
fn one_seed_is_one_text_on_any_number_of_threads() {
    let of = |more: &[&str]| {
        let base = ["letters.nn", "write", "--prompt", "a", "--heat=1.5"];
        written(&base.iter().chain(more).copied().collect::<Vec<_>>()).0
    };
    let first = of(&["--threads", "1"]);
    assert_eq!(first, of(&["--threads", "3"]));
    assert_eq!(first, of(&[]));
    let others: Vec<String> = ["1", "2", "3"].iter().map(|seed| of(&["--seed", seed])).collect();
    assert!(others.iter().any(|o| *o != first), "{first}");
}

#[test]
fn settings_of_the_choice_can_be_set() {
    let of = |sets: &[&str]| {
        let mut args = vec!["letters.nn", "write", "--prompt", "ab", "--seed", "5"];
        sets.iter().for_each(|s| args.extend(["--set", s]));
        written(&args).0
    };
    let greedy = of(&[]);
    assert_eq!(greedy, of(&["temperature=9", "top_k=1"]));
    assert_eq!(greedy, of(&["temperature=1", "top_p=0.01"]));
    assert_ne!(greedy, of(&["temperature=9"]));
}

#[test]
fn a_long_prompt_is_cropped_and_says_so() {
    let (out, err) = written(&["letters.nn", "write", "--prompt", "abcdefg\nabcd", "--set", "max_tokens=4"]);
    assert_eq!(out, "abcdefg\nabcdefg\n");
    assert!(err.contains("the prompt has 12 tokens, the net takes 8"), "{err}");
}

#[test]
fn the_output_may_begin_with_a_prompt() {
    let (out, _) = written(&["words.nn", "translate", "--english", "one dog here", "--prompt", "un chat"]);
    assert!(out.starts_with("un chat"), "{out}");
}

#[test]
fn what_is_missing_or_unknown_is_said() {
    refused(&["letters.nn", "write"], &["`--prompt` is missing", "start mark"]);
    refused(&["words.nn", "translate"], &["`--english` is missing", "words(40)"]);
    refused(&["words.nn", "translate", "--englih", "a"], &["`--englih` is neither", "did you mean `--english`"]);
    refused(&["words.nn", "translate", "--x", "a"], &["`translate` takes `--english`, `--prompt`"]);
    refused(&["letters.nn", "write", "--prompt", "abz!"], &["has never seen the characters `z`, `!`", "\\nabcdefg"]);
    let (_, err) = written(&["words.nn", "translate", "--english", "one zebra"]);
    assert!(err.contains("the net does not know `zebra`"), "{err}");
}

#[test]
fn a_task_says_what_it_takes() {
    let (out, _) = written(&["words.nn", "translate", "--help"]);
    for word in ["--english TEXT", "[--prompt TEXT]", "max_tokens", "12", "beam"] {
        assert!(out.contains(word), "{word:?} is not in:\n{out}");
    }
    let (out, _) = written(&["letters.nn", "write", "-h"]);
    assert!(out.contains("--prompt TEXT [--heat VALUE]"), "{out}");
}

#[test]
fn vocabularies_are_those_of_the_run() {
    let folder = trained().join("other");
    std::fs::create_dir_all(&folder).expect("a folder");
    // The same words in another order of frequency: numbers fitted anew would be others.
    let turned: String = PAIRS.lines().enumerate().map(|(i, l)| format!("{l}\n").repeat(1 + i % 3)).collect();
    std::fs::write(folder.join("pairs.tsv"), turned).expect("a file");
    let (out, _) = written(&["words.nn", "translate", "--english", "one cat", "--data", "other"]);
    assert_eq!(out, "un chat\n");
}

#[test]
fn a_net_writes_without_its_data() {
    let folder = trained().join("alone");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (file, text) in [("letters.nn", LETTERS), ("words.nn", WORDS)] {
        std::fs::write(folder.join(file), text).expect("a file");
    }
    let (out, _) = written(&["alone/letters.nn", "write", "--prompt", "cde", "--set", "max_tokens=3"]);
    assert_eq!(out, "cdefg\n");
    let (out, _) = written(&["alone/words.nn", "translate", "--english", "one dog here"]);
    assert_eq!(out, "un chien ici\n");
    // Data with other words than those of the run.
    std::fs::write(folder.join("pairs.tsv"), "english\tfrench\nno\tnon\nyes\toui\n").expect("a file");
    let (out, _) = written(&["alone/words.nn", "translate", "--english", "two cats"]);
    assert_eq!(out, "deux chats\n");
}

/// A task over a program with its first values, which depend on the seed alone.
fn engine(checked: &Checked, name: &str, target: Target, threads: usize) -> Box<dyn Engine> {
    let mut engine = driver::engine(checked, name, target, threads).expect("an engine");
    engine.initialise(3).expect("first values");
    engine
}

fn task<'a>(checked: &'a Checked, name: &str) -> &'a Task {
    checked.program.task(name).expect("the task")
}

/// The scores of the next token after each beginning of `tokens`, for two texts at once.
fn scores(checked: &Checked, english: &str, tokens: &[i32], target: Target, threads: usize) -> Vec<Vec<f64>> {
    let task = task(checked, "translate");
    let given = BTreeMap::from([("english".to_string(), english.to_string())]);
    let prompt = generate::prompt(task, &given, "", &BTreeMap::new(), trained(), 0).expect("a prompt");
    let mut engine = engine(checked, "translate", target, threads);
    let mut writer = Writer::new(task, &mut *engine, &prompt, 0).expect("a writer");
    let mut all = Vec::new();
    for end in 1..=tokens.len() {
        let other: Vec<i32> = tokens[..end].iter().map(|t| (t + 1) % 5).collect();
        let rows = writer.scores(&[tokens[..end].to_vec(), other]).expect("scores");
        assert_eq!(rows.len(), 2);
        all.push(rows[0].clone());
    }
    all
}

#[test]
fn what_is_computed_once_changes_nothing() {
    let checked = driver::check_file(&trained().join("words.nn"), &Options::default()).expect("reads");
    assert!(!checked.has_errors());
    let generation = task(&checked, "translate").generation.as_ref().expect("generates");
    let once = generation.once.as_ref().expect("an encoder");
    assert!(once.graph.nodes.iter().any(|n| matches!(n.op, nnc::ops::Op::Matmul { .. })));
    // The large product with the vocabulary is of the last place alone.
    let step = task(&checked, "translate");
    let (_, length) = step.varying().find(|(i, _)| step.fields[*i].name == "target").expect("it grows");
    let vocab = step.eval.graph.ty(step.eval.graph.outputs[0].node).shape[2].clone();
    let heads = step.eval.graph.nodes.iter().filter(|n| n.ty.shape.last() == Some(&vocab) && n.ty.shape.len() > 1);
    let heads: Vec<_> =
        heads.filter(|n| !matches!(n.op, nnc::ops::Op::Read(_) | nnc::ops::Op::Transpose { .. })).collect();
    assert!(!heads.is_empty());
    for node in heads {
        assert!(node.ty.shape.iter().all(|d| !d.symbols().contains(length)), "{:?} {:?}", node.op, node.ty.shape);
    }
    // All scores of a sample at once, as they are learned.
    let forced = task(&checked, "forced");
    let opened = train::open(forced, &checked.data_root).expect("opens").expect("data");
    let row = 4;
    let view = nnc::data::View { dataset: opened.dataset.clone(), rows: vec![row] };
    let mut feed = Feed::new(view, &forced.fields, Some(1), false).expect("a feed");
    feed.load(0, 0, 0);
    let mut whole = engine(&checked, "forced", Target::Cpu, 1);
    let clock = ClockValues::default();
    let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed: 0 };
    whole.run(Entry::Eval, 1, &inputs).expect("a step");
    let value = whole.value(0);
    let width = value.shape[2];
    let wanted = bytes::to_f64(value.dtype, &value.bytes);
    let target: Vec<i32> = bytes::to_f64(nnc::ops::DType::I32, &feed.fields()[1]).iter().map(|t| *t as i32).collect();
    let tokens: Vec<i32> = target.into_iter().take_while(|t| *t != nnc::data::vocabulary::END).collect();
    assert!(tokens.len() > 4);
    let english = "where is one cat ?";
    let one = scores(&checked, english, &tokens, Target::Cpu, 1);
    for (at, found) in one.iter().enumerate() {
        for (i, score) in found.iter().enumerate().filter(|(_, s)| s.is_finite()) {
            let wanted = wanted[at * width + i];
            assert!(
                (score - wanted).abs() < 1e-5 * wanted.abs().max(1.0),
                "at {at}, token {i}: {score} is not {wanted}"
            );
        }
        assert!(found.iter().filter(|s| s.is_finite()).count() == width - 3, "marks can be chosen");
    }
    assert_eq!(one, scores(&checked, english, &tokens, Target::Cpu, 3));
    let slow = scores(&checked, english, &tokens, Target::Interpreter, 1);
    for (a, b) in one.iter().flatten().zip(slow.iter().flatten()).filter(|(a, _)| a.is_finite()) {
        assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} is not {b}");
    }
}

#[test]
fn it_stops_when_told() {
    let checked = driver::check_file(&trained().join("letters.nn"), &Options::default()).expect("reads");
    let task = task(&checked, "write");
    let prompt = generate::prompt(task, &BTreeMap::new(), "ab", &BTreeMap::new(), trained(), 0).expect("a prompt");
    let mut engine = engine(&checked, "write", Target::Cpu, 1);
    let mut writer = Writer::new(task, &mut *engine, &prompt, 0).expect("a writer");
    let stop = AtomicBool::new(false);
    let mut tokens = prompt.tokens.clone();
    let mut left = 3;
    let ending = writer.write(&mut tokens, &stop, |_| {
        left -= 1;
        stop.store(left == 0, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(ending.expect("stops"), generate::Ending::Stopped);
    assert_eq!(tokens.len(), prompt.tokens.len() + 3);
}

/// The scores after each of these texts, by a target.
fn after(checked: &Checked, name: &str, texts: &[Vec<i32>], target: Target) -> Vec<Vec<f64>> {
    let task = task(checked, name);
    let given = BTreeMap::from([("english".to_string(), "one cat".to_string())]);
    let given = if name == "translate" { given } else { BTreeMap::new() };
    let prompt = generate::prompt(task, &given, "a", &BTreeMap::new(), trained(), 0).expect("a prompt");
    let mut engine = engine(checked, name, target, 2);
    let mut writer = Writer::new(task, &mut *engine, &prompt, 0).expect("a writer");
    texts.iter().map(|text| writer.scores(std::slice::from_ref(text)).expect("scores").remove(0)).collect()
}

#[test]
fn what_is_kept_from_token_to_token_changes_nothing() {
    let text: Vec<i32> = (0..70).map(|i| (i * i + i / 3) % 7).collect();
    let mut turned = text.clone();
    turned[20] = (turned[20] + 1) % 7;
    let grown = |from: usize, to: usize| (from..=to).map(|n| text[..n].to_vec());
    // One by one; past the net's context; another text in between; places computed together.
    let letters: Vec<Vec<i32>> = grown(1, 11).chain(grown(3, 4)).chain(grown(8, 8)).collect();
    let words: Vec<Vec<i32>> = grown(1, 3)
        .chain(grown(40, 42))
        .chain([turned[..42].to_vec(), turned[..30].to_vec()])
        .chain(grown(60, 66))
        .collect();
    for (file, name, texts) in [("letters.nn", "write", letters), ("words.nn", "translate", words)] {
        let sets = if name == "translate" { vec!["translate.beam=1".to_string()] } else { Vec::new() };
        let options = Options { sets, ..Options::default() };
        let checked = driver::check_file(&trained().join(file), &options).expect("reads");
        assert!(!checked.has_errors());
        let mut own = engine(&checked, name, target::tested(), 1);
        let lengths: Vec<usize> = task(&checked, name).varying().map(|_| 8).collect();
        assert!(own.extend(1, 1, &lengths).expect("compiles"), "{file} keeps nothing");
        let kept = after(&checked, name, &texts, target::tested());
        let whole = after(&checked, name, &texts, Target::Interpreter);
        for (text, (kept, whole)) in texts.iter().zip(kept.iter().zip(&whole)) {
            assert_eq!(kept.len(), whole.len());
            for (a, b) in kept.iter().zip(whole).filter(|(a, _)| a.is_finite()) {
                assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{file}: {a} is not {b} after {} tokens", text.len());
            }
        }
    }
    // Its own scores are of the last place; it takes the length.
    for (file, name) in [("recurrent.nn", "write"), ("kinds.nn", "write")] {
        let checked = driver::check_file(&trained().join(file), &Options::default()).expect("reads");
        let lengths: Vec<usize> = task(&checked, name).varying().map(|_| 8).collect();
        assert!(!engine(&checked, name, target::tested(), 1).extend(1, 1, &lengths).expect("compiles"), "{file}");
    }
}
