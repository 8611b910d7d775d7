//! Values as files: in goes a result of a step and a file's name, out comes a file of the kind that its ending says.
//!
//! `.png` takes numbers from 0 to 1 (what is outside is cut) as 8 bits, gray or red, green and blue; `.npy` keeps dtype and
//! shape; `.csv` is a table without a header; `.json` holds nested lists; `.safetensors` one tensor named `value`.

use super::Result;
use super::predict::{nested, numbers};
use crate::artifact::{TensorRef, checkpoint};
use crate::check::{Report, ReportKind};
use crate::diag::{Diagnostic, codes};
use crate::engine::{Engine, VarTensor, bytes};
use crate::ops::DType;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes all that a step saves into a folder; of several batches each has its number in the name. Gives the files.
pub fn save_all(
    engine: &dyn Engine,
    reports: &[Report],
    folder: &Path,
    batch: usize,
    batches: usize,
) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (i, report) in reports.iter().enumerate().filter(|(_, r)| r.kind == ReportKind::Saved) {
        let path = folder.join(numbered(&report.name, batch, batches));
        write(&path, &engine.value(i)).map_err(|fault| match fault {
            Fault::System(e) => refused(&path, &e),
            Fault::Value(what) => {
                let d = Diagnostic::error(codes::DATA_VALUE, report.span, what);
                Box::new(d.note(format!("it was to be {}", path.display())).help("save it as .npy, which takes all"))
            }
            Fault::Known(d) => d,
        })?;
        written.push(path);
    }
    Ok(written)
}

/// `why.png`, or of several batches `why-0001.png`, from 1 on.
fn numbered(name: &str, batch: usize, batches: usize) -> String {
    if batches <= 1 {
        return name.to_string();
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    format!("{stem}-{:04}.{extension}", batch + 1)
}

fn refused(path: &Path, error: &std::io::Error) -> Box<Diagnostic> {
    let d = Diagnostic::placeless(codes::FILE, "cannot write what the step saves");
    Box::new(d.note(format!("{}: {error}", path.display())).help("free some space, or name another `--run-dir DIR`"))
}

enum Fault {
    System(std::io::Error),
    Value(String),
    Known(Box<Diagnostic>),
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Fault {
        Fault::System(e)
    }
}

fn write(path: &Path, value: &VarTensor) -> std::result::Result<(), Fault> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "png" => png(path, value),
        "npy" => Ok(npy(&mut BufWriter::new(File::create(path)?), value)?),
        "csv" => Ok(csv(&mut BufWriter::new(File::create(path)?), value)?),
        "json" => {
            let list = numbers(value.dtype, &value.bytes);
            let mut file = BufWriter::new(File::create(path)?);
            writeln!(file, "{}", nested(&value.shape, &list))?;
            Ok(file.flush()?)
        }
        _ => {
            let tensor = TensorRef { name: "value", dtype: value.dtype, shape: &value.shape, bytes: &value.bytes };
            checkpoint::write(path, &[tensor], &BTreeMap::new()).map_err(Fault::Known)
        }
    }
}

/// 8 bits a channel: round(255 v), cut to 0..=255; not a number is black.
fn png(path: &Path, value: &VarTensor) -> std::result::Result<(), Fault> {
    let (channels, height, width) = match *value.shape.as_slice() {
        [h, w] => (1, h, w),
        [c @ (1 | 3), h, w] => (c, h, w),
        _ => return Err(Fault::Value(format!("a value of shape {:?} is not a picture", value.shape))),
    };
    let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Fault::Value(format!("a picture of {width} x {height} is too large")));
    };
    if w == 0 || h == 0 {
        return Err(Fault::Value(format!("a picture of {width} x {height} has nothing in it")));
    }
    let values = bytes::to_f64(value.dtype, &value.bytes);
    let plane = width * height;
    let mut pixels = Vec::with_capacity(plane * channels);
    for at in 0..plane {
        for channel in 0..channels {
            let v = values.get(channel * plane + at).copied().unwrap_or(0.0);
            pixels.push((v * 255.0).round().clamp(0.0, 255.0) as u8);
        }
    }
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), w, h);
    encoder.set_color(if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    let other = |e: png::EncodingError| Fault::System(std::io::Error::other(e));
    let mut writer = encoder.write_header().map_err(other)?;
    writer.write_image_data(&pixels).map_err(other)?;
    writer.finish().map_err(other)
}

