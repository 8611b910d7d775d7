//! Data only moves forward: a stage imports earlier stages and the shared vocabulary, never later ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules of the crate in processing order, as ARCHITECTURE.md lists them. Modules of one row may import each other.
const ORDER: &[&[&str]] = &[
    &["source"],
    &["diag"],
    &["dims"],
    // A node holds an operation, and an operation's record writes nodes.
    &["ops", "graph"],
    &["syntax"],
    &["fmt"],
    &["check"],
    &["lint"],
    &["picture"],
    &["build"],
    // The gradient of a scan drops what its body does not need.
    &["autodiff", "opt"],
    // Before `plan`: lowering writes kernels in the IR of `codegen/loops`.
    &["codegen"],
    &["plan"],
    &["runtime"],
    &["interpreter"],
    // `stages` speaks of an engine's entries, an engine calls the stages.
    &["stages", "engine"],
    &["data"],
    &["data_facts"],
    &["reference"],
    &["artifact"],
    &["train"],
    &["generate"],
    &["uses"],
    &["driver"],
    &["fix"],
    &["emit"],
    &["ide"],
    &["lsp"],
];

/// Not part of the library: the command line.
const BINARY: &[&str] = &["main", "cli", "lib"];

fn source_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            source_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file that is compiled into the library: no comments, no tests.
fn library_code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// `check` and `graph` of `use crate::{check::Program, graph}; … crate::graph::Node`.
fn imported(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    found.insert(word(&list[i..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn stages_import_only_earlier_stages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let place = |name: &str| ORDER.iter().position(|row| row.contains(&name));
    let mut files = Vec::new();
    source_files(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    let mut wrong = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&root).unwrap();
        let is_test = inside.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs")));
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if BINARY.contains(&module) || is_test {
            continue;
        }
        let Some(own) = place(module) else {
            wrong.push(format!("src/{first} has no place in ORDER"));
            continue;
        };
        for other in imported(&library_code(&std::fs::read_to_string(&path).unwrap())) {
            match place(&other) {
                Some(theirs) if theirs <= own => {}
                Some(_) => wrong.push(format!("src/{} imports `{other}`, a later stage", inside.display())),
                None => wrong.push(format!("src/{} imports `{other}`, which is no module", inside.display())),
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_lists() {
    let code = "use crate::{check::{self, Task}, graph};\nuse crate::ops;\nlet x = crate::dims::Dim::default();";
    let found: Vec<String> = imported(code).into_iter().collect();
    assert_eq!(found, ["check", "dims", "graph", "ops"]);
}

#[test]
fn the_architecture_lists_the_modules_in_this_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let list = text.split("## Folders").nth(1).and_then(|t| t.split("\n## ").next()).unwrap();
    let mut at = 0;
    for module in ORDER.concat() {
        let row = ["/", ".rs"].iter().find_map(|end| list.find(&format!("`src/{module}{end}`")));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md does not list src/{module}"));
        assert!(row > at, "ARCHITECTURE.md lists src/{module} too early");
        at = row;
    }
}
