//! Operations that add many halves up, or run in kernels of f32, are done in f32 and rounded once. In: a graph that can
//! run. Out: one with the same values in which no sum, product, cumulative fold, scatter, pooling gradient, matrix product or convolution
//! is of f16 or bf16: their operands are cast before and their results after. The casts become part of the loops around.
//!
//! Operands are cast below the views that they are seen through, so that a weight and its transpose are one buffer.

use crate::graph::{Graph, NodeId, TensorType};
use crate::ops::{DType, Op, Reduce};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The graph without sums of halves; the same one if it has none.
pub fn widen(graph: &Graph<usize>) -> Cow<'_, Graph<usize>> {
    let sums = |id: NodeId| {
        let node = graph.node(id);
        node.ty.dtype.is_half() && adds_up(&node.op)
    };
    if !graph.ids().any(sums) {
        return Cow::Borrowed(graph);
    }
    let mut out = Graph { nodes: Vec::new(), outputs: graph.outputs.clone(), scopes: graph.scopes.clone() };
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    let mut wide = BTreeMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|i| map[i.index()]).collect();
        map.push(if sums(id) {
            for input in &mut inputs {
                *input = widened(&mut out, *input, &mut wide);
            }
            let ty = TensorType::new(DType::F32, node.ty.shape.clone());
            let sum = out.push(node.op.clone(), inputs, ty, node.origin);
            out.push(Op::Cast, vec![sum], node.ty.clone(), node.origin)
        } else {
            out.push(node.op.clone(), inputs, node.ty.clone(), node.origin)
        });
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    Cow::Owned(out)
}

fn adds_up(op: &Op<usize>) -> bool {
    matches!(
        op,
        Op::Reduce { op: Reduce::Sum | Reduce::Prod, .. }
            | Op::Cumulate { .. }
            | Op::ScatterAdd { .. }
            | Op::SumPool { .. }
            | Op::SumPoolGrad { .. }
            | Op::MaxPoolGrad { .. }
            | Op::Matmul { .. }
            | Op::Conv { .. }
            | Op::ConvInputGrad { .. }
            | Op::ConvWeightGrad { .. }
    )
}

/// The node in f32, cast as far below as it is only moved; each cast is made once.
fn widened(out: &mut Graph<usize>, id: NodeId, wide: &mut BTreeMap<NodeId, NodeId>) -> NodeId {
    let node = out.node(id).clone();
    if !node.ty.dtype.is_half() {
        return id;
    }
    if let Some(&known) = wide.get(&id) {
        return known;
    }
    let ty = TensorType::new(DType::F32, node.ty.shape.clone());
    let moves = matches!(
        node.op,
        Op::Transpose { .. } | Op::Reshape { .. } | Op::Broadcast { .. } | Op::Slice { .. } | Op::StopGradient
    );
    let made = if moves {
        let input = widened(out, node.inputs[0], wide);
        out.push(node.op, vec![input], ty, node.origin)
    } else {
        out.push(Op::Cast, vec![id], ty, node.origin)
    };
    wide.insert(id, made);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{parse, verify};

    #[test]
    fn sums_of_halves_are_done_in_f32() {
        let text = "%0 = field index=0 : bf16[4, 3]
%1 = transpose(%0) perm=[1, 0] : bf16[3, 4]
%2 = matmul(%0, %1) batch=0 : bf16[4, 4]
%3 = sum(%2) axes=[0] : bf16[4]
%4 = max(%2) axes=[0] : bf16[4]
value 0 = %3
value 1 = %4
";
        let graph = parse(text).unwrap();
        let wide = widen(&graph);
        verify(&wide).unwrap();
        let count = |op: fn(&Op<usize>) -> bool, dtype: DType| {
            wide.nodes.iter().filter(|n| op(&n.op) && n.ty.dtype == dtype).count()
        };
        assert_eq!(count(|op| matches!(op, Op::Matmul { .. }), DType::F32), 1);
        assert_eq!(count(|op| matches!(op, Op::Transpose { .. }), DType::F32), 1);
        // The field once, the product once.
        assert_eq!(count(|op| *op == Op::Cast, DType::F32), 2);
        // The larger of two halves is one of them.
        assert_eq!(count(|op| matches!(op, Op::Reduce { op: Reduce::Max, .. }), DType::BF16), 1);
        assert_eq!(wide.ty(wide.outputs[0].node).dtype, DType::BF16);
        let plain = parse("%0 = field index=0 : f32[4]\n%1 = sum(%0) axes=[0] : f32[]\nvalue 0 = %1\n").unwrap();
        assert!(matches!(widen(&plain), Cow::Borrowed(_)));
    }
}
