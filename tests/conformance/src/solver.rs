//! What the kit asks of a solver: one method, and whatever else it offers.
//!
//! Arrays are of f64 in row order, costs and potentials are in one unit, sources are rows and targets are columns. A
//! solver that has no counterpart to a method leaves its default, and what needs it is reported as not offered.

use ndarray::{Array1, Array2};
pub use swav_core::transport::{Marginal, Reference, Status};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The solver does not do this at all. Reported as such, neither held nor failed.
    NotOffered,
    /// It does, but refused this input, for this reason. A case whose input is sound fails with it.
    Refused(String),
}

/// An answer or a refusal.
pub type Answered<T> = Result<T, Refusal>;

/// An entropic problem, and when to stop.
///
/// ```text
/// min_P ⟨C, P⟩ + ε KL(P | R) + ρ_a KL(P 1 | a) + ρ_b KL(Pᵀ 1 | b)
/// KL(P | R) = Σ P ln(P/R) − Σ P + Σ R
/// ```
///
/// A hard marginal replaces its last term by the constraint.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// C, (n, m); +∞ forbids a pair.
    pub cost: &'a Array2<f64>,
    /// a, (n), at least 0
    pub a: &'a Array1<f64>,
    /// b, (m), at least 0
    pub b: &'a Array1<f64>,
    /// ε, in units of the cost
    pub epsilon: f64,
    /// How strictly rows and columns are held to a and b.
    pub marginals: [Marginal; 2],
    /// R: a⊗b, or a matrix of ones.
    pub reference: Reference,
    /// L1 error of the marginals, relative to the mass, at which to stop.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: u32,
}

impl<'a> Problem<'a> {
    /// Both marginals hard, R = a⊗b, to 1e-14, as far as f64 goes, in at most 20 000 iterations: the slowest reference
    /// case takes plain Sinkhorn 11 470.
    pub fn new(
        cost: &'a Array2<f64>,
        a: &'a Array1<f64>,
        b: &'a Array1<f64>,
        epsilon: f64,
    ) -> Self {
        Problem {
            cost,
            a,
            b,
            epsilon,
            marginals: [Marginal::Hard; 2],
            reference: Reference::Product,
            tolerance: 1e-14,
            max_iterations: 20_000,
        }
    }
}

/// What a solver found for an entropic problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Potential of the rows, (n): P_ij = r_ij exp((f_i + g_j − C_ij)/ε), r being R. Both marginals hard: ⟨a, f⟩ = ⟨b,
    /// g⟩.
    pub f: Array1<f64>,
    /// Potential of the columns, (m).
    pub g: Array1<f64>,
    /// P, (n, m)
    pub plan: Array2<f64>,
    /// The objective at P, all its terms included.
    pub value: f64,
    /// ⟨C, P⟩; a forbidden pair adds nothing.
    pub linear: f64,
    /// Why the iteration stopped.
    pub status: Status,
    /// L1 error of the marginals relative to the mass. A marginal that is not hard is held to the sums that its
    /// potential asks for, weight · exp(−potential/ρ).
    pub error: f64,
    /// Full iterations done.
    pub iterations: u32,
}

/// Derivatives of a number with respect to what a problem is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// (n, m)
    pub cost: Array2<f64>,
    /// (n); where both marginals are hard, up to a constant.
    pub a: Array1<f64>,
    /// (m); where both marginals are hard, up to a constant.
    pub b: Array1<f64>,
    /// By ε.
    pub epsilon: f64,
}

/// A plan with exact marginals made from one without (Altschuler, Weed, Rigollet 2017, algorithm 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    /// Q, (n, m)
    pub plan: Array2<f64>,
    /// ⟨C, Q⟩
    pub cost: f64,
    /// ‖Q − P‖₁
    pub moved: f64,
}

/// Potential and entropic map at points that took no part.
#[derive(Clone, Debug, PartialEq)]
pub struct OffSample {
    /// f(x) = −ε ln Σ_j b_j exp((g_j − c(x, y_j))/ε), (k)
    pub potential: Array1<f64>,
    /// The mean of the y_j under those weights, (k, d).
    pub map: Array2<f64>,
}

/// S(a, b) = W(a, b) − ½ W(a, a) − ½ W(b, b), W with R = a⊗b.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// S
    pub value: f64,
    /// The same of the ⟨C, P⟩.
    pub linear: f64,
    /// ∂S/∂a, (n), up to a constant.
    pub d_a: Array1<f64>,
    /// ∂S/∂b, (m), up to a constant.
    pub d_b: Array1<f64>,
}

