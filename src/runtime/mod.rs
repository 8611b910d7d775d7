//! What compiled programs stand on while they run.

pub mod mapped_file;
