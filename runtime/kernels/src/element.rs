//! The numbers the engine stores: `f32` to train, `f64` to check gradients.
#![allow(unsafe_code)]

use std::iter::Sum;

use swav_core::Real;

use super::conv::{ConvShape, Write};
use super::scratch::Scratch;
use super::{columns, direct, weight};

/// A matrix seen through strides: element `(i, j)` is `data[i * row + j * col]`.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a, T> {
    /// The storage, starting at element (0, 0).
    pub data: &'a [T],
    /// Distance between rows.
    pub row: usize,
    /// Distance between columns.
    pub col: usize,
}

/// A storage type of the CPU engine. Statistics over many values are always `f64`.
pub trait Element: Real + Sum {
    /// `c ← a b` or `c ← c + a b` with a: `[m, k]`, b: `[k, n]`, c: `[m, n]` row-major with row distance `ldc`.
    fn gemm(
        m: usize,
        k: usize,
        n: usize,
        a: Strided<Self>,
        b: Strided<Self>,
        write: Write,
        c: &mut [Self],
        ldc: usize,
    );

    /// [`super::conv::conv_forward`] of this type; sizes are checked there.
    fn conv_forward(
        s: &ConvShape,
        y: &mut [Self],
        x: &[Self],
        w: &[Self],
        sums: Option<&mut [f64]>,
        scratch: &mut Scratch<Self>,
    );

    /// [`super::conv::conv_backward_input`] of this type; sizes are checked there.
    fn conv_backward_input(
        s: &ConvShape,
        dx: &mut [Self],
        write: Write,
        dy: &[Self],
        w: &[Self],
        scratch: &mut Scratch<Self>,
    );

    /// [`super::conv::conv_backward_weight`] of this type; sizes are checked there.
    fn conv_backward_weight(
        s: &ConvShape,
        dw: &mut [Self],
        dy: &[Self],
        x: &[Self],
        scratch: &mut Scratch<Self>,
    );
}

/// The last index a strided matrix touches, plus one.
fn extent(rows: usize, cols: usize, row: usize, col: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row + (cols - 1) * col + 1 }
}

macro_rules! element {
    ($type:ty, $gemm:path, $forward:path, $backward_input:path, $backward_weight:path) => {
        impl Element for $type {
            fn conv_forward(
                s: &ConvShape,
                y: &mut [Self],
                x: &[Self],
                w: &[Self],
                sums: Option<&mut [f64]>,
                scratch: &mut Scratch<Self>,
            ) {
                $forward(s, y, x, w, sums, scratch);
            }

            fn conv_backward_input(
                s: &ConvShape,
                dx: &mut [Self],
                write: Write,
                dy: &[Self],
                w: &[Self],
                scratch: &mut Scratch<Self>,
            ) {
                $backward_input(s, dx, write, dy, w, scratch);
            }

            fn conv_backward_weight(
                s: &ConvShape,
                dw: &mut [Self],
                dy: &[Self],
                x: &[Self],
                scratch: &mut Scratch<Self>,
            ) {
                $backward_weight(s, dw, dy, x, scratch);
            }

            fn gemm(
                m: usize,
                k: usize,
                n: usize,
                a: Strided<Self>,
                b: Strided<Self>,
                write: Write,
                c: &mut [Self],
                ldc: usize,
            ) {
                assert!(
                    a.data.len() >= extent(m, k, a.row, a.col)
                        && b.data.len() >= extent(k, n, b.row, b.col)
                        && c.len() >= extent(m, n, ldc, 1)
                        && (m <= 1 || ldc >= n),
                    "gemm {m}x{k}x{n}: a holds {}, b {}, c {} values, ldc {ldc}",
                    a.data.len(),
                    b.data.len(),
                    c.len()
                );
                let beta = if write == Write::Assign { 0.0 } else { 1.0 };
                // SAFETY: every element the strides reach lies inside its slice (asserted above), the rows of `c`
                // do not overlap (ldc >= n), `c` is borrowed mutably, and with beta = 0 `c` is not read.
                unsafe {
                    $gemm(
                        m,
                        k,
                        n,
                        1.0,
                        a.data.as_ptr(),
                        a.row as isize,
                        a.col as isize,
                        b.data.as_ptr(),
                        b.row as isize,
                        b.col as isize,
                        beta,
                        c.as_mut_ptr(),
                        ldc as isize,
                        1,
                    );
                }
            }
        }
    };
}

element!(
    f32,
    matrixmultiply::sgemm,
    direct::forward,
    direct::backward_input,
    weight::backward_weight
);
element!(
    f64,
    matrixmultiply::dgemm,
    columns::forward,
    columns::backward_input,
    columns::backward_weight
);
