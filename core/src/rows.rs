//! What is done to each row of a matrix by itself: log-sum-exp, softmax, log-softmax and L2
//! normalisation, each with its backward.
//!
//! The functions `*_into` work on slices that hold rows of `columns` numbers one after another; they
//! panic when lengths disagree. The functions over arrays allocate their result; an array whose rows
//! are not contiguous is copied once first.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use crate::chunks::{ROWS, *};
use crate::error::Error;
use crate::real::Real;
use crate::simd::{Simd, kernel, sweep};

/// Rows shorter than this are divided by this length instead: what PyTorch's `normalize` does.
pub const NORM_FLOOR: f64 = 1e-12;

/// The numbers of an array, row after row; a copy only when they do not lie so in memory.
pub(crate) fn contiguous<T: Real>(x: &ArrayRef2<T>) -> Cow<'_, [T]> {
    match x.as_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(x.iter().copied().collect()),
    }
}

/// An array made of rows that were just computed.
pub(crate) fn array<T: Real>(shape: (usize, usize), rows: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec(shape, rows).expect("the rows were allocated with this shape")
}

/// Largest number of a row; −∞ for an empty one.
#[inline(always)]
pub(crate) fn row_max<T: Real, S: Simd>(s: S, x: &[T]) -> T {
    let lowest = T::splat(s, -T::INFINITY);
    let mut top = [lowest; 4];
    let (head, tail) = T::split::<S>(x);
    // Four at a time, because one maximum waits for the one before.
    let (fours, rest) = head.as_chunks::<4>();
    for four in fours {
        for i in 0..4 {
            top[i] = T::vmax(s, top[i], four[i]);
        }
    }
    for &v in rest {
        top[0] = T::vmax(s, top[0], v);
    }
    if !tail.is_empty() {
        top[1] = T::vmax(s, top[1], T::load_tail(s, tail, -T::INFINITY));
    }
    T::max_lanes(s, T::vmax(s, T::vmax(s, top[0], top[1]), T::vmax(s, top[2], top[3])))
}

/// e = exp((x − shift) · factor), written to `e`; returns the sum.
#[inline(always)]
pub(crate) fn row_exp<T: Real, S: Simd>(s: S, x: &[T], shift: T, factor: T, e: &mut [T]) -> T {
    let (shift, factor) = (T::splat(s, shift), T::splat(s, factor));
    let mut sum = T::splat(s, T::ZERO);
    sweep!(s: S, T, x.len(); read [x in x, -T::INFINITY] update [] write [e in e] {
        let e = T::vexp(s, T::vmul(s, T::vsub(s, x, shift), factor));
        sum = T::vadd(s, sum, e);
        (e,)
    });
    T::sum_lanes(s, sum)
}

/// Σ exp((x − shift) · factor).
#[inline(always)]
pub(crate) fn row_exp_sum<T: Real, S: Simd>(s: S, x: &[T], shift: T, factor: T) -> T {
    let (shift, factor) = (T::splat(s, shift), T::splat(s, factor));
    let mut sum = T::splat(s, T::ZERO);
    sweep!(s: S, T, x.len(); read [x in x, -T::INFINITY] update [] write [] {
        let e = T::vexp(s, T::vmul(s, T::vsub(s, x, shift), factor));
        sum = T::vadd(s, sum, e);
    });
    T::sum_lanes(s, sum)
}

/// Σ x y.
#[inline(always)]
pub(crate) fn row_dot<T: Real, S: Simd>(s: S, x: &[T], y: &[T]) -> T {
    let zero = T::splat(s, T::ZERO);
    let mut sum = [zero; 4];
    let (x, x_tail) = T::split::<S>(x);
    let (y, y_tail) = T::split::<S>(y);
    let (x4, x_rest) = x.as_chunks::<4>();
    let (y4, y_rest) = y.as_chunks::<4>();
    for (x, y) in x4.iter().zip(y4) {
        for i in 0..4 {
            sum[i] = T::vfma(s, x[i], y[i], sum[i]);
        }
    }
    for (&x, &y) in x_rest.iter().zip(y_rest) {
        sum[0] = T::vfma(s, x, y, sum[0]);
    }
    if !x_tail.is_empty() {
        let (x, y) = (T::load_tail(s, x_tail, T::ZERO), T::load_tail(s, y_tail, T::ZERO));
        sum[1] = T::vfma(s, x, y, sum[1]);
    }
    T::sum_lanes(s, T::vadd(s, T::vadd(s, sum[0], sum[1]), T::vadd(s, sum[2], sum[3])))
}

