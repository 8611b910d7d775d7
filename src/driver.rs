//! The pipeline, on one screen.
//!
//! ```text
//! text ─ syntax ─▶ AST ─ check ─▶ program ─ build ─▶ graph ─ autodiff ─▶ step graph ─ opt ─▶ ─ plan ─▶ schedule ─▶ code
//! ```

use crate::check::{self, Program, Task};
use crate::data_facts::OpenFacts;
use crate::diag::{self, Diagnostic, codes};
use crate::engine::check_budget;
#[cfg(not(target_arch = "wasm32"))]
use crate::engine::{CpuEngine, CudaEngine, Engine, InterpreterEngine, Target};
use crate::lint::{self, Levels};
use crate::source::{FileId, Sources};
use crate::syntax;
use crate::uses;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a file is looked at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--set name=value`
    pub sets: Vec<String>,
    /// `--data DIR`: where the paths of data sources begin; the file's own folder if none.
    pub data_root: Option<PathBuf>,
    /// The task that unqualified `--set` names are of; all if none.
    pub task: Option<String>,
    /// The metadata of a checkpoint: its vocabularies come before those of the data, which may be absent.
    pub saved: BTreeMap<String, String>,
    /// `--allow`, `--deny`
    pub levels: Levels,
}

/// A file that has been read and checked.
pub struct Checked {
    pub sources: Sources,
    pub file: FileId,
    pub program: Program,
    pub diagnostics: Vec<Diagnostic>,
    pub data_root: PathBuf,
}

impl Checked {
    /// The texts of the program's files, the main one first.
    pub fn text(&self) -> String {
        let files = self.sources.ids().map(|id| self.sources.file(id));
        files.filter(|f| !f.builtin && !f.name.starts_with("--set ")).map(|f| &*f.text).collect()
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == diag::Severity::Error)
    }
}

/// Reads and checks a file.
pub fn check_file(path: &Path, options: &Options) -> Result<Checked, Box<Diagnostic>> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let headline = format!("cannot read {}: {e}", path.display());
        Box::new(Diagnostic::placeless(codes::FILE, headline).help("check the path"))
    })?;
    Ok(check_text(&path.display().to_string(), text, path.parent().unwrap_or(Path::new("")), options))
}

/// Checks a text as if it stood in a file of this name in this folder.
pub fn check_text(name: &str, text: String, folder: &Path, options: &Options) -> Checked {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let text = sources.file(file).text.clone();
    let (mut tree, mut diagnostics) = syntax::parse(&text, file);
    diagnostics.extend(apply_sets(&mut tree, &mut sources, options));
    let data_root = options.data_root.clone().unwrap_or_else(|| folder.to_path_buf());
    let facts = OpenFacts::new(data_root.clone()).with_saved(options.saved.clone());
    let mut absent = Vec::new();
    let uses = uses::load(&uses::Disk, file, &tree, folder, &mut sources, &mut diagnostics, &mut absent);
    let (program, found) = check::check_parsed(&mut sources, tree, uses, &diagnostics, &facts);
    diagnostics.extend(absent);
    diagnostics.extend(found);
    let broken = diagnostics.iter().any(|d| d.severity == diag::Severity::Error);
    if !broken {
        diagnostics.extend(lint::lint(&program, &sources));
    }
    diag::tidy(&mut diagnostics);
    lint::settle(&mut diagnostics, &sources, &options.levels, !broken);
    diag::tidy(&mut diagnostics);
    Checked { sources, file, program, diagnostics, data_root }
}

/// Replaces the values that `--set` names, each parsed as an expression of the language.
fn apply_sets(tree: &mut syntax::ast::File, sources: &mut Sources, options: &Options) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    let mut values = Vec::new();
    for set in &options.sets {
        let Some((name, value)) = set.split_once('=') else {
            let fault = Diagnostic::placeless(codes::USAGE, format!("`--set {set}` has no value"));
            faults.push(fault.help("write `--set name=value`"));
            continue;
        };
        let id = sources.add(format!("--set {}", name.trim()), value.trim());
        let text = sources.file(id).text.clone();
        let (expr, found) = syntax::parse_expr(&text, id);
        if found.is_empty() {
            values.push((name.trim().to_string(), expr));
        }
        faults.extend(found);
    }
    faults.extend(check::override_values(tree, values, options.task.as_deref()));
    faults
}

/// Makes a task of a checked file ready to run.
///
/// # Errors
/// A task that does not exist, fields that only absent data knows, or sizes that no data gave a number.
#[cfg(not(target_arch = "wasm32"))]
pub fn engine(
    checked: &Checked,
    task: &str,
    target: Target,
    threads: usize,
) -> Result<Box<dyn Engine>, Box<Diagnostic>> {
    let task = whole_task(checked, task)?;
    match target {
        Target::Interpreter => Ok(Box::new(InterpreterEngine::new(&checked.program, task)?)),
        Target::Cpu => Ok(Box::new(CpuEngine::new(&checked.program, task, threads)?)),
        Target::Cuda => Ok(Box::new(CudaEngine::new(&checked.program, task)?)),
    }
}

/// A task whose fields are known, so that its step can be built.
///
/// # Errors
/// A task that does not exist, or fields that only absent data knows.
pub fn whole_task<'a>(checked: &'a Checked, name: &str) -> Result<&'a Task, Box<Diagnostic>> {
    let task = checked.program.task(name).ok_or_else(|| no_task(&checked.program, name))?;
    if !task.whole {
        let headline = format!("the fields of the data of `{}` are not known", task.name);
        return Err(Box::new(
            Diagnostic::error(codes::DATA_MISSING, task.span, headline)
                .label("its step cannot be built")
                .help("put the data there, or name its folder with `--data DIR`"),
        ));
    }
    Ok(task)
}

/// What the tasks of a file that declare a `budget` need beyond it: their steps are planned for the target `cpu`, in the
/// precision and batch that they declare. Costs nothing where no task declares one, or where something else is wrong.
pub fn over_budget(checked: &Checked, threads: usize) -> Vec<Diagnostic> {
    if checked.has_errors() {
        return Vec::new();
    }
    let whole = checked.program.tasks.iter().filter(|t| t.whole);
    let faults = whole.filter_map(|task| check_budget(&checked.program, task, threads).err());
    // Other faults of planning belong to the target, and are said where one is asked for.
    faults.map(|fault| *fault).filter(|fault| fault.code == codes::BUDGET).collect()
}

/// The message for a task that is not in the file.
pub fn no_task(program: &Program, name: &str) -> Box<Diagnostic> {
    let names: Vec<&str> = program.tasks.iter().map(|t| t.name.as_str()).collect();
    let fault = Diagnostic::placeless(codes::USAGE, format!("the file has no task `{name}`"));
    Box::new(match (diag::suggest::nearest(name, names.iter().copied()), names.is_empty()) {
        (Some(meant), _) => fault.help(format!("did you mean `{meant}`?")),
        (None, true) => fault.help("add `train { … }`"),
        (None, false) => fault.help(format!("its tasks are {}", names.join(", "))),
    })
}
