//! Every operation means the same on the processor as on the interpreter: its value, and the gradients that its rule gives,
//! over the table's samples and over random sizes.

#[path = "common/on_device.rs"]
mod on_device;
#[path = "common/standin.rs"]
mod standin;
#[path = "common/target.rs"]
mod target;

use nnc::engine::cpu::plan_graph;
use nnc::engine::{Target, bytes};
use nnc::graph::{Builder, Graph, NodeId, Origin, Output, OutputKind, TensorType};
use nnc::interpreter::{Inputs, Interpreter, tensor};
use nnc::ops::{self, DType, GradientRule, Op, Reduce, Sample, TABLE, VarId, Window};
use nnc::plan::VarLayout;
use nnc::runtime::arena::{Arena, VarMemory};
use nnc::runtime::executable::{self, Executable};
use nnc::runtime::threads::Pool;
use nnc::{autodiff, opt};
use std::sync::Arc;
use target::tested;

/// Numbers that are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn within(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * (self.next() % 100_000) as f64 / 100_000.0
    }
}

/// A tensor's elements in a domain, exactly representable in its dtype.
fn elements(ty: &TensorType<usize>, domain: (f64, f64), numbers: &mut Numbers) -> Vec<f64> {
    (0..ty.elements())
        .map(|_| {
            let x = numbers.within(domain);
            match ty.dtype {
                DType::Bool => f64::from(u8::from(x > (domain.0 + domain.1) / 2.0)),
                d if d.is_float() => bytes::to_f64(d, &bytes::from_f64(d, [x].into_iter()))[0],
                d => bytes::to_f64(d, &bytes::from_f64(d, [x.floor()].into_iter()))[0],
            }
        })
        .collect()
}

/// The operation of a sample, and with `gradient` the gradients of a weighted sum of it.
fn graph_of(sample: &Sample, gradient: bool) -> Option<Graph<usize>> {
    let mut graph = Graph::default();
    let fields: Vec<NodeId> = (0..)
        .zip(&sample.inputs)
        .map(|(i, ty)| graph.push(Op::Field(i), vec![], ty.clone(), Origin::NOWHERE))
        .collect();
    let node = graph.try_add(sample.op.clone(), &fields, Origin::NOWHERE).ok()?;
    if !gradient {
        graph.outputs.push(Output { kind: OutputKind::Value(0), node });
        return Some(graph);
    }
    if !matches!(ops::def_of(&sample.op).gradient, GradientRule::Rule(_)) || !graph.ty(node).dtype.is_float() {
        return None;
    }
    let ty = graph.ty(node).clone();
    let weights = graph.push(Op::Field(fields.len() as u32), vec![], ty.clone(), Origin::NOWHERE);
    let b = Builder::new(&mut graph, Origin::NOWHERE);
    let loss = b.reduce(Reduce::Sum, b.mul(node, weights), &(0..ty.rank()).collect::<Vec<_>>());
    let wanted: Vec<NodeId> = fields.iter().copied().filter(|f| b.ty(*f).dtype.is_float()).collect();
    for (i, field) in wanted.iter().enumerate() {
        let node = graph.push(Op::Gradient, vec![loss, *field], graph.ty(*field).clone(), Origin::NOWHERE);
        graph.outputs.push(Output { kind: OutputKind::Value(i as u32), node });
    }
    Some(opt::optimise(autodiff::differentiate(graph).ok()?))
}

/// A graph with its inputs and what the interpreter makes of them.
struct Case {
    what: String,
    graph: Graph<usize>,
    fields: Vec<Vec<u8>>,
    expected: Vec<(u32, Vec<f64>)>,
}

const CLOCK: nnc::engine::ClockValues = nnc::engine::ClockValues { step: 3, epoch: 1, steps: 100, epoch_steps: 10 };
const SEED: u64 = 7;

/// Graphs that are to be compared: on the processor each at once, on a device many together.
struct Cases {
    target: Target,
    waiting: Vec<Case>,
}

impl Cases {
    fn new(target: Target) -> Cases {
        Cases { target, waiting: Vec::new() }
    }

