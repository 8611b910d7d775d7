//! Winograd's way to the gradient of a 3 × 3 kernel's weights: tiles of the images and of the results' gradient are
//! transformed, multiplied at each of the filter's points (the depth is all tiles), and the sums transformed to nine taps.
//! Images and gradients come in, chunk by chunk of their tiles; a chunk is a few blocks whose transforms have memory of
//! their own. Invariant: the cutting, and with it the order of each sum, depends on the shape and the instruction set only.

use super::columns::Padding;
use super::conv::Conv2d;
use super::drive::Shared;
use super::filter::{self, Filter, Square, square};
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::{GROUP, Tile, Vector};
use super::winograd_tiles::{Given, Size, TAPS, Tiles, choose, spaced, with_filter};
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// Tiles of a block, about: the depth of one product.
const BLOCK_TILES: usize = 64;
/// Floats of a chunk's transforms, about.
const CHUNK_FLOATS: usize = 1 << 20;
/// The fewest and most tiles of a chunk, where there are as many.
const CHUNK_TILES: [usize; 2] = [128, 1024];
/// Strips of a piece of the products.
const STRIPS: usize = 8;
/// Rows of tiles whose channels are turned at once.
const BAND: usize = 8;

/// How the work is cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct WinogradWeight {
    isa: Isa,
    size: Size,
    tiles: Tiles,
    data: Padding,
    gradient: Padding,
    in_channels: usize,
    out_channels: usize,
    /// Rows of tiles of a block.
    block_rows: usize,
    /// Blocks of a chunk.
    blocks: usize,
    strips: usize,
}

impl WinogradWeight {
    /// The plan, or nothing if the plain sum is as good.
    pub fn new(isa: Isa, conv: &Conv2d) -> Option<WinogradWeight> {
        let fits = conv.groups == 1 && conv.kernel == [3, 3] && conv.stride == [1, 1] && conv.dilation == [1, 1];
        if !fits {
            return None;
        }
        let (in_channels, out_channels, map) = (conv.in_channels, conv.out_channels, conv.out_size());
        let size = choose([in_channels, out_channels], conv.batch, map, Given::Plain)?;
        let tiles = Tiles::new(size, conv.batch, map);
        let block_rows = (BLOCK_TILES / tiles.columns).clamp(1, tiles.all_rows());
        let floats = size.points() * (in_channels + out_channels);
        let wanted = (CHUNK_FLOATS / floats).clamp(CHUNK_TILES[0], CHUNK_TILES[1]);
        let most = tiles.all_rows().div_ceil(block_rows);
        let blocks = (wanted / (block_rows * tiles.columns)).clamp(1, most);
        // Chunks as even as possible.
        let blocks = most.div_ceil(most.div_ceil(blocks));
        let gradient = Padding { source: map, padded: map, shift: [0, 0] };
        let strips = out_channels.div_ceil(with_kernel!(isa, K => K::ROWS));
        let data = conv.padding();
        Some(WinogradWeight { isa, size, tiles, data, gradient, in_channels, out_channels, block_rows, blocks, strips })
    }

    /// Tiles of a block.
    fn depth(&self) -> usize {
        self.block_rows * self.tiles.columns
    }

    /// Input channels rounded up to whole groups.
    fn columns(&self) -> usize {
        self.in_channels.next_multiple_of(GROUP)
    }

    fn strip(&self, strip: usize) -> Range<usize> {
        part(self.out_channels, self.strips, strip)..part(self.out_channels, self.strips, strip + 1)
    }

    /// Floats of a block's strip of the gradient at one point, with what may be written after it.
    fn strip_floats(&self) -> usize {
        (self.out_channels.div_ceil(self.strips) * self.depth() + GROUP).next_multiple_of(16)
    }

    /// Floats of a block of the data and of the gradient at one point.
    fn block_floats(&self) -> [usize; 2] {
        [self.columns() * self.depth(), self.strips * self.strip_floats()]
    }

