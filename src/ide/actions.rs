//! Code actions: the fixes of diagnostics, and changes that a person may want: say a value's type, name a size, make an
//! expression a layer.

use super::hover::each_expr_in_file;
use super::{Analysis, HintMode, MAIN};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::*;
use std::ops::Range;

/// A change that is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub title: String,
    pub edits: Vec<(Range<usize>, String)>,
    /// The diagnostic that it cures, by its place among those of the facts.
    pub cures: Option<usize>,
    /// Applying it blindly is safe.
    pub certain: bool,
}

/// What is offered for a range.
pub fn actions(a: &Analysis, range: Range<usize>) -> Vec<Action> {
    let mut out = Vec::new();
    let touches = |r: &Range<usize>| r.start <= range.end && range.start <= r.end;
    for (number, d) in a.facts.diagnostics.iter().enumerate() {
        let place = d.span().and_then(|s| a.now(s));
        if place.is_some_and(|r| touches(&r)) {
            out.extend(fixes(a, d, number));
        }
    }
    say_type(a, &range, &mut out);
    name_size(a, &range, &mut out);
    extract_layer(a, &range, &mut out);
    out
}

/// The fixes of a diagnostic, moved to the text at hand.
fn fixes(a: &Analysis, d: &Diagnostic, number: usize) -> Vec<Action> {
    let fix = |f: &crate::diag::Fix| {
        let edits: Option<Vec<_>> = f.edits.iter().map(|(s, text)| Some((a.now(*s)?, text.clone()))).collect();
        Some(Action { title: f.title.clone(), edits: edits?, cures: Some(number), certain: f.certain })
    };
    d.fixes.iter().filter_map(fix).collect()
}

/// Takes a binding: its item, the statement, the name, its type and its value.
type SeeBinding<'a> = dyn FnMut(&Item, &Stmt, &Ident, &Option<TypeExpr>, &Expr) + 'a;

/// The bindings in the bodies of a file, with the item that each is in.
fn each_binding(a: &Analysis, see: &mut SeeBinding) {
    for item in &a.syntax.tree.items {
        let block = match &item.kind {
            ItemKind::Fn(d) => Some(&d.body),
            ItemKind::Layer(d) => d.forward.as_ref().map(|f| &f.body),
            ItemKind::Task(d) => d.step.as_ref().map(|s| &s.body),
            _ => None,
        };
        for stmt in block.into_iter().flat_map(|b| &b.stmts) {
            if let StmtKind::Bind { pattern: Pattern::Name(name), ty, value } = &stmt.kind {
                see(item, stmt, name, ty, value);
            }
        }
    }
}

/// `y = f(x)` to `y: f32[B, D] = f(x)`, and to `… = expect(f(x))`.
fn say_type(a: &Analysis, range: &Range<usize>, out: &mut Vec<Action>) {
    each_binding(a, &mut |item, stmt, name, ty, value| {
        let at = stmt.span.range();
        if range.start < at.start || range.end > at.end || name.span.file != MAIN {
            return;
        }
        // A task's sizes are numbers of its data, which are nothing to declare.
        let in_task = matches!(item.kind, ItemKind::Task(_));
        let after = name.span.end as usize;
        if ty.is_none()
            && !in_task
            && let Some(shape) = a.shape_at(name.span.range(), HintMode::Names)
            && !shape.contains("floor")
            && !shape.contains("..")
            && !shape.starts_with('(')
        {
            out.push(Action {
                title: format!("say its type: `{}: {shape}`", name.name),
                edits: vec![(after..after, format!(": {shape}"))],
                cures: None,
                certain: false,
            });
        }
        let expected = a.of(value.span).starts_with("expect(");
        if ty.is_some() && !expected {
            let (start, end) = (value.span.start as usize, value.span.end as usize);
            out.push(Action {
                title: "insert `expect`: take the declared sizes on trust, a run looks".to_string(),
                edits: vec![(start..start, "expect(".into()), (end..end, ")".into())],
                cures: None,
                certain: false,
            });
        }
    });
    // Where sizes cannot be decided, the whole of it in one step.
    for (number, d) in a.facts.diagnostics.iter().enumerate().filter(|(_, d)| d.code.id == "E0304") {
        let Some(place) = d.span().and_then(|s| a.now(s)) else { continue };
        each_binding(a, &mut |_, stmt, name, ty, value| {
            let at = stmt.span.range();
            let inside =
                at.start <= place.start && place.end <= at.end && range.start <= at.end && at.start <= range.end;
            if inside && ty.is_some() && !a.of(value.span).starts_with("expect(") {
                let (start, end) = (value.span.start as usize, value.span.end as usize);
                out.push(Action {
                    title: format!("insert `expect` around the value of `{}`", name.name),
                    edits: vec![(start..start, "expect(".into()), (end..end, ")".into())],
                    cures: Some(number),
                    certain: false,
                });
            }
        });
    }
}

