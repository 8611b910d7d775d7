//! Visits every expression of a piece of syntax, outer ones first.

use super::ast::*;

pub fn each_expr(expr: &Expr, see: &mut dyn FnMut(&Expr)) {
    see(expr);
    match &expr.kind {
        ExprKind::Int(..) | ExprKind::Float(..) | ExprKind::Str(_) | ExprKind::Name(_) => {}
        ExprKind::Wildcard(_) | ExprKind::Missing | ExprKind::Error => {}
        ExprKind::Tuple(items) | ExprKind::List(items) => items.iter().for_each(|e| each_expr(e, see)),
        ExprKind::Call { callee, args } => {
            each_expr(callee, see);
            args.iter().for_each(|a| each_expr(&a.value, see));
        }
        ExprKind::Index { base, indices } => {
            each_expr(base, see);
            for index in indices {
                match index {
                    Index::At(e) => each_expr(e, see),
                    Index::Slice { from, to, step, .. } => {
                        [from, to, step].into_iter().flatten().for_each(|e| each_expr(e, see));
                    }
                    Index::Rest(_) => {}
                }
            }
        }
        ExprKind::Field { base, .. } => each_expr(base, see),
        ExprKind::Unary { value, .. } => each_expr(value, see),
        ExprKind::Binary { left, right, .. } => {
            each_expr(left, see);
            each_expr(right, see);
        }
        ExprKind::Pipe { value, stage } => {
            each_expr(value, see);
            each_expr(stage, see);
        }
        ExprKind::Range { from, to } => {
            each_expr(from, see);
            each_expr(to, see);
        }
        ExprKind::If { condition, then, otherwise } => {
            each_expr(condition, see);
            each_expr_of(then, see);
            match otherwise.as_deref() {
                Some(Else::Block(block)) => each_expr_of(block, see),
                Some(Else::If(e)) => each_expr(e, see),
                None => {}
            }
        }
        ExprKind::Seq(items) => items.iter().for_each(|i| each_expr_of_item(i, see)),
        ExprKind::Repeat { over, body, .. } => {
            each_expr(over, see);
            body.iter().for_each(|i| each_expr_of_item(i, see));
        }
        ExprKind::Scan(scan) => {
            each_expr(&scan.over, see);
            scan.by.iter().for_each(|e| each_expr(e, see));
            scan.carries.iter().for_each(|(_, e)| each_expr(e, see));
            each_expr_of(&scan.body, see);
        }
        ExprKind::Grouped { base, groups } => {
            each_expr(base, see);
            groups.iter().flat_map(|g| &g.settings).for_each(|(_, e)| each_expr(e, see));
        }
    }
}

/// The expressions in a type's sizes.
pub fn each_size(ty: &TypeExpr, see: &mut dyn FnMut(&Expr)) {
    match &ty.kind {
        TypeKind::Named { dims, .. } => {
            for dim in dims.iter().flatten() {
                if let DimExpr::Size(e) = dim {
                    each_expr(e, see);
                }
            }
        }
        TypeKind::Tuple(types) | TypeKind::Choice(types) => types.iter().for_each(|t| each_size(t, see)),
        TypeKind::List(of) => each_size(of, see),
        TypeKind::Error => {}
    }
}

/// The expressions of a block's statements.
pub fn each_expr_of(block: &Block, see: &mut dyn FnMut(&Expr)) {
    block.stmts.iter().for_each(|stmt| each_expr_of_stmt(stmt, see));
}

fn each_expr_of_item(item: &SeqItem, see: &mut dyn FnMut(&Expr)) {
    match &item.act {
        Some(act) => each_expr_of_stmt(act, see),
        None => each_expr(&item.value, see),
    }
}

fn each_expr_of_stmt(stmt: &Stmt, see: &mut dyn FnMut(&Expr)) {
    match &stmt.kind {
        StmtKind::Bind { value, .. } | StmtKind::Expr(value) | StmtKind::Report { value, .. } => each_expr(value, see),
        StmtKind::Minimize { loss, with, .. } => {
            each_expr(loss, see);
            with.iter().for_each(|e| each_expr(e, see));
        }
        StmtKind::Yield(values) => values.iter().for_each(|e| each_expr(e, see)),
        StmtKind::Save { value, to } => {
            each_expr(value, see);
            each_expr(to, see);
        }
        StmtKind::Error => {}
    }
}
