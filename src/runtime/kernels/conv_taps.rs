//! The gradient of the input of a convolution with a stride: weights and the gradient of the output come in, their plain
//! product (a row for each input channel and tap, a column for each output pixel) goes to scratch, and every row is added
//! where its tap lies in the input. No window is packed. Invariant: the cutting and the order of sums depend on the shape
//! and the instruction set only; each map of the result is written by one piece.

use super::conv::Conv2d;
use super::drive::{PackA, Shared};
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::pack::{Operand, View};
use super::tile::{GROUP, Tile};
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// The most output pixels of an image; larger maps are cut by phases instead.
const MOST_PIXELS: usize = 1024;
/// The most floats of a block's part of the output's gradient.
const MOST_FLOATS: usize = 256 << 10;
/// The fewest output channels: the work that pays for adding the rows.
const FEWEST_CHANNELS: usize = 32;
/// Columns of a block, about, where maps are small.
const COLUMNS: usize = 256;
/// Pieces that are wanted, so that several threads have work.
const PIECES: usize = 4;

/// How the work is cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByTaps {
    isa: Isa,
    conv: Conv2d,
    /// Images of a block.
    images: usize,
    blocks: usize,
    /// Parts of the input channels that are held at once, and how many pieces they are spread over.
    holds: usize,
    parts: usize,
    /// Strips of the rows of a held part.
    strips: usize,
}

impl ByTaps {
    /// The plan, or nothing if another way is better.
    pub fn new(isa: Isa, conv: &Conv2d) -> Option<ByTaps> {
        let [p, q] = conv.out_size();
        let pixels = p * q;
        let fits = conv.stride != [1, 1]
            && conv.groups == 1
            && conv.taps() > 1
            && conv.out_channels >= FEWEST_CHANNELS
            && (1..=MOST_PIXELS).contains(&pixels)
            && pixels * conv.out_channels <= MOST_FLOATS;
        if !fits || conv.batch == 0 || conv.in_channels == 0 {
            return None;
        }
        let most = (COLUMNS / pixels).clamp(1, conv.batch.div_ceil(2));
        let waste = |images: &usize| (images * pixels).next_multiple_of(GROUP) * 1000 / (images * pixels);
        let images = (most.div_ceil(2)..=most).rev().min_by_key(waste).unwrap_or(1);
        let blocks = conv.batch.div_ceil(images);
        let rows = with_kernel!(isa, K => K::ROWS);
        // As many channels as a strip has rows fill all strips.
        let holds = conv.in_channels.div_ceil(rows);
        let parts = PIECES.div_ceil(blocks).min(holds);
        let strips = (conv.in_channels.div_ceil(holds) * conv.taps()).div_ceil(rows);
        Some(ByTaps { isa, conv: *conv, images, blocks, holds, parts, strips })
    }

    fn pixels(&self) -> usize {
        let [p, q] = self.conv.out_size();
        p * q
    }

    /// Columns of a block's product.
    fn columns(&self) -> usize {
        (self.images * self.pixels()).next_multiple_of(GROUP)
    }

    /// Input channels of a held part.
    fn channels(&self, hold: usize) -> Range<usize> {
        part(self.conv.in_channels, self.holds, hold)..part(self.conv.in_channels, self.holds, hold + 1)
    }

    /// The most rows of a held part.
    fn rows(&self) -> usize {
        self.conv.in_channels.div_ceil(self.holds) * self.conv.taps()
    }

    /// Rows of a strip, counted from the first of the held part.
    fn strip(&self, hold: usize, strip: usize) -> Range<usize> {
        let rows = self.channels(hold).len() * self.conv.taps();
        part(rows, self.strips, strip)..part(rows, self.strips, strip + 1)
    }

    /// Floats of a packed strip, with what packing may write after it.
    fn strip_floats(&self) -> usize {
        (self.rows().div_ceil(self.strips) * self.conv.out_channels + GROUP).next_multiple_of(16)
    }

