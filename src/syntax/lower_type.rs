//! Lowering of selections and types.

use super::ast::*;
use super::grammar::Rule;
use super::lower::{Lower, Node, Parts};
use crate::source::Span;

impl<'t> Lower<'t> {
    /// A selection; `after` is the word that needs one.
    pub fn selection(&mut self, parts: &mut Parts<'t>, after: &str) -> Option<Selection> {
        let Some(node) = parts.take(Rule::selection) else {
            self.missing(parts.end, &format!("expected a selection after `{after}`"), "a path such as `net.body`");
            return None;
        };
        let mut selection = Selection { include: Vec::new(), except: Vec::new(), span: self.span(&node) };
        let mut inner = Parts::of(node);
        let mut excepting = false;
        while let Some(part) = inner.next() {
            match part.as_rule() {
                Rule::path => {
                    let path = self.path(part);
                    let list = if excepting { &mut selection.except } else { &mut selection.include };
                    list.push(path);
                }
                Rule::kw_except => {
                    excepting = true;
                    if inner.peek().is_none() {
                        self.missing(inner.end, "expected a selection after `except`", "");
                    }
                }
                _ => {}
            }
        }
        Some(selection)
    }

    fn path(&mut self, node: Node<'t>) -> SelectionPath {
        let span = self.span(&node);
        let mut inner = Parts::of(node);
        let mut parts = Vec::new();
        let mut dotted = false;
        while let Some(part) = inner.next() {
            let here = self.span(&part);
            dotted = part.as_rule() == Rule::dot;
            match part.as_rule() {
                Rule::ident => parts.push(SelectionPart::Name(self.ident(&part))),
                Rule::star => parts.push(SelectionPart::Any(here)),
                Rule::index => parts.push(SelectionPart::Range(self.indices(part), here)),
                _ => {}
            }
        }
        if dotted {
            self.missing(inner.end, "expected a name after `.`", "");
        }
        SelectionPath { parts, span }
    }

    /// `: type`, if it is there.
    pub fn typed(&mut self, parts: &mut Parts<'t>) -> Option<TypeExpr> {
        if !parts.has(Rule::colon) {
            return None;
        }
        Some(self.type_after(parts, ":"))
    }

    pub fn type_after(&mut self, parts: &mut Parts<'t>, word: &str) -> TypeExpr {
        match parts.take(Rule::type_expr) {
            Some(node) => self.type_expr(node),
            None => {
                self.missing(parts.end, &format!("expected a type after `{word}`"), "such as `f32[B, D]` or `int`");
                TypeExpr { kind: TypeKind::Error, span: self.point(parts.end) }
            }
        }
    }

    fn type_expr(&mut self, node: Node<'t>) -> TypeExpr {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let mut choices = Vec::new();
        let mut bars = 0;
        while let Some(part) = parts.next() {
            match part.as_rule() {
                Rule::bar => bars += 1,
                _ => choices.push(self.type_atom(part)),
            }
        }
        if bars >= choices.len() {
            self.missing(parts.end, "expected a word after `|`", "`padding: int | same | valid`");
        }
        match choices.pop() {
            Some(only) if bars == 0 => only,
            last => TypeExpr { kind: TypeKind::Choice(choices.into_iter().chain(last).collect()), span },
        }
    }

    fn type_atom(&mut self, node: Node<'t>) -> TypeExpr {
        let span = self.span(&node);
        let rule = node.as_rule();
        let mut parts = Parts::of(node);
        let kind = match rule {
            Rule::named_type => {
                let base = self.name(&mut parts, "a type");
                let dtype = parts.take(Rule::dtype).map(|n| self.ident(&n));
                let dims = parts.take(Rule::dims).map(|n| self.dims(n));
                TypeKind::Named { base, dtype, dims }
            }
            Rule::tuple_type => {
                let mut types = Vec::new();
                let mut empty = true;
                while let Some(part) = parts.next() {
                    if part.as_rule() == Rule::comma {
                        self.between(empty, &part);
                        empty = true;
                    } else {
                        let mut inner = Parts::of(part);
                        let read = inner.take(Rule::type_expr).map(|t| self.type_expr(t));
                        let expected = if read.is_some() { "`,` or `)`" } else { "a type" };
                        self.tail(&mut inner, Rule::junk_elem, expected);
                        types.push(read.unwrap_or(TypeExpr { kind: TypeKind::Error, span }));
                        empty = false;
                    }
                }
                TypeKind::Tuple(types)
            }
            _ => {
                let inner = parts.take(Rule::type_expr).map(|t| self.type_expr(t));
                self.tail(&mut parts, Rule::junk_elem, "`]`");
                match inner {
                    Some(inner) => TypeKind::List(Box::new(inner)),
                    None => {
                        self.missing(parts.end + 1, "expected the type of the list's items", "`[int]`");
                        TypeKind::Error
                    }
                }
            }
        };
        TypeExpr { kind, span }
    }

    fn dims(&mut self, node: Node<'t>) -> Vec<DimExpr> {
        let mut dims = Vec::new();
        let mut parts = Parts::of(node);
        let mut empty = true;
        while let Some(part) = parts.next() {
            if part.as_rule() == Rule::comma {
                self.between(empty, &part);
                empty = true;
                continue;
            }
            empty = false;
            let span = self.span(&part);
            let mut inner = Parts::of(part);
            if let Some(rest) = inner.take(Rule::rest_dim) {
                let span = self.span(&rest);
                let name = rest.into_inner().next().map(|n| self.ident(&n));
                dims.push(DimExpr::Rest(name, span));
                self.tail(&mut inner, Rule::junk_elem, "`,` or `]`");
                continue;
            }
            let size = inner.take(Rule::expr).map(|e| self.expr(e));
            let expected = if size.is_some() { "`,` or `]`" } else { "a dim" };
            let junk = self.tail(&mut inner, Rule::junk_elem, expected);
            dims.push(DimExpr::Size(size.filter(|_| !junk).unwrap_or_else(|| self.error_expr(span))));
        }
        dims
    }
}

/// The path that a chain of names, fields and indices is.
pub(super) fn path_of(value: &Expr) -> Option<Vec<SelectionPart>> {
    match &value.kind {
        ExprKind::Name(name) => Some(vec![SelectionPart::Name(Ident { name: name.clone(), span: value.span })]),
        ExprKind::Field { base, name } => {
            let mut parts = path_of(base)?;
            parts.push(SelectionPart::Name(name.clone()));
            Some(parts)
        }
        ExprKind::Index { base, indices } => {
            let mut parts = path_of(base)?;
            parts.push(SelectionPart::Range(indices.clone(), value.span));
            Some(parts)
        }
        _ => None,
    }
}

pub(super) fn one_path(parts: Vec<SelectionPart>, span: Span) -> Selection {
    Selection { include: vec![SelectionPath { parts, span }], except: Vec::new(), span }
}
