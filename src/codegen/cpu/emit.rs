//! A kernel as Cranelift IR: entry, loops and the values in scope.
//!
//! In: a kernel. Out: one function. Values are SSA from the start (no Cranelift variables): loops carry what changes as
//! block parameters. Inside a loop that runs by lanes, each value is either the same for all lanes (kept as a scalar) or
//! wide (four lanes of 32 bits), as [`super::wide`] decides; everything that differs between the two lives in `ops`,
//! `math` and `memory`.
//!
//! Representation of a value: floats and integers as themselves, but f16 and bf16 as an `f32` that they can hold; a bool
//! as `i8` 0 or 1. Wide: `f32x4`; `i32x4` for i32 and for u8 and i8 (kept extended to 32 bits); a bool as an `i32x4` mask of
//! all ones or zeros.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, FuncRef, InstBuilder, MemFlagsData, Signature, Type, UserExternalName, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use super::math::needs_table;
use super::symbols::Symbol;
use super::wide;
use crate::codegen::loops::{Kernel, LoopKind, LoopVar, Stmt, Value, split_outer};
use crate::ops::DType;

/// Lanes of a wide value.
pub const LANES: usize = 4;

/// How a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// `fn(args, begin, end)`: iterations of the outermost loop.
    Range,
    /// `fn(args, batch, row0, row1, column0, column1)`: a tile of three nested loops.
    Tile,
}

impl Entry {
    pub fn signature(self, convention: CallConv) -> Signature {
        let mut signature = Signature::new(convention);
        let numbers = match self {
            Entry::Range => 2,
            Entry::Tile => 5,
        };
        signature.params.extend((0..numbers + 1).map(|_| AbiParam::new(types::I64)));
        signature
    }
}

/// What the code may use of the target.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    pub fma: bool,
}

/// Why a kernel cannot be compiled, as a phrase.
pub type Refusal = String;

/// The Cranelift value of a kernel's value.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub value: ir::Value,
    pub wide: bool,
}

/// The loop that runs by lanes.
pub(super) struct Lanes {
    pub var: LoopVar,
    pub wide: Vec<bool>,
    /// Lanes that hold iterations: fewer than [`LANES`] in the last group of a loop.
    pub active: usize,
}

/// The range of a loop.
#[derive(Clone, Copy)]
pub(super) enum Span {
    /// From 0 to here.
    Whole(usize),
    /// From and to, of a loop with that extent.
    Part(ir::Value, ir::Value, usize),
}

pub(super) struct Emit<'a, 'f> {
    pub b: FunctionBuilder<'f>,
    pub kernel: &'a Kernel,
    entry: Entry,
    pub features: Features,
    pub bases: Vec<ir::Value>,
    pub counters: Vec<Option<ir::Value>>,
    pub slots: Vec<Option<Slot>>,
    pub lanes: Option<Lanes>,
    /// The address of the constants of `math`.
    pub table: Option<ir::Value>,
    /// The counter of the innermost loop, as it runs.
    pub innermost: Option<ir::Value>,
    symbols: Vec<(Symbol, FuncRef)>,
    convention: CallConv,
}

