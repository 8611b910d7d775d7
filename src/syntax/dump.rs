//! The syntax tree as text, for `--emit=ast` and for tests.
//!
//! In: a tree. Out: one line an item, member or statement, indented by nesting; expressions in full parentheses, so that
//! precedence is visible.

use super::ast::*;

/// The tree in a compact indented form.
pub fn dump(file: &File) -> String {
    let mut out = Dump { text: String::new(), depth: 0 };
    for item in &file.items {
        out.item(item);
    }
    out.text
}

/// One expression on one line; blocks in it are written `{ …; … }`.
pub fn dump_expr(value: &Expr) -> String {
    expr(value)
}

struct Dump {
    text: String,
    depth: usize,
}

impl Dump {
    fn line(&mut self, line: &str) {
        self.text += &"  ".repeat(self.depth);
        self.text += line;
        self.text.push('\n');
    }

    fn inside(&mut self, write: impl FnOnce(&mut Dump)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }

    fn docs(&mut self, docs: &str) {
        for line in docs.lines() {
            self.line(&format!("/// {line}"));
        }
    }

    fn item(&mut self, item: &Item) {
        self.docs(&item.docs);
        match &item.kind {
            ItemKind::Use(paths) => {
                for path in paths {
                    self.line(&format!("use {}", join(&path.parts, ".", |p| p.name.clone())));
                }
            }
            ItemKind::Const { name, value } => self.line(&format!("const {} = {}", name.name, expr(value))),
            ItemKind::Fn(f) => {
                self.line(&format!("fn {}{}", f.name.name, signature(&f.params, &f.result, &f.wheres)));
                self.block(&f.body);
                if let Some((names, body)) = &f.gradient {
                    self.line(&format!("gradient({})", join(names, ", ", |n| n.name.clone())));
                    self.block(body);
                }
            }
            ItemKind::Layer(l) => {
                let word = if l.is_model { "model" } else { "layer" };
                self.line(&format!("{word} {}({})", l.name.name, params(&l.params)));
                self.inside(|d| {
                    d.members(&l.members);
                    if let Some(f) = &l.forward {
                        d.line(&format!("forward{}", signature(&f.params, &f.result, &f.wheres)));
                        d.block(&f.body);
                    }
                });
            }
            ItemKind::Optimizer(o) => {
                self.line(&format!("optimizer {}({})", o.name.name, params(&o.params)));
                self.inside(|d| {
                    d.members(&o.members);
                    if let Some(u) = &o.update {
                        d.line(&format!("update({})", params(&u.params)));
                        d.block(&u.body);
                    }
                });
            }
            ItemKind::Data(data) => {
                self.line(&format!("data {} = {}", data.name.name, expr(&data.source)));
                if let Some(body) = &data.body {
                    self.block(body);
                }
            }
            ItemKind::Task(t) => {
                let name = t.name.as_ref().map_or(String::new(), |n| format!(" {}", n.name));
                self.line(&format!("{}{name}({})", t.kind.word(), params(&t.params)));
                self.inside(|d| {
                    for stmt in &t.body {
                        let line = match &stmt.kind {
                            TaskStmtKind::Bind { name, value } => format!("{} = {}", name.name, expr(value)),
                            TaskStmtKind::Load { selection: s, from } => {
                                format!("load {} from {}", selection(s), expr(from))
                            }
                            TaskStmtKind::Freeze(s) => format!("freeze {}", selection(s)),
                            TaskStmtKind::Error => "<error>".into(),
                        };
                        d.line(&line);
                    }
                    if let Some(step) = &t.step {
                        d.line(&format!("step({})", params(&step.params)));
                        d.block(&step.body);
                    }
                });
            }
            ItemKind::Error => self.line("<error>"),
        }
    }

    fn members(&mut self, members: &[Member]) {
        for member in members {
            self.docs(&member.docs);
            let name = &member.name.name;
            let value = |init: &Option<Expr>| init.as_ref().map_or(String::new(), |v| format!(" = {}", expr(v)));
            let line = match &member.kind {
                MemberKind::Bind(v) => format!("{name} = {}", expr(v)),
                MemberKind::Param { ty: t, init } => format!("param {name}: {}{}", ty(t), value(init)),
                MemberKind::State { ty: Some(t), init } => format!("state {name}: {}{}", ty(t), value(init)),
                MemberKind::State { ty: None, init } => format!("state {name}{}", value(init)),
                MemberKind::Error => format!("{name} <error>"),
            };
            self.line(&line);
        }
    }

