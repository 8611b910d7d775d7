//! What a run leaves behind: in go a net's tensors and a run's figures, out come checkpoints and the folder that records
//! the run. A file is either whole or not there, and the same content is the same bytes.

pub mod checkpoint;
mod fit;
pub mod metrics;
mod replace;
pub mod run_folder;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, TensorRef};
pub use fit::{ALIASES, Fitted, Wanted, fit};
pub use metrics::{Keep, Metrics, Row};
pub use run_folder::{Record, RunFolder};

use crate::diag::Diagnostic;

/// A value, or the diagnostic that says why there is none.
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// The cure of a fault that no user can have made.
const OUR_FAULT: &str = "this is a mistake in nnc: please report it with the program";
