//! Transport of a measure to itself: a = b, C symmetric, one potential.
//!
//! With both sides the same, f = g, and the potential is the fixed point of the soft transform
//!
//! ```text
//! f = τ T(f),   T(f)_i = −ε ln Σ_j a_j exp((f_j − C_ij)/ε),   τ = ρ/(ρ + ε), 1 when hard
//! ```
//!
//! T undoes what f overshoots by, so its plain iteration goes back and forth; the average of the two ends does not
//! (Knight, Ruiz and Uçar 2014; Feydy et al. 2019):
//!
//! ```text
//! f ← (f + τ T(f))/2
//! ```
//!
//! The derivative of T is −P̂, the plan with rows divided by their sums, whose eigenvalues λ lie in [−1, 1]. An error along
//! an eigenvector shrinks by (1 − τ λ)/2. Where exp(−C/ε) is positive semidefinite, as it is for every
//! [`Metric`](super::Metric) of a cloud with itself, no λ is below 0: each iteration halves the error at least, **whatever
//! ε**, where alternating steps shrink it by λ², which tends to 1 with ε. Elsewhere a λ near −1 may make
//! the average slow; then the alternating solver, with its Newton steps, goes on from there, and since
//! the dual is concave and does not change when f and g are exchanged, the average of its two potentials is the solution.
//!
//! An iteration is one sweep over the cost, one exp an entry, in O(n) memory.

use ndarray::Array1;

use super::patience::Patience;
use super::problem::{Problem, slack};
use super::sinkhorn::{Method, Report, Sinkhorn, Status};
use super::solution::{Potentials, Solution};
use super::sweep;
use super::workspace::Workspace;
use crate::error::Error;
use crate::real::Real;

/// Iterations after which the rate is looked at.
const STRETCH: u32 = 25;

impl Sinkhorn {
    /// Solves a problem whose two sides are the same: a = b, both marginals alike, C_ij = C_ji. The potentials are equal, to
    /// the bit.
    ///
    /// `tolerance` and `max_iterations` mean what they do in [`Sinkhorn::solve`]; the other options are for the
    /// alternating solver, should that be called. The plan is symmetric to the bit: its rows are not exact, but
    /// as far off as its columns, and the error is that of both.
    ///
    /// The symmetry of a stored cost is checked; that of one which is computed is a precondition. Where it is not met, the
    /// error, which is that of the true column sums, does not fall to the tolerance.
    ///
    /// ```
    /// use ndarray::array;
    /// use swav_core::transport::{Metric, Points, Problem, Sinkhorn};
    ///
    /// let (x, a) = (array![[0.0_f64, 0.0], [0.1, 0.0], [3.0, 1.0]], array![0.2, 0.5, 0.3]);
    /// let geometry = Points::new(&x, &x, Metric::SquaredEuclidean)?;
    /// let problem = Problem::new(&geometry, &a, &a, 0.01)?;
    /// let solution = Sinkhorn::default().solve_symmetric(&problem)?;
    /// assert_eq!(solution.f, solution.g);
    /// # Ok::<(), swav_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for a cost that is not square; [`Error::Parameter`] for weights, marginals or a stored cost that
    /// are not the same both ways, or options outside their ranges.
    #[inline(never)]
    pub fn solve_symmetric<'a, T: Real>(
        &self,
        problem: &'a Problem<'a, T>,
    ) -> Result<Solution<'a, T>, Error> {
        self.check()?;
        check(problem)?;
        crate::chunks::inside(|| self.average(problem))
    }

    fn average<'a, T: Real>(&self, problem: &'a Problem<'a, T>) -> Result<Solution<'a, T>, Error> {
        let n = problem.a.len();
        let mut workspace = Workspace::new();
        workspace.resize(n, n, true);
        let mut patience =
            Patience::new::<T>(self.tolerance, n, problem.range.width() / problem.epsilon);
        let mut solution = Solution {
            problem,
            exact_rows: false,
            f: Array1::zeros(n),
            g: Array1::zeros(n),
            status: Status::MaxIter,
            error: f64::INFINITY,
            iterations: 0,
            report: Report::new(Method::Log, "both sides are the same"),
        };
        // What counts is the error of the plan that is returned, that of f and itself.
        let mut returned = patience;
        let (mut earlier, mut alternated) = (f64::INFINITY, false);
        while solution.iterations < self.max_iterations {
            let f = solution.f.as_slice_mut().expect("a vector lies in one piece");
            solution.error = sweep_once(problem, f, &mut workspace);
            solution.iterations += 1;
            if let Some(status) = patience.judge(solution.error, || false) {
                solution.g.assign(&solution.f);
                solution.error = solution.measured();
                let ended = returned.judge(solution.error, || true);
                if ended.is_some() || status != Status::Converged {
                    solution.status = status.at(solution.error, self.tolerance);
                    break;
                }
            }
            if !solution.iterations.is_multiple_of(STRETCH) {
                continue;
            }
            let slow = solution.error > 0.5 * earlier && !patience.at_floor(solution.error);
            earlier = solution.error;
            if slow && !alternated && self.max_iterations - solution.iterations > 1 {
                alternated = true;
                self.alternate(&mut solution)?;
            }
        }
        if problem.a.contains(&0.0) {
            // Without weight the potential is the soft transform of the others where those have come to.
            let mut moved = solution.f.to_vec();
            sweep_once(problem, &mut moved, &mut workspace);
            let without = problem.a.iter().zip(moved).zip(&mut solution.f);
            without.filter(|((a, _), _)| **a == 0.0).for_each(|((_, moved), f)| *f = moved);
        }
        solution.g.assign(&solution.f);
        if solution.status == Status::MaxIter {
            solution.error = solution.measured();
            solution.status = solution.status.at(solution.error, self.tolerance);
        }
        Ok(solution)
    }

    /// Goes on with the alternating solver, and averages what it finds.
    fn alternate<T: Real>(&self, solution: &mut Solution<'_, T>) -> Result<(), Error> {
        let start = Potentials { f: solution.f.clone(), g: solution.f.clone() };
        let options = Sinkhorn {
            // The average of its potentials is to stay below the tolerance.
            tolerance: self.tolerance / 4.0,
            // The sweep that measures the average is one more.
            max_iterations: self.max_iterations - solution.iterations - 1,
            ..*self
        };
        let found = options.solve_from(solution.problem, Some(&start), |_| true)?;
        solution.f = (&found.f + &found.g) * 0.5;
        solution.error = found.error;
        solution.iterations += found.iterations;
        solution.report = found.report;
        Ok(())
    }
}

