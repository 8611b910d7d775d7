//! Code with its registers assigned, as bytes: choice of instruction forms, the frame, what is on the stack.
//!
//! In: [`Code`] and its [`Allocation`]. Out: a function by the System V convention for x86-64. The frame holds the
//! arguments, then general registers, then vectors.

use super::assembler::*;
use super::code::{Code, G, Inst, Lanes, Limit, Memory, Register, Source, V};
use super::forms::{COMPARE_UNSIGNED, comparison};
use super::registers::{Allocation, GENERALS, Location};
use crate::ops::DType;

/// Kept for instructions whose operands are on the stack or constants.
pub const HELP: [Zmm; 2] = [Zmm(30), Zmm(31)];
const WORK: [Gpr; 2] = [Gpr(10), Gpr(11)];
/// The tail's lanes, the guarded lanes, and a mask that no one keeps.
const TAIL: Mask = Mask(1);
const GUARD: Mask = Mask(2);
pub const SCRATCH: Mask = Mask(3);

/// Of accesses to pairs: the words of the tail in the first and second vector, those of all lanes in the second, and
/// every other word.
const PAIRS_LOW: Mask = Mask(4);
const PAIRS_HIGH: Mask = Mask(5);
const PAIRS_ALL: Mask = Mask(6);
const EVEN: Mask = Mask(7);
/// The results of comparisons, where no pairs need these.
const LATEST: [Mask; 4] = [Mask(4), Mask(5), Mask(6), Mask(7)];

/// Where arguments are passed, and those registers that the caller expects back.
const ARGUMENTS: [Gpr; 6] = [Gpr(7), Gpr(6), Gpr(2), Gpr(1), Gpr(8), Gpr(9)];
const KEPT: [u8; 5] = [3, 12, 13, 14, 15];

pub const MOVE: Opcode = op(1, 0, 0x28);
const LOAD: Opcode = op(1, 0, 0x10);
const STORE: Opcode = op(1, 0, 0x11);
const STORE_FAR: Opcode = op(1, 0, 0x2b);
pub const BROADCAST: Opcode = op(2, 1, 0x18);
pub const LOGIC: Opcode = op(3, 1, 0x25);
const MASK_TO_LANES: Opcode = op(2, 2, 0x38);

pub fn encode(code: &Code, allocation: &Allocation) -> Vec<u8> {
    let mut asm = Assembler::default();
    for table in &code.tables {
        asm.lanes(*table);
    }
    let marks = (0..code.marks).map(|_| asm.label()).collect();
    let mut e = Encoder { asm, allocation, marks, tables: &code.tables, pairs: code.pairs, latest: [None; 4], next: 0 };
    e.enter();
    if code.pairs {
        for (mask, bits) in [(PAIRS_ALL, 0x7fff), (EVEN, 0x5555)] {
            e.asm.constant(WORK[0], bits);
            e.asm.mask_from(mask, WORK[0]);
        }
    }
    for inst in &code.insts {
        e.inst(inst);
    }
    if code.far {
        e.asm.fence();
    }
    e.leave();
    e.asm.finish()
}

pub struct Encoder<'a> {
    pub asm: Assembler,
    allocation: &'a Allocation,
    marks: Vec<Label>,
    tables: &'a [[u32; 16]],
    pairs: bool,
    /// The comparisons whose lanes are still in [`LATEST`].
    latest: [Option<V>; 4],
    /// Which of them goes next.
    next: usize,
}

