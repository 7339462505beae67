//! The inputs of the reference cases: made bit for bit from a small generator, so that only expected figures are
//! stored.

use ndarray::{Array1, Array2, Axis};

/// Numbers in [0, 1): s ← 6364136223846793005 s + 1442695040888963407 mod 2⁶⁴ from s = seed (Knuth's MMIX), each
/// ⌊s/2¹¹⌋ 2⁻⁵³.
pub(crate) fn lcg(seed: u64) -> impl Iterator<Item = f64> {
    let next = |s: &u64| {
        Some(s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    let states = std::iter::successors(Some(seed), next).skip(1);
    states.map(|s| (s >> 11) as f64 * 2.0_f64.powi(-53))
}

/// The first k of them.
pub fn draws(seed: u64, k: usize) -> Vec<f64> {
    lcg(seed).take(k).collect()
}

/// (n, d) of them, row after row.
pub fn points(seed: u64, n: usize, d: usize) -> Array2<f64> {
    matrix(n, d, draws(seed, n * d))
}

/// (n, d) from its entries, row after row.
pub(crate) fn matrix(n: usize, d: usize, entries: Vec<f64>) -> Array2<f64> {
    Array2::from_shape_vec((n, d), entries).expect("n · d entries")
}

/// (0.1 + u_i) / Σ (0.1 + u)
pub fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w: Vec<f64> = draws(seed, n).iter().map(|u| 0.1 + u).collect();
    let sum: f64 = w.iter().sum();
    w.iter().map(|w| w / sum).collect()
}

/// 1/n, n times
pub fn uniform(n: usize) -> Array1<f64> {
    Array1::from_elem(n, 1.0 / n as f64)
}

/// A Gaussian sampled at i/(n − 1), of sum 1.
pub fn bump(n: usize, centre: f64, width: f64) -> Array1<f64> {
    let w = |i: usize| (-0.5 * ((i as f64 / (n - 1) as f64 - centre) / width).powi(2)).exp();
    normalized(&(0..n).map(w).collect())
}

/// w / Σ w
pub fn normalized(w: &Array1<f64>) -> Array1<f64> {
    w / w.sum()
}

/// Rows over their Euclidean lengths.
pub fn unit_rows(x: &Array2<f64>) -> Array2<f64> {
    let lengths = x.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    x / &lengths.insert_axis(Axis(1))
}

/// ‖x_i − y_j‖², (n, m)
pub fn squared(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    let cost = |(i, j)| {
        let d = &x.row(i) - &y.row(j);
        d.dot(&d)
    };
    Array2::from_shape_fn((x.nrows(), y.nrows()), cost)
}

/// (i/(n − 1) − j/(n − 1))², (n, n)
pub fn line_cost(n: usize) -> Array2<f64> {
    let t = |i: usize| i as f64 / (n - 1) as f64;
    Array2::from_shape_fn((n, n), |(i, j)| (t(i) - t(j)).powi(2))
}

/// The problem that most cases are about: 5 points and 4 points in the plane, weights that are not uniform, the squared
/// distance.
#[derive(Clone, Debug)]
pub struct Base {
    /// (5, 2)
    pub x: Array2<f64>,
    /// (4, 2)
    pub y: Array2<f64>,
    /// (5)
    pub a: Array1<f64>,
    /// (4)
    pub b: Array1<f64>,
    /// (5, 4)
    pub cost: Array2<f64>,
}

impl Base {
    /// x = points(1, 5, 2), y = points(2, 4, 2), a = weights(3, 5), b = weights(4, 4).
    pub fn new() -> Self {
        let (x, y) = (points(1, 5, 2), points(2, 4, 2));
        let cost = squared(&x, &y);
        Base { x, y, a: weights(3, 5), b: weights(4, 4), cost }
    }
}

impl Default for Base {
    fn default() -> Self {
        Self::new()
    }
}
