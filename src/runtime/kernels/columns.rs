//! The windows of a convolution as the columns of a matrix that exists only while it is packed. Images come in, are copied
//! once with their padding (so that no window leaves the copy), and every 16 output pixels become one group of columns: a
//! table says where its lanes lie, the same for each channel and tap but for one offset. Invariant: a group never reads
//! outside the padded copy and its slack.
//!
//! Small maps share groups: a unit is as many images as fill groups of 16 pixels well.

use super::drive::{Output, PackB, Shared};
use super::gemm::Epilogue;
use super::isa::{Isa, Kernel, Work, with_kernel};
use super::tile::{GROUP, MAX_GROUPS, Tile};
use crate::runtime::threads::{Pool, part};
use std::ops::Range;

/// Where 16 lanes lie, relative to an address that depends on unit, channel and tap. Offsets ascend.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Gather {
    pub offsets: [u32; GROUP],
    /// The lane's place in its window of 16 floats.
    pub lanes: [u32; GROUP],
    /// Where windows begin; the first `count` (and, for one, the second: the same again) are valid.
    pub windows: [u32; GROUP],
    /// The lanes in each window.
    pub masks: [u16; GROUP],
    pub count: usize,
    contiguous: bool,
}

impl Gather {
    /// The table for ascending offsets; a lane's place in its window stays below 16 for all taps of a run.
    fn new(offsets: [u32; GROUP], run: usize) -> Gather {
        let reach = (GROUP + 1 - run) as u32;
        let (mut lanes, mut windows, mut masks) = ([0; GROUP], [offsets[0]; GROUP], [0u16; GROUP]);
        let mut count = 0;
        for lane in 0..GROUP {
            if count == 0 || offsets[lane] - windows[count - 1] >= reach {
                windows[count] = offsets[lane];
                count += 1;
            }
            masks[count - 1] |= 1 << lane;
            lanes[lane] = offsets[lane] - windows[count - 1];
        }
        let contiguous = (1..GROUP).all(|lane| offsets[lane] == offsets[0] + lane as u32);
        Gather { offsets, lanes, windows, masks, count, contiguous }
    }

    /// The lanes are 16 floats in a row.
    #[inline(always)]
    pub fn contiguous(&self) -> bool {
        self.contiguous
    }
}

/// Taps beside each other: they read the same windows, shifted by one float each.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only AVX-512 gathers by windows"))]
pub(super) struct Runs {
    /// Taps of a run; 1 if taps are not beside each other.
    pub length: usize,
    /// The first tap's place in its run.
    pub first: usize,
}

/// A tile whose right operand is gathered on the way.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only AVX-512 computes such tiles"))]
pub(super) struct WindowTile<'a> {
    /// At most two windows each.
    pub gathers: [&'a Gather; MAX_GROUPS],
    /// What the tables of each group and the taps are relative to.
    pub bases: [*const f32; MAX_GROUPS],
    pub taps: &'a [u32],
    pub runs: Runs,
    /// Its right operand is not used.
    pub tile: Tile,
}

/// How planes of a source are copied into planes of zeros: element (y, x) goes to (`shift[0] + y`, `shift[1] + x`), if
/// that is inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padding {
    pub source: [usize; 2],
    pub padded: [usize; 2],
    pub shift: [isize; 2],
}

impl Padding {
    pub fn plane(&self) -> usize {
        self.padded[0] * self.padded[1]
    }

    /// The source indices along one axis that land inside.
    pub fn inside(&self, axis: usize) -> Range<usize> {
        let (shift, room) = (self.shift[axis], self.padded[axis] as isize);
        let first = (-shift).max(0);
        let end = (room - shift).clamp(0, self.source[axis] as isize);
        first as usize..end.max(first) as usize
    }

