//! The program itself: arguments, exit codes, what is printed, and real runs in folders of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nnc-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder::new();
        for (name, text) in files {
            std::fs::write(folder.0.join(name), text).expect("a file");
        }
        folder
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).expect("text")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nnc"));
        command.args(args).current_dir(&self.0).env_remove("NO_COLOR").stdin(Stdio::null());
        command
    }

    /// Runs nnc here; checks its exit code and gives stdout and stderr.
    fn nnc(&self, code: i32, args: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().expect("nnc starts");
        let texts = (String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"));
        assert_eq!(status.code(), Some(code), "nnc {args:?}\n{}\n{}", texts.0, texts.1);
        texts
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

const NET: &str = "
train {
  data      = digits(validate: 0.2)
  batch     = 64
  epochs    = 3
  net       = seq { flatten; Linear(32); relu; Linear(10) }
  optimizer = Adam(lr: 1e-2)
  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }
}

predict {
  data  = digits(validate: 0.2)
  batch = 100
  step(image) { softmax(train.net(image)) }
}
";

const BOWL: &str = "
model Bowl(n: int = 4) {
  param theta: f32[n] = normal()
  forward() -> f32[] { sum(theta ^ 2) }
}
train a {
  net       = Bowl()
  steps     = 20
  optimizer = Adam(lr: 0.1)
  step() { minimize net() }
}
train b {
  net       = Bowl()
  optimizer = Adam(lr: 0.1)
  step() { minimize net() }
}
";

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).display().to_string()
}

#[test]
fn check_says_what_is_wrong_in_three_formats() {
    let folder = Folder::with(&[("good.nn", NET), ("bad.nn", &NET.replace("Linear(10)", "Linaer(10)"))]);
    let tight =
        "model Net {\n  fc = Linear(64)\n  forward(x: f32[B, 64]) -> f32[B, 64] { fc(x) }\n}\ntrain {\n  net = Net()
  steps = 1\n  optimizer = Sgd(0.1)\n  budget = 1 MiB\n  step() { minimize mean(net(normal([32, 64]))) }\n}\n";
    std::fs::write(folder.0.join("tight.nn"), tight).expect("a file");
    folder.nnc(0, &["check", "tight.nn"]);
    let (_, over) = folder.nnc(1, &["check", "tight.nn", "--set", "budget=16 KiB"]);
    has(&over, &["E0801", "more than the budget of 16.0 KiB", "of variables and", "tight.nn:3:42"]);
    assert_eq!(folder.nnc(0, &["check", "good.nn"]), ("good.nn: no mistakes found\n".into(), String::new()));
    let (out, err) = folder.nnc(1, &["check", "good.nn", "bad.nn"]);
    has(&out, &["good.nn: no mistakes found", "bad.nn: 1 error"]);
    has(&err, &["error[E0201]", "Linaer", "did you mean `Linear`", "nnc explain E0201"]);
    assert!(!err.contains('\u{1b}'), "colors only on a terminal");
    let (_, err) = folder.nnc(1, &["check", "bad.nn", "--message-format", "short"]);
    assert_eq!(err.lines().count(), 1);
    has(&err, &["bad.nn:6:", ": error[E0201]: "]);
    let (out, err) = folder.nnc(1, &["check", "bad.nn", "--message-format", "json"]);
    assert_eq!(err, "");
    let object: serde_json::Value = serde_json::from_str(out.trim()).expect("one object");
    assert_eq!((object["code"].as_str(), object["primary"]["span"]["line"].as_u64()), (Some("E0201"), Some(6)));
    let (_, err) = folder.nnc(3, &["check", "absent.nn"]);
    has(&err, &["error[E0901]: cannot read absent.nn"]);
}

