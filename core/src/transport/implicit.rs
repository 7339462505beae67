//! Gradients of functions of the plan, or of the potentials: implicit differentiation, backward.
//!
//! # Derivation
//!
//! The plan P_ij = r_i s_j exp((f_i + g_j − C_ij)/ε) depends on C, a, b and ε directly, and through potentials that keep
//! the marginals. For L(P) with G = dL/dP let x and y be those that solve
//!
//! ```text
//! [ diag(p/τ_a)       P      ] [x]   [ (G∘P) 1  ]
//! [     Pᵀ        diag(q/τ_b)] [y] = [ (G∘P)ᵀ 1 ]
//! ```
//!
//! p = P 1, q = Pᵀ 1, τ = ρ/(ρ + ε), 1 where hard. By the implicit function theorem, with Z_ij = P_ij (G_ij − x_i − y_j),
//!
//! ```text
//! dL/dC = −Z/ε
//! dL/dε = −Σ_ij Z_ij (f_i + g_j − C_ij)/ε²
//! dL/da_i = p_i x_i / (τ_a a_i)     R = a⊗b;      p_i x_i / a_i     R = 1
//! ```
//!
//! and dL/db alike. The rows and columns of dL/dC sum to 0 where their marginals are hard, as they must: a constant added to a
//! row of C changes no plan. Of L(f, g), with df and dg its derivatives, ε df and ε dg take the place of the right-hand side,
//! and Z that of −P_ij (x_i + y_j).
//!
//! # Gauge
//!
//! Where both marginals are hard the matrix has the null space of the gauge, (1, −1); the right-hand side has no part in it,
//! so conjugate gradients solve it as it is, without a ridge. Gradients of the weights are then centred, see
//! [`WeightsGradient`]. A function of potentials that depends on their constant is taken at the ones with
//! ⟨a, f⟩ = ⟨b, g⟩.
//!
//! # Complexity
//!
//! Products with the plan, O(n m) each, the more the smaller ε is ([`Backward::products`]). Where the cost is stored, the plan
//! is too, meanwhile; else a product recomputes it and memory is O(n + m).
//!
//! # Limits
//!
//! A plan that hangs together by less than its rounding (well separated clusters at small ε) is taken as one that does not: constants between its parts are then arbitrary in gradients of the weights; that of
//! the cost is not affected. [`Backward::residual`] says how well the system was solved. Entries of the plan that are 0 take no
//! part, so G may be infinite there.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use super::geometry::{Geometry, Metric};
use super::gradient::WeightsGradient;
use super::pairs;
use super::problem::Reference;
use super::solution::Solution;
use super::sweep;
use super::system::{Fit, Values, fit};
use crate::error::Error;
use crate::real::Real;

/// dL/dP; nothing for a function of potentials alone.
struct Upstream<'s, T: Real>(Option<&'s dyn Geometry<T>>);

impl<T: Real> Values<T> for Upstream<'_, T> {
    const NAME: &'static str = "d_plan";

    fn fill(&self, i: usize, _: &[T], scratch: &mut [T], values: &mut [f64]) {
        match self.0 {
            None => values.fill(0.0),
            Some(d_plan) => {
                let row = sweep::row(d_plan, i, scratch);
                values.iter_mut().zip(row).for_each(|(value, g)| *value = g.to_f64());
            }
        }
    }
}

/// The gradients of a function of a plan or of potentials; those with the size of the cost are made when asked for.
///
/// By implicit differentiation: with G = dL/dP, and x, y that solve a linear system in which P, its sums and G stand,
///
/// ```text
/// dL/dC_ij = −P_ij (G_ij − x_i − y_j)/ε
/// ```
///
/// so rows and columns of dL/dC sum to 0 where marginals are hard. Nothing of the iteration is kept or run again.
///
/// # Complexity and limits
///
/// [`products`](Backward::products) with the plan, n m each, the more the smaller ε is; the plan is stored where the
/// cost is, else recomputed. The plan should have converged: the error is of first order in that of its marginals.
/// Where the plan falls into parts, gradients of the weights are right only along directions that keep each part's
/// mass.
pub struct Backward<'s, 'a, T: Real> {
    solution: &'s Solution<'a, T>,
    upstream: Upstream<'s, T>,
    fit: Fit,
    /// dL/da and dL/db.
    pub weights: WeightsGradient,
    /// dL/dε
    pub d_epsilon: f64,
    /// How exactly the linear system is solved: what is left over, relative to its right-hand side.
    pub residual: f64,
    /// Products with the plan that it took.
    pub products: u32,
}

