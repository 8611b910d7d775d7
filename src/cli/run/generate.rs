//! Generating: a trained net writes text, which appears while it is made.

use super::super::{Exit, Fault, input, output, usage};
use super::evaluate::ready;
use super::{Args, stop_flag};
use nnc::check::{Program, Task};
use nnc::diag::{Diagnostic, Severity, codes, suggest};
use nnc::driver;
use nnc::generate::{self, Ending, InputKind, Writer};
use std::collections::BTreeMap;
use std::io::Write;

/// The flag that says what the output begins with.
pub const PROMPT: &str = "prompt";

/// The flags that are inputs of a task that generates, beside its parameters.
pub fn flags(task: &Task) -> Vec<String> {
    let columns = generate::inputs(task).into_iter().map(|i| i.name);
    columns.chain([PROMPT.to_string()]).collect()
}

/// Parts the flags into inputs of the task and parameters.
///
/// # Errors
/// A flag that is neither.
pub fn sorted(
    given: &[(String, String)],
    known: &[String],
    program: &Program,
    name: &str,
) -> Result<(BTreeMap<String, String>, Vec<String>), Fault> {
    let Some(task) = program.task(name) else { return Ok((BTreeMap::new(), Vec::new())) };
    let own = flags(task);
    let (mut inputs, mut sets) = (BTreeMap::new(), Vec::new());
    for (flag, value) in given {
        if own.contains(flag) {
            inputs.insert(flag.clone(), value.clone());
        } else if task.params.contains(flag) {
            sets.push(format!("{name}.{flag}={value}"));
        } else {
            let what = format!("`--{flag}` is neither an option of `nnc run` nor an input of `{name}`");
            let all = own.iter().chain(&task.params).chain(known).map(String::as_str);
            let list: Vec<String> = own.iter().chain(&task.params).map(|n| format!("`--{n}`")).collect();
            return Err(match suggest::nearest(flag, all) {
                Some(meant) => usage(what, format!("did you mean `--{meant}`? `{name}` takes {}", list.join(", "))),
                None => usage(what, format!("`{name}` takes {}", list.join(", "))),
            });
        }
    }
    Ok((inputs, sets))
}

pub fn run(args: &Args, name: &str) -> Result<Exit, Fault> {
    let mut ready = ready(args, name)?;
    let format = args.input.message_format.into();
    let task = input::task(&ready.checked.program, Some(name), "run")?;
    let at = |d| Fault::at(d, &ready.checked.sources);
    // Another seed than the run's changes the text, not the net.
    let seed = args.seed.or(task.settings.seed).unwrap_or(0);
    let begin = args.inputs.get(PROMPT).map_or("", String::as_str);
    let root = &ready.checked.data_root;
    if let Some(input) = generate::inputs(task).iter().find(|i| super::super::run_flags().contains(&i.name)) {
        let what = format!("the column `{}` cannot be given: `--{0}` is an option of `nnc run`", input.name);
        return Err(usage(what, "rename the column in the data"));
    }
    let prompt = generate::prompt(task, &args.inputs, begin, &ready.metadata, root, seed).map_err(at)?;
    let warn = |what: String, note: String| {
        let d = Diagnostic { severity: Severity::Warning, ..Diagnostic::placeless(codes::PROMPT, what) };
        output::diagnostics(&[d.note(note)], &ready.checked.sources, format);
    };
    for (flag, word) in &prompt.unknown {
        warn(format!("the net does not know `{word}`"), format!("in `--{flag}` it stands for any unknown word"));
    }
    let stop = stop_flag();
    let mut writer = Writer::new(task, &mut *ready.engine, &prompt, seed).map_err(at)?;
    let (whole, shown) = (prompt.tokens.len(), writer.shown(prompt.tokens.len()));
    if shown < whole {
        let note = format!("what comes before its last {shown} is not looked at");
        warn(format!("the prompt has {whole} tokens, the net takes {shown}"), note);
    }
    // The prompt as it was given, then what the tokens after it add.
    let first = prompt.vocabulary.decode(&prompt.tokens);
    show(begin);
    let mut done = first.clone();
    let mut tokens = prompt.tokens.clone();
    let ending = writer.write(&mut tokens, stop, |tokens| {
        let text = prompt.vocabulary.decode(tokens);
        // What is not whole yet (a character of several tokens) is shown once it is.
        if let Some(more) = text.strip_prefix(done.as_str()).filter(|m| !m.ends_with('\u{FFFD}')) {
            show(more);
            done = text;
        }
    });
    let text = prompt.vocabulary.decode(&tokens);
    if let Some(rest) = text.strip_prefix(done.as_str()) {
        show(rest);
    }
    if !text.ends_with('\n') {
        show("\n");
    }
    let ending = ending.map_err(at)?;
    if args.verbose {
        let count = tokens.len() - prompt.tokens.len();
        let why = match ending {
            Ending::Ended => "at the end mark",
            Ending::Full => "as many as `max_tokens` allows",
            Ending::Stopped => "stopped",
        };
        eprintln!("{count} tokens, {why}; seed {seed}");
    }
    Ok(if ending == Ending::Stopped { Exit::Interrupted } else { Exit::Ok })
}

