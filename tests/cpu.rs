//! Machine code against the kernel IR's interpreter: the same bits for exact operations, a few units in the last place
//! for elementary functions, whatever the lengths, the dtypes and the way a loop is split.

use nnc::codegen::cpu::{self, Code, Entry, Optimize, Target};
use nnc::codegen::loops::scalar::Scalar;
use nnc::codegen::loops::{self, BufferData, Kernel, LoopKind, text};
use nnc::ops::{Binary, Compare, DType, Reduce, Unary};

const DTYPES: [DType; 7] = [DType::Bool, DType::U8, DType::I8, DType::I32, DType::I64, DType::F32, DType::F64];

fn target() -> Target {
    Target::host(Optimize::Speed).unwrap()
}

fn parse(source: &str) -> Kernel {
    let kernel = text::parse(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    loops::verify(&kernel).unwrap_or_else(|e| panic!("{e}\n{source}"));
    kernel
}

fn compile(kernels: &[Kernel]) -> Code {
    let requests: Vec<_> = kernels.iter().map(|k| (k, Entry::Range)).collect();
    cpu::compile(&target(), &requests).unwrap_or_else(|e| panic!("{} {:?}", e.headline, e.notes))
}

/// Bytes around each buffer that nobody may write.
const MARGIN: usize = 64;

/// Calls a function with pointers to copies of the buffers.
fn with_pointers(buffers: &mut [BufferData], call: impl FnOnce(*const *mut u8)) {
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
fn run_parts(code: &Code, number: usize, kernel: &Kernel, part: usize, buffers: &mut [BufferData]) {
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

fn ulps(a: f64, b: f64, dtype: DType) -> f64 {
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
    if dtype == DType::F32 {
        (order32(a) - order32(b)).abs() as f64
    } else {
        (order64(a) as f64 - order64(b) as f64).abs()
    }
}

/// Whether the elements are the same: bits, but for NaNs, zeros of both signs and `tolerance` units.
fn assert_same(what: &str, got: &[BufferData], want: &[BufferData], tolerance: f64) {
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
fn check(code: &Code, number: usize, kernel: &Kernel, buffers: &[BufferData], tolerance: f64) {
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

fn check_all(kernels: Vec<(Kernel, Vec<BufferData>, f64)>) {
    let list: Vec<Kernel> = kernels.iter().map(|k| k.0.clone()).collect();
    let code = compile(&list);
    for (i, (kernel, buffers, tolerance)) in kernels.iter().enumerate() {
        check(&code, i, kernel, buffers, *tolerance);
    }
}

/// A small generator, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn data(&mut self, dtype: DType, len: usize) -> BufferData {
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

fn specials(dtype: DType) -> Vec<f64> {
    match dtype {
        DType::Bool => vec![0.0, 1.0],
        DType::U8 => vec![0.0, 1.0, 2.0, 3.0, 7.0, 8.0, 100.0, 127.0, 128.0, 200.0, 255.0],
        DType::I8 => vec![0.0, 1.0, -1.0, 2.0, -2.0, 7.0, 9.0, -37.0, 100.0, 127.0, -127.0, -128.0],
        DType::I32 | DType::I64 => {
            let max = if dtype == DType::I32 { i32::MAX as f64 } else { i64::MAX as f64 };
            let min = if dtype == DType::I32 { i32::MIN as f64 } else { i64::MIN as f64 };
            vec![
                0.0,
                1.0,
                -1.0,
                2.0,
                -3.0,
                7.0,
                31.0,
                33.0,
                64.0,
                -100.0,
                300.0,
                65536.0,
                -70000.0,
                max,
                min,
                min / 2.0,
            ]
        }
        _ => {
            let mut list = vec![
                0.0,
                0.5,
                1.0,
                1.5,
                2.5,
                3.0,
                0.1,
                1e-8,
                7.3,
                88.0,
                104.0,
                127.5,
                300.0,
                1e5,
                3e9,
                1e19,
                1e30,
                f64::INFINITY,
            ];
            if dtype == DType::F32 {
                list.extend([f32::MIN_POSITIVE as f64, 1e-45, f32::MAX as f64, 16777217.0]);
            } else {
                list.extend([f64::MIN_POSITIVE, 5e-324, f64::MAX, 9007199254740993.0]);
            }
            let negative: Vec<f64> = list.iter().map(|v| -v).collect();
            list.extend(negative);
            list.push(f64::NAN);
            list
        }
    }
}

/// All pairs of special values.
fn pairs(dtype: DType) -> (BufferData, BufferData, usize) {
    let list = specials(dtype);
    let left: Vec<f64> = list.iter().flat_map(|&a| list.iter().map(move |_| a)).collect();
    let right: Vec<f64> = list.iter().flat_map(|_| list.clone()).collect();
    (BufferData::from_f64(dtype, &left), BufferData::from_f64(dtype, &right), left.len())
}

/// Kernels with this statement in a scalar and in a vector loop, if the IR allows it.
fn elementwise(
    statement: &str,
    a: &BufferData,
    b: &BufferData,
    result: DType,
    out: &mut Vec<(Kernel, Vec<BufferData>, f64)>,
    tolerance: f64,
) {
    let n = a.len();
    for kind in ["serial", "vector", "parallel"] {
        let (d, e) = (a.dtype, b.dtype);
        let source = format!(
            "kernel k(b0: {d}[{n}] read, b1: {e}[{n}] read, b2: {result}[{n}] write) {{
                {kind} i0 in 0..{n} {{ %0 = load b0[i0] %1 = load b1[i0] {statement} store b2[i0], %2 }} }}"
        );
        let kernel = text::parse(&source).unwrap_or_else(|e| panic!("{e}\n{source}"));
        if loops::verify(&kernel).is_ok() {
            out.push((kernel, vec![a.clone(), b.clone(), BufferData::zeros(result, n)], tolerance));
        }
    }
}

#[test]
fn binary_operations_of_all_dtypes() {
    let mut kernels = Vec::new();
    for dtype in DTYPES {
        let (a, b, _) = pairs(dtype);
        for &op in Binary::ALL {
            elementwise(&format!("%2 = {}.{dtype} %0, %1", op.name()), &a, &b, dtype, &mut kernels, 0.0);
        }
    }
    assert!(kernels.len() > 200, "{}", kernels.len());
    check_all(kernels);
}

#[test]
fn comparisons_and_selections_of_all_dtypes() {
    let mut kernels = Vec::new();
    for dtype in DTYPES {
        let (a, b, _) = pairs(dtype);
        for &op in Compare::ALL {
            elementwise(&format!("%2 = {}.{dtype} %0, %1", op.name()), &a, &b, DType::Bool, &mut kernels, 0.0);
        }
        let statement = format!("%3 = lt.{dtype} %0, %1 %2 = select.{dtype} %3, %1, %0");
        elementwise(&statement, &a, &b, dtype, &mut kernels, 0.0);
    }
    check_all(kernels);
}

#[test]
fn unary_operations_of_all_dtypes() {
    let mut kernels = Vec::new();
    for dtype in DTYPES {
        let list = specials(dtype);
        let a = BufferData::from_f64(dtype, &list);
        for &op in Unary::ALL {
            let tolerance = match (op, dtype) {
                (Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf, DType::F32) => 2.0,
                // The interpreter's own error function is good to some units.
                (Unary::Erf, DType::F64) => 64.0,
                _ => 0.0,
            };
            elementwise(&format!("%2 = {}.{dtype} %0", op.name()), &a, &a, dtype, &mut kernels, tolerance);
        }
    }
    check_all(kernels);
}

#[test]
fn casts_between_all_dtypes() {
    let mut kernels = Vec::new();
    for from in DTYPES {
        let a = BufferData::from_f64(from, &specials(from));
        for to in DTYPES {
            elementwise(&format!("%2 = cast.{to} %0"), &a, &a, to, &mut kernels, 0.0);
        }
    }
    assert!(kernels.len() > 140);
    check_all(kernels);
}

#[test]
fn elementary_functions_stay_within_two_units() {
    sweep(&target());
}

#[test]
fn elementary_functions_without_fused_multiply_add() {
    sweep(&Target::baseline(Optimize::Speed).unwrap());
}

fn sweep(target: &Target) {
    const N: usize = 1 << 15;
    let ops = [Unary::Exp, Unary::Log, Unary::Sin, Unary::Cos, Unary::Tanh, Unary::Erf];
    let kernels: Vec<Kernel> = ops
        .iter()
        .map(|op| {
            parse(&format!(
                "kernel k(b0: f32[{N}] read, b1: f32[{N}] write) {{ vector i0 in 0..{N} {{
                    %0 = load b0[i0] %1 = {}.f32 %0 store b1[i0], %1 }} }}",
                op.name()
            ))
        })
        .collect();
    let requests: Vec<_> = kernels.iter().map(|k| (k, Entry::Range)).collect();
    let code = cpu::compile(target, &requests).unwrap_or_else(|e| panic!("{:?}", e.notes));
    // Every 1009th number of all, and in the range where the functions live every 61st.
    let all = (0..u32::MAX / 1009).map(|i| f32::from_bits(i * 1009));
    let near = (0..(120f32.to_bits() - 0.01f32.to_bits()) / 61).map(|i| f32::from_bits(0.01f32.to_bits() + i * 61));
    let numbers: Vec<f32> = all.chain(near.flat_map(|x| [x, -x])).collect();
    let mut worst = [(0.0, 0.0f32); 6];
    for chunk in numbers.chunks(N) {
        let mut x = chunk.to_vec();
        x.resize(N, 1.0);
        for (k, op) in ops.iter().enumerate() {
            let mut buffers = vec![BufferData::from_f32(&x), BufferData::zeros(DType::F32, N)];
            run_parts(&code, k, &kernels[k], N, &mut buffers);
            for (at, &x) in x.iter().enumerate() {
                let v = x as f64;
                let exact = match op {
                    Unary::Exp => v.exp(),
                    Unary::Log => v.ln(),
                    Unary::Sin => v.sin(),
                    Unary::Cos => v.cos(),
                    Unary::Tanh => v.tanh(),
                    _ => libm::erf(v),
                };
                let far = ulps(buffers[1].get(at).float(), exact as f32 as f64, DType::F32);
                if far > worst[k].0 {
                    worst[k] = (far, x);
                }
            }
        }
    }
    for (op, (far, x)) in ops.iter().zip(worst) {
        println!("{} {far} {x:e}", op.name());
        assert!(far <= 2.0, "{} is {far} units off at {x:e}", op.name());
    }
}

