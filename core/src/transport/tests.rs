use super::*;
use crate::codes::{Rounds, codes};
use crate::error::Error;
use crate::laws::{central, draws, uniform};
use crate::real::Real;
use alloc::string::ToString;
use alloc::vec::Vec;
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};
use proptest::prelude::*;

/// What a solution says, without its problem.
struct Answer {
    f: Array1<f64>,
    g: Array1<f64>,
    plan: Array2<f64>,
    value: f64,
    dual: f64,
    linear: f64,
    error: f64,
    status: Status,
}

fn transport<T: Real>(
    cost: &ArrayRef2<T>,
    a: &ArrayRef1<T>,
    b: &ArrayRef1<T>,
    (epsilon, sinkhorn): (f64, Sinkhorn),
) -> Result<Answer, Error> {
    let geometry = Dense::new(cost);
    let problem = Problem::new(&geometry, a, b, epsilon)?;
    let s = sinkhorn.solve(&problem)?;
    Ok(Answer {
        f: s.f.clone(),
        g: s.g.clone(),
        plan: s.plan().mapv(|p| p.to_f64()),
        value: s.value(),
        dual: s.dual(),
        linear: s.linear(),
        error: s.error,
        status: s.status,
    })
}

type Drawn = (Array2<f64>, Array1<f64>, Array1<f64>);

/// n ≠ m mostly, weights far from uniform, some of them 0.
fn problem() -> impl Strategy<Value = Drawn> {
    (1_usize..40, 1_usize..40, any::<u64>()).prop_map(|(n, m, seed)| {
        let weights = |seed, n: usize| {
            let w = draws(seed, 2 * n);
            let mut w: Vec<f64> =
                w.chunks(2).map(|w| if w[1] < 0.2 { 0.0 } else { w[0] }).collect();
            w[seed as usize % n] += 0.5;
            let mass: f64 = w.iter().sum();
            Array1::from_vec(w) / mass
        };
        (uniform(seed, (n, m)) + 0.5, weights(seed ^ 1, n), weights(seed ^ 2, m))
    })
}

fn exactly(epsilon: f64) -> (f64, Sinkhorn) {
    (epsilon, Sinkhorn { tolerance: 1e-14, max_iterations: 200_000, ..Sinkhorn::default() })
}

