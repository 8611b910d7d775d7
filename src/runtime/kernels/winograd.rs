//! Winograd's convolution for 3 × 3 kernels with stride 1, forward and for the gradient of the input: 2.25 or 4 times fewer
//! multiplications than the plain product. Images come in; blocks of tiles are transformed, multiplied at each of the
//! filter's 16 or 36 points with the transformed weights, transformed back and written. A block's transforms and sums stay
//! in the second-level cache, and its tiles are whole rows of tiles, so that results appear in runs of pixels. Where there are
//! too few blocks, pieces share the channels of a block, whose images are then transformed before.
//! Invariants: the cutting depends on the shape and the instruction set only; each element is written by one piece.

use super::columns::Windows;
use super::drive::Shared;
use super::filter::{self, Filter, MAX_OUT, MAX_SIZE, Square, square};
use super::gemm::Epilogue;
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::{GROUP, Tile, Vector};
use super::winograd_tiles::{Given, Size, TAPS, Tiles, choose, spaced, with_filter};
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// Floats of a block's transformed images, and of its sums, that are worth having at once.
const BLOCK_FLOATS: usize = 128 << 10;
/// More than so many floats for one row of tiles, and Winograd's way is not taken.
const MOST_FLOATS: usize = 2 << 20;
/// Fewest and most tiles of a block, where the maps have as many.
const TILES: [usize; 2] = [32, 96];
/// Pieces that are wanted, so that several threads have work.
const PIECES: usize = 4;
/// Where a kernel's weights lie: rows are channels of the result, the depth is channels of the images.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    pub at: *const f32,
    pub row_stride: usize,
    pub depth_stride: usize,
    /// The taps come last to first.
    pub turned: bool,
}

// SAFETY: only a pointer to memory that nobody writes meanwhile.
unsafe impl Sync for Weights {}

/// How a convolution is cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Winograd {
    isa: Isa,
    size: Size,
    windows: Windows,
    /// Channels of the result.
    channels: usize,
    tiles: Tiles,
    /// Rows of tiles of a block.
    block_rows: usize,
    blocks: usize,
    /// Parts of the channels of the result.
    parts: usize,
    strips: usize,
    /// Strips whose sums are held at once.
    held: usize,
}

impl Winograd {
    /// The plan, or nothing if the plain product is as good.
    pub fn new(isa: Isa, windows: &Windows, channels: usize, given: Given) -> Option<Winograd> {
        let fits = windows.groups == 1
            && windows.kernel == [3, 3]
            && windows.stride == [1, 1]
            && windows.dilation == [1, 1]
            && windows.images > 0;
        if !fits {
            return None;
        }
        let size = choose([windows.channels, channels], windows.images, windows.out, given)?;
        let tiles = Tiles::new(size, windows.images, windows.out);
        let wanted = (BLOCK_FLOATS / (size.points() * windows.channels)).clamp(TILES[0], TILES[1]);
        let all = tiles.all_rows() * tiles.columns;
        let wanted = wanted.min((all / PIECES).next_multiple_of(GROUP)).max(GROUP);
        let block_rows = tiles.block_rows(wanted);
        let blocks = tiles.all_rows().div_ceil(block_rows);
        let strip_rows = with_kernel!(isa, K => K::ROWS);
        let strips = channels.div_ceil(strip_rows);
        let parts = PIECES.div_ceil(blocks).min(strips);
        let columns = (block_rows * tiles.columns).next_multiple_of(GROUP);
        let most = (BLOCK_FLOATS * 5 / 4 / (size.points() * columns * strip_rows)).max(1);
        let part = strips.div_ceil(parts);
        let held = part.div_ceil(part.div_ceil(most));
        let plan = Winograd { isa, size, windows: *windows, channels, tiles, block_rows, blocks, parts, strips, held };
        (size.points() * plan.data_step() <= MOST_FLOATS).then_some(plan)
    }

    /// Columns of a block's matrices.
    fn columns(&self) -> usize {
        (self.block_rows * self.tiles.columns).next_multiple_of(GROUP)
    }

    fn strip(&self, strip: usize) -> Range<usize> {
        part(self.channels, self.strips, strip)..part(self.channels, self.strips, strip + 1)
    }

