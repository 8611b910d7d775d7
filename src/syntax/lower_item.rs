//! Lowering of items and members.

use super::ast::*;
use super::brackets::is_item_word;
use super::grammar::Rule;
use super::lower::{Lower, Node, Parts, first_token, is_reserved};
use crate::diag::codes;

const NO_AS: &str = "`use` has no `as`";
const AN_ITEM: &str = "an item (`fn`, `model`, `train`, …)";
pub(super) const END: &str = super::lower::SEPARATED;

/// What a layer's or optimizer's braces hold.
struct Body {
    members: Vec<Member>,
    forward: Option<ForwardDecl>,
    update: Option<UpdateDecl>,
}

impl<'t> Lower<'t> {
    pub fn file(&mut self, file: Node<'t>) -> File {
        let mut items = Vec::new();
        let mut after_junk = false;
        for node in file.into_inner().filter(|n| n.as_rule() != Rule::EOI) {
            let junk = node.as_rule() == Rule::junk_item;
            if junk {
                // Lines that follow unread ones mostly belong to them; only what looks like an item is reported again.
                if !after_junk || node.as_str().contains('{') {
                    self.junk_item(&node);
                }
                let span = self.span(&node);
                items.push(Item { docs: String::new(), kind: ItemKind::Error, span });
            } else {
                let (docs, span) = (self.docs(&node), self.span(&node));
                let kind = self.item(node);
                items.push(Item { docs, kind, span });
            }
            after_junk = junk;
        }
        File { items, comments: self.comments() }
    }

    fn junk_item(&mut self, node: &Node<'t>) {
        let word = first_token(node.as_str());
        let rest = node.as_str()[word.len()..].trim_start();
        let act = is_reserved(word) || matches!(word, "forward" | "update" | "step");
        if (act || rest.starts_with('=')) && !node.as_str().contains(super::layout::HOLE) {
            let start = node.as_span().start();
            let span = self.layout.span(start, start + word.len());
            let headline = if act {
                format!("`{word}` stands inside a layer or task, not at the top of a file")
            } else {
                "a file has no bindings of its own".to_string()
            };
            let report = self.report(codes::SYNTAX, span, headline);
            if !act {
                report.help.push(format!("write `const {word} = …`, or move it into a task"));
            }
            return;
        }
        self.junk(node, AN_ITEM);
    }

    fn item(&mut self, node: Node<'t>) -> ItemKind {
        let rule = node.as_rule();
        let mut parts = Parts::of(node);
        match rule {
            Rule::use_item => self.use_item(parts),
            Rule::const_item => {
                parts.has(Rule::kw_const);
                let name = self.name(&mut parts, "a constant");
                let mut value = self.assigned(&mut parts);
                let junk =
                    self.tail(&mut parts, Rule::junk_stmt, if value.is_some() { END } else { "`=` and a value" });
                let at = self.point(parts.end);
                if value.is_none() && !junk && !name.name.is_empty() {
                    self.missing(parts.end, "a constant needs a value", "`const pad = 0`");
                }
                if junk {
                    value = None;
                }
                ItemKind::Const { name, value: value.unwrap_or(Expr { kind: ExprKind::Error, span: at }) }
            }
            Rule::fn_item => ItemKind::Fn(self.fn_item(parts)),
            Rule::layer_item => {
                let word = parts.take(Rule::kw_layer);
                let is_model = word.is_some_and(|w| w.as_str() == "model");
                let word = if is_model { "model" } else { "layer" };
                let name = self.name(&mut parts, &format!("a {word}"));
                let params = self.params(&mut parts).unwrap_or_default();
                let body = self.members(&mut parts, word);
                ItemKind::Layer(LayerDecl { is_model, name, params, members: body.members, forward: body.forward })
            }
            Rule::optimizer_item => {
                parts.has(Rule::kw_optimizer);
                let name = self.name(&mut parts, "an optimizer");
                let params = self.params(&mut parts).unwrap_or_default();
                let body = self.members(&mut parts, "optimizer");
                ItemKind::Optimizer(OptimizerDecl { name, params, members: body.members, update: body.update })
            }
            Rule::data_item => {
                parts.has(Rule::kw_data);
                let name = self.name(&mut parts, "data");
                let source = self.assigned(&mut parts);
                let expected = if source.is_some() { "`{` or a new line" } else { "`=` and a source" };
                let junk = self.tail(&mut parts, Rule::junk_head, expected);
                let at = self.point(parts.end);
                if source.is_none() && !junk && !name.name.is_empty() {
                    self.missing(parts.end, "data needs a source", "`data digits = mnist(\"data/mnist\")`");
                }
                let source = source.filter(|_| !junk).unwrap_or(Expr { kind: ExprKind::Error, span: at });
                let body = parts.take(Rule::block).map(|b| self.block(b));
                ItemKind::Data(DataDecl { name, source, body })
            }
            Rule::task_item => self.task(parts),
            _ => ItemKind::Error,
        }
    }