    /// Distances between points of data, gradient and sums.
    fn steps(&self) -> [usize; 3] {
        let [data, gradient] = self.block_floats();
        [spaced(self.blocks * data), spaced(self.blocks * gradient), spaced(self.out_channels * self.columns())]
    }

    /// Floats of scratch of one thread: a band of turned channels.
    fn slot_floats(&self) -> usize {
        (BAND.min(self.block_rows) * self.tiles.out + 2) * self.tiles.width() * GROUP
    }

    /// Bytes of scratch for a pool of `threads`.
    pub fn workspace(&self, threads: usize) -> usize {
        let points = self.size.points() * self.steps().iter().sum::<usize>();
        (points + threads * self.slot_floats()) * size_of::<f32>()
    }

    /// The rows of tiles of a block of a chunk.
    fn rows(&self, chunk: usize, block: usize) -> Range<usize> {
        let all = self.tiles.all_rows();
        let first = (chunk * self.blocks + block) * self.block_rows;
        first.min(all)..(first + self.block_rows).min(all)
    }

    /// Computes the gradient.
    ///
    /// # Safety
    /// As for [`Conv2d::weight_grad`], with [`WinogradWeight::workspace`] bytes.
    pub unsafe fn run(&self, pool: &Pool, x: *const f32, dy: *const f32, dw: *mut f32, workspace: *mut u8) {
        let points = self.size.points();
        let [data, gradient, sums] = self.steps();
        let (x, dy, dw) = (Shared(x.cast_mut()), Shared(dy.cast_mut()), Shared(dw));
        let parts = {
            let at = workspace.cast::<f32>();
            let part = |floats: usize| Shared(at.wrapping_add(points * floats));
            let [first, second, third] = [data, data + gradient, data + gradient + sums].map(part);
            Parts { data: Shared(at), gradient: first, sums: second, slots: third }
        };
        let groups = self.columns() / GROUP;
        let chunk_rows = self.blocks * self.block_rows;
        for chunk in 0..self.tiles.all_rows().div_ceil(chunk_rows) {
            pool.run_slots(self.blocks * (groups + self.strips), &|piece, slot| {
                let (block, piece) = (piece / (groups + self.strips), piece % (groups + self.strips));
                let rows = self.rows(chunk, block);
                let plane = parts.slots.get().wrapping_add(slot * self.slot_floats());
                let turn = match piece.checked_sub(groups) {
                    None => {
                        let (first, width) = panel(self.isa, piece, groups);
                        let at = block * self.block_floats()[0] + first * GROUP * self.depth();
                        let channels = piece * GROUP..((piece + 1) * GROUP).min(self.in_channels);
                        let to = parts.data.get().wrapping_add(at + (piece - first) * GROUP);
                        let (from, all) = (x.get().cast_const(), self.in_channels);
                        Turn { plan: self, rows, channels, all, from, plane, to, width, is_data: true }
                    }
                    Some(strip) => {
                        let at = block * self.block_floats()[1] + strip * self.strip_floats();
                        let channels = self.strip(strip);
                        let (width, to) = (channels.len(), parts.gradient.get().wrapping_add(at));
                        let (from, all) = (dy.get().cast_const(), self.out_channels);
                        Turn { plan: self, rows, channels, all, from, plane, to, width, is_data: false }
                    }
                };
                // SAFETY: `Isa` exists only where its features do; pieces write distinct parts of the scratch.
                unsafe { with_kernel!(self.isa, K => K::enter(turn)) }
            });
            let row_parts = self.strips.div_ceil(STRIPS);
            pool.run(points * row_parts, &|piece| {
                let (point, row_part) = (piece / row_parts, piece % row_parts);
                let strips = part(self.strips, row_parts, row_part)..part(self.strips, row_parts, row_part + 1);
                // SAFETY: as above; pieces have distinct sums.
                unsafe {
                    with_kernel!(self.isa, K => K::enter(Multiply { plan: self, parts: &parts, chunk, point, strips }))
                }
            });
        }
        let pieces = (points * self.out_channels * self.columns() / 32_768).clamp(1, 32).min(self.out_channels);
        pool.run(pieces, &|piece| {
            let (first, end) = (part(self.out_channels, pieces, piece), part(self.out_channels, pieces, piece + 1));
            // SAFETY: as above; pieces write the weights of distinct channels.
            unsafe {
                let work = Finish { plan: self, sums: parts.sums.get(), channels: first..end, dw: dw.get() };
                with_kernel!(self.isa, K => K::enter(work));
            }
        });
    }
}

