//! The oracle: runs a graph of numbers node by node, with ndarray, in f64. It shares no code with the kernels, so that
//! the two can be compared; it is also the target `interpreter`, which trains whole models.
//!
//! In go a graph without `Gradient` nodes and the values of its leaves; out come the values of its outputs, in order.
//! Whole numbers and truth values are carried as f64, exactly below 2^53; halves are rounded after every operation. A
//! fault names the node.

mod elementwise;
mod index;
mod movement;
mod order;
mod reduce;
mod scan;
mod window;

use std::collections::BTreeMap;

use ndarray::{ArcArray, Array1, IxDyn};

use crate::graph::{Graph, Node, NodeId, Origin, OutputKind};
use crate::ops::{Clock, DType, Lowering, Op, VarId, def_of, half, scalar as ops_scalar, threefry};

/// The value of a node; cheap to clone.
pub type Tensor = ArcArray<f64, IxDyn>;

/// A tensor of these elements, row by row; nothing if their number does not fit the shape.
pub fn tensor(shape: &[usize], elements: Vec<f64>) -> Option<Tensor> {
    Tensor::from_shape_vec(IxDyn(shape), elements).ok()
}

/// The values of the leaves.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub vars: BTreeMap<VarId, Tensor>,
    pub fields: Vec<Tensor>,
    /// Step, epoch, steps of the run, steps of an epoch.
    pub clock: [f64; 4],
    /// Seed low, seed high, step low, step high.
    pub key: [u32; 4],
}

/// Why a step ended early.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub node: NodeId,
    pub origin: Origin,
    pub message: String,
}

pub struct Interpreter;

impl Interpreter {
    /// One step: the outputs in the graph's order, elements row by row in memory.
    pub fn run(graph: &Graph<usize>, inputs: &Inputs) -> Result<Vec<(OutputKind, Tensor)>, Fault> {
        run_with(graph, inputs, &[])
    }
}

/// [`Interpreter::run`] of a graph whose `Parameter` nodes have these values.
fn run_with(graph: &Graph<usize>, inputs: &Inputs, parameters: &[Tensor]) -> Result<Vec<(OutputKind, Tensor)>, Fault> {
    let mut uses = vec![0usize; graph.nodes.len()];
    let used = graph.nodes.iter().flat_map(|node| &node.inputs).chain(graph.outputs.iter().map(|o| &o.node));
    used.for_each(|id| uses[id.index()] += 1);
    let mut results: BTreeMap<NodeId, Vec<Tensor>> = BTreeMap::new();
    let mut values: Vec<Option<Tensor>> = vec![None; graph.nodes.len()];
    for (id, node) in graph.ids().zip(&graph.nodes) {
        if uses[id.index()] == 0 {
            continue;
        }
        let operands: Vec<Tensor> = node.inputs.iter().filter_map(|i| values[i.index()].clone()).collect();
        let fault = |message| Fault { node: id, origin: node.origin, message };
        let types = node.inputs.iter().map(|i| graph.ty(*i).dtype).collect::<Vec<_>>();
        let value = match &node.op {
            Op::Scan(scan) => {
                results.insert(id, scan::run(scan, operands, inputs)?);
                scalar(0.0)
            }
            Op::ScanResult { index } => {
                let all = results.get(&node.inputs[0]);
                let taken = all.and_then(|all| all.get(*index)).cloned();
                taken.ok_or_else(|| fault("the scan has no such result".into()))?
            }
            Op::Parameter(index) => {
                let given = parameters.get(*index as usize).cloned();
                given.ok_or_else(|| fault(format!("parameter {index} has no value")))?
            }
            _ => rounded(node, evaluate(node, &operands, &types, inputs).map_err(fault)?),
        };
        if value.shape() != node.ty.shape {
            let name = def_of(&node.op).name;
            return Err(fault(format!("`{name}` gave shape {:?} instead of {}", value.shape(), node.ty)));
        }
        values[id.index()] = Some(value);
        for input in &node.inputs {
            uses[input.index()] -= 1;
            if uses[input.index()] == 0 {
                values[input.index()] = None;
                results.remove(input);
            }
        }
    }
    Ok(graph
        .outputs
        .iter()
        .filter_map(|output| Some((output.kind, standard(values[output.node.index()].as_ref()?))))
        .collect())
}

/// The value in the node's dtype: halves are rounded after every operation. Wider floats keep all digits.
fn rounded(node: &Node<usize>, value: Tensor) -> Tensor {
    let moved = matches!(def_of(&node.op).lowering, Lowering::View);
    if !node.ty.dtype.is_half() || moved {
        return value;
    }
    value.map(|x| half::round(*x, node.ty.dtype)).into_shared()
}

/// The same elements, row by row in memory.
fn standard(x: &Tensor) -> Tensor {
    if x.is_standard_layout() { x.clone() } else { x.as_standard_layout().into_owned().into_shared() }
}

fn reshaped(x: &Tensor, shape: &[usize]) -> Result<Tensor, String> {
    standard(x).into_shape_with_order(IxDyn(shape)).map_err(|e| e.to_string())
}

fn scalar(value: f64) -> Tensor {
    Tensor::from_elem(IxDyn(&[]), value)
}

