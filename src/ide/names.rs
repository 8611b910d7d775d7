//! Which name means what: in goes a tree, out come the things that a file declares and every mention of them. Found from the
//! text alone, so that it also answers where nothing could be checked; what needs a value (`net.fc`) is left to
//! [`super::goto`].

use super::library;
use crate::check::{GENERATE_SETTINGS, SETTINGS};
use crate::source::Span;
use crate::syntax::ast::*;
use std::collections::BTreeMap;

/// What a declared name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Const,
    Function,
    Layer,
    Model,
    Optimizer,
    Data,
    Task,
    /// Of a function or `forward`.
    Parameter,
    /// Of a layer, optimizer or task.
    Hyper,
    /// A sub-layer or value of a layer.
    Member,
    /// `param`
    Weight,
    State,
    /// A size known by name.
    Dim,
    Local,
    /// Of the data, in a step.
    Field,
    /// A task's own binding, or a link of a chain.
    Binding,
    Setting,
}

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Const => "constant",
            Kind::Function => "function",
            Kind::Layer => "layer",
            Kind::Model => "model",
            Kind::Optimizer => "optimizer",
            Kind::Data => "data set",
            Kind::Task => "task",
            Kind::Parameter => "parameter",
            Kind::Hyper => "hyper-parameter",
            Kind::Member => "member",
            Kind::Weight => "learned parameter",
            Kind::State => "state",
            Kind::Dim => "size",
            Kind::Local => "local",
            Kind::Field => "field of the data",
            Kind::Binding => "binding",
            Kind::Setting => "setting",
        }
    }

    /// Whether it is declared at the top of a file.
    pub fn is_item(self) -> bool {
        use Kind::*;
        matches!(self, Const | Function | Layer | Model | Optimizer | Data | Task)
    }
}

/// Something with a name.
#[derive(Clone, Debug)]
pub struct Symbol {
    pub name: String,
    pub kind: Kind,
    /// Its name where it is first declared.
    pub span: Span,
    /// The whole declaration.
    pub full: Span,
    pub docs: String,
    /// The item that it is in, by number.
    pub container: Option<usize>,
}

/// What a mention means.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Something of this file, by number.
    Symbol(usize),
    /// Of the standard library.
    Library(String),
    /// An operation, a function of the checker, a data source, or a word of the language.
    Builtin(String),
    /// Of another file: the path of its `use`, and the name.
    Used(Vec<String>, String),
    /// `base.name`
    Field { base: Span, name: String },
    /// `callee(name: …)`; the place of the callee.
    Argument { callee: Span, name: String },
}

/// A name where it stands.
#[derive(Clone, Debug)]
pub struct Mention {
    pub span: Span,
    pub target: Target,
    /// It is bound here.
    pub binds: bool,
}

/// The names of one file.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub symbols: Vec<Symbol>,
    /// By place.
    pub mentions: Vec<Mention>,
    /// What is in scope from where to where: symbol, and the bytes in which it can be used.
    pub reach: Vec<(usize, std::ops::Range<usize>)>,
}

impl Names {
    /// The names of a tree.
    pub fn of(tree: &File) -> Names {
        let mut r = Resolver::default();
        r.items(tree);
        for item in &tree.items {
            r.item(item);
        }
        let mut names = r.names;
        names.mentions.sort_by_key(|m| (m.span.start, m.span.end));
        names.mentions.dedup_by(|b, a| a.span == b.span && a.target == b.target);
        names
    }

    /// The mention at an offset, also right behind it.
    pub fn at(&self, offset: usize) -> Option<&Mention> {
        let touches = |m: &&Mention| m.span.start as usize <= offset && offset <= m.span.end as usize;
        let inside = |m: &&Mention| m.span.contains(offset);
        self.mentions.iter().find(inside).or_else(|| self.mentions.iter().find(touches))
    }

    /// The mention that is exactly this range.
    pub fn mention(&self, range: std::ops::Range<usize>) -> Option<&Mention> {
        let place = |m: &Mention| (m.span.start as usize, m.span.end as usize);
        let wanted = (range.start, range.end);
        let at = self.mentions.partition_point(|m| place(m) < wanted);
        self.mentions.get(at).filter(|m| place(m) == wanted)
    }

    /// What can be named at an offset, innermost last.
    pub fn visible(&self, offset: usize) -> impl Iterator<Item = usize> {
        self.reach.iter().filter(move |(_, r)| r.start <= offset && offset <= r.end).map(|(s, _)| *s)
    }
}

#[derive(Default)]
struct Resolver {
    names: Names,
    scopes: Vec<Frame>,
    items: BTreeMap<String, usize>,
    used: BTreeMap<String, Vec<String>>,
    container: Option<usize>,
}

