//! Finds the partner of every bracket, and where a missing one belongs.
//!
//! In: the tokens. Out: every bracket that is kept or inserted has its partner; what was inserted or struck out was
//! reported. A file is balanced item by item, so that a missing brace costs its own item only; within an unbalanced item the
//! indentation says where the brace belongs, and a balanced item is never touched, however it is indented.

use super::layout::{Draft, starts_statement};
use super::tokens::{Fate, Kind, Scan};
use crate::diag::{Label, codes};

const DECLARATIONS: [&str; 7] = ["use", "const", "fn", "layer", "model", "optimizer", "data"];
const TASKS: [&str; 4] = ["train", "evaluate", "predict", "generate"];

pub(super) fn is_item_word(word: &str) -> bool {
    DECLARATIONS.contains(&word) || TASKS.contains(&word)
}

/// The word as the grammar will see it.
fn seen<'a>(scan: &'a Scan, token: usize) -> &'a str {
    match scan.tokens.get(token).map(|t| &t.fate) {
        Some(Fate::Replace(with)) => with,
        _ => scan.str(token),
    }
}

/// Whether an item starts at this token, wherever it stands: `layer Name`, `train {`. Inside a block the item words are
/// names, but never the first of a line and followed like this.
pub(super) fn starts_item(scan: &Scan, token: usize) -> bool {
    let Some(this) = scan.tokens.get(token).filter(|t| t.first && t.kind == Kind::Word) else { return false };
    let word = seen(scan, token);
    let Some(next) = scan.tokens.get(token + 1) else { return is_item_word(word) && this.indent == 0 };
    let named = next.kind == Kind::Word && next.line == this.line && next.start > this.end;
    if TASKS.contains(&word) {
        named || scan.is(token + 1, "{") || (this.indent == 0 && scan.is(token + 1, "("))
    } else if DECLARATIONS.contains(&word) {
        named || (this.indent == 0 && matches!(scan.str(token + 1), "{" | "("))
    } else {
        false
    }
}

/// Where the item at `start`, or what stands before the first, ends.
fn item_end(draft: &Draft, start: usize) -> usize {
    let count = draft.scan.tokens.len();
    // An item word deeper than the item it stands in is a nested one, not the next.
    let indent = draft.scan.tokens[start].indent;
    let bounds = |t: &usize| starts_item(&draft.scan, *t) && draft.scan.tokens[*t].indent <= indent;
    (start + 1..count).find(bounds).unwrap_or(count)
}

/// The items in which a bracket has no partner, as ranges of tokens.
pub(super) fn unbalanced(draft: &Draft) -> Vec<std::ops::Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < draft.scan.tokens.len() {
        let end = item_end(draft, start);
        if imbalance(draft, start, end) != (0, 0) {
            out.push(start..end);
        }
        start = end;
    }
    out
}

pub(super) fn balance(draft: &mut Draft) {
    let count = draft.scan.tokens.len();
    let mut start = 0;
    while start < count {
        let end = item_end(draft, start);
        let (open, stray) = imbalance(draft, start, end);
        if open + stray > 0 {
            Repair { draft: &mut *draft, stack: Vec::new(), open, stray, silent_line: None }.run(start, end);
        }
        start = end;
    }
}

fn partner(bracket: &str) -> char {
    match bracket {
        "(" => ')',
        "[" => ']',
        _ => '}',
    }
}

/// How many openers and closers have no partner, read strictly.
fn imbalance(draft: &Draft, start: usize, end: usize) -> (usize, usize) {
    let mut stack = Vec::new();
    let mut stray = 0;
    for token in (start..end).filter(|&t| draft.kept(t)) {
        match draft.scan.tokens[token].kind {
            Kind::Open => stack.push(partner(draft.scan.str(token))),
            Kind::Close => {
                if stack.last().is_some_and(|&p| draft.scan.str(token).starts_with(p)) {
                    stack.pop();
                } else {
                    stray += 1;
                }
            }
            _ => {}
        }
    }
    (stack.len(), stray)
}

struct Opener {
    token: usize,
    close: char,
    indent: usize,
    line: usize,
}

struct Repair<'d, 'a> {
    draft: &'d mut Draft<'a>,
    stack: Vec<Opener>,
    /// Openers without a partner, read strictly.
    open: usize,
    /// Closers without a partner that may still be struck out.
    stray: usize,
    /// A line of which something was already reported: its brackets are closed in silence.
    silent_line: Option<usize>,
}

