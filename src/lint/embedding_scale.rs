//! Embeddings that start small, added to sines and cosines of size 1, which drown them.

use super::net::Net;
use crate::check::{Applied, Value};
use crate::ops::{Binary, Op};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::EMBEDDING_SCALE, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    for codes_of_places in net.applied(&["sinusoidal"]) {
        let Some(code) = codes_of_places.node() else { continue };
        for id in net.graph().ids().skip(code.index()) {
            let node = net.node(id);
            let (Op::Binary(Binary::Add), [a, b]) = (&node.op, node.inputs.as_slice()) else { continue };
            let is_code = |x| net.behind(x, &["sinusoidal"]).is_some();
            let other = match (is_code(*a), is_code(*b)) {
                (true, false) => *b,
                (false, true) => *a,
                _ => continue,
            };
            let Some(table) = net.behind(other, &["Embedding"]) else { continue };
            let Some(size) = small(table) else { continue };
            found.push(
                Diagnostic::warning(codes::EMBEDDING_SCALE, node.origin.span, "positions drown small embeddings")
                    .label(format!("sines and cosines of size 1 beside numbers of size {size}"))
                    .also(table.made(), "the embedding is made here")
                    .help("scale the embedding up, `sqrt(width) * embed(token)`, or start it larger"),
            );
        }
    }
}

/// How large the numbers of a table are at first, if that is small.
fn small(table: &Applied) -> Option<f64> {
    let Some(Value::Stage(init)) = table.hyper("init") else { return None };
    let (value, _) = super::optimizer::stage_given(init, "std")?;
    value.number().filter(|std| *std < 0.1 && init.callable.name().ends_with("normal"))
}
