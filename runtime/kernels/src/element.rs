//! The numbers the kernels store: `f32` to train, `f64` to check gradients.
#![allow(unsafe_code)]

use std::iter::Sum;

use swav_core::Real;

use crate::shapes::Write;

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

impl<T> Strided<'_, T> {
    /// Whether every element of `rows` × `cols` lies in the storage, at an offset that a pointer can have.
    fn holds(&self, rows: usize, cols: usize) -> bool {
        holds(self.data.len(), [rows, cols], [self.row, self.col])
    }
}

/// Whether a strided matrix of this shape ends within `len` elements. Strides that overflow do not, nor do those
/// beyond `isize::MAX`, which a product would read as negative.
fn holds(len: usize, [rows, cols]: [usize; 2], [row, col]: [usize; 2]) -> bool {
    if row > isize::MAX as usize || col > isize::MAX as usize {
        return false;
    }
    if rows == 0 || cols == 0 {
        return true;
    }
    let last = (rows - 1).checked_mul(row).zip((cols - 1).checked_mul(col));
    last.and_then(|(down, across)| down.checked_add(across)).is_some_and(|last| last < len)
}

/// A storage type of the kernels. Statistics over many values are always `f64`.
pub trait Element: Real + Sum {
    /// `c ← a b` or `c ← c + a b` with a: `[m, k]`, b: `[k, n]`, c: `[m, n]` row-major with row distance `ldc`.
    ///
    /// # Panics
    /// If an element of a, b or c lies outside of its storage, or rows of c overlap.
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
}

macro_rules! element {
    ($type:ty, $gemm:path) => {
        impl Element for $type {
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
                    a.holds(m, k)
                        && b.holds(k, n)
                        && holds(c.len(), [m, n], [ldc, 1])
                        && (m <= 1 || ldc >= n),
                    "gemm {m}x{k}x{n}: a holds {}, strides {} {}, b {}, strides {} {}, c {}, ldc {ldc}",
                    a.data.len(),
                    a.row,
                    a.col,
                    b.data.len(),
                    b.row,
                    b.col,
                    c.len()
                );
                let beta = if write == Write::Assign { 0.0 } else { 1.0 };
                // SAFETY: every element the strides reach lies inside its slice and no stride is negative (asserted
                // above), the rows of `c` do not overlap (ldc >= n), `c` is borrowed mutably, and with beta = 0 `c`
                // is not read.
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

element!(f32, matrixmultiply::sgemm);
element!(f64, matrixmultiply::dgemm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_that_leave_the_storage_are_refused() {
        let (a, b) = ([1.0_f32; 4], [1.0_f32; 4]);
        let panics = |row, col, ldc| {
            let (a, b) = (Strided { data: &a, row, col }, Strided { data: &b, row: 2, col: 1 });
            let run = || f32::gemm(2, 2, 2, a, b, Write::Assign, &mut [0.0; 4], ldc);
            std::panic::catch_unwind(run).is_err()
        };
        assert!(!panics(2, 1, 2));
        // One row too far; products and sums of strides that wrap to a small number; negative as a pointer's offset.
        assert!(panics(3, 1, 2));
        assert!(panics(usize::MAX, 1, 2) && panics(1, usize::MAX, 2) && panics(2, 1, usize::MAX));
        assert!(panics(usize::MAX / 2 + 1, usize::MAX / 2 + 1, 2));
        assert!(panics(2, 1, 1));
    }
}
