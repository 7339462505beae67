//! Partial transport: the reference cases, the conditions of optimality, and its limits.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;

use super::figures::PARTIAL;
use super::unbalanced_tests::{squared, weights};
use super::*;
use crate::error::Error;
use crate::laws::{draws, uniform};

fn tight() -> Capped {
    Capped { tolerance: 1e-14, max_iterations: 100_000, annealing: 0.5 }
}

#[test]
fn reference_cases() {
    let (cost, a, b) = (squared((1, 5), (2, 4), 2), weights(3, 5), weights(4, 4));
    let geometry = Dense::new(&cost);
    for (epsilon, xcheck, linear, plan) in PARTIAL {
        let partial = Partial::new(&geometry, &a, &b, epsilon, 0.6)
            .unwrap()
            .with_reference(Reference::Counting);
        for annealing in [0.5, 1.0] {
            let s = Capped { annealing, ..tight() }.solve(&partial).unwrap();
            // Exponents of some 100 are rounded.
            assert!(s.error <= 3e-14, "{} {:?} after {}", s.error, s.status, s.iterations);
            let tolerance = 10.0 * xcheck.max(1e-13);
            for (found, truth) in s.plan().iter().zip(plan.as_flattened()) {
                assert!((found - truth).abs() <= tolerance, "{epsilon}: {found} {truth}");
            }
            assert!((s.linear() - linear).abs() <= tolerance, "{}", s.linear());
        }
    }
}