/// The first group of the panel that a group belongs to, and the panel's width in floats.
fn panel(isa: Isa, group: usize, groups: usize) -> (usize, usize) {
    let most = with_kernel!(isa, K => K::GROUPS);
    let first = group / most * most;
    (first, (groups - first).min(most) * GROUP)
}

/// The parts of the scratch.
struct Parts {
    data: Shared<f32>,
    gradient: Shared<f32>,
    sums: Shared<f32>,
    slots: Shared<f32>,
}

/// Transforms the tiles of at most 16 channels of a block.
struct Turn<'a> {
    plan: &'a WinogradWeight,
    rows: Range<usize>,
    channels: Range<usize>,
    /// Channels of an image.
    all: usize,
    from: *const f32,
    /// The slot's memory.
    plane: *mut f32,
    /// Where the first tile's lanes go; the others' are `width` apart.
    to: *mut f32,
    width: usize,
    /// Images, not the gradient of results.
    is_data: bool,
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
        let (plan, tiles) = (self.plan, &self.plan.tiles);
        let [data_step, gradient_step, _] = plan.steps();
        let step = if self.is_data { data_step } else { gradient_step };
        let mut tile = 0;
        for (image, rows) in tiles.runs(self.rows.clone()) {
            for first in rows.clone().step_by(BAND) {
                let band = first..(first + BAND).min(rows.end);
                let cut = if self.is_data {
                    tiles.cut(&plan.data, &band)
                } else {
                    let padded = [band.len() * tiles.out, tiles.columns * tiles.out];
                    Padding { padded, shift: [-((first * tiles.out) as isize), 0], ..plan.gradient }
                };
                // SAFETY: the plane holds a band of either; the target has room for all tiles of the block, and lanes
                // after the last channel are overwritten by the next tile's or are slack.
                unsafe {
                    self.load::<K>(image, &cut);
                    let width = cut.padded[1];
                    for row in 0..band.len() {
                        for column in 0..tiles.columns {
                            let from = self.plane.add((row * width + column) * tiles.out * GROUP);
                            let to = self.to.add(tile * self.width);
                            for lane in (0..GROUP).step_by(K::V::LANES) {
                                if lane >= self.width {
                                    break;
                                }
                                let from = Square {
                                    at: from.add(lane).cast_const(),
                                    row: (width * GROUP) as isize,
                                    column: GROUP as isize,
                                };
                                let to =
                                    Square { at: to.add(lane), row: (F::SIZE * step) as isize, column: step as isize };
                                if self.is_data {
                                    square::<filter::Data<F>, K::V, _, _>(from, to);
                                } else {
                                    square::<filter::Gradient<F>, K::V, _, _>(from, to);
                                }
                            }
                            tile += 1;
                        }
                    }
                }
            }
        }
    }

    /// Turns the channels of a band: lanes become channels.
    ///
    /// # Safety
    /// The plane has room for the cut; `K`'s features are enabled.
    #[inline(always)]
    unsafe fn load<K: Kernel>(&self, image: usize, cut: &Padding) {
        let source = cut.source[0] * cut.source[1];
        let [rows, columns] = [cut.inside(0), cut.inside(1)];
        // SAFETY: `inside` keeps rows and columns in both planes.
        unsafe {
            self.plane.write_bytes(0, cut.plane() * GROUP);
            let from = self.from.add((image * self.all + self.channels.start) * source);
            for y in rows {
                let to = (y as isize + cut.shift[0]) as usize * cut.padded[1];
                let to = to + (columns.start as isize + cut.shift[1]) as usize;
                let from = from.add(y * cut.source[1] + columns.start);
                K::transpose(from, source, self.channels.len(), columns.len(), self.plane.add(to * GROUP), GROUP);
            }
        }
    }
}

