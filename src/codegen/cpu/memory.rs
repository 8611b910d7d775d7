//! Indices, loads and stores.
//!
//! A guarded scalar load reads from the buffer's first element where the guard fails, and then drops what it read: no
//! branch. By lanes, neighbouring elements move as one vector; others one by one. A guard that differs between lanes is
//! first tested for all of them at once (a bound is linear in the counter, so its ends decide), and only if that fails
//! lane by lane. An index with run-time values is always guarded, by the buffer's length if by nothing closer: a wrong
//! number in the data reads `otherwise`, or writes nothing.

use std::borrow::Cow;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, Endianness, InstBuilder, MemFlagsData, Type, types};

use super::emit::{Emit, LANES, Refusal};
use super::wide::{bound_is_wide, has_wide_term, index_is_wide, stride_of};
use crate::codegen::loops::{Access, Bound, BufferArg, Index, Kernel, Value};
use crate::ops::{Binary, DType};

/// Where an element is: a pointer and a displacement in bytes.
#[derive(Clone, Copy)]
struct Place {
    pointer: ir::Value,
    offset: i64,
}

/// The type of a scalar value.
pub(super) fn scalar_type(dtype: DType) -> Type {
    match dtype {
        DType::Bool | DType::U8 | DType::I8 => types::I8,
        DType::I32 => types::I32,
        DType::I64 => types::I64,
        // Halves are computed in 32 bits.
        DType::F32 | DType::F16 | DType::BF16 => types::F32,
        DType::F64 => types::F64,
    }
}

/// The type of a wide value.
pub(super) fn wide_type(dtype: DType) -> Type {
    if scalar_type(dtype) == types::F32 { types::F32X4 } else { types::I32X4 }
}

pub(super) fn plain() -> MemFlagsData {
    MemFlagsData::new()
}

/// The guard, with the buffer's length as one more bound if the index depends on data.
pub(super) fn fenced<'g>(index: &Index, guard: &'g [Bound], len: usize) -> Cow<'g, [Bound]> {
    let inside = |b: &Bound| b.index == *index && b.limit <= len as i64;
    if index.values.is_empty() || guard.iter().any(inside) {
        return Cow::Borrowed(guard);
    }
    let fence = Bound { index: index.clone(), limit: len as i64 };
    Cow::Owned(guard.iter().cloned().chain([fence]).collect())
}

/// Of a store: the buffer's dtype, and the guard with its fence.
pub(super) type Stored<'g> = (DType, Cow<'g, [Bound]>);

/// How to store a value; none if the buffer has no elements.
pub(super) fn stored<'g>(
    kernel: &Kernel,
    buffer: BufferArg,
    index: &Index,
    value: Value,
    guard: &'g [Bound],
) -> Result<Option<Stored<'g>>, Refusal> {
    let decl = &kernel.buffers[buffer.0 as usize];
    let own = kernel.values[value.0 as usize];
    if own != decl.dtype {
        return Err(format!("a {own} is stored in a buffer of {}", decl.dtype));
    }
    Ok((decl.len > 0).then(|| (decl.dtype, fenced(index, guard, decl.len))))
}

impl Emit<'_, '_> {
    /// The index in units of `unit` bytes (or 1), without its constant part and, by lanes, without terms that differ
    /// between lanes other than by the counter; at the first lane.
    fn linear(&mut self, index: &Index, unit: i64) -> Result<Option<ir::Value>, Refusal> {
        let mut sum: Option<ir::Value> = None;
        let mut add = |e: &mut Self, term: ir::Value, stride: i64| {
            let scaled = match stride {
                1 => term,
                s if s > 0 && s.count_ones() == 1 => e.b.ins().ishl_imm_u(term, s.trailing_zeros() as i64),
                s => e.b.ins().imul_imm_s(term, s),
            };
            sum = Some(match sum {
                Some(sum) => e.b.ins().iadd(sum, scaled),
                None => scaled,
            });
        };
        for &(value, stride) in &index.values {
            if !self.is_wide(value) {
                let word = self.get(value, false)?;
                let long = self.b.ins().sextend(types::I64, word);
                add(self, long, stride * unit);
            }
        }
        // Outer counters first: what does not change in the inner loop is then one value.
        for &(var, stride) in &index.terms {
            let counter = self.counters[var.0 as usize];
            let counter = counter.ok_or_else(|| format!("the counter i{} is used outside of its loop", var.0))?;
            add(self, counter, stride * unit);
        }
        Ok(sum)
    }

