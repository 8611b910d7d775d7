//! What a program can name without declaring it, read once a process: items of the standard library with their trees and
//! places, operations, functions of the checker, data sources, and words.

use crate::check::{LIBRARY_FILES, SPECIALS};
use crate::ops::{self, Surface};
use crate::reference::{self, Entry};
use crate::source::{FileId, Span};
use crate::syntax::ast::{Item, ItemKind, Param};
use crate::syntax::parse;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// An item of the standard library.
pub struct LibraryItem {
    /// `layers`
    pub module: &'static str,
    pub item: Item,
}

impl LibraryItem {
    /// The parameters of its call.
    pub fn params(&self) -> &[Param] {
        match &self.item.kind {
            ItemKind::Fn(d) => &d.params,
            ItemKind::Layer(d) => &d.params,
            ItemKind::Optimizer(d) => &d.params,
            _ => &[],
        }
    }

    /// Where its name stands in its file.
    pub fn name_span(&self) -> Option<Span> {
        Some(match &self.item.kind {
            ItemKind::Fn(d) => d.name.span,
            ItemKind::Layer(d) => d.name.span,
            ItemKind::Optimizer(d) => d.name.span,
            ItemKind::Const { name, .. } => name.span,
            _ => return None,
        })
    }
}

/// Everything that is there without a declaration.
pub struct Library {
    items: BTreeMap<String, LibraryItem>,
    entries: BTreeMap<String, Entry>,
    surfaces: BTreeMap<&'static str, &'static Surface>,
}

/// Words that have a value everywhere, with what they are.
pub const WORDS: &[(&str, &str)] = &[
    ("true", "The truth value, known while compiling; fits any `bool` tensor."),
    ("false", "The truth value, known while compiling; fits any `bool` tensor."),
    ("none", "Nothing: an argument that is left out, a parameter that does not exist, a size that is inferred."),
    ("clock", "The run's clock: what schedules are computed from."),
    ("training", "Whether the step trains. Known while compiling: false in evaluation, and inside what is frozen."),
    (
        "expect",
        "`y: f32[B, N] = expect(x)` takes sizes that cannot be decided while compiling to be the declared ones; a run looks.",
    ),
];

/// Names of dtypes.
pub const DTYPES: &[&str] = &["f32", "f16", "bf16", "f64", "i8", "u8", "i32", "i64", "bool"];

/// The library of this binary.
pub fn get() -> &'static Library {
    static ONCE: OnceLock<Library> = OnceLock::new();
    ONCE.get_or_init(Library::read)
}

impl Library {
    fn read() -> Library {
        let mut items = BTreeMap::new();
        for (number, (module, text)) in LIBRARY_FILES.iter().enumerate() {
            let (tree, _) = parse(text, FileId(number as u32));
            for item in tree.items {
                let made = LibraryItem { module, item };
                let name = match &made.item.kind {
                    ItemKind::Fn(d) => &d.name.name,
                    ItemKind::Layer(d) => &d.name.name,
                    ItemKind::Optimizer(d) => &d.name.name,
                    ItemKind::Const { name, .. } => &name.name,
                    _ => continue,
                };
                items.insert(name.clone(), made);
            }
        }
        let mut entries = BTreeMap::new();
        for entry in reference::entries() {
            entries.entry(entry.name.clone()).or_insert(entry);
        }
        let surfaces = ops::TABLE.iter().flat_map(|d| d.surfaces).map(|s| (s.name, s)).collect();
        Library { items, entries, surfaces }
    }

    /// An item by name.
    pub fn item(&self, name: &str) -> Option<&LibraryItem> {
        self.items.get(name)
    }

    pub fn items(&self) -> impl Iterator<Item = (&str, &LibraryItem)> {
        self.items.iter().map(|(n, i)| (n.as_str(), i))
    }

    /// An operation as programs call it.
    pub fn surface(&self, name: &str) -> Option<&'static Surface> {
        self.surfaces.get(name).copied()
    }

    /// Signature and documentation of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// What a name is that is no item: documentation of an operation, function, source or word.
    pub fn builtin(&self, name: &str) -> Option<&str> {
        if let Some((_, docs)) = WORDS.iter().find(|(w, _)| *w == name) {
            return Some(docs);
        }
        if DTYPES.contains(&name) {
            return Some("A dtype; `f32(x)` converts.");
        }
        if SPECIALS.iter().any(|s| s.name == name) || self.entries.contains_key(name) {
            return self.entries.get(name).map(|e| e.docs.as_str());
        }
        None
    }

    /// The text of a module.
    pub fn module(name: &str) -> Option<&'static str> {
        LIBRARY_FILES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }
}
