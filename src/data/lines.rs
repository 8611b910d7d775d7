//! `labelled_lines(path)`: a text on every line, its label before the first blank or tab. In goes the file, plain or gzip,
//! out come `text` and `label`.
//!
//! The labels are the distinct first words, sorted: as numbers if all of them are whole numbers, else as text. Empty
//! lines are left out.

use super::chars::utf8;
use super::dataset::{Column, Dataset, Field, OpenedData, Storage};
use super::files;
use super::texts::Texts;
use super::{Call, DeclaredField, Kind, Parameter, Result, SourceInfo, VALIDATE, internal};
use crate::ops::DType;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub const INFO: SourceInfo = SourceInfo {
    name: "labelled_lines",
    doc: "a label and a text on every line, plain or gzip",
    fields: "text (make numbers of it with `tokens`), label: i32",
    example: "labelled_lines(\"data/reviews.txt\", validate: 0.1)",
    parameters: &[
        Parameter { name: "path", kind: Kind::Path, default: None, doc: "the file, in UTF-8: `LABEL TEXT` on a line" },
        VALIDATE,
    ],
    many_files: false,
    declared: |_| {
        let label = DeclaredField::sized("label", DType::I32, &[]);
        Some(vec![DeclaredField::text("text"), label])
    },
    facts: |call, root| Ok(open(call, root)?.facts()),
    open,
};

fn open(call: &Call, root: &Path) -> Result<OpenedData> {
    let file = files::find(root, call.text("path").unwrap_or_default(), call.span_of("path"))?;
    let bytes = file.bytes()?;
    let content = utf8(&file, &bytes)?;
    let mut texts = Texts::new("text");
    let mut labels: Vec<&str> = Vec::new();
    for (number, line) in content.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let Some((label, text)) = line.trim_start().split_once([' ', '\t']) else {
            let d = file.bad(format!("line {} has no text behind its label", number + 1));
            return Err(Box::new(d.help("write `LABEL TEXT` on every line")));
        };
        labels.push(label);
        texts.push(text.trim());
    }
    let distinct: BTreeSet<&str> = labels.iter().copied().collect();
    let mut classes: Vec<&str> = distinct.into_iter().collect();
    if classes.iter().all(|c| c.parse::<i64>().is_ok()) {
        classes.sort_by_key(|c| c.parse::<i64>().unwrap_or(0));
    }
    if classes.len() > 1000 && classes.len() * 2 > labels.len() {
        let d = file.bad(format!("{} different labels on {} lines", classes.len(), labels.len()));
        return Err(Box::new(d.help("the first word of a line is its label: put one there")));
    }
    let class = |label: &str| classes.iter().position(|c| *c == label).unwrap_or(0) as i32;
    let stored = labels.iter().flat_map(|l| class(l).to_ne_bytes()).collect();
    let class_names = classes.iter().map(|c| c.to_string()).collect();
    let columns = vec![Column { bytes: Storage::owned(stored), class_names }];
    let fields = vec![Field::label("label", classes.len())];
    let dataset = Dataset::new(file.path.display().to_string(), labels.len(), fields, columns)
        .and_then(|set| set.with_texts(vec![texts]))
        .map_err(|e| internal(call, e))?;
    Ok(OpenedData { hold_out: call.hold_out(dataset.count)?, dataset: Arc::new(dataset) })
}
