//! The driver of every product: operands that can be packed and an output that can be written come in, C = A × B (or
//! C += A × B) goes out. Invariant: the cutting into pieces depends on the shape only, each element's sum runs through
//! the depth in order, and [`Output::finished`] is called once for each piece of C, after its last sum.
//!
//! A piece is a block of columns and a block of rows. For each block of the depth its part of B is packed into scratch
//! that fits the second-level cache; strips of A (packed once for all pieces where several share them) stay in the first
//! level while they meet all panels of B.

use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::{GROUP, MAX_GROUPS, MAX_ROWS, Tile};
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// Depth of one block: a strip of 14 rows then takes two thirds of a 32 KiB first-level cache.
const BLOCK_DEPTH: usize = 384;
/// Floats of a packed block of B: a quarter of a megabyte.
const BLOCK_FLOATS: usize = 64 << 10;
/// Multiplications that are worth a piece of their own (about 5 µs).
const PIECE_WORK: usize = 1 << 18;
/// Pieces of a large product; enough to balance several threads where some are slower.
const PIECES: usize = 16;
/// Floats of a packed block of B where the rows are cut: half a megabyte.
const TALL_BLOCK_FLOATS: usize = 128 << 10;
/// Pieces where the rows are cut: each packs B anew.
const ROW_PIECES: usize = 8;
/// The most floats of A that are packed at once for all pieces.
const SHARED_FLOATS: usize = 8 << 20;
/// Up to so many strips, packing B costs more than it gains.
const STRIPS_IN_PLACE: usize = 2;

/// The left operand.
pub(super) trait PackA: Sync {
    /// `to[k * rows + i]` = element (`row + i`, `k0 + k`). May write up to 16 floats after the last.
    ///
    /// # Safety
    /// `to` is writable for `rows * depth + 16` floats; rows and depth lie inside the operand; `K`'s features are enabled.
    unsafe fn pack<K: Kernel>(&self, batch: usize, row: usize, rows: usize, k0: usize, depth: usize, to: *mut f32);
}

/// The right operand, in groups of 16 columns.
pub(super) trait PackB: Sync {
    /// `to[k * step + j]` = element (`k0 + k`, `16 * group + j`), zero (or anything finite) after the last column.
    ///
    /// # Safety
    /// `to` is writable; group and depth lie inside the operand; `K`'s features are enabled.
    unsafe fn pack<K: Kernel>(&self, batch: usize, group: usize, k0: usize, depth: usize, to: *mut f32, step: usize);

    /// Where the rows of these groups lie contiguously in memory, and the distance between rows.
    fn in_place(&self, _batch: usize, _group: usize, _groups: usize) -> Option<(*const f32, usize)> {
        None
    }

    /// Whether a tile of these groups can be computed without packing them.
    fn fuses(&self, _group: usize, _groups: usize) -> bool {
        false
    }

    /// Computes such a tile.
    ///
    /// # Safety
    /// [`PackB::fuses`] said so; groups and depth lie inside the operand; `tile` is valid but for its right operand;
    /// `K`'s features are enabled.
    unsafe fn fused<K: Kernel>(&self, _batch: usize, _: Range<usize>, _depth: Range<usize>, _rows: usize, _: Tile) {
        unreachable!("an operand that has to be packed")
    }
}

/// The result, in groups of 16 columns.
pub(super) trait Output: Sync {
    /// Floats between rows.
    fn stride(&self) -> usize;
    /// The address of (`row`, `16 * group`) if these groups are whole and contiguous.
    fn whole(&self, batch: usize, row: usize, group: usize, groups: usize) -> Option<*mut f32>;
    /// Writes or adds those of 16 sums that belong to C.
    ///
    /// # Safety
    /// 16 floats at `from` are readable; row and group lie inside C; `K`'s features are enabled.
    unsafe fn put<K: Kernel>(&self, batch: usize, row: usize, group: usize, from: *const f32, accumulate: bool);
    /// These rows and groups will have their final sums soon.
    ///
    /// # Safety
    /// They lie inside C.
    #[inline(always)]
    unsafe fn expected(&self, _batch: usize, _rows: Range<usize>, _groups: Range<usize>) {}
    /// These rows and groups have their final sums.
    ///
    /// # Safety
    /// They do, and no other thread touches them.
    unsafe fn finished(&self, batch: usize, rows: Range<usize>, groups: Range<usize>);
}

/// How one product is cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    isa: Isa,
    batch: usize,
    rows: usize,
    groups: usize,
    depth: usize,
    accumulate: bool,
    strips: usize,
    depth_blocks: usize,
    panels: usize,
    panel_groups: usize,
    column_blocks: usize,
    row_blocks: usize,
    /// A is packed once before all pieces.
    share: bool,
    in_place: bool,
    /// B is packed already.
    packed: bool,
    /// A is packed already.
    kept: bool,
}

