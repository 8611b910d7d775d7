//! A plan as something that runs on a device. In: a plan, the layout of the variables, a device. Out: a [`Step`], whose launches go to
//! the device as one graph, captured when the step runs for the first time over a piece of memory.
//!
//! What comes from outside (fields, clock, key) lies in one block that one copy fills; small results lie in another that one copy
//! reads, when somebody asks. Nothing else waits for the device.

use super::compile::{Compiler, module_size, modules};
use super::device::{Device, Memory, Pinned};
use super::products::{Product, Shape, suited};
use super::work::calls;
use crate::codegen::cuda::{Grid, Source};
use crate::graph::Origin;
use crate::ops::{Clock, DType};
use crate::plan::written;
use crate::plan::{ALIGN, Buffer, BufferId, BufferKind, Launch, Plan, Repeat, Schedule, VarLayout, Work};
use crate::runtime::executable::StepInputs;
use crate::runtime::mode::Mode;
use cudarc::driver::sys::{CUfunction, CUgraph, CUgraphExec, CUmodule, CUstreamCaptureMode};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_uint, c_void};
use std::sync::Arc;

/// Results up to so many bytes are read together.
const SMALL: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    Variables,
    Arena,
    Constants,
    Inputs,
    Results,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    region: Region,
    offset: usize,
}

enum Action {
    Launch {
        function: usize,
        grid: Grid,
        args: Vec<Place>,
    },
    Copy {
        from: Place,
        to: Place,
        bytes: usize,
    },
    /// A product of this number by the library: both factors, and where the result goes.
    Product {
        number: usize,
        places: [Place; 3],
    },
}

/// What a launch of the plan became: a range of actions.
struct Part {
    origin: Origin,
    end: usize,
    written: Vec<(Place, usize, DType)>,
}

/// The first values of a step that are not finite.
pub struct NotFinite {
    pub origin: Origin,
    pub value: f64,
}

struct Loaded {
    device: Arc<Device>,
    modules: Vec<CUmodule>,
    functions: Vec<CUfunction>,
}

/// A field of the batch, a clock or the key in the block of inputs.
struct Port<K> {
    what: K,
    offset: usize,
    bytes: usize,
}

/// A compiled step.
pub struct Step {
    device: Arc<Device>,
    loaded: Loaded,
    products: Vec<Product>,
    /// What products of the library compute in, one after the other.
    scratch: Memory,
    actions: Vec<Action>,
    parts: Vec<Part>,
    constants: Memory,
    inputs: Memory,
    staging: [Pinned; 2],
    turn: usize,
    results: Memory,
    /// What was read of the results since the last step.
    seen: RefCell<Option<Vec<u8>>>,
    fields: Vec<Port<u32>>,
    clocks: Vec<Port<Clock>>,
    keys: Vec<Port<()>>,
    values: Vec<(u32, Place, usize, DType)>,
    var_bytes: usize,
    arena_bytes: usize,
    graph: Option<Graph>,
    pub mode: Mode,
}

struct Graph {
    exec: CUgraphExec,
    /// Where the variables and the arena were.
    over: [u64; 2],
}

/// A fault, at a place of the program where it is known.
pub struct Fault {
    pub message: String,
    pub origin: Option<Origin>,
}

impl From<String> for Fault {
    fn from(message: String) -> Fault {
        Fault { message, origin: None }
    }
}

/// A plan's functions and what is done with them, before anything is compiled.
#[derive(Default)]
pub struct Program {
    pub sources: Vec<Source>,
    known: HashMap<String, usize>,
    actions: Vec<Action>,
    parts: Vec<Part>,
    constants: Vec<u8>,
    /// The device whose library may take large products.
    library: Option<Arc<Device>>,
    shapes: Vec<Shape>,
    products: Vec<Product>,
}

