//! Hover: what stands at an offset, with its shape by name and by number, what it costs, and its documentation.

use super::goto::{Declared, Meaning, Origin, declared_of, meaning};
use super::names::{Kind, Symbol};
use super::{Analysis, HintMode, MAIN, library, settings, show};
use crate::check::{Seen, VarKind};
use crate::dims::Dim;
use crate::graph::TensorType;
use crate::ops::DType;
use crate::source::Span;
use crate::syntax::ast::*;
use crate::syntax::walk::each_expr;
use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

/// Text about a range of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Hover {
    pub range: Range<usize>,
    /// Markdown.
    pub text: String,
}

/// What there is to say about an offset.
pub fn hover(a: &Analysis, offset: usize) -> Option<Hover> {
    if let Some(mention) = a.names().at(offset)
        && let Some(meaning) = meaning(a, mention)
    {
        let text = match meaning {
            Meaning::Symbol(number) => symbol(a, &a.names().symbols[number], mention.span),
            Meaning::Item(declared) => item(a, &declared, mention.span),
            Meaning::Part(declared, ident) => part(a, &declared, &ident),
            Meaning::Builtin(name) => builtin(a, &name, mention.span),
            Meaning::BuiltinArgument(of, name) => builtin_argument(&of, &name),
            Meaning::Link(seen) => link(a, &seen),
        };
        return Some(Hover { range: mention.span.range(), text });
    }
    expression(a, offset)
}

fn code(text: &str) -> String {
    format!("```nn\n{}\n```\n", text.trim_end())
}

/// The type of what stands at a place, and in each task.
fn shapes(a: &Analysis, range: Range<usize>, name: &str, out: &mut String) -> bool {
    let sights = a.sights(range);
    let own = sights.iter().find(|s| s.task.is_none()).or(sights.first());
    let Some(own) = own else { return false };
    let shown = show::value(&own.seen);
    let line = match &*own.seen {
        _ if name.is_empty() => shown.clone(),
        Seen::Tensor { .. } | Seen::Tuple(_) => format!("{name}: {shown}"),
        Seen::Layer { name: layer, decl: Some(_), .. } => format!("{name} = {layer}"),
        _ => format!("{name} = {shown}"),
    };
    *out += &code(&line);
    let mut told = Vec::new();
    for sight in sights.iter().filter(|s| s.task.is_some()) {
        let text = show::value(&sight.seen);
        let task = a.task_name(sight).unwrap_or("a task");
        if text != shown && !matches!(*sight.seen, Seen::Layer { .. }) && !told.contains(&text) {
            let _ = writeln!(out, "in `{task}`: `{text}`{}  ", size(&sight.seen));
            told.push(text);
        }
    }
    if told.is_empty() && !size(&own.seen).is_empty() {
        let _ = writeln!(out, "{}  ", size(&own.seen).trim_start_matches([',', ' ']));
    }
    true
}

/// `, 3,072 bytes a sample`: a batch axis counts as one.
fn size(seen: &Seen) -> String {
    let Seen::Tensor { ty, .. } = seen else { return String::new() };
    let mut shape = ty.shape.clone();
    let batched = shape.first().is_some_and(|d| d.as_sym().is_some_and(|s| &*s.name == "B"));
    if batched {
        shape.remove(0);
    }
    let one = TensorType::new(ty.dtype, shape);
    let Some(n) = show::elements(&one).number().and_then(|n| u64::try_from(n).ok()) else { return String::new() };
    let bytes = show::bytes(n * ty.dtype.bytes() as u64);
    let numbers = if n == 1 { "number" } else { "numbers" };
    format!(", {} {numbers}, {bytes}{}", show::grouped(n), if batched { " a sample" } else { "" })
}

