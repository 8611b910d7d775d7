//! Recurrences. A `Scan` runs a body, a graph of its own, once for each place of an axis; it is one node with several
//! results, which `ScanResult` nodes take. The body sees nothing but its parameters (and constants), so that every
//! dependence of the recurrence is an operand of the node: rewrites, gradients and schedules need no rule for names
//! from outside. Scanned operands and stacked results run along their first axis, so that one step of them is one
//! contiguous piece of memory; other axes are transposed before and after.

use super::def::{GradientRule, Lowering, OpDef, ShapeFault};
use super::leaf::no_flops;
use super::op::Op;
use super::shape::{Inferred, Ty, attribute, misuse};
use super::table::def_of;
use super::types::DType;
use crate::dims::Dim;
use crate::graph::{Graph, NodeId, OutputKind};

/// Operands of the node, and parameters of the body, in order: the carries (first values), the scanned tensors (one
/// slice a step), and what is the same for all steps. Outputs of the body, `Value(0)`, `Value(1)`, … in order, and results
/// of the node: the carries (last values), then what is stacked, each step at its own place.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan<D> {
    pub body: Graph<D>,
    /// Steps.
    pub count: D,
    /// Whether the last place comes first.
    pub reverse: bool,
    pub carries: usize,
    pub scanned: usize,
    /// Whether its gradient computes the values of a step again instead of keeping them.
    pub recompute: bool,
}

impl<D> Scan<D> {
    /// The body's node of a result.
    pub fn output(&self, index: usize) -> Option<NodeId> {
        self.body.outputs.get(index).map(|o| o.node)
    }

    /// The same recurrence with sizes written in another way.
    pub fn try_map<E, F>(&self, size: &mut impl FnMut(&D) -> Result<F, E>) -> Result<Scan<F>, E> {
        Ok(Scan {
            body: self.body.try_map(size)?,
            count: size(&self.count)?,
            reverse: self.reverse,
            carries: self.carries,
            scanned: self.scanned,
            recompute: self.recompute,
        })
    }

    /// The operands that a gradient reaches from a result.
    pub fn reaches(&self, result: usize) -> Vec<bool> {
        let operands = self.body.nodes.iter().map(|n| if let Op::Parameter(p) = n.op { p as usize + 1 } else { 0 });
        let mut found = vec![false; operands.max().unwrap_or(0).max(self.carries)];
        let mut open: Vec<NodeId> = self.output(result).into_iter().collect();
        if result < self.carries {
            found[result] = true;
        }
        let mut seen = vec![false; self.body.nodes.len()];
        while let Some(id) = open.pop() {
            let node = self.body.node(id);
            if !node.ty.dtype.is_float() || std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            match &node.op {
                Op::Parameter(p) => {
                    found[*p as usize] = true;
                    if (*p as usize) < self.carries {
                        open.extend(self.output(*p as usize));
                    }
                }
                Op::ScanResult { index } => {
                    let scan = self.body.node(node.inputs[0]);
                    if let Op::Scan(inner) = &scan.op {
                        let reached = inner.reaches(*index).into_iter().zip(&scan.inputs);
                        open.extend(reached.filter(|(r, _)| *r).map(|(_, n)| *n));
                    }
                }
                op if matches!(def_of(op).gradient, GradientRule::None(_)) && !matches!(op, Op::Gradient) => {}
                _ => open.extend(&node.inputs),
            }
        }
        found
    }

    /// Which results a gradient flows to, given the operands that it flows from.
    pub fn flows(&self, operands: &[bool]) -> Vec<bool> {
        let mut from = operands.to_vec();
        loop {
            let active = flow(&self.body, &from);
            let results: Vec<bool> = self.body.outputs.iter().map(|o| active[o.node.index()]).collect();
            let before = from.iter().filter(|f| **f).count();
            for i in 0..self.carries.min(results.len()) {
                from[i] |= results[i];
            }
            if from.iter().filter(|f| **f).count() == before {
                return results;
            }
        }
    }
}

