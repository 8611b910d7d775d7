//! How long a training is, as far as checking knows.

use crate::check::{Every, Task, Value};

/// Steps of one epoch.
pub fn steps_of_epoch(task: &Task) -> Option<f64> {
    let count = task.facts.as_ref()?.count?;
    Some(count.div_ceil(task.settings.batch.unwrap_or(1)).max(1) as f64)
}

/// Steps of the whole training.
pub fn steps(task: &Task) -> Option<f64> {
    match (task.settings.steps, task.settings.epochs) {
        (Some(steps), _) => Some(steps as f64),
        (None, Some(epochs)) => Some((epochs * steps_of_epoch(task)?).ceil()),
        (None, None) => None,
    }
}

/// A number of steps or epochs as a part of the whole training: 1 is all of it.
pub fn share(task: &Task, duration: &Value) -> Option<f64> {
    match duration {
        Value::Quantity(n, unit) if unit.starts_with("epoch") => share_of(task, Every::Epochs(*n)),
        Value::Quantity(n, unit) if unit.starts_with("step") => Some(n / steps(task)?),
        value => Some(value.number()? / steps(task)?),
    }
}

/// The same of a setting.
pub fn share_of(task: &Task, every: Every) -> Option<f64> {
    match every {
        Every::Epochs(n) => match (task.settings.epochs, task.settings.steps) {
            (Some(epochs), None) => Some(n / epochs),
            _ => Some(n * steps_of_epoch(task)? / steps(task)?),
        },
        Every::Steps(n) => Some(n as f64 / steps(task)?),
    }
}

/// `12 epochs`, `300 steps`: the whole training, for messages.
pub fn shown(task: &Task) -> String {
    match (task.settings.steps, task.settings.epochs) {
        (Some(steps), _) => format!("{steps} steps"),
        (None, Some(epochs)) => match steps(task) {
            Some(steps) => format!("{epochs} epochs, {steps} steps"),
            None => format!("{epochs} epochs"),
        },
        (None, None) => "unknown".into(),
    }
}
