//! Machine code against the kernel IR's interpreter: the same bits for exact operations, a few units in the last place
//! for elementary functions, whatever the lengths, the dtypes and the way a loop is split.

mod nests;
mod operations;
mod random;
mod support;
