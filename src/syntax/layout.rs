//! From the text to what the grammar reads: brackets balanced, line ends decided, comments blank.
//!
//! In: the text. Out: a [`Layout`]: the prepared text, the way back to the original offsets, comments and docs, and the
//! diagnostics of what was put right: unclosed and stray brackets, nesting without end, habits of other languages.
//! The invariant that the grammar builds on: every bracket of the prepared text has its partner, and a newline in it ends
//! a statement.

use super::brackets;
use super::habits;
use super::tokens::{Comment, Fate, Kind, Scan, Token, scan};
use crate::diag::{Code, Diagnostic, codes};
use crate::source::{FileId, Span};

/// Bracket levels, and steps of an expression between its statement and its innermost part, that a program may have.
const BRACKETS: usize = 64;
const STEPS: usize = 500;

/// Stands for something that was already reported.
pub(super) const HOLE: &str = "\u{1}";
/// A newline that means nothing.
const SOFT: u8 = b'\x0c';

pub(super) struct Layout {
    pub text: String,
    pub diagnostics: Vec<Diagnostic>,
    pub comments: Vec<Comment>,
    /// The text's own tokens; what was changed of them, or put in after them, is what is not its own.
    pub tokens: Vec<Token>,
    pub inserted: Vec<(usize, char)>,
    file: FileId,
    offset: usize,
    /// Where prepared and original text part ways: (prepared, original, copied from there on).
    breaks: Vec<(usize, usize, bool)>,
}

/// The scan with what the passes add to it.
pub(super) struct Draft<'a> {
    pub scan: Scan<'a>,
    pub diagnostics: Vec<Diagnostic>,
    /// Brackets that are not in the text: (after this token, bracket), in order.
    pub inserted: Vec<(usize, char)>,
    pub file: FileId,
    pub offset: usize,
}

impl Draft<'_> {
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, self.offset + start, self.offset + end)
    }

    pub fn token_span(&self, token: usize) -> Span {
        self.scan.tokens.get(token).map_or(self.span(0, 0), |t| self.span(t.start, t.end))
    }

    pub fn report(&mut self, code: &'static Code, span: Span, headline: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, span, headline));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    pub fn kept(&self, token: usize) -> bool {
        self.scan.tokens.get(token).is_some_and(|t| t.fate != Fate::Blank)
    }

    pub fn blank(&mut self, from: usize, to: usize) {
        for token in self.scan.tokens.iter_mut().take(to + 1).skip(from).filter(|t| t.kind != Kind::Newline) {
            token.fate = Fate::Blank;
        }
    }
}

pub(super) fn layout(text: &str, file: FileId, offset: usize) -> Layout {
    let mut draft = Draft { scan: scan(text), diagnostics: Vec::new(), inserted: Vec::new(), file, offset };
    habits::settle(&mut draft);
    brackets::balance(&mut draft);
    let soft = lines(&mut draft);
    finish(draft, &soft)
}

/// What a token does to the line end beside it.
fn is_infix(scan: &Scan, token: usize) -> bool {
    match scan.tokens[token].kind {
        Kind::Word => matches!(scan.str(token), "and" | "or"),
        Kind::Operator => match scan.str(token) {
            // `net.*` is a selection, `..` alone in brackets never ends a line of a block.
            "*" => token == 0 || !(scan.is(token - 1, ".") && scan.tokens[token - 1].end == scan.tokens[token].start),
            s => {
                matches!(s, "|>" | "==" | "!=" | "<=" | ">=" | "<" | ">" | ".." | "+" | "-" | "/" | "@" | "^" | "**")
                    || matches!(s, "&&" | "||")
            }
        },
        _ => false,
    }
}

/// Whether a statement begins with this word, and nothing else does.
pub(super) fn starts_statement(word: &str) -> bool {
    matches!(word, "param" | "state" | "minimize" | "report" | "load" | "freeze" | "save" | "yield")
}

