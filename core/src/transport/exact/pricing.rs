//! The search for an arc along which a plan gets cheaper.

use crate::real::Real;
use crate::simd::{Simd, kernel};

/// Columns of one piece: the entry that was found is looked for in a piece, not in the whole row.
const PIECE: usize = 256;

kernel! {
    /// Largest f + g_j − C_j of one row if it is above 0, and its j.
    pub(super) fn most<'a, T, S>(s, cost: &'a [T], f: T, g: &'a [T],) -> Option<(T, usize)> {
        let mut best = (T::ZERO, 0);
        for (piece, (c, g)) in cost.chunks(PIECE).zip(g.chunks(PIECE)).enumerate() {
            let top = most_of_piece(s, c, f, g);
            if top > best.0 {
                best = (top, piece * PIECE);
            }
        }
        let (top, from) = best;
        let mut piece = cost[from..].iter().zip(&g[from..]);
        (top > T::ZERO).then(|| (top, from + piece.position(|(&c, &g)| f + g - c == top).unwrap_or(0)))
    }
}

#[inline(always)]
fn most_of_piece<T: Real, S: Simd>(s: S, cost: &[T], f: T, g: &[T]) -> T {
    let f = T::splat(s, f);
    let mut top = [T::splat(s, -T::INFINITY); 4];
    let ((c, c_tail), (g, g_tail)) = (T::split::<S>(cost), T::split::<S>(g));
    // Four at a time, because one maximum waits for the one before.
    let ((c4, c1), (g4, g1)) = (c.as_chunks::<4>(), g.as_chunks::<4>());
    for (c, g) in c4.iter().zip(g4) {
        for k in 0..4 {
            top[k] = T::vmax(s, top[k], T::vsub(s, T::vadd(s, f, g[k]), c[k]));
        }
    }
    for (&c, &g) in c1.iter().zip(g1) {
        top[0] = T::vmax(s, top[0], T::vsub(s, T::vadd(s, f, g), c));
    }
    if !c_tail.is_empty() {
        let (c, g) = (T::load_tail(s, c_tail, T::INFINITY), T::load_tail(s, g_tail, T::ZERO));
        top[1] = T::vmax(s, top[1], T::vsub(s, T::vadd(s, f, g), c));
    }
    T::max_lanes(s, T::vmax(s, T::vmax(s, top[0], top[1]), T::vmax(s, top[2], top[3])))
}
