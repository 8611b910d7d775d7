//! `--emit`: the state after any stage, as text.

use crate::check::Task;
use crate::codegen::cpu as code;
use crate::diag::{Diagnostic, codes, suggest};
use crate::driver::Checked;
use crate::engine::Entry;
pub use crate::engine::planned::plan_entry as plan;
use crate::plan::{self, Schedule, Work};
use crate::{graph, opt, stages, syntax};
use std::fmt::Write;

/// What can be shown, in the order of the pipeline.
pub const STAGES: &[(&str, &str)] = &[
    ("ast", "the syntax tree"),
    ("hir", "the checked step, sizes by name"),
    ("graph", "the step with numbers for sizes"),
    ("grad", "the same after differentiation and simplification"),
    ("fused", "which nodes share a kernel"),
    ("plan", "launches, buffers and their places"),
    ("loops", "the kernels as loops"),
    ("clif", "the kernels as Cranelift IR"),
    ("asm", "the kernels as machine code"),
];

/// The text of a stage.
pub fn emit(
    checked: &Checked,
    task: &Task,
    entry: Entry,
    batch: usize,
    threads: usize,
    stage: &str,
) -> Result<String, Box<Diagnostic>> {
    let planned = || plan(&checked.program, task, entry, batch, threads);
    Ok(match stage {
        "ast" => {
            let text = &checked.sources.file(checked.file).text;
            syntax::dump(&syntax::parse(text, checked.file).0)
        }
        "hir" => match (entry, &task.train) {
            (Entry::Train, Some(train)) => graph::print(&train.graph),
            (Entry::Once, _) => {
                let once = task.generation.as_ref().and_then(|g| g.once.as_ref());
                once.map_or_else(String::new, |step| graph::print(&step.graph))
            }
            _ => graph::print(&task.eval.graph),
        },
        "graph" => graph::print(&stages::built_graph(task, entry, batch)?),
        "grad" => graph::print(&stages::step_graph(task, entry, batch, &mut Vec::new())?),
        "fused" => {
            let graph = stages::step_graph(task, entry, batch, &mut Vec::new())?;
            plan::show::fused(&opt::fuse::fuse(&graph))
        }
        "plan" => plan::show::plan(&planned()?),
        "loops" => plan::show::kernels(&planned()?.schedule),
        "clif" => machine(&planned()?.schedule, code::clif)?,
        "asm" => machine(&planned()?.schedule, code::assembly)?,
        other => {
            let names: Vec<&str> = STAGES.iter().map(|s| s.0).collect();
            let fault = Diagnostic::placeless(codes::USAGE, format!("there is no stage `{other}` to show"));
            return Err(Box::new(match suggest::nearest(other, names.iter().copied()) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help(format!("stages are {}", names.join(", "))),
            }));
        }
    })
}

type Show = fn(&code::Target, &crate::codegen::loops::Kernel, code::Entry) -> Result<String, Box<Diagnostic>>;

/// Every kernel of a schedule in a back end's text.
fn machine(schedule: &Schedule, show: Show) -> Result<String, Box<Diagnostic>> {
    let target = code::Target::host(code::Optimize::Speed)?;
    let mut tiles = Vec::new();
    for launch in &schedule.launches {
        if let Work::Matmul { epilogue: Some(e), .. } | Work::Conv { epilogue: Some(e), .. } = &launch.work {
            tiles.push(e.kernel);
        }
    }
    let mut text = String::new();
    for (i, kernel) in schedule.kernels.iter().enumerate() {
        let entry = if tiles.contains(&i) { code::Entry::Tile } else { code::Entry::Range };
        let _ = writeln!(text, "{}", show(&target, kernel, entry)?);
    }
    Ok(text)
}
