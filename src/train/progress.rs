//! What a run tells while it goes on. Observers print it; nothing that they do reaches the run.

use super::{Averages, Course};
use crate::diag::Diagnostic;

/// Something that happened.
#[derive(Debug)]
pub enum News<'a> {
    /// Everything is compiled; the first step comes next. `from` steps were done by an earlier run.
    Ready { course: &'a Course, from: u64 },
    /// A step is finished; the averages are those of the window so far.
    Step { done: u64, samples: usize, names: &'a [&'a str], averages: &'a Averages },
    /// A window of training steps is closed.
    Figures { done: u64, names: &'a [&'a str], averages: &'a Averages },
    /// A validation begins.
    Validating { batches: usize },
    /// A batch of it is finished.
    ValidatedBatch,
    /// A validation is finished; `best` if its loss is the lowest so far.
    Validated { done: u64, names: &'a [&'a str], averages: &'a Averages, best: bool },
    /// A checkpoint was written.
    Saved,
    /// Something that is no error.
    Warning(&'a Diagnostic),
    /// The loss is not finite: so many steps are run again to find out why.
    Replaying { steps: u64 },
}

/// Is told what happens.
pub trait Observer {
    fn tell(&mut self, news: News);
}

/// Says nothing.
pub struct Silent;

impl Observer for Silent {
    fn tell(&mut self, _: News) {}
}
