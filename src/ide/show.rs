//! How values are written for people: shapes with names, with numbers, or both.

use super::{Analysis, HintMode, MAIN};
use crate::check::{Seen, Sight};
use crate::dims::Dim;
use crate::graph::TensorType;
use crate::source::Span;
use std::ops::Range;

/// `f32[B, 3, 32]`, with its tag if it has one.
pub fn shape(seen: &Seen) -> Option<String> {
    Some(match seen {
        Seen::Tensor { ty, tag } => {
            let plain = ty.to_string();
            match (tag, plain.strip_prefix("f32")) {
                (Some(tag), Some(sizes)) => format!("{}{sizes}", tag.name()),
                (Some(tag), None) => format!("{} {plain}", tag.name()),
                (None, _) => plain,
            }
        }
        Seen::Tuple(items) => {
            let items: Option<Vec<_>> = items.iter().map(shape).collect();
            format!("({})", items?.join(", "))
        }
        _ => return None,
    })
}

/// Any value in a few words.
pub fn value(seen: &Seen) -> String {
    if let Some(shape) = shape(seen) {
        return shape;
    }
    match seen {
        Seen::Constant(text) | Seen::Other(text) => text.clone(),
        Seen::Size(size) => size.to_string(),
        Seen::List(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        Seen::Tuple(items) => format!("({})", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        Seen::Layer { name, decl: Some(_), .. } => format!("the layer `{name}`"),
        Seen::Layer { name, links, .. } => format!("{name} of {}", links.len()),
        Seen::Recipe { name, .. } => format!("the layer `{name}`"),
        Seen::Function { name, .. } => format!("the function `{name}`"),
        Seen::Optimizer { name, .. } => format!("the optimizer `{name}`"),
        Seen::Data { source } => format!("data of `{source}`"),
        Seen::Task(name) => format!("the task `{name}`"),
        Seen::Tensor { .. } => String::new(),
    }
}

/// The number of elements, with names where sizes have no number.
pub fn elements(ty: &TensorType<Dim>) -> Dim {
    ty.shape.iter().fold(Dim::from(1i64), |n, d| n.mul(d))
}

/// `1,234,567`
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1.2 M`, `312 G`
pub fn short(n: u64) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let v = n as f64;
    match steps.iter().find(|(least, _)| v >= *least) {
        Some((unit, letter)) if v / unit < 9.95 => format!("{:.1} {letter}", v / unit),
        Some((unit, letter)) => format!("{:.0} {letter}", v / unit),
        None => n.to_string(),
    }
}

/// `41 MiB`
pub fn bytes(n: u64) -> String {
    let v = n as f64;
    let steps = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match steps.iter().find(|(least, _)| n >= *least) {
        Some((unit, name)) if v / (*unit as f64) < 9.95 => format!("{:.1} {name}", v / *unit as f64),
        Some((unit, name)) => format!("{:.0} {name}", v / *unit as f64),
        None => format!("{n} bytes"),
    }
}

impl Analysis {
    /// What was seen at a place of the text at hand.
    pub fn sights(&self, range: Range<usize>) -> &[Sight] {
        let then = self.then(range);
        then.and_then(|s| self.facts.sights.values.get(&s)).map_or(&[][..], Vec::as_slice)
    }

    /// The same for a span of the tree.
    pub fn seen(&self, span: Span) -> &[Sight] {
        if span.file == MAIN { self.sights(span.range()) } else { &[] }
    }

    /// What a sight's task is called.
    pub fn task_name(&self, sight: &Sight) -> Option<&str> {
        self.facts.sights.tasks.get(sight.task?).map(String::as_str)
    }

    /// The shape of a place: with the names of its declaration, with the numbers of a task, or both. None where nothing is a
    /// tensor.
    pub fn shape_at(&self, range: Range<usize>, mode: HintMode) -> Option<String> {
        let sights = self.sights(range);
        let named = sights.iter().find(|s| s.task.is_none()).and_then(|s| shape(&s.seen));
        let valued = sights.iter().find(|s| s.task.is_some()).and_then(|s| shape(&s.seen));
        match mode {
            HintMode::Off => None,
            HintMode::Names => named.or(valued),
            HintMode::Values => valued.or(named),
            HintMode::Both => match (named, valued) {
                (Some(a), Some(b)) if a != b => Some(format!("{a} = {}", sizes_of(&b))),
                (a, b) => a.or(b),
            },
        }
    }
}

/// `[B, 3]` of `f32[B, 3]`.
fn sizes_of(shape: &str) -> &str {
    shape.find('[').map_or(shape, |at| &shape[at..])
}
