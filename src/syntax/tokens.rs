//! A cheap scan of the text into words, numbers, strings, brackets, operators and line ends.
//!
//! In: the text. Out: its tokens in order and its comments. The scan is total, and gaps between tokens are blanks or
//! comments only. It exists so that brackets, line ends and habits of other languages can be settled before the grammar
//! runs; it knows nothing of syntax.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// `"…"` or `'…'`, closed or not.
    Text,
    /// `(`, `[`, `{`
    Open,
    /// `)`, `]`, `}`
    Close,
    Newline,
    Semicolon,
    Comma,
    Operator,
    /// A character that means nothing.
    Junk,
}

/// What the grammar gets to see of a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Keep,
    Blank,
    Replace(Cow<'static, str>),
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// The first of its line.
    pub first: bool,
    /// Columns of blanks before the first token of its line.
    pub indent: usize,
    pub line: usize,
    /// The first token of its line.
    pub head: usize,
    pub fate: Fate,
}

/// A comment: `///` at the start of a line documents what follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comment {
    pub start: usize,
    pub end: usize,
    pub docs: bool,
    /// `#` instead of `//`, or a block of three quotes.
    pub foreign: bool,
    /// Where the token after it starts.
    pub before: usize,
}

pub(super) struct Scan<'a> {
    pub text: &'a str,
    pub tokens: Vec<Token>,
    pub comments: Vec<Comment>,
    /// Tokens that are strings without an end.
    pub unterminated: Vec<usize>,
}

impl<'a> Scan<'a> {
    pub fn str(&self, token: usize) -> &'a str {
        self.tokens.get(token).map_or("", |t| &self.text[t.start..t.end])
    }

    pub fn is(&self, token: usize, what: &str) -> bool {
        self.str(token) == what
    }
}

/// The operators of more than one character, longest first; those that nn lacks are there to be named.
const LONG: [&str; 20] = [
    "**=", "===", "!==", "...", "|>", "==", "!=", "<=", ">=", "->", "=>", "..", "**", "&&", "||", "+=", "-=", "*=",
    "/=", ":=",
];

pub(super) fn scan(text: &str) -> Scan<'_> {
    let bytes = text.as_bytes();
    let mut out =
        Scan { text, tokens: Vec::with_capacity(text.len() / 3), comments: Vec::new(), unterminated: Vec::new() };
    let (mut at, mut line, mut line_start, mut first) = (0, 0, 0, true);
    let (mut indent, mut measured, mut head) = (0, false, 0);
    while at < bytes.len() {
        let start = at;
        let byte = bytes[at];
        if matches!(byte, b' ' | b'\t' | b'\r') || text[at..].starts_with(['\u{a0}', '\u{feff}', '\u{c}']) {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        if first && byte != b'\n' && !measured {
            indent = columns(&text[line_start..at]);
            measured = true;
        }
        let rest = &text[at..];
        let foreign = byte == b'#' || rest.starts_with("\"\"\"") || rest.starts_with("'''");
        if foreign || rest.starts_with("//") {
            let length = if foreign && byte != b'#' {
                rest[3..].find(&rest[..3]).map_or(rest.len(), |n| n + 6)
            } else {
                rest.find('\n').unwrap_or(rest.len())
            };
            at += rest[..length].trim_end().len().max(1);
            let docs = first && rest.starts_with("///") && !rest.starts_with("////");
            out.comments.push(Comment { start, end: at, docs, foreign, before: text.len() });
            line += text[start..at].matches('\n').count();
            continue;
        }
        let mut kind = match byte {
            b'\n' => Kind::Newline,
            b';' => Kind::Semicolon,
            b',' => Kind::Comma,
            b'(' | b'[' | b'{' => Kind::Open,
            b')' | b']' | b'}' => Kind::Close,
            b'0'..=b'9' => Kind::Number,
            b'"' | b'\'' => Kind::Text,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => Kind::Word,
            b'|' | b'=' | b'!' | b'<' | b'>' | b'-' | b'+' | b'*' | b'/' | b'@' | b'^' | b'.' | b':' | b'&' | b'%' => {
                Kind::Operator
            }
            _ => Kind::Junk,
        };
        at += match kind {
            Kind::Word => span_of(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'_'),
            Kind::Number => number(bytes, at),
            Kind::Text => {
                let (length, closed) = quoted(rest);
                match (closed, byte) {
                    (true, _) => length,
                    // An apostrophe.
                    (false, b'\'') => {
                        kind = Kind::Junk;
                        1
                    }
                    (false, _) => {
                        out.unterminated.push(out.tokens.len());
                        length
                    }
                }
            }
            Kind::Operator => LONG.iter().find(|o| rest.starts_with(**o)).map_or(1, |o| o.len()),
            Kind::Junk => rest.chars().next().map_or(1, char::len_utf8),
            _ => 1,
        };
        if kind != Kind::Newline {
            for comment in out.comments.iter_mut().rev().take_while(|c| c.before == text.len()) {
                comment.before = start;
            }
        }
        // The grammar's own marks mean nothing in a text.
        let fate = if kind == Kind::Junk && byte < 0x20 { Fate::Replace("?".into()) } else { Fate::Keep };
        let first_here = first && kind != Kind::Newline;
        if first {
            head = out.tokens.len();
        }
        out.tokens.push(Token { kind, start, end: at, first: first_here, indent, line, head, fate });
        first = kind == Kind::Newline;
        if first {
            line += 1;
            line_start = at;
            measured = false;
        }
    }
    out
}

/// The width of leading blanks; a tab goes to the next multiple of 4.
fn columns(blanks: &str) -> usize {
    blanks.chars().fold(0, |n, c| if c == '\t' { (n / 4 + 1) * 4 } else { n + 1 })
}

fn span_of(bytes: &[u8], from: usize, accept: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().take_while(|&&b| accept(b)).count()
}

/// `1`, `1.5`, `1e-3`, but not the first part of `0..n`.
fn number(bytes: &[u8], from: usize) -> usize {
    let digits = |at: usize| span_of(bytes, at.min(bytes.len()), |b| b.is_ascii_digit());
    let mut at = from + digits(from);
    if bytes.get(at) == Some(&b'.') && digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    at - from
}

/// The length of a string, and whether it ends. One without an end stops where its line does, before what can only be
/// the brackets around it.
fn quoted(rest: &str) -> (usize, bool) {
    let quote = rest.as_bytes()[0];
    let mut escaped = false;
    for (i, b) in rest.bytes().enumerate().skip(1) {
        match b {
            b'\n' => break,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if b == quote => return (i + 1, true),
            _ => {}
        }
    }
    let line = rest.lines().next().unwrap_or(rest);
    let inner = line.trim_end().trim_end_matches([')', ']', '}', '{', ',', ' ']);
    (inner.len().max(1), false)
}
