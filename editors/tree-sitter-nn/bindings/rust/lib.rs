//! The nn language for tree-sitter: `parser.set_language(&tree_sitter_nn::LANGUAGE.into())`.

use tree_sitter_language::LanguageFn;

unsafe extern "C" {
    fn tree_sitter_nn() -> *const ();
}

/// The language.
// SAFETY: it is the function that tree-sitter generated, in `src/parser.c`.
pub const LANGUAGE: LanguageFn = unsafe { LanguageFn::from_raw(tree_sitter_nn) };

/// Which colour each node has.
pub const HIGHLIGHTS_QUERY: &str = include_str!("../../queries/highlights.scm");
