//! Predicting: in go an engine and a feed, out come the values of every sample, as `predictions.csv` and
//! `predictions.jsonl`.

use super::{Feed, Result, saves};
use crate::check::{Report, ReportKind};
use crate::diag::{Diagnostic, codes};
use crate::engine::{ClockValues, Engine, Entry, StepInputs, VarTensor};
use crate::ops::{DType, half};
use serde_json::Value as Json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What was written.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// None if the step has no value but what it saves.
    pub tables: Option<(PathBuf, PathBuf)>,
    pub rows: usize,
    /// The first lines of the CSV file, its header among them.
    pub head: Vec<String>,
    /// What the step saved, in order.
    pub saved: Vec<PathBuf>,
}

const SHOWN: usize = 6;

/// Runs the evaluation entry once over the feed and writes the value of each sample with its row in the data. A value
/// without the batch axis is one row a step.
pub fn predict(
    engine: &mut dyn Engine,
    reports: &[Report],
    feed: &mut Feed,
    seed: u64,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Predictions> {
    let (csv_path, jsonl_path) = (folder.join("predictions.csv"), folder.join("predictions.jsonl"));
    let wanted: Vec<usize> = (0..reports.len()).filter(|i| reports[*i].kind == ReportKind::Prediction).collect();
    let has_rows = !wanted.is_empty();
    let create = |path: &Path| -> Result<Box<dyn Write>> {
        if !has_rows {
            return Ok(Box::new(std::io::sink()));
        }
        File::create(path).map(|f| Box::new(BufWriter::new(f)) as Box<dyn Write>).map_err(|e| refused(path, &e))
    };
    let (mut csv, mut jsonl) = (create(&csv_path)?, create(&jsonl_path)?);
    let mut saved = Vec::new();
    let mut head: Vec<String> = Vec::new();
    let mut rows = 0;
    for batch in feed.sizes() {
        engine.prepare(Entry::Eval, batch)?;
    }
    for position in 0..feed.batches().unwrap_or(1) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let samples = feed.load(seed, 0, position);
        let batch = feed.engine_batch(samples);
        let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock: ClockValues::default(), seed };
        engine.run(Entry::Eval, batch, &inputs)?;
        saved.extend(saves::save_all(engine, reports, folder, position, feed.batches().unwrap_or(1))?);
        if !has_rows {
            rows += samples;
            continue;
        }
        let values: Vec<(&str, VarTensor)> =
            wanted.iter().map(|i| (reports[*i].name.as_str(), engine.value(*i))).collect();
        let is_batched = batch > 0 && values.iter().all(|(_, v)| v.shape.first() == Some(&samples));
        let count = if is_batched { samples } else { 1 };
        for i in 0..count {
            let of = |v: &VarTensor| match is_batched {
                true => (v.shape[1..].to_vec(), slice(v, i, samples)),
                false => (v.shape.clone(), numbers(v.dtype, &v.bytes)),
            };
            let row = if is_batched { feed.rows(position).get(i).map_or(rows, |r| *r as usize) } else { rows };
            if rows == 0 {
                head.push(header(values.iter().map(|(n, v)| (*n, of(v).0))));
                writeln!(csv, "{}", head[0]).map_err(|e| refused(&csv_path, &e))?;
            }
            let (mut line, mut object) = (row.to_string(), serde_json::Map::new());
            object.insert("row".into(), row.into());
            for (name, value) in &values {
                let (shape, list) = of(value);
                for cell in &list {
                    line.push(',');
                    line.push_str(&cell.to_string());
                }
                object.insert(name.to_string(), nested(&shape, &list));
            }
            writeln!(csv, "{line}").map_err(|e| refused(&csv_path, &e))?;
            writeln!(jsonl, "{}", Json::Object(object)).map_err(|e| refused(&jsonl_path, &e))?;
            if head.len() < SHOWN {
                head.push(line);
            }
            rows += 1;
        }
    }
    csv.flush().map_err(|e| refused(&csv_path, &e))?;
    jsonl.flush().map_err(|e| refused(&jsonl_path, &e))?;
    Ok(Predictions { tables: has_rows.then_some((csv_path, jsonl_path)), rows, head, saved })
}

