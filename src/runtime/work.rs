//! What a plan's work is to the kernels of this machine: its shape as they take it, and the scratch memory that they need. In: work as
//! the plan has it. Out: the same with strides and sizes as numbers, or the diagnostic that it does not fit.

use super::kernels::conv::Conv2d;
use super::kernels::gemm::{Matmul, View};
use crate::diag::{Diagnostic, codes};
use crate::ops::DType;
use crate::plan::{ConvPass, Operand, Work};

/// A fault of the compiler, not of the program.
pub(super) fn internal(what: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::placeless(codes::INTERNAL, "a plan does not fit its own memory").note(what))
}

pub(super) fn view(operand: &Operand) -> Result<View, Box<Diagnostic>> {
    let stride = |i: usize| operand.strides.get(i).and_then(|s| usize::try_from(*s).ok());
    match (operand.strides.len(), stride(0), stride(1), stride(2)) {
        (3, Some(batch_stride), Some(row_stride), Some(col_stride)) => {
            Ok(View { row_stride, col_stride, batch_stride })
        }
        _ => Err(internal(format!("a matrix with strides {:?}", operand.strides))),
    }
}

pub(super) fn conv(shape: &crate::plan::ConvShape) -> Result<Conv2d, Box<Diagnostic>> {
    let w = &shape.window;
    let pair = |list: &[usize]| <[usize; 2]>::try_from(list).ok();
    let pairs = (pair(&w.kernel), pair(&w.stride), pair(&w.dilation), pair(&w.pad_low), pair(&w.pad_high));
    let (Some(kernel), Some(stride), Some(dilation), Some(pad_low), Some(pad_high)) = pairs else {
        return Err(internal("a convolution that is not over two axes"));
    };
    if shape.groups == 0 || [kernel, stride, dilation].iter().flatten().any(|n| *n == 0) {
        return Err(internal("a convolution with a size of zero"));
    }
    Ok(Conv2d {
        batch: shape.batch,
        in_channels: shape.in_channels,
        out_channels: shape.out_channels,
        groups: shape.groups,
        in_size: shape.size,
        kernel,
        stride,
        dilation,
        pad_low,
        pad_high,
    })
}

/// Scratch memory of the runtime kernels on this machine, for the plan.
pub struct Workspaces {
    pub threads: usize,
    /// Weights that no launch writes are packed once.
    pub keep: bool,
}

impl crate::plan::WorkspaceSizes for Workspaces {
    fn bytes(&self, work: &Work) -> usize {
        match work {
            Work::Matmul { packed, .. } => floats(work).map_or(0, |product| match packed {
                Some(_) => product.workspace_packed(self.threads),
                None => product.workspace(self.threads),
            }),
            Work::Conv { pass, shape, packed, .. } => conv(shape).map_or(0, |c| match pass {
                ConvPass::Forward if packed.is_some() => c.workspace_kept(self.threads),
                ConvPass::Forward => c.workspace_forward(self.threads),
                ConvPass::InputGrad => c.workspace_input_grad(self.threads),
                ConvPass::WeightGrad => c.workspace_weight_grad(self.threads),
            }),
            _ => 0,
        }
    }

    fn packed_bytes(&self, work: &Work) -> usize {
        match work {
            Work::Conv { pass: ConvPass::Forward, shape, .. } => conv(shape).map_or(0, |c| c.kept_bytes()),
            _ => floats(work).map_or(0, |product| product.packed_bytes()),
        }
    }

    fn keeps_weights(&self) -> bool {
        self.keep
    }

    fn of_lane(&self) -> Box<dyn crate::plan::WorkspaceSizes> {
        Box::new(Workspaces { threads: 1, keep: false })
    }
}

/// The work as a product of `f32`, if it is one.
fn floats(work: &Work) -> Option<Matmul> {
    let Work::Matmul { dtype: DType::F32, batch, m, n, k, a, b, .. } = work else { return None };
    Some(product(*batch, *m, *n, *k, view(a).ok()?, view(b).ok()?))
}

pub(super) fn product(batch: usize, m: usize, n: usize, k: usize, a: View, b: View) -> Matmul {
    Matmul { batch, m, n, k, a, b, c_row_stride: n, c_batch_stride: m * n, accumulate: false }
}
