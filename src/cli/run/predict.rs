//! Predicting: the values of a `predict` task for every sample of its data, as files.

use super::super::{Exit, Fault, input, output, runs};
use super::evaluate::ready;
use super::{Args, stop_flag};
use nnc::artifact::RunFolder;
use nnc::train::{self, Feed};
use std::path::Path;

pub fn run(args: &Args, name: &str) -> Result<Exit, Fault> {
    let mut ready = ready(args, name)?;
    let task = input::task(&ready.checked.program, Some(name), "run")?;
    let at = |d| Fault::at(d, &ready.checked.sources);
    let opened = train::open_with(task, &ready.checked.data_root, &ready.metadata).map_err(at)?;
    let mut feed = match &opened {
        None => Feed::none(),
        Some(opened) => {
            let view = train::split(opened, ready.seed);
            Feed::new(view, &task.fields, task.settings.batch, false).map_err(at)?.within(task)
        }
    };
    let folder = match &ready.folder {
        Some(folder) => folder.clone(),
        None => match &args.run_dir {
            Some(path) => RunFolder::create_at(path)?,
            None => RunFolder::create(Path::new(runs::ROOT), &runs::stem(&args.file), name)?,
        },
    };
    let stop = stop_flag();
    let reports = &task.eval.reports;
    let done = train::predict(&mut *ready.engine, reports, &mut feed, ready.seed, folder.path(), stop).map_err(at)?;
    if !args.quiet {
        let cut = |line: &String| line.chars().take(100).collect::<String>() + "\n";
        output::print(&done.head.iter().map(cut).collect::<String>());
    }
    if let Some((csv, jsonl)) = &done.tables {
        output::print(&format!(
            "{} rows in {} and {}\n",
            output::grouped(done.rows as u64),
            csv.display(),
            jsonl.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
        ));
    }
    match done.saved.as_slice() {
        [first, .., last] if done.saved.len() > 8 => output::print(&format!(
            "{} files from {} to {}\n",
            output::grouped(done.saved.len() as u64),
            first.display(),
            last.display()
        )),
        few => output::print(&few.iter().map(|f| format!("wrote {}\n", f.display())).collect::<String>()),
    }
    Ok(if stop.load(std::sync::atomic::Ordering::Relaxed) { Exit::Interrupted } else { Exit::Ok })
}
