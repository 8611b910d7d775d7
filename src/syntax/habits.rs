//! Habits of other languages: recognised by their tokens, reported with what nn writes, and put right for the grammar.
//!
//! In: the tokens. Out: the same with some blanked or replaced, one diagnostic each, so that the rest of the line is still
//! read. Nothing here touches a valid program: each rule needs a shape that no valid program has.

use super::brackets::{is_item_word, starts_item, unbalanced};
use super::layout::{Draft, HOLE};
use super::tokens::{Fate, Kind};
use crate::diag::suggest::nearest;
use crate::diag::{Diagnostic, Fix, Label, codes};
use crate::source::Span;

/// Words of a type that stand alone or before `[`: `x: f32` declares, `batch: size` does not.
const TYPES: [&str; 18] = [
    "f32",
    "f16",
    "bf16",
    "f64",
    "i8",
    "u8",
    "i32",
    "i64",
    "bool",
    "int",
    "float",
    "string",
    "logits",
    "probs",
    "log_probs",
    "layer",
    "clock",
    "rate",
];

pub(super) fn settle(draft: &mut Draft) {
    comments(draft);
    strings(draft);
    let unbalanced = unbalanced(draft);
    let mut walk =
        Walk { owns_self: owns_self(draft), draft, brackets: Vec::new(), head: 0, reported: Vec::new(), unbalanced };
    let mut token = 0;
    let mut fresh = true;
    while token < walk.draft.scan.tokens.len() {
        if !walk.draft.kept(token) {
            token += 1;
            continue;
        }
        let kind = walk.draft.scan.tokens[token].kind;
        let in_block = walk.brackets.last().is_none_or(|b| b.open == '{');
        if kind == Kind::Newline || kind == Kind::Semicolon {
            fresh = fresh || in_block;
            token += 1;
            continue;
        }
        // Brackets are not settled yet; an item at the margin ends all that were left open.
        if walk.draft.scan.tokens[token].indent == 0 && starts_item(&walk.draft.scan, token) {
            walk.brackets.clear();
            fresh = true;
        }
        if walk.draft.scan.tokens[token].first && walk.leaves(token) {
            while walk.brackets.last().is_some_and(|b| b.open != '{') {
                walk.brackets.pop();
            }
            fresh = true;
        }
        if std::mem::take(&mut fresh) {
            walk.head = token;
            walk.statement(token);
        }
        if walk.draft.kept(token) {
            walk.token(token);
        }
        match kind {
            Kind::Open => {
                walk.open(token);
                fresh = walk.draft.scan.is(token, "{");
            }
            Kind::Close => {
                walk.brackets.pop();
            }
            _ => {}
        }
        token += 1;
    }
}

pub(super) fn fix(span: Span, title: impl Into<String>, text: &str) -> Fix {
    Fix { title: title.into(), edits: vec![(span, text.to_string())], certain: true }
}

/// `# …` and three quotes: one message for all of a file.
fn comments(draft: &mut Draft) {
    let hashes: Vec<Span> = draft
        .scan
        .comments
        .iter()
        .filter(|c| c.foreign && draft.scan.text[c.start..].starts_with('#'))
        .map(|c| draft.span(c.start, c.start + 1))
        .collect();
    if let Some(&first) = hashes.first() {
        let report = draft.report(codes::FOREIGN_SYNTAX, first, "a comment begins with `//`");
        report.fixes.push(Fix {
            title: "write `//`".into(),
            edits: hashes.iter().map(|&s| (s, "//".to_string())).collect(),
            certain: true,
        });
        report.help.push("write `//` instead of `#`".into());
    }
    let quoted = draft.scan.comments.iter().find(|c| c.foreign && !draft.scan.text[c.start..].starts_with('#'));
    if let Some(span) = quoted.map(|c| draft.span(c.start, c.start + 3)) {
        let report = draft.report(codes::FOREIGN_SYNTAX, span, "nn has no text in three quotes");
        report.help.push("document an item or member with `///` lines above it".into());
    }
}

