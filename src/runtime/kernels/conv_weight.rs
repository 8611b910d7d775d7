//! The gradient of a convolution's weights: `dw[co][ci, r, s] = Σ dy[n, co, p, q] * x[n, ci, p·stride + r·dilation, …]`.
//! Padded images and the output's gradient turned to (pixel, channel) order come in; for each piece (some images, some
//! input channels) tiles of (tap, output channel) sums go out, which the end adds up. Invariant: pieces and the order of
//! their addition depend on the shape only.
//!
//! A tile's rows are taps: each reads one float of the padded image per pixel, in place, so the windows are never packed.

use super::columns::Padding;
use super::conv::Conv2d;
use super::drive::Shared;
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::{GROUP, MAX_ROWS, Taps};
use super::winograd_weight::WinogradWeight;
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// Multiplications that are worth a piece.
const PIECE_WORK: usize = 1 << 18;
const PIECES: usize = 16;
/// Floats of all partial sums together, if images are cut into several parts.
const PARTIAL_FLOATS: usize = 1 << 20;
/// Floats of padded images and of turned gradients that a piece holds at once.
const HELD_FLOATS: usize = 64 << 10;

/// How the work is cut up.
#[derive(Clone, Copy)]
struct Cut {
    /// Parts of the images; each has its own partial sums.
    parts: usize,
    /// Parts of a group's input channels.
    blocks: usize,
    /// Images that a piece holds at once.
    held: usize,
    padding: Padding,
    in_channels: usize,
    out_channels: usize,
    /// Output channels rounded up to whole groups of lanes.
    padded_channels: usize,
    pixels: usize,
    /// Rows of a group's partial sums: input channels times taps.
    rows: usize,
}

impl Cut {
    fn new(conv: &Conv2d) -> Cut {
        let (in_channels, out_channels) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
        let padded_channels = out_channels.next_multiple_of(GROUP);
        let [p, q] = conv.out_size();
        let rows = in_channels * conv.taps();
        let sums = conv.groups * rows * padded_channels;
        let work = sums.saturating_mul(p * q).saturating_mul(conv.batch);
        let wanted = (work / PIECE_WORK).clamp(1, PIECES).div_ceil(conv.groups);
        let parts = wanted.min(conv.batch).min(PARTIAL_FLOATS / sums.max(1)).max(1);
        let blocks = wanted.div_ceil(parts).min(in_channels).max(1);
        let padding = conv.padding();
        let image = in_channels.div_ceil(blocks) * padding.plane();
        let held = HELD_FLOATS / image.max(p * q * padded_channels).max(1);
        let held = held.clamp(1, conv.batch.div_ceil(parts).max(1));
        Cut { parts, blocks, held, padding, in_channels, out_channels, padded_channels, pixels: p * q, rows }
    }

    /// Floats of one part's sums.
    fn part_floats(&self, groups: usize) -> usize {
        groups * self.rows * self.padded_channels
    }

    /// Floats of the padded images that a piece holds.
    fn image_floats(&self) -> usize {
        (self.held * self.in_channels.div_ceil(self.blocks) * self.padding.plane()).next_multiple_of(16)
    }

    /// Floats of scratch of one thread.
    fn slot_floats(&self) -> usize {
        self.image_floats() + self.held * self.pixels * self.padded_channels
    }
}

impl Conv2d {
    fn no_sums(&self) -> bool {
        self.in_channels == 0 || self.out_channels == 0
    }

    /// Bytes of scratch that [`Conv2d::weight_grad`] needs with a pool of `threads`.
    pub fn workspace_weight_grad(&self, threads: usize) -> usize {
        self.workspace_weight_grad_with(Isa::best(), threads)
    }

    /// [`Conv2d::workspace_weight_grad`] for [`Conv2d::weight_grad_with`].
    pub fn workspace_weight_grad_with(&self, isa: Isa, threads: usize) -> usize {
        if self.no_sums() {
            return 0;
        }
        if let Some(winograd) = WinogradWeight::new(isa, self) {
            return winograd.workspace(threads);
        }
        let cut = Cut::new(self);
        (cut.parts * cut.part_floats(self.groups) + threads * cut.slot_floats()) * size_of::<f32>()
    }

