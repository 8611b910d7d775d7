//! Draws. There is one: uniform numbers from a counter-based cipher; every other distribution is written over it.

use super::def::{ArgDefault, ArgKind, GradientRule, Lowering, OpDef, Sample, Surface};
use super::op::Op;
use super::shape::{Inferred, Ty, attribute, ints_arg, misuse, operands, param, wrong_dtype, wrong_rank};
use super::types::DType;
use crate::dims::Dim;
use crate::graph::TensorType;

fn infer(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Uniform { shape, .. } = op else { return misuse() };
    let [key] = operands(inputs)?;
    if key.dtype != DType::I32 {
        return wrong_dtype(0, "i32");
    }
    if key.shape != [Dim::from(4i64)] {
        return wrong_rank(0, "1: the 4 words of a key");
    }
    if shape.iter().any(|d| d.number().is_some_and(|n| n < 0)) {
        return attribute("a size below 0");
    }
    Ok(Ty::new(DType::F32, shape.clone()))
}

/// The operand, the key, is no argument: whoever builds the graph puts it there, and gives each call its own `site`.
pub static UNIFORM: OpDef = OpDef {
    name: "uniform",
    doc: "`uniform(shape)`: independent numbers, evenly spread over [0, 1) in steps of 2^-24. Keyed by the seed, the \
          step and the place of the call: the same run draws the same numbers, two calls draw different ones.",
    surfaces: &[Surface {
        name: "uniform",
        params: &[param("shape", ArgKind::Shape, ArgDefault::Required)],
        build: |args| Ok(Op::Uniform { shape: ints_arg(args, 0)?.unwrap_or_default(), site: 0 }),
    }],
    infer,
    gradient: GradientRule::None("a draw does not depend on any value"),
    lowering: Lowering::Map,
    flops: |_, _, ty| ty.elements() as u64,
    samples: || {
        let key = TensorType::new(DType::I32, vec![4]);
        [(vec![], 0), (vec![3, 5], 0xDEAD_BEEF_0000_0001)]
            .into_iter()
            .map(|(shape, site)| Sample {
                op: Op::Uniform { shape, site },
                inputs: vec![key.clone()],
                domains: vec![(0.0, 1000.0)],
            })
            .collect()
    },
};
