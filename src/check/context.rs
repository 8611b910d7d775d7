//! The checker's state: what has been declared, made and found so far.

use super::library::Library;
use super::program::{LayerRow, Var};
use super::values::{Axis, DataValue, InstanceId, TextValue, TokenizerValue, Ty, Value, Why};
use crate::diag::{Diagnostic, codes, suggest};
use crate::dims::{Dim, Sym};
use crate::graph::{Graph, NodeId, Origin};
use crate::ops::{DType, Op, VarId};
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A tensor has fewer elements than this.
const MOST_ELEMENTS: i64 = 1 << 50;

/// Expressions evaluated at most, over the whole file.
pub const MOST_STEPS: usize = 1_000_000;

/// Instances made at most.
pub const MOST_INSTANCES: usize = 20_000;

/// A declared name.
#[derive(Clone)]
pub enum Def {
    Const(Rc<ast::Expr>),
    Fn(Rc<ast::FnDecl>),
    Layer(Rc<ast::LayerDecl>),
    Optimizer(Rc<ast::OptimizerDecl>),
    Data(Rc<ast::DataDecl>),
    Task,
    /// Something of another file that a fault hides.
    Unknown,
}

impl Def {
    /// What it is, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Def::Const(_) => "a constant",
            Def::Fn(_) => "a function",
            Def::Layer(_) => "a layer",
            Def::Optimizer(_) => "an optimizer",
            Def::Data(_) => "a data set",
            Def::Task => "a task",
            Def::Unknown => "something unknown",
        }
    }
}

/// Why an axis has its size.
#[derive(Clone, Debug)]
pub struct Reason {
    pub span: Span,
    pub size: Dim,
    pub kind: ReasonKind,
    pub parents: Vec<Why>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReasonKind {
    /// Written in a type, or as a hyper-parameter.
    Written,
    /// Made from its parent by an operation (`MaxPool2d`).
    Made(String),
    /// The parents' product.
    Product,
    /// A field of the data.
    Data,
}

/// A graph being made, with what the checker knows of its nodes.
#[derive(Default)]
pub struct Sheet {
    pub graph: Graph<Dim>,
    pub tys: Vec<Ty>,
    /// The value of each variable at this point of the program.
    pub current: BTreeMap<VarId, NodeId>,
    /// Values of parameters before a `minimize` of the step moved them, oldest first.
    pub past: BTreeMap<VarId, Vec<NodeId>>,
    /// Variables that were assigned.
    pub assigned: BTreeSet<VarId>,
    /// True if a stand-in takes the place of something that has a fault: what depends on values is not to be said.
    pub hurt: bool,
    /// Functions and layers that were applied, in the order in which they ended.
    pub applied: Vec<super::applied::Applied>,
    /// Where each path stands among the graph's scopes.
    scope_numbers: BTreeMap<String, u32>,
    /// The key of draws in the body of a scan; elsewhere it is the step's.
    pub key: Option<NodeId>,
}

/// A dim's value in a scope.
#[derive(Clone, Debug)]
pub struct Bound {
    pub size: Dim,
    pub why: Why,
}

#[derive(Clone)]
pub struct Local {
    pub name: String,
    pub value: Value,
    pub span: Span,
    pub used: bool,
    /// A binding of the user's, which must be used.
    pub checked: bool,
}

/// The scope of one function, layer or task while its body is evaluated.
#[derive(Clone)]
pub struct Scope {
    pub locals: Vec<Local>,
    pub dims: BTreeMap<String, Bound>,
    /// `..batch`: the axes it stands for.
    pub rests: BTreeMap<String, Vec<Axis>>,
    /// What the declared types of the parameters call the axes of the values that these have.
    pub axis_names: Vec<(NodeId, Vec<Option<String>>)>,
    pub instance: Option<InstanceId>,
    /// A member whose own expression this is: it does not see itself.
    pub hidden: Option<String>,
    /// Names that stand for optimizer state: assignment updates the variable.
    pub states: BTreeMap<String, VarId>,
    pub file: FileId,
}

impl Scope {
    pub fn new(file: FileId) -> Scope {
        Scope {
            locals: Vec::new(),
            dims: BTreeMap::new(),
            rests: BTreeMap::new(),
            axis_names: Vec::new(),
            instance: None,
            hidden: None,
            states: BTreeMap::new(),
            file,
        }
    }

    pub fn bind(&mut self, name: &str, value: Value, span: Span) {
        self.locals.push(Local { name: name.into(), value, span, used: false, checked: false });
    }

