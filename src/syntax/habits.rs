//! Habits of other languages: recognised by their tokens, reported with what nn writes, and put right for the grammar.
//!
//! In: the tokens. Out: the same with some blanked or replaced, one diagnostic each. Nothing here touches a valid program.

use super::layout::Draft;

pub(super) fn settle(_draft: &mut Draft) {}
