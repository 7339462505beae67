//! Optimal transport: how to move one weight onto another at the least cost, and what that cost says of the two.
//!
//! # The problem on one page
//!
//! n sources hold masses a_i, m targets want masses b_j, as much in all, and moving a unit from i to j costs C_ij. A
//! *plan* P says how much goes where: a matrix of n × m whose rows sum to a, its columns to b, no entry below 0. The
//! cheapest one solves a linear program; its dual puts a price on every source and target:
//!
//! ```text
//! W₀(a, b) = min_P ⟨C, P⟩                  P 1 = a,  Pᵀ 1 = b,  P ≥ 0
//!          = max_{f,g} ⟨a, f⟩ + ⟨b, g⟩      f_i + g_j ≤ C_ij
//! ```
//!
//! With C a distance, W₀ is a distance of weights: it knows how far apart the places are, which Σ |a − b| does not.
//! [`exact`] finds it. It has a kink wherever the best plan changes, and its plan jumps there. The **entropic** problem
//! (Cuturi 2013) is smooth, and solved by short passes over a matrix. It prefers plans that spread, like a⊗b:
//!
//! ```text
//! W(a, b) = min_P ⟨C, P⟩ + ε KL(P | a⊗b)          KL(P | R) = Σ P ln(P/R) − Σ P + Σ R
//!         = max_{f,g} ⟨a, f⟩ + ⟨b, g⟩ − ε (Σ P − Σ R)
//! P_ij    = a_i b_j exp((f_i + g_j − C_ij)/ε)
//! ```
//!
//! So the plan is a known matrix, exp(−C/ε), whose rows and columns are scaled until their sums are right. Sinkhorn's
//! iteration moves g so that the columns fit, then f so that the rows do, and so on. The potentials f and g have the
//! units of the cost: f_i + g_j is what moving a unit from i to j is worth. They are unique up to a constant moved from
//! one to the other; the ones returned have ⟨a, f⟩ = ⟨b, g⟩. A weight of 0 makes its row inert, and splitting an atom
//! in two changes nothing.
//!
//! ```
//! use ndarray::array;
//! use swav_core::transport::{Dense, Problem, Sinkhorn, Status, exact};
//!
//! let cost = array![[0.0_f64, 1.0, 4.0], [1.0, 0.0, 1.0]];
//! let (a, b) = (array![0.4, 0.6], array![0.3, 0.3, 0.4]);
//! let geometry = Dense::new(&cost);
//! let problem = Problem::new(&geometry, &a, &b, 0.05)?;
//! let solution = Sinkhorn::default().solve(&problem)?;
//! assert_eq!(solution.status, Status::Converged);
//! let plan = solution.plan();
//! assert!((plan.sum() - 1.0).abs() < 1e-12 && plan[[0, 0]] > 0.29);
//! // The cheapest plan costs 0.5; what is known of that from here is an interval.
//! assert!((exact::emd(&cost, &a, &b)?.value - 0.5).abs() < 1e-15);
//! assert!(solution.bounds()?.contains(0.5) && solution.linear() - 0.5 < 1e-3);
//! # Ok::<(), swav_core::Error>(())
//! ```
//!
//! # What ε does, and how to choose it
//!
//! ε is in units of the cost. A pair dearer by ε than its potentials are worth gets e times less than a⊗b would give
//! it. Large ε: P → a⊗b. Small ε: P → the cheapest plan, whose cost ⟨C, P⟩ exceeds by at most ε min(H(a), H(b)), H the
//! entropy −Σ a ln a of a mass of 1; and more iterations. At squared distances the plan is blurred over √(ε/2), so take
//! the length below which a difference does not matter. Else start at a twentieth of the standard deviation of the
//! costs, and halve until what you look at no longer changes. [`Solution::bounds`] tells how far off W₀ can be. W is
//! not 0 for a = b: to measure a difference there is [`SinkhornDivergence`].
//!
//! # How to read a result
//!
//! Rows are exact on return; [`Solution::error`] is what the columns are off by, in L1, relative to the mass.
//!
//! | [`Status`] | | then |
//! | --- | --- | --- |
//! | `Converged` | the error is at most the tolerance | go on |
//! | `Stalled` | rounding allows no less: f32, or costs far larger than ε | see whether the error will do |
//! | `MaxIter` | iterations ran out | [`Method::Kernel`] if the cost is computed; more of them; a larger ε |
//!
//! Whatever the status, [`Solution::round`] moves the plan onto its weights exactly, and [`Solution::bounds`] holds.
//! [`Solution::report`] says which method was used, and why.
//!
//! # Which method
//!
//! | you have | use | an iteration | memory |
//! | --- | --- | --- | --- |
//! | points on a line, a circle | [`exact::line()`], [`exact::circle()`] | sorting, once | n + m |
//! | a need of the cheapest plan itself | [`exact::emd()`], [`exact::assignment()`] | [`exact`] | n m |
//! | a matrix of costs | [`Dense`]: a kernel, absorbed anew as potentials move; Newton steps | n m, one read | 2 n m |
//! | points, or a formula, up to 2²⁰ pairs | [`Points`], [`Function`]: a kernel | n m, one read | n m |
//! | the same, more pairs | in the log domain | n m (d + exp) | (n + m) d |
//! | the same, where ε is small | and [`Method::Kernel`] | n m, one read | n m |
//! | N = k^r places of a grid | [`Grid`]: axis by axis | N r k | N |
//! | a measure and itself | [`Sinkhorn::solve_symmetric`] | n² exp, some 40 in all | n |
//! | two measures to compare | [`SinkhornDivergence`] | three solves | |
//! | masses to create or destroy, at a price | [`Marginal::Kl`] | as above | |
//! | a given mass to move; capacities | [`Partial`] with [`Capped`] | 2 n m exp | n + m |
//! | pairs to match, some to leave alone | [`Dustbin`] | n m exp | n + m |
//! | histograms to average | [`Barycenter`] | as many sweeps as histograms | |
//! | many problems | [`Sinkhorn::solve_all`] | as above, in parallel | |
//! | rounds to be fixed, as SwAV's | [`Sinkhorn::rounds`], [`codes`](crate::codes()) | n m | |
//!
//! How many iterations: some 20 where ε is a twentieth of the range of the costs; where it is a two-thousandth, a
//! thousand in the log domain, or 200 to 400 reads of a kernel with Newton steps. [`accuracy`] has the figures, and
//! those of f32.
//!
//! One iteration reads the cost once: for row i, e_ij = b_j exp((g_j − C_ij)/ε), relative to where f_i was, gives f_i,
//! and the same e_ij times a_i / Σ_j e_ij is P_ij, whose column sums move g.
//!
//! # In what order to read
//!
//! [`Geometry`] (where costs come from), [`Problem`] (cost, weights, marginals, ε), [`Sinkhorn`] (the solver's options)
//! and [`Run`] (a solve under way), [`Solution`] (what was found). Its derivatives: [`Solution::weights_gradient`] and
//! its like for those of the value, [`Backward`] and [`Tangent`] for those of the plan. If you know POT, OTT or
//! GeomLoss: [`translation`]. The crate's examples draw plans, move colours, compare histograms, route, sort, attend
//! and match.

pub mod accuracy;
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
pub mod translation;
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
mod truth_tests;
#[cfg(test)]
mod unbalanced_tests;
