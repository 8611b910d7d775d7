//! `nnc doc`: the documentation and signature of a library item, an operation or a data source.

use super::{Exit, Fault, output, usage};
use nnc::check::{LIBRARY_FILES, Library};
use nnc::data;
use nnc::diag::suggest;
use nnc::ops::{self, ArgDefault, ArgKind};
use nnc::source::Sources;
use std::collections::BTreeSet;

/// Show what a name of the language means: a layer, function, optimizer, operation or data source
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nnc doc Conv2d\n  nnc doc cross_entropy\n  nnc doc mnist\n  nnc doc          lists all names\n  \
                        nnc doc Linear --source"
)]
pub struct Args {
    /// The name; all are listed if none
    name: Option<String>,
    /// Print the whole definition, if it is written in the language
    #[arg(long)]
    source: bool,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let Some(name) = &args.name else {
        output::print(&list());
        return Ok(Exit::Ok);
    };
    // `std.layers.Linear` is `Linear`.
    let name = name.rsplit('.').next().unwrap_or(name);
    let parts = [of_library(name, args.source), of_operation(name), of_source(name)];
    let found: Vec<String> = parts.into_iter().flatten().collect();
    if found.is_empty() {
        let names = names();
        let help = match suggest::nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`nnc doc` lists all names".to_string(),
        };
        return Err(usage(format!("nothing is called `{name}`"), help));
    }
    output::print(&found.join("\n"));
    Ok(Exit::Ok)
}

fn names() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = Library::default().names().map(str::to_string).collect();
    all.extend(ops::TABLE.iter().flat_map(|def| def.surfaces).map(|s| s.name.to_string()));
    all.extend(data::sources().iter().map(|s| s.name.to_string()));
    all
}

fn list() -> String {
    let library = Library::default();
    let mut out = String::new();
    for (module, _) in LIBRARY_FILES {
        let of_module: Vec<&str> = library.names().filter(|n| library.module_of(n) == Some(module)).collect();
        out += &format!("std.{module}\n{}\n", wrapped(&of_module));
    }
    let operations: BTreeSet<&str> = ops::TABLE.iter().flat_map(|def| def.surfaces).map(|s| s.name).collect();
    out += &format!("operations\n{}\n", wrapped(&operations.into_iter().collect::<Vec<_>>()));
    let sources: Vec<&str> = data::sources().iter().map(|s| s.name).collect();
    out + &format!("data sources\n{}", wrapped(&sources))
}

fn wrapped(names: &[&str]) -> String {
    let mut out = String::new();
    let mut line = " ".to_string();
    for name in names {
        if line.len() + name.len() > 90 {
            out += &(std::mem::replace(&mut line, " ".to_string()) + "\n");
        }
        line = line + " " + name;
    }
    out + &line + "\n"
}

fn of_library(name: &str, whole: bool) -> Option<String> {
    let (mut library, mut sources) = (Library::default(), Sources::default());
    let module = library.module_of(name)?;
    let item = library.item(name, &mut sources)?;
    let text = sources.text(item.span);
    let shown = if whole { text.to_string() } else { signature(text) };
    let docs = if item.docs.is_empty() { String::new() } else { format!("\n{}\n", item.docs.trim_end()) };
    Some(format!("std.{module}.{name}\n\n  {}\n{docs}", shown.trim_end().replace('\n', "\n  ")))
}

/// A definition up to its body; of a layer, its `forward` too.
fn signature(text: &str) -> String {
    let head = |text: &str| {
        let mut depth = 0i32;
        let end = text.char_indices().find(|(_, c)| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                _ => {}
            }
            depth == 0 && *c == '{'
        });
        text[..end.map_or(text.len(), |(i, _)| i)].trim_end().to_string()
    };
    let first = head(text);
    let forward = text.lines().position(|l| l.trim_start().starts_with("forward("));
    match forward {
        Some(at) => {
            let rest: Vec<&str> = text.lines().skip(at).collect();
            format!("{first}\n  {}", head(rest.join("\n").trim_start()))
        }
        None => first,
    }
}

fn of_operation(name: &str) -> Option<String> {
    let (def, surface) = ops::surface(name)?;
    let params: Vec<String> = surface
        .params
        .iter()
        .map(|p| {
            let kind = match p.kind {
                ArgKind::Tensor => "tensor".to_string(),
                ArgKind::Tensors => "[tensor]".to_string(),
                ArgKind::Int => "int".to_string(),
                ArgKind::Ints => "int | [int]".to_string(),
                ArgKind::Shape => "[int]".to_string(),
                ArgKind::Float => "float".to_string(),
                ArgKind::Bool => "bool".to_string(),
                ArgKind::DType => "dtype".to_string(),
                ArgKind::Words(words) => words.join(" | ") + " | int | [int]",
            };
            let default = match p.default {
                ArgDefault::Required => String::new(),
                ArgDefault::None => " = none".to_string(),
                ArgDefault::Int(n) => format!(" = {n}"),
                ArgDefault::Float(v) => format!(" = {v:?}"),
                ArgDefault::Bool(b) => format!(" = {b}"),
            };
            format!("{}: {kind}{default}", p.name)
        })
        .collect();
    Some(format!("operation\n\n  {name}({})\n\n{}\n", params.join(", "), def.doc.trim_end()))
}

fn of_source(name: &str) -> Option<String> {
    let source = data::source(name)?;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for p in source.parameters {
        let default = p.default.map_or(String::new(), |d| format!(" = {d}"));
        rows.push(vec![format!("  {}: {}{default}", p.name, p.kind.name()), p.doc.to_string()]);
    }
    let table = output::table(&rows, &[0, 1]);
    Some(format!(
        "data source\n\n  {}\n\n{}\n\nfields: {}\n{table}",
        source.example,
        source.doc.trim_end(),
        source.fields
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_text() {
        for name in names() {
            let found = of_library(&name, false).or_else(|| of_operation(&name)).or_else(|| of_source(&name));
            assert!(found.is_some_and(|t| t.len() > name.len() + 10), "{name}");
        }
    }

    #[test]
    fn a_signature_ends_at_the_body() {
        assert_eq!(
            signature("fn f(x: f32[..], g: fn = h({1})) -> f32[..] { x }"),
            "fn f(x: f32[..], g: fn = h({1})) -> f32[..]"
        );
        assert_eq!(
            signature("layer L(a: int) {\n  forward(x: f32[B]) { x }\n}"),
            "layer L(a: int)\n  forward(x: f32[B])"
        );
    }
}