/// Decides which newlines are soft, caps nesting. Returns the soft ones by token.
fn lines(draft: &mut Draft) -> Vec<bool> {
    let count = draft.scan.tokens.len();
    let mut soft = vec![false; count];
    // Open brackets, each with the steps that its level has taken so far; the first is the file's level.
    let mut levels: Vec<(char, usize)> = vec![('{', 0)];
    let mut steps = 0;
    let mut inserted = 0;
    let mut previous: Option<usize> = None;
    // The next token that is not a newline; kept from one newline to the next.
    let mut next = Some(0);
    let mut token = 0;
    while token < count {
        let kind = draft.scan.tokens[token].kind;
        let text = draft.scan.str(token);
        if draft.kept(token) {
            if kind == Kind::Newline {
                if next.is_some_and(|n| n <= token) {
                    next = (token + 1..count).find(|&t| draft.kept(t) && draft.scan.tokens[t].kind != Kind::Newline);
                }
                soft[token] = levels.last().is_some_and(|l| l.0 != '{') || joined(draft, previous, next);
            } else {
                previous = Some(token);
            }
            let separates = match kind {
                Kind::Newline => !soft[token],
                Kind::Semicolon => true,
                Kind::Comma => levels.last().is_some_and(|l| l.0 != '{'),
                _ => false,
            };
            if let Some(level) = levels.last_mut() {
                if separates {
                    steps -= level.1;
                    level.1 = 0;
                } else if matches!(kind, Kind::Operator | Kind::Open) || matches!(text, "else" | "not" | "and" | "or") {
                    level.1 += 1;
                    steps += 1;
                }
            }
            match kind {
                Kind::Open => levels.push((text.chars().next().unwrap_or('('), 0)),
                Kind::Close if levels.len() > 1 => steps -= levels.pop().map_or(0, |l| l.1),
                _ => {}
            }
            if levels.len() > BRACKETS || steps > STEPS {
                if kind == Kind::Open {
                    levels.pop();
                }
                cut(draft, token, &levels, inserted);
            }
        }
        while let Some(&(_, bracket)) = draft.inserted.get(inserted).filter(|i| i.0 == token) {
            match bracket {
                '(' | '[' | '{' => levels.push((bracket, 0)),
                _ if levels.len() > 1 => steps -= levels.pop().map_or(0, |l| l.1),
                _ => {}
            }
            inserted += 1;
        }
        token += 1;
    }
    soft
}

/// Whether the statement goes on across a line end.
fn joined(draft: &mut Draft, previous: Option<usize>, next: Option<usize>) -> bool {
    let (Some(previous), Some(next)) = (previous, next) else { return false };
    let scan = &draft.scan;
    let spaced = scan.text[scan.tokens[next].end..].starts_with([' ', '\t', '\n', '\r']);
    if is_infix(scan, previous) || scan.tokens[previous].kind == Kind::Comma {
        // A binding or an act cannot be an operand: the one before it is missing.
        return !scan.is(next + 1, "=") && !starts_statement(scan.str(next));
    }
    if is_infix(scan, next) && (spaced || scan.is(next, "|>")) {
        return true;
    }
    if scan.is(next, "else") && scan.is(previous, "}") {
        let span = draft.token_span(next);
        let between = draft.span(draft.scan.tokens[previous].end, draft.scan.tokens[next].start);
        let brace = draft.token_span(previous);
        let report = draft.report(codes::SYNTAX, span, "`else` starts a line");
        report.secondary.push(crate::diag::Label { span: brace, text: "belongs behind this brace".into() });
        report.help.push("write `} else {` on one line".into());
        report.fixes.push(crate::diag::Fix {
            title: "move `else` up".into(),
            edits: vec![(between, " ".into())],
            certain: true,
        });
        return true;
    }
    false
}