    /// The index as `i64`, of the first lane.
    pub fn index(&mut self, index: &Index) -> Result<ir::Value, Refusal> {
        Ok(match self.linear(index, 1)? {
            Some(sum) if index.offset == 0 => sum,
            Some(sum) => self.b.ins().iadd_imm_s(sum, index.offset),
            None => self.b.ins().iconst(types::I64, index.offset),
        })
    }

    fn place(&mut self, buffer: BufferArg, index: &Index) -> Result<Place, Refusal> {
        let size = self.kernel.buffers[buffer.0 as usize].dtype.bytes() as i64;
        let base = self.bases[buffer.0 as usize];
        let pointer = match self.linear(index, size)? {
            Some(sum) => self.b.ins().iadd(base, sum),
            None => base,
        };
        Ok(Place { pointer, offset: index.offset * size })
    }

    /// The place in lane `lane`, given that of lane 0.
    fn lane_place(&mut self, at: Place, index: &Index, size: i64, lane: usize) -> Result<Place, Refusal> {
        let Some(lanes) = &self.lanes else { return Ok(at) };
        let mut place = Place { offset: at.offset + stride_of(index, lanes.var) * size * lane as i64, ..at };
        for &(value, stride) in &index.values {
            if self.is_wide(value) {
                let words = self.get(value, true)?;
                let word = self.b.ins().extractlane(words, lane as u8);
                let long = self.b.ins().sextend(types::I64, word);
                let bytes = self.b.ins().imul_imm_s(long, stride * size);
                place.pointer = self.b.ins().iadd(place.pointer, bytes);
            }
        }
        Ok(place)
    }

    /// The place with a displacement that an instruction can hold.
    fn settle(&mut self, place: Place) -> (ir::Value, i32) {
        match i32::try_from(place.offset) {
            Ok(offset) => (place.pointer, offset),
            Err(_) => (self.b.ins().iadd_imm_s(place.pointer, place.offset), 0),
        }
    }

    fn access(&self, buffer: BufferArg) -> MemFlagsData {
        let flags = plain().with_notrap();
        match self.kernel.buffers[buffer.0 as usize].access {
            Access::Read => flags.with_readonly().with_can_move(),
            Access::Write | Access::ReadWrite => flags,
        }
    }

    fn limit_holds(&mut self, at: ir::Value, limit: i64) -> ir::Value {
        self.b.ins().icmp_imm_s(IntCC::UnsignedLessThan, at, limit)
    }

    fn both(&mut self, a: Option<ir::Value>, b: ir::Value) -> ir::Value {
        match a {
            Some(a) => self.b.ins().band(a, b),
            None => b,
        }
    }

    /// Whether all the bounds hold, in lane `lane`. A limit of zero or less never holds.
    fn guard_holds(&mut self, guard: &[Bound], lane: usize) -> Result<Option<ir::Value>, Refusal> {
        let mut all = None;
        for bound in guard {
            if bound.limit <= 0 {
                return Ok(Some(self.b.ins().iconst(types::I8, 0)));
            }
            let mut at = self.index(&bound.index)?;
            let step = self.lanes.as_ref().map_or(0, |l| stride_of(&bound.index, l.var)) * lane as i64;
            if step != 0 {
                at = self.b.ins().iadd_imm_s(at, step);
            }
            for &(value, stride) in &bound.index.values {
                if self.is_wide(value) {
                    let words = self.get(value, true)?;
                    let word = self.b.ins().extractlane(words, lane as u8);
                    let long = self.b.ins().sextend(types::I64, word);
                    let term = self.b.ins().imul_imm_s(long, stride);
                    at = self.b.ins().iadd(at, term);
                }
            }
            let holds = self.limit_holds(at, bound.limit);
            all = Some(self.both(all, holds));
        }
        Ok(all)
    }

