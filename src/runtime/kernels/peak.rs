//! What the machine can do at most, measured: floating-point operations a second of a loop that does nothing else, and
//! bytes a second from each level of memory. In: a thread pool. Out: [`Peaks`], after about a fifth of a second.

use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::Vector;
use crate::runtime::threads::{Pool, part};
use std::hint::black_box;
use std::time::Instant;

/// A level of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// What fits, over all threads; `usize::MAX` for the main memory.
    pub bytes: usize,
    /// Bytes that are read and written a second, over all threads.
    pub bandwidth: f64,
}

/// The limits of the machine for this many threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    pub threads: usize,
    /// Operations in single precision a second; a fused multiplication counts as two.
    pub flops: f64,
    /// From the second-level cache to the main memory.
    pub levels: Vec<Level>,
}

/// Sizes where the system does not tell: each core's own cache, and the one that cores share.
const CACHES: [usize; 2] = [512 << 10, 8 << 20];
/// Memory that is taken to measure the main memory, at most and at least.
const MOST: usize = 128 << 20;
const LEAST: usize = 16 << 20;
/// Independent sums: enough to hide the latency of the multiplication on two units.
const SUMS: usize = 12;
const ROUNDS: usize = 200_000;

impl Peaks {
    pub fn measure(pool: &Pool) -> Peaks {
        let threads = pool.threads();
        let [own, shared] = cache_sizes();
        let mut memory = vec![1f32; (4 * shared).clamp(LEAST, MOST) / 4];
        let level = |memory: &mut [f32], bytes: usize, calls: usize| {
            let floats = (bytes / 8).min(memory.len());
            Level { bytes, bandwidth: bandwidth(pool, &mut memory[..floats], calls) }
        };
        let mut levels = vec![level(&mut memory, own * threads, 20), level(&mut memory, shared.max(own * threads), 6)];
        levels.push(level(&mut memory, usize::MAX, 3));
        // A cache that other processes use as well can look slower than what is behind it.
        for i in (0..levels.len() - 1).rev() {
            levels[i].bandwidth = levels[i].bandwidth.max(levels[i + 1].bandwidth);
        }
        Peaks { threads, flops: flops(pool), levels }
    }

    /// The least seconds that so many operations, and so many bytes from each level, take.
    pub fn seconds(&self, flops: u64, bytes: &[u64]) -> f64 {
        let moving: f64 = bytes.iter().zip(&self.levels).map(|(b, level)| *b as f64 / level.bandwidth).sum();
        moving.max(flops as f64 / self.flops)
    }

    /// What fits into each level but the last.
    pub fn capacities(&self) -> Vec<usize> {
        self.levels.iter().map(|l| l.bytes).filter(|b| *b != usize::MAX).collect()
    }
}

/// Bytes of a core's own cache and of the shared one (Linux).
fn cache_sizes() -> [usize; 2] {
    let read = |index: usize| {
        let text = std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()?;
        text.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kib| kib << 10)
    };
    [read(2).unwrap_or(CACHES[0]), read(3).unwrap_or(CACHES[1])]
}

/// The least seconds of a call, over some calls after one that does not count.
fn least(calls: usize, mut f: impl FnMut()) -> f64 {
    f();
    let mut least = f64::INFINITY;
    for _ in 0..calls {
        let start = Instant::now();
        f();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

/// Floating-point operations a second of fused multiplications on all threads of the pool, with the widest vectors.
pub fn flops(pool: &Pool) -> f64 {
    let isa = Isa::best();
    // SAFETY: the instruction set is one of this processor's.
    let multiply = || unsafe { with_kernel!(isa, K => K::enter(Multiply)) };
    let lanes = black_box(multiply()).0;
    let seconds = least(8, || pool.run(pool.threads(), &|_| _ = black_box(multiply())));
    (2 * lanes * SUMS * ROUNDS * pool.threads()) as f64 / seconds
}

struct Multiply;

impl Work for Multiply {
    /// The lanes of a vector, and what keeps the loop from being left out.
    type Out = (usize, [f32; 16]);

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) -> (usize, [f32; 16]) {
        let (a, b) = (black_box([0.999f32; 16]), black_box([1e-9f32; 16]));
        let mut out = [0f32; 16];
        // SAFETY: no vector has more than 16 lanes.
        unsafe {
            let (a, b) = (K::V::load(a.as_ptr()), K::V::load(b.as_ptr()));
            let mut sums = [K::V::zero(); SUMS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = sum.fma(a, b);
                }
            }
            sums.into_iter().fold(K::V::zero(), K::V::add).store(out.as_mut_ptr());
        }
        (K::V::LANES, out)
    }
}

