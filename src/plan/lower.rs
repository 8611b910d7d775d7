//! From a graph to a schedule. In: a graph that can run. Out: buffers, deduplicated kernels and launches in an order in
//! which every value is written before it is read, and no variable is overwritten before its old value was last read.

use super::lower_kernel::{lower_epilogue, lower_kernel};
use super::lower_order::{Step, Uses, order};
use super::lower_runtime::lower_runtime;
use super::lower_scan::{Buffers, lower_scan};
use super::widen::widen;
use super::{Buffer, BufferId, BufferKind, ConvPass, EpilogueWork, Launch, Schedule, Work};
use crate::codegen::loops::{Access, Expr, Index, Kernel, Stmt, tidy};
use crate::graph::{Graph, NodeId, Origin, OutputKind, TensorType};
use crate::ops::{DType, Op, VarId};
use crate::opt::fuse::{Group, GroupKind, Grouping, fuse};
use crate::opt::fuse_prepare::is_buffer;
use std::collections::{BTreeMap, HashMap};

/// A node that cannot be run on this target, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct LowerError {
    pub origin: Origin,
    /// In the form of a diagnostic's headline.
    pub message: String,
}

/// The schedule of a graph.
pub fn lower(graph: &Graph<usize>) -> Result<Schedule, LowerError> {
    lower_groups(&fuse(&widen(graph)))
}

/// The schedule of a fused graph.
pub fn lower_groups(grouping: &Grouping) -> Result<Schedule, LowerError> {
    let mut lowering = Lowering {
        grouping,
        buffers: Vec::new(),
        of_node: BTreeMap::new(),
        of_var: BTreeMap::new(),
        steps: Vec::new(),
        parts: BTreeMap::new(),
        groups: Vec::new(),
        updates: Vec::new(),
    };
    // Updates are written beside the variable first; `overwrite` then puts them in place where that is safe.
    for output in &grouping.graph.outputs {
        let kind = match output.kind {
            OutputKind::Update(var) => {
                lowering.updates.push((var, output.node));
                BufferKind::Temporary
            }
            OutputKind::Value(i) => BufferKind::Value(i),
        };
        lowering.add_buffer(output.node, kind);
    }
    for (i, group) in grouping.groups.iter().enumerate() {
        lowering.group(group)?;
        lowering.groups.resize(lowering.steps.len(), i);
    }
    lowering.epilogues();
    let mut uses = Uses::of(lowering.steps.iter().map(|s| &s.0));
    for (var, node) in std::mem::take(&mut lowering.updates) {
        lowering.overwrite(var, node, &mut uses);
    }
    let steps = lowering.steps.len();
    let schedule = lowering.finish();
    if schedule.launches.len() != steps {
        let origin = grouping.graph.nodes.first().map(|n| n.origin);
        let message = "the kernels of this step wait for each other".to_string();
        return origin.map_or(Ok(schedule), |origin| Err(LowerError { origin, message }));
    }
    Ok(schedule)
}

/// Work before it is scheduled: a loop kernel is not yet shared.
#[allow(clippy::large_enum_variant, reason = "a few hundred at most, gone when the schedule is made")]
pub(super) enum Pending {
    Loops(Kernel, Vec<BufferId>),
    /// With the kernel of its epilogue, whose number in the work is not known yet.
    Runtime(Work, Option<Kernel>),
}

struct Lowering<'a> {
    grouping: &'a Grouping,
    buffers: Vec<Buffer>,
    of_node: BTreeMap<NodeId, BufferId>,
    of_var: BTreeMap<VarId, BufferId>,
    steps: Vec<(Step, Pending, Origin, u64)>,
    /// The nodes that each step computes, by the key of the step.
    parts: BTreeMap<u32, Vec<NodeId>>,
    /// The group of each step.
    groups: Vec<usize>,
    updates: Vec<(VarId, NodeId)>,
}