#[test]
fn vector_loops_of_all_lengths_and_offsets() {
    let mut kernels = Vec::new();
    let mut random = Random(1);
    for n in 0..41usize {
        for offset in [0, 1, 3] {
            let len = n + offset + 1;
            let source = format!(
                "kernel k(b0: f32[{len}] read, b1: f32[{len}] read, b2: f32[{len}] readwrite, b3: u8[{len}] read, b4: bool[{len}] readwrite) {{
                  serial i0 in 0..2 {{
                    vector i1 in 0..{n} {{
                      %0 = load b0[i1 + {offset}] %1 = load b1[i1] %2 = load b3[i1 + {offset}] %3 = cast.f32 %2
                      %4 = mul.f32 %0, %1 %5 = add.f32 %4, %3 %6 = load b2[i1 + {offset}] %7 = sub.f32 %5, %6
                      store b2[i1 + {offset}], %7
                      %8 = lt.f32 %0, %1 store b4[i1 + {offset}], %8
                    }} }} }}"
            );
            let kernel = parse(&source);
            let buffers = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
            kernels.push((kernel, buffers, 0.0));
            let source = format!(
                "kernel k(b0: f32[{len}] read, b1: f32[{}] readwrite) {{ vector i0 in 0..{n} {{
                    %0 = load b0[i0 + {offset}] add b1[2*i0 + {offset}], %0 add b1[-i0 + {}], %0 }} }}",
                2 * len,
                2 * len - 1
            );
            if n < 2 {
                continue;
            }
            let kernel = parse(&source);
            // Not the same place twice at once.
            let buffers = vec![random.data(DType::F32, len), random.data(DType::F32, 2 * len)];
            if 2 * n + offset < len {
                kernels.push((kernel, buffers, 0.0));
            }
        }
    }
    check_all(kernels);
}

