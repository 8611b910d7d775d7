//! Functions of the host that generated code calls: what Cranelift has no instruction for and `math` no polynomial.
//!
//! A function's number in [`Symbol::ALL`] is its number in every module: modules declare all of them first.

use cranelift_codegen::ir::{AbiParam, Signature, Type, types};
use cranelift_codegen::isa::CallConv;

macro_rules! symbols {
    ($($name:ident $ty:ident ($($arg:ident),*) = $body:expr;)*) => {
        /// A function of the host.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Symbol { $($name),* }

        impl Symbol {
            pub const ALL: &[Symbol] = &[$(Symbol::$name),*];

            /// The name under which modules import it.
            pub fn name(self) -> &'static str {
                match self { $(Symbol::$name => concat!("nnc_", stringify!($name))),* }
            }

            pub fn address(self) -> *const u8 {
                match self { $(Symbol::$name => $name as *const u8),* }
            }

            /// The type of its arguments and result, and the number of arguments.
            pub fn shape(self) -> (Type, usize) {
                match self { $(Symbol::$name => (clif_type(stringify!($ty)), [$(stringify!($arg)),*].len())),* }
            }
        }

        $(extern "C" fn $name($($arg: $ty),*) -> $ty { $body })*
    };
}

symbols! {
    pow_f32 f32 (x, y) = (x as f64).powf(y as f64) as f32;
    atan2_f32 f32 (y, x) = (y as f64).atan2(x as f64) as f32;
    sin_f32 f32 (x) = (x as f64).sin() as f32;
    cos_f32 f32 (x) = (x as f64).cos() as f32;
    rem_f32 f32 (x, y) = floor_rem(x as f64, y as f64) as f32;
    exp_f64 f64 (x) = x.exp();
    log_f64 f64 (x) = x.ln();
    sin_f64 f64 (x) = x.sin();
    cos_f64 f64 (x) = x.cos();
    tanh_f64 f64 (x) = x.tanh();
    erf_f64 f64 (x) = libm::erf(x);
    pow_f64 f64 (x, y) = x.powf(y);
    atan2_f64 f64 (y, x) = y.atan2(x);
    rem_f64 f64 (x, y) = floor_rem(x, y);
    pow_i64 i64 (x, y) = int_pow(x, y);
}

fn clif_type(name: &str) -> Type {
    match name {
        "f32" => types::F32,
        "f64" => types::F64,
        _ => types::I64,
    }
}

impl Symbol {
    pub fn signature(self, convention: CallConv) -> Signature {
        let (ty, count) = self.shape();
        let mut signature = Signature::new(convention);
        signature.params.extend((0..count).map(|_| AbiParam::new(ty)));
        signature.returns.push(AbiParam::new(ty));
        signature
    }
}

/// The remainder with the sign of the divisor.
fn floor_rem(x: f64, y: f64) -> f64 {
    x - y * (x / y).floor()
}

/// Wraps around; the power of a negative exponent is that of 0.
fn int_pow(x: i64, y: i64) -> i64 {
    x.wrapping_pow(y.clamp(0, u32::MAX as i64) as u32)
}
