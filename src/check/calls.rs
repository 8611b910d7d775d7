//! Calls: arguments to parameters, functions entered, results compared with what they declare.

use super::context::{Bound, Call, Checker, ReasonKind, Res, Scope};
use super::program::Demand;
use super::shapes::{Form, Place, form};
use super::values::{Callable, Given, Tag, Ty, Value};
use crate::diag::{Diagnostic, Label, codes, suggest};
use crate::dims::Dim;
use crate::ops::{ArgKind, DType, Op};
use crate::source::Span;
use crate::syntax::ast::{DimExpr, Expr, ExprKind, FnDecl, Param, Relation, TypeExpr, TypeKind, WhereClause};
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
        if self.doubtful.contains(&decl.name.span) {
            self.sheet.hurt = true;
            return Some(Value::Poison);
        }
        let errors = self.errors();
        let bound = self.bind_params(&decl.name.name, &decl.params, given, span, &mut scope);
        let broken = self.broken.contains(&decl.name.span) || has_poison(&decl.params, &scope);
        if bound.is_none() || broken || self.bind_wheres(&decl.wheres, &mut scope).is_none() {
            return Some(self.declared_result(decl.result.as_ref(), &mut scope, span));
        }
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
            self.too_many(what, names, span);
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
                super::context::InstanceKind::Chain(_) => return None,
            },
            _ => return None,
        };
        match name {
            Some(name) => params.iter().find(|p| p.name.name == name).cloned(),
            None => params.get(position).cloned(),
        }
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

    /// Makes a value fit a declared type, binding its dims.
    pub fn fit(&mut self, value: Value, ty: &TypeExpr, place: Place, scope: &mut Scope) -> Res<Value> {
        if value.is_silent() {
            return Some(value);
        }
        if let TypeKind::Choice(options) = &ty.kind {
            return self.fit_choice(value, options, place, scope);
        }
        match (&ty.kind, form(ty)) {
            (TypeKind::Tuple(parts), _) => match value {
                Value::Tuple(items) if items.len() == parts.len() => {
                    let fitted: Option<Vec<Value>> =
                        items.into_iter().zip(parts).map(|(v, t)| self.fit(v, t, place, scope)).collect();
                    Some(Value::Tuple(fitted?))
                }
                v => self.wrong_kind(v, &format!("a tuple of {}", parts.len()), place),
            },
            (TypeKind::List(item), _) => match value {
                Value::List(items) => {
                    let fitted: Option<Vec<Value>> =
                        items.into_iter().map(|v| self.fit(v, item, place, scope)).collect();
                    Some(Value::List(fitted?))
                }
                v => self.wrong_kind(v, "a list", place),
            },
            (_, Form::Tensor(form)) => match value {
                Value::Tensor(node) => {
                    let ty = self.ty(node).clone();
                    self.subject = Some(node);
                    let matched = self.match_tensor(&form, &ty, scope, place);
                    self.subject = None;
                    matched.map(|()| Value::Tensor(node))
                }
                // Number literals and truth values fit any shape.
                Value::Int(..) | Value::UnknownNumber if form.dtype != DType::Bool => Some(value),
                Value::Float(_) if form.dtype.is_float() => Some(value),
                Value::Bool(_) if form.dtype == DType::Bool => Some(value),
                v => {
                    let wanted = format!("{} tensor", form.tag.map_or(form.dtype.name(), Tag::name));
                    self.wrong_kind(v, &format!("a {wanted}"), place)
                }
            },
            (_, Form::Kind(kind)) if kind.name == "parameters" => self.as_parameters(value, place.span),
            (_, Form::Kind(kind)) => self.fit_kind(value, &kind.name.clone(), kind.span, place),
            _ => Some(value),
        }
    }

    fn fit_choice(&mut self, value: Value, options: &[TypeExpr], place: Place, scope: &mut Scope) -> Res<Value> {
        for option in options {
            let TypeKind::Named { base, dims: None, .. } = &option.kind else {
                if let (TypeKind::List(_), Value::List(_)) = (&option.kind, &value) {
                    return self.fit(value, option, place, scope);
                }
                continue;
            };
            let fits = match (base.name.as_str(), &value) {
                ("none", Value::None) | ("int", Value::Int(..)) | ("bool", Value::Bool(_)) => true,
                ("fn", Value::Stage(_) | Value::Layer(_)) | ("string", Value::Str(_)) => true,
                ("float", Value::Float(_) | Value::Int(..)) | (_, Value::UnknownNumber) => true,
                ("float", v) if self.is_late_number(v) => true,
                ("duration", Value::Quantity(..) | Value::Int(..) | Value::Float(_)) => true,
                (word, Value::Str(s)) => word == s,
                _ => false,
            };
            if fits {
                return Some(value);
            }
        }
        // A tensor type among them decides about tensors; else none fits.
        if let Some(tensor) = options.iter().find(|o| matches!(form(o), Form::Tensor(_)))
            && !matches!(value, Value::None)
        {
            return self.fit(value, tensor, place, scope);
        }
        if matches!(value, Value::None) && options.iter().any(|o| self.sources.text(o.span) == "none") {
            return Some(value);
        }
        let list: Vec<&str> = options.iter().map(|o| self.sources.text(o.span)).collect();
        let wanted = list.join(" or ");
        self.wrong_kind(value, &wanted, place)
    }

    fn fit_kind(&mut self, value: Value, kind: &str, kind_span: Span, place: Place) -> Res<Value> {
        let fits = match kind {
            "int" => matches!(value, Value::Int(..) | Value::UnknownNumber | Value::None),
            "float" => {
                matches!(value, Value::Int(..) | Value::Float(_) | Value::UnknownNumber | Value::None)
                    || self.is_late_number(&value)
            }
            "bool" => matches!(value, Value::Bool(_)),
            "string" => matches!(value, Value::Str(_)),
            "fn" => matches!(value, Value::Stage(_) | Value::Layer(_) | Value::Int(..) | Value::Float(_) | Value::None),
            "rate" => matches!(
                value,
                Value::Stage(_)
                    | Value::Recipe(_)
                    | Value::Int(..)
                    | Value::Float(_)
                    | Value::UnknownNumber
                    | Value::Tensor(_)
            ),
            "layer" => matches!(value, Value::Recipe(_) | Value::Layer(_) | Value::Stage(_)),
            "clock" => matches!(value, Value::Clock),
            "duration" => {
                matches!(
                    value,
                    Value::Quantity(..) | Value::Int(..) | Value::Float(_) | Value::UnknownNumber | Value::Tensor(_)
                )
            }
            "parameters" => true,
            _ => return self.not_a_type(kind, kind_span, false),
        };
        if fits {
            return Some(value);
        }
        let wanted = match kind {
            "int" => "a whole number",
            "float" => "a number",
            "bool" => "true or false",
            "string" => "a string",
            "fn" => "a function",
            "rate" => "a number or a schedule",
            "layer" => "a layer",
            "duration" => "a number of steps or epochs",
            _ => "the clock",
        };
        self.wrong_kind(value, wanted, place)
    }

    /// A number that is computed from sizes or the clock, and known only while running.
    fn is_late_number(&self, value: &Value) -> bool {
        matches!(value, Value::Tensor(node) if self.ty(*node).weak && self.ty(*node).rank() == 0)
    }

    /// `what[…]` or `what` where a type is needed.
    pub fn not_a_type<T>(&mut self, what: &str, span: Span, tensor: bool) -> Res<T> {
        let dtypes = DType::ALL.iter().map(|d| d.name()).chain(["logits", "probs", "log_probs"]);
        let kinds = KINDS.iter().copied().filter(|_| !tensor);
        let alias = match what {
            "Tensor" | "float32" | "tensor" | "Float" => Some("f32"),
            "float64" | "double" => Some("f64"),
            "float16" | "half" => Some("f16"),
            "bfloat16" => Some("bf16"),
            "int32" | "long" | "int64" => Some("i32"),
            "float" if tensor => Some("f32"),
            "int" if tensor => Some("i32"),
            "str" => Some("string"),
            _ => None,
        };
        let meant = alias.or_else(|| suggest::nearest(what, dtypes.chain(kinds)));
        let mut fault = Diagnostic::error(codes::UNKNOWN_NAME, span, format!("`{what}` is not a type"))
            .label(if tensor { "not a dtype or tag" } else { "not a dtype, tag or kind" });
        fault = match meant {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(span, meant.to_string())],
                alias.is_some(),
            ),
            None => fault.help("types are f32[…], i32[…], bool[…], logits[…], and int, float, bool, string, fn, layer"),
        };
        self.fail(fault)
    }

    pub fn wrong_kind<T>(&mut self, value: Value, wanted: &str, place: Place) -> Res<T> {
        let is = match &value {
            Value::Tensor(node) => self.ty(*node).to_string(),
            other => other.kind(),
        };
        let code = match value {
            Value::Float(_) | Value::Bool(_) => codes::DTYPE_MISMATCH,
            _ => codes::WRONG_KIND,
        };
        let article = if wanted.starts_with(['a', 't']) { "" } else { "one of " };
        let help = match wanted {
            "a whole number" => "write a whole number without quotes, for instance `3`",
            "a number" => "write a number without quotes, for instance `0.1`",
            "true or false" => "write `true` or `false`",
            "a string" => "write it in quotes",
            "a function" => "name a function, for instance `relu`",
            "a number or a schedule" => "write a number, or a schedule such as `cosine(1e-3)`",
            "a layer" => "name a layer, for instance `Linear`",
            "a list" | "a list of sizes" => "write it in brackets, for instance `[2, 3]`",
            _ => "pass another value",
        };
        self.fail(
            Diagnostic::error(code, place.span, format!("{} is {is}, not {wanted}", place.what))
                .label(format!("{article}{wanted} is needed here"))
                .help(help),
        )
    }

    /// Binds the dims that `where` defines, and checks its bounds.
    pub fn bind_wheres(&mut self, wheres: &[WhereClause], scope: &mut Scope) -> Res<()> {
        for clause in wheres {
            let mut open = Vec::new();
            let right = self.dim_of(&clause.right, scope, &mut open)?;
            if let Some((name, _)) = open.first() {
                return self.unknown_dim(&name.clone(), clause.right.span);
            }
            let left = self.dim_of(&clause.left, scope, &mut open)?;
            if clause.relation == Relation::Define {
                if let [(name, sym)] = open.as_slice() {
                    let size = left.solve(sym, &right).unwrap_or(right);
                    let why = self.reason(clause.span, &size, ReasonKind::Written, Vec::new());
                    scope.dims.insert(name.clone(), Bound { size, why });
                    continue;
                }
                let text = self.sources.text(clause.span).to_string();
                self.demand(left, clause.relation, right, text, clause.span)?;
                continue;
            }
            self.growing_limit(clause.relation, &left, &right);
            let text = self.sources.text(clause.span).to_string();
            self.demand(left, clause.relation, right, text, clause.span)?;
        }
        Some(())
    }

    /// Something must hold of sizes: decided now, or else when they become numbers.
    pub fn demand(&mut self, left: Dim, relation: Relation, right: Dim, text: String, written: Span) -> Res<()> {
        let span = self.calls.last().map_or(written, |c| c.span);
        let demand = Demand { left, relation, right, text, written, span: self.blame(span) };
        match demand.left.sub(&demand.right).number() {
            Some(difference) if !Demand::holds(relation, difference, 0) => {
                self.fail(demand.broken(&demand.left.to_string(), &demand.right.to_string()))
            }
            Some(_) => Some(()),
            None => {
                if !self.demands.contains(&demand) {
                    self.demands.push(demand);
                }
                Some(())
            }
        }
    }

    /// Compares a body's value with the declared result, and gives it the declared tag.
    pub fn match_result(
        &mut self,
        value: Value,
        declared: Option<&TypeExpr>,
        span: Span,
        what: &str,
        scope: &mut Scope,
    ) -> Res<Value> {
        let value = self.present(value, span);
        let Some(declared) = declared else { return Some(value) };
        let said = self.found.len();
        let result = self.match_declared(value, declared, span, what, scope);
        // The other side of the contradiction.
        if !self.is_builtin(declared.span)
            && let Some(fault) = self.found.get_mut(said)
            && fault.secondary.is_empty()
            && fault.span() != Some(declared.span)
        {
            fault.secondary.push(Label { span: declared.span, text: "declared here".into() });
        }
        result
    }

    fn match_declared(
        &mut self,
        value: Value,
        declared: &TypeExpr,
        span: Span,
        what: &str,
        scope: &mut Scope,
    ) -> Res<Value> {
        let text = format!("the result of `{what}`");
        let place = Place { span, what: &text };
        match (&declared.kind, value) {
            (TypeKind::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                let mut out = Vec::new();
                for (ty, value) in types.iter().zip(values) {
                    out.push(self.match_result(value, Some(ty), span, what, scope)?);
                }
                Some(Value::Tuple(out))
            }
            (_, Value::Tensor(node)) => {
                let Form::Tensor(form) = form(declared) else {
                    return self.fit(Value::Tensor(node), declared, place, scope);
                };
                let mut ty = self.ty(node).clone();
                // An untagged value takes the declared tag, a tagged one must have it (or none is asked for).
                let known: Vec<String> = scope.dims.keys().cloned().collect();
                self.match_tensor(&form, &ty, scope, place)?;
                let fresh = scope.dims.keys().find(|d| !known.contains(d)).cloned();
                if let Some(name) = fresh
                    && !self.is_builtin(declared.span)
                {
                    scope.dims.remove(&name);
                    return self.unknown_dim(&name, declared.span);
                }
                if ty.weak || ty.tag != form.tag {
                    if ty.weak {
                        ty.dtype = form.dtype;
                    }
                    (ty.weak, ty.tag) = (false, form.tag);
                    let at = if self.is_builtin(declared.span) { span } else { declared.span };
                    return Some(Value::Tensor(self.node(Op::Cast, vec![node], ty, at)));
                }
                Some(Value::Tensor(node))
            }
            (_, value) => self.fit(value, declared, place, scope),
        }
    }

    /// `x: f32[B, 12] = expect(value)`: sizes that are neither the same nor different for sure are taken to be the declared
    /// ones; whether they are is looked at when they become numbers.
    pub fn expected(&mut self, value: Value, ty: &TypeExpr, span: Span, scope: &mut Scope) -> Res<Value> {
        let value = self.present(value, span);
        let (Value::Tensor(node), Form::Tensor(form)) = (&value, form(ty)) else {
            return self.ascribe(value, ty, span, scope);
        };
        let is = self.ty(*node).clone();
        let plain = form.dims.iter().all(|d| matches!(d, DimExpr::Size(_)));
        if !plain || form.dims.len() != is.rank() {
            return self.ascribe(value, ty, span, scope);
        }
        let mut axes = is.axes.clone();
        for (dim, axis) in form.dims.iter().zip(&mut axes) {
            let DimExpr::Size(expr) = dim else { continue };
            let mut open = Vec::new();
            let size = self.dim_of(expr, scope, &mut open)?;
            if open.is_empty() && size != axis.size && !size.contradicts(&axis.size) {
                let text = format!("{} == {}", self.sources.text(expr.span), axis.size);
                self.demand(axis.size.clone(), Relation::Eq, size.clone(), text, expr.span)?;
                *axis = self.written(expr.span, size);
            }
        }
        let node = self.reshaped(*node, axes, span);
        self.ascribe(Value::Tensor(node), ty, span, scope)
    }

    /// `x: f32[B, S] = value`
    pub fn ascribe(&mut self, value: Value, ty: &TypeExpr, span: Span, scope: &mut Scope) -> Res<Value> {
        let place = Place { span, what: "the value" };
        let value = self.present(value, span);
        let value = self.fit(value, ty, place, scope)?;
        let (Value::Tensor(node), Form::Tensor(form)) = (&value, form(ty)) else { return Some(value) };
        let mut new = self.ty(*node).clone();
        if new.tag == form.tag {
            return Some(value);
        }
        new.tag = form.tag;
        Some(Value::Tensor(self.node(Op::Cast, vec![*node], new, span)))
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
    let ours = match name {
        "kernel_size" | "filter_size" | "ksize" => "kernel",
        "in_channels" | "in_features" | "input_dim" | "num_embeddings" => "in",
        "out_channels" | "out_features" | "filters" | "units" => "out",
        "learning_rate" => "lr",
        "strides" => "stride",
        "use_bias" => "bias",
        "dim" => "axis",
        "pool_size" => "kernel",
        "rate" | "prob" => "p",
        "epsilon" => "eps",
        "kernel_initializer" | "weight_init" => "init",
        _ => return None,
    };
    names.iter().copied().find(|n| *n == ours)
}