#[test]
fn folds_have_a_fixed_order() {
    let mut kernels = Vec::new();
    let mut random = Random(2);
    for dtype in DTYPES {
        for op in Reduce::ALL {
            for n in [0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 35, 64, 79, 80, 100] {
                for vector in ["", " vector"] {
                    for long in [false, true] {
                        if dtype == DType::Bool && matches!(op, Reduce::Sum | Reduce::Prod) {
                            continue;
                        }
                        // A long body takes another way through the code.
                        let more = if long {
                            "%2 = max.D %1, %1 %3 = min.D %2, %2 %4 = max.D %3, %3 %5 = max.D %4, %4
                            %6 = max.D %5, %5 %7 = max.D %6, %6 %8 = max.D %7, %7 %9 = max.D %8, %8 yield %9"
                        } else {
                            "yield %1"
                        };
                        let source = format!(
                            "kernel k(b0: D[{}] read, b1: D[3] write) {{ parallel i0 in 0..3 {{
                              %0 = fold {}{vector} i1 in 0..{n} {{ %1 = load b0[ROWi1 + 1] {more} }} store b1[i0], %0 }} }}",
                            3 * n + 1, op.name()
                        );
                        let row = if n == 0 { String::new() } else { format!("{n}*i0 + ") };
                        let source = source.replace("ROW", &row).replace('D', dtype.name());
                        let kernel = text::parse(&source).unwrap_or_else(|e| panic!("{e}\n{source}"));
                        if loops::verify(&kernel).is_err() {
                            continue;
                        }
                        let data = random.data(dtype, 3 * n + 1);
                        kernels.push((kernel, vec![data, BufferData::zeros(dtype, 3)], 0.0));
                    }
                }
            }
        }
    }
    assert!(kernels.len() > 900, "{}", kernels.len());
    check_all(kernels);
}

