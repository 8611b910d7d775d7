//! Lowering against the definition of the operations: random graphs and one graph for each kind of operation are fused,
//! lowered, planned and executed by the reference executor, and compared with a direct evaluation in `f64`.

use nnc::codegen::loops::{self, BufferData, scalar};
use nnc::graph::{Builder, Graph, NodeId, Origin, Output, OutputKind, TensorType};
use nnc::ops::*;
use nnc::plan::{self, BufferKind, Work};
use nnc::runtime::Workspaces;
use nnc::runtime::arena::{Arena, VarMemory};
use nnc::runtime::executable::{ClockValues, Executable, StepInputs};
use nnc::runtime::threads::Pool;
use nnc::source::{FileId, Span};
use std::sync::Arc;

const ORIGIN: Origin = Origin { span: Span { file: FileId(0), start: 0, end: 0 }, scope: 0 };

/// A graph under construction, with the values of its leaves.
struct Test {
    graph: Graph<usize>,
    vars: Vec<Vec<f64>>,
    fields: Vec<Vec<f64>>,
    random: Random,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// A multiple of 1/8 between -2 and 2, so that sums are exact and ties happen.
    fn number(&mut self) -> f64 {
        (self.below(33) as f64 - 16.0) / 8.0
    }
}

impl Test {
    fn new(seed: u64) -> Test {
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(99));
        Test { graph: Graph::default(), vars: Vec::new(), fields: Vec::new(), random }
    }

    fn push(&mut self, op: Op<usize>, inputs: &[NodeId], dtype: DType, shape: &[usize]) -> NodeId {
        self.graph.push(op, inputs.to_vec(), TensorType::new(dtype, shape.to_vec()), ORIGIN)
    }

    fn var(&mut self, shape: &[usize]) -> NodeId {
        let data = (0..shape.iter().product()).map(|_| self.random.number()).collect();
        self.vars.push(data);
        self.push(Op::Read(VarId(self.vars.len() as u32 - 1)), &[], DType::F32, shape)
    }

    fn field(&mut self, shape: &[usize]) -> NodeId {
        let data = (0..shape.iter().product()).map(|_| self.random.number()).collect();
        self.fields.push(data);
        self.push(Op::Field(self.fields.len() as u32 - 1), &[], DType::F32, shape)
    }

    /// Whole numbers below a limit, some of them out of range if asked for.
    fn indices(&mut self, shape: &[usize], limit: usize) -> NodeId {
        let data = (0..shape.iter().product()).map(|_| self.random.below(limit) as f64).collect();
        self.fields.push(data);
        self.push(Op::Field(self.fields.len() as u32 - 1), &[], DType::I32, shape)
    }

    fn shape(&self, id: NodeId) -> Vec<usize> {
        self.graph.ty(id).shape.clone()
    }

    fn map(&mut self, op: Op<usize>, inputs: &[NodeId]) -> NodeId {
        let ty = self.graph.ty(*inputs.last().unwrap()).clone();
        let dtype = if matches!(op, Op::Compare(_)) { DType::Bool } else { ty.dtype };
        self.push(op, inputs, dtype, &ty.shape)
    }

    fn binary(&mut self, op: Binary, a: NodeId, b: NodeId) -> NodeId {
        self.map(Op::Binary(op), &[a, b])
    }

    fn unary(&mut self, op: Unary, a: NodeId) -> NodeId {
        self.map(Op::Unary(op), &[a])
    }

    fn constant(&mut self, value: f64, shape: &[usize]) -> NodeId {
        let c = self.push(Op::Const(value), &[], DType::F32, &[]);
        self.broadcast(c, shape, &[])
    }

    fn broadcast(&mut self, x: NodeId, shape: &[usize], axes: &[usize]) -> NodeId {
        let dtype = self.graph.ty(x).dtype;
        self.push(Op::Broadcast { shape: shape.to_vec(), axes: axes.to_vec() }, &[x], dtype, shape)
    }

    fn reshape(&mut self, x: NodeId, shape: &[usize]) -> NodeId {
        let dtype = self.graph.ty(x).dtype;
        self.push(Op::Reshape { shape: shape.to_vec() }, &[x], dtype, shape)
    }

    fn transpose(&mut self, x: NodeId, perm: &[usize]) -> NodeId {
        let ty = self.graph.ty(x).clone();
        let shape: Vec<usize> = perm.iter().map(|&p| ty.shape[p]).collect();
        self.push(Op::Transpose { perm: perm.to_vec() }, &[x], ty.dtype, &shape)
    }

    fn reduce(&mut self, op: Reduce, x: NodeId, axes: &[usize]) -> NodeId {
        let shape = self.shape(x);
        let kept: Vec<usize> = (0..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect();
        self.push(Op::Reduce { op, axes: axes.to_vec() }, &[x], DType::F32, &kept)
    }

    fn relu(&mut self, x: NodeId) -> NodeId {
        let shape = self.shape(x);
        let zero = self.constant(0.0, &shape);
        self.binary(Binary::Max, x, zero)
    }

    fn matmul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        let (x, y) = (self.shape(a), self.shape(b));
        let batch = x.len() - 2;
        let shape = [&x[..batch + 1], &y[batch + 1..]].concat();
        self.push(Op::Matmul { batch }, &[a, b], DType::F32, &shape)
    }

    fn value(&mut self, node: NodeId) {
        let place = self.graph.outputs.iter().filter(|o| matches!(o.kind, OutputKind::Value(_))).count();
        self.graph.outputs.push(Output { kind: OutputKind::Value(place as u32), node });
    }

    fn update(&mut self, var: u32, node: NodeId) {
        self.graph.outputs.push(Output { kind: OutputKind::Update(VarId(var)), node });
    }

    /// Lowers, plans, runs and compares; gives the plan for further looks.
    fn check(&self) -> plan::Plan {
        let expected = evaluate(self);
        let schedule = plan::lower(&self.graph).unwrap_or_else(|e| panic!("{}", e.message));
        for kernel in &schedule.kernels {
            loops::verify(kernel).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
            let text = kernel.to_string();
            // As texts: a kernel that holds NaN doesn't equal itself.
            assert_eq!(loops::text::parse(&text).map(|k| k.to_string()).as_ref(), Ok(&text), "{text}");
        }
        let mut memory = self.memory(&schedule);
        plan::reference::run(&schedule, &mut memory).unwrap();
        self.compare(&schedule, &memory, &expected);

        let types: Vec<_> = self.vars.iter().map(|v| TensorType::new(DType::F32, vec![v.len()])).collect();
        let plan = plan::plan(schedule, &plan::var_layout(&types), &plan::NoWorkspace);
        plan::verify(&plan).unwrap();
        plan.schedule.kernels.iter().for_each(|k| loops::verify(k).unwrap());
        let mut memory = self.memory(&plan.schedule);
        plan::reference::run_plan(&plan, &mut memory).unwrap();
        self.compare(&plan.schedule, &memory, &expected);
        self.check_machine_code(&expected, 1, &plan::NoWorkspace);
        self.check_machine_code(&expected, 3, &Workspaces { threads: 3, keep: true });
        plan
    }

    /// The same by machine code, with as many threads.
    fn check_machine_code(&self, expected: &[Vec<f64>], threads: usize, sizes: &dyn plan::WorkspaceSizes) {
        let types: Vec<_> = self.vars.iter().map(|v| TensorType::new(DType::F32, vec![v.len()])).collect();
        let layout = plan::var_layout(&types);
        let schedule = plan::lower(&self.graph).unwrap_or_else(|e| panic!("{}", e.message));
        let plan = plan::plan(schedule, &layout, sizes);
        plan::verify(&plan).unwrap();
        let mut exe =
            Executable::load(&plan, &layout, Arc::new(Pool::new(threads))).unwrap_or_else(|e| panic!("{e:?}"));
        let (mut vars, mut arena) = (VarMemory::new(&layout), Arena::new(plan.arena_bytes));
        let mut memory = self.memory(&plan.schedule);
        let mut fields: Vec<&[u8]> = vec![&[]; self.fields.len()];
        for (data, buffer) in memory.iter().zip(&plan.schedule.buffers) {
            match buffer.kind {
                BufferKind::Var(v) => vars.write(v, data.bytes.len()).unwrap().copy_from_slice(&data.bytes),
                BufferKind::Field(i) => fields[i as usize] = &data.bytes,
                _ => {}
            }
        }
        let clock = ClockValues { step: 7, epoch: 7, steps: 7, epoch_steps: 7 };
        let seed = KEY[0] as u32 as u64 | (KEY[1] as u32 as u64) << 32;
        exe.run(&mut vars, &mut arena, &StepInputs { fields: &fields, clock, seed })
            .unwrap_or_else(|e| panic!("{e:?}"));
        for (data, buffer) in memory.iter_mut().zip(&plan.schedule.buffers) {
            match buffer.kind {
                BufferKind::Var(v) => data.bytes.copy_from_slice(vars.read(v, buffer.bytes()).unwrap()),
                BufferKind::Value(i) => data.bytes.copy_from_slice(exe.value(&arena, i).unwrap()),
                _ => {}
            }
        }
        self.compare(&plan.schedule, &memory, expected);
    }

    fn memory(&self, schedule: &plan::Schedule) -> Vec<BufferData> {
        let mut memory = plan::reference::memory(schedule);
        for (data, buffer) in memory.iter_mut().zip(&schedule.buffers) {
            match &buffer.kind {
                BufferKind::Var(v) => *data = BufferData::from_f64(buffer.dtype, &self.vars[v.0 as usize]),
                BufferKind::Field(i) => *data = BufferData::from_f64(buffer.dtype, &self.fields[*i as usize]),
                BufferKind::Key => *data = BufferData::from_i32(&KEY),
                BufferKind::Clock(_) => *data = BufferData::from_f32(&[7.0]),
                _ => {}
            }
        }
        memory
    }

    fn compare(&self, schedule: &plan::Schedule, memory: &[BufferData], expected: &[Vec<f64>]) {
        for output in &self.graph.outputs {
            let kind = match output.kind {
                OutputKind::Update(v) => BufferKind::Var(v),
                OutputKind::Value(i) => BufferKind::Value(i),
            };
            let want = &expected[output.node.index()];
            let at = schedule.buffers.iter().position(|b| b.kind == kind);
            let Some(at) = at else {
                // A variable that is updated with itself needs no buffer.
                let OutputKind::Update(v) = output.kind else { panic!("{output:?} is lost") };
                assert_eq!(*want, self.vars[v.0 as usize], "{output:?} is lost");
                continue;
            };
            let got = memory[at].to_f64();
            assert_eq!(got.len(), want.len());
            for (i, (g, w)) in got.iter().zip(want).enumerate() {
                let near = (g - w).abs() <= 2e-4 * (1.0 + w.abs()) || g == w || g.is_nan() && w.is_nan();
                assert!(near, "{output:?} element {i}: {g}, not {w}\n{}", dump(&self.graph, schedule));
            }
        }
    }
}

