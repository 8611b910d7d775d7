//! Parameters that cannot learn are told, in every example: each use of a part with parameters is cut off on purpose
//! (`stop_gradient`, `argmax`), and a parameter is added that nothing uses. What is not cut is never blamed.

use nnc::check::Program;
use nnc::diag::{Severity, codes};
use nnc::driver::{self, Checked, Options};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Cutting these leaves every parameter that may move a gradient by another way, so that there is nothing to tell.
const OTHER_WAYS: [(&str, &str); 7] = [
    // The head shares the embedding's table.
    ("gpt.nn", "wte(token)"),
    // Both views of a picture go through one net, which is frozen for the probe.
    ("simclr.nn", "net(first)"),
    ("simclr.nn", "net(second)"),
    ("simclr.nn", "encoder"),
    // The critic sees a real and a made picture.
    ("gan.nn", "critic(real)"),
    ("gan.nn", "critic(stop_gradient(fake))"),
    // It is frozen.
    ("finetune.nn", "teacher(image)"),
];

const ARGMAX: &str = "\nfn severed(x: f32[..s, D]) -> f32[..s, D] { one_hot(argmax(x), D) }\n";

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "nn"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn check(text: &str) -> Checked {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    driver::check_text("severed.nn", text.to_string(), &folder, &Options::default())
}

fn errors(checked: &Checked) -> Vec<String> {
    let errors = checked.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| format!("{} {}", d.code.id, d.headline)).collect()
}

/// The last names of the paths of instances that hold parameters.
fn learning_parts(program: &Program) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for task in program.tasks.iter().filter(|t| t.train.is_some()) {
        for var in &task.vars {
            let path = &program.var(*var).path;
            let parts: Vec<&str> = path.split('.').collect();
            names.extend(parts[..parts.len() - 1].iter().map(|p| p.to_string()));
        }
    }
    names
}

/// The end of the bracketed text that begins at `open`.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in text[open..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(open + i + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Places where a part is applied: as a call `part(…)`, or as the stage `|> part` or `|> part(…)`.
fn uses(text: &str, part: &str) -> Vec<(std::ops::Range<usize>, bool)> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut found = Vec::new();
    for (at, _) in text.match_indices(part) {
        let (before, after) = (&text[..at], &text[at + part.len()..]);
        let line = before.rsplit('\n').next().unwrap_or("");
        let item = before.lines().rfind(|l| l.starts_with(|c: char| c.is_alphabetic())).unwrap_or("");
        // Where nothing is trained, and in what is only reported, no gradient is wanted but that of `grad`.
        let idle = ["predict", "generate", "evaluate"].iter().any(|w| item.starts_with(w)) && !line.contains("grad(");
        let reported = line.trim_start().starts_with("report");
        if before.ends_with(word) || after.starts_with(word) || line.contains("//") || idle || reported {
            continue;
        }
        let call = after.starts_with('(');
        let end = if call { closing(text, at + part.len()).expect("a bracket closes") } else { at + part.len() };
        if before.trim_end().ends_with("|>") {
            found.push((at..end, true));
        } else if call {
            found.push((at..end, false));
        }
    }
    found
}

#[test]
fn nothing_whole_is_blamed() {
    for path in [files("examples"), files("models")].concat() {
        let options = Options::default();
        let checked = driver::check_file(&path, &options).expect("it can be read");
        let blamed = checked.diagnostics.iter().filter(|d| d.code == codes::NO_GRADIENT);
        let blamed: Vec<&str> = blamed.map(|d| d.headline.as_str()).collect();
        assert!(blamed.is_empty(), "{}: {blamed:?}", path.display());
    }
}

#[test]
fn every_cut_in_every_example_is_told() {
    let (mut cuts, mut missed) = (0, Vec::new());
    for path in files("examples") {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let whole = check(&text);
        if whole.has_errors() {
            continue;
        }
        for part in learning_parts(&whole.program) {
            for (place, stage) in uses(&text, &part) {
                let inside = &text[place.clone()];
                if OTHER_WAYS.iter().any(|(file, cut)| *file == name && *cut == inside) {
                    continue;
                }
                for cutter in ["stop_gradient", "severed"] {
                    let cut = if stage { format!("{inside} |> {cutter}") } else { format!("{cutter}({inside})") };
                    let broken = format!("{}{cut}{}{ARGMAX}", &text[..place.start], &text[place.end..]);
                    let said = errors(&check(&broken));
                    // A cut that is an error of another kind (a part with several results) shows nothing.
                    if said.iter().any(|s| !s.starts_with("E0501")) {
                        continue;
                    }
                    cuts += 1;
                    if said.is_empty() {
                        let line = text[..place.start].lines().count();
                        missed.push(format!("{name}:{line}: {cut}"));
                    }
                }
            }
        }
    }
    println!("{cuts} cuts, {} missed", missed.len());
    assert!(missed.is_empty(), "{} of {cuts} were missed:\n{}", missed.len(), missed.join("\n"));
    assert!(cuts > 60, "only {cuts} cuts were tried");
}

#[test]
fn a_parameter_that_nothing_uses_is_told_in_every_layer() {
    let mut tried = 0;
    for path in files("examples") {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let whole = check(&text);
        if whole.has_errors() {
            continue;
        }
        let used: BTreeSet<String> =
            whole.program.tasks.iter().flat_map(|t| t.layers.iter().map(|l| l.layer.clone())).collect();
        for head in ["layer ", "model "] {
            for (at, _) in text.match_indices(head).filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n')) {
                let open = at + text[at..].find('{').expect("a body");
                let declared = text[at + head.len()..open].split(['(', ' ']).next().expect("a name");
                if !used.contains(declared) {
                    continue;
                }
                let broken = format!("{}{{\n  param idle: f32[3] = 0{}", &text[..open], &text[open + 1..]);
                let said = errors(&check(&broken));
                tried += 1;
                let file = path.display();
                assert!(said.iter().any(|s| s.contains("idle")), "{file}: {declared}: {said:?}");
            }
        }
    }
    assert!(tried > 20, "only {tried} layers were tried");
}
