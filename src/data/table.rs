//! `csv(path)` and `tsv(path)`: tables with a header, plain or gzip. In goes the file, out come either `features` (all
//! numbers of a row) and `label`, or the columns that were asked for by name.
//!
//! A column of text that is asked for by name is a text field, of which `tokens` makes numbers. It is a class too if its
//! values are few: at most [`FEW_CLASSES`], or half as many as there are rows. Otherwise a text column is a set of classes: its distinct values, sorted. A label of whole numbers with at most
//! [`FEW_CLASSES`] distinct values is one too; any other number is an f32. `label_as` decides otherwise.

use super::cells::{self, TableColumn, Values};
use super::dataset::{Column, Dataset, Field, OpenedData, Storage};
use super::files::{self, Found};
use super::texts::Texts;
use super::{Call, DeclaredField, Kind, Parameter, Result, SourceInfo, VALIDATE, internal};
use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::DType;
use std::path::Path;
use std::sync::Arc;

/// A numeric label with more distinct values than these is a quantity.
const FEW_CLASSES: usize = 20;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "path", kind: Kind::Path, default: None, doc: "the file; its first line names the columns" },
    Parameter {
        name: "label",
        kind: Kind::Text,
        default: Some("none"),
        doc: "the column to predict, as the field `label`",
    },
    Parameter {
        name: "columns",
        kind: Kind::Texts,
        default: Some("all"),
        doc: "the columns to read, each as a field of its own name instead of `features`; in a file without a header \
              they name its columns",
    },
    Parameter {
        name: "label_as",
        kind: Kind::Choice(&["class", "number"]),
        default: Some("by its values"),
        doc: "whether a label of numbers is a class or a quantity; by default a class if it has at most 20 whole values",
    },
    Parameter {
        name: "missing",
        kind: Kind::Choice(&["error", "drop", "mean", "median"]),
        default: Some("\"error\""),
        doc: "what an empty cell is: an error, a reason to drop the row, or the column's mean or median",
    },
    VALIDATE,
];

pub const CSV: SourceInfo = SourceInfo {
    name: "csv",
    doc: "a table of comma-separated values with a header, plain or gzip",
    fields: "features: f32[N] (all columns of numbers), label: i32 or f32, columns of text by name: i32",
    example: "csv(\"data/iris.csv\", label: \"species\", validate: 0.2)",
    parameters: PARAMETERS,
    many_files: false,
    declared,
    facts: |call, root| Ok(open(call, root, b',')?.facts()),
    open: |call, root| open(call, root, b','),
};

pub const TSV: SourceInfo = SourceInfo {
    name: "tsv",
    doc: "a table of tab-separated values with a header, plain or gzip",
    example: "tsv(\"data/table.tsv\", label: \"price\")",
    facts: |call, root| Ok(open(call, root, b'\t')?.facts()),
    open: |call, root| open(call, root, b'\t'),
    ..CSV
};

/// Only `columns` tells the fields' names without the file.
fn declared(call: &Call) -> Option<Vec<DeclaredField>> {
    let mut fields: Vec<DeclaredField> =
        call.texts("columns")?.into_iter().map(|name| DeclaredField::text(identifier(name))).collect();
    if call.given("label") {
        fields.push(DeclaredField::named("label"));
    }
    Some(fields)
}

/// A column's name as the name of a field: what cannot be in a name becomes `_`.
pub fn identifier(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    out
}

fn open(call: &Call, root: &Path, delimiter: u8) -> Result<OpenedData> {
    let file = files::find(root, call.text("path").unwrap_or_default(), call.span_of("path"))?;
    let bytes = file.bytes()?;
    let (names, has_header) = match call.texts("columns") {
        Some(columns) if !call.given("label") => cells::header_or(&file, &bytes, delimiter, &columns)?,
        _ => (cells::header(&file, &bytes, delimiter)?, true),
    };
    let label = match call.text("label") {
        Some(label) => Some(position(call, &file, &names, label, "label")?),
        None => None,
    };
    let asked = match call.texts("columns") {
        Some(columns) => {
            Some(columns.iter().map(|c| position(call, &file, &names, c, "columns")).collect::<Result<Vec<_>>>()?)
        }
        None => None,
    };
    let wanted: Vec<bool> =
        (0..names.len()).map(|i| Some(i) == label || asked.as_ref().is_none_or(|a| a.contains(&i))).collect();
    let (rows, mut columns) = cells::read(&file, &bytes, delimiter, &names, &wanted, has_header)?;
    let rows = treat_missing(call, &file, rows, &mut columns)?;

    let mut made = Fields::default();
    match asked {
        Some(asked) => {
            for index in asked {
                let column = columns.iter().find(|c| c.name == names[index]);
                if let Some(column) = column {
                    made.push_asked(&file, column)?;
                }
            }
        }
        None => {
            let label = label.map(|l| names[l].as_str());
            let (numbers, texts): (Vec<_>, Vec<_>) = columns
                .iter()
                .filter(|c| Some(c.name.as_str()) != label)
                .partition(|c| matches!(c.values, Values::Numbers(_)));
            made.push_features(rows, &numbers);
            texts.iter().try_for_each(|column| made.push_own(&file, column))?;
        }
    }
    if let Some(column) = label.and_then(|l| columns.iter().find(|c| c.name == names[l])) {
        let (field, column) = label_field(call, &file, column)?;
        made.push(&file, field, column)?;
    }
    let dataset = Dataset::new(file.path.display().to_string(), rows, made.fields, made.columns)
        .and_then(|set| set.with_texts(made.texts))
        .map_err(|e| internal(call, e))?;
    let hold_out = call.hold_out(rows)?;
    Ok(OpenedData { dataset: Arc::new(dataset), hold_out })
}

