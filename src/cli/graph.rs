//! `nnc graph`: a picture of a model.

use super::input::Input;
use super::{Exit, Fault, output, usage};
use nnc::check::Program;
use nnc::diag::suggest::nearest;
use nnc::picture::{choose, make};
use std::path::PathBuf;

/// Draw a model: layers as boxes, shapes at the lines between them
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nnc graph net.nn -o net.svg\n  nnc graph net.nn -o net.html       layers fold and unfold\n  \
                        nnc graph net.nn Encoder -o net.dot for Graphviz\n\n\
                        Without a name it draws the nets of the task that trains, or the last model of the file."
)]
pub struct Args {
    /// The program
    file: PathBuf,
    /// A model or a task of it
    what: Option<String>,
    /// Where to: `.svg`, `.html` or `.dot`; without it SVG goes to stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub input: Input,
}

pub fn run(args: &Args) -> Result<Exit, Fault> {
    let ending = args.output.as_ref().map_or(Some("svg"), |p| p.extension().and_then(|e| e.to_str()));
    let Some(ending) = ending.filter(|e| ["svg", "html", "dot"].contains(e)) else {
        return Err(usage("the picture's form is not known", "end its name in `.svg`, `.html` or `.dot`"));
    };
    let checked = args.input.checked(&args.file, None)?;
    let program = &checked.program;
    let drawn = match &args.what {
        Some(name) => choose::named(program, &checked.sources, name).ok_or_else(|| absent(program, name))?,
        None => choose::usual(program, &checked.sources)
            .ok_or_else(|| usage("the file has no model and no task", "add `model Name { … }`"))?,
    };
    let picture = make(&drawn, &checked.sources);
    let text = match ending {
        "html" => picture.html(),
        "dot" => picture.dot(),
        _ => picture.svg(),
    };
    match &args.output {
        Some(path) => super::fmt::write(path, &text)?,
        None => output::print(&text),
    }
    Ok(Exit::Ok)
}

/// The message for a name that the file does not have.
fn absent(program: &Program, name: &str) -> Fault {
    let names = choose::names(program);
    let help = match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it has {}", names.join(", ")),
    };
    usage(format!("the file has no model or task `{name}`"), help)
}