/// Two clouds with weights: x (n, d), y (m, d), a (n), b (m). Their cost is the squared distance.
#[derive(Clone, Copy, Debug)]
pub struct Clouds<'a> {
    /// (n, d)
    pub x: &'a Array2<f64>,
    /// (m, d)
    pub y: &'a Array2<f64>,
    /// (n)
    pub a: &'a Array1<f64>,
    /// (m)
    pub b: &'a Array1<f64>,
}

/// An entropic partial plan: P 1 ≤ a, Pᵀ 1 ≤ b, Σ P given; P_ij = r_ij exp((f_i + g_j + λ − C_ij)/ε).
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// P, (n, m)
    pub plan: Array2<f64>,
    /// ⟨C, P⟩
    pub linear: f64,
    /// At most 0; below it only where the row is full.
    pub f: Array1<f64>,
    /// At most 0; below it only where the column is full.
    pub g: Array1<f64>,
    /// λ, the price of a unit of mass.
    pub multiplier: f64,
}

/// A plan without regularisation, and the potentials that prove it: f_i + g_j ≤ C_ij, equal where P_ij > 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// P, (n, m)
    pub plan: Array2<f64>,
    /// ⟨C, P⟩
    pub value: f64,
    /// (n)
    pub f: Array1<f64>,
    /// (m)
    pub g: Array1<f64>,
}

/// Measures on a line or a circle: positions x (n) and y (m), weights a (n) and b (m), cost d(x, y)ᵖ.
#[derive(Clone, Copy, Debug)]
pub struct Positions<'a> {
    /// (n)
    pub x: &'a Array1<f64>,
    /// (m)
    pub y: &'a Array1<f64>,
    /// (n)
    pub a: &'a Array1<f64>,
    /// (m)
    pub b: &'a Array1<f64>,
    /// At least 1.
    pub p: f64,
}

/// Histograms to be averaged: (n, K), weights (K) of sum 1, a cost (n, m).
#[derive(Clone, Copy, Debug)]
pub struct Histograms<'a> {
    /// (n, m)
    pub cost: &'a Array2<f64>,
    /// (n, K), all of one mass
    pub columns: &'a Array2<f64>,
    /// (K)
    pub weights: &'a Array1<f64>,
    /// ε, in units of the cost
    pub epsilon: f64,
    /// Largest error relative to the mass at which to stop.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: u32,
}

/// A solver of optimal transport.
///
/// Only [`Solver::entropic`] is required; it may answer [`Refusal::NotOffered`] for marginals, references or masks
/// that the solver does not have. Solvers in f32, on other threads, or by other methods are handed out by the one in
/// f64.
pub trait Solver {
    /// Solves an entropic problem.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when it does not, as for every other method.
    fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer>;

    /// The state after exactly so many plain iterations from f = 0, each of the columns first and then of the rows,
    /// whatever the tolerance. With R = a⊗b that is from the scaling u = a of exp(−C/ε), with R = 1 from u = 1.
    fn rounds(&self, _problem: &Problem<'_>, _iterations: u32) -> Answered<Answer> {
        Err(Refusal::NotOffered)
    }

    /// Solves from given potentials f (n) and g (m).
    fn resume(
        &self,
        _problem: &Problem<'_>,
        _f: &Array1<f64>,
        _g: &Array1<f64>,
    ) -> Answered<Answer> {
        Err(Refusal::NotOffered)
    }

