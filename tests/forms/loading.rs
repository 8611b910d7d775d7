//! First values from files.

use crate::support::*;
use nnc::artifact::TensorRef;
use nnc::artifact::checkpoint;
use nnc::check::Task;
use nnc::driver;
use nnc::engine::Target;
use nnc::ops::DType;
use nnc::train;
use std::collections::BTreeMap;
use std::path::Path;

const NET: &str = "model Net {
  body = seq { Linear(2); BatchNorm2d() }
  fc   = Linear(1)
  forward(x: f32[B, D]) { x |> body[0] |> fc }
}
";

/// Writes tensors whose numbers are 1, 2, 3, …
fn write(path: &Path, tensors: &[(&str, &[usize])]) {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, s)| (0..s.iter().product()).flat_map(|i: usize| (i as f32 + 1.0).to_le_bytes()).collect())
        .collect();
    let refs: Vec<TensorRef> = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape), bytes)| TensorRef { name, dtype: DType::F32, shape, bytes })
        .collect();
    checkpoint::write(path, &refs, &BTreeMap::new()).expect("a file");
}

fn program(acts: &str) -> String {
    NET.replace("; BatchNorm2d()", "").replace("body[0]", "body")
        + &format!(
            "train {{
  net = Net()
  {acts}
  steps = 1
  optimizer = Sgd(0.1)
  step() {{ minimize mean(net(ones([1, 3]))) }}
}}"
        )
}

/// What is loaded, by path, or the diagnostic; and the warnings.
fn load(name: &str, acts: &str, tensors: &[(&str, &[usize])]) -> Result<(Vec<String>, String), String> {
    let folder = Folder::new(name);
    write(&folder.0.join("w.safetensors"), tensors);
    let checked = good(&program(acts));
    let t = task(&checked, "train");
    let engine = driver::engine(&checked, "train", Target::Cpu, 1).expect("an engine");
    let never = |_: &Task| panic!("no other task");
    let text = |d: &nnc::diag::Diagnostic| format!("{}\n{}", d.headline, d.notes.join("\n"));
    match train::start(&checked.program, t, &*engine, &folder.0, never) {
        Ok(start) => {
            let paths = start.values.iter().map(|(v, _)| checked.program.var(*v).path.clone()).collect();
            Ok((paths, start.notes.iter().map(text).collect()))
        }
        Err(d) => Err(text(&d)),
    }
}

const ALL: [&str; 4] = ["net.body.0.weight", "net.body.0.bias", "net.fc.weight", "net.fc.bias"];

#[test]
fn names_are_found_below_any_prefix() {
    for (i, prefix) in ["", "net.", "module.", "model.net."].iter().enumerate() {
        let name = |n: &str| format!("{prefix}{n}");
        let names = [name("body.0.weight"), name("body.0.bias"), name("fc.weight"), name("fc.bias")];
        let shapes: [&[usize]; 4] = [&[2, 3], &[2], &[1, 2], &[1]];
        let tensors: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(shapes).collect();
        let found = load(&format!("prefix{i}"), "load net from \"w.safetensors\"", &tensors);
        assert_eq!(found, Ok((ALL.map(String::from).to_vec(), String::new())), "{prefix}");
    }
}

#[test]
fn a_part_is_loaded_and_the_rest_stays() {
    let tensors: [(&str, &[usize]); 4] =
        [("body.0.weight", &[2, 3]), ("body.0.bias", &[2]), ("fc.weight", &[1000, 2]), ("fc.bias", &[1000])];
    let (paths, notes) = load("part", "load net except net.fc from \"w.safetensors\"", &tensors).expect("it fits");
    assert_eq!((paths, notes), (ALL[..2].iter().map(|s| s.to_string()).collect(), String::new()));
    let (paths, _) = load("body", "load net.body from \"w.safetensors\"", &tensors).expect("it fits");
    assert_eq!(paths, ALL[..2]);
}

#[test]
fn all_that_does_not_fit_is_in_one_message() {
    let tensors: [(&str, &[usize]); 4] =
        [("body.0.weight", &[2, 4]), ("body.0.bias", &[2]), ("fc.weights", &[1, 2]), ("fc.bias", &[1])];
    let message = load("wrong", "load net from \"w.safetensors\"", &tensors).unwrap_err();
    for part in [
        "w.safetensors does not fit `net`",
        "`net.body.0.weight` is f32[2, 4] in the file and f32[2, 3] in the net",
        "`net.fc.weight` (f32[1, 2]), looked for as `fc.weight`; did you mean `fc.weights`, which the file has?",
        "only in the file, and left there:\n  `fc.weights`",
    ] {
        assert!(message.contains(part), "{part:?} is not in\n{message}");
    }
}

#[test]
fn aliases_and_what_is_left_over_are_reported() {
    let tensors: [(&str, &[usize]); 5] = [
        ("bert.body.0.gamma", &[2, 3]),
        ("bert.body.0.beta", &[2]),
        ("bert.fc.weight", &[1, 2]),
        ("bert.fc.bias", &[1]),
        ("bert.pooler", &[1]),
    ];
    let (paths, notes) = load("alias", "load net from \"w.safetensors\"", &tensors).expect("it fits");
    assert_eq!(paths, ALL);
    assert!(notes.contains("`net.body.0.weight` is `bert.body.0.gamma` in the file"), "{notes}");
    assert!(notes.contains("only in the file, and left there:\n  `bert.pooler`"), "{notes}");
}

#[test]
fn a_file_that_is_not_there_is_said_at_its_place() {
    let checked = good(&program("load net from \"nowhere.safetensors\""));
    let engine = driver::engine(&checked, "train", Target::Cpu, 1).expect("an engine");
    let t = task(&checked, "train");
    let never = |_: &Task| panic!("no other task");
    let d = train::start(&checked.program, t, &*engine, Path::new("."), never).unwrap_err();
    let at = checked.sources.text(d.span().expect("a place"));
    assert_eq!(at, "load net from \"nowhere.safetensors\"");
    assert_eq!(fault(&program("load nett from \"w.safetensors\"")).1, "did you mean `net`?");
    assert_eq!(fault(&program("load net from 3")).0, "the int 3 is not a file's name");
}

#[test]
fn loaded_weights_are_what_training_starts_from() {
    let folder = Folder::new("start");
    let tensors: [(&str, &[usize]); 4] =
        [("body.0.weight", &[2, 3]), ("body.0.bias", &[2]), ("fc.weight", &[1, 2]), ("fc.bias", &[1])];
    write(&folder.0.join("w.safetensors"), &tensors);
    let checked = good(&program("load net from \"w.safetensors\"\n  freeze net.body\n  ema = 0.5"));
    let mut training = Training::new(&checked, "train");
    training.root = folder.0.clone();
    let run = folder.0.join("run");
    training.run(&run, None, None);
    let file = checkpoint::read(&run.join("last.safetensors"), None).expect("a checkpoint");
    assert_eq!(tensor(&file, "net.body.0.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // h = [1 + 2 + 3 + 1, 4 + 5 + 6 + 2]; fc = [1, 2] - 0.1 * h.
    let fc = tensor(&file, "net.fc.weight");
    close(fc[0], 1.0 - 0.7);
    close(fc[1], 2.0 - 1.7);
    close(tensor(&file, "net.fc.weight.average")[0], (1.0 + 0.3) / 2.0);
}
