//! Rename: every mention of a name, if the new one is free; with a warning where names of parameters in checkpoints change.

use super::Analysis;
use super::goto::{Identity, Place, identity, mentions_of};
use super::names::Kind;
use crate::ops;
use std::ops::Range;

/// What a rename does.
#[derive(Clone, Debug, PartialEq)]
pub struct Renamed {
    pub edits: Vec<(Range<usize>, String)>,
    /// What else it changes.
    pub warning: Option<String>,
}

/// Words that no name may be.
const RESERVED: &[&str] = &[
    "and", "or", "not", "if", "else", "scan", "seq", "repeat", "yield", "param", "state", "minimize", "report", "load",
    "freeze", "save",
];

/// The range of the name at an offset, if it can be renamed.
///
/// # Errors
/// Why it cannot.
pub fn prepare_rename(a: &Analysis, offset: usize) -> Result<Range<usize>, String> {
    let mention = a.names().at(offset).ok_or("there is no name here")?;
    let word = a.of(mention.span);
    match identity(a, mention) {
        Some(Identity::Symbol(number)) => {
            let symbol = &a.names().symbols[number];
            match symbol.kind {
                Kind::Setting => Err(format!("`{word}` is a setting: its name means something")),
                Kind::Field => Err(format!("`{word}` is a field of the data: its name comes from there")),
                // `train { … }`: the word is its name.
                Kind::Task if symbol.span.start == symbol.full.start => Err("this task has no name of its own".into()),
                _ => Ok(mention.span.range()),
            }
        }
        Some(Identity::Place(Place::Std(..))) | Some(Identity::Word(_)) => Err(format!("`{word}` belongs to nnc")),
        Some(Identity::Place(_)) => Err(format!("`{word}` is declared in another file: rename it there")),
        None => Err(format!("what `{word}` means is not known")),
    }
}

/// Renames what stands at an offset.
///
/// # Errors
/// Why it cannot be called that.
pub fn rename(a: &Analysis, offset: usize, new: &str) -> Result<Renamed, String> {
    prepare_rename(a, offset)?;
    let mention = a.names().at(offset).ok_or("there is no name here")?;
    let Some(Identity::Symbol(number)) = identity(a, mention) else { return Err("there is no name here".into()) };
    let names = a.names();
    let symbol = &names.symbols[number];
    let new = new.trim();
    let starts = new.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !new.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{new}` is not a name"));
    }
    if RESERVED.contains(&new) {
        return Err(format!("`{new}` is a word of the language"));
    }
    if symbol.kind.is_item() && ops::DType::from_name(new).is_some() {
        return Err(format!("`{new}` is a dtype"));
    }
    // Whoever can be seen where this one can is in the way.
    let same_place =
        |other: &super::Symbol| other.container == symbol.container || symbol.kind.is_item() && other.kind.is_item();
    let taken = names.symbols.iter().find(|s| s.name.trim_start_matches('.') == new && same_place(s));
    if let Some(other) = taken.filter(|o| o.name != symbol.name) {
        return Err(format!("`{new}` is a {} here already", other.kind.word()));
    }
    let wanted = Identity::Symbol(number);
    let edits = mentions_of(a, &wanted).into_iter().map(|(range, _)| (range, new.to_string())).collect();
    let old = symbol.name.trim_start_matches('.');
    let warning = match symbol.kind {
        _ if old == new => None,
        Kind::Weight | Kind::State => Some("a name in checkpoints"),
        // A member without parameters is in no checkpoint.
        Kind::Member if has_variables(a, number) => Some("names of its parameters in checkpoints"),
        Kind::Binding if has_variables(a, number) => Some("names of its parameters in checkpoints"),
        Kind::Task => Some("the folder of its runs, and what other tasks load"),
        _ => None,
    };
    let warning = warning.map(|what| {
        format!(
            "renaming `{old}` to `{new}` changes {what}: what was trained before is then loaded only with its old name"
        )
    });
    Ok(Renamed { edits, warning })
}

/// Whether anything that is learned or kept stands below a member.
fn has_variables(a: &Analysis, number: usize) -> bool {
    let span = a.names().symbols[number].span;
    a.seen(span).iter().any(|sight| {
        let crate::check::Seen::Layer { path, .. } = &*sight.seen else { return false };
        match sight.task.and_then(|t| a.facts.tasks.iter().find(|f| f.number == t)) {
            Some(task) => task.vars.iter().any(|(p, _, _)| super::hover::below(path, p)),
            None => {
                a.facts.sights.parameters.values().flat_map(|p| p.iter()).any(|(p, _)| super::hover::below(path, p))
            }
        }
    })
}
