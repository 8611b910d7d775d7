//! Two-dimensional convolution (cross-correlation, as in every deep-learning library) and its gradients: NCHW images, OIHW
//! weights. All three directions are products whose windows exist only in packed panels (`columns`) or are read
//! in place from padded images (`conv_weight`). Invariant: the same bits for any number of threads.

use super::columns::{Columns, Maps, Padding, Spread, Windows};
use super::conv_taps::ByTaps;
use super::drive::{PackA, Plan, Shared};
use super::gemm::{Epilogue, View};
use super::isa::{Isa, Kernel};
use super::pack::Operand;
use super::tile::GROUP;
use super::winograd::{Weights, Winograd};
use super::winograd_tiles::Given;
use crate::runtime::threads::{Pool, part};

/// A convolution's shape. Channels are those of all groups together; both are multiples of `groups`. Pairs are (height,
/// width); one dimension is height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Groups that channels are cut into; inputs meet only weights of their group.
    pub groups: usize,
    /// Size of the input maps.
    pub in_size: [usize; 2],
    /// Size of the kernel, at least 1.
    pub kernel: [usize; 2],
    /// Distance between windows, at least 1.
    pub stride: [usize; 2],
    /// Distance between taps, at least 1.
    pub dilation: [usize; 2],
    /// Zeros before the maps.
    pub pad_low: [usize; 2],
    /// Zeros after the maps.
    pub pad_high: [usize; 2],
}

impl Conv2d {
    /// Size of the output maps: `(in + pads - dilation * (kernel - 1) - 1) / stride + 1`, 0 where no window fits.
    pub fn out_size(&self) -> [usize; 2] {
        [0, 1].map(|i| {
            let padded = self.in_size[i] + self.pad_low[i] + self.pad_high[i];
            let window = self.dilation[i] * (self.kernel[i] - 1) + 1;
            if padded < window { 0 } else { (padded - window) / self.stride[i] + 1 }
        })
    }

    /// Taps of a kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// How the input is padded so that every window lies inside.
    pub(super) fn padding(&self) -> Padding {
        let out = self.out_size();
        Padding {
            source: self.in_size,
            padded: [0, 1].map(|i| {
                let window = self.dilation[i] * (self.kernel[i] - 1) + 1;
                (out[i].max(1) - 1) * self.stride[i] + window
            }),
            shift: self.pad_low.map(|pad| pad as isize),
        }
    }

    pub(super) fn windows_forward(&self) -> Windows {
        Windows {
            padding: self.padding(),
            images: self.batch,
            channels: self.in_channels,
            groups: self.groups,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            out: self.out_size(),
        }
    }

    /// The gradient of the input, `dx[h] = Σ dy[p] w[r]` over `p * stride + r * dilation - pad = h`, falls apart into
    /// phases: the h with the same remainder of `h + pad` by the stride meet the same taps, and in each phase it is a
    /// convolution of stride 1 with those taps turned around.
    fn phase(&self, phase: [usize; 2]) -> ([Axis; 2], Windows) {
        let out = self.out_size();
        let axes = [0, 1].map(|i| Axis::new(self, i, phase[i]));
        let windows = Windows {
            padding: Padding {
                source: out,
                padded: axes.map(|axis| axis.count + axis.taps.saturating_sub(1) * axis.dilation),
                shift: axes.map(|axis| axis.shift),
            },
            images: self.batch,
            channels: self.out_channels,
            groups: self.groups,
            kernel: axes.map(|axis| axis.taps),
            stride: [1, 1],
            dilation: axes.map(|axis| axis.dilation),
            out: axes.map(|axis| axis.count),
        };
        (axes, windows)
    }

    fn phases(&self) -> impl Iterator<Item = [usize; 2]> {
        let [rows, columns] = self.stride;
        (0..rows * columns).map(move |phase| [phase / columns, phase % columns])
    }

    /// Bytes of scratch that [`Conv2d::forward`] needs with a pool of `threads`.
    pub fn workspace_forward(&self, threads: usize) -> usize {
        self.workspace_forward_with(Isa::best(), threads)
    }

    /// [`Conv2d::workspace_forward`] for [`Conv2d::forward_with`].
    pub fn workspace_forward_with(&self, isa: Isa, threads: usize) -> usize {
        let windows = self.windows_forward();
        match Winograd::new(isa, &windows, self.out_channels, Given::Plain) {
            Some(winograd) => winograd.workspace(threads),
            None => product_bytes(isa, &windows, self.out_channels, threads),
        }
    }

