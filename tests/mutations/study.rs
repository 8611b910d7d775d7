//! The same study over every model and every example, with what fixes make of the mutants: a sample of about 2,100, or all
//! of them with `NNC_MUTANTS=all`; `NNC_MISSES` lists what was not told well.

use super::{Mutant, errors, mutants};
use nnc::diag::{Diagnostic, Severity};
use nnc::driver::{Checked, Options, check_text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SAMPLE: usize = 2100;

/// Every model and example without a mistake: its folder, its name, its text.
fn corpus() -> Vec<(PathBuf, String, String)> {
    let mut out = Vec::new();
    for folder in ["examples", "models"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for path in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            // One example is wrong on purpose.
            if path.extension().is_some_and(|e| e == "nn") && !path.ends_with("wrong_flatten.nn") {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                // What is wrong is to be found without the warnings of the original.
                out.push((folder.clone(), name, text));
            }
        }
    }
    out.sort();
    out
}

fn look(folder: &Path, text: &str) -> Checked {
    check_text("mutant.nn", text.to_string(), folder, &Options::default())
}

/// What a certain fix leaves wrong: the fault itself, or one that was not there before.
fn left_by_fix(folder: &Path, text: &str, before: &Checked, fault: &Diagnostic) -> Option<String> {
    let fix = fault.fixes.iter().find(|f| f.certain)?;
    let mut edits = fix.edits.clone();
    edits.sort_by_key(|(s, _)| std::cmp::Reverse(s.start));
    let mut fixed = text.to_string();
    for (span, new) in edits {
        fixed.replace_range(span.range(), &new);
    }
    let after = look(folder, &fixed);
    let same = |a: &Diagnostic, b: &Diagnostic| a.code.id == b.code.id && a.headline == b.headline;
    let known = |d: &Diagnostic| before.diagnostics.iter().any(|b| same(b, d));
    let wrong = |d: &&Diagnostic| d.severity == Severity::Error && (same(d, fault) || !known(d));
    after.diagnostics.iter().find(wrong).map(|d| d.headline.clone())
}

#[derive(Default)]
struct Tally {
    caught: usize,
    /// The first error stands within a line of the mistake.
    near: usize,
    /// Its place or another that it shows does.
    shown: usize,
    /// There are at most two errors.
    few: usize,
    silent: usize,
    fixes: usize,
    cured: usize,
    misses: String,
}

impl Tally {
    fn add(&mut self, folder: &Path, name: &str, mutant: &Mutant) {
        let checked = look(folder, &mutant.text);
        let found = errors(&checked);
        let Some(first) = found.first() else { return self.silent += 1 };
        self.caught += 1;
        let line = |s| checked.sources.line_of(s);
        let near = first.span().is_some_and(|s| mutant.lines.contains(&line(s)));
        let shown = near || first.secondary.iter().any(|l| mutant.lines.contains(&line(l.span)));
        let few = found.len() <= 2;
        self.near += usize::from(near);
        self.shown += usize::from(shown);
        self.few += usize::from(few);
        let at = mutant.lines.get(1).copied().unwrap_or(0);
        let said = |d: &&Diagnostic| format!("{}: {}", d.span().map_or(0, line), d.headline);
        if !near || !few {
            let list: Vec<String> = found.iter().take(4).map(said).collect();
            self.misses += &format!("{name}:{at}: {} `{}`: {}\n", mutant.kind, mutant.what, list.join(" / "));
        }
        for fault in found.iter().filter(|d| d.fixes.iter().any(|f| f.certain)) {
            self.fixes += 1;
            match left_by_fix(folder, &mutant.text, &checked, fault) {
                None => self.cured += 1,
                Some(left) => {
                    self.misses += &format!(
                        "{name}:{at}: {} `{}`: the fix of {} leaves {left}\n",
                        mutant.kind, mutant.what, fault.headline
                    );
                }
            }
        }
    }
}

#[test]
fn mistakes_in_models_and_examples_are_told_at_their_place() {
    let all: Vec<_> = corpus()
        .into_iter()
        .flat_map(|(folder, name, text)| mutants(&text).into_iter().map(move |m| (folder.clone(), name.clone(), m)))
        .collect();
    let step = match std::env::var("NNC_MUTANTS").as_deref() {
        Ok("all") => 1,
        _ => (all.len() / SAMPLE).max(1),
    };
    let mut tally = Tally::default();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (folder, name, mutant) in all.iter().step_by(step) {
        *kinds.entry(mutant.kind).or_default() += 1;
        tally.add(folder, name, mutant);
    }
    if std::env::var_os("NNC_MISSES").is_some() {
        println!("{}", tally.misses);
    }
    let share = |n: usize| 100.0 * n as f64 / tally.caught as f64;
    println!(
        "{} mutants of {} in {} kinds, {} silent",
        tally.caught + tally.silent,
        all.len(),
        kinds.len(),
        tally.silent
    );
    println!("first error within a line: {} ({:.2} %)", tally.near, share(tally.near));
    println!("first error shows the place: {} ({:.2} %)", tally.shown, share(tally.shown));
    println!("at most two errors: {} ({:.2} %)", tally.few, share(tally.few));
    println!("certain fixes that cure: {} of {}", tally.cured, tally.fixes);
    assert!(kinds.len() >= 12, "{} kinds", kinds.len());
    assert!(tally.caught + tally.silent >= 2000, "{} mutants", tally.caught + tally.silent);
    assert!(tally.near * 100 >= tally.caught * 95, "{} of {} near\n{}", tally.near, tally.caught, tally.misses);
    assert!(tally.few * 100 >= tally.caught * 95, "{} of {} few\n{}", tally.few, tally.caught, tally.misses);
    assert!(tally.cured == tally.fixes, "{} of {} fixes\n{}", tally.cured, tally.fixes, tally.misses);
}