fn position(call: &Call, file: &Found, names: &[String], name: &str, parameter: &str) -> Result<usize> {
    if let Some(at) = names.iter().position(|n| n == name) {
        return Ok(at);
    }
    let span = call.span_of(parameter);
    let d = Diagnostic::error(codes::DATA_FORMAT, span, format!("{} has no column `{name}`", file.name))
        .note(format!("the file is {}", file.path.display()));
    Err(Box::new(match suggest::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => d.help(format!("did you mean `{near}`?")),
        None => {
            let shown: Vec<String> = names.iter().take(20).map(|n| format!("`{n}`")).collect();
            d.help(format!("its columns are {}{}", shown.join(", "), if names.len() > 20 { ", …" } else { "" }))
        }
    }))
}

/// Applies `missing`; returns the number of rows that remain.
fn treat_missing(call: &Call, file: &Found, rows: usize, columns: &mut [TableColumn]) -> Result<usize> {
    let treatment = call.text("missing").unwrap_or("error");
    let first = columns.iter().filter_map(|c| c.missing.first().map(|m| (m.0, c))).min_by_key(|&(row, _)| row);
    let Some((_, column)) = first else { return Ok(rows) };
    let refuse = |column: &TableColumn, help: &str| {
        let (_, line, text) = &column.missing[0];
        let what = if text.is_empty() { "empty".to_string() } else { format!("\"{text}\"") };
        let d = file.bad_value(format!("line {line}: `{}` is {what}", column.name));
        let count = column.missing.len();
        Err(Box::new(d.note(format!("{count} of {rows} rows have no value there")).help(help)))
    };
    match treatment {
        "drop" => {
            let mut keep = vec![true; rows];
            columns.iter().flat_map(|c| &c.missing).for_each(|&(row, ..)| keep[row as usize] = false);
            let left = keep.iter().filter(|&&k| k).count();
            if left == 0 {
                return refuse(column, "every row lacks a value somewhere: leave columns out with `columns`");
            }
            for column in columns {
                let mut kept = keep.iter();
                match &mut column.values {
                    Values::Numbers(values) => values.retain(|_| kept.next() == Some(&true)),
                    Values::Text { rows, .. } => rows.retain(|_| kept.next() == Some(&true)),
                }
            }
            Ok(left)
        }
        "mean" | "median" => {
            for column in columns.iter_mut().filter(|c| !c.missing.is_empty()) {
                let Values::Numbers(values) = &mut column.values else {
                    return refuse(column, "a text has no mean: fill the cell, or say `missing: \"drop\"`");
                };
                let mut filled: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
                filled.sort_unstable_by(f64::total_cmp);
                let middle = filled.len() / 2;
                let fill = match treatment {
                    "mean" => filled.iter().sum::<f64>() / filled.len() as f64,
                    _ if filled.len().is_multiple_of(2) => (filled[middle - 1] + filled[middle]) / 2.0,
                    _ => filled[middle],
                };
                values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = fill);
            }
            Ok(rows)
        }
        _ => refuse(column, "fill the cell, or say `missing: \"drop\"` or `missing: \"median\"`"),
    }
}

/// The fields made so far.
#[derive(Default)]
struct Fields {
    fields: Vec<Field>,
    columns: Vec<Column>,
    texts: Vec<Texts>,
}

