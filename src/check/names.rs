//! Names of files: what each file declares and what its `use` lines bring into it. In go the trees of a program's files, out
//! comes a table for each: from the names that stand in it to the items that they mean.
//!
//! Names of the standard library are looked up where a file has none of its own; the library's own files see nothing else.

use super::context::{Checker, Def};
use crate::diag::{Diagnostic, codes, suggest};
use crate::source::{FileId, Span};
use crate::syntax::ast::{self, File, Item, ItemKind, TaskDecl, UsePath};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The other files of a program, as whoever read them found them.
#[derive(Default)]
pub struct Uses {
    /// The file that is checked.
    pub main: Option<FileId>,
    /// The others, each after those that it uses.
    pub files: Vec<(FileId, File)>,
    /// What the paths of a file's `use` lines lead to (`nets.vision`); none if that was reported.
    pub places: BTreeMap<(FileId, String), Option<FileId>>,
}

/// Which name means what, file by file.
#[derive(Default)]
pub struct Names {
    main: Option<FileId>,
    /// From a name to the item's key; none if it is something that a fault hides.
    files: BTreeMap<FileId, BTreeMap<String, Option<String>>>,
}

impl Names {
    /// What tells an item from others of its name in other files.
    pub fn key(&self, file: FileId, name: &str) -> String {
        match Some(file) == self.main || self.main.is_none() {
            true => name.to_string(),
            false => format!("{}:{name}", file.0),
        }
    }
}

/// Items in the order of their files.
#[derive(Default)]
pub struct Declared {
    /// Key and name of each, without tasks.
    pub items: Vec<(String, String)>,
    /// Tasks of the main file.
    pub tasks: Vec<(String, Rc<TaskDecl>)>,
}

