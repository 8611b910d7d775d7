//! `nnc summary`: the layers of every task and model of a file: output shape, parameters, operations.

use super::input::Input;
use super::{Exit, Fault, output, usage};
use nnc::check::VarKind;
use nnc::ide::{self, Summary};
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
    let out: String = ide::summaries(&checked.program).iter().map(table).collect();
    if out.is_empty() {
        return Err(usage("the file has no model and no task", "add `model Name { … }`"));
    }
    output::print(&out);
    Ok(Exit::Ok)
}

fn table(summary: &Summary) -> String {
    let all = ["layer", "kind", "output", "parameters", "FLOP a sample"];
    let columns = if summary.task { all.len() } else { 3 };
    let mut table = vec![all[..columns].iter().map(|s| s.to_string()).collect()];
    for row in &summary.rows {
        let number = |n: Option<u64>, text: fn(u64) -> String| n.map_or("?".to_string(), text);
        let mut line = vec![
            format!("{}{}", "  ".repeat(row.depth), row.path),
            row.layer.clone(),
            row.output.join(", "),
            number(row.parameters, output::grouped),
            number(row.flops, output::short_count),
        ];
        line.truncate(columns);
        table.push(line);
    }
    let head = if summary.task { "task" } else { "model" };
    let mut out = format!("{head} {}\n{}", summary.name, output::table(&table, &[0, 1, 2]));
    for (kind, values, bytes) in &summary.totals {
        let name = match kind {
            VarKind::Param => "parameters",
            VarKind::State => "state",
            VarKind::OptimizerState => "optimizer's state",
        };
        if *values != Some(0) {
            let bytes = bytes.map_or("?".to_string(), |b| output::bytes(b as usize));
            out += &format!("{name}: {} ({bytes})\n", values.map_or("?".to_string(), output::grouped));
        }
    }
    out.push('\n');
    out
}
