//! Each scalar operation over all dtypes and special values; elementary functions over dense sweeps.

use super::support::*;
use nnc::codegen::cpu::{self, Entry, Optimize, Target};
use nnc::codegen::loops::{self, BufferData, Kernel, text};
use nnc::ops::{Binary, Compare, DType, Unary};

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
            if dtype.is_half() {
                // Around the ends of the normal range, of both.
                list.extend([6.1e-5, 6.09e-5, 5.97e-8, 2.9e-8, 65504.0, 65519.0, 65520.0, 3.39e38, 9.3e-41, 2049.0]);
            } else if dtype == DType::F32 {
                list.extend([65519.0, 65520.0, 2049.0, 1.00390625, 3.396e38, 6.1e-5, 3e-8]);
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
                // Two values on either side of a middle.
                (Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf, d) if d.is_half() => 1.0,
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
    for target in targets() {
        sweep(&target);
    }
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