#[test]
fn warnings_are_allowed_and_denied_by_name() {
    let warned = NET.replace("Linear(32); relu;", "Linear(32);").replace("Adam(lr: 1e-2)", "Adam(lr: 3)");
    let folder = Folder::with(&[("net.nn", &warned), ("good.nn", NET)]);
    let both = ["warning[W1008]", "warning[W1015]"];
    has(&folder.nnc(0, &["check", "net.nn"]).1, &both);
    let quiet = |args: &[&str]| folder.nnc(0, &[&["check", "net.nn"], args].concat()).1;
    // One of them, by name or code; the other one stays.
    for name in ["stacked-linear", "W1008", "w1008"] {
        let said = quiet(&["--allow", name]);
        assert!(!said.contains("W1008") && said.contains("warning[W1015]"), "{said}");
    }
    assert_eq!(quiet(&["--allow", "warnings"]), "");
    assert_eq!(quiet(&["--allow", "stacked-linear", "--allow", "learning-rate"]), "");
    // As errors, they set the exit code.
    let said = folder.nnc(1, &["check", "net.nn", "--deny", "stacked-linear"]).1;
    has(&said, &["error[W1008]", "warning[W1015]"]);
    has(&folder.nnc(1, &["check", "net.nn", "--deny", "warnings"]).1, &["error[W1008]", "error[W1015]"]);
    let said = folder.nnc(1, &["check", "net.nn", "--deny", "warnings", "--allow", "learning-rate"]).1;
    assert!(said.contains("error[W1008]") && !said.contains("W1015"), "{said}");
    folder.nnc(1, &["run", "net.nn", "--deny", "warnings"]);
    assert_eq!(folder.nnc(0, &["check", "good.nn", "--deny", "warnings"]).1, "");
    // Names of nothing, and of errors, which cannot be allowed.
    has(
        &folder.nnc(2, &["check", "good.nn", "--allow", "stacked-liner"]).1,
        &["E0903", "did you mean `stacked-linear`?"],
    );
    has(&folder.nnc(2, &["check", "good.nn", "--deny", "E0301"]).1, &["no warning is called `E0301`"]);
}

#[test]
fn a_target_that_does_not_work_here_is_told() {
    let folder = Folder::with(&[("net.nn", "predict { step() { ones([2]) } }\n")]);
    let run = |target: &str| folder.command(&["run", "net.nn", "--target", target]).output().expect("nnc starts");
    let cuda = run("cuda");
    if cuda.status.success() {
        eprintln!("SKIPPED: CUDA works here, so nothing is to be told");
    } else {
        has(&String::from_utf8_lossy(&cuda.stderr), &["error[E0802]: the target cuda does not work here"]);
    }
    assert!(run("cpu").status.success());
}

