//! Stage 2: names, types, sizes. In goes a syntax tree, out comes a [`Program`]: every entry point as a graph whose sizes
//! may still be names, and every fault that was found.
//!
//! The checker evaluates a program abstractly: compile-time values are computed, tensors become nodes of a graph, layers
//! become instances. Each declaration is first checked on its own, with sizes known only by name; then each task is
//! evaluated with its nets. What fails becomes `Poison`, about which nothing more is said, so that independent faults
//! are all found in one run and none is reported twice.

mod applied;
mod calls;
mod chain;
mod consequences;
mod context;
mod declarations;
mod explain;
mod expr;
mod fit;
mod foreign;
mod forms;
mod generation;
mod gradients;
mod groups;
mod index;
mod last;
mod layers;
mod library;
mod minimize;
mod moves;
mod names;
mod nets;
mod once;
mod parameters;
mod patterns;
mod pipeline;
mod precision;
mod prims;
mod program;
mod recurrence;
mod results;
mod save;
mod scan;
pub mod schedules;
mod seen;
mod selection;
mod shapes;
mod special;
mod special_docs;
mod stopping;
mod tasks;
mod tensors;
mod updates;
mod values;
mod vmap;

pub use applied::{Applied, Callee};
pub use consequences::Places;
pub use context::{DataFacts, Facts, FieldFacts};
pub use generation::GENERATE_SETTINGS;
pub use library::{FILES as LIBRARY_FILES, Library};
pub use names::Uses;
pub use pipeline::as_tokenizer;
pub use precision::PRECISIONS;
pub use program::*;
pub use seen::{Cancelled, FieldSeen, Seen, Sight, Sights, Watch};
pub use special_docs::{SPECIALS, Special};
pub use tasks::SETTINGS;
pub use values::{Callable, DataValue, Given, OptimizerValue, Stage, Tag, TextValue, TokenizerValue, Value};

use crate::diag::{Diagnostic, codes, suggest};
use crate::source::Sources;
use crate::syntax::ast::{Expr, ExprKind, File, ItemKind, TaskKind, TaskStmtKind};
use crate::syntax::walk::{each_expr, each_expr_of};
use context::{Checker, Def, Sheet};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Checks a file. The program holds every task that has no fault of its own.
pub fn check(sources: &mut Sources, file: File, data: &dyn DataFacts) -> (Program, Vec<Diagnostic>) {
    check_parsed(sources, file, Uses::default(), &[], data)
}

/// Checks a file with those that it uses, of which parsing said `syntax`: what may only follow from that is not said.
pub fn check_parsed(
    sources: &mut Sources,
    file: File,
    uses: Uses,
    syntax: &[Diagnostic],
    data: &dyn DataFacts,
) -> (Program, Vec<Diagnostic>) {
    let places = Places::of(uses.files.iter().map(|(_, f)| f).chain([&file]));
    let (program, mut found, _) = check_watched(sources, file, uses, data, None);
    places.worth_saying(&mut found, syntax, sources);
    (program, found)
}

