//! Instructions as bytes: the part of x86-64 and AVX-512 that kernels need, jumps, and constants behind the code.
//!
//! In: instructions with registers by number. Out: position-independent bytes. Encodings are those of the Intel 64
//! manual, volume 2. Displacements are 32 bits wide: what an instruction says is found where it is read.

/// A general register, by its number in encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpr(pub u8);

/// A vector register of 512 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zmm(pub u8);

/// A mask register; number 0 means no mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub u8);

pub const RSP: Gpr = Gpr(4);
pub const RBP: Gpr = Gpr(5);
pub const NO_MASK: Mask = Mask(0);

/// `base + index * scale + offset`; the scale is 1, 2, 4 or 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub base: Gpr,
    pub index: Option<(Gpr, u8)>,
    pub offset: i32,
}

impl Address {
    pub fn at(base: Gpr, offset: i32) -> Address {
        Address { base, index: None, offset }
    }
}

/// The last operand of a vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    Register(Zmm),
    Memory(Address),
    /// One word behind the code, in all lanes.
    Splat(u32),
    /// One word behind the code, for an instruction that takes one.
    Word(u32),
    /// Sixteen words behind the code.
    Lanes(usize),
}

/// Opcode, opcode map (1: 0F, 2: 0F38, 3: 0F3A) and mandatory prefix (0: none, 1: 66, 2: F3, 3: F2) of an EVEX
/// instruction on words of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    pub map: u8,
    pub prefix: u8,
    pub byte: u8,
}

pub const fn op(map: u8, prefix: u8, byte: u8) -> Opcode {
    Opcode { map, prefix, byte }
}

/// A place in the code that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(pub usize);

/// Conditions of jumps, as encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Without sign: at least.
    AboveOrEqual = 0x3,
    Less = 0xc,
    GreaterOrEqual = 0xd,
}

/// Bytes of a vector.
pub const VECTOR_BYTES: usize = 64;

#[derive(Default)]
pub struct Assembler {
    bytes: Vec<u8>,
    labels: Vec<Option<usize>>,
    /// Displacements to fill in: where, and the label.
    jumps: Vec<(usize, Label)>,
    words: Vec<u32>,
    vectors: Vec<[u32; 16]>,
    /// Displacements to fill in: where they are, where the instruction ends, and the constant.
    constants: Vec<(usize, usize, Operand)>,
}

/// How an instruction treats lanes that its mask leaves out, and the width it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub mask: Mask,
    /// Lanes left out become zero instead of staying.
    pub zero: bool,
    /// 0: 128 bits, 2: 512 bits.
    pub width: u8,
}

pub const FULL: Form = Form { mask: NO_MASK, zero: false, width: 2 };

