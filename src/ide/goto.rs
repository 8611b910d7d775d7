//! What a name leads to: its declaration here, in another file or in the standard library; and every mention of it.

use super::facts::item_name;
use super::library::{self, Library, LibraryItem};
use super::names::{Kind, Mention, Target};
use super::{Analysis, MAIN};
use crate::check::{LIBRARY_FILES, Seen};
use crate::source::{FileId, Span};
use crate::syntax::ast::{Ident, Item, ItemKind, LayerDecl, Param};
use crate::syntax::parse;
use std::borrow::Cow;
use std::ops::Range;

/// A place in some text.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In the file at hand.
    Here(Range<usize>),
    /// In a module of the standard library: `layers`.
    Std(&'static str, Range<usize>),
    /// In another file of the program, by its path.
    File(String, Range<usize>),
}

/// Which text a declaration stands in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    Here,
    Std(&'static str),
    File(String),
}

impl Origin {
    pub fn place(&self, span: Span) -> Place {
        match self {
            Origin::Here => Place::Here(span.range()),
            Origin::Std(module) => Place::Std(module, span.range()),
            Origin::File(path) => Place::File(path.clone(), span.range()),
        }
    }
}

/// An item that something leads to; that of the file at hand and of the library is not copied.
#[derive(Clone, Debug)]
pub(super) struct Declared<'a> {
    pub item: Cow<'a, Item>,
    pub origin: Origin,
    /// What is called is a layer that has been made: its arguments are those of `forward`.
    pub made: bool,
}

impl Declared<'_> {
    /// The parameters of a call.
    pub fn params(&self) -> &[Param] {
        match &self.item.kind {
            ItemKind::Fn(d) => &d.params,
            ItemKind::Layer(d) if self.made => d.forward.as_ref().map_or(&[][..], |f| &f.params),
            ItemKind::Layer(d) => &d.params,
            ItemKind::Optimizer(d) => &d.params,
            ItemKind::Task(d) => &d.params,
            _ => &[],
        }
    }

    pub fn name(&self) -> &str {
        item_name(&self.item.kind).map_or("", |(n, _)| n)
    }

    pub fn layer(&self) -> Option<&LayerDecl> {
        match &self.item.kind {
            ItemKind::Layer(d) => Some(d),
            _ => None,
        }
    }

    /// The text of a span of it.
    pub fn text<'t>(&'t self, a: &'t Analysis, span: Span) -> &'t str {
        let text = match &self.origin {
            Origin::Here => a.text(),
            Origin::Std(module) => Library::module(module).unwrap_or(""),
            Origin::File(path) => text_of(a, path).unwrap_or(""),
        };
        text.get(span.range()).unwrap_or("")
    }

    /// A member or hyper-parameter of a layer.
    pub fn member(&self, name: &str) -> Option<Ident> {
        let layer = self.layer()?;
        let members = layer.members.iter().map(|m| &m.name).chain(layer.params.iter().map(|p| &p.name));
        members.into_iter().find(|n| n.name == name).cloned()
    }
}

/// The text of another file of the program.
pub(super) fn text_of<'a>(a: &'a Analysis, path: &str) -> Option<&'a str> {
    let sources = &a.facts.sources;
    let id = sources.ids().find(|id| sources.file(*id).name == path)?;
    Some(&sources.file(id).text)
}

impl LibraryItem {
    /// It as something that a name leads to.
    pub(super) fn declared(&self) -> Declared<'_> {
        Declared { item: Cow::Borrowed(&self.item), origin: Origin::Std(self.module), made: false }
    }
}

