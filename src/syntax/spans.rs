//! Visits every span of a piece of syntax, to move it: what stands behind an edit is taken over with its places changed.

use super::ast::*;
use crate::source::Span;

type See<'s> = &'s mut dyn FnMut(&mut Span);

/// Every span of an item.
pub fn each_span(item: &mut Item, see: See) {
    see(&mut item.span);
    match &mut item.kind {
        ItemKind::Use(paths) => {
            for path in paths {
                see(&mut path.span);
                path.parts.iter_mut().for_each(|p| see(&mut p.span));
            }
        }
        ItemKind::Const { name, value } => {
            see(&mut name.span);
            expr(value, see);
        }
        ItemKind::Fn(d) => {
            see(&mut d.name.span);
            params(&mut d.params, see);
            d.result.iter_mut().for_each(|t| ty(t, see));
            wheres(&mut d.wheres, see);
            block(&mut d.body, see);
            if let Some((names, body)) = &mut d.gradient {
                names.iter_mut().for_each(|n| see(&mut n.span));
                block(body, see);
            }
        }
        ItemKind::Layer(d) => {
            see(&mut d.name.span);
            params(&mut d.params, see);
            members(&mut d.members, see);
            if let Some(f) = &mut d.forward {
                see(&mut f.span);
                params(&mut f.params, see);
                f.result.iter_mut().for_each(|t| ty(t, see));
                wheres(&mut f.wheres, see);
                block(&mut f.body, see);
            }
        }
        ItemKind::Optimizer(d) => {
            see(&mut d.name.span);
            params(&mut d.params, see);
            members(&mut d.members, see);
            if let Some(u) = &mut d.update {
                see(&mut u.span);
                params(&mut u.params, see);
                block(&mut u.body, see);
            }
        }
        ItemKind::Data(d) => {
            see(&mut d.name.span);
            expr(&mut d.source, see);
            d.body.iter_mut().for_each(|b| block(b, see));
        }
        ItemKind::Task(d) => task(d, see),
        ItemKind::Error => {}
    }
}

fn task(d: &mut TaskDecl, see: See) {
    see(&mut d.word);
    d.name.iter_mut().for_each(|n| see(&mut n.span));
    params(&mut d.params, see);
    for stmt in &mut d.body {
        see(&mut stmt.span);
        match &mut stmt.kind {
            TaskStmtKind::Bind { name, value } => {
                see(&mut name.span);
                expr(value, see);
            }
            TaskStmtKind::Load { selection: s, from } => {
                selection(s, see);
                expr(from, see);
            }
            TaskStmtKind::Freeze(s) => selection(s, see),
            TaskStmtKind::Error => {}
        }
    }
    if let Some(step) = &mut d.step {
        see(&mut step.span);
        params(&mut step.params, see);
        block(&mut step.body, see);
    }
}

fn params(all: &mut [Param], see: See) {
    for p in all {
        see(&mut p.span);
        see(&mut p.name.span);
        p.ty.iter_mut().for_each(|t| ty(t, see));
        p.default.iter_mut().for_each(|e| expr(e, see));
    }
}

fn members(all: &mut [Member], see: See) {
    for m in all {
        see(&mut m.span);
        see(&mut m.name.span);
        match &mut m.kind {
            MemberKind::Bind(e) => expr(e, see),
            MemberKind::Param { ty: t, init } => {
                ty(t, see);
                init.iter_mut().for_each(|e| expr(e, see));
            }
            MemberKind::State { ty: t, init } => {
                t.iter_mut().for_each(|t| ty(t, see));
                init.iter_mut().for_each(|e| expr(e, see));
            }
            MemberKind::Error => {}
        }
    }
}

fn wheres(all: &mut [WhereClause], see: See) {
    for w in all {
        see(&mut w.span);
        expr(&mut w.left, see);
        expr(&mut w.right, see);
    }
}

fn block(b: &mut Block, see: See) {
    see(&mut b.span);
    b.stmts.iter_mut().for_each(|s| stmt(s, see));
}

fn stmt(s: &mut Stmt, see: See) {
    see(&mut s.span);
    match &mut s.kind {
        StmtKind::Bind { pattern: p, ty: t, value } => {
            pattern(p, see);
            t.iter_mut().for_each(|t| ty(t, see));
            expr(value, see);
        }
        StmtKind::Expr(e) => expr(e, see),
        StmtKind::Minimize { loss, over, with } => {
            expr(loss, see);
            over.iter_mut().for_each(|s| selection(s, see));
            with.iter_mut().for_each(|e| expr(e, see));
        }
        StmtKind::Report { name, value } => {
            name.iter_mut().for_each(|n| see(&mut n.span));
            expr(value, see);
        }
        StmtKind::Yield(values) => values.iter_mut().for_each(|e| expr(e, see)),
        StmtKind::Save { value, to } => {
            expr(value, see);
            expr(to, see);
        }
        StmtKind::Error => {}
    }
}

fn pattern(p: &mut Pattern, see: See) {
    match p {
        Pattern::Name(n) => see(&mut n.span),
        Pattern::Tuple(items, span) => {
            see(span);
            items.iter_mut().for_each(|p| pattern(p, see));
        }
    }
}

