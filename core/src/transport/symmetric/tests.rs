use super::super::*;
use crate::error::Error;
use crate::laws::{draws, uniform};
use alloc::vec::Vec;
use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;

/// Far from uniform, some of them 0, of any mass.
fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = draws(seed, 2 * n);
    let mut w: Vec<f64> = w.chunks(2).map(|w| if w[1] < 0.2 { 0.0 } else { w[0] }).collect();
    w[seed as usize % n] += 0.5;
    w.into()
}

fn points(seed: u64, n: usize, d: usize) -> Array2<f64> {
    uniform(seed, (n, d)) + 0.5
}

fn tight() -> Sinkhorn {
    Sinkhorn { tolerance: 1e-13, ..Sinkhorn::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn one_potential_does_what_two_do(
        n in 1_usize..30, seed in any::<u64>(), e in -1.5_f64..1.0, hard in any::<bool>(), which in 0_usize..4,
    ) {
        let (x, a, epsilon) = (points(seed, n, 3), weights(seed ^ 1, n), 10.0_f64.powf(e));
        let metric = [Metric::SquaredEuclidean, Metric::Euclidean, Metric::Cosine, Metric::Dot][which];
        let marginal = if hard { Marginal::Hard } else { Marginal::Kl(0.7) };
        let geometry = Points::new(&x, &x, metric).unwrap();
        let problem = Problem::with_marginals(&geometry, &a, &a, epsilon, [marginal; 2]).unwrap();
        let found = tight().solve_symmetric(&problem).unwrap();
        prop_assert_eq!(found.status, Status::Converged);
        prop_assert_eq!(&found.f, &found.g);
        // The kernel is positive semidefinite: each iteration halves the error at least, after some that find their way.
        prop_assert!(found.iterations <= 60, "{}", found.iterations);
        let other = Sinkhorn { max_iterations: 100_000, ..tight() }.solve(&problem).unwrap();
        // Both duals are off by squares of errors of 1e-13, and by rounding.
        let scale = a.sum() * (a.sum() + 1.0) * (1.0 + epsilon);
        // Clusters that hardly exchange leave the alternating one short: its value is off by its error times its potentials.
        let most = other.f.iter().chain(&other.g).fold(1.0_f64, |most, x| most.max(x.abs()));
        let tolerance = 1e-12 * scale + other.error * a.sum() * most;
        prop_assert!((found.value() - other.value()).abs() <= tolerance);
        prop_assert!((found.dual() - other.value()).abs() <= tolerance);
        // The plan is symmetric, up to the error of rows and columns.
        let p = found.plan();
        prop_assert!(p.iter().zip(p.t().iter()).all(|(p, t)| (p - t).abs() <= 1e-12 * a.sum()));
        if hard {
            let off = (p.sum_axis(Axis(0)) - &a).mapv(f64::abs).sum() / a.sum();
            // n roundings of a sum beside the error.
            prop_assert!(off <= 2e-13 + n as f64 * f64::EPSILON, "{off}");
        }
    }

    #[test]
    fn a_cost_without_sign_is_solved_too(n in 2_usize..20, seed in any::<u64>(), e in -2.0_f64..0.0) {
        // A random symmetric cost: exp(−C/ε) has eigenvalues below 0.
        let (c, a) = (uniform(seed, (n, n)), weights(seed ^ 1, n));
        let c = &c + &c.t();
        let geometry = Dense::new(&c);
        let problem = Problem::new(&geometry, &a, &a, 10.0_f64.powf(e)).unwrap();
        let found = Sinkhorn { tolerance: 1e-11, ..Sinkhorn::default() }.solve_symmetric(&problem).unwrap();
        prop_assert_eq!(found.status, Status::Converged);
        let columns = found.plan().sum_axis(Axis(0));
        let off = (columns - &a).mapv(f64::abs).sum() / a.sum();
        prop_assert!(off <= 2e-11, "{off}");
    }
}

#[test]
fn the_rate_is_a_half_at_any_epsilon() {
    let (x, a) = (points(3, 40, 2), weights(4, 40));
    let geometry = Points::new(&x, &x, Metric::SquaredEuclidean).unwrap();
    for epsilon in [1.0, 1e-2, 1e-4, 1e-6] {
        let problem = Problem::new(&geometry, &a, &a, epsilon).unwrap();
        let after = |max_iterations| {
            let options = Sinkhorn { tolerance: 0.0, max_iterations, ..Sinkhorn::default() };
            options.solve_symmetric(&problem).unwrap().error
        };
        let (first, later) = (after(10), after(20));
        assert!(later <= first * 0.5_f64.powi(9) + 1e-15, "{epsilon}: {first} {later}");
    }
}

#[test]
fn pairs_that_swap_are_handed_to_the_alternating_solver() {
    // Staying is dear, so the plan exchanges 0 and 1, 2 and 3, and has an eigenvalue near −1.
    let c = Array2::from_shape_fn((4, 4), |(i, j)| if i == j ^ 1 { 0.0 } else { 1.0 });
    let a = ndarray::arr1(&[0.2, 0.2 + 1e-3, 0.3, 0.3 - 1e-3]);
    let geometry = Dense::new(&c);
    let problem = Problem::new(&geometry, &a, &a, 0.08).unwrap();
    let found = Sinkhorn { tolerance: 1e-12, ..Sinkhorn::default() }.solve_symmetric(&problem);
    let found = found.unwrap();
    assert_eq!(found.status, Status::Converged);
    assert_ne!(found.report.reason, "both sides are the same");
    assert_eq!(found.f, found.g);
    let off = (found.plan().sum_axis(Axis(0)) - &a).mapv(f64::abs).sum();
    assert!(off <= 1e-12, "{off}");
    // Without it, the time given is not enough.
    let few = Sinkhorn { tolerance: 1e-12, max_iterations: 25, ..Sinkhorn::default() };
    assert_eq!(few.solve_symmetric(&problem).unwrap().status, Status::MaxIter);
}

#[test]
fn one_pair_of_diracs_and_forbidden_pairs() {
    let (x, a) = (ndarray::arr2(&[[0.3, 0.4]]), ndarray::arr1(&[2.5]));
    let geometry = Points::new(&x, &x, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &a, 0.1).unwrap();
    let found = Sinkhorn::default().solve_symmetric(&problem).unwrap();
    assert_eq!((found.status, found.plan()[[0, 0]]), (Status::Converged, 2.5));
    // An atom that may go nowhere, not even to itself, is left out of an unbalanced plan.
    let inf = f64::INFINITY;
    let c = ndarray::arr2(&[[0.0, 1.0, inf], [1.0, 0.2, inf], [inf, inf, inf]]);
    let (geometry, a) = (Dense::new(&c), ndarray::arr1(&[0.4, 0.9, 0.3]));
    let problem = Problem::with_marginals(&geometry, &a, &a, 0.1, [Marginal::Kl(1.0); 2]).unwrap();
    let found = tight().solve_symmetric(&problem).unwrap();
    assert_eq!(found.status, Status::Converged);
    assert_eq!(found.plan().row(2).sum(), 0.0);
    let (c, a) = (c.select(Axis(0), &[0, 1]).select(Axis(1), &[0, 1]), ndarray::arr1(&[0.4, 0.9]));
    let geometry = Dense::new(&c);
    let problem = Problem::with_marginals(&geometry, &a, &a, 0.1, [Marginal::Kl(1.0); 2]).unwrap();
    let without = tight().solve(&problem).unwrap();
    // It pays for itself twice, and its part of the reference.
    let expected = without.value() + 2.0 * 0.3 + 0.1 * (1.6 * 1.6 - 1.3 * 1.3);
    assert!((found.value() - expected).abs() <= 1e-13, "{} {expected}", found.value());
}

#[test]
fn f32_stops_at_its_own_end() {
    let (x, a) = (points(3, 60, 2).mapv(|x| x as f32), weights(4, 60).mapv(|a| a as f32));
    let geometry = Points::new(&x, &x, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &a, 0.01).unwrap();
    let found = Sinkhorn::default().solve_symmetric(&problem).unwrap();
    assert_eq!(found.status, Status::Stalled);
    // Exponents up to 2/0.01, each rounded.
    assert!(found.error <= 400.0 * f32::EPSILON as f64, "{}", found.error);
}

#[test]
fn what_is_not_symmetric() {
    let (a, b) = (ndarray::arr1(&[0.4, 0.6]), ndarray::arr1(&[0.6, 0.4]));
    let name = |e: Error| match e {
        Error::Parameter { name, .. } | Error::Shape { what: name, .. } => name,
        e => panic!("{e}"),
    };
    let c = ndarray::arr2(&[[0.0, 1.0], [0.9, 0.0]]);
    let skewed = Dense::new(&c);
    let (computed, wide) = (
        Function::new((2, 2), |i, j| c[[i, j]] + if i < j { 0.7 } else { 0.0 }),
        Function::new((2, 3), |i, j| (i + j) as f64),
    );
    let solve =
        |problem: &Problem<'_, f64>| Sinkhorn::default().solve_symmetric(problem).map(|s| s.status);
    let problem = Problem::new(&skewed, &a, &a, 0.1).unwrap();
    assert_eq!(name(solve(&problem).unwrap_err()), "cost");
    let problem = Problem::new(&computed, &a, &b, 0.1).unwrap();
    assert_eq!(name(solve(&problem).unwrap_err()), "b");
    let problem =
        Problem::with_marginals(&computed, &a, &a, 0.1, [Marginal::Hard, Marginal::Kl(1.0)])
            .unwrap();
    assert_eq!(name(solve(&problem).unwrap_err()), "rho");
    let b = ndarray::arr1(&[0.4, 0.3, 0.3]);
    let problem = Problem::new(&wide, &a, &b, 0.1).unwrap();
    assert_eq!(name(solve(&problem).unwrap_err()), "cost");
    // Three atoms that go round: no potential makes that plan from one sweep, and the error says so.
    let round = Function::new((3, 3), |i, j| if j == (i + 1) % 3 { 0.0 } else { 1.0 });
    let a = ndarray::arr1(&[0.2, 0.3, 0.5]);
    let problem = Problem::new(&round, &a, &a, 0.1).unwrap();
    assert_ne!(solve(&problem).unwrap(), Status::Converged);
}