    /// Floats of all packed weights.
    fn weights_floats(&self) -> usize {
        self.holds * self.strips * self.strip_floats()
    }

    /// Floats of scratch of one thread: the packed gradient with slack, and the product of a held part.
    fn slot_floats(&self) -> usize {
        (self.conv.out_channels + self.rows()) * self.columns() + GROUP
    }

    /// Bytes of scratch for a pool of `threads`.
    pub fn workspace(&self, threads: usize) -> usize {
        (self.weights_floats() + threads * self.slot_floats()) * size_of::<f32>()
    }

    /// Computes the gradient.
    ///
    /// # Safety
    /// As for [`Conv2d::input_grad`], with [`ByTaps::workspace`] bytes.
    pub unsafe fn run(&self, pool: &Pool, dy: *const f32, w: *const f32, dx: *mut f32, workspace: *mut u8) {
        let row_floats = self.conv.in_channels * self.conv.taps();
        let view = View { row_stride: 1, col_stride: row_floats, batch_stride: 0 };
        let weights = Operand { at: w, view, columns: self.conv.out_channels };
        let (scratch, dy, dx) = (Shared(workspace.cast::<f32>()), Shared(dy.cast_mut()), Shared(dx));
        pool.run(self.holds * self.strips, &|index| {
            // SAFETY: `Isa` exists only where its features do; strips are distinct parts of the scratch.
            unsafe {
                let to = scratch.get().add(index * self.strip_floats());
                with_kernel!(self.isa, K => K::enter(Pack { plan: self, weights: &weights, index, to }));
            }
        });
        pool.run_slots(self.blocks * self.parts, &|piece, slot| {
            // SAFETY: as above; pieces write distinct maps and slots are distinct.
            unsafe {
                let weights = scratch.get().cast_const();
                let slot = scratch.get().add(self.weights_floats() + slot * self.slot_floats());
                let work = Piece { plan: self, weights, dy: dy.get(), dx: dx.get(), piece, slot };
                with_kernel!(self.isa, K => K::enter(work));
            }
        });
    }
}

/// Packs one strip of the weights.
struct Pack<'a> {
    plan: &'a ByTaps,
    weights: &'a Operand,
    index: usize,
    to: *mut f32,
}

impl Work for Pack<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let plan = self.plan;
        let (hold, strip) = (self.index / plan.strips, self.index % plan.strips);
        let rows = plan.strip(hold, strip);
        let first = plan.channels(hold).start * plan.conv.taps() + rows.start;
        // SAFETY: promised by the caller.
        unsafe { PackA::pack::<K>(self.weights, 0, first, rows.len(), 0, plan.conv.out_channels, self.to) }
    }
}

struct Piece<'a> {
    plan: &'a ByTaps,
    weights: *const f32,
    dy: *const f32,
    dx: *mut f32,
    piece: usize,
    slot: *mut f32,
}

impl Work for Piece<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let (plan, conv) = (self.plan, &self.plan.conv);
        let (block, part_index) = (self.piece / plan.parts, self.piece % plan.parts);
        let images = block * plan.images..((block + 1) * plan.images).min(conv.batch);
        let groups = (images.len() * plan.pixels()).div_ceil(GROUP);
        let (depth, taps) = (conv.out_channels, conv.taps());
        // SAFETY: the slot is cut as `slot_floats` measures it.
        unsafe {
            let packed = self.slot;
            let product = packed.add(depth * plan.columns() + GROUP);
            for panel in (0..groups).step_by(K::GROUPS) {
                self.gradient::<K>(&images, panel, (groups - panel).min(K::GROUPS), packed.add(panel * GROUP * depth));
            }
            for hold in part(plan.holds, plan.parts, part_index)..part(plan.holds, plan.parts, part_index + 1) {
                for strip in 0..plan.strips {
                    let rows = plan.strip(hold, strip);
                    for panel in (0..groups).step_by(K::GROUPS) {
                        if rows.is_empty() {
                            continue;
                        }
                        let width = (groups - panel).min(K::GROUPS);
                        let tile = Tile {
                            depth,
                            a: self.weights.add((hold * plan.strips + strip) * plan.strip_floats()),
                            b: packed.add(panel * GROUP * depth),
                            b_step: width * GROUP,
                            c: product.add((rows.start * groups + panel) * GROUP),
                            c_stride: groups * GROUP,
                            accumulate: false,
                        };
                        K::tile(rows.len(), width, &tile);
                    }
                }
                for (row, channel) in plan.channels(hold).enumerate() {
                    for (i, image) in images.clone().enumerate() {
                        let from = product.add(row * taps * groups * GROUP + i * plan.pixels());
                        self.add(image * conv.in_channels + channel, from, groups * GROUP);
                    }
                }
            }
        }
    }
}

