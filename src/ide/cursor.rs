//! What stands around a cursor, from the characters before it: so it also works where the text is half typed and no tree is
//! whole.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Text,
    Comment,
    Open(char),
    Close,
    Comma,
    Newline,
    Operator,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    range: Range<usize>,
}

/// Tokens of a text; total, and only good enough for a cursor.
fn scan(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let run = |from: usize, accept: &dyn Fn(u8) -> bool| {
            bytes[from..].iter().position(|b| !accept(*b)).map_or(bytes.len(), |n| from + n)
        };
        let (kind, end) = match byte {
            b'\n' | b';' => (Kind::Newline, at + 1),
            b' ' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => (Kind::Comment, run(at, &|b| b != b'\n')),
            b'"' => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end] != b'"' && bytes[end] != b'\n' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                let end = end.min(bytes.len());
                (Kind::Text, if bytes.get(end) == Some(&b'"') { end + 1 } else { end })
            }
            b'(' | b'[' | b'{' => (Kind::Open(byte as char), at + 1),
            b')' | b']' | b'}' => (Kind::Close, at + 1),
            b',' => (Kind::Comma, at + 1),
            b'0'..=b'9' => (Kind::Number, run(at, &|b| b.is_ascii_alphanumeric())),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, run(at, &|b| b.is_ascii_alphanumeric() || b == b'_')),
            b'|' if bytes.get(at + 1) == Some(&b'>') => (Kind::Operator, at + 2),
            b'-' if bytes.get(at + 1) == Some(&b'>') => (Kind::Operator, at + 2),
            b'.' if bytes.get(at + 1) == Some(&b'.') => (Kind::Operator, at + 2),
            _ => {
                let mut end = at + 1;
                while !text.is_char_boundary(end) {
                    end += 1;
                }
                (Kind::Operator, end)
            }
        };
        out.push(Token { kind, range: at..end });
        at = end;
    }
    out
}

/// A call around the cursor.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `net.body` of `net.body(…)`
    pub callee: Range<usize>,
    /// Which argument, from 0.
    pub position: usize,
    /// The name of the argument at the cursor, if it is written.
    pub name: Option<String>,
    /// Names of arguments that are given.
    pub given: Vec<String>,
    /// The call stands behind `|>`, so its first argument is left out.
    pub piped: bool,
    /// It declares: `fn f(`, `step(`. The word that does.
    pub declares: Option<String>,
}

/// What the innermost braces hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// None: the top of the file.
    File,
    Layer,
    Optimizer,
    /// The word of the task.
    Task(String),
    /// Statements.
    Code,
    /// Links of a chain.
    Chain,
    /// `use a.{`
    Use,
}

/// Where a cursor is.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The part of a word before the cursor.
    pub word: Range<usize>,
    /// In a comment.
    pub comment: bool,
    /// In a string: from its first character to the cursor.
    pub text: Option<Range<usize>>,
    /// Calls around it, innermost first.
    pub calls: Vec<Call>,
    pub block: Block,
    /// First on its line or behind `;`, so that a statement begins here.
    pub begins: bool,
    /// Behind `base.`: the base.
    pub field: Option<Range<usize>>,
    /// Behind `|>`: where what stands before it ends.
    pub pipe: Option<usize>,
    /// Behind `name:` of a declaration, or `->`.
    pub ty: bool,
    /// The name that is bound on this line: `optimizer` of `optimizer = `.
    pub binds: Option<String>,
    /// The first word of the line, if it is not at the cursor.
    pub head: Option<String>,
    /// Inside `[ ]` behind a type's word.
    pub sizes: bool,
}

const DECLARES: &[&str] = &["fn", "layer", "model", "optimizer", "train", "evaluate", "predict", "generate"];
const MEMBERS: &[&str] = &["forward", "step", "update", "gradient"];