/// One scope: its names, and the bytes in which they can be used.
struct Frame {
    names: BTreeMap<String, usize>,
    range: std::ops::Range<usize>,
    /// New sizes belong here.
    dims: bool,
    /// A name that is not to be seen: of the member whose expression this is.
    hidden: Option<String>,
}

impl Resolver {
    fn items(&mut self, tree: &File) {
        for item in &tree.items {
            let (ident, kind) = match &item.kind {
                ItemKind::Const { name, .. } => (name.clone(), Kind::Const),
                ItemKind::Fn(d) => (d.name.clone(), Kind::Function),
                ItemKind::Layer(d) => (d.name.clone(), if d.is_model { Kind::Model } else { Kind::Layer }),
                ItemKind::Optimizer(d) => (d.name.clone(), Kind::Optimizer),
                ItemKind::Data(d) => (d.name.clone(), Kind::Data),
                ItemKind::Task(d) => {
                    let word = Ident { name: d.kind.word().into(), span: d.word };
                    (d.name.clone().unwrap_or(word), Kind::Task)
                }
                ItemKind::Use(paths) => {
                    for path in paths {
                        self.use_path(path);
                    }
                    continue;
                }
                ItemKind::Error => continue,
            };
            if ident.name.is_empty() {
                continue;
            }
            let number = self.symbol(&ident, kind, item.span, &item.docs);
            self.names.reach.push((number, 0..usize::MAX));
            self.items.entry(ident.name).or_insert(number);
        }
    }

    fn use_path(&mut self, path: &UsePath) {
        let Some((last, modules)) = path.parts.split_last() else { return };
        let modules: Vec<String> = modules.iter().map(|m| m.name.clone()).collect();
        let target = match modules.first().map(String::as_str) {
            Some("std") => Target::Library(last.name.clone()),
            _ => {
                self.used.insert(last.name.clone(), modules.clone());
                Target::Used(modules, last.name.clone())
            }
        };
        self.mention(last.span, target, false);
    }

    fn symbol(&mut self, ident: &Ident, kind: Kind, full: Span, docs: &str) -> usize {
        let number = self.names.symbols.len();
        self.names.symbols.push(Symbol {
            name: ident.name.clone(),
            kind,
            span: ident.span,
            full,
            docs: docs.to_string(),
            container: self.container,
        });
        self.mention(ident.span, Target::Symbol(number), true);
        number
    }

    fn mention(&mut self, span: Span, target: Target, binds: bool) {
        if span.start < span.end {
            self.names.mentions.push(Mention { span, target, binds });
        }
    }

    fn scoped(&mut self, span: Span, dims: bool, run: impl FnOnce(&mut Self)) {
        self.scopes.push(Frame { names: BTreeMap::new(), range: span.range(), dims, hidden: None });
        run(self);
        self.scopes.pop();
    }

    fn declare(&mut self, ident: &Ident, kind: Kind, full: Span, docs: &str) {
        if ident.name.is_empty() || ident.name == "_" {
            return;
        }
        let number = self.symbol(ident, kind, full, docs);
        let Some(frame) = self.scopes.last_mut() else { return };
        frame.names.insert(ident.name.clone(), number);
        let range = frame.range.clone();
        // A local can be used behind its statement.
        let start = if kind == Kind::Local { full.end as usize } else { range.start };
        self.names.reach.push((number, start.min(range.end)..range.end));
    }

    /// Binds a local, or again what has this name already in this body.
    fn bind(&mut self, ident: &Ident, full: Span) {
        let known = self.scopes.iter().rev().take_while(|f| !f.dims).chain(self.scopes.iter().rev().find(|f| f.dims));
        let known = known.filter_map(|f| f.names.get(&ident.name)).next().copied();
        let again = known.filter(|n| {
            let kind = self.names.symbols[*n].kind;
            matches!(kind, Kind::Local | Kind::Parameter | Kind::State | Kind::Field | Kind::Hyper)
        });
        match again {
            Some(number) => self.mention(ident.span, Target::Symbol(number), true),
            None => self.declare(ident, Kind::Local, full, ""),
        }
    }

    fn lookup(&self, name: &str) -> Option<Target> {
        for frame in self.scopes.iter().rev() {
            if frame.hidden.as_deref() == Some(name) {
                continue;
            }
            if let Some(number) = frame.names.get(name) {
                return Some(Target::Symbol(*number));
            }
        }
        if let Some(number) = self.items.get(name) {
            return Some(Target::Symbol(*number));
        }
        if let Some(modules) = self.used.get(name) {
            return Some(Target::Used(modules.clone(), name.to_string()));
        }
        if library::get().item(name).is_some() {
            return Some(Target::Library(name.to_string()));
        }
        library::get().builtin(name).map(|_| Target::Builtin(name.to_string()))
    }