/// The item whose name stands at a place of the facts.
pub(super) fn declared_at(a: &Analysis, name: Span) -> Option<Declared<'_>> {
    fn is_at(item: &Item, at: &Range<usize>) -> bool {
        item_name(&item.kind).is_some_and(|(_, s)| s.range() == *at)
    }
    if name.file == MAIN {
        let at = a.now(name)?;
        let item = Cow::Borrowed(a.syntax.tree.items.iter().find(|i| is_at(i, &at))?);
        return Some(Declared { item, origin: Origin::Here, made: false });
    }
    if name.file.0 as usize >= a.facts.sources.ids().count() {
        return None;
    }
    let file = a.facts.sources.file(name.file);
    if file.builtin {
        let module = file.name.strip_prefix("std/")?.strip_suffix(".nn")?;
        let word = file.text.get(name.range())?;
        return library_item(word).filter(|d| d.origin == Origin::Std(static_module(module)));
    }
    let (tree, _) = parse(&file.text, name.file);
    let item = Cow::Owned(tree.items.into_iter().find(|i| is_at(i, &name.range()))?);
    Some(Declared { item, origin: Origin::File(file.name.clone()), made: false })
}

fn static_module(name: &str) -> &'static str {
    LIBRARY_FILES.iter().find(|(n, _)| *n == name).map_or("", |(n, _)| n)
}

fn library_item(name: &str) -> Option<Declared<'static>> {
    let found = library::get().item(name)?;
    Some(found.declared())
}

/// An item of another file that a `use` names.
fn used_item<'a>(a: &Analysis, modules: &[String], name: &str) -> Option<Declared<'a>> {
    let ending = format!("{}.nn", modules.join("/"));
    let sources = &a.facts.sources;
    let ends = |n: &str| n.strip_suffix(&ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    let id: FileId = sources.ids().find(|id| *id != MAIN && ends(&sources.file(*id).name.replace('\\', "/")))?;
    let (tree, _) = parse(&sources.file(id).text, id);
    let item = tree.items.into_iter().find(|i| item_name(&i.kind).is_some_and(|(n, _)| n == name))?;
    let item = Cow::Owned(item);
    Some(Declared { item, origin: Origin::File(sources.file(id).name.clone()), made: false })
}

/// The item that a value leads to.
pub(super) fn declared_of<'a>(a: &'a Analysis, seen: &Seen) -> Option<Declared<'a>> {
    match seen {
        Seen::Layer { decl: Some(decl), .. } => Some(Declared { made: true, ..declared_at(a, *decl)? }),
        Seen::Recipe { decl, .. } | Seen::Optimizer { decl, .. } => declared_at(a, *decl),
        Seen::Function { decl: Some(decl), .. } => declared_at(a, *decl),
        _ => None,
    }
}

/// What a mention stands for.
pub(super) enum Meaning<'a> {
    /// Something declared in this file, by number.
    Symbol(usize),
    Item(Declared<'a>),
    /// A member, hyper-parameter or parameter of an item.
    Part(Declared<'a>, Ident),
    Builtin(String),
    /// A parameter of an operation.
    BuiltinArgument(String, String),
    /// A link of a chain: what it is.
    Link(Seen),
}

/// Works out what a mention stands for.
pub(super) fn meaning<'a>(a: &'a Analysis, mention: &Mention) -> Option<Meaning<'a>> {
    match &mention.target {
        Target::Symbol(number) => Some(Meaning::Symbol(*number)),
        Target::Library(name) => library_item(name).map(Meaning::Item),
        Target::Builtin(name) => Some(Meaning::Builtin(name.clone())),
        Target::Used(modules, name) => used_item(a, modules, name).map(Meaning::Item),
        Target::Field { base, name } => field(a, *base, name),
        Target::Argument { callee, name } => {
            if let Some(declared) = callee_at(a, *callee) {
                let ident = declared.params().iter().find(|p| p.name.name == *name)?.name.clone();
                return Some(own_or_part(a, declared, ident));
            }
            let callee = a.names().at(callee.start as usize)?;
            match &callee.target {
                Target::Builtin(of) => Some(Meaning::BuiltinArgument(of.clone(), name.clone())),
                _ => None,
            }
        }
    }
}

fn own_or_part<'a>(a: &Analysis, declared: Declared<'a>, ident: Ident) -> Meaning<'a> {
    if declared.origin == Origin::Here
        && let Some(number) = a.names().symbols.iter().position(|s| s.span == ident.span)
    {
        return Meaning::Symbol(number);
    }
    Meaning::Part(declared, ident)
}

