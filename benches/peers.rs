//! Training steps and inference beside PyTorch, JAX and ONNX Runtime, in one run:
//! `cargo bench --bench peers -- [WORKLOAD …] [--train | --infer] [--compile]`.
//!
//! Each workload of `benches/workloads` runs `NNC_ROUNDS` times (3 if not set), the peers' processes between ours, so that a
//! busy moment of the machine meets all of them; the table shows medians. `NAME-train.nn` is a training step, `NAME-infer.nn`
//! runs with batches of 1 and of 32. A peer is a Python program of the folder `NNC_PEERS` run by `NNC_PYTHON` (`python3`),
//! which prints JSON lines with `workload`, `peer`, `metric` and `value`:
//!
//! - training: `train_torch.py WORKLOAD MODE`, `train_jax.py WORKLOAD`
//! - inference: `infer_torch.py NAME BATCH MODE`, `infer_jax.py NAME BATCH`, `infer_ort.py MODELS NAME BATCH` with the exported
//!   models of the folder `NNC_ONNX`
//!
//! `--compile` adds `torch.compile`, which takes up to a minute to start. What cannot be run is named and left out. All lines
//! of all processes, ours included, are appended to the file `NNC_RESULTS` if that is set.

use nnc::runtime::kernels::peak::Peaks;
use nnc::runtime::threads::Pool;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The threads of every process.
const THREADS: &str = "2";
/// Batches of inference.
const BATCHES: [usize; 2] = [1, 32];

/// What is measured, by whom.
struct Workload {
    /// As the peers call it: `mlp-train`, `mnist-cnn-b32`.
    name: String,
    file: PathBuf,
    batch: Option<usize>,
    peers: Vec<Peer>,
}

struct Peer {
    name: &'static str,
    args: Vec<String>,
}

/// What the command line asks for.
struct Wanted {
    words: Vec<String>,
    train: bool,
    infer: bool,
    compile: bool,
}

/// Values of a metric, by workload, peer and metric.
#[derive(Default)]
struct Results {
    values: BTreeMap<(String, String, String), Vec<f64>>,
    lines: Vec<String>,
}

impl Results {
    fn median(&self, workload: &str, peer: &str, metric: &str) -> Option<f64> {
        let mut sorted = self.values.get(&(workload.into(), peer.into(), metric.into()))?.clone();
        sorted.sort_by(f64::total_cmp);
        Some(sorted[sorted.len() / 2])
    }

    /// Takes a program's JSON lines; the end of what it complained of, if it failed.
    fn measure(&mut self, workload: &str, command: &mut Command) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        let done = command.env("PEERS_T0", now.to_string()).output().map_err(|e| e.to_string())?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(said.trim().lines().last().unwrap_or("it failed").to_string());
        }
        for line in String::from_utf8_lossy(&done.stdout).lines() {
            let Ok(mut parsed) = serde_json::from_str::<Value>(line) else { continue };
            // Of a task that trains, the training step alone is compared.
            if workload.ends_with("-train") && parsed["entry"].as_str().is_some_and(|e| !e.ends_with(".train")) {
                continue;
            }
            // Of one that writes, a token.
            let of = |end: &str| parsed["entry"].as_str().is_some_and(|e| e.ends_with(end));
            if of(".eval") && String::from_utf8_lossy(&done.stdout).contains(".token\"") {
                continue;
            }
            parsed["workload"] = workload.into();
            let text = |key: &str| parsed[key].as_str().unwrap_or_default().to_string();
            let Some(value) = parsed["value"].as_f64() else { continue };
            self.values.entry((workload.into(), text("peer"), text("metric"))).or_default().push(value);
            if let Some(flops) = parsed["flops"].as_f64() {
                self.values.entry((workload.into(), text("peer"), "flops".into())).or_default().push(flops);
            }
            self.lines.push(parsed.to_string());
        }
        Ok(())
    }
}