fn selection(s: &mut Selection, see: See) {
    see(&mut s.span);
    for path in s.include.iter_mut().chain(&mut s.except) {
        see(&mut path.span);
        for part in &mut path.parts {
            match part {
                SelectionPart::Name(n) => see(&mut n.span),
                SelectionPart::Any(span) => see(span),
                SelectionPart::Range(indices, span) => {
                    see(span);
                    indices.iter_mut().for_each(|i| index(i, see));
                }
            }
        }
    }
}

fn index(i: &mut Index, see: See) {
    match i {
        Index::At(e) => expr(e, see),
        Index::Slice { from, to, step, span } => {
            see(span);
            [from, to, step].into_iter().flatten().for_each(|e| expr(e, see));
        }
        Index::Rest(span) => see(span),
    }
}

fn links(all: &mut [SeqItem], see: See) {
    for item in all {
        see(&mut item.span);
        item.name.iter_mut().for_each(|n| see(&mut n.span));
        expr(&mut item.value, see);
        item.act.iter_mut().for_each(|s| stmt(s, see));
    }
}

fn expr(e: &mut Expr, see: See) {
    // Chains nest to the left: those are taken in a loop, so that a long one needs no deep stack.
    let mut e = e;
    loop {
        see(&mut e.span);
        match &mut e.kind {
            ExprKind::Binary { op_span, left, right, .. } => {
                see(op_span);
                expr(right, see);
                e = left;
            }
            ExprKind::Pipe { value, stage } => {
                expr(stage, see);
                e = value;
            }
            kind => return parts(kind, see),
        }
    }
}

fn parts(kind: &mut ExprKind, see: See) {
    match kind {
        ExprKind::Int(_, unit) | ExprKind::Float(_, unit) => unit.iter_mut().for_each(|u| see(&mut u.span)),
        ExprKind::Str(_) | ExprKind::Name(_) | ExprKind::Missing | ExprKind::Error => {}
        ExprKind::Tuple(items) | ExprKind::List(items) => items.iter_mut().for_each(|e| expr(e, see)),
        ExprKind::Call { callee, args } => {
            expr(callee, see);
            for arg in args {
                see(&mut arg.span);
                arg.name.iter_mut().for_each(|n| see(&mut n.span));
                expr(&mut arg.value, see);
            }
        }
        ExprKind::Index { base, indices } => {
            expr(base, see);
            indices.iter_mut().for_each(|i| index(i, see));
        }
        ExprKind::Field { base, name } => {
            see(&mut name.span);
            expr(base, see);
        }
        ExprKind::Wildcard(s) => selection(s, see),
        ExprKind::Unary { value, .. } => expr(value, see),
        ExprKind::Binary { op_span, left, right, .. } => {
            see(op_span);
            expr(left, see);
            expr(right, see);
        }
        ExprKind::Pipe { value, stage } => {
            expr(value, see);
            expr(stage, see);
        }
        ExprKind::Range { from, to } => {
            expr(from, see);
            expr(to, see);
        }
        ExprKind::If { condition, then, otherwise } => {
            expr(condition, see);
            block(then, see);
            match otherwise.as_deref_mut() {
                Some(Else::Block(b)) => block(b, see),
                Some(Else::If(e)) => expr(e, see),
                None => {}
            }
        }
        ExprKind::Seq(items) => links(items, see),
        ExprKind::Repeat { variable, over, body } => {
            variable.iter_mut().for_each(|v| see(&mut v.span));
            expr(over, see);
            links(body, see);
        }
        ExprKind::Scan(scan) => {
            pattern(&mut scan.pattern, see);
            expr(&mut scan.over, see);
            scan.along.iter_mut().for_each(|n| see(&mut n.span));
            scan.by.iter_mut().for_each(|e| expr(e, see));
            for (name, value) in &mut scan.carries {
                see(&mut name.span);
                expr(value, see);
            }
            block(&mut scan.body, see);
        }
        ExprKind::Grouped { base, groups } => {
            expr(base, see);
            for group in groups {
                see(&mut group.span);
                selection(&mut group.selection, see);
                for (name, value) in &mut group.settings {
                    see(&mut name.span);
                    expr(value, see);
                }
            }
        }
    }
}

fn ty(t: &mut TypeExpr, see: See) {
    see(&mut t.span);
    match &mut t.kind {
        TypeKind::Named { base, dtype, dims } => {
            see(&mut base.span);
            dtype.iter_mut().for_each(|d| see(&mut d.span));
            for dim in dims.iter_mut().flatten() {
                match dim {
                    DimExpr::Size(e) => expr(e, see),
                    DimExpr::Rest(name, span) => {
                        see(span);
                        name.iter_mut().for_each(|n| see(&mut n.span));
                    }
                }
            }
        }
        TypeKind::Tuple(types) | TypeKind::Choice(types) => types.iter_mut().for_each(|t| ty(t, see)),
        TypeKind::List(of) => ty(of, see),
        TypeKind::Error => {}
    }
}
