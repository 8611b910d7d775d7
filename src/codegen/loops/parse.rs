//! Reads the text form of kernels. In: the text that `Display` prints (comments from `#` to the end of the line are
//! skipped). Out: the kernel, or the line and reason of the first fault.

use super::ir::*;
use super::text;
use crate::ops::{Binary, Compare, DType, Reduce, Unary};

/// Reads one kernel; the error names its line.
pub fn parse(source: &str) -> Result<Kernel, String> {
    let tokens = tokens(source)?;
    let mut p = Parser { tokens, at: 0, values: Vec::new(), loops: 0, buffers: Vec::new() };
    let kernel = p.kernel().map_err(|e| format!("line {}: {e}", p.line()))?;
    Ok(kernel)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(String),
    /// `%4`
    Value(u32),
    Punct(&'static str),
}

const PUNCTUATION: [&str; 13] = ["..", "(", ")", "{", "}", "[", "]", ",", ":", "=", "+", "-", "*"];

fn tokens(source: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut out = Vec::new();
    for (line, text) in source.lines().enumerate() {
        let mut rest = text.split('#').next().unwrap_or("").trim_start();
        while let Some(c) = rest.chars().next() {
            let run = |ok: &dyn Fn(char) -> bool, from: &str| from.find(|c| !ok(c)).unwrap_or(from.len());
            let token;
            let used;
            if c == '%' {
                used = 1 + run(&|c| c.is_ascii_digit(), &rest[1..]);
                let number = rest[1..used].parse();
                token = Token::Value(number.map_err(|_| format!("line {}: `%` without a number", line + 1))?);
            } else if c.is_ascii_digit() {
                used = number_len(rest);
                token = Token::Number(rest[..used].to_string());
            } else if c.is_ascii_alphabetic() || c == '_' {
                used = run(&|c| c.is_ascii_alphanumeric() || c == '_' || c == '.', rest);
                token = Token::Word(rest[..used].to_string());
            } else if let Some(p) = PUNCTUATION.iter().find(|p| rest.starts_with(**p)) {
                used = p.len();
                token = Token::Punct(p);
            } else {
                return Err(format!("line {}: unexpected `{c}`", line + 1));
            }
            out.push((line + 1, token));
            rest = rest[used..].trim_start();
        }
    }
    Ok(out)
}

/// Digits, a fraction (not the `..` of a range) and an exponent.
fn number_len(text: &str) -> usize {
    let b = text.as_bytes();
    let digits = |mut i: usize| {
        while b.get(i).is_some_and(u8::is_ascii_digit) {
            i += 1;
        }
        i
    };
    let mut n = digits(0);
    if b.get(n) == Some(&b'.') && b.get(n + 1).is_some_and(u8::is_ascii_digit) {
        n = digits(n + 1);
    }
    if b.get(n) == Some(&b'e') {
        let sign = usize::from(b.get(n + 1) == Some(&b'-'));
        if b.get(n + 1 + sign).is_some_and(u8::is_ascii_digit) {
            n = digits(n + 1 + sign);
        }
    }
    n
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    values: Vec<Option<DType>>,
    loops: u32,
    buffers: Vec<BufferDecl>,
}

impl Parser {
    /// The line of the token last read.
    fn line(&self) -> usize {
        self.tokens.get(self.at.saturating_sub(1)).or(self.tokens.last()).map_or(1, |t| t.0)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.1)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("the text ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Punct(p)) if *p == punct);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, punct: &str) -> Result<(), String> {
        if self.eat(punct) { Ok(()) } else { Err(format!("`{punct}` expected, not {:?}", self.peek())) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(w) => Ok(w),
            t => Err(format!("a word expected, not {t:?}")),
        }
    }

    fn keyword(&mut self, word: &str) -> Result<(), String> {
        if self.eat_word(word) { Ok(()) } else { Err(format!("`{word}` expected, not {:?}", self.peek())) }
    }

    fn whole<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        match self.next()? {
            Token::Number(n) => n.parse().map_err(|_| format!("`{n}` is not a whole number that fits")),
            t => Err(format!("a number expected, not {t:?}")),
        }
    }

    fn number(&mut self) -> Result<f64, String> {
        let sign = if self.eat("-") { -1.0 } else { 1.0 };
        let value = match self.next()? {
            Token::Number(n) => n.parse().map_err(|_| format!("`{n}` is not a number"))?,
            Token::Word(w) if w == "inf" => f64::INFINITY,
            Token::Word(w) if w == "NaN" => f64::NAN,
            t => return Err(format!("a number expected, not {t:?}")),
        };
        Ok(sign * value)
    }

    /// `i3` or `b3`.
    fn numbered(word: &str, letter: char) -> Result<u32, String> {
        let number = word.strip_prefix(letter).and_then(|n| n.parse().ok());
        number.ok_or_else(|| format!("`{letter}` and a number expected, not `{word}`"))
    }

    fn dtype(name: &str) -> Result<DType, String> {
        DType::from_name(name).ok_or_else(|| format!("unknown dtype `{name}`"))
    }

    fn kernel(&mut self) -> Result<Kernel, String> {
        self.keyword("kernel")?;
        let name = self.word()?;
        self.expect("(")?;
        while !self.eat(")") {
            let position = Self::numbered(&self.word()?, 'b')?;
            if position as usize != self.buffers.len() {
                return Err(format!("b{position} out of order"));
            }
            self.expect(":")?;
            let dtype = Self::dtype(&self.word()?)?;
            self.expect("[")?;
            let len = self.whole()?;
            self.expect("]")?;
            let word = self.word()?;
            let access = [Access::Read, Access::Write, Access::ReadWrite]
                .into_iter()
                .find(|a| text::access_name(*a) == word)
                .ok_or_else(|| format!("unknown access `{word}`"))?;
            self.buffers.push(BufferDecl { dtype, len, access });
            if !self.eat(",") && !matches!(self.peek(), Some(Token::Punct(")"))) {
                return Err("`,` or `)` expected".to_string());
            }
        }
        self.expect("{")?;
        let body = self.block()?;
        self.expect("}")?;
        let mut values = Vec::new();
        for (i, dtype) in self.values.iter().enumerate() {
            values.push(dtype.ok_or_else(|| format!("%{i} is never assigned"))?);
        }
        Ok(Kernel { name, buffers: std::mem::take(&mut self.buffers), values, loops: self.loops, body })
    }

    /// Statements up to a `}` or `yield`, which stays.
    fn block(&mut self) -> Result<Vec<Stmt>, String> {
        let mut body = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Punct("}")) => return Ok(body),
                Some(Token::Word(w)) if w == "yield" => return Ok(body),
                _ => body.push(self.statement()?),
            }
        }
    }

    fn statement(&mut self) -> Result<Stmt, String> {
        match self.next()? {
            Token::Value(v) => {
                self.expect("=")?;
                let value = Value(v);
                if self.eat_word("fold") { self.fold(value) } else { self.assignment(value) }
            }
            Token::Word(w) if w == "store" || w == "add" => {
                let buffer = self.buffer()?;
                let index = self.bracketed()?;
                self.expect(",")?;
                let value = self.value()?;
                let guard = self.guard()?;
                Ok(Stmt::Store { buffer, index, value, guard, accumulate: w == "add" })
            }
            Token::Word(w) => {
                let kind = [LoopKind::Parallel, LoopKind::Serial, LoopKind::Vector]
                    .into_iter()
                    .find(|k| text::kind_name(*k) == w)
                    .ok_or_else(|| format!("unknown statement `{w}`"))?;
                let (var, extent) = self.range()?;
                let body = self.block()?;
                self.expect("}")?;
                Ok(Stmt::For { var, extent, kind, body })
            }
            t => Err(format!("a statement expected, not {t:?}")),
        }
    }

    fn range(&mut self) -> Result<(LoopVar, usize), String> {
        let var = LoopVar(Self::numbered(&self.word()?, 'i')?);
        self.loops = self.loops.max(var.0 + 1);
        self.keyword("in")?;
        if self.whole::<i64>()? != 0 {
            return Err("ranges start at 0".to_string());
        }
        self.expect("..")?;
        let extent = self.whole()?;
        self.expect("{")?;
        Ok((var, extent))
    }

    fn fold(&mut self, value: Value) -> Result<Stmt, String> {
        let word = self.word()?;
        let op = match word.as_str() {
            "argmax" => FoldOp::ArgMax,
            "argmin" => FoldOp::ArgMin,
            _ => FoldOp::Reduce(Reduce::from_name(&word).ok_or_else(|| format!("unknown fold `{word}`"))?),
        };
        let vector = self.eat_word("vector");
        let (var, extent) = self.range()?;
        let body = self.block()?;
        self.keyword("yield")?;
        let yields = self.value()?;
        self.expect("}")?;
        let dtype = match op {
            FoldOp::Reduce(_) => self.dtype_of(yields)?,
            _ => DType::I32,
        };
        self.assign(value, dtype);
        Ok(Stmt::Fold { value, op, var, extent, vector, body, yields })
    }

    fn assignment(&mut self, value: Value) -> Result<Stmt, String> {
        let word = self.word()?;
        let (op, dtype) = match word.split_once('.') {
            Some((op, dtype)) => (op, Some(Self::dtype(dtype)?)),
            None => (word.as_str(), None),
        };
        let typed = || dtype.ok_or_else(|| format!("`{op}` needs a dtype"));
        let (expr, dtype) = match op {
            "load" => {
                let buffer = self.buffer()?;
                let index = self.bracketed()?;
                let guard = self.guard()?;
                let otherwise = if self.eat_word("else") { self.number()? } else { 0.0 };
                let dtype = self.buffers.get(buffer.0 as usize).ok_or("no such buffer")?.dtype;
                (Expr::Load { buffer, index, guard, otherwise }, dtype)
            }
            "const" => (Expr::Const(self.number()?), typed()?),
            "counter" => (Expr::Counter(self.index()?), DType::I32),
            "cast" => (Expr::Cast(self.value()?), typed()?),
            "select" => {
                let [c, a, b] = self.operands()?;
                (Expr::Select(c, a, b), typed()?)
            }
            _ => {
                if let Some(op) = Unary::from_name(op) {
                    (Expr::Unary(op, self.value()?), typed()?)
                } else if let Some(op) = Binary::from_name(op) {
                    let [a, b] = self.operands()?;
                    (Expr::Binary(op, a, b), typed()?)
                } else if let Some(op) = Compare::from_name(op) {
                    let [a, b] = self.operands()?;
                    (Expr::Compare(op, a, b), DType::Bool)
                } else {
                    return Err(format!("unknown operation `{op}`"));
                }
            }
        };
        self.assign(value, dtype);
        Ok(Stmt::Let { value, expr })
    }

    fn assign(&mut self, value: Value, dtype: DType) {
        let at = value.0 as usize;
        if self.values.len() <= at {
            self.values.resize(at + 1, None);
        }
        self.values[at] = Some(dtype);
    }

    fn dtype_of(&self, value: Value) -> Result<DType, String> {
        let dtype = self.values.get(value.0 as usize).copied().flatten();
        dtype.ok_or_else(|| format!("%{} is not assigned yet", value.0))
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.next()? {
            Token::Value(v) => Ok(Value(v)),
            t => Err(format!("a value expected, not {t:?}")),
        }
    }

    fn operands<const N: usize>(&mut self) -> Result<[Value; N], String> {
        let mut out = [Value(0); N];
        for (i, v) in out.iter_mut().enumerate() {
            if i > 0 {
                self.expect(",")?;
            }
            *v = self.value()?;
        }
        Ok(out)
    }

    fn buffer(&mut self) -> Result<BufferArg, String> {
        Ok(BufferArg(Self::numbered(&self.word()?, 'b')?))
    }

    fn bracketed(&mut self) -> Result<Index, String> {
        self.expect("[")?;
        let index = self.index()?;
        self.expect("]")?;
        Ok(index)
    }

    fn guard(&mut self) -> Result<Vec<Bound>, String> {
        let mut guard = Vec::new();
        if !self.eat_word("if") {
            return Ok(guard);
        }
        loop {
            let index = self.index()?;
            self.keyword("in")?;
            self.whole::<i64>()?;
            self.expect("..")?;
            guard.push(Bound { index, limit: self.whole()? });
            if !self.eat(",") {
                return Ok(guard);
            }
        }
    }

    fn index(&mut self) -> Result<Index, String> {
        let mut index = Index::default();
        let mut sign = if self.eat("-") { -1 } else { 1 };
        loop {
            let mut factor = sign;
            let mut token = self.next()?;
            if let Token::Number(n) = &token {
                factor *= n.parse::<i64>().map_err(|_| format!("`{n}` is not a whole number that fits"))?;
                if !self.eat("*") {
                    index.offset += factor;
                    token = Token::Punct("*");
                } else {
                    token = self.next()?;
                }
            }
            match token {
                Token::Word(w) => index.terms.push((LoopVar(Self::numbered(&w, 'i')?), factor)),
                Token::Value(v) => index.values.push((Value(v), factor)),
                Token::Punct("*") => {}
                t => return Err(format!("an index expected, not {t:?}")),
            }
            sign = match self.peek() {
                Some(Token::Punct("+")) => 1,
                Some(Token::Punct("-")) => -1,
                _ => return Ok(index),
            };
            self.at += 1;
        }
    }
}
