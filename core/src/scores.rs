//! Scores of embeddings against prototypes, their two gradients, and the prototypes' normalisation.
//!
//! ```text
//! S = Z Cᵀ      dZ = dS C      dC = dSᵀ Z
//! ```
//!
//! # Shapes
//!
//! Z (rows, D) embeddings, C (K, D) prototypes, S (rows, K), each row after row.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, Axis, Slice};

use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;
use crate::rows::{array, contiguous, l2_normalize_in_place};

/// Rows of a product that one thread computes at a time.
const ROWS: usize = 64;

fn view<T>(x: &[T], columns: usize) -> ArrayView2<'_, T> {
    let shape = (x.len().checked_div(columns).unwrap_or(0), columns);
    ArrayView2::from_shape(shape, x).expect("lengths were checked by the caller")
}

fn view_mut<T>(x: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    let shape = (x.len().checked_div(columns).unwrap_or(0), columns);
    ArrayViewMut2::from_shape(shape, x).expect("lengths were checked by the caller")
}

/// c ← a bᵀ for a (rows, inner), b (columns, inner).
pub(crate) fn product_transposed<T: Real>(a: &[T], b: &[T], inner: usize, c: &mut [T]) {
    product_transposed_at(a, b, inner, c, b.len() / inner, 0);
}

/// The same into the columns of c from `from` on, c being `width` wide.
pub(crate) fn product_transposed_at<T: Real>(
    a: &[T],
    b: &[T],
    inner: usize,
    c: &mut [T],
    width: usize,
    from: usize,
) {
    let b = view(b, inner);
    let at = Slice::from(from..from + b.nrows());
    a.par_chunks(ROWS * inner).zip(c.par_chunks_mut(ROWS * width)).for_each(|(a, c)| {
        let mut c = view_mut(c, width);
        let mut c = c.slice_axis_mut(Axis(1), at);
        general_mat_mul(T::ONE, &view(a, inner), &b.t(), T::ZERO, &mut c);
    });
}

/// c ← keep · c + a b for a (rows, inner), b (inner, columns).
pub(crate) fn product<T: Real>(a: &[T], b: &[T], inner: usize, keep: T, c: &mut [T]) {
    product_at(a, inner, 0, b, b.len() / inner, keep, c);
}

/// The same with the columns of a from `from` on, a being `width` wide; b has `columns`.
pub(crate) fn product_at<T: Real>(
    a: &[T],
    width: usize,
    from: usize,
    b: &[T],
    columns: usize,
    keep: T,
    c: &mut [T],
) {
    let b = view(b, columns);
    let at = Slice::from(from..from + b.nrows());
    a.par_chunks(ROWS * width).zip(c.par_chunks_mut(ROWS * columns)).for_each(|(a, c)| {
        let a = view(a, width);
        let a = a.slice_axis(Axis(1), at);
        general_mat_mul(T::ONE, &a, &b, keep, &mut view_mut(c, columns));
    });
}

/// c ← keep · c + aᵀ b for a (inner, rows), b (inner, columns).
pub(crate) fn transposed_product<T: Real>(a: &[T], b: &[T], columns: usize, keep: T, c: &mut [T]) {
    let rows = c.len() / columns;
    let (a, b) = (view(a, rows), view(b, columns));
    c.par_chunks_mut(ROWS * columns).enumerate().for_each(|(piece, c)| {
        let from = piece * ROWS;
        let mut c = view_mut(c, columns);
        let a = a.slice_axis(Axis(1), Slice::from(from..from + c.nrows()));
        general_mat_mul(T::ONE, &a.t(), &b, keep, &mut c);
    });
}

/// `columns` numbers a row in `x`, `rows` rows.
#[track_caller]
fn expect<T>(what: &str, x: &[T], rows: usize, columns: usize) {
    let found = x.len();
    assert!(rows * columns == found, "{what}: expected {rows} x {columns}, found {found} numbers");
}

/// S = Z Cᵀ into `scores`, for embeddings of `dimension` numbers.
///
/// # Panics
///
/// When the lengths do not fit.
#[inline(never)]
pub fn scores_into<T: Real>(
    embeddings: &[T],
    prototypes: &[T],
    dimension: usize,
    scores: &mut [T],
) {
    let (rows, k) = (embeddings.len() / dimension, prototypes.len() / dimension);
    expect("embeddings", embeddings, rows, dimension);
    expect("prototypes", prototypes, k, dimension);
    expect("scores", scores, rows, k);
    if !scores.is_empty() {
        product_transposed(embeddings, prototypes, dimension, scores);
    }
}

/// dZ = dS C into `d_embeddings`.
///
/// # Panics
///
/// When the lengths do not fit.
#[inline(never)]
pub fn embeddings_gradient_into<T: Real>(
    d_scores: &[T],
    prototypes: &[T],
    dimension: usize,
    d_embeddings: &mut [T],
) {
    let (rows, k) = (d_embeddings.len() / dimension, prototypes.len() / dimension);
    expect("prototypes", prototypes, k, dimension);
    expect("gradient of the embeddings", d_embeddings, rows, dimension);
    expect("gradient of the scores", d_scores, rows, k);
    if k == 0 {
        d_embeddings.fill(T::ZERO);
    } else if rows > 0 {
        product(d_scores, prototypes, k, T::ZERO, d_embeddings);
    }
}