/// Writes the kernel's function into `func`, whose signature is set here.
pub fn emit(
    kernel: &Kernel,
    entry: Entry,
    features: Features,
    convention: CallConv,
    func: &mut ir::Function,
    context: &mut FunctionBuilderContext,
    target: cranelift_codegen::isa::TargetFrontendConfig,
) -> Result<(), Refusal> {
    func.signature = entry.signature(convention);
    let mut e = Emit {
        b: FunctionBuilder::new(func, context),
        kernel,
        entry,
        features,
        bases: Vec::new(),
        counters: vec![None; kernel.loops as usize],
        slots: vec![None; kernel.values.len()],
        lanes: None,
        table: None,
        innermost: None,
        symbols: Vec::new(),
        convention,
    };
    let block = e.b.create_block();
    e.b.append_block_params_for_function_params(block);
    e.b.switch_to_block(block);
    let params = e.b.block_params(block).to_vec();
    for i in 0..kernel.buffers.len() {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        let base = e.b.ins().load(types::I64, flags, params[0], 8 * i as i32);
        e.bases.push(base);
    }
    if needs_table(&kernel.body) {
        let name = e.b.func.declare_imported_user_function(UserExternalName { namespace: 1, index: 0 });
        let data = ir::GlobalValueData::Symbol {
            name: ir::ExternalName::user(name),
            offset: 0.into(),
            colocated: false,
            tls: false,
        };
        let global = e.b.create_global_value(data);
        e.table = Some(e.b.ins().symbol_value(types::I64, global));
    }
    match entry {
        Entry::Range => e.range_entry(params[1], params[2])?,
        Entry::Tile => e.tile_entry(&params[1..])?,
    }
    e.b.ins().return_(&[]);
    e.b.seal_all_blocks();
    e.b.finalize(target);
    Ok(())
}