fn refused(path: &Path, error: &std::io::Error) -> Box<Diagnostic> {
    let d = Diagnostic::placeless(codes::FILE, "cannot write the predictions");
    Box::new(d.note(format!("{}: {error}", path.display())).help("free some space, or name another `--run-dir DIR`"))
}

/// `row,prediction` or `row,prediction.0,prediction.1,…`
fn header<'a>(columns: impl Iterator<Item = (&'a str, Vec<usize>)>) -> String {
    let mut out = "row".to_string();
    for (name, shape) in columns {
        let mut names = vec![name.to_string()];
        for size in shape {
            names = names.iter().flat_map(|n| (0..size).map(move |i| format!("{n}.{i}"))).collect();
        }
        for name in names {
            out = out + "," + &name;
        }
    }
    out
}

/// Sample `i` of `samples`.
fn slice(value: &VarTensor, i: usize, samples: usize) -> Vec<Json> {
    let width = value.bytes.len() / samples.max(1);
    numbers(value.dtype, value.bytes.get(i * width..(i + 1) * width).unwrap_or(&[]))
}

pub(super) fn numbers(dtype: DType, bytes: &[u8]) -> Vec<Json> {
    fn all<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> Json) -> Vec<Json> {
        bytes.as_chunks::<N>().0.iter().map(|c| read(*c)).collect()
    }
    // As an f32 prints: the shortest text that gives it back.
    let short = |v: f32| v.to_string().parse::<f64>().map_or(Json::Null, Json::from);
    match dtype {
        DType::Bool => all::<1>(bytes, |b| Json::from(b[0] != 0)),
        DType::U8 => all::<1>(bytes, |b| Json::from(b[0])),
        DType::I8 => all::<1>(bytes, |b| Json::from(b[0] as i8)),
        DType::I32 => all(bytes, |b| Json::from(i32::from_le_bytes(b))),
        DType::I64 => all(bytes, |b| Json::from(i64::from_le_bytes(b))),
        DType::F32 => all(bytes, |b| short(f32::from_le_bytes(b))),
        DType::F64 => all(bytes, |b| Json::from(f64::from_le_bytes(b))),
        DType::F16 | DType::BF16 => all(bytes, |b| short(half::number(u16::from_le_bytes(b), dtype) as f32)),
    }
}

pub(super) fn nested(shape: &[usize], list: &[Json]) -> Json {
    match shape {
        [] => list.first().cloned().unwrap_or(Json::Null),
        [_] => Json::Array(list.to_vec()),
        [outer, rest @ ..] => {
            let width = list.len() / (*outer).max(1);
            Json::Array((0..*outer).map(|i| nested(rest, &list[i * width..(i + 1) * width])).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_laid_out_by_shape() {
        assert_eq!(header([("p", vec![2, 2]), ("q", vec![])].into_iter()), "row,p.0.0,p.0.1,p.1.0,p.1.1,q");
        let list: Vec<Json> = (0..4).map(Json::from).collect();
        assert_eq!(nested(&[2, 2], &list).to_string(), "[[0,1],[2,3]]");
        assert_eq!(nested(&[], &list[1..2]).to_string(), "1");
        let value = VarTensor {
            dtype: DType::F32,
            shape: vec![2, 1],
            bytes: [0.1f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        assert_eq!(slice(&value, 0, 2), [Json::from(0.1)]);
        assert_eq!(numbers(DType::F16, &[0x00, 0x3C, 0x00, 0xC1]), [Json::from(1.0), Json::from(-2.5)]);
        assert_eq!(numbers(DType::BF16, &[0xCD, 0x3D]), [Json::from(0.100097656)]);
    }
}
