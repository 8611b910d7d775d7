//! What takes memory, for people. In: a plan and the sources it comes from. Out: a row for each buffer, largest first,
//! with the expression it belongs to; as a table or as JSON.

use super::{BufferKind, Plan};
use crate::check::{Program, Task};
use crate::source::Sources;
use serde_json::{Value, json};
use std::fmt::Write;

/// One buffer of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// "variable 3", "temporary", …
    pub what: String,
    /// `f32[64, 10]`
    pub ty: String,
    pub bytes: usize,
    pub offset: usize,
    /// First and last launch that need it.
    pub life: (usize, usize),
    /// The instance it was computed in: `net.fc1`; empty for the task itself.
    pub scope: String,
    /// `file:line:column`
    pub place: String,
}

/// The memory of one entry point.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Largest first.
    pub rows: Vec<Row>,
    pub launches: usize,
    pub arena_bytes: usize,
    /// Bytes of what is kept of variables.
    pub kept_bytes: usize,
    pub lower_bound: usize,
}

/// Gathers the rows.
pub fn report(plan: &Plan, sources: &Sources) -> Report {
    let known: Vec<_> = sources.ids().collect();
    let mut rows: Vec<Row> = Vec::new();
    for (i, buffer) in plan.schedule.buffers.iter().enumerate() {
        let span = buffer.origin.span;
        let shape: Vec<String> = buffer.shape.iter().map(usize::to_string).collect();
        rows.push(Row {
            what: what(&buffer.kind),
            ty: format!("{}[{}]", buffer.dtype, shape.join(", ")),
            bytes: buffer.bytes(),
            offset: plan.offsets[i],
            life: plan.lifetimes[i],
            scope: plan.schedule.scopes.get(buffer.origin.scope as usize).cloned().unwrap_or_default(),
            place: if known.contains(&span.file) { sources.place(span) } else { String::new() },
        });
    }
    rows.sort_by_key(|r| std::cmp::Reverse(r.bytes));
    let launches = plan.schedule.launches.len();
    Report { rows, launches, arena_bytes: plan.arena_bytes, kept_bytes: plan.kept_bytes, lower_bound: plan.lower_bound }
}

fn what(kind: &BufferKind) -> String {
    match kind {
        BufferKind::Var(v) => format!("variable {}", v.0),
        BufferKind::Field(i) => format!("field {i}"),
        BufferKind::Clock(_) => "clock".to_string(),
        BufferKind::Key => "key".to_string(),
        BufferKind::Constant(_) => "constant".to_string(),
        BufferKind::Temporary => "temporary".to_string(),
        BufferKind::Value(i) => format!("result {i}"),
        BufferKind::Workspace => "workspace".to_string(),
        BufferKind::Packed => "packed operand".to_string(),
        BufferKind::Kept(v) => format!("kept of variable {}", v.0),
        BufferKind::Outer(n) => format!("outer {n}"),
    }
}

/// Bytes in the unit that gives few digits: `512 B`, `1.5 MiB`.
pub fn size(bytes: usize) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

impl Report {
    /// A plan knows variables by number; people know them by path.
    pub fn name_variables(&mut self, program: &Program, task: &Task) {
        for row in &mut self.rows {
            let named = task.vars.iter().find(|v| row.what == format!("variable {}", v.0));
            if let Some(var) = named {
                row.what = program.var(*var).path.clone();
            }
        }
    }

    /// The table with at most so many rows.
    pub fn table(&self, most: usize) -> String {
        let cells = |r: &Row| {
            let life = format!("{}..{}", r.life.0, r.life.1);
            [size(r.bytes), r.ty.clone(), r.what.clone(), life, r.scope.clone(), r.place.clone()]
        };
        let head = ["bytes", "type", "what", "launches", "in", "place"].map(String::from);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.rows.iter().take(most).map(cells)).collect();
        let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let mut out = String::new();
        for row in &rows {
            let mut line = format!("{:>w$}", row[0], w = width(0));
            for (c, cell) in row.iter().enumerate().skip(1) {
                let _ = write!(line, "  {cell:<w$}", w = width(c));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        if self.rows.len() > most {
            let rest: usize = self.rows[most..].iter().map(|r| r.bytes).sum();
            let _ = writeln!(out, "and {} smaller ones of {} in all", self.rows.len() - most, size(rest));
        }
        let over = (self.arena_bytes as f64 / self.lower_bound.max(1) as f64 - 1.0) * 100.0;
        let arena = size(self.arena_bytes);
        let _ = writeln!(out, "arena {arena}, {over:.1} % above the least possible, {} launches", self.launches);
        if self.kept_bytes > 0 {
            let _ = writeln!(out, "{} of weights kept in the order that they are read in", size(self.kept_bytes));
        }
        out
    }

    pub fn json(&self) -> Value {
        let row = |r: &Row| {
            json!({
                "what": r.what, "type": r.ty, "bytes": r.bytes, "offset": r.offset,
                "first": r.life.0, "last": r.life.1, "scope": r.scope, "place": r.place,
            })
        };
        json!({
            "arena_bytes": self.arena_bytes,
            "kept_bytes": self.kept_bytes,
            "lower_bound": self.lower_bound,
            "launches": self.launches,
            "buffers": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Origin;
    use crate::ops::DType;
    use crate::plan::{Buffer, Schedule};
    use crate::source::Span;

    #[test]
    fn rows_are_sorted_and_placed() {
        let mut sources = Sources::default();
        let file = sources.add("net.nn", "a\nbc = d\n");
        let buffer = |len: usize, scope: u32| Buffer {
            kind: BufferKind::Temporary,
            dtype: DType::F32,
            len,
            shape: vec![len],
            origin: Origin { span: Span::new(file, 2, 4), scope },
        };
        let scopes = vec![String::new(), "net.fc1".to_string()];
        let schedule = Schedule { buffers: vec![buffer(3, 0), buffer(1000, 1)], scopes, ..Schedule::default() };
        let (arena_bytes, lower_bound) = (4096, 4096);
        let plan = Plan {
            schedule,
            offsets: vec![0, 64],
            lifetimes: vec![(0, 1), (1, 2)],
            arena_bytes,
            kept_bytes: 0,
            lower_bound,
        };
        let report = report(&plan, &sources);
        let table = report.table(1);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].contains("3.9 KiB  f32[1000]  temporary  1..2      net.fc1  net.nn:2"), "{table}");
        assert_eq!(lines[2], "and 1 smaller ones of 12 B in all");
        assert_eq!(report.json()["buffers"][1]["bytes"], 12);
    }
}