#[test]
fn columns_are_folded_by_lanes() {
    let mut kernels = Vec::new();
    let mut random = Random(3);
    for dtype in [DType::F32, DType::I32, DType::U8, DType::F64] {
        for op in ["sum", "max", "argmax", "argmin"] {
            for columns in [1, 4, 7, 18] {
                let result = if op.starts_with("arg") { DType::I32 } else { dtype };
                let source = format!(
                    "kernel k(b0: {dtype}[{}] read, b1: {result}[{columns}] write) {{ vector i0 in 0..{columns} {{
                       %0 = fold {op} i1 in 0..9 {{ %1 = load b0[i0 + {columns}*i1] yield %1 }} store b1[i0], %0 }} }}",
                    9 * columns
                );
                let kernel = parse(&source.replace("1*i1", "i1"));
                let mut data = random.data(dtype, 9 * columns);
                if dtype == DType::F32 {
                    data.set(2 * columns, Scalar::Float(f64::NAN));
                    data.set(4 * columns, Scalar::Float(f64::NAN));
                }
                kernels.push((kernel, vec![data, BufferData::zeros(result, columns)], 0.0));
            }
        }
    }
    check_all(kernels);
}

#[test]
fn guards_and_gathers() {
    let mut kernels = Vec::new();
    let mut random = Random(4);
    for n in [1usize, 3, 4, 6, 8, 13, 32] {
        for pad in [0usize, 1, 2, 5] {
            let (out, stride) = (n + 2 * pad, n + 3);
            // A padded copy: guards that differ between lanes, of rows and of columns.
            let source = format!(
                "kernel k(b0: f32[{}] read, b1: f32[{}] write, b2: f32[{}] readwrite) {{
                   parallel i0 in 0..5 {{ vector i1 in 0..{out} {{
                     %0 = load b0[{stride}*i0 + i1 - {}] if i0 - 1 in 0..3, i1 - {pad} in 0..{n} else -1.5
                     store b1[{out}*i0 + i1], %0
                     add b2[{out}*i0 + i1], %0 if i1 - {pad} in 0..{n}, i0 in 0..4
                   }} }} }}",
                3 * stride,
                5 * out,
                5 * out,
                stride + pad
            );
            let kernel = parse(&source);
            let buffers = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
            kernels.push((kernel, buffers, 0.0));
        }
        // A gather, a scatter of distinct places, guards on run-time values, counters with run-time values.
        let source = format!(
            "kernel k(b0: f32[60] read, b1: i32[{n}] read, b2: f32[{n}] write, b3: f32[64] readwrite, b4: i32[{n}] write, b5: u8[60] read) {{
               vector i0 in 0..{n} {{
                 %0 = load b1[i0]
                 %1 = load b0[%0 + i0] if %0 + i0 in 0..60 else NaN
                 %2 = load b5[2*i0 + 3] if %0 - 9 in 0..40 else 7
                 %3 = cast.f32 %2 %4 = add.f32 %1, %3
                 store b2[i0], %4 if %0 in 0..20
                 add b3[2*i0], %1 if 3*%0 - i0 in 0..50
                 %5 = counter 3*i0 - 2*%0 + 5
                 store b4[i0], %5
               }} }}"
        );
        let kernel = parse(&source);
        let mut buffers: Vec<BufferData> = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
        for at in 0..n {
            let v = random.below(70) as i64 - 20;
            buffers[1].set(at, Scalar::Int(v));
        }
        if 2 * n + 2 < 60 {
            kernels.push((kernel, buffers, 0.0));
        }
    }
    check_all(kernels);
}