    /// The bounds that are the same in all lanes, and the others.
    fn split_guard<'g>(&self, guard: &'g [Bound]) -> (Vec<Bound>, Vec<&'g Bound>) {
        let Some(lanes) = &self.lanes else { return (guard.to_vec(), Vec::new()) };
        let differs = |g: &&Bound| bound_is_wide(g, lanes.var, &lanes.wide);
        (guard.iter().filter(|g| !differs(g)).cloned().collect(), guard.iter().filter(differs).collect())
    }

    /// Whether these bounds hold in all active lanes, if the ends can tell.
    fn all_lanes_hold(&mut self, guard: &[&Bound]) -> Result<Option<ir::Value>, Refusal> {
        let Some(lanes) = &self.lanes else { return Ok(None) };
        if guard.iter().any(|g| has_wide_term(&g.index, &lanes.wide)) {
            return Ok(None);
        }
        let (var, last) = (lanes.var, lanes.active as i64 - 1);
        let mut all = None;
        for bound in guard {
            let first = self.index(&bound.index)?;
            let holds = self.limit_holds(first, bound.limit.max(0));
            all = Some(self.both(all, holds));
            let end = self.b.ins().iadd_imm_s(first, stride_of(&bound.index, var) * last);
            let holds = self.limit_holds(end, bound.limit.max(0));
            all = Some(self.both(all, holds));
        }
        Ok(all)
    }

    pub fn load(
        &mut self,
        buffer: BufferArg,
        index: &Index,
        guard: &[Bound],
        otherwise: f64,
        wide: bool,
    ) -> Result<ir::Value, Refusal> {
        let decl = &self.kernel.buffers[buffer.0 as usize];
        let (dtype, len) = (decl.dtype, decl.len);
        if len == 0 {
            return Ok(self.constant(dtype, otherwise, wide));
        }
        let guard = &fenced(index, guard, len)[..];
        if !wide {
            let at = self.place(buffer, index)?;
            let holds = self.guard_holds(guard, 0)?;
            let flags = self.access(buffer);
            return Ok(self.load_checked(dtype, buffer, at, holds, otherwise, flags));
        }
        let (same, differing) = self.split_guard(guard);
        let (stride, gathers, active) = match &self.lanes {
            Some(l) => (stride_of(index, l.var), has_wide_term(index, &l.wide), l.active),
            None => return Err("a wide load outside of a vector loop".into()),
        };
        let contiguous = stride == 1 && !gathers && len >= LANES;
        if !contiguous {
            let at = self.place(buffer, index)?;
            return self.load_lanes(buffer, index, at, guard, otherwise);
        }
        let at = self.place(buffer, index)?;
        if differing.is_empty() {
            let Some(holds) = self.guard_holds(&same, 0)? else {
                let flags = self.access(buffer);
                return Ok(self.load_vector(dtype, at, active, flags));
            };
            let (pointer, offset) = self.settle(at);
            let pointer = self.b.ins().iadd_imm_s(pointer, offset as i64);
            let pointer = self.b.ins().select(holds, pointer, self.bases[buffer.0 as usize]);
            let flags = self.access(buffer);
            let read = self.load_vector(dtype, Place { pointer, offset: 0 }, active, flags);
            let other = self.constant(dtype, otherwise, true);
            let mask = self.splat(DType::Bool, holds);
            return Ok(self.blend(mask, read, other));
        }
        let mut all = self.all_lanes_hold(&differing)?;
        if let Some(holds) = all {
            for bound in &same {
                let at = self.index(&bound.index)?;
                let inside = self.limit_holds(at, bound.limit.max(0));
                all = Some(self.b.ins().band(all.unwrap_or(holds), inside));
            }
        }
        let Some(all) = all else { return self.load_lanes(buffer, index, at, guard, otherwise) };
        // Not to be moved before the test.
        let flags = plain().with_notrap();
        self.either(
            all,
            wide_type(dtype),
            |e| Ok(e.load_vector(dtype, at, active, flags)),
            |e| e.load_lanes(buffer, index, at, guard, otherwise),
        )
    }

    /// One element as a scalar value.
    fn load_element(&mut self, dtype: DType, flags: MemFlagsData, pointer: ir::Value, offset: i32) -> ir::Value {
        if dtype.is_half() {
            return self.load_half(dtype, flags, pointer, offset);
        }
        self.b.ins().load(scalar_type(dtype), flags, pointer, offset)
    }

    /// One element, or `otherwise` if the condition is there and fails.
    fn load_checked(
        &mut self,
        dtype: DType,
        buffer: BufferArg,
        at: Place,
        holds: Option<ir::Value>,
        otherwise: f64,
        flags: MemFlagsData,
    ) -> ir::Value {
        let (pointer, offset) = self.settle(at);
        let Some(holds) = holds else { return self.load_element(dtype, flags, pointer, offset) };
        let pointer = if offset == 0 { pointer } else { self.b.ins().iadd_imm_s(pointer, offset as i64) };
        let pointer = self.b.ins().select(holds, pointer, self.bases[buffer.0 as usize]);
        let read = self.load_element(dtype, flags, pointer, 0);
        let other = self.constant(dtype, otherwise, false);
        self.b.ins().select(holds, read, other)
    }

    /// The active lanes one by one; the others are zero.
    fn load_lanes(
        &mut self,
        buffer: BufferArg,
        index: &Index,
        at: Place,
        guard: &[Bound],
        otherwise: f64,
    ) -> Result<ir::Value, Refusal> {
        let dtype = self.kernel.buffers[buffer.0 as usize].dtype;
        let flags = self.access(buffer);
        let active = self.lanes.as_ref().map_or(1, |l| l.active);
        let mut read = Vec::with_capacity(active);
        for lane in 0..active {
            let place = self.lane_place(at, index, dtype.bytes() as i64, lane)?;
            let holds = self.guard_holds(guard, lane)?;
            let element = self.load_checked(dtype, buffer, place, holds, otherwise, flags);
            read.push(self.widen(dtype, element));
        }
        let vector = self.join_lanes(wide_type(dtype), &read);
        Ok(if dtype == DType::Bool { self.is_nonzero(vector) } else { vector })
    }

    /// A scalar as the element of a wide value (a bool as 0 or 1).
    fn widen(&mut self, dtype: DType, element: ir::Value) -> ir::Value {
        match dtype {
            DType::Bool | DType::U8 => self.b.ins().uextend(types::I32, element),
            DType::I8 => self.b.ins().sextend(types::I32, element),
            _ => element,
        }
    }

    pub fn join_lanes(&mut self, ty: Type, elements: &[ir::Value]) -> ir::Value {
        let mut vector = self.b.ins().scalar_to_vector(ty, elements[0]);
        for (lane, &element) in elements.iter().enumerate().skip(1) {
            vector = self.b.ins().insertlane(vector, element, lane as u8);
        }
        vector
    }

    fn is_nonzero(&mut self, words: ir::Value) -> ir::Value {
        let zero = self.constant(DType::I32, 0.0, true);
        self.b.ins().icmp(IntCC::NotEqual, words, zero)
    }

    /// Neighbouring elements.
    fn load_vector(&mut self, dtype: DType, at: Place, active: usize, flags: MemFlagsData) -> ir::Value {
        let size = dtype.bytes() as i64;
        let words = if active < LANES {
            let elements: Vec<ir::Value> = (0..active)
                .map(|lane| {
                    let (pointer, offset) = self.settle(Place { offset: at.offset + size * lane as i64, ..at });
                    let element = self.load_element(dtype, flags, pointer, offset);
                    self.widen(dtype, element)
                })
                .collect();
            self.join_lanes(wide_type(dtype), &elements)
        } else {
            let (pointer, offset) = self.settle(at);
            match dtype {
                DType::Bool | DType::U8 | DType::I8 => {
                    let four = self.b.ins().load(types::I32, flags, pointer, offset);
                    let vector = self.b.ins().scalar_to_vector(types::I32X4, four);
                    let bytes = self.bits(types::I8X16, vector);
                    if dtype == DType::I8 {
                        let halves = self.b.ins().swiden_low(bytes);
                        self.b.ins().swiden_low(halves)
                    } else {
                        let halves = self.b.ins().uwiden_low(bytes);
                        self.b.ins().uwiden_low(halves)
                    }
                }
                DType::F16 | DType::BF16 => self.load_halves(dtype, flags, pointer, offset),
                _ => self.b.ins().load(wide_type(dtype), flags, pointer, offset),
            }
        };
        if dtype == DType::Bool { self.is_nonzero(words) } else { words }
    }

    /// The same bits as another type of the same size.
    pub fn bits(&mut self, ty: Type, value: ir::Value) -> ir::Value {
        if self.b.func.dfg.value_type(value) == ty {
            return value;
        }
        self.b.ins().bitcast(ty, MemFlagsData::new().with_endianness(Endianness::Little), value)
    }

    pub fn store(
        &mut self,
        buffer: BufferArg,
        index: &Index,
        value: Value,
        guard: &[Bound],
        accumulate: bool,
    ) -> Result<(), Refusal> {
        let Some((dtype, guard)) = stored(self.kernel, buffer, index, value, guard)? else { return Ok(()) };
        let guard = &guard[..];
        let (same, differing) = self.split_guard(guard);
        let differing: Vec<&Bound> = differing;
        match self.guard_holds(&same, 0)? {
            Some(holds) => self.when(holds, |e| e.store_inside(buffer, dtype, index, value, &differing, accumulate)),
            None => self.store_inside(buffer, dtype, index, value, &differing, accumulate),
        }
    }

    /// A store whose guard differs between lanes, or is empty.
    fn store_inside(
        &mut self,
        buffer: BufferArg,
        dtype: DType,
        index: &Index,
        value: Value,
        guard: &[&Bound],
        accumulate: bool,
    ) -> Result<(), Refusal> {
        let at = self.place(buffer, index)?;
        let Some(lanes) = &self.lanes else {
            let scalar = self.get(value, false)?;
            self.store_scalar(dtype, at, scalar, accumulate);
            return Ok(());
        };
        let (active, var) = (lanes.active, lanes.var);
        let contiguous = stride_of(index, var) == 1 && !has_wide_term(index, &lanes.wide);
        if !index_is_wide(index, var, &lanes.wide) && !self.is_wide(value) && !accumulate && guard.is_empty() {
            // The same number at the same place from every iteration.
            let scalar = self.get(value, false)?;
            self.store_scalar(dtype, at, scalar, false);
            return Ok(());
        }
        let vector = self.get(value, true)?;
        let lane_by_lane = |e: &mut Self, guard: &[Bound]| -> Result<(), Refusal> {
            for lane in 0..active {
                let place = e.lane_place(at, index, dtype.bytes() as i64, lane)?;
                let element = e.b.ins().extractlane(vector, lane as u8);
                let element = e.narrow(dtype, element);
                match e.guard_holds(guard, lane)? {
                    Some(holds) => e.when(holds, |e| {
                        e.store_scalar(dtype, place, element, accumulate);
                        Ok(())
                    })?,
                    None => e.store_scalar(dtype, place, element, accumulate),
                }
            }
            Ok(())
        };
        if contiguous && active == LANES {
            if guard.is_empty() {
                return self.store_vector(dtype, at, vector, accumulate);
            }
            if let Some(all) = self.all_lanes_hold(guard)? {
                let owned: Vec<Bound> = guard.iter().map(|g| (*g).clone()).collect();
                self.either(
                    all,
                    types::I8,
                    |e| {
                        e.store_vector(dtype, at, vector, accumulate)?;
                        Ok(e.b.ins().iconst(types::I8, 0))
                    },
                    |e| {
                        lane_by_lane(e, &owned)?;
                        Ok(e.b.ins().iconst(types::I8, 0))
                    },
                )?;
                return Ok(());
            }
        }
        let owned: Vec<Bound> = guard.iter().map(|g| (*g).clone()).collect();
        lane_by_lane(self, &owned)
    }

    /// The element of a wide value as a scalar.
    pub fn narrow(&mut self, dtype: DType, element: ir::Value) -> ir::Value {
        match dtype {
            DType::Bool => {
                let byte = self.b.ins().ireduce(types::I8, element);
                self.b.ins().band_imm_u(byte, 1)
            }
            DType::U8 | DType::I8 => self.b.ins().ireduce(types::I8, element),
            _ => element,
        }
    }

    fn store_scalar(&mut self, dtype: DType, at: Place, value: ir::Value, accumulate: bool) {
        let (pointer, offset) = self.settle(at);
        let flags = plain().with_notrap();
        let mut value = value;
        if accumulate {
            let before = self.load_element(dtype, flags, pointer, offset);
            value = self.add(dtype, before, value);
        }
        if dtype.is_half() {
            return self.store_half(dtype, flags, value, pointer, offset);
        }
        self.b.ins().store(flags, value, pointer, offset);
    }

    fn add(&mut self, dtype: DType, a: ir::Value, b: ir::Value) -> ir::Value {
        match dtype {
            DType::Bool => self.b.ins().bor(a, b),
            DType::F16 | DType::BF16 => {
                let sum = self.b.ins().fadd(a, b);
                self.round_half(dtype, sum, false)
            }
            d if d.is_float() => self.b.ins().fadd(a, b),
            _ => self.b.ins().iadd(a, b),
        }
    }

    fn store_vector(&mut self, dtype: DType, at: Place, value: ir::Value, accumulate: bool) -> Result<(), Refusal> {
        let flags = plain().with_notrap();
        let (pointer, offset) = self.settle(at);
        let mut value = value;
        if accumulate {
            let before = self.load_vector(dtype, at, LANES, flags);
            value = self.binary(Binary::Add, dtype, before, value, true)?;
        }
        if dtype.is_half() {
            self.store_halves(dtype, flags, value, pointer, offset);
            return Ok(());
        }
        let packed = match dtype {
            DType::Bool | DType::U8 | DType::I8 => {
                let halves = self.b.ins().snarrow(value, value);
                let bytes = match dtype {
                    DType::U8 => self.b.ins().unarrow(halves, halves),
                    _ => self.b.ins().snarrow(halves, halves),
                };
                let words = self.bits(types::I32X4, bytes);
                let four = self.b.ins().extractlane(words, 0u8);
                if dtype == DType::Bool { self.b.ins().band_imm_u(four, 0x0101_0101) } else { four }
            }
            _ => value,
        };
        self.b.ins().store(flags, packed, pointer, offset);
        Ok(())
    }
}
