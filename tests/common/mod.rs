//! A small training step as a plan, made by hand.

use nnc::codegen::loops::{self, text};
use nnc::graph::Origin;
use nnc::ops::{Clock, DType, VarId};
use nnc::plan::{Buffer, BufferId, BufferKind, EpilogueWork, Launch, Operand, Plan, Schedule, VarLayout, Work};
use nnc::source::{FileId, Span};

pub const ROWS: usize = 96;
pub const IN: usize = 40;
pub const OUT: usize = 70;

pub fn origin(n: u32) -> Origin {
    Origin { span: Span { file: FileId(0), start: n, end: n + 1 }, scope: 0 }
}

/// Collects buffers and launches, each buffer in a place of its own.
#[derive(Default)]
pub struct Maker {
    pub schedule: Schedule,
    pub offsets: Vec<usize>,
    pub arena: usize,
}

impl Maker {
    pub fn buffer(&mut self, kind: BufferKind, dtype: DType, len: usize) -> BufferId {
        let buffer = Buffer { kind, dtype, len, shape: vec![len], origin: origin(0) };
        let at = match buffer.kind {
            BufferKind::Var(_) | BufferKind::Constant(_) => 0,
            _ => {
                let at = self.arena;
                self.arena += buffer.bytes().next_multiple_of(64);
                at
            }
        };
        self.offsets.push(at);
        self.schedule.buffers.push(buffer);
        BufferId(self.schedule.buffers.len() as u32 - 1)
    }

    pub fn kernel(&mut self, source: &str) -> usize {
        let kernel = text::parse(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
        loops::verify(&kernel).unwrap();
        self.schedule.kernels.push(kernel);
        self.schedule.kernels.len() - 1
    }

    pub fn launch(&mut self, work: Work) {
        let origin = origin(self.schedule.launches.len() as u32);
        self.schedule.launches.push(Launch { work, origin, parts: vec![origin], flops: 0 });
    }

    pub fn loops(&mut self, source: &str, args: &[BufferId]) {
        let kernel = self.kernel(source);
        self.launch(Work::Loops { kernel, args: args.to_vec() });
    }

    pub fn finish(self) -> Plan {
        let count = self.schedule.launches.len();
        let lifetimes = vec![(0, count); self.offsets.len()];
        Plan {
            schedule: self.schedule,
            offsets: self.offsets,
            lifetimes,
            arena_bytes: self.arena,
            kept_bytes: 0,
            lower_bound: 0,
        }
    }
}

/// `h = relu(x @ w + bias) * 2; loss = mean of log h + step + key; w = 0.5 * w`, with the bias a constant.
pub fn step() -> (Plan, VarLayout) {
    let mut m = Maker::default();
    let w = m.buffer(BufferKind::Var(VarId(1)), DType::F32, IN * OUT);
    let x = m.buffer(BufferKind::Field(0), DType::F32, ROWS * IN);
    let bias: Vec<u8> = (0..OUT).flat_map(|i| (i as f32 * 0.01 + 0.5).to_le_bytes()).collect();
    let bias = m.buffer(BufferKind::Constant(bias), DType::F32, OUT);
    let h = m.buffer(BufferKind::Temporary, DType::F32, ROWS * OUT);
    let logs = m.buffer(BufferKind::Temporary, DType::F32, ROWS * OUT);
    let clock = m.buffer(BufferKind::Clock(Clock::Step), DType::F32, 1);
    let key = m.buffer(BufferKind::Key, DType::I32, 4);
    let loss = m.buffer(BufferKind::Value(0), DType::F32, 1);
    let seen = m.buffer(BufferKind::Value(1), DType::I32, 4);
    let n = ROWS * OUT;
    let epilogue = m.kernel(&format!(
        "kernel bias_relu(b0: f32[{n}] readwrite, b1: f32[{OUT}] read) {{
           serial i0 in 0..1 {{ serial i1 in 0..{ROWS} {{ vector i2 in 0..{OUT} {{
             %0 = load b0[{OUT}*i1 + i2] %1 = load b1[i2] %2 = add.f32 %0, %1 %3 = const.f32 0 %4 = max.f32 %2, %3
             store b0[{OUT}*i1 + i2], %4 }} }} }} }}"
    ));
    let operand = |buffer, columns: usize| Operand { buffer, offset: 0, strides: vec![0, columns as i64, 1] };
    m.launch(Work::Matmul {
        dtype: DType::F32,
        batch: 1,
        m: ROWS,
        n: OUT,
        k: IN,
        a: operand(x, IN),
        b: operand(w, OUT),
        c: h,
        epilogue: Some(EpilogueWork { kernel: epilogue, args: vec![h, bias] }),
        workspace: None,
        packed: None,
    });
    m.loops(
        &format!(
            "kernel logs(b0: f32[{n}] read, b1: f32[{n}] write) {{ vector i0 in 0..{n} {{
               %0 = load b0[i0] %1 = const.f32 2 %2 = mul.f32 %0, %1 %3 = log.f32 %2 store b1[i0], %3 }} }}"
        ),
        &[h, logs],
    );
    m.loops(
        &format!(
            "kernel loss(b0: f32[{n}] read, b1: f32[1] read, b2: i32[4] read, b3: f32[1] write, b4: i32[4] write) {{
               %0 = fold sum vector i0 in 0..{n} {{ %1 = load b0[i0] yield %1 }}
               %2 = load b1[0] %3 = add.f32 %0, %2 store b3[0], %3
               serial i1 in 0..4 {{ %4 = load b2[i1] store b4[i1], %4 }} }}"
        ),
        &[logs, clock, key, loss, seen],
    );
    let n = IN * OUT;
    m.loops(
        &format!(
            "kernel decay(b0: f32[{n}] readwrite) {{ parallel i0 in 0..{IN} {{ vector i1 in 0..{OUT} {{
               %0 = load b0[{OUT}*i0 + i1] %1 = const.f32 0.5 %2 = mul.f32 %0, %1 store b0[{OUT}*i0 + i1], %2 }} }} }}"
        ),
        &[w],
    );
    (m.finish(), VarLayout { offsets: vec![0, 128], bytes: 128 + (n * 4).next_multiple_of(64) })
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn weights() -> Vec<f32> {
    (0..IN * OUT).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 10_000.0).collect()
}

pub fn batch() -> Vec<f32> {
    (0..ROWS * IN).map(|i| (i * 104_729 % 100) as f32 / 1000.0).collect()
}
