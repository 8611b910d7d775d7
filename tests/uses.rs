//! Programs of several files: what `use` brings into scope, where messages point, and that the run's folder keeps it all.

use nnc::artifact::RunFolder;
use nnc::diag::{Format, Severity, render};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target, bytes};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nnc-uses-{}-{number}", std::process::id()));
        for (name, text) in files {
            let place = path.join(name);
            std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
            std::fs::write(place, text).expect("a file");
        }
        Folder(path)
    }

    fn check(&self, name: &str) -> Checked {
        driver::check_file(&self.0.join(name), &Options::default()).expect("the file is there")
    }

    /// Every message as `file:line: code headline`, the file relative to the folder.
    fn said(&self, name: &str) -> Vec<String> {
        let checked = self.check(name);
        let root = format!("{}/", self.0.display());
        let line = |d: &nnc::diag::Diagnostic| {
            let span = d.span().expect("a place");
            let file = checked.sources.file(span.file).name.replace(&root, "");
            format!("{file}:{}: {} {}", checked.sources.line_of(span), d.code.id, d.headline)
        };
        checked.diagnostics.iter().map(line).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const STEP: &str = "predict { step() { answer(ones([1])) } }";

/// What the step of a program without data gives.
fn answer(checked: &Checked) -> Vec<f64> {
    let errors = checked.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert!(!errors, "{}", render(&checked.diagnostics, &checked.sources, Format::Human, false));
    let mut engine = driver::engine(checked, "predict", Target::Interpreter, 1).expect("an engine");
    engine.initialise(0).expect("first values");
    let inputs = StepInputs { fields: &[], lengths: &[], clock: ClockValues::default(), seed: 0 };
    engine.run(Entry::Eval, 0, &inputs).expect("a step");
    let value = engine.value(0);
    bytes::to_f64(value.dtype, &value.bytes)
}

#[test]
fn each_file_has_names_of_its_own() {
    let folder = Folder::with(&[
        (
            "main.nn",
            &format!("use parts.answer\nconst one = 100\nfn add(x: f32[..s]) -> f32[..s] {{ x + one }}\n{STEP}"),
        ),
        (
            "parts.nn",
            "use deep.er.{one}\nfn answer(x: f32[..s]) -> f32[..s] { x |> add |> add }\nfn add(x: f32[..s]) -> f32[..s] { x + one }\n",
        ),
        ("deep/er.nn", "use more.two\nconst one = two / 2 + 9\n"),
        ("deep/more.nn", "const two = 2\n"),
    ]);
    assert_eq!(answer(&folder.check("main.nn")), [21.0]);
}

#[test]
fn two_files_may_use_a_third() {
    let folder = Folder::with(&[
        ("main.nn", &format!("use a.x\nuse b.y\nfn answer(v: f32[..s]) -> f32[..s] {{ v + x + y }}\n{STEP}")),
        ("a.nn", "use c.z\nconst x = z + 1\n"),
        ("b.nn", "use c.z\nconst y = z + 2\n"),
        ("c.nn", "const z = 10\n"),
    ]);
    assert_eq!(answer(&folder.check("main.nn")), [24.0]);
}

#[test]
fn layers_of_other_files_have_their_paths_and_their_sizes() {
    let folder = Folder::with(&[
        (
            "main.nn",
            "use nets.Net\nconst D = 7\nmodel Whole() {\n  net = Net(3)\n  forward(x: f32[B, 5]) -> f32[B, 3] { net(x) }\n}\n\
             predict {\n  whole = Whole()\n  step() { whole(ones([1, 5])) }\n}\n",
        ),
        (
            "nets.nn",
            "layer Net(width: int) {\n  param weight: f32[D, width] = 1\n  forward(x: f32[B, D]) -> f32[B, width] { x @ weight }\n}\n",
        ),
    ]);
    let checked = folder.check("main.nn");
    assert_eq!(answer(&checked), [5.0; 3]);
    assert_eq!(checked.program.vars[0].path, "whole.net.weight");
}

#[test]
fn files_do_not_use_each_other() {
    let folder = Folder::with(&[
        ("a.nn", "use b.y\nuse a.x\nconst x = 1\nconst z = y\n"),
        ("b.nn", "use deep.c.w\nconst y = w\n"),
        ("deep/c.nn", "const w = 3\n"),
        ("d.nn", "use e.y\nconst x = y\n"),
        ("e.nn", "use f.y\n"),
        ("f.nn", "use d.x\nconst y = x\n"),
    ]);
    assert_eq!(folder.said("a.nn"), ["a.nn:2: E0207 `a.nn` uses itself"]);
    assert_eq!(folder.said("b.nn"), [""; 0]);
    let said = folder.said("d.nn");
    assert_eq!(said, ["d.nn:1: E0201 `e` has no `y`", "f.nn:1: E0207 `f.nn` and `d.nn` use each other"]);
}

#[test]
fn faults_are_told_in_their_files() {
    let folder = Folder::with(&[
        ("main.nn", "use parts.f\nfn g(x: f32[B]) -> f32[B] { f(x) }\n"),
        ("parts.nn", "\nfn f(x: f32[B]) -> f32[B] { x + y }\nfn h(x: f32[B) -> f32[B] { x }\n"),
    ]);
    let said = folder.said("main.nn");
    assert!(said.iter().any(|s| s == "parts.nn:2: E0201 `y` is not known here"), "{said:?}");
    assert!(said.iter().any(|s| s.starts_with("parts.nn:3: E01")), "{said:?}");
    assert!(said.iter().all(|s| s.starts_with("parts.nn")), "{said:?}");
}

#[test]
fn values_of_the_command_line_are_of_the_main_file() {
    let folder = Folder::with(&[
        ("main.nn", &format!("use parts.two\nconst n = 1\nfn answer(x: f32[..s]) -> f32[..s] {{ x + n }}\n{STEP}")),
        ("parts.nn", "const two = 2\nconst n = 5\n"),
    ]);
    let options = Options { sets: vec!["n=two + 4".into()], ..Options::default() };
    let checked = driver::check_file(&folder.0.join("main.nn"), &options).expect("the file");
    assert_eq!(answer(&checked), [7.0]);
}

#[test]
fn a_runs_folder_keeps_all_files_where_they_are_found() {
    let folder = Folder::with(&[
        (
            "main.nn",
            &format!("use nets.parts.n\nuse parts.n2\nfn answer(x: f32[..s]) -> f32[..s] {{ x + n + n2 }}\n{STEP}"),
        ),
        ("parts.nn", "const n2 = 2\n"),
        ("nets/parts.nn", "const n = 5\n"),
    ]);
    let checked = folder.check("main.nn");
    let kept = RunFolder::create_at(&folder.0.join("run")).expect("a folder");
    let files = checked.sources.ids().map(|id| checked.sources.file(id)).filter(|f| !f.builtin);
    kept.write_sources(files.map(|f| (f.name.as_str(), &*f.text))).expect("written");
    assert_eq!(answer(&folder.check("run/source.nn")), [8.0]);
    assert!(checked.text().contains("n2 = 2") && checked.text().contains("n = 5"));
}