const KEY: [i32; 4] = [11, -22, 7, 0];

fn dump(graph: &Graph<usize>, schedule: &plan::Schedule) -> String {
    let mut text = String::new();
    for id in graph.ids() {
        let n = graph.node(id);
        text += &format!("n{} = {:?} {:?} {:?}\n", id.0, n.op, n.inputs, n.ty);
    }
    for launch in &schedule.launches {
        text += &format!("{:?}\n", launch.work);
    }
    schedule.kernels.iter().for_each(|k| text += &k.to_string());
    text
}

fn tuple(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for i in (0..shape.len()).rev() {
        out[i] = flat % shape[i];
        flat /= shape[i];
    }
    out
}

fn flat(at: &[usize], shape: &[usize]) -> usize {
    at.iter().zip(shape).fold(0, |sum, (i, n)| sum * n + i)
}

/// Every window of a pooling: (flat output, flat operand) pairs in order.
fn looks(window: &Window<usize>, operand: &[usize], out: &[usize], mut f: impl FnMut(usize, usize)) {
    let lead = operand.len() - window.kernel.len();
    for o in 0..out.iter().product() {
        let at = tuple(o, out);
        for k in 0..window.kernel.iter().product() {
            let k = tuple(k, &window.kernel);
            let mut x = at.clone();
            let inside = (0..k.len()).all(|i| {
                let p = at[lead + i] * window.stride[i] + k[i] * window.dilation[i];
                x[lead + i] = p.wrapping_sub(window.pad_low[i]);
                x[lead + i] < operand[lead + i]
            });
            if inside {
                f(o, flat(&x, operand));
            }
        }
    }
}