/// Looks at the text before an offset.
pub fn cursor(text: &str, offset: usize) -> Cursor {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let mut tokens = scan(before);
    let word_of = |t: &Token| before[t.range.clone()].to_string();
    let mut out = Cursor {
        word: offset..offset,
        comment: false,
        text: None,
        calls: Vec::new(),
        block: Block::File,
        begins: true,
        field: None,
        pipe: None,
        ty: false,
        binds: None,
        head: None,
        sizes: false,
    };
    if let Some(last) = tokens.last().cloned()
        && last.range.end == offset
    {
        match last.kind {
            Kind::Word => {
                out.word = last.range.clone();
                tokens.pop();
            }
            Kind::Comment => out.comment = true,
            Kind::Text if last.range.len() == 1 || !before.ends_with('"') => {
                out.text = Some(last.range.start + 1..offset);
                tokens.pop();
            }
            _ => {}
        }
    }
    tokens.retain(|t| t.kind != Kind::Comment);
    // Brackets that are open, by their place among the tokens.
    let mut open: Vec<usize> = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open(_) => open.push(i),
            Kind::Close => drop(open.pop()),
            _ => {}
        }
    }
    for &at in open.iter().rev() {
        match tokens[at].kind {
            Kind::Open('(') => out.calls.extend(call(&tokens, at, before)),
            Kind::Open('{') => {
                out.block = block(&tokens, at, before);
                break;
            }
            _ => {}
        }
    }
    let innermost = open.last().map(|&i| (i, tokens[i].kind));
    if let Some((at, Kind::Open('['))) = innermost {
        out.sizes = at > 0
            && tokens[at - 1].kind == Kind::Word
            && super::library::DTYPES.contains(&word_of(&tokens[at - 1]).as_str())
            || at > 0 && matches!(word_of(&tokens[at - 1]).as_str(), "logits" | "probs" | "log_probs");
    }
    let last = tokens.last();
    out.begins = match last.map(|t| t.kind) {
        None | Some(Kind::Newline | Kind::Open('{')) => true,
        Some(Kind::Close) => false,
        _ => false,
    } && !matches!(innermost, Some((_, Kind::Open('(' | '['))));
    // A line that goes on with the line before.
    let solid = tokens.iter().rev().find(|t| t.kind != Kind::Newline);
    if let Some(solid) = solid.filter(|t| t.kind == Kind::Operator) {
        let symbol = &before[solid.range.clone()];
        let at = tokens.iter().rposition(|t| t.range == solid.range).unwrap_or(0);
        let newline = tokens[at + 1..].iter().any(|t| t.kind == Kind::Newline);
        match symbol {
            "." if !newline => out.field = base(&tokens[..at]),
            "|>" => {
                out.pipe = tokens[..at].iter().rev().find(|t| t.kind != Kind::Newline).map(|t| t.range.end);
                out.begins = false;
            }
            ":" if !newline => {
                let declares = out.calls.first().is_some_and(|c| c.declares.is_some());
                let in_call = matches!(innermost, Some((_, Kind::Open('('))));
                out.ty = declares || !in_call && !matches!(innermost, Some((_, Kind::Open('['))));
            }
            "->" if !newline => out.ty = true,
            _ => {}
        }
    }
    // The line at hand, outside of brackets that it opened before.
    let floor = open.iter().rev().find(|&&i| tokens[i].kind == Kind::Open('{')).map_or(0, |i| i + 1);
    let mut depth = 0i32;
    let mut start = floor;
    for (i, token) in tokens.iter().enumerate().skip(floor) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Newline if depth <= 0 => start = i + 1,
            _ => {}
        }
    }
    let line = &tokens[start.min(tokens.len())..];
    if let Some(first) = line.first().filter(|t| t.kind == Kind::Word) {
        out.head = Some(word_of(first));
        if line.get(1).is_some_and(|t| &before[t.range.clone()] == "=") {
            out.binds = out.head.clone();
        }
    }
    out
}

