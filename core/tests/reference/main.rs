//! Figures that other implementations computed, which this one is held to.

mod derivatives;
mod measures;
mod swapped;
mod swapped_figures;
mod transport;
mod transport_figures;

use ndarray::Array2;

/// The generator of the reference inputs: a 64-bit congruential sequence, uniform in [0, 1).
fn draws(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(next).collect()
}

/// n points of d coordinates in [0, 1).
fn points(seed: u64, n: usize, d: usize) -> Array2<f64> {
    Array2::from_shape_vec((n, d), draws(seed, n * d)).unwrap()
}

#[test]
fn the_generator_is_the_documented_one() {
    assert_eq!(
        draws(1, 3),
        [0.423_209_170_872_713_26, 0.509_407_442_883_720_6, 0.648_359_393_963_430_6]
    );
}