impl Plan {
    pub fn new(isa: Isa, batch: usize, rows: usize, groups: usize, depth: usize, accumulate: bool) -> Plan {
        let (tile_rows, panel_groups) = with_kernel!(isa, K => (K::ROWS, K::GROUPS));
        let strips = rows.div_ceil(tile_rows);
        let depth_blocks = depth.div_ceil(BLOCK_DEPTH).max(1);
        let panels = groups.div_ceil(panel_groups);
        let panel_floats = depth.div_ceil(depth_blocks).max(1) * panel_groups * GROUP;
        let work = rows.saturating_mul(groups * GROUP).saturating_mul(depth);
        let wanted = (work.saturating_mul(batch) / PIECE_WORK).clamp(1, PIECES).div_ceil(batch.max(1));
        let smallest = (BLOCK_FLOATS / panel_floats).max(1);
        let column_blocks = panels.div_ceil(smallest).max(wanted.min(panels)).max(1);
        let row_blocks = wanted.div_ceil(column_blocks).min(strips / 4).max(1);
        let wide = panels.div_ceil((TALL_BLOCK_FLOATS / panel_floats).max(1)).max(1);
        let tall = by_rows([rows, groups * GROUP, depth], [column_blocks, wide], wanted, strips / 4);
        let (column_blocks, row_blocks) = tall.unwrap_or((column_blocks, row_blocks));
        let plan = Plan {
            isa,
            batch,
            rows,
            groups,
            depth,
            accumulate,
            strips,
            depth_blocks,
            panels,
            panel_groups,
            column_blocks,
            row_blocks,
            share: false,
            in_place: strips <= STRIPS_IN_PLACE,
            packed: false,
            kept: false,
        };
        let share = column_blocks > 1 && (tall.is_none() && plan.shared_floats() <= SHARED_FLOATS);
        Plan { share, ..plan }
    }

    /// A batch of products none of which is cut where it need not be: as many pieces as products, A is packed by the
    /// piece that reads it.
    pub fn whole(isa: Isa, batch: usize, rows: usize, groups: usize, depth: usize) -> Plan {
        let plan = Plan::new(isa, batch, rows, groups, depth, false);
        let panel_floats = plan.block_depth().max(1) * plan.panel_groups * GROUP;
        let column_blocks = plan.panels.div_ceil((BLOCK_FLOATS / panel_floats).max(1)).max(1);
        let share = column_blocks > 1 && plan.share;
        Plan { column_blocks, row_blocks: 1, share, ..plan }
    }

    /// The same for a right operand that is packed already.
    pub fn packed(self) -> Plan {
        Plan { in_place: true, packed: true, ..self }
    }

    /// The same for a left operand that [`Plan::prepare`] has packed elsewhere: [`Plan::kept_floats`] of it.
    pub fn kept(self) -> Plan {
        Plan { share: true, kept: true, ..self }
    }

    /// Floats of the whole left operand, packed.
    pub fn kept_floats(&self) -> usize {
        self.shared_floats()
    }

    /// Groups of a panel, of a product and its whole depth.
    pub fn right(&self) -> (usize, usize, usize) {
        (self.panel_groups, self.groups, self.depth)
    }

    /// Products.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The deepest block.
    fn block_depth(&self) -> usize {
        self.depth.div_ceil(self.depth_blocks)
    }

    /// Floats of one packed strip of A with what packing may write after it, a whole number of cache lines.
    fn strip_floats(&self) -> usize {
        (self.rows.div_ceil(self.strips.max(1)) * self.block_depth() + GROUP).next_multiple_of(16)
    }

    fn shared_floats(&self) -> usize {
        self.batch * self.strips * self.depth_blocks * self.strip_floats()
    }

    /// Floats of so many packed panels of B.
    fn panel_floats(&self, panels: usize) -> usize {
        if self.packed { 0 } else { panels * self.panel_groups * GROUP * self.block_depth() }
    }

    /// Floats of scratch of one thread.
    fn slot_floats(&self) -> usize {
        self.panel_floats(self.panels.div_ceil(self.column_blocks)) + self.strip_floats() + 64
    }

    /// Floats of scratch for a pool of `threads`.
    pub fn workspace(&self, threads: usize) -> usize {
        self.before_slots() + threads * self.slot_floats()
    }

    /// Floats of the scratch that all pieces share.
    fn before_slots(&self) -> usize {
        if self.share && !self.kept { self.shared_floats() } else { 0 }
    }

    fn strip(&self, strip: usize) -> Range<usize> {
        part(self.rows, self.strips, strip)..part(self.rows, self.strips, strip + 1)
    }

