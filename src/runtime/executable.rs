//! A plan as something that runs. In: a plan, the layout of the variables, a thread pool. Out: an [`Executable`] whose
//! [`run`](Executable::run) executes one step over a [`VarMemory`] and an [`Arena`].
//!
//! All decisions are made when it is loaded: machine code, pointers, pieces. Running a step allocates nothing. Results do
//! not depend on the number of threads: iterations of a loop that is split are independent, and the runtime kernels fix
//! their order of summation by shapes. Numbers below the normal range are kept (no flush to zero).
//!
//! Constants have memory of their own, since executables that share an arena place different things in it; so has
//! scratch memory where the plan's workspace is absent or too small for this machine.

use std::sync::Arc;
use std::time::Instant;

use super::arena::{ALIGN, Arena, Block, VarMemory};
pub use super::clock::ClockValues;
use super::launch::{self, Arguments, Keep, Task};
use super::threads::Pool;
use super::work::internal;
use crate::codegen::cpu::{self, Code, Entry, Optimize, Target};
use crate::diag::Diagnostic;
use crate::graph::Origin;
use crate::ops::{Clock, DType, VarId, half};
use crate::plan::{BufferId, BufferKind, Plan, VarLayout, Work};

/// What a step gets from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepInputs<'a> {
    /// The bytes of each field of the batch.
    pub fields: &'a [&'a [u8]],
    pub clock: ClockValues,
    /// Of all draws of the run.
    pub seed: u64,
}

/// The first numbers of a step that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// The launch that wrote it.
    pub launch: usize,
    pub buffer: BufferId,
    /// The element of the buffer.
    pub element: usize,
    pub what: Fault,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nan,
    Infinity,
    /// Programs also make it on purpose, to mask.
    MinusInfinity,
}

/// Bytes beside the plan's: the variables and the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMemory {
    pub constants: usize,
    pub scratch: usize,
    /// What is kept of variables.
    pub kept: usize,
    pub code: usize,
}

/// Which memory a place is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    Variables,
    Arena,
    Constants,
    Scratch,
    Kept,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub region: Region,
    pub offset: usize,
}

/// A buffer that is written before or read after the step.
struct Port {
    number: u32,
    place: Place,
    bytes: usize,
    dtype: DType,
}

/// A compiled step.
pub struct Executable {
    code: Code,
    pool: Arc<Pool>,
    tasks: Vec<Task>,
    origins: Vec<Origin>,
    /// What each launch writes, for checks: the buffer, its place and length.
    written: Vec<Vec<(BufferId, Place, usize, DType)>>,
    arguments: Arguments,
    constants: Block,
    scratch: Block,
    kept: Block,
    keeps: Vec<Keep>,
    /// The variables that a step writes.
    changes: Vec<VarId>,
    fields: Vec<Port>,
    clocks: Vec<(Clock, Place)>,
    keys: Vec<Place>,
    values: Vec<Port>,
    var_bytes: usize,
    arena_bytes: usize,
    running: usize,
}

// SAFETY: the raw pointers are into memory that the executable owns or is given for the length of a call.
unsafe impl Send for Executable {}

