//! Machine code computes what the interpreter does, on any number of threads; and its size does not depend on how often a
//! scan repeats.

use crate::cases::{self, Case, cases};
use crate::{assert_close, differentiated, run, with_gradients};
use nnc::codegen::loops::BufferData;
use nnc::engine::bytes;
use nnc::engine::cpu::plan_graph;
use nnc::graph::{Graph, OutputKind, print};
use nnc::interpreter::{Inputs, Tensor, tensor};
use nnc::ops::Op;
use nnc::opt::{hoist, optimise};
use nnc::plan::{self, BufferKind, Lanes, Plan, VarLayout, Work, reference};
use nnc::runtime::arena::{Arena, VarMemory};
use nnc::runtime::executable::{ClockValues, Executable, StepInputs};
use nnc::runtime::threads::Pool;
use std::sync::Arc;

fn planned(what: &str, graph: &Graph<usize>) -> Plan {
    let plan = match plan_graph(graph, &VarLayout::default(), 2, true, &mut Vec::new()) {
        Ok(plan) => plan,
        Err(fault) => panic!("{what}: {fault:?}\n{}", print(graph)),
    };
    assert_eq!(plan::verify(&plan), Ok(()), "{what}");
    plan
}

fn given(graph: &Graph<usize>, inputs: &Inputs) -> Vec<Vec<u8>> {
    let field = |i: usize| {
        let node = graph.nodes.iter().find(|n| n.op == Op::Field(i as u32));
        let values = inputs.fields[i].iter().copied();
        node.map_or(Vec::new(), |n| bytes::from_f64(n.ty.dtype, values))
    };
    (0..inputs.fields.len()).map(field).collect()
}

/// The results as the processor computes them.
fn machine(plan: &Plan, graph: &Graph<usize>, inputs: &Inputs, threads: usize) -> Vec<Vec<u8>> {
    let layout = VarLayout::default();
    let mut executable = Executable::load(plan, &layout, Arc::new(Pool::new(threads))).expect("machine code");
    let (mut vars, mut arena) = (VarMemory::new(&layout), Arena::new(plan.arena_bytes));
    let fields = given(graph, inputs);
    let slices: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    // The key of the cases: seed low, seed high, step low, step high.
    let clock = ClockValues { step: 7 | 8 << 32, ..ClockValues::default() };
    let step = StepInputs { fields: &slices, clock, seed: 5 | 6 << 32 };
    // Twice: whatever moves during a step must be back where it was.
    for _ in 0..2 {
        executable.run(&mut vars, &mut arena, &step).expect("a step");
    }
    let values = (0..graph.outputs.len() as u32).map(|i| executable.value(&arena, i).expect("a result").to_vec());
    values.collect()
}

fn tensors(graph: &Graph<usize>, values: &[Vec<u8>]) -> Vec<Tensor> {
    let one = |(i, bytes): (usize, &Vec<u8>)| {
        let ty = graph.ty(graph.outputs[i].node);
        tensor(&ty.shape, bytes::to_f64(ty.dtype, bytes)).expect("as large as its type")
    };
    values.iter().enumerate().map(one).collect()
}

/// Every case as it is and optimised, with and without gradients.
fn graphs() -> Vec<(String, Graph<usize>, Inputs)> {
    let mut out = Vec::new();
    for Case { name, graph, inputs } in cases() {
        let gradients = differentiated(name, with_gradients(&graph, false));
        let hoisted = differentiated(name, with_gradients(&hoist(graph.clone()), false));
        for (what, graph) in [("values", graph), ("gradients", gradients), ("hoisted", hoisted)] {
            out.push((format!("{name}, {what}"), graph.clone(), inputs.clone()));
            out.push((format!("{name}, {what}, optimised"), optimise(graph), inputs.clone()));
        }
    }
    out
}

#[test]
fn hoisting_changes_no_value() {
    for Case { name, graph, inputs } in cases() {
        let hoisted = hoist(graph.clone());
        assert_eq!(nnc::graph::verify(&hoisted), Ok(()), "{name}\n{}", print(&hoisted));
        assert_close(name, &run(&hoisted, &inputs), &run(&graph, &inputs), 1e-12);
        let gradients = differentiated(name, with_gradients(&hoisted, false));
        let wanted = differentiated(name, with_gradients(&graph, false));
        assert_close(name, &run(&optimise(gradients), &inputs), &run(&wanted, &inputs), 1e-9);
    }
}

