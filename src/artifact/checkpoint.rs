//! Checkpoints in the safetensors format: in go named tensors and string metadata, out comes a file, and back. Equal
//! content gives equal bytes: tensors lie in the order of element size (largest first) and name, metadata in that of keys.
//! Every tool that reads safetensors reads it.

use super::replace::{refused, replace};
use super::{OUR_FAULT, Result};
use crate::diag::{Diagnostic, codes, suggest};
use crate::ops::DType;
use crate::source::Span;
use safetensors::SafeTensors;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// A tensor somewhere in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorRef<'a> {
    /// Its path in the source: `blocks.3.attn.qkv.weight`.
    pub name: &'a str,
    pub dtype: DType,
    pub shape: &'a [usize],
    /// Little-endian values in row-major order.
    pub bytes: &'a [u8],
}

/// The longest list of names in a message.
const SHOWN: usize = 8;

const DTYPES: [(DType, safetensors::Dtype); 9] = [
    (DType::Bool, safetensors::Dtype::BOOL),
    (DType::U8, safetensors::Dtype::U8),
    (DType::I8, safetensors::Dtype::I8),
    (DType::I32, safetensors::Dtype::I32),
    (DType::I64, safetensors::Dtype::I64),
    (DType::F16, safetensors::Dtype::F16),
    (DType::BF16, safetensors::Dtype::BF16),
    (DType::F32, safetensors::Dtype::F32),
    (DType::F64, safetensors::Dtype::F64),
];

/// The format's name of a dtype (safetensors 0.8, README, "Format").
fn format_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "BOOL",
        DType::U8 => "U8",
        DType::I8 => "I8",
        DType::I32 => "I32",
        DType::I64 => "I64",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::F32 => "F32",
        DType::F64 => "F64",
    }
}

/// Writes a checkpoint. The file is replaced only once the new one is whole and on the disk.
pub fn write(path: &Path, tensors: &[TensorRef], metadata: &BTreeMap<String, String>) -> Result<()> {
    let mut tensors = tensors.to_vec();
    tensors.sort_unstable_by(|a, b| (b.dtype.bytes(), a.name).cmp(&(a.dtype.bytes(), b.name)));
    let text = |s: &str| serde_json::Value::from(s).to_string();
    let mut entries = Vec::new();
    if !metadata.is_empty() {
        let pairs: Vec<_> = metadata.iter().map(|(k, v)| format!("{}:{}", text(k), text(v))).collect();
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut end = 0;
    let mut names = BTreeSet::new();
    for tensor in &tensors {
        let wanted = tensor.shape.iter().product::<usize>() * tensor.dtype.bytes();
        if tensor.bytes.len() != wanted || !names.insert(tensor.name) {
            let what = format!("tensor `{}` cannot be saved", tensor.name);
            let d = Diagnostic::placeless(codes::INTERNAL, what);
            return Err(Box::new(
                d.note(format!("{} bytes, or the same name twice", tensor.bytes.len())).help(OUR_FAULT),
            ));
        }
        let (start, name) = (end, text(tensor.name));
        end += wanted;
        let (dtype, shape) = (format_name(tensor.dtype), tensor.shape);
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        entries.push(format!("{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{start},{end}]}}"));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    replace(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|t| file.write_all(t.bytes))
    })
}

/// A checkpoint that has been read and is consistent in itself.
#[derive(Debug)]
pub struct Checkpoint {
    pub metadata: BTreeMap<String, String>,
    /// The file's name, for messages.
    pub(super) name: String,
    bytes: Vec<u8>,
    /// Sorted by name.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    range: Range<usize>,
}

