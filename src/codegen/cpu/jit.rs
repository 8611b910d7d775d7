//! Functions compiled into memory.
//!
//! In: kernels with the way each is entered. Out: [`Code`], which owns the memory of the machine code and frees it when
//! dropped. Kernels are compiled on several threads (Cranelift keeps no state between functions) and then placed in
//! order, so the result does not depend on timing.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc, default_libcall_names};

use super::avx512;
use super::emit::{Entry, Features, emit};
use super::math::{TABLE_NAME, table_address};
use super::symbols::Symbol;
use crate::codegen::loops::Kernel;
use crate::diag::{Diagnostic, codes};

/// `args`: one pointer a buffer; then the iterations of the outermost loop, `begin..end`. If that is a vector loop, both are
/// multiples of [`LANES`](super::LANES), or the end is the loop's. Other kernels ignore the range. Buffers of 32 MiB or
/// more begin at multiples of 64 bytes, and vector loops over them are cut at multiples of 16.
pub type RangeFn = unsafe extern "C" fn(*const *mut u8, usize, usize);
/// `args`, batch, rows from and to, columns from and to: any ranges inside the loops.
pub type TileFn = unsafe extern "C" fn(*const *mut u8, usize, usize, usize, usize, usize);

/// Kernels that one thread compiles at least.
const KERNELS_A_THREAD: usize = 4;

/// How hard Cranelift tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimize {
    Speed,
    None,
}

/// The machine that code is made for.
#[derive(Clone)]
pub struct Target {
    isa: OwnedTargetIsa,
    /// Whether kernels may be AVX-512 code.
    wide: bool,
}

impl Target {
    /// This machine with all that it can do.
    pub fn host(optimize: Optimize) -> Result<Target, Box<Diagnostic>> {
        Ok(Target { wide: avx512::available(), ..Target::new(optimize, true)? })
    }

    /// The same machine by Cranelift alone.
    pub fn narrow(optimize: Optimize) -> Result<Target, Box<Diagnostic>> {
        Target::new(optimize, true)
    }

    /// What every machine of this architecture can do: no fused multiply-add on x86-64.
    pub fn baseline(optimize: Optimize) -> Result<Target, Box<Diagnostic>> {
        Target::new(optimize, false)
    }

    fn new(optimize: Optimize, native: bool) -> Result<Target, Box<Diagnostic>> {
        let mut flags = settings::builder();
        let level = match optimize {
            Optimize::Speed => "speed",
            Optimize::None => "none",
        };
        let verifier = if cfg!(debug_assertions) { "true" } else { "false" };
        let wanted = [
            ("opt_level", level),
            ("enable_verifier", verifier),
            ("is_pic", "false"),
            ("use_colocated_libcalls", "false"),
            ("unwind_info", "false"),
        ];
        for (name, value) in wanted {
            flags.set(name, value).map_err(|e| unusable(&e.to_string()))?;
        }
        let builder = cranelift_native::builder_with_options(native).map_err(unusable)?;
        let isa = builder.finish(settings::Flags::new(flags)).map_err(|e| unusable(&e.to_string()))?;
        Ok(Target { isa, wide: false })
    }

    fn features(&self) -> Features {
        let has = |name: &str| self.isa.isa_flags().iter().any(|f| f.name == name && f.as_bool() == Some(true));
        // Every aarch64 has it.
        let x64 = self.isa.name() == "x64";
        Features { fma: if x64 { has("has_fma") && has("has_avx") } else { self.isa.name() == "aarch64" } }
    }

    fn function(&self, kernel: &Kernel, entry: Entry, context: &mut Context) -> Result<(), Box<Diagnostic>> {
        let mut builder = FunctionBuilderContext::new();
        context.func = Function::with_name_signature(
            UserFuncName::user(0, Symbol::ALL.len() as u32),
            entry.signature(self.isa.default_call_conv()),
        );
        let isa = &self.isa;
        emit(
            kernel,
            entry,
            self.features(),
            isa.default_call_conv(),
            &mut context.func,
            &mut builder,
            isa.frontend_config(),
        )
        .map_err(|why| refused(kernel, &why))
    }

    fn machine_code(&self, kernel: &Kernel, entry: Entry) -> Result<Machine, Box<Diagnostic>> {
        if self.wide
            && let Ok(bytes) = avx512::compile(kernel, entry)
        {
            return Ok(Machine { wide: true, bytes, align: 64, relocs: Vec::new() });
        }
        let mut context = Context::new();
        self.function(kernel, entry, &mut context)?;
        let compiled = context
            .compile(&*self.isa, &mut ControlPlane::default())
            .map_err(|e| refused(kernel, &format!("{:?}", e.inner)))?;
        let bytes = compiled.code_buffer().to_vec();
        let align = compiled.buffer.alignment as u64;
        let relocs = compiled.buffer.relocs().to_vec();
        let id = FuncId::from_u32(0);
        let relocs = relocs.iter().map(|r| ModuleReloc::from_mach_reloc(r, &context.func, id)).collect();
        Ok(Machine { wide: false, bytes, align, relocs })
    }
}

struct Machine {
    /// Whether it is AVX-512 code.
    wide: bool,
    bytes: Vec<u8>,
    align: u64,
    relocs: Vec<ModuleReloc>,
}

fn unusable(why: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::placeless(codes::TARGET, "no machine code can be made for this computer").note(why))
}

fn refused(kernel: &Kernel, why: &str) -> Box<Diagnostic> {
    let headline = "a kernel cannot be compiled for the CPU";
    Box::new(Diagnostic::placeless(codes::TARGET, headline).note(format!("{}: {why}", kernel.name)))
}

