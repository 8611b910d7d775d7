//! Sources whose fields are known but whose readers are not there yet: programs over them are checked, running them says
//! what works today.

use super::dataset::{Facts, OpenedData};
use super::{ArgValue, Call, DeclaredField, Kind, Parameter, Result, SourceInfo, VALIDATE};
use crate::diag::{Diagnostic, codes};
use crate::ops::DType;

const FOLDER: Parameter = Parameter { name: "path", kind: Kind::Path, default: None, doc: "the folder" };

fn not_there(call: &Call) -> Box<Diagnostic> {
    let what = format!("the reader `{}` is not there yet", call.source.name);
    let d = Diagnostic::error(codes::NOT_SUPPORTED, call.span, what).label("its fields are only declared");
    Box::new(d.help(match call.source.name {
        "cifar10" | "image_folder" => "pictures can come from `idx`, `mnist`, `npy` or `npz` today",
        "audio_folder" => "sounds can come as arrays from `npy` or `npz` today",
        _ => "arrays can come from `npy` or `npz` today",
    }))
}

fn facts(call: &Call, _: &std::path::Path) -> Result<Facts> {
    Err(not_there(call))
}

fn open(call: &Call, _: &std::path::Path) -> Result<OpenedData> {
    Err(not_there(call))
}

/// A label of an unknown number of classes.
fn label(name: &str, classes: Option<usize>) -> DeclaredField {
    DeclaredField { classes, ..DeclaredField::sized(name, DType::I32, &[]) }
}

pub const IMAGE_FOLDER: SourceInfo = SourceInfo {
    name: "image_folder",
    doc: "a folder with a folder of pictures for every class (declared; the reader is not there yet)",
    fields: "image: f32[3, size, size] (0 to 1), label: i32",
    example: "image_folder(\"data/pets\", size: 64, validate: 0.2)",
    parameters: &[
        FOLDER,
        Parameter { name: "size", kind: Kind::Size, default: None, doc: "the width and height that pictures get" },
        VALIDATE,
    ],
    many_files: false,
    declared: |call| {
        let size = call.size("size");
        let image = DeclaredField::sized("image", DType::F32, &[Some(3), size, size]);
        Some(vec![image, label("label", None)])
    },
    facts,
    open,
};

pub const CIFAR10: SourceInfo = SourceInfo {
    name: "cifar10",
    doc: "60,000 pictures of 32 x 32 in 10 classes (declared; the reader is not there yet)",
    fields: "image: f32[3, 32, 32] (0 to 1), label: i32",
    example: "cifar10(\"data/cifar10\", validate: 0.1)",
    parameters: &[FOLDER, VALIDATE],
    many_files: false,
    declared: |_| {
        let side = Some(32);
        Some(vec![DeclaredField::sized("image", DType::F32, &[Some(3), side, side]), label("label", Some(10))])
    },
    facts,
    open,
};

pub const AUDIO_FOLDER: SourceInfo = SourceInfo {
    name: "audio_folder",
    doc: "a folder of sounds, whose names say what is heard (declared; the reader is not there yet)",
    fields: "audio: f32[T] (-1 to 1), and a label i32 for each name in braces",
    example: "audio_folder(\"data/digits\", rate: 8000, name: \"{label}_{speaker}_{take}\")",
    parameters: &[
        FOLDER,
        Parameter { name: "rate", kind: Kind::Size, default: None, doc: "samples a second" },
        Parameter {
            name: "name",
            kind: Kind::Text,
            default: Some("\"{label}\""),
            doc: "the form of a file's name; each part in braces is a field",
        },
        VALIDATE,
    ],
    many_files: false,
    declared: |call| {
        let form = match call.value("name") {
            Some(ArgValue::Str(form)) => form.as_str(),
            _ => "{label}",
        };
        let audio = DeclaredField::sized("audio", DType::F32, &[None]);
        let mut fields = vec![DeclaredField { sizes: &["T"], varying: true, ..audio }];
        for part in form.split('{').skip(1) {
            fields.push(label(part.split('}').next().unwrap_or(part), None));
        }
        Some(fields)
    },
    facts,
    open,
};

pub const GRAPH: SourceInfo = SourceInfo {
    name: "graph",
    doc: "one graph of labelled nodes (declared; the reader is not there yet)",
    fields: "feature: f32[N, F], edge: i32[E, 2], label: i32[N], chosen: bool[N] (the nodes of the split at hand)",
    example: "graph(\"data/papers\", label: \"topic\", train: 140, validate: 500)",
    parameters: &[
        FOLDER,
        Parameter { name: "label", kind: Kind::Text, default: Some("\"label\""), doc: "what to foretell of a node" },
        Parameter { name: "train", kind: Kind::HoldOut, default: Some("the rest"), doc: "nodes to learn from" },
        VALIDATE,
    ],
    many_files: false,
    declared: |_| {
        let field = |name, dtype, shape: &[Option<usize>], sizes| DeclaredField {
            sizes,
            ..DeclaredField::sized(name, dtype, shape)
        };
        Some(vec![
            field("feature", DType::F32, &[None, None], &["N", "F"]),
            field("edge", DType::I32, &[None, Some(2)], &["E"]),
            field("label", DType::I32, &[None], &["N"]),
            field("chosen", DType::Bool, &[None], &["N"]),
        ])
    },
    facts,
    open,
};
