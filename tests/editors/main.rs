//! The grammars of editors beside the compiler's: the same words, and each word of every program in the class that it has here.

mod in_step;
mod textmate;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The files below some folders with an ending, by name; what was installed or built is left out.
fn files(folders: &[&str], ending: &str) -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|f| root().join(f)).collect();
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                out.push((name, text));
            }
        }
    }
    out.sort();
    out
}

/// The words in quotes of a rule of `grammar/nn.pest`.
fn words(grammar: &str, rule: &str) -> BTreeSet<String> {
    let start = grammar.find(&format!("\n{rule} ")).unwrap_or_else(|| panic!("no rule {rule}"));
    let body = &grammar[start + 1..];
    let end = body.find("stop }").or(body.find("stop\n}")).unwrap_or_else(|| panic!("{rule} ends in `stop`"));
    let found: BTreeSet<String> = body[..end].split('"').skip(1).step_by(2).map(String::from).collect();
    assert!(!found.is_empty(), "{rule}");
    found
}

/// Every word of the language.
fn all_words() -> BTreeSet<String> {
    let grammar = read("grammar/nn.pest");
    let mut all = BTreeSet::new();
    for rule in ["reserved", "context", "dtype"] {
        all.extend(words(&grammar, rule));
    }
    for rule in ["use", "const", "fn", "layer", "optimizer", "data", "task", "forward", "update", "step", "gradient"] {
        all.extend(words(&grammar, &format!("kw_{rule}")));
    }
    assert!(all.len() > 40, "{all:?}");
    all
}

/// Every piece of text that is a word.
fn pieces(text: &str) -> BTreeSet<String> {
    let letters = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(letters).filter(|w| !w.is_empty()).map(String::from).collect()
}

#[test]
fn every_word_of_the_language_is_in_every_grammar() {
    let textmate: Value = serde_json::from_str(&read("editors/vscode/syntaxes/nn.tmLanguage.json")).unwrap();
    let mut patterns = String::new();
    for part in ["keyword", "dtype", "declaration"] {
        // What escapes begin, such as `\b`, is no part of a word.
        patterns += &textmate["repository"][part].to_string().replace("\\\\b", " ").replace("\\\\t", " ");
    }
    let tree_sitter = read("editors/tree-sitter-nn/grammar.js");
    let quoted: String = tree_sitter.split('"').skip(1).step_by(2).map(|w| format!("{w} ")).collect();
    let (textmate, tree_sitter) = (pieces(&patterns), pieces(&quoted));
    for word in all_words() {
        assert!(textmate.contains(&word), "`{word}` is not in the TextMate grammar");
        assert!(tree_sitter.contains(&word), "`{word}` is not in the grammar of tree-sitter");
    }
}

#[test]
fn keywords_of_tree_sitter_are_highlighted() {
    let highlights = read("editors/tree-sitter-nn/queries/highlights.scm");
    let quoted: BTreeSet<&str> = highlights.split('"').skip(1).step_by(2).collect();
    let dtypes = words(&read("grammar/nn.pest"), "dtype");
    for word in all_words().difference(&dtypes) {
        assert!(quoted.contains(word.as_str()), "`{word}` has no highlight");
    }
}

/// What an editor calls a colour otherwise than the grammar's own queries do.
const HELIX: [(&str, &str); 2] = [("@number", "@constant.numeric"), ("@property", "@variable.other.member")];
const ZED: [(&str, &str); 2] = [("@keyword.control", "@keyword"), ("@keyword.operator", "@keyword")];
const NEOVIM: [(&str, &str); 1] = [("@keyword.control", "@keyword")];

/// A folder of an editor, the queries that it reads, and what it calls otherwise.
type Copied<'t> = (&'t str, &'t [&'t str], &'t [(&'t str, &'t str)]);

/// The queries in `tree-sitter-nn/queries` are the source; each editor has those that it reads.
#[test]
fn queries_of_editors_are_those_of_the_grammar() {
    let copies: [Copied; 3] = [
        ("neovim/queries/nn", &["highlights", "folds", "locals", "injections", "indents"], &NEOVIM),
        ("helix/queries/nn", &["highlights", "injections"], &HELIX),
        ("zed/languages/nn", &["highlights", "injections"], &ZED),
    ];
    for (folder, names, other) in copies {
        for name in names {
            let mut wanted = read(&format!("editors/tree-sitter-nn/queries/{name}.scm"));
            for (ours, theirs) in other {
                wanted = wanted.replace(ours, theirs);
            }
            let path = format!("editors/{folder}/{name}.scm");
            if std::env::var_os("NNC_BLESS").is_some() {
                std::fs::write(root().join(&path), &wanted).unwrap();
            }
            assert_eq!(read(&path), wanted, "{path} is no copy: NNC_BLESS=1 writes it anew");
        }
    }
}

/// What the first line of a problem matcher reads is what `--message-format short` writes.
#[test]
fn the_extension_names_what_is_there() {
    let package: Value = serde_json::from_str(&read("editors/vscode/package.json")).unwrap();
    let grammar = package["contributes"]["grammars"][0]["path"].as_str().unwrap();
    let configuration = package["contributes"]["languages"][0]["configuration"].as_str().unwrap();
    for path in [grammar, configuration] {
        assert!(Path::new(&root().join("editors/vscode").join(path)).is_file(), "{path}");
    }
    let _: Value = serde_json::from_str(&read("editors/vscode/language-configuration.json")).unwrap();
    let pattern = package["contributes"]["problemMatchers"][0]["pattern"]["regexp"].as_str().unwrap();
    assert_eq!(pattern, r"^(.+?):(\d+):(\d+): (error|warning)\[([EW]\d{4})\]: (.*)$");
}

/// Snippets are programs, once their placeholders are filled in with what they offer.
#[test]
fn snippets_are_programs() {
    let snippets: Value = serde_json::from_str(&read("editors/vscode/snippets/nn.json")).unwrap();
    let holes = fancy_regex::Regex::new(r"\$\{\d+:([^}]*)\}|\$\d+").unwrap();
    for (name, snippet) in snippets.as_object().unwrap() {
        let lines: Vec<&str> = snippet["body"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        let text = holes.replace_all(&lines.join("\n"), "$1").into_owned();
        let checked = nnc::driver::check_text(name, text.clone(), root().as_path(), &nnc::driver::Options::default());
        // What it leaves to the program around, such as the net of a task, is not known.
        let wrong: Vec<_> = checked.diagnostics.iter().filter(|d| !d.code.id.starts_with("E02")).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}\n{text}");
    }
}