#[test]
fn indices_from_data_stay_in_their_buffer() {
    let kernel = parse(
        "kernel k(b0: f32[5] read, b1: i32[7] read, b2: f32[7] write, b3: f32[5] readwrite) { vector i0 in 0..7 {
           %0 = load b1[i0] %1 = load b0[%0 + 1] %2 = load b0[2*%0] if %0 in 0..100 else 9
           %3 = add.f32 %1, %2 store b2[i0], %3 store b3[%0], %1 } }",
    );
    let code = compile(std::slice::from_ref(&kernel));
    let mut buffers = vec![
        BufferData::from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0]),
        BufferData::from_i32(&[0, 1, 1 << 30, -1, -7, i32::MIN, 2]),
        BufferData::zeros(DType::F32, 7),
        BufferData::from_f32(&[-1.0; 5]),
    ];
    run_parts(&code, 0, &kernel, 7, &mut buffers);
    // Nothing is read outside; a load with a guard has its own number for that.
    assert_eq!(buffers[2].to_f32(), [3.0, 6.0, 9.0, 10.0, 9.0, 9.0, 9.0]);
    assert_eq!(buffers[3].to_f32(), [2.0, 3.0, 4.0, -1.0, -1.0]);
}

#[test]
fn tiles_of_an_epilogue_cover_it() {
    let (batch, rows, columns) = (2, 7, 22);
    let n = batch * rows * columns;
    let kernel = parse(&format!(
        "kernel k(b0: f32[{n}] readwrite, b1: f32[{columns}] read, b2: f32[{rows}] read) {{
           serial i0 in 0..{batch} {{ serial i1 in 0..{rows} {{ %0 = load b2[i1] vector i2 in 0..{columns} {{
             %1 = load b0[{}*i0 + {columns}*i1 + i2] %2 = load b1[i2] %3 = add.f32 %1, %2 %4 = mul.f32 %3, %0
             store b0[{}*i0 + {columns}*i1 + i2], %4 }} }} }} }}",
        rows * columns,
        rows * columns
    ));
    let code = cpu::compile(&target(), &[(&kernel, Entry::Tile)]).unwrap();
    let tile = code.tile(0).unwrap();
    assert!(code.range(0).is_none());
    let mut random = Random(5);
    let buffers: Vec<BufferData> = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
    let mut want = buffers.clone();
    loops::run(&kernel, &mut want).unwrap();
    let mut got = buffers;
    with_pointers(&mut got, |args| {
        for b in 0..batch {
            for row in (0..rows).step_by(3) {
                for column in (0..columns).step_by(8) {
                    let ends = ((row + 3).min(rows), (column + 8).min(columns));
                    // SAFETY: the tile is inside the loops, the pointers are to buffers of the declared lengths.
                    unsafe { tile(args, b, row, ends.0, column, ends.1) };
                }
            }
        }
    });
    assert_same("tiles", &got, &want, 0.0);
}

