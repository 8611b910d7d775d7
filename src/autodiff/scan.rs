//! The gradient of a scan: a scan the other way. In go a scan, the gradients of its results and which operands want one;
//! out come those, as results of a new scan (and of products after it), and the first scan has more results: what the
//! second needs of each step.
//!
//! The body is differentiated like any graph, with the gradients of its outputs as further parameters. Of the forward
//! values that the backward nodes mention, each is either an operand, or computed again from operands where that takes
//! a few scalar operations, or stacked by the first scan: memory grows with the number of steps, never faster. The
//! gradient of what is the same for all steps is a sum over steps. Where its terms are matrix products or sums over
//! axes, what goes into them is stacked and the sum over steps is one large product or sum after the scan; else a carry
//! adds them up. A scan that is to `recompute` stacks its carries alone: everything else is computed again from them, and
//! all sums are carries.

use std::collections::{BTreeMap, BTreeSet};

use super::{NoGradient, sweep};
use crate::graph::{Builder, Graph, NodeId, Output, OutputKind, TensorType, result_type};
use crate::ops::{Op, Reduce, Scan, Unary};
use crate::opt::dce;

/// Contributions to the operands of the scan `id`, given the gradients of its results (by number) and which operands a
/// gradient flows from.
pub fn gradient(
    graph: &mut Graph<usize>,
    id: NodeId,
    results: &BTreeMap<usize, NodeId>,
    from: &[bool],
) -> Result<Vec<Option<NodeId>>, NoGradient> {
    let Op::Scan(scan) = graph.node(id).op.clone() else { return Ok(vec![]) };
    let operands = graph.node(id).inputs.clone();
    let flows = scan.flows(from);
    let mut wanted = from.to_vec();
    (0..scan.carries).for_each(|i| wanted[i] |= flows[i]);

    // The body with its gradient, of what flows into its outputs.
    let mut joint = scan.body.clone();
    let forward = joint.nodes.len();
    let origin = graph.node(id).origin;
    let mut seeds = Vec::new();
    let mut incoming: Vec<(usize, NodeId)> = Vec::new();
    for (i, output) in scan.body.outputs.iter().enumerate() {
        let reached = if i < scan.carries { wanted[i] } else { flows[i] && results.contains_key(&i) };
        if !reached {
            continue;
        }
        let ty = joint.ty(output.node).clone();
        let given = joint.push(Op::Parameter((operands.len() + i) as u32), vec![], ty, origin);
        seeds.push((output.node, given));
        incoming.push((i, given));
    }
    let mut by: Vec<(usize, NodeId)> = Vec::new();
    for node in scan.body.ids() {
        if let Op::Parameter(p) = scan.body.node(node).op
            && wanted[p as usize]
        {
            by.push((p as usize, node));
        }
    }
    let found = sweep(&mut joint, &seeds, &by.iter().map(|b| b.1).collect::<Vec<_>>())?;
    let mut gradients: BTreeMap<usize, NodeId> = BTreeMap::new();
    for ((parameter, node), found) in by.into_iter().zip(found) {
        let Some(found) = found else { continue };
        let sum = match gradients.get(&parameter) {
            Some(before) => Builder::at(&mut joint, node).add(*before, found),
            None => found,
        };
        gradients.insert(parameter, sum);
    }

    let mut reverse = Reverse::new(&scan, joint, forward, operands.len(), id);
    reverse.plan(&gradients);
    reverse.finish(graph, &operands, results, &incoming, &gradients, from)
}

/// A sum over all steps.
enum Sum {
    Transpose(Vec<usize>, Box<Sum>),
    Reshape(Vec<usize>, Box<Sum>),
    Add(Box<Sum>, Box<Sum>),
    Neg(Box<Sum>),
    /// Of the sums along these axes of a stacked value.
    Reduce(NodeId, Vec<usize>),
    /// Of products of stacked matrices, of which the first may be stacked the other way round.
    Product(NodeId, bool, NodeId),
    /// A carry of the reverse scan, by number.
    Carry(usize),
}