impl Piece<'_> {
    /// Packs some groups of columns of the output's gradient.
    ///
    /// # Safety
    /// `to` is writable for the panel and 16 floats after it; what lies there is packed later, or slack.
    #[inline(always)]
    unsafe fn gradient<K: Kernel>(&self, images: &Range<usize>, panel: usize, groups: usize, to: *mut f32) {
        let (pixels, depth) = (self.plan.pixels(), self.plan.conv.out_channels);
        let end = (images.len() * pixels).min((panel + groups) * GROUP);
        // SAFETY: promised by the caller; a copy writes 16 floats, and those after its own are copied next.
        unsafe {
            for channel in 0..depth {
                let mut column = panel * GROUP;
                while column < end {
                    let (image, pixel) = (images.start + column / pixels, column % pixels);
                    let length = (pixels - pixel).min(GROUP - column % GROUP);
                    let from = self.dy.add((image * depth + channel) * pixels + pixel);
                    K::copy_padded(from, length, to.add(channel * groups * GROUP + column - panel * GROUP));
                    column += length;
                }
            }
        }
    }

    /// Adds the rows of a channel's taps to its map.
    ///
    /// # Safety
    /// `from` holds the taps' rows, `step` floats apart; the map is this piece's.
    #[inline(always)]
    unsafe fn add(&self, map: usize, from: *const f32, step: usize) {
        let conv = &self.plan.conv;
        let [height, width] = conv.in_size;
        let [rows, columns] = conv.out_size();
        // The outputs along an axis whose window's tap lies inside the input, and where the first of them lies.
        let inside = |axis: usize, tap: usize, count: usize| {
            let (stride, size) = (conv.stride[axis], conv.in_size[axis]);
            let (tap, pad) = (tap * conv.dilation[axis], conv.pad_low[axis]);
            let first = pad.saturating_sub(tap).div_ceil(stride);
            let end = (size + pad).saturating_sub(tap).div_ceil(stride).min(count);
            (first..end.max(first), (first * stride + tap).wrapping_sub(pad))
        };
        // SAFETY: outputs and positions are inside.
        unsafe {
            let to = self.dx.add(map * height * width);
            to.write_bytes(0, height * width);
            for tap in 0..conv.taps() {
                let from = from.add(tap * step);
                let (p, y) = inside(0, tap / conv.kernel[1], rows);
                let (q, x) = inside(1, tap % conv.kernel[1], columns);
                if q.is_empty() {
                    continue;
                }
                for (i, p) in p.enumerate() {
                    let from = from.add(p * columns + q.start);
                    let to = to.wrapping_add((y + i * conv.stride[0]) * width + x);
                    if conv.stride[1] == 2 {
                        for j in 0..q.len() {
                            *to.add(2 * j) += *from.add(j);
                        }
                    } else {
                        for j in 0..q.len() {
                            *to.add(conv.stride[1] * j) += *from.add(j);
                        }
                    }
                }
            }
        }
    }
}
