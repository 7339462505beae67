use alloc::vec::Vec;

use ndarray::{Array1, Array2};

use super::super::*;
use crate::error::Error;
use crate::laws::{draws, uniform};

fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

/// A cost (12, 9) in [0, 1) and weights of mass 1.
fn drawn() -> (Array2<f64>, Array1<f64>, Array1<f64>) {
    (uniform(1, (12, 9)) + 0.5, weights(2, 12), weights(3, 9))
}

#[test]
fn the_dual_never_falls_however_far_steps_are_relaxed() {
    let (c, a, b) = drawn();
    let geometry = Dense::new(&c);
    let (hard, soft) = (Marginal::Hard, Marginal::Kl);
    for marginals in [[hard; 2], [soft(0.01), soft(100.0)], [soft(1.0); 2], [hard, soft(0.1)]] {
        for epsilon in [0.005, 0.05, 0.5] {
            let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, marginals).unwrap();
            for (factor, method) in [1.3, 1.7, 1.95]
                .map(|factor| [Method::Log, Method::Kernel].map(|m| (factor, m)))
                .concat()
            {
                let acceleration = Acceleration::Fixed(factor);
                let fixed = Sinkhorn { acceleration, method, ..Sinkhorn::rounds(1000) };
                let (mut workspace, mut duals) = (Workspace::new(), Vec::new());
                let mut run = fixed.start(&problem, &mut workspace, None).unwrap();
                let first = Sinkhorn::rounds(1).solve(&problem).unwrap().dual();
                duals.push((0, first));
                while run.progress().iterations < 30 {
                    let iterations = run.step().iterations;
                    duals.push((iterations, run.dual()));
                }
                // Sums of some hundred terms of this size.
                let slack = |dual: f64| 1e-13 * (1.0 + dual.abs());
                for pair in duals.windows(2) {
                    let ((_, before), (at, dual)) = (pair[0], pair[1]);
                    assert!(
                        dual >= before - slack(before),
                        "{marginals:?} {epsilon} {factor} {method:?} {at}: {before} {dual}"
                    );
                }
                // A run that has to end does its last iteration plainly: from where the long one stood before.
                for most in 1..=30 {
                    let found = Sinkhorn { max_iterations: most, ..fixed }.solve(&problem).unwrap();
                    let before = duals.iter().rev().find(|(at, _)| *at < most).unwrap().1;
                    assert!(
                        found.dual() >= before - slack(before),
                        "{marginals:?} {epsilon} {factor} {method:?} {most}: {before} {}",
                        found.dual()
                    );
                }
            }
        }
    }
}

#[test]
fn rounds_are_counted_whatever_the_error() {
    let geometry = Function::new((1, 1), |_, _| 0.5);
    let one = Array1::from_elem(1, 1.0);
    let problem = Problem::new(&geometry, &one, &one, 0.1).unwrap();
    for method in [Method::Log, Method::Kernel] {
        for rounds in 1..=30 {
            let found = Sinkhorn { method, ..Sinkhorn::rounds(rounds) }.solve(&problem).unwrap();
            assert_eq!((found.iterations, found.error), (rounds, 0.0));
        }
    }
    // With any patience but that, an error of 0 is what a tolerance of 0 waits for.
    let exact = Sinkhorn { tolerance: 0.0, ..Sinkhorn::plain() }.solve(&problem).unwrap();
    assert_eq!((exact.iterations, exact.status), (1, Status::Converged));
}

#[test]
fn epsilon_has_an_inverse_in_the_type_of_the_cost() {
    let one = Array1::from_elem(2, 0.5_f32);
    let cost = Array2::from_shape_fn((2, 2), |(i, j)| (i + j) as f32);
    let geometry = Dense::new(&cost);
    let refused = |error: Error| matches!(error, Error::Parameter { name: "epsilon", value, .. } if value == 4e-39);
    let soft = [Marginal::Kl(1.0); 2];
    assert!(refused(Problem::new(&geometry, &one, &one, 4e-39).unwrap_err()));
    assert!(refused(Problem::with_marginals(&geometry, &one, &one, 4e-39, soft).unwrap_err()));
    let problem = Problem::new(&geometry, &one, &one, 5e-39).unwrap();
    assert!(refused(problem.clone().with_epsilon(4e-39).unwrap_err()));
    assert!(refused(Barycenter::new(4e-39).solve(&geometry, &cost, &one).unwrap_err()));
    let plan = Sinkhorn::default().solve(&problem).unwrap().plan();
    assert!(plan.iter().all(|p| p.is_finite()), "{plan}");
    let wide = cost.mapv(f64::from);
    let (wide, one) = (Dense::new(&wide), one.mapv(f64::from));
    assert!(Problem::new(&wide, &one, &one, 4e-39).is_ok());
}
