//! Speed of the matrix product and the convolutions beside a bare loop of fused multiplications on as many threads:
//! `cargo bench --bench kernels [threads]`. Minima and medians of many short runs.
//!
//! The command in `NNC_KERNELS_PEER` is another library beside us, in turn: it gets lines `KIND M N K THREADS` (`NN`, `TN` or
//! `NT`: which operand is stored transposed) or `WAY BATCH IN SIZE OUT KERNEL STRIDE THREADS` (`forward`, `input` or `weight`: a
//! square convolution, padded by half its kernel, or a gradient of it) and answers each with the median seconds. It waits
//! while we measure.

use nnc::runtime::kernels::conv::Conv2d;
use nnc::runtime::kernels::gemm::{Matmul, View};
use nnc::runtime::kernels::peak;
use nnc::runtime::threads::Pool;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Minimum and median seconds of a call.
fn time(mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut seconds = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.2 || seconds.len() < 5 {
        let start = Instant::now();
        f();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    (seconds[0], seconds[seconds.len() / 2])
}

/// Gives the median seconds; none if the words among the arguments choose other measurements.
fn report(name: &str, peak: f64, work: f64, f: impl FnMut()) -> Option<f64> {
    let mut words =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-') && arg.parse::<usize>().is_err()).peekable();
    if words.peek().is_some() && !words.any(|word| name.contains(&word)) {
        return None;
    }
    let (best, median) = time(f);
    let rate = work / best / 1e9;
    println!(
        "{name:44} {:9.1} us {:9.1} us median {rate:7.1} GF/s {:3.0} % of peak",
        best * 1e6,
        median * 1e6,
        100.0 * rate / peak
    );
    Some(median)
}

/// How often we and another library are measured in turn.
const TURNS: usize = 5;

/// Another library's matrix products, in a process of its own.
struct Rival {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    ratios: Vec<f64>,
}

impl Rival {
    fn start() -> Option<Rival> {
        let command = std::env::var("NNC_KERNELS_PEER").ok()?;
        let mut words = command.split_whitespace();
        let child = Command::new(words.next()?).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| println!("{command} is left out: {e}")).ok()?;
        let (questions, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut rival = Rival { questions, answers, ratios: Vec::new() };
        // It is asleep when we measure only after its start.
        rival.ask("NN 8 8 8 1");
        Some(rival)
    }

    /// Its median seconds.
    fn ask(&mut self, question: &str) -> Option<f64> {
        writeln!(self.questions, "{question}").ok()?;
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        // Its threads may spin for a while.
        std::thread::sleep(Duration::from_millis(250));
        line.trim().parse().ok()
    }
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

fn matmul(pool: &Pool, peak: f64, rival: &mut Option<Rival>, kind: &str, [m, n, k]: [usize; 3]) {
    let view = |rows, cols, transposed| match transposed {
        false => View { row_stride: cols, col_stride: 1, batch_stride: rows * cols },
        true => View { row_stride: 1, col_stride: rows, batch_stride: rows * cols },
    };
    let (a, b) = (view(m, k, kind.starts_with('T')), view(k, n, kind.ends_with('T')));
    let shape = Matmul { batch: 1, m, n, k, a, b, c_row_stride: n, c_batch_stride: m * n, accumulate: false };
    let (a, b, mut c) = (floats(m * k), floats(k * n), floats(m * n));
    let mut scratch = Scratch::new(shape.workspace(pool.threads()));
    let mut product = || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { shape.run(pool, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), scratch.at(), None) }
    };
    let ours = report(&format!("{kind} {m} x {n} x {k}"), peak, (2 * m * n * k) as f64, &mut product);
    compare(rival, ours, &format!("{kind} {m} {n} {k}"), pool, &mut product);
}

