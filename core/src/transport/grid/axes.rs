//! The soft transform of a grid, one axis at a time.
//!
//! The cost is a sum over axes, so exp(−C/ε) is a product, and the sum over all targets is done axis by axis:
//!
//! ```text
//! L_i = ε ln Σ_j exp((h_j − C_ij)/ε)
//!     = ε ln Σ_{j₁} exp(−c₁(i₁, j₁)/ε) … Σ_{j_r} exp((h_j − c_r(i_r, j_r))/ε)
//! ```
//!
//! A stage takes numbers (outer, l, inner), the l positions of its axis in the middle, to (outer, k, inner): k · l · outer ·
//! inner multiplications, and outer · l · inner exps where no digits are at stake. For each line along the axis, with its
//! largest number t = max_j h_j, and c_i = min_j c_ij,
//!
//! ```text
//! L_i = t − c_i + ε ln Σ_j K_ij exp((h_j − t)/ε)        K_ij = exp(−(c_ij − c_i)/ε)
//! ```
//!
//! Terms below the smallest number of the type are lost, less than that number each; where the sum is not far above it,
//! the sum is made again in the log domain around its own largest term. So any ε will do: only the speed depends on it, from a
//! multiplication to two exps a term. Numbers between stages are kept in f64.

use alloc::vec::Vec;

use ndarray::Array2;

use crate::chunks::*;
use crate::real::Real;
use crate::rows::row_dot;
use crate::simd::{Simd, kernel, sweep};

/// Fewest multiplications of a piece of work.
const TERMS: usize = 1 << 15;

/// The costs of one axis from the side of those that are summed over.
#[derive(Clone, Debug)]
struct Axis<T> {
    /// (k, l): positions that get a sum, positions that are summed over.
    shape: (usize, usize),
    /// c_i = min_j c_ij, 0 where all are forbidden.
    least: Vec<f64>,
    /// c_ij − c_i, (k, l)
    cost: Vec<T>,
    /// exp(−(c_ij − c_i)/ε), (k, l)
    kernel: Vec<T>,
}

impl<T: Real> Axis<T> {
    fn new(cost: &Array2<f64>, epsilon: f64) -> Self {
        let least = |row: ndarray::ArrayView1<'_, f64>| {
            let least = row.iter().copied().fold(f64::INFINITY, f64::min);
            if least < f64::INFINITY { least } else { 0.0 }
        };
        let least: Vec<f64> = cost.rows().into_iter().map(least).collect();
        let above = cost.indexed_iter().map(|((i, _), c)| c - least[i]);
        let kernel = above.clone().map(|c| T::from_f64(Real::exp(-c / epsilon))).collect();
        Axis { shape: cost.dim(), cost: above.map(T::from_f64).collect(), kernel, least }
    }
}

/// Transforms in one direction at one ε, and their memory.
#[derive(Clone, Debug)]
pub(crate) struct Axes<T> {
    epsilon: f64,
    axes: Vec<Axis<T>>,
    /// The numbers between stages; `h` is the input and the result.
    pub(crate) h: Vec<f64>,
    next: Vec<f64>,
    /// Largest number of each line along the axis.
    tops: Vec<f64>,
    /// h − top, and its exp.
    near: Vec<T>,
    e: Vec<T>,
    /// The sums of a stage.
    sums: Vec<T>,
}

impl<T: Real> Axes<T> {
    /// From the cost of each axis, (k, l): sums are over l.
    pub(crate) fn new(costs: &[Array2<f64>], epsilon: f64) -> Self {
        let (h, next, tops) = (Vec::new(), Vec::new(), Vec::new());
        let (near, e, sums) = (Vec::new(), Vec::new(), Vec::new());
        let axes = costs.iter().map(|c| Axis::new(c, epsilon)).collect();
        Axes { epsilon, axes, h, next, tops, near, e, sums }
    }

    /// Puts L in the place of h; −∞ where no target is allowed.
    pub(crate) fn transform(&mut self) {
        let mut outer = 1;
        let mut inner: usize = self.axes.iter().map(|axis| axis.shape.1).product();
        for at in 0..self.axes.len() {
            inner /= self.axes[at].shape.1;
            self.stage(at, outer, inner);
            outer *= self.axes[at].shape.0;
        }
    }

