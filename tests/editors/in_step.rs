//! The grammars of editors over every program of the repository: each token has the class that nnc's own grammar gives it.

use super::textmate;
use super::{files, read};
use nnc::source::FileId;
use nnc::syntax::{self, Class, classes};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::process::Command;
use tree_sitter::{Node, Parser, Query, QueryCursor, StreamingIterator, Tree};

/// The programs without a mistake of syntax.
fn sound() -> Vec<(String, String)> {
    let all = files(&["models", "examples", "tests", "benches"], "nn");
    let count = all.len();
    let sound: Vec<_> = all.into_iter().filter(|(_, text)| syntax::parse(text, FileId(0)).1.is_empty()).collect();
    assert!(sound.len() > 150 && sound.len() < count, "{} of {count}", sound.len());
    sound
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_nn::LANGUAGE.into()).unwrap();
    parser
}

fn tree(text: &str) -> Tree {
    parser().parse(text, None).unwrap()
}

/// Goes over all nodes.
fn each<'t>(node: Node<'t>, visit: &mut impl FnMut(Node<'t>)) {
    visit(node);
    for child in node.children(&mut node.walk()) {
        each(child, visit);
    }
}

fn place(name: &str, text: &str, at: usize) -> String {
    let line = text[..at].matches('\n').count();
    format!("{name}:{}: {}", line + 1, text.lines().nth(line).unwrap_or(""))
}

#[test]
fn tree_sitter_reads_what_nnc_reads() {
    let mut wrong = Vec::new();
    for (name, text) in sound() {
        each(tree(&text).root_node(), &mut |node| {
            if node.is_error() || node.is_missing() {
                wrong.push(place(&name, &text, node.start_byte()));
            }
        });
    }
    assert!(wrong.is_empty(), "{} errors:\n{}", wrong.len(), wrong.join("\n"));
}

/// Mistakes of syntax that tree-sitter sees too. It need not see all: `..` twice, or a bracket that indentation shows to be lost.
#[test]
fn tree_sitter_refuses_what_nnc_refuses() {
    let (mut broken, mut refused) = (0, 0);
    for (_, text) in sound().iter().step_by(4) {
        let words = classes(text);
        for (range, class) in words.iter().step_by(31).filter(|(_, c)| *c != Class::Comment) {
            // A word is lost, or stands there twice.
            let twice = format!("{} {}", &text[..range.end], &text[range.start..]);
            let lost = format!("{}{}", &text[..range.start], &text[range.end..]);
            for mutant in [twice, lost] {
                if !syntax::parse(&mutant, FileId(0)).1.is_empty() && *class != Class::Text {
                    broken += 1;
                    refused += usize::from(tree(&mutant).root_node().has_error());
                }
            }
        }
    }
    println!("{refused} of {broken} broken programs are refused");
    assert!(broken > 500, "{broken}");
    assert!(refused * 100 >= broken * 95, "{refused} of {broken}");
}

/// What each class may be called.
fn fits(class: Class, scope: &str) -> bool {
    let begins = |names: &[&str]| names.iter().any(|n| scope.starts_with(n));
    match class {
        Class::Keyword => begins(&["keyword"]) && !begins(&["keyword.operator.nn", "keyword.other.unit"]),
        Class::Dtype => begins(&["storage.type", "type.builtin"]),
        Class::Number => begins(&["constant.numeric", "number"]),
        Class::Unit => begins(&["keyword.other.unit", "number"]),
        Class::Text => begins(&["string"]),
        Class::Operator => begins(&["keyword.operator.nn", "operator"]),
        Class::Comment => begins(&["comment"]),
        Class::Punctuation => scope.is_empty() || begins(&["punctuation"]),
        Class::Name => {
            let names =
                ["variable", "entity.name", "support", "constant.language", "function", "type", "property", "constant"];
            scope.is_empty() || begins(&names) && !begins(&["type.builtin", "constant.numeric"])
        }
    }
}