impl Repair<'_, '_> {
    fn run(mut self, start: usize, end: usize) {
        let mut previous = None;
        for token in start..end {
            if !self.draft.kept(token) || self.draft.scan.tokens[token].kind == Kind::Newline {
                continue;
            }
            if self.draft.scan.unterminated.contains(&token) {
                self.silent_line = Some(self.draft.scan.tokens[token].line);
            }
            if let Some(before) = previous
                && self.ends_round(token)
            {
                // A brace on a line of its own goes on with the one before: what is inserted stands behind the break.
                let behind = if self.draft.scan.tokens[token].first { token - 1 } else { before };
                while self.stack.last().is_some_and(|o| o.close != '}') {
                    self.pop_unclosed_behind(before, behind);
                }
            }
            if let Some(before) = previous
                && self.draft.scan.tokens[token].first
            {
                self.line_start(before, token);
            }
            if let Some(before) = previous
                && self.lacks_end(token)
            {
                self.pop_unclosed(before);
            }
            match self.draft.scan.tokens[token].kind {
                Kind::Open => self.open(token, previous),
                Kind::Close => self.close(token, previous),
                _ => {}
            }
            previous = Some(token);
        }
        // What is still open ends with the item; one message says so.
        if let Some(last) = previous {
            let mut others = Vec::new();
            while self.stack.len() > 1 {
                others.extend(self.stack.pop().map(|o| (o.token, o.close)));
            }
            for &(_, close) in &others {
                self.draft.inserted.push((last, close));
            }
            if let Some(first) = others.first() {
                // The innermost is the likeliest place; the outer ones follow from it only if it was the last line.
                let outer = self.stack.pop();
                let line = self.draft.scan.tokens[first.0].line;
                if self.silent_line != Some(line) {
                    self.report_unclosed(first.0, first.1, last, others.len());
                }
                if let Some(outer) = outer {
                    self.draft.inserted.push((last, outer.close));
                }
            } else if !self.stack.is_empty() {
                self.pop_unclosed(last);
            }
        }
    }

    /// Whether round and square brackets cannot reach beyond this token: `->` and `where` of a head, and the brace of a
    /// body that nothing within the brackets asks for.
    fn ends_round(&self, token: usize) -> bool {
        let scan = &self.draft.scan;
        let Some(opener) = self.stack.last().filter(|o| o.close != '}') else { return false };
        let outer =
            self.stack.iter().rev().take(64).take_while(|o| o.close != '}').last().map_or(opener.token, |o| o.token);
        let head = || {
            // A line that goes on with the head of an item does so behind its list.
            let first = if scan.tokens[token].first { scan.tokens[outer].head } else { scan.tokens[token].head };
            is_item_word(seen(scan, first)) || matches!(seen(scan, first), "forward" | "update" | "step")
        };
        match scan.str(token) {
            "->" => head(),
            "where" => scan.tokens.get(token + 1).is_some_and(|t| t.kind == Kind::Word) && head(),
            "{" => {
                let asks = |t| matches!(scan.str(t), "if" | "else" | "seq" | "repeat" | "scan");
                !(outer..token).rev().take(200).any(asks)
            }
            _ => false,
        }
    }

    fn push(&mut self, token: usize, close: char) {
        let t = &self.draft.scan.tokens[token];
        self.stack.push(Opener { token, close, indent: t.indent, line: t.line });
    }

    fn open(&mut self, token: usize, previous: Option<usize>) {
        let doubled = previous.is_some_and(|p| {
            self.draft.scan.is(p, "{") && self.draft.scan.tokens[p].line == self.draft.scan.tokens[token].line
        });
        if doubled && self.draft.scan.is(token, "{") {
            self.strike(token, "this brace is doubled");
            return;
        }
        self.push(token, partner(self.draft.scan.str(token)));
    }

