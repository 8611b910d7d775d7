//! Selections: `net.body`, `net.blocks[0:4]`, `net.*.bias`, `net.*.LayerNorm`, `A except B`. In goes what was written and
//! the bindings of the task, out comes a pattern over paths, and from it the set of variables that it names.
//!
//! A pattern is resolved once the members of its nets are made, so that sizes never matter. Every part of a selection
//! names something, or it is an error.

use super::context::{Checker, InstanceKind, Res, Scope};
use super::program::VarKind;
use super::values::{InstanceId, Value};
use crate::diag::{Diagnostic, Severity, codes, suggest};
use crate::ops::VarId;
use crate::source::Span;
use crate::syntax::ast::{Ident, Index, Selection, SelectionPart, SelectionPath};
use std::collections::{BTreeMap, BTreeSet};

/// A selection whose names are resolved as far as they are instances.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    pub include: Vec<Pattern>,
    pub except: Vec<Pattern>,
}

/// One path of a selection.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The task that the net belongs to, by index.
    pub task: usize,
    /// The path of the innermost instance that is named outright.
    pub base: String,
    rest: Vec<Segment>,
    span: Span,
}

#[derive(Clone, Debug)]
enum Segment {
    Name(Ident),
    /// Any number of names, none among them.
    Any,
    /// Links of a chain by number; negative ones count from its end.
    Range {
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    },
}

/// What a path says of the instance that stands there.
#[derive(Default)]
pub struct Tree {
    /// The layer's name.
    kinds: BTreeMap<(usize, String), String>,
    /// The names of a chain's links.
    links: BTreeMap<(usize, String), Vec<String>>,
}

