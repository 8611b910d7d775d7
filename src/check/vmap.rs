//! Mapping a graph of one sample over the batch: in go the nodes of one sample, out come nodes of the step's graph whose
//! axis 0 is the batch.
//!
//! What does not depend on the sample stays as it is. Each operation has a rule here that computes the same for every
//! sample as it would alone; one without a rule is an error, never another result. Draws become fields, filled by whoever
//! feeds the step and keyed by the sample and the epoch, so they depend on neither the batch size nor the place in it.
//!
//! A field of varying length is padded in a batch. Only operations that treat each element by itself may run along such
//! an axis, and what comes out is set to 0 again behind each sample's end.

use super::context::{Checker, Res};
use super::pipeline::Sample;
use super::program::{FieldFrom, FieldUse};
use super::values::{Axis, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::{Dim, Sym};
use crate::graph::{Node, NodeId};
use crate::ops::{self, Binary, Compare, DType, Op};
use crate::source::Span;

/// A node's place in the step's graph, and whether it has the batch axis there.
#[derive(Clone, Copy)]
struct Mapped {
    node: NodeId,
    batched: bool,
}

impl Checker<'_> {
    /// The value of a node of one sample, for every sample of the batch.
    pub fn mapped(&mut self, sample: &Sample, root: NodeId, batch: &Option<Sym>, span: Span) -> Option<Value> {
        let graph = &sample.sheet.graph;
        let mut needed = vec![false; graph.nodes.len()];
        needed[root.index()] = true;
        for i in (0..=root.index()).rev() {
            if needed[i] {
                operands(&graph.nodes[i]).iter().for_each(|n| needed[n.index()] = true);
            }
        }
        let mut made: Vec<Option<Mapped>> = vec![None; graph.nodes.len()];
        for i in 0..=root.index() {
            if needed[i] {
                let inputs: Vec<Mapped> = operands(&graph.nodes[i]).iter().filter_map(|n| made[n.index()]).collect();
                if let (Op::CustomGradient { .. }, [value]) = (&graph.nodes[i].op, inputs.as_slice()) {
                    made[i] = Some(*value);
                    continue;
                }
                made[i] = Some(self.map_node(sample, i, inputs, batch)?);
            }
        }
        let end = made[root.index()]?;
        let Some(batch) = batch else { return Some(Value::Tensor(end.node)) };
        let ty = sample.sheet.tys[root.index()].clone();
        let end = self.with_batch(end, &ty, batch, span);
        self.padded_again(end, &ty, span).map(Value::Tensor)
    }

    fn map_node(&mut self, sample: &Sample, at: usize, inputs: Vec<Mapped>, batch: &Option<Sym>) -> Res<Mapped> {
        let node = &sample.sheet.graph.nodes[at];
        let ty = sample.sheet.tys[at].clone();
        let span = node.origin.span;
        match &node.op {
            // It stands in for a value with a fault, which was reported.
            Op::Field(u32::MAX) => {
                self.sheet.hurt = true;
                return None;
            }
            Op::Field(number) => {
                return Some(Mapped { node: self.fed(*number as usize, span, batch), batched: batch.is_some() });
            }
            Op::Uniform { shape, site } => {
                if batch.is_some() && ty.axes.iter().any(|a| self.padding(a).is_some()) {
                    return self.no_rule(&node.op, span);
                }
                let from = FieldFrom::Draw { site: *site };
                let name = format!("draw {site:016x}");
                let number = self.feed.place(FieldUse::new(name, DType::F32, shape.clone(), from));
                return Some(Mapped { node: self.fed(number, span, batch), batched: batch.is_some() });
            }
            // Only draws ask for it.
            Op::Key | Op::Const(_) | Op::Size { .. } | Op::Literal(_) | Op::Iota { .. } => {
                let node = self.node(node.op.clone(), Vec::new(), ty, span);
                return Some(Mapped { node, batched: false });
            }
            Op::Read(_) | Op::Clock(_) | Op::Gradient => return self.no_rule(&node.op, span),
            _ => {}
        }
        if let (true, Some(batch)) = (inputs.iter().any(|m| m.batched), batch) {
            let types: Vec<Ty> = node.inputs.iter().map(|n| sample.sheet.tys[n.index()].clone()).collect();
            self.only_elementwise_along_padding(&node.op, &types, span)?;
            let node = self.map_op(&node.op, &inputs, &types, &ty, batch, span)?;
            return Some(Mapped { node, batched: true });
        }
        let nodes = inputs.iter().map(|m| m.node).collect();
        Some(Mapped { node: self.node(node.op.clone(), nodes, ty, span), batched: false })
    }

    /// An operation of which an operand has the batch axis. `types` and `ty` are those of one sample.
    fn map_op(
        &mut self,
        op: &Op<Dim>,
        inputs: &[Mapped],
        types: &[Ty],
        ty: &Ty,
        batch: &Sym,
        span: Span,
    ) -> Res<NodeId> {
        let b = Dim::from(batch.clone());
        let out = self.batched_type(ty, batch, span);
        let shape: Vec<Dim> = out.axes.iter().map(|a| a.size.clone()).collect();
        let after = |axes: &[usize]| axes.iter().map(|a| a + 1).collect::<Vec<usize>>();
        let led = |axes: &[usize]| std::iter::once(0).chain(after(axes)).collect::<Vec<usize>>();
        let front = |first: Dim, rest: &[Dim]| std::iter::once(first).chain(rest.iter().cloned()).collect::<Vec<Dim>>();
        let mapped = match op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGradient => op.clone(),
            Op::Broadcast { axes, .. } => Op::Broadcast { shape, axes: led(axes) },
            Op::Transpose { perm } => Op::Transpose { perm: led(perm) },
            Op::Reshape { .. } => Op::Reshape { shape },
            Op::Slice { start, size, step } => {
                let step = std::iter::once(1).chain(step.iter().copied()).collect();
                Op::Slice { start: front(Dim::default(), start), size: front(b, size), step }
            }
            Op::Pad { low, high, value } => {
                Op::Pad { low: front(Dim::default(), low), high: front(Dim::default(), high), value: *value }
            }
            Op::Concat { axis } => Op::Concat { axis: axis + 1 },
            Op::Reduce { op, axes } => Op::Reduce { op: *op, axes: after(axes) },
            Op::ArgReduce { max, axis } => Op::ArgReduce { max: *max, axis: axis + 1 },
            Op::Pick { axis } => Op::Pick { axis: axis + 1 },
            Op::Matmul { batch } => Op::Matmul { batch: batch + 1 },
            Op::MaxPool { .. } | Op::SumPool { .. } => op.clone(),
            Op::Take { axis } => return self.map_take(*axis, inputs, types, &out, span),
            Op::Conv { .. } if !inputs[1].batched => return self.map_conv(op, inputs, types, &out, batch, span),
            _ => return self.no_rule(op, span),
        };
        let nodes: Vec<NodeId> = inputs.iter().zip(types).map(|(m, ty)| self.with_batch(*m, ty, batch, span)).collect();
        let plain: Vec<_> = nodes.iter().map(|n| self.ty(*n).plain()).collect();
        if ops::infer(&mapped, &plain).is_err() {
            return self.no_rule(op, span);
        }
        Some(self.node(mapped, nodes, out, span))
    }

    /// Rows of `x` by an index, at least one of which differs from sample to sample.
    fn map_take(&mut self, axis: usize, inputs: &[Mapped], types: &[Ty], out: &Ty, span: Span) -> Res<NodeId> {
        let [x, index] = [inputs[0], inputs[1]];
        let (rank, places) = (types[0].rank(), types[1].rank());
        if !index.batched {
            return Some(self.node(Op::Take { axis: axis + 1 }, vec![x.node, index.node], out.clone(), span));
        }
        // What is taken from, with the batch's samples one below the other: [B * A, rest..]; the index counts on.
        let (mut table, mut index) = (x.node, index.node);
        let mut first = axis;
        if x.batched {
            let order: Vec<usize> = [0, axis + 1].into_iter().chain((1..=rank).filter(|a| *a != axis + 1)).collect();
            table = self.reordered(table, &order, span);
            let axes = self.ty(table).axes.clone();
            let (b, a) = (axes[0].size.clone(), axes[1].size.clone());
            let all = self.written(span, b.mul(&a));
            let flat = std::iter::once(all).chain(axes[2..].iter().cloned()).collect();
            table = self.reshaped(table, flat, span);
            let places = self.ty(index).clone();
            let count = Ty { axes: vec![places.axes[0].clone()], tag: None, weak: false, dtype: DType::I32 };
            let mut start = self.node(Op::Iota { size: b }, Vec::new(), count.clone(), span);
            if places.dtype != DType::I32 {
                start = self.node(Op::Cast, vec![start], Ty { dtype: places.dtype, ..count.clone() }, span);
            }
            let step = self.number_node(&Value::Int(a, None), places.dtype, span)?;
            let shape: Vec<Dim> = places.axes.iter().map(|a| a.size.clone()).collect();
            let start =
                self.node(Op::Broadcast { shape: shape.clone(), axes: vec![0] }, vec![start], places.clone(), span);
            let step = self.node(Op::Broadcast { shape, axes: vec![] }, vec![step], places.clone(), span);
            let start = self.node(Op::Binary(Binary::Mul), vec![start, step], places.clone(), span);
            index = self.node(Op::Binary(Binary::Add), vec![start, index], places, span);
            first = 0;
        }
        let Value::Tensor(taken) = self.take(table, index, first, span)? else { return None };
        // Now [B, index.., rest..] or [before.., B, index.., behind..]: the batch first, then as for one sample.
        let order: Vec<usize> = match x.batched {
            true => {
                let before = (0..axis).map(|a| 1 + places + a);
                let behind = (axis..rank - 1).map(|a| 1 + places + a);
                std::iter::once(0).chain(before).chain(1..=places).chain(behind).collect()
            }
            false => std::iter::once(axis).chain(0..axis).chain(axis + 1..rank + places).collect(),
        };
        let node = self.reordered(taken, &order, span);
        self.sheet.tys[node.index()] = out.clone();
        Some(node)
    }

    /// A convolution of pictures that have a batch axis of their own: both become one.
    fn map_conv(
        &mut self,
        op: &Op<Dim>,
        inputs: &[Mapped],
        types: &[Ty],
        out: &Ty,
        batch: &Sym,
        span: Span,
    ) -> Res<NodeId> {
        let x = self.with_batch(inputs[0], &types[0], batch, span);
        let join = |c: &mut Self, axes: &[Axis]| {
            let both = c.written(span, axes[0].size.mul(&axes[1].size));
            std::iter::once(both).chain(axes[2..].iter().cloned()).collect::<Vec<Axis>>()
        };
        let axes = self.ty(x).axes.clone();
        let flat = join(self, &axes);
        let flat = self.reshaped(x, flat, span);
        let made = Ty { axes: join(self, &out.axes), ..out.clone() };
        let node = self.node(op.clone(), vec![flat, inputs[1].node], made, span);
        Some(self.reshaped(node, out.axes.clone(), span))
    }

    fn reordered(&mut self, node: NodeId, order: &[usize], span: Span) -> NodeId {
        if order.iter().enumerate().all(|(i, a)| i == *a) {
            return node;
        }
        let ty = self.ty(node).clone();
        let axes = order.iter().map(|a| ty.axes[*a].clone()).collect();
        self.node(Op::Transpose { perm: order.to_vec() }, vec![node], Ty { axes, ..ty }, span)
    }

    fn batched_type(&mut self, ty: &Ty, batch: &Sym, span: Span) -> Ty {
        let first = self.written(span, Dim::from(batch.clone()));
        Ty { axes: std::iter::once(first).chain(ty.axes.iter().cloned()).collect(), weak: false, ..ty.clone() }
    }

    /// The node with the batch axis; `ty` is its type in one sample.
    fn with_batch(&mut self, mapped: Mapped, ty: &Ty, batch: &Sym, span: Span) -> NodeId {
        if mapped.batched {
            return mapped.node;
        }
        let out = self.batched_type(ty, batch, span);
        let shape = out.axes.iter().map(|a| a.size.clone()).collect();
        let axes = (1..=ty.rank()).collect();
        self.node(Op::Broadcast { shape, axes }, vec![mapped.node], out, span)
    }

    /// The varying field whose length an axis has.
    fn padding(&self, axis: &Axis) -> Option<usize> {
        let is = |f: &FieldUse| f.varying().is_some_and(|sym| mentions(&axis.size, sym));
        self.feed.fields.iter().position(is)
    }

    fn only_elementwise_along_padding(&mut self, op: &Op<Dim>, types: &[Ty], span: Span) -> Res<()> {
        if passes(op, types, &|a| self.padding(a).is_some()) {
            return Some(());
        }
        let name = ops::def_of(op).name;
        self.fail(
            Diagnostic::error(codes::NOT_SUPPORTED, span, format!("`{name}` along an axis that is padded"))
                .label("its length differs from sample to sample")
                .help("give `tokens` a `max`, or do this in the step, where `NAME_length` tells what is padding"),
        )
    }

    /// Sets what lies behind each sample's end to 0.
    fn padded_again(&mut self, node: NodeId, one: &Ty, span: Span) -> Res<NodeId> {
        let mut node = node;
        for (i, axis) in one.axes.iter().enumerate() {
            let Some(of) = self.padding(axis) else { continue };
            let number = self.length_of(of);
            let ty = self.ty(node).clone();
            let shape: Vec<Dim> = ty.axes.iter().map(|a| a.size.clone()).collect();
            let (first, along) = (ty.axes[0].clone(), ty.axes[i + 1].clone());
            let kind = |dtype, axes| Ty { dtype, axes, tag: None, weak: false };
            let length = self.node(Op::Field(number as u32), Vec::new(), kind(DType::I32, vec![first]), span);
            let places = Op::Iota { size: along.size.clone() };
            let place = self.node(places, Vec::new(), kind(DType::I32, vec![along]), span);
            let whole = kind(DType::I32, ty.axes.clone());
            let spread = |axis: usize| Op::Broadcast { shape: shape.clone(), axes: vec![axis] };
            let length = self.node(spread(0), vec![length], whole.clone(), span);
            let place = self.node(spread(i + 1), vec![place], whole, span);
            let inside = kind(DType::Bool, ty.axes.clone());
            let inside = self.node(Op::Compare(Compare::Lt), vec![place, length], inside, span);
            let zero = self.scalar(0.0, ty.dtype, span);
            let zero =
                self.node(Op::Broadcast { shape, axes: vec![] }, vec![zero], Ty { tag: None, ..ty.clone() }, span);
            node = self.node(Op::Select, vec![inside, node, zero], ty, span);
        }
        Some(node)
    }

    /// True if what makes a node of one sample works along an axis whose length differs from sample to sample in the source.
    pub fn works_along_varying(&self, sample: &Sample, root: NodeId) -> bool {
        let graph = &sample.sheet.graph;
        let mut needed = vec![false; root.index() + 1];
        needed[root.index()] = true;
        let varies = |a: &Axis| self.varies(&a.size);
        for i in (0..=root.index()).rev() {
            if !needed[i] {
                continue;
            }
            let node = &graph.nodes[i];
            operands(node).iter().for_each(|n| needed[n.index()] = true);
            let types: Vec<Ty> = operands(node).iter().map(|n| sample.sheet.tys[n.index()].clone()).collect();
            let draws = matches!(node.op, Op::Uniform { .. }) && sample.sheet.tys[i].axes.iter().any(varies);
            if draws || !passes(&node.op, &types, &varies) {
                return true;
            }
        }
        false
    }

    fn no_rule<T>(&mut self, op: &Op<Dim>, span: Span) -> Res<T> {
        let name = ops::def_of(op).name;
        self.fail(
            Diagnostic::error(
                codes::NOT_SUPPORTED,
                span,
                format!("`{name}` cannot run in the body of a `data` item yet"),
            )
            .label("there is no rule that maps it over the samples of a batch")
            .help("do this in the step"),
        )
    }
}