/// Every product of a convolution: (flat x, flat weight, flat y).
fn products(
    w: &Window<usize>,
    groups: usize,
    x: &[usize],
    k: &[usize],
    y: &[usize],
    mut f: impl FnMut(usize, usize, usize),
) {
    for o in 0..y.iter().product() {
        let at = tuple(o, y);
        for e in 0..k[1..].iter().product() {
            let e = tuple(e, &k[1..]);
            let mut from = vec![at[0], at[1] / (y[1] / groups) * k[1] + e[0]];
            for i in 0..w.kernel.len() {
                from.push((at[2 + i] * w.stride[i] + e[1 + i] * w.dilation[i]).wrapping_sub(w.pad_low[i]));
            }
            if from.iter().zip(x).all(|(a, n)| a < n) {
                f(flat(&from, x), flat(&[&at[1..2], &e[..]].concat(), k), o);
            }
        }
    }
}

/// The value of every node.
fn evaluate(test: &Test) -> Vec<Vec<f64>> {
    let g = &test.graph;
    let mut all: Vec<Vec<f64>> = Vec::new();
    for id in g.ids() {
        let n = g.node(id);
        let shape = &n.ty.shape;
        let count: usize = shape.iter().product();
        let from = |i: usize| &all[n.inputs[i].index()];
        let dims = |i: usize| &g.ty(n.inputs[i]).shape;
        let number =
            |v: f64, d: DType| if d.is_float() { scalar::Scalar::Float(v) } else { scalar::Scalar::Int(v as i64) };
        let gather = |f: &dyn Fn(&[usize]) -> f64| (0..count).map(|i| f(&tuple(i, shape))).collect::<Vec<f64>>();
        let value: Vec<f64> = match &n.op {
            Op::Read(v) => test.vars[v.0 as usize].clone(),
            Op::Field(i) => test.fields[*i as usize].clone(),
            Op::Clock(_) => vec![7.0],
            Op::Key => KEY.iter().map(|&k| k as f64).collect(),
            Op::Const(v) => vec![*v],
            Op::Literal(v) => v.clone(),
            Op::Iota { size } => (0..*size).map(|i| i as f64).collect(),
            Op::Unary(op) => {
                from(0).iter().map(|&a| scalar::unary(*op, number(a, n.ty.dtype), n.ty.dtype).float()).collect()
            }
            Op::Binary(op) => (0..count)
                .map(|i| {
                    scalar::binary(*op, number(from(0)[i], n.ty.dtype), number(from(1)[i], n.ty.dtype), n.ty.dtype)
                        .float()
                })
                .collect(),
            Op::Compare(op) => (0..count)
                .map(|i| {
                    scalar::compare(*op, scalar::Scalar::Float(from(0)[i]), scalar::Scalar::Float(from(1)[i])).float()
                })
                .collect(),
            Op::Select => (0..count).map(|i| if from(0)[i] != 0.0 { from(1)[i] } else { from(2)[i] }).collect(),
            Op::Cast => from(0).iter().map(|&a| scalar::Scalar::Float(a).cast(n.ty.dtype).float()).collect(),
            Op::StopGradient | Op::Reshape { .. } => from(0).clone(),
            Op::Uniform { site, .. } => (0..count).map(|i| threefry(i as u32, *site)).collect(),
            Op::Broadcast { axes, .. } => gather(&|at| {
                let inner: Vec<usize> =
                    (0..axes.len()).map(|i| if dims(0)[i] == 1 { 0 } else { at[axes[i]] }).collect();
                from(0)[flat(&inner, dims(0))]
            }),
            Op::Transpose { perm } => gather(&|at| {
                let mut inner = vec![0; perm.len()];
                perm.iter().zip(at).for_each(|(&p, &i)| inner[p] = i);
                from(0)[flat(&inner, dims(0))]
            }),
            Op::Slice { start, step, .. } => gather(&|at| {
                let inner: Vec<usize> =
                    (0..at.len()).map(|i| (start[i] as i64 + step[i] * at[i] as i64) as usize).collect();
                from(0)[flat(&inner, dims(0))]
            }),
            Op::Pad { low, value, .. } => gather(&|at| {
                let inner: Vec<usize> = at.iter().zip(low).map(|(a, l)| a.wrapping_sub(*l)).collect();
                if inner.iter().zip(dims(0)).all(|(a, n)| a < n) { from(0)[flat(&inner, dims(0))] } else { *value }
            }),
            Op::Concat { axis } => gather(&|at| {
                let mut at = at.to_vec();
                for i in 0..n.inputs.len() {
                    if at[*axis] < dims(i)[*axis] {
                        return from(i)[flat(&at, dims(i))];
                    }
                    at[*axis] -= dims(i)[*axis];
                }
                f64::NAN
            }),
            Op::Reduce { op, axes } => {
                let mut out = vec![scalar::fold_start(*op, DType::F32).float(); count];
                for (i, v) in from(0).iter().enumerate() {
                    let at: Vec<usize> = tuple(i, dims(0))
                        .into_iter()
                        .enumerate()
                        .filter(|(a, _)| !axes.contains(a))
                        .map(|t| t.1)
                        .collect();
                    let o = &mut out[flat(&at, shape)];
                    *o = match op {
                        Reduce::Sum => *o + v,
                        Reduce::Prod => *o * v,
                        Reduce::Max => o.max(*v),
                        Reduce::Min => o.min(*v),
                    };
                }
                out
            }
            Op::ArgReduce { max, axis } => gather(&|at| {
                let mut best = (0, f64::NAN);
                for k in 0..dims(0)[*axis] {
                    let mut inner = at.to_vec();
                    inner.insert(*axis, k);
                    let v = from(0)[flat(&inner, dims(0))];
                    if k == 0 || if *max { v > best.1 } else { v < best.1 } {
                        best = (k, v);
                    }
                }
                best.0 as f64
            }),
            Op::Take { axis } => gather(&|at| {
                let rank = dims(1).len();
                let index = from(1)[flat(&at[*axis..*axis + rank], dims(1))] as usize;
                let mut inner = at.to_vec();
                inner.splice(*axis..*axis + rank, [index]);
                if index < dims(0)[*axis] { from(0)[flat(&inner, dims(0))] } else { f64::NAN }
            }),
            Op::Pick { axis } => gather(&|at| {
                let mut inner = at.to_vec();
                inner.insert(*axis, from(1)[flat(at, dims(1))] as usize);
                if inner[*axis] < dims(0)[*axis] { from(0)[flat(&inner, dims(0))] } else { f64::NAN }
            }),
            Op::ScatterAdd { axis, size } => {
                let mut out = vec![0.0; count];
                let rank = dims(1).len();
                for (i, v) in from(0).iter().enumerate() {
                    let mut at = tuple(i, dims(0));
                    let index = from(1)[flat(&at[*axis..*axis + rank], dims(1))] as usize;
                    at.splice(*axis..*axis + rank, [index]);
                    if index < *size {
                        out[flat(&at, shape)] += v;
                    }
                }
                out
            }
            Op::Matmul { batch } => gather(&|at| {
                let (b, [i, j]) = (&at[..*batch], [at[*batch], at[*batch + 1]]);
                let term = |k: usize| {
                    from(0)[flat(&[b, &[i, k]].concat(), dims(0))] * from(1)[flat(&[b, &[k, j]].concat(), dims(1))]
                };
                (0..dims(0)[*batch + 1]).map(term).sum()
            }),
            Op::Conv { window, groups } => {
                let mut out = vec![0.0; count];
                products(window, *groups, dims(0), dims(1), shape, |x, w, y| out[y] += from(0)[x] * from(1)[w]);
                out
            }
            Op::ConvInputGrad { window, groups, .. } => {
                let mut out = vec![0.0; count];
                products(window, *groups, shape, dims(1), dims(0), |x, w, y| out[x] += from(0)[y] * from(1)[w]);
                out
            }
            Op::ConvWeightGrad { window, groups } => {
                let mut out = vec![0.0; count];
                products(window, *groups, dims(0), shape, dims(1), |x, w, y| out[w] += from(0)[x] * from(1)[y]);
                out
            }
            Op::MaxPool { window } => {
                let mut out = vec![f64::NEG_INFINITY; count];
                looks(window, dims(0), shape, |o, x| out[o] = out[o].max(from(0)[x]));
                out
            }
            Op::SumPool { window } => {
                let mut out = vec![0.0; count];
                looks(window, dims(0), shape, |o, x| out[o] += from(0)[x]);
                out
            }
            Op::MaxPoolGrad { window } => {
                let mut best: Vec<Option<usize>> = vec![None; dims(1).iter().product()];
                looks(window, shape, dims(1), |o, x| {
                    if best[o].is_none_or(|b| from(0)[x] > from(0)[b]) {
                        best[o] = Some(x);
                    }
                });
                let mut out = vec![0.0; count];
                best.iter().enumerate().for_each(|(o, b)| out[b.unwrap()] += from(1)[o]);
                out
            }
            Op::SumPoolGrad { window, .. } => {
                let mut out = vec![0.0; count];
                looks(window, shape, dims(0), |o, x| out[x] += from(0)[o]);
                out
            }
            other => unreachable!("the graphs here have no {other:?}"),
        };
        all.push(value);
    }
    all
}