/// Weights of 0 on both sides, masses apart, a share of the lesser one.
fn drawn() -> impl Strategy<Value = (Array2<f64>, Array1<f64>, Array1<f64>, f64, f64, bool)> {
    (1_usize..24, 1_usize..24, any::<u64>(), -2.0_f64..1.0, 0.01_f64..1.2, any::<bool>()).prop_map(
        |(n, m, seed, e, share, counting)| {
            let w = |seed: u64, n: usize| {
                let w = draws(seed, 2 * n);
                let mut w: Vec<f64> =
                    w.chunks(2).map(|w| if w[1] < 0.2 { 0.0 } else { 0.01 + w[0] }).collect();
                w[seed as usize % n] += 0.5;
                Array1::from_vec(w)
            };
            let c = uniform(seed, (n, m)) + 0.5;
            (c, w(seed ^ 1, n), w(seed ^ 2, m) * 1.7, 10.0_f64.powf(e), share.min(1.0), counting)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn at_the_optimum((c, a, b, epsilon, share, counting) in drawn()) {
        let mass = share * a.sum().min(b.sum());
        let geometry = Dense::new(&c);
        let reference = if counting { Reference::Counting } else { Reference::Product };
        let partial =
            Partial::new(&geometry, &a, &b, epsilon, mass).unwrap().with_reference(reference);
        let s = tight().solve(&partial).unwrap();
        // Exponents (f + g + λ − C)/ε are rounded by a few units of their largest term.
        let largest = (s.f.iter().chain(&s.g)).fold(1.0 + s.multiplier.abs(), |t, x| t.max(-x));
        let rounding = 1e-14 + 8.0 * f64::EPSILON * largest / epsilon;
        prop_assert!(s.error <= rounding, "{} {:?} after {}", s.error, s.status, s.iterations);
        let plan = s.plan();
        let slack = 8.0 * rounding * (a.sum() + b.sum());
        prop_assert!((plan.sum() - mass).abs() <= slack, "{} {mass}", plan.sum());
        // Signs, and complementary slackness, on both sides.
        for (sums, w, x) in
            [(plan.sum_axis(Axis(1)), &a, &s.f), (plan.sum_axis(Axis(0)), &b, &s.g)]
        {
            for ((&sum, &w), &x) in sums.iter().zip(w).zip(x) {
                prop_assert!(x <= 0.0 && sum <= w + slack, "{sum} {w} {x}");
                prop_assert!(x == 0.0 || w == 0.0 || (sum - w).abs() <= slack, "{sum} {w} {x}");
            }
        }
        // The form, the value by its definition, strong duality.
        let mut value = 0.0;
        let mut total = 0.0;
        for ((i, j), &p) in plan.indexed_iter() {
            let r = if counting && a[i] * b[j] > 0.0 { 1.0 } else { a[i] * b[j] };
            let form = r * ((s.f[i] + s.g[j] + s.multiplier - c[[i, j]]) / epsilon).exp();
            prop_assert!((p - form).abs() <= 8.0 * rounding * form, "{p} {form}");
            if p > 0.0 {
                value += p * c[[i, j]] + epsilon * (p * (p / r).ln() - p);
            }
            total += if counting { 1.0 } else { r };
        }
        value += epsilon * total;
        let slack = slack * (1.0 + largest) + 1e-14 * epsilon * total;
        prop_assert!((s.value() - value).abs() <= slack, "{} {value}", s.value());
        prop_assert!((s.dual() - value).abs() <= slack, "{} {value}", s.dual());
    }

    #[test]
    fn the_dual_rises_to_the_optimum((c, a, b, epsilon, share, _) in drawn()) {
        let geometry = Dense::new(&c);
        let partial =
            Partial::new(&geometry, &a, &b, epsilon, share * a.sum().min(b.sum())).unwrap();
        let best = tight().solve(&partial).unwrap();
        let slack = 1e-12 * (1.0 + best.multiplier.abs()) * (a.sum() + b.sum());
        let mut last = f64::NEG_INFINITY;
        for max_iterations in [1, 2, 3, 5, 9] {
            let s = Capped { tolerance: 0.0, max_iterations, annealing: 1.0 };
            let s = s.solve(&partial).unwrap();
            let dual = s.dual();
            prop_assert!(dual >= last - slack && dual <= best.value() + slack, "{dual} {last}");
            // Whatever the error, rows and mass are right.
            let rows = s.plan().sum_axis(Axis(1));
            prop_assert!((rows.sum() - partial.mass()).abs() <= 1e-12 * a.sum());
            prop_assert!(rows.iter().zip(&a).all(|(sum, a)| *sum <= a + 1e-13));
            last = dual;
        }
    }
}

#[test]
fn all_of_the_mass_is_balanced_transport_and_all_of_one_side_is_one_sided() {
    let (c, a, b) = (squared((41, 9), (42, 7), 3), weights(43, 9), weights(44, 7));
    let geometry = Dense::new(&c);
    let partial = Partial::new(&geometry, &a, &b, 0.05, 1.0).unwrap();
    let s = tight().solve(&partial).unwrap();
    let problem = Problem::new(&geometry, &a, &b, 0.05).unwrap();
    let all = Sinkhorn { tolerance: 1e-14, ..Sinkhorn::default() }.solve(&problem).unwrap();
    assert!((&s.plan() - &all.plan()).iter().all(|d| d.abs() < 1e-13));
    assert!((s.value() - all.value()).abs() < 1e-13);
    // Capacities above what any column gets: each row goes where it likes.
    let room = Array1::from_elem(7, 10.0);
    let partial = Partial::with_capacities(&geometry, &a, &room, 0.05).unwrap();
    let s = tight().solve(&partial).unwrap();
    for (i, row) in s.plan().rows().into_iter().enumerate() {
        let likes = c.row(i).mapv(|c| (-c / 0.05).exp());
        let likes = &likes * (a[i] / likes.sum());
        assert!(row.iter().zip(&likes).all(|(p, q)| (p - q).abs() < 1e-14), "{row} {likes}");
    }
}

#[test]
fn small_epsilon_and_forbidden_pairs() {
    let (c, a, b) = (squared((11, 64), (12, 48), 3), weights(13, 64), weights(14, 48) * 1.3);
    let geometry = Masked::new(Dense::new(&c), |i, j| (i + j) % 3 != 0);
    let mut last = f64::INFINITY;
    for epsilon in [0.1, 0.01, 0.001] {
        let partial = Partial::new(&geometry, &a, &b, epsilon, 0.6).unwrap();
        let s = Capped::default().solve(&partial).unwrap();
        assert_eq!(s.status, Status::Converged, "{epsilon}: {} after {}", s.error, s.iterations);
        assert!(s.iterations < 6000, "{epsilon}: {}", s.iterations);
        let plan = s.plan();
        assert!(plan.indexed_iter().all(|((i, j), &p)| (i + j) % 3 != 0 || p == 0.0));
        assert!(s.linear() < last, "{} {last}", s.linear());
        last = s.linear();
    }
    // A mask that leaves too little: rows 0 to 29 reach only column 0.
    let narrow = Masked::new(Dense::new(&c), |i, j| i > 29 || j == 0);
    let stuck: f64 = a.iter().take(30).sum();
    let most = a.sum() - stuck + b[0].min(stuck);
    assert!(Partial::new(&narrow, &a, &b, 0.1, most - 1e-3).is_ok());
    match Partial::new(&narrow, &a, &b, 0.1, most + 1e-3) {
        Err(Error::Infeasible { rows, mass, reachable }) => {
            assert_eq!(rows, (0..30).collect::<Vec<_>>());
            assert!((mass - reachable - 1e-3).abs() < 1e-12, "{mass} {reachable}");
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn f32_and_large_costs_end_with_a_true_status() {
    let (c, a, b) = (squared((41, 9), (42, 7), 3), weights(43, 9), weights(44, 7) * 1.7);
    let wide = Dense::new(&c);
    let (c32, a32, b32) = (c.mapv(|c| c as f32), a.mapv(|a| a as f32), b.mapv(|b| b as f32));
    let narrow = Dense::new(&c32);
    for epsilon in [0.1, 0.01, 0.001] {
        let exact = Partial::new(&wide, &a, &b, epsilon, 0.6).unwrap();
        let exact = tight().solve(&exact).unwrap();
        let partial = Partial::new(&narrow, &a32, &b32, epsilon, 0.6).unwrap();
        let s = Capped::default().solve(&partial).unwrap();
        // Exponents up to the largest cost over ε.
        let rounding = f32::EPSILON as f64 * (16.0 + 8.0 / epsilon);
        assert!(s.status != Status::MaxIter && s.error <= rounding, "{} {:?}", s.error, s.status);
        let plan = s.plan().mapv(|p| p as f64);
        let far: f64 = (&plan - &exact.plan()).iter().map(|d| d.abs()).sum();
        assert!(far <= 8.0 * rounding, "{epsilon}: {far} {rounding}");
    }
    for (size, epsilon) in [(1e30, 1e-12), (1e30, 1.0), (1e-30, 1e12), (1.0, 1e-12)] {
        let large = &c * size;
        let geometry = Dense::new(&large);
        let partial = Partial::new(&geometry, &a, &b, epsilon, 0.6).unwrap();
        let s = Capped { max_iterations: 200, ..Capped::default() }.solve(&partial).unwrap();
        assert!(s.f.iter().chain(&s.g).all(|x| x.is_finite()) && s.error.is_finite());
        assert!(s.value().is_finite() && s.plan().iter().all(|p| *p >= 0.0));
        assert_eq!(s.status == Status::Converged, s.error <= 1e-9);
    }
}

#[test]
fn what_is_refused() {
    let c = Array2::<f64>::zeros((2, 3));
    let (a, b) = (ndarray::arr1(&[0.5, 0.5]), ndarray::arr1(&[0.2, 0.3, 0.7]));
    let geometry = Dense::new(&c);
    let refused = |a: &Array1<f64>, b: &Array1<f64>, epsilon, mass| match Partial::new(
        &geometry, a, b, epsilon, mass,
    )
    .expect_err("refused")
    {
        Error::Parameter { name, .. } => name,
        Error::Shape { what, .. } | Error::NonFinite { what, .. } | Error::Entry { what, .. } => {
            what
        }
        _ => "other",
    };
    assert_eq!(refused(&a, &b, 0.1, 1.001), "mass");
    assert_eq!(refused(&a, &b, 0.1, 0.0), "mass");
    assert_eq!(refused(&a, &b, 0.1, f64::NAN), "mass");
    assert_eq!(refused(&a, &b, 0.0, 0.5), "epsilon");
    assert_eq!(refused(&b, &b, 0.1, 0.5), "a");
    assert_eq!(refused(&a, &(&b * -1.0), 0.1, 0.5), "b");
    assert!(Partial::with_capacities(&geometry, &(&a * 3.0), &b, 0.1).is_err());
    let partial = Partial::new(&geometry, &a, &b, 0.1, 1.0 + 1e-13).unwrap();
    assert!(Capped { max_iterations: 0, ..tight() }.solve(&partial).is_err());
    assert!(Capped { annealing: 1.5, ..tight() }.solve(&partial).is_err());
    assert!(Capped { tolerance: f64::NAN, ..tight() }.solve(&partial).is_err());
}

#[test]
fn a_run_stopped_at_any_iteration_moves_the_mass_and_says_its_true_error() {
    for seed in 0..20 {
        let (n, m) = (2 + seed as usize % 7, 2 + seed as usize * 3 % 8);
        let cost = uniform(seed, (n, m)) + 0.5;
        let (a, b) = (weights(seed + 50, n), weights(seed + 90, m) * 1.3);
        let geometry = Dense::new(&cost);
        let partial = Partial::new(&geometry, &a, &b, 0.01, 0.6).unwrap();
        let optimum = tight().solve(&partial).unwrap().value();
        for max_iterations in (1..13).chain([40]) {
            let s = Capped { max_iterations, ..Capped::default() }.solve(&partial).unwrap();
            let plan = s.plan();
            assert!((plan.sum() - 0.6).abs() < 1e-12, "{seed} {max_iterations}: {}", plan.sum());
            let over = |(sum, (&g, &b)): (f64, (&f64, &f64))| {
                if g < 0.0 { (sum - b).abs() } else { (sum - b).max(0.0) }
            };
            let columns = plan.sum_axis(Axis(0));
            let off: f64 = columns.into_iter().zip(s.g.iter().zip(&b)).map(over).sum();
            // Exponents up to 1/ε are rounded.
            assert!((off / 0.6 - s.error).abs() < 1e-12, "{seed} {max_iterations}: {off} {s:?}");
            assert!(s.dual() <= optimum + 1e-9 && s.iterations <= max_iterations);
        }
    }
}

#[test]
fn in_f32_the_error_is_that_of_the_plan_returned() {
    for seed in 0..30 {
        let (n, m) = (2 + seed as usize % 7, 2 + seed as usize * 3 % 8);
        let cost = uniform(seed, (n, m)).mapv(|c| c as f32 + [0.5, 10.5][seed as usize % 2]);
        let (a, b) = (weights(seed + 50, n), weights(seed + 90, m) * 1.3);
        let (a, b) = (a.mapv(|a| a as f32), b.mapv(|b| b as f32));
        let geometry = Dense::new(&cost);
        let partial = Partial::new(&geometry, &a, &b, 0.01, 0.6).unwrap();
        let s = Capped { tolerance: 1e-6, ..Capped::default() }.solve(&partial).unwrap();
        let columns = s.plan().mapv(f64::from).sum_axis(Axis(0));
        let over = |(sum, (&g, &b)): (f64, (&f64, &f32))| {
            let b = f64::from(b);
            if g < 0.0 { (sum - b).abs() } else { (sum - b).max(0.0) }
        };
        let off = columns.into_iter().zip(s.g.iter().zip(&b)).map(over).sum::<f64>() / 0.6;
        // Sums of n numbers of f32 here, of f64 there.
        assert!((off - s.error).abs() <= 1e-7 * n as f64 + 1e-9, "{seed}: {off} {}", s.error);
        assert_eq!(s.status == Status::Converged, s.error <= 1e-6);
    }
}
