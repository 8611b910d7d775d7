//! What checking reads beside the text at hand: other files, of which the editor's own state comes first, and data, each
//! file of which is looked at once.

use crate::check::{DataFacts, DataValue, Facts, TextValue, TokenizerValue, Value};
use crate::data_facts::OpenFacts;
use crate::diag::Diagnostic;
use crate::uses::{Disk, Files};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The texts of open files, by path.
pub type Open = Arc<BTreeMap<PathBuf, Arc<str>>>;

/// The disk, behind what is open.
pub struct Overlay {
    pub open: Open,
}

impl Files for Overlay {
    fn read(&self, path: &Path) -> io::Result<String> {
        let real = self.real(path.to_path_buf());
        match self.open.get(&real).or_else(|| self.open.get(path)) {
            Some(text) => Ok(text.to_string()),
            None => Disk.read(path),
        }
    }

    fn real(&self, path: PathBuf) -> PathBuf {
        Disk.real(path)
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        Disk.names(folder)
    }
}

/// Facts that last from one check to the next.
#[derive(Default)]
pub struct KnownData {
    facts: RefCell<BTreeMap<String, Facts>>,
    sizes: RefCell<BTreeMap<String, Option<usize>>>,
}

/// Data sources below a folder, looked at once for each state of their files.
pub struct CachedData<'k> {
    root: PathBuf,
    inner: OpenFacts,
    known: &'k KnownData,
}

/// Answers that are kept: an editor's session sees few sources.
const MOST_KEPT: usize = 200;

impl<'k> CachedData<'k> {
    pub fn new(root: PathBuf, known: &'k KnownData) -> CachedData<'k> {
        CachedData { inner: OpenFacts::new(root.clone()), root, known }
    }

    /// What tells one call of a source, and the state of its files, from others.
    fn key(&self, data: &DataValue) -> String {
        let mut key = format!("{} {}", self.root.display(), data.source);
        for given in &data.args {
            let name = given.name.as_deref().unwrap_or("");
            key += &format!(" {name}={}", shown(&given.value));
            self.stamp(&given.value, &mut key);
        }
        key
    }

    /// Size and time of a file that an argument names.
    fn stamp(&self, value: &Value, key: &mut String) {
        match value {
            Value::Str(path) => {
                if let Ok(meta) = std::fs::metadata(self.root.join(path)) {
                    *key += &format!("[{} {:?}]", meta.len(), meta.modified().ok());
                }
            }
            Value::List(items) | Value::Tuple(items) => items.iter().for_each(|v| self.stamp(v, key)),
            _ => {}
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.kind(),
    }
}

impl DataFacts for CachedData<'_> {
    fn is_source(&self, name: &str) -> bool {
        self.inner.is_source(name)
    }

    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn facts(&self, data: &DataValue) -> Result<Facts, Box<Diagnostic>> {
        let key = self.key(data);
        if let Some(facts) = self.known.facts.borrow().get(&key) {
            return Ok(facts.clone());
        }
        let facts = self.inner.facts(data)?;
        // A warning has a place in the text: it is asked for anew.
        if facts.warning.is_none() {
            let mut known = self.known.facts.borrow_mut();
            if known.len() >= MOST_KEPT {
                known.clear();
            }
            known.insert(key, facts.clone());
        }
        Ok(facts)
    }

    fn vocabulary(
        &self,
        data: &DataValue,
        text: &TextValue,
        tokenizer: &TokenizerValue,
    ) -> Result<Option<usize>, Box<Diagnostic>> {
        let key = format!("{} {text} {tokenizer}", self.key(data));
        if let Some(size) = self.known.sizes.borrow().get(&key) {
            return Ok(*size);
        }
        let size = self.inner.vocabulary(data, text, tokenizer)?;
        if size.is_some() {
            let mut known = self.known.sizes.borrow_mut();
            if known.len() >= MOST_KEPT {
                known.clear();
            }
            known.insert(key, size);
        }
        Ok(size)
    }
}