impl Assembler {
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.bytes.len());
    }

    /// The number of sixteen words behind the code.
    pub fn lanes(&mut self, words: [u32; 16]) -> usize {
        let known = self.vectors.iter().position(|v| *v == words);
        known.unwrap_or_else(|| {
            self.vectors.push(words);
            self.vectors.len() - 1
        })
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn int(&mut self, value: i32) {
        self.bytes.extend(value.to_le_bytes());
    }

    /// The ModRM byte and what follows it.
    fn address(&mut self, register: u8, at: Address) {
        let register = (register & 7) << 3;
        // A base whose number ends in 5 has no form without displacement; one that ends in 4 needs the extra byte.
        let short = at.offset == 0 && at.base.0 & 7 != 5;
        let mode = if short { 0 } else { 0x80 };
        match at.index {
            Some((index, scale)) => {
                self.byte(mode | register | 4);
                self.byte((scale.trailing_zeros() as u8) << 6 | (index.0 & 7) << 3 | at.base.0 & 7);
            }
            None if at.base.0 & 7 == 4 => {
                self.byte(mode | register | 4);
                self.byte(0x24);
            }
            None => self.byte(mode | register | at.base.0 & 7),
        }
        if !short {
            self.int(at.offset);
        }
    }

    /// Displacement relative to the next instruction, of a constant; `after` bytes follow it.
    fn behind(&mut self, register: u8, constant: Operand, after: usize) {
        self.byte((register & 7) << 3 | 5);
        let at = self.bytes.len();
        self.int(0);
        self.constants.push((at, at + 4 + after, constant));
        if let Operand::Splat(word) | Operand::Word(word) = constant
            && !self.words.contains(&word)
        {
            self.words.push(word);
        }
    }

    /// An EVEX instruction; `register` is the ModRM register (a vector, mask or general register, or an opcode's
    /// extension), `source` the operand in `vvvv`.
    pub fn evex(
        &mut self,
        code: Opcode,
        register: u8,
        source: Option<Zmm>,
        operand: Operand,
        form: Form,
        immediate: Option<u8>,
    ) {
        let source = source.map_or(0, |z| z.0);
        let (x, b, high) = match operand {
            // A register of 32 extends its number by X.
            Operand::Register(z) => (z.0 >> 4 & 1, z.0 >> 3 & 1, false),
            Operand::Memory(at) => (at.index.map_or(0, |i| i.0.0 >> 3 & 1), at.base.0 >> 3 & 1, false),
            Operand::Splat(_) => (0, 0, true),
            Operand::Lanes(_) | Operand::Word(_) => (0, 0, false),
        };
        self.prefix(code, register, source, [x, b], form, high);
        self.byte(code.byte);
        let after = immediate.is_some() as usize;
        match operand {
            Operand::Register(z) => self.byte(0xc0 | (register & 7) << 3 | z.0 & 7),
            Operand::Memory(at) => self.address(register, at),
            constant => self.behind(register, constant, after),
        }
        self.bytes.extend(immediate);
    }

    fn prefix(&mut self, code: Opcode, register: u8, source: u8, [x, b]: [u8; 2], form: Form, splat: bool) {
        let not = |bit: u8| bit & 1 ^ 1;
        self.byte(0x62);
        self.byte(not(register >> 3) << 7 | not(x) << 6 | not(b) << 5 | not(register >> 4) << 4 | code.map);
        self.byte((!source & 15) << 3 | 4 | code.prefix);
        let zero = (form.zero && form.mask != NO_MASK) as u8;
        self.byte(zero << 7 | form.width << 5 | (splat as u8) << 4 | not(source >> 4) << 3 | form.mask.0);
    }

    /// An EVEX instruction whose index is a vector: gathers and scatters. The scale is 1, 2, 4 or 8.
    pub fn indexed(&mut self, code: Opcode, register: Zmm, base: Gpr, index: Zmm, scale: u8, mask: Mask) {
        let not = |bit: u8| bit & 1 ^ 1;
        self.byte(0x62);
        let r = register.0;
        self.byte(not(r >> 3) << 7 | not(index.0 >> 3) << 6 | not(base.0 >> 3) << 5 | not(r >> 4) << 4 | code.map);
        self.byte(0x7c | code.prefix);
        self.byte(2 << 5 | not(index.0 >> 4) << 3 | mask.0);
        self.byte(code.byte);
        self.byte(0x80 | (r & 7) << 3 | 4);
        self.byte((scale.trailing_zeros() as u8) << 6 | (index.0 & 7) << 3 | base.0 & 7);
        self.int(0);
    }

    fn rex(&mut self, wide: bool, register: u8, index: u8, base: u8) {
        self.byte(0x40 | (wide as u8) << 3 | (register >> 3) << 2 | (index >> 3) << 1 | base >> 3);
    }

    fn general(&mut self, opcode: &[u8], register: u8, with: Gpr) {
        self.rex(true, register, 0, with.0);
        self.bytes.extend(opcode);
        self.byte(0xc0 | (register & 7) << 3 | with.0 & 7);
    }

    pub fn copy(&mut self, to: Gpr, from: Gpr) {
        if to != from {
            self.general(&[0x8b], to.0, from);
        }
    }

    pub fn constant(&mut self, to: Gpr, value: i64) {
        if let Ok(small) = i32::try_from(value) {
            self.general(&[0xc7], 0, to);
            self.int(small);
        } else {
            self.rex(true, 0, 0, to.0);
            self.byte(0xb8 | to.0 & 7);
            self.bytes.extend(value.to_le_bytes());
        }
    }

    pub fn load(&mut self, to: Gpr, at: Address) {
        self.rex(true, to.0, at.index.map_or(0, |i| i.0.0), at.base.0);
        self.byte(0x8b);
        self.address(to.0, at);
    }

    pub fn store(&mut self, at: Address, from: Gpr) {
        self.rex(true, from.0, at.index.map_or(0, |i| i.0.0), at.base.0);
        self.byte(0x89);
        self.address(from.0, at);
    }

    /// One byte, extended with zeros or its sign.
    pub fn load_byte(&mut self, to: Gpr, at: Address, signed: bool) {
        self.rex(true, to.0, at.index.map_or(0, |i| i.0.0), at.base.0);
        self.bytes.extend([0x0f, if signed { 0xbe } else { 0xb6 }]);
        self.address(to.0, at);
    }

    pub fn store_byte(&mut self, at: Address, from: Gpr) {
        self.rex(false, from.0, at.index.map_or(0, |i| i.0.0), at.base.0);
        self.byte(0x88);
        self.address(from.0, at);
    }

    /// What was stored is seen before what is stored from now on (`sfence`).
    pub fn fence(&mut self) {
        self.bytes.extend([0x0f, 0xae, 0xf8]);
    }

    /// Into all caches (`prefetcht0`).
    pub fn prefetch(&mut self, at: Address) {
        self.rex(false, 0, at.index.map_or(0, |i| i.0.0), at.base.0);
        self.bytes.extend([0x0f, 0x18]);
        self.address(1, at);
    }

    pub fn add(&mut self, to: Gpr, other: Gpr) {
        self.general(&[0x03], to.0, other);
    }

    pub fn add_constant(&mut self, to: Gpr, value: i32) {
        self.general(&[0x81], 0, to);
        self.int(value);
    }

    pub fn multiply(&mut self, to: Gpr, from: Gpr, by: i32) {
        self.general(&[0x69], to.0, from);
        self.int(by);
    }

    pub fn subtract(&mut self, to: Gpr, other: Gpr) {
        self.general(&[0x2b], to.0, other);
    }

    pub fn compare(&mut self, a: Gpr, b: Gpr) {
        self.general(&[0x3b], a.0, b);
    }

    pub fn compare_constant(&mut self, a: Gpr, value: i32) {
        self.general(&[0x81], 7, a);
        self.int(value);
    }

    /// The low 32 bits with their sign.
    pub fn extend_sign(&mut self, to: Gpr) {
        self.general(&[0x63], to.0, to);
    }

    pub fn align_stack(&mut self) {
        self.general(&[0x83], 4, RSP);
        self.byte((-(VECTOR_BYTES as i8)) as u8);
    }

    pub fn push(&mut self, register: Gpr) {
        self.rex(false, 0, 0, register.0);
        self.byte(0x50 | register.0 & 7);
    }

    pub fn pop(&mut self, register: Gpr) {
        self.rex(false, 0, 0, register.0);
        self.byte(0x58 | register.0 & 7);
    }

    pub fn address_of(&mut self, to: Gpr, at: Address) {
        self.rex(true, to.0, at.index.map_or(0, |i| i.0.0), at.base.0);
        self.byte(0x8d);
        self.address(to.0, at);
    }

    pub fn jump_if(&mut self, condition: Condition, to: Label) {
        self.bytes.extend([0x0f, 0x80 | condition as u8]);
        self.jumps.push((self.bytes.len(), to));
        self.int(0);
    }

    /// The low 16 bits of a general register as a mask (`kmovw`).
    pub fn mask_from(&mut self, to: Mask, from: Gpr) {
        self.bytes.extend([0xc5, 0x78 | 0x80, 0x92, 0xc0 | to.0 << 3 | from.0 & 7]);
        if from.0 > 7 {
            // The form with an extended register has three prefix bytes.
            let at = self.bytes.len() - 4;
            self.bytes.splice(at..at + 2, [0xc4, 0xc1, 0x78]);
        }
    }

    /// All ones (`kxnorw`).
    pub fn mask_ones(&mut self, to: Mask) {
        self.bytes.extend([0xc5, 0xfc - (to.0 << 3), 0x46, 0xc0 | to.0 << 3 | to.0]);
    }

    /// `kandw`
    pub fn mask_and(&mut self, to: Mask, a: Mask, b: Mask) {
        self.bytes.extend([0xc5, 0xfc - (a.0 << 3), 0x41, 0xc0 | to.0 << 3 | b.0]);
    }

    /// Filled with zeros.
    pub fn shift_right(&mut self, register: Gpr, count: u8) {
        self.general(&[0xc1], 5, register);
        self.byte(count);
    }

    /// `kmovw`
    pub fn mask_copy(&mut self, to: Mask, from: Mask) {
        self.bytes.extend([0xc5, 0xf8, 0x90, 0xc0 | to.0 << 3 | from.0]);
    }

    /// The low `count` bits of minus one (`bzhi`), in 32 bits.
    pub fn low_bits(&mut self, to: Gpr, count: Gpr) {
        self.constant(to, -1);
        let not = |register: Gpr| register.0 >> 3 & 1 ^ 1;
        self.bytes.extend([0xc4, not(to) << 7 | 0x40 | not(to) << 5 | 2, (!count.0 & 15) << 3, 0xf5]);
        self.byte(0xc0 | (to.0 & 7) << 3 | to.0 & 7);
    }

    /// The upper parts of all vector registers become zero, as code of other widths expects.
    pub fn leave_vectors(&mut self) {
        self.bytes.extend([0xc5, 0xf8, 0x77]);
    }

    pub fn ret(&mut self) {
        self.byte(0xc3);
    }

    /// The finished code: jumps and constants filled in, constants behind it.
    pub fn finish(mut self) -> Vec<u8> {
        for (at, label) in std::mem::take(&mut self.jumps) {
            let target = self.labels[label.0].unwrap_or_default() as i32;
            self.patch(at, target - (at as i32 + 4));
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(VECTOR_BYTES), 0xcc);
        let vectors = self.bytes.len();
        for vector in std::mem::take(&mut self.vectors) {
            self.bytes.extend(vector.iter().flat_map(|w| w.to_le_bytes()));
        }
        let words = self.bytes.len();
        for word in &self.words {
            self.bytes.extend(word.to_le_bytes());
        }
        for (at, end, constant) in std::mem::take(&mut self.constants) {
            let place = match constant {
                Operand::Splat(word) | Operand::Word(word) => {
                    words + 4 * self.words.iter().position(|w| *w == word).unwrap_or_default()
                }
                Operand::Lanes(n) => vectors + VECTOR_BYTES * n,
                Operand::Register(_) | Operand::Memory(_) => continue,
            };
            self.patch(at, place as i32 - end as i32);
        }
        self.bytes
    }

    fn patch(&mut self, at: usize, displacement: i32) {
        self.bytes[at..at + 4].copy_from_slice(&displacement.to_le_bytes());
    }
}