#[test]
fn text_of_a_kernel() {
    let kernel = parse(
        "kernel relu(b0: f32[64] read, b1: f32[64] write) { vector i0 in 0..64 {
            %0 = load b0[i0] %1 = const.f32 0 %2 = max.f32 %0, %1 store b1[i0], %2 } }",
    );
    let clif = cpu::clif(&target(), &kernel, Entry::Range).unwrap();
    assert!(clif.contains("f32x4") && clif.contains("; relu"), "{clif}");
    let assembly = cpu::assembly(&target(), &kernel, Entry::Range).unwrap();
    assert!(assembly.contains("ret"), "{assembly}");
}

#[test]
fn half_precision_is_refused() {
    let kernel = parse("kernel h(b0: f16[4] readwrite) { serial i0 in 0..4 { %0 = load b0[i0] store b0[i0], %0 } }");
    let error = cpu::compile(&target(), &[(&kernel, Entry::Range)]).err().unwrap();
    assert!(error.notes[0].contains("f16"), "{:?}", error.notes);
}

/// Writes random kernels: nested loops, straight-line bodies of all operations that are exact, folds, guards.
struct Writer {
    random: Random,
    text: String,
    values: Vec<(u32, DType)>,
    next: u32,
    counters: Vec<(u32, usize)>,
    counters_used: u32,
    stored: [bool; 9],
}

impl Writer {
    const SIZE: usize = 5000;

