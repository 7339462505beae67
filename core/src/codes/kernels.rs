//! What codes need besides the passes of transport: the range of the scores, and the codes themselves.

use crate::real::Real;
use crate::rows::{row_max, row_scale};
use crate::simd::{Simd, kernel, sweep};

/// Largest (max S − min S)/ε of the kernel domain. With range r and u at most 1, a row's sum lies in [e⁻ʳ, K], in the
/// range that the passes accept (1e-18 or 1e-150 to its inverse). A product that falls below the type's smallest normal
/// number is lost against a sum of at least e⁻ʳ.
pub(super) fn range_limit<T: Real>() -> f64 {
    if T::EPSILON.to_f64() > 1e-10 { 40.0 } else { 340.0 }
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

/// z = s + g of one row, written to `z`; returns the largest.
#[inline(always)]
fn relative<T: Real, S: Simd>(s: S, scores: &[T], g: &[T], z: &mut [T]) -> T {
    sweep!(s: S, T, g.len(); read [x in scores, T::ZERO; g in g, T::ZERO] update []
        write [z in z] { (T::vadd(s, x, g),) });
    row_max(s, z)
}

kernel! {
    /// Q_bk = exp((s_bk + g_k)/ε), each row divided by its sum.
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
