//! The cells of a table: in go the bytes of a CSV or TSV file, out come typed columns. A column's first filled cell
//! decides whether it holds numbers or text; what does not fit is an error at its line and column.

use super::Result;
use super::files::Found;
use crate::diag::{Diagnostic, suggest};
use std::collections::HashMap;

/// Spellings of "no value" in a column of numbers; in a column of text only the empty cell is.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "-"];

fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|m| cell.eq_ignore_ascii_case(m))
}

/// The values of one column.
#[derive(Debug)]
pub enum Values {
    /// NaN stands for a missing cell, and only for that.
    Numbers(Vec<f64>),
    /// An index of `names` for each row; `u32::MAX` stands for a missing cell.
    Text { rows: Vec<u32>, names: Vec<String> },
}

/// One column and where its cells are missing.
#[derive(Debug)]
pub struct TableColumn {
    pub name: String,
    pub values: Values,
    /// Row (from 0), line (from 1) and text of each missing cell.
    pub missing: Vec<(u32, u64, String)>,
}

/// A column while it is read.
struct Growing {
    name: String,
    /// Rows that came before the column's kind was known, all of them missing as numbers.
    pending: Vec<(u64, String)>,
    values: Option<Values>,
    /// The line of the cell that decided.
    decided_at: u64,
    lookup: HashMap<String, u32>,
    missing: Vec<(u32, u64, String)>,
}

/// The header's names, each once, none empty.
pub fn header(file: &Found, bytes: &[u8], delimiter: u8) -> Result<Vec<String>> {
    let mut reader = reader(bytes, delimiter);
    let mut record = csv::ByteRecord::new();
    let got = reader.read_byte_record(&mut record).map_err(|e| Box::new(damaged(file, &e)))?;
    if !got {
        return Err(Box::new(file.bad("the file is empty").help("its first line must name the columns")));
    }
    let mut names: Vec<String> = Vec::new();
    for (i, cell) in record.iter().enumerate() {
        let name = text_of(file, cell, 1)?.trim().to_string();
        if name.is_empty() {
            let d = file.bad(format!("column {} has no name in the header", i + 1));
            return Err(Box::new(d.help("write a name for every column in the first line")));
        }
        if let Some(first) = names.iter().position(|n| *n == name) {
            let d = file.bad(format!("two columns are named `{name}`: {} and {}", first + 1, i + 1));
            return Err(Box::new(d.help("rename one of them in the first line")));
        }
        names.push(name);
    }
    if names.iter().all(|n| n.parse::<f64>().is_ok()) {
        let d = file.bad("the first line holds numbers, not the columns' names");
        return Err(Box::new(d.help("put a line with the columns' names before it")));
    }
    Ok(names)
}

/// The names of a table that may have no header, for a reader that asks for columns by name, and whether its first line
/// is the header: it is not if there are as many names as columns, and none of them, nor any that looks like one of
/// them, stands in it.
pub fn header_or(file: &Found, bytes: &[u8], delimiter: u8, asked: &[&str]) -> Result<(Vec<String>, bool)> {
    let mut record = csv::ByteRecord::new();
    let got = reader(bytes, delimiter).read_byte_record(&mut record).map_err(|e| Box::new(damaged(file, &e)))?;
    let distinct = asked.iter().enumerate().all(|(i, name)| !asked[..i].contains(name));
    if got && record.len() == asked.len() && distinct {
        let cells = record.iter().map(|c| text_of(file, c, 1).map(str::trim)).collect::<Result<Vec<_>>>()?;
        let near = |name: &&str| suggest::nearest(name, cells.iter().copied()).is_some();
        if !asked.iter().any(|name| cells.contains(name) || near(name)) {
            return Ok((asked.iter().map(|name| name.to_string()).collect(), false));
        }
    }
    Ok((header(file, bytes, delimiter)?, true))
}

/// Reads the columns for which `wanted` holds (one entry a column of the header).
pub fn read(
    file: &Found,
    bytes: &[u8],
    delimiter: u8,
    names: &[String],
    wanted: &[bool],
    has_header: bool,
) -> Result<(usize, Vec<TableColumn>)> {
    let mut growing: Vec<Option<Growing>> =
        names.iter().zip(wanted).map(|(name, &wanted)| wanted.then(|| Growing::new(name.clone()))).collect();
    let mut lines = Lines { bytes: unmarked(bytes), counted: 0, line: 1 };
    let mut reader = reader(bytes, delimiter);
    let mut record = csv::ByteRecord::new();
    let mut rows = 0usize;
    let mut first = has_header;
    while reader.read_byte_record(&mut record).map_err(|e| Box::new(damaged(file, &e)))? {
        if std::mem::take(&mut first) {
            continue;
        }
        let line = lines.at(record.position().map_or(0, |p| p.byte() as usize));
        if record.len() != names.len() {
            let d = file.bad(format!("line {line} has {} cells, the header has {}", record.len(), names.len()));
            let d = match record.len() < names.len() {
                true => d.note(format!("the first column without a cell is `{}`", names[record.len()])),
                false => d.note("a comma inside a text must be quoted: \"a, b\""),
            };
            return Err(Box::new(d.help(format!("correct line {line}"))));
        }
        for (column, cell) in growing.iter_mut().zip(&record) {
            if let Some(column) = column {
                column.push(file, rows as u32, line, text_of(file, cell, line)?.trim())?;
            }
        }
        rows += 1;
        if u32::try_from(rows).is_err() {
            return Err(Box::new(file.bad("more rows than can be counted in 32 bits").help("split the file")));
        }
    }
    if rows == 0 {
        return Err(Box::new(file.bad("there are no rows below the header").help("copy the file again")));
    }
    let columns = growing.into_iter().flatten().map(|c| c.finish(file)).collect::<Result<Vec<_>>>()?;
    Ok((rows, columns))
}

