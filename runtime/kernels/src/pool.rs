//! Max and average pooling over NHWC maps.

use rayon::prelude::*;
use swav_core::simd::{self, Simd, WithSimd};

use crate::element::Element;
use crate::shapes::PoolShape;

/// Maximum of every window; `argmax` is its place `row · r + column` in the window, the first one on ties, and a
/// NaN wins, as in PyTorch.
#[inline(never)]
pub fn max_pool_forward<T: Element>(s: &PoolShape, y: &mut [T], x: &[T], argmax: &mut [u8]) {
    s.check("max_pool_forward", x.len(), y.len(), argmax.len());
    let line = s.ow() * s.c;
    if y.is_empty() {
        return;
    }
    y.par_chunks_mut(line).zip(argmax.par_chunks_mut(line)).enumerate().for_each(
        |(row, (y, argmax))| {
            simd::run(MaxRow { s, x, image: row / s.oh(), i: row % s.oh(), y, argmax });
        },
    );
}

/// Channels compared at a time.
const GROUP: usize = 64;

/// One row of one image of the output.
struct MaxRow<'a, T> {
    s: &'a PoolShape,
    x: &'a [T],
    image: usize,
    i: usize,
    y: &'a mut [T],
    argmax: &'a mut [u8],
}

impl<T: Element> WithSimd for MaxRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let s = self.s;
        for j in 0..s.ow() {
            for first in (0..s.c).step_by(GROUP) {
                let here = GROUP.min(s.c - first);
                let at = j * s.c + first;
                // Places as wide as the values: the comparison's mask serves both.
                let (mut best, mut place) = ([T::ZERO; GROUP], [0u32; GROUP]);
                let (mut count, best) = (0, &mut best[..here]);
                for (index, start) in window(s, self.image, self.i, j) {
                    let x = &self.x[start + first..start + first + here];
                    if count == 0 {
                        best.copy_from_slice(x);
                        place[..here].fill(u32::from(index));
                    } else {
                        let place = &mut place[..here];
                        for c in 0..here {
                            let wins = (x[c] > best[c]) | (is_nan(x[c]) & !is_nan(best[c]));
                            best[c] = if wins { x[c] } else { best[c] };
                            place[c] = if wins { u32::from(index) } else { place[c] };
                        }
                    }
                    count += 1;
                }
                self.y[at..at + here].copy_from_slice(best);
                for (argmax, &place) in self.argmax[at..at + here].iter_mut().zip(&place) {
                    *argmax = place as u8;
                }
            }
        }
    }
}

#[inline(always)]
fn is_nan<T: Element>(x: T) -> bool {
    // Not `partial_cmp`, which is not compiled to one comparison.
    #[allow(clippy::eq_op)]
    let differs = x != x;
    differs
}

/// The places of a window inside the map, and where in the input each begins.
#[inline(always)]
fn window(s: &PoolShape, image: usize, i: usize, j: usize) -> impl Iterator<Item = (u8, usize)> {
    let s = *s;
    (0..s.r * s.r).filter_map(move |place| {
        let (y, x) = (i * s.stride + place / s.r, j * s.stride + place % s.r);
        let inside = y >= s.pad && y < s.h + s.pad && x >= s.pad && x < s.w + s.pad;
        inside.then(|| (place as u8, ((image * s.h + y - s.pad) * s.w + x - s.pad) * s.c))
    })
}

/// Every output's gradient goes to the input it was taken from: `dx` is overwritten. One task an image.
#[inline(never)]
pub fn max_pool_backward<T: Element>(s: &PoolShape, dx: &mut [T], dy: &[T], argmax: &[u8]) {
    s.check("max_pool_backward", dx.len(), dy.len(), argmax.len());
    let (c, image_in, image_out) = (s.c, s.h * s.w * s.c, s.oh() * s.ow() * s.c);
    if dx.is_empty() {
        return;
    }
    dx.par_chunks_mut(image_in).enumerate().for_each(|(image, dx)| {
        dx.fill(T::ZERO);
        let (dy, argmax) =
            (&dy[image * image_out..][..image_out], &argmax[image * image_out..][..image_out]);
        for (pixel, (dy, argmax)) in dy.chunks_exact(c).zip(argmax.chunks_exact(c)).enumerate() {
            let (i, j) = (pixel / s.ow(), pixel % s.ow());
            for (place, at) in window(s, 0, i, j) {
                for ((dx, &g), &winner) in dx[at..at + c].iter_mut().zip(dy).zip(argmax) {
                    *dx += if winner == place { g } else { T::ZERO };
                }
            }
        }
    });
}

/// Mean over the `hw` pixels of every image and channel: x: `[n, hw, c]`, y: `[n, c]`.
#[inline(never)]
pub fn avg_pool_forward<T: Element>(n: usize, hw: usize, c: usize, y: &mut [T], x: &[T]) {
    assert!(
        hw > 0 && c > 0 && x.len() == n * hw * c && y.len() == n * c,
        "avg_pool_forward: {} of {} values for {n}x{hw}x{c}",
        y.len(),
        x.len()
    );
    let share = T::from_f64(1.0 / hw as f64);
    y.par_chunks_mut(c).zip(x.par_chunks(hw * c)).for_each(|(y, x)| {
        y.fill(T::ZERO);
        for pixel in x.chunks_exact(c) {
            y.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += v);
        }
        y.iter_mut().for_each(|sum| *sum *= share);
    });
}

/// Gradient of [`avg_pool_forward`]: `dx` is overwritten.
#[inline(never)]
pub fn avg_pool_backward<T: Element>(n: usize, hw: usize, c: usize, dx: &mut [T], dy: &[T]) {
    assert!(
        hw > 0 && c > 0 && dx.len() == n * hw * c && dy.len() == n * c,
        "avg_pool_backward: {} of {} values for {n}x{hw}x{c}",
        dy.len(),
        dx.len()
    );
    let share = T::from_f64(1.0 / hw as f64);
    dx.par_chunks_mut(hw * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
        for pixel in dx.chunks_exact_mut(c) {
            pixel.iter_mut().zip(dy).for_each(|(dx, &g)| *dx = g * share);
        }
    });
}
