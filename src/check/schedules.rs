//! Schedules: what a rate is at a step. In go an optimizer's hyper-parameters, out come numbers known only while running.
//! A schedule is a function of the clock, or a layer with states whose `forward` takes the clock.
//!
//! What validation has found is part of the clock: `clock.validated` counts validations, `clock.figure` is the last one's loss,
//! and `figure("accuracy")` the last value of that figure. Each is a variable below the path `clock`, which the training loop
//! sets after a validation, so that a checkpoint keeps it.

use super::context::{Checker, Res, Scope};
use super::program::{Report, VarKind};
use super::values::{Given, InstanceId, Recipe, Ty, Value};
use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::{DType, Op, VarId};
use crate::source::Span;

/// How many validations there have been.
pub const VALIDATED: &str = "clock.validated";
/// The loss of the last one; below it, other figures by name.
pub const FIGURE: &str = "clock.figure";

impl Checker<'_> {
    /// A schedule is asked once a step.
    pub fn ask_schedules(&mut self, hypers: &mut Scope, span: Span) {
        for local in &mut hypers.locals {
            let schedule = match local.value.clone() {
                Value::Stage(stage) => Value::Stage(stage),
                Value::Recipe(recipe) => match self.schedule_layer(&recipe) {
                    Some(id) => Value::Layer(id),
                    None => Value::Poison,
                },
                _ => continue,
            };
            let clock = Given { name: None, value: Value::Clock, span };
            let rate = self.apply(schedule, vec![clock], span).unwrap_or(Value::Poison);
            local.value = self.of_the_clock(rate, span);
        }
    }

    /// A scalar in double precision takes the dtype of what it meets, as the clock's numbers do: a layer's states are not
    /// numbers of the clock by themselves.
    fn of_the_clock(&mut self, rate: Value, span: Span) -> Value {
        match rate {
            Value::Tensor(node) if self.ty(node).dtype == DType::F64 && self.ty(node).rank() == 0 => {
                let weak = Ty { dtype: DType::F64, axes: Vec::new(), tag: None, weak: true };
                Value::Tensor(self.node(Op::Cast, vec![node], weak, span))
            }
            rate => rate,
        }
    }

    /// The instance of a schedule that is a layer: one for each place where it is written.
    fn schedule_layer(&mut self, recipe: &Recipe) -> Res<InstanceId> {
        if let Some(&known) = self.forms.schedules.get(&recipe.span) {
            return Some(known);
        }
        let name = &recipe.decl.name.name;
        let taken = |path: &str| self.forms.schedules.values().any(|id| self.instances[id.0 as usize].path == path);
        let mut path = format!("clock.{name}");
        let mut number = 2;
        while taken(&path) {
            path = format!("clock.{name}_{number}");
            number += 1;
        }
        let id = self.make_instance(recipe, &path, recipe.span)?;
        self.forms.schedules.insert(recipe.span, id);
        Some(id)
    }

    /// A number that the last validation has left, in double precision until it meets a tensor.
    pub fn of_validation(&mut self, path: &str, span: Span) -> Res<Value> {
        let task = self.task;
        let known = self.vars.iter().position(|v| v.task == task && v.path == path);
        let var = match known {
            Some(i) => VarId(i as u32),
            None => {
                std::mem::swap(&mut self.sheet, &mut self.init);
                let zero = self.scalar(0.0, DType::F64, span);
                std::mem::swap(&mut self.sheet, &mut self.init);
                let place = self.blame(span);
                self.add_var(VarKind::State, path, DType::F64, &[], zero, place)
            }
        };
        let raw = self.read(var, span);
        let wide = Ty { dtype: DType::F64, axes: Vec::new(), tag: None, weak: true };
        Some(Value::Tensor(self.node(Op::Cast, vec![raw], wide, span)))
    }

    /// `figure("accuracy")`, or `figure()` for the loss.
    pub fn figure(&mut self, of: &Value, span: Span) -> Res<Value> {
        match of {
            Value::None => self.of_validation(FIGURE, span),
            Value::Str(name) => self.of_validation(&format!("{FIGURE}.{name}"), span),
            v => {
                let headline = format!("{} is not the name of a figure", v.kind());
                self.fail(Diagnostic::error(codes::WRONG_KIND, span, headline).help("write `figure(\"accuracy\")`"))
            }
        }
    }

    /// The figures that schedules ask for are there.
    pub fn figures_exist(&mut self, reports: &[Report]) {
        let names: Vec<&str> = reports.iter().map(|r| r.name.as_str()).collect();
        let begin = format!("{FIGURE}.");
        let asked: Vec<(String, Span)> = self
            .vars
            .iter()
            .filter(|v| v.task == self.task)
            .filter_map(|v| Some((v.path.strip_prefix(&begin)?.to_string(), v.span)))
            .collect();
        for (name, span) in asked.into_iter().filter(|(n, _)| !names.contains(&n.as_str())) {
            let fault = Diagnostic::error(codes::UNKNOWN_NAME, span, format!("no figure is called `{name}`"))
                .label("the step neither minimises nor reports it");
            self.report(match suggest::nearest(&name, names.iter().copied()) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help(format!("its figures are {}", names.join(", "))),
            });
        }
    }
}
