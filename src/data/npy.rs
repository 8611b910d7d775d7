//! `npy(…)`: NumPy arrays, one file a field, the first axis being the samples. In go the files, out come fields of the
//! arrays' own dtypes; a large file is mapped, not read. An array of whole numbers with one axis is a label: i32.

use super::dataset::{Bytes, Column, Dataset, Encoding, Field, OpenedData, Storage};
use super::files::{self, Found};
use super::table::identifier;
use super::{ArgValue, Call, DeclaredField, Result, SourceInfo, VALIDATE, internal};
use crate::ops::DType;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub const INFO: SourceInfo = SourceInfo {
    name: "npy",
    doc: "NumPy arrays, one .npy file a field; the first axis is the samples",
    fields: "one for each file, by the argument's name or the file's: x: f32[…]; whole numbers with one axis: i32 label",
    example: "npy(image: \"data/images.npy\", label: \"data/labels.npy\", validate: 0.2)",
    parameters: &[VALIDATE],
    many_files: true,
    declared: |call| {
        let names = names(call);
        Some(names.into_iter().map(DeclaredField::named).collect())
    },
    facts: |call, root| Ok(open(call, root)?.facts()),
    open,
};

/// The fields' names: the arguments', or the files' without their extension.
fn names(call: &Call) -> Vec<String> {
    let name = |arg: &&super::Arg| match (&arg.name, &arg.value) {
        (Some(name), _) => name.clone(),
        (None, ArgValue::Str(path)) => {
            identifier(&Path::new(path).file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned()))
        }
        _ => String::new(),
    };
    call.files.iter().map(name).collect()
}

fn open(call: &Call, root: &Path) -> Result<OpenedData> {
    let mut arrays = Arrays::default();
    for (arg, name) in call.files.iter().zip(names(call)) {
        let ArgValue::Str(path) = &arg.value else { continue };
        let file = files::find(root, path, arg.span)?;
        let bytes = file.bytes()?;
        let all = 0..bytes.len();
        arrays.push(&file, &name, bytes, all)?;
    }
    arrays.finish(call)
}

/// Fields read so far, all with the same number of samples.
#[derive(Default)]
pub struct Arrays {
    fields: Vec<Field>,
    columns: Vec<Column>,
    count: Option<(usize, String)>,
}

impl Arrays {
    /// Reads the .npy content that lies in `range` of `bytes` as the field `name` of `file`.
    pub fn push(&mut self, file: &Found, name: &str, bytes: Bytes, range: Range<usize>) -> Result<()> {
        if self.fields.iter().any(|f| f.name == name) {
            return Err(Box::new(
                file.bad(format!("there is already a field `{name}`")).help("give the fields different names"),
            ));
        }
        let array = Array::parse(file, name, &bytes[range.clone()])?;
        match &self.count {
            Some((count, first)) if *count != array.count => {
                let d = file.bad(format!("`{name}` has {} samples, `{first}` has {count}", array.count));
                let d =
                    d.note(format!("the shape of `{name}` is {:?}; its first axis is the samples", array.full_shape()));
                return Err(Box::new(d.help("give arrays with the same number of samples")));
            }
            Some(_) => {}
            None => self.count = Some((array.count, name.to_string())),
        }
        let (field, column) = array.field(file, name, bytes, range.start)?;
        self.fields.push(field);
        self.columns.push(column);
        Ok(())
    }

    pub fn finish(self, call: &Call) -> Result<OpenedData> {
        let count = self.count.map_or(0, |(count, _)| count);
        let dataset =
            Dataset::new(call.source.name, count, self.fields, self.columns).map_err(|e| internal(call, e))?;
        let hold_out = call.hold_out(count)?;
        Ok(OpenedData { dataset: Arc::new(dataset), hold_out })
    }
}

/// What the header of a .npy file says.
#[derive(Debug)]
struct Array {
    dtype: DType,
    swapped: bool,
    count: usize,
    shape: Vec<usize>,
    /// Bytes before the values.
    start: usize,
}

/// The types that are read, by NumPy's letter and size.
const DTYPES: [(&str, DType); 9] = [
    ("b1", DType::Bool),
    ("u1", DType::U8),
    ("i1", DType::I8),
    ("i4", DType::I32),
    ("i8", DType::I64),
    ("f2", DType::F16),
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("?", DType::Bool),
];

