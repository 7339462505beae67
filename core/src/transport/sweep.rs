//! One text of Sinkhorn: the passes over the rows of a cost, or of a kernel made from it, for any instruction set.
//!
//! Everything that iterates, transport and the [codes](crate::codes) alike, is made of these passes. A pass reads each
//! row once: for row i it forms e_ij = r_j exp((g_j − C_ij + shift_i)/ε), whose sum moves f_i, and while the row is
//! still in the cache adds m_i e_ij / Σ_j e_ij, which is P_ij, to the column sums that will move g. The shift is
//! the f_i of the pass before, so no maximum is sought; a row whose sum leaves the range in which the shift is harmless
//! is done again around its own maximum. It is subtracted before the division by ε, so no digits are lost there.
//!
//! A pass takes n m exps, or multiplications with a kernel, and one read. Rows are split into at most 64 pieces by the
//! shape alone, each with its own column sums, O(64 m) memory, added in the order of the pieces: the same bits for any
//! number of threads. Limits: within a piece sums are of the type of the cost; over pieces, f64.

use alloc::vec::Vec;

use super::exponentials::{exponentials, factor, least, shifted};
use super::geometry::Geometry;
pub(crate) use super::side::Side;
use crate::chunks::{combine, *};
use crate::real::Real;
use crate::rows::{row_dot, row_scale};
use crate::simd::{Simd, kernel, sweep};

/// Most pieces that rows are split into: each has a row of partial sums, so this bounds the memory for n × m too
/// large to store.
const PIECES: usize = 64;

/// Fewest entries of a piece: some microseconds of work, more than it costs to hand them to a thread.
const ENTRIES: usize = 1 << 14;

/// Rows of one piece, a function of the shape alone.
pub(crate) fn piece_rows(n: usize, m: usize) -> usize {
    n.div_ceil(PIECES).max(ENTRIES.div_ceil(m.max(1))).next_multiple_of(4)
}

/// Rows whose entries are added to the column sums at once.
const BLOCK: usize = 4;

/// Rows of scratch of a piece: one of costs and a block, of one row where four would not stay in the cache anyway.
fn scratch_rows(m: usize) -> usize {
    1 + if m <= 1 << 14 { BLOCK } else { 1 }
}

/// Row i of the cost, from memory or computed into `scratch`.
#[inline]
pub(crate) fn row<'a, T: Real>(
    geometry: &'a dyn Geometry<T>,
    i: usize,
    scratch: &'a mut [T],
) -> &'a [T] {
    match geometry.stored() {
        Some(all) => &all[i * scratch.len()..(i + 1) * scratch.len()],
        None => {
            geometry.fill_row(i, scratch);
            scratch
        }
    }
}

/// Memory of the passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces<T> {
    /// Rows of a piece.
    pub(crate) rows: usize,
    /// What each piece found for each column, (pieces, m).
    pub(crate) partial: Vec<T>,
    /// For each piece a row of costs, and a block of what is made of them.
    scratch: Vec<T>,
    /// A number of each piece.
    found: Vec<f64>,
}

impl<T: Real> Pieces<T> {
    pub(crate) fn new() -> Self {
        Pieces { rows: 1, partial: Vec::new(), scratch: Vec::new(), found: Vec::new() }
    }

    pub(crate) fn resize(&mut self, n: usize, m: usize) {
        self.rows = piece_rows(n, m);
        let pieces = n.div_ceil(self.rows);
        self.partial.resize(pieces * m, T::ZERO);
        self.scratch.resize(pieces * scratch_rows(m) * m, T::ZERO);
        self.found.resize(pieces, 0.0);
    }

    pub(crate) fn bytes(n: usize, m: usize) -> usize {
        n.div_ceil(piece_rows(n, m))
            * ((1 + scratch_rows(m)) * m * size_of::<T>() + size_of::<f64>())
    }
}

