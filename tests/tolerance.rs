//! Tolerances as functions: number of terms times machine epsilon times the scale of the data.

/// Rounding of a sum of `terms` values of size at most `scale` in f64, in any order: each addition rounds once.
pub fn sum_of(terms: usize, scale: f64) -> f64 {
    terms as f64 * f64::EPSILON * scale
}

/// Truncation and rounding of a central difference of a function with third derivative `third` and value of size
/// `value`, computed to `noise` relative: `h²/6 · third + noise · value / h`.
pub fn central_difference(h: f64, third: f64, value: f64, noise: f64) -> f64 {
    h * h / 6.0 * third + noise * value / h
}

/// ‖a − b‖ / ‖b‖, 0 when both are zero, NaN when anything is.
pub fn relative_norm(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "relative_norm: {} values against {}", a.len(), b.len());
    let difference = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
    if difference == 0.0 {
        return 0.0;
    }
    difference / b.iter().map(|y| y * y).sum::<f64>().sqrt()
}
