//! Training, evaluating and predicting: in go a checked task, its engine and its data, out come figures, checkpoints and
//! predictions. Nothing here reads a clock: the same program, data and seed leave the same bytes behind, whatever the
//! number of threads, and also if the run was interrupted and resumed.
//!
//! [`Course`] says how many steps there are and what happens after which; [`Feed`] fills the step's fields; [`Session`]
//! runs the steps; [`evaluate`] and [`predict`] run the other entry.

mod averages;
mod course;
mod evaluate;
mod feed;
mod not_finite;
mod predict;
mod progress;
mod saves;
mod session;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod weights;

pub use averages::Averages;
pub use course::Course;
pub use evaluate::{Evaluation, evaluate, figure_names};
pub use feed::{Feed, open, open_with, split, tokenized};
pub use predict::{Predictions, predict};
pub use progress::{News, Observer, Silent};
pub use session::{Ending, Outcome, Session, Setup};
pub use start::{Start, start};
pub use state::{Best, State, Watched, source_hash};
pub use weights::{load_all, load_net, net_value, save, seed_of};

use crate::diag::Diagnostic;

/// A value, or the diagnostic that says why there is none.
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;
