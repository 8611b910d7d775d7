//! Stage 9: a task that can run: its graphs compiled for a target, its variables in memory.
//!
//! The training loop knows only [`Engine`]; what is behind it is the CPU's machine code, a GPU, or the interpreter.

pub mod bytes;
#[cfg(not(target_arch = "wasm32"))]
mod compiled;
#[cfg(not(target_arch = "wasm32"))]
pub mod cpu;
#[cfg(not(target_arch = "wasm32"))]
mod cuda;
#[cfg(not(target_arch = "wasm32"))]
mod interpreter;
#[cfg(not(target_arch = "wasm32"))]
mod outside;
pub mod planned;
#[cfg(not(target_arch = "wasm32"))]
pub mod profile;
mod random_fields;
mod target;

pub use crate::runtime::clock::ClockValues;
pub use crate::runtime::mode::Mode;
#[cfg(not(target_arch = "wasm32"))]
pub use cpu::CpuEngine;
#[cfg(not(target_arch = "wasm32"))]
pub use cuda::{CudaEngine, plan_for_cuda};
#[cfg(not(target_arch = "wasm32"))]
pub use interpreter::InterpreterEngine;
pub use planned::check_budget;
pub use random_fields::random_fields;
pub use target::Target;

use crate::diag::Diagnostic;
use crate::ops::{DType, VarId};

/// Which of a task's graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// Forward, backward and update.
    Train,
    /// Forward only: validation, evaluation, prediction.
    Eval,
    /// What a task that generates computes once a prompt; its values are fields of the other entry.
    Once,
    /// The scores of a task that generates, for so many new places: what [`Engine::extend`] prepared.
    Extend(u32),
}

/// What a step is given.
pub struct StepInputs<'a> {
    /// One buffer a field of the task, in its order: `batch` samples in the field's dtype, row-major, little-endian.
    pub fields: &'a [Vec<u8>],
    /// The sizes that differ from batch to batch, in the order of [`Task::varying`](crate::check::Task::varying).
    pub lengths: &'a [usize],
    pub clock: ClockValues,
    pub seed: u64,
}

/// A persistent tensor as bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct VarTensor {
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// Row-major, little-endian.
    pub bytes: Vec<u8>,
}

/// What was compiled, for `nnc compile` and `nnc plan`.
#[derive(Clone, Debug, Default)]
pub struct EntryReport {
    pub kernels: usize,
    pub launches: usize,
    /// Floating-point operations of one step.
    pub flops: u64,
    pub arena_bytes: usize,
    pub lower_bound: usize,
    /// Bytes of what is kept of variables, beside the arena.
    pub kept_bytes: usize,
    /// Bytes of constants, beside the arena.
    pub constant_bytes: usize,
    /// Milliseconds by stage, in order.
    pub stages: Vec<(&'static str, f64)>,
}

/// A task ready to run on some target.
pub trait Engine {
    /// Compiles an entry for a batch size (0 for a task without a batch) unless it is compiled already. Memory is taken
    /// here, and in [`run`](Engine::run) only for lengths that it meets for the first time.
    fn prepare(&mut self, entry: Entry, batch: usize) -> Result<&EntryReport, Box<Diagnostic>>;

    /// Prepares [`Entry::Extend`]: a step over `count` new places of the growing field, whose length in `lengths` is the
    /// most that it will have. It keeps what it computed of earlier places, and takes one more field, the last: the number
    /// of the first new place, `i32[]`. False if this step, or this target, computes all places each time.
    fn extend(&mut self, count: usize, batch: usize, lengths: &[usize]) -> Result<bool, Box<Diagnostic>> {
        let _ = (count, batch, lengths);
        Ok(false)
    }

    /// How what is prepared from now on goes to a device; false where there is none.
    fn launch_as(&mut self, mode: Mode) -> bool {
        let _ = mode;
        false
    }

    /// Gives every variable its first value, keyed by the seed.
    fn initialise(&mut self, seed: u64) -> Result<(), Box<Diagnostic>>;

    /// Runs one prepared step.
    fn run(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Result<(), Box<Diagnostic>>;

    /// Waits for the steps that were begun.
    ///
    /// # Errors
    /// A failure that nobody was told of yet.
    fn finish(&mut self) -> Result<(), Box<Diagnostic>> {
        Ok(())
    }

    /// The scalar result at a position of the last run (losses and metrics).
    fn scalar(&self, position: usize) -> f64;

    /// A result of the last run with its shape (predictions).
    fn value(&self, position: usize) -> VarTensor;

    /// Runs the same step again from the variables as they are, looking at every value, and says where the first one that
    /// is not finite comes from. Changes nothing.
    fn explain_not_finite(&mut self, entry: Entry, batch: usize, inputs: &StepInputs) -> Option<Diagnostic>;

    fn var(&self, id: VarId) -> VarTensor;

    /// Replaces a variable's value; its dtype and shape must be the same.
    fn set_var(&mut self, id: VarId, value: &VarTensor);

    /// Bytes that variables take.
    fn var_bytes(&self) -> usize;

    /// Bytes of the arena that all prepared entries share.
    fn arena_bytes(&self) -> usize;
}

/// The message for the first value of a step that is not a finite number.
#[cfg(not(target_arch = "wasm32"))]
fn not_finite(origin: crate::graph::Origin, scopes: &[String], value: f64) -> Diagnostic {
    let what = if value.is_nan() { "not a number (NaN)" } else { "infinite" };
    let mut fault = Diagnostic::error(crate::diag::codes::NOT_FINITE, origin.span, format!("this becomes {what}"))
        .label("the first value of the step that is not finite");
    if let Some(scope) = scopes.get(origin.scope as usize).filter(|s| !s.is_empty()) {
        fault = fault.note(format!("in `{scope}`"));
    }
    fault.help("a smaller learning rate, `clip_norm = 1.0`, or a check of the data for extreme values")
}
