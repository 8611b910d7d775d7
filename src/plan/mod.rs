//! Stage 6: the schedule of a step and the place of every buffer.

mod schedule;

pub use schedule::*;
