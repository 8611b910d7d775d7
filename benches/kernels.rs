//! Speed of the matrix product and the convolutions beside a bare loop of fused multiplications on as many threads:
//! `cargo bench --bench kernels [threads]`. Minima and medians of many short runs.

use nnc::runtime::kernels::conv::Conv2d;
use nnc::runtime::kernels::gemm::{Matmul, View};
use nnc::runtime::kernels::peak;
use nnc::runtime::threads::Pool;
use std::time::Instant;

/// Minimum and median seconds of a call.
fn time(mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut seconds = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.3 || seconds.len() < 5 {
        let start = Instant::now();
        f();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    (seconds[0], seconds[seconds.len() / 2])
}

fn report(name: &str, peak: f64, work: f64, f: impl FnMut()) {
    // Words among the arguments choose measurements.
    let mut words =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-') && arg.parse::<usize>().is_err()).peekable();
    if words.peek().is_some() && !words.any(|word| name.contains(&word)) {
        return;
    }
    let (best, median) = time(f);
    let rate = work / best / 1e9;
    println!(
        "{name:44} {:9.1} us {:9.1} us median {rate:7.1} GF/s {:3.0} % of peak",
        best * 1e6,
        median * 1e6,
        100.0 * rate / peak
    );
}

fn floats(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Scratch of whole cache lines.
struct Scratch(Vec<[u8; 64]>, usize);

impl Scratch {
    fn new(bytes: usize) -> Scratch {
        let memory = vec![[0; 64]; bytes / 64 + 2];
        let skip = memory.as_ptr().cast::<u8>().align_offset(64);
        Scratch(memory, skip)
    }

    fn at(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast::<u8>().wrapping_add(self.1)
    }
}

fn matmul(pool: &Pool, peak: f64, kind: &str, [m, n, k]: [usize; 3]) {
    let view = |rows, cols, transposed| match transposed {
        false => View { row_stride: cols, col_stride: 1, batch_stride: rows * cols },
        true => View { row_stride: 1, col_stride: rows, batch_stride: rows * cols },
    };
    let (a, b) = (view(m, k, kind.starts_with('T')), view(k, n, kind.ends_with('T')));
    let shape = Matmul { batch: 1, m, n, k, a, b, c_row_stride: n, c_batch_stride: m * n, accumulate: false };
    let (a, b, mut c) = (floats(m * k), floats(k * n), floats(m * n));
    let mut scratch = Scratch::new(shape.workspace(pool.threads()));
    report(&format!("{kind} {m} x {n} x {k}"), peak, (2 * m * n * k) as f64, || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { shape.run(pool, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), scratch.at(), None) }
    });
}

/// The three directions of one square convolution: images, input channels, size of the maps, output channels, size of the
/// kernel, stride; padded so that stride 1 keeps the size.
fn convolution(pool: &Pool, peak: f64, [batch, in_channels, size, out_channels, kernel, stride]: [usize; 6]) {
    let pad = [kernel / 2; 2];
    let conv = Conv2d {
        batch,
        in_channels,
        out_channels,
        groups: 1,
        in_size: [size, size],
        kernel: [kernel, kernel],
        stride: [stride, stride],
        dilation: [1, 1],
        pad_low: pad,
        pad_high: pad,
    };
    let [rows, columns] = conv.out_size();
    let taps = kernel * kernel;
    let work = (2 * batch * rows * columns * in_channels * out_channels * taps) as f64;
    let (mut x, w) = (floats(batch * in_channels * size * size), floats(in_channels * out_channels * taps));
    let (mut y, mut dw) = (floats(batch * out_channels * rows * columns), w.clone());
    let threads = pool.threads();
    let name = format!("{batch} x {in_channels} x {size} -> {out_channels}, {kernel} / {stride}");
    let mut scratch = Scratch::new(conv.workspace_forward(threads));
    report(&format!("conv {name} forward"), peak, work, || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { conv.forward(pool, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), scratch.at(), None) }
    });
    let mut scratch = Scratch::new(conv.workspace_input_grad(threads));
    report(&format!("conv {name} input"), peak, work, || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { conv.input_grad(pool, y.as_ptr(), w.as_ptr(), x.as_mut_ptr(), scratch.at()) }
    });
    let mut scratch = Scratch::new(conv.workspace_weight_grad(threads));
    report(&format!("conv {name} weight"), peak, work, || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { conv.weight_grad(pool, x.as_ptr(), y.as_ptr(), dw.as_mut_ptr(), scratch.at()) }
    });
}

/// The convolutions of ResNet-18 behind its stem: its maps have `size` at first.
fn resnet18(batch: usize, size: usize) -> impl Iterator<Item = [usize; 6]> {
    (0..4).flat_map(move |stage| {
        let (channels, size) = (64 << stage, size >> stage);
        let down = [3, 1].map(|kernel| [batch, channels / 2, size * 2, channels, kernel, 2]);
        let down = down.into_iter().filter(move |_| stage > 0);
        down.chain([[batch, channels, size, channels, 3, 1]])
    })
}

fn main() {
    let threads = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(2);
    let pool = Pool::new(threads);
    let peak = peak::flops(&pool) / 1e9;
    println!("{threads} threads, bare loop {peak:.1} GF/s");
    let small = [[64, 1, 28, 32, 3, 1], [64, 32, 14, 64, 3, 1], [64, 3, 32, 64, 3, 1], [64, 64, 16, 128, 3, 1]];
    let tiny = [[64, 1, 8, 32, 3, 1], [64, 32, 4, 64, 3, 1]];
    let stems = [[32, 3, 32, 64, 3, 1], [1, 3, 224, 64, 7, 2], [32, 3, 224, 64, 7, 2]];
    let resnets = [(32, 32), (1, 56), (32, 56)].into_iter().flat_map(|(batch, size)| resnet18(batch, size));
    for shape in small.into_iter().chain(tiny).chain(stems).chain(resnets) {
        convolution(&pool, peak, shape);
    }
    for kind in ["NN", "TN", "NT"] {
        for shape in
            [[1024, 1024, 1024], [128, 512, 784], [1024, 384, 384], [64, 128, 3136], [3136, 128, 64], [64, 10, 128]]
        {
            matmul(&pool, peak, kind, shape);
        }
    }
    matmul(&pool, peak, "NN", [1, 3072, 768]);
    matmul(&pool, peak, "NT", [1, 3072, 768]);
}
