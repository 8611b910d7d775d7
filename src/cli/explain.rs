//! `nnc explain`: the page of a code.

use super::{Exit, Fault, output, usage};
use nnc::diag::{codes, suggest};

/// Say what a message means, with an example and how to fix it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  nnc explain E0301\n  nnc explain shape-mismatch\n  nnc explain --list")]
pub struct Args {
    /// A code (E0301) or its name (shape-mismatch)
    #[arg(required_unless_present = "list")]
    code: Option<String>,
    /// List all codes
    #[arg(long)]
    list: bool,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let Some(what) = args.code.as_deref().filter(|_| !args.list) else {
        output::print(&codes::ALL.iter().map(|c| format!("{}  {}\n", c.id, c.name)).collect::<String>());
        return Ok(Exit::Ok);
    };
    let Some(code) = codes::find(what) else {
        let known = codes::ALL.iter().flat_map(|c| [c.id, c.name]);
        let help = match suggest::nearest(what, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`nnc explain --list` lists all".to_string(),
        };
        return Err(usage(format!("there is no code `{what}`"), help));
    };
    output::print(code.page);
    if !code.page.ends_with('\n') {
        output::print("\n");
    }
    Ok(Exit::Ok)
}
