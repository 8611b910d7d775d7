//! Fusion: which nodes one kernel computes. In: a graph. Out: groups, each of which becomes one launch, such that every
//! node that more than one group reads has a buffer, no group waits for itself, and nothing expensive is computed more
//! often than it has elements.
//!
//! Nodes are visited from the last to the first, so the groups that use a node are known before it is decided whether it
//! lives inside them or in a buffer of its own.

use super::fuse_access::Access;
use super::fuse_prepare::{is_buffer, is_leaf, prepare};
use super::fuse_view::{dense_operand, matmul_operand};
use crate::graph::{Graph, NodeId};
use crate::ops::{Binary, Op, Unary};

/// What a group is run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// One loop kernel.
    Loops,
    /// One loop kernel that stores elements more than once (scatter, gradients of overlapping windows).
    Nest,
    /// A runtime kernel.
    Runtime,
}

/// A value that a group stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// What is evaluated.
    pub value: NodeId,
    /// Whose buffer it goes to: `value` itself, or a `Concat` of which it is a part.
    pub target: NodeId,
    /// Where along the axis of the `Concat`.
    pub part: Option<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub kind: GroupKind,
    /// Loops of the kernel go over the elements of the first root; the others have as many.
    pub roots: Vec<Root>,
    /// Nodes that only this group evaluates.
    pub members: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Grouping {
    /// The graph as prepared for fusion; nodes below are its.
    pub graph: Graph<usize>,
    pub groups: Vec<Group>,
    /// Nodes with a buffer of their own.
    pub stored: Vec<bool>,
}

/// Scalar operations that may be repeated in every consumer.
const CHEAP: usize = 4;
/// Nodes of one kernel.
const LARGEST: usize = 160;
/// Work of folds above which few iterations do not give threads enough to do.
const MUCH: usize = 8192;

/// Groups the nodes of a graph into kernels.
pub fn fuse(graph: &Graph<usize>) -> Grouping {
    let graph = prepare(graph);
    let n = graph.nodes.len();
    let mut consumers = vec![Vec::new(); n];
    for id in graph.ids() {
        for &input in &graph.node(id).inputs {
            consumers[input.index()].push(id);
        }
    }
    let must = must_store(&graph);
    let costs = costs(&graph, &consumers, &must);
    let mut fuser = Fuser {
        uses: vec![Vec::new(); n],
        member: vec![None; n],
        stored: vec![false; n],
        groups: Vec::new(),
        graph: &graph,
        consumers,
        must,
        costs,
    };
    for id in graph.ids().rev() {
        fuser.visit(id);
    }
    let (groups, stored) = (fuser.groups, fuser.stored);
    Grouping { groups, stored, graph }
}

/// True for windows that touch each element once and leave none over: their gradients are index maps.
pub fn exact_windows(window: &crate::ops::Window<usize>, size: &[usize], out: &[usize]) -> bool {
    window.kernel == window.stride
        && window.dilation.iter().all(|&d| d == 1)
        && window.pad_low.iter().chain(&window.pad_high).all(|&p| p == 0)
        && size.iter().zip(out).zip(&window.kernel).all(|((s, o), k)| *s == o * k)
        && window.kernel.iter().product::<usize>() <= 16
}

/// True for operations whose kernel stores elements more than once.
pub fn is_nest(graph: &Graph<usize>, id: NodeId) -> bool {
    let node = graph.node(id);
    match &node.op {
        Op::ScatterAdd { .. } | Op::UpdateSlice { .. } | Op::Cumulate { .. } | Op::ArgSort { .. } => true,
        Op::MaxPoolGrad { window } | Op::SumPoolGrad { window, .. } => {
            let dy = &graph.ty(*node.inputs.last().unwrap_or(&id)).shape;
            let lead = node.ty.shape.len() - window.kernel.len();
            !exact_windows(window, &node.ty.shape[lead..], &dy[lead..])
        }
        _ => false,
    }
}

