//! How often a fused kernel evaluates a node. In: the loops around a consumer and which of them its axes follow. Out: the
//! same for the consumer's operands. Work moves out of the loops it does not follow, so the number of evaluations is the
//! product of the loops down to the innermost one that any axis follows.

use crate::graph::{Graph, NodeId};
use crate::ops::Op;

/// One way in which a kernel evaluates a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Extents of the loops, outermost first.
    pub loops: Vec<usize>,
    /// For each axis of the node, a bit for each loop that its index depends on.
    pub axes: Vec<u64>,
    /// Element `i` of the node is evaluated in iteration `i` of the kernel.
    pub same: bool,
}

impl Access {
    /// A kernel over all elements of a tensor.
    pub fn root(shape: &[usize]) -> Access {
        let axes = shape.iter().enumerate().map(|(i, &n)| if n > 1 { 1 << i.min(63) } else { 0 }).collect();
        Access { loops: shape.to_vec(), axes, same: true }
    }

    fn depth(&self) -> usize {
        let all = self.axes.iter().fold(0, |a, b| a | b);
        64 - all.leading_zeros() as usize
    }

    /// Evaluations of a node that is accessed so; `whole` is the number of iterations of the kernel.
    pub fn evaluations(&self, whole: usize) -> usize {
        match self.depth() {
            0 => whole,
            d => self.loops[..d.min(self.loops.len())].iter().product(),
        }
    }

    fn with(&self, axes: Vec<u64>, same: bool) -> Access {
        let mut out = Access { loops: self.loops.clone(), axes, same };
        out.loops.truncate(out.depth());
        if same {
            out.loops.clone_from(&self.loops);
        }
        out
    }

    /// Opens loops inside those that the axes follow.
    fn open(&self, extents: &[usize]) -> (Vec<usize>, Vec<u64>) {
        let mut loops = self.loops.clone();
        loops.truncate(self.depth());
        let first = loops.len();
        loops.extend_from_slice(extents);
        let bits = (0..extents.len()).map(|i| if extents[i] > 1 { 1 << (first + i).min(63) } else { 0 }).collect();
        (loops, bits)
    }

    /// How operand `input` of `node` is accessed.
    pub fn operand(&self, graph: &Graph<usize>, node: NodeId, input: usize) -> Access {
        let n = graph.node(node);
        let from = &graph.ty(n.inputs[input]).shape;
        let everything = self.axes.iter().fold(0, |a, b| a | b);
        match &n.op {
            Op::Broadcast { axes, shape } => {
                let bits = axes.iter().enumerate().map(|(i, &a)| if from[i] > 1 { self.axes[a] } else { 0 }).collect();
                self.with(bits, self.same && from.iter().product::<usize>() == shape.iter().product::<usize>())
            }
            Op::Transpose { perm } => {
                let mut bits = vec![0; perm.len()];
                perm.iter().enumerate().for_each(|(i, &p)| bits[p] = self.axes[i]);
                self.with(bits, false)
            }
            Op::Slice { .. } | Op::Pad { .. } => self.with(self.axes.clone(), false),
            Op::Reshape { .. } => self.with(reshape_bits(&n.ty.shape, &self.axes, from), self.same),
            Op::Reduce { axes, .. } => {
                let extents: Vec<usize> = axes.iter().map(|&a| from[a]).collect();
                self.reduced(from.len(), axes, &extents)
            }
            Op::ArgReduce { axis, .. } => self.reduced(from.len(), &[*axis], &[from[*axis]]),
            Op::MaxPool { window } | Op::SumPool { window } => {
                let (loops, bits) = self.open(&window.kernel);
                let lead = from.len() - bits.len();
                let axes = (0..from.len()).map(|i| self.axes[i] | if i < lead { 0 } else { bits[i - lead] }).collect();
                Access { loops, axes, same: false }.with_depth()
            }
            Op::Take { axis } if input == 1 => self.with(self.axes[*axis..*axis + from.len()].to_vec(), false),
            Op::Take { axis } => {
                let index = n.ty.shape.len() + 1 - from.len();
                let mut bits = self.axes.clone();
                let at = bits.splice(*axis..*axis + index, []).fold(0, |a, b| a | b);
                bits.insert(*axis, at);
                self.with(bits, false)
            }
            Op::Pick { .. } if input == 1 => self.with(self.axes.clone(), false),
            Op::Pick { axis } => {
                let mut bits = self.axes.clone();
                bits.insert(*axis, everything);
                self.with(bits, false)
            }
            Op::MaxPoolGrad { .. } | Op::SumPoolGrad { .. } | Op::Uniform { .. } => {
                self.with(self.axes.iter().copied().chain([0; 8]).take(from.len()).collect(), false)
            }
            _ => self.with(self.axes.clone(), self.same),
        }
    }

    fn with_depth(self) -> Access {
        let axes = self.axes.clone();
        self.with(axes, false)
    }

    fn reduced(&self, rank: usize, axes: &[usize], extents: &[usize]) -> Access {
        let (loops, bits) = self.open(extents);
        let mut kept = self.axes.iter();
        let all = (0..rank)
            .map(|i| match axes.iter().position(|&a| a == i) {
                Some(k) => bits[k],
                None => kept.next().copied().unwrap_or(0),
            })
            .collect();
        Access { loops, axes: all, same: false }.with_depth()
    }
}

/// Axes that share a run of elements share its loops.
fn reshape_bits(shape: &[usize], bits: &[u64], from: &[usize]) -> Vec<u64> {
    let mut out = vec![0; from.len()];
    let (mut i, mut j) = (0, 0);
    while i < shape.len() && j < from.len() {
        let (i0, j0) = (i, j);
        let (mut a, mut b) = (shape[i], from[j]);
        (i, j) = (i + 1, j + 1);
        while a != b {
            if a < b && i < shape.len() {
                a *= shape[i];
                i += 1;
            } else if b < a && j < from.len() {
                b *= from[j];
                j += 1;
            } else {
                break;
            }
        }
        let all = bits[i0..i].iter().fold(0, |a, b| a | b);
        let only = (i0..i).filter(|&k| shape[k] > 1).count() == (j0..j).filter(|&k| from[k] > 1).count();
        let mut big = bits[i0..i].iter().filter(|b| **b != 0);
        for k in j0..j {
            out[k] = match from[k] {
                1 => 0,
                // One axis with more than one element on each side: the same axis.
                _ if only && (i0..i).filter(|&k| shape[k] > 1).count() == 1 => big.next().copied().unwrap_or(all),
                _ => all,
            };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_share_loops_in_runs() {
        assert_eq!(reshape_bits(&[4, 6], &[1, 2], &[4, 2, 3]), [1, 2, 2]);
        assert_eq!(reshape_bits(&[4, 1, 6], &[1, 0, 2], &[4, 6]), [1, 2]);
        assert_eq!(reshape_bits(&[24], &[1], &[4, 6]), [1, 1]);
    }

    #[test]
    fn hoisted_rows_are_evaluated_once() {
        let row = Access::root(&[8, 16]).with(vec![1, 0], false);
        assert_eq!(row.evaluations(128), 8);
        let column = Access::root(&[8, 16]).with(vec![0, 2], false);
        assert_eq!(column.evaluations(128), 128);
    }
}