    fn stage(&mut self, at: usize, outer: usize, inner: usize) {
        let (axis, epsilon) = (&self.axes[at], self.epsilon);
        let ((k, l), factor) = (axis.shape, T::from_f64(1.0 / epsilon));
        self.tops.resize(outer * inner, 0.0);
        self.near.resize(outer * l * inner, T::ZERO);
        self.e.resize(outer * l * inner, T::ZERO);
        self.sums.resize(outer * k * inner, T::ZERO);
        self.next.resize(outer * k * inner, 0.0);

        // Whole blocks of the outer index, as many as make a piece of work.
        let blocks = TERMS.div_ceil(l * inner);
        (self.tops.par_chunks_mut(blocks * inner).zip(self.h.par_chunks(blocks * l * inner)))
            .for_each(|(tops, h)| {
                for (tops, h) in tops.chunks_exact_mut(inner).zip(h.chunks_exact(l * inner)) {
                    top_of_lines(h, tops);
                }
            });
        let tops = &self.tops;
        // Rows of `inner` numbers; where that is one, lines along the axis.
        let (length, shared) = if inner == 1 { (l, 1) } else { (inner, l) };
        let rows = TERMS.div_ceil(length);
        (self.near.par_chunks_mut(rows * length).zip(self.e.par_chunks_mut(rows * length)))
            .zip(self.h.par_chunks(rows * length))
            .enumerate()
            .for_each(|(piece, ((near, e), h))| {
                for (r, (near, h)) in
                    near.chunks_exact_mut(length).zip(h.chunks_exact(length)).enumerate()
                {
                    let tops = &tops[(piece * rows + r) / shared * inner..][..inner];
                    // −∞ − (−∞) is no number.
                    let none = f64::NEG_INFINITY;
                    let below =
                        |h: f64, top: f64| T::from_f64(if h > none { h - top } else { none });
                    match *tops {
                        [top] => near.iter_mut().zip(h).for_each(|(to, &h)| *to = below(h, top)),
                        _ => (near.iter_mut().zip(h).zip(tops))
                            .for_each(|((to, &h), &top)| *to = below(h, top)),
                    }
                }
                exponentials(near, factor, e);
            });
        let (near, e) = (&self.near, &self.e);
        let rows = if inner == 1 { k * TERMS.div_ceil(k * l) } else { TERMS.div_ceil(l * inner) };
        (self.next.par_chunks_mut(rows * inner).zip(self.sums.par_chunks_mut(rows * inner)))
            .enumerate()
            .for_each(|(piece, (next, sums))| {
                let job = Job { axis, inner, epsilon, factor, tops, near, e };
                sum_rows(job, piece * rows, sums, next);
            });
        core::mem::swap(&mut self.h, &mut self.next);
        self.h.truncate(outer * k * inner);
    }
}

/// What a stage reads.
struct Job<'a, T> {
    axis: &'a Axis<T>,
    inner: usize,
    epsilon: f64,
    factor: T,
    tops: &'a [f64],
    near: &'a [T],
    e: &'a [T],
}

/// tops = max over the rows of h.
fn top_of_lines(h: &[f64], tops: &mut [f64]) {
    tops.fill(f64::NEG_INFINITY);
    for row in h.chunks_exact(tops.len()) {
        for (top, &h) in tops.iter_mut().zip(row) {
            *top = if h > *top { h } else { *top };
        }
    }
}

kernel! {
    /// e = exp(x · factor)
    fn exponentials<'a, T, S>(s, x: &'a [T], factor: T, e: &'a mut [T]) -> () {
        let factor = T::splat(s, factor);
        sweep!(s: S, T, x.len(); read [x in x, T::ZERO] update [] write [e in e] {
            (T::vexp(s, T::vmul(s, x, factor)),)
        });
    }
}

kernel! {
    /// Output rows (outer, k) of `inner` numbers, from row `first` on.
    fn sum_rows<'a, T, S>(
        s, job: Job<'a, T>, first: usize, sums: &'a mut [T], next: &'a mut [f64],
    ) -> () {
        let Job { axis, inner, epsilon, factor, tops, near, e } = job;
        let (k, l) = axis.shape;
        let least = T::from_f64(l as f64) * T::MIN_POSITIVE / T::EPSILON;
        let mut peaks: Vec<T> = Vec::new();
        let rows = sums.chunks_exact_mut(inner).zip(next.chunks_exact_mut(inner));
        for (row, (sums, next)) in rows.enumerate() {
            let (o, i) = ((first + row) / k, (first + row) % k);
            let block = o * l * inner..(o + 1) * l * inner;
            let kernel = &axis.kernel[i * l..(i + 1) * l];
            let tops = &tops[o * inner..(o + 1) * inner];
            if inner == 1 {
                sums[0] = row_dot(s, kernel, &e[block.clone()]);
            } else {
                weighted_sum(s, kernel, &e[block.clone()], sums);
            }
            let shift = axis.least[i];
            let mut small = false;
            for ((&sum, &top), next) in sums.iter().zip(tops).zip(next.iter_mut()) {
                small |= sum <= least && top > f64::NEG_INFINITY;
                *next = top - shift + epsilon * Real::ln(sum.to_f64());
            }
            if small {
                let (near, cost) = (&near[block], &axis.cost[i * l..(i + 1) * l]);
                peaks.resize(inner, T::ZERO);
                if inner == 1 {
                    (peaks[0], sums[0]) = soft_line(s, near, cost, factor);
                } else {
                    soft_rows(s, near, cost, factor, &mut peaks, sums);
                }
                for (((&sum, &peak), &top), next) in
                    sums.iter().zip(&peaks).zip(tops).zip(next.iter_mut())
                {
                    *next = top - shift + (peak.to_f64() + epsilon * Real::ln(sum.to_f64()));
                }
            }
        }
    }
}

