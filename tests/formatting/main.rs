//! The formatter: the same program and every comment, whatever the layout was, and no change the second time.
//! `NNC_FORMATTED=10000 cargo test --release --test formatting` tries more generated programs than the usual few hundred.

#[path = "../random_programs/generate.rs"]
mod generate;
mod scramble;

use nnc::fmt::format;
use nnc::source::FileId;
use nnc::syntax;
use std::path::{Path, PathBuf};

fn count() -> u64 {
    std::env::var("NNC_FORMATTED").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// Every program of the repository.
fn programs() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = ["benches", "examples", "models", "tests"].map(|f| root.join(f)).to_vec();
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "nn") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    assert!(out.len() > 100, "{}", out.len());
    out
}

/// The tree without places, and the comments in alphabetical order.
fn meaning(text: &str) -> (String, Vec<String>) {
    let (file, _) = syntax::parse(text, FileId(0));
    let mut comments: Vec<String> = file.comments.iter().map(|s| text[s.range()].trim_end().to_string()).collect();
    comments.sort();
    (syntax::dump(&file), comments)
}

fn formatted(name: &str, text: &str) -> String {
    format(text).unwrap_or_else(|d| panic!("{name}: {}", d.headline)).text
}

/// Fails with the first line that differs.
fn same(before: &str, after: &str, what: &str) {
    let lines = before.lines().chain([""]).zip(after.lines().chain([""])).enumerate();
    if let Some((n, (a, b))) = lines.into_iter().find(|(_, (a, b))| a != b) {
        let above: Vec<&str> = before.lines().take(n).skip(n.saturating_sub(4)).collect();
        panic!("{what}, line {}:\n{}\n-{a}\n+{b}", n + 1, above.join("\n"));
    }
    assert_eq!(before.lines().count(), after.lines().count(), "{what}");
}

/// Formats, and checks all that must hold of a program without mistakes of syntax.
fn prove(name: &str, text: &str) -> String {
    let out = formatted(name, text);
    let (before, after) = (meaning(text), meaning(&out));
    same(&before.0, &after.0, &format!("{name} means something else"));
    assert_eq!(before.1, after.1, "{name} has other comments:\n{text}\n{out}");
    same(&out, &formatted(name, &out), &format!("{name} changes again"));
    out
}

#[test]
fn every_file_means_the_same_and_changes_once() {
    for (name, text) in programs() {
        prove(&name, &text);
    }
}

#[test]
fn the_programs_that_are_to_copy_from_are_formatted() {
    for (name, text) in programs() {
        if ["examples", "models", "benches"].iter().any(|f| name.starts_with(f)) {
            same(&text, &formatted(&name, &text), &format!("`nnc fmt {name}` changes it"));
        }
    }
}

#[test]
fn generated_programs_mean_the_same() {
    for seed in 0..count() {
        let text = generate::program(seed, seed % 3 == 0);
        prove(&format!("program {seed}"), &text);
        prove(&format!("program {seed}, scrambled"), &scramble::scramble(&text, seed));
    }
}

/// Any layout of any file, with comments at random places.
#[test]
fn other_layouts_mean_the_same_and_keep_comments() {
    let parses = |text: &str| syntax::parse(text, FileId(0)).1.is_empty();
    let sound: Vec<_> = programs().into_iter().filter(|(_, text)| parses(text)).collect();
    let mut inserted = 0;
    for seed in 0..count() {
        let (name, text) = &sound[seed as usize % sound.len()];
        let scrambled = scramble::scramble(text, seed);
        if parses(&scrambled) {
            let out = prove(&format!("{name}, scrambled by {seed}"), &scrambled);
            inserted += out.matches(scramble::COMMENT).count();
            assert_eq!(out.matches(scramble::COMMENT).count(), scrambled.matches(scramble::COMMENT).count());
        }
    }
    assert!(inserted as u64 > count() * 2, "{inserted}");
}

/// A choice below its bar, with a default, is no binding.
#[test]
fn a_choice_of_a_type_stays_one_across_lines() {
    let text = "layer M {\n  forward(x: f32[B], m: f32[B] |\n// why\nnone\n= none) -> f32[B] { x + m }\n}\n";
    let out = prove("choice", text);
    assert!(out.contains("// why\n    none = none"), "{out}");
}

/// Half-typed files: nothing is lost, what is broken stays, and the second time changes nothing.
#[test]
fn broken_files_lose_nothing() {
    let letters = |text: &str| {
        let mut all: Vec<char> = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, ',' | ';')).collect();
        all.sort_unstable();
        all
    };
    let all = programs();
    for seed in 0..count() {
        let (name, text) = &all[(seed * 7) as usize % all.len()];
        let mut broken = text.clone();
        let at = (seed as usize * 7919) % broken.len();
        if broken.is_char_boundary(at) && broken.is_char_boundary(at + 1) {
            broken.remove(at);
        }
        let out = formatted(name, &broken);
        assert_eq!(letters(&broken), letters(&out), "{name} without byte {at}:\n{broken}\n{out}");
        same(&out, &formatted(name, &out), &format!("{name} without byte {at} changes again"));
    }
}
