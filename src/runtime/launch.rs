//! One launch of a plan, prepared. In: the launch, the places of all buffers, the machine code. Out: a `Task`, which runs
//! over the pointers of `Arguments` without looking anything up.

use std::cell::Cell;
use std::ops::Range;

use super::arena::{ALIGN, Block};
use super::cost;
use super::executable::{Place, Region, entries};
use super::kernels::conv::Conv2d;
use super::kernels::gemm::{Epilogue, Matmul, READS, Read, matmul_f64};
use super::threads::{Pool, part};
use super::work::{conv, internal, product, view};
use crate::codegen::cpu::{Code, Entry, RangeFn, TileFn, outer_loop};
use crate::codegen::loops::{Access, Expr, Kernel, LoopKind, Stmt, verify};
use crate::diag::{Diagnostic, codes};
use crate::ops::{DType, VarId};
use crate::plan::{Buffer, BufferId, BufferKind, ConvPass, EpilogueWork, Lanes, Launch, Operand, Plan, Schedule, Work};

/// A kernel that takes less runs on the calling thread, in nanoseconds.
const WORTH_THREADS: f64 = 8_000.0;
/// A piece takes at least this long, in nanoseconds.
const PIECE: f64 = 2_500.0;
/// Pieces a thread: more than one, so that a thread that was late does less.
const PIECES_A_THREAD: usize = 4;
/// Iterations of a vector loop are cut at multiples of this: no two pieces write to one cache line.
const VECTOR_UNIT: usize = 64;

/// Index of a pointer in [`Arguments`].
pub(super) type Slot = usize;

/// All pointers of all launches, one after the other.
pub(super) struct Arguments {
    places: Vec<Place>,
    /// Those that move from step to step of a scan are back where they began when it is done.
    pointers: Vec<Cell<*mut u8>>,
    /// Where the regions begin for the present pointers.
    bases: Bases,
}

/// Where the regions begin: variables, arena, constants, scratch, what is kept.
pub(super) type Bases = [*mut u8; 5];

impl Arguments {
    /// Makes the pointers those into regions that begin here.
    pub fn bind(&mut self, bases: Bases) {
        if self.bases == bases {
            return;
        }
        for (pointer, place) in self.pointers.iter().zip(&self.places) {
            let base = match place.region {
                Region::Variables => bases[0],
                Region::Arena => bases[1],
                Region::Constants => bases[2],
                Region::Scratch => bases[3],
                Region::Kept => bases[4],
            };
            pointer.set(base.wrapping_add(place.offset));
        }
        self.bases = bases;
    }

    fn at(&self, slot: Slot) -> *mut u8 {
        self.pointers[slot].get()
    }

    /// The pointers from a slot on, as code expects them.
    fn from(&self, slot: Slot) -> *const *mut u8 {
        // A cell is laid out like what is in it.
        self.pointers[slot..].as_ptr().cast()
    }

    /// Moves pointers by so many of their strides.
    fn shift(&self, moving: &[(Slot, usize)], by: isize) {
        for &(slot, stride) in moving {
            let pointer = &self.pointers[slot];
            pointer.set(pointer.get().wrapping_offset(by * stride as isize));
        }
    }
}

/// Tile code and its arguments.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    function: TileFn,
    args: Slot,
    reads: [Option<Read>; READS],
    first_row: usize,
}

