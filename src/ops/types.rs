//! Dtypes, and the scalar operations that the graph, the kernel IR and every back end share.

use std::fmt;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    Bool,
    U8,
    I8,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl DType {
    pub const ALL: [DType; 9] =
        [DType::Bool, DType::U8, DType::I8, DType::I32, DType::I64, DType::F16, DType::BF16, DType::F32, DType::F64];

    pub fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }

    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Bytes of one element in memory; a bool is one byte, 0 or 1.
    pub fn bytes(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    pub fn is_int(self) -> bool {
        matches!(self, DType::U8 | DType::I8 | DType::I32 | DType::I64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! scalar_ops {
    ($(#[$doc:meta])* $enum:ident { $($(#[$vdoc:meta])* $variant:ident $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum { $($(#[$vdoc])* $variant),* }

        impl $enum {
            pub const ALL: &[$enum] = &[$($enum::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $($enum::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<$enum> {
                Self::ALL.iter().copied().find(|o| o.name() == name)
            }
        }
    };
}

scalar_ops! {
    /// Functions of one element. All but `Not`, `Neg` and `Abs` take floats.
    Unary {
        Neg "neg", Abs "abs", Exp "exp", Log "log", Sqrt "sqrt", Sin "sin", Cos "cos", Tanh "tanh",
        Erf "erf", Floor "floor", Ceil "ceil",
        /// To the nearest whole number, ties to even.
        Round "round",
        /// Of a bool: not; of an integer: all bits flipped.
        Not "not",
    }
}

scalar_ops! {
    /// Functions of two elements of one dtype, with that dtype as the result.
    Binary {
        Add "add", Sub "sub", Mul "mul",
        /// Of integers: towards minus infinity.
        Div "div",
        /// Remainder with the sign of the divisor.
        Rem "rem",
        /// NaN if either is.
        Max "max", Min "min",
        Pow "pow", Atan2 "atan2",
        /// Of bools: logic; of integers: bitwise.
        And "and", Or "or", Xor "xor",
        /// Integers only; `Shr` shifts in zeros.
        Shl "shl", Shr "shr",
    }
}

scalar_ops! {
    /// Comparisons of two elements of one dtype; the result is a bool.
    Compare { Eq "eq", Ne "ne", Lt "lt", Le "le", Gt "gt", Ge "ge" }
}

scalar_ops! {
    /// Folds whose every intermediate result is kept.
    Cumulative { Sum "cumsum", Prod "cumprod", LogSumExp "logcumsumexp", Max "cummax", Min "cummin" }
}

scalar_ops! {
    /// Folds of many elements into one.
    Reduce { Sum "sum", Prod "prod", Max "max", Min "min" }
}