/// Single quotes, and strings without an end.
fn strings(draft: &mut Draft) {
    for token in draft.scan.unterminated.clone() {
        let (span, text) = (draft.token_span(token), draft.scan.str(token));
        let closed =
            if text.ends_with('\\') && !text.ends_with("\\\\") { format!("{text}\\\"") } else { format!("{text}\"") };
        let report = draft.report(codes::UNCLOSED, span, "this text has no closing `\"`");
        report.fixes.push(fix(span.tail(), "close it", "\""));
        report.help.push("a text ends on the line where it begins".into());
        draft.scan.tokens[token].fate = Fate::Replace(closed.into());
    }
    let mut first = None;
    let mut edits = Vec::new();
    for token in 0..draft.scan.tokens.len() {
        let text = draft.scan.str(token);
        if draft.scan.tokens[token].kind == Kind::Text && text.starts_with('\'') {
            let inner = text[1..text.len() - 1].replace("\\'", "'").replace('"', "\\\"");
            let inner = format!("\"{inner}\"");
            let span = draft.token_span(token);
            first.get_or_insert(span);
            edits.push((span, inner.clone()));
            draft.scan.tokens[token].fate = Fate::Replace(inner.into());
        }
    }
    if let Some(first) = first {
        let report = draft.report(codes::FOREIGN_SYNTAX, first, "text stands in double quotes");
        report.help.push("write `\"…\"`".into());
        report.fixes.push(Fix { title: "use double quotes".into(), edits, certain: true });
    }
}

/// Whether the file has something of its own that is called `self`, as BERT's attention has.
fn owns_self(draft: &Draft) -> bool {
    let scan = &draft.scan;
    (0..scan.tokens.len()).any(|t| scan.is(t, "self") && scan.is(t + 1, "=") && (t == 0 || !scan.is(t - 1, ".")))
}

pub(super) struct Bracket {
    pub open: char,
    /// How many `(` and `[` are open with it.
    round: usize,
    /// Of the line that it stands on.
    indent: usize,
    /// A `(` that passes arguments, not one that declares parameters or groups.
    pub call: bool,
}

pub(super) struct Walk<'d, 'a> {
    pub draft: &'d mut Draft<'a>,
    pub owns_self: bool,
    pub brackets: Vec<Bracket>,
    /// The first token of the statement.
    pub head: usize,
    /// Items whose brackets are not to be relied on.
    unbalanced: Vec<std::ops::Range<usize>>,
    /// Habits by headline, and where their diagnostic is.
    reported: Vec<(String, usize)>,
}

impl Walk<'_, '_> {
    pub fn is(&self, token: usize, what: &str) -> bool {
        self.draft.scan.is(token, what)
    }

    pub fn kind(&self, token: usize) -> Option<Kind> {
        self.draft.scan.tokens.get(token).map(|t| t.kind)
    }

    pub fn line(&self, token: usize) -> usize {
        self.draft.scan.tokens.get(token).map_or(usize::MAX, |t| t.line)
    }

    /// A word on the same line.
    pub fn word_follows(&self, token: usize) -> bool {
        self.kind(token + 1) == Some(Kind::Word) && self.line(token) == self.line(token + 1)
    }

    fn report(&mut self, from: usize, to: usize, headline: impl Into<String>) -> &mut Diagnostic {
        let span = self.draft.token_span(from).to(self.draft.token_span(to));
        self.draft.report(codes::FOREIGN_SYNTAX, span, headline)
    }

    /// Reports a habit with its cure; of several of one kind only the first, with the others beside it.
    pub fn habit(&mut self, span: Span, headline: impl Into<String>, help: impl Into<String>, title: &str, text: &str) {
        let headline = headline.into();
        if let Some(&(_, at)) = self.reported.iter().find(|r| r.0 == headline) {
            let first = &mut self.draft.diagnostics[at];
            if first.secondary.len() < 4 {
                first.secondary.push(Label { span, text: "here too".into() });
            }
            first.fixes[0].edits.push((span, text.to_string()));
            return;
        }
        let report = self.draft.report(codes::FOREIGN_SYNTAX, span, headline.as_str());
        report.help.push(help.into());
        report.fixes.push(fix(span, title, text));
        self.reported.push((headline, self.draft.diagnostics.len() - 1));
    }

    pub fn replace(&mut self, token: usize, with: impl Into<String>) {
        self.draft.scan.tokens[token].fate = Fate::Replace(with.into().into());
    }

    /// The last token of the statement that `from` stands in; of a very long one, some token in it.
    fn last(&self, from: usize) -> usize {
        let mut depth = 0usize;
        let mut last = from;
        for token in from..self.draft.scan.tokens.len().min(from + 1000) {
            match self.draft.scan.tokens[token].kind {
                Kind::Newline | Kind::Semicolon if depth == 0 => break,
                Kind::Newline => continue,
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => break,
                Kind::Close => depth -= 1,
                _ => {}
            }
            last = token;
        }
        last
    }

    /// Blanks `from` to the statement's end; if that is a `:`, the deeper lines below too.
    fn blank_statement(&mut self, from: usize) {
        let last = self.last(from);
        let indent = self.draft.scan.tokens[from].indent;
        let mut to = last;
        if self.is(last, ":") {
            for token in last + 1..self.draft.scan.tokens.len() {
                let this = &self.draft.scan.tokens[token];
                let closes = this.kind == Kind::Close && this.indent <= indent;
                if this.kind != Kind::Newline && (this.indent <= indent || closes) {
                    break;
                }
                to = token;
            }
        }
        self.draft.blank(from, to);
        if !self.brackets.is_empty() {
            self.replace(from, HOLE);
        }
    }

