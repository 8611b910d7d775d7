//! Scans: bodies are optimised like graphs; results, carries and operands that nothing needs are gone; and what does not
//! wait for a carry is computed before the scan. The last is what makes recurrent layers fast: the product of every
//! step's input with a weight becomes one large product, and so does its gradient, which is why it comes before
//! differentiation.

use std::collections::{BTreeMap, BTreeSet};

use super::{dce, has_gradients, optimise};
use crate::graph::{Builder, Graph, NodeId, Output, OutputKind};
use crate::ops::{Op, Scan};

/// Optimises the bodies of all scans.
pub fn bodies(mut graph: Graph<usize>) -> Graph<usize> {
    for node in &mut graph.nodes {
        if let Op::Scan(scan) = &mut node.op {
            let body = std::mem::take(&mut scan.body);
            scan.body = optimise(body);
        }
    }
    graph
}

/// Drops what no result that is taken needs; and whether there was any.
pub fn prune(mut graph: Graph<usize>) -> (Graph<usize>, bool) {
    let mut taken: BTreeMap<NodeId, BTreeSet<usize>> = BTreeMap::new();
    for node in &graph.nodes {
        if let Op::ScanResult { index } = node.op {
            taken.entry(node.inputs[0]).or_default().insert(index);
        }
    }
    let mut changed = false;
    let mut numbers: BTreeMap<NodeId, Vec<Option<usize>>> = BTreeMap::new();
    for (id, used) in taken {
        let node = &mut graph.nodes[id.index()];
        if let Op::Scan(scan) = &mut node.op
            && let Some(map) = prune_one(scan, &mut node.inputs, &used)
        {
            numbers.insert(id, map);
            changed = true;
        }
    }
    for node in &mut graph.nodes {
        if let Op::ScanResult { index } = &mut node.op
            && let Some(map) = numbers.get(&node.inputs[0])
        {
            *index = map[*index].unwrap_or(0);
        }
    }
    (graph, changed)
}

/// The new number of each result, if anything is dropped.
fn prune_one(scan: &mut Scan<usize>, operands: &mut Vec<NodeId>, used: &BTreeSet<usize>) -> Option<Vec<Option<usize>>> {
    // Results and carries that are needed, and the operands that the body then reads.
    let mut needed = used.clone();
    let mut read: BTreeSet<usize>;
    loop {
        let mut live = vec![false; scan.body.nodes.len()];
        needed.iter().filter_map(|i| scan.output(*i)).for_each(|node| live[node.index()] = true);
        read = BTreeSet::new();
        for (i, node) in scan.body.nodes.iter().enumerate().rev() {
            if live[i] {
                node.inputs.iter().for_each(|input| live[input.index()] = true);
                if let Op::Parameter(p) = node.op {
                    read.insert(p as usize);
                }
            }
        }
        let before = needed.len();
        needed.extend(read.iter().copied().filter(|p| *p < scan.carries));
        if needed.len() == before {
            break;
        }
    }
    // Two stacks of one value are one.
    let mut results: Vec<Option<usize>> = vec![None; scan.body.outputs.len()];
    let mut outputs: Vec<NodeId> = Vec::new();
    let carries = needed.range(..scan.carries).count();
    for &i in &needed {
        let node = scan.output(i)?;
        let same = outputs.iter().skip(carries).position(|o| *o == node).filter(|_| i >= scan.carries);
        results[i] = Some(same.map_or(outputs.len(), |p| carries + p));
        if same.is_none() {
            outputs.push(node);
        }
    }
    // One operand twice is one parameter.
    let varying = scan.carries + scan.scanned;
    let mut parameters: Vec<Option<usize>> = vec![None; operands.len()];
    let mut kept: Vec<NodeId> = Vec::new();
    let mut scanned = 0;
    for (i, operand) in operands.iter().enumerate() {
        let keep = if i < scan.carries { needed.contains(&i) } else { read.contains(&i) };
        if !keep {
            continue;
        }
        let from = if i < scan.carries {
            kept.len()
        } else if i < varying {
            carries
        } else {
            carries + scanned
        };
        let same = kept.iter().skip(from).position(|o| o == operand).map(|p| from + p);
        parameters[i] = Some(same.unwrap_or(kept.len()));
        if same.is_none() {
            scanned += usize::from((scan.carries..varying).contains(&i));
            kept.push(*operand);
        }
    }
    if outputs.len() == scan.body.outputs.len() && kept.len() == operands.len() {
        return None;
    }
    let mut body = std::mem::take(&mut scan.body);
    let kinds = (0..).map(OutputKind::Value);
    body.outputs = outputs.into_iter().zip(kinds).map(|(node, kind)| Output { kind, node }).collect();
    body = dce(body);
    for node in &mut body.nodes {
        if let Op::Parameter(p) = &mut node.op {
            *p = parameters[*p as usize].unwrap_or(0) as u32;
        }
    }
    (scan.body, scan.carries, scan.scanned) = (body, carries, scanned);
    *operands = kept;
    Some(results)
}