impl Checker<'_> {
    /// Fills the tables.
    pub fn declare_files(&mut self, file: File, uses: Uses) -> Declared {
        let main = uses.main.or_else(|| file.items.first().map(|i| i.span.file));
        self.names.main = main;
        let mut declared = Declared::default();
        let mut paths = Vec::new();
        for (id, file) in uses.files {
            self.names.files.insert(id, BTreeMap::new());
            for item in file.items {
                self.declare(item, id, &mut declared, &mut paths);
            }
        }
        if let Some(main) = main {
            self.names.files.insert(main, BTreeMap::new());
            for item in file.items {
                self.declare(item, main, &mut declared, &mut paths);
            }
        }
        for (id, path) in paths {
            self.use_path(id, &path, &uses.places);
        }
        declared
    }

    fn declare(&mut self, item: Item, file: FileId, out: &mut Declared, paths: &mut Vec<(FileId, UsePath)>) {
        let mut task = None;
        let (name, span, def) = match item.kind {
            ItemKind::Use(list) => return paths.extend(list.into_iter().map(|p| (file, p))),
            ItemKind::Error => return,
            ItemKind::Const { name, value } => (name.name, name.span, Def::Const(Rc::new(value))),
            ItemKind::Fn(decl) => (decl.name.name.clone(), decl.name.span, Def::Fn(Rc::new(decl))),
            ItemKind::Layer(decl) => {
                self.capital(&decl.name.name, decl.name.span);
                (decl.name.name.clone(), decl.name.span, Def::Layer(Rc::new(decl)))
            }
            ItemKind::Optimizer(decl) => (decl.name.name.clone(), decl.name.span, Def::Optimizer(Rc::new(decl))),
            ItemKind::Data(decl) => (decl.name.name.clone(), decl.name.span, Def::Data(Rc::new(decl))),
            ItemKind::Task(decl) => {
                let name = decl.name.as_ref().map_or(decl.kind.word().to_string(), |n| n.name.clone());
                let span = decl.name.as_ref().map_or(decl.word, |n| n.span);
                task = Some(Rc::new(decl));
                (name, span, Def::Task)
            }
        };
        let key = self.names.key(file, &name);
        // A task is checked even if its name is taken.
        if let Some(decl) = task.filter(|_| Some(file) == self.names.main) {
            out.tasks.push((name.clone(), decl));
        }
        if let Some((other, before)) = self.defs.get(&key) {
            let kind = other.kind();
            let before = *before;
            self.report(
                Diagnostic::error(codes::DUPLICATE_NAME, span, format!("`{name}` is declared twice"))
                    .label("declared again here")
                    .also(before, format!("{kind} of this name"))
                    .help("give one of them another name"),
            );
            return;
        }
        if !matches!(def, Def::Task) {
            out.items.push((key.clone(), name.clone()));
        }
        self.names.files.entry(file).or_default().insert(name, Some(key.clone()));
        self.defs.insert(key, (def, span));
    }

    fn capital(&mut self, name: &str, span: Span) {
        if name.starts_with(|c: char| c.is_lowercase()) {
            let mut letters = name.chars();
            let better: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
            self.report(
                Diagnostic::warning(codes::CAPITAL, span, format!("the layer `{name}` begins with a small letter"))
                    .help(format!("call it `{better}`")),
            );
        }
    }

    fn use_path(&mut self, file: FileId, path: &UsePath, places: &BTreeMap<(FileId, String), Option<FileId>>) {
        let Some((last, modules)) = path.parts.split_last() else { return };
        if path.parts[0].name == "std" {
            return self.use_library(last);
        }
        if modules.is_empty() {
            let d = Diagnostic::error(codes::MISSING_PART, path.span, format!("`use {}` names no item", last.name));
            let d = d.label("a file and one of its names are needed here");
            return self.report(d.help(format!("write `use {}.Name` or `use {}.{{A, B}}`", last.name, last.name)));
        }
        let module = modules.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".");
        let found = match places.get(&(file, module.clone())) {
            Some(found) => *found,
            None => {
                let d = Diagnostic::error(codes::UNKNOWN_NAME, path.span, format!("there is no file for `{module}`"));
                self.report(d.label("this text stands in no folder").help("write it into a file beside others"));
                None
            }
        };
        let key = match found {
            None => None,
            Some(other) => match self.defs.get(&self.names.key(other, &last.name)) {
                Some((Def::Task, _)) => {
                    let what = format!("`{module}.{}` is a task, which no other file can use", last.name);
                    let d = Diagnostic::error(codes::WRONG_KIND, last.span, what).label("tasks stay in their file");
                    self.report(d.help("use the model that it trains, and `load` its weights"));
                    None
                }
                Some(_) => Some(self.names.key(other, &last.name)),
                None => {
                    self.no_item(other, &module, last);
                    None
                }
            },
        };
        let table = self.names.files.entry(file).or_default();
        let Some(before) = table.insert(last.name.clone(), key.clone()) else { return };
        let span = before.as_ref().and_then(|b| self.defs.get(b)).map(|(_, span)| *span);
        if before != key && key.is_some() {
            let fault = format!("`{}` is declared twice", last.name);
            let mut d = Diagnostic::error(codes::DUPLICATE_NAME, last.span, fault).label("declared again here");
            if let Some(span) = span {
                d = d.also(span, "declared here");
            }
            self.report(d.help("give one of them another name"));
        }
        if before.is_some()
            && let Some(table) = self.names.files.get_mut(&file)
        {
            table.insert(last.name.clone(), before);
        }
    }

    fn no_item(&mut self, file: FileId, module: &str, name: &ast::Ident) {
        let has: Vec<&str> =
            self.names.files.get(&file).into_iter().flat_map(|t| t.keys().map(String::as_str)).collect();
        let meant = suggest::nearest(&name.name, has.iter().copied()).map(str::to_string);
        let d = Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("`{module}` has no `{}`", name.name))
            .label("not a name of that file");
        let d = match (meant, has.is_empty()) {
            (Some(meant), _) => d.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(name.span, meant)],
                false,
            ),
            (None, true) => d.help("that file declares nothing"),
            (None, false) => d.help(format!("it has {}", has.join(", "))),
        };
        self.report(d);
    }

    /// `use std.layers.Linear`: the standard library needs no `use`, but allows it.
    fn use_library(&mut self, last: &ast::Ident) {
        if self.library.module_of(&last.name).is_some() {
            return;
        }
        let meant = suggest::nearest(&last.name, self.library.names()).map(str::to_string);
        let headline = format!("the standard library has no `{}`", last.name);
        let fault = Diagnostic::error(codes::UNKNOWN_NAME, last.span, headline);
        self.report(match meant {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")),
            None => fault.help("`nnc doc` lists its names"),
        });
    }

    /// The item that a name means in a file: its key, or none inside if a fault hides it. Nothing if the file has no such
    /// name.
    pub fn named(&self, name: &str, file: FileId) -> Option<Option<&str>> {
        // Texts of the command line stand in the main file.
        let table = match self.names.files.get(&file) {
            Some(table) => table,
            None if self.sources.file(file).builtin => return None,
            None => self.names.files.get(&self.names.main?)?,
        };
        table.get(name).map(|key| key.as_deref())
    }

    /// The file's own item, or one that it uses.
    pub fn own_def(&self, name: &str, file: FileId) -> Option<&(Def, Span)> {
        self.defs.get(self.named(name, file)??)
    }

    /// The item of this name: of the file, else of the standard library; with what tells it from others of its name.
    pub fn def(&mut self, name: &str, file: FileId) -> Option<(String, Def)> {
        if let Some(key) = self.named(name, file) {
            let Some(key) = key else { return Some((name.to_string(), Def::Unknown)) };
            return self.defs.get(key).map(|(def, _)| (key.to_string(), def.clone()));
        }
        let key = format!("std:{name}");
        if let Some(def) = self.library_defs.get(name) {
            return def.clone().map(|d| (key, d));
        }
        let def = self.library.item(name, self.sources).and_then(|item| match item.kind {
            ItemKind::Const { value, .. } => Some(Def::Const(Rc::new(value))),
            ItemKind::Fn(d) => Some(Def::Fn(Rc::new(d))),
            ItemKind::Layer(d) => Some(Def::Layer(Rc::new(d))),
            ItemKind::Optimizer(d) => Some(Def::Optimizer(Rc::new(d))),
            _ => None,
        });
        self.library_defs.insert(name.into(), def.clone());
        def.map(|d| (key, d))
    }

    /// Names that a file's own text may use, besides the standard library's.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        let main = self.names.main.and_then(|m| self.names.files.get(&m));
        main.into_iter().flat_map(|t| t.keys().map(String::as_str))
    }
}