    fn close(&mut self, token: usize, previous: Option<usize>) {
        let this = self.draft.scan.tokens[token].clone();
        let text = self.draft.scan.str(token).chars().next().unwrap_or('}');
        let before = previous.unwrap_or(token);
        if text == '}' {
            let Some(nearest) = self.stack.iter().rposition(|o| o.close == '}') else {
                return self.strike(token, "this brace closes nothing");
            };
            while self.stack.len() > nearest + 1 {
                self.pop_unclosed(before);
            }
            let top = (self.stack[nearest].indent, self.stack[nearest].line);
            let wrong = if this.first { this.indent > top.0 } else { top.1 != this.line && this.indent > top.0 };
            if wrong && self.stray > 0 {
                self.stray -= 1;
                return self.strike(token, "this brace closes nothing");
            }
            if this.first && self.stack.iter().rev().take(256).any(|o| o.close == '}' && o.indent == this.indent) {
                while self.stack.last().is_some_and(|o| o.indent > this.indent) {
                    self.pop_unclosed(before);
                }
            }
            self.stack.pop();
            return;
        }
        // A round or square one: its partner is within the innermost braces, or those are what is unclosed.
        if self.stack.last().is_some_and(|o| o.close == text) {
            self.stack.pop();
            return;
        }
        let in_block = self.stack.iter().rposition(|o| o.close == '}').map_or(0, |i| i + 1);
        if let Some(nearest) = self.stack.iter().rposition(|o| o.close == text) {
            let same_line = self.stack[nearest].line == this.line;
            if nearest >= in_block || same_line {
                while self.stack.len() > nearest + 1 {
                    self.pop_unclosed(before);
                }
                self.stack.pop();
                return;
            }
        }
        match self.stack.last() {
            // Its own opener is missing; the one that is there has another closer.
            Some(opener) if opener.close != '}' && self.open == 0 && opener.line != this.line => {
                self.strike(token, "this bracket closes nothing");
            }
            Some(opener) if opener.close != '}' => {
                let (open, close) = (opener.token, opener.close);
                let (span, other) = (self.draft.token_span(token), self.draft.token_span(open));
                let bracket = self.draft.scan.str(open);
                let report = self.draft.report(codes::UNCLOSED, span, format!("`{bracket}` is closed by `{text}`"));
                report.secondary.push(Label { span: other, text: "opened here".into() });
                report.help.push(format!("write `{close}`"));
                self.draft.scan.tokens[token].fate = Fate::Replace(close.to_string().into());
                self.stack.pop();
            }
            _ => self.strike(token, "this bracket closes nothing"),
        }
    }

    /// Settles, before the line that starts at `token`, what should have ended by now or begun.
    fn line_start(&mut self, before: usize, token: usize) {
        let scan = &self.draft.scan;
        let this = scan.tokens[token].clone();
        let binds = this.kind == Kind::Word && scan.is(token + 1, "=");
        let acts = this.kind == Kind::Word
            && (starts_statement(scan.str(token)) || matches!(scan.str(token), "forward" | "step" | "update"));
        let goes_on = matches!(scan.tokens[before].kind, Kind::Comma | Kind::Open)
            || (scan.tokens[before].kind == Kind::Operator && !scan.is(before, "*"))
            || matches!(this.kind, Kind::Operator | Kind::Close | Kind::Comma);
        self.list_line(before, token);
        // `else` on a line of its own ends what `if` began.
        let else_of = |o: &Opener| {
            o.close == '}'
                && o.indent == this.indent
                && matches!(self.draft.scan.str(self.draft.scan.tokens[o.token].head), "if" | "}")
        };
        if self.open > 0 && self.draft.scan.is(token, "else") && self.stack.last().is_some_and(else_of) {
            self.pop_unclosed_behind(before, token - 1);
        }
        while let Some(top) = self.stack.last() {
            let outside = this.indent <= top.indent;
            let ends = match top.close {
                '}' => outside && this.kind != Kind::Close && !self.draft.scan.is(token, "else"),
                _ => (binds || acts) && (outside || !goes_on) || (!goes_on && this.kind != Kind::Close),
            };
            if !ends {
                break;
            }
            self.pop_unclosed(before);
        }
        // A deeper line after one that should have opened a block.
        let head = &self.draft.scan.tokens[before];
        let block = matches!(self.stack.last(), None | Some(Opener { close: '}', .. }));
        let doubled = self.stack.last().is_some_and(|o| self.draft.scan.tokens[o.token].line == head.line);
        let deeper = self.stray > 0 && block && !doubled && this.indent > head.indent;
        if deeper && let Some((bracket, listed)) = self.list_that_ends(token, head.indent) {
            self.stray -= 1;
            let span = self.draft.token_span(before).tail();
            let headline = format!("`{bracket}` is missing before the lines that follow");
            let report = self.draft.report(codes::UNCLOSED, span, headline);
            report.help.push(format!("write `{bracket}` at the end of this line"));
            report.fixes.push(crate::diag::Fix {
                title: format!("insert `{bracket}`"),
                edits: vec![(span, bracket.to_string())],
                certain: listed,
            });
            self.draft.inserted.push((before, bracket));
            self.push(before, partner(bracket.encode_utf8(&mut [0; 4])));
        } else if deeper && self.opens_block(before) {
            self.stray -= 1;
            let span = self.draft.token_span(before).tail();
            let report = self.draft.report(codes::UNCLOSED, span, "`{` is missing before the lines that follow");
            report.help.push("write `{` at the end of this line".into());
            report.fixes.push(crate::diag::Fix {
                title: "insert `{`".into(),
                edits: vec![(span, " {".into())],
                certain: true,
            });
            self.draft.inserted.push((before, '{'));
            self.push(before, '}');
        }
    }

