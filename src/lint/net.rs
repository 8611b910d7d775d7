//! A step's graph as lints look at it: who made a value, who uses it, what it depends on.

use crate::check::{Applied, Program, StepGraph, Task, Value};
use crate::dims::Dim;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{Binary, Op};
use crate::source::Span;
use std::ops::Range;

/// Layers that lose a part of what they are given, at random, while training.
pub const DROPOUTS: &[&str] = &["Dropout", "Dropout2d"];

/// Layers that normalise over the batch.
pub const BATCH_NORMS: &[&str] = &["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"];

/// Linear layers and convolutions.
pub const LINEAR: &[&str] =
    &["Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"];

/// Losses whose first argument is a score of each class, before `softmax` or `sigmoid`.
pub const LOGIT_LOSSES: &[&str] = &["cross_entropy", "soft_cross_entropy", "binary_cross_entropy", "focal_loss"];

/// One step, or a model applied on its own.
pub struct Net<'a> {
    pub step: &'a StepGraph,
    /// Whose step it is; none for a model on its own.
    pub task: Option<(&'a Program, &'a Task)>,
    /// Users of node `i`: `users[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    users: Vec<NodeId>,
    /// Applications by the node that is their result, in the order in which they end.
    results: Vec<(NodeId, u32)>,
    /// Whether a node was made inside a function or layer of the standard library.
    inside: Vec<bool>,
}

