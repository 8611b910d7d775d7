//! `einsum` and `rearrange`: axes named in a pattern. In goes a string with its place in the source; out come reshapes,
//! transposes and matrix products. What is wrong in the pattern is reported at its very letter.

use super::context::{Checker, ReasonKind, Res};
use super::tensors::Kind;
use super::values::{Axis, Given, Ty, Value, Why};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{Binary, Compare, DType, Op, Reduce};
use crate::source::Span;

/// An axis in a pattern, or the number 1.
#[derive(Clone, Debug, PartialEq)]
struct Word {
    name: String,
    /// Where it stands in the pattern.
    at: (usize, usize),
}

/// What one axis of a tensor is.
#[derive(Clone, Debug)]
enum Item {
    One(Word),
    /// `(h d)`: several axes in one.
    Group(Vec<Word>),
    /// `..`: all axes that are not named.
    Rest((usize, usize)),
}

impl Item {
    fn words(&self) -> &[Word] {
        match self {
            Item::One(word) => std::slice::from_ref(word),
            Item::Group(words) => words,
            Item::Rest(_) => &[],
        }
    }
}

/// The items with `count` axes in the place of `..`, if there is one.
fn with_rest(items: Vec<Item>, count: usize) -> Vec<Item> {
    let mut out = Vec::new();
    for item in items {
        match item {
            Item::Rest(at) => out.extend((0..count).map(|i| Item::One(Word { name: format!("..{i}"), at }))),
            other => out.push(other),
        }
    }
    out
}

/// A pattern with the place it comes from.
struct Pattern {
    text: String,
    span: Span,
    /// Whether the text stands in the source as it is, so that places in it can be shown.
    literal: bool,
}

impl Pattern {
    fn at(&self, (from, to): (usize, usize)) -> Span {
        match self.literal {
            true => {
                let start = self.span.start as usize + 1;
                Span::new(self.span.file, start + from, start + to.max(from + 1))
            }
            false => self.span,
        }
    }

    fn fault(&self, at: (usize, usize), headline: String) -> Diagnostic {
        let fault = Diagnostic::error(codes::BAD_PATTERN, self.at(at), headline);
        if self.literal { fault } else { fault.note(format!("the pattern is {:?}", self.text)) }
    }

    /// The axes of one side, which begins at `from` in the pattern.
    fn items(&self, side: &str, from: usize) -> Result<Vec<Item>, Box<Diagnostic>> {
        let mut items = Vec::new();
        let mut group: Option<(usize, Vec<Word>)> = None;
        let bytes = side.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            let at = (from + i, from + i + 1);
            match bytes[i] {
                b' ' => i += 1,
                b'.' if side[i..].starts_with("..") && group.is_none() => {
                    let len = if side[i..].starts_with("...") { 3 } else { 2 };
                    if items.iter().any(|item| matches!(item, Item::Rest(_))) {
                        return Err(Box::new(
                            self.fault(at, "`..` stands twice on this side".into())
                                .help("name the axes of one of them"),
                        ));
                    }
                    items.push(Item::Rest((from + i, from + i + len)));
                    i += len;
                }
                b'(' if group.is_some() => {
                    return Err(Box::new(
                        self.fault(at, "a group of axes cannot hold another".into()).help("list all axes in one group"),
                    ));
                }
                b'(' => {
                    group = Some((from + i, Vec::new()));
                    i += 1;
                }
                b')' => {
                    let Some((_, words)) = group.take() else {
                        return Err(Box::new(
                            self.fault(at, "this `)` closes nothing".into())
                                .help("take it out, or open the group: `(h d)`"),
                        ));
                    };
                    items.push(Item::Group(words));
                    i += 1;
                }
                c if c.is_ascii_alphanumeric() || c == b'_' => {
                    let len = side[i..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(side.len() - i);
                    let word = Word { name: side[i..i + len].to_string(), at: (from + i, from + i + len) };
                    if word.name.starts_with(|c: char| c.is_ascii_digit()) && word.name != "1" {
                        let fault = self.fault(word.at, format!("`{}` is not the name of an axis", word.name));
                        return Err(Box::new(fault.help("only 1 may stand for itself; give other sizes by name")));
                    }
                    match &mut group {
                        Some((_, words)) => words.push(word),
                        None => items.push(Item::One(word)),
                    }
                    i += len;
                }
                _ => {
                    let letter = side[i..].chars().next().unwrap_or(' ');
                    let fault = self.fault(at, format!("`{letter}` means nothing in a pattern"));
                    return Err(Box::new(fault.help("axes are names with blanks between them: `b t (h d)`")));
                }
            }
        }
        match group {
            Some((at, _)) => {
                let fault = self.fault((at, at + 1), "this `(` is never closed".into());
                Err(Box::new(fault.help("close it behind the axes of the group: `(h d)`")))
            }
            None => Ok(items),
        }
    }

