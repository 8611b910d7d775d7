//! The figures of a run: in go rows of numbers, out come `metrics.jsonl` and `metrics.csv`, one line a row, each written
//! at once. Both files always hold the same rows; a resumed run cuts them back to its checkpoint and goes on.

use super::replace::refused;
use super::{OUR_FAULT, Result};
use crate::diag::{Diagnostic, codes};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One row of figures.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub step: u64,
    pub epoch: u64,
    /// `train` or `validate`.
    pub phase: &'a str,
    /// By column; a column that is left out is empty.
    pub values: &'a [(&'a str, f64)],
}

/// Which rows a resumed run keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// So many: what [`Metrics::rows`] was when the checkpoint was written. Exact.
    Rows(u64),
    /// Those of steps up to this one.
    UntilStep(u64),
}

/// The two files of a run's figures, open for appending.
#[derive(Debug)]
pub struct Metrics {
    columns: Vec<String>,
    json: Table,
    csv: Table,
    rows: u64,
    line: String,
}

#[derive(Debug)]
struct Table {
    path: PathBuf,
    file: File,
}

impl Table {
    fn open(path: PathBuf, fresh: bool) -> Result<Table> {
        let opened = OpenOptions::new().read(true).write(true).create(fresh).truncate(fresh).open(&path);
        opened.map_err(|e| Box::new(refused("open", &path, &e))).map(|file| Table { path, file })
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|e| Box::new(refused("write", &self.path, &e)))
    }

    fn text(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(|e| Box::new(refused("read", &self.path, &e)))?;
        Ok(bytes)
    }

    fn cut(&mut self, len: u64) -> Result<()> {
        let cut = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::Start(len)).map(|_| ()));
        cut.map_err(|e| Box::new(refused("write", &self.path, &e)))
    }
}

const JSON: &str = "metrics.jsonl";
const CSV: &str = "metrics.csv";
/// What every row begins with.
const FIXED: [&str; 3] = ["step", "epoch", "phase"];

impl Metrics {
    /// Starts both files anew in a folder. `columns` are the figures' names, in their order.
    pub fn create(folder: &Path, columns: &[&str]) -> Result<Metrics> {
        let mut metrics = Metrics::open(folder, columns, true)?;
        let header = metrics.header();
        metrics.csv.append(&header)?;
        Ok(metrics)
    }

    /// Continues both files; they are cut back to the rows to keep, which must be there, under the same columns.
    pub fn resume(folder: &Path, columns: &[&str], keep: Keep) -> Result<Metrics> {
        let mut metrics = Metrics::open(folder, columns, false)?;
        let (json, csv) = (metrics.json.text()?, metrics.csv.text()?);
        let header = metrics.header();
        let bad = |what: String| {
            let d = Diagnostic::placeless(codes::RESUME, what).note(format!("the folder is {}", folder.display()));
            Box::new(d.help("resume with the program that the run was started with, or start a new run"))
        };
        if !csv.starts_with(header.as_bytes()) {
            return Err(bad(format!("the columns of {CSV} are not those of this program")));
        }
        let (json_lines, csv_lines) = (whole_lines(&json), whole_lines(&csv[header.len()..]));
        let mut ends = (0, header.len());
        for (json, csv) in json_lines.zip(csv_lines) {
            let keeps = match keep {
                Keep::Rows(rows) => metrics.rows < rows,
                Keep::UntilStep(last) => {
                    let row = serde_json::from_slice::<serde_json::Value>(json).ok();
                    let step = row.and_then(|r| r.get("step")?.as_u64());
                    let line = metrics.rows + 1;
                    step.ok_or_else(|| bad(format!("line {line} of {JSON} is not a row of figures")))? <= last
                }
            };
            if !keeps {
                break;
            }
            metrics.rows += 1;
            ends = (ends.0 + json.len(), ends.1 + csv.len());
        }
        if let Keep::Rows(rows) = keep
            && metrics.rows < rows
        {
            return Err(bad(format!("{JSON} has {} rows, the checkpoint was made after {rows}", metrics.rows)));
        }
        metrics.json.cut(ends.0 as u64)?;
        metrics.csv.cut(ends.1 as u64)?;
        Ok(metrics)
    }

    fn open(folder: &Path, columns: &[&str], fresh: bool) -> Result<Metrics> {
        if let Some(name) = columns.iter().find(|c| FIXED.contains(c)) {
            let d = Diagnostic::placeless(codes::BAD_SETTING, format!("a figure cannot be named `{name}`"));
            return Err(Box::new(d.help("report it under another name: `report NAME = …`")));
        }
        let columns = columns.iter().map(|c| c.to_string()).collect();
        let json = Table::open(folder.join(JSON), fresh)?;
        let csv = Table::open(folder.join(CSV), fresh)?;
        Ok(Metrics { columns, json, csv, rows: 0, line: String::new() })
    }

    fn header(&self) -> String {
        let names = self.columns.iter().map(|c| cell(c));
        FIXED.map(String::from).into_iter().chain(names).collect::<Vec<_>>().join(",") + "\n"
    }

    /// The number of rows written so far, those of the run that is resumed included: what a checkpoint should note.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends a row to both files.
    pub fn push(&mut self, row: Row) -> Result<()> {
        if let Some((name, _)) = row.values.iter().find(|(name, _)| !self.columns.iter().any(|c| c == name)) {
            let d = Diagnostic::placeless(codes::INTERNAL, format!("`{name}` is not a column of {CSV}"));
            return Err(Box::new(d.help(OUR_FAULT)));
        }
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        // Writing to a string cannot fail.
        let _ = write!(line, "{{\"step\":{},\"epoch\":{},\"phase\":{}", row.step, row.epoch, quoted(row.phase));
        let in_order = || self.columns.iter().map(|c| (c, row.values.iter().find(|(name, _)| name == c)));
        for (column, value) in in_order() {
            if let Some((_, value)) = value {
                let number = if value.is_finite() { number(*value) } else { "null".to_string() };
                let _ = write!(line, ",{}:{number}", quoted(column));
            }
        }
        line.push_str("}\n");
        self.json.append(&line)?;
        line.clear();
        let _ = write!(line, "{},{},{}", row.step, row.epoch, cell(row.phase));
        for (_, value) in in_order() {
            let _ = write!(line, ",{}", value.map_or(String::new(), |(_, v)| number(*v)));
        }
        line.push('\n');
        self.csv.append(&line)?;
        self.line = line;
        self.rows += 1;
        Ok(())
    }

    /// Puts both files on the disk; to be called before a checkpoint that notes their rows.
    pub fn sync(&mut self) -> Result<()> {
        for table in [&self.json, &self.csv] {
            table.file.sync_data().map_err(|e| Box::new(refused("write", &table.path, &e)))?;
        }
        Ok(())
    }
}

/// The lines with their ends; a last line that was cut off in the middle is left out.
fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&b| b == b'\n').filter(|l| l.ends_with(b"\n"))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A cell of a CSV file, quoted where it must be.
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

/// The shortest text that gives the number back: as an f32 if it is one.
fn number(value: f64) -> String {
    let single = value as f32;
    if f64::from(single) == value { format!("{single:?}") } else { format!("{value:?}").to_lowercase() }
}
