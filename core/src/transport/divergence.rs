//! The Sinkhorn divergence: entropic transport without its bias.
//!
//! W(a, a) is not 0, and b = a does not make W(a, b) smallest: the entropic term prefers plans that spread. Taking
//! half of each measure's cost to itself away mends both (Genevay et al. 2018; Feydy et al. 2019; for any masses
//! Séjourné et al. 2019):
//!
//! ```text
//! S(a, b) = W(a, b) − ½ W(a, a) − ½ W(b, b) + ε/2 (m_a − m_b)²
//! ```
//!
//! with W as in [`Problem`], its reference a⊗b, and m the masses. The last term is what the masses of the three
//! references leave over, ε m_a m_b − ε/2 m_a² − ε/2 m_b², and is 0 for equal masses. Where exp(−C/ε) is positive
//! semidefinite, as for every [`Metric`] of points, S ≥ 0, S(a, a) = 0, and S is convex in each of a and b; it goes to the
//! cost of transport as ε → 0, and to a kernel distance (of the kernel −C/2) as ε → ∞. POT's function of this name is
//! another: ⟨C, P⟩ − ½ ⟨C, P_aa⟩ − ½ ⟨C, P_bb⟩, which may be negative; it is [`Divergence::linear`].
//!
//! # How it is computed
//!
//! The two problems of a measure with itself by [`Sinkhorn::solve_symmetric`], in some 30 to 50 sweeps at any ε; that between
//! them by [`Sinkhorn::solve`], from the potentials of the other two where those fit, so that S(a, a) takes
//! one iteration. Each W is a dual value, whose error is the square of that of the potentials.
//! Time is that of the solves, memory O(n + m).
//!
//! # Gradients
//!
//! By the envelope theorem no iteration is differentiated. With f_ab the potential of a against b, and f_aa that of a
//! against itself,
//!
//! ```text
//! ∂S/∂a = f_ab − f_aa                                         hard marginals, up to a constant
//! ∂S/∂a = −(ρ + ε) (exp(−f_ab/ρ) − exp(−f_aa/ρ))              KL marginals
//! ∂S/∂x_i = Σ_j P^ab_ij ∇C(x_i, y_j) − Σ_j P^aa_ij ∇C(x_i, x_j)
//! ```
//!
//! ∇ being with respect to the first point. Where there is no weight, the potentials are soft transforms, and the
//! gradient is what adding some would do.
//!
//! # Limits
//!
//! S is a difference of numbers of the size of W, so its rounding is a few machine epsilons of those; nothing is
//! clamped at 0. In f32 that is about 1e-6 of the range of the cost.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

use super::geometry::{Geometry, Metric, Points};
use super::pairs::Pairs;
use super::problem::{Marginal, Problem};
use super::sinkhorn::{Sinkhorn, Status};
use super::solution::{Potentials, Solution};
use super::workspace::Workspace;
use crate::error::Error;
use crate::real::Real;

/// First errors above this say that the potentials of the measures with themselves do not fit the problem between them.
const FITS: f64 = 0.1;

/// How to compare two measures by their Sinkhorn divergence (Feydy et al. 2019; Séjourné et al. 2019):
///
/// ```text
/// S(a, b) = W(a, b) − ½ W(a, a) − ½ W(b, b) + ε/2 (m_a − m_b)²
/// ```
///
/// W being the value of a [`Problem`], m the masses. For every [`Metric`], S ≥ 0 and S(a, a) = 0; it goes to the cost
/// of transport as ε → 0, and to a kernel distance as ε → ∞. [`Divergence`] holds the gradients ∂S/∂a = f_ab − f_aa,
/// [`SinkhornDivergence::with_gradients`] those of the points.
///
/// # Complexity and limits
///
/// Three solves, those of a measure with itself in some 30 to 50 passes at any ε; memory O(n + m), as costs of points
/// are not stored. S is a difference of numbers of the size of W and carries their rounding, in f32 some 1e-6 of the
/// range of the cost; nothing is clamped at 0.
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::{Metric, SinkhornDivergence};
///
/// let (x, y) = (array![[0.0_f64, 0.0], [1.0, 0.0]], array![[0.5, 1.0], [0.5, -1.0], [0.0, 0.0]]);
/// let (a, b) = (array![0.4, 0.6], array![0.3, 0.3, 0.4]);
/// let divergence = SinkhornDivergence::new(0.1);
/// let found = divergence.between_points((&x, &a), (&y, &b), Metric::SquaredEuclidean)?;
/// assert!(found.value > 0.2);
/// let itself = divergence.between_points((&x, &a), (&x, &a), Metric::SquaredEuclidean)?;
/// assert!(itself.value.abs() < 1e-14);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SinkhornDivergence {
    /// ε, in units of the cost.
    pub epsilon: f64,
    /// How strictly all marginals are held. Masses may differ when they are not hard.
    pub marginal: Marginal,
    /// Options of the three solves.
    pub sinkhorn: Sinkhorn,
}

