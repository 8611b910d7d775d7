//! Rows of a recurrence that never meet. In: the body of a scan. Out: whether each row of a batch goes through all steps by
//! itself, so that threads need not wait for each other at every launch, and which operands are packed before the first
//! step.
//!
//! A launch keeps rows apart if its iterations can be cut by rows and whatever buffers the body writes are only touched in
//! the iteration's own row. Buffers that it only reads may be read anywhere.

use super::{Buffer, BufferId, BufferKind, EpilogueWork, Lanes, Operand, Repeat, Schedule, Work, WorkspaceSizes};
use crate::codegen::loops::{Access, Bound, Expr, Index, Kernel, LoopVar, Stmt, outer_loop, range};
use crate::ops::DType;
use std::collections::HashMap;

/// Fewer rows are not worth a lane.
const LEAST_ROWS: usize = 8;
/// Rows of a lane if there are many.
const ROWS: usize = 16;
/// Elements of a right operand up to which every lane reads all of it at every step; threads rather share a larger one,
/// so that each keeps its part in its own cache.
const SHARED_OPERAND: usize = 128 << 10;
/// Steps from which on packing ahead pays.
const STEPS_TO_PACK: usize = 3;

/// How the rows of a body can be cut, if no row meets another.
pub fn lanes(body: &Schedule) -> Option<Lanes> {
    let mut rows = None;
    for launch in &body.launches {
        match &launch.work {
            Work::Loops { .. } => {}
            Work::Matmul { dtype: DType::F32, batch: 1, m, n, k, .. } if *n * *k <= SHARED_OPERAND => {
                if *rows.get_or_insert(*m) != *m {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let rows = rows?;
    // Equal lanes, so that all of their products are cut alike.
    let count = (2..=rows / LEAST_ROWS).filter(|count| rows % count == 0).min_by_key(|count| {
        let each = rows / count;
        each.abs_diff(ROWS)
    })?;
    let written = written(body);
    let apart = |launch: &super::Launch| match &launch.work {
        Work::Loops { kernel, args } => body.kernels.get(*kernel).is_some_and(|code| {
            let Some((extent, _)) = outer_loop(code) else { return false };
            let Some(Stmt::For { var, .. }) = code.body.last() else { return false };
            extent % rows == 0 && Rows { body, written: &written, rows }.kept_by(code, args, *var, extent / rows)
        }),
        Work::Matmul { a, b, c, n, k, epilogue, .. } => {
            let check = Rows { body, written: &written, rows };
            check.left(a, *k) && !written[b.buffer.0 as usize] && check.result(*c, *n) && check.epilogue(epilogue)
        }
        _ => false,
    };
    body.launches.iter().all(apart).then_some(Lanes { rows, count })
}

/// Whether launches write each buffer.
fn written(body: &Schedule) -> Vec<bool> {
    let mut written = vec![false; body.buffers.len()];
    let mut kernel = |kernel: usize, args: &[BufferId]| {
        let decls = body.kernels.get(kernel).map_or(&[][..], |k| &k.buffers);
        for (arg, _) in args.iter().zip(decls).filter(|(_, decl)| decl.access != Access::Read) {
            written[arg.0 as usize] = true;
        }
    };
    for launch in &body.launches {
        match &launch.work {
            Work::Loops { kernel: code, args } => kernel(*code, args),
            Work::Matmul { epilogue: Some(e), .. } => kernel(e.kernel, &e.args),
            _ => {}
        }
    }
    for launch in &body.launches {
        for buffer in launch.work.writes() {
            written[buffer.0 as usize] = true;
        }
    }
    written
}

/// Looks whether accesses stay in their rows.
struct Rows<'a> {
    body: &'a Schedule,
    written: &'a [bool],
    rows: usize,
}

impl Rows<'_> {
    /// Elements of a row of a buffer that is written; none if any element may be touched.
    fn row(&self, id: BufferId) -> Option<Result<i64, ()>> {
        let buffer: &Buffer = self.body.buffers.get(id.0 as usize)?;
        if !self.written[id.0 as usize] {
            return None;
        }
        let even = buffer.len.is_multiple_of(self.rows);
        Some(if even { Ok((buffer.len / self.rows) as i64) } else { Err(()) })
    }

    fn left(&self, a: &Operand, k: usize) -> bool {
        match self.row(a.buffer) {
            None => true,
            Some(Err(())) => false,
            Some(Ok(row)) => {
                let end = a.offset as i64 + k.saturating_sub(1) as i64 * a.strides[2];
                a.strides[1] == row && a.strides[2] >= 0 && end < row
            }
        }
    }

    fn result(&self, c: BufferId, n: usize) -> bool {
        self.row(c) == Some(Ok(n as i64))
    }

    fn epilogue(&self, epilogue: &Option<EpilogueWork>) -> bool {
        let Some(epilogue) = epilogue else { return true };
        let Some(code) = self.body.kernels.get(epilogue.kernel) else { return false };
        // Batch, row, column.
        let Some(Stmt::For { extent: 1, body, .. }) = code.body.last() else { return false };
        let Some(Stmt::For { var, extent, .. }) = body.last() else { return false };
        *extent == self.rows && self.kept_by(code, &epilogue.args, *var, 1)
    }

    /// Whether iterations of a loop, `each` of them a row, touch what is written in their own row only.
    fn kept_by(&self, code: &Kernel, args: &[BufferId], var: LoopVar, each: usize) -> bool {
        let mut look = Look { rows: self, args, var, each, extents: HashMap::new() };
        look.block(&code.body)
    }
}

struct Look<'a> {
    rows: &'a Rows<'a>,
    args: &'a [BufferId],
    var: LoopVar,
    each: usize,
    extents: HashMap<LoopVar, usize>,
}

impl Look<'_> {
    fn block(&mut self, body: &[Stmt]) -> bool {
        body.iter().all(|stmt| match stmt {
            Stmt::Let { expr: Expr::Load { buffer, index, guard, .. }, .. } => self.access(buffer.0, index, guard),
            Stmt::Let { .. } => true,
            Stmt::For { var, extent, body, .. } | Stmt::Fold { var, extent, body, .. } => {
                self.extents.insert(*var, *extent);
                self.block(body)
            }
            Stmt::Store { buffer, index, guard, .. } => self.access(buffer.0, index, guard),
        })
    }

    fn access(&self, buffer: u32, index: &Index, guard: &[Bound]) -> bool {
        let Some(id) = self.args.get(buffer as usize) else { return false };
        let row = match self.rows.row(*id) {
            None => return true,
            Some(Err(())) => return false,
            Some(Ok(row)) => row,
        };
        let stride = index.stride(self.var);
        if stride * self.each as i64 != row {
            return false;
        }
        // Where in its row the access is: what the iteration adds within it, and the rest.
        let mut inside = index.clone();
        inside.terms.retain(|t| t.0 != self.var);
        let within = (self.each as i64 - 1) * stride;
        let extent = |var: LoopVar| self.extents.get(&var).copied().unwrap_or(0);
        // A guard of the same counters says where the access happens at all.
        let guarded = guard.iter().find(|g| g.index.terms == inside.terms && g.index.values == inside.values);
        let (low, high) = match guarded {
            Some(g) => {
                let shift = inside.offset - g.index.offset;
                (shift, shift + g.limit - 1)
            }
            None => match range(&inside, extent) {
                Some(range) => range,
                None => return false,
            },
        };
        low >= 0 && high + within < row
    }
}