    /// Whether this is the `else` of an `if` on the same line whose block has not ended.
    fn lacks_end(&self, token: usize) -> bool {
        let scan = &self.draft.scan;
        let Some(top) = self.stack.last().filter(|o| o.close == '}' && o.line == scan.tokens[token].line) else {
            return false;
        };
        let head = scan.tokens[token].head;
        self.open > 0 && scan.is(token, "else") && (head..top.token).any(|t| scan.is(t, "if"))
    }

    /// Of a list with an element a line, a bracket that opened within the line before ends with it.
    fn list_line(&mut self, before: usize, token: usize) {
        let [.., list, inner] = self.stack.as_slice() else { return };
        let scan = &self.draft.scan;
        let opens_line =
            |o: &Opener| scan.tokens.get(o.token + 1).is_none_or(|t| t.line != o.line || t.kind == Kind::Newline);
        let one = scan.tokens[before].kind == Kind::Comma
            && list.close != '}'
            && inner.close != '}'
            && opens_line(list)
            && !opens_line(inner)
            && inner.line == scan.tokens[before].line
            && scan.tokens[token].indent > list.indent;
        if self.open > 0 && one {
            self.pop_unclosed(before - 1);
        }
    }

    /// The round or square bracket that the lines from this token on lack, if the first line that is not deeper than the
    /// one before them closes it; and whether they are a list.
    fn list_that_ends(&self, token: usize, indent: usize) -> Option<(char, bool)> {
        let scan = &self.draft.scan;
        let end = (token..scan.tokens.len()).find(|t| scan.tokens[*t].first && scan.tokens[*t].indent <= indent)?;
        let bracket = match scan.str(end) {
            ")" => '(',
            "]" => '[',
            _ => return None,
        };
        let line = scan.tokens[token].line;
        let last = (token..end).take_while(|t| scan.tokens[*t].line == line);
        let last = last.filter(|t| scan.tokens[*t].kind != Kind::Newline).last()?;
        Some((bracket, scan.tokens[last].kind == Kind::Comma))
    }

    /// Whether the line that ends at this token, with the lines of a list that ends on it, has a word that a block follows.
    fn opens_block(&self, last: usize) -> bool {
        let scan = &self.draft.scan;
        let line = scan.tokens[last].line;
        if scan.tokens[scan.tokens[last].head].kind == Kind::Close {
            // Where the list begins, if its brackets have partners.
            let mut depth = 0;
            for t in (0..=scan.tokens[last].head).rev().take(4096) {
                match scan.tokens[t].kind {
                    Kind::Close => depth += 1,
                    Kind::Open => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return t > 0 && scan.tokens[t - 1].line == scan.tokens[t].line && self.opens_block(t - 1);
                }
            }
            return false;
        }
        (0..=last).rev().take_while(|&t| scan.tokens[t].line == line).any(|t| {
            let word = seen(scan, t);
            let head = matches!(word, "forward" | "update" | "step" | "gradient") || is_item_word(word);
            matches!(word, "seq" | "repeat" | "scan" | "if" | "else") || (scan.tokens[t].first && head)
        })
    }

    /// Closes the innermost bracket behind `before` and reports it.
    fn pop_unclosed(&mut self, before: usize) {
        self.pop_unclosed_behind(before, before);
    }

    /// As above, but what is inserted stands behind another token.
    fn pop_unclosed_behind(&mut self, before: usize, behind: usize) {
        let Some(opener) = self.stack.pop() else { return };
        self.draft.inserted.push((behind, opener.close));
        if self.silent_line != Some(opener.line) {
            self.report_unclosed(opener.token, opener.close, before, 0);
        }
    }

    fn report_unclosed(&mut self, opener: usize, close: char, before: usize, more: usize) {
        let bracket = self.draft.scan.str(opener);
        let bracket = if bracket.len() == 1 { bracket } else { "{" };
        let place = self.draft.token_span(before).tail();
        let opened = self.draft.token_span(opener);
        let report = self.draft.report(codes::UNCLOSED, place, format!("`{close}` is missing"));
        if let Some(primary) = &mut report.primary {
            primary.text = format!("expected `{close}` here");
        }
        report.secondary.push(Label { span: opened, text: format!("this `{bracket}` is not closed") });
        if more > 0 {
            report.notes.push(format!("{more} more around it end here too"));
        }
        report.help.push(format!("write `{close}` where it ends"));
    }

    fn strike(&mut self, token: usize, headline: &str) {
        self.draft.blank(token, token);
        let span = self.draft.token_span(token);
        if self.silent_line == Some(self.draft.scan.tokens[token].line) {
            return;
        }
        let report = self.draft.report(codes::UNCLOSED, span, headline);
        report.help.push("take it out, or open the block it should end".into());
        report.fixes.push(crate::diag::Fix {
            title: "take it out".into(),
            edits: vec![(span, String::new())],
            certain: false,
        });
    }
}
