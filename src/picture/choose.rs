//! What of a program is drawn: in goes a checked program, and a name if one was given; out comes what `make` takes.

use super::Drawn;
use crate::check::{Program, Task, VarKind};
use crate::source::Sources;
use crate::syntax::{ast::ItemKind, ast::TaskKind, parse};
use std::collections::BTreeSet;

/// The names that can be asked for: models that no task uses, then tasks.
pub fn names(program: &Program) -> Vec<&str> {
    program.models.iter().map(|m| m.0.as_str()).chain(program.tasks.iter().map(|t| t.name.as_str())).collect()
}

/// The model or task of this name.
pub fn named<'a>(program: &'a Program, sources: &Sources, name: &str) -> Option<Drawn<'a>> {
    let drawn = model(program, name).or_else(|| program.task(name).map(|task| of_task(task, Vec::new())));
    drawn.map(|drawn| Drawn { own: own(sources), ..drawn })
}

/// The nets of the task that trains, or the last model.
pub fn usual<'a>(program: &'a Program, sources: &Sources) -> Option<Drawn<'a>> {
    let trains = program.tasks.iter().find(|t| t.kind == TaskKind::Train).or(program.tasks.first());
    let drawn = match trains.filter(|t| t.whole) {
        Some(task) => {
            // What learns; a metric only counts.
            let learns = task.vars.iter().map(|v| program.var(*v)).filter(|v| v.kind == VarKind::Param);
            let nets = learns.map(|v| v.path.split('.').next().unwrap_or("").to_string());
            let nets: BTreeSet<String> = nets.collect();
            Some(of_task(task, nets.into_iter().collect()))
        }
        None => program.models.last().and_then(|m| model(program, &m.0)),
    };
    drawn.map(|drawn| Drawn { own: own(sources), ..drawn })
}

/// The layers that the program's files declare.
fn own(sources: &Sources) -> BTreeSet<String> {
    let files = sources.ids().filter(|id| !sources.file(*id).builtin);
    let items = files.flat_map(|id| parse(&sources.file(id).text, id).0.items);
    let name = |kind| if let ItemKind::Layer(decl) = kind { Some(decl.name.name) } else { None };
    items.filter_map(|i| name(i.kind)).collect()
}

fn of_task(task: &Task, nets: Vec<String>) -> Drawn<'_> {
    let fields = task.fields.iter().map(|f| f.name.clone()).collect();
    Drawn { title: task.name.clone(), graph: &task.eval.graph, rows: &task.layers, fields, nets, own: BTreeSet::new() }
}

fn model<'a>(program: &'a Program, name: &str) -> Option<Drawn<'a>> {
    let at = program.models.iter().position(|m| m.0 == name)?;
    let (draft, fields) = program.drawings.get(at)?;
    let graph = &program.drafts.get((*draft)?)?.graph;
    let rows = &program.models[at].1;
    Some(Drawn { title: name.to_string(), graph, rows, fields: fields.clone(), nets: Vec::new(), own: BTreeSet::new() })
}
