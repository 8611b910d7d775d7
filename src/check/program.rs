//! What check makes: every entry point of a file as a symbolic graph, and the variables that they share.

use super::applied::Applied;
use super::context::Facts;
use super::values::{DataValue, OptimizerValue, TextValue, TokenizerValue};
use crate::diag::{Diagnostic, codes};
use crate::dims::{Dim, Sym};
use crate::graph::{Graph, NodeId, TensorType};
use crate::ops::{DType, VarId};
use crate::source::Span;
use crate::syntax::ast::{Relation, TaskDecl, TaskKind};
use std::rc::Rc;

/// What a persistent value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VarKind {
    /// Learned.
    Param,
    /// A layer's state, moved by training.
    State,
    /// An optimizer's state of one parameter.
    OptimizerState,
}

#[derive(Clone, Debug)]
pub struct Var {
    /// `net.body.0.weight`
    pub path: String,
    pub kind: VarKind,
    pub ty: TensorType<Dim>,
    /// Its first value, a node of [`Program::init`].
    pub init: NodeId,
    /// Where it is declared.
    pub span: Span,
    /// The task whose binding it belongs to, by index.
    pub task: usize,
    /// The variable of another task that gives it its first value, if one does.
    pub source: Option<VarId>,
}

/// What a step hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// Minimised.
    Loss,
    /// Reported: the mean over samples.
    Metric,
    /// Reported by a metric with state: what it said last.
    Running,
    /// The value of a `predict` step, or the scores of the next token of a `generate` step.
    Prediction,
    /// Written to the file that is its name.
    Saved,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub name: String,
    pub kind: ReportKind,
    pub span: Span,
}

/// One way to run a task's step.
#[derive(Clone, Debug, Default)]
pub struct StepGraph {
    pub graph: Graph<Dim>,
    /// By position of the graph's `Value` outputs.
    pub reports: Vec<Report>,
    /// What must hold of its sizes, as far as checking could not tell.
    pub demands: Vec<Demand>,
    /// The functions and layers that it applies, in the order in which they end.
    pub applied: Vec<Applied>,
}

/// What a `minimize` moves, and how.
#[derive(Clone)]
pub struct Updated {
    pub optimizer: Rc<OptimizerValue>,
    /// Where the optimizer is written.
    pub span: Span,
    pub params: Vec<VarId>,
    /// Gradients are cut to a length or a range before.
    pub clipped: bool,
}

/// A comparison of sizes that is decided when they become numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    pub left: Dim,
    pub relation: Relation,
    pub right: Dim,
    /// As the program writes it.
    pub text: String,
    /// Where it is written.
    pub written: Span,
    /// The call that it is demanded of.
    pub span: Span,
}

impl Demand {
    /// True if it holds of these numbers.
    pub fn holds(relation: Relation, left: i64, right: i64) -> bool {
        match relation {
            Relation::Lt => left < right,
            Relation::Le => left <= right,
            Relation::Gt => left > right,
            Relation::Ge => left >= right,
            Relation::Eq | Relation::Define => left == right,
        }
    }

    /// What is said if it does not hold.
    pub fn broken(&self, left: &str, right: &str) -> Diagnostic {
        let headline = format!("`{}` does not hold: {left} against {right}", self.text);
        let fault = Diagnostic::error(codes::BAD_SIZE, self.span, headline)
            .help("change the size that is passed, or the bound");
        match self.written == self.span {
            true => fault.label("demanded here"),
            false => fault.label("called here").also(self.written, "demanded here"),
        }
    }
}

/// A field that the step takes, or that the pipeline before it needs.
#[derive(Clone, Debug)]
pub struct FieldUse {
    pub name: String,
    /// One sample's.
    pub dtype: DType,
    pub shape: Vec<Dim>,
    /// Number of classes, if it is a label and that is known.
    pub classes: Option<usize>,
    pub from: FieldFrom,
    /// It chooses one of so many, at that place: a number that is not below is a fault of the data.
    pub below: Option<(i64, Span)>,
}