impl Lowering<'_> {
    fn add_buffer(&mut self, node: NodeId, kind: BufferKind) -> BufferId {
        let n = self.grouping.graph.node(node);
        let buffer =
            Buffer { kind, dtype: n.ty.dtype, len: n.ty.elements(), shape: n.ty.shape.clone(), origin: n.origin };
        self.buffers.push(buffer);
        let id = BufferId(self.buffers.len() as u32 - 1);
        self.of_node.insert(node, id);
        id
    }

    /// The buffer of a node; the same one for all reads of one variable.
    fn buffer(&mut self, node: NodeId) -> BufferId {
        if let Some(&id) = self.of_node.get(&node) {
            return id;
        }
        let n = self.grouping.graph.node(node);
        let kind = match &n.op {
            Op::Field(i) => BufferKind::Field(*i),
            Op::Clock(c) => BufferKind::Clock(*c),
            Op::Key => BufferKind::Key,
            Op::Literal(values) => BufferKind::Constant(constant_bytes(n.ty.dtype, values)),
            _ => BufferKind::Temporary,
        };
        if let Op::Read(var) = n.op {
            let id = self.variable(var, node);
            self.of_node.insert(node, id);
            return id;
        }
        if is_buffer(&n.op) {
            let same = |b: &Buffer| b.kind == kind && b.dtype == n.ty.dtype && b.len == n.ty.elements();
            if let Some(i) = self.buffers.iter().position(same) {
                let id = BufferId(i as u32);
                self.of_node.insert(node, id);
                return id;
            }
        }
        self.add_buffer(node, kind)
    }

    /// The buffer of a variable, whose type is that of the node.
    fn variable(&mut self, var: VarId, node: NodeId) -> BufferId {
        if let Some(&id) = self.of_var.get(&var) {
            return id;
        }
        let n = self.grouping.graph.node(node);
        let (dtype, len, shape, origin) = (n.ty.dtype, n.ty.elements(), n.ty.shape.clone(), n.origin);
        self.buffers.push(Buffer { kind: BufferKind::Var(var), dtype, len, shape, origin });
        let id = BufferId(self.buffers.len() as u32 - 1);
        self.of_var.insert(var, id);
        id
    }

    fn group(&mut self, group: &Group) -> Result<(), LowerError> {
        let graph = &self.grouping.graph;
        // The expression that comes last in the program speaks for the kernel.
        let Some(last) = group.roots.iter().map(|r| r.target).max() else { return Ok(()) };
        let origin = graph.node(last).origin;
        let fail = |message: String| LowerError { origin, message };
        if graph.ty(group.roots[0].value).elements() == 0 && group.kind == GroupKind::Loops {
            return Ok(());
        }
        let (pending, flops) = if let Op::Scan(scan) = &graph.node(last).op {
            let (work, flops) = lower_scan(graph, last, scan, self)?;
            (Pending::Runtime(work, None), flops)
        } else if group.kind == GroupKind::Runtime {
            let (work, flops) = lower_runtime(graph, last, &mut |n| self.buffer(n)).map_err(fail)?;
            (Pending::Runtime(work, None), flops)
        } else {
            let (kernel, nodes) = lower_kernel(self.grouping, group).map_err(fail)?;
            let args = nodes.iter().map(|&n| self.buffer(n)).collect();
            let flops = flops(&kernel, &kernel.body);
            (Pending::Loops(kernel, args), flops)
        };
        self.parts.entry(last.0).or_default().extend(&group.members);
        let step = Step::of(&pending, last.0);
        self.steps.push((step, pending, origin, flops));
        Ok(())
    }

    /// Lets products and convolutions finish their tiles by the one kernel that reads their result, if that goes element by
    /// element and nobody else needs the result.
    fn epilogues(&mut self) {
        let mut uses = Uses::of(self.steps.iter().map(|s| &s.0));
        for product in 0..self.steps.len() {
            let Pending::Runtime(work, None) = &self.steps[product].1 else { continue };
            let (c, sizes) = match work {
                Work::Matmul { dtype: DType::F32, batch, m, n, c, .. } => (*c, [*batch, *m, *n]),
                Work::Conv { pass: ConvPass::Forward, shape, output, .. } => {
                    let [height, width] = shape.out_size();
                    (*output, [shape.batch, shape.out_channels, height * width])
                }
                _ => continue,
            };
            if self.buffers[c.0 as usize].dtype != DType::F32 {
                continue;
            }
            let [reader] = *uses.readers(c) else { continue };
            let group = &self.grouping.groups[self.groups[reader]];
            let updates = |&(_, node): &(VarId, NodeId)| group.roots.iter().any(|r| r.target == node);
            // A variable's new value is read once more, by the variable.
            let kept = self.updates.iter().any(|(_, node)| self.of_node.get(node) == Some(&c));
            let temporary = self.buffers[c.0 as usize].kind == BufferKind::Temporary && !kept;
            if !temporary || self.updates.iter().any(updates) || !matches!(self.steps[reader].1, Pending::Loops(..)) {
                continue;
            }
            let Some((kernel, nodes)) = lower_epilogue(self.grouping, group, sizes) else { continue };
            let mut args: Vec<BufferId> = nodes.iter().map(|&n| self.buffer(n)).collect();
            let result = args[0];
            if !can_merge(&kernel, &args, result, c) {
                continue;
            }
            let kernel = merge_args(&kernel, &args, c, result);
            args.retain(|a| *a != c);
            let (origin, flops, key) = (self.steps[reader].2, self.steps[reader].3, self.steps[reader].0.key);
            uses.remove(product, &self.steps[product].0);
            uses.remove(reader, &self.steps[reader].0);
            let step = &mut self.steps[product];
            if let Pending::Runtime(work, slot) = &mut step.1 {
                work.map_buffers(&mut |b| {
                    if *b == c {
                        *b = result;
                    }
                });
                if let Some(epilogue) = work.epilogue_slot() {
                    *epilogue = Some(EpilogueWork { kernel: usize::MAX, args });
                }
                *slot = Some(kernel);
            }
            let own = self.parts.remove(&step.0.key).unwrap_or_default();
            self.parts.entry(key).or_default().extend(own);
            (step.2, step.3) = (origin, step.3 + flops);
            step.0 = Step::of(&step.1, key);
            uses.add(product, &step.0);
            // The reader is done: nothing is left of it.
            self.steps[reader].0 = Step { reads: Vec::new(), writes: Vec::new(), after: Vec::new(), key };
            self.steps[reader].1 = Pending::Loops(Kernel::default(), Vec::new());
        }
        let gone = |p: &Pending| matches!(p, Pending::Loops(kernel, _) if kernel.body.is_empty());
        self.steps.retain(|s| !gone(&s.1));
    }

    /// Writes a variable's new value in its place: at once if all other readers of the old value can go before the
    /// writers, else by a copy at the end.
    fn overwrite(&mut self, var: VarId, node: NodeId, uses: &mut Uses) {
        let new = self.buffer(node);
        let old = self.variable(var, node);
        let same_type = |a: &Buffer, b: &Buffer| a.dtype == b.dtype && a.len == b.len;
        let fits = same_type(&self.buffers[new.0 as usize], &self.buffers[old.0 as usize]);
        let writers = uses.writers(new).to_vec();
        let readers: Vec<usize> = uses.readers(old).iter().copied().filter(|i| !writers.contains(i)).collect();
        let in_kernel = writers.iter().all(|&w| match &self.steps[w].1 {
            Pending::Loops(kernel, args) => !args.contains(&old) || can_merge(kernel, args, new, old),
            Pending::Runtime(..) => !self.steps[w].0.reads.contains(&old),
        });
        if fits && in_kernel && !writers.is_empty() && !uses.reach(|i| &self.steps[i].0, &writers, &readers) {
            let mut changed: Vec<usize> = [uses.readers(new), &writers].concat();
            changed.sort_unstable();
            changed.dedup();
            for i in changed {
                let (step, pending, ..) = &mut self.steps[i];
                uses.remove(i, step);
                replace(pending, new, old);
                let mut after = std::mem::take(&mut step.after);
                if writers.contains(&i) {
                    after.extend(&readers);
                }
                *step = Step { after, ..Step::of(pending, step.key) };
                uses.add(i, step);
            }
        } else if fits {
            let (dtype, len) = (self.buffers[new.0 as usize].dtype, self.buffers[new.0 as usize].len);
            let pending = Pending::Loops(copy_kernel(dtype, len), vec![old, new]);
            let step = Step { after: uses.readers(old).to_vec(), ..Step::of(&pending, u32::MAX) };
            let origin = self.grouping.graph.node(node).origin;
            uses.add(self.steps.len(), &step);
            self.steps.push((step, pending, origin, 0));
        }
    }

    /// Orders the steps, shares equal kernels and drops buffers that nobody uses.
    fn finish(self) -> Schedule {
        let sequence = order(&self.steps.iter().map(|s| &s.0).collect::<Vec<_>>());
        let mut steps: Vec<_> = self.steps.into_iter().map(Some).collect();
        let mut schedule = Schedule { scopes: self.grouping.graph.scopes.clone(), ..Schedule::default() };
        let mut shared: HashMap<String, usize> = HashMap::new();
        for i in sequence {
            let Some((step, pending, origin, flops)) = steps[i].take() else { continue };
            let work = match pending {
                Pending::Runtime(mut work, kernel) => {
                    if let (Some(e), Some(kernel)) = (work.epilogue_mut(), kernel) {
                        e.kernel = share(&mut shared, &mut schedule.kernels, kernel);
                    }
                    work
                }
                Pending::Loops(kernel, args) => {
                    Work::Loops { kernel: share(&mut shared, &mut schedule.kernels, kernel), args }
                }
            };
            let parts = parts_of(&self.grouping.graph, self.parts.get(&step.key), origin);
            schedule.launches.push(Launch { work, origin, parts, flops });
        }
        let mut used = vec![false; self.buffers.len()];
        for launch in &schedule.launches {
            launch.work.buffers().iter().for_each(|b| used[b.0 as usize] = true);
        }
        let mut map = vec![BufferId(0); used.len()];
        for (i, buffer) in self.buffers.into_iter().enumerate() {
            if used[i] || matches!(buffer.kind, BufferKind::Value(_)) {
                map[i] = BufferId(schedule.buffers.len() as u32);
                schedule.buffers.push(buffer);
            }
        }
        for launch in &mut schedule.launches {
            launch.work.map_buffers(&mut |b| *b = map[b.0 as usize]);
        }
        schedule
    }
}