pub(super) enum Task {
    Range {
        function: RangeFn,
        args: Slot,
        extent: usize,
        unit: usize,
        pieces: usize,
    },
    /// Some iterations, on the calling thread.
    Rows {
        function: RangeFn,
        args: Slot,
        iterations: Range<usize>,
    },
    Matmul {
        shape: Matmul,
        a: Slot,
        b: Slot,
        c: Slot,
        scratch: Slot,
        tile: Option<Tile>,
        /// `b` is packed.
        packed: bool,
    },
    /// In double precision, by plain loops.
    Matmul64 {
        shape: Matmul,
        a: Slot,
        b: Slot,
        c: Slot,
        tile: Option<Tile>,
    },
    Repeat {
        count: usize,
        reverse: bool,
        /// Copied before the first step: from, to, bytes.
        starts: Vec<(Slot, Slot, usize)>,
        /// Packed before the first step: the right operands of these products, from, to.
        packs: Vec<(Matmul, Slot, Slot)>,
        /// Each goes through all steps by itself.
        lanes: Vec<Lane>,
    },
    /// In double precision, by plain loops.
    Conv64 {
        pass: ConvPass,
        shape: Conv2d,
        inputs: [Slot; 2],
        output: Slot,
    },
    Conv {
        pass: ConvPass,
        shape: Conv2d,
        inputs: [Slot; 2],
        output: Slot,
        scratch: Slot,
        tile: Option<Tile>,
        /// The second input is what is kept of the weights.
        kept: bool,
    },
}

/// What is kept of a variable: made when the variable has changed.
pub(super) struct Keep {
    pub var: VarId,
    shape: Kept,
    from: Slot,
    to: Slot,
    /// The [version](super::arena::VarMemory::version) of the variable that it was made of.
    pub made_of: u64,
}

enum Kept {
    Operand(Matmul),
    Weights(Conv2d),
}

impl Keep {
    /// # Safety
    /// As for [`Task::run`].
    pub unsafe fn make(&self, arguments: &Arguments, pool: &Pool) {
        let (from, to) = (arguments.at(self.from).cast::<f32>().cast_const(), arguments.at(self.to));
        // SAFETY: promised by the caller; sizes were checked when loading.
        unsafe {
            match &self.shape {
                Kept::Operand(product) => product.pack(pool, from, to),
                Kept::Weights(conv) => conv.keep(pool, from, to),
            }
        }
    }
}

/// What a part of the rows does at each step; or all of them, where they meet.
pub(super) struct Lane {
    pub tasks: Vec<Task>,
    /// Pointers that move from place to place, with the bytes that they move by. No other lane has them.
    pub moving: Vec<(Slot, usize)>,
}

/// Pointers that lanes share, though each moves its own.
#[derive(Clone, Copy)]
struct SharedArguments<'a>(&'a Arguments);

// SAFETY: a lane only looks at and moves pointers of its own while lanes run.
unsafe impl Sync for SharedArguments<'_> {}

impl Lane {
    /// # Safety
    /// As for [`Task::run`].
    unsafe fn run(&self, count: usize, reverse: bool, arguments: &Arguments, pool: &Pool) {
        let last = count.saturating_sub(1) as isize;
        let (first, by) = if reverse { (last, -1) } else { (0, 1) };
        arguments.shift(&self.moving, first);
        for step in 0..count {
            if step > 0 {
                arguments.shift(&self.moving, by);
            }
            // SAFETY: promised by the caller.
            self.tasks.iter().for_each(|task| unsafe { task.run(arguments, pool) });
        }
        arguments.shift(&self.moving, -first - by * last);
    }
}

/// Pointers that pieces share.
#[derive(Clone, Copy)]
struct Shared(*const *mut u8);

// SAFETY: pieces of one launch write to distinct elements, and to nothing that another reads.
unsafe impl Sync for Shared {}

