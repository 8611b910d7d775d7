//! The front end's first stage from outside: every form parses, every text gives a tree, faults are reported once and where
//! they are.

use nnc::diag::{Diagnostic, Format, render};
use nnc::source::{FileId, Sources};
use nnc::syntax::ast::*;
use nnc::syntax::{dump, dump_expr, parse, parse_at, parse_expr};
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

/// Whether to break a program at this place: everywhere in the sample, and everywhere in all if `NNC_PROGRAMS` is set;
/// else, to stay within seconds, in some places of the others.
fn chosen(name: &str, at: usize) -> bool {
    name == "the sample" || std::env::var_os("NNC_PROGRAMS").is_some() || at.is_multiple_of(13)
}

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
        for end in (0..text.len()).filter(|&e| text.is_char_boundary(e) && chosen(&name, e)) {
            check_kept(&name, &original, &text[..end], end..text.len(), true);
        }
    }
}

#[test]
fn every_deletion_keeps_all_other_items() {
    for (name, text) in samples() {
        let original = items(&text);
        for (at, c) in text.char_indices().filter(|&(at, _)| chosen(&name, at)) {
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
            if !rest.starts_with([' ', '\n']) && chosen(&name, at) {
                for between in ["", " "] {
                    let mutant = format!("{}{between}{}", &text[..at + length], &text[at..]);
                    check_kept(&name, &original, &mutant, at..at + length, false);
                }
            }
            at += length;
        }
    }
}

/// The dump of a text that must be free of faults.
fn read(text: &str) -> String {
    dump(&clean(text))
}

/// A value as read, in full parentheses.
fn value(text: &str) -> String {
    let (value, diagnostics) = parse_expr(text, FileId(0));
    assert!(diagnostics.is_empty(), "{}", shown(text, &diagnostics));
    dump_expr(&value)
}

