//! A feasible plan from any iterate, and an interval that contains the true cost.
//!
//! # Rounding to the transport polytope (Altschuler, Weed, Rigollet 2017, algorithm 2)
//!
//! Rows that hold too much are scaled down, then columns, and what is missing then is put in by a product:
//!
//! ```text
//! x = min(a / P1, 1)      y = min(b / (diag(x) P)ᵀ1, 1)      P″ = diag(x) P diag(y)
//! α = a − P″1             β = b − P″ᵀ1                       Q = P″ + α βᵀ / Σα
//! ```
//!
//! Q has the marginals a and b, and ‖Q − P‖₁ ≤ 2 (‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁). x, y, α and β say it all: no memory of n · m.
//!
//! # The interval
//!
//! The cost of unregularised transport, W₀ = min ⟨C, P⟩ over plans with these marginals, lies between any feasible dual and
//! any feasible primal. The hard transforms of g,
//!
//! ```text
//! f_i = min_j C_ij − g_j        g_j ← min_i C_ij − f_i
//! ```
//!
//! give f_i + g_j ≤ C_ij, so ⟨a, f⟩ + ⟨b, g⟩ ≤ W₀; and with the reduced costs D = C − f − g ≥ 0,
//!
//! ```text
//! ⟨a, f⟩ + ⟨b, g⟩  ≤  W₀  ≤  ⟨a, f⟩ + ⟨b, g⟩ + ⟨D, Q⟩
//! ```
//!
//! so the width of the interval is the gap ⟨D, Q⟩, a sum of terms that are not negative.
//!
//! # Why rounding cannot make it lie
//!
//! Everything here is done in f64 from costs and plan entries taken as they are, in f32 too: a plan entry may be as wrong as
//! it likes, Q is a plan. Let u be half of the machine epsilon of f64.
//!
//! - A sum of k products is off by at most (k + 1) u times the sum of their magnitudes (to first order; the constants below leave
//!   room for the rest). No sum here is longer than n + m terms along any chain of additions, so with s = (n + m + 8) · 2u each
//!   is off by less than s times its magnitudes: a, b differ in mass by as little, and g from the exact transform of f by u|g|.
//! - P″ may exceed a marginal by a share s. (1 − 2s) P″ exceeds none, costs no more, and leaves at most α + 4 s a and
//!   β + 4 s b, of mass at least Σα.
//! - A product α βᵀ/Σα costs at most max D · Σα, which is the better bound where α is nothing but rounding.
//! - D itself is off by 2u (|C| + |f| + |g|), and is taken larger by twice that.
//!
//! # Complexity and limits
//!
//! Two passes to round, five for the interval, O(n + m) memory. Hard marginals only; with forbidden pairs nothing
//! bounds the cost from above.

use alloc::vec::Vec;

use ndarray::{Array1, Array2};

use super::problem::{Marginal, Problem, Reference};
use super::solution::Solution;
use super::sweep;
use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;

/// An interval that contains the cost of unregularised transport; see [`Solution::bounds`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// A feasible dual, less its rounding.
    pub lower: f64,
    /// The cost of a feasible plan, and its rounding; +∞ where pairs are forbidden, because what rounding moves may need
    /// them.
    pub upper: f64,
}

impl Bounds {
    /// How much is not known: upper − lower.
    pub fn width(&self) -> f64 {
        self.upper - self.lower
    }

    /// Is `cost` possible?
    pub fn contains(&self, cost: f64) -> bool {
        self.lower <= cost && cost <= self.upper
    }
}