/// The float nodes of a body to which a gradient flows from these parameters.
fn flow<D>(body: &Graph<D>, parameters: &[bool]) -> Vec<bool> {
    let mut active = vec![false; body.nodes.len()];
    let mut inner: Vec<(usize, Vec<bool>)> = Vec::new();
    for (i, node) in body.nodes.iter().enumerate() {
        let from = |id: &NodeId| active[id.index()];
        let is = match &node.op {
            Op::Parameter(p) => parameters.get(*p as usize).copied().unwrap_or(false),
            Op::Scan(scan) => {
                let operands: Vec<bool> = node.inputs.iter().map(from).collect();
                inner.push((i, scan.flows(&operands)));
                false
            }
            Op::ScanResult { index } => {
                let scan = node.inputs[0].index();
                inner.iter().find(|s| s.0 == scan).is_some_and(|s| s.1.get(*index) == Some(&true))
            }
            op => !matches!(def_of(op).gradient, GradientRule::None(_)) && node.inputs.iter().any(from),
        };
        active[i] = is && node.ty.dtype.is_float();
    }
    active
}

fn infer_scan(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Scan(scan) = op else { return misuse() };
    let given = scan.carries + scan.scanned;
    if inputs.len() < given {
        return attribute(format!("{given} operands wanted, {} given", inputs.len()));
    }
    if scan.count.number().is_some_and(|n| n < 0) {
        return attribute(format!("{} steps", scan.count));
    }
    for node in &scan.body.nodes {
        match node.op {
            Op::Parameter(i) => {
                let i = i as usize;
                let Some(operand) = inputs.get(i) else { return attribute(format!("there is no operand {i}")) };
                let slice = (scan.carries..given).contains(&i);
                if slice && operand.shape.first() != Some(&scan.count) {
                    return Err(ShapeFault::Rank { operand: i, expected: format!("[{}, ..]", scan.count) });
                }
                let seen = &operand.shape[usize::from(slice)..];
                if operand.dtype != node.ty.dtype || seen != node.ty.shape {
                    return attribute(format!("operand {i} is {operand}, the body's parameter {}", node.ty));
                }
            }
            Op::Read(_) | Op::Field(_) | Op::Clock(_) | Op::Key => {
                return attribute("a body sees its parameters only");
            }
            _ => {}
        }
    }
    for (i, output) in scan.body.outputs.iter().enumerate() {
        if output.kind != OutputKind::Value(i as u32) {
            return attribute(format!("output {i} of the body is {:?}", output.kind));
        }
        let ty = scan.body.ty(output.node);
        if i < scan.carries && inputs[i] != *ty {
            return attribute(format!("carry {i} starts as {} and becomes {ty}", inputs[i]));
        }
    }
    if scan.body.outputs.len() < scan.carries {
        return attribute("a carry has no next value");
    }
    // The node itself is no tensor: one number stands for all of its results.
    Ok(Ty::new(DType::F32, vec![]))
}

pub static SCAN: OpDef = OpDef {
    name: "scan",
    doc: "`scan x_t in x along T with h = h0 { … }`: a body repeated along an axis, with values that one step hands to \
          the next. Its gradient runs the other way and keeps, for each step, the values that it needs; with \
          `recompute` before `with` it keeps the carries alone and computes the rest again.",
    surfaces: &[],
    infer: infer_scan,
    // Differentiation knows it: its several results have one gradient together.
    gradient: GradientRule::Rule(|_, _, _| vec![]),
    lowering: Lowering::Kernel,
    flops: |op, _, _| {
        let Op::Scan(scan) = op else { return 0 };
        let body = &scan.body;
        let one = |node: &crate::graph::Node<usize>| {
            let inputs: Vec<_> = node.inputs.iter().map(|i| body.ty(*i).clone()).collect();
            (def_of(&node.op).flops)(&node.op, &inputs, &node.ty)
        };
        scan.count as u64 * body.nodes.iter().map(one).sum::<u64>()
    },
    samples: Vec::new,
};

pub static SCAN_RESULT: OpDef = OpDef {
    name: "scan_result",
    doc: "One result of a `scan`: a carry's last value, or what its steps gave, stacked.",
    surfaces: &[],
    infer: |_, _| attribute("its type is the body's"),
    gradient: GradientRule::Rule(|_, _, _| vec![]),
    lowering: Lowering::Leaf,
    flops: no_flops,
    samples: Vec::new,
};

pub static PARAMETER: OpDef = OpDef {
    name: "parameter",
    doc: "What the body of a `scan` is given at a step.",
    surfaces: &[],
    infer: |_, _| attribute("its type is declared, not inferred"),
    gradient: GradientRule::None("it has no operands"),
    lowering: Lowering::Leaf,
    flops: no_flops,
    samples: Vec::new,
};
