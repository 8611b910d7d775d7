//! Lowering of expressions, selections and types.
//!
//! In: pairs. Out: tree nodes. The grammar keeps operators in a flat list; precedence is applied here.

use super::ast::*;
use super::grammar::Rule;
use super::lower::{Lower, Node, Parts, SEPARATED, end_of};
use super::lower_type::{one_path, path_of};
use crate::diag::codes;
use crate::source::Span;

/// What an operator binds, low to high.
mod level {
    pub const PIPE: u8 = 0;
    pub const OR: u8 = 1;
    pub const AND: u8 = 2;
    pub const COMPARE: u8 = 4;
    pub const RANGE: u8 = 5;
    pub const SUM: u8 = 6;
    pub const PRODUCT: u8 = 7;
    pub const POWER: u8 = 9;
}

#[derive(Clone, Copy)]
enum Infix {
    Pipe,
    Range,
    Op(BinaryOp),
}

enum Piece {
    Prefix(UnaryOp, Span),
    Value(Expr),
    Infix(Infix, u8, Span),
}

fn infix(text: &str) -> (Infix, u8) {
    use BinaryOp::*;
    let (op, level) = match text {
        "|>" => return (Infix::Pipe, level::PIPE),
        ".." => return (Infix::Range, level::RANGE),
        "or" => (Or, level::OR),
        "and" => (And, level::AND),
        "==" => (Eq, level::COMPARE),
        "!=" => (Ne, level::COMPARE),
        "<=" => (Le, level::COMPARE),
        ">=" => (Ge, level::COMPARE),
        "<" => (Lt, level::COMPARE),
        ">" => (Gt, level::COMPARE),
        "-" => (Sub, level::SUM),
        "*" => (Mul, level::PRODUCT),
        "/" => (Div, level::PRODUCT),
        "@" => (MatMul, level::PRODUCT),
        "^" => (Pow, level::POWER),
        _ => (Add, level::SUM),
    };
    (Infix::Op(op), level)
}

impl<'t> Lower<'t> {
    /// The expression that comes next, or a reported gap.
    pub fn value(&mut self, parts: &mut Parts<'t>, headline: &str) -> Expr {
        match parts.take(Rule::expr) {
            Some(node) => self.expr(node),
            None => {
                self.missing(parts.end, headline, "");
                Expr { kind: ExprKind::Missing, span: self.point(parts.end) }
            }
        }
    }

    /// `= value`, if it is there.
    pub fn assigned(&mut self, parts: &mut Parts<'t>) -> Option<Expr> {
        parts.has(Rule::assign).then(|| self.value(parts, "expected a value after `=`"))
    }

    pub fn expr(&mut self, node: Node<'t>) -> Expr {
        let mut parts = Parts::of(node);
        let mut pieces = Vec::new();
        let mut last = String::new();
        while let Some(part) = parts.next() {
            let span = self.span(&part);
            let text = part.as_str().trim_end();
            match part.as_rule() {
                Rule::prefix => {
                    let op = if text == "-" { UnaryOp::Neg } else { UnaryOp::Not };
                    pieces.push(Piece::Prefix(op, span));
                    last = text.to_string();
                }
                Rule::infix => {
                    self.fill(&mut pieces, &last, part.as_span().start());
                    let (op, level) = infix(text);
                    pieces.push(Piece::Infix(op, level, span));
                    last = text.to_string();
                }
                _ => pieces.push(Piece::Value(self.operand(part))),
            }
        }
        self.fill(&mut pieces, &last, parts.end);
        let mut pieces = pieces.into_iter().peekable();
        self.climb(&mut pieces, level::PIPE, parts.end)
    }

    /// Puts a reported gap where an operator has no operand.
    fn fill(&mut self, pieces: &mut Vec<Piece>, operator: &str, at: usize) {
        if let Some(Piece::Prefix(..) | Piece::Infix(..)) = pieces.last() {
            let end = self.layout.text[..at].trim_end().len();
            self.missing(end, &format!("expected a value after `{operator}`"), "");
            pieces.push(Piece::Value(Expr { kind: ExprKind::Missing, span: self.point(end) }));
        }
    }