    fn item(&mut self, item: &Item) {
        let own = |r: &Self, ident: &Ident| r.names.symbols.iter().position(|s| s.span == ident.span);
        match &item.kind {
            ItemKind::Use(_) | ItemKind::Error => {}
            ItemKind::Const { name, value } => {
                self.container = own(self, name);
                self.expr(value);
            }
            ItemKind::Fn(decl) => {
                self.container = own(self, &decl.name);
                self.scoped(item.span, true, |r| {
                    r.params(&decl.params, Kind::Parameter);
                    decl.result.iter().for_each(|t| r.ty(t));
                    r.wheres(&decl.wheres);
                    r.block(&decl.body);
                    if let Some((names, body)) = &decl.gradient {
                        r.scoped(body.span, false, |r| {
                            names.iter().for_each(|n| r.declare(n, Kind::Parameter, n.span, ""));
                            r.block(body);
                        });
                    }
                });
            }
            ItemKind::Layer(decl) => {
                self.container = own(self, &decl.name);
                self.scoped(item.span, true, |r| r.layer(decl));
            }
            ItemKind::Optimizer(decl) => {
                self.container = own(self, &decl.name);
                self.scoped(item.span, true, |r| {
                    r.params(&decl.params, Kind::Hyper);
                    r.members(&decl.members);
                    if let Some(update) = &decl.update {
                        r.scoped(update.span.to(update.body.span), false, |r| {
                            r.params(&update.params, Kind::Parameter);
                            r.block(&update.body);
                        });
                    }
                });
            }
            ItemKind::Data(decl) => {
                self.container = own(self, &decl.name);
                self.expr(&decl.source);
                if let Some(body) = &decl.body {
                    self.scoped(body.span, true, |r| r.block(body));
                }
            }
            ItemKind::Task(decl) => {
                self.container =
                    own(self, decl.name.as_ref().unwrap_or(&Ident { name: String::new(), span: decl.word }));
                self.scoped(item.span, true, |r| r.task(decl));
            }
        }
        self.container = None;
    }

    fn layer(&mut self, decl: &LayerDecl) {
        self.params(&decl.params, Kind::Hyper);
        for member in &decl.members {
            let kind = match member.kind {
                MemberKind::Param { .. } => Kind::Weight,
                MemberKind::State { .. } => Kind::State,
                MemberKind::Bind(_) | MemberKind::Error => Kind::Member,
            };
            // `bias: bool` says whether there is a parameter `bias`: both have the one name.
            self.declare(&member.name, kind, member.span, &member.docs);
        }
        // Sizes are bound by what flows in: the signature names them first.
        if let Some(forward) = &decl.forward {
            let span = forward.span.to(forward.body.span);
            self.scopes.push(Frame { names: BTreeMap::new(), range: span.range(), dims: false, hidden: None });
            self.params(&forward.params, Kind::Parameter);
            forward.result.iter().for_each(|t| self.ty(t));
            self.wheres(&forward.wheres);
        }
        let inner = decl.forward.as_ref().and_then(|_| self.scopes.pop());
        self.member_values(&decl.members);
        if let (Some(forward), Some(frame)) = (&decl.forward, inner) {
            self.scopes.push(frame);
            self.block(&forward.body);
            self.scopes.pop();
        }
    }

    fn members(&mut self, members: &[Member]) {
        for member in members {
            let kind = if matches!(member.kind, MemberKind::Bind(_)) { Kind::Member } else { Kind::State };
            self.declare(&member.name, kind, member.span, &member.docs);
        }
        self.member_values(members);
    }

    fn member_values(&mut self, members: &[Member]) {
        for member in members {
            self.scoped(member.span, false, |r| {
                match &member.kind {
                    MemberKind::Bind(e) => {
                        // It does not see itself.
                        if let Some(outer) = r.scopes.iter_mut().rev().nth(1) {
                            outer.hidden = Some(member.name.name.clone());
                        }
                        r.expr(e);
                    }
                    MemberKind::Param { ty, init } => {
                        r.ty(ty);
                        init.iter().for_each(|e| r.expr(e));
                    }
                    MemberKind::State { ty, init } => {
                        ty.iter().for_each(|t| r.ty(t));
                        init.iter().for_each(|e| r.expr(e));
                    }
                    MemberKind::Error => {}
                }
                if let Some(outer) = r.scopes.iter_mut().rev().nth(1) {
                    outer.hidden = None;
                }
            });
        }
    }

