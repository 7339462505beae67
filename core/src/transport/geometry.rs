//! Costs: where they are stored, or how they are computed when a row is needed.
//!
//! | type | cost of a pair | memory |
//! | --- | --- | --- |
//! | [`Dense`] | an entry of a matrix; +∞ forbids the pair | n·m |
//! | [`Points`] | a [`Metric`] between two points | (n + m)·d |
//! | [`Function`] | whatever a closure returns | none |
//! | [`Masked`] | that of another geometry, +∞ where a pair is not allowed | a flag a pair, or none |
//! | [`Grid`](super::Grid) | a sum over axes | Σ kᵢ² |
//!
//! A solver asks for rows, each iteration anew, so a geometry that computes them needs no n × m memory; it pays with
//! d multiplications an entry.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use ndarray::ArrayRef2;

use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;
use crate::rows::contiguous;
use crate::simd::{kernel, sweep};

use super::grid::Grid;

/// The cost between n sources and m targets.
///
/// Where the matrix is not stored, [`fill_row`](Geometry::fill_row) is called for every row in every iteration, from
/// several threads.
pub trait Geometry<T: Real>: Sync {
    /// (n, m)
    fn shape(&self) -> (usize, usize);

    /// Writes the costs C_ij of row i, m numbers. The same row must always give the same numbers.
    ///
    /// +∞ forbids a pair. NaN and −∞ are refused when a problem is made.
    fn fill_row(&self, row: usize, costs: &mut [T]);

    /// The whole matrix, row after row, where it is in memory: rows are then read from here.
    fn stored(&self) -> Option<&[T]> {
        None
    }

    /// The axes, where the cost is a sum over them.
    fn grid(&self) -> Option<&Grid<T>> {
        None
    }
}

/// A matrix in memory.
#[derive(Clone, Debug)]
pub struct Dense<'a, T: Real> {
    rows: Cow<'a, [T]>,
    shape: (usize, usize),
}

impl<'a, T: Real> Dense<'a, T> {
    /// The cost `cost` (n, m). Copied once if its rows are not contiguous.
    pub fn new(cost: &'a ArrayRef2<T>) -> Self {
        Dense { rows: contiguous(cost), shape: cost.dim() }
    }
}

impl<T: Real> Geometry<T> for Dense<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        let m = self.shape.1;
        costs.copy_from_slice(&self.rows[row * m..(row + 1) * m]);
    }

    fn stored(&self) -> Option<&[T]> {
        Some(&self.rows)
    }
}

/// A cost between two points x and y of d coordinates; d multiplications, and a root for [`Metric::Euclidean`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// ‖x − y‖²
    SquaredEuclidean,
    /// ‖x − y‖
    Euclidean,
    /// 1 − ⟨x, y⟩ / (‖x‖ ‖y‖); a point shorter than 1e-12 is divided by that instead
    Cosine,
    /// −⟨x, y⟩
    Dot,
}

/// Two clouds of points. Differences are taken before squares, so near points lose no digits.
///
/// Each row of costs is computed whenever it is needed, in every iteration anew: n m d multiplications, (n + m) d
/// memory. Where n m numbers fit, [`Method::Kernel`](super::Method) computes them once for each kernel, and allows
/// Newton steps.
///
/// Coordinates may be as large or small as the type holds: where squares of them would not fit it, sums are taken of points
/// scaled by a power of two, which rounds nothing, and scaled back.
#[derive(Clone, Debug)]
pub struct Points<'a, T: Real> {
    /// (n, d), of unit length for [`Metric::Cosine`]
    x: Cow<'a, [T]>,
    /// (d, m)
    y: Vec<T>,
    shape: (usize, usize),
    metric: Metric,
    /// What the points have been divided by, a power of two: 1 for coordinates of ordinary size.
    unit: T,
}

/// x is below 2 to the power of this.
fn exponent(x: f64) -> i32 {
    libm::frexp(x).1
}

/// Exponent of 2 by which to multiply each of two factors of products below 2^`bits`, for those to fit T; above 0 where
/// they have room to grow.
fn room<T: Real>(bits: i32) -> i32 {
    (exponent(T::MAX.to_f64()) - 1 - bits).div_euclid(2)
}

fn scale<T: Real>(x: &mut [T], by: i32) {
    let by = T::from_f64(libm::scalbn(1.0, by));
    x.iter_mut().for_each(|x| *x *= by);
}