    fn use_item(&mut self, mut parts: Parts<'t>) -> ItemKind {
        parts.has(Rule::kw_use);
        let mut prefix: Vec<Ident> = Vec::new();
        let mut paths = Vec::new();
        let mut dotted = None;
        while let Some(Rule::ident | Rule::dot | Rule::use_names) = parts.peek() {
            let Some(part) = parts.next() else { break };
            dotted = None;
            match part.as_rule() {
                Rule::ident => prefix.push(self.ident(&part)),
                Rule::dot => dotted = Some(parts.end),
                _ => {
                    let (at, mut names) = (part.as_span().start() + 1, Parts::of(part));
                    while let Some(Rule::ident | Rule::comma) = names.peek() {
                        let Some(name) = names.next().filter(|n| n.as_rule() == Rule::ident) else { continue };
                        let name = self.ident(&name);
                        let span = name.span;
                        if name.name == "as" {
                            let report = self.report(codes::FOREIGN_SYNTAX, span, NO_AS);
                            report.help.push("write the name alone".into());
                            return ItemKind::Error;
                        }
                        paths.push(UsePath { parts: prefix.iter().cloned().chain([name]).collect(), span });
                    }
                    if !self.tail(&mut names, Rule::junk_stmt, "a name") && paths.is_empty() {
                        self.missing(at, "expected names between `{` and `}`", "");
                    }
                }
            }
        }
        if self.renamed(&mut parts, &prefix) {
            return ItemKind::Error;
        }
        let junk = self.tail(
            &mut parts,
            Rule::junk_stmt,
            if prefix.is_empty() { "a path such as `std.vision.ResNet18`" } else { END },
        );
        if let Some(at) = dotted {
            self.missing(at, "expected a name after `.`", "");
        } else if prefix.is_empty() && !junk {
            self.missing(parts.end, "expected a path after `use`", "`use std.vision.ResNet18`");
        } else if let (true, [first, .., last]) | (true, [first @ last]) = (paths.is_empty(), prefix.as_slice()) {
            let span = first.span.to(last.span);
            paths.push(UsePath { parts: prefix, span });
        }
        ItemKind::Use(paths)
    }

