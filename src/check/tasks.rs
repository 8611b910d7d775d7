//! Tasks: settings, nets, and the step, evaluated once for training and once for evaluation.

use super::context::{Checker, Facts, Res, Scope, Sheet};
use super::generation::{GENERATE_SETTINGS, settings_of};
use super::program::{Every, Report, ReportKind, Settings, StepGraph, Task, Updated};
use super::updates::Between;
use super::values::{DataValue, OptimizerValue, Ty, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::graph::{NodeId, Output, OutputKind};
use crate::ops::{Clock, DType, Op, VarId};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Ident, SelectionPart, TaskDecl, TaskKind, TaskStmtKind};
use crate::syntax::walk::{each_expr, each_expr_of};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The settings that a task may have, sorted.
pub const SETTINGS: &[&str] = &[
    "accumulate",
    "batch",
    "budget",
    "clip_norm",
    "clip_value",
    "data",
    "ema",
    "epochs",
    "optimizer",
    "precision",
    "seed",
    "steps",
    "stop_when",
    "validate_every",
];

/// What the step at hand has produced so far.
#[derive(Default)]
pub struct StepState {
    pub train: bool,
    /// It is the step of a `predict` task.
    pub predicts: bool,
    pub reports: Vec<(Report, NodeId)>,
    pub optimizer: Option<(Rc<OptimizerValue>, Span)>,
    /// The task has an optimizer with a fault.
    pub optimizer_broken: bool,
    pub between: Between,
    /// How slowly averages of parameters follow them, if there are any.
    pub average: Option<f64>,
    /// Parameters that some `minimize` moves.
    pub moved: BTreeSet<VarId>,
    pub minimized: bool,
    pub updates: Vec<Updated>,
}

/// What a step is evaluated for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// To see which members there are.
    Survey,
    Train,
    Evaluate,
}