/// x ← x · factor.
#[inline(always)]
pub(crate) fn row_scale<T: Real, S: Simd>(s: S, x: &mut [T], factor: T) {
    let factor = T::splat(s, factor);
    sweep!(s: S, T, x.len(); read [] update [x in x, T::ZERO] write [] {
        (T::vmul(s, x, factor),)
    });
}

/// ln Σ exp x of one row.
#[inline(always)]
pub(crate) fn row_log_sum_exp<T: Real, S: Simd>(s: S, x: &[T]) -> T {
    let top = row_max(s, x);
    if !top.is_finite() {
        // All −∞, or a +∞; a NaN may hide behind either and wins.
        return x.iter().fold(top, |m, &v| if v.partial_cmp(&v).is_some() { m } else { v });
    }
    let sum = row_exp_sum(s, x, top, T::ONE).to_f64();
    T::from_f64(top.to_f64() + Real::ln(sum))
}

kernel! {
    fn log_sum_exp_rows<'a, T, S>(s, x: &'a [T], columns: usize, y: &'a mut [T]) -> () {
        for (x, y) in x.chunks_exact(columns).zip(y) {
            *y = row_log_sum_exp(s, x);
        }
    }
}

kernel! {
    /// dx = dy exp(x − y)
    fn log_sum_exp_rows_backward<'a, T, S>(
        s, x: &'a [T], y: &'a [T], dy: &'a [T], columns: usize, dx: &'a mut [T],
    ) -> () {
        let rows = x.chunks_exact(columns).zip(dx.chunks_exact_mut(columns));
        for ((x, dx), (&y, &dy)) in rows.zip(y.iter().zip(dy)) {
            row_exp(s, x, y, T::ONE, dx);
            row_scale(s, dx, dy);
        }
    }
}

kernel! {
    fn softmax_rows<'a, T, S>(s, x: &'a [T], columns: usize, y: &'a mut [T]) -> () {
        for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
            let top = row_max(s, x);
            let sum = row_exp(s, x, top, T::ONE, y);
            row_scale(s, y, T::ONE / sum);
        }
    }
}

kernel! {
    /// dx = y (dy − ⟨y, dy⟩)
    fn softmax_rows_backward<'a, T, S>(
        s, y: &'a [T], dy: &'a [T], columns: usize, dx: &'a mut [T],
    ) -> () {
        let rows = y.chunks_exact(columns).zip(dy.chunks_exact(columns));
        for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(columns)) {
            let dot = T::splat(s, row_dot(s, y, dy));
            sweep!(s: S, T, columns; read [y in y, T::ZERO; dy in dy, T::ZERO] update []
                write [dx in dx] { (T::vmul(s, y, T::vsub(s, dy, dot)),) });
        }
    }
}

kernel! {
    fn log_softmax_rows<'a, T, S>(s, x: &'a [T], columns: usize, y: &'a mut [T]) -> () {
        for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
            let lse = T::splat(s, row_log_sum_exp(s, x));
            sweep!(s: S, T, columns; read [x in x, T::ZERO] update [] write [y in y] {
                (T::vsub(s, x, lse),)
            });
        }
    }
}

kernel! {
    /// dx = dy − exp(y) Σ dy
    fn log_softmax_rows_backward<'a, T, S>(
        s, y: &'a [T], dy: &'a [T], columns: usize, dx: &'a mut [T],
    ) -> () {
        let rows = y.chunks_exact(columns).zip(dy.chunks_exact(columns));
        for ((y, dy), dx) in rows.zip(dx.chunks_exact_mut(columns)) {
            let mut sum = T::splat(s, T::ZERO);
            sweep!(s: S, T, columns; read [dy in dy, T::ZERO] update [] write [] {
                sum = T::vadd(s, sum, dy);
            });
            let sum = T::splat(s, -T::sum_lanes(s, sum));
            sweep!(s: S, T, columns; read [y in y, T::ZERO; dy in dy, T::ZERO] update []
                write [dx in dx] { (T::vfma(s, T::vexp(s, y), sum, dy),) });
        }
    }
}

