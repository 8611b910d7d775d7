//! Leaves: values that exist before the step or are written in the program. They take no operands.
//!
//! The dtype of `Const` and `Literal`, and the whole type of `Read` and `Field`, are the node's own: see
//! [`admits`](super::admits).

use super::def::{ArgDefault, ArgKind, GradientRule, Lowering, OpDef, Sample, Surface};
use super::op::{Clock, Op, VarId};
use super::shape::{Inferred, Ty, attribute, int_arg, misuse, operands, param};
use super::types::DType;
use crate::dims::Dim;
use crate::graph::TensorType;

pub(super) fn no_flops(_: &Op<usize>, _: &[TensorType<usize>], _: &TensorType<usize>) -> u64 {
    0
}

const CONSTANT: GradientRule = GradientRule::None("it has no operands");

fn infer(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    operands::<0>(inputs)?;
    Ok(match op {
        Op::Clock(_) | Op::Const(_) | Op::Size { .. } => Ty::new(DType::F32, vec![]),
        Op::Key => Ty::new(DType::I32, vec![Dim::from(4i64)]),
        Op::Literal(values) => Ty::new(DType::F32, vec![Dim::from(values.len())]),
        Op::Iota { size } => {
            if let Some(n) = size.number().filter(|n| *n < 0) {
                return attribute(format!("a range of {n} numbers"));
            }
            Ty::new(DType::I32, vec![size.clone()])
        }
        Op::Read(_) | Op::Field(_) => return attribute("its type is declared, not inferred"),
        _ => return misuse(),
    })
}

fn sample(op: Op<usize>) -> Sample {
    Sample { op, inputs: vec![], domains: vec![] }
}

macro_rules! leaf {
    ($static:ident, $name:literal, $doc:literal, $surfaces:expr, $samples:expr) => {
        pub static $static: OpDef = OpDef {
            name: $name,
            doc: $doc,
            surfaces: $surfaces,
            infer,
            gradient: CONSTANT,
            lowering: Lowering::Leaf,
            flops: no_flops,
            samples: || $samples.into_iter().map(sample).collect(),
        };
    };
}

leaf!(
    READ,
    "read",
    "The value of a parameter, a layer's state or an optimizer's state before the step.",
    &[],
    [Op::Read(VarId(0))]
);
leaf!(FIELD, "field", "One field of the batch.", &[], [Op::Field(0)]);
leaf!(
    CLOCK,
    "clock",
    "How far the training run is: `step`, `epoch`, `steps` or `epoch_steps`, as an `f32[]`.",
    &[],
    [Op::Clock(Clock::Step), Op::Clock(Clock::Epoch), Op::Clock(Clock::Steps), Op::Clock(Clock::EpochSteps)]
);
leaf!(KEY, "key", "The key of all draws of this step: seed low, seed high, step low, step high.", &[], [Op::Key]);
leaf!(CONST, "const", "One number.", &[], [Op::Const(0.1), Op::Const(-3.0)]);
leaf!(SIZE, "size_of", "A size as a number.", &[], [Op::Size { value: 5 }]);
leaf!(LITERAL, "literal", "A list of numbers written in the program.", &[], [Op::Literal(vec![1.5, -2.0, 1e-30])]);
leaf!(
    IOTA,
    "iota",
    "`range(n)`: the whole numbers 0, 1, …, n - 1.",
    &[Surface {
        name: "range",
        params: &[param("n", ArgKind::Int, ArgDefault::Required)],
        build: |args| Ok(Op::Iota { size: int_arg(args, 0)? }),
    }],
    [Op::Iota { size: 1 }, Op::Iota { size: 7 }]
);
