//! Views: how runtime kernels see operands. In: a node that is a chain of transposes, slices, reshapes and broadcasts.
//! Out: the node whose buffer is read, and where in it each element lies.

use super::fuse_prepare::strip;
use crate::graph::{Graph, NodeId};
use crate::ops::Op;

/// Element `i` of the tensor is element `offset + sum(strides * i)` of the buffer of `base`.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub base: NodeId,
    pub offset: i64,
    pub strides: Vec<i64>,
}

/// Strides of a row-major tensor.
pub fn contiguous(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i] as i64;
    }
    strides
}

/// The farthest node that `node` is a strided view of, at worst itself.
pub fn view(graph: &Graph<usize>, node: NodeId) -> View {
    let n = graph.node(node);
    let whole = || View { base: node, offset: 0, strides: contiguous(&n.ty.shape) };
    match &n.op {
        Op::StopGradient => view(graph, n.inputs[0]),
        Op::Transpose { perm } => {
            let v = view(graph, n.inputs[0]);
            View { strides: perm.iter().map(|&p| v.strides[p]).collect(), ..v }
        }
        Op::Broadcast { shape, axes } => {
            let v = view(graph, n.inputs[0]);
            let from = &graph.ty(n.inputs[0]).shape;
            let mut strides = vec![0; shape.len()];
            for (i, &axis) in axes.iter().enumerate() {
                strides[axis] = if from[i] == shape[axis] { v.strides[i] } else { 0 };
            }
            View { strides, ..v }
        }
        Op::Slice { start, step, .. } => {
            let v = view(graph, n.inputs[0]);
            let offset = v.offset + start.iter().zip(&v.strides).map(|(&a, s)| a as i64 * s).sum::<i64>();
            View { offset, strides: v.strides.iter().zip(step).map(|(s, k)| s * k).collect(), ..v }
        }
        Op::Reshape { shape } => {
            let v = view(graph, n.inputs[0]);
            match reshape(&graph.ty(n.inputs[0]).shape, &v.strides, shape) {
                Some(strides) => View { strides, ..v },
                None => whole(),
            }
        }
        _ => whole(),
    }
}

/// Strides of the same elements in another shape, if there are any.
pub fn reshape(from: &[usize], strides: &[i64], to: &[usize]) -> Option<Vec<i64>> {
    // Where there is no element, all strides are right.
    if to.contains(&0) {
        return Some(contiguous(to));
    }
    // Merge neighbours that are contiguous with each other, then cut the runs again.
    let mut runs: Vec<(usize, i64)> = Vec::new();
    for (&size, &stride) in from.iter().zip(strides).filter(|(s, _)| **s != 1) {
        match runs.last_mut() {
            Some((n, s)) if *s == stride * size as i64 => (*n, *s) = (*n * size, stride),
            _ => runs.push((size, stride)),
        }
    }
    let mut out = vec![0; to.len()];
    let mut run = runs.pop();
    let mut used = 1;
    for (i, &size) in to.iter().enumerate().rev().filter(|(_, s)| **s != 1) {
        let (n, stride) = run?;
        if n % (used * size) != 0 {
            return None;
        }
        out[i] = stride * used as i64;
        used *= size;
        if used == n {
            (run, used) = (runs.pop(), 1);
        }
    }
    Some(out)
}

/// An operand of a matrix product as (batch, row, column) strides. If the batch axes are no single stride, or an axis runs
/// backwards, the node itself must be a buffer.
pub fn matmul_operand(graph: &Graph<usize>, node: NodeId, batch: usize) -> View {
    if let Op::Transpose { perm } = &graph.node(node).op {
        // A swap of rows and columns is for free whatever is below it.
        if perm[batch..] == [batch + 1, batch] && (0..batch).all(|i| perm[i] == i) {
            let mut v = matmul_operand(graph, graph.node(node).inputs[0], batch);
            v.strides.swap(1, 2);
            return v;
        }
    }
    let shape = &graph.ty(node).shape;
    let fits = |v: &View| -> Option<Vec<i64>> {
        let count: usize = shape[..batch].iter().product();
        let merged = reshape(&shape[..batch], &v.strides[..batch], &[count])?;
        let strides = [&merged[..], &v.strides[batch..]].concat();
        strides.iter().all(|s| *s >= 0).then_some(strides)
    };
    let v = view(graph, node);
    if let Some(strides) = fits(&v) {
        return View { strides, ..v };
    }
    let own = View { base: strip(graph, node), offset: 0, strides: contiguous(shape) };
    let strides = fits(&own).unwrap_or_else(|| own.strides.clone());
    View { strides, ..own }
}

/// The node whose buffer holds exactly this tensor, row by row.
pub fn dense_operand(graph: &Graph<usize>, node: NodeId) -> NodeId {
    strip(graph, node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_of_strides() {
        assert_eq!(reshape(&[2, 3, 4], &[12, 4, 1], &[6, 4]), Some(vec![4, 1]));
        assert_eq!(reshape(&[2, 3, 4], &[12, 1, 3], &[2, 12]), None);
        assert_eq!(reshape(&[2, 12], &[12, 1], &[2, 3, 1, 4]), Some(vec![12, 4, 0, 1]));
        assert_eq!(reshape(&[4, 6], &[1, 4], &[2, 2, 6]), Some(vec![2, 1, 4]));
        assert_eq!(reshape(&[5], &[0], &[5, 1]), Some(vec![0, 0]));
        assert_eq!(reshape(&[0, 2, 3], &[6, 3, 1], &[0, 3]), Some(vec![3, 1]));
    }
}