/// A column's sum, as a share of its weight, below which its logarithm means nothing.
pub(crate) fn trusted<T: Real>() -> f64 {
    (T::MIN_POSITIVE / T::EPSILON).to_f64()
}

/// sums_j += Σ_i v_i x_ij over the rows of `block`.
#[inline(always)]
fn add_rows<T: Real, S: Simd>(s: S, block: &[T], v: &[T], sums: &mut [T]) {
    let m = sums.len();
    let (fours, rest) = v.as_chunks::<4>();
    let (head, tail) = block.split_at(fours.len() * 4 * m);
    for (rows, v) in head.chunks_exact(4 * m).zip(fours) {
        let v = v.map(|v| T::splat(s, v));
        let [a, b, c, d] = quarters(rows, m);
        sweep!(s: S, T, m;
        read [a in a, T::ZERO; b in b, T::ZERO; c in c, T::ZERO; d in d, T::ZERO]
        update [sum in sums, T::ZERO] write [] {
            let x = T::vfma(s, a, v[0], sum);
            let y = T::vmul(s, b, v[1]);
            (T::vadd(s, T::vfma(s, c, v[2], x), T::vfma(s, d, v[3], y)),)
        });
    }
    for (row, &v) in tail.chunks_exact(m).zip(rest) {
        let v = T::splat(s, v);
        sweep!(s: S, T, m; read [e in row, T::ZERO] update [sum in sums, T::ZERO] write [] {
            (T::vfma(s, e, v, sum),)
        });
    }
}

/// Products of up to four rows with v.
#[inline(always)]
fn dots<T: Real, S: Simd>(s: S, block: &[T], v: &[T]) -> [T; 4] {
    let m = v.len();
    if block.len() < 4 * m {
        let mut dots = [T::ZERO; 4];
        for (dot, row) in dots.iter_mut().zip(block.chunks_exact(m)) {
            *dot = row_dot(s, row, v);
        }
        return dots;
    }
    let [a, b, c, d] = quarters(block, m);
    let zero = T::splat(s, T::ZERO);
    let (mut x, mut y, mut z, mut w) = (zero, zero, zero, zero);
    sweep!(s: S, T, m;
    read [a in a, T::ZERO; b in b, T::ZERO; c in c, T::ZERO; d in d, T::ZERO; v in v, T::ZERO]
    update [] write [] {
        x = T::vfma(s, a, v, x);
        y = T::vfma(s, b, v, y);
        z = T::vfma(s, c, v, z);
        w = T::vfma(s, d, v, w);
    });
    [x, y, z, w].map(|x| T::sum_lanes(s, x))
}

/// Four rows of m.
#[inline(always)]
fn quarters<T>(rows: &[T], m: usize) -> [&[T]; 4] {
    let (front, back) = rows.split_at(2 * m);
    let ((a, b), (c, d)) = (front.split_at(m), back.split_at(m));
    [a, b, c, d]
}

/// A row's potential and what each of its entries is to be multiplied by.
#[inline(always)]
fn moved<T: Real>(side: Side<'_>, i: usize, f: &mut f64, shift: f64, sum: f64, off: &mut f64) -> T {
    let unit = if sum > 0.0 { shift - side.epsilon * Real::ln(sum) } else { f64::INFINITY };
    let (new, mass) = side.update(i, *f, unit);
    *f = new;
    if side.relaxation != 1.0 {
        *off += (mass - side.goal(i, new)).abs();
    }
    if mass > 0.0 { T::from_f64(mass / sum) } else { T::ZERO }
}