impl Checker<'_> {
    pub fn task(&mut self, decl: &Rc<TaskDecl>, number: usize) -> Option<Task> {
        let name = decl.name.as_ref().map_or(decl.kind.word().to_string(), |n| n.name.clone());
        self.task = number;
        self.optimizer_states.clear();
        self.generic = false;
        self.training = Some(decl.kind == TaskKind::Train);
        self.sheet = Sheet::default();
        self.draws.clear();
        self.scope_path = 0;
        self.forms.of_task(decl);
        let first_errors = self.errors();
        self.frozen.clear();
        let first_row = self.rows.len();
        let mut scope = Scope::new(decl.word.file);
        for param in &decl.params {
            let value = match &param.default {
                Some(default) => self.task_param(&name, param, default, &mut scope).unwrap_or(Value::Poison),
                None => Value::Unknown,
            };
            scope.bind(&param.name.name, value, param.name.span);
        }
        let mut settings = Settings::default();
        let mut data = None;
        let mut state = StepState::default();
        let (mut frozen, mut loads) = (Vec::new(), Vec::new());
        let names: Vec<Ident> = decl
            .body
            .iter()
            .filter_map(|s| if let TaskStmtKind::Bind { name, .. } = &s.kind { Some(name.clone()) } else { None })
            .collect();
        self.no_name_twice(&names);
        let mentioned = mentioned_in(decl);
        for stmt in &decl.body {
            match &stmt.kind {
                TaskStmtKind::Bind { name, value } => {
                    let unused = !mentioned.contains(&name.name) && !self.read_elsewhere.contains(&name.name);
                    let renamed = if unused { self.meant_setting(name, &names, decl.kind) } else { None };
                    let name = renamed.as_ref().unwrap_or(name);
                    self.task_binding(name, value, &mut settings, &mut data, &mut state, &mut scope);
                }
                TaskStmtKind::Load { selection, from } => loads.push((selection, from, stmt.span)),
                TaskStmtKind::Freeze(selection) => frozen.push(selection),
                TaskStmtKind::Error => {}
            }
        }
        let Some(step) = &decl.step else {
            let _: Res<()> = self.fail(
                Diagnostic::error(codes::MISSING_PART, decl.word, format!("`{name}` has no `step`"))
                    .label("a task says what one step does")
                    .help(match decl.kind {
                        TaskKind::Generate => "add `step(token) { net(token) }`, with the fields that it takes",
                        _ => "add `step(image, label) { … }`, with the fields that it takes",
                    }),
            );
            return None;
        };
        let facts = data.as_ref().map(|d: &Rc<DataValue>| self.facts(d));
        if let Some(facts) = &facts {
            self.sight_data(decl.word, facts);
        }
        self.feed = super::pipeline::FeedFields::default();
        // Data that could not be read was reported: its fields are unknown.
        let has_data = scope.local("data").is_some();
        let generates = decl.kind == TaskKind::Generate;
        if generates {
            settings.batch = Some(self.generated(decl, data.as_ref(), facts.as_ref(), has_data));
        }
        let batch = settings.batch.is_some().then(|| self.fresh("B"));
        let mut train = None;
        let mut eval = None;
        let trains = decl.kind == TaskKind::Train;
        let mut passes = if trains { vec![Pass::Train, Pass::Evaluate] } else { vec![Pass::Evaluate] };
        if super::forms::needs_survey(decl, &scope) {
            passes.insert(0, Pass::Survey);
        }
        let mut whole = true;
        let mut updates = Vec::new();
        for pass in passes {
            let training = pass == Pass::Train;
            self.training = Some(training || trains && pass == Pass::Survey);
            self.sheet = Sheet::default();
            self.draws.clear();
            self.demands.clear();
            self.scope_path = 0;
            self.forms.survey = pass == Pass::Survey;
            // States stay as they are outside of training.
            self.forms.still = !training;
            let mut inner = scope.clone();
            let errors = self.errors();
            self.step_fields(&step.params, data.as_ref(), facts.as_ref(), &batch, has_data, &mut inner);
            // A field that has a fault of its own takes everything behind it along.
            whole &= !inner.locals.iter().any(|l| matches!(l.value, Value::Poison));
            self.step = Some(StepState {
                train: training,
                predicts: decl.kind == TaskKind::Predict,
                optimizer: state.optimizer.clone(),
                optimizer_broken: state.optimizer_broken,
                between: state.between,
                ..StepState::default()
            });
            let value = self.eval_block(&step.body, &mut inner, false);
            if pass == Pass::Survey {
                self.step = None;
                // Where absent files leave sizes open, not all members may have been made.
                let open = self.sheet.hurt && facts.as_ref().is_some_and(|f| f.warning.is_some());
                whole &= self.errors() == errors;
                if whole && !open {
                    self.freeze_all(&frozen, &mut scope);
                }
                continue;
            }
            if decl.kind == TaskKind::Predict {
                self.predictions(value, step.body.span);
            } else if generates && self.errors() == errors {
                let span = step.body.stmts.last().map_or(step.body.span, |s| s.span);
                self.next_token(value, span, batch.as_ref());
            }
            let done = self.step.take().unwrap_or_default();
            if let (true, Some(decay)) = (training, state.average) {
                self.average_parameters(&done.moved, decay, state.between.accumulate, step.span);
            }
            if decl.kind == TaskKind::Train && !done.minimized && self.errors() == errors {
                self.report(
                    Diagnostic::error(codes::MISSING_PART, step.span, "nothing is minimised in this step")
                        .label("training makes a loss smaller")
                        .help("add `minimize LOSS`"),
                );
            }
            if training && self.errors() == errors {
                self.warn_unused(&inner);
            }
            for (outer, used) in scope.locals.iter_mut().zip(&inner.locals) {
                outer.used |= used.used;
            }
            whole &= self.errors() == errors && !self.sheet.hurt;
            if training && trains && whole && self.errors() == first_errors {
                self.unmoved_parameters(number, &done.moved, &scope);
                self.unapplied_items(number);
            }
            let applied = std::mem::take(&mut self.sheet.applied);
            let mut graph = std::mem::take(&mut self.sheet).graph_with_outputs();
            let mut reports = Vec::new();
            for (report, node) in done.reports {
                graph.outputs.push(Output { kind: OutputKind::Value(reports.len() as u32), node });
                reports.push(report);
            }
            let made = StepGraph { graph, reports, demands: std::mem::take(&mut self.demands), applied };
            updates.extend(done.updates);
            if training { train = Some(made) } else { eval = Some(made) }
        }
        let mut loaded = Vec::new();
        if whole && self.errors() == first_errors {
            for (selection, from, span) in loads {
                loaded.extend(self.load(selection, from, span, &mut scope));
            }
            let reports = eval.as_ref().map_or(&[][..], |e: &StepGraph| &e.reports);
            if let Some(stop) = &mut settings.stop_when {
                self.watched(stop, reports);
            }
            self.figures_exist(reports);
        } else {
            // What they select counts as used.
            for (selection, ..) in loads {
                let roots = selection.include.iter().filter_map(|p| p.parts.first());
                for root in roots {
                    if let SelectionPart::Name(name) = root
                        && let Some(local) = scope.local(&name.name)
                    {
                        local.used = true;
                    }
                }
            }
        }
        let missing = |d: &Diagnostic| {
            let inside = |s: Span| s.file == step.body.span.file && step.body.span.contains(s.start as usize);
            [codes::MISSING_ARGUMENT, codes::UNKNOWN_NAME].contains(&d.code) && d.span().is_some_and(inside)
        };
        if !self.found.iter().any(missing) {
            self.unused_bindings(decl, &scope);
        }
        let mut eval = eval.unwrap_or_default();
        let mut fields = {
            let mut graphs: Vec<_> = train.iter_mut().map(|t: &mut StepGraph| &mut t.graph).collect();
            graphs.push(&mut eval.graph);
            std::mem::take(&mut self.feed).used(&mut graphs)
        };
        let generation = self.generation(&mut eval, &mut fields, batch.as_ref());
        let rows = self.rows.split_off(first_row);
        self.task_scopes.insert(name.clone(), scope.locals.iter().map(|l| (l.name.clone(), l.value.clone())).collect());
        let mut vars = BTreeSet::new();
        let once = generation.iter().filter_map(|g| Some(&g.once.as_ref()?.graph));
        for graph in train.iter().map(|t| &t.graph).chain([&eval.graph]).chain(once) {
            for node in &graph.nodes {
                if let Op::Read(var) = node.op {
                    vars.insert(var);
                }
            }
            for output in &graph.outputs {
                if let OutputKind::Update(var) = output.kind {
                    vars.insert(var);
                }
            }
        }
        let metrics = vars.iter().copied().filter(|v| self.is_metric(*v)).collect();
        let mut seen = BTreeSet::new();
        let layers = rows.into_iter().filter(|r| seen.insert(r.path.clone())).collect();
        Some(Task {
            kind: decl.kind,
            name,
            number,
            span: decl.word,
            params: decl.params.iter().map(|p| p.name.name.clone()).collect(),
            settings,
            data,
            fields,
            batch,
            train,
            eval,
            vars: vars.into_iter().collect(),
            layers,
            loads: loaded,
            metrics,
            averages: self.forms.averages.iter().map(|(p, a)| (*p, *a)).collect(),
            whole,
            assumed: None,
            generation,
            decl: decl.clone(),
            facts,
            updates,
            ema: state.average,
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn task_binding(
        &mut self,
        name: &Ident,
        value: &Expr,
        settings: &mut Settings,
        data: &mut Option<Rc<DataValue>>,
        state: &mut StepState,
        scope: &mut Scope,
    ) {
        if self.generation_setting(name, value, scope) {
            return;
        }
        if name.name == "precision" {
            settings.precision = self.precision(value, scope);
            return;
        }
        let is_setting = match self.forms.generating.is_some() {
            true => GENERATE_SETTINGS.contains(&name.name.as_str()),
            false => SETTINGS.contains(&name.name.as_str()),
        };
        if is_setting && name.name == "stop_when" {
            settings.stop_when = self.stop_when(value, scope);
            return;
        }
        let result = if is_setting && matches!(name.name.as_str(), "optimizer") {
            self.eval(value, scope)
        } else {
            let result = self.eval(value, scope);
            match result {
                Some(v) if !is_setting => self.settle(v, &name.name, value.span),
                other => other,
            }
        };
        if !is_setting {
            result.iter().for_each(|v| self.name_copy(v, &name.name));
            // A setting's name with a slip in it, that nothing uses, is reported at the end.
            let result = result.unwrap_or(Value::Poison);
            self.sight(name.span, &result);
            scope.bind(&name.name, result, name.span);
            return;
        }
        let result = result.unwrap_or(Value::Poison);
        self.setting(name, result, value.span, settings, data, state, scope);
    }

    #[allow(clippy::too_many_arguments)]
    fn setting(
        &mut self,
        name: &Ident,
        value: Value,
        span: Span,
        settings: &mut Settings,
        data: &mut Option<Rc<DataValue>>,
        state: &mut StepState,
        scope: &mut Scope,
    ) {
        let bad = |what: &str, is: String| {
            Diagnostic::error(codes::BAD_SETTING, span, format!("`{}` is {is}, not {what}", name.name))
                .label(format!("{what} is needed here"))
        };
        let count_help = "write a whole number, for instance `64`";
        let kind = value.kind();
        let number = value.number();
        let count = number.filter(|n| *n >= 1.0 && n.fract() == 0.0);
        match name.name.as_str() {
            "data" if value.is_silent() => scope.bind("data", Value::Poison, name.span),
            "optimizer" if value.is_silent() => state.optimizer_broken = true,
            "batch" if value.is_silent() => settings.batch = Some(1),
            _ if value.is_silent() => {}
            "data" => match value {
                Value::Data(d) => {
                    scope.bind("data", Value::Data(d.clone()), name.span);
                    *data = Some(d);
                }
                _ => {
                    let sources = self.data.names().join(", ");
                    scope.bind("data", Value::Poison, name.span);
                    self.report(bad("a data set", kind).help(format!("sources are {sources}")));
                }
            },
            "optimizer" => match value {
                Value::Optimizer(o) => {
                    self.optimizer_arguments(&o, span);
                    state.optimizer = Some((o, span));
                }
                _ => {
                    state.optimizer_broken = true;
                    self.report(bad("an optimizer", kind).help("for instance `Adam(lr: 1e-3)`"));
                }
            },
            "batch" => match count {
                Some(n) => settings.batch = Some(n as usize),
                None => {
                    self.report(bad("a whole number above 0", kind).help(count_help));
                    // Its axis is there all the same.
                    settings.batch = Some(1);
                }
            },
            "epochs" => match number.filter(|n| *n > 0.0) {
                Some(n) => settings.epochs = Some(n),
                None => self.report(bad("a number above 0", kind).help("write a number, for instance `1`")),
            },
            "steps" => match count {
                Some(n) => settings.steps = Some(n as u64),
                None => self.report(bad("a whole number above 0", kind).help(count_help)),
            },
            "seed" => match number.filter(|n| *n >= 0.0 && n.fract() == 0.0) {
                Some(n) => settings.seed = Some(n as u64),
                None => self.report(bad("a whole number", kind).help("write a whole number, for instance `0`")),
            },
            "clip_norm" | "clip_value" => match number.filter(|n| *n > 0.0) {
                Some(n) if name.name == "clip_norm" => state.between.clip_norm = Some(n),
                Some(n) => state.between.clip_value = Some(n),
                None => self.report(bad("a number above 0", kind).help("write a number, for instance `1`")),
            },
            "accumulate" => match count {
                Some(n) => {
                    settings.accumulate = Some(n as u64);
                    state.between.accumulate = (n > 1.0).then_some(n as u64);
                }
                None => self.report(bad("a whole number above 0", kind).help("write a whole number, for instance `4`")),
            },
            "ema" => match number.filter(|n| *n > 0.0 && *n < 1.0) {
                Some(n) => state.average = Some(n),
                None => self.report(bad("a number between 0 and 1", kind).help("for instance `0.999`")),
            },
            "validate_every" => match &value {
                Value::Quantity(n, unit) if unit.starts_with("epoch") && *n > 0.0 => {
                    settings.validate_every = Some(Every::Epochs(*n));
                }
                Value::Quantity(n, unit) if unit.starts_with("step") && *n >= 1.0 => {
                    settings.validate_every = Some(Every::Steps(*n as u64));
                }
                _ => self.report(bad("a number of steps or epochs", kind).help("write `250 steps` or `1 epochs`")),
            },
            "budget" => match &value {
                Value::Quantity(n, unit) if bytes_of(unit).is_some() => {
                    settings.budget = bytes_of(unit).map(|b| ((n * b) as u64, span));
                }
                _ => self.report(bad("an amount of memory", kind).help("write `512 MiB` or `4 GiB`")),
            },
            other => {
                let _: Res<()> = self.not_supported(name.span, &format!("the setting `{other}`"));
            }
        }
    }

    /// What is known of a data set; a fault is reported, once.
    fn facts(&mut self, data: &DataValue) -> Facts {
        match self.data.facts(data) {
            Ok(facts) => {
                if let Some(warning) = facts.warning.clone() {
                    self.report(*warning);
                }
                facts
            }
            Err(fault) => {
                self.report(*fault);
                Facts::default()
            }
        }
    }

    fn predictions(&mut self, value: Res<Value>, span: Span) {
        let values = match value {
            Some(Value::Tuple(items)) => items,
            Some(v) if v.is_silent() => return,
            Some(Value::None) if self.step.as_ref().is_some_and(|s| !s.reports.is_empty()) => return,
            Some(v) => vec![v],
            None => return,
        };
        for (i, value) in values.into_iter().enumerate() {
            let Value::Tensor(node) = self.present(value, span) else {
                let _: Res<()> = self.fail(
                    Diagnostic::error(codes::WRONG_KIND, span, "the last value of a `predict` step is what is written")
                        .label("a tensor is needed at its end")
                        .help("end the step with the value to write"),
                );
                return;
            };
            let name = if i == 0 { "prediction".to_string() } else { format!("prediction_{i}") };
            if let Some(step) = &mut self.step {
                step.reports.push((Report { name, kind: ReportKind::Prediction, span }, node));
            }
        }
    }

    /// Reports a binding that nothing uses and whose name is nearly that of a setting; gives the setting.
    fn meant_setting(&mut self, name: &Ident, names: &[Ident], kind: TaskKind) -> Option<Ident> {
        let settings = settings_of(kind);
        if settings.contains(&name.name.as_str()) || name.name.is_empty() {
            return None;
        }
        let other = other_setting(&name.name).filter(|s| settings.contains(s));
        let meant = other.or_else(|| suggest::nearest(&name.name, settings.iter().copied()))?;
        self.report(
            Diagnostic::error(codes::UNKNOWN_SETTING, name.span, format!("there is no setting `{}`", name.name))
                .label("nothing uses this")
                .help(format!("did you mean `{meant}`?"))
                .fix(format!("write `{meant}`"), vec![(name.span, meant.to_string())], false),
        );
        // If the setting itself is there too, that one holds.
        let there = names.iter().any(|n| n.name == meant);
        let as_name = if there { String::from("_") } else { meant.to_string() };
        Some(Ident { name: as_name, span: name.span })
    }

    fn unused_bindings(&mut self, decl: &TaskDecl, scope: &Scope) {
        let unused: Vec<_> = scope
            .locals
            .iter()
            .filter(|l| {
                !l.used && l.name != "data" && !matches!(l.value, Value::Poison) && !self.meant.contains(&l.name)
            })
            .filter(|l| !decl.params.iter().any(|p| p.name.name == l.name))
            .filter(|l| !self.read_elsewhere.contains(&l.name))
            .map(|l| (l.name.clone(), l.span))
            .collect();
        for (name, span) in unused {
            let headline = format!("`{name}` is neither a setting nor used");
            let fault = Diagnostic::error(codes::UNKNOWN_SETTING, span, headline).label("nothing uses this").help(
                match name.as_str() {
                    _ if decl.kind == TaskKind::Generate && SETTINGS.contains(&name.as_str()) => {
                        "it is a setting of tasks that train; remove it here"
                    }
                    _ if decl.kind != TaskKind::Generate && GENERATE_SETTINGS.contains(&name.as_str()) => {
                        "it is a setting of `generate` tasks; remove it here"
                    }
                    "lr" | "learning_rate" => "the rate is the optimizer's: `optimizer = Adam(lr: 1e-3)`",
                    _ => "use it in the step, or remove it",
                },
            );
            self.report(fault);
        }
    }

    /// Fields of the clock: numbers known only while running, in double precision until they meet a tensor.
    pub fn clock_field(&mut self, name: &Ident, span: Span) -> Res<Value> {
        let part = match name.name.as_str() {
            "step" => Clock::Step,
            "epoch" => Clock::Epoch,
            "steps" => Clock::Steps,
            "epoch_steps" => Clock::EpochSteps,
            "validated" => return self.of_validation(super::schedules::VALIDATED, span),
            "figure" => return self.of_validation(super::schedules::FIGURE, span),
            _ => {
                return self.fail(
                    Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("the clock has no `{}`", name.name))
                        .help("it has `step`, `epoch`, `steps`, `epoch_steps`, `validated` and `figure`"),
                );
            }
        };
        let ty = Ty { dtype: DType::F32, axes: Vec::new(), tag: None, weak: false };
        let raw = self.node(Op::Clock(part), Vec::new(), ty.clone(), span);
        let wide = Ty { dtype: DType::F64, weak: true, ..ty };
        let value = self.node(Op::Cast, vec![raw], wide, span);
        self.in_updates(value, part, span)
    }

    /// `train.net`: a binding of another task.
    pub fn task_field(&mut self, task: &str, name: &Ident, span: Span) -> Res<Value> {
        let Some(scope) = self.task_scopes.get(task) else {
            return self.fail(
                Diagnostic::error(codes::UNKNOWN_NAME, span, format!("the task `{task}` comes later in the file"))
                    .help("put it first"),
            );
        };
        if let Some((_, value)) = scope.iter().find(|(n, _)| *n == name.name) {
            let value = value.clone();
            // A task that trains has a copy of its own.
            return Some(if self.forms.trains { self.copied(value, task) } else { value });
        }
        let names: Vec<String> = scope.iter().map(|(n, _)| n.clone()).collect();
        self.fail(
            Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("`{task}` has no `{}`", name.name))
                .help(format!("it has {}", names.join(", "))),
        )
    }

    /// The name that a report is logged under.
    pub fn report_name(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Call { callee, .. } => self.report_name(callee),
            ExprKind::Pipe { stage, .. } => self.report_name(stage),
            ExprKind::Name(name) => name.clone(),
            ExprKind::Field { name, .. } => name.name.clone(),
            _ => self.sources.text(expr.span).split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Our name for a setting of another library's.
fn other_setting(name: &str) -> Option<&'static str> {
    match name {
        "batch_size" | "batchsize" | "bs" => Some("batch"),
        "num_epochs" | "n_epochs" | "max_epochs" | "nepochs" => Some("epochs"),
        "max_steps" | "num_steps" | "iterations" | "iters" => Some("steps"),
        "optim" | "opt" => Some("optimizer"),
        "dataset" | "train_data" | "loader" => Some("data"),
        "random_seed" | "manual_seed" => Some("seed"),
        "grad_clip" | "clip_grad_norm" | "max_grad_norm" | "clipnorm" => Some("clip_norm"),
        "early_stopping" => Some("stop_when"),
        "accumulation_steps" | "grad_accum" => Some("accumulate"),
        "max_new_tokens" | "max_length" | "max_len" | "num_tokens" => Some("max_tokens"),
        "num_beams" | "beams" | "beam_size" | "beam_width" => Some("beam"),
        "temp" => Some("temperature"),
        "k" | "topk" => Some("top_k"),
        "nucleus" | "topp" => Some("top_p"),
        _ => None,
    }
}

/// Every name that an expression of the task mentions.
fn mentioned_in(decl: &TaskDecl) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut see = |e: &Expr| {
        if let ExprKind::Name(name) = &e.kind {
            names.insert(name.clone());
        }
    };
    for stmt in &decl.body {
        if let TaskStmtKind::Bind { value, .. } = &stmt.kind {
            each_expr(value, &mut see);
        }
    }
    decl.step.iter().for_each(|s| each_expr_of(&s.body, &mut see));
    names
}

/// Bytes of a unit of memory.
fn bytes_of(unit: &str) -> Option<f64> {
    let power = match unit {
        "KiB" => 1,
        "MiB" => 2,
        "GiB" => 3,
        "TiB" => 4,
        _ => return None,
    };
    Some(1024f64.powi(power))
}
