//! Matching a net's variables with the tensors of a file of other origin, by name. In go the paths below one instance and
//! a checkpoint, out comes the file's name for each, or one diagnostic that lists all that does not fit.
//!
//! A path and a name may differ in how they begin (`net.bert.encoder…` here, `bert.encoder…` there, `module.encoder…`
//! after data-parallel training): the beginnings that fit most variables are taken, for all of them alike. They may also
//! differ in the last word, by the table of aliases.

use super::Result;
use super::checkpoint::{Checkpoint, short};
use crate::diag::{Diagnostic, Severity, codes, suggest};
use crate::ops::DType;
use crate::source::Span;

/// A variable that is to be loaded.
pub struct Wanted<'a> {
    pub path: &'a str,
    pub dtype: DType,
    pub shape: &'a [usize],
    /// A parameter; a state may be missing.
    pub required: bool,
}

/// Which tensor is whose.
#[derive(Debug)]
pub struct Fitted {
    /// For each variable its name in the file; none for a state that is not in it.
    pub names: Vec<Option<String>>,
    /// What is worth saying.
    pub note: Option<Box<Diagnostic>>,
}

/// Other words for the last name of a path: ours, and theirs (TensorFlow's and old BERT's).
pub const ALIASES: &[(&str, &str)] = &[
    ("weight", "gamma"),
    ("bias", "beta"),
    ("running_mean", "moving_mean"),
    ("running_var", "moving_variance"),
    ("running_var", "moving_var"),
];

/// The longest list of names in a message.
const SHOWN: usize = 8;

/// How names of the file are made of paths: so many leading names less, and these in their place.
#[derive(Clone, Debug, PartialEq)]
struct Beginning {
    less: usize,
    prefix: String,
}

impl Beginning {
    fn name(&self, path: &str) -> String {
        let rest = path.splitn(self.less + 1, '.').nth(self.less).unwrap_or_default();
        match (self.prefix.as_str(), rest) {
            ("", rest) => rest.to_string(),
            (prefix, "") => prefix.to_string(),
            (prefix, rest) => format!("{prefix}.{rest}"),
        }
    }
}

/// Finds each variable in the file. All paths lie below `base`; `others` are paths of the program that are not to be
/// loaded, about whose tensors nothing is said.
///
/// # Errors
/// Parameters that are not in the file, or have another shape or kind of numbers there.
pub fn fit(file: &Checkpoint, base: &str, wanted: &[Wanted], others: &[&str], place: Span) -> Result<Fitted> {
    let depth = base.split('.').count();
    let names: Vec<&str> = file.tensors().map(|t| t.name).collect();
    let mut prefixes: Vec<String> = vec![String::new()];
    let mut add = |prefix: String| {
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    };
    add(common_prefix(&names));
    for name in &names {
        let mut parts = name.split('.');
        if let (Some(first), Some(_)) = (parts.next(), parts.clone().next()) {
            add(first.to_string());
            if let (Some(second), Some(_)) = (parts.next(), parts.next()) {
                add(format!("{first}.{second}"));
            }
        }
    }
    // A binding's own name is usually not in a file; those of its parts may be.
    let mut orders: Vec<usize> = (1..=depth).collect();
    orders.push(0);
    let mut best: Option<(usize, Beginning)> = None;
    for prefix in &prefixes {
        for &less in &orders {
            let beginning = Beginning { less, prefix: prefix.clone() };
            let score: usize = wanted
                .iter()
                .map(|w| match find(file, &beginning.name(w.path)) {
                    Some((t, _)) if t.shape == w.shape => 2,
                    Some(_) => 1,
                    None => 0,
                })
                .sum();
            if score > best.as_ref().map_or(0, |b| b.0) {
                best = Some((score, beginning));
            }
        }
    }
    let beginning = best.map_or(Beginning { less: 1, prefix: String::new() }, |b| b.1);
    report(file, &beginning, base, wanted, others, place)
}

/// The leading names that all have in common.
fn common_prefix(names: &[&str]) -> String {
    let Some(first) = names.first() else { return String::new() };
    let mut common: Vec<&str> = first.split('.').collect();
    common.pop();
    for name in names {
        let same = common.iter().zip(name.split('.')).take_while(|(a, b)| **a == *b).count();
        common.truncate(same);
    }
    common.join(".")
}

/// The tensor of this name, or of an alias of it.
fn find<'a>(file: &'a Checkpoint, name: &str) -> Option<(super::TensorRef<'a>, bool)> {
    if let Some(t) = file.get(name) {
        return Some((t, false));
    }
    let (start, last) = name.rsplit_once('.').map_or(("", name), |(s, l)| (s, l));
    ALIASES.iter().filter(|(ours, _)| *ours == last).find_map(|(_, theirs)| {
        let name = if start.is_empty() { theirs.to_string() } else { format!("{start}.{theirs}") };
        Some((file.get(&name)?, true))
    })
}