impl Fields {
    fn push(&mut self, file: &Found, field: Field, column: Column) -> Result<()> {
        if self.fields.iter().any(|f| f.name == field.name) {
            let d = file.bad(format!("two fields would be named `{}`", field.name));
            return Err(Box::new(d.help("rename a column in the first line of the file")));
        }
        self.fields.push(field);
        self.columns.push(column);
        Ok(())
    }

    /// All numbers of a row as one vector.
    fn push_features(&mut self, rows: usize, columns: &[&TableColumn]) {
        if columns.is_empty() {
            return;
        }
        let width = columns.len();
        let mut bytes = vec![0; rows * width * 4];
        for (i, column) in columns.iter().enumerate() {
            if let Values::Numbers(values) = &column.values {
                for (row, value) in values.iter().enumerate() {
                    bytes[(row * width + i) * 4..][..4].copy_from_slice(&(*value as f32).to_ne_bytes());
                }
            }
        }
        self.fields.push(Field::new("features", DType::F32, &[width]));
        self.columns.push(Column::new(Storage::owned(bytes)));
    }

    /// A column that was asked for by name: a column of text is one, and, if its values are few, a class too.
    fn push_asked(&mut self, file: &Found, column: &TableColumn) -> Result<()> {
        let Values::Text { rows, names } = &column.values else { return self.push_own(file, column) };
        let mut texts = Texts::new(identifier(&column.name));
        for row in rows {
            texts.push(names.get(*row as usize).map_or("", String::as_str));
        }
        self.texts.push(texts);
        let mut used = vec![false; names.len()];
        rows.iter().for_each(|&r| used[r as usize] = true);
        let distinct = used.iter().filter(|u| **u).count();
        if distinct <= FEW_CLASSES.max(rows.len() / 2) { self.push_own(file, column) } else { Ok(()) }
    }

    /// A column as a field of its own name.
    fn push_own(&mut self, file: &Found, column: &TableColumn) -> Result<()> {
        let name = identifier(&column.name);
        let (field, column) = match &column.values {
            Values::Numbers(values) => number_field(&name, values),
            Values::Text { rows, names } => class_field(&name, rows, names),
        };
        self.push(file, field, column)
    }
}

fn number_field(name: &str, values: &[f64]) -> (Field, Column) {
    let bytes = values.iter().flat_map(|v| (*v as f32).to_ne_bytes()).collect();
    (Field::new(name, DType::F32, &[]), Column::new(Storage::owned(bytes)))
}

/// Classes in the order of their names.
fn class_field(name: &str, rows: &[u32], names: &[String]) -> (Field, Column) {
    let mut used = vec![false; names.len()];
    rows.iter().for_each(|&r| used[r as usize] = true);
    let mut order: Vec<usize> = (0..names.len()).filter(|&i| used[i]).collect();
    order.sort_unstable_by(|&a, &b| names[a].cmp(&names[b]));
    let mut rank = vec![0i32; names.len()];
    order.iter().enumerate().for_each(|(class, &i)| rank[i] = class as i32);
    let bytes = rows.iter().flat_map(|&r| rank[r as usize].to_ne_bytes()).collect();
    let class_names = order.iter().map(|&i| names[i].clone()).collect();
    (Field::label(name, order.len()), Column { bytes: Storage::owned(bytes), class_names })
}

fn label_field(call: &Call, file: &Found, column: &TableColumn) -> Result<(Field, Column)> {
    let values = match &column.values {
        Values::Text { rows, names } => {
            if call.text("label_as") == Some("number") {
                let d = Diagnostic::error(
                    codes::BAD_SETTING,
                    call.span_of("label_as"),
                    format!("`{}` holds text", column.name),
                );
                return Err(Box::new(
                    d.note(format!("the file is {}", file.path.display())).help("leave `label_as` out"),
                ));
            }
            return Ok(class_field("label", rows, names));
        }
        Values::Numbers(values) => values,
    };
    let mut distinct = values.clone();
    // +0 and -0 are one class.
    distinct.iter_mut().for_each(|v| *v += 0.0);
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup();
    let is_class = match call.text("label_as") {
        Some(how) => how == "class",
        None => distinct.len() <= FEW_CLASSES && distinct.iter().all(|v| v.fract() == 0.0),
    };
    if !is_class {
        return Ok(number_field("label", values));
    }
    let class = |v: &f64| distinct.partition_point(|d| d < v) as i32;
    let bytes = values.iter().flat_map(|v| class(v).to_ne_bytes()).collect();
    let class_names = distinct.iter().map(f64::to_string).collect();
    Ok((Field::label("label", distinct.len()), Column { bytes: Storage::owned(bytes), class_names }))
}