    /// Runs a graph on both targets and compares its results, now or with others.
    fn compare(&mut self, what: &str, graph: &Graph<usize>, sample: &Sample, numbers: &mut Numbers) {
        let mut fields: Vec<(TensorType<usize>, Vec<f64>)> = Vec::new();
        for (ty, domain) in sample.inputs.iter().zip(&sample.domains) {
            fields.push((ty.clone(), elements(ty, *domain, numbers)));
        }
        // The weights of a gradient's sum are one field more.
        for node in &graph.nodes {
            if let Op::Field(i) = node.op
                && i as usize == fields.len()
            {
                fields.push((node.ty.clone(), elements(&node.ty, (-1.0, 1.0), numbers)));
            }
        }
        let inputs = Inputs {
            fields: fields.iter().map(|(ty, e)| tensor(&ty.shape, e.clone()).expect("a tensor")).collect(),
            clock: [CLOCK.step, CLOCK.epoch, CLOCK.steps, CLOCK.epoch_steps].map(|n| n as f64),
            key: [SEED as u32, 0, CLOCK.step as u32, 0],
            ..Inputs::default()
        };
        let expected = Interpreter::run(graph, &inputs).unwrap_or_else(|f| panic!("{what}: {}", f.message));
        let values = expected.iter().filter_map(|(kind, value)| match kind {
            OutputKind::Value(i) => Some((*i, value.iter().copied().collect())),
            _ => None,
        });
        let expected = values.collect();
        let fields = fields.iter().map(|(ty, e)| bytes::from_f64(ty.dtype, e.iter().copied())).collect();
        self.waiting.push(Case { what: what.to_string(), graph: graph.clone(), fields, expected });
        if self.target != Target::Cuda || self.waiting.len() == 96 {
            self.finish();
        }
    }

    /// Runs what waits.
    fn finish(&mut self) {
        let cases = std::mem::take(&mut self.waiting);
        if self.target != Target::Cuda {
            cases.iter().for_each(|case| case.agrees(&case.on_the_processor()));
            return;
        }
        let graphs: Vec<(&Graph<usize>, &[Vec<u8>])> = cases.iter().map(|c| (&c.graph, &c.fields[..])).collect();
        let mut results = match on_device::run(&graphs, CLOCK, SEED) {
            Ok(results) => results.into_iter().map(|(dtype, b)| bytes::to_f64(dtype, &b)),
            Err(why) if cases.len() == 1 => panic!("{}: {why}\n{}", cases[0].what, nnc::graph::print(&cases[0].graph)),
            // One of them: alone they tell which.
            Err(_) => {
                for case in cases {
                    self.waiting = vec![case];
                    self.finish();
                }
                panic!("graphs that work alone do not work together");
            }
        };
        for case in &cases {
            let count = case.expected.iter().map(|(i, _)| *i as usize + 1).max().unwrap_or(0);
            case.agrees(&results.by_ref().take(count).collect::<Vec<_>>());
        }
    }
}

impl Case {
    /// Every result.
    fn on_the_processor(&self) -> Vec<Vec<f64>> {
        let layout = VarLayout::default();
        let plan = match plan_graph(&self.graph, &layout, 2, true, &mut Vec::new()) {
            Ok(plan) => plan,
            Err(fault) => panic!("{}: {fault:?}", self.what),
        };
        let mut executable = Executable::load(&plan, &layout, Arc::new(Pool::new(2))).expect("machine code");
        let (mut vars, mut arena) = (VarMemory::new(&layout), Arena::new(plan.arena_bytes));
        let slices: Vec<&[u8]> = self.fields.iter().map(Vec::as_slice).collect();
        let step = executable::StepInputs { fields: &slices, clock: CLOCK, seed: SEED };
        executable.run(&mut vars, &mut arena, &step).expect("a step");
        let of =
            |i: u32| self.graph.outputs.iter().find(|o| o.kind == OutputKind::Value(i)).map(|o| self.graph.ty(o.node));
        let values = (0..).map_while(|i| Some((i, of(i)?.dtype)));
        values.map(|(i, dtype)| bytes::to_f64(dtype, executable.value(&arena, i).expect("a result"))).collect()
    }

