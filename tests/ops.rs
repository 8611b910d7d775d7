//! The op table holds what it promises: for every record and each of its samples.

#[path = "common/probe.rs"]
mod probe;

use nnc::autodiff::differentiate;
use nnc::graph::{Graph, NodeId, Origin, Output, OutputKind, TensorType, parse, print_with_origins, verify};
use nnc::interpreter::{Inputs, Interpreter, Tensor, tensor};
use nnc::ops::{self, Binary, Compare, DType, GradientRule, Op, OpDef, Reduce, Sample, TABLE, Unary, VarId, Window};
use probe::probe;

/// A graph of one operation over fields.
fn graph_of(sample: &Sample) -> Graph<usize> {
    let mut graph = Graph::default();
    let fields: Vec<NodeId> = (0..)
        .zip(&sample.inputs)
        .map(|(i, ty)| graph.push(Op::Field(i), vec![], ty.clone(), Origin::NOWHERE))
        .collect();
    let node = match graph.try_add(sample.op.clone(), &fields, Origin::NOWHERE) {
        Ok(node) => node,
        // Declared types: any will do.
        Err(_) if matches!(sample.op, Op::Read(_) | Op::Field(_)) => {
            let ty = TensorType::new(DType::F32, vec![2, 3]);
            graph.push(sample.op.clone(), fields, ty, Origin::NOWHERE)
        }
        Err(fault) => panic!("{:?} of {:?}: {fault:?}", sample.op, sample.inputs),
    };
    graph.outputs.push(Output { kind: OutputKind::Value(0), node });
    graph
}

fn all_samples() -> impl Iterator<Item = (&'static OpDef, Sample)> {
    TABLE.iter().flat_map(|def| (def.samples)().into_iter().map(|sample| (*def, sample)))
}

#[test]
fn every_record_is_complete() {
    let mut names = Vec::new();
    let mut surfaces = Vec::new();
    for def in TABLE.iter() {
        assert!(!names.contains(&def.name), "two records `{}`", def.name);
        names.push(def.name);
        assert!(def.doc.len() > 4 && def.doc.contains(['.', ';']), "{}: no documentation", def.name);
        assert!(!def.doc.contains("  "), "{}: a line break went into the text", def.name);
        match def.gradient {
            GradientRule::Rule(_) => {}
            GradientRule::None(why) | GradientRule::Missing(why) => assert!(!why.is_empty(), "{}", def.name),
        }
        let samples = (def.samples)();
        // These stand only in or around a body: `tests/scan` and `tests/forms` show them.
        let has_body = ["scan", "scan_result", "parameter", "custom_gradient"].contains(&def.name);
        assert!(!samples.is_empty() || has_body, "{}: no samples", def.name);
        for sample in samples {
            assert_eq!(ops::def_of(&sample.op).name, def.name);
            assert_eq!(sample.inputs.len(), sample.domains.len(), "{}", def.name);
        }
        for surface in def.surfaces {
            assert!(!surfaces.contains(&surface.name), "two surfaces `{}`", surface.name);
            surfaces.push(surface.name);
            assert_eq!(ops::surface(surface.name).map(|(d, _)| d.name), Some(def.name));
        }
    }
}

#[test]
fn families_stand_in_order() {
    let family = |op: Op<usize>, name: &str| assert_eq!(ops::def_of(&op).name, name);
    Unary::ALL.iter().for_each(|u| family(Op::Unary(*u), u.name()));
    Compare::ALL.iter().for_each(|c| family(Op::Compare(*c), c.name()));
    Reduce::ALL.iter().for_each(|r| family(Op::Reduce { op: *r, axes: vec![] }, r.name()));
    for b in Binary::ALL {
        // The reductions have the short names.
        let name = match b {
            Binary::Max => "maximum",
            Binary::Min => "minimum",
            other => other.name(),
        };
        family(Op::Binary(*b), name);
    }
}

#[test]
fn samples_make_sound_graphs_and_survive_text() {
    for (def, sample) in all_samples() {
        let graph = graph_of(&sample);
        assert_eq!(verify(&graph), Ok(()), "{}", def.name);
        let text = print_with_origins(&graph);
        match parse(&text) {
            Ok(again) => assert_eq!(again, graph, "{text}"),
            Err(error) => panic!("{error}\n{text}"),
        }
    }
}