/// A number that stands in a layer or function becomes a constant with a name.
fn name_size(a: &Analysis, range: &Range<usize>, out: &mut Vec<Action>) {
    let mut found: Option<(Span, i64)> = None;
    let mut see = |e: &Expr| {
        if let ExprKind::Int(n, None) = e.kind
            && e.span.file == MAIN
            && e.span.start as usize <= range.start
            && range.start <= e.span.end as usize
        {
            found = Some((e.span, n));
        }
    };
    each_expr_in_file(a, &mut see);
    // Sizes in types too.
    for item in &a.syntax.tree.items {
        let params: Vec<&Param> = match &item.kind {
            ItemKind::Fn(d) => d.params.iter().collect(),
            ItemKind::Layer(d) => d.params.iter().chain(d.forward.iter().flat_map(|f| &f.params)).collect(),
            _ => continue,
        };
        params.iter().filter_map(|p| p.ty.as_ref()).for_each(|t| crate::syntax::walk::each_size(t, &mut see));
    }
    let Some((span, number)) = found else { return };
    if number < 3 {
        return;
    }
    let item = a.syntax.tree.items.iter().find(|i| i.span.range().contains(&(span.start as usize)));
    let Some(item) = item.filter(|i| !matches!(i.kind, ItemKind::Const { .. })) else { return };
    let taken = |n: &str| a.names().symbols.iter().any(|s| s.name == n);
    let base = "width".to_string();
    let Some(name) = std::iter::once(base.clone()).chain((2..100).map(|i| format!("{base}{i}"))).find(|n| !taken(n))
    else {
        return;
    };
    // Before the item, with what documents it.
    let text = a.text();
    let mut start = text[..item.span.start as usize].rfind('\n').map_or(0, |i| i + 1);
    while start > 0 {
        let line = text[..start - 1].rfind('\n').map_or(0, |i| i + 1);
        if !text[line..start].trim_start().starts_with("//") {
            break;
        }
        start = line;
    }
    out.push(Action {
        title: format!("name this size: `const {name} = {number}`"),
        edits: vec![(start..start, format!("const {name} = {number}\n\n")), (span.range(), name)],
        cures: None,
        certain: false,
    });
}