    fn agrees(&self, results: &[Vec<f64>]) {
        let (what, graph) = (&self.what, &self.graph);
        for output in &graph.outputs {
            let OutputKind::Value(i) = output.kind else { continue };
            let ty = graph.ty(output.node);
            let got = &results[i as usize];
            let value = &self.expected.iter().find(|(n, _)| *n == i).expect("the interpreter's").1;
            assert_eq!(got.len(), ty.elements(), "{what}");
            let scale = value.iter().filter(|x| x.is_finite()).fold(0f64, |m, x| m.max(x.abs()));
            let halves = graph.nodes.iter().any(|n| n.ty.dtype.is_half());
            let tolerance = match ty.dtype {
                DType::F64 if !graph.nodes.iter().any(|n| n.ty.dtype == DType::F32 || n.ty.dtype.is_half()) => 1e-12,
                // Numbers on either side of a middle are rounded apart, and what is computed of them drifts.
                DType::BF16 => 3e-2,
                DType::F16 => 4e-3,
                _ if halves => 3e-2,
                _ => 3e-6,
            };
            for (at, (got, wanted)) in got.iter().zip(value.iter()).enumerate() {
                let close = (got - wanted).abs() <= tolerance * (1.0 + wanted.abs() + scale);
                let same = got == wanted || (got.is_nan() && wanted.is_nan());
                assert!(close || same, "{what}: element {at} is {got}, not {wanted}\n{}", nnc::graph::print(graph));
            }
        }
    }
}

/// Every sample and its gradient, on a target.
fn samples_of_the_table(target: Target) {
    let mut cases = Cases::new(target);
    let mut numbers = Numbers(1);
    let mut compared = 0;
    for def in TABLE.iter() {
        for sample in (def.samples)() {
            for gradient in [false, true] {
                // Variables have no value here, and declared types any.
                if matches!(sample.op, Op::Read(VarId(_)) | Op::Field(_) | Op::Gradient) {
                    continue;
                }
                let Some(graph) = graph_of(&sample, gradient) else { continue };
                let what = format!("{} {:?} gradient {gradient}", def.name, sample.inputs);
                cases.compare(&what, &graph, &sample, &mut numbers);
                compared += 1;
            }
        }
    }
    cases.finish();
    assert!(compared > 150, "{compared}");
}

#[test]
fn every_sample_of_the_table() {
    samples_of_the_table(tested());
}

#[test]
fn every_sample_of_the_table_on_the_stand_in_device() {
    if standin::inside("every_sample_of_the_table_on_the_stand_in_device", &[("SEED", "3"), ("CHECK", "1")]) {
        samples_of_the_table(Target::Cuda);
    }
}

/// The sample with its f32 operands (or, if it has none, its i32 ones) in another dtype, if the operation admits that.
fn in_dtype(sample: &Sample, dtype: DType) -> Option<Sample> {
    let from = [DType::F32, DType::I32].into_iter().find(|d| sample.inputs.iter().any(|ty| ty.dtype == *d))?;
    let mut inputs = sample.inputs.clone();
    inputs.iter_mut().filter(|ty| ty.dtype == from).for_each(|ty| ty.dtype = dtype);
    ops::infer_concrete(&sample.op, &inputs).ok()?;
    Some(Sample { op: sample.op.clone(), inputs, domains: sample.domains.clone() })
}

#[test]
fn every_sample_in_every_dtype_that_it_admits() {
    let mut cases = Cases::new(tested());
    let mut numbers = Numbers(4);
    let mut compared = [0; 9];
    for def in TABLE.iter() {
        for sample in (def.samples)() {
            if matches!(sample.op, Op::Read(VarId(_)) | Op::Field(_) | Op::Gradient | Op::Uniform { .. } | Op::Cast) {
                continue;
            }
            for dtype in DType::ALL.into_iter().filter(|d| *d != DType::F32) {
                let Some(sample) = in_dtype(&sample, dtype) else { continue };
                for gradient in [false, true] {
                    let Some(graph) = graph_of(&sample, gradient) else { continue };
                    let what = format!("{} {:?} gradient {gradient}", def.name, sample.inputs);
                    cases.compare(&what, &graph, &sample, &mut numbers);
                    compared[dtype as usize] += 1;
                }
            }
        }
    }
    cases.finish();
    for dtype in DType::ALL.into_iter().filter(|d| *d != DType::F32) {
        let least = if dtype.is_float() { 150 } else { 30 };
        assert!(compared[dtype as usize] > least, "{dtype}: {compared:?}");
    }
}