impl Executable {
    /// Compiles the plan's kernels for this machine and resolves everything but the addresses of the variables and the
    /// arena.
    pub fn load(plan: &Plan, layout: &VarLayout, pool: Arc<Pool>) -> Result<Executable, Box<Diagnostic>> {
        let schedule = &plan.schedule;
        let mut places = Vec::with_capacity(schedule.buffers.len());
        let mut constants = launch::Constants::default();
        for (i, buffer) in schedule.buffers.iter().enumerate() {
            let (region, offset, limit) = match &buffer.kind {
                BufferKind::Var(var) => {
                    let offset = layout.offsets.get(var.0 as usize).copied();
                    let offset = offset.ok_or_else(|| internal(format!("variable {} has no place", var.0)))?;
                    (Region::Variables, offset, layout.bytes)
                }
                BufferKind::Constant(bytes) => {
                    if bytes.len() != buffer.bytes() {
                        return Err(internal(format!("constant {i} has {} bytes", bytes.len())));
                    }
                    let place = constants.add(bytes);
                    (place.region, place.offset, constants.bytes())
                }
                BufferKind::Kept(_) => {
                    let offset = plan.offsets.get(i).copied();
                    let offset = offset.ok_or_else(|| internal(format!("buffer {i} has no place")))?;
                    (Region::Kept, offset, plan.kept_bytes)
                }
                _ => {
                    let offset = plan.offsets.get(i).copied();
                    let offset = offset.ok_or_else(|| internal(format!("buffer {i} has no place")))?;
                    (Region::Arena, offset, plan.arena_bytes)
                }
            };
            if offset % ALIGN != 0 || offset + buffer.bytes() > limit {
                return Err(internal(format!("buffer {i} of {} bytes is at {offset} of {limit}", buffer.bytes())));
            }
            places.push(Place { region, offset });
        }

        let target = Target::host(Optimize::Speed)?;
        let (kernels, requests) = launch::requests(schedule)?;
        let kernels: Vec<_> = requests.iter().map(|&(kernel, entry)| (kernels[kernel], entry)).collect();
        let code = cpu::compile(&target, &kernels)?;
        let mut maker = launch::Maker::new(plan, &places, &requests, &code, pool.threads(), &mut constants);
        let mut tasks = Vec::with_capacity(schedule.launches.len());
        for launch in &schedule.launches {
            tasks.push(maker.task(launch)?);
        }
        let (arguments, scratch, keeps) = maker.finish();
        let written: Vec<Vec<_>> = schedule
            .launches
            .iter()
            .map(|launch| {
                let buffers = crate::plan::written(schedule, &launch.work);
                let entry = |id: BufferId| {
                    let buffer = &schedule.buffers[id.0 as usize];
                    (id, places[id.0 as usize], buffer.len, buffer.dtype)
                };
                buffers.into_iter().map(entry).collect()
            })
            .collect();

        let changed = |(id, ..): &(BufferId, Place, usize, DType)| match schedule.buffers[id.0 as usize].kind {
            BufferKind::Var(var) => Some(var),
            _ => None,
        };
        let mut changes: Vec<VarId> = written.iter().flatten().filter_map(changed).collect();
        changes.sort();
        changes.dedup();

        let ports = |pick: &dyn Fn(&BufferKind) -> Option<u32>| -> Vec<Port> {
            let buffers = schedule.buffers.iter().zip(&places);
            let port = |(b, &place): (&crate::plan::Buffer, &Place)| {
                Some(Port { number: pick(&b.kind)?, place, bytes: b.bytes(), dtype: b.dtype })
            };
            buffers.filter_map(port).collect()
        };
        let fields = ports(&|k| if let BufferKind::Field(i) = k { Some(*i) } else { None });
        let mut values = ports(&|k| if let BufferKind::Value(i) = k { Some(*i) } else { None });
        values.sort_by_key(|p| p.number);
        let mut clocks = Vec::new();
        let mut keys = Vec::new();
        for (buffer, &place) in schedule.buffers.iter().zip(&places) {
            match buffer.kind {
                BufferKind::Clock(clock) if buffer.dtype == DType::F32 && buffer.len == 1 => {
                    clocks.push((clock, place))
                }
                BufferKind::Key if buffer.dtype == DType::I32 && buffer.len == 4 => keys.push(place),
                BufferKind::Clock(_) | BufferKind::Key => return Err(internal("a clock or key of another type")),
                _ => {}
            }
        }
        Ok(Executable {
            code,
            pool,
            tasks,
            origins: schedule.launches.iter().map(|l| l.origin).collect(),
            written,
            arguments,
            constants: constants.block(),
            scratch: Block::new(scratch),
            kept: Block::new(plan.kept_bytes),
            keeps,
            changes,
            fields,
            clocks,
            keys,
            values,
            var_bytes: layout.bytes,
            arena_bytes: plan.arena_bytes,
            running: 0,
        })
    }

    /// Executes one step.
    pub fn run(&mut self, vars: &mut VarMemory, arena: &mut Arena, inputs: &StepInputs) -> Result<(), Box<Diagnostic>> {
        self.prepare(vars, arena, inputs)?;
        for launch in 0..self.tasks.len() {
            self.launch(launch);
        }
        Ok(())
    }

