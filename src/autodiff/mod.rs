//! Stage 4: gradients. In goes a graph with `Gradient` nodes, out comes one without, in which each has become ordinary
//! nodes: reverse mode over the graph, from the scalar back to what it is differentiated by.
//!
//! Gradients are values like any other, so that a gradient of a gradient needs nothing of its own: nodes are expanded
//! in order, and by the time of the outer one the inner is ordinary. All gradients of one scalar share one sweep. Nodes
//! that a rule makes come from where the forward node comes from; contributions add up from the last user to the
//! first, so that the same graph gives the same bits. Bodies of scans are graphs of their own and are expanded first.

mod scan;

use std::collections::BTreeMap;

use crate::graph::{Builder, Graph, Node, NodeId, Origin};
use crate::ops::{self, GradientRule, Op, VarId};

/// A gradient that a program needs and that there is none of.
#[derive(Clone, Debug, PartialEq)]
pub struct NoGradient {
    /// The operation's name, and where it is in the program.
    pub op: &'static str,
    pub origin: Origin,
    pub why: &'static str,
}

/// Expands every `Gradient` node. What a scalar does not depend on has the gradient 0.
pub fn differentiate(graph: Graph<usize>) -> Result<Graph<usize>, NoGradient> {
    let mut expander = Expander {
        out: Graph { nodes: Vec::with_capacity(graph.nodes.len() * 2), outputs: Vec::new(), scopes: graph.scopes },
        map: Vec::with_capacity(graph.nodes.len()),
        leaves: BTreeMap::new(),
        swept: BTreeMap::new(),
    };
    let wanted = wanted_by_scalar(&graph.nodes);
    for node in graph.nodes {
        let id = expander.expand(node, &wanted)?;
        expander.map.push(id);
    }
    let Expander { mut out, map, .. } = expander;
    out.outputs = graph.outputs;
    for output in &mut out.outputs {
        output.node = map[output.node.index()];
    }
    Ok(out)
}

/// For each scalar (of the old graph), by what it is differentiated anywhere.
fn wanted_by_scalar(nodes: &[Node<usize>]) -> BTreeMap<NodeId, Vec<NodeId>> {
    let mut wanted: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.op == Op::Gradient) {
        wanted.entry(node.inputs[0]).or_default().push(node.inputs[1]);
    }
    wanted
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leaf {
    Read(VarId),
    Field(u32),
}

struct Expander {
    out: Graph<usize>,
    /// Old node to new.
    map: Vec<NodeId>,
    /// A variable read twice is one value: one node.
    leaves: BTreeMap<Leaf, NodeId>,
    /// (scalar, by) to gradient, new nodes all.
    swept: BTreeMap<(NodeId, NodeId), NodeId>,
}

impl Expander {
    fn expand(&mut self, node: Node<usize>, wanted: &BTreeMap<NodeId, Vec<NodeId>>) -> Result<NodeId, NoGradient> {
        let leaf = match node.op {
            Op::Read(var) => Some(Leaf::Read(var)),
            Op::Field(index) => Some(Leaf::Field(index)),
            _ => None,
        };
        if let Some(known) = leaf.and_then(|leaf| self.leaves.get(&leaf)) {
            return Ok(*known);
        }
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| self.map[input.index()]).collect();
        if let (Op::Gradient, &[y, x]) = (&node.op, &inputs[..]) {
            if let Some(known) = self.swept.get(&(y, x)) {
                return Ok(*known);
            }
            // What comes after the scalar cannot have gone into it; it may not even have a new node yet.
            let others = wanted.get(&node.inputs[0]).into_iter().flatten();
            let mut by: Vec<NodeId> = others.filter_map(|old| self.map.get(old.index()).copied()).collect();
            by.retain(|x| !self.swept.contains_key(&(y, *x)));
            by.sort_unstable();
            by.dedup();
            self.sweep(y, &by)?;
            return Ok(self.swept[&(y, x)]);
        }
        let op = match node.op {
            Op::Scan(mut scan) => {
                scan.body = differentiate(scan.body)?;
                Op::Scan(scan)
            }
            op => op,
        };
        let id = self.out.push(op, inputs, node.ty, node.origin);
        if let Some(leaf) = leaf {
            self.leaves.insert(leaf, id);
        }
        Ok(id)
    }

    /// The gradients of the scalar `y` by all of `by`.
    fn sweep(&mut self, y: NodeId, by: &[NodeId]) -> Result<(), NoGradient> {
        let one = Builder::at(&mut self.out, y).full_like(y, 1.0);
        let found = sweep(&mut self.out, &[(y, one)], by)?;
        for (x, found) in by.iter().zip(found) {
            let id = match found {
                Some(id) => id,
                None => Builder::at(&mut self.out, *x).full_like(*x, 0.0),
            };
            self.swept.insert((y, *x), id);
        }
        Ok(())
    }
}