impl Checker<'_> {
    /// Resolves the names of a selection.
    pub fn selected(&mut self, selection: &Selection, scope: &mut Scope) -> Res<Selected> {
        let mut all = |paths: &[SelectionPath]| {
            let found: Vec<_> = paths.iter().map(|p| self.pattern(p, scope)).collect();
            found.into_iter().collect::<Option<Vec<_>>>()
        };
        let (include, except) = (all(&selection.include), all(&selection.except));
        Some(Selected { include: include?, except: except? })
    }

    fn pattern(&mut self, path: &SelectionPath, scope: &mut Scope) -> Res<Pattern> {
        let mut parts = path.parts.iter().peekable();
        let Some(SelectionPart::Name(root)) = parts.next() else {
            return self.fail(
                Diagnostic::error(codes::SYNTAX, path.span, "a selection begins with the name of a net")
                    .help("for instance `net.*.bias`"),
            );
        };
        let file = scope.file;
        let mut value = match scope.local(&root.name) {
            Some(local) => {
                local.used = true;
                local.value.clone()
            }
            None if matches!(self.own_def(&root.name, file), Some((super::context::Def::Task, _))) => {
                let Some(SelectionPart::Name(member)) = parts.next() else {
                    return self.no_net(root, "a task", scope);
                };
                self.task_field(&root.name, member, path.span)?
            }
            None => return self.no_net(root, "", scope),
        };
        while let Value::Layer(id) = value {
            let Some(SelectionPart::Name(name)) = parts.peek() else { break };
            let Some(next) = self.child(id, &name.name) else { break };
            value = next;
            parts.next();
        }
        let (task, base) = match &value {
            Value::Layer(id) => {
                let instance = &self.instances[id.0 as usize];
                (instance.task, instance.path.clone())
            }
            Value::Var(var) => (self.vars[var.0 as usize].task, self.vars[var.0 as usize].path.clone()),
            v if v.is_silent() => return None,
            v => {
                let kind = v.kind();
                return self.no_net(root, &kind, scope);
            }
        };
        let mut rest = Vec::new();
        for part in parts {
            rest.push(match part {
                SelectionPart::Name(name) => Segment::Name(name.clone()),
                SelectionPart::Any(_) => Segment::Any,
                SelectionPart::Range(indices, span) => self.range_of(indices, *span, scope)?,
            });
        }
        Some(Pattern { task, base, rest, span: path.span })
    }

    fn no_net<T>(&mut self, root: &Ident, is: &str, scope: &Scope) -> Res<T> {
        let nets: Vec<String> =
            scope.locals.iter().filter(|l| matches!(l.value, Value::Layer(_))).map(|l| l.name.clone()).collect();
        let meant = suggest::nearest(&root.name, nets.iter().map(String::as_str)).map(str::to_string);
        let code = if is.is_empty() { codes::UNKNOWN_NAME } else { codes::WRONG_KIND };
        let what = match is {
            "" => format!("there is no net `{}` in this task", root.name),
            is => format!("`{}` is {is}, not a net", root.name),
        };
        let mut fault = Diagnostic::error(code, root.span, what).label("a selection begins with the name of a net");
        fault = match meant {
            Some(meant) if meant != root.name => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(root.span, meant)],
                false,
            ),
            _ if nets.is_empty() => fault.help("bind one in the task: `net = Net()`"),
            _ => fault.help(format!("its nets are {}", nets.join(", "))),
        };
        self.fail(fault)
    }

    /// A member of a layer that is made already, or a link of a chain.
    fn child(&self, id: InstanceId, name: &str) -> Option<Value> {
        let instance = &self.instances[id.0 as usize];
        let found = match &instance.kind {
            InstanceKind::Layer(_) => instance.members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            InstanceKind::Chain(items) | InstanceKind::List(items) => {
                items.iter().find(|(n, _, _)| n == name).map(|(_, v, _)| v)
            }
        };
        found.filter(|v| matches!(v, Value::Layer(_) | Value::Var(_))).cloned()
    }

    fn range_of(&mut self, indices: &[Index], span: Span, scope: &mut Scope) -> Res<Segment> {
        let mut number = |e: &Option<crate::syntax::ast::Expr>| match e {
            None => Some(None),
            Some(e) => {
                let value = self.eval(e, scope)?;
                Some(Some(self.whole(value, e.span)?.number()?))
            }
        };
        match indices {
            [Index::At(e)] => {
                let at = number(&Some(e.clone()))??;
                Some(Segment::Range { from: Some(at), to: (at != -1).then_some(at + 1), step: 1 })
            }
            [Index::Slice { from, to, step, .. }] => {
                let (from, to, step) = (number(from)?, number(to)?, number(step)?.unwrap_or(1));
                if step < 1 {
                    return self.fail(
                        Diagnostic::error(codes::BAD_SIZE, span, format!("a selection by steps of {step}"))
                            .label("the order of a selection does not matter")
                            .help("leave the step out"),
                    );
                }
                Some(Segment::Range { from, to, step })
            }
            _ => self.fail(
                Diagnostic::error(codes::BAD_AXIS, span, "a chain has one axis")
                    .label("links are selected by number")
                    .help("for instance `net.blocks[0:4]`"),
            ),
        }
    }

    /// The kinds and links of all instances that are placed.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        for instance in self.instances.iter().filter(|i| !i.path.is_empty() && !i.path.starts_with('\u{1}')) {
            let key = (instance.task, instance.path.clone());
            match &instance.kind {
                InstanceKind::Layer(decl) => drop(tree.kinds.insert(key, decl.name.name.clone())),
                InstanceKind::Chain(items) | InstanceKind::List(items) => {
                    tree.links.insert(key, items.iter().map(|(n, _, _)| n.clone()).collect());
                }
            }
        }
        tree
    }

    /// The parameters and states that a selection names. Each of its paths must name one.
    pub fn variables_of(&mut self, selected: &Selected) -> Res<BTreeSet<VarId>> {
        let tree = self.tree();
        let mut whole = true;
        for pattern in selected.include.iter().chain(&selected.except) {
            if !self.vars.iter().any(|v| is_learned(v.kind) && pattern.hits(&tree, v.task, &v.path)) {
                self.nothing_selected(pattern, &tree);
                whole = false;
            }
        }
        let vars = self.vars.iter().enumerate().filter(|(_, v)| is_learned(v.kind));
        let hit = vars.filter(|(_, v)| selected.covers(&tree, v.task, &v.path));
        let hit: BTreeSet<VarId> = hit.map(|(i, _)| VarId(i as u32)).collect();
        if whole && hit.is_empty() {
            let span = selected.include.first().map(|p| p.span)?;
            return self.fail(
                Diagnostic::error(codes::UNKNOWN_NAME, span, "this selection is empty")
                    .label("everything that it names is excepted")
                    .help("remove it, or what stands behind `except`"),
            );
        }
        whole.then_some(hit)
    }

    fn nothing_selected(&mut self, pattern: &Pattern, tree: &Tree) {
        // A net with a fault may lack any of its parameters.
        let settings = [codes::UNKNOWN_SETTING, codes::BAD_SETTING];
        if self.found.iter().any(|d| d.severity == Severity::Error && !settings.contains(&d.code)) {
            self.sheet.hurt = true;
            return;
        }
        // The first name at which nothing is left.
        let upto = |n: usize| Pattern { rest: pattern.rest[..n].to_vec(), ..pattern.clone() };
        let any = |p: &Pattern| self.vars.iter().any(|v| is_learned(v.kind) && p.hits(tree, v.task, &v.path));
        let failing = (0..=pattern.rest.len()).find(|n| !any(&upto(*n))).unwrap_or(pattern.rest.len());
        let mut near: Vec<String> = Vec::new();
        let prefix = format!("{}.", pattern.base);
        for var in self.vars.iter().filter(|v| v.task == pattern.task && is_learned(v.kind)) {
            near.extend(var.path.strip_prefix(&prefix).into_iter().flat_map(|p| p.split('.')).map(str::to_string));
        }
        let below = |path: &str| path == pattern.base || path.starts_with(&prefix);
        near.extend(tree.kinds.iter().filter(|((t, p), _)| *t == pattern.task && below(p)).map(|(_, k)| k.clone()));
        near.retain(|n| n.parse::<u32>().is_err());
        near.sort();
        near.dedup();
        let text = self.sources.text(pattern.span).to_string();
        let culprit = match failing.checked_sub(1).map(|i| &pattern.rest[i]) {
            Some(Segment::Name(name)) => Some(name.clone()),
            _ => None,
        };
        let at = culprit.as_ref().map_or(pattern.span, |c| c.span);
        let mut fault = Diagnostic::error(codes::UNKNOWN_NAME, at, format!("nothing is called `{text}`"))
            .label("this selects no parameter and no state");
        let meant = culprit.and_then(|c| suggest::nearest(&c.name, near.iter().map(String::as_str)));
        fault = match meant {
            Some(meant) => {
                let meant = meant.to_string();
                fault.help(format!("did you mean `{meant}`?")).fix(format!("write `{meant}`"), vec![(at, meant)], false)
            }
            None if near.is_empty() => fault.help("it has no parameters: the step does not use it"),
            None => {
                let list: Vec<&str> = near.iter().take(12).map(String::as_str).collect();
                fault.help(format!("names in `{}` are {}", pattern.base, list.join(", ")))
            }
        };
        self.report(fault);
    }

    /// The parameters that `net.*.weight` or a net as a value stands for, in the order of the program.
    pub fn parameters_of(&mut self, selected: &Selected, span: Span) -> Res<Value> {
        let chosen = self.variables_of(selected)?;
        let params: Vec<VarId> =
            chosen.into_iter().filter(|v| self.vars[v.0 as usize].kind == VarKind::Param).collect();
        Some(Value::Parameters(params.into_iter().map(|v| self.read(v, span)).collect()))
    }

    /// All of an instance, as a selection.
    pub fn whole_of(&self, id: InstanceId, span: Span) -> Selected {
        let instance = &self.instances[id.0 as usize];
        let pattern = Pattern { task: instance.task, base: instance.path.clone(), rest: Vec::new(), span };
        Selected { include: vec![pattern], except: Vec::new() }
    }
}