    /// Solves many problems of any shapes at once.
    fn batch(&self, _problems: &[Problem<'_>]) -> Answered<Vec<Answer>> {
        Err(Refusal::NotOffered)
    }

    /// Other ways to compute the same, by name: kernel or log domain, accelerations, costs that are not stored.
    fn variants(&self) -> Vec<(&'static str, Box<dyn Solver>)> {
        Vec::new()
    }

    /// The same solver in f32.
    fn single(&self) -> Answered<Box<dyn Solver>> {
        Err(Refusal::NotOffered)
    }

    /// The same solver on so many threads.
    fn threads(&self, _count: usize) -> Answered<Box<dyn Solver>> {
        Err(Refusal::NotOffered)
    }

    /// The state after so many plain iterations, moved to a plan with the marginals.
    fn round(&self, _problem: &Problem<'_>, _iterations: u32) -> Answered<Rounded> {
        Err(Refusal::NotOffered)
    }

    /// [below, above] the cost of transport without regularisation, from the state after so many plain iterations.
    fn bounds(&self, _problem: &Problem<'_>, _iterations: u32) -> Answered<[f64; 2]> {
        Err(Refusal::NotOffered)
    }

    /// Derivatives of the value.
    fn value_gradients(&self, _problem: &Problem<'_>) -> Answered<Gradients> {
        Err(Refusal::NotOffered)
    }

    /// Derivatives of the value with respect to points x (n, d) and y (m, d), the problem's cost being their squared
    /// distance.
    fn points_gradients(
        &self,
        _problem: &Problem<'_>,
        _x: &Array2<f64>,
        _y: &Array2<f64>,
    ) -> Answered<[Array2<f64>; 2]> {
        Err(Refusal::NotOffered)
    }

    /// Derivatives of a function of the plan, from its own derivative by the plan, `d_plan` (n, m).
    fn plan_gradients(&self, _problem: &Problem<'_>, _d_plan: &Array2<f64>) -> Answered<Gradients> {
        Err(Refusal::NotOffered)
    }

    /// Potential and map at k points from their costs (k, m) to the targets y (m, d).
    fn off_sample(
        &self,
        _problem: &Problem<'_>,
        _costs: &Array2<f64>,
        _y: &Array2<f64>,
    ) -> Answered<OffSample> {
        Err(Refusal::NotOffered)
    }

    /// The Sinkhorn divergence of the problem's measures; `own` are the costs of a with itself (n, n) and b with itself
    /// (m, m).
    fn divergence(&self, _problem: &Problem<'_>, _own: [&Array2<f64>; 2]) -> Answered<Divergence> {
        Err(Refusal::NotOffered)
    }

    /// The Sinkhorn divergence of two clouds, and its derivatives with respect to x (n, d) and y (m, d).
    fn divergence_of_clouds(
        &self,
        _clouds: &Clouds<'_>,
        _epsilon: f64,
    ) -> Answered<(Divergence, [Array2<f64>; 2])> {
        Err(Refusal::NotOffered)
    }

    /// Moves `mass` of a, at most, to b, at most. The problem's marginals mean nothing.
    fn partial(&self, _problem: &Problem<'_>, _mass: f64) -> Answered<Partial> {
        Err(Refusal::NotOffered)
    }

    /// The same without regularisation: the plan (n, m) and ⟨C, P⟩.
    fn exact_partial(
        &self,
        _cost: &Array2<f64>,
        _a: &Array1<f64>,
        _b: &Array1<f64>,
        _mass: f64,
    ) -> Answered<(Array2<f64>, f64)> {
        Err(Refusal::NotOffered)
    }

    /// The q (m) with the smallest Σ_k λ_k W(a_k, q), W with R = 1; debiased, with the smallest Σ_k λ_k W(a_k, q) − ½
    /// W(q, q).
    fn barycenter(&self, _histograms: &Histograms<'_>, _debiased: bool) -> Answered<Array1<f64>> {
        Err(Refusal::NotOffered)
    }

    /// Transport without regularisation.
    fn exact(&self, _cost: &Array2<f64>, _a: &Array1<f64>, _b: &Array1<f64>) -> Answered<Exact> {
        Err(Refusal::NotOffered)
    }

    /// The column of each row of a cost (n, n), none twice, and the sum of their costs.
    fn assignment(&self, _cost: &Array2<f64>) -> Answered<(Vec<usize>, f64)> {
        Err(Refusal::NotOffered)
    }

    /// Transport on a line: the plan (n, m) and W_pᵖ.
    fn line(&self, _positions: &Positions<'_>) -> Answered<(Array2<f64>, f64)> {
        Err(Refusal::NotOffered)
    }

    /// Transport on a circle of length 1: W_pᵖ.
    fn circle(&self, _positions: &Positions<'_>) -> Answered<f64> {
        Err(Refusal::NotOffered)
    }

    /// (mean of W_pᵖ over the directions (k, d))^(1/p) of the clouds projected on them.
    fn sliced(&self, _clouds: &Clouds<'_>, _p: f64, _directions: &Array2<f64>) -> Answered<f64> {
        Err(Refusal::NotOffered)
    }

    /// SwAV's codes (B, K) of scores (B, K): exp(S/ε), of which so many times first every column is divided by its
    /// sum, then every row.
    fn codes(&self, _scores: &Array2<f64>, _epsilon: f64, _rounds: u32) -> Answered<Array2<f64>> {
        Err(Refusal::NotOffered)
    }

    /// SwAV's loss of two views, each predicting the codes of the other at a temperature, and its derivatives by their
    /// scores.
    fn swapped(
        &self,
        _scores: [&Array2<f64>; 2],
        _codes: [&Array2<f64>; 2],
        _temperature: f64,
    ) -> Answered<(f64, [Array2<f64>; 2])> {
        Err(Refusal::NotOffered)
    }
}
