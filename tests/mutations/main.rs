//! How good the messages are, measured: correct programs are broken in many small ways, and for each the first error must
//! show the place (its line, a neighbour, or another line where the contradiction is to be seen), with at most two errors.

mod study;

use nnc::diag::{Diagnostic, Severity};
use nnc::driver::{Checked, Options, check_text};
use std::collections::BTreeMap;
use std::path::Path;

const PERCEPTRON: &str = r#"/// Two layers and a scale that is learned.
layer Scale(start: float = 1) {
  param factor: f32[D] = start

  forward(x: f32[.., D]) -> f32[.., D] { x * factor }
}

fn squared(x: f32[..s]) -> f32[..s] { x * x }

model Perceptron(hidden: int = 64, classes: int = 10) {
  fc1   = Linear(hidden, in: 64)
  scale = Scale(start: 0.5)
  fc2   = Linear(classes, in: 64, bias: false)

  forward(x: f32[B, 64]) -> logits[B, classes] {
    h = x |> fc1 |> relu
    h = h |> scale |> squared
    fc2(h)
  }
}

train {
  data      = digits(validate: 0.25)
  batch     = 32
  epochs    = 5
  seed      = 7
  net       = Perceptron(hidden: 64)
  optimizer = Sgd(lr: 0.05, momentum: 0.9)

  step(image, label) {
    scores = image |> flatten |> net
    loss = cross_entropy(scores, label)
    minimize loss
    report accuracy(scores, label)
  }
}

predict {
  data  = digits()
  batch = 16
  step(image) { image |> flatten |> train.net |> softmax }
}
"#;

const BLOCKS: &str = r#"const width = 16

layer Block(out: int) {
  conv = Conv2d(out, kernel: 3, padding: 1, bias: false)
  norm = BatchNorm2d()

  forward(x: f32[B, C, H, W]) -> f32[B, out, H, W] where H >= 3 {
    x |> conv |> norm |> relu
  }
}

model Deep(classes: int = 10) {
  stem   = Conv2d(width, kernel: 3, padding: same, in: 1)
  blocks = repeat 3 { Block(width) }
  head   = seq { AvgPool2d(2); flatten; Linear(classes, in: 16 * 4 * 4) }

  forward(image: f32[B, 1, 8, 8]) -> logits[B, classes] {
    image |> stem |> relu |> blocks |> head
  }
}

train fit {
  data      = digits()
  batch     = 16
  steps     = 100
  net       = Deep()
  optimizer = AdamW(lr: cosine(1e-3, warmup: 10), weight_decay: 0.05)
  clip_norm = 1.0

  step(image: f32[B, 1, 8, 8], label: i32[B]) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report error = 1 - accuracy(scores, label)
  }
}

evaluate {
  data  = digits()
  batch = 64
  step(image, label) { report accuracy(fit.net(image), label) }
}
"#;

const FUNCTIONS: &str = r#"/// Attention of one head.
fn attend(q: f32[B, T, D], k: f32[B, T, D], v: f32[B, T, E]) -> f32[B, T, E] {
  scores = q @ transpose(k) / sqrt(f32(D))
  weights = softmax(scores, axis: -1)
  weights @ v
}

layer Head(size: int) {
  query = Linear(size, bias: false)
  key   = Linear(size, bias: false)
  value = Linear(size, bias: false)
  state calls: f32[] = 0

  forward(x: f32[B, T, C]) -> f32[B, T, size] {
    if training { calls = calls + 1 }
    attend(query(x), key(x), value(x))
  }
}

model Rows {
  head = Head(size: 8)
  drop = Dropout(0.1)
  out  = Linear(10)

  forward(image: f32[B, 1, 8, 8]) -> logits[B, 10] {
    x = reshape(image, [B, 8, 8])
    (left, right) = split(head(x), 2, axis: -1)
    y = concat([left, right], axis: -1) |> drop
    y[:, -1, 0:8] |> out
  }
}

optimizer Momentum(lr: rate = 0.1, beta: float = 0.9) {
  state v = 0
  update(p, g) {
    v = beta * v + g
    p - lr * v
  }
}

train {
  data      = digits()
  batch     = 16
  epochs    = 2
  net       = Rows()
  optimizer = Momentum(lr: 0.01)
  step(image, label) {
    minimize cross_entropy(net(image), label)
  }
}
"#;

