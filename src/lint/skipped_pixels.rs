//! Windows that are further apart than they are wide: what lies between is never looked at.

use super::net::Net;
use crate::ops::Op;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SKIPPED_PIXELS, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for id in net.graph().ids() {
        let node = net.node(id);
        let window = match &node.op {
            Op::Conv { window, .. } | Op::MaxPool { window } | Op::SumPool { window } => window,
            _ => continue,
        };
        let axes = window.kernel.iter().zip(&window.stride).zip(&window.dilation);
        let wide = axes.filter_map(|((k, s), d)| Some((k.number()?, s.number()?, d.number()?)));
        // A 1x1 window with a stride is a way to shrink.
        let Some((kernel, stride, _)) = wide.into_iter().find(|&(k, s, d)| k > 1 && s > d * (k - 1) + 1) else { continue };
        let headline = format!("windows of {kernel} that are {stride} apart skip pixels");
        found.push(
            Diagnostic::warning(codes::SKIPPED_PIXELS, node.origin.span, headline)
                .label("what lies between them is never looked at")
                .help(format!("take a stride of at most {kernel}, or a larger kernel")),
        );
    }
}
