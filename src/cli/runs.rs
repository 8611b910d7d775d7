//! Finding earlier runs: in go a program's file and a task, out comes the newest folder of such a run.

use super::{Fault, usage};
use nnc::artifact::{Checkpoint, Record, RunFolder, checkpoint};
use nnc::check::Task;
use nnc::diag::{Diagnostic, codes};
use std::path::{Path, PathBuf};

/// Where runs are kept unless `--run-dir` says otherwise.
pub const ROOT: &str = "runs";

/// The name of a program's file without its extension.
pub fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(|| "program".to_string(), |s| s.to_string_lossy().into_owned())
}

/// The newest run of this file and task below a folder that has a checkpoint.
pub fn newest(root: &Path, file: &Path, task: &str) -> Option<(RunFolder, Record)> {
    let stem = stem(file);
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(root)
        .ok()?
        .flatten()
        .filter_map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            let (_, number) = name.rsplit_once('-')?;
            Some((number.parse().ok()?, e.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().find_map(|(_, path)| {
        let (folder, record) = RunFolder::open(&path).ok()?;
        let is_it = record.task == task && self::stem(Path::new(&record.file)) == stem && folder.last().exists();
        is_it.then_some((folder, record))
    })
}

/// The run in the folder that was named, or the newest one.
pub fn find(named: Option<&Path>, file: &Path, task: &str) -> Result<(RunFolder, Record), Fault> {
    if let Some(path) = named {
        return Ok(RunFolder::open(path)?);
    }
    newest(Path::new(ROOT), file, task).ok_or_else(|| {
        let what = format!("there is no run of `{task}` of {} in `{ROOT}`", file.display());
        usage(what, format!("train it first: `nnc run {} {task}`", file.display()))
    })
}

/// The weights of a task that trained before: the best of its newest run, else the last. Runs are looked for beside the
/// folder of this one, too.
pub fn weights_of(beside: Option<&Path>, file: &Path, task: &Task) -> Result<Checkpoint, Box<Diagnostic>> {
    let beside = beside.and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
    let found = newest(Path::new(ROOT), file, &task.name)
        .or_else(|| beside.and_then(|folder| newest(folder, file, &task.name)));
    let Some((folder, _)) = found else {
        let what = format!("`{}` was never trained, and this task begins with its net", task.name);
        let d = Diagnostic::error(codes::USAGE, task.span, what).label("the net is trained here");
        return Err(Box::new(d.help(format!("train it first: `nnc run {} {}`", file.display(), task.name))));
    };
    let path = if folder.best().exists() { folder.best() } else { folder.last() };
    checkpoint::read(&path, None)
}