    /// Copies one plane; `inside` as [`Padding::inside`] says for both axes.
    ///
    /// # Safety
    /// `from` is readable for a source plane, `to` writable for a padded one; `K`'s features are enabled.
    #[inline(always)]
    pub unsafe fn copy<K: Kernel>(&self, inside: &[Range<usize>; 2], from: *const f32, to: *mut f32) {
        let [rows, columns] = inside.clone();
        let plane = self.plane();
        // SAFETY: `inside` keeps rows and columns in both planes; 16 floats are written at once only where the padded
        // plane has them, and what is written too much is zero and either padding or written again by a later row.
        unsafe {
            to.write_bytes(0, plane);
            for y in rows {
                let row = (self.shift[0] + y as isize) as usize * self.padded[1];
                let at = row + (self.shift[1] + columns.start as isize) as usize;
                let from = from.add(y * self.source[1] + columns.start);
                let mut x = 0;
                while x < columns.len() {
                    let length = (columns.len() - x).min(GROUP);
                    if at + x + GROUP <= plane {
                        K::copy_padded(from.add(x), length, to.add(at + x));
                    } else {
                        for i in x..x + length {
                            *to.add(at + i) = *from.add(i);
                        }
                    }
                    x += length;
                }
            }
        }
    }
}

/// Planes to be copied in parallel.
struct Copy {
    padding: Padding,
    from: *const f32,
    to: *mut f32,
    planes: usize,
}

impl Work for Copy {
    type Out = ();

    #[inline(always)]
    unsafe fn run<K: Kernel>(self) {
        let inside = [self.padding.inside(0), self.padding.inside(1)];
        for plane in 0..self.planes {
            let source = plane * self.padding.source[0] * self.padding.source[1];
            // SAFETY: planes lie one after the other in both memories.
            unsafe { self.padding.copy::<K>(&inside, self.from.add(source), self.to.add(plane * self.padding.plane())) }
        }
    }
}

/// The windows of a batch of images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub padding: Padding,
    pub images: usize,
    /// Channels of an image, all groups together.
    pub channels: usize,
    pub groups: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Size of the output maps.
    pub out: [usize; 2],
}

/// Floats of padded images that are made at once.
const CHUNK_FLOATS: usize = 1 << 20;