/// The same for editors: gives all that was found, of which [`Places::worth_saying`] chooses, and what was seen at each place
/// of the user's files, if a watch is set.
pub fn check_watched(
    sources: &mut Sources,
    file: File,
    uses: Uses,
    data: &dyn DataFacts,
    watch: Option<Watch>,
) -> (Program, Vec<Diagnostic>, Sights) {
    let mut checker = Checker {
        sources,
        library: Library::default(),
        library_defs: BTreeMap::new(),
        defs: BTreeMap::new(),
        names: names::Names::default(),
        found: Vec::new(),
        item: None,
        reasons: Vec::new(),
        sheet: Sheet::default(),
        init: Sheet::default(),
        instances: Vec::new(),
        vars: Vec::new(),
        var_axes: Vec::new(),
        optimizer_states: BTreeMap::new(),
        rows: Vec::new(),
        drafts: Vec::new(),
        training: None,
        generic: false,
        calls: Vec::new(),
        depth: 0,
        steps: 0,
        scans: Vec::new(),
        active: Vec::new(),
        broken: BTreeSet::new(),
        doubtful: BTreeSet::new(),
        blamed: BTreeSet::new(),
        subject: None,
        task: 0,
        symbols: 0,
        scope_path: 0,
        constants: BTreeMap::new(),
        data,
        draws: BTreeMap::new(),
        frozen: BTreeSet::new(),
        feed: pipeline::FeedFields::default(),
        apart: Vec::new(),
        step: None,
        forms: forms::Forms::default(),
        meant: BTreeSet::new(),
        read_elsewhere: BTreeSet::new(),
        fields_read: BTreeSet::new(),
        demands: Vec::new(),
        used_data: BTreeSet::new(),
        unknown: BTreeMap::new(),
        task_scopes: BTreeMap::new(),
        watch,
    };
    if let Some(watch) = &mut checker.watch {
        checker.broken = std::mem::take(&mut watch.broken);
        checker.doubtful = std::mem::take(&mut watch.doubtful);
    }
    let program = checker.run(file, uses);
    let mut sights = checker.watch.take().map_or_else(Sights::default, |w| w.sights);
    (sights.broken, sights.doubtful) = (checker.broken, checker.doubtful);
    (program, checker.found, sights)
}

impl Checker<'_> {
    fn run(&mut self, file: File, uses: Uses) -> Program {
        self.read_elsewhere = fields_in(&file);
        self.fields_read = &self.read_elsewhere | &fields_of_layers(&file);
        let names::Declared { items, mut tasks } = self.declare_files(file, uses);
        let mut program = Program::default();
        self.order_of_items(&items);
        for (key, name) in &items {
            let Some((def, place)) = self.defs.get(key).cloned() else { continue };
            if !self.is_watched(place) {
                continue;
            }
            let drafts = self.drafts.len();
            self.item = Some(place);
            let rows = self.declaration(name, &def);
            if let Def::Layer(decl) = &def
                && decl.is_model
                && key == name
            {
                program.models.push((name.clone(), rows));
                let inputs = decl.forward.iter().flat_map(|f| &f.params).map(|p| p.name.name.clone());
                let draft = (self.drafts.len() > drafts).then_some(drafts);
                program.drawings.push((draft, inputs.collect()));
            }
        }
        // A constant is looked at even if nothing uses it.
        for (key, name) in &items {
            if let Some((Def::Const(_), span)) = self.defs.get(key).cloned()
                && self.is_watched(span)
            {
                let mut scope = context::Scope::new(span.file);
                self.item = Some(span);
                self.sheet = Sheet::default();
                if let Some(value) = self.name_value(name, span, &mut scope) {
                    self.sight(span, &value);
                }
            }
        }
        // Tasks that train come first: the others speak of their nets.
        tasks.sort_by_key(|(_, decl): &(String, Rc<crate::syntax::ast::TaskDecl>)| decl.kind != TaskKind::Train);
        for (number, (_, decl)) in tasks.iter().enumerate() {
            let place = decl.name.as_ref().map_or(decl.word, |n| n.span);
            if let Some(watch) = &mut self.watch {
                watch.sights.order.push(place);
                watch.sights.tasks.push(decl.name.as_ref().map_or(decl.kind.word().into(), |n| n.name.clone()));
            }
            if !self.is_watched(place) {
                continue;
            }
            self.item = Some(place);
            self.calls.clear();
            self.active.clear();
            if let Some(task) = self.task(decl, number) {
                program.tasks.push(task);
            }
        }
        // Whether something is used only a look at everything tells.
        let everything = self.watch.as_ref().is_none_or(|w| w.only.is_none());
        for (key, name) in items.iter().filter(|_| everything) {
            if let Some((Def::Data(_), span)) = self.defs.get(key).cloned()
                && !self.used_data.contains(key)
            {
                self.item = Some(span);
                self.unused_data(name, span);
            }
        }
        self.item = None;
        let mut init = std::mem::take(&mut self.init).graph;
        for (i, var) in self.vars.iter().enumerate() {
            let kind = crate::graph::OutputKind::Update(crate::ops::VarId(i as u32));
            init.outputs.push(crate::graph::Output { kind, node: var.init });
        }
        program.vars = std::mem::take(&mut self.vars);
        program.drafts = std::mem::take(&mut self.drafts);
        program.init = init;
        program
    }
}

