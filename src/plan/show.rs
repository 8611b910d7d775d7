//! Text forms of what fusion, lowering and planning made, for `--emit=fused`, `--emit=plan` and `--emit=loops`.

use super::{BufferKind, Operand, Plan, Repeat, Schedule, Work};
use crate::graph;
use crate::opt::fuse::{GroupKind, Grouping};
use std::fmt::Write;

/// The fused graph: each group with the nodes that it computes, then nodes that are computed wherever they are used.
pub fn fused(grouping: &Grouping) -> String {
    let text = graph::print(&grouping.graph);
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with('%')).collect();
    let mut out = String::new();
    let mut inside = vec![false; lines.len()];
    // In the order of the program: by the last node that is stored.
    let mut order: Vec<usize> = (0..grouping.groups.len()).collect();
    order.sort_by_key(|&g| grouping.groups[g].roots.iter().map(|r| r.target).max());
    for (number, &g) in order.iter().enumerate() {
        let group = &grouping.groups[g];
        let kind = match group.kind {
            GroupKind::Loops => "loops",
            GroupKind::Nest => "nest",
            GroupKind::Runtime => "runtime",
        };
        let stored: Vec<String> = group
            .roots
            .iter()
            .map(|r| match r.part {
                Some((axis, at)) => format!("%{} from {at} along axis {axis} of %{}", r.value.0, r.target.0),
                None => format!("%{}", r.target.0),
            })
            .collect();
        let _ = writeln!(out, "group {number} {kind} stores {} {{", stored.join(", "));
        let mut members: Vec<usize> = group.members.iter().map(|m| m.index()).collect();
        members.sort_unstable();
        for m in members {
            inside[m] = true;
            let _ = writeln!(out, "  {}", lines.get(m).unwrap_or(&""));
        }
        out.push_str("}\n");
    }
    lines.iter().zip(inside).filter(|(_, inside)| !inside).for_each(|(line, _)| {
        let _ = writeln!(out, "{line}");
    });
    text.lines().filter(|l| l.starts_with("update ") || l.starts_with("value ")).for_each(|l| {
        let _ = writeln!(out, "{l}");
    });
    out
}

/// All kernels.
pub fn kernels(schedule: &Schedule) -> String {
    let mut out: String = schedule.kernels.iter().map(|k| format!("{k}\n")).collect();
    for launch in &schedule.launches {
        if let Work::Repeat(repeat) = &launch.work {
            out += &kernels(&repeat.body.schedule);
        }
    }
    out
}

/// Buffers and launches.
pub fn schedule(schedule: &Schedule) -> String {
    let mut out = String::new();
    for (i, b) in schedule.buffers.iter().enumerate() {
        let _ = writeln!(out, "buffer {i} = {}", buffer(b));
    }
    launches(&mut out, schedule);
    out
}

/// Buffers with their places and lifetimes, and launches.
pub fn plan(plan: &Plan) -> String {
    let mut out = format!("arena {} bytes, at least {}\n", plan.arena_bytes, plan.lower_bound);
    for (i, b) in plan.schedule.buffers.iter().enumerate() {
        let (first, last) = plan.lifetimes[i];
        let _ = writeln!(out, "buffer {i} = {} at {} for {first}..={last}", buffer(b), plan.offsets[i]);
    }
    launches(&mut out, &plan.schedule);
    out
}

fn buffer(b: &super::Buffer) -> String {
    let kind = match &b.kind {
        BufferKind::Var(v) => format!("var {}", v.0),
        BufferKind::Field(i) => format!("field {i}"),
        BufferKind::Clock(c) => format!("clock {c:?}").to_lowercase(),
        BufferKind::Key => "key".to_string(),
        BufferKind::Constant(_) => "constant".to_string(),
        BufferKind::Temporary => "temporary".to_string(),
        BufferKind::Value(i) => format!("value {i}"),
        BufferKind::Workspace => "workspace".to_string(),
        BufferKind::Packed => "packed operand".to_string(),
        BufferKind::Kept(v) => format!("kept of var {}", v.0),
        BufferKind::Outer(n) => format!("outer {n}"),
    };
    let shape: Vec<String> = b.shape.iter().map(usize::to_string).collect();
    format!("{kind} : {}[{}]", b.dtype, shape.join(", "))
}

/// A body with the buffers that its own stand for.
fn repeat(out: &mut String, repeat: &Repeat) {
    let by = if repeat.reverse { " backwards" } else { "" };
    let bound = repeat.bindings.iter().map(|b| match b.stride {
        0 => b.buffer.0.to_string(),
        n => format!("{} by {n}", b.buffer.0),
    });
    let bound: Vec<String> = bound.collect();
    let starts: Vec<String> = repeat.starts.iter().map(|(from, to)| format!("{} = {}", to.0, from.0)).collect();
    let lanes = repeat.lanes.map_or(String::new(), |l| format!(" of {} rows in {} lanes", l.rows, l.count));
    let _ =
        writeln!(out, "repeat {}{by}{lanes} over ({}) from ({}) {{", repeat.count, bound.join(", "), starts.join(", "));
    let inner = match repeat.body.offsets.len() == repeat.body.schedule.buffers.len() {
        true => plan(&repeat.body),
        false => self::schedule(&repeat.body.schedule),
    };
    inner.lines().for_each(|line| {
        let _ = writeln!(out, "  {line}");
    });
    out.push('}');
}

fn launches(out: &mut String, schedule: &Schedule) {
    let list = |args: &[super::BufferId]| args.iter().map(|a| a.0.to_string()).collect::<Vec<_>>().join(", ");
    let view = |o: &Operand| format!("{} + {} strides {:?}", o.buffer.0, o.offset, o.strides);
    let name = |k: usize| schedule.kernels.get(k).map_or("?", |k| k.name.as_str());
    for (i, launch) in schedule.launches.iter().enumerate() {
        let _ = write!(out, "launch {i} = ");
        let after = match &launch.work {
            Work::Loops { kernel, args } => {
                let _ = write!(out, "{}({})", name(*kernel), list(args));
                &None
            }
            Work::Matmul { batch, m, n, k, a, b, c, epilogue, .. } => {
                let _ = write!(out, "matmul {batch}x{m}x{n}x{k} {} = ({}) * ({})", c.0, view(a), view(b));
                epilogue
            }
            Work::Conv { pass, shape, inputs, output, epilogue, .. } => {
                let pass = format!("{pass:?}").to_lowercase();
                let s = (shape.batch, shape.in_channels, shape.out_channels, shape.size, &shape.window.kernel);
                let _ = write!(out, "conv {pass} {s:?} {} = {}", output.0, list(inputs));
                epilogue
            }
            Work::Repeat(_) => &None,
        };
        if let Work::Repeat(body) = &launch.work {
            repeat(out, body);
        }
        if let Some(e) = after {
            let _ = write!(out, " then {}({})", name(e.kernel), list(&e.args));
        }
        let _ = writeln!(out, " flops {}", launch.flops);
    }
}