/// Takes out the rest of the level at `token`, which is too deep, and leaves a hole.
fn cut(draft: &mut Draft, token: usize, levels: &[(char, usize)], inserted: usize) {
    let span = draft.token_span(token);
    let report = draft.report(codes::NESTING, span, "this is nested too deeply");
    report
        .help
        .push(format!("name parts of it: an expression may have {BRACKETS} levels of brackets and {STEPS} steps"));
    let in_block = levels.last().is_none_or(|l| l.0 == '{');
    let mut depth = 0usize;
    let mut at = token;
    let mut dropped = inserted;
    let mut kept = Vec::new();
    'tokens: while at < draft.scan.tokens.len() {
        match draft.scan.tokens[at].kind {
            _ if !draft.kept(at) => {}
            Kind::Open => depth += 1,
            Kind::Close if depth == 0 => break,
            Kind::Close => depth -= 1,
            Kind::Newline | Kind::Semicolon if depth == 0 && in_block => break,
            Kind::Comma if depth == 0 && !in_block => break,
            _ => {}
        }
        draft.blank(at, at);
        while let Some(&(_, bracket)) = draft.inserted.get(dropped).filter(|i| i.0 == at) {
            match bracket {
                '(' | '[' | '{' => depth += 1,
                _ if depth == 0 => {
                    kept.extend(draft.inserted[dropped..].iter().take_while(|i| i.0 == at).copied());
                    dropped += kept.len();
                    break 'tokens;
                }
                _ => depth -= 1,
            }
            dropped += 1;
        }
        at += 1;
    }
    draft.inserted.splice(inserted..dropped, kept.into_iter().map(|(_, b)| (token, b)));
    draft.scan.tokens[token].fate = Fate::Replace(HOLE.into());
}

/// Writes the prepared text.
fn finish(draft: Draft, soft: &[bool]) -> Layout {
    let source = draft.scan.text;
    let mut text = String::with_capacity(source.len() + 16);
    let mut breaks = Vec::new();
    let mut inserted = draft.inserted.iter().peekable();
    let mut at = 0;
    let blanks = |text: &mut String, n: usize| text.extend(std::iter::repeat_n(' ', n));
    for (i, token) in draft.scan.tokens.iter().enumerate() {
        blanks(&mut text, token.start - at);
        at = token.end;
        match &token.fate {
            Fate::Keep if token.kind == Kind::Newline && soft[i] => text.push(SOFT as char),
            Fate::Keep => text += &source[token.start..token.end],
            Fate::Blank if token.kind == Kind::Newline => text.push('\n'),
            Fate::Blank => blanks(&mut text, token.end - token.start),
            Fate::Replace(with) => {
                breaks.push((text.len(), token.start, false));
                text += with;
                breaks.push((text.len(), token.end, true));
            }
        }
        while let Some((_, bracket)) = inserted.next_if(|b| b.0 == i) {
            breaks.push((text.len(), token.end, false));
            text.push(*bracket);
            breaks.push((text.len(), token.end, true));
        }
    }
    let (file, offset) = (draft.file, draft.offset);
    let Draft { scan, diagnostics, inserted, .. } = draft;
    Layout { text, diagnostics, comments: scan.comments, tokens: scan.tokens, inserted, file, offset, breaks }
}

impl Layout {
    /// The original offset, relative to the text, of an offset in the prepared text.
    pub fn original(&self, at: usize) -> usize {
        let next = self.breaks.partition_point(|b| b.0 <= at);
        match next.checked_sub(1).and_then(|i| self.breaks.get(i)) {
            None => at,
            Some(&(prepared, original, true)) => original + (at - prepared),
            // Inside what was put in: its start, or the end if anything of it was read.
            Some(&(prepared, original, false)) if at == prepared => original,
            Some(_) => self.breaks.get(next).map_or(at, |b| b.1),
        }
    }

    pub fn span(&self, start: usize, end: usize) -> Span {
        let start = self.original(start);
        Span::new(self.file, self.offset + start, self.offset + self.original(end).max(start))
    }
}