/// Compares the classes of all programs with what a grammar gives; a place has the last scope that covers it.
fn compare(grammar: &str, scopes: impl Fn(&str) -> Vec<(Range<usize>, String)>) {
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::<Class, usize>::new());
    for (name, text) in sound() {
        let mut of_byte: Vec<Option<usize>> = vec![None; text.len()];
        let scopes = scopes(&text);
        for (number, (range, _)) in scopes.iter().enumerate() {
            of_byte[range.clone()].fill(Some(number));
        }
        for (range, class) in classes(&text) {
            *seen.entry(class).or_default() += 1;
            let number = of_byte[range.start];
            let scope = number.map_or("", |n| scopes[n].1.as_str());
            // The whole of it, but for what stands inside a string.
            let whole = of_byte[range.clone()].iter().all(|n| *n == number) || class == Class::Text;
            if !fits(class, scope) || !whole {
                let word = &text[range.clone()];
                wrong.push(format!("`{word}` is {class:?}, not `{scope}`: {}", place(&name, &text, range.start)));
            }
        }
    }
    println!("{grammar}: {seen:?}");
    assert!(seen.len() == 9 && seen.values().all(|n| *n > 10), "{seen:?}");
    let most = wrong.len().min(60);
    assert!(wrong.is_empty(), "{} tokens of {grammar} differ:\n{}", wrong.len(), wrong[..most].join("\n"));
}

#[test]
fn textmate_sees_the_classes_of_nnc() {
    let grammar = textmate::Grammar::new(&read("editors/vscode/syntaxes/nn.tmLanguage.json"));
    compare("the TextMate grammar", |text| grammar.scopes(text));
}

#[test]
fn the_highlights_of_tree_sitter_are_the_classes_of_nnc() {
    let language = tree_sitter_nn::LANGUAGE.into();
    let query = Query::new(&language, tree_sitter_nn::HIGHLIGHTS_QUERY).unwrap();
    compare("tree-sitter", |text| {
        let tree = tree(text);
        let mut out: Vec<(Range<usize>, String)> = Vec::new();
        let mut cursor = QueryCursor::new();
        let mut captures = cursor.captures(&query, tree.root_node(), text.as_bytes());
        while let Some((found, index)) = captures.next() {
            let capture = found.captures()[*index];
            let range = capture.node.byte_range();
            let colour = query.capture_names()[capture.index as usize].to_string();
            // Editors do not agree on which of two wins.
            let twice = out.iter().rev().take(8).any(|(r, c)| *r == range && *c != colour);
            assert!(!twice, "`{}` has two colours, one is {colour}", &text[range]);
            out.push((range, colour));
        }
        out
    });
}

/// A query that names a node that is not there would be refused by the editor when a file is opened.
#[test]
fn every_query_is_one_of_the_grammar() {
    let language = tree_sitter_nn::LANGUAGE.into();
    let queries = files(&["editors"], "scm");
    assert!(queries.len() > 12, "{}", queries.len());
    for (name, text) in queries {
        Query::new(&language, &text).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// `src/parser.c` is made from `grammar.js`. Making it anew needs tree-sitter's program, so that is tried where
/// `NNC_TREE_SITTER` names it; that both have the same rules is seen always.
#[test]
fn the_parser_is_that_of_the_grammar() {
    let folder = super::root().join("editors/tree-sitter-nn");
    let grammar = read("editors/tree-sitter-nn/grammar.js");
    let written: BTreeSet<&str> = grammar
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": (")?.0.into())
        .filter(|name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect();
    let made: serde_json::Value = serde_json::from_str(&read("editors/tree-sitter-nn/src/grammar.json")).unwrap();
    let made: BTreeSet<&str> = made["rules"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(written, made, "run `tree-sitter generate --abi 14` in editors/tree-sitter-nn");
    let Some(program) = std::env::var_os("NNC_TREE_SITTER") else {
        eprintln!("SKIPPED: no NNC_TREE_SITTER, so the parser was not made anew");
        return;
    };
    let copy = std::env::temp_dir().join(format!("nnc-tree-sitter-{}", std::process::id()));
    std::fs::create_dir_all(copy.join("src")).unwrap();
    for name in ["grammar.js", "tree-sitter.json", "src/scanner.c"] {
        std::fs::copy(folder.join(name), copy.join(name)).unwrap();
    }
    let done = Command::new(program).args(["generate", "--abi", "14"]).current_dir(&copy).status().unwrap();
    assert!(done.success(), "tree-sitter refuses the grammar");
    for name in ["src/parser.c", "src/grammar.json", "src/node-types.json"] {
        let same = std::fs::read(folder.join(name)).unwrap() == std::fs::read(copy.join(name)).unwrap();
        assert!(same, "{name} is old: run `tree-sitter generate --abi 14` in editors/tree-sitter-nn");
    }
    std::fs::remove_dir_all(&copy).unwrap();
}
