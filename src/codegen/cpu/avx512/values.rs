//! Scalar operations as instructions on sixteen lanes. What each gives is what `ops` of the Cranelift path says, bit for
//! bit; the elementary functions are those of [`functions`].

use super::code::*;
use super::select::Select;
use crate::codegen::cpu::emit::Refusal;
use crate::codegen::cpu::functions::{self, Arithmetic};
use crate::ops::{Binary, Compare, DType, Unary};

/// A constant as a lane holds it.
pub fn bits(dtype: DType, value: f64) -> u32 {
    match dtype {
        DType::Bool if value != 0.0 => u32::MAX,
        DType::Bool => 0,
        DType::U8 => u32::from(value as u8),
        DType::I8 => value as i8 as u32,
        DType::I32 => value as i32 as u32,
        _ => (value as f32).to_bits(),
    }
}

const SIGN: u32 = 1 << 31;

fn is_number(source: Source) -> bool {
    matches!(source, Source::Splat(bits) if !f32::from_bits(bits).is_nan())
}

impl Select<'_> {
    fn made(&mut self, inst: impl FnOnce(V) -> Inst) -> Source {
        let to = self.nest.vector();
        self.nest.push(inst(to));
        Source::Value(to)
    }

    pub fn two(&mut self, op: Two, a: Source, b: Source) -> Source {
        self.made(|to| Inst::Two { op, to, a, b })
    }

    pub fn one(&mut self, op: One, a: Source) -> Source {
        self.made(|to| Inst::One { op, to, a })
    }

    fn test(&mut self, test: Test, kind: Kind, a: Source, b: Source) -> Source {
        self.made(|to| Inst::Compare { test, kind, to, a, b })
    }

    pub fn choose_lanes(&mut self, mask: Source, a: Source, b: Source) -> Source {
        let mask = self.in_vector(mask);
        self.made(|to| Inst::Select { to, mask, a, b })
    }

    /// A result in 32 bits brought back into its dtype.
    fn wrap(&mut self, dtype: DType, a: Source) -> Source {
        match dtype {
            DType::U8 => self.two(Two::And, a, Source::Splat(255)),
            DType::I8 => {
                let up = self.one(One::ShiftLeft(24), a);
                self.one(One::ShiftSign(24), up)
            }
            _ => a,
        }
    }

    pub fn unary(&mut self, op: Unary, dtype: DType, a: Source) -> Result<Source, Refusal> {
        if dtype == DType::F32 {
            return Ok(match op {
                Unary::Neg => self.two(Two::Xor, a, Source::Splat(SIGN)),
                Unary::Abs => self.two(Two::And, a, Source::Splat(!SIGN)),
                Unary::Sqrt => self.one(One::Sqrt, a),
                Unary::Floor => self.one(One::Floor, a),
                Unary::Ceil => self.one(One::Ceil, a),
                Unary::Round => self.one(One::Round, a),
                Unary::Exp => functions::exp(self, a),
                Unary::Log => functions::log(self, a),
                Unary::Tanh => functions::tanh(self, a),
                Unary::Erf => functions::erf(self, a),
                Unary::Not => {
                    let is_zero = self.test(Test::Equal, Kind::Float, a, Source::Splat(0));
                    self.two(Two::And, is_zero, Source::Splat(1f32.to_bits()))
                }
                Unary::Sin | Unary::Cos => return Err(format!("{} has no lanes", op.name())),
            });
        }
        Ok(match op {
            Unary::Not => {
                let flipped = self.two(Two::Xor, a, Source::Splat(u32::MAX));
                self.wrap(dtype, flipped)
            }
            Unary::Neg if dtype != DType::Bool => {
                let negated = self.two(Two::IntSub, Source::Splat(0), a);
                self.wrap(dtype, negated)
            }
            Unary::Abs if !matches!(dtype, DType::Bool | DType::U8) => {
                let negated = self.two(Two::IntSub, Source::Splat(0), a);
                let positive = self.two(Two::IntMax, a, negated);
                self.wrap(dtype, positive)
            }
            _ => a,
        })
    }

    pub fn binary(&mut self, op: Binary, dtype: DType, a: Source, b: Source) -> Result<Source, Refusal> {
        let unsupported = || Err(format!("{} of {dtype} has no lanes", op.name()));
        if dtype == DType::F32 {
            let plain = match op {
                Binary::Add => Two::Add,
                Binary::Sub => Two::Sub,
                Binary::Mul => Two::Mul,
                Binary::Div => Two::Div,
                Binary::Max | Binary::Min => return Ok(self.extremum(op == Binary::Max, a, b)),
                _ => return unsupported(),
            };
            return Ok(self.two(plain, a, b));
        }
        if dtype == DType::Bool {
            let plain = match op {
                Binary::And | Binary::Mul | Binary::Min => Two::And,
                Binary::Or | Binary::Add | Binary::Max => Two::Or,
                Binary::Xor | Binary::Sub => Two::Xor,
                _ => return unsupported(),
            };
            return Ok(self.two(plain, a, b));
        }
        let plain = match op {
            Binary::Add => Two::IntAdd,
            Binary::Sub => Two::IntSub,
            Binary::Mul => Two::IntMul,
            Binary::And => Two::And,
            Binary::Or => Two::Or,
            Binary::Xor => Two::Xor,
            Binary::Max => Two::IntMax,
            Binary::Min => Two::IntMin,
            Binary::Shl | Binary::Shr => {
                let result = self.shift(op == Binary::Shl, dtype, a, b);
                return Ok(self.wrap(dtype, result));
            }
            Binary::Atan2 => return Ok(Source::Splat(0)),
            Binary::Div | Binary::Rem | Binary::Pow => return unsupported(),
        };
        let result = self.two(plain, a, b);
        Ok(self.wrap(dtype, result))
    }

    /// The count is taken modulo the width.
    fn shift(&mut self, left: bool, dtype: DType, a: Source, b: Source) -> Source {
        let last = dtype.bytes() as u32 * 8 - 1;
        let a = if dtype == DType::I8 && !left { self.two(Two::And, a, Source::Splat(255)) } else { a };
        if let Source::Splat(count) = b {
            let count = (count & last) as u8;
            return self.one(if left { One::ShiftLeft(count) } else { One::ShiftRight(count) }, a);
        }
        let count = self.two(Two::And, b, Source::Splat(last));
        self.two(if left { Two::ShiftLeft } else { Two::ShiftRight }, a, count)
    }

    /// With a constant that is a number first, the instruction's own rule is the right one: the second if that is NaN.
    fn extremum(&mut self, larger: bool, a: Source, b: Source) -> Source {
        let (a, b) = if is_number(a) { (a, b) } else { (b, a) };
        if is_number(a) {
            return self.two(if larger { Two::Larger } else { Two::Smaller }, a, b);
        }
        self.made(|to| Inst::Extremum { larger, to, a, b })
    }

    pub fn compare(&mut self, op: Compare, dtype: DType, a: Source, b: Source) -> Source {
        let test = match op {
            Compare::Eq => Test::Equal,
            Compare::Ne => Test::NotEqual,
            Compare::Lt => Test::Less,
            Compare::Le => Test::LessEqual,
            Compare::Gt => Test::Greater,
            Compare::Ge => Test::GreaterEqual,
        };
        // A true bool is all ones: the largest number without a sign.
        let kind = match dtype {
            DType::F32 => Kind::Float,
            DType::Bool | DType::U8 => Kind::Unsigned,
            _ => Kind::Signed,
        };
        self.test(test, kind, a, b)
    }

    pub fn is_nan(&mut self, a: Source) -> Source {
        self.test(Test::Unordered, Kind::Float, a, a)
    }

    pub fn cast(&mut self, from: DType, to: DType, a: Source) -> Source {
        match (from, to) {
            _ if from == to => a,
            (_, DType::Bool) => self.compare(Compare::Ne, from, a, Source::Splat(0)),
            (DType::Bool, _) => self.two(Two::And, a, Source::Splat(bits(to, 1.0))),
            (DType::F32, _) => {
                let whole = self.truncate(a);
                if to == DType::I32 {
                    return whole;
                }
                let (low, high) = if to == DType::U8 { (0, 255) } else { (-128i32 as u32, 127) };
                let above = self.two(Two::IntMax, whole, Source::Splat(low));
                self.two(Two::IntMin, above, Source::Splat(high))
            }
            (_, DType::F32) => self.one(One::ToFloat, a),
            _ => self.wrap(to, a),
        }
    }

    /// Towards zero, to the nearest integer that there is; 0 of NaN.
    fn truncate(&mut self, a: Source) -> Source {
        // Too small gives the smallest already.
        let whole = self.one(One::ToInt, a);
        let above = self.test(Test::GreaterEqual, Kind::Float, a, Source::Splat(2147483648f32.to_bits()));
        let limited = self.choose_lanes(above, Source::Splat(i32::MAX as u32), whole);
        let is_nan = self.is_nan(a);
        self.choose_lanes(is_nan, Source::Splat(0), limited)
    }
}

