//! Lowering of tasks, blocks and statements.

use super::ast::*;
use super::grammar::Rule;
use super::lower::{Lower, Node, Parts, first_token};
use super::lower_item::END;
use crate::diag::codes;

impl<'t> Lower<'t> {
    pub fn task(&mut self, mut parts: Parts<'t>) -> ItemKind {
        let Some(word) = parts.take(Rule::kw_task) else { return ItemKind::Error };
        let kind = match word.as_str() {
            "train" => TaskKind::Train,
            "evaluate" => TaskKind::Evaluate,
            "predict" => TaskKind::Predict,
            _ => TaskKind::Generate,
        };
        let word = self.span(&word);
        let name = parts.take(Rule::ident).map(|n| self.ident(&n));
        let params = self.params(&mut parts).unwrap_or_default();
        let mut task = TaskDecl { kind, word, name, params, body: Vec::new(), step: None };
        let junk = self.tail(&mut parts, Rule::junk_head, "`{`");
        match parts.take(Rule::task_body) {
            Some(body) => body.into_inner().for_each(|stmt| self.task_stmt(stmt, &mut task)),
            None if !junk => {
                let headline = format!("`{}` needs a body in `{{ }}`", kind.word());
                self.missing(parts.end, &headline, "");
            }
            None => {}
        }
        ItemKind::Task(task)
    }

    fn task_stmt(&mut self, node: Node<'t>, task: &mut TaskDecl) {
        let span = self.span(&node);
        let rule = node.as_rule();
        let kind = match rule {
            Rule::reserved_bind => {
                self.reserved(node);
                TaskStmtKind::Error
            }
            Rule::junk_stmt => {
                let word = first_token(node.as_str());
                if matches!(word, "minimize" | "report" | "save" | "yield") {
                    let start = node.as_span().start();
                    let place = self.layout.span(start, start + word.len());
                    let report = self.report(codes::SYNTAX, place, format!("`{word}` belongs in `step`"));
                    report.help.push("move it into `step(…) { … }`".into());
                } else {
                    self.junk(&node, "a setting (`name = value`), an act or `step`");
                }
                TaskStmtKind::Error
            }
            Rule::step => {
                let mut parts = Parts::of(node);
                let Some(word) = parts.take(Rule::kw_step).map(|w| self.span(&w)) else { return };
                let params = self.needed_params(&mut parts, "`step`");
                let body = self.body(&mut parts, "`step`");
                self.tail(&mut parts, Rule::junk_stmt, END);
                if task.step.is_some() {
                    let report = self.report(codes::SYNTAX, word, "a task has one `step`");
                    report.help.push("put both into one, or make a second task".into());
                }
                task.step.get_or_insert(StepDecl { params, body, span: word });
                return;
            }
            Rule::task_bind => {
                let mut parts = Parts::of(node);
                let name = self.name(&mut parts, "a setting");
                let value = self.assigned(&mut parts);
                let value = value.map(|v| self.grouped(v, &mut parts));
                let junk = self.tail(&mut parts, Rule::junk_stmt, END);
                let value = value.filter(|_| !junk).unwrap_or_else(|| self.error_expr(span));
                TaskStmtKind::Bind { name, value }
            }
            _ => self.task_act(node),
        };
        task.body.push(TaskStmt { kind, span });
    }

    /// `load`, `freeze`
    fn task_act(&mut self, node: Node<'t>) -> TaskStmtKind {
        let rule = node.as_rule();
        let mut parts = Parts::of(node);
        parts.next();
        let word = if rule == Rule::load { "load" } else { "freeze" };
        let Some(selection) = self.selection(&mut parts, word) else {
            self.drop_tail(&mut parts);
            return TaskStmtKind::Error;
        };
        let from = if rule == Rule::freeze {
            None
        } else if parts.has(Rule::kw_from) {
            Some(self.value(&mut parts, "expected a file after `from`"))
        } else if parts.peek().is_none() {
            self.missing(parts.end, "expected `from` and a file", "`load net.body from \"weights.safetensors\"`");
            return TaskStmtKind::Error;
        } else {
            self.tail(&mut parts, Rule::junk_stmt, "`from` and a file");
            return TaskStmtKind::Error;
        };
        match (self.tail(&mut parts, Rule::junk_stmt, END), from) {
            (true, _) => TaskStmtKind::Error,
            (false, Some(from)) => TaskStmtKind::Load { selection, from },
            (false, None) => TaskStmtKind::Freeze(selection),
        }
    }

    /// Skips what follows a part that was already reported.
    fn drop_tail(&mut self, parts: &mut Parts<'t>) {
        while parts.next().is_some() {}
    }

    fn grouped(&mut self, base: Expr, parts: &mut Parts<'t>) -> Expr {
        let Some(node) = parts.take(Rule::groups) else { return base };
        let span = base.span.to(self.span(&node));
        let mut groups = Vec::new();
        for group in node.into_inner() {
            let group_span = self.span(&group);
            let mut inner = Parts::of(group);
            if self.tail(&mut inner, Rule::junk_stmt, "`SELECTION { name = value }`") {
                continue;
            }
            let Some(selection) = self.selection(&mut inner, "{") else { continue };
            self.tail(&mut inner, Rule::junk_head, "`{`");
            let mut settings = Vec::new();
            for part in inner.take(Rule::settings).into_iter().flat_map(|s| s.into_inner()) {
                if part.as_rule() != Rule::setting {
                    continue;
                }
                let mut fields = Parts::of(part);
                if self.tail(&mut fields, Rule::junk_stmt, "a setting (`lr = 1e-3`)") {
                    continue;
                }
                let name = self.name(&mut fields, "a setting");
                let value = self.assigned(&mut fields);
                let junk = self.tail(&mut fields, Rule::junk_elem_or_stmt, END);
                if let (Some(value), false) = (value, junk) {
                    settings.push((name, value));
                }
            }
            groups.push(Group { selection, settings, span: group_span });
        }
        Expr { kind: ExprKind::Grouped { base: Box::new(base), groups }, span }
    }