kernel! {
    /// Log domain, the rows of one piece from row `first` on.
    fn log_piece<'a, T, S>(
        s, geometry: &'a dyn Geometry<T>, side: Side<'a>, g: &'a [T], factor: T, first: usize,
        f: &'a mut [f64], sums: &'a mut [T], scratch: &'a mut [T],
    ) -> f64 {
        sums.fill(T::ZERO);
        let mut off = 0.0;
        let m = sums.len();
        let (costs, block) = scratch.split_at_mut(m);
        let mut i = first;
        // Column sums are read and written once for a block of rows.
        for f in f.chunks_mut(block.len() / m) {
            let mut scales = [T::ZERO; BLOCK];
            for ((f, scale), e) in f.iter_mut().zip(&mut scales).zip(block.chunks_exact_mut(m)) {
                let cost = row(geometry, i, costs);
                let next = geometry.stored().and_then(|all| all.get((i + 1) * m..(i + 2) * m));
                let rows = [cost, next.unwrap_or(cost)];
                let (shift, sum) = exponentials(s, rows, g, *f, factor, e);
                *scale = moved(side, i, f, shift, sum, &mut off);
                i += 1;
            }
            add_rows(s, &block[..f.len() * m], &scales[..f.len()], sums);
        }
        off
    }
}

kernel! {
    /// Kernel domain: the rows of one piece of K_ij = r_j exp((g⁰_j − C_ij + f⁰_i)/ε), against v_j = exp((g_j − g⁰_j)/ε).
    /// Infinite when a sum has left the range of the type.
    fn kernel_piece<'a, T, S>(
        s, kernel: &'a [T], base: &'a [f64], side: Side<'a>, v: &'a [T], first: usize,
        f: &'a mut [f64], sums: &'a mut [T],
    ) -> f64 {
        sums.fill(T::ZERO);
        let m = sums.len();
        let mut off = 0.0;
        let mut from = 0;
        for (block, f) in kernel.chunks(4 * m).zip(f.chunks_mut(4)) {
            let dots = dots(s, block, v);
            let mut scales = [T::ZERO; 4];
            for (r, f) in f.iter_mut().enumerate() {
                let (i, dot) = (from + r, dots[r].to_f64());
                if !(dot > least::<T>() && dot < 1.0 / least::<T>()) {
                    if side.weights[first + i] == 0.0 && dot == 0.0 {
                        // Nowhere to go, or far below the others: it keeps its potential.
                        continue;
                    }
                    return f64::INFINITY;
                }
                scales[r] = moved(side, first + i, f, base[i], dot, &mut off);
            }
            add_rows(s, block, &scales[..f.len()], sums);
            from += f.len();
        }
        off
    }
}

kernel! {
    /// sums = Kᵀ (a ∘ K x), the rows of one piece.
    fn product_piece<'a, T, S>(s, kernel: &'a [T], a: &'a [f64], x: &'a [T], sums: &'a mut [T],) -> () {
        sums.fill(T::ZERO);
        let m = sums.len();
        for (block, a) in kernel.chunks(4 * m).zip(a.chunks(4)) {
            let mut scales = dots(s, block, x);
            for (scale, &a) in scales.iter_mut().zip(a) {
                *scale = T::from_f64(a * scale.to_f64());
            }
            add_rows(s, block, &scales[..a.len()], sums);
        }
    }
}

kernel! {
    /// K_ij = exp((g_j − C_ij + f_i)/ε), the rows of one piece.
    fn fill_piece<'a, T, S>(
        s, geometry: &'a dyn Geometry<T>, f: &'a [f64], g: &'a [T], factor: T, first: usize,
        kernel: &'a mut [T], wanted: bool, sums: &'a mut [T], scratch: &'a mut [T],
    ) -> () {
        sums.fill(T::ZERO);
        let m = g.len();
        for (i, (e, &f)) in kernel.chunks_exact_mut(m).zip(f).enumerate() {
            let cost = row(geometry, first + i, &mut scratch[..m]);
            shifted(s, cost, g, T::from_f64(f), factor, e);
            if wanted {
                add_rows(s, e, &[T::ONE], sums);
            }
        }
    }
}

