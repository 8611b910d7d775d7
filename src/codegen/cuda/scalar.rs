//! Scalar operations as expressions of C. In: an operation and the names of its operands. Out: text that means what
//! [`loops::scalar`](crate::codegen::loops::scalar) computes; the functions of the prelude have the awkward cases.

use crate::codegen::loops::scalar::{Scalar, fold_start, int_range};
use crate::ops::{Binary, Compare, DType, Reduce, Unary};

/// The type of a value in a register.
pub fn register(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 | DType::I8 | DType::I32 => "int",
        DType::I64 => "nn_i64",
        DType::F16 | DType::BF16 | DType::F32 => "float",
        DType::F64 => "double",
    }
}

/// The type of an element in memory.
pub fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool | DType::U8 => "nn_u8",
        DType::I8 => "nn_i8",
        DType::F16 | DType::BF16 => "nn_u16",
        other => register(other),
    }
}

/// An element of memory as a value.
pub fn loaded(dtype: DType, element: &str) -> String {
    match dtype {
        DType::Bool => format!("({element} != 0)"),
        DType::U8 | DType::I8 => format!("(int){element}"),
        DType::BF16 => format!("nn_from_bf16({element})"),
        DType::F16 => format!("nn_from_f16({element})"),
        _ => element.to_string(),
    }
}

/// A value as an element of memory.
pub fn to_store(dtype: DType, value: &str) -> String {
    match dtype {
        DType::Bool | DType::U8 => format!("(nn_u8){value}"),
        DType::I8 => format!("(nn_i8){value}"),
        DType::BF16 => format!("nn_to_bf16({value})"),
        DType::F16 => format!("nn_to_f16({value})"),
        _ => value.to_string(),
    }
}

/// A number of this dtype.
pub fn constant(value: f64, dtype: DType) -> String {
    literal(Scalar::Float(value).cast(dtype), dtype)
}

/// What a fold begins with.
pub fn start(op: Reduce, dtype: DType) -> String {
    literal(fold_start(op, dtype), dtype)
}

fn literal(value: Scalar, dtype: DType) -> String {
    match value {
        Scalar::Int(v) if dtype == DType::Bool => (v != 0).to_string(),
        Scalar::Int(v) if dtype != DType::I64 && v == i64::from(i32::MIN) => "(-2147483647 - 1)".to_string(),
        Scalar::Int(v) if dtype != DType::I64 => v.to_string(),
        Scalar::Int(i64::MIN) => "(-9223372036854775807ll - 1)".to_string(),
        Scalar::Int(v) => format!("{v}ll"),
        Scalar::Float(v) if v.is_nan() => "NN_NAN".to_string(),
        Scalar::Float(v) if v.is_infinite() => (if v > 0.0 { "NN_INF" } else { "(-NN_INF)" }).to_string(),
        Scalar::Float(v) if dtype == DType::F64 => parenthesised(format!("{v:e}")),
        Scalar::Float(v) => parenthesised(format!("{:e}f", v as f32)),
    }
}

fn parenthesised(number: String) -> String {
    if number.starts_with('-') { format!("({number})") } else { number }
}

/// A float result rounded to its dtype.
fn rounded(dtype: DType, value: String) -> String {
    match dtype {
        DType::BF16 => format!("nn_round_bf16({value})"),
        DType::F16 => format!("nn_round_f16({value})"),
        _ => value,
    }
}

/// A whole number brought back into a narrow dtype.
fn wrapped(dtype: DType, value: String) -> String {
    match dtype {
        DType::Bool => format!("((({value}) & 1) != 0)"),
        DType::U8 => format!("(int)(nn_u8)({value})"),
        DType::I8 => format!("(int)(nn_i8)({value})"),
        _ => value,
    }
}

