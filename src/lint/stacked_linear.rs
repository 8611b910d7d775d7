//! A linear layer on a linear layer: together they can do no more than one.

use super::net::{DROPOUTS, Net};
use crate::check::Applied;
use crate::dims::Dim;
use crate::graph::NodeId;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::STACKED_LINEAR, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for second in net.applied(&["Linear"]) {
        let Some(first) = second.first().and_then(|x| below(net, second, x)) else { continue };
        if is_bottleneck(net, first, second) {
            continue;
        }
        found.push(
            Diagnostic::warning(codes::STACKED_LINEAR, second.at, "a linear layer directly on a linear layer")
                .label("both together are one linear map")
                .also(first.at, "the first is applied here")
                .help("put an activation between them, for instance `relu`, or drop one"),
        );
    }
}

/// The linear layer that gives the value, if nothing else takes its result on the way.
fn below<'a>(net: &Net<'a>, second: &Applied, mut id: NodeId) -> Option<&'a Applied> {
    let mut inside = second.nodes.clone();
    loop {
        if !net.used_only_in(id, &inside) {
            return None;
        }
        if let Some(first) = net.made(id, &["Linear"]) {
            return Some(first);
        }
        if let Some(drop) = net.made(id, DROPOUTS)
            && let Some(x) = drop.first().filter(|x| *x != id)
        {
            (id, inside) = (x, drop.nodes.clone());
            continue;
        }
        inside = id.index()..id.index() + 1;
        id = net.moved(id)?;
    }
}

/// True of a map that is cut in two on purpose: through fewer numbers than go in and come out.
fn is_bottleneck(net: &Net, first: &Applied, second: &Applied) -> bool {
    let width = |id: Option<NodeId>| id.and_then(|id| net.node(id).ty.shape.last().cloned());
    let (Some(from), Some(through), Some(to)) = (width(first.first()), width(first.node()), width(second.node())) else {
        return true;
    };
    let narrower = |a: &Dim, b: &Dim| match b.sub(a).number() {
        Some(rest) => rest > 0,
        None => true,
    };
    narrower(&through, &from) && narrower(&through, &to)
}