/// Replaces compile-time values of a file: a constant, a task's setting or binding (`epochs`, `train.batch`), each with an
/// expression. Gives the names that fit nothing, with what was probably meant.
pub fn override_values(
    file: &mut File,
    values: Vec<(String, crate::syntax::ast::Expr)>,
    task: Option<&str>,
) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (path, value) in values {
        let span = value.span;
        let (task, name) = match path.split_once('.') {
            Some((task, name)) => (Some(task), name),
            None => (task, path.as_str()),
        };
        let mut known: Vec<String> = SETTINGS.iter().chain(GENERATE_SETTINGS).map(|s| s.to_string()).collect();
        let mut done = false;
        for item in &mut file.items {
            let start = item.span;
            match &mut item.kind {
                ItemKind::Const { name: n, value: old } if !path.contains('.') => {
                    known.push(n.name.clone());
                    if n.name == name {
                        *old = value.clone();
                        done = true;
                    }
                }
                ItemKind::Task(decl) => {
                    let own = decl.name.as_ref().map_or(decl.kind.word(), |n| n.name.as_str()).to_string();
                    if task.is_some_and(|t| t != own) {
                        continue;
                    }
                    let mut found = false;
                    for param in &mut decl.params {
                        known.push(param.name.name.clone());
                        if param.name.name == name {
                            param.default = Some(value.clone());
                            found = true;
                        }
                    }
                    for stmt in &mut decl.body {
                        if let TaskStmtKind::Bind { name: n, value: old } = &mut stmt.kind {
                            known.push(n.name.clone());
                            if n.name == name {
                                *old = value.clone();
                                found = true;
                            }
                        }
                    }
                    let settings = generation::settings_of(decl.kind);
                    if !found && settings.contains(&name) && matches!(decl.kind, TaskKind::Train | TaskKind::Generate) {
                        let ident = crate::syntax::ast::Ident { name: name.to_string(), span: start.head() };
                        decl.body.push(crate::syntax::ast::TaskStmt {
                            kind: TaskStmtKind::Bind { name: ident, value: value.clone() },
                            span,
                        });
                        found = true;
                    }
                    done |= found;
                }
                _ => {}
            }
        }
        if !done {
            let mut fault =
                Diagnostic::error(codes::UNKNOWN_SETTING, span, format!("nothing to set is called `{path}`"));
            fault = match suggest::nearest(name, known.iter().map(String::as_str)) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help("constants, and settings and bindings of tasks can be set"),
            };
            faults.push(fault);
        }
    }
    faults
}

/// Every name that stands behind a dot in a `forward`.
fn fields_of_layers(file: &File) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in &file.items {
        let ItemKind::Layer(decl) = &item.kind else { continue };
        if let Some(forward) = &decl.forward {
            each_expr_of(&forward.body, &mut |e| {
                if let ExprKind::Field { name, .. } = &e.kind {
                    names.insert(name.name.clone());
                }
            });
        }
    }
    names
}

/// Every name that stands behind a dot in a task.
fn fields_in(file: &File) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut see = |e: &Expr| {
        if let ExprKind::Field { name, .. } = &e.kind {
            names.insert(name.name.clone());
        }
    };
    for item in &file.items {
        let ItemKind::Task(decl) = &item.kind else { continue };
        for stmt in &decl.body {
            if let TaskStmtKind::Bind { value, .. } = &stmt.kind {
                each_expr(value, &mut see);
            }
        }
        decl.step.iter().for_each(|s| each_expr_of(&s.body, &mut see));
    }
    names
}
