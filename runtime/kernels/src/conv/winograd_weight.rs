//! Weight gradient of 3x3 convolutions of stride 1 in f32, by the transpose of minimal filtering.
//!
//! ```text
//! dg = Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ) ] G
//! ```
//!
//! A block of at most 64 x 64 channels keeps its 16 sums in the second-level cache while transformed tiles stream
//! by, 64 at a time. As in the direct gradient, layers of few blocks are cut along the tiles into parts that
//! depend on the shape only, and the task that finishes a block's last part adds them up, in order.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use swav_core::simd::{self, Simd, WithSimd};

use super::winograd::{Inputs, POINTS, Tiles};
use crate::disjoint::Disjoint;
use crate::gemm::{Left, PANEL, PITCH, Panel};
use crate::scratch::Scratch;
use crate::shapes::ConvShape;

/// Most channels on a side of a block.
const BLOCK: usize = 64;
/// Tiles transformed at a time.
const SPAN: usize = 64;
/// A layer is cut along its tiles until it has this many tasks.
const TASKS: usize = 16;
/// But not into parts of fewer tiles.
const LEAST: usize = 4 * SPAN;
/// Input channels whose gradients are written at a time.
const LINE: usize = 16;

/// See [`crate::conv::conv_backward_weight`].
pub(crate) fn backward_weight(
    s: &ConvShape,
    dw: &mut [f32],
    dy: &[f32],
    x: &[f32],
    scratch: &mut Scratch<f32>,
) {
    let (tiles, panels) = (Tiles::new(s.n, s.h, s.w), s.k.div_ceil(PANEL));
    let total = tiles.total();
    let height = s.c.div_ceil(s.c.div_ceil(BLOCK)).next_multiple_of(LINE);
    let (tall, groups) = (s.c.div_ceil(height), s.k.div_ceil(BLOCK));
    let blocks = tall * groups;
    let parts = TASKS.div_ceil(blocks).min(total.div_ceil(LEAST));
    let size = POINTS * height * panels.div_ceil(groups) * PANEL;

    let finished: Vec<AtomicUsize> = (0..blocks).map(|_| AtomicUsize::new(0)).collect();
    let sums = Disjoint::new(scratch.shared.take(blocks * parts * size));
    let dw = Disjoint::new(dw);
    scratch.workers.run(blocks * parts, |local, task| {
        let (block, part) = (task / parts, task % parts);
        let (group, stripe) = (block % groups, block / groups);
        let channels = stripe * height..s.c.min((stripe + 1) * height);
        let panels = panels * group / groups..panels * (group + 1) / groups;
        let here = total * part / parts..total * (part + 1) / parts;

        let panel_len = channels.len() * PANEL;
        // SAFETY: the sums of this block and part are this task's until it is counted as finished.
        let sum = unsafe { sums.piece(task * size, POINTS * panels.len() * panel_len) };
        let spans = here.len().div_ceil(SPAN);
        for span in 0..spans {
            let span_tiles = here.start + here.len() * span / spans
                ..here.start + here.len() * (span + 1) / spans;
            let rows = span_tiles.len();
            let left = local.left.take(POINTS * rows * PITCH);
            let (first, c) = (span_tiles.start, s.c);
            simd::run(Inputs { tiles, first, left: &mut *left, x, c, channels: channels.clone() });
            let right = local.right.take(POINTS * rows * PANEL);
            for (index, panel) in panels.clone().enumerate() {
                let columns = panel * PANEL..s.k.min((panel + 1) * PANEL);
                simd::run(Gradients {
                    tiles,
                    first,
                    right: &mut *right,
                    dy,
                    k: s.k,
                    columns: columns.clone(),
                });
                for point in 0..POINTS {
                    let a = &left[point * rows * PITCH..(point + 1) * rows * PITCH];
                    let b = &right[point * rows * PANEL..(point + 1) * rows * PANEL];
                    let c = &mut sum[(index * POINTS + point) * panel_len..][..panel_len];
                    let (rows, cols) = (channels.len(), columns.len());
                    Panel { left: Left::Columns, a, rows, b, c, cols, first: span == 0 }.run();
                }
            }
        }
        // Release this part, acquire the others'.
        if finished[block].fetch_add(1, Ordering::AcqRel) + 1 < parts {
            return;
        }
        for (index, panel) in panels.clone().enumerate() {
            let at = |part: usize| (block * parts + part) * size + index * POINTS * panel_len;
            for part in 1..parts {
                // SAFETY: all parts of the block are finished (counted above), and only this task counted last.
                let from = unsafe { sums.piece(at(part), POINTS * panel_len) };
                // SAFETY: counting them ordered this after all parts of the block, only the task that counted last
                // gets here, and the first part is not this one.
                let to = unsafe { sums.piece(at(0), POINTS * panel_len) };
                to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
            }
            // SAFETY: counting the parts ordered this after all of them, and only the task that counted last gets here.
            let sum = unsafe { sums.piece(at(0), POINTS * panel_len) };
            let columns = panel * PANEL..s.k.min((panel + 1) * PANEL);
            simd::run(Fold { sum, dw: &dw, c: s.c, channels: channels.clone(), columns });
        }
    });
}

