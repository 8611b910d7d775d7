//! Times the steps of a program: `cargo bench --bench step -- FILE [TASK] [THREADS]`. Fields are random.

use nnc::driver::{self, Options};
use nnc::engine::{ClockValues, CpuEngine, Engine, Entry, StepInputs};
use nnc::ops::DType;
use std::path::Path;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let file = args.first().map_or("examples/digits.nn", String::as_str);
    let checked = driver::check_file(Path::new(file), &Options::default()).expect("a readable file");
    let task = args.get(1).map_or("train", String::as_str);
    let threads = args.get(2).and_then(|t| t.parse().ok()).unwrap_or(2);
    let Some(task) = checked.program.task(task) else { panic!("no task `{task}`") };
    let batch = task.settings.batch.unwrap_or(0);
    let mut engine = CpuEngine::new(&checked.program, task, threads).expect("an engine");
    engine.initialise(0).expect("first values");
    let report = engine.prepare(Entry::Train, batch).expect("a compiled step").clone();
    println!("{report:?}");
    let samples = batch.max(1);
    let fields: Vec<Vec<u8>> = task
        .fields
        .iter()
        .map(|f| {
            let n = samples * f.shape.iter().map(|d| d.number().unwrap_or(1) as usize).product::<usize>();
            let value = |i: usize| (i.wrapping_mul(2654435761) >> 7) % 1000;
            match f.dtype {
                DType::F32 => (0..n).flat_map(|i| (value(i) as f32 / 1000.0).to_le_bytes()).collect(),
                _ => (0..n).flat_map(|i| ((value(i) % 10) as i32).to_le_bytes()).collect(),
            }
        })
        .collect();
    let clock = |step| ClockValues { step, epoch: 0, steps: 1000, epoch_steps: 1000 };
    let mut times = Vec::new();
    for step in 0..60 {
        let start = Instant::now();
        engine.run(Entry::Train, batch, &StepInputs { fields: &fields, lengths: &[], clock: clock(step), seed: 0 }).expect("a step");
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("step: median {:.3} ms, least {:.3} ms; loss {:.4}", times[times.len() / 2], times[0], engine.scalar(0));
    let inputs = StepInputs { fields: &fields, lengths: &[], clock: clock(60), seed: 0 };
    let mut launches = engine.profile(Entry::Train, batch, &inputs, 20).expect("a profile");
    launches.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
    for l in launches.iter().take(40) {
        println!("{:9.1} us  {:6.1} GFLOP/s  {}", l.nanoseconds / 1e3, l.flops as f64 / l.nanoseconds, l.name);
    }
}
