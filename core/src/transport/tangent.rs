//! Derivatives of the plan and the potentials along a direction: implicit differentiation, forward. And with it second
//! derivatives of the value.
//!
//! # Derivation
//!
//! Along a direction of the cost, the weights and ε,
//!
//! ```text
//! dP_ij = P_ij ((df_i + dg_j − dC_ij)/ε − (f_i + g_j − C_ij) dε/ε² + da_i/a_i + db_j/b_j)
//! ```
//!
//! (for R = 1 without the last two terms), and df, dg are such that the marginals follow: Σ_j dP_ij = da_i where hard, else the
//! derivative of a_i exp(−f_i/ρ). That is the same linear system as [backward](super::Backward), whose matrix is symmetric,
//! with the same cost and limits.
//!
//! The plan is the gradient of the value with respect to the cost, so dP is its Hessian times dC. For points
//! ([`Solution::points_hessian`], squared Euclidean distance) the chain rule adds what the turning of the gradient of a pair
//! does:
//!
//! ```text
//! d(∂W/∂x_i) = Σ_j dP_ij 2 (x_i − y_j) + Σ_j P_ij 2 (dx_i − dy_j),    dC_ij = 2 ⟨x_i − y_j, dx_i − dy_j⟩
//! ```

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use super::geometry::{Function, Geometry, Metric};
use super::pairs;
use super::problem::{Marginal, Problem, Reference};
use super::solution::Solution;
use super::sweep;
use super::system::{Fit, Values, fit};
use crate::error::Error;
use crate::real::Real;

/// Masses of a direction that differ by less than this part of its size are the same.
const SLACK: f64 = 1e-9;

/// A direction in which a problem moves; the default is none.
#[derive(Clone, Copy, Default)]
pub struct Direction<'v, T: Real> {
    /// dC, (n, m), in rows that are stored or computed.
    pub cost: Option<&'v dyn Geometry<T>>,
    /// da, (n); 0 where a is.
    pub a: Option<&'v ArrayRef1<f64>>,
    /// db, (m); 0 where b is, and of the sum of da where both marginals are hard.
    pub b: Option<&'v ArrayRef1<f64>>,
    /// dε
    pub epsilon: f64,
}

impl<T: Real> core::fmt::Debug for Direction<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Direction");
        f.field("cost", &self.cost.map(|cost| cost.shape())).field("a", &self.a);
        f.field("b", &self.b).field("epsilon", &self.epsilon).finish()
    }
}

/// −d ln P at potentials that stay.
struct Along<'v, T: Real> {
    cost: Option<&'v dyn Geometry<T>>,
    /// da/a and db/b where the reference measure holds the weights, else 0.
    relative: [Vec<f64>; 2],
    potentials: [Vec<f64>; 2],
    epsilon: f64,
    d_epsilon: f64,
}

impl<T: Real> Values<T> for Along<'_, T> {
    const NAME: &'static str = "direction of the cost";

    fn fill(&self, i: usize, cost: &[T], scratch: &mut [T], values: &mut [f64]) {
        let factor = self.d_epsilon / self.epsilon;
        let ([f, g], [a, b]) = (&self.potentials, &self.relative);
        for (((value, c), g), b) in values.iter_mut().zip(cost).zip(g).zip(b) {
            let exponent = if factor == 0.0 { 0.0 } else { f[i] + g - c.to_f64() };
            *value = factor * exponent / self.epsilon - a[i] - b;
        }
        if let Some(direction) = self.cost {
            let row = sweep::row(direction, i, scratch);
            values.iter_mut().zip(row).for_each(|(value, d)| *value += d.to_f64() / self.epsilon);
        }
    }
}

/// How the plan and the potentials move along a [`Direction`], by implicit differentiation:
///
/// ```text
/// dP_ij = P_ij ((df_i + dg_j − dC_ij)/ε − (f_i + g_j − C_ij) dε/ε² + da_i/a_i + db_j/b_j)
/// ```
///
/// with df, dg such that the marginals follow. Costs and limits are those of [`Backward`](super::Backward).
pub struct Tangent<'s, 'a, T: Real> {
    solution: &'s Solution<'a, T>,
    along: Along<'s, T>,
    fit: Fit,
    /// df, (n), in the gauge of the solution.
    pub d_f: Array1<f64>,
    /// dg, (m)
    pub d_g: Array1<f64>,
    /// How exactly the linear system is solved: what is left over, relative to its right-hand side.
    pub residual: f64,
    /// Products with the plan that it took.
    pub products: u32,
}

