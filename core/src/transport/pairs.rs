//! From the weight of every pair to the points: the chain rule of a [`Metric`] without a matrix of pairs.
//!
//! ```text
//! dx_i = Σ_j w_ij ∇c(x_i, y_j),   dy_j = Σ_i w_ij ∇c(y_j, x_i)
//! ```
//!
//! ∇ being with respect to the first point; every metric is symmetric. Rows of weights are made a band at a time, so the
//! memory is that of a band and (n + m) d; the time is O(n m d). Where a metric has no gradient, a distance of 0 and a
//! point at 0 of the cosine, it is taken as 0.

use alloc::vec::Vec;
use core::ops::Range;

use ndarray::{Array2, ArrayRef2};

use super::geometry::Metric;
use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;
use crate::rows::{NORM_FLOOR, array, l2_normalize_into};

/// Entries of a band of rows: 8 MB in f64, and work for many threads.
const BAND: usize = 1 << 20;
/// Fewest pairs of a piece of work.
const PAIRS: usize = 1 << 13;

/// Two clouds must have the shapes (n, d) and (m, d), and finite coordinates.
pub(super) fn check<T: Real>(
    (n, m): (usize, usize),
    x: &ArrayRef2<T>,
    y: &ArrayRef2<T>,
) -> Result<(), Error> {
    let d = x.ncols();
    Error::shape("x", [n, d], x.dim().into())?;
    Error::shape("y", [m, d], y.dim().into())?;
    for (what, points) in [("x", x), ("y", y)] {
        if let Some(at) = points.iter().position(|p| !p.is_finite()) {
            return Err(Error::NonFinite { what, row: Some(at / d) });
        }
    }
    Ok(())
}

/// dx (n, d) and dy (m, d) for the weights that `fill` writes: rows of a range, each of m numbers.
pub(super) fn gradients<T: Real>(
    fill: impl Fn(Range<usize>, &mut [T]) + Sync,
    x: &ArrayRef2<T>,
    y: &ArrayRef2<T>,
    metric: Metric,
) -> [Array2<f64>; 2] {
    let ((n, d), m) = (x.dim(), y.nrows());
    if d == 0 {
        return [Array2::zeros((n, 0)), Array2::zeros((m, 0))];
    }
    let pairs = Pairs::new(x, y, metric);
    let (mut dx, mut dy) = (alloc::vec![0.0; n * d], alloc::vec![0.0; m * d]);
    let band = BAND.div_ceil(m).min(n);
    let (some_rows, some_columns) = (PAIRS.div_ceil(m), PAIRS.div_ceil(band));
    let mut weights = alloc::vec![T::ZERO; band * m];
    for first in (0..n).step_by(band) {
        let last = n.min(first + band);
        let weights = &mut weights[..(last - first) * m];
        (weights.par_chunks_mut(some_rows * m))
            .zip(dx[first * d..last * d].par_chunks_mut(some_rows * d))
            .enumerate()
            .for_each(|(piece, (weights, dx))| {
                let i = first + piece * some_rows;
                fill(i..i + dx.len() / d, weights);
                let rows = weights.chunks_exact(m).zip(dx.chunks_exact_mut(d));
                rows.enumerate().for_each(|(k, (weights, dx))| pairs.row(i + k, weights, dx));
            });
        let (weights, xs, ys) = (&*weights, &pairs.x[first * d..last * d], &pairs.y);
        dy.par_chunks_mut(some_columns * d).enumerate().for_each(|(piece, dy)| {
            let j = piece * some_columns;
            for (weights, x) in weights.chunks_exact(m).zip(xs.chunks_exact(d)) {
                let columns = dy.chunks_exact_mut(d).zip(ys[j * d..].chunks_exact(d));
                for ((dy, y), w) in columns.zip(&weights[j..]) {
                    add(metric, w.to_f64(), y, x, dy);
                }
            }
        });
    }
    dy.chunks_exact_mut(d).zip(&pairs.y_lengths).for_each(|(dy, &length)| rescale(dy, length));
    [array((n, d), dx), array((m, d), dy)]
}

/// Two clouds in f64, of unit length for [`Metric::Cosine`], with the lengths they had then.
pub(super) struct Pairs {
    d: usize,
    metric: Metric,
    x: Vec<f64>,
    y: Vec<f64>,
    x_lengths: Vec<f64>,
    y_lengths: Vec<f64>,
}

impl Pairs {
    pub(super) fn new<T: Real>(x: &ArrayRef2<T>, y: &ArrayRef2<T>, metric: Metric) -> Self {
        let (d, (x, x_lengths), (y, y_lengths)) = (x.ncols(), cloud(x, metric), cloud(y, metric));
        Pairs { d, metric, x, y, x_lengths, y_lengths }
    }

    /// Σ_j w_j ∇c(x_i, y_j) into `gradient`, which is 0.
    pub(super) fn row<T: Real>(&self, i: usize, weights: &[T], gradient: &mut [f64]) {
        let d = self.d;
        if d == 0 {
            return;
        }
        let x = &self.x[i * d..(i + 1) * d];
        for (w, y) in weights.iter().zip(self.y.chunks_exact(d)) {
            add(self.metric, w.to_f64(), x, y, gradient);
        }
        if let Some(&length) = self.x_lengths.get(i) {
            rescale(gradient, length);
        }
    }
}

/// Points in f64; for [`Metric::Cosine`] of unit length, and the lengths they had.
fn cloud<T: Real>(points: &ArrayRef2<T>, metric: Metric) -> (Vec<f64>, Vec<f64>) {
    let wide: Vec<f64> = points.iter().map(|p| p.to_f64()).collect();
    if metric != Metric::Cosine {
        return (wide, Vec::new());
    }
    let (mut unit, mut lengths) = (alloc::vec![0.0; wide.len()], alloc::vec![0.0; points.nrows()]);
    l2_normalize_into(&wide, points.ncols(), &mut unit, &mut lengths);
    (unit, lengths)
}

/// From a direction to a point: one at 0 has none.
fn rescale(gradient: &mut [f64], length: f64) {
    let factor = if length > NORM_FLOOR { 1.0 / length } else { 0.0 };
    gradient.iter_mut().for_each(|g| *g *= factor);
}

/// gradient += w ∇c(own, other), ∇ with respect to the first.
#[inline]
fn add(metric: Metric, w: f64, own: &[f64], other: &[f64], gradient: &mut [f64]) {
    if w == 0.0 {
        return;
    }
    let apart = match metric {
        Metric::SquaredEuclidean => 2.0 * w,
        Metric::Euclidean => {
            let squared: f64 = own.iter().zip(other).map(|(x, y)| (x - y) * (x - y)).sum();
            if squared > 0.0 { w / libm::sqrt(squared) } else { 0.0 }
        }
        // −y, and ⟨u, v⟩ u − v.
        Metric::Dot | Metric::Cosine => {
            let unit = metric == Metric::Cosine;
            let dot: f64 = if unit { own.iter().zip(other).map(|(x, y)| x * y).sum() } else { 0.0 };
            for (g, (x, y)) in gradient.iter_mut().zip(own.iter().zip(other)) {
                *g += w * (dot * x - y);
            }
            return;
        }
    };
    for (g, (x, y)) in gradient.iter_mut().zip(own.iter().zip(other)) {
        *g += apart * (x - y);
    }
}