impl Arithmetic for Select<'_> {
    type Value = Source;

    fn float(&mut self, value: f32) -> Source {
        Source::Splat(value.to_bits())
    }

    fn int(&mut self, value: i32) -> Source {
        Source::Splat(value as u32)
    }

    fn add(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::Add, a, b)
    }

    fn sub(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::Sub, a, b)
    }

    fn mul(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::Mul, a, b)
    }

    fn div(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::Div, a, b)
    }

    fn mul_add(&mut self, a: Source, b: Source, c: Source) -> Source {
        self.made(|to| Inst::MulAdd { to, a, b, c })
    }

    fn abs(&mut self, a: Source) -> Source {
        self.two(Two::And, a, Source::Splat(!SIGN))
    }

    fn smaller(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::Smaller, a, b)
    }

    fn larger(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::Larger, a, b)
    }

    fn less(&mut self, a: Source, b: Source) -> Source {
        self.test(Test::Less, Kind::Float, a, b)
    }

    fn less_equal(&mut self, a: Source, b: Source) -> Source {
        self.test(Test::LessEqual, Kind::Float, a, b)
    }

    fn equal(&mut self, a: Source, b: Source) -> Source {
        self.test(Test::Equal, Kind::Float, a, b)
    }

    fn both(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::And, a, b)
    }

    fn choose(&mut self, condition: Source, a: Source, b: Source) -> Source {
        self.choose_lanes(condition, a, b)
    }

    fn int_add(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::IntAdd, a, b)
    }

    fn int_sub(&mut self, a: Source, b: Source) -> Source {
        self.two(Two::IntSub, a, b)
    }

    fn shift_left(&mut self, a: Source, count: u8) -> Source {
        self.one(One::ShiftLeft(count), a)
    }

    fn shift_sign(&mut self, a: Source, count: u8) -> Source {
        self.one(One::ShiftSign(count), a)
    }

    fn to_float(&mut self, a: Source) -> Source {
        self.one(One::ToFloat, a)
    }

    fn scale(&mut self, value: Source, n: Source, _shifted: Source) -> Source {
        self.two(Two::Scale, value, n)
    }

    fn signed_like(&mut self, value: Source, x: Source) -> Source {
        let sign = self.two(Two::And, x, Source::Splat(SIGN));
        self.two(Two::Or, value, sign)
    }
}
