//! The thread pool of the CPU back end: a function and a number of pieces come in, every piece is run exactly once,
//! on the calling thread and on workers. Invariant: what a piece computes depends on its index only, so results do not
//! depend on the number of threads; a call allocates nothing.
//!
//! Each thread has a run of chunks of its own, at the same place of every job: what it wrote in one job, it finds in its
//! own cache in the next. Chunks are claimed by compare-and-swap, one's own from the front, then those of others from the
//! back, and the caller claims too: where another process holds a core, the caller simply does more of the work instead
//! of waiting for a worker that is not scheduled. Workers spin for a while after each job (regions follow each other within
//! microseconds in a training step) and then park. A worker that finds itself on the caller's core only gets in its way:
//! it parks at once and is left alone for a while.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Pauses of an idle worker before it parks: about 0.3 ms.
const IDLE_SPINS: u32 = 20_000;
/// Pauses of a caller that waits for the last pieces before it starts to yield its core.
const WAIT_SPINS: u32 = 2_000;
/// Pauses of an idle worker from one look at the core that it is on to the next.
const LOOK_SPINS: u32 = 64;
/// How long a worker that was on the caller's core is left alone.
const LEFT_ALONE: Duration = Duration::from_millis(2);
/// Bits of a ticket for each of the end of a run and its next chunk.
const CHUNK_BITS: u32 = 10;
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;
/// Bits for the caller's core.
const CORE_BITS: u32 = 12;
const CORE_MASK: u64 = (1 << CORE_BITS) - 1;

/// The job's function: piece index, then slot (an index below [`Pool::threads`] that no other thread has meanwhile).
type Function = dyn Fn(usize, usize) + Sync;

/// Keeps a variable that threads fight over on a cache line of its own.
#[repr(align(128))]
struct Line<T>(T);

struct Job {
    function: *const Function,
    pieces: usize,
    chunks: usize,
}

/// What a thread did of one job: from its first chunk to the end of its last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stint {
    /// The calling thread's is 0.
    pub slot: usize,
    pub begin: Instant,
    pub end: Instant,
}

struct Shared {
    /// Of each thread: the number of the job, the caller's core, the end of its run of chunks and the next one of it, from
    /// the highest bits to the lowest. A chunk is claimed by counting `next` up or the end down.
    tickets: Vec<Line<AtomicU64>>,
    /// Chunks of the present job that are finished.
    done: Line<AtomicUsize>,
    /// Set while some call uses the workers; other calls meanwhile run serially.
    busy: Line<AtomicBool>,
    /// Written only by the holder of `busy` while no chunk is unclaimed; read only after a successful claim.
    job: UnsafeCell<Job>,
    stop: AtomicBool,
    /// Whether threads note what they do.
    recording: AtomicBool,
    stints: Mutex<Vec<Stint>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only field that is not `Sync`. It is written by the one thread that holds `busy`, at a time when
// every chunk of the former job is finished, and read by threads that have claimed a chunk of the present job, which the
// caller waits for. The function behind the pointer is `Sync` and outlives the call that published it.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is only followed while the call that published it is waiting.
unsafe impl Send for Shared {}

impl Shared {
    /// Claims chunks and runs them until none is left.
    fn work(&self, slot: usize) {
        if !self.recording.load(Ordering::Relaxed) {
            self.claim(slot);
            return;
        }
        let begin = Instant::now();
        if self.claim(slot) {
            let stint = Stint { slot, begin, end: Instant::now() };
            self.stints.lock().unwrap_or_else(PoisonError::into_inner).push(stint);
        }
    }

    /// As [`Shared::work`]; whether there was a chunk.
    fn claim(&self, slot: usize) -> bool {
        let (mut found, threads) = (false, self.tickets.len());
        for turn in 0..threads {
            let line = &self.tickets[(slot + turn) % threads].0;
            let mut ticket = line.load(Ordering::Acquire);
            while let Some((next, end)) = run_of(ticket) {
                let (less, chunk) = if turn == 0 { (ticket + 1, next) } else { (ticket - (1 << CHUNK_BITS), end - 1) };
                match line.compare_exchange_weak(ticket, less, Ordering::AcqRel, Ordering::Acquire) {
                    Err(seen) => ticket = seen,
                    Ok(_) => {
                        found = true;
                        self.chunk(chunk as usize, slot);
                        self.done.0.fetch_add(1, Ordering::Release);
                        ticket = line.load(Ordering::Acquire);
                    }
                }
            }
        }
        found
    }