kernel! {
    /// y = x / n, n = max(‖x‖, floor)
    fn l2_rows<'a, T, S>(s, y: &'a mut [T], columns: usize, norms: Option<&'a mut [T]>) -> () {
        let mut norms = norms.map(|n| n.iter_mut());
        for y in y.chunks_exact_mut(columns) {
            let norm = row_dot(s, y, y).sqrt().max(T::from_f64(NORM_FLOOR));
            row_scale(s, y, T::ONE / norm);
            if let Some(n) = norms.as_mut().and_then(|n| n.next()) {
                *n = norm;
            }
        }
    }
}

kernel! {
    /// dx = (dy − y ⟨y, dy⟩) / n; below the floor n is a constant and dx = dy / n
    fn l2_rows_backward<'a, T, S>(
        s, y: &'a [T], norms: &'a [T], dy: &'a [T], columns: usize, dx: &'a mut [T],
    ) -> () {
        let floor = T::from_f64(NORM_FLOOR);
        let rows = y.chunks_exact(columns).zip(dy.chunks_exact(columns));
        for (((y, dy), dx), &norm) in rows.zip(dx.chunks_exact_mut(columns)).zip(norms) {
            let dot = if norm > floor { -row_dot(s, y, dy) } else { T::ZERO };
            let (dot, scale) = (T::splat(s, dot), T::splat(s, T::ONE / norm));
            sweep!(s: S, T, columns; read [y in y, T::ZERO; dy in dy, T::ZERO] update []
                write [dx in dx] { (T::vmul(s, T::vfma(s, y, dot, dy), scale),) });
        }
    }
}

/// Every slice must hold as many rows as `rows`.
#[track_caller]
fn same(columns: usize, lengths: &[usize]) {
    assert!(
        lengths.iter().all(|&l| l == lengths[0])
            && columns > 0
            && lengths[0].is_multiple_of(columns),
        "rows of {columns} columns cannot come from slices of {lengths:?} numbers"
    );
}

/// y = softmax of each row: y_k = exp(x_k − m) / Σ exp(x_j − m), m the row's largest.
///
/// # Panics
///
/// When the slices differ in length or do not hold whole rows.
#[inline(never)]
pub fn softmax_into<T: Real>(x: &[T], columns: usize, y: &mut [T]) {
    same(columns, &[x.len(), y.len()]);
    let size = ROWS * columns;
    x.par_chunks(size).zip(y.par_chunks_mut(size)).for_each(|(x, y)| softmax_rows(x, columns, y));
}

/// dx = y (dy − ⟨y, dy⟩) by row, y from [`softmax_into`].
///
/// # Panics
///
/// When the slices differ in length or do not hold whole rows.
#[inline(never)]
pub fn softmax_backward_into<T: Real>(y: &[T], dy: &[T], columns: usize, dx: &mut [T]) {
    same(columns, &[y.len(), dy.len(), dx.len()]);
    let size = ROWS * columns;
    (y.par_chunks(size).zip(dy.par_chunks(size)).zip(dx.par_chunks_mut(size)))
        .for_each(|((y, dy), dx)| softmax_rows_backward(y, dy, columns, dx));
}

/// y = x − ln Σ exp x by row.
///
/// # Panics
///
/// When the slices differ in length or do not hold whole rows.
#[inline(never)]
pub fn log_softmax_into<T: Real>(x: &[T], columns: usize, y: &mut [T]) {
    same(columns, &[x.len(), y.len()]);
    let size = ROWS * columns;
    x.par_chunks(size)
        .zip(y.par_chunks_mut(size))
        .for_each(|(x, y)| log_softmax_rows(x, columns, y));
}

/// dx = dy − exp(y) Σ dy by row, y from [`log_softmax_into`].
///
/// # Panics
///
/// When the slices differ in length or do not hold whole rows.
#[inline(never)]
pub fn log_softmax_backward_into<T: Real>(y: &[T], dy: &[T], columns: usize, dx: &mut [T]) {
    same(columns, &[y.len(), dy.len(), dx.len()]);
    let size = ROWS * columns;
    (y.par_chunks(size).zip(dy.par_chunks(size)).zip(dx.par_chunks_mut(size)))
        .for_each(|((y, dy), dx)| log_softmax_rows_backward(y, dy, columns, dx));
}

/// Divides each row by its length, or by [`NORM_FLOOR`] when it is shorter than that.
///
/// # Panics
///
/// When the slice does not hold whole rows.
#[inline(never)]
pub fn l2_normalize_in_place<T: Real>(x: &mut [T], columns: usize) {
    same(columns, &[x.len()]);
    x.par_chunks_mut(ROWS * columns).for_each(|x| l2_rows(x, columns, None));
}