/// What a field is filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldFrom {
    /// The source's field of the same name.
    Source,
    /// The same, if its first axis differs from sample to sample: padded with 0 to the longest of the batch.
    Varying,
    /// What a `data` item's body makes of one sample, before it is padded: where a body works along an axis that varies.
    Alone,
    /// Numbers of a text's tokens, padded with 0: to `max`, or else to the longest of the batch.
    Tokens { text: TextValue, tokenizer: TokenizerValue, max: Option<usize>, start: bool, end: bool },
    /// How many elements of another field, by its place in the list, are not padding.
    Length(usize),
    /// Uniform numbers in 0..1, keyed by the seed, this site, the sample and the epoch.
    Draw { site: u64 },
    /// The tokens so far, of a task that generates.
    Growing,
    /// The value at this place of what a task that generates computes once a prompt; `shape` is without the batch axis.
    Once(u32),
}

impl FieldUse {
    pub fn new(name: String, dtype: DType, shape: Vec<Dim>, from: FieldFrom) -> FieldUse {
        FieldUse { name, dtype, shape, classes: None, from, below: None }
    }

    /// The axis whose size differs from batch to batch: always the first.
    pub fn varying(&self) -> Option<&Sym> {
        match self.from {
            FieldFrom::Tokens { max: None, .. } | FieldFrom::Varying | FieldFrom::Alone | FieldFrom::Growing => {
                self.shape.first()?.as_sym()
            }
            _ => None,
        }
    }
}

/// The settings of a task, checked.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub batch: Option<usize>,
    pub epochs: Option<f64>,
    pub steps: Option<u64>,
    pub seed: Option<u64>,
    pub validate_every: Option<Every>,
    /// Batches of one update.
    pub accumulate: Option<u64>,
    pub stop_when: Option<StopWhen>,
    /// Bytes.
    pub budget: Option<(u64, Span)>,
    /// What it computes in, if not as declared.
    pub precision: Option<DType>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    Epochs(f64),
    Steps(u64),
}

/// Training ends when a figure has not improved for so long.
#[derive(Clone, Debug, PartialEq)]
pub struct StopWhen {
    /// The figure; the loss if none is named.
    pub of: Option<(String, Span)>,
    pub patience: Option<Every>,
    /// Whether lower is better; decided for every task that is whole.
    pub lower: Option<bool>,
    pub span: Span,
}

/// What a task that generates says beside its step.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The field that grows, by its place among the task's.
    pub output: usize,
    /// The text that its tokens are cut from; none if the source itself cuts it.
    pub text: Option<TextValue>,
    /// The source's field, if the source cuts it.
    pub source: String,
    pub tokenizer: TokenizerValue,
    /// Whether it begins with the start mark.
    pub start: bool,
    /// Whether the end mark ends it.
    pub end: bool,
    /// The most tokens of it that the net takes.
    pub limit: Option<usize>,
    pub choice: Choice,
    /// What does not depend on the growing field: computed once a prompt. Its values are fields of the step.
    pub once: Option<StepGraph>,
    /// The step with the scores of all places, `[batch, length, vocabulary]`; none if the program's own step has those of
    /// the last place only.
    pub all: Option<StepGraph>,
}

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The most tokens to add.
    pub max_tokens: usize,
    /// Scores are divided by it; the most likely token is taken if it is 0.
    pub temperature: f64,
    /// Only so many of the most likely tokens are drawn from.
    pub top_k: Option<usize>,
    /// Only the most likely tokens that together have this probability are drawn from.
    pub top_p: Option<f64>,
    /// The number of texts that grow side by side; 1 is no beam search.
    pub beam: usize,
}

/// `load SELECTION from "file"`
#[derive(Clone, Debug)]
pub struct Load {
    /// As written.
    pub file: String,
    /// Where.
    pub span: Span,
    /// For each path of the selection: the instance that it names outright, and its variables.
    pub parts: Vec<(String, Vec<VarId>)>,
}

