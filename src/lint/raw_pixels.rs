//! Bytes, 0 to 255, that go into a layer as they are.

use super::net::Net;
use crate::ops::{DType, Op};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::RAW_PIXELS, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let mut seen = Vec::new();
    for node in &net.graph().nodes {
        let (Op::Matmul { .. } | Op::Conv { .. }, Some(&x)) = (&node.op, node.inputs.first()) else { continue };
        let Some(i) = net.field(x).filter(|i| !seen.contains(i)) else { continue };
        let Some(field) = task.fields.get(i).filter(|f| f.dtype == DType::U8) else { continue };
        seen.push(i);
        let headline = format!("`{}` goes into a layer as bytes, 0 to 255", field.name);
        found.push(
            Diagnostic::warning(codes::RAW_PIXELS, node.origin.span, headline)
                .label("weights start for numbers around 0")
                .help(format!("scale it first: `f32({}) / 255`, or `normalize`", field.name)),
        );
    }
}
