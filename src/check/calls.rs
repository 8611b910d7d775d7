//! Calls: arguments to parameters, functions entered.

use super::context::{Bound, Call, Checker, ReasonKind, Res, Scope};
use super::shapes::{Form, Place, form};
use super::values::{Callable, Given, Ty, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::{ArgKind, Op};
use crate::source::Span;
use crate::syntax::ast::{DimExpr, Expr, ExprKind, FnDecl, Param, TypeExpr, TypeKind};
use std::rc::Rc;

/// How many functions and layers may be inside one another before it must be an endless recursion.
pub const DEPTH: usize = 50;

/// What a parameter can be beside a tensor.
pub const KINDS: &[&str] =
    &["int", "float", "bool", "string", "fn", "layer", "clock", "rate", "duration", "parameters", "none"];

impl Checker<'_> {
    /// Calls a function with evaluated arguments.
    pub fn call(&mut self, callable: &Callable, given: Vec<Given>, span: Span) -> Res<Value> {
        if let Some(result) = self.call_with_parameters(callable, &given, span) {
            return result;
        }
        match callable {
            Callable::Fn(decl) => self.call_fn(&decl.clone(), given, span),
            Callable::Surface(surface) => self.call_surface(surface, given, span),
            Callable::Special(name) => self.call_special(name, given, span),
        }
    }

    /// Applies what stands behind `|>`, in a `seq`, or was passed as a function.
    pub fn apply(&mut self, function: Value, first: Vec<Given>, span: Span) -> Res<Value> {
        match function {
            Value::Stage(stage) => {
                let mut given = first;
                given.extend(stage.given.clone());
                self.call(&stage.callable, given, span)
            }
            Value::Layer(id) => self.apply_instance(id, first, span),
            Value::Partial(id, rest) => {
                let mut given = first;
                given.extend(rest.iter().cloned());
                self.apply_instance(id, given, span)
            }
            Value::Recipe(recipe) => {
                let id = self.make_on_the_spot(&recipe)?;
                self.apply_instance(id, first, span)
            }
            Value::DType(dtype) => match first.into_iter().next() {
                Some(one) => self.cast(one.value, dtype, span),
                None => None,
            },
            // A number serves as a constant function.
            Value::Float(_) | Value::Int(..) | Value::UnknownNumber => Some(function),
            v if v.is_silent() => Some(Value::Poison),
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, format!("{} is not a function", v.kind()))
                    .label("a function or a layer is needed here")
                    .help("`x |> f` is `f(x)`"),
            ),
        }
    }

    fn call_fn(&mut self, decl: &Rc<FnDecl>, given: Vec<Given>, span: Span) -> Res<Value> {
        let name = decl.name.name.clone();
        let key = self.names.key(decl.name.span.file, &name);
        if self.active.contains(&key) || self.calls.len() > DEPTH {
            return self.recursion(&name, span);
        }
        self.active.push(key);
        self.calls.push(Call { span, text: name.clone() });
        let value = self.call_fn_body(decl, given, span);
        self.calls.pop();
        self.active.pop();
        value
    }

    fn call_fn_body(&mut self, decl: &Rc<FnDecl>, given: Vec<Given>, span: Span) -> Res<Value> {
        let mut scope = Scope::new(decl.name.span.file);
        let from = self.sheet.graph.nodes.len();
        if self.doubtful.contains(&decl.name.span) {
            self.sheet.hurt = true;
            return Some(Value::Poison);
        }
        let errors = self.errors();
        let bound = self.bind_params(&decl.name.name, &decl.params, given, span, &mut scope);
        let broken = self.broken.contains(&decl.name.span) || has_poison(&decl.params, &scope);
        // Which parameters a selection has is seen later.
        if self.forms.survey && broken && !scope.locals.iter().any(|l| matches!(l.value, Value::Poison)) {
            return Some(Value::Unknown);
        }
        if bound.is_none() || broken || self.bind_wheres(&decl.wheres, &mut scope).is_none() {
            return Some(self.declared_result(decl.result.as_ref(), &mut scope, span));
        }
        let args = self.bound_args(&scope, decl.params.len());
        let arguments = decl.gradient.as_ref().map(|_| scope.clone());
        let end = decl.body.stmts.last().map_or(decl.body.span, |s| s.span);
        let value = self
            .eval_block(&decl.body, &mut scope, false)
            .and_then(|v| self.match_result(v, decl.result.as_ref(), end, &decl.name.name, &mut scope));
        let value = match (value, &arguments) {
            (Some(value), Some(arguments)) => self.with_gradient(decl, value, arguments, &mut scope, span),
            (value, _) => value,
        };
        if self.errors() == errors {
            self.warn_unused(&scope);
        }
        if let Some(value) = &value {
            self.note_call(decl, args, value, from, span);
        }
        Some(value.unwrap_or_else(|| self.declared_result(decl.result.as_ref(), &mut scope, span)))
    }

    /// What stands for the result of something that has a fault: a value of the declared type if its sizes are known, so
    /// that the fault stays where it is and what comes after is still checked.
    pub fn declared_result(&mut self, declared: Option<&TypeExpr>, scope: &mut Scope, span: Span) -> Value {
        self.sheet.hurt = true;
        let Some(declared) = declared else { return Value::Poison };
        if let TypeKind::Tuple(types) = &declared.kind {
            return Value::Tuple(types.iter().map(|t| self.declared_result(Some(t), scope, span)).collect());
        }
        let Form::Tensor(form) = form(declared) else { return Value::Poison };
        let said = self.found.len();
        let axes = self.axes_of(form.dims, scope);
        self.found.truncate(said);
        let Some(axes) = axes else { return Value::Poison };
        let ty = Ty { dtype: form.dtype, axes, tag: form.tag, weak: false };
        Value::Tensor(self.node(Op::Field(u32::MAX), Vec::new(), ty, span))
    }

    /// Gives each declared parameter its argument, in `scope`; `what` is the function's or layer's name.
    pub fn bind_params(
        &mut self,
        what: &str,
        params: &[Param],
        given: Vec<Given>,
        span: Span,
        scope: &mut Scope,
    ) -> Res<()> {
        let names: Vec<&str> = params.iter().map(|p| p.name.name.as_str()).collect();
        let required: Vec<bool> = params.iter().map(|p| p.default.is_none()).collect();
        let form = self.signature(params);
        let placed = self.place(what, &names, &required, &form, given, span);
        let mut whole = Some(());
        for (param, given) in params.iter().zip(placed) {
            let (value, at) = match given {
                Some(given) => (given.value, given.span),
                None => match &param.default {
                    Some(default) => {
                        let value = if let Some(word) = listed_word(param, default) {
                            Some(Value::Str(word))
                        } else if param_takes_function(param) {
                            self.eval_stage(default, scope)
                        } else {
                            self.eval(default, scope)
                        };
                        (value.unwrap_or(Value::Poison), default.span)
                    }
                    None => (Value::Poison, span),
                },
            };
            let value = self.present(value, at);
            let literal = matches!(value, Value::Int(..) | Value::Float(_) | Value::Bool(_)).then(|| value.clone());
            let text = format!("argument `{}` of `{what}`", param.name.name);
            let place = Place { span: at, what: &text };
            let value = match &param.ty {
                Some(ty) => self.fit(value, ty, place, scope),
                None => Some(value),
            };
            if value.is_none() {
                whole = None;
            }
            let value = value.unwrap_or(Value::Poison);
            if let Value::Int(size, why) = &value {
                let why = match why {
                    Some(why) if self.is_builtin(at) => *why,
                    _ => self.reason(at, size, ReasonKind::Written, Vec::new()),
                };
                scope.dims.insert(param.name.name.clone(), Bound { size: size.clone(), why });
            }
            if let (Value::Tensor(node), Some(ty)) = (&value, &param.ty) {
                scope.axis_names.push((*node, axis_names(ty, self.ty(*node).rank())));
            }
            self.sight(param.name.span, &value);
            scope.bind(&param.name.name, value, param.name.span);
            if whole.is_some() && literal.is_some() && self.unbound(param, scope) {
                let text = format!("argument `{}` of `{what}`", param.name.name);
                let wanted = param.ty.as_ref().map_or(String::new(), |t| self.sources.text(t.span).to_string());
                let value = literal.unwrap_or(Value::Poison);
                whole = self.wrong_kind(value, &format!("a tensor {wanted}"), Place { span: at, what: &text });
            }
        }
        whole
    }

    /// True if nothing so far has bound a dim that the parameter's type names.
    fn unbound(&self, param: &Param, scope: &Scope) -> bool {
        let Some(Form::Tensor(form)) = param.ty.as_ref().map(form) else { return false };
        let known = |n: &String| scope.dims.contains_key(n) || scope.locals.iter().any(|l| l.name == *n);
        form.dims.iter().any(|d| match d {
            DimExpr::Size(Expr { kind: ExprKind::Name(n), .. }) => !known(n) && !self.has_member(scope, n),
            _ => false,
        }) && param.default.is_none()
    }

    /// Sorts arguments to their parameters; reports those that fit nowhere and those that are missing, and goes on as if
    /// they had been meant right. `form` is how the parameters are declared, for the help.
    pub fn place(
        &mut self,
        what: &str,
        names: &[&str],
        required: &[bool],
        form: &str,
        given: Vec<Given>,
        span: Span,
    ) -> Vec<Option<Given>> {
        let mut placed: Vec<Option<Given>> = vec![None; names.len()];
        let mut position = 0;
        let mut lost = false;
        let mut extra = None;
        // An argument that was reported already stands at no place.
        let mut unnamed = false;
        let mut renamed = Vec::new();
        for one in given {
            let index = match &one.name {
                Some(name) => match names.iter().position(|n| n == name) {
                    Some(i) => i,
                    None => {
                        match self.unknown_argument(what, name, names, one.span) {
                            Some(meant) => renamed.push((meant, one)),
                            None => lost = true,
                        }
                        continue;
                    }
                },
                None => {
                    // Positional arguments fill the parameters that are still free, in order.
                    while position < placed.len() && placed[position].is_some() {
                        position += 1;
                    }
                    position
                }
            };
            if index >= names.len() {
                extra = extra.or(Some(one.span));
                unnamed |= matches!(one.value, Value::Poison);
            } else if placed[index].is_some() {
                lost = true;
                self.report(
                    Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        one.span,
                        format!("argument `{}` of `{what}` is given twice", names[index]),
                    )
                    .label("given again here")
                    .also(placed[index].as_ref().map_or(span, |g| g.span), "given here")
                    .help("keep one of them"),
                );
            } else {
                placed[index] = Some(one);
            }
        }
        if let Some(span) = extra {
            if !unnamed {
                self.too_many(what, names, span);
            }
            lost = true;
            // Which of the others stand at their places is not known either.
            placed.iter_mut().flatten().filter(|g| g.name.is_none()).for_each(|g| g.value = Value::Poison);
        }
        for (meant, one) in renamed {
            match &mut placed[meant] {
                free @ None => *free = Some(one),
                Some(_) => lost = true,
            }
        }
        let missing: Vec<usize> = (0..names.len()).filter(|&i| placed[i].is_none() && required[i]).collect();
        if !missing.is_empty() && !lost {
            let list = missing.iter().map(|&m| format!("`{}`", names[m])).collect::<Vec<_>>().join(", ");
            self.report(
                Diagnostic::error(codes::MISSING_ARGUMENT, span, format!("`{what}` needs {list}"))
                    .label("not given here")
                    .help(format!("it is declared as `{what}({form})`")),
            );
        }
        if !missing.is_empty() {
            // Which of the others stand at their places is not known.
            placed.iter_mut().flatten().filter(|g| g.name.is_none()).for_each(|g| g.value = Value::Poison);
        }
        for i in missing {
            self.sheet.hurt = true;
            placed[i] = Some(Given { name: None, value: Value::Poison, span });
        }
        placed
    }

    fn too_many(&mut self, what: &str, names: &[&str], span: Span) {
        let count = names.len();
        let takes = match count {
            0 => "no arguments".to_string(),
            1 => "1 argument".to_string(),
            n => format!("{n} arguments"),
        };
        let help = match count {
            0 => format!("write `{what}()`"),
            1 => format!("it is `{}`", names[0]),
            _ => format!("they are {}", names.join(", ")),
        };
        self.report(
            Diagnostic::error(codes::UNKNOWN_ARGUMENT, span, format!("`{what}` takes {takes}"))
                .label("this one is too many")
                .help(help),
        );
    }

    /// `out: int, in: int = none`
    fn signature(&self, params: &[Param]) -> String {
        params.iter().map(|p| self.sources.text(p.span)).collect::<Vec<_>>().join(", ")
    }

    /// Reports a name that no parameter has; gives the parameter that was probably meant.
    fn unknown_argument(&mut self, what: &str, name: &str, names: &[&str], value_span: Span) -> Option<usize> {
        let other = other_argument(name, names);
        let meant = other.or_else(|| suggest::nearest(name, names.iter().copied()));
        let start = (value_span.start as usize).saturating_sub(name.len() + 2);
        // The name stands right before its value.
        let text = &self.sources.file(value_span.file).text;
        let from = text.get(..value_span.start as usize).and_then(|t| t.rfind(name)).unwrap_or(start);
        let span = Span::new(value_span.file, from, from + name.len());
        let mut fault = Diagnostic::error(codes::UNKNOWN_ARGUMENT, span, format!("`{what}` has no argument `{name}`"))
            .label("not one of its arguments");
        match meant {
            Some(meant) => {
                fault = fault.help(format!("did you mean `{meant}`?")).fix(
                    format!("write `{meant}`"),
                    vec![(span, meant.to_string())],
                    other.is_some() || name.eq_ignore_ascii_case(meant),
                );
            }
            None if names.is_empty() => fault = fault.help(format!("`{what}` takes none")),
            None => fault = fault.help(format!("it has {}", names.join(", "))),
        }
        self.report(fault);
        names.iter().position(|n| Some(*n) == meant)
    }

    /// True if an argument at this place is a function, so that a call in it leaves out its first argument.
    pub fn takes_function(&self, function: &Value, position: usize, name: Option<&str>) -> bool {
        self.param_of(function, position, name).is_some_and(|p| param_takes_function(&p))
    }

    fn param_of(&self, function: &Value, position: usize, name: Option<&str>) -> Option<Param> {
        let params: &[Param] = match function {
            Value::Stage(stage) => match &stage.callable {
                Callable::Fn(decl) => &decl.params,
                _ => return None,
            },
            Value::Recipe(recipe) => &recipe.decl.params,
            Value::Optimizer(o) => &o.decl.params,
            Value::Layer(id) => match &self.instances[id.0 as usize].kind {
                super::context::InstanceKind::Layer(decl) => &decl.forward.as_ref()?.params,
                _ => return None,
            },
            _ => return None,
        };
        match name {
            Some(name) => params.iter().find(|p| p.name.name == name).cloned(),
            None => params.get(position).cloned(),
        }
    }

    /// The parameter that a named argument is meant for, by its name.
    pub fn meant_parameter<'n>(&self, function: &Value, name: &'n str) -> &'n str {
        let Some(ours) = super::foreign::other_argument(name) else { return name };
        let known = |name: &str| self.param_of(function, 0, Some(name)).is_some();
        if !known(name) && known(ours) { ours } else { name }
    }

    /// `same` in `padding: same`: a word that the parameter lists.
    pub fn word(
        &self,
        function: &Value,
        position: usize,
        name: Option<&str>,
        value: &crate::syntax::ast::Expr,
    ) -> Option<String> {
        let crate::syntax::ast::ExprKind::Name(word) = &value.kind else { return None };
        if let Value::Stage(stage) = function
            && let Callable::Surface(surface) = &stage.callable
        {
            let spec = match name {
                Some(name) => surface.params.iter().find(|p| p.name == name)?,
                None => surface.params.get(position)?,
            };
            return match spec.kind {
                ArgKind::Words(words) => words.contains(&word.as_str()).then(|| word.clone()),
                _ => None,
            };
        }
        if let Value::Stage(stage) = function
            && let Callable::Special(special) = &stage.callable
        {
            let place = match name {
                Some(name) => super::moves::params(special)?.iter().position(|p| p.0 == name)?,
                None => position,
            };
            return super::moves::words(special, place).contains(&word.as_str()).then(|| word.clone());
        }
        listed_word(&self.param_of(function, position, name)?, value)
    }
}

