//! Checkpoints and run folders, whole, damaged, and on a full disk.

use super::*;
use crate::diag::codes;
use crate::ops::DType;
use crate::source::{FileId, Span};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("nnc-artifact-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect("the file was written")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T>, code: &codes::Code, words: &[&str]) -> Diagnostic {
    let d = *result.expect_err("a refusal");
    assert_eq!(d.code.id, code.id, "{d:?}");
    let whole = format!("{}\n{}\n{}", d.headline, d.notes.join("\n"), d.help.join("\n"));
    for word in words {
        assert!(whole.contains(word), "no {word:?} in:\n{whole}");
    }
    assert!(d.headline.chars().count() <= 80 && d.help.len() == 1, "{whole}");
    d
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// Three tensors in an order that is not the file's.
fn sample(path: &std::path::Path) {
    let (weight, bias) = (bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), bytes(&[0.5, -0.5]));
    let tensors = [
        TensorRef { name: "fc.weight", dtype: DType::F32, shape: &[2, 3], bytes: &weight },
        TensorRef { name: "mask", dtype: DType::Bool, shape: &[3], bytes: &[1, 0, 1] },
        TensorRef { name: "fc.bias", dtype: DType::F32, shape: &[2], bytes: &bias },
        TensorRef { name: "step", dtype: DType::I64, shape: &[], bytes: &7i64.to_le_bytes() },
    ];
    let notes = metadata(&[("seed", "0"), ("a \"quoted\" key", "é\n")]);
    checkpoint::write(path, &tensors, &notes).expect("written");
}

#[test]
fn checkpoints_come_back() {
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    sample(&path);
    let read = checkpoint::read(&path, None).expect("read");
    assert_eq!(read.tensors().map(|t| t.name).collect::<Vec<_>>(), ["fc.bias", "fc.weight", "mask", "step"]);
    let weight = read.get("fc.weight").expect("there");
    assert_eq!(
        (weight.dtype, weight.shape, weight.bytes),
        (DType::F32, &[2, 3][..], &bytes(&[1., 2., 3., 4., 5., 6.])[..])
    );
    assert!(read.get("fc").is_none());
    assert_eq!(read.metadata, metadata(&[("seed", "0"), ("a \"quoted\" key", "é\n")]));
    // The same content is the same bytes, whatever the order it was given in; and nothing else is left.
    let second = folder.0.join("second.safetensors");
    let mut tensors: Vec<TensorRef> = read.tensors().collect();
    tensors.reverse();
    checkpoint::write(&second, &tensors, &read.metadata).expect("written");
    assert!(std::fs::read(&path).expect("first") == std::fs::read(&second).expect("second"));
    assert_eq!(std::fs::read_dir(&folder.0).expect("the folder").count(), 2);
    // Pinned: other tools and older versions read these bytes.
    let text = std::fs::read(&path).expect("first");
    let header = String::from_utf8_lossy(&text[8..]);
    assert!(
        header.starts_with(
            "{\"__metadata__\":{\"a \\\"quoted\\\" key\":\"é\\n\",\"seed\":\"0\"},\
         \"step\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},\
         \"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
        ),
        "{header}"
    );
}

#[test]
fn tensors_that_cannot_be_saved_are_refused() {
    let folder = Folder::new();
    let path = folder.0.join("x.safetensors");
    let tensor = |name, shape, bytes| TensorRef { name, dtype: DType::U8, shape, bytes };
    let twice = [tensor("a", &[1][..], &[1][..]), tensor("a", &[1], &[2])];
    refusal(checkpoint::write(&path, &twice, &BTreeMap::new()), codes::INTERNAL, &["`a`"]);
    let short = [tensor("a", &[2][..], &[1][..])];
    refusal(checkpoint::write(&path, &short, &BTreeMap::new()), codes::INTERNAL, &["`a`"]);
    assert!(!path.exists());
}