    /// Executes one step and notes when each launch began and ended.
    pub fn run_profiled(
        &mut self,
        vars: &mut VarMemory,
        arena: &mut Arena,
        inputs: &StepInputs,
        times: &mut Vec<[Instant; 2]>,
    ) -> Result<(), Box<Diagnostic>> {
        self.prepare(vars, arena, inputs)?;
        for launch in 0..self.tasks.len() {
            let begin = Instant::now();
            self.launch(launch);
            times.push([begin, Instant::now()]);
        }
        Ok(())
    }

    /// Executes one step and looks through everything that each launch writes: the first NaN or infinity, or, if there is
    /// none but minus infinities, the first of those. A launch whose inputs were finite made it. Slow.
    pub fn run_checked(
        &mut self,
        vars: &mut VarMemory,
        arena: &mut Arena,
        inputs: &StepInputs,
    ) -> Result<Option<NotFinite>, Box<Diagnostic>> {
        self.prepare(vars, arena, inputs)?;
        let (mut first, mut masked) = (None, None);
        for launch in 0..self.tasks.len() {
            self.launch(launch);
            for &(buffer, place, len, dtype) in &self.written[launch] {
                if first.is_some() {
                    break;
                }
                let (region, bytes) = match place.region {
                    Region::Variables => (vars.block.bytes(), len * dtype.bytes()),
                    Region::Arena => (arena.block.bytes(), len * dtype.bytes()),
                    _ => continue,
                };
                let found = scan(&region[place.offset..place.offset + bytes], dtype);
                let report =
                    |(element, what)| NotFinite { launch, buffer, element, what, origin: self.origins[launch] };
                match found {
                    Some((_, Fault::MinusInfinity)) => masked = masked.or(found.map(report)),
                    Some(_) => first = found.map(report),
                    None => {}
                }
            }
        }
        Ok(first.or(masked))
    }

    /// The bytes of a result of the last step on this arena; none if there is no such result.
    pub fn value<'a>(&self, arena: &'a Arena, number: u32) -> Option<&'a [u8]> {
        let port = self.values.iter().find(|p| p.number == number)?;
        arena.block.bytes().get(port.place.offset..port.place.offset + port.bytes)
    }

    /// The first element of a result as a number.
    pub fn scalar(&self, arena: &Arena, number: u32) -> Option<f64> {
        let bytes = self.value(arena, number)?;
        let dtype = self.values.iter().find(|p| p.number == number)?.dtype;
        let n = |len: usize| bytes.get(..len);
        Some(match dtype {
            DType::Bool | DType::U8 => n(1)?[0] as f64,
            DType::I8 => n(1)?[0] as i8 as f64,
            DType::I32 => i32::from_le_bytes(n(4)?.try_into().ok()?) as f64,
            DType::I64 => i64::from_le_bytes(n(8)?.try_into().ok()?) as f64,
            DType::F32 => f32::from_le_bytes(n(4)?.try_into().ok()?) as f64,
            DType::F64 => f64::from_le_bytes(n(8)?.try_into().ok()?),
            DType::F16 | DType::BF16 => half::number(u16::from_le_bytes(n(2)?.try_into().ok()?), dtype),
        })
    }

    /// Number of results.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Number of launches of a step.
    pub fn launches(&self) -> usize {
        self.tasks.len()
    }

    /// What the launch is for.
    pub fn origin(&self, launch: usize) -> Option<Origin> {
        self.origins.get(launch).copied()
    }

    /// The launch that runs, or ran last.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Pieces that the launch is cut into; none for a runtime kernel, which cuts by itself.
    pub fn pieces(&self, launch: usize) -> Option<usize> {
        self.tasks.get(launch)?.pieces()
    }

    /// Bytes of the executable itself.
    pub fn own_memory(&self) -> OwnMemory {
        OwnMemory {
            constants: self.constants.len(),
            scratch: self.scratch.len(),
            kept: self.kept.len(),
            code: self.code.bytes(),
        }
    }

    /// Checks the memory, resolves addresses if they are new, and writes the inputs.
    fn prepare(&mut self, vars: &mut VarMemory, arena: &mut Arena, inputs: &StepInputs) -> Result<(), Box<Diagnostic>> {
        if vars.bytes() != self.var_bytes || arena.bytes() < self.arena_bytes {
            return Err(internal(format!(
                "{} bytes of variables and an arena of {} for a plan of {} and {}",
                vars.bytes(),
                arena.bytes(),
                self.var_bytes,
                self.arena_bytes
            )));
        }
        for port in &self.fields {
            let given = inputs.fields.get(port.number as usize).map(|f| f.len());
            if given != Some(port.bytes) {
                let given = given.map_or("absent".to_string(), |n| format!("{n} bytes"));
                return Err(internal(format!("field {} is {given}, not {} bytes", port.number, port.bytes)));
            }
        }
        let own = [&self.constants, &self.scratch, &self.kept].map(Block::pointer);
        self.arguments.bind([vars.block.pointer(), arena.block.pointer(), own[0], own[1], own[2]]);
        for keep in &mut self.keeps {
            let version = vars.version(keep.var);
            if keep.made_of != version {
                // SAFETY: all arguments are bound to memory that is large enough.
                unsafe { keep.make(&self.arguments, &self.pool) };
                keep.made_of = version;
            }
        }
        self.changes.iter().for_each(|var| vars.changed(*var));
        let memory = arena.block.bytes_mut();
        let mut put =
            |place: Place, bytes: &[u8]| memory[place.offset..place.offset + bytes.len()].copy_from_slice(bytes);
        for port in &self.fields {
            put(port.place, inputs.fields[port.number as usize]);
        }
        let clock = &inputs.clock;
        for &(which, place) in &self.clocks {
            let number = match which {
                Clock::Step => clock.step,
                Clock::Epoch => clock.epoch,
                Clock::Steps => clock.steps,
                Clock::EpochSteps => clock.epoch_steps,
            };
            put(place, &(number as f32).to_le_bytes());
        }
        for &place in &self.keys {
            // Low and high halves of the seed, then of the step.
            put(place, &inputs.seed.to_le_bytes());
            put(Place { offset: place.offset + 8, ..place }, &clock.step.to_le_bytes());
        }
        Ok(())
    }

    fn launch(&mut self, launch: usize) {
        self.running = launch;
        // SAFETY: `prepare` has bound all arguments to memory that is large enough (checked when loading and there) and
        // stays borrowed for the whole step; the code is alive.
        unsafe { self.tasks[launch].run(&self.arguments, &self.pool) }
    }
}