/// The dotted path that ends before these tokens' end.
fn base(tokens: &[Token]) -> Option<Range<usize>> {
    let last = tokens.last()?;
    let end = last.range.end;
    let mut at = tokens.len();
    loop {
        let token = tokens.get(at.checked_sub(1)?)?;
        match token.kind {
            Kind::Word => at -= 1,
            Kind::Close => {
                let mut depth = 0;
                loop {
                    let token = tokens.get(at.checked_sub(1)?)?;
                    at -= 1;
                    match token.kind {
                        Kind::Close => depth += 1,
                        Kind::Open(_) => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
                // What is called or indexed stands before.
                if at > 0
                    && matches!(tokens[at - 1].kind, Kind::Word)
                    && tokens[at - 1].range.end == tokens[at].range.start
                {
                    at -= 1;
                }
            }
            _ => return None,
        }
        let dot = at >= 2 && tokens[at - 1].range.len() == 1 && tokens[at - 1].kind == Kind::Operator;
        let dot = dot && tokens[at - 1].range.end == tokens[at].range.start;
        // `.` binds a longer path; any other operator ends it.
        if !dot
            || !matches!(tokens[at - 2].kind, Kind::Word | Kind::Close)
            || tokens[at - 2].range.end != tokens[at - 1].range.start
        {
            return Some(tokens[at].range.start..end);
        }
        at -= 1;
    }
}

/// The call that a parenthesis opens; none if it only groups.
fn call(tokens: &[Token], at: usize, text: &str) -> Option<Call> {
    let before = tokens.get(..at)?;
    let last = before.last()?;
    if !matches!(last.kind, Kind::Word) || last.range.end != tokens[at].range.start {
        return None;
    }
    let callee = base(before)?;
    let word = |t: &Token| &text[t.range.clone()];
    let ahead = before.len().checked_sub(2).map(|i| &before[i]);
    let declares = match ahead.filter(|t| t.kind == Kind::Word).map(word) {
        Some(item) if DECLARES.contains(&item) => Some(item.to_string()),
        _ if MEMBERS.contains(&word(last)) => Some(word(last).to_string()),
        _ if DECLARES.contains(&word(last)) => Some(word(last).to_string()),
        _ => None,
    };
    let behind = tokens.iter().take(at).rev().find(|t| t.range.end <= callee.start && t.kind != Kind::Newline);
    let piped = behind.is_some_and(|t| word(t) == "|>");
    let (mut position, mut name, mut given, mut depth) = (0, None, Vec::new(), 0);
    let mut first: Option<usize> = None;
    for (i, token) in tokens.iter().enumerate().skip(at + 1) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Comma if depth == 0 => {
                position += 1;
                (name, first) = (None, None);
                continue;
            }
            Kind::Newline => continue,
            Kind::Operator if depth == 0 && word(token) == ":" && first == Some(i - 1) => {
                let named = word(&tokens[i - 1]).to_string();
                given.push(named.clone());
                name = Some(named);
            }
            _ => {}
        }
        first = first.or(Some(i));
    }
    Some(Call { callee, position, name, given, piped, declares })
}

