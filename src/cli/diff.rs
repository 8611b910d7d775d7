//! The difference of two texts as people read it.

use similar::TextDiff;

/// A unified diff with three lines around every change; empty if the texts are equal.
pub fn unified(name: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).header(name, name).to_string()
}