fn symbol(a: &Analysis, symbol: &Symbol, at: Span) -> String {
    let mut out = String::new();
    match symbol.kind {
        Kind::Function | Kind::Layer | Kind::Model | Kind::Optimizer => {
            let found = a.syntax.tree.items.iter().find(|i| i.span == symbol.full);
            if let Some(found) = found {
                let declared = Declared { item: Cow::Borrowed(found), origin: Origin::Here, made: false };
                return item(a, &declared, at);
            }
        }
        Kind::Dim => return dim(a, symbol),
        Kind::Setting => {
            if let Some((example, docs)) = settings::docs(&symbol.name) {
                let _ =
                    write!(out, "{}{docs}\n\nFor example `{} = {example}`.\n", code(a.of(symbol.full)), symbol.name);
                return out;
            }
        }
        Kind::Task => {
            out += &code(&head(a.of(symbol.full)));
            costs_of_task(a, symbol, &mut out);
            return with_docs(out, &symbol.docs);
        }
        Kind::Data => {
            out += &code(&head(a.of(symbol.full)));
            return with_docs(out, &symbol.docs);
        }
        _ => {}
    }
    // What it is where it stands, else where it was bound.
    if !shapes(a, at.range(), &symbol.name, &mut out) && !shapes(a, symbol.span.range(), &symbol.name, &mut out) {
        out += &code(a.of(symbol.full).lines().next().unwrap_or(&symbol.name));
    }
    let _ = write!(out, "\n{}", symbol.kind.word());
    if let Some(container) = symbol.container {
        let _ = write!(out, " of `{}`", a.names().symbols[container].name);
    }
    out.push('\n');
    if let Kind::Member | Kind::Weight | Kind::State | Kind::Binding = symbol.kind {
        paths(a, symbol, &mut out);
        let made = a.seen(symbol.span).iter().find_map(|s| declared_of(a, &s.seen));
        if let Some(made) = made {
            let _ = write!(out, "\n---\n{}", item_text(a, &made));
        }
    }
    with_docs(out, &symbol.docs)
}

/// A declaration up to its body.
fn head(text: &str) -> String {
    let end = text.find('{').unwrap_or(text.len());
    text[..end].trim_end().to_string()
}

fn with_docs(mut out: String, docs: &str) -> String {
    if !docs.trim().is_empty() {
        let _ = write!(out, "\n{}\n", docs.trim());
    }
    out
}

/// What the instances of a member hold, task by task.
fn paths(a: &Analysis, symbol: &Symbol, out: &mut String) {
    for sight in a.seen(symbol.span).iter().filter(|s| s.task.is_some()) {
        let Some(task) = a.facts.tasks.iter().find(|t| Some(t.number) == sight.task) else { continue };
        let Seen::Layer { path, .. } = &*sight.seen else { continue };
        let (count, bytes) = counted(task.vars.iter().filter(|(p, k, _)| *k == VarKind::Param && below(path, p)));
        let Some(count) = count else { continue };
        let _ = write!(out, "\n`{}.{path}`: {} parameters, {}", task.name, show::grouped(count), show::bytes(bytes));
        let costs = a.costs.as_ref().and_then(|c| c.tasks.iter().find(|t| t.name == task.name));
        if let Some(flops) = costs.and_then(|c| c.flops_below(path)).filter(|n| *n > 0) {
            let _ = write!(out, ", {}FLOP a sample", show::short(flops));
        }
        out.push('\n');
    }
}

/// Whether a path is an instance's or below it.
pub(super) fn below(instance: &str, path: &str) -> bool {
    instance.is_empty() || path.strip_prefix(instance).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

type VarRow = (String, VarKind, TensorType<Dim>);

/// The numbers in variables and their bytes; none if a size is known only by name.
pub(super) fn counted<'v>(vars: impl Iterator<Item = &'v VarRow>) -> (Option<u64>, u64) {
    let (mut count, mut bytes) = (Some(0u64), 0);
    for (_, _, ty) in vars {
        let n = show::elements(ty).number().and_then(|n| u64::try_from(n).ok());
        count = count.zip(n).map(|(c, n)| c.saturating_add(n));
        bytes += n.unwrap_or(0).saturating_mul(ty.dtype.bytes() as u64);
    }
    (count, bytes)
}

fn costs_of_task(a: &Analysis, symbol: &Symbol, out: &mut String) {
    let Some(task) = a.facts.tasks.iter().find(|t| t.name == symbol.name) else { return };
    let (count, bytes) = counted(task.vars.iter().filter(|(_, k, _)| *k == VarKind::Param));
    if let Some(count) = count {
        let _ = write!(out, "{} parameters, {}", show::grouped(count), show::bytes(bytes));
    }
    if let Some(costs) = a.costs.as_ref().and_then(|c| c.tasks.iter().find(|t| t.name == task.name)) {
        if let Some(flops) = costs.flops_below("") {
            let _ = write!(out, ", {}FLOP a sample", show::short(flops));
        }
        if let Some(peak) = costs.peak {
            let _ = write!(out, ", {} at the peak", show::bytes(peak));
        }
    }
    out.push('\n');
}

