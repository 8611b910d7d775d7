//! Programs with mistakes, each with the diagnostics that it must give written beside the mistake:
//!
//! ```text
//! fc = Linaer(10)          //~ E0201 `Linaer` is not known
//! //~^ E0201 the same, said on the line below
//! ```
//!
//! Code, line and words of the headline are compared, and there may be no other diagnostic. A file `name.stderr` beside
//! `name.nn` holds the whole message as people see it; `NNC_BLESS=1` writes those anew (to add one, create it empty).

use nnc::diag::{Diagnostic, Format, Severity, codes, render};
use nnc::driver::{Checked, Options, check_text};
use nnc::source::Span;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")
}

/// Every program below `tests/ui`, by its path there.
fn programs() -> Vec<(String, String)> {
    let mut folders = vec![root()];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "nn") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

fn check(name: &str, text: &str) -> Checked {
    let folder = root().join(name).parent().map(Path::to_path_buf).unwrap_or_default();
    check_text(name, text.to_string(), &folder, &Options::default())
}

#[derive(Debug)]
struct Expected {
    line: usize,
    code: String,
    words: String,
}

fn expectations(text: &str) -> Vec<Expected> {
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for part in line.split("//~").skip(1) {
            let above = part.chars().take_while(|c| *c == '^').count();
            let rest = part[above..].trim();
            let (code, words) = rest.split_once(' ').unwrap_or((rest, ""));
            out.push(Expected { line: number + 1 - above, code: code.into(), words: words.trim().into() });
        }
    }
    out
}

