//! Building graphs with inferred types: what gradient rules, rewrites and tests write graphs with.
//!
//! Everything here is for graphs of numbers, whose operands are known to fit: a misfit is a fault of the compiler and
//! panics with the operation's name; [`Graph::try_add`] gives it back instead.

use std::cell::RefCell;

use super::{Graph, NodeId, Origin, TensorType};
use crate::ops::{self, Binary, Compare, DType, Op, Reduce, ShapeFault, Unary};

impl Graph<usize> {
    /// Appends an operation; its type is inferred. `Cast`, `Const` and `Literal` give `f32` (see [`Graph::push`] for
    /// others); `Read` and `Field` have no inferred type.
    pub fn try_add(&mut self, op: Op<usize>, inputs: &[NodeId], origin: Origin) -> Result<NodeId, ShapeFault> {
        let types: Vec<TensorType<usize>> = inputs.iter().map(|i| self.ty(*i).clone()).collect();
        let ty = ops::infer_concrete(&op, &types)?;
        Ok(self.push(op, inputs.to_vec(), ty, origin))
    }

    /// [`Graph::try_add`] for operands that are known to fit.
    pub fn add(&mut self, op: Op<usize>, inputs: &[NodeId], origin: Origin) -> NodeId {
        let name = ops::def_of(&op).name;
        match self.try_add(op, inputs, origin) {
            Ok(id) => id,
            Err(fault) => panic!("the compiler built `{name}` of operands that do not fit: {fault:?}"),
        }
    }

    /// A scalar constant.
    pub fn constant(&mut self, value: f64, dtype: DType, origin: Origin) -> NodeId {
        self.push(Op::Const(value), vec![], TensorType::new(dtype, vec![]), origin)
    }

    /// A tensor of one value.
    pub fn full(&mut self, value: f64, ty: &TensorType<usize>, origin: Origin) -> NodeId {
        let scalar = self.constant(value, ty.dtype, origin);
        if ty.shape.is_empty() {
            return scalar;
        }
        self.add(Op::Broadcast { shape: ty.shape.clone(), axes: vec![] }, &[scalar], origin)
    }

    /// The number that every element of the node is known to be.
    pub fn uniform_value(&self, mut id: NodeId) -> Option<f64> {
        loop {
            let node = self.node(id);
            match &node.op {
                Op::Const(value) => return Some(*value),
                Op::Broadcast { .. } | Op::Transpose { .. } | Op::Reshape { .. } | Op::Slice { .. } => {
                    id = node.inputs[0];
                }
                _ => return None,
            }
        }
    }
}

/// Appends nodes of one origin. Methods take `&self`, so that calls nest: `b.mul(dy, b.exp(x))`.
pub struct Builder<'g> {
    graph: RefCell<&'g mut Graph<usize>>,
    origin: Origin,
}

