//! The passes of the iteration over the rows of one piece, for any instruction set.

use crate::real::Real;
use crate::rows::{row_dot, row_max, row_scale};
use crate::simd::{Simd, kernel, sweep};

/// Largest (max S − min S)/ε of the kernel domain. With range r, sums over rows lie in [e⁻ʳ, K],
/// sums over the samples of a piece in [e⁻ʳ/K, 32 eʳ]: all normal numbers. A product that falls
/// below them is at most the type's smallest normal number, against a sum of at least e⁻ʳ.
pub(super) fn range_limit<T: Real>() -> f64 {
    if T::EPSILON.to_f64() > 1e-10 { 60.0 } else { 600.0 }
}

kernel! {
    /// [largest, smallest, 0 or NaN]: the last is NaN when a score is not finite.
    pub(super) fn range<'a, T, S>(s, scores: &'a [T],) -> [T; 3] {
        let zero = T::splat(s, T::ZERO);
        let (lowest, highest) = (T::splat(s, -T::INFINITY), T::splat(s, T::INFINITY));
        let (mut top, mut bottom, mut bad) = ([lowest; 4], [highest; 4], [zero; 4]);
        let (head, tail) = T::split::<S>(scores);
        let (fours, rest) = head.as_chunks::<4>();
        for four in fours {
            for i in 0..4 {
                top[i] = T::vmax(s, top[i], four[i]);
                bottom[i] = T::vmin(s, bottom[i], four[i]);
                bad[i] = T::vfma(s, four[i], zero, bad[i]);
            }
        }
        let end = tail.first().map(|&first| T::load_tail(s, tail, first));
        for v in rest.iter().copied().chain(end) {
            top[0] = T::vmax(s, top[0], v);
            bottom[0] = T::vmin(s, bottom[0], v);
            bad[0] = T::vfma(s, v, zero, bad[0]);
        }
        for i in 1..4 {
            top[0] = T::vmax(s, top[0], top[i]);
            bottom[0] = T::vmin(s, bottom[0], bottom[i]);
            bad[0] = T::vadd(s, bad[0], bad[i]);
        }
        [T::max_lanes(s, top[0]), T::min_lanes(s, bottom[0]), T::sum_lanes(s, bad[0])]
    }
}

kernel! {
    /// M = exp((S − top) · factor), and its sums over the rows.
    pub(super) fn start<'a, T, S>(
        s, scores: &'a [T], top: T, factor: T, kernel: &'a mut [T], sums: &'a mut [T],
    ) -> () {
        sums.fill(T::ZERO);
        let columns = sums.len();
        let (top, factor) = (T::splat(s, top), T::splat(s, factor));
        let rows = scores.chunks_exact(columns).zip(kernel.chunks_exact_mut(columns));
        for (scores, kernel) in rows {
            sweep!(s: S, T, columns; read [x in scores, T::ZERO] update [sum in sums, T::ZERO]
                write [m in kernel] {
                    let m = T::vexp(s, T::vmul(s, T::vsub(s, x, top), factor));
                    (T::vadd(s, sum, m), m)
                });
        }
    }
}

kernel! {
    /// Sums over the rows of M_bk / Σ_j M_bj u_j.
    pub(super) fn balance<'a, T, S>(s, kernel: &'a [T], u: &'a [T], sums: &'a mut [T],) -> () {
        sums.fill(T::ZERO);
        let columns = sums.len();
        for row in kernel.chunks_exact(columns) {
            let v = T::splat(s, T::ONE / row_dot(s, row, u));
            sweep!(s: S, T, columns; read [m in row, T::ZERO] update [sum in sums, T::ZERO]
                write [] { (T::vfma(s, m, v, sum),) });
        }
    }
}

kernel! {
    /// Q_bk = M_bk u_k / Σ_j M_bj u_j.
    pub(super) fn finish<'a, T, S>(s, kernel: &'a [T], u: &'a [T], codes: &'a mut [T],) -> () {
        let columns = u.len();
        for (row, q) in kernel.chunks_exact(columns).zip(codes.chunks_exact_mut(columns)) {
            let mut sum = T::splat(s, T::ZERO);
            sweep!(s: S, T, columns; read [m in row, T::ZERO; u in u, T::ZERO] update []
                write [q in q] {
                    let q = T::vmul(s, m, u);
                    sum = T::vadd(s, sum, q);
                    (q,)
                });
            row_scale(s, q, T::ONE / T::sum_lanes(s, sum));
        }
    }
}