/// True if a tensor that the body needs is not known: the body has nothing to say about it.
pub fn has_poison(params: &[Param], scope: &Scope) -> bool {
    params.iter().any(|p| {
        let tensor = p.ty.as_ref().is_some_and(|t| matches!(form(t), Form::Tensor(_)));
        tensor && scope.locals.iter().any(|l| l.name == p.name.name && l.value.is_silent())
    })
}

/// `same` in `padding: same`: a word that the parameter's type lists.
fn listed_word(param: &Param, value: &crate::syntax::ast::Expr) -> Option<String> {
    let crate::syntax::ast::ExprKind::Name(word) = &value.kind else { return None };
    let TypeKind::Choice(options) = &param.ty.as_ref()?.kind else { return None };
    let listed = |o: &TypeExpr| matches!(&o.kind, TypeKind::Named { base, dims: None, .. } if base.name == *word && word != "none");
    options.iter().any(listed).then(|| word.clone())
}

/// What a written type calls each of `rank` axes, where it has a name for it.
fn axis_names(ty: &TypeExpr, rank: usize) -> Vec<Option<String>> {
    let TypeKind::Named { dims: Some(dims), .. } = &ty.kind else { return Vec::new() };
    let rest = (rank + 1).saturating_sub(dims.len());
    let mut names = Vec::new();
    for dim in dims {
        match dim {
            DimExpr::Rest(..) => names.extend(std::iter::repeat_n(None, rest)),
            DimExpr::Size(Expr { kind: ExprKind::Name(name), .. }) => names.push(Some(name.clone())),
            DimExpr::Size(_) => names.push(None),
        }
    }
    names
}

fn param_takes_function(param: &Param) -> bool {
    let Some(ty) = &param.ty else { return false };
    match form(ty) {
        Form::Kind(kind) => matches!(kind.name.as_str(), "fn" | "rate"),
        _ => false,
    }
}

/// Our name for an argument of another library's, if the function has it.
fn other_argument<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let ours = super::foreign::other_argument(name)?;
    names.iter().copied().find(|n| *n == ours)
}