/// Reads a checkpoint. `place` is where the program asked for it, if it did.
pub fn read(path: &Path, place: Option<Span>) -> Result<Checkpoint> {
    let bytes = std::fs::read(path).map_err(|e| {
        let mut d = refused("read", path, &e);
        d.primary = at(place);
        Box::new(d)
    })?;
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let bad =
        |what: &str| fault(place, format!("{} {what}", short(&name))).note(format!("the file is {}", path.display()));
    let not_one = |why: String| {
        Box::new(
            bad("is not a checkpoint").note(why).help("give a file that `nnc` or another tool wrote as safetensors"),
        )
    };
    let cut = |why: String| Box::new(bad("is truncated").note(why).help("copy it again, or use another checkpoint"));
    let Some(len) = bytes.get(..8).and_then(|b| <[u8; 8]>::try_from(b).ok()).map(u64::from_le_bytes) else {
        return Err(not_one(format!("it has {} bytes, a header alone has more", bytes.len())));
    };
    let plausible = bytes.get(8).is_none_or(|&b| b == b'{') && len < 100_000_000;
    let Some(start) = usize::try_from(len).ok().and_then(|len| len.checked_add(8)).filter(|_| plausible) else {
        return Err(not_one(format!("its header would be {len} bytes long")));
    };
    if start > bytes.len() {
        return Err(cut(format!("its header ends at byte {start}, the file at byte {}", bytes.len())));
    }
    let (_, header) = match SafeTensors::read_metadata(&bytes) {
        Ok(header) => header,
        Err(safetensors::SafeTensorError::MetadataIncompleteBuffer) => {
            let end = end_of(&bytes[8..start]).and_then(|end| end.checked_add(start as u64)).unwrap_or(u64::MAX);
            let why = format!("its tensors end at byte {end}, the file at byte {}", bytes.len());
            return Err(if end < bytes.len() as u64 {
                Box::new(bad("has bytes after its end").note(why).help("copy it again, or use another checkpoint"))
            } else {
                cut(why)
            });
        }
        Err(e) => return Err(not_one(format!("its header is wrong: {e}"))),
    };
    let mut entries = Vec::new();
    for (name, info) in header.tensors() {
        let Some((dtype, _)) = DTYPES.iter().find(|(_, d)| *d == info.dtype) else {
            let d = bad(&format!("holds {:?} values", info.dtype)).note(format!("they are those of `{name}`"));
            return Err(Box::new(d.help("convert them to f32, f16 or bf16")));
        };
        let range = start + info.data_offsets.0..start + info.data_offsets.1;
        if range.start > range.end || range.end > bytes.len() {
            return Err(cut(format!("`{name}` ends at byte {}, the file at byte {}", range.end, bytes.len())));
        }
        entries.push(Entry { name, dtype: *dtype, shape: info.shape.clone(), range });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Checkpoint { metadata, name, bytes, entries })
}

/// Where the last tensor ends, after the header.
fn end_of(header: &[u8]) -> Option<u64> {
    let header: serde_json::Value = serde_json::from_slice(header).ok()?;
    header.as_object()?.values().filter_map(|t| t.get("data_offsets")?.get(1)?.as_u64()).max()
}

fn at(place: Option<Span>) -> Option<crate::diag::Label> {
    place.map(|span| crate::diag::Label { span, text: "this file is loaded here".to_string() })
}

fn fault(place: Option<Span>, headline: String) -> Diagnostic {
    let mut d = Diagnostic::placeless(codes::CHECKPOINT, headline);
    d.primary = at(place);
    d
}

/// A file's name, short enough for a headline.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= 40 { name.to_string() } else { name.chars().take(39).chain(['…']).collect() }
}

impl Checkpoint {
    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = TensorRef<'_>> {
        self.entries.iter().map(|e| self.tensor(e))
    }

    /// The tensor with this name.
    pub fn get(&self, name: &str) -> Option<TensorRef<'_>> {
        let i = self.entries.binary_search_by(|e| e.name.as_str().cmp(name)).ok()?;
        Some(self.tensor(&self.entries[i]))
    }

    fn tensor<'a>(&'a self, entry: &'a Entry) -> TensorRef<'a> {
        let bytes = &self.bytes[entry.range.clone()];
        TensorRef { name: &entry.name, dtype: entry.dtype, shape: &entry.shape, bytes }
    }

    /// Checks that the checkpoint holds exactly the tensors that are wanted (name, dtype, shape). One diagnostic lists
    /// all that are missing, of another type or shape, or unexpected.
    pub fn check<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a str, DType, &'a [usize])>,
        place: Option<Span>,
    ) -> Result<()> {
        let (mut missing, mut different, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for (name, dtype, shape) in wanted {
            known.push(name);
            match self.get(name) {
                None => missing.push((name, dtype, shape)),
                Some(t) if t.dtype != dtype || t.shape != shape => {
                    let file = spell(t.dtype, t.shape);
                    different.push(format!("`{name}` is {file} in the file and {} in the net", spell(dtype, shape)));
                }
                Some(_) => {}
            }
        }
        known.sort_unstable();
        let unexpected: Vec<&str> =
            self.entries.iter().map(|e| e.name.as_str()).filter(|n| known.binary_search(n).is_err()).collect();
        if missing.is_empty() && different.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        let mut d = fault(place, format!("{} does not fit the net", short(&self.name)));
        let missing: Vec<String> = missing
            .iter()
            .map(|(name, dtype, shape)| {
                let near = suggest::nearest(name, unexpected.iter().copied());
                let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`, which the file has?"));
                format!("`{name}` ({}){near}", spell(*dtype, shape))
            })
            .collect();
        let unexpected: Vec<String> = unexpected.iter().map(|n| format!("`{n}`")).collect();
        let lists =
            [("not in the file", missing), ("of another shape or type", different), ("only in the file", unexpected)];
        for (what, list) in lists {
            if !list.is_empty() {
                let more = list.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!("\n  … and {more} more") } else { String::new() };
                let shown = list.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  ");
                d = d.note(format!("{what}:\n  {shown}{more}"));
            }
        }
        Err(Box::new(d.help("use the checkpoint of this very net, or the source that is kept beside it")))
    }
}

fn spell(dtype: DType, shape: &[usize]) -> String {
    format!("{dtype}{shape:?}")
}