#[test]
fn the_sample_reads_as_written() {
    let text = read(SAMPLE);
    for line in [
        "use std.vision.MobileCnn",
        "/// Rounds.",
        "gradient(d)",
        "  past = if (C == width) { identity } else { seq { Conv2d(width, kernel: 1); relu } }",
        "  forward(x: f32[B, C, H, W]) -> f32[B, width, P, W] where P = (floor(((H - 1) / stride)) + 1)",
        "    y = (((x |> conv) |> relu) |> half(by: 3))",
        "  load net.blocks[0:2] except net.*.bias from \"pets.safetensors\"",
        "  optimizer = Plain(lr: 0.1) { net.*.bias { lr = 0.001 } }",
        "  budget = 4 GiB",
        "    minimize cross_entropy(scores, label) over net with Plain(0.1)",
        "    save grid(normal([count, 1, 28, 28])) to \"out.png\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn precedence() {
    for (text, tree) in [
        ("a |> f or b", "(a |> (f or b))"),
        ("not a == b and c or d", "(((not (a == b)) and c) or d)"),
        ("0..n + 1", "(0..(n + 1))"),
        ("-1..1", "((-1)..1)"),
        ("a - b - c * d @ e / f", "((a - b) - (((c * d) @ e) / f))"),
        ("-x ^ 2", "(-(x ^ 2))"),
        ("x ^ -0.5 ^ y", "(x ^ (-(0.5 ^ y)))"),
        ("-a * b", "((-a) * b)"),
        ("2 ^ 3 ^ 4", "(2 ^ (3 ^ 4))"),
        ("f(x)[0].y(2)", "f(x)[0].y(2)"),
        ("(x |> rnn)[:, -1] |> fc", "((x |> rnn)[:, (-1)] |> fc)"),
        ("a.*.weight", "a.*.weight"),
        ("x[.., 0:3, ::2, i]", "x[.., 0:3, ::2, i]"),
        ("x[..]", "x[..]"),
        ("(a,)", "(a,)"),
        ("()", "()"),
        ("[1, 2,]", "[1, 2]"),
        ("f(in: 3, over: 2, where: 1)", "f(in: 3, over: 2, where: 1)"),
        ("where(c, a, b)", "where(c, a, b)"),
        ("ramp(2 epochs, 25 ms)", "ramp(2 epochs, 25 ms)"),
        ("1e-3 + 2.5E4 + 0.5", "((0.001 + 25000.0) + 0.5)"),
        ("if a { b } else if c { d } else { e }", "if a { b } else if c { d } else { e }"),
        ("repeat w in [64, 128] { Linear(w) }", "repeat w in [64, 128] { Linear(w) }"),
        ("seq { layer = repeat 2 { A() }; relu }", "seq { layer = repeat 2 { A() }; relu }"),
        (
            "scan (a, b) in (x, y) along T by -1 with h = 0, k = g(h) { yield a, b }",
            "scan (a, b) in (x, y) along T by (-1) with h = 0, k = g(h) { yield a, b }",
        ),
        (r#""a\tb \"c\" \d""#, r#""a\tb \"c\" \\d""#),
    ] {
        assert_eq!(value(text), tree, "{text}");
    }
}

#[test]
fn lines_end_statements_except_where_they_cannot() {
    let body = |text: &str| {
        let tree = read(&format!("fn f(x: f32) -> f32 {{\n{text}\n}}"));
        tree.lines().skip(1).map(|l| l.trim().to_string()).collect::<Vec<_>>().join(" ; ")
    };
    assert_eq!(body("a = 1; b = 2\nc"), "a = 1 ; b = 2 ; c");
    assert_eq!(body("a\n  + b\n|> f"), "((a + b) |> f)");
    assert_eq!(body("a +\nb"), "(a + b)");
    assert_eq!(body("a\n-b"), "a ; (-b)");
    assert_eq!(body("a\n(b)\n[c]"), "a ; b ; [c]");
    assert_eq!(body("f(a,\n  b\n)"), "f(a, b)");
    assert_eq!(body("[1\n, 2 // two\n]"), "[1, 2]");
    assert_eq!(body("f(if a {\n b = 1\n b } else { c })"), "f(if a { b = 1; b } else { c })");
    assert_eq!(body("minimize a\n  + b over n.*\nx = 1"), "minimize (a + b) over n.* ; x = 1");
    assert_eq!(body("report x\nreport y = x\nreport f(x)"), "report x ; report y = x ; report f(x)");
    assert_eq!(body("x: f32[B, S] = y\n(a, (b, c)) = z"), "x: f32[B, S] = y ; (a, (b, c)) = z");
}

#[test]
fn types() {
    for ty in [
        "f32",
        "f32[]",
        "i32[B, 4 * T]",
        "f32[..s]",
        "f32[.., D]",
        "f32[..batch, D]",
        "logits[B]",
        "logits bf16[B, C]",
        "[int]",
        "(f32[B], (i32, bool))",
        "int | same | valid",
        "fn",
        "layer",
        "clock",
    ] {
        let tree = read(&format!("fn f(x: {ty} = 1) -> {ty} {{ x }}"));
        let ty = ty.replace("4 * T", "(4 * T)");
        assert_eq!(tree, format!("fn f(x: {ty} = 1) -> {ty}\n  x\n"));
    }
}

#[test]
fn item_words_are_names_inside() {
    let text = "model M {\n  layer = A()\n  model = layer\n  data = seq { fn = B(); train }\n  forward(x: f32) -> f32 { layer(x) }\n}\n\
                train {\n  data = d\n  model = M()\n  generate = 3\n  step(use) { const = use\n const } }";
    assert_eq!(
        read(text),
        "model M()\n  layer = A()\n  model = layer\n  data = seq { fn = B(); train }\n  forward(x: f32) -> f32\n    layer(x)\n\
         train()\n  data = d\n  model = M()\n  generate = 3\n  step(use)\n    const = use\n    const\n"
    );
}

#[test]
fn spans_and_docs_and_comments() {
    let text = "// one\n/// Says\n///  what.\nlayer A {  \n  /// Inner.\n  w = é(1)   // two\n}\n\n/// lost\n";
    let text = &text.replace('é', "e");
    let file = clean(text);
    let item = &file.items[0];
    assert_eq!(item.docs, "Says\n what.");
    assert!(text[item.span.range()].starts_with("layer A {") && text[item.span.range()].ends_with("}"));
    let ItemKind::Layer(layer) = &item.kind else { panic!() };
    assert_eq!(layer.members[0].docs, "Inner.");
    assert_eq!(&text[layer.members[0].span.range()], "w = e(1)");
    let comments: Vec<_> = file.comments.iter().map(|c| &text[c.range()]).collect();
    assert_eq!(comments, ["// one", "// two", "/// lost"]);

    let (part, _) = parse_at("fn f(x: f32) -> f32 { x }", FileId(3), 100);
    assert_eq!((part.items[0].span.start, part.items[0].span.file), (100, FileId(3)));
}

#[test]
fn spans_point_at_the_original_where_text_was_put_right() {
    let text = "fn f(x: f32) -> f32 {\n  y = (a && b || c\n  z = y ** 2\n}";
    let (file, _) = parse(text, FileId(0));
    let ItemKind::Fn(f) = &file.items[0].kind else { panic!() };
    let spans: Vec<_> = f.body.stmts.iter().map(|s| &text[s.span.range()]).collect();
    assert_eq!(spans, ["y = (a && b || c", "z = y ** 2"]);
    let StmtKind::Bind { value: Expr { kind: ExprKind::Binary { op, op_span, right, .. }, .. }, .. } =
        &f.body.stmts[1].kind
    else {
        panic!()
    };
    assert_eq!((*op, &text[op_span.range()], &text[right.span.range()]), (BinaryOp::Pow, "**", "2"));
}

/// Bad texts: what each is told, in order, as `line code words of the headline`.
const FAULTS: &[(&str, &[&str])] = &[
    // Braces and brackets.
    ("layer A {\n  a = seq {\n    B()\n  c = D()\n}\nlayer E { }", &["3 E0102 `}` is missing"]),
    ("layer A {\n  a = B()\nlayer E { }", &["2 E0102 `}` is missing"]),
    ("layer A {\n  a = seq\n    B()\n  }\n}\nlayer E { }", &["2 E0102 `{` is missing"]),
    ("layer A {\n  a = B(1\n  c = D()\n}", &["2 E0102 `)` is missing"]),
    ("layer A {\n  a = B(1,\n  c = D()\n}", &["2 E0102 `)` is missing"]),
    ("layer A {\n  a = B([1, 2)\n}", &["2 E0102 `]` is missing"]),
    ("layer A {\n  a = [1, 2)\n}", &["2 E0102 `[` is closed by `)`"]),
    ("layer A {\n  a = B(1))\n}\n}", &["2 E0102 closes nothing", "4 E0102 closes nothing"]),
    ("layer A {\n  a = f(\"x)\n  b = 2\n}", &["2 E0102 no closing"]),
    ("fn f(x: f32) -> f32 { x", &["1 E0102 `}` is missing"]),
    // Parts that are absent.
    ("fn f(x: f32) -> f32 {\n  a = x +\n  b =\n  b\n}", &["2 E0105 a value after `+`", "3 E0105 a value after `=`"]),
    ("fn f(x: f32) -> { x.\n }", &["1 E0105 a type after `->`", "1 E0105 a name after `.`"]),
    ("fn f(x: f32)\nconst a\nconst = 3", &["1 E0105 needs a body", "2 E0105 needs a value", "3 E0105 needs a name"]),
    (
        "train {\n  load net\n  freeze\n  step() { minimize }\n}",
        &["2 E0105 `from`", "3 E0105 selection", "4 E0105 a loss"],
    ),
    ("layer A {\n  param w = 3\n  Linear(3)\n}", &["2 E0105 needs a type", "3 E0105 needs a name"]),
    (
        "fn f(x: f32) -> f32 {\n  a: f32[B]\n  scan i in x { i }\n  repeat 3\n}",
        &["2 E0105 no value", "4 E0105 its parts"],
    ),
    // What stands where nothing can.
    (
        "fn f(x: f32) -> f32 {\n  g(a b)\n  a < b < c\n  x = y = 3\n}",
        &["2 E0101 found `b`", "3 E0101 chain", "4 E0101 found `=`"],
    ),
    (
        "fn f(x: f32) -> f32 {\n  x[0..3]\n  1. + .5\n}",
        &["2 E0101 a slice", "3 E0101 digits", "3 E0105 after `+`", "3 E0101 digits"],
    ),
    (
        "fn f(x: f32) -> f32 {\n  x[0] = 3\n  repeat = 3\n  % 3\n}",
        &["2 E0101 only names", "3 E0101 a word of", "4 E0101 found `%`"],
    ),
    ("fn f(x: f32) -> f32 {\n  if a { b }\n  else { c }\n}", &["3 E0101 `else` starts a line"]),
    ("fn f(x: f32) -> f32 {\n  scan i in x alogn T with h = 0 { h }\n}", &["2 E0101 found `alogn`"]),
    ("train {\n  minimize x\n  step() { freeze net }\n}", &["2 E0101 belongs in `step`", "3 E0101 before `step`"]),
    (
        "layer A {\n  fn g(x: f32) -> f32 { x }\n  update(p) { p }\n}",
        &["2 E0101 top of a file", "3 E0101 does not belong"],
    ),
    (
        "modle A { }\ntrian { }\nx = 3\nparam w: f32",
        &["1 E0101 starts no item", "2 E0101 starts no item", "3 E0101 no bindings"],
    ),
    // Habits.
    ("import torch\nfrom torch import nn\nconst a = 1", &["1 E0103 `use`, not `import`", "2 E0103 `use`, not `from`"]),
    ("class A(nn.Module):\n  def f(self):\n    return 1\nconst a = 1", &["1 E0103 `class`"]),
    (
        "class A {\n  def forward(self, x: f32) -> f32 { return self.fc(x) }\n}",
        &["1 E0103 `class`", "2 E0103 without `def`", "2 E0103 no `self`", "2 E0103 value", "2 E0103 alone"],
    ),
    ("# a\nconst a = 1 # b", &["1 E0103 begins with `//`"]),
    ("layer A {\n  fc = Linear(in=3, out = 4)\n}", &["2 E0103 with `:`"]),
    ("train {\n  batch: 64\n  net: Net(3)\n}", &["2 E0103 `=` binds"]),
    (
        "fn f(x: f32) -> f32 {\n  a = x ** 2\n  a += 1\n  a && b\n  c || !d\n}",
        &["2 E0103 `^`", "3 E0103 `+=`", "4 E0103 `and`", "5 E0103 `or`", "5 E0103 `not`"],
    ),
    (
        "fn f(x: f32) -> f32 {\n  let a = None\n  return a -> f\n}",
        &["2 E0103 `let`", "2 E0103 `none`", "3 E0103 last expression", "3 E0103 `|>`"],
    ),
    (
        "fn f(x: f32) -> f32 {\n  for i in x:\n    y = 3\n  if x > 1:\n    y = 2\n  x\n}",
        &["2 E0103 `for", "4 E0103 `if"],
    ),
    (
        "fn f(x: f32) -> f32 {\n  a = lambda x: x\n  b = 1 if x else 2\n  [i for i in x]\n}",
        &["2 E0103 lambda", "3 E0103 condition first", "4 E0103 comprehensions"],
    ),
    ("const a = 'it'\nconst b = f('x', 'y')", &["1 E0103 double quotes"]),
    ("fn f(x: f32) -> f32 {\n  a, b = g(x)\n  a := 3\n}", &["2 E0101 as a tuple", "3 E0103 `:=`"]),
];

#[test]
fn faults_are_named_once_and_in_place() {
    for (text, expected) in FAULTS {
        let (_, diagnostics) = parse(text, FileId(0));
        let told = shown(text, &diagnostics);
        assert_eq!(diagnostics.len(), expected.len(), "{text}\n{told}");
        for (diagnostic, expected) in diagnostics.iter().zip(*expected) {
            let mut parts = expected.splitn(3, ' ');
            let (line, code, words) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let start = diagnostic.span().unwrap().start as usize;
            let actual = text[..start].matches('\n').count() + 1;
            assert_eq!((actual.to_string().as_str(), diagnostic.code.id), (line, code), "{text}\n{told}");
            assert!(diagnostic.headline.contains(words), "{words}\n{told}");
            assert!(diagnostic.headline.chars().count() <= 80, "{told}");
        }
    }
}

#[test]
fn certain_fixes_lead_to_a_clean_text() {
    let mut cured = 0;
    for (text, _) in FAULTS {
        let (_, diagnostics) = parse(text, FileId(0));
        if !diagnostics.iter().all(|d| d.fixes.iter().any(|f| f.certain)) {
            continue;
        }
        let mut edits: Vec<_> = diagnostics.iter().flat_map(|d| d.fixes[0].edits.clone()).collect();
        edits.sort_by_key(|e| std::cmp::Reverse((e.0.start, e.0.end)));
        let mut fixed = text.to_string();
        for (span, with) in edits {
            fixed.replace_range(span.range(), &with);
        }
        let (_, left) = parse(&fixed, FileId(0));
        assert!(left.is_empty(), "{text}\nbecame\n{fixed}\n{}", shown(&fixed, &left));
        cured += 1;
    }
    assert!(cured >= 8, "only {cured} texts were cured");
}

#[test]
fn nesting_without_end_is_a_fault_and_costs_one_item() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("f(", "x", ")"),
        ("- ", "1", ""),
        ("not ", "a", ""),
        ("a ^ ", "b", ""),
        ("a + ", "b", ""),
        ("if a { ", "b", " }"),
        ("a.", "b", ""),
        ("", "f", "()"),
        ("", "f", "[0]"),
        ("if a { b } else ", "{ c }", ""),
        ("x: (", "f32", ")"),
        ("seq { ", "f", " }"),
        ("scan a in b { ", "f", " }"),
        ("(", "1", ""),
        ("([{", "", ""),
    ] {
        let bomb = format!("{}{middle}{}", open.repeat(20_000), close.repeat(20_000));
        let text = format!("fn a(x: f32) -> f32 {{\n  {bomb}\n}}\nfn b(x: f32) -> f32 {{ x }}");
        let (file, diagnostics) = parse(&text, FileId(0));
        assert!(
            diagnostics.iter().any(|d| d.code.id == "E0104"),
            "{open}: {:?}",
            diagnostics.first().map(|d| &d.headline)
        );
        assert!(dump(&file).ends_with("fn b(x: f32) -> f32\n  x\n"), "{open}");
    }
}

