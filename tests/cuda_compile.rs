//! Every kernel of every example, every model and every operation's samples is CUDA C that NVIDIA's run-time compiler takes, for three
//! architectures, without spilling a register. No GPU is needed, only the compiler (`pip install nvidia-cuda-nvrtc-cu12`, in the
//! active environment or in the folder that NNC_CUDA_DIR names); without it the test says so and passes. One architecture and every
//! eighth module unless NNC_CUDA_ALL is set, which may name architectures (`NNC_CUDA_ALL=80,90`; `1` for all three).

use nnc::codegen::cuda::Source;
use nnc::driver::{self, Options};
use nnc::engine::{Entry, plan_for_cuda};
use nnc::graph::{Graph, Origin, Output, OutputKind};
use nnc::ops::{Op, TABLE};
use nnc::plan::{self, VarLayout};
use nnc::runtime::cuda::compile::{Compiler, modules};
use nnc::runtime::cuda::step::sources;
use nnc::{autodiff, opt, stages};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
struct All {
    known: BTreeSet<String>,
    list: Vec<Source>,
    faults: Vec<String>,
}

impl All {
    fn graph(&mut self, name: &str, graph: &Graph<usize>, layout: &VarLayout) {
        let found =
            plan_for_cuda(graph, layout, &mut Vec::new()).map_err(|d| format!("{} {:?}", d.headline, d.primary));
        match found.and_then(|plan| sources(&plan).map_err(|f| f.message)) {
            Ok(list) => self.list.extend(list.into_iter().filter(|s| self.known.insert(s.text().to_string()))),
            Err(why) => self.faults.push(format!("{name}: {why}")),
        }
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let mut checked = driver::check_file(path, &Options::default()).expect("it can be read");
        assert!(!checked.has_errors(), "{name}: {:?}", checked.diagnostics);
        for task in &mut checked.program.tasks {
            task.assumed = Some(8);
        }
        for task in checked.program.tasks.iter().filter(|t| t.whole) {
            let layout = plan::var_layout(&nnc::engine::cpu::task_vars(&checked.program, task).expect("types"));
            let batch = task.settings.batch.unwrap_or(0);
            let entries = if task.train.is_some() { vec![Entry::Train, Entry::Eval] } else { vec![Entry::Eval] };
            for entry in entries {
                let graph = stages::step_graph(task, entry, batch, &mut Vec::new());
                self.graph(&name, &graph.unwrap_or_else(|d| panic!("{name}: {}", d.headline)), &layout);
            }
        }
    }

    fn operations(&mut self) {
        for def in TABLE.iter() {
            for sample in (def.samples)() {
                let mut graph = Graph::default();
                let fields: Vec<_> = (0..)
                    .zip(&sample.inputs)
                    .map(|(i, ty)| graph.push(Op::Field(i), vec![], ty.clone(), Origin::NOWHERE))
                    .collect();
                let Ok(node) = graph.try_add(sample.op.clone(), &fields, Origin::NOWHERE) else { continue };
                graph.outputs.push(Output { kind: OutputKind::Value(0), node });
                let Ok(graph) = autodiff::differentiate(graph) else { continue };
                let graph = opt::optimise(graph);
                self.graph(def.name, &graph, &VarLayout::default());
            }
        }
    }
}

/// What a compiler's log says of memory that registers did not suffice for.
fn spills(log: &str) -> Vec<&str> {
    let bad = |l: &&str| l.contains("bytes spill stores") && !l.contains("0 bytes spill stores, 0 bytes spill loads");
    log.lines().filter(bad).collect()
}

#[test]
fn every_kernel_compiles_and_spills_nothing() {
    let compiler = match Compiler::open() {
        Ok(compiler) => compiler,
        Err(why) => return println!("SKIPPED, no kernel was compiled: {why}"),
    };
    let mut all = All::default();
    all.operations();
    for folder in ["examples", "models"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut paths: Vec<_> =
            std::fs::read_dir(&folder).expect("the folder").map(|e| e.expect("an entry").path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "nn") && !p.ends_with("wrong_flatten.nn"));
        paths.sort();
        paths.iter().for_each(|p| all.file(p));
    }
    assert!(all.faults.is_empty(), "no kernels: {:#?}", all.faults);
    let modules = modules(&all.list);
    let whole = std::env::var("NNC_CUDA_ALL").ok();
    let named: Vec<i32> = whole.iter().flat_map(|w| w.split(',')).filter_map(|a| a.parse().ok()).collect();
    let archs: Vec<i32> = match whole {
        None => vec![90],
        Some(_) if named.iter().all(|a| *a >= 75) && !named.is_empty() => named,
        Some(_) => vec![80, 90, 100],
    };
    let step = if whole.is_some() { 1 } else { 8 };
    let work: Vec<(i32, &str)> =
        archs.iter().flat_map(|a| modules.iter().step_by(step).map(|m| (*a, m.text.as_str()))).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut faults = Vec::new();
        loop {
            let Some((arch, text)) = work.get(next.fetch_add(1, Ordering::Relaxed)) else { return faults };
            match compiler.compile(text, *arch, true) {
                Ok(done) => {
                    faults.extend(spills(&done.log).iter().map(|l| format!("sm_{arch}: {l}\n{}\n{text}", done.log)))
                }
                Err(why) => faults.push(format!("sm_{arch}: {why}\n{text}")),
            }
        }
    };
    let faults: Vec<String> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..2).map(|_| s.spawn(run)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a thread")).collect()
    });
    println!(
        "{} functions, {} modules compiled for {archs:?} by NVRTC {:?}",
        all.list.len(),
        work.len(),
        compiler.version
    );
    if let Some(first) = faults.first() {
        if let Some(path) = std::env::var_os("NNC_CUDA_FAULTS") {
            std::fs::write(path, faults.join("\n=====\n")).expect("a file");
        }
        panic!("{} faults, the first: {}", faults.len(), &first[..first.len().min(6000)]);
    }
}
