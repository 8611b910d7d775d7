//! What compiled programs call while they run: the thread pool and the hand-written CPU kernels. Pointers and
//! shapes come in, finished tensors go out; no function here allocates on the hot path.

pub mod arena;
mod cost;
pub mod cuda;
pub mod executable;
pub mod kernels;
pub mod launch;
pub mod mapped_file;
mod repeat;
pub mod threads;