/// One sweep: f becomes (f + τ T(f))/2. Returns the error of the plan of τ T(f) and f.
fn sweep_once<T: Real>(
    problem: &Problem<'_, T>,
    f: &mut [f64],
    workspace: &mut Workspace<T>,
) -> f64 {
    let side = problem.side(0, problem.epsilon);
    side.with_reference(f, &mut workspace.columns);
    let Workspace { f: image, columns, sums, pieces, .. } = workspace;
    sweep::log_rows(problem.geometry, side, columns, image, sums, pieces);
    let mut error = 0.0;
    for (i, (f, (&image, &sum))) in f.iter_mut().zip(image.iter().zip(sums.iter())).enumerate() {
        // Where a row may reach nothing, both are 0 from the start, and it takes no part.
        if sum > 0.0 || *f != 0.0 || image != 0.0 {
            error += (sum - side.goal(i, *f)).abs();
        }
        *f = if side.weights[i] > 0.0 { 0.5 * (*f + image) } else { image };
    }
    error / problem.mass()
}

/// Both sides the same?
fn check<T: Real>(problem: &Problem<'_, T>) -> Result<(), Error> {
    let (n, m) = problem.shape();
    Error::shape("cost", [n, n], [n, m])?;
    let refuse = |name, value, requirement| Err(Error::Parameter { name, value, requirement });
    // Two masses may differ by what their type rounds, and then b has been scaled.
    let slack = slack::<T>();
    if let Some((_, &b)) =
        problem.a.iter().zip(&problem.b).find(|(a, b)| (*a - *b).abs() > slack * **a)
    {
        return refuse("b", b, "equal to a in every entry");
    }
    if problem.marginals[0] != problem.marginals[1] {
        return refuse("rho", problem.marginals[1].rho(), "the same for both marginals");
    }
    symmetric(problem.geometry, problem.range.width())
}

/// A stored cost must be symmetric, to the rounding of costs of this range.
pub(super) fn symmetric<T: Real>(
    geometry: &dyn super::Geometry<T>,
    width: f64,
) -> Result<(), Error> {
    let n = geometry.shape().0;
    let Some(cost) = geometry.stored() else { return Ok(()) };
    // A distance from a product of matrices is off by the square root of machine epsilons of its terms.
    let slack = (if T::EPSILON.to_f64() < 1e-10 { 1e-10 } else { 1e-4 }) * width;
    for i in 0..n {
        for j in 0..i {
            let (c, t) = (cost[i * n + j].to_f64(), cost[j * n + i].to_f64());
            if c != t && (c - t).is_nan() | ((c - t).abs() > slack) {
                return Err(Error::Parameter {
                    name: "cost",
                    value: c - t,
                    requirement: "symmetric: C_ij − C_ji must be 0",
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
