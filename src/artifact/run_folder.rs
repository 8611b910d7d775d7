//! A run's folder: in go the program, the settings and what the run makes, out comes a folder that tells later what was
//! run and lets it go on.
//!
//! ```text
//! runs/digits-train-001/
//!   source.nn            the program (files that it uses lie beside it under their own names)
//!   run.json             seed, target, threads, version, settings, command
//!   metrics.jsonl .csv   one row of figures a line
//!   last.safetensors     the newest checkpoint, to resume from
//!   best.safetensors     the one with the best validation
//! ```

use super::replace::{refused, replace};
use super::{Keep, Metrics, Result};
use crate::diag::{Diagnostic, codes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What was run: `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of nnc.
    pub version: String,
    /// The command line.
    pub command: Vec<String>,
    /// The program's file, as given.
    pub file: String,
    pub task: String,
    pub seed: u64,
    /// `cpu`, `interpreter`, …
    pub target: String,
    pub threads: usize,
    /// The task's settings as they were in force, in the notation of the language.
    pub settings: BTreeMap<String, String>,
    /// `--set name=value`, as given.
    #[serde(default)]
    pub sets: Vec<String>,
    /// `--data DIR`, as given.
    #[serde(default)]
    pub data: Option<String>,
    /// How long parts of the run took, in milliseconds. Nowhere else in the folder is there any time.
    #[serde(default)]
    pub milliseconds: BTreeMap<String, f64>,
}

/// The folder of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFolder {
    path: PathBuf,
}

const RECORD: &str = "run.json";
const SOURCE: &str = "source.nn";

impl RunFolder {
    /// Makes the next free folder `<runs>/<file>-<task>-<NNN>`; `file` is the program's name without its extension.
    pub fn create(runs: &Path, file: &str, task: &str) -> Result<RunFolder> {
        std::fs::create_dir_all(runs).map_err(|e| Box::new(refused("create", runs, &e)))?;
        let prefix = format!("{}-{}-", plain(file), plain(task));
        let entries = std::fs::read_dir(runs).map_err(|e| Box::new(refused("read", runs, &e)))?;
        let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let used = names.filter_map(|n| n.strip_prefix(&prefix)?.parse::<u64>().ok()).max().unwrap_or(0);
        for number in used.saturating_add(1).. {
            let path = runs.join(format!("{prefix}{number:03}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { path }),
                // Another run took the number since.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Box::new(refused("create", &path, &e))),
            }
        }
        Err(Box::new(
            Diagnostic::placeless(codes::FILE, "no number is left for this run's folder").help("clear `runs`"),
        ))
    }

    /// Makes the folder at a path of the user's choice. It may exist, but not hold a run.
    pub fn create_at(path: &Path) -> Result<RunFolder> {
        if path.join(RECORD).exists() {
            let d = Diagnostic::placeless(codes::FILE, "the folder for this run already holds a run");
            let d = d.note(format!("the folder is {}", path.display()));
            return Err(Box::new(d.help("continue that run with `--resume`, or name another folder")));
        }
        std::fs::create_dir_all(path).map_err(|e| Box::new(refused("create", path, &e)))?;
        Ok(RunFolder { path: path.to_path_buf() })
    }

    /// The folder of an earlier run, and its record.
    pub fn open(path: &Path) -> Result<(RunFolder, Record)> {
        let record = path.join(RECORD);
        let unreadable = |what: &str, why: String| {
            let d = Diagnostic::placeless(codes::RESUME, what).note(format!("{}: {why}", record.display()));
            Box::new(d.help("name the folder of a run, such as `runs/digits-train-001`"))
        };
        let text = std::fs::read(&record).map_err(|e| unreadable("there is no run in this folder", e.to_string()))?;
        let parsed = serde_json::from_slice(&text);
        let parsed = parsed.map_err(|e| unreadable("the record of this run is damaged", e.to_string()))?;
        Ok((RunFolder { path: path.to_path_buf() }, parsed))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The checkpoint with the best validation.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// Writes `run.json`.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        replace(&self.path.join(RECORD), |file| {
            serde_json::to_writer_pretty(&mut *file, record)?;
            file.write_all(b"\n")
        })
    }

    /// Keeps the program: the first file as `source.nn`, those that it uses under their own names (paths are cut to
    /// their last part).
    pub fn write_sources<'a>(&self, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
        let mut beside = Path::new("");
        for (i, (name, text)) in files.into_iter().enumerate() {
            let name = Path::new(name);
            let place = if i == 0 {
                beside = name.parent().unwrap_or(beside);
                self.path.join(SOURCE)
            } else {
                // Where the first finds it: `nets/vision.nn` beside it.
                let below = name.strip_prefix(beside).ok().filter(|p| p.is_relative() && *p != Path::new(SOURCE));
                let own = name.file_name().map(Path::new).filter(|p| *p != Path::new(SOURCE));
                match below.or(own) {
                    Some(below) => self.path.join(below),
                    None => self.path.join(format!("source-{i}.nn")),
                }
            };
            if let Some(folder) = place.parent() {
                std::fs::create_dir_all(folder).map_err(|e| Box::new(refused("create", folder, &e)))?;
            }
            replace(&place, |file| file.write_all(text.as_bytes()))?;
        }
        Ok(())
    }

    /// Starts the figures' files anew.
    pub fn metrics(&self, columns: &[&str]) -> Result<Metrics> {
        Metrics::create(&self.path, columns)
    }

    /// Continues the figures' files after a checkpoint.
    pub fn resume_metrics(&self, columns: &[&str], keep: Keep) -> Result<Metrics> {
        Metrics::resume(&self.path, columns, keep)
    }
}

/// A name that is safe as part of a file's name.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '-' }).collect()
}
