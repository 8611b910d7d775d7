//! What the standard library declares: its items, and the tensors that each takes.

use nnc::check::LIBRARY_FILES;
use nnc::ops::DType;
use nnc::source::FileId;
use nnc::syntax;
use nnc::syntax::ast::{DimExpr, ItemKind, MemberKind, Param, TypeExpr, TypeKind};

/// Anything that the library declares.
pub struct Item {
    pub name: String,
    /// What a call takes; nothing for an optimizer.
    pub params: Vec<Param>,
    /// Of a layer.
    pub hypers: Option<Vec<Param>>,
    pub result: Option<TypeExpr>,
    /// The parameters that a layer declares itself.
    pub own: Vec<String>,
    /// Whether a training step is anything else than an evaluation: of what has parameters or states, and of what asks.
    pub trains: bool,
}

pub fn items() -> Vec<Item> {
    let mut all = Vec::new();
    for (_, text) in LIBRARY_FILES {
        let (file, _) = syntax::parse(text, FileId(0));
        for item in file.items {
            let asks = text[item.span.start as usize..item.span.end as usize].contains("training");
            let (name, params, hypers, result, members) = match item.kind {
                ItemKind::Fn(f) => (f.name.name, f.params, None, f.result, Vec::new()),
                ItemKind::Layer(l) => {
                    let forward = l.forward.expect("a layer of the library has a `forward`");
                    (l.name.name, forward.params, Some(l.params), forward.result, l.members)
                }
                ItemKind::Optimizer(o) => (o.name.name, Vec::new(), None, None, Vec::new()),
                _ => continue,
            };
            let trains = asks || !members.is_empty();
            let own = members.into_iter().filter(|m| matches!(m.kind, MemberKind::Param { .. }));
            all.push(Item { name, params, hypers, result, own: own.map(|m| m.name.name).collect(), trains });
        }
    }
    all
}

/// A declared tensor's dtype and axes: every float is f64 here. Of `f32[C] | none` the tensor.
pub fn tensor_type(ty: &TypeExpr) -> Option<(DType, &[DimExpr])> {
    match &ty.kind {
        TypeKind::Choice(parts) => parts.iter().find_map(tensor_type),
        TypeKind::Named { base, dims, .. } => {
            let dims = dims.as_deref();
            match (base.name.as_str(), dims) {
                ("f32", _) => Some((DType::F64, dims.unwrap_or_default())),
                ("logits" | "probs" | "log_probs", Some(dims)) => Some((DType::F64, dims)),
                ("i32", Some(dims)) => Some((DType::I32, dims)),
                ("bool", Some(dims)) => Some((DType::Bool, dims)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The values that a parameter can have by its type alone: those of `bool`, and the words of a choice.
pub fn words(ty: &TypeExpr) -> Vec<String> {
    match &ty.kind {
        TypeKind::Named { base, dims: None, .. } if base.name == "bool" => vec!["true".into(), "false".into()],
        TypeKind::Choice(parts) => parts
            .iter()
            .filter_map(|p| match &p.kind {
                TypeKind::Named { base, dims: None, .. } => Some(base.name.clone()),
                _ => None,
            })
            .filter(|w| !["int", "float", "bool", "string", "duration", "f32"].contains(&w.as_str()))
            .collect(),
        _ => Vec::new(),
    }
}
