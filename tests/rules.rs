//! The rules of the language, each with a program that shows it and one that breaks it: `NN_name_good.nn` and
//! `NN_name_bad.nn` in `tests/rules`, numbered as in the list below.
//!
//! A good program has no diagnostics. `//= 1 2.5` behind a task that predicts without data is what it gives; `//: paths`
//! lists parameters that the program has. A bad one gives exactly the diagnostics that stand beside its lines, `//~ E0201 words`,
//! each with a cure.

use nnc::diag::{Diagnostic, Format, Severity, render};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target, bytes};
use nnc::syntax::ast::TaskKind;
use std::path::{Path, PathBuf};

/// What the rules are about, in order.
const RULES: &[&str] = &[
    "words",
    "lines",
    "forms",
    "precedence",
    "stages",
    "instances",
    "chains",
    "further",
    "scan",
    "gradient",
    "draws",
    "kinds",
    "instance_dims",
    "dims",
    "aligned",
    "tags",
    "names",
    "state",
    "training",
    "metrics",
    "data",
    "facts",
    "batches",
    "bindings",
    "order",
    "selections",
    "files",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

fn program(number: usize, kind: &str) -> (String, Checked) {
    let path = root().join(format!("{:02}_{}_{kind}.nn", number + 1, RULES[number]));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let checked = driver::check_text(&name, text.clone(), &root(), &Options::default());
    (text, checked)
}

fn shown(checked: &Checked) -> String {
    render(&checked.diagnostics, &checked.sources, Format::Human, false)
}

/// The numbers that a task without data predicts.
fn predicted(checked: &Checked, task: &str) -> Vec<f64> {
    let mut engine = driver::engine(checked, task, Target::Interpreter, 1).expect("an engine");
    engine.initialise(0).expect("first values");
    let inputs = StepInputs { fields: &[], lengths: &[], clock: ClockValues::default(), seed: 0 };
    engine.run(Entry::Eval, 0, &inputs).expect("a step");
    let value = engine.value(0);
    bytes::to_f64(value.dtype, &value.bytes)
}

/// The words behind a mark, line by line.
fn marked<'t>(text: &'t str, mark: &str) -> Vec<Vec<&'t str>> {
    text.lines().filter_map(|l| Some(l.split_once(mark)?.1.split_whitespace().collect())).collect()
}

#[test]
fn every_rule_is_shown() {
    let mut wrong = String::new();
    for (number, rule) in RULES.iter().enumerate() {
        let (text, checked) = program(number, "good");
        if checked.has_errors() {
            wrong += &format!("---- {} {}\n{}\n", number + 1, rule, shown(&checked));
            continue;
        }
        let values = marked(&text, "//= ");
        let tasks = checked.program.tasks.iter().filter(|t| t.kind == TaskKind::Predict && t.data.is_none());
        let mut tasks: Vec<_> = tasks.collect();
        tasks.sort_by_key(|t| t.span.start);
        for (task, wanted) in tasks.iter().zip(&values) {
            let is = predicted(&checked, &task.name);
            let wanted: Vec<f64> = wanted.iter().map(|w| w.parse().expect("a number")).collect();
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
            if is.len() != wanted.len() || !is.iter().zip(&wanted).all(near) {
                wrong += &format!("{} {}: `{}` gives {is:?}, not {wanted:?}\n", number + 1, rule, task.name);
            }
        }
        assert!(values.is_empty() || tasks.len() == values.len(), "{}: {} tasks", rule, tasks.len());
        for path in marked(&text, "//: ").concat() {
            let (_, path) = path.split_once('.').expect("the model's name");
            if !checked.program.vars.iter().any(|v| v.path == format!("net.{path}")) {
                let paths: Vec<&str> = checked.program.vars.iter().map(|v| v.path.as_str()).collect();
                wrong += &format!("{}: no {path} among {paths:?}\n", rule);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_rule_that_is_broken_is_told() {
    let mut wrong = String::new();
    for (number, rule) in RULES.iter().enumerate() {
        let (text, checked) = program(number, "bad");
        let mut left: Vec<(usize, &str, &str)> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let expected = line.split("//~ ").skip(1).map(|e| e.trim().split_once(' ').unwrap_or((e.trim(), "")));
            left.extend(expected.map(|(code, words)| (i + 1, code, words.trim())));
        }
        assert!(!left.is_empty(), "{} breaks nothing", rule);
        let mut extra: Vec<Diagnostic> = Vec::new();
        for d in &checked.diagnostics {
            let line = d.span().map_or(0, |s| checked.sources.line_of(s));
            let fits = |(at, code, words): &(usize, &str, &str)| {
                *at == line && d.code.id == *code && d.headline.contains(*words)
            };
            match left.iter().position(fits) {
                Some(i) => drop(left.remove(i)),
                None => extra.push(d.clone()),
            }
            if d.severity == Severity::Error && d.help.is_empty() {
                wrong += &format!("no cure: {}\n", d.headline);
            }
        }
        if left.is_empty() && extra.is_empty() {
            continue;
        }
        wrong += &format!("---- {} {}\n", number + 1, rule);
        for (line, code, words) in left {
            wrong += &format!("line {line}: no {code} {words}\n");
        }
        wrong += &render(&extra, &checked.sources, Format::Short, false);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