fn list(values: Vec<f64>) -> Tensor {
    Array1::from(values).into_dyn().into_shared()
}

fn evaluate(
    node: &Node<usize>,
    operands: &[Tensor],
    dtypes: &[crate::ops::DType],
    inputs: &Inputs,
) -> Result<Tensor, String> {
    let name = || def_of(&node.op).name;
    Ok(match (&node.op, operands) {
        (Op::Read(var), []) => {
            inputs.vars.get(var).cloned().ok_or_else(|| format!("variable {} has no value", var.0))?
        }
        (Op::Field(index), []) => {
            inputs.fields.get(*index as usize).cloned().ok_or_else(|| format!("field {index} has no value"))?
        }
        (Op::Clock(clock), []) => scalar(match clock {
            Clock::Step => inputs.clock[0],
            Clock::Epoch => inputs.clock[1],
            Clock::Steps => inputs.clock[2],
            Clock::EpochSteps => inputs.clock[3],
        }),
        (Op::Key, []) => list(inputs.key.iter().map(|word| f64::from(*word as i32)).collect()),
        (Op::Const(value), []) => scalar(*value),
        (Op::Size { value }, []) => scalar(*value as f64),
        (Op::Literal(values), []) => list(values.clone()),
        (Op::Iota { size }, []) => list((0..*size).map(|i| i as f64).collect()),
        (Op::Uniform { shape, site }, [key]) => {
            let words: Vec<u32> = key.iter().map(|word| *word as i64 as u32).collect();
            let Ok(key) = <[u32; 4]>::try_from(words) else { return Err("a key has 4 words".into()) };
            let count: usize = shape.iter().product();
            let draws = (0..count).map(|i| f64::from(threefry::uniform(key, *site, i as u32))).collect();
            tensor(shape, draws).ok_or("the shape does not fit")?
        }
        (Op::Unary(op), [x]) => elementwise::unary(*op, x, node.ty.dtype),
        (Op::Binary(op), [a, b]) => elementwise::binary(*op, a, b, node.ty.dtype),
        (Op::Compare(op), [a, b]) => elementwise::compare(*op, a, b),
        (Op::Select, [condition, a, b]) => elementwise::select(condition, a, b),
        (Op::Cast, [x]) => elementwise::cast(x, dtypes[0], node.ty.dtype),
        (Op::StopGradient, [x]) | (Op::CustomGradient { .. }, [x, ..]) => x.clone(),
        (Op::Broadcast { shape, axes }, [x]) => movement::broadcast(x, shape, axes)?,
        (Op::Transpose { perm }, [x]) => x.clone().permuted_axes(IxDyn(perm)),
        (Op::Reshape { shape }, [x]) => reshaped(x, shape)?,
        (Op::Slice { start, size, step }, [x]) => movement::slice(x, start, size, step),
        (Op::Pad { low, high, value }, [x]) => {
            movement::pad(x, low, high, ops_scalar::cast(*value, DType::F64, node.ty.dtype))
        }
        (Op::Concat { axis }, parts) => movement::concat(parts, *axis)?,
        (Op::Reduce { op, axes }, [x]) => reduce::reduce(*op, x, axes, node.ty.dtype)?,
        (Op::ArgReduce { max, axis }, [x]) => reduce::arg(*max, x, *axis)?,
        (Op::Cumulate { op, axis, reverse }, [x]) => order::cumulate(*op, x, *axis, *reverse, node.ty.dtype)?,
        (Op::ArgSort { axis, descending }, [x]) => order::argsort(x, *axis, *descending)?,
        (Op::Take { axis }, [x, index]) => index::take(x, index, *axis)?,
        (Op::UpdateSlice { axis }, [x, rows, start]) => index::update_slice(x, rows, start, *axis)?,
        (Op::ScatterAdd { axis, size }, [updates, index]) => index::scatter_add(updates, index, *axis, *size)?,
        (Op::Pick { axis }, [x, index]) => index::pick(x, index, *axis)?,
        (Op::Matmul { batch }, [a, b]) => window::matmul(a, b, *batch)?,
        (Op::Conv { window, groups }, [x, weight]) => window::conv(x, weight, window, *groups, &node.ty.shape)?,
        (Op::ConvInputGrad { window, groups, .. }, [dy, weight]) => {
            window::conv_input_grad(dy, weight, window, *groups, &node.ty.shape)?
        }
        (Op::ConvWeightGrad { window, groups }, [x, dy]) => {
            window::conv_weight_grad(x, dy, window, *groups, &node.ty.shape)?
        }
        (Op::MaxPool { window }, [x]) => window::max_pool(x, window, &node.ty.shape)?,
        (Op::MaxPoolGrad { window }, [x, dy]) => window::max_pool_grad(x, dy, window)?,
        (Op::SumPool { window }, [x]) => window::sum_pool(x, window, &node.ty.shape)?,
        (Op::SumPoolGrad { window, .. }, [dy]) => window::sum_pool_grad(dy, window, &node.ty.shape)?,
        (Op::Gradient, _) => return Err("a gradient that was not expanded".into()),
        _ => return Err(format!("`{}` does not take {} operands", name(), operands.len())),
    })
}