/// A size: where it is named, and what it is in tasks.
fn dim(a: &Analysis, symbol: &Symbol) -> String {
    let name = symbol.name.trim_start_matches('.');
    let mut out = code(name);
    let _ = writeln!(out, "size known by name");
    let line = |span: Span| a.text()[..(span.start as usize).min(a.text().len())].matches('\n').count() + 1;
    let _ = writeln!(out, "\nfirst named in line {}: `{}`", line(symbol.span), line_text(a, symbol.span));
    let mut others: Vec<usize> = a
        .names()
        .mentions
        .iter()
        .filter(|m| matches!(m.target, super::Target::Symbol(n) if a.names().symbols[n].span == symbol.span))
        .map(|m| line(m.span))
        .filter(|l| *l != line(symbol.span))
        .collect();
    others.dedup();
    if !others.is_empty() {
        let lines: Vec<String> = others.iter().take(8).map(usize::to_string).collect();
        let _ = writeln!(out, "\nmust be the same in line {}", lines.join(", "));
    }
    for (task, value) in values_of_dim(a, symbol) {
        let _ = writeln!(out, "\nin `{task}`: `{value}`");
    }
    out
}

fn line_text(a: &Analysis, span: Span) -> String {
    let text = a.text();
    let start = text[..span.start as usize].rfind('\n').map_or(0, |i| i + 1);
    let end = text[span.end as usize..].find('\n').map_or(text.len(), |i| i + span.end as usize);
    text[start..end].trim().trim_end_matches('{').trim_end().to_string()
}

/// What a size is in each task: read off the parameters whose type names it.
pub(super) fn values_of_dim(a: &Analysis, symbol: &Symbol) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for item in a.syntax.tree.items.iter().filter(|i| i.span.contains(symbol.span.start as usize)) {
        let params = match &item.kind {
            ItemKind::Fn(d) => d.params.iter().collect::<Vec<_>>(),
            ItemKind::Layer(d) => d.forward.iter().flat_map(|f| &f.params).collect(),
            _ => continue,
        };
        for param in params {
            let Some(TypeKind::Named { dims: Some(dims), .. }) = param.ty.as_ref().map(|t| &t.kind) else { continue };
            let named =
                |d: &DimExpr| matches!(d, DimExpr::Size(Expr { kind: ExprKind::Name(n), .. }) if *n == symbol.name);
            let Some(at) = dims.iter().position(named) else { continue };
            let rest = dims.iter().position(|d| matches!(d, DimExpr::Rest(..)));
            for sight in a.seen(param.name.span).iter().filter(|s| s.task.is_some()) {
                let Seen::Tensor { ty, .. } = &*sight.seen else { continue };
                let at = match rest {
                    Some(rest) if rest < at => (ty.shape.len() + at).checked_sub(dims.len()),
                    _ => Some(at),
                };
                let value = at.and_then(|at| ty.shape.get(at));
                let (Some(value), Some(task)) = (value, a.task_name(sight)) else { continue };
                let row = (task.to_string(), value.to_string());
                if !out.contains(&row) && row.1 != symbol.name {
                    out.push(row);
                }
            }
        }
    }
    out
}

/// An item where it is mentioned: what it is, and what the call around it gives.
fn item(a: &Analysis, declared: &Declared, at: Span) -> String {
    let mut out = item_text(a, declared);
    if let Some(result) = call_result(a, at) {
        let _ = write!(out, "\n---\nhere: `{}`{}\n", show::value(&result), size(&result));
    }
    out
}

