//! The CPU kernels against plain loops in double precision: many shapes, every instruction set of this processor, one to
//! three threads with equal bits, guarded scratch, and epilogues that see each element once.

use nnc::runtime::kernels::Isa;
use nnc::runtime::kernels::conv::Conv2d;
use nnc::runtime::kernels::gemm::{Epilogue, Matmul, READS, View, matmul_f64};
use nnc::runtime::threads::Pool;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Debug;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Asserts that `f` allocates nothing on this thread.
fn without_allocation(f: impl FnOnce()) {
    let before = ALLOCATIONS.with(Cell::get);
    f();
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "allocations in a kernel");
}

/// A small generator (xorshift), so that every run tests the same shapes.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect()
    }
}

const GUARD: u8 = 0xa5;

/// Scratch of exactly the bytes that were asked for, full of NaN, with guard bytes around.
struct Scratch {
    memory: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl Scratch {
    fn new(bytes: usize) -> Scratch {
        let mut memory = vec![GUARD; bytes + 256];
        let start = memory.as_ptr().wrapping_add(64).align_offset(64) + 64;
        memory[start..start + bytes].fill(0xff);
        Scratch { memory, start, bytes }
    }

    fn at(&mut self) -> *mut u8 {
        self.memory[self.start..].as_mut_ptr()
    }

    fn check(&self, what: &dyn Debug) {
        let around = self.memory[..self.start].iter().chain(&self.memory[self.start + self.bytes..]);
        assert!(around.copied().all(|byte| byte == GUARD), "scratch overrun by {what:?}");
    }
}

/// What the epilogue of these tests works on: the result, how often each element was seen, and the strides of both.
#[repr(C)]
struct Seen {
    c: *mut f32,
    counts: *mut u8,
    batch_stride: usize,
    row_stride: usize,
}

/// Doubles each element and adds one; counts it.
unsafe extern "C" fn double_and_count(args: *const *mut u8, batch: usize, r0: usize, r1: usize, c0: usize, c1: usize) {
    // SAFETY: `args` points at a pointer to `Seen`; kernels pass tiles inside the result.
    unsafe {
        let seen = &*(*args).cast::<Seen>();
        for row in r0..r1 {
            for column in c0..c1 {
                let at = batch * seen.batch_stride + row * seen.row_stride + column;
                *seen.c.add(at) = *seen.c.add(at) * 2.0 + 1.0;
                *seen.counts.add(at) += 1;
            }
        }
    }
}

/// A kernel with its operands: pool, result, scratch, epilogue.
type Run<'a> = dyn Fn(&Pool, *mut f32, *mut u8, Option<Epilogue>) + 'a;

/// A result before a kernel runs, and what it has to be after: with and without the epilogue.
struct Expected {
    before: Vec<f32>,
    plain: Vec<f64>,
    /// Elements that belong to the result, not to gaps between its rows.
    inside: Vec<bool>,
    batch_stride: usize,
    row_stride: usize,
    /// Terms of each sum.
    terms: usize,
}

impl Expected {
    /// Runs a kernel with each pool, with the epilogue and without it, and checks everything. The bits of the result.
    fn check(
        &self,
        isa: Isa,
        pools: &[Pool],
        what: &dyn Debug,
        workspace: &dyn Fn(usize) -> usize,
        run: &Run,
        epilogues: &[bool],
    ) -> Option<Vec<u32>> {
        let mut first = None;
        for pool in pools {
            for &with_epilogue in epilogues {
                let what = (isa, pool.threads(), with_epilogue, what);
                let mut c = self.before.clone();
                let mut counts = vec![0u8; c.len()];
                let (batch_stride, row_stride) = (self.batch_stride, self.row_stride);
                let to = c.as_mut_ptr();
                let mut seen = Seen { c: to, counts: counts.as_mut_ptr(), batch_stride, row_stride };
                let args = [(&raw mut seen).cast::<u8>()];
                let epilogue =
                    Epilogue { function: double_and_count, args: args.as_ptr(), reads: [None; READS], first_row: 0 };
                let mut scratch = Scratch::new(workspace(pool.threads()));
                let at = scratch.at();
                without_allocation(|| run(pool, to, at, with_epilogue.then_some(epilogue)));
                scratch.check(&what);
                for i in 0..c.len() {
                    let (mut want, mut seen) = (self.plain[i], 0);
                    if with_epilogue && self.inside[i] {
                        (want, seen) = (want * 2.0 + 1.0, 1);
                    }
                    let error = (f64::from(c[i]) - want).abs();
                    assert!(error <= 2e-6 * (self.terms as f64 + 2.0), "element {i}: {} for {want}, {what:?}", c[i]);
                    assert_eq!(counts[i], seen, "element {i} seen by the epilogue, {what:?}");
                }
                if !with_epilogue {
                    let bits: Vec<u32> = c.iter().map(|value| value.to_bits()).collect();
                    assert!(bits == *first.get_or_insert(bits.clone()), "other bits, {what:?}");
                }
            }
        }
        first
    }
}

fn pools() -> [Pool; 3] {
    [Pool::new(1), Pool::new(2), Pool::new(3)]
}

/// The length of the memory that a view needs.
fn extent(batch: usize, rows: usize, cols: usize, view: View) -> usize {
    if batch * rows * cols == 0 {
        return 0;
    }
    (batch - 1) * view.batch_stride + (rows - 1) * view.row_stride + (cols - 1) * view.col_stride + 1
}

fn random_view(random: &mut Random, rows: usize, cols: usize) -> View {
    let gap = random.pick(&[0, 0, 1, 7]);
    match random.below(4) {
        0 => View { row_stride: 1, col_stride: rows + gap, batch_stride: (rows + gap) * cols + gap },
        1 => View { row_stride: 2 * cols + gap, col_stride: 2, batch_stride: (2 * cols + gap) * rows },
        2 => View { row_stride: cols + gap, col_stride: 1, batch_stride: 0 },
        _ => View { row_stride: cols + gap, col_stride: 1, batch_stride: (cols + gap) * rows + gap },
    }
}

fn check_matmul(random: &mut Random, pools: &[Pool], shape: Matmul) {
    let Matmul { batch, m, n, k, .. } = shape;
    let a = random.floats(extent(batch, m, k, shape.a));
    let b = random.floats(extent(batch, k, n, shape.b));
    let (row_stride, batch_stride) = (shape.c_row_stride, shape.c_batch_stride);
    let before = random.floats(extent(batch, m, n, View { row_stride, col_stride: 1, batch_stride }));
    let mut plain: Vec<f64> = before.iter().copied().map(f64::from).collect();
    let mut inside = vec![false; plain.len()];
    for (p, i, j) in (0..batch).flat_map(|p| (0..m).flat_map(move |i| (0..n).map(move |j| (p, i, j)))) {
        let at = p * batch_stride + i * row_stride + j;
        let mut sum = if shape.accumulate { plain[at] } else { 0.0 };
        for l in 0..k {
            let x = a[p * shape.a.batch_stride + i * shape.a.row_stride + l * shape.a.col_stride];
            let y = b[p * shape.b.batch_stride + l * shape.b.row_stride + j * shape.b.col_stride];
            sum += f64::from(x) * f64::from(y);
        }
        (plain[at], inside[at]) = (sum, true);
    }
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<f64>>();
    let mut double = wide(&before);
    // SAFETY: the vectors have the lengths of their views.
    unsafe { matmul_f64(&shape, &pools[1], wide(&a).as_ptr(), wide(&b).as_ptr(), double.as_mut_ptr()) };
    assert!(double.iter().zip(&plain).all(|(got, want)| (got - want).abs() < 1e-9), "double precision, {shape:?}");
    let expected = Expected { before, plain, inside, batch_stride, row_stride, terms: k };
    for isa in Isa::available() {
        let workspace = |threads| shape.workspace_with(isa, threads);
        let run = |pool: &Pool, c, scratch, epilogue| {
            // SAFETY: the vectors have the lengths of their views.
            unsafe { shape.run_with(isa, pool, a.as_ptr(), b.as_ptr(), c, scratch, epilogue) }
        };
        let bits = expected.check(isa, pools, &shape, &workspace, &run, &[false, true]);
        let bytes = shape.packed_bytes_with(isa);
        if bytes == 0 {
            continue;
        }
        let mut packed = Scratch::new(bytes);
        let at = packed.at();
        // SAFETY: as above, and there are as many bytes as it asks for.
        without_allocation(|| unsafe { shape.pack_with(isa, &pools[2], b.as_ptr(), at) });
        packed.check(&shape);
        let workspace = |threads| shape.workspace_packed_with(isa, threads);
        let run = |pool: &Pool, c, scratch, epilogue| {
            // SAFETY: as above.
            unsafe { shape.run_packed_with(isa, pool, a.as_ptr(), at, c, scratch, epilogue) }
        };
        let same = expected.check(isa, pools, &("packed", shape), &workspace, &run, &[false, true]);
        assert!(bits == same, "packing ahead gives other bits, {shape:?}");
    }
}

#[test]
fn matmul_agrees_with_plain_loops() {
    let (pools, mut random) = (pools(), Random(7));
    let sizes = [1, 2, 3, 5, 8, 13, 14, 15, 16, 17, 29, 31, 32, 33, 47, 64, 65, 100];
    for round in 0..250 {
        let (m, n) = (random.pick(&sizes), random.pick(&sizes));
        let k = if round % 20 == 0 { 0 } else { random.pick(&sizes) + random.pick(&[0, 0, 1, 300]) };
        let batch = random.pick(&[1, 1, 1, 2, 5]);
        let (a, b) = (random_view(&mut random, m, k), random_view(&mut random, k, n));
        let c_row_stride = n + random.pick(&[0, 0, 3]);
        let c_batch_stride = m * c_row_stride + random.pick(&[0, 5]);
        let accumulate = random.below(2) == 0;
        check_matmul(&mut random, &pools, Matmul { batch, m, n, k, a, b, c_row_stride, c_batch_stride, accumulate });
    }
}

#[test]
fn matmul_of_large_and_deep_shapes() {
    let (pools, mut random) = (pools(), Random(11));
    let shapes = [
        [200, 300, 400],
        [5, 700, 900],
        [500, 9, 300],
        [33, 20, 9001],
        [70, 1000, 3],
        [1, 700, 900],
        [700, 1, 900],
        // Many rows and few columns: cut by rows.
        [8200, 130, 9],
        // The depth in even and in uneven parts, with few rows and with many.
        [10, 64, 1536],
        [10, 70, 1541],
        [128, 70, 768],
        [65, 128, 1001],
    ];
    for [m, n, k] in shapes {
        let (a, b) = (random_view(&mut random, m, k), random_view(&mut random, k, n));
        let accumulate = random.below(2) == 0;
        let shape = Matmul { batch: 1, m, n, k, a, b, c_row_stride: n, c_batch_stride: 0, accumulate };
        check_matmul(&mut random, &pools, shape);
    }
}

/// All (weight index, input index, output index) triples of a convolution, by its definition.
fn for_each_term(conv: &Conv2d, mut f: impl FnMut(usize, usize, usize)) {
    let [p_end, q_end] = conv.out_size();
    let ([height, width], [r_end, s_end]) = (conv.in_size, conv.kernel);
    let (group_in, group_out) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    for n in 0..conv.batch {
        for co in 0..conv.out_channels {
            for (p, q) in (0..p_end).flat_map(|p| (0..q_end).map(move |q| (p, q))) {
                for ci in 0..group_in {
                    for (r, s) in (0..r_end).flat_map(|r| (0..s_end).map(move |s| (r, s))) {
                        let y = (p * conv.stride[0] + r * conv.dilation[0]).wrapping_sub(conv.pad_low[0]);
                        let x = (q * conv.stride[1] + s * conv.dilation[1]).wrapping_sub(conv.pad_low[1]);
                        if y < height && x < width {
                            let channel = co / group_out * group_in + ci;
                            let weight = ((co * group_in + ci) * r_end + r) * s_end + s;
                            let input = ((n * conv.in_channels + channel) * height + y) * width + x;
                            f(weight, input, ((n * conv.out_channels + co) * p_end + p) * q_end + q);
                        }
                    }
                }
            }
        }
    }
}

fn check_conv(random: &mut Random, pools: &[Pool], conv: Conv2d) {
    let [p, q] = conv.out_size();
    let x = random.floats(conv.batch * conv.in_channels * conv.in_size[0] * conv.in_size[1]);
    let taps = conv.kernel[0] * conv.kernel[1];
    let w = random.floats(conv.out_channels * conv.in_channels / conv.groups * taps);
    let dy = random.floats(conv.batch * conv.out_channels * p * q);
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    for_each_term(&conv, |weight, input, output| {
        y[output] += f64::from(w[weight]) * f64::from(x[input]);
        dx[input] += f64::from(w[weight]) * f64::from(dy[output]);
        dw[weight] += f64::from(x[input]) * f64::from(dy[output]);
    });
    let garbage = f32::NAN;
    let expected = |plain: Vec<f64>, rows: usize, columns: usize, terms: usize| Expected {
        before: vec![garbage; plain.len()],
        inside: vec![true; plain.len()],
        plain,
        batch_stride: rows * columns,
        row_stride: columns,
        terms,
    };
    let terms = conv.in_channels.max(conv.out_channels) / conv.groups * taps;
    let y = expected(y, conv.out_channels, p * q, terms);
    let dx = expected(dx, conv.in_channels, conv.in_size[0] * conv.in_size[1], terms);
    let dw = expected(dw, 1, w.len(), conv.batch * p * q);
    for isa in Isa::available() {
        let workspace = |threads| conv.workspace_forward_with(isa, threads);
        let run = |pool: &Pool, to, scratch, epilogue| {
            // SAFETY: the vectors have the shape's sizes.
            unsafe { conv.forward_with(isa, pool, x.as_ptr(), w.as_ptr(), to, scratch, epilogue) }
        };
        y.check(isa, pools, &("forward", conv), &workspace, &run, &[false, true]);
        let mut kept = Scratch::new(conv.kept_bytes_with(isa));
        let at = kept.at();
        // SAFETY: the weights have the shape's size.
        unsafe { conv.keep_with(isa, &pools[1], w.as_ptr(), at) };
        kept.check(&("keep", conv));
        let workspace = |threads| conv.workspace_kept_with(isa, threads);
        let run = |pool: &Pool, to, scratch, epilogue| {
            // SAFETY: the vectors have the shape's sizes, and the weights are prepared.
            unsafe { conv.forward_kept_with(isa, pool, x.as_ptr(), at, to, scratch, epilogue) }
        };
        y.check(isa, pools, &("forward_kept", conv), &workspace, &run, &[false, true]);
        let workspace = |threads| conv.workspace_input_grad_with(isa, threads);
        let run = |pool: &Pool, to, scratch, _| {
            // SAFETY: the vectors have the shape's sizes.
            unsafe { conv.input_grad_with(isa, pool, dy.as_ptr(), w.as_ptr(), to, scratch) }
        };
        dx.check(isa, pools, &("input_grad", conv), &workspace, &run, &[false]);
        let workspace = |threads| conv.workspace_weight_grad_with(isa, threads);
        let run = |pool: &Pool, to, scratch, _| {
            // SAFETY: the vectors have the shape's sizes.
            unsafe { conv.weight_grad_with(isa, pool, x.as_ptr(), dy.as_ptr(), to, scratch) }
        };
        dw.check(isa, pools, &("weight_grad", conv), &workspace, &run, &[false]);
    }
}

/// A 3 × 3 convolution with padding 1.
fn same(batch: usize, in_channels: usize, out_channels: usize, size: [usize; 2]) -> Conv2d {
    let (kernel, one) = ([3, 3], [1, 1]);
    let (stride, dilation, pad_low, pad_high) = (one, one, one, one);
    Conv2d { batch, in_channels, out_channels, groups: 1, in_size: size, kernel, stride, dilation, pad_low, pad_high }
}

#[test]
fn convolution_agrees_with_its_definition() {
    let (pools, mut random) = (pools(), Random(23));
    for _ in 0..300 {
        let groups = random.pick(&[1, 1, 1, 2, 3]);
        let mut pair = |of: &[usize]| [random.pick(of), random.pick(of)];
        let in_size = pair(&[1, 2, 3, 4, 5, 7, 8, 9, 12, 14, 17, 20]);
        let (kernel, stride, dilation) = (pair(&[1, 2, 3, 3, 5]), pair(&[1, 1, 2, 3]), pair(&[1, 1, 2]));
        let (pad_low, pad_high) = (pair(&[0, 1, 1, 2, 4]), pair(&[0, 1, 1, 2, 4]));
        let (in_channels, out_channels) =
            (groups * random.pick(&[1, 1, 2, 3, 5]), groups * random.pick(&[1, 2, 7, 17]));
        let batch = random.pick(&[1, 2, 3, 7]);
        let conv =
            Conv2d { batch, in_channels, out_channels, groups, in_size, kernel, stride, dilation, pad_low, pad_high };
        check_conv(&mut random, &pools, conv);
    }
}

#[test]
fn convolution_of_common_shapes() {
    let (pools, mut random) = (pools(), Random(29));
    let depthwise = Conv2d { groups: 24, ..same(3, 24, 24, [9, 9]) };
    let row = Conv2d { kernel: [1, 5], pad_low: [0, 2], pad_high: [0, 2], ..same(4, 6, 8, [1, 50]) };
    let point = Conv2d { kernel: [1, 1], pad_low: [0, 0], pad_high: [0, 0], ..same(5, 20, 30, [7, 7]) };
    let stem = Conv2d { kernel: [7, 7], stride: [2, 2], pad_low: [3, 3], pad_high: [3, 3], ..same(2, 3, 16, [32, 32]) };
    let none = Conv2d { pad_low: [0, 0], pad_high: [0, 0], ..same(2, 3, 4, [2, 2]) };
    let many = same(130, 1, 3, [2, 2]);
    let wide = same(2, 40, 33, [40, 40]);
    let large = Conv2d { batch: 3, ..same(3, 70, 130, [10, 10]) };
    let shapes = [same(9, 1, 32, [28, 28]), same(9, 32, 64, [14, 14]), same(9, 1, 32, [8, 8]), same(9, 32, 64, [4, 4])];
    for conv in shapes.into_iter().chain([depthwise, row, point, stem, none, many, wide, large]) {
        check_conv(&mut random, &pools, conv);
    }
}

/// Kernels of 3 × 3 with many channels, which are computed by tiles of several results.
#[test]
fn convolution_of_many_channels() {
    let (pools, mut random) = (pools(), Random(31));
    for _ in 0..24 {
        let mut pair = |of: &[usize]| [random.pick(of), random.pick(of)];
        let size = pair(&[3, 4, 5, 6, 8, 11, 14, 16, 21]);
        let (pad_low, pad_high) = (pair(&[0, 1, 1, 2, 3]), pair(&[0, 1, 1, 2, 4]));
        let (in_channels, out_channels) = (random.pick(&[16, 17, 30, 48, 64]), random.pick(&[16, 19, 32, 47, 70]));
        let batch = random.pick(&[1, 2, 3, 5, 9]);
        check_conv(&mut random, &pools, Conv2d { pad_low, pad_high, ..same(batch, in_channels, out_channels, size) });
    }
    // With a stride: gradients of the input whose taps are added one by one.
    for _ in 0..16 {
        let mut pair = |of: &[usize]| [random.pick(of), random.pick(of)];
        let (in_size, kernel) = (pair(&[1, 4, 5, 8, 11, 14, 21]), pair(&[1, 2, 3, 3, 5]));
        let (stride, dilation) = (pair(&[1, 2, 2, 3]), pair(&[1, 1, 2]));
        let (pad_low, pad_high) = (pair(&[0, 1, 1, 2, 4]), pair(&[0, 1, 1, 2]));
        let (in_channels, out_channels) = (random.pick(&[1, 13, 30]), random.pick(&[32, 33, 50]));
        let batch = random.pick(&[1, 2, 5, 19]);
        let conv =
            Conv2d { kernel, stride, dilation, pad_low, pad_high, ..same(batch, in_channels, out_channels, in_size) };
        check_conv(&mut random, &pools, conv);
    }
    let wide = same(1, 20, 24, [5, 150]);
    let tiny = same(40, 96, 64, [4, 4]);
    for conv in [wide, tiny] {
        check_conv(&mut random, &pools, conv);
    }
}