impl Windows {
    /// Output pixels of an image.
    pub fn pixels(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Depth of the product: channels of a group times taps.
    pub fn depth(&self) -> usize {
        self.channels / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// Taps that lie beside each other.
    fn run(&self) -> usize {
        if self.dilation[1] == 1 && self.kernel[1] <= GROUP / 2 { self.kernel[1].max(1) } else { 1 }
    }

    /// Images of a unit: the fewest that waste little of their groups.
    pub fn unit(&self) -> usize {
        let pixels = self.pixels();
        let used = |images: usize| {
            let floats = images * pixels;
            floats as f64 / floats.next_multiple_of(GROUP).max(1) as f64
        };
        let most = GROUP.min(self.images).max(1);
        let best = (1..=most).map(used).fold(0.0, f64::max);
        (1..=most).find(|&images| used(images) > 0.92 || used(images) == best).unwrap_or(1)
    }

    pub fn groups_per_unit(&self) -> usize {
        (self.unit() * self.pixels()).div_ceil(GROUP)
    }

    /// Floats of a padded image.
    fn image_floats(&self) -> usize {
        self.channels * self.padding.plane()
    }

    /// Images of each chunk but the last, a multiple of the unit.
    pub fn chunk(&self) -> usize {
        let most = (CHUNK_FLOATS / self.image_floats().max(1)).max(1);
        let chunks = self.images.div_ceil(most).max(1);
        self.images.div_ceil(chunks).next_multiple_of(self.unit()).max(1)
    }

    /// Columns of a chunk in groups.
    pub fn column_groups(&self, images: usize) -> usize {
        images.div_ceil(self.unit()) * self.groups_per_unit()
    }

    /// Bytes for tables and for a padded chunk, whole cache lines.
    pub fn bytes(&self) -> [usize; 3] {
        let padded = (self.chunk() * self.image_floats() + GROUP) * size_of::<f32>();
        let taps = self.depth() * size_of::<u32>();
        [self.groups_per_unit() * size_of::<Gather>(), taps.next_multiple_of(64), padded.next_multiple_of(64)]
    }

    /// Bytes of the tables.
    pub fn table_bytes(&self) -> usize {
        let [gathers, taps, _] = self.bytes();
        gathers + taps
    }

    /// Fills the tables.
    ///
    /// # Safety
    /// `tables` is aligned to 64 bytes and writable for [`Windows::table_bytes`] bytes.
    pub unsafe fn tables(&self, tables: *mut u8) {
        let (unit, pixels, width) = (self.unit(), self.pixels(), self.padding.padded[1]);
        // SAFETY: the two parts of the memory as `bytes` measures them.
        unsafe {
            let (first, second) = (tables.cast::<Gather>(), tables.add(self.bytes()[0]).cast::<u32>());
            for group in 0..self.groups_per_unit() {
                let offset = |lane: usize| {
                    let pixel = (group * GROUP + lane).min(unit * pixels - 1);
                    let (image, pixel) = (pixel / pixels, pixel % pixels);
                    let (p, q) = (pixel / self.out[1], pixel % self.out[1]);
                    (image * self.image_floats() + p * self.stride[0] * width + q * self.stride[1]) as u32
                };
                first.add(group).write(Gather::new(std::array::from_fn(offset), self.run()));
            }
            let [r, s] = self.kernel;
            for k in 0..self.depth() {
                let (channel, tap) = (k / (r * s), k % (r * s));
                let place = tap / s * self.dilation[0] * width + tap % s * self.dilation[1];
                second.add(k).write((channel * self.padding.plane() + place) as u32);
            }
        }
    }

    /// The columns by tables that are filled; zeroes the slack of the padded copy.
    ///
    /// # Safety
    /// [`Windows::tables`] has filled `tables`; `padded` is aligned to 64 bytes and writable for the last of [`Windows::bytes`].
    pub unsafe fn columns(&self, tables: *const u8, padded: *mut f32) -> Columns<'_> {
        let unit = self.unit();
        // SAFETY: as in `tables`.
        unsafe {
            let (first, second) = (tables.cast::<Gather>(), tables.add(self.bytes()[0]).cast::<u32>());
            padded.add(self.chunk() * self.image_floats()).write_bytes(0, GROUP);
            Columns {
                windows: self,
                gathers: std::slice::from_raw_parts(first, self.groups_per_unit()),
                taps: std::slice::from_raw_parts(second, self.depth()),
                padded: Shared(padded),
                unit,
                run: self.run(),
                unit_floats: unit * self.image_floats(),
                group_floats: self.image_floats() / self.groups,
            }
        }
    }
}

/// The columns of one chunk of images.
pub(super) struct Columns<'a> {
    windows: &'a Windows,
    gathers: &'a [Gather],
    taps: &'a [u32],
    padded: Shared<f32>,
    unit: usize,
    run: usize,
    unit_floats: usize,
    group_floats: usize,
}

impl Columns<'_> {
    /// Copies images into the padded chunk.
    ///
    /// # Safety
    /// `from` is readable for `images` images, which fit into a chunk.
    pub unsafe fn load(&self, isa: Isa, pool: &Pool, from: *const f32, images: usize) {
        let padding = self.windows.padding;
        let planes = images * self.windows.channels;
        let pieces = (planes * padding.plane() / 32_768).clamp(1, 32).min(planes.max(1));
        let (from, to) = (Shared(from.cast_mut()), self.padded);
        pool.run(pieces, &|piece| {
            let (first, end) = (part(planes, pieces, piece), part(planes, pieces, piece + 1));
            // SAFETY: `Isa` exists only where its features do; pieces copy distinct planes of the chunk.
            unsafe {
                let from = from.get().add(first * padding.source[0] * padding.source[1]);
                let to = to.get().add(first * padding.plane());
                with_kernel!(isa, K => K::enter(Copy { padding, from, to, planes: end - first }));
            }
        });
        // The last unit may lack images; its lanes are computed and dropped.
        let whole = images.next_multiple_of(self.unit);
        let floats = self.windows.image_floats();
        // SAFETY: a chunk holds whole units.
        unsafe { to.get().add(images * floats).write_bytes(0, (whole - images) * floats) }
    }
}