/// Largest |x|.
fn largest<T: Real>(x: &[T]) -> f64 {
    x.iter().fold(T::ZERO, |most, x| most.max(x.abs())).to_f64()
}

impl<'a, T: Real> Points<'a, T> {
    /// Sources `x` (n, d) and targets `y` (m, d).
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when the two have other numbers of coordinates, [`Error::NonFinite`] for a NaN or an infinity,
    /// [`Error::Parameter`] with the largest coordinate when a cost does not fit the type.
    #[inline(never)]
    pub fn new(x: &'a ArrayRef2<T>, y: &ArrayRef2<T>, metric: Metric) -> Result<Self, Error> {
        let ((n, d), (m, dy)) = (x.dim(), y.dim());
        Error::shape("y", [m, d], [m, dy])?;
        let (mut x, mut rows) = (contiguous(x), contiguous(y));
        for (what, points) in [("x", &x), ("y", &rows)] {
            if let Some(at) = points.iter().position(|p| !p.is_finite()) {
                return Err(Error::NonFinite { what, row: Some(at / d) });
            }
        }
        let most = [largest(&x), largest(&rows)];
        let terms = exponent(d as f64);
        let by = match metric {
            Metric::Cosine => 0,
            Metric::Dot => room::<T>(terms + exponent(most[0]) + exponent(most[1])).min(0),
            Metric::SquaredEuclidean | Metric::Euclidean => {
                let most = most[0].max(most[1]);
                // A difference is at most twice as large.
                let room = room::<T>(terms + 2 * (exponent(most) + 1));
                // Squares of differences as small as the rounding of the largest coordinate must be normal numbers.
                let least = libm::sqrt((T::MIN_POSITIVE / T::EPSILON).to_f64());
                let small = metric == Metric::Euclidean && most * T::EPSILON.to_f64() < least;
                // 2 to the power of this must have an inverse.
                let top = 1 - exponent(T::MIN_POSITIVE.to_f64());
                room.min(if small { top } else { 0 })
            }
        };
        if by != 0 {
            scale(x.to_mut(), by);
            scale(rows.to_mut(), by);
        }
        if metric == Metric::Cosine && d > 0 {
            for (points, most) in [x.to_mut(), rows.to_mut()].into_iter().zip(most) {
                if room::<T>(terms + 2 * exponent(most)) < 0 {
                    for point in points.chunks_exact_mut(d) {
                        let by = room::<T>(terms + 2 * exponent(largest(point)));
                        scale(point, by.min(0));
                    }
                }
                crate::rows::l2_normalize_in_place(points, d);
            }
        }
        let y = (0..d).flat_map(|k| (0..m).map(move |j| (j, k))).map(|(j, k)| rows[j * d + k]);
        let unit = T::from_f64(libm::scalbn(1.0, -by));
        let points = Points { x, y: y.collect(), shape: (n, m), metric, unit };
        let fits = |range: Range| !range.forbidden;
        if by < 0 && !Range::of(&points).is_ok_and(fits) {
            let (name, value) = if most[0] >= most[1] { ("x", most[0]) } else { ("y", most[1]) };
            let requirement = "so small in every coordinate that all costs fit the number type";
            return Err(Error::Parameter { name, value, requirement });
        }
        Ok(points)
    }
}

kernel! {
    /// Σ_k (x_k − y_kj)², or − Σ_k x_k y_kj, over the coordinates, for all j.
    fn sums<'a, T, S>(s, x: &'a [T], y: &'a [T], squared: bool, cost: &'a mut [T],) -> () {
        cost.fill(T::ZERO);
        let m = cost.len();
        if m == 0 {
            return;
        }
        for (&x, y) in x.iter().zip(y.chunks_exact(m)) {
            let x = T::splat(s, if squared { x } else { -x });
            if squared {
                sweep!(s: S, T, m; read [y in y, T::ZERO] update [c in cost, T::ZERO] write [] {
                    let d = T::vsub(s, x, y);
                    (T::vfma(s, d, d, c),)
                });
            } else {
                sweep!(s: S, T, m; read [y in y, T::ZERO] update [c in cost, T::ZERO] write [] {
                    (T::vfma(s, x, y, c),)
                });
            }
        }
    }
}

