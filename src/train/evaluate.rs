//! Measuring: in go an engine and a feed, out come the averages of every loss and metric over its samples. Nothing is
//! updated.

use super::{Averages, Feed, Result};
use crate::check::{Report, ReportKind};
use crate::diag::Diagnostic;
use crate::engine::{ClockValues, Engine, Entry, StepInputs};
use std::sync::atomic::{AtomicBool, Ordering};

/// How a pass over the data ended.
#[derive(Debug)]
pub enum Evaluation {
    /// The average of each figure, in the order of `figures`.
    Done(Averages),
    /// It was asked to stop.
    Stopped,
    /// A loss is not finite: what the engine says about it.
    NotFinite { report: usize, value: f64, why: Option<Box<Diagnostic>> },
}

/// The positions of the reports that are averaged: losses and metrics.
pub fn figures(reports: &[Report]) -> Vec<usize> {
    let is_figure = |kind| matches!(kind, ReportKind::Loss | ReportKind::Metric | ReportKind::Running);
    (0..reports.len()).filter(|i| is_figure(reports[*i].kind)).collect()
}

/// Which of the figures are about all samples already.
pub fn running(reports: &[Report]) -> Vec<bool> {
    figures(reports).into_iter().map(|i| reports[i].kind == ReportKind::Running).collect()
}

/// Runs the evaluation entry once over the feed. `stop` is looked at between batches.
pub fn evaluate(
    engine: &mut dyn Engine,
    reports: &[Report],
    feed: &mut Feed,
    seed: u64,
    clock: ClockValues,
    stop: &AtomicBool,
    mut after_batch: impl FnMut(),
) -> Result<Evaluation> {
    let figures = figures(reports);
    let mut averages = Averages::new(figures.len()).with_running(running(reports));
    for position in 0..feed.batches().unwrap_or(1) {
        if stop.load(Ordering::Relaxed) {
            return Ok(Evaluation::Stopped);
        }
        let samples = feed.load(seed, 0, position);
        let batch = feed.engine_batch(samples);
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock, seed };
        engine.run(Entry::Eval, batch, &inputs)?;
        averages.add(samples, |i| engine.scalar(figures[i]));
        let bad = figures.iter().find(|i| reports[**i].kind == ReportKind::Loss && !engine.scalar(**i).is_finite());
        if let Some(&report) = bad {
            let value = engine.scalar(report);
            let why = engine.explain_not_finite(Entry::Eval, batch, &inputs).map(Box::new);
            return Ok(Evaluation::NotFinite { report, value, why });
        }
        after_batch();
    }
    Ok(Evaluation::Done(averages))
}

/// The names of the figures, in their order.
pub fn figure_names(reports: &[Report]) -> Vec<&str> {
    figures(reports).into_iter().map(|i| reports[i].name.as_str()).collect()
}