    pub fn local(&mut self, name: &str) -> Option<&mut Local> {
        self.locals.iter_mut().rev().find(|l| l.name == name)
    }
}

/// One call on the way to what is being evaluated.
#[derive(Clone, Debug)]
pub struct Call {
    pub span: Span,
    /// `Linear` or `fc1 = Linear`.
    pub text: String,
}

/// A layer or a chain that has been made.
pub struct Instance {
    pub kind: InstanceKind,
    /// The task that it belongs to, by index.
    pub task: usize,
    /// `net.body.0`
    pub path: String,
    /// Where it was made.
    pub span: Span,
    pub dims: BTreeMap<String, Bound>,
    pub hypers: Vec<Local>,
    pub members: Vec<(String, Value)>,
    pub applied: bool,
    /// The float that a layer of the standard library computes in: that of its first use.
    pub float: Option<DType>,
}

pub enum InstanceKind {
    Layer(Rc<ast::LayerDecl>),
    /// `seq` or `repeat`: the items with their names.
    Chain(Vec<Link>),
    /// `[Linear(10), Linear(20)]`: layers that are applied one by one, named by their numbers.
    List(Vec<Link>),
}

/// An item of a chain or of a list of layers: its name, what it is, where it stands.
pub type Link = (String, Value, Span);

impl InstanceKind {
    /// The items of a chain or of a list.
    pub fn links(&self) -> Option<&[Link]> {
        match self {
            InstanceKind::Chain(items) | InstanceKind::List(items) => Some(items),
            InstanceKind::Layer(_) => None,
        }
    }
}

/// What the checker asks about data sets; opening one is the business of whoever answers.
pub trait DataFacts {
    fn is_source(&self, name: &str) -> bool;
    fn names(&self) -> Vec<String>;
    /// What is known of a source called with these arguments.
    fn facts(&self, data: &DataValue) -> Result<Facts, Box<Diagnostic>>;

    /// The size of the vocabulary of texts of a source; none if nobody knows it.
    fn vocabulary(
        &self,
        _data: &DataValue,
        _text: &TextValue,
        _tokenizer: &TokenizerValue,
    ) -> Result<Option<usize>, Box<Diagnostic>> {
        Ok(None)
    }
}

/// What is known of a data set.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub fields: Vec<FieldFacts>,
    /// Samples for training.
    pub count: Option<usize>,
    /// Samples that are held out.
    pub held: Option<usize>,
    /// Names of text fields.
    pub texts: Vec<String>,
    /// Fields that the source itself cuts from a text: name, and the number of tokens if it is known.
    pub vocabularies: Vec<(String, Option<usize>)>,
    /// Why sizes are missing, if they are.
    pub warning: Option<Box<Diagnostic>>,
}

#[derive(Clone, Debug)]
pub struct FieldFacts {
    pub name: String,
    pub dtype: DType,
    /// Of one sample; none where only the data knows.
    pub shape: Vec<Option<usize>>,
    /// Names of sizes that are not known, by axis: those of one name are one size in all fields of the source.
    pub sizes: Vec<String>,
    /// The first axis differs from sample to sample: a batch is padded.
    pub varying: bool,
    pub classes: Option<usize>,
}

/// How far evaluation went wrong: `None` means that it was reported already.
pub type Res<T> = Option<T>;