const WRITER: &str = "
model Net(vocab: int) {
  wte = Embedding(vocab, 4)
  fc  = Linear(vocab)
  forward(token: i32[B, T]) -> logits[B, T, vocab] where T <= 4 { wte(token) |> fc }
}
data letters = tsv(\"letters.tsv\", columns: [\"text\"]) { token = text |> tokens(words(40), start: true, end: true) }
train {
  data      = letters
  batch     = 4
  steps     = 1
  net       = Net(data.token.vocab)
  optimizer = Adam(lr: 1e-2)
  step(token) { minimize cross_entropy(net(token[:, :-1]), token[:, 1:]) }
}
generate write {
  data       = letters
  net        = train.net
  max_tokens = 2
  step(token) { net(token) }
}
";

#[test]
fn a_prompt_that_is_not_read_as_it_stands_is_told() {
    let folder = Folder::with(&[("net.nn", WRITER), ("letters.tsv", &format!("text\n{}", "a b c\n".repeat(20)))]);
    folder.nnc(0, &["run", "net.nn", "train"]);
    let said = |prompt: &str| folder.nnc(0, &["run", "net.nn", "write", "--prompt", prompt]).1;
    assert!(!said("a b").contains("W1004"));
    has(&said("a z"), &["warning[W1004]: the net does not know `z`"]);
    has(&said("a b c a b c a b c"), &["warning[W1004]: the prompt has 10 tokens, the net takes 4"]);
}

#[test]
fn settings_on_the_command_line_are_checked_like_source() {
    let folder = Folder::with(&[("net.nn", NET)]);
    folder.nnc(0, &["check", "net.nn", "--set", "epochs=1", "--set", "train.batch=32"]);
    has(&folder.nnc(1, &["check", "net.nn", "--set", "epohcs=1"]).1, &["E0206", "did you mean `epochs`?"]);
    has(&folder.nnc(1, &["check", "net.nn", "--set", "batch=0.5"]).1, &["E0701", "batch"]);
    folder.nnc(1, &["check", "net.nn", "--set", "epochs=(1"]);
    has(&folder.nnc(2, &["check", "net.nn", "--set", "epochs"]).1, &["`--set epochs` has no value"]);
}

#[test]
fn explain_and_doc_know_their_names() {
    let folder = Folder::new();
    has(&folder.nnc(0, &["explain", "E0703"]).0, &["# E0703: resume", "## How to fix"]);
    has(&folder.nnc(0, &["explain", "shape-mismatch"]).0, &["# E0301"]);
    has(&folder.nnc(0, &["explain", "--list"]).0, &["E0101  syntax", "W1003  data-unchecked"]);
    has(&folder.nnc(2, &["explain", "shape-mismtach"]).1, &["did you mean `shape-mismatch`?"]);
    has(&folder.nnc(0, &["doc", "Linear"]).0, &["layer Linear(out: int", "forward(x: f32[.., in])"]);
    has(&folder.nnc(0, &["doc", "std.layers.Conv2d"]).0, &["layer Conv2d"]);
    has(&folder.nnc(0, &["doc", "conv2d"]).0, &["operations", "conv2d(x: tensor, weight: tensor"]);
    has(&folder.nnc(0, &["doc", "mnist"]).0, &["data sources", "Fields: image"]);
    has(&folder.nnc(0, &["doc"]).0, &["std.layers", "operations", "data sources", "digits"]);
    has(&folder.nnc(2, &["doc", "Linaer"]).1, &["did you mean `Linear`?"]);
}

#[test]
fn wrong_command_lines_are_told() {
    let folder =
        Folder::with(&[("bowl.nn", BOWL), ("net.nn", NET), ("model.nn", "model M { forward(x: f32[B]) { x } }")]);
    folder.nnc(2, &["rnu", "net.nn"]);
    folder.nnc(2, &["run"]);
    folder.nnc(2, &["run", "net.nn", "--threads", "0"]);
    has(&folder.nnc(2, &["run", "net.nn", "--target", "gpu"]).1, &["the targets are cpu, cuda, interpreter"]);
    has(&folder.nnc(2, &["run", "bowl.nn"]).1, &["the file has several tasks: a, b", "nnc run FILE a"]);
    has(&folder.nnc(2, &["run", "net.nn", "trian"]).1, &["did you mean `train`?"]);
    has(&folder.nnc(2, &["run", "model.nn"]).1, &["the file has no task"]);
    has(&folder.nnc(2, &["run", "bowl.nn", "predict"]).1, &["the file has no `predict` task", "step("]);
    has(&folder.nnc(2, &["run", "net.nn", "evaluate"]).1, &["there is no run of `train`", "train it first"]);
    has(&folder.nnc(1, &["run", "bowl.nn", "b"]).1, &["how long to train is not said", "steps = 1000"]);
    has(&folder.nnc(1, &["run", "net.nn", "--resume", "nowhere"]).1, &["there is no run in this folder"]);
    has(&folder.nnc(2, &["run", "net.nn", "predict", "--resume"]).1, &["only a task that trains can be resumed"]);
    has(&folder.nnc(2, &["compile", "net.nn", "train", "--emit=grpah"]).1, &["did you mean `graph`?"]);
    for command in ["check", "run", "compile", "profile", "plan", "summary", "explain", "doc", "doctor"] {
        has(&folder.nnc(0, &[command, "--help"]).0, &["Example"]);
    }
}

#[test]
fn summary_counts_parameters() {
    let folder = Folder::with(&[("net.nn", NET)]);
    let (out, _) = folder.nnc(0, &["summary", "net.nn"]);
    // 64 * 32 + 32, 32 * 10 + 10
    has(&out, &["task train", "Linear", "2,080", "330", "parameters: 2,410", "f32[B, 32]"]);
}

#[test]
fn summary_lists_a_shared_layer_once() {
    let text = "model Twice {
  heads = [Linear(8), Linear(8)]
  forward(x: f32[B, 8]) -> f32[B, 8] { x |> heads[0] |> heads[1] |> heads[0] }
}
";
    let folder = Folder::with(&[("net.nn", text)]);
    let (out, _) = folder.nnc(0, &["summary", "net.nn"]);
    let lines = |name: &str| out.lines().filter(|l| l.contains(name)).count();
    assert_eq!((lines("heads.0"), lines("heads.1")), (1, 1), "{out}");
}

