//! Indices, loads and stores by lanes.
//!
//! An address is a sum that is kept, term by term, where its counters change; the counter of the innermost loop is the
//! index of the instruction, or a multiple that goes along with it. Neighbours move as one vector, other places by gather
//! and scatter. A guard that differs between lanes is a mask. An index with run-time values is always guarded (see
//! `fenced`).

use super::code::*;
use super::select::Select;
use crate::codegen::cpu::emit::Refusal;
use crate::codegen::cpu::memory::{fenced, stored};
use crate::codegen::cpu::wide::{bound_is_wide, has_wide_term, index_is_wide, stride_of};
use crate::codegen::loops::{Access, Bound, BufferArg, Index, Value};
use crate::ops::{Binary, DType};

/// Elements of four bytes that caches may hold.
const CACHED: usize = 1 << 23;

/// A term of an index that is the same in all lanes, or that of the first lane.
#[derive(Clone, Copy)]
enum Term {
    Counter,
    Value(V),
}

/// Its level, and what one more of it adds.
type Part = (usize, Term, i64);

impl Select<'_> {
    /// The terms from the outermost level inwards, in units of `unit`.
    fn parts(&mut self, index: &Index, unit: i64) -> Result<Vec<Part>, Refusal> {
        let mut parts = Vec::with_capacity(index.terms.len() + index.values.len());
        for &(value, stride) in &index.values {
            if self.is_wide(value) {
                continue;
            }
            let (source, level) = self.slot(value)?;
            parts.push((level, Term::Value(self.in_vector(source)), stride * unit));
        }
        for &(var, stride) in &index.terms {
            let level = self.nest.levels.iter().rposition(|l| l.var == Some(var));
            let level = level.ok_or_else(|| format!("the counter i{} is used outside of its loop", var.0))?;
            parts.push((level, Term::Counter, stride * unit));
        }
        parts.sort_by_key(|p| p.0);
        Ok(parts)
    }

    fn term(&mut self, (level, term, stride): Part) -> Result<G, Refusal> {
        match term {
            Term::Counter => self.nest.multiple(level, stride),
            Term::Value(v) => {
                let number = self.nest.first_lane(level, v);
                self.nest.scaled(level, number, stride)
            }
        }
    }

    fn partial(&mut self, base: Option<BufferArg>, parts: &[Part]) -> Result<Option<G>, Refusal> {
        let mut sum = base.map(|b| self.nest.base(b.0));
        for &part in parts {
            let term = self.term(part)?;
            sum = Some(match sum {
                Some(sum) => self.nest.sum(part.0, sum, term),
                None => term,
            });
        }
        Ok(sum)
    }

    /// The index without its constant part and without values that differ between lanes; nothing if that is 0.
    pub fn linear(&mut self, index: &Index) -> Result<Option<G>, Refusal> {
        let parts = self.parts(index, 1)?;
        self.partial(None, &parts)
    }

    /// The index of the first lane.
    fn whole(&mut self, index: &Index) -> Result<G, Refusal> {
        let depth = self.nest.depth();
        Ok(match self.linear(index)? {
            Some(sum) => self.nest.shifted(depth, sum, index.offset),
            None => self.nest.constant(index.offset),
        })
    }

    pub fn memory(&mut self, buffer: BufferArg, index: &Index) -> Result<Memory, Refusal> {
        let size = self.kernel.buffers[buffer.0 as usize].dtype.bytes() as i64;
        let mut parts = self.parts(index, size)?;
        let depth = self.nest.depth();
        let inner = match parts.last() {
            Some(&last) if last.0 == depth => {
                parts.pop();
                Some(last)
            }
            _ => None,
        };
        // There is always the buffer's address.
        let mut base = self.partial(Some(buffer), &parts)?.unwrap_or(G(0));
        let index_of = match inner {
            Some((level, Term::Counter, stride @ (1 | 2 | 4 | 8))) => {
                Some((self.nest.multiple(level, 1)?, stride as u8))
            }
            Some(part) => Some((self.term(part)?, 1)),
            None => None,
        };
        let offset = index.offset * size;
        let offset = match i32::try_from(offset) {
            Ok(offset) => offset,
            Err(_) => {
                base = self.nest.shifted(depth, base, offset);
                0
            }
        };
        Ok(Memory { base, index: index_of, offset })
    }

    /// The place in one register.
    fn pointer(&mut self, buffer: BufferArg, index: &Index) -> Result<G, Refusal> {
        let at = self.memory(buffer, index)?;
        let depth = self.nest.depth();
        let mut sum = at.base;
        if let Some((index, scale)) = at.index {
            let scaled = self.nest.scaled(depth, index, i64::from(scale))?;
            sum = self.nest.sum(depth, sum, scaled);
        }
        Ok(self.nest.shifted(depth, sum, i64::from(at.offset)))
    }

    /// How far the lanes' places are from the first lane's, if they differ.
    pub fn lane_steps(&mut self, index: &Index) -> Result<Option<Source>, Refusal> {
        let Some(lanes) = &self.lanes else { return Ok(None) };
        let stride = stride_of(index, lanes.var);
        let mut sum = match i32::try_from(stride * (super::select::LANES - 1)) {
            Ok(0) => None,
            Ok(_) => Some(self.table(std::array::from_fn(|lane| (lane as i64 * stride) as u32))),
            Err(_) => return Err("lanes more than 2^31 elements apart".into()),
        };
        for &(value, stride) in &index.values {
            if self.is_wide(value) {
                let words = self.get(value)?;
                let term = match stride {
                    1 => words,
                    _ => self.two(Two::IntMul, words, Source::Splat(stride as u32)),
                };
                sum = Some(match sum {
                    Some(sum) => self.two(Two::IntAdd, sum, term),
                    None => term,
                });
            }
        }
        Ok(sum)
    }

    fn table(&mut self, words: [u32; 16]) -> Source {
        let tables = &mut self.nest.code.tables;
        Source::Table(tables.iter().position(|t| *t == words).unwrap_or_else(|| {
            tables.push(words);
            tables.len() - 1
        }))
    }

    /// The lanes in which all bounds hold.
    fn guarded(&mut self, guard: &[Bound]) -> Result<Lanes, Refusal> {
        let active = self.lanes.as_ref().map_or(Lanes::All, |l| l.active);
        if guard.is_empty() {
            return Ok(active);
        }
        let mut tests = Vec::with_capacity(guard.len());
        for bound in guard {
            let index = self.counter(&bound.index)?;
            tests.push((self.in_vector(index), bound.limit.clamp(0, i64::from(i32::MAX)) as u32));
            for &(value, stride) in bound.index.values.iter().filter(|(_, stride)| stride.abs() > 1) {
                // Lanes have 32 bits: a multiple of a number from data must not wrap around into the range.
                let reach = (i64::from(i32::MAX) / 2 / stride.abs()) as u32;
                let shifted = self.two(Two::IntAdd, self.get(value)?, Source::Splat(reach));
                tests.push((self.in_vector(shifted), 2 * reach));
            }
        }
        self.nest.push(Inst::GuardBegin { tail: active == Lanes::Tail });
        for (index, limit) in tests {
            self.nest.push(Inst::GuardAnd { index, limit });
        }
        Ok(Lanes::Guarded)
    }

    /// Bounds that are the same in all lanes, as numbers; none if one never holds.
    fn bounds(&mut self, guard: &[Bound]) -> Result<Option<Vec<(G, i64)>>, Refusal> {
        if guard.iter().any(|b| b.limit <= 0) {
            return Ok(None);
        }
        guard.iter().map(|b| Ok((self.whole(&b.index)?, b.limit))).collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn differs(&self, index: &Index, guard: &[Bound]) -> bool {
        let Some(lanes) = &self.lanes else { return false };
        index_is_wide(index, lanes.var, &lanes.wide) || guard.iter().any(|g| bound_is_wide(g, lanes.var, &lanes.wide))
    }

    /// Whether the lanes are neighbours, in order.
    fn contiguous(&self, index: &Index) -> bool {
        self.lanes.as_ref().is_some_and(|l| stride_of(index, l.var) == 1 && !has_wide_term(index, &l.wide))
    }

    /// Whether the lanes are two elements apart, in order.
    fn every_other(&self, index: &Index) -> bool {
        self.lanes.as_ref().is_some_and(|l| stride_of(index, l.var) == 2 && !has_wide_term(index, &l.wide))
    }

    pub fn load(
        &mut self,
        buffer: BufferArg,
        index: &Index,
        guard: &[Bound],
        otherwise: f64,
    ) -> Result<Source, Refusal> {
        let decl = &self.kernel.buffers[buffer.0 as usize];
        let (dtype, len) = (decl.dtype, decl.len);
        let otherwise = super::values::bits(dtype, otherwise);
        if len == 0 {
            return Ok(Source::Splat(otherwise));
        }
        let guard = &fenced(index, guard, len)[..];
        let to = self.nest.vector();
        if !self.differs(index, guard) {
            let Some(bounds) = self.bounds(guard)? else { return Ok(Source::Splat(otherwise)) };
            let at = self.memory(buffer, index)?;
            self.nest.push(match bounds.is_empty() {
                true => Inst::LoadSplat { to, at, dtype },
                false => Inst::LoadSplatIf { to, at, dtype, bounds, otherwise },
            });
            return Ok(Source::Value(to));
        }
        if self.contiguous(index) {
            let at = self.memory(buffer, index)?;
            let lanes = self.guarded(guard)?;
            let keep = lanes == Lanes::Guarded && otherwise != 0;
            if keep {
                self.nest.push(Inst::Splat { to, from: Source::Splat(otherwise) });
            }
            self.nest.push(Inst::Load { to, at, dtype, lanes, keep });
            return Ok(Source::Value(to));
        }
        self.words_only(dtype)?;
        if guard.is_empty() && self.every_other(index) {
            let at = self.memory(buffer, index)?;
            let index = self.table(std::array::from_fn(|lane| 2 * lane as u32));
            let (index, lanes) = (self.in_vector(index), self.guarded(guard)?);
            self.nest.code.pairs = true;
            self.nest.push(Inst::LoadPairs { to, at, index, lanes });
            return Ok(Source::Value(to));
        }
        let (base, steps) = self.scattered(buffer, index)?;
        let lanes = self.guarded(guard)?;
        self.nest.push(Inst::Splat { to, from: Source::Splat(otherwise) });
        self.nest.push(Inst::Gather { to, base, index: steps, lanes });
        Ok(Source::Value(to))
    }

    fn words_only(&self, dtype: DType) -> Result<(), Refusal> {
        let fits = dtype.bytes() == 4;
        if fits { Ok(()) } else { Err(format!("{dtype} at places that are not neighbours")) }
    }

    /// The first lane's place, and how many elements the lanes are from it.
    fn scattered(&mut self, buffer: BufferArg, index: &Index) -> Result<(G, V), Refusal> {
        let base = self.pointer(buffer, index)?;
        let steps = self.lane_steps(index)?.unwrap_or(Source::Splat(0));
        Ok((base, self.in_vector(steps)))
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
        let source = self.get(value)?;
        if self.lanes.is_none() {
            return self.store_one(buffer, dtype, index, source, guard, accumulate);
        }
        let moves = self.lanes.as_ref().is_some_and(|l| index_is_wide(index, l.var, &l.wide));
        if !moves {
            // The same number at the same place from every iteration.
            if self.is_wide(value) || accumulate || !guard.is_empty() {
                return Err("lanes that store to one place".into());
            }
            return self.store_one(buffer, dtype, index, source, guard, false);
        }
        if self.contiguous(index) {
            let at = self.memory(buffer, index)?;
            let mut from = self.in_vector(source);
            if accumulate {
                let active = self.lanes.as_ref().map_or(Lanes::All, |l| l.active);
                // Lanes that a guard leaves out may be outside of the buffer.
                let lanes = if guard.is_empty() { active } else { self.guarded(guard)? };
                let before = self.nest.vector();
                self.nest.push(Inst::Load { to: before, at, dtype, lanes, keep: false });
                let sum = self.binary(Binary::Add, dtype, Source::Value(before), source)?;
                from = self.in_vector(sum);
            }
            let lanes = self.guarded(guard)?;
            let far = lanes == Lanes::All && self.leaves_caches(buffer, index);
            self.nest.code.far |= far;
            self.nest.push(Inst::Store { from, at, dtype, lanes, far });
            return Ok(());
        }
        self.words_only(dtype)?;
        let gathers = self.lanes.as_ref().is_some_and(|l| has_wide_term(index, &l.wide));
        if accumulate && gathers {
            return Err("lanes that may add to one place".into());
        }
        if guard.is_empty() && !accumulate && self.every_other(index) {
            let at = self.memory(buffer, index)?;
            let from = self.in_vector(source);
            let index = [0, 8].map(|first| self.table(std::array::from_fn(|lane| first + lane as u32 / 2)));
            let (index, lanes) = (index.map(|table| self.in_vector(table)), self.guarded(guard)?);
            self.nest.code.pairs = true;
            self.nest.push(Inst::StorePairs { from, at, index, lanes });
            return Ok(());
        }
        let (base, steps) = self.scattered(buffer, index)?;
        let mut from = self.in_vector(source);
        if accumulate {
            let lanes = self.guarded(guard)?;
            let before = self.nest.vector();
            self.nest.push(Inst::Splat { to: before, from: Source::Splat(0) });
            self.nest.push(Inst::Gather { to: before, base, index: steps, lanes });
            let sum = self.binary(Binary::Add, dtype, Source::Value(before), source)?;
            from = self.in_vector(sum);
        }
        let lanes = self.guarded(guard)?;
        self.nest.push(Inst::Scatter { from, base, index: steps, lanes });
        Ok(())
    }

    /// Whether a result is so large that nothing of it is still in a cache when it is read. Such a store need not fetch
    /// the line that it overwrites, which is a third of the memory's work. Buffers begin at multiples of 64 bytes, and
    /// loops over lanes are cut at multiples of sixteen.
    fn leaves_caches(&self, buffer: BufferArg, index: &Index) -> bool {
        let decl = &self.kernel.buffers[buffer.0 as usize];
        let Some(lanes) = &self.lanes else { return false };
        let whole = |stride: i64| stride % super::select::LANES == 0;
        self.alone
            && decl.access == Access::Write
            && decl.dtype.bytes() == 4
            && decl.len >= CACHED
            && decl.len.is_multiple_of(super::select::LANES as usize)
            && whole(index.offset)
            && index.values.is_empty()
            && index.terms.iter().all(|&(var, stride)| var == lanes.var || whole(stride))
    }

    fn store_one(
        &mut self,
        buffer: BufferArg,
        dtype: DType,
        index: &Index,
        source: Source,
        guard: &[Bound],
        accumulate: bool,
    ) -> Result<(), Refusal> {
        let Some(bounds) = self.bounds(guard)? else { return Ok(()) };
        // All that others may use must be computed before the jump.
        let at = self.memory(buffer, index)?;
        let mut from = self.in_vector(source);
        let after = self.nest.mark();
        for &(index, limit) in &bounds {
            self.nest.push(Inst::JumpOutside { index, limit, to: after });
        }
        if accumulate {
            let before = self.nest.vector();
            self.nest.push(Inst::LoadSplat { to: before, at, dtype });
            let sum = self.binary(Binary::Add, dtype, Source::Value(before), source)?;
            if let Source::Value(sum) = sum {
                from = sum;
            }
        }
        self.nest.push(Inst::StoreOne { from, at, dtype });
        self.nest.push(Inst::Place(after));
        Ok(())
    }
}