/// What one of the three problems of a divergence came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// W, the optimum of its dual.
    pub value: f64,
    /// ⟨C, P⟩
    pub linear: f64,
    /// Why its iteration stopped.
    pub status: Status,
    /// L1 error of its marginals relative to the mass.
    pub error: f64,
    /// Full iterations done.
    pub iterations: u32,
}

/// A Sinkhorn divergence, with its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// S(a, b)
    pub value: f64,
    /// ∂S/∂a, (n); for hard marginals up to a constant.
    pub d_a: Array1<f64>,
    /// ∂S/∂b, (m); for hard marginals up to a constant.
    pub d_b: Array1<f64>,
    /// W(a, b), W(a, a), W(b, b).
    pub parts: [Part; 3],
}

impl Divergence {
    /// ⟨C, P⟩ − ½ ⟨C, P_aa⟩ − ½ ⟨C, P_bb⟩, without the entropic terms; POT's "empirical Sinkhorn divergence".
    pub fn linear(&self) -> f64 {
        let [between, a, b] = self.parts.map(|part| part.linear);
        between - 0.5 * (a + b)
    }

    /// The first status that is not [`Status::Converged`], if any.
    pub fn status(&self) -> Status {
        let statuses = self.parts.map(|part| part.status);
        statuses.into_iter().find(|&s| s != Status::Converged).unwrap_or(Status::Converged)
    }

    /// The largest error of the three.
    pub fn error(&self) -> f64 {
        self.parts.iter().fold(0.0, |most, part| part.error.max(most))
    }
}

/// A cloud of points with weights: (n, d) and (n).
pub type Cloud<'a, T> = (&'a ArrayRef2<T>, &'a ArrayRef1<T>);

impl SinkhornDivergence {
    /// Between measures of one mass, with the solver's defaults.
    pub fn new(epsilon: f64) -> Self {
        SinkhornDivergence { epsilon, marginal: Marginal::Hard, sinkhorn: Sinkhorn::default() }
    }

    /// S between two measures from three costs: of a with b (n, m), a with a (n, n), b with b (m, m).
    ///
    /// # Errors
    ///
    /// Those of [`Problem::with_marginals`] and [`Sinkhorn::solve_symmetric`].
    #[inline(never)]
    pub fn between<T: Real>(
        &self,
        costs: [&dyn Geometry<T>; 3],
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
    ) -> Result<Divergence, Error> {
        let problems = self.problems(costs, a, b)?;
        self.solve(&problems).map(|(divergence, _)| divergence)
    }

    /// S between two clouds. No cost is stored.
    ///
    /// # Errors
    ///
    /// Those of [`Points::new`] and [`Problem::with_marginals`].
    #[inline(never)]
    pub fn between_points<T: Real>(
        &self,
        a: Cloud<'_, T>,
        b: Cloud<'_, T>,
        metric: Metric,
    ) -> Result<Divergence, Error> {
        let [ab, aa, bb] = geometries(a, b, metric)?;
        self.between([&ab, &aa, &bb], a.1, b.1)
    }

    /// S between two clouds, and its gradients with respect to the points of the first (n, d) and the second (m, d), which
    /// take four more passes over the costs.
    ///
    /// Where the metric has no gradient, two points in one place of [`Metric::Euclidean`], theirs is taken as 0; so
    /// is that of a point at 0 for [`Metric::Cosine`].
    ///
    /// # Errors
    ///
    /// Those of [`SinkhornDivergence::between_points`].
    #[inline(never)]
    pub fn with_gradients<T: Real>(
        &self,
        a: Cloud<'_, T>,
        b: Cloud<'_, T>,
        metric: Metric,
    ) -> Result<(Divergence, [Array2<f64>; 2]), Error> {
        let [ab, aa, bb] = geometries(a, b, metric)?;
        let problems = self.problems([&ab, &aa, &bb], a.1, b.1)?;
        let (divergence, [between, from_a, from_b]) = self.solve(&problems)?;
        let ((x, _), (y, _)) = (a, b);
        let d_x = along_rows(&between, x, y, metric) - along_rows(&from_a, x, x, metric);
        // The columns are the rows of the problem the other way round.
        let turned = Points::new(y, x, metric)?;
        let problem = self.problem(&turned, b.1, a.1)?;
        let back = Solution {
            problem: &problem,
            exact_rows: true,
            f: between.g.clone(),
            g: between.f.clone(),
            status: between.status,
            error: between.error,
            iterations: between.iterations,
            report: between.report,
        };
        let d_y = along_rows(&back, y, x, metric) - along_rows(&from_b, y, y, metric);
        Ok((divergence, [d_x, d_y]))
    }