    fn block(&mut self, block: &Block) {
        self.inside(|d| {
            for stmt in &block.stmts {
                d.line(&statement(stmt));
            }
        });
    }
}

fn join<T>(items: &[T], between: &str, text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(between)
}

fn statement(stmt: &Stmt) -> String {
    match &stmt.kind {
        StmtKind::Bind { pattern: p, ty: t, value } => {
            let t = t.as_ref().map_or(String::new(), |t| format!(": {}", ty(t)));
            format!("{}{t} = {}", pattern(p), expr(value))
        }
        StmtKind::Expr(value) => expr(value),
        StmtKind::Minimize { loss, over, with } => {
            let over = over.as_ref().map_or(String::new(), |s| format!(" over {}", selection(s)));
            let with = with.as_ref().map_or(String::new(), |w| format!(" with {}", expr(w)));
            format!("minimize {}{over}{with}", expr(loss))
        }
        StmtKind::Report { name: Some(name), value } => format!("report {} = {}", name.name, expr(value)),
        StmtKind::Report { name: None, value } => format!("report {}", expr(value)),
        StmtKind::Yield(values) => format!("yield {}", join(values, ", ", expr)),
        StmtKind::Save { value, to } => format!("save {} to {}", expr(value), expr(to)),
        StmtKind::Error => "<error>".into(),
    }
}

fn inline(block: &Block) -> String {
    format!("{{ {} }}", join(&block.stmts, "; ", statement))
}

fn signature(list: &[Param], result: &Option<TypeExpr>, wheres: &[WhereClause]) -> String {
    let mut out = format!("({})", params(list));
    if let Some(result) = result {
        out += &format!(" -> {}", ty(result));
    }
    if !wheres.is_empty() {
        let clause = |w: &WhereClause| {
            let relation = match w.relation {
                Relation::Define => "=",
                Relation::Lt => "<",
                Relation::Le => "<=",
                Relation::Gt => ">",
                Relation::Ge => ">=",
                Relation::Eq => "==",
            };
            format!("{} {relation} {}", expr(&w.left), expr(&w.right))
        };
        out += &format!(" where {}", join(wheres, ", ", clause));
    }
    out
}

fn params(list: &[Param]) -> String {
    join(list, ", ", |p| {
        let t = p.ty.as_ref().map_or(String::new(), |t| format!(": {}", ty(t)));
        let default = p.default.as_ref().map_or(String::new(), |v| format!(" = {}", expr(v)));
        format!("{}{t}{default}", p.name.name)
    })
}

fn pattern(p: &Pattern) -> String {
    match p {
        Pattern::Name(name) => name.name.clone(),
        Pattern::Tuple(parts, _) => format!("({})", join(parts, ", ", pattern)),
    }
}

fn ty(t: &TypeExpr) -> String {
    match &t.kind {
        TypeKind::Named { base, dtype, dims } => {
            let dtype = dtype.as_ref().map_or(String::new(), |d| format!(" {}", d.name));
            let dim = |d: &DimExpr| match d {
                DimExpr::Size(size) => expr(size),
                DimExpr::Rest(name, _) => format!("..{}", name.as_ref().map_or("", |n| &n.name)),
            };
            let dims = dims.as_ref().map_or(String::new(), |d| format!("[{}]", join(d, ", ", dim)));
            format!("{}{dtype}{dims}", base.name)
        }
        TypeKind::Tuple(types) => format!("({})", join(types, ", ", ty)),
        TypeKind::List(item) => format!("[{}]", ty(item)),
        TypeKind::Choice(types) => join(types, " | ", ty),
        TypeKind::Error => "<error>".into(),
    }
}

fn selection(s: &Selection) -> String {
    let paths = |paths: &[SelectionPath]| join(paths, ", ", |p| path(&p.parts));
    let except = if s.except.is_empty() { String::new() } else { format!(" except {}", paths(&s.except)) };
    paths(&s.include) + &except
}

fn path(parts: &[SelectionPart]) -> String {
    let mut out = String::new();
    for part in parts {
        let dot = if out.is_empty() { "" } else { "." };
        match part {
            SelectionPart::Name(name) => out += &format!("{dot}{}", name.name),
            SelectionPart::Any(_) => out += &format!("{dot}*"),
            SelectionPart::Range(indices, _) => out += &format!("[{}]", join(indices, ", ", index)),
        }
    }
    out
}