#[test]
fn casts_from_every_dtype_to_every_dtype() {
    let mut cases = Cases::new(tested());
    let mut numbers = Numbers(5);
    for from in DType::ALL {
        for to in DType::ALL {
            for size in [1, 4, 7, 130] {
                let mut graph = Graph::default();
                let ty = TensorType::new(from, vec![size]);
                let x = graph.push(Op::Field(0), vec![], ty.clone(), Origin::NOWHERE);
                let node = graph.push(Op::Cast, vec![x], TensorType::new(to, vec![size]), Origin::NOWHERE);
                graph.outputs.push(Output { kind: OutputKind::Value(0), node });
                let sample = Sample { op: Op::Cast, inputs: vec![ty], domains: vec![(-300.0, 300.0)] };
                cases.compare(&format!("{from} to {to}"), &graph, &sample, &mut numbers);
            }
        }
    }
    cases.finish();
}

#[test]
fn sums_of_halves_keep_what_each_step_would_lose() {
    // 4096 ones in bf16: added one by one and rounded, they would stop at 256.
    for dtype in [DType::BF16, DType::F16] {
        let mut graph = Graph::default();
        let ty = TensorType::new(dtype, vec![4096]);
        let x = graph.push(Op::Field(0), vec![], ty.clone(), Origin::NOWHERE);
        let b = Builder::new(&mut graph, Origin::NOWHERE);
        let node = b.sum(x, &[0]);
        graph.outputs.push(Output { kind: OutputKind::Value(0), node });
        let inputs = Inputs { fields: vec![tensor(&[4096], vec![1.0; 4096]).expect("a tensor")], ..Inputs::default() };
        let sum = Interpreter::run(&graph, &inputs).expect("a sum");
        assert_eq!(sum[0].1.sum(), 4096.0);
        let plan = plan_graph(&graph, &VarLayout::default(), 1, true, &mut Vec::new()).expect("a plan");
        let layout = VarLayout::default();
        let mut executable = Executable::load(&plan, &layout, Arc::new(Pool::new(1))).expect("machine code");
        let (mut vars, mut arena) = (VarMemory::new(&layout), Arena::new(plan.arena_bytes));
        let ones = bytes::from_f64(dtype, std::iter::repeat_n(1.0, 4096));
        let step = executable::StepInputs { fields: &[&ones], ..Default::default() };
        executable.run(&mut vars, &mut arena, &step).expect("a step");
        assert_eq!(executable.scalar(&arena, 0), Some(4096.0));
    }
}

#[test]
fn convolutions_in_other_floats() {
    let mut cases = Cases::new(tested());
    let mut numbers = Numbers(6);
    for dtype in [DType::F64, DType::BF16, DType::F16] {
        for round in 0..12 {
            let groups = 1 + round % 2;
            let [batch, channels, out] =
                [1 + numbers.below(3), groups * (1 + numbers.below(3)), groups * (1 + numbers.below(4))];
            let kernel = [1 + numbers.below(3), 1 + numbers.below(4)];
            let size = [kernel[0] * 2 + numbers.below(7), kernel[1] * 2 + numbers.below(7)];
            let window = Window {
                kernel: kernel.to_vec(),
                stride: vec![1 + numbers.below(3), 1 + numbers.below(2)],
                dilation: vec![1 + numbers.below(2), 1],
                pad_low: vec![numbers.below(3), numbers.below(2)],
                pad_high: vec![numbers.below(2), numbers.below(3)],
            };
            let ty = |shape: &[usize]| TensorType::new(dtype, shape.to_vec());
            let sample = Sample {
                op: Op::Conv { window, groups },
                inputs: vec![
                    ty(&[batch, channels, size[0], size[1]]),
                    ty(&[out, channels / groups, kernel[0], kernel[1]]),
                ],
                domains: vec![(-1.0, 1.0), (-1.0, 1.0)],
            };
            for gradient in [false, true] {
                if let Some(graph) = graph_of(&sample, gradient) {
                    cases.compare(
                        &format!("{:?} of {dtype} gradient {gradient}", sample.op),
                        &graph,
                        &sample,
                        &mut numbers,
                    );
                }
            }
        }
    }
    cases.finish();
}