/// y = x / n with n = max(‖x‖, [`NORM_FLOOR`]) by row; `norms` receives the n.
///
/// # Panics
///
/// When the slices differ in length or do not hold whole rows, or `norms` is not one number a row.
#[inline(never)]
pub fn l2_normalize_into<T: Real>(x: &[T], columns: usize, y: &mut [T], norms: &mut [T]) {
    same(columns, &[x.len(), y.len(), norms.len() * columns]);
    y.copy_from_slice(x);
    (y.par_chunks_mut(ROWS * columns).zip(norms.par_chunks_mut(ROWS)))
        .for_each(|(y, n)| l2_rows(y, columns, Some(n)));
}

/// dx = (dy − y ⟨y, dy⟩) / n by row; where the floor was used, dx = dy / n.
///
/// # Panics
///
/// When the slices differ in length or do not hold whole rows, or `norms` is not one number a row.
#[inline(never)]
pub fn l2_normalize_backward_into<T: Real>(
    y: &[T],
    norms: &[T],
    dy: &[T],
    columns: usize,
    dx: &mut [T],
) {
    same(columns, &[y.len(), dy.len(), dx.len(), norms.len() * columns]);
    let size = ROWS * columns;
    (y.par_chunks(size).zip(dy.par_chunks(size)))
        .zip(dx.par_chunks_mut(size).zip(norms.par_chunks(ROWS)))
        .for_each(|((y, dy), (dx, n))| l2_rows_backward(y, n, dy, columns, dx));
}

/// ln Σ_k exp x_k of each row.
///
/// # Shapes
///
/// `x` (rows, K), result (rows). An empty row gives −∞.
///
/// ```
/// use ndarray::array;
/// use swav_core::rows::log_sum_exp;
/// let y = log_sum_exp(&array![[0.0_f64, 0.0], [1000.0, 1000.0]]);
/// assert!((y[0] - 2.0_f64.ln()).abs() < 1e-15);
/// assert!((y[1] - 1000.0 - 2.0_f64.ln()).abs() < 1e-12);
/// ```
#[inline(never)]
pub fn log_sum_exp<T: Real>(x: &ArrayRef2<T>) -> Array1<T> {
    let (rows, columns) = x.dim();
    let mut y = alloc::vec![-T::INFINITY; rows];
    if columns > 0 {
        (contiguous(x).par_chunks(ROWS * columns).zip(y.par_chunks_mut(ROWS)))
            .for_each(|(x, y)| log_sum_exp_rows(x, columns, y));
    }
    Array1::from_vec(y)
}

/// Gradient of [`log_sum_exp`]: dx_k = dy exp(x_k − y).
///
/// # Errors
///
/// [`Error::Shape`] when `y` or `dy` is not one number a row of `x`.
#[inline(never)]
pub fn log_sum_exp_backward<T: Real>(
    x: &ArrayRef2<T>,
    y: &ArrayRef1<T>,
    dy: &ArrayRef1<T>,
) -> Result<Array2<T>, Error> {
    let (rows, columns) = x.dim();
    Error::shape("y", [rows, 1], [y.len(), 1])?;
    Error::shape("dy", [rows, 1], [dy.len(), 1])?;
    let (y, dy): (Vec<T>, Vec<T>) = (y.iter().copied().collect(), dy.iter().copied().collect());
    let mut dx = alloc::vec![T::ZERO; x.len()];
    if columns > 0 {
        let x = contiguous(x);
        let size = ROWS * columns;
        (x.par_chunks(size).zip(dx.par_chunks_mut(size)))
            .zip(y.par_chunks(ROWS).zip(dy.par_chunks(ROWS)))
            .for_each(|((x, dx), (y, dy))| log_sum_exp_rows_backward(x, y, dy, columns, dx));
    }
    Ok(array(x.dim(), dx))
}

/// y_k = exp x_k / Σ_j exp x_j by row.
///
/// # Shapes
///
/// `x` and the result (rows, K).
///
/// ```
/// use ndarray::array;
/// use swav_core::rows::softmax;
/// assert_eq!(softmax(&array![[5.0_f32, 5.0]]), array![[0.5, 0.5]]);
/// ```
pub fn softmax<T: Real>(x: &ArrayRef2<T>) -> Array2<T> {
    let mut y = alloc::vec![T::ZERO; x.len()];
    if x.ncols() > 0 {
        softmax_into(&contiguous(x), x.ncols(), &mut y);
    }
    array(x.dim(), y)
}