impl Columns<'_> {
    /// The table of a group, and what it is relative to.
    #[inline(always)]
    fn place(&self, batch: usize, group: usize) -> (&Gather, *const f32) {
        let (unit, group) = (group / self.gathers.len(), group % self.gathers.len());
        let base = self.padded.get().wrapping_add(unit * self.unit_floats + batch * self.group_floats);
        (&self.gathers[group], base)
    }

    #[inline(always)]
    fn runs(&self, k0: usize) -> Runs {
        Runs { length: self.run, first: k0 % self.run }
    }
}

impl PackB for Columns<'_> {
    #[inline(always)]
    unsafe fn pack<K: Kernel>(&self, batch: usize, group: usize, k0: usize, depth: usize, to: *mut f32, step: usize) {
        let (gather, base) = self.place(batch, group);
        // SAFETY: all windows of the table are inside the padded chunk and its slack; groups and depth are the plan's.
        unsafe { K::gather(gather, base, self.taps.get_unchecked(k0..k0 + depth), &self.runs(k0), to, step) }
    }

    #[inline(always)]
    fn fuses(&self, group: usize, groups: usize) -> bool {
        (group..group + groups).all(|group| self.gathers[group % self.gathers.len()].count <= 2)
    }

    // Out of line, where it does not disturb the loops over packed panels.
    #[inline(never)]
    unsafe fn fused<K: Kernel>(
        &self,
        batch: usize,
        groups: Range<usize>,
        depth: Range<usize>,
        rows: usize,
        tile: Tile,
    ) {
        let ((first, base), (second, next)) = (self.place(batch, groups.start), self.place(batch, groups.end - 1));
        let runs = self.runs(depth.start);
        // SAFETY: as for `pack`; the tile is the caller's.
        unsafe {
            let taps = self.taps.get_unchecked(depth);
            let tile = WindowTile { gathers: [first, second], bases: [base, next], taps, runs, tile };
            K::window_tile(rows, groups.len(), &tile);
        }
    }
}

/// The result: maps of pixels, one plane for each channel, of a chunk of images.
pub(super) struct Maps {
    /// First image of the chunk.
    pub at: Shared<f32>,
    pub first_image: usize,
    /// Images of the chunk.
    pub images: usize,
    pub unit: usize,
    pub groups_per_unit: usize,
    pub pixels: usize,
    /// Channels of an image and of a group.
    pub channels: usize,
    pub group_channels: usize,
    /// The maps are every so-many-th row and column of larger ones.
    pub spread: Option<Spread>,
    pub epilogue: Option<Epilogue>,
}

/// Where the pixels of a map lie in a larger one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    /// Row and column of the first pixel.
    pub first: [usize; 2],
    /// Distance between pixels.
    pub step: [usize; 2],
    /// Pixels of a row of the map.
    pub columns: usize,
    /// Size of the larger map.
    pub size: [usize; 2],
}