impl Array {
    fn full_shape(&self) -> Vec<usize> {
        [&[self.count], &self.shape[..]].concat()
    }

    /// Parses `\x93NUMPY`, version, header length, a Python dict; then come the values.
    fn parse(file: &Found, name: &str, bytes: &[u8]) -> Result<Array> {
        let fail = |what: String, help: &str| Err(Box::new(file.bad(what).help(help)));
        if bytes.is_empty() {
            return fail(format!("`{name}` is empty"), "copy or write the file again");
        }
        if bytes.get(..6) != Some(b"\x93NUMPY") {
            let head = &bytes[..bytes.len().min(6)];
            let d = file.bad(format!("`{name}` is not a .npy array"));
            let d = d.note(format!("it starts with {head:02x?}, expected [93, 4e, 55, 4d, 50, 59]"));
            return Err(Box::new(match head.starts_with(b"PK") {
                true => d.help("this is a zip file: read it with `npz`"),
                false => d.help("write it with `numpy.save`"),
            }));
        }
        let short =
            || Box::new(file.bad(format!("`{name}` ends inside its header")).help("copy or write the file again"));
        let le = |range: Range<usize>| {
            let bytes = bytes.get(range).ok_or_else(short)?;
            Result::Ok(bytes.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b)))
        };
        let (from, len) = match le(6..7)? {
            1 => (10, le(8..10)?),
            2 | 3 => (12, le(8..12)?),
            version => {
                return fail(format!("`{name}` is of format {version}, unknown here"), "write it with `numpy.save`");
            }
        };
        let start = from + len;
        let header = String::from_utf8_lossy(bytes.get(from..start).ok_or_else(short)?);
        let unclear = || {
            Box::new(
                file.bad(format!("the header of `{name}` cannot be read"))
                    .note(header.trim().to_string())
                    .help("write it with `numpy.save`"),
            )
        };

        let descr = entry(&header, "descr").ok_or_else(unclear)?;
        let fortran = entry(&header, "fortran_order").ok_or_else(unclear)?;
        let shape = entry(&header, "shape").ok_or_else(unclear)?;
        if fortran.starts_with("True") {
            return fail(
                format!("`{name}` is in Fortran order (columns first)"),
                "save it in C order: `numpy.save(file, numpy.ascontiguousarray(x))`",
            );
        }
        let descr = descr.trim_start_matches(['\'', '"']).split(['\'', '"']).next().unwrap_or("");
        let (order, letter) = match descr.chars().next() {
            Some(c @ ('<' | '>' | '|' | '=')) => (c, &descr[1..]),
            _ => ('=', descr),
        };
        let Some((_, dtype)) = DTYPES.iter().find(|(d, _)| *d == letter) else {
            let d = file.bad(format!(
                "`{name}` is of a type that cannot be read: {}",
                if descr.is_empty() { "a record" } else { descr }
            ));
            return Err(Box::new(d.help("convert it: `numpy.save(file, x.astype(\"float32\"))`")));
        };
        let sizes = shape.strip_prefix('(').and_then(|s| s.split(')').next()).ok_or_else(unclear)?;
        let sizes = sizes.split(',').map(str::trim).filter(|s| !s.is_empty());
        let sizes = sizes.map(|s| s.trim_end_matches('L').parse::<usize>()).collect::<std::result::Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| unclear())?;
        let Some((&count, shape)) = sizes.split_first() else {
            return fail(
                format!("`{name}` is a single number, without an axis of samples"),
                "give an array with at least one axis",
            );
        };
        if sizes.contains(&0) {
            return fail(format!("`{name}` holds no values: its shape is {sizes:?}"), "give an array with samples");
        }
        let values = sizes.iter().try_fold(dtype.bytes(), |n, &s| n.checked_mul(s));
        let end = values.and_then(|n| n.checked_add(start));
        let got = bytes.len();
        match end {
            Some(end) if end == got && u32::try_from(count).is_ok() => {}
            Some(end) if end == got => {
                return fail(format!("`{name}` has more samples than 32 bits count"), "split the file");
            }
            _ => {
                let wanted = end.map_or("more bytes than can be counted".to_string(), |n| format!("{n} bytes"));
                let verb = if end.is_some_and(|end| end < got) { "goes on past its values" } else { "is truncated" };
                let d = file.bad(format!("`{name}` {verb}: {got} bytes"));
                let d = d.note(format!("its header says {descr} of shape {sizes:?}, which takes {wanted}"));
                return Err(Box::new(d.help("copy or write the file again")));
            }
        }
        let big = cfg!(target_endian = "big");
        let swapped = dtype.bytes() > 1 && ((order == '>') != big && order != '=' && order != '|');
        Ok(Array { dtype: *dtype, swapped, count, shape: shape.to_vec(), start })
    }

    /// Checks the values and makes the field; `offset` is where the .npy content begins in `bytes`.
    fn field(self, file: &Found, name: &str, bytes: Bytes, offset: usize) -> Result<(Field, Column)> {
        let start = offset + self.start;
        let elements: usize = self.shape.iter().product();
        let len = elements * self.count * self.dtype.bytes();
        let values = &bytes[start..start + len];
        if let Some((at, what)) = self.first_bad(values) {
            let d = file.bad_value(format!("`{name}` holds {what} in sample {}", at / elements));
            let d = d.note(format!(
                "it is element {} of that sample, at byte {}",
                at % elements,
                self.start + at * self.dtype.bytes()
            ));
            return Err(Box::new(d.help("correct the array: every value must be finite, every bool 0 or 1")));
        }
        if self.dtype.is_int() && self.shape.is_empty() {
            return self.label(file, name, values);
        }
        let encoding = if self.swapped { Encoding::Swapped } else { Encoding::Native };
        let field = Field::new(name, self.dtype, &self.shape);
        Ok((field, Column::new(Storage { bytes, start, encoding })))
    }

    /// One element's bytes in the machine's order, in the low end of eight.
    fn element(&self, value: &[u8]) -> [u8; 8] {
        let mut wide = [0; 8];
        let little = self.swapped == cfg!(target_endian = "big");
        for (i, &b) in value.iter().enumerate() {
            wide[if little { i } else { value.len() - 1 - i }] = b;
        }
        wide
    }

    /// The first value that no net should see: NaN, infinite, or a bool that is neither 0 nor 1.
    fn first_bad(&self, values: &[u8]) -> Option<(usize, String)> {
        let bits = |value: &[u8]| u64::from_le_bytes(self.element(value));
        let nan = |mantissa: u64| if mantissa != 0 { "nan".to_string() } else { "an infinite value".to_string() };
        let find = |exponent: u64, mantissa: u64| {
            let at = values.chunks_exact(self.dtype.bytes()).position(|v| bits(v) & exponent == exponent)?;
            let value = &values[at * self.dtype.bytes()..][..self.dtype.bytes()];
            Some((at, nan(bits(value) & mantissa)))
        };
        match self.dtype {
            DType::F16 => find(0x7c00, 0x3ff),
            DType::F32 => find(0x7f80_0000, 0x7f_ffff),
            DType::F64 => find(0x7ff0_0000_0000_0000, 0xf_ffff_ffff_ffff),
            DType::Bool => values.iter().position(|&v| v > 1).map(|at| (at, format!("the byte {}", values[at]))),
            _ => None,
        }
    }

    /// Whole numbers, one a sample: a label, if none is negative.
    fn label(&self, file: &Found, name: &str, values: &[u8]) -> Result<(Field, Column)> {
        let mut out = Vec::with_capacity(self.count * 4);
        let (mut least, mut most) = (i32::MAX, i32::MIN);
        for (row, value) in values.chunks_exact(self.dtype.bytes()).enumerate() {
            let bits = u64::from_le_bytes(self.element(value));
            let number = match self.dtype {
                DType::U8 => i64::from(bits as u8),
                DType::I8 => i64::from(bits as i8),
                DType::I32 => i64::from(bits as i32),
                _ => bits as i64,
            };
            let Ok(number) = i32::try_from(number) else {
                let d = file.bad_value(format!("`{name}` of sample {row} is {number}, beyond i32"));
                return Err(Box::new(d.help("number the classes from 0")));
            };
            (least, most) = (least.min(number), most.max(number));
            out.extend(number.to_ne_bytes());
        }
        let mut field = Field::new(name, DType::I32, &[]);
        field.classes = (least >= 0 && most < i32::MAX).then_some(most as usize + 1);
        Ok((field, Column::new(Storage::owned(out))))
    }
}

/// The text after a key of a Python dict.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let after = quoted.iter().find_map(|q| header.find(q.as_str()).map(|at| &header[at + q.len()..]))?;
    after.trim_start().strip_prefix(':').map(str::trim_start)
}
