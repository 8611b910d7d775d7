//! Every reader on good and on bad files, written into a folder of the test's own.

mod arrays;
mod calls;
mod pictures;
mod tables;

use super::*;
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("nnc-data-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Folder {
        std::fs::write(self.0.join(name), bytes).expect("a file for the test");
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn span() -> Span {
    Span::new(FileId(3), 10, 20)
}

fn text(s: &str) -> ArgValue {
    ArgValue::Str(s.to_string())
}

fn args(list: &[(&str, ArgValue)]) -> SourceArgs {
    let arg = |(i, (name, value)): (usize, &(&str, ArgValue))| Arg {
        name: (!name.is_empty()).then(|| name.to_string()),
        value: value.clone(),
        span: Span::new(FileId(3), 100 + i, 101 + i),
    };
    SourceArgs { span: span(), args: list.iter().enumerate().map(arg).collect() }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Opens, and checks that the glance gives the same facts.
fn good(name: &str, list: &[(&str, ArgValue)], root: &Folder) -> OpenedData {
    let call = args(list);
    let opened = open(name, &call, &root.0).unwrap_or_else(|d| panic!("{d:?}"));
    assert_eq!(facts(name, &call, &root.0).expect("facts of a good file"), opened.facts());
    opened
}

/// The fault of a bad call or file: well formed, placed, with a cure, and with this code and these words in it.
fn bad(name: &str, list: &[(&str, ArgValue)], root: &Folder, code: &codes::Code, words: &[&str]) -> Diagnostic {
    let d = *open(name, &args(list), &root.0).expect_err("a fault");
    assert_eq!(d.code.id, code.id, "{d:?}");
    let whole = format!("{}\n{}\n{}", d.headline, d.notes.join("\n"), d.help.join("\n"));
    for word in words {
        assert!(whole.contains(word), "no {word:?} in:\n{whole}");
    }
    assert!(d.headline.chars().count() <= 80 && !d.headline.ends_with('.'), "{}", d.headline);
    assert!(d.help.len() == 1, "{whole}");
    let place = d.span().expect("a place");
    assert!(place == span() || place.start >= 100, "{place:?}");
    d
}

fn values(data: &Dataset, field: &str, rows: &[u32]) -> Vec<f64> {
    let field = data.field(field).unwrap_or_else(|| panic!("no field {field} in {:?}", data.fields));
    let dtype = data.fields[field].dtype;
    let mut out = vec![0; rows.len() * data.fields[field].bytes()];
    data.gather(field, rows, &mut out);
    let value = |b: &[u8]| match dtype {
        DType::F32 => f64::from(f32::from_ne_bytes(b.try_into().expect("4 bytes"))),
        DType::F64 => f64::from_ne_bytes(b.try_into().expect("8 bytes")),
        DType::I32 => f64::from(i32::from_ne_bytes(b.try_into().expect("4 bytes"))),
        DType::I64 => i64::from_ne_bytes(b.try_into().expect("8 bytes")) as f64,
        _ => f64::from(b[0]),
    };
    out.chunks_exact(dtype.bytes()).map(value).collect()
}

/// Damages a file in many ways; the reader may take or refuse it, but must come back.
fn survives(name: &str, list: &[(&str, ArgValue)], root: &Folder, file: &str, bytes: &[u8]) {
    let mut refused = 0;
    let mut attempt = |damaged: &[u8]| {
        root.write(file, damaged);
        match open(name, &args(list), &root.0) {
            Ok(data) => {
                let rows: Vec<u32> = (0..data.dataset.count.min(100) as u32).collect();
                for (i, field) in data.dataset.fields.iter().enumerate() {
                    data.dataset.gather(i, &rows, &mut vec![0; rows.len() * field.bytes()]);
                }
            }
            Err(d) => {
                refused += 1;
                assert!(!std::ptr::eq(d.code, codes::INTERNAL) && d.code.id != codes::INTERNAL.id, "{d:?}");
            }
        }
    };
    for cut in 0..bytes.len() {
        attempt(&bytes[..cut]);
    }
    for i in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[i] ^= flip;
            attempt(&damaged);
        }
    }
    for seed in 0..300u64 {
        let mut damaged = bytes.to_vec();
        for k in 0..4 {
            let draw = shuffle::mix(seed * 4 + k + 1);
            let at = draw as usize % damaged.len();
            damaged[at] = (draw >> 40) as u8;
        }
        attempt(&damaged);
    }
    assert!(refused > 0);
}