/// dC = dSᵀ Z into `d_prototypes`, added to what is there when `accumulate`.
///
/// # Panics
///
/// When the lengths do not fit.
#[inline(never)]
pub fn prototypes_gradient_into<T: Real>(
    d_scores: &[T],
    embeddings: &[T],
    dimension: usize,
    accumulate: bool,
    d_prototypes: &mut [T],
) {
    let (rows, k) = (embeddings.len() / dimension, d_prototypes.len() / dimension);
    expect("embeddings", embeddings, rows, dimension);
    expect("gradient of the prototypes", d_prototypes, k, dimension);
    expect("gradient of the scores", d_scores, rows, k);
    let keep = if accumulate { T::ONE } else { T::ZERO };
    if rows == 0 && !accumulate {
        d_prototypes.fill(T::ZERO);
    } else if k > 0 && rows > 0 {
        transposed_product(d_scores, embeddings, dimension, keep, d_prototypes);
    }
}

/// S = Z Cᵀ: the cosine of each embedding with each prototype when both have unit rows.
///
/// # Errors
///
/// [`Error::Shape`] when embeddings and prototypes have different dimensions.
///
/// ```
/// use ndarray::array;
/// let s = swav_core::scores(&array![[1.0, 0.0]], &array![[0.6, 0.8], [0.0, 1.0]])?;
/// assert_eq!(s, array![[0.6, 0.0]]);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn scores<T: Real>(
    embeddings: &ArrayRef2<T>,
    prototypes: &ArrayRef2<T>,
) -> Result<Array2<T>, Error> {
    let ((rows, d), (k, _)) = (embeddings.dim(), prototypes.dim());
    Error::shape("prototypes", [k, d], prototypes.dim().into())?;
    let mut s = alloc::vec![T::ZERO; rows * k];
    if d > 0 {
        scores_into(&contiguous(embeddings), &contiguous(prototypes), d, &mut s);
    }
    Ok(array((rows, k), s))
}

/// Gradients of [`scores`]: dZ = dS C and dC = dSᵀ Z.
///
/// # Errors
///
/// [`Error::Shape`] when the three arrays do not fit.
#[inline(never)]
pub fn scores_backward<T: Real>(
    embeddings: &ArrayRef2<T>,
    prototypes: &ArrayRef2<T>,
    d_scores: &ArrayRef2<T>,
) -> Result<(Array2<T>, Array2<T>), Error> {
    let ((rows, d), (k, _)) = (embeddings.dim(), prototypes.dim());
    Error::shape("prototypes", [k, d], prototypes.dim().into())?;
    Error::shape("gradient of the scores", [rows, k], d_scores.dim().into())?;
    let (mut dz, mut dc) = (alloc::vec![T::ZERO; rows * d], alloc::vec![T::ZERO; k * d]);
    if d > 0 {
        let ds: &[T] = &contiguous(d_scores);
        embeddings_gradient_into(ds, &contiguous(prototypes), d, &mut dz);
        prototypes_gradient_into(ds, &contiguous(embeddings), d, false, &mut dc);
    }
    Ok((array((rows, d), dz), array((k, d), dc)))
}

/// Divides each prototype by its length, as the published run does before each forward pass.
///
/// # Panics
///
/// When the slice does not hold whole rows.
#[inline(never)]
pub fn normalize_prototypes<T: Real>(prototypes: &mut [T], dimension: usize) {
    l2_normalize_in_place(prototypes, dimension);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::uniform;
    use alloc::vec::Vec;

    #[test]
    fn scores_and_gradients_are_the_products() {
        // 150 rows and 70 prototypes: more than one piece of each.
        let (z, c, ds) = (uniform(1, (150, 9)), uniform(2, (70, 9)), uniform(3, (150, 70)));
        let close = |a: &Array2<f64>, b: &Array2<f64>| {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 150.0 * f64::EPSILON));
        };
        close(&scores(&z, &c).unwrap(), &z.dot(&c.t()));
        let (dz, dc) = scores_backward(&z, &c, &ds).unwrap();
        close(&dz, &ds.dot(&c));
        close(&dc, &ds.t().dot(&z));
        let mut twice = dc.as_slice().unwrap().to_vec();
        let (ds, z) = (ds.as_slice().unwrap(), z.as_slice().unwrap());
        prototypes_gradient_into(ds, z, 9, true, &mut twice);
        close(&Array2::from_shape_vec((70, 9), twice).unwrap(), &(dc * 2.0));
    }

    #[test]
    fn no_rows_and_no_prototypes_are_legal() {
        let (z, c) = (Array2::<f32>::zeros((0, 4)), Array2::<f32>::zeros((3, 4)));
        assert_eq!(scores(&z, &c).unwrap().dim(), (0, 3));
        let (dz, dc) = scores_backward(&z, &c, &Array2::zeros((0, 3))).unwrap();
        assert_eq!((dz.dim(), dc.sum()), ((0, 4), 0.0));
        let (dz, _) = scores_backward(&c, &z, &Array2::zeros((3, 0))).unwrap();
        assert_eq!(dz.sum(), 0.0);
        let error = scores(&z, &Array2::zeros((3, 5))).unwrap_err();
        assert_eq!(error, Error::Shape { what: "prototypes", expected: [3, 4], found: [3, 5] });
    }

    #[test]
    fn normalised_prototypes_have_unit_length() {
        let mut c: Vec<f64> = uniform(4, (40, 7)).into_iter().collect();
        normalize_prototypes(&mut c, 7);
        let norm = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
        assert!(c.chunks(7).all(|row| (norm(row) - 1.0).abs() < 8.0 * f64::EPSILON));
    }
}