    fn open(&mut self, token: usize) {
        let open = self.draft.scan.str(token).chars().next().unwrap_or('(');
        let head = self.draft.scan.str(self.head);
        let flat = self.flat();
        let declares = is_item_word(head) && !matches!(head, "const" | "data" | "use") && self.word_like_header()
            || matches!(head, "forward" | "update" | "step" | "gradient") && token == self.head + 1
            || matches!(head, "def" | "class" | "func" | "function" | "struct");
        let after_value = token > 0
            && (self.kind(token - 1) == Some(Kind::Word) && !is_word_of_language(self.draft.scan.str(token - 1))
                || matches!(self.draft.scan.str(token - 1), ")" | "]"));
        let indent = self.draft.scan.tokens[token].indent;
        let round = self.brackets.last().map_or(0, |b| b.round) + usize::from(open != '{');
        self.brackets.push(Bracket { open, round, indent, call: open == '(' && after_value && !(declares && flat) });
    }

    pub fn shaky(&self, token: usize) -> bool {
        let next = self.unbalanced.partition_point(|r| r.end <= token);
        self.unbalanced.get(next).is_some_and(|r| r.contains(&token))
    }

    /// Whether only braces are open.
    pub fn flat(&self) -> bool {
        self.brackets.last().is_none_or(|b| b.round == 0)
    }

    /// Whether the line that starts here cannot stand in the parentheses that are open: one of them was never closed.
    fn leaves(&self, token: usize) -> bool {
        let Some(open) = self.brackets.last().filter(|b| b.open != '{') else { return false };
        let outside = self.draft.scan.tokens[token].indent <= open.indent;
        let before = (0..token).rev().find(|&t| self.kind(t) != Some(Kind::Newline));
        // Choices of a type: what follows is one of them, whatever stands behind it.
        if before.is_some_and(|t| self.is(t, "|")) {
            return false;
        }
        let goes_on = matches!(before.map(|t| self.kind(t)), Some(Some(Kind::Comma | Kind::Open)));
        self.kind(token) == Some(Kind::Word) && self.is(token + 1, "=") && (outside || !goes_on)
    }

    /// Whether the statement's first word heads an item rather than naming a member.
    pub fn word_like_header(&self) -> bool {
        !matches!(self.draft.scan.str(self.head + 1), "=" | "." | ":" | "|>")
    }

