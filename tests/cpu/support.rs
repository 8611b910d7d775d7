//! Running kernels both ways, and comparing.

use nnc::codegen::cpu::{self, Code, Entry, Optimize, Target};
use nnc::codegen::loops::scalar::Scalar;
use nnc::codegen::loops::{self, BufferData, Kernel, LoopKind, text};
use nnc::ops::{DType, half};

pub const DTYPES: [DType; 9] = DType::ALL;

/// This machine with its widest vectors, and with those of 128 bits.
pub fn targets() -> [Target; 2] {
    [Target::host(Optimize::Speed).unwrap(), Target::narrow(Optimize::Speed).unwrap()]
}

pub fn parse(source: &str) -> Kernel {
    let kernel = text::parse(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    loops::verify(&kernel).unwrap_or_else(|e| panic!("{e}\n{source}"));
    kernel
}

pub fn compile(target: &Target, kernels: &[Kernel]) -> Code {
    let requests: Vec<_> = kernels.iter().map(|k| (k, Entry::Range)).collect();
    cpu::compile(target, &requests).unwrap_or_else(|e| panic!("{} {:?}", e.headline, e.notes))
}

/// Bytes around each buffer that nobody may write.
pub const MARGIN: usize = 64;

/// Calls a function with pointers to copies of the buffers.
pub fn with_pointers(buffers: &mut [BufferData], call: impl FnOnce(*const *mut u8)) {
    let mut memory: Vec<Vec<u8>> = buffers
        .iter()
        .map(|b| {
            let margin = [0xa5u8; MARGIN];
            [&margin[..], &b.bytes, &margin[..]].concat()
        })
        .collect();
    let pointers: Vec<*mut u8> = memory.iter_mut().map(|m| m[MARGIN..].as_mut_ptr()).collect();
    call(pointers.as_ptr());
    for (i, (buffer, memory)) in buffers.iter_mut().zip(&memory).enumerate() {
        let len = buffer.bytes.len();
        buffer.bytes.copy_from_slice(&memory[MARGIN..MARGIN + len]);
        let outside = memory[..MARGIN].iter().chain(&memory[MARGIN + len..]);
        assert!(outside.copied().all(|b| b == 0xa5), "buffer {i} was written outside");
    }
}

/// Runs kernel `number` in parts of `part` iterations.
pub fn run_parts(code: &Code, number: usize, kernel: &Kernel, part: usize, buffers: &mut [BufferData]) {
    let function = code.range(number).unwrap();
    let extent = cpu::outer_loop(kernel).map_or(1, |o| o.0);
    with_pointers(buffers, |args| {
        let mut begin = 0;
        while begin < extent {
            let end = (begin + part).min(extent);
            // SAFETY: the pointers are to buffers of the declared lengths, which the kernel's loads and stores stay in.
            unsafe { function(args, begin, end) };
            begin = end;
        }
    });
}

pub fn ulps(a: f64, b: f64, dtype: DType) -> f64 {
    if a == b || a.is_nan() && b.is_nan() {
        return 0.0;
    }
    if a.is_nan() || b.is_nan() || a.is_infinite() != b.is_infinite() {
        return f64::INFINITY;
    }
    let order32 = |x: f64| {
        let bits = (x as f32).to_bits() as i32 as i64;
        if bits < 0 { i32::MIN as i64 - bits } else { bits }
    };
    let order64 = |x: f64| {
        let bits = x.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    let order16 = |x: f64| {
        let bits = i64::from(half::bits(x, dtype) as i16);
        if bits < 0 { i64::from(i16::MIN) - bits } else { bits }
    };
    if dtype.is_half() {
        (order16(a) - order16(b)).abs() as f64
    } else if dtype == DType::F32 {
        (order32(a) - order32(b)).abs() as f64
    } else {
        (order64(a) as f64 - order64(b) as f64).abs()
    }
}

/// Whether the elements are the same: bits, but for NaNs, zeros of both signs and `tolerance` units.
pub fn assert_same(what: &str, got: &[BufferData], want: &[BufferData], tolerance: f64) {
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        for at in 0..w.len() {
            let far = match (g.get(at), w.get(at)) {
                (Scalar::Float(a), Scalar::Float(b)) => ulps(a, b, w.dtype) > tolerance,
                (a, b) => a != b,
            };
            if w.dtype == DType::Bool {
                assert!(g.bytes[at] <= 1, "{what}: b{i}[{at}] is no bool: {}", g.bytes[at]);
            }
            assert!(!far, "{what}: b{i}[{at}] is {:?}, not {:?}", g.get(at), w.get(at));
        }
    }
}

/// Interprets the kernel and runs its code in one part and in several.
pub fn check(code: &Code, number: usize, kernel: &Kernel, buffers: &[BufferData], tolerance: f64) {
    let mut want = buffers.to_vec();
    loops::run(kernel, &mut want).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    let (extent, kind) = cpu::outer_loop(kernel).unwrap_or((1, LoopKind::Serial));
    let unit = if kind == LoopKind::Vector { cpu::LANES } else { 1 };
    for part in [extent.max(1), 3 * unit, unit] {
        let mut got = buffers.to_vec();
        run_parts(code, number, kernel, part, &mut got);
        assert_same(&format!("in parts of {part}:\n{kernel}"), &got, &want, tolerance);
    }
}

pub fn check_all(kernels: Vec<(Kernel, Vec<BufferData>, f64)>) {
    let list: Vec<Kernel> = kernels.iter().map(|k| k.0.clone()).collect();
    for target in targets() {
        let code = compile(&target, &list);
        for (i, (kernel, buffers, tolerance)) in kernels.iter().enumerate() {
            check(&code, i, kernel, buffers, *tolerance);
        }
    }
}

/// A small generator, the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn data(&mut self, dtype: DType, len: usize) -> BufferData {
        let values: Vec<f64> = (0..len)
            .map(|_| match dtype {
                DType::Bool => self.below(2) as f64,
                d if d.is_float() => (self.below(2001) as f64 - 1000.0) / 64.0,
                DType::U8 => self.below(256) as f64,
                _ => self.below(256) as f64 - 128.0,
            })
            .collect();
        BufferData::from_f64(dtype, &values)
    }
}
