//! Which places of the growing field the elements of a value depend on: a forward pass over the step.
//!
//! A place may look at earlier places through a mask: where a row of weights is exactly 0, or so low that its exponential
//! is, what is weighted does not matter. Masks are taken for what they are where they compare two ranges.

use super::Places;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{Binary, Compare, DType, Op, Reduce, Unary};
use std::collections::BTreeSet;

/// What the elements of a value depend on. An axis of places has the length as size, or a multiple of it with the places
/// innermost, as after a reshape of `[b, t, d]` to `[b * t, d]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depends {
    /// Not on the growing field.
    Fixed,
    /// An element on no later place than its index along the axis.
    Places { axis: usize },
    /// An element on no later place than the larger of its two indices.
    Pairs { rows: usize, columns: usize, later: Later },
}

/// What the elements with a column after their row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    Any,
    /// So low that the exponential of a difference to any number of usual size is exactly 0.
    VeryLow,
    /// 0, or false.
    Zero,
}

/// A number that masks: `exp` of it is 0, also after a score is added.
const VERY_LOW: f64 = -1e20;

/// What each node depends on; none for what this pass does not understand, and where a place looks ahead.
pub fn depends(graph: &Graph<usize>, places: &Places, length: usize) -> Vec<Option<Depends>> {
    let mut pass = Pass { graph, places, length, found: Vec::with_capacity(graph.nodes.len()) };
    for node in &graph.nodes {
        let found = pass.of(node);
        pass.found.push(found);
    }
    pass.found
}

/// The axis of a reshaped value that has the places, if there is one.
pub fn reshaped(from: &[usize], axis: usize, to: &[usize], length: usize) -> Option<usize> {
    let before = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>() * (shape[axis] / length);
    let wanted = before(from, axis);
    (0..to.len()).find(|a| to[*a] > 0 && to[*a].is_multiple_of(length) && before(to, *a) == wanted)
}

/// The index of an axis among those that a reduction leaves.
pub fn left(axis: usize, reduced: &[usize]) -> Option<usize> {
    (!reduced.contains(&axis)).then(|| axis - reduced.iter().filter(|r| **r < axis).count())
}

struct Pass<'a> {
    graph: &'a Graph<usize>,
    places: &'a Places<'a>,
    length: usize,
    found: Vec<Option<Depends>>,
}

