//! Stage 1: text to syntax tree. Never fails: every text gives a tree.

pub mod ast;