pub fn unary(op: Unary, a: &str, dtype: DType) -> String {
    if !dtype.is_float() {
        let zero = constant(0.0, dtype);
        let negative = format!("nn_sub({zero}, {a})");
        return match op {
            Unary::Neg => wrapped(dtype, negative),
            Unary::Abs if dtype == DType::Bool => a.to_string(),
            Unary::Abs => wrapped(dtype, format!("({a} < 0 ? {negative} : {a})")),
            Unary::Not if dtype == DType::Bool => format!("!{a}"),
            Unary::Not => wrapped(dtype, format!("~{a}")),
            _ => a.to_string(),
        };
    }
    let f = if dtype == DType::F64 { "" } else { "f" };
    let text = match op {
        Unary::Neg => return format!("-{a}"),
        Unary::Abs => return format!("fabs{f}({a})"),
        Unary::Exp => format!("exp{f}({a})"),
        Unary::Log => format!("log{f}({a})"),
        Unary::Sqrt => format!("sqrt{f}({a})"),
        Unary::Sin => format!("sin{f}({a})"),
        Unary::Cos => format!("cos{f}({a})"),
        Unary::Tanh => format!("tanh{f}({a})"),
        Unary::Erf => format!("erf{f}({a})"),
        Unary::Floor => format!("floor{f}({a})"),
        Unary::Ceil => format!("ceil{f}({a})"),
        Unary::Round => format!("rint{f}({a})"),
        Unary::Not => format!("({a} == 0 ? 1 : 0)"),
    };
    rounded(dtype, text)
}

pub fn binary(op: Binary, a: &str, b: &str, dtype: DType) -> String {
    if dtype.is_float() {
        let f = if dtype == DType::F64 { "" } else { "f" };
        let text = match op {
            Binary::Add => format!("{a} + {b}"),
            Binary::Sub => format!("{a} - {b}"),
            Binary::Mul => format!("{a} * {b}"),
            Binary::Div => format!("{a} / {b}"),
            Binary::Rem => format!("nn_rem({a}, {b})"),
            Binary::Max => return format!("nn_max({a}, {b})"),
            Binary::Min => return format!("nn_min({a}, {b})"),
            Binary::Pow => format!("pow{f}({a}, {b})"),
            Binary::Atan2 => format!("atan2{f}({a}, {b})"),
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => return "NN_NAN".to_string(),
        };
        return rounded(dtype, text);
    }
    if dtype == DType::Bool {
        return match op {
            Binary::And | Binary::Min | Binary::Mul => format!("({a} && {b})"),
            Binary::Or | Binary::Max | Binary::Add => format!("({a} || {b})"),
            Binary::Xor | Binary::Sub => format!("({a} != {b})"),
            _ => "false".to_string(),
        };
    }
    let (bits, unsigned) = match dtype {
        DType::I64 => (63, format!("(nn_u64){a}")),
        DType::I32 => (31, format!("(nn_u32){a}")),
        _ => (7, format!("(nn_u32)({a} & 255)")),
    };
    let own = register(dtype);
    let text = match op {
        Binary::Add => format!("nn_add({a}, {b})"),
        Binary::Sub => format!("nn_sub({a}, {b})"),
        Binary::Mul => format!("nn_mul({a}, {b})"),
        Binary::Div => format!("nn_int_div({a}, {b})"),
        Binary::Rem => format!("nn_int_rem({a}, {b})"),
        Binary::Max => return format!("nn_max({a}, {b})"),
        Binary::Min => return format!("nn_min({a}, {b})"),
        Binary::Pow => format!("nn_int_pow({a}, {b})"),
        Binary::Atan2 => return "0".to_string(),
        Binary::And => return format!("({a} & {b})"),
        Binary::Or => return format!("({a} | {b})"),
        Binary::Xor => return format!("({a} ^ {b})"),
        Binary::Shl => format!("({own})({unsigned} << ({b} & {bits}))"),
        Binary::Shr => format!("({own})({unsigned} >> ({b} & {bits}))"),
    };
    wrapped(dtype, text)
}

pub fn compare(op: Compare, a: &str, b: &str) -> String {
    let sign = match op {
        Compare::Eq => "==",
        Compare::Ne => "!=",
        Compare::Lt => "<",
        Compare::Le => "<=",
        Compare::Gt => ">",
        Compare::Ge => ">=",
    };
    format!("{a} {sign} {b}")
}

pub fn cast(a: &str, from: DType, to: DType) -> String {
    if from == to {
        return a.to_string();
    }
    match (from.is_float(), to) {
        (_, DType::Bool) => format!("({a} != 0)"),
        (true, DType::I64) => format!("nn_to_i64((double){a})"),
        (true, to) if !to.is_float() => {
            let (low, high) = int_range(to);
            let low = literal(Scalar::Int(low), DType::I32);
            format!("nn_to_int({a}, {low}, {high})")
        }
        (false, to) if !to.is_float() => wrapped(to, format!("({}){a}", register(to))),
        (_, DType::F64) => format!("(double){a}"),
        (_, to) => rounded(to, format!("(float){a}")),
    }
}
