//! The op table: one record an operation, with its signature, shape rule, gradient, lowering, cost, documentation and
//! samples. Everything else in the compiler is generic over it.

mod def;
mod op;
mod types;

pub use def::*;
pub use op::*;
pub use types::*;
