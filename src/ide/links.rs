//! Links: the files that a text names, in `use` lines and in strings.

use super::Analysis;
use super::hover::each_expr_in_file;
use crate::check::LIBRARY_FILES;
use crate::syntax::ast::{ExprKind, ItemKind};
use std::collections::BTreeMap;
use std::ops::Range;

/// Where a link leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Linked {
    /// A module of the standard library: `layers`.
    Std(&'static str),
    /// A path, from the folder of the text.
    File(String),
}

/// The links of a file, by place; whether the files exist is for whoever can look.
pub fn links(a: &Analysis) -> Vec<(Range<usize>, Linked)> {
    let mut out: BTreeMap<(usize, usize), Linked> = BTreeMap::new();
    for item in &a.syntax.tree.items {
        let ItemKind::Use(paths) = &item.kind else { continue };
        for path in paths {
            let Some((_, modules)) = path.parts.split_last() else { continue };
            let (Some(first), Some(last)) = (modules.first(), modules.last()) else { continue };
            let to = match first.name.as_str() {
                "std" => LIBRARY_FILES.iter().find(|(n, _)| *n == last.name).map(|(n, _)| Linked::Std(n)),
                _ => {
                    let names: Vec<&str> = modules.iter().map(|m| m.name.as_str()).collect();
                    Some(Linked::File(format!("{}.nn", names.join("/"))))
                }
            };
            out.extend(to.map(|to| ((first.span.start as usize, last.span.end as usize), to)));
        }
    }
    each_expr_in_file(a, &mut |e| {
        // Without its quotes.
        let (start, end) = (e.span.start as usize + 1, (e.span.end as usize).saturating_sub(1));
        if let ExprKind::Str(text) = &e.kind
            && text.contains(['.', '/'])
            && start < end
            && a.text().get(start..end) == Some(text)
        {
            out.insert((start, end), Linked::File(text.clone()));
        }
    });
    out.into_iter().map(|((start, end), to)| (start..end, to)).collect()
}