#[derive(Clone)]
pub struct Task {
    pub kind: TaskKind,
    pub name: String,
    /// Its number among the file's tasks, those with faults included: what variables say of their owner.
    pub number: usize,
    pub span: Span,
    /// Its parameters, which the command line may set.
    pub params: Vec<String>,
    pub settings: Settings,
    pub data: Option<Rc<DataValue>>,
    pub fields: Vec<FieldUse>,
    /// The batch axis.
    pub batch: Option<Sym>,
    /// With gradients and updates; only of `train`.
    pub train: Option<StepGraph>,
    /// Without.
    pub eval: StepGraph,
    /// The variables that its graphs read or write.
    pub vars: Vec<VarId>,
    /// Layers that its step applied, in order of first use.
    pub layers: Vec<LayerRow>,
    /// First values from files, in order.
    pub loads: Vec<Load>,
    /// States of metrics: they start anew with every epoch and evaluation.
    pub metrics: Vec<VarId>,
    /// Parameters with their running averages, which evaluation uses.
    pub averages: Vec<(VarId, VarId)>,
    /// Whether everything in its step is known. Where it is not and there is no error, fields of absent data are unknown.
    pub whole: bool,
    /// The number that stands for every size that only absent data knows: for steps on random numbers alone.
    pub assumed: Option<usize>,
    /// Of a task that generates.
    pub generation: Option<Generation>,
    /// As written.
    pub decl: Rc<TaskDecl>,
    /// What is known of its data.
    pub facts: Option<Facts>,
    /// What its training step moves, `minimize` by `minimize`.
    pub updates: Vec<Updated>,
    /// How slowly averages of its parameters follow them, if it keeps any.
    pub ema: Option<f64>,
}

impl Task {
    /// The largest number that a size may be, if what its steps demand says so (`where T <= 64`).
    pub fn longest(&self, size: &Sym) -> Option<usize> {
        let size = Dim::from(size.clone());
        let demands = self.train.iter().flat_map(|t| &t.demands).chain(&self.eval.demands);
        let most = demands.filter_map(|d| {
            // `small <= large`: how far the rest of it is below.
            let (small, large) = match d.relation {
                Relation::Le | Relation::Lt => (&d.left, &d.right),
                Relation::Ge | Relation::Gt => (&d.right, &d.left),
                Relation::Eq | Relation::Define => return None,
            };
            let room = large.sub(&small.sub(&size)).number()?;
            usize::try_from(room - i64::from(matches!(d.relation, Relation::Lt | Relation::Gt))).ok()
        });
        most.min()
    }

    /// The sizes that differ from batch to batch, each with the field whose first axis it is.
    pub fn varying(&self) -> impl Iterator<Item = (usize, &Sym)> {
        self.fields.iter().enumerate().filter_map(|(i, f)| Some((i, f.varying()?)))
    }
}

/// One line of `nnc summary`.
#[derive(Clone, Debug)]
pub struct LayerRow {
    pub path: String,
    pub layer: String,
    pub depth: usize,
    pub output: Vec<TensorType<Dim>>,
    pub vars: Vec<VarId>,
    pub span: Span,
}

/// A checked file.
#[derive(Clone, Default)]
pub struct Program {
    pub tasks: Vec<Task>,
    pub vars: Vec<Var>,
    /// Gives every variable its first value: output `Update(v)` for each.
    pub init: Graph<Dim>,
    /// Models that no task uses, checked on their own: name and rows with symbolic sizes.
    pub models: Vec<(String, Vec<LayerRow>)>,
    /// For each of `models` its number among `drafts`, if it has no mistakes, and the names of its inputs: what `nnc graph` draws.
    pub drawings: Vec<(Option<usize>, Vec<String>)>,
    /// The file's models, each applied on its own in training, with sizes known by name. Their variables are nobody's.
    pub drafts: Vec<StepGraph>,
}

impl Program {
    pub fn var(&self, id: VarId) -> &Var {
        &self.vars[id.0 as usize]
    }

    /// The task whose binding a variable belongs to, if it has no fault.
    pub fn owner(&self, id: VarId) -> Option<&Task> {
        let number = self.var(id).task;
        self.tasks.iter().find(|t| t.number == number)
    }

    /// The task with this name, or the only one of this kind.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.name == name)
    }
}