/// Every function that a plan needs, each once, in order.
///
/// # Errors
/// What there is no kernel for, and where.
pub fn sources(plan: &Plan) -> Result<Vec<Source>, Fault> {
    let mut program = Program::default();
    let places = vec![Place { region: Region::Arena, offset: 0 }; plan.schedule.buffers.len()];
    program.schedule(&plan.schedule, &places)?;
    Ok(program.sources)
}

impl Program {
    fn constant(&mut self, bytes: &[u8]) -> Place {
        let offset = self.constants.len();
        self.constants.extend_from_slice(bytes);
        self.constants.resize(self.constants.len().next_multiple_of(ALIGN), 0);
        Place { region: Region::Constants, offset }
    }

    fn schedule(&mut self, schedule: &Schedule, places: &[Place]) -> Result<(), Fault> {
        for launch in &schedule.launches {
            self.launch(schedule, launch, places)?;
            let of = |id: BufferId| {
                let buffer = &schedule.buffers[id.0 as usize];
                (places[id.0 as usize], buffer.len, buffer.dtype)
            };
            let written = written(schedule, &launch.work).into_iter().map(of).collect();
            self.parts.push(Part { origin: launch.origin, end: self.actions.len(), written });
        }
        Ok(())
    }

    fn launch(&mut self, schedule: &Schedule, launch: &Launch, places: &[Place]) -> Result<(), Fault> {
        if let Work::Repeat(repeat) = &launch.work {
            return self.repeat(schedule, repeat, places);
        }
        let fault = |message: String| Fault { message, origin: Some(launch.origin) };
        if self.by_library(schedule, &launch.work, places).map_err(fault)? {
            return Ok(());
        }
        self.calls(schedule, &launch.work, places).map_err(fault)
    }

    /// Our own kernels for a piece of work.
    fn calls(&mut self, schedule: &Schedule, work: &Work, places: &[Place]) -> Result<(), String> {
        let unaligned = |id: &BufferId| places.get(id.0 as usize).is_none_or(|p| !p.offset.is_multiple_of(16));
        let aligned = !matches!(work, Work::Loops { args, .. } if args.iter().any(unaligned));
        for call in calls(schedule, work, aligned)? {
            let args = call.args.iter().map(|a| places.get(a.0 as usize).copied());
            let args = args.collect::<Option<Vec<_>>>().ok_or("an argument without a place")?;
            let grid = call.source.grid;
            let next = self.sources.len();
            let function = *self.known.entry(call.source.text().to_string()).or_insert(next);
            if function == next {
                self.sources.push(call.source);
            }
            self.actions.push(Action::Launch { function, grid, args });
        }
        Ok(())
    }

    /// Leaves a large product to the library; false if there is none, or if it does not take this one.
    fn by_library(&mut self, schedule: &Schedule, work: &Work, places: &[Place]) -> Result<bool, String> {
        let Some(device) = &self.library else { return Ok(false) };
        let Some((mut shape, matrices, epilogue)) = suited(work) else { return Ok(false) };
        let place = |(buffer, first): (BufferId, usize)| {
            let place = places.get(buffer.0 as usize).copied()?;
            let bytes = schedule.buffers.get(buffer.0 as usize)?.dtype.bytes();
            Some(Place { offset: place.offset + first * bytes, ..place })
        };
        let [Some(a), Some(b), Some(c)] = matrices.map(place) else {
            return Err("a matrix without a place".to_string());
        };
        let places_of = [a, b, c];
        shape.aligned &= places_of.iter().all(|p| p.offset.is_multiple_of(16));
        let number = match self.shapes.iter().position(|s| *s == shape) {
            Some(number) => number,
            None => {
                let Some(product) = Product::new(device, &shape) else { return Ok(false) };
                self.shapes.push(shape);
                self.products.push(product);
                self.products.len() - 1
            }
        };
        self.actions.push(Action::Product { number, places: places_of });
        if let Some(epilogue) = epilogue {
            // What else becomes of the result is a kernel of its own.
            let then = Work::Loops { kernel: epilogue.kernel, args: epilogue.args.clone() };
            self.calls(schedule, &then, places)?;
        }
        Ok(true)
    }

