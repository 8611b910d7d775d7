//! Lenses: what can be done with a task, and what a model holds and costs.

use super::hover::{below, counted};
use super::{Analysis, show};
use crate::check::VarKind;
use crate::dims::Dim;
use crate::syntax::ast::{ItemKind, TaskKind};
use std::ops::Range;

/// A line above an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Lens {
    pub range: Range<usize>,
    pub title: String,
    /// What a click does: the words of a command line behind `nnc`, without the file; none if it only tells.
    pub command: Option<Vec<String>>,
}

/// The lenses of a file, in order.
pub fn lenses(a: &Analysis) -> Vec<Lens> {
    let mut out = Vec::new();
    for item in &a.syntax.tree.items {
        match &item.kind {
            ItemKind::Task(task) => {
                let range = task.word.range();
                let name = task.name.as_ref().map_or(task.kind.word(), |n| n.name.as_str()).to_string();
                let verb = match task.kind {
                    TaskKind::Train => "▶ train",
                    TaskKind::Evaluate => "▶ evaluate",
                    TaskKind::Predict => "▶ predict",
                    TaskKind::Generate => "▶ generate",
                };
                let words = |all: &[&str]| Some(all.iter().map(ToString::to_string).collect());
                let lens = |title: &str, command| Lens { range: range.clone(), title: title.to_string(), command };
                out.push(lens(verb, words(&["run", &name])));
                out.push(lens("check", words(&["check"])));
                out.push(lens("plan", words(&["plan", &name])));
                let text = task_costs(a, &name);
                if !text.is_empty() {
                    out.push(lens(&text, None));
                }
            }
            ItemKind::Layer(layer) if layer.is_model => {
                let text = model_costs(a, &layer.name.name, layer.name.span);
                if !text.is_empty() {
                    out.push(Lens { range: layer.name.span.range(), title: text, command: None });
                }
            }
            _ => {}
        }
    }
    out
}

fn task_costs(a: &Analysis, name: &str) -> String {
    let mut parts = Vec::new();
    if let Some(task) = a.facts.tasks.iter().find(|t| t.name == name) {
        let (count, _) = counted(task.vars.iter().filter(|(_, k, _)| *k == VarKind::Param));
        parts.extend(count.filter(|n| *n > 0).map(|n| format!("{} params", show::short(n))));
    }
    if let Some(costs) = a.costs.as_ref().and_then(|c| c.tasks.iter().find(|t| t.name == name)) {
        parts.extend(costs.flops_below("").map(|n| format!("{}FLOP a sample", show::short(n))));
        parts.extend(costs.peak.map(|n| format!("peak {}", show::bytes(n))));
    }
    parts.join(" · ")
}

/// Of the first task that makes the model; else by its own declaration.
fn model_costs(a: &Analysis, name: &str, at: crate::source::Span) -> String {
    for task in &a.facts.tasks {
        let Some((path, ..)) = task.layers.iter().find(|(_, layer, _)| layer == name) else { continue };
        let vars = task.vars.iter().filter(|(p, k, _)| *k == VarKind::Param && below(path, p));
        let Some(count) = counted(vars).0 else { continue };
        let mut parts = vec![format!("{} params", show::short(count))];
        if let Some(costs) = a.costs.as_ref().and_then(|c| c.tasks.iter().find(|t| t.name == task.name)) {
            parts.extend(costs.flops_below(path).map(|n| format!("{}FLOP a sample", show::short(n))));
            parts.extend(costs.peak.map(|n| format!("peak {} in {}", show::bytes(n), task.name)));
        }
        return parts.join(" · ");
    }
    let Some(parameters) = a.then(at.range()).and_then(|s| a.facts.sights.parameters.get(&s)) else {
        return String::new();
    };
    let total = parameters.iter().fold(Dim::from(0i64), |n, (_, ty)| n.add(&show::elements(ty)));
    match total.number().and_then(|n| u64::try_from(n).ok()) {
        Some(n) => format!("{} params", show::short(n)),
        None => {
            let text = total.to_string();
            if text.len() < 60 { format!("{text} params") } else { String::new() }
        }
    }
}