/// Gradient of [`softmax`]: dx = y (dy − ⟨y, dy⟩) by row, from its result `y`.
///
/// # Errors
///
/// [`Error::Shape`] when `y` and `dy` differ in shape.
#[inline(never)]
pub fn softmax_backward<T: Real>(y: &ArrayRef2<T>, dy: &ArrayRef2<T>) -> Result<Array2<T>, Error> {
    Error::shape("dy", y.dim().into(), dy.dim().into())?;
    let mut dx = alloc::vec![T::ZERO; y.len()];
    if y.ncols() > 0 {
        softmax_backward_into(&contiguous(y), &contiguous(dy), y.ncols(), &mut dx);
    }
    Ok(array(y.dim(), dx))
}

/// y_k = x_k − ln Σ_j exp x_j by row.
///
/// # Shapes
///
/// `x` and the result (rows, K).
pub fn log_softmax<T: Real>(x: &ArrayRef2<T>) -> Array2<T> {
    let mut y = alloc::vec![T::ZERO; x.len()];
    if x.ncols() > 0 {
        log_softmax_into(&contiguous(x), x.ncols(), &mut y);
    }
    array(x.dim(), y)
}

/// Gradient of [`log_softmax`]: dx = dy − exp(y) Σ dy by row, from its result `y`.
///
/// # Errors
///
/// [`Error::Shape`] when `y` and `dy` differ in shape.
#[inline(never)]
pub fn log_softmax_backward<T: Real>(
    y: &ArrayRef2<T>,
    dy: &ArrayRef2<T>,
) -> Result<Array2<T>, Error> {
    Error::shape("dy", y.dim().into(), dy.dim().into())?;
    let mut dx = alloc::vec![T::ZERO; y.len()];
    if y.ncols() > 0 {
        log_softmax_backward_into(&contiguous(y), &contiguous(dy), y.ncols(), &mut dx);
    }
    Ok(array(y.dim(), dx))
}

/// Rows of unit length, y = x / n with n = max(‖x‖, [`NORM_FLOOR`]), and the n of each row.
///
/// # Shapes
///
/// `x` (rows, D), results (rows, D) and (rows).
///
/// ```
/// use ndarray::array;
/// use swav_core::rows::l2_normalize;
/// let (y, norms) = l2_normalize(&array![[3.0_f64, 4.0], [0.0, 0.0]]);
/// assert_eq!(norms[0], 5.0);
/// assert!((y[[0, 1]] - 0.8).abs() < 1e-15 && y[[1, 0]] == 0.0);
/// ```
#[inline(never)]
pub fn l2_normalize<T: Real>(x: &ArrayRef2<T>) -> (Array2<T>, Array1<T>) {
    let mut y = alloc::vec![T::ZERO; x.len()];
    let mut norms = alloc::vec![T::from_f64(NORM_FLOOR); x.nrows()];
    if x.ncols() > 0 {
        l2_normalize_into(&contiguous(x), x.ncols(), &mut y, &mut norms);
    }
    (array(x.dim(), y), Array1::from_vec(norms))
}

/// Gradient of [`l2_normalize`] from its results: dx = (dy − y ⟨y, dy⟩) / n; where the floor was
/// used, dx = dy / n.
///
/// # Errors
///
/// [`Error::Shape`] when `dy` has another shape than `y` or `norms` is not one number a row.
#[inline(never)]
pub fn l2_normalize_backward<T: Real>(
    y: &ArrayRef2<T>,
    norms: &ArrayRef1<T>,
    dy: &ArrayRef2<T>,
) -> Result<Array2<T>, Error> {
    Error::shape("dy", y.dim().into(), dy.dim().into())?;
    Error::shape("norms", [y.nrows(), 1], [norms.len(), 1])?;
    let norms: Vec<T> = norms.iter().copied().collect();
    let mut dx = alloc::vec![T::ZERO; y.len()];
    if y.ncols() > 0 {
        l2_normalize_backward_into(&contiguous(y), &norms, &contiguous(dy), y.ncols(), &mut dx);
    }
    Ok(array(y.dim(), dx))
}

#[cfg(test)]
mod tests;