#[test]
fn each_program_gives_the_diagnostics_written_in_it() {
    let mut wrong = String::new();
    for (name, text) in programs() {
        let checked = check(&name, &text);
        let mut expected = expectations(&text);
        let mut extra = Vec::new();
        // What is wrong in a file that it uses is expected there.
        let own = |d: &&Diagnostic| d.span().is_none_or(|s| s.file == checked.file);
        for found in checked.diagnostics.iter().filter(own) {
            let line = found.span().map_or(0, |s| checked.sources.line_of(s));
            let hit = expected
                .iter()
                .position(|e| e.line == line && e.code == found.code.id && found.headline.contains(&e.words));
            match hit {
                Some(i) => drop(expected.remove(i)),
                None => extra.push(found.clone()),
            }
        }
        if expected.is_empty() && extra.is_empty() {
            continue;
        }
        wrong += &format!("---- {name}\n");
        for e in expected {
            wrong += &format!("line {}: no {} {}\n", e.line, e.code, e.words);
        }
        if !extra.is_empty() {
            wrong += &format!("not expected:\n{}", render(&extra, &checked.sources, Format::Human, false));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn whole_messages_are_as_recorded() {
    let bless = std::env::var_os("NNC_BLESS").is_some();
    let mut seen = 0;
    let mut wrong = String::new();
    for (name, text) in programs() {
        let path = root().join(&name).with_extension("stderr");
        let Ok(recorded) = std::fs::read_to_string(&path) else { continue };
        seen += 1;
        let checked = check(&name, &text);
        let shown = render(&checked.diagnostics, &checked.sources, Format::Human, false);
        if bless {
            std::fs::write(&path, shown).unwrap();
        } else if shown != recorded {
            wrong += &format!("---- {name}: now\n{shown}\n---- recorded\n{recorded}\n");
        }
    }
    assert!(seen >= 15, "only {seen} recorded messages");
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_message_keeps_the_house_style() {
    let mut wrong = Vec::new();
    for (name, text) in programs() {
        let checked = check(&name, &text);
        for d in &checked.diagnostics {
            let mut bad = |what: &str| wrong.push(format!("{name}: {what}: {}", d.headline));
            if d.headline.chars().count() > 80 {
                bad("longer than 80 columns");
            }
            if d.headline.ends_with('.') || d.headline.contains('\n') {
                bad("a full stop or a line break");
            }
            if d.headline.starts_with(|c: char| c.is_uppercase()) {
                bad("begins with a capital");
            }
            if d.help.len() > 1 {
                bad("more than one cure");
            }
            if d.severity == Severity::Error && d.help.is_empty() {
                bad("no cure");
            }
            if d.secondary.len() > 4 {
                bad("more than four places beside the first");
            }
            let builtin = |s: &Span| checked.sources.file(s.file).builtin;
            if d.primary.iter().chain(&d.secondary).any(|l| builtin(&l.span)) {
                bad("a label in the standard library");
            }
            if d.primary.iter().chain(&d.secondary).any(|l| l.text.chars().count() > 72) {
                bad("a long label");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_lint_has_a_program_that_speaks_and_one_that_does_not() {
    for lint in nnc::lint::LINTS {
        let name = format!("lints/{}.nn", lint.code.name.replace('-', "_"));
        let text = std::fs::read_to_string(root().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(expectations(&text).iter().any(|e| e.code == lint.code.id), "{name} never gives {}", lint.code.id);
        // What is not meant stands beside it: more than half of the lines are of programs without a warning.
        let good = ["good", "Good"].iter().any(|word| text.contains(word));
        assert!(good, "{name} has nothing called `good` that it is silent about");
    }
}

/// What is found only while running, or of files and command lines: the test that gives it and sees where it is not given.
const ELSEWHERE: &[(&codes::Code, &str, &str)] = &[
    (codes::DATA_MISSING, "src/data/tests/pictures.rs", "codes::DATA_MISSING"),
    (codes::DATA_FORMAT, "tests/pipeline.rs", "faults_of_texts_are_told_where_they_are"),
    (codes::DATA_VALUE, "tests/sizes.rs", "numbers_that_choose_are_among_what_is_there"),
    (codes::NOT_FINITE, "tests/cli.rs", "a_loss_that_explodes_names_its_line"),
    (codes::RESUME, "tests/cli.rs", "an_interrupted_run_goes_on_to_the_same_bits"),
    (codes::BUDGET, "tests/engine.rs", "a_plan_over_the_budget_is_an_error_that_names_the_largest_tensors"),
    (codes::TARGET, "tests/cli.rs", "a_target_that_does_not_work_here_is_told"),
    (codes::FILE, "tests/cli.rs", "check_says_what_is_wrong_in_three_formats"),
    (codes::CHECKPOINT, "src/artifact/tests.rs", "a_net_that_does_not_fit_is_told_name_by_name"),
    (codes::USAGE, "tests/cli.rs", "warnings_are_allowed_and_denied_by_name"),
    (codes::INTERNAL, "src/artifact/tests.rs", "tensors_that_cannot_be_saved_are_refused"),
    (codes::PROMPT, "tests/cli.rs", "a_prompt_that_is_not_read_as_it_stands_is_told"),
];

/// A code has a program that gives it, and one without it: beside it for lints, on the code's page for the others.
#[test]
fn every_code_is_seen_where_it_is_meant_and_where_it_is_not() {
    let programs = programs();
    let mut wrong = Vec::new();
    for code in codes::ALL {
        let lint = nnc::lint::LINTS.iter().any(|l| l.code == *code);
        let elsewhere = ELSEWHERE.iter().find(|(c, ..)| c == code);
        if let Some((_, file, test)) = elsewhere {
            let text = std::fs::read_to_string(root().join("../..").join(file)).unwrap();
            let constant = format!("codes::{}", code.name.replace('-', "_").to_uppercase());
            let body = text.split(test).nth(1).map(|t| t.split("#[test]").next().unwrap_or(t));
            let gives = test.contains("codes::") || body.is_some_and(|t| t.contains(code.id) || t.contains(&constant));
            if !gives || body.is_none() {
                wrong.push(format!("{}: {file} has no `{test}` that gives it", code.id));
            }
            continue;
        }
        if !programs.iter().any(|(_, text)| expectations(text).iter().any(|e| e.code == code.id)) {
            wrong.push(format!("{}: no program in tests/ui gives `{}`", code.id, code.name));
        }
        // The page's mended program is checked by tests/docs.rs: nothing at all is found in it.
        let mended = code.page.split("## How to fix").nth(1).is_some_and(|t| t.contains("```nn\n"));
        if !lint && !mended {
            wrong.push(format!("{}: its page has no program without the fault", code.id));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The text with a fix applied; its edits do not overlap.
fn fixed(text: &str, edits: &[(Span, String)]) -> String {
    let mut edits = edits.to_vec();
    edits.sort_by_key(|(s, _)| std::cmp::Reverse(s.start));
    let mut text = text.to_string();
    for (span, new) in edits {
        text.replace_range(span.range(), &new);
    }
    text
}

fn same_fault(a: &Diagnostic, b: &Diagnostic) -> bool {
    a.code.id == b.code.id && a.headline == b.headline
}

#[test]
fn certain_fixes_cure_what_they_fix() {
    let mut applied = 0;
    for (name, text) in programs() {
        let before = check(&name, &text);
        for d in &before.diagnostics {
            for fix in d.fixes.iter().filter(|f| f.certain) {
                applied += 1;
                let after = check(&name, &fixed(&text, &fix.edits));
                assert!(!after.diagnostics.iter().any(|x| same_fault(x, d)), "{name}: {}: still there", d.headline);
                let new: Vec<_> = after
                    .diagnostics
                    .iter()
                    .filter(|x| !before.diagnostics.iter().any(|y| same_fault(x, y)))
                    .map(|x| &x.headline)
                    .collect();
                assert!(new.is_empty(), "{name}: {}: the fix brings {new:?}", d.headline);
            }
        }
    }
    assert!(applied > 0, "no program has a certain fix");
}
