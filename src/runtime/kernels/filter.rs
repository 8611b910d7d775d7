//! The small transforms behind Winograd's convolution (S. Winograd 1980; A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2016): a tile of `OUT` × `OUT` results of a 3 × 3 kernel is the inverse transform of the
//! elementwise product of transformed data and weights. They are Toom-Cook evaluations at 0, some ±p and infinity.
//!
//! F(4 × 4) takes the points ±5/8 and ±3/2 instead of the usual ±1 and ±2: its rounding errors are then about twice those of
//! the plain sum (relative to the result's root mean square 1e-6, for 128 channels) instead of six times. All constants
//! are exact but for the quotients in the weights' transform.

use super::tile::Vector;

/// The most points of any filter.
pub(super) const MAX_SIZE: usize = 6;
/// The most results of any filter along one axis.
pub(super) const MAX_OUT: usize = 4;

type Points<V> = [V; MAX_SIZE];

/// One-dimensional transforms; two dimensions apply them to rows and then to columns. Entries after the first `SIZE` (or
/// `OUT`) are ignored and zero.
pub(super) trait Filter {
    /// Results of a tile along an axis.
    const OUT: usize;
    /// Points: `OUT + 2`.
    const SIZE: usize;
    /// Data to points.
    fn data<V: Vector>(d: Points<V>) -> Points<V>;
    /// Weights to points.
    fn weights<V: Vector>(g: [V; 3]) -> Points<V>;
    /// Sums of products at the points to results.
    fn results<V: Vector>(m: Points<V>) -> [V; MAX_OUT];
    /// The transpose of `results`: the gradient of results to points.
    fn gradient<V: Vector>(y: [V; MAX_OUT]) -> Points<V>;
    /// The transpose of `weights`: sums at the points to the gradient of weights.
    fn taps<V: Vector>(s: Points<V>) -> [V; 3];
}

/// `x * c`.
#[inline(always)]
fn times<V: Vector>(x: V, c: f32) -> V {
    V::zero().fma(x, constant(c))
}

#[inline(always)]
fn constant<V: Vector>(c: f32) -> V {
    // SAFETY: the constant is readable.
    unsafe { V::splat(&c) }
}

/// `x + y * c`.
#[inline(always)]
fn plus<V: Vector>(x: V, y: V, c: f32) -> V {
    x.fma(y, constant(c))
}

/// F(2 × 2, 3 × 3) with the points 0, 1, -1, infinity.
pub(super) struct Two;

impl Filter for Two {
    const OUT: usize = 2;
    const SIZE: usize = 4;

    #[inline(always)]
    fn data<V: Vector>(d: Points<V>) -> Points<V> {
        let zero = V::zero();
        [plus(d[2], d[0], -1.0), d[2].add(d[1]), plus(d[2], d[1], -1.0), plus(d[3], d[1], -1.0), zero, zero]
    }

    #[inline(always)]
    fn weights<V: Vector>(g: [V; 3]) -> Points<V> {
        let even = times(g[0].add(g[2]), 0.5);
        [times(g[0], -1.0), plus(even, g[1], 0.5), plus(even, g[1], -0.5), g[2], V::zero(), V::zero()]
    }

    #[inline(always)]
    fn results<V: Vector>(m: Points<V>) -> [V; MAX_OUT] {
        [m[0].add(m[1].add(m[2])), plus(m[1], m[2], -1.0).add(m[3]), V::zero(), V::zero()]
    }

    #[inline(always)]
    fn gradient<V: Vector>(y: [V; MAX_OUT]) -> Points<V> {
        [y[0], y[0].add(y[1]), plus(y[0], y[1], -1.0), y[1], V::zero(), V::zero()]
    }

    #[inline(always)]
    fn taps<V: Vector>(s: Points<V>) -> [V; 3] {
        let even = times(s[1].add(s[2]), 0.5);
        [plus(even, s[0], -1.0), times(plus(s[1], s[2], -1.0), 0.5), even.add(s[3])]
    }
}

/// F(4 × 4, 3 × 3) with the points 0, 5/8, -5/8, 3/2, -3/2, infinity.
pub(super) struct Four;

const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
/// What the weights' transform divides by at 0, ±A and ±B.
const F0: f32 = 1.0 / (A2 * B2);
const FA: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const FB: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

impl Filter for Four {
    const OUT: usize = 4;
    const SIZE: usize = 6;

    #[inline(always)]
    fn data<V: Vector>(d: Points<V>) -> Points<V> {
        let (a_even, a_odd) = (plus(d[4], d[2], -B2), plus(d[3], d[1], -B2));
        let (b_even, b_odd) = (plus(d[4], d[2], -A2), plus(d[3], d[1], -A2));
        [
            plus(plus(d[4], d[2], -(A2 + B2)), d[0], A2 * B2),
            plus(a_even, a_odd, A),
            plus(a_even, a_odd, -A),
            plus(b_even, b_odd, B),
            plus(b_even, b_odd, -B),
            plus(plus(d[5], d[3], -(A2 + B2)), d[1], A2 * B2),
        ]
    }