/// NumPy's format, version 1.0: a dictionary of dtype and shape, padded to 64 bytes, then the values.
fn npy(file: &mut impl Write, value: &VarTensor) -> std::io::Result<()> {
    // Half precision is kept wide; a bool is a byte.
    let (descr, wide) = match value.dtype {
        DType::F32 => ("<f4", false),
        DType::F64 => ("<f8", false),
        DType::I32 => ("<i4", false),
        DType::I64 => ("<i8", false),
        DType::I8 => ("|i1", false),
        DType::U8 => ("|u1", false),
        DType::Bool => ("|b1", false),
        DType::F16 | DType::BF16 => ("<f4", true),
    };
    let shape: String = value.shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(header.len() as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    match wide {
        true => {
            let values = bytes::to_f64(value.dtype, &value.bytes);
            file.write_all(&values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect::<Vec<u8>>())?;
        }
        false => file.write_all(&value.bytes)?,
    }
    file.flush()
}

fn csv(file: &mut impl Write, value: &VarTensor) -> std::io::Result<()> {
    let list = numbers(value.dtype, &value.bytes);
    let width = if value.shape.len() == 2 { value.shape[1].max(1) } else { 1 };
    for row in list.chunks(width) {
        let cells: Vec<String> = row.iter().map(|v| v.to_string()).collect();
        writeln!(file, "{}", cells.join(","))?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(shape: &[usize], list: &[f32]) -> VarTensor {
        let bytes = list.iter().flat_map(|v| v.to_le_bytes()).collect();
        VarTensor { dtype: DType::F32, shape: shape.to_vec(), bytes }
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("nnc-saves-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_picture_is_read_back_with_its_rounded_values() {
        let path = file("p.png");
        let list = [0.0, 1.0, 0.5, -1.0, 2.0, f32::NAN];
        assert!(write(&path, &value(&[3, 1, 2], &list)).is_ok());
        let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(&path).expect("the file")))
            .read_info()
            .expect("a picture");
        let mut pixels = vec![0; 6];
        let info = reader.next_frame(&mut pixels).expect("its pixels");
        assert_eq!((info.width, info.height, info.color_type), (2, 1, png::ColorType::Rgb));
        assert_eq!(pixels, [0, 128, 255, 255, 0, 0]);
        std::fs::remove_file(&path).expect("the file");
        assert!(matches!(write(&path, &value(&[2, 1, 1], &[0.0, 0.0])), Err(Fault::Value(_))));
        assert!(matches!(write(&path, &value(&[0, 4], &[])), Err(Fault::Value(_))));
    }

    #[test]
    fn arrays_and_tables_are_written_as_numpy_and_people_read_them() {
        let mut out = Vec::new();
        npy(&mut out, &value(&[2, 1], &[1.0, -2.5])).expect("memory");
        assert_eq!(&out[..8], b"\x93NUMPY\x01\x00");
        assert!(out.len() == 128 + 8 && out[127] == b'\n');
        assert!(String::from_utf8_lossy(&out[..128]).contains("'shape': (2,1,)"));
        let mut text = Vec::new();
        csv(&mut text, &value(&[2, 2], &[1.0, 0.5, 0.25, 3.0])).expect("memory");
        assert_eq!(String::from_utf8_lossy(&text), "1.0,0.5\n0.25,3.0\n");
        assert_eq!(numbered("why.png", 0, 1), "why.png");
        assert_eq!(numbered("a.b.png", 1, 3), "a.b-0002.png");
    }
}