impl<'g> Builder<'g> {
    pub fn new(graph: &'g mut Graph<usize>, origin: Origin) -> Builder<'g> {
        Builder { graph: RefCell::new(graph), origin }
    }

    /// New nodes come from where `node` comes from.
    pub fn at(graph: &'g mut Graph<usize>, node: NodeId) -> Builder<'g> {
        let origin = graph.node(node).origin;
        Builder::new(graph, origin)
    }

    pub fn ty(&self, id: NodeId) -> TensorType<usize> {
        self.graph.borrow().ty(id).clone()
    }

    pub fn shape(&self, id: NodeId) -> Vec<usize> {
        self.graph.borrow().ty(id).shape.clone()
    }

    pub fn op(&self, op: Op<usize>, inputs: &[NodeId]) -> NodeId {
        self.graph.borrow_mut().add(op, inputs, self.origin)
    }

    pub fn constant(&self, value: f64, dtype: DType) -> NodeId {
        self.graph.borrow_mut().constant(value, dtype, self.origin)
    }

    pub fn full(&self, value: f64, ty: &TensorType<usize>) -> NodeId {
        self.graph.borrow_mut().full(value, ty, self.origin)
    }

    /// `value` in the shape and dtype of `id`.
    pub fn full_like(&self, id: NodeId, value: f64) -> NodeId {
        let ty = self.ty(id);
        self.full(value, &ty)
    }

    pub fn unary(&self, op: Unary, x: NodeId) -> NodeId {
        self.op(Op::Unary(op), &[x])
    }

    pub fn binary(&self, op: Binary, a: NodeId, b: NodeId) -> NodeId {
        self.op(Op::Binary(op), &[a, b])
    }

    pub fn neg(&self, x: NodeId) -> NodeId {
        self.unary(Unary::Neg, x)
    }

    pub fn add(&self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(Binary::Add, a, b)
    }

    pub fn sub(&self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(Binary::Sub, a, b)
    }

    pub fn mul(&self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(Binary::Mul, a, b)
    }

    pub fn div(&self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(Binary::Div, a, b)
    }

    /// `x + value`.
    pub fn shift(&self, x: NodeId, value: f64) -> NodeId {
        self.add(x, self.full_like(x, value))
    }

    /// `x * value`.
    pub fn scale(&self, x: NodeId, value: f64) -> NodeId {
        self.mul(x, self.full_like(x, value))
    }

    pub fn compare(&self, op: Compare, a: NodeId, b: NodeId) -> NodeId {
        self.op(Op::Compare(op), &[a, b])
    }

    /// `x op value`, elementwise.
    pub fn compare_to(&self, op: Compare, x: NodeId, value: f64) -> NodeId {
        self.compare(op, x, self.full_like(x, value))
    }

    pub fn select(&self, condition: NodeId, a: NodeId, b: NodeId) -> NodeId {
        self.op(Op::Select, &[condition, a, b])
    }

    /// `a` where the condition holds, elsewhere 0.
    pub fn keep_where(&self, condition: NodeId, a: NodeId) -> NodeId {
        self.select(condition, a, self.full_like(a, 0.0))
    }

    pub fn cast(&self, x: NodeId, dtype: DType) -> NodeId {
        let ty = self.ty(x);
        if ty.dtype == dtype {
            return x;
        }
        self.graph.borrow_mut().push(Op::Cast, vec![x], TensorType::new(dtype, ty.shape), self.origin)
    }

    /// Axis `i` of `x` becomes axis `axes[i]` of `shape`.
    pub fn broadcast(&self, x: NodeId, shape: &[usize], axes: &[usize]) -> NodeId {
        if self.shape(x) == shape {
            return x;
        }
        self.op(Op::Broadcast { shape: shape.to_vec(), axes: axes.to_vec() }, &[x])
    }

    pub fn transpose(&self, x: NodeId, perm: &[usize]) -> NodeId {
        self.op(Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    /// Swaps the last two axes.
    pub fn swap_last(&self, x: NodeId) -> NodeId {
        let rank = self.shape(x).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 2, rank - 1);
        self.transpose(x, &perm)
    }

    pub fn reshape(&self, x: NodeId, shape: &[usize]) -> NodeId {
        if self.shape(x) == shape {
            return x;
        }
        self.op(Op::Reshape { shape: shape.to_vec() }, &[x])
    }

    /// Elements `start .. start + size` of every axis.
    pub fn window(&self, x: NodeId, start: &[usize], size: &[usize]) -> NodeId {
        if self.shape(x) == size {
            return x;
        }
        self.op(Op::Slice { start: start.to_vec(), size: size.to_vec(), step: vec![1; start.len()] }, &[x])
    }

    /// Pads with zeros.
    pub fn pad(&self, x: NodeId, low: &[usize], high: &[usize]) -> NodeId {
        if low.iter().chain(high).all(|n| *n == 0) {
            return x;
        }
        self.op(Op::Pad { low: low.to_vec(), high: high.to_vec(), value: 0.0 }, &[x])
    }

    pub fn reduce(&self, op: Reduce, x: NodeId, axes: &[usize]) -> NodeId {
        if axes.is_empty() {
            return x;
        }
        self.op(Op::Reduce { op, axes: axes.to_vec() }, &[x])
    }

    pub fn sum(&self, x: NodeId, axes: &[usize]) -> NodeId {
        self.reduce(Reduce::Sum, x, axes)
    }

    pub fn matmul(&self, a: NodeId, b: NodeId) -> NodeId {
        let batch = self.shape(a).len() - 2;
        self.op(Op::Matmul { batch }, &[a, b])
    }
}