fn programs() -> Vec<(String, String)> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut out = Vec::new();
    for name in ["digits.nn", "mnist.nn", "optimizers.nn"] {
        out.push((name.to_string(), std::fs::read_to_string(examples.join(name)).unwrap()));
    }
    for (name, text) in [("perceptron", PERCEPTRON), ("blocks", BLOCKS), ("functions", FUNCTIONS)] {
        out.push((name.to_string(), text.to_string()));
    }
    out
}

fn check(text: &str) -> Checked {
    check_text("mutant.nn", text.to_string(), Path::new(""), &Options::default())
}

fn errors(checked: &Checked) -> Vec<&Diagnostic> {
    checked.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect()
}

// ---- words of a program ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Name,
    Number,
    Sign,
}

#[derive(Clone, Copy, Debug)]
struct Word<'t> {
    kind: Kind,
    text: &'t str,
    at: usize,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let c = bytes[at];
        let run = |ok: fn(char) -> bool| rest.find(|c| !ok(c)).unwrap_or(rest.len());
        let (kind, length) = if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if c == b'"' {
            at += rest[1..].find('"').map_or(rest.len(), |n| n + 2);
            continue;
        } else if c.is_ascii_alphabetic() || c == b'_' {
            (Kind::Name, run(|c| c.is_ascii_alphanumeric() || c == '_'))
        } else if c.is_ascii_digit() {
            let whole = run(|c| c.is_ascii_digit());
            let float =
                rest[whole..].starts_with('.') && rest.as_bytes().get(whole + 1).is_some_and(u8::is_ascii_digit);
            let digits = if float || rest[whole..].starts_with('e') {
                run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
            } else {
                whole
            };
            (Kind::Number, digits)
        } else if c.is_ascii_whitespace() {
            at += 1;
            continue;
        } else {
            let two = ["|>", "->", "..", "==", ">=", "<=", "!="].iter().any(|s| rest.starts_with(s));
            (Kind::Sign, if two { 2 } else { 1 })
        };
        out.push(Word { kind, text: &text[at..at + length], at });
        at += length;
    }
    out
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

// ---- mutations ----

struct Mutant {
    kind: &'static str,
    text: String,
    /// Lines (of the mutant) where an error may be.
    lines: Vec<usize>,
    what: String,
}

const WORDS_OF_THE_LANGUAGE: &[&str] = &[
    "and",
    "or",
    "not",
    "if",
    "else",
    "scan",
    "seq",
    "repeat",
    "yield",
    "param",
    "state",
    "minimize",
    "report",
    "load",
    "freeze",
    "save",
    "use",
    "const",
    "fn",
    "layer",
    "model",
    "optimizer",
    "data",
    "train",
    "evaluate",
    "predict",
    "generate",
    "forward",
    "update",
    "step",
    "in",
    "where",
    "int",
    "float",
    "bool",
    "string",
    "rate",
    "f32",
    "i32",
    "logits",
];

fn replaced(text: &str, at: usize, old: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..at], &text[at + old..])
}

