//! Every safe fix that a message in `tests/ui` offers, applied alone: its mistake is gone, and there is none that was not there.

use nnc::diag::{Diagnostic, Severity};
use nnc::driver::{Checked, Options, check_text};
use nnc::fix;
use std::path::{Path, PathBuf};

fn check(path: &Path, text: &str) -> Checked {
    check_text("program.nn", text.to_string(), path.parent().unwrap(), &Options::default())
}

/// The errors by code and headline, in alphabetical order: places move.
fn errors(checked: &Checked) -> Vec<String> {
    let errors = checked.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let mut all: Vec<String> = errors.map(said).collect();
    all.sort();
    all
}

fn said(d: &Diagnostic) -> String {
    format!("{} {}", d.code.id, d.headline)
}

fn programs() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == "nn") => out.push(path),
                false => {}
            }
        }
    }
    out.sort();
    out
}

#[test]
fn a_safe_fix_mends_its_mistake_and_makes_no_other() {
    let (mut applied, mut wrong) = (0, String::new());
    for path in programs() {
        let text = std::fs::read_to_string(&path).unwrap();
        let before = check(&path, &text);
        let old = errors(&before);
        for diagnostic in &before.diagnostics {
            for one in diagnostic.fixes.iter().filter(|f| f.certain) {
                let (mended, titles) = fix::apply(&text, before.file, std::iter::once(one));
                if titles.is_empty() {
                    continue;
                }
                applied += 1;
                let new = errors(&check(&path, &mended));
                let count = |all: &[String], what: &String| all.iter().filter(|e| *e == what).count();
                let this = said(diagnostic);
                let gone = diagnostic.severity == Severity::Warning || count(&new, &this) < count(&old, &this);
                let fresh: Vec<_> = new.iter().filter(|e| count(&new, e) > count(&old, e)).collect();
                if !gone || !fresh.is_empty() {
                    wrong += &format!("{}: `{this}`, {}: gone {gone}, new {fresh:?}\n", path.display(), one.title);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(applied > 8, "{applied}");
}

/// All at once, in turn: what `nnc fix` does never leaves more errors than there were.
#[test]
fn fixing_a_file_leaves_fewer_errors() {
    for path in programs() {
        let text = std::fs::read_to_string(&path).unwrap();
        let before = errors(&check(&path, &text)).len();
        let fixed = fix::fix_text("program.nn", text.clone(), path.parent().unwrap(), &Options::default());
        let after = errors(&fixed.checked).len();
        assert!(after <= before, "{}: {before} errors, then {after}:\n{}", path.display(), fixed.text);
        let again = fix::fix_text("program.nn", fixed.text.clone(), path.parent().unwrap(), &Options::default());
        assert_eq!(again.text, fixed.text, "{}", path.display());
    }
}
