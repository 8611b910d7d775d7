//! The kernel IR: loop nests over buffers, in scalar SSA form, known to every back end. It knows no tensors and no
//! graph operations, only the scalar ones of [`crate::ops`].
//!
//! ```text
//! kernel bias_relu(b0: f32[640] read, b1: f32[10] read, b2: f32[640] write) {
//!   parallel i0 in 0..64 {
//!     vector i1 in 0..10 {
//!       %0 = load b0[10*i0 + i1]
//!       %1 = load b1[i1]
//!       %2 = add.f32 %0, %1
//!       %3 = const.f32 0
//!       %4 = max.f32 %2, %3
//!       store b2[10*i0 + i1], %4
//!     }
//!   }
//! }
//! ```

use crate::ops::{Binary, Compare, DType, Reduce, Unary};

/// A scalar value, assigned once; visible in the rest of its block and the blocks inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

/// A loop's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopVar(pub u32);

/// A buffer, by its position among the kernel's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferArg(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BufferDecl {
    pub dtype: DType,
    /// Elements.
    pub len: usize,
    pub access: Access,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernel {
    pub name: String,
    /// Distinct buffers never overlap; one that is read and written is one `ReadWrite` argument.
    pub buffers: Vec<BufferDecl>,
    /// Dtype of each value, by number.
    pub values: Vec<DType>,
    /// Number of loop counters.
    pub loops: u32,
    pub body: Vec<Stmt>,
}

/// `offset + sum(stride * counter) + sum(stride * value)`, in elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Index {
    pub offset: i64,
    /// Sorted by counter, no zero strides.
    pub terms: Vec<(LoopVar, i64)>,
    /// Run-time indices (`i32` values): gathers and scatters.
    pub values: Vec<(Value, i64)>,
}

/// The condition `0 <= index < limit` over counters and values, under which a load or store happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    pub index: Index,
    pub limit: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoopKind {
    /// Iterations are independent and may run on any thread in any order. Only as the first statement level of a
    /// kernel whose body is this one loop.
    Parallel,
    Serial,
    /// Iterations are independent and may run several at a time. Innermost: no `For` inside, and a `Fold` only if it is
    /// not `vector` (each lane folds its own elements in order). As the only statement of the kernel it may also be split
    /// over threads.
    Vector,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    Let {
        value: Value,
        expr: Expr,
    },
    For {
        var: LoopVar,
        extent: usize,
        kind: LoopKind,
        body: Vec<Stmt>,
    },
    /// Folds `yields` over a loop into `value`, in order of the counter; its body holds only `Let` and `Fold`. `vector`
    /// (no fold inside): the order of the fold is free within lanes: iteration `i` goes
    /// to lane `i % 16`, lanes are then folded in the fixed order of a halving tree (8, 4, 2, 1).
    Fold {
        value: Value,
        op: FoldOp,
        var: LoopVar,
        extent: usize,
        vector: bool,
        body: Vec<Stmt>,
        yields: Value,
    },
    /// Writes a value, or adds it to what is there (`accumulate`).
    Store {
        buffer: BufferArg,
        index: Index,
        value: Value,
        guard: Vec<Bound>,
        accumulate: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoldOp {
    Reduce(Reduce),
    /// The counter (`i32`) of the first largest element; NaN counts as the largest. Never `vector`.
    ArgMax,
    ArgMin,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Exact for integers and bools.
    Const(f64),
    /// `otherwise` if a bound fails.
    Load {
        buffer: BufferArg,
        index: Index,
        guard: Vec<Bound>,
        otherwise: f64,
    },
    Unary(Unary, Value),
    Binary(Binary, Value, Value),
    Compare(Compare, Value, Value),
    Select(Value, Value, Value),
    /// To the dtype of the assigned value. Float to integer truncates and saturates; number to bool is `!= 0`.
    Cast(Value),
    /// The index as an `i32`.
    Counter(Index),
}
