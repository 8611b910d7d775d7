//! Matrix products and convolutions as launches of runtime kernels. In: a node. Out: the work, over nodes' buffers.

use super::{BufferId, ConvPass, ConvShape, Operand, Work};
use crate::graph::{Graph, NodeId};
use crate::ops::{Op, Window};
use crate::opt::fuse_view::{dense_operand, matmul_operand};

/// The work of a node and its floating-point operations; `buffer` finds the buffer of a node.
pub fn lower_runtime(
    graph: &Graph<usize>,
    id: NodeId,
    buffer: &mut impl FnMut(NodeId) -> BufferId,
) -> Result<(Work, u64), String> {
    let node = graph.node(id);
    let shape = |i: usize| graph.ty(node.inputs[i]).shape.clone();
    let output = buffer(id);
    if let Op::Matmul { batch: axes } = node.op {
        let rows = &node.ty.shape;
        let (m, n) = (rows[axes], rows[axes + 1]);
        let k = shape(0)[axes + 1];
        let batch = rows[..axes].iter().product();
        let mut operand = |i: usize| -> Result<Operand, String> {
            let v = matmul_operand(graph, node.inputs[i], axes);
            if v.strides.len() != 3 {
                return Err("an operand of the matrix product has no single batch stride".to_string());
            }
            Ok(Operand { buffer: buffer(v.base), offset: v.offset as usize, strides: v.strides })
        };
        let (a, b) = (operand(0)?, operand(1)?);
        let (dtype, c) = (node.ty.dtype, output);
        let work = Work::Matmul { dtype, batch, m, n, k, a, b, c, epilogue: None, workspace: None, packed: None };
        return Ok((work, 2 * (batch * m * n * k) as u64));
    }
    // x, weight and dy are 4-dimensional: [batch, channels, height, width].
    let (pass, window, groups, x, weight, dy) = match &node.op {
        Op::Conv { window, groups } => (ConvPass::Forward, window, groups, shape(0), shape(1), node.ty.shape.clone()),
        Op::ConvInputGrad { window, groups, .. } => {
            (ConvPass::InputGrad, window, groups, node.ty.shape.clone(), shape(1), shape(0))
        }
        Op::ConvWeightGrad { window, groups } => {
            (ConvPass::WeightGrad, window, groups, shape(0), node.ty.shape.clone(), shape(1))
        }
        _ => return Err("no runtime kernel for this operation".to_string()),
    };
    let size = match x[2..] {
        [width] => [1, width],
        [height, width] => [height, width],
        _ => return Err(format!("convolution over {} axes is not supported on this target yet", x.len() - 2)),
    };
    let shape = ConvShape {
        batch: x[0],
        in_channels: x[1],
        out_channels: weight[0],
        groups: *groups,
        size,
        window: two_axes(window),
    };
    let outputs: usize = dy.iter().product();
    let flops = 2 * (outputs * weight[1..].iter().product::<usize>()) as u64;
    let inputs = [buffer(dense_operand(graph, node.inputs[0])), buffer(dense_operand(graph, node.inputs[1]))];
    Ok((Work::Conv { pass, shape, inputs, output, epilogue: None, workspace: None, packed: None }, flops))
}

fn two_axes(window: &Window<usize>) -> Window<usize> {
    let pad = |values: &[usize], fill: usize| -> Vec<usize> {
        std::iter::repeat_n(fill, 2 - values.len().min(2)).chain(values.iter().copied()).collect()
    };
    Window {
        kernel: pad(&window.kernel, 1),
        stride: pad(&window.stride, 1),
        dilation: pad(&window.dilation, 1),
        pad_low: pad(&window.pad_low, 0),
        pad_high: pad(&window.pad_high, 0),
    }
}
