//! What a run leaves behind: checkpoints, and the folder that records it.