    /// dw: the gradient of the weights from the input and the gradient `dy` of the output.
    ///
    /// # Safety
    /// `x` and `dy` are readable and `dw` is writable as the shape says; `workspace` is aligned to 64 bytes and writable
    /// for [`Conv2d::workspace_weight_grad`] bytes.
    pub unsafe fn weight_grad(&self, pool: &Pool, x: *const f32, dy: *const f32, dw: *mut f32, workspace: *mut u8) {
        // SAFETY: promised by the caller.
        unsafe { self.weight_grad_with(Isa::best(), pool, x, dy, dw, workspace) }
    }

    /// [`Conv2d::weight_grad`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Conv2d::weight_grad`], with [`Conv2d::workspace_weight_grad_with`] bytes.
    pub unsafe fn weight_grad_with(
        &self,
        isa: Isa,
        pool: &Pool,
        x: *const f32,
        dy: *const f32,
        dw: *mut f32,
        workspace: *mut u8,
    ) {
        if self.no_sums() {
            return;
        }
        if let Some(winograd) = WinogradWeight::new(isa, self) {
            // SAFETY: promised by the caller.
            return unsafe { winograd.run(pool, x, dy, dw, workspace) };
        }
        let cut = Cut::new(self);
        let (x, dy, dw) = (Shared(x.cast_mut()), Shared(dy.cast_mut()), Shared(dw));
        let partial = workspace.cast::<f32>();
        // SAFETY: the scratch is the parts' sums and then the slots' memory, as `workspace_weight_grad` measures.
        let held = Shared(unsafe { partial.add(cut.parts * cut.part_floats(self.groups)) });
        let partial = Shared(partial);
        pool.run_slots(self.groups * cut.parts * cut.blocks, &|piece, slot| {
            let (outer, block) = (piece / cut.blocks, piece % cut.blocks);
            let (group, image_part) = (outer / cut.parts, outer % cut.parts);
            // SAFETY: `Isa` exists only where its features do; pieces have distinct sums and slots distinct memory.
            unsafe {
                let sums = image_part * cut.part_floats(self.groups) + group * cut.rows * cut.padded_channels;
                let work = Piece {
                    conv: self,
                    cut: &cut,
                    group,
                    images: part(self.batch, cut.parts, image_part)..part(self.batch, cut.parts, image_part + 1),
                    channels: part(cut.in_channels, cut.blocks, block)..part(cut.in_channels, cut.blocks, block + 1),
                    x: x.get(),
                    dy: dy.get(),
                    sums: partial.get().add(sums),
                    held: held.get().add(slot * cut.slot_floats()),
                };
                with_kernel!(isa, K => K::enter(work));
            }
        });
        let rows = self.groups * cut.rows;
        let pieces = (cut.parts * rows * cut.padded_channels / 16_384).clamp(1, 32).min(rows);
        pool.run(pieces, &|piece| {
            let rows = part(rows, pieces, piece)..part(rows, pieces, piece + 1);
            // SAFETY: pieces add up distinct rows.
            unsafe {
                let work = Add { cut: &cut, groups: self.groups, rows, partial: partial.get(), dw: dw.get() };
                with_kernel!(isa, K => K::enter(work));
            }
        });
    }
}

struct Piece<'a> {
    conv: &'a Conv2d,
    cut: &'a Cut,
    group: usize,
    images: Range<usize>,
    /// Input channels of the group.
    channels: Range<usize>,
    x: *const f32,
    dy: *const f32,
    /// The group's sums of this part: rows of (input channel, tap), columns of output channels.
    sums: *mut f32,
    held: *mut f32,
}

impl Piece<'_> {
    /// Pads the channels of some images and turns the gradient of their output.
    ///
    /// # Safety
    /// The images are the piece's and at most `held`; `K`'s features are enabled.
    #[inline(always)]
    unsafe fn load<K: Kernel>(&self, images: Range<usize>, padded: *mut f32, turned: *mut f32) {
        let Cut { padding, in_channels, out_channels, padded_channels, pixels, .. } = *self.cut;
        let source = padding.source[0] * padding.source[1];
        let count = images.len();
        let inside = [padding.inside(0), padding.inside(1)];
        for (i, image) in images.enumerate() {
            // SAFETY: planes of `x` and `dy` by the shape; targets as `slot_floats` measures them.
            unsafe {
                for (c, channel) in self.channels.clone().enumerate() {
                    let from = image * self.conv.in_channels + self.group * in_channels + channel;
                    let to = padded.add((i * self.channels.len() + c) * padding.plane());
                    padding.copy::<K>(&inside, self.x.add(from * source), to);
                }
                for channel in (0..padded_channels).step_by(GROUP) {
                    let (panel, width) = panel::<K>(channel, padded_channels);
                    let from = image * self.conv.out_channels + self.group * out_channels + channel;
                    let to = turned.add(panel * count * pixels + i * pixels * width + channel - panel);
                    let real = (out_channels - channel).min(GROUP);
                    K::transpose(self.dy.add(from * pixels), pixels, real, pixels, to, width);
                }
            }
        }
    }
}

