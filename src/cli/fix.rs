//! `nnc fix`: applies the fixes that are safe, and reports what remains.

use super::input::Input;
use super::{Exit, Fault, diff, output};
use nnc::diag::{Diagnostic, Severity, codes};
use nnc::fix;
use std::path::{Path, PathBuf};

/// Apply the fixes that messages offer, where that is safe
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc fix net.nn\n  nnc fix --dry-run *.nn    show the changes and make none\n\n\
                        What remains is reported; exit code 1 if an error does.")]
pub struct Args {
    /// The programs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; print the changes
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub input: Input,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let mut exit = Exit::Ok;
    let format: nnc::diag::Format = args.input.message_format.into();
    for file in &args.files {
        let text = std::fs::read_to_string(file).map_err(|e| {
            let headline = format!("cannot read {}: {e}", file.display());
            Box::new(Diagnostic::placeless(codes::FILE, headline).help("check the path"))
        })?;
        let name = file.display().to_string();
        let folder = file.parent().unwrap_or(Path::new(""));
        let fixed = fix::fix_text(&name, text.clone(), folder, &args.input.options(None));
        output::diagnostics(&fixed.checked.diagnostics, &fixed.checked.sources, format);
        if fixed.checked.diagnostics.iter().any(|d| d.severity == Severity::Error) {
            exit = Exit::Errors;
        }
        if fixed.text != text && !args.dry_run {
            super::fmt::write(file, &fixed.text)?;
        }
        if format.is_for_programs() {
            continue;
        }
        if args.dry_run {
            output::print(&diff::unified(&name, &text, &fixed.text));
        }
        let count = fixed.titles.len();
        let would = if args.dry_run { "would be " } else { "" };
        let what = if count == 1 { "fix" } else { "fixes" };
        output::print(&match count {
            0 => format!("{name}: nothing to fix\n"),
            _ => format!("{name}: {count} {what} {would}applied: {}\n", fixed.titles.join(", ")),
        });
    }
    Ok(exit)
}
