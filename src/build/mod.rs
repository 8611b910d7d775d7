//! Stage 3: from sizes with names to sizes with numbers. In goes a graph that check made and the numbers of its names, out
//! comes a graph that can run.

use crate::check::{Demand, FieldFrom, Program, StepGraph, Task};
use crate::diag::{Diagnostic, codes};
use crate::dims::{Dim, Sym};
use crate::graph::{Graph, Node, TensorType};
use crate::ops::{Op, Scan};
use crate::source::Span;

/// The numbers of symbols; the batch axis is the one that a run decides.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    known: Vec<(Sym, usize)>,
    /// Those of `known` that nobody gave: nothing is demanded of them.
    guessed: Vec<Sym>,
    /// Stands for every other size.
    assumed: Option<usize>,
}

/// The length that stands for all others where none is given (`nnc compile`, `nnc plan`).
const MIDDLING: usize = 32;

impl Sizes {
    /// The sizes of a task at a batch size. Lengths that differ from batch to batch get a middling one.
    pub fn of(task: &Task, batch: usize) -> Sizes {
        Sizes::with(task, batch, &[])
    }

    /// The sizes of a task at a batch size and, for each size that differs from batch to batch, its number.
    pub fn with(task: &Task, batch: usize, lengths: &[usize]) -> Sizes {
        let mut known: Vec<(Sym, usize)> = task.batch.iter().map(|b| (b.clone(), batch)).collect();
        let mut guessed = Vec::new();
        for (i, (field, sym)) in task.varying().enumerate() {
            if lengths.get(i).is_none() {
                guessed.push(sym.clone());
            }
            let middling = || match task.fields.get(field).map(|f| &f.from) {
                Some(FieldFrom::Growing) => task.generation.as_ref().and_then(|g| g.limit).unwrap_or(MIDDLING),
                _ => task.longest(sym).map_or(MIDDLING, |n| n.clamp(1, MIDDLING)),
            };
            known.push((sym.clone(), lengths.get(i).copied().unwrap_or_else(middling)));
        }
        Sizes { known, guessed, assumed: task.assumed }
    }

    /// True if a number of the size is one that stands for others.
    fn is_guess(&self, dim: &Dim) -> bool {
        let mut found = false;
        let guess = |s: &Sym| {
            self.guessed.contains(s) || self.assumed.is_some() && !self.known.iter().any(|(known, _)| known == s)
        };
        dim.visit(&mut |s| found |= guess(s));
        found
    }

    /// The number of a size, or the name that has none.
    pub fn number(&self, dim: &Dim) -> Result<i64, String> {
        if let Some(n) = dim.number() {
            return Ok(n);
        }
        let number = |s: &Sym| self.known.iter().find(|(k, _)| k == s).map(|(_, n)| *n).or(self.assumed);
        let filled = dim.substitute(&|s| number(s).map(Dim::from));
        filled.number().ok_or_else(|| filled.to_string())
    }

    fn size(&self, dim: &Dim, span: Span) -> Result<usize, Box<Diagnostic>> {
        let n = self.number(dim).map_err(|name| unknown(&name, span))?;
        usize::try_from(n).map_err(|_| {
            Box::new(
                Diagnostic::error(codes::BAD_SIZE, span, format!("the size {dim} would be {n}"))
                    .label("sizes are not negative"),
            )
        })
    }

    /// A type with numbers.
    pub fn ty(&self, ty: &TensorType<Dim>, span: Span) -> Result<TensorType<usize>, Box<Diagnostic>> {
        let shape = ty.shape.iter().map(|d| self.size(d, span)).collect::<Result<_, _>>()?;
        Ok(TensorType::new(ty.dtype, shape))
    }
}

fn unknown(name: &str, span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error(codes::UNKNOWN_DIM, span, format!("the size {name} has no number"))
            .label("neither the program nor the data says how large this is")
            .help("make sure that the data is there, or write the size"),
    )
}

/// A graph with every size a number.
pub fn build(graph: &Graph<Dim>, sizes: &Sizes) -> Result<Graph<usize>, Box<Diagnostic>> {
    let built = numbered(graph, sizes)?;
    if cfg!(debug_assertions)
        && let Err(broken) = crate::graph::verify(&built)
    {
        panic!("build made a broken graph: {broken}\n{}", crate::graph::print(&built));
    }
    Ok(built)
}

fn numbered(graph: &Graph<Dim>, sizes: &Sizes) -> Result<Graph<usize>, Box<Diagnostic>> {
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let span = node.origin.span;
        let op = match &node.op {
            Op::Size { value } => Op::Const(sizes.number(value).map_err(|name| unknown(&name, span))? as f64),
            Op::Scan(scan) => Op::Scan(Box::new(Scan {
                body: numbered(&scan.body, sizes)?,
                count: sizes.size(&scan.count, span)?,
                reverse: scan.reverse,
                carries: scan.carries,
                scanned: scan.scanned,
                recompute: scan.recompute,
            })),
            op => op.try_map(&mut |d: &Dim| sizes.size(d, span))?,
        };
        nodes.push(Node { op, inputs: node.inputs.clone(), ty: sizes.ty(&node.ty, span)?, origin: node.origin });
    }
    Ok(Graph { nodes, outputs: graph.outputs.clone(), scopes: graph.scopes.clone() })
}

/// A step's graph with every size a number, if what the program demands of them holds.
///
/// # Errors
/// A demand that does not hold, at its source line; a size without a number.
pub fn build_step(step: &StepGraph, sizes: &Sizes) -> Result<Graph<usize>, Box<Diagnostic>> {
    let certain = |d: &&Demand| !sizes.is_guess(&d.left) && !sizes.is_guess(&d.right);
    for demand in step.demands.iter().filter(certain) {
        let number = |d: &Dim| sizes.number(d).map_err(|name| unknown(&name, demand.span));
        let (left, right) = (number(&demand.left)?, number(&demand.right)?);
        if !Demand::holds(demand.relation, left, right) {
            return Err(Box::new(demand.broken(&left.to_string(), &right.to_string())));
        }
    }
    build(&step.graph, sizes)
}

/// The types of all variables.
pub fn var_types(program: &Program, sizes: &Sizes) -> Result<Vec<TensorType<usize>>, Box<Diagnostic>> {
    program.vars.iter().map(|v| sizes.ty(&v.ty, v.span)).collect()
}