kernel! {
    /// Largest h_i − C_ij over the rows of one piece.
    fn top_piece<'a, T, S>(
        s, geometry: &'a dyn Geometry<T>, h: &'a [T], first: usize, tops: &'a mut [T],
        scratch: &'a mut [T],
    ) -> () {
        tops.fill(-T::INFINITY);
        let m = tops.len();
        for (i, &h) in h.iter().enumerate() {
            let (cost, h) = (row(geometry, first + i, &mut scratch[..m]), T::splat(s, h));
            sweep!(s: S, T, m; read [c in cost, T::ZERO] update [top in tops, T::ZERO] write [] {
                (T::vmax(s, top, T::vsub(s, h, c)),)
            });
        }
    }
}

kernel! {
    /// Sums over the rows of one piece of exp((h_i − C_ij − top_j)/ε).
    fn sum_piece<'a, T, S>(
        s, geometry: &'a dyn Geometry<T>, h: &'a [T], tops: &'a [T], factor: T, first: usize,
        sums: &'a mut [T], scratch: &'a mut [T],
    ) -> () {
        sums.fill(T::ZERO);
        let (m, factor) = (sums.len(), T::splat(s, factor));
        for (i, &h) in h.iter().enumerate() {
            let (cost, h) = (row(geometry, first + i, &mut scratch[..m]), T::splat(s, h));
            sweep!(s: S, T, m; read [c in cost, T::ZERO; top in tops, T::ZERO]
                update [sum in sums, T::ZERO] write [] {
                    let z = T::vsub(s, T::vsub(s, h, c), top);
                    (T::vadd(s, sum, T::vexp2(s, T::vmul(s, z, factor))),)
                });
        }
    }
}

kernel! {
    /// P_ij = scale · exp((g_j − C_ij + f)/ε) of one row, divided by the sum of the exponentials where `exact`.
    pub(crate) fn plan_row<'a, T, S>(
        s, cost: &'a [T], g: &'a [T], f: f64, scale: f64, exact: bool, epsilon: f64, plan: &'a mut [T],
    ) -> () {
        let factor = factor(epsilon);
        if scale == 0.0 {
            plan.fill(T::ZERO);
        } else if exact {
            let (_, sum) = exponentials(s, [cost, cost], g, f, factor, plan);
            row_scale(s, plan, T::from_f64(if sum > 0.0 { scale / sum } else { 0.0 }));
        } else {
            shifted(s, cost, g, T::from_f64(f), factor, plan);
            row_scale(s, plan, T::from_f64(scale));
        }
    }
}

/// A full half step of the rows in the log domain: moves f, leaves the column sums of the plan in `sums`, and returns
/// how far its rows are off, which is 0 without relaxation. `g` is g_j + ε ln r_j.
pub(crate) fn log_rows<T: Real>(
    geometry: &dyn Geometry<T>,
    side: Side<'_>,
    g: &[T],
    f: &mut [f64],
    sums: &mut [f64],
    pieces: &mut Pieces<T>,
) -> f64 {
    let (m, size) = (g.len(), pieces.rows);
    let factor = factor(side.epsilon);
    (f.par_chunks_mut(size).zip(pieces.partial.par_chunks_mut(m)))
        .zip(pieces.scratch.par_chunks_mut(scratch_rows(m) * m).zip(pieces.found.par_chunks_mut(1)))
        .enumerate()
        .for_each(|(piece, ((f, sums), (scratch, off)))| {
            off[0] = log_piece(geometry, side, g, factor, piece * size, f, sums, scratch);
        });
    combine(&pieces.partial, m, sums, 0.0, |a, b| a + b);
    pieces.found.iter().sum()
}