/// Multiplies the transforms of a chunk at one point for some strips.
struct Multiply<'a> {
    plan: &'a WinogradWeight,
    parts: &'a Parts,
    chunk: usize,
    point: usize,
    strips: Range<usize>,
}

impl Work for Multiply<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let plan = self.plan;
        let [data_step, gradient_step, sums_step] = plan.steps();
        let [data_block, gradient_block] = plan.block_floats();
        let (columns, groups) = (plan.columns(), plan.columns() / GROUP);
        // SAFETY: the parts of the scratch as `workspace` measures them.
        unsafe {
            let sums = self.parts.sums.get().add(self.point * sums_step);
            for block in 0..plan.blocks {
                let depth = plan.rows(self.chunk, block).len() * plan.tiles.columns;
                let data = self.parts.data.get().add(self.point * data_step + block * data_block);
                let gradient = self.parts.gradient.get().add(self.point * gradient_step + block * gradient_block);
                if depth == 0 {
                    break;
                }
                for strip in self.strips.clone() {
                    let rows = plan.strip(strip);
                    for group in (0..groups).step_by(K::GROUPS) {
                        let width = (groups - group).min(K::GROUPS);
                        let tile = Tile {
                            depth,
                            a: gradient.add(strip * plan.strip_floats()),
                            b: data.add(group * GROUP * plan.depth()),
                            b_step: width * GROUP,
                            c: sums.add(rows.start * columns + group * GROUP),
                            c_stride: columns,
                            accumulate: self.chunk + block > 0,
                        };
                        K::tile(rows.len(), width, &tile);
                    }
                }
            }
        }
    }
}

/// Transforms the sums of some output channels to weights.
struct Finish<'a> {
    plan: &'a WinogradWeight,
    sums: *const f32,
    channels: Range<usize>,
    dw: *mut f32,
}

impl Work for Finish<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        // SAFETY: promised by the caller.
        unsafe { with_filter!(self.plan.size, F => self.filter::<K, F>()) }
    }
}

impl Finish<'_> {
    #[inline(always)]
    unsafe fn filter<K: Kernel, F: Filter>(&self) {
        let plan = self.plan;
        let (columns, [.., step]) = (plan.columns(), plan.steps());
        let mut taps = [0.0f32; TAPS * GROUP];
        // Each column of the turned taps is written as 16 floats.
        let mut turned = [0.0f32; TAPS * GROUP + GROUP];
        // SAFETY: the sums of a channel have whole groups; only weights that exist are written.
        unsafe {
            for channel in self.channels.clone() {
                for first in (0..plan.in_channels).step_by(GROUP) {
                    let count = (plan.in_channels - first).min(GROUP);
                    for lane in (0..GROUP).step_by(K::V::LANES) {
                        let from = self.sums.add(channel * columns + first + lane);
                        let from = Square { at: from, row: (F::SIZE * step) as isize, column: step as isize };
                        let to = taps.as_mut_ptr().add(lane);
                        let to = Square { at: to, row: 3 * GROUP as isize, column: GROUP as isize };
                        square::<filter::Taps<F>, K::V, _, _>(from, to);
                    }
                    K::transpose(taps.as_ptr(), GROUP, TAPS, count, turned.as_mut_ptr(), TAPS);
                    let to = self.dw.add((channel * plan.in_channels + first) * TAPS);
                    to.copy_from_nonoverlapping(turned.as_ptr(), count * TAPS);
                }
            }
        }
    }
}
