//! Weights that are prepared once: where no launch writes a variable, what a runtime kernel reads of it in an order of its own is
//! kept from step to step. In: a schedule. Out: the same with buffers for what is kept. Invariant: only a change of the
//! variable from outside makes it stale.

use super::{Buffer, BufferId, BufferKind, ConvPass, Schedule, Work, WorkspaceSizes};
use crate::codegen::loops::Access;
use crate::ops::DType;

/// Gives the products and convolutions whose weights are variables buffers for them.
pub fn keep_weights(schedule: &mut Schedule, sizes: &dyn WorkspaceSizes) {
    let written: Vec<BufferId> = schedule.launches.iter().flat_map(|l| written(schedule, &l.work)).collect();
    let Schedule { buffers, launches, .. } = schedule;
    for launch in launches {
        let weights = match &launch.work {
            Work::Matmul { b, batch: 1, packed: None, .. } => b.buffer,
            Work::Conv { pass: ConvPass::Forward, inputs, .. } => inputs[1],
            _ => continue,
        };
        let Buffer { kind: BufferKind::Var(var), dtype: DType::F32, .. } = buffers[weights.0 as usize] else {
            continue;
        };
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

/// The buffers that a launch writes.
pub fn written(schedule: &Schedule, work: &Work) -> Vec<BufferId> {
    let by_kernel = |kernel: usize, args: &[BufferId]| -> Vec<BufferId> {
        let decls = schedule.kernels.get(kernel).map_or(&[][..], |k| &k.buffers);
        args.iter().zip(decls).filter(|(_, d)| d.access != Access::Read).map(|(a, _)| *a).collect()
    };
    let (output, epilogue) = match work {
        Work::Loops { kernel, args } => return by_kernel(*kernel, args),
        Work::Matmul { c, epilogue, .. } => (*c, epilogue),
        Work::Conv { output, epilogue, .. } => (*output, epilogue),
        Work::Repeat(repeat) => return repeat.bindings.iter().filter(|b| b.written).map(|b| b.buffer).collect(),
    };
    let mut list = vec![output];
    if let Some(e) = epilogue {
        list.extend(by_kernel(e.kernel, &e.args).into_iter().filter(|b| *b != output));
    }
    list
}