    fn chunk(&self, chunk: usize, slot: usize) {
        // SAFETY: this thread has claimed a chunk of the present job and not yet counted it as done, so the caller is
        // still inside `run`: the job is not being written and its function is alive.
        let (function, pieces, chunks) = unsafe {
            let job = &*self.job.get();
            (&*job.function, job.pieces, job.chunks)
        };
        let run =
            || (part(pieces, chunks, chunk)..part(pieces, chunks, chunk + 1)).for_each(|piece| function(piece, slot));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
}

/// The chunks of a run that nobody has claimed: the first, and the one after the last.
fn run_of(ticket: u64) -> Option<(u64, u64)> {
    let (next, end) = (ticket & CHUNK_MASK, (ticket >> CHUNK_BITS) & CHUNK_MASK);
    (next < end).then_some((next, end))
}

/// The core that runs this thread, in the bits of a ticket; none where the system does not tell.
fn core() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        unsafe extern "C" {
            fn sched_getcpu() -> std::ffi::c_int;
        }
        // SAFETY: the C library's function takes nothing and touches no memory of ours.
        u64::try_from(unsafe { sched_getcpu() }).ok().filter(|core| *core < CORE_MASK)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether this thread is on the core that the ticket's job was called on.
fn crowded(ticket: u64) -> bool {
    core() == Some((ticket >> (2 * CHUNK_BITS)) & CORE_MASK)
}

/// Where part `index` begins when `total` things are cut into `parts` runs as even as possible.
pub fn part(total: usize, parts: usize, index: usize) -> usize {
    let (each, more) = (total / parts, total % parts);
    each * index + more.min(index)
}

/// What a worker is doing, for the caller.
#[derive(Default)]
struct Rest {
    /// One of the constants below.
    kind: AtomicU8,
    /// Nanoseconds from the pool's start to when it found itself on the caller's core.
    since: AtomicU64,
}

const STARTING: u8 = 0;
const AWAKE: u8 = 1;
const ASLEEP: u8 = 2;
const OUT_OF_THE_WAY: u8 = 3;

struct Worker {
    thread: Thread,
    rest: Arc<Rest>,
    handle: Option<JoinHandle<()>>,
}

/// A pool of threads for short parallel regions.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    started: Instant,
}

impl Pool {
    /// A pool that computes on `threads` threads, the caller's included (0 counts as 1). Threads that the system
    /// refuses to start are done without.
    pub fn new(threads: usize) -> Pool {
        fn nothing(_: usize, _: usize) {}
        let shared = Arc::new(Shared {
            // Nothing to do, called on no core.
            tickets: (0..threads.clamp(1, CHUNK_MASK as usize))
                .map(|_| Line(AtomicU64::new(CORE_MASK << (2 * CHUNK_BITS))))
                .collect(),
            done: Line(AtomicUsize::new(0)),
            busy: Line(AtomicBool::new(false)),
            job: UnsafeCell::new(Job { function: &nothing, pieces: 0, chunks: 0 }),
            stop: AtomicBool::new(false),
            recording: AtomicBool::new(false),
            stints: Mutex::new(Vec::new()),
            panic: Mutex::new(None),
        });
        let started = Instant::now();
        let mut workers = Vec::new();
        for slot in 1..shared.tickets.len() {
            let rest = Arc::new(Rest::default());
            let (theirs, own) = (shared.clone(), rest.clone());
            let life = move || idle(&theirs, &own, slot, started);
            let Ok(handle) = std::thread::Builder::new().name(format!("nnc-{slot}")).spawn(life) else { break };
            workers.push(Worker { thread: handle.thread().clone(), rest, handle: Some(handle) });
        }
        Pool { shared, workers, started }
    }