fn sum(x: &Array1<f64>, y: &Array1<f64>) -> f64 {
    (x * y).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_has_the_marginals_and_the_form((c, a, b) in problem(), e in -1.5_f64..1.5) {
        let epsilon = 10.0_f64.powf(e);
        let solution = transport(&c, &a, &b, exactly(epsilon)).unwrap();
        let p = solution.plan.clone();
        let (rows, columns) = (p.sum_axis(ndarray::Axis(1)), p.sum_axis(ndarray::Axis(0)));
        prop_assert!((&rows - &a).iter().all(|d| d.abs() <= 4e-16 * b.len() as f64));
        let error = (&columns - &b).iter().map(|d| d.abs()).sum::<f64>();
        prop_assert!((error - solution.error).abs() <= 1e-13, "{error} {}", solution.error);
        prop_assert!(solution.error <= 1e-12, "{:?}", solution.status);
        for ((i, j), &p) in p.indexed_iter() {
            let form = a[i] * b[j] * ((solution.f[i] + solution.g[j] - c[[i, j]]) / epsilon).exp();
            prop_assert!((p - form).abs() <= 1e-13 * (1.0 + 1.0 / epsilon) * form);
            prop_assert!(p >= 0.0 && (a[i] * b[j] > 0.0 || p == 0.0));
        }
        prop_assert!((sum(&a, &solution.f) - sum(&b, &solution.g)).abs() <= 1e-14);
        // Strong duality, and ⟨C, P⟩ is the plan's.
        let kl: f64 = p.indexed_iter().map(|((i, j), &p)| if p > 0.0 {
            p * (p / a[i] / b[j]).ln() } else { 0.0 }).sum();
        prop_assert!(((&c * &p).sum() - solution.linear).abs() <= 1e-13);
        prop_assert!((solution.linear + epsilon * kl - solution.value).abs() <= 1e-11);
    }

    #[test]
    fn shifts_scales_and_masses((c, a, b) in problem(), e in -1.0_f64..1.0, k in 0.1_f64..10.0) {
        let epsilon = 10.0_f64.powf(e);
        let solution = transport(&c, &a, &b, exactly(epsilon)).unwrap();
        let p = solution.plan.clone();
        let near = |x: &Array2<f64>, y: &Array2<f64>, scale: f64| {
            x.iter().zip(y).all(|(x, y)| (x - y).abs() <= 1e-11 * scale)
        };
        // A constant for each row moves f by it, and one for each column g; the plan stays.
        let (s, t) = (uniform(5, (a.len(), 1)), uniform(6, (1, b.len())));
        let shifted = &c + &s + &t;
        let moved = transport(&shifted, &a, &b, exactly(epsilon)).unwrap();
        prop_assert!(near(&moved.plan, &p, 1.0));
        // Cost and ε times k: the same plan, the value times k.
        let scaled = transport(&(&c * k), &a, &b, exactly(epsilon * k)).unwrap();
        prop_assert!(near(&scaled.plan, &p, 1.0));
        prop_assert!((scaled.value - k * solution.value).abs() <= 1e-11 * k);
        // Masses times k: the plan times k, the value too but for KL's terms in the mass.
        let (ka, kb) = (&a * k, &b * k);
        let heavy = transport(&c, &ka, &kb, exactly(epsilon)).unwrap();
        prop_assert!(near(&heavy.plan, &(&p * k), k));
        let expected = k * solution.value + epsilon * (k * k - k - k * k.ln());
        prop_assert!((heavy.value - expected).abs() <= 1e-11 * (1.0 + k * k) * (1.0 + epsilon));
        // The other way round.
        let turned = c.t().to_owned();
        let back = transport(&turned, &b, &a, exactly(epsilon)).unwrap();
        prop_assert!(near(&back.plan.t().to_owned(), &p, 1.0));
    }

    #[test]
    fn the_value_is_a_lower_bound_from_the_first_iteration((c, a, b) in problem(), e in -2.0_f64..1.0) {
        let epsilon = 10.0_f64.powf(e);
        let optimum = transport(&c, &a, &b, exactly(epsilon)).unwrap();
        let (mut value, mut error) = (f64::NEG_INFINITY, f64::INFINITY);
        for max_iterations in [1, 2, 3, 5, 20] {
            let s = transport(&c, &a, &b, (epsilon, Sinkhorn::rounds(max_iterations))).unwrap();
            prop_assert!(s.dual >= value - 1e-13 && s.dual <= optimum.value + 1e-11);
            prop_assert!(s.error <= error + 1e-13);
            (value, error) = (s.dual, s.error);
        }
    }

    #[test]
    fn atoms_without_weight_are_inert((c, a, b) in problem()) {
        let all = transport(&c, &a, &b, exactly(0.2)).unwrap();
        let keep = |w: &Array1<f64>| -> Vec<usize> { (0..w.len()).filter(|&i| w[i] > 0.0).collect() };
        let (i, j) = (keep(&a), keep(&b));
        let axis = ndarray::Axis;
        let c = c.select(axis(0), &i).select(axis(1), &j);
        let some = transport(&c, &a.select(axis(0), &i), &b.select(axis(0), &j), exactly(0.2)).unwrap();
        prop_assert!((all.value - some.value).abs() <= 1e-13);
        prop_assert!(all.f.select(axis(0), &i).iter().zip(&some.f).all(|(x, y)| (x - y).abs() < 1e-12));
        prop_assert!(all.g.select(axis(0), &j).iter().zip(&some.g).all(|(x, y)| (x - y).abs() < 1e-12));
    }

    #[test]
    fn any_finite_cost_gives_finite_potentials(
        n in 1_usize..12, m in 1_usize..12, seed in any::<u64>(), size in -3.0_f64..12.0, e in -6.0_f64..6.0,
    ) {
        let cost = uniform(seed, (n, m)) * 10.0_f64.powf(size);
        let (a, b) = (Array1::from_elem(n, 1.0 / n as f64), Array1::from_elem(m, 1.0 / m as f64));
        let t = (10.0_f64.powf(e), Sinkhorn { max_iterations: 50, ..Sinkhorn::default() });
        let s = transport(&cost, &a, &b, t).unwrap();
        prop_assert!(s.f.iter().chain(&s.g).all(|x| x.is_finite()) && s.error.is_finite());
        prop_assert_eq!(s.status == Status::Converged, s.error <= 1e-9);
    }
}