    /// Winograd's way for the gradient of the input, which has one phase then.
    fn winograd_input_grad(&self, isa: Isa, windows: &Windows) -> Option<Winograd> {
        if self.stride == [1, 1] { Winograd::new(isa, windows, self.in_channels, Given::Plain) } else { None }
    }

    /// Bytes of scratch that [`Conv2d::input_grad`] needs with a pool of `threads`.
    pub fn workspace_input_grad(&self, threads: usize) -> usize {
        self.workspace_input_grad_with(Isa::best(), threads)
    }

    /// [`Conv2d::workspace_input_grad`] for [`Conv2d::input_grad_with`].
    pub fn workspace_input_grad_with(&self, isa: Isa, threads: usize) -> usize {
        if let Some(by_taps) = ByTaps::new(isa, self) {
            return by_taps.workspace(threads);
        }
        let bytes = |phase| {
            let windows = self.phase(phase).1;
            match self.winograd_input_grad(isa, &windows) {
                Some(winograd) => winograd.workspace(threads),
                None => product_bytes(isa, &windows, self.in_channels, threads),
            }
        };
        self.phases().map(bytes).max().unwrap_or(0)
    }

    /// y = x ∗ w. The epilogue is called with image, channels and pixels (`p * Q + q`) of each finished tile.
    ///
    /// # Safety
    /// `x` and `w` are readable and `y` is writable as the shape says; `workspace` is aligned to 64 bytes and writable for
    /// [`Conv2d::workspace_forward`] bytes; the epilogue may run on several threads at once.
    pub unsafe fn forward(
        &self,
        pool: &Pool,
        x: *const f32,
        w: *const f32,
        y: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        // SAFETY: promised by the caller.
        unsafe { self.forward_with(Isa::best(), pool, x, w, y, workspace, epilogue) }
    }

    /// [`Conv2d::forward`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Conv2d::forward`], with [`Conv2d::workspace_forward_with`] bytes.
    #[expect(clippy::too_many_arguments, reason = "the operands of one call")]
    pub unsafe fn forward_with(
        &self,
        isa: Isa,
        pool: &Pool,
        x: *const f32,
        w: *const f32,
        y: *mut f32,
        workspace: *mut u8,
        epilogue: Option<Epilogue>,
    ) {
        let windows = self.windows_forward();
        if let Some(winograd) = Winograd::new(isa, &windows, self.out_channels, Given::Plain) {
            // SAFETY: promised by the caller.
            return unsafe { winograd.run(pool, self.winograd_weights(w), x, y, workspace, epilogue) };
        }
        let weights = self.weights(w);
        // SAFETY: promised by the caller.
        unsafe { product(isa, pool, &windows, &weights, x, y, self.out_channels, None, workspace, epilogue) }
    }

    /// The weights as the left operand of the product that gives y.
    pub(super) fn weights(&self, w: *const f32) -> Operand {
        let depth = self.in_channels / self.groups.max(1) * self.taps();
        let view =
            View { row_stride: depth, col_stride: 1, batch_stride: self.out_channels / self.groups.max(1) * depth };
        Operand { at: w, view, columns: depth }
    }

    /// The weights as Winograd's way forward takes them.
    pub(super) fn winograd_weights(&self, w: *const f32) -> Weights {
        Weights { at: w, row_stride: self.in_channels * self.taps(), depth_stride: self.taps(), turned: false }
    }

    /// dx: the gradient of the input from the gradient `dy` of the output.
    ///
    /// # Safety
    /// `dy` and `w` are readable and `dx` is writable as the shape says; `workspace` is aligned to 64 bytes and writable
    /// for [`Conv2d::workspace_input_grad`] bytes.
    pub unsafe fn input_grad(&self, pool: &Pool, dy: *const f32, w: *const f32, dx: *mut f32, workspace: *mut u8) {
        // SAFETY: promised by the caller.
        unsafe { self.input_grad_with(Isa::best(), pool, dy, w, dx, workspace) }
    }