impl Task {
    /// # Safety
    /// The arguments are bound to memory as large as the plan says, which nobody else uses meanwhile, and the code lives.
    pub unsafe fn run(&self, arguments: &Arguments, pool: &Pool) {
        let epilogue = |tile: &Option<Tile>| {
            tile.map(|t| Epilogue {
                function: t.function,
                args: arguments.from(t.args),
                reads: t.reads,
                first_row: t.first_row,
            })
        };
        // SAFETY: promised by the caller; the kernels passed the verifier, and sizes were checked when loading.
        unsafe {
            match self {
                Task::Range { function, args, extent, pieces: 1, .. } => function(arguments.from(*args), 0, *extent),
                Task::Range { function, args, extent, unit, pieces } => {
                    let (function, args) = (*function, Shared(arguments.from(*args)));
                    let units = extent.div_ceil(*unit);
                    pool.run(*pieces, &|piece| {
                        let args = &args;
                        let begin = part(units, *pieces, piece) * unit;
                        let end = (part(units, *pieces, piece + 1) * unit).min(*extent);
                        function(args.0, begin, end)
                    });
                }
                Task::Rows { function, args, iterations } => {
                    function(arguments.from(*args), iterations.start, iterations.end)
                }
                Task::Matmul { shape, a, b, c, scratch, tile, packed } => {
                    let [a, b, c, scratch] = [a, b, c, scratch].map(|slot| arguments.at(*slot));
                    let epilogue = epilogue(tile);
                    match packed {
                        true => shape.run_packed(pool, a.cast(), b, c.cast(), scratch, epilogue),
                        false => shape.run(pool, a.cast(), b.cast(), c.cast(), scratch, epilogue),
                    }
                }
                Task::Matmul64 { shape, a, b, c, tile } => {
                    matmul_f64(shape, pool, arguments.at(*a).cast(), arguments.at(*b).cast(), arguments.at(*c).cast());
                    if let Some(tile) = tile {
                        for batch in 0..shape.batch {
                            (tile.function)(arguments.from(tile.args), batch, 0, shape.m, 0, shape.n);
                        }
                    }
                }
                Task::Repeat { count, reverse, starts, packs, lanes } => {
                    for &(from, to, bytes) in starts {
                        std::ptr::copy(arguments.at(from).cast_const(), arguments.at(to), bytes);
                    }
                    for (shape, from, to) in packs {
                        shape.pack(pool, arguments.at(*from).cast(), arguments.at(*to));
                    }
                    match &lanes[..] {
                        [lane] => lane.run(*count, *reverse, arguments, pool),
                        lanes => {
                            let shared = SharedArguments(arguments);
                            pool.run(lanes.len(), &|i| {
                                let shared = &shared;
                                lanes[i].run(*count, *reverse, shared.0, pool)
                            })
                        }
                    }
                }
                Task::Conv64 { pass, shape, inputs, output } => {
                    let [x, y] = inputs.map(|i| arguments.at(i).cast::<f64>().cast_const());
                    let out = arguments.at(*output).cast();
                    match pass {
                        ConvPass::Forward => shape.forward_f64(pool, x, y, out),
                        ConvPass::InputGrad => shape.input_grad_f64(pool, x, y, out),
                        ConvPass::WeightGrad => shape.weight_grad_f64(pool, x, y, out),
                    }
                }
                Task::Conv { shape, inputs, output, scratch, tile, kept: true, .. } => {
                    let [x, kept] = inputs.map(|i| arguments.at(i).cast_const());
                    let (out, scratch) = (arguments.at(*output).cast(), arguments.at(*scratch));
                    shape.forward_kept(pool, x.cast(), kept, out, scratch, epilogue(tile))
                }
                Task::Conv { pass, shape, inputs, output, scratch, tile, .. } => {
                    let [x, y] = inputs.map(|i| arguments.at(i).cast::<f32>().cast_const());
                    let (out, scratch) = (arguments.at(*output).cast(), arguments.at(*scratch));
                    match pass {
                        ConvPass::Forward => shape.forward(pool, x, y, out, scratch, epilogue(tile)),
                        ConvPass::InputGrad => shape.input_grad(pool, x, y, out, scratch),
                        ConvPass::WeightGrad => shape.weight_grad(pool, x, y, out, scratch),
                    }
                }
            }
        }
    }

    pub fn pieces(&self) -> Option<usize> {
        match self {
            Task::Range { pieces, .. } => Some(*pieces),
            _ => None,
        }
    }
}

/// Kernels, and which of them is called how.
type Requests<'s> = (Vec<&'s Kernel>, Vec<(usize, Entry)>);

/// The machine code that a schedule needs: all kernels, and each that is called with each entry once, in order.
pub(super) fn requests(schedule: &Schedule) -> Result<Requests<'_>, Box<Diagnostic>> {
    let (mut kernels, mut list) = (Vec::new(), Vec::new());
    collect(schedule, &mut kernels, &mut list);
    list.sort();
    list.dedup();
    for &(kernel, _) in &list {
        let kernel = kernels.get(kernel).ok_or_else(|| internal(format!("there is no kernel {kernel}")))?;
        verify(kernel).map_err(internal)?;
    }
    Ok((kernels, list))
}

