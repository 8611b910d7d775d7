//! What stands in braces: statements below each other, with columns where neighbours are alike.
//!
//! In: the trees of the parts. Out: documents. Columns depend on the widths of names alone, so they are known before any line is
//! broken.

use super::doc::Doc;
use super::tree::Printer;
use crate::syntax::Rule;
use crate::syntax::concrete::{Node, Part};

/// Statements whose names differ by more than this share no column; members always do.
const JUMP: usize = 8;

/// Blanks that bring the parts of a statement into the columns of its neighbours.
#[derive(Clone, Debug, Default)]
pub struct Pads {
    /// Behind the first word.
    word: usize,
    /// Behind the name, or the name with its colon.
    name: usize,
    /// Behind the type.
    kind: usize,
}

/// The widths of a statement that has columns.
struct Columns {
    class: &'static str,
    word: usize,
    name: usize,
    kind: usize,
}

impl Printer<'_> {
    /// `{ … }` without a group around it, and whether it was written on several lines.
    pub fn braces(&self, node: &Node) -> (Doc, bool) {
        let [Part::Token(open), inner @ .., Part::Token(close)] = node.parts.as_slice() else {
            return (self.parts(node, &Pads::default()), false);
        };
        let parts: Vec<&Node> = inner
            .iter()
            .filter_map(|p| match p {
                Part::Node(n) if n.rule != Rule::comma => Some(n),
                _ => None,
            })
            .collect();
        let below = |token: usize| self.tokens[token].first;
        let broken = below(*close) || parts.iter().any(|n| n.first().is_some_and(below));
        if parts.is_empty() {
            let leads = self.leads(*close);
            let empty = !leads.ends_lines() && self.tokens[*open].trail.is_empty();
            let doc = Doc::Concat(vec![self.token(*open), Doc::indent(leads), Doc::Soft, self.bare(*close)]);
            return (doc, !empty);
        }
        let rows = self.rows(node.rule, &parts);
        let alone = |row: &Vec<&Node>| row.first().filter(|_| row.len() == 1).map(|n| (*n).clone());
        let heads: Vec<(Option<Node>, bool)> = rows.iter().map(|r| (alone(r), self.above(r))).collect();
        let pads = self.pads(&heads.iter().map(|(n, b)| (n.as_ref(), *b)).collect::<Vec<_>>());
        let mut docs = vec![Doc::Line];
        for (i, (row, pads)) in rows.iter().zip(&pads).enumerate() {
            if i > 0 {
                docs.push(Doc::Next);
                if self.above(row) {
                    docs.push(Doc::Empty);
                }
            }
            let mut items = Vec::new();
            for (n, item) in row.iter().enumerate() {
                if n > 0 {
                    items.push(Doc::Next);
                }
                items.push(self.statement(item, pads));
            }
            docs.push(if items.len() > 1 { Doc::group(Doc::Concat(items), false) } else { Doc::Concat(items) });
        }
        // The comments of commas, which stand for line ends here.
        let commas =
            inner.iter().filter(|p| matches!(p, Part::Node(n) if n.rule == Rule::comma)).filter_map(Part::first);
        docs.extend(commas.flat_map(|c| self.tokens[c].trail.iter().cloned().map(Doc::Lead)));
        docs.push(self.leads(*close));
        let doc = Doc::Concat(vec![self.token(*open), Doc::indent(Doc::Concat(docs)), Doc::Line, self.bare(*close)]);
        (doc, broken)
    }

    /// Whether an empty line stands above a row.
    fn above(&self, row: &[&Node]) -> bool {
        row.first().and_then(|n| n.first()).is_some_and(|t| self.blank_before(t))
    }

    /// Links of a chain that were written on one line stay on one; everything else has its own.
    fn rows<'n>(&self, rule: Rule, parts: &[&'n Node]) -> Vec<Vec<&'n Node>> {
        let link = |n: &Node| {
            rule == Rule::seq_body
                && n.nodes().next().is_some_and(|f| !matches!(f.rule, Rule::seq_name | Rule::seq_act))
        };
        let mut rows: Vec<Vec<&Node>> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let joined =
                i > 0 && link(part) && link(parts[i - 1]) && !part.first().is_some_and(|t| self.tokens[t].first);
            match rows.last_mut().filter(|_| joined) {
                Some(row) => row.push(part),
                None => rows.push(vec![part]),
            }
        }
        rows
    }

    fn statement(&self, node: &Node, pads: &Pads) -> Doc {
        match node.rule {
            Rule::seq_item if node.nodes().next().is_some_and(|n| n.rule == Rule::seq_act) => {
                let act = node.nodes().next().and_then(|n| n.nodes().next());
                act.map_or_else(|| self.node(node), |act| self.parts(act, pads))
            }
            _ => self.parts(node, pads),
        }
    }

    /// The blanks before part `at` of a statement.
    pub fn pad(&self, node: &Node, at: usize, pads: &Pads) -> usize {
        let rule = |i: usize| match node.parts.get(i) {
            Some(Part::Node(n)) => Some(n.rule),
            _ => None,
        };
        let typed = node.nodes().any(|n| n.rule == Rule::colon);
        match (node.rule, rule(at)) {
            (_, Some(Rule::assign)) => {
                if typed {
                    pads.kind
                } else {
                    pads.name
                }
            }
            (_, Some(Rule::type_expr)) => pads.name,
            (Rule::group, Some(Rule::settings)) => pads.name,
            (Rule::minimize | Rule::report, _) if at == 1 => pads.word,
            _ => 0,
        }
    }

    /// The columns of rows; each comes with whether an empty line stands above it.
    pub fn pads(&self, rows: &[(Option<&Node>, bool)]) -> Vec<Pads> {
        let columns: Vec<Option<Columns>> = rows.iter().map(|(n, _)| self.columns((*n)?)).collect();
        let mut pads = vec![Pads::default(); rows.len()];
        let mut at = 0;
        while at < rows.len() {
            let mut to = at + 1;
            while to < rows.len() && !rows[to].1 && alike(&columns[to - 1], &columns[to]) {
                to += 1;
            }
            let run = || columns[at..to].iter().flatten();
            let most = |width: fn(&Columns) -> usize| run().map(width).max().unwrap_or(0);
            let (word, name, kind) = (most(|c| c.word), most(|c| c.name), most(|c| c.kind));
            for (pad, own) in pads[at..to].iter_mut().zip(&columns[at..to]) {
                if let Some(own) = own {
                    *pad = Pads { word: word - own.word, name: name - own.name, kind: kind.saturating_sub(own.kind) };
                }
            }
            at = to;
        }
        pads
    }

    fn columns(&self, node: &Node) -> Option<Columns> {
        let part = |rule: Rule| node.nodes().find(|n| n.rule == rule);
        let width = |rule: Rule| part(rule).and_then(|n| self.node(n).bare_width());
        let assigned = part(Rule::assign).is_some();
        let named = |class, name| Some(Columns { class, word: 0, name, kind: 0 });
        match node.rule {
            Rule::task_bind | Rule::bind_member | Rule::const_item | Rule::setting if assigned => {
                named("member", width(Rule::ident)?)
            }
            Rule::seq_item => named("member", width(Rule::seq_name)?),
            Rule::plain if assigned => {
                let name = width(Rule::expr)?;
                let first = self.text[self.tokens[node.first()?].range.clone()].starts_with('(');
                match width(Rule::type_expr) {
                    Some(kind) => Some(Columns { class: "typed", word: 0, name, kind }),
                    None => named(if first { "tuple" } else { "name" }, name),
                }
            }
            Rule::param_member | Rule::state_member => {
                let class = match (node.rule == Rule::param_member, width(Rule::type_expr).is_some()) {
                    (true, _) => "param",
                    (false, true) => "state",
                    (false, false) => "free state",
                };
                let kind = if assigned { width(Rule::type_expr).unwrap_or(0) } else { 0 };
                Some(Columns { class, word: 0, name: width(Rule::ident)?, kind })
            }
            Rule::minimize => Some(Columns { class: "act", word: "minimize".len(), name: 0, kind: 0 }),
            Rule::report => Some(Columns { class: "act", word: "report".len(), name: 0, kind: 0 }),
            Rule::group => {
                let lines = self.braces(part(Rule::settings)?).1;
                named("group", width(Rule::selection)?).filter(|_| !lines)
            }
            _ => None,
        }
    }
}

/// Whether two neighbours share columns.
fn alike(above: &Option<Columns>, below: &Option<Columns>) -> bool {
    match (above, below) {
        (Some(a), Some(b)) if matches!(a.class, "name" | "tuple" | "typed") => {
            a.class == b.class && a.name.abs_diff(b.name) <= JUMP
        }
        (Some(a), Some(b)) => a.class == b.class,
        _ => false,
    }
}