/// Gives every product whose right operand is the same for all steps a buffer for it, as the runtime kernel wants it.
pub fn pack_ahead(body: &mut Schedule, repeat: &Repeat, sizes: &dyn WorkspaceSizes) {
    if repeat.count < STEPS_TO_PACK {
        return;
    }
    let Schedule { buffers, launches, .. } = body;
    for launch in launches {
        let lane = lane_of(&launch.work, repeat.lanes);
        let Work::Matmul { b, packed, .. } = &mut launch.work else { continue };
        let same = match buffers[b.buffer.0 as usize].kind {
            BufferKind::Outer(n) => repeat.bindings.get(n as usize).is_some_and(|b| b.stride == 0 && !b.written),
            BufferKind::Constant(_) => true,
            _ => false,
        };
        let bytes = if same { sizes.packed_bytes(&lane) } else { 0 };
        if bytes > 0 {
            *packed = Some(BufferId(buffers.len() as u32));
            let (kind, dtype) = (BufferKind::Packed, DType::U8);
            buffers.push(Buffer { kind, dtype, len: bytes, shape: vec![bytes], origin: launch.origin });
        }
    }
}

/// The work as one lane does it.
fn lane_of(work: &Work, lanes: Option<Lanes>) -> Work {
    let mut work = work.clone();
    if let (Work::Matmul { m, .. }, Some(lanes)) = (&mut work, lanes) {
        *m /= lanes.count;
    }
    work
}

/// Scratch memory that the launches of a lane use one after the other, for each lane.
pub fn add_workspace(body: &mut Schedule, lanes: Lanes, sizes: &dyn WorkspaceSizes) {
    let needs = body.launches.iter().map(|launch| sizes.bytes(&lane_of(&launch.work, Some(lanes))));
    let bytes = needs.max().unwrap_or(0).next_multiple_of(super::ALIGN) * lanes.count;
    if bytes == 0 {
        return;
    }
    let id = BufferId(body.buffers.len() as u32);
    let origin = body.launches[0].origin;
    let (kind, dtype) = (BufferKind::Workspace, DType::U8);
    body.buffers.push(Buffer { kind, dtype, len: bytes, shape: vec![bytes], origin });
    for launch in &mut body.launches {
        if let Work::Matmul { workspace, .. } = &mut launch.work {
            *workspace = Some(id);
        }
    }
}