impl<T: Real> core::fmt::Debug for Tangent<'_, '_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Tangent");
        f.field("d_f", &self.d_f).field("d_g", &self.d_g);
        f.field("residual", &self.residual).field("products", &self.products);
        f.finish_non_exhaustive()
    }
}

impl<T: Real> Tangent<'_, '_, T> {
    /// dP, (n, m); where only the cost moves, the Hessian of the value times dC.
    #[inline(never)]
    pub fn plan(&self) -> Array2<T> {
        self.fit.all(self.solution, &self.along, -1.0)
    }
}

impl<'a, T: Real> Solution<'a, T> {
    /// Derivative of the plan and the potentials along a direction.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] and [`Error::NonFinite`] for a direction that does not fit; [`Error::Parameter`] for one that
    /// gives weight to a row or a column without; [`Error::MassMismatch`] when both marginals are hard and the
    /// sums of da and db differ.
    #[inline(never)]
    pub fn tangent<'s>(&'s self, direction: Direction<'s, T>) -> Result<Tangent<'s, 'a, T>, Error> {
        let problem = self.problem;
        if let Some(cost) = direction.cost {
            Error::shape("direction of the cost", problem.shape().into(), cost.shape().into())?;
        }
        if !direction.epsilon.is_finite() {
            return Err(Error::NonFinite { what: "direction of epsilon", row: None });
        }
        let d_a = moved("d_a", direction.a, &problem.a)?;
        let d_b = moved("d_b", direction.b, &problem.b)?;
        let sum = |x: &[f64]| x.iter().sum::<f64>();
        let size: f64 = d_a.iter().chain(&d_b).map(|x| x.abs()).sum();
        if problem.balanced() && (sum(&d_a) - sum(&d_b)).abs() > SLACK * size {
            return Err(Error::MassMismatch { a: sum(&d_a), b: sum(&d_b) });
        }
        let relative = |d: &[f64], weights: &[f64]| -> Vec<f64> {
            let inert = problem.reference == Reference::Counting;
            let ratio = |(&d, &w): (&f64, &f64)| if inert || w == 0.0 { 0.0 } else { d / w };
            d.iter().zip(weights).map(ratio).collect()
        };
        let along = Along {
            cost: direction.cost,
            relative: [relative(&d_a, &problem.a), relative(&d_b, &problem.b)],
            potentials: [self.f.to_vec(), self.g.to_vec()],
            epsilon: problem.epsilon,
            d_epsilon: direction.epsilon,
        };
        let asked = |d: &[f64], marginal: Marginal, potential: &Array1<f64>| -> Vec<f64> {
            let goal = |(&d, &x): (&f64, &f64)| match marginal {
                Marginal::Hard => d,
                Marginal::Kl(rho) => d * Real::exp(-x / rho),
            };
            d.iter().zip(potential).map(goal).collect()
        };
        let e = asked(&d_a, problem.marginals[0], &self.f);
        let d = asked(&d_b, problem.marginals[1], &self.g);
        let mut fit = fit(self, &along, &e, &d)?;
        settle(problem, self, &mut fit, [&d_a, &d_b]);
        let [first_a, first_b] = fit.without_weight(self, &along);
        let side = |which: usize, x: &[f64], first: &[f64], potential: &Array1<f64>| {
            let (weights, marginal) = ([&problem.a, &problem.b][which], problem.marginals[which]);
            // τ times the mean over what a first atom would do, a plan of this sum.
            let mean = |i: usize| match marginal {
                Marginal::Hard => first[i],
                Marginal::Kl(rho) => {
                    marginal.tau(problem.epsilon) * first[i] * Real::exp(potential[i] / rho)
                }
            };
            let of = |i: usize| problem.epsilon * if weights[i] > 0.0 { x[i] } else { mean(i) };
            (0..x.len()).map(of).collect::<Array1<f64>>()
        };
        let d_f = side(0, &fit.x, &first_a, &self.f);
        let d_g = side(1, &fit.y, &first_b, &self.g);
        let (residual, products) = (fit.residual, fit.products);
        Ok(Tangent { solution: self, along, fit, d_f, d_g, residual, products })
    }

    /// The Hessian of the value with respect to the points, times the direction `d_x` (n, d), `d_y` (m, d), for a cost that
    /// is the squared Euclidean distance between `x` and `y`. Returns both parts of the product; no matrix of pairs is
    /// stored.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] and [`Error::NonFinite`] for points or directions that do not fit.
    #[inline(never)]
    pub fn points_hessian(
        &self,
        [x, y]: [&ArrayRef2<T>; 2],
        [d_x, d_y]: [&ArrayRef2<T>; 2],
    ) -> Result<[Array2<f64>; 2], Error> {
        let problem = self.problem;
        pairs::check(problem.shape(), x, y)?;
        Error::shape("d_x", x.dim().into(), d_x.dim().into())?;
        Error::shape("d_y", y.dim().into(), d_y.dim().into())?;
        pairs::check(problem.shape(), d_x, d_y)?;
        let d_cost = |i: usize, j: usize| {
            let term = |k: usize| {
                let apart = x[[i, k]].to_f64() - y[[j, k]].to_f64();
                apart * (d_x[[i, k]].to_f64() - d_y[[j, k]].to_f64())
            };
            T::from_f64(2.0 * (0..x.ncols()).map(term).sum::<f64>())
        };
        let cost = Function::new(problem.shape(), d_cost);
        let tangent = self.tangent(Direction { cost: Some(&cost), ..Direction::default() })?;
        let fill = |rows: core::ops::Range<usize>, z: &mut [T]| {
            tangent.fit.fill(self, &tangent.along, rows, -1.0, z);
        };
        let metric = Metric::SquaredEuclidean;
        let [turned_x, turned_y] = self.points_gradient(d_x, d_y, metric)?;
        let [moved_x, moved_y] = pairs::gradients(fill, x, y, metric);
        Ok([moved_x + turned_x, moved_y + turned_y])
    }
}

