//! Every example in the documentation is what it says: programs check, wrong ones fail with their code, quoted messages
//! are the real ones, links lead somewhere, and nothing that exists is left out.
//!
//! A block marked `nn` is a whole program without a fault. `nn fails E0301` gives errors with this code and no other.
//! `nn fragment` is part of a program and only parsed.

use nnc::check::{GENERATE_SETTINGS, SETTINGS};
use nnc::diag::{self, Code, Format, codes};
use nnc::driver::{self, Checked};
use nnc::{data, syntax};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// One fenced block.
struct Block {
    /// What stands behind the fence: `nn fails E0301`.
    mark: String,
    text: String,
    /// The `##` heading above.
    heading: String,
    /// `docs/language.md:12`
    place: String,
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut heading = String::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (false, Some(mark)) => {
                let place = format!("{name}:{}", number + 1);
                found.push(Block { mark: mark.into(), text: String::new(), heading: heading.clone(), place });
                open = true;
            }
            (true, Some("")) => open = false,
            (true, _) => {
                let block = found.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            (false, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    heading = title.to_string();
                }
            }
        }
    }
    assert!(!open, "{name}: a block is not closed");
    found
}

/// Every Markdown file, with its name relative to the root.
fn pages() -> Vec<(String, String)> {
    let mut paths =
        vec!["README.md".into(), "ARCHITECTURE.md".into(), "examples/README.md".into(), "models/README.md".into()];
    markdown_in(Path::new("docs"), &mut paths);
    paths.into_iter().map(|p| (p.display().to_string(), read(&root().join(&p)))).collect()
}

fn markdown_in(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|e| folder.join(e.unwrap().file_name())).collect();
    paths.sort();
    for path in paths {
        if root().join(&path).is_dir() {
            markdown_in(&path, into);
        } else if path.extension().is_some_and(|e| e == "md") {
            into.push(path);
        }
    }
}

fn check(text: &str) -> Checked {
    driver::check_text("example.nn", text.to_string(), &root().join("examples"), &Default::default())
}

fn rendered(checked: &Checked) -> String {
    diag::render(&checked.diagnostics, &checked.sources, Format::Human, false)
}

/// What was found, but not that data is absent: an example's data need not be on this machine.
fn found(checked: &Checked) -> Vec<&'static str> {
    let mut ids: Vec<&str> = checked.diagnostics.iter().map(|d| d.code.id).collect();
    ids.retain(|id| *id != codes::DATA_UNCHECKED.id);
    ids.dedup();
    ids
}

/// True if the text can stand somewhere in a program: as items, members, statements of a task, or statements.
fn parses(text: &str) -> bool {
    let anywhere = [
        text.to_string(),
        format!("layer Fragment() {{\n{text}\n}}"),
        format!("train {{\n{text}\n}}"),
        format!("train {{\nstep(x) {{\n{text}\n}}\n}}"),
    ];
    anywhere.into_iter().any(|whole| {
        let mut sources = nnc::source::Sources::default();
        let file = sources.add("fragment.nn", whole.clone());
        syntax::parse(&whole, file).1.is_empty()
    })
}

