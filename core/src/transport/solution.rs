//! What a run found, and everything that follows from its potentials.

use alloc::vec::Vec;

use ndarray::{Array1, Array2};

use super::problem::{Marginal, Problem, Reference};
use super::sinkhorn::{Report, Status};
use super::sweep;
use crate::chunks::*;
use crate::real::Real;
use crate::rows::array;

/// Potentials in units of the cost: P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε), a and b being 1 for
/// [`Reference::Counting`].
///
/// Those of a balanced problem are unique up to a constant moved from one to the other; a solver returns the ones with
/// ⟨a, f⟩ = ⟨b, g⟩.
#[derive(Clone, Debug, PartialEq)]
pub struct Potentials {
    /// (n)
    pub f: Array1<f64>,
    /// (m)
    pub g: Array1<f64>,
}

/// Potentials and what was reached; everything else is computed from them when asked for.
///
/// [`plan`](Solution::plan) is n m numbers; sums, values, maps and gradients of the value are one pass over the cost, n
/// m exps, in O(n + m) memory, and derivatives of the plan some tens or hundreds of passes. The error of a gradient is
/// of first order in [`error`](Solution::error), that of the value of second.
#[derive(Clone, Debug)]
pub struct Solution<'a, T: Real> {
    pub(super) problem: &'a Problem<'a, T>,
    /// Hard rows are exact: the plan divides them by their sums.
    pub(super) exact_rows: bool,
    /// Potential of the rows, in units of the cost. Where a row may reach no column: 1000 ρ, at which it asks for no
    /// mass; 0 without weight.
    pub f: Array1<f64>,
    /// Potential of the columns, as that of the rows. Without weight: the soft transform of the other potential, times τ.
    pub g: Array1<f64>,
    /// Why the iteration stopped.
    pub status: Status,
    /// L1 error of both marginals, relative to the mass of the weights or to that of the plan where it is larger. The rows
    /// are exact, but for those of [`Sinkhorn::solve_symmetric`](super::Sinkhorn::solve_symmetric).
    pub error: f64,
    /// Full iterations done.
    pub iterations: u32,
    /// What the solver did, and why.
    pub report: Report,
}

/// Sums over a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    /// P 1, (n)
    pub rows: Array1<f64>,
    /// Pᵀ 1, (m)
    pub columns: Array1<f64>,
    /// ⟨C, P⟩; a forbidden pair adds nothing. +∞ where the plan has entries of both signs beyond every number.
    pub linear: f64,
}

impl<'a, T: Real> Solution<'a, T> {
    /// The problem that was solved.
    pub fn problem(&self) -> &'a Problem<'a, T> {
        self.problem
    }

    /// The potentials alone, to start another run from.
    pub fn potentials(&self) -> Potentials {
        Potentials { f: self.f.clone(), g: self.g.clone() }
    }

    /// The plan, (n, m). Rows with a hard marginal sum to their weight within m machine epsilons; entries without
    /// weight and forbidden ones are exactly 0.
    #[inline(never)]
    pub fn plan(&self) -> Array2<T> {
        let (n, m) = self.problem.shape();
        let mut plan = alloc::vec![T::ZERO; n * m];
        let (columns, rows) = (self.columns(), sweep::piece_rows(n, m));
        plan.par_chunks_mut(rows * m).enumerate().for_each(|(piece, plan)| {
            let mut scratch = alloc::vec![T::ZERO; m];
            for (i, plan) in plan.chunks_exact_mut(m).enumerate() {
                self.plan_row(piece * rows + i, &columns, &mut scratch, plan);
            }
        });
        array((n, m), plan)
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

    /// [`Solution::row`] for many rows: what they share is computed once.
    ///
    /// # Panics
    ///
    /// Where [`Solution::row`] does.
    pub fn rows(&self) -> impl FnMut(usize, &mut [T]) + '_ {
        let ((n, m), columns) = (self.problem.shape(), self.columns());
        let mut scratch = alloc::vec![T::ZERO; m];
        move |i, plan| {
            assert!(i < n && plan.len() == m, "row {i} of {n} into {} numbers of {m}", plan.len());
            self.plan_row(i, &columns, &mut scratch, plan);
        }
    }