// ---- the interpreter and the gradients ----

/// A small generator of its own, so that failures repeat.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn tensor(&mut self, ty: &TensorType<usize>, (low, high): (f64, f64)) -> Tensor {
        let whole = !ty.dtype.is_float();
        let mut draw = || {
            let v = low + (high - low) * self.unit();
            if whole { v.floor() } else { v }
        };
        tensor(&ty.shape, (0..ty.elements()).map(|_| draw()).collect()).expect("as many elements as the shape has")
    }
}

fn inputs_of(sample: &Sample, random: &mut Random) -> Inputs {
    let fields = sample.inputs.iter().zip(&sample.domains).map(|(ty, domain)| random.tensor(ty, *domain)).collect();
    let vars = [(VarId(0), random.tensor(&TensorType::new(DType::F32, vec![2, 3]), (-1.0, 1.0)))].into();
    Inputs { fields, vars, clock: [3.0, 1.0, 10.0, 5.0], key: [1, 2, 3, 4] }
}

fn run(graph: &Graph<usize>, inputs: &Inputs) -> Vec<Tensor> {
    match Interpreter::run(graph, inputs) {
        Ok(outputs) => outputs.into_iter().map(|(_, value)| value).collect(),
        Err(fault) => panic!("{fault:?}\n{}", nnc::graph::print(graph)),
    }
}

#[test]
fn results_have_the_inferred_shapes() {
    let mut random = Random(1);
    for (def, sample) in all_samples() {
        if matches!(sample.op, Op::Gradient) {
            continue;
        }
        let graph = graph_of(&sample);
        let mut inputs = inputs_of(&sample, &mut random);
        if sample.op == Op::Field(0) {
            inputs.fields = vec![inputs.vars[&VarId(0)].clone()];
        }
        let node = graph.outputs[0].node;
        // The interpreter itself compares the shape of every node.
        let value = &run(&graph, &inputs)[0];
        assert_eq!(value.shape(), graph.ty(node).shape, "{}", def.name);
        assert!(value.iter().all(|v| v.is_finite()), "{}: {value}", def.name);
        if !graph.ty(node).dtype.is_float() {
            assert!(value.iter().all(|v| v.fract() == 0.0), "{}: {value}", def.name);
        }
    }
}

/// Compares the gradients of the scalar output by every float field with central differences.
fn check_gradients(what: &str, graph: &Graph<usize>, loss: NodeId, inputs: &Inputs) {
    let fields: Vec<NodeId> =
        graph.ids().filter(|id| matches!(graph.node(*id).op, Op::Field(_)) && graph.ty(*id).dtype.is_float()).collect();
    let mut with = graph.clone();
    with.outputs.clear();
    for (place, field) in (0..).zip(&fields) {
        let node = with.add(Op::Gradient, &[loss, *field], Origin::NOWHERE);
        with.outputs.push(Output { kind: OutputKind::Value(place), node });
    }
    let expanded = match differentiate(with) {
        Ok(expanded) => expanded,
        Err(none) => panic!("{what}: {none:?}"),
    };
    assert_eq!(verify(&expanded), Ok(()), "{what}");
    assert!(expanded.nodes.iter().all(|node| node.op != Op::Gradient));
    let found = run(&expanded, inputs);
    let mut forward = graph.clone();
    forward.outputs = vec![Output { kind: OutputKind::Value(0), node: loss }];
    let value = |inputs: &Inputs| run(&forward, inputs)[0].sum();
    for (field, gradient) in fields.iter().zip(&found) {
        let Op::Field(index) = graph.node(*field).op else { continue };
        for (place, analytic) in gradient.iter().enumerate() {
            let step = 1e-5;
            let at = |delta: f64| {
                let mut moved = inputs.clone();
                if let Some(v) = moved.fields[index as usize].iter_mut().nth(place) {
                    *v += delta;
                }
                value(&moved)
            };
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            let tolerance = 2e-6 * (1.0 + numeric.abs() + analytic.abs());
            assert!(
                (numeric - analytic).abs() <= tolerance,
                "{what}: by field {index} at {place}: derived {analytic}, measured {numeric}"
            );
        }
    }
}

fn has_rule(def: &OpDef) -> bool {
    matches!(def.gradient, GradientRule::Rule(_))
}

