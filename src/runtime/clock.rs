//! Where in the training run a step is, as schedules and averages ask.

/// Where in the training run a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockValues {
    /// Steps finished before this one.
    pub step: u64,
    /// Epochs finished before this one.
    pub epoch: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of one epoch.
    pub epoch_steps: u64,
}
