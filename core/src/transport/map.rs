//! What a solution says beyond its plan: vectors carried through it, where sources go, and potentials and maps at points
//! that took no part.
//!
//! # Potentials off the sample
//!
//! At the optimum f is the soft transform of g, which is a function of the row of costs alone, and so has a value at any
//! point x with costs c(x, y_j):
//!
//! ```text
//! f(x)  = −τ ε ln Σ_j r_j exp((g_j − c(x, y_j))/ε)         r = b, or 1 for Reference::Counting; τ = ρ/(ρ + ε), or 1 where hard
//! w_j   ∝ r_j exp((g_j − c(x, y_j))/ε)                     Σ_j w_j = 1
//! ∇f(x) = τ Σ_j w_j ∇ₓ c(x, y_j)
//! T(x)  = Σ_j w_j y_j
//! ```
//!
//! At a source x_i the weights w are its row of the plan divided by the row's sum, whatever its weight and its marginal, and
//! f(x_i) is f_i. With [`Reference::Counting`] a source's own weight is in its potential, f_i = f(x_i) + τ ε ln a_i: f(x) is
//! that of a point of weight 1. For the squared distance ∇f(x) = 2 τ (x − T(x)): the gradient is the map (Brenier; Pooladian and
//! Niles-Weed 2021).
//!
//! # Complexity and limits
//!
//! k points cost k m exps, and d multiplications more for maps and gradients; nothing of n m or k m is stored. A map is
//! an average of targets, so it stays within their convex hull and is drawn inwards by the blur of ε. Far from the
//! sources, by more than makes all targets but one dearer by many ε, it is that one target.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use super::geometry::{Geometry, Metric, Points};
use super::pairs::Pairs;
use super::solution::{Solution, by_rows};
use super::sweep;
use crate::error::Error;
use crate::real::Real;
use crate::rows::array;

