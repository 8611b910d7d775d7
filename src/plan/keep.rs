//! Weights that are prepared once: where no launch writes a variable, what a runtime kernel reads of it in an order of its own is
//! kept from step to step. In: a schedule. Out: the same with buffers for what is kept. Invariant: only a change of the
//! variable from outside makes it stale.

use super::{Buffer, BufferId, BufferKind, ConvPass, Schedule, Work, WorkspaceSizes};
use crate::codegen::loops::Access;
use crate::ops::DType;

/// Gives the products and convolutions whose weights are variables buffers for them.
pub fn keep_weights(schedule: &mut Schedule, sizes: &dyn WorkspaceSizes) {
    let written = written(schedule);
    let Schedule { buffers, launches, .. } = schedule;
    for launch in launches {
        let weights = match &launch.work {
            Work::Matmul { b, batch: 1, packed: None, .. } => b.buffer,
            Work::Conv { pass: ConvPass::Forward, inputs, .. } => inputs[1],
            _ => continue,
        };
        let BufferKind::Var(var) = buffers[weights.0 as usize].kind else { continue };
        let bytes = if written.contains(&weights) { 0 } else { sizes.packed_bytes(&launch.work) };
        if bytes == 0 {
            continue;
        }
        if let Work::Matmul { packed, .. } | Work::Conv { packed, .. } = &mut launch.work {
            *packed = Some(BufferId(buffers.len() as u32));
            let (kind, dtype) = (BufferKind::Kept(var), DType::U8);
            buffers.push(Buffer { kind, dtype, len: bytes, shape: vec![bytes], origin: launch.origin });
        }
    }
}

/// The buffers that some launch writes.
fn written(schedule: &Schedule) -> Vec<BufferId> {
    let mut list = Vec::new();
    for launch in &schedule.launches {
        let by_kernel = |kernel: usize, args: &[BufferId]| -> Vec<BufferId> {
            let written = schedule.kernels[kernel].buffers.iter().map(|b| b.access != Access::Read);
            args.iter().zip(written).filter(|(_, written)| *written).map(|(arg, _)| *arg).collect()
        };
        match &launch.work {
            Work::Loops { kernel, args } => list.extend(by_kernel(*kernel, args)),
            work => list.extend(work.writes()),
        }
        if let Work::Matmul { epilogue: Some(e), .. } | Work::Conv { epilogue: Some(e), .. } = &launch.work {
            list.extend(by_kernel(e.kernel, &e.args));
        }
    }
    list
}