impl<T: Real> Geometry<T> for Points<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        let d = self.x.len().checked_div(self.shape.0).unwrap_or(0);
        let x = &self.x[row * d..(row + 1) * d];
        let squared = matches!(self.metric, Metric::SquaredEuclidean | Metric::Euclidean);
        sums(x, &self.y, squared, costs);
        match self.metric {
            Metric::Euclidean => costs.iter_mut().for_each(|c| *c = c.sqrt() * self.unit),
            Metric::Cosine => costs.iter_mut().for_each(|c| *c += T::ONE),
            Metric::SquaredEuclidean | Metric::Dot if self.unit == T::ONE => {}
            Metric::SquaredEuclidean | Metric::Dot => {
                costs.iter_mut().for_each(|c| *c = *c * self.unit * self.unit);
            }
        }
    }
}

/// A cost computed by a closure from the indices of source and target.
#[derive(Clone, Debug)]
pub struct Function<F> {
    shape: (usize, usize),
    cost: F,
}

impl<F> Function<F> {
    /// The cost `cost(i, j)` for i below n and j below m.
    pub fn new<T: Real>(shape: (usize, usize), cost: F) -> Self
    where
        F: Fn(usize, usize) -> T + Sync,
    {
        Function { shape, cost }
    }
}

impl<T: Real, F: Fn(usize, usize) -> T + Sync> Geometry<T> for Function<F> {
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        costs.iter_mut().enumerate().for_each(|(j, c)| *c = (self.cost)(row, j));
    }
}

/// Another geometry of which some pairs are forbidden.
#[derive(Clone, Debug)]
pub struct Masked<G, F> {
    geometry: G,
    allowed: F,
}

impl<G, F: Fn(usize, usize) -> bool + Sync> Masked<G, F> {
    /// `geometry`, its pairs (i, j) forbidden where `allowed(i, j)` is false.
    pub fn new(geometry: G, allowed: F) -> Self {
        Masked { geometry, allowed }
    }
}

impl<T, G, F> Geometry<T> for Masked<G, F>
where
    T: Real,
    G: Geometry<T>,
    F: Fn(usize, usize) -> bool + Sync,
{
    fn shape(&self) -> (usize, usize) {
        self.geometry.shape()
    }

    fn fill_row(&self, row: usize, costs: &mut [T]) {
        self.geometry.fill_row(row, costs);
        for (j, c) in costs.iter_mut().enumerate() {
            if !(self.allowed)(row, j) {
                *c = T::INFINITY;
            }
        }
    }
}

/// Smallest and largest finite cost, and whether a pair is forbidden.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) forbidden: bool,
}

impl Range {
    /// Reads every cost once.
    pub(crate) fn of<T: Real>(geometry: &dyn Geometry<T>) -> Result<Self, Error> {
        if let Some(grid) = geometry.grid() {
            return grid.range();
        }
        let (n, m) = geometry.shape();
        let rows = super::sweep::piece_rows(n, m);
        let mut found =
            alloc::vec![[f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0]; n.div_ceil(rows)];
        found.par_chunks_mut(1).enumerate().for_each(|(piece, found)| {
            let mut scratch = alloc::vec![T::ZERO; m];
            for row in piece * rows..n.min((piece + 1) * rows) {
                for &c in super::sweep::row(geometry, row, &mut scratch) {
                    let c = c.to_f64();
                    if c.is_finite() {
                        found[0][0] = found[0][0].min(c);
                        found[0][1] = found[0][1].max(c);
                    } else if c == f64::INFINITY {
                        found[0][2] = 1.0;
                    } else if found[0][3] < 0.0 {
                        found[0][3] = row as f64;
                    }
                }
            }
        });
        let mut range = Range { least: f64::INFINITY, most: f64::NEG_INFINITY, forbidden: false };
        for [least, most, forbidden, bad] in found {
            if bad >= 0.0 {
                let (row, mut scratch) = (bad as usize, alloc::vec![T::ZERO; m]);
                let mut costs = super::sweep::row(geometry, row, &mut scratch).iter().enumerate();
                costs.try_for_each(|(j, c)| Error::cost(row, j, c.to_f64()))?;
            }
            range.least = range.least.min(least);
            range.most = range.most.max(most);
            range.forbidden |= forbidden > 0.0;
        }
        Ok(range)
    }

    /// Largest |C|; 0 when there are none.
    pub(crate) fn magnitude(&self) -> f64 {
        if self.least <= self.most { self.most.max(-self.least) } else { 0.0 }
    }

    /// Largest less smallest cost; 0 when there are none.
    pub(crate) fn width(&self) -> f64 {
        (self.most - self.least).max(0.0)
    }
}

#[cfg(test)]
mod tests;