kernel! {
    /// Largest s_bk − f_b over the rows.
    pub(super) fn tops<'a, T, S>(s, scores: &'a [T], f: &'a [T], tops: &'a mut [T],) -> () {
        tops.fill(-T::INFINITY);
        let columns = tops.len();
        for (row, &f) in scores.chunks_exact(columns).zip(f) {
            let f = T::splat(s, f);
            sweep!(s: S, T, columns; read [x in row, T::ZERO] update [top in tops, T::ZERO]
                write [] { (T::vmax(s, top, T::vsub(s, x, f)),) });
        }
    }
}

kernel! {
    /// Sums over the rows of exp((s_bk − f_b − top_k) · factor).
    pub(super) fn sums_log<'a, T, S>(
        s, scores: &'a [T], f: &'a [T], tops: &'a [T], factor: T, sums: &'a mut [T],
    ) -> () {
        sums.fill(T::ZERO);
        let columns = sums.len();
        let factor = T::splat(s, factor);
        for (row, &f) in scores.chunks_exact(columns).zip(f) {
            let f = T::splat(s, f);
            sweep!(s: S, T, columns; read [x in row, T::ZERO; top in tops, T::ZERO]
                update [sum in sums, T::ZERO] write [] {
                    let z = T::vsub(s, T::vsub(s, x, f), top);
                    (T::vadd(s, sum, T::vexp(s, T::vmul(s, z, factor))),)
                });
        }
    }
}

/// z = s − g of one row, written to `z`; returns the largest.
#[inline(always)]
fn relative<T: Real, S: Simd>(s: S, scores: &[T], g: &[T], z: &mut [T]) -> T {
    sweep!(s: S, T, g.len(); read [x in scores, T::ZERO; g in g, T::ZERO] update []
        write [z in z] { (T::vsub(s, x, g),) });
    row_max(s, z)
}

kernel! {
    /// f_b = ε ln Σ_k exp((s_bk − g_k)/ε).
    pub(super) fn samples_log<'a, T, S>(
        s, scores: &'a [T], g: &'a [T], epsilon: f64, f: &'a mut [T],
    ) -> () {
        let factor = T::splat(s, T::from_f64(1.0 / epsilon));
        for (row, f) in scores.chunks_exact(g.len()).zip(f) {
            let mut top = T::splat(s, -T::INFINITY);
            sweep!(s: S, T, g.len(); read [x in row, -T::INFINITY; g in g, T::ZERO] update [] write [] {
                top = T::vmax(s, top, T::vsub(s, x, g));
            });
            let most = T::max_lanes(s, top);
            let (top, mut sum) = (T::splat(s, most), T::splat(s, T::ZERO));
            sweep!(s: S, T, g.len(); read [x in row, -T::INFINITY; g in g, T::ZERO] update [] write [] {
                let z = T::vsub(s, T::vsub(s, x, g), top);
                sum = T::vadd(s, sum, T::vexp(s, T::vmul(s, z, factor)));
            });
            let sum = T::sum_lanes(s, sum).to_f64();
            *f = T::from_f64(most.to_f64() + epsilon * Real::ln(sum));
        }
    }
}

kernel! {
    /// Q_bk = exp((s_bk − g_k)/ε), each row divided by its sum.
    pub(super) fn finish_log<'a, T, S>(
        s, scores: &'a [T], g: &'a [T], factor: T, codes: &'a mut [T],
    ) -> () {
        let factor = T::splat(s, factor);
        let rows = scores.chunks_exact(g.len()).zip(codes.chunks_exact_mut(g.len()));
        for (row, q) in rows {
            let top = T::splat(s, relative(s, row, g, q));
            let mut sum = T::splat(s, T::ZERO);
            sweep!(s: S, T, g.len(); read [] update [q in q, -T::INFINITY] write [] {
                let e = T::vexp(s, T::vmul(s, T::vsub(s, q, top), factor));
                sum = T::vadd(s, sum, e);
                (e,)
            });
            row_scale(s, q, T::ONE / T::sum_lanes(s, sum));
        }
    }
}