/// `x |> a |> b` in `forward`, selected: its links become a layer of their own, which the layer at hand has as a member.
fn extract_layer(a: &Analysis, range: &Range<usize>, out: &mut Vec<Action>) {
    if range.start == range.end {
        return;
    }
    for item in &a.syntax.tree.items {
        let ItemKind::Layer(layer) = &item.kind else { continue };
        let Some(forward) = &layer.forward else { continue };
        if !forward.body.span.range().contains(&range.start) {
            continue;
        }
        // The chain whose text is selected, blanks aside.
        let text = a.text();
        let Some(selected) = text.get(range.clone()) else { return };
        let start = range.start + selected.len() - selected.trim_start().len();
        let end = range.end - (selected.len() - selected.trim_end().len());
        let mut chain: Option<Expr> = None;
        crate::syntax::walk::each_expr_of(&forward.body, &mut |e| {
            if e.span.range() == (start..end) && matches!(e.kind, ExprKind::Pipe { .. }) {
                chain = Some(e.clone());
            }
        });
        let Some(chain) = chain else { return };
        let mut first = &chain;
        while let ExprKind::Pipe { value, .. } = &first.kind {
            first = value;
        }
        let links = &text[first.span.end as usize..end];
        let members: Vec<&Member> = layer
            .members
            .iter()
            .filter(|m| {
                a.names().mentions.iter().any(|u| is_use(a, u, m) && (start..end).contains(&(u.span.start as usize)))
            })
            .collect();
        // What others of the layer use too stays where it is.
        let elsewhere = |m: &&&Member| {
            a.names()
                .mentions
                .iter()
                .any(|u| is_use(a, u, m) && !(start..end).contains(&(u.span.start as usize)) && !u.binds)
        };
        if members.is_empty() || members.iter().any(|m| elsewhere(&m)) || members.iter().any(|m| !is_closed(a, m)) {
            return;
        }
        let (Some(from), Some(to)) =
            (a.shape_at(first.span.range(), HintMode::Names), a.shape_at(chain.span.range(), HintMode::Names))
        else {
            return;
        };
        let taken = |n: &str| a.names().symbols.iter().any(|s| s.name == n);
        let Some(name) =
            std::iter::once("Part".to_string()).chain((2..100).map(|i| format!("Part{i}"))).find(|n| !taken(n))
        else {
            return;
        };
        let member = name.to_lowercase();
        let body: String = members.iter().map(|m| format!("  {}\n", a.of(m.span).trim())).collect();
        let declared = format!(
            "layer {name}() {{\n{body}\n  forward(x: {from}) -> {to} {{ x{} }}\n}}\n\n",
            links.split_whitespace().collect::<Vec<_>>().join(" ").replace("|>", " |>").replace("  |>", " |>")
        );
        let mut item_start = text[..item.span.start as usize].rfind('\n').map_or(0, |i| i + 1);
        while item_start > 0 {
            let line = text[..item_start - 1].rfind('\n').map_or(0, |i| i + 1);
            if !text[line..item_start].trim_start().starts_with("//") {
                break;
            }
            item_start = line;
        }
        let mut edits = vec![(item_start..item_start, declared)];
        for (i, m) in members.iter().enumerate() {
            let span = m.span.range();
            match i {
                0 => edits.push((span, format!("{member} = {name}()"))),
                _ => {
                    let line = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
                    let end = text[span.end..].find('\n').map_or(text.len(), |i| span.end + i + 1);
                    edits.push((line..end, String::new()));
                }
            }
        }
        edits.push((start..end, format!("{} |> {member}", a.of(first.span))));
        edits.sort_by_key(|(r, _)| (r.start, r.end));
        let apart = edits.windows(2).all(|w| w[0].0.end <= w[1].0.start);
        if apart {
            out.push(Action { title: format!("extract layer `{name}`"), edits, cures: None, certain: false });
        }
    }
}

fn is_use(a: &Analysis, mention: &super::names::Mention, member: &Member) -> bool {
    matches!(mention.target, super::Target::Symbol(n) if a.names().symbols[n].span == member.name.span)
}

/// Whether a member's own text speaks of nothing else of its layer.
fn is_closed(a: &Analysis, member: &Member) -> bool {
    let inside = a.names().mentions.iter().filter(|m| member.span.range().contains(&(m.span.start as usize)));
    inside.filter(|m| m.span != member.name.span).all(|m| match m.target {
        super::Target::Symbol(n) => a.names().symbols[n].container.is_none(),
        _ => true,
    })
}