    fn params(&mut self, params: &[Param], kind: Kind) {
        for param in params {
            param.ty.iter().for_each(|t| self.ty(t));
            param.default.iter().for_each(|e| self.expr(e));
            self.declare(&param.name, kind, param.span, "");
        }
    }

    fn wheres(&mut self, wheres: &[WhereClause]) {
        for clause in wheres {
            self.size(&clause.left);
            self.expr(&clause.right);
        }
    }

    fn task(&mut self, decl: &TaskDecl) {
        self.params(&decl.params, Kind::Hyper);
        let settings = if decl.kind == TaskKind::Generate { GENERATE_SETTINGS } else { SETTINGS };
        for stmt in &decl.body {
            if let TaskStmtKind::Bind { name, .. } = &stmt.kind {
                let is_setting = settings.contains(&name.name.as_str());
                let kind = if is_setting { Kind::Setting } else { Kind::Binding };
                self.declare(name, kind, stmt.span, "");
            }
        }
        for stmt in &decl.body {
            match &stmt.kind {
                TaskStmtKind::Bind { value, .. } => self.expr(value),
                TaskStmtKind::Load { selection, from } => {
                    self.selection(selection);
                    self.expr(from);
                }
                TaskStmtKind::Freeze(selection) => self.selection(selection),
                TaskStmtKind::Error => {}
            }
        }
        if let Some(step) = &decl.step {
            self.scoped(step.span.to(step.body.span), false, |r| {
                r.params(&step.params, Kind::Field);
                r.block(&step.body);
            });
        }
    }

    fn selection(&mut self, selection: &Selection) {
        for path in selection.include.iter().chain(&selection.except) {
            let mut before: Option<Span> = None;
            for part in &path.parts {
                match part {
                    SelectionPart::Name(name) => {
                        match before {
                            None => self.name(&name.name, name.span),
                            Some(base) => {
                                let target = Target::Field { base, name: name.name.clone() };
                                self.mention(name.span, target, false);
                            }
                        }
                        before = Some(before.map_or(name.span, |b| b.to(name.span)));
                    }
                    SelectionPart::Any(span) => before = Some(before.map_or(*span, |b| b.to(*span))),
                    SelectionPart::Range(indices, span) => {
                        indices.iter().for_each(|i| self.index(i));
                        before = Some(before.map_or(*span, |b| b.to(*span)));
                    }
                }
            }
        }
    }

    fn name(&mut self, name: &str, span: Span) {
        if let Some(target) = self.lookup(name) {
            self.mention(span, target, false);
        }
    }

