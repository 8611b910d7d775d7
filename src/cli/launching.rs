//! Flags of how a step goes to a GPU, for the commands that run steps.

use super::{Fault, usage};
use nnc::engine::{Engine, Mode};

#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Launching {
    /// With `--target cuda`: launch kernel by kernel, not a step as one graph
    #[arg(long)]
    pub no_graph: bool,
    /// With `--target cuda`: wait after each kernel, so that a failure names its line
    #[arg(long)]
    pub checked: bool,
}

impl Launching {
    /// Tells the engine.
    ///
    /// # Errors
    /// A flag for an engine that has no device.
    pub fn apply(self, engine: &mut dyn Engine) -> Result<(), Fault> {
        let flag = match self {
            Launching { checked: true, .. } => "--checked",
            Launching { no_graph: true, .. } => "--no-graph",
            _ => return Ok(()),
        };
        if engine.launch_as(Mode { no_graph: true, checked: self.checked, ..Mode::from_environment() }) {
            return Ok(());
        }
        Err(usage(format!("`{flag}` is of the target cuda"), "leave it out, or add `--target cuda`"))
    }
}
