//! What shape rules and surfaces share: comparing sizes, reading axes and lists of sizes out of arguments.
//!
//! Sizes are [`Dim`]s throughout: two agree if their normal forms do; a size that is a number is checked at once, one
//! that is not yet is checked again when the graph gets its numbers.

use super::def::{ArgDefault, ArgKind, ArgValue, ParamSpec, ShapeFault};
use super::types::DType;
use crate::dims::Dim;
use crate::graph::TensorType;

pub type Ty = TensorType<Dim>;
pub type Inferred = Result<Ty, ShapeFault>;

pub const fn param(name: &'static str, kind: ArgKind, default: ArgDefault) -> ParamSpec {
    ParamSpec { name, kind, default }
}

pub const fn tensor(name: &'static str) -> ParamSpec {
    param(name, ArgKind::Tensor, ArgDefault::Required)
}

pub fn attribute<T>(why: impl Into<String>) -> Result<T, ShapeFault> {
    Err(ShapeFault::Attribute(why.into()))
}

pub fn wrong_dtype<T>(operand: usize, expected: &str) -> Result<T, ShapeFault> {
    Err(ShapeFault::DType { operand, expected: expected.to_string() })
}

pub fn wrong_rank<T>(operand: usize, expected: impl Into<String>) -> Result<T, ShapeFault> {
    Err(ShapeFault::Rank { operand, expected: expected.into() })
}

/// A rule that was asked about an operation of another family, or with the wrong number of operands.
pub fn misuse<T>() -> Result<T, ShapeFault> {
    attribute("this operation does not take these operands")
}

/// Exactly `N` operands.
pub fn operands<const N: usize>(inputs: &[Ty]) -> Result<&[Ty; N], ShapeFault> {
    match inputs.try_into() {
        Ok(inputs) => Ok(inputs),
        Err(_) => attribute(format!("{N} operand{} wanted, {} given", if N == 1 { "" } else { "s" }, inputs.len())),
    }
}

/// Operands of one rank whose sizes agree.
pub fn same_shapes(inputs: &[Ty]) -> Result<(), ShapeFault> {
    for (i, ty) in inputs.iter().enumerate().skip(1) {
        if ty.rank() != inputs[0].rank() {
            return wrong_rank(i, format!("{}, like the first", axes_text(inputs[0].rank())));
        }
        for axis in 0..ty.rank() {
            sizes_agree(inputs, (0, axis), (i, axis))?;
        }
    }
    Ok(())
}

/// The sizes at (operand, axis) `left` and `right` have one normal form.
pub fn sizes_agree(inputs: &[Ty], left: (usize, usize), right: (usize, usize)) -> Result<(), ShapeFault> {
    if inputs[left.0].shape[left.1] == inputs[right.0].shape[right.1] {
        Ok(())
    } else {
        Err(ShapeFault::Sizes { left, right })
    }
}

pub fn axes_text(rank: usize) -> String {
    if rank == 1 { "1 axis".to_string() } else { format!("{rank} axes") }
}

pub fn need_float(inputs: &[Ty], operand: usize) -> Result<(), ShapeFault> {
    if inputs[operand].dtype.is_float() { Ok(()) } else { wrong_dtype(operand, "a float") }
}

pub fn need_number(inputs: &[Ty], operand: usize) -> Result<(), ShapeFault> {
    if inputs[operand].dtype == DType::Bool { wrong_dtype(operand, "a number") } else { Ok(()) }
}

pub fn need_index(inputs: &[Ty], operand: usize) -> Result<(), ShapeFault> {
    match inputs[operand].dtype {
        DType::I32 | DType::I64 | DType::U8 => Ok(()),
        _ => wrong_dtype(operand, "whole numbers (i32)"),
    }
}

pub fn need_same_dtype(inputs: &[Ty], operand: usize, as_operand: usize) -> Result<(), ShapeFault> {
    if inputs[operand].dtype == inputs[as_operand].dtype {
        Ok(())
    } else {
        wrong_dtype(operand, inputs[as_operand].dtype.name())
    }
}

pub fn product(sizes: &[Dim]) -> Dim {
    sizes.iter().fold(Dim::from(1i64), |p, d| p.mul(d))
}

pub fn check_axis(axis: usize, rank: usize) -> Result<(), ShapeFault> {
    if axis < rank { Ok(()) } else { attribute(format!("axis {axis} of a tensor with {}", axes_text(rank))) }
}

/// An axis as written by the user: a number, negative from the end.
pub fn axis_of(written: &Dim, rank: usize) -> Result<usize, ShapeFault> {
    let Some(axis) = written.number() else {
        return attribute("an axis must be a number that is known when the program is checked");
    };
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    if (0..rank as i64).contains(&counted) {
        Ok(counted as usize)
    } else {
        attribute(format!("axis {axis} of a tensor with {}", axes_text(rank)))
    }
}

/// The argument at `index` as a tensor's type.
pub fn tensor_arg(args: &[ArgValue], index: usize) -> Result<&Ty, ShapeFault> {
    match args.get(index) {
        Some(ArgValue::Tensor(ty)) => Ok(ty),
        _ => attribute(format!("argument {} must be a tensor", index + 1)),
    }
}

pub fn int_arg(args: &[ArgValue], index: usize) -> Result<Dim, ShapeFault> {
    match args.get(index) {
        Some(ArgValue::Int(d)) => Ok(d.clone()),
        Some(ArgValue::Ints(list)) if list.len() == 1 => Ok(list[0].clone()),
        _ => attribute(format!("argument {} must be an int", index + 1)),
    }
}

/// One int or a list of them; nothing for a `none`.
pub fn ints_arg(args: &[ArgValue], index: usize) -> Result<Option<Vec<Dim>>, ShapeFault> {
    match args.get(index) {
        Some(ArgValue::Int(d)) => Ok(Some(vec![d.clone()])),
        Some(ArgValue::Ints(list)) => Ok(Some(list.clone())),
        Some(ArgValue::None) | None => Ok(None),
        _ => attribute(format!("argument {} must be an int or a list of ints", index + 1)),
    }
}

/// One int for all of `count` axes, or one for each.
pub fn ints_for(args: &[ArgValue], index: usize, count: usize) -> Result<Option<Vec<Dim>>, ShapeFault> {
    match (ints_arg(args, index)?, args.get(index)) {
        (Some(list), Some(ArgValue::Int(_))) => Ok(Some(vec![list[0].clone(); count])),
        (Some(list), _) if list.len() == count => Ok(Some(list)),
        (Some(list), _) => attribute(format!("{} ints given where there are {}", list.len(), axes_text(count))),
        (None, _) => Ok(None),
    }
}

/// Different axes, ascending; all of them for a `none`.
pub fn axes_arg(args: &[ArgValue], index: usize, rank: usize) -> Result<Vec<usize>, ShapeFault> {
    let Some(written) = ints_arg(args, index)? else {
        return Ok((0..rank).collect());
    };
    let mut axes = written.iter().map(|d| axis_of(d, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if let Some(pair) = axes.windows(2).find(|p| p[0] == p[1]) {
        return attribute(format!("axis {} is named twice", pair[0]));
    }
    Ok(axes)
}
