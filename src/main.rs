//! The program `nnc`: everything is in the library; here only the command line.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
