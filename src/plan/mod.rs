//! Stage 6: the schedule of a step and the place of every buffer.

mod arena;
mod keep;
mod lanes;
mod lower;
mod lower_draw;
mod lower_eval;
mod lower_kernel;
mod lower_lanes;
mod lower_nests;
mod lower_order;
mod lower_runtime;
mod lower_scan;
pub mod reference;
pub mod report;
mod schedule;
pub mod show;
pub mod traffic;
mod widen;

pub use arena::{ALIGN, NoWorkspace, WorkspaceSizes, plan, var_layout, verify};
pub use keep::written;
pub use lower::{LowerError, lower, lower_groups};
pub use report::{Report, Row, report, size};
pub use schedule::*;