/// `right[point, tile, column] = A dY Aᵀ` of every tile, for the channels of one panel.
struct Gradients<'a> {
    tiles: Tiles,
    first: usize,
    /// `[16, rows, 32]`
    right: &'a mut [f32],
    dy: &'a [f32],
    k: usize,
    columns: Range<usize>,
}

/// Stands for the outputs outside the map.
static ZEROS: [f32; PANEL] = [0.0; PANEL];

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, n) = (S::F32_LANES, self.columns.len());
        let rows = self.right.len() / POINTS / PANEL;
        let step = rows * PANEL / lanes;
        for row in 0..rows {
            let place = self.tiles.place(self.first + row);
            let mut d = [S::as_simd_f32s(&ZEROS[..n]).0; 4];
            for (q, d) in d.iter_mut().enumerate() {
                if let Some(pixel) = self.tiles.pixel(place, (q / 2) as isize, (q % 2) as isize) {
                    let at = pixel * self.k + self.columns.start;
                    *d = S::as_simd_f32s(&self.dy[at..at + n]).0;
                }
            }
            let target = S::as_mut_simd_f32s(&mut self.right[row * PANEL..]).0;
            for v in 0..n / lanes {
                let mut t = [simd.splat_f32s(0.0); 8];
                for b in 0..2 {
                    t[b] = d[b][v];
                    t[2 + b] = simd.add_f32s(d[b][v], d[2 + b][v]);
                    t[4 + b] = simd.sub_f32s(d[b][v], d[2 + b][v]);
                    t[6 + b] = simd.neg_f32s(d[2 + b][v]);
                }
                for a in 0..4 {
                    let (t0, t1) = (t[2 * a], t[2 * a + 1]);
                    target[4 * a * step + v] = t0;
                    target[(4 * a + 1) * step + v] = simd.add_f32s(t0, t1);
                    target[(4 * a + 2) * step + v] = simd.sub_f32s(t0, t1);
                    target[(4 * a + 3) * step + v] = simd.neg_f32s(t1);
                }
            }
        }
    }
}

/// `dw += Gᵀ sum G` for one panel of a block.
struct Fold<'a> {
    /// `[16, channels, 32]`
    sum: &'a [f32],
    dw: &'a Disjoint<'a, f32>,
    c: usize,
    /// A multiple of 16 of them.
    channels: Range<usize>,
    columns: Range<usize>,
}

impl WithSimd for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, per) = (S::F32_LANES, PANEL / S::F32_LANES);
        let (sum, step) = (S::as_simd_f32s(self.sum).0, self.channels.len() * per);
        let mut taps = [[0.0; LINE * PANEL]; 9];
        for first in (0..self.channels.len()).step_by(LINE) {
            for channel in 0..LINE {
                for v in 0..self.columns.len() / lanes {
                    let mut m = [simd.splat_f32s(0.0); POINTS];
                    for point in 0..POINTS {
                        m[point] = sum[point * step + (first + channel) * per + v];
                    }
                    let g = fold(simd, m);
                    for tap in 0..9 {
                        S::as_mut_simd_f32s(&mut taps[tap]).0[channel * per + v] = g[tap];
                    }
                }
            }
            for (column, k) in self.columns.clone().enumerate() {
                for tap in 0..9 {
                    let at = (k * 9 + tap) * self.c + self.channels.start + first;
                    // SAFETY: the weights of these channels belong to this block, which is folded once.
                    let row = unsafe { self.dw.piece(at, LINE) };
                    for i in 0..LINE {
                        row[i] += taps[tap][i * PANEL + column];
                    }
                }
            }
        }
    }
}

/// `Gᵀ m G` of 16 sums, to 9.
#[inline(always)]
fn fold<S: Simd>(simd: S, m: [S::f32s; POINTS]) -> [S::f32s; 9] {
    let half = simd.splat_f32s(0.5);
    let mut t = [half; 12];
    for b in 0..4 {
        let plus = simd.mul_f32s(half, simd.add_f32s(m[4 + b], m[8 + b]));
        t[b] = simd.add_f32s(m[b], plus);
        t[4 + b] = simd.mul_f32s(half, simd.sub_f32s(m[4 + b], m[8 + b]));
        t[8 + b] = simd.add_f32s(plus, m[12 + b]);
    }
    let mut g = [half; 9];
    for a in 0..3 {
        let plus = simd.mul_f32s(half, simd.add_f32s(t[4 * a + 1], t[4 * a + 2]));
        g[3 * a] = simd.add_f32s(t[4 * a], plus);
        g[3 * a + 1] = simd.mul_f32s(half, simd.sub_f32s(t[4 * a + 1], t[4 * a + 2]));
        g[3 * a + 2] = simd.add_f32s(plus, t[4 * a + 3]);
    }
    g
}
