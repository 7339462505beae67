//! Passes over the rows of one piece, for any instruction set.

use alloc::vec::Vec;

use crate::chunks::ROWS;
use crate::real::Real;
use crate::rows::row_scale;
use crate::simd::{Simd, kernel, sweep};

/// Memory of the iteration.
pub(super) struct Work<T> {
    /// f + ε ln a of each row.
    pub(super) shifted: Vec<T>,
    /// g, or the largest entry, of each column.
    pub(super) columns: Vec<T>,
    /// What each piece of rows found for each column.
    pub(super) partial: Vec<T>,
    /// One row for each piece.
    pub(super) scratch: Vec<T>,
    /// ⟨C, P⟩ of each piece.
    pub(super) linear: Vec<f64>,
}

impl<T: Real> Work<T> {
    pub(super) fn new(n: usize, m: usize) -> Self {
        let pieces = n.div_ceil(ROWS);
        let zeros = |length| alloc::vec![T::ZERO; length];
        Work {
            shifted: zeros(n),
            columns: zeros(m),
            partial: zeros(pieces * m),
            scratch: zeros(pieces * m),
            linear: alloc::vec![0.0; pieces],
        }
    }
}

/// What every row is measured against.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a, T> {
    pub(super) g: &'a [T],
    pub(super) ln_b: &'a [T],
    /// 1/ε
    pub(super) factor: T,
    pub(super) epsilon: f64,
}

kernel! {
    /// Largest h_i − C_ij over the rows.
    pub(super) fn tops<'a, T, S>(s, cost: &'a [T], shifted: &'a [T], tops: &'a mut [T],) -> () {
        tops.fill(-T::INFINITY);
        let m = tops.len();
        for (row, &h) in cost.chunks_exact(m).zip(shifted) {
            let h = T::splat(s, h);
            sweep!(s: S, T, m; read [c in row, T::ZERO] update [top in tops, T::ZERO] write [] {
                (T::vmax(s, top, T::vsub(s, h, c)),)
            });
        }
    }
}

kernel! {
    /// Sums over the rows of exp((h_i − C_ij − top_j)/ε).
    pub(super) fn sums<'a, T, S>(
        s, cost: &'a [T], shifted: &'a [T], tops: &'a [T], factor: T, sums: &'a mut [T],
    ) -> () {
        sums.fill(T::ZERO);
        let m = sums.len();
        let factor = T::splat(s, factor);
        for (row, &h) in cost.chunks_exact(m).zip(shifted) {
            let h = T::splat(s, h);
            sweep!(s: S, T, m; read [c in row, T::ZERO; top in tops, T::ZERO]
                update [sum in sums, T::ZERO] write [] {
                    let z = T::vsub(s, T::vsub(s, h, c), top);
                    (T::vadd(s, sum, T::vexp(s, T::vmul(s, z, factor))),)
                });
        }
    }
}

/// e_j = exp(z_j − max z) with z_j = (g_j − C_j)/ε + ln b_j; returns max z and Σ e.
#[inline(always)]
fn exponentials<T: Real, S: Simd>(s: S, cost: &[T], at: Columns<'_, T>, e: &mut [T]) -> (T, T) {
    let factor = T::splat(s, at.factor);
    let mut top = T::splat(s, -T::INFINITY);
    sweep!(s: S, T, cost.len();
    read [c in cost, T::ZERO; g in at.g, T::ZERO; ln_b in at.ln_b, -T::INFINITY]
    update [] write [z in e] {
        let z = T::vfma(s, T::vsub(s, g, c), factor, ln_b);
        top = T::vmax(s, top, z);
        (z,)
    });
    let most = T::max_lanes(s, top);
    let (top, mut sum) = (T::splat(s, most), T::splat(s, T::ZERO));
    sweep!(s: S, T, cost.len(); read [] update [e in e, -T::INFINITY] write [] {
        let e = T::vexp(s, T::vsub(s, e, top));
        sum = T::vadd(s, sum, e);
        (e,)
    });
    (most, T::sum_lanes(s, sum))
}

kernel! {
    /// f of some rows, the sums over them of the plan's columns, and their part of ⟨C, P⟩.
    pub(super) fn rows<'a, T, S>(
        s, cost: &'a [T], a: &'a [f64], at: Columns<'a, T>,
        f: &'a mut [f64], sums: &'a mut [T], e: &'a mut [T],
    ) -> f64 {
        sums.fill(T::ZERO);
        let m = sums.len();
        let mut linear = 0.0;
        for ((row, &a), f) in cost.chunks_exact(m).zip(a).zip(f) {
            let (top, sum) = exponentials(s, row, at, e);
            *f = -at.epsilon * (top.to_f64() + Real::ln(sum.to_f64()));
            if a == 0.0 {
                continue;
            }
            let scale = a / sum.to_f64();
            let (v, mut dot) = (T::splat(s, T::from_f64(scale)), T::splat(s, T::ZERO));
            sweep!(s: S, T, m; read [c in row, T::ZERO; e in &*e, T::ZERO]
                update [sum in sums, T::ZERO] write [] {
                    dot = T::vfma(s, e, c, dot);
                    (T::vfma(s, e, v, sum),)
                });
            linear += scale * T::sum_lanes(s, dot).to_f64();
        }
        linear
    }
}

kernel! {
    /// P_ij = a_i e_ij / Σ_j e_ij.
    pub(super) fn plan<'a, T, S>(
        s, cost: &'a [T], a: &'a [f64], at: Columns<'a, T>, plan: &'a mut [T],
    ) -> () {
        let m = at.g.len();
        for ((row, &a), p) in cost.chunks_exact(m).zip(a).zip(plan.chunks_exact_mut(m)) {
            let (_, sum) = exponentials(s, row, at, p);
            row_scale(s, p, T::from_f64(a / sum.to_f64()));
        }
    }
}
