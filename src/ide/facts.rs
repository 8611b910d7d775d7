//! What checking said of a text, in a form that another thread can hold; and how it is had.

use super::{MAIN, Syntax};
use crate::check::{self, DataFacts, Program, Sights, VarKind, Watch};
use crate::diag::{self, Diagnostic, Severity};
use crate::dims::Dim;
use crate::graph::TensorType;
use crate::lint::{self, Levels};
use crate::source::{Sources, Span};
use crate::syntax::ast::{File, ItemKind};
use crate::uses::{self, Files};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What is to be checked.
pub struct Input<'a> {
    /// The file's name, for messages; what it uses stands beside it.
    pub name: &'a str,
    pub text: Arc<str>,
    /// Where it stands.
    pub folder: &'a Path,
    pub files: &'a dyn Files,
    pub data: &'a dyn DataFacts,
    /// The items to evaluate, by the places of their names; all if none. Of the others nothing is said.
    pub only: Option<BTreeSet<Span>>,
}

/// A task that was checked.
#[derive(Clone, Debug)]
pub struct TaskFacts {
    pub name: String,
    pub number: usize,
    /// Its word.
    pub span: Span,
    /// Path, kind, type of its variables.
    pub vars: Vec<(String, VarKind, TensorType<Dim>)>,
    /// Path of each instance, its layer's name, and what it gives.
    pub layers: Vec<(String, String, Vec<TensorType<Dim>>)>,
}

/// What checking said of one text.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its files; the text itself is the first, the standard library's are among the others.
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
    pub sights: Sights,
    pub tasks: Vec<TaskFacts>,
    /// The text that they are of.
    pub text: Arc<str>,
}

/// Checks a text that was read.
pub fn check(input: &Input, syntax: &Syntax) -> Facts {
    let (program, sources, diagnostics, sights) = program(input, syntax);
    let tasks = program.tasks.iter().map(|task| TaskFacts {
        name: task.name.clone(),
        number: task.number,
        span: task.span,
        vars: task.vars.iter().map(|v| program.var(*v)).map(|v| (v.path.clone(), v.kind, v.ty.clone())).collect(),
        layers: task.layers.iter().map(|r| (r.path.clone(), r.layer.clone(), r.output.clone())).collect(),
    });
    Facts { sources, diagnostics, sights, tasks: tasks.collect(), text: input.text.clone() }
}

/// The checked program itself, with its files and what was said and seen.
pub(super) fn program(input: &Input, syntax: &Syntax) -> (Program, Sources, Vec<Diagnostic>, Sights) {
    let mut sources = Sources::default();
    let file = sources.add(input.name, input.text.clone());
    debug_assert_eq!(file, MAIN);
    let mut diagnostics = syntax.diagnostics.clone();
    let mut absent = Vec::new();
    let tree = File::clone(&syntax.tree);
    let uses = uses::load(input.files, file, &tree, input.folder, &mut sources, &mut diagnostics, &mut absent);
    let watch = Watch { only: input.only.clone(), ..Watch::default() };
    let (program, found, sights) =
        check::check_watched(&mut sources, tree, uses, &diagnostics, input.data, Some(watch));
    diagnostics.extend(absent);
    diagnostics.extend(found);
    let broken = diagnostics.iter().any(|d| d.severity == Severity::Error);
    if !broken {
        diagnostics.extend(lint::lint(&program, &sources));
    }
    diag::tidy(&mut diagnostics);
    // Whether a comment allows something in vain only a look at everything tells.
    lint::settle(&mut diagnostics, &sources, &Levels::default(), !broken && input.only.is_none());
    diag::tidy(&mut diagnostics);
    (program, sources, diagnostics, sights)
}

/// The place of an item's name, as [`Input::only`] wants it.
pub fn item_name(kind: &ItemKind) -> Option<(&str, Span)> {
    Some(match kind {
        ItemKind::Const { name, .. } => (&name.name, name.span),
        ItemKind::Fn(d) => (&d.name.name, d.name.span),
        ItemKind::Layer(d) => (&d.name.name, d.name.span),
        ItemKind::Optimizer(d) => (&d.name.name, d.name.span),
        ItemKind::Data(d) => (&d.name.name, d.name.span),
        ItemKind::Task(d) => match &d.name {
            Some(name) => (&name.name, name.span),
            None => (d.kind.word(), d.word),
        },
        ItemKind::Use(_) | ItemKind::Error => return None,
    })
}
