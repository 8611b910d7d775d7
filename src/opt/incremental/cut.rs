//! The rewriting: from the result backwards, of every value its new places, or all of them.

use super::depends::{Depends, left, reshaped};
use super::{Incremental, Places};
use crate::graph::{Graph, NodeId, Origin, Output, OutputKind, TensorType};
use crate::ops::{Binary, DType, Op, VarId};
use std::collections::BTreeMap;

pub struct Cut<'a> {
    graph: &'a Graph<usize>,
    depends: &'a [Option<Depends>],
    places: &'a Places<'a>,
    length: usize,
    out: Graph<usize>,
    kept: Vec<TensorType<usize>>,
    whole: BTreeMap<NodeId, NodeId>,
    parts: BTreeMap<(NodeId, usize), NodeId>,
    start: NodeId,
}

impl<'a> Cut<'a> {
    pub fn new(graph: &'a Graph<usize>, depends: &'a [Option<Depends>], places: &'a Places, length: usize) -> Cut<'a> {
        let mut out = Graph { scopes: graph.scopes.clone(), ..Graph::default() };
        let scalar = TensorType::new(DType::I32, vec![]);
        let start = out.push(Op::Field(places.start), vec![], scalar, Origin::NOWHERE);
        let (whole, parts) = (BTreeMap::new(), BTreeMap::new());
        Cut { graph, depends, places, length, out, kept: Vec::new(), whole, parts, start }
    }

    pub fn all(mut self, result: NodeId) -> Option<Incremental> {
        // In order, so that no walk is deep; what fails here fails again where it is needed.
        for id in self.graph.ids() {
            if let Some(Depends::Places { axis } | Depends::Pairs { rows: axis, .. }) = self.depends[id.index()] {
                self.part(id, axis);
            }
        }
        let node = self.part(result, 1)?;
        self.out.outputs.push(Output { kind: OutputKind::Value(0), node });
        Some(Incremental { graph: self.out, kept: self.kept })
    }

    /// All places of a value.
    fn whole(&mut self, id: NodeId) -> Option<NodeId> {
        if let Some(done) = self.whole.get(&id) {
            return Some(*done);
        }
        let node = self.graph.node(id);
        let moves =
            matches!(node.op, Op::Transpose { .. } | Op::Reshape { .. } | Op::Broadcast { .. } | Op::StopGradient);
        let done = match self.depends[id.index()]? {
            Depends::Places { axis } if !moves => self.keep(id, axis)?,
            Depends::Pairs { .. } => return None,
            _ => {
                let inputs = node.inputs.iter().map(|n| self.whole(*n)).collect::<Option<_>>()?;
                self.out.push(node.op.clone(), inputs, node.ty.clone(), node.origin)
            }
        };
        self.whole.insert(id, done);
        Some(done)
    }

    /// All places of a value, from a variable whose new places are written.
    fn keep(&mut self, id: NodeId, axis: usize) -> Option<NodeId> {
        let part = self.part(id, axis)?;
        let (ty, origin) = (self.graph.ty(id).clone(), self.graph.node(id).origin);
        let apart = self.apart(&ty, axis, self.length);
        let rows = self.reshape(part, self.apart(&ty, axis, self.places.count).shape, origin);
        let var = VarId(self.places.variable + self.kept.len() as u32);
        self.kept.push(apart.clone());
        let old = self.out.push(Op::Read(var), vec![], apart.clone(), origin);
        let at = if apart.rank() == ty.rank() { axis } else { axis + 1 };
        let new = self.out.push(Op::UpdateSlice { axis: at }, vec![old, rows, self.start], apart, origin);
        self.out.outputs.push(Output { kind: OutputKind::Update(var), node: new });
        Some(self.reshape(new, ty.shape, origin))
    }

    /// A type whose places, so many, have an axis of their own.
    fn apart(&self, ty: &TensorType<usize>, axis: usize, count: usize) -> TensorType<usize> {
        let mut shape = ty.shape.clone();
        let lead = shape[axis] / self.length;
        shape[axis] = count;
        if lead != 1 {
            shape.insert(axis, lead);
        }
        TensorType::new(ty.dtype, shape)
    }

    fn reshape(&mut self, id: NodeId, shape: Vec<usize>, origin: Origin) -> NodeId {
        if self.out.ty(id).shape == shape {
            return id;
        }
        let ty = TensorType::new(self.out.ty(id).dtype, shape.clone());
        self.out.push(Op::Reshape { shape }, vec![id], ty, origin)
    }

    /// The new places of a value along an axis.
    fn part(&mut self, id: NodeId, axis: usize) -> Option<NodeId> {
        if let Some(done) = self.parts.get(&(id, axis)) {
            return Some(*done);
        }
        let node = self.graph.node(id);
        let mut ty = node.ty.clone();
        ty.shape[axis] = ty.shape[axis] / self.length * self.places.count;
        let own = match self.depends[id.index()]? {
            Depends::Places { axis: a } | Depends::Pairs { rows: a, .. } => a == axis,
            Depends::Fixed => false,
        };
        let through = self.through(id, axis)?;
        let done = match through {
            Some((op, inputs)) => self.out.push(op, inputs, ty, node.origin),
            None if own => return None,
            None => self.taken(id, axis)?,
        };
        self.parts.insert((id, axis), done);
        Some(done)
    }

    /// The number of the first new place, and how far each is from it.
    fn counted(&mut self, origin: Origin) -> (NodeId, NodeId) {
        let size = self.places.count;
        let ty = TensorType::new(DType::I32, vec![size]);
        let from = Op::Broadcast { shape: vec![size], axes: vec![] };
        let from = self.out.push(from, vec![self.start], ty.clone(), origin);
        (from, self.out.push(Op::Iota { size }, vec![], ty, origin))
    }

    /// New places, taken out of all.
    fn taken(&mut self, id: NodeId, axis: usize) -> Option<NodeId> {
        let (ty, origin) = (self.graph.ty(id).clone(), self.graph.node(id).origin);
        let all = self.whole(id)?;
        let apart = self.apart(&ty, axis, self.length);
        let at = if apart.rank() == ty.rank() { axis } else { axis + 1 };
        let all = self.reshape(all, apart.shape, origin);
        let (first, offset) = self.counted(origin);
        let numbers = self.out.ty(first).clone();
        let index = self.out.push(Op::Binary(Binary::Add), vec![first, offset], numbers, origin);
        let rows = self.apart(&ty, axis, self.places.count);
        let taken = self.out.push(Op::Take { axis: at }, vec![all, index], rows, origin);
        let mut shape = ty.shape;
        shape[axis] = shape[axis] / self.length * self.places.count;
        Some(self.reshape(taken, shape, origin))
    }

    /// The same operation over new places; the inner none if it does not treat places alike, the outer one if what it needs
    /// cannot be had.
    #[allow(clippy::type_complexity, reason = "one use")]
    fn through(&mut self, id: NodeId, axis: usize) -> Option<Option<(Op<usize>, Vec<NodeId>)>> {
        let node = self.graph.node(id);
        let (inputs, rank) = (&node.inputs, node.ty.shape.len());
        let from = |i: usize| &self.graph.ty(inputs[i]).shape;
        let count = node.ty.shape[axis] / self.length * self.places.count;
        let mut op = node.op.clone();
        let made = match &mut op {
            Op::Field(f) if *f == self.places.growing => vec![],
            Op::Iota { size } if *size == self.length => {
                let (from, iota) = self.counted(node.origin);
                return Some(Some((Op::Binary(Binary::Add), vec![from, iota])));
            }
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGradient => {
                inputs.iter().map(|n| self.part(*n, axis)).collect::<Option<_>>()?
            }
            Op::Broadcast { shape, axes } => {
                let size = std::mem::replace(&mut shape[axis], count);
                match axes.iter().position(|a| *a == axis).filter(|own| from(0)[*own] == size) {
                    Some(own) => vec![self.part(inputs[0], own)?],
                    None => vec![self.whole(inputs[0])?],
                }
            }
            Op::Transpose { perm } => vec![self.part(inputs[0], perm[axis])?],
            Op::Reshape { shape } => {
                let Some(own) = reshaped(shape, axis, from(0), self.length) else { return Some(None) };
                shape[axis] = count;
                vec![self.part(inputs[0], own)?]
            }
            Op::Slice { start, size, step } => {
                if start[axis] != 0 || step[axis] != 1 || size[axis] != from(0)[axis] {
                    return Some(None);
                }
                size[axis] = count;
                vec![self.part(inputs[0], axis)?]
            }
            Op::Pad { low, high, .. } if low[axis] == 0 && high[axis] == 0 => vec![self.part(inputs[0], axis)?],
            Op::Concat { axis: along } if *along != axis => {
                inputs.iter().map(|n| self.part(*n, axis)).collect::<Option<_>>()?
            }
            Op::Reduce { axes, .. } => vec![self.part(inputs[0], unreduced(axis, axes, from(0).len())?)?],
            Op::ArgReduce { axis: along, .. } => {
                vec![self.part(inputs[0], unreduced(axis, &[*along], from(0).len())?)?]
            }
            Op::Cumulate { axis: along, .. } | Op::ArgSort { axis: along, .. } if *along != axis => {
                vec![self.part(inputs[0], axis)?]
            }
            Op::Take { axis: at } => {
                let index = from(1).len();
                if (*at..*at + index).contains(&axis) {
                    vec![self.whole(inputs[0])?, self.part(inputs[1], axis - *at)?]
                } else {
                    let own = if axis < *at { axis } else { axis + 1 - index };
                    vec![self.part(inputs[0], own)?, self.whole(inputs[1])?]
                }
            }
            Op::Matmul { batch } => {
                let (first, second) = (axis < *batch || axis + 2 == rank, axis < *batch || axis + 1 == rank);
                let a = if first { self.part(inputs[0], axis)? } else { self.whole(inputs[0])? };
                let b = if second { self.part(inputs[1], axis)? } else { self.whole(inputs[1])? };
                vec![a, b]
            }
            _ => return Some(None),
        };
        Some(Some((op, made)))
    }
}

/// The axis that a reduction left as this one.
fn unreduced(axis: usize, reduced: &[usize], rank: usize) -> Option<usize> {
    (0..rank).find(|a| left(*a, reduced) == Some(axis))
}
