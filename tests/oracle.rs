//! Single operations against PyTorch's results and gradients, where the reference vectors are: in the directory that
//! the variable NNC_ORACLE names, or in a folder beside this crate. Without them the test says so and passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nnc::autodiff::differentiate;
use nnc::dims::Dim;
use nnc::graph::{Builder, Graph, NodeId, Origin, Output, OutputKind, TensorType};
use nnc::interpreter::{Inputs, Interpreter, Tensor, tensor};
use nnc::ops::{self, ArgDefault, ArgValue, Binary, Compare, DType, Op, Unary};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn directory() -> Option<PathBuf> {
    let given = std::env::var_os("NNC_ORACLE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle");
    given.into_iter().chain([beside]).find(|path| path.join("index.json").is_file())
}

struct Case {
    id: String,
    op: String,
    params: Value,
    grads: Vec<String>,
    bools: Vec<String>,
    tensors: BTreeMap<String, (DType, Tensor)>,
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_string)).collect()
}

fn load(directory: &Path, entry: &Value) -> Option<Case> {
    let text = |name: &str| entry[name].as_str().map(str::to_string);
    let bools = names(&entry["bool"]);
    let bytes = std::fs::read(directory.join(text("file")?)).ok()?;
    let file = SafeTensors::deserialize(&bytes).ok()?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let (dtype, values): (DType, Vec<f64>) = match view.dtype() {
            Dtype::F32 => {
                (DType::F32, data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect())
            }
            Dtype::I64 => (DType::I64, data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect()),
            Dtype::U8 if bools.contains(&name) => (DType::Bool, data.iter().map(|b| f64::from(*b)).collect()),
            Dtype::U8 => (DType::U8, data.iter().map(|b| f64::from(*b)).collect()),
            other => panic!("{name}: a tensor of {other:?}"),
        };
        tensors.insert(name, (dtype, tensor(view.shape(), values)?));
    }
    let params = entry["params"].clone();
    Some(Case { id: text("id")?, op: text("op")?, params, grads: names(&entry["grads"]), bools, tensors })
}

/// Calls a prelude function: arguments by name, defaults for the rest.
fn call(
    graph: &mut Graph<usize>,
    name: &str,
    operands: &[NodeId],
    given: &[(&str, ArgValue)],
) -> Result<NodeId, ops::ShapeFault> {
    let (_, surface) = ops::surface(name).unwrap_or_else(|| panic!("no function `{name}`"));
    let dims = |id: NodeId, graph: &Graph<usize>| {
        let ty = graph.ty(id);
        TensorType::new(ty.dtype, ty.shape.iter().map(|n| Dim::from(*n)).collect())
    };
    let mut rest = operands.iter();
    let mut arguments = Vec::new();
    for param in surface.params {
        let own = given.iter().find(|(name, _)| *name == param.name).map(|(_, value)| value.clone());
        arguments.push(match (param.kind, own, param.default) {
            (ops::ArgKind::Tensor, ..) => ArgValue::Tensor(dims(*rest.next().expect("an operand"), graph)),
            (ops::ArgKind::Tensors, ..) => ArgValue::Tensors(rest.by_ref().map(|id| dims(*id, graph)).collect()),
            (_, Some(value), _) => value,
            (_, None, ArgDefault::None) => ArgValue::None,
            (_, None, ArgDefault::Int(n)) => ArgValue::Int(Dim::from(n)),
            (_, None, ArgDefault::Float(v)) => ArgValue::Float(v),
            (_, None, ArgDefault::Bool(v)) => ArgValue::Bool(v),
            (_, None, ArgDefault::Required) => panic!("{name}: `{}` is missing", param.name),
        });
    }
    let op = (surface.build)(&arguments)?.try_map(&mut |d: &Dim| {
        let size = d.number().and_then(|n| usize::try_from(n).ok());
        size.ok_or_else(|| ops::ShapeFault::Attribute(format!("a size of {d}")))
    })?;
    graph.try_add(op, operands, Origin::NOWHERE)
}

/// A number or a list of numbers of the parameters.
fn ints(value: &Value) -> Option<ArgValue> {
    match value {
        Value::Number(n) => Some(ArgValue::Int(Dim::from(n.as_i64()?))),
        Value::Array(list) => list.iter().map(|n| n.as_i64().map(Dim::from)).collect::<Option<_>>().map(ArgValue::Ints),
        Value::String(word) => ["same", "valid"].into_iter().find(|w| w == word).map(ArgValue::Word),
        _ => None,
    }
}

fn stretched(graph: &mut Graph<usize>, x: NodeId, shape: &[usize]) -> NodeId {
    let b = Builder::new(graph, Origin::NOWHERE);
    let first = shape.len() - b.shape(x).len();
    b.broadcast(x, shape, &(first..shape.len()).collect::<Vec<_>>())
}

