//! Training steps beside PyTorch and JAX, in one run: `cargo bench --bench peers [WORKLOAD …]`.
//!
//! Each workload of `benches/workloads` runs `NNC_ROUNDS` times (3 if not set), the peers' processes between ours, so that a
//! busy moment of the machine meets all of them; the table shows medians. A peer is a Python program of the folder `NNC_PEERS`
//! (`train_torch.py WORKLOAD MODE`, `train_jax.py WORKLOAD`) run by `NNC_PYTHON` (`python3`), which prints JSON lines with
//! `workload`, `peer`, `metric` and `value`; what cannot be run is named and left out. All lines of all processes, ours
//! included, are appended to the file `NNC_RESULTS` if that is set.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A peer's name and the arguments of its program.
const PEERS: [(&str, &str, Option<&str>); 3] = [
    ("torch-eager", "train_torch.py", Some("eager")),
    ("torch-eager-tuned", "train_torch.py", Some("eager-tuned")),
    ("jax-jit", "train_jax.py", None),
];

/// Values of a metric, by workload, peer and metric.
type Results = BTreeMap<(String, String, String), Vec<f64>>;

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Runs a program and takes its JSON lines; the end of what it complained of, if it failed.
fn measure(command: &mut Command, results: &mut Results, lines: &mut Vec<String>) -> Result<(), String> {
    let done = command.output().map_err(|e| e.to_string())?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(said.trim().lines().last().unwrap_or("it failed").to_string());
    }
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let Ok(parsed) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let text = |key: &str| parsed[key].as_str().unwrap_or_default().to_string();
        // Of our own tasks the training step alone is compared.
        if parsed["entry"].as_str().is_some_and(|e| !e.ends_with(".train")) {
            continue;
        }
        if let Some(value) = parsed["value"].as_f64() {
            results.entry((text("workload"), text("peer"), text("metric"))).or_default().push(value);
            lines.push(line.to_string());
        }
    }
    Ok(())
}

fn workloads() -> Vec<PathBuf> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/workloads");
    let entries = std::fs::read_dir(folder).expect("the workloads are there");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    let name = |p: &Path| p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.retain(|p| wanted.is_empty() || wanted.iter().any(|w| name(p).contains(w.as_str())));
    paths
}

fn main() {
    let rounds: usize = std::env::var("NNC_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let python = std::env::var("NNC_PYTHON").unwrap_or_else(|_| "python3".into());
    let folder = std::env::var("NNC_PEERS").ok().map(PathBuf::from);
    if folder.is_none() {
        println!("NNC_PEERS is not set: nnc is measured alone");
    }
    let (mut results, mut lines) = (Results::new(), Vec::new());
    let mut left_out: BTreeMap<&str, String> = BTreeMap::new();
    let paths = workloads();
    let names: Vec<String> =
        paths.iter().map(|p| p.file_stem().unwrap_or_default().to_string_lossy().into_owned()).collect();
    for (path, name) in paths.iter().zip(&names) {
        for _ in 0..rounds {
            let mut ours = Command::new(env!("CARGO_BIN_EXE_nnc"));
            ours.args(["bench", "--message-format", "json", "--threads", "2"]).arg(path);
            if let Err(said) = measure(&mut ours, &mut results, &mut lines) {
                eprintln!("nnc cannot run {name}: {said}");
            }
            for (peer, program, mode) in PEERS {
                let Some(folder) = folder.as_ref().filter(|_| !left_out.contains_key(peer)) else { continue };
                let mut theirs = Command::new(&python);
                theirs.current_dir(folder).arg(program).arg(name).args(mode).env("PEERS_THREADS", "2");
                if let Err(said) = measure(&mut theirs, &mut results, &mut lines) {
                    println!("{peer} is left out: {said}");
                    left_out.insert(peer, said);
                }
            }
        }
        row(name, &results);
    }
    summary(&names, &results);
    if let Ok(path) = std::env::var("NNC_RESULTS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut f| lines.iter().try_for_each(|line| writeln!(f, "{line}")));
        if let Err(e) = written {
            eprintln!("cannot write {path}: {e}");
        }
    }
}

fn value(results: &Results, workload: &str, peer: &str, metric: &str) -> Option<f64> {
    results.get(&(workload.into(), peer.into(), metric.into())).map(|v| median(v))
}

/// One line a peer: milliseconds a step, how many times ours, seconds to the first step, MiB.
fn row(workload: &str, results: &Results) {
    let Some(ours) = value(results, workload, "nnc", "ms_per_step") else { return };
    for peer in std::iter::once("nnc").chain(PEERS.iter().map(|p| p.0)) {
        let Some(step) = value(results, workload, peer, "ms_per_step") else { continue };
        let first = value(results, workload, peer, "first_step_s").unwrap_or(f64::NAN);
        let memory = value(results, workload, peer, "peak_rss_mib").unwrap_or(f64::NAN);
        println!(
            "{workload:22} {peer:18} {step:10.3} ms {:6.2} x {first:7.3} s to the first {memory:7.1} MiB",
            step / ours
        );
    }
}

/// The fastest peer of each workload against ours, and the geometric mean.
fn summary(names: &[String], results: &Results) {
    let mut ratios = Vec::new();
    for name in names {
        let Some(ours) = value(results, name, "nnc", "ms_per_step") else { continue };
        let theirs = PEERS.iter().filter_map(|p| Some((value(results, name, p.0, "ms_per_step")?, p.0)));
        if let Some((best, peer)) = theirs.min_by(|a, b| a.0.total_cmp(&b.0)) {
            println!("{name:22} the fastest peer, {peer}, takes {:.2} times as long", best / ours);
            ratios.push((best / ours).ln());
        }
    }
    if !ratios.is_empty() {
        let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
        println!("geometric mean of {}: {mean:.2}", ratios.len());
    }
}
