//! Gaussian blur of a plane, separable, in one sweep: rows are blurred horizontally into a ring of 2r + 1 rows
//! that stays in the nearest cache, and each output row is combined from the ring. Edges repeat.
//!
//! The kernel is the sampled Gaussian up to r = ⌈3σ⌉, normalised. Pillow's `GaussianBlur(σ)` approximates the
//! same Gaussian by three box passes; the two differ by a few levels at sharp edges.

use swav_core::simd::Simd;

use crate::rng::exp;

/// Memory of a blur, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Blur {
    weights: Vec<f32>,
    padded: Vec<f32>,
    ring: Vec<f32>,
    combined: Vec<f32>,
    taps: Vec<Tap>,
}

impl Blur {
    /// Prepares the kernel of standard deviation `sigma` > 0 for planes of `width` columns.
    pub(crate) fn prepare(&mut self, sigma: f64, width: usize) {
        let radius = (3.0 * sigma).ceil() as usize;
        let weight = |k: usize| exp(-((k * k) as f64 / (2.0 * sigma * sigma)).min(700.0));
        let total: f64 = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f64>();
        self.weights.clear();
        self.weights.extend((0..=radius).map(|k| (weight(k) / total) as f32));
        // Rows are rounded up to whole blocks; what is computed past their end is never looked at.
        let stride = width.next_multiple_of(BLOCK);
        self.padded.resize(stride + 2 * radius, 0.0);
        self.combined.resize(stride, 0.0);
        self.ring.resize(stride * (2 * radius + 1), 0.0);
    }

    /// Blurs a plane of rows of `width` values in place.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&mut self, simd: S, plane: &mut [f32], width: usize) {
        let height = plane.len() / width;
        let radius = self.weights.len() - 1;
        let rows = 2 * radius + 1;
        let stride = width.next_multiple_of(BLOCK);
        let (weights, padded) = (&self.weights[..], &mut self.padded[..]);
        let (ring, combined) = (&mut self.ring[..], &mut self.combined[..stride]);
        let taps = &mut self.taps;
        for y in 0..height {
            let first_new = if y == 0 { 0 } else { y + radius };
            for new in first_new..=(y + radius).min(height - 1) {
                let row = &plane[new * width..(new + 1) * width];
                padded[..radius].fill(row[0]);
                padded[radius..radius + width].copy_from_slice(row);
                padded[radius + width..].fill(row[width - 1]);
                taps.clear();
                taps.extend(weights.iter().enumerate().map(|(k, &w)| (w, radius - k, radius + k)));
                let slot = new % rows * stride;
                fold(simd, &mut ring[slot..slot + stride], padded, taps);
            }
            taps.clear();
            taps.extend(weights.iter().enumerate().map(|(k, &w)| {
                let (above, below) = (y.saturating_sub(k), (y + k).min(height - 1));
                (w, above % rows * stride, below % rows * stride)
            }));
            fold(simd, combined, ring, taps);
            plane[y * width..(y + 1) * width].copy_from_slice(&combined[..width]);
        }
    }
}

/// Rows are padded to a multiple of this many columns: two registers of the widest instruction set.
const BLOCK: usize = 32;

/// Weight of a tap, and where its two rows begin.
type Tap = (f32, usize, usize);

/// out = w₀ · a₀ + Σₖ wₖ (aₖ + bₖ), where aₖ and bₖ begin in `rows` where tap k says (a₀ = b₀). Two registers of
/// columns stay put while the taps pass; products are not fused, so that all instruction sets give the
/// same bits.
#[inline(always)]
fn fold<S: Simd>(simd: S, out: &mut [f32], rows: &[f32], taps: &[Tap]) {
    let pair = |at: usize| {
        let vectors = S::as_simd_f32s(&rows[at..at + 2 * S::F32_LANES]).0;
        (vectors[0], vectors[1])
    };
    let (&(weight, centre, _), taps) = taps.split_first().expect("a kernel has a centre");
    let first = simd.splat_f32s(weight);
    for (block, out) in S::as_mut_simd_f32s(out).0.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let x = block * 2 * S::F32_LANES;
        let c = pair(centre + x);
        let mut sum = (simd.mul_f32s(first, c.0), simd.mul_f32s(first, c.1));
        for &(weight, a, b) in taps {
            let (w, a, b) = (simd.splat_f32s(weight), pair(a + x), pair(b + x));
            sum.0 = simd.add_f32s(sum.0, simd.mul_f32s(w, simd.add_f32s(a.0, b.0)));
            sum.1 = simd.add_f32s(sum.1, simd.mul_f32s(w, simd.add_f32s(a.1, b.1)));
        }
        *out = [sum.0, sum.1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: a full two-dimensional sum in f64 with repeated edges.
    fn reference(plane: &[f32], width: usize, sigma: f64) -> Vec<f64> {
        let height = plane.len() / width;
        let r = (3.0 * sigma).ceil() as i64;
        let w = |k: i64| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp();
        let total: f64 = (-r..=r).map(w).sum();
        let at = |x: i64, y: i64| {
            let (x, y) = (x.clamp(0, width as i64 - 1), y.clamp(0, height as i64 - 1));
            f64::from(plane[y as usize * width + x as usize])
        };
        (0..plane.len() as i64)
            .map(|i| {
                let (x, y) = (i % width as i64, i / width as i64);
                let row = |dy: i64| (-r..=r).map(|dx| w(dx) * at(x + dx, y + dy)).sum::<f64>();
                (-r..=r).map(|dy| w(dy) * row(dy)).sum::<f64>() / (total * total)
            })
            .collect()
    }

    #[test]
    fn a_blur_is_the_normalised_gaussian_sum() {
        for (width, height) in [(14, 14), (35, 20), (3, 2), (1, 1)] {
            let plane: Vec<f32> = (0..width * height).map(|i| (i * 97 % 256) as f32).collect();
            for sigma in [0.05, 0.1, 0.7, 2.0, 5.0] {
                let mut blurred = plane.clone();
                let mut blur = Blur::default();
                blur.prepare(sigma, width);
                blur.apply(pulp::Scalar, &mut blurred, width);
                // Two passes of 2r + 1 terms each, values below 256, r <= 15.
                let bound = 2.0 * 31.0 * 256.0 * f64::from(f32::EPSILON);
                for (got, expected) in blurred.iter().zip(reference(&plane, width, sigma)) {
                    assert!((f64::from(*got) - expected).abs() < bound, "{width}x{height} {sigma}");
                }
            }
        }
    }
}
