//! The inner product kernel of f32: a tile of results held in registers.
//!
//! `C[rows, 32] (+)= A[rows, k] · B[k, 32]`. B is packed in panels of 32 columns, A is read one value at a time
//! and broadcast, so A needs no packing: its rows are copied as they lie (forward), or its columns are (weight
//! gradient). A tile holds as many rows as leave room for one row of B and a broadcast: 14 x 32 with 32
//! registers of 16 lanes (AVX-512), 6 x 16 with 16 of 8 (AVX2).
#![allow(unsafe_code)]

use std::marker::PhantomData;

use swav_core::simd::{self, Simd, WithSimd};

/// Columns of a panel of B and of C.
pub(crate) const PANEL: usize = 32;
/// Distance between two gathered rows: 256 values and one cache line, so that rows an equal column apart do not
/// share a set of the first-level cache.
pub(crate) const PITCH: usize = 272;
/// Longest stretch of k in one gathered row.
pub(crate) const DEPTH: usize = 256;

/// How A lies in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Row i, column p at `i · PITCH + p`: a row of A is a gathered row.
    Rows,
    /// Row i, column p at `p · PITCH + i`: a column of A is a gathered row.
    Columns,
}

/// One panel of C: `c = a b`, or `c += a b` unless `first`.
pub(crate) struct Panel<'a> {
    pub(crate) left: Left,
    pub(crate) a: &'a [f32],
    pub(crate) rows: usize,
    /// `[k, 32]`
    pub(crate) b: &'a [f32],
    /// `[rows, 32]`; columns from `cols` on are not computed when they fill a vector.
    pub(crate) c: &'a mut [f32],
    pub(crate) cols: usize,
    pub(crate) first: bool,
}

impl Panel<'_> {
    /// Computes the panel with the instruction set in use.
    pub(crate) fn run(self) {
        simd::run(self);
    }
}

impl WithSimd for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        // Two vectors of B and one of A stay free, one is left to the compiler.
        let most = (S::REGISTER_COUNT - 4) / 2;
        let tiles = self.rows.div_ceil(most);
        let vectors = self.cols.div_ceil(lanes);
        let mut vector = 0;
        while vector < vectors {
            let wide = vector + 1 < vectors;
            // The rows are split evenly: no tile is much smaller than the others.
            let (mut row, mut tile) = (0, 0);
            while tile < tiles {
                let end = self.rows * (tile + 1) / tiles;
                let rows = end - row;
                let column = vector * lanes;
                let skip = if self.left == Left::Rows { row * PITCH } else { row };
                let (a, b, c) =
                    (&self.a[skip..], &self.b[column..], &mut self.c[row * PANEL + column..]);
                match (self.left, wide) {
                    (Left::Rows, true) => {
                        Choose::<2, PITCH, 1> { rows, a, b, c, first: self.first }.run(simd)
                    }
                    (Left::Rows, false) => {
                        Choose::<1, PITCH, 1> { rows, a, b, c, first: self.first }.run(simd)
                    }
                    (Left::Columns, true) => {
                        Choose::<2, 1, PITCH> { rows, a, b, c, first: self.first }.run(simd)
                    }
                    (Left::Columns, false) => {
                        Choose::<1, 1, PITCH> { rows, a, b, c, first: self.first }.run(simd)
                    }
                }
                row = end;
                tile += 1;
            }
            vector += 2;
        }
    }
}

/// A tile whose number of rows is still a number.
struct Choose<'a, const NV: usize, const ROW: usize, const STEP: usize> {
    rows: usize,
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
    first: bool,
}

impl<const NV: usize, const ROW: usize, const STEP: usize> Choose<'_, NV, ROW, STEP> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        macro_rules! tile {
            ($rows:literal) => {
                simd.vectorize(Tile::<S, $rows, NV, ROW, STEP> {
                    a: self.a,
                    b: self.b,
                    c: self.c,
                    first: self.first,
                    simd: PhantomData,
                })
            };
        }
        if S::REGISTER_COUNT > 16 {
            match self.rows {
                7 => return tile!(7),
                8 => return tile!(8),
                9 => return tile!(9),
                10 => return tile!(10),
                11 => return tile!(11),
                12 => return tile!(12),
                13 => return tile!(13),
                14 => return tile!(14),
                _ => {}
            }
        }
        match self.rows {
            1 => tile!(1),
            2 => tile!(2),
            3 => tile!(3),
            4 => tile!(4),
            5 => tile!(5),
            6 => tile!(6),
            rows => unreachable!("a tile of {rows} rows"),
        }
    }
}

/// `C[MR, NV vectors] (+)= A B` with A at distances `ROW` between rows and `STEP` along k.
struct Tile<'a, S, const MR: usize, const NV: usize, const ROW: usize, const STEP: usize> {
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
    first: bool,
    simd: PhantomData<S>,
}

impl<S: Simd, const MR: usize, const NV: usize, const ROW: usize, const STEP: usize> WithSimd
    for Tile<'_, S, MR, NV, ROW, STEP>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<T: Simd>(self, simd: T) {
        let step = PANEL / T::F32_LANES;
        let k = self.b.len().div_ceil(PANEL);
        let (b, c) = (T::as_simd_f32s(self.b).0, T::as_mut_simd_f32s(self.c).0);
        assert!(
            k > 0
                && self.a.len() > (MR - 1) * ROW + (k - 1) * STEP
                && b.len() >= (k - 1) * step + NV
                && c.len() >= (MR - 1) * step + NV,
            "tile {MR} x {NV} vectors of {k}: a {}, b {}, c {}",
            self.a.len(),
            b.len(),
            c.len()
        );
        let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
        if !self.first {
            for i in 0..MR {
                for v in 0..NV {
                    sums[i][v] = c[i * step + v];
                }
            }
        }
        let (mut at_a, mut at_b) = (self.a.as_ptr(), b.as_ptr());
        for _ in 0..k {
            let mut right = [simd.splat_f32s(0.0); NV];
            for v in 0..NV {
                // SAFETY: `at_b` is p·step vectors into `b` with p < k, whose length is asserted above.
                right[v] = unsafe { *at_b.add(v) };
            }
            for i in 0..MR {
                // SAFETY: `at_a` is p·STEP values into `a` with p < k, whose length is asserted above.
                let left = simd.splat_f32s(unsafe { *at_a.add(i * ROW) });
                for v in 0..NV {
                    sums[i][v] = simd.mul_add_e_f32s(left, right[v], sums[i][v]);
                }
            }
            at_a = at_a.wrapping_add(STEP);
            at_b = at_b.wrapping_add(step);
        }
        for i in 0..MR {
            for v in 0..NV {
                c[i * step + v] = sums[i][v];
            }
        }
    }
}