    fn block(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Bind { pattern, ty, value } => {
                self.expr(value);
                ty.iter().for_each(|t| self.ty(t));
                self.pattern(pattern, stmt.span);
            }
            StmtKind::Expr(e) => self.expr(e),
            StmtKind::Minimize { loss, over, with } => {
                self.expr(loss);
                over.iter().for_each(|s| self.selection(s));
                with.iter().for_each(|e| self.expr(e));
            }
            StmtKind::Report { name, value } => {
                self.expr(value);
                name.iter().for_each(|n| self.bind(n, stmt.span));
            }
            StmtKind::Yield(values) => values.iter().for_each(|e| self.expr(e)),
            StmtKind::Save { value, to } => {
                self.expr(value);
                self.expr(to);
            }
            StmtKind::Error => {}
        }
    }

    fn pattern(&mut self, pattern: &Pattern, full: Span) {
        match pattern {
            Pattern::Name(name) => self.bind(name, full),
            Pattern::Tuple(parts, _) => parts.iter().for_each(|p| self.pattern(p, full)),
        }
    }

    fn ty(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Named { dims, .. } => {
                for dim in dims.iter().flatten() {
                    match dim {
                        DimExpr::Size(e) => self.size(e),
                        DimExpr::Rest(Some(name), _) => {
                            let named = Ident { name: format!("..{}", name.name), span: name.span };
                            self.dim(&named);
                        }
                        DimExpr::Rest(None, _) => {}
                    }
                }
            }
            TypeKind::Tuple(types) => types.iter().for_each(|t| self.ty(t)),
            TypeKind::List(item) => self.ty(item),
            TypeKind::Choice(options) => options.iter().take(1).for_each(|t| self.ty(t)),
            TypeKind::Error => {}
        }
    }

    /// The names of a size: known ones are mentioned, others are bound here.
    fn size(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.dim(&Ident { name: name.clone(), span: expr.span }),
            ExprKind::Binary { left, right, .. } => {
                self.size(left);
                self.size(right);
            }
            ExprKind::Unary { value, .. } => self.size(value),
            _ => self.expr(expr),
        }
    }

    fn dim(&mut self, ident: &Ident) {
        let known = self.scopes.iter().rev().find_map(|f| f.names.get(&ident.name)).copied();
        let known = known.or_else(|| self.items.get(&ident.name).copied());
        match known {
            Some(number) => self.mention(ident.span, Target::Symbol(number), false),
            None if self.used.contains_key(&ident.name) => self.name(&ident.name, ident.span),
            None => {
                let number = self.symbol(ident, Kind::Dim, ident.span, "");
                let Some(frame) = self.scopes.iter_mut().rev().find(|f| f.dims) else { return };
                frame.names.insert(ident.name.clone(), number);
                let range = frame.range.clone();
                self.names.reach.push((number, range));
            }
        }
    }

    fn index(&mut self, index: &Index) {
        match index {
            Index::At(e) => self.expr(e),
            Index::Slice { from, to, step, .. } => [from, to, step].into_iter().flatten().for_each(|e| self.expr(e)),
            Index::Rest(_) => {}
        }
    }

    fn seq_items(&mut self, items: &[SeqItem]) {
        for item in items {
            self.expr(&item.value);
            item.act.iter().for_each(|s| self.stmt(s));
            if let Some(name) = &item.name {
                self.bind(name, item.span);
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Int(..) | ExprKind::Float(..) | ExprKind::Str(_) | ExprKind::Missing | ExprKind::Error => {}
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Tuple(items) | ExprKind::List(items) => items.iter().for_each(|e| self.expr(e)),
            ExprKind::Call { callee, args } => {
                self.expr(callee);
                for arg in args {
                    if let Some(name) = &arg.name {
                        let target = Target::Argument { callee: callee.span, name: name.name.clone() };
                        self.mention(name.span, target, false);
                    }
                    self.expr(&arg.value);
                }
            }
            ExprKind::Index { base, indices } => {
                self.expr(base);
                indices.iter().for_each(|i| self.index(i));
            }
            ExprKind::Field { base, name } => {
                self.expr(base);
                let target = Target::Field { base: base.span, name: name.name.clone() };
                self.mention(name.span, target, false);
            }
            ExprKind::Wildcard(selection) => self.selection(selection),
            ExprKind::Unary { value, .. } => self.expr(value),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Pipe { value, stage } => {
                self.expr(value);
                self.expr(stage);
            }
            ExprKind::Range { from, to } => {
                self.expr(from);
                self.expr(to);
            }
            ExprKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.block(then);
                match otherwise.as_deref() {
                    Some(Else::Block(block)) => self.block(block),
                    Some(Else::If(e)) => self.expr(e),
                    None => {}
                }
            }
            ExprKind::Seq(items) => self.scoped(expr.span, false, |r| r.seq_items(items)),
            ExprKind::Repeat { variable, over, body } => {
                self.expr(over);
                self.scoped(expr.span, false, |r| {
                    variable.iter().for_each(|v| r.declare(v, Kind::Local, v.span, ""));
                    r.seq_items(body);
                });
                // What its statements bind lives on.
                for name in body.iter().filter_map(|i| i.name.as_ref()) {
                    let number = self.names.symbols.iter().position(|s| s.span == name.span && s.kind == Kind::Local);
                    if let (Some(number), Some(frame)) = (number, self.scopes.last_mut()) {
                        frame.names.entry(name.name.clone()).or_insert(number);
                    }
                }
            }
            ExprKind::Scan(scan) => {
                self.expr(&scan.over);
                scan.by.iter().for_each(|e| self.expr(e));
                scan.carries.iter().for_each(|(_, e)| self.expr(e));
                scan.along.iter().for_each(|n| self.name(&n.name, n.span));
                self.scoped(expr.span, false, |r| {
                    r.scan_pattern(&scan.pattern);
                    scan.carries.iter().for_each(|(n, _)| r.declare(n, Kind::Local, n.span, ""));
                    r.block(&scan.body);
                });
            }
            ExprKind::Grouped { base, groups } => {
                self.expr(base);
                for group in groups {
                    self.selection(&group.selection);
                    for (name, value) in &group.settings {
                        let target = Target::Argument { callee: base.span, name: name.name.clone() };
                        self.mention(name.span, target, false);
                        self.expr(value);
                    }
                }
            }
        }
    }

    fn scan_pattern(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Name(name) => self.declare(name, Kind::Local, name.span, ""),
            Pattern::Tuple(parts, _) => parts.iter().for_each(|p| self.scan_pattern(p)),
        }
    }
}