    fn depth_block(&self, block: usize) -> Range<usize> {
        part(self.depth, self.depth_blocks, block)..part(self.depth, self.depth_blocks, block + 1)
    }

    fn shared_strip(&self, batch: usize, block: usize, strip: usize) -> usize {
        ((batch * self.depth_blocks + block) * self.strips + strip) * self.strip_floats()
    }

    /// Whether A is packed once for all pieces; where it lies then depends on its own shape only.
    pub fn share(&self) -> bool {
        self.share
    }

    /// Packs A for all pieces, if the plan says so.
    ///
    /// # Safety
    /// `scratch` is writable for [`Plan::workspace`] floats and A is readable.
    pub unsafe fn prepare<A: PackA>(&self, pool: &Pool, a: &A, scratch: *mut f32) {
        if !self.share {
            return;
        }
        let scratch = Shared(scratch);
        let strips = self.batch * self.depth_blocks * self.strips;
        let pieces = (strips * self.strip_floats() / 16_384).clamp(1, PIECES).min(strips);
        pool.run(pieces, &|piece| {
            let work = Prepare {
                plan: self,
                a,
                scratch,
                strips: part(strips, pieces, piece)..part(strips, pieces, piece + 1),
            };
            // SAFETY: `Isa` exists only where its features do; strips are distinct parts of the scratch.
            unsafe { with_kernel!(self.isa, K => K::enter(work)) }
        });
    }

    /// Computes the product; [`Plan::prepare`] has run with the same scratch.
    ///
    /// # Safety
    /// The operands are readable and C is writable in the plan's shape; `scratch` as for [`Plan::prepare`].
    pub unsafe fn compute<A: PackA, B: PackB, C: Output>(&self, pool: &Pool, a: &A, b: &B, c: &C, scratch: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe { self.compute_kept(pool, a, scratch, b, c, scratch) }
    }

    /// [`Plan::compute`] where [`Plan::prepare`] has run with `left` as scratch.
    ///
    /// # Safety
    /// As for [`Plan::compute`].
    pub unsafe fn compute_kept<A: PackA, B: PackB, C: Output>(
        &self,
        pool: &Pool,
        a: &A,
        left: *const f32,
        b: &B,
        c: &C,
        scratch: *mut f32,
    ) {
        if self.rows == 0 || self.groups == 0 {
            return;
        }
        let (left, scratch) = (Shared(left.cast_mut()), Shared(scratch));
        pool.run_slots(self.batch * self.column_blocks * self.row_blocks, &|piece, slot| {
            // SAFETY: `Isa` exists only where its features do; pieces write distinct parts of C and slots are distinct.
            unsafe { with_kernel!(self.isa, K => K::enter(Piece { plan: self, a, left, b, c, scratch, piece, slot })) }
        });
    }
}

/// How a product with a large A is cut by rows instead, if that copies less: each piece packs its own strips of A for few
/// and wide blocks of columns. In: rows, columns and depth; how many column blocks there would be, and could be at least;
/// pieces wanted; the most row blocks. Out: column blocks and row blocks.
fn by_rows(
    [rows, columns, depth]: [usize; 3],
    [blocks, wide]: [usize; 2],
    wanted: usize,
    most: usize,
) -> Option<(usize, usize)> {
    let row_blocks = wanted.div_ceil(wide).min(most);
    if row_blocks < 2 || wide * row_blocks < wanted.min(ROW_PIECES) {
        return None;
    }
    let row_blocks = row_blocks.min(ROW_PIECES.div_ceil(wide)).max(2);
    let (a, b) = (rows.saturating_mul(depth), columns.saturating_mul(depth));
    // All of A is packed once and then read by each block, or packed by each block if it is too large for that.
    let shared = if a <= SHARED_FLOATS { a + a / 8 * blocks } else { a.saturating_mul(blocks) };
    (wide * a + row_blocks * b < shared / 4 * 3).then_some((wide, row_blocks))
}

/// A pointer that threads share; who writes what is settled by the pieces.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub *mut T);
impl<T> Shared<T> {
    /// The pointer; a method, so that closures capture the whole.
    #[inline(always)]
    pub fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: only a pointer; its uses are `unsafe` and say why they do not overlap.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

struct Prepare<'a, A> {
    plan: &'a Plan,
    a: &'a A,
    scratch: Shared<f32>,
    strips: Range<usize>,
}

impl<A: PackA> Work for Prepare<'_, A> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let plan = self.plan;
        for index in self.strips {
            let (outer, strip) = (index / plan.strips, index % plan.strips);
            let (batch, block) = (outer / plan.depth_blocks, outer % plan.depth_blocks);
            let (rows, depth) = (plan.strip(strip), plan.depth_block(block));
            // SAFETY: promised by the caller of `prepare`; this strip's place in the scratch is nobody else's.
            unsafe {
                let to = self.scratch.0.add(plan.shared_strip(batch, block, strip));
                self.a.pack::<K>(batch, rows.start, rows.len(), depth.start, depth.len(), to);
            }
        }
    }
}