impl Spread {
    /// Writes or adds values of neighbouring pixels.
    ///
    /// # Safety
    /// `plane` is the larger map and has the pixels; `from` is readable for `length` floats.
    #[inline(always)]
    unsafe fn put(&self, from: *const f32, pixel: usize, length: usize, plane: *mut f32, accumulate: bool) {
        let (mut y, mut x) = (pixel / self.columns, pixel % self.columns);
        let mut done = 0;
        while done < length {
            let count = (self.columns - x).min(length - done);
            let at = (self.first[0] + y * self.step[0]) * self.size[1] + self.first[1] + x * self.step[1];
            // SAFETY: promised by the caller.
            unsafe {
                let (from, to) = (from.add(done), plane.add(at));
                for i in 0..count {
                    let to = to.add(i * self.step[1]);
                    *to = if accumulate { *to + *from.add(i) } else { *from.add(i) };
                }
            }
            (y, x, done) = (y + 1, 0, done + count);
        }
    }
}

impl Maps {
    /// Calls `f(lane, image, pixel, length)` for each run of pixels of one image between two places of a unit.
    #[inline(always)]
    fn runs(&self, unit: usize, places: Range<usize>, mut f: impl FnMut(usize, usize, usize, usize)) {
        let end = places.end.min(self.unit * self.pixels);
        let mut place = places.start;
        while place < end {
            let (image, pixel) = match self.unit {
                1 => (unit, place),
                _ => (unit * self.unit + place / self.pixels, place % self.pixels),
            };
            if image >= self.images {
                return;
            }
            let length = (self.pixels - pixel).min(end - place);
            f(place - places.start, image, pixel, length);
            place += length;
        }
    }

    #[inline(always)]
    fn row(&self, batch: usize, row: usize, image: usize) -> *mut f32 {
        let channel = image * self.channels + batch * self.group_channels + row;
        let plane = self.spread.map_or(self.pixels, |spread| spread.size[0] * spread.size[1]);
        self.at.get().wrapping_add(channel * plane)
    }
}

impl Output for Maps {
    #[inline(always)]
    fn stride(&self) -> usize {
        self.pixels
    }

    #[inline(always)]
    fn whole(&self, batch: usize, row: usize, group: usize, groups: usize) -> Option<*mut f32> {
        let (unit, first) = (group / self.groups_per_unit, group % self.groups_per_unit);
        let whole = self.unit == 1 && self.spread.is_none() && (first + groups) * GROUP <= self.pixels;
        whole.then(|| self.row(batch, row, unit).wrapping_add(first * GROUP))
    }

    #[inline(always)]
    unsafe fn put<K: Kernel>(&self, batch: usize, row: usize, group: usize, from: *const f32, accumulate: bool) {
        let (unit, first) = (group / self.groups_per_unit, group % self.groups_per_unit);
        // SAFETY: the runs are inside the chunk's images; `put` reads 16 floats, so the sums of a later run are moved to
        // the front of a copy first.
        unsafe {
            let mut lanes = [0.0f32; 2 * GROUP];
            K::copy_padded(from, GROUP, lanes.as_mut_ptr());
            self.runs(unit, first * GROUP..(first + 1) * GROUP, |lane, image, pixel, length| {
                if let Some(spread) = &self.spread {
                    return spread.put(
                        lanes.as_ptr().add(lane),
                        pixel,
                        length,
                        self.row(batch, row, image),
                        accumulate,
                    );
                }
                K::put(lanes.as_ptr().add(lane), length, self.row(batch, row, image).add(pixel), accumulate);
            });
        }
    }

    #[inline(always)]
    unsafe fn finished(&self, batch: usize, rows: Range<usize>, groups: Range<usize>) {
        // Spread maps are gradients and have no epilogue.
        let Some(epilogue) = &self.epilogue else { return };
        let rows = batch * self.group_channels + rows.start..batch * self.group_channels + rows.end;
        let mut group = groups.start;
        while group < groups.end {
            let (unit, first) = (group / self.groups_per_unit, group % self.groups_per_unit);
            let end = (first + groups.end - group).min(self.groups_per_unit);
            self.runs(unit, first * GROUP..end * GROUP, |_, image, pixel, length| {
                // SAFETY: promised by the caller.
                unsafe { epilogue.call(self.first_image + image, rows.clone(), pixel..pixel + length) }
            });
            group += end - first;
        }
    }
}