#[test]
fn gradients_are_derivatives_of_the_value() {
    let (n, m) = (9, 7);
    let c = uniform(1, (n, m)) + 0.5;
    let weights = |seed, n| {
        let w = Array1::from_vec(draws(seed, n)) + 0.1;
        &w / w.sum()
    };
    let (a, b) = (weights(2, n), weights(3, m));
    let epsilon = 0.1;
    let value = |c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>| {
        transport(c, a, b, exactly(epsilon)).unwrap().value
    };
    let solution = transport(&c, &a, &b, exactly(epsilon)).unwrap();
    let close = |found: f64, slope: f64| {
        assert!((found - slope).abs() <= 1e-8 * slope.abs().max(0.1), "{found} {slope}");
    };
    let direction = uniform(4, (n, m));
    let plan = solution.plan.clone();
    let slope = central(|t| value(&(&c + &(&direction * t)), &a, &b), 1e-3);
    close((&plan * &direction).sum(), slope);
    let tangent = |seed, n| {
        let d = Array1::from_vec(draws(seed, n));
        &d - d.sum() / n as f64
    };
    let (da, db) = (tangent(5, n), tangent(6, m));
    let centred = |x: &Array1<f64>| x - x.sum() / x.len() as f64;
    let (ga, gb) = (centred(&solution.f), centred(&solution.g));
    close(sum(&ga, &da), central(|t| value(&c, &(&a + &(&da * t)), &b), 1e-3));
    close(sum(&gb, &db), central(|t| value(&c, &a, &(&b + &(&db * t))), 1e-3));
}

#[test]
fn uniform_marginals_and_many_rounds_are_the_codes() {
    let scores = uniform(8, (12, 5));
    let s = Rounds { epsilon: 0.1, iterations: 2000 };
    let q = codes(&scores, s).unwrap();
    let (a, b) = (Array1::from_elem(12, 1.0 / 12.0), Array1::from_elem(5, 0.2));
    let cost = -&scores;
    let p = transport(&cost, &a, &b, exactly(0.1)).unwrap().plan;
    assert!(q.iter().zip(&p).all(|(q, p)| (q - 12.0 * p).abs() < 1e-12));
}

#[test]
fn f32_says_where_it_stops() {
    let c = (uniform(1, (50, 60)) + 0.5).mapv(|c| c as f32);
    let (a, b) = (Array1::from_elem(50, 0.02_f32), Array1::from_elem(60, 1.0_f32 / 60.0));
    let s = transport(&c, &a, &b, (0.05, Sinkhorn::default())).unwrap();
    assert_eq!(s.status, Status::Stalled);
    // Sums of 50 terms in f32.
    assert!(s.error < 50.0 * f32::EPSILON as f64, "{}", s.error);
    let wide = c.mapv(|c| c as f64);
    let (a, b) = (a.mapv(|a| a as f64), b.mapv(|b| b as f64));
    let (a, b) = (&a / a.sum(), &b / b.sum());
    let exact = transport(&wide, &a, &b, exactly(0.05)).unwrap();
    assert!((s.value - exact.value).abs() < 1e-6 && (s.linear - exact.linear).abs() < 1e-6);
}

