//! The status and the error of soft problems are those of the plan that is returned.

use ndarray::{Array1, Axis};

use super::unbalanced_tests::{METHODS, weights};
use super::*;
use crate::laws::uniform;
use crate::real::Real;

/// How far the plan's sums are from what the potentials ask for, relative to the larger mass.
fn off<T: Real>(s: &Solution<'_, T>) -> f64 {
    let (plan, problem) = (s.plan().mapv(|p| p.to_f64()), s.problem());
    let sides = [(Axis(1), &s.f, problem.weights().0), (Axis(0), &s.g, problem.weights().1)];
    let mut off = 0.0;
    for ((axis, x, weights), marginal) in sides.into_iter().zip(problem.marginals()) {
        for ((sum, &x), &w) in plan.sum_axis(axis).into_iter().zip(x).zip(weights) {
            let asked = match marginal {
                Marginal::Hard => w,
                Marginal::Kl(rho) => w * (-x / rho).exp(),
            };
            off += (sum - asked).abs();
        }
    }
    let mass = |w: &[f64]| w.iter().sum::<f64>();
    off / plan.sum().max(mass(problem.weights().0)).max(mass(problem.weights().1))
}

#[test]
fn what_f32_cannot_say_has_not_converged() {
    for (seed, shift) in (0..40).zip([0.5_f32, 10.5, 100.5, -0.4].into_iter().cycle()) {
        let c = uniform(seed, (6, 5)).mapv(|c| c as f32 + shift);
        let (a, b) = (weights(seed + 1, 6), weights(seed + 2, 5));
        let (a, b) = (a.mapv(|a| a as f32), b.mapv(|b| b as f32));
        let geometry = Dense::new(&c);
        for (epsilon, rho) in [(0.01, 10.0), (0.1, 1.0), (0.01, 1000.0), (0.001, 1.0)] {
            let soft = [Marginal::Kl(rho); 2];
            let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, soft).unwrap();
            let options = Sinkhorn { tolerance: 1e-6, ..Sinkhorn::default() };
            let s = options.solve(&problem).unwrap();
            let off = off(&s);
            // Measured in f64 sums of the same f32 plan, but for what is too small to be measured anew.
            assert!((off - s.error).abs() <= 3e-7 + 0.11 * s.error, "{off} {} {s:?}", s.error);
            assert_eq!(s.status == Status::Converged, s.error <= 1e-6);
        }
    }
}

#[test]
fn a_plan_of_more_mass_than_the_weights_is_measured_by_its_own() {
    let mut converged = 0;
    for seed in 0..40 {
        let c = uniform(seed, (5, 4));
        let (a, b) = (weights(seed + 1, 5), weights(seed + 2, 4));
        let geometry = Dense::new(&c);
        let soft = [Marginal::Kl(1e-2); 2];
        let problem = Problem::with_marginals(&geometry, &a, &b, 1e-3, soft).unwrap();
        let s = Sinkhorn::default().solve(&problem).unwrap();
        let off = off(&s);
        // Exponents of some 500, each entry rounded by as many machine epsilons.
        assert!((off - s.error).abs() <= 1e-12, "{off} {}", s.error);
        converged += u32::from(s.status == Status::Converged);
    }
    assert!(converged == 40, "{converged}");
}

#[test]
fn no_early_stop_gives_what_is_no_number() {
    let c = ndarray::arr2(&[[0.1, 0.3], [-0.1, -0.3], [0.4, 0.0]]);
    let (a, b) = (Array1::from_elem(3, 1.0 / 3.0), Array1::from_elem(2, 0.5));
    let geometry = Dense::new(&c);
    for marginals in [
        [Marginal::Kl(1e-6), Marginal::Hard],
        [Marginal::Kl(1e-6); 2],
        [Marginal::Hard, Marginal::Kl(1e-6)],
    ] {
        let problem = Problem::with_marginals(&geometry, &a, &b, 1e-4, marginals).unwrap();
        for max_iterations in 1..9 {
            for method in METHODS {
                let options = Sinkhorn { max_iterations, method, ..Sinkhorn::default() };
                let s = options.solve(&problem).unwrap();
                let numbers = [s.value(), s.linear(), s.kl(), s.dual(), s.entropy(), s.error];
                assert!(!numbers.iter().any(|x| x.is_nan()), "{max_iterations} {numbers:?}");
                assert!(s.plan().iter().all(|p| *p >= 0.0));
                let (found, off) = (s.error, off(&s));
                assert!(found == off || (found - off).abs() < 1e-9 || found == f64::INFINITY);
            }
        }
    }
}