#[test]
fn damaged_checkpoints_are_told() {
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    let place = Some(Span::new(FileId(1), 5, 9));
    let d = refusal(checkpoint::read(&path, place), codes::FILE, &["cannot read last.safetensors", "no such file"]);
    assert_eq!(d.span(), place);
    sample(&path);
    let whole = std::fs::read(&path).expect("written");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("the test's file");
        checkpoint::read(&path, place)
    };
    let code = codes::CHECKPOINT;
    refusal(read(b""), code, &["last.safetensors is not a checkpoint", "0 bytes"]);
    refusal(read(b"PK\x03\x04 something else entirely"), code, &["is not a checkpoint"]);
    refusal(read(&whole[..100]), code, &["is truncated", "the file at byte 100"]);
    refusal(read(&whole[..whole.len() - 1]), code, &["is truncated", &format!("end at byte {}", whole.len())]);
    refusal(read(&[&whole[..], b"x"].concat()), code, &["has bytes after its end"]);
    let mut other = whole.clone();
    let at = other.windows(3).position(|w| w == b"I64").expect("the dtype");
    other[at] = b'U';
    let d = refusal(read(&other), code, &["holds U64 values", "`step`"]);
    assert_eq!(d.span(), place);
    // No damage makes it panic or gives tensors that are not there.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("8 bytes")) as usize;
    for i in 0..header {
        for flip in [1, 2, 0x10, 0x80] {
            let mut damaged = whole.clone();
            damaged[i] ^= flip;
            if let Ok(checkpoint) = read(&damaged) {
                assert!(
                    checkpoint.tensors().all(|t| t.bytes.len() == t.shape.iter().product::<usize>() * t.dtype.bytes())
                );
            }
        }
    }
}

#[test]
fn a_net_that_does_not_fit_is_told_name_by_name() {
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    sample(&path);
    let read = checkpoint::read(&path, None).expect("read");
    let (f32, i64, bool) = (DType::F32, DType::I64, DType::Bool);
    let right = [("step", i64, &[][..]), ("fc.weight", f32, &[2, 3]), ("fc.bias", f32, &[2]), ("mask", bool, &[3])];
    read.check(right, None).expect("it fits");
    let wrong = [("step", i64, &[][..]), ("fc.weight", f32, &[2, 4]), ("fc.bais", f32, &[2]), ("zzz", f32, &[1])];
    let words = [
        "last.safetensors does not fit the net",
        "not in the file:\n  `fc.bais` (f32[2]); did you mean `fc.bias`, which the file has?\n  `zzz` (f32[1])",
        "`fc.weight` is f32[2, 3] in the file and f32[2, 4] in the net",
        "only in the file:\n  `fc.bias`\n  `mask`",
    ];
    refusal(read.check(wrong, None), codes::CHECKPOINT, &words);
    let names: Vec<String> = (0..30).map(|i| format!("layer{i}")).collect();
    let many = names.iter().map(|n| (n.as_str(), f32, &[1][..]));
    refusal(read.check(many, None), codes::CHECKPOINT, &["… and 22 more"]);
}

/// A device that has no room, in the place of the file that is written.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_keeps_the_old_file() {
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    sample(&path);
    let before = std::fs::read(&path).expect("written");
    let temporary = folder.0.join(format!("last.safetensors.tmp-{}", std::process::id()));
    std::os::unix::fs::symlink("/dev/full", &temporary).expect("a link");
    let large = bytes(&[1.0; 1000]);
    let tensors = [TensorRef { name: "x", dtype: DType::F32, shape: &[1000], bytes: &large }];
    let words = ["cannot write last.safetensors: the disk is full", "--run-dir DIR"];
    refusal(checkpoint::write(&path, &tensors, &BTreeMap::new()), codes::FILE, &words);
    assert!(std::fs::read(&path).expect("still there") == before);
    assert!(!temporary.exists());

    std::os::unix::fs::symlink("/dev/full", folder.0.join("metrics.csv")).expect("a link");
    refusal(Metrics::create(&folder.0, &["loss"]), codes::FILE, &["cannot write metrics.csv: the disk is full"]);
}

#[test]
fn folders_are_numbered_and_hold_the_run() {
    let folder = Folder::new();
    let runs = folder.0.join("runs");
    let first = RunFolder::create(&runs, "my net", "train").expect("made");
    assert_eq!(first.path(), runs.join("my-net-train-001"));
    std::fs::create_dir(runs.join("my-net-train-007")).expect("a folder");
    assert_eq!(RunFolder::create(&runs, "my net", "train").expect("made").path(), runs.join("my-net-train-008"));
    assert_eq!(RunFolder::create(&runs, "my net", "other").expect("made").path(), runs.join("my-net-other-001"));

    let record = Record {
        version: "0.1.0".to_string(),
        command: ["nnc", "run", "my net.nn"].map(String::from).to_vec(),
        file: "my net.nn".to_string(),
        task: "train".to_string(),
        seed: u64::MAX,
        target: "cpu".to_string(),
        threads: 2,
        settings: metadata(&[("batch", "64"), ("epochs", "20")]),
        sets: vec!["epochs=20".to_string()],
        data: None,
        milliseconds: BTreeMap::from([("first step".to_string(), 123.5)]),
    };
    first.write_record(&record).expect("written");
    first.write_sources([("dir/my net.nn", "use parts\n"), ("dir/parts.nn", "const a = 1\n")]).expect("written");
    assert_eq!(std::fs::read_to_string(first.path().join("source.nn")).expect("there"), "use parts\n");
    assert!(first.path().join("parts.nn").exists());
    assert_eq!(RunFolder::open(first.path()).expect("a run"), (first.clone(), record));
    assert!(first.last().ends_with("last.safetensors") && first.best().ends_with("best.safetensors"));

    refusal(RunFolder::create_at(first.path()), codes::FILE, &["already holds a run", "--resume"]);
    let own = RunFolder::create_at(&folder.0.join("a/b")).expect("made");
    refusal(RunFolder::open(own.path()), codes::RESUME, &["there is no run in this folder"]);
    std::fs::write(own.path().join("run.json"), "{").expect("the test's file");
    refusal(RunFolder::open(own.path()), codes::RESUME, &["the record of this run is damaged"]);
    refusal(RunFolder::create(&own.path().join("run.json"), "x", "y"), codes::FILE, &["a file is in the way"]);
}

