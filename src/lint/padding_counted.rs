//! Sums over an axis that batches pad, without a word about what is padding.

use super::net::Net;
use crate::check::FieldFrom;
use crate::dims::Dim;
use crate::ops::{Op, Reduce};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::PADDING_COUNTED, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let knows = |i: u32| matches!(task.fields.get(i as usize).map(|f| &f.from), Some(FieldFrom::Length(_)));
    if net.graph().nodes.iter().any(|n| matches!(n.op, Op::Field(i) if knows(i))) {
        return;
    }
    for (i, size) in task.varying() {
        let size = Dim::from(size.clone());
        // `token != 0` is where a token is.
        let masked = net.graph().nodes.iter().any(|n| {
            matches!(n.op, Op::Compare(_))
                && n.ty.shape.contains(&size)
                && n.inputs.iter().any(|x| net.constant(*x).is_some())
                && n.inputs.iter().any(|x| net.field(*x) == Some(i))
        });
        if masked {
            continue;
        }
        let sum = net.graph().ids().take_while(|id| !matches!(net.node(*id).op, Op::Gradient)).find(|&id| {
            let node = net.node(id);
            let Op::Reduce { op: Reduce::Sum, axes } = &node.op else { return false };
            let Some(&x) = node.inputs.first() else { return false };
            let over = axes.iter().any(|a| net.node(x).ty.shape.get(*a) == Some(&size));
            over && net.node(x).ty.dtype.is_float() && depends(net, x, i)
        });
        let Some(sum) = sum else { continue };
        let name = match &task.fields[i].from {
            FieldFrom::Tokens { text, .. } => text.to_string(),
            _ => task.fields[i].name.clone(),
        };
        found.push(
            Diagnostic::warning(codes::PADDING_COUNTED, net.at(sum), format!("the padding of `{name}` is counted here"))
                .label(format!("short samples have zeros up to the longest, along {size}"))
                .help("use a mask: the field with `_length` behind its name says how long each is"),
        );
    }
}

fn depends(net: &Net, id: crate::graph::NodeId, field: usize) -> bool {
    let seen = net.ancestors(id);
    let nodes = net.graph().nodes.iter().zip(seen);
    nodes.into_iter().any(|(n, s)| s && matches!(n.op, Op::Field(i) if i as usize == field))
}
