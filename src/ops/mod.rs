//! The op table: one record an operation, with its signature, shape rule, gradient, lowering, cost, documentation and
//! samples. Everything else in the compiler is generic over it.

mod conv;
mod custom;
mod def;
mod elementwise;
pub mod half;
mod index;
mod leaf;
mod matmul;
mod movement;
mod op;
mod order;
mod pool;
mod random;
mod reduce;
pub mod scalar;
mod scan;
mod shape;
mod table;
pub mod threefry;
mod types;
mod window;

pub use def::*;
pub use op::*;
pub use scan::Scan;
pub use table::*;
pub use types::*;
