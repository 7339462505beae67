//! 3x3 convolutions of stride 1 in f32 by minimal filtering F(2x2, 3x3): 16 products for 4 outputs instead of 36
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
//!
//! ```text
//! Y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A      d: 4x4 inputs, g: 3x3 weights, Y: 2x2 outputs
//! ```
//!
//! A task transforms 28 tiles of the input (14 where channels are many, so that they stay in the second-level
//! cache), multiplies them with the transformed weights of 32 outputs at a time, and transforms back while the
//! products are in the cache. The input gradient is the same with flipped weights. Rounding errors are a few
//! times those of the direct sum; the tests derive their bound from the three transforms.
#![allow(unsafe_code)]

use swav_core::simd::{self, Simd, WithSimd};

use super::direct::groups;
use super::pack;
use crate::disjoint::Disjoint;
use crate::gemm::{DEPTH, Left, PANEL, PITCH, Panel};
use crate::partial::Partial;
use crate::scratch::{Buffer, Scratch, Workers};
use crate::shapes::{ConvShape, Write};

/// Products of a tile.
pub(crate) const POINTS: usize = 16;
/// Most tiles of a task.
const TILES: usize = 28;
/// Fewest channels on either side.
const CHANNELS: usize = 16;
/// Fewest tiles: with fewer, transforming the weights costs what is saved.
const LEAST: usize = 192;
/// Stands for the pixels outside the map.
static ZEROS: [f32; DEPTH] = [0.0; DEPTH];

/// Whether a convolution is computed this way.
pub(crate) fn suits(s: &ConvShape) -> bool {
    let wide = |channels: usize| channels >= CHANNELS && channels.is_multiple_of(16);
    let tiles = Tiles::new(s.n, s.h, s.w).total();
    // Tiles stick out of odd maps: of 16 products for 4 outputs, at most a third may be for nothing.
    let many = tiles >= LEAST && 8 * tiles <= 3 * s.n * s.h * s.w;
    many && (s.r, s.stride, s.pad) == (3, 1, 1) && wide(s.c) && wide(s.k)
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
    let weights = scratch.shared.take(pack::packed_len(s.k, POINTS * s.c));
    pack::winograd_forward(weights, s, w);
    let product =
        Product { n: s.n, h: s.h, w: s.w, c: s.c, columns: s.k, weights, x, write: Write::Assign };
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
    let weights = scratch.shared.take(pack::packed_len(s.c, POINTS * s.k));
    pack::winograd_backward(weights, s, w);
    let product = Product { n: s.n, h: s.h, w: s.w, c: s.k, columns: s.c, weights, x: dy, write };
    product.run(dx, None, &mut scratch.sums, &mut scratch.workers);
}

/// Maps of `c` channels to maps of `columns` channels of the same size.
struct Product<'a> {
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    columns: usize,
    /// `[panel, point, c, 32]`
    weights: &'a [f32],
    x: &'a [f32],
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
        let tiles = Tiles::new(self.n, self.h, self.w);
        let total = tiles.total();
        let block = if self.c > DEPTH { TILES / 2 } else { TILES };
        let blocks = total.div_ceil(block);
        let panels = self.columns.div_ceil(PANEL);
        let groups = groups(panels, blocks);
        let stretch = self.c.div_ceil(self.c.div_ceil(DEPTH)).next_multiple_of(16);
        let stretches = self.c.div_ceil(stretch);

        let partial = Partial::new(partial, blocks, self.columns, sums.is_some());
        let out = Disjoint::new(out);
        workers.run(blocks * groups, |local, task| {
            let (index, group) = (task / groups, task % groups);
            let here = total * index / blocks..total * (index + 1) / blocks;
            let rows = here.len();
            let left = local.left.take(stretches * POINTS * rows * PITCH);
            for (number, left) in left.chunks_exact_mut(POINTS * rows * PITCH).enumerate() {
                let channels = number * stretch..self.c.min((number + 1) * stretch);
                simd::run(Inputs {
                    tiles,
                    first: here.start,
                    left,
                    x: self.x,
                    c: self.c,
                    channels,
                });
            }
            let products = local.tile.take(POINTS * rows * PANEL);
            for panel in panels * group / groups..panels * (group + 1) / groups {
                let first = panel * PANEL;
                let columns = PANEL.min(self.columns - first);
                for (number, left) in left.chunks_exact(POINTS * rows * PITCH).enumerate() {
                    let channels = number * stretch..self.c.min((number + 1) * stretch);
                    for (point, c) in products.chunks_exact_mut(rows * PANEL).enumerate() {
                        let at = (panel * POINTS + point) * self.c;
                        let b = &self.weights
                            [(at + channels.start) * PANEL..(at + channels.end) * PANEL];
                        let a = &left[point * rows * PITCH..(point + 1) * rows * PITCH];
                        Panel {
                            left: Left::Rows,
                            a,
                            rows,
                            b,
                            c,
                            cols: columns,
                            first: number == 0,
                        }
                        .run();
                    }
                }
                let (write, all) = (self.write, self.columns);
                let outputs = Outputs {
                    tiles,
                    here: here.clone(),
                    products,
                    first,
                    columns,
                    all,
                    out: &out,
                    write,
                };
                let taken = simd::run(outputs);
                // SAFETY: sums of this block of tiles and these columns belong to this task alone.
                unsafe { partial.put(index, first, columns, &taken) };
            }
        });
        partial.reduce(sums);
    }
}

