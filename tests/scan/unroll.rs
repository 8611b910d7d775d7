//! Scans written out: a graph without them that computes the same.

use nnc::graph::{Builder, Graph, NodeId, Origin};
use nnc::ops::{Op, Scan};
use std::collections::BTreeMap;

/// The graph with every step of every scan written out.
pub fn unrolled(graph: &Graph<usize>) -> Graph<usize> {
    let mut out = Graph { scopes: graph.scopes.clone(), ..Graph::default() };
    let map = copy(graph, &mut out, &[]);
    out.outputs = graph.outputs.clone();
    out.outputs.iter_mut().for_each(|o| o.node = map[&o.node]);
    out
}

fn copy(graph: &Graph<usize>, out: &mut Graph<usize>, parameters: &[NodeId]) -> BTreeMap<NodeId, NodeId> {
    let mut map: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    let mut results: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().filter_map(|i| map.get(i)).copied().collect();
        let new = match &node.op {
            Op::Scan(scan) => {
                results.insert(id, steps(scan, out, &inputs));
                continue;
            }
            Op::ScanResult { index } => results[&node.inputs[0]][*index],
            Op::Parameter(i) => parameters[*i as usize],
            op => out.push(op.clone(), inputs, node.ty.clone(), node.origin),
        };
        map.insert(id, new);
    }
    map
}

fn steps(scan: &Scan<usize>, out: &mut Graph<usize>, operands: &[NodeId]) -> Vec<NodeId> {
    let mut carries = operands[..scan.carries].to_vec();
    let given = scan.carries + scan.scanned;
    let mut stacks: Vec<Vec<NodeId>> = vec![Vec::new(); scan.body.outputs.len() - scan.carries];
    for step in 0..scan.count {
        let place = if scan.reverse { scan.count - 1 - step } else { step };
        let mut parameters = carries.clone();
        for x in &operands[scan.carries..given] {
            let b = Builder::new(out, Origin::NOWHERE);
            let shape = b.shape(*x);
            let mut start = vec![0; shape.len()];
            let mut size = shape.clone();
            (start[0], size[0]) = (place, 1);
            parameters.push(b.reshape(b.window(*x, &start, &size), &shape[1..]));
        }
        parameters.extend(&operands[given..]);
        let map = copy(&scan.body, out, &parameters);
        for (i, output) in scan.body.outputs.iter().enumerate() {
            match i.checked_sub(scan.carries) {
                None => carries[i] = map[&output.node],
                Some(i) => stacks[i].push(map[&output.node]),
            }
        }
    }
    for (i, mut stack) in stacks.into_iter().enumerate() {
        if scan.reverse {
            stack.reverse();
        }
        let mut shape = scan.body.ty(scan.body.outputs[scan.carries + i].node).clone();
        shape.shape.insert(0, 1);
        let b = Builder::new(out, Origin::NOWHERE);
        let rows: Vec<NodeId> = stack.into_iter().map(|x| b.reshape(x, &shape.shape)).collect();
        carries.push(match rows.is_empty() {
            false => b.op(Op::Concat { axis: 0 }, &rows),
            true => {
                shape.shape[0] = 0;
                b.full(0.0, &shape)
            }
        });
    }
    carries
}