/// For hard marginals the reference moves potentials by ε ln of the weights, and nothing else: not the curvature
/// either.
#[test]
fn newton_steps_take_as_long_with_either_reference() {
    let newton = Sinkhorn {
        acceleration: Acceleration::Newton,
        tolerance: 1e-12,
        max_iterations: 200,
        ..Sinkhorn::default()
    };
    for (seed, mass) in [(1, 1.0), (2, 1e-3), (3, 1e3)] {
        let weights = |seed, n| Array1::from_vec(draws(seed, n)) + 0.01;
        let (cost, a, b) =
            (uniform(seed, (20, 15)), weights(seed + 10, 20), weights(seed + 20, 15));
        let (a, b) = (&a * (mass / a.sum()), &b * (mass / b.sum()));
        let geometry = Dense::new(&cost);
        let problem = Problem::new(&geometry, &a, &b, 2e-3).unwrap();
        let taken = [Reference::Product, Reference::Counting].map(|reference| {
            let problem = problem.clone().with_reference(reference);
            let s = newton.solve(&problem).unwrap();
            assert_eq!(s.status, Status::Converged, "{reference:?} {mass}: {}", s.error);
            assert!(s.report.newton_steps > 0);
            s.iterations
        });
        assert!(taken[1] <= taken[0] + 10, "{taken:?}, mass {mass}");
    }
}

/// Rows that keep to columns of their own but for a hundredth of the mass, which has to go 2000 ε further: nothing goes
/// yet, the objective is flat to the last digit, and plain iterations move by a hundredth of ε.
#[test]
fn newton_steps_cross_a_plateau() {
    let cost = ndarray::arr2(&[[0.0, 2.0, 4.0, 6.0], [7.0, 9.0, 0.0, 2.0]]);
    let (a, b) = (ndarray::arr1(&[12.17, 27.83]), ndarray::arr1(&[11.96, 0.0, 13.29, 14.75]));
    let geometry = Dense::new(&cost);
    for reference in [Reference::Product, Reference::Counting] {
        let problem = Problem::new(&geometry, &a, &b, 1.8e-3).unwrap().with_reference(reference);
        let s = Sinkhorn::default().solve(&problem).unwrap();
        assert_eq!(s.status, Status::Converged, "{reference:?}: {:e}, {:?}", s.error, s.report);
        assert!(s.iterations < 1000, "{reference:?}: {}", s.iterations);
    }
}

#[test]
fn what_is_refused() {
    let (c, a, b) =
        (Array2::<f64>::zeros((2, 3)), ndarray::arr1(&[0.5, 0.5]), ndarray::arr1(&[0.2, 0.3, 0.5]));
    let t = Sinkhorn::default();
    assert!(transport(&c, &a, &b, (0.05, t)).is_ok());
    let name = |e: Error| match e {
        Error::Parameter { name, .. } => name,
        Error::Shape { what, .. } | Error::NonFinite { what, .. } | Error::Entry { what, .. } => {
            what
        }
        Error::MassMismatch { .. } => "masses",
        Error::Infeasible { .. } | Error::Unreachable { .. } => "infeasible",
    };
    let said = |c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>, epsilon, t| {
        transport(c, a, b, (epsilon, t)).err().expect("refused")
    };
    let refused = |c: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>, epsilon, t| {
        name(said(c, a, b, epsilon, t))
    };
    let mut bad = c.clone();
    (bad[[0, 0]], bad[[1, 1]]) = (f64::INFINITY, f64::NEG_INFINITY);
    let cost = said(&bad, &a, &b, 0.05, t);
    assert_eq!(cost, Error::cost(1, 1, f64::NEG_INFINITY).unwrap_err());
    let negative = said(&c, &ndarray::arr1(&[1.5, -0.5]), &b, 0.05, t).to_string();
    assert_eq!(negative, "a[1] is -0.5, but must be at least 0");
    let (none, no_cost) = (Array1::zeros(0), Array2::zeros((0, 3)));
    let empty = said(&no_cost, &none, &b, 0.05, t).to_string();
    assert_eq!(empty, "number of atoms of a is 0, but must be at least 1");
    assert_eq!(refused(&c, &b, &b, 0.05, t), "a");
    assert_eq!(refused(&c, &a, &a, 0.05, t), "b");
    assert_eq!(refused(&c, &(&a * 2.0), &b, 0.05, t), "masses");
    assert_eq!(refused(&c, &(&a * 0.0), &(&b * 0.0), 0.05, t), "mass of a");
    assert_eq!(refused(&c, &ndarray::arr1(&[1.5, -0.5]), &b, 0.05, t), "a");
    assert_eq!(refused(&c.mapv(|_| f64::NAN), &a, &b, 0.05, t), "cost");
    assert_eq!(refused(&c.mapv(|_| f64::NEG_INFINITY), &a, &b, 0.05, t), "cost");
    assert_eq!(refused(&c.mapv(|_| f64::INFINITY), &a, &b, 0.05, t), "infeasible");
    assert_eq!(refused(&c, &a, &b, 0.0, t), "epsilon");
    assert_eq!(refused(&c, &a, &b, 0.05, Sinkhorn { max_iterations: 0, ..t }), "max_iterations");
    assert_eq!(refused(&c, &a, &b, 0.05, Sinkhorn { tolerance: -1.0, ..t }), "tolerance");
    assert_eq!(refused(&c, &a, &b, 0.05, Sinkhorn { annealing: 0.0, ..t }), "annealing");
    let acceleration = Acceleration::Fixed(2.0);
    assert_eq!(refused(&c, &a, &b, 0.05, Sinkhorn { acceleration, ..t }), "relaxation");
}

