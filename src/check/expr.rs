//! Expressions and statements: evaluated where compile-time values meet, and written into the graph where tensors do.

use super::context::{Checker, Def, Res, Scope};
use super::values::{Callable, DataValue, OptimizerValue};
use super::values::{Given, Recipe, Stage, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::dims::Dim;
use crate::ops::{self, DType};
use crate::source::{FileId, Span};
use crate::syntax::ast::{self, BinaryOp, Block, Else, Expr, ExprKind, Pattern, Stmt, StmtKind, UnaryOp};
use std::rc::Rc;

/// How deep evaluation goes: expressions in expressions, through the functions and layers that they call.
const DEPTH: usize = 160;

impl Checker<'_> {
    pub fn eval(&mut self, expr: &Expr, scope: &mut Scope) -> Res<Value> {
        if self.depth >= DEPTH {
            return self.fail(
                Diagnostic::error(codes::NESTING, expr.span, "this is nested too deeply")
                    .label("functions and layers in one another, and what is between them")
                    .help("if nothing here uses itself, name a part of it"),
            );
        }
        self.steps += 1;
        if self.steps.is_multiple_of(64) {
            self.give_way();
        }
        if self.steps >= super::context::MOST_STEPS {
            return self.too_large(expr.span);
        }
        self.depth += 1;
        let value = self.eval_one(expr, scope);
        self.depth -= 1;
        if let Some(value) = &value {
            self.sight(expr.span, value);
        }
        value
    }

    fn eval_one(&mut self, expr: &Expr, scope: &mut Scope) -> Res<Value> {
        match &expr.kind {
            ExprKind::Int(n, None) => Some(Value::int(*n)),
            ExprKind::Float(v, None) => Some(Value::Float(*v)),
            ExprKind::Int(n, Some(unit)) => Some(Value::Quantity(*n as f64, unit.name.clone())),
            ExprKind::Float(v, Some(unit)) => Some(Value::Quantity(*v, unit.name.clone())),
            ExprKind::Str(s) => Some(Value::Str(s.clone())),
            ExprKind::Name(name) => self.name_value(name, expr.span, scope),
            ExprKind::Tuple(items) => Some(Value::Tuple(self.eval_all(items, scope)?)),
            ExprKind::List(items) => Some(Value::List(self.eval_list(items, scope)?)),
            ExprKind::Call { callee, args } => self.eval_call(expr.span, callee, args, scope),
            ExprKind::Index { base, indices } => {
                let base_value = self.eval(base, scope)?;
                self.index(base_value, indices, expr.span, scope)
            }
            ExprKind::Field { base, name } => {
                if let Some(found) = self.of_library(expr, &[], scope) {
                    return found.map(|(value, _)| value);
                }
                let base = self.eval(base, scope)?;
                self.field(base, name, expr.span)
            }
            ExprKind::Unary { op, value } => {
                let value = self.eval(value, scope)?;
                match op {
                    UnaryOp::Neg => self.negate(value, expr.span),
                    UnaryOp::Not => self.logical_not(value, expr.span),
                }
            }
            ExprKind::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right, .. } => {
                self.logic(*op, left, right, expr.span, scope)
            }
            ExprKind::Binary { .. } | ExprKind::Pipe { .. } => self.eval_chain(expr, scope),
            ExprKind::Range { from, to } => {
                let (a, b) = (self.eval(from, scope)?, self.eval(to, scope)?);
                Some(Value::Range(self.whole(a, from.span)?, self.whole(b, to.span)?))
            }
            ExprKind::If { condition, then, otherwise } => {
                self.eval_if(condition, then, otherwise.as_deref(), scope, false)
            }
            ExprKind::Seq(items) => self.seq(items, scope, expr.span),
            ExprKind::Repeat { variable, over, body } => self.repeat(variable.as_ref(), over, body, scope, expr.span),
            ExprKind::Scan(scan) => self.eval_scan(scan, expr.span, scope),
            ExprKind::Wildcard(selection) => self.wildcard(selection, expr.span, scope),
            ExprKind::Grouped { base, groups } => self.grouped(base, groups, scope),
            ExprKind::Missing | ExprKind::Error => None,
        }
    }

    /// `a + b + c` and `x |> f |> g`: nested to the left by the parser, taken here from the left in a loop.
    fn eval_chain(&mut self, expr: &Expr, scope: &mut Scope) -> Res<Value> {
        let mut links = vec![expr];
        let mut first = expr;
        while let ExprKind::Binary { left: next, .. } | ExprKind::Pipe { value: next, .. } = &first.kind {
            first = next;
            match &next.kind {
                ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, .. } => break,
                ExprKind::Binary { .. } | ExprKind::Pipe { .. } => links.push(next),
                _ => break,
            }
        }
        let mut so_far = self.eval(first, scope);
        for link in links.into_iter().rev() {
            // Both sides are looked at, so that a fault in each is found in one run.
            so_far = match &link.kind {
                ExprKind::Binary { op, right, op_span, .. } => {
                    let right = self.eval(right, scope);
                    so_far.zip(right).and_then(|(a, b)| self.binary(*op, a, b, link.span, *op_span))
                }
                ExprKind::Pipe { value, stage } => {
                    let function = self.eval_stage(stage, scope);
                    so_far.zip(function).and_then(|(input, function)| {
                        let given = Given { name: None, value: input, span: value.span };
                        self.apply(function, vec![given], stage.span)
                    })
                }
                _ => None,
            };
            if let Some(value) = &so_far {
                self.sight(link.span, value);
            }
        }
        so_far
    }

    fn eval_all(&mut self, items: &[Expr], scope: &mut Scope) -> Res<Vec<Value>> {
        let values: Vec<_> = items.iter().map(|e| self.eval(e, scope)).collect();
        values.into_iter().collect()
    }

    /// The items of a list; a `repeat` among them stands for the values that it makes.
    fn eval_list(&mut self, items: &[Expr], scope: &mut Scope) -> Res<Vec<Value>> {
        let mut values = Vec::new();
        let mut whole = true;
        for item in items {
            match &item.kind {
                ExprKind::Repeat { variable, over, body } => {
                    match self.repeated_values(variable.as_ref(), over, body, scope) {
                        Some(more) => values.extend(more),
                        None => whole = false,
                    }
                }
                _ => match self.eval(item, scope) {
                    Some(value) => values.push(value),
                    None => whole = false,
                },
            }
        }
        whole.then_some(values)
    }

    /// Evaluates where a function is expected: a call leaves out its first argument.
    pub fn eval_stage(&mut self, expr: &Expr, scope: &mut Scope) -> Res<Value> {
        match &expr.kind {
            ExprKind::Call { callee, args } => {
                let function = self.eval(callee, scope)?;
                match function {
                    Value::Stage(stage) => {
                        let mut given = stage.given.clone();
                        given.extend(self.eval_args(&Value::Stage(stage.clone()), args, 1, scope));
                        Some(Value::Stage(Rc::new(Stage { callable: stage.callable.clone(), given, span: expr.span })))
                    }
                    // `x |> block(mask: m)`: further arguments of a layer.
                    Value::Layer(_) => {
                        let given = self.eval_args(&function, args, 1, scope);
                        let Value::Layer(id) = function else { return None };
                        Some(Value::Partial(id, Rc::new(given)))
                    }
                    other => self.call_value(other, args, expr.span, callee.span, scope),
                }
            }
            ExprKind::If { condition, then, otherwise } => {
                self.eval_if(condition, then, otherwise.as_deref(), scope, true)
            }
            _ => self.eval(expr, scope),
        }
    }

    fn eval_call(&mut self, span: Span, callee: &Expr, args: &[ast::Arg], scope: &mut Scope) -> Res<Value> {
        if let Some(found) = self.of_library(callee, args, scope) {
            let Some((function, args)) = found else {
                // The arguments may hold faults of their own.
                for arg in args {
                    self.eval(&arg.value, scope);
                }
                return None;
            };
            return self.call_value(function, &args, span, callee.span, scope);
        }
        // A method of another library's tensors: `x.view(…)`.
        if let ExprKind::Field { base, name } = &callee.kind
            && let Some(receiver) = self.eval(base, scope)
        {
            if matches!(receiver, Value::Tensor(_) | Value::Var(_)) {
                return self.method(&name.name, callee.span, base, args);
            }
            let function = self.field(receiver, name, callee.span)?;
            return self.call_value(function, args, span, callee.span, scope);
        }
        let Some(function) = self.eval(callee, scope) else {
            // The arguments may hold faults of their own.
            for arg in args {
                self.eval(&arg.value, scope);
            }
            return None;
        };
        self.call_value(function, args, span, callee.span, scope)
    }

    fn method<T>(&mut self, name: &str, span: Span, base: &Expr, args: &[ast::Arg]) -> Res<T> {
        let receiver = self.sources.text(base.span).to_string();
        let list: Vec<String> = args.iter().map(|a| self.sources.text(a.span).to_string()).collect();
        let whole = args.last().map_or(span.tail(), |a| a.span).tail();
        let fault = Diagnostic::error(codes::UNKNOWN_NAME, span, format!("tensors have no method `{name}`"))
            .label("operations are functions here");
        let Some((form, sure)) = super::foreign::of_tensors(name, &receiver, &list) else {
            let ours = super::foreign::other_name(name).unwrap_or(name).to_string();
            let arguments = [vec![receiver], list].concat().join(", ");
            return self.fail(fault.help(format!("write `{ours}({arguments})`")));
        };
        // Up to the parenthesis behind the arguments.
        let text = &self.sources.file(span.file).text;
        let end = text.get(whole.end as usize..).and_then(|t| t.find(')')).map(|i| whole.end + i as u32 + 1);
        let fault = fault.help(format!("write `{form}`"));
        self.fail(match end.filter(|_| sure) {
            Some(end) => fault.fix(format!("write `{form}`"), vec![(Span { end, ..span }, form)], true),
            None => fault,
        })
    }

    /// Calls a value with written arguments.
    fn call_value(
        &mut self,
        function: Value,
        args: &[ast::Arg],
        span: Span,
        name_span: Span,
        scope: &mut Scope,
    ) -> Res<Value> {
        let given = self.eval_args(&function, args, 0, scope);
        match function {
            Value::Stage(stage) => {
                let mut all = given;
                all.extend(stage.given.clone());
                self.call(&stage.callable, all, span)
            }
            Value::Recipe(recipe) => {
                let mut all = recipe.given.clone();
                all.extend(given);
                Some(Value::Recipe(Rc::new(Recipe { decl: recipe.decl.clone(), given: all, span })))
            }
            Value::Layer(id) => self.apply_instance(id, given, span),
            Value::Optimizer(o) => {
                let mut all = o.given.clone();
                all.extend(given);
                Some(Value::Optimizer(Rc::new(OptimizerValue {
                    decl: o.decl.clone(),
                    given: all,
                    groups: o.groups.clone(),
                    span,
                })))
            }
            Value::Data(_) if given.iter().any(|g| g.value.is_silent()) => Some(Value::Poison),
            Value::Data(d) => {
                let mut data = DataValue::clone(&d);
                data.args.extend(given);
                data.span = span;
                Some(Value::Data(Rc::new(data)))
            }
            Value::DType(dtype) => match given.as_slice() {
                [one] => self.cast(one.value.clone(), dtype, span),
                _ => self.fail(
                    Diagnostic::error(codes::MISSING_ARGUMENT, span, format!("`{dtype}` takes 1 argument"))
                        .help("to convert several tensors, convert each"),
                ),
            },
            Value::Float(_) | Value::Int(..) if given.len() <= 1 => Some(function),
            v if v.is_silent() => Some(Value::Poison),
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, name_span, format!("{} cannot be called", v.kind()))
                    .label("not a function or a layer")
                    .help("call a function, or apply a layer that has been made"),
            ),
        }
    }

    /// Evaluates arguments; those for parameters of kind `fn`, `rate` or `layer` as stages. `first` is the place of the first:
    /// 1 where the call leaves one out.
    fn eval_args(&mut self, function: &Value, args: &[ast::Arg], first: usize, scope: &mut Scope) -> Vec<Given> {
        let mut given = Vec::new();
        // Arguments without a name behind one with a name: said once, and then they stand for anything.
        let mut lost = false;
        for (position, arg) in args.iter().enumerate() {
            if let (None, Some(named)) = (&arg.name, args[..position].iter().find(|a| a.name.is_some()))
                && !std::mem::replace(&mut lost, true)
            {
                let what = "an argument without a name stands behind one with a name";
                self.report(
                    Diagnostic::error(codes::SYNTAX, arg.span, what)
                        .label("which argument is this?")
                        .also(named.span, "this one has a name")
                        .help("put it before those with names, or name it too"),
                );
            }
            let position = position + first;
            let name = arg.name.as_ref().map(|n| n.name.as_str());
            let name = name.map(|n| self.meant_parameter(function, n));
            let value = if self.takes_function(function, position, name) {
                self.eval_stage(&arg.value, scope)
            } else if let Some(word) = self.word(function, position, name, &arg.value) {
                Some(Value::Str(word))
            } else {
                self.eval(&arg.value, scope)
            };
            // What has a fault goes on as such: names and counts are worth checking all the same.
            let value = value.unwrap_or(Value::Poison);
            let value = if lost && arg.name.is_none() { Value::Poison } else { value };
            let name = arg.name.as_ref().map(|n| n.name.clone());
            given.push(Given { name, value, span: arg.value.span });
        }
        given
    }

    /// The name's value: locals, members and dims, the file's items, the prelude.
    pub fn name_value(&mut self, name: &str, span: Span, scope: &mut Scope) -> Res<Value> {
        if let Some(local) = scope.local(name) {
            local.used = true;
            return Some(local.value.clone());
        }
        if let Some(&var) = scope.states.get(name) {
            return Some(Value::Tensor(self.read(var, span)));
        }
        if let Some(id) = scope.instance {
            if scope.hidden.as_deref() != Some(name)
                && let Some(value) = self.member(id, name, span)
            {
                return value.map(|v| self.present(v, span));
            }
            if let Some(value) = self.hyper(id, name) {
                return value;
            }
        }
        if let Some(bound) = scope.dims.get(name) {
            return Some(Value::Int(bound.size.clone(), Some(bound.why)));
        }
        if let Some(value) = self.item_value(name, span, scope.file) {
            return value;
        }
        let mut near: Vec<String> = scope.locals.iter().rev().map(|l| l.name.clone()).collect();
        near.extend(scope.dims.keys().cloned());
        if let Some(id) = scope.instance {
            near.extend(self.names_of(id));
        }
        self.unknown_name(name, span, &near, scope)
    }

    /// Reports an unknown name, and goes on with what was probably meant.
    fn unknown_name(&mut self, name: &str, span: Span, near: &[String], scope: &mut Scope) -> Res<Value> {
        let mut fault = Diagnostic::error(codes::UNKNOWN_NAME, span, format!("`{name}` is not known here"))
            .label("not a name in scope");
        let meant = self.suggestion(name, near);
        let is_name = meant.as_ref().is_some_and(|m| m.chars().all(|c| c.is_alphanumeric() || c == '_'));
        // A value's name may have lost its binding, and be like a layer's by chance.
        let first = |text: &str, is: fn(char) -> bool| text.chars().next().is_some_and(is);
        let lowers = first(name, char::is_lowercase) && meant.as_ref().is_some_and(|m| first(m, char::is_uppercase));
        // An item of the file that is called nearly so may be the one.
        let own = suggest::nearest(name, self.own_names());
        let other = own.is_some_and(|own| meant.as_deref() != Some(own) && !own.eq_ignore_ascii_case(name));
        fault = match &meant {
            Some(meant) if is_name => fault.help(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                vec![(span, meant.clone())],
                super::foreign::is_called_alike(name)
                    || name.eq_ignore_ascii_case(meant) && !lowers && !other && scope.hidden.as_deref() != Some(meant),
            ),
            Some(meant) => fault.help(format!("use {meant}")),
            None => fault.help("declare it, or check how it is written"),
        };
        self.report(fault);
        self.sheet.hurt = true;
        let mut value = Value::Poison;
        if let Some(meant) = meant.filter(|_| is_name) {
            if super::foreign::surely(name, &meant) && !self.active.contains(&meant) {
                let said = self.found.len();
                value = self.name_value(&meant, span, scope).unwrap_or(Value::Poison);
                self.found.truncate(said);
            }
            self.meant.insert(meant);
        }
        // One message a name: its later uses are silent.
        scope.bind(name, value.clone(), span);
        if let Some(local) = scope.local(name) {
            local.used = true;
        }
        Some(value)
    }

    /// A parameter's present value, or the value itself.
    pub fn present(&mut self, value: Value, span: Span) -> Value {
        match value {
            Value::Var(var) => Value::Tensor(self.read(var, span)),
            other => other,
        }
    }

    /// True if the prelude has a value of this name.
    pub fn prelude_has(&mut self, name: &str) -> bool {
        let mut known = self.library.names();
        known.any(|n| n == name)
            || crate::ops::TABLE.iter().flat_map(|d| d.surfaces).any(|s| s.name == name)
            || super::special::NAMES.contains(&name)
    }

    /// A name of the file or the prelude.
    fn item_value(&mut self, name: &str, span: Span, file: FileId) -> Option<Res<Value>> {
        if self.named(name, file).is_none() {
            match name {
                "true" => return Some(Some(Value::Bool(true))),
                "false" => return Some(Some(Value::Bool(false))),
                "none" => return Some(Some(Value::None)),
                "clock" => return Some(Some(Value::Clock)),
                "training" => return Some(Some(self.training.map_or(Value::Unknown, Value::Bool))),
                _ => {}
            }
            if let Some(dtype) = DType::from_name(name) {
                return Some(Some(Value::DType(dtype)));
            }
        }
        if let Some((key, def)) = self.def(name, file) {
            return Some(self.def_value(name, &key, def, span));
        }
        if super::special::NAMES.contains(&name) {
            let known = super::special::NAMES.iter().find(|n| **n == name).copied()?;
            return Some(Some(self.bare(Callable::Special(known), span)));
        }
        if let Some((_, surface)) = ops::surface(name) {
            return Some(Some(self.bare(Callable::Surface(surface), span)));
        }
        if self.data.is_source(name) {
            let data = DataValue { source: name.into(), args: Vec::new(), bodies: Vec::new(), span };
            return Some(Some(Value::Data(Rc::new(data))));
        }
        None
    }

    fn bare(&self, callable: Callable, span: Span) -> Value {
        Value::Stage(Rc::new(Stage { callable, given: Vec::new(), span }))
    }

    fn def_value(&mut self, name: &str, key: &str, def: Def, span: Span) -> Res<Value> {
        match def {
            Def::Fn(decl) => Some(self.bare(Callable::Fn(decl), span)),
            Def::Layer(decl) => Some(Value::Recipe(Rc::new(Recipe { decl, given: Vec::new(), span }))),
            Def::Optimizer(decl) => {
                Some(Value::Optimizer(Rc::new(OptimizerValue { decl, given: Vec::new(), groups: Vec::new(), span })))
            }
            Def::Task => Some(Value::Task(name.into())),
            Def::Unknown => Some(Value::Poison),
            Def::Const(expr) => {
                if let Some(value) = self.constants.get(key) {
                    return Some(value.clone());
                }
                if self.active.iter().any(|a| a == key) {
                    return self.recursion(name, span);
                }
                self.active.push(key.into());
                let mut scope = Scope::new(expr.span.file);
                let value = self.eval(&expr, &mut scope);
                self.active.pop();
                let value = value.unwrap_or(Value::Poison);
                // A tensor belongs to the graph at hand; numbers last.
                if !matches!(value, Value::Tensor(_)) {
                    self.constants.insert(key.into(), value.clone());
                }
                Some(value)
            }
            Def::Data(decl) => {
                self.used_data.insert(key.to_string());
                if self.active.iter().any(|a| a == key) {
                    return self.recursion(name, span);
                }
                self.active.push(key.into());
                let mut scope = Scope::new(decl.name.span.file);
                let value = self.eval(&decl.source, &mut scope);
                self.active.pop();
                match value? {
                    Value::Data(source) => {
                        let mut data = DataValue::clone(&source);
                        if decl.body.as_ref().is_some_and(|b| !b.stmts.is_empty()) {
                            data.bodies.push(decl.clone());
                        }
                        Some(Value::Data(Rc::new(data)))
                    }
                    v if v.is_silent() => Some(Value::Poison),
                    v => self.fail(
                        Diagnostic::error(
                            codes::WRONG_KIND,
                            decl.source.span,
                            format!("{} is not a data source", v.kind()),
                        )
                        .help(format!("sources are {}", self.data.names().join(", "))),
                    ),
                }
            }
        }
    }

    pub fn recursion<T>(&mut self, name: &str, span: Span) -> Res<T> {
        self.fail(
            Diagnostic::error(codes::RECURSION, span, format!("`{name}` uses itself"))
                .label("this would never end")
                .help("use `repeat` for a fixed number of copies"),
        )
    }

    fn eval_if(
        &mut self,
        condition: &Expr,
        then: &Block,
        otherwise: Option<&Else>,
        scope: &mut Scope,
        stage: bool,
    ) -> Res<Value> {
        match self.eval(condition, scope)? {
            Value::Bool(true) => self.eval_block(then, scope, stage),
            Value::Bool(false) => match otherwise {
                Some(Else::Block(block)) => self.eval_block(block, scope, stage),
                Some(Else::If(expr)) if stage => self.eval_stage(expr, scope),
                Some(Else::If(expr)) => self.eval(expr, scope),
                None => Some(Value::None),
            },
            v if v.is_silent() => {
                // What only an instance decides: whatever either branch binds is unknown here.
                let mut blocks = vec![then];
                let mut rest = otherwise;
                while let Some(next) = rest {
                    rest = match next {
                        Else::Block(b) => {
                            blocks.push(b);
                            None
                        }
                        Else::If(Expr { kind: ExprKind::If { then, otherwise, .. }, .. }) => {
                            blocks.push(then);
                            otherwise.as_deref()
                        }
                        Else::If(_) => None,
                    };
                }
                for stmt in blocks.iter().flat_map(|b| &b.stmts) {
                    if let StmtKind::Bind { pattern: Pattern::Name(name), .. } = &stmt.kind {
                        scope.bind(&name.name, Value::Unknown, name.span);
                    }
                }
                Some(Value::Unknown)
            }
            Value::Tensor(node) => {
                let ty = self.ty(node).to_string();
                self.fail(
                    Diagnostic::error(codes::WRONG_KIND, condition.span, "this condition is known only while running")
                        .label(format!("this is {ty}, and `if` decides while compiling"))
                        .help("`where(condition, a, b)` chooses element by element"),
                )
            }
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, condition.span, format!("{} is not a condition", v.kind()))
                    .label("a bool is needed here")
                    .help("compare it: `n > 0`, `x != none`"),
            ),
        }
    }

    /// Evaluates statements in order; the value of the last expression is the block's.
    pub fn eval_block(&mut self, block: &Block, scope: &mut Scope, stage: bool) -> Res<Value> {
        let mut value = Some(Value::None);
        for (i, stmt) in block.stmts.iter().enumerate() {
            let last = i + 1 == block.stmts.len();
            value = match &stmt.kind {
                StmtKind::Expr(e) if stage && last => self.eval_stage(e, scope),
                StmtKind::Expr(Expr { kind: ExprKind::Repeat { variable, over, body }, .. })
                    if self.is_statement(body, last, stage, scope) =>
                {
                    self.repeat_statements(variable.as_ref(), over, body, scope).map(|()| Value::None)
                }
                StmtKind::Expr(e) => {
                    let value = self.eval(e, scope);
                    // A fault in it was reported.
                    let silent = matches!(value, None | Some(Value::Poison));
                    if !last && !matches!(e.kind, ExprKind::If { .. }) && !silent {
                        self.report(
                            Diagnostic::error(codes::UNUSED, e.span, "this value is not used")
                                .label("only the last expression of a block is its value")
                                .help("give it a name, or remove it"),
                        );
                    }
                    value
                }
                _ => self.eval_stmt(stmt, scope).map(|()| Value::None),
            };
        }
        value
    }

    pub fn eval_stmt(&mut self, stmt: &Stmt, scope: &mut Scope) -> Res<()> {
        match &stmt.kind {
            StmtKind::Bind { pattern, ty, value } => {
                if let (Some(ty), Some(inner)) = (ty, self.expectation(value, scope)) {
                    let result = self.eval(inner, scope);
                    let result = result.and_then(|v| self.expected(v, ty, value.span, scope));
                    return self.bind(pattern, result.unwrap_or(Value::Poison), value.span, scope);
                }
                let mut result = self.eval(value, scope);
                if let (Some(v), Some(ty)) = (&result, ty) {
                    result = self.ascribe(v.clone(), ty, value.span, scope);
                }
                self.bind(pattern, result.unwrap_or(Value::Poison), value.span, scope)
            }
            StmtKind::Expr(e) => self.eval(e, scope).map(|_| ()),
            StmtKind::Minimize { loss, over, with } if self.in_step() => {
                self.minimize(loss, over.as_ref(), with.as_ref(), stmt.span, scope)
            }
            StmtKind::Report { name, value } if self.in_step() => {
                self.report_metric(name.as_ref().map(|n| n.name.clone()), value, scope)
            }
            StmtKind::Minimize { .. } | StmtKind::Report { .. } => {
                let word = if matches!(stmt.kind, StmtKind::Report { .. }) { "report" } else { "minimize" };
                self.fail(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        stmt.span,
                        format!("`{word}` belongs in the `step` of a task"),
                    )
                    .label("not in a layer or function")
                    .help("give the value back, and let the step do it"),
                )
            }
            StmtKind::Yield(values) => self.yield_values(values, stmt.span, scope),
            StmtKind::Save { value, to } => self.save(value, to, stmt.span, scope),
            StmtKind::Error => None,
        }
    }

    /// `value` of `expect(value)`.
    fn expectation<'e>(&self, value: &'e Expr, scope: &Scope) -> Option<&'e Expr> {
        let ExprKind::Call { callee, args } = &value.kind else { return None };
        let own = scope.locals.iter().any(|l| l.name == "expect") || self.named("expect", scope.file).is_some();
        match (&callee.kind, args.as_slice()) {
            (ExprKind::Name(name), [one]) if name == "expect" && !own => Some(&one.value),
            _ => None,
        }
    }

    /// Binds a pattern; a state's name is updated instead.
    pub fn bind(&mut self, pattern: &Pattern, value: Value, value_span: Span, scope: &mut Scope) -> Res<()> {
        match pattern {
            Pattern::Name(name) => {
                let state = scope.states.get(&name.name).copied().or_else(|| self.state_member(scope, &name.name));
                if let Some(var) = state {
                    return self.assign(var, value, value_span);
                }
                if self.is_lost_state(scope, &name.name) {
                    return None;
                }
                let of_layer = scope.instance.is_some_and(|id| self.names_of(id).contains(&name.name));
                let dim = scope.dims.get(&name.name).map(|b| self.reasons[b.why.0 as usize].span);
                if (of_layer || dim.is_some()) && scope.local(&name.name).is_none() {
                    let what = if of_layer { "a name of the layer" } else { "a size" };
                    let mut fault = Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        name.span,
                        format!("`{}` is {what} already", name.name),
                    )
                    .label("a local may not hide a member, dim or hyper-parameter");
                    if let Some(dim) = dim.filter(|_| !of_layer) {
                        fault = fault.also(dim, "named here");
                    }
                    return self.fail(fault.help("take another name"));
                }
                let checked = !self.is_builtin(name.span);
                let used = scope.local(&name.name).is_some();
                scope.bind(&name.name, value, name.span);
                let mut value = None;
                if let Some(local) = scope.local(&name.name) {
                    (local.checked, local.used) = (checked, used);
                    value = self.watch.is_some().then(|| local.value.clone());
                }
                if let Some(value) = value {
                    self.sight(name.span, &value);
                }
                Some(())
            }
            Pattern::Tuple(parts, span) => {
                let items = match self.unpacked(value, parts.len(), value_span) {
                    Value::Record(items) if items.len() == parts.len() => {
                        items.iter().map(|(_, v)| v.clone()).collect()
                    }
                    Value::Tuple(items) | Value::List(items) if items.len() == parts.len() => items,
                    v if v.is_silent() => vec![v; parts.len()],
                    v => {
                        for part in parts {
                            self.bind(part, Value::Poison, value_span, scope);
                        }
                        return self.fail(
                            Diagnostic::error(
                                codes::WRONG_KIND,
                                *span,
                                format!("{} names for {}", parts.len(), v.kind()),
                            )
                            .label("the numbers differ")
                            .also(value_span, v.kind())
                            .help(match v {
                                Value::Tensor(_) => "it is one value: write one name",
                                _ => "write one name for each part",
                            }),
                        );
                    }
                };
                for (part, item) in parts.iter().zip(items) {
                    self.bind(part, item, value_span, scope)?;
                }
                Some(())
            }
        }
    }

    fn in_step(&self) -> bool {
        self.step.is_some() && self.calls.is_empty() && self.scans.is_empty()
    }

    /// A compile-time whole number.
    pub fn whole(&mut self, value: Value, span: Span) -> Res<Dim> {
        match value {
            Value::Int(d, _) => Some(d),
            v if v.is_silent() || matches!(v, Value::UnknownNumber) => None,
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, span, format!("{} is not a whole number", v.kind()))
                    .label("an int known while compiling is needed here")
                    .help("write a whole number, a size or a hyper-parameter"),
            ),
        }
    }
}
