//! The record of one operation: everything that the rest of the compiler asks about it.

use super::op::Op;
use super::types::DType;
use crate::dims::Dim;
use crate::graph::{Graph, NodeId, TensorType};

/// Why operands do not fit. The checker turns it into a message with the user's own names and places.
#[derive(Clone, Debug, PartialEq)]
pub enum ShapeFault {
    /// Two sizes that must agree do not: (operand, axis) each.
    Sizes { left: (usize, usize), right: (usize, usize) },
    /// The operand has the wrong number of axes; what was expected ("at least 2", "4: [batch, channels, height, width]").
    Rank { operand: usize, expected: String },
    /// The operand has the wrong dtype; what was expected ("a float", "i32", "the dtype of the first").
    DType { operand: usize, expected: String },
    /// An attribute that makes no sense for these operands ("axis 3 of a tensor with 2 axes").
    Attribute(String),
    /// An extent that cannot be proved whole or positive ("the width 5 is smaller than the kernel 7").
    Extent { operand: usize, axis: usize, why: String },
}

/// What a named argument of a built-in function may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArgKind {
    Tensor,
    /// A list of tensors: `concat([a, b])`. Only as the first parameter.
    Tensors,
    Int,
    /// One int or a list of them.
    Ints,
    /// A list of sizes.
    Shape,
    Float,
    Bool,
    DType,
    /// One of these words, or an int or ints.
    Words(&'static [&'static str]),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArgDefault {
    Required,
    None,
    Int(i64),
    Float(f64),
    Bool(bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamSpec {
    pub name: &'static str,
    pub kind: ArgKind,
    pub default: ArgDefault,
}

/// An argument as the checker passes it on: one for each [`ParamSpec`], in order.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgValue {
    Tensor(TensorType<Dim>),
    Tensors(Vec<TensorType<Dim>>),
    Int(Dim),
    Ints(Vec<Dim>),
    Float(f64),
    Bool(bool),
    DType(DType),
    Word(&'static str),
    None,
}

/// The form in which programs call an operation: a prelude function.
pub struct Surface {
    pub name: &'static str,
    pub params: &'static [ParamSpec],
    /// The operation that these arguments ask for; its inputs are the tensor arguments in order.
    pub build: fn(&[ArgValue]) -> Result<Op<Dim>, ShapeFault>,
}

/// How an operation becomes loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowering {
    /// A buffer that exists before the step, or a constant in the code.
    Leaf,
    /// One scalar operation an element.
    Map,
    /// An index map: no code of its own.
    View,
    /// A fold along loops.
    Reduce,
    /// A loop nest of its own (pooling, scatter, argmax).
    Nest,
    /// A runtime kernel (matmul, convolution).
    Kernel,
    /// Gone before lowering.
    None,
}

/// How the gradient of an operation is had.
pub enum GradientRule {
    /// Given the graph, the node and the gradient of its result: one gradient (or none) for each input.
    Rule(fn(&mut Graph<usize>, NodeId, NodeId) -> Vec<Option<NodeId>>),
    /// It is 0 wherever there is one, or its operands are not floats; and why.
    None(&'static str),
    /// There would be one, but it is not there yet: to need it is an error.
    Missing(&'static str),
}

/// A concrete example for the generated tests.
pub struct Sample {
    pub op: Op<usize>,
    pub inputs: Vec<TensorType<usize>>,
    /// The range that the inputs' values are drawn from, one for each input: an operation's domain.
    pub domains: Vec<(f64, f64)>,
}

/// The result's type, of the operation and its operands' types.
pub type InferRule = fn(&Op<Dim>, &[TensorType<Dim>]) -> Result<TensorType<Dim>, ShapeFault>;

/// The cost, of the operation, its operands' types and its own.
pub type FlopsRule = fn(&Op<usize>, &[TensorType<usize>], &TensorType<usize>) -> u64;

/// One operation.
pub struct OpDef {
    pub name: &'static str,
    /// What it computes, with the formula; shown by `nnc doc` and in the reference.
    pub doc: &'static str,
    pub surfaces: &'static [Surface],
    /// The result's type, or why there is none. Also decides for concrete sizes, which are constant dims.
    pub infer: InferRule,
    pub gradient: GradientRule,
    pub lowering: Lowering,
    /// Floating-point operations of one execution.
    pub flops: FlopsRule,
    pub samples: fn() -> Vec<Sample>,
}
