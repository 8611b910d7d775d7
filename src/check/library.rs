//! The standard library: `.nn` files inside the binary, of which only the items that a program names are parsed.

use crate::source::{FileId, Sources};
use crate::syntax::ast::{Item, ItemKind};
use crate::syntax::parse_at;
use std::collections::BTreeMap;

/// Every file of `models/std`, by name.
pub const FILES: &[(&str, &str)] = &[
    ("activations", include_str!("../../models/std/activations.nn")),
    ("attention", include_str!("../../models/std/attention.nn")),
    ("audio", include_str!("../../models/std/audio.nn")),
    ("augment", include_str!("../../models/std/augment.nn")),
    ("convolution", include_str!("../../models/std/convolution.nn")),
    ("elementwise", include_str!("../../models/std/elementwise.nn")),
    ("images", include_str!("../../models/std/images.nn")),
    ("initializers", include_str!("../../models/std/initializers.nn")),
    ("layers", include_str!("../../models/std/layers.nn")),
    ("losses", include_str!("../../models/std/losses.nn")),
    ("math", include_str!("../../models/std/math.nn")),
    ("metrics", include_str!("../../models/std/metrics.nn")),
    ("normalization", include_str!("../../models/std/normalization.nn")),
    ("optimizers", include_str!("../../models/std/optimizers.nn")),
    ("pooling", include_str!("../../models/std/pooling.nn")),
    ("random", include_str!("../../models/std/random.nn")),
    ("recurrent", include_str!("../../models/std/recurrent.nn")),
    ("regression", include_str!("../../models/std/regression.nn")),
    ("regularizers", include_str!("../../models/std/regularizers.nn")),
    ("schedules", include_str!("../../models/std/schedules.nn")),
    ("sequences", include_str!("../../models/std/sequences.nn")),
    ("shapes", include_str!("../../models/std/shapes.nn")),
    ("transformer", include_str!("../../models/std/transformer.nn")),
    ("vision", include_str!("../../models/std/vision.nn")),
];

/// Where each item of the library stands: an item begins at column 0 with its word and ends before the next one's
/// documentation.
pub struct Library {
    places: BTreeMap<&'static str, (usize, usize, usize)>,
    files: Vec<Option<FileId>>,
}

impl Default for Library {
    fn default() -> Library {
        let mut places = BTreeMap::new();
        for (number, (_, text)) in FILES.iter().enumerate() {
            let mut open: Option<(&str, usize)> = None;
            let mut docs: Option<usize> = None;
            let mut offset = 0;
            for line in text.split_inclusive('\n') {
                if let Some(name) = item_name(line) {
                    let start = docs.unwrap_or(offset);
                    if let Some((name, from)) = open.replace((name, start)) {
                        places.insert(name, (number, from, start));
                    }
                }
                match line.starts_with("///") {
                    true => docs = docs.or(Some(offset)),
                    false => docs = None,
                }
                offset += line.len();
            }
            if let Some((name, from)) = open {
                places.insert(name, (number, from, text.len()));
            }
        }
        Library { places, files: vec![None; FILES.len()] }
    }
}

/// The name that a line declares, if an item starts on it.
fn item_name(line: &str) -> Option<&str> {
    let (word, rest) = line.split_once(' ')?;
    if !matches!(word, "fn" | "layer" | "model" | "optimizer" | "const") {
        return None;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}

impl Library {
    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        self.places.keys().copied()
    }

    /// `layers` for `Linear`.
    pub fn module_of(&self, name: &str) -> Option<&'static str> {
        self.places.get(name).map(|&(file, _, _)| FILES[file].0)
    }

    /// Parses the item of this name.
    pub fn item(&mut self, name: &str, sources: &mut Sources) -> Option<Item> {
        let &(number, from, to) = self.places.get(name)?;
        let (module, text) = FILES[number];
        let file = *self.files[number].get_or_insert_with(|| sources.add_builtin(format!("std/{module}.nn"), text));
        let (parsed, faults) = parse_at(&text[from..to], file, from);
        debug_assert!(faults.is_empty(), "std/{module}.nn, {name}: {faults:?}");
        parsed.items.into_iter().find(|i| !matches!(i.kind, ItemKind::Error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_library_parses() {
        let (mut library, mut sources) = (Library::default(), Sources::default());
        let names: Vec<_> = library.names().collect();
        assert!(names.contains(&"Linear") && names.contains(&"AdamW"));
        for name in names {
            assert!(library.item(name, &mut sources).is_some(), "{name}");
        }
    }
}