struct Reverse<'a> {
    scan: &'a Scan<usize>,
    /// The scan that is differentiated, in the graph around.
    id: NodeId,
    /// The body, and after `forward` nodes what differentiation added.
    joint: Graph<usize>,
    forward: usize,
    /// Operands of the scan: parameters from here on are gradients.
    operands: usize,
    /// Whether a node depends on a gradient, that is: belongs to the reverse scan.
    backward: Vec<bool>,
    /// Whether a node's value is not the same in all steps.
    varying: Vec<bool>,
    /// Forward nodes that are stacked, beyond the scan's own results.
    saved: Vec<NodeId>,
    /// Nodes of which the reverse scan stacks the values.
    stacked: Vec<NodeId>,
    /// Terms that carries of the reverse scan add up.
    added: Vec<NodeId>,
    /// For each operand that is the same for all steps: its gradient.
    sums: BTreeMap<usize, Sum>,
}

impl<'a> Reverse<'a> {
    fn new(scan: &'a Scan<usize>, joint: Graph<usize>, forward: usize, operands: usize, id: NodeId) -> Reverse<'a> {
        let mut backward = vec![false; joint.nodes.len()];
        let mut varying = backward.clone();
        let fixed = scan.carries + scan.scanned..operands;
        for (i, node) in joint.nodes.iter().enumerate() {
            backward[i] = match node.op {
                Op::Parameter(p) => p as usize >= operands,
                _ => node.inputs.iter().any(|input| backward[input.index()]),
            };
            varying[i] = match node.op {
                Op::Parameter(p) => !fixed.contains(&(p as usize)),
                _ => node.inputs.iter().any(|input| varying[input.index()]),
            };
        }
        let (saved, stacked, added, sums) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        Reverse { scan, id, joint, forward, operands, backward, varying, saved, stacked, added, sums }
    }

    /// Decides how each gradient leaves the reverse scan.
    fn plan(&mut self, gradients: &BTreeMap<usize, NodeId>) {
        for (&parameter, &node) in gradients {
            if parameter >= self.scan.carries + self.scan.scanned {
                let sum = self.sum(node);
                self.sums.insert(parameter, sum);
            } else if parameter >= self.scan.carries {
                self.stack(node);
            }
        }
    }

    fn stack(&mut self, node: NodeId) {
        if !self.stacked.contains(&node) {
            self.stacked.push(node);
        }
    }

    /// Arranges that the values of all steps are stacked by one of the scans.
    fn keep(&mut self, node: NodeId) {
        if self.backward[node.index()] {
            self.stack(node);
        } else {
            self.save(node);
        }
    }

    fn save(&mut self, node: NodeId) {
        let scanned = self.scan.carries..self.scan.carries + self.scan.scanned;
        let given = matches!(self.joint.node(node).op, Op::Parameter(p) if scanned.contains(&(p as usize)));
        let result = self.scan.body.outputs.iter().skip(self.scan.carries).any(|o| o.node == node);
        if !given && !result && !self.saved.contains(&node) {
            self.saved.push(node);
        }
    }

    fn sum(&mut self, node: NodeId) -> Sum {
        if self.scan.recompute {
            // Nothing is stacked for a product afterwards.
            return self.add_up(node);
        }
        let (op, inputs) = (self.joint.node(node).op.clone(), self.joint.node(node).inputs.clone());
        match op {
            Op::Transpose { perm } => Sum::Transpose(perm, Box::new(self.sum(inputs[0]))),
            Op::Reshape { .. } => {
                let shape = self.joint.ty(node).shape.clone();
                Sum::Reshape(shape, Box::new(self.sum(inputs[0])))
            }
            Op::Binary(crate::ops::Binary::Add) => {
                Sum::Add(Box::new(self.sum(inputs[0])), Box::new(self.sum(inputs[1])))
            }
            Op::Unary(Unary::Neg) => Sum::Neg(Box::new(self.sum(inputs[0]))),
            Op::Reduce { op: Reduce::Sum, axes } if self.varying[inputs[0].index()] => {
                self.keep(inputs[0]);
                Sum::Reduce(inputs[0], axes)
            }
            Op::Matmul { batch: 0 } => {
                let (first, turned) = match &self.joint.node(inputs[0]).op {
                    Op::Transpose { .. } => (self.joint.node(inputs[0]).inputs[0], true),
                    _ => (inputs[0], false),
                };
                if !self.varying[first.index()] || !self.varying[inputs[1].index()] {
                    return self.add_up(node);
                }
                self.keep(first);
                self.keep(inputs[1]);
                Sum::Product(first, turned, inputs[1])
            }
            _ => self.add_up(node),
        }
    }

    fn add_up(&mut self, node: NodeId) -> Sum {
        self.added.push(node);
        Sum::Carry(self.added.len() - 1)
    }

    /// Whether the forward value is had from parameters by a few scalar operations.
    fn cheap(&self) -> Vec<bool> {
        let mut cost: Vec<Option<usize>> = Vec::with_capacity(self.joint.nodes.len());
        for (i, node) in self.joint.nodes.iter().enumerate() {
            let below = node.inputs.iter().try_fold(0usize, |sum, input| Some(sum + cost[input.index()]?));
            let own = match &node.op {
                Op::Parameter(p) if (*p as usize) < self.operands => Some(0),
                Op::Const(_) | Op::Size { .. } | Op::Iota { .. } | Op::Literal(_) => Some(0),
                Op::Unary(Unary::Neg | Unary::Abs | Unary::Not) => Some(1),
                Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast => Some(1),
                op if is_view(op) => Some(0),
                Op::Scan(_) | Op::ScanResult { .. } => None,
                _ if self.scan.recompute => Some(0),
                _ => None,
            };
            let most = if self.scan.recompute { usize::MAX } else { CHEAP };
            let total = own.and_then(|own| Some(own + below?)).filter(|total| *total <= most);
            cost.push(if self.backward[i] { None } else { total });
        }
        cost.into_iter().map(|c| c.is_some()).collect()
    }

    /// The nodes that the reverse body has, given what must come out, and which of them it reads: those are saved.
    fn needed(&mut self, roots: &[NodeId]) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
        let cheap = self.cheap();
        let mut needed: BTreeSet<NodeId> = roots.iter().copied().collect();
        let mut read = BTreeSet::new();
        let varying = self.scan.carries + self.scan.scanned;
        for i in (0..self.joint.nodes.len()).rev() {
            let id = NodeId(i as u32);
            if !needed.contains(&id) {
                continue;
            }
            let node = self.joint.node(id);
            let again = self.backward[i]
                || cheap[i]
                || is_view(&node.op)
                || i >= self.forward && !matches!(node.op, Op::ScanResult { .. } | Op::Matmul { .. });
            let given = matches!(node.op, Op::Parameter(p) if (p as usize) < varying);
            if again && !given {
                needed.extend(node.inputs.iter().copied());
            } else {
                read.insert(id);
                self.save(id);
            }
        }
        (needed, read)
    }
    /// The result of the differentiated scan that stacks a forward node, or the operand that it is a slice of.
    fn stack_of(&self, graph: &mut Graph<usize>, operands: &[NodeId], node: NodeId) -> NodeId {
        if let Op::Parameter(p) = self.joint.node(node).op
            && (p as usize) >= self.scan.carries
        {
            return operands[p as usize];
        }
        let own = self.scan.body.outputs.iter().skip(self.scan.carries).position(|o| o.node == node);
        let index = match own {
            Some(i) => self.scan.carries + i,
            None => self.scan.body.outputs.len() + self.saved.iter().position(|s| *s == node).unwrap_or(0),
        };
        let mut ty = self.joint.ty(node).clone();
        ty.shape.insert(0, self.scan.count);
        let origin = graph.node(self.id).origin;
        graph.push(Op::ScanResult { index }, vec![self.id], ty, origin)
    }