/// The 2x2 output tiles of all maps, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Tiles {
    pub(crate) fn new(n: usize, h: usize, w: usize) -> Self {
        Self { n, h, w }
    }

    pub(crate) fn total(&self) -> usize {
        self.n * self.h.div_ceil(2) * self.w.div_ceil(2)
    }

    /// Image, and row and column of the first output, of a tile.
    #[inline(always)]
    pub(crate) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (down, across) = (self.h.div_ceil(2), self.w.div_ceil(2));
        (tile / (down * across), tile / across % down * 2, tile % across * 2)
    }

    /// The pixel at an offset from a tile's first output, if inside the map.
    #[inline(always)]
    pub(crate) fn pixel(
        &self,
        (image, i, j): (usize, usize, usize),
        down: isize,
        across: isize,
    ) -> Option<usize> {
        let (y, x) = (i as isize + down, j as isize + across);
        let inside = y >= 0 && y < self.h as isize && x >= 0 && x < self.w as isize;
        inside.then(|| (image * self.h + y as usize) * self.w + x as usize)
    }
}

/// `left[point, tile, channel] = Bᵀ d B` of every tile, for some channels.
pub(crate) struct Inputs<'a> {
    pub(crate) tiles: Tiles,
    pub(crate) first: usize,
    /// `[16, rows, PITCH]`
    pub(crate) left: &'a mut [f32],
    pub(crate) x: &'a [f32],
    pub(crate) c: usize,
    pub(crate) channels: std::ops::Range<usize>,
}

impl WithSimd for Inputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let (rows, n) = (self.left.len() / POINTS / PITCH, self.channels.len());
        let step = rows * PITCH / lanes;
        for row in 0..rows {
            let place = self.tiles.place(self.first + row);
            let mut d = [S::as_simd_f32s(&ZEROS[..n]).0; POINTS];
            for (point, d) in d.iter_mut().enumerate() {
                if let Some(pixel) =
                    self.tiles.pixel(place, (point / 4) as isize - 1, (point % 4) as isize - 1)
                {
                    let at = pixel * self.c + self.channels.start;
                    *d = S::as_simd_f32s(&self.x[at..at + n]).0;
                }
            }
            let target = S::as_mut_simd_f32s(&mut self.left[row * PITCH..]).0;
            for v in 0..n / lanes {
                let mut t = [simd.splat_f32s(0.0); POINTS];
                for b in 0..4 {
                    let (d0, d1, d2, d3) = (d[b][v], d[4 + b][v], d[8 + b][v], d[12 + b][v]);
                    t[b] = simd.sub_f32s(d0, d2);
                    t[4 + b] = simd.add_f32s(d1, d2);
                    t[8 + b] = simd.sub_f32s(d2, d1);
                    t[12 + b] = simd.sub_f32s(d1, d3);
                }
                for a in 0..4 {
                    let (t0, t1, t2, t3) = (t[4 * a], t[4 * a + 1], t[4 * a + 2], t[4 * a + 3]);
                    target[4 * a * step + v] = simd.sub_f32s(t0, t2);
                    target[(4 * a + 1) * step + v] = simd.add_f32s(t1, t2);
                    target[(4 * a + 2) * step + v] = simd.sub_f32s(t2, t1);
                    target[(4 * a + 3) * step + v] = simd.sub_f32s(t1, t3);
                }
            }
        }
    }
}

