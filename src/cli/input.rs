//! The arguments that every command over a `.nn` file has, and reading the file with them.

use super::{Fault, output, usage};
use clap::ValueEnum;
use nnc::check::{Program, Task};
use nnc::diag::{Diagnostic, Format, codes};
use nnc::driver::{self, Checked, Options};
use nnc::engine::Target;
use nnc::lint::Levels;
use nnc::syntax::ast::TaskKind;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Source excerpts with labels and a cure
    #[default]
    Human,
    /// One line each: `file:line:column: error[E0301]: headline`
    Short,
    /// One JSON object a line, on stdout; docs/diagnostic.schema.json describes it
    Json,
    /// One SARIF 2.1.0 document on stdout, for code scanning
    Sarif,
    /// Annotations of GitHub workflows, on stdout
    Github,
}

impl From<MessageFormat> for Format {
    fn from(format: MessageFormat) -> Format {
        match format {
            MessageFormat::Human => Format::Human,
            MessageFormat::Short => Format::Short,
            MessageFormat::Json => Format::Json,
            MessageFormat::Sarif => Format::Sarif,
            MessageFormat::Github => Format::Github,
        }
    }
}

#[derive(Clone, clap::Args)]
pub struct Input {
    /// Replace a constant, or a setting or binding of a task: `epochs=5`, `train.batch=32`, `net=DigitCnn(classes: 5)`
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub sets: Vec<String>,
    /// Where the paths of data begin; else the folder of the file
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Say nothing of a warning, by code or name: `W1008`, `stacked-linear`; `warnings` for all
    #[arg(long, value_name = "WARNING")]
    pub allow: Vec<String>,
    /// Make a warning an error, by code or name; `warnings` for all
    #[arg(long, value_name = "WARNING")]
    pub deny: Vec<String>,
    /// How errors and warnings are printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub message_format: MessageFormat,
}

impl Input {
    pub fn options(&self, task: Option<&str>) -> Options {
        let task = task.map(str::to_string);
        Options {
            sets: self.sets.clone(),
            data_root: self.data.clone(),
            task,
            levels: Levels { allow: self.allow.clone(), deny: self.deny.clone() },
            ..Options::default()
        }
    }

    /// Reads and checks a file. Warnings are printed; errors are the fault.
    pub fn checked(&self, file: &Path, task: Option<&str>) -> Result<Checked, Fault> {
        checked(file, &self.options(task), self.message_format.into())
    }
}

/// Reads and checks a file that is to run: that its data is absent is no warning, as opening it will fail.
pub fn checked_to_run(file: &Path, options: &Options, format: Format) -> Result<Checked, Fault> {
    look(file, options, format, |d| d.code != codes::DATA_UNCHECKED)
}

/// Reads and checks a file. Warnings are printed; errors are the fault.
pub fn checked(file: &Path, options: &Options, format: Format) -> Result<Checked, Fault> {
    look(file, options, format, |_| true)
}

fn look(
    file: &Path,
    options: &Options,
    format: Format,
    matters: impl Fn(&Diagnostic) -> bool,
) -> Result<Checked, Fault> {
    let mut checked = driver::check_file(file, options)?;
    if checked.has_errors() {
        return Err(Fault { diagnostics: checked.diagnostics, sources: checked.sources });
    }
    checked.diagnostics.retain(matters);
    output::diagnostics(&checked.diagnostics, &checked.sources, format);
    checked.diagnostics.clear();
    Ok(checked)
}

/// The task that is meant: the named one, or the only one that trains.
pub fn task<'a>(program: &'a Program, name: Option<&str>, command: &str) -> Result<&'a Task, Fault> {
    if let Some(name) = name {
        return program.task(name).ok_or_else(|| driver::no_task(program, name).into());
    }
    let trains: Vec<&Task> = program.tasks.iter().filter(|t| t.kind == TaskKind::Train).collect();
    match (trains.as_slice(), program.tasks.as_slice()) {
        ([task], _) => Ok(task),
        ([], [task]) => Ok(task),
        ([], []) => Err(usage("the file has no task", "add `train { … }`; models alone are shown by `nnc summary`")),
        _ => {
            let names: Vec<&str> = program.tasks.iter().map(|t| t.name.as_str()).collect();
            let help = format!("name one: `nnc {command} FILE {}`", names[0]);
            Err(usage(format!("the file has several tasks: {}", names.join(", ")), help))
        }
    }
}

/// Parses `--target`.
pub fn target(name: &str) -> Result<Target, String> {
    Target::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Target::ALL.iter().map(|t| t.name()).collect();
        format!("the targets are {}", names.join(", "))
    })
}
