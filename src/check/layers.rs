//! Layers: instances made from recipes, their members, and their application.

use super::context::{Call, Checker, Instance, InstanceKind, Local, Res, Scope};
use super::program::{LayerRow, Var, VarKind};
use super::shapes::{Form, form};
use super::values::{Axis, Given, InstanceId, Recipe, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::graph::{NodeId, TensorType};
use crate::ops::{DType, VarId};
use crate::source::Span;
use crate::syntax::ast::{DimExpr, Expr, ExprKind, Ident, LayerDecl, Member, MemberKind, TypeExpr};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Checker<'_> {
    /// Makes an instance of a layer at a path: its hyper-parameters are fixed now, its sizes at its first use.
    pub fn make_instance(&mut self, recipe: &Recipe, path: &str, span: Span) -> Res<InstanceId> {
        if self.instances.len() >= super::context::MOST_INSTANCES {
            return self.too_large(span);
        }
        let decl = &recipe.decl;
        let mut scope = Scope::new(decl.name.span.file);
        self.calls.push(Call { span, text: decl.name.name.clone() });
        // Defaults that are functions may mention sizes that only the first use knows: they are looked up then.
        let (now, _later): (Vec<_>, Vec<_>) = decl.params.iter().cloned().partition(|p| {
            !p.ty.as_ref().is_some_and(|t| matches!(form(t), Form::Kind(k) if k.name == "fn" || k.name == "rate"))
        });
        let functions: Vec<&str> = decl
            .params
            .iter()
            .map(|p| p.name.name.as_str())
            .filter(|n| !now.iter().any(|p| p.name.name == *n))
            .collect();
        let mut with_placeholders = decl.params.clone();
        for param in &mut with_placeholders {
            if functions.contains(&param.name.name.as_str()) && param.default.is_some() {
                param.default = Some(Expr { kind: ExprKind::Name("none".into()), span: param.span });
            }
        }
        let spans: BTreeMap<String, Span> = recipe
            .given
            .iter()
            .enumerate()
            .filter_map(|(i, g)| {
                let name = g.name.clone().or_else(|| decl.params.get(i).map(|p| p.name.name.clone()))?;
                Some((name, g.span))
            })
            .collect();
        let bound = self.bind_params(&decl.name.name, &with_placeholders, recipe.given.clone(), span, &mut scope);
        self.calls.pop();
        bound?;
        let hypers = scope
            .locals
            .into_iter()
            .filter(|l| !functions.contains(&l.name.as_str()) || spans.contains_key(&l.name))
            .map(|l| Local { span: spans.get(&l.name).copied().unwrap_or(l.span), ..l })
            .collect();
        self.instances.push(Instance {
            task: self.task,
            kind: InstanceKind::Layer(decl.clone()),
            path: path.to_string(),
            span,
            dims: scope.dims,
            hypers,
            members: Vec::new(),
            applied: false,
            float: None,
        });
        Some(InstanceId(self.instances.len() as u32 - 1))
    }

    /// A layer used as a stage: only one without parameters and state may be made there.
    pub fn make_on_the_spot(&mut self, recipe: &Recipe) -> Res<InstanceId> {
        let keeps = recipe.decl.members.iter().any(|m| !matches!(m.kind, MemberKind::Bind(_)));
        let layers = recipe.decl.members.iter().any(|m| match &m.kind {
            MemberKind::Bind(e) => matches!(e.kind, ExprKind::Seq(_) | ExprKind::Repeat { .. }),
            _ => false,
        });
        let name = &recipe.decl.name.name;
        if keeps || layers {
            let lower = name.to_lowercase();
            self.meant.insert(lower.clone());
            let text = self.sources.text(recipe.span).to_string();
            let text = if text.contains('(') { text } else { format!("{text}()") };
            return self.fail(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    recipe.span,
                    format!("`{name}` has parameters, so it needs a name"),
                )
                .label("made anew here, where nothing keeps it")
                .help(format!("make it a member, `{lower} = {text}`, and apply `{lower}`")),
            );
        }
        let path = self.sheet.graph.scopes[self.scope_path as usize].clone();
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        self.make_instance(recipe, &path, recipe.span)
    }

    /// Turns what a binding was given into a member: recipes become instances at the path.
    pub fn settle(&mut self, value: Value, path: &str, span: Span) -> Res<Value> {
        match value {
            Value::Recipe(recipe) => Some(Value::Layer(self.make_instance(&recipe, path, span)?)),
            Value::Layer(id) => {
                // A chain made in this expression has no path yet.
                if self.instances[id.0 as usize].path.is_empty() {
                    self.place_chain(id, path);
                }
                Some(Value::Layer(id))
            }
            Value::List(items) if items.iter().any(holds_layers) => self.settle_list(items, path, span),
            other => Some(other),
        }
    }

    /// `[Linear(10), Linear(20)]` as a member: its items are layers of their own, named by their numbers.
    fn settle_list(&mut self, items: Vec<Value>, path: &str, span: Span) -> Res<Value> {
        let mut links = Vec::new();
        for (number, item) in items.into_iter().enumerate() {
            let name = number.to_string();
            let at = if let Value::Recipe(recipe) = &item { recipe.span } else { span };
            let item = self.settle(item, &join(path, &name), at)?;
            links.push((name, item, at));
        }
        Some(self.make_links(InstanceKind::List(links), path, span))
    }

    fn place_chain(&mut self, id: InstanceId, path: &str) {
        self.instances[id.0 as usize].path = path.to_string();
        let items = self.instances[id.0 as usize].kind.links().map(<[_]>::to_vec);
        for (name, value, _) in items.unwrap_or_default() {
            if let Value::Layer(inner) = value {
                let instance = &mut self.instances[inner.0 as usize];
                if let Some(rest) = instance.path.strip_prefix('\u{1}') {
                    debug_assert_eq!(rest, name);
                    let inner_path = format!("{path}.{name}");
                    instance.path = inner_path.clone();
                    if instance.kind.links().is_some() {
                        self.place_chain(inner, &inner_path);
                    }
                }
            }
        }
    }

    pub fn decl_of(&self, id: InstanceId) -> Option<Rc<LayerDecl>> {
        match &self.instances[id.0 as usize].kind {
            InstanceKind::Layer(decl) => Some(decl.clone()),
            InstanceKind::Chain(_) | InstanceKind::List(_) => None,
        }
    }

    /// Names of members and hyper-parameters.
    pub fn names_of(&self, id: InstanceId) -> Vec<String> {
        let Some(decl) = self.decl_of(id) else { return Vec::new() };
        let members = decl.members.iter().map(|m| m.name.name.clone());
        members.chain(decl.params.iter().map(|p| p.name.name.clone())).collect()
    }

    pub fn has_member(&self, scope: &Scope, name: &str) -> bool {
        scope.instance.is_some_and(|id| {
            scope.hidden.as_deref() != Some(name) && self.names_of(id).iter().any(|n| n == name)
                || self.decl_of(id).is_some_and(|d| d.params.iter().any(|p| p.name.name == name))
        })
    }

    /// A hyper-parameter's value.
    pub fn hyper(&mut self, id: InstanceId, name: &str) -> Option<Res<Value>> {
        let instance = &self.instances[id.0 as usize];
        if let Some(local) = instance.hypers.iter().find(|l| l.name == name) {
            // Inferred: the first use has bound it.
            if matches!(local.value, Value::None)
                && let Some(bound) = instance.dims.get(name)
            {
                return Some(Some(Value::Int(bound.size.clone(), Some(bound.why))));
            }
            if let (Value::Int(size, _), Some(bound)) = (&local.value, instance.dims.get(name)) {
                return Some(Some(Value::Int(size.clone(), Some(bound.why))));
            }
            return Some(Some(local.value.clone()));
        }
        let decl = self.decl_of(id)?;
        let param = decl.params.iter().find(|p| p.name.name == name)?;
        let default = param.default.clone()?;
        let mut scope = self.instance_scope(id, None);
        Some(self.eval_stage(&default, &mut scope))
    }

    pub fn instance_scope(&self, id: InstanceId, hidden: Option<&str>) -> Scope {
        let instance = &self.instances[id.0 as usize];
        let file = match &instance.kind {
            InstanceKind::Layer(decl) => decl.name.span.file,
            InstanceKind::Chain(_) | InstanceKind::List(_) => instance.span.file,
        };
        let mut scope = Scope::new(file);
        scope.dims = instance.dims.clone();
        scope.instance = Some(id);
        scope.hidden = hidden.map(str::to_string);
        scope
    }

    /// A member's value, made when first asked for; none if there is no such member.
    pub fn member(&mut self, id: InstanceId, name: &str, span: Span) -> Option<Res<Value>> {
        let decl = self.decl_of(id)?;
        if let Some((_, value)) = self.instances[id.0 as usize].members.iter().find(|(n, _)| n == name) {
            return Some(Some(value.clone()));
        }
        let member = decl.members.iter().find(|m| m.name.name == name)?.clone();
        let key = format!("\u{1}{}.{name}", id.0);
        if self.active.contains(&key) {
            return Some(self.recursion(name, span));
        }
        self.active.push(key);
        let value = self.make_member(id, &member);
        self.active.pop();
        let value = value.unwrap_or(Value::Poison);
        self.sight(member.name.span, &value);
        self.instances[id.0 as usize].members.push((name.to_string(), value.clone()));
        Some(Some(value))
    }

    fn make_member(&mut self, id: InstanceId, member: &Member) -> Res<Value> {
        let name = &member.name.name;
        let owner = &self.instances[id.0 as usize].path;
        let path = match member.kind {
            MemberKind::Bind(_) => join(owner, name),
            _ => var_path(owner, name),
        };
        let known = |v: &Var| v.task == self.task && v.path == path;
        if path != join(owner, name) && self.vars.iter().any(known) {
            return self.fail(
                Diagnostic::error(codes::DUPLICATE_NAME, member.span, format!("there are two variables `{path}`"))
                    .label("a member whose name begins with `_` stands behind its parameters' names")
                    .help("give the members different names: `_l0`, `_l1`"),
            );
        }
        let mut scope = self.instance_scope(id, Some(name));
        let place = self.declared_at(id, member.span);
        match &member.kind {
            MemberKind::Bind(expr) => {
                let value = self.eval(expr, &mut scope)?;
                self.settle(value, &path, member.span)
            }
            MemberKind::Param { ty, init } => {
                let Some(init) = init else {
                    return self.fail(
                        Diagnostic::error(codes::MISSING_PART, member.span, format!("`{name}` has no first value"))
                            .label("a parameter says how it starts")
                            .help("for instance `= normal(std: 0.02)` or `= 0`"),
                    );
                };
                self.make_var(VarKind::Param, ty, Some(init), &path, place, &mut scope)
            }
            MemberKind::State { ty: Some(ty), init } => {
                self.make_var(VarKind::State, ty, init.as_ref(), &path, place, &mut scope)
            }
            MemberKind::State { ty: None, .. } => self.fail(
                Diagnostic::error(codes::MISSING_PART, member.span, format!("`{name}` needs a type"))
                    .help(format!("write `state {name}: f32[…] = …`")),
            ),
            MemberKind::Error => None,
        }
    }

    fn make_var(
        &mut self,
        kind: VarKind,
        ty: &TypeExpr,
        init: Option<&Expr>,
        path: &str,
        span: Span,
        scope: &mut Scope,
    ) -> Res<Value> {
        let Form::Tensor(form) = form(ty) else {
            return self.fail(
                Diagnostic::error(codes::WRONG_KIND, ty.span, "a parameter or state is a tensor")
                    .help("write `f32[…]`"),
            );
        };
        if kind == VarKind::Param && !form.dtype.is_float() {
            return self.fail(
                Diagnostic::error(codes::DTYPE_MISMATCH, ty.span, format!("a parameter cannot be {}", form.dtype))
                    .label("gradients are floats")
                    .help("use f32, or `state` for what is not learned"),
            );
        }
        let dtype = self.float_of(form.dtype, ty.span, scope);
        // The first value runs once, before training, in a graph of its own.
        std::mem::swap(&mut self.sheet, &mut self.init);
        let before = self.enter_path(path);
        let made = self.make_var_init(form.dims, dtype, init, span, scope);
        self.scope_path = before;
        std::mem::swap(&mut self.sheet, &mut self.init);
        let Some((node, axes)) = made? else { return Some(Value::None) };
        Some(Value::Var(self.add_var(kind, path, dtype, &axes, node, span)))
    }

    /// The node of a variable's first value and its axes; none if there is to be no such variable.
    fn make_var_init(
        &mut self,
        dims: &[DimExpr],
        dtype: DType,
        init: Option<&Expr>,
        span: Span,
        scope: &mut Scope,
    ) -> Res<Option<(NodeId, Vec<Axis>)>> {
        let value = match init {
            Some(expr) => self.eval_stage(expr, scope)?,
            None => Value::Float(0.0),
        };
        if matches!(value, Value::None) {
            return Some(None);
        }
        let axes = self.axes_of(dims, scope)?;
        let at = init.map_or(span, |e| e.span);
        let ty = Ty { dtype, axes: axes.clone(), tag: None, weak: false };
        let value = match value {
            Value::Stage(stage) => {
                let shape = Value::List(axes.iter().map(|a| Value::Int(a.size.clone(), Some(a.why))).collect());
                let first = Given { name: None, value: shape, span: at };
                self.apply(Value::Stage(stage), vec![first], at)?
            }
            other => other,
        };
        let node = match value {
            Value::Tensor(node) => {
                let mut node = node;
                // Initialisers give f32, whatever float is declared.
                if self.ty(node).dtype.is_float() && dtype.is_float() && self.ty(node).dtype != dtype {
                    let ty = Ty { dtype, tag: None, weak: false, ..self.ty(node).clone() };
                    node = self.node(crate::ops::Op::Cast, vec![node], ty, at);
                }
                let is = self.ty(node).plain();
                if is.dtype == dtype && is.shape == ty.plain().shape {
                    node
                } else if is.shape.is_empty() {
                    self.stretch(node, &ty, at)?
                } else {
                    let (is, ty) = (self.ty(node).to_string(), ty.to_string());
                    return self.fail(
                        Diagnostic::error(codes::SHAPE_MISMATCH, at, format!("the first value is {is}, not {ty}"))
                            .help("the first value must have the declared type"),
                    );
                }
            }
            v if v.is_silent() => return None,
            v => {
                let scalar = self.number_node(&v, dtype, at)?;
                self.stretch(scalar, &ty, at)?
            }
        };
        Some(Some((node, axes)))
    }

    pub fn add_var(
        &mut self,
        kind: VarKind,
        path: &str,
        dtype: DType,
        axes: &[Axis],
        init: NodeId,
        span: Span,
    ) -> VarId {
        let id = VarId(self.vars.len() as u32);
        let shape = axes.iter().map(|a| a.size.clone()).collect();
        self.vars.push(Var {
            path: path.to_string(),
            kind,
            ty: TensorType::new(dtype, shape),
            init,
            span,
            task: self.task,
            source: None,
        });
        self.var_axes.push(axes.to_vec());
        self.init.current.insert(id, init);
        id
    }

    /// The user's place for a member: its declaration, or where the innermost layer around it was written.
    pub(super) fn declared_at(&self, id: InstanceId, span: Span) -> Span {
        if !self.is_builtin(span) {
            return span;
        }
        let instance = &self.instances[id.0 as usize];
        if !self.is_builtin(instance.span) {
            return instance.span;
        }
        let around = self
            .instances
            .iter()
            .filter(|i| !self.is_builtin(i.span) && !i.path.is_empty())
            .filter(|i| instance.path.strip_prefix(i.path.as_str()).is_some_and(|rest| rest.starts_with('.')))
            .max_by_key(|i| i.path.len());
        around.map_or_else(|| self.blame(span), |i| i.span)
    }

    pub fn state_member(&mut self, scope: &Scope, name: &str) -> Option<VarId> {
        let id = scope.instance?;
        let decl = self.decl_of(id)?;
        let member = decl.members.iter().find(|m| m.name.name == name)?;
        if !matches!(member.kind, MemberKind::State { .. }) {
            return None;
        }
        match self.member(id, name, member.span)? {
            Some(Value::Var(var)) => Some(var),
            _ => None,
        }
    }

    /// True of a state, or a member that could not be read, whose declaration has a fault that was reported.
    pub fn is_lost_state(&self, scope: &Scope, name: &str) -> bool {
        let Some(decl) = scope.instance.and_then(|id| self.decl_of(id)) else { return false };
        let lost = |kind: &MemberKind| matches!(kind, MemberKind::State { .. } | MemberKind::Error);
        decl.members.iter().any(|m| m.name.name == name && lost(&m.kind))
    }

    /// Assigns to a state.
    pub fn assign(&mut self, var: VarId, value: Value, span: Span) -> Res<()> {
        let wanted = self.vars[var.0 as usize].ty.clone();
        let axes = self.var_axes[var.0 as usize].clone();
        let ty = Ty { dtype: wanted.dtype, axes, tag: None, weak: false };
        let node = match self.present(value, span) {
            Value::Tensor(node) => node,
            v if v.is_silent() => return None,
            v => self.number_node(&v, wanted.dtype, span)?,
        };
        let is = self.ty(node).clone();
        let node = if is.rank() == 0 || is.weak {
            self.stretch(node, &ty, span)?
        } else if is.plain() == ty.plain() {
            node
        } else {
            let path = self.vars[var.0 as usize].path.clone();
            return self.fail(
                Diagnostic::error(codes::SHAPE_MISMATCH, span, format!("the state `{path}` is {ty}, not {is}"))
                    .label("assigned here")
                    .also(self.vars[var.0 as usize].span, "declared here")
                    .help("reduce or reshape the value, or declare the state with its type"),
            );
        };
        if self.may_move(var) {
            self.sheet.current.insert(var, node);
            self.sheet.assigned.insert(var);
        }
        Some(())
    }

    /// Applies a layer or a chain to arguments; one that is frozen is in evaluation mode.
    pub fn apply_instance(&mut self, id: InstanceId, given: Vec<Given>, span: Span) -> Res<Value> {
        let training = self.training;
        if self.forms.quiet.contains(&id) {
            self.training = Some(false);
        }
        let value = self.apply_instance_as_is(id, given, span);
        self.training = training;
        value
    }

    fn apply_instance_as_is(&mut self, id: InstanceId, given: Vec<Given>, span: Span) -> Res<Value> {
        let instance = &self.instances[id.0 as usize];
        let path = instance.path.clone();
        match &instance.kind {
            InstanceKind::Layer(decl) => {
                let decl = decl.clone();
                let name = path.rsplit('.').next().unwrap_or(&path);
                let text = if name.is_empty() || name.chars().all(|c| c.is_ascii_digit()) {
                    decl.name.name.clone()
                } else {
                    name.to_string()
                };
                if self.calls.len() > super::calls::DEPTH {
                    let made = self.instances[id.0 as usize].span;
                    return self.recursion(&decl.name.name, made);
                }
                let before = self.enter_path(&path);
                self.calls.push(Call { span, text: format!("`{text}`") });
                let value = self.apply_layer(id, &decl, &text, given, span);
                self.calls.pop();
                self.scope_path = before;
                value
            }
            InstanceKind::Chain(items) => {
                let items = items.clone();
                self.apply_chain(id, items, given, span)
            }
            InstanceKind::List(items) => {
                let (count, made) = (items.len(), self.instances[id.0 as usize].span);
                self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, "a list of layers is not applied as a whole")
                        .label(format!("which of the {count}?"))
                        .also(made, "the list")
                        .help("apply one, `heads[0](x)`, or all, `[repeat head in heads { head(x) }]`; `seq` makes a chain"),
                )
            }
        }
    }

    /// `shown` is what messages call the instance.
    fn apply_layer(
        &mut self,
        id: InstanceId,
        decl: &Rc<LayerDecl>,
        shown: &str,
        given: Vec<Given>,
        span: Span,
    ) -> Res<Value> {
        let Some(forward) = &decl.forward else {
            return if self.broken.contains(&decl.name.span) { None } else { self.no_forward(decl) };
        };
        let mut scope = self.instance_scope(id, None);
        scope.file = decl.name.span.file;
        let mut own: Vec<String> = scope.dims.keys().cloned().collect();
        let name = decl.name.name.clone();
        if self.doubtful.contains(&decl.name.span) {
            self.sheet.hurt = true;
            return Some(Value::Poison);
        }
        let errors = self.errors();
        let mut bound = self.bind_params(shown, &forward.params, given.clone(), span, &mut scope);
        if bound.is_none() && self.infer_anew(id, decl) {
            // A width that was written and is wrong was reported: from here on the one that arrives holds.
            scope = self.instance_scope(id, None);
            own = scope.dims.keys().cloned().collect();
            let said = self.found.len();
            bound = self.bind_params(shown, &forward.params, given, span, &mut scope);
            self.found.truncate(said);
            self.sheet.hurt = true;
        }
        let poison = super::calls::has_poison(&forward.params, &scope);
        if bound.is_none() || poison || self.bind_wheres(&forward.wheres, &mut scope).is_none() {
            return Some(self.declared_result(forward.result.as_ref(), &mut scope, span));
        }
        // Sizes that members mention belong to the instance from now on.
        for pinned in pinned_dims(decl) {
            if !own.contains(&pinned)
                && let Some(bound) = scope.dims.get(&pinned)
            {
                self.instances[id.0 as usize].dims.insert(pinned, bound.clone());
            }
        }
        let broken = self.broken.contains(&decl.name.span);
        if !self.instances[id.0 as usize].applied {
            self.instances[id.0 as usize].applied = true;
            if !broken {
                for member in &decl.members {
                    self.member(id, &member.name.name, member.span);
                }
            }
        }
        if broken {
            return Some(self.declared_result(forward.result.as_ref(), &mut scope, span));
        }
        let from = self.sheet.graph.nodes.len();
        let args = self.bound_args(&scope, forward.params.len());
        let row = self.rows.len();
        let path = self.instances[id.0 as usize].path.clone();
        let vars = self.instances[id.0 as usize]
            .members
            .iter()
            .filter_map(|(_, v)| if let Value::Var(var) = v { Some(*var) } else { None })
            .collect();
        self.rows.push(LayerRow {
            depth: path.matches('.').count(),
            path,
            layer: name.clone(),
            output: Vec::new(),
            vars,
            span: self.blame(self.instances[id.0 as usize].span),
        });
        let end = forward.body.stmts.last().map_or(forward.body.span, |s| s.span);
        let value = self
            .eval_block(&forward.body, &mut scope, false)
            .and_then(|v| self.match_result(v, forward.result.as_ref(), end, &name, &mut scope));
        if self.errors() == errors {
            self.warn_unused(&scope);
        }
        let Some(value) = value else {
            return Some(self.declared_result(forward.result.as_ref(), &mut scope, span));
        };
        self.note_layer(id, args, &value, from, span);
        self.rows[row].output = self.plain_types(&value);
        Some(value)
    }

    /// Forgets the sizes that could have been inferred (`in`), if the instance has not been used; false if there is none.
    fn infer_anew(&mut self, id: InstanceId, decl: &LayerDecl) -> bool {
        let instance = &mut self.instances[id.0 as usize];
        if instance.applied {
            return false;
        }
        let mut any = false;
        for hyper in &mut instance.hypers {
            let inferable = decl.params.iter().any(|p| {
                p.name.name == hyper.name
                    && p.default.as_ref().is_some_and(|d| matches!(&d.kind, ExprKind::Name(n) if n == "none"))
            });
            if inferable && matches!(hyper.value, Value::Int(..)) {
                hyper.value = Value::None;
                instance.dims.remove(&hyper.name);
                any = true;
            }
        }
        any
    }

    fn no_forward<T>(&mut self, decl: &LayerDecl) -> Res<T> {
        self.fail(
            Diagnostic::error(codes::MISSING_PART, decl.name.span, format!("`{}` has no `forward`", decl.name.name))
                .help("add `forward(x: f32[B, D]) -> f32[B, D] { … }`"),
        )
    }

    fn plain_types(&self, value: &Value) -> Vec<TensorType<crate::dims::Dim>> {
        match value {
            Value::Tensor(node) => vec![self.ty(*node).plain()],
            Value::Tuple(items) => items.iter().flat_map(|v| self.plain_types(v)).collect(),
            _ => Vec::new(),
        }
    }

    /// Warns of the user's locals that nothing used.
    pub fn warn_unused(&mut self, scope: &Scope) {
        let unused: Vec<_> = scope
            .locals
            .iter()
            .filter(|l| l.checked && !l.used && !l.value.is_silent() && !self.meant.contains(&l.name))
            .cloned()
            .collect();
        for local in unused {
            let later = scope.locals.iter().rev().find(|l| l.name == local.name).is_some_and(|l| l.used);
            if later || local.name.starts_with('_') {
                continue;
            }
            self.report(
                Diagnostic::warning(codes::UNUSED_BINDING, local.span, format!("`{}` is never used", local.name))
                    .help("remove it, or begin its name with `_`"),
            );
        }
    }

    /// `instance.name`
    pub fn member_field(&mut self, id: InstanceId, name: &Ident, span: Span) -> Res<Value> {
        if let Some(value) = self.member(id, &name.name, span) {
            return value.map(|v| self.present(v, span));
        }
        if let Some(value) = self.hyper(id, &name.name) {
            return value;
        }
        // A parameter of a member whose name stands behind: `rnn.weight_ih_l0`.
        let path = join(&self.instances[id.0 as usize].path, &name.name);
        let task = self.instances[id.0 as usize].task;
        if let Some(at) = self.vars.iter().position(|v| v.task == task && v.path == path) {
            return Some(self.present(Value::Var(VarId(at as u32)), span));
        }
        let mut names = self.names_of(id);
        if let Some(items) = self.instances[id.0 as usize].kind.links() {
            if let Some((_, value, _)) = items.iter().find(|(n, _, _)| *n == name.name) {
                return Some(value.clone());
            }
            names = items.iter().map(|(n, _, _)| n.clone()).collect();
        }
        let meant = crate::diag::suggest::nearest(&name.name, names.iter().map(String::as_str)).map(str::to_string);
        let mut fault =
            Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("there is no `{}` in this layer", name.name))
                .label("not one of its members");
        fault = match meant {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(name.span, meant)],
                false,
            ),
            None => match super::foreign::of_layers(&name.name) {
                Some(cure) => fault.help(cure),
                None => fault.help(format!("it has {}", names.join(", "))),
            },
        };
        self.fail(fault)
    }
}

