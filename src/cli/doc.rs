//! `nnc doc`: the documentation and signature of a library item, an operation or a data source.

use super::{Exit, Fault, output, usage};
use nnc::diag::suggest;
use nnc::reference::{self, Entry};

/// Show what a name of the language means: a layer, function, optimizer, operation or data source
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nnc doc Conv2d\n  nnc doc cross_entropy\n  nnc doc mnist\n  nnc doc          lists all names\n  \
                        nnc doc Linear --source"
)]
pub struct Args {
    /// The name; all are listed if none
    name: Option<String>,
    /// Print the whole definition, if it is written in the language
    #[arg(long)]
    source: bool,
    /// Print the reference of all names as Markdown
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    if args.markdown {
        output::print(&reference::markdown());
        return Ok(Exit::Ok);
    }
    let all = reference::entries();
    let Some(name) = &args.name else {
        output::print(&list(&all));
        return Ok(Exit::Ok);
    };
    // `std.layers.Linear` is `Linear`.
    let name = name.rsplit('.').next().unwrap_or(name);
    let found: Vec<String> = all.iter().filter(|e| e.name == name).map(|e| page(e, args.source)).collect();
    if found.is_empty() {
        let help = match suggest::nearest(name, all.iter().map(|e| e.name.as_str())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`nnc doc` lists all names".to_string(),
        };
        return Err(usage(format!("nothing is called `{name}`"), help));
    }
    output::print(&found.join("\n"));
    Ok(Exit::Ok)
}

fn page(entry: &Entry, whole: bool) -> String {
    let form = match &entry.source {
        Some(source) if whole => source,
        _ => &entry.signature,
    };
    format!("{}\n\n  {}\n\n{}\n", entry.group, form.trim_end().replace('\n', "\n  "), entry.docs)
}

fn list(all: &[Entry]) -> String {
    let mut out = String::new();
    let mut groups: Vec<&str> = Vec::new();
    for entry in all {
        if !groups.contains(&entry.group.as_str()) {
            groups.push(&entry.group);
        }
    }
    for group in groups {
        let mut names: Vec<&str> = all.iter().filter(|e| e.group == group).map(|e| e.name.as_str()).collect();
        names.sort_unstable();
        out += &format!("{group}\n{}\n", wrapped(&names));
    }
    out
}

fn wrapped(names: &[&str]) -> String {
    let mut out = String::new();
    let mut line = " ".to_string();
    for name in names {
        if line.len() + name.len() > 90 {
            out += &(std::mem::replace(&mut line, " ".to_string()) + "\n");
        }
        line = line + " " + name;
    }
    out + &line + "\n"
}