#[test]
fn expressions_of_the_command_line() {
    assert_eq!(value("  AdamW(1e-3, betas: (0.9, 0.99)) "), "AdamW(0.001, betas: (0.9, 0.99))");
    for text in ["", "a b", "3 +", "(1", "a\nb", "= 3", "{ }"] {
        let (_, diagnostics) = parse_expr(text, FileId(0));
        assert!(!diagnostics.is_empty(), "{text:?}");
    }
}

#[test]
fn odd_characters_are_survived() {
    for text in ["\u{feff}const a = 1\r\nconst b = 2\r\n", "const\u{a0}a = 1\n\tconst b = 2"] {
        assert_eq!(read(text), "const a = 1\nconst b = 2\n");
    }
    for text in [
        "\0",
        "\u{1}\u{1}",
        "const a = \u{1}",
        "é",
        "const a = “x”",
        "'",
        "\"",
        "\"\\",
        "\"\"\"",
        "/",
        "///",
        "|",
        "\u{c}",
    ] {
        let _ = dump(&parse(text, FileId(0)).0);
    }
}

/// Taking out one bracket is one fault, told within a line of it.
#[test]
fn a_missing_bracket_is_one_fault() {
    let (mut all, mut once, mut near) = (0, 0, 0);
    for (name, text) in samples() {
        let code = |at: usize| {
            !text[..at].lines().next_back().is_some_and(|l| l.contains("//") || l.matches('"').count() % 2 == 1)
        };
        for (at, _) in text.char_indices().filter(|&(at, c)| "{}()[]".contains(c) && code(at)) {
            let mutant = format!("{}{}", &text[..at], &text[at + 1..]);
            let (_, diagnostics) = parse(&mutant, FileId(0));
            let line = |at: usize| mutant[..at].matches('\n').count();
            let there = line(at);
            let nearest =
                diagnostics.iter().filter_map(|d| d.span()).map(|s| line(s.start as usize).abs_diff(there)).min();
            all += 1;
            once += usize::from(diagnostics.len() == 1);
            near += usize::from(nearest.is_some_and(|n| n <= 1));
            assert!(!diagnostics.is_empty(), "{name}: nothing is said\n{mutant}");
        }
    }
    assert!(once * 100 >= all * 97 && near * 100 >= all * 99, "{once} and {near} of {all}");
}

/// The pages of the syntax codes: the first example has this fault and no other, the second has none.
#[test]
fn error_pages_tell_the_truth() {
    for code in nnc::diag::codes::ALL.iter().filter(|c| c.id.starts_with("E01")) {
        let examples: Vec<_> = code.page.split("```nn\n").skip(1).filter_map(|e| e.split("```").next()).collect();
        let [bad, good] = examples[..] else { panic!("{} has {} examples", code.id, examples.len()) };
        let (_, diagnostics) = parse(bad, FileId(0));
        assert!(!diagnostics.is_empty() && diagnostics.iter().all(|d| d.code == *code), "{}", shown(bad, &diagnostics));
        clean(good);
    }
}
