//! What the tests of this crate share: inputs, and gradients held to central differences.

use alloc::vec::Vec;
use ndarray::Array2;

/// The documented generator of the reference cases: a 64-bit congruential sequence, uniform in [0, 1).
pub(crate) fn draws(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(next).collect()
}

/// Numbers in [−½, ½).
pub(crate) fn uniform(seed: u64, (rows, columns): (usize, usize)) -> Array2<f64> {
    Array2::from_shape_vec((rows, columns), draws(seed, rows * columns)).unwrap() - 0.5
}

/// Derivative of f at 0 by the five-point difference; error h⁴ f⁽⁵⁾/30 plus ε f/h.
pub(crate) fn central(f: impl Fn(f64) -> f64, h: f64) -> f64 {
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

/// ⟨gradient, direction⟩ must be `slope`, relative to the size of its terms.
#[track_caller]
pub(crate) fn directional(gradient: &Array2<f64>, direction: &Array2<f64>, slope: f64, tol: f64) {
    let product = gradient * direction;
    let scale: f64 = product.iter().map(|x| x.abs()).sum::<f64>().max(1e-3);
    let found = product.sum();
    assert!((found - slope).abs() <= tol * scale, "gradient gives {found}, difference {slope}");
}
