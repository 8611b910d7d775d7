//! The syntax tree: what was written, with a span on everything and error nodes where it could not be read.
//!
//! Nothing here knows pest. A tree exists for every text; an `Error` or `Missing` node stands where a diagnostic was
//! reported, and later stages stay silent about it.

use crate::source::Span;

/// A name with its place. An empty one stands for a name that is missing, which was reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    pub name: String,
    pub span: Span,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub items: Vec<Item>,
    /// Comments in order, without those of `docs`; for the formatter.
    pub comments: Vec<Span>,
}

#[derive(Clone, Debug)]
pub struct Item {
    /// The text of the `///` lines above, joined by newlines.
    pub docs: String,
    pub kind: ItemKind,
    /// From the item word to the closing brace.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ItemKind {
    /// `use std.vision.{ResNet18, MobileCnn}`: one entry a name.
    Use(Vec<UsePath>),
    /// `const name = value`
    Const {
        name: Ident,
        value: Expr,
    },
    Fn(FnDecl),
    Layer(LayerDecl),
    Optimizer(OptimizerDecl),
    Data(DataDecl),
    Task(TaskDecl),
    Error,
}

/// `std.vision.ResNet18`: path parts, the last of which is the name that comes into scope.
#[derive(Clone, Debug)]
pub struct UsePath {
    pub parts: Vec<Ident>,
    pub span: Span,
}

/// `fn name(params) -> result where … { body } gradient(d) { … }`
#[derive(Clone, Debug)]
pub struct FnDecl {
    pub name: Ident,
    pub params: Vec<Param>,
    pub result: Option<TypeExpr>,
    pub wheres: Vec<WhereClause>,
    pub body: Block,
    pub gradient: Option<(Vec<Ident>, Block)>,
}

/// A declared parameter: of a function, of `forward`, a hyper-parameter, or a step's field.
#[derive(Clone, Debug)]
pub struct Param {
    pub name: Ident,
    /// Absent only in `update(p, g)`, `step(image)`, `gradient(d)`.
    pub ty: Option<TypeExpr>,
    pub default: Option<Expr>,
    pub span: Span,
}

/// `where T <= context`, `where P = floor((H - 1) / stride) + 1`
#[derive(Clone, Debug)]
pub struct WhereClause {
    pub left: Expr,
    pub relation: Relation,
    pub right: Expr,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `=`: defines a dim.
    Define,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
}

/// `layer Name(hyper) { members; forward(…) -> … { } }`; `model` is one that stands alone.
#[derive(Clone, Debug)]
pub struct LayerDecl {
    pub is_model: bool,
    pub name: Ident,
    pub params: Vec<Param>,
    pub members: Vec<Member>,
    /// Absent where it could not be read or was not written (which check reports).
    pub forward: Option<ForwardDecl>,
}

#[derive(Clone, Debug)]
pub struct ForwardDecl {
    pub params: Vec<Param>,
    pub result: Option<TypeExpr>,
    pub wheres: Vec<WhereClause>,
    pub body: Block,
    /// The word `forward`.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub docs: String,
    pub name: Ident,
    pub kind: MemberKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum MemberKind {
    /// `conv = Conv2d(32, kernel: 3)`: a sub-layer or a compile-time value.
    Bind(Expr),
    /// `param weight: f32[out, in] = init`
    Param {
        ty: TypeExpr,
        init: Option<Expr>,
    },
    /// `state running_mean: f32[C] = 0`; the type may be left out in an optimizer (`state m = 0`).
    State {
        ty: Option<TypeExpr>,
        init: Option<Expr>,
    },
    Error,
}

/// `optimizer Name(hyper) { state m = 0; update(p, g) { … } }`
#[derive(Clone, Debug)]
pub struct OptimizerDecl {
    pub name: Ident,
    pub params: Vec<Param>,
    pub members: Vec<Member>,
    pub update: Option<UpdateDecl>,
}

#[derive(Clone, Debug)]
pub struct UpdateDecl {
    pub params: Vec<Param>,
    pub body: Block,
    pub span: Span,
}

/// `data name = source { body }`
#[derive(Clone, Debug)]
pub struct DataDecl {
    pub name: Ident,
    pub source: Expr,
    pub body: Option<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    Train,
    Evaluate,
    Predict,
    Generate,
}

impl TaskKind {
    pub fn word(self) -> &'static str {
        match self {
            TaskKind::Train => "train",
            TaskKind::Evaluate => "evaluate",
            TaskKind::Predict => "predict",
            TaskKind::Generate => "generate",
        }
    }
}

/// `train name(params) { bindings and acts; step(fields) { … } }`
#[derive(Clone, Debug)]
pub struct TaskDecl {
    pub kind: TaskKind,
    /// The item word's place.
    pub word: Span,
    pub name: Option<Ident>,
    pub params: Vec<Param>,
    pub body: Vec<TaskStmt>,
    pub step: Option<StepDecl>,
}

#[derive(Clone, Debug)]
pub struct StepDecl {
    pub params: Vec<Param>,
    pub body: Block,
    /// The word `step`.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct TaskStmt {
    pub kind: TaskStmtKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum TaskStmtKind {
    /// A setting or the task's own binding.
    Bind {
        name: Ident,
        value: Expr,
    },
    /// `load SELECTION from "file"`
    Load {
        selection: Selection,
        from: Expr,
    },
    /// `freeze SELECTION`
    Freeze(Selection),
    Error,
}

/// `{ stmt; stmt; value }`: the last expression statement is its value.
#[derive(Clone, Debug)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    /// With the braces.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `x = value`, `x: f32[B, S] = value`, `(a, b) = value`
    Bind {
        pattern: Pattern,
        ty: Option<TypeExpr>,
        value: Expr,
    },
    Expr(Expr),
    /// `minimize LOSS over NET with OPTIMIZER`
    Minimize {
        loss: Expr,
        over: Option<Selection>,
        with: Option<Expr>,
    },
    /// `report f(…)`, `report x`, `report x = …`
    Report {
        name: Option<Ident>,
        value: Expr,
    },
    /// `yield a, b` (one value a carry position)
    Yield(Vec<Expr>),
    /// `save VALUE to "file"`
    Save {
        value: Expr,
        to: Expr,
    },
    Error,
}

