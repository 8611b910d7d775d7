//! `nnc fmt`: lays files out in the one style, or says which are not.

use super::input::MessageFormat;
use super::{Exit, Fault, output};
use nnc::diag::{Diagnostic, codes};
use nnc::fmt;
use nnc::source::{Sources, Span};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Lay programs out in the one style of the language
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc fmt net.nn\n  nnc fmt .                 every .nn file below this folder\n  \
                        nnc fmt --check models    only say what would change; exit code 1 if anything would\n  \
                        nnc fmt - < net.nn        from stdin to stdout\n\n\
                        What cannot be read is left as it is, and told (exit code 1).")]
pub struct Args {
    /// Files, folders, or `-` for stdin
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Change nothing; print what would change and exit with 1 if anything would
    #[arg(long)]
    check: bool,
    /// How errors are printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub message_format: MessageFormat,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let mut files = Vec::new();
    for path in &args.paths {
        programs(path, &mut files)?;
    }
    let mut exit = Exit::Ok;
    for path in files {
        let stdin = path == Path::new("-");
        let text = read(&path)?;
        let name = if stdin { "stdin".to_string() } else { path.display().to_string() };
        let formatted = fmt::format(&text).map_err(|d| Box::new(d.note(format!("in {name}"))))?;
        if !formatted.unread.is_empty() {
            report(&name, text.clone(), formatted.unread, args.message_format);
            exit = Exit::Errors;
        }
        match (args.check, formatted.text != text) {
            (true, true) => {
                output::print(&super::diff::unified(&name, &text, &formatted.text));
                exit = Exit::Errors;
            }
            (false, _) if stdin => output::print(&formatted.text),
            (false, true) => write(&path, &formatted.text)?,
            _ => {}
        }
    }
    Ok(exit)
}

/// Prints diagnostics of one text.
fn report(name: &str, text: String, diagnostics: Vec<Diagnostic>, format: MessageFormat) {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    debug_assert!(diagnostics.iter().filter_map(|d| d.span()).all(|s| s == Span { file, ..s }));
    output::diagnostics(&diagnostics, &sources, format.into());
}

/// The files that a path means: itself, or every `.nn` file below it, sorted.
fn programs(path: &Path, into: &mut Vec<PathBuf>) -> Result<(), Fault> {
    if !path.is_dir() {
        into.push(path.to_path_buf());
        return Ok(());
    }
    let fault = |e| file_fault(format!("cannot read {}: {e}", path.display()));
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(fault)?.collect();
    let mut entries: Vec<PathBuf> = entries.map_err(fault)?.into_iter().map(|e| e.path()).collect();
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        // A link may lead back to where it stands.
        if entry.is_dir() && !hidden && !entry.is_symlink() && !entry.ends_with("target") {
            programs(&entry, into)?;
        } else if entry.is_file() && entry.extension().is_some_and(|e| e == "nn") {
            into.push(entry);
        }
    }
    Ok(())
}

fn file_fault(headline: String) -> Fault {
    Box::new(Diagnostic::placeless(codes::FILE, headline).help("check the path")).into()
}

fn read(path: &Path) -> Result<String, Fault> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|e| file_fault(format!("cannot read {}: {e}", path.display())))
}

/// Replaces a file's text; a file that cannot be written stays as it is.
pub fn write(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text).map_err(|e| file_fault(format!("cannot write {}: {e}", path.display())))
}
