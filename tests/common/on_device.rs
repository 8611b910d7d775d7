//! Graphs on a CUDA device, several of them as one: a test of hundreds of small graphs must not wait for the device's compiler
//! hundreds of times.

use nnc::engine::{ClockValues, plan_for_cuda};
use nnc::graph::{Graph, NodeId, Output, OutputKind};
use nnc::ops::{DType, Op};
use nnc::plan::VarLayout;
use nnc::runtime::cuda::compile::Compiler;
use nnc::runtime::cuda::device::{Device, Memory};
use nnc::runtime::cuda::step::Step;
use nnc::runtime::executable::StepInputs;
use std::sync::{Arc, OnceLock};

fn device() -> &'static (Arc<Device>, Compiler) {
    static OPEN: OnceLock<(Arc<Device>, Compiler)> = OnceLock::new();
    OPEN.get_or_init(|| (Device::open().expect("a device"), Compiler::open().expect("a compiler")))
}

/// All graphs beside each other in one. Fields and results get new numbers: those of a graph follow those of the one before.
fn beside(graphs: &[(&Graph<usize>, &[Vec<u8>])]) -> Graph<usize> {
    let mut all = Graph::default();
    let (mut fields, mut results) = (0, 0);
    for (graph, given) in graphs {
        let first = all.nodes.len() as u32;
        for node in &graph.nodes {
            let op = match &node.op {
                Op::Field(number) => Op::Field(fields + number),
                op => op.clone(),
            };
            let inputs = node.inputs.iter().map(|i| NodeId(first + i.0)).collect();
            all.push(op, inputs, node.ty.clone(), node.origin);
        }
        fields += given.len() as u32;
        let mut next = results;
        for output in &graph.outputs {
            let OutputKind::Value(number) = output.kind else { continue };
            next = next.max(results + number + 1);
            all.outputs.push(Output { kind: OutputKind::Value(results + number), node: NodeId(first + output.node.0) });
        }
        results = next;
    }
    all
}

/// Runs graphs, each with its fields, and gives the results of each by their numbers.
///
/// # Errors
/// What the compiler or the device says.
pub fn run(
    graphs: &[(&Graph<usize>, &[Vec<u8>])],
    clock: ClockValues,
    seed: u64,
) -> Result<Vec<(DType, Vec<u8>)>, String> {
    let (device, compiler) = device();
    let graph = beside(graphs);
    let layout = VarLayout::default();
    let plan =
        plan_for_cuda(&graph, &layout, &mut Vec::new()).map_err(|d| format!("{} {:?}", d.headline, d.primary))?;
    let mut step = Step::load(&plan, &layout, device, compiler).map_err(|f| f.message)?;
    let vars = Memory::new(device, 0, "variables")?;
    let arena = Memory::new(device, plan.arena_bytes, "the arena")?;
    let fields: Vec<&[u8]> = graphs.iter().flat_map(|(_, given)| given.iter().map(Vec::as_slice)).collect();
    // Twice: a step must not depend on what the one before left behind.
    for _ in 0..2 {
        step.run(&vars, &arena, &StepInputs { fields: &fields, clock, seed }).map_err(|f| f.message)?;
    }
    (0..graph.outputs.len() as u32)
        .map(|i| {
            let (bytes, dtype) = step.value(&arena, i)?.ok_or_else(|| format!("there is no result {i}"))?;
            Ok((dtype, bytes))
        })
        .collect()
}
