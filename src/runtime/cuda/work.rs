//! What a launch of a plan calls. In: the work. Out: kernels with the buffers that they take, in order.

use super::conv::{Convolution, conv, conv_scratch};
use super::gemm::{Product, matmul, scratch};
use crate::codegen::cuda::{self, Source};
use crate::ops::DType;
use crate::plan::{BufferId, Schedule, Work, WorkspaceSizes};

/// A function with the buffers that it takes, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub source: Source,
    pub args: Vec<BufferId>,
}

impl Call {
    pub fn new(source: Source, args: Vec<BufferId>) -> Call {
        Call { source, args }
    }
}

/// The kernels of a launch that is not repeated. `aligned`: every buffer begins at a multiple of 16 bytes.
///
/// # Errors
/// What there is no kernel for.
pub fn calls(schedule: &Schedule, work: &Work, aligned: bool) -> Result<Vec<Call>, String> {
    match work {
        Work::Loops { kernel, args } => {
            let kernel = schedule.kernels.get(*kernel).ok_or_else(|| format!("there is no kernel {kernel}"))?;
            Ok(cuda::kernel(kernel, aligned).map(|source| Call::new(source, args.clone())).into_iter().collect())
        }
        Work::Matmul {
            dtype: dtype @ (DType::F32 | DType::F64), batch, m, n, k, a, b, c, epilogue, workspace, ..
        } => {
            let (dtype, batch, m, n, k, c, workspace) = (*dtype, *batch, *m, *n, *k, *c, *workspace);
            matmul(schedule, &Product { dtype, batch, m, n, k, a, b, c, epilogue, workspace })
        }
        Work::Matmul { dtype, .. } => Err(format!("a matrix product of {dtype}")),
        Work::Conv { pass, shape, inputs, output, epilogue, workspace, .. } => {
            let dtype = schedule.buffers.get(output.0 as usize).map_or(DType::F32, |b| b.dtype);
            if !matches!(dtype, DType::F32 | DType::F64) {
                return Err(format!("a convolution of {dtype}"));
            }
            let (pass, inputs, output, workspace) = (*pass, *inputs, *output, *workspace);
            conv(schedule, &Convolution { dtype, pass, shape, inputs, output, epilogue, workspace })
        }
        Work::Repeat(_) => Err("a recurrence is not one call".to_string()),
    }
}

/// Scratch memory of products whose sums are cut into parts.
pub struct Workspaces;

impl WorkspaceSizes for Workspaces {
    fn in_lanes(&self) -> bool {
        false
    }

    fn bytes(&self, work: &Work) -> usize {
        match work {
            Work::Matmul { dtype, batch, m, n, k, .. } => scratch(*dtype, *batch, *m, *n, *k),
            // The work does not say its dtype, and their tiles differ.
            Work::Conv { pass, shape, .. } => {
                conv_scratch(DType::F32, *pass, shape).max(conv_scratch(DType::F64, *pass, shape))
            }
            _ => 0,
        }
    }
}
