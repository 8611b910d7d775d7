//! The front end's first stage from outside: every form parses, every text gives a tree, faults are reported once and where
//! they are.

use nnc::diag::{Diagnostic, Format, render};
use nnc::source::{FileId, Sources};
use nnc::syntax::ast::*;
use nnc::syntax::{dump, parse, parse_at, parse_expr};
use std::path::{Path, PathBuf};

/// Every program of the repository, and of the folder that `NNC_PROGRAMS` names.
fn sample_programs() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("examples"), root.join("models")];
    match std::env::var_os("NNC_PROGRAMS") {
        Some(folder) => folders.push(PathBuf::from(folder)),
        None => eprintln!("NNC_PROGRAMS is not set: only the repository's own programs are read"),
    }
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "nn") {
                out.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

fn shown(text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut sources = Sources::default();
    sources.add("test.nn", text);
    render(diagnostics, &sources, Format::Human, false)
}

#[allow(dead_code)]
fn clean(text: &str) -> File {
    let (file, diagnostics) = parse(text, FileId(0));
    assert!(diagnostics.is_empty(), "{}", shown(text, &diagnostics));
    file
}

#[test]
fn sample_programs_parse_without_a_diagnostic() {
    for (name, text) in sample_programs() {
        let (_, diagnostics) = parse(&text, FileId(0));
        assert!(diagnostics.is_empty(), "{name}\n{}", shown(&text, &diagnostics));
    }
}

/// A program with every kind of item, so that the mutations below have something to break without any other file.
const SAMPLE: &str = r#"// A sample.
use std.vision.{ResNet18, MobileCnn}
const pad = 0

/// Rounds.
fn half(x: f32[..s], by: float = 2) -> f32[..s] { x / by } gradient(d) { d / by }

layer Block(width: int, stride: int = 1) {
  conv = Conv2d(width, kernel: 3, stride: stride)
  past = if C == width { identity } else {
    seq { Conv2d(width, kernel: 1); relu }
  }
  param scale: f32[width] = 1          // learned
  state seen: f32[width] = 0

  forward(x: f32[B, C, H, W]) -> f32[B, width, P, W] where P = floor((H - 1) / stride) + 1 {
    if training { seen = 0.9 * seen + mean(x, axis: [0, 2, 3]) }
    y = x |> conv |> relu
        |> half(by: 3)
    past(x) + y * rearrange(scale, "c -> c 1 1")
  }
}

model Net(classes: int = 10) {
  blocks = repeat i in 0..3 { Block(16, stride: if i == 0 { 2 } else { 1 }) }
  forward(image: f32[B, 3, H, W]) -> logits[B, classes] {
    scan x_t in image along H by -1 with h = zeros([B, 8]), n = 0 {
      (h, n) = (tanh(x_t[:, -1] + h), n + 1)
      yield h
    }
  }
}

optimizer Plain(lr: rate = 0.01) {
  state m = 0
  update(p, g) {
    m = 0.9 * m + g
    p - lr * m
  }
}

data pets = image_folder("data/pets", size: 64) {
  image = image |> random_flip
}

train tune {
  data      = pets
  net       = Net(classes: data.classes)
  load net.blocks[0:2] except net.*.bias from "pets.safetensors"
  freeze net except net.blocks
  optimizer = Plain(lr: 0.1) {
    net.*.bias { lr = 1e-3 }
  }
  budget    = 4 GiB

  step(image, label: i32[B]) {
    scores = net(image)
    minimize cross_entropy(scores, label) over net with Plain(0.1)
    report   accuracy(scores, label)
  }
}

predict draw(count: int = 3) {
  step() { save grid(normal([count, 1, 28, 28])) to "out.png" }
}
"#;

fn samples() -> Vec<(String, String)> {
    let mut all = vec![("the sample".to_string(), SAMPLE.to_string())];
    all.extend(sample_programs());
    all
}

/// The dump of every item, and the bytes whose change may change it: up to its neighbours.
fn items(text: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let file = parse(text, FileId(0)).0;
    let spans: Vec<_> = file.items.iter().map(|i| i.span.range()).collect();
    let of = |(i, item): (usize, Item)| {
        let from = if i == 0 { 0 } else { spans[i - 1].end };
        let to = spans.get(i + 1).map_or(text.len(), |next| next.start + 1);
        (from..to, dump(&File { items: vec![item], comments: Vec::new() }))
    };
    file.items.into_iter().enumerate().map(of).collect()
}

/// Parses a broken text and checks that the items which `at` does not touch are as before.
fn check_kept(
    name: &str,
    original: &[(std::ops::Range<usize>, String)],
    text: &str,
    at: std::ops::Range<usize>,
    cut: bool,
) {
    let after = items(text);
    for (range, item) in original {
        let touched = if cut { range.end > at.start } else { range.start < at.end && range.end > at.start };
        let kept = after.iter().any(|(_, a)| a == item);
        assert!(
            touched || kept,
            "{name}: a change at {at:?} lost\n{item}\nin\n{text}\n{}",
            dump(&parse(text, FileId(0)).0)
        );
    }
}

#[test]
fn every_prefix_gives_a_tree_with_the_items_before() {
    for (name, text) in samples() {
        let original = items(&text);
        for end in (0..text.len()).filter(|&e| text.is_char_boundary(e)) {
            check_kept(&name, &original, &text[..end], end..text.len(), true);
        }
    }
}

#[test]
fn every_deletion_keeps_all_other_items() {
    for (name, text) in samples() {
        let original = items(&text);
        for (at, c) in text.char_indices() {
            let comment = text[..at].lines().next_back().is_some_and(|line| line.contains("//"));
            if c == '\n' && comment {
                // The next line becomes a part of the comment, which is right.
                continue;
            }
            let mutant = format!("{}{}", &text[..at], &text[at + c.len_utf8()..]);
            check_kept(&name, &original, &mutant, at..at + c.len_utf8(), false);
        }
    }
}

#[test]
fn every_doubled_token_keeps_all_other_items() {
    for (name, text) in samples() {
        let original = items(&text);
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = word.max(rest.chars().next().map_or(1, char::len_utf8));
            if !rest.starts_with([' ', '\n']) {
                for between in ["", " "] {
                    let mutant = format!("{}{between}{}", &text[..at + length], &text[at..]);
                    check_kept(&name, &original, &mutant, at..at + length, false);
                }
            }
            at += length;
        }
    }
}