#[test]
fn gradients_agree_with_differences() {
    let mut random = Random(2);
    for (def, sample) in all_samples().filter(|(def, _)| has_rule(def)) {
        let graph = graph_of(&sample);
        let node = graph.outputs[0].node;
        if !graph.ty(node).dtype.is_float() {
            continue;
        }
        for round in 0..3 {
            let mut graph = graph.clone();
            let loss = probe(&mut graph, node, f64::from(round));
            check_gradients(def.name, &graph, loss, &inputs_of(&sample, &mut random));
        }
    }
}

#[test]
fn gradients_have_gradients() {
    let mut random = Random(3);
    for (def, sample) in all_samples().filter(|(def, _)| has_rule(def)) {
        let mut graph = graph_of(&sample);
        let node = graph.outputs[0].node;
        if !graph.ty(node).dtype.is_float() || def.name == "max_pool" {
            continue;
        }
        // Squared, so that even linear operations have a second derivative.
        let square = graph.add(Op::Binary(Binary::Mul), &[node, node], Origin::NOWHERE);
        let first = probe(&mut graph, square, 0.5);
        let fields: Vec<NodeId> = graph
            .ids()
            .filter(|id| matches!(graph.node(*id).op, Op::Field(_)) && graph.ty(*id).dtype.is_float())
            .collect();
        let Some(field) = fields.first() else { continue };
        let gradient = graph.add(Op::Gradient, &[first, *field], Origin::NOWHERE);
        let second = probe(&mut graph, gradient, 1.5);
        let mut inner = graph.clone();
        inner.outputs = vec![Output { kind: OutputKind::Value(0), node: second }];
        // Central differences need the inner gradient as ordinary nodes.
        let inner = match differentiate(inner) {
            Ok(inner) => inner,
            Err(none) => panic!("{}: {none:?}", def.name),
        };
        let loss = inner.outputs[0].node;
        check_gradients(def.name, &inner, loss, &inputs_of(&sample, &mut random));
    }
}

#[test]
fn second_derivative_of_max_pooling_is_an_error() {
    let (_, sample) = all_samples().find(|(def, _)| def.name == "max_pool").expect("there are samples");
    let mut graph = graph_of(&sample);
    let pooled = graph.outputs[0].node;
    let first = probe(&mut graph, pooled, 0.0);
    let gradient = graph.add(Op::Gradient, &[first, NodeId(0)], Origin::NOWHERE);
    let square = graph.add(Op::Binary(Binary::Mul), &[gradient, gradient], Origin::NOWHERE);
    let second = probe(&mut graph, square, 0.0);
    let outer = graph.add(Op::Gradient, &[second, NodeId(0)], Origin::NOWHERE);
    graph.outputs = vec![Output { kind: OutputKind::Value(0), node: outer }];
    let none = differentiate(graph).expect_err("no silent zero");
    assert_eq!(none.op, "max_pool_grad");
}

/// The gradient of `sum(op(fields))` by the first field.
fn gradient_of(op: Op<usize>, fields: Vec<Tensor>) -> Vec<f64> {
    let mut graph: Graph<usize> = Graph::default();
    let nodes: Vec<NodeId> = (0..)
        .zip(&fields)
        .map(|(i, v)| {
            let ty = TensorType::new(DType::F32, v.shape().to_vec());
            graph.push(Op::Field(i), vec![], ty, Origin::NOWHERE)
        })
        .collect();
    let y = graph.add(op, &nodes, Origin::NOWHERE);
    let axes = (0..graph.ty(y).rank()).collect();
    let loss = graph.add(Op::Reduce { op: Reduce::Sum, axes }, &[y], Origin::NOWHERE);
    let node = graph.add(Op::Gradient, &[loss, nodes[0]], Origin::NOWHERE);
    graph.outputs.push(Output { kind: OutputKind::Value(0), node });
    let graph = differentiate(graph).expect("there are rules");
    run(&graph, &Inputs { fields, ..Inputs::default() })[0].iter().copied().collect()
}

