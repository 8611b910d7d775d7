//! A CUDA device for tests: libraries with the names and entry points of the vendor's, built here from `tests/standin/` by the
//! machine's C++ compiler, that run kernels on the processor and check what they do. A program finds them only where a test tells
//! it to, and runs unchanged.
#![allow(dead_code)]

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Each library, what it is built of, and what it is linked with.
const LIBRARIES: [(&str, &[&str], &[&str]); 3] = [
    ("libcuda.so.1", &["block.cpp", "driver.cpp", "memory.cpp", "shadow.cpp", "streams.cpp"], &["-ldl"]),
    ("libnvrtc.so.13", &["nvrtc.cpp"], &["-ldl"]),
    ("libcublasLt.so.13", &["cublaslt.cpp"], &["libcuda.so.1"]),
];

/// The built libraries.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The folder that they lie in.
    pub folder: PathBuf,
    compiler: String,
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin")
}

/// The first C++ compiler of the machine that runs.
fn compiler() -> Option<String> {
    let named = std::env::var("CXX").ok().filter(|c| !c.is_empty());
    let names = named.into_iter().chain(["c++", "g++", "clang++"].map(String::from));
    names.into_iter().find(|name| {
        let tried = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|s| s.success())
    })
}

fn build() -> Option<StandIn> {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: the stand-in for a CUDA device needs Linux");
        return None;
    }
    let Some(compiler) = compiler() else {
        eprintln!(
            "SKIPPED: no C++ compiler here to build the stand-in for a CUDA device with (CXX, c++, g++, clang++)"
        );
        return None;
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(sources()).expect("tests/standin").map(|e| e.expect("a file").path()).collect();
    files.sort();
    let mut hash = DefaultHasher::new();
    compiler.hash(&mut hash);
    for file in &files {
        (file, fs::read(file).expect("a source")).hash(&mut hash);
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standin");
    let folder = place.join(format!("{:016x}", hash.finish()));
    if !folder.is_dir() {
        // Built under a name of its own and moved, as other test programs may be at the same.
        let part = place.join(format!("{:016x}.{}", hash.finish(), std::process::id()));
        make(&compiler, &part);
        if fs::rename(&part, &folder).is_err() {
            fs::remove_dir_all(&part).ok();
        }
        assert!(folder.is_dir(), "the stand-in was not built");
    }
    Some(StandIn { folder, compiler })
}

/// All objects beside each other, then the libraries and the program of small trials.
fn make(compiler: &str, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    fs::copy(sources().join("device.h"), folder.join("device.h")).expect("a copy");
    let parts: Vec<&str> =
        LIBRARIES.iter().flat_map(|(_, parts, _)| parts.iter().copied()).chain(["try.cpp"]).collect();
    let started: Vec<_> = parts
        .iter()
        .map(|part| {
            Command::new(compiler)
                .args(["-std=c++17", "-O1", "-fPIC", "-Wall", "-Wextra", "-c", "-o"])
                .arg(folder.join(part).with_extension("o"))
                .arg(sources().join(part))
                .spawn()
                .expect("the compiler")
        })
        .collect();
    for (part, mut child) in parts.iter().zip(started) {
        assert!(child.wait().expect("the compiler").success(), "{part} does not compile");
    }
    let link = |output: &str, parts: &[&str], more: &[&str]| {
        let objects = parts.iter().map(|p| Path::new(p).with_extension("o"));
        let status = Command::new(compiler).current_dir(folder).args(["-o", output]).args(objects).args(more).status();
        assert!(status.expect("the compiler").success(), "{output} does not link");
    };
    for (name, parts, with) in LIBRARIES {
        let soname = format!("-Wl,-soname,{name}");
        let mut more = vec!["-shared", &soname, "-Wl,-rpath,$ORIGIN"];
        more.extend(with);
        link(name, parts, &more);
    }
    let mut with: Vec<&str> = LIBRARIES.iter().map(|l| l.0).collect();
    with.push("-Wl,-rpath,$ORIGIN");
    link("try", &["try.cpp"], &with);
}

/// The stand-in, built once; nothing, and a line that says why, where it cannot be built.
pub fn standin() -> Option<&'static StandIn> {
    static BUILT: OnceLock<Option<StandIn>> = OnceLock::new();
    BUILT.get_or_init(build).as_ref()
}

/// Whether this test runs with the stand-in for a CUDA device. Where it does not yet, it is run so in a process of its own, which
/// must pass, and the caller has nothing more to do.
pub fn inside(test: &str, settings: &[(&str, &str)]) -> bool {
    if std::env::var_os("NNC_STANDIN_INSIDE").is_some() {
        return true;
    }
    let Some(device) = standin() else { return false };
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("NNC_STANDIN_INSIDE", "1");
    device.give(&mut command, settings);
    let output = command.output().expect("this program again");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "on the stand-in device:\n{}{}", text(&output.stdout), text(&output.stderr));
    false
}

impl StandIn {
    /// Lets a program find the stand-in, with settings of it: `("SEED", "7")`, `("CHECK", "1")` and so on (`tests/standin/core.h`).
    pub fn give(&self, command: &mut Command, settings: &[(&str, &str)]) {
        // Kernels are cached by the stand-in, which knows what they depend on.
        command.env("NNC_CUDA_DIR", &self.folder).env("NNC_CUDA_CACHE", "off").env("NNC_STANDIN_CXX", &self.compiler);
        for (name, value) in settings {
            command.env(format!("NNC_STANDIN_{name}"), value);
        }
    }

    /// Runs one of the small programs of `tests/standin/try.cpp`: its standard output and what the device said.
    pub fn trial(&self, name: &str, settings: &[(&str, &str)]) -> (String, String) {
        let source = |file: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codegen/cuda").join(file);
        let mut command = Command::new(self.folder.join("try"));
        command.arg(name).arg(source("prelude.cu")).arg(source("sample.cu"));
        self.give(&mut command, settings);
        let Output { stdout, stderr, status } = command.output().expect("the program of trials");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert!(status.success(), "{name}: {status}\n{stdout}{stderr}");
        (stdout, stderr)
    }
}
