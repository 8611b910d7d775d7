//! Pixels divided by 255 that the source gives in 0..1 already.

use super::net::Net;
use crate::ops::{Binary, Op};
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::SCALED_TWICE, look: Look::Net(look) };

const SCALED: &[&str] = &["digits", "mnist", "idx", "cifar10", "image_folder"];

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let Some((_, task)) = net.task else { return };
    let Some(data) = task.data.as_ref().filter(|d| SCALED.contains(&d.source.as_str())) else { return };
    for node in &net.graph().nodes {
        let (Op::Binary(op), [x, by]) = (&node.op, node.inputs.as_slice()) else { continue };
        let strong = match op {
            Binary::Div => net.constant(*by).is_some_and(|by| by >= 100.0),
            Binary::Mul => net.constant(*by).is_some_and(|by| by > 0.0 && by <= 0.01),
            _ => false,
        };
        let is_image = |i: usize| task.fields.get(i).is_some_and(|f| f.name == "image" && f.dtype.is_float());
        if strong && net.field(*x).is_some_and(is_image) {
            let headline = format!("the pixels of `{}` are in 0..1 already", data.source);
            found.push(
                Diagnostic::warning(codes::SCALED_TWICE, node.origin.span, headline)
                    .label("here they become nearly 0")
                    .help("take the division out"),
            );
        }
    }
}
