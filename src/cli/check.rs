//! `nnc check`: the diagnostics of files, those of budgets too, and a summary line.

use super::input::Input;
use super::{Exit, Fault, machine, output};
use nnc::diag::{self, Format, Severity};
use nnc::driver;
use std::path::PathBuf;

/// Look for mistakes: names, shapes, types, gradients, settings, data
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc check net.nn\n  nnc check *.nn --message-format short\n  \
                        nnc check net.nn --data ~/sets --set batch=32")]
pub struct Args {
    /// The programs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    input: Input,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let format: Format = args.input.message_format.into();
    // Of SARIF there is one document for all files, and also for no message.
    let mut results = Vec::new();
    let mut exit = Exit::Ok;
    for file in &args.files {
        let mut checked = match driver::check_file(file, &args.input.options(None)) {
            Ok(checked) => checked,
            Err(d) => {
                exit = Exit::of(d.code);
                match format {
                    Format::Sarif => results.push(diag::sarif_result(&d, &Default::default())),
                    _ => output::diagnostics(&[*d], &Default::default(), format),
                }
                continue;
            }
        };
        let over = driver::over_budget(&checked, machine::default_threads());
        checked.diagnostics.extend(over);
        match format {
            Format::Sarif => {
                results.extend(checked.diagnostics.iter().map(|d| diag::sarif_result(d, &checked.sources)))
            }
            _ => output::diagnostics(&checked.diagnostics, &checked.sources, format),
        }
        let count = |severity| checked.diagnostics.iter().filter(|d| d.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if errors > 0 && exit == Exit::Ok {
            let first = checked.diagnostics.iter().find(|d| d.severity == Severity::Error);
            exit = first.map_or(Exit::Errors, |d| Exit::of(d.code));
        }
        if !format.is_for_programs() {
            output::print(&format!("{}: {}\n", file.display(), outcome(errors, warnings)));
        }
        // The process ends soon: taking the program apart would be the last tenth of its time.
        std::mem::forget(checked);
    }
    if format == Format::Sarif {
        output::print(&diag::sarif(results));
    }
    Ok(exit)
}

/// `2 errors, 1 warning`, `no mistakes found`
fn outcome(errors: usize, warnings: usize) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "no mistakes found".to_string(),
        (0, w) => count(w, "warning"),
        (e, 0) => count(e, "error"),
        (e, w) => format!("{}, {}", count(e, "error"), count(w, "warning")),
    }
}