    /// [`Conv2d::input_grad`] with a chosen instruction set.
    ///
    /// # Safety
    /// As for [`Conv2d::input_grad`], with [`Conv2d::workspace_input_grad_with`] bytes.
    pub unsafe fn input_grad_with(
        &self,
        isa: Isa,
        pool: &Pool,
        dy: *const f32,
        w: *const f32,
        dx: *mut f32,
        workspace: *mut u8,
    ) {
        if let Some(by_taps) = ByTaps::new(isa, self) {
            // SAFETY: promised by the caller.
            return unsafe { by_taps.run(pool, dy, w, dx, workspace) };
        }
        let without_taps = |phase| self.phase(phase).1.kernel.contains(&0);
        if self.phases().any(without_taps) {
            // The positions that meet no tap.
            let floats = self.batch * self.in_channels * self.in_size[0] * self.in_size[1];
            let (pieces, to) = ((floats / 65_536).clamp(1, 64), Shared(dx));
            pool.run(pieces, &|piece| {
                let (first, end) = (part(floats, pieces, piece), part(floats, pieces, piece + 1));
                // SAFETY: promised by the caller; pieces are distinct.
                unsafe { to.get().add(first).write_bytes(0, end - first) }
            });
        }
        for phase in self.phases().filter(|&phase| !without_taps(phase)) {
            let ([y, x], windows) = self.phase(phase);
            if let Some(winograd) = self.winograd_input_grad(isa, &windows) {
                let (row_stride, depth_stride) = (self.taps(), self.in_channels * self.taps());
                let weights = Weights { at: w, row_stride, depth_stride, turned: true };
                // SAFETY: promised by the caller.
                return unsafe { winograd.run(pool, weights, dy, dx, workspace, None) };
            }
            let weights = Turned {
                at: w,
                kernel: self.taps(),
                last: y.last * self.kernel[1] + x.last,
                step: [y.step * self.kernel[1], x.step],
                taps: windows.kernel,
                in_channels: self.in_channels / self.groups.max(1),
                out_channels: self.out_channels / self.groups.max(1),
            };
            let spread = Spread { first: [y.first, x.first], step: self.stride, columns: x.count, size: self.in_size };
            let spread = (self.stride != [1, 1]).then_some(spread);
            // SAFETY: promised by the caller.
            unsafe { product(isa, pool, &windows, &weights, dy, dx, self.in_channels, spread, workspace, None) }
        }
    }
}

/// One axis of a phase of the gradient of the input.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// Positions of the input that belong to the phase: the first, and how many.
    first: usize,
    count: usize,
    /// Taps that the positions meet: how many, the last, and the distance between them.
    taps: usize,
    last: usize,
    step: usize,
    /// Distance between the outputs that neighbouring taps meet.
    dilation: usize,
    /// Where the first output lies relative to the first position's window.
    shift: isize,
}

impl Axis {
    fn new(conv: &Conv2d, axis: usize, phase: usize) -> Axis {
        let (stride, dilation, kernel) = (conv.stride[axis], conv.dilation[axis], conv.kernel[axis]);
        let (pad, size) = (conv.pad_low[axis], conv.in_size[axis]);
        let meets = |tap: &usize| tap * dilation % stride == phase;
        // The smallest step that leads from a tap to another of the same phase.
        let step = (1..=stride).find(|step| step * dilation % stride == 0).unwrap_or(stride);
        let taps = (0..kernel).filter(meets).count();
        let last = (0..kernel).rfind(meets).unwrap_or(0);
        let first = (0..stride).find(|h| (h + pad) % stride == phase).unwrap_or(0);
        let count = size.saturating_sub(first).div_ceil(stride);
        // Position `first + j * stride` and tap r meet the output `(first + j * stride + pad - r * dilation) / stride`.
        let shift = if taps == 0 {
            0
        } else {
            ((last * dilation) as isize - (first + pad) as isize).div_euclid(stride as isize)
        };
        Axis { first, count, taps, last, step, dilation: step * dilation / stride, shift }
    }
}

/// How the product of a chunk of images is cut up.
pub(super) fn plan(isa: Isa, windows: &Windows, channels: usize, images: usize) -> Plan {
    let groups = windows.groups;
    Plan::new(isa, groups, channels / groups, windows.column_groups(images), windows.depth(), false)
}

/// Images of the last chunk.
fn last_chunk(windows: &Windows) -> usize {
    windows.images - (windows.images - 1) / windows.chunk() * windows.chunk()
}

/// Nothing to compute: no images, channels or pixels.
pub(super) fn empty(windows: &Windows, channels: usize) -> bool {
    windows.images == 0 || windows.pixels() == 0 || channels == 0 || windows.groups == 0
}

fn product_bytes(isa: Isa, windows: &Windows, channels: usize, threads: usize) -> usize {
    if empty(windows, channels) {
        return 0;
    }
    windows.table_bytes() + padded_bytes(windows, |images| plan(isa, windows, channels, images).workspace(threads))
}

/// Bytes of a padded chunk and of what the plan of a chunk of so many images needs, in floats.
pub(super) fn padded_bytes(windows: &Windows, floats: impl Fn(usize) -> usize) -> usize {
    let chunk = windows.chunk().min(windows.images);
    windows.bytes()[2] + floats(chunk).max(floats(last_chunk(windows))) * size_of::<f32>()
}