pub fn is_learned(kind: VarKind) -> bool {
    kind != VarKind::OptimizerState
}

impl Selected {
    /// True if the selection names what stands at this path, or something around it.
    pub fn covers(&self, tree: &Tree, task: usize, path: &str) -> bool {
        self.include.iter().any(|p| p.hits(tree, task, path)) && !self.except.iter().any(|p| p.hits(tree, task, path))
    }
}

impl Pattern {
    /// True if this names the path, or a beginning of it.
    pub fn hits(&self, tree: &Tree, task: usize, path: &str) -> bool {
        if task != self.task {
            return false;
        }
        let Some(below) = path.strip_prefix(self.base.as_str()) else { return false };
        let Some(below) = below.strip_prefix('.').or(below.is_empty().then_some("")) else { return false };
        let names: Vec<&str> = below.split('.').filter(|n| !n.is_empty()).collect();
        matches(&self.rest, &names, &self.base, tree, task, false)
    }
}

/// `at` is the path before `names`. Behind a `*` the name of a layer's kind serves as well as its own.
fn matches(rest: &[Segment], names: &[&str], at: &str, tree: &Tree, task: usize, by_kind: bool) -> bool {
    let Some((first, rest)) = rest.split_first() else { return true };
    if let Segment::Any = first {
        let mut at = at.to_string();
        for skip in 0..=names.len() {
            if matches(rest, &names[skip..], &at, tree, task, true) {
                return true;
            }
            if let Some(name) = names.get(skip) {
                at = super::layers::join(&at, name);
            }
        }
        return false;
    }
    let Some((name, names)) = names.split_first() else { return false };
    let next = super::layers::join(at, name);
    let fits = match first {
        Segment::Name(wanted) => {
            wanted.name == *name
                || by_kind && tree.kinds.get(&(task, next.clone())).is_some_and(|kind| *kind == wanted.name)
        }
        Segment::Range { from, to, step } => tree.links.get(&(task, at.to_string())).is_some_and(|links| {
            let count = links.len() as i64;
            let place = |n: i64| if n < 0 { n + count } else { n };
            let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(count)));
            let number = links.iter().position(|l| l == name).map(|n| n as i64);
            number.is_some_and(|n| n >= from && n < to && (n - from) % step == 0)
        }),
        Segment::Any => false,
    };
    fits && matches(rest, names, &next, tree, task, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    fn name(text: &str) -> Segment {
        Segment::Name(Ident { name: text.into(), span: Span::new(FileId(0), 0, 0) })
    }

    fn hits(rest: Vec<Segment>, path: &str) -> bool {
        let mut tree = Tree::default();
        tree.kinds.insert((0, "net.blocks.1.ln".into()), "LayerNorm".into());
        tree.links.insert((0, "net.blocks".into()), ["0", "1", "last"].map(String::from).to_vec());
        let pattern = Pattern { task: 0, base: "net".into(), rest, span: Span::new(FileId(0), 0, 0) };
        pattern.hits(&tree, 0, path)
    }

    #[test]
    fn a_name_stands_for_all_below_it() {
        assert!(hits(vec![], "net.fc.bias") && hits(vec![], "net"));
        assert!(!hits(vec![], "nets.fc.bias"), "a beginning of a name is another name");
        assert!(hits(vec![name("fc")], "net.fc.bias") && !hits(vec![name("fc")], "net.fc1.bias"));
    }

    #[test]
    fn a_star_stands_for_any_depth_and_behind_it_a_kind_serves() {
        assert!(hits(vec![Segment::Any, name("bias")], "net.bias"));
        assert!(hits(vec![Segment::Any, name("bias")], "net.a.b.bias"));
        assert!(!hits(vec![Segment::Any, name("bias")], "net.a.b.weight"));
        assert!(hits(vec![Segment::Any, name("LayerNorm")], "net.blocks.1.ln.weight"));
        assert!(!hits(vec![name("blocks"), name("LayerNorm")], "net.blocks.1.ln.weight"));
    }

    #[test]
    fn links_are_selected_by_number() {
        let range = |from, to, step| vec![name("blocks"), Segment::Range { from, to, step }];
        let taken = |rest: Vec<Segment>| -> Vec<&str> {
            ["0", "1", "last"].into_iter().filter(|n| hits(rest.clone(), &format!("net.blocks.{n}.w"))).collect()
        };
        assert_eq!(taken(range(Some(0), Some(2), 1)), ["0", "1"]);
        assert_eq!(taken(range(Some(-1), None, 1)), ["last"]);
        assert_eq!(taken(range(None, None, 2)), ["0", "last"]);
        assert_eq!(taken(range(None, Some(-1), 1)), ["0", "1"]);
    }
}