/// The expressions of nodes, each once, in the order of the program.
fn parts_of(graph: &Graph<usize>, nodes: Option<&Vec<NodeId>>, origin: Origin) -> Vec<Origin> {
    let mut parts: Vec<Origin> = nodes.into_iter().flatten().map(|n| graph.node(*n).origin).collect();
    if parts.is_empty() {
        parts.push(origin);
    }
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// The number of an equal kernel, added if there is none.
fn share(shared: &mut HashMap<String, usize>, kernels: &mut Vec<Kernel>, kernel: Kernel) -> usize {
    let key = Kernel { name: String::new(), ..kernel.clone() }.to_string();
    *shared.entry(key).or_insert_with(|| {
        let taken = kernels.iter().filter(|k| base_name(&k.name) == kernel.name).count();
        let name = if taken == 0 { kernel.name.clone() } else { format!("{}.{taken}", kernel.name) };
        kernels.push(Kernel { name, ..kernel });
        kernels.len() - 1
    })
}

impl Buffers for Lowering<'_> {
    fn of(&mut self, node: NodeId) -> BufferId {
        self.buffer(node)
    }

    fn more(&mut self, ty: &TensorType<usize>, node: NodeId) -> BufferId {
        let origin = self.grouping.graph.node(node).origin;
        let (kind, shape) = (BufferKind::Temporary, ty.shape.clone());
        self.buffers.push(Buffer { kind, dtype: ty.dtype, len: ty.elements(), shape, origin });
        BufferId(self.buffers.len() as u32 - 1)
    }
}