fn field<'a>(a: &'a Analysis, base: Span, name: &str) -> Option<Meaning<'a>> {
    // A base may be the binding itself: `net` of `net.fc`.
    let direct = a.seen(base).iter().find_map(|s| part(a, &s.seen, name));
    if direct.is_some() {
        return direct;
    }
    let mention = a.names().mention(base.range())?;
    if let Target::Symbol(number) = mention.target {
        let at = a.names().symbols[number].span;
        let found = a.seen(at).iter().find_map(|s| part(a, &s.seen, name));
        if found.is_some() {
            return found;
        }
    }
    // What stands behind another field: `net.body.fc`.
    match meaning(a, mention)? {
        Meaning::Symbol(number) => {
            let at = a.names().symbols[number].span;
            a.seen(at).iter().find_map(|s| part(a, &s.seen, name))
        }
        Meaning::Link(seen) => part(a, &seen, name),
        _ => None,
    }
}

fn part<'a>(a: &'a Analysis, seen: &Seen, name: &str) -> Option<Meaning<'a>> {
    if let Seen::Layer { links, decl: None, .. } = seen {
        let (_, link) = links.iter().find(|(n, _)| n == name)?;
        return Some(Meaning::Link(link.clone()));
    }
    let declared = declared_of(a, seen)?;
    let ident = declared.member(name)?;
    Some(own_or_part(a, declared, ident))
}

/// What is called at a place.
pub(super) fn callee_at(a: &Analysis, callee: Span) -> Option<Declared<'_>> {
    let mention = a.names().mention(callee.range());
    if let Some(mention) = mention {
        match meaning(a, mention)? {
            Meaning::Item(declared) => return Some(declared),
            Meaning::Symbol(number) => {
                let symbol = &a.names().symbols[number];
                if symbol.kind.is_item() {
                    let here = |i: &&Item| item_name(&i.kind).is_some_and(|(_, s)| s == symbol.span);
                    let item = Cow::Borrowed(a.syntax.tree.items.iter().find(here)?);
                    return Some(Declared { item, origin: Origin::Here, made: false });
                }
                if let Some(found) = a.seen(symbol.span).iter().find_map(|s| declared_of(a, &s.seen)) {
                    return Some(found);
                }
                return member_recipe(a, symbol.full);
            }
            Meaning::Link(seen) => return declared_of(a, &seen),
            Meaning::Builtin(_) | Meaning::BuiltinArgument(..) => return None,
            Meaning::Part(..) => {}
        }
    }
    a.seen(callee).iter().find_map(|s| declared_of(a, &s.seen))
}

/// `fc = Linear(10)` that was not checked: the layer that its text names.
fn member_recipe(a: &Analysis, full: Span) -> Option<Declared<'_>> {
    let (_, value) = a.of(full).split_once('=')?;
    let name = value.trim_start();
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    let name = &name[..end];
    let here = |i: &&Item| item_name(&i.kind).is_some_and(|(n, _)| n == name);
    let own = a.syntax.tree.items.iter().find(here);
    let own = own.map(|i| Declared { item: Cow::Borrowed(i), origin: Origin::Here, made: true });
    let found = own.or_else(|| library_item(name).map(|d| Declared { made: true, ..d }))?;
    found.layer().is_some().then_some(found)
}

/// Where the name at an offset is declared.
pub fn definition(a: &Analysis, offset: usize) -> Option<Place> {
    let mention = a.names().at(offset)?;
    Some(match meaning(a, mention)? {
        Meaning::Symbol(number) => {
            // Of a local that is bound several times: the binding before.
            let symbol = &a.names().symbols[number];
            let mut same = a.names().mentions.iter().filter(|m| m.binds && m.target == Target::Symbol(number));
            let before = same.rfind(|m| m.span.end <= mention.span.start);
            match before.filter(|_| symbol.kind == Kind::Local || symbol.kind == Kind::Parameter) {
                Some(binding) => Place::Here(binding.span.range()),
                None => Place::Here(symbol.span.range()),
            }
        }
        Meaning::Item(declared) => declared.origin.place(item_name(&declared.item.kind)?.1),
        Meaning::Part(declared, ident) => declared.origin.place(ident.span),
        Meaning::Link(seen) => {
            let declared = declared_of(a, &seen)?;
            declared.origin.place(item_name(&declared.item.kind)?.1)
        }
        Meaning::Builtin(_) | Meaning::BuiltinArgument(..) => return None,
    })
}