/// A direction of weights: finite, and 0 where there are none.
fn moved(
    name: &'static str,
    direction: Option<&ArrayRef1<f64>>,
    weights: &[f64],
) -> Result<Vec<f64>, Error> {
    let Some(direction) = direction else { return Ok(alloc::vec![0.0; weights.len()]) };
    Error::shape(name, [weights.len(), 1], [direction.len(), 1])?;
    for (row, (&value, &weight)) in direction.iter().zip(weights).enumerate() {
        if !value.is_finite() {
            return Err(Error::NonFinite { what: name, row: Some(row) });
        }
        if weight == 0.0 && value != 0.0 {
            return Err(Error::Parameter { name, value, requirement: "0 where the weight is" });
        }
    }
    Ok(direction.to_vec())
}

/// Moves a constant so that ⟨a, f⟩ = ⟨b, g⟩ goes on to hold.
fn settle<T: Real>(
    problem: &Problem<'_, T>,
    solution: &Solution<'_, T>,
    fit: &mut Fit,
    [d_a, d_b]: [&[f64]; 2],
) {
    if !problem.balanced() {
        return;
    }
    let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let along = |d: &[f64], x: &Array1<f64>| d.iter().zip(x).map(|(d, x)| d * x).sum::<f64>();
    let apart = dot(&problem.b, &fit.y) - dot(&problem.a, &fit.x)
        + (along(d_b, &solution.g) - along(d_a, &solution.f)) / problem.epsilon;
    let shift = apart / (problem.a.iter().sum::<f64>() + problem.b.iter().sum::<f64>());
    fit.x.iter_mut().for_each(|x| *x += shift);
    fit.y.iter_mut().for_each(|y| *y -= shift);
}

#[cfg(test)]
mod tests;
