//! Texts of this binary as files: modules of the standard library and pages of codes, written read-only to a cache folder when
//! somebody wants to go there. Every client can open a file; not every one has documents of a server's own.

use crate::check::LIBRARY_FILES;
use crate::diag::codes;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The folder of this version's texts.
fn folder() -> PathBuf {
    let home = |name: &str, rest: &str| std::env::var_os(name).map(|h| PathBuf::from(h).join(rest));
    let base = home("XDG_CACHE_HOME", "").or_else(|| home("LOCALAPPDATA", "")).or_else(|| home("HOME", ".cache"));
    let base = base.filter(|p| p.is_absolute()).unwrap_or_else(std::env::temp_dir);
    base.join("nnc").join(env!("CARGO_PKG_VERSION"))
}

/// Whether a file is one of these.
pub fn is_ours(path: &Path) -> bool {
    path.starts_with(folder())
}

/// The file of a module of the standard library.
pub fn module(name: &str) -> Option<PathBuf> {
    let (_, text) = LIBRARY_FILES.iter().find(|(n, _)| *n == name)?;
    written(&folder().join("std").join(format!("{name}.nn")), text)
}

/// The page of a code.
pub fn code(id: &str) -> Option<PathBuf> {
    written(&folder().join("errors").join(format!("{id}.md")), codes::find(id)?.page)
}

/// The path, once the text stands there.
fn written(path: &Path, text: &str) -> Option<PathBuf> {
    // What this process looked at before is only looked for.
    static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().ok()?;
    if seen.contains(path) && path.exists() || fs::read_to_string(path).is_ok_and(|old| old == text) {
        seen.insert(path.to_path_buf());
        return Some(path.to_path_buf());
    }
    fs::create_dir_all(path.parent()?).ok()?;
    // Another server may write the same at the same time: each its own file, moved into place.
    let mine = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&mine, text).ok()?;
    if let Ok(meta) = fs::metadata(&mine) {
        let mut rights = meta.permissions();
        rights.set_readonly(true);
        let _ = fs::set_permissions(&mine, rights);
    }
    fs::rename(&mine, path).ok()?;
    Some(path.to_path_buf())
}