/// The same in the kernel domain; `sums` are to be multiplied by v.
pub(crate) fn kernel_rows<T: Real>(
    kernel: &[T],
    base: &[f64],
    side: Side<'_>,
    v: &[T],
    f: &mut [f64],
    sums: &mut [f64],
    pieces: &mut Pieces<T>,
) -> f64 {
    let (m, size) = (v.len(), pieces.rows);
    (f.par_chunks_mut(size).zip(pieces.partial.par_chunks_mut(m)))
        .zip(
            (kernel.par_chunks(size * m).zip(base.par_chunks(size)))
                .zip(pieces.found.par_chunks_mut(1)),
        )
        .enumerate()
        .for_each(|(piece, ((f, sums), ((kernel, base), off)))| {
            off[0] = kernel_piece(kernel, base, side, v, piece * size, f, sums);
        });
    combine(&pieces.partial, m, sums, 0.0, |a, b| a + b);
    pieces.found.iter().sum()
}

/// Kᵀ (a ∘ K x)
pub(crate) fn kernel_product<T: Real>(
    kernel: &[T],
    a: &[f64],
    x: &[T],
    product: &mut [f64],
    pieces: &mut Pieces<T>,
) {
    let (m, size) = (x.len(), pieces.rows);
    (kernel.par_chunks(size * m).zip(a.par_chunks(size)))
        .zip(pieces.partial.par_chunks_mut(m))
        .for_each(|((kernel, a), sums)| product_piece(kernel, a, x, sums));
    combine(&pieces.partial, m, product, 0.0, |a, b| a + b);
}

/// K_ij = exp((g_j − C_ij + f_i)/ε), and its column sums where wanted; `g` is g_j + ε ln r_j.
pub(crate) fn fill_kernel<T: Real>(
    geometry: &dyn Geometry<T>,
    epsilon: f64,
    f: &[f64],
    g: &[T],
    kernel: &mut [T],
    sums: Option<&mut [f64]>,
    pieces: &mut Pieces<T>,
) {
    let (m, size) = (g.len(), pieces.rows);
    let factor = factor(epsilon);
    let wanted = sums.is_some();
    (kernel.par_chunks_mut(size * m).zip(f.par_chunks(size)))
        .zip(
            pieces
                .scratch
                .par_chunks_mut(scratch_rows(m) * m)
                .zip(pieces.partial.par_chunks_mut(m)),
        )
        .enumerate()
        .for_each(|(piece, ((kernel, f), (scratch, sums)))| {
            fill_piece(geometry, f, g, factor, piece * size, kernel, wanted, sums, scratch);
        });
    if let Some(sums) = sums {
        combine(&pieces.partial, m, sums, 0.0, |a, b| a + b);
    }
}

/// Largest h_i − C_ij of each column, into `tops`.
pub(crate) fn column_tops<T: Real>(
    geometry: &dyn Geometry<T>,
    h: &[T],
    tops: &mut [f64],
    pieces: &mut Pieces<T>,
) {
    let (m, size) = (tops.len(), pieces.rows);
    (h.par_chunks(size).zip(pieces.partial.par_chunks_mut(m)))
        .zip(pieces.scratch.par_chunks_mut(scratch_rows(m) * m))
        .enumerate()
        .for_each(|(piece, ((h, tops), scratch))| {
            top_piece(geometry, h, piece * size, tops, scratch);
        });
    combine(&pieces.partial, m, tops, f64::NEG_INFINITY, f64::max);
}

/// Σ_i exp((h_i − C_ij − top_j)/ε) of each column, into `sums`.
pub(crate) fn column_sums<T: Real>(
    geometry: &dyn Geometry<T>,
    epsilon: f64,
    h: &[T],
    tops: &[T],
    sums: &mut [f64],
    pieces: &mut Pieces<T>,
) {
    let (m, size) = (tops.len(), pieces.rows);
    let factor = factor(epsilon);
    (h.par_chunks(size).zip(pieces.partial.par_chunks_mut(m)))
        .zip(pieces.scratch.par_chunks_mut(scratch_rows(m) * m))
        .enumerate()
        .for_each(|(piece, ((h, sums), scratch))| {
            sum_piece(geometry, h, tops, factor, piece * size, sums, scratch);
        });
    combine(&pieces.partial, m, sums, 0.0, |a, b| a + b);
}