impl<T: Real> Solution<'_, T> {
    /// Pᵀ u, (m), from `u` (n): what is carried from sources to targets, without forming the plan.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `u` is not (n).
    #[inline(never)]
    pub fn push(&self, u: &ArrayRef1<f64>) -> Result<Array1<f64>, Error> {
        let (n, m) = self.problem.shape();
        Error::shape("u", [n, 1], [u.len(), 1])?;
        let found = self.over_rows(
            || alloc::vec![0.0; m],
            |i, _, plan, sums| {
                for (sum, p) in sums.iter_mut().zip(plan) {
                    *sum += p.to_f64() * u[i];
                }
            },
        );
        let mut pushed = Array1::zeros(m);
        for sums in found {
            pushed.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
        }
        Ok(pushed)
    }

    /// P v, (n), from `v` (m): what is drawn from targets back to sources, without forming the plan.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `v` is not (m).
    #[inline(never)]
    pub fn pull(&self, v: &ArrayRef1<f64>) -> Result<Array1<f64>, Error> {
        Error::shape("v", [self.problem.shape().1, 1], [v.len(), 1])?;
        let found = self.over_rows(Vec::new, |_, _, plan, pulled: &mut Vec<f64>| {
            pulled.push(plan.iter().zip(v).map(|(p, v)| p.to_f64() * v).sum());
        });
        Ok(found.into_iter().flatten().collect())
    }

    /// Where each source goes, (n, d): the mean Σ_j P_ij y_j / Σ_j P_ij of the targets `y` (m, d) that it sends mass to. A
    /// source without weight goes where one of any weight would; one that may reach no target, to 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `y` has not m rows.
    #[inline(never)]
    pub fn barycentric(&self, y: &ArrayRef2<T>) -> Result<Array2<T>, Error> {
        self.map_at(self.problem.geometry, y)
    }

    /// The entropic map T(x) at k points from their costs `costs` (k, m) to the targets `y` (m, d): (k, d). A point that may
    /// reach no target goes to 0. O(k m) exps, O(k d) memory; T(x) lies in the convex hull of the targets.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `costs` has not m columns or `y` not m rows, [`Error::Entry`] for a NaN or −∞ in the costs.
    #[inline(never)]
    pub fn map_at(&self, costs: &dyn Geometry<T>, y: &ArrayRef2<T>) -> Result<Array2<T>, Error> {
        let (m, d) = (self.problem.shape().1, y.ncols());
        Error::shape("y", [m, d], y.dim().into())?;
        let found = self.weights_at(costs, |_, _, w, means: &mut Vec<T>| {
            let from = means.len();
            let mut mean = alloc::vec![0.0; d];
            for (w, y) in w.iter().zip(y.rows()).filter(|(w, _)| **w > T::ZERO) {
                mean.iter_mut().zip(y).for_each(|(to, y)| *to += w.to_f64() * y.to_f64());
            }
            means.resize(from + d, T::ZERO);
            means[from..].iter_mut().zip(mean).for_each(|(to, mean)| *to = T::from_f64(mean));
        })?;
        Ok(array((costs.shape().0, d), found.concat()))
    }

    /// The potential f(x) at k points from their costs `costs` (k, m) to the targets; 0 where no target may be reached.
    ///
    /// ```
    /// use ndarray::array;
    /// use swav_core::transport::{Dense, Points, Metric, Problem, Sinkhorn};
    ///
    /// let (x, y) = (array![[0.0_f64], [1.0]], array![[0.5], [2.0], [3.0]]);
    /// let geometry = Points::new(&x, &y, Metric::SquaredEuclidean)?;
    /// let (a, b) = (array![0.3, 0.7], array![0.2, 0.5, 0.3]);
    /// let problem = Problem::new(&geometry, &a, &b, 0.1)?;
    /// let solution = Sinkhorn::default().solve(&problem)?;
    /// let again = solution.potential_at(&geometry)?;
    /// assert!((again[1] - solution.f[1]).abs() < 1e-12);
    /// let between = array![[0.4]];
    /// let costs = Points::new(&between, &y, Metric::SquaredEuclidean)?;
    /// assert!(solution.map_at(&costs, &y)?[[0, 0]] > 0.5);
    /// # Ok::<(), swav_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `costs` has not m columns, [`Error::Entry`] for a NaN or −∞ in it.
    #[inline(never)]
    pub fn potential_at(&self, costs: &dyn Geometry<T>) -> Result<Array1<f64>, Error> {
        let (epsilon, tau) = (self.problem.epsilon, self.tau(0));
        let columns = self.columns();
        let found = self.weights_at(costs, |_, cost, _, potentials: &mut Vec<f64>| {
            // In f64 from the start: a potential has the digits of its own size.
            let z = |(g, c): (&T, &T)| g.to_f64() - c.to_f64();
            let top = columns.iter().zip(cost).map(z).fold(f64::NEG_INFINITY, f64::max);
            let e = |pair| Real::exp((z(pair) - top) / epsilon);
            let open = top > f64::NEG_INFINITY;
            let sum: f64 = if open { columns.iter().zip(cost).map(e).sum() } else { 1.0 };
            potentials.push(if open { -tau * (top + epsilon * Real::ln(sum)) } else { 0.0 });
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The potential g(y) at k targets that took no part, from the costs `costs` (n, k) of the sources to them; 0 where no
    /// source may reach. The same formula with the sides exchanged; g_j agrees with it as far as the columns have converged.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `costs` has not n rows, [`Error::Entry`] for a NaN or −∞ in it.
    #[inline(never)]
    pub fn target_potential_at(&self, costs: &dyn Geometry<T>) -> Result<Array1<f64>, Error> {
        let (problem, (n, k)) = (self.problem, costs.shape());
        Error::shape("costs", [problem.shape().0, k], [n, k])?;
        super::geometry::Range::of(costs)?;
        let h = problem.potentials(0, &self.f);
        let mut pieces = sweep::Pieces::new();
        pieces.resize(n, k);
        let (mut tops, mut sums) = (alloc::vec![0.0; k], alloc::vec![0.0; k]);
        sweep::column_tops(costs, &h, &mut tops, &mut pieces);
        let open: Vec<bool> = tops.iter().map(|top| top.is_finite()).collect();
        let tops: Vec<T> =
            tops.iter().map(|&top| T::from_f64(if top.is_finite() { top } else { 0.0 })).collect();
        sweep::column_sums(costs, problem.epsilon, &h, &tops, &mut sums, &mut pieces);
        let potential = |((top, sum), open): ((&T, f64), bool)| {
            let soft = top.to_f64() + problem.epsilon * Real::ln(sum);
            if open { -self.tau(1) * soft } else { 0.0 }
        };
        Ok(tops.iter().zip(sums).zip(open).map(potential).collect())
    }

    /// ∇f(x) at k points `x` (k, d) for targets `y` (m, d) and the cost `metric` between them, (k, d), in f64. Where x is a
    /// target, the Euclidean distance has no gradient there and that target adds 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `y` is not (m, d), [`Error::NonFinite`] for a NaN or an infinity in the points.
    #[inline(never)]
    pub fn gradient_at(
        &self,
        x: &ArrayRef2<T>,
        y: &ArrayRef2<T>,
        metric: Metric,
    ) -> Result<Array2<f64>, Error> {
        let (m, d) = (self.problem.shape().1, x.ncols());
        Error::shape("y", [m, d], y.dim().into())?;
        let (costs, tau) = (Points::new(x, y, metric)?, self.tau(0));
        let pairs = Pairs::new(x, y, metric);
        let found = self.weights_at(&costs, |i, _, w, gradients: &mut Vec<f64>| {
            let first = gradients.len();
            gradients.resize(first + d, 0.0);
            pairs.row(i, w, &mut gradients[first..]);
            gradients[first..].iter_mut().for_each(|g| *g *= tau);
        })?;
        let gradient: Vec<f64> = found.into_iter().flatten().collect();
        Ok(array((x.nrows(), d), gradient))
    }

    /// τ of a side.
    fn tau(&self, side: usize) -> f64 {
        self.problem.marginals[side].tau(self.problem.epsilon)
    }

    /// Calls `each` with the index, the costs and the weights w of every row of `costs`, in fixed pieces; where nothing can
    /// be reached the weights are 0.
    fn weights_at<A: Send + Default>(
        &self,
        costs: &dyn Geometry<T>,
        each: impl Fn(usize, &[T], &[T], &mut A) + Sync,
    ) -> Result<Vec<A>, Error> {
        let (k, m) = costs.shape();
        Error::shape("costs", [k, self.problem.shape().1], [k, m])?;
        let own = core::ptr::addr_eq(costs, self.problem.geometry);
        if !own {
            super::geometry::Range::of(costs)?;
        }
        let (columns, epsilon) = (self.columns(), self.problem.epsilon);
        Ok(by_rows((k, m), A::default, |i, scratch, w, found| {
            let cost = sweep::row(costs, i, scratch);
            let near = if own { self.f[i] } else { 0.0 };
            sweep::plan_row(cost, &columns, near, 1.0, true, epsilon, w);
            each(i, cost, w, found);
        }))
    }
}

#[cfg(test)]
mod tests;
