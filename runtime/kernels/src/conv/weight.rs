//! Weight gradient of f32: `dW[k, window value] += Σ pixels dy[pixel, k] · window[pixel, window value]`.
//!
//! A block of at most 256 window values by 256 channels stays in the second-level cache while the pixels stream
//! by, [`SPAN`] at a time. Layers of few blocks are cut along the pixels too, into a number of parts that depends on
//! the shape only; the task that finishes the last part of a block adds the parts up, in order.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use swav_core::simd::{self, Simd, WithSimd};

use super::gather::{Gather, copy_run};
use super::{winograd, winograd_weight};
use crate::disjoint::Disjoint;
use crate::gemm::{DEPTH, Left, PANEL, PITCH, Panel};
use crate::scratch::Scratch;
use crate::shapes::ConvShape;

/// Pixels copied at a time; a tile is read and written once for each.
const SPAN: usize = 384;
/// Values of a channel added at a time: a cache line.
const LINE: usize = 16;
/// Most panels of output channels in a block.
const PANELS: usize = 8;
/// A layer is cut along its pixels until it has this many tasks.
const TASKS: usize = 16;
/// But not into parts of fewer pixels.
const LEAST: usize = 4 * SPAN;

/// See [`crate::conv::conv_backward_weight`].
pub(crate) fn backward_weight(
    s: &ConvShape,
    dw: &mut [f32],
    dy: &[f32],
    x: &[f32],
    scratch: &mut Scratch<f32>,
) {
    let (width, pixels, panels) = (s.window(), s.out_rows(), s.k.div_ceil(PANEL));
    if pixels == 0 {
        return;
    }
    if !scratch.direct && winograd::suits(s) {
        return winograd_weight::backward_weight(s, dw, dy, x, scratch);
    }
    let tall = width.div_ceil(DEPTH);
    let height = width.div_ceil(tall).next_multiple_of(16);
    let tall = width.div_ceil(height);
    let groups = panels.div_ceil(PANELS);
    let blocks = tall * groups;
    let parts = TASKS.div_ceil(blocks).min(pixels.div_ceil(LEAST));
    let size = height * panels.div_ceil(groups) * PANEL;

    let gather = Gather::forward(s);
    let finished: Vec<AtomicUsize> = (0..blocks).map(|_| AtomicUsize::new(0)).collect();
    let tiles = Disjoint::new(scratch.shared.take(blocks * parts * size));
    let dw = Disjoint::new(dw);
    scratch.workers.run(blocks * parts, |local, task| {
        let (block, part) = (task / parts, task % parts);
        let (group, stripe) = (block % groups, block / groups);
        let values = stripe * height..width.min((stripe + 1) * height);
        let panels = panels * group / groups..panels * (group + 1) / groups;
        let here = pixels * part / parts..pixels * (part + 1) / parts;

        let len = panels.len() * values.len() * PANEL;
        // SAFETY: the tile of this block and part is this task's until it is counted as finished.
        let tile = unsafe { tiles.piece(task * size, len) };
        let (left, right) = (&mut local.left, &mut local.right);
        let spans = here.len().div_ceil(SPAN);
        for span in 0..spans {
            let rows = here.start + here.len() * span / spans
                ..here.start + here.len() * (span + 1) / spans;
            let left = left.take(SPAN * PITCH);
            gather.copy(left, PITCH, x, rows.clone(), values.clone());
            let right = right.take(panels.len() * rows.len() * PANEL);
            for (panel, copy) in panels.clone().zip(right.chunks_exact_mut(rows.len() * PANEL)) {
                let dy = &dy[rows.start * s.k..rows.end * s.k];
                simd::run(Channels { copy, dy, k: s.k, first: panel * PANEL });
            }
            let operands = right
                .chunks_exact(rows.len() * PANEL)
                .zip(tile.chunks_exact_mut(values.len() * PANEL));
            for (panel, (b, c)) in panels.clone().zip(operands) {
                let cols = PANEL.min(s.k - panel * PANEL);
                Panel {
                    left: Left::Columns,
                    a: left,
                    rows: values.len(),
                    b,
                    c,
                    cols,
                    first: span == 0,
                }
                .run();
            }
        }
        // Release this part, acquire the others'.
        if finished[block].fetch_add(1, Ordering::AcqRel) + 1 < parts {
            return;
        }
        for (index, panel) in panels.clone().enumerate() {
            let at = index * values.len() * PANEL;
            for part in 0..parts {
                // SAFETY: all parts of the block are finished (counted above), and only this task counted last.
                let tile = unsafe {
                    tiles.piece((block * parts + part) * size + at, values.len() * PANEL)
                };
                for start in (0..values.len()).step_by(LINE) {
                    let here = LINE.min(values.len() - start);
                    let tile = &tile[start * PANEL..(start + here) * PANEL];
                    for channel in 0..PANEL.min(s.k - panel * PANEL) {
                        let at = (panel * PANEL + channel) * width + values.start + start;
                        // SAFETY: these values of these channels belong to this block, which is added once.
                        add_column(unsafe { dw.piece(at, here) }, tile, channel);
                    }
                }
            }
        }
    });
}

/// Adds a column of a tile to a row.
#[inline(always)]
fn add_column(row: &mut [f32], tile: &[f32], column: usize) {
    if let (Ok(row), Some(tile)) =
        (<&mut [f32; LINE]>::try_from(&mut *row), tile.first_chunk::<{ LINE * PANEL }>())
    {
        for i in 0..LINE {
            row[i] += tile[i * PANEL + column % PANEL];
        }
    } else {
        row.iter_mut().zip(tile.chunks_exact(PANEL)).for_each(|(sum, tile)| *sum += tile[column]);
    }
}

/// `copy[row, 32]` of the channels of dy from `first` on, zeros beyond the last as far as a vector reaches.
struct Channels<'a> {
    copy: &'a mut [f32],
    dy: &'a [f32],
    k: usize,
    first: usize,
}

impl WithSimd for Channels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let here = PANEL.min(self.k - self.first);
        let filled = here.next_multiple_of(S::F32_LANES);
        for (row, dy) in self.copy.chunks_exact_mut(PANEL).zip(self.dy.chunks_exact(self.k)) {
            copy_run(simd, &mut row[..here], &dy[self.first..self.first + here]);
            row[here..filled].fill(0.0);
        }
    }
}
