//! What an optimizer is given.

use crate::check::{Callable, OptimizerValue, Stage, Value};
use crate::source::Span;
use crate::syntax::ast::Param;

/// The argument of this name, as the program gives it; none if it is left at its default.
pub fn given<'o>(optimizer: &'o OptimizerValue, name: &str) -> Option<(&'o Value, Span)> {
    argument(&optimizer.given, &optimizer.decl.params, name, 0)
}

/// The argument of a function whose first argument is still to come.
pub fn stage_given<'s>(stage: &'s Stage, name: &str) -> Option<(&'s Value, Span)> {
    let Callable::Fn(decl) = &stage.callable else { return None };
    argument(&stage.given, &decl.params, name, 1)
}

fn argument<'g>(
    given: &'g [crate::check::Given],
    params: &[Param],
    name: &str,
    skip: usize,
) -> Option<(&'g Value, Span)> {
    let named = given.iter().find(|g| g.name.as_deref() == Some(name));
    let place = params.iter().position(|p| p.name.name == name)?.checked_sub(skip)?;
    let positional = given.get(place).filter(|g| g.name.is_none());
    named.or(positional).map(|g| (&g.value, g.span))
}

/// The highest rate that a setting stands for: a number, or the `peak` or `start` of a schedule of the library.
pub fn highest(value: &Value) -> Option<f64> {
    match value {
        Value::Stage(stage) => {
            let (value, _) = stage_given(stage, "peak").or_else(|| stage_given(stage, "start"))?;
            value.number()
        }
        value => value.number(),
    }
}