    /// Rows of the largest strip.
    fn strip_rows(&self) -> usize {
        self.channels.div_ceil(self.strips)
    }

    /// Floats of a strip of the transformed weights at one point, with what packing may write after it.
    fn strip_floats(&self) -> usize {
        (self.strip_rows() * self.windows.channels + GROUP).next_multiple_of(16)
    }

    fn weights_step(&self) -> usize {
        spaced(self.strips * self.strip_floats())
    }

    fn data_step(&self) -> usize {
        spaced(self.windows.channels * self.columns())
    }

    fn sums_step(&self) -> usize {
        spaced(self.held * self.strip_rows() * self.columns())
    }

    /// Floats of one channel's data, or results, of a block, with slack.
    fn plane_floats(&self) -> usize {
        // Lanes without a tile write one after the results.
        let rows = (self.block_rows + 1) * self.tiles.out + 2 * self.tiles.most_runs(self.block_rows);
        (rows * self.tiles.width() + 2 * GROUP).next_multiple_of(16)
    }

    /// Floats of scratch of one thread.
    fn slot_floats(&self) -> usize {
        let data = if self.parts > 1 { 0 } else { self.block_floats() };
        2 * self.columns() + self.plane_floats() + data + self.size.points() * self.sums_step()
    }

    /// Floats of a block's transformed images.
    fn block_floats(&self) -> usize {
        self.size.points() * self.data_step()
    }

    /// Floats of the transformed images of all blocks, where pieces share them.
    fn shared_floats(&self) -> usize {
        if self.parts > 1 { self.blocks * self.block_floats() } else { 0 }
    }

    /// Bytes of scratch for a pool of `threads`.
    pub fn workspace(&self, threads: usize) -> usize {
        self.kept_bytes() + self.workspace_kept(threads)
    }

    /// The same where the weights are transformed already.
    pub fn workspace_kept(&self, threads: usize) -> usize {
        (self.shared_floats() + threads * self.slot_floats()) * size_of::<f32>()
    }

    /// Bytes of the transformed weights.
    pub fn kept_bytes(&self) -> usize {
        self.size.points() * self.weights_step() * size_of::<f32>()
    }

    /// Transforms the weights.
    ///
    /// # Safety
    /// The weights are readable; `to` is aligned to 64 bytes and writable for [`Winograd::kept_bytes`] bytes.
    pub unsafe fn keep(&self, pool: &Pool, weights: Weights, to: *mut u8) {
        let to = Shared(to.cast::<f32>());
        pool.run(self.strips, &|strip| {
            let work = Turn { plan: self, weights: &weights, strip, to: to.get() };
            // SAFETY: `Isa` exists only where its features do; strips are distinct parts of the memory.
            unsafe { with_kernel!(self.isa, K => K::enter(work)) }
        });
    }

    /// Computes the convolution.
    ///
    /// # Safety
    /// Operands are readable and `to` is writable as the windows say; `workspace` is aligned to 64 bytes and writable for
    /// [`Winograd::workspace`] bytes; the epilogue may run on several threads at once.
    pub unsafe fn run(
        &self,
        pool: &Pool,
        weights: Weights,
        from: *const f32,
        to: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            self.keep(pool, weights, workspace);
            self.run_kept(pool, workspace, from, to, workspace.add(self.kept_bytes()), epilogue)
        }
    }

    /// [`Winograd::run`] with the weights that [`Winograd::keep`] has transformed.
    ///
    /// # Safety
    /// As for [`Winograd::run`], with [`Winograd::workspace_kept`] bytes.
    pub unsafe fn run_kept(
        &self,
        pool: &Pool,
        weights: *const u8,
        from: *const f32,
        to: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        let (weights, scratch) = (Shared(weights.cast::<f32>().cast_mut()), Shared(workspace.cast::<f32>()));
        let (from, to) = (Shared(from.cast_mut()), Shared(to));
        // SAFETY: `Isa` exists only where its features do; pieces write distinct parts of the result and of what they share,
        // and slots are distinct.
        let run = |piece: usize, slot: usize, phase: Phase| unsafe {
            let shared = scratch.get();
            let slot = shared.add(self.shared_floats() + slot * self.slot_floats());
            let (weights, from, to) = (weights.get().cast_const(), from.get().cast_const(), to.get());
            let work = Piece { plan: self, weights, from, to, epilogue, piece, shared, slot, phase };
            with_kernel!(self.isa, K => K::enter(work));
        };
        let pieces = self.blocks * self.parts;
        if self.parts == 1 {
            return pool.run_slots(pieces, &|piece, slot| run(piece, slot, Phase::Both));
        }
        pool.run_slots(pieces, &|piece, slot| run(piece, slot, Phase::Data));
        pool.run_slots(pieces, &|piece, slot| run(piece, slot, Phase::Sums));
    }
}

