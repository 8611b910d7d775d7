//! What an editor is told soon after an edit is what a fresh look at the text says: random edits of the repository's files,
//! each read and checked both ways. `NNC_EDITS=5000` for a long study.

use nnc::data_facts::OpenFacts;
use nnc::diag::Diagnostic;
use nnc::ide::{Facts, Input, Reach, Syntax, check, check_again};
use nnc::uses::Files;
use std::path::{Path, PathBuf};

/// A generator of numbers: the same ones each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

/// What is typed: tokens, halves of them, lines, items.
const PIECES: &[&str] = &[
    "x",
    " ",
    "\n",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    " = ",
    " |> ",
    ": ",
    "relu",
    "Linear(4)",
    "1",
    ".",
    "\"",
    "// c\n",
    "/// docs\n",
    "fn f(x: f32[B]) -> f32[B] { x }\n",
    "const c = 3\n",
    "layer ",
    "train {",
    "use std.",
    "}\n\n",
    "forward(",
    "\u{e9}",
    "else",
    "if true {",
    "nope",
    "f32[B, 7]",
    "repeat 2 {",
    "def f(x):\n",
    "# c\n",
    ";",
    "+",
    "\r\n",
    "seq {",
];

fn edits() -> usize {
    std::env::var("NNC_EDITS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["models", "examples"] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.retain(|p| p.extension().is_some_and(|e| e == "nn"));
        texts.extend(files.iter().map(|p| std::fs::read_to_string(p).unwrap()));
    }
    texts
}

/// One random edit.
fn edited(text: &str, random: &mut Random) -> String {
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(random.below(text.len() + 1));
    let end = match random.below(4) {
        0 => start,
        1 => boundary((start + 1 + random.below(3)).min(text.len())).max(start),
        2 => boundary((start + random.below(40)).min(text.len())).max(start),
        _ => start,
    };
    let piece = if end > start && random.below(2) == 0 { "" } else { PIECES[random.below(PIECES.len())] };
    format!("{}{piece}{}", &text[..start], &text[end..])
}

#[test]
fn reading_again_gives_what_reading_gives() {
    let corpus = corpus();
    let mut random = Random(3);
    let mut at_once = 0;
    let count = edits() * 5;
    let mut text = String::new();
    let mut syntax = Syntax::of("");
    for number in 0..count {
        if number % 12 == 0 {
            let first = random.below(corpus.len());
            text = corpus[first..].iter().take(3).cloned().collect::<Vec<_>>().join("\n");
            syntax = Syntax::of(text.as_str());
        }
        let new = edited(&text, &mut random);
        at_once += usize::from(
            nnc::syntax::parse_again(&syntax.tree, &syntax.diagnostics, &text, &new, nnc::ide::MAIN).is_some(),
        );
        let (again, anew) = (syntax.edited(new.as_str()), Syntax::of(new.as_str()));
        let lines = |s: &Syntax| s.diagnostics.iter().map(line).collect::<Vec<_>>();
        assert_eq!(lines(&again), lines(&anew), "edit {number}, {:?}:\n{text}\n-----\n{new}", difference(&text, &new));
        assert!(again.diagnostics == anew.diagnostics, "edit {number}:\n{text}\n-----\n{new}");
        let shown = |s: &Syntax| format!("{:?}", s.tree);
        assert!(shown(&again) == shown(&anew), "tree after edit {number}:\n{text}\n-----\n{new}");
        (text, syntax) = (new, again);
    }
    assert!(at_once * 2 > count, "only {at_once} of {count} edits were read around themselves");
}

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn with<T>(text: &str, run: impl FnOnce(&Input) -> T) -> T {
    let data = OpenFacts::new(PathBuf::new());
    let folder = Path::new("");
    run(&Input { name: "t.nn", text: text.into(), folder, files: &NoFiles, data: &data, cancelled: None })
}

fn line(d: &Diagnostic) -> String {
    format!("{:?} {} {}", d.span().map(|s| s.range()), d.code.id, d.headline)
}

fn said(facts: &Facts) -> Vec<String> {
    facts.diagnostics.iter().map(line).collect()
}

/// What was replaced by what.
fn difference<'t>(old: &'t str, new: &'t str) -> (&'t str, &'t str) {
    let head = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.bytes().rev().zip(new.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
    (old.get(head..old.len() - tail).unwrap_or("?"), new.get(head..new.len() - tail).unwrap_or("?"))
}

#[test]
fn checking_again_ends_where_checking_does() {
    let corpus = corpus();
    let mut random = Random(5);
    let (mut at_once, mut same) = (0, 0);
    let mut text = String::new();
    let mut syntax = Syntax::of("");
    let mut facts = Facts::default();
    for number in 0..edits() {
        if number % 8 == 0 {
            text = corpus[random.below(corpus.len())].clone();
            syntax = Syntax::of(text.as_str());
            facts = with(&text, |input| check(input, &syntax));
        }
        let new = edited(&text, &mut random);
        syntax = syntax.edited(new.as_str());
        let (quick, users, anew) = with(&new, |input| {
            let quick = check_again(input, &syntax, &facts, Reach::Changed);
            let users = check_again(input, &syntax, &quick, Reach::Users);
            (quick, users, check(input, &Syntax::of(new.as_str())))
        });
        let (a, b, c) = (said(&quick), said(&users), said(&anew));
        same += usize::from(b == c);
        at_once += usize::from(a == c);
        facts = users;
        text = new;
    }
    // What one fault hides of others, the look at everything says that follows.
    assert!(same * 100 >= edits() * 97, "{same} of {}", edits());
    // What an edit does to other items is not said at once.
    assert!(at_once * 10 > edits() * 8, "{at_once} of {}", edits());
}