/// What a node of one sample is computed from. Data has no gradients: a value with one of its own is just that value.
fn operands(node: &Node<Dim>) -> &[NodeId] {
    match node.op {
        Op::CustomGradient { .. } => &node.inputs[..1],
        _ => &node.inputs,
    }
}

/// True if an operation treats each element along a padded axis by itself.
fn passes(op: &Op<Dim>, types: &[Ty], padded: &dyn Fn(&Axis) -> bool) -> bool {
    match op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGradient => true,
        Op::CustomGradient { .. } => true,
        Op::Broadcast { .. } | Op::Transpose { .. } => true,
        Op::Take { .. } => !types[0].axes.iter().any(padded),
        _ => !types.iter().flat_map(|t| &t.axes).any(padded),
    }
}

fn mentions(size: &Dim, sym: &Sym) -> bool {
    // Putting a number for the symbol changes what mentions it.
    let with = |n: i64| size.substitute(&|s| (s == sym).then(|| Dim::from(n)));
    with(1_000_003) != with(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_mentions_the_symbols_in_it() {
        let sym = |id, name: &str| Sym { id, name: name.into() };
        let (t, b) = (sym(1, "T"), sym(2, "B"));
        let size = Dim::from(t.clone()).scale(2).add(&Dim::from(3i64));
        assert!(mentions(&size, &t) && !mentions(&size, &b) && !mentions(&Dim::from(3i64), &t));
    }
}
