//! What a solver of optimal transport must get right: reference figures and invariants, as functions over a small
//! trait, so that any solver can be held to them.
//!
//! # Holding one's own solver to it
//!
//! [`Solver`] has one required method, [`Solver::entropic`]; what else a solver offers, it says by implementing more
//! of them. A [`Case`] makes of it some [`Check`]s, each a number, how large it may be and why. What needs something
//! that is not offered is reported so, [`Verdict::NotOffered`], and never as held.
//!
//! ```
//! use ndarray::{Array1, Array2, Axis};
//! use swav_conformance::solver::{Marginal, Reference, Status};
//! use swav_conformance::{Answer, Answered, Problem, Refusal, Solver, hold, oracle, summary};
//!
//! /// Balanced transport, in the log domain.
//! struct Plain;
//!
//! impl Solver for Plain {
//!     fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
//!         let Problem { cost, a, b, epsilon, .. } = *problem;
//!         if problem.marginals != [Marginal::Hard; 2] || problem.reference != Reference::Product {
//!             return Err(Refusal::NotOffered);
//!         }
//!         // −ε ln Σ w exp((x − c)/ε)
//!         let soft = |w: &Array1<f64>, x: &Array1<f64>, c: ndarray::ArrayView1<'_, f64>| {
//!             let terms = || w.iter().zip(x - &c).filter(|(w, _)| **w > 0.0);
//!             let top = terms().fold(f64::NEG_INFINITY, |top, (_, x)| top.max(x));
//!             -top - epsilon * terms().map(|(w, x)| w * ((x - top) / epsilon).exp()).sum::<f64>().ln()
//!         };
//!         let (mut f, mut g) = (Array1::zeros(a.len()), Array1::zeros(b.len()));
//!         let (mut plan, mut error, mut iterations) = (Array2::zeros(cost.dim()), f64::INFINITY, 0);
//!         while error > problem.tolerance && iterations < problem.max_iterations {
//!             g = cost.columns().into_iter().map(|c| soft(a, &f, c)).collect();
//!             f = cost.rows().into_iter().map(|c| soft(b, &g, c)).collect();
//!             plan = Array2::from_shape_fn(cost.dim(), |(i, j)| {
//!                 a[i] * b[j] * ((f[i] + g[j] - cost[[i, j]]) / epsilon).exp()
//!             });
//!             error = (plan.sum_axis(Axis(0)) - b).mapv(f64::abs).sum() / a.sum();
//!             iterations += 1;
//!         }
//!         let shift = (a.dot(&f) - b.dot(&g)) / (a.sum() + b.sum());
//!         let (f, g) = (f - shift, g + shift);
//!         let terms = || plan.iter().zip(cost).filter(|(p, _)| **p > 0.0);
//!         let linear: f64 = terms().map(|(p, c)| p * c).sum();
//!         let mass: f64 = plan.sum();
//!         let value = plan.sum_axis(Axis(1)).dot(&f) + plan.sum_axis(Axis(0)).dot(&g)
//!             - epsilon * (mass - a.sum() * b.sum());
//!         let converged = error <= problem.tolerance;
//!         let status = if converged { Status::Converged } else { Status::MaxIter };
//!         Ok(Answer { f, g, plan, value, linear, status, error, iterations })
//!     }
//! }
//!
//! let balanced: Vec<_> =
//!     oracle::cases().into_iter().filter(|case| case.group == "balanced").collect();
//! let group = &summary(&hold(&Plain, &balanced))[0];
//! assert_eq!((group.held, group.failed), (20, 0), "{}", group.at);
//! // It offers no iterates and no batches.
//! assert_eq!(group.not_offered, 3);
//! ```
//!
//! [`oracle::cases`] are the reference cases. Their inputs come from a generator, [`inputs`]; their figures from
//! peers, held to 80 bits. [`invariants::all`] are laws that hold of every problem, held to on drawn ones.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod check;
pub mod inputs;
pub mod invariants;
pub mod oracle;
pub mod solver;
pub mod swav;

pub use check::{Case, Check, Outcome, Verdict, hold, summary};
pub use solver::{Answer, Answered, Problem, Refusal, Solver};

/// Everything that a solver is held to.
pub fn cases() -> Vec<Case> {
    let mut cases = oracle::cases();
    cases.extend(invariants::cases(&invariants::SEEDS));
    cases
}
