//! Executes a schedule slowly: the judge of lowering and planning. In: a schedule and the contents of its buffers. Out:
//! the contents after the step. Loop kernels run in their interpreter, matrix products and convolutions by definition.

use super::{BufferKind, ConvPass, ConvShape, EpilogueWork, Operand, Plan, Repeat, Schedule, Work};
use crate::codegen::loops::scalar::Scalar;
use crate::codegen::loops::{self, BufferData};

/// Zeroed contents of all buffers, constants filled in.
pub fn memory(schedule: &Schedule) -> Vec<BufferData> {
    let contents = |b: &super::Buffer| match &b.kind {
        BufferKind::Constant(bytes) => BufferData { dtype: b.dtype, bytes: bytes.clone() },
        _ => BufferData::zeros(b.dtype, b.len),
    };
    schedule.buffers.iter().map(contents).collect()
}

/// Runs all launches; every buffer has bytes of its own.
pub fn run(schedule: &Schedule, memory: &mut [BufferData]) -> Result<(), String> {
    schedule.launches.iter().try_for_each(|l| launch(schedule, &l.work, memory))
}

/// Runs all launches with buffers at their places in an arena that starts full of noise. Buffers that are written from
/// outside are taken from `memory`, and all that are still alive at the end are put back there.
pub fn run_plan(plan: &Plan, memory: &mut [BufferData]) -> Result<(), String> {
    let mut arena: Vec<u8> = (0..plan.arena_bytes).map(|i| (i % 251) as u8 | 1).collect();
    let in_arena: Vec<bool> = plan.schedule.buffers.iter().map(|b| b.kind.in_arena()).collect();
    let end = plan.schedule.launches.len();
    for (i, data) in memory.iter().enumerate() {
        if in_arena[i] && plan.lifetimes[i].0 == 0 {
            arena[plan.offsets[i]..][..data.bytes.len()].copy_from_slice(&data.bytes);
        }
    }
    let load = |arena: &[u8], memory: &mut [BufferData], i: usize| {
        let n = memory[i].bytes.len();
        memory[i].bytes.copy_from_slice(&arena[plan.offsets[i]..][..n]);
    };
    for l in &plan.schedule.launches {
        let used = l.work.buffers();
        for b in used.iter().map(|b| b.0 as usize).filter(|&b| in_arena[b]) {
            load(&arena, memory, b);
        }
        launch(&plan.schedule, &l.work, memory)?;
        for b in used.iter().map(|b| b.0 as usize).filter(|&b| in_arena[b]) {
            arena[plan.offsets[b]..][..memory[b].bytes.len()].copy_from_slice(&memory[b].bytes);
        }
    }
    for i in (0..memory.len()).filter(|&i| in_arena[i] && plan.lifetimes[i].1 >= end) {
        load(&arena, memory, i);
    }
    Ok(())
}

fn launch(schedule: &Schedule, work: &Work, memory: &mut [BufferData]) -> Result<(), String> {
    match work {
        Work::Loops { kernel, args } => kernel_on(schedule, *kernel, args, memory),
        Work::Matmul { batch, m, n, k, a, b, c, epilogue, .. } => {
            let (x, y) = (&memory[a.buffer.0 as usize], &memory[b.buffer.0 as usize]);
            let at = |o: &Operand, i: [usize; 3]| {
                let steps: i64 = o.strides.iter().zip(i).map(|(s, i)| s * i as i64).sum();
                (o.offset as i64 + steps) as usize
            };
            let mut out = Vec::with_capacity(batch * m * n);
            for p in 0..*batch {
                for i in 0..*m {
                    for j in 0..*n {
                        let terms = (0..*k).map(|l| x.get(at(a, [p, i, l])).float() * y.get(at(b, [p, l, j])).float());
                        out.push(terms.sum::<f64>());
                    }
                }
            }
            fill(&mut memory[c.0 as usize], &out);
            finish(schedule, epilogue, memory)
        }
        Work::Conv { pass, shape, inputs, output, epilogue, .. } => {
            let (x, y) = (memory[inputs[0].0 as usize].to_f64(), memory[inputs[1].0 as usize].to_f64());
            let mut out = vec![0.0; memory[output.0 as usize].len()];
            convolve(*pass, shape, &x, &y, &mut out);
            fill(&mut memory[output.0 as usize], &out);
            finish(schedule, epilogue, memory)
        }
        Work::Repeat(repeat) => steps(repeat, memory),
    }
}