/// Computes before each scan what does not wait for its carries, where that is a product: for all steps at once, or once.
pub fn hoist(graph: Graph<usize>) -> Graph<usize> {
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::Scan(_))) {
        return graph;
    }
    let mut out = Graph { nodes: Vec::with_capacity(graph.nodes.len()), outputs: graph.outputs, scopes: graph.scopes };
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for mut node in graph.nodes {
        node.inputs.iter_mut().for_each(|input| *input = map[input.index()]);
        if let Op::Scan(scan) = &mut node.op {
            let body = std::mem::take(&mut scan.body);
            scan.body = hoist(body);
            // What a scan is to compute again is not to be kept for all steps.
            if !has_gradients(&scan.body) && !scan.recompute {
                hoist_one(&mut out, scan, &mut node.inputs);
            }
        }
        map.push(out.push(node.op, node.inputs, node.ty, node.origin));
    }
    out.outputs.iter_mut().for_each(|output| output.node = map[output.node.index()]);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depends {
    /// On nothing that changes from step to step.
    Fixed,
    /// On slices only, by operations that work on all slices at once.
    Slices,
    /// On carries.
    Carries,
}

/// How the body's nodes are had outside of it.
struct Hoister<'a> {
    out: &'a mut Graph<usize>,
    scan: &'a Scan<usize>,
    operands: &'a [NodeId],
    depends: Vec<Depends>,
    fixed: BTreeMap<NodeId, NodeId>,
    stacks: BTreeMap<NodeId, NodeId>,
}

fn hoist_one(out: &mut Graph<usize>, scan: &mut Scan<usize>, operands: &mut Vec<NodeId>) {
    let depends = dependences(scan);
    let worth = worth(scan, &depends);
    // What is used by something that stays inside.
    let mut edge: BTreeSet<NodeId> = BTreeSet::new();
    for (i, node) in scan.body.nodes.iter().enumerate() {
        if !worth[i] {
            edge.extend(node.inputs.iter().copied().filter(|input| worth[input.index()]));
        }
    }
    edge.extend(scan.body.outputs.iter().map(|o| o.node).filter(|node| worth[node.index()]));
    if edge.is_empty() {
        return;
    }
    let mut needed = worth.clone();
    for (i, node) in scan.body.nodes.iter().enumerate().rev() {
        if needed[i] {
            node.inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    let mut hoister = Hoister {
        out,
        scan: &*scan,
        operands: operands.as_slice(),
        depends,
        fixed: BTreeMap::new(),
        stacks: BTreeMap::new(),
    };
    let (mut slices, mut fixed) = (Vec::new(), Vec::new());
    for id in scan.body.ids() {
        match hoister.depends[id.index()] {
            _ if !needed[id.index()] => {}
            Depends::Fixed => {
                hoister.make_fixed(id);
            }
            Depends::Slices => {
                hoister.make_stack(id);
            }
            Depends::Carries => {}
        }
    }
    for &id in &edge {
        match hoister.depends[id.index()] {
            Depends::Fixed => fixed.push((id, hoister.fixed[&id])),
            _ => slices.push((id, hoister.stacks[&id])),
        }
    }
    let varying = scan.carries + scan.scanned;
    for node in &mut scan.body.nodes {
        if let Op::Parameter(p) = &mut node.op
            && *p as usize >= varying
        {
            *p += slices.len() as u32;
        }
    }
    let replaced = slices.iter().zip(varying..).chain(fixed.iter().zip(operands.len() + slices.len()..));
    for ((id, _), parameter) in replaced {
        let node = &mut scan.body.nodes[id.index()];
        (node.op, node.inputs) = (Op::Parameter(parameter as u32), Vec::new());
    }
    scan.scanned += slices.len();
    operands.splice(varying..varying, slices.iter().map(|s| s.1));
    operands.extend(fixed.iter().map(|f| f.1));
    let body = std::mem::take(&mut scan.body);
    scan.body = dce(body);
}

fn dependences(scan: &Scan<usize>) -> Vec<Depends> {
    let varying = scan.carries + scan.scanned;
    let mut depends: Vec<Depends> = Vec::with_capacity(scan.body.nodes.len());
    for node in &scan.body.nodes {
        let of = |i: usize| depends[node.inputs[i].index()];
        let all = |what: &[Depends]| node.inputs.iter().all(|input| what.contains(&depends[input.index()]));
        depends.push(match &node.op {
            Op::Parameter(p) if (*p as usize) < scan.carries => Depends::Carries,
            Op::Parameter(p) if (*p as usize) < varying => Depends::Slices,
            Op::Scan(_) | Op::ScanResult { .. } => Depends::Carries,
            _ if all(&[Depends::Fixed]) => Depends::Fixed,
            Op::Matmul { batch: 0 } if of(0) == Depends::Slices && of(1) == Depends::Fixed => Depends::Slices,
            Op::Matmul { .. } if all(&[Depends::Slices]) => Depends::Slices,
            op if is_elementwise(op) && all(&[Depends::Fixed, Depends::Slices]) => Depends::Slices,
            Op::Broadcast { .. } | Op::Transpose { .. } | Op::Reshape { .. } | Op::Slice { .. } => of(0),
            _ => Depends::Carries,
        });
    }
    depends
}

fn is_elementwise(op: &Op<usize>) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGradient)
}