/// What tells one meaning from others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Identity {
    Symbol(usize),
    Place(Place),
    Word(String),
}

pub(super) fn identity(a: &Analysis, mention: &Mention) -> Option<Identity> {
    Some(match meaning(a, mention)? {
        Meaning::Symbol(number) => Identity::Symbol(twin(a, number)),
        Meaning::Item(declared) => Identity::Place(declared.origin.place(item_name(&declared.item.kind)?.1)),
        Meaning::Part(declared, ident) => Identity::Place(declared.origin.place(ident.span)),
        Meaning::Builtin(name) => Identity::Word(name),
        Meaning::BuiltinArgument(of, name) => Identity::Word(format!("{of} {name}")),
        Meaning::Link(_) => return None,
    })
}

/// `bias: bool` of a layer with `param bias` is the same name: both are the first of the two.
fn twin(a: &Analysis, number: usize) -> usize {
    let symbol = &a.names().symbols[number];
    if !matches!(symbol.kind, Kind::Weight | Kind::State) {
        return number;
    }
    let same = |s: &super::Symbol| {
        s.kind == Kind::Hyper && s.name == symbol.name && s.container == symbol.container && s.container.is_some()
    };
    a.names().symbols.iter().position(same).unwrap_or(number)
}

/// Every mention in this file of what stands at an offset, and whether it is bound there.
pub fn highlights(a: &Analysis, offset: usize) -> Vec<(Range<usize>, bool)> {
    let Some(wanted) = a.names().at(offset).and_then(|m| identity(a, m)) else { return Vec::new() };
    mentions_of(a, &wanted)
}

pub(super) fn mentions_of(a: &Analysis, wanted: &Identity) -> Vec<(Range<usize>, bool)> {
    let name = match wanted {
        Identity::Symbol(number) => a.names().symbols[*number].name.trim_start_matches('.').to_string(),
        Identity::Place(place) => match place {
            Place::Here(range) => a.text().get(range.clone()).unwrap_or("").to_string(),
            Place::Std(module, range) => {
                Library::module(module).and_then(|t| t.get(range.clone())).unwrap_or("").to_string()
            }
            Place::File(path, range) => text_of(a, path).and_then(|t| t.get(range.clone())).unwrap_or("").to_string(),
        },
        Identity::Word(word) => word.rsplit(' ').next().unwrap_or("").to_string(),
    };
    // Of another name nothing can be meant.
    let all = a.names().mentions.iter().filter(|m| a.of(m.span) == name);
    let mut found: Vec<_> =
        all.filter(|m| identity(a, m).as_ref() == Some(wanted)).map(|m| (m.span.range(), m.binds)).collect();
    found.dedup();
    found
}

/// The mentions of what stands at an offset; with its declaration, also in other texts, if that is asked for.
pub fn references(a: &Analysis, offset: usize, declaration: bool) -> Vec<Place> {
    let Some(wanted) = a.names().at(offset).and_then(|m| identity(a, m)) else { return Vec::new() };
    let own = match &wanted {
        Identity::Symbol(number) => Some(Place::Here(a.names().symbols[*number].span.range())),
        Identity::Place(place) => Some(place.clone()),
        Identity::Word(_) => None,
    };
    let mut out: Vec<Place> = mentions_of(a, &wanted).into_iter().map(|(r, _)| Place::Here(r)).collect();
    match own {
        Some(place) if declaration && !out.contains(&place) => out.insert(0, place),
        Some(place) if !declaration => out.retain(|p| *p != place),
        _ => {}
    }
    out
}
