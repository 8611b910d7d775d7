//! The node of a scan: in goes a block that was evaluated in the graph at hand, out comes the graph with that block cut out
//! and the scan in its place, and the values that it stands for.

use super::context::{Checker, ReasonKind, Res};
use super::scan::{Before, Source, Steps};
use super::values::{Axis, Ty, Value};
use crate::diag::{Diagnostic, codes};
use crate::dims::Dim;
use crate::graph::{Graph, NodeId, Output, OutputKind};
use crate::ops::{self, Binary, DType, Op, VarId};
use crate::source::Span;
use crate::syntax::ast::{Ident, Scan};
use std::collections::{BTreeMap, BTreeSet};

impl Checker<'_> {
    /// Cuts the block's nodes out of the graph and puts the scan in their place.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn recurrence(
        &mut self,
        scan: &Scan,
        span: Span,
        steps: Steps,
        firsts: Vec<NodeId>,
        operands: &[(NodeId, Ty)],
        sources: &[(&Ident, Source)],
        states: Vec<VarId>,
        reverse: bool,
        count: Dim,
        before: &Before,
    ) -> Res<Value> {
        if steps.yields == 0 && scan.carries.is_empty() {
            self.cut(before.nodes);
            self.sheet.current = before.current.clone();
            self.sheet.key = before.key;
            return self.fail(
                Diagnostic::error(codes::MISSING_PART, span, "this scan has no value")
                    .label("no carry, and nothing is yielded")
                    .help("add `yield …` at the end of its block"),
            );
        }
        let types: Vec<Ty> = steps.outputs.iter().map(|n| self.ty(*n).clone()).collect();
        let start = before.nodes;
        let region = self.cut(start);
        self.sheet.key = before.key;
        let mut live = vec![false; region.len()];
        for node in &steps.outputs {
            if let Some(i) = node.index().checked_sub(start) {
                live[i] = true;
            }
        }
        for i in (0..region.len()).rev() {
            if live[i] {
                for input in &region[i].0.inputs {
                    if let Some(i) = input.index().checked_sub(start) {
                        live[i] = true;
                    }
                }
            }
        }
        let uses_key = steps.key.index().checked_sub(start).is_some_and(|i| live[i]);
        let mut scanned: Vec<NodeId> = operands.iter().map(|o| o.0).collect();
        if uses_key {
            let keys = self.step_keys(&count, span)?;
            scanned.push(keys);
        }

        let mut cutter = Cutter { start, ..Cutter::default() };
        let varying = firsts.len() + scanned.len();
        for (i, (node, ty)) in region.into_iter().enumerate() {
            let id = NodeId((start + i) as u32);
            match node.op {
                // Leaves are read once, before the scan.
                Op::Read(var) => {
                    let outer = match self.sheet.current.get(&var) {
                        Some(known) if known.index() < start => *known,
                        _ => {
                            let outer = self.move_out(node, ty);
                            self.sheet.current.insert(var, outer);
                            outer
                        }
                    };
                    cutter.moved.insert(id, outer);
                }
                Op::Field(_) | Op::Clock(_) | Op::Key => {
                    let outer = self.move_out(node, ty);
                    cutter.moved.insert(id, outer);
                }
                // The key is a parameter only if something is drawn.
                Op::Parameter(_) if id == steps.key && !uses_key => {}
                Op::Parameter(_) => {
                    let own = cutter.body.push(node.op, Vec::new(), node.ty, node.origin);
                    cutter.map.insert(id, own);
                }
                _ if !live[i] => {}
                _ => {
                    if node.op == Op::Gradient {
                        self.gradient_inside(&node, start, &cutter)?;
                    }
                    let inputs = node.inputs.iter().map(|n| cutter.inner(*n, &self.sheet, varying)).collect();
                    let own = cutter.body.push(node.op, inputs, node.ty, node.origin);
                    cutter.map.insert(id, own);
                }
            }
        }
        for (i, node) in steps.outputs.iter().enumerate() {
            let node = cutter.inner(*node, &self.sheet, varying);
            cutter.body.outputs.push(Output { kind: OutputKind::Value(i as u32), node });
        }
        cutter.body.scopes = self.sheet.graph.scopes.clone();
        let carries = firsts.len();
        let inputs: Vec<NodeId> = firsts.into_iter().chain(scanned.iter().copied()).chain(cutter.fixed).collect();
        let op = ops::Scan {
            body: cutter.body,
            count: count.clone(),
            reverse,
            carries,
            scanned: scanned.len(),
            recompute: scan.recompute,
        };
        let token = Ty { dtype: DType::F32, axes: Vec::new(), tag: None, weak: false };
        let node = self.node(Op::Scan(Box::new(op)), inputs, token, span);

        for (i, var) in states.iter().enumerate() {
            let index = scan.carries.len() + i;
            let value = self.node(Op::ScanResult { index }, vec![node], types[index].clone(), span);
            self.sheet.current.insert(*var, value);
        }
        let place = sources.iter().find_map(|(_, s)| match s {
            Source::Tensor { axis, along, .. } => Some((*axis, along.clone())),
            Source::Range(..) => None,
        });
        let (axis, along) = match place {
            Some(place) => place,
            None => {
                let why = self.reason(scan.over.span, &count, ReasonKind::Written, Vec::new());
                (0, Axis { size: count, why })
            }
        };
        let mut values = Vec::new();
        for (index, ty) in types.into_iter().enumerate() {
            if index < carries {
                if steps.yields == 0 && index < scan.carries.len() {
                    let ty = Ty { tag: None, ..ty };
                    values.push(Value::Tensor(self.node(Op::ScanResult { index }, vec![node], ty, span)));
                }
                continue;
            }
            let mut stacked = ty.clone();
            stacked.axes.insert(0, along.clone());
            let mut value = self.node(Op::ScanResult { index }, vec![node], stacked, span);
            let axis = axis.min(ty.rank());
            if axis > 0 {
                let mut perm: Vec<usize> = (1..=ty.rank()).collect();
                perm.insert(axis, 0);
                let mut moved = ty;
                moved.axes.insert(axis, along.clone());
                value = self.node(Op::Transpose { perm }, vec![value], moved, span);
            }
            values.push(Value::Tensor(value));
        }
        Some(match <[Value; 1]>::try_from(values) {
            Ok([one]) => one,
            Err(many) => Value::Tuple(many),
        })
    }

    fn move_out(&mut self, node: crate::graph::Node<Dim>, ty: Ty) -> NodeId {
        self.sheet.graph.nodes.push(node);
        self.sheet.tys.push(ty);
        NodeId(self.sheet.graph.nodes.len() as u32 - 1)
    }

    /// A key for each step: the second word of the key around, times a large odd number, plus the step's own multiple of
    /// another. Different for each step, also of a scan in a scan.
    pub(super) fn step_keys(&mut self, count: &Dim, span: Span) -> Res<NodeId> {
        let four = self.written(span, Dim::from(4i64));
        let along = self.written(span, count.clone());
        let row = Ty { dtype: DType::I32, axes: vec![four.clone()], tag: None, weak: false };
        let all = Ty { axes: vec![along.clone(), four], ..row.clone() };
        let key = match self.sheet.key {
            Some(key) => key,
            None => self.node(Op::Key, Vec::new(), row.clone(), span),
        };
        let words = |word: f64, other: f64| Op::Literal(vec![other, word, other, other]);
        let times = self.node(words(f64::from(0x85EB_CA6Bu32 as i32), 1.0), Vec::new(), row.clone(), span);
        let mixed = self.node(Op::Binary(Binary::Mul), vec![key, times], row.clone(), span);
        let mixed = self.stretch(mixed, &all, span)?;
        let places = Ty { axes: vec![along], ..row.clone() };
        let iota = self.node(Op::Iota { size: count.clone() }, Vec::new(), places.clone(), span);
        let one = self.scalar(1.0, DType::I32, span);
        let one = self.stretch(one, &places, span)?;
        let from_one = self.node(Op::Binary(Binary::Add), vec![iota, one], places, span);
        let shape: Vec<Dim> = all.axes.iter().map(|a| a.size.clone()).collect();
        let steps = self.node(Op::Broadcast { shape, axes: vec![0] }, vec![from_one], all.clone(), span);
        let own = self.node(words(f64::from(0x9E37_79B9u32 as i32), 0.0), Vec::new(), row, span);
        let own = self.stretch(own, &all, span)?;
        let shift = self.node(Op::Binary(Binary::Mul), vec![steps, own], all.clone(), span);
        Some(self.node(Op::Binary(Binary::Add), vec![mixed, shift], all, span))
    }

    /// A `grad` of a step must find all that it goes through in the step.
    fn gradient_inside(&mut self, node: &crate::graph::Node<Dim>, start: usize, cutter: &Cutter) -> Res<()> {
        let &[_, by] = node.inputs.as_slice() else { return Some(()) };
        let outer = match cutter.moved.get(&by) {
            Some(outer) => *outer,
            None if by.index() < start => by,
            None => return Some(()),
        };
        // Whatever of outside depends on it would be taken as given.
        let mut below: BTreeSet<NodeId> = BTreeSet::from([outer]);
        for (i, node) in self.sheet.graph.nodes.iter().enumerate() {
            if node.inputs.iter().any(|n| below.contains(n)) {
                below.insert(NodeId(i as u32));
            }
        }
        if cutter.fixed.iter().any(|n| *n != outer && below.contains(n)) {
            let span = node.origin.span;
            return self.not_supported(span, "`grad` by a value of outside, through other values of outside,");
        }
        Some(())
    }
}