/// Transforms a strip of the weights.
struct Turn<'a> {
    plan: &'a Winograd,
    weights: &'a Weights,
    strip: usize,
    to: *mut f32,
}

impl Work for Turn<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        // SAFETY: promised by the caller.
        unsafe { with_filter!(self.plan.size, F => self.filter::<K, F>()) }
    }
}

impl Turn<'_> {
    #[inline(always)]
    unsafe fn filter<K: Kernel, F: Filter>(&self) {
        let (plan, rows) = (self.plan, self.plan.strip(self.strip));
        let step = plan.weights_step();
        let mut taps = [0.0f32; TAPS * GROUP];
        let (first_tap, tap_step) =
            if self.weights.turned { (TAPS - 1, -(GROUP as isize)) } else { (0, GROUP as isize) };
        // SAFETY: the strip's weights are readable; a strip has room for 16 floats after its last element, and depths are
        // written in ascending order.
        unsafe {
            let to = self.to.add(self.strip * plan.strip_floats());
            let from = self.weights.at.add(rows.start * self.weights.row_stride);
            for k in 0..plan.windows.channels {
                let from = from.add(k * self.weights.depth_stride);
                K::transpose(from, self.weights.row_stride, rows.len(), TAPS, taps.as_mut_ptr(), GROUP);
                for lane in (0..GROUP).step_by(K::V::LANES) {
                    if lane >= rows.len() {
                        break;
                    }
                    let from = taps.as_ptr().add(first_tap * GROUP + lane);
                    let from = Square { at: from, row: 3 * tap_step, column: tap_step };
                    let to = to.add(k * rows.len() + lane);
                    let to = Square { at: to, row: (F::SIZE * step) as isize, column: step as isize };
                    square::<filter::Weights<F>, K::V, _, _>(from, to);
                }
            }
        }
    }
}

/// What a piece does: it transforms its part of the images, it multiplies and transforms back, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Data,
    Sums,
    Both,
}

struct Piece<'a> {
    plan: &'a Winograd,
    weights: *const f32,
    from: *const f32,
    to: *mut f32,
    epilogue: Option<Epilogue>,
    piece: usize,
    /// The transformed images of all blocks, where pieces share them.
    shared: *mut f32,
    slot: *mut f32,
    phase: Phase,
}

impl Work for Piece<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        // SAFETY: promised by the caller.
        unsafe { with_filter!(self.plan.size, F => self.filter::<K, F>()) }
    }
}

