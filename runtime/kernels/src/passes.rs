//! The inner loops of batch normalisation. Each walks long rows; per-channel arrays have the length of one. The
//! loops are plain, compiled once for every instruction set.

use swav_core::simd::{Simd, WithSimd};

use crate::element::Element;
use crate::shapes::Write;

/// `sum += Σ x`, `squares += Σ x²`.
pub(crate) struct Sums<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) sum: &'a mut [T],
    pub(crate) squares: &'a mut [T],
}

impl<T: Element> WithSimd for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let long = self.sum.len();
        for x in self.x.chunks(long) {
            let n = x.len();
            let (sum, squares) = (&mut self.sum[..n], &mut self.squares[..n]);
            for j in 0..n {
                sum[j] += x[j];
                squares[j] += x[j] * x[j];
            }
        }
    }
}

/// `out = (x − mean) · slope + shift (+ residual)`, then the ReLU.
pub(crate) struct Apply<'a, T> {
    pub(crate) out: &'a mut [T],
    pub(crate) x: &'a [T],
    pub(crate) residual: Option<&'a [T]>,
    pub(crate) mean: &'a [T],
    pub(crate) slope: &'a [T],
    pub(crate) shift: &'a [T],
    pub(crate) relu: bool,
}

/// max(v, 0) that keeps NaN, as in PyTorch.
#[inline(always)]
fn rectify<T: Element>(v: T) -> T {
    if v < T::ZERO { T::ZERO } else { v }
}

impl<T: Element> WithSimd for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let long = self.mean.len();
        let mut at = 0;
        for (out, x) in self.out.chunks_mut(long).zip(self.x.chunks(long)) {
            let n = out.len();
            let (x, mean, slope, shift) =
                (&x[..n], &self.mean[..n], &self.slope[..n], &self.shift[..n]);
            match (self.residual, self.relu) {
                (None, false) => {
                    for j in 0..n {
                        out[j] = (x[j] - mean[j]) * slope[j] + shift[j];
                    }
                }
                (None, true) => {
                    for j in 0..n {
                        out[j] = rectify((x[j] - mean[j]) * slope[j] + shift[j]);
                    }
                }
                (Some(residual), false) => {
                    let residual = &residual[at..at + n];
                    for j in 0..n {
                        out[j] = (x[j] - mean[j]) * slope[j] + shift[j] + residual[j];
                    }
                }
                (Some(residual), true) => {
                    let residual = &residual[at..at + n];
                    for j in 0..n {
                        out[j] = rectify((x[j] - mean[j]) * slope[j] + shift[j] + residual[j]);
                    }
                }
            }
            at += n;
        }
    }
}

/// The gradient that passes the ReLU.
#[inline(always)]
fn passed<T: Element>(dy: T, out: T) -> T {
    if out > T::ZERO { dy } else { T::ZERO }
}

/// `sum += Σ dz`, `product += Σ dz · (x − mean)`; with `out`, dz is dy where out > 0.
pub(crate) struct BackwardSums<'a, T> {
    pub(crate) dy: &'a [T],
    pub(crate) out: Option<&'a [T]>,
    pub(crate) x: &'a [T],
    pub(crate) mean: &'a [T],
    pub(crate) sum: &'a mut [T],
    pub(crate) product: &'a mut [T],
}

impl<T: Element> WithSimd for BackwardSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let long = self.mean.len();
        let mut at = 0;
        for (dy, x) in self.dy.chunks(long).zip(self.x.chunks(long)) {
            let n = dy.len();
            let (x, mean) = (&x[..n], &self.mean[..n]);
            let (sum, product) = (&mut self.sum[..n], &mut self.product[..n]);
            if let Some(out) = self.out {
                let out = &out[at..at + n];
                for j in 0..n {
                    let dz = passed(dy[j], out[j]);
                    sum[j] += dz;
                    product[j] += dz * (x[j] - mean[j]);
                }
            } else {
                for j in 0..n {
                    sum[j] += dy[j];
                    product[j] += dy[j] * (x[j] - mean[j]);
                }
            }
            at += n;
        }
    }
}

/// `dx = slope · dz + bend · (x − mean) + level`, residual = or += dz.
pub(crate) struct BackwardApply<'a, T> {
    pub(crate) dx: &'a mut [T],
    pub(crate) residual: Option<(&'a mut [T], Write)>,
    pub(crate) dy: &'a [T],
    pub(crate) out: Option<&'a [T]>,
    pub(crate) x: &'a [T],
    pub(crate) mean: &'a [T],
    pub(crate) slope: &'a [T],
    pub(crate) bend: &'a [T],
    pub(crate) level: &'a [T],
}

impl<T: Element> WithSimd for BackwardApply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let long = self.mean.len();
        let mut at = 0;
        for dx in self.dx.chunks_mut(long) {
            let n = dx.len();
            let (dy, x, mean) = (&self.dy[at..at + n], &self.x[at..at + n], &self.mean[..n]);
            let (slope, bend, level) = (&self.slope[..n], &self.bend[..n], &self.level[..n]);
            // dz first, into dx; the row stays in the first-level cache.
            if let Some(out) = self.out {
                let out = &out[at..at + n];
                for j in 0..n {
                    dx[j] = passed(dy[j], out[j]);
                }
            } else {
                dx.copy_from_slice(dy);
            }
            if let Some((residual, write)) = &mut self.residual {
                let residual = &mut residual[at..at + n];
                if *write == Write::Assign {
                    residual.copy_from_slice(dx);
                } else {
                    for j in 0..n {
                        residual[j] += dx[j];
                    }
                }
            }
            for j in 0..n {
                dx[j] = slope[j] * dx[j] + bend[j] * (x[j] - mean[j]) + level[j];
            }
            at += n;
        }
    }
}