    /// The body's launches once for each step, over the pieces of that step.
    fn repeat(&mut self, schedule: &Schedule, repeat: &Repeat, places: &[Place]) -> Result<(), Fault> {
        let place = |id: BufferId| {
            places.get(id.0 as usize).copied().ok_or_else(|| Fault::from(format!("there is no buffer {}", id.0)))
        };
        for &(from, to) in &repeat.starts {
            let bytes = schedule.buffers.get(from.0 as usize).map_or(0, Buffer::bytes);
            self.actions.push(Action::Copy { from: place(from)?, to: place(to)?, bytes });
        }
        let workspace = repeat.workspace.map(place).transpose()?;
        let body = &repeat.body;
        let mut inner = Vec::new();
        let mut moving = Vec::new();
        for (i, buffer) in body.schedule.buffers.iter().enumerate() {
            inner.push(match &buffer.kind {
                BufferKind::Outer(n) => {
                    let binding = repeat.bindings.get(*n as usize);
                    let binding = binding.ok_or_else(|| Fault::from(format!("there is no binding {n}")))?;
                    moving.push((i, binding.stride * buffer.dtype.bytes()));
                    place(binding.buffer)?
                }
                BufferKind::Constant(bytes) => self.constant(bytes),
                _ => {
                    let mut spot = workspace.unwrap_or(Place { region: Region::Arena, offset: 0 });
                    spot.offset += body.offsets.get(i).copied().unwrap_or(0);
                    spot
                }
            });
        }
        for step in 0..repeat.count {
            let at = if repeat.reverse { repeat.count - 1 - step } else { step };
            let mut now = inner.clone();
            moving.iter().for_each(|&(i, by)| now[i].offset += at * by);
            // The parts of steps are told as the whole.
            let parts = self.parts.len();
            self.schedule(&body.schedule, &now)?;
            self.parts.truncate(parts);
        }
        Ok(())
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let d = &self.device;
        // SAFETY: loaded from this device; what is still running is waited for first.
        unsafe {
            let _ = d.enter();
            (d.driver.cuStreamSynchronize)(d.stream);
            for module in &self.modules {
                (d.driver.cuModuleUnload)(*module);
            }
        }
    }
}

fn load(device: &Arc<Device>, compiler: &Compiler, sources: &[Source]) -> Result<Loaded, String> {
    let codes = compiler.code(&modules(sources), device.arch)?;
    device.enter()?;
    let mut loaded = Loaded { device: device.clone(), modules: Vec::new(), functions: Vec::new() };
    for code in &codes {
        let mut module: CUmodule = std::ptr::null_mut();
        // SAFETY: the code is a whole CUBIN for this device, and the place for the answer is valid.
        let result = unsafe { (device.driver.cuModuleLoadData)(&mut module, code.as_ptr().cast::<c_void>()) };
        device.check(result, "load a module")?;
        loaded.modules.push(module);
    }
    for i in 0..sources.len() {
        let name = CString::new(format!("k{i}")).map_err(|e| e.to_string())?;
        let mut function: CUfunction = std::ptr::null_mut();
        let module = loaded.modules[i / module_size()];
        // SAFETY: the module is loaded, the name ends with a zero.
        let result = unsafe { (device.driver.cuModuleGetFunction)(&mut function, module, name.as_ptr()) };
        device.check(result, "find a function")?;
        loaded.functions.push(function);
    }
    Ok(loaded)
}