/// A schedule's own kernels are numbered first, then those of its bodies in the order of launches.
fn collect<'s>(schedule: &'s Schedule, kernels: &mut Vec<&'s Kernel>, list: &mut Vec<(usize, Entry)>) {
    let base = kernels.len();
    kernels.extend(&schedule.kernels);
    for launch in &schedule.launches {
        list.extend(entries(&launch.work).into_iter().map(|(kernel, entry)| (base + kernel, entry)));
        if let Work::Repeat(repeat) = &launch.work {
            collect(&repeat.body.schedule, kernels, list);
        }
    }
}

/// Makes tasks, and collects their arguments.
pub(super) struct Maker<'a> {
    pub(super) plan: &'a Plan,
    pub(super) places: Vec<Spot>,
    requests: &'a [(usize, Entry)],
    code: &'a Code,
    threads: usize,
    arguments: Vec<Place>,
    /// Bytes of scratch memory, which launches use one after the other.
    scratch: usize,
    /// The number of the plan's first kernel, and of the next body's.
    pub(super) base: usize,
    pub(super) next: usize,
    /// Scans around the plan at hand.
    pub(super) depth: usize,
    /// Pointers that move with a scan that is being made: its depth, and the bytes that they move by.
    pub(super) moving: Vec<(usize, Slot, usize)>,
    /// The lane of a scan that is being made.
    pub(super) lane: Option<(Lanes, usize)>,
    /// What the scan that is being made packs before its first step.
    pub(super) packs: Vec<(Matmul, Slot, Slot)>,
    keeps: Vec<Keep>,
    pub(super) constants: &'a mut Constants,
}

/// A place, which may move with the steps of scans: the depth of each, and bytes.
#[derive(Clone)]
pub(super) struct Spot {
    pub place: Place,
    pub moves: Vec<(usize, usize)>,
}

/// Constants, one after the other.
#[derive(Default)]
pub(super) struct Constants {
    list: Vec<(usize, Vec<u8>)>,
    bytes: usize,
}