impl Wanted {
    fn of_command_line() -> Wanted {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| args.iter().any(|a| a == flag);
        let (train, infer, compile) = (has("--train"), has("--infer"), has("--compile"));
        let words = args.iter().filter(|a| !a.starts_with('-')).cloned().collect();
        // Neither asked for is both.
        Wanted { words, train: train || !infer, infer: infer || !train, compile }
    }

    /// The workloads of the folder, by name.
    fn workloads(&self) -> Vec<Workload> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/workloads");
        let entries = std::fs::read_dir(folder).expect("the workloads are there");
        let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
        files.sort();
        let mut list = Vec::new();
        for file in files {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if self.train && stem.ends_with("-train") {
                list.push(Workload { peers: self.trainers(&stem), name: stem, file, batch: None });
            } else if let Some(name) = stem.strip_suffix("-infer").filter(|_| self.infer) {
                // One text is written at a time.
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                let writes = text.lines().any(|line| line.starts_with("generate "));
                let batches = BATCHES.into_iter().filter(|batch| !writes || *batch == 1);
                list.extend(batches.map(|batch| Workload {
                    name: format!("{name}-b{batch}"),
                    file: file.clone(),
                    batch: Some(batch),
                    peers: self.predictors(name, batch),
                }));
            }
        }
        list.retain(|w| self.words.is_empty() || self.words.iter().any(|word| w.name.contains(word.as_str())));
        list
    }

    fn modes(&self) -> Vec<(&'static str, &'static str)> {
        let mut modes = vec![("torch-eager", "eager"), ("torch-eager-tuned", "eager-tuned")];
        modes.extend(self.compile.then_some(("torch-compile", "compile")));
        modes
    }

    fn trainers(&self, name: &str) -> Vec<Peer> {
        let torch = self.modes().into_iter();
        let mut peers: Vec<Peer> = torch.map(|(peer, mode)| Peer::new(peer, &["train_torch.py", name, mode])).collect();
        peers.push(Peer::new("jax-jit", &["train_jax.py", name]));
        peers
    }

    fn predictors(&self, name: &str, batch: usize) -> Vec<Peer> {
        let batch = &batch.to_string();
        let torch = self.modes().into_iter();
        let mut peers: Vec<Peer> =
            torch.map(|(peer, mode)| Peer::new(peer, &["infer_torch.py", name, batch, mode])).collect();
        peers.push(Peer::new("jax-jit", &["infer_jax.py", name, batch]));
        if let Ok(models) = std::env::var("NNC_ONNX") {
            peers.push(Peer::new("onnxruntime", &["infer_ort.py", &models, name, batch]));
        }
        peers
    }
}

impl Peer {
    fn new(name: &'static str, args: &[&str]) -> Peer {
        Peer { name, args: args.iter().map(|a| a.to_string()).collect() }
    }
}