/// The definition of `Op::Uniform`, with `KEY`.
fn threefry(element: u32, site: u64) -> f64 {
    let k0 = KEY[0] as u32 ^ site as u32;
    let k1 = KEY[1] as u32 ^ (site >> 32) as u32;
    let keys = [k0, k1, 0x1BD1_1BDA ^ k0 ^ k1];
    let step = (KEY[2] as u32).wrapping_add((KEY[3] as u32).wrapping_mul(0x9E37_79B9));
    let (mut x, mut y) = (element.wrapping_add(k0), step.wrapping_add(k1));
    for round in 0..20 {
        x = x.wrapping_add(y);
        y = y.rotate_left([13, 15, 26, 6, 17, 29, 16, 24][round % 8]) ^ x;
        if round % 4 == 3 {
            let s = round / 4 + 1;
            x = x.wrapping_add(keys[s % 3]);
            y = y.wrapping_add(keys[(s + 1) % 3]).wrapping_add(s as u32);
        }
    }
    (x >> 8) as f64 / (1 << 24) as f64
}

fn window(kernel: &[usize], stride: usize, dilation: usize, low: usize, high: usize) -> Window<usize> {
    let all = |n: usize| vec![n; kernel.len()];
    Window {
        kernel: kernel.to_vec(),
        stride: all(stride),
        dilation: all(dilation),
        pad_low: all(low),
        pad_high: all(high),
    }
}

fn pooled(shape: &[usize], w: &Window<usize>) -> Vec<usize> {
    let lead = shape.len() - w.kernel.len();
    let mut out = shape.to_vec();
    for i in 0..w.kernel.len() {
        let reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
        out[lead + i] = (shape[lead + i] + w.pad_low[i] + w.pad_high[i] - reach) / w.stride[i] + 1;
    }
    out
}

fn kernels(plan: &plan::Plan) -> usize {
    plan.schedule.launches.iter().filter(|l| matches!(l.work, Work::Loops { .. })).count()
}

#[test]
fn elementwise_chain_is_one_flat_vector_loop() {
    let mut t = Test::new(1);
    let (x, y) = (t.field(&[4, 5, 6]), t.field(&[4, 5, 6]));
    let s = t.binary(Binary::Add, x, y);
    let r = t.relu(s);
    let e = t.unary(Unary::Tanh, r);
    t.value(e);
    let plan = t.check();
    assert_eq!(kernels(&plan), 1);
    let text = plan.schedule.kernels[0].to_string();
    assert!(text.contains("{\n  vector i0 in 0..120 {"), "{text}");
}