    fn problem<'a, T: Real>(
        &self,
        geometry: &'a dyn Geometry<T>,
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
    ) -> Result<Problem<'a, T>, Error> {
        Problem::with_marginals(geometry, a, b, self.epsilon, [self.marginal; 2])
    }

    fn problems<'a, T: Real>(
        &self,
        [ab, aa, bb]: [&'a dyn Geometry<T>; 3],
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
    ) -> Result<[Problem<'a, T>; 3], Error> {
        // First the one that knows which of the weights is wrong.
        let between = self.problem(ab, a, b)?;
        Ok([between, self.problem(aa, a, a)?, self.problem(bb, b, b)?])
    }

    fn solve<'a, T: Real>(
        &self,
        [ab, aa, bb]: &'a [Problem<'a, T>; 3],
    ) -> Result<(Divergence, [Solution<'a, T>; 3]), Error> {
        let from_a = self.sinkhorn.solve_symmetric(aa)?;
        let from_b = self.sinkhorn.solve_symmetric(bb)?;
        let between = self.between_from(ab, &from_a, &from_b)?;
        let solutions = [between, from_a, from_b];
        let parts = [part(&solutions[0]), part(&solutions[1]), part(&solutions[2])];
        let [w, w_a, w_b] = parts.map(|part| part.value);
        let apart = ab.a.iter().sum::<f64>() - bb.a.iter().sum::<f64>();
        let value = (w - 0.5 * (w_a + w_b)) + 0.5 * self.epsilon * apart * apart;
        let [between, from_a, from_b] = &solutions;
        let d_a = self.weight_gradient(&between.f, &from_a.f);
        let d_b = self.weight_gradient(&between.g, &from_b.f);
        Ok((Divergence { value, d_a, d_b, parts }, solutions))
    }

    /// W(a, b), from the potentials of the measures with themselves if the plan of those is near one.
    fn between_from<'a, T: Real>(
        &self,
        problem: &'a Problem<'a, T>,
        from_a: &Solution<'_, T>,
        from_b: &Solution<'_, T>,
    ) -> Result<Solution<'a, T>, Error> {
        crate::chunks::inside(|| {
            let start = Potentials { f: from_a.f.clone(), g: from_b.g.clone() };
            let mut workspace = Workspace::new();
            let mut run = self.sinkhorn.start(problem, &mut workspace, Some(&start))?;
            if run.step().error > FITS {
                return self.sinkhorn.solve(problem);
            }
            while run.next().is_some() {}
            Ok(run.finish())
        })
    }

    fn weight_gradient(&self, across: &Array1<f64>, own: &Array1<f64>) -> Array1<f64> {
        let slope = |(&across, &own): (&f64, &f64)| match self.marginal {
            Marginal::Hard => across - own,
            Marginal::Kl(rho) => {
                let [across, own] = [across, own].map(|f| libm::expm1(-f / rho));
                -(rho + self.epsilon) * (across - own)
            }
        };
        across.iter().zip(own).map(slope).collect()
    }
}

fn geometries<'a, T: Real>(
    (x, _): Cloud<'a, T>,
    (y, _): Cloud<'a, T>,
    metric: Metric,
) -> Result<[Points<'a, T>; 3], Error> {
    Ok([Points::new(x, y, metric)?, Points::new(x, x, metric)?, Points::new(y, y, metric)?])
}

fn part<T: Real>(solution: &Solution<'_, T>) -> Part {
    let sums = solution.sums();
    let vector = |x: &Array1<f64>| -> Vec<f64> { x.to_vec() };
    let (f, g) = (vector(&solution.f), vector(&solution.g));
    let problem = solution.problem;
    // Rows that are exact have their weights' mass, whatever the plan's rounding says.
    let exact = solution.exact_rows && problem.marginals[0] == Marginal::Hard;
    let mass = if exact { problem.a.iter().sum() } else { sums.columns.sum() };
    Part {
        value: super::solution::dual(problem, problem.epsilon, &f, &g, mass),
        linear: sums.linear,
        status: solution.status,
        error: solution.error,
        iterations: solution.iterations,
    }
}

/// Σ_j P_ij ∇C(x_i, y_j) of every row, ∇ with respect to x_i.
fn along_rows<T: Real>(
    solution: &Solution<'_, T>,
    x: &ArrayRef2<T>,
    y: &ArrayRef2<T>,
    metric: Metric,
) -> Array2<f64> {
    let (d, pairs) = (x.ncols(), Pairs::new(x, y, metric));
    let found = solution.over_rows(Vec::new, |i, _, plan, found: &mut Vec<f64>| {
        let first = found.len();
        found.resize(first + d, 0.0);
        pairs.row(i, plan, &mut found[first..]);
    });
    let all: Vec<f64> = found.into_iter().flatten().collect();
    crate::rows::array(x.dim(), all)
}

#[cfg(test)]
mod tests;
