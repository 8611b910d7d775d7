//! Stage 3: the tensor graph. One graph is one entry point: a training step, an evaluation step, a prediction, or the
//! initialisation of all variables.
//!
//! Nodes stand in order: every input of a node comes before it. A graph of [`Dim`](crate::dims::Dim) sizes is what
//! check makes; a graph of `usize` sizes is what runs.

mod build_ops;
mod text;
mod verify;

pub use build_ops::Builder;
pub use text::{ParseError, parse, print, print_with_origins};
pub use verify::{result_type, verify, verify_part};

use std::fmt;

use crate::ops::{DType, Op, VarId};
use crate::source::{FileId, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct TensorType<D> {
    pub dtype: DType,
    pub shape: Vec<D>,
}

impl<D> TensorType<D> {
    pub fn new(dtype: DType, shape: Vec<D>) -> TensorType<D> {
        TensorType { dtype, shape }
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }
}

impl TensorType<usize> {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.bytes()
    }
}

impl<D: fmt::Display> fmt::Display for TensorType<D> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, size) in self.shape.iter().enumerate() {
            write!(f, "{}{size}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// Where a node comes from: the user's expression and the instance it was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub span: Span,
    /// Index into [`Graph::scopes`].
    pub scope: u32,
}

impl Origin {
    /// For nodes that no source stands behind: tests, graphs read from text.
    pub const NOWHERE: Origin = Origin { span: Span { file: FileId(0), start: 0, end: 0 }, scope: 0 };
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node<D> {
    pub op: Op<D>,
    pub inputs: Vec<NodeId>,
    pub ty: TensorType<D>,
    pub origin: Origin,
}

/// What happens to a value at the end of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutputKind {
    /// It is the variable's new value.
    Update(VarId),
    /// It is handed to the caller, by position: losses and metrics (scalars), predictions.
    Value(u32),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub kind: OutputKind,
    pub node: NodeId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Graph<D> {
    pub nodes: Vec<Node<D>>,
    pub outputs: Vec<Output>,
    /// Instance paths (`net.body.0`) that origins refer to; the first is empty: the task itself.
    pub scopes: Vec<String>,
}

impl<D> Default for Graph<D> {
    fn default() -> Graph<D> {
        Graph { nodes: Vec::new(), outputs: Vec::new(), scopes: vec![String::new()] }
    }
}

impl<D> Graph<D> {
    pub fn node(&self, id: NodeId) -> &Node<D> {
        &self.nodes[id.index()]
    }

    pub fn ty(&self, id: NodeId) -> &TensorType<D> {
        &self.nodes[id.index()].ty
    }

    /// Appends a node whose type is known.
    pub fn push(&mut self, op: Op<D>, inputs: Vec<NodeId>, ty: TensorType<D>, origin: Origin) -> NodeId {
        debug_assert!(inputs.iter().all(|i| i.index() < self.nodes.len()));
        self.nodes.push(Node { op, inputs, ty, origin });
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// The same graph with sizes written in another way; the first failure ends it.
    pub fn try_map<E, F>(&self, size: &mut impl FnMut(&D) -> Result<F, E>) -> Result<Graph<F>, E> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let op = node.op.try_map(size)?;
            let shape = node.ty.shape.iter().map(&mut *size).collect::<Result<_, _>>()?;
            nodes.push(Node {
                op,
                inputs: node.inputs.clone(),
                ty: TensorType::new(node.ty.dtype, shape),
                origin: node.origin,
            });
        }
        Ok(Graph { nodes, outputs: self.outputs.clone(), scopes: self.scopes.clone() })
    }

    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<D> {
        (0..self.nodes.len() as u32).map(NodeId)
    }
}
