//! Convolution of f32 and its input gradient as products of gathered windows, without unfolding the input.
//!
//! A task is a block of at most 112 grid positions and at most 512 columns. For every stretch of at most 256
//! window values it copies the windows side by side and multiplies them with each panel of packed weights into
//! a tile in the second-level cache; from there a panel is written out while its statistics are taken.
#![allow(unsafe_code)]

use swav_core::simd::{self, Simd, WithSimd};

use super::gather::Gather;
use super::pack;
use super::winograd;
use crate::disjoint::Disjoint;
use crate::gemm::{DEPTH, Left, PANEL, PITCH, Panel};
use crate::partial::Partial;
use crate::scratch::{Buffer, Scratch, Workers};
use crate::shapes::{ConvShape, Write};

/// Most grid positions of a task, and so most rows summed in f32.
const ROWS: usize = 112;
/// Rows of a block are a multiple of this where there are enough: the rows of an AVX-512 tile.
const UNIT: usize = 14;
/// Most panels of a task.
const PANELS: usize = 16;
/// A layer is cut into narrower tasks until it has this many (or tasks have only four panels).
const TASKS: usize = 16;

/// Where the results of grid positions go: pixel `(i · step + top, j · step + left)` of an `h` x `w` map.
#[derive(Debug, Clone, Copy)]
struct Target {
    h: usize,
    w: usize,
    step: usize,
    top: usize,
    left: usize,
}

impl Target {
    fn pixel(&self, (image, i, j): (usize, usize, usize)) -> usize {
        (image * self.h + i * self.step + self.top) * self.w + j * self.step + self.left
    }
}

/// The part of an input gradient at positions of one residue modulo the stride.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) gather: Gather,
    target: Target,
    /// First kernel row and column that reach this residue.
    first: (usize, usize),
}

impl Phase {
    /// The kernel's taps r with r ≡ top + pad (mod stride) reach row `i·stride + top` of the input, from output
    /// row `i + (top + pad − r) / stride`.
    fn new(s: &ConvShape, top: usize, left: usize) -> Self {
        let axis = |residue: usize, size: usize| {
            let first = (residue + s.pad) % s.stride;
            let taps = s.r.saturating_sub(first).div_ceil(s.stride);
            let reach = ((residue + s.pad - first) / s.stride) as isize;
            (
                size.saturating_sub(residue).div_ceil(s.stride),
                first,
                taps,
                reach - taps as isize + 1,
            )
        };
        let (gh, first_y, ny, y0) = axis(top, s.h);
        let (gw, first_x, nx, x0) = axis(left, s.w);
        Self {
            gather: Gather { h: s.oh(), w: s.ow(), c: s.k, gh, gw, stride: 1, y0, x0, ny, nx },
            target: Target { h: s.h, w: s.w, step: s.stride, top, left },
            first: (first_y, first_x),
        }
    }

    /// The kernel tap `r · R + s` that the phase's tap number `tap` (in source order) is.
    pub(crate) fn kernel_tap(&self, tap: usize, s: &ConvShape) -> usize {
        let (ny, nx) = (self.gather.ny, self.gather.nx);
        let (y, x) = (ny - 1 - tap / nx, nx - 1 - tap % nx);
        (self.first.0 + y * s.stride) * s.r + self.first.1 + x * s.stride
    }
}

/// See [`crate::conv::conv_forward`].
pub(crate) fn forward(
    s: &ConvShape,
    y: &mut [f32],
    x: &[f32],
    w: &[f32],
    sums: Option<&mut [f64]>,
    scratch: &mut Scratch<f32>,
) {
    if !scratch.direct && winograd::suits(s) {
        return winograd::forward(s, y, x, w, sums, scratch);
    }
    let packed = scratch.shared.take(pack::packed_len(s.k, s.window()));
    pack::forward(packed, s, w);
    let gather = Gather::forward(s);
    let target = Target { h: gather.gh, w: gather.gw, step: 1, top: 0, left: 0 };
    let product = Product {
        gather,
        target,
        columns: s.k,
        images: s.n,
        packed,
        source: x,
        write: Write::Assign,
    };
    product.run(y, sums, &mut scratch.sums, &mut scratch.workers);
}

/// See [`crate::conv::conv_backward_input`].
pub(crate) fn backward_input(
    s: &ConvShape,
    dx: &mut [f32],
    write: Write,
    dy: &[f32],
    w: &[f32],
    scratch: &mut Scratch<f32>,
) {
    if !scratch.direct && winograd::suits(s) {
        return winograd::backward_input(s, dx, write, dy, w, scratch);
    }
    for residue in 0..s.stride * s.stride {
        let phase = Phase::new(s, residue / s.stride, residue % s.stride);
        let width = phase.gather.ny * phase.gather.run();
        if width == 0 && write == Write::Accumulate {
            continue;
        }
        let packed = scratch.shared.take(pack::packed_len(s.c, width));
        pack::backward(packed, s, &phase, w);
        let (gather, target) = (phase.gather, phase.target);
        let product =
            Product { gather, target, columns: s.c, images: s.n, packed, source: dy, write };
        product.run(dx, None, &mut scratch.sums, &mut scratch.workers);
    }
}

