//! `idx(images, labels)`: two files of MNIST's IDX format, plain or gzip. In go the files, out come `image` in 0..1,
//! channel first, and `label`. The pixels stay bytes in memory.

use super::dataset::{Bytes, Column, Dataset, Encoding, Facts, Field, OpenedData, Storage};
use super::files::{self, Found};
use super::{Call, DeclaredField, Kind, Parameter, Result, SourceInfo, VALIDATE, internal};
use crate::ops::DType;
use std::path::Path;
use std::sync::Arc;

pub const INFO: SourceInfo = SourceInfo {
    name: "idx",
    doc: "pictures and labels from two IDX files, plain or gzip; pixels become 0..1",
    fields: "image: f32[C, H, W], label: i32",
    example: "idx(\"images-idx3-ubyte.gz\", \"labels-idx1-ubyte.gz\", validate: 0.2)",
    parameters: &[
        Parameter { name: "images", kind: Kind::Path, default: None, doc: "the file of the pictures" },
        Parameter { name: "labels", kind: Kind::Path, default: None, doc: "the file of the labels" },
        Parameter {
            name: "classes",
            kind: Kind::Size,
            default: Some("the largest label + 1"),
            doc: "the number of classes",
        },
        VALIDATE,
    ],
    many_files: false,
    declared: |call| {
        Some(vec![
            DeclaredField { sizes: &["C", "H", "W"], ..DeclaredField::sized("image", DType::F32, &[None, None, None]) },
            DeclaredField { classes: call.size("classes"), ..DeclaredField::sized("label", DType::I32, &[]) },
        ])
    },
    facts,
    open: |call, root| {
        let (images, labels) = find(call, root)?;
        let dataset = read_pair(call, &images, &labels, call.size("classes"), |_| None)?;
        let hold_out = call.hold_out(dataset.count)?;
        Ok(OpenedData { dataset: Arc::new(dataset), hold_out })
    },
};

fn find(call: &Call, root: &Path) -> Result<(Found, Found)> {
    let part = |name| files::find(root, call.text(name).unwrap_or_default(), call.span);
    Ok((part("images")?, part("labels")?))
}

fn facts(call: &Call, root: &Path) -> Result<Facts> {
    let (images, labels) = find(call, root)?;
    let header = images_header(&images)?;
    let (labels, classes) = read_labels(&labels, header.count, call.size("classes"))?;
    Ok(Facts::new(fields(&header, classes), labels.len(), &call.hold_out(labels.len())?))
}

/// The fields of a pair of files.
pub fn fields(images: &Header, classes: usize) -> Vec<Field> {
    vec![Field::new("image", DType::F32, &images.shape), Field::label("label", classes)]
}

/// What an IDX file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Bytes before the values.
    pub start: usize,
    pub count: usize,
    /// The shape of one sample; for pictures with the channel axis first.
    pub shape: Vec<usize>,
}

impl Header {
    /// Bytes of the whole file. None if no machine can hold them.
    fn file_len(&self) -> Option<usize> {
        let sample = self.shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b))?;
        sample.checked_mul(self.count)?.checked_add(self.start)
    }
}

/// The longest header: magic and four sizes.
const HEADER: usize = 20;

/// Reads the header of a file of bytes (`head` is its start) that must have one of these numbers of axes.
fn header(file: &Found, head: &[u8], axes: &[usize], what: &str) -> Result<Header> {
    if head.is_empty() {
        return Err(Box::new(file.bad("the file is empty").help("copy or download it again")));
    }
    let number = |at: usize| {
        let bytes = head.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok())?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let short =
        || Box::new(file.bad(format!("ends inside its header, after {} bytes", head.len())).help("copy it again"));
    let magic = <[u8; 4]>::try_from(head.get(..4).ok_or_else(short)?).unwrap_or_default();
    let wanted = axes[0] as u8;
    if magic[..2] != [0, 0] || magic[2] != 8 || !axes.contains(&usize::from(magic[3])) {
        let d = file.bad(format!("not an IDX file of {what}"));
        let d = d.note(format!("its first 4 bytes are {magic:02x?}, expected [00, 00, 08, {wanted:02x}]"));
        return Err(Box::new(match (magic[..2] == [0, 0], magic[2], magic[3]) {
            (true, 8, 1) => d.help("this is a file of labels: give the images first, then the labels"),
            (true, 8, 3) => d.help("this is a file of pictures: give the images first, then the labels"),
            (true, 9..=14, _) => d.help("only files of unsigned bytes are read"),
            _ => d.help("give an IDX file, such as `train-images-idx3-ubyte.gz` of MNIST"),
        }));
    }
    let rank = usize::from(magic[3]);
    let sizes = (0..rank).map(|i| number(4 + 4 * i)).collect::<Option<Vec<_>>>().ok_or_else(short)?;
    let mut shape = sizes[1..].to_vec();
    if rank == 3 {
        shape.insert(0, 1);
    }
    if let Some(axis) = sizes.iter().position(|&s| s == 0) {
        let d = file.bad(format!("its size along axis {axis} is 0"));
        return Err(Box::new(d.note(format!("the header says {sizes:?}")).help("copy or download it again")));
    }
    Ok(Header { start: 4 + 4 * rank, count: sizes[0], shape })
}