impl Step {
    /// Compiles a plan and takes the memory that only this step uses.
    ///
    /// # Errors
    /// What there is no kernel for, what the compiler says, or too little memory.
    pub fn load(plan: &Plan, layout: &VarLayout, device: &Arc<Device>, compiler: &Compiler) -> Result<Step, Fault> {
        let schedule = &plan.schedule;
        let library = device.products.is_some() && !Mode::from_environment().own_products;
        let mut program = Program { library: library.then(|| device.clone()), ..Program::default() };
        let mut places = Vec::new();
        let (mut inputs, mut results) = (0usize, 0usize);
        let (mut fields, mut clocks, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (i, buffer) in schedule.buffers.iter().enumerate() {
            let bytes = buffer.bytes();
            let mut input = || {
                let offset = inputs;
                inputs = (inputs + bytes).next_multiple_of(ALIGN);
                Place { region: Region::Inputs, offset }
            };
            let arena = Place { region: Region::Arena, offset: plan.offsets.get(i).copied().unwrap_or(0) };
            places.push(match &buffer.kind {
                BufferKind::Var(var) => {
                    let offset = layout.offsets.get(var.0 as usize).copied();
                    let offset = offset.ok_or_else(|| Fault::from(format!("variable {} has no place", var.0)))?;
                    Place { region: Region::Variables, offset }
                }
                BufferKind::Constant(bytes) => program.constant(bytes),
                BufferKind::Field(number) => {
                    let place = input();
                    fields.push(Port { what: *number, offset: place.offset, bytes });
                    place
                }
                BufferKind::Clock(clock) => {
                    let place = input();
                    clocks.push(Port { what: *clock, offset: place.offset, bytes });
                    place
                }
                BufferKind::Key => {
                    let place = input();
                    keys.push(Port { what: (), offset: place.offset, bytes });
                    place
                }
                BufferKind::Value(number) => {
                    let mut place = arena;
                    if bytes <= SMALL {
                        place = Place { region: Region::Results, offset: results };
                        results = (results + bytes).next_multiple_of(ALIGN);
                    }
                    values.push((*number, place, bytes, buffer.dtype));
                    place
                }
                BufferKind::Kept(_) => {
                    return Err(Fault::from(format!("buffer {i} is kept, which this target does not do")));
                }
                BufferKind::Temporary | BufferKind::Workspace | BufferKind::Packed | BufferKind::Outer(_) => arena,
            });
        }
        values.sort_by_key(|v| v.0);
        program.schedule(schedule, &places)?;
        let loaded = load(device, compiler, &program.sources)?;
        let constants = Memory::new(device, program.constants.len(), "the data of its constants")?;
        constants.write(0, &program.constants)?;
        let scratch = program.products.iter().map(|p| p.scratch).max().unwrap_or(0);
        Ok(Step {
            device: device.clone(),
            products: program.products,
            scratch: Memory::new(device, scratch, "the scratch memory of products")?,
            loaded,
            actions: program.actions,
            parts: program.parts,
            constants,
            inputs: Memory::new(device, inputs, "a batch")?,
            staging: [Pinned::new(device, inputs)?, Pinned::new(device, inputs)?],
            turn: 0,
            results: Memory::new(device, results, "the block of results")?,
            seen: RefCell::new(None),
            fields,
            clocks,
            keys,
            values,
            var_bytes: layout.bytes,
            arena_bytes: plan.arena_bytes,
            graph: None,
            mode: Mode::default(),
        })
    }

    /// Begins one step; only `checked` mode waits for it.
    ///
    /// # Errors
    /// A failure of the device, or inputs that do not fit.
    pub fn run(&mut self, vars: &Memory, arena: &Memory, inputs: &StepInputs) -> Result<(), Fault> {
        self.prepare(vars, arena, inputs)?;
        if self.mode.no_graph || self.mode.checked {
            return self.launch_all(vars, arena);
        }
        let over = [vars.at, arena.at];
        if self.graph.as_ref().is_none_or(|g| g.over != over) {
            self.forget_graph();
            self.graph = Some(Graph { exec: self.capture(vars, arena)?, over });
        }
        let Some(graph) = &self.graph else { return Ok(()) };
        // SAFETY: the graph was captured over memory that is still there.
        self.device
            .check(unsafe { (self.device.driver.cuGraphLaunch)(graph.exec, self.device.stream) }, "begin a step")?;
        Ok(())
    }

    /// One step, looking at everything that each launch writes: the first NaN or infinity, or, if there is none but minus
    /// infinities, the first of those.
    ///
    /// # Errors
    /// As for [`run`](Step::run).
    pub fn run_checked(
        &mut self,
        vars: &Memory,
        arena: &Memory,
        inputs: &StepInputs,
    ) -> Result<Option<NotFinite>, Fault> {
        self.prepare(vars, arena, inputs)?;
        let (mut first, mut masked) = (None, None);
        let mut begin = 0;
        for part in &self.parts {
            self.actions[begin..part.end].iter().try_for_each(|a| self.launch(a, vars, arena))?;
            begin = part.end;
            for &(place, len, dtype) in &part.written {
                if first.is_some() || !dtype.is_float() {
                    continue;
                }
                let mut bytes = vec![0; len * dtype.bytes()];
                self.region(place.region, vars, arena).read(place.offset, &mut bytes)?;
                let value = crate::runtime::executable::first_not_finite(&bytes, dtype);
                let found = value.map(|value| NotFinite { origin: part.origin, value });
                match value {
                    Some(v) if v == f64::NEG_INFINITY => masked = masked.or(found),
                    Some(_) => first = found,
                    None => {}
                }
            }
        }
        Ok(first.or(masked))
    }

    fn region<'m>(&'m self, region: Region, vars: &'m Memory, arena: &'m Memory) -> &'m Memory {
        match region {
            Region::Variables => vars,
            Region::Arena => arena,
            Region::Constants => &self.constants,
            Region::Inputs => &self.inputs,
            Region::Results => &self.results,
        }
    }

    fn prepare(&mut self, vars: &Memory, arena: &Memory, inputs: &StepInputs) -> Result<(), Fault> {
        if vars.len() < self.var_bytes || arena.len() < self.arena_bytes {
            return Err(Fault::from("a plan does not fit its own memory".to_string()));
        }
        self.device.enter()?;
        *self.seen.borrow_mut() = None;
        self.turn = 1 - self.turn;
        let staging = &mut self.staging[self.turn];
        let memory = staging.bytes_mut()?;
        for port in &self.fields {
            let given = inputs.fields.get(port.what as usize).copied().unwrap_or(&[]);
            if given.len() != port.bytes {
                let message = format!("field {} is {} bytes, not {}", port.what, given.len(), port.bytes);
                return Err(Fault::from(message));
            }
            memory[port.offset..port.offset + port.bytes].copy_from_slice(given);
        }
        let clock = &inputs.clock;
        for port in &self.clocks {
            let number = match port.what {
                Clock::Step => clock.step,
                Clock::Epoch => clock.epoch,
                Clock::Steps => clock.steps,
                Clock::EpochSteps => clock.epoch_steps,
            };
            memory[port.offset..port.offset + 4].copy_from_slice(&(number as f32).to_le_bytes());
        }
        for port in &self.keys {
            memory[port.offset..port.offset + 8].copy_from_slice(&inputs.seed.to_le_bytes());
            memory[port.offset + 8..port.offset + 16].copy_from_slice(&clock.step.to_le_bytes());
        }
        Ok(self.staging[self.turn].send(&self.inputs)?)
    }

    fn address(&self, place: Place, vars: &Memory, arena: &Memory) -> u64 {
        self.region(place.region, vars, arena).at + place.offset as u64
    }

    fn launch(&self, action: &Action, vars: &Memory, arena: &Memory) -> Result<(), String> {
        let d = &self.device;
        match action {
            Action::Copy { bytes: 0, .. } => Ok(()),
            Action::Copy { from, to, bytes } => {
                let (from, to) = (self.address(*from, vars, arena), self.address(*to, vars, arena));
                if from == to {
                    return Ok(());
                }
                // SAFETY: both buffers have so many bytes, by the plan.
                d.check(unsafe { (d.driver.cuMemcpyDtoDAsync_v2)(to, from, *bytes, d.stream) }, "copy a buffer")
            }
            Action::Product { number, places } => {
                let Some(product) = self.products.get(*number) else { return Err(format!("no product {number}")) };
                // SAFETY: the buffers are as large as the plan says, the scratch memory as the largest product's.
                unsafe { product.launch(places.map(|p| self.address(p, vars, arena)), self.scratch.at) }
            }
            Action::Launch { function, grid, args } => {
                let mut addresses: Vec<u64> = args.iter().map(|a| self.address(*a, vars, arena)).collect();
                let mut pointers: Vec<*mut c_void> =
                    addresses.iter_mut().map(|a| std::ptr::from_mut(a).cast()).collect();
                let Ok(blocks) = c_uint::try_from(grid.blocks) else {
                    return Err(format!("a launch of {} blocks", grid.blocks));
                };
                // SAFETY: the function takes one pointer an argument, to memory as large as its text says; arguments are
                // copied by the call.
                let result = unsafe {
                    let function = self.loaded.functions[*function];
                    let (stream, none) = (d.stream, std::ptr::null_mut());
                    (d.driver.cuLaunchKernel)(
                        function,
                        blocks,
                        1,
                        1,
                        grid.threads as c_uint,
                        1,
                        1,
                        0,
                        stream,
                        pointers.as_mut_ptr(),
                        none,
                    )
                };
                d.check(result, "launch a kernel")
            }
        }
    }

    fn launch_all(&self, vars: &Memory, arena: &Memory) -> Result<(), Fault> {
        let mut begin = 0;
        for part in &self.parts {
            let run = || -> Result<(), String> {
                self.actions[begin..part.end].iter().try_for_each(|a| self.launch(a, vars, arena))?;
                if self.mode.checked { self.device.wait() } else { Ok(()) }
            };
            run().map_err(|message| Fault { message, origin: Some(part.origin) })?;
            begin = part.end;
        }
        Ok(())
    }

    fn capture(&self, vars: &Memory, arena: &Memory) -> Result<CUgraphExec, Fault> {
        let d = &self.device;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is this device's own; the graph is destroyed once it is instantiated.
        unsafe {
            d.check((d.driver.cuStreamBeginCapture_v2)(d.stream, mode), "record a step")?;
            let launched = self.launch_all(vars, arena);
            let mut graph: CUgraph = std::ptr::null_mut();
            let ended = d.check((d.driver.cuStreamEndCapture)(d.stream, &mut graph), "record a step");
            launched?;
            ended?;
            let mut exec: CUgraphExec = std::ptr::null_mut();
            let made = d.check((d.driver.cuGraphInstantiateWithFlags)(&mut exec, graph, 0), "make a graph of a step");
            (d.driver.cuGraphDestroy)(graph);
            made?;
            Ok(exec)
        }
    }

    fn forget_graph(&mut self) {
        if let Some(graph) = self.graph.take() {
            // SAFETY: made by `capture`; what is still running is waited for first.
            unsafe {
                let _ = self.device.enter();
                (self.device.driver.cuStreamSynchronize)(self.device.stream);
                (self.device.driver.cuGraphExecDestroy)(graph.exec);
            }
        }
    }

    /// The bytes of a result of the last step, after waiting for it; none if there is no such result.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn value(&self, arena: &Memory, number: u32) -> Result<Option<(Vec<u8>, DType)>, String> {
        let Some(&(_, place, bytes, dtype)) = self.values.iter().find(|v| v.0 == number) else { return Ok(None) };
        if place.region != Region::Results {
            let mut out = vec![0; bytes];
            arena.read(place.offset, &mut out)?;
            return Ok(Some((out, dtype)));
        }
        let mut seen = self.seen.borrow_mut();
        if seen.is_none() {
            let mut all = vec![0; self.results.len()];
            self.results.read(0, &mut all)?;
            *seen = Some(all);
        }
        let all = seen.as_deref().unwrap_or(&[]);
        Ok(all.get(place.offset..place.offset + bytes).map(|b| (b.to_vec(), dtype)))
    }

    /// How many launches a step has, how many functions, bytes of constants.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.actions.len(), self.loaded.functions.len(), self.constants.len())
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.forget_graph();
    }
}
