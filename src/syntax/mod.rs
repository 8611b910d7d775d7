//! Stage 1: text to syntax tree. Never fails: every text gives a tree.
//!
//! [`parse`] is the way in. `tokens` → `habits` → `brackets` → `layout` prepare the text, `grammar` (pest) matches it, the
//! `lower` files make the tree; `concrete` keeps every token and comment instead, for the formatter,
//! and `classes` says what each of them is. `again` reads a text whose earlier state is known.

mod again;
pub mod ast;
mod brackets;
mod classes;
pub(crate) mod concrete;
mod dump;
mod grammar;
mod habits;
mod habits_inline;
mod layout;
mod lower;
mod lower_expr;
mod lower_item;
mod lower_stmt;
mod lower_type;
mod parse;
mod spans;
mod tokens;
pub mod walk;

pub(crate) use grammar::Rule;

pub use again::parse_again;
pub use classes::{Class, classes};
pub use dump::{dump, dump_expr};
pub use parse::{parse, parse_at, parse_expr};
