//! Random graphs: text comes back, gradients agree with differences, and no pass changes what is computed.

use nnc::autodiff::differentiate;
use nnc::graph::{Builder, Graph, NodeId, Origin, Output, OutputKind, TensorType, parse, print_with_origins, verify};
use nnc::interpreter::{Inputs, Interpreter, Tensor, tensor};
use nnc::ops::{Binary, Compare, DType, Op, Reduce, Unary};
use nnc::opt::{cse, dce, optimise, simplify};

/// A small generator of its own, so that failures repeat.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A random operation over the nodes so far, all of them floats.
fn grow(graph: &mut Graph<usize>, random: &mut Random) {
    let any = |random: &mut Random, graph: &Graph<usize>| {
        let floats: Vec<NodeId> = graph.ids().filter(|id| graph.ty(*id).dtype == DType::F32).collect();
        // Often the last: rules are about chains.
        if random.below(2) == 0 { floats[floats.len() - 1] } else { random.pick(&floats) }
    };
    let x = any(random, graph);
    let shape = graph.ty(x).shape.clone();
    let rank = shape.len();
    let alike: Vec<NodeId> = graph.ids().filter(|id| graph.ty(*id) == graph.ty(x)).collect();
    let y = random.pick(&alike);
    let b = Builder::new(graph, Origin::NOWHERE);
    let constants = [0.0, 1.0, -1.0, 2.0, 0.5];
    match random.below(19) {
        0 => b.unary(random.pick(&[Unary::Neg, Unary::Abs, Unary::Sin, Unary::Tanh, Unary::Erf]), x),
        1 | 2 => {
            let op = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min];
            b.binary(random.pick(&op), x, y)
        }
        3 => {
            b.binary(random.pick(&[Binary::Add, Binary::Mul, Binary::Sub]), x, b.full_like(x, random.pick(&constants)))
        }
        4 => b.binary(random.pick(&[Binary::Sub, Binary::Max]), b.full_like(x, random.pick(&constants)), x),
        5 => {
            let base = b.shift(b.mul(x, x), 0.5);
            b.binary(Binary::Pow, base, b.full_like(x, random.pick(&[0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 0.5, -0.5, 1.5])))
        }
        6 => b.select(b.compare(Compare::Lt, x, y), y, b.full_like(x, 0.25)),
        7 => b.select(b.unary(Unary::Not, b.compare_to(Compare::Gt, x, 0.1)), b.neg(y), x),
        8 | 15 if rank > 0 => {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.rotate_left(random.below(rank));
            perm.swap(0, random.below(rank));
            b.transpose(x, &perm)
        }
        9 => {
            let count: usize = shape.iter().product();
            let flat = b.reshape(x, &[count]);
            if count.is_multiple_of(2) { b.reshape(flat, &[count / 2, 1, 2]) } else { b.reshape(flat, &[1, count]) }
        }
        10 | 18 if shape.iter().product::<usize>() < 60 => {
            let axis = random.below(rank + 1);
            let mut wide = shape.clone();
            wide.insert(axis, 1 + random.below(3));
            let axes: Vec<usize> = (0..=rank).filter(|a| *a != axis).collect();
            b.broadcast(x, &wide, &axes)
        }
        11 | 16 | 17 if rank > 0 => {
            let step: Vec<i64> = (0..rank).map(|_| random.pick(&[1, -1, 2])).collect();
            let (mut start, mut size) = (Vec::new(), Vec::new());
            for (n, s) in shape.iter().zip(&step) {
                let from = random.below(*n);
                let room = if *s < 0 { from + 1 } else { (n - from).div_ceil(*s as usize) };
                start.push(from);
                size.push(room - random.below(room.min(2)));
            }
            b.op(Op::Slice { start, size, step }, &[x])
        }
        12 if shape.iter().product::<usize>() < 60 && rank > 0 => {
            let low: Vec<usize> = (0..rank).map(|_| random.below(2)).collect();
            let high: Vec<usize> = (0..rank).map(|_| random.below(2)).collect();
            let value = random.pick(&constants);
            let padded = b.op(Op::Pad { low: low.clone(), high, value }, &[x]);
            if random.below(2) == 0 { b.window(padded, &low, &shape) } else { padded }
        }
        13 if rank > 0 && shape.iter().product::<usize>() < 60 => {
            let axis = random.below(rank);
            let both = b.op(Op::Concat { axis }, &[x, y]);
            let mut start = vec![0; rank];
            start[axis] = random.below(shape[axis] + 1);
            b.window(both, &start, &shape)
        }
        14 => {
            let axes: Vec<usize> = (0..rank).filter(|_| random.below(2) == 0).collect();
            b.reduce(random.pick(&[Reduce::Sum, Reduce::Max, Reduce::Min, Reduce::Prod]), x, &axes)
        }
        _ => b.unary(Unary::Cos, x),
    };
}