    /// g_j + ε ln r_j
    pub(super) fn columns(&self) -> Vec<T> {
        self.problem.potentials(1, &self.g)
    }

    /// Writes row i of the plan; `scratch` and `plan` hold m numbers. Returns the costs of the row.
    pub(super) fn plan_row<'s>(
        &'s self,
        i: usize,
        columns: &[T],
        scratch: &'s mut [T],
        plan: &mut [T],
    ) -> &'s [T] {
        let problem = self.problem;
        let cost = sweep::row(problem.geometry, i, scratch);
        let exact = self.exact_rows && problem.marginals[0] == Marginal::Hard;
        let weight = problem.a[i];
        let scale = if exact || weight == 0.0 || problem.reference == Reference::Product {
            weight
        } else {
            1.0
        };
        sweep::plan_row(cost, columns, self.f[i], scale, exact, problem.epsilon, plan);
        cost
    }

    /// Calls `each` with the index, the costs and the plan of every row, in fixed pieces, each with its own value made
    /// by `start`; returns those values in order.
    pub(super) fn over_rows<A: Send>(
        &self,
        start: impl Fn() -> A + Sync,
        each: impl Fn(usize, &[T], &[T], &mut A) + Sync,
    ) -> Vec<A> {
        let columns = self.columns();
        by_rows(self.problem.shape(), start, |i, scratch, plan, found| {
            let cost = self.plan_row(i, &columns, scratch, plan);
            each(i, cost, plan, found);
        })
    }

    /// Sums over the plan, in one pass over the cost.
    #[inline(never)]
    pub fn sums(&self) -> Sums {
        if let Some(grid) = self.problem.geometry.grid() {
            return self.grid_sums(grid);
        }
        let (n, m) = self.problem.shape();
        let start = || (Vec::new(), alloc::vec![0.0; m], 0.0);
        let found = self.over_rows(start, |_, cost, plan, (rows, columns, linear)| {
            let mut row = 0.0;
            for ((&p, &c), column) in plan.iter().zip(cost).zip(columns.iter_mut()) {
                let p = p.to_f64();
                row += p;
                *column += p;
                if p > 0.0 {
                    *linear += c.to_f64() * p;
                }
            }
            rows.push(row);
        });
        let mut sums = Sums { rows: Array1::zeros(n), columns: Array1::zeros(m), linear: 0.0 };
        let mut i = 0;
        for (rows, columns, linear) in found {
            for row in rows {
                sums.rows[i] = row;
                i += 1;
            }
            sums.columns.iter_mut().zip(columns).for_each(|(sum, c)| *sum += c);
            sums.linear += linear;
        }
        if sums.linear.is_nan() {
            sums.linear = f64::INFINITY;
        }
        sums
    }

    /// The objective at the plan: ⟨C, P⟩ + ε (Σ P ln(P/R) − Σ P + Σ R), and for marginals that are not hard
    /// ρ KL(P 1 | a), ρ KL(Pᵀ 1 | b). Above the optimum only when the hard marginals are met. +∞ where the mass of the plan is
    /// beyond every number.
    #[inline(never)]
    pub fn value(&self) -> f64 {
        let sums = self.sums();
        self.value_of(&sums)
    }

    pub(super) fn value_of(&self, sums: &Sums) -> f64 {
        let problem = self.problem;
        let mass: f64 = sums.rows.iter().sum();
        if !mass.is_finite() {
            return f64::INFINITY;
        }
        let mut value = self.along(sums) - problem.epsilon * (mass - problem.reference_mass());
        for (marginal, sums, weights) in [
            (problem.marginals[0], &sums.rows, &problem.a),
            (problem.marginals[1], &sums.columns, &problem.b),
        ] {
            if let Marginal::Kl(rho) = marginal {
                value += rho * kl(sums.iter().copied(), weights.iter().copied());
            }
        }
        value
    }

    /// Σ P (f + g), which is ⟨C, P⟩ + ε Σ P ln(P/R).
    fn along(&self, sums: &Sums) -> f64 {
        let term = |(&s, &x): (&f64, &f64)| if s > 0.0 { s * x } else { 0.0 };
        sums.rows.iter().zip(&self.f).map(term).sum::<f64>()
            + sums.columns.iter().zip(&self.g).map(term).sum::<f64>()
    }

    /// The dual objective at f and g, never above the optimum, and equal to it at convergence:
    ///
    /// ```text
    /// Φ_a(f) + Φ_b(g) − ε (Σ P − Σ R),   Φ_a(f) = ⟨a, f⟩, or ρ Σ a (1 − exp(−f/ρ)) where not hard
    /// ```
    #[inline(never)]
    pub fn dual(&self) -> f64 {
        let mass: f64 = self.sums().columns.iter().sum();
        dual(
            self.problem,
            self.problem.epsilon,
            self.f.as_slice().expect("a vector lies in one piece"),
            self.g.as_slice().expect("a vector lies in one piece"),
            mass,
        )
    }

    /// ⟨C, P⟩, without the entropic term.
    #[inline(never)]
    pub fn linear(&self) -> f64 {
        self.sums().linear
    }

    /// KL(P | R) = Σ P ln(P/R) − Σ P + Σ R.
    #[inline(never)]
    pub fn kl(&self) -> f64 {
        let (sums, epsilon) = (self.sums(), self.problem.epsilon);
        let kl = (self.along(&sums) - sums.linear) / epsilon - sums.rows.sum()
            + self.problem.reference_mass();
        if kl.is_nan() { f64::INFINITY } else { kl }
    }

    /// The entropy −Σ P (ln P − 1). The value of POT's `reg_type="entropy"` is ⟨C, P⟩ − ε (entropy − Σ P).
    #[inline(never)]
    pub fn entropy(&self) -> f64 {
        let found = self.over_rows(
            || 0.0,
            |_, _, plan, sum| {
                for p in plan.iter().map(|p| p.to_f64()).filter(|&p| p > 0.0) {
                    *sum -= p * (Real::ln(p) - 1.0);
                }
            },
        );
        found.iter().sum()
    }
}