struct Piece<'a, A, B, C> {
    plan: &'a Plan,
    a: &'a A,
    left: Shared<f32>,
    b: &'a B,
    c: &'a C,
    scratch: Shared<f32>,
    piece: usize,
    slot: usize,
}

impl<A: PackA, B: PackB, C: Output> Work for Piece<'_, A, B, C> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let Piece { plan, a, left: shared, b, c, scratch, piece, slot } = self;
        let (outer, row_block) = (piece / plan.row_blocks, piece % plan.row_blocks);
        let (batch, column_block) = (outer / plan.column_blocks, outer % plan.column_blocks);
        let first = part(plan.panels, plan.column_blocks, column_block);
        let panels = first..part(plan.panels, plan.column_blocks, column_block + 1);
        let strips = part(plan.strips, plan.row_blocks, row_block)..part(plan.strips, plan.row_blocks, row_block + 1);
        let groups_of = |panel: usize| (plan.groups - panel * K::GROUPS).min(K::GROUPS);
        // SAFETY: all offsets follow the layout that `Plan::workspace` measures: the shared strips of A, then for each
        // slot the panels of B and one strip. Operand and result accesses stay within the plan's shape.
        unsafe {
            let packed = scratch.0.add(plan.before_slots() + slot * plan.slot_floats());
            let own_strip = packed.add(plan.panel_floats(panels.len()));
            for block in 0..plan.depth_blocks {
                let depth = plan.depth_block(block);
                let accumulate = plan.accumulate || block > 0;
                let panel_at = |panel: usize| packed.add((panel - first) * K::GROUPS * GROUP * plan.block_depth());
                let in_place = |panel: usize| {
                    if plan.in_place { b.in_place(batch, panel * K::GROUPS, groups_of(panel)) } else { None }
                };
                let fuses =
                    |panel: usize| plan.strips <= K::FUSED_STRIPS && b.fuses(panel * K::GROUPS, groups_of(panel));
                for panel in panels.clone() {
                    if in_place(panel).is_none() && !fuses(panel) {
                        let groups = groups_of(panel);
                        for g in 0..groups {
                            let to = panel_at(panel).add(g * GROUP);
                            b.pack::<K>(batch, panel * K::GROUPS + g, depth.start, depth.len(), to, groups * GROUP);
                        }
                    }
                }
                for strip in strips.clone() {
                    let rows = plan.strip(strip);
                    let last = (panels.end * K::GROUPS).min(plan.groups);
                    if block + 1 == plan.depth_blocks {
                        c.expected(batch, rows.clone(), first * K::GROUPS..last);
                    }
                    let left = if plan.share {
                        shared.0.add(plan.shared_strip(batch, block, strip))
                    } else {
                        a.pack::<K>(batch, rows.start, rows.len(), depth.start, depth.len(), own_strip);
                        own_strip
                    };
                    for panel in panels.clone() {
                        let groups = groups_of(panel);
                        let (right, step) = match in_place(panel) {
                            Some((at, step)) => (at.wrapping_add(depth.start * step), step),
                            None => (panel_at(panel).cast_const(), groups * GROUP),
                        };
                        let tile = |c, c_stride, accumulate| {
                            let (a, b_step) = (left, step);
                            let tile = Tile { depth: depth.len(), a, b: right, b_step, c, c_stride, accumulate };
                            if fuses(panel) {
                                let groups = panel * K::GROUPS..panel * K::GROUPS + groups;
                                b.fused::<K>(batch, groups, depth.clone(), rows.len(), tile);
                            } else {
                                K::tile(rows.len(), groups, &tile);
                            }
                        };
                        match c.whole(batch, rows.start, panel * K::GROUPS, groups) {
                            Some(at) => tile(at, c.stride(), accumulate),
                            None => {
                                let mut sums = Sums([0.0; MAX_ROWS * MAX_GROUPS * GROUP]);
                                let sums = sums.0.as_mut_ptr();
                                tile(sums, groups * GROUP, false);
                                for i in 0..rows.len() {
                                    for g in 0..groups {
                                        let from = sums.add((i * groups + g) * GROUP);
                                        c.put::<K>(batch, rows.start + i, panel * K::GROUPS + g, from, accumulate);
                                    }
                                }
                            }
                        }
                    }
                    if block + 1 == plan.depth_blocks {
                        c.finished(batch, rows, first * K::GROUPS..last);
                    }
                }
            }
        }
    }
}

/// The sums of a tile that cannot go straight to C.
#[repr(align(64))]
struct Sums([f32; MAX_ROWS * MAX_GROUPS * GROUP]);