/// The header of a file of pictures.
pub fn images_header(file: &Found) -> Result<Header> {
    let header = header(file, &file.head(HEADER)?, &[3, 4], "pictures")?;
    if u32::try_from(header.count).is_err() || header.file_len().is_none() {
        return Err(Box::new(file.bad("its header asks for more than a machine can hold").help("copy it again")));
    }
    Ok(header)
}

/// Checks that the file is as long as its header says.
fn check_len(file: &Found, header: &Header, got: usize) -> Result<()> {
    let wanted = header.file_len().unwrap_or(usize::MAX);
    if got == wanted {
        return Ok(());
    }
    let sample: usize = header.shape.iter().product();
    let d = if got < wanted {
        let whole = got.saturating_sub(header.start) / sample;
        file.bad(format!("ends at byte {got}, in sample {whole} of {}", header.count))
    } else {
        file.bad(format!("goes on after byte {wanted}, where its header ends it"))
    };
    let d = d.note(format!(
        "{} samples of {:?} after {} bytes are {wanted} bytes",
        header.count, header.shape, header.start
    ));
    Err(Box::new(d.help("copy or download it again")))
}

/// The labels of a file that must hold `count` of them, and the number of classes (given, or the largest + 1).
fn read_labels(file: &Found, count: usize, classes: Option<usize>) -> Result<(Vec<u8>, usize)> {
    let bytes = file.bytes()?;
    let header = header(file, &bytes[..bytes.len().min(HEADER)], &[1], "labels")?;
    check_len(file, &header, bytes.len())?;
    if header.count != count {
        let d = file.bad(format!("{} labels for {count} pictures", header.count));
        return Err(Box::new(
            d.help("give the two files of one set: both of the training part, or both of the test part"),
        ));
    }
    let labels = bytes[header.start..].to_vec();
    let Some((row, &largest)) = labels.iter().enumerate().rev().max_by_key(|&(_, l)| l) else {
        return Err(Box::new(file.bad("it holds no labels")));
    };
    let classes = classes.unwrap_or(usize::from(largest) + 1);
    if usize::from(largest) >= classes {
        let d = file.bad_value(format!("label {largest} of sample {row} is not below {classes}"));
        let d = d.note(format!("it is byte {} of the file", header.start + row));
        return Err(Box::new(d.help(format!("there are {classes} classes, 0 to {}: correct the file", classes - 1))));
    }
    Ok((labels, classes))
}

/// Reads the two files of a set. `resize` may give square pictures of another size for the pixels of all of them.
pub fn read_pair(
    call: &Call,
    images: &Found,
    labels: &Found,
    classes: Option<usize>,
    resize: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Dataset> {
    let mut header = images_header(images)?;
    let mut bytes = images.bytes()?;
    check_len(images, &header, bytes.len())?;
    let (labels, classes) = read_labels(labels, header.count, classes)?;
    if let Some(resized) = resize(&bytes[header.start..]) {
        let side = (resized.len() / header.count / header.shape[0]).isqrt();
        header = Header { start: 0, shape: vec![header.shape[0], side, side], ..header };
        bytes = Bytes::Owned(resized);
    }
    let columns = vec![
        Column::new(Storage { bytes, start: header.start, encoding: Encoding::Scaled(255.0) }),
        Column::new(Storage { bytes: Bytes::Owned(labels), start: 0, encoding: Encoding::Widened }),
    ];
    let name = images.path.display().to_string();
    Dataset::new(name, header.count, fields(&header, classes), columns).map_err(|e| internal(call, e))
}