pub struct Checker<'a> {
    pub sources: &'a mut Sources,
    pub library: Library,
    pub library_defs: BTreeMap<String, Option<Def>>,
    /// Items by key (see `names`).
    pub defs: BTreeMap<String, (Def, Span)>,
    pub names: super::names::Names,
    pub found: Vec<Diagnostic>,
    /// The item at hand, by the place of its name.
    pub item: Option<Span>,
    pub reasons: Vec<Reason>,
    pub sheet: Sheet,
    pub init: Sheet,
    pub instances: Vec<Instance>,
    pub vars: Vec<Var>,
    /// Of the task at hand, by path.
    pub optimizer_states: BTreeMap<String, VarId>,
    /// The axes of each variable, with the reasons for their sizes.
    pub var_axes: Vec<Vec<Axis>>,
    pub rows: Vec<LayerRow>,
    /// Models checked on their own.
    pub drafts: Vec<super::program::StepGraph>,
    /// Known in a task's step; not while a declaration is checked on its own.
    pub training: Option<bool>,
    /// True while a declaration is checked on its own.
    pub generic: bool,
    pub calls: Vec<Call>,
    /// Expressions being evaluated, one inside the other.
    pub depth: usize,
    /// Expressions evaluated so far.
    pub steps: usize,
    /// Scans whose blocks are being evaluated, outermost first.
    pub scans: Vec<super::scan::ScanState>,
    /// Names being evaluated, against recursion.
    pub active: Vec<String>,
    /// Declarations that had errors of their own, by the place of their names: their bodies are not entered again.
    pub broken: BTreeSet<Span>,
    /// Of those, the ones whose signature contradicts their body: arguments and results of theirs say nothing.
    pub doubtful: BTreeSet<Span>,
    /// Declared parameters whose dtype or rank was found wrong in the declaration at hand: one message each.
    pub blamed: BTreeSet<(&'static str, Span)>,
    /// The value that is being compared with a declared type.
    pub subject: Option<NodeId>,
    pub task: usize,
    pub symbols: u32,
    pub scope_path: u32,
    pub constants: BTreeMap<String, Value>,
    pub data: &'a dyn DataFacts,
    /// Draws made so far in this graph, by instance path: a part of each draw's identity.
    pub draws: BTreeMap<String, u64>,
    /// Variables that the task at hand may not move.
    pub frozen: BTreeSet<VarId>,
    /// The fields that the task at hand is fed with.
    pub feed: super::pipeline::FeedFields,
    /// The fields of the sample last evaluated apart from any task.
    pub apart: Vec<super::program::FieldUse>,
    /// The step being evaluated, if one is.
    pub step: Option<super::tasks::StepState>,
    /// Names behind a dot anywhere in the file: `net` of `train.net`.
    pub read_elsewhere: BTreeSet<String>,
    /// Names behind a dot in any layer or step of the file.
    pub fields_read: BTreeSet<String>,
    /// Names that were probably meant where an unknown one stands: they count as used.
    pub meant: BTreeSet<String>,
    /// What the forms of the task at hand say.
    pub forms: super::forms::Forms,
    /// What must hold of the sizes of the step at hand, and is not decided yet.
    pub demands: Vec<super::program::Demand>,
    /// Keys of `data` items that something used.
    pub used_data: BTreeSet<String>,
    /// Sizes that only the data knows, by the data set and what they are of; true for those that differ from sample to
    /// sample, which no file decides.
    pub unknown: BTreeMap<String, (Sym, bool)>,
    /// Bindings of the tasks checked so far.
    pub task_scopes: BTreeMap<String, Vec<(String, Value)>>,
    /// What an editor wants to know, if one asks.
    pub watch: Option<super::seen::Watch<'a>>,
}

