//! The two directions of largest variance, for a map that fits on a page.
//!
//! Orthogonal iteration on the covariance (X − μ)ᵀ(X − μ)/N, which is never formed, with a few more columns than are
//! wanted, and at the end the exact eigenvectors within their span (Rayleigh and Ritz). In f64, one thread, from
//! fixed starting vectors: the same bits always.

use ndarray::{Array1, Array2, ArrayRef2, Axis, s};

use crate::rng::{Stream, Use};

/// Directions that are iterated; two of them are reported.
const COLUMNS: usize = 8;
/// Iterations at most. The error of a direction falls by (λ₉/λ₂) each.
const ITERATIONS: usize = 200;

/// Rows in the plane of largest variance.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    /// Coordinates of each row, (N, 2).
    pub points: Array2<f64>,
    /// Share of the variance along each of the two directions.
    pub share: [f64; 2],
    /// The directions, (2, D), unit rows whose largest entry is positive.
    pub directions: Array2<f64>,
}

/// Projects the rows of `x` (N, D) to the plane of largest variance.
///
/// # Panics
/// If `x` has no row or no column.
pub fn plane(x: &ArrayRef2<f32>) -> Plane {
    let (n, d) = x.dim();
    assert!(n > 0 && d > 0, "no plane through {n} rows of {d}");
    let mut x = x.mapv(f64::from);
    let mean = x.mean_axis(Axis(0)).expect("there is at least one row");
    x -= &mean;
    let total = x.iter().map(|v| v * v).sum::<f64>() / n as f64;
    let columns = COLUMNS.min(d);
    let mut stream = Stream::new(0, Use::Initialisation, 0);
    let mut basis = Array2::from_shape_simple_fn((d, columns), || stream.normal());
    orthonormalise(&mut basis);
    let mut largest = 0.0;
    for _ in 0..ITERATIONS {
        basis = x.t().dot(&x.dot(&basis)) / n as f64;
        let lengths = orthonormalise(&mut basis);
        // The sum of the estimates grows towards its limit; what it gains falls twice as fast as the error.
        let sum: f64 = lengths.iter().take(2).sum();
        if (sum - largest).abs() <= 1e-15 * sum {
            break;
        }
        largest = sum;
    }
    let projected = x.dot(&basis);
    let small = projected.t().dot(&projected) / n as f64;
    let (values, vectors) = symmetric_eigen(small);
    let kept = 2.min(columns);
    let mut directions = Array2::zeros((2, d));
    let mut share = [0.0; 2];
    for i in 0..kept {
        let mut direction: Array1<f64> = basis.dot(&vectors.column(i));
        let peak =
            direction.iter().copied().fold(0.0, |m: f64, v| if v.abs() > m.abs() { v } else { m });
        if peak < 0.0 {
            direction.mapv_inplace(|v| -v);
        }
        directions.row_mut(i).assign(&direction);
        share[i] = if total > 0.0 { values[i] / total } else { 0.0 };
    }
    let points = x.dot(&directions.t());
    Plane { points, share, directions }
}

/// Gram and Schmidt, twice for orthogonality to rounding; returns the lengths that the columns had. A column
/// without a direction of its own becomes zero.
fn orthonormalise(basis: &mut Array2<f64>) -> Vec<f64> {
    let mut lengths = Vec::new();
    for j in 0..basis.ncols() {
        let before = basis.column(j).dot(&basis.column(j)).sqrt();
        for _ in 0..2 {
            for i in 0..j {
                let (done, mut rest) = basis.view_mut().split_at(Axis(1), j);
                let overlap = done.column(i).dot(&rest.column(0));
                rest.column_mut(0).scaled_add(-overlap, &done.column(i));
            }
        }
        let length = basis.column(j).dot(&basis.column(j)).sqrt();
        lengths.push(length);
        let scale = if length > 1e-13 * before { 1.0 / length } else { 0.0 };
        basis.column_mut(j).mapv_inplace(|v| v * scale);
    }
    lengths
}

/// Eigenvalues, largest first, and eigenvectors (columns) of a small symmetric matrix, by Jacobi's rotations.
fn symmetric_eigen(mut a: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut v = Array2::eye(n);
    for _ in 0..60 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|ij| a[ij] * a[ij]).sum();
        if off <= f64::MIN_POSITIVE {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]] == 0.0 {
                    continue;
                }
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (t * t + 1.0).sqrt();
                let sine = t * cosine;
                for i in 0..n {
                    let (x, y) = (a[[i, p]], a[[i, q]]);
                    (a[[i, p]], a[[i, q]]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                for i in 0..n {
                    let (x, y) = (a[[p, i]], a[[q, i]]);
                    (a[[p, i]], a[[q, i]]) = (cosine * x - sine * y, sine * x + cosine * y);
                    let (x, y) = (v[[i, p]], v[[i, q]]);
                    (v[[i, p]], v[[i, q]]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[[j, j]].total_cmp(&a[[i, i]]));
    let mut vectors = Array2::zeros((n, n));
    for (to, &from) in order.iter().enumerate() {
        vectors.slice_mut(s![.., to]).assign(&v.column(from));
    }
    (order.iter().map(|&i| a[[i, i]]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_covariance_gives_its_axes() {
        // Rows ±√(3λ_i) q_i with q an orthogonal basis of R³ (a rotation with rational entries): their
        // covariance is Σ λ_i q_i q_iᵀ, with λ = 9, 4, 1.
        let q = ndarray::arr2(&[[2.0, 1.0, 2.0], [-2.0, 2.0, 1.0], [1.0, 2.0, -2.0]]) / 3.0;
        let lambda = [9.0, 4.0, 1.0];
        let rows = Array2::from_shape_fn((6, 3), |(r, c)| {
            let sign = if r % 2 == 0 { 1.0 } else { -1.0 };
            (7.0 + sign * (3.0f64 * lambda[r / 2]).sqrt() * q[[r / 2, c]]) as f32
        });
        let found = plane(&rows);
        // Rows are rounded to f32 near 12, an error of 5e-7 in each of 3 entries of length at least √3.
        let tolerance = 2e-6;
        assert!((found.share[0] - 9.0 / 14.0).abs() < tolerance, "{:?}", found.share);
        assert!((found.share[1] - 4.0 / 14.0).abs() < tolerance);
        for i in 0..2 {
            let overlap = found.directions.row(i).dot(&q.row(i)).abs();
            assert!((overlap - 1.0).abs() < tolerance, "{overlap}");
        }
        assert!((found.points[[0, 0]].abs() - 27f64.sqrt()).abs() < 1e-5);
    }

    #[test]
    fn eigenvalues_are_those_of_the_matrix() {
        // [[2, 1], [1, 2]] has 3 and 1.
        let (values, vectors) = symmetric_eigen(ndarray::arr2(&[[2.0, 1.0], [1.0, 2.0]]));
        assert!((values[0] - 3.0).abs() < 1e-14 && (values[1] - 1.0).abs() < 1e-14);
        assert!((vectors[[0, 0]].abs() - 0.5f64.sqrt()).abs() < 1e-14);
    }

    #[test]
    fn degenerate_rows_are_no_error() {
        let same = plane(&Array2::from_elem((4, 3), 2.5f32));
        assert!(same.points.iter().all(|&v| v == 0.0) && same.share == [0.0, 0.0]);
        let line = plane(&ndarray::arr2(&[[0.0f32], [1.0], [2.0]]));
        assert!((line.share[0] - 1.0).abs() < 1e-15 && line.share[1] == 0.0);
    }
}
