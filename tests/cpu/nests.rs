//! Loops: lengths and offsets, folds, guards, gathers, tiles.

use super::support::*;
use nnc::codegen::cpu::{self, Entry, Target};
use nnc::codegen::loops::scalar::Scalar;
use nnc::codegen::loops::{self, BufferData, Kernel, text};
use nnc::ops::{DType, Reduce};

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
fn long_bodies_of_all_lengths() {
    let mut kernels = Vec::new();
    let mut random = Random(7);
    for n in (1..70).chain([95, 96, 127, 128, 129, 160, 255, 256]) {
        let body = "%0 = load b0[i1 + 1] %1 = load b1[i1] %2 = mul.f32 %0, %1 %3 = add.f32 %2, %0 %4 = abs.f32 %3
            %5 = sub.f32 %4, %1 %6 = lt.f32 %5, %0 %7 = select.f32 %6, %5, %1 %8 = max.f32 %7, %0 %9 = const.f32 0.5
            %10 = mul.f32 %8, %9 %11 = counter 3*i0 + 2*i1 - 5 %12 = cast.f32 %11 %13 = add.f32 %10, %12
            %14 = floor.f32 %13 %15 = neg.f32 %14 %16 = min.f32 %15, %13";
        let len = n + 1;
        let head = format!("kernel k(b0: f32[{len}] read, b1: f32[{len}] readwrite)");
        for source in [
            format!("{head} {{ serial i0 in 0..2 {{ vector i1 in 0..{n} {{ {body} store b1[i1], %16 }} }} }}"),
            format!(
                "{head} {{ serial i0 in 0..2 {{ %17 = fold sum vector i1 in 0..{n} {{ {body} yield %16 }} store b1[i0], %17 }} }}"
            ),
        ] {
            let kernel = parse(&source);
            let buffers = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
            kernels.push((kernel, buffers, 0.0));
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
    for dtype in [DType::F32, DType::I32, DType::U8, DType::F64, DType::F16, DType::BF16] {
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
    for target in targets() {
        let code = compile(&target, std::slice::from_ref(&kernel));
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
}

#[test]
fn lanes_two_elements_apart_of_all_lengths() {
    let mut kernels = Vec::new();
    let mut random = Random(7);
    for n in 0..50usize {
        let len = 2 * n + 3;
        let source = format!(
            "kernel k(b0: f32[{len}] read, b1: f32[{len}] readwrite) {{ vector i0 in 0..{n} {{
               %0 = load b0[2*i0] %1 = load b0[2*i0 + 1] %2 = sub.f32 %0, %1 %3 = add.f32 %0, %1
               store b1[2*i0 + 2], %3 store b1[2*i0 + 1], %2 }} }}"
        );
        let kernel = parse(&source);
        let buffers = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
        kernels.push((kernel, buffers, 0.0));
    }
    check_all(kernels);
}

#[test]
fn multiples_of_numbers_from_data_do_not_wrap_around() {
    let kernel = parse(
        "kernel k(b0: f32[8] read, b1: i32[17] read, b2: f32[17] write) { vector i0 in 0..17 {
           %0 = load b1[i0] %1 = load b0[8*%0 + 1] if 8*%0 + 1 in 0..8 else 9 store b2[i0], %1 } }",
    );
    let mut buffers = vec![
        BufferData::from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        BufferData::from_i32(&[
            0,
            1 << 29,
            1 << 30,
            i32::MIN,
            -(1 << 29),
            1,
            0,
            3 << 29,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            1 << 29,
        ]),
        BufferData::zeros(DType::F32, 17),
    ];
    let mut want = vec![2.0; 17];
    for outside in [1, 2, 3, 4, 5, 7, 16] {
        want[outside] = 9.0;
    }
    for target in targets() {
        let code = compile(&target, std::slice::from_ref(&kernel));
        run_parts(&code, 0, &kernel, 17, &mut buffers);
        assert_eq!(buffers[2].to_f32(), want);
    }
}

#[test]
fn tiles_of_an_epilogue_cover_it() {
    let (batch, rows, columns) = (2, 7, 22);
    let n = batch * rows * columns;
    let kernel = parse(&format!(
        "kernel k(b0: f32[{n}] readwrite, b1: f32[{columns}] read, b2: f32[{rows}] read) {{
           serial i0 in 0..{batch} {{ serial i1 in 0..{rows} {{ %0 = load b2[i1] vector i2 in 0..{columns} {{
             %1 = load b0[{}*i0 + {columns}*i1 + i2] %2 = load b1[i2] %3 = add.f32 %1, %2 %5 = tanh.f32 %3 %4 = mul.f32 %5, %0
             store b0[{}*i0 + {columns}*i1 + i2], %4 }} }} }} }}",
        rows * columns,
        rows * columns
    ));
    for target in targets() {
        tiles_cover(&kernel, &target, [batch, rows, columns]);
    }
}

fn tiles_cover(kernel: &Kernel, target: &Target, [batch, rows, columns]: [usize; 3]) {
    let code = cpu::compile(target, &[(kernel, Entry::Tile)]).unwrap();
    let tile = code.tile(0).unwrap();
    assert!(code.range(0).is_none());
    let mut random = Random(5);
    let buffers: Vec<BufferData> = kernel.buffers.iter().map(|b| random.data(b.dtype, b.len)).collect();
    let mut want = buffers.clone();
    loops::run(kernel, &mut want).unwrap();
    let mut first: Option<Vec<BufferData>> = None;
    for (height, width) in [(3, 8), (7, 22), (2, 5), (1, 3), (4, 1)] {
        let mut got = buffers.clone();
        with_pointers(&mut got, |args| {
            for b in 0..batch {
                for row in (0..rows).step_by(height) {
                    for column in (0..columns).step_by(width) {
                        let ends = ((row + height).min(rows), (column + width).min(columns));
                        // SAFETY: the tile is inside the loops, the pointers are to buffers of the declared lengths.
                        unsafe { tile(args, b, row, ends.0, column, ends.1) };
                    }
                }
            }
        });
        assert_same("tiles", &got, &want, 4.0);
        // Whether by lanes or one by one, the bits are the same.
        let first = first.get_or_insert(got.clone());
        assert!(got == *first, "tiles of {height} by {width}");
    }
}

#[test]
fn text_of_a_kernel() {
    let kernel = parse(
        "kernel relu(b0: f32[64] read, b1: f32[64] write) { vector i0 in 0..64 {
            %0 = load b0[i0] %1 = const.f32 0 %2 = max.f32 %0, %1 store b1[i0], %2 } }",
    );
    let clif = cpu::clif(&targets()[0], &kernel, Entry::Range).unwrap();
    assert!(clif.contains("f32x4") && clif.contains("; relu"), "{clif}");
    let assembly = targets().map(|target| cpu::assembly(&target, &kernel, Entry::Range).unwrap());
    assert!(assembly[0].contains("ret") || assembly[0].contains("op: Larger"), "{}", assembly[0]);
    assert!(assembly[1].contains("ret"), "{}", assembly[1]);
}

#[test]
fn halves_that_are_added_up_in_place_are_rounded_each_time() {
    let mut kernels = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        for kind in ["serial", "vector"] {
            let kernel = parse(&format!(
                "kernel h(b0: {dtype}[21] readwrite, b1: f32[21] read) {{ {kind} i0 in 0..21 {{
                    %0 = load b1[i0] %1 = cast.{dtype} %0 add b0[i0], %1 }} }}"
            ));
            let mut random = Random(9);
            kernels.push((kernel, vec![random.data(dtype, 21), random.data(DType::F32, 21)], 0.0));
        }
    }
    check_all(kernels);
}
