//! Attention in a net: that of the library, and what is written out as a `softmax` of products.

use super::net::Net;
use crate::check::Value;
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{Binary, Op};
use crate::source::Span;

/// Who looks at whom.
pub struct Attention {
    pub q: NodeId,
    pub k: NodeId,
    pub weights: NodeId,
    pub at: Span,
    /// No mask and no bias: every place looks at all others alike.
    pub blind: bool,
    /// The products are scaled, or made of vectors of a length that is bounded.
    pub scaled: bool,
    /// Of the vectors that are multiplied.
    pub width: Option<Dim>,
}

const NORMED: &[&str] = &["unit", "LayerNorm", "RmsNorm", "layer_norm", "rms_norm", "standardize"];

/// All attention in a net.
pub fn attentions(net: &Net) -> Vec<Attention> {
    let mut found = Vec::new();
    for own in net.applied(&["attention_weights"]) {
        let (Some(q), Some(k), Some(weights)) = (own.tensor("q"), own.tensor("k"), own.node()) else { continue };
        let none = |name: &str| matches!(own.arg(name), Some(Value::None) | None);
        let causal = matches!(own.arg("causal"), Some(Value::Bool(true)));
        let scaled = own.arg("scale").and_then(Value::number) != Some(1.0) || is_scaled(net, q) || is_scaled(net, k);
        let width = net.node(q).ty.shape.last().cloned();
        let blind = !causal && none("mask") && none("bias");
        found.push(Attention { q, k, weights, at: own.at, blind, scaled, width });
    }
    for softmax in net.applied(&["softmax"]).filter(|s| s.direct) {
        let (Some(x), Some(weights)) = (softmax.first(), softmax.node()) else { continue };
        if let Some(attention) = written_out(net, x, weights, softmax.at) {
            found.push(attention);
        }
    }
    found
}

fn is_scaled(net: &Net, id: NodeId) -> bool {
    net.behind(id, NORMED).is_some() || net.rescaled(net.origin(id)).is_some()
}

/// `softmax(q @ transpose(k))`, perhaps scaled, biased and masked.
fn written_out(net: &Net, x: NodeId, weights: NodeId, at: Span) -> Option<Attention> {
    let (mut id, mut blind, mut scaled) = (x, true, false);
    loop {
        let node = net.node(id);
        match &node.op {
            Op::Matmul { batch } if *batch > 0 => {
                let (q, k) = (node.inputs[0], node.inputs[1]);
                let weight = |x: NodeId| matches!(net.node(net.origin(x)).op, Op::Read(_));
                if weight(q) || weight(k) || node.ty.rank() < 3 {
                    return None;
                }
                let width = net.node(q).ty.shape.last().cloned();
                let scaled = scaled || is_scaled(net, q) || is_scaled(net, k);
                return Some(Attention { q, k, weights, at, blind, scaled, width });
            }
            Op::Select => {
                blind = false;
                let (a, b) = (node.inputs[1], node.inputs[2]);
                id = if net.is_constant(a) { b } else { a };
            }
            Op::Binary(Binary::Mul | Binary::Div) => {
                scaled = true;
                let (a, b) = (node.inputs[0], node.inputs[1]);
                id = if net.node(net.origin(a)).ty.rank() == 0 { b } else { a };
            }
            Op::Binary(Binary::Add | Binary::Sub) => {
                blind = false;
                id = node.inputs[0];
            }
            _ => id = net.moved(id)?,
        }
    }
}
