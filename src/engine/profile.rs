//! Where a step's time goes on the CPU. In: an engine with first values, an entry, inputs. Out: what each launch is, what
//! it computes and moves, and how long it takes; the course of one step in the middle of all.
//!
//! Steps are run twice: as always, for the time that a step takes, and with the clock read around each launch.

use super::cpu::{CpuEngine, given, slices};
use super::{Entry, StepInputs};
use crate::diag::Diagnostic;
use crate::graph::Origin;
use crate::plan::{self, ConvPass, Plan, Work, traffic::traffic};
use crate::runtime::kernels::peak::Peaks;
use crate::stages;
use std::time::{Duration, Instant};

/// What one launch is, and what it costs.
#[derive(Clone, Debug)]
pub struct LaunchProfile {
    /// What runs: `matmul 1x64x10x128 + add`, `sub_exp_sum`.
    pub name: String,
    /// The expressions that it computes, in the order of the program.
    pub parts: Vec<Origin>,
    pub flops: u64,
    /// Bytes that it moves, by the nearest level of memory that can hold them ([`Peaks::levels`]).
    pub bytes: Vec<u64>,
    /// Median over the steps.
    pub seconds: f64,
}

/// Something that took time: from, to, in seconds from the start of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub launch: usize,
    /// Of a thread of the pool; the calling thread's is 0.
    pub slot: usize,
    pub begin: f64,
    pub end: f64,
}

/// The profile of an entry.
#[derive(Clone, Debug)]
pub struct Profile {
    pub peaks: Peaks,
    pub launches: Vec<LaunchProfile>,
    /// How many steps were run of either kind.
    pub steps: usize,
    /// Median seconds of a step that nothing disturbs.
    pub step: f64,
    /// Median seconds of a step whose launches are timed.
    pub timed_step: f64,
    /// Of those, median seconds that no launch takes.
    pub between: f64,
    /// One step: its seconds, its launches, and what each thread did of them.
    pub course: Course,
}

/// One step from its start to its end.
#[derive(Clone, Debug, Default)]
pub struct Course {
    pub seconds: f64,
    pub launches: Vec<Stretch>,
    pub threads: Vec<Stretch>,
}

/// How long steps are repeated, and how often at least and at most.
const TIME: Duration = Duration::from_millis(1500);
const FEWEST: usize = 5;
const MOST: usize = 400;

/// The middle one of some numbers; zero if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl CpuEngine {
    /// Runs steps and measures their launches; as many steps as are asked for, or for about a second.
    ///
    /// # Errors
    /// As [`prepare`](super::Engine::prepare).
    pub fn profile(
        &mut self,
        entry: Entry,
        batch: usize,
        inputs: &StepInputs,
        steps: Option<usize>,
    ) -> Result<Profile, Box<Diagnostic>> {
        super::compiled::within_fields(&self.task)?;
        let graph = stages::step_graph_of(&self.task, entry, batch, inputs.lengths, &mut Vec::new())?;
        let (plan, mut executable) = self.compile(&graph, &mut Vec::new())?;
        self.within_budget(&plan)?;
        let peaks = Peaks::measure(&self.pool);
        let (slots, count) = slices(inputs);
        let given = given(inputs, &slots[..count]);
        let (mut plain, mut timed) = (Vec::new(), Vec::new());
        let mut courses: Vec<Course> = Vec::new();
        executable.run(&mut self.vars, &mut self.arena, &given)?;
        let started = Instant::now();
        loop {
            let begin = Instant::now();
            executable.run(&mut self.vars, &mut self.arena, &given)?;
            plain.push(begin.elapsed().as_secs_f64());

            let mut marks = Vec::with_capacity(executable.launches());
            self.pool.stints();
            self.pool.record(true);
            let begin = Instant::now();
            let done = executable.run_profiled(&mut self.vars, &mut self.arena, &given, &mut marks);
            let seconds = begin.elapsed().as_secs_f64();
            self.pool.record(false);
            done?;
            timed.push(seconds);
            let since = |then: Instant| then.saturating_duration_since(begin).as_secs_f64();
            let launches: Vec<Stretch> = marks
                .iter()
                .enumerate()
                .map(|(launch, [begin, end])| Stretch { launch, slot: 0, begin: since(*begin), end: since(*end) })
                .collect();
            let stints = self.pool.stints();
            let stints = stints.iter().filter(|s| s.begin >= begin).filter_map(|s| {
                let launch = marks.partition_point(|m| m[0] <= s.begin).checked_sub(1)?;
                Some(Stretch { launch, slot: s.slot, begin: since(s.begin), end: since(s.end) })
            });
            courses.push(Course { seconds, launches, threads: stints.collect() });
            let enough = match steps {
                Some(steps) => timed.len() >= steps,
                None => timed.len() >= FEWEST && (started.elapsed() > TIME || timed.len() >= MOST),
            };
            if enough {
                break;
            }
        }
        let bytes = traffic(&plan, &self.layout, &peaks.capacities());
        let launches = plan.schedule.launches.iter().zip(bytes).enumerate().map(|(i, (launch, bytes))| {
            let times = courses.iter().filter_map(|c| c.launches.get(i)).map(|l| l.end - l.begin).collect();
            let name = name(&plan, &launch.work);
            LaunchProfile { name, parts: launch.parts.clone(), flops: launch.flops, bytes, seconds: median(times) }
        });
        let launches = launches.collect();
        let between = courses.iter().map(|c| c.seconds - c.launches.iter().map(|l| l.end - l.begin).sum::<f64>());
        let between = median(between.collect());
        let (steps, step, timed_step) = (timed.len(), median(plain), median(timed));
        courses.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let middle = courses.len() / 2;
        let course = alone(courses.into_iter().nth(middle).unwrap_or_default());
        Ok(Profile { peaks, launches, steps, step, timed_step, between, course })
    }
}

/// A launch that no thread of the pool took part in was run by the calling thread.
fn alone(mut course: Course) -> Course {
    let mut shared = vec![false; course.launches.len()];
    course.threads.iter().for_each(|t| shared[t.launch] = true);
    course.threads.extend(course.launches.iter().filter(|l| !shared[l.launch]));
    course.threads.sort_by(|a, b| a.begin.total_cmp(&b.begin).then(a.slot.cmp(&b.slot)));
    course
}

/// What a launch runs, for people.
fn name(plan: &Plan, work: &Work) -> String {
    let kernel = |number: usize| plan.schedule.kernels.get(number).map_or("?", |k| k.name.as_str());
    let (name, epilogue) = match work {
        plan::Work::Loops { kernel: number, .. } => return kernel(*number).to_string(),
        plan::Work::Repeat(repeat) => {
            return format!("scan of {} steps of {} launches", repeat.count, repeat.body.schedule.launches.len());
        }
        plan::Work::Matmul { batch: 1, m, n, k, epilogue, .. } => (format!("matmul {m}x{n}x{k}"), epilogue),
        plan::Work::Matmul { batch, m, n, k, epilogue, .. } => (format!("matmul {batch}x{m}x{n}x{k}"), epilogue),
        plan::Work::Conv { pass, shape: s, epilogue, .. } => {
            let pass = match pass {
                ConvPass::Forward => "",
                ConvPass::InputGrad => ", input gradient",
                ConvPass::WeightGrad => ", weight gradient",
            };
            let [height, width] = s.size;
            (format!("conv {}x{}x{height}x{width}->{}{pass}", s.batch, s.in_channels, s.out_channels), epilogue)
        }
    };
    epilogue.as_ref().map_or(name.clone(), |e| format!("{name} + {}", kernel(e.kernel)))
}