impl<'a> Emit<'a, '_> {
    fn range_entry(&mut self, begin: ir::Value, end: ir::Value) -> Result<(), Refusal> {
        let kernel = self.kernel;
        let Some((before, Stmt::For { var, extent, kind, body })) = split_outer(kernel) else {
            return self.block(&kernel.body);
        };
        self.block(before)?;
        self.for_loop(*var, Span::Part(begin, end, *extent), *kind, body)
    }

    fn tile_entry(&mut self, params: &[ir::Value]) -> Result<(), Refusal> {
        let shape = "an epilogue must be three nested loops";
        let kernel = self.kernel;
        let [Stmt::For { var: batch, body, .. }] = kernel.body.as_slice() else { return Err(shape.into()) };
        self.counters[batch.0 as usize] = Some(params[0]);
        let [before @ .., Stmt::For { var: row, extent: rows, body, .. }] = body.as_slice() else {
            return Err(shape.into());
        };
        self.block(before)?;
        let [before_row @ .., Stmt::For { var: column, extent: columns, kind, body }] = body.as_slice() else {
            return Err(shape.into());
        };
        let whole = Span::Part(params[1], params[2], *rows);
        self.scalar_loop(*row, whole, |e| {
            e.block(before_row)?;
            e.for_loop(*column, Span::Part(params[3], params[4], *columns), *kind, body)
        })
    }

    pub fn dtype(&self, value: Value) -> DType {
        self.kernel.values[value.0 as usize]
    }

    pub fn slot(&self, value: Value) -> Result<Slot, Refusal> {
        let slot = self.slots.get(value.0 as usize).copied().flatten();
        slot.ok_or_else(|| format!("the value %{} is used before it is assigned", value.0))
    }

    pub fn is_wide(&self, value: Value) -> bool {
        self.lanes.as_ref().is_some_and(|l| l.wide[value.0 as usize])
    }

    /// The value as a scalar or by lanes.
    pub fn get(&mut self, value: Value, wide: bool) -> Result<ir::Value, Refusal> {
        let slot = self.slot(value)?;
        if slot.wide == wide {
            return Ok(slot.value);
        }
        if slot.wide {
            return Err(format!("the value %{} of a loop is used outside of it", value.0));
        }
        let dtype = self.dtype(value);
        Ok(self.splat(dtype, slot.value))
    }

    /// A scalar in all lanes, in the wide representation.
    pub fn splat(&mut self, dtype: DType, scalar: ir::Value) -> ir::Value {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => self.b.ins().splat(types::F32X4, scalar),
            DType::Bool => {
                let word = self.b.ins().uextend(types::I32, scalar);
                let mask = self.b.ins().ineg(word);
                self.b.ins().splat(types::I32X4, mask)
            }
            DType::U8 => {
                let word = self.b.ins().uextend(types::I32, scalar);
                self.b.ins().splat(types::I32X4, word)
            }
            DType::I8 => {
                let word = self.b.ins().sextend(types::I32, scalar);
                self.b.ins().splat(types::I32X4, word)
            }
            _ => self.b.ins().splat(types::I32X4, scalar),
        }
    }

    pub fn set(&mut self, value: Value, result: ir::Value, wide: bool) {
        self.slots[value.0 as usize] = Some(Slot { value: result, wide });
    }

    pub fn block(&mut self, body: &'a [Stmt]) -> Result<(), Refusal> {
        for stmt in body {
            match stmt {
                Stmt::Let { value, expr } => {
                    let wide = self.is_wide(*value);
                    let result = self.expr(expr, self.dtype(*value), wide)?;
                    self.set(*value, result, wide);
                }
                Stmt::For { var, extent, kind, body } => self.for_loop(*var, Span::Whole(*extent), *kind, body)?,
                Stmt::Fold { .. } => self.fold(stmt)?,
                Stmt::Store { buffer, index, value, guard, accumulate } => {
                    self.store(*buffer, index, *value, guard, *accumulate)?
                }
            }
        }
        Ok(())
    }

    fn for_loop(&mut self, var: LoopVar, span: Span, kind: LoopKind, body: &'a [Stmt]) -> Result<(), Refusal> {
        if kind == LoopKind::Vector && self.lanes.is_none() {
            let wide = wide::wide_values(self.kernel, var, body);
            if wide::fits_lanes(self.kernel, body, &wide) {
                return self.lane_loop(var, span, wide, body);
            }
        }
        self.scalar_loop(var, span, |e| e.block(body))
    }

    fn scalar_loop(
        &mut self,
        var: LoopVar,
        span: Span,
        body: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.repeat(span, 1, &[], |e, i, _| {
            e.counters[var.0 as usize] = Some(i);
            body(e)?;
            Ok(Vec::new())
        })?;
        Ok(())
    }

    /// Whole groups of lanes in a loop, then the rest: as a group with fewer active lanes where its size is known, else one
    /// by one. It is known of a whole loop, and of a part of a range entry, whose end is a multiple of [`LANES`] or the
    /// loop's; tiles end anywhere.
    fn lane_loop(&mut self, var: LoopVar, span: Span, wide: Vec<bool>, body: &'a [Stmt]) -> Result<(), Refusal> {
        self.lanes = Some(Lanes { var, wide, active: LANES });
        let (next, _) = self.repeat(span, LANES, &[], |e, i, _| {
            e.counters[var.0 as usize] = Some(i);
            e.block(body)?;
            Ok(Vec::new())
        })?;
        match span {
            Span::Part(_, end, extent) if self.entry == Entry::Tile => {
                self.lanes = None;
                return self.scalar_loop(var, Span::Part(next, end, extent), |e| e.block(body));
            }
            Span::Whole(extent) if extent % LANES != 0 => {
                self.set_active(extent % LANES);
                self.counters[var.0 as usize] = Some(next);
                self.block(body)?;
            }
            Span::Part(_, end, extent) if extent % LANES != 0 => {
                self.set_active(extent % LANES);
                self.counters[var.0 as usize] = Some(next);
                let more = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
                self.when(more, |e| e.block(body))?;
            }
            _ => {}
        }
        self.lanes = None;
        Ok(())
    }

    pub fn set_active(&mut self, active: usize) {
        if let Some(lanes) = &mut self.lanes {
            lanes.active = active;
        }
    }

    /// Runs `body` for each whole `step` of the span, with what it carries from one to the next; gives the first
    /// iteration that is left, and the last of what is carried.
    pub fn repeat(
        &mut self,
        span: Span,
        step: usize,
        carried: &[ir::Value],
        body: impl FnOnce(&mut Self, ir::Value, &[ir::Value]) -> Result<Vec<ir::Value>, Refusal>,
    ) -> Result<(ir::Value, Vec<ir::Value>), Refusal> {
        let step = step as i64;
        if let Span::Whole(n) = span {
            let zero = self.b.ins().iconst(types::I64, 0);
            match n as i64 / step {
                0 => return Ok((zero, carried.to_vec())),
                1 => {
                    let carried = body(self, zero, carried)?;
                    return Ok((self.b.ins().iconst(types::I64, step), carried));
                }
                _ => {}
            }
        }
        let (header, exit) = (self.b.create_block(), self.b.create_block());
        for block in [header, exit] {
            self.b.append_block_param(block, types::I64);
            for &c in carried {
                let ty = self.b.func.dfg.value_type(c);
                self.b.append_block_param(block, ty);
            }
        }
        let limit = match span {
            Span::Whole(n) => {
                let zero = self.b.ins().iconst(types::I64, 0);
                let args = block_args(zero, carried);
                self.b.ins().jump(header, &args);
                // In the header's own scope: the constant is made where it is compared.
                Err(n as i64 / step * step)
            }
            Span::Part(begin, end, _) => {
                let limit = if step == 1 { end } else { self.b.ins().iadd_imm_s(end, 1 - step) };
                let any = self.b.ins().icmp(IntCC::SignedLessThan, begin, limit);
                let args = block_args(begin, carried);
                self.b.ins().brif(any, header, &args, exit, &args);
                Ok(limit)
            }
        };
        self.b.switch_to_block(header);
        let params = self.b.block_params(header).to_vec();
        let outer = self.innermost.replace(params[0]);
        let after = body(self, params[0], &params[1..])?;
        self.innermost = outer;
        let next = self.b.ins().iadd_imm_s(params[0], step);
        let more = match limit {
            Ok(limit) => self.b.ins().icmp(IntCC::SignedLessThan, next, limit),
            Err(n) => self.b.ins().icmp_imm_s(IntCC::SignedLessThan, next, n),
        };
        let args = block_args(next, &after);
        self.b.ins().brif(more, header, &args, exit, &args);
        self.b.switch_to_block(exit);
        let results = self.b.block_params(exit).to_vec();
        Ok((results[0], results[1..].to_vec()))
    }

    /// Runs `body` if the condition (`i8`) holds.
    pub fn when(
        &mut self,
        condition: ir::Value,
        body: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (then, after) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(condition, then, &[], after, &[]);
        self.b.switch_to_block(then);
        body(self)?;
        self.b.ins().jump(after, &[]);
        self.b.switch_to_block(after);
        Ok(())
    }

    /// One of two values of a type, each computed only if it is wanted.
    pub fn either(
        &mut self,
        condition: ir::Value,
        ty: Type,
        then: impl FnOnce(&mut Self) -> Result<ir::Value, Refusal>,
        otherwise: impl FnOnce(&mut Self) -> Result<ir::Value, Refusal>,
    ) -> Result<ir::Value, Refusal> {
        let (yes, no, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(after, ty);
        self.b.ins().brif(condition, yes, &[], no, &[]);
        self.b.switch_to_block(yes);
        let value = then(self)?;
        self.b.ins().jump(after, &[BlockArg::Value(value)]);
        self.b.switch_to_block(no);
        self.b.set_cold_block(no);
        let value = otherwise(self)?;
        self.b.ins().jump(after, &[BlockArg::Value(value)]);
        self.b.switch_to_block(after);
        Ok(result)
    }

    /// Calls a function of the host.
    pub fn call(&mut self, symbol: Symbol, args: &[ir::Value]) -> ir::Value {
        let known = self.symbols.iter().find(|s| s.0 == symbol).map(|s| s.1);
        let function = known.unwrap_or_else(|| {
            let signature = self.b.import_signature(symbol.signature(self.convention));
            let name =
                self.b.func.declare_imported_user_function(UserExternalName { namespace: 0, index: symbol as u32 });
            let function = self.b.import_function(ir::ExtFuncData {
                name: ir::ExternalName::user(name),
                signature,
                colocated: false,
                patchable: false,
            });
            self.symbols.push((symbol, function));
            function
        });
        let inst = self.b.ins().call(function, args);
        self.b.inst_results(inst)[0]
    }
}

fn block_args(first: ir::Value, rest: &[ir::Value]) -> Vec<BlockArg> {
    std::iter::once(first).chain(rest.iter().copied()).map(BlockArg::Value).collect()
}
