//! The error of the potentials that are returned, where it may be another than that of the run.
//!
//! A run sees the plan in the form that it iterates: as a kernel that is multiplied, or with potentials in another gauge.
//! What is returned are potentials in units of the cost, and their plan has exponents (f + g − C)/ε that are rounded by
//!
//! ```text
//! δ = u (max |C| + max |f| + max |g|)/ε      u the machine epsilon of T
//! ```
//!
//! so each of its entries may be off by the factor exp(±δ). Where that is nothing beside the error, the run's own is
//! true. Elsewhere the plan is measured, and a run that has reached its tolerance in a form that potentials cannot express
//! has [stalled](Status::Stalled). So has one whose marginals are not hard and ask for more mass than there are numbers.

use ndarray::Array1;

use super::solution::Solution;
use crate::real::Real;

/// Exponents below this are those of numbers, in f32 too.
const LARGE: f64 = 80.0;

/// Largest |x|.
pub(super) fn size(x: &Array1<f64>) -> f64 {
    x.iter().fold(0.0_f64, |most, x| most.max(x.abs()))
}

/// May the rounding of exponents this large have made the error another, or put it on the other side of the tolerance?
pub(super) fn rounded<T: Real>(exponent: f64, tolerance: f64, error: f64) -> bool {
    T::EPSILON.to_f64() * exponent > 0.1 * tolerance.max(error)
}

impl<T: Real> Solution<'_, T> {
    /// Measures the error where rounding may have changed it, and corrects the status; one pass over the cost then.
    pub(super) fn settle(&mut self, tolerance: f64) {
        let problem = self.problem;
        let potentials = size(&self.f) + size(&self.g);
        let exponent = (problem.range.magnitude() + potentials) / problem.epsilon;
        let rounded = rounded::<T>(exponent, tolerance, self.error);
        let beyond = !problem.balanced() && exponent > LARGE;
        if !(rounded || beyond) {
            return;
        }
        self.error = self.measured();
        self.status = self.status.at(self.error, tolerance);
    }

    /// The error of the plan of these potentials: the L1 distance of its sums from the weights or, where a marginal is not
    /// hard, from what the potentials ask for, relative to the mass.
    pub(super) fn measured(&self) -> f64 {
        let (problem, sums) = (self.problem, self.sums());
        let sides = [(&sums.rows, &self.f), (&sums.columns, &self.g)];
        let mut error = 0.0;
        for (which, (sums, potentials)) in sides.into_iter().enumerate() {
            let side = problem.side(which, problem.epsilon);
            for (i, (&sum, &x)) in sums.iter().zip(potentials).enumerate() {
                error += (sum - side.goal(i, x)).abs();
            }
        }
        problem.relative(error, sums.columns.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Dense, Marginal, Method, Problem, Sinkhorn, Status};
    use alloc::vec;
    use ndarray::{Axis, array};

    /// Off by so much are the columns of the plan, relative to the mass.
    fn off<T: Real>(s: &Solution<'_, T>) -> f64 {
        let (a, b) = s.problem().weights();
        let columns = s.plan().mapv(|p| p.to_f64()).sum_axis(Axis(0));
        columns.iter().zip(b).map(|(sum, b)| (sum - b).abs()).sum::<f64>() / a.iter().sum::<f64>()
    }

    #[test]
    fn what_potentials_cannot_express_has_stalled_at_the_error_of_its_plan() {
        // C/ε is 2e7: an f32 exponent is rounded by a whole number.
        let cost = array![[0.0_f32, 4.292_303_7e14]];
        let (a, b) = (array![6.2078_f32], array![2.2079_f32, 3.9999]);
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, 1.966_552_9e7).unwrap();
        let kernel = Sinkhorn { method: Method::Kernel, tolerance: 1e-6, ..Sinkhorn::default() };
        let solution = kernel.solve(&problem).unwrap();
        assert!((off(&solution) - solution.error).abs() <= 1e-6, "{solution:?}");
        assert_eq!(solution.status == Status::Converged, solution.error <= 1e-6);
        // In f64 nothing is lost.
        let (cost, a, b) = (cost.mapv(f64::from), a.mapv(f64::from), b.mapv(f64::from));
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &(&b * (a.sum() / b.sum())), 1.966_552_9e7);
        let problem = problem.unwrap();
        let solution = kernel.solve(&problem).unwrap();
        assert!(solution.status == Status::Converged && off(&solution) <= 1e-6);
    }

    #[test]
    fn a_run_stopped_at_a_larger_epsilon_says_the_error_at_the_one_asked_for() {
        let cost = array![[2.8679_f64, -3.3710], [-0.3166, -1.9888]];
        let (a, b) = (array![0.1967, 2.9150], array![0.5852, 2.5265]);
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, 7.4474e-9).unwrap();
        for method in [Method::Log, Method::Kernel] {
            for max_iterations in 1..9 {
                let hasty = Sinkhorn { max_iterations, method, ..Sinkhorn::default() };
                let solution = hasty.solve(&problem).unwrap();
                // Exponents up to 1e9 are rounded by 1e-7.
                assert!((off(&solution) - solution.error).abs() <= 4e-7, "{solution:?}");
            }
        }
    }

    #[test]
    fn an_f32_run_that_can_reach_its_tolerance_does_so_at_the_potentials_returned() {
        for (seed, tolerance) in (1..20).flat_map(|seed| [(seed, 1e-5), (seed, 3e-6)]) {
            let cost = crate::laws::uniform(seed, (200, 150)).mapv(|c| c as f32);
            let a = ndarray::Array1::from_elem(200, 1.0 / 200.0);
            let b = ndarray::Array1::from_elem(150, 1.0 / 150.0);
            let geometry = Dense::new(&cost);
            let problem = Problem::new(&geometry, &a, &b, 0.01).unwrap();
            let options = Sinkhorn { tolerance, method: Method::Log, ..Sinkhorn::plain() };
            let solution = options.solve(&problem).unwrap();
            assert_eq!(solution.status, Status::Converged, "{seed} {tolerance} {}", solution.error);
        }
    }

    #[test]
    fn more_mass_than_there_are_numbers_has_not_converged() {
        let (cost, one) = (array![[-1e15_f64]], array![1.0]);
        let geometry = Dense::new(&cost);
        let marginals = [Marginal::Kl(0.9), Marginal::Kl(5e5)];
        let problem = Problem::with_marginals(&geometry, &one, &one, 5e6, marginals).unwrap();
        let solution = Sinkhorn::default().solve(&problem).unwrap();
        assert_ne!(solution.status, Status::Converged);
        assert_eq!(solution.error, f64::INFINITY);
    }
}