/// Machine code in memory.
pub struct Code {
    /// Taken only when dropped.
    module: Option<JITModule>,
    functions: Vec<(Entry, *const u8)>,
    bytes: usize,
    wide: usize,
}

// SAFETY: the functions' memory does not change after compilation, and the module is not used again until it is dropped.
unsafe impl Send for Code {}
// SAFETY: as above; shared access only reads addresses.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: whoever calls a function of this code must keep it alive (see `range` and `tile`), so none runs now.
            unsafe { module.free_memory() }
        }
    }
}

impl Code {
    /// The function of the request with this number, if it was for [`Entry::Range`]. It may be called while this lives.
    pub fn range(&self, request: usize) -> Option<RangeFn> {
        match self.functions.get(request)? {
            // SAFETY: it was compiled with the signature of this entry, by the host's C convention.
            (Entry::Range, f) => Some(unsafe { std::mem::transmute::<*const u8, RangeFn>(*f) }),
            _ => None,
        }
    }

    /// The function of the request with this number, if it was for [`Entry::Tile`]. It may be called while this lives.
    pub fn tile(&self, request: usize) -> Option<TileFn> {
        match self.functions.get(request)? {
            // SAFETY: as in `range`.
            (Entry::Tile, f) => Some(unsafe { std::mem::transmute::<*const u8, TileFn>(*f) }),
            _ => None,
        }
    }

    /// Functions that compute by vectors of 512 bits.
    pub fn wide(&self) -> usize {
        self.wide
    }

    /// Bytes of machine code.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Compiles all requests; the functions have their numbers.
pub fn compile(target: &Target, requests: &[(&Kernel, Entry)]) -> Result<Code, Box<Diagnostic>> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = cores.min(requests.len() / KERNELS_A_THREAD).clamp(1, 8);
    let share = requests.len().div_ceil(threads).max(1);
    let machine: Vec<Result<Machine, Box<Diagnostic>>> = if threads == 1 {
        requests.iter().map(|(k, e)| target.machine_code(k, *e)).collect()
    } else {
        std::thread::scope(|scope| {
            let workers: Vec<_> = requests
                .chunks(share)
                .map(|part| {
                    let run = move || part.iter().map(|(k, e)| target.machine_code(k, *e)).collect::<Vec<_>>();
                    scope.spawn(run)
                })
                .collect();
            let gone = || vec![Err(unusable("a compiler thread failed"))];
            workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|_| gone())).collect()
        })
    };

    let mut builder = JITBuilder::with_isa(target.isa.clone(), default_libcall_names());
    builder.symbols(Symbol::ALL.iter().map(|s| (s.name(), s.address())));
    builder.symbol(TABLE_NAME, table_address());
    let mut module = JITModule::new(builder);
    let fault = |e: cranelift_module::ModuleError| unusable(&e.to_string());
    let convention = target.isa.default_call_conv();
    for symbol in Symbol::ALL {
        // Numbered in order from 0: what `Emit::call` relies on.
        module.declare_function(symbol.name(), Linkage::Import, &symbol.signature(convention)).map_err(fault)?;
    }
    // The first of the data, as the entry of a kernel relies on.
    module.declare_data(TABLE_NAME, Linkage::Import, false, false).map_err(fault)?;
    let mut ids = Vec::with_capacity(requests.len());
    let (mut bytes, mut wide) = (0, 0);
    for (i, (machine, (_, entry))) in machine.into_iter().zip(requests).enumerate() {
        let machine = machine?;
        let signature = entry.signature(convention);
        let id = module.declare_function(&format!("kernel{i}"), Linkage::Local, &signature).map_err(fault)?;
        bytes += machine.bytes.len();
        wide += machine.wide as usize;
        module.define_function_bytes(id, machine.align, &machine.bytes, &machine.relocs).map_err(fault)?;
        ids.push((*entry, id));
    }
    module.finalize_definitions().map_err(fault)?;
    let functions = ids.into_iter().map(|(entry, id)| (entry, module.get_finalized_function(id))).collect();
    Ok(Code { module: Some(module), functions, bytes, wide })
}

/// Why a kernel is not AVX-512 code on a machine that has it.
pub fn why_narrow(kernel: &Kernel, entry: Entry) -> Option<String> {
    avx512::compile(kernel, entry).err()
}

/// The kernel as Cranelift IR, before optimisation.
pub fn clif(target: &Target, kernel: &Kernel, entry: Entry) -> Result<String, Box<Diagnostic>> {
    let mut context = Context::new();
    target.function(kernel, entry, &mut context)?;
    Ok(format!("; {}\n{}", kernel.name, context.func.display()))
}

/// The kernel as the host's assembly, with Cranelift's names for blocks; AVX-512 code before its registers are written.
pub fn assembly(target: &Target, kernel: &Kernel, entry: Entry) -> Result<String, Box<Diagnostic>> {
    if target.wide
        && let Ok(listing) = avx512::listing(kernel, entry)
    {
        return Ok(listing);
    }
    let mut context = Context::new();
    target.function(kernel, entry, &mut context)?;
    context.set_disasm(true);
    let compiled = context
        .compile(&*target.isa, &mut ControlPlane::default())
        .map_err(|e| refused(kernel, &format!("{:?}", e.inner)))?;
    Ok(format!("; {}\n{}", kernel.name, compiled.vcode.as_deref().unwrap_or_default()))
}
