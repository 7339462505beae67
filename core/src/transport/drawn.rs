//! Problems that the derivatives are held to differences on.

use super::*;
use crate::laws::{draws, uniform};
use alloc::vec::Vec;
use ndarray::{Array1, Array2};

pub(super) const HARD: f64 = f64::INFINITY;

/// A problem with its data, to be moved and solved again.
#[derive(Clone)]
pub(super) struct Drawn {
    pub(super) cost: Array2<f64>,
    pub(super) a: Array1<f64>,
    pub(super) b: Array1<f64>,
    pub(super) epsilon: f64,
    pub(super) rho: [f64; 2],
    pub(super) reference: Reference,
}

impl Drawn {
    /// 7 × 5, a mass of 1.7 (b of 1.1 where that may be), a weight of 0 on each side.
    pub(super) fn new(epsilon: f64, rho: [f64; 2], reference: Reference) -> Self {
        let weights = |seed, n, zero: usize| {
            let mut w = Array1::from_vec(draws(seed, n)) + 0.1;
            w[zero] = 0.0;
            1.7 / w.sum() * w
        };
        // Where masses may differ, they do.
        let mass = if rho == [HARD; 2] { 1.0 } else { 1.1 / 1.7 };
        let (a, b) = (weights(2, 7, 2), weights(3, 5, 1) * mass);
        Drawn { cost: uniform(1, (7, 5)) + 0.5, a, b, epsilon, rho, reference }
    }

    pub(super) fn solved<A>(&self, then: impl Fn(&Solution<'_, f64>) -> A) -> A {
        let marginals =
            self.rho.map(|rho| if rho == HARD { Marginal::Hard } else { Marginal::Kl(rho) });
        let geometry = Dense::new(&self.cost);
        let problem =
            Problem::with_marginals(&geometry, &self.a, &self.b, self.epsilon, marginals).unwrap();
        let problem = problem.with_reference(self.reference);
        let options = Sinkhorn { tolerance: 1e-15, max_iterations: 100_000, ..Sinkhorn::default() };
        then(&options.solve(&problem).unwrap())
    }

    /// With the weights moved by relative amounts, of one mass where both marginals are hard, and that is not 0.
    pub(super) fn weights_direction(&self) -> [Array1<f64>; 2] {
        let da = &self.a * &Array1::from_vec(draws(5, 7));
        let db = &self.b * &(Array1::from_vec(draws(6, 5)) - 0.2);
        let same = if self.rho == [HARD; 2] { da.sum() / db.sum() } else { 1.0 };
        [da, db * same]
    }

    pub(super) fn with_weights(&self, [da, db]: &[Array1<f64>; 2], t: f64) -> Self {
        Drawn { a: &self.a + &(da * t), b: &self.b + &(db * t), ..self.clone() }
    }

    pub(super) fn with_cost(&self, d_cost: &Array2<f64>, t: f64) -> Self {
        Drawn { cost: &self.cost + &(d_cost * t), ..self.clone() }
    }

    pub(super) fn with_epsilon(&self, t: f64) -> Self {
        Drawn { epsilon: self.epsilon + t, ..self.clone() }
    }

    pub(super) fn name(&self) -> alloc::string::String {
        alloc::format!("{} {:?} {:?}", self.epsilon, self.rho, self.reference)
    }

    /// The value, whose error is the square of that of the potentials.
    pub(super) fn value(&self) -> f64 {
        self.solved(|s| s.dual())
    }
}

pub(super) fn every_kind() -> Vec<Drawn> {
    let mut all = Vec::new();
    for rho in [[HARD; 2], [1.0, 0.4], [HARD, 0.7], [2.0, HARD]] {
        for reference in [Reference::Product, Reference::Counting] {
            for epsilon in [0.5, 0.1, 0.02] {
                all.push(Drawn::new(epsilon, rho, reference));
            }
        }
    }
    all
}

/// A step in a parameter without unit. The error of a five-point difference is h⁴/30 times a fifth derivative, 5e-13 of
/// that or, where small ε lets those grow, 2e-19; and rounding over h, 500 or 20 000 times.
pub(super) fn step(epsilon: f64) -> f64 {
    if epsilon < 0.05 { 5e-5 } else { 2e-3 }
}

/// Derivative at 0 from above; error h⁴ f⁽⁵⁾/5.
pub(super) fn forward(f: impl Fn(f64) -> f64, h: f64) -> f64 {
    let values = [0.0, 1.0, 2.0, 3.0, 4.0].map(|k| f(k * h));
    let factors = [-25.0, 48.0, -36.0, 16.0, -3.0];
    values.iter().zip(factors).map(|(v, k)| v * k).sum::<f64>() / (12.0 * h)
}
