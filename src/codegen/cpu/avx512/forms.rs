//! Which form of an instruction: by what is in a register, on the stack or a constant, and by whose register the result
//! takes. Opcodes are those of the Intel 64 manual, volume 2.

use super::assembler::*;
use super::code::{Kind, One, Source, Test, Two, V};
use super::encode::{BROADCAST, Encoder, HELP, LOGIC, MOVE, SCRATCH};

const COMPARE_FLOATS: Opcode = op(1, 0, 0xc2);
const BLEND: Opcode = op(2, 1, 0x65);
const COMPARE_SIGNED: Opcode = op(3, 1, 0x1f);
pub const COMPARE_UNSIGNED: Opcode = op(3, 1, 0x1e);

impl Encoder<'_> {
    pub fn two(&mut self, op: Two, to: V, a: Source, b: Source) {
        let commutes = matches!(op, Two::Add | Two::Mul | Two::IntAdd | Two::IntMul | Two::And | Two::Or | Two::Xor);
        let swap = commutes && self.in_register(a).is_none() && self.in_register(b).is_some();
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let a = self.vector(a, HELP[1]);
        let b = self.operand(b);
        let target = self.target(to);
        self.plain(two_code(op), target, Some(a), b);
        self.done(to);
    }

    pub fn one(&mut self, which: One, to: V, a: Source) {
        let target = self.target(to);
        match which {
            One::Swap(by) if by >= 4 => {
                let a = self.vector(a, HELP[1]);
                let order = if by == 8 { 0x4e } else { 0xb1 };
                self.with(op(3, 1, 0x23), target, Some(a), Operand::Register(a), order);
            }
            One::Swap(by) => {
                let a = self.vector(a, HELP[1]);
                self.with(op(3, 1, 0x04), target, None, Operand::Register(a), if by == 2 { 0x4e } else { 0xb1 });
            }
            One::First => {
                let a = Operand::Register(self.vector(a, HELP[1]));
                self.plain(BROADCAST, target, None, a);
            }
            One::ShiftLeft(count) | One::ShiftRight(count) | One::ShiftSign(count) => {
                let which = match which {
                    One::ShiftLeft(_) => 6,
                    One::ShiftRight(_) => 2,
                    _ => 4,
                };
                let a = Operand::Register(self.vector(a, HELP[1]));
                self.asm.evex(op(1, 1, 0x72), which, Some(target), a, FULL, Some(count));
            }
            One::Floor | One::Ceil | One::Round => {
                let mode = match which {
                    One::Floor => 9,
                    One::Ceil => 10,
                    _ => 8,
                };
                let a = self.operand(a);
                self.with(op(3, 1, 0x08), target, None, a, mode);
            }
            One::Sqrt | One::ToFloat | One::ToInt => {
                let code = match which {
                    One::Sqrt => op(1, 0, 0x51),
                    One::ToFloat => op(1, 0, 0x5b),
                    _ => op(1, 2, 0x5b),
                };
                let a = self.operand(a);
                self.plain(code, target, None, a);
            }
        }
        self.done(to);
    }

    /// The form by what the result's register holds: 132 multiplies it by the last operand and adds the middle one, 213
    /// by the middle one and adds the last, 231 adds to it the product of both.
    pub fn mul_add(&mut self, to: V, a: Source, b: Source, c: Source) {
        const F132: Opcode = op(2, 1, 0x98);
        const F213: Opcode = op(2, 1, 0xa8);
        const F231: Opcode = op(2, 1, 0xb8);
        let target = self.target(to);
        let swap = self.in_register(a).is_none() && self.in_register(b).is_some();
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let a = self.vector(a, HELP[1]);
        match (self.in_register(b), self.in_register(c)) {
            (None, Some(c)) => {
                let b = self.operand(b);
                if target == c {
                    self.plain(F231, target, Some(a), b);
                } else {
                    self.fill_register(target, a);
                    self.plain(F132, target, Some(c), b);
                }
            }
            (Some(b), Some(c)) if target == c => self.plain(F231, target, Some(a), Operand::Register(b)),
            (b_register, _) => {
                // The second helper may hold the first factor, and the first is free: no result depends on it yet.
                let b = b_register.unwrap_or_else(|| self.vector(b, HELP[0]));
                let c = self.operand(c);
                let factor = if target == b { a } else { b };
                if target != b {
                    self.fill_register(target, a);
                }
                self.plain(F213, target, Some(factor), c);
            }
        }
        self.done(to);
    }

    fn fill_register(&mut self, to: Zmm, from: Zmm) {
        if to != from {
            self.plain(MOVE, to, None, Operand::Register(from));
        }
    }

    /// `mask ? a : b`: by the mask register if that still holds the comparison, else by the truth tables, which differ by
    /// what of the three the result's register holds.
    pub fn select(&mut self, to: V, mask: V, a: Source, b: Source) {
        let target = self.target(to);
        if let Some(lanes) = self.lanes_in_mask(mask) {
            let b = self.vector(b, HELP[0]);
            let a = self.operand(a);
            let form = Form { mask: lanes, ..FULL };
            self.asm.evex(BLEND, target.0, Some(b), a, form, None);
            self.done(to);
            return;
        }
        let mask = self.vector(Source::Value(mask), HELP[0]);
        if self.in_register(a) == Some(target) && mask != target {
            let b = self.operand(b);
            self.with(LOGIC, target, Some(mask), b, 0xe2);
        } else if self.in_register(b) == Some(target) && mask != target {
            let a = self.operand(a);
            self.with(LOGIC, target, Some(mask), a, 0xb8);
        } else {
            let a = self.vector(a, HELP[1]);
            let b = self.operand(b);
            self.fill_register(target, mask);
            self.with(LOGIC, target, Some(a), b, 0xca);
        }
        self.done(to);
    }

    pub fn extremum(&mut self, larger: bool, to: V, a: Source, b: Source) {
        let a = self.vector(a, HELP[1]);
        let b = self.operand(b);
        let target = self.target(to);
        let best = if target == a { HELP[0] } else { target };
        self.plain(two_code(if larger { Two::Larger } else { Two::Smaller }), best, Some(a), b);
        let (code, immediate) = comparison(Test::Unordered, Kind::Float);
        self.asm.evex(code, SCRATCH.0, Some(a), Operand::Register(a), FULL, Some(immediate));
        self.masked(MOVE, best, Operand::Register(a), SCRATCH, false);
        self.fill_register(target, best);
        self.done(to);
    }
}