/// Measures another library beside us, if it is there and this was measured at all.
fn compare(rival: &mut Option<Rival>, ours: Option<f64>, question: &str, pool: &Pool, mut f: impl FnMut()) {
    let (Some(rival), Some(ours)) = (rival, ours) else { return };
    // Virtual cores change their pace every few seconds: the two in turn, and the middle of the ratios.
    let mut ratios = Vec::new();
    let mut ours = Some(ours);
    while ratios.len() < TURNS {
        let ours = ours.take().unwrap_or_else(|| time(&mut f).1);
        let Some(theirs) = rival.ask(&format!("{question} {}", pool.threads())) else { return };
        ratios.push(theirs / ours);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[TURNS / 2];
    println!("{:44} {ratio:.2} times as long (from {:.2} to {:.2})", "", ratios[0], ratios[TURNS - 1]);
    rival.ratios.push(ratio.ln());
}

/// The three directions of one square convolution: images, input channels, size of the maps, output channels, size of the
/// kernel, stride; padded so that stride 1 keeps the size.
fn convolution(
    pool: &Pool,
    peak: f64,
    rival: &mut Option<Rival>,
    [batch, in_channels, size, out_channels, kernel, stride]: [usize; 6],
) {
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
    let question = |way: &str| format!("{way} {batch} {in_channels} {size} {out_channels} {kernel} {stride}");
    let mut scratch = Scratch::new(conv.workspace_forward(threads));
    let mut forward = || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { conv.forward(pool, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), scratch.at(), None) }
    };
    let ours = report(&format!("conv {name} forward"), peak, work, &mut forward);
    compare(rival, ours, &question("forward"), pool, forward);
    let mut scratch = Scratch::new(conv.workspace_input_grad(threads));
    let mut input = || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { conv.input_grad(pool, y.as_ptr(), w.as_ptr(), x.as_mut_ptr(), scratch.at()) }
    };
    let ours = report(&format!("conv {name} input"), peak, work, &mut input);
    compare(rival, ours, &question("input"), pool, input);
    let mut scratch = Scratch::new(conv.workspace_weight_grad(threads));
    let mut weight = || {
        // SAFETY: the vectors have the shape's sizes.
        unsafe { conv.weight_grad(pool, x.as_ptr(), y.as_ptr(), dw.as_mut_ptr(), scratch.at()) }
    };
    let ours = report(&format!("conv {name} weight"), peak, work, &mut weight);
    compare(rival, ours, &question("weight"), pool, weight);
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

/// Rows, columns and depth: squares, layers of usual nets, small ones.
const SHAPES: [[usize; 3]; 11] = [
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [128, 512, 784],
    [128, 512, 512],
    [1024, 384, 384],
    [1024, 1536, 384],
    [256, 256, 1024],
    [700, 10000, 256],
    [64, 128, 3136],
    [64, 10, 128],
    [32, 32, 64],
];
/// One row.
const VECTORS: [[usize; 3]; 3] = [[1, 768, 768], [1, 3072, 768], [1, 128, 3136]];

fn main() {
    let threads = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(2);
    let pool = Pool::new(threads);
    let peak = peak::flops(&pool) / 1e9;
    println!("{threads} threads, bare loop {peak:.1} GF/s");
    let mut rival = Rival::start();
    let small = [[64, 1, 28, 32, 3, 1], [64, 32, 14, 64, 3, 1], [64, 3, 32, 64, 3, 1], [64, 64, 16, 128, 3, 1]];
    let tiny = [[64, 1, 8, 32, 3, 1], [64, 32, 4, 64, 3, 1]];
    let stems = [[32, 3, 32, 64, 3, 1], [1, 3, 224, 64, 7, 2], [32, 3, 224, 64, 7, 2]];
    let resnets = [(32, 32), (1, 56), (32, 56)].into_iter().flat_map(|(batch, size)| resnet18(batch, size));
    for shape in small.into_iter().chain(tiny).chain(stems).chain(resnets) {
        convolution(&pool, peak, &mut rival, shape);
    }
    for kind in ["NN", "TN", "NT"] {
        for shape in SHAPES {
            matmul(&pool, peak, &mut rival, kind, shape);
        }
    }
    for kind in ["NN", "NT"] {
        for shape in VECTORS {
            matmul(&pool, peak, &mut rival, kind, shape);
        }
    }
    if let Some(Rival { ratios, .. }) = rival.filter(|r| !r.ratios.is_empty()) {
        let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
        println!("the other library takes {mean:.2} times as long, geometric mean of {}", ratios.len());
    }
}