/// The first output channel of a channel's panel, and the panel's width.
#[inline(always)]
fn panel<K: Kernel>(channel: usize, padded_channels: usize) -> (usize, usize) {
    let most = K::GROUPS * GROUP;
    let first = channel / most * most;
    (first, (padded_channels - first).min(most))
}

impl Work for Piece<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let Piece { conv, cut, .. } = self;
        let taps = conv.taps();
        let [p, q] = conv.out_size();
        let (plane, width) = (cut.padding.plane(), cut.padding.padded[1]);
        let rows = self.channels.len() * taps;
        let strips = rows.div_ceil(K::ROWS);
        // SAFETY: the held memory is the padded images and then the turned gradients; tiles lie inside the part's sums.
        unsafe {
            let sums = self.sums.add(self.channels.start * taps * cut.padded_channels);
            let (padded, turned) = (self.held, self.held.add(cut.image_floats()));
            if self.images.is_empty() || p * q == 0 {
                return sums.write_bytes(0, rows * cut.padded_channels);
            }
            let mut first = self.images.start;
            while first < self.images.end {
                let images = cut.held.min(self.images.end - first);
                self.load::<K>(first..first + images, padded, turned);
                for strip in 0..strips {
                    let strip_rows = part(rows, strips, strip)..part(rows, strips, strip + 1);
                    let mut offsets = [0u32; MAX_ROWS];
                    for (offset, row) in offsets.iter_mut().zip(strip_rows.clone()) {
                        let (channel, tap) = (row / taps, row % taps);
                        let (r, s) = (tap / conv.kernel[1], tap % conv.kernel[1]);
                        *offset = (channel * plane + r * conv.dilation[0] * width + s * conv.dilation[1]) as u32;
                    }
                    for channel in (0..cut.padded_channels).step_by(K::GROUPS * GROUP) {
                        let (_, panel_width) = panel::<K>(channel, cut.padded_channels);
                        let tile = Taps {
                            images,
                            image_step: self.channels.len() * plane,
                            rows: p,
                            row_step: conv.stride[0] * width,
                            columns: q,
                            column_step: conv.stride[1],
                            offsets: &offsets,
                            a: padded,
                            b: turned.add(channel * images * cut.pixels),
                            b_step: panel_width,
                            c: sums.add(strip_rows.start * cut.padded_channels + channel),
                            c_stride: cut.padded_channels,
                            accumulate: first > self.images.start,
                        };
                        K::taps(strip_rows.len(), panel_width / GROUP, &tile);
                    }
                }
                first += images;
            }
        }
    }
}

/// Adds the parts in order and turns the sums to weights' order.
struct Add<'a> {
    cut: &'a Cut,
    groups: usize,
    /// Rows of all groups.
    rows: Range<usize>,
    partial: *mut f32,
    dw: *mut f32,
}

impl Work for Add<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let Cut { parts, out_channels, padded_channels, rows, .. } = *self.cut;
        let part_floats = self.cut.part_floats(self.groups);
        for index in self.rows {
            let (group, row) = (index / rows, index % rows);
            // SAFETY: the row's sums in each part, and its weights, which no other piece has.
            unsafe {
                let from = self.partial.add(index * padded_channels);
                for channel in (0..out_channels).step_by(GROUP) {
                    let mut sums = [0.0f32; GROUP];
                    for p in 0..parts {
                        let part = from.add(p * part_floats + channel);
                        for (lane, sum) in sums.iter_mut().enumerate() {
                            *sum += *part.add(lane);
                        }
                    }
                    let to = self.dw.add((group * out_channels + channel) * rows + row);
                    for (lane, sum) in sums.iter().enumerate().take(out_channels - channel) {
                        *to.add(lane * rows) = *sum;
                    }
                }
            }
        }
    }
}