/// The case as one operation of ours (with a stretched operand or a bias at most), or nothing if it is none.
fn ours(graph: &mut Graph<usize>, case: &Case, shape: &[usize], x: &BTreeMap<&str, NodeId>) -> Option<NodeId> {
    let get = |name: &str| x.get(name).copied();
    let arg = |name: &str| ints(&case.params[name]);
    let float = |name: &str| case.params[name].as_f64();
    let built = |result: Result<NodeId, ops::ShapeFault>| match result {
        Ok(id) => Some(id),
        Err(fault) => panic!("{}: {fault:?}", case.id),
    };
    let op = case.op.as_str();
    let scalar_op = |name: &str| {
        Some(match name {
            "neg" => Op::Unary(Unary::Neg),
            "logical_and" => Op::Binary(Binary::And),
            "logical_or" => Op::Binary(Binary::Or),
            "logical_xor" => Op::Binary(Binary::Xor),
            "add" | "sub" | "mul" | "div" => Op::Binary(Binary::from_name(name)?),
            _ => Op::Compare(Compare::from_name(name)?),
        })
    };
    match op {
        "exp" | "log" | "sqrt" | "sin" | "cos" | "tanh" | "erf" | "floor" | "ceil" | "round" | "abs" => {
            built(call(graph, op, &[get("x")?], &[]))
        }
        "neg" => Some(graph.add(scalar_op(op)?, &[get("x")?], Origin::NOWHERE)),
        "pow_scalar" => {
            let b = Builder::new(graph, Origin::NOWHERE);
            let exponent = b.full_like(get("x")?, float("exponent")?);
            Some(b.binary(Binary::Pow, get("x")?, exponent))
        }
        "maximum" | "minimum" | "pow" | "atan2" | "remainder" => {
            let operands = [stretched(graph, get("a")?, shape), stretched(graph, get("b")?, shape)];
            built(call(graph, op, &operands, &[]))
        }
        "add" | "sub" | "mul" | "div" | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "logical_and" | "logical_or"
        | "logical_xor" => {
            let operands = [stretched(graph, get("a")?, shape), stretched(graph, get("b")?, shape)];
            Some(graph.add(scalar_op(op)?, &operands, Origin::NOWHERE))
        }
        "where" => {
            let operands = ["cond", "a", "b"].map(|name| get(name).map(|id| stretched(graph, id, shape)));
            let [Some(condition), Some(a), Some(b)] = operands else { return None };
            built(call(graph, op, &[condition, a, b], &[]))
        }
        "sum" | "prod" | "max" | "min" | "argmax" | "argmin" => {
            let mut given = Vec::new();
            match arg("dim") {
                Some(axis) => given.push(("axis", axis)),
                // Of all elements: of the flat operand.
                None if op.starts_with("arg") => {
                    let flat =
                        built(call(graph, "flatten", &[get("x")?], &[("from", ArgValue::Int(Dim::from(0i64)))]))?;
                    return built(call(graph, op, &[flat], &[]));
                }
                None => {}
            }
            let reduced = built(call(graph, op, &[get("x")?], &given))?;
            Some(Builder::new(graph, Origin::NOWHERE).reshape(reduced, shape))
        }
        "matmul" => {
            let (a, b) = (get("a")?, get("b")?);
            let (left, right) = (&graph.ty(a).shape, &graph.ty(b).shape);
            let plain =
                left.len() >= 2 && left.len() == right.len() && left[..left.len() - 2] == right[..left.len() - 2];
            plain.then_some(())?;
            built(call(graph, op, &[a, b], &[]))
        }
        "conv1d" | "conv2d" | "conv_transpose1d" | "conv_transpose2d" => {
            let mut given = Vec::new();
            for name in ["stride", "padding", "dilation", "groups", "output_padding"] {
                given.extend(arg(name).map(|value| (name, value)));
            }
            let y = built(call(graph, op, &[get("x")?, get("weight")?], &given))?;
            let Some(bias) = get("bias") else { return Some(y) };
            let b = Builder::new(graph, Origin::NOWHERE);
            Some(b.add(y, b.broadcast(bias, shape, &[1])))
        }
        "max_pool1d" | "max_pool2d" if case.params["ceil_mode"] != Value::Bool(true) => {
            let mut given = vec![("kernel", arg("kernel_size")?)];
            for name in ["stride", "padding", "dilation"] {
                given.extend(arg(name).map(|value| (name, value)));
            }
            built(call(graph, op, &[get("x")?], &given))
        }
        "embedding" if case.params["padding_idx"].is_null() => {
            built(call(graph, "take", &[get("weight")?, get("ids")?], &[]))
        }
        "index_select" => built(call(graph, "take", &[get("x")?, get("index")?], &[("axis", arg("dim")?)])),
        "concat" => {
            let parts: Vec<NodeId> = (0..).map_while(|i| get(&format!("x{i}"))).collect();
            built(call(graph, op, &parts, &[("axis", arg("dim")?)]))
        }
        "pad" if case.params["mode"] == "constant" => {
            // Pairs, from the last axis.
            let pairs = case.params["pad"].as_array()?;
            let rank = graph.ty(get("x")?).rank();
            let mut sides = [vec![Dim::default(); rank], vec![Dim::default(); rank]];
            for (i, amount) in pairs.iter().enumerate() {
                sides[i % 2][rank - 1 - i / 2] = Dim::from(amount.as_i64()?);
            }
            let [low, high] = sides.map(ArgValue::Ints);
            let value = ArgValue::Float(float("value").unwrap_or(0.0));
            built(call(graph, op, &[get("x")?], &[("low", low), ("high", high), ("value", value)]))
        }
        "transpose" => {
            let swap = case.params["dims"].as_array()?;
            let mut axes: Vec<Dim> = (0..shape.len()).map(Dim::from).collect();
            let at = |i: usize| swap[i].as_i64().map(|n| n.rem_euclid(shape.len() as i64) as usize);
            axes.swap(at(0)?, at(1)?);
            built(call(graph, "permute", &[get("x")?], &[("axes", ArgValue::Ints(axes))]))
        }
        "permute" => built(call(graph, op, &[get("x")?], &[("axes", arg("dims")?)])),
        "reshape" | "expand" => built(call(graph, op, &[get("x")?], &[("shape", arg("shape")?)])),
        "flatten" if case.params["end_dim"] == -1 => {
            built(call(graph, op, &[get("x")?], &[("from", arg("start_dim")?)]))
        }
        "squeeze_unsqueeze" => {
            let narrow = built(call(graph, "squeeze", &[get("x")?], &[("axis", arg("squeeze")?)]))?;
            built(call(graph, "unsqueeze", &[narrow], &[("axis", arg("unsqueeze")?)]))
        }
        "cast" => {
            let dtype = match case.params["to"].as_str()? {
                "bfloat16" => DType::BF16,
                "float16" => DType::F16,
                _ => return None,
            };
            Some(Builder::new(graph, Origin::NOWHERE).cast(get("x")?, dtype))
        }
        _ => None,
    }
}