#[test]
fn compile_and_plan_show_the_real_stages() {
    let folder = Folder::with(&[("net.nn", NET)]);
    has(
        &folder.nnc(0, &["compile", "net.nn"]).0,
        &["train.train, batch 64", "train.eval", "arena", "2,410 parameters"],
    );
    has(&folder.nnc(0, &["compile", "net.nn", "train", "--emit=graph,grad"]).0, &["// graph", "// grad", "matmul"]);
    has(&folder.nnc(0, &["plan", "net.nn"]).0, &["net.nn:", "arena", "variables", "total"]);
    let (json, _) = folder.nnc(0, &["plan", "net.nn", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(plan["arena_bytes"].as_u64() >= plan["lower_bound"].as_u64());
}

#[test]
fn doctor_tests_every_target() {
    has(&Folder::new().nnc(0, &["doctor"]).0, &["target cpu", "target interpreter", "works: losses", "CUDA"]);
}

const FILES: [&str; 4] = ["last.safetensors", "best.safetensors", "metrics.csv", "metrics.jsonl"];

#[test]
fn the_same_seed_gives_the_same_bits() {
    let folder = Folder::with(&[("net.nn", NET)]);
    let run = |dir: &str, more: &[&str]| {
        let args = [&["run", "net.nn", "--run-dir", dir][..], more].concat();
        folder.nnc(0, &args).0
    };
    let out = run("a", &["--threads", "2"]);
    has(&out, &["1,438 samples, 359 held out", "epoch 3/3", "validation loss", "done in", "run folder: a"]);
    run("b", &["--threads", "1", "-q"]);
    run("c", &["--threads", "2", "--seed", "1"]);
    for file in FILES {
        assert!(folder.bytes(&format!("a/{file}")) == folder.bytes(&format!("b/{file}")), "{file}");
        assert!(folder.bytes(&format!("a/{file}")) != folder.bytes(&format!("c/{file}")), "{file}");
    }
    assert_eq!(folder.text("a/source.nn"), NET);
    let record: serde_json::Value = serde_json::from_str(&folder.text("a/run.json")).expect("JSON");
    assert!(record["milliseconds"]["first step"].as_f64().is_some_and(|ms| ms > 0.0));
    has(&folder.nnc(3, &["run", "net.nn", "--run-dir", "a"]).1, &["already holds a run"]);
}

/// Ctrl-C in the middle of a run, as a terminal sends it.
#[cfg(unix)]
#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    use std::io::{BufRead, BufReader, Read};
    let folder = Folder::with(&[("net.nn", NET)]);
    let sets = ["--set", "epochs=60", "--set", "train.optimizer=Adam(lr: 1e-3)"];
    folder.nnc(0, &[&["run", "net.nn", "--run-dir", "whole"][..], &sets].concat());
    let mut child = folder
        .command(&[&["run", "net.nn", "--run-dir", "cut"][..], &sets].concat())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nnc starts");
    let mut out = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    while !line.contains("epoch  2/60") {
        line.clear();
        assert!(out.read_line(&mut line).expect("a line") > 0, "it ended before its second epoch");
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest}");
    has(&rest, &["interrupted after step", "to go on: nnc run net.nn train --resume cut"]);
    // The settings of the run are its own; they need not be given again.
    has(&folder.nnc(0, &["run", "net.nn", "--resume", "cut"]).0, &["going on after step", "epoch 60/60"]);
    for file in FILES {
        assert!(folder.bytes(&format!("whole/{file}")) == folder.bytes(&format!("cut/{file}")), "{file}");
    }
    has(&folder.nnc(0, &["run", "net.nn", "--resume", "cut"]).0, &["the run is finished"]);
    has(&folder.nnc(1, &["run", "net.nn", "--resume", "cut", "--seed", "9"]).1, &["E0703", "seed 0, not 9"]);
}

#[test]
fn a_trained_net_is_measured_and_predicts() {
    let folder = Folder::with(&[("net.nn", NET)]);
    let (out, _) = folder.nnc(0, &["run", "net.nn"]);
    has(&out, &["run folder: runs/net-train-001"]);
    let done = out.lines().find(|l| l.starts_with("done")).expect("the last figures");
    let last = done.split("validation ").nth(1).expect("figures");
    let with_last = ["run", "net.nn", "evaluate", "--weights", "runs/net-train-001/last.safetensors"];
    let (out, _) = folder.nnc(0, &with_last);
    let measured: Vec<&str> = out.split_whitespace().collect();
    for figure in last.split_whitespace() {
        assert!(measured.contains(&figure), "{figure} of {last} is not in\n{out}");
    }
    has(&folder.nnc(0, &["run", "net.nn", "evaluate"]).0, &["359 samples", "best.safetensors", "accuracy"]);

    let (out, _) = folder.nnc(0, &["run", "net.nn", "predict"]);
    has(&out, &["359 rows in runs/net-train-001/predictions.csv"]);
    let csv = folder.text("runs/net-train-001/predictions.csv");
    assert_eq!((csv.lines().count(), csv.lines().next().map(|l| l.split(',').count())), (360, Some(11)));
    let jsonl = folder.text("runs/net-train-001/predictions.jsonl");
    let first: serde_json::Value = serde_json::from_str(jsonl.lines().next().expect("a line")).expect("JSON");
    let sum: f64 = first["prediction"].as_array().expect("a list").iter().filter_map(|v| v.as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "probabilities add up to {sum}");
}

#[test]
fn the_targets_agree() {
    let folder = Folder::with(&[("bowl.nn", BOWL)]);
    let loss = |target| {
        let (out, _) = folder.nnc(0, &["run", "bowl.nn", "a", "--target", target, "-q"]);
        let done = out.lines().find(|l| l.starts_with("done")).expect("figures").to_string();
        done.split_once(": loss ").map(|(_, v)| v.parse::<f64>().expect("a number")).expect("a loss")
    };
    let (a, b) = (loss("cpu"), loss("interpreter"));
    assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} and {b}");
}

