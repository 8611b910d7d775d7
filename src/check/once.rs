//! What a task that generates computes once a prompt: in goes its step, out come two graphs: the values that depend on
//! the prompt's other fields but not on the one that grows (an encoder, the keys and values that a decoder takes of it),
//! and the step, which takes them as fields.

use super::program::{FieldFrom, FieldUse, Report, ReportKind, StepGraph};
use crate::dims::{Dim, Sym};
use crate::graph::{Graph, Node, NodeId, Output, OutputKind};
use crate::ops::Op;

/// More fields than a step takes.
const MOST_FIELDS: usize = 32;

/// Moves what does not depend on the growing field, of this length, into a graph of its own; none if that is nothing
/// worth it. What is moved has the batch axis first.
pub fn split(step: &mut StepGraph, fields: &mut Vec<FieldUse>, length: &Sym, batch: Option<&Sym>) -> Option<StepGraph> {
    let batch = Dim::from(batch?.clone());
    let graph = &step.graph;
    let count = graph.nodes.len();
    // Of the prompt: it depends on a field, and not on the growing one.
    let (mut grows, mut given) = (vec![false; count], vec![false; count]);
    for (i, node) in graph.nodes.iter().enumerate() {
        let growing = |f: u32| fields.get(f as usize).is_none_or(|f| is_growing(f, fields));
        grows[i] = match node.op {
            Op::Field(f) => growing(f),
            _ => mentions(node, length) || node.inputs.iter().any(|n| grows[n.index()]),
        };
        given[i] = matches!(node.op, Op::Field(_)) || node.inputs.iter().any(|n| given[n.index()]);
    }
    let mut once: Vec<bool> = (0..count).map(|i| given[i] && !grows[i]).collect();
    // From the last on: what the step would take but cannot be a field stays, and its operands are taken instead.
    let mut taken = vec![false; count];
    for output in &graph.outputs {
        once[output.node.index()] = false;
    }
    for i in (0..count).rev() {
        let node = &graph.nodes[i];
        let is_field = matches!(node.op, Op::Field(_));
        if taken[i] && once[i] && !is_field && node.ty.shape.first() != Some(&batch) {
            once[i] = false;
        }
        if !once[i] {
            node.inputs.iter().for_each(|n| taken[n.index()] = true);
        }
    }
    let moved = |i: usize| once[i] && taken[i] && !matches!(graph.nodes[i].op, Op::Field(_));
    let values: Vec<usize> = (0..count).filter(|i| moved(*i)).collect();
    if values.is_empty() || values.len() + fields.len() > MOST_FIELDS {
        return None;
    }
    let outputs =
        values.iter().enumerate().map(|(k, i)| Output { kind: OutputKind::Value(k as u32), node: NodeId(*i as u32) });
    let before = needed(&Graph { outputs: outputs.collect(), ..graph.clone() });
    let mut rest = graph.clone();
    for (k, i) in values.iter().enumerate() {
        let node = &mut rest.nodes[*i];
        let shape = node.ty.shape[1..].to_vec();
        let from = FieldFrom::Once(k as u32);
        let name = format!("once {k}");
        node.op = Op::Field(fields.len() as u32);
        node.inputs.clear();
        fields.push(FieldUse::new(name, node.ty.dtype, shape, from));
    }
    step.graph = needed(&rest);
    let span = |i: &usize| rest.nodes[*i].origin.span;
    let reports = values
        .iter()
        .enumerate()
        .map(|(k, i)| Report { name: format!("once {k}"), kind: ReportKind::Prediction, span: span(i) })
        .collect();
    Some(StepGraph { graph: before, reports, ..StepGraph::default() })
}

/// Whether a field is the growing one, or its length.
fn is_growing(field: &FieldUse, fields: &[FieldUse]) -> bool {
    match &field.from {
        FieldFrom::Growing => true,
        FieldFrom::Length(of) => fields.get(*of).is_some_and(|f| f.from == FieldFrom::Growing),
        _ => false,
    }
}

/// Whether a node's type or operation speaks of this size.
fn mentions(node: &Node<Dim>, sym: &Sym) -> bool {
    let has = |d: &Dim| d.symbols().contains(sym);
    if node.ty.shape.iter().any(has) {
        return true;
    }
    match &node.op {
        Op::Size { value } => has(value),
        Op::Scan(scan) => has(&scan.count) || scan.body.nodes.iter().any(|n| mentions(n, sym)),
        op => {
            let mut found = false;
            let _: Result<_, ()> = op.try_map(&mut |d: &Dim| {
                found |= has(d);
                Ok(0usize)
            });
            found
        }
    }
}

/// The part of a graph that its outputs need.
pub fn needed(graph: &Graph<Dim>) -> Graph<Dim> {
    let mut keep = vec![false; graph.nodes.len()];
    for output in &graph.outputs {
        keep[output.node.index()] = true;
    }
    for i in (0..graph.nodes.len()).rev() {
        if keep[i] {
            graph.nodes[i].inputs.iter().for_each(|n| keep[n.index()] = true);
        }
    }
    let mut place = vec![NodeId(0); graph.nodes.len()];
    let mut nodes = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate().filter(|(i, _)| keep[*i]) {
        let inputs = node.inputs.iter().map(|n| place[n.index()]).collect();
        place[i] = NodeId(nodes.len() as u32);
        nodes.push(Node { inputs, ..node.clone() });
    }
    let outputs = graph.outputs.iter().map(|o| Output { kind: o.kind, node: place[o.node.index()] }).collect();
    Graph { nodes, outputs, scopes: graph.scopes.clone() }
}