/// What an open brace holds, from the line that it stands on.
fn block(tokens: &[Token], at: usize, text: &str) -> Block {
    let mut start = at;
    let mut depth = 0;
    while start > 0 {
        match tokens[start - 1].kind {
            Kind::Close => depth += 1,
            Kind::Open(_) if depth == 0 => break,
            Kind::Open(_) => depth -= 1,
            Kind::Newline if depth == 0 => break,
            _ => {}
        }
        start -= 1;
    }
    let word = |t: &Token| &text[t.range.clone()];
    let line = &tokens[start..at];
    let words: Vec<&str> = line.iter().filter(|t| t.kind == Kind::Word).map(word).collect();
    let first = words.first().copied().unwrap_or("");
    match first {
        "layer" | "model" => return Block::Layer,
        "optimizer" if line.get(1).is_some_and(|t| t.kind == Kind::Word) => return Block::Optimizer,
        "train" | "evaluate" | "predict" | "generate" => return Block::Task(first.to_string()),
        "use" => return Block::Use,
        "forward" | "step" | "update" | "fn" | "gradient" | "data" => return Block::Code,
        _ => {}
    }
    if words.last() == Some(&"seq") {
        return Block::Chain;
    }
    if words.contains(&"repeat") {
        // Of a chain, or statements where the braces around hold such.
        let outer = (0..start).rev().scan(0i32, |depth, i| {
            match tokens[i].kind {
                Kind::Close => *depth += 1,
                Kind::Open(_) => *depth -= 1,
                _ => {}
            }
            Some((i, *depth))
        });
        let around = outer.filter(|(i, d)| *d < 0 && tokens[*i].kind == Kind::Open('{')).map(|(i, _)| i).next();
        return match around.map(|i| block(tokens, i, text)) {
            Some(Block::Code) if first == "repeat" => Block::Code,
            _ => Block::Chain,
        };
    }
    Block::Code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(fixture: &str) -> (Cursor, String) {
        let offset = fixture.find("$0").unwrap();
        let text = fixture.replacen("$0", "", 1);
        (cursor(&text, offset), text)
    }

    #[test]
    fn calls_and_arguments() {
        let (c, text) = at("fn f(x: f32[B]) {\n  y = x |> conv(32, kernel: pair(3), st$0");
        let call = &c.calls[0];
        assert_eq!(&text[call.callee.clone()], "conv");
        assert_eq!((call.position, call.piped, call.name.as_deref()), (2, true, None));
        assert_eq!(call.given, ["kernel"]);
        assert_eq!(&text[c.word], "st");
        let (c, text) = at("fn f() {\n  net.body[0].go(a, p: $0");
        assert_eq!(&text[c.calls[0].callee.clone()], "net.body[0].go");
        assert_eq!(c.calls[0].name.as_deref(), Some("p"));
    }

    #[test]
    fn blocks_and_lines() {
        assert_eq!(at("$0").0.block, Block::File);
        assert_eq!(at("layer A(n: int) {\n  $0").0.block, Block::Layer);
        assert_eq!(at("train {\n  optimizer = $0").0.block, Block::Task("train".into()));
        assert_eq!(at("train {\n  optimizer = $0").0.binds.as_deref(), Some("optimizer"));
        assert_eq!(at("layer A() {\n  body = seq {\n    $0").0.block, Block::Chain);
        assert_eq!(at("layer A() {\n  forward(x: f32[B]) -> f32[B] {\n    $0").0.block, Block::Code);
        assert!(at("layer A() {\n  forward(x: $0").0.ty);
        assert!(at("layer A() {\n  forward(x: f32[B]) {\n    y: $0").0.ty);
        assert!(!at("layer A() {\n  fc = Linear(out: $0").0.ty);
        assert!(at("train {\n  $0").0.begins);
    }

    #[test]
    fn fields_pipes_and_strings() {
        let (c, text) = at("fn f() {\n  net.body.$0");
        assert_eq!(&text[c.field.unwrap()], "net.body");
        let (c, text) = at("fn f() {\n  h = x\n    |> $0");
        assert_eq!(&text[..c.pipe.unwrap()], "fn f() {\n  h = x");
        let (c, text) = at("train {\n  data = csv(\"data/ir$0");
        assert_eq!(&text[c.text.unwrap()], "data/ir");
        assert!(at("x // \u{1f600} $0").0.comment);
    }

    #[test]
    fn every_prefix_of_anything_has_a_cursor() {
        let text = "layer A(n: int = 4) { \u{1f600} a = [1, (\"x\\\"\", y.z[0].(]})|>|> -> .. \u{e9}: }";
        for i in 0..=text.len() + 2 {
            cursor(text, i);
        }
    }
}
