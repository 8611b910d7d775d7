//! How long a run is and what happens after which step: in go the task's settings and the number of batches of an epoch,
//! out come the clock of every step and the places of figures and validations. It is a function of the number of finished
//! steps alone, so a resumed run needs nothing else to go on.

use super::Result;
use crate::check::{Every, Settings};
use crate::diag::{Diagnostic, codes};
use crate::engine::ClockValues;
use crate::source::Span;

/// In a task without data there are no epochs; its figures are averaged over this part of the run.
const WINDOWS: u64 = 20;

/// The course of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// Steps of one epoch; those of the whole run if there is no data.
    pub epoch_steps: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// A row of figures is written after so many steps.
    pub window: u64,
    /// Validation comes after so many steps, and after the last.
    pub validate_every: u64,
    /// Whether the steps are cut into epochs: whether there is data.
    pub has_epochs: bool,
    /// The program does not say how long to train, so it is one epoch.
    pub assumed: bool,
}

impl Course {
    /// The course of a task whose epochs have so many batches (none if it has no data). If both `epochs` and `steps` are
    /// set, whichever ends first ends the run.
    ///
    /// # Errors
    /// Without data there must be `steps`.
    pub fn new(settings: &Settings, batches: Option<usize>, task: Span) -> Result<Course> {
        let Some(batches) = batches else {
            let Some(steps) = settings.steps else {
                let d = Diagnostic::error(codes::BAD_SETTING, task, "how long to train is not said");
                let d = d.label("a task without data has no epochs");
                return Err(Box::new(d.help("set `steps = 1000`")));
            };
            let validate_every = match settings.validate_every {
                Some(Every::Steps(n)) => n.max(1),
                _ => steps,
            };
            let window = steps.div_ceil(WINDOWS).max(1);
            return Ok(Course { epoch_steps: steps, steps, window, validate_every, has_epochs: false, assumed: false });
        };
        let epoch_steps = (batches as u64).max(1);
        let of_epochs = |epochs: f64| ((epochs * epoch_steps as f64).round() as u64).max(1);
        let steps = match (settings.epochs.map(of_epochs), settings.steps) {
            (Some(a), Some(b)) => a.min(b),
            (Some(n), None) | (None, Some(n)) => n,
            (None, None) => epoch_steps,
        };
        let validate_every = match settings.validate_every {
            Some(Every::Steps(n)) => n.max(1),
            Some(Every::Epochs(n)) => of_epochs(n),
            None => epoch_steps,
        };
        let assumed = settings.epochs.is_none() && settings.steps.is_none();
        Ok(Course { epoch_steps, steps, window: epoch_steps, validate_every, has_epochs: true, assumed })
    }

    /// What the step after `done` steps is told.
    pub fn clock(&self, done: u64) -> ClockValues {
        ClockValues { step: done, epoch: self.epoch(done), steps: self.steps, epoch_steps: self.epoch_steps }
    }

    /// Epochs finished after `done` steps.
    pub fn epoch(&self, done: u64) -> u64 {
        if self.has_epochs { done / self.epoch_steps } else { 0 }
    }

    /// The batch of its epoch that the step after `done` steps takes.
    pub fn position(&self, done: u64) -> usize {
        if self.has_epochs { (done % self.epoch_steps) as usize } else { 0 }
    }

    /// The number, from 1, of the epoch that the last of `done` steps belonged to.
    pub fn epoch_number(&self, done: u64) -> u64 {
        self.epoch(done.saturating_sub(1)) + 1
    }

    /// Epochs of the whole run, the last perhaps not whole.
    pub fn epochs(&self) -> u64 {
        self.steps.div_ceil(self.epoch_steps.max(1))
    }

    /// Whether figures are written after `done` steps.
    pub fn ends_window(&self, done: u64) -> bool {
        done.is_multiple_of(self.window) || done == self.steps
    }

    /// Whether validation follows `done` steps.
    pub fn validates(&self, done: u64) -> bool {
        done.is_multiple_of(self.validate_every) || done == self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    fn course(settings: Settings, batches: Option<usize>) -> Course {
        Course::new(&settings, batches, Span::new(FileId(0), 0, 1)).expect("a course")
    }

    #[test]
    fn epochs_and_steps_end_a_run_whichever_is_first() {
        let set = |epochs, steps| Settings { epochs, steps, ..Settings::default() };
        assert_eq!(course(set(Some(2.0), None), Some(23)).steps, 46);
        assert_eq!(course(set(Some(0.5), None), Some(23)).steps, 12);
        assert_eq!(course(set(Some(0.001), None), Some(23)).steps, 1);
        assert_eq!(course(set(Some(2.0), Some(30)), Some(23)).steps, 30);
        assert_eq!(course(set(Some(1.0), Some(30)), Some(23)).steps, 23);
        let assumed = course(set(None, None), Some(23));
        assert!(assumed.assumed && assumed.steps == 23);
        assert!(Course::new(&set(Some(1.0), None), None, Span::new(FileId(0), 0, 1)).is_err());
    }

    #[test]
    fn the_clock_counts_steps_and_epochs() {
        let c = course(Settings { epochs: Some(2.5), ..Settings::default() }, Some(4));
        assert_eq!((c.steps, c.epochs()), (10, 3));
        assert_eq!(c.clock(0), ClockValues { step: 0, epoch: 0, steps: 10, epoch_steps: 4 });
        assert_eq!(c.clock(3).epoch, 0);
        assert_eq!((c.clock(4).epoch, c.position(4), c.position(7)), (1, 0, 3));
        assert_eq!((c.epoch_number(4), c.epoch_number(5)), (1, 2));
        let ends: Vec<u64> = (1..=10).filter(|d| c.ends_window(*d)).collect();
        assert_eq!(ends, [4, 8, 10]);
    }

    #[test]
    fn validation_is_as_often_as_said_and_at_the_end() {
        let at = |every, batches| {
            let c = course(Settings { steps: Some(10), validate_every: Some(every), ..Settings::default() }, batches);
            (1..=10).filter(|d| c.validates(*d)).collect::<Vec<u64>>()
        };
        assert_eq!(at(Every::Steps(3), Some(4)), [3, 6, 9, 10]);
        assert_eq!(at(Every::Epochs(0.5), Some(4)), [2, 4, 6, 8, 10]);
        assert_eq!(at(Every::Epochs(2.0), Some(4)), [8, 10]);
        assert_eq!(at(Every::Epochs(1.0), None), [10]);
    }

    #[test]
    fn without_data_figures_come_twenty_times() {
        let c = course(Settings { steps: Some(1000), ..Settings::default() }, None);
        assert_eq!((c.window, c.epoch_steps, c.clock(999).epoch, c.position(5)), (50, 1000, 0, 0));
        let c = course(Settings { steps: Some(3), ..Settings::default() }, None);
        assert_eq!((1..=3).filter(|d| c.ends_window(*d)).count(), 3);
    }
}
