//! Other files of a program: in goes a parsed file, out come the files that its `use` lines name, and those that they name,
//! each parsed once. `use nets.vision.Eye` names `Eye` of `nets/vision.nn` beside the file that says so.

use crate::check::Uses;
use crate::diag::{Diagnostic, codes, suggest};
use crate::source::{FileId, Sources};
use crate::syntax::ast::{File, ItemKind, UsePath};
use crate::syntax::parse;
use std::path::{Path, PathBuf};

/// More files than this are no program that a person wrote.
const MOST_FILES: usize = 500;

/// Where files come from: the disk, or an editor that holds some of them.
pub trait Files {
    /// The text of a file.
    fn read(&self, path: &Path) -> std::io::Result<String>;

    /// The same path for the same file, however it is reached.
    fn real(&self, path: PathBuf) -> PathBuf {
        path
    }

    /// The `.nn` files of a folder, without that ending, sorted.
    fn names(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }
}

/// The disk.
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn real(&self, path: PathBuf) -> PathBuf {
        path.canonicalize().unwrap_or(path)
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "nn"))
            .filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }
}

struct Loader<'s> {
    files: &'s dyn Files,
    sources: &'s mut Sources,
    found: Vec<Diagnostic>,
    /// What parsing the files said.
    syntax: Vec<Diagnostic>,
    uses: Uses,
    /// Files that were read, by their place on the disk.
    read: Vec<(PathBuf, FileId)>,
    /// Those around the one at hand, outermost first.
    around: Vec<FileId>,
}

/// Reads what a file uses. `folder` is where the file stands.
///
/// Gives the other files, each after those that it uses; faults of their syntax are added to `syntax`, and files that are
/// absent or use each other to `found`.
pub fn load(
    files: &dyn Files,
    file: FileId,
    tree: &File,
    folder: &Path,
    sources: &mut Sources,
    syntax: &mut Vec<Diagnostic>,
    found: &mut Vec<Diagnostic>,
) -> Uses {
    let own = sources.file(file).name.clone();
    let path = folder.join(Path::new(&own).file_name().unwrap_or_default());
    let shown = Path::new(&own).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut loader = Loader {
        files,
        sources,
        found: Vec::new(),
        syntax: Vec::new(),
        uses: Uses { main: Some(file), ..Uses::default() },
        read: vec![(files.real(path), file)],
        around: vec![file],
    };
    loader.file(file, tree, folder, &shown);
    syntax.extend(loader.syntax);
    found.extend(loader.found);
    loader.uses
}

impl Loader<'_> {
    fn file(&mut self, file: FileId, tree: &File, folder: &Path, shown: &Path) {
        for item in &tree.items {
            let ItemKind::Use(paths) = &item.kind else { continue };
            for path in paths.iter().filter(|p| p.parts.first().is_none_or(|n| n.name != "std")) {
                self.path(file, path, folder, shown);
            }
        }
    }

    fn path(&mut self, file: FileId, path: &UsePath, folder: &Path, shown: &Path) {
        // One name is no name of a file: the checker says so.
        let Some((_, modules)) = path.parts.split_last().filter(|(_, m)| !m.is_empty()) else { return };
        let key = modules.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".");
        if self.uses.places.contains_key(&(file, key.clone())) {
            return;
        }
        let relative = modules.iter().map(|p| p.name.as_str()).collect::<PathBuf>().with_extension("nn");
        let place = folder.join(&relative);
        let known = self.files.real(place.clone());
        let span = modules[0].span.to(modules[modules.len() - 1].span);
        if let Some(id) = self.read.iter().find(|(p, _)| *p == known).map(|(_, id)| *id) {
            if !self.around.contains(&id) {
                self.uses.places.insert((file, key), Some(id));
                return;
            }
            let (this, other) = (self.short(file), self.short(id));
            let headline = match id == file {
                true => format!("`{this}` uses itself"),
                false => format!("`{this}` and `{other}` use each other"),
            };
            let mut d = Diagnostic::error(codes::RECURSION, span, headline).label(format!("`{other}` is being read"));
            d = match id == file {
                true => d.help("its own names are in scope without it"),
                false => d.help("move what both need into a third file"),
            };
            self.found.push(d);
            self.uses.places.insert((file, key), None);
            return;
        }
        let text = match self.files.read(&place) {
            Ok(text) if self.read.len() < MOST_FILES => text,
            Ok(_) => {
                let d = Diagnostic::error(codes::NESTING, span, "the program has too many files");
                self.found.push(d.help("put several of them into one"));
                self.uses.places.insert((file, key), None);
                return;
            }
            Err(fault) => {
                let d = self.absent(path, &relative, &place, &fault);
                self.found.push(d);
                self.uses.places.insert((file, key), None);
                return;
            }
        };
        let name = shown.join(&relative);
        let id = self.sources.add(name.display().to_string(), text);
        self.read.push((known, id));
        self.uses.places.insert((file, key), Some(id));
        let text = self.sources.file(id).text.clone();
        let (tree, found) = parse(&text, id);
        self.syntax.extend(found);
        self.around.push(id);
        let (folder, shown) = (place.parent().unwrap_or(folder).to_path_buf(), name.parent().unwrap_or(shown));
        self.file(id, &tree, &folder, shown);
        self.around.pop();
        self.uses.files.push((id, tree));
    }

    fn short(&self, file: FileId) -> String {
        let name = &self.sources.file(file).name;
        Path::new(name).file_name().map_or_else(|| name.clone(), |n| n.to_string_lossy().into_owned())
    }

    fn absent(&self, path: &UsePath, relative: &Path, place: &Path, fault: &std::io::Error) -> Diagnostic {
        let first = &path.parts[0];
        let span = first.span.to(path.parts[path.parts.len() - 2].span);
        let file = relative.display();
        if fault.kind() != std::io::ErrorKind::NotFound {
            let d = Diagnostic::error(codes::FILE, span, format!("cannot read `{file}`")).note(fault.to_string());
            return d.help("check its rights, and that it is a text in UTF-8");
        }
        let d = Diagnostic::error(codes::UNKNOWN_NAME, span, format!("there is no file `{file}` here"))
            .label("looked for beside this file");
        // `use layers.Linear`: the standard library's.
        let module = relative.with_extension("").display().to_string();
        if crate::check::LIBRARY_FILES.iter().any(|(name, _)| *name == module) {
            let whole = path.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".");
            return d.help(format!("for the standard library's write `use std.{whole}`")).fix(
                "begin with `std.`",
                vec![(first.span.head(), "std.".into())],
                false,
            );
        }
        let names = place.parent().map_or(Vec::new(), |folder| self.files.names(folder));
        let last = &path.parts[path.parts.len() - 2];
        match suggest::nearest(&last.name, names.iter().map(String::as_str)) {
            Some(meant) => d.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(last.span, meant.to_string())],
                false,
            ),
            None => d.help("`use nets.vision.Eye` is `Eye` of `nets/vision.nn`"),
        }
    }
}