impl<T: Real> core::fmt::Debug for Backward<'_, '_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Backward");
        f.field("weights", &self.weights).field("d_epsilon", &self.d_epsilon);
        f.field("residual", &self.residual).field("products", &self.products);
        f.finish_non_exhaustive()
    }
}

impl<'a, T: Real> Solution<'a, T> {
    /// Gradients of a function L of the plan from dL/dP, given as rows that are stored or computed:
    /// [`Dense`](super::Dense), [`Function`](super::Function).
    ///
    /// ```
    /// use ndarray::array;
    /// use swav_core::transport::{Dense, Problem, Sinkhorn};
    ///
    /// let cost = array![[0.0_f64, 1.0, 4.0], [1.0, 0.0, 1.0]];
    /// let (a, b) = (array![0.4, 0.6], array![0.3, 0.3, 0.4]);
    /// let geometry = Dense::new(&cost);
    /// let problem = Problem::new(&geometry, &a, &b, 0.5)?;
    /// let solution = Sinkhorn::default().solve(&problem)?;
    /// // L = P_00
    /// let d_plan = array![[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]];
    /// let d_plan = Dense::new(&d_plan);
    /// let d_cost = solution.plan_backward(&d_plan)?.cost();
    /// assert!(d_cost[[0, 0]] < 0.0); // a dearer way is used less
    /// assert!(d_cost.row(0).sum().abs() < 1e-12);
    /// # Ok::<(), swav_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when it has not the shape (n, m), [`Error::NonFinite`] for a row with a NaN or an infinity where
    /// the plan is not 0.
    #[inline(never)]
    pub fn plan_backward<'s>(
        &'s self,
        d_plan: &'s dyn Geometry<T>,
    ) -> Result<Backward<'s, 'a, T>, Error> {
        Error::shape("d_plan", self.problem.shape().into(), d_plan.shape().into())?;
        let (n, m) = self.problem.shape();
        let nothing = [alloc::vec![0.0; n], alloc::vec![0.0; m]];
        Backward::new(self, Upstream(Some(d_plan)), nothing, 0.0)
    }

    /// Gradients of a function of the potentials from its derivatives by f (n) and g (m). What they hold where there is no
    /// weight is taken as 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] and [`Error::NonFinite`] when they do not fit.
    #[inline(never)]
    pub fn potentials_backward(
        &self,
        d_f: &ArrayRef1<f64>,
        d_g: &ArrayRef1<f64>,
    ) -> Result<Backward<'_, 'a, T>, Error> {
        let problem = self.problem;
        let (n, m) = problem.shape();
        Error::shape("d_f", [n, 1], [d_f.len(), 1])?;
        Error::shape("d_g", [m, 1], [d_g.len(), 1])?;
        for (what, x) in [("d_f", d_f), ("d_g", d_g)] {
            if let Some(row) = x.iter().position(|x| !x.is_finite()) {
                return Err(Error::NonFinite { what, row: Some(row) });
            }
        }
        let with_weight = |x: &ArrayRef1<f64>, weights: &[f64]| -> Vec<f64> {
            let kept = |(&x, &weight): (&f64, &f64)| if weight > 0.0 { x } else { 0.0 };
            x.iter().zip(weights).map(kept).collect()
        };
        let mut sides = [with_weight(d_f, &problem.a), with_weight(d_g, &problem.b)];
        let mut constant = 0.0;
        if problem.balanced() {
            // What L asks of the constant, which ⟨a, f⟩ = ⟨b, g⟩ decides.
            let mass: f64 = problem.a.iter().sum();
            constant = (sides[0].iter().sum::<f64>() - sides[1].iter().sum::<f64>()) / (2.0 * mass);
            sides[0].iter_mut().zip(&problem.a).for_each(|(x, a)| *x -= constant * a);
            sides[1].iter_mut().zip(&problem.b).for_each(|(x, b)| *x += constant * b);
        }
        sides.iter_mut().flatten().for_each(|x| *x *= problem.epsilon);
        Backward::new(self, Upstream(None), sides, constant)
    }
}