    pub fn block(&mut self, node: Node<'t>) -> Block {
        let span = self.span(&node);
        let stmts = node.into_inner().map(|s| self.stmt(s)).collect();
        Block { stmts, span }
    }

    pub(super) fn stmt(&mut self, node: Node<'t>) -> Stmt {
        let span = self.span(&node);
        let rule = node.as_rule();
        if rule == Rule::junk_stmt {
            self.junk_stmt(&node);
            return Stmt { kind: StmtKind::Error, span };
        }
        if rule == Rule::reserved_bind {
            self.reserved(node);
            return Stmt { kind: StmtKind::Error, span };
        }
        let mut parts = Parts::of(node);
        let kind = match rule {
            Rule::plain => self.plain(&mut parts),
            Rule::minimize => {
                parts.next();
                let loss = self.value(&mut parts, "expected a loss after `minimize`");
                let mut over = None;
                if parts.has(Rule::kw_over) {
                    over = self.selection(&mut parts, "over");
                }
                let mut with = None;
                if parts.has(Rule::kw_with) {
                    let optimizer = self.value(&mut parts, "expected an optimizer after `with`");
                    with = Some(self.grouped(optimizer, &mut parts));
                }
                StmtKind::Minimize { loss, over, with }
            }
            Rule::report => {
                parts.next();
                let name = parts.take(Rule::report_name).map(|n| self.inner_ident(n));
                parts.has(Rule::assign);
                let after =
                    if name.is_some() { "expected a value after `=`" } else { "expected a value after `report`" };
                StmtKind::Report { value: self.value(&mut parts, after), name }
            }
            Rule::yield_stmt => {
                parts.next();
                let mut values = vec![self.value(&mut parts, "expected a value after `yield`")];
                while parts.has(Rule::comma) {
                    values.push(self.value(&mut parts, "expected a value after `,`"));
                }
                StmtKind::Yield(values)
            }
            Rule::save => {
                parts.next();
                let value = self.value(&mut parts, "expected a value after `save`");
                let to = if parts.has(Rule::kw_to) {
                    self.value(&mut parts, "expected a file after `to`")
                } else if matches!(value.kind, ExprKind::Missing) || parts.peek().is_some() {
                    self.error_expr(span)
                } else {
                    self.missing(parts.end, "expected `to` and a file", "`save grid(image) to \"out.png\"`");
                    self.error_expr(span)
                };
                StmtKind::Save { value, to }
            }
            _ => {
                let word = parts.next().map(|w| (self.span(&w), w.as_str()));
                if let Some((place, word)) = word {
                    let report = self.report(codes::SYNTAX, place, format!("`{word}` stands in a task, before `step`"));
                    report.help.push("move it out of the block".into());
                }
                self.drop_tail(&mut parts);
                StmtKind::Error
            }
        };
        let junk = self.tail(&mut parts, Rule::junk_stmt, END);
        Stmt { kind: if junk { poisoned(kind) } else { kind }, span }
    }

    fn junk_stmt(&mut self, node: &Node<'t>) {
        let word = first_token(node.as_str());
        if matches!(word, "param" | "state") {
            let start = node.as_span().start();
            let span = self.layout.span(start, start + word.len());
            let report = self.report(codes::SYNTAX, span, format!("`{word}` stands among a layer's members"));
            report.help.push("move it out of the block".into());
        } else {
            self.junk(node, "a statement");
        }
    }

    /// `x = value`, `x: type = value`, a value.
    fn plain(&mut self, parts: &mut Parts<'t>) -> StmtKind {
        let left = self.value(parts, "expected a statement");
        let span = left.span;
        let ty = self.typed(parts);
        match self.assigned(parts) {
            Some(value) => match self.pattern(left) {
                Some(pattern) => StmtKind::Bind { pattern, ty, value },
                None => StmtKind::Error,
            },
            None if ty.is_none() => StmtKind::Expr(left),
            None => {
                if parts.peek().is_none() && !matches!(left.kind, ExprKind::Error) {
                    let headline = "this declares a type, but no value";
                    let report = self.report(codes::MISSING_PART, span, headline);
                    report.help.push("write `name: type = value`".into());
                }
                // The name is known, its value is not.
                match self.pattern(left) {
                    Some(pattern) => StmtKind::Bind { pattern, ty: None, value: Expr { kind: ExprKind::Error, span } },
                    None => StmtKind::Error,
                }
            }
        }
    }
}

/// A statement that ends in junk: its names stay known, its value says nothing.
fn poisoned(kind: StmtKind) -> StmtKind {
    match kind {
        StmtKind::Bind { pattern, ty, value } => {
            let span = value.span;
            StmtKind::Bind { pattern, ty, value: Expr { kind: ExprKind::Error, span } }
        }
        _ => StmtKind::Error,
    }
}