#[test]
fn adam_is_one_kernel_in_place() {
    let mut t = Test::new(2);
    let shape = [64, 10];
    let (p, m, v, g) = (t.var(&shape), t.var(&shape), t.var(&shape), t.field(&shape));
    let keep = |t: &mut Test, old: NodeId, new: NodeId, beta: f64| {
        let (b, c) = (t.constant(beta, &[64, 10]), t.constant(1.0 - beta, &[64, 10]));
        let (a, b) = (t.binary(Binary::Mul, old, b), t.binary(Binary::Mul, new, c));
        t.binary(Binary::Add, a, b)
    };
    let m1 = keep(&mut t, m, g, 0.9);
    let gg = t.binary(Binary::Mul, g, g);
    let v1 = keep(&mut t, v, gg, 0.999);
    let (eps, rate) = (t.constant(1e-3, &shape), t.constant(1e-2, &shape));
    let root = t.unary(Unary::Abs, v1);
    let root = t.unary(Unary::Sqrt, root);
    let below = t.binary(Binary::Add, root, eps);
    let step = t.binary(Binary::Div, m1, below);
    let step = t.binary(Binary::Mul, step, rate);
    let p1 = t.binary(Binary::Sub, p, step);
    t.update(0, p1);
    t.update(1, m1);
    t.update(2, v1);
    let plan = t.check();
    assert_eq!(plan.schedule.launches.len(), 1);
    assert_eq!(plan.schedule.buffers.len(), 4, "all three are updated in place");
    assert!(plan.schedule.kernels[0].to_string().contains("vector i0 in 0..640"));
}

#[test]
fn softmax_is_one_kernel_of_rows() {
    let mut t = Test::new(3);
    let x = t.field(&[8, 40]);
    let m = t.reduce(Reduce::Max, x, &[1]);
    let mb = t.broadcast(m, &[8, 40], &[0]);
    let d = t.binary(Binary::Sub, x, mb);
    let e = t.unary(Unary::Exp, d);
    let s = t.reduce(Reduce::Sum, e, &[1]);
    let sb = t.broadcast(s, &[8, 40], &[0]);
    let y = t.binary(Binary::Div, e, sb);
    t.value(y);
    assert_eq!(kernels(&t.check()), 1);
}

#[test]
fn normalisation_over_channels_stores_its_statistics() {
    let mut t = Test::new(4);
    let x = t.field(&[4, 3, 5, 5]);
    let s = t.reduce(Reduce::Sum, x, &[0, 2, 3]);
    let n = t.constant(0.01, &[3]);
    let mean = t.binary(Binary::Mul, s, n);
    let b = t.broadcast(mean, &[4, 3, 5, 5], &[1]);
    let d = t.binary(Binary::Sub, x, b);
    t.value(d);
    assert_eq!(kernels(&t.check()), 2);
}

#[test]
fn large_sums_are_split() {
    let mut t = Test::new(5);
    let x = t.field(&[200, 96]);
    let y = t.binary(Binary::Mul, x, x);
    let s = t.reduce(Reduce::Sum, y, &[0, 1]);
    t.value(s);
    assert_eq!(kernels(&t.check()), 2);
}

#[test]
fn movement() {
    let mut t = Test::new(6);
    let x = t.field(&[4, 6, 5]);
    let d = t.binary(Binary::Add, x, x);
    let p = t.transpose(d, &[2, 0, 1]);
    t.value(p);
    let r = t.reshape(p, &[10, 12]);
    let r = t.unary(Unary::Neg, r);
    t.value(r);
    let s = Op::Slice { start: vec![9, 1], size: vec![5, 4], step: vec![-2, 3] };
    let s = t.push(s, &[r], DType::F32, &[5, 4]);
    let q = Op::Pad { low: vec![1, 0], high: vec![2, 3], value: 1.5 };
    let q = t.push(q, &[s], DType::F32, &[8, 7]);
    let q = t.unary(Unary::Exp, q);
    t.value(q);
    let c = t.push(Op::Concat { axis: 1 }, &[q, q, s], DType::F32, &[8, 7]);
    let _ = c;
    let c = t.push(Op::Concat { axis: 0 }, &[s, s], DType::F32, &[10, 4]);
    t.value(c);
    let i = t.push(Op::Iota { size: 7 }, &[], DType::I32, &[7]);
    let i = t.push(Op::Cast, &[i], DType::F32, &[7]);
    let i = t.broadcast(i, &[8, 7], &[1]);
    let z = t.binary(Binary::Mul, i, q);
    t.value(z);
    let l = t.push(Op::Literal(vec![1.0, -2.0, 3.0]), &[], DType::F32, &[3]);
    let l = t.unary(Unary::Abs, l);
    t.value(l);
    t.check();
}

#[test]
fn odd_reshapes_divide_at_run_time() {
    let mut t = Test::new(7);
    let x = t.field(&[6, 4]);
    let y = t.transpose(x, &[1, 0]);
    let y = t.reshape(y, &[8, 3]);
    let y = t.transpose(y, &[1, 0]);
    let y = t.reshape(y, &[4, 6]);
    let s = t.reduce(Reduce::Sum, y, &[1]);
    t.value(y);
    t.value(s);
    t.check();
}

#[test]
fn gathers_and_scatters() {
    let mut t = Test::new(8);
    let x = t.field(&[7, 3, 4]);
    let i = t.indices(&[2, 5], 9);
    let y = t.push(Op::Take { axis: 0 }, &[x, i], DType::F32, &[2, 5, 3, 4]);
    let y = t.unary(Unary::Neg, y);
    t.value(y);
    let j = t.indices(&[5], 4);
    let y = t.push(Op::Take { axis: 2 }, &[x, j], DType::F32, &[7, 3, 5]);
    t.value(y);
    let u = t.field(&[2, 5, 128]);
    let u2 = t.binary(Binary::Add, u, u);
    let s = t.push(Op::ScatterAdd { axis: 0, size: 8 }, &[u2, i], DType::F32, &[8, 128]);
    t.value(s);
    let u = t.field(&[3, 5, 2]);
    let s = t.push(Op::ScatterAdd { axis: 1, size: 3 }, &[u, j], DType::F32, &[3, 3, 2]);
    t.value(s);
    let u = t.field(&[6]);
    let k = t.indices(&[6], 5);
    let s = t.push(Op::ScatterAdd { axis: 0, size: 4 }, &[u, k], DType::F32, &[4]);
    t.value(s);
    let k = t.indices(&[7, 4], 4);
    let p = t.push(Op::Pick { axis: 1 }, &[x, k], DType::F32, &[7, 4]);
    t.value(p);
    for max in [true, false] {
        let a = t.push(Op::ArgReduce { max, axis: 1 }, &[x], DType::I32, &[7, 4]);
        t.value(a);
    }
    t.check();
}