/// sums = Σ_j v_j x_j over the rows x_j.
#[inline(always)]
fn weighted_sum<T: Real, S: Simd>(s: S, v: &[T], x: &[T], sums: &mut [T]) {
    let inner = sums.len();
    sums.fill(T::ZERO);
    let (fours, rest) = v.as_chunks::<4>();
    let (head, tail) = x.split_at(fours.len() * 4 * inner);
    for (rows, v) in head.chunks_exact(4 * inner).zip(fours) {
        let v = v.map(|v| T::splat(s, v));
        let (front, back) = rows.split_at(2 * inner);
        let ((a, b), (c, d)) = (front.split_at(inner), back.split_at(inner));
        sweep!(s: S, T, inner;
        read [a in a, T::ZERO; b in b, T::ZERO; c in c, T::ZERO; d in d, T::ZERO]
        update [sum in sums, T::ZERO] write [] {
            let x = T::vfma(s, a, v[0], sum);
            let y = T::vmul(s, b, v[1]);
            (T::vadd(s, T::vfma(s, c, v[2], x), T::vfma(s, d, v[3], y)),)
        });
    }
    for (row, &v) in tail.chunks_exact(inner).zip(rest) {
        let v = T::splat(s, v);
        sweep!(s: S, T, inner; read [x in row, T::ZERO] update [sum in sums, T::ZERO] write [] {
            (T::vfma(s, x, v, sum),)
        });
    }
}

/// Largest near_j − cost_j of a line, and Σ_j exp((near_j − cost_j − peak)/ε); 0 and 0 where nothing is allowed.
#[inline(always)]
fn soft_line<T: Real, S: Simd>(s: S, near: &[T], cost: &[T], factor: T) -> (T, T) {
    let mut peak = T::splat(s, -T::INFINITY);
    sweep!(s: S, T, cost.len(); read [x in near, -T::INFINITY; c in cost, T::ZERO] update [] write [] {
        peak = T::vmax(s, peak, T::vsub(s, x, c));
    });
    let peak = T::max_lanes(s, peak);
    if peak == -T::INFINITY {
        return (T::ZERO, T::ZERO);
    }
    let (top, factor) = (T::splat(s, peak), T::splat(s, factor));
    let mut sum = T::splat(s, T::ZERO);
    sweep!(s: S, T, cost.len(); read [x in near, -T::INFINITY; c in cost, T::ZERO] update [] write [] {
        let z = T::vsub(s, T::vsub(s, x, c), top);
        sum = T::vadd(s, sum, T::vexp(s, T::vmul(s, z, factor)));
    });
    (peak, T::sum_lanes(s, sum))
}

/// The same for `inner` lines side by side.
#[inline(always)]
fn soft_rows<T: Real, S: Simd>(
    s: S,
    near: &[T],
    cost: &[T],
    factor: T,
    peaks: &mut [T],
    sums: &mut [T],
) {
    let (inner, factor) = (sums.len(), T::splat(s, factor));
    peaks.fill(-T::INFINITY);
    for (row, &c) in near.chunks_exact(inner).zip(cost) {
        let c = T::splat(s, c);
        sweep!(s: S, T, inner; read [x in row, T::ZERO] update [peak in peaks, T::ZERO] write [] {
            (T::vmax(s, peak, T::vsub(s, x, c)),)
        });
    }
    peaks.iter_mut().filter(|peak| **peak == -T::INFINITY).for_each(|peak| *peak = T::ZERO);
    sums.fill(T::ZERO);
    for (row, &c) in near.chunks_exact(inner).zip(cost) {
        let c = T::splat(s, c);
        sweep!(s: S, T, inner;
        read [x in row, T::ZERO; top in peaks, T::ZERO] update [sum in sums, T::ZERO] write [] {
            let z = T::vsub(s, T::vsub(s, x, c), top);
            (T::vadd(s, sum, T::vexp(s, T::vmul(s, z, factor))),)
        });
    }
}