#[test]
fn programs_in_the_documentation_check() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, text) in pages() {
        for block in blocks(&name, &text) {
            let page_example = name.starts_with("docs/errors") && block.heading == "Example that fails";
            let mut words = block.mark.split(' ');
            if words.next() != Some("nn") || page_example {
                continue;
            }
            count += 1;
            match words.next() {
                None => {
                    let checked = check(&block.text);
                    if !found(&checked).is_empty() {
                        wrong.push(format!("{}:\n{}", block.place, rendered(&checked)));
                    }
                }
                Some("fails") => {
                    let checked = check(&block.text);
                    let wanted: Vec<&str> = words.collect();
                    if found(&checked) != wanted {
                        let message = rendered(&checked);
                        wrong.push(format!("{}: wanted {wanted:?}, got\n{message}", block.place));
                    }
                }
                Some("fragment") if parses(&block.text) => {}
                Some(_) => wrong.push(format!("{}: `{}` does not parse", block.place, block.mark)),
            }
        }
    }
    assert!(count > 20, "only {count} programs were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with the page of a code.
fn faults_of_page(code: &Code) -> Vec<String> {
    let mut wrong = Vec::new();
    let title = format!("# {}: {}\n", code.id, code.name);
    if !code.page.starts_with(&title) {
        wrong.push(format!("the title is not `{}`", title.trim()));
    }
    for heading in ["What it means", "How to fix", "Why"] {
        if !code.page.contains(&format!("\n## {heading}\n")) {
            wrong.push(format!("no `## {heading}`"));
        }
    }
    let all = blocks(&format!("docs/errors/{}.md", code.id), code.page);
    let fails: Vec<&Block> = all.iter().filter(|b| b.heading == "Example that fails").collect();
    if fails.is_empty() {
        if !all.iter().any(|b| b.heading == "Example" && b.mark == "text") {
            wrong.push("neither `## Example that fails` with a program nor `## Example` with a text".into());
        }
        return wrong;
    }
    if !all.iter().any(|b| b.heading == "How to fix" && b.mark == "nn") {
        wrong.push("`## How to fix` has no program".into());
    }
    for block in fails.into_iter().filter(|b| b.mark.starts_with("nn")) {
        let checked = check(&block.text);
        let ids = if code == codes::DATA_UNCHECKED { vec![code.id] } else { found(&checked) };
        if ids.is_empty() || ids.iter().any(|id| *id != code.id) {
            wrong.push(format!("{} gives {ids:?}:\n{}", block.place, rendered(&checked)));
        }
    }
    wrong
}

#[test]
fn every_code_has_a_page_whose_example_fails_with_it() {
    let wrong: Vec<String> = codes::ALL
        .iter()
        .flat_map(|code| faults_of_page(code).into_iter().map(move |w| format!("docs/errors/{}.md: {w}", code.id)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_quotes_what_is_there() {
    let readme = read(&root().join("README.md"));
    let digits = read(&root().join("examples/digits.nn"));
    let all = blocks("README.md", &readme);
    let program = all.iter().find(|b| b.mark == "nn").unwrap();
    assert!(digits.contains(&program.text), "the model is not the one in examples/digits.nn");

    let path = Path::new("examples/wrong_flatten.nn");
    let text = read(&root().join(path));
    let folder = path.parent().unwrap();
    let checked = driver::check_text("examples/wrong_flatten.nn", text, folder, &Default::default());
    let message = rendered(&checked);
    let quoted = all.iter().find(|b| b.text.starts_with("error[")).unwrap();
    assert_eq!(quoted.text.trim(), message.trim());
}

#[test]
fn examples_check_and_are_listed() {
    let list = read(&root().join("examples/README.md"));
    let entries = std::fs::read_dir(root().join("examples")).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".nn"));
    assert!(names.len() > 3, "the examples were not found");
    for name in names {
        assert!(list.contains(&format!("]({name})")), "examples/README.md does not list {name}");
        let checked = check(&read(&root().join("examples").join(&name)));
        // The one that is wrong on purpose.
        let wanted: &[&str] = if name == "wrong_flatten.nn" { &[codes::SHAPE_MISMATCH.id] } else { &[] };
        assert_eq!(found(&checked), wanted, "{name}:\n{}", rendered(&checked));
    }
}

#[test]
fn the_language_names_every_setting_and_source() {
    let text = read(&root().join("docs/language.md"));
    let names = SETTINGS.iter().chain(GENERATE_SETTINGS).copied().chain(data::sources().iter().map(|s| s.name));
    let missing: Vec<&str> = names.filter(|n| !text.contains(&format!("`{n}"))).collect();
    assert!(missing.is_empty(), "docs/language.md does not name {missing:?}");
}

#[test]
fn the_reference_is_what_the_compiler_knows() {
    let path = root().join("docs/reference.md");
    let made = nnc::reference::markdown();
    if std::env::var_os("NNC_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(read(&path) == made, "docs/reference.md is old: NNC_BLESS=1 cargo test --test docs writes it anew");
}

#[test]
fn links_lead_to_files() {
    let mut wrong = Vec::new();
    for (name, text) in pages() {
        let folder = root().join(&name).parent().unwrap().to_path_buf();
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.starts_with("```");
            for (at, _) in line.match_indices("](").filter(|_| !fenced) {
                let link = line[at + 2..].split(')').next().unwrap_or("");
                let file = link.split('#').next().unwrap_or("");
                if !link.starts_with("http") && !file.is_empty() && !folder.join(file).exists() {
                    wrong.push(format!("{name}: {link}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