    #[inline(always)]
    fn weights<V: Vector>(g: [V; 3]) -> Points<V> {
        let (a_even, b_even) = (plus(times(g[0], FA), g[2], A2 * FA), plus(times(g[0], FB), g[2], B2 * FB));
        [
            times(g[0], F0),
            plus(a_even, g[1], A * FA),
            plus(a_even, g[1], -A * FA),
            plus(b_even, g[1], B * FB),
            plus(b_even, g[1], -B * FB),
            g[2],
        ]
    }

    #[inline(always)]
    fn results<V: Vector>(m: Points<V>) -> [V; MAX_OUT] {
        let (a_even, a_odd) = (m[1].add(m[2]), plus(m[1], m[2], -1.0));
        let (b_even, b_odd) = (m[3].add(m[4]), plus(m[3], m[4], -1.0));
        [
            m[0].add(a_even).add(b_even),
            plus(times(a_odd, A), b_odd, B),
            plus(times(a_even, A2), b_even, B2),
            plus(plus(m[5], a_odd, A2 * A), b_odd, B2 * B),
        ]
    }

    #[inline(always)]
    fn gradient<V: Vector>(y: [V; MAX_OUT]) -> Points<V> {
        let (a_even, a_odd) = (plus(y[0], y[2], A2), plus(y[1], y[3], A2));
        let (b_even, b_odd) = (plus(y[0], y[2], B2), plus(y[1], y[3], B2));
        [y[0], plus(a_even, a_odd, A), plus(a_even, a_odd, -A), plus(b_even, b_odd, B), plus(b_even, b_odd, -B), y[3]]
    }

    #[inline(always)]
    fn taps<V: Vector>(s: Points<V>) -> [V; 3] {
        let (a_even, a_odd) = (s[1].add(s[2]), plus(s[1], s[2], -1.0));
        let (b_even, b_odd) = (s[3].add(s[4]), plus(s[3], s[4], -1.0));
        [
            plus(plus(times(s[0], F0), a_even, FA), b_even, FB),
            plus(times(a_odd, A * FA), b_odd, B * FB),
            plus(plus(s[5], a_even, A2 * FA), b_even, B2 * FB),
        ]
    }
}

/// One of a filter's transforms. A type instead of a function, because only what is always inlined gets the features of the
/// instruction set.
pub(super) trait Transform<const I: usize, const O: usize> {
    /// How many entries of the input and of the output count.
    const SIZES: [usize; 2];
    fn apply<V: Vector>(x: [V; I]) -> [V; O];
}

macro_rules! transforms {
    ($($(#[$doc:meta])* $name:ident: $from:expr, $from_size:expr => $to:expr, $to_size:expr, $function:ident;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name<F>(std::marker::PhantomData<F>);

        impl<F: Filter> Transform<{ $from }, { $to }> for $name<F> {
            const SIZES: [usize; 2] = [$from_size, $to_size];

            #[inline(always)]
            fn apply<V: Vector>(x: [V; $from]) -> [V; $to] {
                F::$function(x)
            }
        }
    )*};
}

transforms! {
    /// [`Filter::data`].
    Data: MAX_SIZE, F::SIZE => MAX_SIZE, F::SIZE, data;
    /// [`Filter::weights`].
    Weights: 3, 3 => MAX_SIZE, F::SIZE, weights;
    /// [`Filter::results`].
    Results: MAX_SIZE, F::SIZE => MAX_OUT, F::OUT, results;
    /// [`Filter::gradient`].
    Gradient: MAX_OUT, F::OUT => MAX_SIZE, F::SIZE, gradient;
    /// [`Filter::taps`].
    Taps: MAX_SIZE, F::SIZE => 3, 3, taps;
}

/// A square of vectors: where the first lies, and the distances between rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Square<P> {
    pub at: P,
    pub row: isize,
    pub column: isize,
}

/// Applies a transform to the rows and then to the columns of a square of vectors.
///
/// # Safety
/// Both squares are valid in the transform's sizes; the features of `V` are enabled in the caller.
#[inline(always)]
pub(super) unsafe fn square<T: Transform<I, O>, V: Vector, const I: usize, const O: usize>(
    from: Square<*const f32>,
    to: Square<*mut f32>,
) {
    let [from_size, to_size] = T::SIZES;
    let mut half = [[V::zero(); O]; I];
    // SAFETY: promised by the caller.
    unsafe {
        for i in 0..from_size {
            let mut row = [V::zero(); I];
            for j in 0..from_size {
                row[j] = V::load(from.at.offset(i as isize * from.row + j as isize * from.column));
            }
            half[i] = T::apply(row);
        }
        for j in 0..to_size {
            let mut column = [V::zero(); I];
            for i in 0..from_size {
                column[i] = half[i][j];
            }
            let column = T::apply(column);
            for i in 0..to_size {
                column[i].store(to.at.offset(i as isize * to.row + j as isize * to.column));
            }
        }
    }
}
