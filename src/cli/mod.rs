//! The command line: in go arguments, out come calls of the driver and text. One file a command.
//!
//! Results go to stdout, diagnostics and progress to stderr. Exit codes: see [`Exit`].

mod bench;
mod check;
mod compile;
mod diff;
mod doc;
mod doctor;
mod explain;
mod fix;
mod fmt;
mod graph;
mod input;
mod launching;
mod lsp;
mod machine;
mod output;
mod plan;
mod profile;
mod progress;
mod run;
mod runs;
mod summary;
mod trace;

use clap::{CommandFactory, Parser, Subcommand};
use nnc::diag::{Code, Diagnostic, codes};
use nnc::source::Sources;
use std::process::ExitCode;
use std::time::Instant;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    /// The program, its data or its run has an error, which was printed.
    Errors = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A file or folder cannot be read or written.
    Files = 3,
    /// A mistake in nnc.
    Internal = 101,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    fn of(code: &Code) -> Exit {
        match code {
            c if c == codes::USAGE => Exit::Usage,
            c if c == codes::FILE => Exit::Files,
            c if c == codes::INTERNAL => Exit::Internal,
            _ => Exit::Errors,
        }
    }
}

/// What ends a command early: diagnostics with the sources that they point into.
pub struct Fault {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

impl From<Box<Diagnostic>> for Fault {
    fn from(d: Box<Diagnostic>) -> Fault {
        Fault { diagnostics: vec![*d], sources: Sources::default() }
    }
}

impl Fault {
    /// A fault that points into the sources of a checked file.
    pub fn at(d: Box<Diagnostic>, sources: &Sources) -> Fault {
        Fault { sources: sources.clone(), ..Fault::from(d) }
    }
}

/// A command line that asks for what is not there.
pub fn usage(headline: impl Into<String>, help: impl Into<String>) -> Fault {
    Box::new(Diagnostic::placeless(codes::USAGE, headline).help(help)).into()
}

const AFTER: &str = "\
Examples:
  nnc run examples/digits.nn                  train a net on the digits that come with nnc
  nnc run examples/digits.nn --set epochs=5   the same with another setting
  nnc run examples/digits.nn evaluate         measure the trained net
  nnc check examples/digits.nn                look for mistakes
  nnc explain E0301                           what a message means, and how to fix it

Exit codes: 0 done; 1 the program, its data or its run has an error; 2 wrong command line;
3 a file cannot be read or written; 101 a mistake in nnc; 130 ended by Ctrl-C.";

/// nnc: a compiled language for neural networks.
#[derive(Parser)]
#[command(name = "nnc", version, after_help = AFTER, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Args),
    Run(run::Args),
    Compile(compile::Args),
    Bench(bench::Args),
    Profile(profile::Args),
    Plan(plan::Args),
    Summary(summary::Args),
    Fmt(fmt::Args),
    Graph(graph::Args),
    Fix(fix::Args),
    Explain(explain::Args),
    Doc(doc::Args),
    Doctor(doctor::Args),
    Lsp(lsp::Args),
}

/// The names of the options of `nnc run`.
pub fn run_flags() -> Vec<String> {
    let command = Cli::command();
    let run = command.get_subcommands().find(|c| c.get_name() == "run");
    let own = run.into_iter().flat_map(|c| c.get_arguments()).filter_map(|a| a.get_long());
    own.map(String::from).chain(["help".to_string()]).collect()
}

/// What `nnc run FILE TASK --help` says of the task; none if that is not what is asked.
fn task_help(args: Vec<std::ffi::OsString>) -> Option<String> {
    let asks = |a: &std::ffi::OsString| a == "--help" || a == "-h";
    if !args.iter().any(asks) {
        return None;
    }
    let rest = args.into_iter().filter(|a| !asks(a)).collect();
    let (args, _) = run::flags::take(rest, &run_flags());
    match Cli::try_parse_from(args).ok()?.command {
        Command::Run(args) => run::generate::help(&args),
        _ => None,
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let started = Instant::now();
    std::panic::set_hook(Box::new(bug));
    if let Some(help) = task_help(std::env::args_os().collect()) {
        output::print(&help);
        return ExitCode::SUCCESS;
    }
    // A task's parameters are flags of `nnc run`, which only its file knows.
    let (args, flags) = run::flags::take(std::env::args_os().collect(), &run_flags());
    let cli = Cli::parse_from(args);
    let mut format = nnc::diag::Format::Human;
    let result = match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Run(args) => {
            format = args.input.message_format.into();
            run::run(&run::Args { flags, ..args }, started)
        }
        Command::Compile(args) => {
            format = args.input.message_format.into();
            compile::run(&args)
        }
        Command::Plan(args) => {
            format = args.input.message_format.into();
            plan::run(&args)
        }
        Command::Summary(args) => {
            format = args.input.message_format.into();
            summary::run(&args)
        }
        Command::Bench(args) => {
            format = args.input.message_format.into();
            bench::run(&args, started)
        }
        Command::Profile(args) => {
            format = args.input.message_format.into();
            profile::run(&args)
        }
        Command::Fix(args) => {
            format = args.input.message_format.into();
            fix::run(&args)
        }
        Command::Graph(args) => {
            format = args.input.message_format.into();
            graph::run(&args)
        }
        Command::Fmt(args) => {
            format = args.message_format.into();
            fmt::run(&args)
        }
        Command::Explain(args) => explain::run(&args),
        Command::Doc(args) => doc::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Lsp(args) => lsp::run(&args),
    };
    let exit = result.unwrap_or_else(|fault| {
        output::diagnostics(&fault.diagnostics, &fault.sources, format);
        fault
            .diagnostics
            .iter()
            .find(|d| d.severity == nnc::diag::Severity::Error)
            .map_or(Exit::Errors, |d| Exit::of(d.code))
    });
    ExitCode::from(exit as u8)
}

/// What a panic prints: every panic is a mistake in nnc, whatever the program.
fn bug(info: &std::panic::PanicHookInfo) {
    let what = info.payload().downcast_ref::<&str>().map(|s| s.to_string());
    let what = what.or_else(|| info.payload().downcast_ref::<String>().cloned()).unwrap_or_default();
    let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
    eprintln!(
        "error[{}]: this is a bug in nnc {}\n  = {what}{place}\n  = help: please report it with the `.nn` file, the command, \
         this message, and what `nnc doctor` prints",
        codes::INTERNAL.id,
        env!("CARGO_PKG_VERSION"),
    );
}