#[derive(Clone, Debug)]
pub enum Pattern {
    Name(Ident),
    Tuple(Vec<Pattern>, Span),
}

impl Pattern {
    pub fn span(&self) -> Span {
        match self {
            Pattern::Name(n) => n.span,
            Pattern::Tuple(_, span) => *span,
        }
    }
}

/// `net.body`, `net.*.bias`, `A except B`, a comma list.
#[derive(Clone, Debug)]
pub struct Selection {
    pub include: Vec<SelectionPath>,
    pub except: Vec<SelectionPath>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct SelectionPath {
    pub parts: Vec<SelectionPart>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum SelectionPart {
    Name(Ident),
    /// `*`: any depth.
    Any(Span),
    /// `[2]` or `[0:4]` after a name.
    Range(Vec<Index>, Span),
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A whole number, with its unit (`2 epochs`, `4 GiB`) if it has one.
    Int(i64, Option<Ident>),
    Float(f64, Option<Ident>),
    Str(String),
    Name(String),
    /// `none`, `true`, `false` are names of the prelude, not literals.
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    /// `callee(args)`; `callee` is a name, a field or another call.
    Call {
        callee: Box<Expr>,
        args: Vec<Arg>,
    },
    /// `x[a, b]`
    Index {
        base: Box<Expr>,
        indices: Vec<Index>,
    },
    /// `x.name`; an empty name stands for a half-typed `x.`.
    Field {
        base: Box<Expr>,
        name: Ident,
    },
    /// `net.*.weight` as a value.
    Wildcard(Selection),
    Unary {
        op: UnaryOp,
        value: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        op_span: Span,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `x |> stage`
    Pipe {
        value: Box<Expr>,
        stage: Box<Expr>,
    },
    /// `0..n`
    Range {
        from: Box<Expr>,
        to: Box<Expr>,
    },
    If {
        condition: Box<Expr>,
        then: Block,
        otherwise: Option<Box<Else>>,
    },
    /// `seq { a; name = B(); c }`
    Seq(Vec<SeqItem>),
    /// `repeat n { … }`, `repeat i in 0..n { … }`
    Repeat {
        variable: Option<Ident>,
        over: Box<Expr>,
        body: Vec<SeqItem>,
    },
    Scan(Box<Scan>),
    /// `AdamW(…) { SELECTION { lr = 1e-3 } }`: an optimizer with settings of its own for parts of a net.
    Grouped {
        base: Box<Expr>,
        groups: Vec<Group>,
    },
    /// Something was expected here; a diagnostic was reported.
    Missing,
    Error,
}

#[derive(Clone, Debug)]
pub enum Else {
    Block(Block),
    /// `else if …`: always an `ExprKind::If`.
    If(Expr),
}

/// One part of a net with its own settings; of several that match a parameter the last holds.
#[derive(Clone, Debug)]
pub struct Group {
    pub selection: Selection,
    pub settings: Vec<(Ident, Expr)>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct SeqItem {
    pub name: Option<Ident>,
    pub value: Expr,
    /// What is no link of a chain, but may stand in a `repeat` among statements: a binding of several names or with a
    /// type, `minimize`, `report`. The value is missing then.
    pub act: Option<Box<Stmt>>,
    pub span: Span,
}

/// `scan x_t in x along T by -1 recompute with h = h0 { … }`
#[derive(Clone, Debug)]
pub struct Scan {
    pub pattern: Pattern,
    pub over: Expr,
    pub along: Option<Ident>,
    pub by: Option<Expr>,
    /// Whether `recompute` is written.
    pub recompute: bool,
    pub carries: Vec<(Ident, Expr)>,
    pub body: Block,
}

#[derive(Clone, Debug)]
pub struct Arg {
    /// `name: value`
    pub name: Option<Ident>,
    pub value: Expr,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Index {
    At(Expr),
    /// `a:b:step`, each part optional.
    Slice {
        from: Option<Expr>,
        to: Option<Expr>,
        step: Option<Expr>,
        span: Span,
    },
    /// `..`: all other axes.
    Rest(Span),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Neg,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    MatMul,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

impl BinaryOp {
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Pow => "^",
            BinaryOp::MatMul => "@",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        }
    }
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct TypeExpr {
    pub kind: TypeKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum TypeKind {
    /// `f32[B, T]`, `logits[B, C]`, `logits bf16[B]`, or a bare word: `f32`, `int`, `clock`, `fn`, `layer`, `rate`.
    /// `base` is the first word, `dtype` the second of `logits bf16[…]`; `dims` is none without brackets.
    Named {
        base: Ident,
        dtype: Option<Ident>,
        dims: Option<Vec<DimExpr>>,
    },
    /// `(f32[B], i32[B])`
    Tuple(Vec<TypeExpr>),
    /// `[int]`
    List(Box<TypeExpr>),
    /// `int | same | valid`: the first is a type, the rest are words.
    Choice(Vec<TypeExpr>),
    Error,
}

/// One axis of a written shape.
#[derive(Clone, Debug)]
pub enum DimExpr {
    Size(Expr),
    /// `..` or `..batch`
    Rest(Option<Ident>, Span),
}