/// Products that need no carry, and what follows from them without growing.
fn worth(scan: &Scan<usize>, depends: &[Depends]) -> Vec<bool> {
    let body = &scan.body;
    let mut worth = vec![false; body.nodes.len()];
    for (i, node) in body.nodes.iter().enumerate() {
        if depends[i] == Depends::Carries {
            continue;
        }
        let from = node.inputs.iter().filter(|input| worth[input.index()]);
        let largest = from.map(|input| body.ty(*input).elements()).max();
        worth[i] = match node.op {
            Op::Matmul { .. } | Op::Conv { .. } => true,
            _ => largest.is_some_and(|most| node.ty.elements() <= most),
        };
    }
    worth
}

impl Hoister<'_> {
    fn make_fixed(&mut self, id: NodeId) {
        let node = self.scan.body.node(id);
        let new = match node.op {
            Op::Parameter(p) => self.operands[p as usize],
            _ => {
                let inputs = node.inputs.iter().map(|input| self.fixed[input]).collect();
                self.out.push(node.op.clone(), inputs, node.ty.clone(), node.origin)
            }
        };
        self.fixed.insert(id, new);
    }

    /// The values of all steps, one after the other.
    fn make_stack(&mut self, id: NodeId) {
        let node = self.scan.body.node(id);
        if let Op::Parameter(p) = node.op {
            self.stacks.insert(id, self.operands[p as usize]);
            return;
        }
        let count = self.scan.count;
        let longer = |sizes: &[usize]| [&[count], sizes].concat();
        let shifted = |axes: &[usize]| axes.iter().map(|a| a + 1).collect::<Vec<_>>();
        let mut inputs = Vec::new();
        for input in &node.inputs {
            inputs.push(match self.stacks.get(input) {
                Some(stack) => *stack,
                None => self.fixed[input],
            });
        }
        let b = Builder::new(self.out, node.origin);
        let mut ty = node.ty.clone();
        ty.shape.insert(0, count);
        let new = match &node.op {
            Op::Matmul { batch: 0 } if !self.stacks.contains_key(&node.inputs[1]) => {
                let s = b.shape(inputs[0]);
                let rows = b.reshape(inputs[0], &[s[0] * s[1], s[2]]);
                b.reshape(b.matmul(rows, inputs[1]), &ty.shape)
            }
            Op::Matmul { batch } => b.op(Op::Matmul { batch: batch + 1 }, &inputs),
            Op::Broadcast { shape, axes } => {
                let axes: Vec<usize> = std::iter::once(0).chain(shifted(axes)).collect();
                b.op(Op::Broadcast { shape: longer(shape), axes }, &inputs)
            }
            Op::Transpose { perm } => {
                let perm: Vec<usize> = std::iter::once(0).chain(shifted(perm)).collect();
                b.transpose(inputs[0], &perm)
            }
            Op::Reshape { .. } => b.reshape(inputs[0], &ty.shape),
            Op::Slice { start, size, step } => {
                let step = std::iter::once(1).chain(step.iter().copied()).collect();
                let mut from = start.clone();
                from.insert(0, 0);
                b.op(Op::Slice { start: from, size: longer(size), step }, &inputs)
            }
            op => {
                let same = |(input, outer): (&NodeId, &NodeId)| match self.stacks.contains_key(input) {
                    true => *outer,
                    false => {
                        let shape = b.shape(*outer);
                        b.broadcast(*outer, &longer(&shape), &(1..=shape.len()).collect::<Vec<_>>())
                    }
                };
                let inputs: Vec<NodeId> = node.inputs.iter().zip(&inputs).map(same).collect();
                self.out.push(op.clone(), inputs, ty, node.origin)
            }
        };
        self.stacks.insert(id, new);
    }
}