impl<'s, 'a, T: Real> Backward<'s, 'a, T> {
    fn new(
        solution: &'s Solution<'a, T>,
        upstream: Upstream<'s, T>,
        [e, d]: [Vec<f64>; 2],
        constant: f64,
    ) -> Result<Self, Error> {
        let problem = solution.problem;
        let fit = fit(solution, &upstream, &e, &d)?;
        let [first_a, first_b] = fit.without_weight(solution, &upstream);
        let side = |which: usize| -> Array1<f64> {
            let (weights, potential, sums, x, right, first) = match which {
                0 => (&problem.a, &solution.f, &fit.rows, &fit.x, &e, &first_a),
                _ => (&problem.b, &solution.g, &fit.columns, &fit.y, &d, &first_b),
            };
            let tau = problem.marginals[which].tau(problem.epsilon);
            let constant = if which == 0 { -constant } else { constant };
            let slope = |i: usize| {
                let weight = weights[i];
                let own = if weight == 0.0 {
                    first[i]
                } else if problem.reference == Reference::Counting {
                    sums[i] * x[i] / weight
                } else {
                    (sums[i] * x[i] / tau - right[i]) / weight
                };
                own + constant * potential[i]
            };
            (0..weights.len()).map(slope).collect()
        };
        let weights = WeightsGradient::new(side(0), side(1), problem.balanced());
        let m = problem.shape().1;
        let start = || (alloc::vec![T::ZERO; m], alloc::vec![0.0; m], 0.0);
        let found = solution.over_rows(start, |i, cost, plan, (scratch, v, sum)| {
            upstream.fill(i, cost, scratch, v);
            for (j, p) in plan.iter().map(|p| p.to_f64()).enumerate().filter(|(_, p)| *p > 0.0) {
                let exponent = solution.f[i] + solution.g[j] - cost[j].to_f64();
                *sum -= p * (v[j] - fit.x[i] - fit.y[j]) * exponent;
            }
        });
        let d_epsilon =
            found.iter().map(|found| found.2).sum::<f64>() / (problem.epsilon * problem.epsilon);
        let (residual, products) = (fit.residual, fit.products);
        Ok(Backward { solution, upstream, fit, weights, d_epsilon, residual, products })
    }

    /// dL/dC, (n, m).
    #[inline(never)]
    pub fn cost(&self) -> Array2<T> {
        self.fit.all(self.solution, &self.upstream, -1.0 / self.solution.problem.epsilon)
    }

    /// dL/dx (n, d) and dL/dy (m, d), for a cost that is `metric` between the points; no matrix of pairs is stored.
    ///
    /// # Errors
    ///
    /// As [`Solution::points_gradient`].
    #[inline(never)]
    pub fn points(
        &self,
        x: &ArrayRef2<T>,
        y: &ArrayRef2<T>,
        metric: Metric,
    ) -> Result<[Array2<f64>; 2], Error> {
        let problem = self.solution.problem;
        pairs::check(problem.shape(), x, y)?;
        let fill = |rows: core::ops::Range<usize>, z: &mut [T]| {
            self.fit.fill(self.solution, &self.upstream, rows, -1.0 / problem.epsilon, z);
        };
        Ok(pairs::gradients(fill, x, y, metric))
    }
}

#[cfg(test)]
mod tests;