fn report(
    file: &Checkpoint,
    beginning: &Beginning,
    base: &str,
    wanted: &[Wanted],
    others: &[&str],
    place: Span,
) -> Result<Fitted> {
    let (mut missing, mut different, mut absent, mut renamed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut taken: Vec<String> = Vec::new();
    let mut names = Vec::new();
    for w in wanted {
        let name = beginning.name(w.path);
        let found = find(file, &name);
        names.push(found.as_ref().map(|(t, _)| t.name.to_string()));
        match found {
            None if w.required => missing.push((w, name)),
            None => absent.push(format!("`{}`", w.path)),
            Some((t, aliased)) => {
                taken.push(t.name.to_string());
                if t.shape != w.shape || t.dtype.is_float() != w.dtype.is_float() {
                    let (theirs, ours) = (spell(t.dtype, t.shape), spell(w.dtype, w.shape));
                    different.push(format!("`{}` is {theirs} in the file and {ours} in the net", w.path));
                } else if aliased {
                    renamed.push(format!("`{}` is `{}` in the file", w.path, t.name));
                }
            }
        }
    }
    let root = beginning.name(base);
    let known: Vec<String> = others.iter().map(|o| beginning.name(o)).collect();
    let below = |name: &str| root.is_empty() || name.strip_prefix(root.as_str()).is_some_and(|r| r.starts_with('.'));
    let is_other = |name: &str| {
        known.iter().any(|k| k == name || find(file, k).is_some_and(|(t, _)| t.name == name))
            || name.ends_with("num_batches_tracked")
            // What an optimizer keeps of a parameter, in a checkpoint of ours.
            || taken.iter().any(|t| name.strip_prefix(t.as_str()).is_some_and(|rest| rest.starts_with('.')))
    };
    let unexpected: Vec<&str> =
        file.tensors().map(|t| t.name).filter(|n| below(n) && !taken.iter().any(|t| t == n) && !is_other(n)).collect();
    let missing: Vec<String> = missing
        .iter()
        .map(|(w, name)| {
            let near = suggest::nearest(name, unexpected.iter().copied());
            let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`, which the file has?"));
            format!("`{}` ({}), looked for as `{name}`{near}", w.path, spell(w.dtype, w.shape))
        })
        .collect();
    let fails = !missing.is_empty() || !different.is_empty();
    let unexpected: Vec<String> = unexpected.iter().map(|n| format!("`{n}`")).collect();
    if !fails && absent.is_empty() && renamed.is_empty() && unexpected.is_empty() {
        return Ok(Fitted { names, note: None });
    }
    let what = match fails {
        true => format!("{} does not fit `{base}`", short(&file.name)),
        false => format!("{} does not fit `{base}` in every name", short(&file.name)),
    };
    let mut d = Diagnostic::error(codes::CHECKPOINT, place, what).label("loaded here");
    let lists = [
        ("not in the file", missing),
        ("of another shape or type", different),
        ("states that are not in the file, and start as they are declared", absent),
        ("found under another name", renamed),
        ("only in the file, and left there", unexpected),
    ];
    for (what, list) in lists.into_iter().filter(|(_, l)| !l.is_empty()) {
        let more = list.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("\n  … and {more} more") } else { String::new() };
        let shown = list.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        d = d.note(format!("{what}:\n  {shown}{more}"));
    }
    if fails {
        let help = "rename the members as in the file, or leave these out: `load net except net.head from …`";
        return Err(Box::new(d.help(help)));
    }
    let note = Diagnostic { severity: Severity::Warning, ..d };
    Ok(Fitted { names, note: Some(Box::new(note.help("nothing need be done if this is as it should be"))) })
}

fn spell(dtype: DType, shape: &[usize]) -> String {
    format!("{dtype}{shape:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_replaces_leading_names() {
        let name = |less, prefix: &str, path| Beginning { less, prefix: prefix.into() }.name(path);
        assert_eq!(name(1, "", "net.fc.weight"), "fc.weight");
        assert_eq!(name(0, "module", "net.fc.weight"), "module.net.fc.weight");
        assert_eq!(name(2, "", "net.fc.weight"), "weight");
        assert_eq!(name(2, "head", "net.fc"), "head");
        assert_eq!(name(1, "", "net"), "");
    }

    #[test]
    fn a_common_prefix_is_of_whole_names() {
        assert_eq!(common_prefix(&["module.a.w", "module.a.b", "module.ab.w"]), "module");
        assert_eq!(common_prefix(&["bert.x.w", "bertha.y"]), "");
        assert_eq!(common_prefix(&["w"]), "");
        assert_eq!(common_prefix(&[]), "");
    }
}