/// Calls `each` with the index of every row and two rows of scratch, in fixed pieces, each with its own value made by
/// `start`; returns those values in order.
pub(super) fn by_rows<T: Real, A: Send>(
    (n, m): (usize, usize),
    start: impl Fn() -> A + Sync,
    each: impl Fn(usize, &mut [T], &mut [T], &mut A) + Sync,
) -> Vec<A> {
    let rows = sweep::piece_rows(n, m);
    let mut found: Vec<A> = (0..n.div_ceil(rows)).map(|_| start()).collect();
    found.par_chunks_mut(1).enumerate().for_each(|(piece, found)| {
        let (mut costs, mut plan) = (alloc::vec![T::ZERO; m], alloc::vec![T::ZERO; m]);
        for i in piece * rows..n.min((piece + 1) * rows) {
            each(i, &mut costs, &mut plan, &mut found[0]);
        }
    });
    found
}

/// KL(x | y) = Σ x ln(x/y) − x + y.
pub(super) fn kl(x: impl Iterator<Item = f64>, y: impl Iterator<Item = f64>) -> f64 {
    let term = |(x, y): (f64, f64)| if x > 0.0 { x * Real::ln(x / y) - x + y } else { y };
    x.zip(y).map(term).sum()
}

/// The dual objective at potentials whose plan has the mass `mass`.
pub(super) fn dual<T: Real>(
    problem: &Problem<'_, T>,
    epsilon: f64,
    f: &[f64],
    g: &[f64],
    mass: f64,
) -> f64 {
    let side = |marginal: Marginal, weights: &[f64], x: &[f64]| -> f64 {
        let term = |(&w, &x): (&f64, &f64)| match marginal {
            _ if w == 0.0 => 0.0,
            Marginal::Hard => w * x,
            // An unreachable row or column pays for all its weight.
            Marginal::Kl(rho) if x == f64::NEG_INFINITY => rho * w,
            Marginal::Kl(rho) => -rho * w * libm::expm1(-x / rho),
        };
        weights.iter().zip(x).map(term).sum()
    };
    side(problem.marginals[0], &problem.a, f) + side(problem.marginals[1], &problem.b, g)
        - epsilon * (mass - problem.reference_mass())
}
