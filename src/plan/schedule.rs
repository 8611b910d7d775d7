//! What a step executes: launches in order, over buffers.

use crate::codegen::loops::Kernel;
use crate::graph::Origin;
use crate::ops::{Clock, DType, VarId, Window};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// Where a buffer's bytes live.
#[derive(Clone, Debug, PartialEq)]
pub enum BufferKind {
    /// A variable: keeps its value between steps.
    Var(VarId),
    /// A field of the batch, written before the step.
    Field(u32),
    /// A scalar `f32` of the clock, written before the step.
    Clock(Clock),
    /// The key of all draws, `i32[4]`, written before the step.
    Key,
    /// A constant, written once when the program is loaded.
    Constant(Vec<u8>),
    /// An intermediate value.
    Temporary,
    /// A result by its position, read after the step. Never shares memory.
    Value(u32),
    /// Scratch memory of one runtime kernel.
    Workspace,
    /// In a body that is repeated: an operand that is the same for all steps, in the order that a runtime kernel reads
    /// it in. Written before the first step.
    Packed,
    /// What a runtime kernel reads of a variable that no launch writes, in its own order. Written when the variable has
    /// changed.
    Kept(VarId),
    /// In a body that is repeated: a buffer of the schedule around, by its number in [`Repeat::bindings`].
    Outer(u32),
}

impl BufferKind {
    /// Variables, constants and what is kept have regions of their own.
    pub fn in_arena(&self) -> bool {
        !matches!(self, BufferKind::Var(_) | BufferKind::Constant(_) | BufferKind::Kept(_) | BufferKind::Outer(_))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    pub kind: BufferKind,
    pub dtype: DType,
    /// Elements.
    pub len: usize,
    /// The shape of the tensor in it, for people.
    pub shape: Vec<usize>,
    pub origin: Origin,
}

impl Buffer {
    pub fn bytes(&self) -> usize {
        self.len * self.dtype.bytes()
    }
}

/// An operand of a runtime kernel: a view of a buffer with strides in elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub buffer: BufferId,
    pub offset: usize,
    /// One stride an axis of the operand as the kernel sees it.
    pub strides: Vec<i64>,
}

/// What one launch runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Index into [`Schedule::kernels`]; arguments in the order of the kernel's buffers.
    Loops {
        kernel: usize,
        args: Vec<BufferId>,
    },
    /// `c[b, i, j] = sum_k a[b, i, k] * b[b, k, j]`; strides are (batch, row, column); `c` is contiguous.
    Matmul {
        dtype: DType,
        batch: usize,
        m: usize,
        n: usize,
        k: usize,
        a: Operand,
        b: Operand,
        c: BufferId,
        epilogue: Option<EpilogueWork>,
        workspace: Option<BufferId>,
        /// Where `b` lies in the order that the runtime kernel reads it in: packed before the first step of a body, or kept.
        packed: Option<BufferId>,
    },
    /// A 2-d convolution or one of its gradients, all tensors contiguous.
    Conv {
        pass: ConvPass,
        shape: ConvShape,
        /// Forward: x, weight. Input gradient: dy, weight. Weight gradient: x, dy.
        inputs: [BufferId; 2],
        output: BufferId,
        epilogue: Option<EpilogueWork>,
        workspace: Option<BufferId>,
        /// What is kept of the weights of a forward pass.
        packed: Option<BufferId>,
    },
    Repeat(Box<Repeat>),
}

/// Launches of their own, once for each step of a recurrence. Their temporaries lie in `workspace`.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    pub body: Plan,
    /// Steps.
    pub count: usize,
    /// Whether the last place comes first.
    pub reverse: bool,
    /// What the body's `Outer` buffers are.
    pub bindings: Vec<Binding>,
    /// Copied before the first step: from, to.
    pub starts: Vec<(BufferId, BufferId)>,
    pub workspace: Option<BufferId>,
    /// Rows that go through all steps by themselves, and into how many equal runs they are cut.
    pub lanes: Option<Lanes>,
}

/// See [`Repeat::lanes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    pub rows: usize,
    pub count: usize,
}

/// A buffer as the steps see it: whole, or at each place of an axis its own piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binding {
    pub buffer: BufferId,
    /// Elements from one place to the next; 0 if all steps see the same.
    pub stride: usize,
    pub written: bool,
}

/// A kernel of [`Schedule::kernels`] run on each finished tile of the output: its body is three nested loops (batch, row,
/// column) whose ranges the caller narrows to the tile.
#[derive(Clone, Debug, PartialEq)]
pub struct EpilogueWork {
    pub kernel: usize,
    pub args: Vec<BufferId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConvPass {
    Forward,
    InputGrad,
    WeightGrad,
}

/// Geometry of a 2-d convolution (a 1-d one has height 1).
#[derive(Clone, Debug, PartialEq)]
pub struct ConvShape {
    pub batch: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub groups: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Of two axes each.
    pub window: Window<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub work: Work,
    /// The expression that this is for (of a fused kernel: its last).
    pub origin: Origin,
    /// The expressions that it computes, each once, in the order of the program.
    pub parts: Vec<Origin>,
    pub flops: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    pub buffers: Vec<Buffer>,
    pub kernels: Vec<Kernel>,
    pub launches: Vec<Launch>,
    /// Instance paths that origins refer to.
    pub scopes: Vec<String>,
}

/// A schedule with a place for every buffer.
///
/// Variables live in their own region, whose layout is the same for every entry point of a task; constants and what is kept
/// of variables have one each; everything else lives in the arena. Offsets are multiples of 64 bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub schedule: Schedule,
    /// Byte offset of each buffer, in the region of its kind.
    pub offsets: Vec<usize>,
    /// First and last launch (inclusive) that need each buffer's bytes; `0..=launches` for those written from outside.
    pub lifetimes: Vec<(usize, usize)>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes of what is kept of variables, in a region of its own.
    pub kept_bytes: usize,
    /// The largest sum of bytes alive at one launch: no arena can be smaller.
    pub lower_bound: usize,
}

/// Places of the variables in their region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VarLayout {
    /// Byte offset of each variable, by [`VarId`].
    pub offsets: Vec<usize>,
    pub bytes: usize,
}