/// Writes `Aᵀ m A` of every tile's products and returns sums and sums of squares of the columns.
struct Outputs<'a> {
    tiles: Tiles,
    here: std::ops::Range<usize>,
    /// `[16, tile, 32]`
    products: &'a [f32],
    first: usize,
    columns: usize,
    all: usize,
    out: &'a Disjoint<'a, f32>,
    write: Write,
}

impl WithSimd for Outputs<'_> {
    type Output = ([f32; PANEL], [f32; PANEL]);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let (mut sums, mut squares) = ([0.0; PANEL], [0.0; PANEL]);
        let lanes = S::F32_LANES;
        let (step, products) = (self.here.len() * PANEL / lanes, S::as_simd_f32s(self.products).0);
        let sums_out = S::as_mut_simd_f32s(&mut sums).0;
        let squares_out = S::as_mut_simd_f32s(&mut squares).0;
        for (row, tile) in self.here.enumerate() {
            let place = self.tiles.place(tile);
            let mut pixels = [None; 4];
            for (q, pixel) in pixels.iter_mut().enumerate() {
                *pixel = self.tiles.pixel(place, (q / 2) as isize, (q % 2) as isize);
            }
            for v in 0..self.columns / lanes {
                let m = &products[row * PANEL / lanes + v..];
                let mut t = [simd.splat_f32s(0.0); 8];
                for b in 0..4 {
                    let (m0, m1, m2, m3) =
                        (m[b * step], m[(4 + b) * step], m[(8 + b) * step], m[(12 + b) * step]);
                    t[b] = simd.add_f32s(simd.add_f32s(m0, m1), m2);
                    t[4 + b] = simd.sub_f32s(simd.sub_f32s(m1, m2), m3);
                }
                let mut y = [t[0]; 4];
                for a in 0..2 {
                    let (t0, t1, t2, t3) = (t[4 * a], t[4 * a + 1], t[4 * a + 2], t[4 * a + 3]);
                    y[2 * a] = simd.add_f32s(simd.add_f32s(t0, t1), t2);
                    y[2 * a + 1] = simd.sub_f32s(simd.sub_f32s(t1, t2), t3);
                }
                for q in 0..4 {
                    let Some(pixel) = pixels[q] else { continue };
                    let at = pixel * self.all + self.first + v * lanes;
                    // SAFETY: a task writes its own tiles and columns only; no other task has this pair.
                    let out = unsafe { self.out.piece(at, lanes) };
                    let out = &mut S::as_mut_simd_f32s(out).0[0];
                    let value = if self.write == Write::Accumulate {
                        simd.add_f32s(y[q], *out)
                    } else {
                        y[q]
                    };
                    *out = value;
                    sums_out[v] = simd.add_f32s(sums_out[v], value);
                    squares_out[v] = simd.mul_add_e_f32s(value, value, squares_out[v]);
                }
            }
        }
        (sums, squares)
    }
}

/// `G g Gᵀ` of 9 weights, to 16.
#[inline(always)]
pub(crate) fn transform_weights<S: Simd>(simd: S, g: [S::f32s; 9]) -> [S::f32s; POINTS] {
    let half = simd.splat_f32s(0.5);
    let mut t = [half; 12];
    for s in 0..3 {
        let (outer, middle) = (simd.add_f32s(g[s], g[6 + s]), g[3 + s]);
        t[s] = g[s];
        t[3 + s] = simd.mul_f32s(half, simd.add_f32s(outer, middle));
        t[6 + s] = simd.mul_f32s(half, simd.sub_f32s(outer, middle));
        t[9 + s] = g[6 + s];
    }
    let mut u = [half; POINTS];
    for a in 0..4 {
        let (outer, middle) = (simd.add_f32s(t[3 * a], t[3 * a + 2]), t[3 * a + 1]);
        u[4 * a] = t[3 * a];
        u[4 * a + 1] = simd.mul_f32s(half, simd.add_f32s(outer, middle));
        u[4 * a + 2] = simd.mul_f32s(half, simd.sub_f32s(outer, middle));
        u[4 * a + 3] = t[3 * a + 2];
    }
    u
}