fn push(metrics: &mut Metrics, step: u64, phase: &str, values: &[(&str, f64)]) {
    metrics.push(Row { step, epoch: step / 2, phase, values }).expect("written");
}

#[test]
fn figures_are_lines_in_two_files() {
    let folder = Folder::new();
    let mut metrics = Metrics::create(&folder.0, &["loss", "a,b"]).expect("made");
    push(&mut metrics, 1, "train", &[("a,b", f64::from(0.1f32)), ("loss", 2.0)]);
    push(&mut metrics, 2, "validate", &[("loss", f64::NAN)]);
    push(&mut metrics, 2, "validate", &[("loss", 0.1), ("a,b", 1e-30)]);
    assert_eq!(
        folder.read("metrics.jsonl"),
        "{\"step\":1,\"epoch\":0,\"phase\":\"train\",\"loss\":2.0,\"a,b\":0.1}\n\
         {\"step\":2,\"epoch\":1,\"phase\":\"validate\",\"loss\":null}\n\
         {\"step\":2,\"epoch\":1,\"phase\":\"validate\",\"loss\":0.1,\"a,b\":1e-30}\n"
    );
    assert_eq!(
        folder.read("metrics.csv"),
        "step,epoch,phase,loss,\"a,b\"\n1,0,train,2.0,0.1\n2,1,validate,nan,\n2,1,validate,0.1,1e-30\n"
    );
    refusal(metrics.push(Row { step: 0, epoch: 0, phase: "x", values: &[("lss", 0.0)] }), codes::INTERNAL, &["`lss`"]);
    refusal(Metrics::create(&folder.0, &["epoch"]), codes::BAD_SETTING, &["cannot be named `epoch`"]);
}

#[test]
fn a_resumed_run_has_the_files_of_an_uninterrupted_one() {
    let whole = Folder::new();
    let mut metrics = Metrics::create(&whole.0, &["loss"]).expect("made");
    let rows = |metrics: &mut Metrics, steps: std::ops::Range<u64>| {
        for step in steps {
            push(metrics, step, "train", &[("loss", 1.0 / (step + 1) as f64)]);
        }
    };
    rows(&mut metrics, 0..10);
    for keep in [Keep::Rows(4), Keep::UntilStep(3)] {
        let folder = Folder::new();
        let mut metrics = Metrics::create(&folder.0, &["loss"]).expect("made");
        rows(&mut metrics, 0..7);
        metrics.sync().expect("on the disk");
        drop(metrics);
        // Killed in the middle of a row.
        let half = folder.read("metrics.jsonl") + "{\"step\":7,\"ep";
        std::fs::write(folder.0.join("metrics.jsonl"), half).expect("the test's file");
        let mut metrics = Metrics::resume(&folder.0, &["loss"], keep).expect("resumed");
        assert_eq!(metrics.rows(), 4);
        rows(&mut metrics, 4..10);
        for file in ["metrics.jsonl", "metrics.csv"] {
            assert_eq!(folder.read(file), whole.read(file));
        }
    }
    let resume = |columns: &[&str], keep| Metrics::resume(&whole.0, columns, keep);
    refusal(resume(&["loss"], Keep::Rows(11)), codes::RESUME, &["has 10 rows", "after 11"]);
    refusal(resume(&["loss", "x"], Keep::Rows(1)), codes::RESUME, &["the columns of metrics.csv are not those"]);
    std::fs::write(whole.0.join("metrics.jsonl"), "rubbish\n").expect("the test's file");
    refusal(resume(&["loss"], Keep::UntilStep(1)), codes::RESUME, &["line 1 of metrics.jsonl is not a row"]);
    std::fs::remove_file(whole.0.join("metrics.csv")).expect("it was there");
    refusal(resume(&["loss"], Keep::Rows(1)), codes::FILE, &["cannot open metrics.csv"]);
}
