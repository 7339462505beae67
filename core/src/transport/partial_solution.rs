//! What the capped scalings found, and what follows from it.

use alloc::vec::Vec;

use ndarray::{Array1, Array2};

use super::partial::Partial;
use super::problem::Problem;
use super::settle::{rounded, size};
use super::sinkhorn::Status;
use super::solution::Sums;
use super::solution::by_rows;
use super::sweep;
use crate::real::Real;
use crate::rows::array;

/// Potentials of a partial plan, and what was reached.
#[derive(Clone, Debug)]
pub struct PartialSolution<'a, T: Real> {
    pub(super) partial: &'a Partial<'a, T>,
    /// At most 0; below it where the row is full.
    pub f: Array1<f64>,
    /// At most 0; below it where the column is full.
    pub g: Array1<f64>,
    /// λ, what the last unit of mass costs.
    pub multiplier: f64,
    /// Why the iteration stopped.
    pub status: Status,
    /// L1 distance of the column sums to those that g asks for, relative to the mass moved: b_j where g_j is below 0, at
    /// most b_j where it is 0. No row is above its weight, and the mass is that asked for, but for rounding.
    pub error: f64,
    /// Iterations done.
    pub iterations: u32,
    /// P 1
    pub(super) rows: Vec<f64>,
}

/// How far a column's sum is from what g asks for: b where g is below 0, at most b where it is 0.
pub(super) fn off(sum: f64, b: f64, g: f64) -> f64 {
    if g < 0.0 { (sum - b).abs() } else { (sum - b).max(0.0) }
}

impl<'a, T: Real> PartialSolution<'a, T> {
    /// The problem that was solved.
    pub fn partial(&self) -> &'a Partial<'a, T> {
        self.partial
    }

    /// Calls `each` with the index, the costs and the plan of every row, in order of rows within fixed pieces, each with a
    /// value of its own made by `start`; returns those values in order.
    pub(super) fn over_rows<A: Send>(
        &self,
        start: impl Fn() -> A + Sync,
        each: impl Fn(usize, &[T], &[T], &mut A) + Sync,
    ) -> Vec<A> {
        let columns = self.partial.problem.potentials(1, &self.g);
        by_rows(self.partial.shape(), start, |i, scratch, plan, found| {
            let cost = self.plan_row(i, &columns, scratch, plan);
            each(i, cost, plan, found);
        })
    }

    /// The plan, (n, m). Entries without weight and forbidden ones are exactly 0.
    #[inline(never)]
    pub fn plan(&self) -> Array2<T> {
        let rows = self.over_rows(Vec::new, |_, _, plan, rows| rows.extend_from_slice(plan));
        array(self.partial.shape(), rows.concat())
    }

    /// Row i of the plan into `plan`, m numbers.
    ///
    /// # Panics
    ///
    /// If i is not below n or `plan` does not hold m numbers.
    #[inline(never)]
    pub fn row(&self, i: usize, plan: &mut [T]) {
        self.rows()(i, plan);
    }

    /// [`PartialSolution::row`] for many rows: what they share is computed once.
    ///
    /// # Panics
    ///
    /// Where [`PartialSolution::row`] does.
    pub fn rows(&self) -> impl FnMut(usize, &mut [T]) + '_ {
        let (n, m) = self.partial.shape();
        let columns = self.partial.problem.potentials(1, &self.g);
        let mut scratch = alloc::vec![T::ZERO; m];
        move |i, plan| {
            assert!(i < n && plan.len() == m, "row {i} of {n} into {} numbers of {m}", plan.len());
            self.plan_row(i, &columns, &mut scratch, plan);
        }
    }

    /// Writes row i of the plan; `scratch` and `plan` hold m numbers. Returns the costs of the row.
    fn plan_row<'s>(
        &'s self,
        i: usize,
        columns: &[T],
        scratch: &'s mut [T],
        plan: &mut [T],
    ) -> &'s [T] {
        let problem = &self.partial.problem;
        let cost = sweep::row(problem.geometry, i, scratch);
        let f = self.f[i] + self.multiplier;
        // With its sum known, a row is exact to its own rounding.
        sweep::plan_row(cost, columns, f, self.rows[i], true, problem.epsilon, plan);
        cost
    }

    /// Sums over the plan, in one pass over the cost.
    #[inline(never)]
    pub fn sums(&self) -> Sums {
        let m = self.partial.shape().1;
        let start = || (alloc::vec![0.0; m], 0.0);
        let found = self.over_rows(start, |_, cost, plan, (columns, linear)| {
            for ((&p, &c), column) in plan.iter().zip(cost).zip(columns.iter_mut()) {
                let p = p.to_f64();
                *column += p;
                *linear += if p > 0.0 { c.to_f64() * p } else { 0.0 };
            }
        });
        let rows = self.rows.clone().into();
        let mut sums = Sums { rows, columns: Array1::zeros(m), linear: 0.0 };
        for (columns, linear) in found {
            sums.columns.iter_mut().zip(columns).for_each(|(sum, c)| *sum += c);
            sums.linear += linear;
        }
        sums
    }

    /// Measures the error at the potentials in units of the cost, where rounding may have made it another than that of the
    /// iteration, and corrects the status; one pass over the cost then. See `settle`.
    pub(super) fn settle(&mut self, tolerance: f64) {
        let Problem { b, epsilon, range, .. } = &self.partial.problem;
        let potentials = size(&self.f) + size(&self.g) + self.multiplier.abs();
        let exponent = (range.magnitude() + potentials) / epsilon;
        if !rounded::<T>(exponent, tolerance, self.error) {
            return;
        }
        let columns = self.sums().columns;
        let sides = columns.iter().zip(b).zip(&self.g);
        let error: f64 = sides.map(|((&sum, &b), &g)| off(sum, b, g)).sum();
        self.error = error / self.partial.mass;
        self.status = self.status.at(self.error, tolerance);
    }

    /// ⟨C, P⟩, without the entropic term.
    #[inline(never)]
    pub fn linear(&self) -> f64 {
        self.sums().linear
    }

    /// The objective at the plan, ⟨C, P⟩ + ε KL(P | R).
    #[inline(never)]
    pub fn value(&self) -> f64 {
        let sums = self.sums();
        // C + ε ln(P/R) = f + g + λ wherever P is above 0.
        let along = |sums: &Array1<f64>, x: &Array1<f64>| -> f64 {
            sums.iter().zip(x).map(|(s, x)| s * x).sum()
        };
        let mass = sums.rows.sum();
        along(&sums.rows, &self.f) + along(&sums.columns, &self.g) + mass * self.multiplier
            - self.partial.problem.epsilon * (mass - self.partial.problem.reference_mass())
    }

    /// The dual objective, never above the optimum, and equal to it at convergence.
    #[inline(never)]
    pub fn dual(&self) -> f64 {
        let Problem { a, b, epsilon, .. } = &self.partial.problem;
        let dot = |w: &[f64], x: &Array1<f64>| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let mass: f64 = self.rows.iter().sum();
        dot(a, &self.f) + dot(b, &self.g) + self.partial.mass * self.multiplier
            - epsilon * (mass - self.partial.problem.reference_mass())
    }
}