/// Bytes a second of passes over memory: the better of reading it and of changing it in place.
fn bandwidth(pool: &Pool, memory: &mut [f32], calls: usize) -> f64 {
    let (threads, isa) = (pool.threads(), Isa::best());
    let blocks = memory.len() / BLOCK;
    // A short pass is repeated inside one region, so that the start of the threads does not count.
    let passes = (LEAST / 4 / (blocks * BLOCK * 4).max(1)).clamp(1, 64);
    let base = Base(memory.as_mut_ptr());
    let seconds = |change: bool| {
        least(calls, || {
            pool.run(threads, &|thread| {
                let base = &base;
                let (begin, end) = (part(blocks, threads, thread), part(blocks, threads, thread + 1));
                let at = base.0.wrapping_add(begin * BLOCK);
                for _ in 0..passes {
                    // SAFETY: the blocks are inside `memory`, which is borrowed for as long as the pool runs; threads
                    // have distinct ones; the instruction set is one of this processor's.
                    black_box(unsafe { with_kernel!(isa, K => K::enter(Pass { at, blocks: end - begin, change })) });
                }
            });
        })
    };
    let bytes = (passes * blocks * BLOCK * 4) as f64;
    (bytes / seconds(false)).max(2.0 * bytes / seconds(true))
}

struct Base(*mut f32);

// SAFETY: threads take distinct parts of what it points at.
unsafe impl Sync for Base {}

/// Floats that one round of a pass goes over: eight of the widest vectors.
const BLOCK: usize = 128;

struct Pass {
    at: *mut f32,
    blocks: usize,
    /// Whether each number is written back.
    change: bool,
}

impl Work for Pass {
    type Out = [f32; 16];

    /// # Safety
    /// As many blocks are readable, and writable if they are changed.
    #[inline(always)]
    unsafe fn run<K: Kernel>(self) -> [f32; 16] {
        let mut out = [0f32; 16];
        let half = [0.5f32; 16];
        // SAFETY: promised by the caller; no vector has more than 16 lanes.
        unsafe {
            let factor = K::V::load(half.as_ptr());
            let mut sums = [K::V::zero(); 8];
            for block in 0..self.blocks {
                for group in (0..BLOCK / K::V::LANES).step_by(8) {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let at = self.at.wrapping_add(block * BLOCK + (group + i) * K::V::LANES);
                        match self.change {
                            true => factor.fma(K::V::load(at), factor).store(at),
                            false => *sum = sum.add(K::V::load(at)),
                        }
                    }
                }
            }
            sums.into_iter().fold(K::V::zero(), K::V::add).store(out.as_mut_ptr());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roof_is_the_slower_of_both_limits() {
        let level = |bytes, bandwidth| Level { bytes, bandwidth };
        let peaks = Peaks { threads: 1, flops: 100.0, levels: vec![level(10, 8.0), level(usize::MAX, 2.0)] };
        assert_eq!(peaks.seconds(1000, &[8, 2]), 10.0);
        assert_eq!(peaks.seconds(100, &[8, 2]), 2.0);
        assert_eq!(peaks.capacities(), [10]);
    }

    #[test]
    fn measures_are_numbers() {
        let peaks = Peaks::measure(&Pool::new(2));
        assert_eq!((peaks.threads, peaks.levels.len()), (2, 3));
        assert!(peaks.flops.is_finite() && peaks.flops > 0.0, "{peaks:?}");
        assert!(peaks.levels.windows(2).all(|l| l[0].bandwidth >= l[1].bandwidth && l[0].bytes <= l[1].bytes));
        assert!(peaks.levels.iter().all(|l| l.bandwidth.is_finite() && l.bandwidth > 0.0), "{peaks:?}");
    }
}
