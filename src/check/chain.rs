//! `seq` and `repeat`: chains of functions and layers.

use super::context::{Checker, Instance, InstanceKind, Link, Res, Scope};
use super::values::{Callable, Given, InstanceId, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Ident, Pattern, SeqItem, StmtKind};
use std::collections::BTreeMap;

/// More copies than this are a slip of the pen.
const MOST_COPIES: i64 = 10_000;

/// The names of a pattern.
fn bound<'p>(pattern: &'p Pattern, names: &mut Vec<&'p Ident>) {
    match pattern {
        Pattern::Name(name) => names.push(name),
        Pattern::Tuple(parts, _) => parts.iter().for_each(|part| bound(part, names)),
    }
}

impl Checker<'_> {
    /// `seq { a; name = B(); c }`
    pub fn seq(&mut self, items: &[SeqItem], scope: &mut Scope, span: Span) -> Res<Value> {
        let mut made = Vec::new();
        let mut whole = true;
        for (number, item) in items.iter().enumerate() {
            let name = item.name.as_ref().map_or(number.to_string(), |n| n.name.clone());
            match self.no_act(item, "a chain").and_then(|()| self.chain_item(&item.value, &name, scope)) {
                Some(value) => {
                    if let Some(name) = &item.name {
                        self.sight(name.span, &value);
                    }
                    made.push((name, value, item.value.span));
                }
                None => whole = false,
            }
        }
        whole.then(|| self.make_chain(made, span))
    }

    /// A chain, without a path until a binding or an outer chain gives it one.
    fn make_chain(&mut self, items: Vec<Link>, span: Span) -> Value {
        self.make_links(InstanceKind::Chain(items), "", span)
    }

    /// An instance of layers that it only holds.
    pub fn make_links(&mut self, kind: InstanceKind, path: &str, span: Span) -> Value {
        self.instances.push(Instance {
            task: self.task,
            kind,
            path: path.to_string(),
            span,
            dims: BTreeMap::new(),
            hypers: Vec::new(),
            members: Vec::new(),
            applied: false,
            float: None,
        });
        Value::Layer(InstanceId(self.instances.len() as u32 - 1))
    }

    /// One link: a function, or an instance whose path starts with a mark until the chain has its own.
    fn chain_item(&mut self, expr: &Expr, name: &str, scope: &mut Scope) -> Res<Value> {
        let value = self.eval_stage(expr, scope)?;
        let pending = format!("\u{1}{name}");
        match value {
            Value::Recipe(recipe) => Some(Value::Layer(self.make_instance(&recipe, &pending, expr.span)?)),
            Value::Layer(id) => {
                if self.instances[id.0 as usize].path.is_empty() {
                    self.instances[id.0 as usize].path = pending;
                }
                Some(Value::Layer(id))
            }
            Value::Stage(_) | Value::Partial(..) | Value::DType(_) => Some(value),
            v if v.is_silent() => Some(v),
            Value::Tensor(_) => self.fail(
                Diagnostic::error(codes::WRONG_KIND, expr.span, "a tensor cannot be a link of a chain")
                    .label("a function or a layer is needed here")
                    .help("in a chain a call leaves out its first argument: `leaky_relu(0.2)`"),
            ),
            v => self.fail(
                Diagnostic::error(codes::WRONG_KIND, expr.span, format!("{} cannot be a link of a chain", v.kind()))
                    .label("a function or a layer is needed here")
                    .help("remove it, or write the function that takes it"),
            ),
        }
    }

    /// `repeat n { … }`, `repeat i in 0..n { … }`, `repeat w in [64, 128] { … }`
    pub fn repeat(
        &mut self,
        variable: Option<&Ident>,
        over: &Expr,
        body: &[SeqItem],
        scope: &mut Scope,
        span: Span,
    ) -> Res<Value> {
        let values = self.repeated_over(over, scope)?;
        // How many is known only by name: one copy stands for all.
        let values = values.unwrap_or_else(|| vec![Value::Unknown]);
        let mut copies = Vec::new();
        for (number, value) in values.into_iter().enumerate() {
            let mut inner = scope.clone();
            if let Some(variable) = variable {
                inner.bind(&variable.name, value, variable.span);
            }
            let name = number.to_string();
            if self.steps >= super::context::MOST_STEPS {
                return None;
            }
            let copy = match body {
                [only] if only.name.is_none() => {
                    self.no_act(only, "a chain")?;
                    self.chain_item(&only.value, &name, &mut inner)?
                }
                several => {
                    let chain = self.seq(several, &mut inner, span)?;
                    if let Value::Layer(id) = chain {
                        self.instances[id.0 as usize].path = format!("\u{1}{name}");
                    }
                    chain
                }
            };
            copies.push((name, copy, span));
        }
        Some(self.make_chain(copies, span))
    }

    /// What a `repeat` goes over; none inside if how many that are is known only by name.
    fn repeated_over(&mut self, over: &Expr, scope: &mut Scope) -> Res<Option<Vec<Value>>> {
        Some(match self.eval(over, scope)? {
            Value::Int(n, _) => self.count(&Dim::default(), &n, over.span)?,
            Value::Range(a, b) => self.count(&a, &b, over.span)?,
            Value::List(items) => Some(items),
            Value::Layer(id) if let Some(links) = self.links(id) => Some(links),
            v if v.is_silent() => None,
            v => {
                return self.fail(
                    Diagnostic::error(codes::WRONG_KIND, over.span, format!("cannot repeat over {}", v.kind()))
                        .label("a whole number, a range or a list is needed here")
                        .help("write `repeat 3 { … }` or `repeat w in [64, 128] { … }`"),
                );
            }
        })
    }

    /// `[repeat i in 0..n { expr }]`: the values of the expression, one for each `i`.
    pub fn repeated_values(
        &mut self,
        variable: Option<&Ident>,
        over: &Expr,
        body: &[SeqItem],
        scope: &mut Scope,
    ) -> Res<Vec<Value>> {
        let Some(values) = self.repeated_over(over, scope)? else {
            if self.generic {
                return None;
            }
            return self.fail(
                Diagnostic::error(codes::BAD_SIZE, over.span, "the length of this list is known only by name")
                    .label("a number is needed here")
                    .help("make it a hyper-parameter or a constant"),
            );
        };
        let Some((last, before)) = body.split_last() else {
            let fault = Diagnostic::error(codes::MISSING_PART, over.span, "this `repeat` gives no values");
            return self.fail(fault.help("write the value between the braces: `[repeat i in 0..4 { 2 * i }]`"));
        };
        let mut list = Vec::new();
        for value in values {
            let mut inner = scope.clone();
            if let Some(variable) = variable {
                inner.bind(&variable.name, value, variable.span);
            }
            if self.steps >= super::context::MOST_STEPS {
                return None;
            }
            for item in before {
                if let Some(act) = item.act.as_ref().filter(|act| matches!(act.kind, StmtKind::Bind { .. })) {
                    self.eval_stmt(act, &mut inner)?;
                    continue;
                }
                self.no_act(item, "a list")?;
                let value = self.eval(&item.value, &mut inner)?;
                let Some(name) = &item.name else {
                    return self.fail(
                        Diagnostic::error(codes::UNUSED, item.span, "this value is not used")
                            .label("only the last one is an item of the list")
                            .help("give it a name, or remove it"),
                    );
                };
                inner.bind(&name.name, value, name.span);
            }
            self.no_act(last, "a list")?;
            list.push(self.eval(&last.value, &mut inner)?);
            for (outer, used) in scope.locals.iter_mut().zip(&inner.locals) {
                outer.used |= used.used;
            }
        }
        Some(list)
    }

    /// True of a `repeat` whose items bind names for what follows, and that is not a chain: where nothing follows, the
    /// blocks of a step, a function or a `forward` hold statements, and the value of a member is a chain.
    pub fn is_statement(&self, body: &[SeqItem], last: bool, stage: bool, scope: &Scope) -> bool {
        fn acts(item: &SeqItem) -> bool {
            if item.act.is_some() {
                return true;
            }
            match &item.value.kind {
                ExprKind::If { .. } => true,
                ExprKind::Repeat { body, .. } => item.name.is_some() || body.iter().any(acts),
                _ => item.name.is_some(),
            }
        }
        let runs = scope.hidden.is_none() && (self.step.is_some() || !self.calls.is_empty());
        body.iter().any(acts) && (!last || !stage && runs && body.iter().all(acts))
    }

    /// `repeat i in 0..n { x = f(x) }` as a statement: its bindings are made once for each `i`, in the scope around it.
    pub fn repeat_statements(
        &mut self,
        variable: Option<&Ident>,
        over: &Expr,
        body: &[SeqItem],
        scope: &mut Scope,
    ) -> Res<()> {
        let known = self.repeated_over(over, scope)?;
        // How often is known only by name: once stands for all, and what it binds is not known afterwards.
        let values = known.clone().unwrap_or_else(|| vec![Value::Unknown]);
        let mut whole = true;
        for (number, value) in values.into_iter().enumerate() {
            if let Some(variable) = variable {
                scope.bind(&variable.name, value, variable.span);
            }
            for item in body {
                if self.steps >= super::context::MOST_STEPS {
                    return None;
                }
                whole &= self.repeated_statement(item, number == 0, scope).is_some();
            }
            if let Some(variable) = variable {
                scope.locals.retain(|l| l.name != variable.name || l.span != variable.span);
            }
        }
        if known.is_none() {
            let mut names = Vec::new();
            for item in body {
                names.extend(&item.name);
                if let Some(StmtKind::Bind { pattern, .. }) = item.act.as_ref().map(|act| &act.kind) {
                    bound(pattern, &mut names);
                }
            }
            for name in names {
                scope.bind(&name.name, Value::Unknown, name.span);
            }
        }
        whole.then_some(())
    }

    /// One statement of a `repeat`; what it leaves unused is said the first time.
    fn repeated_statement(&mut self, item: &SeqItem, first: bool, scope: &mut Scope) -> Res<()> {
        if let Some(act) = &item.act {
            return self.eval_stmt(act, scope);
        }
        match (&item.name, &item.value.kind) {
            (Some(name), _) => {
                let value = self.eval(&item.value, scope);
                self.bind(&Pattern::Name(name.clone()), value.unwrap_or(Value::Poison), item.value.span, scope)
            }
            (None, ExprKind::Repeat { variable, over, body }) => {
                self.repeat_statements(variable.as_ref(), over, body, scope)
            }
            (None, ExprKind::If { .. }) => self.eval(&item.value, scope).map(|_| ()),
            _ => {
                let value = self.eval(&item.value, scope);
                if value.is_some() && first {
                    self.report(
                        Diagnostic::error(codes::UNUSED, item.value.span, "this value is not used")
                            .label("nothing takes what a statement computes")
                            .help("give it a name, or collect the values in a list: `[repeat i in 0..n { … }]`"),
                    );
                }
                value.map(|_| ())
            }
        }
    }

    /// What stands here is a link of a chain or an item of a list, no statement.
    fn no_act(&mut self, item: &SeqItem, of: &str) -> Res<()> {
        let Some(act) = &item.act else { return Some(()) };
        let (what, help) = match &act.kind {
            StmtKind::Minimize { .. } => {
                ("`minimize`", "write it in `step`, or in a `repeat` that is a statement there")
            }
            StmtKind::Report { .. } => ("`report`", "write it in `step`, or in a `repeat` that is a statement there"),
            StmtKind::Error => return None,
            _ => ("a binding like this", "bind it before, in the block around"),
        };
        self.fail(
            Diagnostic::error(codes::WRONG_KIND, act.span, format!("{what} is no part of {of}"))
                .label("not a value")
                .help(help),
        )
    }

    /// Layers of a list that nothing applies: they would have no parameters. `task` is theirs.
    pub fn unapplied_items(&mut self, task: usize) {
        let mut lost: Vec<(String, Span)> = Vec::new();
        for list in self.instances.iter().filter(|i| i.task == task && !i.applied) {
            let InstanceKind::List(items) = &list.kind else { continue };
            for (name, value, span) in items {
                let unused = matches!(value, Value::Layer(id) if !self.is_in_use(*id));
                if unused && !lost.iter().any(|(_, s)| s == span) {
                    lost.push((super::layers::join(&list.path, name), *span));
                }
            }
        }
        for (path, span) in lost {
            self.report(
                Diagnostic::error(codes::UNUSED, span, format!("`{path}` is never applied"))
                    .label("an item of a list of layers; nothing would train it")
                    .help("apply it by its number, or leave it out of the list"),
            );
        }
    }

    fn is_in_use(&self, id: InstanceId) -> bool {
        let instance = &self.instances[id.0 as usize];
        match &instance.kind {
            InstanceKind::Layer(_) => instance.applied || !instance.members.is_empty(),
            // One that is indexed with what only an instance knows.
            InstanceKind::List(_) if instance.applied => true,
            InstanceKind::Chain(items) | InstanceKind::List(items) => {
                let mut layers = items
                    .iter()
                    .filter_map(|(_, v, _)| if let Value::Layer(id) = v { Some(*id) } else { None })
                    .peekable();
                layers.peek().is_none() || layers.any(|id| self.is_in_use(id))
            }
        }
    }

    /// The whole numbers from `a` to `b`; none inside if they are known only by name.
    fn count(&mut self, a: &Dim, b: &Dim, span: Span) -> Res<Option<Vec<Value>>> {
        let (Some(from), Some(to)) = (a.number(), b.number()) else { return Some(None) };
        let copies = i128::from(to) - i128::from(from);
        if !(0..=i128::from(MOST_COPIES)).contains(&copies) {
            return self.fail(
                Diagnostic::error(codes::BAD_SIZE, span, format!("cannot make {copies} copies"))
                    .label(format!("from 0 to {MOST_COPIES} copies are possible"))
                    .help("write a number in that range"),
            );
        }
        Some(Some((from..to).map(Value::int).collect()))
    }

    /// The links of a chain, the items of a list of layers.
    pub fn links(&self, id: InstanceId) -> Option<Vec<Value>> {
        let items = self.instances[id.0 as usize].kind.links()?;
        Some(items.iter().map(|(_, v, _)| v.clone()).collect())
    }

    pub fn apply_chain(&mut self, id: InstanceId, items: Vec<Link>, given: Vec<Given>, span: Span) -> Res<Value> {
        let (named, mut first): (Vec<Given>, Vec<Given>) = given.into_iter().partition(|g| g.name.is_some());
        for extra in &named {
            let name = extra.name.clone().unwrap_or_default();
            if !items.iter().any(|(_, v, _)| self.declares(v, &name)) && !items.is_empty() {
                return self.fail(
                    Diagnostic::error(
                        codes::UNKNOWN_ARGUMENT,
                        extra.span,
                        format!("no link of this chain has an argument `{name}`"),
                    )
                    .label("nobody takes this")
                    .also(self.instances[id.0 as usize].span, "the chain")
                    .help("remove it, or declare it in the `forward` of a link"),
                );
            }
        }
        if first.len() != 1 {
            return self.fail(
                Diagnostic::error(codes::MISSING_ARGUMENT, span, "a chain takes one value and named arguments")
                    .label(match first.len() {
                        0 => "no value is given".to_string(),
                        n => format!("{n} values are given"),
                    })
                    .help("pass one value; further ones by name: `blocks(x, mask: m)`"),
            );
        }
        let before = self.enter_path(&self.instances[id.0 as usize].path.clone());
        let mut value = first.remove(0);
        let mut result = Some(value.value.clone());
        for (_, link, at) in &items {
            let mut args = vec![value.clone()];
            named
                .iter()
                .filter(|n| self.declares(link, n.name.as_deref().unwrap_or("")))
                .for_each(|n| args.push(n.clone()));
            result = self.apply(link.clone(), args, *at);
            match &result {
                Some(v) => value = Given { name: None, value: v.clone(), span: *at },
                None => break,
            }
        }
        self.scope_path = before;
        result
    }

    /// True if a link takes a named argument.
    fn declares(&self, link: &Value, name: &str) -> bool {
        let has = |params: &[crate::syntax::ast::Param]| params.iter().any(|p| p.name.name == name);
        match link {
            Value::Layer(id) | Value::Partial(id, _) => match &self.instances[id.0 as usize].kind {
                InstanceKind::Layer(decl) => decl.forward.as_ref().is_some_and(|f| has(&f.params)),
                InstanceKind::Chain(items) => items.iter().any(|(_, v, _)| self.declares(v, name)),
                InstanceKind::List(_) => false,
            },
            Value::Stage(stage) => match &stage.callable {
                Callable::Fn(decl) => has(&decl.params) && !stage.given.iter().any(|g| g.name.as_deref() == Some(name)),
                _ => false,
            },
            _ => link.is_silent(),
        }
    }
}
