//! The elementary functions by Cranelift: the operations that [`super::functions`] is written in, on scalars and on four
//! lanes, and sin and cos, which reduce their argument in double precision.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Type, types};

use super::emit::{Emit, Refusal};
use super::functions::{
    self, Arithmetic, COS, ERF_EDGE, ERF_LARGE, ERF_LIMIT, ERF_SMALL, EXP, EXP2, LN2_HIGH, LN2_LOW, LOG, MAGIC, SIN,
    TANH, TRIG_LIMIT, polynomial,
};
use super::symbols::Symbol;
use crate::codegen::loops::{Expr, Stmt};
use crate::ops::{DType, Unary};

/// The other constants that occur by lanes.
const OTHERS: [f32; 21] = [
    MAGIC,
    TRIG_LIMIT,
    -LN2_HIGH,
    -LN2_LOW,
    LN2_HIGH,
    LN2_LOW,
    std::f32::consts::LOG2_E,
    89.0,
    -105.0,
    f32::MIN_POSITIVE,
    8388608.0,
    1.0,
    2.0,
    23.0,
    -0.5,
    f32::INFINITY,
    f32::NEG_INFINITY,
    9.25,
    0.625,
    ERF_EDGE,
    ERF_LIMIT,
];
const INTEGERS: [i32; 5] = [MAGIC.to_bits() as i32, 127, std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32, i32::MIN, 1];

/// Four equal lanes.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Splat(#[allow(dead_code, reason = "read by generated code")] [u32; 4]);

const TABLE_LEN: usize = WORDS_OF_LISTS + OTHERS.len() + INTEGERS.len();
const WORDS_OF_LISTS: usize =
    EXP.len() + EXP2.len() + LOG.len() + TANH.len() + SIN.len() + COS.len() + ERF_SMALL.len() + ERF_LARGE.len();

/// Bits of all constants.
const WORDS: [u32; TABLE_LEN] = {
    let lists: [&[f32]; 9] = [&EXP, &EXP2, &LOG, &TANH, &SIN, &COS, &ERF_SMALL, &ERF_LARGE, &OTHERS];
    let mut words = [0; TABLE_LEN];
    let (mut at, mut list) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            words[at] = lists[list][i].to_bits();
            (at, i) = (at + 1, i + 1);
        }
        list += 1;
    }
    let mut i = 0;
    while i < INTEGERS.len() {
        words[at] = INTEGERS[i] as u32;
        (at, i) = (at + 1, i + 1);
    }
    words
};

/// The constants in memory. The functions here use more of them than there are registers; as operands in memory they
/// cost nothing, while constants that Cranelift moves out of a loop are spilled and read back.
static TABLE: [Splat; TABLE_LEN] = {
    let mut table = [Splat([0; 4]); TABLE_LEN];
    let mut i = 0;
    while i < TABLE_LEN {
        table[i] = Splat([WORDS[i]; 4]);
        i += 1;
    }
    table
};

/// The name under which modules import the table.
pub(super) const TABLE_NAME: &str = "nnc_math_constants";

pub(super) fn table_address() -> *const u8 {
    TABLE.as_ptr().cast()
}

/// Whether code here has more constants than registers hold. The exponential alone does not.
pub(super) fn needs_table(body: &[Stmt]) -> bool {
    use Unary::{Cos, Erf, Log, Sin, Tanh};
    body.iter().any(|stmt| match stmt {
        Stmt::Let { expr, .. } => matches!(expr, Expr::Unary(Log | Sin | Cos | Tanh | Erf, _)),
        Stmt::For { body, .. } | Stmt::Fold { body, .. } => needs_table(body),
        Stmt::Store { .. } => false,
    })
}

impl Emit<'_, '_> {
    fn f(&mut self, wide: bool, value: f32) -> ir::Value {
        match self.in_table(wide, value.to_bits(), types::F32X4) {
            Some(constant) => constant,
            None => self.constant(DType::F32, value as f64, wide),
        }
    }

    fn i(&mut self, wide: bool, value: i32) -> ir::Value {
        match self.in_table(wide, value as u32, types::I32X4) {
            Some(constant) => constant,
            None => self.constant(DType::I32, value as f64, wide),
        }
    }

    /// Four lanes of a constant as an operand in memory. Its address depends, in form, on the loop's counter (by bits that
    /// are always zero): otherwise Cranelift would load it before the loop.
    fn in_table(&mut self, wide: bool, bits: u32, ty: Type) -> Option<ir::Value> {
        let table = self.table.filter(|_| wide)?;
        let at = WORDS.iter().position(|w| *w == bits)?;
        let here = match self.innermost {
            Some(counter) => {
                let nothing = self.b.ins().ushr_imm_u(counter, 62);
                self.b.ins().iadd(table, nothing)
            }
            None => table,
        };
        let flags = MemFlagsData::new().with_notrap().with_aligned().with_readonly().with_can_move();
        Some(self.b.ins().load(ty, flags, here, 16 * at as i32))
    }

