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

#[test]
fn a_watcher_may_stop_a_run() {
    let (c, a, b) = drawn();
    let geometry = Dense::new(&c);
    let problem = Problem::new(&geometry, &a, &b, 0.01).unwrap();
    let mut seen = Vec::new();
    let watch = |progress: &Progress| {
        seen.push(progress.iterations);
        seen.len() < 4
    };
    let stopped = Sinkhorn::plain().solve_from(&problem, None, watch).unwrap();
    assert_eq!(seen, [1, 2, 3, 4]);
    assert_eq!((stopped.status, stopped.iterations), (Status::MaxIter, 4));
    let same = Sinkhorn::rounds(4).solve(&problem).unwrap();
    assert_eq!((&stopped.f, &stopped.g, stopped.error), (&same.f, &same.g, same.error));
    assert!(stopped.error > 1e-9);
    let rows = stopped.plan().sum_axis(ndarray::Axis(1));
    assert!(rows.iter().zip(&a).all(|(row, a)| (row - a).abs() <= 9.0 * f64::EPSILON));
    // While annealing, the last pass is one at another ε: the solution is still one of this problem.
    let stopped = Sinkhorn::default().solve_from(&problem, None, |_| false).unwrap();
    let rows = stopped.plan().sum_axis(ndarray::Axis(1));
    assert!(rows.iter().zip(&a).all(|(row, a)| (row - a).abs() <= 9.0 * f64::EPSILON));
    let columns = stopped.plan().sum_axis(ndarray::Axis(0));
    let off = (&columns - &b).mapv(f64::abs).sum();
    assert!((off - stopped.error).abs() <= 1e-14 && stopped.status == Status::MaxIter);
}

#[test]
fn a_run_is_the_iterator_that_solve_is_made_of() {
    let (c, a, b) = drawn();
    let geometry = Dense::new(&c);
    for (acceleration, marginal) in [
        (Acceleration::Auto, Marginal::Hard),
        (Acceleration::Newton, Marginal::Hard),
        (Acceleration::Auto, Marginal::Kl(0.3)),
    ] {
        let problem = Problem::with_marginals(&geometry, &a, &b, 0.005, [marginal; 2]).unwrap();
        let options = Sinkhorn { acceleration, ..Sinkhorn::default() };
        let mut workspace = Workspace::new();
        let mut run = options.start(&problem, &mut workspace, None).unwrap();
        let steps: Vec<Progress> = run.by_ref().collect();
        let (last, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|step| step.status.is_none()) && last.status.is_some());
        assert!(steps.windows(2).all(|pair| pair[0].iterations < pair[1].iterations));
        assert_eq!((run.next(), run.step(), run.progress()), (None, *last, *last));
        let (found, solved) = (run.finish(), options.solve(&problem).unwrap());
        assert_eq!((&found.f, &found.g), (&solved.f, &solved.g));
        assert_eq!((found.error, found.status), (solved.error, solved.status));
        assert_eq!((found.iterations, found.report), (solved.iterations, solved.report));
        assert_eq!(found.plan(), solved.plan());
    }
}

#[test]
fn potentials_to_start_from_must_fit() {
    let (c, a, b) = drawn();
    let geometry = Dense::new(&c);
    let problem = Problem::new(&geometry, &a, &b, 0.1).unwrap();
    let whole = Potentials { f: Array1::zeros(12), g: Array1::zeros(9) };
    let refused = |start: &Potentials| {
        Sinkhorn::default().solve_from(&problem, Some(start), |_| true).expect_err("refused")
    };
    assert!(Sinkhorn::default().solve_from(&problem, Some(&whole), |_| true).is_ok());
    let turned = Potentials { f: whole.g.clone(), g: whole.f.clone() };
    let shape = Error::Shape { what: "f", expected: [12, 1], found: [9, 1] };
    assert_eq!(refused(&turned), shape);
    let short = Potentials { g: Array1::zeros(8), ..whole.clone() };
    assert_eq!(refused(&short), Error::Shape { what: "g", expected: [9, 1], found: [8, 1] });
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut start = whole.clone();
        start.f[7] = bad;
        assert_eq!(refused(&start), Error::NonFinite { what: "f", row: Some(7) });
        let mut start = whole.clone();
        start.g[2] = bad;
        assert_eq!(refused(&start), Error::NonFinite { what: "g", row: Some(2) });
    }
}

#[test]
fn a_run_that_starts_at_the_solution_ends_at_once() {
    let (c, a, b) = drawn();
    let geometry = Dense::new(&c);
    let mut workspace = Workspace::new();
    for marginal in [Marginal::Hard, Marginal::Kl(0.3)] {
        for method in [Method::Log, Method::Kernel] {
            let problem = Problem::with_marginals(&geometry, &a, &b, 0.02, [marginal; 2]).unwrap();
            let options = Sinkhorn { method, ..Sinkhorn::default() };
            let tight = Sinkhorn { tolerance: 1e-13, ..options };
            let mut run = tight.start(&problem, &mut workspace, None).unwrap();
            let steps = run.by_ref().count();
            let found = run.finish();
            assert!(steps > 5 && found.status == Status::Converged, "{steps} {}", found.error);
            // The same memory, in which another problem was solved.
            let start = found.potentials();
            let mut run = options.start(&problem, &mut workspace, Some(&start)).unwrap();
            assert_eq!(run.step().status, Some(Status::Converged));
            let again = run.finish();
            assert_eq!((again.iterations, again.status), (1, Status::Converged));
            assert!((again.value() - found.value()).abs() <= 1e-13);
        }
    }
}
