//! Nets of other tasks: `pretrain.net` seen from a task that trains is a copy of its own, with the same values at the
//! start; and `load`, which takes first values from a file. In go instances and selections, out come variables that say
//! where their first values come from.

use super::context::{Checker, Def, Instance, InstanceKind, Link, Local, Res, Scope};
use super::program::{Load, Var};
use super::values::{InstanceId, Value};
use crate::diag::{Diagnostic, codes};
use crate::ops::VarId;
use crate::source::Span;
use crate::syntax::ast::{Expr, Selection};
use std::collections::BTreeSet;

impl Checker<'_> {
    /// The copy that this task has of another task's net. Its paths begin with that task's name until a binding gives
    /// it another one.
    pub fn own_copy(&mut self, id: InstanceId, of: &str) -> InstanceId {
        if let Some(&known) = self.forms.copies.get(&(self.task, id)) {
            return known;
        }
        let source = &self.instances[id.0 as usize];
        let (path, span, applied) = (format!("{of}.{}", source.path), source.span, source.applied);
        let float = source.float;
        let (dims, hypers, members) = (source.dims.clone(), source.hypers.clone(), source.members.clone());
        let kind = match &source.kind {
            InstanceKind::Layer(decl) => InstanceKind::Layer(decl.clone()),
            InstanceKind::Chain(items) => InstanceKind::Chain(items.clone()),
            InstanceKind::List(items) => InstanceKind::List(items.clone()),
        };
        let copy = InstanceId(self.instances.len() as u32);
        self.forms.copies.insert((self.task, id), copy);
        self.instances.push(Instance {
            kind: InstanceKind::Chain(Vec::new()),
            task: self.task,
            path,
            span,
            dims,
            hypers: Vec::new(),
            members: Vec::new(),
            applied,
            float,
        });
        let hypers = hypers.into_iter().map(|l| Local { value: self.copied(l.value.clone(), of), ..l }).collect();
        let members = members.into_iter().map(|(n, v)| (n, self.copied(v, of))).collect();
        let kind = match kind {
            InstanceKind::Chain(items) => InstanceKind::Chain(self.copied_links(items, of)),
            InstanceKind::List(items) => InstanceKind::List(self.copied_links(items, of)),
            layer => layer,
        };
        let made = &mut self.instances[copy.0 as usize];
        (made.kind, made.hypers, made.members) = (kind, hypers, members);
        copy
    }

    fn copied_links(&mut self, items: Vec<Link>, of: &str) -> Vec<Link> {
        items.into_iter().map(|(n, v, s)| (n, self.copied(v, of), s)).collect()
    }

    /// A value of another task, with copies of the nets in it.
    pub fn copied(&mut self, value: Value, of: &str) -> Value {
        match value {
            Value::Layer(id) => Value::Layer(self.own_copy(id, of)),
            Value::Partial(id, given) => Value::Partial(self.own_copy(id, of), given),
            Value::Var(var) => Value::Var(self.copied_var(var, of)),
            Value::List(items) => Value::List(items.into_iter().map(|v| self.copied(v, of)).collect()),
            Value::Tuple(items) => Value::Tuple(items.into_iter().map(|v| self.copied(v, of)).collect()),
            other => other,
        }
    }

    fn copied_var(&mut self, source: VarId, of: &str) -> VarId {
        if let Some(i) = self.vars.iter().position(|v| v.task == self.task && v.source == Some(source)) {
            return VarId(i as u32);
        }
        let is = self.vars[source.0 as usize].clone();
        let axes = self.var_axes[source.0 as usize].clone();
        let id = VarId(self.vars.len() as u32);
        self.vars.push(Var { path: format!("{of}.{}", is.path), task: self.task, source: Some(source), ..is.clone() });
        self.var_axes.push(axes);
        self.init.current.insert(id, is.init);
        id
    }

    /// A binding names a copy: its paths begin with the binding's name.
    pub fn name_copy(&mut self, value: &Value, name: &str) {
        let Value::Layer(id) = value else { return };
        let instance = &self.instances[id.0 as usize];
        let root = instance.path.split('.').next().unwrap_or_default();
        if instance.task != self.task || !matches!(self.defs.get(root), Some((Def::Task, _))) {
            return;
        }
        let old = instance.path.clone();
        let renamed = |path: &str| {
            let rest = path.strip_prefix(old.as_str()).filter(|r| r.is_empty() || r.starts_with('.'))?;
            Some(format!("{name}{rest}"))
        };
        for instance in self.instances.iter_mut().filter(|i| i.task == self.task) {
            if let Some(path) = renamed(&instance.path) {
                instance.path = path;
            }
        }
        for var in self.vars.iter_mut().filter(|v| v.task == self.task) {
            if let Some(path) = renamed(&var.path) {
                var.path = path;
            }
        }
    }

    /// `load SELECTION from "file"`, once all members are made.
    pub fn load(&mut self, selection: &Selection, from: &Expr, span: Span, scope: &mut Scope) -> Res<Load> {
        let file = match self.eval(from, scope)? {
            Value::Str(file) => file,
            v if v.is_silent() => return None,
            v => {
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, from.span, format!("{} is not a file's name", v.kind()))
                        .label("a string is needed here")
                        .help("for instance `load net from \"weights.safetensors\"`"),
                );
            }
        };
        let selected = self.selected(selection, scope)?;
        let chosen = self.variables_of(&selected)?;
        let tree = self.tree();
        let mut seen: BTreeSet<VarId> = BTreeSet::new();
        let mut parts: Vec<(String, Vec<VarId>)> = Vec::new();
        for pattern in &selected.include {
            let hit = |v: &VarId| {
                let var = &self.vars[v.0 as usize];
                pattern.hits(&tree, var.task, &var.path)
            };
            let vars: Vec<VarId> = chosen.iter().copied().filter(|v| hit(v) && !seen.contains(v)).collect();
            seen.extend(&vars);
            parts.push((pattern.base.clone(), vars));
        }
        Some(Load { file, span, parts })
    }
}