pub fn is_runtime(op: &Op<usize>) -> bool {
    let convolution = matches!(op, Op::Conv { .. } | Op::ConvInputGrad { .. } | Op::ConvWeightGrad { .. });
    convolution || matches!(op, Op::Matmul { .. } | Op::Scan(_))
}

fn is_view(op: &Op<usize>) -> bool {
    matches!(
        op,
        Op::Broadcast { .. }
            | Op::Transpose { .. }
            | Op::Reshape { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::StopGradient
    )
}

/// The buffers that a runtime kernel reads.
pub fn runtime_bases(graph: &Graph<usize>, id: NodeId) -> Vec<NodeId> {
    let node = graph.node(id);
    let base = |&i: &NodeId| match node.op {
        Op::Matmul { batch } => matmul_operand(graph, i, batch).base,
        _ => dense_operand(graph, i),
    };
    node.inputs.iter().map(base).collect()
}

/// Outputs, and operands of kernels that read buffers only.
fn must_store(graph: &Graph<usize>) -> Vec<bool> {
    let mut must = vec![false; graph.nodes.len()];
    graph.outputs.iter().for_each(|o| must[o.node.index()] = true);
    for id in graph.ids() {
        let node = graph.node(id);
        if is_runtime(&node.op) {
            must[id.index()] = true;
            runtime_bases(graph, id).iter().for_each(|b| must[b.index()] = true);
        } else if is_nest(graph, id) {
            must[id.index()] = true;
            if !matches!(node.op, Op::ScatterAdd { .. } | Op::UpdateSlice { .. }) {
                node.inputs.iter().for_each(|i| must[i.index()] = true);
            }
        } else if matches!(node.op, Op::Concat { .. } | Op::ScanResult { .. }) {
            must[id.index()] = true;
        }
    }
    graph.ids().filter(|&i| is_buffer(&graph.node(i).op)).for_each(|i| must[i.index()] = false);
    must
}

/// What an element costs if everything without a buffer is computed where it is used.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    ops: usize,
    loads: usize,
    /// A fold is part of it.
    fold: bool,
}

const LOAD: Cost = Cost { ops: 0, loads: 1, fold: false };

fn costs(graph: &Graph<usize>, consumers: &[Vec<NodeId>], must: &[bool]) -> Vec<Cost> {
    let mut costs: Vec<Cost> = Vec::new();
    // What a node adds to its consumers' costs.
    let mut passed: Vec<Cost> = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let mut sum = Cost::default();
        let mut seen: Vec<NodeId> = Vec::new();
        for &i in &node.inputs {
            if !seen.contains(&i) {
                seen.push(i);
                let c = passed[i.index()];
                sum.ops = sum.ops.saturating_add(c.ops);
                sum.loads += c.loads;
                sum.fold |= c.fold;
            }
        }
        let mut own = |n: usize| sum.ops = sum.ops.saturating_add(n);
        match &node.op {
            op if is_buffer(op) => sum = LOAD,
            Op::Const(_) => {}
            Op::Unary(op) => own(match op {
                Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf => 8,
                Unary::Sqrt => 2,
                _ => 1,
            }),
            Op::Binary(op) => own(match op {
                Binary::Pow | Binary::Atan2 => 16,
                Binary::Div => 2,
                Binary::Rem => 3,
                _ => 1,
            }),
            Op::Compare(_) | Op::Select | Op::Cast | Op::Iota { .. } => own(1),
            Op::Uniform { .. } => own(100),
            Op::Broadcast { .. } if sum.fold => sum = LOAD,
            Op::Reduce { .. } | Op::ArgReduce { .. } => {
                let from = graph.ty(node.inputs[0]).elements();
                sum.ops = sum.ops.saturating_add(1).saturating_mul(from / node.ty.elements().max(1));
                sum.fold = true;
            }
            Op::MaxPool { window } | Op::SumPool { window } => {
                sum.ops = sum.ops.saturating_add(1).saturating_mul(window.kernel.iter().product());
                sum.fold = true;
            }
            Op::MaxPoolGrad { window } => own(window.kernel.iter().product::<usize>() * 2),
            Op::Take { .. } | Op::Pick { .. } => own(2),
            _ => {}
        }
        costs.push(sum);
        let shared = consumers[id.index()].iter().filter(|c| !is_view(&graph.node(**c).op)).count() > 1;
        let expensive = sum.ops > CHEAP || sum.fold;
        let stored = must[id.index()] || shared && expensive && !is_view(&node.op);
        passed.push(if stored { LOAD } else { sum });
    }
    costs
}

