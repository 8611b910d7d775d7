//! The front end's first stage from outside: every form parses, every text gives a tree, faults are reported once and where
//! they are.

use nnc::diag::{Diagnostic, Format, render};
use nnc::source::{FileId, Sources};
use nnc::syntax::ast::*;
use nnc::syntax::parse;
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

#[test]
fn zzz() {
    for (name, text) in sample_programs() {
        println!("// {name}\n{}", nnc::syntax::dump(&parse(&text, FileId(0)).0));
    }
}