#[test]
fn no_run_does_more_iterations_than_it_may() {
    let cost = uniform(81, (40, 30)) * 3.0;
    let (a, b) = (Array1::from_vec(draws(82, 40)), Array1::from_vec(draws(83, 30)));
    let (a, b) = (&a / a.sum(), &b / b.sum());
    let geometry = Dense::new(&cost);
    let hard = Problem::new(&geometry, &a, &b, 0.002).unwrap();
    let soft = [Marginal::Kl(5.0), Marginal::Hard];
    let soft = Problem::with_marginals(&geometry, &a, &b, 0.002, soft).unwrap();
    for most in (1..40).chain([77, 150, 400]) {
        for acceleration in [
            Acceleration::Auto,
            Acceleration::None,
            Acceleration::Adaptive,
            Acceleration::Fixed(1.95),
            Acceleration::Newton,
        ] {
            for annealing in [1.0, 0.5] {
                let options = Sinkhorn {
                    max_iterations: most,
                    acceleration,
                    annealing,
                    ..Sinkhorn::default()
                };
                for problem in [&hard, &soft] {
                    let found = options.solve(problem).unwrap();
                    assert!(found.iterations <= most, "{} of {options:?}", found.iterations);
                    assert_eq!(found.status == Status::MaxIter, found.error > 1e-9);
                }
            }
        }
    }
}

#[test]
fn a_computed_cost_has_a_kernel_where_that_is_small() {
    let solve = |n: usize, epsilon: f64| {
        let points = Array2::from_shape_fn((n, 1), |(i, _)| (i * i % 97) as f64 / 97.0);
        let geometry = Points::new(&points, &points, Metric::SquaredEuclidean).unwrap();
        let weights = Array1::from_shape_fn(n, |i| 1.0 + (i % 5) as f64);
        let weights = &weights / weights.sum();
        let reversed = Array1::from_iter(weights.iter().rev().copied());
        let problem = Problem::new(&geometry, &weights, &reversed, epsilon).unwrap();
        let found = Sinkhorn { max_iterations: 400, ..Sinkhorn::default() }.solve(&problem);
        let found = found.unwrap();
        (found.report.method, found.status, found.report.reason)
    };
    // Newton steps, which need a kernel, end in some dozen iterations what takes thousands without.
    let (method, status, reason) = solve(64, 1e-3);
    assert_eq!((method, status), (Method::Kernel, Status::Converged), "{reason}");
    assert!(reason.contains("small"));
    let (method, status, _) = solve(1100, 0.1);
    assert_eq!((method, status), (Method::Log, Status::Converged));
}