/// The input's product of a recurrent layer is one product before the scan, as are the gradients of its weights after it.
#[test]
fn products_leave_the_scan() {
    let products = |graph: &Graph<usize>| graph.nodes.iter().filter(|n| matches!(n.op, Op::Matmul { .. })).count();
    let inside = |graph: &Graph<usize>| -> Vec<usize> {
        let scans = graph.nodes.iter().filter_map(|n| if let Op::Scan(scan) = &n.op { Some(scan) } else { None });
        scans.map(|scan| products(&scan.body)).collect()
    };
    let graph = hoist(cases::rnn(5));
    assert_eq!((products(&graph), inside(&graph)), (1, vec![1]));
    let gradients = optimise(differentiated("rnn", with_gradients(&graph, false)));
    // Forward x U; then the gradients of x, U and W.
    assert_eq!((products(&gradients), inside(&gradients)), (4, vec![1, 1]), "{}", print(&gradients));
}

#[test]
fn the_processor_agrees_with_the_interpreter() {
    for (what, graph, inputs) in graphs() {
        let plan = planned(&what, &graph);
        let one = machine(&plan, &graph, &inputs, 1);
        assert_close(&what, &tensors(&graph, &one), &run(&graph, &inputs), 2e-5);
        for threads in [2, 3] {
            assert_eq!(one, machine(&plan, &graph, &inputs, threads), "{what}: threads change the result");
        }
    }
}

/// Rows that go through all steps by themselves, forward and backward, are cut into lanes; rows that meet are not.
#[test]
fn lanes_are_rows_that_never_meet() {
    let lanes = |what: &str, graph: Graph<usize>| -> Vec<Option<Lanes>> {
        let graph = optimise(differentiated(what, with_gradients(&hoist(graph), false)));
        let plan = planned(what, &graph);
        let found = plan.schedule.launches.iter().filter_map(|l| match &l.work {
            Work::Repeat(repeat) => Some(repeat.lanes),
            _ => None,
        });
        found.collect()
    };
    assert_eq!(lanes("rnn", cases::rnn_of(5, 64, 64)), [Some(Lanes { rows: 64, count: 4 }); 2]);
    assert_eq!(lanes("few", cases::rnn_of(5, 9, 64)), [None; 2]);
    assert_eq!(lanes("meeting", cases::meeting()), [None; 2]);
}

#[test]
fn schedules_and_plans_mean_the_graph() {
    for (what, graph, inputs) in graphs() {
        let plan = planned(&what, &graph);
        let fields = given(&graph, &inputs);
        let mut memory = reference::memory(&plan.schedule);
        for (buffer, data) in plan.schedule.buffers.iter().zip(&mut memory) {
            match buffer.kind {
                BufferKind::Field(i) => data.bytes.copy_from_slice(&fields[i as usize]),
                BufferKind::Key => data.bytes = bytes::from_f64(buffer.dtype, [5.0, 6.0, 7.0, 8.0].into_iter()),
                _ => {}
            }
        }
        reference::run_plan(&plan, &mut memory).unwrap_or_else(|e| panic!("{what}: {e}"));
        let value = |i: u32| -> &BufferData {
            let place = plan.schedule.buffers.iter().position(|b| b.kind == BufferKind::Value(i));
            &memory[place.expect("a result")]
        };
        let found: Vec<Vec<u8>> = graph
            .outputs
            .iter()
            .map(|o| if let OutputKind::Value(i) = o.kind { value(i).bytes.clone() } else { Vec::new() })
            .collect();
        assert_close(&what, &tensors(&graph, &found), &run(&graph, &inputs), 2e-5);
    }
}

#[test]
fn code_does_not_grow_with_the_number_of_steps() {
    let size = |steps: usize| {
        let graph = optimise(differentiated("rnn", with_gradients(&hoist(cases::rnn(steps)), false)));
        let plan = planned("rnn", &graph);
        let bodies = plan.schedule.launches.iter().filter_map(|l| match &l.work {
            Work::Repeat(repeat) => Some(repeat.body.schedule.launches.len()),
            _ => None,
        });
        let bodies: Vec<usize> = bodies.collect();
        (graph.nodes.len(), plan.schedule.launches.len(), bodies)
    };
    assert_eq!(size(3), size(1000));
}