fn random_graph(random: &mut Random) -> (Graph<usize>, Inputs) {
    let mut graph = Graph::default();
    let mut fields = Vec::new();
    for (i, shape) in (0..).zip([vec![], vec![5], vec![2, 3], vec![3, 1, 4]]) {
        let ty = TensorType::new(DType::F32, shape);
        let values = (0..ty.elements()).map(|_| 3.0 * random.unit() - 1.5).collect();
        fields.extend(tensor(&ty.shape, values));
        graph.push(Op::Field(i), vec![], ty, Origin::NOWHERE);
    }
    for _ in 0..4 + random.below(20) {
        grow(&mut graph, random);
    }
    let floats: Vec<NodeId> = graph.ids().rev().filter(|id| graph.ty(*id).dtype == DType::F32).take(3).collect();
    graph.outputs = (0..).zip(floats).map(|(i, node)| Output { kind: OutputKind::Value(i), node }).collect();
    (graph, Inputs { fields, ..Inputs::default() })
}

/// Adds the sum of the tanh of the first output, and its gradients by all fields.
fn with_gradients(mut graph: Graph<usize>) -> (Graph<usize>, NodeId) {
    let last = graph.outputs[0].node;
    let b = Builder::new(&mut graph, Origin::NOWHERE);
    let axes: Vec<usize> = (0..b.shape(last).len()).collect();
    let loss = b.sum(b.unary(Unary::Tanh, last), &axes);
    for field in 0..4 {
        let node = graph.add(Op::Gradient, &[loss, NodeId(field)], Origin::NOWHERE);
        graph.outputs.push(Output { kind: OutputKind::Value(10 + field), node });
    }
    (graph, loss)
}

fn run(graph: &Graph<usize>, inputs: &Inputs) -> Vec<(OutputKind, Tensor)> {
    assert_eq!(verify(graph), Ok(()), "{}", nnc::graph::print(graph));
    Interpreter::run(graph, inputs).unwrap_or_else(|fault| panic!("{fault:?}\n{}", nnc::graph::print(graph)))
}

fn same(what: &str, before: &Graph<usize>, after: &Graph<usize>, inputs: &Inputs) {
    let (left, right) = (run(before, inputs), run(after, inputs));
    assert_eq!(left.len(), right.len());
    for ((kind, a), (other, b)) in left.iter().zip(&right) {
        assert_eq!(kind, other);
        assert_eq!(a.shape(), b.shape());
        for (a, b) in a.iter().zip(b) {
            let close = a == b || (a - b).abs() <= 1e-9 * (1.0 + a.abs()) || (a.is_nan() && b.is_nan());
            assert!(
                close,
                "{what}: {kind:?} was {a}, is {b}\n{}\nafter\n{}",
                nnc::graph::print(before),
                nnc::graph::print(after)
            );
        }
    }
}

#[test]
fn passes_keep_the_meaning() {
    let mut random = Random(11);
    let (mut before, mut after) = (0, 0);
    for _ in 0..1000 {
        let (graph, inputs) = random_graph(&mut random);
        let (graph, _) = with_gradients(graph);
        let graph = differentiate(graph).expect("there are rules");
        same("simplify", &graph, &simplify(graph.clone()).0, &inputs);
        same("cse", &graph, &cse(graph.clone()).0, &inputs);
        same("dce", &graph, &dce(graph.clone()), &inputs);
        let best = optimise(graph.clone());
        same("optimise", &graph, &best, &inputs);
        assert_eq!(optimise(best.clone()), best, "a second time changes nothing");
        before += graph.nodes.len();
        after += best.nodes.len();
    }
    assert!(after * 4 < before * 3, "{before} nodes are still {after}");
}

#[test]
fn text_comes_back() {
    let mut random = Random(12);
    for _ in 0..100 {
        let (graph, _) = random_graph(&mut random);
        let (graph, _) = with_gradients(graph);
        assert_eq!(parse(&print_with_origins(&graph)), Ok(graph));
    }
}

#[test]
fn differentiation_keeps_the_values_and_agrees_with_differences() {
    let mut random = Random(13);
    let (mut checked, mut kinks) = (0, 0);
    for _ in 0..200 {
        let (graph, inputs) = random_graph(&mut random);
        let (with, loss) = with_gradients(graph.clone());
        let outputs = run(&differentiate(with.clone()).expect("there are rules"), &inputs);
        let plain = run(&graph, &inputs);
        assert_eq!(plain[..], outputs[..plain.len()]);
        let mut forward = with;
        forward.outputs = vec![Output { kind: OutputKind::Value(0), node: loss }];
        for (field, (_, gradient)) in outputs[plain.len()..].iter().enumerate() {
            for (place, derived) in gradient.iter().enumerate() {
                let slope = |step: f64| {
                    let at = |delta: f64| {
                        let mut moved = inputs.clone();
                        moved.fields[field].iter_mut().skip(place).take(1).for_each(|v| *v += delta);
                        run(&forward, &moved)[0].1.sum()
                    };
                    [(at(step) - at(0.0)) / step, (at(0.0) - at(-step)) / step]
                };
                let [up, down] = slope(1e-6);
                // Where the slopes of the two sides differ there is a kink, and no gradient to compare with.
                if (up - down).abs() > 1e-3 * (1.0 + up.abs()) {
                    kinks += 1;
                    continue;
                }
                let measured = (up + down) / 2.0;
                let close = (measured - derived).abs() <= 1e-4 * (1.0 + measured.abs());
                assert!(close, "derived {derived}, measured {measured}\n{}", nnc::graph::print(&forward));
                checked += 1;
            }
        }
    }
    assert!(checked > 20 * kinks, "{checked} compared, {kinks} kinks");
}