fn item_text(a: &Analysis, declared: &Declared) -> String {
    let text = declared.text(a, declared.item.span);
    let mut shown = head(text);
    if let Some(forward) = declared.layer().and_then(|l| l.forward.as_ref()) {
        let signature = declared.text(a, Span { end: forward.body.span.start, ..forward.span });
        let _ = write!(shown, " {{\n  {}\n}}", signature.trim());
    }
    if let ItemKind::Const { .. } = declared.item.kind {
        shown = text.trim().to_string();
    }
    let mut out = code(&shown);
    match &declared.origin {
        Origin::Std(module) => drop(writeln!(out, "`std.{module}`\n")),
        Origin::File(path) => drop(writeln!(out, "`{path}`\n")),
        Origin::Here => own_costs(a, declared, &mut out),
    }
    if !declared.item.docs.trim().is_empty() {
        let _ = writeln!(out, "{}", declared.item.docs.trim());
    }
    out
}

/// The parameters of a layer of this file: by name on its own, by number in tasks.
fn own_costs(a: &Analysis, declared: &Declared, out: &mut String) {
    let Some(layer) = declared.layer() else { return };
    let then = a.then(layer.name.span.range());
    let Some(parameters) = then.and_then(|s| a.facts.sights.parameters.get(&s)) else { return };
    let total = parameters.iter().fold(Dim::from(0i64), |n, (_, ty)| n.add(&show::elements(ty)));
    let text = match total.number().and_then(|n| u64::try_from(n).ok()) {
        Some(0) => "no parameters".to_string(),
        Some(n) => format!("{} parameters, {}", show::grouped(n), show::bytes(n * DType::F32.bytes() as u64)),
        None => {
            let text = format!("{total}");
            if text.len() > 120 {
                return;
            }
            format!("`{text}` parameters")
        }
    };
    let _ = writeln!(out, "{text}");
    for task in &a.facts.tasks {
        let made = task.layers.iter().find(|(_, l, _)| *l == layer.name.name);
        let Some((path, _, outputs)) = made else { continue };
        let (count, bytes) = counted(task.vars.iter().filter(|(p, k, _)| *k == VarKind::Param && below(path, p)));
        let Some(count) = count else { continue };
        let given: Vec<String> = outputs.iter().map(ToString::to_string).collect();
        let _ = write!(
            out,
            "\n`{}.{path}`: {} parameters, {}, gives `{}`",
            task.name,
            show::grouped(count),
            show::bytes(bytes),
            given.join(", ")
        );
        let costs = a.costs.as_ref().and_then(|c| c.tasks.iter().find(|t| t.name == task.name));
        if let Some(flops) = costs.and_then(|c| c.flops_below(path)) {
            let _ = write!(out, ", {}FLOP a sample", show::short(flops));
        }
        out.push('\n');
    }
    out.push('\n');
}

/// What the call or chain link whose callee stands here gives.
fn call_result(a: &Analysis, callee: Span) -> Option<Seen> {
    let mut found = None;
    each_expr_in_file(a, &mut |e| {
        let is_it = match &e.kind {
            ExprKind::Call { callee: c, .. } => c.span == callee,
            ExprKind::Pipe { stage, .. } => match &stage.kind {
                ExprKind::Call { callee: c, .. } => c.span == callee,
                _ => stage.span == callee,
            },
            _ => false,
        };
        if is_it {
            let tensor = |s: &&crate::check::Sight| show::shape(&s.seen).is_some();
            if let Some(sight) = a.seen(e.span).iter().find(tensor) {
                found = Some(Seen::clone(&sight.seen));
            }
        }
    });
    found
}

/// Visits every expression of the file, outer ones first.
pub(super) fn each_expr_in_file(a: &Analysis, see: &mut dyn FnMut(&Expr)) {
    for item in &a.syntax.tree.items {
        each_expr_of_item(item, see);
    }
}