    fn finish(
        mut self,
        graph: &mut Graph<usize>,
        operands: &[NodeId],
        results: &BTreeMap<usize, NodeId>,
        incoming: &[(usize, NodeId)],
        gradients: &BTreeMap<usize, NodeId>,
        from: &[bool],
    ) -> Result<Vec<Option<NodeId>>, NoGradient> {
        let origin = graph.node(self.id).origin;
        let carries = self.scan.carries;
        // Gradients of carries are the first carries of the reverse scan.
        let carried: Vec<(usize, NodeId)> = incoming.iter().copied().filter(|(i, _)| *i < carries).collect();
        let mut roots: Vec<NodeId> = carried.iter().filter_map(|(i, _)| gradients.get(i).copied()).collect();
        roots.extend(self.stacked.iter().chain(&self.added));
        let (needed, read) = self.needed(&roots);

        // The differentiated scan stacks what the other needs.
        let mut extended = self.scan.clone();
        extended.body = Graph { outputs: extended.body.outputs, ..self.joint.clone() };
        for node in &self.saved {
            let kind = OutputKind::Value(extended.body.outputs.len() as u32);
            extended.body.outputs.push(Output { kind, node: *node });
        }
        extended.body = dce(extended.body);
        graph.nodes[self.id.index()].op = Op::Scan(Box::new(extended));

        // The reverse body. Its parameters are numbered when all are known.
        let mut body = Graph { scopes: self.joint.scopes.clone(), ..Graph::default() };
        let mut map: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let parameter =
            |body: &mut Graph<usize>, ty: &TensorType<usize>| body.push(Op::Parameter(0), vec![], ty.clone(), origin);
        let (mut firsts, mut slices, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
        for (i, node) in &carried {
            let own = parameter(&mut body, self.joint.ty(*node));
            let first = match results.get(i) {
                Some(given) => *given,
                None => Builder::new(graph, origin).full(0.0, self.joint.ty(*node)),
            };
            map.insert(*node, own);
            firsts.push((own, first));
        }
        for (i, node) in incoming.iter().filter(|(i, _)| *i >= carries) {
            let own = parameter(&mut body, self.joint.ty(*node));
            map.insert(*node, own);
            slices.push((own, results[i]));
        }
        let mut sums = Vec::new();
        for node in &self.added {
            let ty = self.joint.ty(*node).clone();
            let own = parameter(&mut body, &ty);
            sums.push(own);
            firsts.push((own, Builder::new(graph, origin).full(0.0, &ty)));
        }
        let varying = carries + self.scan.scanned;
        for id in self.joint.ids() {
            if map.contains_key(&id) || !needed.contains(&id) {
                continue;
            }
            let node = self.joint.node(id);
            let new = match node.op {
                Op::Parameter(p) if p as usize >= varying => {
                    let own = parameter(&mut body, &node.ty);
                    fixed.push((own, operands[p as usize]));
                    own
                }
                _ if read.contains(&id) => {
                    let own = parameter(&mut body, &node.ty);
                    slices.push((own, self.stack_of(graph, operands, id)));
                    own
                }
                _ => {
                    let inputs = node.inputs.iter().map(|input| map[input]).collect();
                    body.push(node.op.clone(), inputs, node.ty.clone(), node.origin)
                }
            };
            map.insert(id, new);
        }
        for (number, (own, _)) in firsts.iter().chain(&slices).chain(&fixed).enumerate() {
            body.nodes[own.index()].op = Op::Parameter(number as u32);
        }
        let mut outputs: Vec<NodeId> = Vec::new();
        for (i, node) in &carried {
            outputs.push(match gradients.get(i) {
                Some(next) => map[next],
                None => Builder::new(&mut body, origin).full(0.0, self.joint.ty(*node)),
            });
        }
        for (node, own) in self.added.iter().zip(&sums) {
            outputs.push(Builder::new(&mut body, origin).add(*own, map[node]));
        }
        outputs.extend(self.stacked.iter().map(|node| map[node]));
        let kinds = (0..).map(OutputKind::Value);
        body.outputs = outputs.into_iter().zip(kinds).map(|(node, kind)| Output { kind, node }).collect();
        let reverse = Scan {
            body: dce(body),
            count: self.scan.count,
            reverse: !self.scan.reverse,
            carries: firsts.len(),
            scanned: slices.len(),
            recompute: self.scan.recompute,
        };
        let types: Vec<_> = (0..reverse.body.outputs.len()).map(|i| result_type(&reverse, i)).collect();
        let inputs: Vec<NodeId> = firsts.iter().chain(&slices).chain(&fixed).map(|(_, operand)| *operand).collect();
        let node = graph.add(Op::Scan(Box::new(reverse)), &inputs, origin);
        let taken: Vec<NodeId> = types
            .into_iter()
            .enumerate()
            .filter_map(|(index, ty)| Some(graph.push(Op::ScanResult { index }, vec![node], ty?, origin)))
            .collect();

        let (carry_sums, stacks) = (&taken[carried.len()..firsts.len()], &taken[firsts.len()..]);
        let mut out: Vec<Option<NodeId>> = vec![None; operands.len()];
        for (position, (i, _)) in carried.iter().enumerate() {
            out[*i] = Some(taken[position]).filter(|_| from[*i]);
        }
        for (parameter, node) in gradients.range(carries..varying) {
            let position = self.stacked.iter().position(|s| s == node);
            out[*parameter] = position.map(|p| stacks[p]);
        }
        for (parameter, sum) in &self.sums {
            out[*parameter] = Some(self.summed(graph, operands, sum, carry_sums, stacks));
        }
        Ok(out)
    }

    /// A sum over steps, after the reverse scan.
    fn summed(
        &self,
        graph: &mut Graph<usize>,
        operands: &[NodeId],
        sum: &Sum,
        carries: &[NodeId],
        stacks: &[NodeId],
    ) -> NodeId {
        let origin = graph.node(self.id).origin;
        let stack = |graph: &mut Graph<usize>, node: NodeId| match self.stacked.iter().position(|s| *s == node) {
            Some(i) => stacks[i],
            None => self.stack_of(graph, operands, node),
        };
        match sum {
            Sum::Carry(i) => carries[*i],
            Sum::Transpose(perm, inner) => {
                let inner = self.summed(graph, operands, inner, carries, stacks);
                Builder::new(graph, origin).transpose(inner, perm)
            }
            Sum::Reshape(shape, inner) => {
                let inner = self.summed(graph, operands, inner, carries, stacks);
                Builder::new(graph, origin).reshape(inner, shape)
            }
            Sum::Add(a, b) => {
                let a = self.summed(graph, operands, a, carries, stacks);
                let b = self.summed(graph, operands, b, carries, stacks);
                Builder::new(graph, origin).add(a, b)
            }
            Sum::Neg(inner) => {
                let inner = self.summed(graph, operands, inner, carries, stacks);
                Builder::new(graph, origin).neg(inner)
            }
            Sum::Reduce(node, axes) => {
                let all = stack(graph, *node);
                let axes: Vec<usize> = std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect();
                Builder::new(graph, origin).sum(all, &axes)
            }
            Sum::Product(first, turned, second) => {
                let (a, c) = (stack(graph, *first), stack(graph, *second));
                let b = Builder::new(graph, origin);
                let rows = |x: NodeId| {
                    let s = b.shape(x);
                    b.reshape(x, &[s[0] * s[1], s[2]])
                };
                let a = match turned {
                    true => b.swap_last(rows(a)),
                    false => {
                        let s = b.shape(a);
                        b.reshape(b.transpose(a, &[1, 0, 2]), &[s[1], s[0] * s[2]])
                    }
                };
                b.matmul(a, rows(c))
            }
        }
    }
}

/// Scalar operations for an element that are cheaper than memory.
const CHEAP: usize = 3;

fn is_view(op: &Op<usize>) -> bool {
    matches!(op, Op::Broadcast { .. } | Op::Transpose { .. } | Op::Reshape { .. } | Op::Slice { .. } | Op::StopGradient)
}