/// The body while it is cut out.
#[derive(Default)]
struct Cutter {
    start: usize,
    body: Graph<Dim>,
    /// Nodes of the block in the body.
    map: BTreeMap<NodeId, NodeId>,
    /// Leaves of the block, before the scan.
    moved: BTreeMap<NodeId, NodeId>,
    /// Operands that are the same for all steps.
    fixed: Vec<NodeId>,
}

impl Cutter {
    /// The body's node for a node of the block or of before.
    fn inner(&mut self, node: NodeId, sheet: &super::context::Sheet, varying: usize) -> NodeId {
        if let Some(own) = self.map.get(&node) {
            return *own;
        }
        let outer = self.moved.get(&node).copied().unwrap_or(node);
        debug_assert!(outer.index() < self.start || self.moved.contains_key(&node));
        let is = sheet.graph.node(outer);
        let op = match &is.op {
            // Numbers need no operand.
            op @ (Op::Const(_) | Op::Size { .. } | Op::Literal(_) | Op::Iota { .. }) => op.clone(),
            _ => {
                let place = self.fixed.iter().position(|f| *f == outer);
                let place = place.unwrap_or_else(|| {
                    self.fixed.push(outer);
                    self.fixed.len() - 1
                });
                Op::Parameter((varying + place) as u32)
            }
        };
        let own = self.body.push(op, Vec::new(), is.ty.clone(), is.origin);
        self.map.insert(node, own);
        own
    }
}
