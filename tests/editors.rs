//! The grammars of editors beside the compiler's: the same words, and each word of every program in the class that it has here.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
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
    for copy in ["neovim/queries/nn", "helix/queries/nn", "zed/languages/nn"] {
        assert_eq!(read(&format!("editors/{copy}/highlights.scm")), highlights, "{copy} differs");
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