impl Piece<'_> {
    #[inline(always)]
    unsafe fn filter<K: Kernel, F: Filter>(&self) {
        let (plan, tiles) = (self.plan, &self.plan.tiles);
        let (block, part_index) = (self.piece / plan.parts, self.piece % plan.parts);
        let rows = block * plan.block_rows..((block + 1) * plan.block_rows).min(tiles.all_rows());
        let count = rows.len() * tiles.columns;
        let groups = count.div_ceil(GROUP);
        let strips = part(plan.strips, plan.parts, part_index)..part(plan.strips, plan.parts, part_index + 1);
        // SAFETY: the slot is cut as `slot_floats` measures it: the tables of both planes, a plane, data and sums.
        unsafe {
            let (sources, targets) = (self.slot.cast::<u32>(), self.slot.cast::<u32>().add(plan.columns()));
            let plane = self.slot.add(2 * plan.columns());
            let rest = plane.add(plan.plane_floats());
            let (data, sums) = match self.phase {
                Phase::Both => (rest, rest.add(plan.block_floats())),
                _ => (self.shared.add(block * plan.block_floats()), rest),
            };
            self.tables(&rows, groups * GROUP, sources, targets);
            let depth = plan.windows.channels;
            match self.phase {
                Phase::Both => self.data::<K, F>(&rows, groups, 0..depth, sources, plane, data),
                Phase::Data => {
                    let channels = part(depth, plan.parts, part_index)..part(depth, plan.parts, part_index + 1);
                    return self.data::<K, F>(&rows, groups, channels, sources, plane, data);
                }
                Phase::Sums => {}
            }
            let mut first = strips.start;
            while first < strips.end {
                let held = first..(first + plan.held).min(strips.end);
                let channels = plan.strip(held.start).start..plan.strip(held.end - 1).end;
                self.products::<K>(&held, channels.start, groups, data, sums);
                for channel in channels.clone() {
                    let row = sums.add((channel - channels.start) * groups * GROUP);
                    self.results::<K, F>(&rows, groups, channel, row, targets, plane);
                }
                if let Some(epilogue) = &self.epilogue {
                    let [height, width] = plan.windows.out;
                    for (image, rows) in tiles.runs(rows.clone()) {
                        let pixels = rows.start * F::OUT * width..(rows.end * F::OUT).min(height) * width;
                        epilogue.call(image, channels.clone(), pixels);
                    }
                }
                first = held.end;
            }
        }
    }

    /// Where each tile's data and results begin in a plane; tiles after the last read the last and write after the plane.
    ///
    /// # Safety
    /// Both tables are writable for `lanes` entries.
    unsafe fn tables(&self, rows: &Range<usize>, lanes: usize, sources: *mut u32, targets: *mut u32) {
        let tiles = &self.plan.tiles;
        let (source_width, target_width) = (tiles.width(), tiles.columns * tiles.out);
        let (mut lane, mut source, mut target, mut last) = (0, 0, 0, 0);
        // SAFETY: the rows have at most so many tiles.
        unsafe {
            for (_, rows) in tiles.runs(rows.clone()) {
                for row in 0..rows.len() {
                    for column in 0..tiles.columns {
                        last = source + row * tiles.out * source_width + column * tiles.out;
                        *sources.add(lane) = last as u32;
                        *targets.add(lane) = (target + row * tiles.out * target_width + column * tiles.out) as u32;
                        lane += 1;
                    }
                }
                source += (rows.len() * tiles.out + 2) * source_width;
                target += rows.len() * tiles.out * target_width;
            }
            for lane in lane..lanes {
                *sources.add(lane) = last as u32;
                *targets.add(lane) = target as u32;
            }
        }
    }

    /// Transforms some channels of the block's data into panels.
    ///
    /// # Safety
    /// The slot's parts as [`Piece::filter`] cuts them.
    #[inline(always)]
    unsafe fn data<K: Kernel, F: Filter>(
        &self,
        rows: &Range<usize>,
        groups: usize,
        channels: Range<usize>,
        sources: *const u32,
        plane: *mut f32,
        data: *mut f32,
    ) {
        let (plan, tiles) = (self.plan, &self.plan.tiles);
        let padding = &plan.windows.padding;
        let (depth, step, width) = (plan.windows.channels, plan.data_step(), tiles.width());
        let source = padding.source[0] * padding.source[1];
        let mut quads = [0.0f32; MAX_SIZE * 8 * GROUP];
        // SAFETY: promised by the caller; planes have slack for what is read after their last tile.
        unsafe {
            for channel in channels {
                let mut to = plane;
                for (image, rows) in tiles.runs(rows.clone()) {
                    let cut = tiles.cut(padding, &rows);
                    let from = self.from.add((image * depth + channel) * source);
                    cut.copy::<K>(&[cut.inside(0), cut.inside(1)], from, to);
                    to = to.add(cut.plane());
                }
                for group in 0..groups {
                    let offsets = &*sources.add(group * GROUP).cast::<[u32; GROUP]>();
                    for i in 0..F::SIZE {
                        let to = quads.as_mut_ptr().add(i * 8 * GROUP);
                        K::gather_quads(plane.add(i * width), offsets, to);
                        if F::SIZE > 4 {
                            K::gather_quads(plane.add(i * width + 4), offsets, to.add(4 * GROUP));
                        }
                    }
                    let panel = group / K::GROUPS * K::GROUPS;
                    let panel_width = (groups - panel).min(K::GROUPS) * GROUP;
                    let to = data.add(panel * GROUP * depth + channel * panel_width + (group - panel) * GROUP);
                    for lane in (0..GROUP).step_by(K::V::LANES) {
                        let from =
                            Square { at: quads.as_ptr().add(lane), row: 8 * GROUP as isize, column: GROUP as isize };
                        let to = Square { at: to.add(lane), row: (F::SIZE * step) as isize, column: step as isize };
                        square::<filter::Data<F>, K::V, _, _>(from, to);
                    }
                }
            }
        }
    }

    /// Multiplies strips of the weights and the block's data at each point.
    ///
    /// # Safety
    /// As for [`Piece::data`].
    #[inline(always)]
    unsafe fn products<K: Kernel>(
        &self,
        strips: &Range<usize>,
        first_row: usize,
        groups: usize,
        data: *const f32,
        sums: *mut f32,
    ) {
        let plan = self.plan;
        let depth = plan.windows.channels;
        // SAFETY: promised by the caller.
        unsafe {
            for point in 0..plan.size.points() {
                let (weights, data) =
                    (self.weights.add(point * plan.weights_step()), data.add(point * plan.data_step()));
                let sums = sums.add(point * plan.sums_step());
                for strip in strips.clone() {
                    let rows = plan.strip(strip);
                    for panel in (0..groups).step_by(K::GROUPS) {
                        let width = (groups - panel).min(K::GROUPS);
                        let tile = Tile {
                            depth,
                            a: weights.add(strip * plan.strip_floats()),
                            b: data.add(panel * GROUP * depth),
                            b_step: width * GROUP,
                            c: sums.add((rows.start - first_row) * groups * GROUP + panel * GROUP),
                            c_stride: groups * GROUP,
                            accumulate: false,
                        };
                        K::tile(rows.len(), width, &tile);
                    }
                }
            }
        }
    }

    /// Transforms the sums of one channel back and writes its maps.
    ///
    /// # Safety
    /// As for [`Piece::data`].
    #[inline(always)]
    unsafe fn results<K: Kernel, F: Filter>(
        &self,
        rows: &Range<usize>,
        groups: usize,
        channel: usize,
        sums: *const f32,
        targets: *const u32,
        plane: *mut f32,
    ) {
        let (plan, tiles) = (self.plan, &self.plan.tiles);
        let (step, width) = (plan.sums_step(), tiles.columns * F::OUT);
        let mut quads = [0.0f32; MAX_OUT * MAX_OUT * GROUP];
        // SAFETY: promised by the caller.
        unsafe {
            for group in 0..groups {
                for lane in (0..GROUP).step_by(K::V::LANES) {
                    let from = sums.add(group * GROUP + lane);
                    let from = Square { at: from, row: (F::SIZE * step) as isize, column: step as isize };
                    let to = quads.as_mut_ptr().add(lane);
                    let to = Square { at: to, row: (MAX_OUT * GROUP) as isize, column: GROUP as isize };
                    square::<filter::Results<F>, K::V, _, _>(from, to);
                }
                let offsets = &*targets.add(group * GROUP).cast::<[u32; GROUP]>();
                for i in 0..F::OUT {
                    let from = quads.as_ptr().add(i * MAX_OUT * GROUP);
                    K::scatter_quads(from, F::OUT, plane.add(i * width), offsets);
                }
            }
            let [height, columns] = plan.windows.out;
            let mut from = plane.cast_const();
            for (image, rows) in tiles.runs(rows.clone()) {
                let (first, end) = (rows.start * F::OUT, (rows.end * F::OUT).min(height));
                let to = self.to.add(((image * plan.channels + channel) * height + first) * columns);
                // Rows without clipped tiles are one run of floats.
                let (lines, length) =
                    if width == columns { (1, (end - first) * columns) } else { (end - first, columns) };
                for line in 0..lines {
                    for x in (0..length).step_by(GROUP) {
                        let count = (length - x).min(GROUP);
                        K::put(from.add(line * width + x), count, to.add(line * columns + x), false);
                    }
                }
                from = from.add(rows.len() * F::OUT * width);
            }
        }
    }
}
