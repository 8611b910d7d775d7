//! Settings for parts of a net: `AdamW(lr: 1e-3) { net.head { lr = 1e-2 }; net.*.bias { weight_decay = 0 } }`. In goes
//! an optimizer with groups, out come its hyper-parameters for each parameter.
//!
//! A setting that several groups give a parameter is that of the last of them; a setting that none gives is the
//! optimizer's own.

use super::context::{Call, Checker, Res, Scope};
use super::values::{Given, OptimizerValue, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::graph::NodeId;
use crate::ops::VarId;
use crate::source::Span;
use crate::syntax::ast::{Expr, Group, Selection};
use std::rc::Rc;

/// A group with its settings evaluated.
#[derive(Clone, Debug)]
pub struct GroupValue {
    pub selection: Selection,
    /// Named, all of them.
    pub settings: Vec<Given>,
}

impl Checker<'_> {
    /// `BASE { SELECTION { name = value } }`
    pub fn grouped(&mut self, base: &Expr, groups: &[Group], scope: &mut Scope) -> Res<Value> {
        let optimizer = match self.eval(base, scope)? {
            Value::Optimizer(o) => o,
            v if v.is_silent() => return Some(v),
            v => {
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, base.span, format!("{} has no groups", v.kind()))
                        .label("an optimizer is needed here")
                        .help("for instance `AdamW(lr: 1e-3) { net.*.bias { weight_decay = 0 } }`"),
                );
            }
        };
        let function = Value::Optimizer(optimizer.clone());
        let names: Vec<String> = optimizer.decl.params.iter().map(|p| p.name.name.clone()).collect();
        let mut made = Vec::new();
        let mut whole = true;
        for group in groups {
            let mut settings: Vec<Given> = Vec::new();
            for (name, value) in &group.settings {
                if !names.contains(&name.name) {
                    self.unknown_setting(&optimizer.decl.name.name, &name.name, name.span, &names);
                    whole = false;
                    continue;
                }
                if settings.iter().any(|s| s.name.as_deref() == Some(name.name.as_str())) {
                    self.report(
                        Diagnostic::error(codes::DUPLICATE_NAME, name.span, format!("`{}` is set twice", name.name))
                            .label("set again here")
                            .help("remove one of the two"),
                    );
                    whole = false;
                    continue;
                }
                let found = match self.takes_function(&function, usize::MAX, Some(&name.name)) {
                    true => self.eval_stage(value, scope),
                    false => self.eval(value, scope),
                };
                match found {
                    Some(found) => {
                        settings.push(Given { name: Some(name.name.clone()), value: found, span: value.span });
                    }
                    None => whole = false,
                }
            }
            if group.settings.is_empty() {
                self.report(
                    Diagnostic::error(codes::MISSING_PART, group.span, "this group sets nothing")
                        .label("no setting between the braces")
                        .help("for instance `{ weight_decay = 0 }`, or remove the group"),
                );
                whole = false;
            }
            made.push(GroupValue { selection: group.selection.clone(), settings });
        }
        if !whole {
            return None;
        }
        let all = optimizer.groups.iter().cloned().chain(made).collect();
        Some(Value::Optimizer(Rc::new(OptimizerValue { groups: all, ..OptimizerValue::clone(&optimizer) })))
    }

    fn unknown_setting(&mut self, what: &str, name: &str, span: Span, names: &[String]) {
        let fault = Diagnostic::error(codes::UNKNOWN_SETTING, span, format!("`{what}` has no setting `{name}`"))
            .label("not one of its hyper-parameters");
        let fault = match suggest::nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(span, meant.to_string())],
                false,
            ),
            None => fault.help(format!("it has {}", names.join(", "))),
        };
        self.report(fault);
    }

    /// The optimizer's hyper-parameters for each parameter: scopes, and which of them is whose.
    pub fn hypers_of(
        &mut self,
        optimizer: &OptimizerValue,
        span: Span,
        params: &[(VarId, NodeId)],
        scope: &mut Scope,
    ) -> Res<(Vec<Scope>, Vec<usize>)> {
        let mut chosen = Vec::new();
        let mut whole = true;
        for group in &optimizer.groups {
            let found = self.selected(&group.selection, scope).and_then(|s| self.variables_of(&s));
            whole &= found.is_some();
            chosen.push(found.unwrap_or_default());
        }
        if !whole {
            return None;
        }
        let decl = &optimizer.decl;
        let name = &decl.name.name;
        let mut variants: Vec<(Vec<(String, usize)>, Scope)> = Vec::new();
        let mut whose = Vec::new();
        for (var, _) in params {
            let mut key: Vec<(String, usize)> = Vec::new();
            for (number, group) in optimizer.groups.iter().enumerate().filter(|(i, _)| chosen[*i].contains(var)) {
                for setting in group.settings.iter().filter_map(|s| s.name.clone()) {
                    key.retain(|(n, _)| *n != setting);
                    key.push((setting, number));
                }
            }
            key.sort();
            if let Some(at) = variants.iter().position(|(k, _)| *k == key) {
                whose.push(at);
                continue;
            }
            let mut given: Vec<Given> = optimizer.given.clone();
            for (i, one) in given.iter_mut().enumerate() {
                one.name = one.name.take().or_else(|| decl.params.get(i).map(|p| p.name.name.clone()));
            }
            for (setting, number) in &key {
                given.retain(|g| g.name.as_ref() != Some(setting));
                let group = &optimizer.groups[*number];
                given.extend(group.settings.iter().filter(|s| s.name.as_ref() == Some(setting)).cloned());
            }
            let given = if key.is_empty() { optimizer.given.clone() } else { given };
            let mut hypers = Scope::new(decl.name.span.file);
            self.calls.push(Call { span, text: format!("`{name}`") });
            let bound = self.bind_params(name, &decl.params, given, span, &mut hypers);
            self.ask_schedules(&mut hypers, span);
            self.calls.pop();
            bound?;
            whose.push(variants.len());
            variants.push((key, hypers));
        }
        Some((variants.into_iter().map(|(_, s)| s).collect(), whose))
    }
}