    /// The rules for the first token of a statement.
    fn statement(&mut self, token: usize) {
        if self.kind(token) == Some(Kind::Operator)
            && self.is(token, "@")
            && self.word_follows(token)
            && self.brackets.is_empty()
        {
            let report = self.report(token, token + 1, "nn has no decorators");
            report.help.push("take the line out".into());
            return self.blank_statement(token);
        }
        if self.kind(token) != Some(Kind::Word) {
            return;
        }
        let word = self.draft.scan.str(token);
        let python = self.is(self.last(token), ":");
        match word {
            "def" | "func" | "function" | "fun" if self.word_follows(token) => {
                let name = self.draft.scan.str(token + 1);
                let special = matches!(name, "forward" | "update" | "step") && !self.brackets.is_empty();
                let what = if special {
                    format!("{name}(…) {{ … }}")
                } else {
                    "fn name(x: f32[B, D]) -> f32[B, D] { … }".into()
                };
                let span = self.draft.token_span(token);
                let report = self.report(token, token, format!("a function is written `fn`, not `{word}`"));
                if special {
                    report.headline = format!("`{name}` is written without `{word}`");
                }
                report.help.push(format!("write `{what}`"));
                if python {
                    return self.blank_statement(token);
                }
                report.fixes.push(fix(span, "write it as nn does", if special { "" } else { "fn" }));
                if special {
                    self.draft.blank(token, token);
                    self.head = token + 1;
                } else {
                    self.replace(token, "fn");
                }
            }
            "class" | "struct" | "module" if self.word_follows(token) => {
                let span = self.draft.token_span(token);
                let report = self.report(token, token, format!("nn has no `{word}`: a net is a `model` or a `layer`"));
                report.help.push("write `model Name { members; forward(x: f32[B, D]) -> … { … } }`".into());
                if python {
                    return self.blank_statement(token);
                }
                report.fixes.push(fix(span, "write `model`", "model"));
                self.replace(token, "model");
            }
            "import" | "from" | "include" | "require"
                if self.word_follows(token) || self.kind(token + 1) == Some(Kind::Text) =>
            {
                let last = self.last(token);
                let report = self.report(token, last, format!("names come in with `use`, not `{word}`"));
                report.help.push(
                    "the usual layers and functions are there already; `use std.vision.ResNet18` brings in others"
                        .into(),
                );
                self.blank_statement(token);
            }
            "return" if !matches!(self.draft.scan.str(token + 1), "=" | ":" | ".") => {
                let span = self.draft.token_span(token);
                self.habit(span, "the last expression of a block is its value", "take `return` out", "take it out", "");
                self.draft.blank(token, token);
            }
            "pass" | "assert" | "del" | "global" | "raise"
                if !matches!(self.draft.scan.str(token + 1), "=" | ":" | "." | "(" | "|>")
                    && !self.brackets.is_empty()
                    && (word == "pass" || self.word_follows(token)) =>
            {
                let last = self.last(token);
                let report = self.report(token, last, format!("nn has no `{word}`"));
                report.help.push(match word {
                    "assert" => "demand it of sizes in the head: `where T <= 512`".into(),
                    _ => "take the line out".to_string(),
                });
                self.blank_statement(token);
            }
            "let" | "var" | "val" | "mut" | "const" | "auto"
                if self.word_follows(token) && !self.brackets.is_empty() =>
            {
                let span = self.draft.token_span(token);
                let headline = format!("`name = value` binds a name, without `{word}`");
                self.habit(span, headline, format!("take `{word}` out"), "take it out", "");
                self.draft.blank(token, token);
            }
            "for" | "while" | "try" | "with" | "elif" | "if" | "else" if python => {
                let report = self.report(token, token, format!("`{word} …:` is Python: blocks stand in `{{ }}`"));
                report.help.push(match word {
                    "for" | "while" => {
                        "write `scan i in 0..n with h = h0 { … }`, or `repeat n { Layer() }`".to_string()
                    }
                    _ => "write `if condition { … } else { … }`".into(),
                });
                self.blank_statement(token);
            }
            "for" | "while" if self.word_follows(token) || self.is(token + 1, "(") => {
                let report = self.report(token, token, format!("nn has no `{word}`"));
                report.help.push("write `scan i in 0..n with h = h0 { … }`, or `repeat n { Layer() }`".into());
                self.blank_statement(token);
            }
            _ if self.brackets.is_empty() => self.item_word(token, word),
            _ => self.binding(token),
        }
    }

    /// `modle Name {`
    fn item_word(&mut self, token: usize, word: &str) {
        if is_item_word(word) || is_word_of_language(word) || matches!(word, "forward" | "update" | "step") {
            return;
        }
        let words =
            ["use", "const", "fn", "layer", "model", "optimizer", "data", "train", "evaluate", "predict", "generate"];
        let heads = self.word_follows(token) || matches!(self.draft.scan.str(token + 1), "{" | "(");
        let Some(meant) = nearest(word, words).filter(|_| heads) else { return };
        if !self.word_follows(token) && !matches!(meant, "train" | "evaluate" | "predict" | "generate") {
            return;
        }
        let span = self.draft.token_span(token);
        let report = self.draft.report(codes::SYNTAX, span, format!("`{word}` starts no item"));
        report.help.push(format!("did you mean `{meant}`?"));
        report.fixes.push(fix(span, format!("write `{meant}`"), meant));
        self.replace(token, meant);
    }

    /// `batch: 64` in a body.
    fn binding(&mut self, token: usize) {
        let colon = token + 1;
        let next = token + 2;
        if !self.is(colon, ":") || self.line(next) != self.line(token) {
            return;
        }
        let last = self.last(token);
        let assigned = {
            let mut depth = 0i32;
            (next..=last).any(|t| {
                match self.kind(t) {
                    Some(Kind::Open) => depth += 1,
                    Some(Kind::Close) => depth -= 1,
                    _ => {}
                }
                depth == 0 && self.is(t, "=")
            })
        };
        let first = self.draft.scan.str(next);
        let typed = TYPES.contains(&first)
            && (next == last || self.is(next + 1, "[") || self.kind(next + 1) == Some(Kind::Word));
        // `Linear in: 3)` has lost its `(`.
        let torn = matches!(self.draft.scan.str(last + 1), ")" | "]");
        if assigned || torn || typed || matches!(first, "[") && self.is(last, "]") && last == next + 2 {
            return;
        }
        let span = self.draft.token_span(colon);
        let headline = "`=` binds a name, `:` passes an argument";
        self.habit(span, headline, "write `name = value`", "write `=`", " =");
        self.replace(colon, " = ");
    }
}

pub(super) fn is_word_of_language(word: &str) -> bool {
    super::lower::is_reserved(word)
}