/// Reverse mode from nodes of which the gradients are given, to all of `by`: their gradients, or none where there is no
/// way.
fn sweep(
    graph: &mut Graph<usize>,
    seeds: &[(NodeId, NodeId)],
    by: &[NodeId],
) -> Result<Vec<Option<NodeId>>, NoGradient> {
    let Some(top) = seeds.iter().map(|s| s.0).max() else { return Ok(vec![None; by.len()]) };
    let active = active(graph, top, by);
    let mut gradient: Vec<Option<NodeId>> = vec![None; top.index() + 1];
    let contribute = |graph: &mut Graph<usize>, at: &mut Option<NodeId>, node: NodeId, more: NodeId| {
        *at = Some(match *at {
            None => more,
            Some(sum) => Builder::at(graph, node).add(sum, more),
        });
    };
    for &(node, seed) in seeds {
        contribute(graph, &mut gradient[node.index()], node, seed);
    }
    // What flows into the results of each scan, until the scan itself is reached.
    let mut results: BTreeMap<NodeId, BTreeMap<usize, NodeId>> = BTreeMap::new();
    for id in (0..=top.0).rev().map(NodeId) {
        if !active[id.index()] {
            continue;
        }
        let inputs = graph.node(id).inputs.clone();
        if let Op::Scan(_) = graph.node(id).op {
            let Some(results) = results.remove(&id) else { continue };
            let from: Vec<bool> = inputs.iter().map(|input| active[input.index()]).collect();
            let contributions = scan::gradient(graph, id, &results, &from)?;
            for (input, contribution) in inputs.into_iter().zip(contributions) {
                let Some(contribution) = contribution.filter(|_| active[input.index()]) else { continue };
                contribute(graph, &mut gradient[input.index()], input, contribution);
            }
            continue;
        }
        let Some(dy) = gradient[id.index()] else { continue };
        if let Op::ScanResult { index } = graph.node(id).op {
            let of = results.entry(inputs[0]).or_default();
            let mut sum = of.get(&index).copied();
            contribute(graph, &mut sum, id, dy);
            sum.map(|sum| of.insert(index, sum));
            continue;
        }
        if !inputs.iter().any(|input| active[input.index()]) {
            continue;
        }
        let def = ops::def_of(&graph.node(id).op);
        let contributions = match def.gradient {
            GradientRule::None(_) => continue,
            GradientRule::Missing(why) => {
                return Err(NoGradient { op: def.name, origin: graph.node(id).origin, why });
            }
            GradientRule::Rule(rule) => rule(graph, id, dy),
        };
        for (input, contribution) in inputs.into_iter().zip(contributions) {
            let Some(contribution) = contribution.filter(|_| active[input.index()]) else { continue };
            contribute(graph, &mut gradient[input.index()], input, contribution);
        }
    }
    Ok(by.iter().map(|x| gradient.get(x.index()).copied().flatten()).collect())
}

/// The float nodes up to `top` through which a gradient flows to one of `by`.
fn active(graph: &Graph<usize>, top: NodeId, by: &[NodeId]) -> Vec<bool> {
    let nodes = &graph.nodes[..=top.index()];
    let mut active = vec![false; nodes.len()];
    for x in by.iter().filter(|x| x.index() < nodes.len()) {
        active[x.index()] = true;
    }
    let mut scans: BTreeMap<NodeId, Vec<bool>> = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        let below = match &node.op {
            Op::Scan(scan) => {
                let from: Vec<bool> = node.inputs.iter().map(|input| active[input.index()]).collect();
                let flows = scan.flows(&from);
                let any = flows.contains(&true);
                scans.insert(NodeId(i as u32), flows);
                any
            }
            Op::ScanResult { index } => scans.get(&node.inputs[0]).is_some_and(|s| s.get(*index) == Some(&true)),
            op => {
                let flows = !matches!(ops::def_of(op).gradient, GradientRule::None(_));
                flows && node.inputs.iter().any(|input| active[input.index()])
            }
        };
        active[i] = node.ty.dtype.is_float() && (active[i] || below);
    }
    active
}
