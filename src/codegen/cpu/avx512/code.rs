//! The instructions between kernels and bytes: machine operations on as many registers as one likes.
//!
//! A vector register holds sixteen lanes of 32 bits: floats, integers, or bools as all ones or zeros; what is the same
//! everywhere is in all lanes. A general register holds an `i64`: counters, addresses, indices. Registers may be written
//! several times (sums that a loop carries); what is live where follows from the order and from [`Code::loops`].

use crate::ops::DType;

/// A vector register, without limit of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V(pub u32);

/// A general register, without limit of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct G(pub u32);

/// What a vector instruction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Value(V),
    /// Bits, in all lanes.
    Splat(u32),
    /// One of [`Code::tables`].
    Table(usize),
}

/// `base + index * scale + offset` in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub base: G,
    pub index: Option<(G, u8)>,
    pub offset: i32,
}

/// Two operands, lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Two {
    Add,
    Sub,
    Mul,
    Div,
    /// `a < b ? a : b` of floats: the second if either is NaN or they are equal.
    Smaller,
    /// `a > b ? a : b` of floats.
    Larger,
    /// `a * 2^b` for a whole number `b`, rounded once.
    Scale,
    IntAdd,
    IntSub,
    IntMul,
    IntMin,
    IntMax,
    And,
    Or,
    Xor,
    ShiftLeft,
    /// Filled with zeros.
    ShiftRight,
}

/// One operand, lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum One {
    Sqrt,
    Floor,
    Ceil,
    /// To nearest, ties to even.
    Round,
    /// Of integers; rounded to nearest.
    ToFloat,
    /// Towards zero; the smallest integer if it does not fit.
    ToInt,
    ShiftLeft(u8),
    ShiftRight(u8),
    /// Filled with the sign.
    ShiftSign(u8),
    /// Lane `i` becomes lane `i xor` this: 8, 4, 2 or 1.
    Swap(u8),
    /// The first lane in all.
    First,
}

/// Comparisons; the result is all ones or zeros. None holds of NaN but `NotEqual` and `Unordered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// Of floats: whether either is NaN.
    Unordered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Float,
    Signed,
    Unsigned,
}

/// Which lanes an access or operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lanes {
    All,
    /// The lanes of the last, partial group of a loop.
    Tail,
    /// Those that passed the bounds tested last.
    Guarded,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Inst {
    Splat {
        to: V,
        from: Source,
    },
    Two {
        op: Two,
        to: V,
        a: Source,
        b: Source,
    },
    One {
        op: One,
        to: V,
        a: Source,
    },
    /// `a * b + c`, rounded once.
    MulAdd {
        to: V,
        a: Source,
        b: Source,
        c: Source,
    },
    Compare {
        test: Test,
        kind: Kind,
        to: V,
        a: Source,
        b: Source,
    },
    /// `mask ? a : b`, bit by bit.
    Select {
        to: V,
        mask: V,
        a: Source,
        b: Source,
    },
    /// The larger (smaller) of two floats; NaN if either is.
    Extremum {
        larger: bool,
        to: V,
        a: Source,
        b: Source,
    },
    /// In the tail's lanes, `to = value`; the others keep theirs.
    Merge {
        to: V,
        value: V,
    },
    /// A general register's low word in all lanes.
    FromGeneral {
        to: V,
        from: G,
    },
    /// The first lane, extended by its sign.
    ToGeneral {
        to: G,
        from: V,
    },

    /// Sixteen neighbours; lanes left out become zero, or stay as they are where `keep`.
    Load {
        to: V,
        at: Memory,
        dtype: DType,
        lanes: Lanes,
        keep: bool,
    },
    /// One element in all lanes.
    LoadSplat {
        to: V,
        at: Memory,
        dtype: DType,
    },
    /// As `LoadSplat` if all indices are in `0..limit`; else `otherwise`.
    LoadSplatIf {
        to: V,
        at: Memory,
        dtype: DType,
        bounds: Vec<(G, i64)>,
        otherwise: u32,
    },
    /// Every other one of 31 neighbours: words at `at + 8 * lane`. The indices are 0, 2 to 30. All lanes or the tail's.
    LoadPairs {
        to: V,
        at: Memory,
        index: V,
        lanes: Lanes,
    },
    /// To those places. The indices are each number twice, 0 to 7 and 8 to 15.
    StorePairs {
        from: V,
        at: Memory,
        index: [V; 2],
        lanes: Lanes,
    },
    /// Words at `base + 4 * index`; lanes left out stay as they are.
    Gather {
        to: V,
        base: G,
        index: V,
        lanes: Lanes,
    },
    Store {
        from: V,
        at: Memory,
        dtype: DType,
        lanes: Lanes,
        /// Past the caches, to a multiple of 64 bytes.
        far: bool,
    },
    /// The first lane.
    StoreOne {
        from: V,
        at: Memory,
        dtype: DType,
    },
    /// Memory that is read soon is brought near.
    Prefetch {
        at: Memory,
    },
    /// Words to `base + 4 * index`, all different.
    Scatter {
        from: V,
        base: G,
        index: V,
        lanes: Lanes,
    },

    /// The guarded lanes are those of the group.
    GuardBegin {
        tail: bool,
    },
    /// Of them, those whose index is in `0..limit`.
    GuardAnd {
        index: V,
        limit: u32,
    },
    /// The tail's lanes: `end - counter` of them.
    TailLanes {
        counter: G,
        end: G,
    },
    /// So many.
    TailCount(u32),

    /// An argument of the function.
    Argument {
        to: G,
        number: u8,
    },
    /// A word of memory.
    Word {
        to: G,
        at: Memory,
    },
    Constant {
        to: G,
        value: i64,
    },
    Copy {
        to: G,
        from: G,
    },
    AddConstant {
        to: G,
        from: G,
        value: i64,
    },
    Add {
        to: G,
        a: G,
        b: G,
    },
    Scale {
        to: G,
        from: G,
        by: i64,
    },
    Place(Mark),
    /// Jumps if `a >= b`.
    JumpUnlessLess {
        a: G,
        b: Limit,
        to: Mark,
    },
    /// Jumps if `a < b`.
    JumpIfLess {
        a: G,
        b: Limit,
        to: Mark,
    },
    /// Jumps unless the index is in `0..limit`.
    JumpOutside {
        index: G,
        limit: i64,
        to: Mark,
    },
}

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Constant(i64),
    Value(G),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Code {
    pub insts: Vec<Inst>,
    /// First and last instruction of each loop, inner ones too.
    pub loops: Vec<(usize, usize)>,
    pub tables: Vec<[u32; 16]>,
    pub vectors: u32,
    pub generals: u32,
    pub marks: usize,
    /// Whether there are accesses to pairs, which take masks of their own.
    pub pairs: bool,
    /// Whether anything is stored past the caches.
    pub far: bool,
}

