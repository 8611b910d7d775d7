//! Memory asked for before it is needed.
//!
//! An epilogue reads, besides the product's tile, the same tile of other buffers: a few short pieces of rows that lie far
//! apart, which the processor does not foresee. Waiting for them one after the other takes longer than all else. So an
//! epilogue begins by asking for all of them at once.

use super::code::{G, Inst, Limit};
use super::nest::Begin;
use super::select::{LANES, Select, Span};
use crate::codegen::cpu::emit::Refusal;
use crate::codegen::cpu::wide::stride_of;
use crate::codegen::loops::{Access, BufferArg, Expr, Index, LoopVar, Stmt};

impl<'k> Select<'k> {
    /// Asks for what the body reads within the rows and columns `bounds` (first and end of each).
    pub fn bring_near(&mut self, row: LoopVar, column: LoopVar, bounds: &[G], body: &'k [Stmt]) -> Result<(), Refusal> {
        let places = self.far(row, column, body);
        if places.is_empty() {
            return Ok(());
        }
        self.serial_loop(row, Span::Part(bounds[0], bounds[1]), |s| {
            let counter = s.nest.general();
            s.nest.push(Inst::Copy { to: counter, from: bounds[2] });
            s.nest.open(Some(column), Some(counter), LANES, Begin::At(bounds[2]));
            for (buffer, index) in places {
                let at = s.memory(buffer, index)?;
                s.nest.push(Inst::Prefetch { at });
            }
            s.nest.close_loop(Limit::Value(bounds[3]), true);
            Ok(())
        })
    }

    /// Neighbours of other rows for each row. What is stored to was just computed, and is near.
    fn far(&self, row: LoopVar, column: LoopVar, body: &'k [Stmt]) -> Vec<(BufferArg, &'k Index)> {
        let mut places: Vec<(BufferArg, &Index)> = Vec::new();
        for stmt in body {
            let Stmt::Let { expr: Expr::Load { buffer, index, .. }, .. } = stmt else { continue };
            let neighbours = stride_of(index, column) == 1 && stride_of(index, row) != 0 && index.values.is_empty();
            let read_only = self.kernel.buffers[buffer.0 as usize].access == Access::Read;
            if neighbours && read_only && !places.contains(&(*buffer, index)) {
                places.push((*buffer, index));
            }
        }
        places
    }
}
