//! A loss that is a sum over the batch, so that its gradient grows with the batch.

use super::net::Net;
use crate::check::ReportKind;
use crate::dims::Dim;
use crate::graph::{NodeId, OutputKind};
use crate::ops::{Binary, Op, Reduce, Unary};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SUMMED_LOSS, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let Some(batch) = task.batch.clone().map(Dim::from) else { return };
    for output in &net.graph().outputs {
        let OutputKind::Value(position) = output.kind else { continue };
        let Some(report) = net.step.reports.get(position as usize).filter(|r| r.kind == ReportKind::Loss) else { continue };
        let Some(sum) = over_batch(net, output.node, &batch, 0) else { continue };
        found.push(
            Diagnostic::warning(codes::SUMMED_LOSS, net.at(sum), "a loss that is summed over the batch")
                .label("its gradient grows with the batch")
                .also(report.span, "minimised here")
                .help("take `mean`, or divide by the size of the batch"),
        );
    }
}

/// The sum over the batch that a loss is, or is made of by adding and scaling.
fn over_batch(net: &Net, id: NodeId, batch: &Dim, depth: usize) -> Option<NodeId> {
    let node = net.node(id);
    let next = |i: usize| over_batch(net, *node.inputs.get(i)?, batch, depth + 1);
    if depth > 40 {
        return None;
    }
    match &node.op {
        Op::Reduce { op: Reduce::Sum, axes } => {
            let shape = &net.node(*node.inputs.first()?).ty.shape;
            axes.iter().any(|a| shape.get(*a) == Some(batch)).then_some(id).or_else(|| next(0))
        }
        Op::Binary(Binary::Add | Binary::Sub) => next(0).or_else(|| next(1)),
        Op::Binary(Binary::Mul) if net.is_constant(node.inputs[1]) => next(0),
        Op::Binary(Binary::Mul) if net.is_constant(node.inputs[0]) => next(1),
        Op::Unary(Unary::Neg) | Op::Cast | Op::Reshape { .. } | Op::Broadcast { .. } => next(0),
        _ => None,
    }
}