/// A register of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    Vector(V),
    General(G),
}

impl Inst {
    /// Registers that are read, and those that are written. One that is only partly written is also read.
    pub fn registers(&self, mut read: impl FnMut(Register), mut write: impl FnMut(Register)) {
        use Register::{General, Vector};
        fn source(s: &Source, read: &mut impl FnMut(Register)) {
            if let Source::Value(v) = s {
                read(Vector(*v));
            }
        }
        fn memory(m: &Memory, read: &mut impl FnMut(Register)) {
            read(General(m.base));
            if let Some((index, _)) = m.index {
                read(General(index));
            }
        }
        fn limit(l: &Limit, read: &mut impl FnMut(Register)) {
            if let Limit::Value(g) = l {
                read(General(*g));
            }
        }
        match self {
            Inst::Splat { to, from } => {
                source(from, &mut read);
                write(Vector(*to));
            }
            Inst::Two { to, a, b, .. } | Inst::Compare { to, a, b, .. } | Inst::Extremum { to, a, b, .. } => {
                source(a, &mut read);
                source(b, &mut read);
                write(Vector(*to));
            }
            Inst::One { to, a, .. } => {
                source(a, &mut read);
                write(Vector(*to));
            }
            Inst::MulAdd { to, a, b, c } => {
                for s in [a, b, c] {
                    source(s, &mut read);
                }
                write(Vector(*to));
            }
            Inst::Select { to, mask, a, b } => {
                read(Vector(*mask));
                source(a, &mut read);
                source(b, &mut read);
                write(Vector(*to));
            }
            Inst::Merge { to, value } => {
                read(Vector(*to));
                read(Vector(*value));
                write(Vector(*to));
            }
            Inst::FromGeneral { to, from } => {
                read(General(*from));
                write(Vector(*to));
            }
            Inst::ToGeneral { to, from } => {
                read(Vector(*from));
                write(General(*to));
            }
            Inst::Load { to, at, keep, .. } => {
                memory(at, &mut read);
                if *keep {
                    read(Vector(*to));
                }
                write(Vector(*to));
            }
            Inst::LoadPairs { to, at, index, .. } => {
                memory(at, &mut read);
                read(Vector(*index));
                write(Vector(*to));
            }
            Inst::StorePairs { from, at, index, .. } => {
                read(Vector(*from));
                memory(at, &mut read);
                index.iter().for_each(|v| read(Vector(*v)));
            }
            Inst::LoadSplat { to, at, .. } => {
                memory(at, &mut read);
                write(Vector(*to));
            }
            Inst::LoadSplatIf { to, at, bounds, .. } => {
                memory(at, &mut read);
                for (g, _) in bounds {
                    read(General(*g));
                }
                write(Vector(*to));
            }
            Inst::Gather { to, base, index, .. } => {
                read(General(*base));
                read(Vector(*index));
                read(Vector(*to));
                write(Vector(*to));
            }
            Inst::Store { from, at, .. } | Inst::StoreOne { from, at, .. } => {
                read(Vector(*from));
                memory(at, &mut read);
            }
            Inst::Prefetch { at } => memory(at, &mut read),
            Inst::Scatter { from, base, index, .. } => {
                read(Vector(*from));
                read(General(*base));
                read(Vector(*index));
            }
            Inst::GuardBegin { .. } | Inst::TailCount(_) | Inst::Place(_) => {}
            Inst::GuardAnd { index, .. } => read(Vector(*index)),
            Inst::TailLanes { counter, end } => {
                read(General(*counter));
                read(General(*end));
            }
            Inst::Argument { to, .. } | Inst::Constant { to, .. } => write(General(*to)),
            Inst::Word { to, at } => {
                memory(at, &mut read);
                write(General(*to));
            }
            Inst::Copy { to, from } | Inst::AddConstant { to, from, .. } | Inst::Scale { to, from, .. } => {
                read(General(*from));
                write(General(*to));
            }
            Inst::Add { to, a, b } => {
                read(General(*a));
                read(General(*b));
                write(General(*to));
            }
            Inst::JumpUnlessLess { a, b, .. } | Inst::JumpIfLess { a, b, .. } => {
                read(General(*a));
                limit(b, &mut read);
            }
            Inst::JumpOutside { index, .. } => read(General(*index)),
        }
    }
}