/// True of what becomes a layer when a binding takes it, and of lists of such.
fn holds_layers(value: &Value) -> bool {
    match value {
        Value::Recipe(_) | Value::Layer(_) => true,
        Value::List(items) => items.iter().any(holds_layers),
        _ => false,
    }
}

pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// The path of a parameter or state of the instance at `owner`. A member whose name begins with `_` stands behind the
/// names below it, and so do the numbers of its links: `weight` of `rnn._l.0._reverse` is `rnn.weight_l0_reverse`. A plain
/// `_` adds nothing.
pub fn var_path(owner: &str, name: &str) -> String {
    let (mut path, mut behind) = (String::new(), String::new());
    for part in owner.split('.').filter(|p| !p.is_empty()) {
        let number = !behind.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        match part {
            "_" => {}
            _ if number || part.starts_with('_') => behind += part,
            _ => path = join(&path, part),
        }
    }
    join(&path, name) + &behind
}

/// Names in the sizes of parameters, states and sub-layers: bound once per instance.
fn pinned_dims(decl: &LayerDecl) -> Vec<String> {
    let mut names = Vec::new();
    for member in &decl.members {
        match &member.kind {
            MemberKind::Bind(e) => names_in(e, &mut names),
            MemberKind::Param { ty, init } => {
                names_in_type(ty, &mut names);
                if let Some(e) = init {
                    names_in(e, &mut names);
                }
            }
            MemberKind::State { ty, init } => {
                if let Some(ty) = ty {
                    names_in_type(ty, &mut names);
                }
                if let Some(e) = init {
                    names_in(e, &mut names);
                }
            }
            MemberKind::Error => {}
        }
    }
    // Hyper-parameters that are left to inference.
    names.extend(decl.params.iter().map(|p| p.name.name.clone()));
    names
}

fn names_in_type(ty: &TypeExpr, names: &mut Vec<String>) {
    if let Form::Tensor(form) = form(ty) {
        for dim in form.dims {
            if let DimExpr::Size(e) = dim {
                names_in(e, names);
            }
        }
    }
}

/// Every name in an expression.
fn names_in(expr: &Expr, names: &mut Vec<String>) {
    crate::syntax::walk::each_expr(expr, &mut |e| {
        if let ExprKind::Name(n) = &e.kind
            && !names.contains(n)
        {
            names.push(n.clone());
        }
    });
}