    fn halves(&self) -> Result<(&str, &str, usize), Box<Diagnostic>> {
        match self.text.split_once("->") {
            Some((left, right)) => Ok((left, right, left.len() + 2)),
            None => {
                let end = self.text.len();
                let fault = self.fault((0, end), "a pattern needs `->` between its two sides".into());
                Err(Box::new(fault.help("for instance \"b t (h d) -> b h t d\"")))
            }
        }
    }
}

/// How many axes `..` stands for, if the side has one.
fn rest_count(items: &[Item], rank: usize) -> Option<usize> {
    let named = items.iter().filter(|item| !matches!(item, Item::Rest(_))).count();
    (named < items.len()).then(|| rank.saturating_sub(named))
}

/// The known sizes of the axes of a pattern.
type Sizes = Vec<(String, Axis)>;

fn known<'s>(sizes: &'s Sizes, name: &str) -> Option<&'s Axis> {
    sizes.iter().find(|(n, _)| n == name).map(|(_, a)| a)
}

impl Checker<'_> {
    fn reported<T>(&mut self, result: Result<T, Box<Diagnostic>>) -> Res<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => self.fail(*fault),
        }
    }

    /// Takes the arguments of a call with a pattern apart: the pattern, the tensors in order, the sizes by name.
    fn pattern_args(&mut self, name: &str, given: Vec<Given>, span: Span) -> Res<(Pattern, Vec<NodeId>, Sizes)> {
        let (mut pattern, mut tensors, mut sizes) = (None, Vec::new(), Vec::new());
        let mut silent = false;
        for one in given {
            let value = self.present(one.value, one.span);
            match (one.name, value) {
                (_, v) if v.is_silent() => silent = true,
                (None, Value::Str(text)) if pattern.is_none() => {
                    let literal = self.sources.text(one.span) == format!("\"{text}\"");
                    pattern = Some(Pattern { text, span: one.span, literal });
                }
                (None, Value::Tensor(node)) => tensors.push(node),
                (None, v) => {
                    let fault = Diagnostic::error(codes::WRONG_KIND, one.span, format!("`{name}` of {}", v.kind()));
                    return self.fail(fault.label("a tensor or the pattern is needed here"));
                }
                (Some(_), Value::UnknownNumber) => silent = true,
                (Some(axis), Value::Int(size, why)) => {
                    let axis_size = match why {
                        Some(why) => Axis { size, why },
                        None => self.written(one.span, size),
                    };
                    sizes.push((axis, axis_size));
                }
                (Some(axis), v) => {
                    let headline = format!("the size of `{axis}` is {}, not a whole number", v.kind());
                    return self.fail(Diagnostic::error(codes::WRONG_KIND, one.span, headline));
                }
            }
        }
        let Some(pattern) = pattern else {
            if silent {
                return None;
            }
            let fault = Diagnostic::error(codes::MISSING_ARGUMENT, span, format!("`{name}` needs a pattern"));
            return self.fail(fault.help(match name {
                "einsum" => "for instance `einsum(\"i k, k j -> i j\", a, b)`",
                _ => "for instance `rearrange(x, \"b t (h d) -> b h t d\", h: 8)`",
            }));
        };
        if silent { None } else { Some((pattern, tensors, sizes)) }
    }

    /// `rearrange(x, "b t (h d) -> b h t d", h: 8)`
    pub fn rearrange(&mut self, given: Vec<Given>, span: Span) -> Res<Value> {
        let (pattern, tensors, mut sizes) = self.pattern_args("rearrange", given, span)?;
        let &[x] = tensors.as_slice() else {
            let headline = format!("`rearrange` takes one tensor, not {}", tensors.len());
            return self.fail(Diagnostic::error(codes::MISSING_ARGUMENT, span, headline));
        };
        let halves = pattern.halves().map(|(l, r, at)| (l.to_string(), r.to_string(), at));
        let (left, right, middle) = self.reported(halves)?;
        let left = self.reported(pattern.items(&left, 0))?;
        let right = self.reported(pattern.items(&right, middle))?;
        let ty = self.ty(x).clone();
        let rest = rest_count(&left, ty.rank());
        let (left, right) = (with_rest(left, rest.unwrap_or(0)), with_rest(right, rest.unwrap_or(0)));
        if left.len() != ty.rank() {
            return self.fail(self.wrong_count(&pattern, &left, (0, middle - 2), &ty));
        }
        self.named_once(&pattern, &left)?;
        self.named_once(&pattern, &right)?;
        let names: Vec<&Word> = left.iter().flat_map(Item::words).filter(|w| w.name != "1").collect();
        let kept: Vec<&Word> = right.iter().flat_map(Item::words).filter(|w| w.name != "1").collect();
        for word in &kept {
            if !names.iter().any(|n| n.name == word.name) {
                let fault = pattern.fault(word.at, format!("`{}` is not on the left side", word.name));
                return self.fail(fault.help("a new axis has size 1: write `1`, then `expand` stretches it"));
            }
        }
        for word in &names {
            if !kept.iter().any(|n| n.name == word.name) {
                let fault = pattern.fault(word.at, format!("`{}` is lost on the right side", word.name));
                return self.fail(fault.help("name it there, or reduce it first: `sum(x, axis: …)`"));
            }
        }
        for (name, axis) in &sizes {
            if !names.iter().any(|n| n.name == *name) {
                let at = self.reasons[axis.why.0 as usize].span;
                let headline = format!("no axis of the pattern is called `{name}`");
                let list = names.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
                return self
                    .fail(Diagnostic::error(codes::UNKNOWN_ARGUMENT, at, headline).help(format!("it has {list}")));
            }
        }
        for (item, axis) in left.iter().zip(&ty.axes) {
            self.take_apart(&pattern, item, axis, &mut sizes, span)?;
        }
        // All axes on their own, in the order of the left side, then of the right, then put together.
        let find = |word: &Word| known(&sizes, &word.name).cloned();
        let single: Vec<Axis> = names.iter().filter_map(|w| find(w)).collect();
        let perm: Vec<usize> = kept.iter().filter_map(|w| names.iter().position(|n| n.name == w.name)).collect();
        let turned: Vec<Axis> = perm.iter().map(|&p| single[p].clone()).collect();
        let mut result = Vec::new();
        for item in &right {
            let parts: Vec<Axis> = item.words().iter().filter_map(find).collect();
            let size = parts.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
            result.push(match parts.as_slice() {
                [one] => one.clone(),
                [] => self.written(span, size),
                _ => {
                    let parents = parts.iter().map(|a| a.why).collect();
                    let why = self.reason(self.blame(span), &size, ReasonKind::Product, parents);
                    Axis { size, why }
                }
            });
        }
        let mut node = self.reshaped(x, single, span);
        if perm.iter().enumerate().any(|(i, &p)| i != p) {
            let ty = Ty { axes: turned, ..self.ty(node).clone() };
            node = self.node(Op::Transpose { perm }, vec![node], ty, span);
        }
        Some(Value::Tensor(self.reshaped(node, result, span)))
    }

    fn wrong_count(&self, pattern: &Pattern, items: &[Item], at: (usize, usize), ty: &Ty) -> Diagnostic {
        let axes = |n: usize| format!("{n} {}", if n == 1 { "axis" } else { "axes" });
        let headline = format!("the pattern names {}, the tensor has {}", axes(items.len()), axes(ty.rank()));
        let fault = pattern.fault(at, headline).label(format!("the tensor is {ty}"));
        let compact = items.len() == 1 && matches!(&items[0], Item::One(w) if w.name.len() == ty.rank());
        match (compact, items.first()) {
            (true, Some(Item::One(word))) => {
                let spread: Vec<String> = word.name.chars().map(String::from).collect();
                fault.help(format!("names are separated by blanks: `{}`", spread.join(" ")))
            }
            _ => fault.help("every axis of the tensor needs a name, 1, or a group in `( )`"),
        }
    }

    fn named_once(&mut self, pattern: &Pattern, items: &[Item]) -> Res<()> {
        let words: Vec<&Word> = items.iter().flat_map(Item::words).filter(|w| w.name != "1").collect();
        for (i, word) in words.iter().enumerate() {
            if words[..i].iter().any(|w| w.name == word.name) {
                let fault = pattern.fault(word.at, format!("`{}` is named twice on this side", word.name));
                return self.fail(fault.help("`einsum` takes diagonals"));
            }
        }
        Some(())
    }

    /// Gives the names in one axis of a tensor their sizes; at most one of a group may be unknown before.
    fn take_apart(&mut self, pattern: &Pattern, item: &Item, axis: &Axis, sizes: &mut Sizes, span: Span) -> Res<()> {
        let open: Vec<&Word> =
            item.words().iter().filter(|w| w.name != "1" && known(sizes, &w.name).is_none()).collect();
        let mut rest = Dim::from(1i64);
        for word in item.words() {
            if let Some(axis) = known(sizes, &word.name) {
                rest = rest.mul(&axis.size);
            }
        }
        match open.as_slice() {
            [] if rest == axis.size => Some(()),
            // Only an instance can tell.
            [] if self.generic && !rest.contradicts(&axis.size) => None,
            [] if self.left_open(&rest, &axis.size) => None,
            [] => {
                let at = item.words().first().map_or((0, 1), |w| w.at);
                let at = (at.0, item.words().last().map_or(at.1, |w| w.at.1));
                let arrives = self.size_text(&axis.size, axis.why);
                let code = if rest.contradicts(&axis.size) { codes::SHAPE_MISMATCH } else { codes::UNDECIDED_DIM };
                let name = pattern.text[at.0..at.1].to_string();
                let mut fault =
                    Diagnostic::error(code, pattern.at(at), format!("`{name}` is {rest} here, the axis is {arrives}"));
                for word in item.words() {
                    if let Some(known) = known(sizes, &word.name).cloned() {
                        for (at, text) in self.chain(known.why).into_iter().take(1) {
                            fault = fault.also(at, format!("{}: {text}", word.name));
                        }
                    }
                }
                self.fail(fault)
            }
            [word] => {
                let Some(size) = axis.size.exact_div(&rest) else {
                    if self.generic && (rest.number().is_none() || axis.size.number().is_none()) {
                        return None;
                    }
                    let text = self.size_text(&axis.size, axis.why);
                    let headline = format!("{text} is not divisible by {rest}");
                    let mut fault = pattern.fault(word.at, headline).label("the size of this is not whole");
                    for (at, text) in self.chain(axis.why).into_iter().take(2) {
                        fault = fault.also(at, text);
                    }
                    return self.fail(fault);
                };
                let own = match item {
                    Item::One(_) => axis.clone(),
                    Item::Group(words) if words.len() == 1 => axis.clone(),
                    Item::Group(_) | Item::Rest(_) => {
                        let kind = ReasonKind::Made("`rearrange`".into());
                        let why = self.reason(self.blame(span), &size, kind, vec![axis.why]);
                        Axis { size, why }
                    }
                };
                sizes.push((word.name.clone(), own));
                Some(())
            }
            [_, second, ..] => {
                let names: Vec<String> = open.iter().map(|w| format!("`{}`", w.name)).collect();
                let list = names.join(" and ");
                let fault = pattern.fault(second.at, format!("the sizes of {list} are both unknown"));
                self.fail(fault.help(format!("give one of them by name: `{}: …`", open[0].name)))
            }
        }
    }

    /// `einsum("b i d, b j d -> b i j", q, k)`: the sum, over the axes that the right side leaves out, of the products.
    pub fn einsum(&mut self, given: Vec<Given>, span: Span) -> Res<Value> {
        let (pattern, mut tensors, mut sizes) = self.pattern_args("einsum", given, span)?;
        self.unify_tensors(&mut tensors, span);
        let halves = pattern.halves().map(|(l, r, at)| (l.to_string(), r.to_string(), at));
        let (left, right, middle) = self.reported(halves)?;
        let mut operands = Vec::new();
        let mut from = 0;
        let mut rest = None;
        for (part, &node) in left.split(',').zip(tensors.iter().chain(std::iter::repeat(&NodeId(0)))) {
            let items = self.reported(pattern.items(part, from))?;
            let rank = self.sheet.tys.get(node.index()).map_or(0, Ty::rank);
            let own = rest_count(&items, rank);
            rest = rest.or(own);
            let items = with_rest(items, own.unwrap_or(0));
            operands.push((self.plain_words(&pattern, items)?, (from, from + part.len())));
            from += part.len() + 1;
        }
        let right = self.reported(pattern.items(&right, middle))?;
        let right = self.plain_words(&pattern, with_rest(right, rest.unwrap_or(0)))?;
        if operands.len() != tensors.len() {
            let headline = format!("the pattern is for {} tensors, {} are given", operands.len(), tensors.len());
            return self.fail(pattern.fault((0, middle - 2), headline));
        }
        let mut terms: Vec<(NodeId, Vec<String>)> = Vec::new();
        for ((words, at), &node) in operands.iter().zip(&tensors) {
            let ty = self.ty(node).clone();
            if words.len() != ty.rank() {
                let items: Vec<Item> = words.iter().cloned().map(Item::One).collect();
                return self.fail(self.wrong_count(&pattern, &items, *at, &ty));
            }
            if !ty.dtype.is_float() {
                let headline = format!("`einsum` takes floats, this is {}", ty.dtype);
                return self
                    .fail(Diagnostic::error(codes::DTYPE_MISMATCH, span, headline).help("convert it: `f32(…)`"));
            }
            let first = self.ty(tensors[0]).dtype;
            if ty.dtype != first {
                let fault =
                    Diagnostic::error(codes::DTYPE_MISMATCH, span, format!("`einsum` mixes {first} and {}", ty.dtype))
                        .label("all tensors must have one dtype")
                        .help(format!("convert one: `{first}(…)`"));
                let fault = self.with_declared(fault, &tensors);
                return self.fail(fault);
            }
            for (word, axis) in words.iter().zip(&ty.axes) {
                self.take_apart(&pattern, &Item::One(word.clone()), axis, &mut sizes, span)?;
            }
            terms.push(self.diagonal(node, words.iter().map(|w| w.name.clone()).collect(), span)?);
        }
        for (i, word) in right.iter().enumerate() {
            if !operands.iter().any(|(words, _)| words.iter().any(|w| w.name == word.name)) {
                return self.fail(pattern.fault(word.at, format!("`{}` is not on the left side", word.name)));
            }
            if right[..i].iter().any(|w| w.name == word.name) {
                return self.fail(pattern.fault(word.at, format!("`{}` is named twice on this side", word.name)));
            }
        }
        let wanted: Vec<String> = right.into_iter().map(|w| w.name).collect();
        let mut terms = terms.into_iter();
        let mut so_far = terms.next()?;
        let rest: Vec<_> = terms.collect();
        for (i, next) in rest.iter().enumerate() {
            let later = |name: &String| wanted.contains(name) || rest[i + 1..].iter().any(|(_, n)| n.contains(name));
            so_far = self.contract(so_far, next.clone(), &later, &sizes, span)?;
        }
        let (node, names) = self.summed(so_far, &|name| wanted.contains(name), span)?;
        let perm = wanted.iter().filter_map(|w| names.iter().position(|n| n == w)).collect();
        Some(Value::Tensor(self.turned(node, perm, span)))
    }

    fn plain_words(&mut self, pattern: &Pattern, items: Vec<Item>) -> Res<Vec<Word>> {
        let mut words = Vec::new();
        for item in items {
            match item {
                Item::One(word) if word.name != "1" => words.push(word),
                other => {
                    let at = other.words().first().map_or((0, 1), |w| w.at);
                    let fault = pattern.fault(at, "`einsum` takes one name for each axis".into());
                    return self.fail(fault.help("`rearrange` splits and merges axes"));
                }
            }
        }
        Some(words)
    }

    fn turned(&mut self, node: NodeId, perm: Vec<usize>, span: Span) -> NodeId {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return node;
        }
        let ty = self.ty(node).clone();
        let axes = perm.iter().map(|&p| ty.axes[p].clone()).collect();
        self.node(Op::Transpose { perm }, vec![node], Ty { axes, tag: None, ..ty }, span)
    }

    /// Keeps the diagonal of axes with one name: zero elsewhere, then summed over all but one of them.
    fn diagonal(&mut self, node: NodeId, names: Vec<String>, span: Span) -> Res<(NodeId, Vec<String>)> {
        let (mut node, mut names) = (node, names);
        while let Some(second) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
            let first = names.iter().position(|n| *n == names[second])?;
            let ty = Ty { tag: None, ..self.ty(node).clone() };
            let mut places = Vec::new();
            for axis in [first, second] {
                let own = ty.axes[axis].clone();
                let line = Ty { dtype: DType::I32, axes: vec![own.clone()], tag: None, weak: false };
                let line = self.node(Op::Iota { size: own.size.clone() }, Vec::new(), line, span);
                let shape = ty.axes.iter().map(|a| a.size.clone()).collect();
                let wide = Ty { dtype: DType::I32, ..ty.clone() };
                places.push(self.node(Op::Broadcast { shape, axes: vec![axis] }, vec![line], wide, span));
            }
            let truth = Ty { dtype: DType::Bool, ..ty.clone() };
            let here = self.node(Op::Compare(Compare::Eq), places, truth, span);
            let kept = vec![Value::Tensor(here), Value::Tensor(node), Value::Float(0.0)];
            let Value::Tensor(kept) = self.elementwise(Kind::Select, kept, span, "einsum")? else { return None };
            let op = Op::Reduce { op: Reduce::Sum, axes: vec![second] };
            let Value::Tensor(sum) = self.add_op(op, vec![kept], span, "einsum", &["x"])? else { return None };
            node = sum;
            names.remove(second);
        }
        Some((node, names))
    }

    /// Sums over the axes that nobody needs.
    fn summed(
        &mut self,
        (node, names): (NodeId, Vec<String>),
        needed: &dyn Fn(&String) -> bool,
        span: Span,
    ) -> Res<(NodeId, Vec<String>)> {
        let axes: Vec<usize> = (0..names.len()).filter(|&i| !needed(&names[i])).collect();
        if axes.is_empty() {
            return Some((node, names));
        }
        let op = Op::Reduce { op: Reduce::Sum, axes };
        let Value::Tensor(sum) = self.add_op(op, vec![node], span, "einsum", &["x"])? else { return None };
        Some((sum, names.into_iter().filter(|n| needed(n)).collect()))
    }

    /// Two operands into one: axes of both that nobody needs later are contracted, in one matrix product.
    fn contract(
        &mut self,
        a: (NodeId, Vec<String>),
        b: (NodeId, Vec<String>),
        later: &dyn Fn(&String) -> bool,
        sizes: &Sizes,
        span: Span,
    ) -> Res<(NodeId, Vec<String>)> {
        let b_names = b.1.clone();
        let (a, a_names) = self.summed(a, &|n| later(n) || b_names.contains(n), span)?;
        let (b, b_names) = self.summed(b, &|n| later(n) || a_names.contains(n), span)?;
        let both = |n: &&String| a_names.contains(n) && b_names.contains(n);
        let batch: Vec<String> = a_names.iter().filter(|n| both(n) && later(n)).cloned().collect();
        let inner: Vec<String> = a_names.iter().filter(|n| both(n) && !later(n)).cloned().collect();
        let rows: Vec<String> = a_names.iter().filter(|n| !b_names.contains(n)).cloned().collect();
        let columns: Vec<String> = b_names.iter().filter(|n| !a_names.contains(n)).cloned().collect();
        let axes = |names: &[String]| -> Vec<Axis> { names.iter().filter_map(|n| known(sizes, n).cloned()).collect() };
        let order = |names: &[String], parts: [&[String]; 3]| -> Vec<usize> {
            parts.concat().iter().filter_map(|n| names.iter().position(|m| m == n)).collect()
        };
        let left = self.turned(a, order(&a_names, [&batch, &rows, &inner]), span);
        let right = self.turned(b, order(&b_names, [&batch, &inner, &columns]), span);
        let dtype = self.ty(left).dtype;
        let (batch_axes, row_axes, column_axes, inner_axes) = (axes(&batch), axes(&rows), axes(&columns), axes(&inner));
        let names: Vec<String> = [batch.as_slice(), &rows, &columns].concat();
        let result: Vec<Axis> = [batch_axes.as_slice(), &row_axes, &column_axes].concat();
        if inner.is_empty() {
            // Nothing to contract: each with each, by stretching.
            let one = self.written(span, Dim::from(1i64));
            let ones = |n: usize| vec![one.clone(); n];
            let wide_left = [batch_axes.clone(), row_axes.clone(), ones(columns.len())].concat();
            let wide_right = [batch_axes, ones(rows.len()), column_axes].concat();
            let left = self.reshaped(left, wide_left, span);
            let right = self.reshaped(right, wide_right, span);
            let pair = vec![Value::Tensor(left), Value::Tensor(right)];
            let Value::Tensor(product) = self.elementwise(Kind::Binary(Binary::Mul), pair, span, "einsum")? else {
                return None;
            };
            return Some((self.reshaped(product, result, span), names));
        }
        let merged = |c: &mut Self, axes: &[Axis]| -> Axis {
            let size = axes.iter().fold(Dim::from(1i64), |p, a| p.mul(&a.size));
            match axes {
                [one] => one.clone(),
                [] => c.written(span, size),
                _ => {
                    let parents: Vec<Why> = axes.iter().map(|a| a.why).collect();
                    let why = c.reason(span, &size, ReasonKind::Product, parents);
                    Axis { size, why }
                }
            }
        };
        let (m, n, k) = (merged(self, &row_axes), merged(self, &column_axes), merged(self, &inner_axes));
        let batches = match batch_axes.as_slice() {
            [] => Vec::new(),
            some => vec![merged(self, some)],
        };
        let left = self.reshaped(left, [batches.as_slice(), &[m.clone(), k.clone()]].concat(), span);
        let right = self.reshaped(right, [batches.as_slice(), &[k, n.clone()]].concat(), span);
        let count = batches.len();
        let ty = Ty { dtype, axes: [batches.as_slice(), &[m, n]].concat(), tag: None, weak: false };
        let product = self.node(Op::Matmul { batch: count }, vec![left, right], ty, span);
        Some((self.reshaped(product, result, span), names))
    }

    /// `(q, k, v) = x`: the slices of a tensor whose first axis has as many elements as there are names.
    pub fn unpacked(&mut self, value: Value, count: usize, span: Span) -> Value {
        let Value::Tensor(node) = value else { return value };
        let ty = self.ty(node).clone();
        if ty.axes.first().and_then(|a| a.size.number()) != Some(count as i64) {
            return value;
        }
        let mut items = Vec::new();
        for i in 0..count {
            let mut start = vec![Dim::default(); ty.rank()];
            let mut size: Vec<Dim> = ty.axes.iter().map(|a| a.size.clone()).collect();
            (start[0], size[0]) = (Dim::from(i as i64), Dim::from(1i64));
            let mut axes = ty.axes.clone();
            axes[0].size = Dim::from(1i64);
            let one = Ty { axes, ..ty.clone() };
            let op = Op::Slice { start, size, step: vec![1; ty.rank()] };
            let slice = self.node(op, vec![node], one, span);
            items.push(Value::Tensor(self.reshaped(slice, ty.axes[1..].to_vec(), span)));
        }
        Value::Tuple(items)
    }
}
