//! The precision that a task computes in: a pass over its step before anything is differentiated, so that gradients follow
//! by themselves. In: the step's graph, with `Gradient` nodes. Out: a graph with the same variables, fields and types of
//! results. Variables stay what they were declared: under bf16 they are the f32 master weights and optimizer state.
//!
//! **bf16** casts the f32 operands of matrix products and convolutions (so of linear layers, attention, einsum) to bf16,
//! and their results, which are summed in f32 and rounded to bf16 once, back to f32. So do their gradients, and a
//! parameter's gradient arrives in f32. All else stays f32: activations, softmax, losses, norms, pooling, every reduction,
//! and the update. What a program declares to be of another dtype than f32 stays that.
//!
//! **f64** makes every f32 value of the step an f64, as an aid to finding where digits are lost.

use crate::graph::{Graph, NodeId, OutputKind, TensorType};
use crate::ops::{DType, Op};
use std::collections::BTreeMap;

/// The step in this precision; any but bf16 and f64 changes nothing.
pub fn with_precision(graph: Graph<usize>, precision: DType) -> Graph<usize> {
    match precision {
        DType::BF16 => products_in(graph, DType::BF16),
        DType::F64 => all_in_f64(graph),
        _ => graph,
    }
}

/// The nodes that results and losses depend on: not those that only make new values of variables.
fn computed(graph: &Graph<usize>) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    for output in &graph.outputs {
        if matches!(output.kind, OutputKind::Value(_)) {
            needed[output.node.index()] = true;
        }
    }
    for node in graph.nodes.iter().filter(|n| n.op == Op::Gradient) {
        needed[node.inputs[0].index()] = true;
    }
    for id in graph.ids().rev() {
        if needed[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    needed
}

fn products_in(graph: Graph<usize>, dtype: DType) -> Graph<usize> {
    let needed = computed(&graph);
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: graph.outputs, scopes: graph.scopes };
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    let mut casts: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for (mut node, needed) in graph.nodes.into_iter().zip(needed) {
        if let Op::Scan(scan) = &mut node.op
            && needed
        {
            scan.body = products_in(std::mem::take(&mut scan.body), dtype);
        }
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|i| map[i.index()]).collect();
        let product = matches!(
            node.op,
            Op::Matmul { .. } | Op::Conv { .. } | Op::ConvInputGrad { .. } | Op::ConvWeightGrad { .. }
        );
        if !product || !needed || node.ty.dtype != DType::F32 {
            map.push(out.push(node.op, inputs, node.ty, node.origin));
            continue;
        }
        for input in &mut inputs {
            let ty = TensorType::new(dtype, out.ty(*input).shape.clone());
            *input = *casts.entry(*input).or_insert_with(|| out.push(Op::Cast, vec![*input], ty, node.origin));
        }
        let ty = TensorType::new(dtype, node.ty.shape.clone());
        let result = out.push(node.op, inputs, ty, node.origin);
        map.push(out.push(Op::Cast, vec![result], node.ty, node.origin));
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    out
}

fn all_in_f64(graph: Graph<usize>) -> Graph<usize> {
    let types: Vec<TensorType<usize>> = graph.nodes.iter().map(|n| n.ty.clone()).collect();
    let old: Vec<NodeId> = graph.outputs.iter().map(|o| o.node).collect();
    let mut out = widened(graph);
    for (i, old) in old.into_iter().enumerate() {
        let (node, ty) = (out.outputs[i].node, types[old.index()].clone());
        if *out.ty(node) != ty {
            let origin = out.node(node).origin;
            out.outputs[i].node = out.push(Op::Cast, vec![node], ty, origin);
        }
    }
    out
}

/// With f64 for f32 everywhere, results and parameters of a scan's body included.
fn widened(graph: Graph<usize>) -> Graph<usize> {
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: graph.outputs, scopes: graph.scopes };
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for mut node in graph.nodes {
        let inputs = node.inputs.iter().map(|i| map[i.index()]).collect();
        if let Op::Scan(scan) = &mut node.op {
            scan.body = widened(std::mem::take(&mut scan.body));
        }
        if node.ty.dtype != DType::F32 || matches!(node.op, Op::Scan(_)) {
            map.push(out.push(node.op, inputs, node.ty, node.origin));
            continue;
        }
        let wide = TensorType::new(DType::F64, node.ty.shape.clone());
        // What comes from outside has the type that it has there.
        let outside = matches!(node.op, Op::Read(_) | Op::Field(_) | Op::Clock(_) | Op::Uniform { .. });
        map.push(if outside {
            let read = out.push(node.op, inputs, node.ty, node.origin);
            out.push(Op::Cast, vec![read], wide, node.origin)
        } else {
            out.push(node.op, inputs, wide, node.origin)
        });
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{parse, verify};

    const STEP: &str = "%0 = field index=0 : f32[5, 3]
%1 = read var=0 : f32[3, 2]
%2 = matmul(%0, %1) batch=0 : f32[5, 2]
%3 = tanh(%2) : f32[5, 2]
%4 = sum(%3) axes=[0, 1] : f32[]
%5 = gradient(%4, %1) : f32[3, 2]
%6 = transpose(%5) perm=[1, 0] : f32[2, 3]
%7 = matmul(%5, %6) batch=0 : f32[3, 3]
%8 = matmul(%7, %5) batch=0 : f32[3, 2]
%9 = sub(%1, %8) : f32[3, 2]
value 0 = %4
update 0 = %9
";

    fn dtypes(graph: &Graph<usize>, name: &str) -> Vec<DType> {
        let is = |n: &&crate::graph::Node<usize>| crate::ops::def_of(&n.op).name == name;
        graph.nodes.iter().filter(is).map(|n| n.ty.dtype).collect()
    }

    #[test]
    fn products_of_the_loss_are_in_bf16_and_nothing_else() {
        let graph = with_precision(parse(STEP).unwrap(), DType::BF16);
        verify(&graph).unwrap();
        // Those of the update are not.
        assert_eq!(dtypes(&graph, "matmul"), [DType::BF16, DType::F32, DType::F32]);
        assert_eq!(dtypes(&graph, "tanh"), [DType::F32]);
        let step = crate::autodiff::differentiate(graph).unwrap();
        let step = crate::opt::optimise(step);
        verify(&step).unwrap();
        // Forward and gradient of the weight; the field needs none.
        assert_eq!(dtypes(&step, "matmul"), [DType::BF16, DType::BF16, DType::F32, DType::F32]);
        assert!(step.outputs.iter().all(|o| step.ty(o.node).dtype == DType::F32));
    }

    #[test]
    fn everything_is_in_f64_but_what_comes_in_and_goes_out() {
        let graph = with_precision(parse(STEP).unwrap(), DType::F64);
        verify(&graph).unwrap();
        for name in ["matmul", "tanh", "sum", "gradient", "sub"] {
            assert!(dtypes(&graph, name).iter().all(|d| *d == DType::F64), "{name}");
        }
        assert_eq!((dtypes(&graph, "read"), dtypes(&graph, "field")), (vec![DType::F32], vec![DType::F32]));
        assert!(graph.outputs.iter().all(|o| graph.ty(o.node).dtype == DType::F32));
    }

    #[test]
    fn f32_is_what_programs_are_in() {
        let graph = parse(STEP).unwrap();
        assert_eq!(with_precision(graph.clone(), DType::F32), graph);
    }
}
