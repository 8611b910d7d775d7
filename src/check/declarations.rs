//! Declarations checked on their own, with sizes known only by name: what can be said without an instance.

use super::context::{Checker, Def, ReasonKind, Scope, Sheet};
use super::program::{LayerRow, StepGraph};
use super::shapes::{Form, form};
use super::values::{Axis, Callable, Given, Recipe, Tag, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::NodeId;
use crate::ops::{self, DType, GradientRule, Op, VarId};
use crate::source::Span;
use crate::syntax::ast::{
    Block, DimExpr, Expr, ExprKind, Ident, LayerDecl, Member, MemberKind, Param, StmtKind, TypeExpr, TypeKind,
    WhereClause,
};
use crate::syntax::walk::{each_expr, each_expr_of, each_size};
use std::collections::BTreeSet;
use std::rc::Rc;

impl Checker<'_> {
    /// Checks a function or layer by itself. Gives the rows of a model's table.
    pub fn declaration(&mut self, name: &str, def: &Def) -> Vec<LayerRow> {
        let errors = self.errors();
        let said = self.found.len();
        self.blamed.clear();
        let mut rows = Vec::new();
        // What is made here is not part of any task.
        let vars = std::mem::take(&mut self.vars);
        let var_axes = std::mem::take(&mut self.var_axes);
        let instances = std::mem::take(&mut self.instances);
        let init = std::mem::take(&mut self.init);
        let mentions_training = match def {
            Def::Fn(decl) => self.sources.text(decl.body.span).contains("training"),
            Def::Layer(decl) => {
                decl.forward.as_ref().is_some_and(|f| self.sources.text(f.body.span).contains("training"))
            }
            _ => false,
        };
        self.generic = true;
        self.type_names(def);
        self.said_twice(def);
        for training in [true, false] {
            if !training && !mentions_training {
                break;
            }
            self.training = Some(training);
            self.sheet = Sheet::default();
            self.init = Sheet::default();
            self.draws.clear();
            self.scope_path = 0;
            self.vars.clear();
            self.var_axes.clear();
            self.optimizer_states.clear();
            self.instances.clear();
            self.rows.clear();
            match def {
                Def::Fn(decl) => {
                    let callable = Callable::Fn(decl.clone());
                    let mut scope = Scope::new(decl.name.span.file);
                    let given = self.stand_ins(&decl.params, &mut scope);
                    self.quietly_called(|c| c.call(&callable, given, decl.name.span));
                }
                Def::Layer(decl) => self.layer_declaration(name, decl, training, errors),
                Def::Optimizer(decl) => {
                    let given = self.hyper_stand_ins(&decl.params);
                    self.quietly_called(|c| c.optimizer_declaration(decl, given));
                }
                _ => {}
            }
            if training && matches!(def, Def::Layer(decl) if decl.is_model) && self.errors() == errors {
                let applied = std::mem::take(&mut self.sheet.applied);
                let graph = std::mem::take(&mut self.sheet.graph);
                self.drafts.push(StepGraph { graph, applied, ..StepGraph::default() });
            }
            if training {
                // A shared layer is listed where it is first applied.
                let mut seen = BTreeSet::new();
                rows = std::mem::take(&mut self.rows);
                rows.retain(|r| seen.insert(r.path.clone()));
                if let Def::Layer(decl) = def {
                    self.sight_declaration(decl);
                }
            }
        }
        self.generic = false;
        self.rows.clear();
        (self.vars, self.var_axes, self.instances, self.init) = (vars, var_axes, instances, init);
        self.sheet = Sheet::default();
        if self.errors() == errors {
            self.unused_parameters(def);
        }
        if self.errors() > errors {
            let place = match def {
                Def::Fn(decl) => decl.name.span,
                Def::Layer(decl) => decl.name.span,
                Def::Optimizer(decl) => decl.name.span,
                _ => return rows,
            };
            self.broken.insert(place);
            if self.signature_is_doubtful(name, def, said) {
                self.doubtful.insert(place);
            }
        }
        rows
    }

    /// True if a fault of the declaration (those from `said` on) has to do with the types of its signature.
    fn signature_is_doubtful(&self, name: &str, def: &Def, said: usize) -> bool {
        let (params, result) = match def {
            Def::Fn(decl) => (&decl.params, &decl.result),
            Def::Layer(decl) => match &decl.forward {
                Some(forward) => (&forward.params, &forward.result),
                None => return false,
            },
            _ => return false,
        };
        let types: Vec<Span> = params.iter().map(|p| p.span).chain(result.as_ref().map(|t| t.span)).collect();
        let of_result = format!("the result of `{name}`");
        self.found[said..].iter().any(|d| {
            let about_types = ["E03", "E04"].iter().any(|family| d.code.id.starts_with(family));
            let in_types = |s: Span| types.iter().any(|t| t.file == s.file && t.start <= s.start && s.start <= t.end);
            about_types
                && (d.headline.starts_with(&of_result)
                    || d.primary.iter().chain(&d.secondary).any(|l| in_types(l.span)))
        })
    }

    /// Names that a declaration gives to two things.
    fn said_twice(&mut self, def: &Def) {
        let names = |params: &[Param]| params.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        let members = |members: &[Member]| members.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
        let groups: Vec<Vec<Ident>> = match def {
            Def::Fn(decl) => vec![names(&decl.params)],
            Def::Layer(decl) => {
                // `bias: bool` says whether there is a parameter `bias`: one name for both, as in PyTorch.
                let switch = |m: &Member| {
                    let bool_of =
                        |p: &Param| p.ty.as_ref().is_some_and(|t| matches!(form(t), Form::Kind(k) if k.name == "bool"));
                    let named = decl.params.iter().any(|p| p.name.name == m.name.name && bool_of(p));
                    named && matches!(m.kind, MemberKind::Param { .. })
                };
                let own_members: Vec<Member> = decl.members.iter().filter(|m| !switch(m)).cloned().collect();
                let own = names(&decl.params).into_iter().chain(members(&own_members)).collect();
                vec![own, decl.forward.as_ref().map_or(Vec::new(), |f| names(&f.params))]
            }
            Def::Optimizer(decl) => vec![names(&decl.params).into_iter().chain(members(&decl.members)).collect()],
            _ => return,
        };
        groups.iter().for_each(|group| self.no_name_twice(group));
    }

    /// Warns of parameters that nothing in the declaration mentions.
    fn unused_parameters(&mut self, def: &Def) {
        let mut names = BTreeSet::new();
        let mut hole = false;
        let mut see = |e: &Expr| match &e.kind {
            ExprKind::Name(n) => drop(names.insert(n.clone())),
            ExprKind::Error | ExprKind::Missing => hole = true,
            _ => {}
        };
        let params: Vec<Param> = match def {
            Def::Fn(decl) => {
                each_expr_of(&decl.body, &mut see);
                decl.gradient.iter().for_each(|(_, block)| each_expr_of(block, &mut see));
                in_signature(&decl.params, decl.result.as_ref(), &decl.wheres, &mut see);
                hole |= has_error(&decl.body);
                decl.params.clone()
            }
            Def::Layer(decl) => {
                for member in &decl.members {
                    match &member.kind {
                        MemberKind::Bind(e) => each_expr(e, &mut see),
                        MemberKind::Param { ty, init } => {
                            in_type(ty, &mut see);
                            init.iter().for_each(|e| each_expr(e, &mut see));
                        }
                        MemberKind::State { ty, init } => {
                            ty.iter().for_each(|t| in_type(t, &mut see));
                            init.iter().for_each(|e| each_expr(e, &mut see));
                        }
                        MemberKind::Error => return,
                    }
                }
                in_signature(&decl.params, None, &[], &mut see);
                let Some(forward) = &decl.forward else { return };
                each_expr_of(&forward.body, &mut see);
                in_signature(&forward.params, forward.result.as_ref(), &forward.wheres, &mut see);
                hole |= has_error(&forward.body);
                decl.params.iter().chain(&forward.params).cloned().collect()
            }
            _ => return,
        };
        for param in params {
            let name = &param.name.name;
            if !hole && !names.contains(name) && !name.starts_with('_') && !name.is_empty() {
                self.report(
                    Diagnostic::warning(codes::UNUSED_BINDING, param.name.span, format!("`{name}` is never used"))
                        .help("remove it, or begin its name with `_`"),
                );
            }
        }
    }

    /// Reports each name that stands in a list again.
    pub fn no_name_twice(&mut self, names: &[Ident]) {
        for (i, name) in names.iter().enumerate() {
            if name.name.is_empty() || name.name == "_" {
                continue;
            }
            if let Some(before) = names[..i].iter().find(|n| n.name == name.name) {
                self.report(
                    Diagnostic::error(codes::DUPLICATE_NAME, name.span, format!("`{}` is declared twice", name.name))
                        .label("declared again here")
                        .also(before.span, "declared here")
                        .help("remove one, or give it another name"),
                );
            }
        }
    }

    /// Types whose word is no dtype, tag or kind.
    fn type_names(&mut self, def: &Def) {
        let (params, result) = match def {
            Def::Fn(decl) => (decl.params.clone(), decl.result.clone()),
            Def::Layer(decl) => {
                let forward = decl.forward.iter().flat_map(|f| f.params.clone());
                let result = decl.forward.as_ref().and_then(|f| f.result.clone());
                (decl.params.iter().cloned().chain(forward).collect(), result)
            }
            Def::Optimizer(decl) => (decl.params.clone(), None),
            _ => return,
        };
        for ty in params.iter().filter_map(|p| p.ty.as_ref()).chain(&result) {
            self.type_name(ty);
        }
    }

    fn type_name(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Named { base, dims, .. } => {
                let tensor = DType::from_name(&base.name).is_some() || Tag::from_name(&base.name).is_some();
                let kind = dims.is_none() && super::calls::KINDS.contains(&base.name.as_str());
                if !tensor && !kind && !base.name.is_empty() {
                    let _: Option<()> = self.not_a_type(&base.name, base.span, dims.is_some());
                }
            }
            TypeKind::Tuple(types) => types.iter().for_each(|t| self.type_name(t)),
            TypeKind::List(item) => self.type_name(item),
            // The others may be words, and all of them if there are several: `mean | sum | none`.
            TypeKind::Choice(options) => {
                let word = |o: &&TypeExpr| {
                    matches!(&o.kind, TypeKind::Named { base, dims: None, .. }
                        if !super::calls::KINDS.contains(&base.name.as_str()) && DType::from_name(&base.name).is_none())
                };
                if options.iter().filter(word).count() < 2 {
                    options.first().into_iter().for_each(|t| self.type_name(t));
                }
            }
            TypeKind::Error => {}
        }
    }

    fn quietly_called<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        self.calls.clear();
        self.active.clear();
        run(self)
    }

    fn layer_declaration(&mut self, name: &str, decl: &Rc<LayerDecl>, training: bool, errors: usize) {
        let mut scope = Scope::new(decl.name.span.file);
        let given = self.hyper_stand_ins(&decl.params);
        let recipe = Recipe { decl: decl.clone(), given, span: decl.name.span };
        let path = if decl.is_model { String::new() } else { name.to_string() };
        let Some(id) = self.quietly_called(|c| c.make_instance(&recipe, &path, decl.name.span)) else { return };
        let Some(forward) = &decl.forward else {
            if !self.broken.contains(&decl.name.span) {
                self.report(
                    Diagnostic::error(codes::MISSING_PART, decl.name.span, format!("`{name}` has no `forward`"))
                        .label("a layer says what it computes")
                        .help("add `forward(x: f32[B, D]) -> f32[B, D] { … }`"),
                );
            }
            return;
        };
        // Names of hyper-parameters are sizes too.
        scope.dims = self.instances[id.0 as usize].dims.clone();
        let given = self.stand_ins(&forward.params, &mut scope);
        let span = decl.name.span;
        let value = self.quietly_called(|c| c.apply_instance(id, given, span));
        if !training {
            return;
        }
        self.unused_members(decl);
        if self.errors() == errors
            && !self.sheet.hurt
            && let Some(value) = value
        {
            self.unreached_parameters(&value);
            // What an `if` leaves out here an instance may apply.
            let mut decides = false;
            each_expr_of(&forward.body, &mut |e| decides |= matches!(e.kind, ExprKind::If { .. }));
            if !decides {
                self.unapplied_items(self.task);
            }
        }
    }

    /// Members that nothing mentions.
    fn unused_members(&mut self, decl: &LayerDecl) {
        let Some(forward) = &decl.forward else { return };
        let mut mentioned: Vec<String> = Vec::new();
        let mut unread = has_error(&forward.body) || decl.members.iter().any(|m| matches!(m.kind, MemberKind::Error));
        let mut see = |e: &Expr| match &e.kind {
            ExprKind::Name(n) => mentioned.push(n.clone()),
            ExprKind::Error | ExprKind::Missing => unread = true,
            _ => {}
        };
        each_expr_of(&forward.body, &mut see);
        for param in &forward.params {
            param.default.iter().for_each(|e| each_expr(e, &mut see));
        }
        for member in &decl.members {
            match &member.kind {
                MemberKind::Bind(e) => each_expr(e, &mut see),
                MemberKind::Param { ty, init } => {
                    each_size(ty, &mut see);
                    init.iter().for_each(|e| each_expr(e, &mut see));
                }
                MemberKind::State { ty, init } => {
                    ty.iter().for_each(|t| each_size(t, &mut see));
                    init.iter().for_each(|e| each_expr(e, &mut see));
                }
                MemberKind::Error => {}
            }
        }
        // What could not be read, or is missing, may have used them.
        let body = forward.body.span;
        let missing = |d: &Diagnostic| {
            d.code == codes::MISSING_ARGUMENT
                && d.span().is_some_and(|s| s.file == body.file && body.contains(s.start as usize))
        };
        if unread || self.found.iter().any(missing) {
            return;
        }
        for member in &decl.members {
            let name = &member.name.name;
            if mentioned.contains(name) || self.meant.contains(name) || self.has_fault(member.span) {
                continue;
            }
            match &member.kind {
                // Used from outside, `net.scale`: the task that does knows whether a gradient comes back.
                MemberKind::Param { .. } if self.fields_read.contains(name) => {}
                MemberKind::Param { .. } => self.no_gradient(&member.name.name.clone(), member.span, None),
                MemberKind::Bind(_) => {
                    let name = member.name.name.clone();
                    self.report(
                        Diagnostic::error(
                            codes::UNUSED,
                            member.name.span,
                            format!("`{name}` is never used in `forward`"),
                        )
                        .label("its parameters would get no gradient")
                        .help(format!("apply it, `x |> {name}`, or remove it")),
                    );
                }
                MemberKind::State { .. } | MemberKind::Error => {}
            }
        }
    }

    fn has_fault(&self, span: Span) -> bool {
        self.found.iter().filter_map(|d| d.span()).any(|s| s.file == span.file && span.contains(s.start as usize))
    }

    /// Parameters from which no gradient leads to the result.
    fn unreached_parameters(&mut self, value: &Value) {
        let mut outputs = Vec::new();
        float_outputs(value, self, &mut outputs);
        if outputs.is_empty() {
            return;
        }
        let reached = self.reached(&outputs);
        let lost: Vec<(String, Span, NodeId)> = self
            .sheet
            .graph
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(i, node)| {
                let Op::Read(VarId(v)) = node.op else { return None };
                let (id, var) = (NodeId(i as u32), &self.vars[v as usize]);
                let learned = var.kind == super::program::VarKind::Param;
                (learned && !reached.contains(&id)).then(|| (var.path.clone(), var.span, id))
            })
            .collect();
        for (path, span, id) in lost {
            let blocked = self.blocker(id);
            self.no_gradient(&path, span, blocked);
        }
    }

    /// The first operation on the way from a node that lets no gradient through.
    pub fn blocker(&self, from: NodeId) -> Option<(Span, String)> {
        let mut tainted = vec![false; self.sheet.graph.nodes.len()];
        tainted[from.index()] = true;
        for (i, node) in self.sheet.graph.nodes.iter().enumerate() {
            if !node.inputs.iter().any(|n| tainted[n.index()]) {
                continue;
            }
            let def = ops::def_of(&node.op);
            if let GradientRule::None(why) = &def.gradient {
                return Some((node.origin.span, format!("`{}` stops it: {why}", def.name)));
            }
            if !node.ty.dtype.is_float() {
                return Some((node.origin.span, "no gradient passes through whole numbers".into()));
            }
            tainted[i] = true;
        }
        None
    }

    /// Arguments that stand for any: tensors of the declared types, sizes by name.
    fn stand_ins(&mut self, params: &[Param], scope: &mut Scope) -> Vec<Given> {
        let mut given = Vec::new();
        for param in params {
            let value = self.stand_in(param, scope);
            if let Value::Int(size, _) = &value {
                let why = self.reason(param.span, size, ReasonKind::Written, Vec::new());
                scope.dims.insert(param.name.name.clone(), super::context::Bound { size: size.clone(), why });
            }
            // What is unknown keeps its default: the usual case is checked.
            if matches!(value, Value::None) && param.default.is_some() {
                continue;
            }
            given.push(Given { name: Some(param.name.name.clone()), value, span: param.span });
        }
        given
    }

    fn hyper_stand_ins(&mut self, params: &[Param]) -> Vec<Given> {
        let mut given = Vec::new();
        for param in params.iter().filter(|p| p.default.is_none()) {
            let mut scope = Scope::new(param.span.file);
            let value = self.stand_in(param, &mut scope);
            given.push(Given { name: Some(param.name.name.clone()), value, span: param.span });
        }
        given
    }

    fn stand_in(&mut self, param: &Param, scope: &mut Scope) -> Value {
        let Some(ty) = &param.ty else { return Value::Unknown };
        match form(ty) {
            Form::Tensor(tensor) if !matches!(ty.kind, TypeKind::Choice(_)) => {
                if param.default.is_some() {
                    return Value::None;
                }
                let mut axes = Vec::new();
                for dim in tensor.dims {
                    match dim {
                        DimExpr::Rest(name, span) => {
                            let text = name.as_ref().map_or("..".to_string(), |n| format!("..{}", n.name));
                            let known = name.as_ref().and_then(|n| scope.rests.get(&n.name).cloned());
                            let rest = known.unwrap_or_else(|| {
                                let size = Dim::from(self.fresh(&text));
                                vec![self.written(*span, size)]
                            });
                            if let Some(name) = name {
                                scope.rests.insert(name.name.clone(), rest.clone());
                            }
                            axes.extend(rest);
                        }
                        DimExpr::Size(expr) => {
                            let mut open = Vec::new();
                            let Some(size) = self.dim_of(expr, scope, &mut open) else { return Value::Poison };
                            for (name, sym) in open {
                                let own = Dim::from(sym);
                                let why = self.reason(expr.span, &own, ReasonKind::Written, Vec::new());
                                scope.dims.insert(name, super::context::Bound { size: own, why });
                            }
                            axes.push(Axis { why: self.reason(expr.span, &size, ReasonKind::Written, vec![]), size });
                        }
                    }
                }
                let ty = Ty { dtype: tensor.dtype, axes, tag: tensor.tag, weak: false };
                let number = self.sheet.graph.nodes.len() as u32;
                Value::Tensor(self.node(Op::Field(number), Vec::new(), ty, param.span))
            }
            Form::Kind(kind) => match kind.name.as_str() {
                _ if param.default.is_some() => Value::None,
                "int" => Value::Int(Dim::from(self.fresh(&param.name.name)), None),
                "float" | "rate" | "duration" => Value::UnknownNumber,
                "clock" => Value::Clock,
                _ => Value::Unknown,
            },
            _ if param.default.is_some() => Value::None,
            _ => Value::Unknown,
        }
    }
}

