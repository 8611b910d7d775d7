//! How images are cut into Winograd's tiles, and when his way is taken: the shape of a convolution comes in, a filter's size and
//! rows of tiles go out. Invariant: the choice depends on the shape only.

use super::columns::Padding;
use super::filter::{Filter, Four, Two};
use super::tile::GROUP;
use std::ops::Range;

/// Taps of a kernel.
pub(super) const TAPS: usize = 9;

/// Which filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Two,
    Four,
}

impl Size {
    /// Results of a tile along an axis.
    pub fn out(self) -> usize {
        match self {
            Size::Two => Two::OUT,
            Size::Four => Four::OUT,
        }
    }

    pub fn points(self) -> usize {
        (self.out() + 2) * (self.out() + 2)
    }
}

/// Calls a generic function with the [`Filter`] of a [`Size`].
macro_rules! with_filter {
    ($size:expr, $F:ident => $body:expr) => {
        match $size {
            $crate::runtime::kernels::winograd_tiles::Size::Two => {
                type $F = $crate::runtime::kernels::filter::Two;
                $body
            }
            $crate::runtime::kernels::winograd_tiles::Size::Four => {
                type $F = $crate::runtime::kernels::filter::Four;
                $body
            }
        }
    };
}
pub(super) use with_filter;

/// A distance between the matrices of two points: at least so many floats, and no multiple of a page, so that the points
/// of one tile do not fight over the same lines of a cache.
pub(super) fn spaced(floats: usize) -> usize {
    let lines = floats.div_ceil(16);
    (lines + 1 - lines % 2) * 16
}

/// Rows of tiles of all images in order, and how images are cut into them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Results of a tile along an axis.
    pub out: usize,
    /// Rows of tiles of an image, and tiles of a row.
    pub rows: usize,
    pub columns: usize,
    pub images: usize,
}

impl Tiles {
    pub fn new(size: Size, images: usize, map: [usize; 2]) -> Tiles {
        let out = size.out();
        Tiles { out, rows: map[0].div_ceil(out), columns: map[1].div_ceil(out), images }
    }

    pub fn all_rows(&self) -> usize {
        self.images * self.rows
    }

    /// Rows for a block of about so many tiles that waste few lanes.
    pub fn block_rows(&self, tiles: usize) -> usize {
        let most = (tiles / self.columns).clamp(1, self.all_rows().max(1));
        let waste = |rows: &usize| {
            let tiles = rows * self.columns;
            tiles.next_multiple_of(GROUP) * 1000 / tiles.max(1)
        };
        (most.div_ceil(2)..=most).rev().min_by_key(waste).unwrap_or(most)
    }

    /// The parts of a range of rows that lie in one image: (image, its rows of tiles).
    pub fn runs(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut at = rows.start;
        let per_image = self.rows;
        std::iter::from_fn(move || {
            if at >= rows.end {
                return None;
            }
            let (image, first) = (at / per_image, at % per_image);
            let count = (per_image - first).min(rows.end - at);
            at += count;
            Some((image, first..first + count))
        })
    }

    /// The most images that so many rows in a row touch.
    pub fn most_runs(&self, rows: usize) -> usize {
        (rows + self.rows - 2) / self.rows + 1
    }

    /// Width of the data of a row of tiles.
    pub fn width(&self) -> usize {
        self.columns * self.out + 2
    }

    /// How the data of some rows of tiles of an image is cut out of it.
    pub fn cut(&self, padding: &Padding, rows: &Range<usize>) -> Padding {
        let [y, x] = padding.shift;
        Padding {
            source: padding.source,
            padded: [rows.len() * self.out + 2, self.width()],
            shift: [y - (rows.start * self.out) as isize, x],
        }
    }
}

/// What is done with the weights at each call, for each of their floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// They are transformed.
    Plain,
    /// They are transformed already; to read so many costs more than to multiply with few tiles.
    Kept,
}

impl Given {
    fn cost(self) -> f64 {
        match self {
            Given::Plain => 2.0,
            Given::Kept => 0.6,
        }
    }
}

/// Cycles (of one multiplication of 16 lanes) that a way takes, roughly: `products` of all points, the transforms of the
/// weights, and of `data` tiles times channels.
pub(super) fn cost(size: Size, channels: [usize; 2], tiles: usize, given: Given) -> f64 {
    let weights = (channels[0] * channels[1] * size.points()) as f64;
    let tiles = tiles.next_multiple_of(GROUP) as f64;
    let transforms = tiles / 16.0 * (channels[0] + channels[1]) as f64 * 5.0 * size.points() as f64;
    weights * tiles / 16.0 + given.cost() * weights + transforms
}

/// The cheaper filter, if one is clearly cheaper than the plain sum.
pub(super) fn choose(channels: [usize; 2], images: usize, map: [usize; 2], given: Given) -> Option<Size> {
    let pixels = images * map[0] * map[1];
    if channels[0].min(channels[1]) < 16 || pixels == 0 {
        return None;
    }
    let weights = (channels[0] * channels[1] * TAPS) as f64;
    let plain = match given {
        Given::Plain => weights * pixels as f64 / 16.0,
        // Few images are not cut into groups without loss.
        Given::Kept => weights * (pixels.div_ceil(GROUP) as f64 + given.cost()),
    };
    let of = |size| {
        let tiles = Tiles::new(size, images, map);
        cost(size, channels, tiles.all_rows() * tiles.columns, given)
    };
    let size = if of(Size::Four) < of(Size::Two) { Size::Four } else { Size::Two };
    (plain > 1e5 && of(size) < 0.8 * plain).then_some(size)
}