fn main() {
    let wanted = Wanted::of_command_line();
    let rounds: usize = std::env::var("NNC_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let python = std::env::var("NNC_PYTHON").unwrap_or_else(|_| "python3".into());
    let folder = std::env::var("NNC_PEERS").ok().map(PathBuf::from);
    if folder.is_none() {
        println!("NNC_PEERS is not set: nnc is measured alone");
    } else if wanted.infer && std::env::var("NNC_ONNX").is_err() {
        println!("NNC_ONNX is not set: onnxruntime is left out");
    }
    let peaks = Peaks::measure(&Pool::new(THREADS.parse().unwrap_or(1)));
    let memory = peaks.levels.last().map_or(f64::NAN, |l| l.bandwidth);
    println!("peaks of {THREADS} threads: {:.0} GFLOP/s, memory {:.1} GB/s", peaks.flops / 1e9, memory / 1e9);
    let mut results = Results::default();
    let mut left_out: BTreeSet<(String, String)> = BTreeSet::new();
    let workloads = wanted.workloads();
    for workload in &workloads {
        let name = &workload.name;
        for _ in 0..rounds {
            let mut ours = ours(workload, "bench");
            if let Err(said) = results.measure(name, ours.args(["--message-format", "json"])) {
                eprintln!("nnc cannot run {name}: {said}");
            }
            for peer in &workload.peers {
                let key = |of: &str| (of.to_string(), peer.name.to_string());
                let Some(folder) = &folder else { continue };
                if left_out.contains(&key("")) || left_out.contains(&key(name)) {
                    continue;
                }
                let mut theirs = Command::new(&python);
                theirs.current_dir(folder).args(&peer.args).env("PEERS_THREADS", THREADS);
                if let Err(said) = results.measure(name, &mut theirs) {
                    // What is not installed will not be for the next workload either.
                    let everywhere = said.contains("No module named") || said.contains("No such file");
                    let of = if everywhere { "" } else { name };
                    println!("{} is left out{}: {said}", peer.name, if everywhere { "" } else { " here" });
                    left_out.insert(key(of));
                }
            }
        }
        rows(workload, &results, &peaks);
    }
    summary(&workloads, &results);
    if let Ok(path) = std::env::var("NNC_RESULTS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut f| results.lines.iter().try_for_each(|line| writeln!(f, "{line}")));
        if let Err(e) = written {
            eprintln!("cannot write {path}: {e}");
        }
    }
}

/// Our own program over a workload.
fn ours(workload: &Workload, command: &str) -> Command {
    let mut ours = Command::new(env!("CARGO_BIN_EXE_nnc"));
    ours.args([command, "--threads", THREADS]).arg(&workload.file);
    if let Some(batch) = workload.batch.filter(|batch| *batch != 1) {
        ours.args(["--set", &format!("predict.batch={batch}")]);
    }
    ours
}

/// Bytes that one of our steps moves at least, whatever holds them.
fn bytes_moved(workload: &Workload) -> Option<f64> {
    let done = ours(workload, "profile").args(["--steps", "1", "--message-format", "json"]).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    Some(lines.filter_map(|l| l["bytes"].as_f64()).sum())
}

/// One line a peer: milliseconds a step, how many times ours, seconds to the first step, MiB; of ours also the share of what
/// the machine can do.
fn rows(workload: &Workload, results: &Results, peaks: &Peaks) {
    let value = |peer: &str, metric: &str| results.median(&workload.name, peer, metric);
    let Some(ours) = value("nnc", "ms_per_step") else { return };
    for peer in std::iter::once("nnc").chain(workload.peers.iter().map(|p| p.name)) {
        let Some(step) = value(peer, "ms_per_step") else { continue };
        let first = value(peer, "first_step_s").unwrap_or(f64::NAN);
        let memory = value(peer, "peak_rss_mib").unwrap_or(f64::NAN);
        print!(
            "{:22} {peer:18} {step:10.3} ms {:6.2} x {first:7.3} s to the first {memory:7.1} MiB",
            workload.name,
            step / ours
        );
        if peer == "nnc" {
            let flops = value(peer, "flops").unwrap_or(f64::NAN) / (step * 1e-3);
            let bytes = bytes_moved(workload).unwrap_or(f64::NAN) / (step * 1e-3);
            let bandwidth = peaks.levels.last().map_or(f64::NAN, |l| l.bandwidth);
            print!(" {:3.0} % of FMA {:3.0} % of memory", 100.0 * flops / peaks.flops, 100.0 * bytes / bandwidth);
        }
        println!();
    }
}

/// The fastest peer of each workload against ours, and the geometric means.
fn summary(workloads: &[Workload], results: &Results) {
    let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for workload in workloads {
        let name = &workload.name;
        let Some(ours) = results.median(name, "nnc", "ms_per_step") else { continue };
        let theirs = workload.peers.iter().filter_map(|p| Some((results.median(name, p.name, "ms_per_step")?, p.name)));
        if let Some((best, peer)) = theirs.min_by(|a, b| a.0.total_cmp(&b.0)) {
            println!("{name:22} the fastest peer, {peer}, takes {:.2} times as long", best / ours);
            let kind = if workload.batch.is_some() { "inference" } else { "training" };
            ratios.entry(kind).or_default().push((best / ours).ln());
        }
    }
    for (kind, ratios) in ratios {
        let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
        println!("{kind}, geometric mean of {}: {mean:.2}", ratios.len());
    }
}