    fn climb(&mut self, pieces: &mut std::iter::Peekable<std::vec::IntoIter<Piece>>, min: u8, end: usize) -> Expr {
        let mut left = match pieces.next() {
            Some(Piece::Value(value)) => value,
            Some(Piece::Prefix(op, span)) => {
                let min = if op == UnaryOp::Neg { level::POWER } else { level::COMPARE };
                let value = self.climb(pieces, min, end);
                Expr { span: span.to(value.span), kind: ExprKind::Unary { op, value: Box::new(value) } }
            }
            _ => Expr { kind: ExprKind::Missing, span: self.point(end) },
        };
        let mut compared = None;
        while let Some(Piece::Infix(op, level, op_span)) =
            pieces.next_if(|p| matches!(p, Piece::Infix(_, level, _) if *level >= min))
        {
            if matches!(level, level::COMPARE | level::RANGE) && compared.replace(level) == Some(level) {
                let chain = if level == level::RANGE { "ranges" } else { "comparisons" };
                let report = self.report(codes::SYNTAX, op_span, format!("{chain} do not chain"));
                report.help.push(match level {
                    level::RANGE => "a range has two ends: `0..n`".into(),
                    _ => "join two of them with `and`: `a < b and b < c`".to_string(),
                });
            }
            let right = self.climb(pieces, if level == level::POWER { level } else { level + 1 }, end);
            let span = left.span.to(right.span);
            let (a, b) = (Box::new(left), Box::new(right));
            let kind = match op {
                Infix::Pipe => ExprKind::Pipe { value: a, stage: b },
                Infix::Range => ExprKind::Range { from: a, to: b },
                Infix::Op(op) => ExprKind::Binary { op, op_span, left: a, right: b },
            };
            left = Expr { kind, span };
        }
        left
    }

    fn operand(&mut self, node: Node<'t>) -> Expr {
        let start = node.as_span().start();
        let mut parts = Parts::of(node);
        let Some(atom) = parts.next() else { return self.error_expr(self.point(start)) };
        let mut value = self.atom(atom);
        // Set while the chain is a path with a `*`.
        let mut wild: Option<Selection> = None;
        while let Some(part) = parts.next() {
            let end = end_of(&part);
            let span = self.layout.span(start, end);
            let base = Box::new(value);
            let kind = match part.as_rule() {
                Rule::call => ExprKind::Call { callee: base, args: self.args(part) },
                Rule::index => {
                    let part_span = self.span(&part);
                    let indices = self.indices(part);
                    match &mut wild {
                        Some(selection) => {
                            selection.include[0].parts.push(SelectionPart::Range(indices, part_span));
                            ExprKind::Wildcard(selection.clone())
                        }
                        None => ExprKind::Index { base, indices },
                    }
                }
                Rule::field => {
                    let dot = part.as_span().start() + 1;
                    let mut inner = Parts::of(part);
                    if let Some(star) = inner.take(Rule::star) {
                        let star = self.span(&star);
                        let selection = match wild.take() {
                            Some(selection) => Some(selection),
                            None => path_of(&base).map(|parts| one_path(parts, base.span)),
                        };
                        match selection {
                            Some(mut selection) => {
                                selection.include[0].parts.push(SelectionPart::Any(star));
                                wild = Some(selection.clone());
                                ExprKind::Wildcard(selection)
                            }
                            None => {
                                let report = self.report(codes::SYNTAX, star, "`*` selects below a name only");
                                report.help.push("bind the value to a name first".into());
                                ExprKind::Error
                            }
                        }
                    } else {
                        let name = match inner.take(Rule::ident) {
                            Some(node) => self.ident(&node),
                            None => {
                                if let ExprKind::Int(..) | ExprKind::Float(..) = base.kind {
                                    let headline = "a number has digits on both sides of its point";
                                    let report = self.report(codes::SYNTAX, span, headline);
                                    report.help.push("write `1.0`, `0.5`".into());
                                } else {
                                    self.missing(dot, "expected a name after `.`", "");
                                }
                                Ident { name: String::new(), span: self.point(dot) }
                            }
                        };
                        match &mut wild {
                            Some(selection) => {
                                selection.include[0].parts.push(SelectionPart::Name(name));
                                ExprKind::Wildcard(selection.clone())
                            }
                            None => ExprKind::Field { base, name },
                        }
                    }
                }
                _ => ExprKind::Error,
            };
            value = Expr { kind, span };
            match &mut value.kind {
                ExprKind::Wildcard(selection) => {
                    selection.span = span;
                    selection.include[0].span = span;
                }
                _ => wild = None,
            }
        }
        value
    }

