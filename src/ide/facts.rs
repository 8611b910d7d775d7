//! What checking said of a text, in a form that another thread can hold; and how it is had.

use super::{MAIN, Syntax};
use crate::check::{self, DataFacts, Places, Program, Sights, VarKind, Watch};
use crate::diag::{self, Diagnostic, Severity, codes};
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
    /// Asked now and then: whether nobody wants the answer any more. The check then unwinds with [`Cancelled`](crate::check::Cancelled).
    pub cancelled: Option<&'a dyn Fn() -> bool>,
}

/// The items to evaluate, by the places of their names, with what is known of the others.
#[derive(Default)]
pub(super) struct Only {
    pub items: BTreeSet<Span>,
    pub broken: BTreeSet<Span>,
    pub doubtful: BTreeSet<Span>,
}

/// Path of an instance, its layer's name, and what it gives.
pub type LayerFacts = (String, String, Vec<TensorType<Dim>>);

/// A task that was checked.
#[derive(Clone, Debug)]
pub struct TaskFacts {
    pub name: String,
    pub number: usize,
    /// Its word.
    pub span: Span,
    /// Path, kind, type of its variables.
    pub vars: Arc<Vec<(String, VarKind, TensorType<Dim>)>>,
    /// Path of each instance, its layer's name, and what it gives.
    pub layers: Arc<Vec<LayerFacts>>,
}

/// What checking said of one text.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its files; the text itself is the first, the standard library's are among the others.
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
    pub sights: Sights,
    pub tasks: Vec<TaskFacts>,
    /// The text that they are of, and its tree.
    pub text: Arc<str>,
    pub tree: Arc<File>,
    /// What the checker found, of which `diagnostics` shows what is worth saying.
    pub(super) found: Vec<Diagnostic>,
    /// What only a look at everything tells: of the lints, and of comments that allow what does not occur.
    pub(super) late: Vec<Diagnostic>,
    /// Items that changed since those that name them were looked at.
    pub(super) pending: BTreeSet<String>,
}

/// Checks a text that was read: all of it.
pub fn check(input: &Input, syntax: &Syntax) -> Facts {
    let (_, look) = look(input, syntax, None);
    let Look { facts, said } = look;
    said.settle(facts, true)
}

/// What one run of the checker says, before it is decided what of it is shown.
pub(super) struct Look {
    pub facts: Facts,
    pub said: Said,
}

/// What was said beside the checker.
pub(super) struct Said {
    /// Of the files' syntax.
    syntax: Vec<Diagnostic>,
    /// Of files that are not there.
    absent: Vec<Diagnostic>,
    places: Places,
}

impl Facts {
    /// Of a text that could not be checked: nothing but what is to be said.
    pub fn unchecked(diagnostics: Vec<Diagnostic>, text: Arc<str>) -> Facts {
        Facts { diagnostics, text, ..Facts::default() }
    }

    /// Whether an edit was followed only as far as the items that it changed.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }
}

impl Said {
    /// Decides what is shown. `everything` says that all was looked at.
    pub fn settle(self, mut facts: Facts, everything: bool) -> Facts {
        let mut found = facts.found.clone();
        self.places.worth_saying(&mut found, &self.syntax, &facts.sources);
        let mut all = self.syntax;
        all.extend(self.absent);
        all.extend(found);
        let broken = all.iter().any(|d| d.severity == Severity::Error);
        if !broken {
            all.extend(facts.late.iter().cloned());
        }
        diag::tidy(&mut all);
        lint::settle(&mut all, &facts.sources, &Levels::default(), everything && !broken);
        diag::tidy(&mut all);
        if everything {
            let in_vain = |d: &&Diagnostic| d.code == codes::UNUSED_ALLOW;
            facts.late.extend(all.iter().filter(in_vain).cloned());
        }
        facts.diagnostics = all;
        facts
    }
}

/// Runs the checker. Gives the program as well.
pub(super) fn look(input: &Input, syntax: &Syntax, only: Option<Only>) -> (Program, Look) {
    let mut sources = Sources::default();
    let file = sources.add(input.name, input.text.clone());
    debug_assert_eq!(file, MAIN);
    let mut of_syntax = syntax.diagnostics.clone();
    let mut absent = Vec::new();
    let tree = File::clone(&syntax.tree);
    let uses = uses::load(input.files, file, &tree, input.folder, &mut sources, &mut of_syntax, &mut absent);
    let places = Places::of(uses.files.iter().map(|(_, f)| f).chain([&tree]));
    let everything = only.is_none();
    let only = only.map(|o| (o.items, o.broken, o.doubtful));
    let (items, broken, doubtful) = only.map_or((None, BTreeSet::new(), BTreeSet::new()), |(i, b, d)| (Some(i), b, d));
    let watch = Watch { only: items, broken, doubtful, cancelled: input.cancelled, ..Watch::default() };
    let (program, found, sights) = check::check_watched(&mut sources, tree, uses, input.data, Some(watch));
    let is_error = |d: &Diagnostic| d.severity == Severity::Error;
    let broken = of_syntax.iter().chain(&absent).chain(&found).any(is_error);
    let late = if everything && !broken { lint::lint(&program, &sources) } else { Vec::new() };
    let tasks = program.tasks.iter().map(|task| TaskFacts {
        name: task.name.clone(),
        number: task.number,
        span: task.span,
        vars: task
            .vars
            .iter()
            .map(|v| program.var(*v))
            .map(|v| (v.path.clone(), v.kind, v.ty.clone()))
            .collect::<Vec<_>>()
            .into(),
        layers: task
            .layers
            .iter()
            .map(|r| (r.path.clone(), r.layer.clone(), r.output.clone()))
            .collect::<Vec<_>>()
            .into(),
    });
    let facts = Facts {
        tasks: tasks.collect(),
        sources,
        diagnostics: Vec::new(),
        sights,
        text: input.text.clone(),
        tree: syntax.tree.clone(),
        found,
        late,
        pending: BTreeSet::new(),
    };
    (program, Look { facts, said: Said { syntax: of_syntax, absent, places } })
}

/// The place of an item's name.
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
