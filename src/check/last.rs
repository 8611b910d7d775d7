//! Of a step that gives scores for every place of the growing field only the last place is wanted: in goes the node of all
//! places, out comes one of the last place alone, computed from the last places of its operands as far as that is possible.
//! Behind the last attention of a net everything runs over one place then, the head with its large vocabulary among it.

use crate::dims::{Dim, Sym};
use crate::graph::{Graph, Node, NodeId, TensorType};
use crate::ops::Op;
use std::collections::{BTreeMap, BTreeSet};

/// Appends what gives the last place along `axis`, which keeps its place with size 1.
pub fn place(graph: &mut Graph<Dim>, node: NodeId, axis: usize, length: &Sym) -> NodeId {
    let count = graph.nodes.len();
    // What is needed in full all the same is cut instead of computed once more.
    let mut trial = Last { graph: graph.clone(), length: Dim::from(length.clone()), ..Last::default() };
    let end = trial.of(node, axis);
    let mut needed = BTreeSet::from([end.index()]);
    for i in (0..trial.graph.nodes.len()).rev() {
        if needed.contains(&i) {
            needed.extend(trial.graph.nodes[i].inputs.iter().map(|n| n.index()));
        }
    }
    let whole = needed.into_iter().filter(|i| *i < count).collect();
    let mut last = Last { graph: std::mem::take(graph), length: trial.length, whole, ..Last::default() };
    let end = last.of(node, axis);
    *graph = last.graph;
    end
}

#[derive(Default)]
struct Last {
    graph: Graph<Dim>,
    length: Dim,
    /// Nodes that are needed in full.
    whole: BTreeSet<usize>,
    made: BTreeMap<(NodeId, usize), NodeId>,
}

impl Last {
    /// The last place along an axis whose size is the length, or so many lengths: a place of each.
    fn of(&mut self, node: NodeId, axis: usize) -> NodeId {
        if let Some(made) = self.made.get(&(node, axis)) {
            return *made;
        }
        let is = self.graph.node(node).clone();
        let found = match self.whole.contains(&node.index()) {
            true => None,
            false => self.through(&is, axis),
        };
        let made = match found {
            Some((op, inputs)) => {
                let mut ty = is.ty.clone();
                ty.shape[axis] = self.count(&is.ty, axis);
                self.push(op, inputs, ty, &is)
            }
            None => self.cut(node, &is, axis),
        };
        self.made.insert((node, axis), made);
        made
    }

    /// How many lengths an axis is.
    fn count(&self, ty: &TensorType<Dim>, axis: usize) -> Dim {
        ty.shape[axis].exact_div(&self.length).unwrap_or_else(|| Dim::from(1i64))
    }

    fn push(&mut self, op: Op<Dim>, inputs: Vec<NodeId>, ty: TensorType<Dim>, like: &Node<Dim>) -> NodeId {
        self.graph.nodes.push(Node { op, inputs, ty, origin: like.origin });
        NodeId(self.graph.nodes.len() as u32 - 1)
    }

    /// The same operation over last places; none if it is not one that treats places alike.
    fn through(&mut self, node: &Node<Dim>, axis: usize) -> Option<(Op<Dim>, Vec<NodeId>)> {
        let inputs = node.inputs.clone();
        let shape = |last: &Last, i: usize| last.graph.ty(inputs[i]).shape.clone();
        let count = self.count(&node.ty, axis);
        let mut op = node.op.clone();
        let inputs = match &mut op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGradient => {
                inputs.iter().map(|n| self.of(*n, axis)).collect()
            }
            Op::Broadcast { shape: to, axes } => {
                let size = std::mem::replace(&mut to[axis], count);
                match axes.iter().position(|a| *a == axis) {
                    Some(own) if shape(self, 0)[own] == size => vec![self.of(inputs[0], own)],
                    _ => inputs,
                }
            }
            Op::Transpose { perm } => vec![self.of(inputs[0], perm[axis])],
            Op::Reshape { shape: to } => {
                // The axis of the operand that has as many elements before its lengths.
                let before = |shape: &[Dim], axis: usize, count: &Dim| {
                    shape[..axis].iter().fold(count.clone(), |product, d| product.mul(d))
                };
                let wanted = before(to, axis, &count);
                let from = shape(self, 0);
                let own = (0..from.len()).find(|i| {
                    from[*i].exact_div(&self.length).is_some_and(|count| before(&from, *i, &count) == wanted)
                })?;
                to[axis] = count;
                vec![self.of(inputs[0], own)]
            }
            Op::Reduce { axes, .. } => {
                let rank = shape(self, 0).len();
                let own = (0..rank).filter(|i| !axes.contains(i)).nth(axis)?;
                vec![self.of(inputs[0], own)]
            }
            Op::Matmul { batch } => {
                let rank = node.ty.shape.len();
                let (left, right) = (axis < *batch || axis + 2 == rank, axis < *batch || axis + 1 == rank);
                let a = if left { self.of(inputs[0], axis) } else { inputs[0] };
                let b = if right { self.of(inputs[1], axis) } else { inputs[1] };
                vec![a, b]
            }
            Op::Take { axis: at } => {
                let index = shape(self, 1).len();
                if !(*at..*at + index).contains(&axis) {
                    return None;
                }
                vec![inputs[0], self.of(inputs[1], axis - *at)]
            }
            Op::Concat { axis: along } if *along != axis => inputs.iter().map(|n| self.of(*n, axis)).collect(),
            Op::Slice { start, size, step } => {
                let whole = start[axis] == Dim::default() && step[axis] == 1 && shape(self, 0)[axis] == size[axis];
                if !whole {
                    return None;
                }
                size[axis] = count;
                vec![self.of(inputs[0], axis)]
            }
            _ => return None,
        };
        Some((op, inputs))
    }

    /// The last place, cut out of all.
    fn cut(&mut self, node: NodeId, is: &Node<Dim>, axis: usize) -> NodeId {
        let (count, one) = (self.count(&is.ty, axis), Dim::from(1i64));
        let mut apart = is.ty.clone();
        apart.shape[axis] = self.length.clone();
        apart.shape.insert(axis, count.clone());
        let apart_node = match count == one {
            true => node,
            false => self.push(Op::Reshape { shape: apart.shape.clone() }, vec![node], apart.clone(), is),
        };
        let (mut from, at) = if count == one { (is.ty.clone(), axis) } else { (apart, axis + 1) };
        let mut start = vec![Dim::default(); from.shape.len()];
        start[at] = self.length.sub(&one);
        from.shape[at] = one.clone();
        let op = Op::Slice { start, size: from.shape.clone(), step: vec![1; from.shape.len()] };
        let cut = self.push(op, vec![apart_node], from, is);
        if count == one {
            return cut;
        }
        let mut ty = is.ty.clone();
        ty.shape[axis] = count;
        self.push(Op::Reshape { shape: ty.shape.clone() }, vec![cut], ty, is)
    }
}