#[test]
fn a_loss_that_explodes_names_its_line() {
    let folder = Folder::with(&[("net.nn", NET)]);
    let args = ["run", "net.nn", "--run-dir", "r", "--set", "train.optimizer=Adam(lr: 1e30)"];
    let (_, err) = folder.nnc(1, &args);
    has(&err, &["error[E0702]", "net.nn:", "in step", "epoch 1"]);
}

#[test]
fn an_index_outside_its_axis_ends_the_run_and_names_its_line() {
    let text = "model Net {
  table = Embedding(4, 3)
  forward(token: i32[B]) -> f32[B, 3] { token |> table }
}

train {
  net       = Net()
  steps     = 5
  optimizer = Sgd(0.1)
  step() { minimize mean(net(range(2) + i32(clock.step)) ^ 2) }
}
";
    let folder = Folder::with(&[("net.nn", text)]);
    for target in ["cpu", "interpreter"] {
        let (_, err) = folder.nnc(1, &["run", "net.nn", "--run-dir", target, "--target", target]);
        has(&err, &["error[E0603]: index 4 is outside 0..4", "net.nn:3:", "indices count from 0"]);
    }
    // In the fourth step: those before see tokens that are there.
    has(&folder.nnc(1, &["run", "net.nn", "--run-dir", "r"]).1, &["in step 4"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = Folder::with(&[("net.nn", NET), ("runs", "a file")]);
    has(&folder.nnc(3, &["run", "net.nn"]).1, &["error[E0901]", "--run-dir"]);
}

#[test]
fn examples_have_the_mistakes_that_they_are_to_have() {
    let folder = Folder::new();
    for name in ["digits.nn", "optimizers.nn"] {
        folder.nnc(0, &["check", &example(name)]);
    }
    has(&folder.nnc(1, &["check", &example("wrong_flatten.nn")]).1, &["8192", "6272", "128 * 8 * 8"]);
}

#[test]
fn a_profile_names_kernels_and_lines() {
    let folder = Folder::with(&[("net.nn", NET)]);
    let (out, _) = folder.nnc(0, &["profile", "net.nn", "train", "--steps", "5", "--threads", "2", "--all"]);
    has(&out, &["GFLOP/s", "GB/s", "roof", "lines", "matmul", "net.nn:", "median of 5", "between", "2 threads"]);

    let args = ["profile", "net.nn", "train", "--steps", "5", "--trace", "t.json", "--message-format", "json"];
    let (out, _) = folder.nnc(0, &args);
    let lines: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let (total, rows) = lines.split_last().expect("lines");
    let figure = |line: &serde_json::Value, key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} of {line}"));
    let times: Vec<f64> = rows.iter().map(|row| figure(row, "us")).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "the slowest is first: {times:?}");
    let sum: f64 = times.iter().sum();
    assert!((sum - figure(total, "launches_us")).abs() < 1e-6 * sum.max(1.0), "{sum} of {total}");
    let shares: f64 = rows.iter().map(|row| figure(row, "share")).sum();
    assert!((shares * figure(total, "timed_step_us") - sum).abs() < 1e-6 * sum, "{shares} of {total}");
    let launches: f64 = rows.iter().map(|row| figure(row, "launches")).sum();
    assert_eq!(launches, figure(total, "launches"));
    for row in rows {
        assert!(figure(row, "bytes") > 0.0 && figure(row, "roof_us") > 0.0, "{row}");
        assert!(row["places"].as_array().is_some_and(|p| !p.is_empty()), "{row}");
    }
    assert!(rows.iter().any(|row| row["places"].as_array().is_some_and(|p| p.len() > 1)), "no kernel is fused");

    let trace: serde_json::Value = serde_json::from_str(&folder.text("t.json")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let of = |track: u64| events.iter().filter(move |e| e["ph"] == "X" && e["tid"] == track);
    let ends: Vec<[f64; 2]> = of(0).map(|e| [figure(e, "ts"), figure(e, "ts") + figure(e, "dur")]).collect();
    assert_eq!(ends.len() as f64, launches);
    // One after the other, inside the step.
    assert!(ends.as_flattened().windows(2).all(|t| t[0] <= t[1] + 1e-3), "{ends:?}");
    let step = figure(&trace["otherData"], "step_us");
    assert!(ends[0][0] >= 0.0 && ends[ends.len() - 1][1] <= step + 1e-3, "{ends:?} in {step}");
    // Each launch is somebody's work.
    let by_threads: std::collections::BTreeSet<u64> =
        (1..=64).flat_map(of).filter_map(|e| e["args"]["launch"].as_u64()).collect();
    assert_eq!(by_threads.len(), ends.len());
}

#[test]
fn a_profile_of_what_is_not_there_is_refused() {
    let folder = Folder::with(&[("net.nn", NET)]);
    has(&folder.nnc(2, &["profile", "net.nn", "trian"]).1, &["no task `trian`", "did you mean `train`?"]);
    has(&folder.nnc(2, &["profile", "net.nn", "train", "--entry", "once"]).1, &["has no entry `once`"]);
    has(&folder.nnc(3, &["profile", "net.nn", "train", "--trace", "no/t.json"]).1, &["cannot create `no/t.json`"]);
    has(&folder.nnc(3, &["profile", "none.nn"]).1, &["none.nn"]);
    folder.nnc(2, &["profile", "net.nn", "--steps", "0"]);
}