fn index(i: &Index) -> String {
    match i {
        Index::At(value) => expr(value),
        Index::Rest(_) => "..".into(),
        Index::Slice { from, to, step, .. } => {
            let part = |p: &Option<Expr>| p.as_ref().map_or(String::new(), expr);
            let step = step.as_ref().map_or(String::new(), |s| format!(":{}", expr(s)));
            format!("{}:{}{step}", part(from), part(to))
        }
    }
}

fn items(list: &[SeqItem]) -> String {
    let item = |i: &SeqItem| match (&i.act, &i.name) {
        (Some(act), _) => statement(act),
        (None, Some(name)) => format!("{} = {}", name.name, expr(&i.value)),
        (None, None) => expr(&i.value),
    };
    format!("{{ {} }}", join(list, "; ", item))
}

fn expr(value: &Expr) -> String {
    let unit = |unit: &Option<Ident>| unit.as_ref().map_or(String::new(), |u| format!(" {}", u.name));
    match &value.kind {
        ExprKind::Int(n, u) => format!("{n}{}", unit(u)),
        ExprKind::Float(n, u) => format!("{n:?}{}", unit(u)),
        ExprKind::Str(text) => format!("{text:?}"),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Tuple(values) if values.len() == 1 => format!("({},)", expr(&values[0])),
        ExprKind::Tuple(values) => format!("({})", join(values, ", ", expr)),
        ExprKind::List(values) => format!("[{}]", join(values, ", ", expr)),
        ExprKind::Call { callee, args } => {
            let arg = |a: &Arg| match &a.name {
                Some(name) => format!("{}: {}", name.name, expr(&a.value)),
                None => expr(&a.value),
            };
            format!("{}({})", expr(callee), join(args, ", ", arg))
        }
        ExprKind::Index { base, indices } => format!("{}[{}]", expr(base), join(indices, ", ", index)),
        ExprKind::Field { base, name } => format!("{}.{}", expr(base), name.name),
        ExprKind::Wildcard(s) => selection(s),
        ExprKind::Unary { op: UnaryOp::Neg, value } => format!("(-{})", expr(value)),
        ExprKind::Unary { op: UnaryOp::Not, value } => format!("(not {})", expr(value)),
        ExprKind::Binary { op, left, right, .. } => format!("({} {} {})", expr(left), op.symbol(), expr(right)),
        ExprKind::Pipe { value, stage } => format!("({} |> {})", expr(value), expr(stage)),
        ExprKind::Range { from, to } => format!("({}..{})", expr(from), expr(to)),
        ExprKind::If { condition, then, otherwise } => {
            let otherwise = match otherwise.as_deref() {
                None => String::new(),
                Some(Else::Block(block)) => format!(" else {}", inline(block)),
                Some(Else::If(value)) => format!(" else {}", expr(value)),
            };
            format!("if {} {}{otherwise}", expr(condition), inline(then))
        }
        ExprKind::Seq(list) => format!("seq {}", items(list)),
        ExprKind::Repeat { variable, over, body } => {
            let variable = variable.as_ref().map_or(String::new(), |v| format!("{} in ", v.name));
            format!("repeat {variable}{} {}", expr(over), items(body))
        }
        ExprKind::Scan(scan) => {
            let along = scan.along.as_ref().map_or(String::new(), |a| format!(" along {}", a.name));
            let by = scan.by.as_ref().map_or(String::new(), |b| format!(" by {}", expr(b)));
            let carries = join(&scan.carries, ", ", |(name, value)| format!("{} = {}", name.name, expr(value)));
            let again = if scan.recompute { " recompute" } else { "" };
            let with = if carries.is_empty() { String::new() } else { format!(" with {carries}") };
            let (p, over) = (pattern(&scan.pattern), expr(&scan.over));
            format!("scan {p} in {over}{along}{by}{again}{with} {}", inline(&scan.body))
        }
        ExprKind::Grouped { base, groups } => {
            let group = |g: &Group| {
                let settings = join(&g.settings, "; ", |(name, value)| format!("{} = {}", name.name, expr(value)));
                format!("{} {{ {settings} }}", selection(&g.selection))
            };
            format!("{} {{ {} }}", expr(base), join(groups, "; ", group))
        }
        ExprKind::Missing => "<missing>".into(),
        ExprKind::Error => "<error>".into(),
    }
}