/// Weights times windows, chunk by chunk of the images.
///
/// # Safety
/// As for [`Conv2d::forward`]; `channels` are those of the result.
#[expect(clippy::too_many_arguments, reason = "the operands of one call")]
unsafe fn product<A: PackA>(
    isa: Isa,
    pool: &Pool,
    windows: &Windows,
    weights: &A,
    from: *const f32,
    to: *mut f32,
    channels: usize,
    spread: Option<Spread>,
    workspace: *mut u8,
    epilogue: Option<Epilogue>,
) {
    if empty(windows, channels) {
        return;
    }
    // SAFETY: the scratch holds the tables and the padded chunk, then what the plan needs.
    unsafe {
        windows.tables(workspace);
        let columns = windows.columns(workspace, workspace.add(windows.table_bytes()).cast());
        let scratch = workspace.add(windows.bytes().iter().sum()).cast::<f32>();
        let mut prepared = None;
        chunks(isa, pool, windows, &columns, from, to, channels, spread, epilogue, |images, maps| {
            let plan = plan(isa, windows, channels, images);
            if prepared != Some(plan.share()) {
                plan.prepare(pool, weights, scratch);
                prepared = Some(plan.share());
            }
            plan.compute(pool, weights, &columns, maps, scratch);
        });
    }
}

/// Loads chunk by chunk of the images, and has the product of each computed.
///
/// # Safety
/// As for [`Conv2d::forward`].
#[expect(clippy::too_many_arguments, reason = "the operands of one call")]
pub(super) unsafe fn chunks(
    isa: Isa,
    pool: &Pool,
    windows: &Windows,
    columns: &Columns,
    from: *const f32,
    to: *mut f32,
    channels: usize,
    spread: Option<Spread>,
    epilogue: Option<Epilogue>,
    mut compute: impl FnMut(usize, &Maps),
) {
    let [source_y, source_x] = windows.padding.source;
    let plane = spread.map_or(windows.pixels(), |spread| spread.size[0] * spread.size[1]);
    for first in (0..windows.images).step_by(windows.chunk()) {
        let images = windows.chunk().min(windows.images - first);
        // SAFETY: chunks cut the images.
        let at = unsafe {
            columns.load(isa, pool, from.add(first * windows.channels * source_y * source_x), images);
            Shared(to.add(first * channels * plane))
        };
        let maps = Maps {
            at,
            first_image: first,
            images,
            unit: windows.unit(),
            groups_per_unit: windows.groups_per_unit(),
            pixels: windows.pixels(),
            channels,
            group_channels: channels / windows.groups,
            spread,
            epilogue,
        };
        compute(images, &maps);
    }
}

/// Taps of the largest kernel that is packed channel by channel, if a phase has about half of its taps.
const TURNED: usize = 64;

/// The weights for a phase of the gradient of the input: rows are input channels, the depth is output channels and the
/// phase's taps turned around.
struct Turned {
    at: *const f32,
    /// Taps of the whole kernel.
    kernel: usize,
    /// The phase's last tap, which comes first, and the distances from one of its taps to the one before.
    last: usize,
    step: [usize; 2],
    /// The phase's taps.
    taps: [usize; 2],
    /// Channels of a group.
    in_channels: usize,
    out_channels: usize,
}

// SAFETY: only a pointer to memory that nobody writes meanwhile.
unsafe impl Sync for Turned {}

impl PackA for Turned {
    #[inline(always)]
    unsafe fn pack<K: Kernel>(&self, batch: usize, row: usize, rows: usize, k0: usize, depth: usize, to: *mut f32) {
        let [taps_y, taps_x] = self.taps;
        let mut turned = [0.0f32; TURNED * GROUP];
        let mut at_hand = usize::MAX;
        for k in 0..depth {
            let (channel, tap) = ((k0 + k) / (taps_y * taps_x), (k0 + k) % (taps_y * taps_x));
            let tap = self.last - tap / taps_x * self.step[0] - tap % taps_x * self.step[1];
            let from = ((batch * self.out_channels + channel) * self.in_channels + row) * self.kernel;
            // SAFETY: the elements read are those the caller names; there is room for 16 floats after the last.
            unsafe {
                if self.kernel > TURNED || taps_y * taps_x * 2 < self.kernel - 1 {
                    for i in 0..rows {
                        *to.add(k * rows + i) = *self.at.add(from + tap + i * self.kernel);
                    }
                    continue;
                }
                if channel != at_hand {
                    K::transpose(self.at.add(from), self.kernel, rows, self.kernel, turned.as_mut_ptr(), GROUP);
                    at_hand = channel;
                }
                K::copy_padded(turned.as_ptr().add(tap * GROUP), GROUP, to.add(k * rows));
            }
        }
    }
}