fn base_name(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((base, number)) if number.bytes().all(|b| b.is_ascii_digit()) => base,
        _ => name,
    }
}

fn constant_bytes(dtype: DType, values: &[f64]) -> Vec<u8> {
    crate::codegen::loops::BufferData::from_f64(dtype, values).bytes
}

fn copy_kernel(dtype: DType, len: usize) -> Kernel {
    let mut b = crate::codegen::loops::builder::Builder::new();
    let to = b.buffer(dtype, len, Access::Write);
    let from = b.buffer(dtype, len, Access::Read);
    let at = if len == 1 { Index::default() } else { Index::var(b.open(len)) };
    let value = b.load(from, &at, &[], 0.0);
    b.store(to, &at, value, &[], false);
    if len != 1 {
        b.close_for(crate::codegen::loops::LoopKind::Serial);
    }
    tidy::tidy(b.finish("copy"))
}

/// Floating-point operations of a block.
fn flops(kernel: &Kernel, body: &[Stmt]) -> u64 {
    let float = |v: &crate::codegen::loops::Value| kernel.values[v.0 as usize].is_float() as u64;
    body.iter()
        .map(|s| match s {
            Stmt::Let { value, expr: Expr::Unary(..) | Expr::Binary(..) } => float(value),
            Stmt::For { extent, body, .. } => *extent as u64 * flops(kernel, body),
            Stmt::Fold { extent, body, value, .. } => *extent as u64 * (flops(kernel, body) + float(value)),
            _ => 0,
        })
        .sum()
}