impl Pass<'_> {
    fn of(&self, node: &Node<usize>) -> Option<Depends> {
        match &node.op {
            Op::Field(f) if *f == self.places.growing => return Some(Depends::Places { axis: 1 }),
            Op::Field(f) if self.places.lengths.contains(f) => return None,
            _ => {}
        }
        let inputs: Vec<Depends> = node.inputs.iter().map(|n| self.found[n.index()]).collect::<Option<_>>()?;
        if inputs.iter().all(|d| *d == Depends::Fixed) {
            return Some(Depends::Fixed);
        }
        let from = |i: usize| &self.graph.ty(node.inputs[i]).shape;
        match &node.op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::StopGradient => {
                self.elementwise(node, &inputs)
            }
            Op::Broadcast { axes, .. } => moved(inputs[0], |a| Some(axes[a])),
            Op::Transpose { perm } => moved(inputs[0], |a| perm.iter().position(|p| *p == a)),
            Op::Reshape { shape } => moved(inputs[0], |a| reshaped(from(0), a, shape, self.length)),
            Op::Slice { start, size, step } => {
                let whole = |a: usize| start[a] == 0 && step[a] == 1 && size[a] == from(0)[a];
                moved(inputs[0], |a| whole(a).then_some(a))
            }
            Op::Pad { low, high, .. } => {
                let padded = moved(inputs[0], |a| (low[a] == 0 && high[a] == 0).then_some(a))?;
                Some(forgetting(padded))
            }
            Op::Concat { axis } => {
                let all = self.together(&inputs)?;
                let own = moved(all, |a| (a != *axis).then_some(a))?;
                let same = inputs.iter().all(|d| *d == own);
                Some(if same { own } else { forgetting(own) })
            }
            Op::Reduce { op, axes } => reduced(inputs[0], *op, axes),
            Op::ArgReduce { axis, .. } => match inputs[0] {
                Depends::Places { axis: a } => Some(Depends::Places { axis: left(a, &[*axis])? }),
                _ => None,
            },
            Op::Cumulate { axis, .. } | Op::ArgSort { axis, .. } => match inputs[0] {
                Depends::Places { axis: a } if a != *axis => Some(inputs[0]),
                _ => None,
            },
            Op::Take { axis } => match (inputs[0], inputs[1]) {
                (Depends::Fixed, Depends::Places { axis: a }) => Some(Depends::Places { axis: axis + a }),
                (Depends::Places { axis: a }, Depends::Fixed) if a < *axis => Some(inputs[0]),
                (Depends::Places { axis: a }, Depends::Fixed) if a > *axis => {
                    Some(Depends::Places { axis: a + from(1).len() - 1 })
                }
                _ => None,
            },
            Op::Matmul { batch } => product(inputs[0], inputs[1], *batch, node.ty.shape.len()),
            _ => None,
        }
    }

    /// What operands of one shape together depend on.
    fn together(&self, inputs: &[Depends]) -> Option<Depends> {
        let mut all = Depends::Fixed;
        for next in inputs {
            all = match (all, *next) {
                (Depends::Fixed, d) | (d, Depends::Fixed) => d,
                (Depends::Places { axis: a }, Depends::Places { axis: b }) if a == b => all,
                (Depends::Places { axis: a }, Depends::Places { axis: b }) => {
                    Depends::Pairs { rows: a.min(b), columns: a.max(b), later: Later::Any }
                }
                (Depends::Pairs { rows, columns, .. }, Depends::Places { axis })
                | (Depends::Places { axis }, Depends::Pairs { rows, columns, .. })
                    if axis == rows || axis == columns =>
                {
                    Depends::Pairs { rows, columns, later: Later::Any }
                }
                (Depends::Pairs { rows, columns, .. }, Depends::Pairs { rows: r, columns: c, .. })
                    if (rows, columns) == (r, c) =>
                {
                    Depends::Pairs { rows, columns, later: Later::Any }
                }
                _ => return None,
            };
        }
        Some(all)
    }

    fn elementwise(&self, node: &Node<usize>, inputs: &[Depends]) -> Option<Depends> {
        let all = self.together(inputs)?;
        let Depends::Pairs { rows, columns, .. } = all else { return Some(all) };
        let later = self.later_of(node, rows, columns);
        // Which of two axes has the rows only the mask tells.
        let turned = self.later_of(node, columns, rows);
        let was_open = inputs.iter().all(|d| !matches!(d, Depends::Pairs { later, .. } if *later != Later::Any));
        if later == Later::Any && turned != Later::Any && was_open {
            return Some(Depends::Pairs { rows: columns, columns: rows, later: turned });
        }
        Some(Depends::Pairs { rows, columns, later })
    }

    /// What a value is after its row, as far as this pass knows.
    fn later(&self, id: NodeId, rows: usize, columns: usize) -> Later {
        match self.found[id.index()] {
            Some(Depends::Pairs { rows: r, columns: c, later }) if (r, c) == (rows, columns) => later,
            Some(Depends::Fixed) => match self.graph.uniform_value(id) {
                Some(value) if value <= VERY_LOW => Later::VeryLow,
                Some(0.0) => Later::Zero,
                Some(_) => Later::Any,
                None => self.later_of(self.graph.node(id), rows, columns),
            },
            // A mask of what is there, with one that hides among its parts.
            Some(Depends::Places { .. }) if self.graph.ty(id).dtype == DType::Bool => {
                self.later_of(self.graph.node(id), rows, columns)
            }
            _ => Later::Any,
        }
    }

    fn later_of(&self, node: &Node<usize>, rows: usize, columns: usize) -> Later {
        let later = |i: usize| self.later(node.inputs[i], rows, columns);
        let number = |i: usize| self.graph.uniform_value(node.inputs[i]);
        let inner = |f: &dyn Fn(usize) -> Option<usize>| match (f(rows), f(columns)) {
            (Some(rows), Some(columns)) => self.later(node.inputs[0], rows, columns),
            _ => Later::Any,
        };
        match &node.op {
            Op::Cast | Op::StopGradient => later(0),
            Op::Unary(Unary::Exp) if later(0) == Later::VeryLow => Later::Zero,
            Op::Binary(op) => {
                let usual = |i: usize| !self.may_be_low(node.inputs[i], &mut BTreeSet::new());
                match (op, later(0), later(1)) {
                    (Binary::Add | Binary::Sub, Later::VeryLow, Later::Any) if usual(1) => Later::VeryLow,
                    (Binary::Add, Later::Any, Later::VeryLow) if usual(0) => Later::VeryLow,
                    (Binary::Mul | Binary::And, Later::Zero, _) | (Binary::Mul | Binary::And, _, Later::Zero) => {
                        Later::Zero
                    }
                    (Binary::Div, Later::Zero, _) => Later::Zero,
                    (Binary::Mul, Later::VeryLow, _) if number(1).is_some_and(|n| n > 1e-6) => Later::VeryLow,
                    (Binary::Mul, _, Later::VeryLow) if number(0).is_some_and(|n| n > 1e-6) => Later::VeryLow,
                    (Binary::Div, Later::VeryLow, _) if number(1).is_some_and(|n| n > 0.0 && n < 1e6) => Later::VeryLow,
                    _ => Later::Any,
                }
            }
            Op::Select => match (later(0), later(1), later(2)) {
                // A row of which nothing is seen is not hidden by its lowest number: all of them are equal.
                (Later::Zero, _, Later::VeryLow) => {
                    let seen = self.shows(node.inputs[0], rows, columns);
                    let usual = !self.may_be_low(node.inputs[1], &mut BTreeSet::new());
                    if seen && usual { Later::VeryLow } else { Later::Any }
                }
                (Later::Zero, _, other) => other,
                (_, Later::Zero, Later::Zero) => Later::Zero,
                _ => Later::Any,
            },
            Op::Compare(_) => match self.compared(node, rows, columns) {
                // `row + by >= column`, of whole numbers.
                Some(by) if by <= 0.0 => Later::Zero,
                _ => Later::Any,
            },
            Op::Broadcast { axes, .. } => {
                let from = &self.graph.ty(node.inputs[0]).shape;
                inner(&|a| axes.iter().position(|own| *own == a).filter(|own| from[*own] == node.ty.shape[a]))
            }
            Op::Transpose { perm } => inner(&|a| Some(perm[a])),
            Op::Reshape { shape } => {
                let from = &self.graph.ty(node.inputs[0]).shape;
                inner(&|a| reshaped(shape, a, from, self.length))
            }
            _ => Later::Any,
        }
    }

    /// The number for which a comparison says `row + by >= column`, if that is what it says.
    fn compared(&self, node: &Node<usize>, rows: usize, columns: usize) -> Option<f64> {
        let Op::Compare(op) = node.op else { return None };
        // `large >= small`, or `large > small`.
        let (large, small, strict) = match op {
            Compare::Ge => (0, 1, 0.0),
            Compare::Gt => (0, 1, 1.0),
            Compare::Le => (1, 0, 0.0),
            Compare::Lt => (1, 0, 1.0),
            _ => return None,
        };
        let row = self.counts(node.inputs[large], rows)?;
        let column = self.counts(node.inputs[small], columns)?;
        Some(row - column - strict)
    }

    /// Whether a mask is true where the row is the column.
    fn shows(&self, id: NodeId, rows: usize, columns: usize) -> bool {
        let node = self.graph.node(id);
        let Some(&input) = node.inputs.first() else { return false };
        let from = &self.graph.ty(input).shape;
        let inner = |f: &dyn Fn(usize) -> Option<usize>| match (f(rows), f(columns)) {
            (Some(rows), Some(columns)) => self.shows(input, rows, columns),
            _ => false,
        };
        match &node.op {
            Op::Binary(Binary::And) => node.inputs.iter().all(|i| self.shows(*i, rows, columns)),
            // As it stands, or turned: a window behind is `column + by >= row`.
            Op::Compare(_) => {
                self.compared(node, rows, columns).or(self.compared(node, columns, rows)).is_some_and(|by| by >= 0.0)
            }
            Op::Broadcast { axes, .. } => {
                inner(&|a| axes.iter().position(|own| *own == a).filter(|own| from[*own] == node.ty.shape[a]))
            }
            Op::Transpose { perm } => inner(&|a| Some(perm[a])),
            Op::Reshape { shape } => inner(&|a| reshaped(shape, a, from, self.length)),
            Op::Cast | Op::StopGradient => self.shows(input, rows, columns),
            _ => false,
        }
    }

    /// Whether numbers that mask are among what a value is made of, element by element.
    fn may_be_low(&self, id: NodeId, seen: &mut BTreeSet<NodeId>) -> bool {
        if !seen.insert(id) {
            return false;
        }
        let node = self.graph.node(id);
        match &node.op {
            Op::Const(value) => *value <= VERY_LOW,
            Op::Literal(values) => values.iter().any(|v| *v <= VERY_LOW),
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Select
            | Op::Cast
            | Op::StopGradient
            | Op::Broadcast { .. }
            | Op::Transpose { .. }
            | Op::Reshape { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Take { .. } => node.inputs.iter().any(|i| self.may_be_low(*i, seen)),
            Op::Pad { value, .. } => *value <= VERY_LOW || self.may_be_low(node.inputs[0], seen),
            _ => false,
        }
    }

    /// The number that each element is more than its index along the axis.
    fn counts(&self, id: NodeId, axis: usize) -> Option<f64> {
        let node = self.graph.node(id);
        let Some(&input) = node.inputs.first() else { return matches!(node.op, Op::Iota { .. }).then_some(0.0) };
        let from = &self.graph.ty(input).shape;
        let number = |i: usize| self.graph.uniform_value(node.inputs[i]).filter(|n| n.fract() == 0.0);
        match &node.op {
            Op::Cast | Op::StopGradient => self.counts(input, axis),
            Op::Binary(Binary::Sub) => Some(self.counts(input, axis)? - number(1)?),
            Op::Binary(Binary::Add) => match number(1) {
                Some(by) => Some(self.counts(input, axis)? + by),
                None => Some(self.counts(node.inputs[1], axis)? + number(0)?),
            },
            Op::Broadcast { axes, .. } => {
                let own = axes.iter().position(|a| *a == axis).filter(|own| from[*own] == node.ty.shape[axis])?;
                self.counts(input, own)
            }
            Op::Transpose { perm } => self.counts(input, perm[axis]),
            Op::Reshape { shape } if shape[axis] == self.length => {
                let own = reshaped(shape, axis, from, self.length).filter(|own| from[*own] == self.length)?;
                self.counts(input, own)
            }
            _ => None,
        }
    }
}