/// Without a byte order mark.
fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Counts lines. The csv reader's own count lags behind at blank lines and Windows' line ends, which it skips only
/// when it reads on.
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line (from 1) of the first record at or after this byte; bytes must not decrease.
    fn at(&mut self, byte: usize) -> u64 {
        let blank = self.bytes[byte.min(self.bytes.len())..].iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        let start = (byte + blank).min(self.bytes.len());
        self.line += self.bytes[self.counted.min(start)..start].iter().filter(|&&b| b == b'\n').count() as u64;
        self.counted = start;
        self.line
    }
}

fn reader(bytes: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    // A tab-separated file knows no quotes: its texts may hold single ones.
    let quoting = delimiter != b'\t';
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .quoting(quoting)
        .from_reader(unmarked(bytes))
}

fn damaged(file: &Found, error: &csv::Error) -> Diagnostic {
    file.bad("the table cannot be read").note(error.to_string()).help("copy or download the file again")
}

fn text_of<'a>(file: &Found, cell: &'a [u8], line: u64) -> Result<&'a str> {
    std::str::from_utf8(cell).map_err(|_| {
        let d = file.bad(format!("line {line} is not UTF-8 text"));
        Box::new(d.note(format!("the cell holds {:02x?}", &cell[..cell.len().min(16)])).help("save the file as UTF-8"))
    })
}

impl Growing {
    fn new(name: String) -> Growing {
        Growing { name, pending: Vec::new(), values: None, decided_at: 0, lookup: HashMap::new(), missing: Vec::new() }
    }

    fn push(&mut self, file: &Found, row: u32, line: u64, cell: &str) -> Result<()> {
        if self.values.is_none() {
            if is_missing(cell) {
                self.pending.push((line, cell.to_string()));
                return Ok(());
            }
            let pending = std::mem::take(&mut self.pending);
            self.decided_at = line;
            self.values = Some(match cell.parse::<f64>() {
                Ok(_) => Values::Numbers(Vec::new()),
                Err(_) => Values::Text { rows: Vec::new(), names: Vec::new() },
            });
            for (row, (line, cell)) in pending.into_iter().enumerate() {
                self.store(file, row as u32, line, &cell)?;
            }
        }
        self.store(file, row, line, cell)
    }

    fn store(&mut self, file: &Found, row: u32, line: u64, cell: &str) -> Result<()> {
        match &mut self.values {
            Some(Values::Numbers(values)) if is_missing(cell) => {
                self.missing.push((row, line, cell.to_string()));
                values.push(f64::NAN);
            }
            Some(Values::Numbers(values)) => match cell.parse::<f64>() {
                Ok(value) if (value as f32).is_finite() => values.push(value),
                Ok(_) => {
                    let d = file.bad_value(format!("line {line}: `{}` is {cell}, not a finite f32", self.name));
                    return Err(Box::new(d.help("correct the cell, or leave the column out with `columns`")));
                }
                Err(_) => {
                    let cell: String = cell.chars().take(20).collect();
                    let d = file.bad_value(format!("line {line}: `{}` is \"{cell}\", not a number", self.name));
                    let d = d.note(format!("the column holds numbers: its first value is in line {}", self.decided_at));
                    return Err(Box::new(d.help("correct the cell, or leave the column out with `columns`")));
                }
            },
            Some(Values::Text { rows, .. }) if cell.is_empty() => {
                self.missing.push((row, line, String::new()));
                rows.push(u32::MAX);
            }
            Some(Values::Text { rows, names }) => {
                let id = match self.lookup.get(cell) {
                    Some(&id) => id,
                    None => {
                        let id = names.len() as u32;
                        names.push(cell.to_string());
                        self.lookup.insert(cell.to_string(), id);
                        id
                    }
                };
                rows.push(id);
            }
            None => {}
        }
        Ok(())
    }

    fn finish(self, file: &Found) -> Result<TableColumn> {
        let Some(values) = self.values else {
            let d = file.bad_value(format!("column `{}` has no value in any row", self.name));
            return Err(Box::new(d.help("leave the column out with `columns`, or delete it")));
        };
        Ok(TableColumn { name: self.name, values, missing: self.missing })
    }
}
