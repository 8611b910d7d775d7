//! First values that do not come from the program itself: those of other tasks' trained nets, and those of files that it
//! loads. In go a task and its checkpoints, out come values of variables and what is worth saying about them.

use super::Result;
use super::weights::net_value;
use crate::artifact::{Checkpoint, Wanted, checkpoint, fit};
use crate::check::{Load, Program, Task, VarKind};
use crate::diag::{Diagnostic, codes};
use crate::engine::{Engine, VarTensor, bytes};
use crate::ops::VarId;
use std::collections::BTreeMap;
use std::path::Path;

/// What a run starts from.
#[derive(Debug, Default)]
pub struct Start {
    pub values: Vec<(VarId, VarTensor)>,
    /// Warnings: names of a file that were matched by an alias, or that nothing takes.
    pub notes: Vec<Diagnostic>,
}

/// The first values of a task's variables that come from elsewhere. `root` is where paths begin; `trained` gives the
/// checkpoint of another task's newest run.
///
/// # Errors
/// A task that was never trained, a file that cannot be read, or parameters that it does not have with their shape.
pub fn start(
    program: &Program,
    task: &Task,
    engine: &dyn Engine,
    root: &Path,
    mut trained: impl FnMut(&Task) -> Result<Checkpoint>,
) -> Result<Start> {
    let mut start = Start::default();
    let mut files: BTreeMap<usize, Checkpoint> = BTreeMap::new();
    // Only a task that trains has copies; the others speak of the nets themselves.
    for &v in task.vars.iter().filter(|_| task.train.is_some()) {
        let Some(source) = program.var(v).source else { continue };
        let owner = program.var(source).task;
        let Some(of) = program.owner(source) else { continue };
        // A part of the net that its task does not use has the value that it starts with there too.
        if !of.vars.contains(&source) || of.metrics.contains(&source) {
            continue;
        }
        if let std::collections::btree_map::Entry::Vacant(place) = files.entry(owner) {
            place.insert(trained(of)?);
        }
        let is = engine.var(v);
        let path = &program.var(source).path;
        match net_value(&files[&owner], program, source) {
            Some(value) if value.dtype == is.dtype && value.shape == is.shape => start.values.push((v, value)),
            found => {
                let what = format!("the run of `{}` does not have this `{path}`", of.name);
                let d = Diagnostic::error(codes::CHECKPOINT, program.var(v).span, what);
                let d = d.label(match found {
                    Some(found) => format!("{}{:?} there, {}{:?} here", found.dtype, found.shape, is.dtype, is.shape),
                    None => "not in its checkpoint".to_string(),
                });
                return Err(Box::new(d.help(format!("train `{}` again: the program has changed since", of.name))));
            }
        }
    }
    for load in &task.loads {
        let file = checkpoint::read(&root.join(&load.file), Some(load.span))?;
        load_into(&mut start, &file, load, program, task, engine)?;
    }
    // Averages begin where their parameters do.
    for (param, average) in &task.averages {
        if let Some((_, value)) = start.values.iter().rev().find(|(v, _)| v == param) {
            let value = value.clone();
            start.values.push((*average, value));
        }
    }
    Ok(start)
}

fn load_into(
    start: &mut Start,
    file: &Checkpoint,
    load: &Load,
    program: &Program,
    task: &Task,
    engine: &dyn Engine,
) -> Result<()> {
    for (base, selected) in &load.parts {
        let vars: Vec<VarId> = selected.iter().copied().filter(|v| task.vars.contains(v)).collect();
        let types: Vec<VarTensor> = vars.iter().map(|v| engine.var(*v)).collect();
        let wanted: Vec<Wanted> = vars
            .iter()
            .zip(&types)
            .map(|(v, t)| Wanted {
                path: &program.var(*v).path,
                dtype: t.dtype,
                shape: &t.shape,
                required: program.var(*v).kind == VarKind::Param,
            })
            .collect();
        let others = task.vars.iter().filter(|v| !vars.contains(v)).map(|v| program.var(*v).path.as_str());
        let others: Vec<&str> = others.collect();
        let fitted = fit(file, base, &wanted, &others, load.span)?;
        start.notes.extend(fitted.note.map(|d| *d));
        for (v, (is, name)) in vars.iter().zip(types.iter().zip(&fitted.names)) {
            let Some(found) = name.as_ref().and_then(|n| file.get(n)) else { continue };
            let same = found.dtype == is.dtype;
            let bytes = match same {
                true => found.bytes.to_vec(),
                false => bytes::from_f64(is.dtype, bytes::to_f64(found.dtype, found.bytes).into_iter()),
            };
            start.values.push((*v, VarTensor { dtype: is.dtype, shape: is.shape.clone(), bytes }));
        }
    }
    Ok(())
}