/// The same about an operand whose axes went elsewhere.
fn moved(depends: Depends, to: impl Fn(usize) -> Option<usize>) -> Option<Depends> {
    Some(match depends {
        Depends::Fixed => Depends::Fixed,
        Depends::Places { axis } => Depends::Places { axis: to(axis)? },
        Depends::Pairs { rows, columns, later } => Depends::Pairs { rows: to(rows)?, columns: to(columns)?, later },
    })
}

fn forgetting(depends: Depends) -> Depends {
    match depends {
        Depends::Pairs { rows, columns, .. } => Depends::Pairs { rows, columns, later: Later::Any },
        other => other,
    }
}

fn reduced(depends: Depends, op: Reduce, axes: &[usize]) -> Option<Depends> {
    match depends {
        Depends::Fixed => Some(depends),
        Depends::Places { axis } => Some(Depends::Places { axis: left(axis, axes)? }),
        Depends::Pairs { rows, columns, later } => {
            let rows = left(rows, axes)?;
            // What comes after the row adds nothing, or is never the largest.
            let hidden = matches!((op, later), (Reduce::Sum, Later::Zero) | (Reduce::Max, Later::VeryLow));
            match left(columns, axes) {
                Some(columns) => Some(Depends::Pairs { rows, columns, later: if hidden { later } else { Later::Any } }),
                None => hidden.then_some(Depends::Places { axis: rows }),
            }
        }
    }
}