/// Whether `from` may lie where `to` lies: the kernel reads each element only where it writes the same one.
pub(super) fn can_merge(kernel: &Kernel, args: &[BufferId], to: BufferId, from: BufferId) -> bool {
    let arg = |id: BufferId| args.iter().position(|a| *a == id).map(|i| i as u32);
    let (Some(to), Some(from)) = (arg(to), arg(from)) else { return false };
    let (a, b) = (&kernel.buffers[to as usize], &kernel.buffers[from as usize]);
    if a.dtype != b.dtype || a.len != b.len || a.access != Access::Write || b.access != Access::Read {
        return false;
    }
    fn same_block(body: &[Stmt], to: u32, from: u32, whole: &mut bool) {
        let mut stores: Vec<(usize, &Index)> = Vec::new();
        let mut loads: Vec<(usize, &Index)> = Vec::new();
        for (i, s) in body.iter().enumerate() {
            match s {
                Stmt::Store { buffer, index, guard, accumulate, .. } if buffer.0 == to => {
                    *whole &= guard.is_empty() && !accumulate;
                    stores.push((i, index));
                }
                Stmt::Let { expr: Expr::Load { buffer, index, .. }, .. } if buffer.0 == from => loads.push((i, index)),
                Stmt::For { body, .. } => same_block(body, to, from, whole),
                Stmt::Fold { body, .. } => *whole &= !touches(body, from),
                _ => {}
            }
        }
        // Every load is of an element that this very iteration stores, before any store of the block.
        let first = stores.first().map_or(usize::MAX, |s| s.0);
        *whole &= loads.iter().all(|(i, index)| {
            stores.iter().any(|(_, s)| s == index) && (*i < first || stores.iter().all(|(j, s)| s != index || j > i))
        });
        // Other stores of the block must not hit elements that it still has to load.
        let unrolled = stores.len() > 1;
        *whole &= !unrolled || loads.iter().all(|(i, _)| *i < first);
    }
    fn touches(body: &[Stmt], buffer: u32) -> bool {
        body.iter().any(|s| match s {
            Stmt::Let { expr: Expr::Load { buffer: b, .. }, .. } => b.0 == buffer,
            Stmt::For { body, .. } | Stmt::Fold { body, .. } => touches(body, buffer),
            _ => false,
        })
    }
    let mut whole = true;
    same_block(&kernel.body, to, from, &mut whole);
    whole
}

/// Replaces a buffer by another; a kernel that has both gets one argument for them.
pub(super) fn replace(pending: &mut Pending, from: BufferId, to: BufferId) {
    match pending {
        Pending::Runtime(work, _) => work.map_buffers(&mut |b| {
            if *b == from {
                *b = to;
            }
        }),
        Pending::Loops(kernel, args) => {
            if args.contains(&from) && args.contains(&to) {
                *kernel = merge_args(kernel, args, from, to);
                args.retain(|a| *a != from);
            }
            args.iter_mut().filter(|a| **a == from).for_each(|a| *a = to);
        }
    }
}

/// The kernel with the argument of `from` gone into that of `to`.
pub(super) fn merge_args(kernel: &Kernel, args: &[BufferId], from: BufferId, to: BufferId) -> Kernel {
    let place = |id: BufferId| args.iter().position(|a| *a == id).unwrap_or(0) as u32;
    let (gone, kept) = (place(from), place(to));
    let mut kernel = kernel.clone();
    kernel.buffers[kept as usize].access = Access::ReadWrite;
    kernel.buffers.remove(gone as usize);
    fn walk(body: &mut [Stmt], f: &impl Fn(u32) -> u32) {
        for s in body {
            match s {
                Stmt::Let { expr: Expr::Load { buffer, .. }, .. } | Stmt::Store { buffer, .. } => {
                    buffer.0 = f(buffer.0);
                }
                Stmt::For { body, .. } | Stmt::Fold { body, .. } => walk(body, f),
                _ => {}
            }
        }
    }
    walk(&mut kernel.body, &|b| {
        let b = if b == gone { kept } else { b };
        b - u32::from(b > gone)
    });
    kernel
}
