//! How each form of the grammar is laid out.
//!
//! In: the trees of the items. Out: one document. Blanks between the parts of a form follow one rule ([`spaced`]); brackets,
//! operators, headers and `if` have layouts of their own.

use super::doc::{Doc, WIDTH};
use crate::syntax::Rule;
use crate::syntax::concrete::{Item, Lead, Node, Part, Token};

pub(super) struct Printer<'t> {
    pub text: &'t str,
    pub tokens: Vec<Token>,
}

/// Lists of at least so many plain values fill their lines instead of having a line each.
const FILLED: usize = 6;

impl Printer<'_> {
    pub fn file(&mut self, items: &[Item]) -> Doc {
        for item in items {
            if let Some(tree) = &item.tree {
                self.settle(tree);
            }
        }
        let tall = |doc: &Doc| doc.clone().bare_width().is_none_or(|w| w > WIDTH);
        let talls: Vec<bool> = items
            .iter()
            .map(|item| item.tree.as_ref().is_none_or(|tree| tall(&self.parts(tree, &Default::default()))))
            .collect();
        let mut rows: Vec<(Option<&Node>, bool)> = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let tree = item.tree.as_ref().filter(|t| t.rule == Rule::const_item);
            let apart = i > 0 && (talls[i - 1] || talls[i]);
            rows.push((tree, apart || self.blank_before(item.tokens.start)));
        }
        let pads = self.pads(&rows);
        let mut docs = Vec::new();
        let (mut at, mut before) = (0, false);
        let mut add = |doc: Doc, first: usize| {
            let is_tall = tall(&doc);
            if !docs.is_empty() {
                docs.push(Doc::Hard);
                if before || is_tall || self.blank_before(first) {
                    docs.push(Doc::Empty);
                }
            }
            docs.push(doc);
            before = is_tall;
        };
        for (item, pads) in items.iter().zip(&pads) {
            // What belongs to no item: a bracket too many.
            if let Some((doc, first)) = self.stray(at..item.tokens.start) {
                add(doc, first);
            }
            let doc = match &item.tree {
                Some(tree) => self.parts(tree, pads),
                None => self.verbatim(item),
            };
            add(doc, item.tokens.start);
            at = item.tokens.end;
        }
        let end = self.tokens.len() - 1;
        docs.extend(self.stray(at..end).map(|(doc, _)| Doc::Concat(vec![Doc::Hard, doc])));
        if !self.tokens[end].lead.is_empty() {
            docs.push(if docs.is_empty() { Doc::text("") } else { Doc::Hard });
            if self.blank_before(end) && end > 0 {
                docs.push(Doc::Empty);
            }
            docs.push(self.leads(end));
        }
        Doc::Concat(docs)
    }

    /// Tokens that belong to no item, kept as they are.
    fn stray(&self, tokens: std::ops::Range<usize>) -> Option<(Doc, usize)> {
        let (first, last) = (tokens.start, tokens.end.checked_sub(1)?);
        if first > last {
            return None;
        }
        let range = self.tokens[first].range.start..self.tokens[last].range.end;
        Some((self.kept(first, last, range), first))
    }

    fn verbatim(&self, item: &Item) -> Doc {
        if item.tokens.is_empty() {
            return Doc::Verbatim(self.text[item.range.clone()].to_string());
        }
        let (first, last) = (item.tokens.start, item.tokens.end - 1);
        let range =
            item.range.start.min(self.tokens[first].range.start)..item.range.end.max(self.tokens[last].range.end);
        self.kept(first, last, range)
    }

    fn kept(&self, first: usize, last: usize, range: std::ops::Range<usize>) -> Doc {
        let before = &self.text[..range.start];
        let margin = before.len() - before.trim_end_matches([' ', '\t']).len();
        let margin = if before[..before.len() - margin].ends_with('\n') { margin } else { 0 };
        let kept = Doc::Verbatim(self.text[range.start - margin..range.end].to_string());
        Doc::Concat(vec![self.leads(first), kept, self.trails(last)])
    }

    /// A comment between an operator and its operand goes before the operator, which begins the line.
    fn settle(&mut self, node: &Node) {
        if node.rule == Rule::expr {
            for pair in node.parts.windows(2) {
                let (Part::Node(operator), Some(next)) = (&pair[0], pair[1].first()) else { continue };
                let Some(token) = operator.first().filter(|t| operator.rule == Rule::infix && *t > 0) else { continue };
                let mut behind = std::mem::take(&mut self.tokens[token].trail);
                if self.tokens[token - 1].trail.is_empty() && !behind.is_empty() {
                    let nearest = behind.remove(0);
                    self.tokens[token - 1].trail.push(nearest);
                }
                // Of two comments the second has a line of its own.
                let behind = behind.into_iter().map(|text| Lead { text, blank: false });
                let above = std::mem::take(&mut self.tokens[next].lead);
                self.tokens[token].lead.extend(behind.chain(above));
            }
        }
        for inner in node.nodes() {
            self.settle(inner);
        }
    }

    /// Whether an empty line stands above a token and its comments.
    pub fn blank_before(&self, token: usize) -> bool {
        let token = &self.tokens[token];
        token.lead.first().map_or(token.newlines > 1, |c| c.blank)
    }

    /// The comments above a token.
    pub fn leads(&self, token: usize) -> Doc {
        let mut docs = Vec::new();
        let token = &self.tokens[token];
        for (i, comment) in token.lead.iter().enumerate() {
            if i > 0 && comment.blank {
                docs.push(Doc::Empty);
            }
            docs.push(Doc::Lead(comment.text.clone()));
        }
        if !docs.is_empty() && token.newlines > 1 && !token.range.is_empty() {
            docs.push(Doc::Empty);
        }
        Doc::Concat(docs)
    }

    fn trails(&self, token: usize) -> Doc {
        Doc::Concat(self.tokens[token].trail.iter().cloned().map(Doc::Trail).collect())
    }

    /// A token without the comments above it.
    pub fn bare(&self, token: usize) -> Doc {
        Doc::Concat(vec![Doc::text(&self.text[self.tokens[token].range.clone()]), self.trails(token)])
    }

    pub fn token(&self, token: usize) -> Doc {
        Doc::Concat(vec![self.leads(token), self.bare(token)])
    }

    pub fn part(&self, part: &Part) -> Doc {
        match part {
            Part::Token(token) => self.token(*token),
            Part::Node(node) => self.node(node),
        }
    }

    pub fn node(&self, node: &Node) -> Doc {
        match node.rule {
            Rule::expr => self.expr(node),
            Rule::call
            | Rule::paren
            | Rule::list
            | Rule::index
            | Rule::params
            | Rule::dims
            | Rule::tuple_type
            | Rule::list_type
            | Rule::use_names => Doc::group(self.brackets(node), false),
            Rule::block | Rule::members | Rule::task_body | Rule::groups | Rule::settings | Rule::seq_body => {
                let (doc, broken) = self.braces(node);
                Doc::group(doc, broken)
            }
            Rule::if_expr => {
                let mut broken = false;
                let doc = self.choice(node, &mut broken);
                Doc::group(doc, broken)
            }
            _ => self.parts(node, &Default::default()),
        }
    }

    /// `( a, b )` without a group around it.
    pub fn brackets(&self, node: &Node) -> Doc {
        let [Part::Token(open), inner @ .., Part::Token(close)] = node.parts.as_slice() else {
            return self.parts(node, &Default::default());
        };
        let is_comma = |p: &Part| matches!(p, Part::Node(n) if n.rule == Rule::comma);
        let count = inner.iter().filter(|p| !is_comma(p)).count();
        let plain =
            matches!(node.rule, Rule::list | Rule::call) && count >= FILLED && inner.iter().all(|p| self.is_plain(p));
        let mut docs: Vec<Doc> = Vec::new();
        let mut seen = 0;
        for part in inner {
            if !is_comma(part) {
                seen += 1;
                let doc = self.part(part);
                match plain && seen > 1 {
                    true => docs.push(Doc::group(Doc::Concat(vec![Doc::Line, doc]), false)),
                    false => docs.push(doc),
                }
                continue;
            }
            let Some(comma) = part.first() else { continue };
            if seen < count {
                docs.push(self.token(comma));
                if !plain {
                    docs.push(Doc::Line);
                }
            } else if node.rule == Rule::paren && count == 1 {
                docs.push(self.token(comma));
            } else {
                // It separates nothing.
                docs.push(self.trails(comma));
            }
        }
        let inner = if plain { Doc::Concat(docs) } else { Doc::group(Doc::Concat(docs), false) };
        let inside =
            if count == 0 { self.leads(*close) } else { Doc::Concat(vec![Doc::Soft, inner, self.leads(*close)]) };
        Doc::Concat(vec![self.token(*open), Doc::indent(inside), Doc::Soft, self.bare(*close)])
    }

    /// Whether a value is one word or number.
    fn is_plain(&self, part: &Part) -> bool {
        match part {
            Part::Token(_) => true,
            Part::Node(node) if node.rule == Rule::infix || node.rule == Rule::call => false,
            Part::Node(node) => node.parts.len() <= 2 && node.parts.iter().all(|p| self.is_plain(p)),
        }
    }

    /// `if … { } else { }` as one: either all braces are on lines of their own, or none.
    fn choice(&self, node: &Node, broken: &mut bool) -> Doc {
        let mut docs = Vec::new();
        for (i, part) in node.parts.iter().enumerate() {
            if i > 0 {
                docs.push(Doc::text(" "));
            }
            docs.push(match part {
                Part::Node(inner) if inner.rule == Rule::block => {
                    let (doc, force) = self.braces(inner);
                    *broken |= force;
                    doc
                }
                Part::Node(inner) if inner.rule == Rule::if_expr => self.choice(inner, broken),
                part => self.part(part),
            });
        }
        Doc::Concat(docs)
    }

    fn expr(&self, node: &Node) -> Doc {
        let parts: Vec<&Part> = node.parts.iter().collect();
        self.operators(&parts)
    }

    /// Operators of the lowest level among `parts` part the line first.
    fn operators(&self, parts: &[&Part]) -> Doc {
        let infix = |p: &Part| match p {
            Part::Node(n) if n.rule == Rule::infix => n.first(),
            _ => None,
        };
        let word = |token: usize| &self.text[self.tokens[token].range.clone()];
        let Some(lowest) = parts.iter().filter_map(|p| infix(p)).map(|t| level(word(t))).min() else {
            let mut docs = Vec::new();
            for part in parts {
                let blank = matches!(part, Part::Node(n) if n.rule == Rule::prefix && n.first().is_some_and(|t| word(t) == "not"));
                docs.push(self.part(part));
                if blank {
                    docs.push(Doc::text(" "));
                }
            }
            return Doc::Concat(docs);
        };
        let cuts: Vec<(usize, usize)> = parts
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some((i, infix(p)?)))
            .filter(|(_, token)| level(word(*token)) == lowest)
            .collect();
        let first = self.operators(&parts[..cuts[0].0]);
        let (mut rest, mut broken) = (Vec::new(), false);
        for (n, &(at, token)) in cuts.iter().enumerate() {
            let end = cuts.get(n + 1).map_or(parts.len(), |c| c.0);
            let operand = &parts[at + 1..end];
            if lowest == RANGE {
                rest.extend([self.token(token), self.operators(operand)]);
                continue;
            }
            // Who writes a pipe below another wants to see its stages.
            let below = |t: Option<usize>| t.is_some_and(|t| self.tokens[t].first);
            broken |= lowest == PIPE && (below(Some(token)) || below(operand.first().and_then(|p| p.first())));
            rest.extend([Doc::Line, self.token(token), Doc::text(" "), self.operators(operand)]);
        }
        Doc::group(Doc::Concat(vec![first, Doc::indent(Doc::Concat(rest))]), broken)
    }

    /// A form's parts in order; a header's parameters are laid out with what stands behind them.
    pub fn parts(&self, node: &Node, pads: &super::block::Pads) -> Doc {
        let mut docs: Vec<Doc> = Vec::new();
        let header = matches!(
            node.rule,
            Rule::fn_item
                | Rule::layer_item
                | Rule::optimizer_item
                | Rule::task_item
                | Rule::forward
                | Rule::update
                | Rule::step
                | Rule::gradient
        );
        let mut head = 0;
        for (i, part) in node.parts.iter().enumerate() {
            if header && head == 0 && matches!(part, Part::Node(n) if is_body(n.rule)) {
                let before = std::mem::take(&mut docs);
                docs.push(Doc::group(Doc::Concat(before), false));
                head = i;
            }
            let pad = self.pad(node, i, pads);
            if pad > 0 {
                docs.push(Doc::Pad(pad));
            }
            if i > 0 && spaced(node.rule, &node.parts[i - 1], part) {
                docs.push(Doc::text(" "));
            }
            docs.push(match part {
                Part::Node(n) if header && head == 0 && n.rule == Rule::params => self.brackets(n),
                part => self.part(part),
            });
        }
        Doc::Concat(docs)
    }
}

