//! `mnist(path)`: a folder with MNIST's four files, or those of a set of the same form (Fashion-MNIST, KMNIST). In goes
//! the folder, out come 28 x 28 pictures in 0..1 and labels of 10 classes; the test files are the validation part.

use super::dataset::{Dataset, Facts, HoldOut, OpenedData};
use super::files::{self, Found};
use super::{Call, DeclaredField, Field, Kind, Parameter, Result, SourceInfo, idx, resize};
use crate::diag::{Diagnostic, codes};
use crate::ops::DType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CLASSES: usize = 10;
const SIZE: usize = 28;
const LARGEST: usize = 256;

pub const INFO: SourceInfo = SourceInfo {
    name: "mnist",
    doc: "MNIST or a set of the same form, from a folder with its four IDX files, plain or gzip",
    fields: "image: f32[1, size, size], label: i32",
    example: "mnist(\"data/mnist\")",
    parameters: &[
        Parameter { name: "path", kind: Kind::Path, default: None, doc: "the folder with the four files" },
        Parameter {
            name: "size",
            kind: Kind::Size,
            default: Some("28"),
            doc: "the side of the pictures, resized if not 28",
        },
        Parameter {
            name: "validate",
            kind: Kind::HoldOut,
            default: Some("the 10,000 test pictures"),
            doc: "what to hold out of the training files; without it, the test files are the validation part",
        },
    ],
    many_files: false,
    declared: |call| Some(fields(size(call).ok()?).into_iter().map(DeclaredField::known).collect()),
    facts,
    open,
};

/// The side of the pictures that the call asks for.
fn size(call: &Call) -> Result<usize> {
    match call.size("size") {
        Some(size @ ..=LARGEST) => Ok(size),
        Some(size) => {
            let d = Diagnostic::error(
                codes::BAD_SETTING,
                call.span_of("size"),
                format!("pictures of {size} x {size} are too large"),
            );
            Err(Box::new(d.help(format!("give a size of at most {LARGEST}"))))
        }
        None => Ok(SIZE),
    }
}

fn fields(size: usize) -> Vec<Field> {
    vec![Field::new("image", DType::F32, &[1, size, size]), Field::label("label", CLASSES)]
}

/// The folder's file of this stem, under any of the names in use.
fn part(call: &Call, root: &Path, stem: &str, kind: &str) -> Result<Found> {
    let folder = call.text("path").unwrap_or_default();
    let folders = files::places(root, folder);
    if !folders.iter().any(|f| f.is_dir()) {
        let looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let name = files::shorten(folder);
        let d = Diagnostic::error(codes::DATA_MISSING, call.span_of("path"), format!("there is no folder \"{name}\""));
        return Err(Box::new(
            d.note(format!("looked for {}", looked.join("\nand for ")))
                .note("MNIST's four files are train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz")
                .help("put them there, or name the folder that holds the data with `--data DIR`"),
        ));
    }
    let names =
        ["-", "."].iter().flat_map(|dot| ["", ".gz"].iter().map(move |gz| format!("{stem}{dot}{kind}-ubyte{gz}")));
    let paths: Vec<PathBuf> = names.flat_map(|name| folders.iter().map(move |f| f.join(&name))).collect();
    files::find_any(&paths, &format!("{stem}-{kind}-ubyte"), call.span).map_err(|mut d| {
        if stem.starts_with("t10k") {
            d.help = vec!["put it there, or hold out training pictures instead: `validate: 0.1`".to_string()];
        }
        d
    })
}

fn pair(call: &Call, root: &Path, set: &str) -> Result<(Found, Found)> {
    let images = part(call, root, &format!("{set}-images"), "idx3")?;
    Ok((images, part(call, root, &format!("{set}-labels"), "idx1")?))
}

fn checked_header(images: &Found) -> Result<idx::Header> {
    let header = idx::images_header(images)?;
    if header.shape != [1, SIZE, SIZE] {
        let d = images.bad(format!("its pictures are {:?}, not {SIZE} x {SIZE}", &header.shape[1..]));
        return Err(Box::new(d.help("read it with `idx(images, labels)`, which takes any size")));
    }
    Ok(header)
}

fn facts(call: &Call, root: &Path) -> Result<Facts> {
    let size = size(call)?;
    let count = checked_header(&pair(call, root, "train")?.0)?.count;
    if !call.given("validate") {
        let validate = checked_header(&pair(call, root, "t10k")?.0)?.count;
        return Ok(Facts { validate, ..Facts::new(fields(size), count, &HoldOut::Nothing) });
    }
    Ok(Facts::new(fields(size), count, &call.hold_out(count)?))
}

fn read(call: &Call, root: &Path, set: &str) -> Result<Arc<Dataset>> {
    let (images, labels) = pair(call, root, set)?;
    checked_header(&images)?;
    let size = size(call)?;
    let resize = |pixels: &[u8]| (size != SIZE).then(|| resize::squares(pixels, SIZE, size));
    Ok(Arc::new(idx::read_pair(call, &images, &labels, Some(CLASSES), resize)?))
}

fn open(call: &Call, root: &Path) -> Result<OpenedData> {
    let dataset = read(call, root, "train")?;
    let hold_out = call.hold_out_or(dataset.count, || read(call, root, "t10k"))?;
    Ok(OpenedData { dataset, hold_out })
}
