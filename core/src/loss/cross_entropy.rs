//! Cross-entropy with class labels.

use alloc::vec::Vec;

use ndarray::{Array2, ArrayRef2};

use crate::chunks::{ROWS, *};
use crate::error::Error;
use crate::real::Real;
use crate::rows::{array, contiguous, row_exp, row_max, row_scale};
use crate::simd::kernel;

/// Mean cross-entropy of scores against class labels, and its gradient.
///
/// ```text
/// ℓ = 1/N Σ_{b: t_b ≥ 0} (ln Σ_k exp s_bk − s_{b,t_b})
/// ```
///
/// with N = `count_total`, the labelled rows over all ranks. Rows with a label below 0 cost nothing and
/// have no gradient.
///
/// # Shapes
///
/// `scores` and the gradient (rows, K), `targets` (rows).
///
/// # Errors
///
/// [`Error::Shape`] when there is not one target a row; [`Error::Parameter`] for a target of K or more,
/// or for `count_total` 0 when a row has a label.
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::loss::cross_entropy;
/// let (value, gradient) = cross_entropy(&array![[0.0_f64, 0.0], [7.0, 3.0]], &[1, -1], 1)?;
/// assert!((value - 2.0_f64.ln()).abs() < 1e-15);
/// assert_eq!(gradient, array![[0.5, -0.5], [0.0, 0.0]]);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn cross_entropy<T: Real>(
    scores: &ArrayRef2<T>,
    targets: &[i32],
    count_total: usize,
) -> Result<(f64, Array2<T>), Error> {
    let mut gradient = alloc::vec![T::ZERO; scores.len()];
    let (rows, columns) = scores.dim();
    Error::shape("targets", [rows, 1], [targets.len(), 1])?;
    let s = contiguous(scores);
    let value =
        cross_entropy_into(&s, columns, targets, count_total, &mut gradient, &mut Vec::new())?;
    Ok((value, array((rows, columns), gradient)))
}

/// [`cross_entropy`] on slices; `scratch` holds partial sums, one number for 32 rows, and can be used
/// again.
///
/// # Errors
///
/// As [`cross_entropy`].
#[inline(never)]
pub fn cross_entropy_into<T: Real>(
    scores: &[T],
    columns: usize,
    targets: &[i32],
    count_total: usize,
    gradient: &mut [T],
    scratch: &mut Vec<f64>,
) -> Result<f64, Error> {
    let expected = [targets.len(), columns];
    if scores.len() != targets.len() * columns {
        return Err(Error::Shape { what: "scores", expected, found: [scores.len(), 1] });
    }
    if gradient.len() != scores.len() {
        return Err(Error::Shape { what: "gradient", expected, found: [gradient.len(), 1] });
    }
    if let Some(&target) = targets.iter().find(|&&t| t >= 0 && t as usize >= columns) {
        let requirement = "below the number of columns of the scores";
        return Err(Error::Parameter { name: "target", value: target as f64, requirement });
    }
    if targets.iter().all(|&t| t < 0) {
        gradient.fill(T::ZERO);
        return Ok(0.0);
    }
    if count_total == 0 {
        let requirement = "at least the number of labelled rows";
        return Err(Error::Parameter { name: "count_total", value: 0.0, requirement });
    }
    let weight = 1.0 / count_total as f64;
    scratch.clear();
    scratch.resize(targets.len().div_ceil(ROWS), 0.0);
    let size = ROWS * columns;
    (scores.par_chunks(size).zip(gradient.par_chunks_mut(size)))
        .zip(targets.par_chunks(ROWS).zip(scratch.par_chunks_mut(1)))
        .for_each(|((s, ds), (t, value))| {
            value[0] = cross_entropy_rows(s, columns, t, weight, ds);
        });
    Ok(scratch.iter().sum::<f64>() * weight)
}

kernel! {
    /// Writes the gradient of some rows, returns their value without its weight.
    fn cross_entropy_rows<'a, T, S>(
        s, scores: &'a [T], columns: usize, targets: &'a [i32], weight: f64, gradient: &'a mut [T],
    ) -> f64 {
        let mut value = 0.0;
        let each = scores.chunks_exact(columns).zip(gradient.chunks_exact_mut(columns));
        for ((x, dx), &target) in each.zip(targets) {
            if target < 0 {
                dx.fill(T::ZERO);
                continue;
            }
            let target = target as usize;
            let top = row_max(s, x);
            let sum = row_exp(s, x, top, T::ONE, dx).to_f64();
            value += Real::ln(sum) - (x[target].to_f64() - top.to_f64());
            row_scale(s, dx, T::from_f64(weight / sum));
            dx[target] -= T::from_f64(weight);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::{central, directional, uniform};
    use crate::rows::log_softmax;

    #[test]
    fn value_and_gradient_are_those_of_the_definition() {
        let scores = uniform(1, (50, 19)) * 8.0;
        let targets: Vec<i32> = (0..50).map(|i| (i * 7) % 20 - 1).collect();
        let plain = |scores: &Array2<f64>| {
            let logs = log_softmax(scores);
            let rows = targets.iter().enumerate().filter(|(_, t)| **t >= 0);
            -rows.map(|(b, &t)| logs[[b, t as usize]]).sum::<f64>() / 60.0
        };
        let (value, gradient) = cross_entropy(&scores, &targets, 60).unwrap();
        assert!((value - plain(&scores)).abs() < 1e-13);
        let direction = uniform(2, scores.dim());
        let at = |t| plain(&(&scores + &(&direction * t)));
        directional(&gradient, &direction, central(at, 1e-3), 1e-8);
        for (row, &target) in gradient.rows().into_iter().zip(&targets) {
            assert!(row.sum().abs() < 1e-16 && (target >= 0 || row.iter().all(|&g| g == 0.0)));
        }
    }

    #[test]
    fn what_is_refused() {
        let scores = Array2::<f32>::zeros((2, 3));
        assert!(matches!(cross_entropy(&scores, &[0, 3], 2), Err(Error::Parameter { .. })));
        assert!(matches!(cross_entropy(&scores, &[0, 1], 0), Err(Error::Parameter { .. })));
        assert!(matches!(cross_entropy(&scores, &[0], 2), Err(Error::Shape { .. })));
        assert_eq!(cross_entropy(&scores, &[-1, -1], 0).unwrap().0, 0.0);
    }
}