/// A plan with the marginals a and b: Q_ij = x_i P_ij y_j + α_i β_j / Σα (Altschuler, Weed, Rigollet 2017).
///
/// x, y, α and β say it all, O(n + m); each method is one pass over the cost. Q may put mass on forbidden pairs.
#[derive(Clone, Debug)]
pub struct Rounded<'s, 'a, T: Real> {
    solution: &'s Solution<'a, T>,
    /// x, (n): at most 1
    pub rows: Array1<f64>,
    /// y, (m): at most 1
    pub columns: Array1<f64>,
    /// α, (n): what rows lack
    pub row_deficit: Array1<f64>,
    /// β, (m): what columns lack
    pub column_deficit: Array1<f64>,
    /// Σα = Σβ
    lacking: f64,
}

impl<'a, T: Real> Solution<'a, T> {
    /// The plan moved into the transport polytope, without forming it: two passes over the cost.
    ///
    /// Its row and column sums are the weights to (n + m) machine epsilons of f64, whatever T.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] naming `rho` when a marginal is not hard: any plan is feasible then.
    #[inline(never)]
    pub fn round(&self) -> Result<Rounded<'_, 'a, T>, Error> {
        hard(self.problem)?;
        let (a, b) = self.problem.weights();
        let (n, m) = (a.len(), b.len());
        let start = || (Vec::new(), alloc::vec![0.0; m]);
        let found = self.over_rows(start, |i, _, plan, (rows, columns)| {
            let sum: f64 = plan.iter().map(|p| p.to_f64()).sum();
            let x = if sum > a[i] { a[i] / sum } else { 1.0 };
            rows.push(x);
            for (column, p) in columns.iter_mut().zip(plan) {
                *column += x * p.to_f64();
            }
        });
        let (mut rows, mut sums) = (Vec::with_capacity(n), alloc::vec![0.0; m]);
        for (x, columns) in found {
            rows.extend(x);
            sums.iter_mut().zip(columns).for_each(|(sum, c)| *sum += c);
        }
        let scale = |(&sum, &b): (&f64, &f64)| if sum > b { b / sum } else { 1.0 };
        let columns: Vec<f64> = sums.iter().zip(b).map(scale).collect();
        let lack = |(&b, (&sum, &y)): (&f64, (&f64, &f64))| (b - sum * y).max(0.0);
        let column_deficit: Vec<f64> = b.iter().zip(sums.iter().zip(&columns)).map(lack).collect();
        let found = self.over_rows(Vec::new, |i, _, plan, lacks: &mut Vec<f64>| {
            let sum: f64 = plan.iter().zip(&columns).map(|(p, y)| p.to_f64() * y).sum();
            lacks.push((a[i] - rows[i] * sum).max(0.0));
        });
        let row_deficit: Array1<f64> = found.into_iter().flatten().collect();
        let column_deficit = Array1::from_vec(column_deficit);
        let lacking = row_deficit.sum().max(column_deficit.sum());
        let (rows, columns) = (rows.into(), columns.into());
        Ok(Rounded { solution: self, rows, columns, row_deficit, column_deficit, lacking })
    }

