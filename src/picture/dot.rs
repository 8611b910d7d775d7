//! DOT, the language of Graphviz.

use super::{Member, Picture, Unit};
use std::fmt::Write;

pub fn write(picture: &Picture) -> String {
    let mut out = String::from(
        "digraph model {\n  rankdir = TB;\n  node [shape = box, style = \"rounded,filled\", fontname = \"Helvetica\"];\n  edge [fontname = \"Helvetica\", fontsize = 10];\n",
    );
    members(picture, 0, 1, &mut out);
    for &(a, b) in &picture.edges {
        let _ = writeln!(out, "  u{a} -> u{b} [label = {}];", quoted(&picture.units[a].output));
    }
    out + "}\n"
}

fn members(picture: &Picture, group: usize, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for member in &picture.groups[group].members {
        match *member {
            Member::Unit(unit) => {
                let Unit { label, name, kind, .. } = &picture.units[unit];
                let text = if name.is_empty() { label.clone() } else { format!("{name}\n{label}") };
                let (fill, border) = kind.colors();
                let _ = writeln!(
                    out,
                    "{indent}u{unit} [label = {}, fillcolor = \"{fill}\", color = \"{border}\"];",
                    quoted(&text)
                );
            }
            Member::Group(inner) => {
                let group = &picture.groups[inner];
                let times = if group.times > 1 { format!(" × {}", group.times) } else { String::new() };
                let _ = writeln!(out, "{indent}subgraph cluster_{inner} {{");
                let _ = writeln!(out, "{indent}  label = {};", quoted(&(group.label.clone() + &times)));
                members(picture, inner, depth + 1, out);
                let _ = writeln!(out, "{indent}}}");
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