impl Constants {
    /// Finds room for a constant.
    pub fn add(&mut self, bytes: &[u8]) -> Place {
        let offset = self.bytes;
        self.list.push((offset, bytes.to_vec()));
        self.bytes += bytes.len().next_multiple_of(ALIGN);
        Place { region: Region::Constants, offset }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn block(&self) -> Block {
        let mut block = Block::new(self.bytes);
        for (offset, bytes) in &self.list {
            block.bytes_mut()[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        block
    }
}

impl<'a> Maker<'a> {
    pub fn new(
        plan: &'a Plan,
        places: &[Place],
        requests: &'a [(usize, Entry)],
        code: &'a Code,
        threads: usize,
        constants: &'a mut Constants,
    ) -> Maker<'a> {
        let places = places.iter().map(|place| Spot { place: *place, moves: Vec::new() }).collect();
        let next = plan.schedule.kernels.len();
        let (arguments, moving) = (Vec::new(), Vec::new());
        let (scratch, base, depth, lane, packs) = (0, 0, 0, None, Vec::new());
        Maker {
            plan,
            places,
            requests,
            code,
            threads,
            arguments,
            scratch,
            base,
            next,
            depth,
            moving,
            lane,
            packs,
            keeps: Vec::new(),
            constants,
        }
    }

    /// The pointers, bytes of scratch memory, and what is kept of variables.
    pub fn finish(self) -> (Arguments, usize, Vec<Keep>) {
        let pointers = vec![Cell::new(std::ptr::null_mut()); self.arguments.len()];
        (Arguments { places: self.arguments, pointers, bases: [std::ptr::null_mut(); 5] }, self.scratch, self.keeps)
    }

    pub fn task(&mut self, launch: &'a Launch) -> Result<Task, Box<Diagnostic>> {
        match &launch.work {
            Work::Loops { kernel, args } => {
                let slot = self.kernel_args(*kernel, args)?;
                let number = self.request(*kernel, Entry::Range)?;
                let function = self.code.range(number).ok_or_else(|| internal("a kernel was not compiled"))?;
                let (extent, unit, pieces) = self.split(&self.plan.schedule.kernels[*kernel]);
                if let Some((lanes, lane)) = self.lane {
                    let begin = |lane: usize| extent / lanes.count * lane;
                    return Ok(Task::Rows { function, args: slot, iterations: begin(lane)..begin(lane + 1) });
                }
                Ok(Task::Range { function, args: slot, extent, unit, pieces })
            }
            Work::Matmul { .. } => self.matmul(&launch.work),
            Work::Repeat(repeat) => self.repeat(repeat),
            Work::Conv { pass, shape, inputs, output, epilogue, workspace, packed } => {
                let conv = conv(shape)?;
                if *pass != ConvPass::Forward && epilogue.is_some() {
                    return Err(internal("an epilogue of a convolution's gradient"));
                }
                let out = conv.out_size();
                let x = conv.batch * conv.in_channels * conv.in_size[0] * conv.in_size[1];
                let y = conv.batch * conv.out_channels * out[0] * out[1];
                let w = conv.out_channels * (conv.in_channels / conv.groups) * conv.kernel[0] * conv.kernel[1];
                let (lens, len, need) = match pass {
                    ConvPass::Forward if packed.is_some() => ([x, w], y, conv.workspace_kept(self.threads)),
                    ConvPass::Forward => ([x, w], y, conv.workspace_forward(self.threads)),
                    ConvPass::InputGrad => ([y, w], x, conv.workspace_input_grad(self.threads)),
                    ConvPass::WeightGrad => ([x, y], w, conv.workspace_weight_grad(self.threads)),
                };
                let buffer = self.plan.schedule.buffers.get(output.0 as usize);
                let dtype = buffer.map_or(DType::F32, |b| b.dtype);
                let weights = inputs[1];
                let mut inputs = [self.tensor(inputs[0], dtype, lens[0])?, self.tensor(inputs[1], dtype, lens[1])?];
                let output = self.tensor(*output, dtype, len)?;
                match (dtype, epilogue) {
                    (DType::F32, _) => {}
                    (DType::F64, None) => return Ok(Task::Conv64 { pass: *pass, shape: conv, inputs, output }),
                    _ => return Err(unsupported(format!("a convolution of {dtype}"))),
                }
                let tile = self.tile(epilogue)?;
                let scratch = self.workspace(*workspace, need)?;
                if let Some(packed) = packed {
                    let to = self.tensor(*packed, DType::U8, conv.kept_bytes())?;
                    self.keep(weights, Kept::Weights(conv), inputs[1], to)?;
                    inputs[1] = to;
                }
                Ok(Task::Conv { pass: *pass, shape: conv, inputs, output, scratch, tile, kept: packed.is_some() })
            }
        }
    }

    fn matmul(&mut self, work: &Work) -> Result<Task, Box<Diagnostic>> {
        let Work::Matmul { dtype, batch, m, n, k, a: left, b: right, c, epilogue, workspace, packed } = work else {
            return Err(internal("no product"));
        };
        let mut shape = product(*batch, *m, *n, *k, view(left)?, view(right)?);
        let a = self.operand(left, *dtype, [*batch, *m, *k])?;
        let b = self.operand(right, *dtype, [*batch, *k, *n])?;
        let c = self.tensor(*c, *dtype, batch * m * n)?;
        let mut tile = self.tile(epilogue)?;
        if *dtype == DType::F64 {
            return Ok(Task::Matmul64 { shape, a, b, c, tile });
        }
        if *dtype != DType::F32 {
            return Err(unsupported(format!("a matrix product of {dtype}")));
        }
        if let Some((lanes, lane)) = self.lane {
            shape.m = m / lanes.count;
            let row = lane * shape.m;
            self.arguments[a].offset += row * shape.a.row_stride * dtype.bytes();
            self.arguments[c].offset += row * n * dtype.bytes();
            if let Some(tile) = &mut tile {
                tile.first_row = row;
            }
        }
        let threads = if self.lane.is_some() { 1 } else { self.threads };
        let need = if packed.is_some() { shape.workspace_packed(threads) } else { shape.workspace(threads) };
        let scratch = match (self.lane, workspace) {
            (None, _) => self.workspace(*workspace, need)?,
            (Some((lanes, lane)), Some(id)) => {
                let each = self.plan.schedule.buffers.get(id.0 as usize).map_or(0, |b| b.bytes() / lanes.count);
                if each < need {
                    return Err(internal(format!("{each} bytes of scratch for a lane that needs {need}")));
                }
                let slot = self.tensor(*id, DType::U8, each * lanes.count)?;
                self.arguments[slot].offset += each * lane;
                slot
            }
            (Some(_), None) if need == 0 => c,
            _ => return Err(internal("a lane without scratch memory")),
        };
        let Some(packed) = packed else {
            return Ok(Task::Matmul { shape, a, b, c, scratch, tile, packed: false });
        };
        let to = self.tensor(*packed, DType::U8, shape.packed_bytes())?;
        if let Some(Buffer { kind: BufferKind::Kept(_), .. }) = self.plan.schedule.buffers.get(packed.0 as usize) {
            self.keep(right.buffer, Kept::Operand(shape), b, to)?;
        } else if self.lane.is_none_or(|(_, lane)| lane == 0) {
            // Lanes share it.
            self.packs.push((shape, b, to));
        }
        Ok(Task::Matmul { shape, a, b: to, c, scratch, tile, packed: true })
    }

    fn keep(&mut self, of: BufferId, shape: Kept, from: Slot, to: Slot) -> Result<(), Box<Diagnostic>> {
        let BufferKind::Var(var) = self.plan.schedule.buffers[of.0 as usize].kind else {
            return Err(internal(format!("buffer {} is kept and no variable", of.0)));
        };
        self.keeps.push(Keep { var, shape, from, to, made_of: 0 });
        Ok(())
    }

    fn request(&self, kernel: usize, entry: Entry) -> Result<usize, Box<Diagnostic>> {
        self.requests.binary_search(&(self.base + kernel, entry)).map_err(|_| internal("a kernel was not compiled"))
    }

    /// How the kernel's outermost loop is cut: its extent, the unit of cuts, the number of pieces.
    fn split(&self, kernel: &Kernel) -> (usize, usize, usize) {
        let Some((extent, kind)) = outer_loop(kernel) else { return (1, 1, 1) };
        let unit = if kind == LoopKind::Vector { VECTOR_UNIT } else { 1 };
        let time = cost::nanoseconds(kernel);
        if self.threads == 1 || time < WORTH_THREADS {
            return (extent, unit, 1);
        }
        let pieces = ((time / PIECE) as usize).min(PIECES_A_THREAD * self.threads).min(extent.div_ceil(unit));
        (extent, unit, pieces.max(1))
    }

    pub(super) fn slot(&mut self, spot: &Spot) -> Slot {
        let slot = self.arguments.len();
        self.arguments.push(spot.place);
        self.moving.extend(spot.moves.iter().map(|&(depth, by)| (depth, slot, by)));
        slot
    }

    /// A pointer for each of the kernel's buffers.
    fn kernel_args(&mut self, kernel: usize, args: &[BufferId]) -> Result<Slot, Box<Diagnostic>> {
        let plan = self.plan;
        let kernel = &plan.schedule.kernels[kernel];
        if kernel.buffers.len() != args.len() {
            return Err(internal(format!("{} arguments for {}", args.len(), kernel.name)));
        }
        let first = self.arguments.len();
        for (decl, arg) in kernel.buffers.iter().zip(args) {
            self.tensor(*arg, decl.dtype, decl.len)?;
        }
        Ok(first)
    }

    /// The pointer to a buffer with this many elements or more.
    fn tensor(&mut self, id: BufferId, dtype: DType, len: usize) -> Result<Slot, Box<Diagnostic>> {
        let buffer = self.plan.schedule.buffers.get(id.0 as usize);
        match buffer {
            Some(b) if b.dtype == dtype && b.len >= len => Ok(self.slot(&self.places[id.0 as usize].clone())),
            Some(b) => Err(internal(format!("buffer {} is {}[{}], not {dtype}[{len}]", id.0, b.dtype, b.len))),
            None => Err(internal(format!("there is no buffer {}", id.0))),
        }
    }

    /// The pointer to the first element of a view of these sizes.
    fn operand(&mut self, operand: &Operand, dtype: DType, sizes: [usize; 3]) -> Result<Slot, Box<Diagnostic>> {
        let last: usize = sizes.iter().zip(&operand.strides).map(|(n, s)| n.saturating_sub(1) * *s as usize).sum();
        // A view without elements points nowhere.
        let none = sizes.contains(&0);
        let slot = self.tensor(operand.buffer, dtype, if none { 0 } else { operand.offset + last + 1 })?;
        if !none {
            self.arguments[slot].offset += operand.offset * dtype.bytes();
        }
        Ok(slot)
    }

    /// The plan's workspace if it is large enough, else the executable's own scratch memory.
    fn workspace(&mut self, id: Option<BufferId>, bytes: usize) -> Result<Slot, Box<Diagnostic>> {
        if let Some(id) = id {
            let buffer = self.plan.schedule.buffers.get(id.0 as usize);
            let buffer = buffer.ok_or_else(|| internal(format!("there is no buffer {}", id.0)))?;
            if buffer.bytes() >= bytes {
                return Ok(self.slot(&self.places[id.0 as usize].clone()));
            }
        }
        self.scratch = self.scratch.max(bytes);
        Ok(self.slot(&Spot { place: Place { region: Region::Scratch, offset: 0 }, moves: Vec::new() }))
    }

    fn tile(&mut self, epilogue: &Option<EpilogueWork>) -> Result<Option<Tile>, Box<Diagnostic>> {
        let Some(epilogue) = epilogue else { return Ok(None) };
        let args = self.kernel_args(epilogue.kernel, &epilogue.args)?;
        let number = self.request(epilogue.kernel, Entry::Tile)?;
        let function = self.code.tile(number).ok_or_else(|| internal("an epilogue was not compiled"))?;
        let kernel = self.plan.schedule.kernels.get(epilogue.kernel);
        let reads = kernel.map_or([None; READS], tile_reads);
        Ok(Some(Tile { function, args, reads, first_row: 0 }))
    }
}

/// The tensors of words, as large as the result, that an epilogue reads and does not write.
fn tile_reads(kernel: &Kernel) -> [Option<Read>; READS] {
    let mut reads = [None; READS];
    let [Stmt::For { var: batch, body, .. }] = kernel.body.as_slice() else { return reads };
    let Some(Stmt::For { var: row, body, .. }) = body.last() else { return reads };
    let Some(Stmt::For { var: column, body, .. }) = body.last() else { return reads };
    let found = body.iter().filter_map(|stmt| {
        let Stmt::Let { expr: Expr::Load { buffer, index, guard, .. }, .. } = stmt else { return None };
        let decl = kernel.buffers.get(buffer.0 as usize)?;
        let whole = guard.is_empty() && index.values.is_empty() && index.stride(*column) == 1;
        if !whole || decl.access != Access::Read || decl.dtype.bytes() != 4 || index.stride(*row) == 0 {
            return None;
        }
        let bytes = |elements: i64| usize::try_from(elements * 4).ok();
        Some(Read {
            argument: buffer.0 as usize,
            offset: bytes(index.offset)?,
            batch_stride: bytes(index.stride(*batch))?,
            row_stride: bytes(index.stride(*row))?,
        })
    });
    for (place, read) in reads.iter_mut().zip(found) {
        *place = Some(read);
    }
    reads
}

fn unsupported(what: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::placeless(codes::TARGET, "an operation has no code for the CPU yet").note(what))
}