    /// `use nets.Eye as E`, `use nets.*`, `use "nets.nn"`: habits of other languages, each with what is written instead.
    fn renamed(&mut self, parts: &mut Parts<'t>, prefix: &[Ident]) -> bool {
        let Some(junk) = parts.peek_node().filter(|n| n.as_rule() == Rule::junk_stmt) else { return false };
        let (text, start) = (junk.as_str().trim(), junk.as_span().start());
        // A file as a whole is no name of it.
        let file = prefix.split_last().filter(|(last, before)| last.name == "nn" && !before.is_empty());
        let file = file.map_or(prefix, |(_, before)| before);
        let path = |parts: &[Ident]| parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".");
        let (headline, help) = match first_token(text) {
            "as" if file.len() == prefix.len() && prefix.len() > 1 => (NO_AS, format!("write `use {}`", path(prefix))),
            "as" => (NO_AS, format!("name what is used: `use {}.{{A, B}}`", path(file))),
            "*" => ("`use` has no `*`", format!("name what is used, for instance `use {}.{{A, B}}`", path(file))),
            _ if text.starts_with('"') && prefix.is_empty() => {
                ("`use` takes no quotes", "`use nets.vision.Eye` is `Eye` of `nets/vision.nn`".to_string())
            }
            _ => return false,
        };
        let span = self.layout.span(start, start + first_token(text).len());
        self.report(codes::FOREIGN_SYNTAX, span, headline).help.push(help);
        true
    }

    fn fn_item(&mut self, mut parts: Parts<'t>) -> FnDecl {
        parts.has(Rule::kw_fn);
        let name = self.name(&mut parts, "a function");
        let (params, result, wheres) = self.signature(&mut parts, "a function");
        let body = self.body(&mut parts, "a function");
        let gradient = parts.take(Rule::gradient).map(|node| {
            let mut parts = Parts::of(node);
            parts.has(Rule::kw_gradient);
            let names = self.needed_params(&mut parts, "`gradient`").into_iter().map(|p| p.name).collect();
            (names, self.body(&mut parts, "`gradient`"))
        });
        FnDecl { name, params, result, wheres, body, gradient }
    }

    fn signature(&mut self, parts: &mut Parts<'t>, of: &str) -> (Vec<Param>, Option<TypeExpr>, Vec<WhereClause>) {
        let params = self.needed_params(parts, of);
        let result = parts.take(Rule::result).map(|node| {
            let mut inner = Parts::of(node);
            inner.has(Rule::arrow);
            self.type_after(&mut inner, "->")
        });
        let mut wheres = Vec::new();
        if let Some(node) = parts.take(Rule::wheres) {
            let mut inner = Parts::of(node);
            inner.has(Rule::kw_where);
            let mut empty = true;
            while let Some(part) = inner.next() {
                empty = part.as_rule() == Rule::comma;
                if !empty {
                    wheres.extend(self.clause(part));
                }
            }
            if empty {
                self.missing(
                    inner.end,
                    "expected a condition on dims",
                    "`where T <= context`, `where S = floor(T / 2)`",
                );
            }
        }
        (params, result, wheres)
    }

    fn clause(&mut self, node: Node<'t>) -> Option<WhereClause> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let left = self.value(&mut parts, "expected a dim");
        if let Some(right) = self.assigned(&mut parts) {
            return Some(WhereClause { left, relation: Relation::Define, right, span });
        }
        if let ExprKind::Binary { op, left, right, .. } = left.kind {
            let relation = match op {
                BinaryOp::Lt => Some(Relation::Lt),
                BinaryOp::Le => Some(Relation::Le),
                BinaryOp::Gt => Some(Relation::Gt),
                BinaryOp::Ge => Some(Relation::Ge),
                BinaryOp::Eq => Some(Relation::Eq),
                _ => None,
            };
            if let Some(relation) = relation {
                return Some(WhereClause { left: *left, relation, right: *right, span });
            }
        }
        let report = self.report(codes::SYNTAX, span, "this clause neither bounds nor names a dim");
        report.help.push("`where T <= context`, `where S = floor(T / 2)`".into());
        None
    }

    pub fn needed_params(&mut self, parts: &mut Parts<'t>, of: &str) -> Vec<Param> {
        self.params(parts).unwrap_or_else(|| {
            self.missing(parts.end, &format!("{of} needs its parameters in `( )`"), "write `()` if it has none");
            Vec::new()
        })
    }

    pub fn params(&mut self, parts: &mut Parts<'t>) -> Option<Vec<Param>> {
        let node = parts.take(Rule::params)?;
        let mut params = Vec::new();
        let mut inner = Parts::of(node);
        let mut empty = true;
        while let Some(part) = inner.next() {
            if part.as_rule() == Rule::comma {
                self.between(empty, &part);
                empty = true;
                continue;
            }
            empty = false;
            let span = self.span(&part);
            let mut fields = Parts::of(part);
            let Some(name) = fields.take(Rule::ident).map(|n| self.ident(&n)) else {
                self.tail(&mut fields, Rule::junk_elem, "a parameter's name");
                continue;
            };
            let ty = self.typed(&mut fields);
            let default = self.assigned(&mut fields);
            self.tail(&mut fields, Rule::junk_elem, "`,` or `)`");
            params.push(Param { name, ty, default, span });
        }
        Some(params)
    }

    /// The block that `of` needs; an absent one is reported and holds an error, so that nothing is said about its value.
    pub fn body(&mut self, parts: &mut Parts<'t>, of: &str) -> Block {
        let junk = self.tail(parts, Rule::junk_head, "`{`");
        match parts.take(Rule::block) {
            Some(block) => self.block(block),
            None => {
                if !junk {
                    self.missing(parts.end, &format!("{of} needs a body in `{{ }}`"), "");
                }
                let span = self.point(parts.end);
                Block { stmts: vec![Stmt { kind: StmtKind::Error, span }], span }
            }
        }
    }

    fn members(&mut self, parts: &mut Parts<'t>, of: &'static str) -> Body {
        let mut body = Body { members: Vec::new(), forward: None, update: None };
        let junk = self.tail(parts, Rule::junk_head, "`{`");
        let Some(node) = parts.take(Rule::members) else {
            if !junk {
                let article = if of == "optimizer" { "an" } else { "a" };
                self.missing(parts.end, &format!("{article} {of} needs a body in `{{ }}`"), "");
            }
            return body;
        };
        for member in node.into_inner() {
            self.member(member, &mut body, of);
        }
        body
    }

    fn member(&mut self, node: Node<'t>, body: &mut Body, of: &str) {
        let span = self.span(&node);
        let rule = node.as_rule();
        let special = if of == "optimizer" { "update" } else { "forward" };
        let expected = format!("a member (`name = value`) or `{special}`");
        if matches!(rule, Rule::junk_stmt | Rule::reserved_bind) {
            return self.junk_member(node, &expected, of);
        }
        let docs = self.docs(&node);
        let mut parts = Parts::of(node);
        match rule {
            Rule::forward | Rule::update => {
                let word = if rule == Rule::forward { "forward" } else { "update" };
                let Some(keyword) = parts.next().map(|w| self.span(&w)) else { return };
                let again = if rule == Rule::forward { body.forward.is_some() } else { body.update.is_some() };
                if word != special {
                    let report = self.report(codes::SYNTAX, keyword, format!("`{word}` does not belong here"));
                    let article = if of == "optimizer" { "an" } else { "a" };
                    report.help.push(format!("{article} {of} has `{special}`"));
                } else if again {
                    let report = self.report(codes::SYNTAX, keyword, format!("there is one `{word}` only"));
                    report.help.push("make the second a `fn`, or a layer of its own".into());
                }
                let name = format!("`{word}`");
                if rule == Rule::forward {
                    let (params, result, wheres) = self.signature(&mut parts, &name);
                    let block = self.body(&mut parts, &name);
                    let decl = ForwardDecl { params, result, wheres, body: block, span: keyword };
                    body.forward.get_or_insert(decl);
                } else {
                    let params = self.needed_params(&mut parts, &name);
                    let block = self.body(&mut parts, &name);
                    body.update.get_or_insert(UpdateDecl { params, body: block, span: keyword });
                }
                self.tail(&mut parts, Rule::junk_stmt, END);
            }
            Rule::param_member | Rule::state_member => {
                let is_param = rule == Rule::param_member;
                let word = if is_param { "param" } else { "state" };
                parts.next();
                let name = self.name(&mut parts, &format!("`{word}`"));
                let typeless = parts.end;
                let ty = self.typed(&mut parts);
                let init = self.assigned(&mut parts);
                let junk = self.tail(&mut parts, Rule::junk_stmt, END);
                let kind = match (is_param, ty) {
                    _ if junk => MemberKind::Error,
                    (true, Some(ty)) => MemberKind::Param { ty, init },
                    (true, None) => {
                        let help = "`param weight: f32[out, in] = normal(std: 0.02)`";
                        self.missing(typeless, "a parameter needs a type", help);
                        MemberKind::Error
                    }
                    (false, ty) => MemberKind::State { ty, init },
                };
                body.members.push(Member { docs, name, kind, span });
            }
            _ => {
                let name = self.name(&mut parts, "a member");
                let value = self.assigned(&mut parts);
                let junk = self.tail(&mut parts, Rule::junk_stmt, END);
                let kind = match value {
                    Some(value) if !junk => MemberKind::Bind(value),
                    _ => MemberKind::Error,
                };
                body.members.push(Member { docs, name, kind, span });
            }
        }
    }

    fn junk_member(&mut self, node: Node<'t>, expected: &str, of: &str) {
        if node.as_rule() == Rule::reserved_bind {
            self.reserved(node);
            return;
        }
        let word = first_token(node.as_str());
        let start = node.as_span().start();
        let span = self.layout.span(start, start + word.len());
        let capital = word.starts_with(|c: char| c.is_ascii_uppercase());
        if is_item_word(word) && !node.as_str().contains(super::layout::HOLE) {
            let report = self.report(codes::SYNTAX, span, format!("`{word}` stands at the top of a file"));
            report.help.push(format!("move it out of the {of}"));
        } else if capital && node.as_str().contains('(') {
            let report = self.report(codes::MISSING_PART, span, "a member needs a name");
            report.help.push(format!("write `name = {}`", node.as_str().trim()));
        } else {
            self.junk(&node, expected);
        }
    }

    /// `repeat = 3`
    pub fn reserved(&mut self, node: Node<'t>) {
        let mut parts = Parts::of(node);
        if let Some(word) = parts.take(Rule::reserved) {
            let span = self.span(&word);
            let headline = format!("`{}` is a word of the language, not a name", word.as_str());
            self.report(codes::SYNTAX, span, headline).help.push("choose another name".into());
        }
    }
}
