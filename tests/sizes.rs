//! What only a run decides: sizes that become numbers with the batch, demanded by `where` and `expect`, and labels that
//! choose among scores.

use nnc::build::{Sizes, build_step};
use nnc::diag::{Diagnostic, Format, Severity, render};
use nnc::driver::{self, Checked, Options};
use nnc::engine::{ClockValues, Entry, StepInputs, Target, bytes};
use nnc::train::{self, Feed};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, Vec<u8>)]) -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nnc-sizes-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        for (name, text) in files {
            std::fs::write(path.join(name), text).expect("a file");
        }
        Folder(path)
    }

    fn check(&self, program: &str) -> Checked {
        let checked = driver::check_text("test.nn", program.to_string(), &self.0, &Options::default());
        let errors = checked.diagnostics.iter().any(|d| d.severity == Severity::Error);
        assert!(!errors, "{}", render(&checked.diagnostics, &checked.sources, Format::Human, false));
        checked
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An array in NumPy's format.
fn npy(dtype: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(bytes);
    out
}

fn whole(numbers: &[i32]) -> Vec<u8> {
    npy("<i4", &format!("({},)", numbers.len()), &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
}

/// The headline and the lines that a message points at, first the one that it is about.
fn told(checked: &Checked, d: &Diagnostic) -> (String, Vec<usize>) {
    let lines = d.primary.iter().chain(&d.secondary).map(|l| checked.sources.line_of(l.span)).collect();
    (format!("{} {}", d.code.id, d.headline), lines)
}

/// What the only task gives for a batch of `digits`.
fn predicted(checked: &Checked, target: Target, samples: usize) -> Result<Vec<f64>, Box<Diagnostic>> {
    let task = &checked.program.tasks[0];
    let mut engine = driver::engine(checked, &task.name, target, 1)?;
    engine.initialise(0)?;
    let opened = train::open(task, &checked.data_root)?.expect("data");
    let mut feed = Feed::new(train::split(&opened, 0), &task.fields, task.settings.batch, false)?;
    assert_eq!(feed.load(0, 0, 0), samples);
    let inputs = StepInputs { fields: feed.fields(), lengths: feed.lengths(), clock: ClockValues::default(), seed: 0 };
    engine.run(Entry::Eval, samples, &inputs)?;
    let value = engine.value(0);
    Ok(bytes::to_f64(value.dtype, &value.bytes))
}

/// A bound on the batch, far from the task that breaks it.
fn bounded(bound: &str, batch: usize) -> String {
    format!(
        "fn few(x: f32[N, D]) -> f32[N] where {bound} {{\n  sum(x, axis: 1) * 0 + N\n}}\n\
         predict {{\n  data  = digits()\n  batch = {batch}\n  step(image) {{\n    x = flatten(image)\n    few(x)\n  }}\n}}\n"
    )
}

#[test]
fn bounds_of_named_sizes_are_looked_at_when_they_are_numbers() {
    let folder = Folder::with(&[]);
    for target in [Target::Interpreter, Target::Cpu] {
        for (bound, batch) in [("N <= 4", 4), ("N < 5", 4), ("N >= 4", 4), ("N > 3", 4), ("N <= D", 64), ("D == 64", 7)]
        {
            let checked = folder.check(&bounded(bound, batch));
            assert_eq!(predicted(&checked, target, batch).expect(bound), vec![batch as f64; batch]);
        }
        for (bound, batch) in [("N <= 4", 5), ("N < 5", 5), ("N >= 4", 3), ("N > 3", 3), ("2 * N == D", 31)] {
            let checked = folder.check(&bounded(bound, batch));
            let fault = predicted(&checked, target, batch).expect_err(bound);
            let (headline, lines) = told(&checked, &fault);
            assert!(headline.starts_with(&format!("E0306 `{bound}` does not hold")), "{headline}");
            assert_eq!(lines, [9, 1], "the call, and where it is demanded");
        }
    }
}

#[test]
fn what_is_expected_is_looked_at_when_it_is_a_number() {
    let folder = Folder::with(&[]);
    let program = |batch: usize| {
        format!(
            "predict {{\n  data  = digits()\n  batch = {batch}\n  step(image) {{\n    square: f32[64, 64] = expect(flatten(image))\n\
             \x20   sum(square @ transpose(square)) + zeros([B])\n  }}\n}}\n"
        )
    };
    for target in [Target::Interpreter, Target::Cpu] {
        assert_eq!(predicted(&folder.check(&program(64)), target, 64).expect("64 samples").len(), 64);
        let checked = folder.check(&program(32));
        let (headline, lines) = told(&checked, &predicted(&checked, target, 32).expect_err("32 samples"));
        assert_eq!(headline, "E0306 `64 == B` does not hold: 32 against 64");
        assert_eq!(lines, [5]);
    }
}

#[test]
fn nothing_is_demanded_of_a_length_that_stands_for_others() {
    let folder = Folder::with(&[("lines.txt", b"0 a b c\n1 d e f g\n".to_vec())]);
    let checked = folder.check(
        "fn few(x: i32[B, T]) -> i32[B, T] where T <= 16 { x }
data d = labelled_lines(\"lines.txt\") { token = text |> tokens(words(20)) }
predict {
  data  = d
  batch = 2
  step(token) { few(token) }
}",
    );
    let task = &checked.program.tasks[0];
    let built = |sizes: &Sizes| build_step(&task.eval, sizes).map(drop).map_err(|d| told(&checked, &d));
    assert_eq!(built(&Sizes::of(task, 2)), Ok(()));
    assert_eq!(built(&Sizes::with(task, 2, &[16])), Ok(()));
    let (headline, lines) = built(&Sizes::with(task, 2, &[24])).expect_err("24 is too long");
    assert_eq!((headline.as_str(), lines), ("E0306 `T <= 16` does not hold: 24 against 16", vec![6, 1]));
}

#[test]
fn numbers_that_choose_are_among_what_is_there() {
    let task = |loss: &str| {
        format!(
            "model Net() {{\n  param table: f32[3] = 0\n  forward(y: i32[B]) -> logits[B, 3] {{ expand(unsqueeze(table, 0), [B, 3]) + 0 * f32(unsqueeze(y, 1)) }}\n}}\n\
             train {{\n  data      = npy(y: \"y.npy\")\n  batch     = 2\n  net       = Net()\n  optimizer = Adam(lr: 1e-3)\n  step(y) {{\n    \
             minimize {loss}\n  }}\n}}\n"
        )
    };
    let feed = |folder: &Folder, loss: &str| {
        let checked = folder.check(&task(loss));
        let task = &checked.program.tasks[0];
        let opened = train::open(task, &checked.data_root).expect("data").expect("data");
        let made = Feed::new(train::split(&opened, 0), &task.fields, task.settings.batch, false);
        made.map(drop).map_err(|d| told(&checked, &d))
    };
    let good = Folder::with(&[("y.npy", whole(&[0, 1, 2, 2]))]);
    assert_eq!(feed(&good, "cross_entropy(net(y), y)"), Ok(()));
    let high = Folder::with(&[("y.npy", whole(&[5, 1, -2, 3]))]);
    let (headline, lines) = feed(&high, "cross_entropy(net(y), y)").expect_err("5 is too much");
    assert_eq!((headline.as_str(), lines), ("E0603 `y` of sample 0 is 5, not below 3", vec![11]));
    let low = Folder::with(&[("y.npy", whole(&[0, -1, 2, 1]))]);
    let (headline, _) = feed(&low, "cross_entropy(net(y), y)").expect_err("-1 is too little");
    assert_eq!(headline, "E0603 `y` of sample 1 is -1");
    // What is left out is not looked at.
    assert_eq!(feed(&low, "cross_entropy(net(y), y, ignore: -1)"), Ok(()));
}