fn compare(what: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.shape(), wanted.shape(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= 1e-5 * (1.0 + wanted.abs()), "{what}: {found} where PyTorch has {wanted}");
    }
}

/// Runs the case, if it is an operation of ours.
fn check(case: &Case) -> Option<()> {
    let mut graph = Graph::default();
    let (mut nodes, mut fields) = (BTreeMap::new(), Vec::new());
    for (name, (dtype, value)) in &case.tensors {
        let ty = TensorType::new(*dtype, value.shape().to_vec());
        let id = graph.push(Op::Field(fields.len() as u32), vec![], ty, Origin::NOWHERE);
        fields.push(value.clone());
        nodes.insert(name.as_str(), id);
    }
    let inputs = nodes.iter().filter_map(|(name, id)| Some((name.strip_prefix("in.")?, *id))).collect();
    let (_, wanted) = case.tensors.get("out.y")?;
    let y = ours(&mut graph, case, wanted.shape(), &inputs)?;
    let mut outputs = vec![("out.y".to_string(), y)];
    if let Some(ct) = nodes.get("ct.y") {
        let b = Builder::new(&mut graph, Origin::NOWHERE);
        let loss = b.sum(b.mul(y, *ct), &(0..wanted.ndim()).collect::<Vec<_>>());
        for name in &case.grads {
            let by = b.op(Op::Gradient, &[loss, nodes[format!("in.{name}").as_str()]]);
            outputs.push((format!("grad.{name}"), by));
        }
    }
    graph.outputs =
        (0..).zip(&outputs).map(|(i, (_, node))| Output { kind: OutputKind::Value(i), node: *node }).collect();
    assert_eq!(case.bools.contains(&"out.y".to_string()), graph.ty(y).dtype == DType::Bool, "{}", case.id);
    let graph = differentiate(graph).unwrap_or_else(|none| panic!("{}: {none:?}", case.id));
    for graph in [nnc::opt::optimise(graph.clone()), graph] {
        let inputs = Inputs { fields: fields.clone(), ..Inputs::default() };
        let found = Interpreter::run(&graph, &inputs).unwrap_or_else(|fault| panic!("{}: {fault:?}", case.id));
        for ((_, found), (name, _)) in found.iter().zip(&outputs) {
            compare(&format!("{} {name}", case.id), found, &case.tensors[name].1);
        }
    }
    Some(())
}

#[test]
fn operations_agree_with_pytorch() {
    let Some(directory) = directory() else {
        eprintln!("SKIPPED: no reference vectors; set NNC_ORACLE to the directory with index.json");
        return;
    };
    let text = std::fs::read_to_string(directory.join("index.json")).expect("index.json can be read");
    let index: Value = serde_json::from_str(&text).expect("index.json is JSON");
    let (mut compared, mut others) = (0, 0);
    for entry in index["cases"].as_array().expect("a list of cases") {
        let case = load(&directory, entry).unwrap_or_else(|| panic!("{entry} cannot be read"));
        match check(&case) {
            Some(()) => compared += 1,
            None => others += 1,
        }
    }
    eprintln!("{compared} cases compared, {others} are not single operations");
    assert!(compared > 50, "only {compared} cases are known");
}
