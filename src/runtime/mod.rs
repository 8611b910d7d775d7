//! What compiled programs call while they run: the thread pool and the hand-written CPU kernels. Pointers and
//! shapes come in, finished tensors go out; no function here allocates on the hot path.
//!
//! In WebAssembly, where machine code cannot be made, only what planning asks is there: the kernels' shapes and scratch memory.

#[cfg(not(target_arch = "wasm32"))]
pub mod arena;
pub mod clock;
#[cfg(not(target_arch = "wasm32"))]
mod cost;
#[cfg(not(target_arch = "wasm32"))]
pub mod cuda;
#[cfg(not(target_arch = "wasm32"))]
pub mod executable;
pub mod kernels;
#[cfg(not(target_arch = "wasm32"))]
pub mod launch;
pub mod mapped_file;
pub mod mode;
#[cfg(not(target_arch = "wasm32"))]
mod repeat;
pub mod threads;
mod work;

pub use work::Workspaces;
