//! The thread pool of the CPU back end: a function and a number of pieces come in, every piece is run exactly once,
//! on the calling thread and on workers. Invariant: what a piece computes depends on its index only, so results do not
//! depend on the number of threads; a call allocates nothing.
//!
//! Chunks of pieces are claimed by compare-and-swap, and the caller claims too: where another process holds a core,
//! the caller simply does more of the work instead of waiting for a worker that is not scheduled. Workers spin for a
//! while after each job (regions follow each other within microseconds in a training step) and then park.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

/// Pauses of an idle worker before it parks: about 0.3 ms.
const IDLE_SPINS: u32 = 20_000;
/// Pauses of a caller that waits for the last pieces before it starts to yield its core.
const WAIT_SPINS: u32 = 2_000;
/// Bits of the ticket for each of the number of chunks and the next chunk.
const CHUNK_BITS: u32 = 12;
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;

/// The job's function: piece index, then slot (an index below [`Pool::threads`] that no other thread has meanwhile).
type Function = dyn Fn(usize, usize) + Sync;

/// Keeps a variable that threads fight over on a cache line of its own.
#[repr(align(128))]
struct Line<T>(T);

struct Job {
    function: *const Function,
    pieces: usize,
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
    /// `epoch << 24 | chunks << 12 | next`: a chunk is claimed by counting `next` up.
    ticket: Line<AtomicU64>,
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
        let mut found = false;
        let mut ticket = self.ticket.0.load(Ordering::Acquire);
        loop {
            let (chunks, next) = (chunks_of(ticket), ticket & CHUNK_MASK);
            if next >= chunks {
                return found;
            }
            match self.ticket.0.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Acquire) {
                Err(seen) => ticket = seen,
                Ok(_) => {
                    found = true;
                    self.chunk(next as usize, chunks as usize, slot);
                    self.done.0.fetch_add(1, Ordering::Release);
                    ticket = self.ticket.0.load(Ordering::Acquire);
                }
            }
        }
    }

    fn chunk(&self, chunk: usize, chunks: usize, slot: usize) {
        // SAFETY: this thread has claimed a chunk of the present job and not yet counted it as done, so the caller is
        // still inside `run`: the job is not being written and its function is alive.
        let (function, pieces) = unsafe {
            let job = &*self.job.get();
            (&*job.function, job.pieces)
        };
        let run =
            || (part(pieces, chunks, chunk)..part(pieces, chunks, chunk + 1)).for_each(|piece| function(piece, slot));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
}

fn chunks_of(ticket: u64) -> u64 {
    (ticket >> CHUNK_BITS) & CHUNK_MASK
}

/// Where part `index` begins when `total` things are cut into `parts` runs as even as possible.
pub fn part(total: usize, parts: usize, index: usize) -> usize {
    let (each, more) = (total / parts, total % parts);
    each * index + more.min(index)
}

struct Worker {
    thread: Thread,
    asleep: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

/// A pool of threads for short parallel regions.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

impl Pool {
    /// A pool that computes on `threads` threads, the caller's included (0 counts as 1). Threads that the system
    /// refuses to start are done without.
    pub fn new(threads: usize) -> Pool {
        fn nothing(_: usize, _: usize) {}
        let shared = Arc::new(Shared {
            ticket: Line(AtomicU64::new(0)),
            done: Line(AtomicUsize::new(0)),
            busy: Line(AtomicBool::new(false)),
            job: UnsafeCell::new(Job { function: &nothing, pieces: 0 }),
            stop: AtomicBool::new(false),
            recording: AtomicBool::new(false),
            stints: Mutex::new(Vec::new()),
            panic: Mutex::new(None),
        });
        let mut workers = Vec::new();
        for slot in 1..threads {
            let asleep = Arc::new(AtomicBool::new(false));
            let (theirs, flag) = (shared.clone(), asleep.clone());
            let spawned =
                std::thread::Builder::new().name(format!("nnc-{slot}")).spawn(move || idle(&theirs, &flag, slot));
            let Ok(handle) = spawned else { break };
            workers.push(Worker { thread: handle.thread().clone(), asleep, handle: Some(handle) });
        }
        Pool { shared, workers }
    }

    /// How many threads compute at the same time, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
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
        let chunks = pieces.min(64 * self.threads()).min(CHUNK_MASK as usize);
        let old = shared.ticket.0.load(Ordering::Relaxed);
        let epoch = (old >> (2 * CHUNK_BITS)).wrapping_add(1);
        // SAFETY: this thread holds `busy` and all chunks of the former job are done, so nobody reads `job`. The
        // lifetime of `f` is erased; this function returns only after the last chunk is done.
        unsafe {
            let function = std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), *const Function>(f);
            *shared.job.get() = Job { function, pieces };
        }
        shared.done.0.store(0, Ordering::Relaxed);
        // Sequentially consistent, as is the worker's `asleep`: either it sees the ticket or this thread sees it sleep.
        shared.ticket.0.store(epoch << (2 * CHUNK_BITS) | (chunks as u64) << CHUNK_BITS, Ordering::SeqCst);
        for worker in self.workers.iter().take(chunks - 1) {
            if worker.asleep.load(Ordering::SeqCst) {
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
fn idle(shared: &Shared, asleep: &AtomicBool, slot: usize) {
    let waiting = || {
        let ticket = shared.ticket.0.load(Ordering::SeqCst);
        ticket & CHUNK_MASK >= chunks_of(ticket) && !shared.stop.load(Ordering::SeqCst)
    };
    loop {
        let mut spins = 0;
        while waiting() {
            spins += 1;
            if spins < IDLE_SPINS {
                std::hint::spin_loop();
                continue;
            }
            asleep.store(true, Ordering::SeqCst);
            if waiting() {
                std::thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
            spins = 0;
        }
        if shared.stop.load(Ordering::SeqCst) {
            return;
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
        let seen = Mutex::new(std::collections::BTreeSet::new());
        // Each of the two pieces waits for the other, so both threads must take part.
        let arrived = AtomicUsize::new(0);
        pool.run_slots(2, &|_, slot| {
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
            seen.lock().unwrap().insert(slot);
        });
        assert_eq!(seen.into_inner().unwrap().len(), 2);
    }
}
