//! Stage 5: rewrites of the tensor graph, and the choice of what runs together.

pub mod fuse;
pub mod fuse_access;
pub mod fuse_prepare;
pub mod fuse_view;