    /// How many threads compute at the same time, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Returns when every thread is there. One that starts later would only take its part later, but a starting
    /// thread allocates, and no step is to be the one that it does so in.
    pub fn wait_for_workers(&self) {
        for worker in &self.workers {
            while worker.rest.kind.load(Ordering::SeqCst) == STARTING {
                std::thread::yield_now();
            }
        }
    }

    /// Lets all threads note from now on what they do, or no longer. That takes time and memory.
    pub fn record(&self, on: bool) {
        self.shared.recording.store(on, Ordering::Relaxed);
    }

    /// What was noted since the last call, by the time it began. A worker may still hand in its last stint.
    pub fn stints(&self) -> Vec<Stint> {
        let mut list = std::mem::take(&mut *self.shared.stints.lock().unwrap_or_else(PoisonError::into_inner));
        list.sort_by_key(|stint| (stint.begin, stint.slot));
        list
    }

    /// Runs `f(0)` to `f(pieces - 1)`, each once, and returns when all are done. Calls from inside `f`, or while
    /// another thread uses the pool, run serially. A panic in `f` is raised again here once all pieces are done.
    pub fn run(&self, pieces: usize, f: &(dyn Fn(usize) + Sync)) {
        self.run_slots(pieces, &|piece, _| f(piece));
    }

    /// Like [`Pool::run`]; `f` also gets a slot below [`Pool::threads`] that no other thread of this call holds at the
    /// same time, to index scratch memory with.
    pub fn run_slots(&self, pieces: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        let serial = pieces <= 1 || self.workers.is_empty();
        if serial || self.shared.busy.0.swap(true, Ordering::Acquire) {
            return (0..pieces).for_each(|piece| f(piece, 0));
        }
        let shared = &*self.shared;
        let threads = self.threads();
        let chunks = pieces.min(64 * threads).min(CHUNK_MASK as usize);
        let old = shared.tickets[0].0.load(Ordering::Relaxed);
        let job = (old >> (2 * CHUNK_BITS + CORE_BITS)).wrapping_add(1);
        let head = job << CORE_BITS | core().unwrap_or(CORE_MASK);
        // SAFETY: this thread holds `busy` and all chunks of the former job are done, so nobody reads `job`. The
        // lifetime of `f` is erased; this function returns only after the last chunk is done.
        unsafe {
            let function = std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), *const Function>(f);
            *shared.job.get() = Job { function, pieces, chunks };
        }
        shared.done.0.store(0, Ordering::Relaxed);
        // Sequentially consistent, as is the worker's rest: either it sees the ticket or this thread sees it sleep.
        for (slot, line) in shared.tickets.iter().enumerate().take(threads) {
            let (next, end) = (part(chunks, threads, slot) as u64, part(chunks, threads, slot + 1) as u64);
            line.0.store(head << (2 * CHUNK_BITS) | end << CHUNK_BITS | next, Ordering::SeqCst);
        }
        for worker in self.workers.iter().take(chunks - 1) {
            let wake = match worker.rest.kind.load(Ordering::SeqCst) {
                STARTING | AWAKE => false,
                ASLEEP => true,
                _ => {
                    let since = Duration::from_nanos(worker.rest.since.load(Ordering::Relaxed));
                    self.started.elapsed().saturating_sub(since) > LEFT_ALONE
                }
            };
            if wake {
                worker.thread.unpark();
            }
        }
        shared.work(0);
        let mut spins = 0;
        while shared.done.0.load(Ordering::Acquire) < chunks {
            spins += 1;
            if spins < WAIT_SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        shared.busy.0.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            if let Some(handle) = worker.handle.take() {
                // A worker catches every panic of a job, so there is nothing to report here.
                let _ = handle.join();
            }
        }
    }
}

