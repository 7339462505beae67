//! Weights in the order the kernels read them: panels of 32 columns, `[panel, k, 32]`, zeros beyond the last.

use std::ops::Range;

use rayon::prelude::*;
use swav_core::simd::{self, Simd, WithSimd};

use super::direct::Phase;
use super::winograd::{POINTS, transform_weights};
use crate::gemm::PANEL;
use crate::shapes::ConvShape;

/// Values of a channel transposed at a time: a cache line, so that the lines of several channels are under way.
const BLOCK: usize = 16;

/// Values of `columns` columns of length `width`, packed.
pub(crate) fn packed_len(columns: usize, width: usize) -> usize {
    columns.div_ceil(PANEL) * width * PANEL
}

/// Columns are output channels: `packed[panel, window value, channel]` from `w[channel, window value]`.
pub(crate) fn forward(packed: &mut [f32], s: &ConvShape, w: &[f32]) {
    let width = s.window();
    packed.par_chunks_exact_mut(width * PANEL).enumerate().for_each(|(panel, packed)| {
        let channels = PANEL.min(s.k - panel * PANEL);
        let w = &w[panel * PANEL * width..][..channels * width];
        if channels < PANEL {
            packed.fill(0.0);
        }
        for (block, packed) in packed.chunks_mut(BLOCK * PANEL).enumerate() {
            for (channel, w) in w.chunks_exact(width).enumerate() {
                transpose(packed, &w[block * BLOCK..], channel);
            }
        }
    });
}

/// Writes a row into a column of a packed block.
#[inline(always)]
fn transpose(packed: &mut [f32], w: &[f32], channel: usize) {
    if let (Ok(packed), Some(w)) =
        (<&mut [f32; BLOCK * PANEL]>::try_from(&mut *packed), w.first_chunk::<BLOCK>())
    {
        for i in 0..BLOCK {
            packed[i * PANEL + channel % PANEL] = w[i];
        }
    } else {
        for (row, &value) in packed.chunks_exact_mut(PANEL).zip(w) {
            row[channel] = value;
        }
    }
}

/// Columns are input channels: `packed[panel, tap, output channel, input channel]`, taps in the order the phase
/// meets them.
pub(crate) fn backward(packed: &mut [f32], s: &ConvShape, phase: &Phase, w: &[f32]) {
    let taps = phase.gather.ny * phase.gather.nx;
    if taps == 0 {
        return;
    }
    packed.par_chunks_exact_mut(taps * s.k * PANEL).enumerate().for_each(|(panel, packed)| {
        let channels = PANEL.min(s.c - panel * PANEL);
        for (tap, packed) in packed.chunks_exact_mut(s.k * PANEL).enumerate() {
            let tap = phase.kernel_tap(tap, s);
            for (k, row) in packed.chunks_exact_mut(PANEL).enumerate() {
                let at = (k * s.r * s.r + tap) * s.c + panel * PANEL;
                row[..channels].copy_from_slice(&w[at..at + channels]);
                row[channels..].fill(0.0);
            }
        }
    });
}

/// Transformed weights for the forward direction, `[panel, point, input channel, output channel]`.
pub(crate) fn winograd_forward(packed: &mut [f32], s: &ConvShape, w: &[f32]) {
    packed.par_chunks_exact_mut(POINTS * s.c * PANEL).enumerate().for_each(|(panel, packed)| {
        let channels = panel * PANEL..s.k.min((panel + 1) * PANEL);
        if channels.len() < PANEL {
            packed.fill(0.0);
        }
        simd::run(TransformForward {
            packed,
            w: &w[channels.start * 9 * s.c..channels.end * 9 * s.c],
            c: s.c,
        });
    });
}

/// Transformed flipped weights for the input gradient, `[panel, point, output channel, input channel]`.
pub(crate) fn winograd_backward(packed: &mut [f32], s: &ConvShape, w: &[f32]) {
    packed.par_chunks_exact_mut(POINTS * s.k * PANEL).enumerate().for_each(|(panel, packed)| {
        let channels = panel * PANEL..s.c.min((panel + 1) * PANEL);
        if channels.len() < PANEL {
            packed.fill(0.0);
        }
        simd::run(TransformBackward { packed, w, c: s.c, channels });
    });
}

/// The weights of some output channels, `w[channel, 9, c]`, c a multiple of 16.
struct TransformForward<'a> {
    packed: &'a mut [f32],
    w: &'a [f32],
    c: usize,
}

impl WithSimd for TransformForward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        for first in (0..self.c).step_by(lanes) {
            for (channel, w) in self.w.chunks_exact(9 * self.c).enumerate() {
                let mut g = [simd.splat_f32s(0.0); 9];
                for tap in 0..9 {
                    g[tap] = S::as_simd_f32s(&w[tap * self.c + first..][..lanes]).0[0];
                }
                let u = transform_weights(simd, g);
                for (point, &u) in u.iter().enumerate() {
                    let mut values = [0.0; 16];
                    S::as_mut_simd_f32s(&mut values).0[0] = u;
                    let rows =
                        &mut self.packed[(point * self.c + first) * PANEL..][..lanes * PANEL];
                    for (row, value) in rows.chunks_exact_mut(PANEL).zip(values) {
                        row[channel] = value;
                    }
                }
            }
        }
    }
}

/// The weights of all output channels for some input channels, a multiple of 16 of them.
struct TransformBackward<'a> {
    packed: &'a mut [f32],
    w: &'a [f32],
    c: usize,
    channels: Range<usize>,
}

impl WithSimd for TransformBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, step) = (S::F32_LANES, self.packed.len() / POINTS);
        for (k, w) in self.w.chunks_exact(9 * self.c).enumerate() {
            for first in (0..self.channels.len()).step_by(lanes) {
                let mut g = [simd.splat_f32s(0.0); 9];
                for tap in 0..9 {
                    let at = (8 - tap) * self.c + self.channels.start + first;
                    g[tap] = S::as_simd_f32s(&w[at..at + lanes]).0[0];
                }
                let u = transform_weights(simd, g);
                for (point, &u) in u.iter().enumerate() {
                    let at = point * step + k * PANEL + first;
                    S::as_mut_simd_f32s(&mut self.packed[at..at + lanes]).0[0] = u;
                }
            }
        }
    }
}
