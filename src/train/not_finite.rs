//! The message for a loss that is no number: what the engine found, with the place in the run.

use super::Course;
use crate::check::Report;
use crate::diag::{Diagnostic, codes};
use std::path::Path;

/// When it happened.
pub struct Moment<'a> {
    /// Steps finished before.
    pub step: u64,
    pub course: &'a Course,
    /// The last good checkpoint with its step, if there is one.
    pub kept: Option<(&'a Path, u64)>,
}

/// `inf`, `-inf` or `NaN`.
fn spell(value: f64) -> &'static str {
    match value {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "inf",
        _ => "-inf",
    }
}

/// Completes the engine's diagnosis; without one, says what is known. `found` is the report and its value.
pub fn complete(why: Option<Diagnostic>, found: Option<(&Report, f64)>, at: &Moment) -> Box<Diagnostic> {
    let place = match at.course.has_epochs {
        true => format!(
            "in step {} (epoch {}, batch {})",
            at.step + 1,
            at.course.epoch(at.step) + 1,
            at.course.position(at.step) + 1
        ),
        false => format!("in step {}", at.step + 1),
    };
    let mut d = match (why, found) {
        (Some(d), _) => d,
        (None, Some((report, value))) => {
            let what = format!("`{}` is {} {place}", report.name, spell(value));
            Diagnostic::error(codes::NOT_FINITE, report.span, what).label("this is not finite")
        }
        (None, None) => Diagnostic::placeless(codes::NOT_FINITE, format!("a parameter is not finite after {place}")),
    };
    if let Some((report, value)) = found {
        d = d.note(format!("{place}, where `{}` is {}", report.name, spell(value)));
    } else {
        d = d.note(format!("{place}, whose update makes a parameter that is not finite"));
    }
    if let Some((path, step)) = at.kept {
        d = d.note(format!("the checkpoint after step {step} is kept: {}", path.display()));
    }
    if d.help.is_empty() {
        d = d.help("lower the learning rate, or set `clip_norm = 1.0`");
    }
    Box::new(d)
}