    /// An interval that contains the cost of unregularised transport between the weights, whatever was reached and in f32
    /// too: five passes over the cost. Below, ⟨a, f⟩ + ⟨b, g⟩ with the hard transforms of g (f_i = min_j C_ij − g_j, then
    /// g_j = min_i C_ij − f_i), a feasible dual; above, that and ⟨C − f − g, Q⟩, Q the plan of [`Solution::round`]; both moved
    /// outward by more than f64 may have rounded.
    ///
    /// It closes as ε falls and the iteration converges: at convergence its width is of the order ε ln min(n, m) times the
    /// mass. Where masses differ within the accepted rounding, the cost meant is that to b scaled to the mass of a.
    /// Where forbidden pairs leave no way to some mass that is within the rounding of the weights, no plan meets them
    /// exactly, and the lower bound may be above the cost of the nearest by that mass times the potentials.
    ///
    /// ```
    /// use ndarray::array;
    /// use swav_core::transport::{Dense, Problem, Sinkhorn};
    ///
    /// let (cost, half) = (array![[0.0_f32, 1.0], [1.0, 0.0]], array![0.5, 0.5]);
    /// let geometry = Dense::new(&cost);
    /// let problem = Problem::new(&geometry, &half, &half, 0.1)?;
    /// let bounds = Sinkhorn::rounds(1).solve(&problem)?.bounds()?;
    /// assert!(bounds.contains(0.0) && bounds.width() < 1e-3);
    /// # Ok::<(), swav_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] naming `rho` when a marginal is not hard.
    #[inline(never)]
    pub fn bounds(&self) -> Result<Bounds, Error> {
        let rounded = self.round()?;
        let problem = self.problem;
        let (a, b) = problem.weights();
        let (n, m) = (a.len(), b.len());
        let slack = (n + m + 8) as f64 * f64::EPSILON;

        let (f, g) = hard_transforms(problem, &self.column_potentials());
        let terms = || (a.iter().zip(&f)).chain(b.iter().zip(&g)).filter(|(w, _)| **w > 0.0);
        let dual: f64 = terms().map(|(w, x)| w * x).sum();
        let around = slack * terms().map(|(w, x)| w * x.abs()).sum::<f64>() + f64::MIN_POSITIVE;

        let lacks = |lack: &Array1<f64>, w: &[f64]| -> Vec<f64> {
            lack.iter().zip(w).map(|(lack, w)| lack + 4.0 * slack * w).collect()
        };
        let (alpha, beta) = (lacks(&rounded.row_deficit, a), lacks(&rounded.column_deficit, b));
        // ⟨D, P″⟩, Σ α D β, max D
        let found = self.over_rows(
            || [0.0_f64; 3],
            |i, cost, plan, [scaled, product, most]| {
                if a[i] == 0.0 {
                    return;
                }
                let (mut along, mut lacking) = (0.0, 0.0);
                for (j, (&c, &p)) in cost.iter().zip(plan).enumerate().filter(|(j, _)| b[*j] > 0.0)
                {
                    let (c, p) = (c.to_f64(), p.to_f64());
                    let off = 2.0 * f64::EPSILON * (c.abs() + f[i].abs() + g[j].abs());
                    let d = (c - f[i] - g[j]).max(0.0) + off;
                    if p > 0.0 {
                        along += d * p * rounded.columns[j];
                    }
                    lacking += d * beta[j];
                    *most = most.max(d);
                }
                *scaled += rounded.rows[i] * along;
                *product += alpha[i] * lacking;
            },
        );
        let [mut scaled, mut product, mut most] = [0.0_f64; 3];
        for [s, p, d] in found {
            (scaled, product, most) = (scaled + s, product + p, most.max(d));
        }
        let lacking = rounded.lacking;
        let simple = most * alpha.iter().sum::<f64>().max(beta.iter().sum());
        let product = if lacking > 0.0 { (product / lacking).min(simple) } else { simple };
        let gap = (scaled + product) * (1.0 + 4.0 * slack);
        // Costs near the end of f64's range may leave it: nothing is known then.
        let known = |x: f64, otherwise: f64| if x.is_nan() { otherwise } else { x };
        Ok(Bounds {
            lower: known(dual - around, f64::NEG_INFINITY),
            upper: known(dual + around + gap, f64::INFINITY),
        })
    }

    /// g where the reference is a⊗b.
    fn column_potentials(&self) -> Vec<f64> {
        let (problem, counting) = (self.problem, self.problem.reference == Reference::Counting);
        let column = |(&g, &b): (&f64, &f64)| {
            if counting && b > 0.0 { g - problem.epsilon * Real::ln(b) } else { g }
        };
        self.g.iter().zip(&problem.b).map(column).collect()
    }
}

/// Both marginals hard, or the error that says which is not.
fn hard<T: Real>(problem: &Problem<'_, T>) -> Result<(), Error> {
    let soft = problem.marginals.into_iter().find(|&m| m != Marginal::Hard);
    match soft {
        None => Ok(()),
        Some(marginal) => Err(Error::Parameter {
            name: "rho",
            value: marginal.rho(),
            requirement: "infinite: only for hard marginals is a plan feasible or not",
        }),
    }
}