impl Encoder<'_> {
    fn kept(&self) -> Vec<Gpr> {
        let numbers = self.allocation.used.iter().map(|&place| GENERALS[place]);
        numbers.filter(|n| KEPT.contains(n)).map(Gpr).collect()
    }

    fn vectors_at(&self) -> usize {
        (8 * (ARGUMENTS.len() + self.allocation.general_slots)).next_multiple_of(VECTOR_BYTES)
    }

    fn enter(&mut self) {
        self.asm.push(RBP);
        self.asm.copy(RBP, RSP);
        for register in self.kept() {
            self.asm.push(register);
        }
        let frame = self.vectors_at() + VECTOR_BYTES * self.allocation.vector_slots;
        self.asm.add_constant(RSP, -(frame as i32));
        self.asm.align_stack();
        for (i, register) in ARGUMENTS.into_iter().enumerate() {
            self.asm.store(Address::at(RSP, 8 * i as i32), register);
        }
    }

    fn leave(&mut self) {
        let kept = self.kept();
        self.asm.address_of(RSP, Address::at(RBP, -8 * kept.len() as i32));
        for register in kept.into_iter().rev() {
            self.asm.pop(register);
        }
        self.asm.pop(RBP);
        self.asm.leave_vectors();
        self.asm.ret();
    }

    fn slot(&self, register: Register, slot: usize) -> Address {
        let offset = match register {
            Register::Vector(_) => self.vectors_at() + VECTOR_BYTES * slot,
            Register::General(_) => 8 * (ARGUMENTS.len() + slot),
        };
        Address::at(RSP, offset as i32)
    }

    /// The general register, loaded into `help` if it is on the stack.
    fn general(&mut self, g: G, help: Gpr) -> Gpr {
        match self.allocation.of(Register::General(g)) {
            Location::Register(place) => Gpr(GENERALS[place]),
            Location::Slot(slot) => {
                self.asm.load(help, self.slot(Register::General(g), slot));
                help
            }
        }
    }

    /// Where to compute a general register, which [`Self::done`] stores if it is on the stack.
    fn general_target(&self, g: G) -> Gpr {
        match self.allocation.of(Register::General(g)) {
            Location::Register(place) => Gpr(GENERALS[place]),
            Location::Slot(_) => WORK[0],
        }
    }

    fn general_done(&mut self, g: G) {
        if let Location::Slot(slot) = self.allocation.of(Register::General(g)) {
            self.asm.store(self.slot(Register::General(g), slot), WORK[0]);
        }
    }

    fn address(&mut self, at: &Memory) -> Address {
        let base = self.general(at.base, WORK[0]);
        let index = at.index.map(|(g, scale)| (self.general(g, WORK[1]), scale));
        Address { base, index, offset: at.offset }
    }

    pub fn in_register(&self, source: Source) -> Option<Zmm> {
        match source {
            Source::Value(v) => match self.allocation.of(Register::Vector(v)) {
                Location::Register(n) => Some(Zmm(n as u8)),
                Location::Slot(_) => None,
            },
            _ => None,
        }
    }

    pub fn operand(&mut self, source: Source) -> Operand {
        match source {
            Source::Value(v) => match self.allocation.of(Register::Vector(v)) {
                Location::Register(n) => Operand::Register(Zmm(n as u8)),
                Location::Slot(slot) => Operand::Memory(self.slot(Register::Vector(v), slot)),
            },
            Source::Splat(bits) => Operand::Splat(bits),
            Source::Table(n) => Operand::Lanes(self.asm.lanes(self.tables[n])),
        }
    }

    pub fn fill(&mut self, to: Zmm, source: Source) {
        let operand = self.operand(source);
        match operand {
            Operand::Register(from) if from == to => {}
            Operand::Register(_) => self.plain(MOVE, to, None, operand),
            Operand::Splat(0) => self.plain(op(1, 1, 0xef), to, Some(to), Operand::Register(to)),
            Operand::Splat(u32::MAX) => self.asm.evex(LOGIC, to.0, Some(to), Operand::Register(to), FULL, Some(0xff)),
            // The memory operand of this one is a word as it is, not one marked as repeated.
            Operand::Splat(bits) => self.asm.evex(BROADCAST, to.0, None, Operand::Word(bits), FULL, None),
            _ => self.plain(LOAD, to, None, operand),
        }
    }

    /// The source in a register, `help` if it is in none.
    pub fn vector(&mut self, source: Source, help: Zmm) -> Zmm {
        match self.in_register(source) {
            Some(register) => register,
            None => {
                self.fill(help, source);
                help
            }
        }
    }

    pub fn target(&self, v: V) -> Zmm {
        self.in_register(Source::Value(v)).unwrap_or(HELP[0])
    }

    pub fn done(&mut self, v: V) {
        if let Location::Slot(slot) = self.allocation.of(Register::Vector(v)) {
            let at = Operand::Memory(self.slot(Register::Vector(v), slot));
            self.plain(STORE, HELP[0], None, at);
        }
    }

    pub fn plain(&mut self, code: Opcode, register: Zmm, source: Option<Zmm>, operand: Operand) {
        self.asm.evex(code, register.0, source, operand, FULL, None);
    }

    pub fn with(&mut self, code: Opcode, register: Zmm, source: Option<Zmm>, operand: Operand, immediate: u8) {
        self.asm.evex(code, register.0, source, operand, FULL, Some(immediate));
    }

    pub fn masked(&mut self, code: Opcode, register: Zmm, operand: Operand, mask: Mask, zero: bool) {
        self.asm.evex(code, register.0, None, operand, Form { mask, zero, width: 2 }, None);
    }

    /// The mask register that holds the lanes of a comparison's result.
    pub fn lanes_in_mask(&self, v: V) -> Option<Mask> {
        self.latest.iter().position(|l| *l == Some(v)).map(|at| LATEST[at])
    }

    /// Forgets masks that no longer are what a register holds.
    fn forget(&mut self, inst: &Inst) {
        if let Inst::Place(_) = inst {
            // Other ways lead there too.
            self.latest = [None; 4];
        }
        let latest = &mut self.latest;
        inst.registers(
            |_| (),
            |written| {
                for known in latest.iter_mut() {
                    *known = known.filter(|v| Register::Vector(*v) != written);
                }
            },
        );
    }

    fn inst(&mut self, inst: &Inst) {
        self.forget(inst);
        match inst {
            Inst::Splat { to, from } => {
                let target = self.target(*to);
                self.fill(target, *from);
                self.done(*to);
            }
            Inst::Two { op, to, a, b } => self.two(*op, *to, *a, *b),
            Inst::One { op, to, a } => self.one(*op, *to, *a),
            Inst::MulAdd { to, a, b, c } => self.mul_add(*to, *a, *b, *c),
            Inst::Compare { test, kind, to, a, b } => {
                let a = self.vector(*a, HELP[1]);
                let b = self.operand(*b);
                let (code, immediate) = comparison(*test, *kind);
                let mask = if self.pairs { SCRATCH } else { LATEST[self.next] };
                self.asm.evex(code, mask.0, Some(a), b, FULL, Some(immediate));
                self.lanes_of(mask, *to);
                if !self.pairs {
                    self.latest[self.next] = Some(*to);
                    self.next = (self.next + 1) % LATEST.len();
                }
            }
            Inst::Select { to, mask, a, b } => self.select(*to, *mask, *a, *b),
            Inst::Extremum { larger, to, a, b } => self.extremum(*larger, *to, *a, *b),
            Inst::Merge { to, value } => {
                let target = self.target(*to);
                self.fill(target, Source::Value(*to));
                let value = self.operand(Source::Value(*value));
                let code = if matches!(value, Operand::Register(_)) { MOVE } else { LOAD };
                self.masked(code, target, value, TAIL, false);
                self.done(*to);
            }
            Inst::FromGeneral { to, from } => {
                let from = self.general(*from, WORK[0]);
                let target = self.target(*to);
                self.plain(op(2, 1, 0x7c), target, None, Operand::Register(Zmm(from.0)));
                self.done(*to);
            }
            Inst::ToGeneral { to, from } => {
                let from = self.vector(Source::Value(*from), HELP[1]);
                let target = self.general_target(*to);
                self.move_to_general(target, from);
                self.asm.extend_sign(target);
                self.general_done(*to);
            }
            Inst::Load { to, at, dtype, lanes, keep } => {
                let at = self.address(at);
                let target = self.target(*to);
                if *keep {
                    self.fill(target, Source::Value(*to));
                }
                let code = match dtype {
                    DType::Bool | DType::U8 => op(2, 1, 0x31),
                    DType::I8 => op(2, 1, 0x21),
                    _ => LOAD,
                };
                self.masked(code, target, Operand::Memory(at), mask_of(*lanes), !keep);
                self.bool_lanes(*dtype, target);
                self.done(*to);
            }
            Inst::LoadSplat { to, at, dtype } => {
                let at = self.address(at);
                let target = self.target(*to);
                self.load_splat(target, at, *dtype);
                self.done(*to);
            }
            Inst::LoadSplatIf { to, at, dtype, bounds, otherwise } => {
                let target = self.target(*to);
                self.fill(target, Source::Splat(*otherwise));
                let after = self.asm.label();
                for (index, limit) in bounds {
                    self.jump_outside(*index, *limit, after);
                }
                let at = self.address(at);
                self.load_splat(target, at, *dtype);
                self.asm.place(after);
                self.done(*to);
            }
            Inst::LoadPairs { to, at, index, lanes } => {
                let at = self.address(at);
                let target = self.target(*to);
                let tail = *lanes == Lanes::Tail;
                let (low, high) = if tail { (PAIRS_LOW, PAIRS_HIGH) } else { (NO_MASK, PAIRS_ALL) };
                self.masked(LOAD, HELP[0], Operand::Memory(at), low, true);
                self.masked(LOAD, HELP[1], Operand::Memory(second(at)), high, true);
                // The form that overwrites the indices: they may be on the stack, and the vectors are in the helpers.
                self.fill(target, Source::Value(*index));
                self.plain(op(2, 1, 0x77), target, Some(HELP[0]), Operand::Register(HELP[1]));
                self.done(*to);
            }
            Inst::StorePairs { from, at, index, lanes } => {
                let at = self.address(at);
                let halves = [(PAIRS_LOW, at), (PAIRS_HIGH, second(at))];
                for ((mask, at), index) in halves.into_iter().zip(index) {
                    let index = self.vector(Source::Value(*index), HELP[1]);
                    let from = self.operand(Source::Value(*from));
                    self.plain(op(2, 1, 0x16), HELP[0], Some(index), from);
                    let mask = if *lanes == Lanes::Tail {
                        self.asm.mask_and(SCRATCH, mask, EVEN);
                        SCRATCH
                    } else {
                        EVEN
                    };
                    self.masked(STORE, HELP[0], Operand::Memory(at), mask, false);
                }
            }
            Inst::Gather { to, base, index, lanes } => {
                let target = self.target(*to);
                self.fill(target, Source::Value(*to));
                let index = self.vector(Source::Value(*index), HELP[1]);
                let base = self.general(*base, WORK[0]);
                self.copy_mask(*lanes);
                self.asm.indexed(op(2, 1, 0x92), target, base, index, 4, SCRATCH);
                self.done(*to);
            }
            Inst::Scatter { from, base, index, lanes } => {
                let from = self.vector(Source::Value(*from), HELP[0]);
                let index = self.vector(Source::Value(*index), HELP[1]);
                let base = self.general(*base, WORK[0]);
                self.copy_mask(*lanes);
                self.asm.indexed(op(2, 1, 0xa2), from, base, index, 4, SCRATCH);
            }
            Inst::Store { from, at, dtype, lanes, far } => {
                let at = Operand::Memory(self.address(at));
                let from = self.narrowed(*from, *dtype);
                let code = match dtype.bytes() {
                    1 => op(2, 2, 0x31),
                    _ if *far => STORE_FAR,
                    _ => STORE,
                };
                self.masked(code, from, at, mask_of(*lanes), false);
            }
            Inst::StoreOne { from, at, dtype } => {
                let at = self.address(at);
                let from = self.narrowed(*from, *dtype);
                if dtype.bytes() == 1 {
                    self.asm.address_of(WORK[0], at);
                    self.move_to_general(WORK[1], from);
                    self.asm.store_byte(Address::at(WORK[0], 0), WORK[1]);
                } else {
                    let form = Form { width: 0, ..FULL };
                    self.asm.evex(op(1, 2, 0x11), from.0, None, Operand::Memory(at), form, None);
                }
            }
            Inst::Prefetch { at } => {
                let at = self.address(at);
                self.asm.prefetch(at);
            }
            Inst::GuardBegin { tail: true } => self.asm.mask_copy(GUARD, TAIL),
            Inst::GuardBegin { tail: false } => self.asm.mask_ones(GUARD),
            Inst::GuardAnd { index, limit } => {
                let index = self.vector(Source::Value(*index), HELP[1]);
                let form = Form { mask: GUARD, ..FULL };
                self.asm.evex(COMPARE_UNSIGNED, GUARD.0, Some(index), Operand::Splat(*limit), form, Some(1));
            }
            Inst::TailLanes { counter, end } => {
                let counter = self.general(*counter, WORK[1]);
                let end = self.general(*end, WORK[0]);
                self.asm.copy(WORK[0], end);
                self.asm.subtract(WORK[0], counter);
                self.asm.low_bits(WORK[1], WORK[0]);
                self.asm.mask_from(TAIL, WORK[1]);
                if self.pairs {
                    self.asm.address_of(WORK[0], Address { base: WORK[0], index: Some((WORK[0], 1)), offset: -1 });
                    self.asm.low_bits(WORK[1], WORK[0]);
                    self.pair_masks();
                }
            }
            Inst::TailCount(count) => {
                self.asm.constant(WORK[0], (1 << count) - 1);
                self.asm.mask_from(TAIL, WORK[0]);
                if self.pairs {
                    self.asm.constant(WORK[1], (1 << (2 * count - 1)) - 1);
                    self.pair_masks();
                }
            }
            Inst::Argument { to, number } => {
                let target = self.general_target(*to);
                self.asm.load(target, Address::at(RSP, 8 * i32::from(*number)));
                self.general_done(*to);
            }
            Inst::Word { to, at } => {
                let at = self.address(at);
                let target = self.general_target(*to);
                self.asm.load(target, at);
                self.general_done(*to);
            }
            Inst::Constant { to, value } => {
                let target = self.general_target(*to);
                self.asm.constant(target, *value);
                self.general_done(*to);
            }
            Inst::Copy { to, from } => {
                let from = self.general(*from, WORK[0]);
                let target = self.general_target(*to);
                self.asm.copy(target, from);
                self.general_done(*to);
            }
            Inst::AddConstant { to, from, value } => {
                let from = self.general(*from, WORK[0]);
                let target = self.general_target(*to);
                match i32::try_from(*value) {
                    Ok(value) if target == from => self.asm.add_constant(target, value),
                    Ok(value) => self.asm.address_of(target, Address::at(from, value)),
                    Err(_) => {
                        self.asm.constant(WORK[1], *value);
                        self.asm.copy(target, from);
                        self.asm.add(target, WORK[1]);
                    }
                }
                self.general_done(*to);
            }
            Inst::Add { to, a, b } => {
                let a = self.general(*a, WORK[0]);
                let b = self.general(*b, WORK[1]);
                let target = self.general_target(*to);
                self.asm.address_of(target, Address { base: a, index: Some((b, 1)), offset: 0 });
                self.general_done(*to);
            }
            Inst::Scale { to, from, by } => {
                let from = self.general(*from, WORK[0]);
                let target = self.general_target(*to);
                // The selection refuses factors that do not fit.
                self.asm.multiply(target, from, *by as i32);
                self.general_done(*to);
            }
            Inst::Place(mark) => self.asm.place(self.marks[mark.0]),
            Inst::JumpUnlessLess { a, b, to } => {
                self.compare(*a, *b);
                self.asm.jump_if(Condition::GreaterOrEqual, self.marks[to.0]);
            }
            Inst::JumpIfLess { a, b, to } => {
                self.compare(*a, *b);
                self.asm.jump_if(Condition::Less, self.marks[to.0]);
            }
            Inst::JumpOutside { index, limit, to } => self.jump_outside(*index, *limit, self.marks[to.0]),
        }
    }

    /// Of the tail, by the bits of its words.
    fn pair_masks(&mut self) {
        self.asm.mask_from(PAIRS_LOW, WORK[1]);
        self.asm.shift_right(WORK[1], 16);
        self.asm.mask_from(PAIRS_HIGH, WORK[1]);
    }

    fn compare(&mut self, a: G, b: Limit) {
        let a = self.general(a, WORK[0]);
        match b {
            Limit::Constant(value) => self.compare_constant(a, value),
            Limit::Value(b) => {
                let b = self.general(b, WORK[1]);
                self.asm.compare(a, b);
            }
        }
    }

    fn compare_constant(&mut self, a: Gpr, value: i64) {
        match i32::try_from(value) {
            Ok(value) => self.asm.compare_constant(a, value),
            Err(_) => {
                self.asm.constant(WORK[1], value);
                self.asm.compare(a, WORK[1]);
            }
        }
    }

    fn jump_outside(&mut self, index: G, limit: i64, to: Label) {
        let index = self.general(index, WORK[0]);
        self.compare_constant(index, limit.max(0));
        self.asm.jump_if(Condition::AboveOrEqual, to);
    }

    /// The first lane's bits, in 32 bits.
    fn move_to_general(&mut self, to: Gpr, from: Zmm) {
        let form = Form { width: 0, ..FULL };
        self.asm.evex(op(1, 1, 0x7e), from.0, None, Operand::Register(Zmm(to.0)), form, None);
    }

    /// A value as it is stored: a bool as 0 or 1.
    fn narrowed(&mut self, from: V, dtype: DType) -> Zmm {
        let from = self.vector(Source::Value(from), HELP[0]);
        if dtype != DType::Bool {
            return from;
        }
        self.plain(op(1, 1, 0xdb), HELP[0], Some(from), Operand::Splat(1));
        HELP[0]
    }

    /// Lanes of 0 and others as those of a bool.
    fn bool_lanes(&mut self, dtype: DType, target: Zmm) {
        if dtype == DType::Bool {
            self.asm.evex(op(2, 1, 0x27), SCRATCH.0, Some(target), Operand::Register(target), FULL, None);
            self.plain(MASK_TO_LANES, target, None, Operand::Register(Zmm(SCRATCH.0)));
        }
    }

    fn lanes_of(&mut self, mask: Mask, to: V) {
        let target = self.target(to);
        self.plain(MASK_TO_LANES, target, None, Operand::Register(Zmm(mask.0)));
        self.done(to);
    }

    fn load_splat(&mut self, target: Zmm, at: Address, dtype: DType) {
        if dtype.bytes() == 1 {
            self.asm.load_byte(WORK[0], at, dtype == DType::I8);
            self.plain(op(2, 1, 0x7c), target, None, Operand::Register(Zmm(WORK[0].0)));
            self.bool_lanes(dtype, target);
        } else {
            self.plain(BROADCAST, target, None, Operand::Memory(at));
        }
    }

    fn copy_mask(&mut self, lanes: Lanes) {
        match lanes {
            Lanes::All => self.asm.mask_ones(SCRATCH),
            _ => self.asm.mask_copy(SCRATCH, mask_of(lanes)),
        }
    }
}

/// The place of the second of two vectors.
fn second(at: Address) -> Address {
    Address { offset: at.offset + VECTOR_BYTES as i32, ..at }
}

fn mask_of(lanes: Lanes) -> Mask {
    match lanes {
        Lanes::All => NO_MASK,
        Lanes::Tail => TAIL,
        Lanes::Guarded => GUARD,
    }
}