    fn int_type(wide: bool) -> Type {
        if wide { types::I32X4 } else { types::I32 }
    }

    fn float_type(wide: bool) -> Type {
        if wide { types::F32X4 } else { types::F32 }
    }

    fn by(&mut self, wide: bool) -> On<'_, Self> {
        On { emit: self, wide }
    }

    pub fn exp(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        functions::exp(&mut self.by(wide), x)
    }

    pub fn log(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        functions::log(&mut self.by(wide), x)
    }

    pub fn tanh(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        functions::tanh(&mut self.by(wide), x)
    }

    pub fn erf(&mut self, x: ir::Value, wide: bool) -> ir::Value {
        functions::erf(&mut self.by(wide), x)
    }

    /// The argument is reduced in double precision, where the product with a short first part of pi/2 is exact.
    pub fn sin_cos(&mut self, x: ir::Value, wide: bool, cosine: bool) -> Result<ir::Value, Refusal> {
        let (r, quadrant) = if wide {
            let low = self.b.ins().fvpromote_low(x);
            let as_double = self.bits(types::F64X2, x);
            let swapped = self.shuffle(as_double, as_double, &[8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
            let swapped = self.bits(types::F32X4, swapped);
            let high = self.b.ins().fvpromote_low(swapped);
            let (r_low, n_low) = self.reduce(low, true);
            let (r_high, n_high) = self.reduce(high, true);
            let (r_low, r_high) = (self.b.ins().fvdemote(r_low), self.b.ins().fvdemote(r_high));
            let r = self.shuffle(r_low, r_high, &[0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
            let n = self.shuffle(n_low, n_high, &[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]);
            (self.bits(types::F32X4, r), self.bits(types::I32X4, n))
        } else {
            let double = self.b.ins().fpromote(types::F64, x);
            let (r, n) = self.reduce(double, false);
            let bits = self.bits(types::I64, n);
            (self.b.ins().fdemote(types::F32, r), self.b.ins().ireduce(types::I32, bits))
        };
        let one_bit = self.i(wide, 1);
        let quadrant = if cosine { self.b.ins().iadd(quadrant, one_bit) } else { quadrant };
        let z = self.b.ins().fmul(r, r);
        let m = &mut self.by(wide);
        let p = polynomial(m, z, &SIN);
        let cube = m.mul(z, r);
        let s = m.mul_add(p, cube, r);
        let s = m.signed_like(s, r);
        let p = polynomial(m, z, &COS);
        let fourth = m.mul(z, z);
        let (half, one) = (m.float(-0.5), m.float(1.0));
        let c = m.mul_add(z, half, one);
        let c = m.mul_add(p, fourth, c);
        let odd = self.b.ins().band(quadrant, one_bit);
        let zero = self.i(wide, 0);
        let odd = self.b.ins().icmp(IntCC::NotEqual, odd, zero);
        let value = self.choose(wide, odd, c, s);
        // Bit 1 of the quadrant is the sign.
        let two = self.i(wide, 2);
        let sign = self.b.ins().band(quadrant, two);
        let sign = self.b.ins().ishl_imm_u(sign, 30);
        let value = self.bits(Self::int_type(wide), value);
        let value = self.b.ins().bxor(value, sign);
        let value = self.bits(Self::float_type(wide), value);

        let a = self.b.ins().fabs(x);
        let limit = self.f(wide, TRIG_LIMIT);
        let far = self.b.ins().fcmp(FloatCC::GreaterThan, a, limit);
        let any = if wide { self.b.ins().vany_true(far) } else { far };
        let symbol = if cosine { Symbol::cos_f32 } else { Symbol::sin_f32 };
        let near = self.b.ins().icmp_imm_s(IntCC::Equal, any, 0);
        self.either(
            near,
            Self::float_type(wide),
            |_| Ok(value),
            |e| {
                if !wide {
                    return Ok(e.call(symbol, &[x]));
                }
                let slow = e.by_lane(&[x], types::F32X4, |e, x| Ok(e.call(symbol, x)))?;
                Ok(e.blend(far, slow, value))
            },
        )
    }

    /// `x = r + n * pi / 2`: r, and a double whose low bits are those of n.
    fn reduce(&mut self, x: ir::Value, wide: bool) -> (ir::Value, ir::Value) {
        let c = |e: &mut Self, value: f64| {
            let scalar = e.constant(DType::F64, value, false);
            if wide { e.b.ins().splat(types::F64X2, scalar) } else { scalar }
        };
        let magic = c(self, 6755399441055744.0);
        let scale = c(self, std::f64::consts::FRAC_2_PI);
        let product = self.b.ins().fmul(x, scale);
        let shifted = self.b.ins().fadd(product, magic);
        let n = self.b.ins().fsub(shifted, magic);
        // pi / 2 in 25 bits, and the rest (as in fdlibm).
        let high = c(self, -1.570_796_310_901_641_8);
        let low = c(self, -1.589_325_477_352_819_7e-8);
        let product = self.b.ins().fmul(n, high);
        let r = self.b.ins().fadd(x, product);
        let product = self.b.ins().fmul(n, low);
        (self.b.ins().fadd(r, product), shifted)
    }

    fn shuffle(&mut self, a: ir::Value, b: ir::Value, bytes: &[u8; 16]) -> ir::Value {
        let (a, b) = (self.bits(types::I8X16, a), self.bits(types::I8X16, b));
        let mask = self.b.func.dfg.immediates.push(bytes.as_slice().into());
        self.b.ins().shuffle(a, b, mask)
    }
}

/// Code of scalars or of lanes.
struct On<'e, E> {
    emit: &'e mut E,
    wide: bool,
}

impl On<'_, Emit<'_, '_>> {
    fn words(&mut self, value: ir::Value) -> ir::Value {
        self.emit.bits(if self.wide { types::I32X4 } else { types::I32 }, value)
    }

    fn floats(&mut self, value: ir::Value) -> ir::Value {
        self.emit.bits(if self.wide { types::F32X4 } else { types::F32 }, value)
    }

    fn test(&mut self, condition: FloatCC, a: ir::Value, b: ir::Value) -> ir::Value {
        self.emit.b.ins().fcmp(condition, a, b)
    }
}

impl Arithmetic for On<'_, Emit<'_, '_>> {
    type Value = ir::Value;

    fn float(&mut self, value: f32) -> ir::Value {
        self.emit.f(self.wide, value)
    }

    fn int(&mut self, value: i32) -> ir::Value {
        self.emit.i(self.wide, value)
    }

    fn add(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.emit.b.ins().fadd(a, b)
    }

    fn sub(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.emit.b.ins().fsub(a, b)
    }

    fn mul(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        let (a, b) = (self.floats(a), self.floats(b));
        self.emit.b.ins().fmul(a, b)
    }

    fn div(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.emit.b.ins().fdiv(a, b)
    }

    fn mul_add(&mut self, a: ir::Value, b: ir::Value, c: ir::Value) -> ir::Value {
        if self.emit.features.fma {
            return self.emit.b.ins().fma(a, b, c);
        }
        let product = self.emit.b.ins().fmul(a, b);
        self.emit.b.ins().fadd(product, c)
    }

    fn abs(&mut self, a: ir::Value) -> ir::Value {
        self.emit.b.ins().fabs(a)
    }

    fn smaller(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        let less = self.less(a, b);
        self.choose(less, a, b)
    }

    fn larger(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        let less = self.less(b, a);
        self.choose(less, a, b)
    }

    fn less(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.test(FloatCC::LessThan, a, b)
    }

    fn less_equal(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.test(FloatCC::LessThanOrEqual, a, b)
    }

    fn equal(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.test(FloatCC::Equal, a, b)
    }

    fn both(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.emit.b.ins().band(a, b)
    }

    fn choose(&mut self, condition: ir::Value, a: ir::Value, b: ir::Value) -> ir::Value {
        self.emit.choose(self.wide, condition, a, b)
    }

    fn int_add(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        let (a, b) = (self.words(a), self.words(b));
        let sum = self.emit.b.ins().iadd(a, b);
        self.floats(sum)
    }

    fn int_sub(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        let (a, b) = (self.words(a), self.words(b));
        let difference = self.emit.b.ins().isub(a, b);
        self.floats(difference)
    }

    fn shift_left(&mut self, a: ir::Value, count: u8) -> ir::Value {
        let a = self.words(a);
        let shifted = self.emit.b.ins().ishl_imm_u(a, i64::from(count));
        self.floats(shifted)
    }

    fn shift_sign(&mut self, a: ir::Value, count: u8) -> ir::Value {
        let a = self.words(a);
        let shifted = self.emit.b.ins().sshr_imm_u(a, i64::from(count));
        self.floats(shifted)
    }

    fn to_float(&mut self, a: ir::Value) -> ir::Value {
        let a = self.words(a);
        self.emit.b.ins().fcvt_from_sint(if self.wide { types::F32X4 } else { types::F32 }, a)
    }

    fn signed_like(&mut self, value: ir::Value, x: ir::Value) -> ir::Value {
        let sign = self.int(i32::MIN);
        let x = self.words(x);
        let sign = self.emit.b.ins().band(x, sign);
        let value = self.words(value);
        let value = self.emit.b.ins().bor(value, sign);
        self.floats(value)
    }
}
