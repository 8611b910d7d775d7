//! Finding earlier runs: in go a program's file and a task, out comes the newest folder of such a run.

use super::{Fault, usage};
use nnc::artifact::{Record, RunFolder};
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
