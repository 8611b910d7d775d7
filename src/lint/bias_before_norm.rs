//! A bias that the norm behind it takes away again.

use super::net::{BATCH_NORMS, LINEAR, Net};
use crate::check::Value;
use super::{Lint, Look};
use crate::diag::{Diagnostic, codes};

pub const LINT: Lint = Lint { code: codes::BIAS_BEFORE_NORM, look: Look::Net(look) };

fn look(net: &Net, found: &mut Vec<Diagnostic>) {
    let norms = [BATCH_NORMS, &["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]].concat();
    for norm in net.applied(&norms) {
        let Some(x) = norm.first().filter(|x| net.used_only_in(*x, &norm.nodes)) else { continue };
        let Some(layer) = net.made(x, LINEAR) else { continue };
        if !matches!(layer.hyper("bias"), Some(Value::Bool(true))) {
            continue;
        }
        let headline = format!("the bias of this `{}` has no effect before a norm", layer.name());
        found.push(
            Diagnostic::warning(codes::BIAS_BEFORE_NORM, layer.made(), headline)
                .label("the norm subtracts it again")
                .also(norm.at, format!("`{}` is applied here", norm.name()))
                .help(format!("write `{}(…, bias: false)`: the norm has a shift of its own", layer.name())),
        );
    }
}
