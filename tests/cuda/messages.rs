//! What nnc says where the target cuda cannot work: one sentence each, and never a panic.

use super::standin::StandIn;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = "\
train {
  data      = digits()
  batch     = 8
  steps     = 3
  net       = seq { flatten; Linear(10) }
  optimizer = Sgd(lr: 1e-2)
  step(image, label) { minimize cross_entropy(net(image), label) }
}
";

/// Names with values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("nnc-cuda-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::write(path.join("net.nn"), PROGRAM).expect("a file");
    Folder(path)
}

/// Exit code, stdout and stderr of nnc in a folder, with the stand-in's settings and variables of the environment.
fn nnc(
    device: &StandIn,
    at: &Path,
    args: &[&str],
    settings: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nnc"));
    command.args(args).current_dir(at).stdin(Stdio::null()).env_remove("NNC_CUDA");
    device.give(&mut command, settings);
    command.envs(variables.iter().copied());
    let output = command.output().expect("nnc starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const BENCH: &[&str] = &["bench", "net.nn", "--target", "cuda", "--steps", "1"];

/// A message of the target, with its sentence.
fn message(sentence: &str) -> String {
    format!(
        "error[E0802]: the target cuda does not work here\n = {sentence}\n \
         = help: `nnc doctor` says what was found; `--target cpu` needs no GPU\n = `nnc explain E0802` says more\n\n"
    )
}

#[test]
fn each_lack_is_one_sentence() {
    let Some(device) = super::standin::standin() else { return };
    let at = folder("lacks");
    let lacks: [(&str, &str, &str); 8] = [
        ("PLAY", "no-device", "the NVIDIA driver is there, but no GPU"),
        ("PLAY", "empty", "the NVIDIA driver is there, but no GPU"),
        ("PLAY", "old-driver", "the NVIDIA driver is too old: it speaks CUDA 11.4, and 12.0 (driver 525) is needed"),
        (
            "PLAY",
            "broken",
            "the NVIDIA driver does not start: system has unsupported display driver / cuda driver combination",
        ),
        ("PLAY", "no-compiler", "the CUDA compiler fails: nvrtc: error: failed to open libnvrtc-builtins.so"),
        ("ARCH", "70", "CPU stand-in is too old: its architecture is 7.0, and 7.5 is needed"),
        ("MEMORY", "2000", "CPU stand-in has too little memory: the state needs 2.6 KiB, 2.0 KiB of 2.0 KiB are free"),
        ("MEMORY", "5000", "CPU stand-in has too little memory: a batch needs 2.1 KiB, 1.6 KiB of 4.9 KiB are free"),
    ];
    for (name, value, sentence) in lacks {
        let (code, _, said) = nnc(device, &at.0, BENCH, &[(name, value)], &[]);
        assert_eq!((code, said.as_str()), (Some(1), message(sentence).as_str()), "{name}={value}");
    }
}

#[test]
fn libraries_that_are_missing_are_named_with_the_cure() {
    let Some(device) = super::standin::standin() else { return };
    let at = folder("missing");
    let here = at.0.display().to_string();
    let nothing =
        [("NNC_CUDA_DIR", here.as_str()), ("PATH", ""), ("VIRTUAL_ENV", ""), ("CUDA_PATH", ""), ("CUDA_HOME", "")];
    let (code, _, said) = nnc(device, &at.0, BENCH, &[], &nothing);
    if code == Some(0) || !said.contains("no NVIDIA driver was found") {
        return eprintln!("SKIPPED: this machine has an NVIDIA driver of its own");
    }
    assert_eq!(said, message("no NVIDIA driver was found on this machine"));
    std::os::unix::fs::symlink(device.folder.join("libcuda.so.1"), at.0.join("libcuda.so.1")).expect("a link");
    let (code, _, said) = nnc(device, &at.0, BENCH, &[], &nothing);
    if code == Some(0) || said.contains("cuModuleLoadData") {
        return eprintln!("SKIPPED: this machine has NVIDIA's run-time compiler in a folder of the system");
    }
    let cure = "NVIDIA's run-time compiler (NVRTC) was not found; `pip install nvidia-cuda-nvrtc-cu12` or the CUDA toolkit has it";
    assert_eq!((code, said), (Some(1), message(cure)));
}

#[test]
fn doctor_says_what_is_there() {
    let Some(device) = super::standin::standin() else { return };
    let at = folder("doctor");
    let (code, out, _) = nnc(device, &at.0, &["doctor"], &[], &[]);
    let row = |name: &str| out.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_string();
    assert!(row("CUDA driver").ends_with("CPU stand-in (sm_90, 8.0 GiB)"), "{out}");
    assert!(row("target cuda").starts_with("works: losses"), "{out}");
    assert_eq!((code, row("target cuda")), (Some(0), row("target cpu")));
    let (code, out, _) = nnc(device, &at.0, &["doctor"], &[("PLAY", "empty")], &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("not here: no GPU"), "{out}");
}

/// A GPU that is newer than the compiler runs what the compiler makes for the newest that it knows.
#[test]
fn a_newer_gpu_works() {
    let Some(device) = super::standin::standin() else { return };
    let at = folder("newer");
    let (code, out, said) = nnc(device, &at.0, BENCH, &[("ARCH", "130")], &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{out}");
}

/// Large products go to the library where it is there, and give what our own kernels and the processor do.
#[test]
fn large_products_are_the_librarys_where_it_is_there() {
    let Some(device) = super::standin::standin() else { return };
    let at = folder("products");
    let own = at.0.join("own");
    std::fs::create_dir_all(&own).expect("a folder");
    for library in ["libcuda.so.1", "libnvrtc.so.13"] {
        std::os::unix::fs::symlink(device.folder.join(library), own.join(library)).expect("a link");
    }
    let text = PROGRAM.replace("batch     = 8", "batch     = 256");
    let text = text.replace("flatten;", "flatten; Linear(272); relu; Linear(256); relu;");
    std::fs::write(at.0.join("net.nn"), text).expect("a file");
    let run = |target: &str, variables: &[(&str, &str)]| {
        let args = ["bench", "net.nn", "--target", target, "--steps", "3"];
        let (code, out, said) = nnc(device, &at.0, &args, &[("TRACE", "1")], variables);
        assert_eq!(code, Some(0), "{said}");
        let values = out.lines().filter_map(|l| l.split("first value ").nth(1)?.parse().ok());
        (values.collect::<Vec<f64>>(), said.matches("cublasLtMatmul").count())
    };
    let (wanted, none) = run("cpu", &[]);
    assert_eq!((wanted.len(), none), (2, 0));
    let own = own.display().to_string();
    let ways: [(&str, Pairs, bool); 4] = [
        ("the library", &[], true),
        ("launch by launch", &[("NNC_CUDA", "no-graph")], true),
        ("told not to", &[("NNC_CUDA", "own-products")], false),
        ("no library", &[("NNC_CUDA_DIR", &own), ("VIRTUAL_ENV", ""), ("PATH", "/usr/bin:/bin")], false),
    ];
    for (what, variables, library) in ways {
        let (values, products) = run("cuda", variables);
        assert_eq!(products > 0, library, "{what}: {products} products");
        let close = values.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-3 * b.abs());
        assert!(close && values.len() == 2, "{what}: {values:?}, on the processor {wanted:?}");
    }
}

#[test]
fn steps_by_launches_give_the_same_bits_and_name_a_line_that_fails() {
    let Some(device) = super::standin::standin() else { return };
    let at = folder("launches");
    let values = |more: &[&str]| {
        let (code, out, said) = nnc(device, &at.0, &[BENCH, more].concat(), &[], &[]);
        assert_eq!((code, said.as_str()), (Some(0), ""));
        let values = out.lines().filter_map(|l| l.split("first value ").nth(1));
        values.map(str::to_string).collect::<Vec<_>>()
    };
    let graph = values(&[]);
    assert_eq!(graph.len(), 2);
    assert_eq!(values(&["--no-graph"]), graph);
    assert_eq!(values(&["--checked"]), graph);
    let (code, _, said) = nnc(device, &at.0, BENCH, &[("PLAY", "fail-3")], &[]);
    let whole = "error[E0802]: a step on the target cuda failed\n \
                 = the GPU could not finish a step: an illegal memory access was encountered\n \
                 = help: run it again with `--checked`, which names the line that fails\n = `nnc explain E0802` says more\n\n";
    assert_eq!(code, Some(1));
    assert!(said.ends_with(whole), "{said}");
    let (code, _, said) = nnc(device, &at.0, &[BENCH, &["--checked"]].concat(), &[("PLAY", "fail-3")], &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("error[E0802]: the target cuda fails here\n") && said.contains("─ net.nn:"), "{said}");
    let (code, _, said) = nnc(device, &at.0, &["bench", "net.nn", "--checked"], &[], &[]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("error[E0903]: `--checked` is of the target cuda\n"), "{said}");
}
