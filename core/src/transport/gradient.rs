//! Derivatives of the value: what is known once the potentials are, without differentiating an iteration.
//!
//! # Derivation
//!
//! The value is a minimum over plans and a maximum over potentials, so its derivative is that of the objective with the
//! optimal plan and potentials held fixed (the envelope theorem). From
//!
//! ```text
//! W = min_P ⟨C, P⟩ + ε KL(P | R) + …    = max_{f,g} Φ_a(f) + Φ_b(g) − ε (Σ P − Σ R)
//! ```
//!
//! follow, with τ = ρ/(ρ + ε), m_a and m_b the masses,
//!
//! | with respect to | R = a⊗b | R = 1 |
//! | --- | --- | --- |
//! | C | P | P |
//! | ε | KL(P given R) | KL(P given R) |
//! | a, hard | f + ε (m_b − 1) | f |
//! | a, KL | −(ρ + ε) (exp(−f/ρ) − 1) + ε (m_b − 1) | −ρ (exp(−f/ρ) − 1) |
//! | x_i | Σ_j P_ij ∇c(x_i, y_j) | the same |
//!
//! For R = a⊗b the weights are in the reference measure too, which is where ε comes in; for R = 1 the f that the solver
//! returns contains ε ln a, so this is the f + ε ln a of the "entropy" form. Those of b and y are alike.
//!
//! # Weights: which directions
//!
//! Where both marginals are hard, only directions with Σ da = Σ db are feasible, and constants moved from one side to the
//! other mean nothing. [`WeightsGradient`] is therefore centred, each side to mean 0, which is right for all directions
//! that keep the mass; what a change of the mass does is a number of its own. Where a marginal is not hard, every
//! direction is feasible, the gradient is unique and nothing is centred.
//!
//! # Weights of 0
//!
//! have a gradient: that of adding the first atom there, from the soft transform of the other potential. (For R = 1 its
//! slope, ε ln a, is −∞; the part that is finite is returned.)
//!
//! # Limits
//!
//! A gradient is as good as the potentials: its error is of first order in the marginal error, that of the value of
//! second. One pass over the cost, O(n m) time; memory O(n + m), for points O((n + m) d) and a band of 8 MB.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef2};

use super::geometry::Metric;
use super::pairs;
use super::problem::{Marginal, Reference};
use super::solution::Solution;
use super::sweep;
use crate::error::Error;
use crate::real::Real;

/// A derivative with respect to the weights.
///
/// ```text
/// dW = ⟨d_a, da⟩ + ⟨d_b, db⟩ + d_mass Σ da        both marginals hard, Σ da = Σ db
/// dW = ⟨d_a, da⟩ + ⟨d_b, db⟩                      else, any da and db
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsGradient {
    /// (n); of mean 0 where both marginals are hard.
    pub d_a: Array1<f64>,
    /// (m); of mean 0 where both marginals are hard.
    pub d_b: Array1<f64>,
    /// What a unit of mass more on both sides does, spread evenly over the entries of each; 0 where a marginal is not
    /// hard.
    pub d_mass: f64,
}

impl WeightsGradient {
    pub(super) fn new(mut d_a: Array1<f64>, mut d_b: Array1<f64>, balanced: bool) -> Self {
        let mut d_mass = 0.0;
        if balanced {
            for side in [&mut d_a, &mut d_b] {
                let mean = side.sum() / side.len() as f64;
                side.iter_mut().for_each(|x| *x -= mean);
                d_mass += mean;
            }
        }
        WeightsGradient { d_a, d_b, d_mass }
    }
}

impl<T: Real> Solution<'_, T> {
    /// ∂W/∂C, (n, m): the plan.
    #[inline(never)]
    pub fn cost_gradient(&self) -> Array2<T> {
        self.plan()
    }

    /// ∂W/∂ε: KL(P | R).
    #[inline(never)]
    pub fn epsilon_gradient(&self) -> f64 {
        self.kl()
    }

    /// ∂W/∂a and ∂W/∂b, W being [`Solution::value`].
    ///
    /// The slope of a weight of 0 that may reach nothing is ρ + ε m_b where its marginal is KL (R = 1: ρ). Where it is
    /// hard, such a weight has none, and its potential is taken as 0.
    #[inline(never)]
    pub fn weights_gradient(&self) -> WeightsGradient {
        let problem = self.problem;
        let counting = problem.reference == Reference::Counting;
        let cut_off = self.cut_off();
        let side = |which: usize, potential: &Array1<f64>| -> Array1<f64> {
            let sides = [&problem.a, &problem.b];
            let (weights, other) = (sides[which], sides[1 - which]);
            let other: f64 = other.iter().sum();
            let (shift, epsilon) = if counting {
                (0.0, 0.0)
            } else {
                (problem.epsilon * (other - 1.0), problem.epsilon)
            };
            let slope = |(i, (&x, &weight)): (usize, (&f64, &f64))| match problem.marginals[which] {
                Marginal::Hard => x + shift,
                Marginal::Kl(rho) if weight == 0.0 && cut_off[which].get(i) == Some(&true) => {
                    shift + rho + epsilon
                }
                Marginal::Kl(rho) => shift - (rho + epsilon) * libm::expm1(-x / rho),
            };
            potential.iter().zip(weights).enumerate().map(slope).collect()
        };
        WeightsGradient::new(side(0, &self.f), side(1, &self.g), problem.balanced())
    }

    /// ∂W/∂x (n, d) and ∂W/∂y (m, d), for a cost that is `metric` between the points `x` (n, d) and `y` (m, d), or that
    /// of another geometry made from it, as [`Masked`](super::Masked).
    ///
    /// Where the metric has no gradient, two points in one place of [`Metric::Euclidean`], theirs is taken as 0; so is
    /// that of a point at 0 for [`Metric::Cosine`].
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when the points do not fit the problem, [`Error::NonFinite`] for a NaN or an infinity.
    #[inline(never)]
    pub fn points_gradient(
        &self,
        x: &ArrayRef2<T>,
        y: &ArrayRef2<T>,
        metric: Metric,
    ) -> Result<[Array2<f64>; 2], Error> {
        pairs::check(self.problem.shape(), x, y)?;
        let columns = self.columns();
        let fill = |rows: core::ops::Range<usize>, plan: &mut [T]| {
            let m = columns.len();
            let mut scratch = alloc::vec![T::ZERO; m];
            for (i, plan) in rows.zip(plan.chunks_exact_mut(m)) {
                self.plan_row(i, &columns, &mut scratch, plan);
            }
        };
        Ok(pairs::gradients(fill, x, y, metric))
    }

    /// Rows and columns without weight that may reach nothing with weight; empty when there can be none.
    fn cut_off(&self) -> [Vec<bool>; 2] {
        let problem = self.problem;
        let (n, m) = problem.shape();
        if !problem.range.forbidden || !problem.a.iter().chain(&problem.b).any(|&w| w == 0.0) {
            return [Vec::new(), Vec::new()];
        }
        let mut cut_off = [alloc::vec![true; n], alloc::vec![true; m]];
        let mut scratch = alloc::vec![T::ZERO; m];
        for i in 0..n {
            let cost = sweep::row(problem.geometry, i, &mut scratch);
            for j in (0..m).filter(|&j| cost[j].to_f64() < f64::INFINITY) {
                cut_off[0][i] &= problem.b[j] == 0.0;
                cut_off[1][j] &= problem.a[i] == 0.0;
            }
        }
        cut_off
    }
}

#[cfg(test)]
mod tests;