    fn value(&mut self, dtype: DType) -> Option<u32> {
        let fitting: Vec<u32> = self.values.iter().filter(|v| v.1 == dtype).map(|v| v.0).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())])
    }

    /// An index inside a buffer of [`Writer::SIZE`] elements, and its terms.
    fn index(&mut self) -> String {
        let mut index = String::new();
        let mut low = 0i64;
        for (i, extent) in self.counters.clone() {
            let stride = [0, 1, 1, 1, 2, 7, -1, -3][self.random.below(8)];
            if stride != 0 {
                low += (stride * (extent as i64 - 1)).min(0);
                index += &match (index.is_empty(), stride < 0) {
                    (true, _) => format!("{stride}*i{i}"),
                    (_, true) => format!(" - {}*i{i}", -stride),
                    _ => format!(" + {stride}*i{i}"),
                };
            }
        }
        let offset = self.random.below(9) as i64 - low;
        if index.is_empty() { format!("{offset}") } else { format!("{index} + {offset}") }
    }

    fn guard(&mut self) -> Option<String> {
        if self.random.below(3) > 0 || self.counters.is_empty() {
            return None;
        }
        let (i, extent) = self.counters[self.random.below(self.counters.len())];
        let shift = self.random.below(4);
        let mut guard = format!("i{i} - {shift} in 0..{}", self.random.below(extent + 2));
        if self.random.below(2) == 0 {
            let (j, other) = self.counters[self.random.below(self.counters.len())];
            guard += &format!(", 2*i{j} in 0..{}", self.random.below(2 * other + 1));
        }
        Some(guard)
    }

    fn assign(&mut self, dtype: DType, expr: String) -> u32 {
        let n = self.next;
        self.next += 1;
        self.text += &format!("%{n} = {expr}\n");
        self.values.push((n, dtype));
        n
    }

    fn load(&mut self, dtype: DType) -> u32 {
        let buffer = [DType::F32, DType::I32, DType::U8, DType::Bool].iter().position(|d| *d == dtype).unwrap();
        let index = self.index();
        let mut expr = format!("load b{buffer}[{index}]");
        if let Some(guard) = self.guard() {
            expr += &format!(" if {guard} else {}", self.random.below(2));
        }
        self.assign(dtype, expr)
    }

    fn dtype(&mut self) -> DType {
        [DType::F32, DType::F32, DType::I32, DType::U8, DType::Bool][self.random.below(5)]
    }

    fn operand(&mut self, dtype: DType) -> u32 {
        match self.value(dtype) {
            Some(v) if self.random.below(5) > 0 => v,
            _ if self.random.below(4) == 0 => {
                let number = self.random.below(4);
                self.assign(dtype, format!("const.{dtype} {number}"))
            }
            _ => self.load(dtype),
        }
    }

    fn statement(&mut self) {
        let dtype = self.dtype();
        match self.random.below(10) {
            0 | 1 => {
                self.load(dtype);
            }
            2 => {
                let from = self.dtype();
                let a = self.operand(from);
                self.assign(dtype, format!("cast.{dtype} %{a}"));
            }
            3 => {
                let (c, a, b) = (self.operand(DType::Bool), self.operand(dtype), self.operand(dtype));
                self.assign(dtype, format!("select.{dtype} %{c}, %{a}, %{b}"));
            }
            4 => {
                let (a, b) = (self.operand(dtype), self.operand(dtype));
                let op = Compare::ALL[self.random.below(6)].name();
                self.assign(DType::Bool, format!("{op}.{dtype} %{a}, %{b}"));
            }
            5 if !self.counters.is_empty() => {
                let index = self.index();
                self.assign(DType::I32, format!("counter {index}"));
            }
            6 => {
                let a = self.operand(dtype);
                let op = match dtype {
                    DType::F32 => ["neg", "abs", "floor", "ceil", "round", "sqrt"][self.random.below(6)],
                    DType::Bool => "not",
                    _ => ["neg", "abs", "not"][self.random.below(3)],
                };
                self.assign(dtype, format!("{op}.{dtype} %{a}"));
            }
            _ => {
                let (a, b) = (self.operand(dtype), self.operand(dtype));
                let op = match dtype {
                    DType::F32 => ["add", "sub", "mul", "div", "max", "min"][self.random.below(6)],
                    DType::Bool => ["and", "or", "xor", "max", "min"][self.random.below(5)],
                    _ => ["add", "sub", "mul", "div", "rem", "max", "min", "and", "or", "xor", "shl", "shr"]
                        [self.random.below(12)],
                };
                self.assign(dtype, format!("{op}.{dtype} %{a}, %{b}"));
            }
        }
    }

    fn fold(&mut self, vector: bool, depth: usize) {
        let (counter, extent) = (self.next_counter(), [1, 3, 4, 9, 16, 21, 70][self.random.below(7)]);
        let extent = if depth > 0 { extent.min(4) } else { extent };
        let n = self.next;
        self.next += 1;
        let known = self.values.len();
        let outer = std::mem::take(&mut self.text);
        self.counters.push((counter, extent));
        for _ in 0..1 + self.random.below(6) {
            self.statement();
        }
        if !vector && depth == 0 && self.random.below(2) == 0 {
            self.fold(false, 1);
        }
        let dtype = [DType::F32, DType::I32, DType::U8][self.random.below(3)];
        let yields = self.operand(dtype);
        self.counters.pop();
        let body = std::mem::replace(&mut self.text, outer);
        let op = match self.random.below(6) {
            4 if !vector => "argmax",
            5 if !vector => "argmin",
            i => ["sum", "max", "min", "prod"][i % 4],
        };
        let kind = if vector { " vector" } else { "" };
        self.text += &format!("%{n} = fold {op}{kind} i{counter} in 0..{extent} {{\n{body}yield %{yields}\n}}\n");
        self.values.truncate(known);
        self.values.push((n, if op.starts_with("arg") { DType::I32 } else { dtype }));
    }

    fn next_counter(&mut self) -> u32 {
        self.counters_used += 1;
        self.counters_used - 1
    }

    /// The result goes to distinct places: an index of all counters, in row-major order.
    fn store(&mut self) {
        let dtype = self.dtype();
        // Iterations stay independent: one store a buffer.
        if std::mem::replace(&mut self.stored[dtype as usize], true) {
            return;
        }
        let value = self.operand(dtype);
        let buffer = 4 + [DType::F32, DType::I32, DType::U8, DType::Bool].iter().position(|d| *d == dtype).unwrap();
        let mut stride = 1;
        let mut terms = Vec::new();
        for (i, extent) in self.counters.iter().rev() {
            terms.push(format!("{stride}*i{i}"));
            stride *= extent;
        }
        terms.reverse();
        let verb = if dtype != DType::Bool && self.random.below(3) == 0 { "add" } else { "store" };
        let guard = self.guard().map_or(String::new(), |g| format!(" if {g}"));
        self.text += &format!("{verb} b{buffer}[{} + {}], %{value}{guard}\n", terms.join(" + "), self.random.below(5));
    }

    fn kernel(seed: u64) -> Kernel {
        let mut w = Writer {
            random: Random(seed),
            text: String::new(),
            values: Vec::new(),
            next: 0,
            counters: Vec::new(),
            counters_used: 0,
            stored: [false; 9],
        };
        let size = Self::SIZE;
        let mut header = String::new();
        for (i, d) in ["f32", "i32", "u8", "bool", "f32", "i32", "u8", "bool"].iter().enumerate() {
            let access = if i < 4 { "read" } else { "readwrite" };
            header += &format!("b{i}: {d}[{size}] {access}, ");
        }
        let mut ends = 0;
        if w.random.below(3) > 0 {
            let extent = 1 + w.random.below(6);
            let counter = w.next_counter();
            w.counters.push((counter, extent));
            w.text += &format!("{} i{counter} in 0..{extent} {{\n", ["parallel", "serial"][w.random.below(2)]);
            ends += 1;
            for _ in 0..w.random.below(4) {
                w.statement();
            }
            if w.random.below(2) == 0 {
                w.fold(true, 0);
            }
        }
        let extent = [1, 2, 3, 4, 5, 8, 13, 16, 30][w.random.below(9)];
        let counter = w.next_counter();
        w.counters.push((counter, extent));
        let kind = ["vector", "vector", "vector", "serial"][w.random.below(4)];
        w.text += &format!("{kind} i{counter} in 0..{extent} {{\n");
        ends += 1;
        for _ in 0..2 + w.random.below(12) {
            w.statement();
        }
        if w.random.below(3) == 0 {
            let vector = kind == "serial" && w.random.below(2) == 0;
            w.fold(vector, 0);
            w.statement();
        }
        for _ in 0..1 + w.random.below(2) {
            w.store();
        }
        let text = format!("kernel random({}) {{\n{}{}}}\n", header.trim_end_matches(", "), w.text, "}\n".repeat(ends));
        parse(&text)
    }
}

#[test]
fn random_kernels() {
    let mut kernels = Vec::new();
    for seed in 0..400 {
        let kernel = Writer::kernel(seed * 1000);
        let mut random = Random(seed);
        let buffers = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
        kernels.push((kernel, buffers, 0.0));
    }
    check_all(kernels);
}
