//! The matrix product.

use super::def::{GradientRule, Lowering, OpDef, Sample, ShapeFault, Surface};
use super::op::Op;
use super::shape::{
    Inferred, Ty, axes_text, misuse, need_float, need_same_dtype, operands, sizes_agree, tensor, tensor_arg, wrong_rank,
};
use super::types::DType;
use crate::dims::Dim;
use crate::graph::{Builder, TensorType};

fn infer(op: &Op<Dim>, inputs: &[Ty]) -> Inferred {
    let Op::Matmul { batch } = *op else { return misuse() };
    let [a, b] = operands(inputs)?;
    need_float(inputs, 0)?;
    need_same_dtype(inputs, 1, 0)?;
    for (i, ty) in inputs.iter().enumerate() {
        if ty.rank() != batch + 2 {
            return wrong_rank(i, axes_text(batch + 2));
        }
    }
    for axis in 0..batch {
        sizes_agree(inputs, (0, axis), (1, axis))?;
    }
    if a.shape[batch + 1] != b.shape[batch] {
        return Err(ShapeFault::Sizes { left: (0, batch + 1), right: (1, batch) });
    }
    let mut shape = a.shape[..=batch].to_vec();
    shape.push(b.shape[batch + 1].clone());
    Ok(Ty::new(a.dtype, shape))
}

pub static MATMUL: OpDef = OpDef {
    name: "matmul",
    doc: "`a @ b`, `matmul(a, b)`: y[.., i, j] = sum over k of a[.., i, k] b[.., k, j]; leading axes agree.",
    surfaces: &[Surface {
        name: "matmul",
        params: &[tensor("a"), tensor("b")],
        build: |args| {
            let rank = tensor_arg(args, 0)?.rank();
            if rank < 2 {
                return wrong_rank(0, "at least 2");
            }
            Ok(Op::Matmul { batch: rank - 2 })
        },
    }],
    infer,
    gradient: GradientRule::Rule(|graph, node, dy| {
        let (p, q) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let b = Builder::at(graph, node);
        vec![Some(b.matmul(dy, b.swap_last(q))), Some(b.matmul(b.swap_last(p), dy))]
    }),
    lowering: Lowering::Kernel,
    flops: |_, inputs, ty| 2 * ty.elements() as u64 * *inputs[0].shape.last().unwrap_or(&0) as u64,
    samples: || {
        let one = |batch, a: &[usize], b: &[usize]| Sample {
            op: Op::Matmul { batch },
            inputs: vec![TensorType::new(DType::F32, a.to_vec()), TensorType::new(DType::F32, b.to_vec())],
            domains: vec![(-1.0, 1.0); 2],
        };
        vec![
            one(0, &[1, 1], &[1, 1]),
            one(0, &[3, 5], &[5, 7]),
            one(1, &[2, 3, 5], &[2, 5, 1]),
            one(2, &[2, 3, 1, 4], &[2, 3, 4, 3]),
        ]
    },
};
