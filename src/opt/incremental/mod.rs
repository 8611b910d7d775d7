//! A step over a field that grows by a few places at a time, computed for the new places only. In: the step over the field at
//! its full length. Out: the same step over some places, which takes what earlier places gave from variables that it keeps
//! (the keys and values of attention among them); or nothing, if some place depends on later ones or on all of them.
//!
//! `depends` proves that no place looks ahead; `Cut` then rewrites the step from its result backwards: of every value
//! it takes the new places, or all of them, which is then a variable whose new places the step writes. What a variable
//! holds of places that are still to come is hidden by the same mask as in the whole step: there a weight is exactly 0.

mod cut;
mod depends;

use crate::graph::{Graph, OutputKind, TensorType};
use cut::Cut;
use depends::{Depends, depends};

/// Which fields a step over some places takes, and how many places.
pub struct Places<'a> {
    /// The field that grows, `[batch, length]` in the whole step and `[batch, count]` in the new one.
    pub growing: u32,
    /// Fields that say how long it is: a step that takes one is left alone.
    pub lengths: &'a [u32],
    /// A new field, `i32[]`: the first of the places.
    pub start: u32,
    /// How many places.
    pub count: usize,
    /// The number of the first new variable.
    pub variable: u32,
}

/// A step over some places.
pub struct Incremental {
    pub graph: Graph<usize>,
    /// The variables that it keeps, from [`Places::variable`] on; zero before the first step.
    pub kept: Vec<TensorType<usize>>,
}

/// The step over some places, with the result `[batch, count, …]` for `[batch, length, …]`.
pub fn incremental(graph: &Graph<usize>, places: &Places) -> Option<Incremental> {
    let [output] = graph.outputs.as_slice() else { return None };
    if !matches!(output.kind, OutputKind::Value(0)) {
        return None;
    }
    let field = graph.nodes.iter().find(|n| n.op == crate::ops::Op::Field(places.growing))?;
    let [_, length] = field.ty.shape[..] else { return None };
    if length < 2 || places.count > length {
        return None;
    }
    let found = depends(graph, places, length);
    if found[output.node.index()] != Some(Depends::Places { axis: 1 }) {
        return None;
    }
    Cut::new(graph, &found, places, length).all(output.node)
}