/// The first element that is no number or infinite; minus infinity only if there is nothing else.
fn scan(bytes: &[u8], dtype: DType) -> Option<(usize, Fault)> {
    fn search(values: impl Iterator<Item = f64>) -> Option<(usize, Fault)> {
        let mut masked = None;
        for (i, v) in values.enumerate().filter(|(_, v)| !v.is_finite()) {
            if v == f64::NEG_INFINITY {
                masked = masked.or(Some((i, Fault::MinusInfinity)));
            } else {
                return Some((i, if v.is_nan() { Fault::Nan } else { Fault::Infinity }));
            }
        }
        masked
    }
    match dtype {
        DType::F32 => search(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64)),
        DType::F64 => {
            search(bytes.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])))
        }
        DType::F16 | DType::BF16 => {
            search(bytes.chunks_exact(2).map(|b| half::number(u16::from_le_bytes([b[0], b[1]]), dtype)))
        }
        _ => None,
    }
}

/// The first element that is no number or infinite, as [`scan`] finds it.
pub(super) fn first_not_finite(bytes: &[u8], dtype: DType) -> Option<f64> {
    scan(bytes, dtype).map(|(_, fault)| match fault {
        Fault::Nan => f64::NAN,
        Fault::Infinity => f64::INFINITY,
        Fault::MinusInfinity => f64::NEG_INFINITY,
    })
}

/// The kernels of all work, each with the entry that it is called by.
pub(super) fn entries(work: &Work) -> Vec<(usize, Entry)> {
    match work {
        Work::Loops { kernel, .. } => vec![(*kernel, Entry::Range)],
        Work::Matmul { epilogue, .. } | Work::Conv { epilogue, .. } => {
            epilogue.iter().map(|e| (e.kernel, Entry::Tile)).collect()
        }
        // Its body's are numbered apart.
        Work::Repeat(_) => vec![],
    }
}