#[test]
fn pooling() {
    for (seed, w) in [
        window(&[2, 2], 2, 1, 0, 0),
        window(&[3, 3], 2, 1, 1, 1),
        window(&[2, 3], 1, 2, 0, 0),
        window(&[5, 5], 3, 1, 2, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let mut t = Test::new(20 + seed as u64);
        let x = t.field(&[2, 3, 8, 8]);
        let x = t.relu(x);
        let out = pooled(&[2, 3, 8, 8], &w);
        let dy = t.field(&out);
        let m = t.push(Op::MaxPool { window: w.clone() }, &[x], DType::F32, &out);
        let s = t.push(Op::SumPool { window: w.clone() }, &[x], DType::F32, &out);
        let mg = t.push(Op::MaxPoolGrad { window: w.clone() }, &[x, dy], DType::F32, &[2, 3, 8, 8]);
        let sg = t.push(Op::SumPoolGrad { window: w, size: vec![8, 8] }, &[dy], DType::F32, &[2, 3, 8, 8]);
        let mg = t.unary(Unary::Neg, mg);
        for y in [m, s, mg, sg] {
            t.value(y);
        }
        t.check();
    }
}

#[test]
fn draws_follow_their_definition() {
    let mut t = Test::new(9);
    let key = t.push(Op::Key, &[], DType::I32, &[4]);
    let u = t.push(Op::Uniform { shape: vec![3, 7], site: 0x1234_5678_9abc }, &[key], DType::F32, &[3, 7]);
    let half = t.constant(0.5, &[3, 7]);
    let mask = t.map(Op::Compare(Compare::Lt), &[u, half]);
    let x = t.field(&[3, 7]);
    let zero = t.constant(0.0, &[3, 7]);
    let y = t.push(Op::Select, &[mask, x, zero], DType::F32, &[3, 7]);
    t.value(u);
    t.value(y);
    t.check();
}

#[test]
fn matrix_products_of_views() {
    let mut t = Test::new(10);
    let a = t.field(&[3, 4, 2, 5]);
    let b = t.field(&[3, 5, 6]);
    let at = t.transpose(a, &[0, 2, 1, 3]);
    let ar = t.reshape(at, &[3, 8, 5]);
    let c = t.matmul(ar, b);
    t.value(c);
    let w = t.var(&[7, 5]);
    let wt = t.transpose(w, &[1, 0]);
    let flat = t.reshape(a, &[24, 5]);
    let d = t.matmul(flat, wt);
    let d = t.relu(d);
    t.value(d);
    let s = t.push(Op::Slice { start: vec![1, 5], size: vec![4, 5], step: vec![2, -1] }, &[d], DType::F32, &[4, 5]);
    let e = t.matmul(s, wt);
    let _ = e;
    let wide = t.broadcast(w, &[3, 7, 5], &[1, 2]);
    let f = t.matmul(wide, b);
    t.value(f);
    let k = t.field(&[3, 2, 4, 5]);
    let k = t.transpose(k, &[0, 1, 3, 2]);
    let heads = t.matmul(at, k);
    t.value(heads);
    let g = t.matmul(w, wt);
    let gt = t.transpose(g, &[1, 0]);
    let gt = t.relu(gt);
    t.value(gt);
    let h = t.matmul(heads, at);
    let ht = t.transpose(h, &[0, 1, 3, 2]);
    let ht = t.relu(ht);
    t.value(ht);
    let plan = t.check();
    let copies = plan.schedule.kernels.iter().filter(|k| k.name.starts_with("transpose")).count();
    assert_eq!(copies, 1, "only the heads need a copy");
}

#[test]
fn convolutions_and_their_gradients() {
    for (w, groups) in
        [(window(&[3, 3], 1, 1, 1, 1), 1), (window(&[3, 2], 2, 1, 1, 0), 2), (window(&[3], 1, 2, 2, 2), 1)]
    {
        let mut t = Test::new(30);
        let shape: Vec<usize> = [2, 4].into_iter().chain(vec![7; w.kernel.len()]).collect();
        let k: Vec<usize> = [6, 4 / groups].into_iter().chain(w.kernel.clone()).collect();
        let mut out = pooled(&shape, &w);
        out[1] = 6;
        let (x, weight, dy) = (t.field(&shape), t.var(&k), t.field(&out));
        let y = t.push(Op::Conv { window: w.clone(), groups }, &[x, weight], DType::F32, &out);
        let y = t.relu(y);
        t.value(y);
        let size = shape[2..].to_vec();
        let dx = t.push(Op::ConvInputGrad { window: w.clone(), groups, size }, &[dy, weight], DType::F32, &shape);
        t.value(dx);
        let dw = t.push(Op::ConvWeightGrad { window: w.clone(), groups }, &[x, dy], DType::F32, &k);
        t.value(dw);
        t.check();
    }
}

#[test]
fn convolution_in_space_is_refused() {
    let mut t = Test::new(31);
    let (x, w) = (t.field(&[1, 1, 3, 3, 3]), t.field(&[1, 1, 1, 1, 1]));
    let y =
        t.push(Op::Conv { window: window(&[1, 1, 1], 1, 1, 0, 0), groups: 1 }, &[x, w], DType::F32, &[1, 1, 3, 3, 3]);
    t.value(y);
    let error = plan::lower(&t.graph).unwrap_err();
    assert_eq!(error.message, "convolution over 3 axes is not supported on this target yet");
}

#[test]
fn variables_that_swap_and_are_read_later() {
    let mut t = Test::new(11);
    let (a, b, c) = (t.var(&[6]), t.var(&[6]), t.var(&[2, 3]));
    t.update(0, b);
    t.update(1, a);
    let turned = t.transpose(c, &[1, 0]);
    let turned = t.reshape(turned, &[2, 3]);
    t.update(2, turned);
    let d = t.binary(Binary::Add, a, b);
    t.value(d);
    let e = t.unary(Unary::Exp, turned);
    t.value(e);
    t.value(c);
    t.value(c);
    t.check();
}

#[test]
fn bias_and_activation_finish_the_tiles_of_a_product() {
    let mut t = Test::new(12);
    let (a, b, bias) = (t.field(&[9, 5]), t.var(&[5, 7]), t.var(&[7]));
    let c = t.matmul(a, b);
    let wide = t.broadcast(bias, &[9, 7], &[1]);
    let c = t.binary(Binary::Add, c, wide);
    let c = t.unary(Unary::Tanh, c);
    t.value(c);
    let (x, w, bias) = (t.field(&[2, 3, 6, 6]), t.var(&[4, 3, 3, 3]), t.var(&[4]));
    let y = t.push(Op::Conv { window: window(&[3, 3], 1, 1, 1, 1), groups: 1 }, &[x, w], DType::F32, &[2, 4, 6, 6]);
    let wide = t.broadcast(bias, &[2, 4, 6, 6], &[1]);
    let y = t.binary(Binary::Add, y, wide);
    let y = t.relu(y);
    let z = t.reduce(Reduce::Sum, y, &[2, 3]);
    t.value(y);
    t.value(z);
    let plan = t.check();
    assert_eq!(plan.schedule.launches.len(), 3, "{}", plan::show::plan(&plan));
    assert_eq!(kernels(&plan), 1);
}

/// A training step of a small convolutional network: two convolutions, two dense layers, cross-entropy, Adam.
fn conv_net(t: &mut Test, batch: usize, side: usize, channels: [usize; 2], hidden: usize) {
    let x = t.field(&[batch, 1, side, side]);
    let labels = t.indices(&[batch], 10);
    let mut params = Vec::new();
    let param = |t: &mut Test, params: &mut Vec<NodeId>, shape: &[usize]| {
        let p = t.var(shape);
        t.vars.last_mut().unwrap().iter_mut().for_each(|v| *v *= 0.25);
        params.push(p);
        p
    };
    let mut h = x;
    for out in channels {
        let shape = t.shape(h);
        let w = param(t, &mut params, &[out, shape[1], 3, 3]);
        let b = param(t, &mut params, &[out]);
        let g = Builder::new(&mut t.graph, ORIGIN);
        let full = [batch, out, shape[2], shape[3]];
        let y = g.op(Op::Conv { window: window(&[3, 3], 1, 1, 1, 1), groups: 1 }, &[h, w]);
        let y = g.add(y, g.broadcast(b, &full, &[1]));
        let y = g.binary(Binary::Max, y, g.full_like(y, 0.0));
        h = g.op(Op::MaxPool { window: window(&[2, 2], 2, 1, 0, 0) }, &[y]);
    }
    let features = t.shape(h)[1..].iter().product();
    h = Builder::new(&mut t.graph, ORIGIN).reshape(h, &[batch, features]);
    for (i, out) in [hidden, 10].into_iter().enumerate() {
        let from = t.shape(h)[1];
        let w = param(t, &mut params, &[out, from]);
        let b = param(t, &mut params, &[out]);
        let g = Builder::new(&mut t.graph, ORIGIN);
        let y = g.matmul(h, g.swap_last(w));
        let y = g.add(y, g.broadcast(b, &[batch, out], &[1]));
        h = if i == 0 { g.binary(Binary::Max, y, g.full_like(y, 0.0)) } else { y };
    }
    let g = Builder::new(&mut t.graph, ORIGIN);
    let m = g.broadcast(g.reduce(Reduce::Max, h, &[1]), &[batch, 10], &[0]);
    let d = g.sub(h, m);
    let lse = g.unary(Unary::Log, g.sum(g.unary(Unary::Exp, d), &[1]));
    let logp = g.sub(d, g.broadcast(lse, &[batch, 10], &[0]));
    let picked = g.op(Op::Pick { axis: 1 }, &[logp, labels]);
    let loss = g.neg(g.scale(g.sum(picked, &[0]), 1.0 / batch as f64));
    let best = g.op(Op::ArgReduce { max: true, axis: 1 }, &[h]);
    let hits = g.cast(g.compare(Compare::Eq, best, labels), DType::F32);
    let accuracy = g.scale(g.sum(hits, &[0]), 1.0 / batch as f64);
    let gradients: Vec<NodeId> = params.iter().map(|&p| g.op(Op::Gradient, &[loss, p])).collect();
    let clock = g.op(Op::Clock(Clock::Step), &[]);
    let count = g.shift(clock, 1.0);
    let correction =
        |beta: f64| g.sub(g.constant(1.0, DType::F32), g.binary(Binary::Pow, g.constant(beta, DType::F32), count));
    let (c1, c2) = (correction(0.9), correction(0.999));

    let mut news = Vec::new();
    for (&p, &grad) in params.iter().zip(&gradients) {
        let shape = t.shape(p);
        let (m, v) = (t.var(&shape), t.var(&shape));
        t.vars.last_mut().unwrap().iter_mut().for_each(|v| *v = v.abs());
        let g = Builder::new(&mut t.graph, ORIGIN);
        let m1 = g.add(g.scale(m, 0.9), g.scale(grad, 0.1));
        let v1 = g.add(g.scale(v, 0.999), g.scale(g.mul(grad, grad), 0.001));
        let mh = g.div(m1, g.broadcast(c1, &shape, &[]));
        let vh = g.div(v1, g.broadcast(c2, &shape, &[]));
        let step = g.div(mh, g.shift(g.unary(Unary::Sqrt, vh), 1e-2));
        news.push([g.sub(p, g.scale(step, 1e-3)), m1, v1]);
    }
    t.value(loss);
    t.value(accuracy);
    let count = params.len() as u32;
    for (i, new) in news.iter().enumerate() {
        let i = i as u32;
        t.update(i, new[0]);
        t.update(count + 2 * i, new[1]);
        t.update(count + 2 * i + 1, new[2]);
    }
    let graph = std::mem::take(&mut t.graph);
    t.graph = nnc::opt::optimise(nnc::autodiff::differentiate(graph).unwrap());
}

#[test]
fn conv_net_step() {
    let mut t = Test::new(40);
    conv_net(&mut t, 3, 8, [4, 6], 16);
    t.check();
}

#[test]
fn conv_net_step_has_few_kernels() {
    let mut t = Test::new(41);
    conv_net(&mut t, 64, 28, [32, 64], 128);
    let schedule = plan::lower(&t.graph).unwrap();
    schedule.kernels.iter().for_each(|k| loops::verify(k).unwrap());
    if std::env::var_os("NNC_SHOW").is_some() {
        println!("{}{}", plan::show::fused(&nnc::opt::fuse::fuse(&t.graph)), plan::show::schedule(&schedule));
        println!("{}", plan::show::kernels(&schedule));
    }
    let types: Vec<_> = t.vars.iter().map(|v| TensorType::new(DType::F32, vec![v.len()])).collect();
    let plan = plan::plan(schedule, &plan::var_layout(&types), &plan::NoWorkspace);
    plan::verify(&plan).unwrap();
    assert!(plan.arena_bytes as f64 <= plan.lower_bound as f64 * 1.05, "{} of {}", plan.arena_bytes, plan.lower_bound);
    let report = plan::report(&plan, &nnc::source::Sources::default());
    assert_eq!(report.rows[0].bytes, 64 * 32 * 28 * 28 * 4);
    assert!(report.table(12).contains("f32[64, 32, 28, 28]  temporary"), "{}", report.table(12));
    assert!(plan::show::plan(&plan).contains("conv weightgrad"));
    println!("{}{}", report.table(12), plan::show::plan(&plan));
    println!(
        "{} kernels, {} launches, arena {} bound {}",
        plan.schedule.kernels.len(),
        plan.schedule.launches.len(),
        plan.arena_bytes,
        plan.lower_bound
    );
    assert!(plan.schedule.kernels.len() < 40, "{} kernels", plan.schedule.kernels.len());
}

/// A random graph of small tensors.
fn random_graph(seed: u64) -> Test {
    let mut t = Test::new(seed);
    let mut nodes = Vec::new();
    let size = |t: &mut Test| [1, 2, 3, 4, 6][t.random.below(5)];
    for _ in 0..2 {
        let rank = t.random.below(4);
        let shape: Vec<usize> = (0..rank).map(|_| size(&mut t)).collect();
        nodes.push(t.var(&shape));
        nodes.push(t.field(&shape));
    }
    let steps = 4 + t.random.below(24);
    for _ in 0..steps {
        let x = nodes[t.random.below(nodes.len())];
        let shape = t.shape(x);
        let rank = shape.len();
        let node = match t.random.below(14) {
            0 | 1 => {
                let op = [Unary::Neg, Unary::Tanh, Unary::Sin, Unary::Abs][t.random.below(4)];
                t.unary(op, x)
            }
            2..=4 => {
                let op = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max][t.random.below(4)];
                let same: Vec<NodeId> = nodes.iter().copied().filter(|&n| t.shape(n) == shape).collect();
                let y = same[t.random.below(same.len())];
                t.binary(op, x, y)
            }
            5 => {
                // New axes anywhere, and axes of one element stretched.
                let mut out = Vec::new();
                let mut axes = Vec::new();
                for &n in &shape {
                    if t.random.below(3) == 0 && out.len() < 4 {
                        out.push(size(&mut t));
                    }
                    axes.push(out.len());
                    out.push(if n == 1 { size(&mut t) } else { n });
                }
                if out.len() > 4 || out.iter().product::<usize>() > 500 {
                    continue;
                }
                t.broadcast(x, &out, &axes)
            }
            6 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for i in 1..rank {
                    let j = t.random.below(i + 1);
                    perm.swap(i, j);
                }
                t.transpose(x, &perm)
            }
            7 | 8 => {
                let mut rest: usize = shape.iter().product();
                let mut out = Vec::new();
                for factor in [2, 3, 2, 1, 4] {
                    if rest.is_multiple_of(factor) && t.random.below(2) == 0 {
                        out.push(factor);
                        rest /= factor;
                    }
                }
                let at = t.random.below(out.len() + 1);
                out.insert(at, rest);
                t.reshape(x, &out)
            }
            9 => {
                let (mut start, mut count, mut step) = (vec![], vec![], vec![]);
                for &n in &shape {
                    let m = 1 + t.random.below(n);
                    let back = t.random.below(2) == 0;
                    count.push(m);
                    step.push(if back { -1 } else { 1 });
                    let first = t.random.below(n - m + 1);
                    start.push(if back { first + m - 1 } else { first });
                }
                t.push(Op::Slice { start, size: count.clone(), step }, &[x], DType::F32, &count)
            }
            10 => {
                let low: Vec<usize> = shape.iter().map(|_| t.random.below(3)).collect();
                let high: Vec<usize> = shape.iter().map(|_| t.random.below(2)).collect();
                let out: Vec<usize> = (0..rank).map(|i| shape[i] + low[i] + high[i]).collect();
                if out.iter().product::<usize>() > 500 {
                    continue;
                }
                let value = t.random.number();
                t.push(Op::Pad { low, high, value }, &[x], DType::F32, &out)
            }
            11 if rank > 0 => {
                let axis = t.random.below(rank);
                let parts: Vec<NodeId> = nodes
                    .iter()
                    .copied()
                    .filter(|&n| {
                        let s = t.shape(n);
                        s.len() == rank && (0..rank).all(|i| i == axis || s[i] == shape[i])
                    })
                    .take(3)
                    .collect();
                let mut out = shape.clone();
                out[axis] = parts.iter().map(|&p| t.shape(p)[axis]).sum();
                t.push(Op::Concat { axis }, &parts, DType::F32, &out)
            }
            _ => {
                let axes: Vec<usize> = (0..rank).filter(|_| t.random.below(2) == 0).collect();
                let op = [Reduce::Sum, Reduce::Max, Reduce::Min][t.random.below(3)];
                t.reduce(op, x, &axes)
            }
        };
        nodes.push(node);
    }
    for _ in 0..1 + t.random.below(4) {
        let node = nodes[t.random.below(nodes.len())];
        t.value(node);
    }
    let last = *nodes.last().unwrap();
    t.value(last);
    for var in 0..2 {
        let shape = t.shape(nodes[2 * var]);
        let same: Vec<NodeId> = nodes.iter().copied().filter(|&n| t.shape(n) == shape).collect();
        let node = same[same.len() - 1 - t.random.below(same.len().min(3))];
        t.update(var as u32, node);
    }
    t
}

#[test]
fn random_graphs() {
    for seed in 0..600 {
        let t = random_graph(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| t.check()));
        assert!(result.is_ok(), "seed {seed}");
    }
}
