//! Every operation means the same on the processor as on the interpreter: its value, and the gradients that its rule gives,
//! over the table's samples and over random sizes.

use nnc::engine::bytes;
use nnc::engine::cpu::plan_graph;
use nnc::graph::{Builder, Graph, NodeId, Origin, Output, OutputKind, TensorType};
use nnc::interpreter::{Inputs, Interpreter, tensor};
use nnc::ops::{self, DType, GradientRule, Op, Reduce, Sample, TABLE, VarId, Window};
use nnc::plan::VarLayout;
use nnc::runtime::arena::{Arena, VarMemory};
use nnc::runtime::executable::{self, Executable};
use nnc::runtime::threads::Pool;
use nnc::{autodiff, opt};
use std::sync::Arc;

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
                DType::F32 => f64::from(x as f32),
                DType::F64 => x,
                DType::Bool => f64::from(u8::from(x > (domain.0 + domain.1) / 2.0)),
                _ => x.floor(),
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

/// Runs a graph on both targets and compares its results.
fn compare(what: &str, graph: &Graph<usize>, sample: &Sample, numbers: &mut Numbers) {
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
        clock: [3.0, 1.0, 100.0, 10.0],
        key: [7, 0, 3, 0],
        ..Inputs::default()
    };
    let expected = Interpreter::run(graph, &inputs).unwrap_or_else(|f| panic!("{what}: {}", f.message));
    let layout = VarLayout::default();
    let plan = match plan_graph(graph, &layout, 2, &mut Vec::new()) {
        Ok(plan) => plan,
        Err(fault) => panic!("{what}: {fault:?}"),
    };
    let mut executable = Executable::load(&plan, &layout, Arc::new(Pool::new(2))).expect("machine code");
    let (mut vars, mut arena) = (VarMemory::new(&layout), Arena::new(plan.arena_bytes));
    let given: Vec<Vec<u8>> = fields.iter().map(|(ty, e)| bytes::from_f64(ty.dtype, e.iter().copied())).collect();
    let slices: Vec<&[u8]> = given.iter().map(Vec::as_slice).collect();
    let clock = nnc::engine::ClockValues { step: 3, epoch: 1, steps: 100, epoch_steps: 10 };
    let step = executable::StepInputs { fields: &slices, clock, seed: 7 };
    executable.run(&mut vars, &mut arena, &step).expect("a step");
    for (output, (kind, value)) in graph.outputs.iter().zip(&expected) {
        let OutputKind::Value(i) = kind else { continue };
        let ty = graph.ty(output.node);
        let got = bytes::to_f64(ty.dtype, executable.value(&arena, *i).expect("a result"));
        assert_eq!(got.len(), ty.elements(), "{what}");
        let scale = value.iter().filter(|x| x.is_finite()).fold(0f64, |m, x| m.max(x.abs()));
        let tolerance = if ty.dtype == DType::F64 { 1e-12 } else { 3e-6 };
        for (at, (got, wanted)) in got.iter().zip(value.iter()).enumerate() {
            let close = (got - wanted).abs() <= tolerance * (1.0 + wanted.abs() + scale);
            let same = got == wanted || (got.is_nan() && wanted.is_nan());
            assert!(close || same, "{what}: element {at} is {got}, not {wanted}\n{}", nnc::graph::print(graph));
        }
    }
}

#[test]
fn every_sample_of_the_table() {
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
                compare(&what, &graph, &sample, &mut numbers);
                compared += 1;
            }
        }
    }
    assert!(compared > 150, "{compared}");
}

fn f32s(shape: &[usize]) -> TensorType<usize> {
    TensorType::new(DType::F32, shape.to_vec())
}

#[test]
fn convolutions_and_pools_of_random_sizes() {
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
                    compare(&format!("{name} {:?} gradient {gradient}", sample.op), &graph, &sample, &mut numbers);
                }
            }
        }
    }
}

#[test]
fn products_and_reductions_of_random_sizes() {
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
                    compare(&format!("{:?} {:?}", sample.op, sample.inputs), &graph, &sample, &mut numbers);
                }
            }
        }
    }
}
