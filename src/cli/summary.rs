//! `nnc summary`: the layers of every task and model of a file: output shape, parameters, operations.

use super::input::Input;
use super::{Exit, Fault, output, usage};
use nnc::check::{LayerRow, Program, Task, VarKind};
use nnc::ops;
use std::path::PathBuf;

/// List the layers with their output shapes, parameters and operations
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc summary net.nn\n  nnc summary net.nn --set \"net=DigitCnn(classes: 5)\"")]
pub struct Args {
    /// The program
    file: PathBuf,
    #[command(flatten)]
    pub input: Input,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let checked = args.input.checked(&args.file, None)?;
    let program = &checked.program;
    let mut out = String::new();
    for task in &program.tasks {
        out += &of_task(program, task);
    }
    for (name, rows) in &program.models {
        out += &format!("model {name}\n");
        let mut table = vec![head(false)];
        table.extend(rows.iter().map(|row| line(name, rows, row, None, None)));
        out += &output::table(&table, &[0, 1, 2]);
        out.push('\n');
    }
    if out.is_empty() {
        return Err(usage("the file has no model and no task", "add `model Name { … }`"));
    }
    output::print(&out);
    Ok(Exit::Ok)
}

fn head(whole: bool) -> Vec<String> {
    let all = ["layer", "kind", "output", "parameters", "FLOP a sample"];
    all[..if whole { 5 } else { 3 }].iter().map(|s| s.to_string()).collect()
}

/// Whether an instance is at a path or below it.
fn is_below(path: &str, instance: &str) -> bool {
    path.is_empty() || instance.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A line of the table; `whole` is the name of what has no path.
fn line(
    whole: &str,
    rows: &[LayerRow],
    row: &LayerRow,
    parameters: Option<String>,
    flops: Option<String>,
) -> Vec<String> {
    let above = rows.iter().filter(|r| r.path != row.path && is_below(&r.path, &row.path)).count();
    let indent = "  ".repeat(above);
    let path = if row.path.is_empty() { whole } else { &row.path };
    let outputs = row.output.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", ");
    let fixed = [format!("{indent}{path}"), row.layer.clone(), outputs];
    fixed.into_iter().chain(parameters).chain(flops).collect()
}

/// Values of a variable, if its sizes are numbers.
fn count(program: &Program, var: ops::VarId) -> Option<u64> {
    let sizes = program.var(var).ty.shape.iter().map(|d| d.number().and_then(|n| u64::try_from(n).ok()));
    sizes.product()
}

fn of_task(program: &Program, task: &Task) -> String {
    let flops = nnc::ide::forward_flops(task);
    let mut table = vec![head(true)];
    for row in &task.layers {
        // A layer counts what is below it.
        let inside = |path: &str| is_below(&row.path, path);
        let vars = task.vars.iter().filter(|v| program.var(**v).kind == VarKind::Param);
        let own: Option<u64> = vars.filter(|v| inside(&program.var(**v).path)).map(|v| count(program, *v)).sum();
        let work: Option<u64> =
            flops.as_ref().map(|all| all.iter().filter(|(scope, _)| inside(scope)).map(|(_, n)| n).sum());
        let number = |n: Option<u64>| n.map_or("?".to_string(), output::grouped);
        table.push(line(
            "",
            &task.layers,
            row,
            Some(number(own)),
            Some(work.map_or("?".to_string(), output::short_count)),
        ));
    }
    let mut out = format!("task {}\n{}", task.name, output::table(&table, &[0, 1, 2]));
    let total = |kind| {
        let vars: Vec<_> = task.vars.iter().filter(|v| program.var(**v).kind == kind).collect();
        let values: Option<u64> = vars.iter().map(|v| count(program, **v)).sum();
        let bytes: Option<u64> =
            vars.iter().map(|v| Some(count(program, **v)? * program.var(**v).ty.dtype.bytes() as u64)).sum();
        (values, bytes.map_or("?".to_string(), |b| output::bytes(b as usize)))
    };
    let kinds =
        [("parameters", VarKind::Param), ("state", VarKind::State), ("optimizer's state", VarKind::OptimizerState)];
    for (name, kind) in kinds {
        let (values, bytes) = total(kind);
        if values != Some(0) {
            out += &format!("{name}: {} ({bytes})\n", values.map_or("?".to_string(), output::grouped));
        }
    }
    out.push('\n');
    out
}
