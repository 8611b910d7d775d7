//! The pest parser of `grammar/nn.pest`. Of pest, only `parse` and `classes` (which run it),
//! `lower` and `concrete` (its pairs) see more.
//!
//! The grammar is linear (left-factored, see its README), nesting is capped before it runs, so no call limit is needed:
//! pest's is one for the whole process and would make parses in other threads fail.

use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "../grammar/nn.pest"]
pub(super) struct Grammar;