fn float_outputs(value: &Value, checker: &Checker, out: &mut Vec<NodeId>) {
    match value {
        Value::Tensor(node) if checker.ty(*node).dtype.is_float() => out.push(*node),
        Value::Tuple(items) => items.iter().for_each(|v| float_outputs(v, checker, out)),
        _ => {}
    }
}

/// True if a statement of the block could not be read.
fn has_error(block: &Block) -> bool {
    block.stmts.iter().any(|s| matches!(s.kind, StmtKind::Error))
}

/// The expressions in the types, defaults and bounds of a signature.
fn in_signature(params: &[Param], result: Option<&TypeExpr>, wheres: &[WhereClause], see: &mut dyn FnMut(&Expr)) {
    for param in params {
        param.ty.iter().for_each(|t| in_type(t, see));
        param.default.iter().for_each(|e| each_expr(e, see));
    }
    result.into_iter().for_each(|t| in_type(t, see));
    for clause in wheres {
        each_expr(&clause.left, see);
        each_expr(&clause.right, see);
    }
}

fn in_type(ty: &TypeExpr, see: &mut dyn FnMut(&Expr)) {
    match &ty.kind {
        TypeKind::Named { dims, .. } => {
            for dim in dims.iter().flatten() {
                if let DimExpr::Size(e) = dim {
                    each_expr(e, see);
                }
            }
        }
        TypeKind::Tuple(types) | TypeKind::Choice(types) => types.iter().for_each(|t| in_type(t, see)),
        TypeKind::List(item) => in_type(item, see),
        TypeKind::Error => {}
    }
}