impl Checker<'_> {
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        if let Some(primary) = &mut diagnostic.primary {
            let at = primary.span;
            let blamed = self.blame(at);
            if blamed != at {
                primary.span = blamed;
            }
        }
        diagnostic.item = self.item;
        diagnostic.secondary.retain(|l| !self.sources.file(l.span.file).builtin);
        self.found.push(diagnostic);
    }

    /// Reports and fails.
    pub fn fail<T>(&mut self, diagnostic: Diagnostic) -> Res<T> {
        self.report(diagnostic);
        None
    }

    /// The user's own place for a span: itself, or the innermost call outside of the standard library.
    pub fn blame(&self, span: Span) -> Span {
        if !self.sources.file(span.file).builtin {
            return span;
        }
        let user = self.calls.iter().rev().find(|c| !self.sources.file(c.span.file).builtin);
        user.map_or(span, |c| c.span)
    }

    pub fn is_builtin(&self, span: Span) -> bool {
        self.sources.file(span.file).builtin
    }

    pub fn errors(&self) -> usize {
        self.found.iter().filter(|d| d.severity == crate::diag::Severity::Error).count()
    }

    // ---- names ----

    /// The name that was probably meant, among `near` and everything that is in scope everywhere.
    pub fn suggestion(&self, name: &str, near: &[String]) -> Option<String> {
        if let Some(own) = near.iter().find(|n| n.eq_ignore_ascii_case(name) && *n != name) {
            return Some(own.clone());
        }
        if let Some(known) = super::foreign::other_name(name) {
            return Some(known.into());
        }
        // What is in scope comes first, if it is written with the same kind of first letter.
        let capital = |s: &str| s.starts_with(|c: char| c.is_uppercase());
        let here = near.iter().map(String::as_str).filter(|n| capital(n) == capital(name) && *n != name);
        if let Some(meant) = suggest::nearest(name, here) {
            return Some(meant.to_string());
        }
        let mut all: Vec<&str> = near.iter().map(String::as_str).collect();
        all.extend(self.own_names());
        for name in self.library.names() {
            all.push(name);
        }
        for surface in crate::ops::TABLE.iter().flat_map(|d| d.surfaces) {
            all.push(surface.name);
        }
        for name in super::special::NAMES {
            all.push(name);
        }
        // A member does not see itself.
        all.retain(|n| *n != name);
        suggest::nearest(name, all).map(str::to_string)
    }

    // ---- sizes ----

    pub fn fresh(&mut self, name: &str) -> Sym {
        self.symbols += 1;
        Sym { id: self.symbols, name: name.into() }
    }

    pub fn reason(&mut self, span: Span, size: &Dim, kind: ReasonKind, parents: Vec<Why>) -> Why {
        self.reasons.push(Reason { span, size: size.clone(), kind, parents });
        Why(self.reasons.len() as u32 - 1)
    }

    pub fn written(&mut self, span: Span, size: Dim) -> Axis {
        let why = self.reason(span, &size, ReasonKind::Written, Vec::new());
        Axis { size, why }
    }

    // ---- nodes ----

    pub fn ty(&self, node: NodeId) -> &Ty {
        &self.sheet.tys[node.index()]
    }

    /// Appends a node of a known type.
    pub fn node(&mut self, op: Op<Dim>, inputs: Vec<NodeId>, ty: Ty, span: Span) -> NodeId {
        if !self.possible(&ty, span) {
            self.sheet.hurt = true;
        }
        let origin = Origin { span: self.blame(span), scope: self.scope_path };
        let id = self.sheet.graph.push(op, inputs, ty.plain(), origin);
        self.sheet.tys.push(ty);
        id
    }

    /// False, and said, for a tensor with more elements than a machine can count.
    fn possible(&mut self, ty: &Ty, span: Span) -> bool {
        let known = ty.axes.iter().filter_map(|a| a.size.number());
        let count = known.filter(|n| *n > 1).try_fold(1i64, |p, n| p.checked_mul(n).filter(|p| *p < MOST_ELEMENTS));
        let negative = ty.axes.iter().any(|a| a.size.number().is_some_and(|n| n < 0));
        if count.is_some() && !negative && !ty.axes.iter().any(|a| a.size.is_huge()) {
            return true;
        }
        let at = self.blame(span);
        if !self.found.iter().any(|d| d.span() == Some(at)) {
            let shown = ty.to_string();
            let headline =
                if negative { "a tensor with a negative size" } else { "a tensor too large for any machine" };
            self.report(
                Diagnostic::error(codes::BAD_SIZE, at, headline)
                    .label(if shown.len() < 60 { format!("this would be {shown}") } else { "made here".into() })
                    .help("check the sizes that it is made of"),
            );
        }
        false
    }

    pub fn scalar(&mut self, value: f64, dtype: DType, span: Span) -> NodeId {
        self.node(Op::Const(value), Vec::new(), Ty { dtype, axes: Vec::new(), tag: None, weak: false }, span)
    }

    /// The present value of a variable.
    pub fn read(&mut self, var: VarId, span: Span) -> NodeId {
        let var = self.forms.stands_for(var);
        if let Some(&node) = self.sheet.current.get(&var) {
            return node;
        }
        let axes = self.var_axes[var.0 as usize].clone();
        let ty = Ty { dtype: self.vars[var.0 as usize].ty.dtype, axes, tag: None, weak: false };
        let node = self.node(Op::Read(var), Vec::new(), ty, span);
        self.sheet.current.insert(var, node);
        node
    }

    /// Makes an instance path an origin's scope; gives back the one before.
    pub fn enter_path(&mut self, path: &str) -> u32 {
        let before = self.scope_path;
        let scopes = &mut self.sheet.graph.scopes;
        self.scope_path = match self.sheet.scope_numbers.get(path) {
            Some(&i) => i,
            None => {
                // The graph begins with the scope "" of its own.
                let number = match scopes.first() {
                    Some(first) if first == path => 0,
                    _ => {
                        scopes.push(path.to_string());
                        scopes.len() as u32 - 1
                    }
                };
                self.sheet.scope_numbers.insert(path.to_string(), number);
                number
            }
        };
        before
    }

    /// The program is more than anybody means: said once, nothing more is evaluated.
    pub fn too_large<T>(&mut self, span: Span) -> Res<T> {
        if self.steps < usize::MAX / 2 {
            self.steps = usize::MAX / 2;
            self.report(
                Diagnostic::error(codes::NESTING, span, "the program is too large to be checked")
                    .label("given up here")
                    .help("make fewer copies, or call fewer functions in one another"),
            );
        }
        self.sheet.hurt = true;
        None
    }

    pub fn not_supported<T>(&mut self, span: Span, what: &str) -> Res<T> {
        self.fail(
            Diagnostic::error(codes::NOT_SUPPORTED, span, format!("{what} is not supported yet"))
                .label("this version of nnc cannot do it")
                .help("do without it for now"),
        )
    }
}
