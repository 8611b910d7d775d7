//! What compiled programs call while they run: the thread pool and the hand-written CPU kernels. Pointers and
//! shapes come in, finished tensors go out; no function here allocates on the hot path.

pub mod kernels;
pub mod threads;