struct Fuser<'a> {
    graph: &'a Graph<usize>,
    consumers: Vec<Vec<NodeId>>,
    must: Vec<bool>,
    costs: Vec<Cost>,
    /// Which groups evaluate a node, and how.
    uses: Vec<Vec<(usize, Access)>>,
    /// The group to which a node belongs alone.
    member: Vec<Option<usize>>,
    stored: Vec<bool>,
    groups: Vec<Group>,
}

impl Fuser<'_> {
    fn visit(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        if is_buffer(&node.op) || self.uses[id.index()].is_empty() && !self.must[id.index()] {
            return;
        }
        let shape = node.ty.shape.clone();
        if let Op::ScanResult { .. } = node.op {
            // The scan writes it.
            self.stored[id.index()] = true;
        } else if is_runtime(&node.op) {
            self.new_group(GroupKind::Runtime, id);
        } else if is_nest(self.graph, id) {
            let group = self.new_group(GroupKind::Nest, id);
            if let Op::ScatterAdd { axis, .. } = node.op {
                let root = Access { same: false, ..Access::root(&self.graph.ty(node.inputs[0]).shape) };
                let rank = self.graph.ty(node.inputs[1]).rank();
                let index = Access { axes: root.axes[axis..axis + rank].to_vec(), ..root.clone() };
                self.add_use(node.inputs[0], group, root);
                self.add_use(node.inputs[1], group, index);
            }
            if let Op::UpdateSlice { .. } = node.op {
                for &input in &node.inputs {
                    let from = Access::root(&self.graph.ty(input).shape);
                    self.add_use(input, group, Access { same: false, ..from });
                }
            }
        } else if let Op::Concat { axis } = node.op {
            self.stored[id.index()] = true;
            let mut at = 0;
            for &input in &node.inputs {
                let from = &self.graph.ty(input).shape;
                let root = Root { value: input, target: id, part: Some((axis, at)) };
                at += from[axis];
                self.groups.push(Group { kind: GroupKind::Loops, roots: vec![root], members: Vec::new() });
                let access = Access { same: false, ..Access::root(from) };
                self.add_use(input, self.groups.len() - 1, access);
            }
        } else if self.should_store(id) {
            match self.group_to_join(id) {
                Some(group) => {
                    self.groups[group].roots.push(Root { value: id, target: id, part: None });
                    self.stored[id.index()] = true;
                    self.join(id, group);
                    self.uses[id.index()].retain(|u| u.0 == group);
                }
                None => {
                    let group = self.new_group(GroupKind::Loops, id);
                    self.uses[id.index()] = vec![(group, Access::root(&shape))];
                }
            }
            self.pass_on(id);
        } else {
            let first = self.uses[id.index()][0].0;
            if self.uses[id.index()].iter().all(|u| u.0 == first) && !is_leaf(&node.op) {
                self.join(id, first);
            }
            self.pass_on(id);
        }
    }

    fn new_group(&mut self, kind: GroupKind, id: NodeId) -> usize {
        let root = Root { value: id, target: id, part: None };
        self.groups.push(Group { kind, roots: vec![root], members: Vec::new() });
        self.stored[id.index()] = true;
        self.join(id, self.groups.len() - 1);
        self.groups.len() - 1
    }

    fn join(&mut self, id: NodeId, group: usize) {
        self.member[id.index()] = Some(group);
        self.groups[group].members.push(id);
    }

    fn add_use(&mut self, id: NodeId, group: usize, access: Access) {
        let uses = &mut self.uses[id.index()];
        if !uses.iter().any(|(g, a)| *g == group && *a == access) {
            uses.push((group, access));
        }
    }

    fn pass_on(&mut self, id: NodeId) {
        let inputs = self.graph.node(id).inputs.clone();
        for (group, access) in self.uses[id.index()].clone() {
            for (i, &input) in inputs.iter().enumerate() {
                self.add_use(input, group, access.operand(self.graph, id, i));
            }
        }
    }

    /// Iterations of a group's kernel.
    fn iterations(&self, group: usize) -> usize {
        self.graph.ty(self.groups[group].roots[0].value).elements()
    }

    fn should_store(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        if self.must[id.index()] {
            return true;
        }
        if is_view(&node.op) || is_leaf(&node.op) {
            return false;
        }
        let uses = &self.uses[id.index()];
        let cost = self.costs[id.index()];
        let elements = node.ty.elements().max(1);
        let mut groups: Vec<usize> = uses.iter().map(|u| u.0).collect();
        groups.dedup();
        groups.sort_unstable();
        groups.dedup();
        if groups.iter().any(|&g| self.groups[g].members.len() >= LARGEST) || uses.len() > 8 {
            return true;
        }
        let total: usize = uses.iter().map(|(g, a)| a.evaluations(self.iterations(*g))).sum();
        let repeats = total as f64 / elements as f64;
        if cost.fold {
            let starved = |&g: &usize| {
                let iterations = self.iterations(g);
                iterations < 16 && elements >= 2 * iterations && elements.saturating_mul(cost.ops) > MUCH
            };
            return groups.len() > 1 || repeats > 1.01 || groups.iter().any(starved);
        }
        let cheap = cost.ops <= CHEAP && cost.loads <= 3;
        if groups.len() > 1 {
            return !cheap || repeats > 8.0 && cost.ops > 2;
        }
        // A row may be gone over again by another fold; anything beyond that must be cheap.
        !(repeats <= 2.01 || cheap && (repeats <= 8.0 || cost.ops <= 2))
    }

    /// A group that evaluates the node once for each of its iterations anyway and does not wait for any other user.
    fn group_to_join(&self, id: NodeId) -> Option<usize> {
        let uses = &self.uses[id.index()];
        let mut candidates: Vec<usize> = uses.iter().map(|u| u.0).collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        candidates.dedup();
        candidates.into_iter().find(|&g| {
            let group = &self.groups[g];
            group.kind == GroupKind::Loops
                && group.roots[0].part.is_none()
                && group.roots.len() < 12
                && self.iterations(g) == self.graph.ty(id).elements()
                && uses.iter().all(|(u, a)| *u != g || a.same)
                && !self.waits(id, g)
        })
    }

    /// Whether the group needs, outside of itself, anything that is computed from the node.
    fn waits(&self, id: NodeId, group: usize) -> bool {
        let mut seen = vec![false; self.graph.nodes.len()];
        let mut entered = vec![false; self.groups.len()];
        let mut open: Vec<NodeId> =
            self.consumers[id.index()].iter().copied().filter(|c| self.member[c.index()] != Some(group)).collect();
        while let Some(next) = open.pop() {
            if std::mem::replace(&mut seen[next.index()], true) {
                continue;
            }
            match self.member[next.index()] {
                Some(g) if g == group => return true,
                Some(g) if !std::mem::replace(&mut entered[g], true) => {
                    open.extend_from_slice(&self.groups[g].members);
                }
                _ => {}
            }
            open.extend_from_slice(&self.consumers[next.index()]);
        }
        false
    }
}
