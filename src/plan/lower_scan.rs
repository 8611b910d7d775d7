//! A scan as a launch that repeats the launches of its body. In: a scan of the fused graph. Out: the work, over nodes'
//! buffers, with a schedule of its own for the body.
//!
//! The body is lowered like any step: its carries are variables, which the step overwrites, what it is given are fields,
//! what it stacks are results. Each of those then stands for a buffer of the schedule around: the carries and what is the
//! same for all steps for a whole one, the others for the piece of this step. So nothing is copied but the carries'
//! first values.

use super::lower::{LowerError, lower};
use super::{Binding, BufferId, BufferKind, Plan, Repeat, Work};
use crate::graph::{Graph, NodeId, OutputKind, TensorType, result_type};
use crate::ops::{Op, Scan, VarId};
use crate::opt::fuse_view::dense_operand;

/// Where values of the graph around lie.
pub trait Buffers {
    /// The buffer of a node.
    fn of(&mut self, node: NodeId) -> BufferId;
    /// A buffer for a value that no node takes.
    fn more(&mut self, ty: &TensorType<usize>, node: NodeId) -> BufferId;
}

/// The work of a scan and its floating-point operations.
pub fn lower_scan(
    graph: &Graph<usize>,
    id: NodeId,
    scan: &Scan<usize>,
    buffers: &mut impl Buffers,
) -> Result<(Work, u64), LowerError> {
    let mut body = scan.body.clone();
    for node in &mut body.nodes {
        if let Op::Parameter(p) = node.op {
            let carry = (p as usize) < scan.carries;
            node.op = if carry { Op::Read(VarId(p)) } else { Op::Field(p) };
        }
    }
    for (i, output) in body.outputs.iter_mut().enumerate().take(scan.carries) {
        output.kind = OutputKind::Update(VarId(i as u32));
    }
    let mut schedule = lower(&body)?;

    // Results first: the carries' and the stacked ones; then the operands that are read.
    let mut taken: Vec<Option<NodeId>> = vec![None; scan.body.outputs.len()];
    for other in graph.ids() {
        let node = graph.node(other);
        if let Op::ScanResult { index } = node.op
            && node.inputs[0] == id
        {
            taken[index] = Some(other);
        }
    }
    let mut bindings = Vec::new();
    for (i, node) in taken.into_iter().enumerate() {
        let buffer = match (node, result_type(scan, i)) {
            (Some(node), _) => buffers.of(node),
            (None, Some(ty)) => buffers.more(&ty, id),
            (None, None) => continue,
        };
        let stride = if i < scan.carries { 0 } else { scan.body.ty(scan.body.outputs[i].node).elements() };
        bindings.push(Binding { buffer, stride, written: true });
    }
    let results = bindings.len();
    let operands = &graph.node(id).inputs;
    let starts =
        (0..scan.carries).map(|i| (buffers.of(dense_operand(graph, operands[i])), bindings[i].buffer)).collect();
    for (i, operand) in operands.iter().enumerate().skip(scan.carries) {
        let ty = graph.ty(*operand);
        let slice = i < scan.carries + scan.scanned;
        let stride = if slice { ty.shape[1..].iter().product() } else { 0 };
        bindings.push(Binding { buffer: buffers.of(dense_operand(graph, *operand)), stride, written: false });
    }
    for buffer in &mut schedule.buffers {
        buffer.kind = match std::mem::replace(&mut buffer.kind, BufferKind::Temporary) {
            BufferKind::Var(v) => BufferKind::Outer(v.0),
            BufferKind::Value(v) => BufferKind::Outer(v),
            BufferKind::Field(p) => BufferKind::Outer((results + p as usize - scan.carries) as u32),
            kind => kind,
        };
    }
    let flops: u64 = schedule.launches.iter().map(|l| l.flops).sum();
    let body = Plan { schedule, ..Plan::default() };
    let (workspace, lanes) = (None, None);
    let repeat = Repeat { body, count: scan.count, reverse: scan.reverse, bindings, starts, workspace, lanes };
    Ok((Work::Repeat(Box::new(repeat)), flops * scan.count as u64))
}