const PIPE: u8 = 0;
const RANGE: u8 = 4;

/// What an operator binds, low to high.
fn level(operator: &str) -> u8 {
    match operator {
        "|>" => PIPE,
        "or" => 1,
        "and" => 2,
        "==" | "!=" | "<=" | ">=" | "<" | ">" => 3,
        ".." => RANGE,
        "*" | "/" | "@" => 6,
        "^" => 7,
        _ => 5,
    }
}

fn is_body(rule: Rule) -> bool {
    matches!(rule, Rule::block | Rule::members | Rule::task_body)
}

/// Whether a blank stands between two parts of a form.
fn spaced(form: Rule, before: &Part, after: &Part) -> bool {
    let rule = |p: &Part| match p {
        Part::Node(n) => Some(n.rule),
        Part::Token(_) => None,
    };
    let tight = matches!(form, Rule::path | Rule::field | Rule::rest_dim | Rule::operand | Rule::axis | Rule::rest);
    let joins = matches!(
        rule(after),
        Some(
            Rule::comma | Rule::colon | Rule::dot | Rule::params | Rule::dims | Rule::call | Rule::index | Rule::field
        )
    );
    // `[:, -1]`: in brackets of an index the colon is tight.
    !(tight || joins || rule(before) == Some(Rule::dot) && form == Rule::use_item)
}
