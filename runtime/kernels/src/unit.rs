//! Projection on the unit sphere.

use crate::element::Element;

/// Smallest norm a vector is divided by, as in `torch.nn.functional.normalize`.
const FLOOR: f64 = 1e-12;

/// `y = x / max(‖x‖, 1e-12)` for every row of `d` values; `norms` receives the divisors.
#[inline(never)]
pub fn l2_forward<T: Element>(y: &mut [T], x: &[T], d: usize, norms: &mut [T]) {
    assert!(
        d > 0 && y.len() == x.len() && x.len() == norms.len() * d,
        "l2_forward: {} of {} values, {} norms of {d}",
        y.len(),
        x.len(),
        norms.len()
    );
    for ((y, x), norm) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(norms) {
        let squares: f64 = x.iter().map(|v| v.to_f64() * v.to_f64()).sum();
        *norm = T::from_f64(squares.sqrt().max(FLOOR));
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x / *norm);
    }
}

/// `dx = (dy − y ⟨y, dy⟩) / norm`; at the floor the norm is constant and `dx = dy / norm`.
#[inline(never)]
pub fn l2_backward<T: Element>(dx: &mut [T], dy: &[T], y: &[T], norms: &[T], d: usize) {
    assert!(
        d > 0 && dx.len() == dy.len() && dy.len() == y.len() && y.len() == norms.len() * d,
        "l2_backward: {}, {}, {} values, {} norms of {d}",
        dx.len(),
        dy.len(),
        y.len(),
        norms.len()
    );
    let rows = dx.chunks_exact_mut(d).zip(dy.chunks_exact(d)).zip(y.chunks_exact(d)).zip(norms);
    for (((dx, dy), y), &norm) in rows {
        let floored = norm.to_f64() <= T::from_f64(FLOOR).to_f64();
        let dot: f64 = if floored {
            0.0
        } else {
            y.iter().zip(dy).map(|(y, g)| y.to_f64() * g.to_f64()).sum()
        };
        let dot = T::from_f64(dot);
        for ((dx, &g), &y) in dx.iter_mut().zip(dy).zip(y) {
            *dx = (g - y * dot) / norm;
        }
    }
}