/// `[batch.., m, k]` and `[batch.., k, n]`, of so many axes.
fn product(a: Depends, b: Depends, batch: usize, rank: usize) -> Option<Depends> {
    let (m, k, n) = (rank - 2, (rank - 1, rank - 2), rank - 1);
    let hides = |d: Depends, rows: usize, columns: usize| matches!(d, Depends::Pairs { rows: r, columns: c, later: Later::Zero } if (r, c) == (rows, columns));
    match (a, b) {
        (Depends::Places { axis }, Depends::Fixed) if axis == m || axis < batch => Some(a),
        (Depends::Fixed, Depends::Places { axis }) if axis == n || axis < batch => Some(b),
        (Depends::Places { axis: i }, Depends::Places { axis: j }) if i == j && i < batch => Some(a),
        (Depends::Places { axis: i }, Depends::Places { axis: j }) if i == m && j == n => {
            Some(Depends::Pairs { rows: m, columns: n, later: Later::Any })
        }
        (_, Depends::Places { axis }) if hides(a, m, k.0) && axis == k.1 => Some(Depends::Places { axis: m }),
        (_, Depends::Fixed) if hides(a, m, k.0) => Some(Depends::Places { axis: m }),
        (Depends::Places { axis }, _) if hides(b, n, k.1) && axis == k.0 => Some(Depends::Places { axis: n }),
        (Depends::Fixed, _) if hides(b, n, k.1) => Some(Depends::Places { axis: n }),
        _ => None,
    }
}