/// How many groups of panels `blocks` blocks of rows are cut into: a function of the shape only.
pub(crate) fn groups(panels: usize, blocks: usize) -> usize {
    let mut share = PANELS.min(panels).max(1);
    while share > 4 && blocks * panels.div_ceil(share) < TASKS {
        share = share.div_ceil(2);
    }
    panels.div_ceil(share)
}

/// Gathered windows times packed columns, written where the target says.
struct Product<'a> {
    gather: Gather,
    target: Target,
    columns: usize,
    images: usize,
    packed: &'a [f32],
    source: &'a [f32],
    write: Write,
}

impl Product<'_> {
    fn run(
        &self,
        out: &mut [f32],
        sums: Option<&mut [f64]>,
        partial: &mut Buffer<f64>,
        workers: &mut Workers<f32>,
    ) {
        let rows = self.images * self.gather.gh * self.gather.gw;
        let panels = self.columns.div_ceil(PANEL);
        let blocks = rows.div_ceil(ROWS);
        let block = rows.div_ceil(UNIT).div_ceil(blocks.max(1)) * UNIT;
        let blocks = rows.div_ceil(block.max(1));
        let groups = groups(panels, blocks);
        let partial = Partial::new(partial, blocks, self.columns, sums.is_some());
        let out = Disjoint::new(out);
        workers.run(blocks * groups, |local, task| {
            let (index, group) = (task / groups, task % groups);
            let rows = index * block..rows.min((index + 1) * block);
            let panels = panels * group / groups..panels * (group + 1) / groups;
            let left = local.left.take(ROWS * PITCH);
            let tile = local.tile.take(panels.len() * rows.len() * PANEL);
            self.multiply(left, tile, rows.clone(), panels.clone());

            let mut places = [0; ROWS];
            let mut cursor = self.gather.cursor(rows.start);
            for place in &mut places[..rows.len()] {
                *place = self.target.pixel(cursor.place()) * self.columns;
                cursor.next();
            }
            for (panel, tile) in panels.zip(tile.chunks_exact(rows.len() * PANEL)) {
                let first = panel * PANEL;
                let columns = PANEL.min(self.columns - first);
                let finish = Finish {
                    tile,
                    places: &places[..rows.len()],
                    first,
                    columns,
                    out: &out,
                    write: self.write,
                };
                let taken = simd::run(finish);
                // SAFETY: sums of this block of rows and these columns belong to this task alone.
                unsafe { partial.put(index, first, columns, &taken) };
            }
        });
        partial.reduce(sums);
    }

    /// `tile[panel, row, 32]` of the windows of grid positions `rows` with `panels` of the packed columns.
    fn multiply(
        &self,
        left: &mut [f32],
        tile: &mut [f32],
        rows: std::ops::Range<usize>,
        panels: std::ops::Range<usize>,
    ) {
        let width = self.gather.ny * self.gather.run();
        if width == 0 {
            tile.fill(0.0);
            return;
        }
        let stretch = width.div_ceil(width.div_ceil(DEPTH)).next_multiple_of(16);
        for start in (0..width).step_by(stretch) {
            let end = width.min(start + stretch);
            self.gather.copy(left, PITCH, self.source, rows.clone(), start..end);
            for (panel, c) in panels.clone().zip(tile.chunks_exact_mut(rows.len() * PANEL)) {
                let b =
                    &self.packed[(panel * width + start) * PANEL..(panel * width + end) * PANEL];
                let cols = PANEL.min(self.columns - panel * PANEL);
                Panel {
                    left: Left::Rows,
                    a: left,
                    rows: rows.len(),
                    b,
                    c,
                    cols,
                    first: start == 0,
                }
                .run();
            }
        }
    }
}

/// Writes a panel of results to its pixels and returns the sums and sums of squares of its columns.
struct Finish<'a> {
    tile: &'a [f32],
    /// Where in `out` the pixel of every row starts.
    places: &'a [usize],
    first: usize,
    columns: usize,
    out: &'a Disjoint<'a, f32>,
    write: Write,
}

impl WithSimd for Finish<'_> {
    type Output = ([f32; PANEL], [f32; PANEL]);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let (mut sums, mut squares) = ([0.0; PANEL], [0.0; PANEL]);
        let lanes = S::F32_LANES;
        let mut column = 0;
        while column < self.columns {
            let here = lanes.min(self.columns - column);
            let (mut sum, mut square) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
            for (row, &place) in self.places.iter().enumerate() {
                let mut value = S::as_simd_f32s(&self.tile[row * PANEL + column..][..lanes]).0[0];
                // SAFETY: a task writes its own rows and columns only; no other task has this pair.
                let out = unsafe { self.out.piece(place + self.first + column, here) };
                if here == lanes {
                    let out = &mut S::as_mut_simd_f32s(out).0[0];
                    if self.write == Write::Accumulate {
                        value = simd.add_f32s(value, *out);
                    }
                    *out = value;
                } else {
                    if self.write == Write::Accumulate {
                        value = simd.add_f32s(value, simd.partial_load_f32s(out));
                    }
                    simd.partial_store_f32s(out, value);
                }
                sum = simd.add_f32s(sum, value);
                square = simd.mul_add_e_f32s(value, value, square);
            }
            S::as_mut_simd_f32s(&mut sums[column..column + lanes]).0[0] = sum;
            S::as_mut_simd_f32s(&mut squares[column..column + lanes]).0[0] = square;
            column += lanes;
        }
        (sums, squares)
    }
}
