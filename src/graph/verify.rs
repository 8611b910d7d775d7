//! What every graph that can run promises: operands before their users, types as inferred, outputs that fit; and that
//! the body of each scan is such a graph of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, OutputKind, TensorType};
use crate::ops::{self, Op, Scan, VarId};

/// The first broken promise, in words.
pub fn verify(graph: &Graph<usize>) -> Result<(), String> {
    verify_level(graph, false)
}

/// [`verify`] of a graph that may be the body of a scan.
pub fn verify_part(graph: &Graph<usize>) -> Result<(), String> {
    verify_level(graph, graph.nodes.iter().any(|node| matches!(node.op, Op::Parameter(_))))
}

fn verify_level(graph: &Graph<usize>, body: bool) -> Result<(), String> {
    let mut reads: BTreeMap<VarId, &TensorType<usize>> = BTreeMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let name = ops::def_of(&node.op).name;
        if let Some(late) = node.inputs.iter().find(|input| input.index() >= i) {
            return Err(format!("%{i} = {name} uses %{} before it exists", late.0));
        }
        if node.origin.scope as usize >= graph.scopes.len() {
            return Err(format!("%{i} = {name} is of scope {}, which does not exist", node.origin.scope));
        }
        let types: Vec<TensorType<usize>> = node.inputs.iter().map(|input| graph.ty(*input).clone()).collect();
        if let Err(fault) = ops::admits(&node.op, &types, &node.ty) {
            return Err(format!("%{i} = {name}: {fault:?}"));
        }
        match &node.op {
            Op::Parameter(_) if !body => return Err(format!("%{i} = {name} stands outside of a scan")),
            Op::Scan(scan) => {
                let inner = verify_level(&scan.body, true);
                inner.map_err(|why| format!("in the body of %{i} = {name}: {why}"))?;
            }
            Op::ScanResult { index } => {
                let taken = match &graph.node(node.inputs[0]).op {
                    Op::Scan(scan) => result_type(scan, *index),
                    _ => None,
                };
                if taken.as_ref() != Some(&node.ty) {
                    return Err(format!("%{i} = {name} is {}, the scan gives {taken:?}", node.ty));
                }
            }
            _ => {}
        }
        if let Op::Read(var) = node.op
            && *reads.entry(var).or_insert(&node.ty) != &node.ty
        {
            return Err(format!("%{i} = {name}: variable {} has two types", var.0));
        }
    }
    let mut kinds: BTreeSet<OutputKind> = BTreeSet::new();
    for output in &graph.outputs {
        let Some(node) = graph.nodes.get(output.node.index()) else {
            return Err(format!("output {:?} is node %{}, which does not exist", output.kind, output.node.0));
        };
        if let OutputKind::Update(var) = output.kind
            && let Some(ty) = reads.get(&var)
            && **ty != node.ty
        {
            return Err(format!("variable {} is {ty} and its update is {}", var.0, node.ty));
        }
        if !kinds.insert(output.kind) {
            return Err(format!("output {:?} is given twice", output.kind));
        }
    }
    Ok(())
}

/// The type of a scan's result: a carry's, or that of what a step gives with the steps in front.
pub fn result_type(scan: &Scan<usize>, index: usize) -> Option<TensorType<usize>> {
    let mut ty = scan.body.ty(scan.output(index)?).clone();
    if index >= scan.carries {
        ty.shape.insert(0, scan.count);
    }
    Some(ty)
}