#[test]
fn gradients_at_kinks_are_those_of_pytorch() {
    let list = |v: &[f64]| tensor(&[v.len()], v.to_vec()).expect("as many elements as the shape has");
    let reduce = |op, v: &[f64]| gradient_of(Op::Reduce { op, axes: vec![0] }, vec![list(v)]);
    let binary = |op, a: &[f64], b: &[f64]| gradient_of(Op::Binary(op), vec![list(a), list(b)]);
    assert_eq!(reduce(Reduce::Max, &[1.0, 4.0, 4.0, -1.0]), [0.0, 0.5, 0.5, 0.0]);
    assert_eq!(reduce(Reduce::Min, &[2.0, 2.0, 2.0, 2.0]), [0.25; 4]);
    assert_eq!(reduce(Reduce::Prod, &[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
    assert_eq!(reduce(Reduce::Prod, &[2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]);
    assert_eq!(reduce(Reduce::Prod, &[0.0, 0.0, 4.0]), [0.0; 3]);
    assert_eq!(binary(Binary::Max, &[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]), [0.0, 0.5, 1.0]);
    assert_eq!(binary(Binary::Min, &[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]), [1.0, 0.5, 0.0]);
    assert_eq!(binary(Binary::Pow, &[0.0, 0.0, 3.0], &[0.0, 1.0, 2.0]), [0.0, 1.0, 6.0]);
    assert_eq!(binary(Binary::Atan2, &[0.0], &[0.0]), [0.0]);
    assert_eq!(gradient_of(Op::Unary(Unary::Abs), vec![list(&[-2.0, 0.0, 2.0])]), [-1.0, 0.0, 1.0]);
    assert_eq!(gradient_of(Op::Unary(Unary::Floor), vec![list(&[-2.5, 0.5])]), [0.0, 0.0]);
    // The first of equals takes it all, as in PyTorch's pooling.
    let window =
        nnc::ops::Window { kernel: vec![2], stride: vec![2], dilation: vec![1], pad_low: vec![0], pad_high: vec![0] };
    assert_eq!(gradient_of(Op::MaxPool { window }, vec![list(&[5.0, 5.0, 1.0, 2.0])]), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn the_same_variable_read_twice_is_one() {
    let text = "%0 = read var=7 : f32[2]
%1 = read var=7 : f32[2]
%2 = mul(%0, %1) : f32[2]
%3 = sum(%2) axes=[0] : f32[]
%4 = gradient(%3, %1) : f32[2]
%5 = stop_gradient(%3) : f32[]
%6 = gradient(%5, %0) : f32[2]
value 0 = %4
value 1 = %6
";
    let graph = differentiate(parse(text).expect("a graph")).expect("there are rules");
    let value = tensor(&[2], vec![3.0, -1.0]).expect("two elements");
    let outputs = run(&graph, &Inputs { vars: [(VarId(7), value)].into(), ..Inputs::default() });
    assert_eq!(outputs[0].iter().copied().collect::<Vec<_>>(), [6.0, -2.0]);
    assert_eq!(outputs[1].iter().copied().collect::<Vec<_>>(), [0.0, 0.0]);
}

/// Windows, groups and sizes at random, as far as they fit.
fn random_window(random: &mut Random, axes: usize) -> (Window<usize>, Vec<usize>) {
    let mut below = |n: usize| (random.unit() * n as f64) as usize;
    loop {
        let mut list = |low: usize, n: usize| (0..axes).map(|_| low + below(n)).collect::<Vec<_>>();
        let (kernel, stride, dilation) = (list(1, 3), list(1, 3), list(1, 2));
        let (pad_low, pad_high, size) = (list(0, 2), list(0, 2), list(1, 6));
        let fits = |i: usize| {
            let most = kernel[i] / 2;
            size[i] + pad_low[i] + pad_high[i] > dilation[i] * (kernel[i] - 1)
                && pad_low[i] <= most
                && pad_high[i] <= most
        };
        if (0..axes).all(fits) {
            return (Window { kernel, stride, dilation, pad_low, pad_high }, size);
        }
    }
}

#[test]
fn random_windows_have_their_shapes_and_gradients() {
    let mut random = Random(4);
    for round in 0..60 {
        let axes = 1 + round % 3;
        let (window, size) = random_window(&mut random, axes);
        let groups = 1 + round % 2;
        let x = [vec![1 + round % 2, 2 * groups], size].concat();
        let weight = [vec![groups, 2], window.kernel.clone()].concat();
        let conv = (Op::Conv { window: window.clone(), groups }, vec![x.clone(), weight]);
        let max = (Op::MaxPool { window: window.clone() }, vec![x.clone()]);
        let sum = (Op::SumPool { window }, vec![x]);
        for (op, shapes) in [conv, max, sum] {
            let domains = vec![(-1.0, 1.0); shapes.len()];
            let inputs = shapes.into_iter().map(|shape| TensorType::new(DType::F32, shape)).collect();
            let sample = Sample { op, inputs, domains };
            let mut graph = graph_of(&sample);
            let node = graph.outputs[0].node;
            let loss = probe(&mut graph, node, 0.25);
            check_gradients(&format!("{:?}", sample.op), &graph, loss, &inputs_of(&sample, &mut random));
        }
    }
}

#[test]
fn costs() {
    let cost = |op: Op<usize>, inputs: &[&[usize]]| {
        let types: Vec<_> = inputs.iter().map(|shape| TensorType::new(DType::F32, shape.to_vec())).collect();
        let ty = ops::infer_concrete(&op, &types).expect("they fit");
        (ops::def_of(&op).flops)(&op, &types, &ty)
    };
    assert_eq!(cost(Op::Matmul { batch: 1 }, &[&[5, 2, 3], &[5, 3, 4]]), 2 * 5 * 2 * 3 * 4);
    assert_eq!(cost(Op::Unary(Unary::Exp), &[&[3, 4]]), 12);
    assert_eq!(cost(Op::Reduce { op: Reduce::Sum, axes: vec![0] }, &[&[3, 4]]), 12);
    assert_eq!(cost(Op::Reshape { shape: vec![12] }, &[&[3, 4]]), 0);
    let window = Window {
        kernel: vec![3, 3],
        stride: vec![1, 1],
        dilation: vec![1, 1],
        pad_low: vec![1, 1],
        pad_high: vec![1, 1],
    };
    let conv = Op::Conv { window, groups: 2 };
    assert_eq!(cost(conv, &[&[2, 4, 5, 6], &[8, 2, 3, 3]]), 2 * (2 * 8 * 5 * 6) * (2 * 9));
    for (def, sample) in all_samples() {
        if let Ok(ty) = ops::infer_concrete(&sample.op, &sample.inputs) {
            let flops = (def.flops)(&sample.op, &sample.inputs, &ty);
            let works = matches!(def.lowering, ops::Lowering::Reduce | ops::Lowering::Nest | ops::Lowering::Kernel);
            assert!(!works || flops > 0, "{}: {:?} costs nothing", def.name, sample.op);
        }
    }
}

#[test]
fn what_the_interpreter_cannot_run_is_a_fault_with_its_place() {
    let take = "%0 = field index=0 : f32[3, 2]
%1 = field index=1 : i32[2]
%2 = take(%0, %1) axis=0 : f32[2, 2] @0:7-9/0
value 0 = %2
";
    let graph = parse(take).expect("a graph");
    let list = |shape: &[usize], values: &[f64]| tensor(shape, values.to_vec()).expect("they fit");
    let rows = list(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let run = |fields| Interpreter::run(&graph, &Inputs { fields, ..Inputs::default() });
    let taken = run(vec![rows.clone(), list(&[2], &[2.0, 0.0])]).expect("both are inside");
    assert_eq!(taken[0].1.iter().copied().collect::<Vec<_>>(), [4.0, 5.0, 0.0, 1.0]);
    for outside in [3.0, -1.0] {
        let fault = run(vec![rows.clone(), list(&[2], &[0.0, outside])]).expect_err("it is outside");
        assert_eq!(fault.message, format!("index {outside} is outside 0..3"));
        assert_eq!((fault.node, fault.origin.span.start), (NodeId(2), 7));
    }
    assert_eq!(run(vec![]).expect_err("nothing given").message, "field 0 has no value");
    let fault = run(vec![rows.clone(), list(&[3], &[0.0; 3])]).expect_err("another shape");
    assert_eq!(fault.message, "`field` gave shape [3] instead of i32[2]");
    let gradient = "%0 = field index=0 : f32[]\n%1 = gradient(%0, %0) : f32[]\nvalue 0 = %1";
    let inputs = Inputs { fields: vec![list(&[], &[1.0])], ..Inputs::default() };
    assert!(Interpreter::run(&parse(gradient).expect("a graph"), &inputs).is_err());
}