/// f_i = min_j C_ij − g_j over columns with weight, then g_j = min_i C_ij − f_i over rows with weight. The others: 0.
fn hard_transforms<T: Real>(problem: &Problem<'_, T>, g: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (a, b) = problem.weights();
    let (n, m) = problem.shape();
    let rows = sweep::piece_rows(n, m);
    let (mut f, mut partial) =
        (alloc::vec![0.0; n], alloc::vec![f64::INFINITY; n.div_ceil(rows) * m]);
    let g: Vec<f64> =
        g.iter().zip(b).map(|(&g, &b)| if b > 0.0 { g } else { f64::NEG_INFINITY }).collect();
    (f.par_chunks_mut(rows).zip(partial.par_chunks_mut(m))).enumerate().for_each(
        |(piece, (f, tops))| {
            let mut scratch = alloc::vec![T::ZERO; m];
            for (i, f) in f.iter_mut().enumerate().filter(|(i, _)| a[piece * rows + i] > 0.0) {
                let cost = sweep::row(problem.geometry, piece * rows + i, &mut scratch);
                let least = |least: f64, (&c, &g): (&T, &f64)| least.min(c.to_f64() - g);
                *f = cost.iter().zip(&g).fold(f64::INFINITY, least);
                for (top, c) in tops.iter_mut().zip(cost) {
                    *top = top.min(c.to_f64() - *f);
                }
            }
        },
    );
    let mut g = alloc::vec![0.0; m];
    combine(&partial, m, &mut g, f64::INFINITY, f64::min);
    g.iter_mut().zip(b).filter(|(_, b)| **b == 0.0).for_each(|(g, _)| *g = 0.0);
    (f, g)
}

impl<T: Real> Rounded<'_, '_, T> {
    /// The plan, (n, m), in f64 whatever T, so that its marginals are those of the problem.
    #[inline(never)]
    pub fn plan(&self) -> Array2<f64> {
        let (n, m) = self.solution.problem.shape();
        let found = self.solution.over_rows(Vec::new, |i, _, plan, rows: &mut Vec<f64>| {
            rows.extend(plan.iter().enumerate().map(|(j, p)| self.entry(i, j, p.to_f64())));
        });
        let rows: Vec<f64> = found.into_iter().flatten().collect();
        crate::rows::array((n, m), rows)
    }

    /// ⟨C, Q⟩, in one pass over the cost: at least the cost of unregularised transport; +∞ where a forbidden pair got
    /// mass. [`Solution::bounds`] says how far rounding may have moved it.
    #[inline(never)]
    pub fn linear(&self) -> f64 {
        let found = self.solution.over_rows(
            || 0.0,
            |i, cost, plan, sum| {
                for (j, (p, c)) in plan.iter().zip(cost).enumerate() {
                    let q = self.entry(i, j, p.to_f64());
                    if q > 0.0 {
                        *sum += q * c.to_f64();
                    }
                }
            },
        );
        found.iter().sum()
    }

    /// ‖Q − P‖₁, at most 2 (‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁).
    #[inline(never)]
    pub fn distance(&self) -> f64 {
        let found = self.solution.over_rows(
            || 0.0,
            |i, _, plan, sum| {
                for (j, p) in plan.iter().enumerate() {
                    *sum += (self.entry(i, j, p.to_f64()) - p.to_f64()).abs();
                }
            },
        );
        found.iter().sum()
    }

    /// Q_ij from P_ij.
    fn entry(&self, i: usize, j: usize, p: f64) -> f64 {
        let product = self.row_deficit[i] * self.column_deficit[j];
        let product = if product > 0.0 { product / self.lacking } else { 0.0 };
        self.rows[i] * p * self.columns[j] + product
    }
}

#[cfg(test)]
mod tests;
