//! Optimal transport between any two weights.
//!
//! # The problem on one page
//!
//! n sources hold masses a_i, m targets want masses b_j, and moving a unit from i to j costs C_ij. A *plan* P says how
//! much goes where. The cheapest one is found by linear programming ([`exact`]); the smooth one of entropic transport
//! (Cuturi 2013), by alternating scalings that are short, parallel and differentiable:
//!
//! ```text
//! W(a, b) = min_P ⟨C, P⟩ + ε KL(P | a⊗b)      P 1 = a,  Pᵀ 1 = b,  P ≥ 0
//! KL(P | R) = Σ P ln(P/R) − Σ P + Σ R
//! P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε)
//! W(a, b) = max_{f,g} ⟨a, f⟩ + ⟨b, g⟩ − ε (Σ P − Σ R)
//! ```
//!
//! The potentials f and g have the units of the cost: f_i + g_j is what moving a unit from i to j is worth. The reference
//! measure is a⊗b, so a weight of 0 makes its row or column inert, and splitting an atom in two changes nothing. Potentials
//! are unique up to a constant moved from one to the other; the ones returned have ⟨a, f⟩ = ⟨b, g⟩.
//!
//! ```
//! use ndarray::array;
//! use swav_core::transport::{Dense, Problem, Sinkhorn, Status};
//!
//! let cost = array![[0.0_f64, 1.0, 4.0], [1.0, 0.0, 1.0]];
//! let (a, b) = (array![0.4, 0.6], array![0.3, 0.3, 0.4]);
//! let geometry = Dense::new(&cost);
//! let problem = Problem::new(&geometry, &a, &b, 0.05)?;
//! let solution = Sinkhorn::default().solve(&problem)?;
//! assert_eq!(solution.status, Status::Converged);
//! let plan = solution.plan();
//! assert!((plan.sum() - 1.0).abs() < 1e-12 && plan[[0, 0]] > 0.29);
//! # Ok::<(), swav_core::Error>(())
//! ```
//!
//! # One iteration
//!
//! moves g so that the columns fit, then f so that the rows do. Rows are therefore exact on return, and the error
//! reported is that of the columns. Each iteration reads the cost once: for row i, e_ij = b_j exp((g_j − C_ij)/ε), relative
//! to where f_i was, gives f_i, and the same e_ij times a_i / Σ_j e_ij is P_ij, whose column sums move g.
//!
//! # In what order to read
//!
//! [`Geometry`] (where costs come from), [`Problem`] (cost, weights, marginals, ε), [`Sinkhorn`] (the solver's options) and
//! [`Run`] (a solve under way), [`Solution`] (what was found). Its derivatives: [`Solution::weights_gradient`] and its like for
//! those of the value, [`Backward`] and [`Tangent`] for those of the plan. Many problems at once: [`Sinkhorn::solve_all`]. Matching: [`Dustbin`] where anything
//! may stay alone, [`Partial`] where a mass or capacities are given.

mod barycenter;
mod batch;
mod certificate;
mod divergence;
mod dustbin;
pub mod exact;
mod exponentials;
mod feasible;
mod geometry;
mod gradient;
mod grid;
mod half_steps;
mod implicit;
mod map;
mod newton;
mod pairs;
mod partial;
mod partial_solution;
mod patience;
mod problem;
mod run;
mod settle;
mod side;
mod sinkhorn;
mod solution;
mod sparse;
pub(crate) mod sweep;
mod symmetric;
mod system;
mod tangent;
mod workspace;

pub use barycenter::{Barycenter, BarycenterSolution};
pub use certificate::{Bounds, Rounded};
pub use divergence::{Cloud, Divergence, Part, SinkhornDivergence};
pub use dustbin::Dustbin;
pub use geometry::{Dense, Function, Geometry, Masked, Metric, Points};
pub use gradient::WeightsGradient;
pub use grid::Grid;
pub use implicit::Backward;
pub use partial::{Capped, Partial};
pub use partial_solution::PartialSolution;
pub use problem::{Marginal, Problem, Reference};
pub use run::Run;
pub use sinkhorn::{Acceleration, Method, Progress, Report, Sinkhorn, Status};
pub use solution::{Potentials, Solution, Sums};
pub use sparse::Sparse;
pub use tangent::{Direction, Tangent};
pub use workspace::Workspace;

#[cfg(test)]
mod drawn;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod partial_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unbalanced_tests;