impl<'a> Net<'a> {
    pub fn new(step: &'a StepGraph, task: Option<(&'a Program, &'a Task)>) -> Net<'a> {
        let nodes = &step.graph.nodes;
        let mut starts = vec![0u32; nodes.len() + 1];
        for input in nodes.iter().flat_map(|n| &n.inputs) {
            starts[input.index() + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut free = starts.clone();
        let mut users = vec![NodeId(0); starts.last().map_or(0, |n| *n as usize)];
        for (i, node) in nodes.iter().enumerate() {
            for input in &node.inputs {
                let place = &mut free[input.index()];
                users[*place as usize] = NodeId(i as u32);
                *place += 1;
            }
        }
        let numbered = step.applied.iter().enumerate();
        let mut results: Vec<(NodeId, u32)> = numbered
            .filter_map(|(i, a)| Some((a.node()?, i as u32)))
            .filter(|(n, _)| n.index() < nodes.len())
            .collect();
        results.sort_unstable();
        let mut inside = vec![false; nodes.len()];
        // Outer ones end later.
        for applied in step.applied.iter().rev().filter(|a| a.library) {
            let range = applied.nodes.start.min(nodes.len())..applied.nodes.end.min(nodes.len());
            if !inside.get(range.start).copied().unwrap_or(true) {
                inside[range].fill(true);
            }
        }
        Net { step, task, starts, users, results, inside }
    }

    pub fn graph(&self) -> &'a Graph<Dim> {
        &self.step.graph
    }

    pub fn node(&self, id: NodeId) -> &'a Node<Dim> {
        self.step.graph.node(id)
    }

    /// Applications of what the standard library calls so, in the order in which they end.
    pub fn applied<'s>(&'s self, names: &'s [&'s str]) -> impl Iterator<Item = &'a Applied> + 's {
        self.step.applied.iter().filter(move |a| a.library && names.contains(&a.name()))
    }

    /// Who uses a node.
    pub fn users(&self, id: NodeId) -> &[NodeId] {
        &self.users[self.starts[id.index()] as usize..self.starts[id.index() + 1] as usize]
    }

    /// True if all that is done with a node is done in this part of the step.
    pub fn used_only_in(&self, id: NodeId, nodes: &Range<usize>) -> bool {
        self.users(id).iter().all(|u| nodes.contains(&u.index()))
    }

    /// True if the node was made inside the standard library.
    pub fn is_inside(&self, id: NodeId) -> bool {
        self.inside[id.index()]
    }

    /// Where the user's text asks for a node.
    pub fn at(&self, id: NodeId) -> Span {
        self.node(id).origin.span
    }

    /// The application of one of these, of the standard library, whose result the node is.
    pub fn made(&self, id: NodeId, names: &[&str]) -> Option<&'a Applied> {
        let from = self.results.partition_point(|r| r.0 < id);
        let own = self.results[from..].iter().take_while(|r| r.0 == id);
        own.map(|r| &self.step.applied[r.1 as usize]).find(|a| a.library && names.contains(&a.name()))
    }

    /// The operand whose values, perhaps in other places, are those of the node.
    pub fn moved(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id);
        match node.op {
            Op::Cast | Op::Reshape { .. } | Op::Transpose { .. } | Op::StopGradient | Op::Broadcast { .. } => {}
            Op::Slice { .. } => {}
            _ => return None,
        }
        node.inputs.first().copied()
    }

    /// The application of one of these behind a value, through moves alone and through dropout.
    pub fn behind(&self, id: NodeId, names: &[&str]) -> Option<&'a Applied> {
        self.behind_any(id, names, |_| None)
    }

    /// The application of one of these behind a value, through moves, dropout, and steps of the caller's own.
    pub fn behind_any(
        &self,
        mut id: NodeId,
        names: &[&str],
        step: impl Fn(NodeId) -> Option<NodeId>,
    ) -> Option<&'a Applied> {
        loop {
            if let Some(found) = self.made(id, names) {
                return Some(found);
            }
            let dropped = self.made(id, DROPOUTS).and_then(Applied::first).filter(|n| *n != id);
            id = dropped.or_else(|| self.moved(id)).or_else(|| step(id))?;
        }
    }

    /// The first value behind one that is not merely moved, with all on the way to it.
    pub fn origin(&self, mut id: NodeId) -> NodeId {
        while let Some(before) = self.moved(id) {
            id = before;
        }
        id
    }

    /// The number that every element of a node is, if that is known.
    pub fn constant(&self, id: NodeId) -> Option<f64> {
        match &self.node(self.origin(id)).op {
            Op::Const(v) => Some(*v),
            Op::Size { value } => value.number().map(|n| n as f64),
            _ => None,
        }
    }

    /// True if the node depends on nothing but numbers and sizes.
    pub fn is_constant(&self, id: NodeId) -> bool {
        let op = &self.node(self.origin(id)).op;
        matches!(op, Op::Const(_) | Op::Size { .. } | Op::Literal(_) | Op::Iota { .. })
    }

    /// The other operand of an operation that only scales, shifts or bounds its operand by numbers.
    pub fn rescaled(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id);
        let scales = [Binary::Mul, Binary::Div, Binary::Add, Binary::Sub, Binary::Max, Binary::Min];
        let Op::Binary(op) = node.op else { return None };
        let [a, b] = node.inputs[..] else { return None };
        if !scales.contains(&op) {
            return None;
        }
        match (self.is_constant(a), self.is_constant(b)) {
            (false, true) => Some(a),
            (true, false) => Some(b),
            _ => None,
        }
    }

    /// Everything that a node depends on, itself among it, by number.
    pub fn ancestors(&self, id: NodeId) -> Vec<bool> {
        let mut seen = vec![false; id.index() + 1];
        seen[id.index()] = true;
        for i in (0..=id.index()).rev() {
            if seen[i] {
                self.step.graph.nodes[i].inputs.iter().for_each(|n| seen[n.index()] = true);
            }
        }
        seen
    }

    /// The field that a value is, moved or converted at most.
    pub fn field(&self, id: NodeId) -> Option<usize> {
        match self.node(self.origin(id)).op {
            Op::Field(i) => Some(i as usize),
            _ => None,
        }
    }
}

/// A number known while compiling.
pub fn number(value: Option<&Value>) -> Option<f64> {
    value?.number()
}