    fn atom(&mut self, node: Node<'t>) -> Expr {
        let span = self.span(&node);
        let kind = match node.as_rule() {
            Rule::number => self.number(node),
            Rule::string => ExprKind::Str(unescape(node.as_str())),
            Rule::ident => ExprKind::Name(node.as_str().to_string()),
            Rule::paren => {
                let (mut values, commas) = self.elements(node);
                match (values.pop(), commas) {
                    // Parentheses alone: the value, where they stand.
                    (Some(only), 0) => only.kind,
                    (last, _) => ExprKind::Tuple(values.into_iter().chain(last).collect()),
                }
            }
            Rule::list => ExprKind::List(self.elements(node).0),
            Rule::if_expr => self.if_expr(node),
            Rule::seq => self.seq(node),
            Rule::repeat => self.repeat(node),
            Rule::scan => self.scan(node),
            _ => ExprKind::Error,
        };
        Expr { kind, span }
    }

    fn number(&mut self, node: Node<'t>) -> ExprKind {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let Some(digits) = parts.next() else { return ExprKind::Error };
        let unit = parts.take(Rule::unit).map(|u| self.ident(&u));
        let text = digits.as_str();
        match digits.as_rule() {
            Rule::float => ExprKind::Float(text.parse().unwrap_or(f64::NAN), unit),
            _ => match text.parse() {
                Ok(value) => ExprKind::Int(value, unit),
                Err(_) => {
                    let report = self.report(codes::SYNTAX, span, "this whole number is too large");
                    report.help.push(format!("write it as a float: `{text}.0`"));
                    ExprKind::Error
                }
            },
        }
    }

    /// The values of a comma list, and how many commas it has.
    fn elements(&mut self, node: Node<'t>) -> (Vec<Expr>, usize) {
        let (mut values, mut commas, mut empty) = (Vec::new(), 0, true);
        let mut parts = Parts::of(node);
        while let Some(part) = parts.next() {
            if part.as_rule() == Rule::comma {
                self.between(empty, &part);
                commas += 1;
                empty = true;
            } else {
                values.push(self.element(part));
                empty = false;
            }
        }
        (values, commas)
    }

    /// Reports a comma with nothing before it.
    pub fn between(&mut self, empty: bool, comma: &Node<'t>) {
        if empty {
            self.missing(comma.as_span().start(), "expected something before `,`", "");
        }
    }

    fn element(&mut self, node: Node<'t>) -> Expr {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let value = parts.take(Rule::expr).map(|e| self.expr(e));
        let expected = if value.is_some() { "`,` or the closing bracket" } else { "a value" };
        match (self.tail(&mut parts, Rule::junk_elem, expected), value) {
            (false, Some(value)) => value,
            _ => self.error_expr(span),
        }
    }

    fn args(&mut self, node: Node<'t>) -> Vec<Arg> {
        let mut args: Vec<Arg> = Vec::new();
        let mut parts = Parts::of(node);
        let mut empty = true;
        while let Some(part) = parts.next() {
            if part.as_rule() == Rule::comma {
                self.between(empty, &part);
                empty = true;
                continue;
            }
            if part.as_str().trim().is_empty() {
                continue;
            }
            empty = false;
            let span = self.span(&part);
            let mut inner = Parts::of(part);
            let name = inner.take(Rule::arg_name).map(|n| self.inner_ident(n));
            let colon = inner.has(Rule::colon);
            let value = match inner.take(Rule::expr) {
                Some(e) => self.expr(e),
                None if inner.peek().is_none() && colon => {
                    self.missing(inner.end, "expected a value after `:`", "");
                    Expr { kind: ExprKind::Missing, span: self.point(inner.end) }
                }
                None => self.error_expr(span),
            };
            let expected = match value.kind {
                ExprKind::Error => "a value",
                _ => "`,` or `)`",
            };
            let junk = self.tail(&mut inner, Rule::junk_elem, expected);
            let value = if junk { self.error_expr(value.span) } else { value };
            args.push(Arg { name, value, span });
        }
        args
    }