/// A worker's life: work when there is a ticket, else spin, else park.
fn idle(shared: &Shared, rest: &Rest, slot: usize, started: Instant) {
    let own = &shared.tickets[slot].0;
    let waiting = |ticket: u64| run_of(ticket).is_none() && !shared.stop.load(Ordering::SeqCst);
    let sleep = |kind: u8, ready: &dyn Fn() -> bool| {
        rest.kind.store(kind, Ordering::SeqCst);
        if !ready() {
            std::thread::park();
        }
        rest.kind.store(AWAKE, Ordering::SeqCst);
    };
    rest.kind.store(AWAKE, Ordering::SeqCst);
    loop {
        let mut spins = 0;
        let mut ticket = own.load(Ordering::SeqCst);
        let mut away = false;
        while waiting(ticket) {
            spins += 1;
            if spins % LOOK_SPINS == 0 && crowded(ticket) {
                away = true;
                break;
            }
            if spins < IDLE_SPINS {
                std::hint::spin_loop();
            } else {
                sleep(ASLEEP, &|| !waiting(own.load(Ordering::SeqCst)));
                spins = 0;
            }
            ticket = own.load(Ordering::SeqCst);
        }
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        if away || crowded(ticket) {
            // The caller does this worker's part. It is only woken again after a while, maybe on another core.
            rest.since.store(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
            sleep(OUT_OF_THE_WAY, &|| shared.stop.load(Ordering::SeqCst));
            continue;
        }
        shared.work(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_runs_once() {
        for threads in [0, 1, 2, 3, 5] {
            let pool = Pool::new(threads);
            for pieces in [0, 1, 2, 3, 17, 1000, 10_000] {
                let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                pool.run_slots(pieces, &|piece, slot| {
                    assert!(slot < pool.threads());
                    counts[piece].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    counts.iter().all(|count| count.load(Ordering::Relaxed) == 1),
                    "{threads} threads, {pieces} pieces"
                );
            }
        }
    }

    #[test]
    fn short_regions_follow_each_other() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        for round in 0..5000 {
            pool.run(1 + round % 5, &|piece| {
                sum.fetch_add(piece + 1, Ordering::Relaxed);
            });
        }
        assert_eq!(sum.load(Ordering::Relaxed), 1000 * (1 + 3 + 6 + 10 + 15));
    }

    #[test]
    fn nested_and_concurrent_calls_complete() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        let nested = || pool.run(8, &|_| pool.run(4, &|_| _ = count.fetch_add(1, Ordering::Relaxed)));
        std::thread::scope(|scope| {
            scope.spawn(nested);
            scope.spawn(nested);
        });
        assert_eq!(count.load(Ordering::Relaxed), 64);
    }

    #[test]
    fn panics_reach_the_caller_and_leave_the_pool_usable() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(16, &|piece| {
                count.fetch_add(1, Ordering::Relaxed);
                assert!(piece != 5, "piece five");
            });
        }));
        assert!(caught.is_err());
        let before = count.load(Ordering::Relaxed);
        pool.run(16, &|_| _ = count.fetch_add(1, Ordering::Relaxed));
        assert_eq!(count.load(Ordering::Relaxed), before + 16);
    }

    #[test]
    fn what_threads_do_is_noted_if_asked_for() {
        let pool = Pool::new(2);
        pool.run(4, &|_| ());
        assert_eq!(pool.stints(), []);
        pool.record(true);
        let begin = Instant::now();
        pool.run(4, &|_| ());
        pool.run(4, &|_| ());
        pool.record(false);
        let mut stints = pool.stints();
        // The other thread may be late to note its own.
        while stints.is_empty() {
            stints = pool.stints();
        }
        assert!(stints.iter().all(|s| s.slot < 2 && begin <= s.begin && s.begin <= s.end), "{stints:?}");
        assert!(stints.is_sorted_by_key(|s| s.begin));
    }

    #[test]
    fn parked_workers_wake_up() {
        let pool = Pool::new(2);
        std::thread::sleep(std::time::Duration::from_millis(20));
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return;
        }
        // A worker that wakes on the caller's core leaves the work to it, so there is more than one try.
        let seen = AtomicBool::new(false);
        while !seen.load(Ordering::SeqCst) {
            pool.run_slots(2, &|_, slot| {
                seen.fetch_or(slot == 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
            });
        }
    }
}