fn two_code(which: Two) -> Opcode {
    match which {
        Two::Add => op(1, 0, 0x58),
        Two::Sub => op(1, 0, 0x5c),
        Two::Mul => op(1, 0, 0x59),
        Two::Div => op(1, 0, 0x5e),
        Two::Smaller => op(1, 0, 0x5d),
        Two::Larger => op(1, 0, 0x5f),
        Two::Scale => op(2, 1, 0x2c),
        Two::IntAdd => op(1, 1, 0xfe),
        Two::IntSub => op(1, 1, 0xfa),
        Two::IntMul => op(2, 1, 0x40),
        Two::IntMin => op(2, 1, 0x39),
        Two::IntMax => op(2, 1, 0x3d),
        Two::And => op(1, 1, 0xdb),
        Two::Or => op(1, 1, 0xeb),
        Two::Xor => op(1, 1, 0xef),
        Two::ShiftLeft => op(2, 1, 0x47),
        Two::ShiftRight => op(2, 1, 0x45),
    }
}

/// The instruction and its predicate.
pub fn comparison(test: Test, kind: Kind) -> (Opcode, u8) {
    if kind == Kind::Float {
        let predicate = match test {
            Test::Equal => 0x00,
            Test::NotEqual => 0x04,
            Test::Less => 0x11,
            Test::LessEqual => 0x12,
            Test::Greater => 0x1e,
            Test::GreaterEqual => 0x1d,
            Test::Unordered => 0x03,
        };
        return (COMPARE_FLOATS, predicate);
    }
    let predicate = match test {
        Test::Equal => 0,
        Test::Less => 1,
        Test::LessEqual => 2,
        Test::NotEqual => 4,
        Test::GreaterEqual => 5,
        Test::Greater => 6,
        // No integer is.
        Test::Unordered => 3,
    };
    (if kind == Kind::Signed { COMPARE_SIGNED } else { COMPARE_UNSIGNED }, predicate)
}