/// Visits every expression of an item that has a value.
pub(super) fn each_expr_of_item(item: &Item, see: &mut dyn FnMut(&Expr)) {
    use crate::syntax::walk::each_expr_of;
    let defaults = |params: &[Param], see: &mut dyn FnMut(&Expr)| {
        params.iter().filter_map(|p| p.default.as_ref()).for_each(|e| each_expr(e, see));
    };
    let members = |members: &[Member], see: &mut dyn FnMut(&Expr)| {
        for member in members {
            match &member.kind {
                MemberKind::Bind(e) => each_expr(e, see),
                MemberKind::Param { init: Some(e), .. } | MemberKind::State { init: Some(e), .. } => each_expr(e, see),
                _ => {}
            }
        }
    };
    match &item.kind {
        ItemKind::Const { value, .. } => each_expr(value, see),
        ItemKind::Fn(d) => {
            defaults(&d.params, see);
            each_expr_of(&d.body, see);
            d.gradient.iter().for_each(|(_, b)| each_expr_of(b, see));
        }
        ItemKind::Layer(d) => {
            defaults(&d.params, see);
            members(&d.members, see);
            if let Some(forward) = &d.forward {
                defaults(&forward.params, see);
                each_expr_of(&forward.body, see);
            }
        }
        ItemKind::Optimizer(d) => {
            defaults(&d.params, see);
            members(&d.members, see);
            d.update.iter().for_each(|u| each_expr_of(&u.body, see));
        }
        ItemKind::Data(d) => {
            each_expr(&d.source, see);
            d.body.iter().for_each(|b| each_expr_of(b, see));
        }
        ItemKind::Task(d) => {
            defaults(&d.params, see);
            for stmt in &d.body {
                match &stmt.kind {
                    TaskStmtKind::Bind { value, .. } => each_expr(value, see),
                    TaskStmtKind::Load { from, .. } => each_expr(from, see),
                    _ => {}
                }
            }
            d.step.iter().for_each(|s| each_expr_of(&s.body, see));
        }
        ItemKind::Use(_) | ItemKind::Error => {}
    }
}

/// A member, hyper-parameter or parameter of an item elsewhere.
fn part(a: &Analysis, declared: &Declared, ident: &Ident) -> String {
    let params = declared.params().iter();
    let layer = declared.layer();
    let hypers = layer.iter().flat_map(|l| &l.params);
    let param = params.chain(hypers).find(|p| p.name.span == ident.span).map(|p| p.span);
    let member = layer.iter().flat_map(|l| &l.members).find(|m| m.name.span == ident.span);
    let span = param.or(member.map(|m| m.span)).unwrap_or(ident.span);
    let mut out = code(declared.text(a, span));
    let _ = writeln!(out, "of `{}`", declared.name());
    with_docs(out, member.map_or("", |m| &m.docs))
}

fn builtin(a: &Analysis, name: &str, at: Span) -> String {
    let library = library::get();
    let mut out = String::new();
    match library.entry(name) {
        Some(entry) => {
            let _ = write!(out, "{}{}\n\n{}\n", code(&entry.signature), entry.group, entry.docs.trim_end());
        }
        None => {
            let _ = writeln!(out, "{}{}", code(name), library.builtin(name).unwrap_or(""));
        }
    }
    if let Some(result) = call_result(a, at) {
        let _ = write!(out, "\n---\nhere: `{}`{}\n", show::value(&result), size(&result));
    }
    out
}

fn builtin_argument(of: &str, name: &str) -> String {
    let signature = library::get().entry(of).map_or(String::new(), |e| e.signature.clone());
    let own = signature.split(['(', ',', ')']).map(str::trim).find(|p| p.split([':', ' ']).next() == Some(name));
    format!("{}of `{of}`\n", code(own.unwrap_or(name)))
}

fn link(a: &Analysis, seen: &Seen) -> String {
    match declared_of(a, seen) {
        Some(declared) => item_text(a, &declared),
        None => code(&show::value(seen)),
    }
}

/// The smallest expression around an offset that has a shape.
fn expression(a: &Analysis, offset: usize) -> Option<Hover> {
    let mut best: Option<Span> = None;
    each_expr_in_file(a, &mut |e| {
        if e.span.file == MAIN
            && e.span.contains(offset)
            && best.is_none_or(|b| e.span.end - e.span.start <= b.end - b.start)
            && a.shape_at(e.span.range(), HintMode::Names).is_some()
        {
            best = Some(e.span);
        }
    });
    let span = best?;
    let mut text = String::new();
    shapes(a, span.range(), "", &mut text).then_some(Hover { range: span.range(), text })
}

/// Signature and documentation of a name that needs no declaration.
pub fn documentation(name: &str) -> Option<String> {
    let library = library::get();
    match library.entry(name) {
        Some(entry) => Some(format!("{}{}", code(&entry.signature), entry.docs.trim_end())),
        None => library.builtin(name).map(str::to_string),
    }
}