/// Runs the body once for each step, on copies of its pieces of the buffers around.
fn steps(repeat: &Repeat, memory: &mut [BufferData]) -> Result<(), String> {
    for (from, to) in &repeat.starts {
        memory[to.0 as usize] = memory[from.0 as usize].clone();
    }
    let buffers = &repeat.body.schedule.buffers;
    let mut inner = self::memory(&repeat.body.schedule);
    for step in 0..repeat.count {
        let place = if repeat.reverse { repeat.count - 1 - step } else { step };
        let bound = |buffer: &super::Buffer| match buffer.kind {
            BufferKind::Outer(n) => {
                let binding = repeat.bindings[n as usize];
                let begin = place * binding.stride * buffer.dtype.bytes();
                Some((binding, begin..begin + buffer.bytes()))
            }
            _ => None,
        };
        for (buffer, data) in buffers.iter().zip(&mut inner) {
            if let Some((binding, range)) = bound(buffer) {
                data.bytes.copy_from_slice(&memory[binding.buffer.0 as usize].bytes[range]);
            }
        }
        match repeat.body.offsets.len() == buffers.len() {
            true => run_plan(&repeat.body, &mut inner)?,
            false => run(&repeat.body.schedule, &mut inner)?,
        }
        for (buffer, data) in buffers.iter().zip(&inner) {
            if let Some((binding, range)) = bound(buffer).filter(|b| b.0.written) {
                memory[binding.buffer.0 as usize].bytes[range].copy_from_slice(&data.bytes);
            }
        }
    }
    Ok(())
}

fn fill(data: &mut BufferData, values: &[f64]) {
    let dtype = data.dtype;
    values.iter().enumerate().for_each(|(i, &v)| data.set(i, Scalar::Float(v).cast(dtype)));
}

fn finish(schedule: &Schedule, epilogue: &Option<EpilogueWork>, memory: &mut [BufferData]) -> Result<(), String> {
    epilogue.iter().try_for_each(|e| kernel_on(schedule, e.kernel, &e.args, memory))
}

fn kernel_on(
    schedule: &Schedule,
    kernel: usize,
    args: &[super::BufferId],
    memory: &mut [BufferData],
) -> Result<(), String> {
    let mut buffers: Vec<BufferData> = args.iter().map(|a| memory[a.0 as usize].clone()).collect();
    loops::run(&schedule.kernels[kernel], &mut buffers)?;
    for (i, (arg, data)) in args.iter().zip(buffers).enumerate() {
        if schedule.kernels[kernel].buffers[i].access != loops::Access::Read {
            memory[arg.0 as usize] = data;
        }
    }
    Ok(())
}

impl ConvShape {
    /// Height and width of the output.
    pub fn out_size(&self) -> [usize; 2] {
        [0, 1].map(|i| {
            let w = &self.window;
            let reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
            (self.size[i] + w.pad_low[i] + w.pad_high[i]).saturating_sub(reach) / w.stride[i] + 1
        })
    }
}

/// Every product of the convolution, added to whichever of its three tensors is the result.
fn convolve(pass: ConvPass, s: &ConvShape, first: &[f64], second: &[f64], out: &mut [f64]) {
    let ([oh, ow], w) = (s.out_size(), &s.window);
    let (ic, oc) = (s.in_channels / s.groups, s.out_channels / s.groups);
    for b in 0..s.batch {
        for o in 0..s.out_channels {
            for c in 0..ic {
                let channel = o / oc * ic + c;
                for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                    for (ky, kx) in (0..w.kernel[0]).flat_map(|y| (0..w.kernel[1]).map(move |x| (y, x))) {
                        let iy = (y * w.stride[0] + ky * w.dilation[0]).checked_sub(w.pad_low[0]);
                        let ix = (x * w.stride[1] + kx * w.dilation[1]).checked_sub(w.pad_low[1]);
                        let (Some(iy), Some(ix)) = (iy, ix) else { continue };
                        if iy >= s.size[0] || ix >= s.size[1] {
                            continue;
                        }
                        let at_x = ((b * s.in_channels + channel) * s.size[0] + iy) * s.size[1] + ix;
                        let at_w = ((o * ic + c) * w.kernel[0] + ky) * w.kernel[1] + kx;
                        let at_y = ((b * s.out_channels + o) * oh + y) * ow + x;
                        match pass {
                            ConvPass::Forward => out[at_y] += first[at_x] * second[at_w],
                            ConvPass::InputGrad => out[at_x] += first[at_y] * second[at_w],
                            ConvPass::WeightGrad => out[at_w] += first[at_x] * second[at_y],
                        }
                    }
                }
            }
        }
    }
}
