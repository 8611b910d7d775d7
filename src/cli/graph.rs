//! `nnc graph`: a picture of a model.

use super::input::Input;
use super::{Exit, Fault, output, usage};
use nnc::check::{Program, Task, VarKind};
use nnc::diag::suggest::nearest;
use nnc::driver::Checked;
use nnc::picture::{Drawn, make};
use nnc::syntax::ast::{ItemKind, TaskKind};
use std::collections::BTreeSet;
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
        Some(name) => named(program, name)?,
        None => usual(program)?,
    };
    let drawn = Drawn { own: own(&checked), ..drawn };
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

/// The layers that the program's files declare.
fn own(checked: &Checked) -> BTreeSet<String> {
    let files = checked.sources.ids().filter(|id| !checked.sources.file(*id).builtin);
    let items = files.flat_map(|id| nnc::syntax::parse(&checked.sources.file(id).text, id).0.items);
    let name = |kind| if let ItemKind::Layer(decl) = kind { Some(decl.name.name) } else { None };
    items.filter_map(|i| name(i.kind)).collect()
}

/// The model or task of this name.
fn named<'a>(program: &'a Program, name: &str) -> Result<Drawn<'a>, Fault> {
    if let Some(drawn) = model(program, name) {
        return Ok(drawn);
    }
    if let Some(task) = program.task(name) {
        return Ok(of_task(task, Vec::new()));
    }
    let names: Vec<&str> =
        program.models.iter().map(|m| m.0.as_str()).chain(program.tasks.iter().map(|t| t.name.as_str())).collect();
    let help = match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it has {}", names.join(", ")),
    };
    Err(usage(format!("the file has no model or task `{name}`"), help))
}

/// The nets of the task that trains, or the last model.
fn usual(program: &Program) -> Result<Drawn<'_>, Fault> {
    let trains = program.tasks.iter().find(|t| t.kind == TaskKind::Train).or(program.tasks.first());
    if let Some(task) = trains.filter(|t| t.whole) {
        // What learns; a metric only counts.
        let learns = task.vars.iter().map(|v| program.var(*v)).filter(|v| v.kind == VarKind::Param);
        let nets = learns.map(|v| v.path.split('.').next().unwrap_or("").to_string());
        let nets: BTreeSet<String> = nets.collect();
        return Ok(of_task(task, nets.into_iter().collect()));
    }
    let last = program.models.last().and_then(|m| model(program, &m.0));
    last.ok_or_else(|| usage("the file has no model and no task", "add `model Name { … }`"))
}

fn of_task(task: &Task, nets: Vec<String>) -> Drawn<'_> {
    let fields = task.fields.iter().map(|f| f.name.clone()).collect();
    Drawn { title: task.name.clone(), graph: &task.eval.graph, rows: &task.layers, fields, nets, own: BTreeSet::new() }
}

fn model<'a>(program: &'a Program, name: &str) -> Option<Drawn<'a>> {
    let at = program.models.iter().position(|m| m.0 == name)?;
    let (graph, fields) = program.drawings.get(at)?;
    let rows = &program.models[at].1;
    Some(Drawn { title: name.to_string(), graph, rows, fields: fields.clone(), nets: Vec::new(), own: BTreeSet::new() })
}
