//! Recurrences: a scan means what the steps written out one after the other mean, with all its gradients, on every
//! target.

mod cases;
mod language;
#[path = "../common/probe.rs"]
mod probe;
mod programs;
mod targets;
mod torch;
mod unroll;

use cases::{Case, cases};
use nnc::autodiff::differentiate;
use nnc::graph::{Builder, Graph, NodeId, Origin, Output, OutputKind, parse, print, verify};
use nnc::interpreter::{Inputs, Interpreter, Tensor};
use nnc::ops::{DType, Op};
use nnc::opt::optimise;
use probe::probe;
use unroll::unrolled;

fn run(graph: &Graph<usize>, inputs: &Inputs) -> Vec<Tensor> {
    match Interpreter::run(graph, inputs) {
        Ok(outputs) => outputs.into_iter().map(|(_, value)| value).collect(),
        Err(fault) => panic!("{fault:?}\n{}", print(graph)),
    }
}

/// A scalar of all the float outputs.
fn loss(graph: &mut Graph<usize>) -> NodeId {
    let outputs: Vec<NodeId> = graph.outputs.iter().map(|o| o.node).collect();
    let mut total: Option<NodeId> = None;
    for (i, node) in outputs.into_iter().enumerate() {
        if !graph.ty(node).dtype.is_float() {
            continue;
        }
        let one = probe(graph, node, i as f64);
        total = Some(match total {
            None => one,
            Some(sum) => Builder::new(graph, Origin::NOWHERE).add(sum, one),
        });
    }
    total.expect("there is a float output")
}

fn fields(graph: &Graph<usize>) -> Vec<NodeId> {
    let float = |id: &NodeId| graph.ty(*id).dtype == DType::F32;
    graph.ids().filter(|id| matches!(graph.node(*id).op, Op::Field(_)) && float(id)).collect()
}

/// The graph with the gradients of its loss by every float field as outputs; with `twice`, those of a scalar of them.
fn with_gradients(graph: &Graph<usize>, twice: bool) -> Graph<usize> {
    let mut graph = graph.clone();
    for _ in 0..=usize::from(twice) {
        let y = loss(&mut graph);
        graph.outputs.clear();
        for (place, field) in (0..).zip(fields(&graph)) {
            let node = graph.add(Op::Gradient, &[y, field], Origin::NOWHERE);
            graph.outputs.push(Output { kind: OutputKind::Value(place), node });
        }
    }
    graph
}

fn differentiated(what: &str, graph: Graph<usize>) -> Graph<usize> {
    let found = match differentiate(graph) {
        Ok(found) => found,
        Err(none) => panic!("{what}: {none:?}"),
    };
    assert_eq!(verify(&found), Ok(()), "{what}\n{}", print(&found));
    found
}

fn assert_close(what: &str, a: &[Tensor], b: &[Tensor], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.shape(), b.shape(), "{what}: output {i}");
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{what}: output {i}: {x} against {y}");
        }
    }
}

#[test]
fn a_scan_is_its_steps_written_out() {
    for Case { name, graph, inputs } in cases() {
        let flat = unrolled(&graph);
        assert_eq!(verify(&flat), Ok(()), "{name}\n{}", print(&flat));
        assert!(!print(&flat).contains("scan"), "{name}");
        assert_close(name, &run(&graph, &inputs), &run(&flat, &inputs), 1e-12);
        assert_close(name, &run(&optimise(graph.clone()), &inputs), &run(&graph, &inputs), 1e-9);
    }
}

#[test]
fn the_text_form_is_read_back() {
    for Case { name, graph, .. } in cases() {
        let text = print(&graph);
        assert_eq!(parse(&text).as_ref(), Ok(&graph), "{name}\n{text}");
    }
    for (broken, line) in [
        ("%0 = scan() carries=0 scanned=0 count=1 by=1 : f32[]", 1),
        ("%0 = const value=1.0 : f32[] {\n}", 1),
        ("%0 = scan carries=0 scanned=0 count=1 by=2 : f32[] {\n}", 1),
        ("%0 = scan carries=0 scanned=0 count=1 by=1 : f32[] {\n%0 = const value=1.0 : f32[]", 2),
        ("}", 1),
    ] {
        assert_eq!(parse(broken).map_err(|e| e.line), Err(line), "{broken}");
    }
}