fn f32s(shape: &[usize]) -> TensorType<usize> {
    TensorType::new(DType::F32, shape.to_vec())
}

#[test]
fn convolutions_and_pools_of_random_sizes() {
    let mut cases = Cases::new(tested());
    let mut numbers = Numbers(2);
    for round in 0..60 {
        let [batch, channels, out] = [1 + numbers.below(4), 1 + numbers.below(5), 1 + numbers.below(17)];
        let kernel = [1 + numbers.below(4), 1 + numbers.below(4)];
        let pad = [numbers.below(3), numbers.below(3)];
        let size = [kernel[0] + numbers.below(12), kernel[1] + numbers.below(12)];
        let stride = [1 + numbers.below(3), 1 + numbers.below(3)];
        let window = |pad: [usize; 2], stride: [usize; 2]| Window {
            kernel: kernel.to_vec(),
            stride: stride.to_vec(),
            dilation: vec![1, 1],
            pad_low: pad.to_vec(),
            pad_high: pad.to_vec(),
        };
        let x = f32s(&[batch, channels, size[0], size[1]]);
        let conv = Sample {
            op: Op::Conv { window: window(pad, stride), groups: 1 },
            inputs: vec![x.clone(), f32s(&[out, channels, kernel[0], kernel[1]])],
            domains: vec![(-1.0, 1.0), (-1.0, 1.0)],
        };
        let small = [pad[0].min(kernel[0] / 2), pad[1].min(kernel[1] / 2)];
        let exact = round % 2 == 0;
        let step = if exact { kernel } else { stride };
        let pool = Sample {
            op: Op::MaxPool { window: window(small, step) },
            inputs: vec![x.clone()],
            domains: vec![(-1.0, 1.0)],
        };
        let sum =
            Sample { op: Op::SumPool { window: window(small, step) }, inputs: vec![x], domains: vec![(-1.0, 1.0)] };
        for (name, sample) in [("conv", conv), ("max_pool", pool), ("sum_pool", sum)] {
            for gradient in [false, true] {
                if let Some(graph) = graph_of(&sample, gradient) {
                    cases.compare(
                        &format!("{name} {:?} gradient {gradient}", sample.op),
                        &graph,
                        &sample,
                        &mut numbers,
                    );
                }
            }
        }
    }
    cases.finish();
}

#[test]
fn products_and_reductions_of_random_sizes() {
    let mut cases = Cases::new(tested());
    let mut numbers = Numbers(3);
    for _ in 0..60 {
        let [b, m, k, n] = [1 + numbers.below(3), 1 + numbers.below(40), 1 + numbers.below(40), 1 + numbers.below(40)];
        let matmul = Sample {
            op: Op::Matmul { batch: 1 },
            inputs: vec![f32s(&[b, m, k]), f32s(&[b, k, n])],
            domains: vec![(-1.0, 1.0), (-1.0, 1.0)],
        };
        let axes: Vec<usize> = (0..3).filter(|_| numbers.below(2) == 0).collect();
        let op = [Reduce::Sum, Reduce::Max, Reduce::Min, Reduce::Prod][numbers.below(4)];
        let reduce = Sample { op: Op::Reduce { op, axes }, inputs: vec![f32s(&[b, m, k])], domains: vec![(0.5, 1.5)] };
        for sample in [matmul, reduce] {
            for gradient in [false, true] {
                if let Some(graph) = graph_of(&sample, gradient) {
                    cases.compare(&format!("{:?} {:?}", sample.op, sample.inputs), &graph, &sample, &mut numbers);
                }
            }
        }
    }
    cases.finish();
}