    /// The ident in a pair that only marks its place.
    pub fn inner_ident(&mut self, node: Node<'t>) -> Ident {
        let span = self.span(&node);
        match node.into_inner().next() {
            Some(ident) => self.ident(&ident),
            None => Ident { name: String::new(), span },
        }
    }

    pub fn indices(&mut self, node: Node<'t>) -> Vec<Index> {
        let mut indices = Vec::new();
        let whole = self.span(&node);
        let mut parts = Parts::of(node);
        let mut empty = true;
        while let Some(part) = parts.next() {
            if part.as_rule() == Rule::comma {
                self.between(empty, &part);
                empty = true;
            } else if !part.as_str().trim().is_empty() {
                indices.push(self.axis(part));
                empty = false;
            }
        }
        if indices.is_empty() {
            let report = self.report(codes::MISSING_PART, whole, "expected an index between `[` and `]`");
            report.help.push("`x[0]`, `x[:, -1]`, `x[.., 0:3]`".into());
            indices.push(Index::At(self.error_expr(whole)));
        }
        indices
    }

    fn axis(&mut self, node: Node<'t>) -> Index {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        if parts.has(Rule::rest) {
            self.tail(&mut parts, Rule::junk_elem, "`,` or `]`");
            return Index::Rest(span);
        }
        let mut bounds = [None, None, None];
        let mut colons = 0;
        while let Some(rule @ (Rule::expr | Rule::colon)) = parts.peek() {
            let Some(part) = parts.next() else { break };
            match rule {
                Rule::colon => colons += 1,
                _ => bounds[colons.min(2)] = Some(self.expr(part)),
            }
        }
        let read = colons > 0 || bounds[0].is_some();
        if self.tail(&mut parts, Rule::junk_elem, if read { "`,` or `]`" } else { "an index" }) {
            return Index::At(self.error_expr(span));
        }
        let [from, to, step] = bounds;
        match from {
            Some(at) if colons == 0 => {
                if let ExprKind::Range { .. } = at.kind {
                    let report = self.report(codes::SYNTAX, at.span, "a slice is written with `:`");
                    report.help.push("write `x[0:3]`; `..` in brackets stands for all other axes".into());
                }
                Index::At(at)
            }
            from => Index::Slice { from, to, step, span },
        }
    }

    fn if_expr(&mut self, node: Node<'t>) -> ExprKind {
        let mut parts = Parts::of(node);
        parts.has(Rule::kw_if);
        let condition = Box::new(self.value(&mut parts, "expected a condition after `if`"));
        let then = self.body(&mut parts, "`if`");
        let mut otherwise = None;
        if parts.has(Rule::kw_else) {
            otherwise = Some(Box::new(match parts.take(Rule::if_expr) {
                Some(node) => {
                    let span = self.span(&node);
                    Else::If(Expr { kind: self.if_expr(node), span })
                }
                None => Else::Block(self.body(&mut parts, "`else`")),
            }));
        }
        ExprKind::If { condition, then, otherwise }
    }

    fn seq(&mut self, node: Node<'t>) -> ExprKind {
        let mut parts = Parts::of(node);
        parts.has(Rule::kw_seq);
        match self.seq_body(&mut parts, "`seq`") {
            Some(items) => ExprKind::Seq(items),
            None => ExprKind::Error,
        }
    }

    fn repeat(&mut self, node: Node<'t>) -> ExprKind {
        let mut parts = Parts::of(node);
        parts.has(Rule::kw_repeat);
        let variable = parts.take(Rule::repeat_var).map(|n| self.inner_ident(n));
        parts.has(Rule::kw_in);
        let over = Box::new(self.value(&mut parts, "expected how often, or what over"));
        match self.seq_body(&mut parts, "`repeat`") {
            Some(body) => ExprKind::Repeat { variable, over, body },
            None => ExprKind::Error,
        }
    }

    fn seq_body(&mut self, parts: &mut Parts<'t>, of: &str) -> Option<Vec<SeqItem>> {
        let junk = self.tail(parts, Rule::junk_head, "`{`");
        let Some(body) = parts.take(Rule::seq_body) else {
            if !junk {
                self.missing(parts.end, &format!("{of} needs its parts in `{{ }}`"), "");
            }
            return None;
        };
        Some(body.into_inner().map(|item| self.seq_item(item)).collect())
    }

    fn seq_item(&mut self, node: Node<'t>) -> SeqItem {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        if let Some(node) = parts.take(Rule::seq_act).and_then(|n| n.into_inner().next()) {
            let act = Some(Box::new(self.stmt(node)));
            return SeqItem { name: None, value: self.error_expr(span), act, span };
        }
        let name = parts.take(Rule::seq_name).map(|n| self.inner_ident(n));
        parts.has(Rule::assign);
        let value = parts.take(Rule::expr).map(|e| self.expr(e));
        let expected = if value.is_some() { SEPARATED } else { "a layer or a function" };
        let junk = self.tail(&mut parts, Rule::junk_stmt, expected);
        let value = value.filter(|_| !junk).unwrap_or_else(|| self.error_expr(span));
        SeqItem { name, value, act: None, span }
    }

    fn scan(&mut self, node: Node<'t>) -> ExprKind {
        let mut parts = Parts::of(node);
        parts.has(Rule::kw_scan);
        let at = parts.end;
        let pattern = match parts.take(Rule::operand) {
            Some(node) => {
                let value = self.operand(node);
                self.pattern(value)
            }
            None => {
                self.missing(at, "expected a name after `scan`", "`scan x_t in x along T with h = h0 { … }`");
                Some(Pattern::Name(Ident { name: String::new(), span: self.point(at) }))
            }
        };
        let over = if parts.has(Rule::kw_in) {
            self.value(&mut parts, "expected a value after `in`")
        } else {
            if parts.end > at {
                self.missing(parts.end, "expected `in` and what to scan over", "`scan x_t in x along T`");
            }
            Expr { kind: ExprKind::Missing, span: self.point(parts.end) }
        };
        let mut along = None;
        if parts.has(Rule::kw_along) {
            along = parts.take(Rule::ident).map(|n| self.ident(&n));
            if along.is_none() {
                self.missing(parts.end, "expected an axis after `along`", "");
            }
        }
        let by = parts.has(Rule::kw_by).then(|| self.value(&mut parts, "expected a value after `by`"));
        let recompute = parts.has(Rule::kw_recompute);
        let mut carries = Vec::new();
        if parts.has(Rule::kw_with) {
            let mut empty = true;
            while let Some(Rule::carry | Rule::comma) = parts.peek() {
                let Some(part) = parts.next() else { break };
                empty = part.as_rule() == Rule::comma;
                if !empty {
                    let mut inner = Parts::of(part);
                    let name = self.name(&mut inner, "a carry");
                    let start = self.assigned(&mut inner);
                    let start = start.unwrap_or_else(|| {
                        self.missing(inner.end, "a carry needs its first value", "`with h = zeros([B, D])`");
                        Expr { kind: ExprKind::Missing, span: self.point(inner.end) }
                    });
                    carries.push((name, start));
                }
            }
            if empty {
                self.missing(parts.end, "expected a carry and its first value", "`with h = zeros([B, D])`");
            }
        }
        let body = self.body(&mut parts, "`scan`");
        match pattern {
            Some(pattern) => ExprKind::Scan(Box::new(Scan { pattern, over, along, by, recompute, carries, body })),
            None => ExprKind::Error,
        }
    }

    /// What a value means on the left of `=`; reports one that cannot be bound.
    pub fn pattern(&mut self, value: Expr) -> Option<Pattern> {
        match value.kind {
            ExprKind::Name(name) => Some(Pattern::Name(Ident { name, span: value.span })),
            ExprKind::Tuple(parts) => {
                let parts: Option<Vec<_>> = parts.into_iter().map(|p| self.pattern(p)).collect();
                Some(Pattern::Tuple(parts?, value.span))
            }
            ExprKind::Error | ExprKind::Missing => None,
            _ => {
                let report = self.report(codes::SYNTAX, value.span, "only names can be bound");
                report.help.push("write a name or a tuple of names; values are never changed in place".into());
                None
            }
        }
    }
}

/// The text of a string as written with its quotes: `\n \t \r \\ \"`, any other pair stands for itself.
fn unescape(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(quoted);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}
