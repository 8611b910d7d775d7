//! Whether a value fits where a type is declared or an operation takes it: yes, no, or not known.

use super::goto::Declared;
use crate::check::Tag;
use crate::dims::Dim;
use crate::graph::TensorType;
use crate::ops::{self, ArgDefault, ArgKind, ArgValue, DType, ShapeFault, Surface};
use crate::syntax::ast::{DimExpr, Expr, ExprKind, TypeExpr, TypeKind};
use std::collections::BTreeMap;

/// A tensor's type with what its numbers mean.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub ty: TensorType<Dim>,
    pub tag: Option<Tag>,
}

/// Whether a tensor fits a written type; none if that cannot be said.
pub fn fits(value: &Tensor, ty: &TypeExpr) -> Option<bool> {
    match &ty.kind {
        TypeKind::Named { base, dtype, dims } => {
            let tag = Tag::from_name(&base.name);
            let wanted = match tag {
                Some(_) => dtype.as_ref().map_or(Some(DType::F32), |d| DType::from_name(&d.name)),
                None => DType::from_name(&base.name),
            };
            // `int`, `fn`, `layer`: no tensor.
            let Some(wanted) = wanted else { return Some(false) };
            if tag.is_some() && value.tag.is_some() && tag != value.tag {
                return Some(false);
            }
            let same = wanted == value.ty.dtype || wanted.is_float() && value.ty.dtype.is_float();
            Some(same && sizes(&value.ty.shape, dims.as_deref().unwrap_or_default()))
        }
        TypeKind::Choice(options) => {
            let all: Vec<_> = options.iter().map(|o| fits(value, o)).collect();
            match all.contains(&Some(true)) {
                true => Some(true),
                false if all.contains(&None) => None,
                false => Some(false),
            }
        }
        TypeKind::Tuple(_) | TypeKind::List(_) => Some(false),
        TypeKind::Error => None,
    }
}

/// Whether sizes can be those of a written shape.
fn sizes(shape: &[Dim], dims: &[DimExpr]) -> bool {
    let rest = dims.iter().position(|d| matches!(d, DimExpr::Rest(..)));
    let fixed = dims.len() - usize::from(rest.is_some());
    if rest.is_none() && shape.len() != fixed || shape.len() < fixed {
        return false;
    }
    let mut bound: BTreeMap<&str, &Dim> = BTreeMap::new();
    for (i, dim) in dims.iter().enumerate() {
        let DimExpr::Size(expr) = dim else { continue };
        let at = match rest {
            Some(rest) if i > rest => shape.len() - (dims.len() - i),
            _ => i,
        };
        let Some(size) = shape.get(at) else { return false };
        match &expr.kind {
            ExprKind::Int(n, _) if size.number().is_some_and(|s| s != *n) => return false,
            ExprKind::Name(name) => {
                let before = bound.entry(name).or_insert(size);
                let (a, b) = (before.number(), size.number());
                if a.is_some() && b.is_some() && a != b {
                    return false;
                }
            }
            // `2 * H` wants an even size.
            ExprKind::Binary { left, .. } => {
                if let (ExprKind::Int(n, _), Some(size)) = (&left.kind, size.number())
                    && is_product(expr)
                    && *n > 0
                    && size % n != 0
                {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

fn is_product(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Binary { op: crate::syntax::ast::BinaryOp::Mul, .. })
}

/// Whether a tensor fits as the first argument of what can be called.
pub fn takes(value: &Tensor, callee: &Declared) -> Option<bool> {
    let first = callee.params().first()?;
    fits(value, first.ty.as_ref()?)
}

/// Whether an operation takes a tensor first.
pub fn surface_takes(value: &Tensor, surface: &Surface) -> Option<bool> {
    let first = surface.params.first()?;
    if first.kind != ArgKind::Tensor {
        return Some(false);
    }
    // `conv2d` and its like are of a batch of channels.
    let axes = [("1d", 3), ("2d", 4), ("3d", 5)].iter().find(|(end, _)| surface.name.ends_with(end));
    if axes.is_some_and(|(_, rank)| value.ty.shape.len() != *rank) {
        return Some(false);
    }
    let mut args = vec![ArgValue::Tensor(value.ty.clone())];
    let mut guessed = false;
    for spec in &surface.params[1..] {
        args.push(match spec.default {
            ArgDefault::None => ArgValue::None,
            ArgDefault::Int(n) => ArgValue::Int(Dim::from(n)),
            ArgDefault::Float(v) => ArgValue::Float(v),
            ArgDefault::Bool(b) => ArgValue::Bool(b),
            // What else it needs is not known: something small stands for it.
            ArgDefault::Required => {
                guessed = true;
                match spec.kind {
                    ArgKind::Tensor => ArgValue::Tensor(value.ty.clone()),
                    ArgKind::Int | ArgKind::Ints | ArgKind::Words(_) => ArgValue::Int(Dim::from(1i64)),
                    ArgKind::Float => ArgValue::Float(1.0),
                    ArgKind::Bool => ArgValue::Bool(false),
                    ArgKind::Tensors | ArgKind::Shape | ArgKind::DType => return None,
                }
            }
        });
    }
    let tensors: Vec<_> =
        args.iter().filter_map(|a| if let ArgValue::Tensor(ty) = a { Some(ty.clone()) } else { None }).collect();
    let made = (surface.build)(&args).and_then(|op| (ops::def_of(&op).infer)(&op, &tensors));
    match made {
        Ok(_) if guessed => None,
        Ok(_) => Some(true),
        // The value itself is at fault, whatever else there is.
        Err(ShapeFault::Rank { operand: 0, .. } | ShapeFault::DType { operand: 0, .. }) => Some(false),
        Err(_) if guessed => None,
        Err(_) => Some(false),
    }
}
