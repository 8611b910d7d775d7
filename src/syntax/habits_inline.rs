//! Habits of other languages within a line: operators, words and named arguments. See `habits`.

use super::brackets::is_item_word;
use super::habits::{Walk, fix, is_word_of_language};
use super::layout::HOLE;
use super::tokens::{Fate, Kind};
use crate::diag::codes;

impl Walk<'_, '_> {
    /// The rules for any token.
    pub fn token(&mut self, token: usize) {
        let text = self.draft.scan.str(token);
        match self.kind(token) {
            Some(Kind::Operator) => self.operator(token, text),
            Some(Kind::Word) => self.word(token, text),
            _ => {}
        }
    }

    fn operator(&mut self, token: usize, text: &str) {
        let span = self.draft.token_span(token);
        let better = match text {
            "**" => "^",
            "&&" => " and ",
            "||" => " or ",
            "!" => " not ",
            ":=" => "=",
            "===" => "==",
            "!==" => "!=",
            "=" if self.names_an_argument(token) => ": ",
            "->" if !self.in_signature(token) => "|>",
            "+=" | "-=" | "*=" | "/=" | "**=" => return self.compound(token, text),
            _ => return,
        };
        let shown = better.trim();
        let headline = match text {
            "**" => "a power is written `^`".to_string(),
            "=" => "a named argument is written with `:`".into(),
            "->" => "`->` gives a result's type; a value flows on with `|>`".into(),
            _ => format!("`{shown}` is written for `{text}`"),
        };
        let spaced = |at: Option<char>| at.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '['));
        let this = &self.draft.scan.tokens[token];
        let before = spaced(self.draft.scan.text[..this.start].chars().next_back());
        let after = spaced(self.draft.scan.text[this.end..].chars().next());
        let wordy = better.starts_with(' ');
        let new = format!(
            "{}{shown}{}",
            if wordy && !before { " " } else { "" },
            if (wordy || text == "=") && !after { " " } else { "" }
        );
        let help = format!("write `{shown}`");
        self.habit(span, headline, help.clone(), &help, &new);
        self.replace(token, better);
    }

    /// `x += 1`
    fn compound(&mut self, token: usize, text: &str) {
        if token != self.head + 1 || self.kind(self.head) != Some(Kind::Word) {
            return;
        }
        let name = self.draft.scan.str(self.head);
        let op = text.trim_end_matches('=').replace("**", "^");
        let span = self.draft.token_span(token);
        let better = format!("= {name} {op}");
        let report = self.draft.report(codes::FOREIGN_SYNTAX, span, format!("nn has no `{text}`"));
        report.help.push(format!("write `{name} {better} …`"));
        report.fixes.push(fix(span, format!("write `{better}`"), &better));
        self.replace(token, format!(" {better} "));
    }

    /// `Linear(in=3)`
    fn names_an_argument(&self, token: usize) -> bool {
        let this = &self.draft.scan.tokens[token];
        let spaced = self.draft.scan.text[this.end..].starts_with(char::is_whitespace);
        token >= 2
            && !(spaced && self.shaky(token))
            && self.brackets.last().is_some_and(|b| b.call)
            && self.kind(token - 1) == Some(Kind::Word)
            && (0..token - 1)
                .rev()
                .find(|&t| self.kind(t) != Some(Kind::Newline))
                .is_some_and(|t| matches!(self.draft.scan.str(t), "(" | ","))
    }

    /// Whether a `->` stands where a result's type is declared: behind the parentheses of a head.
    fn in_signature(&self, token: usize) -> bool {
        let head = match self.draft.scan.tokens.get(self.head).map(|t| &t.fate) {
            Some(Fate::Replace(word)) => word.as_ref(),
            _ => self.draft.scan.str(self.head),
        };
        if token == 0 {
            return false;
        }
        let heads = is_item_word(head) && self.word_like_header() || matches!(head, "forward" | "update" | "step");
        let first = self.draft.scan.tokens[token].head;
        let first = self.draft.scan.str(first);
        let special = is_item_word(first) || matches!(first, "forward" | "update" | "step");
        if self.shaky(token) && (special || matches!(self.draft.scan.str(token - 1), ")" | "]")) {
            return true;
        }
        heads && self.flat() && !self.is(self.head + 1, "=")
    }

    fn word(&mut self, token: usize, word: &str) {
        let span = self.draft.token_span(token);
        let field = token > 0 && self.is(token - 1, ".");
        let named = matches!(self.draft.scan.str(token + 1), ":" | "=");
        match word {
            "self" if !self.owns_self && self.is(token + 1, ".") && !field => {
                let both = span.to(self.draft.token_span(token + 1));
                let name = self.draft.scan.str(token + 2);
                let help = format!("write `{name}` instead of `self.{name}`");
                self.habit(both, "members are called by their name alone", help, "take `self.` out", "");
                self.draft.blank(token, token + 1);
            }
            "self"
                if !self.owns_self
                    && !field
                    && token > 0
                    && self.is(token - 1, "(")
                    && matches!(self.draft.scan.str(token + 1), "," | ")") =>
            {
                let comma = usize::from(self.is(token + 1, ","));
                let both = span.to(self.draft.token_span(token + comma));
                self.habit(both, "there is no `self`: members are in scope", "take it out", "take it out", "");
                self.draft.blank(token, token + comma);
            }
            "None" | "True" | "False" if !field && !named => {
                let better = word.to_lowercase();
                let help = format!("write `{better}`");
                self.habit(span, format!("`{word}` is written `{better}`"), help.clone(), &help, &better);
                self.replace(token, better);
            }
            "elif" | "elseif" if token > 0 && self.is(token - 1, "}") => {
                let headline = format!("`{word}` is written `else if`");
                self.habit(span, headline, "write `else if`", "write `else if`", "else if");
                self.replace(token, "else if");
            }
            "is" if !field && !named && token > self.head && self.ends_value(token - 1) && self.word_follows(token) => {
                let negated = self.is(token + 1, "not");
                let (theirs, ours) = if negated { ("is not", "!=") } else { ("is", "==") };
                let last = token + usize::from(negated);
                let both = span.to(self.draft.token_span(last));
                let help = format!("write `{ours}`");
                self.habit(both, format!("`{theirs}` is written `{ours}`"), help.clone(), &help, ours);
                self.draft.blank(token, last);
                self.replace(token, format!(" {ours} "));
            }
            "lambda" if !field && !named && (self.word_follows(token) || self.is(token + 1, ":")) => {
                let report = self.draft.report(codes::FOREIGN_SYNTAX, span, "nn has no `lambda`");
                report.help.push("write a `fn` and pass its name; a call there leaves out its first argument".into());
                self.hole(token);
            }
            "if" if token > self.head && self.line(token) == self.line(token - 1) && self.ends_value(token - 1) => {
                let report =
                    self.draft.report(codes::FOREIGN_SYNTAX, span, "a choice is written with the condition first");
                report.help.push("write `if condition { a } else { b }`; on tensors `where(condition, a, b)`".into());
                self.hole(token);
            }
            "for"
                if token > self.head
                    && self.brackets.last().is_some_and(|b| b.open != '{')
                    && self.ends_value(token - 1) =>
            {
                let report = self.draft.report(codes::FOREIGN_SYNTAX, span, "nn has no list comprehensions");
                report.help.push("write `repeat i in 0..n { … }` for layers, `scan` for values".into());
                self.hole(token);
            }
            _ => {}
        }
    }

    fn ends_value(&self, token: usize) -> bool {
        match self.kind(token) {
            Some(Kind::Number | Kind::Text) => true,
            Some(Kind::Word) => !is_word_of_language(self.draft.scan.str(token)),
            _ => matches!(self.draft.scan.str(token), ")" | "]"),
        }
    }

    /// Puts a hole in place of the rest of the level.
    fn hole(&mut self, token: usize) {
        let mut depth = 0usize;
        let in_block = self.brackets.last().is_none_or(|b| b.open == '{');
        let mut last = token;
        for t in token..self.draft.scan.tokens.len() {
            match self.kind(t) {
                Some(Kind::Open) => depth += 1,
                Some(Kind::Close) if depth == 0 => break,
                Some(Kind::Close) => depth -= 1,
                Some(Kind::Newline | Kind::Semicolon) if depth == 0 && in_block => break,
                Some(Kind::Comma) if depth == 0 && !in_block => break,
                _ => {}
            }
            last = t;
        }
        self.draft.blank(token, last);
        self.replace(token, HOLE);
    }
}