/// Writes at once; who reads may have gone.
fn show(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What `--help` says of a task: its own flags and settings. None if there is nothing to say but what holds for all.
pub fn help(args: &Args) -> Option<String> {
    let name = args.task.as_deref()?;
    let checked = driver::check_file(&args.file, &args.input.options(None)).ok()?;
    let task = checked.program.task(name)?;
    let file = args.file.display();
    let inputs = generate::inputs(task);
    if task.generation.is_none() && task.params.is_empty() {
        return None;
    }
    let mut out = String::new();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut usage = format!("nnc run {file} {name}");
    if let Some(generation) = &task.generation {
        let field = &task.fields[generation.output].name;
        out += &format!("Writes `{field}` with a trained net, token by token.\n\n");
        for i in &inputs {
            let (what, text) = match &i.kind {
                InputKind::Text(cut) => ("TEXT", format!("a text; `{}` cuts it", cut.text())),
                InputKind::Numbers(dtype, shape) if shape.is_empty() => ("NUMBER", dtype.to_string()),
                InputKind::Numbers(dtype, shape) => ("NUMBERS", format!("{dtype}{shape:?}, with commas between")),
                InputKind::Unsized => ("…", "cannot be given on the command line".to_string()),
            };
            usage += &format!(" --{} {what}", i.name);
            rows.push(vec![format!("  --{} {what}", i.name), text]);
        }
        let prompt = match generation.start {
            true => "how it begins; nothing if left out",
            false => "how it begins",
        };
        usage += if generation.start { " [--prompt TEXT]" } else { " --prompt TEXT" };
        rows.push(vec!["  --prompt TEXT".to_string(), format!("{prompt}; `{}` cuts it", generation.tokenizer)]);
    }
    for param in &task.params {
        usage += &format!(" [--{param} VALUE]");
        rows.push(vec![format!("  --{param} VALUE"), format!("the parameter `{param}` of `{name}`")]);
    }
    out += &format!("Usage: {usage} [OPTIONS]\n\n{}", output::table(&rows, &[0, 1]));
    if let Some(generation) = &task.generation {
        let c = &generation.choice;
        let or_all = |n: Option<String>| n.unwrap_or_else(|| "all".to_string());
        let settings = [
            ("max_tokens", c.max_tokens.to_string(), "the most tokens to add"),
            (
                "temperature",
                c.temperature.to_string(),
                "0: always the most likely token; 1: by chance, as the net says",
            ),
            ("top_k", or_all(c.top_k.map(|n| n.to_string())), "draw only from so many of the most likely tokens"),
            ("top_p", or_all(c.top_p.map(|n| n.to_string())), "draw only from those that together are so likely"),
            ("beam", c.beam.to_string(), "search with so many texts side by side; 1: none"),
        ];
        let rows: Vec<Vec<String>> =
            settings.into_iter().map(|(n, v, t)| vec![format!("  {n}"), v, t.to_string()]).collect();
        out +=
            &format!("\nSettings, as they are; `--set NAME=VALUE` changes them:\n{}", output::table(&rows, &[0, 1, 2]));
        out += "\nOptions:\n  --seed N         another text; the same seed gives the same text\n  \
                --weights FILE   a checkpoint instead of the newest run's best\n  \
                --run-dir DIR    the run whose net is taken\n";
    }
    out += "\nAll options: `nnc run --help`\n";
    Some(out)
}
