//! Stage 5: the same values with less work. In goes a differentiated graph, out comes one that computes the same
//! outputs: simplified by rules, each value computed once, nothing computed that no output needs.
//!
//! Rewriting would change what a `Gradient` node means (it names a node, and equal nodes are not the same one), so all
//! passes leave a graph alone that still has one.

mod cse;
mod dce;
pub mod fuse;
pub mod fuse_access;
pub mod fuse_prepare;
pub mod fuse_view;
pub mod incremental;
pub mod precision;
mod scan;
pub mod simplify;

pub use cse::cse;
pub use dce::dce;
pub use scan::hoist;
pub use simplify::simplify;

use crate::graph::Graph;
use crate::ops::Op;

/// More rounds than any program needs: each round ends with fewer or cheaper nodes.
const ROUNDS: usize = 16;

/// All passes of this stage, until nothing changes.
pub fn optimise(graph: Graph<usize>) -> Graph<usize> {
    if has_gradients(&graph) {
        return graph;
    }
    let mut graph = checked("bodies", scan::bodies(dce(graph)));
    for _ in 0..ROUNDS {
        let (simpler, rewritten) = simplify(graph);
        let (merged, gone) = cse(checked("simplify", simpler));
        graph = checked("dce", dce(checked("cse", merged)));
        let (pruned, dropped) = scan::prune(graph);
        graph = checked("prune", dce(pruned));
        if rewritten == 0 && gone == 0 && !dropped {
            break;
        }
    }
    graph
}

fn has_gradients(graph: &Graph<usize>) -> bool {
    graph.nodes.iter().any(|node| node.op == Op::Gradient)
}

/// In debug builds: a pass that breaks a graph is named.
fn checked(pass: &str, graph: Graph<usize>) -> Graph<usize> {
    if cfg!(debug_assertions)
        && let Err(broken) = crate::graph::verify_part(&graph)
    {
        panic!("`{pass}` broke the graph: {broken}\n{}", crate::graph::print(&graph));
    }
    graph
}