/// The index of the bracket that closes the one at `open`.
fn closing(words: &[Word], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (i, w) in words.iter().enumerate().skip(open) {
        match w.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

fn mutants(text: &str) -> Vec<Mutant> {
    let mut out = Vec::new();
    let words = words(text);
    let near = |at: usize| {
        let line = line_of(text, at);
        vec![line.saturating_sub(1), line, line + 1]
    };
    let lines_with =
        |name: &str| -> Vec<usize> { words.iter().filter(|w| w.text == name).flat_map(|w| near(w.at)).collect() };
    let mut add = |kind: &'static str, new: String, lines: Vec<usize>, what: String| {
        out.push(Mutant { kind, text: new, lines, what });
    };
    for (i, w) in words.iter().enumerate() {
        let before = |n: usize| i.checked_sub(n).and_then(|i| words.get(i)).map_or("", |w| w.text);
        let after = |n: usize| words.get(i + n).map_or("", |w| w.text);
        // Types: `f32[B, 1, H, W]`.
        if ["f32", "i32", "logits"].contains(&w.text) && after(1) == "[" {
            let end = closing(&words, i + 1).unwrap();
            let dims = &words[i + 2..end];
            for d in dims.iter().filter(|d| d.kind == Kind::Number) {
                add("wrong dim", replaced(text, d.at, d.text.len(), "7"), near(d.at), d.text.into());
            }
            if let [a, comma, b, ..] = dims
                && comma.text == ","
                && a.kind != Kind::Sign
                && b.kind != Kind::Sign
            {
                let swapped = replaced(text, a.at, b.at + b.text.len() - a.at, &format!("{}, {}", b.text, a.text));
                add("swapped axes", swapped, near(a.at), format!("{} {}", a.text, b.text));
            }
            if let [.., last] = dims
                && last.kind == Kind::Name
                && dims.len() > 2
            {
                let from = words[end - 2].at;
                let new = replaced(text, from, words[end].at - from, "");
                add("missing axis", new, near(from), last.text.into());
            }
            let other = if w.text == "i32" { "f32" } else { "i32" };
            add("wrong dtype", replaced(text, w.at, w.text.len(), other), near(w.at), w.text.into());
        }
        if w.text == "logits" {
            add("wrong tag", replaced(text, w.at, 6, "probs"), near(w.at), "probs".into());
        }
        // Names, one letter lost, two swapped.
        if w.kind == Kind::Name && w.text.len() > 3 && !WORDS_OF_THE_LANGUAGE.contains(&w.text) {
            let middle = w.text.len() / 2;
            let lost = format!("{}{}", &w.text[..middle], &w.text[middle + 1..]);
            let mut lines = near(w.at);
            lines.extend(lines_with(w.text));
            add("letter lost", replaced(text, w.at, w.text.len(), &lost), lines.clone(), w.text.into());
            let mut letters: Vec<char> = w.text.chars().collect();
            letters.swap(middle, middle - 1);
            let swapped: String = letters.into_iter().collect();
            if swapped != w.text {
                add("letters swapped", replaced(text, w.at, w.text.len(), &swapped), lines, w.text.into());
            }
        }
        if w.kind == Kind::Name && w.text.len() > 3 && before(1) == "|>" {
            let mut letters = w.text.chars();
            let first = letters.next().unwrap();
            let other: String = first.to_uppercase().chain(letters).collect();
            if other != w.text {
                add("capital", replaced(text, w.at, w.text.len(), &other), near(w.at), other.clone());
            }
        }
        // Calls.
        if w.text == "(" && i > 0 && words[i - 1].kind == Kind::Name && before(1) != "in" {
            let end = closing(&words, i).unwrap();
            let declares = ["fn", "layer", "model", "optimizer"].contains(&before(2))
                || ["forward", "update", "step"].contains(&before(1));
            let calls = !declares;
            if calls && end > i + 1 {
                let mut from = i + 1;
                let mut depth = 0;
                for (j, x) in words.iter().enumerate().take(end + 1).skip(i + 1) {
                    match x.text {
                        "(" | "[" | "{" => depth += 1,
                        ")" | "]" | "}" if j < end => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 && (x.text == "," || j == end) {
                        let (a, b) = if j == end && from > i + 1 {
                            (words[from - 1].at, words[end].at)
                        } else if j == end {
                            (words[from].at, words[end].at)
                        } else {
                            (words[from].at, words[j + 1].at)
                        };
                        let what = format!("{} {}", before(1), &text[a..b]);
                        let bound =
                            text[..w.at].rsplit('\n').next().unwrap_or("").trim().split(' ').next().unwrap_or("");
                        let mut lines = near(a);
                        lines.extend(lines_with(bound));
                        add("argument lost", replaced(text, a, b - a, ""), lines, what);
                        from = j + 1;
                    }
                }
                let close = words[end].at;
                add(
                    "argument too many",
                    replaced(text, close, 0, ", 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3"),
                    near(close),
                    before(1).into(),
                );
                add("unknown argument", replaced(text, close, 0, ", colour: 3"), near(close), before(1).into());
            }
            if calls && after(2) == ":" {
                let colon = words[i + 2].at;
                add("= for :", replaced(text, colon, 1, " ="), near(colon), after(1).into());
            }
        }
        // Brackets.
        if ["(", ")", "[", "]", "{", "}"].contains(&w.text) {
            let mut lines = near(w.at);
            // The partner is a place where it can be seen.
            if let Some(open) = (0..words.len()).find(|&o| {
                ["(", "[", "{"].contains(&words[o].text) && closing(&words, o) == Some(i)
                    || o == i && "([{".contains(w.text)
            }) {
                lines.extend(near(words[open].at));
                if let Some(close) = closing(&words, open) {
                    lines.extend(near(words[close].at));
                }
            }
            add("bracket lost", replaced(text, w.at, 1, ""), lines, w.text.into());
        }
        if w.text == "," {
            add("comma lost", replaced(text, w.at, 1, " "), near(w.at), format!("{} {}", before(1), after(1)));
        }
        if w.kind == Kind::Number && before(1) != "[" {
            let mut lines = near(w.at);
            if before(3) == "const" {
                lines.extend(lines_with(before(2)));
            }
            add("string for a number", replaced(text, w.at, w.text.len(), "\"ten\""), lines, w.text.into());
        }
        if w.text == "in" && after(1) == ":" {
            let value = words[i + 2];
            add("wrong in", replaced(text, value.at, value.text.len(), "63"), near(w.at), value.text.into());
        }
    }
    lines(text, &mut out);
    out
}

/// Mutations of whole lines.
fn lines(text: &str, out: &mut Vec<Mutant>) {
    let all: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let mut item = "";
    for (i, line) in all.iter().enumerate() {
        let number = i + 1;
        if !line.starts_with([' ', '}', '/']) {
            item = line.split(' ').next().unwrap_or("");
        }
        let trimmed = line.trim();
        let name = trimmed.split([' ', ':']).find(|w| !["param", "state"].contains(w)).unwrap_or("");
        let balanced =
            ["()", "{}", "[]"].iter().all(|p| trimmed.matches(&p[..1]).count() == trimmed.matches(&p[1..]).count());
        let uses: Vec<usize> = all
            .iter()
            .enumerate()
            .filter(|(_, l)| words(l).iter().any(|w| w.text == name))
            .flat_map(|(j, _)| [j, j + 1, j + 2])
            .chain([number - 1, number, number + 1])
            .collect();
        let mut without = all.clone();
        without.remove(i);
        let binds = line.starts_with("  ") && !line.starts_with("   ") && balanced && trimmed.contains('=');
        let member = binds && ["layer", "model"].contains(&item) && !trimmed.starts_with("forward");
        if member {
            let shifted = uses.iter().map(|l| l.saturating_sub(1)).chain(uses.clone()).collect();
            out.push(Mutant { kind: "member lost", text: joined(&without), lines: shifted, what: name.into() });
        }
        if binds && item == "train" {
            if ["optimizer", "data", "net"].contains(&name) {
                // What misses it: the word `minimize`, the step's fields, the uses of the net.
                let seen = all
                    .iter()
                    .enumerate()
                    .filter(|(_, l)| ["minimize", "step", "net", "train"].iter().any(|w| l.contains(w)))
                    .flat_map(|(j, _)| [j, j + 1])
                    .collect();
                out.push(Mutant { kind: "setting lost", text: joined(&without), lines: seen, what: name.into() });
            }
            let colon = line.replacen(" =", ":", 1);
            let mut with = all.clone();
            with[i] = &colon;
            let near = vec![i, number, number + 1];
            out.push(Mutant { kind: ": for =", text: joined(&with), lines: near.clone(), what: name.into() });
            let mut with = all.clone();
            with.insert(i, "  momentun = 0.9");
            out.push(Mutant { kind: "unknown setting", text: joined(&with), lines: near, what: name.into() });
        }
        if member || binds && item == "train" {
            let mut with = all.clone();
            with.insert(i, line);
            let near = vec![i, number, number + 1];
            out.push(Mutant { kind: "said twice", text: joined(&with), lines: near, what: name.into() });
        }
        if member {
            let mut with = all.clone();
            with.insert(i, "  spare = Linear(3)");
            let near = vec![i, number, number + 1];
            out.push(Mutant { kind: "unused layer", text: joined(&with), lines: near, what: name.into() });
        }
        if trimmed.starts_with("minimize") && balanced {
            let near = (number.saturating_sub(4)..number + 3).collect();
            out.push(Mutant { kind: "minimize lost", text: joined(&without), lines: near, what: String::new() });
        }
        if trimmed.starts_with("step") && trimmed.ends_with('{') {
            let mut with = all.clone();
            let end = (i..all.len()).find(|&j| all[j] == "  }").unwrap_or(i);
            with.drain(i..=end);
            let start = (0..i).rev().find(|&j| !all[j].starts_with([' ', '}']) && !all[j].is_empty()).unwrap_or(0);
            out.push(Mutant {
                kind: "step lost",
                text: joined(&with),
                lines: vec![start, start + 1, start + 2],
                what: String::new(),
            });
        }
    }
}

#[test]
fn the_programs_are_correct() {
    for (name, text) in programs() {
        let checked = check(&text);
        let found: Vec<_> = errors(&checked).iter().map(|d| d.headline.clone()).collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn a_small_mistake_gives_one_error_at_its_place() {
    let verbose = std::env::var_os("NNC_MISSES").is_some();
    let (mut caught, mut good, mut silent) = (0, 0, 0);
    let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut misses = String::new();
    for (name, text) in programs() {
        for mutant in mutants(&text) {
            let checked = check(&mutant.text);
            let found = errors(&checked);
            let tally = kinds.entry(mutant.kind).or_default();
            let Some(first) = found.first() else {
                silent += 1;
                tally[2] += 1;
                if verbose {
                    misses += &format!("{name}: {} `{}`: nothing\n", mutant.kind, mutant.what);
                }
                continue;
            };
            caught += 1;
            let shows = |d: &&Diagnostic| {
                d.primary.iter().chain(&d.secondary).any(|l| mutant.lines.contains(&checked.sources.line_of(l.span)))
            };
            if shows(first) && found.len() <= 2 {
                good += 1;
                tally[0] += 1;
            } else {
                tally[1] += 1;
                let list: Vec<String> = found
                    .iter()
                    .take(4)
                    .map(|d| format!("{}: {}", d.span().map_or(0, |s| checked.sources.line_of(s)), d.headline))
                    .collect();
                let at = mutant.lines.get(1).copied().unwrap_or(0);
                misses += &format!("{name}:{at}: {} `{}`: {}\n", mutant.kind, mutant.what, list.join(" / "));
            }
        }
    }
    for (kind, [good, bad, silent]) in &kinds {
        println!("{kind:22} {good:4} good {bad:4} bad {silent:4} silent");
    }
    println!("{misses}");
    println!("{good} of {caught} good, {silent} silent");
    assert!(kinds.len() >= 20, "{} kinds", kinds.len());
    assert!(good * 100 >= caught * 97, "only {good} of {caught} mistakes have one error at their place");
    assert!(silent * 100 <= (caught + silent) * 5, "{silent} mistakes go unnoticed");
}

// ---- no text makes the checker panic or hang ----

/// Checks on a stack as small as a thread's usually is.
fn survives(text: &str) {
    check(text);
}

#[test]
fn every_prefix_and_deletion_is_checked() {
    for (_, text) in programs() {
        let ends: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        for &at in ends.iter().step_by(5) {
            survives(&text[..at]);
        }
        for &at in ends.iter().skip(1).step_by(3) {
            let next = text[at..].chars().next().map_or(1, char::len_utf8);
            survives(&format!("{}{}", &text[..at], &text[at + next..]));
        }
    }
}

#[test]
fn endless_and_enormous_programs_end() {
    let deep = |open: &str, inner: &str, close: &str, n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
    let model = |members: &str, body: &str| {
        format!(
            "model Net {{\n  {members}\n  forward(x: f32[B, 8]) {{ {body} }}\n}}\ntrain {{\n  data = digits()\n  batch = 8\n  net = Net()\n  optimizer = Adam()\n  step(image, label) {{ minimize sum(net(reshape(image, [B * 8, 8]))) }}\n}}\n"
        )
    };
    let mut texts = vec![
        model("many = repeat 10000 { repeat 10000 { Linear(8) } }", "x |> many"),
        model("many = repeat 10000 { repeat 10000 { relu } }", "x |> many"),
        model("many = repeat 500 { Linear(8) }", "x |> many"),
        model("many = repeat 9223372036854775807 { Linear(8) }", "x |> many"),
        model("many = repeat i in -9223372036854775807..9223372036854775807 { Linear(i) }", "x |> many"),
        model("fc = Linear(4611686018427387904 * 4)", "x |> fc"),
        model("fc = Linear(2 ^ 1000)", "x |> fc"),
        model("fc = Linear(2 ^ -1)", "x |> fc"),
        model("fc = Linear(-5)", "x |> fc"),
        model("fc = Linear(0)", "x |> fc"),
        model("fc = Linear(9223372036854775807)", "x |> fc |> Dropout |> sum"),
        model("param w: f32[9223372036854775807, 9223372036854775807] = 0", "x * sum(w)"),
        model("conv = Conv2d(8, kernel: 9223372036854775807, stride: 0, padding: 9223372036854775807)", "x |> conv"),
        model("conv = Conv2d(8, kernel: 3, groups: 0)", "reshape(x, [B, 2, 2, 2]) |> conv"),
        model("conv = Conv2d(8, kernel: 3, stride: 0, dilation: -9223372036854775807)", "reshape(x, [B, 2, 2, 2]) |> conv"),
        model("a = b\n  b = a", "x |> a"),
        model("me = Net()", "x |> me"),
        model("f = seq { f }", "x |> f"),
        model("fc = Linear(8)", &deep("relu(", "x", ")", 60)),
        model("fc = Linear(8)", &format!("x{}", " |> fc".repeat(450))),
        model("fc = Linear(8)", &format!("x{}", " + x".repeat(450))),
        model("fc = Linear(8)", &format!("x{}", " ^ x".repeat(60))),
        model("fc = Linear(8)", "x[9223372036854775807, -9223372036854775807:9223372036854775807:9223372036854775807]"),
        model("fc = Linear(8)", "x[:, -9223372036854775807]"),
        model("fc = Linear(8)", "split(x, 0) |> fc"),
        model("fc = Linear(8)", "split(x, -9223372036854775807 - 1)"),
        model("fc = Linear(8)", "split(x, 4, axis: 9223372036854775807)"),
        model("fc = Linear(8)", "sum(x, axis: -9223372036854775807 - 1)"),
        model("fc = Linear(8)", "reshape(x, [B, 9223372036854775807, 9223372036854775807])"),
        model("fc = Linear(8)", "floor_div(-9223372036854775807 - 1, -1) * x"),
        "const a = b\nconst b = c\nconst c = a\n".into(),
        "const a = 9223372036854775807 + 1\nconst b = -9223372036854775807 - 2\nconst c = 3037000500 * 3037000500\n".into(),
        "const a = 2 ^ 4294967296\nconst b = 2 ^ 4294967297\nconst c = (-9223372036854775807 - 1) / -1\n".into(),
        "const a = 5 / 0\nconst b = 5.0 / 0\nconst c = floor_div(5, 0)\n".into(),
        "fn f(x: f32[..s]) -> f32[..s] { g(x) }\nfn g(x: f32[..s]) -> f32[..s] { f(x) }\n".into(),
        "fn f(n: int) { f(n - 1) }\nconst x = f(5)\n".into(),
        "fn f(x: f32[A ^ 8 * B ^ 8 * C ^ 8 + D], y: f32[(A + B + C + D + E + F + G + H) ^ 8]) { x }\n".into(),
        "fn f(x: f32[((A + B) ^ 8) ^ 8 * ((C + D) ^ 8) ^ 8]) { x }\n".into(),
        "fn f(x: f32[A], y: f32[A / 0], z: f32[floor(A / 0)]) { x }\n".into(),
        "data a = b\ndata b = a\ntrain { data = a\n step(x) { minimize x } }\n".into(),
        "optimizer O(lr: rate = O()) { update(p, g) { O(p) } }\ntrain { optimizer = O(lr: O)\n step() { minimize 1 } }\n".into(),
        "layer A { b = B()\n forward(x: f32[N]) { x |> b } }\nlayer B { a = A()\n forward(x: f32[N]) { x |> a } }\nmodel M { a = A()\n b = B()\n forward(x: f32[N]) { x |> a |> b } }\n".into(),
        "layer A(f: fn = A) { forward(x: f32[N]) { f(f(f(x))) } }\nmodel M { a = A(f: A(f: A))\n forward(x: f32[N]) { x |> a } }\n".into(),
        "layer A(d: int) { a = seq { A(d: d + 1) }\n forward(x: f32[N]) { x |> a } }\nmodel M { a = A(0)\n forward(x: f32[N]) { x |> a } }\n".into(),
        "train { data = digits()\n batch = 9223372036854775807\n step(image) { minimize sum(image) } }\n".into(),
        "train { net = train.net\n step() { minimize train.net() } }\n".into(),
        "fn f(x: f32[..a, ..b, ..a]) -> f32[..a, ..c] { x }\nfn g(x: f32[2, 3]) { f(x) }\n".into(),
    ];
    // Each function calls the one before twice.
    let mut doubling = String::from("fn f0(x: f32[..s]) -> f32[..s] { x }\n");
    for i in 1..40 {
        doubling += &format!("fn f{i}(x: f32[..s]) -> f32[..s] {{ f{}(f{}(x)) }}\n", i - 1, i - 1);
    }
    texts.push(doubling);
    for text in texts {
        println!("{}", text.lines().nth(1).unwrap_or("").trim().chars().take(100).collect::<String>());
        let start = std::time::Instant::now();
        survives(&text);
        println!("{:6} ms", start.elapsed().as_millis());
    }
}