#[test]
fn gradients_are_those_of_the_steps_written_out() {
    for Case { name, graph, inputs } in cases() {
        let flat = unrolled(&graph);
        let (own, other) = (with_gradients(&graph, false), with_gradients(&flat, false));
        let own = differentiated(name, own);
        let wanted = run(&differentiated(name, other), &inputs);
        assert_close(name, &run(&own, &inputs), &wanted, 1e-10);
        assert_close(name, &run(&optimise(own), &inputs), &wanted, 1e-9);
    }
}

#[test]
fn gradients_of_gradients_are_those_of_the_steps_written_out() {
    for Case { name, graph, inputs } in cases() {
        let flat = unrolled(&graph);
        let own = differentiated(name, with_gradients(&graph, true));
        let wanted = run(&differentiated(name, with_gradients(&flat, true)), &inputs);
        assert_close(name, &run(&own, &inputs), &wanted, 1e-9);
    }
}

#[test]
fn gradients_agree_with_differences() {
    for Case { name, graph, inputs } in cases() {
        let found = run(&differentiated(name, with_gradients(&graph, false)), &inputs);
        let mut forward = graph.clone();
        let node = loss(&mut forward);
        forward.outputs = vec![Output { kind: OutputKind::Value(0), node }];
        for (field, gradient) in fields(&graph).into_iter().zip(&found) {
            let Op::Field(index) = graph.node(field).op else { continue };
            for (place, derived) in gradient.iter().enumerate().step_by(3) {
                let at = |delta: f64| {
                    let mut moved = inputs.clone();
                    if let Some(v) = moved.fields[index as usize].iter_mut().nth(place) {
                        *v += delta;
                    }
                    run(&forward, &moved)[0].sum()
                };
                let measured = (at(1e-5) - at(-1e-5)) / 2e-5;
                let fits = (measured - derived).abs() <= 2e-6 * (1.0 + measured.abs());
                assert!(fits, "{name}: by field {index} at {place}: derived {derived}, measured {measured}");
            }
        }
    }
}

/// What a scan's gradient keeps grows with the number of steps, and nothing of it with their square.
#[test]
fn memory_of_a_gradient_is_linear_in_time() {
    let elements = |steps: usize| -> usize {
        let graph = differentiated("rnn", with_gradients(&cases::rnn(steps), false));
        graph.nodes.iter().map(|node| node.ty.elements()).sum()
    };
    let (a, b, c) = (elements(10), elements(20), elements(40));
    assert_eq!(c - b, 2 * (b - a));
}

/// A scan that recomputes keeps its carries alone: adding operations to its body adds nothing to what is stacked.
#[test]
fn a_scan_that_recomputes_keeps_its_carries_alone() {
    let stacked = |recompute: bool| -> usize {
        let mut graph = cases::rnn(10);
        for node in &mut graph.nodes {
            if let Op::Scan(scan) = &mut node.op {
                scan.recompute = recompute;
            }
        }
        // Of the last carry only, so that no step's value is asked for.
        graph.outputs.truncate(1);
        let graph = optimise(differentiated("rnn", with_gradients(&graph, false)));
        let stacks =
            graph.nodes.iter().filter(|n| matches!(n.op, Op::ScanResult { .. }) && n.ty.shape.first() == Some(&10));
        stacks.map(|n| n.ty.elements()).sum()
    };
    // The carries [10, 2, 3] and the gradient by the slices [10, 2, 4].
    assert_eq!(stacked(true), 10 * 2 * 3 + 10 * 2 * 4);
    assert!(stacked(false) > stacked(true), "{} against {}", stacked(false), stacked(true));
}
